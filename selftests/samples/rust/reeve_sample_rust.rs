// SPDX-License-Identifier: GPL-2.0

//! A Rust driver that has its locks tracked by Reeve: a sample to copy from. It loads only if every
//! call returns as documented.

use kernel::{
    new_mutex,
    new_spinlock,
    prelude::*,
    sync::{
        Arc,
        Mutex,
        SpinLock, //
    }, //
};

mod reeve {
    include!(concat!(env!("REEVE_INCLUDE"), "/reeve/lock_order.rs"));
}

module! {
    type: Sample,
    name: "reeve_sample_rust",
    authors: ["The Reeve developers"],
    description: "Sample Rust driver with tracked locks",
    license: "GPL",
}

// The driver's lock orders, outermost first.
const DEVICE: u32 = 1;
const QUEUE: u32 = 2;

const STATE: u32 = 3;

/// The driver's locks: each has its order in its type, and records itself.
#[pin_data]
struct Locks {
    #[pin]
    device: reeve::Tracked<Mutex<u32>, DEVICE>,
    #[pin]
    queue: reeve::Tracked<Mutex<u32>, QUEUE>,
    #[pin]
    state: reeve::Tracked<SpinLock<u32>, STATE>,
}

impl Locks {
    fn new(h: &Arc<reeve::Hierarchy>) -> Result<Pin<KBox<Self>>> {
        KBox::pin_init(
            pin_init!(Self {
                device <- reeve::Tracked::new(h.clone(), new_mutex!(1, "sample_device")),
                queue <- reeve::Tracked::new(h.clone(), new_mutex!(2, "sample_queue")),
                state <- reeve::Tracked::new(h.clone(), new_spinlock!(3, "sample_state")),
            }),
            GFP_KERNEL,
        )
    }
}

struct Sample {
    _locks: Pin<KBox<Locks>>,
}

/// Returns an error, and logs where, unless the condition holds.
macro_rules! expect {
    ($condition:expr) => {
        if !$condition {
            pr_err!("line {}: expected {}\n", line!(), stringify!($condition));
            return Err(EINVAL);
        }
    };
}

fn right_order(h: &reeve::Hierarchy, locks: &Locks) -> Result {
    let mut device = locks.device.lock();
    let queue = locks.queue.lock();
    *device += *queue;
    locks.device.assert_held();
    expect!(!h.check_unlocked_order(QUEUE));
    expect!(h.check_lockable_order(STATE, 0));
    *locks.state.lock() += *device;
    drop(queue);
    expect!(h.check_unlocked_order(QUEUE));
    drop(device);
    expect!(h.check_all_unlocked());
    Ok(())
}

/// Leaves early, with locks held: their guards take care of it.
fn early(locks: &Locks, fail: bool) -> Result<u32> {
    let device = locks.device.lock();
    let queue = locks.queue.lock();
    u32::try_from(if fail { -1 } else { 1 })?;
    Ok(*device + *queue)
}

/// A lock that is taken already is not recorded again.
fn tried(h: &reeve::Hierarchy, locks: &Locks) -> Result {
    let state = locks.state.lock();
    expect!(locks.state.try_lock().is_none());
    expect!(locks.device.try_lock().is_some());
    drop(state);
    expect!(h.check_all_unlocked());
    Ok(())
}

/// Locks of other types are recorded by hand.
fn by_hand(h: &reeve::Hierarchy) -> Result {
    let (outer, inner) = (1u8, 2u8);
    expect!(h.record_lock(&outer, DEVICE, reeve::EXCLUSIVE));
    expect!(h.record_lock(&inner, QUEUE, reeve::SHARED | reeve::WAITING));
    expect!(h.record_acquired(&inner, QUEUE));
    let inside = reeve::with_saved_context(|| {
        h.check_all_unlocked() && h.record_lock(&outer, DEVICE, reeve::SHARED) && {
            h.record_unlock(&outer, DEVICE, reeve::SHARED)
        }
    });
    expect!(inside == Some(true));
    expect!(reeve::without_tracking(|| h.record_unlock(
        &outer,
        STATE,
        reeve::SHARED
    )));
    expect!(h.record_unlock(&inner, QUEUE, reeve::SHARED));
    expect!(h.record_downgrade(&outer, DEVICE));
    expect!(h.record_unlock(&outer, DEVICE, reeve::SHARED));
    Ok(())
}

/// The mistake that tracking is for: nothing deadlocks here, yet it is found.
#[inline(never)]
fn wrong_order(locks: &Locks) {
    let queue = locks.queue.lock();
    let device = locks.device.lock();
    drop(queue);
    drop(device);
}

impl kernel::Module for Sample {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let orders = [c"device", c"queue", c"state"];
        let h = reeve::Hierarchy::register(c"reeve_sample_rust", &orders)?;
        let h = Arc::new(h, GFP_KERNEL)?;
        let locks = Locks::new(&h)?;
        expect!(h.add_rule(DEVICE, DEVICE, reeve::ANY, 0) == Err(EINVAL));
        expect!(reeve::with_saved_context(|| ()).is_none());
        reeve::with_context(|| {
            right_order(&h, &locks)?;
            expect!(early(&locks, true).is_err());
            expect!(h.check_all_unlocked());
            expect!(early(&locks, false).is_ok());
            tried(&h, &locks)?;
            by_hand(&h)?;
            wrong_order(&locks);
            expect!(h.check_all_unlocked());
            Ok(())
        })?;
        pr_info!("all calls returned as documented\n");
        Ok(Self { _locks: locks })
    }
}
