// SPDX-License-Identifier: GPL-2.0
/* How many there may be of each thing, and what one more is. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/array_size.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "promises.h"

static const char *const two[] = { "outer", "inner" };

/* What registering refuses, and that nothing can be said of what is gone. */
int promises_register(unsigned int unused)
{
	const char *const missing[] = { "outer", NULL };
	struct reeve_hierarchy *h;

	EXPECT(PTR_ERR(reeve_hierarchy_register(NULL, two, 2)) == -EINVAL);
	EXPECT(PTR_ERR(reeve_hierarchy_register("p", NULL, 2)) == -EINVAL);
	EXPECT(PTR_ERR(reeve_hierarchy_register("p", missing, 2)) == -EINVAL);
	EXPECT(PTR_ERR(reeve_hierarchy_register("p", two, 0)) == -EINVAL);
	EXPECT(PTR_ERR(reeve_hierarchy_register("p", two, 65)) == -EINVAL);
	EXPECT(PTR_ERR(reeve_hierarchy_register_flags("p", two, 2, 3)) ==
	       -EINVAL);
	EXPECT(PTR_ERR(reeve_hierarchy_register_flags("p", two, 2, 4)) ==
	       -EINVAL);
	EXPECT(!reeve_hierarchy_unregister(NULL));
	EXPECT(!reeve_hierarchy_forget(NULL));

	h = reeve_hierarchy_register("promises_register", two, 2);
	if (IS_ERR(h))
		return PTR_ERR(h);
	EXPECT(reeve_hierarchy_set_nestable(h, 0) == -EINVAL);
	EXPECT(reeve_hierarchy_set_nestable(h, 3) == -EINVAL);
	EXPECT(reeve_hierarchy_add_rule(h, 2, 1, 0, 0) == -EINVAL);
	EXPECT(reeve_hierarchy_add_rule(h, 258, 1, EXCLUSIVE, 0) == -EINVAL);
	EXPECT(reeve_hierarchy_add_rule(h, 2, 1, EXCLUSIVE, 256) == -EINVAL);
	EXPECT(reeve_hierarchy_add_rule(h, 2, 2, EXCLUSIVE, 0) == -EINVAL);
	EXPECT(reeve_hierarchy_set_attributes(h, 3, 1) == -EINVAL);
	EXPECT(!reeve_hierarchy_set_attributes(h, 2, REEVE_ORDER_SPINS));
	EXPECT(reeve_hierarchy_set_attributes(h, 2, REEVE_ORDER_SLEEPS) ==
	       -EINVAL);
	EXPECT(reeve_hierarchy_set_attributes(h, 1, REEVE_ORDER_SLEEPS |
					      REEVE_ORDER_IRQ_SAFE) == -EINVAL);
	EXPECT(reeve_hierarchy_set_any_order(h, 2, 0) == -EINVAL);
	EXPECT(reeve_hierarchy_set_any_order(h, 2, 2) == -EINVAL);
	EXPECT(!reeve_hierarchy_unregister(h));

	EXPECT(reeve_hierarchy_unregister(h) == -EINVAL);
	EXPECT(reeve_hierarchy_forget(h) == -EINVAL);
	EXPECT(reeve_hierarchy_add_rule(h, 2, 1, EXCLUSIVE, 0) == -EINVAL);
	EXPECT(reeve_hierarchy_set_nestable(h, 1) == -EINVAL);
	EXPECT(reeve_hierarchy_set_attributes(h, 1, 1) == -EINVAL);
	EXPECT(reeve_hierarchy_set_any_order(h, 2, 1) == -EINVAL);
	EXPECT(reeve_hierarchy_set_before(h, KBUILD_MODNAME, 1) == -EINVAL);
	EXPECT(reeve_hierarchy_set_after(h, 1, KBUILD_MODNAME) == -EINVAL);
	return 0;
}

