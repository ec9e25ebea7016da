// SPDX-License-Identifier: GPL-2.0-or-later

//! What `reevectl` prints without a module: every help text, and what it says of wrong usage and wrong devices.
//!
//! The transcripts in `tests/cmd` are the reference. After an intended change, `TRYCMD=overwrite cargo test -p reevectl
//! --test transcripts` writes them anew; the difference is part of the change.

#[test]
fn transcripts_are_what_it_prints() {
    std::env::remove_var("REEVE_FD");
    trycmd::TestCases::new().case("tests/cmd/*.md").run();
}
