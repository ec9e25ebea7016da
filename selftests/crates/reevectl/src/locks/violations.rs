// SPDX-License-Identifier: GPL-2.0-or-later

//! The file `violations`: how many incorrect uses were found, and the last of each pair of orders.

use serde::Serialize;

use super::record::address;
use super::record::key;
use super::record::place;
use super::record::HeldLock;
use super::record::Mode;
use super::record::Order;
use super::record::Who;
use crate::line::ended;
use crate::line::Line;
use crate::line::Malformed;
use crate::line::Name;
use crate::line::Parsed;

/// All violations that were found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Violations {
    pub(super) total: u64,
    pub(super) hierarchies: Vec<Count>,
    pub(super) pairs: Vec<Pair>,
    /// Violations of pairs that the module had no space to record.
    pub(super) more: u64,
}

/// The number of a hierarchy's violations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Count {
    pub(super) name: Name,
    pub(super) violations: u64,
}

/// A pair of orders that was used out of order, with the last violation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Pair {
    pub(super) hierarchy: Name,
    #[serde(flatten)]
    pub(super) order: Order,
    /// The held order in the way; none when no held lock is concerned.
    pub(super) against: Option<Order>,
    pub(super) count: u64,
    pub(super) kind: String,
    /// None, like all that follows, when the module was just replacing it.
    pub(super) last: Option<Last>,
    pub(super) doing: Option<Doing>,
    pub(super) conflicts: Vec<HeldLock>,
    pub(super) holds: Vec<HeldLock>,
    /// How many more locks were held.
    pub(super) more_held: u64,
}

/// The time and the context of a violation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Last {
    /// Since boot, as in the kernel log.
    pub(super) seconds: f64,
    pub(super) cpu: u32,
    #[serde(flatten)]
    pub(super) who: Who,
}

/// The incorrect use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Doing {
    pub(super) operation: String,
    pub(super) mode: Option<Mode>,
    pub(super) lock: String,
    pub(super) at: String,
    /// The key by which the caller orders locks of this order.
    pub(super) key: Option<u64>,
}

const TOTAL: &str = "total N";
const COUNT: &str = "HIERARCHY N, violation ... or more N";
const RECORD: &str = "violation HIERARCHY NAME order N against NAME order N count N";
const DETAIL: &str = "  kind, last, doing, conflicts, holds or more";

/// Parses the file.
pub(super) fn parse(text: &str) -> Parsed<Violations> {
    let mut lines = Line::all(text).peekable();
    let total = lines.next().ok_or_else(|| ended(text, TOTAL))?;
    let mut violations = Violations {
        total: named_number(total.like(TOTAL), "total")?,
        hierarchies: Vec::new(),
        pairs: Vec::new(),
        more: 0,
    };
    while let Some(line) = lines.next() {
        if line.is_indented() {
            return Err(line.like(COUNT).malformed());
        }
        // A hierarchy may have any name, also one of these words: counts have two words, and stand first.
        if line.left() != 2 {
            let mut record = Record::head(line.like(RECORD))?;
            while let Some(line) = lines.next_if(Line::is_indented) {
                record.detail(line)?;
            }
            violations.pairs.push(record.end()?);
        } else if line.peek() == Some("more") && lines.peek().is_none() {
            violations.more = named_number(line.like("more N"), "more")?;
        } else if violations.pairs.is_empty() {
            violations.hierarchies.push(count(line.like(COUNT))?);
        } else {
            return Err(line.like(RECORD).malformed());
        }
    }
    Ok(violations)
}

fn named_number(mut line: Line<'_>, name: &str) -> Parsed<u64> {
    line.literal(name)?;
    let number = line.number()?;
    line.end()?;
    Ok(number)
}

fn count(mut line: Line<'_>) -> Parsed<Count> {
    let name = line.name()?;
    let violations = line.number()?;
    Ok(Count { name, violations })
}

