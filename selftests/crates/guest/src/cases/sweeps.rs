// SPDX-License-Identifier: GPL-2.0-or-later

//! Every allocation of every call, on every kind of object in every state, fails once: it
//! returns ENOMEM (EFAULT when it was a copy), and counters, flags and content are as they were.
//!
//! The table has a row for each call of the ABI, which a test of this program sees to; and some for
//! what goes in by other ways.

use std::cell::Cell;
use std::cell::RefCell;
use std::fs;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;

use reeve_uapi::knobs;
use reeve_uapi::pattern::Pattern;
use reeve_uapi::sys;
use reeve_uapi::BoType;
use reeve_uapi::Caching;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;
use reeve_uapi::Mapping;

use crate::cgroup::Group;
use crate::cgroup::Inside;
use crate::fail_nth::expected;
use crate::fail_nth::Faults;
use crate::memory;
use crate::seen::open;
use crate::seen::Seen;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;
use crate::test::Stop;

cases!("sweep";
    pool_objects,
    shmem_objects,
    write_combined_objects,
    uncached_objects,
    dma32_objects,
    external_objects,
    objects_with_addresses,
    objects_charged_to_a_cgroup,
    what_names_no_object,
);

/// The controller that objects are charged to.
const DMEM: &str = "dmem";

const PAGES: u64 = 5;
const SIZE: usize = (PAGES * PAGE) as usize;

/// What the object is like before the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Empty,
    Full,
    Pinned,
    Swapped,
    BackedUp,
}

use State::BackedUp;
use State::Empty;
use State::Full;
use State::Pinned;
use State::Swapped;

/// What may be different after a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaves {
    /// Nothing.
    All,
    /// It was populated before the copy that failed.
    Content,
    /// Likewise, and a part was written.
    SomeContent,
}

/// A call, and from which states.
struct Row {
    name: &'static str,
    /// The calls of the ABI that it makes.
    calls: &'static [u32],
    from: &'static [State],
    leaves: Leaves,
    call: fn(&Scene) -> io::Result<()>,
}

const ANY: &[State] = &[Empty, Full, Pinned, Swapped, BackedUp];
const UNPINNED: &[State] = &[Empty, Full, Swapped, BackedUp];

