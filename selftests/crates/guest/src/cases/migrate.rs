// SPDX-License-Identifier: GPL-2.0-or-later

//! `reevectl migrate` and `reevectl bo log`, as people and scripts use them, and the ways to end badly.

use std::fs;
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::process;
use std::time::Duration;
use std::time::Instant;

use nix::sys::signal::Signal;

use reeve_precopy::wire::Hello;
use reeve_precopy::wire::HEADER;
use reeve_precopy::wire::HELLO;
use reeve_precopy::wire::VERSION;
use reeve_uapi::sys;
use reeve_uapi::Create;
use reeve_uapi::Device;

use super::precopy::needs_log;
use super::precopy::objects;
use super::precopy::writer;
use super::reevectl::reevectl;
use crate::beside::inherit;
use crate::beside::keep;
use crate::beside::Beside;
use crate::beside::Run;
use crate::content::filled;
use crate::content::holds;
use crate::process::be_deaf;
use crate::process::Child;
use crate::seen::open;
use crate::seen::until;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;
use crate::test::Stop;

cases!("migrate";
    objects_move_between_commands,
    objects_move_while_they_are_written_to,
    a_cgroup_of_writers_is_frozen,
    a_cgroup_is_thawed_when_the_last_round_fails,
    writers_that_are_not_named_are_found_out,
    writers_that_cannot_be_stopped_end_it,
    pins_stay_behind,
    a_signal_cancels,
    a_receiver_that_dies_keeps_nothing,
    a_silent_receiver_is_noticed,
    a_receiver_of_another_version,
    garbage_is_refused,
    limits_are_kept,
    a_lost_acknowledgement_has_its_own_exit_code,
    usage_is_explained,
    logs_on_the_command_line,
);

/// A place for a socket that no other case has.
pub(super) fn address() -> (String, String) {
    let path = format!("/tmp/reeve-migrate-{}", process::id());
    let _ = fs::remove_file(&path);
    (format!("unix:{path}"), path)
}

/// Sends everything of this open file. Returns the run.
pub(super) fn sent(device: &Device, args: &str) -> Outcome<Run> {
    let fd = inherit(device)?;
    let run = reevectl(&format!("--fd {fd} migrate send {args}"))?;
    keep(device)?;
    Ok(run)
}

/// Fails unless no object logs.
pub(super) fn logs_nothing(device: &Device) -> Outcome {
    for info in device.list()? {
        check!(!info.is(sys::REEVE_BO_LOGGING), "object {}", info.handle);
    }
    Ok(())
}

/// Moves everything to a receiver that is well, and checks the patterns.
pub(super) fn succeeds(from: &Device) -> Outcome {
    let to = open()?;
    let (address, _) = address();
    let count = from.list()?.len();
    let receiver = Beside::receiver(&to, &address, "")?;
    let run = sent(from, &address)?;
    check_eq!((run.code, run.err.as_str()), (Some(0), ""));
    let received = receiver.end()?;
    check_eq!(received.code, Some(0), "{}", received.err);
    check!(from.list()?.is_empty());
    check_eq!(to.list()?.len(), count);
    for (info, seed) in to.list()?.iter().zip(1..) {
        holds(&to, info.handle(), seed)?;
    }
    Ok(())
}

fn objects_move_between_commands() -> Outcome {
    let (from, to) = (open()?, open()?);
    needs_log(&from)?;
    objects(&from)?;
    from.create(Create::new(50 * PAGE))?;
    let (address, path) = address();
    let receiver = Beside::receiver(&to, &address, "")?;
    let run = sent(&from, &address)?;
    check_eq!((run.code, run.err.as_str()), (Some(0), ""));
    let received = receiver.end()?;
    check_eq!((received.code, received.err.as_str()), (Some(0), ""));
    check!(
        run.out.starts_with("5 objects (414 pages) moved in "),
        "{}",
        run.out
    );
    check!(
        received.out.contains("5 objects (414 pages) in 2 rounds"),
        "{}",
        received.out
    );
    check!(fs::metadata(path).is_err(), "the socket is left over");
    check!(from.list()?.is_empty());
    let there = to.list()?;
    check_eq!(there.len(), 5);
    for (info, seed) in there.iter().zip(1..5) {
        holds(&to, info.handle(), seed)?;
    }
    check_eq!(there[4].pages_resident, 0);
    logs_nothing(&to)?;
    // And on, to a third file.
    to.destroy(there[4].handle())?;
    succeeds(&to)
}

