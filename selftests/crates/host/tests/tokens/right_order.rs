// SPDX-License-Identifier: GPL-2.0
//~ compiles

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
    let _inner = outer.inner::<Inner>();
}
