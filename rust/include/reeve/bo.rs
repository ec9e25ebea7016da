// SPDX-License-Identifier: GPL-2.0

// Page accounting for Rust drivers: safe wrappers over reeve/bo.h, whose functions they name. A driver
// includes this file into a module of its own:
//
//     mod bo {
//         include!(concat!(env!("REEVE_INCLUDE"), "/reeve/bo.rs"));
//     }
//
// `make ext` sets REEVE_INCLUDE and links with Reeve's exported symbols.
//
// Functions that call C are inlined, so that the log names the driver's code for misuse.
//
// All functions are called in process context and may sleep, but for those that say otherwise. Where
// nothing else is said, they return EPERM in a context that may not sleep, and EINTR if a fatal signal
// arrived; nothing has changed then.

use core::{
    mem::size_of,
    ops::{
        Deref,
        Range, //
    },
    ptr::{
        from_ref,
        null_mut,
        NonNull, //
    }, //
};
use kernel::{
    bindings,
    device,
    error::{
        from_err_ptr,
        to_result, //
    },
    ffi::{
        c_char,
        c_int,
        c_long,
        c_uint,
        c_void, //
    },
    mm::virt::VmaNew,
    page::{
        BorrowedPage,
        PAGE_SHIFT, //
    },
    prelude::*,
    scatterlist::SGTable,
    seq_file::SeqFile,
    str::CStr,
    sync::Arc,
    types::{
        NotThreadSafe,
        Opaque, //
    }, //
};

/// The C side, as reeve/bo.h and reeve.h declare it. A test compares them.
#[allow(dead_code)]
pub(crate) mod sys {
    use super::*;

    /// `struct reeve_device`, opaque.
    #[repr(C)]
    pub(crate) struct Device([u8; 0]);

    /// `struct reeve_client`, opaque.
    #[repr(C)]
    pub(crate) struct Client([u8; 0]);

    /// `struct reeve_buffer_object`, opaque.
    #[repr(C)]
    pub(crate) struct BufferObject([u8; 0]);

    pub(crate) const REEVE_DEVICE_DMA_RESV: u32 = 1 << 0;
    pub(crate) const REEVE_EVICT_NOWAIT: u32 = 1 << 0;
    pub(crate) const REEVE_EVICT_DROP: u32 = 1 << 1;
    pub(crate) const REEVE_EVICT_FINAL: u32 = 1 << 2;
    pub(crate) const REEVE_POPULATE_NOWAIT: u32 = 1 << 0;
    pub(crate) const REEVE_POPULATE_INTERRUPTIBLE: u32 = 1 << 1;
    pub(crate) const REEVE_POPULATE_RETRY_MAYFAIL: u32 = 1 << 2;

    pub(crate) const REEVE_BO_TYPE_DEVICE: u32 = 0;
    pub(crate) const REEVE_BO_TYPE_KERNEL: u32 = 1;
    pub(crate) const REEVE_BO_TYPE_SG: u32 = 2;

    pub(crate) const REEVE_CACHING_CACHED: u32 = 0;
    pub(crate) const REEVE_CACHING_WRITE_COMBINED: u32 = 1;
    pub(crate) const REEVE_CACHING_UNCACHED: u32 = 2;

    pub(crate) const REEVE_BO_CREATE_ZERO_ALLOC: u32 = 1 << 0;
    pub(crate) const REEVE_BO_CREATE_DMA32: u32 = 1 << 1;
    pub(crate) const REEVE_BO_CREATE_EXTERNAL_MAPPABLE: u32 = 1 << 2;
    pub(crate) const REEVE_BO_CREATE_SHMEM: u32 = 1 << 3;
    pub(crate) const REEVE_BO_CREATE_DMA_ADDRESSES: u32 = 1 << 4;
    pub(crate) const REEVE_BO_CREATE_PURGEABLE: u32 = 1 << 16;
    pub(crate) const REEVE_BO_CREATE_UNCLEARED: u32 = 1 << 17;

    pub(crate) const REEVE_BO_POPULATED: u32 = 1 << 0;
    pub(crate) const REEVE_BO_SWAPPED: u32 = 1 << 1;
    pub(crate) const REEVE_BO_BACKED_UP: u32 = 1 << 2;

    /// `struct reeve_device_ops`.
    #[repr(C)]
    pub(crate) struct DeviceOps {
        pub(crate) evict_begin:
            Option<unsafe extern "C" fn(*mut BufferObject, *mut c_void, c_uint) -> c_int>,
        pub(crate) evict_abort: Option<unsafe extern "C" fn(*mut BufferObject, *mut c_void)>,
        pub(crate) release: Option<unsafe extern "C" fn(*mut c_void)>,
        pub(crate) lock: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
        pub(crate) trylock: Option<unsafe extern "C" fn(*mut c_void) -> bool>,
        pub(crate) unlock: Option<unsafe extern "C" fn(*mut c_void)>,
        pub(crate) is_held: Option<unsafe extern "C" fn(*mut c_void) -> bool>,
    }

    /// `struct reeve_bo_desc`.
    #[repr(C)]
    pub(crate) struct BoDesc {
        pub(crate) size: usize,
        pub(crate) bytes: u64,
        pub(crate) extra_pages: u64,
        pub(crate) type_: u32,
        pub(crate) caching: u32,
        pub(crate) flags: u32,
        pub(crate) pad: u32,
        pub(crate) priv_: *mut c_void,
        pub(crate) sgt: *const bindings::sg_table,
        pub(crate) reserved: [u64; 7],
    }

    /// What a buffer object is like now: `struct reeve_bo_state`.
    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    pub(crate) struct BoState {
        pub(crate) pages: u64,
        pub(crate) resident: u64,
        pub(crate) charged: u64,
        pub(crate) flags: u32,
        pub(crate) pins: u32,
    }

    /// `struct reeve_bo_dma_run`.
    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    pub(crate) struct BoDmaRun {
        pub(crate) address: u64,
        pub(crate) pages: u64,
    }

    /// What the objects of a client hold, in pages: `struct reeve_client_stats`.
    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    pub(crate) struct ClientStats {
        pub(crate) objects: u64,
        pub(crate) total: u64,
        pub(crate) resident: u64,
        pub(crate) charged: u64,
        pub(crate) pinned: u64,
        pub(crate) swapped: u64,
        pub(crate) backed_up: u64,
        pub(crate) limit: u64,
    }

