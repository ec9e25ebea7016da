// SPDX-License-Identifier: GPL-2.0

//! The structs, constants and request codes of the user ABI.
#![deny(unsafe_code)]

use crate::abstractions::bindings;

pub(crate) use crate::abstractions::uapi::requests;

pub(crate) use bindings::{
    reeve_bo as Bo,
    reeve_bo_create as BoCreate,
    reeve_bo_dma_address as BoDmaAddress,
    reeve_bo_info as BoInfo,
    reeve_bo_log_clear as BoLogClear,
    reeve_bo_log_fence as BoLogFence,
    reeve_bo_log_get as BoLogGet,
    reeve_bo_log_info as BoLogInfo,
    reeve_bo_mmap as BoMmap,
    reeve_bo_rw as BoRw,
    reeve_file_limit as FileLimit,
    reeve_lock_sanity as LockSanity,
    reeve_log_mode as LogMode,
    reeve_stats as Stats,
    reeve_version as Version, //
};

/// Constants of the ABI, under their names in `reeve.h`.
pub(crate) mod consts {
    pub(crate) use super::bindings::{
        REEVE_ABI_MAJOR,
        REEVE_ABI_MINOR,
        REEVE_BO_BACKUP_PURGE,
        REEVE_BO_BACKUP_WRITEBACK,
        REEVE_BO_TYPE_DEVICE,
        REEVE_BO_TYPE_KERNEL,
        REEVE_BO_TYPE_SG,
        REEVE_CACHING_CACHED,
        REEVE_CACHING_UNCACHED,
        REEVE_CACHING_WRITE_COMBINED,
        REEVE_FEATURE_BACKUP,
        REEVE_FEATURE_DIRTY_LOG,
        REEVE_FEATURE_DMA_ADDRESSES,
        REEVE_FEATURE_FILE_LIMIT,
        REEVE_FEATURE_LOCK_ORDER,
        REEVE_FEATURE_LOCK_SANITY,
        REEVE_FEATURE_LOG_FENCE,
        REEVE_FEATURE_MMAP,
        REEVE_FEATURE_PAGE_ACCOUNTING,
        REEVE_FEATURE_PAGE_POOL,
        REEVE_FEATURE_SHMEM,
        REEVE_FILE_LIMIT_SET,
        REEVE_LOG_MODE_SET, //
    };
}

/// The bits of `reeve_bo_info::flags` are those that the rules derive.
const _: () = {
    use crate::bo::rules::object::flags;

    assert!(bindings::REEVE_BO_POPULATED == flags::POPULATED);
    assert!(bindings::REEVE_BO_SWAPPED == flags::SWAPPED);
    assert!(bindings::REEVE_BO_BACKED_UP == flags::BACKED_UP);
    assert!(bindings::REEVE_BO_ZERO_ALLOC == flags::ZERO_ALLOC);
    assert!(bindings::REEVE_BO_EXTERNAL == flags::EXTERNAL);
    assert!(bindings::REEVE_BO_EXTERNAL_MAPPABLE == flags::EXTERNAL_MAPPABLE);
    assert!(bindings::REEVE_BO_DECRYPTED == flags::DECRYPTED);
    assert!(bindings::REEVE_BO_ON_LRU == flags::ON_LRU);
    assert!(bindings::REEVE_BO_SHMEM == flags::SHMEM);
    assert!(bindings::REEVE_BO_DMA32 == flags::DMA32);
    assert!(bindings::REEVE_BO_DMA_ADDRESSES == flags::DMA_ADDRESSES);
    assert!(bindings::REEVE_BO_LOGGING == flags::LOGGING);
};

/// The modes of dirty logs are those of the rules.
const _: () = {
    use crate::bo::rules::dirty::Mode;

    assert!(bindings::REEVE_LOG_LEGACY == Mode::Legacy.bits());
    assert!(bindings::REEVE_LOG_MANUAL == Mode::Manual.bits());
    assert!(
        bindings::REEVE_LOG_MANUAL | bindings::REEVE_LOG_INITIALLY_SET == Mode::InitiallySet.bits()
    );
    assert!(bindings::REEVE_LOG_MANUAL | bindings::REEVE_LOG_INITIALLY_SET == Mode::SUPPORTED);
};
