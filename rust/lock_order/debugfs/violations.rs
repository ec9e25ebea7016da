// SPDX-License-Identifier: GPL-2.0

//! `violations`: how many were found, in all, per hierarchy and per pair of orders, each with its
//! last report.
#![deny(unsafe_code)]

use super::named::for_each_named;
use crate::{
    abstractions::debugfs::Show,
    lock_order::{
        hierarchy::{
            self,
            joined,
            Hierarchy,
            Names,
            Shown, //
        },
        print::{
            Hashed,
            Site, //
        },
        records::{
            self,
            Pair, //
        },
        rules::{
            flags::{
                mode_name,
                EXCLUSIVE,
                MODE_MASK,
                SHARED, //
            },
            operation::Operation,
            violation::{
                kind_name,
                record::Record, //
            }, //
        }, //
    }, //
};
use kernel::{
    prelude::*,
    seq_file::SeqFile,
    seq_print, //
};

/// Shows the counters first, then the records.
pub(super) struct Violations;

impl Show for Violations {
    fn show(&self, m: &SeqFile) -> Result {
        seq_print!(m, "total {}\n", hierarchy::total_violations());
        for_each_named(|slot, names| {
            seq_print!(m, "{} {}\n", Shown(names.name()), slot.violations());
        });
        for (pair, count, record) in records::all() {
            match pair.hierarchy.and_then(Hierarchy::in_slot) {
                Some(slot) => slot.with_names(|names| show_pair(m, names, pair, count, record)),
                None => show_pair(m, None, pair, count, record),
            }
        }
        match records::without_room() {
            0 => {}
            more => seq_print!(m, "more {more}\n"),
        }
        Ok(())
    }
}

fn order_name(names: Option<&Names>, order: u8) -> Shown<'_> {
    Shown(match names {
        Some(names) if order != 0 => names.order(order.into()),
        _ => b"-",
    })
}

fn show_pair(m: &SeqFile, names: Option<&Names>, pair: Pair, count: u64, record: Option<Record>) {
    let hierarchy = Shown(names.map_or(b"-", Names::name));
    let (order, against) = (pair.order, pair.against);
    seq_print!(
        m,
        "violation {hierarchy} {} order {order}",
        order_name(names, order)
    );
    let mut buffer = [0; _];
    let against_name = match pair.other {
        0 => order_name(names, against),
        other => Shown(joined(&mut buffer, other, against.into())),
    };
    seq_print!(m, " against {against_name} order {against}");
    seq_print!(m, " count {count}\n  kind {}\n", kind_name(pair.kind));
    if let Some(record) = record {
        show_record(m, names, &record);
    }
}

fn show_record(m: &SeqFile, names: Option<&Names>, record: &Record) {
    let who = &record.who;
    let (seconds, micros) = (who.time / 1_000_000_000, who.time / 1000 % 1_000_000);
    seq_print!(m, "  last {seconds}.{micros:06} cpu {} ", who.cpu);
    match who.level_name() {
        None => seq_print!(m, "task {} {}\n", who.pid, Shown(who.comm())),
        Some(level) => seq_print!(m, "irq {} {level}\n", who.cpu),
    }
    let site = |site, lock| Site {
        site,
        lock,
        time: who.time,
    };
    let mode = match u32::from(record.flags) & MODE_MASK {
        0 => "-",
        EXCLUSIVE => "exclusive",
        SHARED => "shared",
        _ => "any",
    };
    seq_print!(m, "  doing {} {mode} ", Operation::name_of(record.doing));
    if Operation::has_lock(record.doing) {
        seq_print!(m, "lock {} ", Hashed(record.lock));
    } else {
        seq_print!(m, "lock - ");
    }
    seq_print!(m, "at {}\n", site(record.site, 0));
    for held in record.held() {
        let what = if held.conflicts { "conflicts" } else { "holds" };
        let mut buffer = [0; _];
        let name = match held.other {
            0 => order_name(names, held.order),
            other => Shown(joined(&mut buffer, other, held.order.into())),
        };
        let mode = mode_name(if held.exclusive { EXCLUSIVE } else { SHARED });
        let lock = Hashed(held.instance);
        seq_print!(
            m,
            "  {what} {name} order {} {mode} lock {lock} ",
            held.order
        );
        seq_print!(m, "taken at {}\n", site(held.site, held.instance));
    }
    if record.left_out != 0 {
        seq_print!(m, "  more {}\n", record.left_out);
    }
}
