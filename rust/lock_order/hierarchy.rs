// SPDX-License-Identifier: GPL-2.0

//! The table of registered hierarchies.
//!
//! A hierarchy is a slot of a static table, and C's opaque pointer is the slot's address. So the
//! record path needs no indirection, and even a stale or wrong pointer from a caller never leads
//! out of memory that is ours: at worst it names a free slot, which knows no orders.

mod names;

use self::names::MAX_NAME;
use super::{
    across,
    rules::{
        conflict::{
            order_bit,
            Attributes,
            Group,
            Rule,
            Rules,
            MAX_GROUPS,
            MAX_ORDERS,
            MAX_RULES,
            SLOTS, //
        },
        flags::{
            EXCLUSIVE,
            SHARED, //
        },
        held::fast::Plain,
        plain::{
            is_plain,
            nests_plainly,
            order_mark, //
        },
        violation::KINDS, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        barrier,
        rcu, //
    },
};
pub(crate) use names::{
    Names,
    Shown, //
};

/// How many hierarchies can be registered at once.
pub(crate) const MAX_HIERARCHIES: usize = 64;

const FREE: u32 = 0;
const CHANGING: u32 = 1;
const LIVE: u32 = 2;

/// Violations of a quiet hierarchy are counted by it alone and not logged.
pub(crate) const QUIET: u32 = 1 << 0;
/// A thread's first record gives it a context.
pub(crate) const AUTOMATIC: u32 = 1 << 1;
/// Not even a kernel thread's record does.
pub(crate) const STRICT: u32 = 1 << 2;

/// How many generations of a slot are told apart: what the low bits of a handle can say.
const GENERATIONS: u32 = 1 << 10;

/// For each order and for none, a set of orders.
type OrderSets = [Atomic<u64>; MAX_ORDERS as usize + 1];

/// One slot of the table.
///
/// # Invariants
///
/// - `names` is null, or a `KBox<Names>` that this slot owns and that outlives an RCU grace period
///   after it was taken out.
/// - `count`, `nests` and the marks in `plain_after` are not 0 only while the slot is live.
/// - Only slots of [`TABLE`] exist.
#[repr(C, align(2048))]
pub(crate) struct Hierarchy {
    /// Which orders were taken right after each, and are correct there by the order alone: what the
    /// fast path asks. The first field, see [`Known`].
    plain_after: OrderSets,
    /// Which orders were taken while each was held, correct or not.
    taken_after: OrderSets,
    /// Which were taken right after another lock of their own, and are correct there by the order and the key
    /// alone.
    nests: Atomic<u64>,
    /// The handle, if locks of other hierarchies never forbid taking one of this; else, or where it is not
    /// live, 0.
    unbarred: Atomic<usize>,
    count: Atomic<u32>,
    state: Atomic<u32>,
    /// How often the slot was freed, below [`GENERATIONS`]: part of handles and ids.
    generation: Atomic<u32>,
    /// The orders that rules or attributes speak of.
    ruled: Atomic<u64>,
    /// The attributes of orders, see [`Attributes`].
    sleeps: Atomic<u64>,
    spins: Atomic<u64>,
    irq_safe: Atomic<u64>,
    recursive: Atomic<u64>,
    /// What each group is under; 0: it is free. Its orders.
    under: [Atomic<u32>; MAX_GROUPS],
    grouped: [Atomic<u64>; MAX_GROUPS],
    nestable: Atomic<u64>,
    options: Atomic<u32>,
    violations: Atomic<u64>,
    names: Atomic<*mut Names>,
    rules: [Atomic<u32>; MAX_RULES],
}

const SLOT: usize = core::mem::size_of::<Hierarchy>();
const _: () = {
    assert!(SLOTS as usize == MAX_HIERARCHIES);
    assert!(SLOT == 2048, "a slot has a place for any byte as an index");
    assert!(GENERATIONS as usize <= SLOT);
    assert!(core::mem::offset_of!(Hierarchy, plain_after) == 0);
};

static TABLE: [Hierarchy; MAX_HIERARCHIES] = [const { Hierarchy::new() }; MAX_HIERARCHIES];

