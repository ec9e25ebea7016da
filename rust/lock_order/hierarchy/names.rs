// SPDX-License-Identifier: GPL-2.0

//! The names of a hierarchy and of its orders, and how names are shown.
#![deny(unsafe_code)]

use kernel::{
    fmt,
    prelude::*, //
};

/// Longest hierarchy or order name that is kept, in bytes.
pub(super) const MAX_NAME: usize = 63;

/// The names of a hierarchy and of its orders.
pub(crate) struct Names {
    name: KVec<u8>,
    orders: KVec<KVec<u8>>,
}

impl Names {
    /// Copies `name` and the names of the orders, order 1 first. May sleep.
    pub(crate) fn new<'a>(
        name: &[u8],
        orders: impl ExactSizeIterator<Item = &'a [u8]>,
    ) -> Result<Self> {
        let mut copied = KVec::with_capacity(orders.len(), GFP_KERNEL)?;
        for order in orders {
            copied.push(copy_name(order)?, GFP_KERNEL)?;
        }
        Ok(Self {
            name: copy_name(name)?,
            orders: copied,
        })
    }

    /// How many orders there are.
    pub(super) fn count(&self) -> u32 {
        self.orders.len() as u32
    }

    /// The hierarchy's name.
    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    /// The name of `order`, or a placeholder for one that does not exist.
    pub(crate) fn order(&self, order: u32) -> &[u8] {
        (order as usize)
            .checked_sub(1)
            .and_then(|i| self.orders.get(i))
            .map_or(b"?", |name| name)
    }
}

fn copy_name(name: &[u8]) -> Result<KVec<u8>> {
    let mut copy = KVec::new();
    copy.extend_from_slice(name.get(..MAX_NAME).unwrap_or(name), GFP_KERNEL)?;
    Ok(copy)
}

/// A name as bytes, shown as one word: anything unprintable is escaped, and so are blanks.
pub(crate) struct Shown<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            match byte {
                b' ' => f.write_str("\\x20")?,
                byte => write!(f, "{}", byte.escape_ascii())?,
            }
        }
        Ok(())
    }
}
