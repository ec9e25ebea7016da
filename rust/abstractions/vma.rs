// SPDX-License-Identifier: GPL-2.0

//! User mappings of pages that somebody here owns.
//!
//! No mapping outlives its page: who owns [`Pages`] that were mapped remembers where, and removes
//! the mappings before letting go of a page. Pages are mapped by number (`VM_PFNMAP`), so that nobody can take
//! references to them by way of the mapping.
//!
//! C headers: [`include/linux/mm.h`](srctree/include/linux/mm.h),
//! [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    bindings as shim,
    kmap::Protection, //
};
use crate::bo::rules::{
    mappings,
    page_runs::Place, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    fs::File,
    mm::virt::{
        flags,
        VmaNew,
        VmaRef, //
    },
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
    types::{
        ForeignOwnable,
        Opaque, //
    }, //
};

/// The address space that all mappings of an open file are in, and no others.
///
/// # Invariants
///
/// `inner` is initialised and has no pages.
#[pin_data]
pub(crate) struct MapSpace {
    #[pin]
    inner: Opaque<bindings::address_space>,
}

// SAFETY: An address space belongs to no task.
unsafe impl Send for MapSpace {}
// SAFETY: `&self` methods only call functions that lock it themselves.
unsafe impl Sync for MapSpace {}

impl MapSpace {
    /// Makes one for `file`, which is being opened. `ENOMEM`. May sleep.
    pub(crate) fn new(file: &File) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                // INVARIANT: The shim initialises it.
                // SAFETY: The slot is writable and stays where it is; the file is valid.
                inner <- Opaque::ffi_init(|slot| unsafe {
                    shim::reeve_shim_space_init(slot, file.as_ptr())
                }),
            }),
            GFP_KERNEL,
        )
    }

    /// Has mappings of `file` put in here.
    ///
    /// # Safety
    ///
    /// `file` must be undergoing `open`, and this must live until [`MapSpace::leave`].
    pub(crate) unsafe fn enter(&self, file: &File) {
        // SAFETY: While it is being opened nobody else knows the file; by the contract the pointer
        // stays valid as long as it is there.
        unsafe { (*file.as_ptr()).f_mapping = self.inner.get() };
    }

    /// Undoes [`MapSpace::enter`].
    ///
    /// # Safety
    ///
    /// `file` must be undergoing `release`, so that it has no mappings.
    pub(crate) unsafe fn leave(file: &File) {
        // SAFETY: Nobody else uses a file that is being released.
        unsafe { shim::reeve_shim_space_leave(file.as_ptr()) };
    }
}

/// A range of pages of an open file, for an owner of pages to be mapped at.
#[derive(Clone)]
pub(crate) struct Range {
    space: Arc<MapSpace>,
    first: u64,
    pages: u64,
}

impl Range {
    /// The `pages` pages of the file from `first` on.
    pub(crate) fn new(space: Arc<MapSpace>, first: u64, pages: u64) -> Self {
        Self {
            space,
            first,
            pages,
        }
    }

    /// The first page.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// How many pages.
    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }

    /// Whether both are the same.
    fn is(&self, other: &Self) -> bool {
        core::ptr::eq(&*self.space, &*other.space)
            && (self.first, self.pages) == (other.first, other.pages)
    }

    /// Moves it.
    pub(crate) fn set_first(&mut self, first: u64) {
        self.first = first;
    }

    /// Removes all mappings of these pages, in every process; when it returns nobody can access
    /// the pages through them any more. May sleep.
    fn unmap(&self) {
        // SAFETY: By the type invariant the address space is initialised.
        unsafe {
            bindings::unmap_mapping_pages(
                self.space.inner.get(),
                self.first as usize,
                self.pages as usize,
                true,
            )
        };
    }
}

/// Where pages are mapped, if they are.
///
/// # Invariants
///
/// User mappings of the pages that this goes with are nowhere but here.
pub(crate) struct Mappings(Option<Range>);

