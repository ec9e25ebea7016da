// SPDX-License-Identifier: GPL-2.0-or-later

//! The sample DRM driver: its render node, as programs use it, and what monitors read about all nodes.
//!
//! All `unsafe` around the node is here. The ioctls are those of `selftests/samples/gpu-drm/reeve_gpu_drm.h`.

use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::slice;

use nix::libc::c_void;
use nix::libc::off_t;
use nix::sys::mman::mmap;
use nix::sys::mman::munmap;
use nix::sys::mman::MapFlags;
use nix::sys::mman::ProtFlags;

use crate::test::Outcome;
use crate::test::Stop;

/// What the driver calls itself.
pub(crate) const DRIVER: &str = "reeve_gpu_drm";

/// Eviction drops the content.
pub(crate) const PURGEABLE: u32 = 1;

#[repr(C)]
#[derive(Default)]
struct CreateArgs {
    size: u64,
    flags: u32,
    handle: u32,
    offset: u64,
}

#[repr(C)]
#[derive(Default)]
struct SumArgs {
    handle: u32,
    pad: u32,
    sum: u64,
}

#[repr(C)]
#[derive(Default)]
struct MadviseArgs {
    handle: u32,
    purgeable: u32,
    retained: u32,
    pad: u32,
}

#[repr(C)]
#[derive(Default)]
struct CloseArgs {
    handle: u32,
    pad: u32,
}

#[repr(C)]
#[derive(Default)]
struct PrimeArgs {
    handle: u32,
    flags: u32,
    fd: i32,
}

/// What `unsafe fn`s of this module ask for: an open node, and arguments that live as long as the call.
mod calls {
    use super::*;

    nix::ioctl_readwrite!(create, b'd', 0x40, CreateArgs);
    nix::ioctl_readwrite!(sum, b'd', 0x41, SumArgs);
    nix::ioctl_readwrite!(madvise, b'd', 0x42, MadviseArgs);
    nix::ioctl_write_ptr!(close, b'd', 0x09, CloseArgs);
    nix::ioctl_readwrite!(export, b'd', 0x2d, PrimeArgs);
}

/// An open render node of the sample driver.
pub(crate) struct Node(File);

/// An object of an open node.
#[derive(Clone, Copy)]
pub(crate) struct Object {
    pub(crate) handle: u32,
    offset: u64,
    bytes: usize,
}

/// Makes one of the calls; its arguments are returned.
macro_rules! call {
    ($node:expr, $call:ident, $args:expr) => {{
        let mut args = $args;
        // SAFETY: the node is open, and the arguments are what this call wants, on this stack.
        unsafe { calls::$call($node.0.as_raw_fd(), &raw mut args) }
            .map(|_| args)
            .map_err(io::Error::from)
    }};
}

impl Node {
    /// Opens the render node of the sample driver, whichever number it has.
    pub(crate) fn open() -> io::Result<Self> {
        for entry in fs::read_dir("/sys/class/drm")? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let device = fs::read_link(entry.path())?;
            if name.starts_with("renderD") && device.to_string_lossy().contains(DRIVER) {
                let path = PathBuf::from("/dev/dri").join(name);
                return Ok(Self(File::options().read(true).write(true).open(path)?));
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// Makes an object.
    pub(crate) fn create(&self, bytes: usize, flags: u32) -> io::Result<Object> {
        let size = bytes as u64;
        let args = CreateArgs {
            size,
            flags,
            ..CreateArgs::default()
        };
        let made = call!(self, create, args)?;
        Ok(Object {
            handle: made.handle,
            offset: made.offset,
            bytes,
        })
    }

    /// Has the GPU sum its bytes up.
    pub(crate) fn sum(&self, handle: u32) -> io::Result<u64> {
        let args = SumArgs {
            handle,
            ..SumArgs::default()
        };
        Ok(call!(self, sum, args)?.sum)
    }

    /// Says whether the content is needed; returns whether it is there.
    pub(crate) fn madvise(&self, handle: u32, purgeable: u32) -> io::Result<bool> {
        let args = MadviseArgs {
            handle,
            purgeable,
            ..MadviseArgs::default()
        };
        Ok(call!(self, madvise, args)?.retained != 0)
    }

    /// Closes a handle.
    pub(crate) fn close(&self, handle: u32) -> io::Result<()> {
        call!(self, close, CloseArgs { handle, pad: 0 }).map(drop)
    }

    /// Exports an object as a dma-buf.
    pub(crate) fn export(&self, handle: u32) -> io::Result<i32> {
        let args = PrimeArgs {
            handle,
            ..PrimeArgs::default()
        };
        Ok(call!(self, export, args)?.fd)
    }

    /// Maps all of an object.
    pub(crate) fn map(&self, object: Object) -> io::Result<Map> {
        let length = NonZeroUsize::new(object.bytes).ok_or(io::ErrorKind::InvalidInput)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let offset = object.offset as off_t;
        // SAFETY: no address is asked for, so that nothing that exists is replaced.
        let start = unsafe {
            mmap(
                None,
                length,
                protection,
                MapFlags::MAP_SHARED,
                self.0.as_fd(),
                offset,
            )
        }?;
        Ok(Map {
            start,
            bytes: object.bytes,
        })
    }

    /// What /proc says about the open file: keys and values.
    pub(crate) fn fdinfo(&self) -> Outcome<BTreeMap<String, String>> {
        parsed(&fs::read_to_string(format!(
            "/proc/self/fdinfo/{}",
            self.0.as_raw_fd()
        ))?)
    }

    /// The KiB under a key of that.
    pub(crate) fn kib(&self, key: &str) -> Outcome<u64> {
        let info = self.fdinfo()?;
        let value = info.get(key).and_then(|value| value.strip_suffix(" KiB"));
        value
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| Stop::failed(format!("no {key} in {info:?}")))
    }
}

/// A mapping of an object.
pub(crate) struct Map {
    start: NonNull<c_void>,
    bytes: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread.
unsafe impl Send for Map {}

impl Map {
    /// Its bytes. The GPU only reads them.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: it is mapped as long as this lives, for so many bytes; no other reference is made.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.bytes) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: it was mapped so, and no reference to it is left.
        let _ = unsafe { munmap(self.start, self.bytes) };
    }
}

fn parsed(text: &str) -> Outcome<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for line in text.lines() {
        let (key, value) = line
            .split_once(':')
            .ok_or_else(|| Stop::failed(format!("no key in {line:?}")))?;
        if all
            .insert(key.to_owned(), value.trim().to_owned())
            .is_some()
        {
            return Err(Stop::failed(format!("{key} is there twice")));
        }
    }
    Ok(all)
}

