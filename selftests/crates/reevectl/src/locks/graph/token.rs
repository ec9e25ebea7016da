// SPDX-License-Identifier: GPL-2.0-or-later

//! The words of a line in graphviz's language.

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'t> {
    /// `"..."`, without the quotes.
    Quoted(&'t str),
    /// An unquoted name or number.
    Word(&'t str),
    /// `->`
    Arrow,
    /// One of `{}[]=,;`
    Mark(char),
}

/// Returns the tokens of a line up to a comment, or `None` if it is not in the language.
pub(super) fn tokens(line: &str) -> Option<Vec<Token<'_>>> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        if rest.starts_with("//") {
            break;
        }
        rest = if let Some(after) = rest.strip_prefix("->") {
            tokens.push(Token::Arrow);
            after
        } else if let Some(after) = rest.strip_prefix('"') {
            let (text, after) = quoted(after)?;
            tokens.push(Token::Quoted(text));
            after
        } else if "{}[]=,;".contains(first) {
            tokens.push(Token::Mark(first));
            &rest[1..]
        } else {
            let end = rest.find(|c: char| !is_plain(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            if word.is_empty() {
                return None;
            }
            tokens.push(Token::Word(word));
            after
        }
        .trim_start();
    }
    Some(tokens)
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '.'
}

/// Returns the text before the closing quote, and the rest after it. A backslash keeps the next character
/// from its meaning; both stay, as they do in names elsewhere.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((&text[..at], &text[at + 1..])),
            '\\' => drop(chars.next()?),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_its_words() {
        assert_eq!(
            tokens(r#"  "0.1" -> "0.2" [style=dashed]; // declared"#),
            Some(vec![
                Token::Quoted("0.1"),
                Token::Arrow,
                Token::Quoted("0.2"),
                Token::Mark('['),
                Token::Word("style"),
                Token::Mark('='),
                Token::Word("dashed"),
                Token::Mark(']'),
                Token::Mark(';'),
            ])
        );
        assert_eq!(tokens("// \"nothing"), Some(Vec::new()));
        assert_eq!(tokens(""), Some(Vec::new()));
    }

    #[test]
    fn quotes_hide_everything_but_quotes() {
        let text = |line| match tokens(line)?.as_slice() {
            [Token::Quoted(text)] => Some(*text),
            _ => None,
        };
        assert_eq!(text(r#""a // -> ; {""#), Some("a // -> ; {"));
        assert_eq!(text(r#""\"q\" \\ \x20""#), Some(r#"\"q\" \\ \x20"#));
        for open in [r#"""#, r#""a"#, r#""a\""#, r#""a\"#] {
            assert_eq!(tokens(open), None, "{open}");
        }
    }

    #[test]
    fn other_characters_are_not_in_the_language() {
        for line in ["a-b", "a/b", "<b>", "é", "a\u{0}"] {
            assert_eq!(tokens(line), None, "{line}");
        }
    }
}
