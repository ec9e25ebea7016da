// SPDX-License-Identifier: GPL-2.0-or-later

//! The facts as text, in lines of at most 100 columns.

use std::io;
use std::io::Write;

use crate::table::clip;
use crate::table::Align;
use crate::table::Table;

use super::facts::Facts;
use super::facts::Overview;
use super::graph::Cluster;
use super::graph::Graph;
use super::graph::Kind;
use super::held::Held;
use super::hierarchies::Rule;
use super::record::HeldLock;
use super::record::Level;
use super::record::Mode;
use super::record::Order;
use super::record::Who;
use super::violations::Pair;
use super::violations::Violations;
use super::View;
use crate::line::Name;

const WIDTH: usize = 100;
const INDENT: &str = "  ";

/// Prints what `view` shows. A single view is more detailed than its part of the whole.
pub(super) fn print(facts: &Facts, view: View, out: &mut dyn Write) -> io::Result<()> {
    let alone = view != View::All;
    let mut out = Sections { out, first: true };
    if facts.tracking == Some(false) {
        out.section("Tracking is off (lock_tracking is 0): nothing new is recorded.")?;
    }
    if let Some(found) = &facts.hierarchies {
        hierarchies(found, alone, out.section("Hierarchies")?)?;
    }
    if let Some(found) = &facts.held {
        held(found, out.section("Held now")?)?;
    }
    if let Some(found) = &facts.violations {
        violations(found, alone, out.section("Violations")?)?;
    }
    if let Some(found) = facts.graph.as_ref().filter(|_| alone) {
        graph(found, out.section("Taken while holding")?)?;
    }
    Ok(())
}

/// Sections with a title each and an empty line between.
struct Sections<'out> {
    out: &'out mut dyn Write,
    first: bool,
}

impl Sections<'_> {
    fn section(&mut self, title: &str) -> io::Result<&mut dyn Write> {
        if !self.first {
            writeln!(self.out)?;
        }
        self.first = false;
        writeln!(self.out, "{title}")?;
        Ok(&mut *self.out)
    }
}

fn sentence(text: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{INDENT}{text}")
}

fn hierarchies(found: &[Overview], alone: bool, out: &mut dyn Write) -> io::Result<()> {
    if found.is_empty() {
        return sentence("None is registered.", out);
    }
    let mut table = Table::new(&[
        ("hierarchy", Align::Left),
        ("order", Align::Right),
        ("name", Align::Left),
        ("nestable", Align::Left),
        ("taken", Align::Left),
        ("rules", Align::Right),
        ("violations", Align::Right),
    ]);
    for hierarchy in found {
        let head = [
            hierarchy.name.to_string(),
            hierarchy.rules.len().to_string(),
            known(hierarchy.violations),
        ];
        // What is the hierarchy's stands beside its first order.
        let [name, rules, violations] = &head;
        if hierarchy.orders.is_empty() {
            let empty = String::new;
            let (rules, violations) = (rules.clone(), violations.clone());
            table.row([
                name.clone(),
                empty(),
                empty(),
                empty(),
                empty(),
                rules,
                violations,
            ]);
        }
        for (index, order) in hierarchy.orders.iter().enumerate() {
            let once = |text: &String| {
                if index == 0 {
                    text.clone()
                } else {
                    String::new()
                }
            };
            table.row([
                once(name),
                order.order.to_string(),
                order.name.to_string(),
                yes(order.nestable, ""),
                order
                    .taken
                    .map_or_else(unknown, |taken| yes(taken, "never")),
                once(rules),
                once(violations),
            ]);
        }
    }
    table.print_within(INDENT, WIDTH, out)?;
    if alone {
        rules(found, out)?;
    }
    Ok(())
}

fn yes(is: bool, otherwise: &str) -> String {
    if is { "yes" } else { otherwise }.to_owned()
}

fn unknown() -> String {
    "?".to_owned()
}

fn known(number: Option<u64>) -> String {
    number.map_or_else(unknown, |number| number.to_string())
}

