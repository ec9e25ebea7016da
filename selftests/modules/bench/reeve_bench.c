// SPDX-License-Identifier: GPL-2.0
/*
 * What lock-order tracking costs through its C API, and what locks cost by
 * themselves and lockdep, where there is one. Reading the file reeve_bench in
 * debugfs measures, and gives a line "bench NAME TICKS OPERATIONS" each.
 *
 * Ticks are the CPU's. `make bench` reads them where one is one instruction.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compiler.h>
#include <linux/completion.h>
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/hrtimer.h>
#include <linux/irqflags.h>
#include <linux/kthread.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/stringify.h>

#include <asm/tsc.h>

#include <reeve/lock_guard.h>

/* Iterations of a loop that is measured. */
#define TURNS 256
/* Repetitions; the least disturbed one counts. */
#define TRIES 16
/* Instructions of the loop that checks the clock. */
#define NOPS 100

static const char *const names[] = {
	"one", "two", "three", "four", "five", "six", "seven", "eight",
};

/* Without rules; with a rule; with an order that may be nested. */
static struct reeve_hierarchy *hierarchy, *ruled, *nestable;
static struct reeve_thread_context context;
static int tracked[ARRAY_SIZE(names)];
static int objects[32];
static DEFINE_MUTEX(mutex);
static DEFINE_SPINLOCK(spinlock);

/*
 * All loops are the same but for the body, so that the empty one is the cost of
 * the loop itself. The compiler does not know the number of iterations.
 */
#define DEFINE_LOOP(name, body)                                     \
	static noinline u64 name##_loop(struct reeve_hierarchy *h)  \
	{                                                           \
		unsigned int left = TURNS;                          \
		u64 begin = rdtsc();                                \
								    \
		do {                                                \
			{                                           \
				body;                               \
			}                                           \
			barrier();                                  \
			OPTIMIZER_HIDE_VAR(left);                   \
		} while (--left);                                   \
		return rdtsc() - begin;                             \
	}

#define LOCK(i) \
	reeve_record_lock(h, &tracked[i], (i) + 1, REEVE_LOCK_EXCLUSIVE)
#define UNLOCK(i) \
	reeve_record_unlock(h, &tracked[i], (i) + 1, REEVE_LOCK_EXCLUSIVE)

DEFINE_LOOP(empty, {})
DEFINE_LOOP(nops, asm volatile(".rept " __stringify(NOPS) "; nop; .endr"))

DEFINE_LOOP(pair, {
	LOCK(0);
	UNLOCK(0);
})

DEFINE_LOOP(nested8, {
	LOCK(0);
	LOCK(1);
	LOCK(2);
	LOCK(3);
	LOCK(4);
	LOCK(5);
	LOCK(6);
	LOCK(7);
	UNLOCK(7);
	UNLOCK(6);
	UNLOCK(5);
	UNLOCK(4);
	UNLOCK(3);
	UNLOCK(2);
	UNLOCK(1);
	UNLOCK(0);
})

DEFINE_LOOP(check_locked, reeve_check_locked(h, &tracked[0], 1,
					     REEVE_LOCK_EXCLUSIVE))

/* The memory is not on the stack, where some kernels would clear it. */
DEFINE_LOOP(context, {
	reeve_thread_context_enter(&context);
	reeve_thread_context_leave(&context);
})

DEFINE_LOOP(mutex, {
	mutex_lock(&mutex);
	mutex_unlock(&mutex);
})

DEFINE_LOOP(mutex_recorded, {
	LOCK(0);
	mutex_lock(&mutex);
	UNLOCK(0);
	mutex_unlock(&mutex);
})

DEFINE_LOOP(spinlock, {
	spin_lock(&spinlock);
	spin_unlock(&spinlock);
})

DEFINE_LOOP(spinlock_recorded, {
	LOCK(0);
	spin_lock(&spinlock);
	UNLOCK(0);
	spin_unlock(&spinlock);
})

