// SPDX-License-Identifier: GPL-2.0-or-later

//! `reevectl locks`, beside the files it reads.

use std::io::BufRead;
use std::io::BufReader;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::process::Stdio;

use nix::sys::signal::kill;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use serde_json::Value;

use reeve_uapi::knobs;

use super::reevectl::reevectl;
use crate::beside::Run;
use crate::module;
use crate::seen::open;
use crate::seen::populated;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;
use crate::test::Stop;

cases!("reevectl_locks";
    fresh_module,
    no_device_is_needed,
    json_is_what_the_files_say,
    use_is_seen,
    dot_is_the_file,
    svg_without_graphviz,
    watching_ends_by_count,
    watching_ends_by_interrupt,
    switched_off_is_said,
    errors_are_explained,
    wrong_usage,
);

const NOTHING_HELD: &str = "Nothing: no thread and no interrupt holds";
const NO_VIOLATION: &str = "None: every recorded use of a lock was in order.";

/// Nothing has been done with the module yet.
fn fresh() -> Outcome {
    module::need_file()?;
    module::remove()?;
    Ok(module::insert("enable_builtin_tests=1")??)
}

#[track_caller]
fn succeeds(args: &str) -> Outcome<String> {
    let Run { code, out, err } = reevectl(args)?;
    if (code, err.as_str()) == (Some(0), "") {
        return Ok(out);
    }
    Err(Stop::failed(format!(
        "reevectl {args}: {code:?}, {out}{err}"
    )))
}

#[track_caller]
fn json(args: &str) -> Outcome<Value> {
    let text = succeeds(args)?;
    serde_json::from_str(&text).map_err(|err| Stop::failed(format!("{err}: {text}")))
}

fn file(name: &str) -> Outcome<String> {
    Ok(knobs::debugfs(&format!("lock_order/{name}"))?)
}

/// The names of the module's own orders, outermost first.
fn own_orders() -> Outcome<Vec<String>> {
    let text = file("hierarchies")?;
    let mut lines = text.lines();
    check_eq!(lines.next(), Some("hierarchy reeve"), "{text}");
    let own = lines.take_while(|line| line.starts_with("  "));
    let names = own.filter_map(|line| line.split_whitespace().nth(1));
    let names: Vec<String> = names.map(str::to_owned).collect();
    check!(names.len() >= 5 && names[0] == "FileHandles", "{text}");
    Ok(names)
}

fn fresh_module() -> Outcome {
    fresh()?;
    let whole = succeeds("locks")?;
    let orders = own_orders()?;
    let mut rest = whole.as_str();
    let titles = ["Hierarchies\n", "\n  reeve "].into_iter();
    for words in titles.chain(orders.iter().map(String::as_str)) {
        let Some((_, after)) = rest.split_once(words) else {
            return Err(Stop::failed(format!("no {words:?} in its place: {whole}")));
        };
        rest = after;
    }
    for words in ["Held now\n", NOTHING_HELD, "Violations\n", NO_VIOLATION] {
        check!(rest.contains(words), "{words}: {whole}");
    }
    for (args, words) in [
        ("locks --held", NOTHING_HELD),
        ("locks --violations", NO_VIOLATION),
    ] {
        let text = succeeds(args)?;
        check!(text.contains(words), "{text}");
        check!(!text.contains("Hierarchies"), "{text}");
    }
    for args in ["locks", "locks --hierarchies", "locks --graph"] {
        let text = succeeds(args)?;
        check!(
            text.lines().all(|line| line.chars().count() <= 100),
            "{text}"
        );
    }
    Ok(())
}

fn no_device_is_needed() -> Outcome {
    check!(succeeds("--node /dev/reef locks")?.contains("FileHandles"));
    Ok(())
}

/// The text of `hierarchies`, made from the JSON.
fn hierarchies_of(json: &Value) -> String {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut lines = Vec::new();
    for hierarchy in list(&json["hierarchies"]) {
        lines.push(format!("hierarchy {}\n", text(&hierarchy["name"])));
        for order in list(&hierarchy["orders"]) {
            let nestable = match order["nestable"] == true {
                true => " nestable",
                false => "",
            };
            let name = text(&order["name"]);
            lines.push(format!("  {} {name}{nestable}\n", order["order"]));
        }
        for rule in list(&hierarchy["rules"]) {
            let mode = match rule["mode"].as_str() {
                Some("any") => "in any mode",
                Some(mode) => mode,
                None => "-",
            };
            let unless = match rule["unless_held"].as_str() {
                Some(name) => format!(" unless {name} is held"),
                None => String::new(),
            };
            let (order, held) = (text(&rule["order"]), text(&rule["while_held"]));
            lines.push(format!(
                "  rule: not {order} while {held} is held {mode}{unless}\n"
            ));
        }
    }
    lines.concat()
}