    // The kernel's structs have empty ones in them where an option is off.
    #[allow(improper_ctypes)]
    extern "C" {
        pub(crate) fn reeve_device_register(
            dev: *mut bindings::device,
            name: *const c_char,
            ops: *const DeviceOps,
            flags: c_uint,
        ) -> *mut Device;
        pub(crate) fn reeve_device_unregister(device: *mut Device) -> c_int;
        pub(crate) fn reeve_client_create() -> *mut Client;
        pub(crate) fn reeve_client_put(client: *mut Client) -> c_int;
        pub(crate) fn reeve_client_set_limit(client: *mut Client, pages: u64) -> c_int;
        pub(crate) fn reeve_client_get_stats(client: *mut Client, stats: *mut ClientStats)
            -> c_int;
        pub(crate) fn reeve_client_show_fdinfo(
            client: *mut Client,
            m: *mut bindings::seq_file,
        ) -> c_int;
        pub(crate) fn reeve_bo_create(
            device: *mut Device,
            client: *mut Client,
            desc: *const BoDesc,
        ) -> *mut BufferObject;
        pub(crate) fn reeve_bo_get(bo: *mut BufferObject) -> c_int;
        pub(crate) fn reeve_bo_put(bo: *mut BufferObject) -> c_int;
        pub(crate) fn reeve_bo_lock(bo: *mut BufferObject) -> c_int;
        pub(crate) fn reeve_bo_trylock(bo: *mut BufferObject) -> c_int;
        pub(crate) fn reeve_bo_unlock(bo: *mut BufferObject) -> c_int;
        pub(crate) fn reeve_bo_populate(bo: *mut BufferObject, flags: c_uint) -> c_long;
        pub(crate) fn reeve_bo_unpopulate(bo: *mut BufferObject) -> c_long;
        pub(crate) fn reeve_bo_pin(bo: *mut BufferObject) -> c_int;
        pub(crate) fn reeve_bo_unpin(bo: *mut BufferObject) -> c_int;
        pub(crate) fn reeve_bo_swap_out(bo: *mut BufferObject) -> c_long;
        pub(crate) fn reeve_bo_back_up(bo: *mut BufferObject, writeback: bool) -> c_long;
        pub(crate) fn reeve_bo_restore(bo: *mut BufferObject) -> c_long;
        pub(crate) fn reeve_bo_purge(bo: *mut BufferObject) -> c_long;
        pub(crate) fn reeve_bo_set_purgeable(bo: *mut BufferObject, purgeable: bool) -> c_int;
        pub(crate) fn reeve_bo_touch(bo: *mut BufferObject) -> c_int;
        pub(crate) fn reeve_bo_get_state(bo: *mut BufferObject, state: *mut BoState) -> c_int;
        pub(crate) fn reeve_bo_page(bo: *mut BufferObject, index: u64) -> *mut bindings::page;
        pub(crate) fn reeve_bo_dma_run(
            bo: *mut BufferObject,
            index: u64,
            run: *mut BoDmaRun,
        ) -> c_int;
        pub(crate) fn reeve_bo_get_sg_table(
            bo: *mut BufferObject,
            sgt: *mut bindings::sg_table,
        ) -> c_int;
        pub(crate) fn reeve_bo_set_sg_table(
            bo: *mut BufferObject,
            sgt: *const bindings::sg_table,
        ) -> c_int;
        pub(crate) fn reeve_bo_vmap(bo: *mut BufferObject) -> *mut c_void;
        pub(crate) fn reeve_bo_vunmap(bo: *mut BufferObject) -> c_int;
        pub(crate) fn reeve_bo_sync_for_cpu(bo: *mut BufferObject, first: u64, pages: u64)
            -> c_int;
        pub(crate) fn reeve_bo_sync_for_device(
            bo: *mut BufferObject,
            first: u64,
            pages: u64,
        ) -> c_int;
        pub(crate) fn reeve_bo_pgprot(
            bo: *mut BufferObject,
            prot: bindings::pgprot_t,
        ) -> bindings::pgprot_t;
        pub(crate) fn reeve_bo_mmap(
            bo: *mut BufferObject,
            vma: *mut bindings::vm_area_struct,
            first: u64,
        ) -> c_int;
        pub(crate) fn reeve_bo_unmap(bo: *mut BufferObject) -> c_int;
    }
}

#[allow(unused_imports)]
pub(crate) use self::sys::{
    BoState,
    ClientStats, //
};

/// What a driver is asked and told about the buffer objects of a device. A value of it is what the driver
/// has for the device.
///
/// The functions are called in process context, with no spinlock held and with the object locked. They may
/// not call anything for that object that wants it locked: that returns EDEADLK. They may run in any thread
/// that evicts, for several objects at once.
pub(crate) trait Driver: Send + Sync + Sized + 'static {
    /// What the driver has for each object. It is dropped after the last [`Bo`] and the last mapping of
    /// users are gone, in the first case where the [`Bo`] is dropped, in the second with `mmap_lock` held.
    type Object: Send + Sync + 'static;

    /// The lock that the driver has of its own for each object, which [`Bo::lock`] takes then; by default it has none.
    const OWN_LOCK: Option<OwnLock<Self::Object>> = None;

    /// Returns the device that pages are mapped for, with a DMA mask; by default one of Reeve's own, which
    /// reaches all memory. It is asked for once, when the device is registered.
    ///
    /// It must stay bound as long as `self` is borrowed, and `self` is borrowed until the device is
    /// unregistered and all its objects are gone.
    fn parent(&self) -> Option<&device::Device<device::Bound>> {
        None
    }

    /// The object is about to lose its pages. Afterwards neither the device nor the driver may use them:
    /// page tables are to be cleared, fences waited for. After an error, whichever it is, the object is
    /// passed over, and keeps its place.
    ///
    /// Stands for `move_notify()`.
    fn evict_begin(&self, object: &Self::Object, eviction: Eviction) -> Result;

    /// The pages stay after all. By default nothing is done.
    fn evict_abort(&self, _object: &Self::Object) {}
}

/// A lock that a driver has of its own for each object: a `dma_resv`, say, which others know as well.
///
/// Stands for the ops `lock`, `trylock`, `unlock` and `is_held` of `struct reeve_device_ops`.
pub(crate) struct OwnLock<O> {
    lock: fn(&O) -> Result,
    try_lock: fn(&O) -> bool,
    unlock: fn(&O),
    is_held: fn(&O) -> bool,
    flags: u32,
}

#[allow(dead_code)]
impl<O> OwnLock<O> {
    /// Names the functions. `lock` waits, killably: it returns EINTR if a fatal signal arrived. `try_lock`, for eviction,
    /// waits for nothing and returns whether it has the lock, and `is_held` whether it is held; by the calling thread, if
    /// that can be told.
    ///
    /// None of them may call functions of this file.
    ///
    /// # Safety
    ///
    /// The lock must exclude: between the return of `lock`, or of a `try_lock` that returned true, and `unlock` of the same
    /// object, no other call of the two may return so.
    pub(crate) const unsafe fn new(
        lock: fn(&O) -> Result,
        try_lock: fn(&O) -> bool,
        unlock: fn(&O),
        is_held: fn(&O) -> bool,
    ) -> Self {
        Self {
            lock,
            try_lock,
            unlock,
            is_held,
            flags: 0,
        }
    }

    /// The lock is the `dma_resv` of each object. With lockdep that order is known from [`Device::register`] on, before
    /// there is an object; that of a lock of another kind by its use only, from the first [`Guard::populate`] on.
    ///
    /// See `REEVE_DEVICE_DMA_RESV`.
    pub(crate) const fn dma_resv(self) -> Self {
        Self {
            flags: sys::REEVE_DEVICE_DMA_RESV,
            ..self
        }
    }
}

/// Why and how an object loses its pages.
#[derive(Clone, Copy)]
pub(crate) struct Eviction(u32);