impl Mappings {
    /// Of pages that are not mapped.
    pub(crate) const fn none() -> Self {
        // INVARIANT: No mappings.
        Self(None)
    }

    /// Notes that some are about to be made at `range`; `false`: there may be some elsewhere.
    fn note(&mut self, range: &Range) -> bool {
        match &self.0 {
            None => self.0 = Some(range.clone()),
            Some(known) if !known.is(range) => return false,
            Some(_) => {}
        }
        true
    }

    /// Whether there may be any.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.0.is_some()
    }

    /// Removes all there are. May sleep.
    #[inline]
    pub(crate) fn remove(&mut self) {
        if let Some(range) = self.0.take() {
            // INVARIANT: None are left.
            range.unmap();
        }
    }
}

/// Pages that can be mapped.
///
/// # Safety
///
/// A page that `page` or `block` gave stays the owner's, at its index, until `mappings` were
/// removed after that.
pub(crate) unsafe trait Pages {
    /// Where they are mapped.
    fn mappings(&mut self) -> &mut Mappings;

    /// The page `index`.
    fn page(&self, index: u64) -> Option<NonNull<bindings::page>>;

    /// The first page of a block that page `index` is in, and its place there; `None`: they are not
    /// in blocks.
    fn block(&self, index: u64) -> Option<(NonNull<bindings::page>, Place)>;

    /// Removes all user mappings, which happens anyway before a page is let go. What is read while
    /// there are some may change meanwhile. May sleep.
    #[inline]
    fn unmap(&mut self) {
        self.mappings().remove();
    }
}

