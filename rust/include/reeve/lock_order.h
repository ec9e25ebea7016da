/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Lock-order tracking for C drivers.
 *
 * A driver registers a hierarchy: its lock orders, outermost first. Threads
 * enter a context; every lock and unlock is recorded next to the real one; a
 * use out of order is reported in the log at the first occurrence, whether or
 * not the deadlock ever happens.
 *
 * Every record and check returns true when the use was correct. An incorrect
 * use is reported and counted, and tracking goes on; nothing here ever blocks,
 * unless it says so, or panics, unless the parameter panic_on_violation asks for
 * that. Unless said otherwise a function may be called from any context, with
 * any locks held, interrupts on or off. Only a thread's first record without an
 * enter, an enter, a save and a restore may allocate, without sleeping.
 *
 * Users' threads have to enter a context first, unless the hierarchy was
 * registered with REEVE_HIERARCHY_AUTOMATIC. Kernel threads and interrupt
 * handlers need not: whatever runs a handler has a context, or is given one.
 */
#ifndef _REEVE_LOCK_ORDER_H
#define _REEVE_LOCK_ORDER_H

#include <linux/types.h>

/*
 * REEVE_OFF, defined before this is included: every function is an empty inline
 * that says that all is correct; nothing of Reeve is needed to load.
 * REEVE_BIND: the functions look for Reeve at run time, see
 * reeve/lock_order_bind.h.
 */
#if defined(REEVE_OFF) || defined(REEVE_BIND)
#define REEVE_API static
#else
#define REEVE_API
#endif

struct reeve_hierarchy; /* opaque */

/* The lock is, or must be, held exclusively. */
#define REEVE_LOCK_EXCLUSIVE	(1U << 0)
/* The lock is, or must be, held shared. */
#define REEVE_LOCK_SHARED	(1U << 1)
/* Checks only: held in either mode. */
#define REEVE_LOCK_ANY		(REEVE_LOCK_EXCLUSIVE | REEVE_LOCK_SHARED)
/* The lock was taken without waiting: its order cannot deadlock. */
#define REEVE_LOCK_TRYLOCK	(1U << 2)
/* Unlock: deeper locks may still be held. Elsewhere without effect. */
#define REEVE_LOCK_OUT_OF_ORDER	(1U << 3)
/* Lock: it is about to be waited for, see reeve_record_acquired(). */
#define REEVE_LOCK_WAITING	(1U << 4)

/* The most orders a hierarchy may have. */
#define REEVE_MAX_ORDERS	64
/* The most conflict rules a hierarchy may carry. */
#define REEVE_MAX_RULES		32
/* The most groups a hierarchy may have, see reeve_hierarchy_set_any_order(). */
#define REEVE_MAX_GROUPS	4
/* The most hierarchies that can be registered at once. */
#define REEVE_MAX_HIERARCHIES	64
/* The most locks one thread can hold, over all hierarchies. */
#define REEVE_MAX_HELD		64
/* The same for one that entered with reeve_thread_context_enter_deep(). */
#define REEVE_MAX_HELD_DEEP	256

/**
 * struct reeve_thread_context - what pairs an enter with its leave
 * @opaque: not to be touched; need not be initialised
 *
 * Meant for the stack. What a thread holds is kept elsewhere: this is only
 * written by the calls it is passed to.
 */
struct reeve_thread_context {
#ifndef REEVE_OFF
	u64 opaque[4];
#endif
#ifdef REEVE_BIND
	u64 generation;
#endif
};

/**
 * reeve_hierarchy_register() - declare a hierarchy of lock orders
 * @name: its name in reports; copied, at most 63 bytes are kept
 * @order_names: @count names, outermost first: order 1 is @order_names[0];
 *               copied
 * @count: number of orders, 1..REEVE_MAX_ORDERS
 *
 * Context: process, may sleep.
 * Return: the hierarchy, or ERR_PTR: -EINVAL (a null name, @count out of
 * range), -ENOSPC (REEVE_MAX_HIERARCHIES are registered), -ENOMEM.
 */
REEVE_API struct reeve_hierarchy *
reeve_hierarchy_register(const char *name, const char *const *order_names,
			 unsigned int count);

