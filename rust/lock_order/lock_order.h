/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What Rust and C call of each other inside the module.
 *
 * reeve_helper_*: C for Rust, each one a macro or an inline that Rust can't call.
 * reeve_rs_*: Rust for C; rust/lock_order/api.rs checks that the types agree.
 */
#ifndef _REEVE_LOCK_ORDER_INTERNAL_H
#define _REEVE_LOCK_ORDER_INTERNAL_H

#include <linux/jump_label.h>
#include <linux/types.h>

/* The functions themselves, not the macros that call them for constants. */
#define REEVE_LOCK_ORDER_FUNCTIONS
#include <reeve/lock_order.h>

/* Enough for what Rust keeps in a context; it asserts so. */
#define REEVE_CONTEXT_WORDS 253

struct task_struct;

/*
 * What a task, or an interrupt level of a CPU, holds: memory of the tracker's
 * own. rust/lock_order/context/words.rs knows the rest of it.
 */
struct reeve_context {
	unsigned long owner; /* a thread; odd: put aside; 0: free */
	struct reeve_context *next; /* in its chain, or in the stock */
	u32 serial; /* how often it was claimed; which interrupt it is of */
	u64 opaque[REEVE_CONTEXT_WORDS];
} __aligned(64);

/*
 * What a context's owner is of: a task, or with this bit what its soft irqs are
 * with PREEMPT_RT. Any thread runs these there, and they are preempted by others
 * of the same CPU, so that a CPU's context would be that of several at a time.
 */
#define REEVE_OF_SOFT_IRQ 2UL

static inline struct task_struct *reeve_task_of(unsigned long thread)
{
	return (struct task_struct *)(thread & ~REEVE_OF_SOFT_IRQ);
}

/* The context of @thread, or one that stands for none. */
struct reeve_context *reeve_rs_find_context(unsigned long thread);
/* The same of a soft irq with PREEMPT_RT, which has one from now on. */
struct reeve_context *reeve_rs_soft_irq_context(void);

bool reeve_rs_record_lock(struct reeve_hierarchy *h, const void *lock,
			  unsigned int order, unsigned int flags,
			  struct reeve_context *ctx, u32 site);
bool reeve_rs_record_unlock(struct reeve_hierarchy *h, const void *lock,
			    unsigned int order, unsigned int flags,
			    struct reeve_context *ctx, u32 site);
/* @packed: order | mode << 8, known to be good. */
bool reeve_rs_record_lock_plain(struct reeve_hierarchy *h, const void *lock,
				unsigned int packed,
				struct reeve_context *ctx, u32 site);
bool reeve_rs_record_trylock_plain(struct reeve_hierarchy *h, const void *lock,
				   unsigned int packed,
				   struct reeve_context *ctx, u32 site);
bool reeve_rs_record_unlock_plain(struct reeve_hierarchy *h, const void *lock,
				  unsigned int packed,
				  struct reeve_context *ctx, u32 site);
bool reeve_rs_record_lock_keyed(struct reeve_hierarchy *h, const void *lock,
				unsigned int order, unsigned int flags, u64 key,
				struct reeve_context *ctx, u32 site);
bool reeve_rs_record_downgrade(struct reeve_hierarchy *h, const void *lock,
			       unsigned int order,
			       struct reeve_context *ctx, u32 site);
bool reeve_rs_check_locked(struct reeve_hierarchy *h, const void *lock,
			   unsigned int order, unsigned int flags,
			   struct reeve_context *ctx, u32 site);
bool reeve_rs_check_lockable_order(struct reeve_hierarchy *h,
				   unsigned int order, unsigned int flags,
				   struct reeve_context *ctx, u32 site);
bool reeve_rs_check_unlocked_order(struct reeve_hierarchy *h,
				   unsigned int order,
				   struct reeve_context *ctx, u32 site);
bool reeve_rs_check_all_unlocked(struct reeve_hierarchy *h,
				 struct reeve_context *ctx, u32 site);
/* @task: the current one, or 0 in an interrupt. */
bool reeve_rs_thread_context_enter(struct reeve_thread_context *cookie,
				   unsigned long task, u32 site);
/* Makes room for more locks in @ctx. May sleep. */
bool reeve_rs_thread_context_deepen(struct reeve_context *ctx, u32 site);
bool reeve_rs_thread_context_leave(struct reeve_thread_context *cookie,
				   unsigned long task,
				   struct reeve_context *ctx, u32 site);