/// What can be mapped.
pub(crate) trait Mapped: Send + Sync + 'static {
    /// How its pages are mapped, by everybody.
    fn protection(&self) -> Protection;

    /// A page that is not mapped was touched. May sleep; `mmap_lock` is held for reading.
    fn fault(&self, fault: Fault<'_>) -> FaultResult;

    /// Somebody else, a debugger say, accesses the file's bytes from `offset` on; answers how many
    /// bytes were copied. May sleep; the `mmap_lock` of the mapping's owner is held for reading.
    fn access(&self, offset: u64, access: Access<'_>) -> Result<usize>;
}

/// What somebody else does with mapped memory.
pub(crate) enum Access<'a> {
    /// Reads it.
    Read(&'a mut [u8]),
    /// Writes to it.
    Write(&'a [u8]),
}

/// What the kernel is told about a fault.
#[must_use]
pub(crate) struct FaultResult(bindings::vm_fault_t);

impl FaultResult {
    /// Whether the page is mapped now.
    pub(crate) fn is_mapped(&self) -> bool {
        self.0 & (shim::REEVE_FAULT_ERROR | shim::REEVE_FAULT_FALLBACK | shim::REEVE_FAULT_RETRY)
            == 0
    }
}

/// A fault that is being served.
///
/// # Invariants
///
/// `vmf` is valid and its lock held; `facts` are its. The mapping is one made by [`map`].
pub(crate) struct Fault<'a> {
    vmf: NonNull<bindings::vm_fault>,
    facts: shim::reeve_fault,
    huge: bool,
    _vmf: PhantomData<&'a mut bindings::vm_fault>,
}

/// A fault whose lock was given back: all that is left is to try again.
pub(crate) struct Unlocked(());

impl Unlocked {
    /// Has the fault tried again.
    pub(crate) fn retry(self) -> FaultResult {
        FaultResult(shim::REEVE_FAULT_RETRY)
    }
}

impl Fault<'_> {
    /// # Safety
    ///
    /// `vmf` must be valid, of a mapping made by [`map`], and its lock held, during the lifetime.
    unsafe fn new(vmf: NonNull<bindings::vm_fault>, huge: bool) -> Self {
        let mut facts = shim::reeve_fault::default();
        // SAFETY: By the contract.
        unsafe { shim::reeve_shim_fault_facts(vmf.as_ptr(), &mut facts) };
        // INVARIANT: By the contract.
        Self {
            vmf,
            facts,
            huge,
            _vmf: PhantomData,
        }
    }

    /// The page of the file that was touched.
    pub(crate) fn page(&self) -> u64 {
        self.facts.page as u64
    }

    /// Whether many pages are to be mapped with one entry.
    pub(crate) fn is_huge(&self) -> bool {
        self.huge
    }

    /// Whether it must not wait, but be tried again.
    pub(crate) fn retry_nowait(&self) -> bool {
        self.facts.may_retry && self.facts.nowait
    }

    /// Whether to give the lock back before anything that takes long; otherwise it can't be.
    pub(crate) fn allow_retry(&self) -> bool {
        self.facts.may_retry && !self.facts.nowait
    }

    /// Gives the lock back, so that others can use the process's memory meanwhile. Only if
    /// [`Fault::allow_retry`]; otherwise nothing happens.
    pub(crate) fn unlock(self) -> Unlocked {
        if self.allow_retry() {
            // SAFETY: By the type invariant the lock is held. `self` ends here, and the kernel is
            // told that the lock is gone, for `Unlocked` has no other answer.
            unsafe { shim::reeve_shim_fault_unlock(self.vmf.as_ptr()) };
        }
        Unlocked(())
    }

    /// Has an impatient fault tried again.
    pub(crate) fn retry_later(self) -> FaultResult {
        if self.retry_nowait() {
            FaultResult(shim::REEVE_FAULT_RETRY)
        } else {
            self.refuse()
        }
    }

    /// There is no such page, or it can't be had: SIGBUS.
    pub(crate) fn refuse(self) -> FaultResult {
        FaultResult(shim::REEVE_FAULT_SIGBUS)
    }

    /// It can't be mapped with one entry: it will be asked for by itself.
    pub(crate) fn fall_back(self) -> FaultResult {
        FaultResult(shim::REEVE_FAULT_FALLBACK)
    }

    /// The page touched, counted inside the piece that one entry would map; `None`: the mapping
    /// does not have all of that piece.
    fn place_in_huge(&self) -> Option<usize> {
        let size = PAGE_SIZE << shim::REEVE_HUGE_ORDER;
        let start = self.facts.address & !(size - 1);
        let fits = start >= self.facts.start && start.checked_add(size)? <= self.facts.end;
        fits.then_some((self.facts.address - start) >> PAGE_SHIFT)
    }

    /// Whether the mapping could have an entry for many pages here.
    pub(crate) fn has_room_for_huge(&self) -> bool {
        self.place_in_huge().is_some()
    }

    /// Whether a block that the page touched is at `place` of is just what one entry would map.
    fn fits(&self, place: Place) -> bool {
        place.order == shim::REEVE_HUGE_ORDER && self.place_in_huge() == Some(place.page)
    }

    /// Maps page `index` of `pages`, which is to be at `range` of the file, and some around it; if
    /// the fault is for a huge entry, just the block that it is in.
    ///
    /// The mapping can be written to if the process may. It stays until the pages are unmapped.
    pub(crate) fn map(self, pages: &mut impl Pages, index: u64, range: &Range) -> FaultResult {
        if self.facts.space != range.space.inner.get()
            || range.first.checked_add(index) != Some(self.page())
        {
            return self.refuse();
        }
        if !pages.mappings().note(range) {
            return self.refuse();
        }
        if self.huge {
            return match pages.block(index) {
                Some((block, place)) if self.fits(place) => {
                    // SAFETY: The fault is valid by the type invariant, and the mapping has all of
                    // the block. Its pages stay until their owner has removed the mapping, as
                    // was just noted.
                    FaultResult(unsafe {
                        shim::reeve_shim_insert_huge(self.vmf.as_ptr(), block.as_ptr())
                    })
                }
                _ => self.fall_back(),
            };
        }

        // In pages of the owner: what the mapping has.
        let before = ((self.facts.address - self.facts.start) >> PAGE_SHIFT) as u64;
        let after = (self.facts.end - self.facts.address).div_ceil(PAGE_SIZE) as u64;
        let (first, end) = mappings::around(
            index,
            index.saturating_sub(before),
            range.pages.min(index.saturating_add(after)),
        );
        // Of `first`, which is in the mapping.
        let start = (self.facts.address & !(PAGE_SIZE - 1)) - (index - first) as usize * PAGE_SIZE;
        let insert = |at: u64| match pages.page(at) {
            None => FaultResult(shim::REEVE_FAULT_SIGBUS),
            Some(page) => {
                let address = start + (at - first) as usize * PAGE_SIZE;
                // SAFETY: As above, and the address is in the mapping.
                FaultResult(unsafe {
                    shim::reeve_shim_insert_page(self.vmf.as_ptr(), address, page.as_ptr())
                })
            }
        };
        let answer = insert(index);
        if answer.is_mapped() {
            // Those that can't be mapped will be asked for when they are touched.
            let _ = (first..end)
                .filter(|&at| at != index)
                .all(|at| insert(at).is_mapped());
        }
        answer
    }
}

