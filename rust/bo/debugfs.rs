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
        Act,
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
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// The files; dropping them removes them.
pub(crate) struct Files {
    _files: [File; 9],
}

impl Files {
    /// Creates the files in `dir`. Returns `ENOMEM` if there is no memory. May sleep.
    pub(crate) fn new(dir: &Dir, manager: &Arc<Manager>) -> Result<Self> {
        let shrink = Arc::new(TtShrink(manager.clone()), GFP_KERNEL)?;
        let bo_shrink = Arc::new(Trigger::new(BoShrink(manager.clone())), GFP_KERNEL)?;
        let hibernation = PrepareHibernation(manager.clone());
        let hibernation = Arc::new(Trigger::new(hibernation), GFP_KERNEL)?;
        let objects = Arc::new(BufferObjects(manager.clone()), GFP_KERNEL)?;
        let pool = Arc::new(PagePool(manager.pool().clone()), GFP_KERNEL)?;
        let pool_shrink = PagePoolShrink(manager.pool().clone());
        let pool_shrink = Arc::new(Trigger::new(pool_shrink), GFP_KERNEL)?;
        let accounting = Arc::new(Accounting(manager.clone()), GFP_KERNEL)?;
        let logs = Arc::new(DirtyLogs(manager.clone()), GFP_KERNEL)?;
        let latency = Arc::new(Latency(manager.clone()), GFP_KERNEL)?;
        Ok(Self {
            _files: [
                dir.file(c"tt_shrink", 0o400, shrink)?,
                dir.trigger(c"bo_shrink", bo_shrink)?,
                dir.trigger(c"prepare_hibernation", hibernation)?,
                dir.file(c"page_pool", 0o444, pool)?,
                dir.trigger(c"page_pool_shrink", pool_shrink)?,
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

/// Frees pages when it is asked to.
trait Frees: Send + Sync + 'static {
    /// Frees pages and returns how many, or the errno. May sleep.
    fn free(&self) -> Result<u64>;

    /// Returns about how many pages that would be now.
    fn would_free(&self) -> u64;
}

/// A file that frees pages when `1` is written to it. Reading it changes nothing: it shows how many
/// pages that would be, and how many it was the last time.
struct Trigger<T> {
    what: T,
    /// Pages, or a negative errno; [`NEVER`].
    last: Atomic<i64>,
}

/// The file was not written to yet. No errno and no number of pages.
const NEVER: i64 = i64::MIN;

impl<T> Trigger<T> {
    fn new(what: T) -> Self {
        Self {
            what,
            last: Atomic::new(NEVER),
        }
    }
}

impl<T: Frees> Show for Trigger<T> {
    fn show(&self, m: &SeqFile) -> Result {
        let would_free = with_context(|| self.what.would_free());
        seq_print!(m, "would_free {would_free}\n");
        match self.last.load(Relaxed) {
            NEVER => seq_print!(m, "last -\n"),
            last => seq_print!(m, "last {last}\n"),
        }
        Ok(())
    }
}

impl<T: Frees> Act for Trigger<T> {
    fn act(&self) -> Result {
        let freed = with_context(|| self.what.free());
        let last = match freed {
            Ok(pages) => i64::try_from(pages).unwrap_or(i64::MAX),
            Err(e) => e.to_errno().into(),
        };
        self.last.store(last, Relaxed);
        freed.map(|_| ())
    }
}

/// `prepare_hibernation`: swaps out all objects that can be, as happens before the machine
/// hibernates.
struct PrepareHibernation(Arc<Manager>);

impl Frees for PrepareHibernation {
    fn free(&self) -> Result<u64> {
        self.0.prepare_hibernation()
    }

    fn would_free(&self) -> u64 {
        self.0.evictable_pages()
    }
}

/// `bo_shrink`: scans the objects' shrinker once.
struct BoShrink(Arc<Manager>);

impl Frees for BoShrink {
    fn free(&self) -> Result<u64> {
        Ok(shrinker::scan_objects(&self.0))
    }

    fn would_free(&self) -> u64 {
        shrinker::would_free_objects(&self.0)
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

/// `page_pool_shrink`: scans the pool's shrinker once.
struct PagePoolShrink(Arc<Pool>);

impl Frees for PagePoolShrink {
    fn free(&self) -> Result<u64> {
        Ok(shrinker::scan_pool(&self.0))
    }

    fn would_free(&self) -> u64 {
        shrinker::would_free_pool(&self.0)
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
/// faults that set one, and how many of the objects have a fence.
struct DirtyLogs(Arc<Manager>);

impl Show for DirtyLogs {
    fn show(&self, m: &SeqFile) -> Result {
        seq_print!(m, "client objects dirty write_faults fenced\n");
        let mut last = 0;
        while let Some((number, logging, sums)) = with_context(|| {
            let client = self.0.clients().next(last)?;
            let logging = client.holdings().logging;
            Some((client.number(), logging, client.logs().clone()))
        }) {
            last = number;
            if logging != 0 {
                let (dirty, faults) = (sums.dirty(), sums.write_faults());
                let fenced = sums.fenced();
                seq_print!(m, "{number} {logging} {dirty} {faults} {fenced}\n");
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
