// SPDX-License-Identifier: GPL-2.0

//! What the kernel's reclaim gets from the module when memory is short.
//!
//! C original: the shrinker of `ttm_pool.c`, and `ttm_bo_shrink()`.
#![deny(unsafe_code)]

use super::{
    evict::shrink_group,
    manager::Manager,
    pool::Pool,
    trace, //
};
use crate::{
    abstractions::{
        memcg::Group,
        shrinker::{
            self,
            Allowed,
            Shrink,
            Shrinker, //
        }, //
    },
    lock_order::with_context, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// The registered shrinkers; dropping them unregisters them.
pub(crate) struct Shrinkers {
    _pool: Shrinker<Pool>,
    _objects: Shrinker<Manager>,
    _cgroups: Option<Shrinker<ByMemcg>>,
}

impl Shrinkers {
    /// Registers them. Returns `ENOMEM` if there is no memory. May sleep.
    pub(crate) fn new(manager: &Arc<Manager>) -> Result<Self> {
        Ok(Self {
            _pool: Shrinker::new(manager.pool().clone())?,
            _objects: Shrinker::new(manager.clone())?,
            _cgroups: ByMemcg::register(manager)?,
        })
    }
}

/// Free pages are given back first: no object uses them. Its only lock is a spinlock, under which
/// nothing is allocated.
impl Shrink for Pool {
    const NAME: &'static CStr = c"reeve-pool";
    const BATCH: u32 = 512;
    const SEEKS: i32 = 1;
    const BY_NODE: bool = true;

    fn count(&self, node: usize, _: Option<Group<'_>>) -> u64 {
        with_context(|| self.free_counts(node).pages())
    }

    fn scan(&self, node: usize, _: Option<Group<'_>>, pages: u64, _: Allowed) -> u64 {
        self.statistics.scans.count();
        let freed = with_context(|| self.shrink_node(node, pages));
        self.statistics.scanned_pages.count_many(freed);
        freed
    }
}

/// Buffer objects, least recently used first; what is free in the pool goes before.
///
/// Reservations are only ever tried, and under the other locks nothing is allocated. Content is
/// copied to the page cache, whose locks file systems hold while they allocate; so an allocation
/// of theirs gets nothing from here. Without swap there would be no gain.
impl Shrink for Manager {
    const NAME: &'static CStr = c"reeve-objects";
    const BATCH: u32 = 512;
    const SEEKS: i32 = 2;
    const BY_NODE: bool = false;

    fn count(&self, _: usize, _: Option<Group<'_>>) -> u64 {
        match shrinker::free_swap() {
            0 => 0,
            free => with_context(|| self.evictable_pages()).min(free),
        }
    }

    fn scan(&self, _: usize, _: Option<Group<'_>>, pages: u64, allowed: Allowed) -> u64 {
        if !allowed.fs {
            return 0;
        }
        with_context(|| self.scan_objects(pages, allowed.io))
    }
}

/// The buffer objects of a memory cgroup that is at its limit, so that they are reclaimed before a task of
/// it is killed, whatever it wants memory for.
///
/// What is copied is charged to the same cgroup above its limit, and sent on to swap at once.
struct ByMemcg(Arc<Manager>);

impl ByMemcg {
    /// Registers it, if the kernel has memory cgroups.
    fn register(manager: &Arc<Manager>) -> Result<Option<Shrinker<Self>>> {
        if !cfg!(CONFIG_MEMCG) {
            return Ok(None);
        }
        let this = Arc::new(Self(manager.clone()), GFP_KERNEL)?;
        Shrinker::new(this).map(Some)
    }
}

impl Shrink for ByMemcg {
    const NAME: &'static CStr = c"reeve-memcg";
    const BATCH: u32 = 64;
    const SEEKS: i32 = 1;
    const BY_NODE: bool = true;
    const BY_MEMCG: bool = true;

    fn count(&self, node: usize, group: Option<Group<'_>>) -> u64 {
        match (group, shrinker::free_swap()) {
            (Some(group), free @ 1..) => group.pages(node).min(free),
            _ => 0,
        }
    }

    fn scan(&self, node: usize, group: Option<Group<'_>>, pages: u64, allowed: Allowed) -> u64 {
        match group {
            Some(group) if allowed.fs => {
                let freed = with_context(|| shrink_group(group, node, pages, allowed.io));
                self.0
                    .accounting()
                    .statistics
                    .shrunk_pages
                    .count_many(freed);
                freed
            }
            _ => 0,
        }
    }
}

impl Manager {
    /// Frees about `pages` pages of the pool and of objects. Returns how many.
    fn scan_objects(&self, pages: u64, writeback: bool) -> u64 {
        let drained = self.pool().drain();
        if drained >= pages || shrinker::free_swap() == 0 {
            return drained;
        }
        let statistics = &self.accounting().statistics;
        if shrinker::is_kswapd() {
            statistics.background_scans.count();
        } else {
            statistics.direct_scans.count();
        }
        let freed = trace::bo_shrink(&statistics.times, || {
            self.shrink(pages - drained, writeback)
        });
        statistics.shrunk_pages.count_many(freed);
        drained + freed
    }
}

/// Scans the objects' shrinker once, as reclaim would, and returns the number of pages freed.
pub(super) fn scan_objects(manager: &Manager) -> u64 {
    let allowed = Allowed { fs: true, io: true };
    shrinker::as_reclaim(|| manager.scan(0, None, Manager::BATCH.into(), allowed))
}

/// Scans the pool's shrinker once, as reclaim would, and returns the number of pages freed on all
/// nodes.
pub(super) fn scan_pool(pool: &Pool) -> u64 {
    let allowed = Allowed {
        fs: false,
        io: false,
    };
    shrinker::as_reclaim(|| {
        (0..pool.nodes())
            .filter(|&node| pool.count(node, None) != 0)
            .map(|node| pool.scan(node, None, Pool::BATCH.into(), allowed))
            .sum()
    })
}

/// Returns about how many pages [`scan_objects`] would free now: what is free in the pool, and objects'
/// pages up to a batch, as far as there is swap for them.
pub(super) fn would_free_objects(manager: &Manager) -> u64 {
    let (kept, batch) = (manager.pool().kept(), u64::from(Manager::BATCH));
    kept + manager.count(0, None).min(batch.saturating_sub(kept))
}

/// Returns about how many pages [`scan_pool`] would free now: of each node up to a batch.
pub(super) fn would_free_pool(pool: &Pool) -> u64 {
    (0..pool.nodes())
        .map(|node| pool.count(node, None).min(Pool::BATCH.into()))
        .sum()
}
