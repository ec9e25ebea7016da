// SPDX-License-Identifier: GPL-2.0

//! Page directories and swap storage by themselves.

#![deny(unsafe_code)]

use crate::{
    abstractions::shmem::{
        Folios,
        ShmemFile,
        Storage,
        Stretch, //
    },
    bo::{
        charge::Charge,
        counters::Accounting,
        limits::Limits,
        pages::{
            small_list::SmallList,
            PageBlocks, //
        },
        pool::alloc,
        rules::page_kind::PageKind, //
    },
    lock_order::with_context, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};

/// A directory of so many plain pages, without a pool.
fn allocate(pages: u64, clear: bool) -> Result<PageBlocks> {
    let mut directory = PageBlocks::new(PageKind::CACHED);
    alloc::fill(&mut directory, pages, clear, None)?;
    Ok(directory)
}

#[kunit_tests(reeve_tt_pages)]
mod tests {
    use super::*;

    #[test]
    fn directories_have_the_pages_asked_for() -> Result {
        for pages in [0, 1, 2, 3, 127, 512, 771] {
            let directory = allocate(pages, false)?;
            expect!(directory.len() == pages);
            expect!(directory.iter().count() as u64 == pages);
            expect!(directory.page(pages).is_none());
            expect!(pages == 0 || directory.page(pages - 1).is_some());
        }
        Ok(())
    }

    #[test]
    fn every_page_is_another_one() -> Result {
        let mut directory = allocate(771, false)?;
        for (i, mut page) in (0u32..).zip(directory.iter_mut()) {
            page.write(8, &i.to_ne_bytes())?;
        }
        for i in 0..771u32 {
            let mut found = [0u8; 4];
            directory
                .page(i.into())
                .ok_or(EINVAL)?
                .read(8, &mut found)?;
            expect!(u32::from_ne_bytes(found) == i);
        }
        Ok(())
    }

    #[test]
    fn cleared_pages_are_clear() -> Result {
        for _ in 0..3 {
            let mut directory = allocate(5, true)?;
            let mut found = [1u8; 16];
            for mut page in directory.iter_mut() {
                page.write(PAGE_SIZE - 16, &[0xff; 16])?;
            }
            drop(directory);
            let directory = allocate(5, true)?;
            for page in directory.iter() {
                page.read(PAGE_SIZE - 16, &mut found)?;
                expect!(found == [0; 16]);
            }
        }
        Ok(())
    }

    #[test]
    fn copies_stay_inside_their_page() -> Result {
        let mut directory = allocate(1, true)?;
        let page = directory.page(0).ok_or(EINVAL)?;
        let mut two = [0u8; 2];
        expect!(page.read(PAGE_SIZE - 2, &mut two).is_ok());
        expect!(page.read(PAGE_SIZE - 1, &mut two) == Err(EINVAL));
        expect!(page.read(usize::MAX, &mut two) == Err(EINVAL));
        expect!(page.read(PAGE_SIZE, &mut []).is_ok());
        let mut page = directory.page_mut(0).ok_or(EINVAL)?;
        expect!(page.write(PAGE_SIZE - 1, &two) == Err(EINVAL));
        expect!(page.write(usize::MAX, &two) == Err(EINVAL));
        Ok(())
    }

    #[test]
    fn a_directory_costs_less_than_a_quarter_byte_a_page() -> Result {
        let directory = allocate(4096, false)?;
        // Memory may be in pieces; then it costs more and this says nothing.
        let blocks = directory.metadata_bytes() / core::mem::size_of::<usize>();
        expect!(blocks > 64 || directory.metadata_bytes() * 4 <= 4096);
        Ok(())
    }