/* Names are copied, and 63 bytes of them kept; the script looks at them. */
int promises_named(unsigned int on)
{
	static struct reeve_hierarchy *h;
	char name[101] = "promises a", order[101] = "an order";
	const char *const names[] = { order, two[0] };

	if (!on) {
		EXPECT(!reeve_hierarchy_unregister(h));
		return 0;
	}
	memset(name + strlen(name), 'x', sizeof(name) - 1 - strlen(name));
	memset(order + strlen(order), 'y', sizeof(order) - 1 - strlen(order));
	h = reeve_hierarchy_register(name, names, 2);
	if (IS_ERR(h))
		return PTR_ERR(h);
	/* By the name that was given, too. */
	EXPECT(reeve_hierarchy_set_before(promises, name, 3) == -EINVAL);
	EXPECT(!reeve_hierarchy_set_before(promises, name, 2));
	memset(name, 'z', sizeof(name));
	memset(order, 'z', sizeof(order));
	return 0;
}

static struct reeve_hierarchy *many[REEVE_MAX_HIERARCHIES];
static unsigned int filled;

/* Registers until there is no room, or ends that. */
int promises_fill(unsigned int on)
{
	struct reeve_hierarchy *h;

	while (!on && filled)
		EXPECT(!reeve_hierarchy_unregister(many[--filled]));
	while (on) {
		h = reeve_hierarchy_register("promises_many", two, 2);
		if (IS_ERR(h)) {
			EXPECT(PTR_ERR(h) == -ENOSPC);
			break;
		}
		if (filled == ARRAY_SIZE(many)) {
			EXPECT(!"as many as there may be");
			return reeve_hierarchy_unregister(h);
		}
		many[filled++] = h;
	}
	return 0;
}

/* Of one place, which is the only one that is free, each generation. */
int promises_generations(unsigned int unused)
{
	struct reeve_thread_context ctx;
	struct reeve_hierarchy *gone, *h;
	unsigned int i;

	promises_fill(1);
	gone = many[--filled];
	EXPECT(!reeve_hierarchy_unregister(gone));
	EXPECT(reeve_thread_context_enter(&ctx));
	for (i = 1; i < 1024; i++) {
		h = reeve_hierarchy_register("promises_next", two, 2);
		if (IS_ERR(h)) {
			EXPECT(!"it is free again");
			break;
		}
		EXPECT(h != gone);
		if (i % 93 == 0)
			EXPECT(!reeve_record_lock(gone, &i, 1, EXCLUSIVE));
		EXPECT(!reeve_hierarchy_unregister(h));
	}
	EXPECT(reeve_thread_context_leave(&ctx));
	return promises_fill(0);
}

#define SIDE 12
#define DECLARATIONS 128

static struct reeve_hierarchy *outer[SIDE], *inner[SIDE];

static const char *declared_name(const char *side, unsigned int n)
{
	static char name[24];

	snprintf(name, sizeof(name), "promises_%s%u", side, n);
	return name;
}

/* All of each outer one before all of each inner one, as far as there is room. */
static unsigned int declare_all(void)
{
	unsigned int i, refused = 0;
	int ret;

	for (i = 0; i < SIDE * SIDE; i++) {
		if (!outer[i / SIDE])
			continue;
		ret = reeve_hierarchy_set_before(outer[i / SIDE],
						 declared_name("inner",
							       i % SIDE), 1);
		EXPECT(!ret || ret == -ENOSPC);
		refused += ret == -ENOSPC;
	}
	return refused;
}

