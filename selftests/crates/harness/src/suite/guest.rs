// SPDX-License-Identifier: GPL-2.0-or-later
//! The tiers that run in a guest: KUnit, the selftests, inserting and removing over and over.

use std::fs;
use std::time::Duration;

use anyhow::{bail, Result};

use super::job_context::{tail, JobContext};
use super::jobs::Job;
use super::record::{Record, Tier};
use crate::ktap;
use crate::machine::{Accel, Job as GuestJob, Machine};
use crate::vm::{self, End, Limit, Listener, Outcome};

/// Runs the suites by inserting the module, then shows the results of those that were not there before.
const KUNIT_SCRIPT: &str = include_str!("../guest/kunit.sh");
/// Inserts and removes, with a KTAP line for each cycle.
const CYCLES_SCRIPT: &str = include_str!("../guest/cycles.sh");
/// The same, and then writers against whatever else uses the dirty log, on the processors of that machine.
const CYCLES_AND_RACES_SCRIPT: &str = concat!(
    "#!/bin/sh\n(\n",
    include_str!("../guest/cycles.sh"),
    ")\nfailed=$?\n\
    export REEVE_CPUS=4 REEVE_TIME_SCALE=3\n\
    reeve-guest-tests dirty_log.writers_against dirty_log.logs_that_come_and_go \
    dirty_log.a_clear_between_bit_and_entry || failed=1\n\
    rmmod reeve || failed=1\n\
    exit $failed\n",
);
/// Does nothing with the module but have it inserted and removed.
const ONCE_SCRIPT: &str = "#!/bin/sh\nexit 0\n";
/// The guest's tests, in two halves that run side by side. What is slow on an emulated machine is no failure.
const SELFTESTS_SCRIPTS: [&str; 2] = [
    "#!/bin/sh\nREEVE_TIME_SCALE=3 exec reeve-guest-tests --part=1/2\n",
    "#!/bin/sh\nREEVE_TIME_SCALE=3 exec reeve-guest-tests --part=2/2\n",
];
/// The guest's tests of content.
const CONTENT_SCRIPT: &str = "#!/bin/sh\nexec reeve-guest-tests life. content. swap.\n";
/// An object as the memory of a vhost-user connection.
const VHOST_SCRIPT: &str = "#!/bin/sh\nexec reeve-guest-tests vhost.\n";
/// Those that have huge entries, and one that has none.
const HUGE_ENTRIES_SCRIPT: &str =
    "#!/bin/sh\nexec reeve-guest-tests dirty_log.huge_entries dirty_log.fresh\n";
/// What needs little memory and a disk to swap to, and a minute of everything at once. (Three minutes, or thirty, are
/// one command away: see Documentation/testing.md.)
const STRESS_SCRIPT: &str = "#!/bin/sh\n\
    export REEVE_STRESS_SECONDS=60 REEVE_TIME_SCALE=4\n\
    exec reeve-guest-tests --suite=reclaim --suite=stress\n";
/// That minute alone.
const STRESS_ONLY_SCRIPT: &str = "#!/bin/sh\n\
    export REEVE_STRESS_SECONDS=60 REEVE_TIME_SCALE=4\n\
    exec reeve-guest-tests --suite=stress\n";

/// A minute of whatever the module can be called with; the seed is on the console.
const FUZZ_SCRIPT: &str = "#!/bin/sh\nexec reeve-fuzz run --seconds=60 --swap=/dev/vda 2>&1\n";

/// The parameters that the guest's tests expect.
const TEST_PARAMS: &str = "enable_builtin_tests=1";

/// An emulated debug kernel is slow, and may share its processors with a compiler. So what ends a run is silence; no
/// case may take as long as that.
const LIMIT: Limit = Limit {
    total: Duration::from_secs(3000),
    silent: Duration::from_secs(450),
    after_splat: Duration::MAX,
};

/// One boot: which kernel, which build of the module, and what to do in it.
pub(super) struct Boot {
    pub(super) kernel: &'static str,
    pub(super) variant: &'static str,
    pub(super) load: bool,
    pub(super) script: &'static str,
    /// MiB of memory.
    pub(super) mem: u32,
    /// Processors.
    pub(super) smp: u32,
    /// MiB of disk.
    pub(super) disk: u32,
    /// More arguments for QEMU.
    pub(super) qemu_args: String,
    /// The mistake that a build makes which can; "": none.
    pub(super) mistake: &'static str,
}

