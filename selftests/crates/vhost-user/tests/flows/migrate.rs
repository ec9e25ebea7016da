// SPDX-License-Identifier: GPL-2.0-or-later
//! Live migration of a guest whose memory the back end writes: the log is necessary, and it is enough.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reeve_vhost_user::backend::Backend;
use reeve_vhost_user::broken::Broken;
use reeve_vhost_user::features::{self, Feature};
use reeve_vhost_user::local::Local;
use reeve_vhost_user::memory::Memory;
use reeve_vhost_user::wire::{longs, words};

use super::common::{within, Dir};
use super::disk::{disk, drive, goes_on, is_busy, KIB};
use super::picture;
use super::qemu::{Qemu, BOOT};
use super::qmp::{Migrate, MigrateCancel, MigrateSetParameters};
use super::watch::{becomes, is_driven, read, Guest, Hook, What};
use super::Test;

/// How long a migration may take to go through its rounds.
const ROUNDS: Duration = Duration::from_secs(60);

/// Written and marked: arrives.
const A: u64 = 0x300_0000;
/// Written and not marked: is lost.
const B: u64 = 0x310_0000;
/// Not written and marked: stays.
const C: u64 = 0x320_0000;
/// Written and marked just before GET_VRING_BASE is replied to: arrives.
const LAST: u64 = 0x330_0000;

/// What is done wrong, to see that the test fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// B is marked as well.
    MarkB,
    /// Nothing is marked.
    MarkNothing,
    /// A page is marked, and written when the mark was taken away.
    MarkFirst,
    /// The last page is written after GET_VRING_BASE was replied to.
    WriteLate,
    /// The used ring is not marked.
    ForgetUsed,
}

/// The header and the status, and the data, of the request of a driver that the test plays.
const REQUEST: u64 = 0x340_0000;
const DATA: u64 = 0x341_0000;

/// Written and marked just before the log is replaced, and just after that: arrive.
const OLD_LOG: u64 = 0x350_0000;
const NEW_LOG: u64 = 0x360_0000;

/// A machine and its back end.
pub(super) struct Host {
    pub(super) back: Local,
    pub(super) qemu: Qemu,
    /// The socket of a migration to it.
    pub(super) incoming: PathBuf,
}

impl Host {
    /// Starts a machine that boots.
    fn boots(
        dir: &Dir,
        guest: &Guest,
        name: &str,
        without: &[Feature],
        hook: Option<Hook>,
    ) -> Self {
        Self::boots_with(dir, guest, name, without, hook, None, &[])
    }

    /// The same with a mistake of the back end, and more arguments for QEMU.
    fn boots_with(
        dir: &Dir,
        guest: &Guest,
        name: &str,
        without: &[Feature],
        hook: Option<Hook>,
        broken: Option<Broken>,
        more: &[String],
    ) -> Self {
        let device = disk();
        let socket = dir.join(&format!("{name}.s"));
        let back = guest.host_with(&socket, device, without, hook, broken);
        let host = Self::start(dir, name, back, more, false);
        becomes(&host.back, BOOT, "the firmware drives the disk", is_driven);
        is_busy(&host.back);
        host
    }

    /// Starts a machine that waits for a migration.
    fn waits(dir: &Dir, guest: &Guest, name: &str) -> Self {
        Self::waits_with(dir, guest, name, &[])
    }

    /// The same with more arguments for QEMU.
    fn waits_with(dir: &Dir, guest: &Guest, name: &str, more: &[String]) -> Self {
        let socket = dir.join(&format!("{name}.s"));
        let back = guest.host(&socket, disk(), &[], None);
        Self::start(dir, name, back, more, true)
    }

    fn start(dir: &Dir, name: &str, back: Local, more: &[String], waits: bool) -> Self {
        let incoming = dir.join(&format!("{name}.in"));
        let mut arguments = drive(back.path());
        arguments.extend_from_slice(more);
        if waits {
            arguments.push("-incoming".into());
            arguments.push(format!("unix:{}", incoming.display()));
        }
        let qemu = Qemu::start(dir, name, "memory-backend-memfd", KIB, &arguments);
        Self {
            back,
            qemu,
            incoming,
        }
    }

