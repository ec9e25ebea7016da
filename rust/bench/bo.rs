// SPDX-License-Identifier: GPL-2.0

//! What page accounting costs; the files `tt`, `tt_growth` and `evict` of the directory `bench`.
//!
//! C TTM is measured in the same way by `selftests/modules/bench/ttm_bench.c`. An operation is a page
//! where the name is not of something else.
#![deny(unsafe_code)]

use crate::{
    abstractions::{
        debugfs::Show,
        ticks::ticks, //
    },
    bench::{
        least,
        row,
        ticks_of_nothing, //
    },
    bo::{
        manager::Manager,
        object::{
            BoRef,
            Device, //
        },
        pages::{
            block::Block,
            PageBlocks, //
        },
        pool::alloc,
        reclaim::{
            EvictScope,
            Reclaim, //
        },
        rules::{
            object::{
                BoFlags, //
                BoType,
            },
            page_kind::{
                Caching,
                PageKind, //
            },
            page_runs::MAX_ORDER, //
        },
        tt::{
            swapout::BackUp,
            Tt, //
        }, //
    },
    lock_order::with_context, //
};
use core::hint::black_box;
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    seq_file::SeqFile,
    sync::Arc, //
};

/// Iterations of a loop over one page; over many pages there are fewer.
const TURNS: u64 = 256;
/// How often; the time that was disturbed least counts.
const TRIES: u64 = 16;
/// Pages of what is moved out and in again.
const MOVED: u64 = 512;
/// Blocks among which there are two that lie beside each other.
const BESIDE_TRIES: usize = 1024;
/// Pages of the TTs of which whole lifetimes are measured.
const SIZES: [u64; 5] = [1, 16, 512, 4096, 16384];
/// Pages of the TTs of which only the populate is measured.
const POPULATED: [u64; 3] = [1, 16, 512];

/// `tt`: a TT by itself.
pub(crate) struct OneTt(Arc<Manager>);

