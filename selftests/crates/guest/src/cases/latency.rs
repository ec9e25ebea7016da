// SPDX-License-Identifier: GPL-2.0-or-later

//! The file `latency`: how often operations took how long.

use std::collections::BTreeMap;
use std::time::Instant;

use nix::errno::Errno;

use reeve_uapi::knobs;
use reeve_uapi::BoType;
use reeve_uapi::Create;

use crate::seen::open;
use crate::seen::populated;
use crate::seen::PAGE;
use crate::shortage::Swap;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::refused;
use crate::test::Outcome;
use crate::test::Stop;

cases!("latency";
    has_a_line_for_each_bucket,
    counts_each_operation_once,
    counts_what_did_something,
    counts_giving_back_from_the_pool,
    counts_shrinking_of_objects,
    times_are_microseconds,
    few_new_pages_are_not_timed,
    as_few_pages_as_asked_for,
    can_be_switched_off,
);

const OPERATIONS: [&str; 7] = [
    "populate",
    "swapout",
    "swapin",
    "backup",
    "restore",
    "bo_shrink",
    "pool_shrink",
];

/// Buckets that an operation has.
const BUCKETS: usize = 26;

/// More than are needed to be timed.
const PAGES: u64 = 100;

/// A line: the microseconds from and until, and how many.
type Bucket = (u64, Option<u64>, u64);

fn histograms() -> Outcome<BTreeMap<String, Vec<Bucket>>> {
    let text = knobs::debugfs("latency")?;
    let mut histograms: BTreeMap<String, Vec<Bucket>> = BTreeMap::new();
    for line in text.lines() {
        let wrong = || Stop::failed(format!("latency says {line:?}"));
        let number = |word: &str| word.parse::<u64>().map_err(|_| wrong());
        let words: Vec<&str> = line.split(' ').collect();
        let [operation, from, until, count] = words[..] else {
            return Err(wrong());
        };
        let until = match until {
            "-" => None,
            until => Some(number(until)?),
        };
        let bucket = (number(from)?, until, number(count)?);
        let buckets = histograms.entry(operation.to_owned()).or_default();
        buckets.push(bucket);
    }
    Ok(histograms)
}

/// How often each operation was timed so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    populate: u64,
    swapout: u64,
    swapin: u64,
    backup: u64,
    restore: u64,
}

fn count(operation: &str) -> Outcome<u64> {
    let histograms = histograms()?;
    let buckets = histograms
        .get(operation)
        .ok_or_else(|| Stop::failed(format!("no {operation}")))?;
    Ok(buckets.iter().map(|(.., count)| count).sum())
}

fn counts() -> Outcome<Counts> {
    Ok(Counts {
        populate: count("populate")?,
        swapout: count("swapout")?,
        swapin: count("swapin")?,
        backup: count("backup")?,
        restore: count("restore")?,
    })
}

/// What `operation` adds.
fn added(operation: impl FnOnce() -> Outcome) -> Outcome<Counts> {
    let before = counts()?;
    operation()?;
    let after = counts()?;
    Ok(Counts {
        populate: after.populate - before.populate,
        swapout: after.swapout - before.swapout,
        swapin: after.swapin - before.swapin,
        backup: after.backup - before.backup,
        restore: after.restore - before.restore,
    })
}

const NOTHING: Counts = Counts {
    populate: 0,
    swapout: 0,
    swapin: 0,
    backup: 0,
    restore: 0,
};

fn has_a_line_for_each_bucket() -> Outcome {
    let histograms = histograms()?;
    for operation in OPERATIONS {
        check!(histograms.contains_key(operation), "{operation}");
    }
    for (operation, buckets) in &histograms {
        check_eq!(buckets.len(), BUCKETS, "{operation}");
        let mut expected = Some(0);
        for (from, until, _) in buckets {
            check_eq!(Some(*from), expected, "{operation}");
            expected = *until;
        }
        check_eq!(expected, None, "{operation}");
        check_eq!(buckets[11].0, 1 << 10, "{operation}");
    }
    Ok(())
}

fn counts_each_operation_once() -> Outcome {
    let device = open()?;
    let handle = device.create(Create::new(PAGES * PAGE))?;
    let expected = Counts {
        populate: 1,
        ..NOTHING
    };
    check_eq!(
        added(|| Ok(device.populate(handle).map(drop)?))?,
        expected,
        "populate"
    );
    let expected = Counts {
        swapout: 1,
        ..NOTHING
    };
    check_eq!(
        added(|| Ok(device.swapout(handle).map(drop)?))?,
        expected,
        "swapout"
    );
    let expected = Counts {
        swapin: 1,
        ..NOTHING
    };
    check_eq!(
        added(|| Ok(device.populate(handle).map(drop)?))?,
        expected,
        "swapin"
    );
    let expected = Counts {
        backup: 1,
        ..NOTHING
    };
    check_eq!(
        added(|| Ok(device.backup(handle).map(drop)?))?,
        expected,
        "backup"
    );
    let expected = Counts {
        restore: 1,
        ..NOTHING
    };
    check_eq!(
        added(|| Ok(device.restore(handle).map(drop)?))?,
        expected,
        "restore"
    );
    let shrink = || {
        check_eq!(knobs::tt_shrink()?, PAGES as i64);
        Ok(())
    };
    let expected = Counts {
        swapout: 1,
        ..NOTHING
    };
    check_eq!(added(shrink)?, expected, "tt_shrink");
    Ok(())
}

