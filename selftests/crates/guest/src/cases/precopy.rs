// SPDX-License-Identifier: GPL-2.0-or-later

//! The pre-copy engine on the module's objects, both sides in one process, while another one writes.

use std::io;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use reeve_precopy::receive;
use reeve_precopy::reeve::ReeveSink;
use reeve_precopy::reeve::ReeveSource;
use reeve_precopy::send;
use reeve_precopy::writers::Duty;
use reeve_precopy::writers::NoWriters;
use reeve_precopy::writers::Processes;
use reeve_precopy::AtLimit;
use reeve_precopy::Bitmap;
use reeve_precopy::Failed;
use reeve_precopy::Failure;
use reeve_precopy::FirstSync;
use reeve_precopy::Kind;
use reeve_precopy::Limits;
use reeve_precopy::LogMode;
use reeve_precopy::Monotonic;
use reeve_precopy::Options;
use reeve_precopy::Progress;
use reeve_precopy::Received;
use reeve_precopy::Region;
use reeve_precopy::Request;
use reeve_precopy::Socket;
use reeve_precopy::Source;
use reeve_precopy::Statistics;
use reeve_precopy::Watch;
use reeve_precopy::Writers;
use reeve_precopy::SILENCE;
use reeve_uapi::pattern::mix;
use reeve_uapi::sys;
use reeve_uapi::Caching;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::content::filled;
use crate::process::Child;
use crate::seen::open;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;
use crate::test::Stop;

cases!("precopy";
    objects_arrive_as_they_were_left,
    copies_are_of_the_same_kind,
    without_writes_round_2_is_empty,
    without_content_there_are_no_pages,
    a_full_receiver_leaves_both_sides_as_before,
    a_cancelled_move_leaves_both_sides_as_before,
);

/// Ends the case where the module has no dirty log.
pub(super) fn needs_log(device: &Device) -> Outcome {
    let features = device.version()?.features;
    if features & u64::from(sys::REEVE_FEATURE_DIRTY_LOG) == 0 {
        return Err(Stop::skipped("the module has no dirty log"));
    }
    Ok(())
}

/// Objects of every backing: cached, write-combined, in shmem, and one that is swapped out and ends inside of a page.
pub(super) fn objects(device: &Device) -> Outcome<Vec<Handle>> {
    let all = vec![
        filled(device, Create::new(130 * PAGE), 1)?,
        filled(
            device,
            Create::new(64 * PAGE).caching(Caching::WriteCombined),
            2,
        )?,
        filled(device, Create::new(100 * PAGE).shmem(), 3)?,
        filled(device, Create::new(70 * PAGE - 100), 4)?,
    ];
    check_eq!(device.swapout(all[3])?, 70);
    Ok(all)
}

/// The module's objects, and a copy of all that they hold at the moment at which they are given away.
struct Kept<'d> {
    source: ReeveSource<'d>,
    content: Vec<Vec<u8>>,
}

impl Source for Kept<'_> {
    fn page_size(&self) -> u32 {
        self.source.page_size()
    }

    fn regions(&self) -> &[Region] {
        self.source.regions()
    }

    fn start(&mut self, region: usize) -> io::Result<LogMode> {
        self.source.start(region)
    }

    fn stop(&mut self, region: usize) -> io::Result<()> {
        self.source.stop(region)
    }

    fn get(&mut self, region: usize, bitmap: &mut Bitmap) -> io::Result<()> {
        self.source.get(region, bitmap)
    }

    fn clear(&mut self, region: usize, first: u64, pages: u64, mask: &[u64]) -> io::Result<()> {
        self.source.clear(region, first, pages, mask)
    }

    fn read(&mut self, region: usize, first: u64, to: &mut [u8]) -> io::Result<()> {
        self.source.read(region, first, to)
    }

    fn has_content(&mut self, region: usize) -> io::Result<bool> {
        self.source.has_content(region)
    }

    fn release(&mut self) -> io::Result<()> {
        let sizes: Vec<u64> = self
            .regions()
            .iter()
            .map(|region| region.pages(PAGE as u32) * PAGE)
            .collect();
        for (region, size) in sizes.into_iter().enumerate() {
            let mut bytes = vec![0; size as usize];
            self.source.read(region, 0, &mut bytes)?;
            self.content.push(bytes);
        }
        self.source.release()
    }
}

/// A user who cancels from a number of requests on.
struct User(u64);

impl Watch for User {
    fn request(&mut self) -> Request {
        self.0 = self.0.saturating_sub(1);
        if self.0 == 0 {
            Request::Cancel
        } else {
            Request::Continue
        }
    }

    fn progress(&mut self, _progress: &Progress) {}
}

const PATIENT: User = User(u64::MAX);

/// How both sides ended.
struct Moved {
    sent: Result<Statistics, Failed>,
    received: Result<Received, Failure>,
    /// What the source held when it was given away.
    content: Vec<Vec<u8>>,
    /// The handles at the receiver.
    handles: Vec<Handle>,
}