impl OneTt {
    /// Makes it. Returns `ENOMEM` if there is no memory. May sleep.
    pub(crate) fn new(manager: &Arc<Manager>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self(manager.clone()), GFP_KERNEL)?)
    }

    fn device(&self) -> Result<&Device> {
        self.0
            .devices()
            .first()
            .map(|device| &**device)
            .ok_or(EINVAL)
    }

    /// Measures the lifetime of a TT: made, populated, unpopulated and dropped. `cold`: with an empty pool.
    fn life(&self, m: &SeqFile, how: &str, flags: BoFlags, cold: bool) -> Result {
        let (device, manager) = (self.device()?, &*self.0);
        // Nothing that was kept of others.
        self.0.pool().drain();
        for pages in SIZES {
            let _beside = beside(pages)?;
            let turns = if cold { 1 } else { (TURNS / pages).max(1) };
            let tries = if cold && pages > 16 { TRIES / 4 } else { TRIES };
            let prepare = || {
                if cold {
                    self.0.pool().drain();
                }
            };
            let ticks = least(tries, turns, prepare, || {
                let mut tt = Tt::new(pages * PAGE_SIZE as u64, 0, flags)?;
                tt.populate(device.backing(), manager, false)?;
                tt.unpopulate(device.backing());
                Ok(())
            })?;
            let name = fmt!("tt.life.{how}.{pages}");
            row(m, name, ticks, turns * pages);
        }
        self.0.pool().drain();
        Ok(())
    }

    /// Measures the parts of the lifetime of a TT with cached pages.
    fn steps(&self, m: &SeqFile) -> Result {
        let pool = Some(self.device()?.backing().pool());
        let ticks = least(
            TRIES,
            TURNS,
            || (),
            || {
                black_box(&mut Tt::new(PAGE_SIZE as u64, 0, plain())?);
                Ok(())
            },
        )?;
        row(m, fmt!("tt.step.new"), ticks, TURNS);
        for order in [0, 4, 9] {
            let pages = 1 << order;
            let turns = TURNS / pages + 1;
            let _beside = beside(pages)?;
            let ticks = least(
                TRIES,
                turns,
                || (),
                || {
                    drop(black_box(Block::allocate(order as u32, false, false)));
                    Ok(())
                },
            )?;
            row(m, fmt!("tt.step.block.{pages}"), ticks, turns * pages);
            let ticks = least(
                TRIES,
                turns,
                || (),
                || {
                    let mut directory = PageBlocks::new(PageKind::CACHED);
                    alloc::fill(&mut directory, pages, false, pool)?;
                    alloc::give_back(&mut directory, false, pool);
                    Ok(())
                },
            )?;
            row(m, fmt!("tt.step.pages.{pages}"), ticks, turns * pages);
        }
        Ok(())
    }

    /// Measures populating with pages of the system, cleared.
    fn populating(&self, m: &SeqFile) -> Result {
        let (device, manager) = (self.device()?, &*self.0);
        let nothing = ticks_of_nothing();
        self.0.pool().drain();
        for pages in POPULATED {
            let _beside = beside(pages)?;
            let mut tt = Tt::new(pages * PAGE_SIZE as u64, 0, plain())?;
            let mut least = u64::MAX;
            for _ in 0..TRIES {
                let begin = ticks();
                tt.populate(device.backing(), manager, true)?;
                least = least.min(ticks() - begin - nothing);
                tt.unpopulate(device.backing());
                // Cleared pages are kept there.
                self.0.pool().drain();
            }
            row(m, fmt!("tt.populate.{pages}"), least, pages);
        }
        Ok(())
    }

    /// Measures counting alone.
    fn accounting(&self, m: &SeqFile) -> Result {
        let (device, manager) = (self.device()?, &*self.0);
        let mut tt = Tt::new(MOVED * PAGE_SIZE as u64, 0, plain())?;
        let ticks = least(
            TRIES,
            TURNS,
            || (),
            || {
                tt.populate_with(device.backing(), manager, |_, _| Ok(()))?;
                tt.unpopulate(device.backing());
                Ok(())
            },
        )?;
        row(m, fmt!("tt.accounting"), ticks, TURNS);
        Ok(())
    }

    /// Measures swapping out and in again.
    fn swapping(&self, m: &SeqFile, suffix: &str, flags: BoFlags) -> Result {
        let device = self.device()?;
        let mut tt = Tt::new(MOVED * PAGE_SIZE as u64, 0, flags)?;
        tt.populate(device.backing(), &*self.0, false)?;
        let (out, back) = out_and_back(
            &mut tt,
            |tt| {
                let copy = tt.copy_to_swap(device.backing())?.ok_or(EINVAL)?;
                Ok(tt.swap_out(copy, device.accounting()))
            },
            |tt| tt.populate(device.backing(), &*self.0, false),
        )?;
        tt.unpopulate(device.backing());
        row(m, fmt!("tt.swapout{suffix}"), out, MOVED);
        row(m, fmt!("tt.swapin{suffix}"), back, MOVED);
        Ok(())
    }

    /// Measures backing up and restoring.
    fn backing_up(&self, m: &SeqFile) -> Result {
        let device = self.device()?;
        let mut tt = Tt::new(MOVED * PAGE_SIZE as u64, 0, plain())?;
        tt.populate(device.backing(), &*self.0, false)?;
        let (out, back) = out_and_back(
            &mut tt,
            |tt| {
                let moved = tt.back_up(BackUp::RELAXED, device.backing())?;
                tt.uncharge_moved();
                Ok(moved)
            },
            |tt| tt.populate(device.backing(), &*self.0, false),
        )?;
        tt.unpopulate(device.backing());
        row(m, fmt!("tt.backup"), out, MOVED);
        row(m, fmt!("tt.restore"), back, MOVED);
        Ok(())
    }

    /// Shows how much memory the directory of the pages takes.
    fn directory(&self, m: &SeqFile) -> Result {
        const PAGES: u64 = 16384;
        let device = self.device()?;
        let mut tt = Tt::new(PAGES * PAGE_SIZE as u64, 0, plain())?;
        tt.populate(device.backing(), &*self.0, false)?;
        row(
            m,
            fmt!("tt.directory_bytes"),
            tt.metadata_bytes() as u64,
            PAGES,
        );
        tt.unpopulate(device.backing());
        Ok(())
    }
}

impl Show for OneTt {
    fn show(&self, m: &SeqFile) -> Result {
        with_context(|| {
            let shmem = plain().on_shmem().ok_or(EINVAL)?;
            let combined = plain()
                .of_kind(PageKind {
                    caching: Caching::WriteCombined,
                    dma32: false,
                })
                .ok_or(EINVAL)?;
            self.life(m, "cached", plain(), false)?;
            self.life(m, "wc_warm", combined, false)?;
            self.life(m, "wc_cold", combined, true)?;
            self.life(m, "shmem", shmem, false)?;
            self.populating(m)?;
            self.steps(m)?;
            self.accounting(m)?;
            self.swapping(m, "", shmem)?;
            self.swapping(m, "_copy", plain())?;
            self.backing_up(m)?;
            self.directory(m)
        })
    }
}

/// Returns a block of as many pages beside which there is a free one like it. Allocating and freeing
/// that one makes the system neither split a larger block nor merge blocks; otherwise it would depend
/// on chance how often that happens. `None`: the system keeps per-CPU lists of such blocks.
fn beside(pages: u64) -> Result<Option<Block>> {
    let order = pages.ilog2();
    if !(4..MAX_ORDER).contains(&order) {
        return Ok(None);
    }
    let mut blocks = KVec::new();
    for _ in 0..BESIDE_TRIES {
        let block = Block::allocate(order, false, false).ok_or(ENOMEM)?;
        let found = blocks
            .iter()
            .position(|other: &Block| other.is_buddy_of(&block));
        if let Some(index) = found {
            return Ok(Some(blocks.remove(index).map_err(|_| EINVAL)?));
        }
        blocks.push(block, GFP_KERNEL)?;
    }
    Err(ENOMEM)
}

