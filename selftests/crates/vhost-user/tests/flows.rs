// SPDX-License-Identifier: GPL-2.0-or-later
//! Our back end under QEMU: the guest's memory read from outside, reconnections, migration.
//!
//! `cargo test --test flows` runs the everyday ones, `-- --all` every size and memory, `-- NAME` the
//! one of that name, or those whose names have it in them.
//! Each prints a line: ok or FAILED, its name, seconds. `REEVE_FLOW_SVG=FILE` has `migrate` draw itself.

use std::io::Write;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::ExitCode;
use std::time::Instant;

mod common;
#[path = "flows/disk.rs"]
mod disk;
#[path = "common/docs.rs"]
mod docs;
#[path = "flows/migrate.rs"]
mod migrate;
#[path = "flows/network.rs"]
mod network;
#[path = "flows/picture.rs"]
mod picture;
#[path = "common/qemu.rs"]
mod qemu;
#[path = "common/qmp.rs"]
mod qmp;
#[path = "flows/reeve.rs"]
mod reeve;
#[path = "flows/watch.rs"]
mod watch;

/// A test: its name, whether it runs every day, itself; the result is a reason to skip it.
type Test = (String, bool, Box<dyn Fn() -> Option<String>>);

fn tests() -> Vec<Test> {
    let mut tests = network::tests();
    tests.extend(disk::tests());
    tests.extend(migrate::tests());
    tests.extend(reeve::tests());
    tests
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let all = arguments.iter().any(|argument| argument == "--all");
    let names: Vec<_> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    if !qemu::is_there() {
        println!("skip flows: there is no qemu-system-x86_64");
        return ExitCode::SUCCESS;
    }
    let (mut passed, mut failed) = (0_u32, 0_u32);
    let tests = tests();
    let is_name = |part: &str| tests.iter().any(|test| test.0 == part);
    let exact: Vec<bool> = names.iter().map(|part| is_name(part)).collect();
    for (name, everyday, run) in tests {
        let wanted = match names.is_empty() {
            true => all || everyday,
            false => names.iter().zip(&exact).any(|(part, exact)| match exact {
                true => name == **part,
                false => name.contains(part.as_str()),
            }),
        };
        if !wanted {
            continue;
        }
        let start = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(run));
        let seconds = start.elapsed().as_secs_f64();
        match &result {
            Ok(None) => println!("ok {name} {seconds:.1}"),
            Ok(Some(reason)) => println!("skip {name}: {reason}"),
            Err(_) => println!("FAILED {name} {seconds:.1}"),
        }
        // A reader wants to see it when it is there.
        let _ = std::io::stdout().flush();
        failed += u32::from(result.is_err());
        passed += u32::from(result.is_ok());
    }
    println!("flows: {passed} passed, {failed} failed");
    ExitCode::from(u8::from(failed > 0 || passed == 0))
}
