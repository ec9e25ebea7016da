// SPDX-License-Identifier: GPL-2.0
/*
 * The exported C API of lock-order tracking: finds the caller's context and
 * call site, which takes per-CPU variables and macros, and hands over to Rust.
 */
#include <linux/cpu.h>
#include <linux/export.h>
#include <linux/hardirq.h>
#include <linux/irqflags.h>
#include <linux/jump_label.h>
#include <linux/kernel_stat.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/smp.h>
#include <linux/timekeeping.h>

#include <reeve/lock_order_ops.h>

#include "lock_order.h"

/*
 * Made empty contexts at load: interrupts need not enter theirs. An array of
 * REEVE_IRQ_LEVELS for each CPU, too large for what modules have statically.
 */
static struct reeve_context __percpu *reeve_irq_contexts;

/* Before anything records. May sleep. -ENOMEM. */
int reeve_helper_irq_init(void)
{
	reeve_irq_contexts = __alloc_percpu(REEVE_IRQ_LEVELS *
					    sizeof(struct reeve_context),
					    __alignof__(struct reeve_context));
	return reeve_irq_contexts ? 0 : -ENOMEM;
}

/* After everything that records. */
void reeve_helper_irq_exit(void)
{
	free_percpu(reeve_irq_contexts);
}

struct reeve_context *reeve_helper_irq_context(unsigned int cpu,
					       unsigned int level)
{
	if (cpu >= nr_cpu_ids || !cpu_possible(cpu))
		return NULL;
	return per_cpu_ptr(reeve_irq_contexts, cpu) + level;
}

unsigned int reeve_helper_nr_cpu_ids(void)
{
	return nr_cpu_ids;
}

/*
 * The context of the task that recorded last on this CPU. Only a hint: whatever
 * it points to, a context that carries the current task's address is its own.
 * So it does not matter if the task moves to another CPU half-way.
 */
static struct reeve_context reeve_no_context;
static DEFINE_PER_CPU(struct reeve_context *, reeve_hint) = &reeve_no_context;

/* The current task has this context from now on. True, so that it is jumped to. */
bool reeve_helper_begun(struct reeve_context *ctx)
{
	raw_cpu_write(reeve_hint, ctx);
	/* Its address is no other task's as long as a context carries it. */
	get_task_struct(current);
	return true;
}

/* A context of @task is free. True, so that it is jumped to. */
bool reeve_helper_ended(unsigned long task)
{
	put_task_struct(reeve_task_of(task));
	return true;
}

/* Whether it is a soft irq that goes on as a thread does. */
static bool reeve_in_soft_thread(void)
{
	return IS_ENABLED(CONFIG_PREEMPT_RT) && in_serving_softirq() &&
	       !in_hardirq() && !in_nmi();
}

/* Who owns the context of the running thread; 0: an interrupt, of its CPU. */
unsigned long reeve_helper_thread(void)
{
	unsigned long task = (unsigned long)current;

	if (in_task())
		return task;
	return reeve_in_soft_thread() ? task | REEVE_OF_SOFT_IRQ : 0;
}

/* Whether it is the current task's, and it is the task that runs. */
static __always_inline bool reeve_is_ours(const struct reeve_context *ctx)
{
	return likely(in_task()) &&
	       /* Only we could make it ours; READ_ONCE() would cost a load. */
	       likely(data_race(ctx->owner) == (unsigned long)current);
}

/*
 * Which interrupt of this level it is that this CPU handles: its kernel counts
 * them before it runs their handlers.
 */
static u32 reeve_irq_serial(unsigned int level)
{
	u32 serial = 0;
	int i;

	if (level == REEVE_IRQ_SOFT) {
		for (i = 0; i < NR_SOFTIRQS; i++)
			serial += __this_cpu_read(kstat.softirqs[i]);
		return serial;
	}
	serial = __this_cpu_read(kstat.irqs_sum);
#ifdef CONFIG_X86
	for (i = 0; i < IRQ_COUNT_MAX; i++) {
		/* These may come while another interrupt is handled. */
		if (i == IRQ_COUNT_NMI)
			continue;
#ifdef CONFIG_X86_MCE
		if (i == IRQ_COUNT_MCE_EXCEPTION)
			continue;
#endif
#ifdef CONFIG_X86_LOCAL_APIC
		if (i == IRQ_COUNT_APIC_PERF)
			continue;
#endif
		serial += __this_cpu_read(irq_stat.counts[i]);
	}
#endif
	return serial;
}

