// SPDX-License-Identifier: GPL-2.0

//! What a client's objects hold, as `fdinfo` shows it.
//!
//! The keys are those of the kernel's drm-usage-stats where it has one, and `reeve-...` otherwise.
//! Sizes are in KiB.
#![deny(unsafe_code)]

use super::object::Client;
use kernel::{
    page::PAGE_SIZE,
    seq_file::SeqFile,
    seq_print, //
};

/// Prints what the objects of `client` hold at one moment, and its limit. Takes the same time however
/// many objects there are, and does not wait for any.
pub(crate) fn show(client: &Client, m: &SeqFile) {
    let sums = client.holdings();
    for (name, pages) in [
        ("drm-total-system", sums.total),
        // No object is in two open files.
        ("drm-shared-system", 0),
        ("drm-resident-system", sums.resident),
        ("reeve-charged-system", sums.charged),
        ("reeve-pinned-system", sums.pinned),
        ("reeve-swapped-system", sums.swapped),
        ("reeve-backed-up-system", sums.backed_up),
    ] {
        seq_print!(m, "{name}:\t{} KiB\n", pages * (PAGE_SIZE as u64 / 1024));
    }
    if let Some(limit) = client.limit() {
        let kib = limit.saturating_mul(PAGE_SIZE as u64 / 1024);
        seq_print!(m, "reeve-limit-system:\t{kib} KiB\n");
    }
    seq_print!(m, "reeve-overcommits:\t{}\n", client.overcommits());
    seq_print!(m, "reeve-objects:\t{}\n", sums.objects);
    if sums.logging != 0 {
        let kib = client.logs().dirty() * (PAGE_SIZE as u64 / 1024);
        seq_print!(m, "reeve-logging:\t{}\n", sums.logging);
        seq_print!(m, "reeve-dirty-system:\t{kib} KiB\n");
        seq_print!(m, "reeve-write-faults:\t{}\n", client.logs().write_faults());
        seq_print!(m, "reeve-fenced:\t{}\n", client.logs().fenced());
    }
}
