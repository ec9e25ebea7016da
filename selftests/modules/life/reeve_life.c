// SPDX-License-Identifier: GPL-2.0
/*
 * Threads that end or go on without leaving their context: what the tracker
 * makes of it, and that it writes to no memory but its own.
 *
 * Parameters, each of which runs one scene when it is written: `forget` enters
 * and does not leave, with N locks held; `correct` takes and releases two locks
 * between an enter and its leave; `end` N starts a kernel thread that ends inside
 * of its context with N locks held, and then N threads one after the other, with
 * a pattern in their frames; `aside` puts a lock aside and takes it back;
 * `misuse` does what no driver should. `leak` takes a lock in an interrupt and does
 * not release it; `stale` and `home` use a hierarchy that is gone; `automatic` uses one
 * without entering; `many` has hundreds of threads inside at once; `idle` runs
 * cross-calls, of which some hit the idle task; `console` has reports printed to
 * a console that records a lock; `irq` N has an interrupt handled, by a thread if
 * N is 1; `nested` is what acts like an NMI within another; `disabled` leaves
 * with tracking disabled; `goes` looks at when contexts go that records gave;
 * `switched` 1 takes a lock without an enter and 0 releases it, while tracking is
 * switched in between; `deep` 2 holds as many locks as there is room for, 1 has a
 * thread hold 200 until 0 is written; `soft` has a soft irq preempted by another.
 * `failures` counts wrong results.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/console.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/irq_work.h>
#include <linux/jiffies.h>
#include <linux/kdebug.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/timer.h>

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
	u8 frame[512];

	memset(frame, PATTERN, sizeof(frame));
	barrier_data(frame);
	if (depth)
		life_follow(depth - 1);
	else
		life_correct();
	barrier_data(frame);
	EXPECT(!memchr_inv(frame, PATTERN, sizeof(frame)));
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

/* Leaves with tracking disabled; the next context has it enabled. */
static noinline int life_disabled(unsigned int unused)
{
	struct reeve_thread_context ctx;

	EXPECT(reeve_thread_context_enter(&ctx));
	EXPECT(reeve_tracking_disable());
	EXPECT(!reeve_thread_context_leave(&ctx));
	EXPECT(reeve_thread_context_enter(&ctx));
	EXPECT(!reeve_check_locked(hierarchy, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_tracking_disable());
	EXPECT(reeve_tracking_enable());
	EXPECT(reeve_thread_context_leave(&ctx));
	return 0;
}

static struct hrtimer life_timer;
static bool life_leaks;
static int life_leaked, life_clean;

static noinline void life_handler(void)
{
	if (life_leaks) {
		EXPECT(reeve_record_lock(hierarchy, &life_leaked, 2,
					 EXCLUSIVE));
		return;
	}
	EXPECT(reeve_check_all_unlocked(hierarchy));
	EXPECT(reeve_record_lock(hierarchy, &life_clean, 1, EXCLUSIVE));
	/* A mistake that is to be reported as the interrupt's. */
	EXPECT(!reeve_record_unlock(hierarchy, &life_clean, 1, EXCLUSIVE |
				    REEVE_LOCK_SHARED));
	EXPECT(reeve_record_unlock(hierarchy, &life_clean, 1, EXCLUSIVE));
}

static enum hrtimer_restart life_expired(struct hrtimer *timer)
{
	EXPECT(in_hardirq());
	life_handler();
	complete(&life_done);
	return HRTIMER_NORESTART;
}

static void life_interrupt(bool leaks)
{
	life_leaks = leaks;
	hrtimer_start(&life_timer, ms_to_ktime(1),
		      HRTIMER_MODE_REL_PINNED_HARD);
	wait_for_completion(&life_done);
	hrtimer_cancel(&life_timer);
}

/* A handler forgets its unlock; those after it on the same CPU have no fault. */
static int life_leak(unsigned int unused)
{
	struct reeve_hierarchy *own = hierarchy, *h;

	h = reeve_hierarchy_register("reeve_life_leak", order_names, 2);
	if (IS_ERR(h))
		return PTR_ERR(h);
	hrtimer_setup(&life_timer, life_expired, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_HARD);
	hierarchy = h;
	migrate_disable();
	life_interrupt(true);
	life_interrupt(false);
	life_interrupt(false);
	life_interrupt(true);
	migrate_enable();
	hierarchy = own;
	EXPECT(reeve_hierarchy_unregister(h) == -EBUSY);
	EXPECT(!reeve_hierarchy_forget(h));
	EXPECT(reeve_hierarchy_forget(h) == -EINVAL);
	return 0;
}

/* More often than hierarchies can be registered at once. */
static int life_stale(unsigned int unused)
{
	struct reeve_hierarchy *gone, *h;
	struct reeve_thread_context ctx;
	unsigned int i;

	EXPECT(reeve_thread_context_enter(&ctx));
	for (i = 0; i < 2 * REEVE_MAX_HIERARCHIES; i++) {
		gone = reeve_hierarchy_register("reeve_life_gone", order_names,
						2);
		if (IS_ERR(gone)) {
			EXPECT(!"every one is free again");
			break;
		}
		EXPECT(reeve_record_lock(gone, &locks[0], 1, EXCLUSIVE));
		EXPECT(!reeve_hierarchy_forget(gone));
		h = reeve_hierarchy_register("reeve_life_next", order_names, 2);
		if (IS_ERR(h)) {
			EXPECT(!"every one is free again");
			break;
		}
		EXPECT(h != gone);
		EXPECT(reeve_check_all_unlocked(h));
		EXPECT(!reeve_record_lock(gone, &locks[1], 2, EXCLUSIVE));
		EXPECT(reeve_check_all_unlocked(h));
		EXPECT(!reeve_hierarchy_unregister(h));
	}
	EXPECT(reeve_thread_context_leave(&ctx));
	return 0;
}

static struct reeve_hierarchy *life_next;

static int life_use_next(void *unused)
{
	struct reeve_hierarchy *h;
	struct reeve_thread_context ctx;

	h = reeve_hierarchy_register("reeve_life_next", order_names, 2);
	EXPECT(!IS_ERR(h));
	life_next = h;
	EXPECT(reeve_thread_context_enter(&ctx));
	EXPECT(reeve_record_lock(h, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_record_unlock(h, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_thread_context_leave(&ctx));
	kthread_complete_and_exit(&life_done, 0);
}

static int life_unregister(void *h)
{
	EXPECT(!reeve_hierarchy_unregister(h));
	kthread_complete_and_exit(&life_done, 0);
}

/*
 * The thread's last lock was of what is gone; others use what took its place.
 * All else is done by other threads, for the tracker's own locks are recorded.
 */
static int life_home(unsigned int unused)
{
	struct reeve_hierarchy *gone;
	struct reeve_thread_context ctx;
	unsigned int i;
	int ret;

	gone = reeve_hierarchy_register("reeve_life_gone", order_names, 2);
	if (IS_ERR(gone))
		return PTR_ERR(gone);
	EXPECT(reeve_thread_context_enter(&ctx));
	EXPECT(reeve_record_lock(gone, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_record_unlock(gone, &locks[0], 1, EXCLUSIVE));
	ret = life_run(life_unregister, gone);
	for (i = 0; !ret && i < 2 * REEVE_MAX_HIERARCHIES; i++) {
		ret = life_run(life_use_next, NULL);
		EXPECT(!reeve_record_lock(gone, &locks[0], 1, EXCLUSIVE));
		ret = ret ?: life_run(life_unregister, life_next);
	}
	EXPECT(reeve_thread_context_leave(&ctx));
	return ret;
}

static int life_automatic(unsigned int unused)
{
	struct reeve_hierarchy *h;
	struct reeve_thread_context ctx;

	h = reeve_hierarchy_register_flags("reeve_life_auto", order_names, 2,
					   REEVE_HIERARCHY_AUTOMATIC);
	if (IS_ERR(h))
		return PTR_ERR(h);
	/* Here the caller is no kernel thread. */
	EXPECT(!reeve_record_lock(hierarchy, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_record_lock(h, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_record_lock(h, &locks[1], 2, EXCLUSIVE));
	EXPECT(!reeve_record_lock(h, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_record_unlock(h, &locks[0], 1,
				   EXCLUSIVE | REEVE_LOCK_OUT_OF_ORDER));
	EXPECT(reeve_record_unlock(h, &locks[1], 2, EXCLUSIVE));
	EXPECT(!reeve_record_unlock(h, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_check_all_unlocked(h));
	EXPECT(reeve_thread_context_enter(&ctx));
	EXPECT(reeve_record_lock(h, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_record_unlock(h, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_thread_context_leave(&ctx));
	EXPECT(!reeve_hierarchy_unregister(h));
	EXPECT(IS_ERR(reeve_hierarchy_register_flags("reeve_life_auto",
						     order_names, 2, 1U << 2)));
	return 0;
}

/* As a driver's handlers do that were made threads, or that the idle task runs. */
static int life_without_entering(void *unused)
{
	EXPECT(reeve_record_lock(hierarchy, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_record_lock(hierarchy, &locks[1], 2, EXCLUSIVE));
	EXPECT(reeve_record_unlock(hierarchy, &locks[1], 2, EXCLUSIVE));
	EXPECT(reeve_record_unlock(hierarchy, &locks[0], 1, EXCLUSIVE));
	return 0;
}

static int life_thread_without_entering(void *unused)
{
	life_without_entering(NULL);
	kthread_complete_and_exit(&life_done, 0);
}

static void life_call(void *unused)
{
	life_without_entering(NULL);
}

static int life_idle(unsigned int unused)
{
	unsigned int i;

	for (i = 0; i < 500; i++) {
		if (i % 8 == 0)
			usleep_range(50, 100); /* so that the others are idle */
		/* The others: here the function would be called as by the task. */
		preempt_disable();
		smp_call_function(life_call, NULL, true);
		preempt_enable();
	}
	return life_run(life_thread_without_entering, NULL);
}

static unsigned int life_irq_number;
static bool life_irq_was_thread;

static irqreturn_t life_irq_handler(int irq, void *unused)
{
	life_irq_was_thread = in_task();
	life_without_entering(NULL);
	complete(&life_done);
	return IRQ_HANDLED;
}

static void life_irq_raise(struct irq_work *unused)
{
	generic_handle_irq(life_irq_number);
}

/* An interrupt's handler, which the kernel makes a thread if it is told to. */
static int life_irq(unsigned int is_thread)
{
	struct irq_work raise = IRQ_WORK_INIT_HARD(life_irq_raise);
	int irq = irq_alloc_desc(NUMA_NO_NODE), ret;
	unsigned int i;

	if (irq < 0)
		return irq;
	life_irq_number = irq;
	irq_set_chip_and_handler(irq, &dummy_irq_chip, handle_simple_irq);
	irq_clear_status_flags(irq, IRQ_NOREQUEST);
	ret = request_irq(irq, life_irq_handler, 0, "reeve_life", NULL);
	for (i = 0; !ret && i < 20; i++) {
		irq_work_queue(&raise);
		wait_for_completion(&life_done);
		irq_work_sync(&raise);
		EXPECT(life_irq_was_thread == is_thread);
	}
	if (!ret)
		free_irq(irq, NULL);
	irq_free_desc(irq);
	return ret;
}

#ifdef CONFIG_PREEMPT_RT
static DEFINE_SPINLOCK(life_soft_lock);
static bool life_soft_inside, life_soft_ran;

/* Is preempted where it waits for a lock that sleeps. */
static void life_soft_expired(struct timer_list *timer)
{
	EXPECT(in_serving_softirq());
	EXPECT(reeve_record_lock(hierarchy, &locks[1], 2, EXCLUSIVE));
	WRITE_ONCE(life_soft_inside, true);
	spin_lock(&life_soft_lock);
	spin_unlock(&life_soft_lock);
	EXPECT(reeve_check_locked(hierarchy, &locks[1], 2, EXCLUSIVE));
	EXPECT(reeve_record_unlock(hierarchy, &locks[1], 2, EXCLUSIVE));
	complete(&life_done);
}

static DEFINE_TIMER(life_soft_timer, life_soft_expired);

/* Runs meanwhile on the same CPU, in a thread that holds something. */
static void life_soft_meanwhile(struct tasklet_struct *tasklet)
{
	EXPECT(in_serving_softirq());
	EXPECT(reeve_check_all_unlocked(hierarchy));
	life_without_entering(NULL);
	life_soft_ran = true;
}

static DECLARE_TASKLET(life_soft_tasklet, life_soft_meanwhile);

static int life_soft(unsigned int unused)
{
	unsigned long limit = jiffies + 10 * HZ;
	struct reeve_thread_context ctx;

	life_soft_inside = false;
	life_soft_ran = false;
	EXPECT(reeve_thread_context_enter(&ctx));
	life_take(2);
	migrate_disable();
	spin_lock(&life_soft_lock);
	life_soft_timer.expires = jiffies + 1;
	add_timer_on(&life_soft_timer, raw_smp_processor_id());
	while (!READ_ONCE(life_soft_inside) && time_before(jiffies, limit))
		cpu_relax();
	local_bh_disable();
	tasklet_schedule(&life_soft_tasklet);
	local_bh_enable();
	EXPECT(life_soft_inside && life_soft_ran);
	spin_unlock(&life_soft_lock);
	migrate_enable();
	wait_for_completion(&life_done);
	tasklet_kill(&life_soft_tasklet);
	EXPECT(reeve_check_locked(hierarchy, &locks[1], 2, EXCLUSIVE));
	EXPECT(reeve_record_unlock(hierarchy, &locks[1], 2, EXCLUSIVE));
	EXPECT(reeve_record_unlock(hierarchy, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_thread_context_leave(&ctx));
	return 0;
}
#else
/* Nothing preempts it but a hard interrupt. */
static int life_soft(unsigned int unused)
{
	return 0;
}
#endif

#ifdef CONFIG_X86
/* What acts like an NMI within what acts like one. */
static unsigned int life_trap_depth;

static void life_trap(void)
{
	asm volatile("int3");
}

static int life_trapped(struct notifier_block *notifier, unsigned long state,
			void *unused)
{
	static int outer, inner;

	if (state != DIE_INT3)
		return NOTIFY_DONE;
	EXPECT(in_nmi());
	EXPECT(reeve_check_all_unlocked(hierarchy));
	if (!life_trap_depth++) {
		EXPECT(reeve_record_lock(hierarchy, &inner, 2, EXCLUSIVE));
		life_trap();
		EXPECT(reeve_check_locked(hierarchy, &inner, 2, EXCLUSIVE));
		EXPECT(reeve_record_unlock(hierarchy, &inner, 2, EXCLUSIVE));
		return NOTIFY_STOP;
	}
	EXPECT(reeve_record_lock(hierarchy, &outer, 1, EXCLUSIVE));
	EXPECT(reeve_record_lock(hierarchy, &inner, 2, EXCLUSIVE));
	EXPECT(reeve_record_unlock(hierarchy, &inner, 2, EXCLUSIVE));
	EXPECT(reeve_record_unlock(hierarchy, &outer, 1, EXCLUSIVE));
	return NOTIFY_STOP;
}

static struct notifier_block life_trap_notifier = {
	.notifier_call = life_trapped,
	.priority = INT_MAX,
};

static int life_nested(unsigned int unused)
{
	struct reeve_thread_context ctx;
	int ret = register_die_notifier(&life_trap_notifier);

	if (ret)
		return ret;
	EXPECT(reeve_thread_context_enter(&ctx));
	life_take(2);
	life_trap_depth = 0;
	life_trap();
	EXPECT(life_trap_depth == 2);
	EXPECT(reeve_record_unlock(hierarchy, &locks[1], 2, EXCLUSIVE));
	EXPECT(reeve_record_unlock(hierarchy, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_thread_context_leave(&ctx));
	unregister_die_notifier(&life_trap_notifier);
	return 0;
}
#else
static int life_nested(unsigned int unused)
{
	return 0;
}
#endif

/* When a context goes that a record gave. */
static void life_goes_when_empty(struct reeve_hierarchy *h)
{
	EXPECT(!reeve_thread_has_context());
	EXPECT(reeve_record_lock(h, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_thread_has_context());
	EXPECT(reeve_record_lock(h, &locks[1], 2, EXCLUSIVE));
	EXPECT(reeve_record_unlock(h, &locks[0], 1,
				   EXCLUSIVE | REEVE_LOCK_OUT_OF_ORDER));
	EXPECT(reeve_thread_has_context());
	EXPECT(reeve_check_locked(h, &locks[1], 2, EXCLUSIVE));
	EXPECT(reeve_record_unlock(h, &locks[1], 2, EXCLUSIVE));
	EXPECT(!reeve_thread_has_context());
	/* By a violation, and by a check that finds nothing. */
	EXPECT(reeve_record_lock(h, &locks[1], 2, EXCLUSIVE));
	EXPECT(!reeve_record_unlock(h, &locks[1], 2, REEVE_LOCK_SHARED));
	EXPECT(!reeve_thread_has_context());
	EXPECT(!reeve_check_locked(h, &locks[1], 2, EXCLUSIVE));
	EXPECT(!reeve_thread_has_context());
	/* To another thread, if there were one. */
	EXPECT(reeve_record_lock(h, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_record_handover(h, &locks[0], 1));
	EXPECT(!reeve_thread_has_context());
	EXPECT(reeve_record_adopt(h, &locks[0], 1));
	EXPECT(reeve_record_unlock(h, &locks[0], 1, EXCLUSIVE));
	EXPECT(!reeve_thread_has_context());
}

/* Enters a context within one that a record gave, and what else nests. */
static noinline void life_enters_within(struct reeve_hierarchy *h)
{
	struct reeve_thread_context ctx;

	EXPECT(reeve_record_lock(h, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_thread_context_enter(&ctx));
	EXPECT(reeve_record_lock(h, &locks[1], 2, EXCLUSIVE));
	EXPECT(reeve_record_unlock(h, &locks[1], 2, EXCLUSIVE));
	EXPECT(reeve_thread_context_leave(&ctx));
	EXPECT(reeve_check_locked(h, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_record_unlock(h, &locks[0], 1, EXCLUSIVE));
	EXPECT(!reeve_thread_has_context());

	EXPECT(reeve_record_lock(h, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_thread_context_enter(&ctx));
	EXPECT(reeve_record_unlock(h, &locks[0], 1, EXCLUSIVE));
	/* One that has to be entered for. */
	EXPECT(reeve_record_lock(hierarchy, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_record_unlock(hierarchy, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_thread_context_leave(&ctx));
	EXPECT(!reeve_thread_has_context());
}

static noinline void life_puts_aside(struct reeve_hierarchy *h)
{
	struct reeve_thread_context aside;

	EXPECT(reeve_record_lock(h, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_thread_context_save(&aside));
	EXPECT(!reeve_thread_has_context());
	EXPECT(reeve_record_lock(h, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_record_unlock(h, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_thread_context_restore(&aside));
	EXPECT(reeve_check_locked(h, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_record_unlock(h, &locks[0], 1, EXCLUSIVE));
	EXPECT(!reeve_thread_has_context());
	/* Nothing is held, which is no mistake of a thread that need not enter. */
	EXPECT(reeve_thread_context_save(&aside));
	EXPECT(reeve_thread_context_restore(&aside));
	EXPECT(reeve_tracking_disable());
	EXPECT(reeve_record_unlock(h, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_tracking_enable());
	EXPECT(!reeve_thread_has_context());
}

#define LIFE_WAITERS 300
static atomic_t life_waiting;
static DECLARE_COMPLETION(life_wait_over);

static int life_waits_without(void *unused)
{
	life_without_entering(NULL);
	EXPECT(!reeve_thread_has_context());
	atomic_inc(&life_waiting);
	wait_for_completion(&life_wait_over);
	if (!atomic_dec_return(&life_waiting))
		complete(&life_done);
	return 0;
}

/* Threads that once took a lock, and live on. */
static void life_live_on(void)
{
	unsigned int i, made = 0;

	atomic_set(&life_waiting, 1);
	for (i = 0; i < LIFE_WAITERS; i++)
		made += !IS_ERR(kthread_run(life_waits_without, NULL,
					    "reeve_life/%u", i));
	EXPECT(made == LIFE_WAITERS);
	while (atomic_read(&life_waiting) != 1 + made)
		schedule_timeout_idle(1);
	complete_all(&life_wait_over);
	if (atomic_dec_return(&life_waiting))
		wait_for_completion(&life_done);
	reinit_completion(&life_wait_over);
}

static int life_goes(unsigned int unused)
{
	struct reeve_hierarchy *h;

	h = reeve_hierarchy_register_flags("reeve_life_goes", order_names, 2,
					   REEVE_HIERARCHY_AUTOMATIC);
	if (IS_ERR(h))
		return PTR_ERR(h);
	life_goes_when_empty(h);
	life_enters_within(h);
	life_puts_aside(h);
	life_live_on();
	EXPECT(!reeve_hierarchy_unregister(h));
	return 0;
}

/* A thread that came after the switch: of it all is known. */
static int life_after_switch(void *h)
{
	EXPECT(reeve_record_lock(h, &locks[1], 2, EXCLUSIVE));
	EXPECT(reeve_record_unlock(h, &locks[1], 2, EXCLUSIVE));
	EXPECT(!reeve_record_unlock(h, &locks[0], 1, EXCLUSIVE));
	kthread_complete_and_exit(&life_done, 0);
}

/* The thread took a lock while tracking was off. */
static int life_switched(unsigned int takes)
{
	static struct reeve_hierarchy *h;
	int ret = 0;

	if (takes) {
		h = reeve_hierarchy_register_flags("reeve_life_switched",
						   order_names, 2,
						   REEVE_HIERARCHY_AUTOMATIC);
		if (IS_ERR(h))
			return PTR_ERR(h);
		EXPECT(reeve_record_lock(h, &locks[0], 1, EXCLUSIVE));
		return 0;
	}
	EXPECT(reeve_record_lock(h, &locks[1], 2, EXCLUSIVE));
	EXPECT(reeve_record_unlock(h, &locks[1], 2, EXCLUSIVE));
	EXPECT(reeve_record_unlock(h, &locks[0], 1, EXCLUSIVE));
	ret = life_run(life_after_switch, h);
	EXPECT(!reeve_hierarchy_unregister(h));
	return ret;
}

#define LIFE_DEEP_ADDRESSES 100
static u8 life_objects[REEVE_MAX_HELD_DEEP + 1];
static struct reeve_hierarchy *life_deep_hierarchy;
static DECLARE_COMPLETION(life_deep_over);

/* By address in one order, by key, against the addresses, in another. */
static bool life_take_object(unsigned int i)
{
	if (i < LIFE_DEEP_ADDRESSES)
		return reeve_record_lock(life_deep_hierarchy, &life_objects[i],
					 1, EXCLUSIVE);
	return reeve_record_lock_keyed(life_deep_hierarchy,
				       &life_objects[REEVE_MAX_HELD_DEEP +
						     LIFE_DEEP_ADDRESSES - i],
				       2, REEVE_LOCK_SHARED, i);
}

static bool life_put_object(unsigned int i)
{
	if (i < LIFE_DEEP_ADDRESSES)
		return reeve_record_unlock(life_deep_hierarchy,
					   &life_objects[i], 1, EXCLUSIVE);
	return reeve_record_unlock(life_deep_hierarchy,
				   &life_objects[REEVE_MAX_HELD_DEEP +
						 LIFE_DEEP_ADDRESSES - i],
				   2, REEVE_LOCK_SHARED);
}

/* Takes @count, and one more if there is no room for it; then releases all. */
static noinline void life_deeply(unsigned int count, bool is_all)
{
	struct reeve_thread_context aside;
	unsigned int i;

	for (i = 0; i < count; i++)
		EXPECT(life_take_object(i));
	EXPECT(!reeve_check_lockable_order(life_deep_hierarchy, 1, 0));
	EXPECT(reeve_thread_context_save(&aside));
	EXPECT(reeve_check_all_unlocked(life_deep_hierarchy));
	EXPECT(life_take_object(0));
	EXPECT(life_put_object(0));
	EXPECT(reeve_thread_context_restore(&aside));
	EXPECT(reeve_check_locked(life_deep_hierarchy, &life_objects[0], 1,
				  EXCLUSIVE));
	if (is_all) {
		/* One more is reported once, and accuses nothing. */
		EXPECT(!reeve_record_lock(life_deep_hierarchy, &locks[0], 3,
					  EXCLUSIVE));
		EXPECT(reeve_record_lock(life_deep_hierarchy, &locks[1], 4,
					 EXCLUSIVE));
		EXPECT(reeve_record_unlock(life_deep_hierarchy, &locks[1], 4,
					   EXCLUSIVE));
		EXPECT(reeve_record_unlock(life_deep_hierarchy, &locks[0], 3,
					   EXCLUSIVE));
	} else {
		complete(&life_done);
		wait_for_completion(&life_deep_over);
	}
	/* Those of the first order out of order, then the others. */
	for (i = 0; i < LIFE_DEEP_ADDRESSES; i++)
		EXPECT(reeve_record_unlock(life_deep_hierarchy,
					   &life_objects[i], 1,
					   EXCLUSIVE | REEVE_LOCK_OUT_OF_ORDER));
	for (i = LIFE_DEEP_ADDRESSES; i < count; i++)
		EXPECT(life_put_object(i));
	EXPECT(reeve_check_all_unlocked(life_deep_hierarchy));
}

static int life_holds_deeply(void *unused)
{
	struct reeve_thread_context ctx;

	EXPECT(reeve_thread_context_enter_deep(&ctx));
	life_deeply(200, false);
	EXPECT(reeve_thread_context_leave(&ctx));
	kthread_complete_and_exit(&life_done, 0);
}

static int life_deep(unsigned int what)
{
	static const char *const names[] = { "by_address", "by_key", "c", "d" };
	struct reeve_thread_context ctx, inner;
	struct reeve_hierarchy *h;
	struct task_struct *task;

	if (!what) {
		complete(&life_deep_over);
		wait_for_completion(&life_done);
		EXPECT(!reeve_hierarchy_unregister(life_deep_hierarchy));
		return 0;
	}
	h = reeve_hierarchy_register("reeve_life_deep", names, 4);
	if (IS_ERR(h))
		return PTR_ERR(h);
	life_deep_hierarchy = h;
	EXPECT(!reeve_hierarchy_set_nestable(h, 1));
	EXPECT(!reeve_hierarchy_set_nestable(h, 2));
	if (what == 1) {
		task = kthread_run(life_holds_deeply, NULL, "reeve_deep");
		if (!IS_ERR(task))
			wait_for_completion(&life_done);
		return PTR_ERR_OR_ZERO(task);
	}
	EXPECT(reeve_thread_context_enter_deep(&ctx));
	life_deeply(REEVE_MAX_HELD_DEEP, true);
	EXPECT(reeve_thread_context_leave(&ctx));
	/* Within another one; what it made room for goes with the outer leave. */
	EXPECT(reeve_thread_context_enter(&ctx));
	EXPECT(reeve_thread_context_enter_deep(&inner));
	life_deeply(REEVE_MAX_HELD_DEEP, true);
	EXPECT(reeve_thread_context_leave(&inner));
	EXPECT(reeve_thread_context_leave(&ctx));
	EXPECT(!reeve_hierarchy_unregister(h));
	return 0;
}

#define LIFE_MANY 600
static atomic_t life_inside;
static DECLARE_COMPLETION(life_all_inside);

static int life_one_of_many(void *unused)
{
	struct reeve_thread_context ctx;

	EXPECT(reeve_thread_context_enter(&ctx));
	EXPECT(reeve_record_lock(hierarchy, &ctx, 1, EXCLUSIVE));
	atomic_inc(&life_inside);
	wait_for_completion(&life_all_inside);
	EXPECT(reeve_check_locked(hierarchy, &ctx, 1, EXCLUSIVE));
	EXPECT(reeve_record_unlock(hierarchy, &ctx, 1, EXCLUSIVE));
	EXPECT(reeve_thread_context_leave(&ctx));
	if (!atomic_dec_return(&life_inside))
		complete(&life_done);
	return 0;
}

static int life_many(unsigned int unused)
{
	unsigned int i, made = 0;

	atomic_set(&life_inside, 1);
	for (i = 0; i < LIFE_MANY; i++)
		made += !IS_ERR(kthread_run(life_one_of_many, NULL,
					    "reeve_life/%u", i));
	EXPECT(made == LIFE_MANY);
	while (atomic_read(&life_inside) != 1 + made)
		schedule_timeout_idle(1);
	complete_all(&life_all_inside);
	if (atomic_dec_return(&life_inside))
		wait_for_completion(&life_done);
	reinit_completion(&life_all_inside);
	return 0;
}

/* A console whose locks are tracked: reports come back to what they are of. */
static struct reeve_hierarchy *life_console_hierarchy;
static atomic_t life_written;

static void life_write(struct console *console, const char *text,
		       unsigned int length)
{
	struct reeve_hierarchy *h = life_console_hierarchy;
	struct reeve_thread_context ctx;
	static int line, buffer;

	reeve_thread_context_enter(&ctx);
	reeve_record_lock(h, &line, 1, EXCLUSIVE);
	reeve_record_lock(h, &buffer, 2, EXCLUSIVE);
	reeve_record_unlock(h, &buffer, 2, EXCLUSIVE);
	reeve_record_unlock(h, &line, 1, EXCLUSIVE);
	EXPECT(reeve_thread_context_leave(&ctx));
	atomic_inc(&life_written);
}

static struct console life_console_device = {
	.name = "life",
	.write = life_write,
	.flags = CON_ENABLED | CON_ANYTIME,
	.index = -1,
};

/* While the report was made; with PREEMPT_RT a thread of the kernel's does it. */
static bool life_was_written(void)
{
	return IS_ENABLED(CONFIG_PREEMPT_RT) || atomic_read(&life_written);
}

static void life_report_to_console(void)
{
	struct reeve_thread_context ctx;

	EXPECT(reeve_thread_context_enter(&ctx));
	EXPECT(reeve_record_lock(hierarchy, &locks[1], 2, EXCLUSIVE));
	atomic_set(&life_written, 0);
	EXPECT(!reeve_record_lock(hierarchy, &locks[0], 1, EXCLUSIVE));
	EXPECT(life_was_written());
	EXPECT(reeve_check_locked(hierarchy, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_check_locked(hierarchy, &locks[1], 2, EXCLUSIVE));
	EXPECT(!reeve_record_unlock(hierarchy, &locks[1], 2,
				    REEVE_LOCK_SHARED));
	EXPECT(reeve_check_unlocked_order(hierarchy, 2));
	EXPECT(reeve_check_locked(hierarchy, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_record_unlock(hierarchy, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_check_all_unlocked(hierarchy));
	EXPECT(reeve_check_all_unlocked(life_console_hierarchy));
	EXPECT(reeve_thread_context_leave(&ctx));
}

/* The same in contexts that records gave: they outlive what is printed. */
static void life_report_without_entering(struct reeve_hierarchy *h)
{
	atomic_set(&life_written, 0);
	EXPECT(!reeve_check_locked(h, &locks[0], 1, EXCLUSIVE));
	EXPECT(life_was_written());
	EXPECT(!reeve_thread_has_context());
	EXPECT(reeve_record_lock(h, &locks[1], 2, EXCLUSIVE));
	EXPECT(!reeve_record_lock(h, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_check_locked(h, &locks[1], 2, EXCLUSIVE));
	EXPECT(!reeve_record_unlock(h, &locks[1], 2, REEVE_LOCK_SHARED));
	EXPECT(reeve_check_locked(h, &locks[0], 1, EXCLUSIVE));
	EXPECT(reeve_record_unlock(h, &locks[0], 1, EXCLUSIVE));
	EXPECT(!reeve_thread_has_context());
}

static int life_console(unsigned int unused)
{
	struct reeve_hierarchy *h;

	h = reeve_hierarchy_register_flags("reeve_life_console", order_names, 2,
					   REEVE_HIERARCHY_AUTOMATIC);
	if (IS_ERR(h))
		return PTR_ERR(h);
	life_console_hierarchy = h;
	register_console(&life_console_device);
	life_report_to_console();
	life_report_without_entering(h);
	EXPECT(!unregister_console(&life_console_device));
	EXPECT(!reeve_hierarchy_unregister(h));
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
module_param_cb(disabled, &scene_ops, life_disabled, 0200);
module_param_cb(leak, &scene_ops, life_leak, 0200);
module_param_cb(stale, &scene_ops, life_stale, 0200);
module_param_cb(home, &scene_ops, life_home, 0200);
module_param_cb(automatic, &scene_ops, life_automatic, 0200);
module_param_cb(idle, &scene_ops, life_idle, 0200);
module_param_cb(irq, &scene_ops, life_irq, 0200);
module_param_cb(soft, &scene_ops, life_soft, 0200);
module_param_cb(nested, &scene_ops, life_nested, 0200);
module_param_cb(goes, &scene_ops, life_goes, 0200);
module_param_cb(switched, &scene_ops, life_switched, 0200);
module_param_cb(deep, &scene_ops, life_deep, 0200);
module_param_cb(many, &scene_ops, life_many, 0200);
module_param_cb(console, &scene_ops, life_console, 0200);

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
