// SPDX-License-Identifier: GPL-2.0
#define pr_fmt(fmt) "stress: " fmt

#include <linux/atomic.h>
#include <linux/printk.h>
#include <linux/sched.h>

#include "walk.h"

struct reeve_hierarchy *stress_handles[STRESS_HIERARCHIES];

/* Only addresses; null is one too, and the lowest. */
static char locks[STRESS_LOCKS];

static atomic_long_t disagreements;

long stress_disagreements(void)
{
	return atomic_long_read(&disagreements);
}

static const void *address_of(unsigned int lock)
{
	return lock ? &locks[lock] : NULL;
}

static void compare(struct walk *walk, const char *call,
		    const struct model_use *u, bool result, bool expected)
{
	walk->operations++;
	if (result == expected)
		return;
	walk->disagreed = true;
	if (atomic_long_inc_return(&disagreements) > 10)
		return;
	pr_err("%s %u, call %u: %s(hierarchy %u, lock %u, order %u, flags %#x) returned %d; held %u, disabled %u\n",
	       walk->who, walk->number, walk->operations, call, u->h, u->lock,
	       u->order, u->flags, result, walk->model.now.count,
	       walk->model.now.disabled);
}

static unsigned int below(struct walk *walk, unsigned int limit)
{
	return prandom_u32_state(&walk->random) % limit;
}

static void record_lock(struct walk *walk, const struct model_use *u)
{
	bool result = reeve_record_lock(stress_handles[u->h],
					address_of(u->lock), u->order, u->flags);

	compare(walk, "record_lock", u, result,
		model_record_lock(&walk->model, u));
}

static void record_unlock(struct walk *walk, const struct model_use *u)
{
	bool result = reeve_record_unlock(stress_handles[u->h],
					  address_of(u->lock), u->order,
					  u->flags);

	compare(walk, "record_unlock", u, result,
		model_record_unlock(&walk->model, u));
}

static void record_downgrade(struct walk *walk, const struct model_use *u)
{
	bool result = reeve_record_downgrade(stress_handles[u->h],
					     address_of(u->lock), u->order);

	compare(walk, "record_downgrade", u, result,
		model_record_downgrade(&walk->model, u));
}

static void check_locked(struct walk *walk, const struct model_use *u)
{
	bool result = reeve_check_locked(stress_handles[u->h],
					 address_of(u->lock), u->order,
					 u->flags);

	compare(walk, "check_locked", u, result,
		model_check_locked(&walk->model, u));
}

static void check_orders(struct walk *walk, const struct model_use *u)
{
	struct reeve_hierarchy *h = stress_handles[u->h];

	switch (below(walk, 3)) {
	case 0:
		compare(walk, "check_lockable_order", u,
			reeve_check_lockable_order(h, u->order, u->flags),
			model_check_lockable(&walk->model, u));
		break;
	case 1:
		compare(walk, "check_unlocked_order", u,
			reeve_check_unlocked_order(h, u->order),
			model_check_unlocked(&walk->model, u));
		break;
	default:
		compare(walk, "check_all_unlocked", u,
			reeve_check_all_unlocked(h),
			model_check_all_unlocked(&walk->model, u->h));
	}
}

/* Anything: orders that do not exist, modes that are none, locks not held. */
static struct model_use any_use(struct walk *walk)
{
	struct model_use u = {
		.h = below(walk, 4) ? walk->favourite :
				      below(walk, STRESS_HIERARCHIES),
		.lock = below(walk, below(walk, 2) ? 3 : STRESS_LOCKS),
		.flags = 1 + below(walk, 2),
	};

	u.order = below(walk, 16) ?
			  1 + below(walk, stress_hierarchies[u.h].count) :
			  below(walk, 2) * (stress_hierarchies[u.h].count + 1);
	if (!below(walk, 3))
		u.flags |= below(walk, 4) * REEVE_LOCK_TRYLOCK;
	if (!below(walk, 16))
		u.flags = below(walk, 32);
	return u;
}

