// SPDX-License-Identifier: GPL-2.0-or-later

//! What a case is, and how it says that something is wrong.

use std::fmt::Debug;
use std::io;
use std::panic::Location;

use nix::errno::Errno;

/// Why a case ended before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Something is not as it has to be.
    Failed(String),
    /// It cannot be tried here.
    Skipped(String),
}

/// How a case, or a part of one, went.
pub(crate) type Outcome<T = ()> = Result<T, Stop>;

/// What the module has to be like before a case starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setup {
    /// The parameter `devices`.
    pub(crate) devices: u32,
}

impl Setup {
    /// As the module is inserted for tests.
    pub(crate) const STANDARD: Self = Self { devices: 1 };
}

/// A case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Test {
    /// Theme and name.
    pub(crate) name: &'static str,
    pub(crate) run: fn() -> Outcome,
    pub(crate) setup: Setup,
}

/// Lists the cases of a theme: `cases!("life"; populate, unpopulate)`.
macro_rules! cases {
    ($theme:literal; $($name:ident),* $(,)?) => {
        cases!($theme, crate::test::Setup::STANDARD; $($name),*);
    };
    ($theme:literal, $setup:expr; $($name:ident),* $(,)?) => {
        pub(crate) const TESTS: &[crate::test::Test] = &[
            $(crate::test::Test {
                name: concat!($theme, ".", stringify!($name)),
                run: $name,
                setup: $setup,
            }),*
        ];
    };
}
pub(crate) use cases;

/// Ends the case as failed unless the condition holds.
macro_rules! check {
    ($condition:expr $(,)?) => {
        check!($condition, "{}", "")
    };
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err(crate::test::Stop::failed(format!(
                "{} does not hold {}",
                stringify!($condition),
                format_args!($($what)+)
            )));
        }
    };
}
pub(crate) use check;

/// Ends the case as failed unless both are equal.
macro_rules! check_eq {
    ($found:expr, $expected:expr $(,)?) => {
        check_eq!($found, $expected, "{}", "")
    };
    ($found:expr, $expected:expr, $($what:tt)+) => {
        match (&$found, &$expected) {
            (found, expected) => {
                if *found != *expected {
                    return Err(crate::test::Stop::failed(format!(
                        "{} is {found:?}, not {expected:?} {}",
                        stringify!($found),
                        format_args!($($what)+)
                    )));
                }
            }
        }
    };
}
pub(crate) use check_eq;

impl Stop {
    /// A failure at the caller's line.
    #[track_caller]
    pub(crate) fn failed(text: impl AsRef<str>) -> Self {
        let at = Location::caller();
        let file = at.file().rsplit('/').next().unwrap_or_default();
        Self::Failed(format!(
            "{file}:{}: {}",
            at.line(),
            text.as_ref().trim_end()
        ))
    }

    /// A reason not to try.
    pub(crate) fn skipped(text: impl Into<String>) -> Self {
        Self::Skipped(text.into())
    }

    /// The same with words in front that say where in a table or a sequence it happened.
    pub(crate) fn during(self, what: impl std::fmt::Display) -> Self {
        match self {
            Self::Failed(text) => Self::Failed(format!("{text} [{what}]")),
            Self::Skipped(text) => Self::Skipped(text),
        }
    }
}

impl From<io::Error> for Stop {
    /// A call that had to succeed did not; the line is that of the `?`.
    #[track_caller]
    fn from(err: io::Error) -> Self {
        match err.raw_os_error() {
            Some(errno) => Self::failed(format!("failed with {:?}", Errno::from_raw(errno))),
            None => Self::failed(err.to_string()),
        }
    }
}

impl From<Errno> for Stop {
    #[track_caller]
    fn from(errno: Errno) -> Self {
        Self::failed(format!("failed with {errno:?}"))
    }
}

/// The errno of a failed call.
pub(crate) fn errno(err: &io::Error) -> Errno {
    Errno::from_raw(err.raw_os_error().unwrap_or_default())
}

/// Expects a call to fail with this errno.
#[track_caller]
pub(crate) fn refused<T: Debug>(result: io::Result<T>, expected: Errno) -> Outcome {
    match result {
        Err(err) if errno(&err) == expected => Ok(()),
        Err(err) => Err(Stop::failed(format!(
            "failed with {:?}, not {expected:?}",
            errno(&err)
        ))),
        Ok(value) => Err(Stop::failed(format!(
            "succeeded ({value:?}), not {expected:?}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks(value: u32) -> Outcome {
        check!(value > 1, "with {value}");
        check_eq!(value, 2);
        Err(io::Error::from(Errno::EBUSY))?;
        Ok(())
    }

    fn text(outcome: Outcome) -> String {
        match outcome {
            Err(Stop::Failed(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn failures_say_where_and_what() {
        let failed = text(checks(1));
        assert!(failed.starts_with("test.rs:"), "{failed}");
        assert!(
            failed.ends_with("value > 1 does not hold with 1"),
            "{failed}"
        );
        assert!(text(checks(3)).ends_with("value is 3, not 2"));
        let failed = text(checks(2));
        assert!(
            failed.starts_with("test.rs:") && failed.ends_with("EBUSY"),
            "{failed}"
        );
    }

    #[test]
    fn refusals_are_exact() {
        let busy = || Err::<(), _>(io::Error::from(Errno::EBUSY));
        assert_eq!(refused(busy(), Errno::EBUSY), Ok(()));
        assert!(text(refused(busy(), Errno::EINVAL)).contains("EBUSY, not EINVAL"));
        assert!(text(refused(Ok(1), Errno::EINVAL)).contains("succeeded (1)"));
    }
}
