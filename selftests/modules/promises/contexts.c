// SPDX-License-Identifier: GPL-2.0
/* Threads with a context, without one, and with one put aside. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>

#include "promises.h"

static int objects[REEVE_MAX_HELD + 1];

/* A user's thread, and no hierarchy gives contexts. */
int promises_without(unsigned int unused)
{
	struct reeve_thread_context ctx;

	EXPECT(!reeve_thread_has_context());
	EXPECT(!reeve_record_lock(promises, &objects[0], OUTER, EXCLUSIVE));
	EXPECT(!reeve_record_lock_keyed(promises, &objects[0], NESTS,
					EXCLUSIVE, 1));
	EXPECT(!reeve_record_unlock(promises, &objects[0], OUTER, EXCLUSIVE));
	EXPECT(!reeve_record_downgrade(promises, &objects[0], OUTER));
	EXPECT(!reeve_record_acquired(promises, &objects[0], OUTER));
	EXPECT(!reeve_record_wait(promises, &objects[0], OUTER));
	EXPECT(!reeve_record_handover(promises, &objects[0], OUTER));
	EXPECT(!reeve_record_adopt(promises, &objects[0], OUTER));
	EXPECT(!reeve_check_locked(promises, &objects[0], OUTER, EXCLUSIVE));
	EXPECT(!reeve_thread_context_save(&ctx));
	EXPECT(!reeve_thread_context_restore(&ctx));
	EXPECT(!reeve_tracking_disable());
	EXPECT(!reeve_tracking_enable());
	EXPECT(reeve_check_lockable_order(promises, OUTER, 0));
	EXPECT(reeve_check_unlocked_order(promises, OUTER));
	EXPECT(reeve_check_all_unlocked(promises));
	EXPECT(reeve_check_no_locks_freed(objects, sizeof(objects)));
	EXPECT(!reeve_thread_has_context());
	return 0;
}

static void fill_up(unsigned int room)
{
	unsigned int i;

	for (i = 0; i < room; i++)
		EXPECT(reeve_record_lock(promises, &objects[i], NESTS, SHARED));
	EXPECT(!reeve_record_lock(promises, &objects[i], NESTS, SHARED));
	EXPECT(reeve_record_unlock(promises, &objects[i], NESTS, SHARED));
	while (i--)
		EXPECT(reeve_record_unlock(promises, &objects[i], NESTS,
					   SHARED));
	EXPECT(reeve_check_all_unlocked(promises));
}

/* With something put aside: room for 64, and what a restore finds held. */
int promises_aside(unsigned int unused)
{
	struct reeve_thread_context ctx, aside;

	EXPECT(reeve_thread_context_enter_deep(&ctx));
	EXPECT(reeve_record_lock(promises, &objects[0], OUTER, EXCLUSIVE));
	EXPECT(reeve_tracking_disable());
	EXPECT(reeve_thread_context_save(&aside));
	/* Not disabled any more, nothing held. */
	EXPECT(!reeve_check_locked(promises, &objects[0], OUTER, EXCLUSIVE));
	fill_up(REEVE_MAX_HELD);
	EXPECT(!reeve_check_no_locks_freed(&objects[0], sizeof(objects[0])));
	/* What is held then is reported, and forgotten. */
	EXPECT(reeve_record_lock(promises, &objects[1], INNER, EXCLUSIVE));
	EXPECT(!reeve_thread_context_restore(&aside));
	EXPECT(reeve_check_locked(promises, &objects[9], INNER, EXCLUSIVE));
	EXPECT(reeve_tracking_enable());
	EXPECT(reeve_check_unlocked_order(promises, INNER));
	EXPECT(reeve_check_locked(promises, &objects[0], OUTER, EXCLUSIVE));
	EXPECT(reeve_record_unlock(promises, &objects[0], OUTER, EXCLUSIVE));
	EXPECT(reeve_thread_context_leave(&ctx));
	return 0;
}

static DECLARE_COMPLETION(ended);

/* Was given a context by a record, and ends with a lock held. */
static noinline int ends_given(void *h)
{
	EXPECT(reeve_record_lock(h, &objects[2], OUTER, EXCLUSIVE));
	kthread_complete_and_exit(&ended, 0);
}

