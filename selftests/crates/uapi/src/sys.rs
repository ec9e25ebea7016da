// SPDX-License-Identifier: GPL-2.0-or-later

//! The user ABI as it is written in `rust/uapi/reeve.h`, made by bindgen.
//!
//! The header's kernel-doc comments say what the fields mean. Layout is asserted at compile time:
//! by bindgen against the C compiler's view, and in `rust/uapi/layout.rs` against the published numbers.

#![expect(
    missing_docs,
    non_camel_case_types,
    reason = "generated; named and documented by the C header"
)]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "bindgen's zeroed defaults of plain integers"
)]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
