/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _REEVE_HELD_H
#define _REEVE_HELD_H

#include <reeve/lock_order.h>

enum held_order {
	HELD_OUTER = 1,
	HELD_MIDDLE, /* nestable */
	HELD_INNER,
	HELD_NEVER,
	HELD_COUNT = HELD_NEVER,
};

extern struct reeve_hierarchy *held_hierarchy;
extern atomic_t held_failures;

#define EXPECT(condition)                                               \
	do {                                                            \
		if (!(condition)) {                                     \
			pr_err("%s:%d: expected %s\n", __FILE_NAME__,   \
			       __LINE__, #condition);                   \
			atomic_inc(&held_failures);                     \
		}                                                       \
	} while (0)

/* threads.c: threads that hold locks until they are told to let go. */
int held_threads_start(unsigned int count, bool busy);
void held_threads_stop(void);

/* nmi.c: fires that many NMIs at this CPU while locks are held. */
int held_fire_nmis(unsigned int count);

#endif
