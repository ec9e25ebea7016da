// SPDX-License-Identifier: GPL-2.0-or-later

use super::*;

fn sources(files: &[(&str, &str)]) -> Sources {
    let mut sources = Sources::default();
    sources.add("reeve_main.rs", "mod bo;");
    for (file, source) in files {
        sources.add(file, source);
    }
    sources
}

fn complaints(files: &[(&str, &str)]) -> Vec<String> {
    layout(&sources(files), &Exceptions::default())
}

/// What a file imports of these.
fn imported(files: &[(&str, &str)], from: &str) -> Vec<String> {
    let imports = sources(files).imports(from);
    imports.into_iter().map(|import| import.to).collect()
}

/// A tree in which all is well: each room uses lower ones, and `mod` lines alone are no imports.
const GOOD: &[(&str, &str)] = &[
    ("abstractions.rs", "pub(crate) mod list;"),
    ("abstractions/list.rs", "use core::fmt;"),
    ("lock_order.rs", "mod track;\npub(crate) mod rules;"),
    (
        "lock_order/track.rs",
        "use super::rules::held::Held;\nuse crate::abstractions::list;",
    ),
    ("lock_order/rules/mod.rs", "pub mod held;\npub mod order;"),
    ("lock_order/rules/held.rs", "use super::order::Order;"),
    ("lock_order/rules/order.rs", "//! No `crate::chardev` here."),
    ("bo.rs", "pub(crate) mod tt;\npub(crate) mod rules;"),
    (
        "bo/tt.rs",
        "mod swapin;\nuse crate::{abstractions::list::{self, List}, lock_order::track};",
    ),
    ("bo/tt/swapin.rs", "use kernel::prelude::*;"),
    ("bo/rules/mod.rs", "pub mod state;"),
    ("bo/rules/state.rs", "pub enum State { A }"),
    ("bo/tests.rs", "use crate::chardev::OpenFile;\nmod more;"),
    ("bo/tests/more.rs", "use super::super::tt::Tt;"),
    (
        "chardev.rs",
        "use crate::bo::{rules::state::State, tt::Tt};",
    ),
    ("bench.rs", "use crate::chardev;"),
];

/// The good tree with one more line in a file of it.
fn planted(file: &str, line: &str) -> Vec<String> {
    let mut sources = sources(GOOD);
    let good = GOOD.iter().find(|(name, _)| *name == file);
    let text = format!("{}\n{line}\n", good.expect("no such file").1);
    sources.add(file, &text);
    layout(&sources, &Exceptions::default())
}

#[test]
fn a_good_tree_has_no_complaints() {
    assert_eq!(complaints(GOOD), Vec::<String>::new());
}

#[test]
fn an_upward_import_is_found() {
    for (file, line, to) in [
        (
            "abstractions/list.rs",
            "use crate::lock_order::track::Track;",
            "lock_order/track.rs",
        ),
        ("lock_order/track.rs", "use crate::bo::tt;", "bo/tt.rs"),
        (
            "bo/tt.rs",
            "pub(crate) use crate::{chardev::{OpenFile, Shared}};",
            "chardev.rs",
        ),
        (
            "bo/tt.rs",
            "fn f() { crate::chardev::open(); }",
            "chardev.rs",
        ),
        (
            "bo/tt.rs",
            "fn f() -> super::super::bench::Bench {}",
            "bench.rs",
        ),
        (
            "bo/tt.rs",
            "macro_rules! m { () => { $crate::chardev::open() } }",
            "chardev.rs",
        ),
        (
            "bo/tt.rs",
            "mod inner { use super::super::super::chardev::*; }",
            "chardev.rs",
        ),
        ("chardev.rs", "use crate::Reeve;", "reeve_main.rs"),
    ] {
        let found = planted(file, line);
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        assert!(found[0].starts_with(&format!("rust/{file}:")), "{found:?}");
        assert!(found[0].contains(&format!("imports {to}: ")), "{found:?}");
    }
}

#[test]
fn rules_import_only_rules_of_their_room() {
    for line in [
        "use crate::abstractions::list::List;",
        "use crate::bo::tt::Tt;",
        "use crate::lock_order::rules::held::Held;",
        "use super::super::tt::Tt;",
    ] {
        let found = planted("bo/rules/state.rs", line);
        assert!(
            found
                .iter()
                .any(|text| text.contains("rules import only rules")),
            "{line}: {found:?}"
        );
    }
}

#[test]
fn any_room_may_import_any_rules() {
    assert!(planted(
        "abstractions/list.rs",
        "use crate::bo::rules::state::State;"
    )
    .is_empty());
}

#[test]
fn a_circle_of_two_files_is_found() {
    let found = planted("bo/tt/swapin.rs", "use super::Tt;");
    assert!(found.is_empty(), "only one way: {found:?}");
    let files = [
        ("bo/tt.rs", "mod swapin;\nuse self::swapin::SwapIn;"),
        ("bo/tt/swapin.rs", "use super::Tt;"),
    ];
    let found = complaints(&files);
    assert_eq!(
        found,
        [
            "rust/bo: 2 files import each other in a circle: bo/tt.rs bo/tt/swapin.rs; the shortest one:",
            "  rust/bo/tt.rs:2: imports bo/tt/swapin.rs",
            "  rust/bo/tt/swapin.rs:1: imports bo/tt.rs",
        ]
    );
}

#[test]
fn a_circle_through_a_reexport_is_found() {
    let files = [
        (
            "bo.rs",
            "pub(crate) use manager::Manager;\nmod manager;\nmod pool;",
        ),
        ("bo/manager.rs", "use super::pool::Pool;"),
        ("bo/pool.rs", "use crate::bo::Manager;"),
    ];
    let found = complaints(&files);
    assert!(found[0].contains("3 files"), "{found:?}");
    assert_eq!(found.len(), 4, "{found:?}");
}

