// SPDX-License-Identifier: GPL-2.0
/* What reports say, and what is shown of places that are gone. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched.h>

#include "promises.h"

static int objects[REEVE_MAX_HELD_DEEP];

static noinline void promises_wrong(void)
{
	EXPECT(!reeve_record_lock(promises, &objects[0], OUTER, EXCLUSIVE));
	barrier();
}

/* More callers than a report has frames. */
static noinline void promises_call(unsigned int depth)
{
	if (depth)
		promises_call(depth - 1);
	else
		promises_wrong();
	barrier();
}

int promises_call_deep(unsigned int unused)
{
	struct reeve_thread_context ctx;

	EXPECT(reeve_thread_context_enter(&ctx));
	EXPECT(reeve_record_lock(promises, &objects[1], MIDDLE, EXCLUSIVE));
	promises_call(12);
	EXPECT(reeve_record_unlock(promises, &objects[0], OUTER, EXCLUSIVE));
	EXPECT(reeve_record_unlock(promises, &objects[1], MIDDLE, EXCLUSIVE));
	EXPECT(reeve_thread_context_leave(&ctx));
	return 0;
}

/* So many mistakes, each of a pair of orders of which there was none before. */
int promises_many_pairs(unsigned int count)
{
	static const char *names[REEVE_MAX_ORDERS];
	static struct reeve_hierarchy *h;
	static unsigned int outer = 1, inner = 2;
	struct reeve_thread_context ctx;
	unsigned int i;

	if (!count) {
		EXPECT(!reeve_hierarchy_unregister(h));
		h = NULL;
		return 0;
	}
	for (i = 0; i < REEVE_MAX_ORDERS; i++)
		names[i] = "order";
	if (!h)
		h = reeve_hierarchy_register("promises_pairs", names,
					     REEVE_MAX_ORDERS);
	if (IS_ERR(h))
		return PTR_ERR(h);
	EXPECT(reeve_thread_context_enter(&ctx));
	while (count--) {
		EXPECT(reeve_record_lock(h, &objects[0], inner, EXCLUSIVE));
		EXPECT(!reeve_record_lock(h, &objects[1], outer, EXCLUSIVE));
		EXPECT(reeve_record_unlock(h, &objects[1], outer, EXCLUSIVE));
		EXPECT(reeve_record_unlock(h, &objects[0], inner, EXCLUSIVE));
		if (++outer == inner) {
			inner++;
			outer = 1;
		}
	}
	EXPECT(reeve_thread_context_leave(&ctx));
	return 0;
}

/* A check that lists what is held. */
int promises_list(unsigned int unused)
{
	struct reeve_thread_context ctx;

	EXPECT(reeve_thread_context_enter(&ctx));
	EXPECT(reeve_record_lock(promises, &objects[2], OUTER, SHARED));
	EXPECT(reeve_record_lock(promises, &objects[3], INNER, EXCLUSIVE));
	EXPECT(!reeve_check_all_unlocked(promises));
	EXPECT(!reeve_check_unlocked_order(promises, INNER));
	EXPECT(reeve_record_unlock(promises, &objects[3], INNER, EXCLUSIVE));
	EXPECT(reeve_record_unlock(promises, &objects[2], OUTER, SHARED));
	EXPECT(reeve_thread_context_leave(&ctx));
	return 0;
}

/* Of what is held one does not conflict, and it was taken first. */
int promises_mix(unsigned int unused)
{
	struct reeve_thread_context ctx;

	EXPECT(reeve_thread_context_enter(&ctx));
	EXPECT(reeve_record_lock(promises, &objects[4], OUTER, SHARED));
	EXPECT(reeve_record_lock(promises, &objects[5], INNER, EXCLUSIVE));
	EXPECT(!reeve_record_lock(promises, &objects[6], MIDDLE, EXCLUSIVE));
	EXPECT(reeve_record_unlock(promises, &objects[6], MIDDLE, EXCLUSIVE));
	EXPECT(reeve_record_unlock(promises, &objects[5], INNER, EXCLUSIVE));
	/* Against the order, as a trylock may be, and so the graph shows it. */
	EXPECT(reeve_record_lock(promises, &objects[5], SLEEPS, EXCLUSIVE));
	EXPECT(reeve_record_lock(promises, &objects[6], MIDDLE,
				 EXCLUSIVE | REEVE_LOCK_TRYLOCK));
	EXPECT(reeve_record_unlock(promises, &objects[6], MIDDLE, EXCLUSIVE));
	EXPECT(reeve_record_unlock(promises, &objects[5], SLEEPS, EXCLUSIVE));
	EXPECT(reeve_record_unlock(promises, &objects[4], OUTER, SHARED));
	EXPECT(reeve_thread_context_leave(&ctx));
	return 0;
}

/* A thread that holds so many locks, taken at a place that another module gives. */
static unsigned long place;
static struct task_struct *holder;
static DECLARE_COMPLETION(holds);

static int hold(void *data)
{
	struct reeve_thread_context ctx;
	unsigned int i, count = (unsigned long)data;

	EXPECT(reeve_thread_context_enter_deep(&ctx));
	for (i = 0; i < count; i++)
		EXPECT(reeve_record_lock_ip(promises, &objects[i], NESTS,
					    EXCLUSIVE, place));
	complete(&holds);
	for (;;) {
		set_current_state(TASK_IDLE);
		if (kthread_should_stop())
			break;
		schedule();
	}
	__set_current_state(TASK_RUNNING);
	while (count--)
		EXPECT(reeve_record_unlock(promises, &objects[count], NESTS,
					   EXCLUSIVE));
	EXPECT(reeve_thread_context_leave(&ctx));
	return 0;
}

void promises_take_at(unsigned long ip)
{
	place = ip;
}
EXPORT_SYMBOL_GPL(promises_take_at);

int promises_hold(unsigned int count)
{
	if (count > ARRAY_SIZE(objects))
		return -EINVAL;
	if (holder)
		kthread_stop(holder);
	holder = NULL;
	if (!count)
		return 0;
	holder = kthread_run(hold, (void *)(unsigned long)count,
			     "promises/hold");
	if (IS_ERR(holder)) {
		int ret = PTR_ERR(holder);

		holder = NULL;
		return ret;
	}
	wait_for_completion(&holds);
	return 0;
}
