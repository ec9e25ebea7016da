// SPDX-License-Identifier: GPL-2.0

//! What the kernel's reclaim gets from us when memory is short.
//!
//! C original: the shrinker of `ttm_pool.c`.

use super::{
    pool::Pool,
    Manager, //
};
use crate::ffi::shrinker::{
    self,
    Allowed,
    Shrink,
    Shrinker, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// The registered shrinkers; dropping them unregisters them.
pub(crate) struct Shrinkers {
    _pool: Shrinker<Pool>,
}

impl Shrinkers {
    /// Registers them. `ENOMEM`. May sleep.
    pub(crate) fn new(manager: &Arc<Manager>) -> Result<Self> {
        Ok(Self {
            _pool: Shrinker::new(manager.pool().clone())?,
        })
    }
}

/// Free pages are the first to go: nobody misses them. Its only lock is a spinlock, under which
/// nothing is allocated.
impl Shrink for Pool {
    const NAME: &'static CStr = c"reeve-pool";
    const BATCH: u32 = 512;
    const SEEKS: i32 = 1;

    fn count(&self, node: usize) -> u64 {
        self.stock(node).pages()
    }

    fn scan(&self, node: usize, pages: u64, _: Allowed) -> u64 {
        self.statistics.scans.count();
        let freed = self.shrink_node(node, pages);
        self.statistics.scanned_pages.count_many(freed);
        freed
    }
}

/// Scans the pool's shrinker once, as reclaim would; answers the pages freed on all nodes.
pub(super) fn scan_pool(pool: &Pool) -> u64 {
    let allowed = Allowed {
        fs: false,
        io: false,
    };
    shrinker::as_reclaim(|| {
        (0..pool.nodes())
            .filter(|&node| pool.count(node) != 0)
            .map(|node| pool.scan(node, Pool::BATCH.into(), allowed))
            .sum()
    })
}
