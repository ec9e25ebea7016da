// SPDX-License-Identifier: GPL-2.0-or-later

//! Those who write while `reevectl migrate` moves objects: their children, and what holds them back at the end.

use std::fs;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;
use reeve_uapi::Mapping;

use super::migrate::address;
use super::migrate::believing;
use super::migrate::ended_well;
use super::migrate::logs_nothing;
use super::migrate::played;
use super::migrate::sent;
use super::precopy::needs_log;
use super::precopy::objects;
use crate::beside::keep;
use crate::beside::Beside;
use crate::content::filled;
use crate::process::state;
use crate::process::Child;
use crate::process::Line;
use crate::seen::open;
use crate::seen::until;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;
use crate::test::Stop;

cases!("migrate";
    children_of_writers_have_to_be_named,
    progress_is_told_five_times_a_second_at_most,
    writers_behind_a_fence_lose_nothing,
    a_fence_is_lifted_when_the_last_round_fails,
    a_fence_goes_with_a_sender_that_is_killed,
    a_fence_stays_while_it_is_not_known_who_has_the_objects,
);

const PATIENCE: Duration = Duration::from_secs(20);

/// A writer whose child writes, too; it has forked before it was named.
fn children_of_writers_have_to_be_named() -> Outcome {
    let (from, to) = (open()?, open()?);
    needs_log(&from)?;
    let handle = filled(&from, Create::new(1000 * PAGE), 1)?;
    let mapping = from.map(handle)?;
    let counts = |line: &mut Line, half: u64| {
        for count in 1_u64.. {
            let page = count % 500 + half * 500;
            mapping.write((page * PAGE) as usize, &count.to_le_bytes());
            if count == 500 {
                line.say(0)?;
            }
        }
        Ok(())
    };
    let mut parent = Child::run_in_group(|line| {
        let mut child = Child::run(|line| counts(line, 1))?;
        child.line.hear()?;
        // The parent can't be asked while it is stopped, so it says it beforehand.
        for byte in child.pid().as_raw().to_le_bytes() {
            line.say(byte)?;
        }
        counts(line, 0)
    })?;
    let mut pid = [0; 4];
    for byte in &mut pid {
        *byte = parent.line.hear()?;
    }
    let child = Pid::from_raw(i32::from_le_bytes(pid));
    parent.line.hear()?;
    let (address, _) = address();
    let receiver = Beside::receiver(&to, &address, "--silence 60")?;
    keep(&to)?;
    let limits = "--time-limit 1 --at-limit force --silence 60";
    let writers = format!("--writer {}", parent.pid());
    let run = sent(&from, &format!("{address} {writers} {limits}"))?;
    check_eq!(run.code, Some(4), "{}", run.err);
    let text = format!(" of object {handle} differs from its copy");
    check!(run.err.contains(&text), "{}", run.err);
    check_eq!(receiver.end()?.code, Some(4));
    check!(to.list()?.is_empty());
    check!(parent.is_going()?);
    check!(state(child)?.is_some_and(|state| state != 'T'));
    // Named, it is stopped likewise.
    let receiver = Beside::receiver(&to, &address, "--silence 60")?;
    let writers = format!("{writers} --writer {child}");
    let run = sent(&from, &format!("{address} {writers} {limits}"))?;
    ended_well(&run, &receiver.end()?)?;
    check!(parent.is_stopped()?);
    check_eq!(state(child)?, Some('T'));
    check_eq!((from.list()?.len(), to.list()?.len()), (0, 1));
    parent.kill_group();
    Ok(())
}

fn progress_is_told_five_times_a_second_at_most() -> Outcome {
    let (from, to) = (open()?, open()?);
    needs_log(&from)?;
    // Of 64 KiB frames at this rate there are 32 a second.
    filled(&from, Create::new(1500 * PAGE), 1)?;
    let (address, _) = address();
    let receiver = Beside::receiver(&to, &address, "")?;
    let run = sent(
        &from,
        &format!("{address} --bandwidth 2M --json --progress"),
    )?;
    ended_well(&run, &receiver.end()?)?;
    let statistics: serde_json::Value =
        serde_json::from_str(&run.out).map_err(|err| Stop::failed(err.to_string()))?;
    let seconds = statistics["seconds"].as_f64().unwrap_or_default();
    let lines = run.err.lines().count();
    check!(
        run.err.lines().all(|line| line.starts_with("round ")),
        "{}",
        run.err
    );
    check!(
        lines as u64 <= (5.0 * seconds) as u64 + 1,
        "{lines} in {seconds} s"
    );
    check!(seconds > 2.0 && lines >= 3, "{lines} in {seconds} s");
    Ok(())
}

