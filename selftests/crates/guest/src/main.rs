// SPDX-License-Identifier: GPL-2.0

//! Reeve's selftests: run as root in the guest, on a kernel that has the module, and speak KTAP.
//!
//! `reeve-guest-tests [--list] [NAME...]` runs the cases whose name contains one of the words, each
//! in a process of its own with a time limit. Exit codes: 0 all passed, 1 some failed, 2 wrong
//! usage, 4 all were skipped.
//!
//! `REEVE_KO` says where reeve.ko is (for the cases that insert it anew), `REEVE_TIME_SCALE`
//! multiplies the time limits.

mod cases;
mod cgroup;
mod fail_nth;
mod helper;
mod ktap;
mod memory;
mod module;
mod process;
mod random;
mod runner;
mod seen;
mod shortage;
mod test;

use std::process::ExitCode;

use test::Test;

const USAGE: &str = "usage: reeve-guest-tests [--list] [NAME...]";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == helper::FLAG) {
        return helper::main(&args[1..]);
    }
    let (options, names): (Vec<String>, Vec<String>) =
        args.into_iter().partition(|arg| arg.starts_with('-'));
    if options.iter().any(|option| option != "--list") {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    let chosen = choose(&names);
    if chosen.is_empty() {
        eprintln!("no case has a name like {}; see --list", names.join(" or "));
        return ExitCode::from(2);
    }
    if !options.is_empty() {
        for test in chosen {
            println!("{}", test.name);
        }
        return ExitCode::SUCCESS;
    }
    ktap::run(&chosen, runner::run)
}

/// The cases whose name contains one of `names`; all when there are none.
fn choose(names: &[String]) -> Vec<&'static Test> {
    cases::all()
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
        for test in cases::all() {
            assert!(names.insert(test.name), "{} is there twice", test.name);
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._".contains(c);
            assert!(test.name.chars().all(plain), "{}", test.name);
            assert_eq!(test.name.matches('.').count(), 1, "{}", test.name);
        }
        assert!(names.len() >= 60, "only {} cases", names.len());
    }

    #[test]
    fn words_choose_by_part_of_the_name() {
        let all = choose(&[]).len();
        let some = choose(&["life.".to_owned()]);
        assert!(!some.is_empty() && some.len() < all);
        assert!(some.iter().all(|test| test.name.starts_with("life.")));
        assert!(choose(&["no such case".to_owned()]).is_empty());
    }
}
