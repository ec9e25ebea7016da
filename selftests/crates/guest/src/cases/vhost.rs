// SPDX-License-Identifier: GPL-2.0-or-later

//! A Reeve object as the shared memory of a vhost-user connection: a back end that marks nothing writes it, and the
//! object's dirty log reports what it wrote.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use reeve_uapi::sys;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use reeve_vhost_user::features;
use reeve_vhost_user::front::Area;
use reeve_vhost_user::front::Kind;
use reeve_vhost_user::front::Part;
use reeve_vhost_user::front::Session;
use reeve_vhost_user::front::MEMORY;
use reeve_vhost_user::log::LOG_PAGE;

use crate::seen::open;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;
use crate::test::Stop;

cases!("vhost";
    the_dirty_log_has_what_a_back_end_wrote,
    a_swapped_out_object_is_served_and_logged,
);

const PAGES: u64 = MEMORY / LOG_PAGE;

/// The back end's program, a disk of 1 MiB that marks nothing; it ends, and its socket goes, with this.
struct Peer {
    child: Child,
    socket: PathBuf,
}

impl Peer {
    fn start() -> Outcome<Self> {
        let socket = std::env::temp_dir().join(format!("vhost-{}", std::process::id()));
        let child = Command::new("reeve-vhost-peer")
            .arg("--socket")
            .arg(&socket)
            .args(["--device", "blk", "--without", "LOG_ALL"])
            .stdin(Stdio::null())
            .spawn()
            .map_err(|err| Stop::skipped(format!("no reeve-vhost-peer here: {err}")))?;
        Ok(Self { child, socket })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // One that has ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.socket);
    }
}

/// What the front end's library found wrong.
fn front<T>(result: Result<T, impl std::fmt::Display>) -> Outcome<T> {
    result.map_err(|err| Stop::failed(format!("{err:#}")))
}

/// A driver whose memory is an object that logs, and the back end.
struct Shared {
    device: Device,
    handle: Handle,
    session: Session,
    /// Goes after the connection.
    _peer: Peer,
}

impl Shared {
    fn new(create: Create) -> Outcome<Self> {
        let device = open()?;
        let handle = device.create(create)?;
        let place = device.map_place(handle)?;
        check_eq!(place.length, MEMORY);
        let peer = Peer::start()?;
        let mut session = front(Session::new(&peer.socket, Kind::Blk, &[]))?;
        check!(!session.offer.has(features::LOG_ALL));
        let area = Area {
            guest: 0,
            size: MEMORY,
            offset: place.offset,
        };
        front(session.adopt(area, device.as_fd().try_clone_to_owned()?))?;
        front(session.table())?;
        front(session.start(0))?;
        check_eq!(
            device.set_log_mode(sys::REEVE_LOG_MANUAL)?.0,
            sys::REEVE_LOG_MANUAL
        );
        check_eq!(device.log_start(handle)?, PAGES);
        Ok(Self {
            device,
            handle,
            session,
            _peer: peer,
        })
    }

    /// The pages that the log reports.
    fn dirty(&self) -> Outcome<BTreeSet<u64>> {
        let mut words = [0; PAGES as usize / 64];
        self.device.log_get(self.handle, PAGES, &mut words)?;
        let is_set = |page: &u64| words[(page / 64) as usize] >> (page % 64) & 1 != 0;
        Ok((0..PAGES).filter(is_set).collect())
    }

    /// Has the disk read `sectors` to `at`. From when the driver has written its part to the end, what the log reports
    /// is exactly what has another content, and no less than the buffers.
    fn reads(&mut self, at: u64, sectors: u32, before: impl FnOnce(&Self) -> Outcome) -> Outcome {
        let mut parts: Vec<Part> = front(self.session.request())?;
        parts[1] = (at, sectors * 512, true);
        front(self.session.fill(&parts))?;
        front(self.session.submit(&parts))?;
        let all = [u64::MAX; PAGES as usize / 64];
        self.device.log_clear(self.handle, 0, PAGES, &all)?;
        let old = front(self.session.snapshot())?;
        before(self)?;
        check_eq!(self.dirty()?, BTreeSet::new());
        front(self.session.kick())?;
        front(self.session.served())?;
        let dirty = self.dirty()?;
        let new = front(self.session.snapshot())?;
        let changed: BTreeSet<u64> = old
            .iter()
            .zip(&new)
            .filter(|(old, new)| old.1 != new.1)
            .map(|(old, _)| old.0 / LOG_PAGE)
            .collect();
        check_eq!(dirty, changed, "after {sectors} sectors to {at:#x}");
        let last = at + u64::from(sectors) * 512 - 1;
        let mut written: BTreeSet<u64> = (at / LOG_PAGE..=last / LOG_PAGE).collect();
        // The status, and the used ring.
        written.extend([parts[2].0 / LOG_PAGE, self.session.used_at() / LOG_PAGE]);
        check_eq!(dirty, written, "after {sectors} sectors to {at:#x}");
        Ok(())
    }
}

/// Where the data go, and how many sectors: within a page, over an edge, over many pages, at the object's end.
const READS: [(u64, u32); 6] = [
    (0x9_0000, 1),
    (0x9_1e00, 1),
    (0x9_2e00, 2),
    (0xa_0200, 64),
    (MEMORY - 512, 1),
    (MEMORY - 0x2_0000, 256),
];

fn the_dirty_log_has_what_a_back_end_wrote() -> Outcome {
    for create in [
        Create::new(MEMORY),
        Create::new(MEMORY).zeroed(),
        Create::new(MEMORY).shmem(),
    ] {
        let mut shared = Shared::new(create)?;
        for (at, sectors) in READS {
            shared.reads(at, sectors, |_| Ok(()))?;
        }
    }
    Ok(())
}

/// The object leaves memory in between: the back end's next access brings it back, and is logged.
fn a_swapped_out_object_is_served_and_logged() -> Outcome {
    let mut shared = Shared::new(Create::new(MEMORY))?;
    for (at, sectors) in READS {
        shared.reads(at, sectors, |shared| {
            check_eq!(shared.device.swapout(shared.handle)?, PAGES);
            Ok(())
        })?;
    }
    Ok(())
}
