// SPDX-License-Identifier: GPL-2.0

//! `graph`: the declared order and what was really seen, for graphviz.
//!
//! An edge leads from each order that was held to the one taken then. What is held is looked at the
//! first time that an order follows the one taken last, which is why that costs the record path nothing.
#![deny(unsafe_code)]

use super::named::for_each_named;
use crate::{
    abstractions::debugfs::Show,
    lock_order::{
        across,
        hierarchy::{
            Hierarchy,
            Names,
            Shown,
            MAX_HIERARCHIES, //
        }, //
    }, //
};
use kernel::{
    prelude::*,
    seq_file::SeqFile,
    seq_print, //
};

/// Shows a cluster per hierarchy.
pub(super) struct Graph;

impl Show for Graph {
    fn show(&self, m: &SeqFile) -> Result {
        seq_print!(
            m,
            "digraph lock_order {{\n  rankdir=TB;\n  node [shape=box];\n"
        );
        // How many orders of each were shown.
        let mut counts = [0; MAX_HIERARCHIES];
        for_each_named(|slot, names| {
            let count = slot.count();
            show_cluster(m, slot, count, names);
            if let Some(shown) = counts.get_mut(usize::from(slot.id())) {
                *shown = count;
            }
        });
        show_across(m, &counts);
        seq_print!(m, "}}\n");
        Ok(())
    }
}

/// Shows which hierarchies come before which orders of others: an edge from the last order of one, before
/// which its others come. Of those that were shown, with so many orders.
fn show_across(m: &SeqFile, counts: &[u32; MAX_HIERARCHIES]) {
    let count = |id: u8| counts.get(usize::from(id)).copied().unwrap_or(0);
    for edge in across::edges() {
        let (from, to) = (count(edge.outer), u32::from(edge.order));
        if from != 0 && to <= count(edge.inner) {
            seq_print!(m, "  \"{}.{from}\" -> \"{}.{to}\" ", edge.outer, edge.inner);
            seq_print!(
                m,
                "[style=dashed, color=gray]; // declared, of two hierarchies\n"
            );
        }
    }
}

fn show_cluster(m: &SeqFile, slot: &Hierarchy, count: u32, names: &Names) {
    let id = slot.id();
    seq_print!(m, "  subgraph cluster_{id} {{\n");
    seq_print!(m, "    label=\"{}\";\n", Shown(names.name()));
    // Which orders were taken at all, as bits 1 to 64.
    let mut taken = 0u128;
    for before in 0..=count {
        for order in slot.taken_after(before) {
            taken |= 1 << order;
        }
    }
    slot.with_rules(|rules| {
        for order in 1..=count {
            let name = Shown(names.order(order));
            let nestable = if rules.is_nestable(order) {
                " (nestable)"
            } else {
                ""
            };
            seq_print!(
                m,
                "    \"{id}.{order}\" [label=\"{order} {name}{nestable}\""
            );
            if taken & 1 << order != 0 {
                seq_print!(m, "];\n");
            } else {
                seq_print!(m, ", style=dashed, color=gray]; // never taken\n");
            }
        }
    });
    for from in 1..=count {
        let mut next_is_seen = false;
        for to in slot.taken_after(from).filter(|&to| to <= count) {
            next_is_seen |= to == from + 1;
            seq_print!(m, "    \"{id}.{from}\" -> \"{id}.{to}\" ");
            if to > from || to == from && is_nestable(slot, to) {
                seq_print!(m, "[color=black]; // observed\n");
            } else {
                seq_print!(m, "[color=red]; // against the order\n");
            }
        }
        if from < count && !next_is_seen {
            let to = from + 1;
            seq_print!(m, "    \"{id}.{from}\" -> \"{id}.{to}\" ");
            seq_print!(m, "[style=dashed, color=gray]; // declared\n");
        }
    }
    seq_print!(m, "  }}\n");
}

fn is_nestable(slot: &Hierarchy, order: u32) -> bool {
    slot.with_rules(|rules| rules.is_nestable(order))
}