    fn speed(&mut self, bytes: u64, downtime: u64) {
        let parameters = MigrateSetParameters {
            max_bandwidth: bytes,
            downtime_limit: downtime,
        };
        self.qemu.ask(&parameters).unwrap();
    }

    /// Begins a migration that cannot end, and waits until all of the memory has travelled once.
    pub(super) fn begin(&mut self, to: &Host) {
        self.speed(20 << 20, 1);
        let uri = format!("unix:{}", to.incoming.display());
        self.qemu.ask(&Migrate { uri }).unwrap();
        within(ROUNDS, "the second round", || {
            (self.qemu.rounds() >= 2).then_some(())
        });
    }

    /// Waits for some more rounds and notes each.
    fn rounds_go_on(&mut self, guest: &Guest, count: u64) {
        let first = self.qemu.rounds();
        let mut noted = first;
        within(ROUNDS, "rounds", || {
            let now = self.qemu.rounds();
            if now > noted {
                noted = now;
                guest.note(0, What::Round(now));
            }
            (now >= first + count).then_some(())
        });
    }

    /// Lets the migration end.
    pub(super) fn finish(&mut self, to: &mut Host) {
        self.speed(8 << 30, 2000);
        self.qemu.migration_is("completed", ROUNDS);
        to.qemu.event("RESUME", BOOT);
        becomes(
            &to.back,
            BOOT,
            "the rings start at the destination",
            is_driven,
        );
    }

    fn migrate(&mut self, to: &mut Host) {
        self.begin(to);
        self.finish(to);
    }

    /// Does something to the guest's memory.
    pub(super) fn memory<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Backend) -> T + Send + 'static,
    ) -> T {
        self.back.with(act).unwrap()
    }

    pub(super) fn write(&self, guest: u64, byte: u8) {
        self.memory(move |b| b.memory().write(guest, &[byte; 64]))
            .unwrap();
    }

    pub(super) fn write_unmarked(&self, guest: u64, byte: u8) {
        self.memory(move |b| b.memory().write_unmarked(guest, &[byte; 64]))
            .unwrap();
    }

    pub(super) fn mark(&self, guest: u64) {
        self.memory(move |b| b.memory().mark(guest, 1)).unwrap();
    }

    fn is_marked(&self, guest: u64) -> bool {
        self.memory(move |b| b.memory().log().is_some_and(|log| log.is_marked(guest)))
    }

    /// Waits until QEMU has taken the marks.
    pub(super) fn taken(&self, pages: &[u64]) {
        within(ROUNDS, "QEMU takes the marks", || {
            (!pages.iter().any(|page| self.is_marked(*page))).then_some(())
        });
    }

    pub(super) fn has(&self, guest: u64, byte: u8) -> bool {
        read(&self.back, guest, 64) == [byte; 64]
    }

    /// Has the disk read its first sector for a driver that this test plays, whose writes are marked as QEMU marks the
    /// guest's.
    fn request(&self) -> Request {
        self.memory(|b| {
            let ring = &b.rings()[0];
            let (size, address) = (ring.size(), ring.address().unwrap());
            let memory = b.memory();
            let place = |user| memory.guest_address(user, 4).unwrap();
            let [desc, avail, used] = [address.desc, address.avail, address.used].map(place);
            // The last of the table; the guest's driver has begun with the first ones, and is not there any more.
            let first = size - 3;
            let parts = [
                (REQUEST, 16, NEXT),
                (DATA, 512, NEXT | WRITE),
                (REQUEST + 16, 1, WRITE),
            ];
            for (number, (at, bytes, flags)) in (first..).zip(parts) {
                let mut entry = longs(&[at]);
                entry.extend(words(&[bytes, flags | u32::from(number + 1) << 16]));
                let to = desc + 16 * u64::from(number);
                memory.write(to, &entry).unwrap();
            }
            memory.write(REQUEST, &[0; 16]).unwrap();
            let index = index_at(memory, avail + 2);
            let slot = avail + 4 + 2 * u64::from(index % size);
            memory.write(slot, &first.to_le_bytes()).unwrap();
            let next = index.wrapping_add(1).to_le_bytes();
            memory.write(avail + 2, &next).unwrap();
            b.kicked(0);
            let memory = b.memory();
            let log = memory.log();
            Request {
                used,
                index: index_at(memory, used + 2),
                is_used: index_at(memory, used + 2) == index.wrapping_add(1),
                is_marked: log.is_some_and(|log| log.is_marked(address.log)),
            }
        })
    }
}