/// Sender and receiver both ended with 0.
pub(super) fn ended_well(sent: &Run, received: &Run) -> Outcome {
    let codes = (sent.code, received.code);
    check_eq!(codes, (Some(0), Some(0)), "{}{}", sent.err, received.err);
    Ok(())
}

fn objects_move_while_they_are_written_to() -> Outcome {
    let (from, to) = (open()?, open()?);
    needs_log(&from)?;
    let handles = objects(&from)?;
    let mut child = writer(&from, &handles)?;
    child.line.hear()?;
    let (address, _) = address();
    let receiver = Beside::receiver(&to, &address, "")?;
    let run = sent(
        &from,
        &format!(
            "{address} --writer {} --time-limit 1 --at-limit force --bandwidth 4M --json --progress",
            child.pid()
        ),
    )?;
    let received = receiver.end()?;
    ended_well(&run, &received)?;
    check!(run.err.starts_with("round 1: "), "{}", run.err);
    let statistics: serde_json::Value =
        serde_json::from_str(&run.out).map_err(|err| Stop::failed(err.to_string()))?;
    check_eq!(statistics["moved"], true);
    check_eq!(statistics["first_sync_skipped"], true);
    check!(from.list()?.is_empty());
    check_eq!(to.list()?.len(), 4);
    check!(child.is_running()?);
    child.kill()
}

/// A control group that is removed at the end.
struct Group(String);

impl Group {
    fn new() -> Outcome<Self> {
        let path = format!("/sys/fs/cgroup/reeve-migrate-{}", process::id());
        fs::create_dir(&path).map_err(|err| Stop::skipped(format!("no cgroup: {err}")))?;
        Ok(Self(path))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Those in it were killed, and are gone soon.
        let _ = until(Duration::from_secs(20), || {
            Ok(fs::remove_dir(&self.0).is_ok())
        });
    }
}

fn a_cgroup_of_writers_is_frozen() -> Outcome {
    let (from, to) = (open()?, open()?);
    needs_log(&from)?;
    let handles = objects(&from)?;
    let group = Group::new()?;
    let mut children = [writer(&from, &handles)?, writer(&from, &handles)?];
    for child in &mut children {
        child.line.hear()?;
        fs::write(format!("{}/cgroup.procs", group.0), child.pid().to_string())?;
    }
    let (address, _) = address();
    let receiver = Beside::receiver(&to, &address, "")?;
    let args = format!(
        "{address} --cgroup {} --time-limit 1 --at-limit force",
        group.0
    );
    let run = sent(&from, &args)?;
    let received = receiver.end()?;
    ended_well(&run, &received)?;
    let events = fs::read_to_string(format!("{}/cgroup.events", group.0))?;
    check!(events.contains("frozen 1"), "{events}");
    check_eq!((from.list()?.len(), to.list()?.len()), (0, 4));
    for child in children {
        child.kill()?;
    }
    Ok(())
}

fn a_cgroup_is_thawed_when_the_last_round_fails() -> Outcome {
    let from = open()?;
    needs_log(&from)?;
    let handles = objects(&from)?;
    let group = Group::new()?;
    let mut child = writer(&from, &handles)?;
    child.line.hear()?;
    fs::write(format!("{}/cgroup.procs", group.0), child.pid().to_string())?;
    let events = || fs::read_to_string(format!("{}/cgroup.events", group.0));
    let args = format!("--cgroup {} --time-limit 1 --at-limit force", group.0);
    let mut frozen = String::new();
    let (run, _) = played(&from, &args, |socket| {
        believing(socket, 12, |_| {
            frozen = events()?;
            Ok(())
        })
    })?;
    check!(frozen.contains("frozen 1"), "{frozen}");
    check_eq!(run.code, Some(5), "{}", run.err);
    let text = "connection, comparison: the other side is gone";
    check!(run.err.contains(text), "{}", run.err);
    let thawed = || Ok(events()?.contains("frozen 0"));
    check!(until(Duration::from_secs(20), thawed)?, "{}", events()?);
    check!(child.is_going()?);
    logs_nothing(&from)?;
    check_eq!(from.list()?.len(), handles.len());
    child.kill()
}

