// SPDX-License-Identifier: GPL-2.0-or-later

//! What the module says it is, and who may ask.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use nix::unistd::setgid;
use nix::unistd::setuid;
use nix::unistd::sysconf;
use nix::unistd::Gid;
use nix::unistd::SysconfVar;
use nix::unistd::Uid;

use reeve_uapi::knobs;
use reeve_uapi::sys;
use reeve_uapi::Device;
use reeve_uapi::DEFAULT_PATH;

use crate::process::Child;
use crate::seen::open;
use crate::seen::unchanged;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::refused;
use crate::test::Outcome;

cases!("version";
    says_abi_and_page_size,
    says_a_release,
    features_follow_the_parameter,
    results_can_be_sent_back,
    reserved_must_be_zero,
    stats_reserved_must_be_zero,
    node_is_for_root,
    node_refuses_others,
);

fn says_abi_and_page_size() -> Outcome {
    let version = open()?.version()?;
    check_eq!(version.abi_major, sys::REEVE_ABI_MAJOR);
    check_eq!(version.abi_minor, sys::REEVE_ABI_MINOR);
    check_eq!(
        Some(i64::from(version.page_size)),
        sysconf(SysconfVar::PAGE_SIZE)?
    );
    check_eq!(version.devices, 1);
    check_eq!(version.reserved, [0; 2]);
    Ok(())
}

fn says_a_release() -> Outcome {
    let version = open()?.version()?;
    let release = version.release_text();
    check!(!release.is_empty());
    check!(release.chars().all(|c| c.is_ascii_graphic()), "{release:?}");
    // The rest of the field is no leftover of the kernel's stack.
    check!(version.release[release.len()..]
        .iter()
        .all(|byte| *byte == 0));
    Ok(())
}

fn features_follow_the_parameter() -> Outcome {
    let device = open()?;
    let always = u64::from(
        sys::REEVE_FEATURE_LOCK_ORDER
            | sys::REEVE_FEATURE_PAGE_ACCOUNTING
            | sys::REEVE_FEATURE_PAGE_POOL
            | sys::REEVE_FEATURE_BACKUP
            | sys::REEVE_FEATURE_SHMEM
            | sys::REEVE_FEATURE_MMAP
            | sys::REEVE_FEATURE_FILE_LIMIT
            | sys::REEVE_FEATURE_DMA_ADDRESSES
            | sys::REEVE_FEATURE_DIRTY_LOG
            | sys::REEVE_FEATURE_LOG_FENCE,
    );
    let tests = u64::from(sys::REEVE_FEATURE_LOCK_SANITY);
    check_eq!(device.version()?.features, always | tests);
    knobs::set_parameter("enable_builtin_tests", "0")?;
    check_eq!(device.version()?.features, always);
    Ok(())
}

fn results_can_be_sent_back() -> Outcome {
    let device = open()?;
    let mut version = device.version()?;
    let first = version;
    device.raw().version(&mut version)?;
    check_eq!(version, first);
    let mut stats = device.stats()?;
    let first = stats;
    device.raw().stats(&mut stats)?;
    check_eq!(stats, first);
    Ok(())
}

fn reserved_must_be_zero() -> Outcome {
    let device = open()?;
    for index in 0..2 {
        let mut arg = sys::reeve_version::default();
        arg.reserved[index] = 1 << 63;
        refused(device.raw().version(&mut arg), Errno::EINVAL)?;
    }
    Ok(())
}

fn stats_reserved_must_be_zero() -> Outcome {
    let device = open()?;
    unchanged(&device, || {
        for index in 0..sys::reeve_stats::default().reserved.len() {
            let mut arg = sys::reeve_stats::default();
            arg.reserved[index] = 1;
            refused(device.raw().stats(&mut arg), Errno::EINVAL)
                .map_err(|stop| stop.during(format!("reserved[{index}]")))?;
        }
        Ok(())
    })
}

fn node_is_for_root() -> Outcome {
    let node = fs::metadata(DEFAULT_PATH)?;
    check!(node.file_type().is_char_device());
    check_eq!((node.uid(), node.gid()), (0, 0));
    check_eq!(node.mode() & 0o7777, 0o600);
    Ok(())
}

fn node_refuses_others() -> Outcome {
    Child::run(|_| {
        setgid(Gid::from_raw(65534))?;
        setuid(Uid::from_raw(65534))?;
        refused(Device::open(DEFAULT_PATH), Errno::EACCES)
    })?
    .join()
}