/* By hand what a guard does, which says when it waits. */
#define SAY_BOTH(lock, try, wait)                                             \
	do {                                                                  \
		if (try(lock)) {                                              \
			reeve_record_lock(h, lock, 1, REEVE_LOCK_EXCLUSIVE);  \
		} else {                                                      \
			reeve_record_lock(h, lock, 1, REEVE_LOCK_EXCLUSIVE |  \
						      REEVE_LOCK_WAITING);    \
			wait(lock);                                           \
			reeve_record_acquired(h, lock, 1);                    \
		}                                                             \
		reeve_record_unlock(h, lock, 1, REEVE_LOCK_EXCLUSIVE);        \
	} while (0)

DEFINE_LOOP(mutex_by_hand, {
	SAY_BOTH(&mutex, mutex_trylock, mutex_lock);
	mutex_unlock(&mutex);
})

DEFINE_LOOP(spinlock_by_hand, {
	SAY_BOTH(&spinlock, spin_trylock, spin_lock);
	spin_unlock(&spinlock);
})

DEFINE_LOOP(mutex_guard, {
	guard(reeve_mutex)(&mutex, h, 1);
})

DEFINE_LOOP(spinlock_guard, {
	guard(reeve_spinlock)(&spinlock, h, 1);
})

/* A whole operation of a driver that takes one lock. */
DEFINE_LOOP(fresh, {
	reeve_thread_context_enter(&context);
	LOCK(0);
	UNLOCK(0);
	reeve_thread_context_leave(&context);
})

DEFINE_LOOP(trylock, {
	reeve_record_lock(h, &tracked[0], 1,
			  REEVE_LOCK_EXCLUSIVE | REEVE_LOCK_TRYLOCK);
	UNLOCK(0);
})

/* The lock that was taken first is released first. */
DEFINE_LOOP(two_orders_out, {
	LOCK(0);
	LOCK(1);
	reeve_record_unlock(h, &tracked[0], 1,
			    REEVE_LOCK_EXCLUSIVE | REEVE_LOCK_OUT_OF_ORDER);
	UNLOCK(1);
})

#define LOCK_OBJECT(i) \
	reeve_record_lock(h, &objects[i], 1, REEVE_LOCK_EXCLUSIVE)
#define UNLOCK_OBJECT(i) \
	reeve_record_unlock(h, &objects[i], 1, REEVE_LOCK_EXCLUSIVE)
#define EIGHT(what, a, b, c, d, e, f, g, h, base)			\
	do {								\
		what((base) + (a));					\
		what((base) + (b));					\
		what((base) + (c));					\
		what((base) + (d));					\
		what((base) + (e));					\
		what((base) + (f));					\
		what((base) + (g));					\
		what((base) + (h));					\
	} while (0)
#define EIGHT_UP(what, base) EIGHT(what, 0, 1, 2, 3, 4, 5, 6, 7, base)
#define EIGHT_DOWN(what, base) EIGHT(what, 7, 6, 5, 4, 3, 2, 1, 0, base)
#define ALL_UP(what)							\
	do {								\
		EIGHT_UP(what, 0);					\
		EIGHT_UP(what, 8);					\
		EIGHT_UP(what, 16);					\
		EIGHT_UP(what, 24);					\
	} while (0)
#define ALL_DOWN(what)							\
	do {								\
		EIGHT_DOWN(what, 24);					\
		EIGHT_DOWN(what, 16);					\
		EIGHT_DOWN(what, 8);					\
		EIGHT_DOWN(what, 0);					\
	} while (0)

/* Objects of one order, by ascending address. */
DEFINE_LOOP(nested32, {
	ALL_UP(LOCK_OBJECT);
	ALL_DOWN(UNLOCK_OBJECT);
})

static u64 least(u64 (*loop)(struct reeve_hierarchy *h),
		 struct reeve_hierarchy *h)
{
	u64 ticks = U64_MAX;
	unsigned int i;

