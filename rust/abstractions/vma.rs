// SPDX-License-Identifier: GPL-2.0

//! User mappings of pages that the module owns.
//!
//! | type | what it is |
//! |---|---|
//! | [`Mapped`] | what a user maps: it handles the faults of its mappings |
//! | [`Fault`] | a fault, which ends as a [`FaultResult`] |
//! | [`WriteFault`] | the same, of a page that is mapped and was written to |
//! | [`Held`] | a fault that has to wait before it is tried again |
//! | [`Pages`] | pages that a fault can map |
//! | [`WriteLog`] | where writes to them are logged, if they are |
//! | [`Mappings`] | where the owner of pages has them mapped |
//! | [`MapSpace`], [`Range`] | the offsets of an open file at which they are mapped |
//!
//! No mapping outlives its page: the owner of [`Pages`] remembers where they are mapped, and
//! removes the mappings before it frees a page. Pages are mapped by frame number (`VM_PFNMAP`), so
//! that no reference to a page can be taken by way of a mapping.
//!
//! C headers: [`include/linux/mm.h`](srctree/include/linux/mm.h),
//! [`include/linux/fs.h`](srctree/include/linux/fs.h)

mod answer;
mod space;

pub(crate) use answer::{
    FaultResult,
    Held,
    Unlocked, //
};
pub(crate) use space::{
    MapSpace,
    Mappings,
    Range, //
};

use super::{
    bindings as helpers,
    kmap::Protection,
    mistake,
    page, //
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
    types::ForeignOwnable, //
};

/// Pages that can be mapped.
///
/// # Safety
///
/// A page that `page` or `block` returned must stay owned by the implementer, at its index, until
/// it has removed `mappings` after that.
pub(crate) unsafe trait Pages {
    /// Returns where they are mapped.
    fn mappings(&mut self) -> &mut Mappings;

    /// Returns page `index`, if there is one.
    fn page(&self, index: u64) -> Option<NonNull<bindings::page>>;

    /// Returns the first page of the block that page `index` is in, and its place there, or `None`
    /// if it is not in a block.
    fn block(&self, index: u64) -> Option<(NonNull<bindings::page>, Place)>;

    /// Makes users fault when they write to these `pages` pages, from page `first` on, the next time.
    /// Returns the number of entries of page tables that changed. May sleep.
    fn protect(&mut self, first: u64, pages: u64) -> u64 {
        let Some(range) = self.mappings().range().cloned() else {
            return 0;
        };
        let end = first + pages;
        let (mut at, mut entries) = (first, 0);
        while at < end {
            let Some(page) = self.page(at) else {
                break;
            };
            let is_next = |ahead: u64| {
                self.page(at + ahead).is_some_and(|next| {
                    // SAFETY: `frame` wants valid pages: by the contract of `Pages` these are owned.
                    unsafe { page::frame(next) == page::frame(page) + ahead }
                })
            };
            let most = match self.block(at) {
                // No more than one huge entry maps a block.
                Some((_, place)) => (1 << place.order) - place.page as u64,
                None => (1..end - at).take_while(|&ahead| is_next(ahead)).count() as u64 + 1,
            };
            let count = most.min(end - at);
            // SAFETY: By the contract of `Pages` the page is owned, so it is valid. Only blocks are
            // mapped by huge entries, and these pages are all of one block, or of none.
            entries += unsafe { range.protect(at, page, count) };
            at += count;
        }
        entries
    }

    /// Removes all user mappings, so that no user changes the pages while they are read.
    /// Implementers do this anyway before they free a page. May sleep.
    #[inline]
    fn unmap(&mut self) {
        self.mappings().remove();
    }
}

/// Which of an owner's pages users may write to without a fault, and where their faults are logged.
pub(crate) trait WriteLog {
    /// Returns whether a write to page `index` is logged already and none is held back, so that others
    /// need no fault.
    fn is_logged(&self, index: u64) -> bool;

    /// Returns whether that is so of all these pages.
    fn are_logged(&self, first: u64, pages: u64) -> bool;

    /// Logs a write to page `index` by a user, whose entry becomes writable. Returns whether it was not
    /// logged before. Any context; nothing here sleeps.
    fn write_fault(&self, index: u64) -> bool;
}

