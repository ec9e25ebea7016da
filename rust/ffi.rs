// SPDX-License-Identifier: GPL-2.0

//! Everything unsafe: C objects, C shims and bindings, wrapped so that the rest is safe Rust.
//!
//! The shims are one macro or inline of the kernel each; `shim.h` lists them. The bindings are made
//! by Kbuild from `bindings_helper.h`.

pub(crate) mod uapi;
