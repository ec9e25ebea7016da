// SPDX-License-Identifier: GPL-2.0-or-later

//! Errors as texts: what was asked, what the errno means there, and what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use nix::errno::Errno;
use serde::Serialize;

use reeve_precopy::Address;
use reeve_precopy::Failure;
use reeve_precopy::Kind;
use reeve_uapi::BoCall;
use reeve_uapi::Handle;

use crate::line::Malformed;
use crate::stat::SCHEMA;

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Error {
    /// The module or the system refused something.
    Refused { asked: Asked, source: io::Error },
    /// A file of the module is not as this program knows it.
    Malformed { path: PathBuf, fault: Malformed },
    /// Everything was done, but a check of the outcome failed.
    Check(String),
    /// A migration failed.
    Migration(Box<Failure>),
    /// The same, of one whose writers were held back until a signal came.
    HeldBack(Box<Failure>),
    /// The command line is wrong.
    Usage(String),
    /// Our own output could not be written.
    Output(io::Error),
}

/// What was asked of the module or the system.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Open(PathBuf),
    Inherit(i32),
    Version,
    Stats,
    FileLimit,
    Create,
    List,
    Info(Handle),
    DmaAddress(Handle),
    Bo(BoCall, Handle),
    Read(Handle),
    Write(Handle),
    /// The mode of the logs of this open file.
    LogMode,
    /// A dirty log, to do this with it.
    Log(&'static str, Handle),
    /// Objects, to move them.
    Migrate,
    /// The other side of a migration.
    Connection(Address),
    /// The writers of a migration.
    Writers,
    LockSanity,
    /// A file of the module in debugfs.
    Debugfs(PathBuf),
    /// A parameter of the module in sysfs.
    Parameter(PathBuf),
    /// Any other file.
    File(PathBuf),
}

impl Error {
    /// 2 for wrong usage, 3 to 6 for the ends of a migration, 1 for the rest.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Migration(failure) => match failure.kind() {
                Kind::Local => 1,
                Kind::Cancelled => 3,
                Kind::Refused => 4,
                Kind::Lost => 5,
                Kind::AcknowledgementLost => 6,
            },
            Self::HeldBack(_) => 6,
            _ => 1,
        }
    }

    /// Returns the error as a line of JSON.
    pub(crate) fn json(&self) -> Option<String> {
        let text = self.to_string();
        let (message, advice) = match text.split_once('\n') {
            Some((message, advice)) => (message, Some(advice.trim_start())),
            None => (text.as_str(), None),
        };
        let errno = match self {
            Self::Refused { source, .. } | Self::Output(source) => source.raw_os_error(),
            _ => None,
        };
        let document = ErrorJson {
            schema: SCHEMA,
            error: Facts {
                message,
                advice,
                errno: errno.map(|errno| format!("{:?}", Errno::from_raw(errno))),
                exit_code: self.exit_code(),
            },
        };
        serde_json::to_string(&document).ok()
    }

    /// True when the reader of our output has gone, as with `| head`.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(err) if err.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// An error as it appears in JSON.
#[derive(Serialize)]
struct ErrorJson<'a> {
    schema: u32,
    error: Facts<'a>,
}

#[derive(Serialize)]
struct Facts<'a> {
    message: &'a str,
    /// What to do about it; null if that is not known.
    advice: Option<&'a str>,
    /// Its name; null for errors that are none of the system's.
    errno: Option<String>,
    exit_code: u8,
}

/// Says what was asked when a call fails: `device.stats().asked(Asked::Stats)?`.
pub(crate) trait Ask<T> {
    fn asked(self, asked: Asked) -> Result<T>;
}

impl<T> Ask<T> for io::Result<T> {
    fn asked(self, asked: Asked) -> Result<T> {
        self.map_err(|source| Error::Refused { asked, source })
    }
}

impl From<io::Error> for Error {
    /// A bare `?` is only used on our own output.
    fn from(err: io::Error) -> Self {
        Self::Output(err)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { asked, source } => refused(asked, source, f),
            Self::Malformed { path, fault } => write!(
                f,
                "{} line {}: {fault}\n  Use the reevectl that was built with the module.",
                path.display(),
                fault.line
            ),
            Self::Migration(failure) => {
                write!(f, "{failure}")?;
                match failure.kind() {
                    Kind::AcknowledgementLost => f.write_str(ACKNOWLEDGEMENT),
                    _ => Ok(()),
                }
            }
            Self::HeldBack(failure) => write!(f, "{failure}{HELD_BACK}"),
            Self::Check(text) | Self::Usage(text) => f.write_str(text),
            Self::Output(err) => write!(f, "could not write the output: {err}"),
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(path) => write!(f, "open {}", path.display()),
            Self::Inherit(fd) => write!(f, "use file descriptor {fd}"),
            Self::Version => f.write_str("ask for the module's version"),
            Self::Stats => f.write_str("read the module's counters"),
            Self::FileLimit => f.write_str("use the limit of this open file"),
            Self::Create => f.write_str("create a buffer object"),
            Self::List => f.write_str("list buffer objects"),
            Self::Info(handle) => write!(f, "look at buffer object {handle}"),
            Self::DmaAddress(handle) => write!(f, "find pages of buffer object {handle}"),
            Self::Bo(BoCall::Swapout, handle) => write!(f, "swap out buffer object {handle}"),
            Self::Bo(BoCall::Backup, handle) => write!(f, "back up buffer object {handle}"),
            Self::Bo(call, handle) => write!(f, "{} buffer object {handle}", call.name()),
            Self::Read(handle) => write!(f, "read buffer object {handle}"),
            Self::Write(handle) => write!(f, "write buffer object {handle}"),
            Self::LogMode => f.write_str("set the mode of dirty logs"),
            Self::Log(what, handle) => write!(f, "{what} the log of buffer object {handle}"),
            Self::Migrate => f.write_str("move the objects"),
            Self::Connection(address) => write!(f, "use {address}"),
            Self::Writers => f.write_str("find the writers"),
            Self::LockSanity => f.write_str("run the lock sanity suite"),
            Self::Debugfs(path) | Self::Parameter(path) | Self::File(path) => {
                write!(f, "use {}", path.display())
            }
        }
    }
}

