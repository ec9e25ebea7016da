// SPDX-License-Identifier: GPL-2.0-or-later
//! What machine to boot: the description of a VM, the QEMU command line and the initramfs for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context, Result};
use clap::{Args, ValueEnum};

use crate::cpio;

/// How QEMU executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Accel {
    /// In software: works everywhere.
    Tcg,
    /// On the host's virtualisation support.
    Kvm,
}

/// The machine, as the command line describes it.
#[derive(Debug, Clone, Args)]
pub struct Machine {
    /// The kernel image to boot.
    #[arg(long)]
    pub kernel: PathBuf,
    /// The reeve.ko to put into the guest.
    #[arg(long)]
    pub module: Option<PathBuf>,
    /// Directory of static programs that go into the guest's PATH.
    #[arg(long)]
    pub programs: Option<PathBuf>,
    /// Module parameters: "a=1 b=2".
    #[arg(long, default_value = "")]
    pub params: String,
    /// Do not insert the module.
    #[arg(long)]
    pub no_load: bool,
    /// Files (or directories) to put beside the script.
    #[arg(long = "file")]
    pub files: Vec<PathBuf>,
    /// Memory in MiB.
    #[arg(long, default_value_t = 1024)]
    pub mem: u32,
    /// Number of CPUs.
    #[arg(long, default_value_t = 2)]
    pub smp: u32,
    /// MiB of an empty disk, /dev/vda in the guest (of a kernel that has virtio); 0: none.
    #[arg(long, default_value_t = 0)]
    pub disk: u32,
    /// How to execute.
    #[arg(long, value_enum, default_value_t = Accel::Tcg)]
    pub accel: Accel,
    /// More arguments for the kernel, after those that every boot has.
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub append: String,
    /// More arguments for QEMU.
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub qemu_args: String,
    /// Directory for what this run leaves behind: console log, initramfs, results.
    #[arg(long)]
    pub dir: PathBuf,
}

/// What the guest does once it is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job<'a> {
    /// Runs a script, its output on the console or on a port of its own.
    Script {
        /// File name, as seen in the guest.
        name: &'a str,
        /// What is in it.
        content: &'a [u8],
        /// Keep its output apart from the console.
        capture: bool,
    },
    /// Gives the user a shell.
    Shell,
}

const INIT: &[u8] = include_bytes!("guest/init.sh");
const BUSYBOX: &str = "/bin/busybox";
/// What no test uses costs an emulated debug kernel seconds at each boot: 256 legacy ttys, all RAM disks but one.
const KERNEL_ARGUMENTS: &str =
    "console=ttyS0 panic=-1 loglevel=7 page_poison=1 pty.legacy_count=0 brd.rd_nr=1";

/// The kernels' CONFIG_HZ.
const HZ: f64 = 250.0;

impl Machine {
    /// The archive that the guest boots into.
    pub fn initramfs(&self, job: Job<'_>) -> Result<Vec<u8>> {
        let mut archive = cpio::Writer::default();
        archive.file("init", 0o755, INIT);
        archive.file("bin/busybox", 0o755, &read(Path::new(BUSYBOX))?);
        archive.file("reeve/settings", 0o644, self.settings(job)?.as_bytes());
        // Without loading it is there all the same, for a script that wants to do it itself.
        match &self.module {
            Some(module) => archive.file("reeve/reeve.ko", 0o644, &read(module)?),
            None if self.no_load => {}
            None => bail!("no module given to insert"),
        }
        if let Some(programs) = &self.programs {
            for program in entries(programs)? {
                if program.is_file() {
                    add(&mut archive, "bin", &program)?;
                }
            }
        }
        archive.directory("root");
        for file in &self.files {
            add(&mut archive, "root", file)?;
        }
        if let Job::Script { name, content, .. } = job {
            archive.file(&format!("root/{name}"), 0o755, content);
        }
        Ok(archive.finish())
    }

    fn settings(&self, job: Job<'_>) -> Result<String> {
        let (script, capture, interactive) = match job {
            Job::Script { name, capture, .. } => (name, capture, false),
            Job::Shell => ("", false, true),
        };
        let flag = |on: bool| if on { 1 } else { 0 };
        Ok(format!(
            "SCRIPT={}\nPARAMS={}\nLOAD={}\nCAPTURE={}\nINTERACTIVE={}\nKMEMLEAK={}\n",
            quoted(script),
            quoted(&self.params),
            flag(!self.no_load),
            flag(capture),
            flag(interactive),
            flag(!interactive),
        ))
    }

    /// Makes the disk: a file that takes no room until it is written to, and goes when it is dropped.
    pub fn make_disk(&self) -> Result<Disk> {
        let path = self.disk_image();
        if self.disk != 0 {
            let file = fs::File::create(&path);
            file.and_then(|file| file.set_len(u64::from(self.disk) << 20))
                .with_context(|| format!("making {}", path.display()))?;
        }
        Ok(Disk(path))
    }

