// SPDX-License-Identifier: GPL-2.0-or-later

//! KVM's dirty log beside this one, in the same kernel: the same sequences have to have the same answers,
//! and both have to see the stores of a guest whose memory is an object.

use std::fmt::Debug;
use std::io;

use reeve_uapi::Create;
use reeve_uapi::Handle;

use crate::kvm::Guest;
use crate::memory;
use crate::memory::Words;
use crate::memory::NOWHERE;
use crate::random::Random;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check_eq;
use crate::test::errno;
use crate::test::Outcome;

use super::dirty_log::pages_of;
use super::dirty_log::Log;
use super::dirty_log::INITIALLY_SET;
use super::dirty_log::LEGACY;
use super::dirty_log::MANUAL;
use super::dirty_log::MODES;

cases!("dirty_log";
    answers_are_those_of_kvm,
    both_logs_see_a_guest,
);

const N: u64 = 130;

/// A log that sequences are made on.
trait Source {
    fn mode(&self, mode: u32, flags: u32) -> io::Result<()>;
    fn start(&self) -> io::Result<()>;
    fn stop(&self) -> io::Result<()>;
    fn write(&self, page: u64) -> Outcome;
    /// With `known` of what logs; else of what does not exist.
    fn get(&self, known: bool) -> io::Result<Vec<u64>>;
    fn clear(&self, known: bool, first: u64, pages: u32, mask: Option<&[u64]>) -> io::Result<()>;
}

impl Source for Log {
    fn mode(&self, mode: u32, flags: u32) -> io::Result<()> {
        let mut arg = reeve_uapi::sys::reeve_log_mode {
            flags: reeve_uapi::sys::REEVE_LOG_MODE_SET | flags << 1,
            mode,
            ..Default::default()
        };
        self.device.raw().log_mode(&mut arg)
    }

    fn start(&self) -> io::Result<()> {
        self.device.log_start(self.handle).map(drop)
    }

    fn stop(&self) -> io::Result<()> {
        self.device.log_stop(self.handle).map(drop)
    }

    fn write(&self, page: u64) -> Outcome {
        Log::write(self, page);
        Ok(())
    }

    fn get(&self, known: bool) -> io::Result<Vec<u64>> {
        let mut words = vec![0; 3];
        let handle = if known { self.handle } else { Handle::new(77) };
        self.device.log_get(handle, N, &mut words)?;
        Ok(words)
    }

    fn clear(&self, known: bool, first: u64, pages: u32, mask: Option<&[u64]>) -> io::Result<()> {
        let handle = if known { self.handle } else { Handle::new(77) };
        if let Some(mask) = mask.filter(|mask| mask.len() as u32 * 64 >= pages) {
            let cleared = self.device.log_clear(handle, first, pages.into(), mask);
            return cleared.map(drop);
        }
        let mut arg = reeve_uapi::sys::reeve_bo_log_clear {
            handle: handle.get(),
            first_page: first,
            num_pages: pages.into(),
            ..Default::default()
        };
        memory::log_clear(&self.device, &mut arg, Words::Nowhere(NOWHERE[1]))
    }
}

impl Source for Guest<'_> {
    fn mode(&self, mode: u32, flags: u32) -> io::Result<()> {
        self.set_mode(mode.into(), flags)
    }

    fn start(&self) -> io::Result<()> {
        self.log(true)
    }

    fn stop(&self) -> io::Result<()> {
        self.log(false)
    }

    fn write(&self, page: u64) -> Outcome {
        Guest::write(self, page, 9)
    }

    fn get(&self, known: bool) -> io::Result<Vec<u64>> {
        Guest::get(self, (!known).then_some(77))
    }

    fn clear(&self, known: bool, first: u64, pages: u32, mask: Option<&[u64]>) -> io::Result<()> {
        let slot = (!known).then_some(77);
        match mask.filter(|mask| mask.len() as u32 * 64 >= pages) {
            Some(mask) => Guest::clear(self, slot, first, pages, Some(mask)),
            None => Guest::clear(self, slot, first, pages, None),
        }
    }
}

fn answer<T: Debug>(answers: &mut Vec<String>, what: &str, result: io::Result<T>) {
    answers.push(match result {
        Ok(value) => format!("{what}: {value:x?}"),
        Err(err) => format!("{what}: {:?}", errno(&err)),
    });
}

