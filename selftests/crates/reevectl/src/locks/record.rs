// SPDX-License-Identifier: GPL-2.0-or-later

//! The parts that several files have in common: contexts, orders, locks and call sites.

use serde::Serialize;

use crate::line::Line;
use crate::line::Name;
use crate::line::Parsed;

/// The context that holds or takes a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "context", rename_all = "snake_case")]
pub(super) enum Who {
    /// A thread.
    Task { pid: u32, comm: Name },
    /// An interrupt of a CPU.
    Irq { cpu: u32, level: Level },
}

/// The kind of an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    Soft,
    Hard,
    Nmi,
}

impl Who {
    /// Parses `task PID COMM` or `irq CPU LEVEL`.
    pub(super) fn parse(line: &mut Line<'_>) -> Parsed<Self> {
        if line.accept("task") {
            return Ok(Self::Task {
                pid: line.number()?,
                comm: line.name()?,
            });
        }
        line.literal("irq")?;
        Ok(Self::Irq {
            cpu: line.number()?,
            level: match line.word()? {
                "soft" => Level::Soft,
                "hard" => Level::Hard,
                "nmi" => Level::Nmi,
                _ => return Err(line.malformed()),
            },
        })
    }
}

/// A place in a hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Order {
    pub(super) order: u32,
    pub(super) name: Name,
}

impl Order {
    /// Parses `NAME order N`.
    pub(super) fn parse(line: &mut Line<'_>) -> Parsed<Self> {
        let name = line.name()?;
        line.literal("order")?;
        Ok(Self {
            order: line.number()?,
            name,
        })
    }
}

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    Exclusive,
    Shared,
    /// Either, in rules and checks only.
    Any,
}

impl Mode {
    /// Parses `exclusive`, `shared`, `in any mode`, or `-` for none.
    pub(super) fn parse(line: &mut Line<'_>) -> Parsed<Option<Self>> {
        Ok(match line.word()? {
            "exclusive" => Some(Self::Exclusive),
            "shared" => Some(Self::Shared),
            "any" => Some(Self::Any),
            "in" => {
                line.literal("any mode")?;
                Some(Self::Any)
            }
            "-" => None,
            _ => return Err(line.malformed()),
        })
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::Shared => "shared",
            Self::Any => "in any mode",
        }
    }
}

/// A lock that is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct HeldLock {
    #[serde(flatten)]
    pub(super) order: Order,
    pub(super) mode: Option<Mode>,
    pub(super) lock: String,
    pub(super) taken_at: String,
    /// It is not held yet: the thread waits for it, there.
    pub(super) waiting: bool,
    /// The key by which the caller orders locks of this order.
    pub(super) key: Option<u64>,
}

impl HeldLock {
    /// Parses `NAME order N MODE lock ADDRESS taken at PLACE [key K]`, to the end of the line; or `waited for at`.
    pub(super) fn parse(line: &mut Line<'_>) -> Parsed<Self> {
        let order = Order::parse(line)?;
        let mode = Mode::parse(line)?;
        let lock = address(line)?;
        let waiting = line.accept("waited");
        line.literal(if waiting { "for at" } else { "taken at" })?;
        let taken_at = place(line)?;
        let key = key(line)?;
        line.end()?;
        Ok(Self {
            order,
            mode,
            lock,
            taken_at,
            waiting,
            key,
        })
    }
}

/// Parses `lock ADDRESS`: hexadecimal, hashed, or what printk shows before it can hash; `-`: no lock.
pub(super) fn address(line: &mut Line<'_>) -> Parsed<String> {
    line.literal("lock")?;
    let word = line.word()?;
    let hex = word.len() <= 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hex || word == "(____ptrval____)" || word == "-" {
        return Ok(word.to_owned());
    }
    Err(line.malformed())
}

/// Parses `SYMBOL+OFFSET/SIZE` or an address, and perhaps ` [MODULE]`.
pub(super) fn place(line: &mut Line<'_>) -> Parsed<String> {
    let mut place = line.word()?.to_owned();
    let is_module = |word: &&str| word.starts_with('[') && word.ends_with(']');
    if let Some(module) = line.peek().filter(is_module) {
        line.literal(module)?;
        place.push(' ');
        place.push_str(module);
    }
    Ok(place)
}

/// Parses ` key K`, where there is one.
pub(super) fn key(line: &mut Line<'_>) -> Parsed<Option<u64>> {
    match line.accept("key") {
        true => line.number().map(Some),
        false => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line<'_> {
        Line::all(text).next().unwrap()
    }

    #[test]
    fn contexts_are_threads_or_interrupts() {
        assert_eq!(
            Who::parse(&mut line("task 7 kworker/0:1")),
            Ok(Who::Task {
                pid: 7,
                comm: Name::new("kworker/0:1")
            })
        );
        for (text, level) in [
            ("irq 1 soft", Level::Soft),
            ("irq 1 hard", Level::Hard),
            ("irq 1 nmi", Level::Nmi),
        ] {
            assert_eq!(Who::parse(&mut line(text)), Ok(Who::Irq { cpu: 1, level }));
        }
        for wrong in [
            "task 7",
            "task x y",
            "irq 1",
            "irq 1 loud",
            "irq soft 1",
            "cpu 1",
            " ",
        ] {
            assert!(Who::parse(&mut line(wrong)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_held_lock_in_all_its_forms() {
        let held = |text: &str| HeldLock::parse(&mut line(text));
        let full = held("queue order 2 shared lock 00e6 taken at f+0x1/0x2 [m] key 17").unwrap();
        assert_eq!(
            full,
            HeldLock {
                order: Order {
                    order: 2,
                    name: Name::new("queue")
                },
                mode: Some(Mode::Shared),
                lock: "00e6".to_owned(),
                taken_at: "f+0x1/0x2 [m]".to_owned(),
                waiting: false,
                key: Some(17),
            }
        );
        let waited =
            held("queue order 2 shared lock 00e6 waited for at f+0x1/0x2 [m] key 17").unwrap();
        assert_eq!(
            waited,
            HeldLock {
                waiting: true,
                ..full
            }
        );
        let bare = held("- order 2 - lock (____ptrval____) taken at 0xffffffff81000000").unwrap();
        assert_eq!(
            (bare.order.name.get(), bare.mode, bare.key),
            (None, None, None)
        );
        assert_eq!(bare.taken_at, "0xffffffff81000000");
        for wrong in [
            "queue 2 shared lock 00e6 taken at f",
            "queue order 2 shard lock 00e6 taken at f",
            "queue order 2 shared lock e6x taken at f",
            "queue order 2 shared lock 00e6 taken at",
            "queue order 2 shared lock 00e6 waited at f",
            "queue order 2 shared lock 00e6 waited taken at f",
            "queue order 2 shared lock 00e6 taken at f key",
            "queue order 2 shared lock 00e6 taken at f key 1 2",
            "queue order 2 shared lock 00e6 taken at f [m] [m]",
            "queue order 99999999999 shared lock 00e6 taken at f",
        ] {
            assert!(held(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn modes_have_names() {
        for (text, mode) in [
            ("exclusive", Some(Mode::Exclusive)),
            ("shared", Some(Mode::Shared)),
            ("in any mode", Some(Mode::Any)),
            ("-", None),
        ] {
            assert_eq!(Mode::parse(&mut line(text)), Ok(mode));
            assert_eq!(mode.map_or("-", Mode::text), text);
        }
        assert!(Mode::parse(&mut line("in no mode")).is_err());
    }
}