/// A record that is being parsed.
struct Record {
    pair: Pair,
    has_kind: bool,
    has_more: bool,
    /// Returns the error that the record of this head is incomplete.
    incomplete: Malformed,
}

impl Record {
    fn head(mut line: Line<'_>) -> Parsed<Self> {
        let incomplete = line.clone().like("violation ..., and its kind below");
        line.literal("violation")?;
        let hierarchy = line.name()?;
        let order = Order::parse(&mut line)?;
        line.literal("against")?;
        let against = Order::parse(&mut line)?;
        line.literal("count")?;
        let count = line.number()?;
        line.end()?;
        Ok(Self {
            pair: Pair {
                hierarchy,
                order,
                against: Some(against).filter(|against| against.order != 0),
                count,
                kind: String::new(),
                last: None,
                doing: None,
                conflicts: Vec::new(),
                holds: Vec::new(),
                more_held: 0,
            },
            has_kind: false,
            has_more: false,
            incomplete: incomplete.malformed(),
        })
    }

    fn detail(&mut self, line: Line<'_>) -> Parsed<()> {
        let mut line = line.like(DETAIL);
        let pair = &mut self.pair;
        let again = match line.word()? {
            "kind" => {
                line = line.like("  kind WORD");
                pair.kind = line.word()?.to_owned();
                line.end()?;
                std::mem::replace(&mut self.has_kind, true)
            }
            "last" => {
                line = line.like("  last SECONDS cpu N task PID NAME");
                pair.last.replace(last(&mut line)?).is_some()
            }
            "doing" => {
                line = line.like("  doing OPERATION MODE lock ADDRESS at PLACE [key K]");
                pair.doing.replace(doing(&mut line)?).is_some()
            }
            "conflicts" => {
                pair.conflicts.push(HeldLock::parse(&mut held_like(line))?);
                return Ok(());
            }
            "holds" => {
                pair.holds.push(HeldLock::parse(&mut held_like(line))?);
                return Ok(());
            }
            "more" => {
                line = line.like("  more N");
                pair.more_held = line.number()?;
                line.end()?;
                std::mem::replace(&mut self.has_more, true)
            }
            _ => return Err(line.malformed()),
        };
        match again {
            false => Ok(()),
            true => Err(line.malformed()),
        }
    }

    fn end(self) -> Parsed<Pair> {
        match self.has_kind {
            true => Ok(self.pair),
            false => Err(self.incomplete),
        }
    }
}