const NEXT: u32 = 1;
const WRITE: u32 = 2;

/// What became of a request.
struct Request {
    /// Where the used ring is.
    used: u64,
    /// The used index.
    index: u16,
    /// Whether the request is used.
    is_used: bool,
    /// Whether the used ring was marked right after that.
    is_marked: bool,
}

fn index_at(memory: &Memory, guest: u64) -> u16 {
    let mut index = [0; 2];
    memory.read(guest, &mut index).unwrap();
    u16::from_le_bytes(index)
}

/// The strong test. The error says which of its four findings is another one.
fn strong(wrong: Wrong) -> Result<(), String> {
    let (dir, guest) = (Dir::new(), Guest::default());
    let last_written = Arc::new(Mutex::new(0));
    let (count, notes) = (last_written.clone(), guest.clone());
    let hook: Hook = Box::new(move |backend, name| {
        // With GET_VRING_BASE the source stops: this is its last chance.
        if name == "GET_VRING_BASE" && backend.memory().is_logging() {
            *count.lock().unwrap() += 1;
            if wrong != Wrong::WriteLate {
                let _ = backend.memory().write(LAST, &[4; 64]);
                notes.note(0, What::Mark("last"));
            }
        }
    });
    let broken = (wrong == Wrong::ForgetUsed).then_some(Broken::ForgetUsed);
    let mut source = Host::boots_with(&dir, &guest, "source", &[], Some(hook), broken, &[]);
    let mut target = Host::waits(&dir, &guest, "target");
    for page in [A, B, C, LAST] {
        source.write(page, 9);
    }
    source.begin(&target);
    source.memory(|b| assert!(b.memory().is_logging(), "LOG_ALL is on"));
    match wrong {
        Wrong::MarkNothing => source.write_unmarked(A, 1),
        Wrong::MarkFirst => {
            source.mark(A);
            source.taken(&[A]);
            // What was taken in a round travels in the same or in the next.
            let round = source.qemu.rounds();
            within(ROUNDS, "two rounds", || {
                (source.qemu.rounds() >= round + 2).then_some(())
            });
            source.write_unmarked(A, 1);
        }
        _ => source.write(A, 1),
    }
    source.write_unmarked(B, 2);
    if wrong == Wrong::MarkB {
        source.mark(B);
    }
    source.mark(C);
    guest.note(0, What::Mark("A, C"));
    source.rounds_go_on(&guest, 3);
    source.taken(&[A, B, C]);
    // QEMU 7.2 marks the used ring when it stops the device, so that it arrives in any case: the log itself has to show
    // the mark. QEMU may take it away at once, but not each time.
    let requests: Vec<Request> = (0..3).map(|_| source.request()).collect();
    source.finish(&mut target);
    if wrong == Wrong::WriteLate {
        source
            .memory(|b| b.memory().write(LAST, &[4; 64]))
            .map_err(|e| e.to_string())?;
    }
    guest.no_overlap();
    assert_eq!(
        *last_written.lock().unwrap(),
        1,
        "the source is stopped once while it logs"
    );
    let check = |good: bool, what: &str| if good { Ok(()) } else { Err(what.to_string()) };
    check(target.has(A, 1), "A did not arrive")?;
    check(target.has(B, 9), "B arrived")?;
    check(target.has(C, 9), "C changed")?;
    check(target.has(LAST, 4), "the last write did not arrive")?;
    assert!(requests.iter().all(|request| request.is_used));
    let marked = requests.iter().any(|request| request.is_marked);
    check(marked, "the used ring is not marked")?;
    let last = &requests[2];
    let index = read(&target.back, last.used + 2, 2);
    check(
        index == last.index.to_le_bytes(),
        "the used ring did not arrive",
    )?;
    let sector = read(&target.back, DATA, 512);
    check(
        sector[510..] == [0x55, 0xaa],
        "what was read did not arrive",
    )?;
    goes_on(&target.back);
    check(target.qemu.errors().is_empty(), "QEMU complained")?;
    println!("# dirty-sync-count {}", source.qemu.rounds());
    if wrong == Wrong::Nothing {
        picture::write(&guest.events());
    }
    Ok(())
}