fn refused(asked: &Asked, source: &io::Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Some(errno) = source.raw_os_error().map(Errno::from_raw) else {
        return write!(f, "could not {asked}: {source}");
    };
    match explain(asked, errno) {
        Some((meaning, next)) => {
            write!(f, "could not {asked}: {meaning} ({errno:?})\n  {next}")
        }
        None => write!(f, "could not {asked}: {} ({errno:?})", errno.desc()),
    }
}

/// What to do when it is not known who has the objects.
const ACKNOWLEDGEMENT: &str = "
  The objects are whole here and their writers stopped. Look at the receiver: if it has them, end the
  writers and destroy the objects here; if not, let the writers run on (SIGCONT, or cgroup.freeze).";

/// The same, after the signal.
const HELD_BACK: &str = "
  The objects are whole here, and since the signal their writers run on. If the receiver has the objects,
  end the writers and destroy the objects here.";

const NO_MEMORY: (&str, &str) = (
    "there is not enough memory; nothing was changed",
    "Free memory, or unpopulate or destroy buffer objects, and try again.",
);

/// What an errno means for what was asked, and what to do next.
fn explain(asked: &Asked, errno: Errno) -> Option<(&'static str, &'static str)> {
    Some(match (asked, errno) {
        (Asked::Open(_), Errno::ENOENT) => (
            "there is no such device node",
            "Load the module first: insmod reeve.ko",
        ),
        (Asked::Open(_), Errno::EACCES | Errno::EPERM) => (
            "this user has no permission",
            "The node belongs to root and has mode 0600: run as root.",
        ),
        (Asked::Inherit(_), Errno::EBADF) => (
            "nothing is open under this number",
            "Open the device in the shell first: exec 3<>/dev/reeve; reevectl --fd 3 ...",
        ),
        (Asked::Version, Errno::ENOTTY) => (
            "the file is not a Reeve device",
            "Give the device node with --node, or a descriptor of it with --fd.",
        ),
        (_, Errno::ENOTTY) => (
            "the module does not know this call",
            "Module and reevectl differ in version: compare `reevectl version`, `reevectl --version`.",
        ),
        (Asked::LockSanity, Errno::EPERM) => (
            "the built-in tests are switched off",
            "Switch them on: echo 1 >/sys/module/reeve/parameters/enable_builtin_tests",
        ),
        (Asked::Create, Errno::EINVAL) => (
            "the module accepts no object with these options",
            "The size must be above 0 and below the module's maximum; --zero is for type device only.",
        ),
        (Asked::Create, Errno::ENOENT) => (
            "there is no device of this index",
            "`reevectl version` says how many there are; indexes start at 0.",
        ),
        (Asked::Bo(BoCall::LogStop, _), Errno::ENOENT) => (
            "this open file has no object of that handle that has a log",
            "`reevectl --fd N bo list` shows the objects; those that log have the flag `logging`.",
        ),
        (Asked::Bo(BoCall::LogStart, _), Errno::EINVAL) => (
            "its pages belong to another driver",
            "Objects of type sg have no log.",
        ),
        (_, Errno::ENOENT) if asked.names_object() => (
            "this open file has no object of that handle",
            "Handles belong to the open file they were made on: see `reevectl --help` on --fd.",
        ),
        (Asked::Log(..), Errno::ENOENT) => (
            "there is no such object, or it has no log",
            "Start one first: reevectl --fd N bo log start HANDLE",
        ),
        (Asked::Log("clear", _), Errno::EINVAL) => (
            "the log has no such part",
            "--first and --pages are multiples of 64, but for an end that is the log's.",
        ),
        (Asked::DmaAddress(_), Errno::EINVAL) => (
            "its pages have no addresses for the device",
            "Only objects made with --dma-addresses have them, while they are populated.",
        ),
        (Asked::Bo(BoCall::Pin, _), Errno::EINVAL) => (
            "it holds no pages in memory",
            "Populate it first: reevectl --fd N bo populate HANDLE",
        ),
        (Asked::Bo(BoCall::Unpin, _), Errno::EINVAL) => (
            "it is not pinned",
            "`reevectl --fd N bo info HANDLE` shows the pins in force.",
        ),
        (Asked::Bo(BoCall::Pin, _), Errno::EOVERFLOW) => (
            "it has the maximum number of pins",
            "Unpin it as often as it was pinned.",
        ),
        (Asked::Bo(BoCall::Swapout, _), Errno::EINVAL) => (
            "its pages belong to another driver",
            "Objects of type sg are never swapped out.",
        ),
        (Asked::Bo(BoCall::Backup | BoCall::Restore, _), Errno::EINVAL) => (
            "its pages belong to another driver",
            "Objects of type sg have a backup only if they are made with --mappable.",
        ),
        (Asked::Bo(..), Errno::EBUSY) => (
            "it is pinned",
            "Unpin it first: reevectl --fd N bo unpin HANDLE",
        ),
        (Asked::Read(_) | Asked::Write(_), Errno::EINVAL) => (
            "it has no content in that range",
            "Stay within the object's size; objects of type sg cannot be read or written.",
        ),
        (Asked::Debugfs(_) | Asked::Parameter(_), Errno::EACCES) => {
            ("this user has no permission", "Run as root.")
        }
        (Asked::Debugfs(_), Errno::ENOENT) => (
            "there is no such file",
            "Load the module, and mount debugfs: mount -t debugfs none /sys/kernel/debug",
        ),
        (Asked::Parameter(_), Errno::ENOENT) => (
            "there is no such file",
            "Load the module, and mount sysfs: mount -t sysfs none /sys",
        ),
        (_, Errno::ENOMEM) => NO_MEMORY,
        _ => return None,
    })
}

