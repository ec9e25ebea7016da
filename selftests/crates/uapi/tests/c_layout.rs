// SPDX-License-Identifier: GPL-2.0-or-later

//! The header and its layout as the C compiler sees them, for 64-bit and 32-bit callers.

mod compiler;
#[path = "../../../../rust/uapi/layout.rs"]
mod layout;

use std::fmt::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use compiler::compiler;
use compiler::complaints;
use compiler::file;
use compiler::module;

/// Where the header is.
fn header() -> PathBuf {
    module("uapi/reeve.h")
}

/// A C program that asserts the published layout.
fn layout_c() -> String {
    let mut text = format!("#include <stddef.h>\n#include \"{}\"\n", header().display());
    macro_rules! assertions {
        (
            structs {
                $($name:ident: $size:literal { $($field:ident @ $offset:literal),* $(,)? })*
            }
            requests {
                $($call:ident = $request:ident: $nr:ident($argument:ident) = $code:literal;)*
            }
        ) => {
            $(
                assert(&mut text, concat!("sizeof(struct ", stringify!($name), ")"), $size);
                $(
                    // Bindings add a `_` to what is a word of Rust.
                    let field = stringify!($field).trim_end_matches('_');
                    let offset = format!(concat!("offsetof(struct ", stringify!($name), ", {})"), field);
                    assert(&mut text, &offset, $offset);
                )*
            )*
            $(
                assert(&mut text, concat!("(unsigned int)", stringify!($request)), $code);
            )*
        };
    }
    layout::abi_layout!(assertions);
    text
}

/// Adds the assertion that `expression` has this value.
fn assert(text: &mut String, expression: &str, value: u32) {
    writeln!(
        text,
        "_Static_assert({expression} == {value}u, \"{expression}\");"
    )
    .unwrap();
}

/// Compiles `source` without a byte of padding that is not spelled out, and expects no complaint at all.
fn compiles(bits: &str, source: &Path) {
    if let Err(complaint) = complaints(&[bits, "-Wpadded"], source) {
        panic!("{complaint}");
    }
}

#[test]
fn layout_for_64_bit_callers() {
    compiles("-m64", &file("layout-64.c", &layout_c()));
}

#[test]
fn layout_for_32_bit_callers() {
    compiles("-m32", &file("layout-32.c", &layout_c()));
}

/// An assertion that does not hold must be seen, or the two tests above prove nothing.
#[test]
fn a_wrong_number_is_found() {
    let text = layout_c();
    for (right, wrong) in [
        (
            "sizeof(struct reeve_bo) == 32u",
            "sizeof(struct reeve_bo) == 24u",
        ),
        (
            "offsetof(struct reeve_bo_info, type) == 4u",
            "offsetof(struct reeve_bo_info, type) == 8u",
        ),
        (
            "REEVE_IOC_STATS == 3233867521u",
            "REEVE_IOC_STATS == 3233867522u",
        ),
    ] {
        let wrong = text.replace(right, wrong);
        assert_ne!(text, wrong, "{right}");
        let file = file("wrong-layout.c", &wrong);
        let refused = std::panic::catch_unwind(|| compiles("-m64", &file));
        assert!(refused.is_err(), "{right}");
    }
}

/// The header stands on its own in C++ too.
#[test]
fn header_is_complete_for_cpp() {
    let compiler = compiler();
    let output = Command::new(&compiler)
        .args(["-x", "c++", "-fsyntax-only", "-Wall", "-Wextra", "-Werror"])
        .arg(header())
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    // "#pragma once in main file" and its like are about how we ask, not about the header.
    assert!(output.status.success(), "{compiler}:\n{complaint}");
}
