// SPDX-License-Identifier: GPL-2.0

//! `latency`: how often operations took how long.
#![deny(unsafe_code)]

use crate::{
    abstractions::debugfs::Show,
    bo::{
        manager::Manager,
        rules::histogram::bounds, //
    }, //
};
use kernel::{
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::Arc, //
};

/// The file: for each operation and bucket a line `operation from until count`, in microseconds;
/// `until` is `-` for the last bucket.
pub(super) struct Latency(pub(super) Arc<Manager>);

impl Show for Latency {
    fn show(&self, m: &SeqFile) -> Result {
        for (name, histogram) in self.0.histograms() {
            for (bucket, count) in histogram.counts().enumerate() {
                match bounds(bucket) {
                    (from, Some(until)) => seq_print!(m, "{name} {from} {until} {count}\n"),
                    (from, None) => seq_print!(m, "{name} {from} - {count}\n"),
                }
            }
        }
        Ok(())
    }
}
