/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a thread holds and what each call has to return, written from the rules
 * in Documentation/lock-order.md and sharing nothing with the tracker: a list,
 * no fast paths, no bookkeeping.
 */
#ifndef _STRESS_MODEL_H
#define _STRESS_MODEL_H

#include <linux/types.h>

#include <reeve/lock_order.h>

#define STRESS_HIERARCHIES	3
#define STRESS_NESTED		2 /* the one with nestable orders */
#define STRESS_ORDERS		8
#define STRESS_LOCKS		16

struct stress_rule {
	unsigned int order;
	unsigned int while_held;
	unsigned int mode;
	unsigned int unless_held;
};

struct stress_hierarchy {
	unsigned int count;
	unsigned long nestable; /* bit n: order n */
	const struct stress_rule *rules;
	unsigned int nr_rules;
};

extern const struct stress_hierarchy stress_hierarchies[STRESS_HIERARCHIES];

/* A lock that is held. */
struct model_lock {
	u8 h;
	u8 order;
	u8 lock;
	u8 mode;
	bool out_of_order; /* a trylock took it so */
};

/* What is held, in the order of taking, and how often tracking is disabled. */
struct model_state {
	struct model_lock held[REEVE_MAX_HELD];
	unsigned int count;
	unsigned int disabled;
	/* Held, but there was no room for them. */
	unsigned int lost;
	/* One more than the hierarchy of which none of them can be. */
	unsigned int sure_of;
};

struct model {
	bool entered; /* an interrupt always is */
	struct model_state now;
};

/* One use of a lock; locks are numbered in the order of their addresses. */
struct model_use {
	unsigned int h;
	unsigned int order;
	unsigned int lock;
	unsigned int flags;
};

/* Each returns what the call has to return, and does what it has to do. */
bool model_record_lock(struct model *m, const struct model_use *u);
bool model_record_unlock(struct model *m, const struct model_use *u);
bool model_record_downgrade(struct model *m, const struct model_use *u);
bool model_check_locked(const struct model *m, const struct model_use *u);
bool model_check_lockable(const struct model *m, const struct model_use *u);
bool model_check_unlocked(const struct model *m, const struct model_use *u);
bool model_check_all_unlocked(struct model *m, unsigned int h);
bool model_disable(struct model *m);
bool model_enable(struct model *m);
bool model_save(struct model *m, struct model_state *to);
bool model_restore(struct model *m, struct model_state *from);

/* In which mode this lock was taken last; 0: it is not held. */
unsigned int model_mode(const struct model *m, unsigned int h,
			unsigned int order, unsigned int lock);

/* The deepest order held, 0: none. */
unsigned int model_deepest(const struct model *m, unsigned int h);

static inline bool model_is_nestable(const struct model_use *u)
{
	return stress_hierarchies[u->h].nestable & (1UL << u->order);
}

#endif
