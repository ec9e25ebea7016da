// SPDX-License-Identifier: GPL-2.0-or-later
//! One counted test, and where it belongs.

use serde::Serialize;

use crate::ktap::{Case, Verdict};

/// The parts that `make test` sums up one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// `cargo test` on this machine.
    Host,
    /// KUnit suites inside the module.
    Kunit,
    /// The guest's tests through ioctl, debugfs and sysfs.
    Selftests,
    /// The make targets, and whether a failure is noticed at all.
    MakeTargets,
    /// Formatting, warnings, documentation, licences.
    Lint,
}

impl Tier {
    /// All of them, in the order of the summary.
    pub const ALL: [Self; 5] = [
        Self::Host,
        Self::Kunit,
        Self::Selftests,
        Self::MakeTargets,
        Self::Lint,
    ];

    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Kunit => "kunit",
            Self::Selftests => "selftests",
            Self::MakeTargets => "make targets",
            Self::Lint => "lint",
        }
    }
}

/// How a test went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome", content = "detail")]
pub enum Outcome {
    /// Well.
    Passed,
    /// It was not run, for this reason.
    Skipped(String),
    /// Badly, for this reason.
    Failed(String),
}

/// One counted test.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// Where it belongs.
    pub tier: Tier,
    /// Its name.
    pub name: String,
    /// How it went.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl Record {
    /// A test that passed.
    pub fn passed(tier: Tier, name: impl Into<String>) -> Self {
        Self::new(tier, name, Outcome::Passed)
    }

    /// A test that failed.
    pub fn failed(tier: Tier, name: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(tier, name, Outcome::Failed(why.into()))
    }

    /// A test that passed if `result` is fine, and the error is why if not.
    pub fn from_result(tier: Tier, name: impl Into<String>, result: anyhow::Result<()>) -> Self {
        match result {
            Ok(()) => Self::passed(tier, name),
            Err(error) => Self::failed(tier, name, format!("{error:#}")),
        }
    }

    /// A case of a KTAP run, its name put below `prefix`.
    pub fn from_case(tier: Tier, prefix: &str, case: Case) -> Self {
        let outcome = match case.verdict {
            Verdict::Passed => Outcome::Passed,
            Verdict::Skipped(why) => Outcome::Skipped(why),
            Verdict::Failed(why) => Outcome::Failed(why),
        };
        Self::new(tier, format!("{prefix}{}", case.name), outcome)
    }

    /// Did it fail?
    pub fn is_failure(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_))
    }

    fn new(tier: Tier, name: impl Into<String>, outcome: Outcome) -> Self {
        Self {
            tier,
            name: name.into(),
            outcome,
        }
    }
}
