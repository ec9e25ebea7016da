/* SPDX-License-Identifier: GPL-2.0 */
/*
 * /dev/reeve_ttm: C TTM, driven by the calls that /dev/reeve has, for a test
 * that compares the two; and /dev/reeve_through: Reeve by reeve/bo.h, driven
 * by the same calls. The test has this text in Rust: its size is part of the
 * call number, so a difference is ENOTTY.
 */
#ifndef REEVE_TTM_REFERENCE_H
#define REEVE_TTM_REFERENCE_H

#include <linux/ioctl.h>
#include <linux/types.h>

enum reference_op {
	REFERENCE_RESET,	/* no objects, new devices */
	REFERENCE_LOOK,
	REFERENCE_CREATE,
	REFERENCE_DESTROY,
	REFERENCE_POPULATE,
	REFERENCE_UNPOPULATE,
	REFERENCE_PIN,
	REFERENCE_UNPIN,
	REFERENCE_SWAPOUT,
	REFERENCE_BACKUP,
	REFERENCE_WRITEBACK,
	REFERENCE_PURGE,
	REFERENCE_RESTORE,
	REFERENCE_READ,
	REFERENCE_WRITE,
};

/* struct reference_call::create_flags */
#define REFERENCE_ZERO_ALLOC	1
#define REFERENCE_MAPPABLE	2
/* Only of through.c; C TTM has its DMA32 by @device. */
#define REFERENCE_DMA32		4
#define REFERENCE_SHMEM		8
#define REFERENCE_DMA_ADDRESSES	16

/**
 * struct reference_call - one call
 * @op: in: enum reference_op
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
struct reference_call {
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

#define REFERENCE_CALL _IOWR(0xE8, 0, struct reference_call)

#define REFERENCE_OBJECTS 64
#define REFERENCE_DEVICES 2
#define REFERENCE_MAX_SIZE (64ULL << 20)

#ifdef __KERNEL__
#include <drm/ttm/ttm_bo.h>
#include <drm/ttm/ttm_device.h>

/**
 * struct reference_object - a buffer object, and what its TT is to be like
 * @bo: TTM's part
 * @extra_pages: behind the object's own
 * @caching: of its pages
 * @mappable: external, with pages all the same
 */
struct reference_object {
	struct ttm_buffer_object bo;
	u32 extra_pages;
	enum ttm_caching caching;
	bool mappable;
};

extern const struct ttm_device_funcs reference_funcs;

struct reference_object *reference_create(struct drm_device *drm, struct ttm_device *dev,
					  const struct reference_call *call);
void reference_destroy(struct reference_object *obj);
long reference_do(struct reference_object *obj, u32 op);
long reference_copy(struct reference_object *obj, u64 offset, void *buffer, u64 length,
		    bool write);
void reference_look(struct reference_object *obj, struct reference_call *call);
#endif

#endif
