// SPDX-License-Identifier: GPL-2.0-or-later

//! The arithmetic of a compact array of DMA addresses: one for each run of pages that lie side by
//! side, where C TTM has one for each page.
#![deny(unsafe_code)]

/// The first page of a run, and its address. The run ends where the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Index of its first page.
    pub first: u64,
    /// DMA address of that page.
    pub address: u64,
}

/// Where a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its DMA address.
    pub address: u64,
    /// How many pages from this one on have addresses in a row.
    pub pages: u64,
}

/// Joins blocks, given as (first page frame, pages), to runs of at most `most` pages; no block is
/// empty. Blocks that are larger are divided. `most` 0 is 1.
pub fn join(
    blocks: impl Iterator<Item = (u64, u64)>,
    most: u64,
) -> impl Iterator<Item = (u64, u64)> {
    let most = most.max(1);
    let mut blocks = blocks;
    // What comes next: at most one run is put together at a time.
    let mut rest = (0, 0);
    core::iter::from_fn(move || {
        let (first, mut pages) = if rest.1 != 0 { rest } else { blocks.next()? };
        while pages < most {
            match blocks.next() {
                Some((next, more)) if Some(next) == first.checked_add(pages) => pages += more,
                other => {
                    rest = other.unwrap_or((0, 0));
                    return Some((first, pages));
                }
            }
        }
        rest = (first + most, pages - most);
        Some((first, most))
    })
}

/// The run that page `index` is in; `None`: there is none.
fn find(runs: &[Run], index: u64) -> Option<usize> {
    runs.partition_point(|run| run.first <= index)
        .checked_sub(1)
}

/// Returns where the run behind run `at` begins, `pages` being all there are.
fn end(runs: &[Run], pages: u64, at: usize) -> u64 {
    runs.get(at + 1).map_or(pages, |next| next.first)
}

/// Of each run the part that is of the `count` pages from `first` on: its address and how many pages
/// it has.
pub fn parts(
    runs: &[Run],
    pages: u64,
    shift: u32,
    first: u64,
    count: u64,
) -> impl Iterator<Item = (u64, u64)> + '_ {
    let last = first.saturating_add(count).min(pages);
    let mut at = find(runs, first).unwrap_or(0);
    let mut next = first;
    core::iter::from_fn(move || {
        if next >= last {
            return None;
        }
        let run = runs.get(at)?;
        let part = (
            run.address + ((next - run.first) << shift),
            end(runs, pages, at).min(last) - next,
        );
        next += part.1;
        at += 1;
        Some(part)
    })
}

/// The address of page `index`, of the `pages` pages of `1 << shift` bytes that `runs`, by
/// ascending first page from 0 on, are made of; `None`: it is none of them.
pub fn locate(runs: &[Run], pages: u64, shift: u32, index: u64) -> Option<Place> {
    if index >= pages {
        return None;
    }
    let mut at = find(runs, index)?;
    let run = runs.get(at)?;
    let address = run.address + ((index - run.first) << shift);
    // Two runs may happen to lie side by side for the device.
    let mut end_page = end(runs, pages, at);
    while let Some(next) = runs.get(at + 1) {
        if next.address != address + ((end_page - index) << shift) {
            break;
        }
        at += 1;
        end_page = end(runs, pages, at);
    }
    Some(Place {
        address,
        pages: end_page - index,
    })
}

/// Returns whether a run of `pages` pages can be at `address`: it is page-aligned and does not
/// overflow.
pub fn fits(address: u64, pages: u64, shift: u32) -> bool {
    let size = pages.checked_mul(1 << shift);
    pages != 0
        && address & ((1 << shift) - 1) == 0
        && size.is_some_and(|size| address.checked_add(size - 1).is_some())
}