/// Calls on an object.
const OBJECT_ROWS: &[Row] = &[
    Row {
        name: "destroy",
        calls: &[sys::REEVE_NR_BO_DESTROY],
        from: ANY,
        leaves: Leaves::All,
        call: |scene| scene.device.destroy(scene.handle()),
    },
    Row {
        name: "info",
        calls: &[sys::REEVE_NR_BO_INFO],
        from: &[Full],
        leaves: Leaves::All,
        call: |scene| scene.device.info(scene.handle()).map(drop),
    },
    Row {
        name: "next",
        calls: &[sys::REEVE_NR_BO_NEXT],
        from: &[Full],
        leaves: Leaves::All,
        call: |scene| scene.device.next(None).map(drop),
    },
    Row {
        name: "populate",
        calls: &[sys::REEVE_NR_BO_POPULATE],
        from: ANY,
        leaves: Leaves::All,
        call: |scene| scene.device.populate(scene.handle()).map(drop),
    },
    Row {
        name: "unpopulate",
        calls: &[sys::REEVE_NR_BO_UNPOPULATE],
        from: UNPINNED,
        leaves: Leaves::All,
        call: |scene| scene.device.unpopulate(scene.handle()).map(drop),
    },
    Row {
        name: "pin",
        calls: &[sys::REEVE_NR_BO_PIN],
        from: &[Full, Pinned],
        leaves: Leaves::All,
        call: |scene| scene.device.pin(scene.handle()),
    },
    Row {
        name: "unpin",
        calls: &[sys::REEVE_NR_BO_UNPIN],
        from: &[Pinned],
        leaves: Leaves::All,
        call: |scene| scene.device.unpin(scene.handle()),
    },
    Row {
        name: "swapout",
        calls: &[sys::REEVE_NR_BO_SWAPOUT],
        from: UNPINNED,
        leaves: Leaves::All,
        call: |scene| scene.device.swapout(scene.handle()).map(drop),
    },
    Row {
        name: "backup",
        calls: &[sys::REEVE_NR_BO_BACKUP],
        from: UNPINNED,
        leaves: Leaves::All,
        call: |scene| scene.device.backup(scene.handle()).map(drop),
    },
    Row {
        name: "backup and writeback",
        calls: &[sys::REEVE_NR_BO_BACKUP],
        from: &[Full],
        leaves: Leaves::All,
        call: |scene| scene.back_up(sys::REEVE_BO_BACKUP_WRITEBACK),
    },
    Row {
        name: "purge",
        calls: &[sys::REEVE_NR_BO_BACKUP],
        from: UNPINNED,
        leaves: Leaves::All,
        call: |scene| scene.back_up(sys::REEVE_BO_BACKUP_PURGE),
    },
    Row {
        name: "restore",
        calls: &[sys::REEVE_NR_BO_RESTORE],
        from: UNPINNED,
        leaves: Leaves::All,
        call: |scene| scene.device.restore(scene.handle()).map(drop),
    },
    Row {
        name: "read",
        calls: &[sys::REEVE_NR_BO_READ],
        from: ANY,
        leaves: Leaves::Content,
        call: |scene| scene.device.read(scene.handle(), 0, &mut [0; SIZE]),
    },
    Row {
        name: "write",
        calls: &[sys::REEVE_NR_BO_WRITE],
        from: ANY,
        leaves: Leaves::SomeContent,
        call: |scene| {
            let bytes = Pattern::new(NEW).bytes(SIZE);
            scene.device.write(scene.handle(), 0, &bytes)
        },
    },
    Row {
        name: "where to map",
        calls: &[sys::REEVE_NR_BO_MMAP],
        from: &[Empty],
        leaves: Leaves::All,
        call: |scene| {
            scene.device.map_place(scene.handle())?;
            // Only the first call finds a place, so the next one is to be for a new object.
            scene.device.destroy(scene.handle())
        },
    },
    Row {
        name: "mmap and munmap",
        calls: &[],
        from: &[Empty, Full],
        leaves: Leaves::All,
        call: |scene| scene.device.map(scene.handle()).map(drop),
    },
    Row {
        name: "a fault of a reader",
        calls: &[],
        from: ANY,
        leaves: Leaves::Content,
        call: |scene| scene.fault(|mapping, file| memory::save(mapping, SIZE, file)),
    },
    Row {
        name: "a fault of a writer",
        calls: &[],
        from: ANY,
        leaves: Leaves::SomeContent,
        call: |scene| scene.fault(|mapping, file| memory::load(mapping, SIZE, file)),
    },
    Row {
        name: "start and stop a log",
        calls: &[sys::REEVE_NR_BO_LOG_START, sys::REEVE_NR_BO_LOG_STOP],
        from: ANY,
        leaves: Leaves::All,
        call: |scene| {
            scene.device.log_start(scene.handle())?;
            let stopped = scene.device.log_stop(scene.handle());
            if stopped.is_err() {
                scene.device.log_stop(scene.handle())?;
            }
            stopped.map(drop)
        },
    },
    Row {
        name: "get and clear a log",
        calls: &[
            sys::REEVE_NR_BO_LOG_GET,
            sys::REEVE_NR_BO_LOG_CLEAR,
            sys::REEVE_NR_BO_LOG_INFO,
        ],
        from: ANY,
        leaves: Leaves::All,
        call: |scene| {
            scene.with_log(|device, handle| {
                let mut words = [0];
                let before = device.log_info(handle)?.dirty;
                let got = device.log_get(handle, PAGES, &mut words);
                let cleared = got.and_then(|_| device.log_clear(handle, 0, PAGES, &[1]));
                let left = device.log_info(handle)?.dirty;
                match (&cleared, before - left) {
                    (Ok(1), 1) | (Err(_), 0) => cleared.map(drop),
                    _ => Err(io::Error::other(format!(
                        "{cleared:?}, {left} of {before} left"
                    ))),
                }
            })
        },
    },
    Row {
        name: "get of a log that it clears",
        calls: &[sys::REEVE_NR_BO_LOG_GET],
        from: &[Full],
        leaves: Leaves::All,
        call: |scene| {
            scene.with_log_in(sys::REEVE_LOG_LEGACY, |device, handle| {
                let mut byte = [0];
                device.read(handle, 0, &mut byte)?;
                device.write(handle, 0, &byte)?;
                let before = device.log_info(handle)?.dirty;
                let got = device.log_get(handle, PAGES, &mut [0]);
                match (&got, device.log_info(handle)?.dirty) {
                    (Ok(dirty), 0) if *dirty == before => got.map(drop),
                    (Err(_), left) if left == before => got.map(drop),
                    (_, left) => Err(io::Error::other(format!(
                        "{got:?}, {left} of {before} left"
                    ))),
                }
            })
        },
    },
    Row {
        name: "fence a log",
        calls: &[sys::REEVE_NR_BO_LOG_FENCE],
        from: ANY,
        leaves: Leaves::All,
        call: |scene| {
            scene.with_log(|device, handle| {
                let fence = device.log_fence(handle);
                let fences = device.log_info(handle)?.fences;
                match (fence, fences) {
                    (Ok(fence), 1) => drop(fence),
                    (Err(error), 0) => return Err(error),
                    (fence, _) => {
                        return Err(io::Error::other(format!("{fence:?}, {fences} fences")))
                    }
                }
                match device.log_info(handle)?.fences {
                    0 => Ok(()),
                    left => Err(io::Error::other(format!("{left} fences are left"))),
                }
            })
        },
    },
    Row {
        name: "fdinfo",
        calls: &[],
        from: &[Full],
        leaves: Leaves::All,
        call: |scene| {
            let fd = scene.device.as_fd().as_raw_fd();
            fs::read(format!("/proc/self/fdinfo/{fd}")).map(drop)
        },
    },
];

