// SPDX-License-Identifier: GPL-2.0
//~ error: cannot borrow `token` as mutable more than once at a time

#[path = "../../../../../rust/lock_order/rules/order.rs"]
mod order;
use order::{Before, Nothing, Order, Token};

lock_orders!(pub hierarchy "sample" {
    Outer,
    Inner,
});

fn main() {
    let mut token = Token::nothing_held();
    let mut outer = token.inner::<Outer>();
    let again = token.inner::<Inner>();
    let _ = (outer.inner::<Inner>(), again);
}