fn writers_that_are_not_named_are_found_out() -> Outcome {
    let (from, to) = (open()?, open()?);
    needs_log(&from)?;
    // As many pages as take a while to compare.
    let handle = filled(&from, Create::new(1000 * PAGE), 1)?;
    let mapping = from.map(handle)?;
    let mut child = Child::run(|line| {
        for count in 1_u64.. {
            let page = count % 1000;
            mapping.write((page * PAGE) as usize, &count.to_le_bytes());
            if count == 1000 {
                line.say(0)?;
            }
        }
        Ok(())
    })?;
    child.line.hear()?;
    let (address, _) = address();
    let receiver = Beside::receiver(&to, &address, "--silence 60")?;
    keep(&to)?;
    let run = sent(
        &from,
        &format!("{address} --time-limit 1 --at-limit force --silence 60"),
    )?;
    check_eq!(run.code, Some(4), "{}", run.err);
    let text = "receiver, comparison: page ";
    check!(run.err.contains(text), "{}", run.err);
    let text = format!(" of object {handle} differs from its copy");
    check!(run.err.contains(&text), "{}", run.err);
    let received = receiver.end()?;
    check_eq!(received.code, Some(4), "{}", received.err);
    check!(to.list()?.is_empty());
    logs_nothing(&from)?;
    check!(child.is_going()?);
    // Named, it is stopped, and there is no difference.
    let receiver = Beside::receiver(&to, &address, "--silence 60")?;
    let pid = child.pid();
    let args = format!("{address} --writer {pid} --time-limit 1 --at-limit force --silence 60");
    let run = sent(&from, &args)?;
    ended_well(&run, &receiver.end()?)?;
    check!(child.is_stopped()?);
    check_eq!((from.list()?.len(), to.list()?.len()), (0, 1));
    child.kill()
}

fn writers_that_cannot_be_stopped_end_it() -> Outcome {
    let (from, to) = (open()?, open()?);
    needs_log(&from)?;
    objects(&from)?;
    let before = from.list()?.len();
    let child = Child::run(|_| be_deaf())?;
    check!(until(Duration::from_secs(60), || child.is_deaf())?);
    let (address, _) = address();
    let receiver = Beside::receiver(&to, &address, "--silence 60")?;
    let start = Instant::now();
    let run = sent(
        &from,
        &format!("{address} --writer {} --silence 60", child.pid()),
    )?;
    check_eq!(run.code, Some(1), "{}", run.err);
    check!(start.elapsed() >= Duration::from_secs(5));
    check!(
        run.err.contains("the writers do not stop within 5 s"),
        "{}",
        run.err
    );
    check!(receiver.end()?.code != Some(0));
    check!(child.is_deaf()?);
    check_eq!((from.list()?.len(), to.list()?.len()), (before, 0));
    logs_nothing(&from)?;
    child.kill()?;
    succeeds(&from)
}

fn pins_stay_behind() -> Outcome {
    let (from, to) = (open()?, open()?);
    needs_log(&from)?;
    let handle = filled(&from, Create::new(10 * PAGE), 1)?;
    from.pin(handle)?;
    from.pin(handle)?;
    let (address, _) = address();
    let receiver = Beside::receiver(&to, &address, "")?;
    let run = sent(&from, &address)?;
    ended_well(&run, &receiver.end()?)?;
    check!(from.list()?.is_empty());
    let there = to.list()?;
    check_eq!(
        there.iter().map(|info| info.pin_count).collect::<Vec<_>>(),
        [0]
    );
    holds(&to, there[0].handle(), 1)?;
    // It can go, as one that never was pinned.
    check_eq!(to.swapout(there[0].handle())?, 10);
    Ok(())
}

/// A sender that is slow enough to be met on its way.
const SLOW: &str = "--bandwidth 200K";

