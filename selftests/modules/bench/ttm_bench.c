// SPDX-License-Identifier: GPL-2.0
/*
 * What page accounting costs in C TTM, the reference of rust/bench/bo.rs, which
 * measures the same things in the same way. Reading the files of the directory
 * ttm_bench in debugfs measures, and gives a line "bench NAME TICKS OPERATIONS"
 * each; an operation is a page where the name is not of something else.
 *
 * Uses what TTM exports for its own tests.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/swap.h>

#include <asm/tsc.h>

#include <drm/drm_gem.h>
#include <drm/drm_vma_manager.h>
#include <drm/ttm/ttm_bo.h>
#include <drm/ttm/ttm_device.h>
#include <drm/ttm/ttm_placement.h>
#include <drm/ttm/ttm_tt.h>

/* Turns of a loop around one page; around many pages it turns less often. */
#define TURNS 256
/* How often; the time that was disturbed least counts. */
#define TRIES 16
/* Pages of what is moved out and in again. */
#define MOVED 512

static const unsigned long sizes[] = { 1, 16, 512, 4096, 16384 };
static const unsigned long populated[] = { 1, 16, 512 };
static const unsigned long objects[] = { 1, 512, 16384 };

struct bench {
	struct ttm_device bdev;
	struct drm_vma_offset_manager vma_manager;
	/* Nothing is mapped. */
	struct address_space mapping;
	/* Only its size is used. */
	struct ttm_buffer_object sized;
	struct ttm_tt tt;
};

/* What the driver of a device does; like simple drivers, next to nothing. */

static struct ttm_tt *bench_tt_create(struct ttm_buffer_object *bo,
				      u32 page_flags)
{
	struct ttm_tt *tt = kzalloc_obj(*tt);

	/* Backups are for those only that count their pages themselves. */
	if (bo->type == ttm_bo_type_device)
		page_flags |= TTM_TT_FLAG_EXTERNAL |
			      TTM_TT_FLAG_EXTERNAL_MAPPABLE;
	if (tt && ttm_tt_init(tt, bo, page_flags & ~TTM_TT_FLAG_ZERO_ALLOC,
			      ttm_cached, 0)) {
		kfree(tt);
		return NULL;
	}
	return tt;
}

static void bench_tt_destroy(struct ttm_device *bdev, struct ttm_tt *tt)
{
	ttm_tt_fini(tt);
	kfree(tt);
}

static int bench_tt_populate(struct ttm_device *bdev, struct ttm_tt *tt,
			     struct ttm_operation_ctx *ctx)
{
	if (ttm_tt_is_backed_up(tt))
		return ttm_tt_restore(bdev, tt, ctx);
	return ttm_pool_alloc(&bdev->pool, tt, ctx);
}

static int bench_move(struct ttm_buffer_object *bo, bool evict,
		      struct ttm_operation_ctx *ctx, struct ttm_resource *to,
		      struct ttm_place *hop)
{
	ttm_bo_move_null(bo, to);
	return 0;
}

static const struct ttm_device_funcs plain_funcs = {
	.ttm_tt_create = bench_tt_create,
	.ttm_tt_destroy = bench_tt_destroy,
	.move = bench_move,
	.eviction_valuable = ttm_bo_eviction_valuable,
};

static const struct ttm_device_funcs backup_funcs = {
	.ttm_tt_create = bench_tt_create,
	.ttm_tt_populate = bench_tt_populate,
	.ttm_tt_destroy = bench_tt_destroy,
	.move = bench_move,
	.eviction_valuable = ttm_bo_eviction_valuable,
};

static int no_pages(struct ttm_device *bdev, struct ttm_tt *tt,
		    struct ttm_operation_ctx *ctx)
{
	return 0;
}

static void no_pages_either(struct ttm_device *bdev, struct ttm_tt *tt)
{
}

static const struct ttm_device_funcs counting_funcs = {
	.ttm_tt_populate = no_pages,
	.ttm_tt_unpopulate = no_pages_either,
	.ttm_tt_destroy = bench_tt_destroy,
};

