// SPDX-License-Identifier: GPL-2.0
#include <linux/array_size.h>
#include <linux/bits.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include <reeve/lock_order.h>

#include "model.h"

static const struct stress_rule ruled[] = {
	{ 6, 2, REEVE_LOCK_ANY, 0 },
	{ 5, 4, REEVE_LOCK_SHARED, 1 },
	{ 5, 3, REEVE_LOCK_EXCLUSIVE, 0 },
};

const struct stress_hierarchy stress_hierarchies[STRESS_HIERARCHIES] = {
	{ .count = 8 },
	{ .count = 6, .rules = ruled, .nr_rules = ARRAY_SIZE(ruled) },
	[STRESS_NESTED] = {
		.count = 7,
		.nestable = BIT(2) | BIT(3) | BIT(5) | BIT(6) | BIT(7),
	},
};

static bool has_order(const struct model_use *u)
{
	return u->order >= 1 && u->order <= stress_hierarchies[u->h].count;
}

static bool known_flags(unsigned int flags)
{
	return !(flags & ~(REEVE_LOCK_ANY | REEVE_LOCK_TRYLOCK |
			   REEVE_LOCK_OUT_OF_ORDER));
}

static bool is_one_mode(unsigned int flags)
{
	unsigned int mode = flags & REEVE_LOCK_ANY;

	return known_flags(flags) &&
	       (mode == REEVE_LOCK_EXCLUSIVE || mode == REEVE_LOCK_SHARED);
}

/* The modes in which locks of the order are held; 0: none is. */
static unsigned int modes_held(const struct model *m, unsigned int h,
			       unsigned int order)
{
	unsigned int i, modes = 0;

	for (i = 0; i < STRESS_LOCKS; i++)
		modes |= m->now.held[h][order][i].mode;
	return modes;
}

unsigned int model_deepest(const struct model *m, unsigned int h)
{
	unsigned int order = stress_hierarchies[h].count;

	while (order && !modes_held(m, h, order))
		order--;
	return order;
}

/* A lock of the same order with the same or a higher address. */
static bool same_order_from(const struct model *m, const struct model_use *u,
			    unsigned int first)
{
	unsigned int i;

	for (i = first; i < STRESS_LOCKS; i++)
		if (m->now.held[u->h][u->order][i].mode)
			return true;
	return false;
}

static bool in_order(const struct model *m, const struct model_use *u)
{
	if (model_deepest(m, u->h) > u->order)
		return false;
	return !same_order_from(m, u, model_is_nestable(u) ? u->lock : 0);
}

static bool rules_kept(const struct model *m, const struct model_use *u)
{
	const struct stress_hierarchy *h = &stress_hierarchies[u->h];
	unsigned int i;

	for (i = 0; i < h->nr_rules; i++) {
		const struct stress_rule *rule = &h->rules[i];

		if (rule->order != u->order ||
		    !(modes_held(m, u->h, rule->while_held) & rule->mode))
			continue;
		if (!rule->unless_held || !modes_held(m, u->h, rule->unless_held))
			return false;
	}
	return true;
}

/* The lock itself if its order is nestable, otherwise all of the order. */
static void forget(struct model *m, const struct model_use *u)
{
	unsigned int i;

	for (i = 0; i < STRESS_LOCKS; i++) {
		struct model_lock *lock = &m->now.held[u->h][u->order][i];

		if (lock->mode && (i == u->lock || !model_is_nestable(u))) {
			lock->mode = 0;
			m->now.count--;
		}
	}
}

bool model_record_lock(struct model *m, const struct model_use *u)
{
	bool tried = u->flags & REEVE_LOCK_TRYLOCK;
	bool ordered, correct;

	if (!m->entered)
		return false;
	if (m->now.disabled)
		return true;
	if (!has_order(u) || !is_one_mode(u->flags))
		return false;
	ordered = in_order(m, u);
	correct = (ordered || tried) && rules_kept(m, u);
	forget(m, u);
	if (m->now.count == REEVE_MAX_HELD)
		return false;
	m->now.count++;
	m->now.held[u->h][u->order][u->lock] = (struct model_lock){
		.mode = u->flags & REEVE_LOCK_ANY,
		.out_of_order = tried && !ordered,
	};
	return correct;
}

bool model_record_unlock(struct model *m, const struct model_use *u)
{
	const struct model_lock *lock;
	bool deeper, correct;

	if (!m->entered)
		return false;
	if (m->now.disabled)
		return true;
	if (!has_order(u) || !is_one_mode(u->flags))
		return false;
	lock = &m->now.held[u->h][u->order][u->lock];
	deeper = model_deepest(m, u->h) > u->order;
	correct = lock->mode == (u->flags & REEVE_LOCK_ANY) &&
		  (!deeper || lock->out_of_order ||
		   (u->flags & REEVE_LOCK_OUT_OF_ORDER));
	forget(m, u);
	return correct;
}

bool model_record_downgrade(struct model *m, const struct model_use *u)
{
	struct model_lock *lock;

	if (!m->entered)
		return false;
	if (m->now.disabled)
		return true;
	if (!has_order(u))
		return false;
	lock = &m->now.held[u->h][u->order][u->lock];
	if (lock->mode != REEVE_LOCK_EXCLUSIVE)
		return false;
	lock->mode = REEVE_LOCK_SHARED;
	return true;
}

bool model_check_locked(const struct model *m, const struct model_use *u)
{
	if (!m->entered)
		return false;
	if (m->now.disabled)
		return true;
	return has_order(u) && known_flags(u->flags) &&
	       (m->now.held[u->h][u->order][u->lock].mode & u->flags);
}

bool model_check_lockable(const struct model *m, const struct model_use *u)
{
	unsigned int deepest = model_deepest(m, u->h);

	if (!m->entered || m->now.disabled)
		return true;
	if (!has_order(u) || !known_flags(u->flags))
		return false;
	if (u->flags & REEVE_LOCK_TRYLOCK)
		return true;
	/* Whether an equal one may be nested depends on the address. */
	return deepest < u->order ||
	       (deepest == u->order && model_is_nestable(u));
}

bool model_check_unlocked(const struct model *m, const struct model_use *u)
{
	if (!m->entered || m->now.disabled)
		return true;
	return has_order(u) && !modes_held(m, u->h, u->order);
}

bool model_check_all_unlocked(const struct model *m, unsigned int h)
{
	return !m->entered || m->now.disabled || !model_deepest(m, h);
}

bool model_disable(struct model *m)
{
	if (!m->entered)
		return false;
	m->now.disabled++;
	return true;
}

bool model_enable(struct model *m)
{
	if (!m->entered || !m->now.disabled)
		return false;
	m->now.disabled--;
	return true;
}

bool model_save(struct model *m, struct model_state *to)
{
	memset(to, 0, sizeof(*to));
	if (!m->entered)
		return false;
	swap(m->now, *to);
	return true;
}

bool model_restore(struct model *m, struct model_state *from)
{
	bool clean = !m->now.count;

	if (!m->entered)
		return false;
	m->now = *from;
	memset(from, 0, sizeof(*from));
	return clean;
}