/* A thread's first record gives it a context, which it need not enter. */
#define REEVE_HIERARCHY_AUTOMATIC	(1U << 0)
/* Not even a kernel thread's first record does. */
#define REEVE_HIERARCHY_STRICT		(1U << 1)

/**
 * reeve_hierarchy_register_flags() - declare a hierarchy, and who has to enter
 * @name: as for reeve_hierarchy_register()
 * @order_names: likewise
 * @count: likewise
 * @flags: 0 as there: a record of a user's thread that has no context is
 *         incorrect, and a kernel thread, which may be what runs a handler,
 *         is given one; or one of REEVE_HIERARCHY_AUTOMATIC and _STRICT
 *
 * A context that a record gave goes when the thread holds nothing any more, at
 * the latest when it ends. A thread that takes many locks one after the other
 * had better enter, which makes each cheaper.
 *
 * Context: process, may sleep.
 * Return: as reeve_hierarchy_register(); -EINVAL: unknown or both flags.
 */
REEVE_API struct reeve_hierarchy *
reeve_hierarchy_register_flags(const char *name, const char *const *order_names,
			       unsigned int count, unsigned int flags);

/**
 * reeve_hierarchy_unregister() - the end of a hierarchy
 * @h: from reeve_hierarchy_register(); null is ignored
 *
 * No thread may use @h during or after the call.
 *
 * Context: process, may sleep.
 * Return: 0; -EBUSY: a thread holds a lock of it (reported; it stays
 * registered); -EINVAL: it is not registered.
 */
REEVE_API int reeve_hierarchy_unregister(struct reeve_hierarchy *h);

/**
 * reeve_hierarchy_forget() - the end of a hierarchy, whatever is held
 * @h: from reeve_hierarchy_register(); null is ignored
 *
 * For a module's exit, which cannot fail: what is held of it is reported and
 * forgotten. No thread may use @h during or after the call.
 *
 * Context: process, may sleep.
 * Return: 0; -EINVAL: it is not registered.
 */
REEVE_API int reeve_hierarchy_forget(struct reeve_hierarchy *h);

/**
 * reeve_hierarchy_add_rule() - forbid an order while another one is held
 * @h: the hierarchy
 * @order: the order that may not be taken, ...
 * @while_held: ... while this one is held ...
 * @mode_flags: ... in this mode: REEVE_LOCK_EXCLUSIVE, _SHARED or _ANY, ...
 * @unless_held: ... unless this one is held too; 0: no exception
 *
 * Holds for trylocks as well.
 *
 * Return: 0; -EINVAL: no such order, @order equals @while_held, or a bad mode;
 * -ENOSPC: REEVE_MAX_RULES are there already.
 */
REEVE_API int reeve_hierarchy_add_rule(struct reeve_hierarchy *h,
				       unsigned int order,
				       unsigned int while_held,
				       unsigned int mode_flags,
				       unsigned int unless_held);

/**
 * reeve_hierarchy_set_nestable() - let an order be held several times
 * @h: the hierarchy
 * @order: the order; locks of it may be nested by ascending key, which is the
 *         address, or what reeve_record_lock_keyed() is told
 *
 * Return: 0; -EINVAL: no such order.
 */
REEVE_API int reeve_hierarchy_set_nestable(struct reeve_hierarchy *h,
					   unsigned int order);

/* Waiting for a lock of the order may sleep: a mutex, a semaphore. */
#define REEVE_ORDER_SLEEPS	(1U << 0)
/* Nothing may sleep while a lock of the order is held: a spinlock. */
#define REEVE_ORDER_SPINS	(1U << 1)
/* Handlers of hard interrupts take it, so all take it with interrupts off. */
#define REEVE_ORDER_IRQ_SAFE	(1U << 2)
/* A reader that holds the lock may take it once more: an rwlock_t, SRCU. */
#define REEVE_ORDER_RECURSIVE	(1U << 3)

