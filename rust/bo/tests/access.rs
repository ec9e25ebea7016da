// SPDX-License-Identifier: GPL-2.0

//! Going over pages, and how they are mapped.

#![deny(unsafe_code)]

use super::support::*;
use crate::{
    abstractions::kmap::Protection,
    bo::{
        rules::{
            object::{
                flags,
                BoFlags, //
                BoType,
            },
            page_kind::{
                Caching,
                PageKind, //
            },
            state::State, //
        },
        tt::swapout::BackUp, //
    }, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

/// As it would be made where the guest's memory is encrypted.
fn in_confidential_guest() -> BoFlags {
    BoFlags::of(BoType::Device, false).with_dma().in_guest(true)
}

#[kunit_tests(reeve_tt_kmap)]
mod tests {
    use super::*;

    /// The kernel's own mapping, this one and those of users have to agree.
    #[test]
    fn pages_are_mapped_as_they_are_cached() -> Result {
        Bench::run(1, |bench| {
            for kind in PageKind::ALL {
                let flags = BoFlags::of(BoType::Device, false).of_kind(kind);
                let bo = bench.object_with(BoType::Device, 5, flags.ok_or(EINVAL)?)?;
                let mut reservation = bo.reserve();
                reservation.populate(&*bench.manager)?;
                let protection = Protection::of(kind.caching, false);
                expect!(reservation.info().protection == protection);
                let pages = reservation.tt()?.kmap(0);
                expect!(pages.protection() == protection);
                for page in pages {
                    expect!(page.page().cache_bits() == protection.cache_bits());
                }
            }
            Ok(())
        })
    }

    #[test]
    fn caching_modes_are_told_apart() -> Result {
        let bits = [Caching::Cached, Caching::WriteCombined, Caching::Uncached]
            .map(|caching| Protection::of(caching, false).cache_bits());
        expect!(bits == [Protection::PLAIN.cache_bits(), bits[1], bits[2]]);
        // Where mappings need not agree there is nothing to tell apart.
        if cfg!(CONFIG_X86) {
            expect!(bits[0] != bits[1] && bits[1] != bits[2] && bits[0] != bits[2]);
        }
        Ok(())
    }

    #[test]
    fn pages_come_in_order_and_end() -> Result {
        Bench::run(1, |bench| {
            let plain = BoFlags::of(BoType::Device, false);
            for flags in [plain, plain.on_shmem().ok_or(EINVAL)?] {
                let bo = bench.object_with(BoType::Device, 77, flags)?;
                bo.reserve().populate(&*bench.manager)?;
                for first in [0, 1, 63, 64, 76, 77, 78, u64::MAX] {
                    let mut reservation = bo.reserve();
                    let mut index = first;
                    let mut frames = KVec::new();
                    for page in reservation.tt()?.kmap(first) {
                        frames.push(page.page().frame(), GFP_KERNEL)?;
                    }
                    for frame in &frames {
                        expect!(reservation.page_frame(index) == Some(*frame));
                        index += 1;
                    }
                    expect!(index == first.max(77));

                    let mut count = 0;
                    let mut pages = reservation.tt()?.kmap_mut(first);
                    while pages.advance().is_some() {
                        count += 1;
                    }
                    expect!(count == 77u64.saturating_sub(first));
                    expect!(pages.advance().is_none());
                }
            }
            Ok(())
        })
    }

    #[test]
    fn only_what_is_populated_has_pages() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.object(4)?;
            let count = || -> Result<usize> { Ok(bo.reserve().tt()?.kmap(0).count()) };
            expect!(count()? == 0);
            bo.reserve().populate(&*bench.manager)?;
            expect!(count()? == 4);
            bo.reserve().swap_out()?;
            expect!(count()? == 0);
            bo.reserve().populate(&*bench.manager)?;
            let half = BackUp {
                until: 2,
                ..BackUp::RELAXED
            };
            bo.reserve().back_up(half)?;
            expect!(count()? == 0);
            Ok(())
        })
    }

    /// Two iterators at once: what `ttm_move_memcpy()` does.
    #[test]
    fn content_moves_from_object_to_object() -> Result {
        Bench::run(1, |bench| {
            let wc = PageKind {
                caching: Caching::WriteCombined,
                ..PageKind::CACHED
            };
            let flags = BoFlags::of(BoType::Device, false).of_kind(wc);
            let to = bench.object_with(BoType::Device, 20, flags.ok_or(EINVAL)?)?;
            let from = bench.object(20)?;
            fill(&from, 5, &*bench.manager)?;
            to.reserve().populate(&*bench.manager)?;
            let mut buffer = KVec::from_elem(0u8, PAGE_SIZE, GFP_KERNEL)?;
            {
                let mut source = from.reserve();
                // Who holds one reservation only tries others.
                let mut target = to.try_reserve().ok_or(EBUSY)?;
                let mut pages = target.tt()?.kmap_mut(0);
                for page in source.tt()?.kmap(0) {
                    page.read(0, &mut buffer)?;
                    pages.advance().ok_or(EINVAL)?.write(0, &buffer)?;
                }
                expect!(pages.advance().is_none());
            }
            expect!(is_filled(&to, 5, &*bench.manager)?);
            Ok(())
        })
    }

    #[test]
    fn copies_stay_inside_their_page() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.populated(1)?;
            let mut reservation = bo.reserve();
            let tt = reservation.tt()?;
            let mut two = [0; 2];
            for offset in [PAGE_SIZE - 1, PAGE_SIZE, usize::MAX] {
                let page = tt.kmap(0).next().ok_or(EINVAL)?;
                expect!(page.read(offset, &mut two) == Err(EINVAL));
                let mut pages = tt.kmap_mut(0);
                let mut page = pages.advance().ok_or(EINVAL)?;
                expect!(page.write(offset, &two) == Err(EINVAL));
            }
            Ok(())
        })
    }

    #[test]
    fn pages_for_devices_are_decrypted_where_memory_is_encrypted() -> Result {
        Bench::run(1, |bench| {
            let reclaim = &*bench.manager;
            let bo = bench.object_with(BoType::Device, 40, in_confidential_guest())?;
            expect!(bo.reserve().info().flags & flags::DECRYPTED != 0);
            let decrypted = Protection::of(Caching::Cached, true);
            // Mappings of users and of the kernel.
            expect!(bo.reserve().info().protection == decrypted);
            expect!(bo.reserve().tt()?.kmap(0).protection() == decrypted);
            expect!(decrypted != Protection::PLAIN);

            bo.reserve().populate(reclaim)?;
            let mut found = [1u8; 64];
            bo.reserve().read(39 * PAGE, &mut found, reclaim)?;
            expect!(found == [0; 64]);
            fill(&bo, 6, reclaim)?;
            expect!(bo.reserve().dma_address(39).is_ok());
            expect!(bo.reserve().swap_out()? == 40);
            expect!(is_filled(&bo, 6, reclaim)?);
            expect!(bo.reserve().back_up(BackUp::RELAXED)? == 40);
            expect!(is_filled(&bo, 6, reclaim)?);
            // What goes to the pool is not shared any more.
            bo.reserve().unpopulate()?;
            let plain = bench.populated(40)?;
            expect!(plain.reserve().info().flags & flags::DECRYPTED == 0);
            Ok(())
        })
    }

    /// A block that is torn would lose its content.
    #[test]
    fn decrypted_blocks_go_as_a_whole() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.object_with(BoType::Device, 64 + 8, in_confidential_guest())?;
            fill(&bo, 7, &*bench.manager)?;
            let one = BackUp {
                until: 64 + 7,
                granule: 1,
                ..BackUp::RELAXED
            };
            let moved = bo.reserve().back_up(one)?;
            let info = bo.reserve().info();
            expect!(bo.reserve().state() == State::PartlyBackedUp);
            expect!(moved != 0 && info.resident == 72 - moved);
            // However the system gave them.
            expect!(moved.is_power_of_two());
            expect!(bench.counted() == 72 - moved);
            expect!(is_filled(&bo, 7, &*bench.manager)?);
            Ok(())
        })
    }

    #[test]
    fn a_mapping_that_fails_leaves_decrypted_objects_as_they_were() -> Result {
        Bench::run(1, |bench| {
            let reclaim = &*bench.manager;
            let device = bench.device(0)?.backing().dma();
            let fresh = bench.object_with(BoType::Device, 40, in_confidential_guest())?;
            let swapped = bench.object_with(BoType::Device, 40, in_confidential_guest())?;
            fill(&swapped, 8, reclaim)?;
            swapped.reserve().swap_out()?;
            device.fail_after(0);
            let results = [&fresh, &swapped].map(|bo| bo.reserve().populate(reclaim));
            device.fail_after(u64::MAX);
            expect!(results == [Err(EIO), Err(EIO)]);
            expect!(fresh.reserve().state() == State::Empty);
            expect!(swapped.reserve().state() == State::Swapped);
            expect!(bench.counted() == 0);
            expect!(is_filled(&swapped, 8, reclaim)?);
            Ok(())
        })
    }
}