fn a_signal_cancels() -> Outcome {
    let (from, to) = (open()?, open()?);
    needs_log(&from)?;
    let handles = objects(&from)?;
    let (address, _) = address();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let receiver = Beside::receiver(&to, &address, "")?;
        keep(&to)?;
        let svg = format!("/tmp/reeve-migrate-{}.svg", process::id());
        let args = format!("migrate send {address} {SLOW} --json --svg {svg}");
        let sender = Beside::start(&from, &args)?;
        keep(&from)?;
        let logs = || Ok(from.info(handles[0])?.is(sys::REEVE_BO_LOGGING));
        check!(until(Duration::from_secs(20), logs)?, "it does not begin");
        sender.signal(signal)?;
        let run = sender.end()?;
        check_eq!(run.code, Some(3), "{}", run.err);
        check!(run.err.contains("round 1: cancelled"), "{}", run.err);
        // What it did until then is told all the same.
        let json: serde_json::Value =
            serde_json::from_str(&run.out).map_err(|err| Stop::failed(err.to_string()))?;
        check_eq!(
            (&json["moved"], &json["regions"]),
            (&false.into(), &4.into())
        );
        let picture = fs::read_to_string(&svg)?;
        fs::remove_file(&svg)?;
        check!(picture.starts_with("<svg "), "{picture}");
        let received = receiver.end()?;
        check_eq!(received.code, Some(4), "{}", received.err);
        check!(
            received
                .err
                .contains("source, round 1: refused: source, round 1: cancelled"),
            "{}",
            received.err
        );
        check!(to.list()?.is_empty());
        logs_nothing(&from)?;
    }
    // A receiver that waits ends likewise.
    let receiver = Beside::receiver(&to, &address, "")?;
    receiver.signal(Signal::SIGINT)?;
    check_eq!(receiver.end()?.code, Some(3));
    succeeds(&from)
}

fn a_receiver_that_dies_keeps_nothing() -> Outcome {
    let from = open()?;
    needs_log(&from)?;
    let handles = objects(&from)?;
    let mut child = writer(&from, &handles)?;
    child.line.hear()?;
    let stats = from.stats()?;
    let (before, pages) = (stats.buffer_objects, stats.pages_allocated);
    let (address, path) = address();
    let receiver = {
        // Only the receiver has it.
        let to = open()?;
        Beside::receiver(&to, &address, "")?
    };
    let args = format!("migrate send {address} {SLOW} --writer {}", child.pid());
    let sender = Beside::start(&from, &args)?;
    keep(&from)?;
    // With objects alone the sender may not know yet that they are there.
    let came = || {
        let stats = from.stats()?;
        let objects = before + handles.len() as u64;
        Ok(stats.buffer_objects == objects && stats.pages_allocated > pages)
    };
    check!(until(Duration::from_secs(20), came)?, "it does not begin");
    receiver.signal(Signal::SIGKILL)?;
    let run = sender.end()?;
    check_eq!(run.code, Some(5), "{}", run.err);
    check!(
        run.err
            .contains("connection, round 1: the other side is gone"),
        "{}",
        run.err
    );
    check_eq!(receiver.end()?.code, None);
    check_eq!(from.stats()?.buffer_objects, before);
    logs_nothing(&from)?;
    check!(child.is_running()?);
    child.kill()?;
    check!(fs::metadata(path).is_err(), "the socket is left over");
    let to = open()?;
    let receiver = Beside::receiver(&to, &address, "")?;
    check_eq!(sent(&from, &address)?.code, Some(0));
    check_eq!(receiver.end()?.code, Some(0));
    check_eq!((from.list()?.len(), to.list()?.len()), (0, handles.len()));
    Ok(())
}

/// The other side of a connection, played by this process, of which the sender is not patient if not said otherwise.
pub(super) fn played(
    from: &Device,
    args: &str,
    play: impl FnOnce(UnixStream) -> Outcome,
) -> Outcome<(Run, Duration)> {
    let (address, path) = address();
    let listener = UnixListener::bind(&path)?;
    let start = Instant::now();
    let silence = match args.contains("--silence") {
        true => "",
        false => "--silence 2",
    };
    let sender = Beside::start(from, &format!("migrate send {address} {silence} {args}"))?;
    keep(from)?;
    let (socket, _) = listener.accept()?;
    play(socket)?;
    let run = sender.end()?;
    fs::remove_file(path)?;
    Ok((run, start.elapsed()))
}

fn hello(version: u32) -> [u8; HELLO] {
    Hello {
        version,
        ..Hello::new(PAGE as u32)
    }
    .encode()
}

fn a_silent_receiver_is_noticed() -> Outcome {
    let from = open()?;
    needs_log(&from)?;
    filled(&from, Create::new(4 << 20), 1)?;
    // One that never says anything, and one that takes nothing once it was ready: frame 2, without content.
    for ready in [false, true] {
        let mut kept = None;
        let (run, time) = played(&from, "", |mut socket| {
            if ready {
                socket.write_all(&hello(VERSION))?;
                // The sender's first bytes, and its one object.
                socket.read_exact(&mut [0; HELLO + HEADER + 32])?;
                socket.write_all(&[2, 0, 0, 0, 0, 0, 0, 0])?;
            }
            kept = Some(socket);
            Ok(())
        })?;
        drop(kept);
        check_eq!(run.code, Some(5), "{}", run.err);
        let stage = if ready { "round 1" } else { "setup" };
        let text = format!("connection, {stage}: the other side is silent");
        check!(run.err.contains(&text), "{}", run.err);
        check!(time < Duration::from_secs(10), "{time:?}");
        logs_nothing(&from)?;
    }
    succeeds(&from)
}