/*
 * What an earlier handler left is no longer held. An NMI cannot be told from the
 * one before it, so theirs is left as it is.
 */
static struct reeve_context *reeve_irq_context(unsigned int level)
{
	struct reeve_context *ctx = this_cpu_ptr(reeve_irq_contexts) + level;
	u32 serial;

	if (level >= REEVE_IRQ_NMI)
		return ctx;
	serial = reeve_irq_serial(level);
	if (ctx->serial != serial) {
		reeve_rs_level_anew(ctx);
		ctx->serial = serial;
	}
	return ctx;
}

bool reeve_helper_is_kernel_thread(void)
{
	return (current->flags & PF_KTHREAD) || reeve_in_soft_thread();
}

/* An NMI, a breakpoint or a machine check may come within another of them. */
static unsigned int reeve_nmi_level(void)
{
	unsigned int depth = (preempt_count() & NMI_MASK) / NMI_OFFSET;

	return REEVE_IRQ_NMI + min(depth, REEVE_NMI_DEPTH) - 1;
}

static noinline struct reeve_context *reeve_find_context(void)
{
	struct reeve_context *ctx;
	unsigned int level;

	if (likely(in_task())) {
		ctx = reeve_rs_find_context((unsigned long)current);
		raw_cpu_write(reeve_hint, ctx);
		return ctx;
	}
	/* Not hinted at: the task goes on with its own. */
	if (reeve_in_soft_thread())
		return reeve_rs_soft_irq_context();
	level = in_nmi()     ? reeve_nmi_level() :
		in_hardirq() ? REEVE_IRQ_HARD :
			       REEVE_IRQ_SOFT;
	return reeve_irq_context(level);
}

static struct reeve_context *reeve_context(void)
{
	struct reeve_context *ctx = raw_cpu_read(reeve_hint);

	return reeve_is_ours(ctx) ? ctx : reeve_find_context();
}

/* Enters and leaves of any interrupt do nothing. */
static unsigned long reeve_task(void)
{
	return in_task() ? (unsigned long)current : 0;
}

/* Switched by the parameter lock_tracking, and by tracepoints. */
struct reeve_switch reeve_switch = {
	.off = STATIC_KEY_FALSE_INIT,
	.diverted = STATIC_KEY_FALSE_INIT,
};

/* When tracking was switched last, in ns as tasks have it; 0: never. */
static u64 reeve_switched_at;

/*
 * Whether the current task is older than the last switch of tracking, so that it
 * may hold locks that are not recorded.
 */
bool reeve_helper_is_older_than_switch(void)
{
	u64 at = READ_ONCE(reeve_switched_at);

	return at && current->start_time <= at;
}

/*
 * Runs as a task on each CPU, so nothing that the CPU's interrupts recorded is
 * held any more: their contexts need not tolerate what is not known.
 */
static int reeve_reset_interrupts(void *unused)
{
	unsigned long flags;

	local_irq_save(flags);
	reeve_rs_reset_interrupts(this_cpu_ptr(reeve_irq_contexts));
	local_irq_restore(flags);
	return 0;
}

static int reeve_tracking_set(const char *value, const struct kernel_param *kp)
{
	bool on;
	unsigned int cpu;
	int ret = kstrtobool(value, &on);

	if (ret)
		return ret;
	/* Writers are serialized by the parameter lock. */
	if (on == !static_key_enabled(&reeve_switch.off))
		return 0;
	/* Until it was switched every task is older. */
	WRITE_ONCE(reeve_switched_at, U64_MAX);
	/* Call sites are patched one after the other. */
	reeve_rs_tracking_epoch();
	if (on) {
		static_branch_disable(&reeve_switch.off);
		static_branch_dec(&reeve_switch.diverted);
	} else {
		static_branch_inc(&reeve_switch.diverted);
		static_branch_enable(&reeve_switch.off);
	}
	reeve_rs_tracking_epoch();
	WRITE_ONCE(reeve_switched_at, ktime_get_ns());
	cpus_read_lock();
	for_each_online_cpu(cpu)
		smp_call_on_cpu(cpu, reeve_reset_interrupts, NULL, false);
	cpus_read_unlock();
	return 0;
}