fn counts_what_did_something() -> Outcome {
    let device = open()?;
    let handle = populated(&device, PAGES)?;
    let sg = device.create(Create::new(PAGES * PAGE).kind(BoType::Sg))?;
    let huge = device.create(Create::new(1 << 42))?;
    let nothing = added(|| {
        device.populate(handle)?;
        device.populate(sg)?;
        refused(device.populate(huge), Errno::ENOMEM)?;
        device.unpopulate(handle)?;
        device.swapout(handle)?;
        device.backup(handle)?;
        device.restore(handle)?;
        check_eq!(knobs::tt_shrink()?, 0);
        Ok(())
    })?;
    check_eq!(nothing, NOTHING);
    Ok(())
}

fn counts_giving_back_from_the_pool() -> Outcome {
    knobs::drain_pool()?;
    let device = open()?;
    device.destroy(populated(&device, PAGES)?)?;
    let before = count("pool_shrink")?;
    check_eq!(knobs::page_pool_shrink()?, PAGES as i64);
    check!(count("pool_shrink")? > before);
    Ok(())
}

fn counts_shrinking_of_objects() -> Outcome {
    let _swap = Swap::on()?;
    let device = open()?;
    knobs::drain_pool()?;
    let before = count("bo_shrink")?;
    check_eq!(knobs::triggered("bo_shrink")?, 0);
    check_eq!(count("bo_shrink")?, before);
    populated(&device, PAGES)?;
    check_eq!(knobs::triggered("bo_shrink")?, PAGES as i64);
    check!(count("bo_shrink")? > before);
    Ok(())
}

/// A swapout is in the bucket of the time that it took.
fn times_are_microseconds() -> Outcome {
    const MANY: u64 = 4096;
    let device = open()?;
    let handle = populated(&device, MANY)?;
    let before = histograms()?;
    let start = Instant::now();
    check_eq!(device.swapout(handle)?, MANY);
    let took = start.elapsed().as_micros() as u64;
    let after = histograms()?;
    let pairs = before["swapout"].iter().zip(&after["swapout"]);
    let grown: Vec<_> = pairs.filter(|(before, after)| before != after).collect();
    check_eq!(grown.len(), 1);
    let (_, (from, until, _)) = grown[0];
    check!(*from <= took, "from {from} us, took {took}");
    // No machine copies 16 MiB in that time.
    check!(until.is_none_or(|until| until > 64), "{until:?}");
    Ok(())
}

fn few_new_pages_are_not_timed() -> Outcome {
    check_eq!(knobs::parameter("timed_pages")?, "64");
    let device = open()?;
    let handle = device.create(Create::new(63 * PAGE))?;
    check_eq!(added(|| Ok(device.populate(handle).map(drop)?))?, NOTHING);
    // What copies is timed all the same.
    let copied = added(|| {
        device.swapout(handle)?;
        device.populate(handle)?;
        Ok(())
    })?;
    let expected = Counts {
        swapout: 1,
        swapin: 1,
        ..NOTHING
    };
    check_eq!(copied, expected);
    let enough = device.create(Create::new(64 * PAGE))?;
    let populates = added(|| Ok(device.populate(enough).map(drop)?))?.populate;
    check_eq!(populates, 1);
    Ok(())
}

fn as_few_pages_as_asked_for() -> Outcome {
    knobs::set_parameter("timed_pages", "1")?;
    let device = open()?;
    let populates = added(|| populated(&device, 1).map(drop))?.populate;
    check_eq!(populates, 1);
    Ok(())
}

fn can_be_switched_off() -> Outcome {
    knobs::set_parameter("timed_pages", "0")?;
    let device = open()?;
    let shrinks = count("pool_shrink")?;
    let nothing = added(|| {
        let handle = populated(&device, PAGES)?;
        device.swapout(handle)?;
        device.populate(handle)?;
        device.destroy(handle)?;
        knobs::drain_pool()?;
        Ok(())
    })?;
    check_eq!(nothing, NOTHING);
    check_eq!(count("pool_shrink")?, shrinks);
    Ok(())
}
