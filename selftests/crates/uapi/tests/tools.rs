// SPDX-License-Identifier: GPL-2.0-or-later

//! The files in `selftests/tools` for tools of others know the ABI and the tracepoints as they are.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// The checkout.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

fn text_of(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

/// C without comments, and lines that go on in one.
fn header() -> String {
    let text = text_of("rust/uapi/reeve.h").replace("\\\n", " ");
    let mut parts = text.split("/*");
    let mut code = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        code += part.split_once("*/").map_or("", |(_, after)| after);
    }
    code
}

/// Field name and bytes, in order; for an array all of it. Structs inside of it by their own size.
type Fields = Vec<(String, u64)>;

fn count(text: &str, constants: &BTreeMap<String, u64>) -> u64 {
    let named = || constants.get(text).copied();
    text.parse().ok().or_else(named).expect("a number")
}

/// The structs of the header.
fn structs(header: &str, constants: &BTreeMap<String, u64>) -> BTreeMap<String, Fields> {
    let mut all = BTreeMap::new();
    for part in header.split("\nstruct ").skip(1) {
        let (name, rest) = part.split_once(" {").expect("a struct");
        let (body, _) = rest.split_once("\n}").expect("its end");
        let mut fields: Fields = Vec::new();
        for line in body
            .split(';')
            .map(str::trim)
            .filter(|line| !line.is_empty())
        {
            let (kind, field) = line.rsplit_once(' ').expect("a type and a name");
            let (field, times) = match field.split_once('[') {
                Some((field, times)) => (field, count(times.trim_end_matches(']'), constants)),
                None => (field, 1),
            };
            let size = match kind.trim() {
                "__u8" => 1,
                "__u32" | "__s32" => 4,
                "__u64" => 8,
                other => {
                    let inner: &Fields = &all[other.trim_start_matches("struct ")];
                    inner.iter().map(|(_, size)| size).sum()
                }
            };
            fields.push((field.to_owned(), size * times));
        }
        all.insert(name.to_owned(), fields);
    }
    all
}

/// The bytes of a type of syzlang.
fn size(kind: &str, structs: &BTreeMap<String, Fields>, constants: &BTreeMap<String, u64>) -> u64 {
    let (head, inside) = match kind.split_once('[') {
        Some((head, rest)) => (head, rest.strip_suffix(']').unwrap_or(rest)),
        None => (kind, ""),
    };
    match head {
        "int8" => 1,
        "int32" | "reeve_handle" | "fd_reeve_fence" => 4,
        "int64" | "ptr64" => 8,
        "const" | "flags" | "len" => {
            let (_, last) = inside.rsplit_once(", ").expect("the type behind a value");
            size(last, structs, constants)
        }
        "array" => {
            let (element, times) = inside.rsplit_once(", ").expect("an array has a length");
            size(element, structs, constants) * count(times, constants)
        }
        other => {
            let fields = structs
                .get(other)
                .unwrap_or_else(|| panic!("what is {kind}?"));
            fields.iter().map(|(_, size)| size).sum()
        }
    }
}

/// Numbers that the header defines in decimal.
fn constants(header: &str) -> BTreeMap<String, u64> {
    let lines = header
        .lines()
        .filter_map(|line| line.strip_prefix("#define "));
    let pairs = lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
    });
    pairs.collect()
}

#[test]
fn syzlang_knows_every_ioctl_field_and_flag() {
    let header = header();
    let constants = constants(&header);
    let structs = structs(&header, &constants);
    let description = text_of("selftests/tools/dev_reeve.txt");
    let code: Vec<&str> = description
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();

    let mut calls = 0;
    let mut used = BTreeSet::new();
    for line in header
        .lines()
        .filter_map(|line| line.strip_prefix("#define REEVE_IOC_"))
    {
        let Some((name, rest)) = line.split_once("_IOWR(") else {
            continue;
        };
        let name = format!("REEVE_IOC_{}", name.trim());
        let (_, of) = rest.rsplit_once("struct ").expect("a struct");
        let of = of.trim_end_matches(')').trim();
        let wanted = format!("ioctl${name}(fd fd_reeve, cmd const[{name}], arg ptr[inout, {of}])");
        assert!(
            code.contains(&wanted.as_str()),
            "there is no line\n{wanted}"
        );
        used.insert(of.to_owned());
        calls += 1;
    }
    assert!(calls >= 25, "{calls}");
    let said = code
        .iter()
        .filter(|line| line.starts_with("ioctl$"))
        .count();
    assert_eq!(said, calls, "ioctls that are not in the header");

    used.insert("reeve_lock_sanity_case".to_owned());
    for name in &used {
        let begin = code.iter().position(|line| *line == format!("{name} {{"));
        let begin = begin.unwrap_or_else(|| panic!("there is no struct {name}"));
        let body = code[begin + 1..].iter().take_while(|line| **line != "}");
        let fields: Fields = body
            .map(|line| {
                let mut words = line.trim().split('\t');
                let (field, kind) = (words.next(), words.next());
                let kind = kind.unwrap_or_else(|| panic!("no type in {line}"));
                (
                    field.unwrap_or_default().to_owned(),
                    size(kind, &structs, &constants),
                )
            })
            .collect();
        assert_eq!(fields, structs[name], "{name}");
    }

    let words: BTreeSet<&str> = description
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .collect();
    let inputs = [
        "BO_TYPE_",
        "CACHING_",
        "BO_CREATE_",
        "BO_BACKUP_",
        "FILE_LIMIT_SET",
        "LOG_MODE_SET",
        "LOG_LEGACY",
        "LOG_MANUAL",
        "LOG_INITIALLY",
    ];
    let defined = header
        .lines()
        .filter_map(|line| line.strip_prefix("#define REEVE_"));
    for name in defined.filter_map(|line| line.split_whitespace().next()) {
        if inputs.iter().any(|input| name.starts_with(input)) {
            assert!(
                words.contains(format!("REEVE_{name}").as_str()),
                "no flag REEVE_{name}"
            );
        }
    }
    for word in words.iter().filter(|word| word.starts_with("REEVE_")) {
        assert!(
            header.contains(&format!("#define {word}")),
            "{word} is not in the header"
        );
    }
}

