// SPDX-License-Identifier: GPL-2.0-or-later

//! The tests there are, as pages of the documentation name them.

#![allow(dead_code, reason = "no page uses everything")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

pub(crate) fn text_of(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|err| panic!("{path}: {err}"))
}

/// Every source file of a kind in a directory: its name and its text.
pub(crate) fn sources(directory: &str, kind: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(root().join(directory)).expect(directory);
    entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == kind))
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy();
            (name.into_owned(), fs::read_to_string(&path).expect("text"))
        })
        .collect()
}

/// The functions behind `#[test]`, and those of `proptest!`.
pub(crate) fn marked(text: &str) -> impl Iterator<Item = &str> {
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

/// KUnit's tests of a source file, as `suite.test`.
pub(crate) fn of_kunit(text: &str, all: &mut BTreeSet<String>) {
    if let Some(suite) = between(text, "#[kunit_tests(", ")]") {
        all.extend(marked(text).map(|name| format!("{suite}.{name}")));
    }
}

/// The tests of the rules and the guest's, as `file.test` and `theme.case`.
pub(crate) fn of_host_and_guest(all: &mut BTreeSet<String>) {
    for (file, text) in sources("selftests/crates/host/tests", "rs") {
        all.extend(marked(&text).map(|name| format!("{file}.{name}")));
    }
    for (_, text) in sources("selftests/crates/guest/src/cases", "rs") {
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
}

/// Words in backticks.
pub(crate) fn in_backticks(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Words in backticks that are names of tests: `suite.name`.
pub(crate) fn named(line: &str) -> impl Iterator<Item = &str> {
    in_backticks(line).filter(|word| {
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