fn json_is_what_the_files_say() -> Outcome {
    fresh()?;
    // Looking may take a lock of the module's; from now on it is known as taken.
    succeeds("locks")?;
    let whole = json("locks --json")?;
    check_eq!(whole["schema"], 1);
    check_eq!(whole["tracking"], true);
    check_eq!(hierarchies_of(&whole), file("hierarchies")?);

    check_eq!(whole["held"]["holders"].as_array().map(Vec::len), Some(0));
    check_eq!(file("held")?, "");

    let violations = file("violations")?;
    let total = format!("total {}\n", whole["violations"]["total"]);
    check!(violations.starts_with(&total), "{violations}");
    for key in ["hierarchies", "held", "violations", "graph"] {
        let view = json(&format!("locks --json --{key}"))?;
        check_eq!(view[key], whole[key], "--{key}");
    }

    let graph = file("graph")?;
    let clusters = whole["graph"]["hierarchies"].as_array();
    let clusters = clusters.ok_or_else(|| Stop::failed("no graph"))?;
    let count = |key: &str| -> usize {
        let lists = clusters
            .iter()
            .filter_map(|cluster| cluster[key].as_array());
        lists.map(Vec::len).sum()
    };
    let across = whole["graph"]["across"].as_array().map_or(0, Vec::len);
    check_eq!(
        count("edges") + across,
        graph.matches(" -> ").count(),
        "{graph}"
    );
    check_eq!(
        clusters.len(),
        graph.matches("subgraph ").count(),
        "{graph}"
    );
    check_eq!(count("orders"), graph.matches("[label=").count(), "{graph}");

    // Last, because it takes locks.
    check_eq!(
        whole["violations"]["total"],
        open()?.stats()?.lock_violations
    );
    Ok(())
}

/// Whether the order was ever taken, says reevectl.
fn taken(name: &str) -> Outcome<Value> {
    let facts = json("locks --json --hierarchies")?;
    let orders = facts["hierarchies"][0]["orders"].as_array();
    let order = orders.and_then(|orders| orders.iter().find(|order| order["name"] == name));
    match order {
        Some(order) => Ok(order["taken"].clone()),
        None => Err(Stop::failed(format!("no {name} in {facts}"))),
    }
}

fn use_is_seen() -> Outcome {
    fresh()?;
    check_eq!(taken("BoReservation")?, false);
    let device = open()?;
    populated(&device, 1)?;
    for name in ["FileHandles", "BoReservation"] {
        check_eq!(taken(name)?, true, "{name}");
    }
    Ok(())
}

fn dot_is_the_file() -> Outcome {
    let before = file("graph")?;
    let dot = succeeds("locks --dot")?;
    let after = file("graph")?;
    check!(dot.starts_with("digraph ") && dot.ends_with("}\n"), "{dot}");
    check!(dot == before || dot == after, "{before}{dot}{after}");
    Ok(())
}

fn svg_without_graphviz() -> Outcome {
    if Command::new("dot").arg("-V").output().is_ok() {
        let svg = succeeds("locks --svg -")?;
        check!(svg.contains("<svg") && svg.contains("FileHandles"), "{svg}");
        return Ok(());
    }
    let run = reevectl("locks --svg -")?;
    check_eq!((run.code, run.out.as_str()), (Some(1), ""));
    check!(
        run.err.contains("reevectl locks --dot >f.dot"),
        "{}",
        run.err
    );
    Ok(())
}

fn watching_ends_by_count() -> Outcome {
    fresh()?;
    let once = succeeds("locks --held")?;
    for args in [
        "locks --held --watch --count 2",
        "locks --held --watch 0.01 --count 2",
    ] {
        check_eq!(succeeds(args)?, format!("{once}\n{once}"), "{args}");
    }
    let json = succeeds("locks --json --violations --watch 0.01 --count 3")?;
    check_eq!(json.matches("\n}\n").count(), 3, "{json}");
    Ok(())
}

fn watching_ends_by_interrupt() -> Outcome {
    let mut child = Command::new("reevectl")
        .args(["locks", "--held", "--watch", "0.01"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|err| Stop::skipped(format!("no reevectl here: {err}")))?;
    let mut lines = match child.stdout.take() {
        Some(stdout) => BufReader::new(stdout).lines(),
        None => return Err(Stop::failed("no pipe")),
    };
    // Two blocks, so that it is between redraws or in one.
    let mut titles = 0;
    while titles < 2 {
        match lines.next() {
            Some(line) => titles += usize::from(line? == "Held now"),
            None => return Err(Stop::failed("it ended by itself")),
        }
    }
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT)?;
    for line in lines {
        line?;
    }
    check_eq!(child.wait()?.code(), Some(0));
    Ok(())
}

fn switched_off_is_said() -> Outcome {
    knobs::set_parameter("lock_tracking", "0")?;
    let off = reevectl("locks --held");
    knobs::set_parameter("lock_tracking", "1")?;
    let off = off?;
    check_eq!(off.code, Some(0));
    check!(off.out.starts_with("Tracking is off"), "{}", off.out);
    check!(succeeds("locks --held")?.starts_with("Held now"));
    Ok(())
}

fn errors_are_explained() -> Outcome {
    let unprivileged = Command::new("reevectl").arg("locks").uid(65534).output()?;
    check_eq!(unprivileged.status.code(), Some(1));
    let said = String::from_utf8_lossy(&unprivileged.stderr);
    check!(said.contains("(EACCES)\n  Run as root."), "{said}");

    module::need_file()?;
    module::remove()?;
    for args in [
        "locks",
        "locks --graph",
        "locks --dot",
        "locks --held --watch",
    ] {
        let run = reevectl(args)?;
        check_eq!((run.code, run.out.as_str()), (Some(1), ""), "{args}");
        check!(
            run.err.contains("(ENOENT)\n  Load the module"),
            "{}",
            run.err
        );
    }
    Ok(module::insert("enable_builtin_tests=1")??)
}

fn wrong_usage() -> Outcome {
    for args in [
        "locks --held --violations",
        "locks --json --dot",
        "locks --watch 0",
        "locks --count 2",
        "locks everything",
    ] {
        check_eq!(reevectl(args)?.code, Some(2), "reevectl {args}");
    }
    check_eq!(reevectl("locks --help")?.code, Some(0));
    Ok(())
}
