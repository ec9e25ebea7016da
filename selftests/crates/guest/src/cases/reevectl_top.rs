// SPDX-License-Identifier: GPL-2.0-or-later

//! `reevectl top`, and what `reevectl stat` says of times, beside the module's own words.

use std::io::BufRead;
use std::io::BufReader;
use std::process::Child;
use std::process::ChildStdout;
use std::process::Command;
use std::process::Stdio;

use nix::sys::signal::kill;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use serde_json::Value;

use reeve_uapi::knobs;

use super::reevectl::reevectl;
use crate::module;
use crate::seen::open;
use crate::seen::populated;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;
use crate::test::Stop;

cases!("reevectl_top";
    shows_it_all,
    samples_as_often_as_asked,
    json_agrees_with_the_module,
    rates_add_up,
    ends_by_interrupt,
    stat_sums_up_times,
    switched_off_is_no_error,
    wrong_usage,
    without_the_module,
);

/// More pages than are needed for a populate to be timed.
const PAGES: u64 = 100;

fn succeeds(args: &str) -> Outcome<String> {
    let run = reevectl(args)?;
    check_eq!((run.code, run.err.as_str()), (Some(0), ""), "{args}");
    Ok(run.out)
}

fn json(text: &str) -> Outcome<Value> {
    serde_json::from_str(text).map_err(|err| Stop::failed(format!("{err}: {text}")))
}

/// The operations of a histogram in `latency`.
fn timed(operation: &str) -> Outcome<u64> {
    let text = knobs::debugfs("latency")?;
    let lines = text.lines().filter(|line| {
        let name = line.split(' ').next();
        name == Some(operation)
    });
    let counts = lines.filter_map(|line| line.split(' ').nth(3)?.parse::<u64>().ok());
    Ok(counts.sum())
}

fn shows_it_all() -> Outcome {
    let device = open()?;
    let _objects = [populated(&device, PAGES)?, populated(&device, PAGES)?];
    let text = succeeds("top --count 1")?;
    for words in [
        ": buffer objects 2, ",
        "the first sample",
        "\npages [#",
        " 200 of ",
        "\ndma32 [ ",
        "\npool  [",
        "\npopulates ",
        "\nswapouts ",
        "\npool_shrinks ",
        "\npopulate ",
        "\nswapin ",
    ] {
        check!(text.contains(words), "{words:?}: {text}");
    }
    check!(
        text.lines().all(|line| line.chars().count() <= 100),
        "{text}"
    );
    // Not a terminal: nothing to be redrawn.
    check!(!text.contains('\x1b'), "{text}");
    Ok(())
}

fn samples_as_often_as_asked() -> Outcome {
    let mut text = String::new();
    // On a machine with much else to do a sample may be late. One second, the default, is never early.
    for _ in 0..5 {
        text = succeeds("top --count 3 --interval 0.01")?;
        check_eq!(text.matches("Reeve ").count(), 3, "{text}");
        check_eq!(text.matches("the first sample").count(), 1, "{text}");
        check_eq!(text.matches("the last ").count(), 2, "{text}");
        if text.matches("the last 0.").count() == 2 {
            break;
        }
    }
    check_eq!(text.matches("the last 0.").count(), 2, "{text}");
    let text = succeeds("top --json --count 3 --interval 0.01")?;
    check_eq!(text.lines().count(), 3, "{text}");
    for line in text.lines() {
        check_eq!(json(line)?["schema"], 1);
    }
    Ok(())
}

fn json_agrees_with_the_module() -> Outcome {
    let device = open()?;
    let handle = populated(&device, PAGES)?;
    device.swapout(handle)?;
    let look = json(&succeeds("top --json --count 1")?)?;
    let stats = device.stats()?;
    for (name, value) in [
        ("pages_allocated", stats.pages_allocated),
        ("pages_limit", stats.pages_limit),
        ("populates", stats.populates),
        ("swapouts", stats.swapouts),
        ("swapped_pages", stats.swapped_pages),
        ("page_pool_size", stats.page_pool_size),
    ] {
        check_eq!(look["stats"][name], value, "{name}");
    }
    let rows = look["latency"].as_array();
    let rows = rows.ok_or_else(|| Stop::failed("no latency"))?;
    for row in rows {
        let operation = row["operation"].as_str().unwrap_or_default();
        let count = timed(operation)?;
        check_eq!(row["count"], count, "{operation}");
        let buckets = row["buckets"].as_array().into_iter().flatten();
        let sum: u64 = buckets.filter_map(|bucket| bucket["count"].as_u64()).sum();
        check_eq!(sum, count, "{operation}");
        if count > 0 {
            check!(row["p50_us"].as_u64() <= row["p99_us"].as_u64(), "{row}");
            check!(row["p99_us"].as_u64() <= row["max_us"].as_u64(), "{row}");
        }
    }
    Ok(())
}

