// SPDX-License-Identifier: GPL-2.0-or-later

//! The table that leads from a task to its context: how contexts are claimed, found and given back.
//!
//! Contexts are chained by the hash of the key they are claimed with, which is a task's address, and
//! stay in their chain for good. So finding needs no locks and no disabled preemption: if a context
//! carries the address of the task that looks, that very task put it there, and memory that was once
//! a context always is one. Interrupts have contexts of their own and touch nothing here.
//!
//! Only the algorithm is here. Atomics, and what a context is, come from [`Slot`] and [`Head`]: the
//! kernel's are in `rust/lock_order/context/words.rs`, and the loom models have some that try every
//! interleaving and every order in which memory may become visible.

#![deny(unsafe_code)]

/// The word that says whose a context is; 0: free.
pub trait Owner {
    /// Reads it, relaxed.
    fn load(&self) -> usize;
    /// Sets it to `key` if it is 0, and acquires; `false`: it is not 0.
    fn claim(&self, key: usize) -> bool;
    /// Sets it to `key`, relaxed, in a context that is in no chain yet.
    fn set(&self, key: usize);
    /// Sets it to 0, and releases.
    fn free(&self);
}

/// How many contexts of a chain are in use, besides its first one.
pub trait Others {
    /// One more.
    fn add(&self);
    /// One less.
    fn sub(&self);
    /// Whether there are none.
    fn is_none(&self) -> bool;
}

/// A context, as a link of a chain.
pub trait Slot: Sized + 'static {
    /// Its owner.
    type Owner: Owner;
    /// Whose it is.
    fn owner(&self) -> &Self::Owner;
    /// The chain that it is in; `None`: it is the first one there. It does not change once it is in a chain.
    fn chain(&self) -> Option<usize>;
    /// Sets the chain, in a context that is in none yet and is not to be the first.
    fn set_chain(&self, chain: usize);
    /// The one after it in its chain, acquired. Only the first one's changes once it is in a chain.
    fn next(&self) -> Option<&'static Self>;
    /// Sets what comes after it; in a context that is in no chain yet.
    fn set_next(&self, next: Option<&'static Self>);
    /// Puts `new` in the place of `old` after it, and releases; `false`: `old` does not come after it any more.
    fn replace_next(&self, old: Option<&'static Self>, new: &'static Self) -> bool;
}

