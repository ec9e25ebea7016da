// SPDX-License-Identifier: GPL-2.0-or-later
//! Checks of the module's layout: which room may import which, no circles of files, and where `unsafe` may be.
//!
//! A room is a directory of `rust/` with the file of the same name beside it; `Documentation/contributing.md` says
//! what is where. Each check takes the sources and returns complaints, one to a line. `make lint` runs them as
//! `reeve-harness rooms CHECK DIRECTORY`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

mod imports;
mod tokens;

use imports::{module_of, Import, Sources};

/// The file of the crate's root, without its ending.
const ROOT: &str = "reeve_main";

/// The rooms, and how high each is: a room imports from lower ones and from itself.
const ROOMS: &[(&str, u32)] = &[
    ("abstractions", 1),
    ("lock_order", 2),
    ("bo", 3),
    ("chardev", 4),
    ("bench", 5),
    (ROOT, 6),
];

/// The directory in a room that is below all rooms, and imports nothing but itself.
const RULES: &str = "rules";

/// The rooms in which no files may import each other in a circle.
const WITHOUT_CIRCLES: &[&str] = &["abstractions", "lock_order", "bo", "chardev"];

/// What is not complained about.
#[derive(Debug, Clone, Copy, Default)]
struct Exceptions {
    /// A file, and a file of a higher room that it may import.
    upward: &'static [(&'static str, &'static str)],
    /// Files that may import each other in circles.
    circles: &'static [&'static [&'static str]],
}

/// What is not complained about: nothing.
const EXCEPTIONS: Exceptions = Exceptions {
    upward: &[],
    circles: &[],
};

/// The files that may have `unsafe`; a name that ends with `/` is a directory.
const UNSAFE_FILES: &[&str] = &[
    // What the kernel crate lacks.
    "abstractions.rs",
    "abstractions/",
    // The C API for drivers.
    "bo/api.rs",
    "bo/api/",
    // Pages by their struct page.
    "bo/pages.rs",
    "bo/pages/",
    // Tracepoints take C structs.
    "bo/trace/events.rs",
    // The C API, the per-thread table that works without locks, and hierarchies known by their address.
    "lock_order/api.rs",
    "lock_order/api/",
    "lock_order/context.rs",
    "lock_order/context/",
    "lock_order/hierarchy.rs",
    "lock_order/hierarchy/",
    // Records are printed by C; the module records through the C API, as other drivers do.
    "lock_order/print.rs",
    "lock_order/record.rs",
    // Loading and unloading: what may happen once only, and in this order.
    "lock_order.rs",
    "reeve_main.rs",
    // The APIs for drivers call C, and the tests of one include it.
    "include/reeve/bo.rs",
    "include/reeve/lock_order.rs",
    "lock_order/tests.rs",
    // A reader-writer semaphore that only tests use.
    "lock_order/tests/raw_rwsem.rs",
];

/// What `make lint` asks for.
#[derive(Debug, Args)]
pub struct Options {
    /// What to check.
    #[arg(value_enum)]
    check: Check,
    /// The directory with `reeve_main.rs`.
    directory: PathBuf,
}

/// A check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Check {
    /// Imports between rooms, and circles in them.
    Layout,
    /// Where `unsafe` and `kernel::` may be.
    UnsafeFiles,
}

/// Prints the complaints. True if there are none.
pub fn run(options: &Options) -> Result<bool> {
    let sources = read(&options.directory)?;
    let complaints = match options.check {
        Check::Layout => layout(&sources, &EXCEPTIONS),
        Check::UnsafeFiles => unsafe_files(&sources, UNSAFE_FILES),
    };
    for complaint in &complaints {
        println!("{complaint}");
    }
    Ok(complaints.is_empty())
}

