/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Lock-order tracking that a driver binds to at run time: what
 * reeve/lock_order.h declares, when REEVE_BIND is defined. The driver loads
 * without Reeve. While Reeve is loaded, before the driver, after it or again,
 * its locks are recorded; otherwise each function says that all is correct.
 *
 * One file of the driver says REEVE_DEFINE_BINDING(); after its includes.
 *
 * - A hierarchy is known here, and registered whenever Reeve comes. Rules and
 *   nestable orders that Reeve should know come with it.
 * - A thread is recorded from its next enter on, so what it holds when Reeve
 *   comes raises no report. A thread that never enters is not recorded, although
 *   a lock of another driver may have given it a context.
 * - An interrupt handler that runs when Reeve comes is not recorded.
 * - What is said of another hierarchy while Reeve is not there is told to Reeve
 *   when it comes, and, until there is that hierarchy, whenever a module comes.
 * - Reeve is referenced during each call only: rmmod says that it is in use if
 *   a call is just running.
 */
#ifndef _REEVE_LOCK_ORDER_BIND_H
#define _REEVE_LOCK_ORDER_BIND_H

#include <linux/bits.h>
#include <linux/cpu.h>
#include <linux/err.h>
#include <linux/instruction_pointer.h>
#include <linux/irqflags.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/printk.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/string.h>

#include <reeve/lock_order_ops.h>

/* What was said of a hierarchy and another one, which is named. */
struct __reeve_across {
	struct list_head list;
	unsigned int order;
	bool is_after;
	bool is_told;
	char other[];
};

/* A hierarchy as the driver knows it: what it takes to register it again. */
struct reeve_hierarchy {
	struct list_head list;
	/* Reeve's handle; null while it is not registered there. */
	struct reeve_hierarchy *real;
	u64 nestable;
	unsigned int count;
	unsigned int flags;
	unsigned int rules;
	struct {
		u8 order, while_held, mode, unless_held;
	} rule[REEVE_MAX_RULES];
	u8 attributes[REEVE_MAX_ORDERS];
	unsigned int groups;
	struct {
		u64 orders;
		u8 while_held;
	} group[REEVE_MAX_GROUPS];
	struct list_head across;
	char *name;
	char *orders[];
};

/**
 * struct reeve_binding - how a driver finds Reeve
 * @setup: serializes registering and unregistering
 * @lock: serializes binding, inside of @setup, and protects the hierarchies
 * @hierarchies: of this driver
 * @notifier: of modules that come and go, as long as there are hierarchies
 * @ops: Reeve's functions; null while it is not there
 * @generation: which Reeve that is, counted from 1
 * @seen: per CPU, the generation that its interrupt handlers may use
 */
struct reeve_binding {
	struct mutex setup; /* register and unregister, one at a time */
	struct mutex lock; /* what is bound, and to what */
	struct list_head hierarchies;
	struct notifier_block notifier;
	const struct reeve_lock_order_ops *ops;
	u64 generation;
	u64 __percpu *seen;
};

extern struct reeve_binding reeve_binding;

/*
 * Reeve's functions, with a reference to it; null while it is not there. Going
 * away takes the pointer back and waits for RCU before its memory is freed.
 */
static __always_inline const struct reeve_lock_order_ops *__reeve_get(void)
{
	const struct reeve_lock_order_ops *ops;

	if (!READ_ONCE(reeve_binding.ops))
		return NULL;
	preempt_disable();
	ops = READ_ONCE(reeve_binding.ops);
	if (ops && !try_module_get(ops->owner))
		ops = NULL;
	preempt_enable();
	return ops;
}

static __always_inline void
__reeve_put(const struct reeve_lock_order_ops *ops)
{
	module_put(ops->owner);
}

/* Whether Reeve saw everything that the caller did since it holds nothing. */
static __always_inline bool
__reeve_knows_caller(const struct reeve_lock_order_ops *ops)
{
	if (in_task())
		return ops->thread_has_entered();
	/* PREEMPT_RT's soft irqs are preempted: one may be halfway. */
	if (IS_ENABLED(CONFIG_PREEMPT_RT) && !in_hardirq() && !in_nmi())
		return false;
	return raw_cpu_read(*reeve_binding.seen) ==
	       READ_ONCE(reeve_binding.generation);
}

