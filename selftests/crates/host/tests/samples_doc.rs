// SPDX-License-Identifier: GPL-2.0-or-later

//! The examples of drivers in README.md and Documentation/ are parts of the samples, which are compiled and run.

use std::fs;
use std::path::Path;

fn text_of(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The pieces of the page's examples in this language; a line of dots parts them.
fn pieces(page: &str, language: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    for block in page.split(&format!("```{language}\n")).skip(1) {
        let block = block.split("```").next().unwrap_or("");
        pieces.extend(block.split("...\n").map(str::to_owned));
    }
    pieces
}

/// The page without what is for programs: that is compiled by itself.
fn of_drivers(page: &str) -> String {
    let blocks = page.split("```c\n");
    let kept = blocks.filter(|block| !block.contains("REEVE_IOC_"));
    kept.collect::<Vec<_>>().join("```c\n")
}

fn missing(page: &str, language: &str, sample: &str) -> Vec<String> {
    let mut pieces = pieces(page, language);
    pieces.retain(|piece| !sample.contains(piece.as_str()));
    pieces
}

#[test]
fn examples_are_parts_of_the_samples() {
    const PAGE: &str = "Documentation/lock-order.md";
    const LOCKS: &str = "selftests/samples/c/reeve_sample.c";
    const PAGES: &str = "selftests/samples/gpu-c/reeve_gpu.c";
    for (page, language, sample) in [
        ("README.md", "c", &[LOCKS, PAGES][..]),
        (PAGE, "c", &[LOCKS]),
        (
            PAGE,
            "rust",
            &["selftests/samples/rust/reeve_sample_rust.rs"],
        ),
        ("Documentation/drivers.md", "c", &[PAGES]),
        (
            "Documentation/drivers.md",
            "rust",
            &["selftests/samples/gpu-rust/reeve_gpu_rust.rs"],
        ),
    ] {
        let page = of_drivers(&text_of(page));
        assert!(pieces(&page, language).len() >= 2, "{language}");
        let sample: String = sample.iter().map(|path| text_of(path)).collect();
        let missing = missing(&page, language, &sample);
        assert!(missing.is_empty(), "not in the sample: {missing:#?}");
    }
}

#[test]
fn an_example_that_is_not_in_the_sample_is_found() {
    let page = "```c\nint a;\n...\nint b;\n```\n```rust\nlet c;\n```\n";
    assert_eq!(missing(page, "c", "int a;\nint c;\n"), ["int b;\n"]);
    assert_eq!(missing(page, "rust", "let c;\n"), [""; 0]);
}