/// What users can map; handles the faults of its mappings.
pub(crate) trait Mapped: Send + Sync + 'static {
    /// Returns the protection that all mappings of its pages have.
    fn protection(&self) -> Protection;

    /// Handles a fault: a page that is not mapped was accessed. May sleep; `mmap_lock`, or the lock
    /// of the mapping, is held for reading.
    fn fault(&self, fault: Fault<'_>) -> FaultResult;

    /// Handles a write to a page that is mapped, but not to be written to. The same locks are held.
    /// Returns a fault that has to wait, for [`Mapped::held`].
    ///
    /// Nothing can be waited for: the kernel takes all answers but errors and those of
    /// [`WriteFault::make_writable`] and [`Held`] for a yes, and makes the entry writable itself, some
    /// time later.
    fn write_fault<'a>(
        &self,
        fault: WriteFault<'a>,
    ) -> core::result::Result<FaultResult, WriteFault<'a>>;

    /// Handles a write that [`Mapped::write_fault`] held back; the caller keeps this alive, whatever
    /// becomes of the mapping. May sleep, but for long only with the locks released, by
    /// [`WriteFault::hold`].
    fn held(&self, fault: WriteFault<'_>) -> FaultResult;

    /// Accesses the file's bytes from `offset` on for another process, such as a debugger. Returns
    /// how many bytes were copied. May sleep; the `mmap_lock` of the mapping's owner is held for
    /// reading.
    fn access(&self, offset: u64, access: Access<'_>) -> Result<usize>;
}

/// An access of another process to mapped memory.
pub(crate) enum Access<'a> {
    /// Reads memory.
    Read(&'a mut [u8]),
    /// Writes to memory.
    Write(&'a [u8]),
}

/// A fault that is being handled.
///
/// # Invariants
///
/// `vmf` is valid for `'a` and of a mapping made by [`map`], and its lock is held. `info` was read
/// from it.
pub(crate) struct Fault<'a> {
    vmf: NonNull<bindings::vm_fault>,
    info: helpers::reeve_fault,
    kind: FaultKind,
    _vmf: PhantomData<&'a mut bindings::vm_fault>,
}

/// What a fault asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FaultKind {
    /// A page, and some around it.
    Page,
    /// Many pages with one entry.
    Huge,
}