fn rules(found: &[Overview], out: &mut dyn Write) -> io::Result<()> {
    for hierarchy in found.iter().filter(|hierarchy| !hierarchy.rules.is_empty()) {
        writeln!(out)?;
        sentence(
            &clip(&format!("Rules of {}", hierarchy.name), WIDTH - 2),
            out,
        )?;
        for rule in &hierarchy.rules {
            let Rule {
                order, while_held, ..
            } = rule;
            let mode = match rule.mode {
                None | Some(Mode::Any) => String::new(),
                Some(mode) => format!(" {}", mode.text()),
            };
            let unless = match &rule.unless_held {
                None => String::new(),
                Some(unless) => format!(", unless {unless} is held"),
            };
            let text = format!("no {order} while {while_held} is held{mode}{unless}");
            writeln!(out, "    {}", clip(&text, WIDTH - 4))?;
        }
    }
    Ok(())
}

fn held(found: &Held, out: &mut dyn Write) -> io::Result<()> {
    if found.holders.is_empty() && found.more == 0 {
        return sentence(
            "Nothing: no thread and no interrupt holds a lock of a hierarchy.",
            out,
        );
    }
    // Where it was taken is beside the rest if there is room for all of them, else below.
    let beside = held_table(found, true);
    if beside.fits(INDENT, WIDTH) {
        beside.print_within(INDENT, WIDTH, out)?;
    } else {
        held_table(found, false).print_within(INDENT, WIDTH, out)?;
    }
    if found.more > 0 {
        sentence(&format!("... and {} more threads", found.more), out)?;
    }
    Ok(())
}

fn held_table(found: &Held, beside: bool) -> Table {
    let mut columns = vec![
        ("held by", Align::Left),
        ("lock", Align::Left),
        ("mode", Align::Left),
        ("address", Align::Left),
    ];
    if beside {
        columns.push(("taken at", Align::Left));
    }
    let mut table = Table::new(&columns);
    for holder in &found.holders {
        let mut who = short_who(&holder.who);
        for lock in &holder.locks {
            let HeldLock {
                order,
                mode,
                lock: address,
                ..
            } = &lock.lock;
            let mut cells = vec![
                std::mem::take(&mut who),
                full_name(&lock.hierarchy, order),
                mode_name(*mode).to_owned(),
                short_address(address).to_owned(),
            ];
            let place = taken_at(&lock.lock);
            if beside {
                cells.push(place);
                table.row(cells);
            } else {
                table.row(cells);
                table.note(format!("taken at {place}"));
            }
        }
        // Everything was released while it was being read.
        if holder.locks.is_empty() {
            table.row([who]);
        }
    }
    table
}

fn violations(found: &Violations, alone: bool, out: &mut dyn Write) -> io::Result<()> {
    if found.total == 0 && found.pairs.is_empty() {
        return sentence("None: every recorded use of a lock was in order.", out);
    }
    if !found.pairs.is_empty() {
        let mut table = Table::new(&[
            ("count", Align::Right),
            ("lock", Align::Left),
            ("against", Align::Left),
            ("kind", Align::Left),
            ("last by", Align::Left),
            ("seconds", Align::Right),
        ]);
        for pair in &found.pairs {
            let last = pair.last.as_ref();
            table.row([
                pair.count.to_string(),
                full_name(&pair.hierarchy, &pair.order),
                pair.against.as_ref().map_or_else(|| "-".to_owned(), name),
                pair.kind.clone(),
                last.map_or_else(unknown, |last| short_who(&last.who)),
                last.map_or_else(unknown, |last| format!("{:.6}", last.seconds)),
            ]);
            details(pair, alone, &mut table);
        }
        table.print_within(INDENT, WIDTH, out)?;
    }
    let plural = if found.total == 1 { "" } else { "s" };
    sentence(
        &format!(
            "{} violation{plural} since the module was loaded",
            found.total
        ),
        out,
    )?;
    if found.more > 0 {
        let text = format!(
            "{} of them in pairs that there was no room to remember",
            found.more
        );
        sentence(&text, out)?;
    }
    Ok(())
}

