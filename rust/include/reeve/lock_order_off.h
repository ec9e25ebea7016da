/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Lock-order tracking that is compiled out: what reeve/lock_order.h declares,
 * when REEVE_OFF is defined. Each returns what it does if all is correct.
 */
#ifndef _REEVE_LOCK_ORDER_OFF_H
#define _REEVE_LOCK_ORDER_OFF_H

static __always_inline struct reeve_hierarchy *
reeve_hierarchy_register(const char *name, const char *const *order_names,
			 unsigned int count)
{
	return NULL;
}

static __always_inline struct reeve_hierarchy *
reeve_hierarchy_register_flags(const char *name, const char *const *order_names,
			       unsigned int count, unsigned int flags)
{
	return NULL;
}

static __always_inline int reeve_hierarchy_unregister(struct reeve_hierarchy *h)
{
	return 0;
}

static __always_inline int reeve_hierarchy_forget(struct reeve_hierarchy *h)
{
	return 0;
}

static __always_inline int
reeve_hierarchy_add_rule(struct reeve_hierarchy *h, unsigned int order,
			 unsigned int while_held, unsigned int mode_flags,
			 unsigned int unless_held)
{
	return 0;
}

static __always_inline int
reeve_hierarchy_set_nestable(struct reeve_hierarchy *h, unsigned int order)
{
	return 0;
}

static __always_inline int
reeve_hierarchy_set_attributes(struct reeve_hierarchy *h, unsigned int order,
			       unsigned int flags)
{
	return 0;
}

static __always_inline int
reeve_hierarchy_set_any_order(struct reeve_hierarchy *h, unsigned int order,
			      unsigned int while_held)
{
	return 0;
}

static __always_inline int
reeve_hierarchy_set_before(struct reeve_hierarchy *h, const char *other,
			   unsigned int order)
{
	return 0;
}

static __always_inline int
reeve_hierarchy_set_after(struct reeve_hierarchy *h, unsigned int order,
			  const char *other)
{
	return 0;
}

static __always_inline bool reeve_record_wait(struct reeve_hierarchy *h,
					      const void *what,
					      unsigned int order)
{
	return true;
}

static __always_inline bool reeve_record_handover(struct reeve_hierarchy *h,
						  const void *lock,
						  unsigned int order)
{
	return true;
}

static __always_inline bool reeve_record_adopt(struct reeve_hierarchy *h,
					       const void *lock,
					       unsigned int order)
{
	return true;
}

static __always_inline bool reeve_check_no_locks_freed(const void *start,
						       size_t len)
{
	return true;
}

static __always_inline bool
reeve_record_lock(struct reeve_hierarchy *h, const void *lock,
		  unsigned int order, unsigned int flags)
{
	return true;
}

static __always_inline bool
reeve_record_lock_keyed(struct reeve_hierarchy *h, const void *lock,
			unsigned int order, unsigned int flags, u64 key)
{
	return true;
}

static __always_inline bool
reeve_record_unlock(struct reeve_hierarchy *h, const void *lock,
		    unsigned int order, unsigned int flags)
{
	return true;
}

static __always_inline bool
reeve_record_downgrade(struct reeve_hierarchy *h, const void *lock,
		       unsigned int order)
{
	return true;
}

static __always_inline bool
reeve_check_locked(struct reeve_hierarchy *h, const void *lock,
		   unsigned int order, unsigned int flags)
{
	return true;
}

static __always_inline bool
reeve_check_lockable_order(struct reeve_hierarchy *h, unsigned int order,
			   unsigned int flags)
{
	return true;
}

static __always_inline bool
reeve_check_unlocked_order(struct reeve_hierarchy *h, unsigned int order)
{
	return true;
}

static __always_inline bool reeve_check_all_unlocked(struct reeve_hierarchy *h)
{
	return true;
}

static __always_inline bool
reeve_thread_context_enter(struct reeve_thread_context *ctx)
{
	return true;
}

static __always_inline bool
reeve_thread_context_enter_deep(struct reeve_thread_context *ctx)
{
	return true;
}

static __always_inline bool
reeve_thread_context_leave(struct reeve_thread_context *ctx)
{
	return true;
}

static __always_inline bool
reeve_thread_context_save(struct reeve_thread_context *ctx)
{
	return true;
}

static __always_inline bool
reeve_thread_context_restore(struct reeve_thread_context *ctx)
{
	return true;
}

static __always_inline bool reeve_tracking_disable(void)
{
	return true;
}

static __always_inline bool reeve_tracking_enable(void)
{
	return true;
}

static __always_inline bool
reeve_record_acquired(struct reeve_hierarchy *h, const void *lock,
		      unsigned int order)
{
	return true;
}

static __always_inline bool
reeve_record_lock_ip(struct reeve_hierarchy *h, const void *lock,
		     unsigned int order, unsigned int flags, unsigned long ip)
{
	return true;
}

static __always_inline bool
reeve_record_lock_keyed_ip(struct reeve_hierarchy *h, const void *lock,
			   unsigned int order, unsigned int flags, u64 key,
			   unsigned long ip)
{
	return true;
}

static __always_inline bool
reeve_record_unlock_ip(struct reeve_hierarchy *h, const void *lock,
		       unsigned int order, unsigned int flags, unsigned long ip)
{
	return true;
}

static __always_inline bool
reeve_record_downgrade_ip(struct reeve_hierarchy *h, const void *lock,
			  unsigned int order, unsigned long ip)
{
	return true;
}

static __always_inline bool
reeve_check_locked_ip(struct reeve_hierarchy *h, const void *lock,
		      unsigned int order, unsigned int flags, unsigned long ip)
{
	return true;
}

static __always_inline bool reeve_thread_has_context(void)
{
	return false;
}

/* Stands where a driver that binds at run time defines its binding. */
#define REEVE_DEFINE_BINDING() struct reeve_hierarchy

#endif /* _REEVE_LOCK_ORDER_OFF_H */
