// SPDX-License-Identifier: GPL-2.0-or-later

//! Objects that exist twice, in C TTM and here, and what has to be the same about them.
//!
//! One thing is known to differ: when TTM has backed an object up, it does not give the pages back
//! to its counters. So those have to be too high by exactly that, the *drift*, and TTM's limits are
//! raised by it.

use std::fmt::Debug;
use std::io;

use nix::errno::Errno;

use reeve_uapi::knobs;
use reeve_uapi::pattern::Pattern;
use reeve_uapi::sys;
use reeve_uapi::sys::reeve_bo_info;
use reeve_uapi::BoCall;
use reeve_uapi::BoType;
use reeve_uapi::Create;
use reeve_uapi::Handle;

use crate::module;
use crate::ours;
use crate::ours::Ours;
use crate::reference;
use crate::reference::Call;
use crate::reference::Op;
use crate::reference::Reference;
use crate::seen::PAGE;
use crate::test::check;
use crate::test::check_eq;
use crate::test::errno;
use crate::test::refused;
use crate::test::Outcome;
use crate::test::Stop;

/// More than any counter comes to.
const NO_LIMIT: i64 = 1 << 40;

/// All pages, and those below 4 GiB.
type Counters = [i64; 2];

const NAMES: [&str; 2] = ["pages_limit", "dma32_pages_limit"];

/// An object that exists twice.
pub(crate) struct Pair {
    pub(crate) create: Create,
    pub(crate) handle: Handle,
    pub(crate) id: u32,
    /// What it has to hold. Pages that were never written are 0 here.
    content: Vec<u8>,
    /// The pages of it that are known in TTM, too, which need not clear what it gives out.
    known: Vec<bool>,
}

/// Both, and their objects.
pub(crate) struct Lockstep {
    pub(crate) reeve: Ours,
    pub(crate) reference: Reference,
    pub(crate) all: Vec<Pair>,
    limits: Counters,
    /// TTM's counters when there are no objects.
    base: Counters,
    /// What its backups have added since.
    pub(crate) drift: Counters,
}

/// What both say about an object.
#[derive(Debug, PartialEq, Eq)]
struct Look {
    populated: bool,
    swapped: bool,
    backed_up: bool,
    zero_alloc: bool,
    external: bool,
    mappable: bool,
    num_pages: u64,
    held: u64,
    pins: u64,
}

impl Look {
    fn of_reeve(info: &reeve_bo_info) -> Self {
        Self {
            populated: info.is(sys::REEVE_BO_POPULATED),
            swapped: info.is(sys::REEVE_BO_SWAPPED),
            backed_up: info.is(sys::REEVE_BO_BACKED_UP),
            zero_alloc: info.is(sys::REEVE_BO_ZERO_ALLOC),
            external: info.is(sys::REEVE_BO_EXTERNAL),
            mappable: info.is(sys::REEVE_BO_EXTERNAL_MAPPABLE),
            num_pages: info.num_pages,
            held: info.pages_resident,
            pins: info.pin_count.into(),
        }
    }

    fn of_reference(call: &Call) -> Self {
        let is = |flag| call.page_flags & flag != 0;
        Self {
            populated: is(reference::POPULATED),
            swapped: is(reference::SWAPPED),
            backed_up: is(reference::BACKED_UP),
            zero_alloc: is(reference::ZERO_ALLOC),
            external: is(reference::EXTERNAL),
            mappable: is(reference::EXTERNAL_MAPPABLE),
            num_pages: call.num_pages,
            held: call.pages_held,
            pins: call.pins,
        }
    }
}

impl Pair {
    /// True when the pages belong to an exporter and are not here.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.create.kind == BoType::Sg && !self.create.mappable
    }

    /// True when its pages count.
    fn is_counted(&self) -> bool {
        self.create.kind != BoType::Sg
    }

    /// Which counters it is in.
    fn counters(&self) -> Counters {
        let counted = i64::from(self.is_counted());
        [counted, counted * i64::from(self.create.dma32)]
    }

    /// It lost its content.
    fn forget(&mut self) {
        self.content.fill(0);
        self.known.fill(self.create.zero);
    }

    fn wrote(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        self.content[offset..end].copy_from_slice(bytes);
        let page = PAGE as usize;
        let size = self.content.len();
        for (index, known) in self.known.iter_mut().enumerate() {
            let whole = index * page..((index + 1) * page).min(size);
            *known |= offset <= whole.start && whole.end <= end;
        }
    }
}

