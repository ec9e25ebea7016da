// SPDX-License-Identifier: GPL-2.0

//! Addresses for the device.

#![deny(unsafe_code)]

use super::support::*;
use crate::{
    abstractions::dma::{
        DmaAddresses,
        DmaDevice, //
    },
    bo::{
        dirty::{
            room_for,
            DirtyLog, //
        },
        object::BoRef,
        pages::PageBlocks,
        pool::alloc,
        rules::{
            dirty::Mode,
            dma_runs::Place,
            object::{
                flags,
                BoFlags, //
                BoType,
            },
            page_kind::PageKind,
            state::State, //
        },
        tt::swapout::BackUp, //
    },
    lock_order::with_context, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// What an object with addresses can be made as.
fn creations() -> Result<KVec<(BoType, BoFlags)>> {
    let device = BoFlags::of(BoType::Device, false).with_dma();
    let mappable = BoFlags::of(BoType::Sg, false).with_dma().mappable();
    let mut all = KVec::new();
    for kind in PageKind::ALL {
        let flags = device.of_kind(kind).ok_or(EINVAL)?;
        all.push((BoType::Device, flags), GFP_KERNEL)?;
    }
    all.push((BoType::Sg, mappable.ok_or(EINVAL)?), GFP_KERNEL)?;
    all.push(
        (BoType::Device, device.on_shmem().ok_or(EINVAL)?),
        GFP_KERNEL,
    )?;
    Ok(all)
}

/// Whether each page of an object has its own address: the device is directly on the bus, and the
/// machine has nothing in between.
fn addresses_are_right(bo: &BoRef) -> Result<bool> {
    let reservation = bo.reserve();
    let pages = reservation.info().num_pages;
    for index in 0..pages {
        let place = reservation.dma_address(index)?;
        let frame = reservation.page_frame(index).ok_or(EINVAL)?;
        if place.address != frame * PAGE || place.pages == 0 || index + place.pages > pages {
            return Ok(false);
        }
        // In a row means in a row.
        for next in 0..place.pages {
            if reservation.page_frame(index + next) != Some(frame + next) {
                return Ok(false);
            }
        }
        // And it ends where they are not any more.
        if reservation.page_frame(index + place.pages) == Some(frame + place.pages) {
            return Ok(false);
        }
    }
    Ok(reservation.dma_address(pages) == Err(EINVAL))
}

fn has_none(bo: &BoRef) -> bool {
    bo.reserve().dma_address(0) == Err(EINVAL)
}

#[kunit_tests(reeve_tt_dma)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_where_they_are() -> Result {
        Bench::run(1, |bench| {
            for (ty, flags) in &creations()? {
                for pages in [1, 2, 3, 700] {
                    let bo = bench.object_with(*ty, pages, *flags)?;
                    expect!(bo.reserve().info().flags & flags::DMA_ADDRESSES != 0);
                    expect!(has_none(&bo));
                    bo.reserve().populate(&*bench.manager)?;
                    expect!(addresses_are_right(&bo)?);
                    bo.reserve().unpopulate()?;
                    expect!(has_none(&bo));
                }
            }
            Ok(())
        })
    }

    #[test]
    fn only_who_asks_has_addresses() -> Result {
        Bench::run(1, |bench| {
            let bo = bench.populated(3)?;
            expect!(bo.reserve().info().flags & flags::DMA_ADDRESSES == 0);
            expect!(has_none(&bo));
            Ok(())
        })
    }

    #[test]
    fn extra_pages_have_addresses_too() -> Result {
        Bench::run(1, |bench| {
            let flags = BoFlags::of(BoType::Kernel, false).with_dma();
            let bo = BoRef::new(bench.device(0)?, PAGE, 4, BoType::Kernel, flags)?;
            bo.reserve().populate(&*bench.manager)?;
            expect!(addresses_are_right(&bo)?);
            expect!(bo.reserve().dma_address(4).is_ok());
            Ok(())
        })
    }

    #[test]
    fn addresses_go_with_the_pages_and_come_back() -> Result {
        Bench::run(1, |bench| {
            let reclaim = &*bench.manager;
            for (ty, flags) in &creations()? {
                let bo = bench.object_with(*ty, 40, *flags)?;
                fill(&bo, 3, reclaim)?;
                if !flags.is_external() {
                    expect!(bo.reserve().swap_out()? == 40);
                    expect!(has_none(&bo));
                    expect!(is_filled(&bo, 3, reclaim)?);
                    expect!(addresses_are_right(&bo)?);
                }
                expect!(bo.reserve().back_up(BackUp::RELAXED)? == 40);
                expect!(has_none(&bo));
                expect!(is_filled(&bo, 3, reclaim)?);
                expect!(addresses_are_right(&bo)?);
                // Nor has what is still there an address when a part is gone.
                let half = BackUp {
                    until: 20,
                    ..BackUp::RELAXED
                };
                bo.reserve().back_up(half)?;
                expect!(has_none(&bo));
                expect!(is_filled(&bo, 3, reclaim)?);
                expect!(addresses_are_right(&bo)?);
                bo.reserve().purge()?;
                expect!(has_none(&bo));
            }
            Ok(())
        })
    }

    #[test]
    fn a_mapping_that_fails_changes_nothing() -> Result {
        Bench::run(1, |bench| {
            let reclaim = &*bench.manager;
            let device = bench.device(0)?.backing().dma();
            for (ty, flags) in &creations()? {
                let fresh = bench.object_with(*ty, 5, *flags)?;
                let swapped = bench.object_with(*ty, 5, *flags)?;
                let partly = bench.object_with(*ty, 5, *flags)?;
                fill(&swapped, 1, reclaim)?;
                fill(&partly, 2, reclaim)?;
                if !flags.is_external() {
                    swapped.reserve().swap_out()?;
                } else {
                    swapped.reserve().back_up(BackUp::RELAXED)?;
                }
                let half = BackUp {
                    until: 3,
                    ..BackUp::RELAXED
                };
                partly.reserve().back_up(half)?;
                let states = [&fresh, &swapped, &partly].map(|bo| bo.reserve().state());
                let before = bench.counted();

                device.fail_after(0);
                let results = [&fresh, &swapped, &partly].map(|bo| bo.reserve().populate(reclaim));
                let after = [&fresh, &swapped, &partly].map(|bo| bo.reserve().state());
                device.fail_after(u64::MAX);
                expect!(results == [Err(EIO), Err(EIO), Err(EIO)]);
                expect!(states == after);
                expect!(bench.counted() == before);

                expect!(is_filled(&swapped, 1, reclaim)?);
                expect!(is_filled(&partly, 2, reclaim)?);
                expect!(fresh.reserve().populate(reclaim)? == 5);
                for bo in [&fresh, &swapped, &partly] {
                    expect!(addresses_are_right(bo)?);
                }
            }
            Ok(())
        })
    }

    /// The runs before the one that fails are given back, too; the kernel's own check of DMA
    /// mappings, where it is built in, would notice.
    #[test]
    fn mappings_fail_half_way() -> Result {
        with_context(|| {
            let device = DmaDevice::new()?;
            // Single pages from all over the place: hold every other one.
            let mut pages = PageBlocks::new(PageKind::CACHED);
            let mut between = KVec::new();
            for _ in 0..20 {
                pages.push(
                    crate::bo::pages::block::Block::allocate(0, false, false).ok_or(ENOMEM)?,
                )?;
                let block =
                    crate::bo::pages::block::Block::allocate(0, false, false).ok_or(ENOMEM)?;
                between.push(block, GFP_KERNEL)?;
            }
            pages.map_dma(&device)?;
            let runs = pages.dma().map_or(0, DmaAddresses::runs) as u64;
            pages.set_dma(None);
            for working in 0..runs {
                device.fail_after(working);
                expect!(pages.map_dma(&device) == Err(EIO));
                expect!(pages.dma().is_none());
            }
            device.fail_after(runs);
            pages.map_dma(&device)?;
            expect!(pages.dma().map_or(0, DmaAddresses::pages) == 20);
            Ok(())
        })
    }

    /// Addresses keep their device, also where no block is there whose removal would drop them.
    #[test]
    fn addresses_are_dropped_with_the_pages() -> Result {
        with_context(|| {
            for count in [0, 1, 5] {
                let device = DmaDevice::new()?;
                let mut pages = PageBlocks::new(PageKind::CACHED);
                alloc::fill(&mut pages, count, false, None)?;
                pages.map_dma(&device)?;
                expect!(pages.dma().is_some());
                drop(pages);
                expect!(Arc::into_unique_or_drop(device).is_some());
            }
            Ok(())
        })
    }

    #[test]
    fn there_is_an_address_for_each_run_and_not_for_each_page() -> Result {
        with_context(|| {
            let device = DmaDevice::new()?;
            let mut pages = PageBlocks::new(PageKind::CACHED);
            alloc::fill(&mut pages, 16384, false, None)?;
            pages.map_dma(&device)?;
            let addresses = pages.dma().ok_or(EINVAL)?;
            expect!(addresses.pages() == 16384);
            expect!(addresses.runs() <= pages.blocks());
            for index in [0, 511, 512, 10000, 16383] {
                let frame = pages.page(index).ok_or(EINVAL)?.frame();
                let place = addresses.locate(index).ok_or(EINVAL)?;
                expect!(place.address == frame * PAGE);
            }
            Ok(())
        })
    }

    /// Also where pages are copied for the device (swiotlb=force).
    #[test]
    fn synced_pages_are_logged() -> Result {
        Bench::run(1, |bench| {
            let reclaim = &*bench.manager;
            for (ty, flags) in creations()?
                .iter()
                .filter(|(_, flags)| !flags.is_external())
            {
                let bo = bench.object_with(*ty, 130, *flags)?;
                fill(&bo, 4, reclaim)?;
                let mut reservation = bo.reserve();
                reservation.start_log(DirtyLog::new(130, Mode::Manual, None)?)?;
                let addresses = reservation.tt()?.dma().ok_or(EINVAL)?;
                addresses.device_writes(128, 9, b"device")?;
                let mut none = room_for(0, 130)?;
                expect!(reservation.get_log(&mut none)? == Some((0, None)));
                expect!(none.pieces(3).all(|piece| piece.words.is_none()));
                reservation.sync_for_cpu(127, 100)?;
                expect!(reservation.get_log(&mut none)?.is_none());
                let mut parts = room_for(1, 130)?;
                expect!(reservation.get_log(&mut parts)? == Some((3, None)));
                expect!(parts
                    .pieces(3)
                    .all(|piece| piece.words == Some(&[0, 1 << 63, 3])));
                // What else the kernel is handed to write to.
                let mut pages = reservation.tt()?.kmap_mut(5);
                expect!(pages.advance().is_some() && pages.advance().is_some());
                expect!(reservation.get_log(&mut parts)? == Some((5, None)));
                expect!(parts
                    .pieces(3)
                    .all(|piece| piece.words == Some(&[3 << 5, 1 << 63, 3])));
                // Reading is no write.
                expect!(reservation.tt()?.kmap(9).next().is_some());
                expect!(reservation.log_info()?.dirty == 5);
            }
            Ok(())
        })
    }

    #[test]
    fn writes_show_on_the_other_side() -> Result {
        Bench::run(1, |bench| {
            let reclaim = &*bench.manager;
            for (ty, flags) in &creations()? {
                let bo = bench.object_with(*ty, 130, *flags)?;
                fill(&bo, 4, reclaim)?;
                let device_sees = |index: u64, offset: usize| -> Result<[u8; 6]> {
                    let mut found = [0; 6];
                    let mut reservation = bo.reserve();
                    let addresses = reservation.tt()?.dma().ok_or(EINVAL)?;
                    addresses.device_reads(index, offset, &mut found)?;
                    Ok(found)
                };
                for index in [0, 1, 64, 129] {
                    let text = [index as u8 ^ 0x5a; 6];
                    bo.reserve().write(index * PAGE + 77, &text, reclaim)?;
                    expect!(device_sees(index, 77)? == text);
                }
                // Back to the pattern, as the device sees it, too.
                fill(&bo, 4, reclaim)?;
                for index in [3, 128] {
                    let mut reservation = bo.reserve();
                    let addresses = reservation.tt()?.dma().ok_or(EINVAL)?;
                    addresses.device_writes(index, 9, b"device")?;
                    reservation.sync_for_cpu(index, 1)?;
                    let mut found = [0; 6];
                    reservation.read(index * PAGE + 9, &mut found, reclaim)?;
                    expect!(&found == b"device");
                }
                // Only those pages: what is next to them is what it was.
                let mut found = [0; 6];
                bo.reserve().read(4 * PAGE, &mut found, reclaim)?;
                expect!(device_sees(4, 0)? == found);

                // What it wrote goes out with the rest, and what comes back it sees.
                bo.reserve().back_up(BackUp::RELAXED)?;
                bo.reserve().populate(reclaim)?;
                expect!(&device_sees(3, 9)? == b"device");
                bo.reserve().read(3 * PAGE + 9, &mut found, reclaim)?;
                expect!(&found == b"device");
            }
            Ok(())
        })
    }

    /// A part that stays keeps what the processor wrote when the mappings go.
    #[test]
    fn what_stays_is_what_the_processor_wrote() -> Result {
        Bench::run(1, |bench| {
            let reclaim = &*bench.manager;
            let flags = BoFlags::of(BoType::Device, false).with_dma();
            let bo = bench.object_with(BoType::Device, 96, flags)?;
            bo.reserve().populate(reclaim)?;
            // Not by a call that shows it to the device, but as a user's mapping would.
            {
                let mut reservation = bo.reserve();
                let mut pages = reservation.tt()?.kmap_mut(0);
                while let Some(mut page) = pages.advance() {
                    page.write(5, b"mapped")?;
                }
            }
            let half = BackUp {
                until: 50,
                ..BackUp::RELAXED
            };
            expect!(bo.reserve().back_up(half)? != 0);
            for index in [0, 49, 50, 95] {
                let mut found = [0; 6];
                bo.reserve().read(index * PAGE + 5, &mut found, reclaim)?;
                expect!(&found == b"mapped");
            }
            Ok(())
        })
    }

    #[test]
    fn dma32_pages_are_below_4_gib_for_the_device() -> Result {
        Bench::run(1, |bench| {
            let kind = PageKind {
                dma32: true,
                ..PageKind::CACHED
            };
            let flags = BoFlags::of(BoType::Device, false).with_dma();
            let flags = flags.of_kind(kind).ok_or(EINVAL)?;
            let bo = bench.object_with(BoType::Device, 300, flags)?;
            bo.reserve().populate(&*bench.manager)?;
            for index in 0..300 {
                expect!(bo.reserve().dma_address(index)?.address < 1 << 32);
            }
            Ok(())
        })
    }

    /// Nothing of an external TT is mapped here: it only keeps what the importer says.
    #[test]
    fn imported_pages_have_the_addresses_that_were_given() -> Result {
        Bench::run(1, |bench| {
            let flags = BoFlags::of(BoType::Sg, false).with_dma();
            let bo = bench.object_with(BoType::Sg, 9, flags)?;
            let told = || DmaAddresses::told(&[(0x10_0000, 4), (1 << 40, 5)]);
            // Its pages are not there yet.
            expect!(bo.reserve().set_dma_addresses(told()?) == Err(EINVAL));
            bench.device(0)?.backing().dma().fail_after(0);
            let populated = bo.reserve().populate(&*bench.manager);
            bench.device(0)?.backing().dma().fail_after(u64::MAX);
            expect!(populated == Ok(0));
            expect!(has_none(&bo));
            bo.reserve().set_dma_addresses(told()?)?;
            expect!(
                bo.reserve().dma_address(1)?
                    == Place {
                        address: 0x10_1000,
                        pages: 3
                    }
            );
            expect!(bo.reserve().dma_address(8)?.address == (1 << 40) + 4 * PAGE);
            expect!(bo.reserve().dma_address(9) == Err(EINVAL));

            for runs in [&[(0u64, 8u64)][..], &[(0, 10)], &[(0, 4), (PAGE, 4)], &[]] {
                let addresses = DmaAddresses::told(runs)?;
                expect!(bo.reserve().set_dma_addresses(addresses) == Err(EINVAL));
            }
            for run in [(1, 9), (0, 0), (u64::MAX - PAGE + 1, 2), (0, u64::MAX)] {
                expect!(DmaAddresses::told(&[run]).err() == Some(EINVAL));
            }
            expect!(bo.reserve().dma_address(1)?.address == 0x10_1000);
            bo.reserve().unpopulate()?;
            expect!(has_none(&bo));

            // Addresses of an object's own pages can't be set.
            for (ty, flags) in [
                (
                    BoType::Device,
                    BoFlags::of(BoType::Device, false).with_dma(),
                ),
                (BoType::Sg, BoFlags::of(BoType::Sg, false)),
            ] {
                let bo = bench.object_with(ty, 9, flags)?;
                bo.reserve().populate(&*bench.manager)?;
                expect!(bo.reserve().set_dma_addresses(told()?) == Err(EINVAL));
            }
            expect!(bo.reserve().state() == State::Empty);
            Ok(())
        })
    }
}
