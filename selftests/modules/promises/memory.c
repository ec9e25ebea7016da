// SPDX-License-Identifier: GPL-2.0
/*
 * What is done without memory. `fail_nth` makes the next allocation of the task
 * fail; the script has said that it may.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/preempt.h>
#include <linux/sched.h>

#include "promises.h"

static int objects[REEVE_MAX_HELD + 2];

#ifdef CONFIG_FAULT_INJECTION
static void fail_next(void)
{
	current->fail_nth = 1;
}

/* Whether something was allocated since, which failed then. */
static bool has_failed(void)
{
	bool failed = !current->fail_nth;

	current->fail_nth = 0;
	return failed;
}

static void take(unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		EXPECT(reeve_record_lock(promises, &objects[i], NESTS, SHARED));
}

static void put(unsigned int count)
{
	while (count--)
		EXPECT(reeve_record_unlock(promises, &objects[count], NESTS,
					   SHARED));
	EXPECT(reeve_check_all_unlocked(promises));
}

/* Without memory for more room there is the usual one. */
static void promises_enter_deep(struct reeve_thread_context *ctx)
{
	fail_next();
	EXPECT(!reeve_thread_context_enter_deep(ctx));
	EXPECT(has_failed());
	EXPECT(reeve_thread_has_context());
	take(REEVE_MAX_HELD);
	EXPECT(!reeve_record_lock(promises, &objects[REEVE_MAX_HELD], NESTS,
				  SHARED));
	EXPECT(reeve_record_unlock(promises, &objects[REEVE_MAX_HELD], NESTS,
				   SHARED));
	put(REEVE_MAX_HELD);
	EXPECT(reeve_thread_context_leave(ctx));
}

int promises_no_room(unsigned int unused)
{
	struct reeve_thread_context ctx, inner;

	promises_enter_deep(&ctx);
	EXPECT(!reeve_thread_has_context());
	/* The inner one of two; the outer one stays what it was. */
	EXPECT(reeve_thread_context_enter(&ctx));
	promises_enter_deep(&inner);
	EXPECT(reeve_thread_has_context());
	EXPECT(reeve_thread_context_leave(&ctx));
	/* With memory; and then with what that left. */
	EXPECT(reeve_thread_context_enter_deep(&ctx));
	take(REEVE_MAX_HELD + 2);
	put(REEVE_MAX_HELD + 2);
	EXPECT(reeve_thread_context_leave(&ctx));
	fail_next();
	EXPECT(reeve_thread_context_enter_deep(&ctx));
	EXPECT(!has_failed());
	take(REEVE_MAX_HELD + 2);
	put(REEVE_MAX_HELD + 2);
	EXPECT(reeve_thread_context_leave(&ctx));
	return 0;
}

/*
 * Each allocation of a registration fails once; what the allocator can do
 * without does not matter.
 */
int promises_no_names(unsigned int unused)
{
	static const char *const names[] = { "one", "two", "three" };
	struct reeve_hierarchy *h;
	unsigned int n, refused = 0;

	for (n = 1; n < 100; n++) {
		current->fail_nth = n;
		h = reeve_hierarchy_register("promises_names", names, 3);
		if (!has_failed())
			break;
		if (!IS_ERR(h)) {
			EXPECT(!reeve_hierarchy_unregister(h));
			continue;
		}
		EXPECT(PTR_ERR(h) == -ENOMEM);
		refused++;
	}
	/* At least for each name. */
	EXPECT(refused >= 4 && n < 100);
	return reeve_hierarchy_unregister(h);
}

/* More than there are contexts left, however many were used before. */
#define SAVES 2048

static struct reeve_thread_context saves[SAVES];
static struct reeve_hierarchy *strict;
static bool is_empty, is_refused;
static DECLARE_COMPLETION(may_leave);
static DECLARE_COMPLETION(has_left);

static void wait_for(bool *flag)
{
	unsigned long limit = jiffies + 20 * HZ;

	while (!READ_ONCE(*flag) && time_before(jiffies, limit))
		cpu_relax();
	EXPECT(READ_ONCE(*flag));
}