/// Where the next one is looked for.
static NEXT: Atomic<u32> = Atomic::new(0);

/// Violations by kind, over all hierarchies that are not quiet.
static BY_KIND: [Atomic<u64>; KINDS] = [const { Atomic::new(0) }; KINDS];

/// The slot of the hierarchy with this handle.
fn slot_of(handle: usize) -> u8 {
    (handle.wrapping_sub(&raw const TABLE as usize) / SLOT) as u8
}

/// See [`Rules::barred_from`].
fn barred_from(taken: usize, held: usize) -> u8 {
    across::barred_from(slot_of(taken), slot_of(held))
}

impl Hierarchy {
    const fn new() -> Self {
        Self {
            plain_after: [const { Atomic::new(0) }; _],
            taken_after: [const { Atomic::new(0) }; _],
            nests: Atomic::new(0),
            unbarred: Atomic::new(0),
            count: Atomic::new(0),
            state: Atomic::new(FREE),
            generation: Atomic::new(0),
            ruled: Atomic::new(0),
            sleeps: Atomic::new(0),
            spins: Atomic::new(0),
            irq_safe: Atomic::new(0),
            recursive: Atomic::new(0),
            under: [const { Atomic::new(0) }; MAX_GROUPS],
            grouped: [const { Atomic::new(0) }; MAX_GROUPS],
            nestable: Atomic::new(0),
            options: Atomic::new(0),
            violations: Atomic::new(0),
            names: Atomic::new(core::ptr::null_mut()),
            rules: [const { Atomic::new(0) }; MAX_RULES],
        }
    }