#[allow(dead_code)]
impl Eviction {
    /// Returns whether the driver may wait and allocate; otherwise it returns EBUSY if it would have to.
    pub(crate) fn may_wait(self) -> bool {
        self.0 & sys::REEVE_EVICT_NOWAIT == 0
    }

    /// Returns whether the content is dropped, not kept.
    pub(crate) fn drops_content(self) -> bool {
        self.0 & sys::REEVE_EVICT_DROP != 0
    }

    /// Returns whether the object is being destroyed: then an error is ignored.
    pub(crate) fn is_final(self) -> bool {
        self.0 & sys::REEVE_EVICT_FINAL != 0
    }
}

/// What is behind an object's `priv`.
struct Private<T: Driver> {
    driver: Arc<T>,
    object: T::Object,
}

/// The functions that C calls for devices of this driver.
struct Ops<T: Driver>(core::marker::PhantomData<T>);

impl<T: Driver> Ops<T> {
    const OPS: sys::DeviceOps = sys::DeviceOps {
        evict_begin: Some(Self::evict_begin),
        evict_abort: Some(Self::evict_abort),
        release: Some(Self::release),
        ..match T::OWN_LOCK {
            Some(_) => Self::LOCKS,
            None => Self::NO_LOCKS,
        }
    };

    const NO_LOCKS: sys::DeviceOps = sys::DeviceOps {
        evict_begin: None,
        evict_abort: None,
        release: None,
        lock: None,
        trylock: None,
        unlock: None,
        is_held: None,
    };

    const LOCKS: sys::DeviceOps = sys::DeviceOps {
        lock: Some(Self::lock),
        trylock: Some(Self::trylock),
        unlock: Some(Self::unlock),
        is_held: Some(Self::is_held),
        ..Self::NO_LOCKS
    };

    /// # Safety
    ///
    /// As of `evict_begin`.
    unsafe extern "C" fn lock(private: *mut c_void) -> c_int {
        // SAFETY: By the contract it came from `Arc::into_raw()`, of a reference that `release` drops.
        let private = unsafe { &*private.cast::<Private<T>>() };
        match T::OWN_LOCK.map_or(Ok(()), |own| (own.lock)(&private.object)) {
            Ok(()) => 0,
            Err(e) => e.to_errno(),
        }
    }

    /// # Safety
    ///
    /// As of `evict_begin`.
    unsafe extern "C" fn trylock(private: *mut c_void) -> bool {
        // SAFETY: By the contract it came from `Arc::into_raw()`, of a reference that `release` drops.
        let private = unsafe { &*private.cast::<Private<T>>() };
        T::OWN_LOCK.is_some_and(|own| (own.try_lock)(&private.object))
    }

    /// # Safety
    ///
    /// As of `evict_begin`.
    unsafe extern "C" fn unlock(private: *mut c_void) {
        // SAFETY: By the contract it came from `Arc::into_raw()`, of a reference that `release` drops.
        let private = unsafe { &*private.cast::<Private<T>>() };
        if let Some(own) = T::OWN_LOCK {
            (own.unlock)(&private.object);
        }
    }

    /// # Safety
    ///
    /// As of `evict_begin`.
    unsafe extern "C" fn is_held(private: *mut c_void) -> bool {
        // SAFETY: By the contract it came from `Arc::into_raw()`, of a reference that `release` drops.
        let private = unsafe { &*private.cast::<Private<T>>() };
        T::OWN_LOCK.is_some_and(|own| (own.is_held)(&private.object))
    }

    /// # Safety
    ///
    /// `private` is what [`Bo::new`] gave for an object that is not released.
    unsafe extern "C" fn evict_begin(
        _bo: *mut sys::BufferObject,
        private: *mut c_void,
        flags: c_uint,
    ) -> c_int {
        // SAFETY: By the contract it came from `Arc::into_raw()`, of a reference that `release` drops.
        let private = unsafe { &*private.cast::<Private<T>>() };
        match private.driver.evict_begin(&private.object, Eviction(flags)) {
            Ok(()) => 0,
            Err(_) => EBUSY.to_errno(),
        }
    }

    /// # Safety
    ///
    /// As of `evict_begin`.
    unsafe extern "C" fn evict_abort(_bo: *mut sys::BufferObject, private: *mut c_void) {
        // SAFETY: By the contract it came from `Arc::into_raw()`, of a reference that `release` drops.
        let private = unsafe { &*private.cast::<Private<T>>() };
        private.driver.evict_abort(&private.object);
    }

    /// # Safety
    ///
    /// As of `evict_begin`; it is released by this.
    unsafe extern "C" fn release(private: *mut c_void) {
        // SAFETY: By the contract it came from `Arc::into_raw()`, and is not used again.
        drop(unsafe { Arc::from_raw(private.cast::<Private<T>>()) });
    }
}

/// A registered device, counted by reference: each [`Bo`] has one. With the last one it is unregistered.
///
/// If users still have objects of it mapped then, it stays registered, and the log says so: the device's
/// driver has to drop it after its files are closed, as when its module is removed.
pub(crate) struct Device<T: Driver>(Arc<Registration<T>>);

/// # Invariants
///
/// `device` came from `reeve_device_register()`, with the ops of `T`, and was not unregistered.
struct Registration<T: Driver> {
    device: *mut sys::Device,
    driver: Arc<T>,
}

// SAFETY: The handle may be used by any thread, and `T` is `Send` and `Sync`.
unsafe impl<T: Driver> Send for Registration<T> {}
// SAFETY: The handle may be used by any number of threads at once, and `T` is `Send` and `Sync`.
unsafe impl<T: Driver> Sync for Registration<T> {}

#[allow(dead_code)]
impl<T: Driver> Device<T> {
    /// Registers a device. `name`: that in the log, 1 to 31 bytes.
    ///
    /// Returns EINVAL if the name is too short or too long, or the parent has no DMA mask; ENOMEM.
    ///
    /// Stands for `ttm_device_init()`. See `reeve_device_register()`.
    #[inline(always)]
    pub(crate) fn register(name: &CStr, driver: T) -> Result<Self> {
        let driver = Arc::new(driver, GFP_KERNEL)?;
        // `Device` is a transparent wrapper of the C struct in an `Opaque`.
        let parent = driver.parent().map_or(null_mut(), |parent| {
            from_ref(parent).cast_mut().cast::<bindings::device>()
        });
        let (name, ops) = (name.as_char_ptr(), &Ops::<T>::OPS);
        let flags = T::OWN_LOCK.map_or(0, |own| own.flags);
        // SAFETY: The name is a string, which is copied. The ops are static, and may be called with what
        // `Bo::new` gives. The parent is null, or bound as long as `driver` is borrowed: this reference is
        // not given up before the device is unregistered, and each object that is left has another.
        let device = unsafe { sys::reeve_device_register(parent, name, ops, flags) };
        let device = from_err_ptr(device)?;
        // INVARIANT: It was registered just now.
        let registration = Registration { device, driver };
        Ok(Self(Arc::new(registration, GFP_KERNEL)?))
    }
}

impl<T: Driver> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: It is registered, by the type invariant. If objects are left it stays so, which their
        // parts of the driver outlive.
        unsafe { sys::reeve_device_unregister(self.device) };
    }
}

