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
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/spinlock.h>
#include <linux/stringify.h>

#include <asm/tsc.h>

#include <reeve/lock_order.h>

/* Turns of a loop that is measured. */
#define TURNS 256
/* How often; the time that was disturbed least counts. */
#define TRIES 16
/* Instructions in a row that are known to be so many. */
#define NOPS 100

static const char *const names[] = {
	"one", "two", "three", "four", "five", "six", "seven", "eight",
};

static struct reeve_hierarchy *hierarchy;
static struct reeve_thread_context context;
static int tracked[ARRAY_SIZE(names)];
static DEFINE_MUTEX(mutex);
static DEFINE_SPINLOCK(spinlock);

/*
 * All loops are the same but for what they do, so that the empty one says what
 * the loop itself costs. The compiler does not know how often they turn.
 */
#define DEFINE_LOOP(name, body)                                     \
	static noinline u64 name##_loop(struct reeve_hierarchy *h)  \
	{                                                           \
		unsigned int left = TURNS;                          \
		u64 begin = rdtsc();                                \
								    \
		do {                                                \
			body;                                       \
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

static u64 least(u64 (*loop)(struct reeve_hierarchy *h))
{
	u64 ticks = U64_MAX;
	unsigned int i;

	for (i = 0; i < TRIES; i++)
		ticks = min(ticks, loop(hierarchy));
	return ticks;
}

static void show(struct seq_file *m, const char *name,
		 u64 (*loop)(struct reeve_hierarchy *h), unsigned int operations)
{
	seq_printf(m, "bench %s %lld %u\n", name,
		   (s64)(least(loop) - least(empty_loop)), TURNS * operations);
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

static void show_lockdep(struct seq_file *m)
{
	show(m, "lockdep.pair", lockdep_pair_loop, 1);
	show(m, "lockdep.nested8", lockdep_nested8_loop, 8);
	lock_map_acquire(&maps[0]);
	show(m, "lockdep.check", lockdep_check_loop, 1);
	lock_map_release(&maps[0]);
}
#else
static void show_lockdep(struct seq_file *m)
{
}
#endif

static int bench_show(struct seq_file *m, void *unused)
{
	struct reeve_thread_context ctx;

	show(m, "clock.nops", nops_loop, NOPS);
	show(m, "lock.context", context_loop, 1);
	show(m, "mutex.pair", mutex_loop, 1);
	show(m, "spinlock.pair", spinlock_loop, 1);
	show_lockdep(m);

	reeve_thread_context_enter(&ctx);
	show(m, "lock.pair", pair_loop, 1);
	show(m, "lock.nested8", nested8_loop, 8);
	show(m, "mutex.recorded", mutex_recorded_loop, 1);
	show(m, "spinlock.recorded", spinlock_recorded_loop, 1);
	reeve_record_lock(hierarchy, &tracked[0], 1, REEVE_LOCK_EXCLUSIVE);
	show(m, "lock.check_locked", check_locked_loop, 1);
	reeve_record_unlock(hierarchy, &tracked[0], 1, REEVE_LOCK_EXCLUSIVE);
	reeve_thread_context_leave(&ctx);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(bench);

static struct dentry *file;

static int __init bench_init(void)
{
	hierarchy = reeve_hierarchy_register(KBUILD_MODNAME, names,
					     ARRAY_SIZE(names));
	if (IS_ERR(hierarchy))
		return PTR_ERR(hierarchy);
	file = debugfs_create_file(KBUILD_MODNAME, 0400, NULL, NULL,
				   &bench_fops);
	return 0;
}

static void __exit bench_exit(void)
{
	debugfs_remove(file);
	reeve_hierarchy_unregister(hierarchy);
}

module_init(bench_init);
module_exit(bench_exit);
MODULE_DESCRIPTION("Measures what lock-order tracking costs");
MODULE_LICENSE("GPL");
