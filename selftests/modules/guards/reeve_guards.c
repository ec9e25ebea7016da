// SPDX-License-Identifier: GPL-2.0
/*
 * Every guard of reeve/lock_guard.h, with checks of what is locked and what is
 * recorded. The same source, compiled with REEVE_OFF or REEVE_BIND, has to do
 * the same to its locks when Reeve is not there.
 *
 * Parameters: `run` N runs the checks N times, each makes one mistake on
 * purpose; `hold` 1 starts a thread that holds a mutex and another that waits
 * for it, 0 lets them go; `busy` N starts N threads that lock all the time.
 * `failures` counts wrong results, `tracked` says whether the last run was
 * recorded.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/err.h>
#include <linux/interrupt.h>
#include <linux/irqflags.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched/signal.h>

#include <reeve/lock_guard.h>

REEVE_DEFINE_BINDING();

enum {
	GUARDS_MUTEX = 1,
	GUARDS_RWSEM,
	GUARDS_SPINLOCK,
	GUARDS_INNER,
	GUARDS_COUNT = GUARDS_INNER,
};

static const char *const order_names[] = {
	"mutex", "rwsem", "spinlock", "inner",
};

static struct reeve_hierarchy *hierarchy;
static DEFINE_MUTEX(mutex);
static DEFINE_MUTEX(inner);
static DECLARE_RWSEM(rwsem);
static DEFINE_SPINLOCK(spinlock);
static DEFINE_MUTEX(contended);
static atomic_t failures;
static bool tracked;

#define EXPECT(condition)                                               \
	do {                                                            \
		if (!(condition)) {                                     \
			pr_err("line %d: expected %s\n", __LINE__,      \
			       #condition);                             \
			atomic_inc(&failures);                          \
		}                                                       \
	} while (0)

/* Not a result of Reeve's unless it is there. */
#define EXPECT_FALSE(result) EXPECT(!(result) || !tracked)

/* An order that is irq-safe, taken with interrupts on: no fault with PREEMPT_RT. */
#define EXPECT_INTERRUPTS_ON(result) \
	EXPECT(!!(result) == IS_ENABLED(CONFIG_PREEMPT_RT) || !tracked)

