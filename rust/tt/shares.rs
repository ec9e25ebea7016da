// SPDX-License-Identifier: GPL-2.0

//! Whom a buffer object's pages are charged to besides the books: its open file.
//!
//! A populate first makes a [`Claim`], which makes room. What becomes of it is decided when the
//! populate ends; so whatever way it fails, nobody is charged for it.

use super::{
    books::Books,
    holder::Holder,
    table::Reclaim,
    whose::Whose, //
};
use crate::{
    ffi::{
        member_list::Linked,
        task, //
    },
    pure::file_limit::{
        self,
        Verdict, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// Whom a buffer object's pages are charged to. What is left is given back when it is dropped.
pub(crate) struct Shares {
    /// The open file it belongs to.
    holder: Option<Arc<Linked<Holder>>>,
    /// Pages charged to it; written with the reservation held.
    pages: Atomic<u64>,
}

impl Shares {
    /// Nothing is charged to anybody yet. `None`: it is no file's.
    pub(super) fn new(holder: Option<Arc<Linked<Holder>>>) -> Self {
        Self {
            holder,
            pages: Atomic::new(0),
        }
    }

    /// Whether the object is this open file's.
    #[inline]
    pub(super) fn are_of(&self, holder: &Linked<Holder>) -> bool {
        let own = self.holder.as_deref();
        own.is_some_and(|own| core::ptr::eq(own, holder))
    }

    /// Charges pages for a populate that begins; `wanted` says how many the object has in all and
    /// how many are missing. Over a limit, `reclaim` is asked to swap out others of who is; when there is none left, the
    /// populate goes on.
    ///
    /// `ENOMEM`: the limits are hard, and it can't be kept; `EINTR`: a fatal signal; or what
    /// swapping out failed with. May sleep. The reservation is held.
    #[inline]
    pub(super) fn claim(
        &self,
        books: &Books,
        wanted: impl FnOnce() -> (u64, u64),
        reclaim: &impl Reclaim,
    ) -> Result<Claim<'_>> {
        let Some(holder) = self.holder.as_deref() else {
            return Ok(Claim(None));
        };
        let (total, missing) = wanted();
        holder.begin(missing);
        let mut claimed = Claimed {
            shares: self,
            holder,
            pages: missing,
            over: false,
        };
        claimed.over = make_room(books, holder, total, reclaim)?;
        Ok(Claim(Some(claimed)))
    }

    /// Gives back what is charged for more than `pages` pages: the object has lost the others. The
    /// reservation is held, or nobody else knows the object.
    #[inline]
    pub(super) fn reduce_to(&self, pages: u64) {
        let Some(holder) = &self.holder else {
            return;
        };
        let before = self.pages.load(Relaxed);
        if pages < before {
            self.pages.store(pages, Relaxed);
            holder.release(before - pages);
        }
    }
}

impl Drop for Shares {
    fn drop(&mut self) {
        self.reduce_to(0);
    }
}

/// What a populate charged beforehand; dropping it gives it back.
#[must_use]
pub(super) struct Claim<'a>(Option<Claimed<'a>>);

impl Claim<'_> {
    /// The populate succeeded: the pages stay charged until [`Shares::reduce_to`].
    #[inline]
    pub(super) fn keep(self) {
        let Some(mut claimed) = self.0 else {
            return;
        };
        let pages = core::mem::take(&mut claimed.pages);
        let held = &claimed.shares.pages;
        held.store(held.load(Relaxed) + pages, Relaxed);
        claimed.holder.finish(pages, claimed.over);
    }
}

struct Claimed<'a> {
    shares: &'a Shares,
    holder: &'a Holder,
    pages: u64,
    /// The holder's limit is not kept.
    over: bool,
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        if self.pages != 0 {
            self.holder.abort(self.pages);
        }
    }
}

/// Swaps out others of the holder's until it is in its limit. `true`: there was none left, and it
/// still is not. `ENOMEM`: likewise, but the limits are hard; or `total` by itself is more.
fn make_room(
    books: &Books,
    holder: &Linked<Holder>,
    total: u64,
    reclaim: &impl Reclaim,
) -> Result<bool> {
    loop {
        let hard = books.limits.are_hard();
        match file_limit::judge(holder.charged(), total, holder.limit(), hard) {
            Verdict::Fits => return Ok(false),
            Verdict::MakeRoom => {
                task::breathe()?;
                if reclaim.swap_out_one_of(Whose::Files(holder))? != 0 {
                    continue;
                }
                if !hard {
                    return Ok(true);
                }
            }
            Verdict::Refuse => {}
        }
        books.statistics.refusals.count();
        return Err(ENOMEM);
    }
}
