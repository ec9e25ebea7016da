// SPDX-License-Identifier: GPL-2.0-or-later

//! README.md and Documentation/ name files, parameters and make targets, and all of them exist.
//!
//! The command lines that they show are checked in `crates/reevectl/src/cli/documents.rs`, their C examples in
//! `crates/uapi/tests/c_examples.rs`, transcripts by the guest's tests `transcripts.*`.
//!
//! Each check takes texts and returns complaints. A test runs it on what is there, another one on a planted mistake.

#[path = "pages/mod.rs"]
mod pages;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pages::code;
use pages::page;
use pages::pages;
use pages::root;
use pages::text_of;
use pages::Page;

/// The anchors of a page's headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept = words
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// Links to files and headings that do not exist.
fn dead_links(pages: &[Page], exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, text) in pages {
        for rest in text.split("](").skip(1) {
            let Some((target, _)) = rest.split_once(')') else {
                continue;
            };
            if target.contains("://") || target.contains(char::is_whitespace) {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = match (file.strip_prefix("../"), name.rsplit_once('/')) {
                _ if file.is_empty() => name.clone(),
                (Some(above), Some(_)) => above.to_owned(),
                (None, Some((directory, _))) => format!("{directory}/{file}"),
                (_, None) => file.to_owned(),
            };
            let there = pages.iter().find(|(page, _)| *page == path);
            let known = match there {
                Some((_, text)) => anchor.is_empty() || anchors(text).contains(anchor),
                None => exists(&path),
            };
            if !known {
                complaints.push(format!("{name}: link to {target}"));
            }
        }
    }
    complaints
}

/// Paths of this repository that do not exist.
fn dead_paths(pages: &[Page], exists: impl Fn(&str) -> bool) -> Vec<String> {
    const ENDINGS: [&str; 4] = [".rs", ".c", ".h", ".sh"];
    let mut complaints = Vec::new();
    for (name, text) in pages {
        for word in code(text)
            .iter()
            .flat_map(|code| code.split([' ', '=', '"', '\'', ',', ';', '(', ')', '[', ']']))
        {
            let word = word.trim_end_matches(['.', ':', '/', '!']);
            let is_ours = ["rust/", "selftests/", "Documentation/", ".ci/"]
                .iter()
                .any(|room| word.starts_with(room));
            let is_source = word.contains('/')
                && ENDINGS.iter().any(|ending| word.ends_with(ending))
                && word.starts_with(|c: char| c.is_ascii_lowercase())
                && !["drivers/", "include/", "mm/", "kernel/", "lib/"]
                    .iter()
                    .any(|linux| word.starts_with(linux));
            // Modules are built, and what has a `*` is many files.
            let is_made = word.ends_with(".ko");
            let (word, _) = word.split_once("/*").unwrap_or((word, ""));
            if (is_ours || is_source) && !is_made && !exists(word) {
                complaints.push(format!("{name}: {word}"));
            }
        }
    }
    complaints
}

/// The parameters that a C file declares.
fn declared_parameters(c: &str) -> BTreeSet<String> {
    let declarations = c.lines().filter_map(|line| {
        let (call, rest) = line.split_once('(')?;
        matches!(
            call,
            "module_param" | "module_param_cb" | "module_param_named"
        )
        .then(|| rest.split(',').next().unwrap_or_default().trim().to_owned())
    });
    declarations.collect()
}

/// Differences between the table of all parameters and what is declared, and rows that lack a cell.
fn wrong_parameters(limits: &str, declared: &BTreeSet<String>) -> Vec<String> {
    let (_, list) = limits.split_once("## All parameters\n").expect("the list");
    let (list, _) = list.split_once("\n## ").unwrap_or((list, ""));
    let mut complaints = Vec::new();
    let mut listed = BTreeSet::new();
    for row in list.lines().filter_map(|line| line.strip_prefix("| `")) {
        let (name, rest) = row.split_once('`').expect("a name in backticks");
        let cells: Vec<_> = rest.trim_end_matches('|').split('|').skip(1).collect();
        if cells.len() != 4 || cells.iter().any(|cell| cell.trim().is_empty()) {
            complaints.push(format!(
                "{name}: wants unit, default, when it takes effect, meaning"
            ));
        }
        if !listed.insert(name.to_owned()) {
            complaints.push(format!("{name}: is listed twice"));
        }
    }
    for name in listed.difference(declared) {
        complaints.push(format!("{name}: is no parameter"));
    }
    for name in declared.difference(&listed) {
        complaints.push(format!("{name}: is not listed"));
    }
    complaints
}