	for (i = 0; i < TRIES; i++)
		ticks = min(ticks, loop(h));
	return ticks;
}

/* The ticks of a loop without those of the empty one. */
static s64 net(u64 (*loop)(struct reeve_hierarchy *h),
	       struct reeve_hierarchy *h)
{
	return least(loop, h) - least(empty_loop, h);
}

static void show_in(struct seq_file *m, struct reeve_hierarchy *h,
		    const char *name, u64 (*loop)(struct reeve_hierarchy *h),
		    unsigned int operations)
{
	seq_printf(m, "bench %s %lld %u\n", name, net(loop, h),
		   TURNS * operations);
}

static void show(struct seq_file *m, const char *name,
		 u64 (*loop)(struct reeve_hierarchy *h), unsigned int operations)
{
	show_in(m, hierarchy, name, loop, operations);
}

#ifdef CONFIG_LOCKDEP
static struct lock_class_key keys[ARRAY_SIZE(names)];
#define MAP(i) STATIC_LOCKDEP_MAP_INIT("bench" #i, &keys[i])
static struct lockdep_map maps[ARRAY_SIZE(names)] = {
	MAP(0), MAP(1), MAP(2), MAP(3), MAP(4), MAP(5), MAP(6), MAP(7),
};

DEFINE_LOOP(lockdep_pair, {
	lock_map_acquire(&maps[0]);
	lock_map_release(&maps[0]);
})

DEFINE_LOOP(lockdep_nested8, {
	lock_map_acquire(&maps[0]);
	lock_map_acquire(&maps[1]);
	lock_map_acquire(&maps[2]);
	lock_map_acquire(&maps[3]);
	lock_map_acquire(&maps[4]);
	lock_map_acquire(&maps[5]);
	lock_map_acquire(&maps[6]);
	lock_map_acquire(&maps[7]);
	lock_map_release(&maps[7]);
	lock_map_release(&maps[6]);
	lock_map_release(&maps[5]);
	lock_map_release(&maps[4]);
	lock_map_release(&maps[3]);
	lock_map_release(&maps[2]);
	lock_map_release(&maps[1]);
	lock_map_release(&maps[0]);
})

DEFINE_LOOP(lockdep_check, lock_is_held(&maps[0]))

DEFINE_LOOP(lockdep_trylock, {
	lock_map_acquire_try(&maps[0]);
	lock_map_release(&maps[0]);
})

DEFINE_LOOP(lockdep_two_orders_out, {
	lock_map_acquire(&maps[0]);
	lock_map_acquire(&maps[1]);
	lock_map_release(&maps[0]);
	lock_map_release(&maps[1]);
})

DEFINE_LOOP(lockdep_other, {
	lock_map_acquire(&maps[1]);
	lock_map_release(&maps[1]);
})

/* lockdep lets locks of one class be nested under another lock. */
#define ACQUIRE_OBJECT(i) \
	lock_acquire(&object_maps[i], 0, 0, 0, 1, &maps[0], _THIS_IP_)
#define RELEASE_OBJECT(i) lock_map_release(&object_maps[i])
static struct lock_class_key object_key;
static struct lockdep_map object_maps[ARRAY_SIZE(objects)];

DEFINE_LOOP(lockdep_nested32, {
	ALL_UP(ACQUIRE_OBJECT);
	ALL_DOWN(RELEASE_OBJECT);
})

static void init_lockdep(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(object_maps); i++)
		lockdep_init_map(&object_maps[i], "bench_object", &object_key,
				 0);
}

static void show_lockdep(struct seq_file *m)
{
	show(m, "lockdep.pair", lockdep_pair_loop, 1);
	show(m, "lockdep.nested8", lockdep_nested8_loop, 8);
	show(m, "lockdep.trylock", lockdep_trylock_loop, 1);
	show(m, "lockdep.two_orders_out", lockdep_two_orders_out_loop, 1);
	lock_map_acquire(&maps[0]);
	show(m, "lockdep.check", lockdep_check_loop, 1);
	show(m, "lockdep.other", lockdep_other_loop, 1);
	show(m, "lockdep.nested32", lockdep_nested32_loop,
	     ARRAY_SIZE(objects));
	lock_map_release(&maps[0]);
}
#else
static void init_lockdep(void)
{
}