/// Objects that are written to, and a journal on another open file, which is not moved: what a writer has written, it notes
/// there afterwards.
struct Written {
    from: Device,
    handles: Vec<Handle>,
    _other: Device,
    journal: Mapping,
    children: Vec<Child>,
}

/// Writers of all objects. Each writes numbers that get larger to words of its own.
const WRITERS: usize = 3;

/// The word of a page that a writer writes to.
fn word(writer: usize) -> usize {
    8 * (writer + 1)
}

impl Written {
    fn new() -> Outcome<Self> {
        let from = open()?;
        needs_log(&from)?;
        let handles = objects(&from)?;
        let other = open()?;
        let journal = other.create(Create::new(PAGE))?;
        let journal = other.map(journal)?;
        journal.write(0, &[0; 64]);
        let mut written = Self {
            from,
            handles,
            _other: other,
            journal,
            children: Vec::new(),
        };
        for writer in 0..WRITERS {
            let mut child = written.writer(writer)?;
            child.line.hear()?;
            written.children.push(child);
        }
        Ok(written)
    }

    fn writer(&self, writer: usize) -> Outcome<Child> {
        Child::run(|line| {
            let maps = |handle: &Handle| self.from.map(*handle);
            let mappings: Vec<Mapping> = self.handles.iter().map(maps).collect::<Result<_, _>>()?;
            for count in 1_u64.. {
                for mapping in &mappings {
                    // In page 0, and in one of the others.
                    let page = count as usize % (mapping.len() / PAGE as usize);
                    for page in [page, 0] {
                        mapping.write(page * PAGE as usize + word(writer), &count.to_ne_bytes());
                    }
                }
                self.journal.write(8 * writer, &count.to_ne_bytes());
                if count == 1 {
                    line.say(0)?;
                }
            }
            Ok(())
        })
    }

    /// What the writers have noted.
    fn noted(&self) -> [u64; WRITERS] {
        std::array::from_fn(|writer| {
            let mut bytes = [0; 8];
            self.journal.read(8 * writer, &mut bytes);
            u64::from_ne_bytes(bytes)
        })
    }

    /// Fails unless all writers get on.
    fn get_on(&self) -> Outcome {
        let before = self.noted();
        let more = || {
            Ok(self
                .noted()
                .iter()
                .zip(before)
                .all(|(now, before)| *now > before))
        };
        check!(until(PATIENCE, more)?, "{:?}", self.noted());
        Ok(())
    }

    /// Fails if one gets on. Each may have had to note what it had written.
    fn are_held(&self) -> Outcome {
        let sleeps = |child: &Child| Ok(matches!(state(child.pid())?, Some('S' | 'D')));
        for child in &self.children {
            check!(until(PATIENCE, || sleeps(child))?, "a writer goes on");
        }
        let before = self.noted();
        for _ in 0..50 {
            std::thread::yield_now();
        }
        check_eq!(self.noted(), before);
        Ok(())
    }

    fn end(self) -> Outcome {
        self.children.into_iter().try_for_each(Child::kill)
    }
}

const FENCE: &str = "--fence --time-limit 1 --at-limit force --silence 60";