/// The targets of a Makefile.
fn targets(makefile: &str) -> BTreeSet<&str> {
    let phony = makefile
        .lines()
        .find_map(|line| line.strip_prefix(".PHONY:"));
    phony.expect(".PHONY").split_whitespace().collect()
}

/// `make X` where X is no target.
fn wrong_targets(pages: &[Page], makefile: &str) -> Vec<String> {
    let targets = targets(makefile);
    let mut complaints = Vec::new();
    for (name, text) in pages {
        for code in code(text) {
            let command = code.trim_start_matches("$ ");
            let Some(arguments) = command.strip_prefix("make ") else {
                continue;
            };
            for word in arguments.split_whitespace().take(1) {
                let word = word.trim_end_matches([':', ',', '.']);
                if !word.contains('=') && !targets.contains(word) {
                    complaints.push(format!("{name}: make {word}"));
                }
            }
        }
    }
    complaints
}

/// The kernels that the rows of a table name, as `KERNEL=name`.
fn kernels_in(page: &str) -> BTreeSet<&str> {
    let rows = page.lines().filter(|line| line.starts_with('|'));
    let named = rows.flat_map(|row| row.split("`KERNEL=").skip(1));
    named.filter_map(|rest| rest.split('`').next()).collect()
}

/// The kernels that `make matrix` boots.
fn matrix_rows(script: &str) -> BTreeSet<&str> {
    let rows = script
        .lines()
        .find_map(|line| line.strip_prefix("MATRIX_ROWS=("));
    let rows = rows.and_then(|rows| rows.strip_suffix(')'));
    rows.expect("MATRIX_ROWS").split_whitespace().collect()
}

/// Rows of `kernels` that name no kernel of `configs`, and what `make matrix` boots that has no row.
fn wrong_kernels(kernels: &str, script: &str, configs: &BTreeSet<String>) -> Vec<String> {
    let (named, rows) = (kernels_in(kernels), matrix_rows(script));
    let mut complaints = Vec::new();
    for name in named.iter().filter(|&&name| !configs.contains(name)) {
        complaints.push(format!("{name}: there is no such kernel"));
    }
    for name in rows.difference(&named) {
        complaints.push(format!("{name}: has no row"));
    }
    complaints
}

/// Versions of the ABI in transcripts that are not the header's.
fn wrong_versions(pages: &[Page], header: &str) -> Vec<String> {
    let number = |name: &str| {
        let define = format!("#define {name}");
        let line = header.lines().find_map(|line| line.strip_prefix(&define));
        line.expect(name).trim().trim_end_matches('u').to_owned()
    };
    let version = format!(
        "{}.{}",
        number("REEVE_ABI_MAJOR"),
        number("REEVE_ABI_MINOR")
    );
    let mut complaints = Vec::new();
    for (name, text) in pages {
        for line in code(text).iter().filter(|line| line.starts_with("Reeve ")) {
            if let Some((_, shown)) = line.split_once(", ABI ") {
                if shown != version {
                    complaints.push(format!("{name}: {line} (it is {version})"));
                }
            }
        }
    }
    complaints
}

/// The lines that `make run` is shown to print after the report, and that `source` does not print.
fn unprinted_lines(readme: &str, source: &str) -> Vec<String> {
    let (_, rest) = readme.split_once("\nverdict: ").expect("the report");
    let (rest, _) = rest.split_once("```").expect("its end");
    let lines = rest.lines().skip(1).filter(|line| !line.is_empty());
    let label = |line: &str| {
        line.split_once(':')
            .map_or(line, |(label, _)| label)
            .to_owned()
    };
    lines
        .map(label)
        .filter(|label| !source.contains(&format!("\"{label}: ")))
        .collect()
}

