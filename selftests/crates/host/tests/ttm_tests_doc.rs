// SPDX-License-Identifier: GPL-2.0-or-later

//! Documentation/ttm-tests.md names tests, and every one of them exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

/// Every source file in a directory: its name and its text.
fn sources(directory: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(root().join(directory)).expect(directory);
    entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "rs"))
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy();
            (name.into_owned(), fs::read_to_string(&path).expect("text"))
        })
        .collect()
}

/// The functions behind `#[test]`.
fn marked(text: &str) -> impl Iterator<Item = &str> {
    let mut lines = text.lines().map(str::trim);
    std::iter::from_fn(move || {
        lines.find(|line| *line == "#[test]")?;
        lines
            .find_map(|line| line.strip_prefix("fn "))?
            .split('(')
            .next()
    })
}

/// What is between two words.
fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    text.split_once(from)?.1.split_once(to).map(|found| found.0)
}

/// Every test there is, as the page names them.
fn all() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (_, text) in sources("rust/bo/tests") {
        if let Some(suite) = between(&text, "#[kunit_tests(", ")]") {
            all.extend(marked(&text).map(|name| format!("{suite}.{name}")));
        }
    }
    for (file, text) in sources("selftests/crates/host/tests") {
        all.extend(marked(&text).map(|name| format!("{file}.{name}")));
    }
    for (_, text) in sources("selftests/crates/guest/src/cases") {
        let list = between(&text, "cases!(", ");").expect("a list of cases");
        let (head, names) = list.split_once(';').expect("names");
        let theme = head.split('"').nth(1).expect("a theme");
        let names = names.split(',').map(str::trim);
        all.extend(
            names
                .filter(|name| !name.is_empty())
                .map(|name| format!("{theme}.{name}")),
        );
    }
    all
}

/// Words in backticks that are names of tests.
fn named(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split('`').skip(1).step_by(2);
    words.filter(|word| {
        word.split_once('.').is_some_and(|(suite, name)| {
            let plain = |text: &str| {
                !text.is_empty()
                    && text
                        .bytes()
                        .all(|c| c == b'_' || c.is_ascii_lowercase() || c.is_ascii_digit())
            };
            plain(suite) && plain(name) && !matches!(name, "c" | "rs" | "md")
        })
    })
}

#[test]
fn every_test_that_the_page_names_exists() {
    let page = fs::read_to_string(root().join("Documentation/ttm-tests.md")).expect("the page");
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
    let page = fs::read_to_string(root().join("Documentation/ttm-tests.md")).expect("the page");
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
