// SPDX-License-Identifier: GPL-2.0
//! The rows of the result: what is compared with what, and what it is to reach.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Serialize;

use super::samples::Samples;

/// A kernel that is measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kernel {
    /// No debugging: where everything of ours is measured, and the references.
    Bench,
    /// The same with lockdep, where only lockdep is measured.
    Lockdep,
}

impl Kernel {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Bench, Self::Lockdep];

    /// What `KERNEL=` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bench => "bench",
            Self::Lockdep => "bench-lockdep",
        }
    }
}

/// Something measured: on which kernel, in which section, its name there.
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

/// What is compared with.
#[derive(Debug, Clone, Copy)]
pub enum Reference {
    /// Measured now.
    Now(Measured),
    /// Measured once.
    Constant(f64),
}

/// A row before it is measured.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    name: &'static str,
    unit: &'static str,
    ours: Measured,
    reference: Reference,
    reference_name: &'static str,
    target: Option<Target>,
}

/// The most that a figure may be.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// So much.
    AtMost(f64),
    /// As much as another of ours, and `GROWTH` more.
    NoMoreThan(Measured),
}

/// How much more something may cost with many objects alive than with one. What grows with their number would be
/// thousands of times as much; the rest is which of the kernel's lists happens to be empty.
const GROWTH: f64 = 0.1;

impl Target {
    fn figure(self, all: &BTreeMap<Kernel, Samples>) -> Result<f64> {
        match self {
            Self::AtMost(figure) => Ok(figure),
            Self::NoMoreThan(measured) => Ok(hundredths(measured.figure(all)? * (1.0 + GROWTH))),
        }
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

/// Reeve's tracking is off there, so that the figures are lockdep's alone.
const fn lockdep(name: &'static str) -> Reference {
    Reference::Now(Measured(Kernel::Lockdep, "off", name))
}

/// A row whose reference is NVIDIA UVM's lock tracking. Its figures were measured once, with the same method, on a release
/// build of UVM; they are constants here.
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
        reference: Reference::Constant(figure),
        reference_name: build,
        target: Some(Target::AtMost(target)),
    }
}

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
        reference,
        reference_name,
        target: None,
    }
}

/// A row of page accounting, whose reference is C TTM in the same boot.
const fn tt(name: &'static str, reference: &'static str, target: Option<Target>) -> Spec {
    Spec {
        name,
        unit: PER_PAGE,
        ours: on(name),
        reference: Reference::Now(on(reference)),
        reference_name: TTM,
        target,
    }
}

const fn at_most(figure: f64) -> Option<Target> {
    Some(Target::AtMost(figure))
}

/// The target of a row that may not grow.
const fn as_with_one(name: &'static str) -> Option<Target> {
    Some(Target::NoMoreThan(on(name)))
}

const UVM: &str = "UVM (constant)";
const UVM_DEBUG: &str = "UVM debug macro (constant)";
const UVM_OUT: &str = "UVM compiled out (constant)";
const LOCKDEP: &str = "lockdep";
const BARE: &str = "bare lock";
const TRACKED: &str = "tracking on";
const TTM: &str = "C TTM";
const FLOOR: &str = "page allocator alone";
const TTM_CACHED: &str = "C TTM, cached";

const LOCK_ORDER: [Spec; 17] = [
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
    versus(
        "lock.pair_off",
        off("lock.pair"),
        Reference::Now(on("lock.pair")),
        TRACKED,
    ),
];