static void show_lockdep(struct seq_file *m)
{
}
#endif

/*
 * A thread that stays in its context from the insertion of the module on, so
 * that tracking can be switched off and on meanwhile.
 */
static struct {
	struct task_struct *task;
	struct completion go, done;
	bool stop;
	s64 ticks;
} survivor;

static int survive(void *unused)
{
	struct reeve_thread_context ctx;

	reeve_thread_context_enter(&ctx);
	for (;;) {
		complete(&survivor.done);
		wait_for_completion(&survivor.go);
		if (survivor.stop)
			break;
		survivor.ticks = net(pair_loop, hierarchy);
	}
	reeve_thread_context_leave(&ctx);
	return 0;
}

static int begin_survivor(void)
{
	init_completion(&survivor.go);
	init_completion(&survivor.done);
	survivor.task = kthread_create(survive, NULL, "bench_survivor");
	if (IS_ERR(survivor.task))
		return PTR_ERR(survivor.task);
	get_task_struct(survivor.task);
	wake_up_process(survivor.task);
	wait_for_completion(&survivor.done);
	return 0;
}

static void end_survivor(void)
{
	survivor.stop = true;
	complete(&survivor.go);
	kthread_stop_put(survivor.task);
}

static void show_survivor(struct seq_file *m)
{
	complete(&survivor.go);
	wait_for_completion(&survivor.done);
	seq_printf(m, "bench lock.after_switch %lld %u\n", survivor.ticks,
		   TURNS);
}

/* The stack that an operation uses, below the frame of its caller. */
#define PAINTED 512
#define PAINT 0x5aa55aa55aa55aa5UL
/* Words next to the stack pointer that are left alone. */
#define GAP 4

static noinline void operation(void)
{
	struct reeve_hierarchy *h = hierarchy;
	struct reeve_thread_context ctx;

	reeve_thread_context_enter(&ctx);
	LOCK(0);
	UNLOCK(0);
	reeve_thread_context_leave(&ctx);
}

static noinline unsigned long stack_bytes(void)
{
	unsigned long *top, *word;
	unsigned long flags;

	/* No interrupt uses this part of the stack meanwhile. */
	local_irq_save(flags);
	top = (unsigned long *)current_stack_pointer;
	for (word = top - PAINTED; word < top - GAP; word++)
		WRITE_ONCE(*word, PAINT);
	operation();
	for (word = top - PAINTED; word < top - GAP; word++)
		if (READ_ONCE(*word) != PAINT)
			break;
	local_irq_restore(flags);
	return (unsigned long)top - (unsigned long)word;
}