impl Fault<'_> {
    /// Takes a fault.
    ///
    /// # Safety
    ///
    /// `vmf` must be valid and of a mapping made by [`map`] for the lifetime of the result, and its
    /// lock held until [`Fault::unlock`].
    unsafe fn new(vmf: NonNull<bindings::vm_fault>, kind: FaultKind) -> Self {
        let mut info = helpers::reeve_fault::default();
        // SAFETY: The helper reads a valid fault and its mapping, which does not change while the
        // fault's lock is held: both are so by the contract.
        unsafe { helpers::reeve_helper_fault_info(vmf.as_ptr(), &mut info) };
        // INVARIANT: By the contract `vmf` is as the invariant wants it, and `info` was just read.
        Self {
            vmf,
            info,
            kind,
            _vmf: PhantomData,
        }
    }

    /// Returns the page of the file that was accessed.
    pub(crate) fn page(&self) -> u64 {
        self.info.page as u64
    }

    /// Whether many pages are to be mapped with one entry.
    pub(crate) fn is_huge(&self) -> bool {
        self.kind == FaultKind::Huge
    }

    /// Whether it must be retried instead of waiting (`FAULT_FLAG_RETRY_NOWAIT`).
    pub(crate) fn retry_nowait(&self) -> bool {
        self.info.may_retry && self.info.nowait
    }

    /// Whether its lock can be released and the fault retried. What takes long should be done then.
    pub(crate) fn allow_retry(&self) -> bool {
        self.info.may_retry && !self.info.nowait
    }

    /// Releases the lock, so that other threads can change the process's mappings meanwhile. Does
    /// nothing without [`Fault::allow_retry`].
    ///
    /// C original: `maybe_unlock_mmap_for_io()`, which holds the file likewise.
    pub(crate) fn unlock(self) -> Unlocked {
        if !self.allow_retry() {
            return Unlocked::not();
        }
        // SAFETY: By the type invariant the fault is valid and its lock held. A kernel thread's fault has
        // no `allow_retry`. `self` ends here, and `Unlocked` only becomes a retry.
        unsafe { Unlocked::new(self.vmf) }
    }

    /// Whether it is of a write.
    pub(crate) fn is_write(&self) -> bool {
        self.info.write
    }

    /// Holds it back. Unlike [`Fault::unlock`] this may be done at each attempt.
    pub(crate) fn hold(self) -> Held {
        // SAFETY: By the type invariant the fault is valid and its lock held. `self` ends here.
        unsafe { Held::new(self.vmf) }
    }

    /// Makes the kernel retry the fault, if it has [`Fault::retry_nowait`]; else sends SIGBUS.
    pub(crate) fn retry_later(self) -> FaultResult {
        if self.retry_nowait() {
            FaultResult(helpers::REEVE_FAULT_RETRY)
        } else {
            self.sigbus()
        }
    }

    /// Ends the fault; if the access still can't go on there will be another.
    pub(crate) fn ask_again(self) -> FaultResult {
        FaultResult(helpers::REEVE_FAULT_NOPAGE)
    }

    /// Sends SIGBUS: there is no such page, or no memory for it.
    pub(crate) fn sigbus(self) -> FaultResult {
        FaultResult(helpers::REEVE_FAULT_SIGBUS)
    }

    /// Makes the kernel fall back to a fault for the single page: it can't be mapped with one
    /// entry.
    pub(crate) fn fall_back(self) -> FaultResult {
        FaultResult(helpers::REEVE_FAULT_FALLBACK)
    }

    /// Returns the number of the page that was accessed inside the aligned piece that a huge entry
    /// would map, or `None` if the mapping does not have all of that piece.
    fn place_in_huge(&self) -> Option<usize> {
        let size = PAGE_SIZE << helpers::REEVE_HUGE_ORDER;
        let start = self.info.address & !(size - 1);
        let fits = start >= self.info.start && start.checked_add(size)? <= self.info.end;
        fits.then_some((self.info.address - start) >> PAGE_SHIFT)
    }

    /// Whether the mapping could have a huge entry here.
    pub(crate) fn has_room_for_huge(&self) -> bool {
        self.place_in_huge().is_some()
    }

    /// Whether the block of the page that was accessed, which is at `place` of it, is exactly what
    /// a huge entry would map.
    fn fits(&self, place: Place) -> bool {
        place.order == helpers::REEVE_HUGE_ORDER && self.place_in_huge() == Some(place.page)
    }

    /// Maps page `index` of `pages`, which are to be at `range` of the file, and some pages around
    /// it; if the fault is for a huge entry, the block that the page is in.
    ///
    /// Users can write to the pages if their mapping allows it and, with a `log`, writes to them are
    /// logged already or this one is. They stay mapped until [`Pages::unmap`].
    pub(crate) fn map(
        self,
        pages: &mut impl Pages,
        index: u64,
        range: &Range,
        log: Option<&impl WriteLog>,
    ) -> FaultResult {
        if self.info.space != range.space.as_ptr()
            || range.first().checked_add(index) != Some(self.page())
        {
            return self.sigbus();
        }
        if !pages.mappings().note(range) {
            return self.sigbus();
        }
        if self.is_huge() {
            // One entry is as writable as any of its pages may be.
            let may_write = |place: Place| {
                if mistake::is_made(c"log_huge") {
                    return true;
                }
                let first = index - place.page as u64;
                log.is_none_or(|log| log.are_logged(first, 1 << place.order))
            };
            return match pages.block(index) {
                Some((block, place)) if self.fits(place) && may_write(place) => {
                    // SAFETY: The helper wants a valid fault with its lock held, which this is by
                    // the type invariant, and a block that the mapping has room for, as `fits`
                    // says. By the contract of `Pages` its pages stay owned until the mappings are
                    // removed, among which this one was noted above.
                    FaultResult(unsafe {
                        helpers::reeve_helper_insert_huge(self.vmf.as_ptr(), block.as_ptr())
                    })
                }
                _ => self.fall_back(),
            };
        }

        // How many of the owner's pages the mapping has before and from this one on.
        let before = ((self.info.address - self.info.start) >> PAGE_SHIFT) as u64;
        let after = (self.info.end - self.info.address).div_ceil(PAGE_SIZE) as u64;
        let (first, end) = mappings::around(
            index,
            index.saturating_sub(before),
            range.pages().min(index.saturating_add(after)),
        );
        // The address of page `first`, which is in the mapping.
        let start = (self.info.address & !(PAGE_SIZE - 1)) - (index - first) as usize * PAGE_SIZE;
        // SAFETY: The helper reads a valid fault and its mapping, whose lock is held, by the type
        // invariant.
        let prot = |writable: bool| unsafe {
            helpers::reeve_helper_fault_prot(self.vmf.as_ptr(), writable)
        };
        // Without a log, read faults make pages writable, too, so that the write needs no other.
        let prots = [log.map_or(0, |_| prot(false)), prot(true)];
        let insert = |at: u64, writable: bool| match pages.page(at) {
            None => FaultResult(helpers::REEVE_FAULT_SIGBUS),
            Some(page) => {
                let address = start + (at - first) as usize * PAGE_SIZE;
                // SAFETY: The helper wants a valid fault with its lock held, which this is by the
                // type invariant, and an address in its mapping, which it is because `first` and
                // `end` were limited to that. By the contract of `Pages` the page stays owned until
                // the mappings are removed, among which this one was noted above.
                FaultResult(unsafe {
                    helpers::reeve_helper_insert_page(
                        self.vmf.as_ptr(),
                        address,
                        page.as_ptr(),
                        prots[usize::from(writable)],
                    )
                })
            }
        };
        let is_logged = |at| match log {
            _ if mistake::is_made(c"log_around") => true,
            Some(log) => log.is_logged(at),
            None => true,
        };
        let result = insert(index, self.info.write || is_logged(index));
        if result.is_mapped() {
            if let Some(log) = log.filter(|_| self.info.write) {
                log.write_fault(index);
            }
            // Pages that can't be mapped now get a fault of their own when they are accessed.
            let _ = (first..end)
                .filter(|&at| at != index)
                .all(|at| insert(at, is_logged(at)).is_mapped());
        }
        result
    }
}