    fn disk_image(&self) -> PathBuf {
        self.dir.join("disk.img")
    }

    /// The kernel's command line.
    ///
    /// A second CPU calibrates its delay loop against a timer that the first CPU drives. On a loaded machine that
    /// fails now and then, and once in a while it never ends. So the kernel is told what it would find.
    fn kernel_arguments(&self) -> String {
        let loops = fs::read_to_string("/proc/cpuinfo")
            .ok()
            .and_then(|text| loops_per_jiffy(&text));
        let mut arguments = match (self.accel, loops) {
            (Accel::Tcg, Some(loops)) if self.smp > 1 => format!("{KERNEL_ARGUMENTS} lpj={loops}"),
            _ => KERNEL_ARGUMENTS.to_owned(),
        };
        if !self.append.is_empty() {
            arguments.push(' ');
            arguments.push_str(&self.append);
        }
        arguments
    }

    /// The command that boots it. `ports` are the four serial ports.
    pub fn command(&self, initramfs: &Path, ports: &[PortTo; 4]) -> Command {
        // QEMU must not outlive us, whatever kills us.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
        // One thread for all CPUs: with several, QEMU 7.2 can go on running code that another CPU
        // has just patched (a stale int3 of a static key), and the guest dies of it now and then.
        let accel = match self.accel {
            Accel::Tcg => "tcg,thread=single",
            Accel::Kvm => "kvm",
        };
        // Without five levels of page tables. While the kernel identifies the boot processor it forgets for a moment that it
        // has them (identify_cpu() clears x86_capability, and pgtable_l5_enabled() reads that), and KASAN takes what an
        // interrupt accesses then for wild: on a loaded host seven of sixty debug boots ended so.
        let cpu = match self.accel {
            Accel::Tcg => "max,-la57",
            Accel::Kvm => "host",
        };
        command.args(["-machine", "q35", "-accel", accel, "-cpu", cpu]);
        command.args(["-m", &self.mem.to_string(), "-smp", &self.smp.to_string()]);
        command.args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ]);
        command.arg("-kernel").arg(&self.kernel);
        command.arg("-initrd").arg(initramfs);
        command.args(["-append", &self.kernel_arguments()]);
        // The kernels have no shared serial interrupts: each port gets one to itself.
        for (index, (port, irq)) in ports.iter().zip([4, 3, 5, 7]).enumerate() {
            let backend = match port {
                PortTo::File(path) => format!("file,id=port{index},path={}", path.display()),
                PortTo::Terminal(copy) => format!(
                    "stdio,id=port{index},mux=on,signal=off,logfile={}",
                    copy.display()
                ),
            };
            command.arg("-chardev").arg(backend);
            let device = format!("isa-serial,chardev=port{index},index={index},irq={irq}");
            command.args(["-device", &device]);
            if matches!(port, PortTo::Terminal(_)) {
                command.args(["-mon", &format!("chardev=port{index}")]);
            }
        }
        if self.disk != 0 {
            let image = self.disk_image();
            // What is on it ends with the machine, so nothing needs to wait for the host's disk.
            let drive = format!("file={},if=virtio,format=raw,cache=unsafe", image.display());
            command.args(["-drive", &drive]);
        }
        command.args(self.qemu_args.split_whitespace());
        command
    }
}

/// What a guest's kernel would calibrate: an emulated CPU's time stamp counter is this machine's.
fn loops_per_jiffy(cpuinfo: &str) -> Option<u64> {
    let value = cpuinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "bogomips").then_some(value.trim())
    })?;
    let bogomips: f64 = value.parse().ok().filter(|value| *value >= 1.0)?;
    Some((bogomips * 500_000.0 / HZ) as u64)
}

/// The file that is a machine's disk.
#[derive(Debug)]
pub struct Disk(PathBuf);

impl Drop for Disk {
    fn drop(&mut self) {
        // It may never have been there.
        let _ = fs::remove_file(&self.0);
    }
}

/// Where a serial port of the guest leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortTo {
    /// Into this file.
    File(PathBuf),
    /// To the terminal we run on, with a copy in this file.
    Terminal(PathBuf),
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    let listing =
        fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    for entry in listing {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths)
}

fn add(archive: &mut cpio::Writer, into: &str, path: &Path) -> Result<()> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        bail!("{} has no usable file name", path.display());
    };
    let inside = format!("{into}/{name}");
    if path.is_dir() {
        archive.directory(&inside);
        for entry in entries(path)? {
            add(archive, &inside, &entry)?;
        }
        return Ok(());
    }
    archive.file(&inside, mode_of(path)?, &read(path)?);
    Ok(())
}

fn mode_of(path: &Path) -> Result<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = fs::metadata(path).with_context(|| format!("looking at {}", path.display()))?;
    Ok(metadata.permissions().mode() & 0o777)
}

/// Quoted for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