#define EXPECT_HELD(lock, order, mode)                                       \
	EXPECT(reeve_check_locked(hierarchy, lock, order, REEVE_LOCK_##mode))
#define EXPECT_NOTHING() EXPECT(reeve_check_all_unlocked(hierarchy))

static bool guards_is_free(spinlock_t *lock)
{
	bool free = spin_trylock(lock);

	if (free)
		spin_unlock(lock);
	return free;
}

static void guards_lock(void)
{
	unsigned long flags;

	scoped_guard(reeve_mutex, &mutex, hierarchy, GUARDS_MUTEX) {
		EXPECT(mutex_is_locked(&mutex));
		EXPECT_HELD(&mutex, GUARDS_MUTEX, EXCLUSIVE);
		reeve_assert_held(hierarchy, &mutex, GUARDS_MUTEX);
		reeve_assert_held_exclusive(hierarchy, &mutex, GUARDS_MUTEX);
	}
	EXPECT(!mutex_is_locked(&mutex));
	EXPECT_NOTHING();
	scoped_guard(reeve_rwsem_read, &rwsem, hierarchy, GUARDS_RWSEM) {
		EXPECT(rwsem_is_locked(&rwsem));
		EXPECT_HELD(&rwsem, GUARDS_RWSEM, SHARED);
	}
	EXPECT(!rwsem_is_locked(&rwsem));
	EXPECT_NOTHING();
	scoped_guard(reeve_rwsem_write, &rwsem, hierarchy, GUARDS_RWSEM) {
		EXPECT_HELD(&rwsem, GUARDS_RWSEM, EXCLUSIVE);
		reeve_rwsem_downgrade(&scope);
		EXPECT_HELD(&rwsem, GUARDS_RWSEM, SHARED);
		EXPECT(rwsem_is_locked(&rwsem));
	}
	EXPECT(!rwsem_is_locked(&rwsem));
	EXPECT_NOTHING();
	scoped_guard(reeve_spinlock, &spinlock, hierarchy, GUARDS_SPINLOCK)
		EXPECT_HELD(&spinlock, GUARDS_SPINLOCK, EXCLUSIVE);
	scoped_guard(reeve_spinlock_bh, &spinlock, hierarchy, GUARDS_SPINLOCK)
		EXPECT_HELD(&spinlock, GUARDS_SPINLOCK, EXCLUSIVE);
	EXPECT(!in_softirq());
	scoped_guard(reeve_spinlock_irq, &spinlock, hierarchy,
		     GUARDS_SPINLOCK)
		EXPECT(irqs_disabled() || IS_ENABLED(CONFIG_PREEMPT_RT));
	EXPECT(!irqs_disabled());
	/* With PREEMPT_RT the lock sleeps, whatever was the state before. */
	if (!IS_ENABLED(CONFIG_PREEMPT_RT))
		local_irq_save(flags);
	scoped_guard(reeve_spinlock_irqsave, &spinlock, hierarchy,
		     GUARDS_SPINLOCK)
		EXPECT_HELD(&spinlock, GUARDS_SPINLOCK, EXCLUSIVE);
	if (!IS_ENABLED(CONFIG_PREEMPT_RT)) {
		EXPECT(irqs_disabled());
		local_irq_restore(flags);
	}
	EXPECT(guards_is_free(&spinlock));
	EXPECT_NOTHING();
}

static int guards_leave_early(bool early)
{
	guard(reeve_mutex)(&mutex, hierarchy, GUARDS_MUTEX);
	guard(reeve_rwsem_read)(&rwsem, hierarchy, GUARDS_RWSEM);
	guard(reeve_spinlock_irqsave)(&spinlock, hierarchy, GUARDS_SPINLOCK);

	if (early)
		return -EINTR;
	return 0;
}

static void guards_expect_free(void)
{
	EXPECT(!mutex_is_locked(&mutex));
	EXPECT(!rwsem_is_locked(&rwsem));
	EXPECT(guards_is_free(&spinlock));
	EXPECT(!irqs_disabled());
	EXPECT_NOTHING();
}

/* A form that may fail takes a lock that is free ... */
#define EXPECT_TAKES(name, lock, order, mode)                            \
	do {                                                             \
		bool got = false;                                        \
									 \
		scoped_cond_guard(name, break, lock, hierarchy, order) { \
			EXPECT_HELD(lock, order, mode);                  \
			got = true;                                      \
		}                                                        \
		EXPECT(got);                                             \
		guards_expect_free();                                    \
	} while (0)

/* ... and records nothing if it is not. */
#define EXPECT_FAILS(name, lock, order, error)                  \
	do {                                                    \
		ACQUIRE(name, got)(lock, hierarchy, order);     \
								\
		EXPECT(ACQUIRE_ERR(name, &got) == (error));     \
		EXPECT_NOTHING();                               \
	} while (0)

static void guards_take_conditionally(void)
{
	EXPECT_TAKES(reeve_mutex_try, &mutex, GUARDS_MUTEX, EXCLUSIVE);
	EXPECT_TAKES(reeve_mutex_intr, &mutex, GUARDS_MUTEX, EXCLUSIVE);
	EXPECT_TAKES(reeve_mutex_kill, &mutex, GUARDS_MUTEX, EXCLUSIVE);
	EXPECT_TAKES(reeve_rwsem_read_try, &rwsem, GUARDS_RWSEM, SHARED);
	EXPECT_TAKES(reeve_rwsem_read_intr, &rwsem, GUARDS_RWSEM, SHARED);
	EXPECT_TAKES(reeve_rwsem_read_kill, &rwsem, GUARDS_RWSEM, SHARED);
	EXPECT_TAKES(reeve_rwsem_write_try, &rwsem, GUARDS_RWSEM, EXCLUSIVE);
	EXPECT_TAKES(reeve_rwsem_write_kill, &rwsem, GUARDS_RWSEM, EXCLUSIVE);
	EXPECT_TAKES(reeve_spinlock_try, &spinlock, GUARDS_SPINLOCK, EXCLUSIVE);
	EXPECT_TAKES(reeve_spinlock_bh_try, &spinlock, GUARDS_SPINLOCK,
		     EXCLUSIVE);
	EXPECT_TAKES(reeve_spinlock_irq_try, &spinlock, GUARDS_SPINLOCK,
		     EXCLUSIVE);
	EXPECT_TAKES(reeve_spinlock_irqsave_try, &spinlock, GUARDS_SPINLOCK,
		     EXCLUSIVE);
}

static void guards_fail_to_try(void)
{
	EXPECT_FAILS(reeve_mutex_try, &mutex, GUARDS_MUTEX, -EBUSY);
	EXPECT_FAILS(reeve_rwsem_read_try, &rwsem, GUARDS_RWSEM, -EBUSY);
	EXPECT_FAILS(reeve_rwsem_write_try, &rwsem, GUARDS_RWSEM, -EBUSY);
	/* A spinlock of a single processor is none: all have it. */
	if (!IS_ENABLED(CONFIG_SMP) && !IS_ENABLED(CONFIG_DEBUG_SPINLOCK))
		return;
	EXPECT_FAILS(reeve_spinlock_try, &spinlock, GUARDS_SPINLOCK, -EBUSY);
	EXPECT_FAILS(reeve_spinlock_bh_try, &spinlock, GUARDS_SPINLOCK,
		     -EBUSY);
	EXPECT_FAILS(reeve_spinlock_irq_try, &spinlock, GUARDS_SPINLOCK,
		     -EBUSY);
	EXPECT(!irqs_disabled());
	EXPECT_FAILS(reeve_spinlock_irqsave_try, &spinlock, GUARDS_SPINLOCK,
		     -EBUSY);
	EXPECT(!irqs_disabled());
}

/* With a signal pending, while another thread holds the locks. */
static int guards_interrupted(void *done)
{
	struct reeve_thread_context ctx;

	EXPECT(reeve_thread_context_enter(&ctx));
	allow_signal(SIGKILL);
	send_sig(SIGKILL, current, 1);
	EXPECT_FAILS(reeve_mutex_intr, &mutex, GUARDS_MUTEX, -EINTR);
	EXPECT_FAILS(reeve_mutex_kill, &mutex, GUARDS_MUTEX, -EINTR);
	EXPECT_FAILS(reeve_rwsem_read_intr, &rwsem, GUARDS_RWSEM, -EINTR);
	EXPECT_FAILS(reeve_rwsem_read_kill, &rwsem, GUARDS_RWSEM, -EINTR);
	EXPECT_FAILS(reeve_rwsem_write_kill, &rwsem, GUARDS_RWSEM, -EINTR);
	EXPECT(reeve_thread_context_leave(&ctx));
	complete(done);
	return 0;
}

static void guards_fail(void)
{
	DECLARE_COMPLETION_ONSTACK(done);
	struct task_struct *task;

	/* Not recorded, so it makes no difference to what a guard records. */
	mutex_lock(&mutex);
	down_write(&rwsem);
	task = kthread_run(guards_interrupted, &done, "guards/signal");
	EXPECT(!IS_ERR(task));
	if (!IS_ERR(task))
		wait_for_completion(&done);
	spin_lock(&spinlock);
	guards_fail_to_try();
	spin_unlock(&spinlock);
	up_write(&rwsem);
	mutex_unlock(&mutex);
}

static noinline void guards_wrong_order(void)
{
	guard(reeve_mutex)(&inner, hierarchy, GUARDS_INNER);
	EXPECT_FALSE(reeve_check_lockable_order(hierarchy, GUARDS_RWSEM, 0));
	guard(reeve_mutex)(&mutex, hierarchy, GUARDS_MUTEX);
}

/* By hand, with the caller's place: what a wrapper of a lock does. */
static noinline void guards_wrapped_lock(void)
{
	EXPECT(reeve_record_lock_ip(hierarchy, &mutex, GUARDS_MUTEX,
				    REEVE_LOCK_EXCLUSIVE | REEVE_LOCK_WAITING,
				    _RET_IP_));
	mutex_lock(&mutex);
	EXPECT(reeve_record_acquired(hierarchy, &mutex, GUARDS_MUTEX));
}

static noinline void guards_wrapped_unlock(void)
{
	EXPECT(reeve_check_locked_ip(hierarchy, &mutex, GUARDS_MUTEX,
				     REEVE_LOCK_EXCLUSIVE, _RET_IP_));
	EXPECT(reeve_record_unlock_ip(hierarchy, &mutex, GUARDS_MUTEX,
				      REEVE_LOCK_EXCLUSIVE, _RET_IP_));
	mutex_unlock(&mutex);
}

static noinline void guards_by_wrapper(void)
{
	guards_wrapped_lock();
	guards_wrapped_unlock();
	EXPECT_FALSE(reeve_record_acquired(hierarchy, &mutex, GUARDS_MUTEX));
}

/* Locks that are of a kind, in a hierarchy of their own. */
enum {
	KINDS_TICKET = 1,
	KINDS_OBJECT,
	KINDS_OTHER,
	KINDS_SPINS,
	KINDS_SLEEPS,
	KINDS_IRQ_SAFE,
	KINDS_READ,
	KINDS_WORK,
	KINDS_COUNT = KINDS_WORK,
};

static const char *const kind_names[] = {
	"ticket", "object", "other", "spins", "sleeps", "irq_safe", "read",
	"work",
};

static struct reeve_hierarchy *kinds;
static int kind_locks[4];

static bool kinds_lock(unsigned int order, unsigned int lock,
		       unsigned int flags)
{
	return reeve_record_lock(kinds, &kind_locks[lock], order, flags);
}

static bool kinds_unlock(unsigned int order, unsigned int lock,
			 unsigned int flags)
{
	return reeve_record_unlock(kinds, &kind_locks[lock], order, flags);
}

#define EXCLUSIVE REEVE_LOCK_EXCLUSIVE
#define SHARED REEVE_LOCK_SHARED

#ifndef REEVE_OFF
/* Four groups, each of several orders, and rules until there is no room. */
static void kinds_fill(void)
{
	struct reeve_hierarchy *h;
	unsigned int i;

	h = reeve_hierarchy_register(KBUILD_MODNAME "_full", kind_names,
				     KINDS_COUNT);
	if (IS_ERR(h)) {
		EXPECT(!"registered");
		return;
	}
	for (i = 1; i <= 4; i++) {
		EXPECT(!reeve_hierarchy_set_any_order(h, i + 1, i));
		EXPECT(!reeve_hierarchy_set_any_order(h, i + 2, i));
		EXPECT(!reeve_hierarchy_set_any_order(h, i + 1, i));
	}
	EXPECT(reeve_hierarchy_set_any_order(h, 6, 5) == -ENOSPC);
	EXPECT(!reeve_hierarchy_set_any_order(h, 8, 4));
	for (i = 0; i < REEVE_MAX_RULES; i++)
		EXPECT(!reeve_hierarchy_add_rule(h, 2, 1, EXCLUSIVE, 0));
	EXPECT(reeve_hierarchy_add_rule(h, 2, 1, EXCLUSIVE, 0) == -ENOSPC);
	EXPECT(!reeve_hierarchy_unregister(h));
}
#endif

static int kinds_register(void)
{
	kinds = reeve_hierarchy_register(KBUILD_MODNAME "_kinds", kind_names,
					 KINDS_COUNT);
	if (IS_ERR(kinds))
		return PTR_ERR(kinds);
	EXPECT(!reeve_hierarchy_set_any_order(kinds, KINDS_OBJECT,
					      KINDS_TICKET));
	EXPECT(!reeve_hierarchy_set_any_order(kinds, KINDS_OTHER,
					      KINDS_TICKET));
	EXPECT(!reeve_hierarchy_set_attributes(kinds, KINDS_SPINS,
					       REEVE_ORDER_SPINS));
	EXPECT(!reeve_hierarchy_set_attributes(kinds, KINDS_SLEEPS,
					       REEVE_ORDER_SLEEPS));
	EXPECT(!reeve_hierarchy_set_attributes(kinds, KINDS_IRQ_SAFE,
					       REEVE_ORDER_SPINS));
	EXPECT(!reeve_hierarchy_set_attributes(kinds, KINDS_IRQ_SAFE,
					       REEVE_ORDER_IRQ_SAFE));
	EXPECT(!reeve_hierarchy_set_attributes(kinds, KINDS_READ,
					       REEVE_ORDER_RECURSIVE));
#ifndef REEVE_OFF
	EXPECT(reeve_hierarchy_set_any_order(kinds, KINDS_TICKET,
					     KINDS_OBJECT) == -EINVAL);
	EXPECT(reeve_hierarchy_set_any_order(kinds, KINDS_COUNT + 1,
					     KINDS_OBJECT) == -EINVAL);
	EXPECT(reeve_hierarchy_set_attributes(kinds, KINDS_SLEEPS,
					      REEVE_ORDER_SPINS) == -EINVAL);
	EXPECT(reeve_hierarchy_set_attributes(kinds, KINDS_READ, 0) == -EINVAL);
	EXPECT(reeve_hierarchy_set_attributes(kinds, KINDS_READ, 16) ==
	       -EINVAL);
	EXPECT(reeve_hierarchy_set_attributes(kinds, 0, 1) == -EINVAL);
	kinds_fill();
#endif
	return 0;
}

/* Objects under a ticket, in any order; without it that is a mistake. */
static void kinds_ticket(bool ticket)
{
	if (ticket)
		EXPECT(kinds_lock(KINDS_TICKET, 3, EXCLUSIVE));
	EXPECT(kinds_lock(KINDS_OBJECT, 2, EXCLUSIVE));
	if (ticket)
		EXPECT(kinds_lock(KINDS_OBJECT, 1, EXCLUSIVE));
	else
		EXPECT_FALSE(kinds_lock(KINDS_OBJECT, 1, EXCLUSIVE));
	EXPECT(kinds_lock(KINDS_OTHER, 0, EXCLUSIVE));
	EXPECT(kinds_unlock(KINDS_OBJECT, 1, EXCLUSIVE |
			    (ticket ? 0 : REEVE_LOCK_OUT_OF_ORDER)));
	if (ticket)
		EXPECT(kinds_lock(KINDS_OBJECT, 1, EXCLUSIVE));
	else
		EXPECT_FALSE(kinds_lock(KINDS_OBJECT, 1, EXCLUSIVE));
	EXPECT(kinds_unlock(KINDS_OTHER, 0, EXCLUSIVE));
	EXPECT(kinds_unlock(KINDS_OBJECT, 2, EXCLUSIVE));
	EXPECT(kinds_unlock(KINDS_OBJECT, 1, EXCLUSIVE));
	if (ticket)
		EXPECT(kinds_unlock(KINDS_TICKET, 3, EXCLUSIVE));
}

static void kinds_sleep(void)
{
	EXPECT(kinds_lock(KINDS_SLEEPS, 0, EXCLUSIVE));
	EXPECT(kinds_unlock(KINDS_SLEEPS, 0, EXCLUSIVE));
	local_irq_disable();
	EXPECT_FALSE(kinds_lock(KINDS_SLEEPS, 0, EXCLUSIVE));
	EXPECT(kinds_unlock(KINDS_SLEEPS, 0, EXCLUSIVE));
	EXPECT_FALSE(reeve_record_wait(kinds, &kinds, KINDS_WORK));
	local_irq_enable();
	EXPECT(kinds_lock(KINDS_SPINS, 1, EXCLUSIVE));
	EXPECT_FALSE(kinds_lock(KINDS_SLEEPS, 0, EXCLUSIVE));
	EXPECT(kinds_unlock(KINDS_SLEEPS, 0, EXCLUSIVE));
	EXPECT(kinds_lock(KINDS_SLEEPS, 0, EXCLUSIVE | REEVE_LOCK_TRYLOCK));
	EXPECT(kinds_unlock(KINDS_SLEEPS, 0, EXCLUSIVE));
	EXPECT_FALSE(reeve_record_wait(kinds, &kinds, KINDS_WORK));
	EXPECT(kinds_unlock(KINDS_SPINS, 1, EXCLUSIVE));
}

static void kinds_interrupts(void)
{
	const void *lock = &kind_locks[0];

	EXPECT_INTERRUPTS_ON(kinds_lock(KINDS_IRQ_SAFE, 0, EXCLUSIVE));
	EXPECT(kinds_unlock(KINDS_IRQ_SAFE, 0, EXCLUSIVE));
	EXPECT(kinds_lock(KINDS_IRQ_SAFE, 0, EXCLUSIVE | REEVE_LOCK_WAITING));
	EXPECT_INTERRUPTS_ON(reeve_record_acquired(kinds, lock, KINDS_IRQ_SAFE));
	EXPECT(kinds_unlock(KINDS_IRQ_SAFE, 0, EXCLUSIVE));
	EXPECT(kinds_lock(KINDS_IRQ_SAFE, 0, EXCLUSIVE | REEVE_LOCK_WAITING));
	local_irq_disable();
	EXPECT(reeve_record_acquired(kinds, lock, KINDS_IRQ_SAFE));
	EXPECT(kinds_unlock(KINDS_IRQ_SAFE, 0, EXCLUSIVE));
	EXPECT(kinds_lock(KINDS_IRQ_SAFE, 0, EXCLUSIVE));
	EXPECT(kinds_unlock(KINDS_IRQ_SAFE, 0, EXCLUSIVE));
	local_irq_enable();
	scoped_guard(reeve_spinlock_irqsave, &spinlock, kinds, KINDS_IRQ_SAFE)
		EXPECT(reeve_check_locked(kinds, &spinlock, KINDS_IRQ_SAFE,
					  EXCLUSIVE));
}

static void kinds_read(void)
{
	EXPECT(kinds_lock(KINDS_READ, 0, SHARED));
	EXPECT(kinds_lock(KINDS_WORK, 1, EXCLUSIVE));
	EXPECT(kinds_lock(KINDS_READ, 0, SHARED));
	EXPECT(kinds_unlock(KINDS_READ, 0, SHARED));
	EXPECT(kinds_unlock(KINDS_WORK, 1, EXCLUSIVE));
	EXPECT(reeve_check_locked(kinds, &kind_locks[0], KINDS_READ, SHARED));
	EXPECT(kinds_unlock(KINDS_READ, 0, SHARED));
	EXPECT(reeve_check_all_unlocked(kinds));
}

/* The work takes what is deeper than itself; so what flushes it must not hold that. */
static noinline void kinds_wait(void)
{
	EXPECT(kinds_lock(KINDS_READ, 0, EXCLUSIVE));
	EXPECT(reeve_record_wait(kinds, &kinds, KINDS_WORK));
	EXPECT(kinds_lock(KINDS_WORK, 1, EXCLUSIVE));
	EXPECT_FALSE(reeve_record_wait(kinds, &kinds, KINDS_WORK));
	EXPECT(kinds_unlock(KINDS_WORK, 1, EXCLUSIVE));
	EXPECT(kinds_unlock(KINDS_READ, 0, EXCLUSIVE));
}

static int kinds_free(void *done)
{
	EXPECT_FALSE(reeve_check_no_locks_freed(kind_locks,
						sizeof(kind_locks)));
	EXPECT(reeve_check_no_locks_freed(kind_locks, sizeof(kind_locks[0])));
	complete(done);
	return 0;
}

/* Freed by another thread than the one that holds a lock in it. */
static void kinds_freed(void)
{
	DECLARE_COMPLETION_ONSTACK(done);
	struct task_struct *task;

	EXPECT(reeve_check_no_locks_freed(kind_locks, sizeof(kind_locks)));
	EXPECT(kinds_lock(KINDS_READ, 1, SHARED));
	task = kthread_run(kinds_free, &done, "guards/free");
	EXPECT(!IS_ERR(task));
	if (!IS_ERR(task))
		wait_for_completion(&done);
	EXPECT(kinds_unlock(KINDS_READ, 1, SHARED));
	EXPECT(reeve_check_no_locks_freed(kind_locks, sizeof(kind_locks)));
}

static int kinds_adopt(void *done)
{
	struct reeve_thread_context ctx;

	EXPECT(reeve_thread_context_enter(&ctx));
	EXPECT(kinds_lock(KINDS_WORK, 2, EXCLUSIVE));
	EXPECT(reeve_record_adopt(kinds, &kind_locks[1], KINDS_READ));
	EXPECT_FALSE(reeve_record_adopt(kinds, &kind_locks[1], KINDS_READ));
	EXPECT(reeve_check_locked(kinds, &kind_locks[1], KINDS_READ, SHARED));
	EXPECT(kinds_unlock(KINDS_READ, 1, SHARED));
	EXPECT(kinds_unlock(KINDS_WORK, 2, EXCLUSIVE));
	EXPECT(reeve_check_all_unlocked(kinds));
	EXPECT(reeve_thread_context_leave(&ctx));
	complete(done);
	return 0;
}

/* Taken here, released by another thread. */
static void kinds_hand_over(void)
{
	DECLARE_COMPLETION_ONSTACK(done);
	struct task_struct *task;

	EXPECT_FALSE(reeve_record_handover(kinds, &kind_locks[1], KINDS_READ));
	EXPECT(kinds_lock(KINDS_READ, 1, SHARED));
	EXPECT(reeve_record_handover(kinds, &kind_locks[1], KINDS_READ));
	EXPECT(reeve_check_all_unlocked(kinds));
	EXPECT_FALSE(reeve_check_no_locks_freed(kind_locks,
						sizeof(kind_locks)));
	if (tracked)
		EXPECT(reeve_hierarchy_unregister(kinds) == -EBUSY);
	task = kthread_run(kinds_adopt, &done, "guards/adopt");
	EXPECT(!IS_ERR(task));
	if (!IS_ERR(task))
		wait_for_completion(&done);
	EXPECT(reeve_check_no_locks_freed(kind_locks, sizeof(kind_locks)));
}

static noinline void kinds_run(void)
{
	kinds_ticket(true);
	kinds_ticket(false);
	kinds_sleep();
	kinds_interrupts();
	kinds_read();
	kinds_wait();
	kinds_freed();
	kinds_hand_over();
	EXPECT(reeve_check_all_unlocked(kinds));
}

static noinline void guards_run(void)
{
	struct reeve_thread_context ctx;

	EXPECT(reeve_thread_context_enter(&ctx));
	tracked = reeve_thread_has_context();
	guards_lock();
	guards_expect_free();
	EXPECT(guards_leave_early(true) == -EINTR);
	guards_expect_free();
	EXPECT(guards_leave_early(false) == 0);
	guards_take_conditionally();
	guards_fail();
	guards_expect_free();
	guards_wrong_order();
	guards_expect_free();
	guards_by_wrapper();
	guards_expect_free();
	kinds_run();
	EXPECT(reeve_thread_context_leave(&ctx));
}

/* Threads that hold, wait, or lock all the time. */
#define GUARDS_THREADS 8

static struct task_struct *threads[GUARDS_THREADS];
static unsigned int started;
static DECLARE_COMPLETION(ready);

static noinline int guards_holder(void *unused)
{
	struct reeve_thread_context ctx;

	EXPECT(reeve_thread_context_enter(&ctx));
	scoped_guard(reeve_mutex, &contended, hierarchy, GUARDS_MUTEX) {
		complete(&ready);
		for (;;) {
			set_current_state(TASK_IDLE);
			if (kthread_should_stop())
				break;
			schedule();
		}
		__set_current_state(TASK_RUNNING);
	}
	EXPECT(reeve_thread_context_leave(&ctx));
	return 0;
}

static DEFINE_MUTEX(busy_mutex);
static DEFINE_SPINLOCK(busy_spinlock);

static noinline void guards_busy_round(void)
{
	guard(reeve_mutex)(&busy_mutex, hierarchy, GUARDS_MUTEX);
	guard(reeve_spinlock_irqsave)(&busy_spinlock, hierarchy,
				      GUARDS_SPINLOCK);

	EXPECT_HELD(&busy_mutex, GUARDS_MUTEX, EXCLUSIVE);
}

static noinline int guards_busy(void *unused)
{
	set_user_nice(current, MAX_NICE);
	complete(&ready);
	while (!kthread_should_stop()) {
		struct reeve_thread_context ctx;

		EXPECT(reeve_thread_context_enter(&ctx));
		guards_busy_round();
		EXPECT_NOTHING();
		EXPECT(reeve_thread_context_leave(&ctx));
		cond_resched();
	}
	return 0;
}

static int guards_start(int (*f)(void *), const char *name)
{
	struct task_struct *task;

	if (started == GUARDS_THREADS)
		return -EINVAL;
	task = kthread_run(f, NULL, "guards/%s", name);
	if (IS_ERR(task))
		return PTR_ERR(task);
	threads[started++] = task;
	return 0;
}

/* The holder first: it lets the waiter go on. */
static void guards_stop(void)
{
	unsigned int i;

	for (i = 0; i < started; i++)
		kthread_stop(threads[i]);
	started = 0;
}

static int set_run(const char *value, const struct kernel_param *kp)
{
	unsigned int count;
	int ret = kstrtouint(value, 0, &count);

	while (!ret && count--)
		guards_run();
	return ret;
}

static int set_hold(const char *value, const struct kernel_param *kp)
{
	unsigned int count;
	int ret = kstrtouint(value, 0, &count);

	if (ret)
		return ret;
	guards_stop();
	if (!count)
		return 0;
	reinit_completion(&ready);
	ret = guards_start(guards_holder, "holder");
	if (ret)
		return ret;
	wait_for_completion(&ready);
	return guards_start(guards_holder, "waiter");
}

static int set_busy(const char *value, const struct kernel_param *kp)
{
	unsigned int count;
	int ret = kstrtouint(value, 0, &count);

	if (ret)
		return ret;
	guards_stop();
	while (count-- && !ret) {
		reinit_completion(&ready);
		ret = guards_start(guards_busy, "busy");
		if (!ret)
			wait_for_completion(&ready);
	}
	return ret;
}

static int get_failures(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%d\n", atomic_read(&failures));
}

static const struct kernel_param_ops run_ops = { .set = set_run };
static const struct kernel_param_ops hold_ops = { .set = set_hold };
static const struct kernel_param_ops busy_ops = { .set = set_busy };
static const struct kernel_param_ops failures_ops = { .get = get_failures };

module_param_cb(run, &run_ops, NULL, 0200);
module_param_cb(hold, &hold_ops, NULL, 0200);
module_param_cb(busy, &busy_ops, NULL, 0200);
module_param_cb(failures, &failures_ops, NULL, 0400);
module_param(tracked, bool, 0400);

static int __init guards_init(void)
{
	int ret = kinds_register();

	if (ret)
		return ret;
	hierarchy = reeve_hierarchy_register("guards", order_names,
					     GUARDS_COUNT);
	ret = PTR_ERR_OR_ZERO(hierarchy);
	if (ret)
		reeve_hierarchy_unregister(kinds);
	return ret;
}

static void __exit guards_exit(void)
{
	guards_stop();
	reeve_hierarchy_unregister(hierarchy);
	reeve_hierarchy_unregister(kinds);
}

module_init(guards_init);
module_exit(guards_exit);
MODULE_DESCRIPTION("Checks the guards that lock and record in one step");
MODULE_LICENSE("GPL");