fn migrate() -> Option<String> {
    strong(Wrong::Nothing).unwrap();
    None
}

/// The test of the test: each mistake turns it red, for its own reason.
fn control(wrong: Wrong, reason: &str) -> Option<String> {
    assert_eq!(strong(wrong), Err(reason.to_string()), "{wrong:?}");
    None
}

/// The test as QEMU has had it since 2015: the first page arrives.
fn first_page() -> Option<String> {
    let (dir, guest) = (Dir::new(), Guest::default());
    let mut source = Host::boots(&dir, &guest, "source", &[], None);
    let mut target = Host::waits(&dir, &guest, "target");
    source.begin(&target);
    let data: Vec<u8> = (0..256_u32)
        .flat_map(|n| (0x42 + n).to_le_bytes())
        .collect();
    let copy = data.clone();
    source.memory(move |b| b.memory().write(0, &copy)).unwrap();
    source.finish(&mut target);
    assert_eq!(read(&target.back, 0, data.len()), data);
    guest.no_overlap();
    None
}

/// Without a feature that it takes, QEMU does not begin, and says which.
fn refused(feature: Feature) -> Option<String> {
    let (dir, guest) = (Dir::new(), Guest::default());
    let mut source = Host::boots(&dir, &guest, "source", &[feature], None);
    let uri = format!("unix:{}", dir.join("nowhere").display());
    let said = source.qemu.ask(&Migrate { uri }).unwrap_err();
    assert!(said.contains(feature.name), "{said}");
    goes_on(&source.back);
    None
}

/// A migration that is cancelled leaves no marking behind, and the next one works.
fn cancel() -> Option<String> {
    let (dir, guest) = (Dir::new(), Guest::default());
    let mut source = Host::boots(&dir, &guest, "source", &[], None);
    let first = Host::waits(&dir, &guest, "first");
    source.begin(&first);
    source.qemu.ask(&MigrateCancel {}).unwrap();
    source.qemu.migration_is("cancelled", ROUNDS);
    becomes(&source.back, BOOT, "LOG_ALL is off", |b| {
        !b.memory().is_logging()
    });
    source.write(A, 7);
    assert!(!source.is_marked(A), "marked although LOG_ALL is off");
    goes_on(&source.back);
    drop(first);
    let mut second = Host::waits(&dir, &guest, "second");
    source.migrate(&mut second);
    assert!(second.has(A, 7));
    goes_on(&second.back);
    guest.no_overlap();
    None
}

/// A destination that dies leaves the source as it was, and the next migration works.
fn failing() -> Option<String> {
    let (dir, guest) = (Dir::new(), Guest::default());
    let mut source = Host::boots(&dir, &guest, "source", &[], None);
    let mut first = Host::waits(&dir, &guest, "first");
    source.begin(&first);
    first.qemu.kill();
    source.qemu.migration_is("failed", ROUNDS);
    becomes(&source.back, BOOT, "LOG_ALL is off", |b| {
        !b.memory().is_logging()
    });
    goes_on(&source.back);
    drop(first);
    let mut second = Host::waits(&dir, &guest, "second");
    source.migrate(&mut second);
    goes_on(&second.back);
    guest.no_overlap();
    None
}