/* Makes it a use of a lock that is held, if one is, and mostly a right one. */
static void aim_at_held(struct walk *walk, struct model_use *u)
{
	unsigned int places = stress_hierarchies[u->h].count * STRESS_LOCKS;
	unsigned int i, at = below(walk, places);

	for (i = 0; i < places; i++, at = (at + 1) % places) {
		unsigned int order = 1 + at / STRESS_LOCKS;
		unsigned int lock = at % STRESS_LOCKS;
		unsigned int mode = model_mode(&walk->model, u->h, order, lock);

		if (!mode)
			continue;
		u->order = order;
		u->lock = lock;
		if (below(walk, 4))
			u->flags = (u->flags & ~REEVE_LOCK_ANY) | mode;
		return;
	}
}

/* The highest of the deepest locks in the favourite hierarchy, if any. */
static bool deepest_use(struct walk *walk, struct model_use *u)
{
	const struct model *m = &walk->model;
	unsigned int h = walk->favourite;
	unsigned int order = model_deepest(m, h);
	unsigned int i = STRESS_LOCKS;

	if (!order)
		return false;
	while (!model_mode(m, h, order, i - 1))
		i--;
	*u = (struct model_use){
		.h = h,
		.order = order,
		.lock = i - 1,
		.flags = model_mode(m, h, order, i - 1),
	};
	return true;
}

/* As a driver does that has no bug: the next deeper one, or the deepest. */
static void lock_in_order(struct walk *walk)
{
	struct model_use u = {
		.h = walk->favourite,
		.flags = 1 + below(walk, 2),
		.lock = below(walk, 3),
	};
	struct model_use deepest;

	u.order = 1;
	if (deepest_use(walk, &deepest)) {
		u.order = deepest.order + 1;
		if (!walk->deep)
			u.order += below(walk, 2);
		if (model_is_nestable(&deepest) &&
		    deepest.lock + 1 < STRESS_LOCKS &&
		    (walk->deep || below(walk, 4))) {
			u.order = deepest.order;
			u.lock = deepest.lock + 1;
		}
	}
	if (u.order <= stress_hierarchies[u.h].count)
		record_lock(walk, &u);
	else
		record_unlock(walk, &deepest);
}

static void unlock_in_order(struct walk *walk)
{
	struct model_use u;

	if (deepest_use(walk, &u))
		record_unlock(walk, &u);
	else
		lock_in_order(walk);
}

static void disable_or_enable(struct walk *walk)
{
	static const struct model_use none;

	if (below(walk, 3))
		compare(walk, "tracking_enable", &none, reeve_tracking_enable(),
			model_enable(&walk->model));
	else
		compare(walk, "tracking_disable", &none,
			reeve_tracking_disable(), model_disable(&walk->model));
}

static void save_or_restore(struct walk *walk)
{
	static const struct model_use none;
	unsigned int n = walk->nr_saved;

	if (walk->interrupt)
		return;
	if (n < STRESS_SAVES && below(walk, 2)) {
		compare(walk, "save", &none,
			reeve_thread_context_save(walk->saves[n]),
			model_save(&walk->model, &walk->saved[n]));
		walk->nr_saved++;
	} else if (n) {
		n = --walk->nr_saved;
		compare(walk, "restore", &none,
			reeve_thread_context_restore(walk->saves[n]),
			model_restore(&walk->model, &walk->saved[n]));
	}
}

/* Enters that do nothing: all of an interrupt's, and all but the first. */
static noinline_for_stack void enter_again(struct walk *walk)
{
	static const struct model_use none;
	struct reeve_thread_context inner;
	bool fresh = !walk->model.entered;

	compare(walk, "inner enter", &none, reeve_thread_context_enter(&inner),
		true);
	if (fresh) {
		/* It was no inner one. */
		compare(walk, "leave", &none,
			reeve_thread_context_leave(&inner), true);
		compare(walk, "leave", &none,
			reeve_thread_context_leave(&inner), false);
		return;
	}
	if (walk->context)
		compare(walk, "enter", &none,
			reeve_thread_context_enter(walk->context), false);
	compare(walk, "inner leave", &none, reeve_thread_context_leave(&inner),
		true);
}