/* Runs @call with @ops and @real, if there is a Reeve that knows the caller. */
#define __REEVE_BOUND(h, call)                                               \
	({                                                                   \
		const struct reeve_lock_order_ops *ops = __reeve_get();      \
		bool __correct = true;                                       \
									     \
		if (ops) {                                                   \
			struct reeve_hierarchy *real = __reeve_real(h);      \
									     \
			if (real && __reeve_knows_caller(ops))               \
				__correct = (call);                       \
			__reeve_put(ops);                                    \
		}                                                            \
		__correct;                                                   \
	})

/* A pointer that is no hierarchy is Reeve's to report. */
static __always_inline struct reeve_hierarchy *
__reeve_real(struct reeve_hierarchy *h)
{
	return IS_ERR_OR_NULL(h) ? NULL : READ_ONCE(h->real);
}

static __always_inline bool
reeve_record_lock_ip(struct reeve_hierarchy *h, const void *lock,
		     unsigned int order, unsigned int flags, unsigned long ip)
{
	return __REEVE_BOUND(h, ops->record_lock_ip(real, lock, order, flags, ip));
}

static __always_inline bool
reeve_record_lock(struct reeve_hierarchy *h, const void *lock,
		  unsigned int order, unsigned int flags)
{
	return reeve_record_lock_ip(h, lock, order, flags, _THIS_IP_);
}

static __always_inline bool
reeve_record_lock_keyed_ip(struct reeve_hierarchy *h, const void *lock,
			   unsigned int order, unsigned int flags, u64 key,
			   unsigned long ip)
{
	return __REEVE_BOUND(h, ops->record_lock_keyed_ip(real, lock, order, flags,
						     key, ip));
}

static __always_inline bool
reeve_record_lock_keyed(struct reeve_hierarchy *h, const void *lock,
			unsigned int order, unsigned int flags, u64 key)
{
	return reeve_record_lock_keyed_ip(h, lock, order, flags, key,
					  _THIS_IP_);
}

static __always_inline bool
reeve_record_unlock_ip(struct reeve_hierarchy *h, const void *lock,
		       unsigned int order, unsigned int flags, unsigned long ip)
{
	return __REEVE_BOUND(h, ops->record_unlock_ip(real, lock, order, flags, ip));
}

static __always_inline bool
reeve_record_unlock(struct reeve_hierarchy *h, const void *lock,
		    unsigned int order, unsigned int flags)
{
	return reeve_record_unlock_ip(h, lock, order, flags, _THIS_IP_);
}

static __always_inline bool
reeve_record_downgrade_ip(struct reeve_hierarchy *h, const void *lock,
			  unsigned int order, unsigned long ip)
{
	return __REEVE_BOUND(h, ops->record_downgrade_ip(real, lock, order, ip));
}

static __always_inline bool
reeve_record_downgrade(struct reeve_hierarchy *h, const void *lock,
		       unsigned int order)
{
	return reeve_record_downgrade_ip(h, lock, order, _THIS_IP_);
}

static __always_inline bool
reeve_record_acquired(struct reeve_hierarchy *h, const void *lock,
		      unsigned int order)
{
	return __REEVE_BOUND(h, ops->record_acquired(real, lock, order));
}

static __always_inline bool
reeve_check_locked_ip(struct reeve_hierarchy *h, const void *lock,
		      unsigned int order, unsigned int flags, unsigned long ip)
{
	return __REEVE_BOUND(h, ops->check_locked_ip(real, lock, order, flags, ip));
}

static __always_inline bool
reeve_check_locked(struct reeve_hierarchy *h, const void *lock,
		   unsigned int order, unsigned int flags)
{
	return reeve_check_locked_ip(h, lock, order, flags, _THIS_IP_);
}

static __always_inline bool reeve_record_wait(struct reeve_hierarchy *h,
					      const void *what,
					      unsigned int order)
{
	return __REEVE_BOUND(h, ops->record_wait(real, what, order));
}

