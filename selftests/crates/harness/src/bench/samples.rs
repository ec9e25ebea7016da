// SPDX-License-Identifier: GPL-2.0-or-later
//! The text in which a guest reports its measurements.
//!
//! It consists of these lines:
//!
//! ```text
//! section NAME                      the lines after it belong to this section
//! bench NAME TICKS OPERATIONS       OPERATIONS took TICKS together
//! end                               the last line: the text is complete
//! ```
//!
//! A name may be repeated, also in the text of another boot; the figures have to agree.

use std::collections::BTreeMap;

use anyhow::{bail, ensure, Context, Result};

/// The measurement whose number of instructions is known, which checks the clock: an operation is one instruction.
const CLOCK: &str = "clock.nops";

/// Prefix of lockdep's measurements: its cost depends a little on how its hash tables are filled in that boot.
const LOCKDEP: &str = "lockdep.";
/// Prefix of C TTM's measurements: it takes pages one by one, which depends on the lists of the page allocator.
const TTM: &str = "ttm.";
/// How many times as much such figures may differ.
const LOOSE_FACTOR: f64 = 3.0;

/// Prefix of what programs measure, with threads that the kernel switches between and a timer that goes on.
const VHOST: &str = "vhost.";
/// How many times as much such figures may differ.
const PROGRAM_FACTOR: f64 = 10.0;

/// Prefix of lifetimes in shmem, for which the kernel has to find memory.
const FILES: &str = "tt.life.shmem.";
/// Prefix of the measurements of the GEM helper for shmem, which makes a file each.
const GEM: &str = "gem.";

/// Prefix of figures that are the worst of many cases, which depend on chance.
const WORST: &str = "worst.";

/// What enters looks for the task's context in a chain of the table, which those of other tasks may be in as well.
const CHAINED: &[&str] = &["lock.context", "lock.fresh"];

/// Whether the worst of the figures counts, which need not repeat.
fn is_worst(name: &str) -> bool {
    name.starts_with(WORST) || CHAINED.contains(&name)
}

/// Whether figures of this name may differ more than others.
fn is_loose(name: &str) -> bool {
    [LOCKDEP, TTM, FILES, GEM, VHOST]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// A section and a name in it.
type Key = (String, String);

/// The ticks per operation of each measurement, with all repetitions.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Samples(BTreeMap<Key, Vec<f64>>);

impl Samples {
    /// Adds the text of one boot.
    pub fn read<'a>(&mut self, lines: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let mut section = None;
        let mut ended = false;
        for line in lines {
            ensure!(!ended, "after the end: {line}");
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["section", name] if is_name(name) => section = Some(name.to_owned()),
                ["bench", name, ticks, operations] if is_name(name) => {
                    let figure = figure(ticks, operations).with_context(|| line.to_owned())?;
                    let section = section
                        .clone()
                        .with_context(|| format!("in no section: {line}"))?;
                    let key = (section, name.to_owned());
                    self.0.entry(key).or_default().push(figure);
                }
                ["end"] => ended = true,
                _ => bail!("not a measurement: {line}"),
            }
        }
        ensure!(ended, "it breaks off");
        Ok(())
    }

    /// Whether a line may be part of such a text.
    pub fn is_part(line: &str) -> bool {
        let word = line.split(' ').next().unwrap_or_default();
        ["section", "bench", "end"].contains(&word)
    }

    /// Returns a line for each name whose figures do not agree. The figures of references may differ a little more.
    pub fn unsteady(&self, tolerance: f64) -> Vec<String> {
        let all = self.0.iter();
        all.filter(|((_, name), figures)| {
            let factor = match name {
                _ if name.starts_with(VHOST) => PROGRAM_FACTOR,
                _ if is_loose(name) => LOOSE_FACTOR,
                _ => 1.0,
            };
            !is_worst(name) && spread(figures) > tolerance * factor
        })
        .map(|((section, name), figures)| format!("{section}: {name} does not repeat: {figures:?}"))
        .collect()
    }

    /// Checks that a tick is one instruction.
    pub fn check(&self) -> Result<()> {
        for ((_, name), figures) in &self.0 {
            ensure!(
                name != CLOCK || figures.iter().all(|&figure| figure == 1.0),
                "the clock does not count instructions: one is {figures:?} ticks"
            );
        }
        ensure!(
            self.0.keys().any(|(_, name)| name == CLOCK),
            "{CLOCK} was not measured"
        );
        Ok(())
    }

    /// Returns the figure of a name: the least one, or the largest one of those that are the worst of many cases.
    pub fn get(&self, section: &str, name: &str) -> Result<f64> {
        let figures = self.0.get(&(section.to_owned(), name.to_owned()));
        let choose = if is_worst(name) { f64::max } else { f64::min };
        figures
            .and_then(|figures| figures.iter().copied().reduce(choose))
            .with_context(|| format!("{section}: {name} was not measured"))
    }

    /// Returns the largest relative difference between figures of one name, without those that may differ more.
    pub fn spread(&self) -> f64 {
        self.0
            .iter()
            .filter(|((_, name), _)| !is_loose(name) && !is_worst(name))
            .map(|(_, figures)| spread(figures))
            .fold(0.0, f64::max)
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._".contains(&byte))
}