impl<T: Driver> Clone for Device<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Driver> Deref for Device<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.driver
    }
}

/// To which objects are charged: an open file of the driver, mostly. Dropping it ends it; its objects stay
/// charged to it as long as they live.
///
/// # Invariants
///
/// The handle came from `reeve_client_create()`, and was not put.
pub(crate) struct Client(*mut sys::Client);

// SAFETY: The handle may be used by any thread.
unsafe impl Send for Client {}
// SAFETY: The handle may be used by any number of threads at once.
unsafe impl Sync for Client {}

#[allow(dead_code)]
impl Client {
    /// Makes a client, of the current task's user. Returns ENOMEM if there is no memory.
    ///
    /// See `reeve_client_create()`.
    #[inline(always)]
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: There is nothing to keep.
        let client = unsafe { sys::reeve_client_create() };
        // INVARIANT: It was made just now.
        from_err_ptr(client).map(Self)
    }

    /// Limits what its objects may have charged, in pages; 0: to the module's parameter
    /// `file_pages_limit`. What is above it is evicted afterwards, by a work item.
    ///
    /// See `reeve_client_set_limit()`.
    #[inline(always)]
    pub(crate) fn set_limit(&self, pages: u64) -> Result {
        // SAFETY: It is a client, by the type invariant.
        to_result(unsafe { sys::reeve_client_set_limit(self.0, pages) })
    }

    /// Returns what its objects hold at one moment.
    ///
    /// See `reeve_client_get_stats()`.
    #[inline(always)]
    pub(crate) fn stats(&self) -> Result<ClientStats> {
        let mut stats = ClientStats::default();
        // SAFETY: It is a client, by the type invariant, and the place is valid for writes.
        to_result(unsafe { sys::reeve_client_get_stats(self.0, &mut stats) })?;
        Ok(stats)
    }

    /// Prints that for the driver's `show_fdinfo`, after its line `drm-driver`.
    ///
    /// Stands for `drm_show_memory_stats()`. See `reeve_client_show_fdinfo()`.
    #[inline(always)]
    pub(crate) fn show_fdinfo(&self, m: &SeqFile) -> Result {
        let m = from_ref(m).cast_mut().cast::<bindings::seq_file>();
        // SAFETY: It is a client, by the type invariant. `SeqFile` is a transparent wrapper of the C
        // struct in an `Opaque`, which only this thread uses, for it is not `Sync`.
        to_result(unsafe { sys::reeve_client_show_fdinfo(self.0, m) })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: It is a client, by the type invariant, and not used again.
        unsafe { sys::reeve_client_put(self.0) };
    }
}

/// How the processor caches an object's pages.
#[derive(Clone, Copy)]
#[allow(dead_code)]
pub(crate) enum Caching {
    /// As other memory.
    Cached,
    /// Writes are combined.
    WriteCombined,
    /// Not at all.
    Uncached,
}

/// What a buffer object is to be like; for a start, of so many bytes, for users and the device, cached.
#[derive(Clone, Copy)]
pub(crate) struct Desc {
    bytes: u64,
    extra_pages: u64,
    kind: u32,
    caching: u32,
    flags: u32,
}

#[allow(dead_code)]
impl Desc {
    /// An object of so many bytes. Stands for `ttm_tt_init()`.
    pub(crate) const fn new(bytes: u64) -> Self {
        Self {
            bytes,
            extra_pages: 0,
            kind: sys::REEVE_BO_TYPE_DEVICE,
            caching: sys::REEVE_CACHING_CACHED,
            flags: 0,
        }
    }

    const fn with(self, flag: u32) -> Self {
        Self {
            flags: self.flags | flag,
            ..self
        }
    }

    /// With pages behind that.
    pub(crate) const fn extra_pages(self, extra_pages: u64) -> Self {
        Self {
            extra_pages,
            ..self
        }
    }

    /// For the driver itself.
    pub(crate) const fn kernel(self) -> Self {
        Self {
            kind: sys::REEVE_BO_TYPE_KERNEL,
            ..self
        }
    }

    /// With the pages of another driver, which are not counted. Stands for `ttm_sg_tt_init()`.
    pub(crate) const fn external(self) -> Self {
        Self {
            kind: sys::REEVE_BO_TYPE_SG,
            ..self
        }
    }

    /// External, with pages here all the same.
    pub(crate) const fn external_mappable(self) -> Self {
        self.external().with(sys::REEVE_BO_CREATE_EXTERNAL_MAPPABLE)
    }

    /// Cached otherwise.
    pub(crate) const fn caching(self, caching: Caching) -> Self {
        let caching = match caching {
            Caching::Cached => sys::REEVE_CACHING_CACHED,
            Caching::WriteCombined => sys::REEVE_CACHING_WRITE_COMBINED,
            Caching::Uncached => sys::REEVE_CACHING_UNCACHED,
        };
        Self { caching, ..self }
    }

    /// With a DMA address for each page, see [`Guard::dma_runs`].
    pub(crate) const fn dma_addresses(self) -> Self {
        self.with(sys::REEVE_BO_CREATE_DMA_ADDRESSES)
    }

    /// Below 4 GiB.
    pub(crate) const fn dma32(self) -> Self {
        self.with(sys::REEVE_BO_CREATE_DMA32)
    }

    /// With its pages in a shmem file; cached only.
    pub(crate) const fn shmem(self) -> Self {
        self.with(sys::REEVE_BO_CREATE_SHMEM)
    }

    /// With all pages cleared when they are allocated, whatever is written next.
    pub(crate) const fn zero_alloc(self) -> Self {
        self.with(sys::REEVE_BO_CREATE_ZERO_ALLOC)
    }

    /// Eviction may drop its content rather than keep it; see [`Guard::set_purgeable`].
    pub(crate) const fn purgeable(self) -> Self {
        self.with(sys::REEVE_BO_CREATE_PURGEABLE)
    }

    /// Fresh pages are not cleared. Users can't map it.
    pub(crate) const fn uncleared(self) -> Self {
        self.with(sys::REEVE_BO_CREATE_UNCLEARED)
    }
}

/// A reference to a buffer object, with what the driver has for it. With the last one the object is
/// destroyed; if users have it mapped, when they have unmapped it. Its pages are freed whatever its pins.
///
/// Cloning it needs no memory and no context. The last one is dropped where it may sleep.
pub(crate) struct Bo<T: Driver>(Arc<Held<T>>);

/// # Invariants
///
/// `bo` came from `reeve_bo_create()`, of a device of `T`, and was not put.
struct Held<T: Driver> {
    bo: *mut sys::BufferObject,
    private: Arc<Private<T>>,
    /// Until the object is gone.
    _device: Device<T>,
}

// SAFETY: The handle may be used by any thread; all else is `Send`.
unsafe impl<T: Driver> Send for Held<T> {}
// SAFETY: The handle may be used by any number of threads at once; all else is `Sync`.
unsafe impl<T: Driver> Sync for Held<T> {}

