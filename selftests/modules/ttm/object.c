// SPDX-License-Identifier: GPL-2.0
/*
 * C TTM's buffer objects, used as a driver uses them: reserved, in system
 * memory, in the LRU. What TTM leaves to drivers is here, too: to restore what
 * is backed up, and not to hand a pinned object to the shrinking functions.
 *
 * An object's place in the LRU changes when an operation uses it, and not when
 * there was nothing to do or it was refused.
 */
#include <linux/highmem.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>

#include <drm/drm_gem.h>
#include <drm/ttm/ttm_backup.h>
#include <drm/ttm/ttm_placement.h>
#include <drm/ttm/ttm_tt.h>

#include "reference.h"

static struct reference_object *to_reference(struct ttm_buffer_object *bo)
{
	return container_of(bo, struct reference_object, bo);
}

/* Pages that are not in this system's memory. */
static bool is_elsewhere(const struct ttm_tt *tt)
{
	return (tt->page_flags & TTM_TT_FLAG_EXTERNAL) &&
	       !(tt->page_flags & TTM_TT_FLAG_EXTERNAL_MAPPABLE);
}

static struct ttm_tt *tt_create(struct ttm_buffer_object *bo, u32 page_flags)
{
	struct reference_object *obj = to_reference(bo);
	struct ttm_tt *tt = kzalloc_obj(*tt);
	int ret;

	if (!tt)
		return NULL;
	if (obj->mappable)
		page_flags |= TTM_TT_FLAG_EXTERNAL_MAPPABLE;
	tt->page_flags = page_flags;
	if (is_elsewhere(tt))
		ret = ttm_sg_tt_init(tt, bo, page_flags, obj->caching);
	else
		ret = ttm_tt_init(tt, bo, page_flags, obj->caching,
				  obj->extra_pages);
	if (!ret)
		return tt;
	kfree(tt);
	return NULL;
}

static int tt_populate(struct ttm_device *dev, struct ttm_tt *tt,
		       struct ttm_operation_ctx *ctx)
{
	if (is_elsewhere(tt))
		return 0;
	if (ttm_tt_is_backed_up(tt))
		return ttm_tt_restore(dev, tt, ctx);
	return ttm_pool_alloc(&dev->pool, tt, ctx);
}

static void tt_unpopulate(struct ttm_device *dev, struct ttm_tt *tt)
{
	if (!is_elsewhere(tt))
		ttm_pool_free(&dev->pool, tt);
}

static void tt_destroy(struct ttm_device *dev, struct ttm_tt *tt)
{
	ttm_tt_fini(tt);
	kfree(tt);
}

static int bo_move(struct ttm_buffer_object *bo, bool evict,
		   struct ttm_operation_ctx *ctx, struct ttm_resource *new_mem,
		   struct ttm_place *hop)
{
	ttm_bo_move_null(bo, new_mem);
	return 0;
}

static void bo_evict_flags(struct ttm_buffer_object *bo,
			   struct ttm_placement *placement)
{
}

const struct ttm_device_funcs reference_funcs = {
	.ttm_tt_create = tt_create,
	.ttm_tt_populate = tt_populate,
	.ttm_tt_unpopulate = tt_unpopulate,
	.ttm_tt_destroy = tt_destroy,
	.eviction_valuable = ttm_bo_eviction_valuable,
	.evict_flags = bo_evict_flags,
	.move = bo_move,
};

static void bo_destroy(struct ttm_buffer_object *bo)
{
	drm_gem_object_release(&bo->base);
	kfree(to_reference(bo));
}

struct reference_object *reference_create(struct drm_device *drm, struct ttm_device *dev,
					  const struct reference_call *call)
{
	const struct ttm_place place = { .mem_type = TTM_PL_SYSTEM };
	struct ttm_placement placement = { .num_placement = 1, .placement = &place };
	struct ttm_operation_ctx ctx = { };
	struct reference_object *obj = kzalloc_obj(*obj);
	struct ttm_buffer_object *bo;
	int ret;

	if (!obj)
		return ERR_PTR(-ENOMEM);
	obj->extra_pages = call->extra_pages;
	obj->caching = call->caching;
	obj->mappable = call->create_flags & REFERENCE_MAPPABLE;
	bo = &obj->bo;
	drm_gem_private_object_init(drm, &bo->base, PAGE_ALIGN(call->size));
	bo->base.size = call->size;
	bo->bdev = dev;
	bo->type = call->type;

	/* Placing an object makes it a TT that is cleared; who has one keeps it. */
	dma_resv_lock(bo->base.resv, NULL);
	ret = ttm_tt_create(bo, call->create_flags & REFERENCE_ZERO_ALLOC);
	dma_resv_unlock(bo->base.resv);
	if (ret) {
		bo_destroy(bo);
		return ERR_PTR(ret);
	}
	ret = ttm_bo_init_reserved(dev, bo, call->type, &placement, 0, &ctx,
				   NULL, NULL, bo_destroy);
	if (ret)
		return ERR_PTR(ret);
	ttm_bo_unreserve(bo);
	return obj;
}

/* TTM ends external objects in a worker. */
void reference_destroy(struct reference_object *obj)
{
	struct ttm_device *dev = obj->bo.bdev;

	dma_resv_lock(obj->bo.base.resv, NULL);
	while (obj->bo.pin_count)
		ttm_bo_unpin(&obj->bo);
	dma_resv_unlock(obj->bo.base.resv);
	ttm_bo_fini(&obj->bo);
	flush_workqueue(dev->wq);
}

