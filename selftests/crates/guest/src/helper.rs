// SPDX-License-Identifier: GPL-2.0-or-later

//! What this program does when a case starts it anew: it is the other side of an exec.

use std::process::ExitCode;

use reeve_uapi::pattern::Pattern;
use reeve_uapi::Device;
use reeve_uapi::Handle;

/// First argument that makes this program a helper.
pub(crate) const FLAG: &str = "--helper";

/// `--helper FD HANDLE SIZE SEED`: the object of an inherited open file holds the pattern.
pub(crate) fn main(args: &[String]) -> ExitCode {
    match check(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(err) => {
            eprintln!("helper: {err}");
            ExitCode::from(2)
        }
    }
}

fn check(args: &[String]) -> Result<bool, Box<dyn std::error::Error>> {
    let [fd, handle, size, seed] = args else {
        return Err("usage: --helper FD HANDLE SIZE SEED".into());
    };
    let device = Device::inherited(fd.parse()?)?;
    let mut found = vec![0; size.parse()?];
    device.read(Handle::new(handle.parse()?), 0, &mut found)?;
    Ok(found == Pattern::new(seed.parse()?).bytes(found.len()))
}
