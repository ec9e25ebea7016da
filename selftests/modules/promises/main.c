// SPDX-License-Identifier: GPL-2.0
/*
 * What the documentation of lock-order tracking promises in numbers and in
 * words: each parameter is a scene that runs when it is written, `failures`
 * counts wrong results. See Documentation/lock-order-tests.md, and the script.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/module.h>

#include "promises.h"

static const char *const order_names[] = {
	"outer", "middle", "inner", "spins", "sleeps", "nests",
};

struct reeve_hierarchy *promises;
atomic_t promises_failures;

static int set_scene(const char *value, const struct kernel_param *kp)
{
	int (*scene)(unsigned int n) = kp->arg;
	unsigned int n;
	int ret = kstrtouint(value, 0, &n);

	if (!promises)
		return -EAGAIN;
	return ret ?: scene(n);
}

static const struct kernel_param_ops scene_ops = { .set = set_scene };

#define SCENE(name) module_param_cb(name, &scene_ops, promises_##name, 0200)

SCENE(register);
SCENE(named);
SCENE(fill);
SCENE(generations);
SCENE(declare);
SCENE(hand);
SCENE(adopt);
SCENE(disable);
SCENE(without);
SCENE(aside);
SCENE(ends_given);
SCENE(ends_inside);
SCENE(free);
SCENE(enter);
SCENE(ignorant);
SCENE(by_ip);
SCENE(handle);
SCENE(leak);
SCENE(soften);
SCENE(trap);
SCENE(no_names);
SCENE(no_room);
SCENE(no_context);
SCENE(call_deep);
SCENE(many_pairs);
SCENE(list);
SCENE(mix);
SCENE(hold);

static int get_failures(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%d\n", atomic_read(&promises_failures));
}

static const struct kernel_param_ops failures_ops = { .get = get_failures };
module_param_cb(failures, &failures_ops, NULL, 0444);

static int __init promises_init(void)
{
	struct reeve_hierarchy *h;

	h = reeve_hierarchy_register(KBUILD_MODNAME, order_names,
				     PROMISES_COUNT);
	if (IS_ERR(h))
		return PTR_ERR(h);
	EXPECT(!reeve_hierarchy_set_attributes(h, SPINS, REEVE_ORDER_SPINS));
	EXPECT(!reeve_hierarchy_set_attributes(h, SLEEPS, REEVE_ORDER_SLEEPS));
	EXPECT(!reeve_hierarchy_set_nestable(h, NESTS));
	promises = h;
	return 0;
}

static void __exit promises_exit(void)
{
	reeve_hierarchy_forget(promises);
}

module_init(promises_init);
module_exit(promises_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Holds the documentation of lock-order tracking to what it says");
