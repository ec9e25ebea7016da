// SPDX-License-Identifier: GPL-2.0-or-later

//! The diagram and the table of a TT's states in Documentation/accounting.md are made from [`TRANSITIONS`].
//!
//! `make docs` writes them (it sets `REEVE_WRITE_DOCS` to their directory); otherwise what is there has to be what would be written.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::path::{Path, PathBuf};
use std::{env, fs};

use reeve_host::bo::rules::state::{Event, State, TRANSITIONS};

const BEGIN: &str = "<!-- made from rust/bo/rules/state.rs by `make docs` -->\n";
const END: &str = "<!-- end of what was made -->\n";

/// The words of a variant's name: `PartlyBackedUp` is "partly backed up".
fn words(variant: &impl Debug) -> String {
    let mut words = String::new();
    for letter in format!("{variant:?}").chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

/// What leads from one state to another, in the order of the table.
fn edges() -> Vec<((State, State), Vec<String>)> {
    let mut edges: Vec<((State, State), Vec<String>)> = Vec::new();
    for (from, event, after) in TRANSITIONS {
        let Some(to) = after else { continue };
        if event == Event::Fini {
            continue;
        }
        match edges.iter_mut().find(|(ends, _)| *ends == (from, to)) {
            Some((_, events)) => events.push(words(&event)),
            None => edges.push(((from, to), vec![words(&event)])),
        }
    }
    edges
}

/// A diagram in the language that code hosts draw. The end of the TT, which every state can come to, is left to the
/// table.
fn diagram() -> String {
    let mut text = String::from("```mermaid\nstateDiagram-v2\n");
    for state in State::ALL {
        let name = words(&state);
        let pages = if state.holds_pages() {
            "pages"
        } else {
            "no pages"
        };
        writeln!(text, "    {state:?}: {name} ({pages})").expect("a string");
    }
    writeln!(text, "    [*] --> {:?}: create", State::Empty).expect("a string");
    for ((from, to), events) in edges() {
        writeln!(text, "    {from:?} --> {to:?}: {}", events.join(", ")).expect("a string");
    }
    text.push_str("```\n");
    text
}

/// A row for each state, a column for each event; what changes nothing is empty.
fn table() -> String {
    let head: Vec<String> = Event::ALL.iter().map(words).collect();
    let mut text = format!(
        "| from | {} |\n|---{}|\n",
        head.join(" | "),
        "|---".repeat(head.len())
    );
    let after: BTreeMap<String, String> = TRANSITIONS
        .iter()
        .map(|(from, event, after)| {
            let to = after.as_ref().map_or(String::new(), words);
            (format!("{from:?} {event:?}"), to)
        })
        .collect();
    for state in State::ALL {
        write!(text, "| {} |", words(&state)).expect("a string");
        for event in Event::ALL {
            write!(text, " {} |", after[&format!("{state:?} {event:?}")]).expect("a string");
        }
        text.push('\n');
    }
    text.replace("|  |", "| |").replace("|  |", "| |")
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../Documentation/accounting.md")
}

#[test]
fn the_page_shows_the_states_of_the_code() {
    let text = fs::read_to_string(page()).expect("the page");
    let (before, rest) = text.split_once(BEGIN).expect("where it begins");
    let (_, after) = rest.split_once(END).expect("where it ends");
    let right = format!("{before}{BEGIN}\n{}\n{}\n{END}{after}", diagram(), table());
    if let Some(dir) = env::var_os("REEVE_WRITE_DOCS") {
        let page = Path::new(&dir).join("accounting.md");
        fs::write(page, right).expect("the page can be written");
        return;
    }
    assert!(
        text == right,
        "the states in Documentation/accounting.md are not those of the code; `make docs` writes them"
    );
}

#[test]
fn the_diagram_has_every_state_and_no_way_back_to_itself_but_one() {
    let edges = edges();
    for state in State::ALL {
        assert!(
            edges.iter().any(|((from, _), _)| *from == state),
            "{state:?}"
        );
        assert!(edges.iter().any(|((_, to), _)| *to == state), "{state:?}");
    }
    let loops: Vec<_> = edges.iter().filter(|((from, to), _)| from == to).collect();
    assert_eq!(loops.len(), 1, "{loops:?}");
}
