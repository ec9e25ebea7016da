// SPDX-License-Identifier: GPL-2.0-or-later

//! Makes programs: anew, and from those that reached something.
//!
//! Most of what is chosen makes sense together, or nothing would get past the first check of a call.

use std::collections::BTreeMap;

use fastrand::Rng;

use crate::calls::{Call, CALLS};
use crate::program::{Part, Program, Step, Value, FILES};

/// Most steps of a program.
const LENGTH: usize = 48;

/// Sizes of objects, in pages: with few of them a log, a range and an object often have the same.
const PAGES: [u64; 6] = [1, 2, 3, 16, 64, 65];

/// Sizes of a few: what is done to these takes ten times as long.
const MANY_PAGES: [u64; 2] = [512, 1000];

/// Of these a size is made that no memory is enough for, so that nothing is really allocated.
const HUGE: [u64; 3] = [1 << 44, 1 << 62, u64::MAX];

/// Numbers at which something ends.
const EDGES: [u64; 12] = [
    1,
    4095,
    4097,
    1 << 16,
    1 << 31,
    u32::MAX as u64,
    1 << 32,
    1 << 40,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 4095,
    u64::MAX,
];

/// Addresses at which a process has nothing.
const NOWHERE: [u64; 6] = [0, 8, 1 << 46, 1 << 63, 0xffff_8880_0000_1000, u64::MAX - 7];

/// The calls that a program is mostly made of.
const USUAL: [&str; 17] = [
    "bo_create",
    "bo_create",
    "bo_populate",
    "bo_populate",
    "bo_write",
    "bo_read",
    "bo_swapout",
    "bo_backup",
    "bo_restore",
    "bo_pin",
    "bo_unpin",
    "bo_log_start",
    "bo_log_get",
    "bo_log_clear",
    "bo_log_fence",
    "log_mode",
    "bo_unpopulate",
];

/// Parameters that may be written, with what; the first is what it is before. Not `panic_on_violation`, which does what
/// it says.
pub(crate) const PARAMETERS: [(&str, &[&str]); 9] = [
    ("pages_limit", &["0", "0", "100", "1000", "1", "-1", "x"]),
    ("dma32_pages_limit", &["0", "0", "100", "1"]),
    ("file_pages_limit", &["0", "0", "50", "500", "1"]),
    (
        "page_pool_size",
        &["0", "0", "1", "100", "18446744073709551615"],
    ),
    ("hard_limit", &["0", "0", "1"]),
    ("file_objects_limit", &["0", "0", "3"]),
    ("pinned_pages_limit", &["0", "0", "10"]),
    ("lock_tracking", &["1", "1", "0"]),
    ("show_dma_addresses", &["0", "1"]),
];

/// Files of debugfs that show something.
const SHOWN: [&str; 11] = [
    "accounting",
    "buffer_objects",
    "dirty_logs",
    "latency",
    "page_pool",
    "tt_shrink",
    "lock_order/hierarchies",
    "lock_order/held",
    "lock_order/violations",
    "lock_order/graph",
    "bo_shrink",
];

/// Those that do something.
const TRIGGERS: [&str; 3] = ["bo_shrink", "page_pool_shrink", "prepare_hibernation"];

/// What is written to files of the cgroup.
const CGROUP: [(&str, &[&str]); 3] = [
    ("memory.reclaim", &["1M", "16M"]),
    ("memory.high", &["max", "8M"]),
    ("memory.max", &["max", "24M"]),
];