static __always_inline bool reeve_record_handover(struct reeve_hierarchy *h,
						  const void *lock,
						  unsigned int order)
{
	return __REEVE_BOUND(h, ops->record_handover(real, lock, order));
}

static __always_inline bool reeve_record_adopt(struct reeve_hierarchy *h,
					       const void *lock,
					       unsigned int order)
{
	return __REEVE_BOUND(h, ops->record_adopt(real, lock, order));
}

static __always_inline bool reeve_check_no_locks_freed(const void *start,
						       size_t len)
{
	const struct reeve_lock_order_ops *ops = __reeve_get();
	bool result = true;

	if (ops) {
		result = ops->check_no_locks_freed(start, len);
		__reeve_put(ops);
	}
	return result;
}

static __always_inline bool
reeve_check_lockable_order(struct reeve_hierarchy *h, unsigned int order,
			   unsigned int flags)
{
	return __REEVE_BOUND(h, ops->check_lockable_order(real, order, flags));
}

static __always_inline bool
reeve_check_unlocked_order(struct reeve_hierarchy *h, unsigned int order)
{
	return __REEVE_BOUND(h, ops->check_unlocked_order(real, order));
}

static __always_inline bool reeve_check_all_unlocked(struct reeve_hierarchy *h)
{
	return __REEVE_BOUND(h, ops->check_all_unlocked(real));
}

/* Contexts name the Reeve that knows them; 0: none. */
#define __REEVE_CONTEXT_STARTS(call)                                        \
	({                                                                  \
		const struct reeve_lock_order_ops *ops = __reeve_get();     \
		bool __result = true;                                       \
									    \
		if (ctx)                                                    \
			ctx->generation = 0;                                \
		if (ops) {                                                  \
			if (ctx)                                            \
				ctx->generation =                           \
					READ_ONCE(reeve_binding.generation); \
			__result = (call);                          \
			__reeve_put(ops);                                   \
		}                                                           \
		__result;                                                   \
	})

#define __REEVE_CONTEXT_ENDS(call)                                          \
	({                                                                  \
		const struct reeve_lock_order_ops *ops = __reeve_get();     \
		bool __result = true;                                       \
									    \
		if (ops) {                                                  \
			if (!ctx ||                                         \
			    ctx->generation ==                              \
				    READ_ONCE(reeve_binding.generation))    \
				__result = (call);                  \
			__reeve_put(ops);                                   \
		}                                                           \
		__result;                                                   \
	})

static __always_inline bool
reeve_thread_context_enter(struct reeve_thread_context *ctx)
{
	return __REEVE_CONTEXT_STARTS(ops->thread_context_enter(ctx));
}

static __always_inline bool
reeve_thread_context_enter_deep(struct reeve_thread_context *ctx)
{
	return __REEVE_CONTEXT_STARTS(ops->thread_context_enter_deep(ctx));
}

static __always_inline bool
reeve_thread_context_leave(struct reeve_thread_context *ctx)
{
	return __REEVE_CONTEXT_ENDS(ops->thread_context_leave(ctx));
}

static __always_inline bool
reeve_thread_context_save(struct reeve_thread_context *ctx)
{
	return __REEVE_CONTEXT_STARTS(ops->thread_context_save(ctx));
}

static __always_inline bool
reeve_thread_context_restore(struct reeve_thread_context *ctx)
{
	return __REEVE_CONTEXT_ENDS(ops->thread_context_restore(ctx));
}

#define __REEVE_OF_THREAD(call)                                             \
	({                                                                  \
		const struct reeve_lock_order_ops *ops = __reeve_get();     \
		bool __result = true;                                       \
									    \
		if (ops) {                                                  \
			if (__reeve_knows_caller(ops))                      \
				__result = (call);                     \
			__reeve_put(ops);                                   \
		}                                                           \
		__result;                                                   \
	})

static __always_inline bool reeve_tracking_disable(void)
{
	return __REEVE_OF_THREAD(ops->tracking_disable());
}

