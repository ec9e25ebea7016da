// SPDX-License-Identifier: GPL-2.0-or-later

//! Sizes to pages, and bytes to pages: against arithmetic in integers too wide to wrap.

use proptest::prelude::*;
use reeve_host::bo::rules::sizes::*;

const SHIFT: u32 = 12;

#[test]
fn a_size_of_zero_is_refused_whatever_is_behind_it() {
    for extra in [0, 1, u64::MAX] {
        assert_eq!(pages_for(0, extra, SHIFT), Err(SizeError::Zero));
    }
}

#[test]
fn the_edges_of_sizes() {
    let most = max_pages(SHIFT);
    for (size, extra, pages) in [
        (1, 0, Ok(1)),
        (4095, 0, Ok(1)),
        (4096, 0, Ok(1)),
        (4097, 0, Ok(2)),
        (4096, 7, Ok(8)),
        (most << SHIFT, 0, Ok(most)),
        ((most << SHIFT) + 1, 0, Err(SizeError::TooBig)),
        (most << SHIFT, 1, Err(SizeError::TooBig)),
        (1, most - 1, Ok(most)),
        (1, most, Err(SizeError::TooBig)),
        (1, u64::MAX, Err(SizeError::TooBig)),
        (u64::MAX, 0, Err(SizeError::TooBig)),
        (u64::MAX - 4094, 0, Err(SizeError::TooBig)),
        (u64::MAX - 4095, 0, Err(SizeError::TooBig)),
        (1 << 63, 0, Err(SizeError::TooBig)),
    ] {
        assert_eq!(pages_for(size, extra, SHIFT), pages, "{size} + {extra}");
    }
}

#[test]
fn ranges_may_end_at_the_end_but_not_wrap() {
    assert!(contains(10, 0, 10));
    assert!(contains(10, 10, 0));
    assert!(!contains(10, 10, 1));
    assert!(!contains(10, 11, 0));
    assert!(!contains(u64::MAX, u64::MAX, 1));
    assert!(!contains(10, u64::MAX, 2));
}

#[test]
fn no_bytes_are_no_pieces() {
    assert_eq!(pieces(4095, 0, SHIFT).count(), 0);
}

proptest! {
    #[test]
    fn pages_hold_the_bytes_and_no_page_is_idle(
        size in prop_oneof![1u64..1 << 20, any::<u64>()],
        extra in prop_oneof![0u64..100, any::<u64>()],
        shift in 12u32..=16,
    ) {
        let wide = (u128::from(size)).div_ceil(1 << shift) + u128::from(extra);
        let expected = if size == 0 {
            Err(SizeError::Zero)
        } else if wide << shift > i64::MAX as u128 {
            Err(SizeError::TooBig)
        } else {
            Ok(wide as u64)
        };
        prop_assert_eq!(pages_for(size, extra, shift), expected);
    }

    #[test]
    fn pieces_are_the_range_cut_at_pages(offset in 0u64..1 << 40, length in 0u64..1 << 18) {
        let mut at = offset;
        for piece in pieces(offset, length, SHIFT) {
            prop_assert!(piece.length > 0);
            prop_assert!(piece.offset + piece.length <= 1 << SHIFT);
            prop_assert_eq!((piece.page << SHIFT) + piece.offset as u64, at);
            at += piece.length as u64;
        }
        prop_assert_eq!(at, offset + length);
    }

    #[test]
    fn ranges_are_inside_when_wide_integers_say_so(size: u64, offset: u64, length: u64) {
        let inside = u128::from(offset) + u128::from(length) <= u128::from(size);
        prop_assert_eq!(contains(size, offset, length), inside);
    }
}
