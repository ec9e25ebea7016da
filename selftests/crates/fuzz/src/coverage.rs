// SPDX-License-Identifier: GPL-2.0-or-later

//! What code of the module was reached, as kcov tells: a bit for each address. Of a kernel without kcov, nothing.

use std::fs::{self, File};
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::system;

const KCOV: &str = "/sys/kernel/debug/kcov";
const SECTIONS: &str = "/sys/module/reeve/sections";

/// `KCOV_INIT_TRACE`, `KCOV_ENABLE` and `KCOV_DISABLE`, of the kernel's linux/kcov.h.
const INIT_TRACE: u64 = 0x8008_6301;
const ENABLE: u64 = 0x6364;
const DISABLE: u64 = 0x6365;
/// `KCOV_TRACE_PC`.
const TRACE_PC: u64 = 0;

/// Addresses that are noted of one program, in numbers.
const TRACE: usize = 1 << 17;

/// Bytes of code that there are bits for: more than the module has.
const CODE: u64 = 8 << 20;

/// The addresses that all processes reached.
#[derive(Clone, Copy)]
pub(crate) struct Reached {
    base: u64,
    bits: &'static [AtomicU64],
}

impl Reached {
    /// Makes an empty one, which children made afterwards share.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            base: base().unwrap_or(0),
            bits: system::shared_numbers(CODE as usize / 64)?,
        })
    }

    /// Notes an address. Returns whether it is new.
    fn note(&self, address: u64) -> bool {
        let at = address.wrapping_sub(self.base);
        let Some(word) = self.bits.get((at / 64) as usize) else {
            return false;
        };
        let bit = 1 << (at % 64);
        // Most are there already, and then nothing is written.
        word.load(Relaxed) & bit == 0 && word.fetch_or(bit, Relaxed) & bit == 0
    }

    /// How many addresses were reached.
    pub(crate) fn count(&self) -> u64 {
        self.bits
            .iter()
            .map(|word| u64::from(word.load(Relaxed).count_ones()))
            .sum()
    }

    /// Where each of them is, from the beginning of the module's code.
    pub(crate) fn offsets(&self) -> impl Iterator<Item = u64> + '_ {
        let words = (0..).zip(self.bits);
        words.flat_map(|(at, word)| {
            let word = word.load(Relaxed);
            (0..64)
                .filter(move |bit| word & 1 << bit != 0)
                .map(move |bit| at * 64 + bit)
        })
    }
}

/// Where the module's code begins.
fn base() -> io::Result<u64> {
    let text = fs::read_to_string(format!("{SECTIONS}/.text"))?;
    u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).map_err(io::Error::other)
}

/// The trace of one process at a time.
pub(crate) struct Trace {
    file: File,
    numbers: &'static [AtomicU64],
}

impl Trace {
    /// Opens one; `None` if the kernel has no kcov.
    pub(crate) fn open() -> io::Result<Option<Self>> {
        let Ok(file) = File::options().read(true).write(true).open(KCOV) else {
            return Ok(None);
        };
        system::kcov(&file, INIT_TRACE, TRACE as u64)?;
        let numbers = system::numbers_of(&file, TRACE)?;
        Ok(Some(Self { file, numbers }))
    }

    /// Begins, for this process.
    pub(crate) fn begin(&self) -> io::Result<()> {
        self.numbers[0].store(0, Relaxed);
        system::kcov(&self.file, ENABLE, TRACE_PC)
    }

    /// Ends, if it has begun and the process has not ended, which does the same.
    pub(crate) fn end(&self) {
        let _ = system::kcov(&self.file, DISABLE, 0);
    }

    /// Notes what the process reached, after it has ended. Returns whether something was new.
    pub(crate) fn note(&self, reached: &Reached) -> bool {
        let count = self.numbers[0].load(Relaxed) as usize;
        let trace = self.numbers.iter().skip(1).take(count);
        trace
            .filter(|address| reached.note(address.load(Relaxed)))
            .count()
            != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_new_once() {
        let reached = Reached {
            base: 0x1000,
            bits: system::shared_numbers(2).expect("memory"),
        };
        assert!(reached.note(0x1000) && reached.note(0x1041));
        assert!(!reached.note(0x1000));
        // None of the module's.
        assert!(!reached.note(0xfff) && !reached.note(0x1080));
        assert_eq!(reached.count(), 2);
        assert_eq!(reached.offsets().collect::<Vec<_>>(), [0, 0x41]);
    }
}
