// SPDX-License-Identifier: GPL-2.0-or-later

//! Runs one case: module set up, process of its own, time limit, nothing left behind.

use std::time::Duration;
use std::time::Instant;

use reeve_uapi::knobs;
use reeve_uapi::sys::reeve_stats;
use reeve_uapi::Device;

use crate::module;
use crate::process::Child;
use crate::seen::until;
use crate::test::Outcome;
use crate::test::Stop;
use crate::test::Test;

/// Time for one case, before `REEVE_TIME_SCALE`.
const LIMIT: Duration = Duration::from_secs(120);

/// Time for what a case left to go away.
const SETTLE: Duration = Duration::from_secs(20);

/// Runs a case.
pub(crate) fn run(test: &Test) -> Outcome {
    module::ensure(test.setup)?;
    let before = stats()?;

    let start = Instant::now();
    let mut child = Child::run_in_group(|_| (test.run)())?;
    let outcome = child.join_within(LIMIT.mul_f64(scale()));
    child.kill_group();
    drop(child);

    if std::env::var_os("REEVE_TIMES").is_some() {
        println!("# {:.2} s", start.elapsed().as_secs_f64());
    }
    // Also when it failed, so that the next case does not pay for it.
    let after = module::ensure(test.setup).and_then(|()| all_released(&before));
    match (outcome, after) {
        (Err(Stop::Failed(text)), Err(Stop::Failed(more))) => {
            Err(Stop::Failed(format!("{text}\nand afterwards: {more}")))
        }
        (Ok(()), after) => after.map_err(|stop| stop.during("afterwards")),
        (outcome, _) => outcome,
    }
}

/// The factor that slow machines ask for.
pub(crate) fn scale() -> f64 {
    let text = std::env::var("REEVE_TIME_SCALE").unwrap_or_default();
    text.parse()
        .ok()
        .filter(|scale| *scale > 0.0)
        .unwrap_or(1.0)
}

fn stats() -> Outcome<reeve_stats> {
    Ok(Device::open(reeve_uapi::DEFAULT_PATH)?.stats()?)
}

/// Pages and objects are as many as before, no lock was used wrongly, the counters agree.
fn all_released(before: &reeve_stats) -> Outcome {
    let gone = until(SETTLE, || {
        let now = stats()?;
        Ok(now.pages_allocated == before.pages_allocated
            && now.buffer_objects == before.buffer_objects)
    })?;
    let now = stats()?;
    if !gone {
        return Err(Stop::Failed(format!(
            "{} pages and {} objects are left, {} and {} were there before",
            now.pages_allocated, now.buffer_objects, before.pages_allocated, before.buffer_objects
        )));
    }
    if now.lock_violations > before.lock_violations {
        return Err(Stop::Failed(format!(
            "{} wrong uses of the module's own locks were found",
            now.lock_violations - before.lock_violations
        )));
    }
    let accounting = knobs::accounting()?;
    match accounting.iter().find(|(name, _)| name == "self_check") {
        Some((_, said)) if said == "ok" => Ok(()),
        Some((_, said)) => Err(Stop::Failed(format!("accounting self_check says {said}"))),
        None => Err(Stop::Failed("accounting has no self_check".to_owned())),
    }
}