/// Makes programs.
pub(crate) struct Generator {
    rng: Rng,
    /// The number of pages of most objects of this program.
    pages: u64,
}

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            pages: 1,
        }
    }

    /// Makes one of nothing.
    pub(crate) fn program(&mut self) -> Program {
        self.choose_size();
        let file = self.own_file();
        let mut steps = vec![Step::Open { file }];
        // Something to work on.
        for _ in 0..self.rng.u8(1..4) {
            steps.push(self.sensible("bo_create", file));
        }
        if self.rng.bool() {
            steps.push(self.map(file));
        }
        for _ in 0..self.rng.usize(4..LENGTH - steps.len()) {
            steps.push(self.step(file));
        }
        Program(steps)
    }

    /// Makes one of one that reached something, and of another one.
    pub(crate) fn variant(&mut self, of: &Program, other: &Program) -> Program {
        self.choose_size();
        let mut steps = of.0.clone();
        for _ in 0..self.rng.u8(1..5) {
            let at = self.rng.usize(0..=steps.len());
            let file = self.file();
            match self.rng.u8(0..10) {
                0..=3 => steps.insert(at, self.step(file)),
                4 if at < steps.len() => drop(steps.remove(at)),
                5 if at < steps.len() => steps.insert(at, steps[at].clone()),
                6 if !other.0.is_empty() => {
                    let from = self.rng.usize(0..other.0.len());
                    steps.truncate(at);
                    steps.extend_from_slice(&other.0[from..]);
                }
                _ if at < steps.len() => self.change(&mut steps[at]),
                _ => {}
            }
        }
        steps.truncate(LENGTH);
        Program(steps)
    }

    fn choose_size(&mut self) {
        self.pages = self.some_pages();
    }

    fn some_pages(&mut self) -> u64 {
        if self.percent(5) {
            self.pick(&MANY_PAGES)
        } else {
            self.pick(&PAGES)
        }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.usize(0..from.len())]
    }

    /// True in so many of a hundred.
    fn percent(&mut self, of_hundred: u8) -> bool {
        self.rng.u8(0..100) < of_hundred
    }

    fn file(&mut self) -> u8 {
        self.rng.u8(0..FILES as u8)
    }

    fn own_file(&mut self) -> u8 {
        self.rng.u8(crate::program::SHARED_FILES as u8..FILES as u8)
    }

    fn step(&mut self, usual: u8) -> Step {
        let file = if self.percent(80) { usual } else { self.file() };
        let part = Part {
            mapping: self.rng.u8(0..3),
            page: self.rng.u16(0..66),
        };
        let pages = self.rng.u16(1..70);
        match self.rng.u8(0..100) {
            0..=44 => {
                let name = self.pick(&USUAL);
                self.sensible(name, file)
            }
            45..=56 => {
                let call = self.rng.usize(0..CALLS.len());
                // It writes to the console what it finds.
                match CALLS[call].name {
                    "lock_sanity" if !self.percent(20) => self.sensible("bo_info", file),
                    name => self.sensible(name, file),
                }
            }
            57..=61 => self.map(file),
            62..=63 => Step::Unmap { part, pages },
            64..=65 => Step::Protect {
                part,
                pages,
                protection: self.rng.u8(0..4),
            },
            66..=67 => Step::Move { part, pages },
            68..=69 => Step::Advise {
                part,
                advice: self.rng.u8(0..26),
            },
            70..=74 => Step::Read { part },
            75..=81 => Step::Write { part },
            82..=83 => Step::Fork { part },
            84..=85 => Step::Fdinfo { file },
            86..=87 => {
                let (name, values) = self.pick(&PARAMETERS);
                Step::Parameter {
                    name: name.to_owned(),
                    value: self.pick(values).to_owned(),
                }
            }
            88 => Step::Look {
                name: self.pick(&SHOWN).to_owned(),
            },
            89 => Step::Trigger {
                name: self.pick(&TRIGGERS).to_owned(),
            },
            90..=91 => {
                let (name, values) = self.pick(&CGROUP);
                Step::Cgroup {
                    name: name.to_owned(),
                    value: self.pick(values).to_owned(),
                }
            }
            92..=96 => Step::Fail {
                nth: self.rng.u16(1..30),
            },
            97 => Step::Close { file },
            _ => Step::Open { file },
        }
    }

    fn map(&mut self, file: u8) -> Step {
        let odd = self.percent(15);
        Step::Map {
            file,
            handle: self.handle(),
            skip: if odd { self.rng.i16(-3..70) } else { 0 },
            pages: if odd {
                self.rng.u16(0..2000)
            } else {
                self.pages as u16
            },
            protection: if self.percent(80) {
                3
            } else {
                self.rng.u8(0..8)
            },
            private: self.percent(5),
            populate: self.percent(20),
        }
    }

    /// A call that has a chance.
    fn sensible(&mut self, name: &str, file: u8) -> Step {
        let Some(call) = Call::named(name) else {
            return Step::Open { file };
        };
        let mut fields = BTreeMap::new();
        for field in call.fields() {
            if let Some(value) = self.field(call.name, field.name) {
                fields.insert(field.name.to_owned(), value);
            }
        }
        let at = self.percent(4).then(|| self.address());
        Step::Call {
            file,
            name: call.name.to_owned(),
            fields,
            at,
            compat: self.percent(5),
        }
    }

    /// What to put into a field; nothing: zero.
    fn field(&mut self, call: &str, name: &str) -> Option<Value> {
        if self.percent(2) && !matches!(name, "addr" | "bitmap" | "size") {
            return Some(Value::Number(self.pick(&EDGES)));
        }
        let number = match name {
            "handle" if call != "bo_create" => return Some(self.handle()),
            "addr" | "bitmap" => return Some(self.address()),
            "flags" => match call {
                "log_mode" | "file_limit" => u64::from(self.percent(80)),
                "bo_create" if self.percent(50) => 1 << self.rng.u8(0..5),
                "bo_create" if self.percent(30) => self.rng.u64(0..32),
                "bo_backup" if self.percent(40) => self.rng.u64(0..3),
                _ => 0,
            },
            "mode" if call == "log_mode" => self.rng.u64(0..4),
            "size" if call == "bo_create" => {
                let odd = self.percent(10);
                match self.rng.u8(0..100) {
                    0..=2 => self.pick(&HUGE),
                    3..=79 => self.pages * 4096 - u64::from(odd),
                    _ => self.some_pages() * 4096 - u64::from(odd),
                }
            }
            "type_" | "caching" if call == "bo_create" && self.percent(35) => self.rng.u64(0..3),
            "device" if call == "bo_create" => self.rng.u64(0..2),
            "extra_pages" if self.percent(5) => self.rng.u64(0..5),
            "offset" if call != "bo_mmap" && self.percent(60) => self.rng.u64(0..self.pages * 4096),
            "length" if call != "bo_mmap" => self.rng.u64(0..9000),
            "page" | "first_page" if self.percent(40) => self.rng.u64(0..self.pages) & !63,
            "pages" if call == "bo_log_get" => self.pages,
            "num_pages" if self.percent(70) => self.pages,
            "num_pages" => self.rng.u64(0..self.pages) & !63,
            "limit" => self.pick(&[0, 1, 100, 1000]),
            _ => 0,
        };
        (number != 0).then_some(Value::Number(number))
    }

    fn handle(&mut self) -> Value {
        match self.rng.u8(0..100) {
            0..=91 => Value::Handle(self.rng.u8(0..4)),
            92..=97 => Value::Number(self.rng.u64(0..9)),
            _ => Value::Number(self.pick(&EDGES)),
        }
    }

    fn address(&mut self) -> Value {
        let within = match self.rng.u8(0..10) {
            0..=6 => 0,
            7 => self.rng.u32(0..4096),
            8 => 4088,
            _ => 4095,
        };
        match self.rng.u8(0..100) {
            0..=74 => Value::Arena(self.rng.u32(2..16) * 4096 + within),
            75..=92 => {
                let page = self.rng.u32(0..66);
                Value::Mapped(self.rng.u8(0..3), page * 4096 + within)
            }
            // Its end, behind which there is nothing.
            93..=96 => Value::Arena(30 * 4096 + within),
            _ => Value::Number(self.pick(&NOWHERE)),
        }
    }

    /// Changes something about a step.
    fn change(&mut self, step: &mut Step) {
        let file = self.file();
        let Step::Call {
            name,
            fields,
            file: its,
            ..
        } = step
        else {
            *step = self.step(file);
            return;
        };
        if self.percent(15) {
            *its = file;
            return;
        }
        let Some(call) = Call::named(name) else {
            return;
        };
        let all = call.fields();
        let name = all[self.rng.usize(0..all.len())].name;
        let value = match name {
            "addr" | "bitmap" | "size" => self.field(call.name, name),
            _ if self.percent(40) => Some(Value::Number(self.pick(&EDGES))),
            _ => self.field(call.name, name),
        };
        match value {
            Some(value) => fields.insert(name.to_owned(), value),
            None => fields.remove(name),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_makes_the_same_programs() {
        let make = |seed| {
            let mut generator = Generator::new(seed);
            let first = generator.program();
            let second = generator.program();
            let third = generator.variant(&first, &second);
            (first, second, third)
        };
        assert_eq!(make(7), make(7));
        assert_ne!(make(7), make(8));
    }

    #[test]
    fn everything_comes_up_and_is_readable() {
        let mut generator = Generator::new(1);
        let mut seen = BTreeSet::new();
        let mut last = Program::default();
        for _ in 0..3000 {
            let fresh = generator.program();
            for program in [generator.variant(&fresh, &last), fresh] {
                assert!(program.0.len() <= LENGTH);
                assert_eq!(
                    program.to_string().parse::<Program>().expect("it is one"),
                    program
                );
                for step in &program.0 {
                    let text = serde_json::to_string(step).expect("it is text");
                    let kind = text.split('"').nth(1).expect("a name").to_owned();
                    match step {
                        Step::Call { name, .. } => seen.insert(name.clone()),
                        _ => seen.insert(kind),
                    };
                }
                last = program;
            }
        }
        for call in CALLS {
            assert!(seen.contains(call.name), "{}", call.name);
        }
        assert_eq!(seen.len(), CALLS.len() + 16, "{seen:?}");
    }

    /// A number that the kernel may take for an address must be one at which the process has nothing.
    #[test]
    fn addresses_are_known() {
        let mut generator = Generator::new(2);
        for _ in 0..3000 {
            for step in generator.program().0 {
                let Step::Call { fields, at, .. } = step else {
                    continue;
                };
                let of_fields = ["addr", "bitmap"].map(|name| fields.get(name).copied());
                for value in of_fields.into_iter().flatten().chain(at) {
                    if let Value::Number(number) = value {
                        assert!(NOWHERE.contains(&number), "{number:#x}");
                    }
                }
            }
        }
    }
}
