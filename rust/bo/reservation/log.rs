// SPDX-License-Identifier: GPL-2.0

//! The dirty log of a reserved buffer object.
//!
//! C original: the dirty log of `virt/kvm/kvm_main.c`.
#![deny(unsafe_code)]

use super::Reservation;
use crate::{
    abstractions::{
        gate::Gate,
        task::EndedBy, //
    },
    bo::{
        dirty::{
            DirtyLog,
            LogInfo,
            Parts, //
        },
        object::BoRef,
        rules::sizes,
        trace, //
    },
};
use kernel::{
    page::PAGE_SHIFT,
    prelude::*,
    sync::Arc, //
};

impl BoRef {
    /// Reserves the object to change its content, once no fence holds writers back. Otherwise as
    /// [`BoRef::reserve_killable`].
    pub(crate) fn reserve_to_change(&self) -> Result<Reservation<'_>> {
        loop {
            let reservation = self.reserve_killable()?;
            let Some(gate) = reservation.fence() else {
                return Ok(reservation);
            };
            let mode = reservation.log()?.mode().bits();
            drop(reservation);
            trace::log_held(self.id(), mode, None);
            gate.wait(EndedBy::Fatal)?;
        }
    }
}

impl Reservation<'_> {
    /// Returns the number of pages that a log of the object has: those that can be mapped.
    ///
    /// Returns `EINVAL` if its pages are external.
    pub(crate) fn pages_to_log(&self) -> Result<u64> {
        let tt = self.guard.tt.as_ref().ok_or(EINVAL)?;
        if tt.is_external() {
            return Err(EINVAL);
        }
        sizes::pages_for(self.bo.size(), 0, PAGE_SHIFT as u32).map_err(|_| EINVAL)
    }

    /// Returns the log. Returns `ENOENT` if the object does not log.
    pub(crate) fn log(&self) -> Result<&DirtyLog> {
        let tt = self.guard.tt.as_ref();
        tt.and_then(|tt| tt.log()).ok_or(ENOENT)
    }

    /// Returns what the log is like now. Returns `ENOENT` if the object does not log.
    pub(crate) fn log_info(&self) -> Result<LogInfo> {
        self.log().map(DirtyLog::info)
    }

    /// Begins to log writes, in `log`. An object that logs keeps the log that it has, and `log` is
    /// returned. Returns `EINVAL` if its pages are external. May sleep.
    pub(crate) fn start_log(&mut self, log: Arc<DirtyLog>) -> Result<Option<Arc<DirtyLog>>> {
        if log.pages() != self.pages_to_log()? {
            return Err(EINVAL);
        }
        if self.log().is_ok() {
            return Ok(Some(log));
        }
        let (mode, pages, dirty) = (log.mode().bits(), log.pages(), log.dirty());
        // Before entries are protected: a write fault that found no log makes its entry writable before
        // that.
        drop(self.bo.log().replace(Some(log.clone())));
        self.tt()?.start_log(log);
        trace::log_started(self.bo.id(), mode, pages, dirty);
        Ok(None)
    }

    /// Ends the log and returns it, to be dropped when the object is not reserved any more. Returns
    /// `ENOENT` if the object does not log. May sleep.
    ///
    /// Mappings are removed, so that the faults to come map pages to be written to, and many with one
    /// entry, as those of an object that never had a log.
    pub(crate) fn stop_log(&mut self) -> Result<Arc<DirtyLog>> {
        let log = self.tt().ok().and_then(|tt| tt.stop_log()).ok_or(ENOENT)?;
        drop(self.bo.log().replace(None));
        self.unmap()?;
        Ok(log)
    }

    /// Returns what opens when no fence holds writers back any more; `None`: none does.
    #[inline]
    pub(crate) fn fence(&self) -> Option<Arc<Gate>> {
        self.guard.tt.as_ref()?.log()?.fence()
    }

    /// Puts a fence in the log, which opens `gate` if it is the first and once it is gone. When this
    /// returns nothing changes the content any more. Returns the number of the log, or `ENOENT` if the
    /// object does not log. May sleep.
    pub(in crate::bo) fn put_fence(&mut self, gate: Arc<Gate>) -> Result<u64> {
        let number = self.log()?.number();
        self.tt()?.put_fence(gate);
        let log = self.log()?;
        trace::log_fenced(self.bo.id(), log.mode().bits(), log.pages(), log.dirty());
        Ok(number)
    }

    /// Lifts a fence, if it is still the log of this number that it was put in.
    pub(in crate::bo) fn lift_fence(&self, number: u64) {
        if let Some(log) = self.log().ok().filter(|log| log.number() == number) {
            // Before those that wait go on.
            trace::log_unfenced(self.bo.id(), log.mode().bits(), log.pages(), log.dirty());
            log.lift_fence();
        }
    }

    /// Copies the bits of the log to `to`, and clears them if its mode wants that. Returns how many are
    /// set, and the number of the log if they were cleared. `None`: there is no room for them, and nothing
    /// has changed.
    ///
    /// Returns `ENOENT` if the object does not log. May sleep.
    pub(crate) fn get_log(&mut self, to: &mut Parts) -> Result<Option<(u64, Option<u64>)>> {
        let log = self.log()?;
        let (mode, number, pages) = (log.mode(), log.number(), log.pages());
        let (dirty, taken) = if mode.get_clears() {
            (self.tt()?.take_log(to), Some(number))
        } else {
            (log.get(false, to), None)
        };
        if let Some(dirty) = dirty {
            trace::log_got(self.bo.id(), mode.bits(), pages, dirty);
        }
        Ok(dirty.map(|dirty| (dirty, taken)))
    }

    /// Sets bits again that were taken, if it is still the log of this number.
    pub(crate) fn put_back_log(&mut self, number: u64, from: &Parts) {
        if let Ok(tt) = self.tt() {
            tt.put_back_log(number, from);
        }
    }

    /// Sets bits again that were cleared, in words from page `first` on, if it is still the log of this
    /// number.
    pub(crate) fn put_back_words(&mut self, number: u64, first: u64, from: &[u64]) {
        if let Ok(tt) = self.tt() {
            tt.put_back_words(number, first, from);
        }
    }

    /// Clears the bits that are set in `mask`, of the `pages` pages from `first` on, and protects what it
    /// clears. Returns how many, and the number of the log. `mask` becomes those.
    ///
    /// When it returns no user can write to these pages without setting their bits again. Returns
    /// `ENOENT` if the object does not log. May sleep.
    pub(crate) fn clear_log(
        &mut self,
        first: u64,
        pages: u64,
        mask: &mut [u64],
    ) -> Result<(u64, u64)> {
        let log = self.log()?;
        let (mode, number) = (log.mode(), log.number());
        let cleared = self.tt()?.clear_log(first, pages, mask);
        trace::log_cleared(self.bo.id(), mode.bits(), (first, pages), cleared);
        Ok((cleared, number))
    }
}