/// A write to a page that is mapped, but not to be written to, though the mapping allows writes.
///
/// # Invariants
///
/// `vmf` is valid for `'a` and of a mapping made by [`map`], the lock of which is held, and the entry
/// that it is for is in a table of pages.
pub(crate) struct WriteFault<'a> {
    vmf: NonNull<bindings::vm_fault>,
    _vmf: PhantomData<&'a mut bindings::vm_fault>,
}

impl WriteFault<'_> {
    /// Returns the page of the file that was accessed.
    pub(crate) fn page(&self) -> u64 {
        // SAFETY: By the type invariant the fault is valid.
        unsafe { (*self.vmf.as_ptr()).__bindgen_anon_1.pgoff as u64 }
    }

    /// Calls `log`, which logs the write, and makes the entry writable, if it is still the one of the
    /// fault; in any case the access is made again. `log` is called with the entry's lock held, and
    /// must not sleep. If it returns false the entry stays as it is, and so does the fault.
    ///
    /// So both are one step for whoever takes that lock: a thread that clears the log does, to protect
    /// the entry, after it has cleared the bit. The kernel, if it was left to make the entry writable,
    /// would do it after that. A thread that holds writers back does, after it has said so.
    pub(crate) fn make_writable(
        self,
        log: impl FnOnce() -> bool,
    ) -> core::result::Result<FaultResult, Self> {
        if mistake::is_made(c"log_window") {
            log();
            // Time for the log to be cleared.
            kernel::time::delay::fsleep(kernel::time::Delta::from_millis(20));
            return Ok(FaultResult(0));
        }
        // SAFETY: The helper wants a valid fault of a page in a table with its lock held, which this
        // is by the type invariant. If it returns true the entry is locked.
        if unsafe { helpers::reeve_helper_lock_entry(self.vmf.as_ptr()) } {
            if !log() {
                // SAFETY: The helper wants a valid fault whose entry is locked, as it was just above.
                unsafe { helpers::reeve_helper_unlock_entry(self.vmf.as_ptr()) };
                return Err(self);
            }
            // SAFETY: The helper wants a valid fault whose entry is locked, as it was just above. The
            // mapping allows writes, for the kernel asks of no others.
            unsafe { helpers::reeve_helper_unlock_writable_entry(self.vmf.as_ptr()) };
        }
        Ok(FaultResult(helpers::REEVE_FAULT_NOPAGE))
    }

    /// Holds it back.
    pub(crate) fn hold(self) -> Held {
        // SAFETY: By the type invariant the fault is valid and its lock held. `self` ends here.
        unsafe { Held::new(self.vmf) }
    }

    /// Ends it; if the access still can't go on there will be another.
    pub(crate) fn ask_again(self) -> FaultResult {
        FaultResult(helpers::REEVE_FAULT_NOPAGE)
    }

    /// Sends SIGBUS: there is no such page.
    pub(crate) fn sigbus(self) -> FaultResult {
        FaultResult(helpers::REEVE_FAULT_SIGBUS)
    }
}

