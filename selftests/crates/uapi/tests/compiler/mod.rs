// SPDX-License-Identifier: GPL-2.0-or-later

//! The C compiler, asked whether it has complaints.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// The compilers to try, in this order; `CC` goes first.
pub(crate) fn compiler() -> String {
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

/// A directory of the module's sources.
pub(crate) fn module(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../rust")
        .join(path)
}

/// Writes a C program to a file of this name.
pub(crate) fn file(name: &str, text: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, text).unwrap();
    file
}

/// Compiles `source` without output, with these arguments and most warnings; returns what the compiler says.
pub(crate) fn complaints(arguments: &[&str], source: &Path) -> Result<(), String> {
    let compiler = compiler();
    let output = Command::new(&compiler)
        .args(["-std=gnu11", "-fsyntax-only", "-Wall", "-Wextra", "-Werror"])
        .args(arguments)
        // A 64-bit system has its <asm/types.h> here; 32-bit compilers do not look.
        .args(["-isystem", "/usr/include/x86_64-linux-gnu"])
        .arg("-I")
        .arg(module("uapi"))
        .arg("-I")
        .arg(module("include"))
        .arg(source)
        .output()
        .unwrap_or_else(|err| panic!("{compiler}: {err}"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    match output.status.success() && complaint.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "{compiler} {arguments:?} {}:\n{complaint}",
            source.display()
        )),
    }
}
