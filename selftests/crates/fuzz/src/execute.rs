// SPDX-License-Identifier: GPL-2.0-or-later

//! Does the steps of a program in this process.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use nix::errno::Errno;
use nix::libc;
use nix::sys::wait::waitpid;
use nix::unistd::close;

use crate::calls::{Call, CALLS};
use crate::program::{Part, Program, Step, Value, FILES, SHARED_FILES};
use crate::system::{self, Arena, Mapping, PAGE};

const PARAMETERS: &str = "/sys/module/reeve/parameters";
const DEBUGFS: &str = "/sys/kernel/debug/reeve";
const FAIL_NTH: &str = "/proc/thread-self/fail-nth";

/// Mappings that a process has at most.
const MAPPINGS: usize = 16;

/// How often each call was made, and how often it succeeded; and last, how many steps there were. All processes share it.
#[derive(Clone, Copy)]
pub(crate) struct Counts(&'static [AtomicU64]);

impl Counts {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(system::shared_numbers(2 * CALLS.len() + 1)?))
    }

    fn count(&self, call: &Call, succeeded: bool) {
        self.0[2 * call.index()].fetch_add(1, Relaxed);
        if succeeded {
            self.0[2 * call.index() + 1].fetch_add(1, Relaxed);
        }
    }

    /// How often it was made, and how often it succeeded.
    pub(crate) fn of(&self, call: &Call) -> (u64, u64) {
        let at = 2 * call.index();
        (self.0[at].load(Relaxed), self.0[at + 1].load(Relaxed))
    }

    fn count_step(&self) {
        self.0[2 * CALLS.len()].fetch_add(1, Relaxed);
    }

    /// How many steps there were: calls, and what else may be done to a file, a mapping or the module.
    pub(crate) fn steps(&self) -> u64 {
        self.0[2 * CALLS.len()].load(Relaxed)
    }

    /// How many calls were made.
    pub(crate) fn total(&self) -> u64 {
        CALLS.iter().map(|call| self.of(call).0).sum()
    }
}

/// What a process has.
pub(crate) struct Process<'a> {
    device: &'a Path,
    /// The directory of its cgroup, if there is one.
    cgroup: Option<&'a Path>,
    counts: Counts,
    compat: bool,
    arena: Arena,
    files: [Option<File>; FILES],
    handles: [Vec<u64>; FILES],
    mappings: Vec<Mapping>,
    /// The descriptor of the fence that was put last.
    fence: Option<i32>,
    /// The allocation of the next step that fails; 0: none.
    fail: u16,
}

impl<'a> Process<'a> {
    /// Makes one with these shared files.
    pub(crate) fn new(
        device: &'a Path,
        cgroup: Option<&'a Path>,
        shared: &[File; SHARED_FILES],
        counts: Counts,
        compat: bool,
    ) -> io::Result<Self> {
        let mut files = [const { None }; FILES];
        for (own, shared) in files.iter_mut().zip(shared) {
            *own = Some(shared.try_clone()?);
        }
        Ok(Self {
            device,
            cgroup,
            counts,
            compat,
            arena: Arena::new()?,
            files,
            handles: Default::default(),
            mappings: Vec::new(),
            fence: None,
            fail: 0,
        })
    }

    /// Does the steps. What fails is what is tried.
    pub(crate) fn run(&mut self, program: &Program) {
        for step in &program.0 {
            let fail = std::mem::take(&mut self.fail);
            if fail != 0 {
                let _ = fs::write(FAIL_NTH, fail.to_string());
            }
            let _ = self.step(step);
            self.counts.count_step();
            if fail != 0 {
                let _ = fs::write(FAIL_NTH, "0");
            }
        }
    }

