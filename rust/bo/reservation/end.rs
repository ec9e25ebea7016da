// SPDX-License-Identifier: GPL-2.0

//! How objects end, when their last use is dropped.
//!
//! C original: `ttm_bo_put()` and `ttm_bo_release()`.
#![deny(unsafe_code)]

use super::Reservation;
use crate::{
    abstractions::{
        list::Linked,
        task, //
    },
    bo::{
        driver::Leaving,
        object::BoRef,
        rules::state::State,
        tt::Tt, //
    },
    lock_order::with_context, //
};

impl Drop for BoRef {
    #[inline]
    fn drop(&mut self) {
        if self.0.drop_use() {
            if !self.end_alone() {
                self.end_shared();
            }
            self.0.device().accounting().object_gone();
            if let Some(driver) = self.0.driver() {
                driver.released();
            }
            self.0.device().remove_object();
            task::cond_resched();
        }
    }
}

impl BoRef {
    /// Ends what holds nothing, and what nothing else refers to: no list, no walk through one, no mapping. So there is
    /// nothing to wait for. Returns `false` if it is not like that.
    #[inline(always)]
    fn end_alone(&mut self) -> bool {
        match Linked::get_mut(&mut self.0) {
            Some(bo) => bo.end(),
            None => false,
        }
    }

    /// Ends what others may find, or what holds something.
    #[inline(never)]
    fn end_shared(&self) {
        with_context(|| {
            // A driver may have locked other objects. Those that have this one reserved, to evict it, wait for
            // none.
            let tried = self.0.reserved().try_lock();
            let reservation =
                tried.map_or_else(|| self.reserve(), |guard| Reservation::new(&self.0, guard));
            reservation.destroy();
        });
    }
}

impl Reservation<'_> {
    /// Destroys what the object holds, whether or not it is pinned.
    pub(super) fn destroy(mut self) {
        if self.guard.tt.as_ref().map_or(0, Tt::resident_pages) != 0 {
            let _ = self.ask_driver(Leaving::Final);
        }
        if self.state() != State::Empty {
            self.empty();
        }
        if self.log().is_ok() {
            drop(self.bo.log().replace(None));
        }
        self.guard.pins = 0;
        if self.guard.pin_charge.is_some() {
            self.guard.pin_charge = None;
        }
        self.guard.tt = None;
        self.guard.marker = None;
    }
}