#[allow(dead_code)]
impl<T: Driver> Bo<T> {
    /// Makes a buffer object, without pages. `client`: to which it is charged; `None`: to the driver, that
    /// is to the module's limit only. `object`: what the driver has for it; it is dropped after an error.
    ///
    /// Returns EINVAL if the description is contradictory or too large, ENODEV if the device is being
    /// removed, ENOSPC if the client has as many objects as it may have; ENOMEM.
    ///
    /// Stands for `ttm_bo_init_reserved()`. See `reeve_bo_create()`.
    #[inline(always)]
    pub(crate) fn new(
        device: &Device<T>,
        client: Option<&Client>,
        desc: &Desc,
        object: T::Object,
    ) -> Result<Self> {
        let private = Private {
            driver: device.0.driver.clone(),
            object,
        };
        let private = Arc::new(private, GFP_KERNEL)?;
        let given = private.clone().into_raw();
        let c_desc = sys::BoDesc {
            size: size_of::<sys::BoDesc>(),
            bytes: desc.bytes,
            extra_pages: desc.extra_pages,
            type_: desc.kind,
            caching: desc.caching,
            flags: desc.flags,
            pad: 0,
            priv_: given.cast_mut().cast(),
            // See `Guard::set_sg_table`.
            sgt: core::ptr::null(),
            reserved: [0; 7],
        };
        let client = client.map_or(null_mut(), |client| client.0);
        // SAFETY: Device and client are there, by their type invariants; the description is only read. The
        // ops of `T` get a reference to `Private<T>`, as they want.
        let bo = unsafe { sys::reeve_bo_create(device.0.device, client, &c_desc) };
        let bo = from_err_ptr(bo).inspect_err(|_| {
            // SAFETY: It came from `into_raw()`, and `release` is not called: there is no object.
            drop(unsafe { Arc::from_raw(given) });
        })?;
        // INVARIANT: It was made just now.
        let held = Held {
            bo,
            private,
            _device: device.clone(),
        };
        Ok(Self(Arc::new(held, GFP_KERNEL)?))
    }

    fn as_ptr(&self) -> *mut sys::BufferObject {
        self.0.bo
    }

    /// Locks the object; waits. A thread may wait for one such lock while it has another only by
    /// [`Bo::try_lock`]. It is the driver's own lock, if there is one.
    ///
    /// Returns EDEADLK if the thread has it locked, or is in [`Driver::evict_begin`] or
    /// [`Driver::evict_abort`] for it; or the error of the driver's own lock, which is not to be taken there.
    ///
    /// Stands for `ttm_bo_reserve()`. See `reeve_bo_lock()`.
    #[inline(always)]
    pub(crate) fn lock(&self) -> Result<Guard<'_, T>> {
        match T::OWN_LOCK {
            Some(own) => (own.lock)(self)?,
            // SAFETY: It is an object, by the invariant of `Held`.
            None => to_result(unsafe { sys::reeve_bo_lock(self.as_ptr()) })?,
        }
        // INVARIANT: This thread has locked it just now.
        Ok(Guard {
            bo: self,
            _thread: NotThreadSafe,
        })
    }

    /// Locks the object if that needs no waiting.
    ///
    /// Returns EBUSY if it is locked; otherwise as [`Bo::lock`].
    ///
    /// Stands for `ttm_bo_reserve()` with `no_wait`. See `reeve_bo_trylock()`.
    #[inline(always)]
    pub(crate) fn try_lock(&self) -> Result<Guard<'_, T>> {
        match T::OWN_LOCK {
            Some(own) if !(own.try_lock)(self) => return Err(EBUSY),
            Some(_) => {}
            // SAFETY: It is an object, by the invariant of `Held`.
            None => to_result(unsafe { sys::reeve_bo_trylock(self.as_ptr()) })?,
        }
        // INVARIANT: This thread has locked it just now.
        Ok(Guard {
            bo: self,
            _thread: NotThreadSafe,
        })
    }

    /// Returns how mappings of its pages have to be protected, of `prot` otherwise. Does not sleep.
    ///
    /// Stands for `ttm_io_prot()`. See `reeve_bo_pgprot()`.
    #[inline(always)]
    pub(crate) fn pgprot(&self, prot: bindings::pgprot_t) -> bindings::pgprot_t {
        // SAFETY: It is an object, by the invariant of `Held`.
        unsafe { sys::reeve_bo_pgprot(self.as_ptr(), prot) }
    }

    /// Maps the object for users, from `mmap` of the driver's file. `first`: the page of the file at which
    /// the object begins; it must be the same for all its mappings, and all of one address space. Faults
    /// populate the object. Each mapping counts as a reference. Nothing needs to be locked.
    ///
    /// Returns EINVAL if the mapping is private, or not inside the object, or the pages are external or not
    /// cleared; EPERM if it is executable; ENOMEM.
    ///
    /// Stands for `ttm_bo_mmap_obj()`. See `reeve_bo_mmap()`.
    #[inline(always)]
    pub(crate) fn mmap(&self, vma: &VmaNew, first: u64) -> Result {
        // SAFETY: It is an object, by the invariant of `Held`, and a mapping that is being set up.
        to_result(unsafe { sys::reeve_bo_mmap(self.as_ptr(), vma.as_ptr(), first) })
    }

    /// The same where users count pages from the beginning of the object: they say 0, as for a file of its
    /// own.
    ///
    /// Returns EINVAL also if the sum is too large.
    #[inline(always)]
    pub(crate) fn mmap_from_zero(&self, vma: &VmaNew, first: u64) -> Result {
        let offset = usize::try_from(first).map_err(|_| EINVAL)?;
        // SAFETY: The mapping is being set up, so no other thread knows it.
        let at = unsafe { &mut (*vma.as_ptr()).vm_pgoff };
        *at = at.checked_add(offset).ok_or(EINVAL)?;
        self.mmap(vma, first)
    }
}

impl<T: Driver> Drop for Held<T> {
    fn drop(&mut self) {
        // SAFETY: It is an object, by the type invariant, and not used again.
        unsafe { sys::reeve_bo_put(self.bo) };
    }
}

impl<T: Driver> Clone for Bo<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// What the driver has for it.
impl<T: Driver> Deref for Bo<T> {
    type Target = T::Object;

    fn deref(&self) -> &T::Object {
        &self.0.private.object
    }
}

/// Returns a number of pages, or the error.
fn pages(result: c_long) -> Result<u64> {
    u64::try_from(result).map_err(|_| Error::from_errno(result as c_int))
}

/// A locked buffer object; dropping it, by an early return too, unlocks.
///
/// User memory may not be touched meanwhile: faults wait for the object with `mmap_lock` held.
///
/// # Invariants
///
/// This thread has locked the object.
#[must_use = "the object is unlocked immediately when the guard is unused"]
pub(crate) struct Guard<'a, T: Driver> {
    bo: &'a Bo<T>,
    /// It is unlocked by the thread that locked it.
    _thread: NotThreadSafe,
}

