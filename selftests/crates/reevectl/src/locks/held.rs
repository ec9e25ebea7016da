// SPDX-License-Identifier: GPL-2.0-or-later

//! The file `held`: the locks held now, by task or interrupt.

use serde::Serialize;

use super::record::HeldLock;
use super::record::Who;
use crate::line::Line;
use crate::line::Name;
use crate::line::Parsed;

/// All locks that are held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Held {
    pub(super) holders: Vec<Holder>,
    /// The number of further threads that hold locks.
    pub(super) more: u64,
}

/// A thread or an interrupt, and the locks that it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Holder {
    #[serde(flatten)]
    pub(super) who: Who,
    pub(super) locks: Vec<HeldIn>,
}

/// A held lock of some hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct HeldIn {
    pub(super) hierarchy: Name,
    #[serde(flatten)]
    pub(super) lock: HeldLock,
}

/// Parses the file.
pub(super) fn parse(text: &str) -> Parsed<Held> {
    let mut held = Held::default();
    let mut ended = false;
    for line in Line::all(text) {
        let holder = held.holders.last_mut();
        match holder.filter(|_| line.is_indented() && !ended) {
            Some(holder) => holder.locks.push(lock(line)?),
            None => {
                let mut line = line.like("task PID NAME, irq CPU LEVEL or more N");
                if ended || line.is_indented() {
                    return Err(line.malformed());
                }
                if line.accept("more") {
                    held.more = line.number()?;
                    ended = true;
                } else {
                    held.holders.push(Holder {
                        who: Who::parse(&mut line)?,
                        locks: Vec::new(),
                    });
                }
                line.end()?;
            }
        }
    }
    Ok(held)
}

fn lock(line: Line<'_>) -> Parsed<HeldIn> {
    let mut line = line.like(
        "  HIERARCHY NAME order N MODE lock ADDRESS taken at (or waited for at) PLACE [key K]",
    );
    Ok(HeldIn {
        hierarchy: line.name()?,
        lock: HeldLock::parse(&mut line)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::record::Level;
    use super::super::record::Mode;
    use super::super::samples::HELD;
    use super::*;

    #[test]
    fn the_sample() {
        let held = parse(HELD).unwrap();
        assert_eq!((held.holders.len(), held.more), (2, 3));
        let task = &held.holders[0];
        assert_eq!(
            task.who,
            Who::Task {
                pid: 123,
                comm: Name::new("insmod")
            }
        );
        assert_eq!(task.locks.len(), 2);
        assert_eq!(task.locks[0].hierarchy.get(), Some("reeve_sample"));
        assert_eq!(task.locks[0].lock.mode, Some(Mode::Exclusive));
        assert_eq!(
            task.locks[0].lock.taken_at,
            "sample_lock_queue+0x1d/0x50 [reeve_sample]"
        );
        assert_eq!(task.locks[1].lock.key, Some(17));
        let irq = &held.holders[1];
        assert_eq!(
            irq.who,
            Who::Irq {
                cpu: 0,
                level: Level::Hard
            }
        );
        assert_eq!(irq.locks[0].lock.order.order, 3);
    }

    #[test]
    fn no_locks_are_held() {
        assert_eq!(parse(""), Ok(Held::default()));
    }

    #[test]
    fn damaged_lines_are_named() {
        let lock = "  h q order 2 shared lock 1 taken at f\n";
        for (text, line) in [
            (lock.to_owned(), 1),
            ("task 1\n".to_owned(), 1),
            ("task 1 a b\n".to_owned(), 1),
            (
                "task 1 a\n  q order 2 shared lock 1 taken at f\n".to_owned(),
                2,
            ),
            (format!("task 1 a\n{lock}  \n"), 3),
            (format!("task 1 a\n{lock}more\n"), 3),
            (format!("task 1 a\n{lock}more 1\n{lock}"), 4),
            (format!("task 1 a\n{lock}more 1\nmore 1\n"), 4),
        ] {
            assert_eq!(parse(&text).unwrap_err().line, line, "{text:?}");
        }
    }
}
