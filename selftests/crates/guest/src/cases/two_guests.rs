// SPDX-License-Identifier: GPL-2.0-or-later

//! Objects move from this guest to another one, with a module of its own, over a network that only these two have.
//!
//! The other guest runs `reeve-guest-tests --other IP:PORT`; `REEVE_OTHER` says where, `REEVE_HERE` has this guest's IP.

use std::time::Duration;
use std::time::Instant;

use serde_json::json;
use serde_json::Value;

use reeve_uapi::pattern::mix;
use reeve_uapi::pattern::Pattern;
use reeve_uapi::sys;
use reeve_uapi::sys::reeve_bo_info;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;
use reeve_uapi::Mapping;

use super::migrate::logs_nothing;
use super::precopy::objects;
use crate::beside::keep;
use crate::beside::Beside;
use crate::beside::Run;
use crate::content::filled;
use crate::content::holds;
use crate::other;
use crate::other::Other;
use crate::process::Child;
use crate::runner::scale;
use crate::seen::open;
use crate::seen::until;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;
use crate::test::Stop;

cases!("migrate";
    two_guests,
    two_guests_without_a_receiver,
    two_guests_whose_receiver_is_full,
    two_guests_whose_link_is_dead,
    two_guests_whose_link_comes_back,
    two_guests_keep_nothing,
);

/// The port of a receiver.
const PORT: u16 = 7001;

/// How long to wait for a thing that happens soon.
const SOON: Duration = Duration::from_secs(60);

/// How long a dead link may go unnoticed.
const NOTICED: Duration = Duration::from_secs(10);

/// Processes that write to the objects.
const WRITERS: u64 = 2;

/// The objects that they write to: all but the one that is swapped out.
const WRITTEN: usize = 3;

/// A page that only this process and the writers have, with how far each is.
struct Counts {
    _device: Device,
    mapping: Mapping,
}

impl Counts {
    fn new() -> Outcome<Self> {
        let device = open()?;
        let handle = device.create(Create::new(PAGE))?;
        let mapping = device.map(handle)?;
        mapping.touch();
        Ok(Self {
            _device: device,
            mapping,
        })
    }

    fn of(&self, writer: u64) -> u64 {
        let mut word = [0; 8];
        self.mapping.read(8 * writer as usize, &mut word);
        u64::from_le_bytes(word)
    }
}

/// Where the writer's `count`-th value goes: which object, and at which offset.
fn place(writer: u64, count: u64, sizes: &[u64]) -> (usize, u64) {
    let object = count % sizes.len() as u64;
    let pages = sizes[object as usize].div_ceil(PAGE);
    // Some pages again and again, and every other one now and then.
    let turn = count / sizes.len() as u64;
    let page = if turn % 8 == 0 { turn / 8 } else { turn % 5 } % pages;
    (object as usize, page * PAGE + 8 * (writer + 1))
}

/// A value that no other writer and no other write has.
fn value(writer: u64, count: u64) -> u64 {
    mix(writer << 48 | count)
}

/// Writes values for ever, and counts them. So what is in the objects in the end can be computed.
fn writer(writer: u64, counts: &Counts, mappings: &[Mapping]) -> Outcome<Child> {
    Child::run(|line| {
        let written = &mappings[..WRITTEN];
        let sizes: Vec<u64> = written.iter().map(|mapping| mapping.len() as u64).collect();
        for count in 1_u64.. {
            let (object, offset) = place(writer, count, &sizes);
            let bytes = value(writer, count).to_le_bytes();
            mappings[object].write(offset as usize, &bytes);
            let at = 8 * writer as usize;
            counts.mapping.write(at, &count.to_le_bytes());
            if count == 1 {
                line.say(0)?;
            }
        }
        Ok(())
    })
}

/// What is there between this guest and the other one.
struct World {
    other: Other,
    here: Value,
    there: Value,
}

impl World {
    fn new() -> Outcome<Self> {
        let mut other = Other::call()?;
        other.ask(json!({ "do": "open" }))?;
        let there = other.ask(json!({ "do": "gauges" }))?;
        check_eq!(there["self_check"], "ok");
        Ok(Self {
            other,
            here: other::gauges(&open()?)?,
            there,
        })
    }