#[allow(dead_code)]
impl<T: Driver> Guard<'_, T> {
    fn as_ptr(&self) -> *mut sys::BufferObject {
        self.bo.as_ptr()
    }

    /// Gives the object its pages, and its content if it had any. They are charged first; over a limit
    /// others are evicted. It becomes the most recently used. No OOM killer is called for its pages.
    ///
    /// Returns the number of pages gained. ENOMEM: no memory, or a hard limit; EIO: content can't be read
    /// back, or pages not be mapped for the device.
    ///
    /// Stands for `ttm_tt_populate()`. See `reeve_bo_populate()`.
    #[inline(always)]
    pub(crate) fn populate(&mut self) -> Result<u64> {
        // SAFETY: It is an object, by the invariant of `Held`.
        pages(unsafe { sys::reeve_bo_populate(self.as_ptr(), 0) })
    }

    /// The same, but objects that can't go without waiting are not evicted to make room.
    #[inline(always)]
    pub(crate) fn populate_nowait(&mut self) -> Result<u64> {
        // SAFETY: It is an object, by the invariant of `Held`.
        pages(unsafe { sys::reeve_bo_populate(self.as_ptr(), sys::REEVE_POPULATE_NOWAIT) })
    }

    /// The same, but any signal ends it, with ERESTARTSYS, and not only a fatal one.
    #[inline(always)]
    pub(crate) fn populate_interruptible(&mut self) -> Result<u64> {
        let flags = sys::REEVE_POPULATE_INTERRUPTIBLE;
        // SAFETY: It is an object, by the invariant of `Held`.
        pages(unsafe { sys::reeve_bo_populate(self.as_ptr(), flags) })
    }

    /// Drops pages and content. What is swapped out or backed up stays; see [`Guard::purge`].
    ///
    /// Returns the number of pages freed. EBUSY: it is pinned or mapped for the kernel, or
    /// [`Driver::evict_begin`] returned an error.
    ///
    /// Stands for `ttm_tt_unpopulate()`. See `reeve_bo_unpopulate()`.
    #[inline(always)]
    pub(crate) fn unpopulate(&mut self) -> Result<u64> {
        // SAFETY: It is an object, by the invariant of `Held`. Nothing borrows its pages.
        pages(unsafe { sys::reeve_bo_unpopulate(self.as_ptr()) })
    }

    /// Keeps the object in memory until as many [`Guard::unpin`].
    ///
    /// Returns EINVAL if it is not populated; of a client EPERM or ENOMEM as `mlock()` would, or ENOMEM for
    /// `pinned_pages_limit`.
    ///
    /// Stands for `ttm_bo_pin()`. See `reeve_bo_pin()`.
    #[inline(always)]
    pub(crate) fn pin(&mut self) -> Result {
        // SAFETY: It is an object, by the invariant of `Held`.
        to_result(unsafe { sys::reeve_bo_pin(self.as_ptr()) })
    }

    /// Undoes one [`Guard::pin`]. Returns EINVAL if it is not pinned.
    ///
    /// Stands for `ttm_bo_unpin()`. See `reeve_bo_unpin()`.
    #[inline(always)]
    pub(crate) fn unpin(&mut self) -> Result {
        // SAFETY: It is an object, by the invariant of `Held`.
        to_result(unsafe { sys::reeve_bo_unpin(self.as_ptr()) })
    }

    /// Moves the content out of memory, all or nothing.
    ///
    /// Returns the number of pages freed. EBUSY: as of [`Guard::unpopulate`]; EINVAL: its pages are
    /// external; ENOMEM.
    ///
    /// Stands for `ttm_tt_swapout()`. See `reeve_bo_swap_out()`.
    #[inline(always)]
    pub(crate) fn swap_out(&mut self) -> Result<u64> {
        // SAFETY: It is an object, by the invariant of `Held`. Nothing borrows its pages.
        pages(unsafe { sys::reeve_bo_swap_out(self.as_ptr()) })
    }

    /// Moves the content out of memory, as far as memory goes. `writeback`: it is sent on to swap at once.
    ///
    /// Returns the number of pages freed; errors as [`Guard::swap_out`].
    ///
    /// Stands for `ttm_bo_shrink()`. See `reeve_bo_back_up()`.
    #[inline(always)]
    pub(crate) fn back_up(&mut self, writeback: bool) -> Result<u64> {
        // SAFETY: It is an object, by the invariant of `Held`. Nothing borrows its pages.
        pages(unsafe { sys::reeve_bo_back_up(self.as_ptr(), writeback) })
    }

    /// Populates an object whose content is in a backup.
    ///
    /// Returns the number of pages gained, 0 if it is not backed up; errors as [`Guard::populate`].
    ///
    /// Stands for `ttm_tt_restore()`. See `reeve_bo_restore()`.
    #[inline(always)]
    pub(crate) fn restore(&mut self) -> Result<u64> {
        // SAFETY: It is an object, by the invariant of `Held`.
        pages(unsafe { sys::reeve_bo_restore(self.as_ptr()) })
    }

    /// Drops pages and content, also what is backed up.
    ///
    /// Returns the number of pages freed; errors as [`Guard::swap_out`].
    ///
    /// Stands for `ttm_bo_shrink()` with `purge`. See `reeve_bo_purge()`.
    #[inline(always)]
    pub(crate) fn purge(&mut self) -> Result<u64> {
        // SAFETY: It is an object, by the invariant of `Held`. Nothing borrows its pages.
        pages(unsafe { sys::reeve_bo_purge(self.as_ptr()) })
    }

    /// Lets eviction drop the content rather than keep it, or not any more. Returns whether the object has
    /// its content still.
    ///
    /// Stands for what drivers do in `MADV_DONTNEED` ioctls. See `reeve_bo_set_purgeable()`.
    #[inline(always)]
    pub(crate) fn set_purgeable(&mut self, purgeable: bool) -> Result<bool> {
        // SAFETY: It is an object, by the invariant of `Held`.
        let result = unsafe { sys::reeve_bo_set_purgeable(self.as_ptr(), purgeable) };
        to_result(result.min(0))?;
        Ok(result != 0)
    }

    /// Makes the object the most recently used.
    ///
    /// Stands for `ttm_bo_move_to_lru_tail()`. See `reeve_bo_touch()`.
    #[inline(always)]
    pub(crate) fn touch(&mut self) -> Result {
        // SAFETY: It is an object, by the invariant of `Held`.
        to_result(unsafe { sys::reeve_bo_touch(self.as_ptr()) })
    }

    /// Returns what the object is like now.
    ///
    /// Stands for `ttm_tt_is_populated()` and so on. See `reeve_bo_get_state()`.
    #[inline(always)]
    pub(crate) fn state(&self) -> Result<BoState> {
        let mut state = BoState::default();
        // SAFETY: It is an object, by the invariant of `Held`, and the place is valid for writes.
        to_result(unsafe { sys::reeve_bo_get_state(self.as_ptr(), &mut state) })?;
        Ok(state)
    }

    /// Returns a page of the object, which must be populated. EINVAL: there is none.
    ///
    /// Stands for `ttm_tt.pages[index]`. See `reeve_bo_page()`.
    #[inline(always)]
    pub(crate) fn page(&self, index: u64) -> Result<BorrowedPage<'_>> {
        // SAFETY: It is an object, by the invariant of `Held`.
        let page = from_err_ptr(unsafe { sys::reeve_bo_page(self.as_ptr(), index) })?;
        let page = NonNull::new(page).ok_or(EINVAL)?;
        // SAFETY: The page is the object's as long as it is locked and nothing drops its pages; what does
        // borrows the guard exclusively, which this borrows shared.
        Ok(unsafe { BorrowedPage::from_raw(page) })
    }

    /// Returns the DMA address of a page of an object made with [`Desc::dma_addresses`], and how many
    /// follow. EINVAL: there is no such page, or no address. It is the page's until
    /// [`Driver::evict_begin`].
    ///
    /// Stands for `ttm_tt.dma_address[index]`. See `reeve_bo_dma_run()`.
    #[inline(always)]
    pub(crate) fn dma_run(&self, index: u64) -> Result<DmaRun> {
        let mut run = sys::BoDmaRun::default();
        // SAFETY: It is an object, by the invariant of `Held`, and the place is valid for writes.
        to_result(unsafe { sys::reeve_bo_dma_run(self.as_ptr(), index, &mut run) })?;
        Ok(DmaRun {
            first: index,
            address: run.address,
            pages: run.pages,
        })
    }

    /// Returns the DMA addresses of all pages; errors as [`Guard::dma_run`].
    pub(crate) fn dma_runs(&self) -> impl Iterator<Item = Result<DmaRun>> + '_ {
        let mut left = self.state().map(|state| 0..state.pages);
        core::iter::from_fn(move || {
            let range = match &mut left {
                Ok(range) => range,
                Err(e) => {
                    let e = *e;
                    left = Ok(0..0);
                    return Some(Err(e));
                }
            };
            if range.is_empty() {
                return None;
            }
            let run = self.dma_run(range.start);
            match &run {
                Ok(run) => range.start += run.pages.max(1),
                Err(_) => *range = 0..0,
            }
            Some(run)
        })
    }

    /// Returns the pages of the object as a table to export, and pins it as long as that is there. It has
    /// no DMA addresses: the importer maps it for its device.
    ///
    /// Errors as [`Guard::pin`]; EINVAL also if its pages are external; ENOMEM.
    ///
    /// Stands for `drm_prime_pages_to_sg()`. See `reeve_bo_get_sg_table()`.
    #[inline(always)]
    pub(crate) fn export(&mut self) -> Result<Exported<T>> {
        let table = KBox::new(Opaque::<bindings::sg_table>::zeroed(), GFP_KERNEL)?;
        self.pin()?;
        // SAFETY: It is an object, by the invariant of `Held`, and the table is valid for writes.
        let filled = to_result(unsafe { sys::reeve_bo_get_sg_table(self.as_ptr(), table.get()) });
        if let Err(e) = filled {
            // It was pinned above.
            let _ = self.unpin();
            return Err(e);
        }
        // INVARIANT: It was pinned, and the table filled in, just now.
        Ok(Exported {
            table,
            bo: self.bo.clone(),
        })
    }

    /// Sets the DMA addresses of an external object, which must be populated: those of a table that its
    /// exporter has mapped for the device. They are copied, and forgotten when it is unpopulated.
    ///
    /// Returns EINVAL if they are not those of as many whole pages; ENOMEM.
    ///
    /// Stands for `drm_prime_sg_to_dma_addr_array()`. See `reeve_bo_set_sg_table()`.
    #[inline(always)]
    pub(crate) fn set_sg_table(&mut self, table: &SGTable) -> Result {
        // SAFETY: It is an object, by the invariant of `Held`. `SGTable` is a transparent wrapper of the C
        // struct, of a table that is mapped for DMA, and is only read.
        to_result(unsafe {
            sys::reeve_bo_set_sg_table(self.as_ptr(), from_ref(table).cast::<bindings::sg_table>())
        })
    }

    /// Maps the object, which must be populated, for the kernel.
    ///
    /// Returns EINVAL if it is not populated, or its pages are external; ENOMEM.
    ///
    /// Stands for `ttm_bo_vmap()`. See `reeve_bo_vmap()`.
    #[inline(always)]
    pub(crate) fn vmap(&self) -> Result<Vmap<'_, T>> {
        Ok(Vmap {
            memory: self.vmap_memory()?,
            bo: self.bo,
            _thread: NotThreadSafe,
        })
    }

    /// The same, for longer than the object is locked: it stays in memory meanwhile.
    #[inline(always)]
    pub(crate) fn vmap_kept(&self) -> Result<Mapping<T>> {
        Ok(Mapping {
            memory: self.vmap_memory()?,
            bo: self.bo.clone(),
        })
    }

    #[inline(always)]
    fn vmap_memory(&self) -> Result<Memory> {
        let bytes = self.state()?.pages << PAGE_SHIFT;
        // SAFETY: It is an object, by the invariant of `Held`.
        let address = from_err_ptr(unsafe { sys::reeve_bo_vmap(self.as_ptr()) })?;
        // INVARIANT: All its pages are mapped there.
        Ok(Memory {
            address: address.cast(),
            bytes: bytes as usize,
        })
    }

    /// Lets the processor see what the device wrote to these pages. EINVAL: there are no such pages.
    ///
    /// Stands for `dma_sync_single_for_cpu()`. See `reeve_bo_sync_for_cpu()`.
    #[inline(always)]
    pub(crate) fn sync_for_cpu(&self, range: Range<u64>) -> Result {
        let count = range.end.saturating_sub(range.start);
        // SAFETY: It is an object, by the invariant of `Held`.
        to_result(unsafe { sys::reeve_bo_sync_for_cpu(self.as_ptr(), range.start, count) })
    }

    /// Lets the device see what the processor wrote to these pages. EINVAL: there are no such pages.
    ///
    /// Stands for `dma_sync_single_for_device()`. See `reeve_bo_sync_for_device()`.
    #[inline(always)]
    pub(crate) fn sync_for_device(&self, range: Range<u64>) -> Result {
        let count = range.end.saturating_sub(range.start);
        // SAFETY: It is an object, by the invariant of `Held`.
        to_result(unsafe { sys::reeve_bo_sync_for_device(self.as_ptr(), range.start, count) })
    }

    /// Removes all mappings of users; the next access faults.
    ///
    /// Stands for `ttm_bo_unmap_virtual()`. See `reeve_bo_unmap()`.
    #[inline(always)]
    pub(crate) fn unmap_users(&mut self) -> Result {
        // SAFETY: It is an object, by the invariant of `Held`.
        to_result(unsafe { sys::reeve_bo_unmap(self.as_ptr()) })
    }
}

