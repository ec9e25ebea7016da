// SPDX-License-Identifier: GPL-2.0-or-later

//! Turns `rust/uapi/reeve.h` into Rust, layout assertions included.

use std::env;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manifest = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let header = manifest.join("../../../rust/uapi/reeve.h");
    println!("cargo::rerun-if-changed={}", header.display());

    let out = PathBuf::from(env::var("OUT_DIR")?).join("bindings.rs");
    bindgen::Builder::default()
        .header(header.to_string_lossy())
        .allowlist_type("reeve_.*")
        .allowlist_var("REEVE_.*")
        .derive_default(true)
        .derive_eq(true)
        .layout_tests(true)
        .use_core()
        .generate_comments(false)
        .formatter(bindgen::Formatter::Prettyplease)
        .generate()?
        .write_to_file(out)?;
    Ok(())
}
