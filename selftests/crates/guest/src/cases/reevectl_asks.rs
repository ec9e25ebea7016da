// SPDX-License-Identifier: GPL-2.0-or-later

//! What people ask `reevectl`: who holds the memory, which limits there are, for programs and for scrapers; and that a
//! report leaves the machine as it was.

use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::Child as Program;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use nix::fcntl::fcntl;
use nix::fcntl::FcntlArg;
use nix::sys::signal::kill;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::Value;

use reeve_uapi::knobs;

use super::reevectl::reevectl;
use super::reevectl::reevectl_with;
use crate::process::Child;
use crate::runner::scale;
use crate::seen::open;
use crate::seen::populated;
use crate::seen::unchanged;
use crate::seen::until;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;
use crate::test::Stop;

cases!("reevectl_asks";
    ps_counts_a_client_once,
    ps_adds_up,
    top_shows_who,
    limits_are_sizes,
    limits_are_kept,
    prometheus_agrees_with_the_module,
    json_has_a_schema,
    errors_are_json_when_asked,
    batches_know_quotation_marks,
    violations_are_an_exit_code,
    a_report_leaves_a_module_in_use_alone,
    signals_leave_the_limit,
    signals_leave_the_limit_when_output_is_stuck,
);

fn patience() -> Duration {
    Duration::from_secs(30).mul_f64(scale())
}

#[track_caller]
fn json(args: &str) -> Outcome<Value> {
    let run = reevectl(args)?;
    check_eq!((run.code, run.err.as_str()), (Some(0), ""), "{args}");
    serde_json::from_str(&run.out).map_err(|err| Stop::failed(format!("{err}: {}", run.out)))
}

/// The clients of ours, as `ps` shows them.
fn clients() -> Outcome<Vec<Value>> {
    let all = json("ps --driver reeve --json")?;
    Ok(all["clients"].as_array().cloned().unwrap_or_default())
}

/// Descriptors that were duplicated, and passed to another process, are one client.
fn ps_counts_a_client_once() -> Outcome {
    let device = open()?;
    populated(&device, 100)?;
    let _again = device.as_fd().try_clone_to_owned()?;
    let mut child = Child::run(|line| {
        line.say(1)?;
        line.hear().map(drop)
    })?;
    child.line.hear()?;
    let ours = std::process::id();
    let own: Vec<Value> = clients()?
        .into_iter()
        .filter(|client| client["resident_bytes"] == 100 * PAGE)
        .collect();
    check_eq!(own.len(), 1, "{own:?}");
    let processes = own[0]["processes"].as_array().cloned().unwrap_or_default();
    check_eq!(processes.len(), 2, "{own:?}");
    for process in &processes {
        let pid = process["pid"].as_u64();
        check!(
            pid == Some(u64::from(ours)) || pid == Some(child.pid().as_raw() as u64),
            "{process}"
        );
        check_eq!(
            process["fds"].as_array().map(Vec::len),
            Some(2),
            "{process}"
        );
        let comm = process["comm"].as_str().unwrap_or_default();
        check!(comm.starts_with("reeve-guest"), "{process}");
    }
    let text = reevectl("ps --driver reeve")?.out;
    check_eq!(
        text.matches("400.0 KiB").count(),
        3,
        "resident and total of one row, and the sum: {text}"
    );
    check!(text.contains("\n1 client, 400.0 KiB in memory\n"), "{text}");
    child.line.say(1)?;
    child.join()
}

fn ps_adds_up() -> Outcome {
    let devices = [open()?, open()?, open()?];
    for (device, pages) in devices.iter().zip([5, 50, 20]) {
        populated(device, pages)?;
    }
    let swapped = populated(&devices[0], 7)?;
    devices[0].swapout(swapped)?;
    let clients = clients()?;
    let number = |client: &Value, key: &str| client[key].as_u64().unwrap_or_default() / PAGE;
    let resident: Vec<u64> = clients
        .iter()
        .map(|c| number(c, "resident_bytes"))
        .collect();
    check_eq!(resident, [50, 20, 5], "the most first");
    let sum: u64 = resident.iter().sum();
    check_eq!(sum, devices[0].stats()?.pages_allocated);
    check_eq!(number(&clients[2], "swapped_bytes"), 7);
    check_eq!(number(&clients[2], "total_bytes"), 12);
    Ok(())
}

