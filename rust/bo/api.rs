// SPDX-License-Identifier: GPL-2.0

//! The API for drivers: what `reeve/bo.h` declares, and `api.c` hands over.
//!
//! Each function's contract is documented in `rust/include/reeve/bo.h`. Handles are looked up in tables:
//! nothing is read or written at what a driver passes as one.
#![expect(unsafe_code, reason = "C calls this, and it calls drivers")]

mod device;
pub(super) mod link;
mod misuse;
mod object;
mod prime;
mod table;

use self::{
    device::DriverDevice,
    misuse::{
        Answer,
        Call,
        Failure, //
    },
    object::Object,
    table::{
        Kept,
        Table, //
    }, //
};
use super::{
    fdinfo,
    object::ClientRef,
    Manager, //
};
use crate::{
    abstractions::{
        bindings,
        export::entry_points, //
    },
    bo::reservation::Reservation,
    lock_order::with_context, //
};
use core::mem::size_of;
use kernel::{
    error::to_result,
    ffi::{
        c_char,
        c_int,
        c_ulong,
        c_void, //
    },
    page::PAGE_SIZE,
    prelude::*,
    seq_file::SeqFile,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc, //
    }, //
};

/// The address of the manager; 0: drivers are not let in.
static MANAGER: Atomic<usize> = Atomic::new(0);

/// The kind of handles of devices.
const DEVICE: u64 = 1;
/// The kind of handles of objects.
const OBJECT: u64 = 3;

// What drivers have handles of; empty unless there is an `Api`.
static DEVICES: Table<DriverDevice, DEVICE> = Table::new();
static CLIENTS: Table<ClientRef, 2> = Table::new();
static OBJECTS: Table<Object, OBJECT> = Table::new();

/// An object that a call is about.
type KeptObject = Kept<'static, Object, OBJECT>;

/// The API, as long as the module is loaded. Drivers that use it keep the module.
pub(crate) struct Api {
    _manager: KBox<Arc<Manager>>,
}

impl Api {
    /// Lets drivers in. Returns `ENOMEM` if there is no memory. May sleep.
    ///
    /// # Safety
    ///
    /// There must be no other one, and it must be dropped after all drivers are gone.
    pub(crate) unsafe fn new(manager: Arc<Manager>) -> Result<Self> {
        let manager = KBox::new(manager, GFP_KERNEL)?;
        MANAGER.store(core::ptr::from_ref(&*manager).expose_provenance(), Release);
        let this = Self { _manager: manager };
        // SAFETY: This is undone when the value is dropped; by the contract it is the only one.
        to_result(unsafe { bindings::reeve_helper_watch_drivers() })?;
        Ok(this)
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        // SAFETY: `new` began it, or failed to, which is the same.
        unsafe { bindings::reeve_helper_unwatch_drivers() };
        MANAGER.store(0, Relaxed);
        // What is left in the tables is of drivers that went without it.
        with_context(|| {
            // SAFETY: By the contract of `new` all drivers are gone, so nothing calls any more.
            unsafe {
                OBJECTS.clear();
                CLIENTS.clear();
                DEVICES.clear();
            }
        });
    }
}

/// Returns the manager. Returns `ENODEV` if drivers are not let in.
fn manager() -> Answer<&'static Arc<Manager>> {
    let address = MANAGER.load(Acquire);
    if address == 0 {
        return Err(ENODEV.into());
    }
    // SAFETY: It is the address of what the module's `Api` owns, which by the contract of `Api::new` is
    // dropped after all callers are gone.
    Ok(unsafe { &*core::ptr::with_exposed_provenance::<Arc<Manager>>(address) })
}

/// Returns the object that a handle names.
#[inline(always)]
fn kept(handle: u64) -> Answer<KeptObject> {
    OBJECTS.find(handle).ok_or_else(no_object)
}

#[cold]
fn no_object() -> Failure {
    let what = c"there is no such object; it was put, or never made";
    Failure::misuse(ENOENT, what)
}

#[cold]
fn no_device() -> Failure {
    Failure::misuse(ENOENT, c"there is no such device")
}

#[cold]
fn no_client() -> Failure {
    Failure::misuse(ENOENT, c"there is no such client")
}

#[cold]
fn no_page() -> Failure {
    let what = c"it has no such page in memory, or no address for it";
    Failure::misuse(EINVAL, what)
}

