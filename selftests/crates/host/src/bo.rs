// SPDX-License-Identifier: GPL-2.0-or-later

//! Page accounting.

#[path = "../../../../rust/bo/rules/mod.rs"]
pub mod rules;
