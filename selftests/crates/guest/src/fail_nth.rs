// SPDX-License-Identifier: GPL-2.0-or-later

//! Failing allocations one after the other.
//!
//! `/proc/thread-self/fail-nth` makes the n-th allocation of this thread fail. A sweep counts n up
//! until the operation succeeds without having met the failure, so that every one was hit.

use std::fs;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::errno::Errno;
use reeve_uapi::knobs;

use crate::test::check;
use crate::test::errno;
use crate::test::Outcome;
use crate::test::Stop;

const FAIL_NTH: &str = "/proc/thread-self/fail-nth";
const MAKE_IT_FAIL: &str = "/proc/thread-self/make-it-fail";
const DEBUG: &str = "/sys/kernel/debug";

/// Failures in a row after which a sweep is taken for endless.
const ENDLESS: u32 = 2000;

/// Makes allocations of this thread fail.
pub(crate) struct Faults {
    file: File,
}

impl Faults {
    /// Opens what there is; a reason to skip when the kernel cannot do it.
    pub(crate) fn new() -> Outcome<Self> {
        let Ok(file) = File::options().read(true).write(true).open(FAIL_NTH) else {
            return Err(Stop::skipped(
                "the kernel has no fail-nth (CONFIG_FAULT_INJECTION)",
            ));
        };
        knobs::let_allocations_fail()?;
        Ok(Self { file })
    }

    /// Does `f` with its n-th allocation failing; also says whether that was reached.
    pub(crate) fn nth<T>(&mut self, n: u32, f: impl FnOnce() -> T) -> Outcome<(T, bool)> {
        self.set(n)?;
        let value = f();
        let reached = self.reached()?;
        if self.set(0).is_err() {
            // Copying the 0 was the n-th thing that failed; none is left to do so again.
            self.set(0)?;
        }
        Ok((value, reached))
    }

    /// Does `f` with every n-th allocation of pages failing.
    pub(crate) fn every<T>(&mut self, n: u32, f: impl FnOnce() -> T) -> Outcome<T> {
        let attribute = |name: &str, value: &str| -> Outcome {
            let path = Path::new(DEBUG).join("fail_page_alloc").join(name);
            Ok(fs::write(path, value)?)
        };
        let switch = File::options().write(true).open(MAKE_IT_FAIL)?;
        attribute("task-filter", "Y")?;
        attribute("interval", &n.to_string())?;
        attribute("times", "-1")?;
        attribute("probability", "100")?;
        switch.write_all_at(b"1", 0)?;
        let value = f();
        switch.write_all_at(b"0", 0)?;
        attribute("probability", "0")?;
        Ok(value)
    }

    fn set(&self, n: u32) -> Outcome {
        Ok(self.file.write_all_at(n.to_string().as_bytes(), 0)?)
    }

    /// True when the failure has happened: what is left of the number is 0.
    fn reached(&self) -> Outcome<bool> {
        let mut text = [0; 16];
        let len = match self.file.read_at(&mut text, 0) {
            Ok(len) => len,
            // Copying the text was the n-th thing, so the operation was not.
            Err(err) if errno(&err) == Errno::EFAULT => return Ok(false),
            Err(err) => return Err(err.into()),
        };
        Ok(text[..len].trim_ascii() == b"0")
    }

    /// Fails every allocation of `f` once, then lets it succeed. Before each time `prepare` brings about the state to
    /// begin with; after it, `judge` gets what `prepare` and `f` returned and whether the failure was reached.
    ///
    /// The last time is the one in which it was not reached.
    pub(crate) fn each<P, T>(
        &mut self,
        mut prepare: impl FnMut() -> Outcome<P>,
        mut f: impl FnMut() -> T,
        mut judge: impl FnMut(P, T, bool) -> Outcome,
    ) -> Outcome {
        for n in 1..ENDLESS {
            let during = |stop: Stop| stop.during(format!("n = {n}"));
            let prepared = prepare().map_err(during)?;
            let (value, reached) = self.nth(n, &mut f)?;
            judge(prepared, value, reached).map_err(during)?;
            if !reached {
                return Ok(());
            }
        }
        Err(Stop::failed("the operation never gets through"))
    }
}

/// An operation whose allocation failed says ENOMEM, or EFAULT when it was a copy that failed.
pub(crate) fn expected(err: &io::Error, reached: bool) -> Outcome {
    check!(reached, "{err} without a failure");
    match errno(err) {
        Errno::ENOMEM | Errno::EFAULT => Ok(()),
        other => Err(Stop::failed(format!("{other:?}, not ENOMEM"))),
    }
}