int promises_declare(unsigned int unused)
{
	struct reeve_hierarchy *twin;
	unsigned int i;

	for (i = 0; i < SIDE; i++) {
		outer[i] = reeve_hierarchy_register(declared_name("outer", i),
						    two, 2);
		inner[i] = reeve_hierarchy_register(declared_name("inner", i),
						    two, 2);
		if (IS_ERR(outer[i]) || IS_ERR(inner[i])) {
			EXPECT(!"there are places for as many");
			return -ENOSPC;
		}
	}
	EXPECT(declare_all() == SIDE * SIDE - DECLARATIONS);
	/* Once more is none more, nor of another order. */
	EXPECT(declare_all() == SIDE * SIDE - DECLARATIONS);
	EXPECT(!reeve_hierarchy_set_before(outer[0], "promises_inner0", 2));
	EXPECT(reeve_hierarchy_set_before(inner[0], "promises_outer0", 1) ==
	       -ELOOP);
	/* One goes, on either side, and its own with it. */
	EXPECT(!reeve_hierarchy_unregister(outer[0]));
	outer[0] = NULL;
	EXPECT(declare_all() == SIDE * (SIDE - 1) - DECLARATIONS);
	EXPECT(!reeve_hierarchy_unregister(inner[0]));
	inner[0] = reeve_hierarchy_register("promises_inner0", two, 2);
	EXPECT(!IS_ERR(inner[0]));
	/* It is not made again by itself. */
	EXPECT(!reeve_hierarchy_set_before(inner[0], "promises_outer1", 1));
	EXPECT(reeve_hierarchy_set_before(outer[1], "promises_inner0", 1) ==
	       -ELOOP);

	twin = reeve_hierarchy_register("promises_inner1", two, 2);
	EXPECT(!IS_ERR(twin));
	EXPECT(reeve_hierarchy_set_before(outer[2], "promises_inner1", 1) ==
	       -ENOTUNIQ);
	EXPECT(reeve_hierarchy_set_after(outer[2], 1, "promises_inner1") ==
	       -ENOTUNIQ);
	EXPECT(!reeve_hierarchy_unregister(twin));
	for (i = 0; i < SIDE; i++) {
		EXPECT(!outer[i] || !reeve_hierarchy_unregister(outer[i]));
		EXPECT(!reeve_hierarchy_unregister(inner[i]));
	}
	return 0;
}

static int objects[REEVE_MAX_HELD_DEEP];

/* Hands so many locks over. */
int promises_hand(unsigned int count)
{
	struct reeve_thread_context ctx;
	unsigned int i;

	if (count > ARRAY_SIZE(objects))
		return -EINVAL;
	EXPECT(reeve_thread_context_enter(&ctx));
	for (i = 0; i < count; i++) {
		EXPECT(reeve_record_lock(promises, &objects[i], OUTER, SHARED));
		EXPECT(reeve_record_handover(promises, &objects[i], OUTER));
	}
	EXPECT(reeve_check_all_unlocked(promises));
	EXPECT(reeve_thread_context_leave(&ctx));
	return 0;
}

/* Adopts 64, and one that was never taken; @known: whether that is known. */
int promises_adopt(unsigned int known)
{
	struct reeve_thread_context ctx;
	unsigned int i;

	EXPECT(reeve_thread_context_enter(&ctx));
	for (i = 0; i < 64; i++) {
		EXPECT(reeve_record_adopt(promises, &objects[i], OUTER));
		EXPECT(reeve_check_locked(promises, &objects[i], OUTER,
					  SHARED));
		EXPECT(reeve_record_unlock(promises, &objects[i], OUTER,
					   SHARED));
	}
	EXPECT(reeve_record_adopt(promises, &objects[100], OUTER) == !known);
	if (!known) {
		/* It may be held, and is released once. */
		EXPECT(reeve_check_locked(promises, &objects[100], OUTER,
					  EXCLUSIVE));
		EXPECT(reeve_record_unlock(promises, &objects[100], OUTER,
					   EXCLUSIVE));
		EXPECT(!reeve_record_unlock(promises, &objects[100], OUTER,
					    EXCLUSIVE));
	}
	EXPECT(reeve_thread_context_leave(&ctx));
	return 0;
}

#define DISABLED 65535

int promises_disable(unsigned int unused)
{
	struct reeve_thread_context ctx;
	unsigned int i, done = 0;

	EXPECT(reeve_thread_context_enter(&ctx));
	for (i = 0; i < DISABLED; i++)
		done += reeve_tracking_disable();
	EXPECT(done == DISABLED);
	EXPECT(!reeve_tracking_disable());
	for (i = 0, done = 0; i < DISABLED - 1; i++)
		done += reeve_tracking_enable();
	EXPECT(done == DISABLED - 1);
	/* Still disabled, once. */
	EXPECT(reeve_check_locked(promises, &done, OUTER, EXCLUSIVE));
	EXPECT(reeve_tracking_enable());
	EXPECT(!reeve_tracking_enable());
	EXPECT(reeve_thread_context_leave(&ctx));
	return 0;
}