static int reeve_tracking_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%d\n", !static_key_enabled(&reeve_switch.off));
}

static const struct kernel_param_ops reeve_tracking_ops = {
	.set = reeve_tracking_set,
	.get = reeve_tracking_get,
};

module_param_cb(lock_tracking, &reeve_tracking_ops, NULL, 0644);
MODULE_PARM_DESC(lock_tracking, "Track the order of locks (default 1)");

int reeve_trace_divert(void)
{
	static_branch_inc(&reeve_switch.diverted);
	return 0;
}

void reeve_trace_return(void)
{
	static_branch_dec(&reeve_switch.diverted);
}

static __always_inline bool reeve_is_off(void)
{
	return static_branch_unlikely(&reeve_switch.off);
}

/* Call sites as 32 bits: the kernel's and all modules' text lies that near. */
#define REEVE_SITE() ((u32)_RET_IP_)

#define PARAMS(...) __VA_ARGS__
#define ARGS(...) __VA_ARGS__

/*
 * The hot entry points: the search for a context that is not at hand, and what
 * records are diverted to, are kept out of line, arguments and all, so that the
 * usual way has no stack frame.
 */
#define REEVE_HOT(name, params, args, trace)                                   \
	static noinline bool name##_found(PARAMS params, u32 site)             \
	{                                                                      \
		return reeve_rs_##name(ARGS args, reeve_find_context(), site); \
	}                                                                      \
	\
	static noinline bool name##_diverted(PARAMS params, u32 site)          \
	{                                                                      \
		if (reeve_is_off())                                            \
			return true;                                           \
		trace;                                                         \
		return reeve_rs_##name(ARGS args, reeve_context(), site);      \
	}                                                                      \
	\
	bool reeve_##name(PARAMS params)                                       \
	{                                                                      \
		struct reeve_context *ctx;                                     \
	\
		if (static_branch_unlikely(&reeve_switch.diverted))            \
			return name##_diverted(ARGS args, REEVE_SITE());       \
		ctx = raw_cpu_read(reeve_hint);                                \
		if (unlikely(!reeve_is_ours(ctx)))                             \
			return name##_found(ARGS args, REEVE_SITE());          \
		return reeve_rs_##name(ARGS args, ctx, REEVE_SITE());          \
	}                                                                      \
	EXPORT_SYMBOL_GPL(reeve_##name)

REEVE_HOT(record_lock,
	  (struct reeve_hierarchy *h, const void *lock, unsigned int order,
	   unsigned int flags),
	  (h, lock, order, flags),
	  reeve_rs_trace(h, lock, order, flags, false, site));
REEVE_HOT(record_unlock,
	  (struct reeve_hierarchy *h, const void *lock, unsigned int order,
	   unsigned int flags),
	  (h, lock, order, flags),
	  reeve_rs_trace(h, lock, order, flags, true, site));
REEVE_HOT(record_lock_plain,
	  (struct reeve_hierarchy *h, const void *lock, unsigned int packed),
	  (h, lock, packed),
	  reeve_rs_trace(h, lock, packed & 0xff, packed >> 8, false, site));
REEVE_HOT(record_unlock_plain,
	  (struct reeve_hierarchy *h, const void *lock, unsigned int packed),
	  (h, lock, packed),
	  reeve_rs_trace(h, lock, packed & 0xff, packed >> 8, true, site));
REEVE_HOT(record_trylock_plain,
	  (struct reeve_hierarchy *h, const void *lock, unsigned int packed),
	  (h, lock, packed),
	  reeve_rs_trace(h, lock, packed & 0xff,
			 packed >> 8 | REEVE_LOCK_TRYLOCK, false, site));
REEVE_HOT(record_lock_keyed,
	  (struct reeve_hierarchy *h, const void *lock, unsigned int order,
	   unsigned int flags, u64 key),
	  (h, lock, order, flags, key),
	  reeve_rs_trace(h, lock, order, flags, false, site));
REEVE_HOT(check_locked,
	  (struct reeve_hierarchy *h, const void *lock, unsigned int order,
	   unsigned int flags),
	  (h, lock, order, flags), (void)0);

bool reeve_record_downgrade(struct reeve_hierarchy *h, const void *lock,
			    unsigned int order)
{
	if (reeve_is_off())
		return true;
	return reeve_rs_record_downgrade(h, lock, order, reeve_context(),
					 REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_record_downgrade);

bool reeve_check_lockable_order(struct reeve_hierarchy *h, unsigned int order,
				unsigned int flags)
{
	if (reeve_is_off())
		return true;
	return reeve_rs_check_lockable_order(h, order, flags, reeve_context(),
					     REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_check_lockable_order);

bool reeve_check_unlocked_order(struct reeve_hierarchy *h, unsigned int order)
{
	if (reeve_is_off())
		return true;
	return reeve_rs_check_unlocked_order(h, order, reeve_context(),
					     REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_check_unlocked_order);

bool reeve_check_all_unlocked(struct reeve_hierarchy *h)
{
	if (reeve_is_off())
		return true;
	return reeve_rs_check_all_unlocked(h, reeve_context(), REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_check_all_unlocked);

/* Contexts come and go whether or not tracking is on: it may be switched on. */
bool reeve_thread_context_enter(struct reeve_thread_context *ctx)
{
	return reeve_rs_thread_context_enter(ctx, reeve_task(), REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_thread_context_enter);

bool reeve_thread_context_enter_deep(struct reeve_thread_context *ctx)
{
	bool entered;

	might_sleep_if(in_task());
	entered = reeve_rs_thread_context_enter(ctx, reeve_task(), REEVE_SITE());
	if (!entered || !in_task())
		return entered;
	return reeve_rs_thread_context_deepen(reeve_context(), REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_thread_context_enter_deep);

static noinline bool thread_context_leave_found(struct reeve_thread_context *ctx,
						u32 site)
{
	return reeve_rs_thread_context_leave(ctx, reeve_task(),
					     reeve_find_context(), site);
}

/* Hot, too. */
bool reeve_thread_context_leave(struct reeve_thread_context *ctx)
{
	struct reeve_context *ours = raw_cpu_read(reeve_hint);

	if (unlikely(!reeve_is_ours(ours)))
		return thread_context_leave_found(ctx, REEVE_SITE());
	return reeve_rs_thread_context_leave(ctx, (unsigned long)current, ours,
					     REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_thread_context_leave);

bool reeve_thread_context_save(struct reeve_thread_context *ctx)
{
	return reeve_rs_thread_context_save(ctx, reeve_task(), reeve_context(),
					    REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_thread_context_save);

bool reeve_thread_context_restore(struct reeve_thread_context *ctx)
{
	return reeve_rs_thread_context_restore(ctx, reeve_context(),
					       REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_thread_context_restore);

/* For the sanity suite, which has to start from nothing. */
void reeve_forget_all(void)
{
	reeve_rs_forget_all(reeve_context());
}

bool reeve_tracking_disable(void)
{
	return reeve_rs_tracking_disable(reeve_context(), REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_tracking_disable);

bool reeve_tracking_enable(void)
{
	return reeve_rs_tracking_enable(reeve_context(), REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_tracking_enable);

struct reeve_hierarchy *
reeve_hierarchy_register(const char *name, const char *const *order_names,
			 unsigned int count)
{
	return reeve_rs_hierarchy_register(name, order_names, count, 0);
}
EXPORT_SYMBOL_GPL(reeve_hierarchy_register);

struct reeve_hierarchy *
reeve_hierarchy_register_flags(const char *name, const char *const *order_names,
			       unsigned int count, unsigned int flags)
{
	return reeve_rs_hierarchy_register(name, order_names, count, flags);
}
EXPORT_SYMBOL_GPL(reeve_hierarchy_register_flags);

int reeve_hierarchy_unregister(struct reeve_hierarchy *h)
{
	return reeve_rs_hierarchy_unregister(h, false, REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_hierarchy_unregister);

int reeve_hierarchy_forget(struct reeve_hierarchy *h)
{
	return reeve_rs_hierarchy_unregister(h, true, REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_hierarchy_forget);

int reeve_hierarchy_add_rule(struct reeve_hierarchy *h, unsigned int order,
			     unsigned int while_held, unsigned int mode_flags,
			     unsigned int unless_held)
{
	return reeve_rs_hierarchy_add_rule(h, order, while_held, mode_flags,
					   unless_held);
}
EXPORT_SYMBOL_GPL(reeve_hierarchy_add_rule);

int reeve_hierarchy_set_nestable(struct reeve_hierarchy *h, unsigned int order)
{
	return reeve_rs_hierarchy_set_nestable(h, order);
}
EXPORT_SYMBOL_GPL(reeve_hierarchy_set_nestable);

bool reeve_record_acquired(struct reeve_hierarchy *h, const void *lock,
			   unsigned int order)
{
	if (reeve_is_off())
		return true;
	return reeve_rs_record_acquired(h, lock, order, reeve_context(),
					REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_record_acquired);

bool reeve_record_wait(struct reeve_hierarchy *h, const void *what,
		       unsigned int order)
{
	if (reeve_is_off())
		return true;
	return reeve_rs_record_wait(h, what, order, reeve_context(),
				    REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_record_wait);

bool reeve_record_handover(struct reeve_hierarchy *h, const void *lock,
			   unsigned int order)
{
	if (reeve_is_off())
		return true;
	return reeve_rs_record_handover(h, lock, order, reeve_context(),
					REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_record_handover);

bool reeve_record_adopt(struct reeve_hierarchy *h, const void *lock,
			unsigned int order)
{
	if (reeve_is_off())
		return true;
	return reeve_rs_record_adopt(h, lock, order, reeve_context(),
				     REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_record_adopt);

bool reeve_check_no_locks_freed(const void *start, size_t len)
{
	if (reeve_is_off())
		return true;
	return reeve_rs_check_no_locks_freed(start, len, REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_check_no_locks_freed);

int reeve_hierarchy_set_attributes(struct reeve_hierarchy *h,
				   unsigned int order, unsigned int flags)
{
	return reeve_rs_hierarchy_set_attributes(h, order, flags);
}
EXPORT_SYMBOL_GPL(reeve_hierarchy_set_attributes);

int reeve_hierarchy_set_any_order(struct reeve_hierarchy *h, unsigned int order,
				  unsigned int while_held)
{
	return reeve_rs_hierarchy_set_any_order(h, order, while_held);
}
EXPORT_SYMBOL_GPL(reeve_hierarchy_set_any_order);

int reeve_hierarchy_set_before(struct reeve_hierarchy *h, const char *other,
			       unsigned int order)
{
	return reeve_rs_hierarchy_set_before(h, other, order);
}
EXPORT_SYMBOL_GPL(reeve_hierarchy_set_before);

int reeve_hierarchy_set_after(struct reeve_hierarchy *h, unsigned int order,
			      const char *other)
{
	return reeve_rs_hierarchy_set_after(h, order, other);
}
EXPORT_SYMBOL_GPL(reeve_hierarchy_set_after);

bool reeve_thread_has_context(void)
{
	return reeve_rs_thread_has_context(reeve_context());
}
EXPORT_SYMBOL_GPL(reeve_thread_has_context);

/* For drivers that bind: not of a context that some other driver's record gave. */
static bool reeve_thread_has_entered(void)
{
	return reeve_rs_thread_has_entered(reeve_context());
}

/* The call site is the caller's to say: for wrappers of locks. */
bool reeve_record_lock_ip(struct reeve_hierarchy *h, const void *lock,
			  unsigned int order, unsigned int flags,
			  unsigned long ip)
{
	if (static_branch_unlikely(&reeve_switch.diverted))
		return record_lock_diverted(h, lock, order, flags, (u32)ip);
	return reeve_rs_record_lock(h, lock, order, flags, reeve_context(),
				    (u32)ip);
}
EXPORT_SYMBOL_GPL(reeve_record_lock_ip);

bool reeve_record_unlock_ip(struct reeve_hierarchy *h, const void *lock,
			    unsigned int order, unsigned int flags,
			    unsigned long ip)
{
	if (static_branch_unlikely(&reeve_switch.diverted))
		return record_unlock_diverted(h, lock, order, flags, (u32)ip);
	return reeve_rs_record_unlock(h, lock, order, flags, reeve_context(),
				      (u32)ip);
}
EXPORT_SYMBOL_GPL(reeve_record_unlock_ip);

bool reeve_record_lock_keyed_ip(struct reeve_hierarchy *h, const void *lock,
				unsigned int order, unsigned int flags, u64 key,
				unsigned long ip)
{
	if (static_branch_unlikely(&reeve_switch.diverted))
		return record_lock_keyed_diverted(h, lock, order, flags, key,
						  (u32)ip);
	return reeve_rs_record_lock_keyed(h, lock, order, flags, key,
					  reeve_context(), (u32)ip);
}
EXPORT_SYMBOL_GPL(reeve_record_lock_keyed_ip);

bool reeve_record_downgrade_ip(struct reeve_hierarchy *h, const void *lock,
			       unsigned int order, unsigned long ip)
{
	if (reeve_is_off())
		return true;
	return reeve_rs_record_downgrade(h, lock, order, reeve_context(),
					 (u32)ip);
}
EXPORT_SYMBOL_GPL(reeve_record_downgrade_ip);

bool reeve_check_locked_ip(struct reeve_hierarchy *h, const void *lock,
			   unsigned int order, unsigned int flags,
			   unsigned long ip)
{
	if (reeve_is_off())
		return true;
	return reeve_rs_check_locked(h, lock, order, flags, reeve_context(),
				     (u32)ip);
}
EXPORT_SYMBOL_GPL(reeve_check_locked_ip);

/* What a driver binds to at run time, see reeve/lock_order_bind.h. */
const struct reeve_lock_order_ops reeve_lock_order_ops = {
	.size = sizeof(reeve_lock_order_ops),
	.owner = THIS_MODULE,
	.hierarchy_register_flags = reeve_hierarchy_register_flags,
	.hierarchy_unregister = reeve_hierarchy_unregister,
	.hierarchy_forget = reeve_hierarchy_forget,
	.hierarchy_add_rule = reeve_hierarchy_add_rule,
	.hierarchy_set_nestable = reeve_hierarchy_set_nestable,
	.record_lock_ip = reeve_record_lock_ip,
	.record_lock_keyed_ip = reeve_record_lock_keyed_ip,
	.record_unlock_ip = reeve_record_unlock_ip,
	.record_downgrade_ip = reeve_record_downgrade_ip,
	.hierarchy_set_attributes = reeve_hierarchy_set_attributes,
	.hierarchy_set_any_order = reeve_hierarchy_set_any_order,
	.hierarchy_set_before = reeve_hierarchy_set_before,
	.hierarchy_set_after = reeve_hierarchy_set_after,
	.record_acquired = reeve_record_acquired,
	.record_wait = reeve_record_wait,
	.record_handover = reeve_record_handover,
	.record_adopt = reeve_record_adopt,
	.check_no_locks_freed = reeve_check_no_locks_freed,
	.check_locked_ip = reeve_check_locked_ip,
	.check_lockable_order = reeve_check_lockable_order,
	.check_unlocked_order = reeve_check_unlocked_order,
	.check_all_unlocked = reeve_check_all_unlocked,
	.thread_context_enter = reeve_thread_context_enter,
	.thread_context_enter_deep = reeve_thread_context_enter_deep,
	.thread_context_leave = reeve_thread_context_leave,
	.thread_context_save = reeve_thread_context_save,
	.thread_context_restore = reeve_thread_context_restore,
	.thread_has_entered = reeve_thread_has_entered,
	.tracking_disable = reeve_tracking_disable,
	.tracking_enable = reeve_tracking_enable,
};
EXPORT_SYMBOL_GPL(reeve_lock_order_ops);