impl<T: Driver> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        match T::OWN_LOCK {
            Some(own) => (own.unlock)(self.bo),
            None => {
                // SAFETY: It is an object, by the invariant of `Held`, and locked by this thread.
                unsafe { sys::reeve_bo_unlock(self.as_ptr()) };
            }
        }
    }
}

/// What the driver has for it.
impl<T: Driver> Deref for Guard<'_, T> {
    type Target = T::Object;

    fn deref(&self) -> &T::Object {
        self.bo
    }
}

/// Pages whose DMA addresses follow each other.
#[derive(Clone, Copy)]
pub(crate) struct DmaRun {
    /// The number of the first page.
    pub(crate) first: u64,
    /// Its address.
    pub(crate) address: u64,
    /// How many pages, from that on.
    pub(crate) pages: u64,
}

/// Memory that is mapped for the kernel.
///
/// # Invariants
///
/// `address` is valid for reads and writes of so many bytes as long as what this is part of has not
/// unmapped it.
struct Memory {
    address: *mut u8,
    bytes: usize,
}

impl Memory {
    /// Returns the address of `len` bytes at `offset`; EINVAL: there are none.
    fn at(&self, offset: usize, len: usize) -> Result<*mut u8> {
        match offset.checked_add(len) {
            // SAFETY: By the type invariant it is in what is mapped, or at its end.
            Some(end) if end <= self.bytes => Ok(unsafe { self.address.add(offset) }),
            _ => Err(EINVAL),
        }
    }