impl Lockstep {
    /// Starts both anew, with these limits on all pages and on those below 4 GiB. Reeve has to have
    /// two devices, one for each kind.
    pub(crate) fn new(limits: [Option<i64>; 2]) -> Outcome<Self> {
        // Without objects, and with the devices in their first order.
        if !ours::by_drivers() {
            module::remove()?;
            module::insert("enable_builtin_tests=1 devices=2")??;
        }
        let reference = Reference::new()?;
        let counted = reference.look(0)?;
        let lockstep = Self {
            reeve: Ours::new()?,
            reference,
            all: Vec::new(),
            limits: limits.map(|limit| limit.unwrap_or(NO_LIMIT)),
            base: [counted.pages_allocated, counted.dma32_pages_allocated],
            drift: [0; 2],
        };
        for (name, limit) in NAMES.iter().zip(lockstep.limits) {
            knobs::set_parameter(name, &limit.to_string())?;
        }
        lockstep.limit_reference()?;
        Ok(lockstep)
    }

    fn limit_reference(&self) -> Outcome {
        for (index, name) in NAMES.iter().enumerate() {
            let limit = self.limits[index] + self.base[index] + self.drift[index];
            reference::set_parameter(name, limit)?;
        }
        Ok(())
    }

    pub(crate) fn create(&mut self, create: Create) -> Outcome {
        let id = (0..reference::OBJECTS).find(|id| self.all.iter().all(|pair| pair.id != *id));
        let id = id.ok_or_else(|| Stop::failed("too many objects"))?;
        let handle = self.reeve.create(id, create)?;
        self.reference.create(id, &create)?;
        let mut pair = Pair {
            create,
            handle,
            id,
            content: vec![0; create.size as usize],
            known: vec![false; create.size.div_ceil(PAGE) as usize],
        };
        pair.forget();
        self.all.push(pair);
        Ok(())
    }

    pub(crate) fn destroy(&mut self, index: usize) -> Outcome {
        let pair = self.all.swap_remove(index);
        self.reeve.destroy(pair.handle)?;
        self.reference.simply(Op::Destroy, pair.id)?;
        Ok(())
    }

    /// A call on one object, which has to end alike; returns the pages that changed place, 0 when
    /// it was refused.
    pub(crate) fn both(&mut self, index: usize, call: BoCall, op: Op) -> Outcome<u64> {
        let pair = &self.all[index];
        let here = self.reeve.bo(call, pair.handle);
        let there = self.reference.simply(op, pair.id);
        self.moved(index, op, here, there)
    }

    /// A backup of this kind, likewise.
    pub(crate) fn back_up(&mut self, index: usize, op: Op) -> Outcome<u64> {
        let flags = match op {
            Op::Writeback => sys::REEVE_BO_BACKUP_WRITEBACK,
            Op::Purge => sys::REEVE_BO_BACKUP_PURGE,
            _ => 0,
        };
        let pair = &self.all[index];
        let here = self.reeve.backup_with(pair.handle, flags);
        let there = self.reference.simply(op, pair.id);
        if matches!(there, Ok(pages) if pages > 0) {
            self.drifted(index)?;
        }
        self.moved(index, op, here, there)
    }

    /// A call that only Reeve has rules for.
    pub(crate) fn reeve_refuses(
        &self,
        index: usize,
        call: BoCall,
        expected: Errno,
    ) -> Outcome<u64> {
        refused(self.reeve.bo(call, self.all[index].handle), expected)?;
        Ok(0)
    }

    /// TTM has added the object's pages to its counters for good.
    pub(crate) fn drifted(&mut self, index: usize) -> Outcome {
        let pair = &self.all[index];
        let pages = self.reeve.info(pair.handle)?.num_pages as i64;
        for (drift, counted) in self.drift.iter_mut().zip(pair.counters()) {
            *drift += pages * counted;
        }
        self.limit_reference()
    }

    fn moved(
        &mut self,
        index: usize,
        op: Op,
        here: io::Result<u64>,
        there: io::Result<u64>,
    ) -> Outcome<u64> {
        let pages = same(here, there)?.unwrap_or(0);
        if matches!(op, Op::Unpopulate | Op::Purge) && pages > 0 {
            self.all[index].forget();
        }
        Ok(pages)
    }

    /// One global swapout by each; returns the pages freed.
    pub(crate) fn shrink(&self) -> Outcome<u64> {
        let (here, there) = (knobs::tt_shrink()?, reference::shrink()?);
        check_eq!(here, there, "(ours and TTM's global swapout)");
        u64::try_from(here).map_err(|_| Stop::failed(format!("both say {here}")))
    }

    /// Writes the pattern into a part of one object; returns the bytes.
    pub(crate) fn write(
        &mut self,
        index: usize,
        offset: usize,
        len: usize,
        seed: u64,
    ) -> Outcome<u64> {
        let pair = &mut self.all[index];
        let bytes = Pattern::new(seed).bytes(len);
        same(
            self.reeve.write(pair.handle, offset as u64, &bytes),
            self.reference.write(pair.id, offset as u64, &bytes),
        )?;
        pair.wrote(offset, &bytes);
        Ok(len as u64)
    }

