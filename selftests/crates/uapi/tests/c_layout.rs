// SPDX-License-Identifier: GPL-2.0

//! The header and its layout as the C compiler sees them, for 64-bit and 32-bit callers.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// The compilers to try, in this order; `CC` goes first.
fn compiler() -> String {
    let named = std::env::var("CC").ok();
    let known = ["clang", "gcc", "cc"].into_iter().map(str::to_owned);
    let versioned = (15..40).rev().map(|version| format!("clang-{version}"));
    named
        .into_iter()
        .chain(known)
        .chain(versioned)
        .find(|name| Command::new(name).arg("--version").output().is_ok())
        .expect("no C compiler: install clang or gcc, or set CC")
}

fn selftests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn layout_c() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/layout.c")
}

/// Compiles `source` without output and expects no complaint at all.
fn compiles(bits: &str, source: &Path) {
    let compiler = compiler();
    let output = Command::new(&compiler)
        .args([
            bits,
            "-std=gnu11",
            "-fsyntax-only",
            "-Wall",
            "-Wextra",
            "-Wpadded",
            "-Werror",
        ])
        // A 64-bit system has its <asm/types.h> here; 32-bit compilers do not look.
        .args(["-isystem", "/usr/include/x86_64-linux-gnu"])
        .arg(source)
        .output()
        .unwrap_or_else(|err| panic!("{compiler}: {err}"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaint.is_empty(),
        "{compiler} {bits} {}:\n{complaint}",
        source.display()
    );
}

#[test]
fn layout_for_64_bit_callers() {
    compiles("-m64", &layout_c());
}

#[test]
fn layout_for_32_bit_callers() {
    compiles("-m32", &layout_c());
}

/// An assertion that does not hold must be seen, or the two tests above prove nothing.
#[test]
fn a_wrong_number_is_found() {
    let text = std::fs::read_to_string(layout_c()).unwrap();
    let wrong = text.replace("SIZE(reeve_bo, 32)", "SIZE(reeve_bo, 24)");
    assert_ne!(text, wrong);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wrong-layout.c");
    let header = selftests().join("../rust/uapi/reeve.h");
    let wrong = wrong.replace("../../../../rust/uapi/reeve.h", &header.to_string_lossy());
    std::fs::write(&file, wrong).unwrap();
    let refused = std::panic::catch_unwind(|| compiles("-m64", &file));
    assert!(refused.is_err());
}

/// The program in the documentation is one that compiles.
#[test]
fn documented_example_compiles() {
    let document = selftests().join("../Documentation/abi.md");
    let text = std::fs::read_to_string(document).unwrap();
    let (_, rest) = text.split_once("```c\n").expect("a C example");
    let (example, _) = rest.split_once("```").expect("the end of the C example");
    let header = selftests().join("../rust/uapi/reeve.h");
    let example = example.replace("\"reeve.h\"", &format!("\"{}\"", header.display()));
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("example.c");
    std::fs::write(&file, example).unwrap();
    compiles("-m64", &file);
}

/// The header stands on its own in C++ too.
#[test]
fn header_is_complete_for_cpp() {
    let compiler = compiler();
    let output = Command::new(&compiler)
        .args(["-x", "c++", "-fsyntax-only", "-Wall", "-Wextra", "-Werror"])
        .arg(selftests().join("../rust/uapi/reeve.h"))
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    // "#pragma once in main file" and its like are about how we ask, not about the header.
    assert!(output.status.success(), "{compiler}:\n{complaint}");
}