/**
 * reeve_hierarchy_set_attributes() - say what kind the locks of an order are
 * @h: the hierarchy
 * @order: the order
 * @flags: of REEVE_ORDER_SLEEPS, _SPINS, _IRQ_SAFE and _RECURSIVE; those that
 *         were given before stay
 *
 * What does not fit is reported when a lock is recorded: one that sleeps in an
 * interrupt, where preemption or interrupts are off, or while one is held that
 * spins (trylocks are exempt); one that is irq-safe with interrupts on, when it
 * is recorded as taken (with REEVE_LOCK_WAITING, when it is acquired; never with
 * PREEMPT_RT, where most spinlocks leave them on); one that spins and is not
 * irq-safe in a hard interrupt, unless by a trylock. Orders that have attributes
 * take a slower path.
 *
 * Return: 0; -EINVAL: no such order, no or unknown flags, or one that sleeps is
 * to spin or to be irq-safe.
 */
REEVE_API int reeve_hierarchy_set_attributes(struct reeve_hierarchy *h,
					     unsigned int order,
					     unsigned int flags);

/**
 * reeve_hierarchy_set_any_order() - let locks be taken in any order under one
 * @h: the hierarchy
 * @order: their order; several of it may be held, ...
 * @while_held: ... while a lock of this order, a lower one, is held exclusively
 *
 * Orders that name the same @while_held are one group: all of its locks may be
 * taken, and released, in any order. What wounds and waits is such: the ticket
 * (ww_acquire_ctx) is recorded as a lock of @while_held.
 *
 * Return: 0; -EINVAL: no such orders, or @while_held is not the lower one;
 * -ENOSPC: REEVE_MAX_GROUPS are there already.
 */
REEVE_API int reeve_hierarchy_set_any_order(struct reeve_hierarchy *h,
					    unsigned int order,
					    unsigned int while_held);

/**
 * reeve_hierarchy_set_before() - all of a hierarchy comes before some of another
 * @h: the hierarchy, all of whose locks are taken before ...
 * @other: ... those of the one with this name ...
 * @order: ... that have this order there, or a deeper one
 *
 * While one of those is held, no lock of @h may be taken: a record of one is
 * incorrect (trylocks are exempt), and so is a wait. What follows from several
 * declarations is checked as well. A declaration goes with either hierarchy:
 * when @other was unregistered and is registered again, it has to be made anew.
 *
 * Context: process, may sleep.
 * Return: 0; -EINVAL: @h is not registered, @other is null, or has no such
 * order; -ENOENT: no hierarchy has that name; -ENOTUNIQ: several have it;
 * -ELOOP: it contradicts what was declared before, or @other is @h itself;
 * -ENOSPC: 128 are there already.
 */
REEVE_API int reeve_hierarchy_set_before(struct reeve_hierarchy *h,
					 const char *other,
					 unsigned int order);

/**
 * reeve_hierarchy_set_after() - all of another hierarchy comes before some of one
 * @h: the hierarchy
 * @order: its order, which with all deeper ones is taken after ...
 * @other: ... all locks of the hierarchy with this name
 *
 * As reeve_hierarchy_set_before(), said by the inner one.
 *
 * Context: process, may sleep.
 * Return: as reeve_hierarchy_set_before().
 */
REEVE_API int reeve_hierarchy_set_after(struct reeve_hierarchy *h,
					unsigned int order, const char *other);

/**
 * reeve_record_wait() - something is about to be waited for that is no lock
 * @h: the hierarchy
 * @what: its address: of a completion, a work item, a fence
 * @order: its order
 *
 * What ends the wait records a lock of @order while it runs. So what waits must
 * hold nothing that is taken there: no equal or deeper order, nor what a rule
 * forbids. Waiting sleeps, see REEVE_ORDER_SPINS. Nothing is held afterwards.
 *
 * Return: true when that is so; false without a context.
 */
REEVE_API bool reeve_record_wait(struct reeve_hierarchy *h, const void *what,
				 unsigned int order);

/**
 * reeve_record_handover() - another thread is going to release a lock
 * @h: its hierarchy
 * @lock: its address
 * @order: its order
 *
 * This thread holds it no more; what calls reeve_record_adopt() does, then.
 * Up to 64 locks can be in between at once; they count as held for
 * reeve_hierarchy_unregister() and reeve_check_no_locks_freed().
 *
 * Return: true when this lock is held, in whichever mode; false without a
 * context.
 */
REEVE_API bool reeve_record_handover(struct reeve_hierarchy *h,
				     const void *lock, unsigned int order);