/// Goes through the devices that are registered. Those that come meanwhile may be left out.
fn all_devices() -> impl Iterator<Item = Kept<'static, DriverDevice, DEVICE>> {
    DEVICES.slots().filter_map(|slot| DEVICES.at(slot))
}

/// Says what is called, for the log.
#[inline(always)]
fn named(name: &'static CStr, object: u64, site: c_ulong) -> impl Fn() -> Call {
    move || Call {
        name,
        site,
        object,
        counts: false,
    }
}

/// Makes a call about an object, or about none.
#[inline(always)]
fn call<R>(
    name: &'static CStr,
    object: u64,
    (site, task): (c_ulong, c_ulong),
    f: impl FnOnce() -> Answer<R>,
) -> Result<R> {
    Call::make(task, named(name, object, site), with_device_name, f)
}

/// Makes a call that takes a lock in rare cases only, and enters a context then. Otherwise as [`call`].
#[inline(always)]
fn bare_call<R>(
    name: &'static CStr,
    object: u64,
    (site, task): (c_ulong, c_ulong),
    f: impl FnOnce() -> Answer<R>,
) -> Result<R> {
    Call::make_bare(task, named(name, object, site), with_device_name, f)
}

/// Passes on the name of the device of an object.
fn with_device_name(object: u64, f: &mut dyn FnMut(Option<&CStr>)) {
    let object = OBJECTS.find(object);
    f(object.as_ref().map(|object| object.link().driver().name()));
}