/// Cached pages of the device's own memory, not cleared.
fn plain() -> BoFlags {
    BoFlags::of(BoType::Device, false)
}

/// Returns the ticks that it takes to move `tt` out of memory, and back; both closures return the number
/// of pages moved.
fn out_and_back(
    tt: &mut Tt,
    out: impl Fn(&mut Tt) -> Result<u64>,
    back: impl Fn(&mut Tt) -> Result<u64>,
) -> Result<(u64, u64)> {
    let nothing = ticks_of_nothing();
    let mut least = (u64::MAX, u64::MAX);
    for _ in 0..TRIES {
        let begin = ticks();
        let moved_out = out(tt)?;
        let between = ticks();
        let moved_back = back(tt)?;
        let end = ticks();
        if (moved_out, moved_back) != (MOVED, MOVED) {
            return Err(EIO);
        }
        least.0 = least.0.min(between - begin - nothing);
        least.1 = least.1.min(end - between - nothing);
    }
    Ok(least)
}

/// `tt_growth`: buffer objects, when there are many.
pub(crate) struct Growth(Arc<Manager>);

/// Iterations of a loop; all of them together are 1000, so that objects that are added come last among
/// the least recently used.
const GROWTH_TURNS: u64 = 10;
const GROWTH_TRIES: u64 = 100;
const COUNTS: [usize; 4] = [1, 10, 1000, 100_000];

impl Growth {
    /// Makes it. Returns `ENOMEM` if there is no memory. May sleep.
    pub(crate) fn new(manager: &Arc<Manager>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self(manager.clone()), GFP_KERNEL)?)
    }

    fn object(&self) -> Result<BoRef> {
        let device = self.0.devices().first().ok_or(EINVAL)?;
        let bo = BoRef::new(device, PAGE_SIZE as u64, 0, BoType::Kernel, plain())?;
        bo.reserve().populate(&*self.0)?;
        Ok(bo)
    }

    /// Evicts the least recently used object, which is `bo`, and populates it again. Returns the ticks of
    /// both.
    fn evict_and_populate(&self, bo: &BoRef, nothing: u64) -> Result<(u64, u64)> {
        let begin = ticks();
        let freed = self.0.evict_one(EvictScope::Any)?;
        let between = ticks();
        let mut reservation = bo.reserve();
        let reserved = ticks();
        let gained = reservation.populate(&*self.0)?;
        let end = ticks();
        drop(reservation);
        if (freed, gained) != (1, 1) {
            return Err(EIO);
        }
        Ok((between - begin - nothing, end - reserved - nothing))
    }

    fn measure(&self, m: &SeqFile, bos: &[BoRef], next: &mut usize) -> Result {
        let nothing = ticks_of_nothing();
        let mut least = (u64::MAX, u64::MAX);
        for _ in 0..GROWTH_TRIES {
            let mut sum = (0, 0);
            for _ in 0..GROWTH_TURNS {
                let (out, back) =
                    self.evict_and_populate(bos.get(*next).ok_or(EINVAL)?, nothing)?;
                *next = (*next + 1) % bos.len();
                sum.0 += out;
                sum.1 += back;
            }
            least.0 = least.0.min(sum.0);
            least.1 = least.1.min(sum.1);
        }
        let count = bos.len();
        row(m, fmt!("tt.growth.swapout.{count}"), least.0, GROWTH_TURNS);
        row(m, fmt!("tt.growth.populate.{count}"), least.1, GROWTH_TURNS);
        Ok(())
    }
}

impl Show for Growth {
    fn show(&self, m: &SeqFile) -> Result {
        with_context(|| {
            let mut bos = KVVec::new();
            let mut next = 0;
            for count in COUNTS {
                while bos.len() < count {
                    bos.push(self.object()?, GFP_KERNEL)?;
                }
                self.measure(m, &bos, &mut next)?;
            }
            Ok(())
        })
    }
}

/// `evict`: global swapout of objects of one page, which a driver has populated; see
/// `selftests/modules/bench/bo_bench.c`.
pub(crate) struct Evict(Arc<Manager>);

/// Objects that are evicted; the one that was disturbed least counts.
const EVICTED: usize = 16;

impl Evict {
    /// Makes it. Returns `ENOMEM` if there is no memory. May sleep.
    pub(crate) fn new(manager: &Arc<Manager>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self(manager.clone()), GFP_KERNEL)?)
    }
}

impl Show for Evict {
    fn show(&self, m: &SeqFile) -> Result {
        with_context(|| {
            let (nothing, alive) = (ticks_of_nothing(), self.0.accounting().objects());
            let mut least = None;
            for _ in 0..EVICTED {
                let begin = ticks();
                let freed = self.0.evict_one(EvictScope::Any)?;
                let took = ticks() - begin - nothing;
                match freed {
                    0 => break,
                    1 => least = Some(least.map_or(took, |least: u64| least.min(took))),
                    _ => return Err(EIO),
                }
            }
            row(m, fmt!("bo.api.evict.{alive}"), least.ok_or(EINVAL)?, 1);
            Ok(())
        })
    }
}