/**
 * reeve_record_adopt() - take over a lock that another thread took
 * @h: its hierarchy
 * @lock: its address
 * @order: its order
 *
 * It is held afterwards in the mode that it was taken in, as far as it is known
 * that it was handed over. It was not waited for, so that is correct whatever is
 * held, and it may be released in any order.
 *
 * Return: true when it was handed over, or when that is not known: more than 64
 * locks were in between, or tracking was switched, since the load; false without
 * a context.
 */
REEVE_API bool reeve_record_adopt(struct reeve_hierarchy *h, const void *lock,
				  unsigned int order);

/**
 * reeve_check_no_locks_freed() - is no lock held that lies in this memory?
 * @start: its beginning
 * @len: its length in bytes
 *
 * Of no thread and no interrupt, of whichever hierarchy; what is waited for
 * counts. Looks at each context, with interrupts off for the copy of one. In an
 * NMI, and with PREEMPT_RT where nothing may sleep, it is not known.
 *
 * Return: true when none is, or it is not known; otherwise one is reported.
 */
REEVE_API bool reeve_check_no_locks_freed(const void *start, size_t len);

/**
 * reeve_record_lock() - a lock was taken
 * @h: its hierarchy
 * @lock: its address; null is an address like any other
 * @order: its order
 * @flags: REEVE_LOCK_EXCLUSIVE or _SHARED, and _TRYLOCK if it was one
 *
 * The lock counts as held afterwards, also when that was incorrect.
 *
 * Return: true when no equal or deeper order is held (a trylock is exempt) and
 * no conflict rule forbids it; false without a context.
 */
REEVE_API bool reeve_record_lock(struct reeve_hierarchy *h, const void *lock,
				 unsigned int order, unsigned int flags);

/**
 * reeve_record_lock_keyed() - a lock was taken that is nested by a key
 * @h: its hierarchy
 * @lock: its address
 * @order: its order, a nestable one; otherwise the key is ignored
 * @flags: as for reeve_record_lock()
 * @key: what it is nested by, in place of its address
 *
 * Unlocks and checks name the lock, not the key.
 *
 * Return: as reeve_record_lock(), locks of the same order with lower keys being
 * allowed.
 */
REEVE_API bool reeve_record_lock_keyed(struct reeve_hierarchy *h,
				       const void *lock, unsigned int order,
				       unsigned int flags, u64 key);

/**
 * reeve_record_unlock() - a lock is about to be released
 * @h: its hierarchy
 * @lock: its address
 * @order: its order
 * @flags: the mode it was taken in; _OUT_OF_ORDER if deeper locks stay held
 *
 * It counts as not held afterwards, also when that was incorrect. When another
 * lock of the order is recorded in its place, that one does, unless the order is
 * nestable.
 *
 * Return: true when this lock is held in this mode and no deeper order is held
 * (unless @flags say so, or it was taken out of order, by a trylock or as a
 * violation); false without a context.
 */
REEVE_API bool reeve_record_unlock(struct reeve_hierarchy *h, const void *lock,
				   unsigned int order, unsigned int flags);

/**
 * reeve_record_downgrade() - an exclusive lock became a shared one
 * @h: its hierarchy
 * @lock: its address
 * @order: its order
 *
 * Return: true when this lock is held exclusively; otherwise false, and nothing
 * changes.
 */
REEVE_API bool reeve_record_downgrade(struct reeve_hierarchy *h,
				      const void *lock, unsigned int order);

/**
 * reeve_check_locked() - is this lock held by the thread?
 * @h: its hierarchy
 * @lock: its address
 * @order: its order
 * @flags: the mode; REEVE_LOCK_ANY for either
 *
 * Return: true when it is; false without a context.
 */
REEVE_API bool reeve_check_locked(struct reeve_hierarchy *h, const void *lock,
				  unsigned int order, unsigned int flags);

/**
 * reeve_check_lockable_order() - could a lock of this order be taken now?
 * @h: the hierarchy
 * @order: the order
 * @flags: REEVE_LOCK_TRYLOCK if it would be one; modes are ignored
 *
 * Return: true when no equal or deeper order is held, for a trylock, and
 * without a context.
 */
REEVE_API bool reeve_check_lockable_order(struct reeve_hierarchy *h,
					  unsigned int order,
					  unsigned int flags);

