// SPDX-License-Identifier: GPL-2.0
/*
 * What the life of a driver's buffer object costs through reeve/bo.h. Its
 * reference is in ttm_bench.c, which does the same with a ttm_buffer_object.
 * Reading the file bo_bench in debugfs measures, and gives a line
 * "bench NAME TICKS OPERATIONS" each; an operation is a page. A number written
 * to bo_bench_alive is that of objects of one page that are alive and populated,
 * for rust/bench/bo.rs to evict.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include <asm/tsc.h>

#include <reeve/bo.h>

/* Turns of a loop around one page; around many pages it turns less often. */
#define TURNS 256
/* How often; the time that was disturbed least counts. */
#define TRIES 16

static const unsigned long sizes[] = { 1, 512, 16384 };
static struct reeve_device *device;

static noinline u64 empty_loop(unsigned long turns)
{
	u64 begin = rdtsc();

	do {
		barrier();
		OPTIMIZER_HIDE_VAR(turns);
	} while (--turns);
	return rdtsc() - begin;
}

static noinline int life_loop(unsigned long pages, unsigned long turns,
			      u64 *ticks)
{
	const struct reeve_bo_desc desc = {
		.size = sizeof(desc),
		.bytes = (u64)pages << PAGE_SHIFT,
		.type = REEVE_BO_TYPE_KERNEL,
		.caching = REEVE_CACHING_CACHED,
		/* As the reference's are not. */
		.flags = REEVE_BO_CREATE_UNCLEARED,
	};
	u64 begin = rdtsc();
	long ret;

	do {
		struct reeve_buffer_object *bo;

		bo = reeve_bo_create(device, NULL, &desc);
		if (IS_ERR(bo))
			return PTR_ERR(bo);
		ret = reeve_bo_lock(bo);
		if (!ret) {
			ret = reeve_bo_populate(bo, 0);
			if (ret == pages)
				ret = reeve_bo_unpopulate(bo);
			reeve_bo_unlock(bo);
		}
		reeve_bo_put(bo);
		if (ret != pages)
			return ret < 0 ? ret : -EIO;
	} while (--turns);
	*ticks = rdtsc() - begin;
	return 0;
}

static int bo_bench_show(struct seq_file *m, void *unused)
{
	unsigned int i, try;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		unsigned long turns = max(TURNS / sizes[i], 1UL);
		u64 least = U64_MAX, ticks;

		for (try = 0; try < TRIES; try++) {
			int ret = life_loop(sizes[i], turns, &ticks);

			if (ret)
				return ret;
			least = min(least, ticks);
		}
		seq_printf(m, "bench bo.api.life.cached.%lu %lld %lu\n",
			   sizes[i], (s64)(least - empty_loop(turns)),
			   turns * sizes[i]);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(bo_bench);

/* The objects that are alive between two reads of what evicts them. */
#define MOST_ALIVE 100000

static struct reeve_buffer_object **alive;
static unsigned long nr_alive;

static struct reeve_buffer_object *one_page(void)
{
	const struct reeve_bo_desc desc = {
		.size = sizeof(desc),
		.bytes = PAGE_SIZE,
		.type = REEVE_BO_TYPE_KERNEL,
		.caching = REEVE_CACHING_CACHED,
		.flags = REEVE_BO_CREATE_UNCLEARED,
	};

	return reeve_bo_create(device, NULL, &desc);
}

static int populate(struct reeve_buffer_object *bo)
{
	long ret = reeve_bo_lock(bo);

	if (!ret) {
		ret = reeve_bo_populate(bo, 0);
		reeve_bo_unlock(bo);
	}
	return ret < 0 ? ret : 0;
}

static int alive_set(void *unused, u64 count)
{
	unsigned long i;
	int ret = 0;

	if (count > MOST_ALIVE)
		return -EINVAL;
	while (nr_alive > count) {
		reeve_bo_put(alive[--nr_alive]);
		cond_resched();
	}
	while (nr_alive < count) {
		struct reeve_buffer_object *bo = one_page();

		if (IS_ERR(bo))
			return PTR_ERR(bo);
		alive[nr_alive++] = bo;
		cond_resched();
	}
	for (i = 0; i < nr_alive && !ret; i++)
		ret = populate(alive[i]);
	return ret;
}
DEFINE_DEBUGFS_ATTRIBUTE(alive_fops, NULL, alive_set, "%llu\n");

static struct dentry *file, *alive_file;

static int __init bo_bench_init(void)
{
	alive = kvcalloc(MOST_ALIVE, sizeof(*alive), GFP_KERNEL);
	if (!alive)
		return -ENOMEM;
	device = reeve_device_register(NULL, KBUILD_MODNAME, NULL, 0);
	if (IS_ERR(device)) {
		kvfree(alive);
		return PTR_ERR(device);
	}
	file = debugfs_create_file(KBUILD_MODNAME, 0400, NULL, NULL,
				   &bo_bench_fops);
	alive_file = debugfs_create_file_unsafe("bo_bench_alive", 0200, NULL,
						NULL, &alive_fops);
	return 0;
}

static void __exit bo_bench_exit(void)
{
	debugfs_remove(alive_file);
	debugfs_remove(file);
	alive_set(NULL, 0);
	kvfree(alive);
	if (reeve_device_unregister(device))
		pr_err("an object is left\n");
}

module_init(bo_bench_init);
module_exit(bo_bench_exit);
MODULE_DESCRIPTION("Measures what a driver's buffer objects cost");
MODULE_LICENSE("GPL");
