// SPDX-License-Identifier: GPL-2.0-or-later
//! The rows of the result: what is measured, what it is compared with, and its target.

mod dirty_log;

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Serialize;

use super::samples::Samples;

/// A kernel that is measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kernel {
    /// The kernel without debugging: Reeve and all references but lockdep are measured on it.
    Bench,
    /// The same kernel with lockdep, which is the only thing measured on it.
    #[value(name = "bench-lockdep")]
    Lockdep,
    /// The bench kernel again, in a larger machine: the dirty log and its peers are measured by a program on it.
    #[value(skip)]
    Log,
}

impl Kernel {
    /// All kernels, in the order they are measured in.
    pub const ALL: [Self; 3] = [Self::Bench, Self::Log, Self::Lockdep];

    /// Returns the name that `KERNEL=` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bench => "bench",
            Self::Lockdep => "bench-lockdep",
            Self::Log => "bench-log",
        }
    }

    /// Returns the name of the kernel that is booted, which is that of its directory.
    pub fn image(self) -> &'static str {
        match self {
            Self::Log => Self::Bench.name(),
            other => other.name(),
        }
    }

    /// Whether `KERNEL=` with the name of `other` measures on it, too.
    pub fn is_part_of(self, other: Self) -> bool {
        self.image() == other.name()
    }
}

/// A measurement: the kernel, the section, and the name in that section.
#[derive(Debug, Clone, Copy)]
pub struct Measured(Kernel, &'static str, &'static str);

impl Measured {
    fn figure(self, all: &BTreeMap<Kernel, Samples>) -> Result<f64> {
        let Self(kernel, section, name) = self;
        let samples = all.get(&kernel);
        samples
            .with_context(|| format!("nothing was measured on the {} kernel", kernel.name()))?
            .get(section, name)
            .with_context(|| format!("on the {} kernel", kernel.name()))
    }
}

/// The figure that a row is compared with.
#[derive(Debug, Clone, Copy)]
pub enum Reference {
    /// Measured in the same run.
    Now(Measured),
    /// Measured once, with the same method.
    Constant(f64),
}

/// The declaration of a row.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    name: &'static str,
    unit: &'static str,
    ours: Measured,
    reference: Option<(Reference, &'static str)>,
    target: Option<Target>,
}

impl Spec {
    /// Whether all kernels that the row needs were measured on.
    pub fn is_measured(&self, all: &BTreeMap<Kernel, Samples>) -> bool {
        let reference = match self.reference {
            Some((Reference::Now(Measured(kernel, ..)), _)) => Some(kernel),
            _ => None,
        };
        all.contains_key(&self.ours.0) && reference.is_none_or(|kernel| all.contains_key(&kernel))
    }
}

/// The target of a row.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// At most this figure.
    AtMost(f64),
    /// At most this part of the reference.
    OfReference(f64),
    /// At most another figure of Reeve's, and `GROWTH` more.
    NoMoreThan(Measured),
}

/// The largest value that meets a target; its serialised form is `{"ours": 60.0}` or `{"ratio": 0.85}`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// The largest figure.
    Ours(f64),
    /// The largest ratio to the reference.
    Ratio(f64),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(most) => write!(f, "<= {most}"),
            Self::Ratio(most) => write!(f, "ratio <= {most}"),
        }
    }
}

/// Whether a row met its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It did.
    Met,
    /// It did not.
    Missed,
}

/// How much more an operation may cost with many objects alive than with one. A cost in proportion to their number
/// would be thousands of times as much; the rest depends on which lists of the kernel are empty.
const GROWTH: f64 = 0.1;

impl Target {
    fn bound(self, all: &BTreeMap<Kernel, Samples>) -> Result<Bound> {
        Ok(match self {
            Self::AtMost(figure) => Bound::Ours(figure),
            Self::OfReference(ratio) => Bound::Ratio(ratio),
            Self::NoMoreThan(measured) => {
                Bound::Ours(hundredths(measured.figure(all)? * (1.0 + GROWTH)))
            }
        })
    }
}

const INSTRUCTIONS: &str = "instructions";
const PER_PAGE: &str = "instructions/page";

const fn on(name: &'static str) -> Measured {
    Measured(Kernel::Bench, "on", name)
}

