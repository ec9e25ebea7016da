// SPDX-License-Identifier: GPL-2.0

//! The published layout, asserted at compile time.
//!
//! `selftests/crates/uapi/tests/layout.c` asserts the same numbers from C, for 64-bit and 32-bit callers. A change
//! of any of them breaks programs that are already built.

use std::mem::offset_of;

use crate::sys::*;

macro_rules! layout {
    ($($name:ident: $size:literal { $($field:ident @ $offset:literal),* $(,)? })*) => {
        $(
            const _: () = {
                assert!(size_of::<$name>() == $size, concat!(stringify!($name), ": size"));
                assert!(align_of::<$name>() <= 8, concat!(stringify!($name), ": alignment"));
                $(
                    assert!(
                        offset_of!($name, $field) == $offset,
                        concat!(stringify!($name), ": offset of ", stringify!($field))
                    );
                )*
            };
        )*
    };
}

layout! {
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
    reeve_lock_sanity_case: 72 {
        name @ 0, status @ 64, line @ 68,
    }
    reeve_lock_sanity: 1480 {
        flags @ 0, count @ 4, failed @ 8, pad @ 12, duration_ns @ 16, reserved @ 24, cases @ 40,
    }
}
