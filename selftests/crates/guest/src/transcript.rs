// SPDX-License-Identifier: GPL-2.0-or-later

//! Transcripts in the documentation: finding them, running their commands, and comparing what comes out.
//!
//! Everything is compared word by word but what differs from run to run: numbers, addresses, hashes, units and blanks.
//! A line `...` stands for any lines. A line may be there several times where the transcript has it once.

use std::process::Command;
use std::process::Stdio;

use crate::test::Outcome;
use crate::test::Stop;

/// Stands for a number.
const NUMBER: &str = "N";

/// Stands for any lines.
const ANY: &str = "...";

/// What is printed before the output of a command; its number follows.
const MARK: &str = "@@ command ";

/// Returns the fenced code blocks of a page that are in no language.
pub(crate) fn blocks(page: &str) -> Vec<&str> {
    let parts = page.split("```").skip(1).step_by(2);
    parts.filter_map(|part| part.strip_prefix('\n')).collect()
}

/// A command as it is typed, here-document included, and what it prints.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    command: String,
    output: Vec<String>,
}

/// Returns the steps of a block; none when it does not begin with root's prompt.
fn steps(block: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = block.lines();
    while let Some(line) = lines.next() {
        match (line.strip_prefix("# "), steps.last_mut()) {
            (Some(command), _) => {
                let mut command = command.to_owned();
                if command.contains("<<END") {
                    for line in lines.by_ref() {
                        command += "\n";
                        command += line;
                        if line == "END" {
                            break;
                        }
                    }
                }
                steps.push(Step {
                    command,
                    output: Vec::new(),
                });
            }
            (None, Some(step)) => step.output.push(line.to_owned()),
            (None, None) => return steps,
        }
    }
    steps
}

/// True for a block that begins with root's prompt.
pub(crate) fn is_typed(block: &str) -> bool {
    block.starts_with("# ")
}

/// True for what may stand in place of another number or be left out beside one.
fn is_unit(word: &str) -> bool {
    matches!(word, "us" | "ms" | "s" | "B" | "KiB" | "MiB" | "GiB")
}

/// True for numbers in any base, with any number of dots, and for hashed addresses, which may be all letters.
fn is_number(word: &str) -> bool {
    const HASH: usize = 8;
    let digits = word.strip_prefix("0x").unwrap_or(word);
    let is_digit = |c: char| c.is_ascii_hexdigit() || c == '.';
    let may_be_letters = digits != word || digits.len() == HASH;
    !digits.is_empty()
        && digits.chars().all(is_digit)
        && (may_be_letters || digits.contains(|c: char| c.is_ascii_digit()))
}

/// True for the five marks of an event in a trace: interrupts off, preemption and so on.
fn is_context(word: &str) -> bool {
    word.len() == 5 && word.matches('.').count() >= 3
}

/// Returns the words of a line that have to be the same in every run.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut put = |word: &str| {
        let word = word.strip_suffix('.').unwrap_or(word);
        let after_number = words.last().is_some_and(|last| last == NUMBER);
        match word {
            "" => {}
            _ if after_number && (is_unit(word) || is_number(word)) => {}
            _ if is_number(word) => words.push(NUMBER.to_owned()),
            _ => words.push(word.to_owned()),
        }
    };
    for part in line.split_whitespace() {
        // A cell without a number in it, and the bucket without an end.
        if matches!(part, "-" | "more") {
            put("0");
        } else if !is_context(part) {
            let mut rest = part;
            while let Some(first) = rest.chars().next() {
                let in_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
                let end = match rest.find(|c| !in_word(c)) {
                    Some(0) => first.len_utf8(),
                    Some(end) => end,
                    None => rest.len(),
                };
                let (word, after) = rest.split_at(end);
                // What a bar is made of.
                if word != "#" {
                    put(word);
                }
                rest = after;
            }
        }
    }
    words
}

/// A line to compare: its words, or any lines.
type Line = Option<Vec<String>>;

fn lines<'t>(text: impl Iterator<Item = &'t str>) -> Vec<Line> {
    let text = text.map(str::trim).filter(|line| !line.is_empty());
    text.map(|line| (line != ANY).then(|| words(line)))
        .collect()
}

fn agree(expected: &[Line], found: &[Line]) -> bool {
    match expected {
        [] => found.is_empty(),
        [None, rest @ ..] => (0..=found.len()).any(|skip| agree(rest, &found[skip..])),
        [line, rest @ ..] => {
            found.first() == Some(line)
                && (agree(rest, &found[1..]) || agree(expected, &found[1..]))
        }
    }
}

