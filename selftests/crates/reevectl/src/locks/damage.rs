// SPDX-License-Identifier: GPL-2.0-or-later

//! No text makes a parser panic, and what it complains about is in the file.

use proptest::prelude::*;

use super::graph;
use super::held;
use super::hierarchies;
use super::samples::GRAPH;
use super::samples::HELD;
use super::samples::HIERARCHIES;
use super::samples::VIOLATIONS;
use super::violations;
use crate::line::Malformed;

/// Returns each parser's result for the text of its file.
fn complaints(texts: &[String; 4]) -> [Option<Malformed>; 4] {
    [
        hierarchies::parse(&texts[0]).err(),
        held::parse(&texts[1]).err(),
        violations::parse(&texts[2]).err(),
        graph::parse(&texts[3]).err(),
    ]
}

fn same(text: &str) -> [String; 4] {
    [(); 4].map(|()| text.to_owned())
}

fn samples() -> [&'static str; 4] {
    [HIERARCHIES, HELD, VIOLATIONS, GRAPH]
}

fn check(texts: &[String; 4]) {
    for (text, complaint) in texts.iter().zip(complaints(texts)) {
        if let Some(malformed) = complaint {
            let lines = text.lines().count();
            assert!((1..=lines + 1).contains(&malformed.line), "{malformed}");
            assert!(!malformed.to_string().contains('\n'), "{malformed}");
        }
    }
}

/// A damage that can be done to any text; its place is in per mille of the length.
#[derive(Clone, Debug)]
enum Damage {
    Cut(usize),
    Remove(usize, usize),
    Insert(usize, String),
    DropLine(usize),
    SwapLines(usize, usize),
    RepeatLine(usize),
}

impl Damage {
    fn any() -> impl Strategy<Value = Self> {
        let place = || 0..1000usize;
        let piece = prop_oneof![
            "[ -~\\n]{1,6}",
            Just("\n".to_owned()),
            Just("  ".to_owned()),
            Just("\"".to_owned()),
            Just("18446744073709551616".to_owned()),
            Just("\u{e9}\u{0}\u{2028}".to_owned()),
        ];
        prop_oneof![
            place().prop_map(Self::Cut),
            (place(), 1..40usize).prop_map(|(at, length)| Self::Remove(at, length)),
            (place(), piece).prop_map(|(at, text)| Self::Insert(at, text)),
            place().prop_map(Self::DropLine),
            (place(), place()).prop_map(|(one, other)| Self::SwapLines(one, other)),
            place().prop_map(Self::RepeatLine),
        ]
    }

    fn apply(&self, text: &str) -> String {
        let mut chars: Vec<char> = text.chars().collect();
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        let at = |place: usize, length: usize| place * length / 1000;
        if chars.is_empty() {
            return String::new();
        }
        match self {
            Self::Cut(place) => chars.truncate(at(*place, chars.len())),
            Self::Remove(place, length) => {
                let start = at(*place, chars.len());
                let end = (start + length).min(chars.len());
                chars.drain(start..end);
            }
            Self::Insert(place, piece) => {
                let start = at(*place, chars.len());
                chars.splice(start..start, piece.chars());
            }
            Self::DropLine(place) => {
                lines.remove(at(*place, lines.len()));
                return lines.concat();
            }
            Self::SwapLines(one, other) => {
                let (one, other) = (at(*one, lines.len()), at(*other, lines.len()));
                lines.swap(one, other);
                return lines.concat();
            }
            Self::RepeatLine(place) => {
                let place = at(*place, lines.len());
                lines.insert(place, lines[place]);
                return lines.concat();
            }
        }
        chars.into_iter().collect()
    }
}

#[test]
fn samples_are_not_damaged() {
    assert_eq!(
        complaints(&samples().map(str::to_owned)),
        [None, None, None, None]
    );
}

#[test]
fn every_file_cut_anywhere() {
    for (index, sample) in samples().into_iter().enumerate() {
        for (end, _) in sample.char_indices() {
            let mut texts = same("");
            texts[index] = sample[..end].to_owned();
            check(&texts);
        }
    }
}

proptest! {
    #[test]
    fn damaged_files(damages in prop::collection::vec(Damage::any(), 1..4)) {
        check(&samples().map(|sample| {
            damages.iter().fold(sample.to_owned(), |text, damage| damage.apply(&text))
        }));
    }

    #[test]
    fn any_text_at_all(text in "\\PC{0,200}", lines in "([ -~]{0,30}\n){0,8}") {
        check(&same(&text));
        check(&same(&lines));
    }
}