static __always_inline bool reeve_tracking_enable(void)
{
	return __REEVE_OF_THREAD(ops->tracking_enable());
}

static __always_inline bool reeve_thread_has_context(void)
{
	const struct reeve_lock_order_ops *ops = __reeve_get();
	bool has = false;

	if (ops) {
		has = __reeve_knows_caller(ops);
		__reeve_put(ops);
	}
	return has;
}

static inline void __reeve_free(struct reeve_hierarchy *h)
{
	struct __reeve_across *across, *next;
	unsigned int i;

	list_for_each_entry_safe(across, next, &h->across, list)
		kfree(across);
	for (i = 0; i < h->count; i++)
		kfree(h->orders[i]);
	kfree(h->name);
	kfree(h);
}

/* Makes @h known to Reeve, which is referenced. Under the binding's lock. */
static inline void __reeve_announce(struct reeve_hierarchy *h,
				    const struct reeve_lock_order_ops *ops)
{
	struct __reeve_across *across;
	struct reeve_hierarchy *real;
	unsigned int i, j;

	list_for_each_entry(across, &h->across, list)
		across->is_told = false;
	real = ops->hierarchy_register_flags(h->name,
					     (const char *const *)h->orders,
					     h->count, h->flags);
	if (IS_ERR(real)) {
		pr_warn("lock order of %s is not tracked: error %ld\n", h->name,
			PTR_ERR(real));
		return;
	}
	for (i = 0; i < h->count; i++)
		if (h->nestable & BIT_ULL(i))
			ops->hierarchy_set_nestable(real, i + 1);
	for (i = 0; i < h->count; i++)
		if (h->attributes[i])
			ops->hierarchy_set_attributes(real, i + 1,
						      h->attributes[i]);
	for (i = 0; i < h->groups; i++)
		for (j = 0; j < h->count; j++)
			if (h->group[i].orders & BIT_ULL(j))
				ops->hierarchy_set_any_order(real, j + 1,
							     h->group[i].while_held);
	for (i = 0; i < h->rules; i++)
		ops->hierarchy_add_rule(real, h->rule[i].order,
					h->rule[i].while_held, h->rule[i].mode,
					h->rule[i].unless_held);
	WRITE_ONCE(h->real, real);
}

/* Tells Reeve, which is referenced, of other hierarchies, as far as they are there. */
static inline void __reeve_tell_across(const struct reeve_lock_order_ops *ops)
{
	struct __reeve_across *across;
	struct reeve_hierarchy *h;
	int ret;

	list_for_each_entry(h, &reeve_binding.hierarchies, list)
		list_for_each_entry(across, &h->across, list) {
			if (!h->real || across->is_told)
				continue;
			if (across->is_after)
				ret = ops->hierarchy_set_after(h->real,
							       across->order,
							       across->other);
			else
				ret = ops->hierarchy_set_before(h->real,
								across->other,
								across->order);
			across->is_told = ret != -ENOENT;
			if (ret && across->is_told)
				pr_warn("lock order of %s and %s is not tracked: error %d\n",
					h->name, across->other, ret);
		}
}

/* As a task, with interrupts off: none of the CPU's handlers is running. */
static inline int reeve_binding_see(void *generation)
{
	unsigned long flags;

	local_irq_save(flags);
	raw_cpu_write(*reeve_binding.seen, *(u64 *)generation);
	local_irq_restore(flags);
	return 0;
}

