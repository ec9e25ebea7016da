// SPDX-License-Identifier: GPL-2.0-or-later

//! What a migration would take, from a measurement of how much is written.

use serde::Serialize;

use crate::pace::time_of;

/// How many different pages were written to since the log was switched on, at some times.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Measured {
    /// The pages of all objects.
    pub pages: u64,
    /// Those that have content, which is sent in round 1.
    pub content: u64,
    /// The size of a page.
    pub page_size: u32,
    /// Seconds since the log was switched on, and pages that were dirty then. Both only grow.
    pub dirty: Vec<(f64, u64)>,
}

impl Measured {
    /// Returns how many pages are dirty after so many seconds. What is later than was measured goes on like the second
    /// half of what was.
    fn dirty_after(&self, seconds: f64) -> u64 {
        let mut before = (0.0, 0.0);
        for &(at, pages) in &self.dirty {
            let pages = pages as f64;
            if seconds <= at {
                let part = (seconds - before.0) / (at - before.0).max(f64::MIN_POSITIVE);
                return (before.1 + part * (pages - before.1)) as u64;
            }
            before = (at, pages);
        }
        let half = before.0 / 2.0;
        let middle = if before.0 > 0.0 {
            self.dirty_after(half) as f64
        } else {
            0.0
        };
        let slope = if half > 0.0 {
            (before.1 - middle) / half
        } else {
            0.0
        };
        (before.1 + slope * (seconds - before.0)).min(self.pages as f64) as u64
    }

    /// Returns bytes a second that become dirty, of pages that were not, in the first second.
    pub fn dirty_rate(&self) -> Option<u64> {
        let second = self.dirty.iter().find(|(at, _)| *at >= 1.0);
        let &(at, pages) = second.or(self.dirty.last()).filter(|(at, _)| *at > 0.0)?;
        Some((pages as f64 * f64::from(self.page_size) / at) as u64)
    }

    /// Plays the rounds at this bandwidth, in bytes a second, until what is left fits the downtime, in seconds.
    pub fn estimate(&self, bandwidth: u64, downtime: f64) -> Estimate {
        let time = |pages: u64| time_of(pages * u64::from(self.page_size), bandwidth).as_secs_f64();
        let mut estimate = Estimate {
            bandwidth,
            converges: true,
            ..Estimate::default()
        };
        let mut left = self.content;
        loop {
            let took = time(left);
            estimate.rounds += 1;
            estimate.pages += left;
            estimate.seconds += took;
            let before = left;
            left = self.dirty_after(took);
            if time(left) <= downtime {
                break;
            }
            // Rounds that get no shorter go on for ever; what is written when is not known to more than that.
            if estimate.rounds > 1 && left as f64 > 0.95 * before as f64 {
                estimate.converges = false;
                break;
            }
        }
        // The last round, with the writers stopped.
        estimate.rounds += 1;
        estimate.pages += left;
        estimate.downtime = time(left);
        estimate.seconds += estimate.downtime;
        estimate
    }
}

/// What a migration would take.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// Bytes a second that were assumed.
    pub bandwidth: u64,
    /// Whether what is left will fit the downtime without slowing the writers. If not, the rest is that of a migration
    /// that stops them once its rounds get no shorter.
    pub converges: bool,
    /// Rounds, the one with the writers stopped included.
    pub rounds: u32,
    /// Pages to send.
    pub pages: u64,
    /// The time that sending takes, in seconds.
    pub seconds: f64,
    /// The part of it with the writers stopped, in seconds. Comparing all pages comes on top of it.
    pub downtime: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writers that make `rate` pages a second dirty, up to `most`.
    fn measured(rate: u64, most: u64) -> Measured {
        Measured {
            pages: 100_000,
            content: 100_000,
            page_size: 4096,
            dirty: (1..=5)
                .map(|second| (second as f64, (rate * second).min(most)))
                .collect(),
        }
    }

    #[test]
    fn without_writers_there_are_two_rounds() {
        let estimate = measured(0, 0).estimate(100 << 20, 0.3);
        assert_eq!((estimate.rounds, estimate.pages), (2, 100_000));
        assert!(estimate.converges && estimate.downtime == 0.0);
        assert!((estimate.seconds - 3.90625).abs() < 1e-6, "{estimate:?}");
    }

    #[test]
    fn slow_writers_let_it_converge() {
        // 10 % of the send rate: rounds of 100 000, 10 000, 1000 pages, of which the last one fits.
        let estimate = measured(2560, u64::MAX).estimate(100 << 20, 0.1);
        assert!(estimate.converges, "{estimate:?}");
        assert_eq!(estimate.rounds, 3);
        assert!(estimate.downtime <= 0.1);
    }

    #[test]
    fn fast_writers_do_not() {
        let estimate = measured(50_000, u64::MAX).estimate(100 << 20, 0.3);
        assert!(!estimate.converges, "{estimate:?}");
        // A working set that fits the downtime does not matter, however fast it is written to.
        let estimate = measured(50_000, 5000).estimate(100 << 20, 0.3);
        assert!(estimate.converges && estimate.rounds == 2, "{estimate:?}");
    }

    #[test]
    fn short_rounds_are_what_was_measured_of_them() {
        // 500 pages over and over: a round of 0.04 s finds all of them dirty, not a twenty-fifth.
        let measured = Measured {
            pages: 1000,
            content: 1000,
            page_size: 4096,
            dirty: vec![(0.01, 490), (0.03, 500), (1.0, 500), (2.0, 500)],
        };
        let estimate = measured.estimate(100 << 20, 0.3);
        assert_eq!((estimate.rounds, estimate.pages), (2, 1500));
        assert_eq!(measured.dirty_rate(), Some(500 * 4096));
    }

    #[test]
    fn rates_go_on_as_they_were() {
        let measured = measured(100, u64::MAX);
        assert_eq!(measured.dirty_after(0.0), 0);
        assert_eq!(measured.dirty_after(2.5), 250);
        assert_eq!(measured.dirty_after(50.0), 5000);
        assert_eq!(measured.dirty_after(1e9), 100_000);
        assert_eq!(measured.dirty_rate(), Some(100 * 4096));
        assert_eq!(Measured::default().dirty_after(3.0), 0);
        assert_eq!(Measured::default().dirty_rate(), None);
    }
}
