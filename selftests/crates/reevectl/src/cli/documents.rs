// SPDX-License-Identifier: GPL-2.0-or-later

//! README.md and Documentation/ show command lines and options of `reevectl`, and clap knows them all; reevectl.md
//! shows every option, and the reference transcripts the help of every command.

#[path = "../../../host/tests/pages/mod.rs"]
mod pages;

use std::collections::BTreeSet;

use clap::CommandFactory;
use clap::Parser;

use super::Args;
use super::Line;
use pages::code;
use pages::page;
use pages::pages;
use pages::text_of;
use pages::Page;

/// The long options of a command and of those below it.
fn options(command: &clap::Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter_map(clap::Arg::get_long);
    let mut all: BTreeSet<String> = own.map(|long| format!("--{long}")).collect();
    for below in command.get_subcommands() {
        all.extend(options(below));
    }
    all
}

/// All long options of `reevectl`.
fn known_options() -> BTreeSet<String> {
    let mut command = Args::command();
    // Adds --help and --version.
    command.build();
    options(&command)
}

/// The names of all commands, as words of a command line.
fn commands(command: &clap::Command, before: &str) -> Vec<String> {
    let mut names = Vec::new();
    for below in command.get_subcommands() {
        let name = format!("{before}{}", below.get_name());
        names.extend(commands(below, &format!("{name} ")));
        names.push(name);
    }
    names
}

/// The long options in a piece of text.
fn long_options(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.split(move |c| !is_part(c))
        .filter(|word| word.len() > 2 && word.starts_with("--"))
}

/// The arguments of `reevectl` in a line of code, without what follows in the shell.
fn arguments(code: &str) -> Option<&str> {
    let rest = match code.split_once("reevectl ") {
        Some((before, rest)) if before.is_empty() || before.ends_with([' ', '/']) => rest,
        _ if code.starts_with("bo ") => code,
        _ => return None,
    };
    let end = [" | ", " > ", " >", " <<", ";", "&&", " #"]
        .iter()
        .filter_map(|shell| rest.find(shell))
        .min();
    Some(&rest[..end.unwrap_or(rest.len())])
}

/// Options that `reevectl` is shown with and does not know.
fn wrong_options(pages: &[Page], known: &BTreeSet<String>) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, text) in pages {
        for code in code(text) {
            let shown = arguments(&code).unwrap_or_default();
            for option in long_options(shown).filter(|option| !known.contains(*option)) {
                complaints.push(format!("{name}: reevectl {option}"));
            }
        }
    }
    complaints
}

/// Options that a page does not have.
fn missing_options(page: &str, known: &BTreeSet<String>) -> Vec<String> {
    let code = code(page);
    let shown: BTreeSet<_> = code.iter().flat_map(|code| long_options(code)).collect();
    let missing = known.iter().filter(|option| {
        let general = matches!(option.as_str(), "--help" | "--version");
        !general && !shown.contains(option.as_str())
    });
    missing.cloned().collect()
}

/// Command lines in transcripts, and lines of a batch, that are wrong usage.
fn wrong_usage(pages: &[Page]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, text) in pages {
        let mut complain = |line: &str, result: Result<(), clap::Error>| {
            if let Err(err) = result.map_err(|err| err.to_string()) {
                let why = err.lines().next().unwrap_or_default().to_owned();
                complaints.push(format!("{name}: {line}: {why}"));
            }
        };
        for code in code(text) {
            let typed = code.strip_prefix("# ").or_else(|| code.strip_prefix("$ "));
            let Some(shown) = arguments(typed.unwrap_or(&code)) else {
                continue;
            };
            // Tables have all forms of a command in one row; prompts and lines of a batch are typed as they are.
            if typed.is_some_and(|typed| typed.starts_with("reevectl ")) {
                let words = ["reevectl"].into_iter().chain(shown.split_whitespace());
                complain(&code, Args::try_parse_from(words).map(drop));
            } else if code.starts_with("bo ") && code.contains("last") {
                complain(
                    &code,
                    Line::try_parse_from(shown.split_whitespace()).map(drop),
                );
            }
        }
    }
    complaints
}

#[track_caller]
fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn options_exist_and_are_documented() {
    let known = known_options();
    assert!(
        known.contains("--type") && known.contains("--dma-addresses") && known.contains("--help"),
        "{known:?}"
    );
    none(&wrong_options(&pages(), &known));
    none(&missing_options(
        &text_of("Documentation/reevectl.md"),
        &known,
    ));
}

#[test]
fn wrong_options_are_found() {
    let known = ["--keep-going", "--type"].map(str::to_owned).into();
    let text = "`reevectl batch [--keep-going\\|--gone]`, `other --option`\n```\n# reevectl --typ32 x | tail --lines 1\nbo create --siz 1\n```\n";
    let found = wrong_options(&page(text), &known);
    let expected = ["--gone", "--typ32", "--siz"];
    assert_eq!(
        found,
        expected.map(|word| format!("Documentation/x.md: reevectl {word}"))
    );
    assert_eq!(missing_options(text, &known), ["--type"]);
}

#[test]
fn commands_in_transcripts_are_ones() {
    none(&wrong_usage(&pages()));
}

#[test]
fn wrong_commands_in_transcripts_are_found() {
    let text = "```\n# reevectl bo pin 1\n# reevectl bo pim 1\n$ reevectl locks --held --json | head -n 3\n\
                # reevectl batch <<END\nbo check last --pattern x\nbo pin last\nEND\n```\n`reevectl bo pin|unpin H`\n";
    let found = wrong_usage(&page(text));
    let begins = ["# reevectl bo pim 1: ", "bo check last --pattern x: "];
    assert_eq!(found.len(), begins.len(), "{found:#?}");
    for (found, begin) in found.iter().zip(begins) {
        let begin = format!("Documentation/x.md: {begin}");
        assert!(found.starts_with(&begin), "{found}");
    }
}

#[test]
fn every_command_has_its_help_in_the_transcripts() {
    let transcripts = text_of("selftests/crates/reevectl/tests/cmd/help.md");
    let commands = commands(&Args::command(), "");
    assert!(commands.contains(&"bo dma-addresses".to_owned()));
    let missing = commands.iter().filter(|name| {
        let line = format!("\n$ reevectl {name} --help\n");
        !transcripts.contains(&line)
    });
    none(&missing.cloned().collect::<Vec<_>>());
}
