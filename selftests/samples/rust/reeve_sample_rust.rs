// SPDX-License-Identifier: GPL-2.0

//! A Rust driver that has its locks tracked by Reeve: a sample to copy from. It loads only if every
//! call returns as documented.

use kernel::{
    new_mutex,
    prelude::*,
    sync::Mutex, //
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

struct Sample {
    _hierarchy: reeve::Hierarchy,
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

fn right_order(h: &reeve::Hierarchy, device: &Mutex<u32>, queue: &Mutex<u32>) -> Result {
    expect!(h.record_lock(device, DEVICE, reeve::EXCLUSIVE));
    let mut in_device = device.lock();
    expect!(h.record_lock(queue, QUEUE, reeve::EXCLUSIVE));
    let in_queue = queue.lock();
    *in_device += *in_queue;
    expect!(h.check_locked(device, DEVICE, reeve::EXCLUSIVE));
    expect!(h.record_unlock(queue, QUEUE, reeve::EXCLUSIVE));
    drop(in_queue);
    expect!(h.record_unlock(device, DEVICE, reeve::EXCLUSIVE));
    drop(in_device);
    expect!(h.check_all_unlocked());
    Ok(())
}

/// The mistake that tracking is for: nothing deadlocks here, yet it is found.
#[inline(never)]
fn wrong_order(h: &reeve::Hierarchy, device: &Mutex<u32>, queue: &Mutex<u32>) -> Result {
    expect!(h.record_lock(queue, QUEUE, reeve::EXCLUSIVE));
    expect!(!h.record_lock(device, DEVICE, reeve::SHARED));
    expect!(h.record_unlock(device, DEVICE, reeve::SHARED | reeve::OUT_OF_ORDER));
    expect!(h.record_unlock(queue, QUEUE, reeve::EXCLUSIVE));
    Ok(())
}

impl kernel::Module for Sample {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let h = reeve::Hierarchy::register(c"reeve_sample_rust", &[c"device", c"queue"])?;
        let device = KBox::pin_init(new_mutex!(1, "sample_device"), GFP_KERNEL)?;
        let queue = KBox::pin_init(new_mutex!(2, "sample_queue"), GFP_KERNEL)?;
        expect!(h.add_rule(DEVICE, DEVICE, reeve::ANY, 0) == Err(EINVAL));
        reeve::with_context(|| {
            right_order(&h, &device, &queue)?;
            wrong_order(&h, &device, &queue)
        })?;
        pr_info!("all calls returned as documented\n");
        Ok(Self { _hierarchy: h })
    }
}
