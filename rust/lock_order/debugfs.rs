// SPDX-License-Identifier: GPL-2.0

//! /sys/kernel/debug/reeve/lock_order: what is declared, what is held, what was seen and what went
//! wrong.
//!
//! Documentation/lock-order.md describes the files; their lines are fields with single blanks
//! between them, and do not change between versions.
#![deny(unsafe_code)]

mod graph;
mod held;
mod named;
mod violations;

use self::named::for_each_named;

use super::{
    across,
    hierarchy::{
        joined,
        Hierarchy,
        Names,
        Shown, //
    },
    rules::flags::mode_name, //
};
use crate::abstractions::debugfs::{
    Dir,
    File,
    Show, //
};
use kernel::{
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::Arc, //
};

/// The files; dropping them removes them.
pub(crate) struct Files {
    _files: [File; 4],
    _dir: Dir,
}

impl Files {
    /// Makes the directory `lock_order` in `parent`, and its files. `ENOMEM`. May sleep.
    pub(crate) fn new(parent: &Dir) -> Result<Self> {
        let dir = parent.subdir(c"lock_order");
        Ok(Self {
            _files: [
                dir.file(c"hierarchies", 0o444, Arc::new(Hierarchies, GFP_KERNEL)?)?,
                dir.file(c"held", 0o444, Arc::new(held::Held, GFP_KERNEL)?)?,
                dir.file(
                    c"violations",
                    0o444,
                    Arc::new(violations::Violations, GFP_KERNEL)?,
                )?,
                dir.file(c"graph", 0o444, Arc::new(graph::Graph, GFP_KERNEL)?)?,
            ],
            _dir: dir,
        })
    }
}

/// `hierarchies`: every registered one with its orders, outermost first, and its rules.
struct Hierarchies;

impl Show for Hierarchies {
    fn show(&self, m: &SeqFile) -> Result {
        for_each_named(|slot, names| show_hierarchy(m, slot, names));
        Ok(())
    }
}

fn show_hierarchy(m: &SeqFile, slot: &Hierarchy, names: &Names) {
    slot.with_rules(|rules| {
        seq_print!(m, "hierarchy {}\n", Shown(names.name()));
        for order in 1..=rules.count {
            let nestable = if rules.is_nestable(order) {
                " nestable"
            } else {
                ""
            };
            seq_print!(m, "  {order} {}{nestable}\n", Shown(names.order(order)));
        }
        for rule in rules.conflicts {
            let order = Shown(names.order(rule.order.into()));
            let held = Shown(names.order(rule.while_held.into()));
            let mode = mode_name(rule.mode.into());
            seq_print!(m, "  rule: not {order} while {held} is held {mode}");
            if rule.unless_held != 0 {
                let unless = Shown(names.order(rule.unless_held.into()));
                seq_print!(m, " unless {unless} is held");
            }
            seq_print!(m, "\n");
        }
        for edge in across::edges().filter(|edge| edge.outer == slot.id()) {
            let mut buffer = [0; _];
            let name = joined(&mut buffer, edge.inner + 1, edge.order.into());
            seq_print!(m, "  before: {}\n", Shown(name));
        }
    });
}