/* Looks for Reeve, and binds to it. Under the binding's lock; may sleep. */
static inline void __reeve_bind(void)
{
	const struct reeve_lock_order_ops *ops;
	struct reeve_hierarchy *h;
	u64 generation;
	unsigned int cpu;

	if (reeve_binding.ops)
		return;
	ops = symbol_get(reeve_lock_order_ops);
	if (!ops)
		return;
	if (ops->size != sizeof(*ops)) {
		pr_warn("lock order is not tracked: another version of Reeve\n");
		goto put;
	}
	list_for_each_entry(h, &reeve_binding.hierarchies, list)
		__reeve_announce(h, ops);
	__reeve_tell_across(ops);
	generation = reeve_binding.generation + 1;
	WRITE_ONCE(reeve_binding.generation, generation);
	WRITE_ONCE(reeve_binding.ops, ops);
	/*
	 * A handler that runs now took locks that were not recorded. Where this
	 * runs as a task, none does; nor on a CPU that is offline.
	 */
	cpus_read_lock();
	for_each_possible_cpu(cpu) {
		if (cpu_online(cpu))
			smp_call_on_cpu(cpu, reeve_binding_see, &generation,
					false);
		else
			*per_cpu_ptr(reeve_binding.seen, cpu) = generation;
	}
	cpus_read_unlock();
put:
	symbol_put(reeve_lock_order_ops);
}

/* Reeve goes, and took what it knew along. Under the binding's lock. */
static inline void __reeve_unbind(void)
{
	struct reeve_hierarchy *h;

	WRITE_ONCE(reeve_binding.ops, NULL);
	list_for_each_entry(h, &reeve_binding.hierarchies, list)
		WRITE_ONCE(h->real, NULL);
	/* Until all have seen that. */
	synchronize_rcu();
}

static __always_inline struct reeve_hierarchy *
reeve_hierarchy_register_flags(const char *name, const char *const *order_names,
			       unsigned int count, unsigned int flags)
{
	const struct reeve_lock_order_ops *ops;
	struct reeve_hierarchy *h;
	unsigned int i;
	bool first;

	if (!name || !order_names || !count || count > REEVE_MAX_ORDERS)
		return ERR_PTR(-EINVAL);
	if (flags && flags != REEVE_HIERARCHY_AUTOMATIC &&
	    flags != REEVE_HIERARCHY_STRICT)
		return ERR_PTR(-EINVAL);
	for (i = 0; i < count; i++)
		if (!order_names[i])
			return ERR_PTR(-EINVAL);
	h = kzalloc(struct_size(h, orders, count), GFP_KERNEL);
	if (!h)
		return ERR_PTR(-ENOMEM);
	INIT_LIST_HEAD(&h->across);
	h->count = count;
	h->flags = flags;
	h->name = kstrdup(name, GFP_KERNEL);
	if (!h->name)
		goto no_memory;
	for (i = 0; i < count; i++) {
		h->orders[i] = kstrdup(order_names[i], GFP_KERNEL);
		if (!h->orders[i])
			goto no_memory;
	}
	mutex_lock(&reeve_binding.setup);
	first = list_empty(&reeve_binding.hierarchies);
	if (first) {
		reeve_binding.seen = alloc_percpu(u64);
		if (!reeve_binding.seen) {
			mutex_unlock(&reeve_binding.setup);
			goto no_memory;
		}
	}
	mutex_lock(&reeve_binding.lock);
	list_add(&h->list, &reeve_binding.hierarchies);
	ops = __reeve_get();
	if (ops) {
		__reeve_announce(h, ops);
		__reeve_put(ops);
	}
	mutex_unlock(&reeve_binding.lock);
	if (first) {
		/* Not under the lock, which the notifier takes. */
		register_module_notifier(&reeve_binding.notifier);
		mutex_lock(&reeve_binding.lock);
		__reeve_bind();
		mutex_unlock(&reeve_binding.lock);
	}
	mutex_unlock(&reeve_binding.setup);
	return h;

no_memory:
	__reeve_free(h);
	return ERR_PTR(-ENOMEM);
}

static __always_inline struct reeve_hierarchy *
reeve_hierarchy_register(const char *name, const char *const *order_names,
			 unsigned int count)
{
	return reeve_hierarchy_register_flags(name, order_names, count, 0);
}

