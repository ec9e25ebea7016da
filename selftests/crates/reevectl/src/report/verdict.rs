// SPDX-License-Identifier: GPL-2.0-or-later

//! The checks of a report: pure functions of its facts.

use crate::stat::Stats;

use super::facts::Check;
use super::facts::Kind;
use super::facts::LockSanity;
use super::facts::Shrink;
use super::facts::Step;

/// Returns all checks, in the order of the report.
pub(super) fn checks(lock_sanity: &LockSanity, shrink: &Shrink) -> Vec<Check> {
    vec![
        sanity(lock_sanity),
        limit_swapped_out(shrink),
        limit_kept(shrink),
        shrink_drained(shrink),
        shrink_adds_up(shrink),
        content_came_back(shrink),
        swapped_in(shrink),
        counters_returned(shrink),
        counters_agree(shrink),
        no_lock_violations(shrink),
        limit_restored(shrink),
    ]
}

fn check(name: &'static str, passed: bool, detail: String) -> Check {
    Check {
        name,
        passed,
        detail,
    }
}

fn of(shrink: &Shrink, kind: Kind) -> impl Iterator<Item = &Step> {
    shrink.steps.iter().filter(move |step| step.kind == kind)
}

/// How much a counter grew from the first to the last of these steps.
fn growth<'a>(steps: impl Iterator<Item = &'a Step>, counter: fn(&Stats) -> u64) -> u64 {
    steps
        .map(|step| counter(&step.after).saturating_sub(counter(&step.before)))
        .sum()
}

fn sanity(lock_sanity: &LockSanity) -> Check {
    let (passed, detail) = match lock_sanity {
        LockSanity::Ran(suite) => (suite.good(), suite.summary()),
        LockSanity::Refused { .. } => (false, "the suite could not be run".to_owned()),
    };
    check("lock_sanity", passed, detail)
}

fn limit_swapped_out(shrink: &Shrink) -> Check {
    let swapouts = growth(of(shrink, Kind::Fill), |stats| stats.swapouts);
    check(
        "limit_swapped_out",
        swapouts > 0,
        format!("filling beyond the limit swapped out {swapouts} objects"),
    )
}

fn limit_kept(shrink: &Shrink) -> Check {
    let highest = shrink
        .steps
        .iter()
        .map(|step| step.after.pages_allocated)
        .max()
        .unwrap_or(0);
    let over = shrink.steps.iter().any(|step| {
        step.after.pages_allocated > shrink.pages_limit
            && step.after.overcommits == step.before.overcommits
            && step.after.pages_allocated > step.before.pages_allocated
    });
    check(
        "limit_kept",
        !over,
        format!(
            "at most {highest} pages of {} were allocated",
            shrink.pages_limit
        ),
    )
}

fn shrink_drained(shrink: &Shrink) -> Check {
    let last = of(shrink, Kind::TtShrink).last();
    let left = last.map_or(0, |step| step.after.pages_allocated);
    let drained = last.is_some_and(|step| step.tt_shrink == Some(0))
        && left <= shrink.stats_before.pages_allocated;
    check(
        "shrink_drained",
        drained,
        format!("tt_shrink went on until {left} pages were left"),
    )
}

fn shrink_adds_up(shrink: &Shrink) -> Check {
    let wrong = of(shrink, Kind::TtShrink).find(|step| {
        let gone = step
            .before
            .pages_allocated
            .checked_sub(step.after.pages_allocated);
        let swapped = step
            .after
            .swapped_pages
            .checked_sub(step.before.swapped_pages);
        let freed = step.tt_shrink.and_then(|pages| u64::try_from(pages).ok());
        freed.is_none() || gone != freed || swapped != freed
    });
    let detail = match wrong {
        None => "tt_shrink freed as many pages each time as the counters say".to_owned(),
        Some(step) => format!(
            "tt_shrink said {}, pages went from {} to {}, swapped pages from {} to {}",
            step.tt_shrink
                .map_or_else(|| "nothing".to_owned(), |pages| pages.to_string()),
            step.before.pages_allocated,
            step.after.pages_allocated,
            step.before.swapped_pages,
            step.after.swapped_pages
        ),
    };
    check("shrink_adds_up", wrong.is_none(), detail)
}

fn content_came_back(shrink: &Shrink) -> Check {
    let all = shrink.objects.len();
    let good = shrink
        .objects
        .iter()
        .filter(|o| o.first_mismatch.is_none() && o.checksum_read == o.checksum_written)
        .count();
    check(
        "content_came_back",
        good == all && all > 0,
        format!("{good} of {all} objects hold the bytes that were written"),
    )
}

fn swapped_in(shrink: &Shrink) -> Check {
    let all = shrink.objects.len();
    let swapped = shrink
        .objects
        .iter()
        .filter(|object| object.was_swapped)
        .count();
    let swapins = growth(of(shrink, Kind::ReadBack), |stats| stats.swapins);
    check(
        "swapped_in",
        swapped == all && swapins >= all as u64,
        format!("{swapped} of {all} objects came from swap, {swapins} swapins were counted"),
    )
}

fn counters_returned(shrink: &Shrink) -> Check {
    let (before, after) = (&shrink.stats_before, &shrink.stats_after);
    // Objects of other files may have been swapped out by the shrinking, but none were added.
    let passed = after.buffer_objects == before.buffer_objects
        && after.pages_allocated <= before.pages_allocated
        && after.dma32_pages_allocated <= before.dma32_pages_allocated;
    check(
        "counters_returned",
        passed,
        format!(
            "{} pages and {} objects are left ({} and {} before)",
            after.pages_allocated,
            after.buffer_objects,
            before.pages_allocated,
            before.buffer_objects
        ),
    )
}

fn counters_agree(shrink: &Shrink) -> Check {
    let said = shrink.self_check.as_deref();
    check(
        "counters_agree",
        said == Some("ok"),
        format!("accounting self_check says {}", said.unwrap_or("nothing")),
    )
}

fn no_lock_violations(shrink: &Shrink) -> Check {
    let (before, after) = (&shrink.stats_before, &shrink.stats_after);
    let new = after.lock_violations.saturating_sub(before.lock_violations);
    check(
        "no_lock_violations",
        new == 0,
        format!("{new} wrong uses of the module's own locks were found"),
    )
}

fn limit_restored(shrink: &Shrink) -> Check {
    let detail = if shrink.pages_limit_restored {
        "pages_limit is what it was".to_owned()
    } else {
        format!(
            "pages_limit was {} and is something else now",
            shrink.pages_limit_before
        )
    };
    check("limit_restored", shrink.pages_limit_restored, detail)
}
