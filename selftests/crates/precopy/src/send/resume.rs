// SPDX-License-Identifier: GPL-2.0-or-later

//! Takes up a migration whose connection was lost: the log goes on meanwhile, and what may not have come is sent again.

use std::time::Duration;

use crate::Channel;
use crate::Clock;
use crate::Failure;
use crate::Kind;
use crate::Request;
use crate::Round;
use crate::Source;
use crate::Stage;
use crate::Writers;

use super::Sender;

/// The time between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(250);

impl<S: Source, W: Writers, C: Channel, K: Clock> Sender<'_, S, W, C, K> {
    /// Waits until the connection is there again, and takes what has not come as still to send. Fails with `failure` if
    /// it does not come in time.
    ///
    /// The writers run on meanwhile, unless the source may have been given away: then only a receiver that says that it
    /// waits lets them. It has seen the end of the lost connection by then, so it cannot take over what was on it.
    pub(super) fn take_up(&mut self, mut failure: Failure) -> Result<(), Failure> {
        let Some(resume) = self.options.resume else {
            return Err(failure);
        };
        let given = failure.kind() == Kind::AcknowledgementLost;
        self.watch.lost(&failure);
        if matches!(self.stage, Stage::Round(_) | Stage::LastRound(_)) {
            let round = self.measured();
            self.statistics.rounds.push(Round {
                lost: true,
                ..round
            });
        }
        #[cfg(test)]
        let given = given && self.options.mistake != Some(crate::tests::Mistake::RunsTooEarly);
        if !given {
            self.run_on()?;
        }
        let hello = self.hello(true);
        let until = self.clock.now().saturating_add(resume.window);
        let missing = loop {
            let left = until.saturating_sub(self.clock.now());
            if left.is_zero() {
                let text = format!("not taken up within {} s", resume.window.as_secs_f64());
                failure.also.push(text);
                return Err(failure);
            }
            if given {
                if self.watch.request() == Request::Cancel {
                    failure.also.push("cancelled".to_owned());
                    return Err(failure);
                }
            } else {
                self.is_forced()?;
            }
            let number = self.round.number + 1;
            match self.link.resume(&hello, self.stage, number, left) {
                Ok(missing) => break missing,
                Err(again) if again.is_of_the_link() => self.clock.sleep(PAUSE.min(left)),
                Err(other) if given => {
                    failure.also.push(other.to_string());
                    return Err(failure);
                }
                Err(other) => return Err(other),
            }
        };
        self.statistics.resumed += 1;
        for extent in missing {
            #[cfg(test)]
            if self.options.mistake == Some(crate::tests::Mistake::NotSentAgain) {
                continue;
            }
            let plan = &mut self.plans[extent.region];
            self.statistics.resent += plan.again(extent.first, extent.first + extent.count);
        }
        self.run_on()?;
        if self.complete {
            // What was written meanwhile would be sent twice otherwise.
            self.sync()?;
        }
        Ok(())
    }

    /// Lets the writers run, if they were stopped for the end.
    fn run_on(&mut self) -> Result<(), Failure> {
        if self.stopping.take().is_some() {
            let refused = self.local("let the writers run on");
            self.writers.resume().map_err(refused)?;
        }
        Ok(())
    }
}