/// On to a third host, and back to where the first was.
fn around() -> Option<String> {
    let (dir, guest) = (Dir::new(), Guest::default());
    let mut here = Host::boots(&dir, &guest, "first", &[], None);
    for (hop, name) in ["second", "third", "first-again"].iter().enumerate() {
        let byte = hop as u8 + 1;
        let mut there = Host::waits(&dir, &guest, name);
        here.begin(&there);
        here.write(A, byte);
        here.finish(&mut there);
        assert!(there.has(A, byte), "{name}");
        goes_on(&there.back);
        drop(here);
        here = there;
    }
    guest.no_overlap();
    None
}

/// A device of which a part of the memory is RAM, high above the guest's: enabling it, as a driver does, makes the log
/// too short, and QEMU replaces it. (Memory cannot be plugged in during a migration.)
fn with_memory_above() -> Vec<String> {
    [
        "-object",
        "memory-backend-memfd,id=above,size=1M,share=on",
        "-device",
        "ivshmem-plain,memdev=above,master=on,addr=0x7",
        "-qtest",
    ]
    .map(String::from)
    .into()
}

/// Enables or disables the memory of that device, by its command register.
fn memory_above(host: &Host, on: bool) {
    let command = if on { 0x103 } else { 0x101 };
    host.qemu.qtest(&[
        "outl 0xcf8 0x80003804".into(),
        format!("outw 0xcfc {command:#x}"),
    ]);
}

/// QEMU replaces the log during the migration. What is written just before and just after that arrives.
fn log_replaced(broken: Option<Broken>) -> Result<(), String> {
    let (dir, guest) = (Dir::new(), Guest::default());
    let replaced = Arc::new(Mutex::new(0));
    let count = replaced.clone();
    let mut is_next = false;
    let hook: Hook = Box::new(move |backend, name| {
        let memory = backend.memory();
        if !memory.is_logging() {
            return;
        }
        if is_next {
            // QEMU has taken what is in the old log by now.
            memory.write(NEW_LOG, &[6; 64]).unwrap();
            *count.lock().unwrap() += 1;
            is_next = false;
        }
        if name == "SET_LOG_BASE" {
            memory.write(OLD_LOG, &[5; 64]).unwrap();
            is_next = true;
        }
    });
    let more = with_memory_above();
    let mut source = Host::boots_with(&dir, &guest, "source", &[], Some(hook), broken, &more);
    let mut target = Host::waits_with(&dir, &guest, "target", &more);
    let regions = |host: &Host| host.memory(|b| b.memory().regions().count());
    let is_there = regions(&source);
    memory_above(&source, false);
    within(BOOT, "the table without the device's memory", || {
        (regions(&source) < is_there).then_some(())
    });
    for page in [OLD_LOG, NEW_LOG] {
        source.write(page, 9);
    }
    source.begin(&target);
    let before = *replaced.lock().unwrap();
    memory_above(&source, true);
    within(BOOT, "another log", || {
        (*replaced.lock().unwrap() > before).then_some(())
    });
    within(BOOT, "the table with the device's memory", || {
        (regions(&source) == is_there).then_some(())
    });
    source.rounds_go_on(&guest, 3);
    source.finish(&mut target);
    guest.no_overlap();
    let check = |good: bool, what: &str| if good { Ok(()) } else { Err(what.to_string()) };
    check(
        target.has(OLD_LOG, 5),
        "what the old log had did not arrive",
    )?;
    check(
        target.has(NEW_LOG, 6),
        "what the new log had did not arrive",
    )?;
    goes_on(&target.back);
    check(target.qemu.errors().is_empty(), "QEMU complained")
}

