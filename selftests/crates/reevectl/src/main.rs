// SPDX-License-Identifier: GPL-2.0-or-later

//! The program; the library has everything, so that its command line can be documented from elsewhere.

use std::process::ExitCode;

fn main() -> ExitCode {
    reevectl::main()
}