static inline int __reeve_end(struct reeve_hierarchy *h, bool forget)
{
	const struct reeve_lock_order_ops *ops;
	int ret = 0;
	bool last;

	if (!h)
		return 0;
	if (IS_ERR(h))
		return -EINVAL;
	mutex_lock(&reeve_binding.setup);
	mutex_lock(&reeve_binding.lock);
	ops = __reeve_get();
	if (ops) {
		if (h->real && forget)
			ops->hierarchy_forget(h->real);
		else if (h->real)
			ret = ops->hierarchy_unregister(h->real);
		__reeve_put(ops);
	}
	if (ret) {
		mutex_unlock(&reeve_binding.lock);
		mutex_unlock(&reeve_binding.setup);
		return ret;
	}
	list_del(&h->list);
	last = list_empty(&reeve_binding.hierarchies);
	if (last)
		__reeve_unbind();
	mutex_unlock(&reeve_binding.lock);
	if (last) {
		unregister_module_notifier(&reeve_binding.notifier);
		/* Reeve may have come once more. */
		mutex_lock(&reeve_binding.lock);
		if (reeve_binding.ops)
			__reeve_unbind();
		mutex_unlock(&reeve_binding.lock);
		free_percpu(reeve_binding.seen);
	}
	mutex_unlock(&reeve_binding.setup);
	__reeve_free(h);
	return 0;
}

static __always_inline int reeve_hierarchy_unregister(struct reeve_hierarchy *h)
{
	return __reeve_end(h, false);
}

static __always_inline int reeve_hierarchy_forget(struct reeve_hierarchy *h)
{
	return __reeve_end(h, true);
}

/* Runs @call with @ops and @real, if @h is registered with a Reeve. */
#define __REEVE_TELL(h, call)                                               \
	do {                                                                \
		const struct reeve_lock_order_ops *ops = __reeve_get();     \
									    \
		if (ops) {                                                  \
			struct reeve_hierarchy *real = (h)->real;           \
									    \
			if (real)                                           \
				(call);                                     \
			__reeve_put(ops);                                   \
		}                                                           \
	} while (0)

static __always_inline int
reeve_hierarchy_add_rule(struct reeve_hierarchy *h, unsigned int order,
			 unsigned int while_held, unsigned int mode_flags,
			 unsigned int unless_held)
{
	int ret = 0;

	if (IS_ERR_OR_NULL(h) || !order || order > h->count || !while_held ||
	    while_held > h->count || unless_held > h->count ||
	    order == while_held || !mode_flags || mode_flags & ~REEVE_LOCK_ANY)
		return -EINVAL;
	mutex_lock(&reeve_binding.lock);
	if (h->rules == REEVE_MAX_RULES) {
		ret = -ENOSPC;
	} else {
		h->rule[h->rules].order = order;
		h->rule[h->rules].while_held = while_held;
		h->rule[h->rules].mode = mode_flags;
		h->rule[h->rules++].unless_held = unless_held;
		__REEVE_TELL(h, ops->hierarchy_add_rule(real, order, while_held,
							mode_flags,
							unless_held));
	}
	mutex_unlock(&reeve_binding.lock);
	return ret;
}

static __always_inline int
reeve_hierarchy_set_nestable(struct reeve_hierarchy *h, unsigned int order)
{
	if (IS_ERR_OR_NULL(h) || !order || order > h->count)
		return -EINVAL;
	mutex_lock(&reeve_binding.lock);
	h->nestable |= BIT_ULL(order - 1);
	__REEVE_TELL(h, ops->hierarchy_set_nestable(real, order));
	mutex_unlock(&reeve_binding.lock);
	return 0;
}

static __always_inline int
reeve_hierarchy_set_attributes(struct reeve_hierarchy *h, unsigned int order,
			       unsigned int flags)
{
	const unsigned int spins = REEVE_ORDER_SPINS | REEVE_ORDER_IRQ_SAFE;
	int ret = 0;

	if (IS_ERR_OR_NULL(h) || !order || order > h->count || !flags ||
	    flags & ~(spins | REEVE_ORDER_SLEEPS | REEVE_ORDER_RECURSIVE))
		return -EINVAL;
	mutex_lock(&reeve_binding.lock);
	flags |= h->attributes[order - 1];
	if (flags & REEVE_ORDER_SLEEPS && flags & spins) {
		ret = -EINVAL;
	} else {
		h->attributes[order - 1] = flags;
		__REEVE_TELL(h, ops->hierarchy_set_attributes(real, order,
							      flags));
	}
	mutex_unlock(&reeve_binding.lock);
	return ret;
}

