// SPDX-License-Identifier: GPL-2.0-or-later

//! The files in debugfs.

use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;

use reeve_uapi::knobs;
use reeve_uapi::sys::REEVE_BO_SWAPPED;
use reeve_uapi::BoType;
use reeve_uapi::Create;
use reeve_uapi::Device;

use crate::seen::open;
use crate::seen::populated;
use crate::seen::unchanged;
use crate::seen::Limit;
use crate::seen::PAGE;
use crate::shortage::Swap;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::errno;
use crate::test::Outcome;
use crate::test::Stop;

cases!("debugfs";
    files_have_their_modes,
    shrink_prints_one_line,
    shrink_takes_the_oldest,
    shrink_acts_once_per_reading,
    shrink_acts_again_from_the_start,
    shrink_returns_zero_in_the_end,
    shrink_skips_what_cannot_go,
    shrink_adds_up,
    buffer_objects_is_a_count,
    accounting_agrees_with_the_ioctl,
    accounting_follows_changes,
    files_cannot_be_written,
    reading_changes_nothing,
    files_act_on_a_write,
    other_texts_are_refused,
);

fn files_have_their_modes() -> Outcome {
    for (name, mode) in [
        ("tt_shrink", 0o400),
        ("bo_shrink", 0o200),
        ("prepare_hibernation", 0o200),
        ("page_pool", 0o444),
        ("page_pool_shrink", 0o200),
        ("buffer_objects", 0o444),
        ("accounting", 0o444),
        ("dirty_logs", 0o444),
        ("latency", 0o444),
    ] {
        let file = fs::metadata(knobs::debugfs_path(name))?;
        check!(file.is_file(), "{name}");
        let found = file.mode() & 0o7777;
        // Fewer users may read than said here, no others.
        check!(
            found & mode & 0o600 != 0 && found & !mode == 0,
            "{name}: {found:o}"
        );
    }
    let shrink = fs::metadata(knobs::debugfs_path("tt_shrink"))?;
    check_eq!(shrink.mode() & 0o7777, 0o400);
    Ok(())
}

fn shrink_prints_one_line() -> Outcome {
    let device = open()?;
    check_eq!(knobs::debugfs("tt_shrink")?, "0\n");
    populated(&device, 123)?;
    check_eq!(knobs::debugfs("tt_shrink")?, "123\n");
    Ok(())
}

fn shrink_takes_the_oldest() -> Outcome {
    let device = open()?;
    let handles = [
        populated(&device, 1)?,
        populated(&device, 2)?,
        populated(&device, 3)?,
    ];
    for (index, handle) in handles.into_iter().enumerate() {
        check!(!device.info(handle)?.is(REEVE_BO_SWAPPED));
        check_eq!(knobs::tt_shrink()?, index as i64 + 1);
        check!(device.info(handle)?.is(REEVE_BO_SWAPPED));
    }
    Ok(())
}

/// Programs read until nothing comes, in pieces of any size: that is one swapout all the same.
fn shrink_acts_once_per_reading() -> Outcome {
    let device = open()?;
    for _ in 0..5 {
        populated(&device, 12)?;
    }
    let before = device.stats()?.swapouts;
    let mut file = File::open(knobs::debugfs_path("tt_shrink"))?;
    let mut text = String::new();
    let mut byte = [0];
    while file.read(&mut byte)? == 1 {
        text.push(char::from(byte[0]));
    }
    check_eq!(text, "12\n");
    check_eq!(device.stats()?.swapouts, before + 1);
    Ok(())
}

fn shrink_acts_again_from_the_start() -> Outcome {
    let device = open()?;
    for pages in [5, 6] {
        populated(&device, pages)?;
    }
    let mut file = File::open(knobs::debugfs_path("tt_shrink"))?;
    for expected in ["5\n", "6\n", "0\n"] {
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        check_eq!(text, expected);
        file.seek(SeekFrom::Start(0))?;
    }
    Ok(())
}

