// SPDX-License-Identifier: GPL-2.0

//! /sys/kernel/debug/reeve/bench: what the module's own operations cost, measured when it is read.
//!
//! Only in builds with `REEVE_BENCH=1`. A line is `bench NAME TICKS OPERATIONS`; `make bench` reads
//! them where a tick is an instruction. What other drivers can call is measured from outside, by
//! `selftests/ext-bench`.

use crate::{
    ffi::{
        debugfs::{
            Dir,
            File,
            Show, //
        },
        ticks::ticks, //
    },
    lock_order::{
        declared::FileHandles,
        typed,
        with_context, //
    }, //
};
use core::hint::black_box;
use kernel::{
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
const TURNS: u32 = 256;
/// How often; the time that was disturbed least counts.
const TRIES: u32 = 16;

/// The files; dropping them removes them.
pub(crate) struct Files {
    _lock_order: File,
    _dir: Dir,
}

impl Files {
    /// Makes the directory `bench` in `parent`, and its files. `ENOMEM`. May sleep.
    pub(crate) fn new(parent: &Dir) -> Result<Self> {
        let dir = parent.subdir(c"bench");
        Ok(Self {
            _lock_order: dir.file(c"lock_order", 0o400, LockOrder::new()?)?,
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
            row(m, "typed.mutex", move || drop(typed.lock()));
            row(m, "typed.mutex_bare", move || drop(bare.lock()));
        });
        Ok(())
    }
}

/// Measures `body`, without the loop around it.
fn row(m: &SeqFile, name: &str, body: impl Fn() + Copy) {
    let ticks = least(body).wrapping_sub(least(|| {}));
    seq_print!(m, "bench {name} {} {TURNS}\n", ticks as i64);
}

fn least(body: impl Fn() + Copy) -> u64 {
    (0..TRIES).fold(u64::MAX, |least, _| least.min(ticks_of_loop(body)))
}

/// All loops are the same but for `body`, so that an empty one says what the loop itself costs.
#[inline(never)]
fn ticks_of_loop(body: impl Fn() + Copy) -> u64 {
    let begin = ticks();
    // The compiler knows neither how often this turns, nor that it could be left out.
    for _ in 0..black_box(TURNS) {
        body();
        black_box(());
    }
    ticks().wrapping_sub(begin)
}
