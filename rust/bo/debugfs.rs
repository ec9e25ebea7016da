// SPDX-License-Identifier: GPL-2.0

//! The files of page accounting in debugfs.

mod latency;

use self::latency::Latency;
use super::{
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
    _files: [File; 8],
}

impl Files {
    /// Makes the files in `dir`. `ENOMEM`. May sleep.
    pub(crate) fn new(dir: &Dir, manager: &Arc<Manager>) -> Result<Self> {
        let shrink = Arc::new(TtShrink(manager.clone()), GFP_KERNEL)?;
        let bo_shrink = Arc::new(BoShrink(manager.clone()), GFP_KERNEL)?;
        let hibernation = Arc::new(PrepareHibernation(manager.clone()), GFP_KERNEL)?;
        let objects = Arc::new(BufferObjects(manager.clone()), GFP_KERNEL)?;
        let pool = Arc::new(PagePool(manager.pool().clone()), GFP_KERNEL)?;
        let pool_shrink = Arc::new(PagePoolShrink(manager.pool().clone()), GFP_KERNEL)?;
        let accounting = Arc::new(Accounting(manager.clone()), GFP_KERNEL)?;
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
                dir.file(c"latency", 0o444, latency)?,
            ],
        })
    }
}

/// `tt_shrink`: reading it does one global swapout and shows the pages freed or the negative errno.
///
/// That a read acts is C TTM's idea, kept because tests want it; hence root only.
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

/// `prepare_hibernation`: reading it does what happens before the machine sleeps, and shows the
/// pages freed or the negative errno.
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

/// `page_pool`: pages kept of each memory node and kind, by order.
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

/// `buffer_objects`: how many there are.
struct BufferObjects(Arc<Manager>);

impl Show for BufferObjects {
    fn show(&self, m: &SeqFile) -> Result {
        seq_print!(m, "{}\n", self.0.accounting().objects());
        Ok(())
    }
}

/// `accounting`: every counter and limit, one per line, and whether the accounting balance.
struct Accounting(Arc<Manager>);

impl Show for Accounting {
    fn show(&self, m: &SeqFile) -> Result {
        let accounting = self.0.accounting();
        let counted = accounting.counted();
        let limits = accounting.limits.get();
        let statistics = &accounting.statistics;
        for (name, value) in [
            ("pages_allocated", counted.pages),
            ("dma32_pages_allocated", counted.dma32),
            ("pages_limit", limits.pages),
            ("dma32_pages_limit", limits.dma32),
            ("file_pages_limit", accounting.limits.of_a_file()),
            ("open_files", with_context(|| self.0.open_files())),
            ("pool_pages", self.0.pool().kept()),
            ("page_pool_size", self.0.pool().cap()),
            ("buffer_objects", accounting.objects()),
            ("populates", statistics.populates.get()),
            ("unpopulates", statistics.unpopulates.get()),
            ("swapouts", statistics.swapouts.get()),
            ("swapins", statistics.swapins.get()),
            ("swapped_pages", statistics.swapped_pages.get()),
            ("backups", statistics.backups.get()),
            ("restores", statistics.restores.get()),
            ("backed_up_pages", statistics.backed_up_pages.get()),
            ("overcommits", statistics.overcommits.get()),
            ("file_overcommits", statistics.file_overcommits.get()),
            ("refusals", statistics.refusals.get()),
            ("evictable_pages", self.0.evictable_pages()),
            ("background_scans", statistics.background_scans.get()),
            ("direct_scans", statistics.direct_scans.get()),
            ("shrunk_pages", statistics.shrunk_pages.get()),
            ("hibernation_prepares", self.0.hibernation.prepares.get()),
            ("hibernation_pages", self.0.hibernation.pages.get()),
            ("hibernation_failures", self.0.hibernation.failures.get()),
            ("faults", statistics.faults.get()),
            ("huge_faults", statistics.huge_faults.get()),
            ("pool_scans", self.0.pool().statistics.scans.get()),
            (
                "pool_scanned_pages",
                self.0.pool().statistics.scanned_pages.get(),
            ),
        ] {
            seq_print!(m, "{name} {value}\n");
        }
        match with_context(|| self.0.self_check()) {
            Verdict::Ok => seq_print!(m, "self_check ok\n"),
            Verdict::Drift { counted, summed } => {
                seq_print!(m, "self_check drift {counted} {summed}\n");
            }
            Verdict::Retry => seq_print!(m, "self_check busy\n"),
        }
        Ok(())
    }
}
