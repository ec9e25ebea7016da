// SPDX-License-Identifier: GPL-2.0

//! `/proc/PID/fdinfo/FD`: the memory of an open file's objects.
#![deny(unsafe_code)]

use crate::bo::{
    fdinfo,
    object::Client, //
};
use kernel::{
    seq_file::SeqFile,
    seq_print, //
};

/// Prints who the client is, and what its objects hold; see [`fdinfo::show`].
pub(super) fn show(client: &Client, m: &SeqFile) {
    seq_print!(m, "drm-driver:\treeve\n");
    seq_print!(m, "drm-client-id:\t{}\n", client.number());
    fdinfo::show(client, m);
}
