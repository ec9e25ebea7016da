// SPDX-License-Identifier: GPL-2.0-or-later
//! Flow B: our kernel with reeve.ko. The back end reads and writes the pages of Reeve's objects, before and after a
//! live migration.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reeve_uapi::pattern::Pattern;
use reeve_vhost_user::device::Device;

use super::common::{within, Dir};
use super::migrate::Host;
use super::network::card_with;
use super::qemu::Qemu;
use super::watch::{becomes, is_driven, read, Guest, Hook};
use super::Test;

/// How long the kernel may take to boot, and the guest to check its objects; a debug kernel on a busy machine.
const GUEST: Duration = Duration::from_secs(240);

const PAGE: usize = 4096;

/// The objects whose content is known, in the order of their seeds, with their pages.
const OBJECTS: [(&str, usize); 3] = [("small", 5), ("huge", 512), ("shmem", 4)];

/// The pages of the object `strong`: what becomes of each, see the migration test of the disk.
const A: usize = 0;
const B: usize = 1;
const C: usize = 2;
const LAST: usize = 3;

/// The words that tell the guest to go on.
const SHOW: u64 = 1;
const CHECK: u64 = 2;

/// A kernel and what it boots into, as `make` has built them.
struct Kernel {
    image: PathBuf,
    initramfs: PathBuf,
    mib: u64,
}

impl Kernel {
    fn find() -> Result<Self, String> {
        let path = |name: &str| {
            env::var_os(name)
                .map(PathBuf::from)
                .ok_or_else(|| format!("{name} names no file: 'make migration-test' builds it"))
        };
        let mib = env::var("REEVE_FLOW_MIB").ok();
        Ok(Self {
            image: path("REEVE_FLOW_KERNEL")?,
            initramfs: path("REEVE_FLOW_INITRAMFS")?,
            mib: mib.and_then(|text| text.parse().ok()).unwrap_or(256),
        })
    }

    /// Starts a machine with a network card, which boots or waits for a migration.
    fn start(&self, dir: &Dir, guest: &Guest, name: &str, hook: Option<Hook>, waits: bool) -> Host {
        let socket = dir.join(&format!("{name}.s"));
        let incoming = dir.join(&format!("{name}.in"));
        let back = guest.host(&socket, Device::net(false), &[], hook);
        let mut more: Vec<String> = [
            "-kernel",
            &self.image.display().to_string(),
            "-initrd",
            &self.initramfs.display().to_string(),
            "-append",
            "console=ttyS0 panic=-1 loglevel=7 pty.legacy_count=0 brd.rd_nr=1",
            "-no-reboot",
            "-cpu",
            "max",
        ]
        .map(String::from)
        .into();
        // With MSI-X, QEMU 7.2 crashes; the option ROM would drive the card before the kernel does.
        more.extend(card_with(&socket, false, 1, ",romfile=,vectors=0"));
        for (index, irq) in [4, 3, 5, 7].into_iter().enumerate() {
            let path = dir.join(&port(name, index));
            more.push("-chardev".into());
            more.push(format!("file,id=port{index},path={}", path.display()));
            more.push("-device".into());
            more.push(format!(
                "isa-serial,chardev=port{index},index={index},irq={irq}"
            ));
        }
        if waits {
            more.push("-incoming".into());
            more.push(format!("unix:{}", incoming.display()));
        }
        // No whole multiple of 256 KiB: see the disk's machine.
        let kib = (self.mib << 10) + 8;
        let qemu = Qemu::start(dir, name, "memory-backend-memfd", kib, &more);
        Host {
            back,
            qemu,
            incoming,
        }
    }
}

fn port(machine: &str, index: usize) -> String {
    format!("{machine}.port{index}")
}

/// What the guest said on a machine's port, in whole lines.
fn said(dir: &Dir, machine: &str, index: usize) -> Vec<String> {
    let text = fs::read(dir.join(&port(machine, index))).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).replace('\r', "");
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(String::from).collect()
}

/// Waits until the guest says a line on its output.
fn hears(dir: &Dir, machine: &str, line: &str) -> Vec<String> {
    within(GUEST, line, || {
        let lines = said(dir, machine, 2);
        let ended = said(dir, machine, 1);
        let ended = ended.iter().any(|line| line.starts_with("status "));
        let lines = if ended { said(dir, machine, 2) } else { lines };
        let found = lines.iter().any(|said| said == line);
        assert!(found || !ended, "the guest has ended: {lines:#?}");
        found.then_some(lines)
    })
}

/// Where each page of each object is.
fn places(lines: &[String]) -> BTreeMap<(String, usize), u64> {
    let parse = |line: &String| {
        let mut words = line.strip_prefix("page ")?.split(' ');
        let (name, page) = (words.next()?.into(), words.next()?.parse().ok()?);
        let place = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
        Some(((name, page), place))
    };
    lines.iter().filter_map(parse).collect()
}

/// A guest that has made its objects.
struct Boot {
    dir: Dir,
    guest: Guest,
    source: Host,
    places: BTreeMap<(String, usize), u64>,
}

impl Boot {
    fn new(kernel: &Kernel, hook: impl FnOnce(Arc<Mutex<u64>>) -> Option<Hook>) -> Self {
        let (dir, guest) = (Dir::new(), Guest::default());
        let last = Arc::new(Mutex::new(0));
        let source = kernel.start(&dir, &guest, "source", hook(last.clone()), false);
        let places = places(&hears(&dir, "source", "ready"));
        becomes(&source.back, GUEST, "the kernel drives the card", is_driven);
        let boot = Self {
            dir,
            guest,
            source,
            places,
        };
        *last.lock().unwrap() = boot.place("strong", LAST);
        boot
    }

