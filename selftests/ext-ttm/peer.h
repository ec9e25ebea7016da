/* SPDX-License-Identifier: GPL-2.0 */
/*
 * /dev/reeve_ttm: C TTM, driven by the calls that /dev/reeve has, for a test
 * that compares the two. The test has this text in Rust: its size is part of
 * the call number, so a difference is ENOTTY.
 */
#ifndef REEVE_TTM_PEER_H
#define REEVE_TTM_PEER_H

#include <linux/ioctl.h>
#include <linux/types.h>

enum peer_op {
	PEER_RESET,	/* no objects, new devices */
	PEER_LOOK,
	PEER_CREATE,
	PEER_DESTROY,
	PEER_POPULATE,
	PEER_UNPOPULATE,
	PEER_PIN,
	PEER_UNPIN,
	PEER_SWAPOUT,
	PEER_BACKUP,
	PEER_WRITEBACK,
	PEER_PURGE,
	PEER_RESTORE,
	PEER_READ,
	PEER_WRITE,
};

/* struct peer_call::create_flags */
#define PEER_ZERO_ALLOC	1
#define PEER_MAPPABLE	2

/**
 * struct peer_call - one call
 * @op: in: enum peer_op
 * @id: in: which object; CREATE: one that is free
 * @device: in: CREATE: 0, or 1 for one with a DMA32 pool
 * @type: in: CREATE: enum ttm_bo_type
 * @caching: in: CREATE: enum ttm_caching
 * @create_flags: in: CREATE
 * @extra_pages: in: CREATE
 * @page_flags: out: TTM_TT_FLAG_*
 * @size: in: CREATE: bytes
 * @offset: in: READ, WRITE
 * @length: in: READ, WRITE
 * @addr: in: READ, WRITE: user memory
 * @result: out: pages that changed place, or a negative errno
 * @num_pages: out: pages it has when populated
 * @pages_held: out: pages it holds in memory
 * @pins: out: pins in force
 * @pages_allocated: out: the counter
 * @dma32_pages_allocated: out: the counter
 * @buffer_objects: out: the counter
 */
struct peer_call {
	__u32 op;
	__u32 id;
	__u32 device;
	__u32 type;
	__u32 caching;
	__u32 create_flags;
	__u32 extra_pages;
	__u32 page_flags;
	__u64 size;
	__u64 offset;
	__u64 length;
	__u64 addr;
	__s64 result;
	__u64 num_pages;
	__u64 pages_held;
	__u64 pins;
	__s64 pages_allocated;
	__s64 dma32_pages_allocated;
	__s64 buffer_objects;
};

#define PEER_CALL _IOWR(0xE8, 0, struct peer_call)

#define PEER_OBJECTS 64
#define PEER_DEVICES 2
#define PEER_MAX_SIZE (64ULL << 20)

#ifdef __KERNEL__
#include <drm/ttm/ttm_bo.h>
#include <drm/ttm/ttm_device.h>

/**
 * struct peer_object - a buffer object, and what its TT is to be like
 * @bo: TTM's part
 * @extra_pages: behind the object's own
 * @caching: of its pages
 * @mappable: external, with pages all the same
 */
struct peer_object {
	struct ttm_buffer_object bo;
	u32 extra_pages;
	enum ttm_caching caching;
	bool mappable;
};

extern const struct ttm_device_funcs peer_funcs;

struct peer_object *peer_create(struct drm_device *drm, struct ttm_device *dev,
				const struct peer_call *call);
void peer_destroy(struct peer_object *obj);
long peer_do(struct peer_object *obj, u32 op);
long peer_copy(struct peer_object *obj, u64 offset, void *buffer, u64 length,
	       bool write);
void peer_look(struct peer_object *obj, struct peer_call *call);
#endif

#endif