/// Sets up a mapping of what `find` returns for the pages of the file that are to be mapped, given
/// as the first one and their number.
///
/// Returns `EINVAL` if the mapping is private, so that its pages would have to be copied, `EPERM`
/// if it is executable, and else the error of `find`.
pub(crate) fn map<T: Mapped>(
    vma: &VmaNew,
    find: impl FnOnce(u64, u64) -> Result<Arc<T>>,
) -> Result {
    check(vma)?;
    // SAFETY: A `VmaNew` is valid and being set up by this task, so nothing else writes to it.
    let first = unsafe { (*vma.as_ptr()).vm_pgoff } as u64;
    let pages = ((vma.end() - vma.start()) >> PAGE_SHIFT) as u64;
    install(vma, find(first, pages)?);
    Ok(())
}

/// Sets up a mapping, for the driver of `T`, of the pages of the file from `first` on, of which there are
/// `count`. `make` makes what is mapped, of the address space in which it is.
///
/// Returns `EINVAL` if it is not of those pages or not of a file whose address space can be kept.
/// Otherwise as [`map`].
///
/// # Safety
///
/// `vma` must be a valid mapping of a file that is being set up by the calling task, in `mmap` of its file
/// operations.
pub(crate) unsafe fn map_for<T: Mapped>(
    vma: NonNull<bindings::vm_area_struct>,
    first: u64,
    count: u64,
    make: impl FnOnce(Arc<MapSpace>) -> Result<Arc<T>>,
) -> Result {
    // SAFETY: `from_raw` wants a mapping that is being set up by this task, as the caller vouches for.
    let new = unsafe { VmaNew::from_raw(vma.as_ptr()) };
    check(new)?;
    // SAFETY: By the contract nothing else writes to it.
    let start = unsafe { (*vma.as_ptr()).vm_pgoff } as u64;
    let pages = ((new.end() - new.start()) >> PAGE_SHIFT) as u64;
    let end = first.checked_add(count).ok_or(EINVAL)?;
    if start < first || start.checked_add(pages).is_none_or(|last| last > end) {
        return Err(EINVAL);
    }
    // SAFETY: By the contract it is a valid mapping of a file.
    let space = unsafe { MapSpace::of_vma(vma) }?;
    install(new, make(space)?);
    Ok(())
}

/// Checks that pages may be mapped here; see [`map`].
fn check(vma: &VmaNew) -> Result {
    if vma.flags() & (flags::SHARED | flags::MAYWRITE) == flags::MAYWRITE {
        return Err(EINVAL);
    }
    vma.try_clear_mayexec().map_err(|_| EPERM)
}

/// Makes `vma` a mapping of `mapped`.
fn install<T: Mapped>(vma: &VmaNew, mapped: Arc<T>) {
    let protection = mapped.protection();
    // SAFETY: A `VmaNew` is valid and being set up by this task, so its fields may be written to.
    // Nothing is mapped yet and it is not private, so it may become `VM_PFNMAP`, as the helper
    // makes it. The operations are those for private data that is an `Arc<T>`.
    unsafe {
        helpers::reeve_helper_vma_prepare(
            vma.as_ptr(),
            protection.caching(),
            protection.is_decrypted(),
        );
        (*vma.as_ptr()).vm_private_data = mapped.into_foreign();
        (*vma.as_ptr()).vm_ops = Operations::<T>::get();
    }
}