    fn step(&mut self, step: &Step) -> io::Result<()> {
        match step {
            Step::Call {
                file,
                name,
                fields,
                at,
                compat,
            } => self.call(usize::from(*file), name, fields, *at, *compat),
            Step::Open { file } => {
                let opened = File::options().read(true).write(true).open(self.device)?;
                self.replace(usize::from(*file), Some(opened));
                Ok(())
            }
            Step::Close { file } => {
                self.replace(usize::from(*file), None);
                Ok(())
            }
            Step::Map {
                file,
                handle,
                skip,
                pages,
                protection,
                private,
                populate,
            } => {
                let flags = match private {
                    true => libc::MAP_PRIVATE,
                    false => libc::MAP_SHARED,
                } | if *populate { libc::MAP_POPULATE } else { 0 };
                let length = usize::from(*pages) * PAGE;
                self.map(
                    usize::from(*file),
                    *handle,
                    *skip,
                    length,
                    *protection,
                    flags,
                )
            }
            Step::Unmap { part, pages } => {
                self.mapping(part)?.unmap(part.page.into(), (*pages).into())
            }
            Step::Protect {
                part,
                pages,
                protection,
            } => {
                let mapping = self.mapping(part)?;
                let (start, length) = mapping.part(part.page.into(), (*pages).into());
                self.arena.protect(start, length, *protection)
            }
            Step::Move { part, pages } => {
                let moved = self
                    .mapping(part)?
                    .remap(part.page.into(), (*pages).into())?;
                let at = usize::from(part.mapping) % self.mappings.len();
                self.mappings[at] = moved;
                Ok(())
            }
            Step::Advise { part, advice } => self.mapping(part)?.advise(part.page.into(), *advice),
            Step::Read { part } => self.arena.peek(self.address(part)?, 1).map(drop),
            Step::Write { part } => self.arena.clear(self.address(part)?, PAGE),
            Step::Fork { part } => {
                let address = self.address(part)?;
                let child = system::in_child(|| {
                    system::end_with_parent();
                    let _ = self.arena.clear(address, PAGE);
                })?;
                waitpid(child, None)?;
                Ok(())
            }
            Step::Fdinfo { file } => {
                let file = self.files[usize::from(*file) % FILES].as_ref();
                let fd = file.ok_or(Errno::EBADF)?.as_raw_fd();
                fs::read(format!("/proc/self/fdinfo/{fd}")).map(drop)
            }
            Step::Parameter { name, value } => overwrite(&Path::new(PARAMETERS).join(name), value),
            Step::Look { name } => fs::read(Path::new(DEBUGFS).join(name)).map(drop),
            Step::Trigger { name } => overwrite(&Path::new(DEBUGFS).join(name), "1"),
            Step::Cgroup { name, value } => match self.cgroup {
                Some(cgroup) => overwrite(&cgroup.join(name), value),
                None => Ok(()),
            },
            Step::Fail { nth } => {
                self.fail = *nth;
                Ok(())
            }
        }
    }

    /// The shared files stay as they are, or the others would lose theirs.
    fn replace(&mut self, file: usize, with: Option<File>) {
        let file = file % FILES;
        if file >= SHARED_FILES {
            self.files[file] = with;
            self.handles[file].clear();
        }
    }

