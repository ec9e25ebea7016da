// SPDX-License-Identifier: GPL-2.0-or-later

//! Reeve's selftests: run as root in the guest, on a kernel that has the module, and speak KTAP.
//!
//! `reeve-guest-tests [--list] [--suite=SUITE]... [--part=K/N] [NAME...]` runs the cases whose name
//! contains one of the words, each in a process of its own with a time limit. The standard suite needs nothing but
//! the module; `cases.rs` says what the others need. Of N parts, which together have every case once,
//! `--part=K/N` runs one. Exit codes: 0 all passed, 1 some failed, 2
//! wrong usage, 4 all were skipped.
//!
//! `REEVE_KO` says where reeve.ko is (for the cases that insert it anew), `REEVE_TIME_SCALE`
//! multiplies the time limits.

mod beside;
mod cases;
mod cgroup;
mod content;
mod dri;
mod fail_nth;
mod helper;
mod ktap;
mod kvm;
mod lockstep;
mod memory;
mod module;
mod other;
mod ours;
mod process;
mod random;
mod reference;
mod runner;
mod seen;
mod shortage;
mod test;
mod tracing;
mod transcript;

use std::process::ExitCode;

use test::Test;

const USAGE: &str = "usage: reeve-guest-tests [--list] [--suite=SUITE]... [--part=K/N] [NAME...]";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == helper::FLAG) {
        return helper::main(&args[1..]);
    }
    if args.first().is_some_and(|arg| arg == other::FLAG) {
        return other::main(&args[1..]);
    }
    let (options, names): (Vec<String>, Vec<String>) =
        args.into_iter().partition(|arg| arg.starts_with('-'));
    let mut suites = Vec::new();
    let mut list = false;
    let mut part = Part::WHOLE;
    for option in &options {
        if let Some(name) = option.strip_prefix("--suite=") {
            suites.push(name);
        } else if let Some(parsed) = option.strip_prefix("--part=").and_then(Part::parse) {
            part = parsed;
        } else if option == "--list" {
            list = true;
        } else {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    if suites.is_empty() {
        suites.push(cases::STANDARD);
    }
    let mut chosen: Vec<&Test> = Vec::new();
    for name in suites {
        let Some(cases) = cases::suite(name) else {
            eprintln!("there is no suite {name}");
            return ExitCode::from(2);
        };
        chosen.extend(choose(cases, &names));
    }
    let chosen = part.of(chosen);
    if chosen.is_empty() {
        eprintln!("no case has a name like {}; see --list", names.join(" or "));
        return ExitCode::from(2);
    }
    if list {
        for test in chosen {
            println!("{}", test.name);
        }
        return ExitCode::SUCCESS;
    }
    ktap::run(&chosen, runner::run)
}

/// One of several parts of the cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    number: usize,
    parts: usize,
}

impl Part {
    const WHOLE: Self = Self {
        number: 1,
        parts: 1,
    };

    /// `K/N`, from 1 to N.
    fn parse(text: &str) -> Option<Self> {
        let (number, parts) = text.split_once('/')?;
        let (number, parts) = (number.parse().ok()?, parts.parse().ok()?);
        (1..=parts)
            .contains(&number)
            .then_some(Self { number, parts })
    }

    /// Every so many-th of `all`: neighbours take equally long, so the parts do.
    fn of<T>(self, all: Vec<T>) -> Vec<T> {
        let mut index = 0;
        let mut all = all;
        all.retain(|_| {
            index += 1;
            (index - 1) % self.parts == self.number - 1
        });
        all
    }
}

/// The cases whose name contains one of `names`; all when there are none.
fn choose(cases: impl Iterator<Item = &'static Test>, names: &[String]) -> Vec<&'static Test> {
    cases
        .filter(|test| names.is_empty() || names.iter().any(|name| test.name.contains(name)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_plain() {
        let mut names = BTreeSet::new();
        let themes = cases::SUITES.iter().flat_map(|(_, themes)| *themes);
        for test in themes.copied().flatten() {
            assert!(names.insert(test.name), "{} is there twice", test.name);
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._".contains(c);
            assert!(test.name.chars().all(plain), "{}", test.name);
            assert_eq!(test.name.matches('.').count(), 1, "{}", test.name);
        }
        assert!(names.len() >= 60, "only {} cases", names.len());
    }

    #[test]
    fn the_parts_together_have_every_case_once() {
        for parts in 1..5 {
            let mut all: Vec<usize> = Vec::new();
            for number in 1..=parts {
                let part = Part::parse(&format!("{number}/{parts}")).unwrap();
                all.extend(part.of((0..11).collect()));
            }
            all.sort_unstable();
            assert_eq!(all, (0..11).collect::<Vec<_>>());
        }
        for wrong in ["", "1", "0/2", "3/2", "1/0", "a/2", "1/2/3", "-1/2"] {
            assert_eq!(Part::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn words_choose_by_part_of_the_name() {
        let choose = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
            super::choose(cases::suite(cases::STANDARD).unwrap(), &names)
        };
        let all = choose(&[]).len();
        let some = choose(&["life."]);
        assert!(!some.is_empty() && some.len() < all);
        assert!(some.iter().all(|test| test.name.starts_with("life.")));
        assert!(choose(&["no such case"]).is_empty());
    }
}
