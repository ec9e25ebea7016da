// SPDX-License-Identifier: GPL-2.0-or-later

//! The facts of a report; this is also its JSON.

use serde::Serialize;

use crate::sanity::Suite;
use crate::stat::Stats;

/// The facts of a report, and its checks.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Facts {
    /// Layout of this JSON.
    pub(crate) schema: u32,
    pub(crate) kernel: Kernel,
    pub(crate) module: Module,
    pub(crate) lock_sanity: LockSanity,
    pub(crate) shrink: Shrink,
    pub(crate) checks: Vec<Check>,
    pub(crate) passed: bool,
    pub(crate) duration_ms: f64,
}

/// The kernel that runs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Kernel {
    pub(crate) release: String,
    pub(crate) machine: String,
}

/// The module that is loaded.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Module {
    pub(crate) release: String,
    pub(crate) abi: String,
    pub(crate) features: Vec<&'static str>,
    pub(crate) page_size: u32,
    pub(crate) devices: u32,
}

/// The suite's outcome, or why there is none.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum LockSanity {
    Ran(Suite),
    Refused { error: String },
}

/// The shrink demonstration.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shrink {
    /// The parameter's text before, and the limit in force meanwhile.
    pub(crate) pages_limit_before: String,
    pub(crate) pages_limit: u64,
    pub(crate) pages_limit_restored: bool,
    pub(crate) objects: Vec<Object>,
    pub(crate) steps: Vec<Step>,
    pub(crate) stats_before: Stats,
    pub(crate) stats_after: Stats,
    /// The result of the module's self-check at the end; null when debugfs cannot be read.
    pub(crate) self_check: Option<String>,
}

/// A buffer object of the demonstration.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Object {
    pub(crate) handle: u32,
    pub(crate) size: u64,
    pub(crate) pages: u64,
    pub(crate) pattern: u64,
    /// It was swapped out when its reading back began.
    pub(crate) was_swapped: bool,
    /// Of the bytes written and of the bytes read back, in hexadecimal.
    pub(crate) checksum_written: String,
    pub(crate) checksum_read: String,
    /// Offset of the first byte that differs; null when none does.
    pub(crate) first_mismatch: Option<u64>,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Fill,
    TtShrink,
    ReadBack,
    Destroy,
}

/// One thing that was done, with the counters around it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Step {
    pub(crate) kind: Kind,
    /// Which object, counted from 1; null for steps that are not about one.
    pub(crate) object: Option<u32>,
    pub(crate) before: Stats,
    pub(crate) after: Stats,
    /// What tt_shrink printed; null for other steps.
    pub(crate) tt_shrink: Option<i64>,
    pub(crate) duration_ms: f64,
}

/// A condition that must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) passed: bool,
    /// What was seen.
    pub(crate) detail: String,
}
