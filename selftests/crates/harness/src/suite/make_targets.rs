// SPDX-License-Identifier: GPL-2.0-or-later
//! The make targets, used as a user would, failures included.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use anyhow::{anyhow, bail, Context, Result};

use super::job_context::{tail, Done, JobContext};
use super::jobs::Job;
use super::record::{Record, Tier};
use crate::bench::{self, samples::Samples};
use crate::vm::AGAIN;

const TIER: Tier = Tier::MakeTargets;
const NEEDS: &[&str] = &["kernel base", "guest programs"];

pub(super) fn jobs() -> Vec<Job> {
    vec![
        Job::new("make run", TIER, NEEDS, |ctx| {
            Ok(vec![
                test("make help names every target", help(ctx)),
                test("make run ends well", run(ctx)),
                test(
                    "make rust-analyzer: all files that it names are there",
                    rust_analyzer(ctx),
                ),
            ])
        }),
        Job::new("make vm", TIER, NEEDS, |ctx| {
            Ok(vec![
                test(
                    "make vm: files, parameters and reevectl are there",
                    vm_surroundings(ctx),
                ),
                test("make vm: a script that exits 7 fails", vm_seven(ctx)),
                test("make vm: a script that hangs is a timeout", vm_timeout(ctx)),
                test("make vm: unreadable requests are refused", vm_refusals(ctx)),
                test(
                    "make vm: a kernel that complains before init is booted again, and said so",
                    vm_early_complaint(ctx),
                ),
            ])
        }),
        Job::new("make install", TIER, NEEDS, |ctx| {
            Ok(vec![test(
                "make install: what is below DESTDIR is found by modprobe, and removed again",
                install(ctx),
            )])
        }),
        Job::new("make ext", TIER, NEEDS, |ctx| {
            Ok(vec![
                test(
                    "make ext and vm: a WARN of another module fails",
                    ext_warn(ctx),
                ),
                test(
                    "make ext and vm: with panic_on_violation the first violation ends it",
                    ext_panic(ctx),
                ),
                test(
                    "make ext and vm: a C driver records its locks",
                    ext_sample(ctx, "samples/c"),
                ),
                test(
                    "make ext and vm: a Rust driver records its locks",
                    ext_sample(ctx, "samples/rust"),
                ),
                test(
                    "make ext and vm: a GPU driver leaves its pages to Reeve",
                    ext_pages(ctx, "samples/gpu-c", "base"),
                ),
                test(
                    "make ext and vm: a GPU driver in Rust leaves its pages to Reeve",
                    ext_pages(ctx, "samples/gpu-rust", "base"),
                ),
                test(
                    "every call of the API for drivers, as documented and not",
                    ext_pages(ctx, "modules/bo_api", "base"),
                ),
                test(
                    "every function of the API for Rust drivers, as documented and not",
                    ext_pages(ctx, "modules/bo_rust", "base"),
                ),
                test(
                    "forgotten leaves and ended tasks harm nothing",
                    ext_sample(ctx, "modules/life"),
                ),
                test(
                    "handlers that threadirqs makes threads need not enter",
                    ext_threadirqs(ctx),
                ),
                test(
                    "make ext and vm: guards record, and drivers load without Reeve",
                    ext_guards(ctx),
                ),
                test(
                    "orders across the hierarchies of several drivers",
                    ext_across(ctx),
                ),
                test(
                    "lock-order tracking keeps what its documentation promises",
                    ext_promises(ctx),
                ),
                test("make ext and vm: what make bench runs", ext_bench(ctx)),
            ])
        }),
        Job::new(
            "make ext debug",
            TIER,
            &["kernel debug", "guest programs"],
            |ctx| {
                let names = [
                    ("samples/c", &[] as &[_]),
                    ("modules/held", &[]),
                    ("modules/life", &[]),
                    ("modules/stress", &[]),
                    ("modules/promises", &[]),
                    ("modules/ttm", &TTM),
                ];
                let ended = ext_together(ctx, &names, &["SMP=2", "TIMEOUT=1500"]);
                Ok(vec![
                    test(
                        "make ext and vm: a C driver records its locks (debug kernel)",
                        ended_well(&ended, "samples/c"),
                    ),
                    test(
                        "held locks, violations, the graph and tracepoints are seen from outside",
                        ended_well(&ended, "modules/held"),
                    ),
                    test(
                        "forgotten leaves and ended tasks harm nothing (debug kernel)",
                        ended_well(&ended, "modules/life"),
                    ),
                    test(
                        "a million lock-order calls by 64 threads agree with a model",
                        ended_well(&ended, "modules/stress"),
                    ),
                    test(
                        "lock-order tracking keeps what its documentation promises (debug kernel)",
                        ended_well(&ended, "modules/promises"),
                    ),
                    test(
                        "the same random operations on C TTM and here end alike",
                        ended_well(&ended, "modules/ttm"),
                    ),
                    test(
                        "make ext and vm: the debug kernel had nothing to say",
                        had_nothing_to_say(ended),
                    ),
                ])
            },
        )
        // What is built for another kernel takes the same places.
        .after(&["make ext"]),
        Job::new(
            "make ext drivers",
            TIER,
            &["kernel debug", "guest programs"],
            |ctx| {
                // The last leaves a device behind, as its test wants it.
                let names = [
                    ("modules/bo_rust", &[] as &[_]),
                    ("samples/gpu-c", &[]),
                    ("samples/gpu-rust", &[]),
                    ("modules/bo_api", &[]),
                ];
                let ended = ext_together(ctx, &names, &["DISK=64", "TIMEOUT=1200"]);
                Ok(vec![
                    test(
                        "each allocation of each call of the API for Rust drivers fails once",
                        ended_well(&ended, "modules/bo_rust"),
                    ),
                    test(
                        "make ext and vm: a GPU driver leaves its pages to Reeve (debug kernel)",
                        ended_well(&ended, "samples/gpu-c"),
                    ),
                    test(
                        "make ext and vm: a GPU driver in Rust leaves its pages to Reeve (debug kernel)",
                        ended_well(&ended, "samples/gpu-rust"),
                    ),
                    test(
                        "each allocation of each call of the API for drivers fails once",
                        ended_well(&ended, "modules/bo_api"),
                    ),
                    test(
                        "make ext and vm: the debug kernel had nothing to say of drivers with pages",
                        had_nothing_to_say(ended),
                    ),
                    test(
                        "make ext and vm: programs and monitors use a DRM driver with Reeve's pages",
                        ext_drm(ctx),
                    ),
                    test(
                        "lockdep reports a driver with a lock that reclaim wants when it is loaded",
                        ext_wrong(ctx),
                    ),
                    test(
                        "lockdep knows from a flag that a device without objects has a dma_resv for them",
                        ext_resv(ctx),
                    ),
                ])
            },
        )
        .after(&["make ext"]),
    ]
}