/// Calls on objects that have addresses for the device.
const ADDRESS_ROWS: &[Row] = &[Row {
    name: "dma address",
    calls: &[sys::REEVE_NR_BO_DMA_ADDRESS],
    from: &[Full, Pinned],
    leaves: Leaves::All,
    call: |scene| {
        scene
            .device
            .dma_address(scene.handle(), PAGES - 1)
            .map(drop)
    },
}];

/// What goes on without an object.
const OTHER_ROWS: &[Row] = &[
    Row {
        name: "version",
        calls: &[sys::REEVE_NR_VERSION],
        from: &[Full],
        leaves: Leaves::All,
        call: |scene| scene.device.version().map(drop),
    },
    Row {
        name: "stats",
        calls: &[sys::REEVE_NR_STATS],
        from: &[Full],
        leaves: Leaves::All,
        call: |scene| scene.device.stats().map(drop),
    },
    Row {
        name: "open and close",
        calls: &[],
        from: &[Full],
        leaves: Leaves::All,
        call: |_| Device::open(reeve_uapi::DEFAULT_PATH).map(drop),
    },
    Row {
        name: "create",
        calls: &[sys::REEVE_NR_BO_CREATE, sys::REEVE_NR_BO_DESTROY],
        from: &[Full],
        leaves: Leaves::All,
        call: |scene| create_any(&scene.device),
    },
    Row {
        name: "file limit",
        calls: &[sys::REEVE_NR_FILE_LIMIT],
        from: &[Full],
        leaves: Leaves::All,
        call: |scene| {
            scene.device.file_limit()?;
            scene.device.set_file_limit(1000).map(drop)
        },
    },
    Row {
        name: "log mode",
        calls: &[sys::REEVE_NR_LOG_MODE],
        from: &[Full],
        leaves: Leaves::All,
        call: |scene| {
            scene.device.log_mode()?;
            scene.device.set_log_mode(0).map(drop)
        },
    },
    Row {
        name: "lock sanity",
        calls: &[sys::REEVE_NR_LOCK_SANITY],
        from: &[Full],
        leaves: Leaves::All,
        call: |scene| match scene.device.lock_sanity()?.failed {
            0 => Ok(()),
            failed => Err(io::Error::other(format!("{failed} failed"))),
        },
    },
    Row {
        name: "files of debugfs",
        calls: &[],
        from: &[Full],
        leaves: Leaves::All,
        call: |_| {
            for name in [
                "accounting",
                "page_pool",
                "buffer_objects",
                "latency",
                "dirty_logs",
                "bo_shrink",
                "prepare_hibernation",
                "page_pool_shrink",
            ] {
                knobs::debugfs(name)?;
            }
            Ok(())
        },
    },
    Row {
        name: "a parameter",
        calls: &[],
        from: &[Full],
        leaves: Leaves::All,
        call: |_| {
            let limit = knobs::parameter("pages_limit")?;
            knobs::set_parameter("pages_limit", &limit)
        },
    },
];

