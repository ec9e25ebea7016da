// SPDX-License-Identifier: GPL-2.0-or-later

//! The declaration of a hierarchy.

use reeve_host::lock_order::rules::order::Order;

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
