// SPDX-License-Identifier: GPL-2.0-or-later

//! Ends of a migration that are not good, at a moment that is chosen: this process carries every byte between two
//! `reevectl migrate`, and holds back the frame at which it happens.

use std::fs;
use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::process;
use std::time::Duration;
use std::time::Instant;

use nix::poll::poll;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::sys::signal::kill;
use nix::sys::signal::Signal;

use reeve_precopy::wire::Frame;
use reeve_precopy::wire::HEADER;
use reeve_precopy::wire::HELLO;
use reeve_uapi::knobs;
use reeve_uapi::sys;
use reeve_uapi::sys::reeve_stats;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use super::migrate::logs_nothing;
use super::precopy::needs_log;
use super::precopy::objects;
use super::precopy::writer;
use super::reevectl::reevectl;
use crate::beside::inherit;
use crate::beside::keep;
use crate::beside::Beside;
use crate::beside::Run;
use crate::process::Child;
use crate::runner::scale;
use crate::seen::open;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;
use crate::test::Stop;

cases!("migrate";
    a_receiver_is_killed_in_round_2,
    a_receiver_is_killed_before_the_hand_over,
    a_receiver_is_killed_before_it_acknowledges,
    a_receiver_stops_in_round_2,
    a_link_is_dead_in_round_2,
    a_signal_cancels_in_the_last_round,
    a_sender_that_is_killed_leaves_logs_and_writers_as_they_are,
    a_receiver_is_out_of_memory,
);

/// One side's bytes, taken apart into frames.
#[derive(Default)]
struct Parted {
    bytes: Vec<u8>,
    begun: bool,
}

impl Parted {
    /// Returns the next whole frame: its type, 0 for the first words, and its bytes.
    fn next(&mut self) -> Option<(u32, Vec<u8>)> {
        let word = |at: usize| {
            let bytes = self.bytes.get(at..at + 4)?;
            Some(u32::from_le_bytes(bytes.try_into().ok()?))
        };
        let (code, length) = if self.begun {
            (word(0)?, HEADER + word(4)? as usize)
        } else {
            (0, HELLO)
        };
        if self.bytes.len() < length {
            return None;
        }
        self.begun = true;
        let rest = self.bytes.split_off(length);
        Some((code, std::mem::replace(&mut self.bytes, rest)))
    }
}

/// The connection between a sender and a receiver, through this process.
pub(super) struct Carried {
    sender: (UnixStream, Parted),
    receiver: (UnixStream, Parted),
    /// The round that the sender is in.
    round: u32,
}

/// Where the sender connects to.
pub(super) struct Near {
    listener: UnixListener,
    path: String,
}

impl Near {
    /// Carries what comes there to the receiver that listens at `far`, in this round.
    pub(super) fn carry(&self, far: &str, round: u32) -> Outcome<Carried> {
        let near = self.listener.accept()?.0;
        let far = UnixStream::connect(far)?;
        Ok(Carried {
            sender: (near, Parted::default()),
            receiver: (far, Parted::default()),
            round,
        })
    }
}

impl Drop for Near {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Carried {
    /// Returns the round that it came to.
    pub(super) fn round(&self) -> u32 {
        self.round
    }

    /// Carries frames until `held` says of one from the sender that it is not to arrive.
    pub(super) fn until(&mut self, mut held: impl FnMut(u32, u32) -> Outcome<bool>) -> Outcome {
        loop {
            let mut fds = [&self.sender.0, &self.receiver.0]
                .map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN));
            poll(&mut fds, PollTimeout::NONE)?;
            let [ready, answered] = fds.map(|fd| fd.any() == Some(true));
            if answered {
                let frames = read(&mut self.receiver)?;
                for (_, frame) in frames {
                    self.sender.0.write_all(&frame)?;
                }
            }
            if ready {
                for (code, frame) in read(&mut self.sender)? {
                    if held(code, self.round)? {
                        return Ok(());
                    }
                    if code == Frame::Round(0).code() {
                        self.round += 1;
                    }
                    self.receiver.0.write_all(&frame)?;
                }
            }
        }
    }
}

/// Reads what is there. Returns the frames that are whole.
fn read((socket, parted): &mut (UnixStream, Parted)) -> Outcome<Vec<(u32, Vec<u8>)>> {
    let mut bytes = [0; 1 << 16];
    match socket.read(&mut bytes) {
        Ok(0) => return Err(Stop::failed("one side has ended")),
        Ok(count) => parted.bytes.extend_from_slice(&bytes[..count]),
        Err(err) if err.kind() == ErrorKind::Interrupted => {}
        Err(err) => return Err(err.into()),
    }
    Ok(std::iter::from_fn(|| parted.next()).collect())
}

/// A migration that is under way.
pub(super) struct Way {
    pub(super) from: Device,
    pub(super) handles: Vec<Handle>,
    pub(super) before: reeve_stats,
    pub(super) child: Child,
    pub(super) sender: Beside,
    pub(super) receiver: Beside,
    /// The receiver's open file.
    pub(super) to: Device,
    pub(super) near: Near,
    /// Where the receiver listens.
    pub(super) far: String,
    pub(super) carried: Carried,
}

