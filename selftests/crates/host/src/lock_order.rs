// SPDX-License-Identifier: GPL-2.0-or-later

//! Lock-order tracking.

#[path = "../../../../rust/lock_order/rules/mod.rs"]
pub mod rules;
