// SPDX-License-Identifier: GPL-2.0-or-later

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

const EARLY: &str = "[    0.005012] BUG: KASAN: wild-memory-access in do_raw_spin_lock+0x6a/0x2d0";
const INIT: &str = "[    1.000000] Run /init as init process";

/// Why a machine that was watched so is booted again.
fn again(watch: &Watch, stop: Stop, qemu_said: &str) -> Option<String> {
    watch.failed_early(&stop, qemu_said)
}

#[test]
fn a_splat_before_init_is_reason_to_boot_again() {
    let early = watch(&[], &["[    0.000000] Linux version 7.3.4", EARLY]);
    let why = again(&early, Stop::Early, "").unwrap();
    assert!(why.starts_with("BUG: KASAN: wild-memory-access"), "{why}");
    // Also when it came up all the same, which we did not wait for.
    let late = watch(&[], &[EARLY, INIT]);
    assert!(again(&late, exited(), "").is_some());
    assert_eq!(
        reason(late.judge(Stop::Early, "")),
        format!("kernel splat: {why}")
    );
}

#[test]
fn a_splat_after_init_counts() {
    for console in [
        &[INIT, "[    1.000001] BUG: KASAN: use-after-free in f"][..],
        &["[    0.500000] fine", INIT, EARLY],
    ] {
        let late = watch(GOOD, console);
        assert_eq!(again(&late, exited(), ""), None);
        assert!(reason(late.judge(exited(), "")).starts_with("kernel splat: "));
    }
    // The guest's own words are as good as the console's.
    let late = watch(&["kernel 7.3.4"], &[EARLY]);
    assert_eq!(again(&late, exited(), ""), None);
}

#[test]
fn a_kernel_that_falls_over_is_booted_again() {
    assert!(again(&watch(&[], &[]), exited(), "").is_some());
    assert_eq!(again(&watch(&["kernel 7.3.4"], &[]), exited(), ""), None);
    assert_eq!(again(&watch(&[], &[INIT]), exited(), ""), None);
}

#[test]
fn other_ends_are_no_reason_to_boot_again() {
    let stop = Stop::Exited(ExitStatus::from_raw(256));
    assert_eq!(again(&watch(&[], &[]), stop, "no such device\n"), None);
    let slow = Stop::TimedOut(Duration::from_secs(300));
    assert_eq!(again(&watch(&[], &[]), slow, ""), None);
    assert_eq!(again(&watch(GOOD, &[INIT]), exited(), ""), None);
}

const LIMIT: Limit = Limit {
    total: Duration::from_secs(3000),
    silent: Duration::from_secs(300),
    after_splat: Duration::from_secs(2),
};

#[test]
fn a_kernel_that_is_silent_before_init_is_booted_again() {
    let seconds = Duration::from_secs;
    let booting = watch(&[], &["[    1.784806] .... node  #0, CPUs:      #1"]);
    assert_eq!(booting.over(seconds(119), seconds(119), None, LIMIT), None);
    let stop = booting
        .over(seconds(125), seconds(120), None, LIMIT)
        .unwrap();
    assert_eq!(stop, Stop::SilentBoot);
    let why = "the kernel stopped before it ran init";
    assert_eq!(booting.failed_early(&stop, "").as_deref(), Some(why));
    assert_eq!(reason(booting.judge(stop, "")), why);
}

#[test]
fn a_guest_may_take_long_but_not_in_silence() {
    let seconds = Duration::from_secs;
    let busy = watch(&["kernel 7.3.4", "inserted"], &[]);
    assert_eq!(busy.over(seconds(2900), seconds(299), None, LIMIT), None);
    let stop = busy.over(seconds(400), seconds(300), None, LIMIT).unwrap();
    assert_eq!(busy.failed_early(&stop, ""), None);
    let why = "nothing was heard of the guest for 300 s";
    assert_eq!(reason(busy.judge(stop, "")), why);
    let stop = busy.over(seconds(3000), seconds(0), None, LIMIT).unwrap();
    assert_eq!(reason(busy.judge(stop, "")), "timeout after 3000 s");
}

#[test]
fn a_guest_may_be_ended_soon_after_a_splat() {
    let seconds = Duration::from_secs;
    let bad = watch(
        &["kernel 7.3.4", "inserted"],
        &[INIT, "[    9.000000] BUG: first"],
    );
    assert_eq!(
        bad.over(seconds(10), seconds(0), Some(seconds(1)), LIMIT),
        None
    );
    let stop = bad
        .over(seconds(11), seconds(0), Some(seconds(2)), LIMIT)
        .unwrap();
    assert_eq!(stop, Stop::Splat);
    assert_eq!(reason(bad.judge(stop, "")), "kernel splat: BUG: first");
}