#[test]
fn a_circle_of_tests_is_none() {
    let files = [
        ("bo/tests.rs", "mod a;\nuse a::A;"),
        ("bo/tests/a.rs", "use super::B;"),
    ];
    assert!(complaints(&files).is_empty());
}

#[test]
fn exceptions_cover_what_they_name_and_no_more() {
    let exceptions = Exceptions {
        upward: &[("bo/tt.rs", "chardev.rs")],
        circles: &[&["bo/a.rs", "bo/b.rs", "bo/gone.rs"]],
    };
    let circle = [
        ("bo/a.rs", "use super::b::B;"),
        ("bo/b.rs", "use super::a::A;"),
    ];
    let check = |files: &[(&str, &str)]| layout(&sources(files), &exceptions);
    assert!(check(&circle).is_empty());
    let wider = [
        circle[0],
        ("bo/b.rs", "use super::c::C;"),
        ("bo/c.rs", "use super::a::A;"),
    ];
    assert!(!check(&wider).is_empty());
    let upward = "use crate::chardev::X;";
    assert!(check(&[("chardev.rs", ""), ("bo/tt.rs", upward)]).is_empty());
    assert_eq!(
        check(&[("chardev.rs", ""), ("bo/pool.rs", upward)]).len(),
        1
    );
}

#[test]
fn a_room_that_is_not_known_is_found() {
    let found = complaints(&[("attic/box.rs", "")]);
    assert!(found[0].contains("no known room"), "{found:?}");
}

#[test]
fn paths_that_are_no_imports() {
    let files = [
        ("chardev.rs", ""),
        ("bo/tt.rs", "//! [`crate::chardev`]\npub(in crate::chardev) struct A; const B: &str = \"crate::chardev::X\"; fn f(bo: u8) { chardev::f() }"),
    ];
    assert!(imported(&files, "bo/tt.rs").is_empty());
}

#[test]
fn a_name_given_by_use_leads_on() {
    let files = [
        ("bo/pool.rs", ""),
        ("bo/pool/alloc.rs", ""),
        (
            "bo/tt.rs",
            "use super::pool as p;\nfn f() { p::alloc::one() }",
        ),
    ];
    assert_eq!(
        imported(&files, "bo/tt.rs"),
        ["bo/pool.rs", "bo/pool/alloc.rs"]
    );
}

#[test]
fn an_exported_macro_is_where_it_is_made() {
    let files = [
        ("lock_order/classes.rs", "$crate::orders!(a);"),
        (
            "lock_order/rules/order.rs",
            "macro_rules! orders { () => { $crate::orders!(@b) } }",
        ),
    ];
    assert_eq!(
        imported(&files, "lock_order/classes.rs"),
        ["lock_order/rules/order.rs"]
    );
    assert!(imported(&files, "lock_order/rules/order.rs").is_empty());
}

const DENY: &str = "#![deny(unsafe_code)]\n";

fn unsafe_complaints(file: &str, source: &str) -> Vec<String> {
    let mut sources = Sources::default();
    sources.add(file, source);
    unsafe_files(&sources, &["bo/pages/", "lock_order/api.rs"])
}

#[test]
fn an_unsafe_line_is_found() {
    let found = unsafe_complaints("bo/tt.rs", &format!("{DENY}fn f() {{ unsafe {{ g() }} }}"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("rust/bo/tt.rs:2: `unsafe`"),
        "{found:?}"
    );
}

#[test]
fn named_files_may_have_unsafe() {
    for file in ["bo/pages/block.rs", "lock_order/api.rs"] {
        assert!(unsafe_complaints(file, "unsafe impl Send for X {}").is_empty());
    }
    assert_eq!(
        unsafe_complaints("bo/pages.rs", "unsafe impl Send for X {}").len(),
        2
    );
}

#[test]
fn a_file_without_the_attribute_is_found() {
    for lacking in [
        "fn f() {}",
        "#[deny(unsafe_code)]\nmod a;",
        "// #![deny(unsafe_code)]",
    ] {
        let found = unsafe_complaints("bo/tt.rs", lacking);
        assert_eq!(found, ["rust/bo/tt.rs: lacks `#![deny(unsafe_code)]`"]);
    }
    assert!(unsafe_complaints("bo/tt.rs", DENY).is_empty());
}

#[test]
fn the_lint_cannot_be_turned_off_again() {
    for off in [
        "#[allow(unsafe_code)]\nmod a;",
        "#[expect(unsafe_code, reason = \"x\")]\nmod a;",
    ] {
        assert_eq!(
            unsafe_complaints("bo/tt.rs", &format!("{DENY}{off}")).len(),
            1
        );
        assert!(unsafe_complaints("lock_order/api.rs", off).is_empty());
    }
}

#[test]
fn the_kernels_crate_below_rules_is_found() {
    for line in [
        "use kernel::prelude::*;",
        "fn f() -> kernel::error::Result {}",
        "use {core::fmt, kernel::pr_err};",
        "use ::kernel::fmt;",
    ] {
        let source = format!("{DENY}{line}");
        assert_eq!(
            unsafe_complaints("bo/rules/state.rs", &source).len(),
            1,
            "{line}"
        );
        assert_eq!(unsafe_complaints("bo/tt.rs", &source).len(), 0, "{line}");
    }
    for harmless in [
        "//! Not of the kernel:: crate.",
        "fn kernel() {}",
        "use super::kernel::X;",
    ] {
        let source = format!("{DENY}{harmless}");
        assert!(
            unsafe_complaints("bo/rules/state.rs", &source).is_empty(),
            "{harmless}"
        );
    }
}