/* After an unpopulate or a swapout the directory still has what it had. */
static u64 pages_held(const struct ttm_tt *tt)
{
	const u32 here = TTM_TT_FLAG_PRIV_POPULATED | TTM_TT_FLAG_BACKED_UP;
	u64 held = 0;
	u32 i;

	if (is_elsewhere(tt) || !(tt->page_flags & here))
		return 0;
	for (i = 0; i < tt->num_pages; i++)
		held += tt->pages[i] && !ttm_backup_page_ptr_is_handle(tt->pages[i]);
	return held;
}

static long do_populate(struct ttm_buffer_object *bo)
{
	struct ttm_operation_ctx ctx = { };
	u64 before = pages_held(bo->ttm);
	int ret = ttm_bo_populate(bo, &ctx);

	return ret ?: pages_held(bo->ttm) - before;
}

static long do_unpopulate(struct ttm_buffer_object *bo)
{
	u64 before = pages_held(bo->ttm);

	ttm_tt_unpopulate(bo->bdev, bo->ttm);
	return before - pages_held(bo->ttm);
}

/* What global swapout does with the object that it has chosen. */
static long do_swapout(struct ttm_buffer_object *bo)
{
	if (bo->ttm->page_flags & TTM_TT_FLAG_EXTERNAL)
		return -EINVAL;
	if (!ttm_tt_is_populated(bo->ttm))
		return 0;
	if (bo->pin_count)
		return -EBUSY;
	ttm_bo_unmap_virtual(bo);
	return ttm_tt_swapout(bo->bdev, bo->ttm, GFP_KERNEL);
}

static int set_up_backup(struct ttm_tt *tt)
{
	struct file *file;

	if (tt->backup)
		return 0;
	if (tt->page_flags & TTM_TT_FLAG_EXTERNAL_MAPPABLE)
		return ttm_tt_setup_backup(tt);
	/* That warns about others: their drivers set the field. */
	file = shmem_file_setup("reeve ttm reference", (loff_t)tt->num_pages << PAGE_SHIFT,
				EMPTY_VMA_FLAGS);
	if (IS_ERR(file))
		return PTR_ERR(file);
	tt->backup = file;
	return 0;
}

static long do_backup(struct ttm_buffer_object *bo, u32 op)
{
	struct ttm_bo_shrink_flags flags = {
		.purge = op == REFERENCE_PURGE,
		.writeback = op == REFERENCE_WRITEBACK,
	};
	struct ttm_operation_ctx ctx = { };
	struct ttm_tt *tt = bo->ttm;
	long ret;

	if (is_elsewhere(tt))
		return -EINVAL;
	if (!ttm_tt_is_populated(tt))
		return 0;
	if (!ttm_bo_shrink_suitable(bo, &ctx))
		return -EBUSY;
	ret = set_up_backup(tt);
	if (!ret)
		ret = ttm_bo_shrink(&ctx, bo, flags);
	if (ret > 0 && flags.purge)
		ttm_tt_clear_backed_up(tt);
	return ret;
}

long reference_do(struct reference_object *obj, u32 op)
{
	struct ttm_buffer_object *bo = &obj->bo;
	bool used = false;
	long ret = 0;

	dma_resv_lock(bo->base.resv, NULL);
	switch (op) {
	case REFERENCE_POPULATE:
		ret = do_populate(bo);
		used = ret >= 0;
		break;
	case REFERENCE_RESTORE:
		if (ttm_tt_is_backed_up(bo->ttm)) {
			ret = do_populate(bo);
			used = ret > 0;
		}
		break;
	case REFERENCE_UNPOPULATE:
		ret = do_unpopulate(bo);
		used = ret > 0;
		break;
	case REFERENCE_PIN:
		ttm_bo_pin(bo);
		break;
	case REFERENCE_UNPIN:
		ttm_bo_unpin(bo);
		break;
	case REFERENCE_SWAPOUT:
		ret = do_swapout(bo);
		used = ret > 0;
		break;
	case REFERENCE_BACKUP:
	case REFERENCE_WRITEBACK:
	case REFERENCE_PURGE:
		ret = do_backup(bo, op);
		used = ret > 0;
		break;
	default:
		ret = -ENOTTY;
	}
	if (used)
		ttm_bo_unreserve(bo);
	else
		dma_resv_unlock(bo->base.resv);
	return ret;
}

static void copy_pages(struct ttm_tt *tt, u64 offset, u8 *buffer, u64 length,
		       bool write)
{
	while (length) {
		u64 at = offset_in_page(offset);
		u64 part = min_t(u64, length, PAGE_SIZE - at);
		u8 *page = kmap_local_page(tt->pages[offset >> PAGE_SHIFT]);

		if (write)
			memcpy(page + at, buffer, part);
		else
			memcpy(buffer, page + at, part);
		kunmap_local(page);
		offset += part;
		buffer += part;
		length -= part;
	}
}

long reference_copy(struct reference_object *obj, u64 offset, void *buffer, u64 length,
		    bool write)
{
	struct ttm_buffer_object *bo = &obj->bo;
	long ret;

	if (is_elsewhere(bo->ttm) || offset + length > bo->base.size)
		return -EINVAL;
	dma_resv_lock(bo->base.resv, NULL);
	ret = do_populate(bo);
	if (ret >= 0)
		copy_pages(bo->ttm, offset, buffer, length, write);
	ttm_bo_unreserve(bo);
	return ret;
}

void reference_look(struct reference_object *obj, struct reference_call *call)
{
	struct ttm_buffer_object *bo = &obj->bo;

	dma_resv_lock(bo->base.resv, NULL);
	call->page_flags = bo->ttm->page_flags;
	call->num_pages = bo->ttm->num_pages;
	call->pages_held = pages_held(bo->ttm);
	call->pins = bo->pin_count;
	dma_resv_unlock(bo->base.resv);
}