fn test(name: &str, result: Result<()>) -> Record {
    Record::from_result(TIER, name, result)
}

/// `make`, with what it prints kept.
fn make(ctx: &JobContext, arguments: &[&str]) -> Result<Done> {
    let mut command = ctx.command("make");
    command.args(["--silent", "--no-print-directory"]);
    let done = ctx.run_merged(command.args(arguments), "make.log")?;
    for why in done
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix(AGAIN))
    {
        ctx.booted_again(why);
    }
    Ok(done)
}

/// `make vm`: did it succeed, and what does its last `vm: exit` line say?
fn make_vm(ctx: &JobContext, arguments: &[&str]) -> Result<(bool, String)> {
    let done = make(ctx, &[&["vm"], arguments].concat())?;
    Ok((done.success, exit_line(&done)?))
}

/// What the last `vm: exit` line says.
fn exit_line(done: &Done) -> Result<String> {
    // make adds its own line about the error after ours.
    let mut lines = done.stdout.lines().rev();
    let line = lines.find_map(|line| line.strip_prefix("vm: exit "));
    line.map(str::to_owned)
        .with_context(|| format!("no line 'vm: exit':\n{}", tail(&done.stdout, 15)))
}

fn expect_vm(ctx: &JobContext, arguments: &[&str], success: bool, exit: &str) -> Result<()> {
    let (succeeded, said) = make_vm(ctx, arguments)?;
    if succeeded != success || !said.starts_with(exit) {
        let log = ctx.tail(&ctx.dir.join("make.log"), 15);
        bail!("wanted 'vm: exit {exit}', got 'vm: exit {said}' and make's success {succeeded}:\n{log}");
    }
    Ok(())
}