/// Makes a mapping of what `find` finds at the pages of the file that are asked for, given as first
/// page and number.
///
/// `EINVAL`: it would be private, so that its pages would have to be copied. `EPERM`: it would be
/// executable.
pub(crate) fn map<T: Mapped>(
    vma: &VmaNew,
    find: impl FnOnce(u64, u64) -> Result<Arc<T>>,
) -> Result {
    if vma.flags() & (flags::SHARED | flags::MAYWRITE) == flags::MAYWRITE {
        return Err(EINVAL);
    }
    vma.try_clear_mayexec().map_err(|_| EPERM)?;
    // SAFETY: It is being set up, so nobody changes it.
    let first = unsafe { (*vma.as_ptr()).vm_pgoff } as u64;
    let pages = ((vma.end() - vma.start()) >> PAGE_SHIFT) as u64;
    let mapped = find(first, pages)?;
    let protection = mapped.protection();
    // SAFETY: It is being set up. Nothing is mapped yet, and it is not a private mapping, so that
    // it may become one of page numbers. The operations go with the private data.
    unsafe {
        shim::reeve_shim_vma_prepare(
            vma.as_ptr(),
            protection.caching(),
            protection.is_decrypted(),
        );
        (*vma.as_ptr()).vm_private_data = mapped.into_foreign();
        (*vma.as_ptr()).vm_ops = Operations::<T>::get();
    }
    Ok(())
}

/// The operations of mappings of `T`, whose private data is an `Arc<T>` of their own.
struct Operations<T>(PhantomData<T>);

impl<T: Mapped> Operations<T> {
    const TABLE: bindings::vm_operations_struct = bindings::vm_operations_struct {
        open: Some(Self::open),
        close: Some(Self::close),
        fault: Some(Self::fault),
        huge_fault: Some(Self::huge_fault),
        access: Some(Self::access),
        ..pin_init::zeroed()
    };

