// SPDX-License-Identifier: GPL-2.0

//! `/proc/PID/fdinfo/FD`: the memory of an open file's objects.
//!
//! The keys are those of the kernel's drm-usage-stats where it has one, and `reeve-...` otherwise.
//! Sizes are in KiB.
#![deny(unsafe_code)]

use super::handles::Handles;
use crate::bo::{
    object::Client,
    rules::object::flags, //
};
use kernel::{
    page::PAGE_SIZE,
    seq_file::SeqFile,
    seq_print, //
};

/// Sums over an open file's objects; all but `objects` in pages.
#[derive(Default)]
struct Sums {
    objects: u64,
    total: u64,
    resident: u64,
    charged: u64,
    pinned: u64,
    swapped: u64,
    backed_up: u64,
}

/// Prints the sums over the objects of `handles`, and `client`'s limit. Reserves each object. May
/// sleep.
pub(super) fn show(handles: &Handles, client: &Client, m: &SeqFile) {
    let mut sums = Sums::default();
    let mut last = 0;
    while let Ok((handle, bo)) = handles.next(last) {
        last = handle;
        let facts = bo.reserve().info();
        let outside = facts.num_pages - facts.resident;
        sums.objects += 1;
        sums.total += facts.num_pages;
        sums.resident += facts.resident;
        sums.charged += facts.charged;
        if facts.pins != 0 {
            sums.pinned += facts.resident;
        }
        if facts.flags & flags::SWAPPED != 0 {
            sums.swapped += outside;
        }
        if facts.flags & flags::BACKED_UP != 0 {
            sums.backed_up += outside;
        }
    }

    seq_print!(m, "drm-driver:\treeve\n");
    seq_print!(m, "drm-client-id:\t{}\n", client.number());
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
}