const fn off(name: &'static str) -> Measured {
    Measured(Kernel::Bench, "off", name)
}

/// A measurement of lockdep, made with Reeve's tracking switched off.
const fn lockdep(name: &'static str) -> Reference {
    Reference::Now(Measured(Kernel::Lockdep, "off", name))
}

/// A row whose reference is the lock tracking of NVIDIA's UVM driver: a figure that was measured once, with the same
/// method, on a release build.
const fn uvm(
    name: &'static str,
    ours: Measured,
    figure: f64,
    build: &'static str,
    target: f64,
) -> Spec {
    Spec {
        name,
        unit: INSTRUCTIONS,
        ours,
        reference: Some((Reference::Constant(figure), build)),
        target: Some(Target::AtMost(target)),
    }
}

/// A row without a target.
const fn versus(
    name: &'static str,
    ours: Measured,
    reference: Reference,
    reference_name: &'static str,
) -> Spec {
    Spec {
        name,
        unit: INSTRUCTIONS,
        ours,
        reference: Some((reference, reference_name)),
        target: None,
    }
}

/// A row of page accounting, whose reference is C TTM in the same boot.
const fn tt(name: &'static str, reference: &'static str, target: Option<Target>) -> Spec {
    Spec {
        name,
        unit: PER_PAGE,
        ours: on(name),
        reference: Some((Reference::Now(on(reference)), TTM)),
        target,
    }
}

/// A row of the shmem backing, which C TTM does not have. Its peer is the kernel's GEM helper.
const fn shmem(name: &'static str, reference: &'static str) -> Spec {
    Spec {
        reference: Some((Reference::Now(on(reference)), GEM_SHMEM)),
        ..tt(name, reference, Some(Target::OfReference(0.9)))
    }
}