fn held_like(line: Line<'_>) -> Line<'_> {
    line.like("  conflicts|holds NAME order N MODE lock ADDRESS taken at PLACE [key K]")
}

fn last(line: &mut Line<'_>) -> Parsed<Last> {
    let seconds = line.word()?;
    // What from_str knows beyond digits is no time.
    let plain = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    let plain = seconds.bytes().all(plain);
    let seconds = seconds.parse().ok().filter(|_| plain);
    let seconds = seconds.ok_or_else(|| line.malformed())?;
    line.literal("cpu")?;
    let cpu = line.number()?;
    let who = Who::parse(line)?;
    line.end()?;
    Ok(Last { seconds, cpu, who })
}

fn doing(line: &mut Line<'_>) -> Parsed<Doing> {
    let operation = line.word()?.to_owned();
    let mode = Mode::parse(line)?;
    let lock = address(line)?;
    line.literal("at")?;
    let at = place(line)?;
    let key = key(line)?;
    line.end()?;
    Ok(Doing {
        operation,
        mode,
        lock,
        at,
        key,
    })
}

#[cfg(test)]
mod tests {
    use super::super::samples::VIOLATIONS;
    use super::*;

    #[test]
    fn the_sample() {
        let violations = parse(VIOLATIONS).unwrap();
        assert_eq!((violations.total, violations.more), (9, 5));
        let counts: Vec<_> = violations
            .hierarchies
            .iter()
            .map(|count| (count.name.to_string(), count.violations))
            .collect();
        assert_eq!(
            counts,
            [("reeve".to_owned(), 0), ("reeve_sample".to_owned(), 4)]
        );
        let [pair, alone, replaced] = violations.pairs.as_slice() else {
            panic!("{violations:?}");
        };
        assert_eq!(pair.order.name.get(), Some("device"));
        assert_eq!(pair.against.as_ref().map(|order| order.order), Some(2));
        assert_eq!((pair.count, pair.kind.as_str()), (3, "order_held"));
        let last = pair.last.as_ref().unwrap();
        assert_eq!((last.seconds, last.cpu), (12.345678, 0));
        let doing = pair.doing.as_ref().unwrap();
        assert_eq!(doing.operation, "record_lock");
        assert_eq!(doing.at, "sample_wrong_order+0x37/0x170 [reeve_sample]");
        let conflicts: Vec<_> = pair.conflicts.iter().map(|lock| &lock.taken_at).collect();
        assert_eq!(
            conflicts,
            [
                "sample_lock_queue+0x1d/0x50 [reeve_sample]",
                "h+0x1/0x2 [reeve_sample]"
            ]
        );
        assert_eq!((pair.holds.len(), pair.more_held), (1, 2));

        assert_eq!(alone.against, None);
        assert_eq!((alone.hierarchy.get(), alone.order.order), (None, 0));
        assert_eq!(alone.doing.as_ref().unwrap().mode, None);
        assert!(alone.conflicts.is_empty() && alone.holds.is_empty());

        assert_eq!((replaced.count, replaced.kind.as_str()), (1, "not_held"));
        assert!(replaced.last.is_none() && replaced.doing.is_none());
    }

    #[test]
    fn counts_alone() {
        let violations = parse("total 0\nreeve 0\n").unwrap();
        assert_eq!((violations.total, violations.hierarchies.len()), (0, 1));
        assert!(violations.pairs.is_empty());
    }

    #[test]
    fn words_of_the_file_may_be_names() {
        let violations = parse("total 1\ntotal 1\nviolation 0\nmore 0\nmore 4\n").unwrap();
        assert_eq!(violations.hierarchies.len(), 3);
        assert_eq!(violations.more, 4);
    }

    #[test]
    fn damaged_lines_are_named() {
        let head = "total 1\nh 1\nviolation h a order 1 against b order 2 count 1\n";
        let kind = "  kind order_held\n";
        let last = "  last 1.0 cpu 0 task 1 x\n";
        let doing = "  doing record_lock - lock 0 at f\n";
        for (text, line) in [
            (String::new(), 1),
            ("totals 1\n".to_owned(), 1),
            ("total x\n".to_owned(), 1),
            ("total 1\n  kind x\n".to_owned(), 2),
            ("total 1\nh\n".to_owned(), 2),
            ("total 1\nh x\n".to_owned(), 2),
            ("total 1\nviolation h a order 1\n".to_owned(), 2),
            (head.to_owned(), 3),
            (format!("{head}{last}{doing}"), 3),
            (format!("{head}{kind}{kind}"), 5),
            (format!("{head}{last}{last}"), 5),
            (format!("{head}{doing}{doing}"), 5),
            (format!("{head}  more 1\n  more 1\n"), 5),
            (format!("{head}  last inf cpu 0 task 1 x\n"), 4),
            (format!("{head}  last 1.0 cpu 0\n"), 4),
            (format!("{head}  doing record_lock - lock 0\n"), 4),
            (format!("{head}  conflicts b order 2\n"), 4),
            (format!("{head}  nonsense\n"), 4),
            (format!("{head}{kind}{last}{doing}h 1\nmore 1\n"), 7),
            (format!("{head}{kind}{last}{doing}more x\n"), 7),
        ] {
            assert_eq!(parse(&text).unwrap_err().line, line, "{text:?}");
        }
        let whole = format!("{head}{doing}{kind}{last}");
        assert_eq!(parse(&whole).unwrap().pairs.len(), 1);
    }
}
