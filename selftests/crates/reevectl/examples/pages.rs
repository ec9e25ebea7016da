// SPDX-License-Identifier: GPL-2.0-or-later

//! Writes the manual pages and the completions of shells, for `make install`: made from the command line, so that they
//! are never behind it.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use clap_complete::generate_to;
use clap_complete::Shell;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args_os().nth(1).map(PathBuf::from);
    let dir = dir.ok_or("usage: pages DIRECTORY")?;
    write(&dir)?;
    Ok(())
}

/// `man/reevectl.1`, `man/reevectl-bo-create.1` and so on; `reevectl.bash`, `_reevectl`, `reevectl.fish`.
fn write(dir: &Path) -> std::io::Result<()> {
    let man = dir.join("man");
    fs::create_dir_all(&man)?;
    clap_mangen::generate_to(reevectl::command(), &man)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut reevectl::command(), "reevectl", dir)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let dir = std::env::temp_dir().join(format!("reevectl-pages-{}", std::process::id()));
        write(&dir).unwrap();
        for name in [
            "reevectl",
            "reevectl-ps",
            "reevectl-limits",
            "reevectl-bo-create",
        ] {
            let page = fs::read_to_string(dir.join("man").join(format!("{name}.1"))).unwrap();
            assert!(
                page.contains(".SH NAME") && page.contains("SYNOPSIS"),
                "{name}"
            );
        }
        let page = fs::read_to_string(dir.join("man/reevectl-limits.1")).unwrap();
        assert!(page.contains("persist"), "{page}");
        for name in ["reevectl.bash", "_reevectl", "reevectl.fish"] {
            let text = fs::read_to_string(dir.join(name)).unwrap();
            assert!(text.contains("persist"), "{name}");
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}