/* Finds no context left, on another CPU than the one that took them all. */
static int refused(void *unused)
{
	struct reeve_thread_context ctx;

	wait_for(&is_empty);
	fail_next();
	EXPECT(!reeve_thread_context_enter(&ctx));
	EXPECT(has_failed());
	/* It is left in peace, whatever it does. */
	EXPECT(reeve_record_lock(strict, &objects[0], 2, EXCLUSIVE));
	EXPECT(reeve_record_lock(strict, &objects[0], 1, EXCLUSIVE));
	EXPECT(reeve_check_locked(strict, &objects[1], 1, EXCLUSIVE));
	EXPECT(reeve_record_unlock(strict, &objects[1], 1, EXCLUSIVE));
	EXPECT(!reeve_thread_has_context());
	WRITE_ONCE(is_refused, true);
	wait_for_completion(&may_leave);
	EXPECT(reeve_thread_context_leave(&ctx));
	EXPECT(!reeve_record_lock(strict, &objects[0], 1, EXCLUSIVE));
	kthread_complete_and_exit(&has_left, 0);
}

/*
 * Puts an empty context aside until there is none left for it, and no memory.
 * Meanwhile this CPU's worker, which would make more, can't run.
 */
static unsigned int exhaust(void)
{
	unsigned int i;

	for (i = 0; i < SAVES; i++) {
		EXPECT(reeve_record_lock(promises, &objects[i % 2], OUTER,
					 EXCLUSIVE));
		fail_next();
		EXPECT(reeve_thread_context_save(&saves[i]));
		if (has_failed())
			return i;
	}
	EXPECT(!"it ends");
	return SAVES - 1;
}

static void bring_back(unsigned int i)
{
	/* The last one was lost, so nothing is known of what was held. */
	EXPECT(reeve_check_all_unlocked(promises));
	EXPECT(reeve_thread_context_restore(&saves[i]));
	EXPECT(reeve_check_locked(promises, &objects[2], OUTER, EXCLUSIVE));
	EXPECT(reeve_record_unlock(promises, &objects[i % 2], OUTER,
				   EXCLUSIVE));
	EXPECT(reeve_check_all_unlocked(promises));
	while (i--) {
		EXPECT(reeve_thread_context_restore(&saves[i]));
		EXPECT(reeve_record_unlock(promises, &objects[i % 2], OUTER,
					   EXCLUSIVE));
	}
	EXPECT(reeve_check_all_unlocked(promises));
}

int promises_no_context(unsigned int unused)
{
	static const char *const names[] = { "one", "two" };
	struct reeve_thread_context ctx;
	struct task_struct *task;
	unsigned int last, other;

	if (num_online_cpus() < 2)
		return 0;
	strict = reeve_hierarchy_register_flags("promises_strict", names, 2,
						REEVE_HIERARCHY_STRICT);
	if (IS_ERR(strict))
		return PTR_ERR(strict);
	EXPECT(reeve_thread_context_enter(&ctx));
	is_empty = false;
	is_refused = false;
	migrate_disable();
	other = cpumask_any_but(cpu_online_mask, raw_smp_processor_id());
	task = kthread_create(refused, NULL, "promises/refused");
	if (IS_ERR(task)) {
		migrate_enable();
		EXPECT(reeve_thread_context_leave(&ctx));
		return PTR_ERR(task);
	}
	kthread_bind(task, other);
	wake_up_process(task);
	preempt_disable();
	last = exhaust();
	WRITE_ONCE(is_empty, true);
	wait_for(&is_refused);
	preempt_enable();
	migrate_enable();
	bring_back(last);
	EXPECT(reeve_thread_context_leave(&ctx));
	/* As long as there is one, others without a context are not reported. */
	EXPECT(reeve_record_lock(promises, &objects[0], OUTER, EXCLUSIVE));
	complete(&may_leave);
	wait_for_completion(&has_left);
	EXPECT(!reeve_record_lock(promises, &objects[0], OUTER, EXCLUSIVE));
	EXPECT(!reeve_hierarchy_unregister(strict));
	return 0;
}
#else
int promises_no_names(unsigned int unused)
{
	return -EOPNOTSUPP;
}

int promises_no_room(unsigned int unused)
{
	return -EOPNOTSUPP;
}

int promises_no_context(unsigned int unused)
{
	return -EOPNOTSUPP;
}
#endif