/// Writes a script; gives `SCRIPT=...`.
fn script(ctx: &JobContext, name: &str, text: &str) -> Result<String> {
    let path = ctx.dir.join(name);
    fs::write(&path, text)?;
    Ok(format!("SCRIPT={}", path.display()))
}

fn help(ctx: &JobContext) -> Result<()> {
    let text = make(ctx, &[])?.stdout;
    for target in [
        "run",
        "test",
        "bench",
        "deps",
        "kernel",
        "modules",
        "vm",
        "shell",
        "ext",
        "lint",
        "docs",
        "clean",
        "install",
        "modules_install",
    ] {
        if !text.contains(&format!("make {target} ")) {
            bail!("make says nothing about 'make {target}'");
        }
    }
    Ok(())
}

fn run(ctx: &JobContext) -> Result<()> {
    let done = make(ctx, &["run"])?;
    let said = tail(&done.stdout, 25);
    if !done.success || !done.stdout.contains("make run: PASS") {
        bail!("make run did not end well:\n{said}");
    }
    let path = ctx.build.join("report.json");
    let report: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)
        .with_context(|| format!("{} is no JSON", path.display()))?;
    if report["passed"] != true {
        bail!("{} does not say that it passed", path.display());
    }
    Ok(())
}

fn rust_analyzer(ctx: &JobContext) -> Result<()> {
    let done = make(ctx, &["rust-analyzer"])?;
    if !done.success {
        bail!("make rust-analyzer failed:\n{}", tail(&done.stdout, 20));
    }
    let project: serde_json::Value =
        serde_json::from_slice(&fs::read(ctx.build.join("rust-project.json"))?)?;
    let crates = project["crates"].as_array().context("it has no crates")?;
    let find = |name: &str| {
        let found = crates.iter().find(|one| one["display_name"] == name);
        found.with_context(|| format!("there is no crate {name}"))
    };
    let ours = find("reeve_main")?;
    for path in [
        &ours["root_module"],
        &ours["env"]["REEVE_BINDINGS"],
        &find("kernel")?["root_module"],
    ] {
        let path = path.as_str().context("no path")?;
        if !PathBuf::from(path).exists() {
            bail!("{path} is not there");
        }
    }
    let cfgs = ours["cfg"].as_array().context("no cfgs")?;
    match cfgs.iter().any(|cfg| cfg == "reeve_kunit") {
        true => Ok(()),
        false => bail!("the KUnit suites are not in it"),
    }
}

/// Installs everything below a directory, makes that the root of a guest, and removes it again.
fn install(ctx: &JobContext) -> Result<()> {
    let dir = ctx.dir.join("root");
    let destdir = format!("DESTDIR={}", dir.display());
    let succeeds = |verb: &str| {
        let done = make(ctx, &[verb, &destdir, "PREFIX=/usr", "KERNEL=base"])?;
        match done.success {
            true => Ok(()),
            false => bail!("make {verb} failed:\n{}", tail(&done.stdout, 20)),
        }
    };
    succeeds("install")?;
    succeeds("modules_install")?;
    for (file, words) in [
        ("usr/share/man/man1/reevectl.1", ".TH "),
        ("usr/share/man/man1/reevectl-ps.1", "memory"),
        ("usr/share/bash-completion/completions/reevectl", "limits"),
        ("usr/include/reeve/lock_order.h", "reeve_record_lock"),
    ] {
        let text = fs::read_to_string(dir.join(file)).with_context(|| file.to_owned())?;
        if !text.contains(words) {
            bail!("{file} has no '{words}'");
        }
    }
    let tar = ctx.dir.join("root.tar");
    let mut command = ctx.command("tar");
    command.arg("-C").arg(&dir).arg("-cf").arg(&tar);
    let done = ctx.run_merged(command.args(["lib", "usr/bin"]), "tar.log")?;
    if !done.success {
        bail!("tar failed:\n{}", tail(&done.stdout, 10));
    }
    let text = "set -eux\ntar -C / -xf root.tar\nmodprobe reeve pages_limit=1000\n\
                [ \"$(cat /sys/module/reeve/parameters/pages_limit)\" = 1000 ]\n\
                [ \"$(cat /sys/module/reeve/version)\" = \"$(reevectl --version | cut -d ' ' -f 2)\" ]\n\
                /usr/bin/reevectl version\nmodprobe -r reeve\n";
    let script = script(ctx, "modprobe.sh", text)?;
    let files = format!("FILES={}", tar.display());
    expect_vm(ctx, &[&files, &script, "LOAD=0"], true, "0")?;
    succeeds("uninstall")?;
    let left = ctx.run_merged(
        ctx.command("find").arg(&dir).args(["-name", "*reeve*"]),
        "left.log",
    )?;
    match left.stdout.trim() {
        "" => Ok(()),
        left => bail!("make uninstall leaves:\n{left}"),
    }
}

