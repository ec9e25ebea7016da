// SPDX-License-Identifier: GPL-2.0

//! Failing allocations one after the other.
//!
//! `/proc/thread-self/fail-nth` makes the n-th allocation of this thread fail. A sweep counts n up
//! until the operation succeeds without having met the failure, so that every one was hit.

use std::fmt::Debug;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::path::Path;

use nix::errno::Errno;

use crate::test::check;
use crate::test::errno;
use crate::test::Outcome;
use crate::test::Stop;

const FAIL_NTH: &str = "/proc/thread-self/fail-nth";
const DEBUG: &str = "/sys/kernel/debug";

/// Failures in a row after which a sweep is taken for endless.
pub(crate) const ENDLESS: u32 = 2000;

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
        for (path, value) in [
            ("failslab/ignore-gfp-wait", "N"),
            ("failslab/cache-filter", "N"),
            ("failslab/verbose", "0"),
            ("fail_page_alloc/ignore-gfp-wait", "N"),
            ("fail_page_alloc/ignore-gfp-highmem", "N"),
            ("fail_page_alloc/min-order", "0"),
            ("fail_page_alloc/verbose", "0"),
            ("fail_usercopy/verbose", "0"),
        ] {
            let path = Path::new(DEBUG).join(path);
            if path.exists() {
                fs::write(path, value)?;
            }
        }
        Ok(Self { file })
    }

    /// Does `f` with its n-th allocation failing; also says whether that was reached.
    pub(crate) fn nth<T>(&mut self, n: u32, f: impl FnOnce() -> T) -> Outcome<(T, bool)> {
        self.set(n)?;
        let value = f();
        let left = self.left()?;
        self.set(0)?;
        Ok((value, left == 0))
    }

    fn set(&mut self, n: u32) -> Outcome {
        self.file.seek(SeekFrom::Start(0))?;
        Ok(self.file.write_all(n.to_string().as_bytes())?)
    }

    /// What is left of the number: 0 once the failure has happened.
    fn left(&mut self) -> Outcome<u64> {
        // No allocation: reading must not be what fails.
        let mut text = [0; 16];
        self.file.seek(SeekFrom::Start(0))?;
        let len = self.file.read(&mut text)?;
        let text = String::from_utf8_lossy(&text[..len]);
        text.trim()
            .parse()
            .map_err(|_| Stop::failed(format!("fail-nth is {text:?}")))
    }

    /// Fails every allocation of `f` once, then lets it succeed; answers how many there were.
    ///
    /// `after` is called after every failure: nothing may have changed. `again` brings the state
    /// back when an operation succeeded although an allocation failed.
    pub(crate) fn sweep<T: Debug>(
        &mut self,
        mut f: impl FnMut() -> io::Result<T>,
        mut after: impl FnMut() -> Outcome,
        mut again: impl FnMut(T) -> Outcome,
    ) -> Outcome<u32> {
        let mut failures = 0;
        for n in 1..ENDLESS {
            let (result, reached) = self.nth(n, &mut f)?;
            match result {
                Ok(_) if !reached => return Ok(failures),
                // A way around a failed allocation was found.
                Ok(value) => again(value).map_err(|stop| stop.during(format!("n = {n}")))?,
                // EFAULT: copying from or to user space was what failed.
                Err(err) if [Errno::ENOMEM, Errno::EFAULT].contains(&errno(&err)) => {
                    check!(reached, "n = {n}: {err} without a failure");
                    failures += 1;
                    after().map_err(|stop| stop.during(format!("n = {n}: {err}")))?;
                }
                Err(err) => return Err(Stop::failed(format!("n = {n}: {err}"))),
            }
        }
        Err(Stop::failed("the operation never gets through"))
    }
}