/**
 * reeve_check_unlocked_order() - is no lock of this order held?
 * @h: the hierarchy
 * @order: the order
 *
 * Return: true when none is, and without a context.
 */
REEVE_API bool reeve_check_unlocked_order(struct reeve_hierarchy *h,
					  unsigned int order);

/**
 * reeve_check_all_unlocked() - is no lock of this hierarchy held?
 * @h: the hierarchy
 *
 * Return: true when none is, and without a context; otherwise what is held is
 * listed in the report.
 */
REEVE_API bool reeve_check_all_unlocked(struct reeve_hierarchy *h);

/**
 * reeve_thread_context_enter() - start tracking the calling thread
 * @ctx: memory that pairs the enter with its leave
 *
 * Entering again with another @ctx is re-entrancy: the inner enter and its
 * leave do nothing. So does an enter in an interrupt.
 *
 * Return: true; false: @ctx is the one in use already, or there is no memory for
 * a context (reported; the thread goes on without one, and as long as there is
 * such a thread, no record is incorrect for want of a context).
 */
REEVE_API bool reeve_thread_context_enter(struct reeve_thread_context *ctx);

/**
 * reeve_thread_context_enter_deep() - start tracking a thread that locks a lot
 * @ctx: as for reeve_thread_context_enter()
 *
 * The same, with room for REEVE_MAX_HELD_DEEP locks at once, until the outer
 * leave. From the 65th on each takes the complete way. An inner one makes room
 * in the context that is there. While something is put aside by a save, there
 * is room for REEVE_MAX_HELD again.
 *
 * Context: process, may sleep; in an interrupt it does nothing.
 * Return: as reeve_thread_context_enter(); also false: no memory for the room
 * (reported; the thread goes on with room for REEVE_MAX_HELD).
 */
REEVE_API bool
reeve_thread_context_enter_deep(struct reeve_thread_context *ctx);

/**
 * reeve_thread_context_leave() - stop tracking the calling thread
 * @ctx: as passed to the enter
 *
 * Return: true when nothing was held any more and tracking was enabled; false
 * otherwise, or this thread has no context (reported; the context ends all the
 * same).
 */
REEVE_API bool reeve_thread_context_leave(struct reeve_thread_context *ctx);

/**
 * reeve_thread_context_save() - put aside what the thread holds
 * @ctx: memory for it
 *
 * The thread holds nothing afterwards, with tracking enabled.
 *
 * Return: true; false: the thread has no context, though it has to enter one, and
 * @ctx holds nothing. Without memory for what is held it is true, too; then no
 * verdict depends on that after the restore.
 */
REEVE_API bool reeve_thread_context_save(struct reeve_thread_context *ctx);

/**
 * reeve_thread_context_restore() - take back what save put aside
 * @ctx: as filled by the save
 *
 * Return: true; false: the thread has no context, though it has to enter one, or
 * it held locks, which are reported and forgotten.
 */
REEVE_API bool reeve_thread_context_restore(struct reeve_thread_context *ctx);

/**
 * reeve_tracking_disable() - stop tracking in this thread's context; nests
 *
 * Until the matching enable every record and check returns true and changes
 * nothing.
 *
 * Return: true; false without a context, where one has to be entered, or nested
 * more than 65535 deep.
 */
REEVE_API bool reeve_tracking_disable(void);

/**
 * reeve_tracking_enable() - undo one reeve_tracking_disable()
 *
 * Return: true; false: there was none, or no context (reported).
 */
REEVE_API bool reeve_tracking_enable(void);

/**
 * reeve_record_acquired() - the wait for a lock ended, and it is held
 * @h: its hierarchy
 * @lock: its address
 * @order: its order
 *
 * For a lock that was recorded with REEVE_LOCK_WAITING. A wait that ended
 * without the lock is taken back by reeve_record_unlock().
 *
 * Return: true when this lock is recorded; false without a context.
 */
REEVE_API bool reeve_record_acquired(struct reeve_hierarchy *h,
				     const void *lock, unsigned int order);

/*
 * The same for wrappers of locks, which say where they were called from: the
 * last argument is _RET_IP_, or what the caller of the caller gave.
 */
REEVE_API bool reeve_record_lock_ip(struct reeve_hierarchy *h, const void *lock,
				    unsigned int order, unsigned int flags,
				    unsigned long ip);
