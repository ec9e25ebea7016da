// SPDX-License-Identifier: GPL-2.0

//! The files of page accounting in debugfs.

use super::Manager;
use crate::{
    ffi::debugfs::{
        Dir,
        File,
        Show, //
    },
    lock_order::with_context,
    pure::accounting::Verdict, //
};
use kernel::{
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::Arc, //
};

/// The files; dropping them removes them.
pub(crate) struct Files {
    _files: [File; 3],
}

impl Files {
    /// Makes the files in `dir`. `ENOMEM`. May sleep.
    pub(crate) fn new(dir: &Dir, manager: &Arc<Manager>) -> Result<Self> {
        let shrink = Arc::new(TtShrink(manager.clone()), GFP_KERNEL)?;
        let objects = Arc::new(BufferObjects(manager.clone()), GFP_KERNEL)?;
        let accounting = Arc::new(Accounting(manager.clone()), GFP_KERNEL)?;
        Ok(Self {
            _files: [
                dir.file(c"tt_shrink", 0o400, shrink)?,
                dir.file(c"buffer_objects", 0o444, objects)?,
                dir.file(c"accounting", 0o444, accounting)?,
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
        match with_context(|| self.0.swap_out_one()) {
            Ok(pages) => seq_print!(m, "{pages}\n"),
            Err(e) => seq_print!(m, "{}\n", e.to_errno()),
        }
        Ok(())
    }
}

/// `buffer_objects`: how many there are.
struct BufferObjects(Arc<Manager>);

impl Show for BufferObjects {
    fn show(&self, m: &SeqFile) -> Result {
        seq_print!(m, "{}\n", self.0.books().objects());
        Ok(())
    }
}

/// `accounting`: every counter and limit, one per line, and whether the books balance.
struct Accounting(Arc<Manager>);

impl Show for Accounting {
    fn show(&self, m: &SeqFile) -> Result {
        let books = self.0.books();
        let counted = books.counted();
        let limits = books.limits.get();
        let statistics = &books.statistics;
        for (name, value) in [
            ("pages_allocated", counted.pages),
            ("dma32_pages_allocated", counted.dma32),
            ("pages_limit", limits.pages),
            ("dma32_pages_limit", limits.dma32),
            ("buffer_objects", books.objects()),
            ("populates", statistics.populates.get()),
            ("unpopulates", statistics.unpopulates.get()),
            ("swapouts", statistics.swapouts.get()),
            ("swapins", statistics.swapins.get()),
            ("swapped_pages", statistics.swapped_pages.get()),
            ("overcommits", statistics.overcommits.get()),
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