/// The start of a chain.
pub trait Head<S> {
    /// A number of contexts.
    type Others: Others;
    /// The others that are in use. Not beside what a thread reads that is in a context: they change when
    /// another one enters.
    fn others(&self) -> &Self::Others;
    /// The first context, acquired.
    fn first(&self) -> Option<&'static S>;
    /// Makes it `new`, and releases; `false`: there is one already, which stays.
    fn set_first(&self, new: &'static S) -> bool;
}

/// What was found for a key.
pub enum Found<S: 'static> {
    /// The context that was claimed with this key before.
    Own(&'static S),
    /// One that is claimed with it now.
    Claimed(&'static S),
    /// Neither: none is free.
    Full,
}

/// `N` chains, a power of two.
///
/// # Invariants
///
/// - A context's owner is the key it was claimed with, until the one that claimed it frees it.
/// - A key is in use by one caller at a time, which has claimed one context with it at the most.
/// - Who has claimed a context that is not the first of its chain counts as one of its `others` for as long.
///   So a caller that finds none of them has none but the first.
pub struct Table<H, const N: usize>([H; N]);

impl<H, const N: usize> Table<H, N> {
    /// A table of these chains.
    pub const fn new(heads: [H; N]) -> Self {
        const { assert!(N.is_power_of_two() && N >= 2) };
        Self(heads)
    }

    /// Which chain `key` is in.
    #[inline]
    pub const fn home_index(key: usize) -> usize {
        // Fibonacci hashing.
        let hash = (key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (hash >> (u64::BITS - N.trailing_zeros())) as usize % N
    }

    /// The context that was claimed with `key`, which is not 0 and the caller's own.
    #[inline]
    pub fn find<S: Slot>(&self, key: usize) -> Option<&'static S>
    where
        H: Head<S>,
    {
        self.chain(key).find(|slot| slot.owner().load() == key)
    }

    /// Finds the context that was claimed with `key`, or claims a free one with it. As for
    /// [`find`](Self::find).
    #[inline]
    pub fn find_or_claim<S: Slot>(&self, key: usize) -> Found<S>
    where
        H: Head<S>,
    {
        loop {
            match self.walk(key) {
                Err(own) => return Found::Own(own),
                Ok(Some(slot)) if self.claim(slot, key) => return Found::Claimed(slot),
                // Another one was quicker, and gets on.
                Ok(Some(_)) => continue,
                Ok(None) => return Found::Full,
            }
        }
    }

    /// Claims the first context of its chain with `key`, in one try; `None`: it came to something else, which
    /// [`find_or_claim`](Self::find_or_claim) finds out. For the key 0, too, there is none.
    #[inline]
    pub fn try_claim<S: Slot>(&self, key: usize) -> Option<&'static S>
    where
        H: Head<S>,
    {
        if key == 0 {
            return None;
        }
        let head = self.head(key);
        let first = head.first()?;
        let is_usual = first.owner().load() == 0 && head.others().is_none();
        (is_usual && first.owner().claim(key)).then_some(first)
    }

    /// Gives back a context that the caller has claimed.
    pub fn free<S: Slot>(&self, slot: &S)
    where
        H: Head<S>,
    {
        slot.owner().free();
        if let Some(head) = self.other_of(slot) {
            head.others().sub();
        }
    }

    /// Claims a context with `key`; `false`: it is not free any more.
    #[inline]
    fn claim<S: Slot>(&self, slot: &S, key: usize) -> bool
    where
        H: Head<S>,
    {
        let Some(head) = self.other_of(slot) else {
            return slot.owner().claim(key);
        };
        head.others().add();
        let is_claimed = slot.owner().claim(key);
        if !is_claimed {
            head.others().sub();
        }
        is_claimed
    }

    /// The chain of a context that is not the first one there.
    #[inline]
    fn other_of<S: Slot>(&self, slot: &S) -> Option<&H> {
        self.0.get(slot.chain()?)
    }

    /// The context that was claimed with `key`, as an error; else the first that is free.
    #[inline]
    fn walk<S: Slot>(&self, key: usize) -> Result<Option<&'static S>, &'static S>
    where
        H: Head<S>,
    {
        let mut free = None;
        for slot in self.chain(key) {
            let owner = slot.owner().load();
            if owner == key {
                return Err(slot);
            }
            if owner == 0 && free.is_none() {
                free = Some(slot);
            }
        }
        Ok(free)
    }

    /// Adds a context that is in no chain yet, claimed with `key`.
    pub fn add<S: Slot>(&self, key: usize, slot: &'static S)
    where
        H: Head<S>,
    {
        slot.owner().set(key);
        let head = self.head(key);
        loop {
            let Some(first) = head.first() else {
                if head.set_first(slot) {
                    return;
                }
                continue;
            };
            slot.set_chain(Self::home_index(key));
            head.others().add();
            loop {
                let next = first.next();
                slot.set_next(next);
                if first.replace_next(next, slot) {
                    return;
                }
            }
        }
    }

    /// All contexts, free ones as well.
    pub fn all<S: Slot>(&self) -> impl Iterator<Item = &'static S> + '_
    where
        H: Head<S>,
    {
        self.0.iter().flat_map(|head| chain(head.first()))
    }

    #[inline]
    fn chain<S: Slot>(&self, key: usize) -> impl Iterator<Item = &'static S>
    where
        H: Head<S>,
    {
        chain(self.head(key).first())
    }

    #[inline]
    fn head(&self, key: usize) -> &H {
        &self.0[Self::home_index(key)]
    }
}

#[inline]
fn chain<S: Slot>(first: Option<&'static S>) -> impl Iterator<Item = &'static S> {
    core::iter::successors(first, |slot| slot.next())
}
