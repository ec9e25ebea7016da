// SPDX-License-Identifier: GPL-2.0
/*
 * Holds locks, and makes mistakes with them, when it is told to: what the
 * scripts beside it look at through debugfs and tracefs meanwhile.
 *
 * Parameters: `hold` N starts N threads that hold locks, 0 lets them go; `busy`
 * N starts N threads that lock and unlock all the time; `violate` N takes two
 * locks in the wrong order N times; `nmi` N fires N NMIs while locks are held;
 * `failures` counts wrong results.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/module.h>

#include "held.h"

static const char *const order_names[] = { "outer", "middle", "inner", "never" };

struct reeve_hierarchy *held_hierarchy;
atomic_t held_failures;

static int violate_lock, violate_other;

static noinline void held_take_inner(void)
{
	EXPECT(reeve_record_lock(held_hierarchy, &violate_lock, HELD_INNER,
				 REEVE_LOCK_EXCLUSIVE));
}

static noinline void held_wrong_order(void)
{
	EXPECT(!reeve_record_lock(held_hierarchy, &violate_other, HELD_OUTER,
				  REEVE_LOCK_SHARED));
}

static void held_violate(void)
{
	struct reeve_thread_context ctx;

	EXPECT(reeve_thread_context_enter(&ctx));
	held_take_inner();
	held_wrong_order();
	EXPECT(reeve_record_unlock(held_hierarchy, &violate_lock, HELD_INNER,
				   REEVE_LOCK_EXCLUSIVE));
	EXPECT(reeve_record_unlock(held_hierarchy, &violate_other, HELD_OUTER,
				   REEVE_LOCK_SHARED));
	EXPECT(reeve_thread_context_leave(&ctx));
}

/* Parameters that do something when they are written; they wait for init. */
static int held_number(const char *value, unsigned int *number)
{
	if (!held_hierarchy)
		return -EAGAIN;
	return kstrtouint(value, 0, number);
}

static int set_hold(const char *value, const struct kernel_param *kp)
{
	unsigned int count;
	int ret = held_number(value, &count);

	if (ret)
		return ret;
	held_threads_stop();
	return held_threads_start(count, false);
}

static int set_busy(const char *value, const struct kernel_param *kp)
{
	unsigned int count;
	int ret = held_number(value, &count);

	if (ret)
		return ret;
	held_threads_stop();
	return held_threads_start(count, true);
}

static int set_violate(const char *value, const struct kernel_param *kp)
{
	unsigned int count;
	int ret = held_number(value, &count);

	if (ret)
		return ret;
	while (count--)
		held_violate();
	return 0;
}

static int set_nmi(const char *value, const struct kernel_param *kp)
{
	unsigned int count;
	int ret = held_number(value, &count);

	return ret ?: held_fire_nmis(count);
}

static int get_failures(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%d\n", atomic_read(&held_failures));
}

static const struct kernel_param_ops hold_ops = { .set = set_hold };
static const struct kernel_param_ops busy_ops = { .set = set_busy };
static const struct kernel_param_ops violate_ops = { .set = set_violate };
static const struct kernel_param_ops nmi_ops = { .set = set_nmi };
static const struct kernel_param_ops failures_ops = { .get = get_failures };

module_param_cb(hold, &hold_ops, NULL, 0200);
module_param_cb(busy, &busy_ops, NULL, 0200);
module_param_cb(violate, &violate_ops, NULL, 0200);
module_param_cb(nmi, &nmi_ops, NULL, 0200);
module_param_cb(failures, &failures_ops, NULL, 0400);

static int __init held_init(void)
{
	struct reeve_hierarchy *h;

	h = reeve_hierarchy_register("reeve_held", order_names, HELD_COUNT);
	if (IS_ERR(h))
		return PTR_ERR(h);
	EXPECT(reeve_hierarchy_set_nestable(h, HELD_MIDDLE) == 0);
	held_hierarchy = h;
	return 0;
}

static void __exit held_exit(void)
{
	held_threads_stop();
	reeve_hierarchy_unregister(held_hierarchy);
}

module_init(held_init);
module_exit(held_exit);
MODULE_DESCRIPTION("Holds tracked locks for tests to look at");
MODULE_LICENSE("GPL");