const PAGE_ACCOUNTING: [Spec; 41] = [
    tt("tt.life.cached.1", "ttm.life.cached.1", at_most(1000.0)),
    tt("tt.life.cached.16", "ttm.life.cached.16", at_most(90.0)),
    tt("tt.life.cached.512", "ttm.life.cached.512", at_most(16.0)),
    tt("tt.life.cached.4096", "ttm.life.cached.4096", None),
    tt(
        "tt.life.cached.16384",
        "ttm.life.cached.16384",
        at_most(14.5),
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
    tt("tt.life.wc_warm.1", "ttm.life.wc_warm.1", None),
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
    Spec {
        reference_name: TTM_CACHED,
        ..tt("tt.life.shmem.1", "ttm.life.cached.1", None)
    },
    Spec {
        reference_name: TTM_CACHED,
        ..tt("tt.life.shmem.16", "ttm.life.cached.16", None)
    },
    Spec {
        reference_name: TTM_CACHED,
        ..tt("tt.life.shmem.512", "ttm.life.cached.512", None)
    },
    Spec {
        reference_name: TTM_CACHED,
        ..tt("tt.life.shmem.4096", "ttm.life.cached.4096", None)
    },
    Spec {
        reference_name: TTM_CACHED,
        ..tt("tt.life.shmem.16384", "ttm.life.cached.16384", None)
    },
    Spec {
        unit: INSTRUCTIONS,
        ..tt("tt.accounting", "ttm.accounting", at_most(60.0))
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
    tt("tt.growth.populate.1", "ttm.growth.populate.1", None),
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
    tt("tt.growth.swapout.1", "ttm.growth.swapout.1", None),
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

/// All rows, in the order they are shown.
pub fn all() -> impl Iterator<Item = &'static Spec> {
    LOCK_ORDER.iter().chain(&PAGE_ACCOUNTING)
}

/// A row of the result; its serialised form is what programs read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What was measured.
    pub name: &'static str,
    /// What is counted, per operation.
    pub unit: &'static str,
    /// Our figure.
    pub ours: f64,
    /// The reference's.
    pub reference: f64,
    /// Who that is.
    pub reference_name: &'static str,
    /// Ours divided by the reference's.
    pub ratio: f64,
    /// The most that ours may be.
    #[serde(skip)]
    pub target: Option<f64>,
}

impl Row {
    /// Fills in the figures.
    pub fn of(spec: &Spec, all: &BTreeMap<Kernel, Samples>) -> Result<Self> {
        let ours = spec.ours.figure(all)?;
        let reference = match spec.reference {
            Reference::Now(measured) => measured.figure(all)?,
            Reference::Constant(figure) => figure,
        };
        Ok(Self {
            name: spec.name,
            unit: spec.unit,
            ours: hundredths(ours),
            reference: hundredths(reference),
            reference_name: spec.reference_name,
            ratio: (ours / reference * 1000.0).round() / 1000.0,
            target: spec.target.map(|target| target.figure(all)).transpose()?,
        })
    }

    /// Was the target reached, if there is one?
    pub fn met(&self) -> Option<bool> {
        self.target.map(|target| self.ours <= target)
    }
}

fn hundredths(figure: f64) -> f64 {
    (figure * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn measured(text: &str) -> BTreeMap<Kernel, Samples> {
        let mut samples = Samples::default();
        samples.read(text.lines()).unwrap();
        BTreeMap::from([(Kernel::Bench, samples)])
    }

    #[test]
    fn the_ratio_is_ours_to_the_peers() {
        let all = measured("section on\nbench lock.pair 14300 250\nend\n");
        let row = Row::of(&LOCK_ORDER[0], &all).unwrap();
        assert_eq!((row.ours, row.reference, row.ratio), (57.2, 286.0, 0.2));
        assert_eq!(row.met(), Some(true));
    }

    #[test]
    fn a_target_is_the_most_that_is_allowed() {
        for (ticks, met) in [(6000, true), (6001, false)] {
            let all = measured(&format!("section on\nbench lock.pair {ticks} 100\nend\n"));
            assert_eq!(Row::of(&LOCK_ORDER[0], &all).unwrap().met(), Some(met));
        }
    }

    #[test]
    fn a_cost_that_grows_misses_its_target() {
        let spec = all_named("tt.growth.swapout.1000");
        for (ticks, met) in [(4400, true), (4401, false)] {
            let all = measured(&format!(
                "section on\nbench tt.growth.swapout.1 4000 1\nbench tt.growth.swapout.1000 {ticks} 1\n\
                 bench ttm.growth.swapout.1000 9000 1\nend\n"
            ));
            let row = Row::of(spec, &all).unwrap();
            assert_eq!((row.target, row.met()), (Some(4400.0), Some(met)));
        }
    }

    #[test]
    fn a_peer_that_is_measured_is_of_its_own_kernel() {
        let mut all = measured("section on\nbench lock.pair 50 1\nend\n");
        let spec = all_named("lock.pair/lockdep");
        assert!(Row::of(spec, &all).is_err());
        let mut reference = Samples::default();
        let text = "section off\nbench lockdep.pair 1000 1\nend\n";
        reference.read(text.lines()).unwrap();
        all.insert(Kernel::Lockdep, reference);
        let row = Row::of(spec, &all).unwrap();
        assert_eq!((row.reference, row.ratio, row.met()), (1000.0, 0.05, None));
    }

    #[test]
    fn no_name_is_there_twice() {
        let names: BTreeSet<_> = all().map(|spec| spec.name).collect();
        assert_eq!(names.len(), all().count());
    }

    #[test]
    fn programs_read_six_fields() {
        let all = measured("section on\nbench lock.pair 50 1\nend\n");
        let row = Row::of(&LOCK_ORDER[0], &all).unwrap();
        assert_eq!(
            serde_json::to_value(&row).unwrap(),
            serde_json::json!({
                "name": "lock.pair", "unit": "instructions", "ours": 50.0,
                "reference": 286.0, "reference_name": "UVM (constant)", "ratio": 0.175,
            })
        );
    }

    fn all_named(name: &str) -> &'static Spec {
        all().find(|spec| spec.name == name).unwrap()
    }
}