fn vm_surroundings(ctx: &JobContext) -> Result<()> {
    let file = ctx.dir.join("beside.txt");
    fs::write(&file, "beside\n")?;
    let script = script(
        ctx,
        "surroundings.sh",
        "#!/bin/sh -ex\n\
         echo 'WARNING: a script may say so'\n\
         [ \"$(cat beside.txt)\" = beside ]\n\
         [ \"$(id -u)\" = 0 ]\n\
         reevectl --help >/dev/null\n\
         [ -c /dev/reeve ]\n\
         [ \"$(cat /sys/module/reeve/parameters/enable_builtin_tests)\" = Y ]\n\
         grep -q '^MemTotal: *[67]' /proc/meminfo\n\
         [ \"$(nproc)\" = 1 ]\n",
    )?;
    let files = format!("FILES={}", file.display());
    let arguments = [
        &*script,
        &*files,
        "PARAMS=enable_builtin_tests=1",
        "MEM=768",
        "SMP=1",
    ];
    expect_vm(ctx, &arguments, true, "0")
}

fn vm_seven(ctx: &JobContext) -> Result<()> {
    let script = script(ctx, "seven.sh", "[ ! -e /dev/reeve ] || exit 8\nexit 7\n")?;
    expect_vm(ctx, &[&script, "LOAD=0"], false, "7")
}

fn vm_timeout(ctx: &JobContext) -> Result<()> {
    let script = script(ctx, "hang.sh", "#!/bin/sh\nexec sleep 100000\n")?;
    expect_vm(ctx, &[&script, "TIMEOUT=30"], false, "timeout after 30 s")
}

/// A command line that, shown by the kernel itself, looks like a complaint: so each boot has one.
fn vm_early_complaint(ctx: &JobContext) -> Result<()> {
    let script = script(ctx, "early.sh", "exit 0\n")?;
    let append = "QEMU_ARGS=-append console=ttyS0,115200n8-slab-out-of-bounds";
    let mut command = ctx.command("make");
    command.args([
        "--silent",
        "--no-print-directory",
        "vm",
        "LOAD=0",
        &script,
        append,
    ]);
    // Not by `make()`: these are not to be counted with those of this run.
    let done = ctx.run_merged(&mut command, "early.log")?;
    let count = |begin: &str| {
        let lines = done.stdout.lines();
        lines.filter(|line| line.starts_with(begin)).count()
    };
    let counts = (count(AGAIN), count("vm: booted again: "));
    let exit = exit_line(&done)?;
    if done.success || counts != (2, 2) || !exit.starts_with("kernel splat: ") {
        bail!("{counts:?} lines about other boots, and 'vm: exit {exit}'");
    }
    Ok(())
}

