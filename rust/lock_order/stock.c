// SPDX-License-Identifier: GPL-2.0
/*
 * The memory of contexts, which is not returned while the module is loaded, and
 * the life of the tasks they are of.
 */
#include <linux/irq_work.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/tracepoint.h>
#include <linux/workqueue.h>
#include <trace/events/sched.h>

#include "lock_order.h"

/* So many contexts are made at once. */
#define REEVE_CHUNK 256
/* With fewer than this left, more are made. */
#define REEVE_LOW 128

struct reeve_chunk {
	struct reeve_chunk *next;
	bool is_page;
	struct reeve_context contexts[];
};

#define REEVE_PER_PAGE \
	((PAGE_SIZE - sizeof(struct reeve_chunk)) / sizeof(struct reeve_context))

/* A leaf: nothing is taken under it. */
static DEFINE_RAW_SPINLOCK(reeve_stock_lock);
static struct reeve_chunk *reeve_chunks;
static struct reeve_context *reeve_stock;
static unsigned int reeve_stock_left;
static bool reeve_is_loaded;

static void reeve_stock_add(struct reeve_chunk *chunk, unsigned int count)
{
	unsigned int i;

	lockdep_assert_held(&reeve_stock_lock);
	chunk->next = reeve_chunks;
	reeve_chunks = chunk;
	for (i = 0; i < count; i++) {
		chunk->contexts[i].next = reeve_stock;
		reeve_stock = &chunk->contexts[i];
	}
	reeve_stock_left += count;
}

static int reeve_stock_refill(void)
{
	struct reeve_chunk *chunk;

	/* More than a page, so aligned to one. */
	chunk = kvzalloc(struct_size(chunk, contexts, REEVE_CHUNK), GFP_KERNEL);
	if (!chunk)
		return -ENOMEM;
	raw_spin_lock_irq(&reeve_stock_lock);
	reeve_stock_add(chunk, REEVE_CHUNK);
	raw_spin_unlock_irq(&reeve_stock_lock);
	return 0;
}

/* Another failure is not worth a word: the next take tries again. */
static void reeve_refill(struct work_struct *work)
{
	reeve_stock_refill();
}

static DECLARE_WORK(reeve_refill_work, reeve_refill);

/* The caller may hold any lock, those of workqueues among them. */
static void reeve_want_more(struct irq_work *work)
{
	schedule_work(&reeve_refill_work);
}

static DEFINE_IRQ_WORK(reeve_want_more_work, reeve_want_more);

/*
 * A page of contexts where nothing may sleep; null: none. PREEMPT_RT's
 * allocator takes locks that sleep, whatever it is asked for.
 */
static struct reeve_chunk *reeve_page_of_contexts(void)
{
	struct reeve_chunk *chunk;

	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		return NULL;
	chunk = (struct reeve_chunk *)get_zeroed_page(GFP_NOWAIT | __GFP_NOWARN);
	if (chunk)
		chunk->is_page = true;
	return chunk;
}

/* A context that is all 0; null: no memory, or an NMI. Any locks held. */
struct reeve_context *reeve_helper_stock_take(void)
{
	struct reeve_chunk *chunk = NULL;
	struct reeve_context *ctx;
	unsigned long flags;
	bool low;

	if (in_nmi())
		return NULL;
	if (!READ_ONCE(reeve_stock))
		chunk = reeve_page_of_contexts();
	raw_spin_lock_irqsave(&reeve_stock_lock, flags);
	if (chunk)
		reeve_stock_add(chunk, REEVE_PER_PAGE);
	ctx = reeve_stock;
	if (ctx) {
		reeve_stock = ctx->next;
		reeve_stock_left--;
		ctx->next = NULL;
	}
	low = reeve_stock_left < REEVE_LOW;
	raw_spin_unlock_irqrestore(&reeve_stock_lock, flags);
	if (low)
		irq_work_queue(&reeve_want_more_work);
	return ctx;
}

/* Room for more locks of one thread. */
struct reeve_more {
	u64 words[REEVE_MORE_WORDS];
	struct reeve_more *next;
	struct reeve_more *all;
};

static struct reeve_more *reeve_more_free;
static struct reeve_more *reeve_more_all;

/* Null: no memory. May sleep. It is not returned while the module is loaded. */
void *reeve_helper_more_take(void)
{
	struct reeve_more *more;
	unsigned long flags;

	raw_spin_lock_irqsave(&reeve_stock_lock, flags);
	more = reeve_more_free;
	if (more)
		reeve_more_free = more->next;
	raw_spin_unlock_irqrestore(&reeve_stock_lock, flags);
	if (more)
		return more->words;
	more = kzalloc_obj(*more);
	if (!more)
		return NULL;
	raw_spin_lock_irqsave(&reeve_stock_lock, flags);
	more->all = reeve_more_all;
	reeve_more_all = more;
	raw_spin_unlock_irqrestore(&reeve_stock_lock, flags);
	return more->words;
}