REEVE_API bool reeve_record_lock_keyed_ip(struct reeve_hierarchy *h,
					  const void *lock, unsigned int order,
					  unsigned int flags, u64 key,
					  unsigned long ip);
REEVE_API bool reeve_record_unlock_ip(struct reeve_hierarchy *h,
				      const void *lock, unsigned int order,
				      unsigned int flags, unsigned long ip);
REEVE_API bool reeve_record_downgrade_ip(struct reeve_hierarchy *h,
					 const void *lock, unsigned int order,
					 unsigned long ip);
REEVE_API bool reeve_check_locked_ip(struct reeve_hierarchy *h,
				     const void *lock, unsigned int order,
				     unsigned int flags, unsigned long ip);

/**
 * reeve_thread_has_context() - is what this thread does recorded?
 *
 * Return: true when the thread entered a context, or holds a lock for which it
 * was given one, and in interrupts.
 */
REEVE_API bool reeve_thread_has_context(void);

#ifdef REEVE_OFF
#include <reeve/lock_order_off.h>
#elif defined(REEVE_BIND)
#include <reeve/lock_order_bind.h>
#else

/*
 * Order and mode are mostly constants. Then these, which leave their checks to
 * the compiler, stand for reeve_record_lock() and reeve_record_unlock(); they
 * are not meant to be called by themselves.
 */
bool reeve_record_lock_plain(struct reeve_hierarchy *h, const void *lock,
			     unsigned int packed);
bool reeve_record_trylock_plain(struct reeve_hierarchy *h, const void *lock,
				unsigned int packed);
bool reeve_record_unlock_plain(struct reeve_hierarchy *h, const void *lock,
			       unsigned int packed);

#ifndef REEVE_LOCK_ORDER_FUNCTIONS

#define REEVE_PLAIN(order, flags)                                    \
	(__builtin_constant_p(order) && __builtin_constant_p(flags) && \
	 (order) - 1 < REEVE_MAX_ORDERS &&                           \
	 ((flags) == REEVE_LOCK_EXCLUSIVE || (flags) == REEVE_LOCK_SHARED))

static __always_inline bool
__reeve_record_lock(struct reeve_hierarchy *h, const void *lock,
		    unsigned int order, unsigned int flags)
{
	const unsigned int mode = flags & ~REEVE_LOCK_TRYLOCK;

	if (REEVE_PLAIN(order, flags))
		return reeve_record_lock_plain(h, lock, order | mode << 8);
	if (REEVE_PLAIN(order, flags ^ REEVE_LOCK_TRYLOCK))
		return reeve_record_trylock_plain(h, lock, order | mode << 8);
	return reeve_record_lock(h, lock, order, flags);
}

static __always_inline bool
__reeve_record_unlock(struct reeve_hierarchy *h, const void *lock,
		      unsigned int order, unsigned int flags)
{
	if (REEVE_PLAIN(order, flags))
		return reeve_record_unlock_plain(h, lock, order | flags << 8);
	return reeve_record_unlock(h, lock, order, flags);
}

#define reeve_record_lock(h, lock, order, flags) \
	__reeve_record_lock(h, lock, order, flags)
#define reeve_record_unlock(h, lock, order, flags) \
	__reeve_record_unlock(h, lock, order, flags)

#endif /* REEVE_LOCK_ORDER_FUNCTIONS */

/* Stands where a driver that binds at run time defines its binding. */
#define REEVE_DEFINE_BINDING() struct reeve_hierarchy

#endif /* !REEVE_OFF && !REEVE_BIND */

/**
 * reeve_assert_held() - report it unless this lock is held, in either mode
 * @h: its hierarchy
 * @lock: its address
 * @order: its order
 *
 * As lockdep_assert_held(), but the report is reeve_check_locked()'s.
 */
#define reeve_assert_held(h, lock, order) \
	((void)reeve_check_locked(h, lock, order, REEVE_LOCK_ANY))

/* The same, held exclusively. */
#define reeve_assert_held_exclusive(h, lock, order) \
	((void)reeve_check_locked(h, lock, order, REEVE_LOCK_EXCLUSIVE))

#endif /* _REEVE_LOCK_ORDER_H */