fn a_receiver_of_another_version() -> Outcome {
    let from = open()?;
    needs_log(&from)?;
    filled(&from, Create::new(4 << 20), 1)?;
    let (run, _) = played(&from, "", |mut socket| Ok(socket.write_all(&hello(7))?))?;
    check_eq!(run.code, Some(4), "{}", run.err);
    let text = "receiver, setup: protocol: the other side has version 7, this one 4";
    check!(run.err.contains(text), "{}", run.err);
    logs_nothing(&from)?;
    succeeds(&from)
}

fn garbage_is_refused() -> Outcome {
    let to = open()?;
    needs_log(&to)?;
    let before = to.stats()?;
    let cut = |length: usize| (hello(VERSION)[..length].to_vec(), 5);
    // Another version may have fewer of the first words.
    let other = (hello(9)[..24].to_vec(), 4);
    for (bytes, code) in [(vec![0x5a; 4096], 4), cut(20), cut(40), other] {
        let (address, path) = address();
        let receiver = Beside::receiver(&to, &address, "")?;
        let mut socket = UnixStream::connect(path)?;
        socket.write_all(&bytes)?;
        drop(socket);
        let run = receiver.end()?;
        check_eq!(run.code, Some(code), "{}", run.err);
        check!(to.list()?.is_empty());
    }
    check_eq!(to.stats()?.buffer_objects, before.buffer_objects);
    Ok(())
}

fn limits_are_kept() -> Outcome {
    let (from, to) = (open()?, open()?);
    needs_log(&from)?;
    objects(&from)?;
    let (address, _) = address();
    for (limit, text) in [
        ("--max-objects 3", "at most 3 objects are taken, not 4"),
        ("--max-size 1M", "at most 1048576 bytes are taken"),
    ] {
        let receiver = Beside::receiver(&to, &address, limit)?;
        keep(&to)?;
        let run = sent(&from, &address)?;
        check_eq!(run.code, Some(4), "{}", run.err);
        check!(
            run.err.contains("receiver, setup: refused: "),
            "{}",
            run.err
        );
        check!(run.err.contains(text), "{}", run.err);
        let received = receiver.end()?;
        check!(received.err.contains(text), "{}", received.err);
        check!(to.list()?.is_empty());
        logs_nothing(&from)?;
    }
    succeeds(&from)
}

/// Plays a receiver that believes everything, and is gone after it was sent a frame of this type.
pub(super) fn believing(
    mut socket: UnixStream,
    last: u32,
    then: impl FnOnce(&UnixStream) -> Outcome,
) -> Outcome {
    socket.write_all(&hello(VERSION))?;
    let mut first = [0; HELLO];
    socket.read_exact(&mut first)?;
    // The number of objects that it will tell of.
    let mut announced = first[16];
    loop {
        let mut header = [0; HEADER];
        socket.read_exact(&mut header)?;
        let [code, length] = [0, 4].map(|at| {
            let bytes = [header[at], header[at + 1], header[at + 2], header[at + 3]];
            u32::from_le_bytes(bytes)
        });
        let mut payload = vec![0; length as usize];
        socket.read_exact(&mut payload)?;
        if code == last {
            return then(&socket);
        }
        let mut say = |code: u32, payload: &[u8]| {
            let length = payload.len() as u32;
            socket.write_all(&[&code.to_le_bytes(), &length.to_le_bytes(), payload].concat())
        };
        match code {
            1 => {
                announced -= 1;
                if announced == 0 {
                    say(2, &[])?;
                }
            }
            7 => say(8, &payload)?,
            12 => say(13, &[])?,
            _ => {}
        }
    }
}

fn a_lost_acknowledgement_has_its_own_exit_code() -> Outcome {
    let from = open()?;
    needs_log(&from)?;
    let handle = filled(&from, Create::new(8 * PAGE), 1)?;
    let (run, _) = played(&from, "", |socket| believing(socket, 15, |_| Ok(())))?;
    check_eq!(run.code, Some(6), "{}", run.err);
    check!(
        run.err
            .contains("hand-over: no acknowledgement came: the other side is gone"),
        "{}",
        run.err
    );
    check!(
        run.err.contains("whole here and their writers stopped"),
        "{}",
        run.err
    );
    holds(&from, handle, 1)?;
    logs_nothing(&from)?;
    succeeds(&from)
}

