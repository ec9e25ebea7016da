// SPDX-License-Identifier: GPL-2.0

//! Addresses that a device uses for pages.
//!
//! C header: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)

#[cfg(reeve_kunit)]
use super::page::PageMut;
use super::{
    bindings as shim,
    task, //
};
use crate::bo::rules::dma_runs::{
    self,
    Place,
    Run, //
};
#[cfg(reeve_kunit)]
use core::ptr::NonNull;
use kernel::{
    bindings,
    device,
    error::to_result,
    faux,
    page::PAGE_SHIFT,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// How many devices were made: names must not be the same.
static MADE: Atomic<u32> = Atomic::new(0);

/// A device that pages are mapped for: one without hardware that reaches all memory.
pub(crate) struct DmaDevice {
    registration: faux::Registration,
    /// The most pages that can be mapped at once.
    most: u64,
    /// How many mappings succeed before all fail, for tests.
    #[cfg(reeve_kunit)]
    left: Atomic<u64>,
}

impl DmaDevice {
    /// Makes and registers a device. `ENODEV`: it could not be registered. `ENOMEM`. May sleep.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let number = MADE.fetch_add(1u32, Relaxed);
        let name = CString::try_from_fmt(fmt!("reeve{number}"))?;
        let registration = faux::Registration::new(&name, None)?;
        let dev = raw(&registration);
        // SAFETY: The device was registered just now, and is used by nobody yet.
        to_result(unsafe { shim::reeve_shim_dma_reach_all(dev) })?;
        // SAFETY: The device is registered as long as we own the registration.
        let bytes = unsafe { bindings::dma_max_mapping_size(dev) };
        Ok(Arc::new(
            Self {
                registration,
                most: (bytes >> PAGE_SHIFT) as u64,
                #[cfg(reeve_kunit)]
                left: Atomic::new(u64::MAX),
            },
            GFP_KERNEL,
        )?)
    }

    fn as_ptr(&self) -> *mut bindings::device {
        raw(&self.registration)
    }

    /// Has all mappings fail after `mappings` more.
    #[cfg(reeve_kunit)]
    pub(crate) fn fail_after(&self, mappings: u64) {
        self.left.store(mappings, Relaxed);
    }

    /// Whether the next mapping is one that a test has fail.
    fn fails(&self) -> bool {
        #[cfg(reeve_kunit)]
        {
            let left = self.left.load(Relaxed);
            self.left.store(left.saturating_sub(1), Relaxed);
            left == 0
        }
        #[cfg(not(reeve_kunit))]
        false
    }
}

/// The device's C struct.
fn raw(registration: &faux::Registration) -> *mut bindings::device {
    let device: &device::Device<device::Bound> = registration.as_ref().as_ref();
    // It is a transparent wrapper of the C struct, which may be changed behind a shared reference.
    core::ptr::from_ref(device).cast_mut().cast()
}

/// The DMA addresses of pages, one for each run of pages that lie side by side.
///
/// # Invariants
///
/// `runs` are in ascending order, the first begins at page 0, and all together have `pages` pages.
/// With a device each is mapped for it, both ways, and the pages stay who they are until this is
/// dropped.
pub(crate) struct DmaAddresses {
    /// None: somebody else has mapped them.
    device: Option<Arc<DmaDevice>>,
    runs: KVVec<Run>,
    pages: u64,
}

impl DmaAddresses {
    fn new(device: Option<Arc<DmaDevice>>) -> Result<KBox<Self>> {
        // INVARIANT: No pages.
        Ok(KBox::new(
            Self {
                device,
                runs: KVVec::new(),
                pages: 0,
            },
            GFP_KERNEL,
        )?)
    }

    /// Maps blocks of pages, each given as its first page frame and how many pages it has.
    ///
    /// `EIO`: they can't be mapped; `ENOMEM`; `EINTR`: a fatal signal. Nothing is mapped then. May
    /// sleep.
    ///
    /// C original: `ttm_pool_map()`.
    ///
    /// # Safety
    ///
    /// These must be page frames of pages that stay their owner's until the answer is dropped.
    pub(crate) unsafe fn map(
        device: &Arc<DmaDevice>,
        blocks: impl Iterator<Item = (u64, u64)>,
    ) -> Result<KBox<Self>> {
        let mut this = Self::new(Some(device.clone()))?;
        for (pfn, pages) in dma_runs::join(blocks, device.most) {
            task::cond_resched_killable()?;
            this.runs.reserve(1, GFP_KERNEL)?;
            if device.fails() {
                return Err(EIO);
            }
            let mut address = 0;
            // SAFETY: The device is registered while we have a reference to it; by the contract
            // these are pages, and whoever owns them keeps them.
            to_result(unsafe {
                shim::reeve_shim_dma_map(
                    device.as_ptr(),
                    pfn as usize,
                    pages as usize,
                    &mut address,
                )
            })?;
            // INVARIANT: It was mapped just now, and has the next `pages` pages. There is room.
            let run = Run {
                first: this.pages,
                address,
            };
            this.pages += pages;
            this.runs.push(run, GFP_KERNEL)?;
        }
        Ok(this)
    }

