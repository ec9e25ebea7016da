/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Guards after linux/cleanup.h that lock and record in one step, and unlock and
 * unrecord at the end of their scope, however that is left:
 *
 *	guard(reeve_mutex)(&dev->lock, h, MY_DEVICE);
 *
 *	scoped_guard(reeve_spinlock_irqsave, &q->lock, h, MY_QUEUE)
 *		list_add(&entry->list, &q->entries);
 *
 *	ACQUIRE(reeve_mutex_intr, locked)(&dev->lock, h, MY_DEVICE);
 *	ret = ACQUIRE_ERR(reeve_mutex_intr, &locked);
 *	if (ret)
 *		return ret;
 *
 *	scoped_cond_guard(reeve_mutex_try, return -EBUSY, &dev->lock, h,
 *			  MY_DEVICE) {
 *	}
 *
 * The arguments are the lock, its hierarchy and its order; the order should be
 * a constant. The classes, with the forms that may fail:
 *
 *	reeve_mutex		_try _intr _kill
 *	reeve_spinlock		_try
 *	reeve_spinlock_irq	_try
 *	reeve_spinlock_bh	_try
 *	reeve_spinlock_irqsave	_try
 *	reeve_rwsem_read	_try _intr _kill
 *	reeve_rwsem_write	_try _kill, and reeve_rwsem_downgrade()
 *
 * A lock that is free is taken and recorded. One that is not is recorded as
 * waited for first, so that a wrong order is reported even if the thread never
 * comes back, and what `held` shows tells the two apart. What was not taken, a
 * failed trylock or an interrupted wait, is not recorded.
 *
 * With REEVE_OFF the same guards lock and unlock, and nothing else.
 */
#ifndef _REEVE_LOCK_GUARD_H
#define _REEVE_LOCK_GUARD_H

#include <linux/cleanup.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>

#include <reeve/lock_order.h>

/*
 * Whether to try before waiting. Not with lockdep, which learns no order from a
 * trylock: there each lock is announced as waited for. Not without Reeve, which
 * would not know the difference.
 */
#ifdef REEVE_OFF
#define __REEVE_TRIES false
#else
#define __REEVE_TRIES (!IS_ENABLED(CONFIG_LOCKDEP))
#endif
#define __REEVE_AT_ONCE(try) (__REEVE_TRIES && (try))

/* In a constructor: @_T is the guard. Results in 0, or the error of @wait. */
#define __REEVE_ACQUIRE(mode, try, wait)                                     \
	({                                                                   \
		int __ret = 0;                                               \
									     \
		if (__REEVE_AT_ONCE(try)) {                                  \
			reeve_record_lock(_T->h, _T->lock, _T->order, mode); \
		} else {                                                     \
			reeve_record_lock(_T->h, _T->lock, _T->order,        \
					  (mode) | REEVE_LOCK_WAITING);      \
			__ret = (wait);                                      \
			if (!__ret)                                          \
				reeve_record_acquired(_T->h, _T->lock,       \
						      _T->order);            \
			else                                                 \
				reeve_record_unlock(_T->h, _T->lock,         \
						    _T->order,               \
						    (mode) |                 \
						    REEVE_LOCK_OUT_OF_ORDER);\
		}                                                            \
		__ret;                                                       \
	})

#define __REEVE_TRY(mode, try)                                              \
	({                                                                  \
		int __ret = -EBUSY;                                         \
									    \
		if (try) {                                                  \
			reeve_record_lock(_T->h, _T->lock, _T->order,       \
					  (mode) | REEVE_LOCK_TRYLOCK);     \
			__ret = 0;                                          \
		}                                                           \
		__ret;                                                      \
	})

#define __REEVE_CONSTRUCTOR(name, type, acquire)                             \
	static __always_inline class_##name##_t                              \
	class_##name##_constructor(type *lock, struct reeve_hierarchy *h,    \
				   unsigned int order)                       \
	__no_context_analysis                                                \
	{                                                                    \
		class_##name##_t _t = { .lock = lock, .h = h,                \
					.order = order }, *_T = &_t;         \
		int _ret = (acquire);                                        \
									     \
		if (_ret)                                                    \
			_t.lock = ERR_PTR(_ret);                             \
		return _t;                                                   \
	}

