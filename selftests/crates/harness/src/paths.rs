// SPDX-License-Identifier: GPL-2.0-or-later
//! Paths, as people like to read them.

use std::path::Path;

/// The path as seen from where we are, if it is below.
pub fn near(path: &Path) -> &Path {
    std::env::current_dir()
        .ok()
        .and_then(|here| path.strip_prefix(here).ok())
        .unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_is_shortened() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(near(&here.join("build/x")), Path::new("build/x"));
        assert_eq!(near(Path::new("/elsewhere/x")), Path::new("/elsewhere/x"));
    }
}