/// Moves these objects from one open file to the other.
fn moved(
    (from, handles): (&Device, &[Handle]),
    to: &Device,
    writers: &mut impl Writers,
    options: &Options,
    mut user: User,
    limits: Limits,
) -> Outcome<Moved> {
    let (near, far) = UnixStream::pair()?;
    let mut near = Socket::unix(near, SILENCE)?;
    let mut far = Socket::unix(far, SILENCE)?;
    let mut kept = Kept {
        source: ReeveSource::new(from, handles)?,
        content: Vec::new(),
    };
    thread::scope(|scope| {
        let receiver = scope.spawn(move || -> io::Result<_> {
            let mut sink = ReeveSink::new(to)?;
            let received = receive(&mut sink, &mut far, &limits);
            let handles = sink.handles().map(|(_, handle)| handle).collect();
            Ok((received, handles))
        });
        let clock = Monotonic::new();
        let sent = send(&mut kept, writers, &mut near, &clock, options, &mut user);
        drop(near);
        let received = receiver.join();
        let (received, handles) = received.map_err(|_| Stop::failed("it panicked"))??;
        Ok(Moved {
            sent,
            received,
            content: kept.content,
            handles,
        })
    })
}

/// The same to the end, without limits.
fn moved_whole(
    from: (&Device, &[Handle]),
    to: &Device,
    writers: &mut impl Writers,
    options: &Options,
) -> Outcome<Moved> {
    moved(from, to, writers, options, PATIENT, Limits::default())
}

/// Writes to some pages of each object for ever; says so once it has begun.
pub(super) fn writer(device: &Device, handles: &[Handle]) -> Outcome<Child> {
    Child::run(|line| {
        let mut mappings = Vec::new();
        for handle in handles {
            mappings.push(device.map(*handle)?);
        }
        for count in 1_u64.. {
            for (index, mapping) in mappings.iter().enumerate() {
                let pages = mapping.len() as u64 / PAGE;
                // Some again and again, and every other one now and then.
                let page = if count % 8 == 0 { count / 8 } else { count % 5 } % pages;
                let place = (page * PAGE) as usize + 8 * (index + 1);
                mapping.write(place, &mix(count).to_le_bytes());
            }
            if count == 1 {
                line.say(0)?;
            }
        }
        Ok(())
    })
}

/// Both sides succeeded, and the receiver has exactly what the source held.
fn arrived(moved: &Moved, from: &Device, to: &Device) -> Outcome<Statistics> {
    let statistics = match (&moved.sent, &moved.received) {
        (Ok(statistics), Ok(received)) => {
            check!(received.acknowledged && statistics.moved);
            statistics.clone()
        }
        (Err(failed), _) => return Err(Stop::failed(format!("sender: {failed}"))),
        (_, Err(failure)) => return Err(Stop::failed(format!("receiver: {failure}"))),
    };
    check!(from.list()?.is_empty(), "the source's objects are there");
    check_eq!(to.list()?.len(), moved.content.len());
    for (handle, expected) in moved.handles.iter().zip(&moved.content) {
        let found = to.map(*handle)?.bytes();
        for (page, (found, expected)) in found
            .chunks(PAGE as usize)
            .zip(expected.chunks(PAGE as usize))
            .enumerate()
        {
            check!(found == expected, "page {page} of object {handle}");
        }
    }
    Ok(statistics)
}

fn objects_arrive_as_they_were_left() -> Outcome {
    let (from, to) = (open()?, open()?);
    needs_log(&from)?;
    let handles = objects(&from)?;
    let expected: Vec<_> = from.list()?;
    let mut child = writer(&from, &handles)?;
    child.line.hear()?;
    let pid = child.pid().as_raw() as u32;
    let mut writers = Duty::new(Processes::new(&[pid])?)?;
    let options = Options {
        bandwidth: Some(4 << 20),
        clear_shift: 6,
        limit: Some(Duration::from_secs(1)),
        at_limit: AtLimit::Force,
        ..Options::default()
    };
    let moved = moved_whole((&from, &handles), &to, &mut writers, &options)?;
    let statistics = arrived(&moved, &from, &to)?;
    // Pages were written to after they had been sent, and came again.
    let pages: u64 = statistics.rounds.iter().map(|round| round.pages).sum();
    check!(
        statistics.first_sync_skipped && pages > 364,
        "{statistics:?}"
    );
    // The copies are what the objects were.
    for (info, was) in to.list()?.iter().zip(&expected) {
        let of = |info: &sys::reeve_bo_info| (info.size, info.num_pages, info.caching, info.type_);
        check_eq!(of(info), of(was));
        check_eq!(info.is(sys::REEVE_BO_SHMEM), was.is(sys::REEVE_BO_SHMEM));
        check!(!info.is(sys::REEVE_BO_LOGGING));
    }
    check!(child.is_running()?);
    child.kill()
}

