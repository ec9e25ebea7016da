// SPDX-License-Identifier: GPL-2.0-or-later

//! Time behind a trait, so that tests have their own.

use std::thread;
use std::time::Duration;
use std::time::Instant;

/// A clock that never goes back.
pub trait Clock {
    /// Returns the time since some moment in the past.
    fn now(&self) -> Duration;

    /// Waits.
    fn sleep(&self, time: Duration);
}

/// The system's clock.
#[derive(Debug)]
pub struct Monotonic(Instant);

impl Monotonic {
    /// Returns a clock that starts now.
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Default for Monotonic {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for Monotonic {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, time: Duration) {
        thread::sleep(time);
    }
}
