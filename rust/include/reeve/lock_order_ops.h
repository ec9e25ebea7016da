/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The exported functions of lock-order tracking as a table, for drivers that
 * bind at run time.
 */
#ifndef _REEVE_LOCK_ORDER_OPS_H
#define _REEVE_LOCK_ORDER_OPS_H

#include <linux/types.h>

struct module;
struct reeve_hierarchy;
struct reeve_thread_context;

/**
 * struct reeve_lock_order_ops - the functions of reeve/lock_order.h
 * @size: of the table: a driver that was built for another one does not bind
 * @owner: whose reference the caller must hold during a call
 */
struct reeve_lock_order_ops {
	size_t size;
	struct module *owner;
	struct reeve_hierarchy *(*hierarchy_register_flags)(const char *name,
							    const char *const *orders,
							    unsigned int count,
							    unsigned int flags);
	int (*hierarchy_unregister)(struct reeve_hierarchy *h);
	int (*hierarchy_forget)(struct reeve_hierarchy *h);
	int (*hierarchy_add_rule)(struct reeve_hierarchy *h, unsigned int order,
				  unsigned int while_held,
				  unsigned int mode_flags,
				  unsigned int unless_held);
	int (*hierarchy_set_nestable)(struct reeve_hierarchy *h,
				      unsigned int order);
	int (*hierarchy_set_attributes)(struct reeve_hierarchy *h,
					unsigned int order, unsigned int flags);
	int (*hierarchy_set_any_order)(struct reeve_hierarchy *h,
				       unsigned int order,
				       unsigned int while_held);
	int (*hierarchy_set_before)(struct reeve_hierarchy *h,
				    const char *other, unsigned int order);
	int (*hierarchy_set_after)(struct reeve_hierarchy *h,
				   unsigned int order, const char *other);
	bool (*record_lock_ip)(struct reeve_hierarchy *h, const void *lock,
			       unsigned int order, unsigned int flags,
			       unsigned long ip);
	bool (*record_lock_keyed_ip)(struct reeve_hierarchy *h,
				     const void *lock, unsigned int order,
				     unsigned int flags, u64 key,
				     unsigned long ip);
	bool (*record_unlock_ip)(struct reeve_hierarchy *h, const void *lock,
				 unsigned int order, unsigned int flags,
				 unsigned long ip);
	bool (*record_downgrade_ip)(struct reeve_hierarchy *h, const void *lock,
				    unsigned int order, unsigned long ip);
	bool (*record_acquired)(struct reeve_hierarchy *h, const void *lock,
				unsigned int order);
	bool (*record_wait)(struct reeve_hierarchy *h, const void *what,
			    unsigned int order);
	bool (*record_handover)(struct reeve_hierarchy *h, const void *lock,
				unsigned int order);
	bool (*record_adopt)(struct reeve_hierarchy *h, const void *lock,
			     unsigned int order);
	bool (*check_no_locks_freed)(const void *start, size_t len);
	bool (*check_locked_ip)(struct reeve_hierarchy *h, const void *lock,
				unsigned int order, unsigned int flags,
				unsigned long ip);
	bool (*check_lockable_order)(struct reeve_hierarchy *h,
				     unsigned int order, unsigned int flags);
	bool (*check_unlocked_order)(struct reeve_hierarchy *h,
				     unsigned int order);
	bool (*check_all_unlocked)(struct reeve_hierarchy *h);
	bool (*thread_context_enter)(struct reeve_thread_context *ctx);
	bool (*thread_context_enter_deep)(struct reeve_thread_context *ctx);
	bool (*thread_context_leave)(struct reeve_thread_context *ctx);
	bool (*thread_context_save)(struct reeve_thread_context *ctx);
	bool (*thread_context_restore)(struct reeve_thread_context *ctx);
	bool (*thread_has_entered)(void);
	bool (*tracking_disable)(void);
	bool (*tracking_enable)(void);
};

extern const struct reeve_lock_order_ops reeve_lock_order_ops;

#endif /* _REEVE_LOCK_ORDER_OPS_H */
