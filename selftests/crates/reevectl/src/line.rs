// SPDX-License-Identifier: GPL-2.0-or-later

//! A parser of the module's files: lines, taken word by word.

use std::fmt;
use std::str::FromStr;
use std::str::Split;

use serde::Serialize;

pub(crate) type Parsed<T> = Result<T, Malformed>;

/// A line that is not what the module writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// Number of the line, from 1; one more than there are when the file ended too early.
    pub(crate) line: usize,
    expected: &'static str,
    found: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            expected, found, ..
        } = self;
        match found.as_str() {
            "" => write!(f, "expected `{expected}`, found nothing"),
            _ => write!(f, "expected `{expected}`, found {found:?}"),
        }
    }
}

/// The number of characters of a malformed line that an error shows.
const SHOWN: usize = 160;

/// The indentation of lines that continue the one above.
const INDENT: &str = "  ";

/// A line of which words are taken from the left. Words are separated by single blanks, so a word may be empty.
#[derive(Clone, Debug)]
pub(crate) struct Line<'t> {
    number: usize,
    text: &'t str,
    words: Split<'t, char>,
    expected: &'static str,
}

impl<'t> Line<'t> {
    /// Returns the lines of `text`.
    pub(crate) fn all(text: &'t str) -> impl Iterator<Item = Self> {
        text.lines().enumerate().map(|(index, text)| Self {
            number: index + 1,
            text,
            words: text.strip_prefix(INDENT).unwrap_or(text).split(' '),
            expected: "",
        })
    }

    /// Sets the format, from the first word on, that errors name as expected.
    pub(crate) fn like(mut self, expected: &'static str) -> Self {
        self.expected = expected;
        self
    }

    /// Returns the error that this line is malformed.
    pub(crate) fn malformed(&self) -> Malformed {
        Malformed {
            line: self.number,
            expected: self.expected,
            found: self.text.chars().take(SHOWN).collect(),
        }
    }

    /// Returns whether the line continues the last one that is not indented.
    pub(crate) fn is_indented(&self) -> bool {
        self.text.starts_with(INDENT)
    }

    /// Returns the whole line.
    pub(crate) fn text(&self) -> &'t str {
        self.text
    }

    /// Returns the number of words left.
    pub(crate) fn left(&self) -> usize {
        self.words.clone().count()
    }

    /// Returns the next word without taking it.
    pub(crate) fn peek(&self) -> Option<&'t str> {
        self.words.clone().next()
    }

    /// Takes the next word. Fails if there is none.
    pub(crate) fn word(&mut self) -> Parsed<&'t str> {
        self.words.next().ok_or_else(|| self.malformed())
    }

    /// Takes the next words, which have to be these.
    pub(crate) fn literal(&mut self, words: &str) -> Parsed<()> {
        for word in words.split(' ') {
            if self.word()? != word {
                return Err(self.malformed());
            }
        }
        Ok(())
    }

    /// Takes the next word if it is this one, and returns whether it was.
    pub(crate) fn accept(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        if found {
            self.words.next();
        }
        found
    }

    /// Takes the next word, which has to be a decimal number.
    pub(crate) fn number<T: FromStr>(&mut self) -> Parsed<T> {
        let word = self.word()?;
        // Without a sign, which from_str would take.
        let digits = word.bytes().all(|byte| byte.is_ascii_digit());
        let number = word.parse().ok().filter(|_| digits);
        number.ok_or_else(|| self.malformed())
    }

    /// Takes the next word as a name.
    pub(crate) fn name(&mut self) -> Parsed<Name> {
        Ok(Name::new(self.word()?))
    }

    /// Fails if words are left.
    pub(crate) fn end(&self) -> Parsed<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.malformed()),
        }
    }
}

/// Returns the error that a file ends before it is complete.
pub(crate) fn ended(text: &str, expected: &'static str) -> Malformed {
    Malformed {
        line: text.lines().count() + 1,
        expected,
        found: String::new(),
    }
}

/// A name as the module shows it: blanks and what cannot be printed escaped, `-` or nothing when
/// there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Name(Option<String>);

impl Name {
    pub(crate) fn new(word: &str) -> Self {
        Self((word != "-" && !word.is_empty()).then(|| word.to_owned()))
    }

    /// Returns the name, if there is one.
    pub(crate) fn get(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get().unwrap_or("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> Line<'_> {
        Line::all(text).next().unwrap().like("some words")
    }

    #[test]
    fn words_come_from_the_left() {
        let mut line = only("  more 17 x");
        assert!(line.is_indented());
        assert_eq!(line.left(), 3);
        assert!(!line.accept("less"));
        assert!(line.accept("more"));
        assert_eq!(line.number::<u8>(), Ok(17));
        assert!(line.end().is_err());
        assert_eq!(line.word(), Ok("x"));
        assert_eq!(line.end(), Ok(()));
        assert!(line.word().is_err());
    }

    #[test]
    fn numbers_are_decimal_and_fit() {
        for wrong in ["+1", "-1", "0x1", "256", "1.0", " 1", "x"] {
            assert!(only(wrong).number::<u8>().is_err(), "{wrong:?}");
        }
        assert_eq!(only("255").number::<u8>(), Ok(255));
    }

    #[test]
    fn errors_say_which_line_and_what_was_there() {
        let err = Line::all("a\nb c\n")
            .nth(1)
            .unwrap()
            .like("b d")
            .literal("b d");
        let err = err.unwrap_err();
        assert_eq!(err.line, 2);
        assert_eq!(err.to_string(), "expected `b d`, found \"b c\"");
        let err = ended("a\nb\n", "}");
        assert_eq!(
            (err.line, err.to_string().as_str()),
            (3, "expected `}`, found nothing")
        );
        let long = "y".repeat(10_000);
        assert!(only(&long).malformed().to_string().len() < 250);
    }

    #[test]
    fn a_word_may_be_empty() {
        let mut line = only("task 5 ");
        line.literal("task 5").unwrap();
        assert_eq!(line.name(), Ok(Name::new("-")));
        assert_eq!(line.end(), Ok(()));
        let mut line = only("   b");
        assert!(line.is_indented());
        assert_eq!((line.word(), line.word()), (Ok(""), Ok("b")));
        assert!(!only(" b").is_indented());
    }

    #[test]
    fn a_dash_is_no_name() {
        assert_eq!(Name::new("-").get(), None);
        assert_eq!(Name::new("-").to_string(), "-");
        assert_eq!(Name::new(r"a\x20b").get(), Some(r"a\x20b"));
    }
}