int promises_ends_given(unsigned int unused)
{
	static const char *const names[] = { "one" };
	struct reeve_hierarchy *h;
	struct task_struct *task;

	h = reeve_hierarchy_register_flags("promises_given", names, 1,
					   REEVE_HIERARCHY_AUTOMATIC);
	if (IS_ERR(h))
		return PTR_ERR(h);
	task = kthread_run(ends_given, h, "promises/given");
	EXPECT(!IS_ERR(task));
	if (!IS_ERR(task))
		wait_for_completion(&ended);
	/* Free again, however late the task is seen to have ended. */
	while (!IS_ERR(task) && reeve_hierarchy_unregister(h) == -EBUSY)
		schedule_timeout_idle(1);
	return 0;
}

static int ends_inside(void *unused)
{
	struct reeve_thread_context ctx;

	EXPECT(reeve_thread_context_enter(&ctx));
	kthread_complete_and_exit(&ended, 0);
}

/* Nothing looks for it but the tracker itself. */
int promises_ends_inside(unsigned int unused)
{
	struct task_struct *task = kthread_run(ends_inside, NULL,
					       "promises/inside");

	EXPECT(!IS_ERR(task));
	if (!IS_ERR(task))
		wait_for_completion(&ended);
	return 0;
}

/* Locks that are waited for count, those beside the memory do not. */
int promises_free(unsigned int unused)
{
	struct reeve_thread_context ctx;

	EXPECT(reeve_thread_context_enter(&ctx));
	EXPECT(reeve_record_lock(promises, &objects[3], OUTER,
				 EXCLUSIVE | REEVE_LOCK_WAITING));
	EXPECT(!reeve_check_no_locks_freed(&objects[3], sizeof(objects[3])));
	EXPECT(!reeve_check_no_locks_freed(&objects[3], 1));
	EXPECT(reeve_check_no_locks_freed(&objects[3], 0));
	EXPECT(reeve_check_no_locks_freed(&objects[2], sizeof(objects[2])));
	EXPECT(reeve_check_no_locks_freed(&objects[4], sizeof(objects[4])));
	EXPECT(reeve_record_unlock(promises, &objects[3], OUTER, EXCLUSIVE));
	EXPECT(reeve_check_no_locks_freed(objects, sizeof(objects)));
	EXPECT(reeve_thread_context_leave(&ctx));
	return 0;
}

/* The thread that writes stays inside, over a switch of tracking. */
static struct reeve_thread_context staying;

int promises_enter(unsigned int on)
{
	if (on)
		EXPECT(reeve_thread_context_enter(&staying));
	else
		EXPECT(reeve_thread_context_leave(&staying));
	return 0;
}

/* Whether it may hold what is not recorded. */
int promises_ignorant(unsigned int expected)
{
	EXPECT(reeve_check_locked(promises, &objects[5], OUTER, EXCLUSIVE) ==
	       expected);
	EXPECT(reeve_record_lock(promises, &objects[0], OUTER, EXCLUSIVE));
	/* What is not recorded may be deeper: then it may go in any order. */
	EXPECT(reeve_record_lock(promises, &objects[1], MIDDLE,
				 EXCLUSIVE | REEVE_LOCK_TRYLOCK));
	EXPECT(reeve_record_lock(promises, &objects[2], INNER, EXCLUSIVE));
	if (!expected)
		EXPECT(reeve_record_unlock(promises, &objects[2], INNER,
					   EXCLUSIVE));
	EXPECT(reeve_record_unlock(promises, &objects[1], MIDDLE, EXCLUSIVE));
	if (expected)
		EXPECT(reeve_record_unlock(promises, &objects[2], INNER,
					   EXCLUSIVE));
	EXPECT(reeve_record_unlock(promises, &objects[0], OUTER, EXCLUSIVE));
	return 0;
}

static noinline void hold_by_ip(void)
{
	EXPECT(reeve_record_lock_keyed_ip(promises, &objects[6], NESTS,
					  EXCLUSIVE, 7, _RET_IP_));
	EXPECT(!reeve_record_downgrade_ip(promises, &objects[7], NESTS,
					  _RET_IP_));
	EXPECT(reeve_record_downgrade_ip(promises, &objects[6], NESTS,
					 _RET_IP_));
	EXPECT(reeve_record_unlock(promises, &objects[6], NESTS, SHARED));
}

/* A report that has the places that wrappers were told, each this one. */
int promises_by_ip(unsigned int unused)
{
	struct reeve_thread_context ctx;

	EXPECT(reeve_thread_context_enter(&ctx));
	hold_by_ip();
	EXPECT(reeve_thread_context_leave(&ctx));
	return 0;
}