fn top_shows_who() -> Outcome {
    let device = open()?;
    populated(&device, 300)?;
    let text = reevectl("top --count 1")?.out;
    check!(
        text.contains("reeve-guest") && text.contains("1.2 MiB"),
        "{text}"
    );
    let look = json("top --count 1 --json")?;
    check_eq!(look["clients"][0]["resident_bytes"], 300 * PAGE);
    Ok(())
}

/// A parameter's number.
fn parameter(name: &str) -> Outcome<u64> {
    let text = knobs::parameter(name)?;
    text.parse().map_err(|_| Stop::failed(text))
}

fn limits_are_sizes() -> Outcome {
    let device = open()?;
    let before = device.stats()?.pages_limit;
    knobs::set_parameter("pages_limit", "0")?;
    let default = device.stats()?.pages_limit;
    let limits = json("limits --set pages=64M file=2M --json")?;
    check_eq!(parameter("pages_limit")?, (64 << 20) / PAGE);
    check_eq!(parameter("file_pages_limit")?, (2 << 20) / PAGE);
    check_eq!(limits["limits"][0]["limit_bytes"], 64 << 20);
    let text = reevectl("limits")?.out;
    check!(
        text.contains("64.0 MiB") && text.contains("pages_limit"),
        "{text}"
    );
    unchanged(&device, || {
        for wrong in ["pages=lots", "pages=0", "page=1G", "pages"] {
            let run = reevectl(&format!("limits --set file=1M {wrong}"))?;
            check_eq!(run.code, Some(2), "{wrong}");
        }
        check_eq!(reevectl("limits --set file=1M file=2M")?.code, Some(2));
        Ok(())
    })?;
    check_eq!(parameter("file_pages_limit")?, (2 << 20) / PAGE);
    check_eq!(
        reevectl("limits --set pages=default file=default")?.code,
        Some(0)
    );
    check_eq!(parameter("file_pages_limit")?, 0);
    // What is in force is shown, also where the parameter says no more than `default`.
    check_eq!(device.stats()?.pages_limit, default);
    check_eq!(json("limits --json")?["limits"][0]["limit"], default);
    knobs::set_parameter("pages_limit", &before.to_string())?;
    Ok(())
}

fn limits_are_kept() -> Outcome {
    let path = "/tmp/reeve-limits.conf";
    let _ = fs::remove_file(path);
    let keep = |settings: &str| {
        let run = reevectl(&format!(
            "limits --set {settings} --persist --modprobe-conf {path}"
        ))?;
        check_eq!((run.code, run.err.as_str()), (Some(0), ""));
        check!(run.out.contains(path), "{}", run.out);
        Ok(fs::read_to_string(path)?)
    };
    let text: Outcome<String> = keep("pages=64M pool=1M");
    check!(text?.ends_with("\noptions reeve pages_limit=16384 page_pool_size=256\n"));
    let text: Outcome<String> = keep("pages=default pool=default file=default");
    check!(!text?.contains("options"));
    fs::remove_file(path)?;
    // What can't be kept is an error, and says where.
    let run = reevectl("limits --set file=default --persist --modprobe-conf /not/there.conf")?;
    check_eq!(run.code, Some(1));
    check!(run.err.contains("/not/there.conf"), "{}", run.err);
    Ok(())
}

