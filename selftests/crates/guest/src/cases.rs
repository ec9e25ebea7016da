// SPDX-License-Identifier: GPL-2.0-or-later

//! The cases, a file per theme, in the order they run.

mod arguments;
mod backup;
mod budgets;
mod caching;
mod cgroup_dmem;
mod cgroup_memory;
mod content;
mod counters;
mod create;
mod debugfs;
mod devices;
mod dirty_log;
mod dirty_log_calls;
mod dirty_log_entries;
mod dirty_log_fence;
mod dirty_log_fence_races;
mod dirty_log_lives;
mod dirty_log_oracle;
mod dirty_log_races;
mod dirty_log_writes;
mod dma;
mod faults;
mod fdinfo;
mod file_limit;
mod fresh;
mod gpu;
mod gpu_drm;
mod handles;
mod hard;
mod held;
mod hostile_pages;
mod latency;
mod life;
mod lifetime;
mod limits;
mod migrate;
mod migrate_ends;
mod migrate_estimate;
mod migrate_resume;
mod migrate_writers;
mod mmap;
mod mmap_pages;
mod mmap_races;
mod parallel;
mod parameters;
mod pins;
mod pool;
mod precopy;
mod precopy_kvm;
mod pressure;
mod races;
mod ranges;
mod reclaim;
mod reevectl;
mod reevectl_asks;
mod reevectl_locks;
mod reevectl_top;
mod reference;
mod reload;
mod sanity;
mod sg;
mod sharing;
mod shmem;
mod sleep;
mod storage;
mod stress;
mod swap;
mod sweeps;
mod tracepoints;
mod transcripts;
mod two_guests;
mod version;
mod vhost;

use crate::test::Test;

/// What runs unless another suite is asked for.
pub(crate) const STANDARD: &str = "standard";

/// The suites, by what they need: nothing; C TTM beside the module; the sample `gpu-rust`; another module with locks; a disk
/// to swap to and little memory; likewise, and time; another guest; the sample `gpu-drm`, and swap.
pub(crate) const SUITES: &[(&str, &[&[Test]])] = &[
    (STANDARD, CASES),
    ("reference", &[reference::TESTS]),
    ("gpu", &[gpu::TESTS]),
    ("held", &[held::TESTS]),
    ("reclaim", &[reclaim::TESTS]),
    ("stress", &[stress::TESTS]),
    ("two-guests", &[two_guests::TESTS]),
    ("gpu-drm", &[gpu_drm::TESTS]),
];

/// The cases of a suite, if there is one of that name.
pub(crate) fn suite(name: &str) -> Option<impl Iterator<Item = &'static Test>> {
    let (_, themes) = SUITES.iter().find(|(known, _)| *known == name)?;
    Some(themes.iter().copied().flatten())
}

const CASES: &[&[Test]] = &[
    version::TESTS,
    arguments::TESTS,
    create::TESTS,
    handles::TESTS,
    life::TESTS,
    pins::TESTS,
    fresh::TESTS,
    content::TESTS,
    ranges::TESTS,
    swap::TESTS,
    caching::TESTS,
    pool::TESTS,
    backup::TESTS,
    shmem::TESTS,
    dma::TESTS,
    pressure::TESTS,
    sg::TESTS,
    mmap::TESTS,
    mmap_pages::TESTS,
    mmap_races::TESTS,
    dirty_log::TESTS,
    dirty_log_calls::TESTS,
    dirty_log_entries::TESTS,
    dirty_log_fence::TESTS,
    dirty_log_fence_races::TESTS,
    dirty_log_lives::TESTS,
    dirty_log_oracle::TESTS,
    dirty_log_races::TESTS,
    dirty_log_writes::TESTS,
    precopy::TESTS,
    vhost::TESTS,
    precopy_kvm::TESTS,
    migrate::TESTS,
    migrate_ends::TESTS,
    migrate_estimate::TESTS,
    migrate_resume::TESTS,
    migrate_writers::TESTS,
    counters::TESTS,
    sleep::TESTS,
    limits::TESTS,
    hard::TESTS,
    budgets::TESTS,
    file_limit::TESTS,
    cgroup_dmem::TESTS,
    cgroup_memory::TESTS,
    fdinfo::TESTS,
    debugfs::TESTS,
    latency::TESTS,
    tracepoints::TESTS,
    sharing::TESTS,
    lifetime::TESTS,
    hostile_pages::TESTS,
    storage::TESTS,
    parallel::TESTS,
    races::TESTS,
    sanity::TESTS,
    faults::TESTS,
    sweeps::TESTS,
    reevectl::TESTS,
    reevectl_asks::TESTS,
    reevectl_locks::TESTS,
    reevectl_top::TESTS,
    transcripts::TESTS,
    parameters::TESTS,
    devices::TESTS,
    reload::TESTS,
];