static int bench_show(struct seq_file *m, void *unused)
{
	struct reeve_thread_context ctx;

	show(m, "clock.nops", nops_loop, NOPS);
	show(m, "lock.context", context_loop, 1);
	show(m, "lock.fresh", fresh_loop, 1);
	seq_printf(m, "bench lock.stack %lu 1\n", stack_bytes());
	show_survivor(m);
	show(m, "mutex.pair", mutex_loop, 1);
	show(m, "spinlock.pair", spinlock_loop, 1);
	show_lockdep(m);

	reeve_thread_context_enter(&ctx);
	show(m, "lock.pair", pair_loop, 1);
	show(m, "lock.nested8", nested8_loop, 8);
	show(m, "lock.trylock", trylock_loop, 1);
	show(m, "lock.two_orders_out", two_orders_out_loop, 1);
	show_in(m, ruled, "lock.rule", pair_loop, 1);
	show_in(m, nestable, "lock.nested32", nested32_loop,
		ARRAY_SIZE(objects));
	show(m, "mutex.recorded", mutex_recorded_loop, 1);
	show(m, "spinlock.recorded", spinlock_recorded_loop, 1);
	show(m, "mutex.by_hand", mutex_by_hand_loop, 1);
	show(m, "mutex.guard", mutex_guard_loop, 1);
	show(m, "spinlock.by_hand", spinlock_by_hand_loop, 1);
	show(m, "spinlock.guard", spinlock_guard_loop, 1);
	reeve_record_lock(hierarchy, &tracked[0], 1, REEVE_LOCK_EXCLUSIVE);
	show(m, "lock.check_locked", check_locked_loop, 1);
	reeve_record_unlock(hierarchy, &tracked[0], 1, REEVE_LOCK_EXCLUSIVE);
	reeve_record_lock(nestable, &objects[0], 1, REEVE_LOCK_EXCLUSIVE);
	show(m, "lock.other", pair_loop, 1);
	reeve_record_unlock(nestable, &objects[0], 1, REEVE_LOCK_EXCLUSIVE);
	reeve_thread_context_leave(&ctx);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(bench);

/* The file reeve_bench_threads: the same with many threads in contexts. */

#define HOLDERS 2000
#define MEASURERS 100

static struct completion ready;
/* Of the measurer that has just finished. */
static s64 measured;

/* Waits for kthread_stop(). */
static void wait_for_stop(void)
{
	set_current_state(TASK_INTERRUPTIBLE);
	while (!kthread_should_stop()) {
		schedule();
		set_current_state(TASK_INTERRUPTIBLE);
	}
	__set_current_state(TASK_RUNNING);
}

static int hold(void *unused)
{
	struct reeve_thread_context ctx;

	reeve_thread_context_enter(&ctx);
	complete(&ready);
	wait_for_stop();
	reeve_thread_context_leave(&ctx);
	return 0;
}

static int measure(void *unused)
{
	measured = net(context_loop, hierarchy);
	complete(&ready);
	/* The next one is to be another task. */
	wait_for_stop();
	return 0;
}

static struct task_struct *begin_thread(int (*function)(void *unused))
{
	struct task_struct *task = kthread_run(function, NULL, "bench_thread");

	if (!IS_ERR(task))
		wait_for_completion(&ready);
	return task;
}

/*
 * How late a thread of the highest priority runs after its timer: longer than
 * usual if preemption was off.
 */
#define PERIOD_NS 20000

struct lateness {
	s64 least, most;
};

static s64 lateness(void)
{
	ktime_t due = ktime_add_ns(ktime_get(), PERIOD_NS);

	set_current_state(TASK_UNINTERRUPTIBLE);
	schedule_hrtimeout_range(&due, 0, HRTIMER_MODE_ABS);
	return ktime_to_ns(ktime_sub(ktime_get(), due));
}

static int be_late(void *data)
{
	struct lateness *late = data;

	while (!kthread_should_stop()) {
		s64 by = lateness();

		/* It was woken to end. */
		if (by < 0)
			continue;
		late->least = min(late->least, by);
		late->most = max(late->most, by);
	}
	return 0;
}

/* Soon after the boot a timer is as late as the next tick. */
static bool timers_are_exact(void)
{
	unsigned int exact = 0, i;

	for (i = 0; i < 2000 && exact < TRIES; i++)
		exact = lateness() < PERIOD_NS ? exact + 1 : 0;
	return exact == TRIES;
}

/* The longest time with preemption off while @tries hierarchies are unregistered. */
static int unregister_late(unsigned int tries, s64 *most)
{
	struct lateness late = { .least = S64_MAX };
	struct reeve_hierarchy *h;
	struct task_struct *task;
	int ret = 0;

	task = kthread_create(be_late, &late, "bench_late");
	if (IS_ERR(task))
		return PTR_ERR(task);
	sched_set_fifo(task);
	wake_up_process(task);
	while (tries-- && !ret) {
		h = reeve_hierarchy_register("bench_short", names, 1);
		ret = PTR_ERR_OR_ZERO(h);
		if (!ret)
			ret = reeve_hierarchy_unregister(h);
	}
	kthread_stop(task);
	*most = late.most - late.least;
	return ret;
}

/*
 * What takes that long each time: the kernel has longer times of its own, for
 * instance where RCU frees much, which come in some rounds and not in others.
 */
#define ROUNDS 4

static int show_unregister(struct seq_file *m)
{
	s64 most, least = S64_MAX;
	unsigned int i;
	int ret;

	if (!timers_are_exact())
		return -ETIME;
	for (i = 0; i < ROUNDS; i++) {
		ret = unregister_late(TRIES, &most);
		if (ret)
			return ret;
		least = min(least, most);
	}
	seq_printf(m, "bench worst.lock.unregister.%u %lld 1\n", HOLDERS,
		   least);
	return 0;
}

static int bench_threads_show(struct seq_file *m, void *unused)
{
	unsigned int count = 0;
	struct task_struct **tasks;
	s64 worst = 0;
	int ret = 0;

	tasks = kvcalloc(HOLDERS + MEASURERS, sizeof(*tasks), GFP_KERNEL);
	if (!tasks)
		return -ENOMEM;
	init_completion(&ready);
	while (count < HOLDERS + MEASURERS) {
		bool holder = count < HOLDERS;

		tasks[count] = begin_thread(holder ? hold : measure);
		if (IS_ERR(tasks[count])) {
			ret = PTR_ERR(tasks[count]);
			break;
		}
		count++;
		if (!holder)
			worst = max(worst, measured);
	}
	if (!ret) {
		seq_printf(m, "bench worst.lock.context.%u %lld %u\n", HOLDERS,
			   worst, TURNS);
		ret = show_unregister(m);
	}
	while (count)
		kthread_stop(tasks[--count]);
	kvfree(tasks);
	return ret;
}
DEFINE_SHOW_ATTRIBUTE(bench_threads);

static struct dentry *file, *threads_file;

static int begin_hierarchies(void)
{
	int ret;

	hierarchy = reeve_hierarchy_register(KBUILD_MODNAME, names,
					     ARRAY_SIZE(names));
	ruled = reeve_hierarchy_register(KBUILD_MODNAME "_ruled", names,
					 ARRAY_SIZE(names));
	nestable = reeve_hierarchy_register(KBUILD_MODNAME "_nestable", names,
					    ARRAY_SIZE(names));
	if (IS_ERR(hierarchy) || IS_ERR(ruled) || IS_ERR(nestable))
		return -ENOMEM;
	/* Order 1 may not be taken while order 3 is held, which it never is. */
	ret = reeve_hierarchy_add_rule(ruled, 1, 3, REEVE_LOCK_ANY, 0);
	if (ret)
		return ret;
	return reeve_hierarchy_set_nestable(nestable, 1);
}

static void end_hierarchies(void)
{
	struct reeve_hierarchy *all[] = { hierarchy, ruled, nestable };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(all); i++)
		if (!IS_ERR_OR_NULL(all[i]))
			reeve_hierarchy_unregister(all[i]);
}

static int __init bench_init(void)
{
	int ret = begin_hierarchies();

	init_lockdep();
	if (!ret)
		ret = begin_survivor();
	if (ret) {
		end_hierarchies();
		return ret;
	}
	file = debugfs_create_file(KBUILD_MODNAME, 0400, NULL, NULL,
				   &bench_fops);
	threads_file = debugfs_create_file(KBUILD_MODNAME "_threads", 0400,
					   NULL, NULL, &bench_threads_fops);
	return 0;
}

static void __exit bench_exit(void)
{
	debugfs_remove(threads_file);
	debugfs_remove(file);
	end_survivor();
	end_hierarchies();
}

module_init(bench_init);
module_exit(bench_exit);
MODULE_DESCRIPTION("Measures what lock-order tracking costs");
MODULE_LICENSE("GPL");