    /// Reads all of one object, which has to be what was written; returns the bytes.
    pub(crate) fn read(&self, index: usize) -> Outcome<u64> {
        let pair = &self.all[index];
        let (mut here, mut there) = (pair.content.clone(), pair.content.clone());
        here.fill(0xee);
        there.fill(0xee);
        same(
            self.reeve.read(pair.handle, 0, &mut here),
            self.reference.read(pair.id, 0, &mut there),
        )?;
        if let Some(at) = (0..here.len()).find(|at| here[*at] != pair.content[*at]) {
            return Err(Stop::failed(format!("byte {at} is {:#x} here", here[at])));
        }
        let chunks = there
            .chunks(PAGE as usize)
            .zip(pair.content.chunks(PAGE as usize));
        for (number, ((found, expected), known)) in chunks.zip(&pair.known).enumerate() {
            check!(
                !known || found == expected,
                "page {number} is another in TTM"
            );
        }
        Ok(here.len() as u64)
    }

    /// True when there is a limit that could be exceeded.
    pub(crate) fn is_limited(&self) -> bool {
        self.limits != [NO_LIMIT; 2]
    }

    /// True when populating an external object would make TTM, and TTM only, swap others out.
    pub(crate) fn is_over(&self) -> Outcome<bool> {
        let stats = self.reeve.stats()?;
        let counters = [stats.pages_allocated, stats.dma32_pages_allocated];
        Ok((0..2).any(|index| counters[index] as i64 > self.limits[index]))
    }

    /// True when bringing the object into memory would make TTM evict others than Reeve: TTM evicts all there
    /// is for a limit that can't be kept, and objects of any kind for the limit of those below 4 GiB.
    pub(crate) fn evicts_others(&self, index: usize) -> Outcome<bool> {
        let pair = &self.all[index];
        let info = self.reeve.info(pair.handle)?;
        let stats = self.reeve.stats()?;
        let mut pinned = 0;
        let mut evictable = false;
        for (other, pair) in self.all.iter().enumerate() {
            let info = self.reeve.info(pair.handle)?;
            if other == index || !pair.is_counted() || info.pages_resident == 0 {
                continue;
            }
            if info.pin_count > 0 {
                pinned += info.pages_resident as i64;
            } else {
                evictable = true;
            }
        }
        let counters = [stats.pages_allocated, stats.dma32_pages_allocated];
        let of = |pages: u64, counter: usize| pages as i64 * pair.counters()[counter];
        let more = info.num_pages - info.pages_resident;
        let is_over = [0, 1].map(|counter| {
            let charged = counters[counter] as i64 + of(more, counter);
            more > 0 && charged > self.limits[counter]
        });
        let is_hopeless = is_over[0] && pinned + of(info.num_pages, 0) > self.limits[0];
        Ok(evictable && (is_hopeless || is_over[1]))
    }

    /// Both have to be alike: every object's state, and the counters but for the drift.
    pub(crate) fn compare(&self) -> Outcome {
        self.compare_but(None)
    }

    /// The same, but for one object that may be backed up to another extent.
    pub(crate) fn compare_but(&self, except: Option<usize>) -> Outcome {
        let (mut held, mut whole): (Counters, Counters) = ([0; 2], [0; 2]);
        for (index, pair) in self.all.iter().enumerate() {
            let info = self.reeve.info(pair.handle)?;
            let call = self.reference.look(pair.id)?;
            let (here, there) = (Look::of_reeve(&info), Look::of_reference(&call));
            if except != Some(index) {
                check_eq!(here, there, "(ours and TTM's object {index})");
            }
            for (counter, counted) in pair.counters().into_iter().enumerate() {
                held[counter] += counted * here.held as i64;
                if there.populated {
                    whole[counter] += counted * there.num_pages as i64;
                }
            }
        }
        let stats = self.reeve.stats()?;
        let ours = [stats.pages_allocated, stats.dma32_pages_allocated];
        check_eq!(ours.map(|pages| pages as i64), held, "(ours)");
        let look = self.reference.look(0)?;
        let theirs = [look.pages_allocated, look.dma32_pages_allocated];
        let expected = [0, 1].map(|index| self.base[index] + self.drift[index] + whole[index]);
        check_eq!(theirs, expected, "(TTM's)");
        check_eq!(stats.buffer_objects as i64, look.buffer_objects);
        Ok(())
    }
}

impl Drop for Lockstep {
    fn drop(&mut self) {
        // What other cases find; the runner looks at ours itself.
        for name in NAMES {
            let _ = knobs::set_parameter(name, "0");
            let _ = reference::set_parameter(name, NO_LIMIT);
        }
    }
}

/// The common value; `None` when both were refused in the same way.
fn same<T: Debug + PartialEq>(here: io::Result<T>, there: io::Result<T>) -> Outcome<Option<T>> {
    match (here, there) {
        (Ok(here), Ok(there)) if here == there => Ok(Some(here)),
        (Err(here), Err(there)) if errno(&here) == errno(&there) => Ok(None),
        (here, there) => Err(Stop::failed(format!("we say {here:?}, TTM {there:?}"))),
    }
}
