// SPDX-License-Identifier: GPL-2.0-or-later

//! The page directory's arithmetic, against a plain list with an entry per page.

use proptest::prelude::*;
use reeve_host::bo::rules::page_runs::*;

/// Fills a directory like the module does: `fails[i]` says how many orders cannot be allocated at
/// the `i`-th block.
fn fill(pages: u64, fails: &[u32]) -> (Layout, Vec<u32>) {
    let mut layout = Layout::new();
    let mut orders = Vec::new();
    let mut missing = pages;
    let mut order = MAX_ORDER;
    while missing != 0 {
        order = order_for(missing, order);
        order = order.saturating_sub(fails.get(orders.len()).copied().unwrap_or(0));
        assert!(layout.push(order));
        orders.push(order);
        missing -= 1 << order;
    }
    (layout, orders)
}

#[test]
fn nothing_has_no_pages() {
    let layout = Layout::new();
    assert_eq!(layout.pages(), 0);
    assert_eq!(layout.blocks(), 0);
    assert_eq!(layout.locate(0), None);
    assert_eq!(layout.orders().count(), 0);
}

#[test]
fn one_block_is_a_whole_directory() {
    for pages in 0..2000u64 {
        let (_, orders) = fill(pages, &[]);
        let only = (orders.len() == 1).then(|| orders[0]);
        assert_eq!(one_block(pages), only, "{pages}");
    }
}

#[test]
fn whole_megabytes_take_the_largest_blocks() {
    let (layout, orders) = fill(16384, &[]);
    assert_eq!(orders, vec![MAX_ORDER; 32]);
    assert_eq!(layout.pages(), 16384);
    assert_eq!(
        layout.locate(512),
        Some(Place {
            block: 1,
            page: 0,
            order: 9
        })
    );
}

#[test]
fn odd_numbers_end_in_small_blocks() {
    let (layout, orders) = fill(512 + 256 + 3, &[]);
    assert_eq!(orders, [9, 8, 1, 0]);
    assert_eq!(
        layout.locate(512 + 256 + 2),
        Some(Place {
            block: 3,
            page: 0,
            order: 0
        })
    );
    assert_eq!(layout.locate(512 + 256 + 3), None);
}

#[test]
fn an_order_above_the_last_is_refused() {
    let mut layout = Layout::new();
    assert!(layout.push(3));
    assert!(layout.push(3));
    assert!(layout.push(0));
    let before = layout;
    assert!(!layout.push(1));
    assert!(!layout.push(MAX_ORDER + 1));
    assert!(!layout.push(u32::MAX));
    assert_eq!(layout, before);
}

#[test]
fn the_order_to_try_fits_what_is_missing() {
    for (missing, limit, order) in [
        (1, 9, 0),
        (2, 9, 1),
        (3, 9, 1),
        (511, 9, 8),
        (512, 9, 9),
        (u64::MAX, 9, 9),
        (u64::MAX, 99, 9),
        (512, 4, 4),
        (512, 0, 0),
        (0, 9, 0),
    ] {
        assert_eq!(order_for(missing, limit), order, "{missing} {limit}");
    }
}

#[test]
fn a_directory_of_64_mib_takes_next_to_nothing() {
    let (layout, _) = fill(16384, &[]);
    assert!(layout.blocks() * 8 * 4 <= 16384);
}

#[test]
fn what_was_pushed_last_comes_off_first() {
    let (mut layout, mut orders) = fill(512 * 2 + 64 + 64 + 3, &[0, 0, 0, 0]);
    while let Some(expected) = orders.pop() {
        assert_eq!(layout.last_order(), Some(expected));
        let before = layout;
        assert_eq!(layout.pop(), Some(expected));
        // Pushing it again is the way back.
        let mut again = layout;
        assert!(again.push(expected));
        assert_eq!(
            (again.pages(), again.blocks()),
            (before.pages(), before.blocks())
        );
        assert_eq!(layout.blocks(), orders.len());
        assert_eq!(
            layout.pages(),
            orders.iter().map(|o| 1u64 << o).sum::<u64>()
        );
        assert!(layout.orders().eq(orders.iter().copied()));
    }
    assert_eq!(layout.pop(), None);
    assert_eq!(layout.last_order(), None);
    // An empty one takes any order, whatever it had before.
    assert!(layout.push(MAX_ORDER));
}

proptest! {
    #[test]
    fn every_page_is_in_one_block(
        pages in 1u64..5000,
        fails in prop::collection::vec(0u32..=MAX_ORDER, 0..20),
    ) {
        let (layout, orders) = fill(pages, &fails);
        prop_assert_eq!(layout.pages(), pages);
        prop_assert_eq!(layout.blocks(), orders.len());
        prop_assert!(orders.windows(2).all(|w| w[0] >= w[1]));
        prop_assert_eq!(layout.orders().collect::<Vec<_>>(), orders.clone());

        let plain = orders.iter().enumerate().flat_map(|(block, &order)| {
            (0..1usize << order).map(move |page| Place { block, page, order })
        });
        for (index, place) in plain.enumerate() {
            prop_assert_eq!(layout.locate(index as u64), Some(place));
        }
        prop_assert_eq!(layout.locate(pages), None);
        prop_assert_eq!(layout.locate(u64::MAX), None);
    }
}

/// The table that the module's own tests compare real blocks with.
#[test]
fn shapes_are_what_the_rule_gives() {
    for (pages, orders) in reeve_host::bo::rules::page_runs::SHAPES {
        let mut found = Vec::new();
        let (mut missing, mut order) = (pages, MAX_ORDER);
        while missing != 0 {
            order = order_for(missing, order);
            missing -= 1 << order;
            found.push(order);
        }
        assert_eq!(found, orders, "{pages} pages");
    }
}