fn vm_refusals(ctx: &JobContext) -> Result<()> {
    for (arguments, words) in [
        (&["vm"][..], "needs a script"),
        (&["vm", "SCRIPT=/does/not/exist"], "there is no file"),
        (
            &["vm", "SCRIPT=Makefile", "FILES=/does/not/exist"],
            "there is no file",
        ),
        (
            &["vm", "SCRIPT=Makefile", "KERNEL=nonsense"],
            "there is no kernel 'nonsense'",
        ),
        (&["ext"], "needs a directory"),
        (
            &["modules", "KDIR=/does/not/exist"],
            "there is no directory",
        ),
        (
            &["modules", "KDIR=/tmp"],
            "no module can be built for the kernel in KDIR=/tmp",
        ),
        (&["kernel", "KERNEL_SRC=/tmp"], "not a Linux source tree"),
    ] {
        let done = make(ctx, arguments)?;
        if done.success || !done.stdout.contains(words) {
            bail!(
                "make {} should have said '{words}':\n{}",
                arguments.join(" "),
                tail(&done.stdout, 8)
            );
        }
    }
    Ok(())
}

/// Builds the module in `selftests/NAME` and gives the paths of what came out and of the script beside it.
fn ext(ctx: &JobContext, name: &str, kernel: &str) -> Result<(PathBuf, PathBuf)> {
    let dir = ctx.root.join("selftests").join(name);
    let m = format!("M={}", dir.display());
    let done = make(ctx, &["ext", &m, &format!("KERNEL={kernel}")])?;
    if !done.success {
        bail!("make ext {m} failed:\n{}", tail(&done.stdout, 20));
    }
    let with_end = |end: &str| -> Result<PathBuf> {
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == end) {
                return Ok(path);
            }
        }
        bail!("there is no .{end} file in {}", dir.display())
    };
    Ok((with_end("ko")?, with_end("sh")?))
}

fn ext_warn(ctx: &JobContext) -> Result<()> {
    let (module, script) = ext(ctx, "modules/warn", "base")?;
    let files = format!("FILES={}", module.display());
    let script = format!("SCRIPT={}", script.display());
    expect_vm(
        ctx,
        &[&files, &script, "LOAD=0"],
        false,
        "kernel splat: WARNING",
    )
}

/// Without the parameter the same script exits 0; with it, its last line is never reached.
fn ext_panic(ctx: &JobContext) -> Result<()> {
    let (module, _) = ext(ctx, "modules/held", "base")?;
    let files = format!("FILES={}", module.display());
    let text = "insmod reeve_held.ko && echo 1 >/sys/module/reeve_held/parameters/violate && echo went on\n";
    let script = script(ctx, "violate.sh", text)?;
    expect_vm(ctx, &[&files, &script], true, "0")?;
    let panics = "PARAMS=panic_on_violation=1";
    expect_vm(
        ctx,
        &[&files, &script, panics],
        false,
        "kernel splat: Kernel panic",
    )?;
    let log = fs::read_to_string(ctx.dir.join("make.log"))?;
    for words in [
        "lock order violation in ",
        "held_wrong_order",
        "panic_on_violation is set",
    ] {
        if !log.contains(words) {
            bail!("the console has no '{words}':\n{}", tail(&log, 30));
        }
    }
    match log.contains("went on\n") {
        true => bail!("it went on after a violation"),
        false => Ok(()),
    }
}

fn ext_sample(ctx: &JobContext, sample: &str) -> Result<()> {
    let (module, script) = ext(ctx, sample, "base")?;
    let files = format!("FILES={}", module.display());
    let script = format!("SCRIPT={}", script.display());
    expect_vm(ctx, &[&files, &script], true, "0")
}

/// What uses page accounting as a driver; with a disk to swap to.
fn ext_pages(ctx: &JobContext, name: &str, kernel: &str) -> Result<()> {
    let (module, script) = ext(ctx, name, kernel)?;
    let files = format!("FILES={}", modules_beside(&module)?);
    let script = format!("SCRIPT={}", script.display());
    let kernel = format!("KERNEL={kernel}");
    expect_vm(ctx, &[&files, &script, &kernel, "DISK=64"], true, "0")
}

/// The modules in the directory of one, as `FILES=` wants them.
fn modules_beside(module: &Path) -> Result<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(module.parent().context("a module is in a directory")?)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "ko") {
            files.push(path.display().to_string());
        }
    }
    Ok(files.join(" "))
}

