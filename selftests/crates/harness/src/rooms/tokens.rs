// SPDX-License-Identifier: GPL-2.0-or-later
//! Splits Rust source into tokens: as much of the language as the checks of its layout need.
//!
//! Comments and literals do not become tokens, so a path in a doc comment is no import.

/// A token and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// The line, from 1.
    pub(super) line: usize,
    /// An identifier, `::`, or one other character.
    pub(super) text: String,
}

impl Token {
    /// Is it an identifier or a keyword?
    pub(super) fn is_name(&self) -> bool {
        self.text.starts_with(is_name_start)
    }
}

fn is_name_start(character: char) -> bool {
    character == '_' || character.is_alphabetic()
}

fn is_name_part(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

/// The tokens of a source text.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let mut reader = Reader {
        rest: source,
        line: 1,
    };
    let mut tokens = Vec::new();
    while let Some(token) = reader.token() {
        tokens.extend(token);
    }
    tokens
}

/// The text that is still to be read.
struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Reader<'a> {
    /// Takes this many bytes.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    /// Takes all characters that are like this.
    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|character| !wanted(character));
        self.take(end.unwrap_or(self.rest.len()))
    }

    /// Takes up to and including `end`, or everything.
    fn take_through(&mut self, end: &str) {
        let at = self.rest.find(end).map(|at| at + end.len());
        self.take(at.unwrap_or(self.rest.len()));
    }

    /// The next token; `Some(None)` for what is none, `None` at the end.
    fn token(&mut self) -> Option<Option<Token>> {
        let first = self.rest.chars().next()?;
        let line = self.line;
        let token = |text: &str| {
            Some(Some(Token {
                line,
                text: text.to_owned(),
            }))
        };
        if self.rest.starts_with("//") {
            self.take_while(|character| character != '\n');
        } else if self.rest.starts_with("/*") {
            self.block_comment();
        } else if first == '"' {
            self.string();
        } else if first == '\'' {
            self.quote();
        } else if is_name_start(first) {
            let name = self.take_while(is_name_part);
            let raw = name.ends_with('r') && name.len() <= 2;
            if raw && self.rest.starts_with(['"', '#']) && self.raw_string() {
                return Some(None);
            }
            return token(name);
        } else if first.is_ascii_digit() {
            self.take_while(is_name_part);
        } else if self.rest.starts_with("::") {
            return token(self.take(2));
        } else {
            let text = self.take(first.len_utf8());
            return match first.is_whitespace() {
                true => Some(None),
                false => token(text),
            };
        }
        Some(None)
    }

    /// Takes a block comment; they nest.
    fn block_comment(&mut self) {
        let mut depth = 0;
        loop {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.take(2);
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.take(2);
                if depth == 0 {
                    return;
                }
            } else if let Some(character) = self.rest.chars().next() {
                self.take(character.len_utf8());
            } else {
                return;
            }
        }
    }

    /// Takes a string literal from its opening quote.
    fn string(&mut self) {
        self.take(1);
        loop {
            self.take_while(|character| character != '"' && character != '\\');
            if !self.rest.starts_with('\\') {
                break;
            }
            self.take(1);
            let escaped = self.rest.chars().next().map_or(0, char::len_utf8);
            self.take(escaped);
        }
        self.take(self.rest.len().min(1));
    }

    /// Takes the rest of a raw string, after its `r`. False if this is none but a raw identifier.
    fn raw_string(&mut self) -> bool {
        let hashes = self.rest.len() - self.rest.trim_start_matches('#').len();
        if !self.rest[hashes..].starts_with('"') {
            return false;
        }
        self.take(hashes + 1);
        self.take_through(&format!("\"{}", "#".repeat(hashes)));
        true
    }

    /// Takes a character literal, or the quote of a lifetime.
    fn quote(&mut self) {
        let mut characters = self.rest.chars().skip(1);
        let first = characters.next();
        if first == Some('\\') {
            // The quote, the backslash and what it escapes, which may be a quote.
            self.take(2);
            let escaped = self.rest.chars().next().map_or(0, char::len_utf8);
            self.take(escaped);
            self.take_through("'");
        } else if characters.next() == Some('\'') {
            self.take(2 + first.map_or(0, char::len_utf8));
        } else {
            self.take(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<String> {
        tokens(source).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn names_paths_and_signs() {
        assert_eq!(
            texts("use a::b_1;"),
            ["use", "a", "::", "b_1", ";"].map(str::to_owned)
        );
    }

    #[test]
    fn comments_and_literals_are_none() {
        let source =
            "a // crate::x\n/* b /* c */ d */ \"crate::\\\"y\" r#\"z\"\"# b\"w\" 'v' '\\'' 0x1f e";
        assert_eq!(texts(source), ["a", "b", "e"].map(str::to_owned));
    }

    #[test]
    fn a_lifetime_is_no_character() {
        assert_eq!(texts("'a b 'c"), ["a", "b", "c"].map(str::to_owned));
    }

    #[test]
    fn lines_are_counted_through_everything() {
        let all = tokens("a\n/*\n*/ b\n\"\n\" c");
        let lines: Vec<usize> = all.iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 3, 5]);
    }
}
