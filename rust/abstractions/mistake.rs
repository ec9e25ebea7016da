// SPDX-License-Identifier: GPL-2.0

//! Mistakes that are made on purpose, in builds with `REEVE_BREAK=mistakes`: the tests must notice each.

use kernel::prelude::*;

/// Returns whether this mistake is made: in such a build, the one that the parameter `mistake` names. Any context.
#[inline(always)]
pub(crate) fn is_made(name: &'static CStr) -> bool {
    #[cfg(reeve_break_mistakes)]
    {
        use kernel::str::CStrExt as _;
        // SAFETY: The helper wants a string, which a `CStr` is.
        unsafe { super::bindings::reeve_helper_makes_mistake(name.as_char_ptr()) }
    }
    #[cfg(not(reeve_break_mistakes))]
    {
        let _ = name;
        false
    }
}