    fn place(&self, name: &str, page: usize) -> u64 {
        self.places[&(name.into(), page)]
    }

    /// Compares every page of the objects, read at its place in the guest's memory, with what the guest filled in.
    fn compare(&self, host: &Host) {
        for (seed, (name, pages)) in OBJECTS.into_iter().enumerate() {
            let pattern = Pattern::new(seed as u64).bytes(pages * PAGE);
            for (page, expected) in pattern.chunks(PAGE).enumerate() {
                let found = read(&host.back, self.place(name, page), PAGE);
                assert!(found == expected, "page {page} of {name} differs");
            }
        }
    }

    fn tell(&self, host: &Host, word: u64) {
        let mail = self.place("mail", 0);
        host.memory(move |b| b.memory().write(mail, &word.to_ne_bytes()))
            .unwrap();
    }
}

/// The pages of the objects are found from outside, and what is written there the guest sees.
fn objects() -> Option<String> {
    let kernel = match Kernel::find() {
        Ok(kernel) => kernel,
        Err(why) => return Some(why),
    };
    let boot = Boot::new(&kernel, |_| None);
    boot.compare(&boot.source);
    let huge = boot.place("huge", 0);
    for page in 0..512 {
        let place = huge + (page * PAGE) as u64;
        assert_eq!(boot.place("huge", page), place, "one block of 2 MiB");
    }
    boot.source.write(boot.place("strong", A), 7);
    boot.tell(&boot.source, SHOW);
    let lines = hears(&boot.dir, "source", "shown");
    assert!(lines.contains(&"strong 7 9 9 9".into()), "{lines:?}");
    boot.tell(&boot.source, CHECK);
    ends_well(&boot, "source");
    boot.guest.no_overlap();
    None
}

/// The guest checks its objects and the module, the module is removed, and the machine ends.
fn ends_well(boot: &Boot, machine: &str) -> Vec<String> {
    let lines = hears(&boot.dir, machine, "done");
    let good = lines.iter().filter(|line| line.starts_with("check ok"));
    assert_eq!(good.count(), 6, "{lines:?}");
    let facts = within(GUEST, "the guest's end", || {
        let facts = said(&boot.dir, machine, 1);
        facts.contains(&"end".into()).then_some(facts)
    });
    assert!(facts.contains(&"status 0".into()), "{facts:?}");
    let taint = facts.iter().find_map(|line| line.strip_prefix("taint "));
    let taint: u64 = taint.and_then(|text| text.parse().ok()).unwrap();
    // A machine check, a bad page, a user's word for it, a warning, a lockup. (Our module and its tests taint, too.)
    let complaints = 1 << 4 | 1 << 5 | 1 << 7 | 1 << 9 | 1 << 14;
    assert_eq!(taint & complaints, 0, "{facts:?}");
    let bad = facts
        .iter()
        .find(|line| line.starts_with("leak ") || line.starts_with("note "));
    assert!(bad.is_none(), "{facts:?}");
    lines
}

/// The strong test with Reeve in the guest: what the back end writes and marks arrives, what it does not mark is
/// lost, and on the other side the module and its objects are as they were.
fn migrates() -> Option<String> {
    let kernel = match Kernel::find() {
        Ok(kernel) => kernel,
        Err(why) => return Some(why),
    };
    let stopped = Arc::new(Mutex::new(0));
    let count = stopped.clone();
    let mut boot = Boot::new(&kernel, move |last| {
        Some(Box::new(move |backend, name| {
            if name == "GET_VRING_BASE" && backend.memory().is_logging() {
                *count.lock().unwrap() += 1;
                let _ = backend.memory().write(*last.lock().unwrap(), &[4; 64]);
            }
        }))
    });
    let mut target = kernel.start(&boot.dir, &boot.guest, "target", None, true);
    let [a, b, c, last] = [A, B, C, LAST].map(|page| boot.place("strong", page));
    boot.source.begin(&target);
    boot.source
        .memory(|b| assert!(b.memory().is_logging(), "LOG_ALL is on"));
    boot.source.write(a, 1);
    boot.source.write_unmarked(b, 2);
    boot.source.mark(c);
    boot.source.taken(&[a, b, c]);
    boot.source.finish(&mut target);
    boot.guest.no_overlap();
    assert!(
        *stopped.lock().unwrap() > 0,
        "the source's rings are stopped while it logs"
    );
    for (what, place, byte) in [
        ("A arrived", a, 1),
        ("B did not", b, 9),
        ("C is as it was", c, 9),
        ("the last write arrived", last, 4),
    ] {
        assert!(target.has(place, byte), "not so: {what}");
    }
    boot.compare(&target);
    boot.tell(&target, CHECK);
    let lines = ends_well(&boot, "target");
    assert!(lines.contains(&"strong 1 9 9 4".into()), "{lines:?}");
    println!("# dirty-sync-count {}", boot.source.qemu.rounds());
    None
}

pub(super) fn tests() -> Vec<Test> {
    vec![
        ("read-guest-mem/objects".into(), true, Box::new(objects)),
        ("migrate/objects".into(), true, Box::new(migrates)),
    ]
}
