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
        with_context(|| {
            row(m, "typed.mutex", || drop(self.typed.lock()));
            row(m, "typed.mutex_bare", || drop(self.bare.lock()));
        });
        Ok(())
    }
}

/// Measures `body`, without the loop around it.
fn row(m: &SeqFile, name: &str, body: impl Fn()) {
    let ticks = least(body).wrapping_sub(least(|| {}));
    seq_print!(m, "bench {name} {} {TURNS}\n", ticks as i64);
}

fn least(body: impl Fn()) -> u64 {
    (0..TRIES).fold(u64::MAX, |least, _| least.min(ticks_of_loop(&body)))
}

#[inline(never)]
fn ticks_of_loop(body: &impl Fn()) -> u64 {
    let begin = ticks();
    let mut left = TURNS;
    while left != 0 {
        body();
        // The compiler does not know how often the loop turns, nor that it could be left out.
        left = black_box(left - 1);
    }
    ticks().wrapping_sub(begin)
}
