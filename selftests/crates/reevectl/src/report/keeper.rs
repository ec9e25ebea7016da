// SPDX-License-Identifier: GPL-2.0-or-later

//! Puts `pages_limit` back when a signal ends the program, at whatever moment that is.
//!
//! A thread waits for the signals, which all threads block. So it does not matter what the others wait for: a terminal
//! that is stopped, a call into the module. SIGKILL can't be waited for, and leaves the limit as it is.

use std::fs;
use std::io;
use std::process;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;

use nix::sys::signal::raise;
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;

use reeve_uapi::knobs;

use crate::error::Error;
use crate::error::Result;

/// The parameter.
pub(super) const LIMIT: &str = "pages_limit";

/// What the parameter was before it was set, while it is something else.
type Kept = Arc<Mutex<Option<String>>>;

/// Sets the parameter.
pub(super) struct Keeper(Kept);

impl Keeper {
    /// Blocks the signals in this thread, and in those that it makes, and starts to wait for them.
    pub(super) fn start() -> Result<Self> {
        let failed = |err: io::Error| Error::Check(format!("could not wait for signals: {err}"));
        let ignored = ignored(&fs::read_to_string("/proc/self/status").map_err(failed)?);
        let mut signals = SigSet::empty();
        for signal in [
            Signal::SIGINT,
            Signal::SIGTERM,
            Signal::SIGHUP,
            Signal::SIGQUIT,
        ] {
            // What nohup or the shell ignores does not end the program.
            if ignored & (1 << (signal as u32 - 1)) == 0 {
                signals.add(signal);
            }
        }
        signals
            .thread_block()
            .map_err(|errno| failed(errno.into()))?;
        let kept = Kept::default();
        let waiting = kept.clone();
        thread::Builder::new()
            .spawn(move || end(signals, &waiting))
            .map_err(failed)?;
        Ok(Self(kept))
    }

    /// Sets the parameter, and remembers what it was. Setting it to that is the end of it.
    pub(super) fn set(&self, text: &str) -> io::Result<()> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_none() {
            *kept = Some(knobs::parameter(LIMIT)?);
        }
        knobs::set_parameter(LIMIT, text)?;
        if kept.as_deref() == Some(text) {
            *kept = None;
        }
        Ok(())
    }
}

/// Returns the mask of ignored signals from `/proc/self/status`.
fn ignored(status: &str) -> u64 {
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

/// Waits for a signal, puts the parameter back, and ends the program by the signal.
fn end(signals: SigSet, kept: &Kept) {
    let Ok(signal) = signals.wait() else {
        return;
    };
    // Held to the end: what was put back is not set again.
    let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(before) = kept.as_deref() {
        if let Err(err) = knobs::set_parameter(LIMIT, before) {
            eprintln!("reevectl: {LIMIT} was {before} and stays changed: {err}");
        }
    }
    // The caller sees which signal it was.
    let _ = signals.thread_unblock().and_then(|()| raise(signal));
    process::exit(128 + signal as i32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_known() {
        assert_eq!(
            ignored("SigBlk:\t0000000000000002\nSigIgn:\t0000000000001001\n"),
            0x1001
        );
        assert_eq!(ignored(""), 0);
    }
}