/// Pages that the index does not have in exactly one row.
fn wrong_index(index: &str, pages: &[Page]) -> Vec<String> {
    let names = pages
        .iter()
        .filter_map(|(name, _)| name.strip_prefix("Documentation/"));
    names
        .filter(|name| *name != "README.md" && index.matches(&format!("]({name})")).count() != 1)
        .map(str::to_owned)
        .collect()
}

/// The files that `rooms` lets have `unsafe` and `layout` does not name, and those it names that may not. KUnit tests
/// are not named one by one.
fn wrong_unsafe_files(layout: &str, rooms: &str) -> Vec<String> {
    let (_, list) = rooms.split_once("const UNSAFE_FILES").expect("the list");
    let (list, _) = list.split_once("];").expect("its end");
    let allowed: BTreeSet<String> = (list.split('"').skip(1).step_by(2))
        .filter(|file| !file.contains("/tests"))
        .map(|file| file.trim_end_matches('/').to_owned())
        .collect();
    let (_, named) = layout
        .split_once("The files that may have `unsafe`:")
        .expect("the paragraph");
    let (named, _) = named.split_once("\n\n").expect("its end");
    let named: BTreeSet<String> = (named.split('`').skip(1).step_by(2))
        .map(|file| match file.strip_prefix("rust/") {
            Some(file) => file.trim_end_matches('/').to_owned(),
            // Those in the room that was named before.
            None => format!("lock_order/{file}"),
        })
        .filter(|file| file != "lock_order")
        .collect();
    // A file goes with what is below it.
    let stem = |file: &String| file.trim_end_matches(".rs").to_owned();
    let known: BTreeSet<String> = named.iter().map(stem).collect();
    let may: BTreeSet<String> = allowed.iter().map(stem).collect();
    let missing = may
        .difference(&known)
        .map(|file| format!("{file} is not named"));
    let surplus = known
        .difference(&may)
        .map(|file| format!("{file} may not have it"));
    missing.chain(surplus).collect()
}

/// Every C file of the module.
fn c_files(directory: &Path, texts: &mut Vec<String>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            c_files(&path, texts);
        } else if path.extension().is_some_and(|ending| ending == "c") {
            texts.push(fs::read_to_string(&path).expect("text"));
        }
    }
}

fn exists(path: &str) -> bool {
    root().join(path).exists()
}

#[track_caller]
fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn links_lead_somewhere() {
    none(&dead_links(&pages(), exists));
}

#[test]
fn dead_links_are_found() {
    let links = "# One two\n[a](there.md) [b](../up.rs) [c](#one-two) [d](gone.md) [e](#three)\n[f](https://x.y/z)";
    let there = |path: &str| matches!(path, "Documentation/there.md" | "up.rs");
    let found = dead_links(&page(links), there);
    assert_eq!(
        found,
        [
            "Documentation/x.md: link to gone.md",
            "Documentation/x.md: link to #three"
        ]
    );
}

#[test]
fn paths_exist() {
    none(&dead_paths(&pages(), exists));
}

#[test]
fn dead_paths_are_found() {
    let text = "`rust/here.rs`, `rust/pure/` and `ffi/vma.rs`; `drivers/gpu/x.c`\n\n    make ext M=selftests/gone\n\
                ```\nrust/away/*.rs selftests/built.ko\n```\n";
    let found = dead_paths(&page(text), |path| path == "rust/here.rs");
    let expected = ["rust/pure", "ffi/vma.rs", "selftests/gone", "rust/away"];
    assert_eq!(
        found,
        expected.map(|path| format!("Documentation/x.md: {path}"))
    );
}

#[test]
fn all_parameters_are_listed() {
    let mut texts = Vec::new();
    c_files(&root().join("rust"), &mut texts);
    let declared: BTreeSet<_> = texts
        .iter()
        .flat_map(|text| declared_parameters(text))
        .collect();
    assert!(declared.contains("pages_limit"), "{declared:?}");
    none(&wrong_parameters(
        &text_of("Documentation/limits.md"),
        &declared,
    ));
}