/// The DRM driver, beside the other sample: both have pages under one limit.
fn ext_drm(ctx: &JobContext) -> Result<()> {
    let [drm @ .., _ttm] = TTM;
    let (module, script) = ext(ctx, "samples/gpu-drm", "debug")?;
    let (beside, _) = ext(ctx, "samples/gpu-c", "debug")?;
    let files = format!(
        "FILES={}{} {}",
        modules_of(ctx, "debug", &drm)?,
        module.display(),
        beside.display()
    );
    let script = format!("SCRIPT={}", script.display());
    let arguments = [
        &files,
        &script,
        "KERNEL=debug",
        "MEM=384",
        "DISK=512",
        "SMP=2",
    ];
    expect_vm(ctx, &arguments, true, "0")
}

/// The driver that would deadlock if memory were short, which it is not.
fn ext_wrong(ctx: &JobContext) -> Result<()> {
    let (module, script) = ext(ctx, "modules/bo_wrong", "debug")?;
    let files = format!("FILES={}", module.display());
    let script = format!("SCRIPT={}", script.display());
    let wanted = "kernel splat: WARNING: possible circular locking dependency";
    expect_vm(ctx, &[&files, &script, "KERNEL=debug"], false, wanted)
}

/// The driver whose lock is a `dma_resv`: all that it does without the flag must be fine, and the last thing that it does
/// with it must not.
fn ext_resv(ctx: &JobContext) -> Result<()> {
    let (module, script) = ext(ctx, "modules/bo_resv", "debug")?;
    let files = format!("FILES={}", module.display());
    let script = format!("SCRIPT={}", script.display());
    let wanted = "kernel splat: WARNING: possible circular locking dependency";
    expect_vm(ctx, &[&files, &script, "KERNEL=debug"], false, wanted)?;
    let log = fs::read_to_string(ctx.dir.join("make.log"))?;
    match log
        .lines()
        .any(|line| line == "bo_resv: only what comes now is wrong")
    {
        true => Ok(()),
        false => bail!("lockdep spoke too early:\n{}", tail(&log, 15)),
    }
}

/// `modules/life` on a kernel that has most handlers run in threads.
fn ext_threadirqs(ctx: &JobContext) -> Result<()> {
    let (module, script) = ext(ctx, "modules/life", "base")?;
    let files = format!("FILES={}", module.display());
    let script = format!("SCRIPT={}", script.display());
    expect_vm(ctx, &[&files, &script, "APPEND=threadirqs"], true, "0")
}

/// `modules/promises`, with the modules that go while locks are held.
fn ext_promises(ctx: &JobContext) -> Result<()> {
    let (module, script) = ext(ctx, "modules/promises", "base")?;
    let files = format!("FILES={}", modules_beside(&module)?);
    let script = format!("SCRIPT={}", script.display());
    expect_vm(ctx, &[&files, &script], true, "0")
}

/// The three drivers of `modules/guards`, the second of which must have nothing of Reeve in it.
fn ext_guards(ctx: &JobContext) -> Result<()> {
    let (module, script) = ext(ctx, "modules/guards", "base")?;
    let off = module.with_file_name("guards_off.ko");
    let mut nm = ctx.command("nm");
    let done = ctx.run_merged(nm.arg(&off), "nm.log")?;
    if !done.success || done.stdout.contains("reeve") || !done.stdout.contains("init_module") {
        bail!("of REEVE_OFF there is left:\n{}", tail(&done.stdout, 40));
    }
    with_reeve_beside(ctx, &module, &script)
}

/// The drivers of `modules/across`, which load before Reeve or after it.
fn ext_across(ctx: &JobContext) -> Result<()> {
    let (module, script) = ext(ctx, "modules/across", "base")?;
    with_reeve_beside(ctx, &module, &script)
}

/// A script that inserts Reeve itself, and the modules in one directory.
fn with_reeve_beside(ctx: &JobContext, module: &Path, script: &Path) -> Result<()> {
    let reeve = ctx.setup(&["module", "base", "normal"])?;
    let reeve = reeve.get(1).context("no module was built")?;
    let files = format!("FILES={reeve} {}", modules_beside(module)?);
    let script = format!("SCRIPT={}", script.display());
    expect_vm(ctx, &[&files, &script, "LOAD=0"], true, "0")
}

/// How a boot went that ran several scripts.
struct Together {
    success: bool,
    exit: String,
    /// The guest's output.
    said: String,
}

