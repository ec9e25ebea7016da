// SPDX-License-Identifier: GPL-2.0-or-later

//! The demonstration: fill beyond the limit, shrink, read back, destroy.

use std::time::Instant;

use reeve_uapi::pattern::Checksum;
use reeve_uapi::pattern::Pattern;
use reeve_uapi::Handle;

use crate::bo;
use crate::cli::ReportArgs;
use crate::error::Result;
use crate::stat::Stats;
use crate::stat::SCHEMA;

use super::facts::Facts;
use super::facts::Kind;
use super::facts::LockSanity;
use super::facts::Object;
use super::facts::Shrink;
use super::facts::Step;
use super::subject::Subject;
use super::text::Text;
use super::verdict;

/// What the demonstration uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) objects: u32,
    pub(super) size: u64,
    pub(super) page_size: u64,
    /// Limit in pages.
    pub(super) limit: u64,
}

impl Plan {
    /// A limit of half of what the objects need, unless one was asked for.
    pub(super) fn new(args: &ReportArgs, page_size: u32) -> Self {
        let page_size = u64::from(page_size).max(1);
        let each = args.size.div_ceil(page_size);
        let half = each.saturating_mul(u64::from(args.objects)) / 2;
        Self {
            objects: args.objects,
            size: args.size,
            page_size,
            // 0 would mean the module's default.
            limit: args.limit.map_or(half, |bytes| bytes / page_size).max(1),
        }
    }

    /// The pages of all objects together.
    pub(super) fn pages(&self) -> u64 {
        self.size
            .div_ceil(self.page_size)
            .saturating_mul(u64::from(self.objects))
    }
}

/// Makes the whole report, and shows each step as it is done.
pub(super) fn run(subject: &dyn Subject, plan: &Plan, text: &mut Text<'_>) -> Result<Facts> {
    let start = Instant::now();
    let (kernel, module) = (subject.kernel(), subject.module());
    text.head(&kernel, &module)?;

    // A suite that cannot run is a finding, not the end of the report.
    let lock_sanity = match subject.lock_sanity() {
        Ok(suite) => LockSanity::Ran(suite),
        Err(err) => LockSanity::Refused {
            error: err.to_string(),
        },
    };
    text.lock_sanity(&lock_sanity)?;

    let shrink = shrink(subject, plan, text)?;
    let checks = verdict::checks(&lock_sanity, &shrink);
    let facts = Facts {
        schema: SCHEMA,
        kernel,
        module,
        lock_sanity,
        shrink,
        passed: checks.iter().all(|check| check.passed),
        checks,
        duration_ms: millis(start),
    };
    text.verdict(&facts)?;
    Ok(facts)
}

/// The limit to restore, which is done when this is dropped.
struct Limit<'a> {
    subject: &'a dyn Subject,
    before: String,
    restored: bool,
}

impl<'a> Limit<'a> {
    fn set(subject: &'a dyn Subject, pages: u64) -> Result<Self> {
        let before = subject.pages_limit()?;
        subject.set_pages_limit(&pages.to_string())?;
        Ok(Self {
            subject,
            before,
            restored: false,
        })
    }

    fn restore(&mut self) -> Result<()> {
        self.restored = true;
        self.subject.set_pages_limit(&self.before)
    }
}

impl Drop for Limit<'_> {
    fn drop(&mut self) {
        if !self.restored {
            if let Err(err) = self.restore() {
                eprintln!(
                    "reevectl: pages_limit was {} and stays changed: {err}",
                    self.before
                );
            }
        }
    }
}

fn shrink(subject: &dyn Subject, plan: &Plan, text: &mut Text<'_>) -> Result<Shrink> {
    let stats_before = subject.stats()?;
    let mut limit = Limit::set(subject, plan.limit)?;
    text.plan(plan, stats_before.pages_limit)?;

    let mut run = Run {
        subject,
        plan,
        text,
        steps: Vec::new(),
        objects: Vec::new(),
    };
    run.fill()?;
    run.drain()?;
    run.read_back()?;
    run.destroy()?;
    let Run { steps, objects, .. } = run;

    let pages_limit_restored = limit.restore().is_ok() && subject.pages_limit()? == limit.before;
    text.objects(&objects)?;
    Ok(Shrink {
        pages_limit_before: limit.before.clone(),
        pages_limit: plan.limit,
        pages_limit_restored,
        objects,
        steps,
        stats_before,
        stats_after: subject.stats()?,
        self_check: subject.self_check(),
    })
}

