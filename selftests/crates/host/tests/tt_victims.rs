// SPDX-License-Identifier: GPL-2.0-or-later

//! Which objects are evicted when a limit is exceeded.

use reeve_host::bo::rules::limits::Amount;
use reeve_host::bo::rules::victims::victims;
use reeve_host::bo::rules::victims::Failed;
use reeve_host::bo::rules::victims::Victims;

const fn amount(pages: u64, dma32: u64) -> Amount {
    Amount { pages, dma32 }
}

#[test]
fn only_what_helps_is_evicted() {
    let limit = amount(100, 50);
    for (counted, pinned, wanted, expected) in [
        (amount(100, 50), amount(0, 0), amount(10, 0), None),
        (
            amount(101, 0),
            amount(0, 0),
            amount(10, 0),
            Some(Victims::Any),
        ),
        (
            amount(60, 51),
            amount(0, 0),
            amount(10, 10),
            Some(Victims::Dma32),
        ),
        // Both: what helps with both.
        (
            amount(160, 51),
            amount(0, 0),
            amount(10, 10),
            Some(Victims::Dma32),
        ),
        // The pinned ones leave just so much.
        (
            amount(160, 0),
            amount(90, 0),
            amount(10, 0),
            Some(Victims::Any),
        ),
        (amount(160, 0), amount(91, 0), amount(10, 0), None),
        (amount(160, 0), amount(u64::MAX, 0), amount(10, 0), None),
        // One limit can't be kept, the other one can.
        (
            amount(160, 60),
            amount(100, 10),
            amount(10, 10),
            Some(Victims::Dma32),
        ),
        (
            amount(160, 60),
            amount(50, 45),
            amount(10, 10),
            Some(Victims::Any),
        ),
        // A single object over the limit.
        (amount(160, 0), amount(0, 0), amount(101, 0), None),
    ] {
        assert_eq!(
            victims(counted, limit, pinned, wanted),
            expected,
            "{counted:?} {pinned:?} {wanted:?}"
        );
    }
}

#[test]
fn what_failed_is_not_tried_again_in_vain() {
    let mut failed = Failed::none();
    assert!(!failed.rules_out(1000, 0));
    failed.note(10, 7);
    for (pages, memcg, out) in [
        (10, 7, true),
        (11, 7, true),
        (9, 7, false),
        // Another cgroup may have room; what needs no copy needs none.
        (10, 0, false),
        (0, 7, false),
    ] {
        assert_eq!(failed.rules_out(pages, memcg), out, "{pages} {memcg}");
    }
}
