// SPDX-License-Identifier: GPL-2.0-or-later

//! The table of the statistics in `struct reeve_stats`, from which programs show them.

use crate::sys::reeve_stats;

/// What the value of a statistic counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things or events.
    Count,
    /// Pages.
    Pages,
}

/// A field of `struct reeve_stats`.
#[derive(Clone, Copy, Debug)]
pub struct Statistic {
    /// The field's name.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// The place among the rates that `reevectl top` shows; `None` if it shows none.
    pub rate: Option<u8>,
    /// Reads the field.
    pub value: fn(&reeve_stats) -> u64,
}

macro_rules! statistics {
    ($($name:ident: $unit:ident $(, rate $rate:literal)?;)*) => {
        /// Every statistic, in the order of the struct.
        pub const STATISTICS: &[Statistic] = &[$(
            Statistic {
                name: stringify!($name),
                unit: Unit::$unit,
                rate: {
                    let rate: &[u8] = &[$($rate)?];
                    rate.first().copied()
                },
                value: |stats| stats.$name,
            },
        )*];
    };
}

statistics! {
    pages_allocated: Pages;
    dma32_pages_allocated: Pages;
    pages_limit: Pages;
    dma32_pages_limit: Pages;
    buffer_objects: Count;
    populates: Count, rate 0;
    unpopulates: Count, rate 1;
    swapouts: Count, rate 2;
    swapins: Count, rate 3;
    swapped_pages: Pages, rate 4;
    overcommits: Count, rate 8;
    lock_violations: Count;
    pool_pages: Pages;
    page_pool_size: Pages;
    backups: Count, rate 5;
    restores: Count, rate 6;
    backed_up_pages: Pages, rate 7;
    faults: Count;
    huge_faults: Count;
    file_overcommits: Count;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_places_of_their_own() {
        let mut places: Vec<u8> = STATISTICS.iter().filter_map(|row| row.rate).collect();
        places.sort_unstable();
        assert!(places.iter().copied().eq(0..places.len() as u8));
    }
}
