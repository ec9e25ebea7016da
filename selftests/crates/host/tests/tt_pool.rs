// SPDX-License-Identifier: GPL-2.0-or-later

//! The pool's rules against a plain list of blocks.

use proptest::prelude::*;
use reeve_host::bo::rules::page_kind::*;
use reeve_host::bo::rules::page_runs::ORDERS;
use reeve_host::bo::rules::pool::*;

#[test]
fn kinds_are_numbered_without_gaps() {
    for (i, kind) in PageKind::ALL.into_iter().enumerate() {
        assert_eq!(kind.index(), i);
    }
    assert_eq!(PageKind::ALL[0], PageKind::CACHED);
    for caching in Caching::ALL {
        for dma32 in [false, true] {
            assert!(PageKind::ALL.contains(&PageKind { caching, dma32 }));
        }
    }
}

#[test]
fn the_cap_itself_may_be_reached() {
    for (kept, pages, cap, room) in [
        (0, 0, 0, true),
        (0, 1, 0, false),
        (9, 1, 10, true),
        (10, 1, 10, false),
        (20, 1, 10, false),
        (u64::MAX, 1, u64::MAX, false),
        (u64::MAX - 1, 1, u64::MAX, true),
    ] {
        assert_eq!(has_room(kept, pages, cap), room, "{kept} {pages} {cap}");
    }
}

#[test]
fn plain_pages_are_kept_only_if_clearing_them_is_not_in_vain() {
    for kind in PageKind::ALL {
        assert!(worth_keeping(kind, true));
        assert_eq!(worth_keeping(kind, false), kind.caching != Caching::Cached);
    }
}

#[test]
fn an_empty_pool_gives_nothing() {
    assert_eq!(FreeCounts::new().victim(0), None);
    assert_eq!(FreeCounts::new().victim(u64::MAX), None);
    assert_eq!(FreeCounts::new().pages(), 0);
}

#[test]
fn free_lists_that_are_none_are_empty() {
    let mut counts = FreeCounts::new();
    for list in [
        FreeListId {
            kind: KINDS,
            order: 0,
        },
        FreeListId {
            kind: 0,
            order: ORDERS,
        },
    ] {
        counts.add(list);
        counts.remove(list);
        assert_eq!(counts.blocks(list), 0);
    }
    assert_eq!(counts, FreeCounts::new());
}

proptest! {
    #[test]
    fn stock_is_a_multiset_of_blocks(
        ops in prop::collection::vec((any::<bool>(), 0..KINDS, 0..ORDERS), 0..200),
        want in 0u64..2000,
    ) {
        let mut counts = FreeCounts::new();
        let mut model: Vec<FreeListId> = Vec::new();
        for (put, kind, order) in ops {
            let list = FreeListId { kind, order };
            if put {
                counts.add(list);
                model.push(list);
            } else {
                counts.remove(list);
                if let Some(at) = model.iter().position(|s| *s == list) {
                    model.swap_remove(at);
                }
            }
            prop_assert_eq!(counts.blocks(list), model.iter().filter(|s| **s == list).count() as u64);
        }
        prop_assert_eq!(counts.pages(), model.iter().map(|s| 1u64 << s.order).sum::<u64>());

        // What is given back first.
        match counts.victim(want) {
            None => prop_assert!(model.is_empty()),
            Some(victim) => {
                prop_assert!(model.contains(&victim));
                let fits = |s: &&FreeListId| 1u64 << s.order <= want;
                match model.iter().filter(fits).map(|s| s.order).max() {
                    Some(largest) => prop_assert_eq!(victim.order, largest),
                    None => prop_assert_eq!(Some(victim.order), model.iter().map(|s| s.order).min()),
                }
            }
        }

        // Giving back until nothing is wanted any more ends, and frees as much as there is.
        let mut left = want;
        let mut freed = 0;
        while left != 0 {
            let Some(victim) = counts.victim(left) else { break };
            counts.remove(victim);
            freed += 1 << victim.order;
            left = left.saturating_sub(1 << victim.order);
        }
        prop_assert!(freed >= want || counts.pages() == 0);
    }
}
