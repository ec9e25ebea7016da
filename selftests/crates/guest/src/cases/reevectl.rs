// SPDX-License-Identifier: GPL-2.0-or-later

//! The command-line tool, as people and scripts use it.

use std::io::Write;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::process::Stdio;

use nix::fcntl::fcntl;
use nix::fcntl::FcntlArg;
use nix::fcntl::FdFlag;

use reeve_uapi::knobs;
use reeve_uapi::LOCK_SANITY_NAMES;

use crate::beside::Run;
use crate::seen::open;
use crate::seen::populated;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;
use crate::test::Stop;

cases!("reevectl";
    lock_sanity_is_a_table,
    lock_sanity_says_what_is_missing,
    report_passes,
    report_in_json,
    objects_end_with_the_command,
    objects_stay_with_an_inherited_file,
    batches_share_a_file,
    batches_name_the_line,
    shrink_until_nothing_is_left,
    limits_of_a_file,
    errors_are_explained,
    exit_codes,
);

/// Runs reevectl with these words and this input.
pub(super) fn reevectl_with(args: &str, input: &str) -> Outcome<Run> {
    let mut child = Command::new("reevectl")
        .args(args.split_whitespace())
        .env_remove("REEVE_FD")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|err| Stop::skipped(format!("no reevectl here: {err}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Run {
        code: output.status.code(),
        out: text(output.stdout),
        err: text(output.stderr),
    })
}

/// The same without input.
pub(super) fn reevectl(args: &str) -> Outcome<Run> {
    reevectl_with(args, "")
}

fn lock_sanity_is_a_table() -> Outcome {
    let run = reevectl("lock-sanity")?;
    check_eq!((run.code, run.err.as_str()), (Some(0), ""));
    for (line, name) in run.out.lines().zip(LOCK_SANITY_NAMES) {
        check!(line.starts_with("PASS") && line.ends_with(name), "{line}");
    }
    check!(run.out.contains("20 of 20 cases passed"), "{}", run.out);
    let json = reevectl("lock-sanity --json")?.out;
    check_eq!(json.matches("\"status\": \"passed\"").count(), 20);
    Ok(())
}

fn lock_sanity_says_what_is_missing() -> Outcome {
    knobs::set_parameter("enable_builtin_tests", "0")?;
    let run = reevectl("lock-sanity")?;
    check_eq!(run.code, Some(1));
    check!(
        run.err.contains("EPERM") && run.err.contains("enable_builtin_tests"),
        "{}",
        run.err
    );
    Ok(())
}

fn report_passes() -> Outcome {
    let limit = knobs::parameter("pages_limit")?;
    let run = reevectl("report --objects 4 --size 64K")?;
    check_eq!(run.code, Some(0), "{}{}", run.out, run.err);
    check!(run.out.contains("verdict: PASS"), "{}", run.out);
    check!(
        run.out.lines().all(|line| line.chars().count() <= 100),
        "{}",
        run.out
    );
    check_eq!(knobs::parameter("pages_limit")?, limit);
    Ok(())
}

fn report_in_json() -> Outcome {
    let run = reevectl("report --objects 4 --size 64K --json")?;
    check_eq!(run.code, Some(0), "{}{}", run.out, run.err);
    check!(
        run.out.starts_with("{\n") && run.out.ends_with("}\n"),
        "{}",
        run.out
    );
    for key in [
        "schema",
        "kernel",
        "module",
        "lock_sanity",
        "shrink",
        "checks",
        "passed",
    ] {
        check!(run.out.contains(&format!("\n  \"{key}\": ")), "{key}");
    }
    Ok(())
}

fn objects_end_with_the_command() -> Outcome {
    let run = reevectl("bo create --size 1M")?;
    check_eq!(
        (run.code, run.out.trim().parse::<u32>().is_ok()),
        (Some(0), true)
    );
    check!(run.err.contains("ends with this command"), "{}", run.err);
    check_eq!(open()?.stats()?.buffer_objects, 0);
    Ok(())
}