/// Objects, a process that writes to them, and both commands, with a connection through this process.
pub(super) fn begun(sender: &str, receiver: &str, limit: Option<u64>) -> Outcome<Way> {
    let from = open()?;
    needs_log(&from)?;
    let handles = objects(&from)?;
    let mut child = writer(&from, &handles)?;
    child.line.hear()?;
    let before = from.stats()?;
    let path = |side: &str| format!("/tmp/reeve-{side}-{}", process::id());
    let (path, far) = (path("near"), path("far"));
    for path in [&path, &far] {
        let _ = fs::remove_file(path);
    }
    let near = Near {
        listener: UnixListener::bind(&path)?,
        path,
    };
    let to = open()?;
    if let Some(pages) = limit {
        to.set_file_limit(pages)?;
    }
    let receiver = Beside::receiver(&to, &format!("unix:{far}"), receiver)?;
    keep(&to)?;
    let args = format!(
        "migrate send unix:{} --writer {} {sender}",
        near.path,
        child.pid()
    );
    let sender = Beside::start(&from, &args)?;
    keep(&from)?;
    let carried = near.carry(&far, 1)?;
    Ok(Way {
        from,
        handles,
        before,
        child,
        sender,
        receiver,
        to,
        near,
        far,
        carried,
    })
}

/// The same, with an open file that only the receiver has.
fn under_way(sender: &str, receiver: &str, limit: Option<u64>) -> Outcome<Way> {
    let way = begun(sender, receiver, limit)?;
    let other = open()?;
    Ok(Way { to: other, ..way })
}

/// How the sender is to have ended.
pub(super) struct End {
    pub(super) code: i32,
    pub(super) text: &'static str,
}

/// The sender ended like this. The writer goes on, no log is on, nothing is left of the receiver's, and a second
/// migration succeeds.
pub(super) fn as_before(
    from: &Device,
    handles: &[Handle],
    before: &reeve_stats,
    child: Child,
    run: &Run,
    end: &End,
) -> Outcome {
    check_eq!(run.code, Some(end.code), "{}", run.err);
    check!(run.err.contains(end.text), "{}", run.err);
    logs_nothing(from)?;
    check!(child.is_going()?, "the writer does not run");
    check_eq!(from.list()?.len(), handles.len());
    let now = from.stats()?;
    check_eq!(now.buffer_objects, before.buffer_objects);
    let to = open()?;
    let address = format!("unix:/tmp/reeve-second-{}", process::id());
    // A busy machine takes its time to compare.
    let receiver = Beside::receiver(&to, &address, "--silence 60")?;
    let args = format!(
        "migrate send {address} --writer {} --time-limit 1 --at-limit force --silence 60",
        child.pid()
    );
    let sender = Beside::start(from, &args)?;
    keep(from)?;
    let run = sender.end()?;
    check_eq!((run.code, run.err.as_str()), (Some(0), ""));
    let received = receiver.end()?;
    check_eq!(received.code, Some(0), "{}", received.err);
    check_eq!((from.list()?.len(), to.list()?.len()), (0, handles.len()));
    check!(child.is_stopped()?, "the writer runs on");
    child.kill()
}

/// Is it a page, in round 2?
pub(super) fn page_of_round_2(code: u32, round: u32) -> Outcome<bool> {
    let page = Frame::Pages {
        region: 0,
        first: 0,
        bytes: &[],
    };
    Ok(round == 2 && code == page.code())
}

/// A sender that does not take the second round for the last one.
const ROUNDS: &str = "--downtime 0 --silence 2";

fn a_receiver_is_killed_in_round_2() -> Outcome {
    let mut way = under_way(ROUNDS, "", None)?;
    way.carried.until(page_of_round_2)?;
    way.receiver.signal(Signal::SIGKILL)?;
    check_eq!(way.receiver.end()?.code, None);
    drop(way.carried);
    let run = way.sender.end()?;
    let end = End {
        code: 5,
        text: "connection, round 2: the other side is gone",
    };
    as_before(&way.from, &way.handles, &way.before, way.child, &run, &end)
}

/// A sender that stops the writers after a second.
const FORCED: &str = "--time-limit 1 --at-limit force";

fn a_receiver_is_killed_before_the_hand_over() -> Outcome {
    let mut way = under_way(FORCED, "", None)?;
    // All pages were sent, and their checksums.
    way.carried
        .until(|code, _| Ok(code == Frame::Compare.code()))?;
    check!(way.child.is_stopped()?);
    way.receiver.signal(Signal::SIGKILL)?;
    check_eq!(way.receiver.end()?.code, None);
    drop(way.carried);
    let run = way.sender.end()?;
    let end = End {
        code: 5,
        text: "connection, comparison: the other side is gone",
    };
    as_before(&way.from, &way.handles, &way.before, way.child, &run, &end)
}