fn prometheus_agrees_with_the_module() -> Outcome {
    let device = open()?;
    populated(&device, 123)?;
    let text = reevectl("stat --prometheus")?.out;
    let stats = device.stats()?;
    for (name, value) in [
        ("reeve_pages_allocated", stats.pages_allocated),
        ("reeve_pages_limit", stats.pages_limit),
        ("reeve_populates_total", stats.populates),
        ("reeve_page_size_bytes", PAGE),
        ("reeve_self_check_ok", 1),
    ] {
        let line = format!("{name} {value}");
        check!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    check!(
        text.contains("operation=\"populate\",le=\"+Inf\""),
        "{text}"
    );
    Ok(())
}

fn json_has_a_schema() -> Outcome {
    for args in [
        "lock-sanity --json",
        "bo list --json",
        "limit --json",
        "limits --json",
        "locks --json",
        "ps --json",
        "stat --json",
        "top --count 1 --json",
        "version --json",
        "report --objects 2 --size 8K --json",
    ] {
        check_eq!(json(args)?["schema"], 1, "{args}");
    }
    for command in [
        "bo info last",
        "bo dma-addresses last",
        "bo log get last",
        "bo log info last",
    ] {
        let script = format!(
            "bo create --size 8K --dma-addresses\nbo populate last\nbo log start last\n{command} --json\n"
        );
        let run = reevectl_with("batch", &script)?;
        check_eq!(run.code, Some(0), "{}", run.err);
        let (_, text) = run.out.split_once('{').unwrap_or_default();
        let value: Value = serde_json::from_str(&format!("{{{text}"))
            .map_err(|err| Stop::failed(format!("{command}: {err}: {}", run.out)))?;
        check_eq!(value["schema"], 1, "{command}");
    }
    Ok(())
}

fn errors_are_json_when_asked() -> Outcome {
    for (args, code, errno) in [
        ("--node /dev/reef stat --json", 1, Some("ENOENT")),
        ("--fd 77 stat --json", 1, Some("EBADF")),
        ("bo info 99 --json", 1, Some("ENOENT")),
        ("stat --json --nonsense", 2, None),
    ] {
        let run = reevectl(args)?;
        check_eq!((run.code, run.out.as_str()), (Some(code), ""), "{args}");
        let json: Value = serde_json::from_str(&run.err)
            .map_err(|err| Stop::failed(format!("{args}: {err}: {}", run.err)))?;
        check_eq!(json["schema"], 1);
        check_eq!(json["error"]["errno"].as_str(), errno, "{args}");
        check_eq!(json["error"]["exit_code"], code, "{args}");
        check!(json["error"]["message"].is_string(), "{json}");
    }
    Ok(())
}

fn batches_know_quotation_marks() -> Outcome {
    let dir = "/tmp/reevectl quotes #1";
    fs::create_dir_all(dir)?;
    let script = format!(
        "bo create --size 4K # one\nbo fill last --pattern 1\nbo read last --output '{dir}/a'\n\
         bo read last --output \"{dir}/b\"\nbo read last --output /tmp/reevectl\\ quotes\\ \\#1/c\n"
    );
    let run = reevectl_with("batch", &script)?;
    check_eq!((run.code, run.err.as_str()), (Some(0), ""));
    for name in ["a", "b", "c"] {
        check_eq!(fs::metadata(format!("{dir}/{name}"))?.len(), PAGE, "{name}");
    }
    fs::remove_dir_all(dir)?;
    let run = reevectl_with("batch", "stat\nbo read 'last\n")?;
    check_eq!(run.code, Some(2));
    check!(run.err.contains("line 2: a quotation mark"), "{}", run.err);
    Ok(())
}

fn violations_are_an_exit_code() -> Outcome {
    let found = open()?.stats()?.lock_violations;
    let run = reevectl("locks --violations --exit-code")?;
    check_eq!(
        run.code,
        Some(i32::from(found != 0)),
        "{found}: {}",
        run.out
    );
    Ok(())
}

fn a_report_leaves_a_module_in_use_alone() -> Outcome {
    let device = open()?;
    let handle = populated(&device, 30)?;
    let limit = knobs::parameter("pages_limit")?;
    unchanged(&device, || {
        let run = reevectl("report --objects 2 --size 8K")?;
        check_eq!((run.code, run.out.as_str()), (Some(1), ""));
        check!(
            run.err.contains("--force") && run.err.contains("(1)"),
            "{}",
            run.err
        );
        Ok(())
    })?;
    check_eq!(knobs::parameter("pages_limit")?, limit);
    device.unpopulate(handle)?;
    let run = reevectl("report --objects 2 --size 8K --force")?;
    check!(run.out.contains("verdict: "), "{}{}", run.out, run.err);
    check_eq!(knobs::parameter("pages_limit")?, limit);
    Ok(())
}

/// A report that runs.
fn report(objects: u32) -> Outcome<Program> {
    Command::new("reevectl")
        .args(["report", "--size", "8K", "--objects", &objects.to_string()])
        .env_remove("REEVE_FD")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|err| Stop::skipped(format!("no reevectl here: {err}")))
}