fn shrink_returns_zero_in_the_end() -> Outcome {
    let device = open()?;
    unchanged(&device, || {
        check_eq!(knobs::tt_shrink()?, 0);
        Ok(())
    })?;
    populated(&device, 4)?;
    check_eq!(knobs::tt_shrink()?, 4);
    unchanged(&device, || {
        for _ in 0..3 {
            check_eq!(knobs::tt_shrink()?, 0);
        }
        Ok(())
    })
}

fn shrink_skips_what_cannot_go() -> Outcome {
    let device = open()?;
    let pinned = populated(&device, 2)?;
    device.pin(pinned)?;
    let sg = device.create(Create::new(PAGE).kind(BoType::Sg))?;
    device.populate(sg)?;
    device.create(Create::new(PAGE))?;
    let swapped = populated(&device, 3)?;
    device.swapout(swapped)?;
    populated(&device, 5)?;
    check_eq!(knobs::tt_shrink()?, 5);
    check_eq!(knobs::tt_shrink()?, 0);
    Ok(())
}

fn shrink_adds_up() -> Outcome {
    let device = open()?;
    let before = device.stats()?;
    let total: u64 = (1..=20).sum();
    for pages in 1..=20 {
        populated(&device, pages)?;
    }
    check_eq!(device.stats()?.pages_allocated, total);
    let mut freed = 0;
    loop {
        match knobs::tt_shrink()? {
            0 => break,
            pages => freed += pages,
        }
        let now = device.stats()?;
        check_eq!(now.pages_allocated, total - freed as u64);
        check_eq!(now.swapped_pages, before.swapped_pages + freed as u64);
    }
    check_eq!(freed as u64, total);
    check_eq!(device.stats()?.swapouts, before.swapouts + 20);
    Ok(())
}

fn buffer_objects_is_a_count() -> Outcome {
    let count = || -> Outcome<i64> { Ok(knobs::number(&knobs::debugfs("buffer_objects")?)?) };
    let device = open()?;
    check_eq!(count()?, 0);
    let handles = [populated(&device, 1)?, device.create(Create::new(PAGE))?];
    check_eq!(count()?, 2);
    device.swapout(handles[0])?;
    check_eq!(count()?, 2);
    for (handle, left) in handles.into_iter().zip([1, 0]) {
        device.destroy(handle)?;
        check_eq!(count()?, left);
    }
    Ok(())
}

fn accounting() -> Outcome<BTreeMap<String, String>> {
    let pairs = knobs::accounting()?;
    let count = pairs.len();
    let map: BTreeMap<_, _> = pairs.into_iter().collect();
    check_eq!(map.len(), count, "names are unique");
    Ok(map)
}

fn accounting_agrees_with_the_ioctl() -> Outcome {
    let device = open()?;
    let _limit = Limit::pages(30)?;
    for pages in [10, 20, 10] {
        populated(&device, pages)?;
    }
    let stats = device.stats()?;
    let found = accounting()?;
    for (name, value) in [
        ("pages_allocated", stats.pages_allocated),
        ("dma32_pages_allocated", stats.dma32_pages_allocated),
        ("pages_limit", stats.pages_limit),
        ("dma32_pages_limit", stats.dma32_pages_limit),
        ("buffer_objects", stats.buffer_objects),
        ("populates", stats.populates),
        ("unpopulates", stats.unpopulates),
        ("swapouts", stats.swapouts),
        ("swapins", stats.swapins),
        ("swapped_pages", stats.swapped_pages),
        ("overcommits", stats.overcommits),
    ] {
        check_eq!(found.get(name), Some(&value.to_string()), "{name}");
    }
    check_eq!(found.get("self_check").map(String::as_str), Some("ok"));
    Ok(())
}

fn accounting_follows_changes() -> Outcome {
    let device = open()?;
    let pages = || -> Outcome<Option<String>> { Ok(accounting()?.remove("pages_allocated")) };
    check_eq!(pages()?.as_deref(), Some("0"));
    let handle = populated(&device, 44)?;
    check_eq!(pages()?.as_deref(), Some("44"));
    device.swapout(handle)?;
    check_eq!(pages()?.as_deref(), Some("0"));
    Ok(())
}

