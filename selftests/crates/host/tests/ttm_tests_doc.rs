// SPDX-License-Identifier: GPL-2.0-or-later

//! Documentation/ttm-tests.md names tests, and every one of them exists.

use std::collections::BTreeSet;

mod named_tests;

use named_tests::marked;
use named_tests::named;
use named_tests::of_host_and_guest;
use named_tests::of_kunit;
use named_tests::sources;
use named_tests::text_of;

/// Every test there is, as the page names them.
fn all() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (_, text) in sources("rust/bo/tests", "rs") {
        of_kunit(&text, &mut all);
    }
    of_host_and_guest(&mut all);
    all
}

#[test]
fn every_test_that_the_page_names_exists() {
    let page = text_of("Documentation/ttm-tests.md");
    let all = all();
    let mut rows = 0;
    for line in page.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        if cells[1].starts_with("---") || cells[3].starts_with("test") {
            continue;
        }
        let tests: Vec<_> = named(cells[3]).collect();
        assert!(!tests.is_empty(), "no test in: {line}");
        for test in tests {
            assert!(all.contains(test), "there is no test {test}: {line}");
        }
        rows += 1;
    }
    assert!(rows > 50, "{rows} rows");
}

#[test]
fn the_kernels_cases_are_all_there() {
    let page = text_of("Documentation/ttm-tests.md");
    for (suite, cases) in [("tt", 15), ("pool", 8), ("device", 5)] {
        let heading = format!("## ttm_{suite}_test.c\n");
        let part = page.split_once(&heading).expect("a heading").1;
        let part = part.split_once("\n## ").expect("another one").0;
        let prefix = format!("| ttm_{suite}_");
        let rows = part.lines().filter(|line| line.starts_with(&prefix));
        assert_eq!(rows.count(), cases, "{suite}");
    }
}

#[test]
fn names_of_tests_are_told_from_other_words() {
    let found: Vec<_> = named("`a_b.c_d`, `EINVAL` `x.rs` and `ttm_tt.c`, `e1.f2`").collect();
    assert_eq!(found, ["a_b.c_d", "e1.f2"]);
    let found: Vec<_> =
        marked("#[test]\nfn one() {}\nfn two() {}\n #[test]\n fn three()").collect();
    assert_eq!(found, ["one", "three"]);
}