static __always_inline int
reeve_hierarchy_set_any_order(struct reeve_hierarchy *h, unsigned int order,
			      unsigned int while_held)
{
	unsigned int i;
	int ret = 0;

	if (IS_ERR_OR_NULL(h) || !while_held || while_held >= order ||
	    order > h->count)
		return -EINVAL;
	mutex_lock(&reeve_binding.lock);
	for (i = 0; i < h->groups; i++)
		if (h->group[i].while_held == while_held)
			break;
	if (i == REEVE_MAX_GROUPS) {
		ret = -ENOSPC;
	} else {
		h->group[i].while_held = while_held;
		h->group[i].orders |= BIT_ULL(order - 1);
		h->groups = max(h->groups, i + 1);
		__REEVE_TELL(h, ops->hierarchy_set_any_order(real, order,
							     while_held));
	}
	mutex_unlock(&reeve_binding.lock);
	return ret;
}

static inline int __reeve_set_across(struct reeve_hierarchy *h,
				     const char *other, unsigned int order,
				     bool is_after)
{
	const struct reeve_lock_order_ops *ops;
	struct __reeve_across *across;
	size_t size;
	int ret = 0;

	if (IS_ERR_OR_NULL(h) || !other || !order || order > REEVE_MAX_ORDERS ||
	    (is_after && order > h->count))
		return -EINVAL;
	size = strlen(other) + 1;
	across = kzalloc(struct_size(across, other, size), GFP_KERNEL);
	if (!across)
		return -ENOMEM;
	memcpy(across->other, other, size);
	across->order = order;
	across->is_after = is_after;
	mutex_lock(&reeve_binding.lock);
	ops = __reeve_get();
	if (ops) {
		if (h->real && is_after)
			ret = ops->hierarchy_set_after(h->real, order, other);
		else if (h->real)
			ret = ops->hierarchy_set_before(h->real, other, order);
		across->is_told = h->real;
		__reeve_put(ops);
	}
	if (!ret)
		list_add_tail(&across->list, &h->across);
	mutex_unlock(&reeve_binding.lock);
	if (ret)
		kfree(across);
	return ret;
}

static __always_inline int
reeve_hierarchy_set_before(struct reeve_hierarchy *h, const char *other,
			   unsigned int order)
{
	return __reeve_set_across(h, other, order, false);
}

static __always_inline int
reeve_hierarchy_set_after(struct reeve_hierarchy *h, unsigned int order,
			  const char *other)
{
	return __reeve_set_across(h, other, order, true);
}

/* A module came: perhaps one whose hierarchy was named. Under the binding's lock. */
static inline void __reeve_look_again(void)
{
	const struct reeve_lock_order_ops *ops = __reeve_get();

	if (ops) {
		__reeve_tell_across(ops);
		__reeve_put(ops);
	}
}

static inline int reeve_binding_notify(struct notifier_block *notifier,
				       unsigned long state, void *data)
{
	struct module *module = data;

	if (state != MODULE_STATE_LIVE && strcmp(module->name, "reeve"))
		return NOTIFY_DONE;
	mutex_lock(&reeve_binding.lock);
	if (strcmp(module->name, "reeve"))
		__reeve_look_again();
	else if (state == MODULE_STATE_LIVE)
		__reeve_bind();
	else if (state == MODULE_STATE_GOING && reeve_binding.ops)
		__reeve_unbind();
	mutex_unlock(&reeve_binding.lock);
	return NOTIFY_OK;
}

#define REEVE_DEFINE_BINDING()                                              \
	struct reeve_binding reeve_binding = {                              \
		.setup = __MUTEX_INITIALIZER(reeve_binding.setup),          \
		.lock = __MUTEX_INITIALIZER(reeve_binding.lock),            \
		.hierarchies = LIST_HEAD_INIT(reeve_binding.hierarchies),   \
		.notifier = { .notifier_call = reeve_binding_notify },      \
	}

#endif /* _REEVE_LOCK_ORDER_BIND_H */