/// The Rust files below a directory. It is an error if the root is not there.
fn read(directory: &Path) -> Result<Sources> {
    let mut sources = Sources::default();
    let root = format!("{ROOT}.rs");
    fs::metadata(directory.join(&root))
        .with_context(|| format!("there is no {root} in {}", directory.display()))?;
    let mut waiting = vec![directory.to_owned()];
    while let Some(current) = waiting.pop() {
        let listing =
            fs::read_dir(&current).with_context(|| format!("reading {}", current.display()))?;
        for entry in listing {
            let path = entry?.path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let name = path.strip_prefix(directory)?.to_string_lossy().into_owned();
            if name.ends_with(".rs") {
                let source = fs::read_to_string(&path)
                    .with_context(|| format!("reading {}", path.display()))?;
                sources.add(&name, &source);
            }
        }
    }
    Ok(sources)
}

/// Where a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    room: String,
    in_rules: bool,
    level: u32,
}

/// The place of a file; `None` if there is no such room.
fn place(file: &str) -> Option<Place> {
    let module = module_of(file);
    let room = module.first().map_or(ROOT, String::as_str);
    let in_rules = module.iter().any(|name| name == RULES);
    let (_, level) = ROOMS.iter().find(|(name, _)| *name == room)?;
    Some(Place {
        room: room.to_owned(),
        in_rules,
        level: if in_rules { 0 } else { *level },
    })
}

/// Files for drivers to include are no part of the module.
fn is_of_module(file: &str) -> bool {
    !file.starts_with("include/") && !file.starts_with("uapi/")
}

/// The KUnit tests may import what they test.
fn is_test(file: &str) -> bool {
    let module = module_of(file);
    module.iter().any(|name| name == "tests")
}

/// Complains about imports from a lower room to a higher one, about those of `rules/` from elsewhere, and about
/// circles of files in a room.
fn layout(sources: &Sources, exceptions: &Exceptions) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut imports = Vec::new();
    for (file, _) in sources.files().filter(|(file, _)| is_of_module(file)) {
        if place(file).is_none() {
            complaints.push(format!(
                "rust/{file}: is in no known room; give the room its height in ROOMS of harness/src/rooms.rs"
            ));
        } else if !is_test(file) {
            imports.extend(sources.imports(file));
        }
    }
    imports.retain(|import| is_of_module(&import.to));
    let is_excepted = |import: &Import| {
        let mut upward = exceptions.upward.iter();
        upward.any(|&(from, to)| import.from == from && import.to == to)
    };
    for import in &imports {
        if let Some(words) = misplaced(import).filter(|_| !is_excepted(import)) {
            complaints.push(format!(
                "rust/{}:{}: imports {}: {words}",
                import.from, import.line, import.to
            ));
        }
    }
    for room in WITHOUT_CIRCLES {
        let of_room = |file: &str| place(file).is_some_and(|place| place.room == *room);
        let inside = imports
            .iter()
            .filter(|import| of_room(&import.from) && of_room(&import.to));
        complaints.extend(circles(room, inside, exceptions.circles));
    }
    complaints
}

/// What is wrong with an import between two places.
fn misplaced(import: &Import) -> Option<String> {
    let (from, to) = (place(&import.from)?, place(&import.to)?);
    if from.in_rules {
        let fine = to.in_rules && to.room == from.room;
        return (!fine).then(|| "rules import only rules of their own room".to_owned());
    }
    (to.level > from.level).then(|| format!("{} is above {}", to.room, from.room))
}