/// The fields of the tracepoints, by name.
fn tracepoints() -> BTreeMap<String, BTreeSet<String>> {
    let mut classes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut events = BTreeMap::new();
    for path in ["rust/bo/trace.h", "rust/lock_order/trace.h"] {
        let text = text_of(path);
        let mut current = String::new();
        for line in text.lines() {
            let inside = |head: &str| {
                line.strip_prefix(head)
                    .map(|rest| rest.trim_end_matches(','))
            };
            if let Some(name) = inside("DECLARE_EVENT_CLASS(") {
                current = name.to_owned();
            } else if let Some(name) = inside("TRACE_EVENT(").or_else(|| inside("TRACE_EVENT_FN("))
            {
                current = name.to_owned();
                events.insert(name.to_owned(), name.to_owned());
            } else if let Some(of) = inside("DEFINE_EVENT(").or_else(|| inside("DEFINE_EVENT_FN("))
            {
                let (class, name) = of.split_once(", ").expect("a class and a name");
                events.insert(name.to_owned(), class.to_owned());
            } else if let Some(field) = line.trim().strip_prefix("__field(") {
                let (_, name) = field.rsplit_once(", ").expect("a type and a name");
                let fields = classes.entry(current.clone()).or_default();
                fields.insert(name.trim_end_matches(')').to_owned());
            }
        }
    }
    events
        .into_iter()
        .map(|(name, class)| (name, classes.get(&class).cloned().unwrap_or_default()))
        .collect()
}

/// Returns what the machine's bpftrace has against a script, apart from there being no tracepoints of Reeve: that it
/// looks for them shows that it had nothing against the syntax. `None` if there is no bpftrace that knows the language of
/// the scripts (`args.x` is of 0.19) and the options (0.21), or if it runs as root only, and this is not root.
fn bpftrace_errors(script: &Path) -> Option<Vec<String>> {
    let version = Command::new("bpftrace").arg("--version").output().ok()?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let mut numbers = version
        .trim_start_matches(|c: char| !c.is_ascii_digit())
        .split('.');
    let major: u32 = numbers.next()?.parse().ok()?;
    let minor: u32 = numbers.next()?.parse().ok()?;
    if (major, minor) < (0, 21) {
        return None;
    }
    let run = Command::new("bpftrace")
        .args(["--dry-run", "-d", "ast"])
        .arg(script)
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    if said.contains("running as the root user") {
        return None;
    }
    let errors: Vec<&str> = said.lines().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(run.status.success(), errors.is_empty(), "{said}");
    Some(
        errors
            .into_iter()
            .filter(|line| !line.contains("tracepoint not found: reeve:"))
            .map(str::to_owned)
            .collect(),
    )
}

#[test]
fn bpftrace_refuses_a_script_that_is_none() {
    let script = std::env::temp_dir().join(format!("reeve-{}.bt", std::process::id()));
    fs::write(&script, "tracepoint:reeve:tt_populate { @a = = 1; }\n").unwrap();
    let errors = bpftrace_errors(&script);
    fs::remove_file(&script).unwrap();
    if let Some(errors) = errors {
        assert!(
            errors.iter().any(|line| line.contains("syntax error")),
            "{errors:?}"
        );
    }
}

#[test]
fn bpftrace_scripts_use_tracepoints_that_are_there() {
    let events = tracepoints();
    assert!(events["tt_populate"].contains("pages") && events["lock_violation"].contains("ip"));
    let mut scripts = 0;
    for entry in fs::read_dir(root().join("selftests/tools")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "bt") {
            continue;
        }
        scripts += 1;
        let text = fs::read_to_string(&path).unwrap();
        for part in text.split("tracepoint:reeve:").skip(1) {
            let (name, _) = part
                .split_once(|c: char| !c.is_ascii_lowercase() && c != '_')
                .unwrap();
            let fields = events
                .get(name)
                .unwrap_or_else(|| panic!("{path:?}: no tracepoint {name}"));
            for rest in part.split("args.").skip(1) {
                let field = rest
                    .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .next()
                    .unwrap();
                assert!(fields.contains(field), "{path:?}: {name} has no {field}");
            }
        }
        // Its own opinion, where there is one.
        if let Some(errors) = bpftrace_errors(&path) {
            assert_eq!(errors, Vec::<String>::new(), "{path:?}");
        }
    }
    assert_eq!(scripts, 3);
}
