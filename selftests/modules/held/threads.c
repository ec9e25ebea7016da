// SPDX-License-Identifier: GPL-2.0
/* Threads that hold locks, or take and release them, until they are stopped. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched.h>

#include "held.h"

#define HELD_MAX 200

struct held_thread {
	struct task_struct *task;
	struct completion ready;
	unsigned int index;
	bool busy;
	/* What is "locked": only their addresses matter. */
	char outer, first, second, inner;
};

static struct held_thread threads[HELD_MAX];
static unsigned int started;

/*
 * Of the middle order two, the one with the higher address first: their keys
 * say otherwise. An unlock may find nothing held, if tracking was switched on
 * after the lock was taken, so its result is true as well.
 */
static noinline void held_take(struct held_thread *t)
{
	EXPECT(reeve_record_lock(held_hierarchy, &t->outer, HELD_OUTER,
				 REEVE_LOCK_SHARED));
	EXPECT(reeve_record_lock_keyed(held_hierarchy, &t->second, HELD_MIDDLE,
				       REEVE_LOCK_EXCLUSIVE, 2 * t->index));
	EXPECT(reeve_record_lock_keyed(held_hierarchy, &t->first, HELD_MIDDLE,
				       REEVE_LOCK_EXCLUSIVE, 2 * t->index + 1));
}

static noinline void held_release(struct held_thread *t)
{
	EXPECT(reeve_record_unlock(held_hierarchy, &t->first, HELD_MIDDLE,
				   REEVE_LOCK_EXCLUSIVE));
	EXPECT(reeve_record_unlock(held_hierarchy, &t->second, HELD_MIDDLE,
				   REEVE_LOCK_EXCLUSIVE));
	EXPECT(reeve_record_unlock(held_hierarchy, &t->outer, HELD_OUTER,
				   REEVE_LOCK_SHARED));
}

static void held_round(struct held_thread *t)
{
	held_take(t);
	EXPECT(reeve_record_lock(held_hierarchy, &t->inner, HELD_INNER,
				 REEVE_LOCK_EXCLUSIVE));
	EXPECT(reeve_record_unlock(held_hierarchy, &t->inner, HELD_INNER,
				   REEVE_LOCK_EXCLUSIVE));
	held_release(t);
}

static int held_thread(void *data)
{
	struct held_thread *t = data;
	struct reeve_thread_context ctx;

	EXPECT(reeve_thread_context_enter(&ctx));
	if (t->busy) {
		/* Always running, but the reader comes first. */
		set_user_nice(current, MAX_NICE);
		complete(&t->ready);
		while (!kthread_should_stop()) {
			held_round(t);
			cond_resched();
		}
	} else {
		held_take(t);
		complete(&t->ready);
		for (;;) {
			set_current_state(TASK_IDLE);
			if (kthread_should_stop())
				break;
			schedule();
		}
		__set_current_state(TASK_RUNNING);
		held_release(t);
	}
	EXPECT(reeve_thread_context_leave(&ctx));
	return 0;
}

int held_threads_start(unsigned int count, bool busy)
{
	if (count > HELD_MAX)
		return -EINVAL;
	while (started < count) {
		struct held_thread *t = &threads[started];

		init_completion(&t->ready);
		t->index = started;
		t->busy = busy;
		t->task = kthread_run(held_thread, t, "held/%u", started);
		if (IS_ERR(t->task)) {
			held_threads_stop();
			return PTR_ERR(t->task);
		}
		started++;
		wait_for_completion(&t->ready);
	}
	return 0;
}

void held_threads_stop(void)
{
	while (started)
		kthread_stop(threads[--started].task);
}