    fn call(
        &mut self,
        file: usize,
        name: &str,
        fields: &BTreeMap<String, Value>,
        at: Option<Value>,
        compat: bool,
    ) -> io::Result<()> {
        let file = file % FILES;
        let call = Call::named(name).ok_or(Errno::ENOTTY)?;
        let mut bytes = vec![0; call.size()];
        for (name, value) in fields {
            let place = call.place(name).ok_or(Errno::EINVAL)?;
            let number = self.resolve(file, *value).to_ne_bytes();
            let length = place.len();
            bytes[place].copy_from_slice(&number[..length]);
        }
        let usual = self.arena.address(0);
        let address = at.map_or(usual, |at| self.resolve(file, at) as usize);
        // Where nothing can be written, the call finds what is there, or nothing.
        let _ = self.arena.poke(address, &bytes);
        let fd = self.files[file].as_ref().ok_or(Errno::EBADF)?.as_fd();
        let result = match compat && self.compat {
            true => system::compat_call(fd, call.request, address),
            false => system::call(fd, call.request, address),
        };
        self.counts.count(call, result.is_ok());
        // The next call goes on behind a fence; one that waits for it is killed with this process. No later one waits.
        if let Some(fence) = self.fence.take() {
            let _ = close(fence);
        }
        result?;
        if name == "bo_log_fence" {
            let bytes = self.arena.peek(address, call.size())?;
            let place = call.place("fd").ok_or(Errno::EINVAL)?;
            let fd = number(bytes.get(place).ok_or(Errno::EFAULT)?) as i32;
            // Others may write there, too.
            let link = fs::read_link(format!("/proc/self/fd/{fd}"));
            let is_fence = link.is_ok_and(|link| link.ends_with("anon_inode:[reeve-fence]"));
            self.fence = is_fence.then_some(fd);
        }
        if name == "bo_create" {
            let bytes = self.arena.peek(address, call.size())?;
            let place = call.place("handle").ok_or(Errno::EINVAL)?;
            let handle = number(bytes.get(place).ok_or(Errno::EFAULT)?);
            self.handles[file].push(handle);
        }
        Ok(())
    }

    /// The number that a value stands for.
    fn resolve(&self, file: usize, value: Value) -> u64 {
        match value {
            Value::Number(number) => number,
            Value::Handle(nth) => {
                let handles = &self.handles[file];
                let at = usize::from(nth).checked_rem(handles.len());
                at.map_or(u64::from(nth) + 1, |at| handles[at])
            }
            Value::Arena(at) => self.arena.address(at as usize) as u64,
            Value::Mapped(nth, at) => {
                let which = usize::from(nth).checked_rem(self.mappings.len());
                which.map_or(0, |which| {
                    let mapping = self.mappings[which];
                    (mapping.start + at as usize % mapping.length.max(1)) as u64
                })
            }
        }
    }

    fn map(
        &mut self,
        file: usize,
        handle: Value,
        skip: i16,
        length: usize,
        protection: u8,
        flags: i32,
    ) -> io::Result<()> {
        let fields = BTreeMap::from([("handle".to_owned(), handle)]);
        self.call(file, "bo_mmap", &fields, None, false)?;
        let call = Call::named("bo_mmap").ok_or(Errno::ENOTTY)?;
        let bytes = self.arena.peek(self.arena.address(0), call.size())?;
        let place = call.place("offset").ok_or(Errno::EINVAL)?;
        let offset = number(&bytes[place]) as i64 + i64::from(skip) * PAGE as i64;
        if self.mappings.len() >= MAPPINGS {
            return Err(Errno::ENOSPC.into());
        }
        let fd = self.files[file % FILES]
            .as_ref()
            .ok_or(Errno::EBADF)?
            .as_fd();
        let mapping = Mapping::new(fd, offset, length, protection, flags)?;
        self.mappings.push(mapping);
        Ok(())
    }

    fn mapping(&self, part: &Part) -> io::Result<Mapping> {
        let at = usize::from(part.mapping).checked_rem(self.mappings.len());
        Ok(self.mappings[at.ok_or(Errno::EINVAL)?])
    }

    fn address(&self, part: &Part) -> io::Result<usize> {
        Ok(self.mapping(part)?.part(part.page.into(), 1).0)
    }
}

impl Drop for Process<'_> {
    /// The next program of this process finds nothing of this one.
    fn drop(&mut self) {
        for mapping in &self.mappings {
            let _ = mapping.unmap(0, usize::MAX);
        }
    }
}

/// A number of 4 or 8 bytes.
fn number(bytes: &[u8]) -> u64 {
    let mut all = [0; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    u64::from_ne_bytes(all)
}

fn overwrite(path: &Path, value: &str) -> io::Result<()> {
    File::options()
        .write(true)
        .open(path)?
        .write_all(value.as_bytes())
}
