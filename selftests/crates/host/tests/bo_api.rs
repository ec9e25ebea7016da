// SPDX-License-Identifier: GPL-2.0-or-later

//! The header of page accounting for drivers: each function is called by a test, is in the table of the manual, says
//! what it stands for, and is exported; and the header compiles by itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const HEADER: &str = "rust/include/reeve/bo.h";

/// What calls it.
const TESTS: [&str; 7] = [
    "selftests/modules/bo_api/main.c",
    "selftests/modules/bo_api/misuse.c",
    "selftests/modules/bo_api/mapped.c",
    "selftests/modules/bo_api/sweep.c",
    "selftests/modules/bo_api/bo_table.c",
    "selftests/samples/gpu-c/reeve_gpu.c",
    "selftests/samples/gpu-drm/reeve_gpu_drm.c",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

fn text_of(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The text without its comments.
fn code(text: &str) -> String {
    let mut kept = String::new();
    for (index, part) in text.split("/*").enumerate() {
        kept.push_str(match (index, part.split_once("*/")) {
            (0, _) => part,
            (_, Some((_, after))) => after,
            (_, None) => "",
        });
    }
    kept
}

/// The functions that are called or declared in this text.
fn functions(text: &str) -> BTreeSet<String> {
    let code = code(text);
    let words = code.match_indices("reeve_").filter_map(|(at, _)| {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            return None;
        }
        let rest = &code[at..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
        rest[end..].starts_with('(').then(|| rest[..end].to_owned())
    });
    words.collect()
}

fn missing(declared: &BTreeSet<String>, known: impl Fn(&str) -> bool) -> Vec<&String> {
    declared.iter().filter(|name| !known(name)).collect()
}

#[test]
fn every_function_is_called_by_a_test() {
    let declared = functions(&text_of(HEADER));
    assert!(declared.len() >= 35, "{declared:?}");
    let mut called = BTreeSet::new();
    for file in TESTS {
        called.extend(functions(&text_of(file)));
    }
    let missing = missing(&declared, |name| called.contains(name));
    assert!(missing.is_empty(), "in no test: {missing:?}");
}

/// What has a value of its own in the header, and is a flag of a call or an op.
fn flags(text: &str) -> BTreeSet<String> {
    let code = code(text);
    let defined = code.lines().filter_map(|line| {
        let (name, value) = line
            .strip_prefix("#define ")?
            .split_once(char::is_whitespace)?;
        value.contains("1U <<").then(|| name.to_owned())
    });
    defined.collect()
}

#[test]
fn every_flag_is_used_by_a_test() {
    let declared = flags(&text_of(HEADER));
    assert!(declared.len() >= 9, "{declared:?}");
    let texts: Vec<String> = TESTS.iter().map(|file| code(&text_of(file))).collect();
    let missing = missing(&declared, |name| {
        texts.iter().any(|text| {
            let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
            words.into_iter().any(|word| word == name)
        })
    });
    assert!(missing.is_empty(), "in no test: {missing:?}");
}

#[test]
fn every_function_is_in_the_sweep_or_allocates_nothing() {
    let declared = functions(&text_of(HEADER));
    let mut called = functions(&text_of("selftests/modules/bo_api/sweep.c"));
    // The sweep maps an object by this function of mapped.c.
    let mapped = text_of("selftests/modules/bo_api/mapped.c");
    assert!(functions(&mapped).contains("reeve_bo_mmap"));
    called.insert("reeve_bo_mmap".to_owned());
    let missing = missing(&declared, |name| called.contains(name));
    assert!(missing.is_empty(), "in no sweep: {missing:?}");
}

#[test]
fn every_function_with_a_handle_is_misused_in_every_way() {
    let table = text_of("selftests/modules/bo_api/bo_table.c");
    let declared = functions(&text_of(HEADER));
    // These two are given none.
    let without = ["reeve_device_register", "reeve_client_create"];
    let missing = missing(&declared, |name| {
        without.contains(&name) || table.contains(&format!("{{ \"{name}\", "))
    });
    assert!(missing.is_empty(), "not in the table: {missing:?}");
}

#[test]
fn every_function_is_documented_and_exported() {
    let header = text_of(HEADER);
    let declared = functions(&header);
    let manual = text_of("Documentation/drivers.md");
    let api = text_of("rust/bo/api.c");
    for name in &declared {
        assert!(
            manual.contains(&format!("`{name}()`")),
            "{name} is not in the manual"
        );
        let exported = api.contains(&format!("EXPORT_SYMBOL_GPL({name})"));
        assert!(exported, "{name} is not exported");
        let comment = format!(" * {name}() - ");
        let (_, comment) = header
            .split_once(&comment)
            .unwrap_or_else(|| panic!("{name} has no comment"));
        let (comment, _) = comment.split_once("*/").unwrap_or((comment, ""));
        let of_clients = name.starts_with("reeve_client_");
        assert!(
            of_clients || comment.contains("Stands for"),
            "{name} stands for nothing"
        );
    }
}

/// What the header includes, as far as it needs it.
const STUBS: [(&str, &str); 3] = [
    (
        "linux/types.h",
        "typedef unsigned long long u64; typedef unsigned int u32; typedef unsigned long ulong;\n\
         #include <stddef.h>\n#include <stdbool.h>\n",
    ),
    (
        "linux/mm.h",
        "#include <linux/types.h>\nstruct page; struct vm_area_struct; typedef struct { ulong p; } pgprot_t;\n",
    ),
    ("linux/scatterlist.h", "struct sg_table;\n"),
];

#[test]
fn the_header_compiles_by_itself() {
    let dir = std::env::temp_dir().join(format!("reeve-bo-h-{}", std::process::id()));
    let uapi = dir.join("reeve.h");
    for (name, text) in STUBS {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&dir)).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::write(uapi, "").unwrap();
    let source = dir.join("alone.c");
    fs::write(
        &source,
        "#include <reeve/bo.h>\n#include <reeve/bo.h>\nint x;\n",
    )
    .unwrap();
    let include = root().join("rust/include");
    let mut tried = 0;
    for (compiler, language) in [("gcc", "c"), ("clang", "c"), ("g++", "c++")] {
        let done = Command::new(compiler)
            .args([
                "-x",
                language,
                "-fsyntax-only",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-I",
            ])
            .arg(&dir)
            .arg("-I")
            .arg(&include)
            .arg(&source)
            .output();
        let Ok(done) = done else {
            continue;
        };
        tried += 1;
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{compiler}:\n{said}");
    }
    fs::remove_dir_all(&dir).unwrap();
    assert!(tried > 0, "there is no compiler");
}

#[test]
fn functions_are_found() {
    let text = "/* reeve_none() */ int reeve_a(void);\n struct reeve_b *reeve_c(int x); my_reeve_d(); reeve_e;";
    let found: Vec<String> = functions(text).into_iter().collect();
    assert_eq!(found, ["reeve_a", "reeve_c"]);
}