    /// The other guest listens. Returns where.
    fn receive(&mut self, args: &str) -> Outcome<String> {
        let address = self.other.port(PORT);
        self.other
            .ask(json!({ "do": "receive", "address": address, "args": args }))?;
        Ok(address)
    }

    /// Waits for the end of what runs there.
    fn ended(&mut self) -> Outcome<Run> {
        let run = self.other.ask(json!({ "do": "end" }))?;
        let text = |field: &str| run[field].as_str().unwrap_or_default().to_owned();
        Ok(Run {
            code: run["code"].as_i64().map(|code| code as i32),
            out: text("out"),
            err: text("err"),
        })
    }

    /// The other guest has nothing more than at first.
    fn nothing_there(&mut self) -> Outcome {
        let objects = self.other.ask(json!({ "do": "objects" }))?;
        check_eq!(objects, json!([]));
        let now = self.other.ask(json!({ "do": "gauges" }))?;
        check_eq!(now, self.there);
        Ok(())
    }

    /// Both guests have nothing more than at first, once the caller has closed what is its own.
    fn nothing_anywhere(&mut self) -> Outcome {
        let device = open()?;
        let mut now = Value::Null;
        until(SOON, || {
            now = other::gauges(&device)?;
            Ok(now == self.here)
        })?;
        check_eq!(now, self.here);
        self.other.ask(json!({ "do": "open" }))?;
        self.nothing_there()
    }

    /// Fails unless the source is as it was before a migration that failed: a second one succeeds.
    fn second_attempt(&mut self, from: &Device) -> Outcome {
        logs_nothing(from)?;
        let count = from.list()?.len();
        let address = self.receive("")?;
        let run = sent(from, &address)?;
        check_eq!((run.code, run.err.as_str()), (Some(0), ""));
        let received = self.ended()?;
        check_eq!(received.code, Some(0), "{}", received.err);
        check!(from.list()?.is_empty());
        let there = self.other.ask(json!({ "do": "objects" }))?;
        check_eq!(there.as_array().map(Vec::len), Some(count));
        Ok(())
    }
}

/// Sends everything of this open file. Returns the run.
fn sent(device: &Device, args: &str) -> Outcome<Run> {
    let sender = Beside::start(device, &format!("migrate send {args}"))?;
    keep(device)?;
    sender.end()
}

/// What `objects` of a guest says of these, without handles.
fn described(infos: &[reeve_bo_info], contents: &[Vec<u8>]) -> Vec<Value> {
    let of = |(info, content): (&reeve_bo_info, &Vec<u8>)| {
        json!({
            "size": info.size,
            "type": info.type_,
            "caching": info.caching,
            "shmem": info.is(sys::REEVE_BO_SHMEM),
            "logging": false,
            "sums": other::sums(content),
        })
    };
    infos.iter().zip(contents).map(of).collect()
}

/// The same as said by a guest, without the handles.
fn without_handles(objects: &Value) -> Vec<Value> {
    let mut all = objects.as_array().cloned().unwrap_or_default();
    for object in &mut all {
        if let Some(fields) = object.as_object_mut() {
            fields.remove("handle");
        }
    }
    all
}

