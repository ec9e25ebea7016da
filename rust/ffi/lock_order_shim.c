// SPDX-License-Identifier: GPL-2.0
/*
 * The exported C API of lock-order tracking: adds who calls and from where,
 * which only macros tell, and hands over to Rust.
 */
#include <linux/export.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/sched.h>

#include "shim.h"

enum reeve_irq_level {
	REEVE_IRQ_SOFT,
	REEVE_IRQ_HARD,
	REEVE_IRQ_NMI,
};

/* Zeroes are an empty context: interrupts need not enter theirs. */
static DEFINE_PER_CPU(struct reeve_thread_context[REEVE_IRQ_LEVELS],
		      reeve_irq_contexts);

struct reeve_thread_context *reeve_shim_irq_context(unsigned int cpu,
						    unsigned int level)
{
	return &(*per_cpu_ptr(&reeve_irq_contexts, cpu))[level];
}

unsigned int reeve_shim_nr_cpu_ids(void)
{
	return nr_cpu_ids;
}

static noinline unsigned long reeve_irq_owner(void)
{
	enum reeve_irq_level level = in_nmi()	  ? REEVE_IRQ_NMI :
				     in_hardirq() ? REEVE_IRQ_HARD :
						    REEVE_IRQ_SOFT;

	return (unsigned long)&(*this_cpu_ptr(&reeve_irq_contexts))[level] |
	       REEVE_OWNER_IRQ;
}

static __always_inline unsigned long reeve_owner(void)
{
	return likely(in_task()) ? (unsigned long)current : reeve_irq_owner();
}

/* Call sites as 32 bits: the kernel's and all modules' text lies that near. */
#define REEVE_SITE() ((u32)(_RET_IP_ - (unsigned long)reeve_record_lock))

bool reeve_record_lock(struct reeve_hierarchy *h, const void *lock,
		       unsigned int order, unsigned int flags)
{
	return reeve_rs_record_lock(h, lock, order, flags, reeve_owner(),
				    REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_record_lock);

bool reeve_record_unlock(struct reeve_hierarchy *h, const void *lock,
			 unsigned int order, unsigned int flags)
{
	return reeve_rs_record_unlock(h, lock, order, flags, reeve_owner(),
				      REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_record_unlock);

bool reeve_record_downgrade(struct reeve_hierarchy *h, const void *lock,
			    unsigned int order)
{
	return reeve_rs_record_downgrade(h, lock, order, reeve_owner(),
					 REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_record_downgrade);

bool reeve_check_locked(struct reeve_hierarchy *h, const void *lock,
			unsigned int order, unsigned int flags)
{
	return reeve_rs_check_locked(h, lock, order, flags, reeve_owner(),
				     REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_check_locked);

bool reeve_check_lockable_order(struct reeve_hierarchy *h, unsigned int order,
				unsigned int flags)
{
	return reeve_rs_check_lockable_order(h, order, flags, reeve_owner(),
					     REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_check_lockable_order);

bool reeve_check_unlocked_order(struct reeve_hierarchy *h, unsigned int order)
{
	return reeve_rs_check_unlocked_order(h, order, reeve_owner(),
					     REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_check_unlocked_order);

bool reeve_check_all_unlocked(struct reeve_hierarchy *h)
{
	return reeve_rs_check_all_unlocked(h, reeve_owner(), REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_check_all_unlocked);

bool reeve_thread_context_enter(struct reeve_thread_context *ctx)
{
	return reeve_rs_thread_context_enter(ctx, reeve_owner(), REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_thread_context_enter);

bool reeve_thread_context_leave(struct reeve_thread_context *ctx)
{
	return reeve_rs_thread_context_leave(ctx, reeve_owner(), REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_thread_context_leave);

bool reeve_thread_context_save(struct reeve_thread_context *ctx)
{
	return reeve_rs_thread_context_save(ctx, reeve_owner(), REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_thread_context_save);

bool reeve_thread_context_restore(struct reeve_thread_context *ctx)
{
	return reeve_rs_thread_context_restore(ctx, reeve_owner(), REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_thread_context_restore);

bool reeve_tracking_disable(void)
{
	return reeve_rs_tracking_disable(reeve_owner(), REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_tracking_disable);

bool reeve_tracking_enable(void)
{
	return reeve_rs_tracking_enable(reeve_owner(), REEVE_SITE());
}
EXPORT_SYMBOL_GPL(reeve_tracking_enable);

struct reeve_hierarchy *
reeve_hierarchy_register(const char *name, const char *const *order_names,
			 unsigned int count)
{
	return reeve_rs_hierarchy_register(name, order_names, count);
}
EXPORT_SYMBOL_GPL(reeve_hierarchy_register);

int reeve_hierarchy_unregister(struct reeve_hierarchy *h)
{
	return reeve_rs_hierarchy_unregister(h);
}
EXPORT_SYMBOL_GPL(reeve_hierarchy_unregister);

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