/// A row of lock tracking with a target and, where it has one, a reference that is measured now.
const fn lock(
    name: &'static str,
    ours: &'static str,
    reference: Option<(Reference, &'static str)>,
    target: f64,
) -> Spec {
    Spec {
        name,
        unit: INSTRUCTIONS,
        ours: on(ours),
        reference,
        target: Some(Target::AtMost(target)),
    }
}

const fn at_most(figure: f64) -> Option<Target> {
    Some(Target::AtMost(figure))
}

const fn of_reference(ratio: f64) -> Option<Target> {
    Some(Target::OfReference(ratio))
}

/// The target of a row that may not grow with the number of objects.
const fn as_with_one(name: &'static str) -> Option<Target> {
    Some(Target::NoMoreThan(on(name)))
}

const UVM: &str = "UVM (constant)";
const UVM_DEBUG: &str = "UVM debug macro (constant)";
const UVM_OUT: &str = "UVM compiled out (constant)";
const LOCKDEP: &str = "lockdep";
const BARE: &str = "bare lock";
const BY_HAND: &str = "the same by hand";

/// Two instructions more than the 84 by hand.
const GUARD: f64 = 1.024;
const TRACKED: &str = "tracking on";
const TTM: &str = "C TTM";
const FLOOR: &str = "page allocator alone";
const GEM_SHMEM: &str = "GEM shmem helper";

const LOCK_ORDER: [Spec; 19] = [
    uvm("lock.pair", on("lock.pair"), 286.0, UVM, 60.0),
    uvm("lock.nested8", on("lock.nested8"), 294.0, UVM, 70.0),
    uvm("lock.context", on("lock.context"), 472.0, UVM, 90.0),
    uvm(
        "lock.check_locked",
        on("lock.check_locked"),
        128.0,
        UVM,
        40.0,
    ),
    uvm("lock.mutex_on", on("typed.mutex"), 713.0, UVM_DEBUG, 90.0),
    uvm("lock.mutex_off", off("typed.mutex"), 18.0, UVM_OUT, 24.0),
    versus(
        "lock.pair/lockdep",
        on("lock.pair"),
        lockdep("lockdep.pair"),
        LOCKDEP,
    ),
    versus(
        "lock.nested8/lockdep",
        on("lock.nested8"),
        lockdep("lockdep.nested8"),
        LOCKDEP,
    ),
    versus(
        "lock.check_locked/lockdep",
        on("lock.check_locked"),
        lockdep("lockdep.check"),
        LOCKDEP,
    ),
    versus(
        "lock.mutex_on/lockdep",
        on("typed.mutex"),
        lockdep("mutex.pair"),
        LOCKDEP,
    ),
    versus(
        "lock.mutex_on/bare",
        on("typed.mutex"),
        Reference::Now(off("typed.mutex_bare")),
        BARE,
    ),
    versus(
        "lock.mutex_off/bare",
        off("typed.mutex"),
        Reference::Now(off("typed.mutex_bare")),
        BARE,
    ),
    versus(
        "lock.c_mutex/lockdep",
        on("mutex.recorded"),
        lockdep("mutex.pair"),
        LOCKDEP,
    ),
    versus(
        "lock.c_mutex/bare",
        on("mutex.recorded"),
        Reference::Now(on("mutex.pair")),
        BARE,
    ),
    versus(
        "lock.c_spinlock/lockdep",
        on("spinlock.recorded"),
        lockdep("spinlock.pair"),
        LOCKDEP,
    ),
    versus(
        "lock.c_spinlock/bare",
        on("spinlock.recorded"),
        Reference::Now(on("spinlock.pair")),
        BARE,
    ),
    Spec {
        target: of_reference(GUARD),
        ..versus(
            "lock.guard",
            on("mutex.guard"),
            Reference::Now(on("mutex.by_hand")),
            BY_HAND,
        )
    },
    Spec {
        target: of_reference(GUARD),
        ..versus(
            "lock.guard_spinlock",
            on("spinlock.guard"),
            Reference::Now(on("spinlock.by_hand")),
            BY_HAND,
        )
    },
    versus(
        "lock.pair_off",
        off("lock.pair"),
        Reference::Now(on("lock.pair")),
        TRACKED,
    ),
];

const PAGE_ACCOUNTING: [Spec; 49] = [
    tt("tt.life.cached.1", "ttm.life.cached.1", of_reference(0.85)),
    tt("tt.life.cached.16", "ttm.life.cached.16", of_reference(0.8)),
    tt(
        "tt.life.cached.512",
        "ttm.life.cached.512",
        of_reference(0.65),
    ),
    tt("tt.life.cached.4096", "ttm.life.cached.4096", None),
    tt(
        "tt.life.cached.16384",
        "ttm.life.cached.16384",
        of_reference(0.65),
    ),
    versus(
        "tt.life.cached.1/floor",
        on("tt.life.cached.1"),
        Reference::Now(on("floor.life.1")),
        FLOOR,
    ),
    versus(
        "tt.life.cached.16/floor",
        on("tt.life.cached.16"),
        Reference::Now(on("floor.life.16")),
        FLOOR,
    ),
    versus(
        "tt.life.cached.512/floor",
        on("tt.life.cached.512"),
        Reference::Now(on("floor.life.512")),
        FLOOR,
    ),
    versus(
        "tt.life.cached.4096/floor",
        on("tt.life.cached.4096"),
        Reference::Now(on("floor.life.4096")),
        FLOOR,
    ),
    versus(
        "tt.life.cached.16384/floor",
        on("tt.life.cached.16384"),
        Reference::Now(on("floor.life.16384")),
        FLOOR,
    ),
    tt("tt.populate.1", "ttm.populate.1", None),
    tt("tt.populate.16", "ttm.populate.16", None),
    tt("tt.populate.512", "ttm.populate.512", None),
    tt("tt.life.wc_warm.1", "ttm.life.wc_warm.1", of_reference(1.0)),
    tt("tt.life.wc_warm.16", "ttm.life.wc_warm.16", None),
    tt(
        "tt.life.wc_warm.512",
        "ttm.life.wc_warm.512",
        at_most(534.0),
    ),
    tt("tt.life.wc_warm.4096", "ttm.life.wc_warm.4096", None),
    tt("tt.life.wc_warm.16384", "ttm.life.wc_warm.16384", None),
    tt("tt.life.wc_cold.1", "ttm.life.wc_cold.1", None),
    tt("tt.life.wc_cold.16", "ttm.life.wc_cold.16", None),
    tt("tt.life.wc_cold.512", "ttm.life.wc_cold.512", None),
    tt("tt.life.wc_cold.4096", "ttm.life.wc_cold.4096", None),
    tt("tt.life.wc_cold.16384", "ttm.life.wc_cold.16384", None),
    shmem("tt.life.shmem.1", "gem.life.shmem.1"),
    shmem("tt.life.shmem.16", "gem.life.shmem.16"),
    shmem("tt.life.shmem.512", "gem.life.shmem.512"),
    shmem("tt.life.shmem.4096", "gem.life.shmem.4096"),
    shmem("tt.life.shmem.16384", "gem.life.shmem.16384"),
    Spec {
        unit: INSTRUCTIONS,
        ..tt("tt.accounting", "ttm.accounting", of_reference(0.75))
    },
    tt("tt.swapout", "ttm.swapout", at_most(250.0)),
    tt("tt.swapin", "ttm.swapin", at_most(250.0)),
    tt("tt.swapout_copy", "ttm.swapout", at_most(1500.0)),
    tt("tt.swapin_copy", "ttm.swapin", None),
    tt("tt.backup", "ttm.backup", at_most(1200.0)),
    tt("tt.restore", "ttm.restore", at_most(800.0)),
    Spec {
        unit: "bytes/page",
        ..tt("tt.directory_bytes", "ttm.directory_bytes", at_most(0.25))
    },
    tt("bo.api.life.cached.1", "ttm.bo.life.1", of_reference(1.0)),
    tt(
        "bo.api.life.cached.512",
        "ttm.bo.life.512",
        of_reference(0.7),
    ),
    tt(
        "bo.api.life.cached.16384",
        "ttm.bo.life.16384",
        of_reference(0.65),
    ),
    tt("bo.api.evict.1", "ttm.growth.swapout.1", of_reference(1.0)),
    tt(
        "bo.api.evict.100000",
        "ttm.growth.swapout.100000",
        of_reference(1.0),
    ),
    tt(
        "tt.growth.populate.1",
        "ttm.growth.populate.1",
        of_reference(1.0),
    ),
    tt(
        "tt.growth.populate.10",
        "ttm.growth.populate.10",
        as_with_one("tt.growth.populate.1"),
    ),
    tt(
        "tt.growth.populate.1000",
        "ttm.growth.populate.1000",
        as_with_one("tt.growth.populate.1"),
    ),
    tt(
        "tt.growth.populate.100000",
        "ttm.growth.populate.100000",
        as_with_one("tt.growth.populate.1"),
    ),
    tt(
        "tt.growth.swapout.1",
        "ttm.growth.swapout.1",
        of_reference(1.0),
    ),
    tt(
        "tt.growth.swapout.10",
        "ttm.growth.swapout.10",
        as_with_one("tt.growth.swapout.1"),
    ),
    tt(
        "tt.growth.swapout.1000",
        "ttm.growth.swapout.1000",
        as_with_one("tt.growth.swapout.1"),
    ),
    tt(
        "tt.growth.swapout.100000",
        "ttm.growth.swapout.100000",
        as_with_one("tt.growth.swapout.1"),
    ),
];

/// Lock tracking where its fast path used to end.
const LOCK_ORDER_CASES: [Spec; 15] = [
    lock("lock.fresh", "lock.fresh", None, 170.0),
    lock("lock.trylock", "lock.trylock", None, 90.0),
    lock(
        "lock.rule",
        "lock.rule",
        Some((Reference::Now(on("lock.pair")), "without a rule")),
        120.0,
    ),
    lock("lock.two_orders_out", "lock.two_orders_out", None, 150.0),
    lock("lock.other", "lock.other", None, 90.0),
    lock("lock.nested32", "lock.nested32", None, 90.0),
    lock(
        "lock.after_switch",
        "lock.after_switch",
        Some((Reference::Now(on("lock.pair")), "without a switch")),
        90.0,
    ),
    lock(
        "lock.context.2000",
        "worst.lock.context.2000",
        Some((Reference::Now(on("lock.context")), "one context")),
        300.0,
    ),
    lock(
        "lock.unregister.2000",
        "worst.lock.unregister.2000",
        None,
        20_000.0,
    ),
    Spec {
        unit: "bytes",
        ..lock("lock.stack", "lock.stack", None, 256.0)
    },
    versus(
        "lock.fresh/lockdep",
        on("lock.fresh"),
        lockdep("lockdep.pair"),
        LOCKDEP,
    ),
    versus(
        "lock.trylock/lockdep",
        on("lock.trylock"),
        lockdep("lockdep.trylock"),
        LOCKDEP,
    ),
    versus(
        "lock.two_orders_out/lockdep",
        on("lock.two_orders_out"),
        lockdep("lockdep.two_orders_out"),
        LOCKDEP,
    ),
    versus(
        "lock.other/lockdep",
        on("lock.other"),
        lockdep("lockdep.other"),
        LOCKDEP,
    ),
    versus(
        "lock.nested32/lockdep",
        on("lock.nested32"),
        lockdep("lockdep.nested32"),
        LOCKDEP,
    ),
];

/// The back end of vhost-user, whose program runs in the guest.
const VHOST_USER: [Spec; 4] = [
    Spec {
        unit: PER_PAGE,
        ..vhost(
            "vhost.mark",
            Some(("vhost.mark.peer", CRATES)),
            of_reference(1.0),
        )
    },
    vhost(
        "vhost.write.logged",
        Some(("vhost.write.plain", "without a log")),
        of_reference(1.1),
    ),
    vhost(
        "vhost.message",
        Some(("vhost.message.peer", CRATES)),
        of_reference(1.2),
    ),
    Spec {
        unit: "bytes",
        ..vhost("vhost.memory", None, at_most((8 << 20) as f64))
    },
];

const CRATES: &str = "vhost-user-backend";

/// A row of vhost-user with a reference that is measured in the same boot, or none.
const fn vhost(
    name: &'static str,
    reference: Option<(&'static str, &'static str)>,
    target: Option<Target>,
) -> Spec {
    Spec {
        name,
        unit: INSTRUCTIONS,
        ours: on(name),
        reference: match reference {
            Some((name, what)) => Some((Reference::Now(on(name)), what)),
            None => None,
        },
        target,
    }
}

/// Returns all rows, in the order they are shown.
pub fn all() -> impl Iterator<Item = &'static Spec> {
    LOCK_ORDER
        .iter()
        .chain(&LOCK_ORDER_CASES)
        .chain(&PAGE_ACCOUNTING)
        .chain(&VHOST_USER)
        .chain(&dirty_log::ROWS)
}

