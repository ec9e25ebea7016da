// SPDX-License-Identifier: GPL-2.0-or-later

//! The options of the module in a file of modprobe.d.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Write;
use std::path::Path;

const MODULE: &str = "reeve";

/// Adds these options to the file, or replaces those of the same names; what else is in it stays. The file is replaced
/// as a whole, so that it is never there in part.
pub(super) fn persist(path: &Path, options: &[(&str, String)]) -> io::Result<()> {
    let before = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(err) if err.kind() == io::ErrorKind::NotFound => String::new(),
        Err(err) => return Err(err),
    };
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    // modprobe reads files that end with .conf only.
    let mut new = name.to_owned();
    new.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(new);
    let written = write(&new, &changed(&before, options)).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        // It is the first error that matters.
        let _ = fs::remove_file(&new);
    }
    written
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Returns the text with the options changed. 0, which is the default, is left out.
fn changed(before: &str, options: &[(&str, String)]) -> String {
    let mut text = String::new();
    let mut kept: Vec<String> = Vec::new();
    let is_new = |word: &&str| {
        let name = word.split('=').next().unwrap_or_default();
        options.iter().any(|(option, _)| *option == name)
    };
    let mut lines = before.lines();
    while let Some(line) = lines.next() {
        // A line goes on in the next one behind a backslash.
        let mut whole = line.to_owned();
        while whole.ends_with('\\') {
            whole.pop();
            whole.push(' ');
            whole.push_str(lines.next().unwrap_or_default());
        }
        let mut words = whole.split_whitespace();
        if words.next() == Some("options") && words.next() == Some(MODULE) {
            kept.extend(words.filter(|word| !is_new(word)).map(str::to_owned));
        } else {
            text += whole.trim_end();
            text.push('\n');
        }
    }
    let given = options.iter().filter(|(_, value)| value != "0");
    kept.extend(given.map(|(name, value)| format!("{name}={value}")));
    if before.is_empty() {
        text += "# Written by reevectl limits --persist. Sizes are in pages.\n";
    }
    if !kept.is_empty() {
        text += &format!("options {MODULE} {}\n", kept.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options<'a>(all: &[(&'a str, &str)]) -> Vec<(&'a str, String)> {
        all.iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect()
    }

    #[test]
    fn what_else_is_there_stays() {
        let before = "# ours\nblacklist x\noptions reeve lock_tracking=0 pages_limit=5 \\\n  file_pages_limit=7\noptions reeve2 a=1\n";
        let after = changed(
            before,
            &options(&[("pages_limit", "9"), ("page_pool_size", "3")]),
        );
        assert_eq!(
            after,
            "# ours\nblacklist x\noptions reeve2 a=1\n\
             options reeve lock_tracking=0 file_pages_limit=7 pages_limit=9 page_pool_size=3\n"
        );
        let again = changed(&after, &options(&[("pages_limit", "0")]));
        assert!(
            again.ends_with("options reeve lock_tracking=0 file_pages_limit=7 page_pool_size=3\n")
        );
    }

    #[test]
    fn a_new_file_says_where_it_comes_from() {
        let after = changed("", &options(&[("pages_limit", "9")]));
        assert!(
            after.starts_with('#') && after.ends_with("\noptions reeve pages_limit=9\n"),
            "{after}"
        );
        assert!(!changed("", &options(&[("pages_limit", "0")])).contains("options"));
    }

    #[test]
    fn the_file_is_replaced() {
        let dir = std::env::temp_dir().join(format!("reevectl-modprobe-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("reeve.conf");
        persist(&path, &options(&[("pages_limit", "9")])).unwrap();
        persist(&path, &options(&[("file_pages_limit", "4")])).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.ends_with("options reeve pages_limit=9 file_pages_limit=4\n"),
            "{text}"
        );
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        assert!(persist(
            &dir.join("not/there.conf"),
            &options(&[("pages_limit", "9")])
        )
        .is_err());
        fs::remove_dir_all(&dir).unwrap();
    }
}