static struct bench *bench_begin(const struct ttm_device_funcs *funcs)
{
	struct bench *b = kvzalloc_obj(*b);
	int ret;

	if (!b)
		return ERR_PTR(-ENOMEM);
	drm_vma_offset_manager_init(&b->vma_manager, 0x10000, 0x10000000);
	address_space_init_once(&b->mapping);
	ret = ttm_device_init(&b->bdev, funcs, NULL, &b->mapping,
			      &b->vma_manager, 0);
	if (ret) {
		drm_vma_offset_manager_destroy(&b->vma_manager);
		kvfree(b);
		return ERR_PTR(ret);
	}
	return b;
}

/* Of the last device, this empties the pools. */
static void bench_end(struct bench *b)
{
	ttm_device_fini(&b->bdev);
	drm_vma_offset_manager_destroy(&b->vma_manager);
	kvfree(b);
}

static unsigned long turns_for(unsigned long pages)
{
	return max(TURNS / pages, 1UL);
}

static void row(struct seq_file *m, const char *name, u64 ticks,
		unsigned long operations)
{
	seq_printf(m, "bench %s %lld %lu\n", name, (s64)ticks, operations);
}

/* What reading the counter costs by itself. */
static noinline u64 ticks_of_nothing(void)
{
	u64 begin = rdtsc();

	barrier();
	return rdtsc() - begin;
}

static noinline u64 empty_loop(unsigned long turns)
{
	u64 begin = rdtsc();

	do {
		barrier();
		OPTIMIZER_HIDE_VAR(turns);
	} while (--turns);
	return rdtsc() - begin;
}

/*
 * A block of as many pages beside which there is a free one like it, where that
 * matters; see rust/bench/bo.rs.
 */
static int beside(unsigned long pages, struct page **held)
{
	static struct page *blocks[1024];
	unsigned int order = ilog2(pages), count, i;
	struct page *block = NULL;

	*held = NULL;
	if (order <= PAGE_ALLOC_COSTLY_ORDER || order >= 9)
		return 0;
	for (count = 0; count < ARRAY_SIZE(blocks) && !*held; count++) {
		block = alloc_pages(GFP_HIGHUSER, order);
		if (!block)
			break;
		blocks[count] = block;
		for (i = 0; i < count && !*held; i++)
			if ((page_to_pfn(blocks[i]) ^ page_to_pfn(block)) ==
			    pages)
				*held = blocks[i];
	}
	/* The last one last, so that it is what is taken next. */
	for (i = 0; i < count; i++)
		if (blocks[i] != *held && blocks[i] != block)
			__free_pages(blocks[i], order);
	if (block)
		__free_pages(block, order);
	return *held ? 0 : -ENOMEM;
}

static noinline int life_loop(struct bench *b, unsigned long turns,
			      enum ttm_caching caching, u64 *ticks)
{
	struct ttm_operation_ctx ctx = {};
	struct ttm_tt *tt = &b->tt;
	u64 begin = rdtsc();
	int ret;

	do {
		ret = ttm_tt_init(tt, &b->sized, 0, caching, 0);
		if (ret)
			return ret;
		ret = ttm_tt_populate(&b->bdev, tt, &ctx);
		if (ret)
			return ret;
		ttm_tt_unpopulate(&b->bdev, tt);
		ttm_tt_fini(tt);
	} while (--turns);
	*ticks = rdtsc() - begin;
	return 0;
}

