// SPDX-License-Identifier: GPL-2.0-or-later
//! What the guest tells on its second serial port, where the kernel's own messages cannot get in between.
//!
//! One fact per line: a word and its value. `guest/init.sh` writes them.

/// The facts so far.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Facts {
    /// `uname -r` of the guest.
    pub kernel: Option<String>,
    /// The module was inserted.
    pub module: bool,
    /// The module could not be inserted; insmod's words.
    pub load_failed: Option<String>,
    /// The script's exit status.
    pub status: Option<i32>,
    /// The kernel's taint flags at the end.
    pub taint: Option<u64>,
    /// What kmemleak reported.
    pub leaks: Vec<String>,
    /// The end of the kernel's log, if the taint flags say that there is something to find.
    pub dmesg: Vec<String>,
    /// Things worth showing that are no failure.
    pub notes: Vec<String>,
    /// The guest came to its proper end.
    pub ended: bool,
}

impl Facts {
    /// Takes one line. A line that makes no sense becomes a note: it is never dropped.
    pub fn line(&mut self, line: &str) {
        let (word, value) = line.split_once(' ').unwrap_or((line, ""));
        let value = value.trim_end();
        match word {
            "kernel" => self.kernel = Some(value.to_owned()),
            "inserted" => self.module = true,
            "load-failed" => self.load_failed = Some(value.to_owned()),
            "leak" => self.leaks.push(value.to_owned()),
            "dmesg" => self.dmesg.push(value.to_owned()),
            "note" => self.notes.push(value.to_owned()),
            "end" => self.ended = true,
            "status" => match value.parse() {
                Ok(status) => self.status = Some(status),
                Err(_) => self.unknown(line),
            },
            "taint" => match value.parse() {
                Ok(taint) => self.taint = Some(taint),
                Err(_) => self.unknown(line),
            },
            _ => self.unknown(line),
        }
    }

    fn unknown(&mut self, line: &str) {
        self.notes.push(format!("the guest said: {line}"));
    }
}

/// Taint bits that only a complaint of the kernel sets: bad page, machine check, died, warned, soft lockup.
const COMPLAINT_TAINTS: [(u64, &str); 5] = [
    (1 << 4, "machine check"),
    (1 << 5, "bad page"),
    (1 << 7, "oops"),
    (1 << 9, "warning"),
    (1 << 14, "soft lockup"),
];

/// The complaints in a taint value, for a splat that did not make it to the console.
pub fn complaints(taint: u64) -> Vec<&'static str> {
    COMPLAINT_TAINTS
        .iter()
        .filter(|(bit, _)| taint & bit != 0)
        .map(|&(_, name)| name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Facts {
        let mut facts = Facts::default();
        for line in lines {
            facts.line(line);
        }
        facts
    }

    #[test]
    fn a_whole_run() {
        let facts = read(&["kernel 7.3.4", "inserted", "status 7", "taint 4096", "end"]);
        assert_eq!(facts.kernel.as_deref(), Some("7.3.4"));
        assert!(facts.module);
        assert_eq!(facts.status, Some(7));
        assert_eq!(facts.taint, Some(4096));
        assert!(facts.ended);
        assert!(facts.notes.is_empty());
    }

    #[test]
    fn nonsense_is_kept_as_a_note() {
        let facts = read(&["status many", "hello there"]);
        assert_eq!(facts.status, None);
        assert_eq!(facts.notes.len(), 2);
    }

    #[test]
    fn only_complaints_count_among_the_taints() {
        // Out-of-tree module and test taints are normal here.
        assert!(complaints((1 << 12) | (1 << 18)).is_empty());
        assert_eq!(complaints(1 << 9), ["warning"]);
        assert_eq!(complaints((1 << 7) | (1 << 5)), ["bad page", "oops"]);
    }
}
