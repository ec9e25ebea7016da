// SPDX-License-Identifier: GPL-2.0

//! Tokens: the right order compiles and costs nothing, the wrong one does not compile.

use reeve_host::lock_order::rules::order::{Before, Nothing, Order, Token};
use std::{fs, path::Path, process::Command};

reeve_host::lock_orders!(pub(crate) hierarchy "sample" {
    /// First.
    Outer,
    [nestable] Middle,
    Inner,
});

#[test]
fn a_declaration_numbers_and_names_its_orders() {
    assert_eq!(
        (Outer::ORDER, Middle::ORDER, Inner::ORDER),
        (1, 2, 3),
        "outermost first"
    );
    assert_eq!(NAME, "sample");
    assert_eq!(ORDERS, ["Outer", "Middle", "Inner"]);
    assert_eq!(NESTABLE, [false, true, false]);
}

#[test]
fn every_order_may_follow_any_earlier_one() {
    fn take<O: Order>(_: Token<'_, O>) -> u32 {
        O::ORDER
    }
    let mut token = Token::nothing_held();
    assert_eq!(take(token.inner::<Inner>()), 3);
    assert_eq!(take(token.inner::<Outer>()), 1);
    let mut outer = token.inner::<Outer>();
    assert_eq!(take(outer.inner::<Inner>()), 3);
    let mut middle = outer.inner::<Middle>();
    assert_eq!(take(middle.inner::<Inner>()), 3);
}

#[test]
fn tokens_are_nothing_at_run_time() {
    assert_eq!(std::mem::size_of::<Token<'_, Nothing>>(), 0);
    assert_eq!(std::mem::size_of::<Token<'_, Inner>>(), 0);
}

/// Compiles each file of `tests/tokens`, which say themselves what the compiler has to say.
#[test]
fn wrong_orders_do_not_compile() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tokens");
    let mut seen = 0;
    for entry in fs::read_dir(sources).expect("the folder of cases") {
        let path = entry.expect("a case").path();
        let source = fs::read_to_string(&path).expect("a readable case");
        let (compiled, stderr) = compile(&path);
        let case = path.display();
        for line in source.lines() {
            if let Some(message) = line.strip_prefix("//~ error: ") {
                assert!(!compiled, "{case} must not compile");
                assert!(stderr.contains(message), "{case}: {message}\n{stderr}");
                seen += 1;
            } else if line == "//~ compiles" {
                assert!(compiled, "{case} must compile:\n{stderr}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 5, "expectations found in the cases");
}

/// Whether the compiler accepts the program, and what it says.
fn compile(path: &Path) -> (bool, String) {
    let out = std::env::temp_dir().join(format!("reeve-tokens-{}", std::process::id()));
    fs::create_dir_all(&out).expect("a temporary folder");
    let output = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into()))
        .args(["--edition", "2021", "--emit", "metadata", "--out-dir"])
        .args([&out, path])
        .output()
        .expect("a compiler");
    fs::remove_dir_all(&out).expect("the temporary folder");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), stderr)
}