#[test]
fn wrong_parameters_are_found() {
    let c = "module_param(one, bool, 0644);\nMODULE_PARM_DESC(one, \"x\");\nmodule_param_cb(two, &ops, &two, 0444);\n";
    let declared = declared_parameters(c);
    let list = "## All parameters\n| `one` | pages | 0 | now | x |\n| `three` | pages | | now | x |\n\n## More\n| `two` |\n";
    assert_eq!(
        wrong_parameters(list, &declared),
        [
            "three: wants unit, default, when it takes effect, meaning",
            "three: is no parameter",
            "two: is not listed"
        ]
    );
}

#[test]
fn make_targets_exist() {
    none(&wrong_targets(&pages(), &text_of("Makefile")));
}

#[test]
fn wrong_make_targets_are_found() {
    let text = "`make`, `make run`, `make STRICT=1` and `make fun`\n\n    make bun X=y\n```\n$ make sun\n```\n";
    let found = wrong_targets(&page(text), ".PHONY: help run\n");
    let expected = ["fun", "bun", "sun"];
    assert_eq!(
        found,
        expected.map(|word| format!("Documentation/x.md: make {word}"))
    );
}

#[test]
fn kernels_exist_and_those_of_make_matrix_are_listed() {
    let files = fs::read_dir(root().join("selftests/configs")).expect("selftests/configs");
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let configs = names
        .filter_map(|name| name.strip_suffix(".config").map(str::to_owned))
        .collect();
    let page = text_of("Documentation/kernels.md");
    none(&wrong_kernels(
        &page,
        &text_of("selftests/setup/matrix.sh"),
        &configs,
    ));
}

#[test]
fn a_kernel_that_does_not_exist_or_has_no_row_is_found() {
    let page = "`KERNEL=prose`\n| a (`KERNEL=here`) | x |\n| b (`KERNEL=gone`) | `KERNEL=here` |\n";
    let found = wrong_kernels(
        page,
        "#\nMATRIX_ROWS=(here there)\n",
        &BTreeSet::from(["here".to_owned(), "there".to_owned()]),
    );
    assert_eq!(
        found,
        ["gone: there is no such kernel", "there: has no row"]
    );
}

#[test]
fn transcripts_show_the_abi_of_today() {
    none(&wrong_versions(&pages(), &text_of("rust/uapi/reeve.h")));
}

#[test]
fn wrong_versions_are_found() {
    let header = "#define REEVE_ABI_MAJOR 1\n#define REEVE_ABI_MINOR\t6\n";
    let text = "```\nReeve 0.1.0, ABI 1.0\nReeve 0.1.0, ABI 1.6\n```\n";
    let found = wrong_versions(&page(text), header);
    assert_eq!(
        found,
        ["Documentation/x.md: Reeve 0.1.0, ABI 1.0 (it is 1.6)"]
    );
}

#[test]
fn the_end_of_make_run_is_what_it_prints() {
    let source = text_of("selftests/crates/harness/src/report.rs");
    none(&unprinted_lines(&text_of("README.md"), &source));
}

#[test]
fn lines_that_make_run_does_not_print_are_found() {
    let readme = "```\nx\nverdict: PASS\n\ntook: 1 s\nmade up: 2\nmake run: PASS\n```\n";
    let source = "println!(\"took: {}\"); println!(\"make run: PASS\");";
    assert_eq!(unprinted_lines(readme, source), ["made up"]);
}

#[test]
fn the_index_has_every_page_once() {
    none(&wrong_index(&text_of("Documentation/README.md"), &pages()));
}

#[test]
fn a_page_that_the_index_lacks_or_has_twice_is_found() {
    let pages =
        ["a.md", "b.md", "c.md"].map(|name| (format!("Documentation/{name}"), String::new()));
    assert_eq!(
        wrong_index("[a](a.md) [b](b.md) [b](b.md)", &pages),
        ["b.md", "c.md"]
    );
}

