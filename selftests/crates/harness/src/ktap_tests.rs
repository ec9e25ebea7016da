// SPDX-License-Identifier: GPL-2.0-or-later

use super::*;

fn names(cases: &[Case]) -> Vec<&str> {
    cases.iter().map(|case| case.name.as_str()).collect()
}

fn failed(cases: &[Case]) -> Vec<&str> {
    let is_failed = |case: &&Case| matches!(case.verdict, Verdict::Failed(_));
    cases
        .iter()
        .filter(is_failed)
        .map(|case| case.name.as_str())
        .collect()
}

const KUNIT: &str = "\
KTAP version 1
1..1
    KTAP version 1
    # Subtest: reeve_held
    # module: reeve
    1..3
    ok 1 records
    # checks: EXPECTATION FAILED at x.rs:3
    # checks: Expected a == b
    not ok 2 checks
    ok 3 swaps # SKIP no swap here
# reeve_held: pass:1 fail:1 skip:1 total:3
not ok 1 reeve_held
";

#[test]
fn kunit_output() {
    let cases = Parser::parse(KUNIT);
    assert_eq!(
        names(&cases),
        [
            "reeve_held.records",
            "reeve_held.checks",
            "reeve_held.swaps"
        ]
    );
    assert_eq!(failed(&cases), ["reeve_held.checks"]);
    assert_eq!(cases[2].verdict, Verdict::Skipped("no swap here".into()));
    let Verdict::Failed(why) = &cases[1].verdict else {
        panic!("not failed");
    };
    assert!(why.contains("Expected a == b"), "{why}");
}

#[test]
fn debugfs_results_of_several_suites() {
    // /sys/kernel/debug/kunit/*/results, one after the other: each begins with its own version line.
    let one = |suite: &str| {
        format!("KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: {suite}\n    1..1\n    ok 1 case\nok 1 {suite}\n")
    };
    let cases = Parser::parse(&(one("a") + &one("b")));
    assert_eq!(names(&cases), ["a.case", "b.case"]);
    assert!(failed(&cases).is_empty());
}

#[test]
fn flat_output() {
    let cases = Parser::parse("TAP version 13\n1..2\nok 1 - first\nnot ok 2 - second\n");
    assert_eq!(names(&cases), ["first", "second"]);
    assert_eq!(failed(&cases), ["second"]);
}

#[test]
fn parameterised_cases_count_one_by_one() {
    let text = "\
KTAP version 1
1..1
    KTAP version 1
    # Subtest: suite
    1..1
        KTAP version 1
        # Subtest: table
        ok 1 row one
        not ok 2 row two
    not ok 1 table
not ok 1 suite
";
    let cases = Parser::parse(text);
    assert_eq!(
        names(&cases),
        ["suite.table.row one", "suite.table.row two"]
    );
    assert_eq!(failed(&cases), ["suite.table.row two"]);
}

#[test]
fn a_broken_promise_is_a_failure() {
    let cases = Parser::parse("KTAP version 1\n1..3\nok 1 a\nok 2 b\n");
    assert_eq!(failed(&cases), ["plan"]);
    let nested =
        "KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: s\n    1..2\n    ok 1 a\n";
    assert_eq!(failed(&Parser::parse(nested)), ["s.plan", "plan"]);
}

#[test]
fn too_many_results_are_a_failure_too() {
    assert_eq!(
        failed(&Parser::parse("KTAP version 1\n1..1\nok 1 a\nok 2 b\n")),
        ["plan"]
    );
}

#[test]
fn a_suite_may_fail_without_a_failing_case() {
    let text = "\
KTAP version 1
1..1
    KTAP version 1
    # Subtest: s
    1..1
    ok 1 a
# suite_init failed
not ok 1 s
";
    assert_eq!(failed(&Parser::parse(text)), ["s"]);
}

#[test]
fn silence_is_a_failure() {
    assert_eq!(failed(&Parser::parse("")), ["plan"]);
    assert_eq!(failed(&Parser::parse("sh: not found\n")), ["plan"]);
}

#[test]
fn bail_out_is_a_failure() {
    let cases = Parser::parse("KTAP version 1\n1..1\nok 1 a\nBail out! no device\n");
    assert_eq!(failed(&cases), ["bail out"]);
}
