// SPDX-License-Identifier: GPL-2.0-or-later
//! What the back end's operations cost, next to those of vhost-user-backend: for `make bench`, in a guest whose clock
//! counts instructions.
//!
//! Its argument is the back end's program. It prints a line for each figure: `bench NAME NANOSECONDS OPERATIONS`.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context, Result};
use reeve_vhost_user::backend::Backend;
use reeve_vhost_user::device::Device;
use reeve_vhost_user::features::LOG_SHMFD;
use reeve_vhost_user::front::{memory_file, Area, Kind, Session};
use reeve_vhost_user::local::Local;
use reeve_vhost_user::log::{DirtyLog, LOG_PAGE};
use reeve_vhost_user::memory::Memory;
use reeve_vhost_user::server::Silent;
use reeve_vhost_user::wire::words;
use vhost::vhost_user::message::FrontendReq;
use vm_memory::bitmap::Bitmap;
use vm_memory::{GuestAddressSpace, GuestMemoryBackend, GuestMemoryRegion};

#[path = "../tests/common/daemon.rs"]
mod daemon;

/// How many pages are marked in a row.
const PAGES: u64 = 4096;
/// How often each is measured; the least counts.
const RUNS: u32 = 16;
/// How many messages are sent in a row.
const MESSAGES: u32 = 64;

/// Measures, and prints the least of the runs.
fn bench(name: &str, operations: u32, mut run: impl FnMut() -> Result<()>) -> Result<()> {
    let mut least = u128::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        run()?;
        least = least.min(start.elapsed().as_nanos());
    }
    println!("bench {name} {least} {operations}");
    Ok(())
}

fn main() -> Result<()> {
    let peer = env::args().nth(1).context("give the back end's program")?;
    let dir = env::temp_dir().join(format!("reeve-vhost-bench-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let done = ours(&dir)
        .and_then(|()| theirs(&dir))
        .and_then(|()| resident(&dir, &peer));
    fs::remove_dir_all(&dir)?;
    done
}

/// Returns memory of [`PAGES`] pages with a log.
fn memory() -> Result<Memory> {
    let size = PAGES * LOG_PAGE;
    let mut memory = Memory::default();
    memory.add(Area::new(0, size).info(), &memory_file(size)?)?;
    memory.set_log(DirtyLog::new(memory_file(LOG_PAGE)?, LOG_PAGE, 0)?)?;
    Ok(memory)
}

fn ours(dir: &Path) -> Result<()> {
    let mut memory = memory()?;
    memory.set_logging(true)?;
    bench("vhost.mark", PAGES as u32, || {
        for page in 0..PAGES {
            memory.mark(page * LOG_PAGE, LOG_PAGE)?;
        }
        Ok(())
    })?;
    let data = [7; LOG_PAGE as usize];
    for (name, logging) in [("vhost.write.logged", true), ("vhost.write.plain", false)] {
        memory.set_logging(logging)?;
        bench(name, PAGES as u32, || {
            for page in 0..PAGES {
                memory.write(page * LOG_PAGE, &data)?;
            }
            Ok(())
        })?;
    }
    let device = Device::blk(Device::pattern(1));
    let offer = device.features();
    let backend = Backend::new(device, offer, None);
    let local = Local::start(&dir.join("ours"), backend, Box::new(Silent))?;
    messages("vhost.message", local.path())
}

/// Has a ring's size set, with an acknowledgement, time and again.
fn messages(name: &str, socket: &Path) -> Result<()> {
    let session = Session::new(socket, Kind::Blk, &[])?;
    bench(name, MESSAGES, || {
        for _ in 0..MESSAGES {
            let body = words(&[0, 16]);
            session
                .front
                .set(FrontendReq::SET_VRING_NUM, body, Vec::new())?;
        }
        Ok(())
    })
}

fn theirs(dir: &Path) -> Result<()> {
    let socket = dir.join("theirs");
    let (tell, told) = mpsc::channel();
    daemon::serve(&socket, move |memory| {
        // Nothing listens any more when all is measured.
        let _ = tell.send(memory);
    });
    let memory = told.recv()?;
    let mut session = Session::new(&socket, Kind::Blk, &[LOG_SHMFD])?;
    session.areas(&[Area::new(0, PAGES * LOG_PAGE)])?;
    session.log(LOG_PAGE, 0)?;
    let memory = memory.memory();
    let region = memory.iter().next().context("there is no memory")?;
    let bitmap = region.bitmap();
    bench("vhost.mark.peer", PAGES as u32, || {
        for page in 0..PAGES {
            bitmap.mark_dirty((page * LOG_PAGE) as usize, LOG_PAGE as usize);
        }
        Ok(())
    })?;
    anyhow::ensure!(bitmap.dirty_at(0), "the crates mark nothing");
    drop(session);
    messages("vhost.message.peer", &socket)
}

/// Prints how many bytes of the program are resident with 512 MiB of the guest's memory mapped and untouched.
fn resident(dir: &Path, program: &str) -> Result<()> {
    let socket = dir.join("peer");
    let mut peer = Command::new(program)
        .arg("--socket")
        .arg(&socket)
        .args(["--device", "blk"])
        .spawn()
        .with_context(|| format!("starting {program}"))?;
    let measured = || -> Result<u64> {
        let mut session = Session::new(&socket, Kind::Blk, &[])?;
        session.areas(&[Area::new(0, 512 << 20)])?;
        session.start(0)?;
        session.io()?;
        let status = fs::read_to_string(format!("/proc/{}/status", peer.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        Ok(kib.context("no VmRSS")?.parse::<u64>()? * 1024)
    };
    let bytes = measured();
    peer.kill()?;
    peer.wait()?;
    println!("bench vhost.memory {} 1", bytes?);
    Ok(())
}