/// What a monitor such as nvtop shows of one client of a GPU.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) driver: String,
    /// Region, and total, shared, resident and active bytes.
    pub(crate) regions: BTreeMap<String, [u64; 4]>,
    /// Engine, and how long it worked, in ns.
    pub(crate) engines: BTreeMap<String, u64>,
}

/// Finds the clients of all GPUs that a process has open, as such monitors do: by the files in `/dev/dri`, each
/// client once. They know `Documentation/gpu/drm-usage-stats.rst`, and nothing of the driver.
pub(crate) fn clients(pid: &str) -> Outcome<BTreeMap<u64, Usage>> {
    let mut clients = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        let Ok(target) = fs::read_link(entry.path()) else {
            continue;
        };
        if !target.starts_with("/dev/dri") {
            continue;
        }
        let number = entry.file_name();
        let text = fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", number.to_string_lossy()))?;
        let (id, usage) = usage(&parsed(&text)?)?;
        clients.insert(id, usage);
    }
    Ok(clients)
}

fn usage(info: &BTreeMap<String, String>) -> Outcome<(u64, Usage)> {
    let missing = |key: &str| Stop::failed(format!("no {key} in {info:?}"));
    let mut usage = Usage {
        driver: info
            .get("drm-driver")
            .ok_or_else(|| missing("drm-driver"))?
            .clone(),
        ..Usage::default()
    };
    let id = info
        .get("drm-client-id")
        .and_then(|id| id.parse().ok())
        .ok_or_else(|| missing("drm-client-id"))?;
    for (key, value) in info {
        let bad = || Stop::failed(format!("{key} can't be {value:?}"));
        let mut words = value.split_whitespace();
        let number = || value.split_whitespace().next()?.parse::<u64>().ok();
        let unit = words.nth(1);
        if let Some(engine) = key.strip_prefix("drm-engine-") {
            let ns = number().filter(|_| unit == Some("ns")).ok_or_else(bad)?;
            usage.engines.insert(engine.to_owned(), ns);
        }
        for (at, kind) in ["total", "shared", "resident", "active"].iter().enumerate() {
            if let Some(region) = key.strip_prefix(&format!("drm-{kind}-")) {
                let factor = match unit {
                    None => 1,
                    Some("KiB") => 1 << 10,
                    Some("MiB") => 1 << 20,
                    Some(_) => return Err(bad()),
                };
                let region = usage.regions.entry(region.to_owned()).or_default();
                region[at] = number().ok_or_else(bad)? * factor;
            }
        }
    }
    Ok((id, usage))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_as_documented() {
        let text = "pos:\t0\ndrm-driver:\tx\ndrm-client-id:\t7\ndrm-engine-copy:\t12 ns\n\
                    drm-total-system:\t2 MiB\ndrm-resident-system:\t4096\ndrm-active-system: 1 KiB\nx-y: z\n";
        let (id, usage) = usage(&parsed(text).unwrap()).unwrap();
        assert_eq!((id, usage.driver.as_str()), (7, "x"));
        assert_eq!(usage.regions["system"], [2 << 20, 0, 4096, 1024]);
        assert_eq!(usage.engines["copy"], 12);
        assert!(parsed("a: 1\na: 2\n").is_err());
        for wrong in ["drm-driver:\tx\n", "drm-client-id:\t7\n"] {
            assert!(super::usage(&parsed(wrong).unwrap()).is_err());
        }
    }
}
