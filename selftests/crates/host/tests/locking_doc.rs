// SPDX-License-Identifier: GPL-2.0-or-later

//! Documentation/locking.md has the table of the module's own locks, and they agree.

use std::fs;
use std::path::Path;

/// (name, kind as the page says it)
macro_rules! rows {
    ($name:literal { $($(#[$meta:meta])* $kind:ident $([$nestable:ident])? $order:ident,)* }) => {
        const HIERARCHY: &str = $name;
        const ROWS: &[(&str, &str, bool)] = &[
            $((stringify!($order), stringify!($kind), rows!(@is $($nestable)?)),)*
        ];
    };
    (@is nestable) => { true };
    (@is) => { false };
}

reeve_host::own_lock_orders!(rows);

#[test]
fn the_page_has_the_declared_orders_and_no_others() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../Documentation/locking.md");
    let page = fs::read_to_string(path).expect("the page");
    let documented: Vec<Vec<&str>> = page
        .lines()
        .filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'))
        .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>())
        .filter(|cells| cells[0].parse::<u32>().is_ok())
        .collect();
    let declared: Vec<Vec<String>> = (1..)
        .zip(ROWS)
        .map(|(number, &(name, kind, nestable))| {
            let kind = if kind == "turn" { "spinlock" } else { kind };
            let nestable = if nestable { ", nestable" } else { "" };
            vec![number.to_string(), name.into(), format!("{kind}{nestable}")]
        })
        .collect();
    let shown: Vec<&[&str]> = documented.iter().map(|cells| &cells[..3]).collect();
    assert_eq!(shown, declared, "Documentation/locking.md, own_orders.rs");
    assert!(
        documented.iter().all(|cells| !cells[3].is_empty()),
        "each row says what its locks protect"
    );
    assert!(page.contains(&format!("named `{HIERARCHY}`")));
    assert!(
        !ROWS.is_empty() && page.contains("own_orders.rs"),
        "the page says where the declaration is"
    );
}