fn objects_stay_with_an_inherited_file() -> Outcome {
    let device = open()?;
    fcntl(device.as_fd(), FcntlArg::F_SETFD(FdFlag::empty()))?;
    let fd = device.as_fd().as_raw_fd();
    let run = |args: &str| reevectl(&format!("--fd {fd} {args}"));
    let created = run("bo create --size 40K --type kernel --extra-pages 2")?;
    check_eq!((created.code, created.err.as_str()), (Some(0), ""));
    let handle = created.out.trim();
    check_eq!(run(&format!("bo fill {handle} --pattern 7"))?.code, Some(0));
    check_eq!(
        run(&format!("bo swapout {handle}"))?.out,
        format!("object {handle} gave 12 pages\n")
    );
    check!(run("bo list")?.out.contains("swapped"));
    check_eq!(
        run(&format!("bo check {handle} --pattern 7"))?.code,
        Some(0)
    );
    let wrong = run(&format!("bo check {handle} --pattern 8"))?;
    check_eq!(wrong.code, Some(1));
    check!(
        wrong.err.contains("does not hold pattern 8"),
        "{}",
        wrong.err
    );
    check_eq!(device.list()?.len(), 1);
    check_eq!(run(&format!("bo destroy {handle}"))?.code, Some(0));
    check!(device.list()?.is_empty());
    Ok(())
}

fn batches_share_a_file() -> Outcome {
    let script = "
        # fill, swap out, check
        bo create --size 1M --zero
        bo fill last --pattern 3
        bo swapout last
        bo info last
        bo check last --pattern 3    # swaps it in
        stat
        bo destroy last
    ";
    let run = reevectl_with("batch", script)?;
    check_eq!((run.code, run.err.as_str()), (Some(0), ""), "{}", run.out);
    check!(run.out.contains("swapped"), "{}", run.out);
    check!(
        run.out.contains("all 1048576 bytes are those of pattern 3"),
        "{}",
        run.out
    );
    Ok(())
}

fn batches_name_the_line() -> Outcome {
    let script = "bo create --size 4K\n\nbo pin last\nbo destroy last\n";
    let run = reevectl_with("batch", script)?;
    check_eq!(run.code, Some(1));
    check!(run.err.contains("line 3: could not pin"), "{}", run.err);
    check!(!run.out.contains("gone"), "{}", run.out);
    let run = reevectl_with("batch --keep-going", script)?;
    check_eq!(run.code, Some(1));
    check!(run.out.contains("gone"), "{}", run.out);
    check_eq!(reevectl_with("batch", "bo destory 1")?.code, Some(2));
    Ok(())
}

fn shrink_until_nothing_is_left() -> Outcome {
    let device = open()?;
    for pages in [3, 4] {
        populated(&device, pages)?;
    }
    let run = reevectl("shrink --all")?;
    check_eq!(run.code, Some(0));
    let lines: Vec<&str> = run.out.lines().collect();
    check_eq!(
        lines,
        [
            "round 1: 3 pages",
            "round 2: 4 pages",
            "round 3: nothing left to swap out",
            "total: 7 pages"
        ]
    );
    Ok(())
}

fn limits_of_a_file() -> Outcome {
    let input = "limit\nlimit 300\nbo create --size 1M\nbo populate last\n\
                 bo create --size 512K\nbo populate last\nbo info 1\nlimit --json\n";
    let run = reevectl_with("batch", input)?;
    check_eq!(run.code, Some(0), "{}", run.err);
    check!(run.out.starts_with("limit           none\n"), "{}", run.out);
    for shown in [
        "limit           300 (1.2 MiB)",
        "flags           swapped",
        "\"limit\": 300",
        "\"pages_charged\": 128",
        "\"overcommits\": 0",
    ] {
        check!(run.out.contains(shown), "{shown}: {}", run.out);
    }
    let run = reevectl("limit many")?;
    check_eq!(run.code, Some(2));
    Ok(())
}

fn errors_are_explained() -> Outcome {
    for (args, words) in [
        ("bo info 99", "no object of that handle (ENOENT)"),
        (
            "bo create --size 1 --device 9",
            "no device of this index (ENOENT)",
        ),
        ("bo create --size 0", "EINVAL"),
        ("--node /dev/null stat", "not a Reeve device (ENOTTY)"),
        ("--node /dev/reef stat", "no such device node (ENOENT)"),
        ("--fd 77 stat", "nothing is open under this number (EBADF)"),
    ] {
        let run = reevectl(args)?;
        check_eq!(run.code, Some(1), "{args}");
        check!(run.err.contains(words), "{args}: {}", run.err);
        check!(
            run.err.lines().count() >= 2,
            "{args} says what to do next: {}",
            run.err
        );
    }
    Ok(())
}

fn exit_codes() -> Outcome {
    for (args, code) in [
        ("--help", 0),
        ("bo --help", 0),
        ("--version", 0),
        ("version", 0),
        ("stat --json", 0),
        ("", 2),
        ("bo", 2),
        ("bo create", 2),
        ("bo create --size lots", 2),
        ("bo pin first", 2),
        ("nonsense", 2),
        ("bo destroy 1", 1),
    ] {
        check_eq!(reevectl(args)?.code, Some(code), "reevectl {args}");
    }
    Ok(())
}