bool reeve_rs_thread_context_save(struct reeve_thread_context *cookie,
				  unsigned long task,
				  struct reeve_context *ctx, u32 site);
bool reeve_rs_thread_context_restore(struct reeve_thread_context *cookie,
				     struct reeve_context *ctx, u32 site);
/* Nothing is held any more, with tracking enabled. */
void reeve_rs_forget_all(struct reeve_context *ctx);
bool reeve_rs_tracking_disable(struct reeve_context *ctx, u32 site);
bool reeve_rs_tracking_enable(struct reeve_context *ctx, u32 site);
/* Finds contexts of tasks that have ended. A task, may not be atomic. */
void reeve_rs_sweep(void);
/* The current task is about to end. */
void reeve_rs_task_ends(unsigned long task);
/* Before tracking is switched anywhere, and after it was everywhere. */
void reeve_rs_tracking_epoch(void);
/* Makes the contexts of one CPU's interrupts empty ones, of this epoch. */
void reeve_rs_reset_interrupts(struct reeve_context *contexts);
/*
 * A module goes, whose code is there: what is held that was taken there is told
 * to reeve_helper_left_behind(). May sleep.
 */
void reeve_rs_module_goes(unsigned long start, unsigned long end);
/* The level of an interrupt is entered anew. */
void reeve_rs_level_anew(struct reeve_context *ctx);
/* Traces what is about to be recorded. */
void reeve_rs_trace(struct reeve_hierarchy *h, const void *lock,
		    unsigned int order, unsigned int flags, bool unlock,
		    u32 site);
struct reeve_hierarchy *
reeve_rs_hierarchy_register(const char *name, const char *const *order_names,
			    unsigned int count, unsigned int flags);
int reeve_rs_hierarchy_unregister(struct reeve_hierarchy *h, bool forget,
				  u32 site);
int reeve_rs_hierarchy_add_rule(struct reeve_hierarchy *h, unsigned int order,
				unsigned int while_held, unsigned int mode_flags,
				unsigned int unless_held);
int reeve_rs_hierarchy_set_nestable(struct reeve_hierarchy *h,
				    unsigned int order);
int reeve_rs_hierarchy_set_attributes(struct reeve_hierarchy *h,
				      unsigned int order, unsigned int flags);
int reeve_rs_hierarchy_set_any_order(struct reeve_hierarchy *h,
				     unsigned int order,
				     unsigned int while_held);
/* Both in rust/lock_order/across.rs. */
int reeve_rs_hierarchy_set_before(struct reeve_hierarchy *h, const char *other,
				  unsigned int order);
int reeve_rs_hierarchy_set_after(struct reeve_hierarchy *h, unsigned int order,
				 const char *other);

bool reeve_rs_record_acquired(struct reeve_hierarchy *h, const void *lock,
			      unsigned int order,
			      struct reeve_context *ctx, u32 site);
bool reeve_rs_thread_has_context(struct reeve_context *ctx);
bool reeve_rs_thread_has_entered(struct reeve_context *ctx);
bool reeve_rs_record_wait(struct reeve_hierarchy *h, const void *what,
			  unsigned int order, struct reeve_context *ctx,
			  u32 site);
bool reeve_rs_record_handover(struct reeve_hierarchy *h, const void *lock,
			      unsigned int order, struct reeve_context *ctx,
			      u32 site);
bool reeve_rs_record_adopt(struct reeve_hierarchy *h, const void *lock,
			   unsigned int order, struct reeve_context *ctx,
			   u32 site);
bool reeve_rs_check_no_locks_freed(const void *start, size_t len, u32 site);

/* api.c */
struct reeve_context *reeve_helper_irq_context(unsigned int cpu,
					       unsigned int level);
/* NMIs within NMIs that have a context each. */
#define REEVE_NMI_DEPTH 4U
/* Those that are numbered below, and those of nested NMIs. */
#define REEVE_IRQ_LEVELS 6
int reeve_helper_irq_init(void);
void reeve_helper_irq_exit(void);
unsigned int reeve_helper_nr_cpu_ids(void);
void reeve_forget_all(void);
bool reeve_helper_begun(struct reeve_context *ctx);
bool reeve_helper_ended(unsigned long task);
unsigned long reeve_helper_thread(void);
bool reeve_helper_is_kernel_thread(void);
bool reeve_helper_is_older_than_switch(void);

