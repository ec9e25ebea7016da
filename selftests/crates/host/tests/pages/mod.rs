// SPDX-License-Identifier: GPL-2.0-or-later

//! README.md and Documentation/, and the code in them.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// A page: its path from the root of the repository, and its text.
pub(crate) type Page = (String, String);

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

/// The text of a file, by its path from the root.
pub(crate) fn text_of(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// All pages.
pub(crate) fn pages() -> Vec<Page> {
    let directory = fs::read_dir(root().join("Documentation")).expect("Documentation");
    let mut names: Vec<String> = directory
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .filter(|name| name.ends_with(".md"))
        .map(|name| format!("Documentation/{name}"))
        .collect();
    names.sort();
    names.insert(0, "README.md".to_owned());
    names
        .into_iter()
        .map(|name| (name.clone(), text_of(&name)))
        .collect()
}

/// A single page with this text.
pub(crate) fn page(text: &str) -> Vec<Page> {
    vec![("Documentation/x.md".to_owned(), text.to_owned())]
}

/// Code in a page: what is between backticks in prose, and the lines of code blocks.
pub(crate) fn code(text: &str) -> Vec<String> {
    let mut code = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            code.push(line.trim().to_owned());
        } else {
            // In a table `|` is written `\|`.
            let spans = line.split('`').skip(1).step_by(2);
            code.extend(spans.map(|span| span.replace("\\|", "|")));
        }
    }
    code
}
