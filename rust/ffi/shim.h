/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What Rust and C call of each other inside the module.
 *
 * reeve_shim_*: C for Rust, each one a macro or an inline that Rust can't call.
 * reeve_rs_*: Rust for C; rust/ffi/lock_order.rs checks that the types agree.
 */
#ifndef _REEVE_SHIM_H
#define _REEVE_SHIM_H

#include <linux/jump_label.h>
#include <linux/types.h>
#include <reeve/lock_order.h>

/*
 * Where a task's context is found. Only the task that claimed a slot writes it,
 * except for @displaced.
 */
struct reeve_slot {
	unsigned long task; /* 0: free */
	struct reeve_thread_context *ctx;
	/* tasks that hash here and had to claim another slot */
	u32 displaced;
	u32 pad;
};

/* The slot of @task, or one that leads to an absent context. */
struct reeve_slot *reeve_rs_find_slot(unsigned long task);

bool reeve_rs_record_lock(struct reeve_hierarchy *h, const void *lock,
			  unsigned int order, unsigned int flags,
			  struct reeve_thread_context *ctx, u32 site);
bool reeve_rs_record_unlock(struct reeve_hierarchy *h, const void *lock,
			    unsigned int order, unsigned int flags,
			    struct reeve_thread_context *ctx, u32 site);
bool reeve_rs_record_downgrade(struct reeve_hierarchy *h, const void *lock,
			       unsigned int order,
			       struct reeve_thread_context *ctx, u32 site);
bool reeve_rs_check_locked(struct reeve_hierarchy *h, const void *lock,
			   unsigned int order, unsigned int flags,
			   struct reeve_thread_context *ctx, u32 site);
bool reeve_rs_check_lockable_order(struct reeve_hierarchy *h,
				   unsigned int order, unsigned int flags,
				   struct reeve_thread_context *ctx, u32 site);
bool reeve_rs_check_unlocked_order(struct reeve_hierarchy *h,
				   unsigned int order,
				   struct reeve_thread_context *ctx, u32 site);
bool reeve_rs_check_all_unlocked(struct reeve_hierarchy *h,
				 struct reeve_thread_context *ctx, u32 site);
/* @task: the current one, or 0 in an interrupt. */
bool reeve_rs_thread_context_enter(struct reeve_thread_context *memory,
				   unsigned long task, u32 site);
bool reeve_rs_thread_context_leave(struct reeve_thread_context *memory,
				   unsigned long task, u32 site);
bool reeve_rs_thread_context_save(struct reeve_thread_context *memory,
				  struct reeve_thread_context *ctx, u32 site);
bool reeve_rs_thread_context_restore(struct reeve_thread_context *memory,
				     struct reeve_thread_context *ctx, u32 site);
bool reeve_rs_tracking_disable(struct reeve_thread_context *ctx, u32 site);
bool reeve_rs_tracking_enable(struct reeve_thread_context *ctx, u32 site);
void reeve_rs_tracking_switched(void);
struct reeve_hierarchy *
reeve_rs_hierarchy_register(const char *name, const char *const *order_names,
			    unsigned int count);
int reeve_rs_hierarchy_unregister(struct reeve_hierarchy *h, u32 site);
int reeve_rs_hierarchy_add_rule(struct reeve_hierarchy *h, unsigned int order,
				unsigned int while_held, unsigned int mode_flags,
				unsigned int unless_held);
int reeve_rs_hierarchy_set_nestable(struct reeve_hierarchy *h,
				    unsigned int order);

/* lock_order_shim.c */
struct reeve_thread_context *reeve_shim_irq_context(unsigned int cpu,
						    unsigned int level);
#define REEVE_IRQ_LEVELS 3
unsigned int reeve_shim_nr_cpu_ids(void);
void reeve_shim_set_hint(struct reeve_slot *slot);

/* Whether tracking is switched off, as code that is patched. */
struct reeve_switch {
	struct static_key_false off;
};

extern struct reeve_switch reeve_switch;

/* report_shim.c */
bool reeve_shim_report_allowed(void);
void reeve_shim_report_head(const u8 *hierarchy, size_t hierarchy_len,
			    const u8 *doing, size_t doing_len,
			    const u8 *order_name, size_t order_name_len,
			    unsigned int order, unsigned long lock,
			    const u8 *fault, size_t fault_len, u32 site);
void reeve_shim_report_plain(const u8 *hierarchy, size_t hierarchy_len,
			     const u8 *doing, size_t doing_len, const u8 *fault,
			     size_t fault_len, u32 site);
void reeve_shim_report_held(const u8 *order_name, size_t order_name_len,
			    unsigned int order, unsigned long lock,
			    bool exclusive, bool conflicts, u32 site);

#endif /* _REEVE_SHIM_H */
