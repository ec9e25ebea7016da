// SPDX-License-Identifier: GPL-2.0

//! Pages mapped for the kernel for a moment, and how mappings treat pages.
//!
//! C header: [`include/linux/highmem.h`](srctree/include/linux/highmem.h)

use super::bindings as shim;
use crate::bo::rules::page_kind::Caching;
use core::ptr::NonNull;
use kernel::bindings;

/// How a mapping treats a page: all mappings of a page have to agree.
///
/// C original: `ttm_prot_from_caching()`, `ttm_io_prot()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Protection {
    caching: Caching,
    decrypted: bool,
}

impl Protection {
    /// That of any memory.
    pub(crate) const PLAIN: Self = Self::of(Caching::Cached, false);

    /// That of pages that are cached so; `decrypted`: they are shared with the machine that a
    /// confidential guest runs on.
    pub(crate) const fn of(caching: Caching, decrypted: bool) -> Self {
        Self { caching, decrypted }
    }

    /// Whether the pages are shared with the machine that a confidential guest runs on.
    #[inline]
    pub(crate) fn is_decrypted(self) -> bool {
        self.decrypted
    }

    /// `REEVE_CACHING_*`.
    pub(crate) fn caching(self) -> u32 {
        match self.caching {
            Caching::Cached => shim::REEVE_CACHING_CACHED,
            Caching::WriteCombined => shim::REEVE_CACHING_WRITE_COMBINED,
            Caching::Uncached => shim::REEVE_CACHING_UNCACHED,
        }
    }

    /// In the architecture's own terms, for a mapping of the kernel's.
    fn value(self) -> usize {
        // SAFETY: Arithmetic; no requirements.
        unsafe { shim::reeve_shim_kernel_prot(self.caching(), self.decrypted) }
    }

    /// How it has pages cached, in the architecture's own terms, as
    /// [`PageRef::cache_bits`](super::page::PageRef::cache_bits).
    #[cfg(reeve_kunit)]
    pub(crate) fn cache_bits(self) -> usize {
        // SAFETY: Arithmetic; no requirements.
        unsafe { shim::reeve_shim_prot_cache_bits(self.value()) }
    }
}

/// Runs `f` on a page's memory, which is mapped for this task meanwhile. `f` must not sleep for
/// long.
///
/// C original: `ttm_kmap_iter_tt_map_local()`.
///
/// # Safety
///
/// The page must be valid.
pub(crate) unsafe fn with_mapped(
    page: NonNull<bindings::page>,
    protection: Protection,
    f: impl FnOnce(*mut u8),
) {
    // SAFETY: By the contract the page is valid meanwhile. Mappings nest because `f` runs between
    // the two calls.
    let mapped = unsafe { shim::reeve_shim_kmap(page.as_ptr(), protection.value()) };
    f(mapped.cast());
    // SAFETY: Undoes the mapping made above, the last one that is left.
    unsafe { bindings::kunmap_local(mapped) };
}
