// SPDX-License-Identifier: GPL-2.0-or-later

//! The table of the published layout of the user ABI, `reeve.h`, next to it.
//!
//! The module and the programs assert it of their bindings, and a test of the programs of what C
//! compilers see, for 64-bit and 32-bit callers. A change of any of these numbers breaks programs
//! that are already built.

#![deny(unsafe_code)]

/// Calls the macro `$then` with the table: each struct's size and its fields' offsets, and each
/// request's short name, number, argument and code.
macro_rules! abi_layout {
    ($then:ident) => {
        $then! {
            structs {
                reeve_version: 72 {
                    abi_major @ 0, abi_minor @ 4, features @ 8, page_size @ 16, devices @ 20, release @ 24,
                    reserved @ 56,
                }
                reeve_bo_create: 48 {
                    size @ 0, type_ @ 8, caching @ 12, flags @ 16, device @ 20, extra_pages @ 24, handle @ 28,
                    reserved @ 32,
                }
                reeve_bo: 32 {
                    handle @ 0, flags @ 4, pages @ 8, reserved @ 16,
                }
                reeve_bo_info: 88 {
                    handle @ 0, type_ @ 4, size @ 8, num_pages @ 16, pages_resident @ 24, pages_charged @ 32,
                    flags @ 40, caching @ 44, pin_count @ 48, device @ 52, reserved @ 56,
                }
                reeve_bo_rw: 56 {
                    handle @ 0, flags @ 4, offset @ 8, length @ 16, addr @ 24, done @ 32, reserved @ 40,
                }
                reeve_bo_mmap: 40 {
                    handle @ 0, flags @ 4, offset @ 8, length @ 16, reserved @ 24,
                }
                reeve_bo_dma_address: 48 {
                    handle @ 0, flags @ 4, page @ 8, address @ 16, pages @ 24, reserved @ 32,
                }
                reeve_stats: 192 {
                    pages_allocated @ 0, dma32_pages_allocated @ 8, pages_limit @ 16, dma32_pages_limit @ 24,
                    buffer_objects @ 32, populates @ 40, unpopulates @ 48, swapouts @ 56, swapins @ 64,
                    swapped_pages @ 72, overcommits @ 80, lock_violations @ 88, pool_pages @ 96,
                    page_pool_size @ 104, backups @ 112, restores @ 120, backed_up_pages @ 128,
                    faults @ 136, huge_faults @ 144, file_overcommits @ 152, reserved @ 160,
                }
                reeve_file_limit: 48 {
                    flags @ 0, pad @ 4, limit @ 8, pages_charged @ 16, overcommits @ 24, reserved @ 32,
                }
                reeve_log_mode: 16 {
                    flags @ 0, mode @ 4, supported @ 8, reserved @ 12,
                }
                reeve_bo_log_get: 32 {
                    handle @ 0, flags @ 4, pages @ 8, bitmap @ 16, dirty @ 24,
                }
                reeve_bo_log_clear: 40 {
                    handle @ 0, flags @ 4, first_page @ 8, num_pages @ 16, bitmap @ 24, cleared @ 32,
                }
                reeve_bo_log_info: 64 {
                    handle @ 0, mode @ 4, pages @ 8, dirty @ 16, write_faults @ 24, protections @ 32,
                    bytes @ 40, fences @ 48, reserved @ 56,
                }
                reeve_bo_log_fence: 32 {
                    handle @ 0, flags @ 4, fd @ 8, pad @ 12, reserved @ 16,
                }
                reeve_lock_sanity_case: 72 {
                    name @ 0, status @ 64, line @ 68,
                }
                reeve_lock_sanity: 1480 {
                    flags @ 0, count @ 4, failed @ 8, pad @ 12, duration_ns @ 16, reserved @ 24, cases @ 40,
                }
            }
            requests {
                version = REEVE_IOC_VERSION: REEVE_NR_VERSION(reeve_version) = 0xc048_e700;
                stats = REEVE_IOC_STATS: REEVE_NR_STATS(reeve_stats) = 0xc0c0_e701;
                bo_create = REEVE_IOC_BO_CREATE: REEVE_NR_BO_CREATE(reeve_bo_create) = 0xc030_e710;
                bo_destroy = REEVE_IOC_BO_DESTROY: REEVE_NR_BO_DESTROY(reeve_bo) = 0xc020_e711;
                bo_info = REEVE_IOC_BO_INFO: REEVE_NR_BO_INFO(reeve_bo_info) = 0xc058_e712;
                bo_next = REEVE_IOC_BO_NEXT: REEVE_NR_BO_NEXT(reeve_bo_info) = 0xc058_e713;
                bo_populate = REEVE_IOC_BO_POPULATE: REEVE_NR_BO_POPULATE(reeve_bo) = 0xc020_e714;
                bo_unpopulate = REEVE_IOC_BO_UNPOPULATE: REEVE_NR_BO_UNPOPULATE(reeve_bo) = 0xc020_e715;
                bo_pin = REEVE_IOC_BO_PIN: REEVE_NR_BO_PIN(reeve_bo) = 0xc020_e716;
                bo_unpin = REEVE_IOC_BO_UNPIN: REEVE_NR_BO_UNPIN(reeve_bo) = 0xc020_e717;
                bo_swapout = REEVE_IOC_BO_SWAPOUT: REEVE_NR_BO_SWAPOUT(reeve_bo) = 0xc020_e718;
                bo_backup = REEVE_IOC_BO_BACKUP: REEVE_NR_BO_BACKUP(reeve_bo) = 0xc020_e71b;
                bo_restore = REEVE_IOC_BO_RESTORE: REEVE_NR_BO_RESTORE(reeve_bo) = 0xc020_e71c;
                bo_read = REEVE_IOC_BO_READ: REEVE_NR_BO_READ(reeve_bo_rw) = 0xc038_e719;
                bo_write = REEVE_IOC_BO_WRITE: REEVE_NR_BO_WRITE(reeve_bo_rw) = 0xc038_e71a;
                bo_mmap = REEVE_IOC_BO_MMAP: REEVE_NR_BO_MMAP(reeve_bo_mmap) = 0xc028_e71d;
                file_limit = REEVE_IOC_FILE_LIMIT: REEVE_NR_FILE_LIMIT(reeve_file_limit) = 0xc030_e71e;
                bo_dma_address = REEVE_IOC_BO_DMA_ADDRESS: REEVE_NR_BO_DMA_ADDRESS(reeve_bo_dma_address) = 0xc030_e71f;
                log_mode = REEVE_IOC_LOG_MODE: REEVE_NR_LOG_MODE(reeve_log_mode) = 0xc010_e720;
                bo_log_start = REEVE_IOC_BO_LOG_START: REEVE_NR_BO_LOG_START(reeve_bo) = 0xc020_e721;
                bo_log_stop = REEVE_IOC_BO_LOG_STOP: REEVE_NR_BO_LOG_STOP(reeve_bo) = 0xc020_e722;
                bo_log_get = REEVE_IOC_BO_LOG_GET: REEVE_NR_BO_LOG_GET(reeve_bo_log_get) = 0xc020_e723;
                bo_log_clear = REEVE_IOC_BO_LOG_CLEAR: REEVE_NR_BO_LOG_CLEAR(reeve_bo_log_clear) = 0xc028_e724;
                bo_log_info = REEVE_IOC_BO_LOG_INFO: REEVE_NR_BO_LOG_INFO(reeve_bo_log_info) = 0xc040_e725;
                bo_log_fence = REEVE_IOC_BO_LOG_FENCE: REEVE_NR_BO_LOG_FENCE(reeve_bo_log_fence) = 0xc020_e726;
                lock_sanity = REEVE_IOC_LOCK_SANITY: REEVE_NR_LOCK_SANITY(reeve_lock_sanity) = 0xc5c8_e730;
            }
        }
    };
}
pub(crate) use abi_layout;