    /// The hierarchy that `handle` names; `None`: it names none, or one that was unregistered.
    #[inline(always)]
    pub(crate) fn at(handle: usize) -> Option<&'static Self> {
        let offset = handle.wrapping_sub(&raw const TABLE as usize);
        let slot = TABLE.get(offset / SLOT)?;
        if (offset % SLOT) as u32 != slot.generation.load(Relaxed) {
            return None;
        }
        Some(slot)
    }

    /// The hierarchy that `handle` names; `None`: it names none, or one of which locks of others may forbid
    /// taking one.
    #[inline(always)]
    pub(crate) fn unbarred(handle: usize) -> Option<Known> {
        let offset = handle.wrapping_sub(&raw const TABLE as usize);
        let slot = TABLE.get(offset / SLOT)?;
        // INVARIANT: It is the address of a slot.
        (slot.unbarred.load(Relaxed) == handle).then_some(Known(core::ptr::from_ref(slot) as usize))
    }

    /// Says of each hierarchy whether locks of others may forbid taking one: that was declared, or forgotten.
    /// One caller at a time.
    pub(crate) fn note_barred() {
        for (id, slot) in Self::all() {
            let barred = across::speaks_of(id);
            let handle = if barred { 0 } else { slot.handle() };
            if slot.unbarred.xchg(handle, Full) == handle {
                continue;
            }
            if barred {
                // The exchange pairs with the barrier in `note_taken`: either it is seen there or the mark here.
                slot.forget_plain();
            } else {
                slot.note_plain();
            }
        }
    }

    /// Marks what was taken before and is correct by the order alone.
    fn note_plain(&self) {
        self.with_rules(|rules| {
            for previous in 0..=MAX_ORDERS {
                for order in self.taken_after(previous) {
                    self.note_taken(rules, previous as u8, order);
                }
            }
        });
    }

    /// What callers name it by: where it is, and its generation.
    pub(crate) fn handle(&self) -> usize {
        core::ptr::from_ref(self) as usize + self.generation.load(Relaxed) as usize
    }

    /// The hierarchy with this handle; `None`: it was unregistered.
    pub(crate) fn live(handle: usize) -> Option<&'static Self> {
        Self::at(handle).filter(|slot| slot.count() != 0)
    }

    /// Whether `handle` names this slot, in whichever generation.
    pub(crate) fn is_slot_of(&self, handle: usize) -> bool {
        handle & !(SLOT - 1) == core::ptr::from_ref(self) as usize
    }

    /// The slot with this index.
    pub(crate) fn in_slot(index: u8) -> Option<&'static Self> {
        TABLE.get(usize::from(index))
    }

    /// The slot with id 0, which is the module's own.
    #[inline(always)]
    pub(crate) fn first() -> &'static Self {
        &TABLE[0]
    }

    /// All live slots, with their ids.
    pub(crate) fn all() -> impl Iterator<Item = (u8, &'static Self)> {
        (0u8..)
            .zip(&TABLE)
            .filter(|(_, slot)| slot.state.load(Acquire) == LIVE)
    }

    /// The handle of the one with this name. ENOENT: there is none. ENOTUNIQ: there are several.
    pub(crate) fn named(name: &[u8]) -> Result<usize> {
        let name = name.get(..MAX_NAME).unwrap_or(name);
        let mut found = Err(ENOENT);
        for (_, slot) in Self::all() {
            let handle = slot.handle();
            let is_it = slot.options.load(Relaxed) & QUIET == 0
                && slot.with_names(|names| names.is_some_and(|names| names.name() == name));
            match found {
                Err(_) if is_it => found = Ok(handle),
                Ok(_) if is_it => return Err(ENOTUNIQ),
                _ => (),
            }
        }
        found
    }

    /// The one with this handle, if it has this order and is not about to be unregistered.
    pub(crate) fn live_with(handle: usize, order: u32) -> Option<&'static Self> {
        let slot = Self::at(handle)?;
        let has = slot.state.load(Acquire) == LIVE && order != 0 && order <= slot.count();
        has.then_some(slot)
    }

    /// The slot's index.
    pub(crate) fn id(&self) -> u8 {
        slot_of(core::ptr::from_ref(self) as usize)
    }

    /// Number of orders; 0: not registered.
    #[inline(always)]
    pub(crate) fn count(&self) -> u32 {
        self.count.load(Relaxed)
    }

    /// Whether `order` was taken while `previous` was held before.
    #[inline]
    pub(crate) fn was_taken(&self, previous: u8, order: u32) -> bool {
        let row = self.taken_after.get(usize::from(previous));
        row.is_some_and(|row| row.load(Relaxed) & order_mark(order as u8) != 0)
    }

    /// Whether rules or attributes speak of taking `order`.
    #[inline]
    pub(crate) fn is_ruled(&self, order: u32) -> bool {
        self.ruled.load(Relaxed) & order_bit(order) != 0
    }

    /// Whether attributes speak of taking `order`.
    #[inline]
    pub(crate) fn has_attributes(&self, order: u32) -> bool {
        let all = [&self.sleeps, &self.spins, &self.irq_safe, &self.recursive];
        all.iter()
            .any(|set| set.load(Relaxed) & order_bit(order) != 0)
    }

    /// Whether no rule is about taking `order` while `held` is held so, whatever else is.
    #[inline]
    pub(crate) fn obeys(&self, order: u32, held: u8, exclusive: bool) -> bool {
        let mode = if exclusive { EXCLUSIVE } else { SHARED };
        !self.rules().any(|rule| {
            u32::from(rule.order) == order
                && rule.while_held == held
                && u32::from(rule.mode) & mode != 0
        })
    }

    /// Whether several locks of `order` may be held.
    #[inline]
    pub(crate) fn is_nestable(&self, order: u32) -> bool {
        self.nestable.load(Relaxed) & order_bit(order) != 0
    }

    /// Whether a record gives a context to a thread that has none, which `is_kernel` thread or not.
    pub(crate) fn gives_contexts(&self, is_kernel: impl FnOnce() -> bool) -> bool {
        match self.options.load(Relaxed) {
            options if options & AUTOMATIC != 0 => true,
            options => options & STRICT == 0 && is_kernel(),
        }
    }

    /// Whether there is a hierarchy, besides the module's own, whose records give contexts to a thread,
    /// which `is_kernel` thread or not.
    pub(crate) fn some_give_contexts(is_kernel: bool) -> bool {
        Self::all().any(|(id, slot)| id != 0 && slot.gives_contexts(|| is_kernel))
    }

    /// Notes that `order` was taken while those of the set `held` were.
    pub(crate) fn note_edges(&self, rules: &Rules<'_>, held: u64, order: u32) {
        let after = self.taken_after.iter().enumerate().skip(1);
        for (_, row) in after.filter(|&(n, _)| held & order_bit(n as u32) != 0) {
            if rules.has(order) {
                set(row, order_mark(order as u8));
            }
        }
    }

    /// Notes that `order` was taken right after `previous`.
    ///
    /// Cheap when it is no news, which is the usual: then nothing is written.
    pub(crate) fn note_taken(&self, rules: &Rules<'_>, previous: u8, order: u32) {
        let mark = order_mark(order as u8);
        let after = usize::from(previous);
        if let Some(row) = self.taken_after.get(after).filter(|_| rules.has(order)) {
            set(row, mark);
        }
        let is_free = || {
            let is_ruled = previous != 0 && self.is_ruled(order);
            let is_barred = across::speaks_of(self.id());
            self.count() != 0 && !is_ruled && !is_barred && !self.has_attributes(order)
        };
        let place = if is_plain(rules, previous, order) {
            self.plain_after.get(after)
        } else if u32::from(previous) == order && nests_plainly(rules, order) {
            Some(&self.nests)
        } else {
            None
        };
        if let Some(place) = place {
            set(place, mark);
            // Pairs with `is_plain_no_more` and `note_barred`: either the new rule is seen here or the mark there.
            barrier::smp_mb(barrier::Full);
            if !is_free() {
                clear(place, mark);
            }
        }
    }

    /// Which orders were taken while `previous` was held; 0: with nothing held of this hierarchy.
    pub(crate) fn taken_after(&self, previous: u32) -> impl Iterator<Item = u32> {
        let row = self.taken_after.get(previous as usize);
        let set = row.map_or(0, |row| row.load(Relaxed));
        (1..=MAX_ORDERS).filter(move |&order| set & order_mark(order as u8) != 0)
    }

    /// Registers a hierarchy in a free slot: the one that was free longest, or nearly. ENOSPC: there
    /// is none.
    ///
    /// Where `is_home` says of a slot that a thread's last lock was of a hierarchy that was there, that
    /// slot is taken only if there is no other: the thread's fast path would take a stale handle for it.
    ///
    /// May sleep only in so far as `names` was allocated before and `is_home` does.
    pub(crate) fn register(
        names: KBox<Names>,
        options: u32,
        is_home: impl Fn(&Self) -> bool,
    ) -> Result<&'static Self> {
        let count = names.count();
        if count == 0 || count > MAX_ORDERS {
            return Err(EINVAL);
        }
        // One after the other, so that a stale handle is not soon another's slot.
        let from = NEXT.load(Relaxed) as usize;
        for n in 0..2 * MAX_HIERARCHIES {
            let at = (from + n) % MAX_HIERARCHIES;
            let Some(slot) = TABLE.get(at) else { continue };
            if slot.state.cmpxchg(FREE, CHANGING, Full).is_err() {
                continue;
            }
            if n < MAX_HIERARCHIES && is_home(slot) {
                slot.state.store(FREE, Release);
                continue;
            }
            NEXT.store((at as u32 + 1) % MAX_HIERARCHIES as u32, Relaxed);
            slot.options.store(options, Relaxed);
            slot.violations.store(0, Relaxed);
            slot.nestable.store(0, Relaxed);
            slot.forget_attributes();
            slot.forget_taken();
            for rule in &slot.rules {
                rule.store(0, Relaxed);
            }
            // Whatever is declared of it is so once it is live.
            slot.unbarred.store(slot.handle(), Relaxed);
            // INVARIANT: The slot takes the ownership of the box.
            slot.names.store(KBox::into_raw(names), Release);
            slot.state.store(LIVE, Release);
            slot.count.store(count, Release);
            return Ok(slot);
        }
        Err(ENOSPC)
    }

    /// Frees the slot, unless `is_held` says that a thread holds one of its locks.
    ///
    /// EINVAL: it is not registered. EBUSY: held. May sleep (waits for an RCU grace period).
    pub(crate) fn unregister(&self, is_held: impl FnOnce(usize) -> bool) -> Result {
        if self.state.cmpxchg(LIVE, CHANGING, Full).is_err() {
            return Err(EINVAL);
        }
        if is_held(self.handle()) {
            self.state.store(LIVE, Release);
            return Err(EBUSY);
        }
        self.unbarred.store(0, Relaxed);
        self.count.store(0, Relaxed);
        self.forget_taken();
        // From now on what is recorded of it is of no hierarchy, and its handle a stale one.
        let next = (self.generation.load(Relaxed) + 1) % GENERATIONS;
        self.generation.store(next, Relaxed);
        let names = self.names.xchg(core::ptr::null_mut(), Full);
        rcu::synchronize_rcu();
        if !names.is_null() {
            // SAFETY: By the invariant of `names` this was a box of ours, and nothing else took it
            // out: the exchange above is atomic. No reader that saw it is left after the grace
            // period.
            drop(unsafe { KBox::from_raw(names) });
        }
        self.state.store(FREE, Release);
        Ok(())
    }

    /// Hands the names to `f`, or `None` if the slot was unregistered meanwhile.
    ///
    /// `f` runs in an RCU read-side section and must not sleep.
    pub(crate) fn with_names<R>(&self, f: impl FnOnce(Option<&Names>) -> R) -> R {
        let _guard = rcu::read_lock();
        let names = self.names.load(Acquire);
        // SAFETY: By the invariant of `names` it is null or stays valid until a grace period
        // after it is taken out, which cannot end before the guard is dropped.
        f(unsafe { names.as_ref() })
    }

    /// Adds a conflict rule. EINVAL: it names no orders of this hierarchy, or no mode. ENOSPC.
    pub(crate) fn add_rule(&self, rule: Rule) -> Result {
        if !rule.is_valid(self.count()) {
            return Err(EINVAL);
        }
        for word in &self.rules {
            if word.cmpxchg(0, rule.pack(), Full).is_ok() {
                self.is_plain_no_more(rule.order.into());
                return Ok(());
            }
        }
        Err(ENOSPC)
    }

    /// More than the order decides from now on whether `order` may be taken.
    fn is_plain_no_more(&self, order: u32) {
        set(&self.ruled, order_bit(order));
        barrier::smp_mb(barrier::Full);
        // Where nothing is held no rule forbids it, but an attribute may.
        let from = usize::from(!self.has_attributes(order));
        let after = self.plain_after.iter().skip(from);
        for set in Iterator::chain(after, [&self.nests]) {
            clear(set, order_mark(order as u8));
        }
    }

    /// Gives `order` these attributes: the same sets, each all or nothing of it. EINVAL: there is no such
    /// order, or no lock can be all of them.
    pub(crate) fn set_attributes(&self, order: u32, wanted: Attributes) -> Result {
        let bit = order_bit(order);
        let excludes = |a: u64, b: u64| a & bit != 0 && b & bit != 0;
        let sleeps = wanted.sleeps | self.sleeps.load(Relaxed);
        let spins = wanted.spins | self.spins.load(Relaxed);
        let irq_safe = wanted.irq_safe | self.irq_safe.load(Relaxed);
        if order == 0 || order > self.count() || excludes(sleeps, spins | irq_safe) {
            return Err(EINVAL);
        }
        set(&self.sleeps, wanted.sleeps & bit);
        set(&self.spins, wanted.spins & bit);
        set(&self.irq_safe, wanted.irq_safe & bit);
        set(&self.recursive, wanted.recursive & bit);
        self.is_plain_no_more(order);
        Ok(())
    }

    /// Lets locks of `order`, and of others for which the same was said, be taken in any order while
    /// `under` is held. EINVAL: there are no such orders, or `under` is not the outer one. ENOSPC.
    pub(crate) fn set_any_order(&self, order: u32, under: u32) -> Result {
        if under == 0 || under >= order || order > self.count() {
            return Err(EINVAL);
        }
        for (place, grouped) in self.under.iter().zip(&self.grouped) {
            if place.load(Relaxed) == under || place.cmpxchg(0, under, Full).is_ok() {
                set(grouped, order_bit(order));
                return Ok(());
            }
        }
        Err(ENOSPC)
    }

    fn attributes(&self) -> Attributes {
        let mut groups = [Group::default(); MAX_GROUPS];
        let places = self.under.iter().zip(&self.grouped);
        for (group, (under, orders)) in groups.iter_mut().zip(places) {
            *group = Group {
                orders: orders.load(Relaxed),
                under: under.load(Relaxed) as u8,
            };
        }
        Attributes {
            sleeps: self.sleeps.load(Relaxed),
            spins: self.spins.load(Relaxed),
            irq_safe: self.irq_safe.load(Relaxed),
            recursive: self.recursive.load(Relaxed),
            groups,
        }
    }

    fn forget_attributes(&self) {
        let sets = [
            &self.ruled,
            &self.sleeps,
            &self.spins,
            &self.irq_safe,
            &self.recursive,
        ];
        for set in Iterator::chain(sets.into_iter(), &self.grouped) {
            set.store(0, Relaxed);
        }
        for under in &self.under {
            under.store(0, Relaxed);
        }
    }

    /// Forgets which orders were taken after which.
    pub(crate) fn forget_taken(&self) {
        self.forget_plain();
        for set in &self.taken_after {
            set.store(0, Relaxed);
        }
    }

    /// From now on each use is asked for.
    fn forget_plain(&self) {
        for set in Iterator::chain(self.plain_after.iter(), [&self.nests]) {
            set.store(0, Relaxed);
        }
    }

    fn rules(&self) -> impl Iterator<Item = Rule> + '_ {
        let words = self.rules.iter().map(|word| word.load(Relaxed));
        words.take_while(|&word| word != 0).map(Rule::unpack)
    }

    /// Lets `order` be nested by ascending key. EINVAL: there is no such order.
    pub(crate) fn set_nestable(&self, order: u32) -> Result {
        if order == 0 || order > self.count() {
            return Err(EINVAL);
        }
        set(&self.nestable, order_bit(order));
        Ok(())
    }

    /// Hands the rules, as plain values, to `f`.
    pub(crate) fn with_rules<R>(&self, f: impl FnOnce(&Rules<'_>) -> R) -> R {
        let mut conflicts = [Rule::default(); MAX_RULES];
        let mut n = 0;
        for (copy, rule) in conflicts.iter_mut().zip(self.rules()) {
            *copy = rule;
            n += 1;
        }
        f(&Rules {
            token: self.handle(),
            count: self.count(),
            nestable: self.nestable.load(Relaxed),
            conflicts: conflicts.get(..n).unwrap_or(&[]),
            attributes: self.attributes(),
            is_barred: across::speaks_of(self.id()),
            barred_from,
            slot_of,
        })
    }

    /// Counts a violation of this kind. Returns whether it is to be logged.
    pub(crate) fn count_violation(&self, kind: usize) -> bool {
        self.violations.fetch_add(1, Relaxed);
        if self.options.load(Relaxed) & QUIET != 0 {
            return false;
        }
        count_violation(kind);
        true
    }

    /// How many violations this hierarchy has seen since it was registered.
    pub(crate) fn violations(&self) -> u64 {
        self.violations.load(Relaxed)
    }
}