/// A running `reevectl top --json`.
struct Top {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Top {
    fn start() -> Outcome<Self> {
        let mut child = Command::new("reevectl")
            .args(["top", "--json", "--interval", "0.02"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|err| Stop::skipped(format!("no reevectl here: {err}")))?;
        match child.stdout.take() {
            Some(stdout) => Ok(Self {
                child,
                lines: BufReader::new(stdout).lines(),
            }),
            None => Err(Stop::failed("no pipe")),
        }
    }

    fn look(&mut self) -> Outcome<Value> {
        match self.lines.next() {
            Some(line) => json(&line?),
            None => Err(Stop::failed("it ended by itself")),
        }
    }

    /// Interrupts it and waits for its end.
    fn end(mut self) -> Outcome {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT)?;
        for line in self.lines {
            json(&line?)?;
        }
        check_eq!(self.child.wait()?.code(), Some(0));
        Ok(())
    }
}

/// What all rates say together is what happened.
fn rates_add_up() -> Outcome {
    let device = open()?;
    let mut top = Top::start()?;
    let first = top.look()?;
    check!(first["interval"].is_null(), "{first}");
    let before = first["stats"]["populates"].as_u64().unwrap_or_default();
    for _ in 0..5 {
        populated(&device, PAGES)?;
    }
    let (mut populates, mut recent) = (0.0, 0);
    loop {
        let look = top.look()?;
        let number = |value: &Value| value.as_f64().ok_or_else(|| Stop::failed(look.to_string()));
        populates += number(&look["per_second"]["populates"])? * number(&look["interval"])?;
        recent += look["latency"][0]["recent"]["count"]
            .as_u64()
            .unwrap_or_default();
        // The times are read a moment after the counters, so they may be ahead, never behind.
        if look["stats"]["populates"].as_u64() == Some(before + 5) {
            break;
        }
    }
    let all = (populates - 5.0).abs() < 0.01;
    check!(all, "{populates}");
    check_eq!(recent, 5);
    top.end()
}

fn ends_by_interrupt() -> Outcome {
    let mut top = Top::start()?;
    for _ in 0..2 {
        top.look()?;
    }
    top.end()
}

fn stat_sums_up_times() -> Outcome {
    let device = open()?;
    let handle = populated(&device, PAGES)?;
    device.swapout(handle)?;
    let text = succeeds("stat")?;
    let (_, table) = text
        .split_once("\noperation ")
        .ok_or_else(|| Stop::failed(format!("no times: {text}")))?;
    for operation in [
        "populate",
        "swapout",
        "swapin",
        "backup",
        "restore",
        "bo_shrink",
        "pool_shrink",
    ] {
        let count = timed(operation)?.to_string();
        let row = table.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some(operation)).then(|| words.next().map(str::to_owned))
        });
        check_eq!(row.flatten(), Some(count), "{operation}: {text}");
    }
    let facts = json(&succeeds("stat --json")?)?;
    check_eq!(facts["latency"][1]["operation"], "swapout");
    check_eq!(facts["latency"][1]["count"], timed("swapout")?);
    Ok(())
}

fn switched_off_is_no_error() -> Outcome {
    knobs::set_parameter("timed_pages", "0")?;
    succeeds("top --count 2 --interval 0.01")?;
    Ok(())
}

fn wrong_usage() -> Outcome {
    for args in ["top --count 0", "top --interval 0", "top everything"] {
        check_eq!(reevectl(args)?.code, Some(2), "reevectl {args}");
    }
    check_eq!(reevectl("top --help")?.code, Some(0));
    Ok(())
}

fn without_the_module() -> Outcome {
    module::need_file()?;
    module::remove()?;
    for (args, words) in [
        ("top", "(ENOENT)\n  Load the module"),
        ("top --json", "\"errno\":\"ENOENT\""),
    ] {
        let run = reevectl(args)?;
        check_eq!((run.code, run.out.as_str()), (Some(1), ""), "{args}");
        check!(run.err.contains(words), "{}", run.err);
    }
    Ok(module::insert("enable_builtin_tests=1")??)
}