/// The calls that leave the addresses as they were when they fail.
const KEEPS_ADDRESSES: [u32; 2] = [sys::REEVE_NR_BO_POPULATE, sys::REEVE_NR_BO_SWAPOUT];

/// The content before, and the content that is written.
const OLD: u64 = 3;
const NEW: u64 = 4;

/// An object of each type, gone again.
fn create_any(device: &Device) -> io::Result<()> {
    let plain = Create::new(SIZE as u64);
    for create in [
        plain,
        plain.kind(BoType::Kernel),
        plain.kind(BoType::Sg),
        plain.kind(BoType::Sg).mappable(),
        plain.shmem(),
        plain.caching(Caching::Uncached).dma32().extra(2),
    ] {
        let handle = device.create(create)?;
        if let Err(err) = device.destroy(handle) {
            // It was the argument that could not be copied.
            device.destroy(handle)?;
            return Err(err);
        }
    }
    Ok(())
}

/// An object in some state, and others that must not notice.
struct Scene {
    device: Device,
    create: Create,
    handle: Cell<Handle>,
    state: Cell<State>,
    file: File,
    /// The group that this process is in, below the next one: it has to end first.
    inside: RefCell<Option<(Inside, Group)>>,
    /// The group that the object is charged to, if any.
    group: Option<Group>,
}

impl Scene {
    fn new(create: Create) -> Outcome<Self> {
        let device = open()?;
        let full = device.create(Create::new(2 * PAGE))?;
        device.write(full, 0, &[1; 8])?;
        let swapped = device.create(Create::new(2 * PAGE))?;
        device.write(swapped, 0, &[2; 8])?;
        device.swapout(swapped)?;
        let path = format!("/tmp/reeve-sweep-{}", std::process::id());
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(true);
        let file = file.open(&path)?;
        fs::remove_file(path)?;
        Ok(Self {
            handle: Cell::new(device.create(create)?),
            device,
            create,
            state: Cell::new(Empty),
            file,
            inside: RefCell::new(None),
            group: None,
        })
    }

    /// The same with an object that is charged to a group.
    fn in_group(create: Create, group: Group) -> Outcome<Self> {
        let mut scene = Self::new(create)?;
        scene.group = Some(group);
        scene.enter_new_group()?;
        Ok(scene)
    }

    /// Puts this process into a new group below the scene's, so that what the module makes when a group is charged for
    /// the first time has to be made.
    fn enter_new_group(&self) -> Outcome {
        if let Some(group) = &self.group {
            // In this order: out of the old one, its end, the new one.
            self.inside.take();
            let child = group.child(DMEM, "sweep")?;
            self.inside.replace(Some((child.enter()?, child)));
        }
        Ok(())
    }

    /// The group is charged for what the object has, and nothing else.
    fn check_charge(&self) -> Outcome {
        let Some(group) = &self.group else {
            return Ok(());
        };
        let info = self.device.info(self.handle());
        let charged = info.map_or(0, |info| info.pages_charged);
        check_eq!(group.dmem_pages()?, charged);
        Ok(())
    }

    fn handle(&self) -> Handle {
        self.handle.get()
    }

    /// Calls `f` while the object has a log in the mode that begins all ones.
    fn with_log(&self, f: impl FnOnce(&Device, Handle) -> io::Result<()>) -> io::Result<()> {
        self.with_log_in(sys::REEVE_LOG_MANUAL | sys::REEVE_LOG_INITIALLY_SET, f)
    }

    fn with_log_in(
        &self,
        mode: u32,
        f: impl FnOnce(&Device, Handle) -> io::Result<()>,
    ) -> io::Result<()> {
        let (device, handle) = (&self.device, self.handle());
        device.set_log_mode(mode)?;
        device.log_start(handle)?;
        let result = f(device, handle);
        let stopped = device.log_stop(handle);
        if stopped.is_err() {
            device.log_stop(handle)?;
        }
        result.and(stopped.map(drop))
    }

    fn back_up(&self, flags: u32) -> io::Result<()> {
        self.device.backup_with(self.handle(), flags).map(drop)
    }