fn figure(ticks: &str, operations: &str) -> Result<f64> {
    let ticks: u32 = ticks.parse().context("bad number of ticks")?;
    let operations: u32 = operations.parse().context("bad number of operations")?;
    ensure!(ticks > 0 && operations > 0, "nothing was measured");
    Ok(f64::from(ticks) / f64::from(operations))
}

/// Returns the difference between the largest and the least figure, relative to the least.
fn spread(figures: &[f64]) -> f64 {
    let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let most = figures.iter().copied().fold(0.0, f64::max);
    (most - least) / least
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Samples> {
        let mut samples = Samples::default();
        samples.read(text.lines())?;
        Ok(samples)
    }

    #[test]
    fn figures_are_ticks_per_operation() {
        let samples = read("section on\nbench lock.pair 12800 256\nend\n").unwrap();
        assert_eq!(samples.get("on", "lock.pair").unwrap(), 50.0);
        assert!(samples.get("off", "lock.pair").is_err());
        assert!(samples.get("on", "lock").is_err());
    }

    #[test]
    fn sections_are_kept_apart() {
        let samples = read("section on\nbench x 20 2\nsection off\nbench x 2 2\nend\n").unwrap();
        assert_eq!(samples.get("on", "x").unwrap(), 10.0);
        assert_eq!(samples.get("off", "x").unwrap(), 1.0);
    }

    #[test]
    fn other_lines_are_errors() {
        for text in [
            "",
            "section on\n",
            "bench x 1 1\nend\n",
            "section on\nend\nbench x 1 1\n",
            "section on\nbench x 1\nend\n",
            "section on\nbench x 1 1 1\nend\n",
            "section on\nbench x -1 1\nend\n",
            "section on\nbench x 0 1\nend\n",
            "section on\nbench x 1 0\nend\n",
            "section on\nbench x 1.5 1\nend\n",
            "section on\nbench  1 1\nend\n",
            "section on\nbench X! 1 1\nend\n",
            "section on\ncat: reeve_bench: No such file or directory\nend\n",
        ] {
            assert!(read(text).is_err(), "accepted: {text:?}");
        }
    }

    #[test]
    fn the_text_is_found_among_other_lines() {
        let console = "[    1.000000] reeve_bench: loading out-of-tree module taints kernel.\n\
                       section on\nbench x 1 1\nbenchmarks are fun\nend\n";
        let mut samples = Samples::default();
        let ours = console.lines().filter(|line| Samples::is_part(line));
        samples.read(ours).unwrap();
        assert_eq!(samples.get("on", "x").unwrap(), 1.0);
    }

    #[test]
    fn figures_have_to_repeat() {
        let clock = "section on\nbench clock.nops 100 100\n";
        let mut samples = read(&format!("{clock}bench x 1000 1\nend\n")).unwrap();
        samples
            .read(format!("{clock}bench x 1009 1\nend\n").lines())
            .unwrap();
        assert!(samples.unsteady(0.01).is_empty());
        assert!((samples.spread() - 0.009).abs() < 1e-9);
        assert_eq!(samples.get("on", "x").unwrap(), 1000.0);
        samples
            .read(format!("{clock}bench x 1011 1\nend\n").lines())
            .unwrap();
        let said = samples.unsteady(0.01).join("\n");
        assert!(said.contains("on: x does not repeat"), "{said}");
    }

    #[test]
    fn figures_of_lockdep_may_differ_a_little_more() {
        let clock = "section on\nbench clock.nops 100 100\n";
        let mut samples = read(&format!("{clock}bench lockdep.x 1000 1\nend\n")).unwrap();
        let again = |ticks| format!("{clock}bench lockdep.x {ticks} 1\nend\n");
        samples.read(again(1014).lines()).unwrap();
        assert!(samples.unsteady(0.01).is_empty());
        assert_eq!(samples.spread(), 0.0);
        samples.read(again(1031).lines()).unwrap();
        assert_eq!(samples.unsteady(0.01).len(), 1);
    }

    #[test]
    fn worst_cases_are_the_worst_of_all_boots() {
        let clock = "section on\nbench clock.nops 100 100\n";
        let mut samples = read(&format!("{clock}bench worst.x 10 1\nend\n")).unwrap();
        let again = format!("{clock}bench worst.x 5000 1\nbench worst.x 7 1\nend\n");
        samples.read(again.lines()).unwrap();
        assert!(samples.unsteady(0.01).is_empty());
        assert_eq!(samples.get("on", "worst.x").unwrap(), 5000.0);
        assert_eq!(samples.spread(), 0.0);
    }

    #[test]
    fn a_tick_has_to_be_an_instruction() {
        let right = read("section on\nbench clock.nops 100 100\nend\n").unwrap();
        right.check().unwrap();
        let wrong = read("section on\nbench clock.nops 101 100\nend\n").unwrap();
        assert!(wrong.check().is_err());
        let missing = read("section on\nbench x 1 1\nend\n").unwrap();
        assert!(missing.check().is_err());
    }
}
