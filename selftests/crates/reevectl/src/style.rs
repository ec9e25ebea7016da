// SPDX-License-Identifier: GPL-2.0-or-later

//! Colours, for people who read the output on a terminal.

use std::io;
use std::io::IsTerminal;
use std::sync::OnceLock;

use clap::ValueEnum;

/// When to use colours, on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    // No texts of their own: every command has this option, and its help is to stay short.
    #[default]
    Auto,
    Always,
    Never,
}

static COLORED: OnceLock<bool> = OnceLock::new();

/// Decides it for this run.
pub(crate) fn choose(color: Color) {
    // As no-color.org has it: any value but the empty one.
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colored = is_colored(color, no_color, io::stdout().is_terminal());
    // The first choice stays, and there is one only.
    let _ = COLORED.set(colored);
}

fn is_colored(color: Color, no_color: bool, terminal: bool) -> bool {
    match color {
        Color::Auto => terminal && !no_color,
        Color::Always => true,
        Color::Never => false,
    }
}

/// A way to show a text.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Style {
    Title,
    Good,
    Bad,
}

impl Style {
    /// Returns the text in this style, or as it is.
    pub(crate) fn paint(self, text: &str) -> String {
        match COLORED.get() {
            Some(true) => self.painted(text),
            _ => text.to_owned(),
        }
    }

    fn painted(self, text: &str) -> String {
        let code = match self {
            Self::Title => "1",
            Self::Good => "32",
            Self::Bad => "1;31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Returns at most `columns` characters of a line; control sequences are none, and are kept.
pub(crate) fn first_columns(line: &str, columns: usize) -> String {
    let mut kept = String::new();
    let (mut seen, mut sequence) = (0, false);
    for c in line.chars() {
        if sequence {
            kept.push(c);
            sequence = !c.is_ascii_alphabetic();
        } else if c == '\x1b' {
            kept.push(c);
            sequence = true;
        } else if seen < columns {
            kept.push(c);
            seen += 1;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_decides() {
        for (color, no_color, terminal, expected) in [
            (Color::Auto, false, true, true),
            (Color::Auto, true, true, false),
            (Color::Auto, false, false, false),
            (Color::Always, true, false, true),
            (Color::Never, false, true, false),
        ] {
            assert_eq!(is_colored(color, no_color, terminal), expected, "{color:?}");
        }
    }

    #[test]
    fn sequences_take_no_room() {
        let red = Style::Bad.painted("abc");
        assert_eq!(red, "\x1b[1;31mabc\x1b[0m");
        assert_eq!(first_columns(&red, 3), red);
        assert_eq!(first_columns(&red, 2), "\x1b[1;31mab\x1b[0m");
        assert_eq!(first_columns("abcdef", 4), "abcd");
    }
}