/// Frees the slots of all hierarchies that are registered still: at the end of the module, of drivers
/// that bind at run time and hold no reference.
pub(super) fn unregister_all() {
    for slot in &TABLE {
        // Fails only if it is not registered.
        let _ = slot.unregister(|_| false);
    }
}

/// What the fast paths ask of the hierarchy with this handle.
///
/// # Invariants
///
/// The handle named a slot once.
pub(crate) struct Known(usize);

impl Known {
    /// Of the hierarchy with this handle.
    ///
    /// # Safety
    ///
    /// The handle must be one that named a slot once, or nothing be asked of the result.
    #[inline(always)]
    pub(crate) unsafe fn new(handle: usize) -> Self {
        // INVARIANT: By this function's contract, whenever it matters.
        Self(handle)
    }
}

impl Plain for Known {
    /// None of a hierarchy that is not registered any more.
    #[inline(always)]
    fn after(&self, previous: u8) -> u64 {
        let row = core::ptr::with_exposed_provenance::<Atomic<u64>>(self.0 & !(SLOT - 1));
        // SAFETY: The handle is a slot of the table and a generation, by the type's invariant, so the row
        // lies in the slot, which is static: it starts with `plain_after`, and any byte is an index inside
        // of the slot, whose words are all atomics. No order is above MAX_ORDERS, but if one were, the
        // result would be wrong, and no more.
        let row = unsafe { &*row.wrapping_add(previous.into()) };
        row.load(Relaxed)
    }

