// SPDX-License-Identifier: GPL-2.0-or-later

//! The report as text, written step by step.

use std::io;
use std::io::Write;

use crate::size;
use crate::style::Style;
use crate::table;
use crate::table::Align;

use super::demo::Plan;
use super::facts::Facts;
use super::facts::Kernel;
use super::facts::Kind;
use super::facts::LockSanity;
use super::facts::Module;
use super::facts::Object;
use super::facts::Step;

/// Title, alignment and width of the counter table's columns.
const COLUMNS: [(&str, Align, usize); 9] = [
    ("step", Align::Left, 10),
    ("pages", Align::Right, 14),
    ("limit", Align::Right, 6),
    ("swapouts", Align::Right, 8),
    ("swapins", Align::Right, 7),
    ("pages swapped", Align::Right, 13),
    ("overcommits", Align::Right, 11),
    ("freed", Align::Right, 6),
    ("ms", Align::Right, 7),
];

/// A report being written.
pub(super) struct Text<'out> {
    out: &'out mut dyn Write,
}

impl<'out> Text<'out> {
    pub(super) fn new(out: &'out mut dyn Write) -> Self {
        Self { out }
    }

    pub(super) fn head(&mut self, kernel: &Kernel, module: &Module) -> io::Result<()> {
        writeln!(self.out, "Reeve {}, ABI {}", module.release, module.abi)?;
        writeln!(
            self.out,
            "Linux {} on {}, pages of {} bytes, {}",
            kernel.release,
            kernel.machine,
            module.page_size,
            count(u64::from(module.devices), "device")
        )
    }

    pub(super) fn lock_sanity(&mut self, lock_sanity: &LockSanity) -> io::Result<()> {
        writeln!(self.out, "\nLock sanity suite")?;
        match lock_sanity {
            LockSanity::Ran(suite) => suite.print("  ", self.out),
            LockSanity::Refused { error } => writeln!(self.out, "  {error}"),
        }
    }

    pub(super) fn plan(&mut self, plan: &Plan, limit_before: u64) -> io::Result<()> {
        let bytes = |pages: u64| size::human(pages.saturating_mul(plan.page_size));
        let Plan { limit, objects, .. } = *plan;
        writeln!(self.out, "\nShrinking buffer objects")?;
        writeln!(
            self.out,
            "  {objects} objects of {}, {} pages together, each filled with a pattern of its own;",
            size::human(plan.size),
            plan.pages()
        )?;
        writeln!(
            self.out,
            "  pages_limit set to {limit} ({}) meanwhile, it was {limit_before} ({}).",
            bytes(limit),
            bytes(limit_before)
        )?;
        writeln!(self.out)?;
        let titles: Vec<String> = COLUMNS
            .iter()
            .map(|(title, ..)| (*title).to_owned())
            .collect();
        self.row(&titles)
    }

    pub(super) fn step(&mut self, step: &Step) -> io::Result<()> {
        let name = match (step.kind, step.object) {
            (Kind::Fill, Some(number)) => format!("fill {number}"),
            (Kind::ReadBack, Some(number)) => format!("read {number}"),
            (Kind::Fill, None) => "fill".to_owned(),
            (Kind::ReadBack, None) => "read".to_owned(),
            (Kind::TtShrink, _) => "tt_shrink".to_owned(),
            (Kind::Destroy, _) => "destroy".to_owned(),
        };
        let (before, after) = (&step.before, &step.after);
        self.row(&[
            name,
            format!("{} -> {:>5}", before.pages_allocated, after.pages_allocated),
            after.pages_limit.to_string(),
            after.swapouts.to_string(),
            after.swapins.to_string(),
            after.swapped_pages.to_string(),
            after.overcommits.to_string(),
            step.tt_shrink
                .map_or_else(String::new, |pages| pages.to_string()),
            format!("{:.1}", step.duration_ms),
        ])
    }

    fn row(&mut self, cells: &[String]) -> io::Result<()> {
        let align = COLUMNS.map(|(_, align, _)| align);
        let widths = COLUMNS.map(|(.., width)| width);
        let line = table::line(cells, &align, &widths);
        writeln!(self.out, "  {}", line.trim_end())?;
        self.out.flush()
    }

    pub(super) fn objects(&mut self, objects: &[Object]) -> io::Result<()> {
        writeln!(self.out, "\nContent, written and read back")?;
        for (number, object) in objects.iter().enumerate() {
            let number = number + 1;
            let same = match object.first_mismatch {
                None => "same".to_owned(),
                Some(at) => format!("DIFFERENT from byte {at} on"),
            };
            let from = if object.was_swapped {
                "from swap"
            } else {
                "from memory"
            };
            writeln!(
                self.out,
                "  object {number:>2}  {} -> {}  {from}, {same}",
                object.checksum_written, object.checksum_read
            )?;
        }
        Ok(())
    }

    pub(super) fn verdict(&mut self, facts: &Facts) -> io::Result<()> {
        writeln!(self.out, "\nChecks")?;
        for check in &facts.checks {
            let word = match check.passed {
                true => Style::Good.paint("ok  "),
                false => Style::Bad.paint("FAIL"),
            };
            writeln!(self.out, "  {word}  {:<19} {}", check.name, check.detail)?;
        }
        let all = facts.checks.len();
        let failed = facts.checks.iter().filter(|check| !check.passed).count();
        let seconds = facts.duration_ms / 1e3;
        writeln!(self.out)?;
        if facts.passed {
            writeln!(
                self.out,
                "verdict: {} ({all} of {all} checks, {seconds:.1} s)",
                Style::Good.paint("PASS")
            )
        } else {
            writeln!(
                self.out,
                "verdict: {} ({failed} of {all} checks failed, {seconds:.1} s)",
                Style::Bad.paint("FAIL")
            )
        }
    }
}

fn count(number: u64, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ => format!("{number} {thing}s"),
    }
}