    fn read(&self, offset: usize, to: &mut [u8]) -> Result {
        let from = self.at(offset, to.len())?;
        // SAFETY: By the type invariant it may be read, and the slice is other memory.
        unsafe { copy_shared(from, to.as_mut_ptr(), to.len()) };
        Ok(())
    }

    fn write(&self, offset: usize, from: &[u8]) -> Result {
        let to = self.at(offset, from.len())?;
        // SAFETY: By the type invariant it may be written, and the slice is other memory.
        unsafe { copy_shared(from.as_ptr(), to, from.len()) };
        Ok(())
    }
}

/// Copies bytes. Users, devices and other threads may access them meanwhile, for each is copied by a
/// volatile access, which the kernel's memory model allows.
///
/// # Safety
///
/// `from` is valid for reads and `to` for writes of `len` bytes. They do not overlap.
unsafe fn copy_shared(from: *const u8, to: *mut u8, len: usize) {
    const WORD: usize = size_of::<usize>();
    let mut at = 0;
    // SAFETY: All that is accessed is below `len`; by whole words only where both are aligned.
    unsafe {
        if from.addr() % WORD == to.addr() % WORD {
            while at < len && from.add(at).addr() % WORD != 0 {
                to.add(at).write_volatile(from.add(at).read_volatile());
                at += 1;
            }
            while len - at >= WORD {
                let word = from.add(at).cast::<usize>().read_volatile();
                to.add(at).cast::<usize>().write_volatile(word);
                at += WORD;
            }
        }
        while at < len {
            to.add(at).write_volatile(from.add(at).read_volatile());
            at += 1;
        }
    }
}

/// A locked object that is mapped for the kernel; dropping it unmaps it.
#[must_use = "the object is unmapped immediately when this is unused"]
pub(crate) struct Vmap<'a, T: Driver> {
    memory: Memory,
    bo: &'a Bo<T>,
    /// It is unmapped by the thread that has the object locked.
    _thread: NotThreadSafe,
}

#[allow(dead_code)]
impl<T: Driver> Vmap<'_, T> {
    /// Copies bytes of the object. EINVAL: it has none there.
    pub(crate) fn read(&self, offset: usize, to: &mut [u8]) -> Result {
        self.memory.read(offset, to)
    }

    /// Copies bytes into the object. EINVAL: there is no room.
    pub(crate) fn write(&self, offset: usize, from: &[u8]) -> Result {
        self.memory.write(offset, from)
    }

    /// Returns the number of bytes, which is that of whole pages.
    pub(crate) fn bytes(&self) -> usize {
        self.memory.bytes
    }
}

impl<T: Driver> Drop for Vmap<'_, T> {
    fn drop(&mut self) {
        // SAFETY: It is an object, by the invariant of `Held`, locked by this thread, for this borrows the
        // guard; `Guard::vmap` mapped it.
        unsafe { sys::reeve_bo_vunmap(self.bo.as_ptr()) };
    }
}

/// An object that is mapped for the kernel, and stays in memory meanwhile.
///
/// Dropping it locks and unmaps the object; where the thread has that locked, [`Mapping::unmap`] is to be
/// used. If a fatal signal arrives while that waits, the object stays mapped until it is destroyed.
pub(crate) struct Mapping<T: Driver> {
    memory: Memory,
    bo: Bo<T>,
}

// SAFETY: The memory may be used by any thread, and is copied as if others wrote it.
unsafe impl<T: Driver> Send for Mapping<T> {}
// SAFETY: Through a shared reference the memory is only copied, as if others wrote it meanwhile, and the
// object's handle may be used by any number of threads at once.
unsafe impl<T: Driver> Sync for Mapping<T> {}

#[allow(dead_code)]
impl<T: Driver> Mapping<T> {
    /// Copies bytes of the object. EINVAL: it has none there.
    pub(crate) fn read(&self, offset: usize, to: &mut [u8]) -> Result {
        self.memory.read(offset, to)
    }

    /// Copies bytes into the object. EINVAL: there is no room.
    pub(crate) fn write(&self, offset: usize, from: &[u8]) -> Result {
        self.memory.write(offset, from)
    }

    /// Returns the number of bytes, which is that of whole pages.
    pub(crate) fn bytes(&self) -> usize {
        self.memory.bytes
    }

    /// Unmaps the object while it is locked. EINVAL, and the mapping again: it is another object's guard.
    pub(crate) fn unmap(self, guard: &Guard<'_, T>) -> core::result::Result<(), (Error, Self)> {
        if !core::ptr::eq(guard.as_ptr(), self.bo.as_ptr()) {
            return Err((EINVAL, self));
        }
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: It is an object, by the invariant of `Held`, locked by this thread;
        // `Guard::vmap_kept` mapped it.
        unsafe { sys::reeve_bo_vunmap(this.bo.as_ptr()) };
        // SAFETY: What is read is not used again, for `this` is not dropped.
        drop(unsafe { core::ptr::read(&this.bo) });
        Ok(())
    }
}

impl<T: Driver> Drop for Mapping<T> {
    fn drop(&mut self) {
        let guard = self.bo.lock();
        if matches!(guard, Ok(_) | Err(EDEADLK)) {
            // SAFETY: It is an object, by the invariant of `Held`; it is locked by this thread, or that is
            // found out. `Guard::vmap_kept` mapped it.
            unsafe { sys::reeve_bo_vunmap(self.bo.as_ptr()) };
        }
    }
}

/// The pages of a pinned object as a table, for the exporter of a dma-buf.
///
/// Dropping it frees the table, locks the object and unpins it. If a fatal signal arrives while that
/// waits, the object stays pinned until it is destroyed.
///
/// # Invariants
///
/// The object is pinned for this, and the table was filled in by `reeve_bo_get_sg_table()`.
pub(crate) struct Exported<T: Driver> {
    table: KBox<Opaque<bindings::sg_table>>,
    bo: Bo<T>,
}

#[allow(dead_code)]
impl<T: Driver> Exported<T> {
    /// Returns the table, which is there as long as this.
    pub(crate) fn as_ptr(&self) -> *mut bindings::sg_table {
        self.table.get()
    }
}

impl<T: Driver> Drop for Exported<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the table was filled in, and is not used again.
        unsafe { bindings::sg_free_table(self.table.get()) };
        if let Ok(mut guard) = self.bo.lock() {
            // It was pinned for this.
            let _ = guard.unpin();
        }
    }
}
