// SPDX-License-Identifier: GPL-2.0-or-later

//! The sequence in which devices are asked to evict.
#![deny(unsafe_code)]

/// The most devices that `/dev/reeve` has. Drivers register as many more as they want.
pub const MAX_DEVICES: usize = 8;

/// Moves the first entry that `is` picks to the end, to be asked after all others; none: nothing changes.
pub fn move_to_tail<T>(order: &mut [T], is: impl Fn(&T) -> bool) {
    if let Some(at) = order.iter().position(is) {
        if let Some(rest) = order.get_mut(at..) {
            rest.rotate_left(1);
        }
    }
}
