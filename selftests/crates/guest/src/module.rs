// SPDX-License-Identifier: GPL-2.0-or-later

//! Inserting, removing and setting up the module.

use std::ffi::CString;
use std::fs::File;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::kmod::delete_module;
use nix::kmod::finit_module;
use nix::kmod::DeleteModuleFlags;
use nix::kmod::ModuleInitFlags;

use reeve_uapi::knobs;

use crate::test::Outcome;
use crate::test::Setup;
use crate::test::Stop;

/// Where reeve.ko may be when `REEVE_KO` does not say.
const PLACES: [&str; 2] = ["/reeve.ko", "/reeve/reeve.ko"];

/// The file to insert; a reason to skip when there is none.
fn file() -> Outcome<PathBuf> {
    let named = std::env::var_os("REEVE_KO").map(PathBuf::from);
    named
        .into_iter()
        .chain(PLACES.map(PathBuf::from))
        .find(|path| path.exists())
        .ok_or_else(|| Stop::skipped("no reeve.ko here; REEVE_KO says where it is"))
}

/// Inserts the module with these parameters.
pub(crate) fn insert(parameters: &str) -> Outcome<Result<(), Errno>> {
    let file = File::open(file()?)?;
    let parameters = CString::new(parameters).map_err(|_| Stop::failed("NUL in parameters"))?;
    Ok(finit_module(file, &parameters, ModuleInitFlags::empty()))
}

/// Removes the module; never waits for its users.
pub(crate) fn remove() -> Result<(), Errno> {
    delete_module(c"reeve", DeleteModuleFlags::O_NONBLOCK)
}

/// True when the module can be inserted anew.
pub(crate) fn need_file() -> Outcome {
    file().map(drop)
}

/// Makes the module what a case wants it to be; changes nothing when it is that already.
pub(crate) fn ensure(setup: Setup) -> Outcome {
    if knobs::loaded() && knobs::parameter("devices")? != setup.devices.to_string() {
        need_file()?;
        remove()?;
    }
    if !knobs::loaded() {
        let parameters = format!("enable_builtin_tests=1 devices={}", setup.devices);
        insert(&parameters)??;
    }
    set_if_different("enable_builtin_tests", "Y", "1")?;
    set_if_different("pages_limit", "0", "0")?;
    set_if_different("dma32_pages_limit", "0", "0")?;
    set_if_different("page_pool_size", "0", "0")?;
    set_if_different("file_pages_limit", "0", "0")?;
    set_if_different("file_objects_limit", "0", "0")?;
    set_if_different("pinned_pages_limit", "0", "0")?;
    set_if_different("show_dma_addresses", "N", "0")?;
    set_if_different("charge_memcg", "Y", "1")?;
    set_if_different("hard_limit", "N", "0")?;
    set_if_different("timed_pages", "64", "64")
}

fn set_if_different(name: &str, shown: &str, value: &str) -> Outcome {
    if knobs::parameter(name)? != shown {
        knobs::set_parameter(name, value)?;
    }
    Ok(())
}