/// Kills the back end and starts another one on the same socket, with which QEMU goes on.
fn restarted(dir: &Dir, guest: &Guest, host: &mut Host) {
    let path = host.back.path().to_path_buf();
    // The socket is taken away before there is another.
    let idle = guest.host(&dir.join("idle"), disk(), &[], None);
    drop(std::mem::replace(&mut host.back, idle));
    host.back = guest.host(&path, disk(), &[], None);
    becomes(&host.back, BOOT, "the disk is driven again", is_driven);
}

/// The back end is killed and comes again before a migration, and the next one after it.
fn restart_around() -> Option<String> {
    let (dir, guest) = (Dir::new(), Guest::default());
    let mut source = Host::boots(&dir, &guest, "source", &[], None);
    restarted(&dir, &guest, &mut source);
    goes_on(&source.back);
    let mut second = Host::waits(&dir, &guest, "second");
    source.begin(&second);
    source.write(A, 5);
    source.finish(&mut second);
    assert!(second.has(A, 5));
    goes_on(&second.back);
    drop(source);
    restarted(&dir, &guest, &mut second);
    goes_on(&second.back);
    assert!(second.has(A, 5));
    let mut third = Host::waits(&dir, &guest, "third");
    second.begin(&third);
    second.write(A, 6);
    second.finish(&mut third);
    assert!(third.has(A, 6));
    goes_on(&third.back);
    guest.no_overlap();
    None
}

/// The source's back end is killed and comes again while the guest migrates.
fn restart() -> Option<String> {
    let (dir, guest) = (Dir::new(), Guest::default());
    let mut source = Host::boots(&dir, &guest, "source", &[], None);
    let mut target = Host::waits(&dir, &guest, "target");
    source.begin(&target);
    restarted(&dir, &guest, &mut source);
    becomes(&source.back, BOOT, "it logs again", |b| {
        b.memory().is_logging() && b.memory().log().is_some()
    });
    source.write(A, 5);
    source.finish(&mut target);
    assert!(target.has(A, 5));
    goes_on(&target.back);
    guest.no_overlap();
    None
}

pub(super) fn tests() -> Vec<Test> {
    let mut tests: Vec<Test> = vec![
        ("migrate".into(), true, Box::new(migrate)),
        ("migrate/first-page".into(), false, Box::new(first_page)),
        ("migrate/cancel".into(), true, Box::new(cancel)),
        (
            "migrate/failing-destination".into(),
            true,
            Box::new(failing),
        ),
        ("migrate/around".into(), false, Box::new(around)),
        ("migrate/restart".into(), true, Box::new(restart)),
        (
            "migrate/restart-around".into(),
            false,
            Box::new(restart_around),
        ),
        (
            "migrate/log-replaced".into(),
            true,
            Box::new(|| {
                log_replaced(None).unwrap();
                None
            }),
        ),
        (
            "migrate/control/old-log".into(),
            true,
            Box::new(|| {
                let lost = Err("what the new log had did not arrive".to_string());
                assert_eq!(log_replaced(Some(Broken::OldLog)), lost);
                None
            }),
        ),
    ];
    for (name, wrong, reason) in [
        ("mark-b", Wrong::MarkB, "B arrived"),
        ("mark-nothing", Wrong::MarkNothing, "A did not arrive"),
        ("mark-first", Wrong::MarkFirst, "A did not arrive"),
        (
            "write-late",
            Wrong::WriteLate,
            "the last write did not arrive",
        ),
        (
            "forget-used",
            Wrong::ForgetUsed,
            "the used ring is not marked",
        ),
    ] {
        let run = move || control(wrong, reason);
        tests.push((format!("migrate/control/{name}"), true, Box::new(run)));
    }
    for feature in [features::LOG_ALL, features::LOG_SHMFD] {
        let name = format!("migrate/without/{}", feature.name);
        tests.push((name, true, Box::new(move || refused(feature))));
    }
    tests
}
