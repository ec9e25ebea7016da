// SPDX-License-Identifier: GPL-2.0

//! `held`: every thread, and every interrupt, that holds something now.
#![deny(unsafe_code)]

use crate::{
    abstractions::debugfs::Show,
    lock_order::{
        context::Holder,
        hierarchy::{
            Hierarchy,
            Names,
            Shown, //
        },
        print::{
            Hashed,
            Site, //
        },
        rules::{
            flags::{
                mode_name,
                EXCLUSIVE,
                SHARED, //
            },
            held::{
                Entry,
                HeldLocks, //
            }, //
        },
        track, //
    }, //
};
use kernel::{
    prelude::*,
    seq_file::SeqFile,
    seq_print, //
};

/// How many locks are listed at the most; what is held beyond is counted by threads.
const MAX_LISTED: usize = 2048;

/// Shows other threads while they go on: what is held throughout is right.
pub(super) struct Held;

impl Show for Held {
    fn show(&self, m: &SeqFile) -> Result {
        let mut listed = 0;
        let mut more = 0u32;
        track::for_each_holder(|holder, held| {
            let count = held.iter().count();
            if listed + count > MAX_LISTED {
                more += 1;
                return;
            }
            listed += count;
            show_holder(m, holder, held);
        });
        if more != 0 {
            seq_print!(m, "more {more}\n");
        }
        Ok(())
    }
}

fn show_holder(m: &SeqFile, holder: Holder, held: &HeldLocks) {
    match holder {
        Holder::Task(who) => seq_print!(m, "task {} {}\n", who.pid, Shown(who.comm())),
        Holder::Interrupt(cpu, level) => seq_print!(m, "irq {cpu} {level}\n"),
    }
    for entry in held.iter() {
        match Hierarchy::live(entry.hierarchy) {
            Some(slot) => slot.with_names(|names| show_entry(m, names, &entry)),
            None => show_entry(m, None, &entry),
        }
    }
}

fn show_entry(m: &SeqFile, names: Option<&Names>, entry: &Entry) {
    let order = entry.order.into();
    let (hierarchy, name) = names.map_or((&b"-"[..], &b"-"[..]), |names| {
        (names.name(), names.order(order))
    });
    let mode = mode_name(if entry.exclusive { EXCLUSIVE } else { SHARED });
    let lock = Hashed(entry.instance);
    seq_print!(m, "  {} {} order {order} ", Shown(hierarchy), Shown(name));
    let taken_at = Site {
        site: entry.site,
        lock: entry.instance,
        time: 0,
    };
    let how = if entry.waiting { "waited for" } else { "taken" };
    seq_print!(m, "{mode} lock {lock} {how} at {}", taken_at);
    if entry.key != entry.instance as u64 {
        seq_print!(m, " key {}", entry.key);
    }
    seq_print!(m, "\n");
}
