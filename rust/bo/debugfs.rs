// SPDX-License-Identifier: GPL-2.0

//! The debugfs files of page accounting.
#![deny(unsafe_code)]

mod latency;

use self::latency::Latency;
use super::{
    counters::for_each_statistic,
    pool::Pool,
    reclaim::{
        EvictScope,
        Reclaim, //
    },
    rules::{
        limits::Verdict,
        page_kind::PageKind,
        page_runs::ORDERS,
        pool::FreeListId, //
    },
    shrinker,
    Manager, //
};
use crate::{
    abstractions::debugfs::{
        Dir,
        File,
        Show, //
    },
    lock_order::with_context, //
};
use kernel::{
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::Arc, //
};

/// The files; dropping them removes them.
pub(crate) struct Files {
    _files: [File; 9],
}

impl Files {
    /// Creates the files in `dir`. Returns `ENOMEM` if there is no memory. May sleep.
    pub(crate) fn new(dir: &Dir, manager: &Arc<Manager>) -> Result<Self> {
        let shrink = Arc::new(TtShrink(manager.clone()), GFP_KERNEL)?;
        let bo_shrink = Arc::new(BoShrink(manager.clone()), GFP_KERNEL)?;
        let hibernation = Arc::new(PrepareHibernation(manager.clone()), GFP_KERNEL)?;
        let objects = Arc::new(BufferObjects(manager.clone()), GFP_KERNEL)?;
        let pool = Arc::new(PagePool(manager.pool().clone()), GFP_KERNEL)?;
        let pool_shrink = Arc::new(PagePoolShrink(manager.pool().clone()), GFP_KERNEL)?;
        let accounting = Arc::new(Accounting(manager.clone()), GFP_KERNEL)?;
        let logs = Arc::new(DirtyLogs(manager.clone()), GFP_KERNEL)?;
        let latency = Arc::new(Latency(manager.clone()), GFP_KERNEL)?;
        Ok(Self {
            _files: [
                dir.file(c"tt_shrink", 0o400, shrink)?,
                dir.file(c"bo_shrink", 0o400, bo_shrink)?,
                dir.file(c"prepare_hibernation", 0o400, hibernation)?,
                dir.file(c"page_pool", 0o444, pool)?,
                dir.file(c"page_pool_shrink", 0o400, pool_shrink)?,
                dir.file(c"buffer_objects", 0o444, objects)?,
                dir.file(c"accounting", 0o444, accounting)?,
                dir.file(c"dirty_logs", 0o444, logs)?,
                dir.file(c"latency", 0o444, latency)?,
            ],
        })
    }
}

/// `tt_shrink`: reading it does one global swapout and shows the pages freed or the negative errno.
///
/// As in C TTM the read itself has the effect, for tests; hence only root may read it.
struct TtShrink(Arc<Manager>);

impl Show for TtShrink {
    fn show(&self, m: &SeqFile) -> Result {
        match with_context(|| self.0.evict_one(EvictScope::Any)) {
            Ok(pages) => seq_print!(m, "{pages}\n"),
            Err(e) => seq_print!(m, "{}\n", e.to_errno()),
        }
        Ok(())
    }
}

/// `prepare_hibernation`: reading it swaps out all objects that can be, as happens before the
/// machine hibernates, and shows the pages freed or the negative errno.
struct PrepareHibernation(Arc<Manager>);

impl Show for PrepareHibernation {
    fn show(&self, m: &SeqFile) -> Result {
        match with_context(|| self.0.prepare_hibernation()) {
            Ok(pages) => seq_print!(m, "{pages}\n"),
            Err(e) => seq_print!(m, "{}\n", e.to_errno()),
        }
        Ok(())
    }
}

/// `bo_shrink`: reading it scans the objects' shrinker once and shows the pages freed.
struct BoShrink(Arc<Manager>);

impl Show for BoShrink {
    fn show(&self, m: &SeqFile) -> Result {
        let freed = with_context(|| shrinker::scan_objects(&self.0));
        seq_print!(m, "{freed}\n");
        Ok(())
    }
}

/// `page_pool`: free pages kept of each memory node and kind, by order.
struct PagePool(Arc<Pool>);

impl Show for PagePool {
    fn show(&self, m: &SeqFile) -> Result {
        seq_print!(m, "node kind    ");
        for order in 0..ORDERS {
            seq_print!(m, " {:>8}", order);
        }
        seq_print!(m, " {:>8}\n", "pages");
        let mut total = 0;
        for node in 0..self.0.nodes() {
            let stock = with_context(|| self.0.free_counts(node));
            for (index, kind) in PageKind::ALL.into_iter().enumerate() {
                let dma32 = if kind.dma32 { "32" } else { "" };
                let name = kind.caching.name();
                let pad = 8 - name.len() - dma32.len();
                seq_print!(m, "{node:<4} {name}{dma32}{:pad$}", "");
                let mut sum = 0;
                for order in 0..ORDERS {
                    let pages = stock.blocks(FreeListId { kind: index, order }) << order;
                    seq_print!(m, " {pages:>8}");
                    sum += pages;
                }
                seq_print!(m, " {sum:>8}\n");
                total += sum;
            }
        }
        seq_print!(m, "total {total} of {}\n", self.0.cap());
        Ok(())
    }
}

/// `page_pool_shrink`: reading it scans the pool's shrinker once and shows the pages freed.
struct PagePoolShrink(Arc<Pool>);

impl Show for PagePoolShrink {
    fn show(&self, m: &SeqFile) -> Result {
        let freed = with_context(|| shrinker::scan_pool(&self.0));
        seq_print!(m, "{freed}\n");
        Ok(())
    }
}

/// `buffer_objects`: the number of buffer objects.
struct BufferObjects(Arc<Manager>);

impl Show for BufferObjects {
    fn show(&self, m: &SeqFile) -> Result {
        seq_print!(m, "{}\n", self.0.accounting().objects());
        Ok(())
    }
}

/// `dirty_logs`: the open files with objects that log writes: how many, pages whose bits are set, page
/// faults that set one.
struct DirtyLogs(Arc<Manager>);

impl Show for DirtyLogs {
    fn show(&self, m: &SeqFile) -> Result {
        seq_print!(m, "client objects dirty write_faults\n");
        let mut last = 0;
        while let Some((number, sums)) = with_context(|| {
            let client = self.0.clients().next(last)?;
            Some((client.number(), client.holdings()))
        }) {
            last = number;
            if sums.logging != 0 {
                let (logging, dirty, faults) = (sums.logging, sums.dirty, sums.write_faults);
                seq_print!(m, "{number} {logging} {dirty} {faults}\n");
            }
        }
        Ok(())
    }
}

/// `accounting`: every counter and limit, one per line, and the result of the self-check.
struct Accounting(Arc<Manager>);

impl Show for Accounting {
    fn show(&self, m: &SeqFile) -> Result {
        let manager = &*self.0;
        macro_rules! line {
            (ioctl $name:ident = $value:expr) => {};
            ($place:ident $name:ident = $value:expr) => {
                seq_print!(m, "{} {}\n", stringify!($name), $value);
            };
        }
        for_each_statistic!(manager, line);
        match with_context(|| manager.self_check()) {
            Verdict::Ok => seq_print!(m, "self_check ok\n"),
            Verdict::Drift { counted, summed } => {
                seq_print!(m, "self_check drift {counted} {summed}\n");
            }
            Verdict::Retry => seq_print!(m, "self_check busy\n"),
        }
        Ok(())
    }
}