/* @cold: the pool is empty each time. */
static int measure_life(struct seq_file *m, const char *how,
			unsigned long pages, enum ttm_caching caching,
			bool cold)
{
	unsigned long turns = cold ? 1 : turns_for(pages);
	unsigned long i, tries = cold && pages > 16 ? TRIES / 4 : TRIES;
	u64 least = U64_MAX, ticks = 0;
	struct bench *b = NULL;
	struct page *held;
	char name[32];
	int ret;

	ret = beside(pages, &held);
	for (i = 0; i < tries && !ret; i++) {
		if (!b) {
			b = bench_begin(&plain_funcs);
			if (IS_ERR(b)) {
				ret = PTR_ERR(b);
				b = NULL;
				break;
			}
			b->sized.base.size = pages << PAGE_SHIFT;
		}
		ret = life_loop(b, turns, caching, &ticks);
		least = min(least, ticks);
		if (cold) {
			bench_end(b);
			b = NULL;
		}
	}
	if (b)
		bench_end(b);
	if (held)
		__free_pages(held, ilog2(pages));
	snprintf(name, sizeof(name), "ttm.life.%s.%lu", how, pages);
	row(m, name, least - empty_loop(turns), turns * pages);
	return ret;
}

/* The floor: the same pages straight from the system and back. */
static noinline int floor_loop(unsigned long turns, unsigned long pages,
			       u64 *ticks)
{
	struct page *blocks[16384 / 512];
	unsigned int order = min(ilog2(pages), 9);
	unsigned int count = pages >> order;
	u64 begin = rdtsc();
	unsigned int i;

	do {
		for (i = 0; i < count; i++) {
			blocks[i] = alloc_pages(GFP_HIGHUSER | __GFP_NOWARN |
						__GFP_NORETRY, order);
			if (!blocks[i])
				break;
		}
		if (i < count) {
			while (i)
				__free_pages(blocks[--i], order);
			return -ENOMEM;
		}
		while (i)
			__free_pages(blocks[--i], order);
	} while (--turns);
	*ticks = rdtsc() - begin;
	return 0;
}

static int measure_floor(struct seq_file *m, unsigned long pages)
{
	unsigned long i, turns = turns_for(pages);
	u64 least = U64_MAX, ticks = 0;
	struct page *held;
	int ret;

	ret = beside(pages, &held);
	for (i = 0; i < TRIES && !ret; i++) {
		ret = floor_loop(turns, pages, &ticks);
		least = min(least, ticks);
	}
	if (held)
		__free_pages(held, ilog2(pages));
	seq_printf(m, "bench floor.life.%lu %lld %lu\n", pages,
		   (s64)(least - empty_loop(turns)), turns * pages);
	return ret;
}

/* Cleared pages; without a pool, for cached ones are not kept. */
static int measure_populate(struct seq_file *m, unsigned long pages)
{
	u64 nothing = ticks_of_nothing(), least = U64_MAX, begin;
	struct bench *b = bench_begin(&plain_funcs);
	struct ttm_operation_ctx ctx = {};
	struct page *held;
	unsigned int i;
	int ret;

	if (IS_ERR(b))
		return PTR_ERR(b);
	b->sized.base.size = pages << PAGE_SHIFT;
	ret = beside(pages, &held);
	for (i = 0; i < TRIES && !ret; i++) {
		ret = ttm_tt_init(&b->tt, &b->sized, TTM_TT_FLAG_ZERO_ALLOC,
				  ttm_cached, 0);
		if (ret)
			break;
		begin = rdtsc();
		ret = ttm_tt_populate(&b->bdev, &b->tt, &ctx);
		least = min(least, rdtsc() - begin);
		ttm_tt_unpopulate(&b->bdev, &b->tt);
		ttm_tt_fini(&b->tt);
	}
	if (held)
		__free_pages(held, ilog2(pages));
	seq_printf(m, "bench ttm.populate.%lu %lld %lu\n", pages,
		   (s64)(least - nothing), pages);
	bench_end(b);
	return ret;
}

static noinline int counting_loop(struct bench *b, u64 *ticks)
{
	struct ttm_operation_ctx ctx = {};
	struct ttm_tt *tt = &b->tt;
	unsigned int left = TURNS;
	u64 begin = rdtsc();
	int ret;

	do {
		ret = ttm_tt_populate(&b->bdev, tt, &ctx);
		if (ret)
			return ret;
		ttm_tt_unpopulate(&b->bdev, tt);
	} while (--left);
	*ticks = rdtsc() - begin;
	return 0;
}

