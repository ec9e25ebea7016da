// SPDX-License-Identifier: GPL-2.0-or-later

//! The interface to the system that a report uses, so that tests can fake it.

use reeve_uapi::Handle;

use crate::error::Result;
use crate::sanity::Suite;
use crate::stat::Stats;

use super::facts::Kernel;
use super::facts::Module;

/// A kernel with the module in it.
pub(crate) trait Subject {
    fn kernel(&self) -> Kernel;
    fn module(&self) -> Module;
    fn lock_sanity(&self) -> Result<Suite>;
    fn stats(&self) -> Result<Stats>;
    /// Returns the result of `self_check` in the file `accounting`.
    fn self_check(&self) -> Option<String>;

    /// The text of the parameter `pages_limit`.
    fn pages_limit(&self) -> Result<String>;
    fn set_pages_limit(&self, text: &str) -> Result<()>;

    /// Reads debugfs tt_shrink once.
    fn tt_shrink(&self) -> Result<i64>;

    fn create(&self, size: u64) -> Result<Handle>;
    fn destroy(&self, handle: Handle) -> Result<()>;
    fn write(&self, handle: Handle, offset: u64, from: &[u8]) -> Result<()>;
    fn read(&self, handle: Handle, offset: u64, to: &mut [u8]) -> Result<()>;
    fn is_swapped(&self, handle: Handle) -> Result<bool>;
    /// Pages the object has when populated.
    fn num_pages(&self, handle: Handle) -> Result<u64>;
}