impl Boot {
    /// That build on a machine like any other.
    pub(super) fn usual(
        kernel: &'static str,
        variant: &'static str,
        load: bool,
        script: &'static str,
    ) -> Self {
        Self {
            kernel,
            variant,
            load,
            script,
            mem: 1024,
            smp: 2,
            disk: 0,
            qemu_args: String::new(),
            mistake: "",
        }
    }

    /// The same with the build that makes this mistake from the start.
    pub(super) fn mistaken(self, mistake: &'static str) -> Self {
        Self {
            variant: "break-mistakes",
            mistake,
            ..self
        }
    }

    /// The KUnit suites of that build.
    pub(super) fn kunit(kernel: &'static str, variant: &'static str) -> Self {
        Self::usual(kernel, variant, false, KUNIT_SCRIPT)
    }

    /// One half of the guest's tests on that build.
    fn selftests(kernel: &'static str, variant: &'static str, half: usize) -> Self {
        Self::usual(kernel, variant, true, SELFTESTS_SCRIPTS[half])
    }

    /// Those of them that look at content.
    pub(super) fn content(kernel: &'static str) -> Self {
        Self::usual(kernel, "normal", true, CONTENT_SCRIPT)
    }

    /// A script that has the module make one mistake after the other, and sees whether the tests notice.
    pub(super) fn mistakes(script: &'static str) -> Self {
        Self::usual("base", "break-mistakes", true, script)
    }

    /// Those with an object as the memory of a vhost-user connection.
    fn vhost(kernel: &'static str, variant: &'static str) -> Self {
        Self::usual(kernel, variant, true, VHOST_SCRIPT)
    }

    /// Those of them that need huge entries.
    pub(super) fn huge_entries(kernel: &'static str) -> Self {
        Self::usual(kernel, "normal", true, HUGE_ENTRIES_SCRIPT)
    }

    /// Inserting and removing that build.
    pub(super) fn cycles(kernel: &'static str, variant: &'static str) -> Self {
        Self::usual(kernel, variant, false, CYCLES_SCRIPT)
    }

    /// The same, and races of the dirty log, on four processors.
    fn cycles_and_races(kernel: &'static str, variant: &'static str) -> Self {
        Self {
            smp: 4,
            ..Self::usual(kernel, variant, false, CYCLES_AND_RACES_SCRIPT)
        }
    }

    /// Inserting and removing that build, once.
    pub(super) fn once(kernel: &'static str) -> Self {
        Self::usual(kernel, "normal", true, ONCE_SCRIPT)
    }

    /// That build with little memory, for minutes.
    fn stress(kernel: &'static str, variant: &'static str) -> Self {
        Self::short_of_memory(kernel, variant, STRESS_SCRIPT)
    }

    /// Everything at once on that build, for a minute.
    pub(super) fn stress_only(kernel: &'static str) -> Self {
        Self::short_of_memory(kernel, "normal", STRESS_ONLY_SCRIPT)
    }

    fn short_of_memory(kernel: &'static str, variant: &'static str, script: &'static str) -> Self {
        Self {
            mem: 384,
            disk: 1024,
            ..Self::usual(kernel, variant, true, script)
        }
    }

    /// Whatever that build can be called with, for a minute.
    fn fuzz(kernel: &'static str, variant: &'static str) -> Self {
        Self {
            disk: 512,
            ..Self::usual(kernel, variant, true, FUZZ_SCRIPT)
        }
    }

    /// Boots. What it leaves is in the ctx's directory.
    pub(super) fn run(&self, ctx: &JobContext) -> Result<Outcome> {
        let built = ctx.setup(&["module", self.kernel, self.variant])?;
        let [kernel, module] = built.as_slice() else {
            bail!("make.sh module printed {built:?}, where a kernel and a module were expected");
        };
        let machine = Machine {
            kernel: kernel.into(),
            module: Some(module.into()),
            programs: Some(ctx.build.join("guest")),
            params: match self.mistake {
                "" => TEST_PARAMS.to_owned(),
                mistake => format!("{TEST_PARAMS} mistake={mistake}"),
            },
            no_load: !self.load,
            files: Vec::new(),
            mem: self.mem,
            smp: self.smp,
            disk: self.disk,
            accel: Accel::Tcg,
            append: String::new(),
            qemu_args: self.qemu_args.clone(),
            dir: ctx.dir.join("vm"),
        };
        let job = GuestJob::Script {
            name: "test.sh",
            content: self.script.as_bytes(),
            capture: true,
        };
        ctx.note("booting");
        let outcome = vm::run(&machine, job, LIMIT, &mut Progress(ctx))?;
        fs::write(ctx.dir.join("output.txt"), outcome.output.join("\n") + "\n")?;
        Ok(outcome)
    }

