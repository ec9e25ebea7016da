// SPDX-License-Identifier: GPL-2.0-or-later

//! Parameters while the module is in.

use std::fs;
use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;

use reeve_uapi::knobs;

use crate::seen::open;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::errno;
use crate::test::refused;
use crate::test::Outcome;
use crate::test::Stop;

cases!("parameters";
    have_their_modes,
    show_what_was_written,
    refuse_what_is_no_number,
    refuse_what_is_no_boolean,
    devices_cannot_be_changed,
);

const NUMBERS: [&str; 4] = [
    "pages_limit",
    "dma32_pages_limit",
    "page_pool_size",
    "timed_pages",
];

fn have_their_modes() -> Outcome {
    for (name, mode) in [
        ("pages_limit", 0o644),
        ("dma32_pages_limit", 0o644),
        ("page_pool_size", 0o644),
        ("hard_limit", 0o644),
        ("timed_pages", 0o644),
        ("enable_builtin_tests", 0o644),
        ("devices", 0o444),
    ] {
        let found = fs::metadata(knobs::parameter_path(name))?.mode() & 0o7777;
        check_eq!(found, mode, "{name}");
    }
    Ok(())
}

fn show_what_was_written() -> Outcome {
    for name in NUMBERS {
        for value in ["1", "123456", "0x10", "18446744073709551615", "0"] {
            knobs::set_parameter(name, value)?;
            let shown = if value == "0x10" { "16" } else { value };
            check_eq!(knobs::parameter(name)?, shown, "{name}");
        }
    }
    for (value, shown) in [("0", "N"), ("1", "Y"), ("n", "N"), ("y", "Y")] {
        knobs::set_parameter("enable_builtin_tests", value)?;
        check_eq!(knobs::parameter("enable_builtin_tests")?, shown);
    }
    Ok(())
}

fn refuse_what_is_no_number() -> Outcome {
    let device = open()?;
    for name in NUMBERS {
        knobs::set_parameter(name, "4242")?;
        for value in ["abc", "-1", " ", "1 2", "1.5", "18446744073709551616", "0x"] {
            match knobs::set_parameter(name, value) {
                Ok(()) => return Err(Stop::failed(format!("{name} takes {value:?}"))),
                Err(err) => {
                    let expected = [Errno::EINVAL, Errno::ERANGE];
                    check!(expected.contains(&errno(&err)), "{name} {value:?}: {err}");
                }
            }
            check_eq!(knobs::parameter(name)?, "4242");
        }
    }
    check_eq!(device.stats()?.pages_limit, 4242);
    Ok(())
}

fn refuse_what_is_no_boolean() -> Outcome {
    for value in ["2", "maybe", "-"] {
        refused(
            knobs::set_parameter("enable_builtin_tests", value),
            Errno::EINVAL,
        )
        .map_err(|stop| stop.during(value))?;
        check_eq!(knobs::parameter("enable_builtin_tests")?, "Y");
    }
    Ok(())
}

fn devices_cannot_be_changed() -> Outcome {
    // Root may try all the same: what the file does not have a way for cannot be done.
    check!(knobs::set_parameter("devices", "2").is_err());
    check_eq!(knobs::parameter("devices")?, "1");
    check_eq!(open()?.version()?.devices, 1);
    Ok(())
}