/// Whatever a writer had written when it was held back has come, and what it writes afterwards fails.
fn writers_behind_a_fence_lose_nothing() -> Outcome {
    for _ in 0..3 {
        let mut written = Written::new()?;
        let to = open()?;
        let (address, _) = address();
        let receiver = Beside::receiver(&to, &address, "--silence 60")?;
        let slowed = format!("--writer {}", written.children[0].pid());
        let args = format!("{address} {FENCE} {slowed} --bandwidth 20M");
        let run = sent(&written.from, &args)?;
        ended_well(&run, &receiver.end()?)?;
        check!(run.out.contains(", writers held back for "), "{}", run.out);
        check!(written.from.list()?.is_empty());
        // There is nothing any more that could be written to.
        for child in written.children.drain(..) {
            child.join_killed_by(Signal::SIGBUS)?;
        }
        let noted = written.noted();
        for info in to.list()? {
            let mapping = to.map(info.handle())?;
            for (writer, noted) in noted.iter().enumerate() {
                let mut bytes = [0; 8];
                mapping.read(word(writer), &mut bytes);
                let came = u64::from_ne_bytes(bytes);
                // It may have been held back on its way through the objects.
                check!(came == *noted || came == noted + 1, "{came}, {noted}");
            }
        }
    }
    Ok(())
}

/// A process that only reads, and notes that it goes on.
fn reader(written: &Written) -> Outcome<Child> {
    Child::run(|line| {
        let maps = |handle: &Handle| written.from.map(*handle);
        let mappings: Vec<Mapping> = written.handles.iter().map(maps).collect::<Result<_, _>>()?;
        for count in 1_u64.. {
            mappings.iter().for_each(Mapping::touch);
            written.journal.write(8 * WRITERS, &count.to_ne_bytes());
            if count == 1 {
                line.say(0)?;
            }
        }
        Ok(())
    })
}

fn a_fence_is_lifted_when_the_last_round_fails() -> Outcome {
    let written = Written::new()?;
    let mut reader = reader(&written)?;
    reader.line.hear()?;
    let reads = || {
        let mut bytes = [0; 8];
        written.journal.read(8 * WRITERS, &mut bytes);
        u64::from_ne_bytes(bytes)
    };
    // A second time, too: nothing is left of the first.
    for _ in 0..2 {
        let (run, _) = played(&written.from, FENCE, |socket| {
            believing(socket, 12, |_| {
                written.are_held()?;
                let before = reads();
                check!(
                    until(PATIENCE, || Ok(reads() > before + 1))?,
                    "the reader waits"
                );
                written.are_held()
            })
        })?;
        check_eq!(run.code, Some(5), "{}", run.err);
        let text = "connection, comparison: the other side is gone";
        check!(run.err.contains(text), "{}", run.err);
        written.get_on()?;
        logs_nothing(&written.from)?;
        check_eq!(written.from.list()?.len(), written.handles.len());
    }
    reader.kill()?;
    written.end()
}

/// Plays a receiver that is gone after it was sent a frame of this type.
fn beside(written: &Written, last: u32, then: impl FnOnce(&Beside) -> Outcome) -> Outcome<Beside> {
    let (address, path) = address();
    let listener = UnixListener::bind(&path)?;
    let sender = Beside::start(&written.from, &format!("migrate send {address} {FENCE}"))?;
    keep(&written.from)?;
    let (socket, _) = listener.accept()?;
    believing(socket, last, |_| then(&sender))?;
    fs::remove_file(path)?;
    Ok(sender)
}

fn a_fence_goes_with_a_sender_that_is_killed() -> Outcome {
    let written = Written::new()?;
    let sender = beside(&written, 12, |sender| {
        written.are_held()?;
        sender.signal(Signal::SIGKILL)
    })?;
    check_eq!(sender.end()?.code, None);
    written.get_on()?;
    for handle in &written.handles {
        // The logs stay on, as without a fence.
        check_eq!(written.from.log_info(*handle)?.fences, 0);
        written.from.log_stop(*handle)?;
    }
    written.end()
}

fn a_fence_stays_while_it_is_not_known_who_has_the_objects() -> Outcome {
    let written = Written::new()?;
    let mut sender = beside(&written, 15, |_| Ok(()))?;
    sender.says("The writers are held back while process ")?;
    written.are_held()?;
    for handle in &written.handles {
        check_eq!(written.from.log_info(*handle)?.fences, 1);
    }
    sender.signal(Signal::SIGTERM)?;
    let run = sender.end()?;
    check_eq!(run.code, Some(6), "{}", run.err);
    check!(
        run.err.contains("since the signal their writers run on"),
        "{}",
        run.err
    );
    written.get_on()?;
    logs_nothing(&written.from)?;
    written.end()
}
