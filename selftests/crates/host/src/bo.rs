// SPDX-License-Identifier: GPL-2.0

//! Page accounting.

#[path = "../../../../rust/bo/rules/mod.rs"]
pub mod rules;
