// SPDX-License-Identifier: GPL-2.0-or-later

//! A receiver that is sent streams which are changed, cut, put together anew and made up, for as long as is asked.
//!
//! `REEVE_FUZZ_SECONDS=N` makes it run for N seconds instead of one, `REEVE_SEED=N` repeats a run; a failure names the
//! case, which is a part of the seed.

use std::env;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use reeve_uapi::pattern::mix;

use super::bytes::stream;
use super::bytes::take;
use super::model::PAGE;
use crate::wire::Hello;
use crate::wire::HELLO;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Numbers that follow from a seed.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// Values that are likely to be at an end of something, and others.
    fn odd(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << 63,
            3 => u64::from(u32::MAX),
            4 => 1 << (self.next() % 64),
            5 => self.next(),
            _ => self.next() % 200,
        }
    }
}

/// Where the stream's frames begin, and its end.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let mut at = HELLO;
    let mut all = Vec::new();
    while let Some(length) = bytes.get(at + 4..at + 8) {
        all.push(at);
        let length = u32::from_le_bytes(length.try_into().unwrap());
        at += 8 + length as usize;
    }
    all.push(at.min(bytes.len()));
    all
}

/// Makes a stream out of whole ones.
fn made(numbers: &mut Numbers, whole: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = whole[numbers.below(whole.len())].clone();
    for _ in 0..1 + numbers.below(4) {
        let starts = frames(&bytes);
        let pick = |numbers: &mut Numbers| {
            let index = numbers.below(starts.len() - 1);
            starts[index]..starts[index + 1]
        };
        match numbers.below(7) {
            // A field, of 4 or 8 bytes, of any frame.
            0 | 1 => {
                let frame = pick(numbers);
                let width = if numbers.below(2) == 0 { 4 } else { 8 };
                let at = frame.start + 4 * numbers.below(8);
                let value = numbers.odd().to_le_bytes();
                if let Some(field) = bytes.get_mut(at..at + width) {
                    field.copy_from_slice(&value[..width]);
                }
            }
            // Bytes anywhere.
            2 => {
                for _ in 0..1 + numbers.below(8) {
                    let at = numbers.below(bytes.len());
                    bytes[at] = numbers.next() as u8;
                }
            }
            // A frame again, in another place, or not at all.
            3 => {
                let frame = bytes[pick(numbers)].to_vec();
                let at = starts[numbers.below(starts.len())];
                bytes.splice(at..at, frame);
            }
            4 => {
                bytes.drain(pick(numbers));
            }
            5 => bytes.truncate(numbers.below(bytes.len())),
            // Frames that were made up.
            _ => {
                bytes = Hello {
                    regions: numbers.below(4) as u32,
                    resume: numbers.below(2) as u32,
                    ..Hello::new(PAGE as u32)
                }
                .encode()
                .to_vec();
                for _ in 0..numbers.below(40) {
                    let words = numbers.below(12);
                    let code = numbers.below(23) as u32;
                    bytes.extend_from_slice(&code.to_le_bytes());
                    bytes.extend_from_slice(&(8 * words as u32).to_le_bytes());
                    for _ in 0..words {
                        bytes.extend_from_slice(&numbers.odd().to_le_bytes());
                    }
                }
            }
        }
        if bytes.len() < HELLO + 16 {
            break;
        }
    }
    bytes
}

#[test]
fn any_stream_ends_and_leaves_nothing() {
    let seed = number("REEVE_SEED").unwrap_or_else(|| {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        now.as_nanos() as u64 % 1_000_000
    });
    let limit = Duration::from_secs(number("REEVE_FUZZ_SECONDS").unwrap_or(1));
    println!("REEVE_SEED={seed}, for {} s", limit.as_secs());
    let whole: Vec<Vec<u8>> = (0..8).map(stream).collect();
    let begin = Instant::now();
    let (mut cases, mut whole_ones) = (0, 0);
    while begin.elapsed() < limit {
        let bytes = made(&mut Numbers(mix(seed ^ mix(cases))), &whole);
        let taken = std::panic::catch_unwind(|| take(&bytes));
        let taken = taken.unwrap_or_else(|_| panic!("REEVE_SEED={seed}, case {cases}"));
        whole_ones += u64::from(taken);
        cases += 1;
    }
    println!("{cases} streams, {whole_ones} of them whole migrations");
    assert!(cases > 100 && whole_ones < cases);
}