/// Makes a call about an object that the caller has locked.
fn locked<R>(
    name: &'static CStr,
    handle: u64,
    (site, task): (c_ulong, c_ulong),
    f: impl FnOnce(&mut Reservation<'_>) -> Answer<R>,
) -> Result<R> {
    call(name, handle, (site, task), || kept(handle)?.with(task, f))
}

fn status(result: Result) -> c_int {
    match result {
        Ok(()) => 0,
        Err(e) => e.to_errno(),
    }
}

fn count(result: Result<u64>) -> i64 {
    match result {
        // Of bytes that can be counted.
        Ok(pages) => pages as i64,
        Err(e) => e.to_errno().into(),
    }
}

/// The names of the calls `REEVE_CALL_...`.
const CALLS: [&CStr; 11] = [
    c"reeve_bo_pin",
    c"reeve_bo_unpin",
    c"reeve_bo_swap_out",
    c"reeve_bo_back_up",
    c"reeve_bo_restore",
    c"reeve_bo_purge",
    c"reeve_bo_set_purgeable",
    c"reeve_bo_touch",
    c"reeve_bo_sync_for_cpu",
    c"reeve_bo_sync_for_device",
    c"reeve_bo_unmap",
];

impl KeptObject {
    /// Locks the object for `task`, the current one, which counts as a reference. `wait`: until it can.
    #[inline(always)]
    fn take(self, task: usize, wait: bool) -> Answer {
        self.get_for_lock().ok_or_else(no_object)?;
        match self.lock(task, wait) {
            Ok(()) => Ok(()),
            Err(e) => {
                self.put_of_lock().ok_or_else(no_object)?;
                Err(e)
            }
        }
    }
}

entry_points! {
    /// # Safety
    ///
    /// None beyond that of being called by a driver, as long as the module is loaded.
    fn reeve_rs_bo_get(bo: u64, site: c_ulong, task: c_ulong) -> c_int {
        status(bare_call(c"reeve_bo_get", bo, (site, task), || {
            kept(bo)?.get().ok_or_else(no_object)
        }))
    }

    /// # Safety
    ///
    /// None beyond that of being called by a driver, as long as the module is loaded.
    fn reeve_rs_bo_put(bo: u64, site: c_ulong, task: c_ulong) -> c_int {
        status(bare_call(c"reeve_bo_put", bo, (site, task), || {
            kept(bo)?.put().ok_or_else(no_object)
        }))
    }

    /// # Safety
    ///
    /// None beyond that of being called by a driver, as long as the module is loaded.
    fn reeve_rs_bo_lock(bo: u64, site: c_ulong, task: c_ulong) -> c_int {
        status(call(c"reeve_bo_lock", bo, (site, task), || {
            kept(bo)?.take(task, true)
        }))
    }

    /// # Safety
    ///
    /// None beyond that of being called by a driver, as long as the module is loaded.
    fn reeve_rs_bo_trylock(bo: u64, site: c_ulong, task: c_ulong) -> c_int {
        status(call(c"reeve_bo_trylock", bo, (site, task), || {
            kept(bo)?.take(task, false)
        }))
    }

    /// # Safety
    ///
    /// None beyond that of being called by a driver, as long as the module is loaded.
    fn reeve_rs_bo_unlock(bo: u64, site: c_ulong, task: c_ulong) -> c_int {
        status(bare_call(c"reeve_bo_unlock", bo, (site, task), || {
            let object = kept(bo)?;
            object.unlock(task)?;
            object.put_of_lock().ok_or_else(no_object)
        }))
    }

    /// # Safety
    ///
    /// None beyond that of being called by a driver, as long as the module is loaded.
    fn reeve_rs_bo_populate(bo: u64, how: u32, site: c_ulong, task: c_ulong) -> i64 {
        count(call(c"reeve_bo_populate", bo, (site, task), || {
            let object = kept(bo)?;
            // Neither is kept in memory for the closure.
            let (object, manager): (&Object, &Manager) = (&object, manager()?);
            object.with(task, move |bo| object.populate(bo, manager, how))
        }))
    }

    /// # Safety
    ///
    /// None beyond that of being called by a driver, as long as the module is loaded.
    fn reeve_rs_bo_unpopulate(bo: u64, site: c_ulong, task: c_ulong) -> i64 {
        count(locked(c"reeve_bo_unpopulate", bo, (site, task), |bo| Ok(bo.unpopulate()?)))
    }

    /// # Safety
    ///
    /// None beyond that of being called by a driver, as long as the module is loaded.
    fn reeve_rs_bo_call(which: u32, bo: u64, first: u64, second: u64, site: c_ulong, task: c_ulong) -> i64 {
        let name = CALLS.get(which as usize).copied().unwrap_or(c"reeve_bo");
        count(call(name, bo, (site, task), || {
            let manager = manager()?;
            let act = |bo: &mut Reservation<'_>| object::act(bo, manager, which, first, second);
            kept(bo)?.with(task, act)
        }))
    }

    /// # Safety
    ///
    /// As `bo.h` says: `dev`, `name` and `ops` are null or valid, `device` is valid for writes.
    fn reeve_rs_device_register(
        dev: *mut kernel::bindings::device,
        name: *const c_char,
        ops: *const bindings::reeve_device_ops,
        flags: u32,
        device: *mut u64,
        site: c_ulong,
        task: c_ulong,
    ) -> c_int {
        status(call(c"reeve_device_register", 0, (site, task), || {
            let manager = manager()?;
            // SAFETY: The contract of this function is that of `new`, as `bo.h` tells the driver.
            let made = |_| unsafe { DriverDevice::new(manager, dev, name, ops, flags, site) };
            let handle = DEVICES.insert(made)?;
            // SAFETY: By the contract it is valid for writes.
            unsafe { device.write(handle) };
            Ok(())
        }))
    }

    /// # Safety
    ///
    /// `module` is valid, and what of its code runs once only is there still.
    fn reeve_rs_module_live(module: *mut kernel::bindings::module) {
        with_context(|| {
            for known in all_devices() {
                // SAFETY: The contract of this function is that of `module_live`.
                unsafe { known.driver().module_live(module) };
            }
        });
    }

    /// # Safety
    ///
    /// `module` is valid, and its code is not run any more, but for ops that run already.
    fn reeve_rs_module_gone(module: *mut kernel::bindings::module) {
        with_context(|| {
            for known in all_devices() {
                // SAFETY: By the contract the module is valid.
                if unsafe { known.driver().is_of(module) } {
                    known.driver().orphan();
                    let call = Call {
                        name: c"reeve_device_register",
                        site: known.driver().site(),
                        object: known.device().objects(),
                        counts: true,
                    };
                    let what = c"the driver is gone, and left the device behind";
                    call.report(Some(known.driver().name()), EBUSY, what);
                    if manager().is_ok_and(|manager| manager.unregister(known.device()).is_ok()) {
                        known.put();
                    }
                }
            }
        });
    }

    /// # Safety
    ///
    /// None beyond that of being called by a driver, as long as the module is loaded.
    fn reeve_rs_device_unregister(device: u64, site: c_ulong, task: c_ulong) -> c_int {
        status(call(c"reeve_device_unregister", 0, (site, task), || {
            let known = DEVICES.find(device).ok_or_else(no_device)?;
            match manager()?.unregister(known.device()) {
                Err(EBUSY) => {
                    let call = Call {
                        name: c"reeve_device_unregister",
                        site,
                        object: known.device().objects(),
                        counts: true,
                    };
                    let what = c"it can't go before them";
                    Err(call.report(Some(known.driver().name()), EBUSY, what).into())
                }
                Err(_) => Err(no_device()),
                Ok(()) => known.put().ok_or_else(no_device),
            }
        }))
    }

    /// # Safety
    ///
    /// `client` is valid for writes.
    fn reeve_rs_client_create(client: *mut u64, site: c_ulong, task: c_ulong) -> c_int {
        status(call(c"reeve_client_create", 0, (site, task), || {
            let made = |_| Answer::Ok(manager()?.open_file()?);
            let handle = CLIENTS.insert(made)?;
            // SAFETY: By the contract it is valid for writes.
            unsafe { client.write(handle) };
            Ok(())
        }))
    }

    /// # Safety
    ///
    /// None beyond that of being called by a driver, as long as the module is loaded.
    fn reeve_rs_client_put(client: u64, site: c_ulong, task: c_ulong) -> c_int {
        status(call(c"reeve_client_put", 0, (site, task), || {
            let client = CLIENTS.find(client).ok_or_else(no_client)?;
            client.put().ok_or_else(no_client)
        }))
    }

    /// # Safety
    ///
    /// None beyond that of being called by a driver, as long as the module is loaded.
    fn reeve_rs_client_set_limit(client: u64, pages: u64, site: c_ulong, task: c_ulong) -> c_int {
        status(call(c"reeve_client_set_limit", 0, (site, task), || {
            CLIENTS.find(client).ok_or_else(no_client)?.set_limit(pages);
            Ok(())
        }))
    }

    /// # Safety
    ///
    /// `stats` is null or valid for writes.
    fn reeve_rs_client_get_stats(
        client: u64,
        stats: *mut bindings::reeve_client_stats,
        site: c_ulong,
        task: c_ulong,
    ) -> c_int {
        status(call(c"reeve_client_get_stats", 0, (site, task), || {
            let client = CLIENTS.find(client).ok_or_else(no_client)?;
            if stats.is_null() {
                return Err(Failure::misuse(EINVAL, c"there is no place for the result"));
            }
            let sums = client.holdings();
            let result = bindings::reeve_client_stats {
                objects: sums.objects,
                total: sums.total,
                resident: sums.resident,
                charged: sums.charged,
                pinned: sums.pinned,
                swapped: sums.swapped,
                backed_up: sums.backed_up,
                limit: client.limit().unwrap_or(0),
            };
            // SAFETY: By the contract it is valid for writes.
            unsafe { stats.write(result) };
            Ok(())
        }))
    }

    /// # Safety
    ///
    /// `m` is null or a valid `seq_file`.
    fn reeve_rs_client_show_fdinfo(
        client: u64,
        m: *mut kernel::bindings::seq_file,
        site: c_ulong,
        task: c_ulong,
    ) -> c_int {
        status(call(c"reeve_client_show_fdinfo", 0, (site, task), || {
            let client = CLIENTS.find(client).ok_or_else(no_client)?;
            if m.is_null() {
                return Err(Failure::misuse(EINVAL, c"there is no place for the result"));
            }
            // SAFETY: By the contract it is valid, and only the caller uses it.
            fdinfo::show(&client, unsafe { SeqFile::from_raw(m) });
            Ok(())
        }))
    }

    /// # Safety
    ///
    /// `desc` is null or valid for the bytes that its first field says; `told` is null or as [`runs_of`] wants it.
    fn reeve_rs_bo_create(
        device: u64,
        client: u64,
        desc: *const bindings::reeve_bo_desc,
        told: *const bindings::reeve_bo_told,
        site: c_ulong,
        task: c_ulong,
    ) -> u64 {
        let made = bare_call(c"reeve_bo_create", 0, (site, task), || {
            let device = DEVICES.find(device).ok_or_else(no_device)?;
            let client = match client {
                0 => None,
                client => Some(CLIENTS.find(client).ok_or_else(no_client)?),
            };
            // SAFETY: The contract of this function is that of `read_desc`.
            let desc = unsafe { read_desc(desc) }?;
            let client = client.as_ref().map(|client| client.shared());
            // SAFETY: The contract of this function is that of `runs_of`.
            let runs = unsafe { runs_of(told) };
            OBJECTS.insert(|handle| Object::make(handle, &device, client, desc, runs))
        });
        match made {
            Ok(handle) => handle,
            // As the pointer that C makes of it.
            Err(e) => i64::from(e.to_errno()) as u64,
        }
    }

    /// # Safety
    ///
    /// `state` is null or valid for writes.
    fn reeve_rs_bo_get_state(
        bo: u64,
        state: *mut bindings::reeve_bo_state,
        site: c_ulong,
        task: c_ulong,
    ) -> c_int {
        status(locked(c"reeve_bo_get_state", bo, (site, task), |bo| {
            if state.is_null() {
                return Err(Failure::misuse(EINVAL, c"there is no place for the result"));
            }
            // SAFETY: By the contract it is valid for writes.
            unsafe { state.write(object::state(bo)) };
            Ok(())
        }))
    }

    /// # Safety
    ///
    /// `page` is valid for writes.
    fn reeve_rs_bo_page(
        bo: u64,
        index: u64,
        page: *mut *mut kernel::bindings::page,
        site: c_ulong,
        task: c_ulong,
    ) -> c_int {
        status(locked(c"reeve_bo_page", bo, (site, task), |bo| {
            let found = bo.page(index).ok_or_else(no_page)?;
            // SAFETY: By the contract it is valid for writes.
            unsafe { page.write(found.as_ptr()) };
            Ok(())
        }))
    }

    /// # Safety
    ///
    /// `run` is null or valid for writes.
    fn reeve_rs_bo_dma_run(
        bo: u64,
        index: u64,
        run: *mut bindings::reeve_bo_dma_run,
        site: c_ulong,
        task: c_ulong,
    ) -> c_int {
        status(locked(c"reeve_bo_dma_run", bo, (site, task), |bo| {
            if run.is_null() {
                return Err(Failure::misuse(EINVAL, c"there is no place for the result"));
            }
            let place = bo.dma_address(index).map_err(|_| no_page())?;
            let found = bindings::reeve_bo_dma_run {
                address: place.address,
                pages: place.pages,
            };
            // SAFETY: By the contract it is valid for writes.
            unsafe { run.write(found) };
            Ok(())
        }))
    }

    /// # Safety
    ///
    /// `pages` is null or valid for `count` writes.
    fn reeve_rs_bo_pages(
        which: u32,
        bo: u64,
        pages: *mut *mut kernel::bindings::page,
        count_: u64,
        site: c_ulong,
        task: c_ulong,
    ) -> i64 {
        let name = match which {
            bindings::REEVE_PAGES_SG => c"reeve_bo_get_sg_table",
            _ => c"reeve_bo_vmap",
        };
        count(locked(name, bo, (site, task), |bo| {
            let info = bo.info();
            if which == bindings::REEVE_PAGES_SG && info.pins == 0 {
                return Err(Failure::misuse(EINVAL, c"it is not pinned"));
            }
            if bo.page(0).is_none() {
                return Err(no_page());
            }
            if pages.is_null() {
                return Ok(info.num_pages);
            }
            for index in 0..info.num_pages.min(count_) {
                let page = bo.page(index).ok_or_else(no_page)?;
                // SAFETY: By the contract it is valid for `count_` writes, and `index` is less.
                unsafe { pages.add(index as usize).write(page.as_ptr()) };
            }
            Ok(info.num_pages)
        }))
    }

    /// # Safety
    ///
    /// `told` is null or as [`runs_of`] wants it.
    fn reeve_rs_bo_set_runs(
        bo: u64,
        told: *const bindings::reeve_bo_told,
        site: c_ulong,
        task: c_ulong,
    ) -> c_int {
        status(locked(c"reeve_bo_set_sg_table", bo, (site, task), |bo| {
            // SAFETY: The contract of this function is that of `runs_of`.
            let Some(runs) = (unsafe { runs_of(told) }) else {
                return Err(Failure::misuse(EINVAL, c"there is no sg_table"));
            };
            object::set_runs(bo, runs)
        }))
    }

    /// # Safety
    ///
    /// `new` is null, or what `vmap()` returned for all pages of the object; `address` is valid for writes.
    fn reeve_rs_bo_vmap(
        bo: u64,
        new: *mut c_void,
        address: *mut *mut c_void,
        site: c_ulong,
        task: c_ulong,
    ) -> c_int {
        status(call(c"reeve_bo_vmap", bo, (site, task), || {
            let object = kept(bo)?;
            object.with(task, |_| {
                // SAFETY: By the contract it is valid for writes.
                unsafe { address.write(object.link().vmap(new)) };
                Ok(())
            })
        }))
    }

    /// # Safety
    ///
    /// `address` is valid for writes.
    fn reeve_rs_bo_vunmap(bo: u64, address: *mut *mut c_void, site: c_ulong, task: c_ulong) -> c_int {
        status(call(c"reeve_bo_vunmap", bo, (site, task), || {
            let object = kept(bo)?;
            object.check_locked_or_op(task)?;
            let not_mapped = || Failure::misuse(EINVAL, c"it is not mapped for the kernel");
            let found = object.link().vunmap().ok_or_else(not_mapped)?;
            // SAFETY: By the contract it is valid for writes.
            unsafe { address.write(found) };
            Ok(())
        }))
    }

    /// # Safety
    ///
    /// Both are valid for writes.
    fn reeve_rs_bo_protection(
        bo: u64,
        caching: *mut u32,
        decrypted: *mut bool,
        site: c_ulong,
        task: c_ulong,
    ) -> bool {
        call(c"reeve_bo_pgprot", bo, (site, task), || {
            let protection = kept(bo)?.protection();
            // SAFETY: By the contract they are valid for writes.
            unsafe {
                caching.write(protection.caching());
                decrypted.write(protection.is_decrypted());
            }
            Ok(())
        })
        .is_ok()
    }

    /// # Safety
    ///
    /// `vma` is null, or a valid mapping of a file that is being set up, in `mmap` of its file operations.
    fn reeve_rs_bo_mmap(
        bo: u64,
        vma: *mut kernel::bindings::vm_area_struct,
        first: u64,
        site: c_ulong,
        task: c_ulong,
    ) -> c_int {
        status(call(c"reeve_bo_mmap", bo, (site, task), || {
            // SAFETY: The contract of this function is that of `mmap`.
            unsafe { kept(bo)?.mmap(manager()?, vma, first) }
        }))
    }
}

/// Returns the DMA addresses that C has read from an `sg_table`; `None`: there is none.
///
/// # Safety
///
/// `told` must be null, or valid, with `runs` valid for `count` reads, for `'a`.
unsafe fn runs_of<'a>(
    told: *const bindings::reeve_bo_told,
) -> Option<&'a [bindings::reeve_bo_dma_run]> {
    if told.is_null() {
        return None;
    }
    // SAFETY: By the contract it is valid, and its `runs` are for as many reads; C allocated them, and only it has them.
    Some(unsafe { core::slice::from_raw_parts((*told).runs, (*told).count as usize) })
}

/// Reads a descriptor, which may be longer than what is known here if the rest is 0.
///
/// # Safety
///
/// `desc` must be null or valid for the bytes that its first field says, and not written to meanwhile.
unsafe fn read_desc<'a>(
    desc: *const bindings::reeve_bo_desc,
) -> Answer<&'a bindings::reeve_bo_desc> {
    const KNOWN: usize = size_of::<bindings::reeve_bo_desc>();
    if desc.is_null() {
        return Err(Failure::misuse(EINVAL, c"there is no descriptor"));
    }
    // SAFETY: By the contract it has at least its first field.
    let size = unsafe { (*desc).size };
    if !(KNOWN..=PAGE_SIZE).contains(&size) {
        return Err(Failure::misuse(EINVAL, c"a bad size of the descriptor"));
    }
    // SAFETY: By the contract so many bytes are valid.
    let rest = unsafe { core::slice::from_raw_parts(desc.cast::<u8>().add(KNOWN), size - KNOWN) };
    if rest.iter().any(|&byte| byte != 0) {
        let what = c"the descriptor says what this module does not know";
        return Err(Failure::misuse(E2BIG, what));
    }
    // SAFETY: By the contract and the check it is valid.
    Ok(unsafe { &*desc })
}