/// The sequences; what `source` answers.
fn sequences(source: &dyn Source) -> Outcome<Vec<String>> {
    let mut answers = Vec::new();
    let all = [u64::MAX; 3];
    // All pages are there.
    for page in 0..N {
        source.write(page)?;
    }
    answer(&mut answers, "get without a log", source.get(true));
    answer(
        &mut answers,
        "clear without a log",
        source.clear(true, 0, 64, Some(&all)),
    );
    for mode in MODES {
        for bad in [2, 4, 5, 7, 8] {
            answer(&mut answers, &format!("mode {bad}"), source.mode(bad, 0));
        }
        answer(&mut answers, "flags", source.mode(mode, 1));
        source.mode(mode, 0)?;
        source.start()?;
        answer(
            &mut answers,
            &format!("fresh in mode {mode}"),
            source.get(true),
        );
        answer(&mut answers, "get of nothing", source.get(false));
        answer(
            &mut answers,
            "clear of nothing",
            source.clear(false, 0, 64, Some(&all)),
        );
        for page in [5, 70, 129] {
            source.write(page)?;
        }
        for _ in 0..2 {
            answer(&mut answers, "written", source.get(true));
        }
        source.write(5)?;
        source.write(6)?;
        answer(
            &mut answers,
            "a bit",
            source.clear(true, 0, 64, Some(&[1 << 5])),
        );
        answer(&mut answers, "after it", source.get(true));
        source.write(5)?;
        answer(&mut answers, "written again", source.get(true));
        answer(
            &mut answers,
            "no bits",
            source.clear(true, 0, N as u32, Some(&[0; 3])),
        );
        source.write(5)?;
        answer(&mut answers, "after no bits", source.get(true));
        answer(
            &mut answers,
            "a word",
            source.clear(true, 0, 64, Some(&all)),
        );
        answer(&mut answers, "after a word", source.get(true));
        answer(
            &mut answers,
            "the end",
            source.clear(true, 128, 2, Some(&all)),
        );
        answer(&mut answers, "after the end", source.get(true));
        for (first, pages) in [
            (128, 1),
            (128, 3),
            (128, 64),
            (0, 63),
            (0, 131),
            (192, 0),
            (1 << 40, 64),
            (u64::MAX - 63, 64),
            (0, u32::MAX - 63),
            (1, 64),
            (63, 64),
            (129, 1),
            (0, 0),
            (64, 0),
            (128, 0),
            (0, 128),
            (64, 66),
            (0, 130),
            (128, 2),
        ] {
            let range = format!("range {first:x}, {pages}");
            answer(
                &mut answers,
                &range,
                source.clear(true, first, pages, Some(&all)),
            );
            answer(&mut answers, &range, source.clear(true, first, pages, None));
        }
        source.write(64)?;
        answer(&mut answers, "nearly the end", source.get(true));
        source.stop()?;
        answer(&mut answers, "stopped", source.get(true));
        source.start()?;
        answer(&mut answers, "started again", source.get(true));
        source.stop()?;
    }
    // The same at random.
    let mut random = Random::new(168);
    source.mode(MANUAL, 0)?;
    source.start()?;
    for step in 0..300 {
        for _ in 0..random.below(4) {
            source.write(random.below(N))?;
        }
        let first = random.below(3) * 64;
        let mask = [random.next(), random.next(), random.next() & random.next()];
        let pages = (N - first) as u32;
        let result = source.clear(true, first, pages, Some(&mask));
        answer(&mut answers, &format!("clear {step}"), result);
        answer(&mut answers, &format!("get {step}"), source.get(true));
    }
    source.stop()?;
    Ok(answers)
}

fn answers_are_those_of_kvm() -> Outcome {
    let kvm = sequences(&Guest::new(N)?)?;
    let log = Log::prepared(Create::new(N * PAGE))?;
    let ours = sequences(&log)?;
    for (ours, kvm) in ours.iter().zip(&kvm) {
        check_eq!(ours, kvm);
    }
    check_eq!(ours.len(), kvm.len());
    Ok(())
}

/// The stores of a guest's processor to an object show in KVM's log and in that of the object, page by page,
/// after clears of either.
fn both_logs_see_a_guest() -> Outcome {
    for mode in [MANUAL, INITIALLY_SET, LEGACY] {
        let log = Log::prepared(Create::new(N * PAGE))?;
        let guest = Guest::of(&log.mapping)?;
        let mut random = Random::new(u64::from(mode) + 7);
        guest.set_mode(MANUAL.into(), 0)?;
        guest.log(true)?;
        log.start(mode)?;
        let mut ours = vec![false; N as usize];
        let mut kvms = ours.clone();
        if mode == INITIALLY_SET {
            ours.fill(true);
        }
        let steps = if mode == MANUAL { 1000 } else { 100 };
        for step in 0..steps {
            match random.below(8) {
                0 => {
                    let mask = [random.next(), random.next(), random.next()];
                    log.clear(0, N, &mask)?;
                    pages_of(&mask)
                        .take_while(|page| *page < N)
                        .for_each(|page| ours[page as usize] = false);
                }
                1 => {
                    let mask = [random.next(), random.next(), random.next()];
                    guest.clear(None, 0, N as u32, Some(&mask))?;
                    pages_of(&mask)
                        .take_while(|page| *page < N)
                        .for_each(|page| kvms[page as usize] = false);
                }
                2 if step % 5 == 0 => drop(log.device.swapout(log.handle)?),
                _ => {
                    let page = random.below(N);
                    guest.write(page, step as u8)?;
                    ours[page as usize] = true;
                    kvms[page as usize] = true;
                    let mut word = [0; 8];
                    log.mapping.read((page * PAGE) as usize, &mut word);
                    check_eq!(word[0], step as u8);
                }
            }
            if step % 10 != 9 {
                continue;
            }
            let set = |words: &[u64]| {
                let mut set = vec![false; N as usize];
                pages_of(words).for_each(|page| set[page as usize] = true);
                set
            };
            check_eq!(set(&log.get()?), ours, "step {step}, mode {mode}");
            if mode == LEGACY {
                ours.fill(false);
            }
            check_eq!(
                set(&guest.get(None)?),
                kvms,
                "step {step}, KVM, mode {mode}"
            );
        }
    }
    Ok(())
}