impl Asked {
    /// Returns whether a handle was an argument.
    fn names_object(&self) -> bool {
        matches!(
            self,
            Self::Info(_) | Self::DmaAddress(_) | Self::Bo(..) | Self::Read(_) | Self::Write(_)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(asked: Asked, errno: Errno) -> String {
        Error::Refused {
            asked,
            source: io::Error::from(errno),
        }
        .to_string()
    }

    #[test]
    fn sanity_without_permission_names_the_parameter() {
        let text = said(Asked::LockSanity, Errno::EPERM);
        assert!(text.contains("enable_builtin_tests"), "{text}");
        assert!(text.contains("EPERM"), "{text}");
    }

    #[test]
    fn every_errno_of_the_header_has_words() {
        let one = Handle::new(1);
        for (asked, errno) in [
            (Asked::Create, Errno::EINVAL),
            (Asked::Create, Errno::ENOENT),
            (Asked::Create, Errno::ENOMEM),
            (Asked::Info(one), Errno::ENOENT),
            (Asked::Bo(BoCall::Pin, one), Errno::EINVAL),
            (Asked::Bo(BoCall::Pin, one), Errno::EOVERFLOW),
            (Asked::Bo(BoCall::Unpin, one), Errno::EINVAL),
            (Asked::Bo(BoCall::Unpopulate, one), Errno::EBUSY),
            (Asked::Bo(BoCall::Swapout, one), Errno::EBUSY),
            (Asked::Bo(BoCall::Swapout, one), Errno::EINVAL),
            (Asked::Read(one), Errno::EINVAL),
            (Asked::Write(one), Errno::ENOENT),
            (Asked::Stats, Errno::ENOTTY),
        ] {
            let (meaning, next) = explain(&asked, errno).expect("explained");
            assert!(!meaning.is_empty() && next.len() <= 96, "{next}");
        }
    }

    #[test]
    fn unknown_errnos_keep_their_name() {
        let text = said(Asked::Stats, Errno::EIO);
        assert_eq!(
            text,
            "could not read the module's counters: I/O error (EIO)"
        );
    }

    #[test]
    fn errors_are_json_when_asked() {
        let refused = Error::Refused {
            asked: Asked::LockSanity,
            source: io::Error::from(Errno::EPERM),
        };
        let json: serde_json::Value = serde_json::from_str(&refused.json().unwrap()).unwrap();
        assert_eq!(json["schema"], 1);
        assert_eq!(json["error"]["errno"], "EPERM");
        assert_eq!(json["error"]["exit_code"], 1);
        let text = |key: &str| json["error"][key].as_str().unwrap().to_owned();
        assert!(text("message").starts_with("could not run the lock sanity suite"));
        assert!(text("advice").starts_with("Switch them on"));
        let usage = Error::Usage("a \"b\"".to_owned()).json().unwrap();
        let json: serde_json::Value = serde_json::from_str(&usage).unwrap();
        assert_eq!(json["error"]["message"], "a \"b\"");
        assert!(json["error"]["errno"].is_null() && json["error"]["advice"].is_null());
    }

    #[test]
    fn exit_codes() {
        assert_eq!(Error::Usage(String::new()).exit_code(), 2);
        assert_eq!(Error::Check(String::new()).exit_code(), 1);
    }
}
