// SPDX-License-Identifier: GPL-2.0-or-later

//! Making memory short: swap space to be used up, and a process that takes memory.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::errno::Errno;
use nix::libc;

use crate::test::check;
use crate::test::Outcome;
use crate::test::Stop;

/// Where swap may be: a disk that the guest has for this, or memory.
const DEVICES: [&str; 2] = ["/dev/vda", "/dev/ram0"];

const PAGE: u64 = 4096;

/// Swap space until dropped.
pub(crate) struct Swap(CString);

impl Swap {
    /// Uses the first device there is; a reason to skip when there is none.
    pub(crate) fn on() -> Outcome<Self> {
        let Some(path) = DEVICES.into_iter().find(|path| Path::new(path).exists()) else {
            return Err(Stop::skipped(format!("none of {DEVICES:?} is there")));
        };
        Self::on_device(path)
    }

    /// Uses the disk; a reason to skip when there is none.
    pub(crate) fn on_disk() -> Outcome<Self> {
        let [disk, _] = DEVICES;
        if !Path::new(disk).exists() {
            return Err(Stop::skipped(format!("there is no {disk} to swap to")));
        }
        Self::on_device(disk)
    }

    fn on_device(path: &str) -> Outcome<Self> {
        let device = fs::File::options().read(true).write(true).open(path)?;
        let bytes = std::io::Seek::seek(&mut &device, std::io::SeekFrom::End(0))?;
        let last_page = u32::try_from(bytes / PAGE - 1).unwrap_or(u32::MAX);
        check!(last_page > 100, "{path} has {bytes} bytes");

        // What mkswap writes: version, last page, no bad pages; and the magic at the page's end.
        let mut header = vec![0; PAGE as usize];
        header[1024..1028].copy_from_slice(&1u32.to_ne_bytes());
        header[1028..1032].copy_from_slice(&last_page.to_ne_bytes());
        header[PAGE as usize - 10..].copy_from_slice(b"SWAPSPACE2");
        device.write_all_at(&header, 0)?;
        device.sync_all()?;
        drop(device);

        let path = CString::new(path).map_err(|_| Stop::failed("NUL in a path"))?;
        // SAFETY: the path is a string; the device is no memory of this process.
        Errno::result(unsafe { libc::swapon(path.as_ptr(), 0) })?;
        Ok(Self(path))
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        // SAFETY: as above. What is in there comes back into memory.
        if unsafe { libc::swapoff(self.0.as_ptr()) } != 0 {
            eprintln!("swapoff: {}", Errno::last());
        }
    }
}

/// Takes memory until dropped.
pub(crate) struct Hog(Vec<Vec<u8>>);

impl Hog {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// Takes so many bytes more.
    pub(crate) fn take(&mut self, bytes: usize) {
        self.0.push(vec![self.0.len() as u8 | 1; bytes]);
    }

    /// Gives back what it took last.
    pub(crate) fn give(&mut self) {
        self.0.pop();
    }

    /// How much was taken.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.iter().map(|piece| piece.len() as u64).sum()
    }
}

/// Memory that can be allocated without swapping, in bytes.
pub(crate) fn available() -> Outcome<u64> {
    meminfo("MemAvailable:")
}

/// Memory that others have and that can be swapped out, in bytes: of processes, and of files that are nowhere else, as
/// this guest's programs are.
pub(crate) fn swappable() -> Outcome<u64> {
    Ok(meminfo("AnonPages:")? + meminfo("Shmem:")?)
}

fn meminfo(name: &str) -> Outcome<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.ok_or_else(|| Stop::failed(format!("no {name} in meminfo")))? << 10)
}

/// Memory that is committed, in KiB.
pub(crate) fn committed() -> Outcome<u64> {
    Ok(meminfo("Committed_AS:")? >> 10)
}

/// `vm.overcommit_memory`, set until dropped.
pub(crate) struct Strict(Vec<(&'static str, String)>);

impl Strict {
    /// Nothing can be allocated for shared memory any more, until [`Strict::leave`].
    pub(crate) fn set() -> Outcome<Self> {
        let mut before = Self(Vec::new());
        for (name, value) in [
            ("overcommit_kbytes", "1"),
            ("admin_reserve_kbytes", "0"),
            ("overcommit_memory", "2"),
        ] {
            let path = format!("/proc/sys/vm/{name}");
            before.0.push((name, fs::read_to_string(&path)?));
            fs::write(path, value)?;
        }
        Ok(before)
    }

    /// Lets so many pages more be committed than are now.
    pub(crate) fn leave(&self, pages: u64) -> Outcome {
        let room = committed()? + pages * (PAGE / 1024);
        Ok(fs::write(
            "/proc/sys/vm/overcommit_kbytes",
            room.to_string(),
        )?)
    }
}

impl Drop for Strict {
    fn drop(&mut self) {
        for (name, value) in self.0.iter().rev() {
            // When this fails, other cases can't allocate.
            let _ = fs::write(format!("/proc/sys/vm/{name}"), value.trim());
        }
    }
}

/// Open files of the machine.
pub(crate) fn open_files() -> Outcome<u64> {
    let text = fs::read_to_string("/proc/sys/fs/file-nr")?;
    let number = text.split_whitespace().next().and_then(|n| n.parse().ok());
    number.ok_or_else(|| Stop::failed("no number in file-nr"))
}
