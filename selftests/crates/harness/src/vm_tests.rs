// SPDX-License-Identifier: GPL-2.0

use std::os::unix::process::ExitStatusExt as _;

use super::*;

fn watch(control: &[&str], console: &[&str]) -> Watch {
    let mut watch = Watch::default();
    for line in control {
        watch.control(line);
    }
    for line in console {
        watch.console(line);
    }
    watch
}

fn exited() -> Stop {
    Stop::Exited(ExitStatus::from_raw(0))
}

fn reason(end: End) -> String {
    match end {
        End::Reason(reason) => reason,
        End::Status(status) => panic!("no reason, but status {status}"),
    }
}

const GOOD: &[&str] = &["kernel 7.3.4", "inserted", "status 0", "taint 4096", "end"];

#[test]
fn a_good_run() {
    let end = watch(GOOD, &["[    1.000000] hello"]).judge(exited(), "");
    assert_eq!(end, End::Status(0));
    assert!(end.is_success());
}

#[test]
fn the_scripts_status_is_the_result() {
    let end = watch(&["kernel 7.3.4", "status 7", "end"], &[]).judge(exited(), "");
    assert_eq!(end.to_string(), "7");
    assert!(!end.is_success());
}

#[test]
fn a_splat_beats_a_good_status() {
    let end = watch(GOOD, &["[    1.000000] WARNING: CPU: 0 at x"]).judge(exited(), "");
    assert_eq!(reason(end), "kernel splat: WARNING: CPU: 0 at x");
}

#[test]
fn the_first_splat_is_the_reason() {
    let console = [
        "[    1.000000] BUG: first",
        "[    1.000001] Kernel panic - not syncing",
    ];
    let end = watch(&["kernel 7.3.4"], &console).judge(exited(), "");
    assert_eq!(reason(end), "kernel splat: BUG: first");
}

#[test]
fn a_timeout_says_how_long() {
    let end = watch(&["kernel 7.3.4"], &[]).judge(Stop::TimedOut(Duration::from_secs(300)), "");
    assert_eq!(reason(end), "timeout after 300 s");
}

#[test]
fn leaks_are_counted() {
    let control = [
        "kernel 7.3.4",
        "status 0",
        "leak unreferenced object 0x1 (size 8):",
        "leak   backtrace:",
        "leak unreferenced object 0x2 (size 8):",
        "end",
    ];
    let end = reason(watch(&control, &[]).judge(exited(), ""));
    assert!(
        end.starts_with("kmemleak: unreferenced object 0x1"),
        "{end}"
    );
    assert!(end.ends_with("(2 in all)"), "{end}");
}

#[test]
fn a_hidden_warning_shows_in_the_taint() {
    let control = ["kernel 7.3.4", "status 0", "taint 512", "end"];
    let end = reason(watch(&control, &[]).judge(exited(), ""));
    assert!(end.contains("taint"), "{end}");
}

#[test]
fn a_splat_that_only_the_log_has_is_a_splat() {
    let control = [
        "kernel 7.3.4",
        "status 0",
        "taint 32",
        "dmesg [    1.000000] fine",
        "dmesg [    2.000000] BUG: Bad page state in process sh",
        "end",
    ];
    let end = reason(watch(&control, &[]).judge(exited(), ""));
    assert_eq!(end, "kernel splat: BUG: Bad page state in process sh");
}

#[test]
fn a_module_that_does_not_load() {
    let control = [
        "kernel 7.3.4",
        "load-failed insmod: can't insert",
        "taint 0",
        "end",
    ];
    let end = reason(watch(&control, &[]).judge(exited(), ""));
    assert!(end.contains("can't insert"), "{end}");
}

#[test]
fn a_machine_that_stops_early_is_no_success() {
    let end = reason(watch(&["kernel 7.3.4", "status 0"], &[]).judge(exited(), ""));
    assert!(end.contains("stopped before"), "{end}");
    let end = reason(watch(&[], &[]).judge(exited(), ""));
    assert!(end.contains("did not come up"), "{end}");
}

#[test]
fn qemus_own_words_are_passed_on() {
    let stop = Stop::Exited(ExitStatus::from_raw(256));
    let end = reason(watch(&[], &[]).judge(stop, "Could not access KVM kernel module\n"));
    assert!(end.contains("Could not access KVM"), "{end}");
}
