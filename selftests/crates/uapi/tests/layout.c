// SPDX-License-Identifier: GPL-2.0
/*
 * The published layout of the user ABI, asserted by the C compiler.
 *
 * The same numbers stand in crates/uapi/src/layout.rs and raw.rs; a test there
 * compiles this file for 64-bit and for 32-bit callers, who must agree.
 */
#include <stddef.h>

#include "../../../../rust/uapi/reeve.h"

#define SIZE(type, bytes) \
	_Static_assert(sizeof(struct type) == (bytes), "sizeof " #type)
#define OFFSET(type, field, bytes) \
	_Static_assert(offsetof(struct type, field) == (bytes), #type "." #field)
#define REQUEST(name, number) \
	_Static_assert((unsigned int)(name) == (number), #name)

SIZE(reeve_version, 72);
OFFSET(reeve_version, abi_major, 0);
OFFSET(reeve_version, abi_minor, 4);
OFFSET(reeve_version, features, 8);
OFFSET(reeve_version, page_size, 16);
OFFSET(reeve_version, devices, 20);
OFFSET(reeve_version, release, 24);
OFFSET(reeve_version, reserved, 56);

SIZE(reeve_bo_create, 48);
OFFSET(reeve_bo_create, size, 0);
OFFSET(reeve_bo_create, type, 8);
OFFSET(reeve_bo_create, caching, 12);
OFFSET(reeve_bo_create, flags, 16);
OFFSET(reeve_bo_create, device, 20);
OFFSET(reeve_bo_create, extra_pages, 24);
OFFSET(reeve_bo_create, handle, 28);
OFFSET(reeve_bo_create, reserved, 32);

SIZE(reeve_bo, 32);
OFFSET(reeve_bo, handle, 0);
OFFSET(reeve_bo, flags, 4);
OFFSET(reeve_bo, pages, 8);
OFFSET(reeve_bo, reserved, 16);

SIZE(reeve_bo_info, 88);
OFFSET(reeve_bo_info, handle, 0);
OFFSET(reeve_bo_info, type, 4);
OFFSET(reeve_bo_info, size, 8);
OFFSET(reeve_bo_info, num_pages, 16);
OFFSET(reeve_bo_info, pages_resident, 24);
OFFSET(reeve_bo_info, pages_charged, 32);
OFFSET(reeve_bo_info, flags, 40);
OFFSET(reeve_bo_info, caching, 44);
OFFSET(reeve_bo_info, pin_count, 48);
OFFSET(reeve_bo_info, device, 52);
OFFSET(reeve_bo_info, reserved, 56);

SIZE(reeve_bo_rw, 56);
OFFSET(reeve_bo_rw, handle, 0);
OFFSET(reeve_bo_rw, flags, 4);
OFFSET(reeve_bo_rw, offset, 8);
OFFSET(reeve_bo_rw, length, 16);
OFFSET(reeve_bo_rw, addr, 24);
OFFSET(reeve_bo_rw, done, 32);
OFFSET(reeve_bo_rw, reserved, 40);

SIZE(reeve_bo_mmap, 40);
OFFSET(reeve_bo_mmap, handle, 0);
OFFSET(reeve_bo_mmap, flags, 4);
OFFSET(reeve_bo_mmap, offset, 8);
OFFSET(reeve_bo_mmap, length, 16);
OFFSET(reeve_bo_mmap, reserved, 24);

SIZE(reeve_bo_dma_address, 48);
OFFSET(reeve_bo_dma_address, handle, 0);
OFFSET(reeve_bo_dma_address, flags, 4);
OFFSET(reeve_bo_dma_address, page, 8);
OFFSET(reeve_bo_dma_address, address, 16);
OFFSET(reeve_bo_dma_address, pages, 24);
OFFSET(reeve_bo_dma_address, reserved, 32);

SIZE(reeve_stats, 192);
OFFSET(reeve_stats, pages_allocated, 0);
OFFSET(reeve_stats, dma32_pages_allocated, 8);
OFFSET(reeve_stats, pages_limit, 16);
OFFSET(reeve_stats, dma32_pages_limit, 24);
OFFSET(reeve_stats, buffer_objects, 32);
OFFSET(reeve_stats, populates, 40);
OFFSET(reeve_stats, unpopulates, 48);
OFFSET(reeve_stats, swapouts, 56);
OFFSET(reeve_stats, swapins, 64);
OFFSET(reeve_stats, swapped_pages, 72);
OFFSET(reeve_stats, overcommits, 80);
OFFSET(reeve_stats, lock_violations, 88);
OFFSET(reeve_stats, pool_pages, 96);
OFFSET(reeve_stats, page_pool_size, 104);
OFFSET(reeve_stats, backups, 112);
OFFSET(reeve_stats, restores, 120);
OFFSET(reeve_stats, backed_up_pages, 128);
OFFSET(reeve_stats, faults, 136);
OFFSET(reeve_stats, huge_faults, 144);
OFFSET(reeve_stats, file_overcommits, 152);
OFFSET(reeve_stats, reserved, 160);

SIZE(reeve_file_limit, 48);
OFFSET(reeve_file_limit, flags, 0);
OFFSET(reeve_file_limit, pad, 4);
OFFSET(reeve_file_limit, limit, 8);
OFFSET(reeve_file_limit, pages_charged, 16);
OFFSET(reeve_file_limit, overcommits, 24);
OFFSET(reeve_file_limit, reserved, 32);

SIZE(reeve_lock_sanity_case, 72);
OFFSET(reeve_lock_sanity_case, name, 0);
OFFSET(reeve_lock_sanity_case, status, 64);
OFFSET(reeve_lock_sanity_case, line, 68);

SIZE(reeve_lock_sanity, 1480);
OFFSET(reeve_lock_sanity, flags, 0);
OFFSET(reeve_lock_sanity, count, 4);
OFFSET(reeve_lock_sanity, failed, 8);
OFFSET(reeve_lock_sanity, pad, 12);
OFFSET(reeve_lock_sanity, duration_ns, 16);
OFFSET(reeve_lock_sanity, reserved, 24);
OFFSET(reeve_lock_sanity, cases, 40);

REQUEST(REEVE_IOC_VERSION, 0xc048e700u);
REQUEST(REEVE_IOC_STATS, 0xc0c0e701u);
REQUEST(REEVE_IOC_BO_CREATE, 0xc030e710u);
REQUEST(REEVE_IOC_BO_DESTROY, 0xc020e711u);
REQUEST(REEVE_IOC_BO_INFO, 0xc058e712u);
REQUEST(REEVE_IOC_BO_NEXT, 0xc058e713u);
REQUEST(REEVE_IOC_BO_POPULATE, 0xc020e714u);
REQUEST(REEVE_IOC_BO_UNPOPULATE, 0xc020e715u);
REQUEST(REEVE_IOC_BO_PIN, 0xc020e716u);
REQUEST(REEVE_IOC_BO_UNPIN, 0xc020e717u);
REQUEST(REEVE_IOC_BO_SWAPOUT, 0xc020e718u);
REQUEST(REEVE_IOC_BO_READ, 0xc038e719u);
REQUEST(REEVE_IOC_BO_WRITE, 0xc038e71au);
REQUEST(REEVE_IOC_BO_MMAP, 0xc028e71du);
REQUEST(REEVE_IOC_FILE_LIMIT, 0xc030e71eu);
REQUEST(REEVE_IOC_BO_DMA_ADDRESS, 0xc030e71fu);
REQUEST(REEVE_IOC_LOCK_SANITY, 0xc5c8e730u);
