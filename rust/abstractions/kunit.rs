// SPDX-License-Identifier: GPL-2.0

//! What KUnit tests in Rust say they expect.
#![deny(unsafe_code)]

/// Fails the test, with the condition in the log, unless it holds.
macro_rules! expect {
    ($condition:expr) => {
        if !$condition {
            pr_err!(
                "{}:{}: expected {}\n",
                file!(),
                line!(),
                stringify!($condition)
            );
            return Err(EINVAL);
        }
    };
}