/// The operations of mappings of a `T`. The private data of each such mapping is an `Arc<T>` of its
/// own.
struct Operations<T>(PhantomData<T>);

impl<T: Mapped> Operations<T> {
    const TABLE: bindings::vm_operations_struct = bindings::vm_operations_struct {
        open: Some(Self::open),
        close: Some(Self::close),
        fault: Some(Self::fault),
        huge_fault: Some(Self::huge_fault),
        map_pages: Some(Self::map_pages),
        pfn_mkwrite: Some(Self::pfn_mkwrite),
        access: Some(Self::access),
        ..pin_init::zeroed()
    };

    const fn get() -> &'static bindings::vm_operations_struct {
        &Self::TABLE
    }

    /// Borrows what `vma` maps.
    ///
    /// # Safety
    ///
    /// `vma` must be a mapping with these operations, and not be closed during `'a`.
    unsafe fn mapped<'a>(vma: *mut bindings::vm_area_struct) -> ArcBorrow<'a, T> {
        // SAFETY: `borrow` wants what `into_foreign` returned and `from_foreign` has not taken
        // back: `map` and `open` set the private data of these mappings to that, and only `close`
        // takes it back.
        unsafe { <Arc<T> as ForeignOwnable>::borrow((*vma).vm_private_data) }
    }

    /// Gives a copy of a mapping, made by fork, by a split, or to move it, a reference of its own.
    ///
    /// # Safety
    ///
    /// `vma` must be a copy of a mapping with these operations that is still open, and be set up by
    /// the caller.
    unsafe extern "C" fn open(vma: *mut bindings::vm_area_struct) {
        // SAFETY: The copy's private data is that of the original, which by the contract is a
        // mapping with these operations and open during this call.
        let mapped: Arc<T> = unsafe { Self::mapped(vma) }.into();
        // SAFETY: By the contract the copy is valid and nothing else accesses it yet.
        unsafe { (*vma).vm_private_data = mapped.into_foreign() };
    }

    /// Drops the reference of a mapping that goes away.
    ///
    /// # Safety
    ///
    /// `vma` must be a mapping with these operations, which are not used for it after this.
    unsafe extern "C" fn close(vma: *mut bindings::vm_area_struct) {
        // SAFETY: `from_foreign` wants what `into_foreign` returned, once: each mapping with these
        // operations has that as private data of its own, and by the contract this is its last use.
        drop(unsafe { <Arc<T> as ForeignOwnable>::from_foreign((*vma).vm_private_data) });
    }

    /// Passes a fault on to what is mapped.
    ///
    /// # Safety
    ///
    /// `vmf` must be null, or a valid fault, with its lock held, of a mapping with these
    /// operations.
    unsafe fn handle(vmf: *mut bindings::vm_fault, kind: FaultKind) -> bindings::vm_fault_t {
        let Some(vmf) = NonNull::new(vmf) else {
            return helpers::REEVE_FAULT_SIGBUS;
        };
        // A reference of our own, because the mapping may go away when the lock is released.
        // SAFETY: By the contract the fault is valid and its mapping has these operations; it is
        // not closed while the lock is held, thus not before there is the reference.
        let mapped: Arc<T> = unsafe { Self::mapped((*vmf.as_ptr()).__bindgen_anon_1.vma) }.into();
        // SAFETY: By the contract the fault is valid, its lock is held, and its mapping has these
        // operations, so that it was made by `map`, for which alone they are.
        mapped.fault(unsafe { Fault::new(vmf, kind) }).0
    }

    /// Handles a fault for a single page.
    ///
    /// # Safety
    ///
    /// The contract of [`Self::handle`].
    unsafe extern "C" fn fault(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // SAFETY: The contract of this function is that of `handle`.
        unsafe { Self::handle(vmf, FaultKind::Page) }
    }

    /// Handles a fault that a huge entry of some order could serve.
    ///
    /// # Safety
    ///
    /// The contract of [`Self::handle`].
    unsafe extern "C" fn huge_fault(
        vmf: *mut bindings::vm_fault,
        order: kernel::ffi::c_uint,
    ) -> bindings::vm_fault_t {
        if order != helpers::REEVE_HUGE_ORDER {
            return helpers::REEVE_FAULT_FALLBACK;
        }
        // SAFETY: The contract of this function is that of `handle`.
        unsafe { Self::handle(vmf, FaultKind::Huge) }
    }

    /// Maps nothing, for what [`Self::fault`] maps is enough: pages around that of the access, too.
    ///
    /// The kernel calls the other operations with the lock of the mapping alone only if there is this
    /// one; else it gives up, takes `mmap_lock` and begins again, which costs more than all they do.
    ///
    /// # Safety
    ///
    /// None.
    unsafe extern "C" fn map_pages(
        _vmf: *mut bindings::vm_fault,
        _first: kernel::ffi::c_ulong,
        _last: kernel::ffi::c_ulong,
    ) -> bindings::vm_fault_t {
        0
    }

    /// Handles a write to a page that is mapped read-only though the mapping is writable.
    ///
    /// # Safety
    ///
    /// The contract of [`Self::handle`].
    unsafe extern "C" fn pfn_mkwrite(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        let Some(vmf) = NonNull::new(vmf) else {
            return helpers::REEVE_FAULT_SIGBUS;
        };
        // SAFETY: By the contract the fault is valid and its mapping has these operations; it is not
        // closed while the lock is held, which it is during the call.
        let mapped = unsafe { Self::mapped((*vmf.as_ptr()).__bindgen_anon_1.vma) };
        // INVARIANT: By the contract the fault is valid, its lock is held, and its mapping was made by
        // `map`, for which alone these operations are. The kernel calls this for entries of pages.
        let fault = WriteFault {
            vmf,
            _vmf: PhantomData,
        };
        match mapped.write_fault(fault) {
            Ok(result) => result.0,
            Err(fault) => {
                // A reference of our own, because the mapping may go away when the lock is released.
                let mapped: Arc<T> = mapped.into();
                mapped.held(fault).0
            }
        }
    }

    /// Copies from or to mapped memory for another process.
    ///
    /// # Safety
    ///
    /// `vma` must be a mapping with these operations whose `mmap_lock` is held for reading,
    /// `address` an address that was looked up in it, and `buffer` valid for `length` bytes,
    /// initialised, and accessed by nothing else.
    unsafe extern "C" fn access(
        vma: *mut bindings::vm_area_struct,
        address: usize,
        buffer: *mut kernel::ffi::c_void,
        length: kernel::ffi::c_int,
        write: kernel::ffi::c_int,
    ) -> kernel::ffi::c_int {
        // SAFETY: `from_raw` wants a valid mapping whose `mmap_lock` is held for reading: by the
        // contract it is.
        let area = unsafe { VmaRef::from_raw(vma) };
        // The kernel may ask for more than this mapping has.
        let length = usize::try_from(length)
            .unwrap_or(0)
            .min(area.end().saturating_sub(address));
        let Some(inside) = address.checked_sub(area.start()) else {
            return EFAULT.to_errno();
        };
        // SAFETY: By the contract the mapping is valid, and its lock is held, under which the field
        // does not change.
        let first = unsafe { (*vma).vm_pgoff };
        let offset = ((first << PAGE_SHIFT) + inside) as u64;
        let access = if write == 0 {
            // SAFETY: By the contract the buffer is valid for at least `length` bytes, which are
            // initialised and only ours during the call.
            Access::Read(unsafe { core::slice::from_raw_parts_mut(buffer.cast(), length) })
        } else if area.flags() & flags::WRITE == 0 {
            // The owner of the mapping could not write to it either.
            return EFAULT.to_errno();
        } else {
            // SAFETY: By the contract the buffer is valid for at least `length` bytes, which are
            // initialised and not changed during the call.
            Access::Write(unsafe { core::slice::from_raw_parts(buffer.cast(), length) })
        };
        // SAFETY: By the contract the mapping has these operations; it is not closed while the lock
        // is held, which it is during the call.
        match unsafe { Self::mapped(vma) }.access(offset, access) {
            Ok(copied) => copied as kernel::ffi::c_int,
            Err(e) => e.to_errno(),
        }
    }
}