fn two_guests() -> Outcome {
    let mut world = World::new()?;
    let from = open()?;
    let handles = objects(&from)?;
    let infos = from.list()?;
    let map = |handle: &Handle| from.map(*handle);
    let mappings = handles[..WRITTEN]
        .iter()
        .map(map)
        .collect::<Result<Vec<_>, _>>()?;
    let counts = Counts::new()?;
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let mut child = writer(number, &counts, &mappings)?;
        child.line.hear()?;
        writers.push(child);
    }
    let address = world.receive("")?;
    let pids: String = writers
        .iter()
        .map(|child| format!(" --writer {}", child.pid()))
        .collect();
    let run = sent(
        &from,
        &format!("{address}{pids} --bandwidth 2M --time-limit 2 --at-limit force --json"),
    )?;
    let received = world.ended()?;
    check_eq!((run.code, run.err.as_str()), (Some(0), ""));
    check_eq!((received.code, received.err.as_str()), (Some(0), ""));
    let statistics: Value =
        serde_json::from_str(&run.out).map_err(|err| Stop::failed(err.to_string()))?;
    check_eq!(statistics["first_sync_skipped"], true);
    let pages = |round: &Value| round["pages"].as_u64().unwrap_or_default();
    let rounds = statistics["rounds"].as_array().cloned().unwrap_or_default();
    let sent_pages: u64 = rounds.iter().map(pages).sum();
    check!(rounds.len() > 1 && sent_pages > 364, "{statistics}");

    // What was there at first, and on top of it what each writer wrote until it was stopped.
    check!(from.list()?.is_empty());
    let there = world.other.ask(json!({ "do": "objects" }))?;
    let sizes: Vec<u64> = mappings
        .iter()
        .map(|mapping| mapping.len() as u64)
        .collect();
    let mut contents = Vec::new();
    for (info, seed) in infos.iter().zip(1..) {
        let mut content = Pattern::new(seed).bytes(info.size as usize);
        content.resize(info.size.next_multiple_of(PAGE) as usize, 0);
        contents.push(content);
    }
    for number in 0..WRITERS {
        let mut last = counts.of(number);
        check!(last > 0);
        // It may have been stopped between a write and its count.
        let (object, offset) = place(number, last + 1, &sizes);
        let handle = &there[object]["handle"];
        let word = json!({ "do": "word", "handle": handle, "offset": offset });
        if world.other.ask(word)? == json!(value(number, last + 1)) {
            last += 1;
        }
        for count in 1..=last {
            let (object, offset) = place(number, count, &sizes);
            let bytes = value(number, count).to_le_bytes();
            contents[object][offset as usize..][..8].copy_from_slice(&bytes);
        }
    }
    check_eq!(without_handles(&there), described(&infos, &contents));
    for child in writers {
        check!(child.is_running()?);
        child.kill()?;
    }
    // Back, without writes: the other guest sends, this one receives.
    let to = open()?;
    let here = std::env::var("REEVE_HERE").map_err(|err| Stop::failed(err.to_string()))?;
    let back = format!("tcp:{here}:{PORT}");
    let receiver = Beside::receiver(&to, &back, "")?;
    keep(&to)?;
    world
        .other
        .ask(json!({ "do": "send", "address": back, "args": "--json" }))?;
    let received = receiver.end()?;
    let run = world.ended()?;
    check_eq!((run.code, run.err.as_str()), (Some(0), ""));
    check_eq!((received.code, received.err.as_str()), (Some(0), ""));
    let statistics: Value =
        serde_json::from_str(&run.out).map_err(|err| Stop::failed(err.to_string()))?;
    check_eq!(statistics["rounds"][1]["pages"], 0, "nothing was written");
    let back = without_handles(&other::objects(&to)?);
    check_eq!(back, described(&infos, &contents));
    world.nothing_there()?;
    drop((mappings, counts, from, to));
    world.nothing_anywhere()
}

/// A writer and its objects; a sender that is in its second round.
fn in_round_2(
    world: &mut World,
    from: &Device,
    args: &str,
    receiver: &str,
) -> Outcome<(Child, Beside)> {
    let handle = filled(from, Create::new(100 * PAGE), 1)?;
    let mapping = from.map(handle)?;
    let mut child = Child::run(|line| {
        for count in 1_u64.. {
            let page = (count % 90) as usize;
            mapping.write(page * PAGE as usize, &count.to_le_bytes());
            if count == 100 {
                line.say(0)?;
            }
        }
        Ok(())
    })?;
    child.line.hear()?;
    drop(mapping);
    let address = world.receive(receiver)?;
    let pid = child.pid();
    let args =
        format!("migrate send {address} --writer {pid} --bandwidth 200K --downtime 1 {args}");
    let mut sender = Beside::start(from, &format!("{args} --progress"))?;
    keep(from)?;
    sender.says("round 2: ")?;
    Ok((child, sender))
}

/// The sender failed like this; the writer runs, and nothing is left anywhere.
fn failed(
    world: &mut World,
    from: Device,
    child: Child,
    run: &Run,
    (code, text): (i32, &str),
) -> Outcome {
    check_eq!(run.code, Some(code), "{}", run.err);
    check!(run.err.contains(text), "{}", run.err);
    check!(child.is_going()?, "the writer does not run");
    child.kill()?;
    world.second_attempt(&from)?;
    drop(from);
    world.nothing_anywhere()
}

