// SPDX-License-Identifier: GPL-2.0

//! The pool: free pages that are kept for the next TT, cleared.
//!
//! Pages that are not plain memory are expensive to make, because all processors have to flush their
//! caches; so they are kept. Plain pages are kept when they would have to be cleared for the next
//! owner anyway. There is a free list per memory node, kind and order.
//!
//! C original: `ttm_pool.c`.
#![deny(unsafe_code)]

pub(crate) mod alloc;

use super::{
    counters::Event,
    limits::PoolCap,
    pages::{
        block::Block,
        free_list::FreeLists, //
    },
    rules::{
        page_kind::PageKind,
        pool::{
            self as rules,
            FreeCounts,
            KINDS, //
        }, //
    },
    trace::{
        self,
        Histogram, //
    }, //
};
use crate::{
    abstractions::{
        page,
        task, //
    },
    lock_order::{
        classes::PoolNode,
        typed::SpinLock, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// The pool that all devices share. Dropping it gives everything back to the system.
pub(crate) struct Pool {
    nodes: KVec<Pin<KBox<Node>>>,
    /// Pages kept of each kind, on all nodes. Raised before they are put in, lowered after they
    /// were taken out.
    kept: [Atomic<u64>; KINDS],
    cap: PoolCap,
    /// What happened so far.
    pub(crate) statistics: PoolStatistics,
}

/// What happened to a pool so far.
pub(crate) struct PoolStatistics {
    /// Calls of its shrinker.
    pub(crate) scans: Event,
    /// Pages that these gave back.
    pub(crate) scanned_pages: Event,
    /// How long it took to give pages of one node back, for whatever reason.
    pub(crate) shrink_times: Histogram,
}

/// What is kept of one memory node.
#[pin_data]
struct Node {
    #[pin]
    lists: SpinLock<FreeLists, PoolNode>,
}

impl Pool {
    /// Makes an empty pool. Returns `ENOMEM` if there is no memory. May sleep.
    pub(super) fn new(cap: PoolCap) -> Result<Arc<Self>> {
        let mut nodes = KVec::with_capacity(page::nodes(), GFP_KERNEL)?;
        for _ in 0..page::nodes() {
            let node = KBox::pin_init(
                pin_init!(Node {
                    lists <- SpinLock::new(FreeLists::new()),
                }),
                GFP_KERNEL,
            )?;
            nodes.push(node, GFP_KERNEL)?;
        }
        Ok(Arc::new(
            Self {
                nodes,
                kept: [const { Atomic::new(0) }; KINDS],
                cap,
                statistics: PoolStatistics {
                    scans: Event::new(),
                    scanned_pages: Event::new(),
                    shrink_times: Histogram::new(),
                },
            },
            GFP_KERNEL,
        )?)
    }

    /// Returns the number of pages kept.
    pub(crate) fn kept(&self) -> u64 {
        // They are pages of this machine, so the sum fits.
        self.kept
            .iter()
            .fold(0, |sum, kept| sum.wrapping_add(kept.load(Relaxed)))
    }

    /// Returns the most pages that are kept.
    pub(crate) fn cap(&self) -> u64 {
        self.cap.get()
    }

    /// Changes the cap of a test's pool.
    #[cfg(reeve_kunit)]
    pub(super) fn set_cap(&self, pages: u64) {
        self.cap.set(pages);
    }

    /// Returns the number of memory nodes.
    pub(crate) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Returns how many blocks of a node are kept.
    pub(crate) fn free_counts(&self, node: usize) -> FreeCounts {
        self.nodes
            .get(node)
            .map_or(FreeCounts::new(), |node| node.lists.lock().counts())
    }

    /// Returns whether there may be blocks of this kind.
    #[inline]
    pub(super) fn has(&self, kind: PageKind) -> bool {
        match self.kept.get(kind.index()) {
            Some(kept) => kept.load(Relaxed) != 0,
            None => false,
        }
    }

    /// Takes a block of this kind and order from the local node, cleared. Returns `None` if there is
    /// none, or the current task may not have pages of that node, or a memory policy says where from.
    #[inline]
    pub(super) fn take(&self, kind: PageKind, order: u32) -> Option<Block> {
        let kept = self.kept.get(kind.index())?;
        if kept.load(Relaxed) == 0 {
            return None;
        }
        let node = self.nodes.get(page::allowed_node()?)?;
        let block = node.lists.lock().pop(kind, order)?;
        kept.fetch_sub(block.pages(), Relaxed);
        Some(block)
    }

    /// Clears and keeps a block, or gives it back to the system if that would be more than may be
    /// kept, or it is charged to a memory cgroup. May sleep.
    pub(super) fn keep(&self, mut block: Block) {
        if block.is_charged() {
            return;
        }
        let pages = block.pages();
        let (Some(kept), Some(node)) = (
            self.kept.get(block.kind().index()),
            self.nodes.get(block.node()),
        ) else {
            return;
        };
        // Counted first, so that threads together don't keep more than one of them might.
        kept.fetch_add(pages, Full);
        if !rules::has_room(self.kept(), 0, self.cap()) {
            kept.fetch_sub(pages, Relaxed);
            return;
        }
        block.clear();
        let refused = node.lists.lock().push(block);
        if let Err(block) = refused {
            kept.fetch_sub(pages, Relaxed);
            drop(block);
        }
    }

    /// Gives about `want` pages of one node back to the system and returns how many, fewer only if
    /// there are no more. May sleep.
    pub(crate) fn shrink_node(&self, node: usize, want: u64) -> u64 {
        let times = &self.statistics.shrink_times;
        trace::pool_shrink(node, want, times, || self.give_back(node, want))
    }

    /// Gives the pages back, without timing it.
    fn give_back(&self, node: usize, want: u64) -> u64 {
        let mut freed = 0;
        let Some(node) = self.nodes.get(node) else {
            return 0;
        };
        while freed < want {
            let Some(block) = node.lists.lock().pop_victim(want - freed) else {
                break;
            };
            freed += block.pages();
            if let Some(kept) = self.kept.get(block.kind().index()) {
                kept.fetch_sub(block.pages(), Relaxed);
            }
            drop(block);
            task::cond_resched();
        }
        freed
    }

    /// Gives about `want` pages back to the system; see [`Pool::shrink_node`].
    pub(crate) fn shrink(&self, want: u64) -> u64 {
        let mut freed = 0;
        for node in 0..self.nodes.len() {
            if freed < want {
                freed += self.shrink_node(node, want - freed);
            }
        }
        freed
    }

    /// Gives everything back to the system and returns how many pages that were. May sleep.
    pub(crate) fn drain(&self) -> u64 {
        if self.kept() == 0 {
            return 0;
        }
        self.shrink(u64::MAX)
    }

    /// Returns whether more is kept than may be, as after that has become less.
    pub(super) fn is_over(&self) -> bool {
        self.kept() > self.cap()
    }

    /// Gives back what is more than may be kept. May sleep.
    pub(crate) fn trim(&self) {
        loop {
            let excess = self.kept().saturating_sub(self.cap());
            if excess == 0 || self.shrink(excess) == 0 {
                return;
            }
        }
    }
}
