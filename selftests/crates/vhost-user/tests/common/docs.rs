// SPDX-License-Identifier: GPL-2.0-or-later
//! The command lines of the documentation, to be run as they stand there.

use std::fs;
use std::path::Path;

/// Returns the words of the one command of a page that begins with these; lines that end in a backslash go on.
pub(crate) fn words(page: &str, begin: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../Documentation");
    let text = fs::read_to_string(root.join(page)).unwrap();
    let commands = text.replace("\\\n", " ");
    let begin = format!("    {begin}");
    let mut found = commands.lines().filter(|line| line.starts_with(&begin));
    let command = found
        .next()
        .unwrap_or_else(|| panic!("{page} has no{begin}"));
    assert!(found.next().is_none(), "{page} has{begin} twice");
    command.split_whitespace().map(String::from).collect()
}

/// Replaces parts of words by what is there.
pub(crate) fn with(words: &[String], replace: &[(&str, &str)]) -> Vec<String> {
    let replaced = |word: &String| {
        replace.iter().fold(word.clone(), |word, (part, by)| {
            assert!(words.iter().any(|word| word.contains(part)), "no {part}");
            word.replace(part, by)
        })
    };
    words.iter().map(replaced).collect()
}
