// SPDX-License-Identifier: GPL-2.0-or-later

//! Draws the graph with graphviz, where it is installed.

use std::io;
use std::io::Write;
use std::process::Command;
use std::process::Stdio;

use crate::error::Error;
use crate::error::Result;

/// Returns the SVG of a graph in graphviz's language.
pub(super) fn draw(graph: &str) -> Result<Vec<u8>> {
    let mut dot = Command::new("dot");
    dot.arg("-Tsvg");
    through(dot, graph)
}

/// Returns the output of a program for an input.
fn through(mut program: Command, text: &str) -> Result<Vec<u8>> {
    program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = program.spawn().map_err(|err| not_started(&err))?;
    let stdin = child.stdin.take();
    // At the same time, for a program that writes before it has read everything.
    let (written, output) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| stdin.map_or(Ok(()), |mut it| it.write_all(text.as_bytes())));
        let output = child.wait_with_output();
        (writer.join(), output)
    });
    let output = output.map_err(|err| Error::Check(format!("could not run dot: {err}")))?;
    if output.status.success() && matches!(written, Ok(Ok(()))) {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::Check(format!(
        "dot did not draw the graph ({})\n  {}",
        output.status,
        said.lines().next().unwrap_or("It did not say why.")
    )))
}

fn not_started(err: &io::Error) -> Error {
    match err.kind() {
        io::ErrorKind::NotFound => Error::Check(
            "--svg needs graphviz, and there is no program `dot` here\n  \
             Save the graph with `reevectl locks --dot >f.dot`, and draw it on a machine that has\n  \
             graphviz: dot -Tsvg f.dot >f.svg"
                .to_owned(),
        ),
        _ => Error::Check(format!("could not start dot: {err}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn the_result_is_what_the_program_prints() {
        let text = "digraph {}\n".repeat(100_000);
        let drawn = through(shell("echo '<svg>'; cat"), &text).unwrap();
        assert_eq!(String::from_utf8(drawn).unwrap(), format!("<svg>\n{text}"));
    }

    #[test]
    fn without_graphviz_the_way_out_is_named() {
        let err = through(Command::new("there/is/no/dot"), "").unwrap_err();
        let text = err.to_string();
        assert_eq!(err.exit_code(), 1);
        for words in ["graphviz", "reevectl locks --dot >f.dot", "dot -Tsvg f.dot"] {
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn a_failure_is_told_in_the_programs_words() {
        let text = "x".repeat(1 << 20);
        let err = through(shell("echo 'syntax error in line 1' >&2; exit 3"), &text);
        let said = err.unwrap_err().to_string();
        assert!(said.contains("exit status: 3"), "{said}");
        assert!(said.contains("syntax error in line 1"), "{said}");
        assert!(through(shell("exit 0"), &text).is_err(), "it read nothing");
    }
}
