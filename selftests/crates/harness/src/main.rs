// SPDX-License-Identifier: GPL-2.0-or-later
//! Boots test kernels in QEMU, runs things in them and judges what happened.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use reeve_harness::{bench, coverage, machine, report, rooms, script, suite, vm};

/// Boots test kernels in QEMU, runs things in them and judges what happened.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a script in a VM and streams the console; the last line is `vm: exit N`.
    Vm(script::Options),
    /// Writes what a VM boots into, for a program that starts QEMU itself.
    Initramfs(script::InitramfsOptions),
    /// Gives an interactive shell in a VM.
    Shell(machine::Machine),
    /// Shows what the module can do, in a VM, and writes a report.
    Run(report::Options),
    /// Measures, compares with the references and writes the figures.
    Bench(bench::Options),
    /// Runs every test; the last line is `N passed, N failed`.
    Test(suite::Options),
    /// Runs the checks that boot nothing.
    Lint(suite::Options),
    /// Checks the layout of the module's sources.
    Rooms(rooms::Options),
    /// Counts the lines of the module's source that were reached.
    Coverage(coverage::Options),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Vm(options) => script::run(&options),
        Command::Initramfs(options) => script::initramfs(&options),
        Command::Shell(machine) => vm::shell(&machine),
        Command::Run(options) => report::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Test(options) => suite::test(&options),
        Command::Lint(options) => suite::lint(&options),
        Command::Rooms(options) => rooms::run(&options),
        Command::Coverage(options) => coverage::run(&options),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("reeve-harness: {error:#}");
            ExitCode::FAILURE
        }
    }
}
