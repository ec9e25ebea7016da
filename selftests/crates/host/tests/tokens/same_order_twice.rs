// SPDX-License-Identifier: GPL-2.0
//~ error: wrong lock order: `Outer` cannot be taken while `Outer` is held

#[path = "../../../../../rust/lock_order/rules/order.rs"]
mod order;
use order::{Before, Nothing, Order, Token};

lock_orders!(pub hierarchy "sample" {
    Outer,
    Inner,
});

fn main() {
    let mut token = Token::nothing_held();
    let mut first = token.inner::<Outer>();
    let _second = first.inner::<Outer>();
}
