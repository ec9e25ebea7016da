// SPDX-License-Identifier: GPL-2.0
/* What holds in handlers of interrupts, and what they leave. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/jiffies.h>
#include <linux/kdebug.h>
#include <linux/preempt.h>
#include <linux/timer.h>
#include <linux/workqueue.h>

#include "promises.h"

static int objects[8];

/* A mistake that names whatever makes it; the first one with this order. */
static noinline void promises_mistake(unsigned int order)
{
	EXPECT(!reeve_record_unlock(promises, &objects[0], order, 0));
}

static void in_hard_irq(struct irq_work *unused)
{
	struct reeve_thread_context ctx;

	EXPECT(in_hardirq());
	EXPECT(reeve_thread_has_context());
	/* What the interrupted thread holds is not held here. */
	EXPECT(reeve_check_all_unlocked(promises));
	/* Enters do nothing: what is held outlives the leave. */
	EXPECT(reeve_record_lock(promises, &objects[1], OUTER, EXCLUSIVE));
	EXPECT(reeve_thread_context_enter(&ctx));
	EXPECT(reeve_thread_context_leave(&ctx));
	EXPECT(reeve_thread_context_enter_deep(&ctx));
	EXPECT(reeve_check_locked(promises, &objects[1], OUTER, EXCLUSIVE));
	EXPECT(reeve_thread_context_leave(&ctx));
	EXPECT(!reeve_check_no_locks_freed(&objects[1], sizeof(objects[1])) ||
	       IS_ENABLED(CONFIG_PREEMPT_RT));
	EXPECT(reeve_record_unlock(promises, &objects[1], OUTER, EXCLUSIVE));
	/* Attributes of orders. */
	EXPECT(!reeve_record_lock(promises, &objects[2], SPINS, EXCLUSIVE));
	EXPECT(reeve_record_unlock(promises, &objects[2], SPINS, EXCLUSIVE));
	EXPECT(reeve_record_lock(promises, &objects[2], SPINS,
				 EXCLUSIVE | REEVE_LOCK_TRYLOCK));
	EXPECT(reeve_record_unlock(promises, &objects[2], SPINS, EXCLUSIVE));
	EXPECT(!reeve_record_lock(promises, &objects[3], SLEEPS, EXCLUSIVE));
	EXPECT(reeve_record_unlock(promises, &objects[3], SLEEPS, EXCLUSIVE));
	EXPECT(!reeve_record_wait(promises, &objects[3], SLEEPS));
	EXPECT(reeve_check_all_unlocked(promises));
}

int promises_handle(unsigned int unused)
{
	struct irq_work work = IRQ_WORK_INIT_HARD(in_hard_irq);
	struct reeve_thread_context ctx;

	EXPECT(reeve_thread_context_enter(&ctx));
	EXPECT(reeve_record_lock(promises, &objects[1], INNER, SHARED));
	irq_work_queue(&work);
	irq_work_sync(&work);
	EXPECT(reeve_record_unlock(promises, &objects[1], INNER, SHARED));
	EXPECT(reeve_thread_context_leave(&ctx));
	return 0;
}

static bool leaks;

static noinline void leak_or_not(struct irq_work *unused)
{
	if (leaks) {
		EXPECT(reeve_record_lock(promises, &objects[4], MIDDLE,
					 EXCLUSIVE));
		return;
	}
	/* Nothing is known to be held, and nothing is not known. */
	EXPECT(!reeve_check_locked(promises, &objects[4], MIDDLE, EXCLUSIVE));
	EXPECT(reeve_check_all_unlocked(promises));
}

static long interrupt_here(void *unused)
{
	struct irq_work work = IRQ_WORK_INIT_HARD(leak_or_not);

	irq_work_queue(&work);
	irq_work_sync(&work);
	return 0;
}

/* A handler on the first CPU forgets an unlock, 1, or is the next one there. */
int promises_leak(unsigned int on)
{
	leaks = on;
	return work_on_cpu(0, interrupt_here, NULL);
}

static DECLARE_COMPLETION(softened);

static void in_soft_irq(struct timer_list *unused)
{
	EXPECT(in_serving_softirq());
	promises_mistake(MIDDLE);
	complete(&softened);
}

static DEFINE_TIMER(soft_timer, in_soft_irq);

int promises_soften(unsigned int unused)
{
	mod_timer(&soft_timer, jiffies + 1);
	wait_for_completion(&softened);
	timer_delete_sync(&soft_timer);
	return 0;
}

#ifdef CONFIG_X86
/* As deep as there are contexts of their own, and once more. */
#define DEPTH 4

static unsigned int depth;
static bool stays;

static void trap(void)
{
	asm volatile("int3");
}

/* Acts like an NMI, within as many. */
static int trapped(struct notifier_block *notifier, unsigned long state,
		   void *unused)
{
	static int locks[DEPTH + 1];
	unsigned int at = depth;

	if (state != DIE_INT3)
		return NOTIFY_DONE;
	EXPECT(in_nmi());
	if (stays) {
		/* What the one before left is still held. */
		EXPECT(reeve_check_locked(promises, &locks[0], INNER,
					  EXCLUSIVE));
		EXPECT(reeve_record_unlock(promises, &locks[0], INNER,
					   EXCLUSIVE));
		EXPECT(reeve_check_all_unlocked(promises));
		return NOTIFY_STOP;
	}
	if (at < DEPTH)
		EXPECT(reeve_check_all_unlocked(promises));
	/* The last two share what they hold. */
	EXPECT(reeve_record_lock(promises, &locks[at], at < DEPTH ? INNER : NESTS,
				 EXCLUSIVE));
	/* Nothing is looked at here. */
	EXPECT(reeve_check_no_locks_freed(locks, sizeof(locks)));
	depth++;
	if (at < DEPTH)
		trap();
	else
		promises_mistake(INNER);
	EXPECT(reeve_check_locked(promises, &locks[at],
				  at < DEPTH ? INNER : NESTS, EXCLUSIVE));
	if (at)
		EXPECT(reeve_record_unlock(promises, &locks[at],
					   at < DEPTH ? INNER : NESTS,
					   EXCLUSIVE));
	return NOTIFY_STOP;
}

static struct notifier_block trap_notifier = {
	.notifier_call = trapped,
	.priority = INT_MAX,
};

int promises_trap(unsigned int unused)
{
	int ret = register_die_notifier(&trap_notifier);

	if (ret)
		return ret;
	depth = 0;
	stays = false;
	/* On one CPU. */
	migrate_disable();
	trap();
	EXPECT(depth == DEPTH + 1);
	stays = true;
	trap();
	migrate_enable();
	unregister_die_notifier(&trap_notifier);
	return 0;
}
#else
int promises_trap(unsigned int unused)
{
	return 0;
}
#endif