/// Sends a signal, waits for the end, and looks whether everything is as it was.
fn ends_by(mut program: Program, signal: Signal, limit: &str) -> Outcome {
    kill(Pid::from_raw(program.id() as i32), signal)?;
    let mut status = None;
    let ended = until(patience(), || {
        status = program.try_wait()?;
        Ok(status.is_some())
    })?;
    if !ended {
        program.kill()?;
        program.wait()?;
        return Err(Stop::failed(format!("{signal} does not end it")));
    }
    let killed_by = status.and_then(|status| status.signal());
    check_eq!(killed_by, Some(signal as i32));
    check_eq!(knobs::parameter("pages_limit")?, limit, "{signal}");
    let device = open()?;
    check!(until(patience(), || Ok(
        device.stats()?.buffer_objects == 0
    ))?);
    Ok(())
}

/// While it fills, shrinks, reads back: after so many lines of output. With 40 objects there are about 200, and the pipe
/// has room for 40 more than were read.
fn signals_leave_the_limit() -> Outcome {
    let limit = knobs::parameter("pages_limit")?;
    let signals = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
    for (lines, signal) in [0, 1, 24, 29, 30, 31, 50, 75, 90, 110]
        .into_iter()
        .zip(signals.into_iter().cycle())
    {
        let mut program = report(40)?;
        let mut output = BufReader::new(
            program
                .stdout
                .take()
                .ok_or_else(|| Stop::failed("no pipe"))?,
        );
        fcntl(output.get_ref(), FcntlArg::F_SETPIPE_SZ(4096))?;
        let mut line = String::new();
        if lines == 0 {
            // Just when it is lowered.
            check!(until(patience(), || Ok(
                knobs::parameter("pages_limit")? != limit
            ))?);
        }
        for _ in 0..lines {
            line.clear();
            check!(output.read_line(&mut line)? > 0, "it ended");
        }
        ends_by(program, signal, &limit)?;
    }
    Ok(())
}

/// The main thread waits for room in a pipe that is never read.
fn signals_leave_the_limit_when_output_is_stuck() -> Outcome {
    let limit = knobs::parameter("pages_limit")?;
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let program = report(40)?;
        let pipe: &_ = program
            .stdout
            .as_ref()
            .ok_or_else(|| Stop::failed("no pipe"))?;
        fcntl(pipe, FcntlArg::F_SETPIPE_SZ(4096))?;
        let call = format!("/proc/{}/syscall", program.id());
        let state = format!("/proc/{}/stat", program.id());
        let asleep = || -> Outcome<bool> {
            // Where the kernel shows it: in write() to standard output.
            if let Ok(text) = fs::read_to_string(&call) {
                return Ok(text.starts_with("1 0x1 "));
            }
            let text = fs::read_to_string(&state)?;
            Ok(text
                .rsplit(')')
                .next()
                .is_some_and(|rest| rest.starts_with(" S")))
        };
        check!(until(patience(), || Ok(knobs::parameter("pages_limit")?
            != limit
            && asleep()?))?);
        ends_by(program, signal, &limit)?;
    }
    Ok(())
}