    #[inline(always)]
    fn nests(&self) -> u64 {
        let slot = core::ptr::with_exposed_provenance::<Hierarchy>(self.0 & !(SLOT - 1));
        // SAFETY: The handle is a slot of the table and a generation, by the type's invariant, and slots
        // are static.
        unsafe { &*slot }.nests.load(Relaxed)
    }
}

fn change(word: &Atomic<u64>, to: impl Fn(u64) -> u64) {
    let mut old = word.load(Relaxed);
    while to(old) != old {
        match word.cmpxchg(old, to(old), Full) {
            Ok(_) => return,
            Err(now) => old = now,
        }
    }
}

fn set(word: &Atomic<u64>, bits: u64) {
    change(word, |old| old | bits);
}

fn clear(word: &Atomic<u64>, bits: u64) {
    change(word, |old| old & !bits);
}

/// Counts a violation that belongs to no live hierarchy.
pub(crate) fn count_violation(kind: usize) {
    if let Some(counter) = BY_KIND.get(kind) {
        counter.fetch_add(1, Relaxed);
    }
}

/// Violations found so far in all hierarchies that are not quiet.
pub(crate) fn total_violations() -> u64 {
    BY_KIND.iter().map(|counter| counter.load(Relaxed)).sum()
}

/// A hierarchy registered by the module itself; dropping it unregisters it.
pub(crate) struct Registered(&'static Hierarchy);

impl Registered {
    /// Registers a hierarchy with these orders, outermost first. May sleep.
    ///
    /// A quiet one's violations are not logged and count for it alone; every thread has to enter a
    /// context.
    pub(super) fn new(name: &str, orders: &[&str], quiet: bool) -> Result<Self> {
        let names = Names::new(name.as_bytes(), orders.iter().map(|order| order.as_bytes()))?;
        let options = if quiet { QUIET | STRICT } else { 0 };
        Hierarchy::register(KBox::new(names, GFP_KERNEL)?, options, |_| false).map(Self)
    }

    /// Returns the hierarchy.
    pub(super) fn hierarchy(&self) -> &'static Hierarchy {
        self.0
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // Fails only if it is still held; then there is nothing better to do than to leave it.
        let _ = self.0.unregister(|_| false);
    }
}

/// Room for the names of a hierarchy and of an order, joined.
pub(crate) type Joined = [u8; 2 * MAX_NAME + 1];

/// The name of `order` of the hierarchy in the slot `other`, minus 1, as `HIERARCHY.ORDER`; `"?"` if it is
/// gone.
pub(crate) fn joined(joined: &mut Joined, other: u8, order: u32) -> &[u8] {
    let slot = other.checked_sub(1).and_then(Hierarchy::in_slot);
    let len = slot.map_or(0, |slot| {
        slot.with_names(|names| {
            let Some(names) = names else { return 0 };
            let parts = [names.name(), b".", names.order(order)];
            let mut len = 0;
            for (place, &byte) in joined.iter_mut().zip(parts.into_iter().flatten()) {
                *place = byte;
                len += 1;
            }
            len
        })
    });
    match joined.get(..len) {
        Some(name) if len != 0 => name,
        _ => b"?",
    }
}