/// Returns where it happened, and what was held.
fn details(pair: &Pair, alone: bool, table: &mut Table) {
    if let Some(doing) = &pair.doing {
        let mode = doing
            .mode
            .map_or_else(String::new, |mode| format!(" {}", mode.text()));
        let place = with_key(&doing.at, doing.key);
        table.note(format!("{}{mode} at {place}", doing.operation));
    }
    let held = |lock: &HeldLock| {
        let mode = mode_name(lock.mode);
        format!("{} {mode}, taken at {}", name(&lock.order), taken_at(lock))
    };
    for lock in &pair.conflicts {
        table.note(format!("against {}", held(lock)));
    }
    if alone {
        for lock in &pair.holds {
            table.note(format!("holding {}", held(lock)));
        }
        if pair.more_held > 0 {
            table.note(format!("holding {} more", pair.more_held));
        }
    }
}

fn graph(found: &Graph, out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new(&[
        ("hierarchy", Align::Left),
        ("from", Align::Left),
        ("to", Align::Left),
        ("edge", Align::Left),
    ]);
    for cluster in &found.hierarchies {
        for edge in &cluster.edges {
            let kind = match edge.kind {
                Kind::Declared => "declared",
                Kind::Observed => "observed",
                Kind::Against => "against the order",
            };
            table.row([
                cluster.name.to_string(),
                node(cluster, edge.from),
                node(cluster, edge.to),
                kind.to_owned(),
            ]);
        }
    }
    for across in &found.across {
        table.row([
            across.from.hierarchy.to_string(),
            format!("{} {}", across.from.order, across.from.name),
            format!(
                "{} {} of {}",
                across.to.order, across.to.name, across.to.hierarchy
            ),
            "declared".to_owned(),
        ]);
    }
    if found
        .hierarchies
        .iter()
        .all(|cluster| cluster.edges.is_empty())
        && found.across.is_empty()
    {
        return sentence("Nothing: no order stands before another.", out);
    }
    table.print_within(INDENT, WIDTH, out)
}

fn node(cluster: &Cluster, order: u32) -> String {
    match cluster.node(order) {
        Some(node) => format!("{order} {}", node.name),
        None => order.to_string(),
    }
}

fn short_who(who: &Who) -> String {
    match who {
        Who::Task { pid, comm } => format!("{comm}[{pid}]"),
        Who::Irq { cpu, level } => {
            let level = match level {
                Level::Soft => "soft irq",
                Level::Hard => "hard irq",
                Level::Nmi => "NMI",
            };
            format!("{level} on cpu {cpu}")
        }
    }
}

/// Returns an order's name, or its number when it has none.
fn name(order: &Order) -> String {
    match (order.name.get(), order.order) {
        (Some(name), _) => name.to_owned(),
        (None, 0) => "-".to_owned(),
        (None, number) => format!("order {number}"),
    }
}

fn full_name(hierarchy: &Name, order: &Order) -> String {
    match (hierarchy.get(), order.order) {
        (None, _) => name(order),
        (Some(hierarchy), 0) => hierarchy.to_owned(),
        (Some(hierarchy), _) => format!("{hierarchy}.{}", name(order)),
    }
}

fn mode_name(mode: Option<Mode>) -> &'static str {
    mode.map_or("-", Mode::text)
}

/// Hashed addresses have 32 bits.
fn short_address(address: &str) -> &str {
    let short = address.strip_prefix("00000000");
    short.filter(|short| short.len() == 8).unwrap_or(address)
}

fn taken_at(lock: &HeldLock) -> String {
    let place = with_key(&lock.taken_at, lock.key);
    if lock.waiting {
        return format!("{place}, waiting");
    }
    place
}

fn with_key(place: &str, key: Option<u64>) -> String {
    match key {
        Some(key) => format!("{place}, key {key}"),
        None => place.to_owned(),
    }
}

#[cfg(test)]
mod tests;
