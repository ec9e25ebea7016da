// SPDX-License-Identifier: GPL-2.0
/*
 * Threads that end or go on without leaving their context: what the tracker
 * makes of it, and that it writes to no memory but its own.
 *
 * Parameters, each of which runs one scene when it is written: `forget` enters
 * and does not leave, with N locks held; `correct` takes and releases two locks
 * between an enter and its leave; `end` N starts a kernel thread that ends inside
 * of its context with N locks held, and then N threads one after the other, with
 * a pattern in their frames; `aside` puts a lock aside for ever. `failures`
 * counts wrong results.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>

#include <reeve/lock_order.h>

#define EXCLUSIVE REEVE_LOCK_EXCLUSIVE
/* Threads that are made after one that ended inside. */
#define FOLLOWERS 64
#define PATTERN 0xa5

#define EXPECT(condition)                                                 \
	do {                                                              \
		if (!(condition)) {                                       \
			atomic_inc(&failures);                            \
			pr_err("line %d: %s\n", __LINE__, #condition);    \
		}                                                         \
	} while (0)

static const char *const order_names[] = { "outer", "inner" };
static struct reeve_hierarchy *hierarchy;
static atomic_t failures;
static int locks[2];

static noinline void life_take(unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		EXPECT(reeve_record_lock(hierarchy, &locks[i], i + 1,
					 EXCLUSIVE));
}

static noinline void life_forget(unsigned int count)
{
	struct reeve_thread_context ctx;

	reeve_thread_context_enter(&ctx);
	life_take(count);
}

static noinline void life_correct(void)
{
	struct reeve_thread_context ctx;

	EXPECT(reeve_thread_context_enter(&ctx));
	EXPECT(reeve_check_all_unlocked(hierarchy));
	life_take(2);
	EXPECT(reeve_record_unlock(hierarchy, &locks[1], 2, EXCLUSIVE));
	EXPECT(reeve_record_unlock(hierarchy, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_thread_context_leave(&ctx));
}

/* Its frame is a pattern that only it writes. */
static noinline void life_follow(unsigned int depth)
{
	volatile u8 frame[512];
	unsigned int i;

	for (i = 0; i < sizeof(frame); i++)
		frame[i] = PATTERN;
	if (depth)
		life_follow(depth - 1);
	else
		life_correct();
	for (i = 0; i < sizeof(frame); i++) {
		if (frame[i] == PATTERN)
			continue;
		EXPECT(!"a local variable was overwritten");
		break;
	}
}

static DECLARE_COMPLETION(life_done);

static int life_follower(void *unused)
{
	life_follow(8);
	kthread_complete_and_exit(&life_done, 0);
}

static int life_ends_inside(void *count)
{
	life_forget((unsigned long)count);
	kthread_complete_and_exit(&life_done, 0);
}

static int life_run(int (*f)(void *data), void *data)
{
	struct task_struct *task = kthread_run(f, data, "reeve_life");

	if (IS_ERR(task))
		return PTR_ERR(task);
	wait_for_completion(&life_done);
	return 0;
}

static int life_end(unsigned int count)
{
	int ret = life_run(life_ends_inside, (void *)(unsigned long)count);
	unsigned int i;

	for (i = 0; !ret && i < FOLLOWERS; i++)
		ret = life_run(life_follower, NULL);
	return ret;
}

static int life_aside(unsigned int unused)
{
	struct reeve_thread_context ctx, aside;

	EXPECT(reeve_thread_context_enter(&ctx));
	life_take(1);
	EXPECT(reeve_thread_context_save(&aside));
	EXPECT(reeve_check_all_unlocked(hierarchy));
	EXPECT(reeve_hierarchy_unregister(hierarchy) == -EBUSY);
	EXPECT(reeve_thread_context_restore(&aside));
	EXPECT(reeve_check_locked(hierarchy, &locks[0], 1, EXCLUSIVE));
	EXPECT(!reeve_thread_context_restore(&aside));
	EXPECT(reeve_check_locked(hierarchy, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_record_unlock(hierarchy, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_thread_context_leave(&ctx));
	return 0;
}

/* Each misuse, in an order in which none is to be believed. */
static int life_misuse(unsigned int unused)
{
	struct reeve_thread_context ctx, other;

	memset(&ctx, 0xff, sizeof(ctx));
	memset(&other, 0xff, sizeof(other));
	EXPECT(!reeve_thread_context_leave(&ctx));
	EXPECT(!reeve_thread_context_restore(&ctx));
	EXPECT(reeve_thread_context_enter(&ctx));
	EXPECT(!reeve_thread_context_enter(&ctx));
	EXPECT(reeve_thread_context_enter(&other));
	memset(&ctx, 0xff, sizeof(ctx));
	memset(&other, 0xff, sizeof(other));
	EXPECT(reeve_thread_context_leave(&other));
	EXPECT(reeve_thread_context_leave(&ctx));
	EXPECT(!reeve_thread_context_leave(&ctx));
	EXPECT(!reeve_thread_context_restore(&other));
	return 0;
}

static int life_forget_here(unsigned int count)
{
	life_forget(count);
	return 0;
}

static int life_correct_here(unsigned int unused)
{
	life_follow(0);
	return 0;
}

static int set_scene(const char *value, const struct kernel_param *kp)
{
	int (*scene)(unsigned int n) = kp->arg;
	unsigned int n;
	int ret;

	if (!hierarchy)
		return -EAGAIN;
	ret = kstrtouint(value, 0, &n);
	if (ret)
		return ret;
	return n > ARRAY_SIZE(locks) ? -EINVAL : scene(n);
}

static const struct kernel_param_ops scene_ops = { .set = set_scene };
module_param_cb(forget, &scene_ops, life_forget_here, 0200);
module_param_cb(correct, &scene_ops, life_correct_here, 0200);
module_param_cb(end, &scene_ops, life_end, 0200);
module_param_cb(aside, &scene_ops, life_aside, 0200);
module_param_cb(misuse, &scene_ops, life_misuse, 0200);

static int get_failures(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%d\n", atomic_read(&failures));
}

static const struct kernel_param_ops failures_ops = { .get = get_failures };
module_param_cb(failures, &failures_ops, NULL, 0444);

static int __init life_init(void)
{
	struct reeve_hierarchy *h = reeve_hierarchy_register("reeve_life",
							     order_names, 2);

	if (IS_ERR(h))
		return PTR_ERR(h);
	hierarchy = h;
	return 0;
}

static void __exit life_exit(void)
{
	EXPECT(!reeve_hierarchy_unregister(hierarchy));
}

module_init(life_init);
module_exit(life_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Threads that go without a leave");