static int counting(struct seq_file *m)
{
	struct bench *b = bench_begin(&counting_funcs);
	u64 least = U64_MAX, ticks = 0;
	unsigned int i;
	int ret;

	if (IS_ERR(b))
		return PTR_ERR(b);
	b->sized.base.size = MOVED << PAGE_SHIFT;
	ret = ttm_tt_init(&b->tt, &b->sized, 0, ttm_cached, 0);
	for (i = 0; i < TRIES && !ret; i++) {
		ret = counting_loop(b, &ticks);
		least = min(least, ticks);
	}
	if (!ret)
		ttm_tt_fini(&b->tt);
	row(m, "ttm.accounting", least - empty_loop(TURNS), TURNS);
	bench_end(b);
	return ret;
}

/*
 * Frees the file of what was swapped out, at once. TTM has dropped its reference
 * when it populated; had it been the last, the file would be freed when the task
 * returns to user space, which is work of the same task, but behind the loop.
 */
static void free_content(struct file *content)
{
	__fput_sync(content);
}

static int swapping(struct seq_file *m)
{
	u64 nothing = ticks_of_nothing(), out = U64_MAX, in = U64_MAX, begin;
	struct bench *b = bench_begin(&plain_funcs);
	struct ttm_operation_ctx ctx = {};
	struct file *content;
	unsigned int i;
	int ret;

	if (IS_ERR(b))
		return PTR_ERR(b);
	b->sized.base.size = MOVED << PAGE_SHIFT;
	ret = ttm_tt_init(&b->tt, &b->sized, 0, ttm_cached, 0);
	if (ret)
		goto end;
	ret = ttm_tt_populate(&b->bdev, &b->tt, &ctx);
	for (i = 0; i < TRIES && !ret; i++) {
		begin = rdtsc();
		ret = ttm_tt_swapout(&b->bdev, &b->tt, GFP_KERNEL);
		out = min(out, rdtsc() - begin);
		if (ret != MOVED)
			break;
		content = get_file(b->tt.swap_storage);
		begin = rdtsc();
		ret = ttm_tt_populate(&b->bdev, &b->tt, &ctx);
		free_content(content);
		in = min(in, rdtsc() - begin);
	}
	ttm_tt_unpopulate(&b->bdev, &b->tt);
	ttm_tt_fini(&b->tt);
	row(m, "ttm.swapout", out - nothing, MOVED);
	row(m, "ttm.swapin", in - nothing, MOVED);
end:
	bench_end(b);
	return ret;
}

/* Buffer objects, for what can't be done without. */

static const struct ttm_place system_place = {
	.mem_type = TTM_PL_SYSTEM,
};

static struct ttm_placement system_placement = {
	.num_placement = 1,
	.placement = &system_place,
};

static void bench_bo_destroy(struct ttm_buffer_object *bo)
{
	drm_gem_private_object_fini(&bo->base);
	kfree(bo);
}

/* A populated object. One of type device can be backed up. */
static struct ttm_buffer_object *bench_bo(struct bench *b, unsigned long pages,
					  enum ttm_bo_type type)
{
	struct ttm_buffer_object *bo = kzalloc_obj(*bo);
	struct ttm_operation_ctx ctx = {};
	int ret;

	if (!bo)
		return ERR_PTR(-ENOMEM);
	drm_gem_private_object_init(NULL, &bo->base, pages << PAGE_SHIFT);
	/* Destroys it when it fails. */
	ret = ttm_bo_init_reserved(&b->bdev, bo, type, &system_placement, 1,
				   &ctx, NULL, NULL, bench_bo_destroy);
	if (ret)
		return ERR_PTR(ret);
	ret = ttm_bo_populate(bo, &ctx);
	dma_resv_unlock(bo->base.resv);
	if (ret) {
		ttm_bo_fini(bo);
		return ERR_PTR(ret);
	}
	return bo;
}

