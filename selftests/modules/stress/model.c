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
			   REEVE_LOCK_OUT_OF_ORDER | REEVE_LOCK_WAITING));
}

static bool is_one_mode(unsigned int flags)
{
	unsigned int mode = flags & REEVE_LOCK_ANY;

	return known_flags(flags) &&
	       (mode == REEVE_LOCK_EXCLUSIVE || mode == REEVE_LOCK_SHARED);
}

static bool is_of(const struct model_lock *held, unsigned int h,
		  unsigned int order)
{
	return held->h == h && held->order == order;
}

/* The modes in which locks of the order are held; 0: none is. */
static unsigned int modes_held(const struct model *m, unsigned int h,
			       unsigned int order)
{
	unsigned int i, modes = 0;

	for (i = 0; i < m->now.count; i++)
		if (is_of(&m->now.held[i], h, order))
			modes |= m->now.held[i].mode;
	return modes;
}

unsigned int model_deepest(const struct model *m, unsigned int h)
{
	unsigned int order = stress_hierarchies[h].count;

	while (order && !modes_held(m, h, order))
		order--;
	return order;
}

/* The last record of this lock; null: it is not held. */
static const struct model_lock *find(const struct model *m, unsigned int h,
				     unsigned int order, unsigned int lock)
{
	unsigned int i = m->now.count;

	while (i--)
		if (is_of(&m->now.held[i], h, order) &&
		    m->now.held[i].lock == lock)
			return &m->now.held[i];
	return NULL;
}

unsigned int model_mode(const struct model *m, unsigned int h,
			unsigned int order, unsigned int lock)
{
	const struct model_lock *held = find(m, h, order, lock);

	return held ? held->mode : 0;
}

/* Whether locks of the hierarchy may be held that are not in the list. */
static bool is_unsure(const struct model *m, unsigned int h)
{
	return m->now.lost && m->now.sure_of != h + 1;
}

static bool in_order(const struct model *m, const struct model_use *u)
{
	unsigned int i;

	if (model_deepest(m, u->h) > u->order)
		return false;
	for (i = 0; i < m->now.count; i++)
		if (is_of(&m->now.held[i], u->h, u->order) &&
		    (!model_is_nestable(u) || m->now.held[i].lock >= u->lock))
			return false;
	return true;
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
		if (!rule->unless_held ||
		    !(modes_held(m, u->h, rule->unless_held) ||
		      is_unsure(m, u->h)))
			return false;
	}
	return true;
}

static void remove_at(struct model *m, unsigned int i)
{
	m->now.count--;
	memmove(&m->now.held[i], &m->now.held[i + 1],
		(m->now.count - i) * sizeof(m->now.held[0]));
}

/* The lock itself, or the last of its order if that is not nestable. */
static void forget(struct model *m, const struct model_use *u)
{
	const struct model_lock *held = find(m, u->h, u->order, u->lock);
	unsigned int i = m->now.count;

	if (!held && !model_is_nestable(u))
		while (i--)
			if (is_of(&m->now.held[i], u->h, u->order)) {
				held = &m->now.held[i];
				break;
			}
	if (!held)
		return;
	remove_at(m, held - m->now.held);
}

bool model_record_lock(struct model *m, const struct model_use *u)
{
	bool tried = u->flags & REEVE_LOCK_TRYLOCK;
	bool ordered, correct;
	unsigned int i;

	if (!m->entered)
		return false;
	if (m->now.disabled)
		return true;
	if (!has_order(u) || !is_one_mode(u->flags))
		return false;
	ordered = in_order(m, u);
	correct = (ordered || tried) && rules_kept(m, u);
	for (i = 0; i < m->now.count; i++) {
		const struct model_lock *held = &m->now.held[i];

		/* Only a shared lock can be held twice. */
		if (is_of(held, u->h, u->order) && held->lock == u->lock &&
		    ((held->mode | u->flags) & REEVE_LOCK_EXCLUSIVE)) {
			remove_at(m, i);
			break;
		}
	}
	if (m->now.count == REEVE_MAX_HELD) {
		m->now.sure_of = 0;
		/* The first one is told. */
		return m->now.lost++ && correct;
	}
	m->now.held[m->now.count++] = (struct model_lock){
		.h = u->h,
		.order = u->order,
		.lock = u->lock,
		.mode = u->flags & REEVE_LOCK_ANY,
		.out_of_order = !ordered || (tried && is_unsure(m, u->h)),
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
	lock = find(m, u->h, u->order, u->lock);
	if (!lock && is_unsure(m, u->h)) {
		m->now.lost--;
		return true;
	}
	deeper = model_deepest(m, u->h) > u->order;
	correct = lock && lock->mode == (u->flags & REEVE_LOCK_ANY) &&
		  (!deeper || lock->out_of_order ||
		   (u->flags & REEVE_LOCK_OUT_OF_ORDER));
	forget(m, u);
	return correct;
}

bool model_record_downgrade(struct model *m, const struct model_use *u)
{
	const struct model_lock *lock;

	if (!m->entered)
		return false;
	if (m->now.disabled)
		return true;
	if (!has_order(u))
		return false;
	lock = find(m, u->h, u->order, u->lock);
	if (!lock)
		return is_unsure(m, u->h);
	if (lock->mode != REEVE_LOCK_EXCLUSIVE)
		return false;
	m->now.held[lock - m->now.held].mode = REEVE_LOCK_SHARED;
	return true;
}

bool model_check_locked(const struct model *m, const struct model_use *u)
{
	if (!m->entered)
		return false;
	if (m->now.disabled)
		return true;
	if (!has_order(u) || !known_flags(u->flags) ||
	    !(u->flags & REEVE_LOCK_ANY))
		return false;
	if (!find(m, u->h, u->order, u->lock))
		return is_unsure(m, u->h);
	return model_mode(m, u->h, u->order, u->lock) & u->flags;
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

bool model_check_all_unlocked(struct model *m, unsigned int h)
{
	if (!m->entered || m->now.disabled)
		return true;
	if (model_deepest(m, h))
		return false;
	if (m->now.lost)
		m->now.sure_of = h + 1;
	return true;
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
