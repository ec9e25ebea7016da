// SPDX-License-Identifier: GPL-2.0-or-later

//! When to slow the writers, and by how much.

use std::time::Duration;

/// The time between two ticks.
pub(crate) const PERIOD: Duration = Duration::from_secs(5);

/// What the first step slows the writers by, what each next one adds, and the most, in percent.
const FIRST: u8 = 20;
const STEP: u8 = 10;
const MOST: u8 = 99;

/// How many syncs in a row have to find the writers faster than the channel.
const STAYS: u32 = 2;

/// The state of the throttle.
#[derive(Debug)]
pub(crate) struct Throttle {
    /// The number of syncs up to which a tick does nothing.
    idle: u64,
    next: Duration,
    syncs_at_tick: u64,
    too_fast: u32,
    percent: u8,
}

impl Throttle {
    /// Begins at `now`. If the first sync was skipped, there is one less that ticks wait for.
    pub(crate) fn new(skipped: bool, now: Duration) -> Self {
        Self {
            idle: if skipped { 0 } else { 1 },
            next: now + PERIOD,
            syncs_at_tick: 0,
            too_fast: 0,
            percent: 0,
        }
    }

    /// Returns whether it is time for a tick, of which there is then none for a period.
    pub(crate) fn is_due(&mut self, now: Duration) -> bool {
        let due = now >= self.next;
        if due {
            self.next = now + PERIOD;
        }
        due
    }

    /// Returns whether a tick has to sync, `syncs` having been made.
    pub(crate) fn needs_sync(&mut self, syncs: u64) -> bool {
        let needs = syncs > self.idle && syncs == self.syncs_at_tick;
        self.syncs_at_tick = syncs + u64::from(needs);
        needs
    }

    /// Notes the rates that a sync found.
    pub(crate) fn synced(&mut self, dirty_rate: Option<u64>, send_rate: Option<u64>) {
        let faster = matches!((dirty_rate, send_rate), (Some(dirty), Some(send)) if dirty > send);
        self.too_fast = if faster { self.too_fast + 1 } else { 0 };
    }

    /// Returns by how much to slow the writers from now on, if that changes; part of a tick.
    pub(crate) fn step(&mut self, syncs: u64) -> Option<u8> {
        if syncs <= self.idle || self.too_fast < STAYS || self.percent == MOST {
            return None;
        }
        self.too_fast = 0;
        self.percent = match self.percent {
            0 => FIRST,
            percent => (percent + STEP).min(MOST),
        };
        Some(self.percent)
    }

    /// Returns by how much the writers are slowed.
    pub(crate) fn percent(&self) -> u8 {
        self.percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_five_seconds_apart() {
        let mut throttle = Throttle::new(true, Duration::ZERO);
        assert!(!throttle.is_due(Duration::from_millis(4999)));
        assert!(throttle.is_due(Duration::from_secs(5)));
        assert!(!throttle.is_due(Duration::from_secs(9)));
        assert!(throttle.is_due(Duration::from_secs(10)));
    }

    #[test]
    fn early_ticks_do_nothing() {
        for (skipped, idle) in [(false, 1), (true, 0)] {
            let mut throttle = Throttle::new(skipped, Duration::ZERO);
            for syncs in 0..=idle {
                throttle.synced(Some(2), Some(1));
                throttle.synced(Some(2), Some(1));
                assert!(!throttle.needs_sync(syncs) && !throttle.needs_sync(syncs));
                assert_eq!(throttle.step(syncs), None, "{skipped} {syncs}");
            }
            assert!(!throttle.needs_sync(idle + 1), "a sync happened");
            assert!(throttle.needs_sync(idle + 1), "none since the last tick");
            assert!(throttle.needs_sync(idle + 2), "only the tick's own");
            assert_eq!(throttle.step(idle + 3), Some(20));
        }
    }

    #[test]
    fn steps_go_up_to_99_percent_while_the_rate_stays_high() {
        let mut throttle = Throttle::new(true, Duration::ZERO);
        let mut seen = Vec::new();
        for _ in 0..12 {
            throttle.synced(Some(11), Some(10));
            assert_eq!(throttle.step(5), None);
            throttle.synced(Some(11), Some(10));
            seen.extend(throttle.step(5));
        }
        assert_eq!(seen, [20, 30, 40, 50, 60, 70, 80, 90, 99]);
        assert_eq!(throttle.percent(), 99);
        let mut throttle = Throttle::new(true, Duration::ZERO);
        for _ in 0..10 {
            throttle.synced(Some(11), Some(10));
            throttle.synced(Some(10), Some(10));
            throttle.synced(Some(11), None);
            assert_eq!(throttle.step(5), None);
        }
    }
}
