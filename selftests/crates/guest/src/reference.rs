// SPDX-License-Identifier: GPL-2.0-or-later

//! C TTM, driven through the device of `selftests/modules/ttm`, and Reeve through its API for drivers, driven in the
//! same way. All `unsafe` around them is here.

use std::fs;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::errno::Errno;

use reeve_uapi::knobs;
use reeve_uapi::BoType;
use reeve_uapi::Caching;
use reeve_uapi::Create;

use crate::test::Outcome;
use crate::test::Stop;

const NODE: &str = "/dev/reeve_ttm";
const THROUGH: &str = "/dev/reeve_through";
const DEBUGFS: &str = "/sys/kernel/debug/ttm";
const PARAMETERS: &str = "/sys/module/ttm/parameters";

/// `TTM_TT_FLAG_*`.
pub(crate) const SWAPPED: u32 = 1 << 0;
pub(crate) const ZERO_ALLOC: u32 = 1 << 1;
pub(crate) const EXTERNAL: u32 = 1 << 2;
pub(crate) const EXTERNAL_MAPPABLE: u32 = 1 << 3;
pub(crate) const BACKED_UP: u32 = 1 << 5;
pub(crate) const POPULATED: u32 = 1 << 6;

/// `enum reference_op`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Op {
    Reset,
    Look,
    Create,
    Destroy,
    Populate,
    Unpopulate,
    Pin,
    Unpin,
    Swapout,
    Backup,
    Writeback,
    Purge,
    Restore,
    Read,
    Write,
}

/// `struct reference_call`; its documentation is in reference.h.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Call {
    op: u32,
    id: u32,
    device: u32,
    kind: u32,
    caching: u32,
    create_flags: u32,
    extra_pages: u32,
    pub(crate) page_flags: u32,
    size: u64,
    offset: u64,
    length: u64,
    addr: u64,
    result: i64,
    pub(crate) num_pages: u64,
    pub(crate) pages_held: u64,
    pub(crate) pins: u64,
    pub(crate) pages_allocated: i64,
    pub(crate) dma32_pages_allocated: i64,
    pub(crate) buffer_objects: i64,
}

/// `REFERENCE_OBJECTS`.
pub(crate) const OBJECTS: u32 = 64;

nix::ioctl_readwrite!(reference_call, 0xe8, 0, Call);

/// The open device.
pub(crate) struct Reference(File);

impl Reference {
    /// Opens it, and ends whatever objects it has.
    pub(crate) fn new() -> Outcome<Self> {
        Self::open(NODE)
    }

    /// Opens Reeve's API for drivers, likewise. What [`look`](Self::look) says has flags of Reeve's, and no counters.
    pub(crate) fn through() -> Outcome<Self> {
        Self::open(THROUGH)
    }

    fn open(node: &str) -> Outcome<Self> {
        if !Path::new(node).exists() {
            return Err(Stop::skipped(format!(
                "there is no {node}; see selftests/modules/ttm"
            )));
        }
        let reference = Self(File::options().read(true).write(true).open(node)?);
        reference.simply(Op::Reset, 0)?;
        Ok(reference)
    }

    /// Makes the object `id`.
    pub(crate) fn create(&self, id: u32, create: &Create) -> io::Result<()> {
        const REFERENCE_ZERO_ALLOC: u32 = 1;
        const REFERENCE_MAPPABLE: u32 = 2;
        const REFERENCE_DMA32: u32 = 4;
        const REFERENCE_SHMEM: u32 = 8;
        const REFERENCE_DMA_ADDRESSES: u32 = 16;
        let mut call = Call {
            op: Op::Create as u32,
            id,
            device: create.device,
            // enum ttm_bo_type, enum ttm_caching
            kind: match create.kind {
                BoType::Device => 0,
                BoType::Kernel => 1,
                BoType::Sg => 2,
            },
            caching: match create.caching {
                Caching::Uncached => 0,
                Caching::WriteCombined => 1,
                Caching::Cached => 2,
            },
            create_flags: (u32::from(create.zero) * REFERENCE_ZERO_ALLOC)
                | (u32::from(create.mappable) * REFERENCE_MAPPABLE)
                | (u32::from(create.dma32) * REFERENCE_DMA32)
                | (u32::from(create.shmem) * REFERENCE_SHMEM)
                | (u32::from(create.dma_addresses) * REFERENCE_DMA_ADDRESSES),
            extra_pages: create.extra_pages,
            size: create.size,
            ..Default::default()
        };
        self.run(&mut call).map(drop)
    }

    /// One of the calls that take nothing but an object.
    pub(crate) fn simply(&self, op: Op, id: u32) -> io::Result<u64> {
        self.run(&mut Self::call(op, id))
    }

    /// What is known about an object, if there is one, and the counters.
    pub(crate) fn look(&self, id: u32) -> io::Result<Call> {
        let mut call = Self::call(Op::Look, id);
        self.run(&mut call)?;
        Ok(call)
    }

    /// Fills `to` with the object's bytes from `offset` on.
    pub(crate) fn read(&self, id: u32, offset: u64, to: &mut [u8]) -> io::Result<()> {
        let mut call = Call {
            offset,
            length: to.len() as u64,
            addr: to.as_mut_ptr().expose_provenance() as u64,
            ..Self::call(Op::Read, id)
        };
        self.run(&mut call).map(drop)
    }

    /// Puts `from` into the object at `offset`.
    pub(crate) fn write(&self, id: u32, offset: u64, from: &[u8]) -> io::Result<()> {
        let mut call = Call {
            offset,
            length: from.len() as u64,
            addr: from.as_ptr().expose_provenance() as u64,
            ..Self::call(Op::Write, id)
        };
        self.run(&mut call).map(drop)
    }

    fn call(op: Op, id: u32) -> Call {
        Call {
            op: op as u32,
            id,
            ..Default::default()
        }
    }

    /// Private, as a call with an address in it comes from `read` and `write` only.
    fn run(&self, call: &mut Call) -> io::Result<u64> {
        // SAFETY: the file is open, and this is the struct that the number takes. READ writes, and
        // WRITE reads, the `length` bytes at `addr`, which `read` and `write` borrow meanwhile; no
        // other operation looks at the address.
        unsafe { reference_call(self.0.as_raw_fd(), call) }?;
        match u64::try_from(call.result) {
            Ok(pages) => Ok(pages),
            Err(_) => Err(Errno::from_raw(-call.result as i32).into()),
        }
    }
}

/// One global swapout by TTM; returns the pages freed.
pub(crate) fn shrink() -> Outcome<i64> {
    let text = fs::read_to_string(Path::new(DEBUGFS).join("tt_shrink"))?;
    Ok(knobs::number(&text)?)
}

/// Sets a parameter of TTM.
pub(crate) fn set_parameter(name: &str, value: i64) -> Outcome {
    Ok(fs::write(
        Path::new(PARAMETERS).join(name),
        value.to_string(),
    )?)
}
