// SPDX-License-Identifier: GPL-2.0-or-later

//! The bandwidth limit.

use std::time::Duration;

/// Says how long to wait so that no more than so many bytes a second are sent.
#[derive(Debug)]
pub(crate) struct Pace {
    limit: Option<u64>,
    since: Duration,
    bytes: u64,
}

/// Time that was not used is not caught up with beyond this.
const BURST: Duration = Duration::from_millis(100);

impl Pace {
    /// `limit` bytes a second, from `now` on.
    pub(crate) fn new(limit: Option<u64>, now: Duration) -> Self {
        Self {
            limit: limit.filter(|limit| *limit > 0),
            since: now,
            bytes: 0,
        }
    }

    /// Counts `bytes` that were sent. Returns how long to wait before more are.
    pub(crate) fn sent(&mut self, bytes: u64, now: Duration) -> Duration {
        let Some(limit) = self.limit else {
            return Duration::ZERO;
        };
        let due = self.since + time_of(self.bytes, limit);
        if now > due + BURST {
            self.since = now;
            self.bytes = 0;
        }
        self.bytes += bytes;
        (self.since + time_of(self.bytes, limit)).saturating_sub(now)
    }
}

/// Returns the time that `bytes` take at `rate` bytes a second.
pub(crate) fn time_of(bytes: u64, rate: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64)
}

/// Returns bytes a second, or `None` if no time has passed.
pub(crate) fn rate_of(bytes: u64, time: Duration) -> Option<u64> {
    (!time.is_zero()).then(|| (bytes as f64 / time.as_secs_f64()) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_over_time() {
        let mut pace = Pace::new(Some(1000), Duration::ZERO);
        let mut now = Duration::ZERO;
        for _ in 0..100 {
            now += pace.sent(50, now);
        }
        assert_eq!(now, Duration::from_secs(5));
        // A pause is not caught up with.
        now += Duration::from_secs(60);
        assert_eq!(pace.sent(1000, now), Duration::from_secs(1));
        let mut free = Pace::new(None, Duration::ZERO);
        assert_eq!(free.sent(u64::MAX, now), Duration::ZERO);
    }
}
