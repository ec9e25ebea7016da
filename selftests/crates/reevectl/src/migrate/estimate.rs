// SPDX-License-Identifier: GPL-2.0-or-later

//! `reevectl migrate estimate`: has the objects logged for some seconds, and says what moving them would take.

use std::io::Write;
use std::time::Duration;
use std::time::Instant;

use serde::Serialize;

use reeve_precopy::Bitmap;
use reeve_precopy::Cause;
use reeve_precopy::Estimate;
use reeve_precopy::Failure;
use reeve_precopy::Measured;
use reeve_precopy::Side;
use reeve_precopy::Stage;
use reeve_uapi::sys;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use super::chosen;
use super::rate;
use super::signals::Signals;
use crate::cli::EstimateArgs;
use crate::error::Ask;
use crate::error::Asked;
use crate::error::Error;
use crate::error::Result;
use crate::session::Session;
use crate::size;
use crate::stat::print_json;

/// The logs of objects, which are switched off at the end.
struct Logs<'d> {
    device: &'d Device,
    on: Vec<(Handle, Bitmap)>,
}

impl<'d> Logs<'d> {
    /// Switches them on, all bits zero.
    fn start(device: &'d Device, handles: &[Handle]) -> Result<Self> {
        let mut logs = Self {
            device,
            on: Vec::new(),
        };
        let (before, _) = device.log_mode().asked(Asked::LogMode)?;
        device
            .set_log_mode(sys::REEVE_LOG_MANUAL)
            .asked(Asked::LogMode)?;
        let started = handles.iter().try_for_each(|handle| logs.add(*handle));
        // A log keeps the mode it was started in.
        device.set_log_mode(before).asked(Asked::LogMode)?;
        started.map(|()| logs)
    }

    fn add(&mut self, handle: Handle) -> Result<()> {
        let info = self.device.info(handle).asked(Asked::Info(handle))?;
        if info.is(sys::REEVE_BO_LOGGING) {
            return Err(Error::Check(format!(
                "object {handle} is being logged already\n  `reevectl bo log stop {handle}` ends that."
            )));
        }
        let asked = || Asked::Log("start", handle);
        let pages = self.device.log_start(handle).asked(asked())?;
        match Bitmap::zeros(pages) {
            Ok(bitmap) => self.on.push((handle, bitmap)),
            Err(err) => {
                // Not among those that are switched off at the end.
                let _ = self.device.log_stop(handle);
                return Err(err).asked(asked());
            }
        }
        Ok(())
    }

    /// Returns how many pages are dirty.
    fn dirty(&mut self) -> Result<u64> {
        let mut dirty = 0;
        for (handle, bitmap) in &mut self.on {
            let pages = bitmap.len();
            let got = bitmap.fill_with(|words| self.device.log_get(*handle, pages, words));
            got.asked(Asked::Log("get", *handle))?;
            dirty += bitmap.count();
        }
        Ok(dirty)
    }
}

impl Drop for Logs<'_> {
    fn drop(&mut self) {
        for (handle, _) in &self.on {
            // An object may be gone meanwhile, and its log with it.
            let _ = self.device.log_stop(*handle);
        }
    }
}

/// When it looks at the log within the first second, in milliseconds: rounds may be that short.
const EARLY: [u64; 4] = [10, 30, 100, 300];

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Outlook {
    measured: Measured,
    estimate: Estimate,
}

pub(super) fn run(session: &Session, args: &EstimateArgs, out: &mut dyn Write) -> Result<()> {
    let signals = Signals::block()?;
    let device = &session.device;
    let handles = chosen(device, &args.handles)?;
    let page_size = device.version().asked(Asked::Version)?.page_size;
    let mut measured = Measured {
        page_size,
        ..Measured::default()
    };
    for handle in &handles {
        let info = device.info(*handle).asked(Asked::Info(*handle))?;
        let pages = info.size.div_ceil(u64::from(page_size));
        measured.pages += pages;
        let content = sys::REEVE_BO_POPULATED | sys::REEVE_BO_SWAPPED | sys::REEVE_BO_BACKED_UP;
        if info.is(content) {
            measured.content += pages;
        }
    }
    let mut logs = Logs::start(device, &handles)?;
    let begin = Instant::now();
    let seconds = (1..=args.seconds).map(Duration::from_secs);
    for look in EARLY.map(Duration::from_millis).into_iter().chain(seconds) {
        let left = look.saturating_sub(begin.elapsed());
        let came = signals.come_within(left).asked(Asked::Migrate)?;
        if came {
            let failure = Failure::new(Side::Source, Stage::Setup, Cause::Cancelled);
            return Err(Error::Migration(Box::new(failure)));
        }
        let dirty = logs.dirty()?;
        measured.dirty.push((begin.elapsed().as_secs_f64(), dirty));
    }
    drop(logs);
    let downtime = Duration::from_millis(args.downtime).as_secs_f64();
    let estimate = measured.estimate(args.bandwidth, downtime);
    if args.json {
        return print_json(&Outlook { measured, estimate }, out);
    }
    out.write_all(text(&measured, &estimate, args.downtime).as_bytes())?;
    Ok(())
}

/// The outlook for people.
fn text(measured: &Measured, estimate: &Estimate, downtime: u64) -> String {
    let (seconds, dirty) = measured.dirty.last().copied().unwrap_or_default();
    let bytes = |pages: u64| size::human(pages * u64::from(measured.page_size));
    let mut text = format!(
        "{} pages, {} of them with content ({})\n\
         {dirty} of them ({}) were written to in {seconds:.1} s, {} in the first second\n",
        measured.pages,
        measured.content,
        bytes(measured.content),
        bytes(dirty),
        rate(measured.dirty_rate()),
    );
    text += &format!(
        "at {}: {} rounds, {} to send, {:.1} s",
        rate(Some(estimate.bandwidth)),
        estimate.rounds,
        bytes(estimate.pages),
        estimate.seconds,
    );
    if estimate.converges {
        text += &format!(
            ", of which writers are stopped for {:.3} s\n",
            estimate.downtime
        );
    } else {
        text += &format!(
            "\nit will not end by itself: what is left does not get below {downtime} ms of sending\n\
             stopped after these rounds, writers would be stopped for {:.3} s\n",
            estimate.downtime
        );
    }
    text + "the comparison of all pages adds to that\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outlook_is_told() {
        let mut measured = Measured {
            pages: 1000,
            content: 500,
            page_size: 4096,
            dirty: vec![(1.0, 10), (2.0, 20)],
        };
        let told = text(&measured, &measured.estimate(1 << 20, 0.3), 300);
        assert!(
            told.starts_with("1000 pages, 500 of them with content (2.0 MiB)\n"),
            "{told}"
        );
        assert!(told.contains("at 1.0 MiB/s: 2 rounds, "), "{told}");
        assert!(told.contains("writers are stopped for 0.0"), "{told}");
        measured.dirty = vec![(1.0, 500), (2.0, 1000)];
        let told = text(&measured, &measured.estimate(1 << 20, 0.3), 300);
        assert!(told.contains("it will not end by itself"), "{told}");
        assert!(told.contains("does not get below 300 ms"), "{told}");
    }
}