    /// Keeps addresses that somebody else has mapped, given as the address and pages of each run.
    ///
    /// `EINVAL`: a run that is empty, not of whole pages, or has no end. `ENOMEM`. May sleep.
    #[cfg_attr(
        not(reeve_kunit),
        expect(dead_code, reason = "for in-kernel importers")
    )]
    pub(crate) fn told(runs: &[(u64, u64)]) -> Result<KBox<Self>> {
        let mut this = Self::new(None)?;
        for &(address, pages) in runs {
            if !dma_runs::fits(address, pages, PAGE_SHIFT as u32) {
                return Err(EINVAL);
            }
            // INVARIANT: It has the next `pages` pages.
            let run = Run {
                first: this.pages,
                address,
            };
            this.runs.push(run, GFP_KERNEL)?;
            this.pages = this.pages.checked_add(pages).ok_or(EINVAL)?;
        }
        Ok(this)
    }

    /// How many pages have an address.
    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }

    /// How many runs there are.
    #[cfg(reeve_kunit)]
    pub(crate) fn runs(&self) -> usize {
        self.runs.len()
    }

    /// The address of page `index`; `None`: it has none.
    pub(crate) fn locate(&self, index: u64) -> Option<Place> {
        dma_runs::locate(&self.runs, self.pages, PAGE_SHIFT as u32, index)
    }

    /// Lets the processor see what the device wrote to these pages. Where they are copied for the
    /// device, what the processor wrote and the device was not shown is lost.
    pub(crate) fn sync_for_cpu(&self, first: u64, pages: u64) {
        self.sync(first, pages, |dev, address, pages| {
            // SAFETY: By the type invariant this is a run that is mapped for the device.
            unsafe { shim::reeve_shim_dma_sync_for_cpu(dev, address, pages) };
        });
    }

    /// Lets the device see what the processor wrote to these pages. Where they are copied for the
    /// device, what the device wrote and the processor was not shown is lost.
    pub(crate) fn sync_for_device(&self, first: u64, pages: u64) {
        self.sync(first, pages, |dev, address, pages| {
            // SAFETY: By the type invariant this is a run that is mapped for the device.
            unsafe { shim::reeve_shim_dma_sync_for_device(dev, address, pages) };
        });
    }

    fn sync(&self, first: u64, pages: u64, each: impl Fn(*mut bindings::device, u64, usize)) {
        let Some(device) = &self.device else {
            return;
        };
        let dev = device.as_ptr();
        // SAFETY: The device is registered while we have a reference to it.
        if unsafe { shim::reeve_shim_dma_need_sync(dev) } {
            for (address, pages) in self.parts(first, pages) {
                each(dev, address, pages as usize);
            }
        }
    }

    /// Of each run, the part that is of these pages.
    fn parts(&self, first: u64, pages: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        dma_runs::parts(&self.runs, self.pages, PAGE_SHIFT as u32, first, pages)
    }

    /// The memory that a device reaches at the address of page `index`, if it is directly on the bus.
    ///
    /// # Safety
    ///
    /// Nobody else may access it during the lifetime.
    #[cfg(reeve_kunit)]
    unsafe fn reached(&self, index: u64) -> Result<PageMut<'_>> {
        let frame = self.locate(index).ok_or(EINVAL)?.address >> PAGE_SHIFT;
        // SAFETY: The page itself, or the one that it is copied to for the device, is at this address
        // while it is mapped.
        let page = unsafe { shim::reeve_shim_pfn_page(frame as usize) };
        // SAFETY: By the contract.
        Ok(unsafe { PageMut::new(NonNull::new(page).ok_or(EINVAL)?) })
    }

    /// Writes to a page as the device would.
    #[cfg(reeve_kunit)]
    pub(crate) fn device_writes(&self, index: u64, offset: usize, from: &[u8]) -> Result {
        // SAFETY: Only tests do this, to pages that nobody else accesses meanwhile.
        unsafe { self.reached(index) }?.write(offset, from)
    }

    /// Reads a page as the device would.
    #[cfg(reeve_kunit)]
    pub(crate) fn device_reads(&self, index: u64, offset: usize, to: &mut [u8]) -> Result {
        // SAFETY: Only tests do this, to pages that nobody else accesses meanwhile.
        unsafe { self.reached(index) }?.as_ref().read(offset, to)
    }
}

impl Drop for DmaAddresses {
    fn drop(&mut self) {
        if let Some(device) = &self.device {
            let dev = device.as_ptr();
            for (address, pages) in self.parts(0, self.pages) {
                // SAFETY: By the type invariant this is a run that is mapped for the device, which
                // is registered while we have a reference to it. The addresses end here.
                unsafe { shim::reeve_shim_dma_unmap(dev, address, pages as usize) };
            }
        }
    }
}