    fn fault(&self, copy: fn(&Mapping, &File) -> io::Result<()>) -> io::Result<()> {
        copy(&self.device.map(self.handle())?, &self.file)
    }

    /// Gets the object from any state into this one. The pool is emptied: pages from it would take
    /// no allocation.
    fn prepare(&self, state: State) -> Outcome {
        if self.device.info(self.handle()).is_err() {
            self.handle.set(self.device.create(self.create)?);
        }
        let (device, handle) = (&self.device, self.handle());
        for _ in 0..device.info(handle)?.pin_count {
            device.unpin(handle)?;
        }
        device.populate(handle)?;
        device.unpopulate(handle)?;
        if state != Empty {
            device.write(handle, 0, &Pattern::new(OLD).bytes(SIZE))?;
        }
        match state {
            Empty | Full => {}
            Pinned => device.pin(handle)?,
            Swapped => drop(device.swapout(handle)?),
            BackedUp => drop(device.backup(handle)?),
        }
        // What writers to mappings put there.
        memory::fill(&self.file, &Pattern::new(NEW).bytes(SIZE))?;
        self.state.set(state);
        self.enter_new_group()?;
        Ok(knobs::drain_pool()?)
    }

    /// The addresses that the device has for the pages: none for an object without them, or without pages.
    fn addresses(&self) -> Vec<(u64, u64)> {
        let address = |page| self.device.dma_address(self.handle(), page).ok();
        (0..PAGES).filter_map(address).collect()
    }

    /// The content is what it was, or in part what the call writes.
    fn check_content(&self, leaves: Leaves) -> Outcome {
        let mut found = vec![0xee; SIZE];
        self.device.read(self.handle(), 0, &mut found)?;
        let old = match self.state.get() {
            Empty => vec![0; SIZE],
            _ => Pattern::new(OLD).bytes(SIZE),
        };
        let new = Pattern::new(NEW).bytes(SIZE);
        let wrong = (0..SIZE).find(|&at| {
            let written = leaves == Leaves::SomeContent && found[at] == new[at];
            found[at] != old[at] && !written
        });
        check_eq!(wrong, None);
        Ok(())
    }

    /// Counters and what they count agree, and nothing is half-populated.
    fn check_counters(&self) -> Outcome {
        let all = self.device.list()?;
        let charged: u64 = all.iter().map(|info| info.pages_charged).sum();
        check_eq!(self.device.stats()?.pages_allocated, charged);
        let resident = self.device.info(self.handle())?.pages_resident;
        check!(resident == 0 || resident == PAGES, "{resident} pages");
        Ok(())
    }
}

/// Fails every allocation of the call once; returns how often it failed.
fn sweep(faults: &mut Faults, scene: &Scene, row: &Row, state: State) -> Outcome<u32> {
    let mut failures = 0;
    let prepare = || {
        scene.prepare(state)?;
        Ok((scene.addresses(), Seen::of(&scene.device)?))
    };
    let judge = |(addresses, before): (Vec<(u64, u64)>, Seen), result: io::Result<()>, reached| {
        scene.check_charge()?;
        // Without an error that it found a way around, or that none was left to fail.
        let Err(err) = result else {
            return Ok(());
        };
        expected(&err, reached)?;
        failures += 1;
        match row.leaves {
            Leaves::All => before.still(&scene.device)?,
            _ => scene.check_counters()?,
        }
        if KEEPS_ADDRESSES.iter().any(|call| row.calls.contains(call)) {
            check_eq!(scene.addresses(), addresses);
        }
        scene.check_content(row.leaves)
    };
    faults
        .each(prepare, || (row.call)(scene), judge)
        .map_err(|stop| stop.during(format!("{} from {state:?}", row.name)))?;
    Ok(failures)
}

/// Calls that external objects refuse.
const NOT_EXTERNAL: [u32; 4] = [
    sys::REEVE_NR_BO_SWAPOUT,
    sys::REEVE_NR_BO_LOG_START,
    sys::REEVE_NR_BO_LOG_GET,
    sys::REEVE_NR_BO_LOG_FENCE,
];

fn sweep_rows<'a>(rows: impl IntoIterator<Item = &'a Row>, create: Create) -> Outcome {
    sweep_scene(rows, &Scene::new(create)?)
}

