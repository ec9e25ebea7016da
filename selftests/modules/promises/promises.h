/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _PROMISES_H
#define _PROMISES_H

#include <linux/atomic.h>
#include <linux/printk.h>

#include <reeve/lock_order.h>

#define EXCLUSIVE REEVE_LOCK_EXCLUSIVE
#define SHARED REEVE_LOCK_SHARED

#define EXPECT(condition)                                               \
	do {                                                            \
		if (!(condition)) {                                     \
			atomic_inc(&promises_failures);                 \
			pr_err("%s: line %d: %s\n", __func__, __LINE__, \
			       #condition);                             \
		}                                                       \
	} while (0)

/* Orders of the module's own hierarchy, which has to be entered. */
enum {
	OUTER = 1,
	MIDDLE,
	INNER,
	SPINS,
	SLEEPS,
	NESTS,
	PROMISES_COUNT = NESTS,
};

extern struct reeve_hierarchy *promises;
extern atomic_t promises_failures;

/* Scenes, each of which runs when its parameter is written. */
int promises_register(unsigned int unused);
int promises_named(unsigned int on);
int promises_fill(unsigned int on);
int promises_generations(unsigned int unused);
int promises_declare(unsigned int unused);
int promises_hand(unsigned int count);
int promises_adopt(unsigned int known);
int promises_disable(unsigned int unused);
int promises_without(unsigned int unused);
int promises_aside(unsigned int unused);
int promises_ends_given(unsigned int unused);
int promises_ends_inside(unsigned int unused);
int promises_free(unsigned int unused);
int promises_enter(unsigned int on);
int promises_ignorant(unsigned int expected);
int promises_by_ip(unsigned int unused);
int promises_handle(unsigned int unused);
int promises_leak(unsigned int on);
int promises_soften(unsigned int unused);
int promises_trap(unsigned int unused);
int promises_no_names(unsigned int unused);
int promises_no_room(unsigned int unused);
int promises_no_context(unsigned int unused);
int promises_call_deep(unsigned int unused);
int promises_many_pairs(unsigned int count);
int promises_list(unsigned int unused);
int promises_mix(unsigned int unused);
int promises_hold(unsigned int count);

/* For the module that goes: has locks recorded as taken at @ip. */
void promises_take_at(unsigned long ip);

#endif /* _PROMISES_H */