/// C TTM and what it needs, which `modules/ttm` inserts before itself.
const TTM: [&str; 4] = [
    "drivers/gpu/drm/drm_panel_orientation_quirks.ko",
    "drivers/i2c/i2c-core.ko",
    "drivers/gpu/drm/drm.ko",
    "drivers/gpu/drm/ttm/ttm.ko",
];

/// These modules of the kernel's own, as `FILES=` wants them.
fn modules_of(ctx: &JobContext, kernel: &str, modules: &[&str]) -> Result<String> {
    let built = ctx.setup(&["module", kernel, "normal"])?;
    let image = built.first().context("no kernel was built")?;
    let tree = image
        .strip_suffix("arch/x86/boot/bzImage")
        .with_context(|| format!("{image} is in no build of a kernel"))?;
    Ok(modules
        .iter()
        .map(|module| format!("{tree}{module} "))
        .collect())
}

/// Builds the modules in these directories of `selftests`, boots the debug kernel once, and runs
/// the scripts beside them one after the other, each in a directory with its modules alone, and
/// with those of the kernel's own that are named. (A boot of it takes longer than most of them.)
fn ext_together(ctx: &JobContext, names: &[(&str, &[&str])], machine: &[&str]) -> Result<Together> {
    let mut files = String::from("FILES=");
    let mut all = String::from("#!/bin/sh\nexit=0\n");
    for (name, needs) in names {
        let (module, script) = ext(ctx, name, "debug")?;
        let modules = modules_of(ctx, "debug", needs)? + &modules_beside(&module)?;
        let own_name = name.replace('/', "-");
        let own = ctx.dir.join(format!("{own_name}.sh"));
        fs::copy(&script, &own)?;
        files.push_str(&format!("{modules} {} ", own.display()));
        all.push_str(&format!("mkdir {own_name}\n"));
        for path in modules.split_whitespace() {
            let file = path.rsplit('/').next().unwrap_or(path);
            all.push_str(&format!("ln -s ../{file} {own_name}/\n"));
        }
        all.push_str(&format!(
            "(cd {own_name} && sh ../{own_name}.sh) || exit=1\n\
             echo \"{name}: ended $exit\"; [ $exit = 0 ] || exit 1\n"
        ));
    }
    let script = script(ctx, "together.sh", &all)?;
    let files = files.trim_end();
    let arguments = [&["vm", &script, files, "KERNEL=debug"], machine].concat();
    let done = make(ctx, &arguments)?;
    Ok(Together {
        success: done.success,
        exit: exit_line(&done)?,
        said: done.stdout,
    })
}

fn had_nothing_to_say(ended: Result<Together>) -> Result<()> {
    match ended {
        Ok(vm) if vm.success => Ok(()),
        Ok(vm) => Err(anyhow!("vm: exit {}", vm.exit)),
        Err(err) => Err(err),
    }
}

fn ended_well(ended: &Result<Together>, name: &str) -> Result<()> {
    let vm = ended.as_ref().map_err(|err| anyhow!("{err:#}"))?;
    if !vm.said.contains(&format!("{name}: ended 0")) {
        bail!(
            "it did not end well; vm: exit {}\n{}",
            vm.exit,
            tail(&vm.said, 15)
        );
    }
    Ok(())
}

/// What `make bench` does on its own kernels, on the one that is there anyway.
fn ext_bench(ctx: &JobContext) -> Result<()> {
    let (module, script) = ext(ctx, "modules/bench", "base")?;
    // A reference that was built for another kernel may be beside it.
    let module = module.with_file_name("reeve_bench.ko");
    let files = format!("FILES={}", module.display());
    let script = format!("SCRIPT={}", script.display());
    let counting = format!("QEMU_ARGS={}", bench::COUNTING);
    expect_vm(ctx, &[&files, &script, &counting, "SMP=1"], true, "0")?;
    let log = fs::read_to_string(ctx.dir.join("make.log"))?;
    let mut samples = Samples::default();
    samples.read(log.lines().filter(|line| Samples::is_part(line)))?;
    samples.check()?;
    for section in ["on", "off"] {
        samples.get(section, "lock.pair")?;
    }
    Ok(())
}