    const fn get() -> &'static bindings::vm_operations_struct {
        &Self::TABLE
    }

    /// What `vma` maps.
    ///
    /// # Safety
    ///
    /// `vma` must be a mapping made by [`map`] for this type, and valid during `'a`.
    unsafe fn mapped<'a>(vma: *mut bindings::vm_area_struct) -> ArcBorrow<'a, T> {
        // SAFETY: Its private data came from `into_foreign` and goes when it is closed.
        unsafe { <Arc<T> as ForeignOwnable>::borrow((*vma).vm_private_data) }
    }

    /// A copy of a mapping was made: by fork, by a split, or to move it.
    ///
    /// # Safety
    ///
    /// For the kernel to call.
    unsafe extern "C" fn open(vma: *mut bindings::vm_area_struct) {
        // SAFETY: The original, which is ours, is still there; its pointer was copied.
        let mapped: Arc<T> = unsafe { Self::mapped(vma) }.into();
        // SAFETY: The copy is being set up.
        unsafe { (*vma).vm_private_data = mapped.into_foreign() };
    }

    /// # Safety
    ///
    /// For the kernel to call.
    unsafe extern "C" fn close(vma: *mut bindings::vm_area_struct) {
        // SAFETY: Each mapping of ours owns its private data, and this is the last use of it.
        drop(unsafe { <Arc<T> as ForeignOwnable>::from_foreign((*vma).vm_private_data) });
    }

    /// # Safety
    ///
    /// As [`Fault::new`].
    unsafe fn serve(vmf: *mut bindings::vm_fault, huge: bool) -> bindings::vm_fault_t {
        let Some(vmf) = NonNull::new(vmf) else {
            return shim::REEVE_FAULT_SIGBUS;
        };
        // SAFETY: The fault is of a mapping of ours. A reference of our own, because the mapping
        // may be gone when the lock is given back.
        let mapped: Arc<T> = unsafe { Self::mapped((*vmf.as_ptr()).__bindgen_anon_1.vma) }.into();
        // SAFETY: By the contract.
        mapped.fault(unsafe { Fault::new(vmf, huge) }).0
    }

    /// # Safety
    ///
    /// For the kernel to call.
    unsafe extern "C" fn fault(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // SAFETY: The kernel calls it with the lock held, for a mapping with these operations.
        unsafe { Self::serve(vmf, false) }
    }

    /// # Safety
    ///
    /// For the kernel to call.
    unsafe extern "C" fn huge_fault(
        vmf: *mut bindings::vm_fault,
        order: kernel::ffi::c_uint,
    ) -> bindings::vm_fault_t {
        if order != shim::REEVE_HUGE_ORDER {
            return shim::REEVE_FAULT_FALLBACK;
        }
        // SAFETY: As in `fault`.
        unsafe { Self::serve(vmf, true) }
    }

    /// # Safety
    ///
    /// For the kernel to call.
    unsafe extern "C" fn access(
        vma: *mut bindings::vm_area_struct,
        address: usize,
        buffer: *mut kernel::ffi::c_void,
        length: kernel::ffi::c_int,
        write: kernel::ffi::c_int,
    ) -> kernel::ffi::c_int {
        // SAFETY: The kernel calls it with the owner's `mmap_lock` held.
        let area = unsafe { VmaRef::from_raw(vma) };
        // It may ask for more than this mapping has.
        let length = usize::try_from(length)
            .unwrap_or(0)
            .min(area.end().saturating_sub(address));
        let Some(inside) = address.checked_sub(area.start()) else {
            return EFAULT.to_errno();
        };
        // SAFETY: The number is constant while the lock is held.
        let first = unsafe { (*vma).vm_pgoff };
        let offset = ((first << PAGE_SHIFT) + inside) as u64;
        let access = if write == 0 {
            // SAFETY: The kernel's buffer has at least that many bytes, and they are ours to fill
            // during the call. It is memory of the kernel, initialised to be copied to user space.
            Access::Read(unsafe { core::slice::from_raw_parts_mut(buffer.cast(), length) })
        } else if area.flags() & flags::WRITE == 0 {
            // The owner could not either.
            return EFAULT.to_errno();
        } else {
            // SAFETY: The kernel's buffer has at least that many bytes, filled in.
            Access::Write(unsafe { core::slice::from_raw_parts(buffer.cast(), length) })
        };
        // SAFETY: The mapping is ours, and stays while the lock is held.
        match unsafe { Self::mapped(vma) }.access(offset, access) {
            Ok(copied) => copied as kernel::ffi::c_int,
            Err(e) => e.to_errno(),
        }
    }
}