fn two_guests_without_a_receiver() -> Outcome {
    let mut world = World::new()?;
    let from = open()?;
    let (child, sender) = in_round_2(&mut world, &from, "", "")?;
    world.other.ask(json!({ "do": "kill" }))?;
    let run = sender.end()?;
    check_eq!(world.ended()?.code, None);
    // What it had made is in the open file that the other guest keeps for it.
    world.other.ask(json!({ "do": "open" }))?;
    world.nothing_there()?;
    let end = (5, "connection, round 2: the other side is gone");
    failed(&mut world, from, child, &run, end)
}

fn two_guests_whose_receiver_is_full() -> Outcome {
    let mut world = World::new()?;
    let from = open()?;
    for seed in 1..4 {
        filled(&from, Create::new(50 * PAGE), seed)?;
    }
    let address = world.receive("--max-size 500K")?;
    let run = sent(&from, &address)?;
    check_eq!(run.code, Some(4), "{}", run.err);
    for text in [
        "receiver, setup: refused: ",
        "at most 512000 bytes are taken",
    ] {
        check!(run.err.contains(text), "{}", run.err);
    }
    check_eq!(world.ended()?.code, Some(4));
    world.nothing_there()?;
    for (info, seed) in from.list()?.iter().zip(1..) {
        holds(&from, info.handle(), seed)?;
    }
    world.second_attempt(&from)?;
    drop(from);
    world.nothing_anywhere()
}

fn two_guests_whose_link_is_dead() -> Outcome {
    let mut world = World::new()?;
    let from = open()?;
    let (child, sender) = in_round_2(&mut world, &from, "", "")?;
    let begin = Instant::now();
    world
        .other
        .ask(json!({ "do": "link down", "seconds": 12 }))?;
    let run = sender.end()?;
    let took = begin.elapsed();
    check!(took < NOTICED.mul_f64(scale()), "{took:?}");
    world.other.call_again()?;
    let received = world.ended()?;
    check_eq!(received.code, Some(5), "{}", received.err);
    check!(
        received.err.contains("the other side is silent"),
        "{}",
        received.err
    );
    world.nothing_there()?;
    let end = (5, "connection, round 2: the other side is silent");
    failed(&mut world, from, child, &run, end)
}

fn two_guests_whose_link_comes_back() -> Outcome {
    let mut world = World::new()?;
    let from = open()?;
    let args = "--resume 60 --silence 2 --time-limit 5 --at-limit force";
    let (child, mut sender) = in_round_2(&mut world, &from, args, "--resume 60 --silence 2")?;
    let info = from.list()?;
    world
        .other
        .ask(json!({ "do": "link down", "seconds": 5 }))?;
    sender.says("; connecting again")?;
    check!(child.is_going()?, "the writer does not run");
    let run = sender.end()?;
    check_eq!(run.code, Some(0), "{}", run.err);
    world.other.call_again()?;
    let received = world.ended()?;
    check_eq!(received.code, Some(0), "{}", received.err);
    check!(child.is_stopped()?, "the writer runs on");
    let there = world.other.ask(json!({ "do": "objects" }))?;
    // The writer counts, and writes each number into the next one of 90 pages: the largest one says what is in all.
    let mut words = Vec::new();
    for page in 0..90 {
        let handle = &there[0]["handle"];
        let word = json!({ "do": "word", "handle": handle, "offset": page * PAGE });
        words.push(world.other.ask(word)?.as_u64().unwrap_or_default());
    }
    let last = words.iter().copied().max().unwrap_or_default();
    check!(last > 100, "{words:?}");
    let mut content = Pattern::new(1).bytes(100 * PAGE as usize);
    for count in last - 89..=last {
        let place = (count % 90 * PAGE) as usize;
        content[place..][..8].copy_from_slice(&count.to_le_bytes());
    }
    check_eq!(without_handles(&there), described(&info, &[content]));
    check!(from.list()?.is_empty());
    child.kill()?;
    drop(from);
    world.nothing_anywhere()
}

/// The last case: neither guest has anything of those before, and the other one ends.
fn two_guests_keep_nothing() -> Outcome {
    let mut world = World::new()?;
    for gauges in [&world.here, &world.there] {
        for none in [
            "pages_allocated",
            "buffer_objects",
            "dirty_logs",
            "lock_violations",
        ] {
            check_eq!(gauges[none], 0, "{none}");
        }
    }
    world.other.ask(json!({ "do": "leave" }))?;
    Ok(())
}
