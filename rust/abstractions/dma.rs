// SPDX-License-Identifier: GPL-2.0

//! DMA mappings: the addresses that a device uses for pages.
//!
//! C header: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)

#[cfg(reeve_kunit)]
use super::page::PageMut;
use super::{
    bindings as helpers,
    task,
    user_sized, //
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
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// How many devices were made; it makes their names differ.
static MADE: Atomic<u32> = Atomic::new(0);

/// A device that pages are mapped for.
///
/// # Invariants
///
/// It stays valid as long as this, and DMA masks are set for it.
pub(crate) struct DmaDevice {
    kind: Kind,
    /// How many pages can be mapped at once, at most.
    most: u64,
    /// How many mappings succeed before all fail, for tests.
    #[cfg(reeve_kunit)]
    left: Atomic<u64>,
}

/// What device it is.
enum Kind {
    /// A faux device, which has no hardware, and reaches all memory.
    Faux(faux::Registration),
    /// The device of a driver.
    Driver(ARef<device::Device>),
}

impl DmaDevice {
    /// Takes the device of a driver.
    ///
    /// Returns `EINVAL` if it can't do DMA, `ENOMEM` if there is no memory. May sleep.
    ///
    /// # Safety
    ///
    /// `dev` must be a valid device.
    pub(crate) unsafe fn of_driver(dev: *mut bindings::device) -> Result<Arc<Self>> {
        // SAFETY: The helper reads a field of a valid device, as this one is by the contract.
        if !unsafe { helpers::reeve_helper_dma_is_possible(dev) } {
            return Err(EINVAL);
        }
        // SAFETY: By the contract it is a valid device, so a reference to it can be taken.
        let device = unsafe { device::Device::get_device(dev) };
        // SAFETY: `dma_max_mapping_size()` wants a valid device.
        let bytes = unsafe { bindings::dma_max_mapping_size(dev) };
        // INVARIANT: The reference keeps the device valid, and it has a mask.
        let this = Self {
            kind: Kind::Driver(device),
            most: (bytes >> PAGE_SHIFT).max(1) as u64,
            #[cfg(reeve_kunit)]
            left: Atomic::new(u64::MAX),
        };
        Ok(Arc::new(this, GFP_KERNEL)?)
    }

    /// Creates and registers a device.
    ///
    /// Returns `ENODEV` if it can't be registered, `ENOMEM` if there is no memory. May sleep.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let number = MADE.fetch_add(1u32, Relaxed);
        let name = CString::try_from_fmt(fmt!("reeve{number}"))?;
        let registration = faux::Registration::new(&name, None)?;
        let dev = raw(&registration);
        // SAFETY: The helper sets the DMA masks of a valid device that nothing is mapped for:
        // it was registered just now and has no driver, so only we know it.
        to_result(unsafe { helpers::reeve_helper_dma_reach_all(dev) })?;
        // SAFETY: `dma_max_mapping_size()` wants a device that stays registered, which this one
        // does as long as we own the registration.
        let bytes = unsafe { bindings::dma_max_mapping_size(dev) };
        // INVARIANT: It is registered as long as we own the registration, and the helper has set masks.
        Ok(Arc::new(
            Self {
                kind: Kind::Faux(registration),
                most: (bytes >> PAGE_SHIFT) as u64,
                #[cfg(reeve_kunit)]
                left: Atomic::new(u64::MAX),
            },
            GFP_KERNEL,
        )?)
    }

    fn as_ptr(&self) -> *mut bindings::device {
        match &self.kind {
            Kind::Faux(registration) => raw(registration),
            // `Device` is a transparent wrapper of the C struct in an `Opaque`.
            Kind::Driver(device) => core::ptr::from_ref::<device::Device>(device)
                .cast_mut()
                .cast(),
        }
    }

    /// Makes all mappings fail after `mappings` more.
    #[cfg(reeve_kunit)]
    pub(crate) fn fail_after(&self, mappings: u64) {
        self.left.store(mappings, Relaxed);
    }

    /// Whether the next mapping is to fail for a test.
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

/// Returns the device's C struct.
fn raw(registration: &faux::Registration) -> *mut bindings::device {
    let device: &device::Device<device::Bound> = registration.as_ref().as_ref();
    // `Device` is a transparent wrapper of the C struct in an `Opaque`, so that the struct may be
    // changed behind a shared reference.
    core::ptr::from_ref(device).cast_mut().cast()
}

/// The DMA addresses of pages, one for each run of pages whose addresses follow each other.
/// Dropping it unmaps the pages.
///
/// # Invariants
///
/// `runs` are in ascending order, the first begins at page 0, and all together have `pages` pages.
/// With a device, each run is one mapping for it, `DMA_BIDIRECTIONAL`, of pages that their owner
/// keeps until this is dropped.
pub(crate) struct DmaAddresses {
    /// None if the exporter of the pages has mapped them.
    device: Option<Arc<DmaDevice>>,
    runs: KVVec<Run>,
    pages: u64,
}

impl DmaAddresses {
    fn new(device: Option<Arc<DmaDevice>>) -> Result<KBox<Self>> {
        // INVARIANT: No runs and no pages.
        Ok(KBox::new(
            Self {
                device,
                runs: KVVec::new(),
                pages: 0,
            },
            GFP_KERNEL,
        )?)
    }

    /// Maps blocks of pages, each given as its first page frame and the number of its pages.
    ///
    /// Returns `EIO` if they can't be mapped, `ENOMEM` if there is no memory, and `EINTR` after a
    /// fatal signal; nothing is mapped then. May sleep.
    ///
    /// C original: `ttm_pool_map()`.
    ///
    /// # Safety
    ///
    /// These must be page frames of pages that their owner keeps until the result is dropped.
    pub(crate) unsafe fn map(
        device: &Arc<DmaDevice>,
        blocks: impl Iterator<Item = (u64, u64)>,
    ) -> Result<KBox<Self>> {
        let mut this = Self::new(Some(device.clone()))?;
        for (pfn, pages) in dma_runs::join(blocks, device.most) {
            task::cond_resched_killable()?;
            this.runs.reserve(1, user_sized::flags())?;
            if device.fails() {
                return Err(EIO);
            }
            let mut address = 0;
            // SAFETY: The helper wants a valid device, which this one is as long as we have a
            // reference to it, frames that have a `struct page`, which they are by the contract,
            // and a place for the address.
            to_result(unsafe {
                helpers::reeve_helper_dma_map(
                    device.as_ptr(),
                    pfn as usize,
                    pages as usize,
                    &mut address,
                )
            })?;
            // INVARIANT: The run was mapped just now, as one mapping, and has the next `pages`
            // pages. It is added, for there is room.
            let run = Run {
                first: this.pages,
                address,
            };
            this.pages += pages;
            this.runs.push(run, user_sized::flags())?;
        }
        Ok(this)
    }

    /// Takes addresses that the exporter of the pages has mapped, given as the address and the
    /// number of pages of each run.
    ///
    /// Returns `EINVAL` if a run is empty, is not of whole pages, or overflows, `ENOMEM` if there
    /// is no memory. May sleep.
    pub(crate) fn told(runs: &[(u64, u64)]) -> Result<KBox<Self>> {
        let mut this = Self::new(None)?;
        for &(address, pages) in runs {
            if !dma_runs::fits(address, pages, PAGE_SHIFT as u32) {
                return Err(EINVAL);
            }
            // INVARIANT: The run has the next `pages` pages, and there is no device.
            let run = Run {
                first: this.pages,
                address,
            };
            this.runs.push(run, user_sized::flags())?;
            this.pages = this.pages.checked_add(pages).ok_or(EINVAL)?;
        }
        Ok(this)
    }

    /// Returns the number of pages that have an address.
    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }

    /// Returns the number of runs.
    #[cfg(reeve_kunit)]
    pub(crate) fn runs(&self) -> usize {
        self.runs.len()
    }

    /// Returns the address of page `index`, or `None` if it has none.
    pub(crate) fn locate(&self, index: u64) -> Option<Place> {
        dma_runs::locate(&self.runs, self.pages, PAGE_SHIFT as u32, index)
    }

    /// Makes what the device wrote to these pages visible to the CPU. If the pages are bounced,
    /// what the CPU wrote since the last sync for the device is lost.
    pub(crate) fn sync_for_cpu(&self, first: u64, pages: u64) {
        self.sync(first, pages, |dev, address, pages| {
            // SAFETY: The helper wants a part of a mapping made for the device, both ways. `parts`
            // gives parts of `runs`, each of which is such a mapping by the type invariant.
            unsafe { helpers::reeve_helper_dma_sync_for_cpu(dev, address, pages) };
        });
    }

    /// Makes what the CPU wrote to these pages visible to the device. If the pages are bounced,
    /// what the device wrote since the last sync for the CPU is lost.
    pub(crate) fn sync_for_device(&self, first: u64, pages: u64) {
        self.sync(first, pages, |dev, address, pages| {
            // SAFETY: The helper wants a part of a mapping made for the device, both ways. `parts`
            // gives parts of `runs`, each of which is such a mapping by the type invariant.
            unsafe { helpers::reeve_helper_dma_sync_for_device(dev, address, pages) };
        });
    }

    /// Calls `each` with the device and the address and pages of each part of these pages, if the
    /// device needs syncs at all.
    fn sync(&self, first: u64, pages: u64, each: impl Fn(*mut bindings::device, u64, usize)) {
        let Some(device) = &self.device else {
            return;
        };
        let dev = device.as_ptr();
        // SAFETY: The helper reads fields of a valid device, which this one is as long as we
        // have a reference to it.
        if unsafe { helpers::reeve_helper_dma_need_sync(dev) } {
            for (address, pages) in self.parts(first, pages) {
                each(dev, address, pages as usize);
            }
        }
    }

    /// Returns the address and number of pages of the part of each run that is of these pages.
    fn parts(&self, first: u64, pages: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        dma_runs::parts(&self.runs, self.pages, PAGE_SHIFT as u32, first, pages)
    }

    /// Returns the page that a device reaches at the address of page `index`, if bus addresses are
    /// physical ones, as in the test kernels.
    ///
    /// # Safety
    ///
    /// Nothing else may access that page during the lifetime.
    #[cfg(reeve_kunit)]
    unsafe fn reached(&self, index: u64) -> Result<PageMut<'_>> {
        let frame = self.locate(index).ok_or(EINVAL)?.address >> PAGE_SHIFT;
        // SAFETY: The helper wants a frame that has a `struct page`. While the page is mapped, this
        // is its own frame or that of the bounce buffer, which is memory too.
        let page = unsafe { helpers::reeve_helper_pfn_page(frame as usize) };
        // SAFETY: The page is valid as long as it is mapped, which it is while we are borrowed; by
        // the contract nothing else accesses it.
        Ok(unsafe { PageMut::new(NonNull::new(page).ok_or(EINVAL)?) })
    }

    /// Writes to a page as the device would.
    #[cfg(reeve_kunit)]
    pub(crate) fn device_writes(&self, index: u64, offset: usize, from: &[u8]) -> Result {
        // SAFETY: `reached` wants that nothing else accesses the page; tests call this for pages
        // that only they know, from one task.
        unsafe { self.reached(index) }?.write(offset, from)
    }

    /// Reads a page as the device would.
    #[cfg(reeve_kunit)]
    pub(crate) fn device_reads(&self, index: u64, offset: usize, to: &mut [u8]) -> Result {
        // SAFETY: `reached` wants that nothing else accesses the page; tests call this for pages
        // that only they know, from one task.
        unsafe { self.reached(index) }?.as_ref().read(offset, to)
    }
}

impl Drop for DmaAddresses {
    fn drop(&mut self) {
        if let Some(device) = &self.device {
            let dev = device.as_ptr();
            for (address, pages) in self.parts(0, self.pages) {
                // SAFETY: The helper wants one whole mapping made for the device, and the device
                // still registered. `parts` of all pages gives each run whole, which by the type
                // invariant is one mapping; our reference keeps the device. No address is used
                // after this.
                unsafe { helpers::reeve_helper_dma_unmap(dev, address, pages as usize) };
            }
        }
    }
}
