// SPDX-License-Identifier: GPL-2.0-or-later

//! The compact array of DMA addresses.

use reeve_host::bo::rules::dma_runs::fits;
use reeve_host::bo::rules::dma_runs::join;
use reeve_host::bo::rules::dma_runs::locate;
use reeve_host::bo::rules::dma_runs::parts;
use reeve_host::bo::rules::dma_runs::Place;
use reeve_host::bo::rules::dma_runs::Run;

const SHIFT: u32 = 12;

fn joined(blocks: &[(u64, u64)], most: u64) -> Vec<(u64, u64)> {
    join(blocks.iter().copied(), most).collect()
}

#[test]
fn neighbours_are_joined() {
    for (blocks, runs) in [
        (&[][..], &[][..]),
        (&[(5, 1)], &[(5, 1)]),
        (&[(5, 1), (6, 2), (8, 4)], &[(5, 7)]),
        (&[(5, 1), (7, 2), (9, 1)], &[(5, 1), (7, 3)]),
        // Not backwards, and not with a gap.
        (&[(8, 4), (4, 4)], &[(8, 4), (4, 4)]),
        (&[(0, 512), (512, 512), (2048, 1)], &[(0, 1024), (2048, 1)]),
        (&[(u64::MAX, 1), (0, 1)], &[(u64::MAX, 1), (0, 1)]),
    ] {
        assert_eq!(joined(blocks, u64::MAX), runs, "{blocks:?}");
    }
}

#[test]
fn runs_have_no_more_pages_than_a_mapping_may() {
    assert_eq!(joined(&[(0, 10)], 4), [(0, 4), (4, 4), (8, 2)], "one block");
    assert_eq!(
        joined(&[(0, 3), (3, 3), (6, 3), (20, 1)], 4),
        [(0, 4), (4, 4), (8, 1), (20, 1)]
    );
    assert_eq!(joined(&[(7, 2)], 0), [(7, 1), (8, 1)]);
    assert_eq!(joined(&[(7, 4), (11, 4)], 4), [(7, 4), (11, 4)]);
}

/// Joining neither loses nor adds nor moves a page, whatever the blocks.
#[test]
fn every_page_is_in_one_run() {
    let mut state = 1u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
        (state >> 33) % below
    };
    for round in 0..500 {
        let mut next = 0;
        let blocks: Vec<_> = (0..random(12))
            .map(|_| {
                next += random(2) * (1 + random(5));
                let block = (next, 1 << random(4));
                next += block.1;
                block
            })
            .collect();
        let most = 1 + random(9);
        let pages = |runs: &[(u64, u64)]| -> Vec<u64> {
            runs.iter()
                .flat_map(|&(first, pages)| first..first + pages)
                .collect()
        };
        let runs = joined(&blocks, most);
        assert_eq!(pages(&runs), pages(&blocks), "{round}: {blocks:?} {most}");
        assert!(runs.iter().all(|run| run.1 <= most && run.1 != 0));
        // As few as possible: two that could be one would be more than may be.
        for pair in runs.windows(2) {
            let touch = pair[0].0 + pair[0].1 == pair[1].0;
            assert!(!touch || pair[0].1 == most, "{round}: {runs:?} {most}");
        }
    }
}

/// Nine pages: three at 0x10000, two right behind them, one elsewhere, three before.
const RUNS: [Run; 4] = [
    Run {
        first: 0,
        address: 0x10000,
    },
    Run {
        first: 3,
        address: 0x13000,
    },
    Run {
        first: 5,
        address: 0x8000_0000,
    },
    Run {
        first: 6,
        address: 0x1000,
    },
];

#[test]
fn pages_are_found() {
    let expected = [
        (0x10000, 5),
        (0x11000, 4),
        (0x12000, 3),
        (0x13000, 2),
        (0x14000, 1),
        (0x8000_0000, 1),
        (0x1000, 3),
        (0x2000, 2),
        (0x3000, 1),
    ];
    for (index, (address, pages)) in (0..).zip(expected) {
        assert_eq!(
            locate(&RUNS, 9, SHIFT, index),
            Some(Place { address, pages }),
            "page {index}"
        );
    }
    for index in [9, 10, u64::MAX] {
        assert_eq!(locate(&RUNS, 9, SHIFT, index), None);
    }
    assert_eq!(locate(&[], 0, SHIFT, 0), None);
    // Pages that were given no address.
    assert_eq!(locate(&[], 9, SHIFT, 0), None);
}

#[test]
fn parts_are_of_one_run_each() {
    let found = |first, count| -> Vec<_> { parts(&RUNS, 9, SHIFT, first, count).collect() };
    let all = [(0x10000, 3), (0x13000, 2), (0x8000_0000, 1), (0x1000, 3)];
    assert_eq!(found(0, 9), all);
    assert_eq!(found(0, u64::MAX), all, "no more than there are");
    assert_eq!(found(1, 3), [(0x11000, 2), (0x13000, 1)]);
    assert_eq!(found(4, 1), [(0x14000, 1)]);
    assert_eq!(found(5, 2), [(0x8000_0000, 1), (0x1000, 1)]);
    for (first, count) in [(0, 0), (8, 0), (9, 1), (u64::MAX, u64::MAX)] {
        assert_eq!(found(first, count), []);
    }
    assert_eq!(parts(&[], 0, SHIFT, 0, 9).count(), 0);
}

/// Whatever range: each page is in one part, where [`locate`] says.
#[test]
fn parts_are_where_pages_are() {
    for first in 0..9 {
        for count in 0..=9 - first {
            let mut page = first;
            for (address, pages) in parts(&RUNS, 9, SHIFT, first, count) {
                for i in 0..pages {
                    let place = locate(&RUNS, 9, SHIFT, page).expect("a page");
                    assert_eq!(place.address, address + (i << SHIFT));
                    page += 1;
                }
            }
            assert_eq!(page, first + count);
        }
    }
}

#[test]
fn what_fits() {
    assert!(fits(0, 1, SHIFT));
    assert!(fits(0x1000, 1 << 40, SHIFT));
    assert!(fits(u64::MAX - 0xfff, 1, SHIFT), "the last page there is");
    assert!(!fits(u64::MAX - 0xfff, 2, SHIFT));
    assert!(!fits(0, 0, SHIFT));
    assert!(!fits(0x1001, 1, SHIFT));
    assert!(!fits(0, 1 << 52, SHIFT));
    assert!(!fits(0x1000, u64::MAX, SHIFT));
}