fn sweep_scene<'a>(rows: impl IntoIterator<Item = &'a Row>, scene: &Scene) -> Outcome {
    let mut faults = Faults::new()?;
    let create = scene.create;
    let mut failures = 0;
    for row in rows {
        let external = create.kind == BoType::Sg;
        for state in row.from {
            // Those are not swapped out, and have no log.
            let refused = row.calls.iter().any(|call| NOT_EXTERNAL.contains(call));
            if external && (*state == Swapped || refused) {
                continue;
            }
            let failed = sweep(&mut faults, scene, row, *state)?;
            // The argument cannot be copied, to say the least.
            if matches!(
                (row.name, *state),
                ("populate", Empty | Swapped) | ("restore", BackedUp) | ("fence a log", _)
            ) {
                check!(failed > 0, "{} from {state:?} never failed", row.name);
            }
            failures += failed;
        }
    }
    println!("# {failures} failures");
    check!(failures > 0);
    Ok(())
}

fn plain() -> Create {
    Create::new(SIZE as u64)
}

fn pool_objects() -> Outcome {
    sweep_rows(OBJECT_ROWS, plain())
}

fn shmem_objects() -> Outcome {
    sweep_rows(OBJECT_ROWS, plain().shmem())
}

fn write_combined_objects() -> Outcome {
    sweep_rows(OBJECT_ROWS, plain().caching(Caching::WriteCombined))
}

fn uncached_objects() -> Outcome {
    sweep_rows(OBJECT_ROWS, plain().caching(Caching::Uncached))
}

fn dma32_objects() -> Outcome {
    sweep_rows(OBJECT_ROWS, plain().dma32().zeroed())
}

fn external_objects() -> Outcome {
    sweep_rows(OBJECT_ROWS, plain().kind(BoType::Sg).mappable())
}

/// The calls that give and take pages, and so map, unmap and charge; the others do what they do for any object.
fn rows_that_move_pages() -> impl Iterator<Item = &'static Row> {
    const MOVING: [u32; 6] = [
        sys::REEVE_NR_BO_DESTROY,
        sys::REEVE_NR_BO_POPULATE,
        sys::REEVE_NR_BO_UNPOPULATE,
        sys::REEVE_NR_BO_SWAPOUT,
        sys::REEVE_NR_BO_BACKUP,
        sys::REEVE_NR_BO_RESTORE,
    ];
    let moves = |row: &&Row| row.calls.iter().any(|call| MOVING.contains(call));
    OBJECT_ROWS.iter().filter(moves)
}

fn objects_charged_to_a_cgroup() -> Outcome {
    let scene = Scene::in_group(plain(), Group::new(DMEM)?)?;
    sweep_scene(rows_that_move_pages(), &scene)
}

fn objects_with_addresses() -> Outcome {
    let create = plain().dma_addresses();
    for create in [
        create,
        create.caching(Caching::WriteCombined),
        create.shmem(),
    ] {
        let during = |stop: Stop| stop.during(format!("{create:?}"));
        sweep_rows(rows_that_move_pages(), create).map_err(during)?;
        sweep_rows(ADDRESS_ROWS, create).map_err(during)?;
    }
    Ok(())
}

fn what_names_no_object() -> Outcome {
    sweep_rows(OTHER_ROWS, plain())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = include_str!("../../../../../rust/uapi/reeve.h");

    /// Names and numbers of all calls, from the text itself.
    fn calls() -> Vec<(&'static str, u32)> {
        let number = |text: &str| u32::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
        let defines = HEADER.lines().filter_map(|line| {
            let mut words = line.strip_prefix("#define REEVE_NR_")?.split_whitespace();
            Some((words.next()?, number(words.next()?)))
        });
        defines.collect()
    }

    #[test]
    fn every_call_of_the_abi_is_swept() {
        let calls = calls();
        assert!(calls.len() >= 19, "{calls:?}");
        let rows = || OBJECT_ROWS.iter().chain(ADDRESS_ROWS).chain(OTHER_ROWS);
        for (name, number) in calls {
            let swept = rows().any(|row| row.calls.contains(&number));
            assert!(swept, "REEVE_NR_{name}: add a row to the table of sweeps");
        }
    }

    #[test]
    fn every_state_is_swept() {
        for state in ANY {
            assert!(OBJECT_ROWS.iter().any(|row| row.from.contains(state)));
        }
    }
}