static void misuse(struct walk *walk)
{
	struct model_use u = any_use(walk);
	void *wrong = below(walk, 2) ? (void *)stress_handles[u.h] + 1 : NULL;

	compare(walk, "record_lock of no hierarchy", &u,
		reeve_record_lock(wrong, address_of(u.lock), u.order, u.flags),
		false);
	compare(walk, "check_all_unlocked of no hierarchy", &u,
		reeve_check_all_unlocked(wrong), false);
	compare(walk, "enter of null", &u, reeve_thread_context_enter(NULL),
		false);
}

static void leave_and_enter(struct walk *walk)
{
	struct model_use u = any_use(walk);

	if (walk->interrupt)
		return;
	walk_leave(walk);
	record_lock(walk, &u);
	check_locked(walk, &u);
	check_orders(walk, &u);
	disable_or_enable(walk);
	record_unlock(walk, &u);
	record_downgrade(walk, &u);
	enter_again(walk);
	walk_enter(walk);
}

static void one_step(struct walk *walk)
{
	struct model_use u = any_use(walk);
	unsigned int dice = below(walk, 100);

	if (dice < 60) {
		if (walk->deep ? dice < 57 : dice < 29)
			lock_in_order(walk);
		else
			unlock_in_order(walk);
	} else if (dice < 70) {
		record_lock(walk, &u);
	} else if (dice < 79) {
		if (below(walk, 2))
			aim_at_held(walk, &u);
		record_unlock(walk, &u);
	} else if (dice < 82) {
		aim_at_held(walk, &u);
		record_downgrade(walk, &u);
	} else if (dice < 87) {
		aim_at_held(walk, &u);
		check_locked(walk, &u);
	} else if (dice < 91) {
		check_orders(walk, &u);
	} else if (dice < 94) {
		disable_or_enable(walk);
	} else if (dice < 95) {
		save_or_restore(walk);
	} else if (dice < 97) {
		enter_again(walk);
	} else if (dice < 98) {
		misuse(walk);
	} else if (walk->deep && below(walk, 8)) {
		check_orders(walk, &u);
	} else if (below(walk, 2)) {
		walk->deep = !below(walk, 3);
		walk->favourite = walk->deep ? STRESS_NESTED :
					       below(walk, STRESS_HIERARCHIES);
	} else if (below(walk, 2)) {
		walk_home(walk);
	} else {
		leave_and_enter(walk);
	}
	if (walk->model.now.count == REEVE_MAX_HELD)
		walk->full = true;
}

void walk_on(struct walk *walk, unsigned int operations)
{
	unsigned int end = walk->operations + operations;

	while (walk->operations < end && !walk->disagreed) {
		one_step(walk);
		if (walk->interrupt)
			continue;
		if (!below(walk, 256))
			schedule_timeout_idle(1);
		else
			cond_resched();
	}
}

void walk_enter(struct walk *walk)
{
	static const struct model_use none;

	compare(walk, "enter", &none,
		reeve_thread_context_enter(walk->context), true);
	walk->model = (struct model){ .entered = true };
	walk->nr_saved = 0;
}

void walk_leave(struct walk *walk)
{
	static const struct model_use none;

	compare(walk, "leave", &none, reeve_thread_context_leave(walk->context),
		!walk->model.now.count && !walk->model.now.disabled);
	walk->model = (struct model){};
}

void walk_home(struct walk *walk)
{
	unsigned int favourite = walk->favourite;
	unsigned int h;
	struct model_use u;

	while (walk->model.now.disabled)
		compare(walk, "tracking_enable", &(struct model_use){},
			reeve_tracking_enable(), model_enable(&walk->model));
	for (h = 0; h < STRESS_HIERARCHIES; h++) {
		walk->favourite = h;
		while (deepest_use(walk, &u))
			record_unlock(walk, &u);
		check_orders(walk, &(struct model_use){ .h = h, .order = 1 });
	}
	walk->favourite = favourite;
}