/* The reference of bo_bench.c. */
static noinline int bo_life_loop(struct bench *b, unsigned long pages,
				 unsigned long turns, u64 *ticks)
{
	u64 begin = rdtsc();

	do {
		struct ttm_buffer_object *bo;

		bo = bench_bo(b, pages, ttm_bo_type_kernel);
		if (IS_ERR(bo))
			return PTR_ERR(bo);
		dma_resv_lock(bo->base.resv, NULL);
		ttm_tt_unpopulate(&b->bdev, bo->ttm);
		dma_resv_unlock(bo->base.resv);
		ttm_bo_fini(bo);
	} while (--turns);
	*ticks = rdtsc() - begin;
	return 0;
}

static int measure_bo_life(struct seq_file *m, unsigned long pages)
{
	unsigned long i, turns = turns_for(pages);
	struct bench *b = bench_begin(&plain_funcs);
	u64 least = U64_MAX, ticks = 0;
	int ret = 0;

	if (IS_ERR(b))
		return PTR_ERR(b);
	for (i = 0; i < TRIES && !ret; i++) {
		ret = bo_life_loop(b, pages, turns, &ticks);
		least = min(least, ticks);
	}
	bench_end(b);
	seq_printf(m, "bench ttm.bo.life.%lu %lld %lu\n", pages,
		   (s64)(least - empty_loop(turns)), turns * pages);
	return ret;
}

static int backing_up(struct seq_file *m)
{
	u64 nothing = ticks_of_nothing(), out = U64_MAX, in = U64_MAX, begin;
	const struct ttm_bo_shrink_flags flags = {};
	struct bench *b = bench_begin(&backup_funcs);
	struct ttm_operation_ctx ctx = {};
	struct ttm_buffer_object *bo;
	unsigned int i;
	long ret = 0;

	if (IS_ERR(b))
		return PTR_ERR(b);
	for (i = 0; i < TRIES && !ret; i++) {
		bo = bench_bo(b, MOVED, ttm_bo_type_device);
		if (IS_ERR(bo)) {
			ret = PTR_ERR(bo);
			break;
		}
		dma_resv_lock(bo->base.resv, NULL);
		ret = ttm_tt_setup_backup(bo->ttm);
		if (!ret) {
			begin = rdtsc();
			ret = ttm_bo_shrink(&ctx, bo, flags);
			out = min(out, rdtsc() - begin);
			ret = ret == MOVED ? 0 : ret < 0 ? ret : -EIO;
		}
		if (!ret) {
			begin = rdtsc();
			ret = ttm_bo_populate(bo, &ctx);
			in = min(in, rdtsc() - begin);
		}
		dma_resv_unlock(bo->base.resv);
		ttm_bo_fini(bo);
	}
	row(m, "ttm.backup", out - nothing, MOVED);
	row(m, "ttm.restore", in - nothing, MOVED);
	bench_end(b);
	return ret;
}

static int ttm_bench_show(struct seq_file *m, void *unused)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < ARRAY_SIZE(sizes) && !ret; i++)
		ret = measure_life(m, "cached", sizes[i], ttm_cached, false);
	for (i = 0; i < ARRAY_SIZE(sizes) && !ret; i++)
		ret = measure_life(m, "wc_warm", sizes[i], ttm_write_combined,
				   false);
	for (i = 0; i < ARRAY_SIZE(sizes) && !ret; i++)
		ret = measure_life(m, "wc_cold", sizes[i], ttm_write_combined,
				   true);
	for (i = 0; i < ARRAY_SIZE(sizes) && !ret; i++)
		ret = measure_floor(m, sizes[i]);
	for (i = 0; i < ARRAY_SIZE(populated) && !ret; i++)
		ret = measure_populate(m, populated[i]);
	for (i = 0; i < ARRAY_SIZE(objects) && !ret; i++)
		ret = measure_bo_life(m, objects[i]);
	if (!ret)
		ret = counting(m);
	if (!ret)
		ret = swapping(m);
	if (!ret)
		ret = backing_up(m);
	/* An array of pointers. */
	row(m, "ttm.directory_bytes", 16384 * sizeof(struct page *), 16384);
	return ret;
}
DEFINE_SHOW_ATTRIBUTE(ttm_bench);