    /// Boots and reads the KTAP that the script printed. The kernel's own verdict is one more record.
    pub(super) fn records(
        &self,
        ctx: &JobContext,
        tier: Tier,
        prefix: &str,
    ) -> Result<Vec<Record>> {
        self.named_records(ctx, tier, prefix, prefix)
    }

    /// The same, but the record of the kernel's verdict has a prefix of its own.
    pub(super) fn named_records(
        &self,
        ctx: &JobContext,
        tier: Tier,
        prefix: &str,
        verdict: &str,
    ) -> Result<Vec<Record>> {
        let outcome = self.run(ctx)?;
        let mut records = records_of(tier, prefix, &outcome.output.join("\n"));
        let any_failed = records.iter().any(Record::is_failure);
        records.push(kernel_verdict(ctx, tier, verdict, &outcome, any_failed));
        Ok(records)
    }
}

/// Shows the latest line of the script's output as what the job is doing.
struct Progress<'a>(&'a JobContext);

impl Listener for Progress<'_> {
    fn again(&mut self, why: &str) {
        self.0.booted_again(why);
    }

    fn output(&mut self, line: &str) {
        self.0.note(line);
    }
}

/// The cases of a KTAP text.
pub(super) fn records_of(tier: Tier, prefix: &str, ktap: &str) -> Vec<Record> {
    ktap::Parser::parse(ktap)
        .into_iter()
        .map(|case| Record::from_case(tier, prefix, case))
        .collect()
}

/// The record of how the machine itself ended.
pub(super) fn kernel_verdict(
    ctx: &JobContext,
    tier: Tier,
    prefix: &str,
    outcome: &Outcome,
    any_failed: bool,
) -> Record {
    let name = format!("{prefix}no splat, no leak, clean end");
    match &outcome.end {
        End::Status(0) => Record::passed(tier, name),
        // A failing case made the script exit like this, and is counted itself.
        End::Status(_) if any_failed => Record::passed(tier, name),
        end => {
            let leaks = outcome.facts.leaks.join("\n");
            let mut console = ctx.tail(&outcome.console, 15);
            if !outcome.facts.dmesg.is_empty() {
                console = tail(&outcome.facts.dmesg.join("\n"), 60);
            }
            let why = format!(
                "vm: exit {end}\n{leaks}\n{console}\nconsole: {}",
                outcome.console.display()
            );
            Record::failed(tier, name, why)
        }
    }
}

pub(super) fn jobs() -> Vec<Job> {
    vec![
        boot_job("kunit", Tier::Kunit, "", Boot::kunit("debug", "test")),
        selftests("selftests 1", "first half: ", 0),
        selftests("selftests 2", "second half: ", 1),
        boot_job(
            "stress",
            Tier::Selftests,
            "under pressure: ",
            Boot::stress("debug", "normal"),
        )
        .beside_others(),
        boot_job(
            "cycles debug",
            Tier::Selftests,
            "debug kernel: ",
            Boot::cycles_and_races("debug", "normal"),
        ),
        boot_job("fuzz", Tier::Selftests, "", Boot::fuzz("debug", "normal")),
        boot_job(
            "cycles base",
            Tier::Selftests,
            "base kernel: ",
            Boot::cycles("base", "normal"),
        ),
        // The debug kernel fills free pages, so what is used again without being filled is seen here only.
        boot_job(
            "vhost-user base",
            Tier::Selftests,
            "base kernel: ",
            Boot::vhost("base", "normal"),
        ),
    ]
}

fn selftests(name: &'static str, verdict: &'static str, half: usize) -> Job {
    let boot = Boot::selftests("debug", "normal", half);
    let needs = ["kernel debug", "guest programs"];
    Job::new(name, Tier::Selftests, &needs, move |ctx| {
        boot.named_records(ctx, Tier::Selftests, "", verdict)
    })
}

fn boot_job(name: &'static str, tier: Tier, prefix: &'static str, boot: Boot) -> Job {
    let kernel = match boot.kernel {
        "base" => "kernel base",
        _ => "kernel debug",
    };
    Job::new(name, tier, &[kernel, "guest programs"], move |ctx| {
        boot.records(ctx, tier, prefix)
    })
}