fn usage_is_explained() -> Outcome {
    let device = open()?;
    needs_log(&device)?;
    let fd = inherit(&device)?;
    for (args, code, text) in [
        ("migrate send unix:/tmp/x".to_owned(), 2, "--fd"),
        (
            format!("--fd {fd} migrate send unix:/tmp/x 7"),
            1,
            "no object of that handle",
        ),
        (
            format!("--fd {fd} migrate send unix:/tmp/reeve-none"),
            5,
            "connection, setup",
        ),
        (
            format!("--fd {fd} migrate send unix:/tmp/x --writer 999999"),
            1,
            "find the writers",
        ),
    ] {
        let run = reevectl(&args)?;
        check_eq!(run.code, Some(code), "{args}: {}", run.err);
        check!(run.err.contains(text), "{args}: {}", run.err);
    }
    let handle = filled(&device, Create::new(PAGE), 1)?;
    device.log_start(handle)?;
    let run = sent(&device, "unix:/tmp/x")?;
    check_eq!(run.code, Some(1));
    check!(run.err.contains("is being logged already"), "{}", run.err);
    Ok(())
}

fn logs_on_the_command_line() -> Outcome {
    let device = open()?;
    needs_log(&device)?;
    let fd = inherit(&device)?;
    let run = |args: &str| reevectl(&format!("--fd {fd} bo {args}"));
    let handle = device.create(Create::new(130 * PAGE))?;
    let mapping = device.map(handle)?;
    mapping.touch();
    let expect = |args: &str, expected: &str| {
        let run = run(&format!("log {args}"))?;
        check_eq!(
            (run.code, run.out.as_str()),
            (Some(0), expected),
            "{}",
            run.err
        );
        Ok(())
    };
    expect(
        "start 1",
        "object 1 logs writes to 130 pages, mode manual\n",
    )?;
    for page in [5, 70, 71, 129] {
        mapping.write(page * PAGE as usize, &[1; 8]);
    }
    let all = "page  pages\n   5      1\n  70      2\n 129      1\n4 of 130 pages\n";
    expect("get 1", all)?;
    expect("get 1", all)?;
    expect(
        "clear 1 --first 64 --pages 64",
        "object 1: 2 pages count as not written to any more\n",
    )?;
    let json = run("log get 1 --json")?.out;
    let json: serde_json::Value =
        serde_json::from_str(&json).map_err(|err| Stop::failed(err.to_string()))?;
    check_eq!(
        (&json["dirty"], &json["runs"][1]["page"]),
        (&2.into(), &129.into())
    );
    expect(
        "clear 1",
        "object 1: 2 pages count as not written to any more\n",
    )?;
    check!(run("log info 1")?.out.contains("mode          manual"));
    let fencer = Beside::start(&device, "bo log fence 1")?;
    let fences = || -> Outcome<u64> { Ok(device.log_info(handle)?.fences) };
    check!(until(Duration::from_secs(20), || Ok(fences()? == 1))?);
    check!(run("log info 1")?.out.ends_with("fences        1\n"));
    fencer.signal(Signal::SIGINT)?;
    let fence = fencer.end()?;
    let text = "writes to object 1 wait until this ends\n";
    check_eq!(
        (fence.code, fence.out.as_str()),
        (Some(0), text),
        "{}",
        fence.err
    );
    check_eq!(fences()?, 0);
    for (args, code, text) in [
        ("log clear 1 --first 1", 1, "multiples of 64"),
        ("log clear 1 --pages 5", 1, "multiples of 64"),
        ("log clear 1 --first 640", 1, "multiples of 64"),
        ("log get 9", 1, "no such object, or it has no log"),
        ("log fence 9", 1, "no such object, or it has no log"),
    ] {
        let run = run(args)?;
        check_eq!(run.code, Some(code), "{args}");
        check!(run.err.contains(text), "{args}: {}", run.err);
    }
    expect("stop 1", "object 1 has no log of 130 pages any more\n")?;
    expect(
        "start 1 --mode initially-set",
        "object 1 logs writes to 130 pages, mode initially-set\n",
    )?;
    check!(run("log get 1")?.out.ends_with("130 of 130 pages\n"));
    check_eq!(device.log_mode()?.0, 0);
    Ok(())
}