/* stock.c */
int reeve_helper_stock_init(void);
void reeve_helper_stock_exit(void);
struct reeve_context *reeve_helper_stock_take(void);
/* Enough for what Rust keeps there; it asserts so. */
#define REEVE_MORE_WORDS 768
void *reeve_helper_more_take(void);
void reeve_helper_more_put(void *room);
void reeve_helper_hold_task(unsigned long task);
bool reeve_helper_task_has_ended(unsigned long task);
bool reeve_helper_is_over(const struct reeve_thread_context *cookie,
			  const struct reeve_thread_context *passed, u64 token);

/* How the code that records is patched. */
struct reeve_switch {
	/* Tracking is switched off: our own locks do not even call. */
	struct static_key_false off;
	/* Records go another way: it is switched off, or they are traced. */
	struct static_key_false diverted;
};

extern struct reeve_switch reeve_switch;

/* A tracepoint of records was enabled, or disabled. */
int reeve_trace_divert(void);
void reeve_trace_return(void);

/* print.c */
struct reeve_text {
	const u8 *start;
	u32 len;
};

#define REEVE_IRQ_SOFT 0
#define REEVE_IRQ_HARD 1
#define REEVE_IRQ_NMI 2

struct reeve_who {
	u64 time; /* ns, the log's clock */
	u32 pid;
	u32 cpu;
	u32 level; /* 0: a task; otherwise 1 + REEVE_IRQ_SOFT and so on */
	u8 comm[16];
};

struct reeve_violation {
	struct reeve_who who;
	struct reeve_text hierarchy; /* "-": none */
	struct reeve_text name; /* of the order; "-": none */
	struct reeve_text against_name;
	struct reeve_text operation; /* as the C API calls it */
	struct reeve_text doing; /* the same in words */
	struct reeve_text kind;
	struct reeve_text fault; /* the same in words */
	unsigned long lock;
	unsigned long against_lock;
	u32 order; /* 0: none */
	u32 against;
	u32 flags;
	u32 site;
	u32 against_site;
	bool has_lock; /* otherwise @lock means nothing */
};

struct reeve_record {
	struct reeve_text hierarchy;
	struct reeve_text name;
	unsigned long lock;
	u32 order;
	u32 flags;
	u32 site;
};

/* Enough for %pS. */
#define REEVE_SITE_TEXT 256

unsigned long reeve_site_address(u32 site);
void reeve_helper_who(struct reeve_who *who);
bool reeve_helper_task_who(unsigned long task, struct reeve_who *who);
bool reeve_helper_copy_context(void *to, const void *from, size_t size);
bool reeve_helper_report_allowed(bool repeat);
void reeve_helper_panic_if_asked(void);
void reeve_helper_report_head(const struct reeve_violation *v);
void reeve_helper_report_held(struct reeve_text name, unsigned int order,
			      unsigned long lock, bool exclusive, bool conflicts,
			    u32 site);
void reeve_helper_report_more(unsigned int locks);
void reeve_helper_report_stack(const struct reeve_who *who, u32 site);
#define REEVE_IN_INTERRUPT (1U << 0)
#define REEVE_IN_HARD_INTERRUPT (1U << 1)
#define REEVE_IS_ATOMIC (1U << 2)
#define REEVE_INTERRUPTS_OFF (1U << 3)
u32 reeve_helper_surroundings(void);
bool reeve_helper_may_look(void);
unsigned long reeve_helper_irq_save(void);
void reeve_helper_irq_restore(unsigned long flags);
unsigned int reeve_helper_site_text(u8 *buffer, size_t size, u32 site,
				    unsigned long lock, u64 time);
void reeve_helper_left_behind(unsigned long lock, u32 site);
void reeve_helper_watch_modules(void);
void reeve_helper_unwatch_modules(void);
unsigned int reeve_helper_lock_text(u8 *buffer, size_t size, unsigned long lock);

/* trace.c */
void reeve_helper_trace_violation(const struct reeve_violation *v);
void reeve_helper_trace_record(const struct reeve_record *r, bool unlock);

#endif /* _REEVE_LOCK_ORDER_INTERNAL_H */
