// SPDX-License-Identifier: GPL-2.0

//! Temporary mappings of pages for the kernel, and the protection that mappings have.
//!
//! C header: [`include/linux/highmem.h`](srctree/include/linux/highmem.h)

use super::bindings as helpers;
use crate::bo::rules::page_kind::Caching;
use core::ptr::NonNull;
use kernel::bindings;

/// How pages are mapped: cached or not, encrypted or not. All mappings of a page have to agree.
///
/// C original: `ttm_prot_from_caching()`, `ttm_io_prot()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Protection {
    caching: Caching,
    decrypted: bool,
}

impl Protection {
    /// The protection that memory has by default.
    pub(crate) const PLAIN: Self = Self::of(Caching::Cached, false);

    /// Returns the protection of pages with this caching, shared with the host of a confidential
    /// guest if `decrypted`.
    pub(crate) const fn of(caching: Caching, decrypted: bool) -> Self {
        Self { caching, decrypted }
    }

    /// Whether the pages are shared with the host of a confidential guest.
    #[inline]
    pub(crate) fn is_decrypted(self) -> bool {
        self.decrypted
    }

    /// Returns its caching as `REEVE_CACHING_*`.
    pub(crate) fn caching(self) -> u32 {
        match self.caching {
            Caching::Cached => helpers::REEVE_CACHING_CACHED,
            Caching::WriteCombined => helpers::REEVE_CACHING_WRITE_COMBINED,
            Caching::Uncached => helpers::REEVE_CACHING_UNCACHED,
        }
    }

    /// Returns the architecture's `pgprot_t` of it, for a mapping of the kernel.
    fn value(self) -> usize {
        // SAFETY: The helper computes with its arguments and constants only, for any caching.
        unsafe { helpers::reeve_helper_kernel_prot(self.caching(), self.decrypted) }
    }

    /// Returns how it has pages cached, in the architecture's own terms, like
    /// [`PageRef::cache_bits`](super::page::PageRef::cache_bits).
    #[cfg(reeve_kunit)]
    pub(crate) fn cache_bits(self) -> usize {
        // SAFETY: The helper masks its argument, which may be anything.
        unsafe { helpers::reeve_helper_prot_cache_bits(self.value()) }
    }
}

/// Calls `f` with the address at which a page is mapped for this task meanwhile. `f` should not
/// sleep.
///
/// C original: `ttm_kmap_iter_tt_map_local()`.
///
/// # Safety
///
/// The page must be valid during the call.
pub(crate) unsafe fn with_mapped(
    page: NonNull<bindings::page>,
    protection: Protection,
    f: impl FnOnce(*mut u8),
) {
    // SAFETY: `kmap_local_page_prot()` wants a valid page, which it is by the contract, and that
    // mappings are undone in reverse order: those that `f` makes are undone when it has returned.
    let mapped = unsafe { helpers::reeve_helper_kmap(page.as_ptr(), protection.value()) };
    f(mapped.cast());
    // SAFETY: `kunmap_local()` undoes the mapping made above, which is the last one that is left:
    // `f` has undone its own by this very function.
    unsafe { bindings::kunmap_local(mapped) };
}