#[test]
fn files_that_may_have_unsafe_are_named() {
    none(&wrong_unsafe_files(
        &text_of("Documentation/layout.md"),
        &text_of("selftests/crates/harness/src/rooms.rs"),
    ));
}

#[test]
fn a_file_too_many_or_too_few_that_may_have_unsafe_is_found() {
    let rooms =
        "const UNSAFE_FILES: &[&str] = &[\n\"a.rs\",\n\"a/\",\n\"b/c.rs\",\n\"b/tests.rs\",\n];";
    let page = |files: &str| format!("The files that may have `unsafe`: {files}.\n\nMore.");
    assert!(wrong_unsafe_files(&page("`rust/a.rs` and `rust/b/c.rs`"), rooms).is_empty());
    assert_eq!(
        wrong_unsafe_files(&page("`rust/a/`"), rooms),
        ["b/c is not named"]
    );
    let surplus = page("`rust/a.rs`, `rust/b/c.rs`, `rust/d.rs`");
    assert_eq!(wrong_unsafe_files(&surplus, rooms), ["d may not have it"]);
}

/// The tests of the guest, as `theme.case`, and those of KUnit, as `suite.test`.
fn tests_of_the_kernel() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for text in texts_in("selftests/crates/guest/src/cases") {
        let Some((_, rest)) = text.split_once("\ncases!(\"") else {
            continue;
        };
        let list = rest.split(");").next().unwrap_or_default();
        let Some((theme, list)) = list.split_once('"') else {
            continue;
        };
        let cases = list.split([';', ',']).map(str::trim);
        names.extend(cases.map(|case| format!("{theme}.{case}")));
    }
    for text in texts_in("rust/bo/tests") {
        let Some((_, rest)) = text.split_once("#[kunit_tests(") else {
            continue;
        };
        let Some((suite, rest)) = rest.split_once(')') else {
            continue;
        };
        let tests = rest.split("#[test]\n    fn ").skip(1);
        let tests = tests.filter_map(|test| test.split('(').next());
        names.extend(tests.map(|test| format!("{suite}.{test}")));
    }
    names
}

/// The texts of all Rust files in a directory.
fn texts_in(directory: &str) -> Vec<String> {
    let entries =
        fs::read_dir(root().join(directory)).unwrap_or_else(|e| panic!("{directory}: {e}"));
    entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .map(|path| fs::read_to_string(path).expect("a text"))
        .collect()
}

/// Names like those of tests that are of none.
fn tests_that_are_not(text: &str, known: &BTreeSet<String>) -> Vec<String> {
    let themes: BTreeSet<&str> = known
        .iter()
        .filter_map(|name| name.split('.').next())
        .collect();
    let is_name = |word: &str| {
        let parts = word.split_once('.');
        parts.is_some_and(|(theme, case)| {
            themes.contains(theme) && case.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        })
    };
    let files = ["md", "rs", "max", "low", "min", "current"];
    let words = code(text).into_iter().filter(|word| is_name(word));
    words
        .filter(|word| !files.iter().any(|end| word.ends_with(&format!(".{end}"))))
        .filter(|word| !known.contains(word))
        .collect()
}

#[test]
fn tests_that_are_named_exist() {
    let known = tests_of_the_kernel();
    assert!(known.contains("hard.soft_again"), "{known:?}");
    assert!(known.contains("reeve_tt_global.devices_know_their_number"));
    let text = text_of("Documentation/limits.md");
    assert_eq!(tests_that_are_not(&text, &known), Vec::<String>::new());
    let named = code(&text).into_iter().filter(|word| known.contains(word));
    assert!(named.count() > 20);
}

#[test]
fn a_test_that_does_not_exist_is_found() {
    let known = BTreeSet::from(["hard.soft_again".to_owned()]);
    let text = "Yes (`hard.soft_again`), no (`hard.soft_never`).";
    assert_eq!(tests_that_are_not(text, &known), ["hard.soft_never"]);
}
