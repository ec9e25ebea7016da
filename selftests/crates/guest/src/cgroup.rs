// SPDX-License-Identifier: GPL-2.0-or-later

//! Control groups of a case's own.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use crate::seen::until;
use crate::seen::PAGE;
use crate::test::Outcome;
use crate::test::Stop;

const ROOT: &str = "/sys/fs/cgroup";

/// The module's region of the dmem controller.
const REGION: &str = "reeve/system";

/// Time for a group's processes to be gone.
const SOON: Duration = Duration::from_secs(20);

/// A control group. Dropping it removes it; no process may be in it any more.
pub(crate) struct Group(PathBuf);

impl Group {
    /// Makes one below the root with this controller; a reason to skip when the kernel has none.
    pub(crate) fn new(controller: &str) -> Outcome<Self> {
        Self::new_named(controller, controller)
    }

    /// The same with a name, for a case that needs several.
    pub(crate) fn new_named(controller: &str, name: &str) -> Outcome<Self> {
        let root = Path::new(ROOT);
        let known = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        if !known.split_whitespace().any(|name| name == controller) {
            return Err(Stop::skipped(format!("no cgroup controller {controller}")));
        }
        Self::below(root, controller, name)
    }

    /// Makes one below this one, with the same controller.
    pub(crate) fn child(&self, controller: &str, name: &str) -> Outcome<Self> {
        Self::below(&self.0, controller, name)
    }

    fn below(parent: &Path, controller: &str, name: &str) -> Outcome<Self> {
        fs::write(
            parent.join("cgroup.subtree_control"),
            format!("+{controller}"),
        )?;
        let path = parent.join(format!("reeve-{name}-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    /// Puts this process into it until the returned value is dropped.
    ///
    /// From then on it gets no huge pages for its own memory: one of them would fill what is left of a
    /// limit that is meant for objects.
    pub(crate) fn enter(&self) -> Outcome<Inside> {
        nix::sys::prctl::set_thp_disable(true)?;
        fs::write(self.0.join("cgroup.procs"), "0")?;
        Ok(Inside(()))
    }

    /// One of its files.
    pub(crate) fn read(&self, file: &str) -> Outcome<String> {
        Ok(fs::read_to_string(self.0.join(file))?)
    }

    /// Writes one of its files.
    pub(crate) fn write(&self, file: &str, value: &str) -> std::io::Result<()> {
        fs::write(self.0.join(file), value)
    }

    /// Pages of the module that are charged to it (`dmem.current`).
    pub(crate) fn dmem_pages(&self) -> Outcome<u64> {
        self.dmem("dmem.current")
    }

    /// The most that ever were (`dmem.peak`).
    pub(crate) fn dmem_peak(&self) -> Outcome<u64> {
        self.dmem("dmem.peak")
    }

    fn dmem(&self, file: &str) -> Outcome<u64> {
        let text = self.read(file)?;
        let bytes = text.lines().find_map(|line| {
            let (region, bytes) = line.split_once(' ')?;
            (region == REGION).then(|| bytes.parse::<u64>().ok())?
        });
        let bytes = bytes.ok_or_else(|| Stop::failed(format!("no {REGION} in {text:?}")))?;
        Ok(bytes / PAGE)
    }

    /// Sets one of the dmem controller's limits, in pages.
    pub(crate) fn set_dmem(&self, file: &str, pages: u64) -> Outcome {
        let line = format!("{REGION} {}", pages * PAGE);
        Ok(self.write(file, &line)?)
    }

    /// Pages of any kind that are charged to it (`memory.current`).
    pub(crate) fn memory_pages(&self) -> Outcome<u64> {
        let text = self.read("memory.current")?;
        let bytes = text.trim_end().parse::<u64>();
        Ok(bytes.map_err(|err| Stop::failed(format!("memory.current: {err}")))? / PAGE)
    }

    /// How often something happened, by `memory.events`.
    pub(crate) fn memory_event(&self, name: &str) -> Outcome<u64> {
        let text = self.read("memory.events")?;
        let value = text.lines().find_map(|line| {
            let (found, value) = line.split_once(' ')?;
            (found == name).then(|| value.parse().ok())?
        });
        value.ok_or_else(|| Stop::failed(format!("no {name} in {text:?}")))
    }

    /// Whether no cgroup below it that was removed is still in use.
    pub(crate) fn has_no_dying(&self) -> Outcome<bool> {
        let text = self.read("cgroup.stat")?;
        Ok(text.lines().any(|line| line == "nr_dying_descendants 0"))
    }

    /// Removes it although what was populated in it is still there.
    pub(crate) fn remove(self) -> Outcome {
        let gone = until(SOON, || Ok(fs::remove_dir(&self.0).is_ok()))?;
        match gone {
            true => Ok(()),
            false => Err(Stop::failed(format!("{} stays", self.0.display()))),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It may have been removed; whose processes are still ending is removed when they have.
        let _ = until(SOON, || {
            Ok(!self.0.exists() || fs::remove_dir(&self.0).is_ok())
        });
    }
}

/// This process is in a group; dropping it puts it back into the root.
pub(crate) struct Inside(());

impl Drop for Inside {
    fn drop(&mut self) {
        // If this fails the group can't be removed, which shows.
        let _ = fs::write(Path::new(ROOT).join("cgroup.procs"), "0");
    }
}