/// Compares what a command printed with a transcript of it.
pub(crate) fn compare<'t>(
    what: &str,
    transcript: impl Iterator<Item = &'t str> + Clone,
    printed: &str,
) -> Outcome {
    let mut expected = lines(transcript.clone());
    expected.dedup();
    if agree(&expected, &lines(printed.lines())) {
        return Ok(());
    }
    let transcript: Vec<&str> = transcript.collect();
    Err(Stop::failed(format!(
        "the transcript of `{what}` is not what it prints:\n{}\nIt prints:\n{printed}",
        transcript.join("\n")
    )))
}

/// Runs a script in a shell; returns what it printed, errors in between.
pub(crate) fn run(script: &str) -> Outcome<String> {
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1\n{script}")])
        .current_dir("/tmp")
        .env_remove("REEVE_FD")
        .stdin(Stdio::null())
        .output()
        .map_err(|err| Stop::skipped(format!("no shell here: {err}")))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs the commands of a block in one shell and compares what each of them prints.
pub(crate) fn check(block: &str) -> Outcome {
    let steps = steps(block);
    let mut script = String::new();
    for (number, step) in steps.iter().enumerate() {
        script += &format!("echo '{MARK}{number}'\n{}\n", step.command);
    }
    let printed = run(&script)?;
    for (number, step) in steps.iter().enumerate() {
        let begin = format!("{MARK}{number}\n");
        let (_, after) = printed
            .split_once(&begin)
            .ok_or_else(|| Stop::failed(format!("`{}` was not run: {printed}", step.command)))?;
        let (output, _) = after.split_once(MARK).unwrap_or((after, ""));
        compare(
            &step.command,
            step.output.iter().map(String::as_str),
            output,
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(transcript: &str, printed: &str) -> bool {
        compare("x", transcript.lines(), printed).is_ok()
    }

    #[test]
    fn blocks_are_found() {
        let page = "a\n```\n# one\nx\n```\n```c\nint x;\n```\n```\ny\n```\n";
        assert_eq!(blocks(page), ["# one\nx\n", "y\n"]);
    }

    #[test]
    fn commands_have_their_output() {
        let block = "# one\nx\ny\n# two <<END\nz\nEND\n1\n# three\n";
        let found = steps(block);
        let found: Vec<_> = found
            .iter()
            .map(|step| (step.command.as_str(), step.output.join("+")))
            .collect();
        assert_eq!(
            found,
            [
                ("one", "x+y".to_owned()),
                ("two <<END\nz\nEND", "1".to_owned()),
                ("three", String::new())
            ]
        );
        assert!(is_typed(block) && !is_typed("Reeve 0.1.0\n"));
    }

    #[test]
    fn numbers_may_differ() {
        for (transcript, printed) in [
            ("pages_limit  127501  498.1 MiB", "pages_limit 0"),
            ("0  512   0x4e00000\n512 88 0x10a68000", "0 600 0x1000"),
            ("populate 2  16.4 ms  65.5 ms", "populate 0 - -"),
            (
                "pages [##   ] 40.2 %  1 of 2 (4.0 KiB)",
                "pages [   ] 0.0 % 0 of 9 (0 B)",
            ),
            (
                "a-1 [001] .....   114.3: x: bo=00ab pages=5",
                "a-77 [000] d..1. 1.0: x: bo=ff00 pages=6",
            ),
            ("a\n...\nz 1\n...\nz 1", "a\nb\nz 2\nz 3"),
            ("a\n\n  b", "a\nb"),
            ("f+0x4a at 9cf44233", "f+0xae at fecdabef"),
        ] {
            assert!(same(transcript, printed), "{transcript:?} {printed:?}");
        }
    }

    #[test]
    fn words_may_not_differ() {
        for (transcript, printed) in [
            ("answer 1", "freed 1"),
            (
                "populate 2\nswapout 1",
                "populate 2\nbo_shrink 0\nswapout 1",
            ),
            ("a\n...\nz", "a\nb\ny"),
            ("a", ""),
            ("", "a"),
            ("0 -> 1", "0 1"),
            ("2 pages", "2 objects"),
            ("dma32", "dma64"),
        ] {
            assert!(!same(transcript, printed), "{transcript:?} {printed:?}");
        }
    }
}