fn a_receiver_is_killed_before_it_acknowledges() -> Outcome {
    let mut way = under_way(FORCED, "", None)?;
    way.carried
        .until(|code, _| Ok(code == Frame::HandOver.code()))?;
    way.receiver.signal(Signal::SIGKILL)?;
    check_eq!(way.receiver.end()?.code, None);
    drop(way.carried);
    let run = way.sender.end()?;
    // The sender cannot know; here it is known, so the writer may run on.
    check!(run.err.contains("whole here"), "{}", run.err);
    check!(way.child.is_stopped()?, "the writer runs on");
    kill(way.child.pid(), Signal::SIGCONT)?;
    let end = End {
        code: 6,
        text: "connection, hand-over: no acknowledgement came: the other side is gone",
    };
    as_before(&way.from, &way.handles, &way.before, way.child, &run, &end)
}

/// How long a dead link may go unnoticed.
const NOTICED: Duration = Duration::from_secs(10);

fn a_receiver_stops_in_round_2() -> Outcome {
    let mut way = under_way(ROUNDS, "", None)?;
    way.carried.until(page_of_round_2)?;
    way.receiver.signal(Signal::SIGSTOP)?;
    let begin = Instant::now();
    let run = way.sender.end()?;
    check!(
        begin.elapsed() < NOTICED.mul_f64(scale()),
        "{:?}",
        begin.elapsed()
    );
    drop(way.carried);
    way.receiver.signal(Signal::SIGCONT)?;
    let received = way.receiver.end()?;
    check_eq!(received.code, Some(5), "{}", received.err);
    let end = End {
        code: 5,
        text: "connection, round 2: the other side is silent",
    };
    as_before(&way.from, &way.handles, &way.before, way.child, &run, &end)
}

fn a_link_is_dead_in_round_2() -> Outcome {
    let mut way = under_way(ROUNDS, "--silence 2", None)?;
    way.carried.until(page_of_round_2)?;
    // Nothing is carried any more, and nothing is closed.
    let begin = Instant::now();
    let run = way.sender.end()?;
    let received = way.receiver.end()?;
    check!(
        begin.elapsed() < NOTICED.mul_f64(scale()),
        "{:?}",
        begin.elapsed()
    );
    check_eq!(received.code, Some(5), "{}", received.err);
    let text = "connection, round 2: the other side is silent";
    check!(received.err.contains(text), "{}", received.err);
    drop(way.carried);
    let end = End { code: 5, text };
    as_before(&way.from, &way.handles, &way.before, way.child, &run, &end)
}

fn a_signal_cancels_in_the_last_round() -> Outcome {
    let mut way = under_way(FORCED, "", None)?;
    let child = &way.child;
    // The end of a round that began with the writer stopped.
    way.carried
        .until(|code, _| Ok(code == Frame::Round(0).code() && child.is_stopped()?))?;
    way.sender.signal(Signal::SIGINT)?;
    let run = way.sender.end()?;
    check!(run.err.contains(", the last: cancelled"), "{}", run.err);
    drop(way.carried);
    let received = way.receiver.end()?;
    check!(matches!(received.code, Some(4 | 5)), "{}", received.err);
    let end = End {
        code: 3,
        text: "connection, round ",
    };
    as_before(&way.from, &way.handles, &way.before, way.child, &run, &end)
}

fn a_sender_that_is_killed_leaves_logs_and_writers_as_they_are() -> Outcome {
    let mut way = under_way(FORCED, "", None)?;
    way.carried
        .until(|code, _| Ok(code == Frame::Compare.code()))?;
    way.sender.signal(Signal::SIGKILL)?;
    check_eq!(way.sender.end()?.code, None);
    drop(way.carried);
    let received = way.receiver.end()?;
    check_eq!(received.code, Some(5), "{}", received.err);
    check_eq!(way.from.stats()?.buffer_objects, way.before.buffer_objects);
    check!(way.child.is_stopped()?, "the writer runs");
    for info in way.from.list()? {
        check!(info.is(sys::REEVE_BO_LOGGING), "object {}", info.handle);
    }
    // What can be done by hand is all that is needed.
    let fd = inherit(&way.from)?;
    for handle in &way.handles {
        let run = reevectl(&format!("--fd {fd} bo log stop {handle}"))?;
        check_eq!(run.code, Some(0), "{}", run.err);
    }
    keep(&way.from)?;
    kill(way.child.pid(), Signal::SIGCONT)?;
    let run = received;
    let end = End {
        code: 5,
        text: "connection, comparison: the other side is gone",
    };
    as_before(&way.from, &way.handles, &way.before, way.child, &run, &end)
}

fn a_receiver_is_out_of_memory() -> Outcome {
    needs_log(&open()?)?;
    knobs::set_parameter("hard_limit", "1")?;
    let mut way = under_way("", "", Some(100))?;
    // The first object has 130 pages. The refusal ends the connection.
    let stop = way.carried.until(|_, _| Ok(false));
    check!(stop.is_err());
    drop(way.carried);
    let run = way.sender.end()?;
    let received = way.receiver.end()?;
    check_eq!(received.code, Some(1), "{}", received.err);
    knobs::set_parameter("hard_limit", "0")?;
    check!(run.err.contains("os error 12"), "{}", run.err);
    let end = End {
        code: 4,
        text: "receiver, round 1: refused: could not write object ",
    };
    as_before(&way.from, &way.handles, &way.before, way.child, &run, &end)
}