    #[test]
    fn storage_gives_back_what_it_got() -> Result {
        let storage = ShmemFile::new(c"reeve test", 70, Folios::Large)?;
        let mut from = allocate(64, true)?;
        let mut to = allocate(64, true)?;
        for (i, mut page) in (0u8..).zip(from.iter_mut()) {
            page.write(100, &[i; 6])?;
        }
        for writeback in [false, true] {
            let (_, run) = from.runs(0).next().ok_or(EINVAL)?;
            expect!(run.len() == 64);
            storage.write(6, run, writeback)?;
            storage.read(6, to.runs_mut(0).next().ok_or(EINVAL)?.1)?;
            for (i, page) in (0u8..).zip(to.iter()) {
                let mut found = [0u8; 6];
                page.read(100, &mut found)?;
                expect!(found == [i; 6]);
            }
            for index in [7, 70, u64::MAX, u64::MAX - 63] {
                expect!(storage.write(index, run, false) == Err(EINVAL));
                let (_, run) = to.runs_mut(0).next().ok_or(EINVAL)?;
                expect!(storage.read(index, run) == Err(EINVAL));
            }
        }
        // What was forgotten, and what never was written, is zero.
        storage.forget(6, 32);
        storage.forget(69, 2);
        storage.read(6, to.runs_mut(0).next().ok_or(EINVAL)?.1)?;
        for (i, page) in (0u8..).zip(to.iter()) {
            let mut found = [0xffu8; 6];
            page.read(100, &mut found)?;
            expect!(found == [if i < 32 { 0 } else { i }; 6]);
        }
        Ok(())
    }

    #[test]
    fn storage_of_impossible_size_is_refused() -> Result {
        for pages in [u64::MAX, i64::MAX as u64, 1 << 52] {
            expect!(ShmemFile::new(c"reeve test", pages, Folios::Small).is_err());
        }
        Ok(())
    }

    /// Folios have a power of two of pages, are aligned to that, and end where the stretch does at most.
    #[test]
    fn no_folio_of_a_stretch_begins_before_it() -> Result {
        let storage = Storage::new()?;
        let mut last = 0;
        for pages in 1..1500 {
            let stretch = Stretch::new(&storage, pages)?;
            let (first, end) = (stretch.first(), stretch.first() + pages);
            expect!(first >= last);
            // Places are never used again, so that they must not be used up.
            expect!(first - last <= 4 * pages.max(2) || pages > 512);
            last = end;
            for order in 0..=9 {
                let before = first & !((1 << order) - 1);
                expect!(before == first || before + (1 << order) > end);
            }
        }
        expect!(Stretch::new(&storage, u64::MAX).is_err());
        expect!(Stretch::new(&storage, 1 << 50).is_err());
        Ok(())
    }

    #[test]
    fn small_lists_grow_beyond_their_place() -> Result {
        let mut list = SmallList::new(0u32);
        for i in 0..100 {
            expect!(list.as_slice().len() == i as usize);
            list.push(i)?;
            // An entry that is removed leaves its room.
            list.push(u32::MAX)?;
            expect!(list.pop() == Some(u32::MAX));
        }
        expect!(list.as_slice().iter().copied().eq(0..100));
        expect!(list.heap_bytes() >= 400);
        Ok(())
    }

    #[test]
    fn charges_count_while_they_live() -> Result {
        with_context(|| {
            let accounting = Arc::new(Accounting::new(Limits::own(10)), GFP_KERNEL)?;
            let mut first = Charge::new(false, false);
            let mut second = Charge::new(false, true);
            first.add_anyway(&accounting, 4);
            first.add_anyway(&accounting, 3);
            second.add_anyway(&accounting, 3);
            expect!(first.pages() == 7);
            expect!(accounting.counted().pages == 10 && accounting.counted().dma32 == 3);
            expect!(!accounting.over_limit());
            let mut third = Charge::new(false, false);
            third.add_anyway(&accounting, 1);
            expect!(accounting.over_limit());
            first.reduce_to(8);
            first.reduce_to(5);
            expect!(accounting.counted().pages == 9 && first.pages() == 5);
            drop(first);
            expect!(accounting.counted().pages == 4 && accounting.counted().dma32 == 3);
            drop((second, third));
            expect!(accounting.counted().pages == 0 && accounting.counted().dma32 == 0);
            Ok(())
        })
    }
}
