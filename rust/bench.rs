// SPDX-License-Identifier: GPL-2.0

//! /sys/kernel/debug/reeve/bench: what the module's own operations cost, measured when it is read.
//!
//! Only in builds with `REEVE_BENCH=1`. A line is `bench NAME TICKS OPERATIONS`; `make bench` reads
//! them where a tick is an instruction. What other drivers can call is measured from outside, by
//! `selftests/modules/bench`.

#![deny(unsafe_code)]

mod bo;

use crate::{
    abstractions::{
        debugfs::{
            Dir,
            File,
            Show, //
        },
        ticks::ticks, //
    },
    bo::Manager,
    lock_order::{
        classes::FileHandles,
        typed,
        with_context, //
    }, //
};
use core::hint::black_box;
use kernel::{
    fmt,
    new_mutex,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// Turns of a loop that is measured.
const TURNS: u64 = 256;
/// How often; the time that was disturbed least counts.
const TRIES: u64 = 16;

/// The files; dropping them removes them.
pub(crate) struct Files {
    _lock_order: File,
    _tt: File,
    _tt_growth: File,
    _evict: File,
    _dir: Dir,
}

impl Files {
    /// Makes the directory `bench` in `parent`, and its files. `ENOMEM`. May sleep.
    pub(crate) fn new(parent: &Dir, manager: &Arc<Manager>) -> Result<Self> {
        let dir = parent.subdir(c"bench");
        Ok(Self {
            _lock_order: dir.file(c"lock_order", 0o400, LockOrder::new()?)?,
            _tt: dir.file(c"tt", 0o400, bo::OneTt::new(manager)?)?,
            _tt_growth: dir.file(c"tt_growth", 0o400, bo::Growth::new(manager)?)?,
            _evict: dir.file(c"evict", 0o400, bo::Evict::new(manager)?)?,
            _dir: dir,
        })
    }
}

/// `lock_order`: a mutex whose type carries its order, and the kernel's own.
struct LockOrder {
    typed: Pin<KBox<typed::Mutex<(), FileHandles>>>,
    bare: Pin<KBox<Mutex<()>>>,
}

impl LockOrder {
    fn new() -> Result<Arc<Self>> {
        let locks = Self {
            typed: KBox::pin_init(typed::Mutex::new(()), GFP_KERNEL)?,
            bare: KBox::pin_init(new_mutex!((), "reeve.bench"), GFP_KERNEL)?,
        };
        Ok(Arc::new(locks, GFP_KERNEL)?)
    }
}

impl Show for LockOrder {
    fn show(&self, m: &SeqFile) -> Result {
        let (typed, bare) = (&*self.typed, &*self.bare);
        with_context(|| {
            self.pair(m, fmt!("typed.mutex"), || drop(typed.lock()))?;
            self.pair(m, fmt!("typed.mutex_bare"), || drop(bare.lock()))
        })
    }
}

impl LockOrder {
    fn pair(&self, m: &SeqFile, name: fmt::Arguments<'_>, body: impl Fn()) -> Result {
        let body = || {
            body();
            Ok(())
        };
        row(m, name, least(TRIES, TURNS, || (), body)?, TURNS);
        Ok(())
    }
}

/// Prints what was measured: `operations` took `ticks` together.
pub(crate) fn row(m: &SeqFile, name: fmt::Arguments<'_>, ticks: u64, operations: u64) {
    seq_print!(m, "bench {name} {} {operations}\n", ticks as i64);
}

/// The ticks of `turns` turns of `body`, without the loop around it, in the best of `tries` tries.
/// `prepare` runs before each, and is not measured.
pub(crate) fn least(
    tries: u64,
    turns: u64,
    prepare: impl Fn(),
    mut body: impl FnMut() -> Result,
) -> Result<u64> {
    let mut least = u64::MAX;
    for _ in 0..tries {
        prepare();
        least = least.min(ticks_of_loop(turns, &mut body)?);
    }
    let mut nothing = || Ok(());
    let mut least_of_nothing = u64::MAX;
    for _ in 0..TRIES {
        least_of_nothing = least_of_nothing.min(ticks_of_loop(turns, &mut nothing)?);
    }
    Ok(least.wrapping_sub(least_of_nothing))
}

/// What reading the counter costs by itself.
#[inline(never)]
pub(crate) fn ticks_of_nothing() -> u64 {
    let begin = ticks();
    black_box(());
    ticks().wrapping_sub(begin)
}

/// All loops are the same but for `body`, so that an empty one says what the loop itself costs.
#[inline(never)]
fn ticks_of_loop(turns: u64, body: &mut impl FnMut() -> Result) -> Result<u64> {
    let begin = ticks();
    // The compiler knows neither how often this turns, nor that it could be left out.
    for _ in 0..black_box(turns) {
        body()?;
        black_box(());
    }
    Ok(ticks().wrapping_sub(begin))
}
