// SPDX-License-Identifier: GPL-2.0-or-later

//! What a process does, as lines of text: one step each, in JSON. A program does the same whenever it is run, but for
//! what the others do meanwhile.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::str::FromStr;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// How many files a program can have open. The first [`SHARED_FILES`] are those of all processes.
pub(crate) const FILES: usize = 5;

/// The files that all processes share, as after `fork()`.
pub(crate) const SHARED_FILES: usize = 2;

/// A number in a struct, or an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Value {
    /// This number.
    Number(u64),
    /// The handle that the n-th create on this file returned; the count goes round.
    Handle(u8),
    /// An address in the process's ordinary memory, at this many bytes.
    Arena(u32),
    /// An address in the n-th mapping, at this many bytes; the count goes round.
    Mapped(u8, u32),
}

/// A part of a mapping; both go round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) mapping: u8,
    pub(crate) page: u16,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Step {
    /// An `ioctl()`.
    Call {
        file: u8,
        name: String,
        /// What is not in here is zero.
        fields: BTreeMap<String, Value>,
        /// Where the struct is, if not where it should be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Value>,
        /// As a 32-bit process calls.
        #[serde(default, skip_serializing_if = "is_false")]
        compat: bool,
    },
    /// Opens the device again.
    Open {
        file: u8,
    },
    /// Closes it.
    Close {
        file: u8,
    },
    /// `mmap()` of an object: BO_MMAP, and what it says, moved by so many pages.
    Map {
        file: u8,
        handle: Value,
        skip: i16,
        pages: u16,
        protection: u8,
        private: bool,
        populate: bool,
    },
    Unmap {
        part: Part,
        pages: u16,
    },
    Protect {
        part: Part,
        pages: u16,
        protection: u8,
    },
    /// `mremap()`.
    Move {
        part: Part,
        pages: u16,
    },
    Advise {
        part: Part,
        advice: u8,
    },
    /// Reads a byte of it.
    Read {
        part: Part,
    },
    /// Writes to all of the page.
    Write {
        part: Part,
    },
    /// A child that writes to it and ends.
    Fork {
        part: Part,
    },
    /// Reads its fdinfo.
    Fdinfo {
        file: u8,
    },
    /// Writes a parameter of the module.
    Parameter {
        name: String,
        value: String,
    },
    /// Reads a file of debugfs.
    Look {
        name: String,
    },
    /// Writes to one.
    Trigger {
        name: String,
    },
    /// Writes to a file of the process's cgroup.
    Cgroup {
        name: String,
        value: String,
    },
    /// Has the n-th allocation of the next step fail.
    Fail {
        nth: u16,
    },
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The steps of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Program(pub(crate) Vec<Step>);

impl Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.0 {
            writeln!(
                f,
                "{}",
                serde_json::to_string(step).map_err(|_| fmt::Error)?
            )?;
        }
        Ok(())
    }
}

impl FromStr for Program {
    type Err = anyhow::Error;

    /// Empty lines, and those that begin with `#`, are passed over.
    fn from_str(text: &str) -> Result<Self> {
        text.lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
            .map(|(number, line)| {
                serde_json::from_str(line).with_context(|| format!("line {}: {line}", number + 1))
            })
            .collect::<Result<_>>()
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let text = concat!(
            r#"{"call":{"file":2,"name":"bo_create","fields":{"size":{"number":4096}}}}"#,
            "\n",
            r#"{"call":{"file":2,"name":"bo_read","fields":{"addr":{"mapped":[0,9]},"handle":{"handle":0}},"#,
            r#""at":{"arena":4090},"compat":true}}"#,
            "\n",
            r#"{"write":{"part":{"mapping":1,"page":3}}}"#,
            "\n",
        );
        let program: Program = text.parse().expect("it is one");
        assert_eq!(program.0.len(), 3);
        assert_eq!(program.to_string(), text);
        let commented: Program = format!("# why\n\n{text}").parse().expect("it is one");
        assert_eq!(commented, program);
    }

    #[test]
    fn errors_name_the_line() {
        let err = "\n{\"open\":{}}"
            .parse::<Program>()
            .expect_err("no file is named");
        assert!(format!("{err:#}").starts_with("line 2"), "{err:#}");
    }
}
