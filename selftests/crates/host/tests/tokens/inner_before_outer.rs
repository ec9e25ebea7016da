// SPDX-License-Identifier: GPL-2.0
//~ error: wrong lock order: `Outer` cannot be taken while `Inner` is held
//~ error: this lock comes before, or is of the same order as, one that is held

#[path = "../../../../../rust/lock_order/rules/order.rs"]
mod order;
use order::{Before, Nothing, Order, Token};

lock_orders!(pub hierarchy "sample" {
    Outer,
    Inner,
});

fn main() {
    let mut token = Token::nothing_held();
    let mut inner = token.inner::<Inner>();
    let _outer = inner.inner::<Outer>();
}
