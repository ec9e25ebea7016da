// SPDX-License-Identifier: GPL-2.0-or-later

//! Everything a user-space program needs to talk to the Reeve module.
//!
//! - [`sys`]: the structs and constants of `rust/uapi/reeve.h`, generated from it.
//! - [`Device`]: an open `/dev/reeve` with a safe method per call.
//! - [`Mapping`]: an object in this process's memory.
//! - [`raw`]: the same calls on the plain structs, for programs that want to send odd ones.
//! - [`knobs`]: the module's parameters in sysfs and its files in debugfs.
//! - [`statistics`]: the table of the module's statistics.
//! - [`pattern`]: content that is easy to make and to recognise, for filling and checking objects.
//!
//! ```no_run
//! use reeve_uapi::{Create, Device, DEFAULT_PATH};
//!
//! # fn main() -> std::io::Result<()> {
//! let device = Device::open(DEFAULT_PATH)?;
//! let handle = device.create(Create::new(1 << 20))?;
//! device.write(handle, 0, b"hello")?; // gives it its pages, too
//! assert_eq!(device.swapout(handle)?, 256);
//! let mut found = [0; 5];
//! device.read(handle, 0, &mut found)?; // brings them back
//! assert_eq!(&found, b"hello");
//! # Ok(())
//! # }
//! ```
//!
//! The same in C is in `Documentation/abi.md`. Errors are [`std::io::Error`] with the kernel's errno kept (`raw_os_error`).

mod device;
pub mod knobs;
mod layout;
mod mapping;
pub mod pattern;
pub mod raw;
pub mod statistics;
pub mod sys;
mod values;

pub use device::Create;
pub use device::Device;
pub use device::DEFAULT_PATH;
pub use mapping::Mapping;
pub use mapping::Protection;
pub use values::BoCall;
pub use values::BoType;
pub use values::Caching;
pub use values::Handle;
pub use values::LOCK_SANITY_NAMES;