/* Any locks held. */
void reeve_helper_more_put(void *room)
{
	struct reeve_more *more = room;
	unsigned long flags;

	raw_spin_lock_irqsave(&reeve_stock_lock, flags);
	more->next = reeve_more_free;
	reeve_more_free = more;
	raw_spin_unlock_irqrestore(&reeve_stock_lock, flags);
}

/* So that the task's address stays its own until reeve_helper_ended(). */
void reeve_helper_hold_task(unsigned long task)
{
	get_task_struct(reeve_task_of(task));
}

/* Whether it runs no code of drivers any more. In an RCU read-side section. */
bool reeve_helper_task_has_ended(unsigned long task)
{
	return READ_ONCE(reeve_task_of(task)->exit_state) != 0;
}

/*
 * Whether the call is over that passed @cookie to the enter that wrote @token
 * there: @passed is passed now, by the same task. Where it was not on the stack,
 * nothing is known. Only memory of the caller's own stack is read.
 */
bool reeve_helper_is_over(const struct reeve_thread_context *cookie,
			  const struct reeve_thread_context *passed, u64 token)
{
	unsigned long at = (unsigned long)cookie;
	unsigned long start = (unsigned long)task_stack_page(current);
	unsigned long here = (unsigned long)__builtin_frame_address(0);

	if (cookie != passed) {
		if (at < start || at > start + THREAD_SIZE - sizeof(*cookie))
			return false;
		if (at < here)
			return true;
	}
	return READ_ONCE_NOCHECK(cookie->opaque[0]) != token;
}

/* Tasks that ended inside are found now and then, and where it is possible at once. */
static void reeve_sweep(struct work_struct *work);
static DECLARE_DEFERRABLE_WORK(reeve_sweep_work, reeve_sweep);

static void reeve_sweep(struct work_struct *work)
{
	reeve_rs_sweep();
	schedule_delayed_work(&reeve_sweep_work, HZ);
}

#ifdef CONFIG_TRACEPOINTS
static struct tracepoint *reeve_exit_point;

/* Every argument as the tracepoint has it: the call is an indirect one. */
static void reeve_task_ends(void *data, struct task_struct *task, bool last)
{
	reeve_rs_task_ends((unsigned long)task);
}

static void reeve_find_exit_point(struct tracepoint *point, void *data)
{
	if (!strcmp(point->name, "sched_process_exit"))
		reeve_exit_point = point;
}

static void reeve_watch_tasks(void)
{
	for_each_kernel_tracepoint(reeve_find_exit_point, NULL);
	if (reeve_exit_point &&
	    tracepoint_probe_register(reeve_exit_point, reeve_task_ends, NULL))
		reeve_exit_point = NULL;
}

static void reeve_unwatch_tasks(void)
{
	if (!reeve_exit_point)
		return;
	tracepoint_probe_unregister(reeve_exit_point, reeve_task_ends, NULL);
	tracepoint_synchronize_unregister();
	reeve_exit_point = NULL;
}
#else
static void reeve_watch_tasks(void)
{
}

static void reeve_unwatch_tasks(void)
{
}
#endif

/* Before anything enters a context. A task, may sleep. -ENOMEM. */
int reeve_helper_stock_init(void)
{
	int ret = reeve_stock_refill();

	if (ret)
		return ret;
	reeve_is_loaded = true;
	reeve_watch_tasks();
	schedule_delayed_work(&reeve_sweep_work, HZ);
	return 0;
}

/* The last use of any context was before; ends what init began, if it did. */
void reeve_helper_stock_exit(void)
{
	struct reeve_chunk *chunk;
	struct reeve_more *more;

	if (!reeve_is_loaded)
		return;
	reeve_is_loaded = false;
	reeve_unwatch_tasks();
	cancel_delayed_work_sync(&reeve_sweep_work);
	irq_work_sync(&reeve_want_more_work);
	cancel_work_sync(&reeve_refill_work);
	while ((chunk = reeve_chunks)) {
		reeve_chunks = chunk->next;
		if (chunk->is_page)
			free_page((unsigned long)chunk);
		else
			kvfree(chunk);
	}
	while ((more = reeve_more_all)) {
		reeve_more_all = more->all;
		kfree(more);
	}
	reeve_more_free = NULL;
}
