// SPDX-License-Identifier: GPL-2.0

//! Reeve: tracks the two things that drivers get wrong, the order in which threads take locks and
//! the pages that buffer objects hold.
//!
//! | module | what is in it |
//! |---|---|
//! | [`abstractions`] | what the `kernel` crate lacks |
//! | [`lock_order`] | lock-order tracking and its sanity suite |
//! | [`bo`] | page accounting: buffer objects, their pages, limits, swapping |
//! | [`chardev`] | /dev/reeve |
//! | `bench` | what the module's operations cost, in builds that measure |

#[cfg_attr(reeve_kunit, macro_use)]
mod abstractions;
#[cfg(reeve_bench)]
mod bench;
mod bo;
mod chardev;
mod lock_order;

use crate::{
    abstractions::{
        debugfs::Dir,
        dmem,
        miscdevice,
        mistake,
        page,
        params,
        pm::SleepWatch,
        shmem,
        slab, //
    },
    bo::{
        api::Api,
        limits::{
            Limits,
            PoolCap, //
        },
        shrinker::Shrinkers,
        Manager, //
    },
    chardev::{
        OpenFile,
        Shared, //
    }, //
};
use kernel::prelude::*;

module! {
    type: Reeve,
    name: "reeve",
    authors: ["The Reeve developers"],
    description: "Lock-order tracking and page accounting",
    license: "GPL",
}

/// All state of the loaded module. Fields are dropped in order: what lets user space in goes first.
struct Reeve {
    _device: Pin<KBox<miscdevice::Registration<OpenFile>>>,
    _api: Api,
    _shrinkers: Shrinkers,
    _limits: params::Watch<Manager>,
    _sleep: SleepWatch<Manager>,
    _dmem: dmem::Region<Manager>,
    _tt_files: bo::debugfs::Files,
    _lock_order_files: lock_order::debugfs::Files,
    #[cfg(reeve_bench)]
    _bench_files: bench::Files,
    _debugfs: Dir,
    _objects: slab::Cache,
    _shmem: shmem::Mount,
    _lock_order: lock_order::LockOrder,
}

impl kernel::Module for Reeve {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        // SAFETY: This is the only call, no lock exists yet, and the field is dropped last.
        let lock_order = unsafe { lock_order::LockOrder::new() }?;
        // SAFETY: This is the only call. The field is dropped after those that user space and the
        // kernel call into the module by, so no object is left then.
        let shmem = unsafe { shmem::Mount::new() };
        // SAFETY: This is the only call, and only objects are allocated there. The field is dropped after those by which
        // there are any.
        let objects = unsafe { slab::Cache::new::<{ bo::object::Bo::BYTES }>(c"reeve_bo") }?;
        // A build that the tests must not let pass.
        if mistake::is_made(c"splat") {
            kernel::warn_on!(true);
        }
        let manager = Manager::new(
            Limits::parameters(),
            PoolCap::parameter(),
            params::devices(),
        )?;
        let debugfs = Dir::new(c"reeve");
        let tt_files = bo::debugfs::Files::new(&debugfs, &manager)?;
        let lock_order_files = lock_order::debugfs::Files::new(&debugfs)?;
        let shrinkers = Shrinkers::new(&manager)?;
        let limits = params::Watch::new(manager.clone())?;
        let sleep = SleepWatch::new(manager.clone())?;
        #[cfg(reeve_bench)]
        let bench_files = bench::Files::new(&debugfs, &manager)?;
        let dmem = dmem::Region::new(manager.clone(), page::total_ram())?;
        // SAFETY: This is the only call. Drivers use symbols of the module, so it stays until they are gone.
        let api = unsafe { Api::new(manager.clone()) }?;
        let shared = Shared {
            manager,
            sanity: lock_order.sanity_hierarchy(),
        };
        Ok(Self {
            _device: KBox::pin_init(miscdevice::Registration::new(c"reeve", shared), GFP_KERNEL)?,
            _api: api,
            _shrinkers: shrinkers,
            _limits: limits,
            _sleep: sleep,
            _dmem: dmem,
            _tt_files: tt_files,
            _lock_order_files: lock_order_files,
            #[cfg(reeve_bench)]
            _bench_files: bench_files,
            _debugfs: debugfs,
            _objects: objects,
            _shmem: shmem,
            _lock_order: lock_order,
        })
    }
}
