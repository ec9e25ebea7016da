// SPDX-License-Identifier: GPL-2.0
/*
 * A C driver that has its locks tracked by Reeve: a sample to copy from, and a
 * test of the C API. It loads only if every call returned as documented.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/err.h>
#include <linux/hrtimer.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/timer.h>

#include <reeve/lock_guard.h>

/* The driver's lock orders, outermost first: order 1 is the first name. */
enum sample_order {
	SAMPLE_DEVICE = 1,
	SAMPLE_QUEUE,
	SAMPLE_IRQ,
	SAMPLE_COUNT = SAMPLE_IRQ,
};

static const char *const sample_order_names[] = { "device", "queue", "irq" };

static struct reeve_hierarchy *hierarchy;
static DECLARE_RWSEM(device_lock);
static DEFINE_MUTEX(queue_lock);
static DEFINE_SPINLOCK(irq_lock);
static unsigned int sample_done;
static int failures;

#define EXPECT(condition)                                               \
	do {                                                            \
		if (!(condition)) {                                     \
			pr_err("line %d: expected %s\n", __LINE__,      \
			       #condition);                             \
			failures++;                                     \
		}                                                       \
	} while (0)

/* What the driver is about: a device, and its queue inside of it. */
static int sample_work(bool early)
{
	guard(reeve_rwsem_read)(&device_lock, hierarchy, SAMPLE_DEVICE);

	if (early)
		return -EAGAIN;
	scoped_cond_guard(reeve_mutex_kill, return -EINTR, &queue_lock,
			  hierarchy, SAMPLE_QUEUE) {
		reeve_assert_held(hierarchy, &device_lock, SAMPLE_DEVICE);
		scoped_guard(reeve_spinlock_irqsave, &irq_lock, hierarchy,
			     SAMPLE_IRQ)
			sample_done++;
	}
	return 0;
}

/* Where no guard fits: next to the real call, before a lock, before an unlock. */
static noinline void sample_lock_queue(void)
{
	EXPECT(reeve_record_lock(hierarchy, &queue_lock, SAMPLE_QUEUE,
				 REEVE_LOCK_EXCLUSIVE));
	mutex_lock(&queue_lock);
}

static void sample_unlock_queue(void)
{
	EXPECT(reeve_record_unlock(hierarchy, &queue_lock, SAMPLE_QUEUE,
				   REEVE_LOCK_EXCLUSIVE));
	mutex_unlock(&queue_lock);
}

static void sample_checks(void)
{
	EXPECT(sample_work(false) == 0);
	EXPECT(sample_work(true) == -EAGAIN);
	EXPECT(reeve_check_all_unlocked(hierarchy));

	CLASS(reeve_rwsem_write, device)(&device_lock, hierarchy,
					 SAMPLE_DEVICE);
	EXPECT(reeve_check_locked(hierarchy, &device_lock, SAMPLE_DEVICE,
				  REEVE_LOCK_EXCLUSIVE));
	reeve_rwsem_downgrade(&device);
	sample_lock_queue();
	EXPECT(reeve_check_locked(hierarchy, &device_lock, SAMPLE_DEVICE,
				  REEVE_LOCK_SHARED));
	EXPECT(!reeve_check_lockable_order(hierarchy, SAMPLE_DEVICE, 0));
	EXPECT(reeve_check_lockable_order(hierarchy, SAMPLE_DEVICE,
					  REEVE_LOCK_TRYLOCK));
	EXPECT(reeve_check_lockable_order(hierarchy, SAMPLE_IRQ, 0));
	EXPECT(reeve_check_unlocked_order(hierarchy, SAMPLE_IRQ));
	sample_unlock_queue();
}

/* The mistake that tracking is for: nothing deadlocks here, yet it is found. */
static noinline void sample_wrong_order(void)
{
	sample_lock_queue();
	EXPECT(!reeve_record_lock(hierarchy, &device_lock, SAMPLE_DEVICE,
				  REEVE_LOCK_SHARED));
	EXPECT(reeve_record_unlock(hierarchy, &device_lock, SAMPLE_DEVICE,
				   REEVE_LOCK_SHARED | REEVE_LOCK_OUT_OF_ORDER));
	sample_unlock_queue();

	/* Legal: a trylock cannot wait, so it cannot deadlock. */
	sample_lock_queue();
	EXPECT(reeve_record_lock(hierarchy, &device_lock, SAMPLE_DEVICE,
				 REEVE_LOCK_SHARED | REEVE_LOCK_TRYLOCK));
	EXPECT(reeve_record_unlock(hierarchy, &device_lock, SAMPLE_DEVICE,
				   REEVE_LOCK_SHARED));
	sample_unlock_queue();
}

/* Several locks of one order, by ascending number: here, of banks. */
static void sample_banks(void)
{
	static struct mutex banks[2] = { __MUTEX_INITIALIZER(banks[0]),
					 __MUTEX_INITIALIZER(banks[1]) };

	EXPECT(reeve_hierarchy_set_nestable(hierarchy, SAMPLE_QUEUE) == 0);
	EXPECT(reeve_record_lock_keyed(hierarchy, &banks[1], SAMPLE_QUEUE,
				       REEVE_LOCK_EXCLUSIVE, 10));
	EXPECT(reeve_record_lock_keyed(hierarchy, &banks[0], SAMPLE_QUEUE,
				       REEVE_LOCK_EXCLUSIVE, 11));
	EXPECT(reeve_record_unlock(hierarchy, &banks[1], SAMPLE_QUEUE,
				   REEVE_LOCK_EXCLUSIVE));
	EXPECT(!reeve_record_lock_keyed(hierarchy, &banks[1], SAMPLE_QUEUE,
					REEVE_LOCK_EXCLUSIVE, 11));
	EXPECT(reeve_record_unlock(hierarchy, &banks[1], SAMPLE_QUEUE,
				   REEVE_LOCK_EXCLUSIVE));
	EXPECT(reeve_record_unlock(hierarchy, &banks[0], SAMPLE_QUEUE,
				   REEVE_LOCK_EXCLUSIVE));
}

static void sample_rule(void)
{
	EXPECT(reeve_hierarchy_add_rule(hierarchy, SAMPLE_IRQ, SAMPLE_DEVICE,
					REEVE_LOCK_EXCLUSIVE, SAMPLE_QUEUE) == 0);
	EXPECT(reeve_record_lock(hierarchy, NULL, SAMPLE_DEVICE,
				 REEVE_LOCK_EXCLUSIVE));
	EXPECT(!reeve_record_lock(hierarchy, NULL, SAMPLE_IRQ,
				  REEVE_LOCK_EXCLUSIVE));
	EXPECT(reeve_record_unlock(hierarchy, NULL, SAMPLE_IRQ,
				   REEVE_LOCK_EXCLUSIVE));
	EXPECT(reeve_record_lock(hierarchy, NULL, SAMPLE_QUEUE,
				 REEVE_LOCK_EXCLUSIVE));
	EXPECT(reeve_record_lock(hierarchy, NULL, SAMPLE_IRQ,
				 REEVE_LOCK_EXCLUSIVE));
	EXPECT(reeve_record_unlock(hierarchy, NULL, SAMPLE_IRQ,
				   REEVE_LOCK_EXCLUSIVE));
	EXPECT(reeve_record_unlock(hierarchy, NULL, SAMPLE_QUEUE,
				   REEVE_LOCK_EXCLUSIVE));
	EXPECT(reeve_record_unlock(hierarchy, NULL, SAMPLE_DEVICE,
				   REEVE_LOCK_EXCLUSIVE));
}

static void sample_save_and_disable(void)
{
	static struct reeve_thread_context saved;

	EXPECT(reeve_record_lock(hierarchy, NULL, SAMPLE_IRQ,
				 REEVE_LOCK_EXCLUSIVE));
	EXPECT(reeve_thread_context_save(&saved));
	sample_checks();
	EXPECT(reeve_check_all_unlocked(hierarchy));
	EXPECT(reeve_thread_context_restore(&saved));

	EXPECT(reeve_tracking_disable());
	EXPECT(reeve_record_lock(hierarchy, NULL, SAMPLE_DEVICE,
				 REEVE_LOCK_EXCLUSIVE));
	EXPECT(reeve_check_all_unlocked(hierarchy));
	EXPECT(reeve_tracking_enable());
	EXPECT(!reeve_tracking_enable());

	EXPECT(!reeve_check_all_unlocked(hierarchy));
	EXPECT(reeve_record_unlock(hierarchy, NULL, SAMPLE_IRQ,
				   REEVE_LOCK_EXCLUSIVE));
}

/* Interrupts hold locks of their own, whatever the thread below them holds. */
static DECLARE_COMPLETION(interrupted);

static void sample_in_interrupt(void)
{
	EXPECT(reeve_check_all_unlocked(hierarchy));
	EXPECT(reeve_record_lock(hierarchy, NULL, SAMPLE_DEVICE,
				 REEVE_LOCK_SHARED));
	EXPECT(!reeve_check_lockable_order(hierarchy, SAMPLE_DEVICE, 0));
	EXPECT(reeve_record_unlock(hierarchy, NULL, SAMPLE_DEVICE,
				   REEVE_LOCK_SHARED));
	complete(&interrupted);
}

static void sample_timer_fn(struct timer_list *timer)
{
	sample_in_interrupt();
}

static enum hrtimer_restart sample_hrtimer_fn(struct hrtimer *timer)
{
	sample_in_interrupt();
	return HRTIMER_NORESTART;
}

static DEFINE_TIMER(sample_timer, sample_timer_fn);
static struct hrtimer sample_hrtimer;

static void sample_interrupts(void)
{
	EXPECT(reeve_record_lock(hierarchy, NULL, SAMPLE_QUEUE,
				 REEVE_LOCK_EXCLUSIVE));
	mod_timer(&sample_timer, jiffies + 1);
	wait_for_completion(&interrupted);
	hrtimer_start(&sample_hrtimer, ms_to_ktime(1), HRTIMER_MODE_REL_HARD);
	wait_for_completion(&interrupted);
	EXPECT(reeve_record_unlock(hierarchy, NULL, SAMPLE_QUEUE,
				   REEVE_LOCK_EXCLUSIVE));
	timer_delete_sync(&sample_timer);
	hrtimer_cancel(&sample_hrtimer);
}

static void sample_misuse(struct reeve_thread_context *ctx)
{
	struct reeve_hierarchy *none;

	none = reeve_hierarchy_register(NULL, sample_order_names, 1);
	EXPECT(PTR_ERR(none) == -EINVAL);
	none = reeve_hierarchy_register("x", NULL, 1);
	EXPECT(PTR_ERR(none) == -EINVAL);
	none = reeve_hierarchy_register("x", sample_order_names, 0);
	EXPECT(PTR_ERR(none) == -EINVAL);
	none = reeve_hierarchy_register("x", sample_order_names,
					REEVE_MAX_ORDERS + 1);
	EXPECT(PTR_ERR(none) == -EINVAL);

	EXPECT(!reeve_record_lock(NULL, NULL, 1, REEVE_LOCK_SHARED));
	EXPECT(!reeve_record_lock(none, NULL, 1, REEVE_LOCK_SHARED));
	EXPECT(!reeve_record_lock((void *)hierarchy + 1, NULL, 1,
				  REEVE_LOCK_SHARED));
	EXPECT(!reeve_record_lock(hierarchy, NULL, 0, REEVE_LOCK_SHARED));
	EXPECT(!reeve_record_lock(hierarchy, NULL, SAMPLE_COUNT + 1,
				  REEVE_LOCK_SHARED));
	EXPECT(!reeve_record_lock(hierarchy, NULL, 1, REEVE_LOCK_ANY));
	EXPECT(!reeve_thread_context_enter(NULL));
	EXPECT(!reeve_thread_context_enter(ctx));
	EXPECT(reeve_hierarchy_unregister(NULL) == 0);
	EXPECT(reeve_hierarchy_add_rule(hierarchy, 1, 1, REEVE_LOCK_ANY, 0) ==
	       -EINVAL);
	EXPECT(reeve_hierarchy_set_nestable(hierarchy, 0) == -EINVAL);

	EXPECT(reeve_record_lock(hierarchy, NULL, 1, REEVE_LOCK_SHARED));
	EXPECT(reeve_hierarchy_unregister(hierarchy) == -EBUSY);
	EXPECT(reeve_record_unlock(hierarchy, NULL, 1, REEVE_LOCK_SHARED));
}

static void sample_without_context(void)
{
	EXPECT(!reeve_record_lock(hierarchy, NULL, 1, REEVE_LOCK_SHARED));
	EXPECT(!reeve_record_unlock(hierarchy, NULL, 1, REEVE_LOCK_SHARED));
	EXPECT(!reeve_check_locked(hierarchy, NULL, 1, REEVE_LOCK_ANY));
	EXPECT(reeve_check_lockable_order(hierarchy, 1, 0));
	EXPECT(reeve_check_unlocked_order(hierarchy, 1));
	EXPECT(reeve_check_all_unlocked(hierarchy));
	EXPECT(!reeve_tracking_disable());
}

static noinline_for_stack void sample_inner(void)
{
	struct reeve_thread_context inner;

	EXPECT(reeve_thread_context_enter(&inner));
	EXPECT(reeve_record_lock(hierarchy, NULL, 1, REEVE_LOCK_SHARED));
	EXPECT(reeve_thread_context_leave(&inner));
	EXPECT(reeve_check_locked(hierarchy, NULL, 1, REEVE_LOCK_SHARED));
	EXPECT(reeve_record_unlock(hierarchy, NULL, 1, REEVE_LOCK_SHARED));
}

static int __init sample_init(void)
{
	struct reeve_thread_context ctx;

	BUILD_BUG_ON(sizeof(ctx) > 1024);
	hierarchy = reeve_hierarchy_register(KBUILD_MODNAME, sample_order_names,
					     SAMPLE_COUNT);
	if (IS_ERR(hierarchy))
		return PTR_ERR(hierarchy);
	hrtimer_setup(&sample_hrtimer, sample_hrtimer_fn, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_HARD);

	sample_without_context();
	EXPECT(reeve_thread_context_enter(&ctx));
	sample_checks();
	EXPECT(reeve_check_all_unlocked(hierarchy));
	sample_wrong_order();
	sample_save_and_disable();
	sample_interrupts();
	sample_inner();
	sample_banks();
	sample_misuse(&ctx);
	sample_rule();
	EXPECT(reeve_record_lock(hierarchy, NULL, 1, REEVE_LOCK_SHARED));
	EXPECT(!reeve_thread_context_leave(&ctx));
	EXPECT(!reeve_thread_context_leave(&ctx));

	if (failures) {
		reeve_hierarchy_unregister(hierarchy);
		return -EINVAL;
	}
	pr_info("all calls returned as documented\n");
	return 0;
}

static void __exit sample_exit(void)
{
	reeve_hierarchy_unregister(hierarchy);
}

module_init(sample_init);
module_exit(sample_exit);
MODULE_DESCRIPTION("Sample driver with tracked locks");
MODULE_LICENSE("GPL");