/// A row of the result; its serialised form is for programs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The name, which no other row has.
    pub name: &'static str,
    /// What is counted, per operation.
    pub unit: &'static str,
    /// Reeve's figure.
    pub ours: f64,
    /// The reference's figure, if there is a reference.
    pub reference: Option<f64>,
    /// What the reference is.
    pub reference_name: Option<&'static str>,
    /// Reeve's figure divided by the reference's.
    pub ratio: Option<f64>,
    /// The target, if it has one.
    pub target: Option<Bound>,
    /// Whether the target was met, if it has one.
    pub verdict: Option<Verdict>,
}

impl Row {
    /// Fills in the figures. The verdict is on figures as they are shown, to hundredths, and ratios to thousandths.
    pub fn of(spec: &Spec, all: &BTreeMap<Kernel, Samples>) -> Result<Self> {
        let ours = spec.ours.figure(all)?;
        let reference = match spec.reference {
            Some((Reference::Now(measured), _)) => Some(measured.figure(all)?),
            Some((Reference::Constant(figure), _)) => Some(figure),
            None => None,
        };
        let ratio = reference.map(|reference| (ours / reference * 1000.0).round() / 1000.0);
        let ours = hundredths(ours);
        let target = spec.target.map(|target| target.bound(all)).transpose()?;
        let verdict = target.map(|target| {
            let met = match target {
                Bound::Ours(most) => ours <= most,
                Bound::Ratio(most) => ratio.is_some_and(|ratio| ratio <= most),
            };
            if met {
                Verdict::Met
            } else {
                Verdict::Missed
            }
        });
        Ok(Self {
            name: spec.name,
            unit: spec.unit,
            ours,
            reference: reference.map(hundredths),
            reference_name: spec.reference.map(|(_, name)| name),
            ratio,
            target,
            verdict,
        })
    }
}

fn hundredths(figure: f64) -> f64 {
    (figure * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests;