fn files_cannot_be_written() -> Outcome {
    let device = open()?;
    populated(&device, 3)?;
    unchanged(&device, || {
        for name in [
            "tt_shrink",
            "page_pool",
            "buffer_objects",
            "accounting",
            "dirty_logs",
            "latency",
        ] {
            // Root may open it; then writing has to fail.
            let file = fs::OpenOptions::new()
                .write(true)
                .open(knobs::debugfs_path(name));
            match file.and_then(|mut file| file.write(b"1")) {
                Ok(_) => return Err(Stop::failed(format!("{name} was written"))),
                Err(err) => check!(errno(&err) != Errno::UnknownErrno, "{name}: {err}"),
            }
        }
        Ok(())
    })
}

/// The files that act when they are written.
const TRIGGERS: [&str; 3] = ["bo_shrink", "prepare_hibernation", "page_pool_shrink"];

/// Reads every file below a directory but `tt_shrink`, as `grep -r` does. Returns how many.
fn read_all(directory: &Path) -> Outcome<u32> {
    let mut files = 0;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            files += read_all(&path)?;
        } else if !path.ends_with("tt_shrink") {
            fs::read(&path)?;
            files += 1;
        }
    }
    Ok(files)
}

/// Objects and free pages, which each of the files that act would take.
fn much() -> Outcome<Device> {
    let device = open()?;
    knobs::drain_pool()?;
    populated(&device, 40)?;
    device.destroy(populated(&device, 20)?)?;
    Ok(device)
}

fn reading_changes_nothing() -> Outcome {
    let _swap = Swap::on()?;
    let device = much()?;
    let before = (accounting()?, knobs::debugfs("latency")?);
    unchanged(&device, || {
        let files = read_all(Path::new(knobs::DEBUGFS))?;
        check!(files >= 12, "{files}");
        Ok(())
    })?;
    check_eq!((accounting()?, knobs::debugfs("latency")?), before);
    check_eq!(device.stats()?.pages_allocated, 40);
    Ok(())
}

fn would_free(name: &str) -> Outcome<i64> {
    let pairs: BTreeMap<_, _> = knobs::pairs(&knobs::debugfs(name)?)?.into_iter().collect();
    check_eq!(pairs.keys().collect::<Vec<_>>(), ["last", "would_free"]);
    let value = pairs.get("would_free").map(String::as_str);
    Ok(knobs::number(value.unwrap_or_default())?)
}

fn files_act_on_a_write() -> Outcome {
    let _swap = Swap::on()?;
    for (name, pages, left) in [
        ("bo_shrink", 60, 0),
        ("prepare_hibernation", 40, 0),
        ("page_pool_shrink", 20, 40),
    ] {
        let device = much()?;
        check_eq!(would_free(name)?, pages, "{name}");
        check_eq!(knobs::triggered(name)?, pages, "{name}");
        check_eq!(device.stats()?.pages_allocated, left, "{name}");
        check_eq!(device.stats()?.pool_pages, 0, "{name}");
        check_eq!(would_free(name)?, 0, "{name}");
    }
    Ok(())
}

fn other_texts_are_refused() -> Outcome {
    let device = much()?;
    unchanged(&device, || {
        for name in TRIGGERS {
            let path = knobs::debugfs_path(name);
            for text in ["0", "2", "11", "1 1", "y", "\n", "-1", "1\0", "        1"] {
                let mut file = fs::OpenOptions::new().write(true).open(&path)?;
                match file.write_all(text.as_bytes()) {
                    Ok(()) => return Err(Stop::failed(format!("{name}: {text:?} was accepted"))),
                    Err(err) => check_eq!(errno(&err), Errno::EINVAL, "{name}: {text:?}"),
                }
            }
        }
        Ok(())
    })
}
