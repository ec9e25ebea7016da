// SPDX-License-Identifier: GPL-2.0-or-later

//! The module's parameters in sysfs and its files in debugfs.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

/// Directory of the loaded module in sysfs.
pub const MODULE: &str = "/sys/module/reeve";

/// Directory of the module in debugfs.
pub const DEBUGFS: &str = "/sys/kernel/debug/reeve";

/// Returns whether the module is loaded.
pub fn loaded() -> bool {
    Path::new(MODULE).is_dir()
}

/// Returns the path of a parameter.
pub fn parameter_path(name: &str) -> PathBuf {
    Path::new(MODULE).join("parameters").join(name)
}

/// Returns a parameter's text, without the line end.
pub fn parameter(name: &str) -> io::Result<String> {
    fs::read_to_string(parameter_path(name)).map(|text| text.trim_end().to_owned())
}

/// Writes a parameter.
pub fn set_parameter(name: &str, value: &str) -> io::Result<()> {
    // Not fs::write: the file exists, and creating one in sysfs makes no sense.
    let mut file = fs::OpenOptions::new()
        .write(true)
        .open(parameter_path(name))?;
    io::Write::write_all(&mut file, value.as_bytes())
}

/// Returns the path of a debugfs file.
pub fn debugfs_path(name: &str) -> PathBuf {
    Path::new(DEBUGFS).join(name)
}

/// Returns a debugfs file's text.
pub fn debugfs(name: &str) -> io::Result<String> {
    fs::read_to_string(debugfs_path(name))
}

/// Lets fault injection, where the kernel has it, fail allocations that it spares otherwise, and say nothing of them.
pub fn let_allocations_fail() -> io::Result<()> {
    for (path, value) in [
        ("failslab/ignore-gfp-wait", "N"),
        ("failslab/cache-filter", "N"),
        ("failslab/verbose", "0"),
        ("fail_page_alloc/ignore-gfp-wait", "N"),
        ("fail_page_alloc/ignore-gfp-highmem", "N"),
        ("fail_page_alloc/min-order", "0"),
        ("fail_page_alloc/verbose", "0"),
        ("fail_usercopy/verbose", "0"),
    ] {
        let path = Path::new("/sys/kernel/debug").join(path);
        if path.exists() {
            fs::write(path, value)?;
        }
    }
    Ok(())
}

/// Does one global swapout by reading `tt_shrink`. Returns the number of pages freed.
pub fn tt_shrink() -> io::Result<i64> {
    number(&debugfs("tt_shrink")?)
}

/// Has a debugfs file act, by writing to it: `bo_shrink`, `page_pool_shrink` or `prepare_hibernation`.
pub fn trigger(name: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .open(debugfs_path(name))?;
    io::Write::write_all(&mut file, b"1\n")
}

/// Has a debugfs file act. Returns the number of pages freed, which another writer's may replace.
pub fn triggered(name: &str) -> io::Result<i64> {
    trigger(name)?;
    last(&debugfs(name)?)
}

/// Returns the outcome of the last write from the text of a file that acts.
fn last(text: &str) -> io::Result<i64> {
    let pairs = pairs(text)?;
    let found = pairs.iter().find(|(name, _)| name == "last");
    let (_, value) = found.ok_or_else(|| invalid(format!("expected `last N`, found {text:?}")))?;
    number(value)
}

/// Scans the pool's shrinker once by writing to `page_pool_shrink`. Returns the number of pages freed.
pub fn page_pool_shrink() -> io::Result<i64> {
    triggered("page_pool_shrink")
}

/// Frees all pages that the pool keeps.
pub fn drain_pool() -> io::Result<()> {
    while page_pool_shrink()? != 0 {}
    Ok(())
}

/// Returns the `accounting` file as pairs of name and value, in its order.
pub fn accounting() -> io::Result<Vec<(String, String)>> {
    pairs(&debugfs("accounting")?)
}

/// Parses the one decimal line of a counter file.
pub fn number(text: &str) -> io::Result<i64> {
    let line = text.strip_suffix('\n').unwrap_or(text);
    line.parse()
        .map_err(|_| invalid(format!("expected one decimal line, found {text:?}")))
}

/// Parses lines of a name, white space, and a value, which may have several words.
pub fn pairs(text: &str) -> io::Result<Vec<(String, String)>> {
    text.lines()
        .map(|line| match line.split_once(char::is_whitespace) {
            Some((name, value)) if !name.is_empty() && !value.trim().is_empty() => {
                Ok((name.to_owned(), value.trim().to_owned()))
            }
            _ => Err(invalid(format!("expected `name value`, found {line:?}"))),
        })
        .collect()
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_one_decimal_line() {
        assert_eq!(number("0\n").unwrap(), 0);
        assert_eq!(number("3000000000\n").unwrap(), 3_000_000_000);
        assert_eq!(number("-12").unwrap(), -12);
        for wrong in ["", "\n", "1 2\n", "0x1\n", "1\n2\n"] {
            assert!(number(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_last_outcome_is_a_number() {
        assert_eq!(last("would_free 5\nlast 12\n").unwrap(), 12);
        assert_eq!(last("would_free 5\nlast -12\n").unwrap(), -12);
        for wrong in ["would_free 5\nlast -\n", "would_free 5\n", "12\n"] {
            assert!(last(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn pairs_are_a_name_and_the_rest() {
        let pairs_of = |text| pairs(text).unwrap();
        assert_eq!(
            pairs_of("a   1\nself_check drift 5 4\n"),
            [
                ("a".to_owned(), "1".to_owned()),
                ("self_check".to_owned(), "drift 5 4".to_owned())
            ]
        );
        assert!(pairs_of("").is_empty());
        for wrong in ["a\n", "a \n", " a 1\n", "\n"] {
            assert!(pairs(wrong).is_err(), "{wrong:?}");
        }
    }
}