/*
 * Growth: the same with many objects alive. All turns together are 1000, so that
 * objects that are added come last among the least recently used.
 */

#define GROWTH_TURNS 10
#define GROWTH_TRIES 100

static int measure_growth(struct seq_file *m, struct bench *b,
			  struct ttm_buffer_object **bos, unsigned long count,
			  unsigned long *next)
{
	u64 nothing = ticks_of_nothing(), out = U64_MAX, in = U64_MAX;
	struct ttm_operation_ctx ctx = {};
	struct file *content;
	unsigned long i, turn;
	char name[40];
	int ret = 0;

	for (i = 0; i < GROWTH_TRIES; i++) {
		u64 this_out = 0, this_in = 0, begin;

		for (turn = 0; turn < GROWTH_TURNS; turn++) {
			/* The least recently used one is the next. */
			struct ttm_buffer_object *bo = bos[*next];

			*next = (*next + 1) % count;
			begin = rdtsc();
			ret = ttm_device_swapout(&b->bdev, &ctx, GFP_KERNEL);
			this_out += rdtsc() - begin - nothing;
			if (ret != 1)
				return ret < 0 ? ret : -EIO;
			dma_resv_lock(bo->base.resv, NULL);
			content = get_file(bo->ttm->swap_storage);
			begin = rdtsc();
			ret = ttm_bo_populate(bo, &ctx);
			free_content(content);
			this_in += rdtsc() - begin - nothing;
			dma_resv_unlock(bo->base.resv);
			if (ret)
				return ret;
		}
		out = min(out, this_out);
		in = min(in, this_in);
	}
	snprintf(name, sizeof(name), "ttm.growth.swapout.%lu", count);
	row(m, name, out, GROWTH_TURNS);
	snprintf(name, sizeof(name), "ttm.growth.populate.%lu", count);
	row(m, name, in, GROWTH_TURNS);
	return ret;
}

static int growth_show(struct seq_file *m, void *unused)
{
	static const unsigned long counts[] = { 1, 10, 1000, 100000 };
	const unsigned long most = counts[ARRAY_SIZE(counts) - 1];
	struct ttm_buffer_object **bos;
	unsigned long alive = 0, next = 0;
	unsigned int i;
	struct bench *b;
	int ret = 0;

	bos = kvcalloc(most, sizeof(*bos), GFP_KERNEL);
	if (!bos)
		return -ENOMEM;
	b = bench_begin(&plain_funcs);
	if (IS_ERR(b)) {
		kvfree(bos);
		return PTR_ERR(b);
	}
	for (i = 0; i < ARRAY_SIZE(counts) && !ret; i++) {
		while (alive < counts[i] && !ret) {
			struct ttm_buffer_object *bo;

			bo = bench_bo(b, 1, ttm_bo_type_kernel);
			if (IS_ERR(bo))
				ret = PTR_ERR(bo);
			else
				bos[alive++] = bo;
		}
		if (!ret)
			ret = measure_growth(m, b, bos, counts[i], &next);
		cond_resched();
	}
	while (alive)
		ttm_bo_fini(bos[--alive]);
	bench_end(b);
	kvfree(bos);
	return ret;
}
DEFINE_SHOW_ATTRIBUTE(growth);

static struct dentry *dir;

static int __init ttm_bench_init(void)
{
	dir = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_file("tt", 0400, dir, NULL, &ttm_bench_fops);
	debugfs_create_file("growth", 0400, dir, NULL, &growth_fops);
	return 0;
}

static void __exit ttm_bench_exit(void)
{
	debugfs_remove(dir);
}

module_init(ttm_bench_init);
module_exit(ttm_bench_exit);
MODULE_DESCRIPTION("Measures what page accounting costs in C TTM");
MODULE_LICENSE("GPL");