/// The steps, in the order they are done.
struct Run<'a, 'out> {
    subject: &'a dyn Subject,
    plan: &'a Plan,
    text: &'a mut Text<'out>,
    steps: Vec<Step>,
    objects: Vec<Object>,
}

impl Run<'_, '_> {
    /// Creates the objects and fills each with its own pattern.
    fn fill(&mut self) -> Result<()> {
        let subject = self.subject;
        let size = self.plan.size;
        for number in 1..=self.plan.objects {
            let pattern = u64::from(number);
            let mut sum = Checksum::new();
            let handle = self.step(Kind::Fill, Some(number), || {
                let handle = subject.create(size)?;
                bo::fill(Pattern::new(pattern), size, |offset, buf| {
                    sum.add(buf);
                    subject.write(handle, offset, buf)
                })?;
                Ok((handle, None))
            })?;
            self.objects.push(Object {
                handle: handle.get(),
                size,
                pages: subject.num_pages(handle)?,
                pattern,
                was_swapped: false,
                checksum_written: hex(sum),
                checksum_read: String::new(),
                first_mismatch: None,
            });
        }
        Ok(())
    }

    /// Shrinks until nothing is left, or for the number of times that must suffice.
    fn drain(&mut self) -> Result<()> {
        let subject = self.subject;
        for _ in 0..=u64::from(self.plan.objects) * 2 {
            let pages = self.step(Kind::TtShrink, None, || {
                let pages = subject.tt_shrink()?;
                Ok((pages, Some(pages)))
            })?;
            if pages <= 0 {
                break;
            }
        }
        Ok(())
    }

    /// Reads every object and compares it with what was written.
    fn read_back(&mut self) -> Result<()> {
        let subject = self.subject;
        for index in 0..self.objects.len() {
            let (handle, size, pattern) = {
                let object = &self.objects[index];
                (
                    Handle::new(object.handle),
                    object.size,
                    Pattern::new(object.pattern),
                )
            };
            let was_swapped = subject.is_swapped(handle)?;
            let mut sum = Checksum::new();
            let first_mismatch = self.step(Kind::ReadBack, Some(index as u32 + 1), || {
                let wrong = bo::check(pattern, size, |offset, buf| {
                    subject.read(handle, offset, buf)?;
                    sum.add(buf);
                    Ok(())
                })?;
                Ok((wrong, None))
            })?;
            let object = &mut self.objects[index];
            object.was_swapped = was_swapped;
            object.checksum_read = hex(sum);
            object.first_mismatch = first_mismatch;
        }
        Ok(())
    }

    fn destroy(&mut self) -> Result<()> {
        let subject = self.subject;
        let handles: Vec<Handle> = self.objects.iter().map(|o| Handle::new(o.handle)).collect();
        self.step(Kind::Destroy, None, || {
            for handle in handles {
                subject.destroy(handle)?;
            }
            Ok(((), None))
        })
    }

    /// Does one step between two reads of the statistics, and shows its row.
    fn step<T>(
        &mut self,
        kind: Kind,
        object: Option<u32>,
        action: impl FnOnce() -> Result<(T, Option<i64>)>,
    ) -> Result<T> {
        let before: Stats = self.subject.stats()?;
        let start = Instant::now();
        let (value, tt_shrink) = action()?;
        let duration_ms = millis(start);
        let step = Step {
            kind,
            object,
            before,
            after: self.subject.stats()?,
            tt_shrink,
            duration_ms,
        };
        self.text.step(&step)?;
        self.steps.push(step);
        Ok(value)
    }
}

fn millis(start: Instant) -> f64 {
    // Microseconds are as fine as any of this is meaningful.
    (start.elapsed().as_secs_f64() * 1e6).round() / 1e3
}

fn hex(sum: Checksum) -> String {
    format!("{:016x}", sum.get())
}