/// Complains about each knot of files of a room that import each other, and shows a shortest circle in it.
fn circles<'a>(
    room: &str,
    imports: impl Iterator<Item = &'a Import>,
    excepted: &[&[&str]],
) -> Vec<String> {
    let mut next: BTreeMap<&str, Vec<&Import>> = BTreeMap::new();
    for import in imports {
        next.entry(&import.from).or_default().push(import);
    }
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut complaints = Vec::new();
    for &file in next.keys() {
        if seen.contains(file) {
            continue;
        }
        let back = |other: &&str| reachable(&next, other).contains(file);
        let knot: BTreeSet<&str> = reachable(&next, file).into_iter().filter(back).collect();
        seen.extend(&knot);
        let fine = |files: &&[&str]| knot.iter().all(|file| files.contains(file));
        if knot.is_empty() || excepted.iter().any(fine) {
            continue;
        }
        complaints.push(format!(
            "rust/{room}: {} files import each other in a circle: {}; the shortest one:",
            knot.len(),
            knot.iter().copied().collect::<Vec<_>>().join(" ")
        ));
        let paths = knot.iter().filter_map(|start| circle(&next, start));
        for import in paths.min_by_key(Vec::len).unwrap_or_default() {
            complaints.push(format!(
                "  rust/{}:{}: imports {}",
                import.from, import.line, import.to
            ));
        }
    }
    complaints
}

type Graph<'a> = BTreeMap<&'a str, Vec<&'a Import>>;

/// The files that a file imports, through others or not.
fn reachable<'a>(next: &Graph<'a>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(file) = waiting.pop() {
        for import in next.get(file).into_iter().flatten() {
            if reached.insert(import.to.as_str()) {
                waiting.push(&import.to);
            }
        }
    }
    reached
}

/// A shortest way from a file back to it.
fn circle<'a>(next: &Graph<'a>, start: &str) -> Option<Vec<&'a Import>> {
    let mut through: BTreeMap<&str, &Import> = BTreeMap::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(file) = waiting.pop_front() {
        for &import in next.get(file).into_iter().flatten() {
            if through.contains_key(import.to.as_str()) {
                continue;
            }
            through.insert(&import.to, import);
            waiting.push_back(&import.to);
        }
        if through.contains_key(start) {
            break;
        }
    }
    let mut way = vec![*through.get(start)?];
    while way[way.len() - 1].from != start {
        way.push(through.get(way[way.len() - 1].from.as_str())?);
    }
    way.reverse();
    Some(way)
}

/// Complains about `unsafe` outside the named files, about files without the attribute that forbids it, and about
/// the kernel's crate in `rules/`.
fn unsafe_files(sources: &Sources, named: &[&str]) -> Vec<String> {
    let is_named = |file: &str| {
        let mut names = named.iter();
        names.any(|name| file == *name || (name.ends_with('/') && file.starts_with(name)))
    };
    let mut complaints = Vec::new();
    for (file, tokens) in sources.files() {
        let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
        let before = |at: usize, back: usize| at.checked_sub(back).map_or("", text);
        let mut denies = false;
        for (at, token) in tokens.iter().enumerate() {
            let mut complain = |words: &str| {
                complaints.push(format!("rust/{file}:{}: {words}", token.line));
            };
            match token.text.as_str() {
                "unsafe" if !is_named(file) => complain(
                    "`unsafe` in a file that may not have it; use a safe wrapper, or see UNSAFE_FILES in harness/src/rooms.rs",
                ),
                "unsafe_code" => match before(at, 2) {
                    "deny" | "forbid" => {
                        denies |= before(at, 3) == "[" && before(at, 4) == "!";
                    }
                    _ if !is_named(file) => complain("the lint of `unsafe` may not be turned off here"),
                    _ => {}
                },
                "kernel" if module_of(file).iter().any(|name| name == RULES) => {
                    let outer = before(at, 2);
                    let in_path = before(at, 1) == "::" && outer != "use" && outer.starts_with(char::is_alphabetic);
                    if !in_path && (text(at + 1) == "::" || before(at, 1) == "use") {
                        complain("the kernel's crate is not to be known below rules/");
                    }
                }
                _ => {}
            }
        }
        if !denies && !is_named(file) {
            complaints.push(format!("rust/{file}: lacks `#![deny(unsafe_code)]`"));
        }
    }
    complaints
}

#[cfg(test)]
#[path = "rooms_tests.rs"]
mod tests;