fn copies_are_of_the_same_kind() -> Outcome {
    let (from, to) = (open()?, open()?);
    needs_log(&from)?;
    let of = |pages: u64| Create::new(pages * PAGE);
    let kinds = [
        Create {
            dma32: true,
            ..of(5)
        },
        Create {
            zero: true,
            ..of(6)
        },
        Create {
            dma_addresses: true,
            ..of(7)
        },
        Create {
            extra_pages: 3,
            ..of(8)
        },
        of(9).shmem(),
        of(10).caching(Caching::Uncached),
    ];
    let mut handles = Vec::new();
    for (create, seed) in kinds.into_iter().zip(1..) {
        handles.push(filled(&from, create, seed)?);
    }
    let described = |device: &Device| -> Outcome<Vec<_>> {
        let kept = sys::REEVE_BO_ZERO_ALLOC
            | sys::REEVE_BO_DMA32
            | sys::REEVE_BO_SHMEM
            | sys::REEVE_BO_DMA_ADDRESSES;
        let of = |info: &sys::reeve_bo_info| {
            let kind = (info.type_, info.caching, info.flags & kept, info.device);
            (info.size, info.num_pages, kind)
        };
        Ok(device.list()?.iter().map(of).collect())
    };
    let before = described(&from)?;
    let moved = moved_whole((&from, &handles), &to, &mut NoWriters, &Options::default())?;
    arrived(&moved, &from, &to)?;
    check_eq!(described(&to)?, before);
    Ok(())
}

fn without_writes_round_2_is_empty() -> Outcome {
    for first_sync in [FirstSync::Auto, FirstSync::Never, FirstSync::Always] {
        let (from, to) = (open()?, open()?);
        needs_log(&from)?;
        let handles = objects(&from)?;
        let options = Options {
            first_sync,
            ..Options::default()
        };
        let moved = moved_whole((&from, &handles), &to, &mut NoWriters, &options)?;
        let statistics = arrived(&moved, &from, &to)?;
        let rounds: Vec<u64> = statistics.rounds.iter().map(|round| round.pages).collect();
        check_eq!(rounds, [364, 0], "{first_sync:?}");
        let payload = 364 * PAGE;
        // With checksums and all.
        let bytes = statistics.bytes;
        let objects = 100 * handles.len() as u64;
        check!(bytes <= payload + payload / 500 + objects, "{statistics:?}");
    }
    Ok(())
}

fn without_content_there_are_no_pages() -> Outcome {
    let (from, to) = (open()?, open()?);
    needs_log(&from)?;
    let empty = from.create(Create::new(1000 * PAGE))?;
    let zeros = from.create(Create::new(3 * PAGE).zeroed())?;
    from.populate(zeros)?;
    let before = from.stats()?.pages_allocated;
    let moved = moved(
        (&from, &[empty, zeros]),
        &to,
        &mut NoWriters,
        &Options::default(),
        User(u64::MAX),
        Limits::default(),
    )?;
    let Ok(statistics) = &moved.sent else {
        return Err(Stop::failed(format!("{:?}", moved.sent)));
    };
    check_eq!(
        (statistics.rounds[0].empty, statistics.rounds[0].zero_pages),
        (1, 3)
    );
    check_eq!(to.info(moved.handles[0])?.pages_resident, 0);
    check_eq!(to.stats()?.pages_allocated, before);
    Ok(())
}

/// Both sides are as they were before a migration that failed in this way, and a second one succeeds.
fn undone(options: &Options, user: User, limits: Limits, kind: Kind) -> Outcome {
    let (from, to) = (open()?, open()?);
    needs_log(&from)?;
    let handles = objects(&from)?;
    let mut child = writer(&from, &handles)?;
    child.line.hear()?;
    let pid = child.pid().as_raw() as u32;
    let mut writers = Duty::new(Processes::new(&[pid])?)?;
    let here = (&from, &handles[..]);
    let first = moved(here, &to, &mut writers, options, user, limits)?;
    let failed = match first.sent {
        Err(failed) => failed,
        Ok(statistics) => return Err(Stop::failed(format!("{statistics:?}"))),
    };
    check_eq!(failed.failure.kind(), kind, "{failed}");
    check!(failed.failure.also.is_empty(), "{failed}");
    check!(to.list()?.is_empty());
    check_eq!(from.list()?.len(), handles.len());
    for info in from.list()? {
        check!(!info.is(sys::REEVE_BO_LOGGING), "object {}", info.handle);
    }
    check_eq!(from.log_mode()?.0, 0);
    check!(child.is_running()?);
    let options = Options {
        limit: Some(Duration::from_secs(1)),
        at_limit: AtLimit::Force,
        ..Options::default()
    };
    let second = moved(
        here,
        &to,
        &mut writers,
        &options,
        PATIENT,
        Limits::default(),
    )?;
    arrived(&second, &from, &to)?;
    child.kill()
}

fn a_full_receiver_leaves_both_sides_as_before() -> Outcome {
    let limits = Limits {
        bytes: 300 * PAGE,
        ..Limits::default()
    };
    undone(&Options::default(), PATIENT, limits, Kind::Refused)
}

fn a_cancelled_move_leaves_both_sides_as_before() -> Outcome {
    undone(
        &Options::default(),
        User(5),
        Limits::default(),
        Kind::Cancelled,
    )
}
