// SPDX-License-Identifier: GPL-2.0-or-later

//! Documentation/lock-order-tests.md has a row for each promise, and every test that it names exists.

use std::collections::BTreeSet;

mod named_tests;

use named_tests::in_backticks;
use named_tests::of_host_and_guest;
use named_tests::of_kunit;
use named_tests::sources;
use named_tests::text_of;

/// The modules whose scripts judge the tracker.
const MODULES: [&str; 6] = ["across", "guards", "held", "life", "promises", "stress"];

/// The functions that a C source defines: `life_aside` of `static int life_aside(unsigned int unused)`.
fn functions(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines();
    let starts = lines.filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    starts.filter_map(|line| {
        let (before, _) = line.split_once('(')?;
        (!line.ends_with(';')).then_some(())?;
        before.rsplit([' ', '*']).next()
    })
}

/// The headings that a script prints: `a thread ends inside` of `echo "== a thread ends inside"`.
fn headings(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim);
    lines.filter_map(|line| line.strip_prefix("echo \"== ")?.strip_suffix('"'))
}

/// Every test there is, as the page names them.
fn all() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    of_kunit(&text_of("rust/lock_order/tests.rs"), &mut all);
    for (_, text) in sources("rust/lock_order/tests", "rs") {
        of_kunit(&text, &mut all);
    }
    of_host_and_guest(&mut all);
    for module in MODULES {
        let directory = format!("selftests/modules/{module}");
        if !named_tests::root().join(&directory).exists() {
            continue;
        }
        for (_, text) in sources(&directory, "c") {
            all.extend(functions(&text).map(|name| format!("{module}.{name}")));
        }
        let script = text_of(&format!("{directory}/run.sh"));
        all.extend(headings(&script).map(|heading| format!("{module}: {heading}")));
    }
    let text = text_of("selftests/crates/harness/src/suite/make_targets.rs");
    let names = text.lines().filter_map(|line| line.strip_prefix("fn "));
    let names = names.filter_map(|line| line.split('(').next());
    all.extend(names.map(|name| format!("make_targets.{name}")));
    // A row of `make bench`.
    let text = text_of("selftests/crates/harness/src/bench/rows.rs");
    let strings = text.split('"').skip(1).step_by(2);
    all.extend(
        strings
            .filter(|word| word.starts_with("lock."))
            .map(str::to_owned),
    );
    // A kernel on which the modules are run by hand.
    let text = text_of("selftests/setup/matrix.sh");
    let rows = text
        .lines()
        .find_map(|line| line.strip_prefix("MATRIX_ROWS=("));
    let rows = rows.expect("rows").trim_end_matches(')').split(' ');
    all.extend(rows.map(|row| format!("make matrix ROWS={row}")));
    all
}

/// What is wrong with the rows of a page, and how many there are.
fn complaints(page: &str, all: &BTreeSet<String>) -> (Vec<String>, usize) {
    let (mut wrong, mut rows) = (Vec::new(), 0);
    for line in page.lines().filter(|line| line.starts_with('|')) {
        let Some((_, last)) = line.trim_end_matches(['|', ' ']).rsplit_once('|') else {
            wrong.push(format!("one cell: {line}"));
            continue;
        };
        if last.trim().starts_with("---") || last.trim() == "test" {
            continue;
        }
        rows += 1;
        if in_backticks(last).next().is_none() {
            wrong.push(format!("no test: {line}"));
        }
        let unknown = in_backticks(last).filter(|name| !all.contains(*name));
        wrong.extend(unknown.map(|name| format!("there is no {name}: {line}")));
    }
    (wrong, rows)
}

#[test]
fn every_promise_has_a_test_that_exists() {
    let page = text_of("Documentation/lock-order-tests.md");
    let (wrong, rows) = complaints(&page, &all());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(rows > 100, "{rows} rows");
}

#[test]
fn a_row_without_a_test_is_found() {
    let all = BTreeSet::from(["life: a thread ends inside".to_owned()]);
    let page = "| promise | test |\n|---|---|\n| a \\| b | `life: a thread ends inside` |\n";
    assert_eq!(complaints(page, &all), (vec![], 1));
    let page = "| a | |\n| b | none |\n| c | `life: other`, `life: a thread ends inside` |\n";
    let (wrong, rows) = complaints(page, &all);
    assert_eq!(rows, 3);
    let starts: Vec<_> = wrong.iter().map(|line| &line[..9]).collect();
    assert_eq!(starts, ["no test: ", "no test: ", "there is "]);
}

#[test]
fn functions_and_headings_are_found() {
    let c = "static int life_aside(unsigned int unused)\n{\n\tlife_take(1);\n}\n\
             static noinline void\nint other(void);\nstruct reeve_hierarchy *find(int a,\n";
    assert_eq!(functions(c).collect::<Vec<_>>(), ["life_aside", "find"]);
    let sh = "# echo\necho \"== held\"\n\techo \"== in a branch\"\necho done\n";
    assert_eq!(headings(sh).collect::<Vec<_>>(), ["held", "in a branch"]);
}

/// The functions that the C header declares.
fn declared(header: &str) -> Vec<&str> {
    let statements = header.split("\nREEVE_API ").skip(1);
    let names =
        statements.filter_map(|text| text.split('(').next()?.rsplit([' ', '*', '\n']).next());
    names.collect()
}

/// The page says that the Rust functions are all of the C ones but those that take the caller's place.
#[test]
fn each_function_is_there_for_rust_and_for_those_that_load_without_reeve() {
    let header = text_of("rust/include/reeve/lock_order.h");
    let all = declared(&header);
    assert!(
        all.len() > 35 && all.contains(&"reeve_hierarchy_set_before"),
        "{all:?}"
    );
    let without_place =
        |name: &&&str| !name.ends_with("_ip") && **name != "reeve_hierarchy_register";
    let rust = text_of("rust/include/reeve/lock_order.rs");
    for name in all.iter().filter(without_place) {
        let used = rust.matches(&format!("sys::{name}(")).count();
        assert!(used > 0, "{name} is not wrapped");
    }
    for file in ["lock_order_off.h", "lock_order_bind.h"] {
        let text = text_of(&format!("rust/include/reeve/{file}"));
        let defined: BTreeSet<_> = text.lines().filter_map(defines).collect();
        for name in &all {
            assert!(defined.contains(name), "{file} has no {name}");
        }
    }
}

/// The function of a line like `reeve_record_lock(struct reeve_hierarchy *h, ...`.
fn defines(line: &str) -> Option<&str> {
    let (before, _) = line.split_once('(')?;
    before
        .rsplit([' ', '*'])
        .next()
        .filter(|_| !line.starts_with(['\t', ' ']))
}
