/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _STRESS_WALK_H
#define _STRESS_WALK_H

#include <linux/prandom.h>
#include <reeve/lock_order.h>

#include "model.h"

#define STRESS_SAVES	2

/* Random calls of one thread or interrupt, each compared with the model. */
struct walk {
	struct model model;
	struct rnd_state random;
	const char *who;
	unsigned int number; /* of that kind */
	bool interrupt;
	bool deep; /* takes more than it releases */
	bool disagreed;
	bool full; /* held as much as can be, once */
	unsigned int favourite; /* hierarchy of most calls */
	unsigned int operations;
	struct reeve_thread_context *context; /* null in an interrupt */
	/* What was put aside, and what the model knows of it. */
	unsigned int nr_saved;
	struct reeve_thread_context *saves[STRESS_SAVES];
	struct model_state saved[STRESS_SAVES];
};

extern struct reeve_hierarchy *stress_handles[STRESS_HIERARCHIES];

/* Does @operations calls or more, with the walk's context entered before. */
void walk_on(struct walk *walk, unsigned int operations);
/* Enters, and leaves with whatever is held then. */
void walk_enter(struct walk *walk);
void walk_leave(struct walk *walk);
/* Releases everything, one by one. */
void walk_home(struct walk *walk);

/* How many results were wrong, over all walks. */
long stress_disagreements(void);

#endif