/* A class that waits until it has the lock. Further arguments: its members. */
#define __REEVE_GUARD(name, type, mode, try, wait, unlock, ...)              \
	typedef struct {                                                     \
		type *lock;                                                  \
		struct reeve_hierarchy *h;                                   \
		unsigned int order;                                          \
		__VA_ARGS__;                                                 \
	} class_##name##_t;                                                  \
	typedef type lock_##name##_t;                                        \
									     \
	static __always_inline void                                          \
	class_##name##_destructor(class_##name##_t *_T)                      \
	__no_context_analysis                                                \
	{                                                                    \
		reeve_record_unlock(_T->h, _T->lock, _T->order, mode);       \
		unlock;                                                      \
	}                                                                    \
									     \
	__DEFINE_CLASS_IS_CONDITIONAL(name, false);                          \
	__DEFINE_GUARD_LOCK_PTR(name, &_T->lock)                             \
	__REEVE_CONSTRUCTOR(name, type,                                      \
			    __REEVE_ACQUIRE(mode, try, ({ wait; 0; })))

/* A form of the class that may fail: then it holds an error, and no lock. */
#define __REEVE_GUARD_COND(name, ext, type, acquire)                         \
	typedef class_##name##_t class_##name##ext##_t;                      \
	typedef type lock_##name##ext##_t;                                   \
									     \
	static __always_inline void                                          \
	class_##name##ext##_destructor(class_##name##_t *_T)                 \
	{                                                                    \
		if (!__GUARD_IS_ERR(_T->lock))                               \
			class_##name##_destructor(_T);                       \
	}                                                                    \
									     \
	__DEFINE_CLASS_IS_CONDITIONAL(name##ext, true);                      \
	__DEFINE_GUARD_LOCK_PTR(name##ext, &_T->lock)                        \
	__REEVE_CONSTRUCTOR(name##ext, type, acquire)

#define __REEVE_MUTEX_TRY ({ might_sleep(); mutex_trylock(_T->lock); })

__REEVE_GUARD(reeve_mutex, struct mutex, REEVE_LOCK_EXCLUSIVE,
	      __REEVE_MUTEX_TRY, mutex_lock(_T->lock), mutex_unlock(_T->lock))
__REEVE_GUARD_COND(reeve_mutex, _try, struct mutex,
		   __REEVE_TRY(REEVE_LOCK_EXCLUSIVE, mutex_trylock(_T->lock)))
__REEVE_GUARD_COND(reeve_mutex, _intr, struct mutex,
		   __REEVE_ACQUIRE(REEVE_LOCK_EXCLUSIVE, __REEVE_MUTEX_TRY,
				   mutex_lock_interruptible(_T->lock)))
__REEVE_GUARD_COND(reeve_mutex, _kill, struct mutex,
		   __REEVE_ACQUIRE(REEVE_LOCK_EXCLUSIVE, __REEVE_MUTEX_TRY,
				   mutex_lock_killable(_T->lock)))

__REEVE_GUARD(reeve_spinlock, spinlock_t, REEVE_LOCK_EXCLUSIVE,
	      spin_trylock(_T->lock), spin_lock(_T->lock),
	      spin_unlock(_T->lock))
__REEVE_GUARD_COND(reeve_spinlock, _try, spinlock_t,
		   __REEVE_TRY(REEVE_LOCK_EXCLUSIVE, spin_trylock(_T->lock)))

__REEVE_GUARD(reeve_spinlock_irq, spinlock_t, REEVE_LOCK_EXCLUSIVE,
	      spin_trylock_irq(_T->lock), spin_lock_irq(_T->lock),
	      spin_unlock_irq(_T->lock))
__REEVE_GUARD_COND(reeve_spinlock_irq, _try, spinlock_t,
		   __REEVE_TRY(REEVE_LOCK_EXCLUSIVE,
			       spin_trylock_irq(_T->lock)))

__REEVE_GUARD(reeve_spinlock_bh, spinlock_t, REEVE_LOCK_EXCLUSIVE,
	      spin_trylock_bh(_T->lock), spin_lock_bh(_T->lock),
	      spin_unlock_bh(_T->lock))
__REEVE_GUARD_COND(reeve_spinlock_bh, _try, spinlock_t,
		   __REEVE_TRY(REEVE_LOCK_EXCLUSIVE, spin_trylock_bh(_T->lock)))

__REEVE_GUARD(reeve_spinlock_irqsave, spinlock_t, REEVE_LOCK_EXCLUSIVE,
	      spin_trylock_irqsave(_T->lock, _T->flags),
	      spin_lock_irqsave(_T->lock, _T->flags),
	      spin_unlock_irqrestore(_T->lock, _T->flags), unsigned long flags)
__REEVE_GUARD_COND(reeve_spinlock_irqsave, _try, spinlock_t,
		   __REEVE_TRY(REEVE_LOCK_EXCLUSIVE,
			       spin_trylock_irqsave(_T->lock, _T->flags)))

#define __REEVE_READ_TRY ({ might_sleep(); down_read_trylock(_T->lock); })
#define __REEVE_WRITE_TRY ({ might_sleep(); down_write_trylock(_T->lock); })

__REEVE_GUARD(reeve_rwsem_read, struct rw_semaphore, REEVE_LOCK_SHARED,
	      __REEVE_READ_TRY, down_read(_T->lock), up_read(_T->lock))
__REEVE_GUARD_COND(reeve_rwsem_read, _try, struct rw_semaphore,
		   __REEVE_TRY(REEVE_LOCK_SHARED, down_read_trylock(_T->lock)))
__REEVE_GUARD_COND(reeve_rwsem_read, _intr, struct rw_semaphore,
		   __REEVE_ACQUIRE(REEVE_LOCK_SHARED, __REEVE_READ_TRY,
				   down_read_interruptible(_T->lock)))
__REEVE_GUARD_COND(reeve_rwsem_read, _kill, struct rw_semaphore,
		   __REEVE_ACQUIRE(REEVE_LOCK_SHARED, __REEVE_READ_TRY,
				   down_read_killable(_T->lock)))

#define __REEVE_WRITE_MODE \
	(_T->downgraded ? REEVE_LOCK_SHARED : REEVE_LOCK_EXCLUSIVE)
#define __REEVE_UP_WRITE                           \
	do {                                       \
		if (_T->downgraded)                \
			up_read(_T->lock);         \
		else                               \
			up_write(_T->lock);        \
	} while (0)

__REEVE_GUARD(reeve_rwsem_write, struct rw_semaphore, __REEVE_WRITE_MODE,
	      __REEVE_WRITE_TRY, down_write(_T->lock), __REEVE_UP_WRITE,
	      bool downgraded)
__REEVE_GUARD_COND(reeve_rwsem_write, _try, struct rw_semaphore,
		   __REEVE_TRY(REEVE_LOCK_EXCLUSIVE,
			       down_write_trylock(_T->lock)))
__REEVE_GUARD_COND(reeve_rwsem_write, _kill, struct rw_semaphore,
		   __REEVE_ACQUIRE(REEVE_LOCK_EXCLUSIVE, __REEVE_WRITE_TRY,
				   down_write_killable(_T->lock)))

/**
 * reeve_rwsem_downgrade() - make a guard of a writer one of a reader
 * @guard: of the class reeve_rwsem_write, or one of its forms that has the lock
 *
 * Once for a guard; it releases the lock as a reader does.
 */
static __always_inline void
reeve_rwsem_downgrade(class_reeve_rwsem_write_t *guard)
	__no_context_analysis
{
	reeve_record_downgrade(guard->h, guard->lock, guard->order);
	guard->downgraded = true;
	downgrade_write(guard->lock);
}

#endif /* _REEVE_LOCK_GUARD_H */
