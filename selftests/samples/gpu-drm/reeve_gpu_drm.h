/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/* What programs ask the sample DRM driver for, on its render node. */
#ifndef _REEVE_GPU_DRM_H
#define _REEVE_GPU_DRM_H

#include <drm/drm.h>

/* Eviction drops the content rather than keeping it. */
#define REEVE_GPU_PURGEABLE	(1U << 0)

/**
 * struct drm_reeve_gpu_create - make an object; DRM_IOCTL_GEM_CLOSE closes it
 * @size: its bytes, a multiple of the page size
 * @flags: REEVE_GPU_PURGEABLE
 * @handle: returned
 * @offset: where mmap() of the node maps it, returned
 */
struct drm_reeve_gpu_create {
	__u64 size;
	__u32 flags;
	__u32 handle;
	__u64 offset;
};

/**
 * struct drm_reeve_gpu_sum - have the GPU sum all bytes of an object up
 * @handle: the object
 * @pad: 0
 * @sum: returned
 */
struct drm_reeve_gpu_sum {
	__u32 handle;
	__u32 pad;
	__u64 sum;
};

/**
 * struct drm_reeve_gpu_madvise - say whether the content of an object is needed
 * @handle: the object
 * @purgeable: 1: it may be dropped; 0: it is needed
 * @retained: whether it is there still, returned
 * @pad: 0
 */
struct drm_reeve_gpu_madvise {
	__u32 handle;
	__u32 purgeable;
	__u32 retained;
	__u32 pad;
};

#define DRM_REEVE_GPU_CREATE	0x00
#define DRM_REEVE_GPU_SUM	0x01
#define DRM_REEVE_GPU_MADVISE	0x02

#define DRM_IOCTL_REEVE_GPU_CREATE \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_REEVE_GPU_CREATE, \
		 struct drm_reeve_gpu_create)
#define DRM_IOCTL_REEVE_GPU_SUM \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_REEVE_GPU_SUM, struct drm_reeve_gpu_sum)
#define DRM_IOCTL_REEVE_GPU_MADVISE \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_REEVE_GPU_MADVISE, \
		 struct drm_reeve_gpu_madvise)

#endif /* _REEVE_GPU_DRM_H */
