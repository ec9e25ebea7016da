// SPDX-License-Identifier: GPL-2.0-or-later

//! The Rust API of page accounting for drivers declares what its C header does, calls all of it, and each of its
//! functions is called by a test; the sample driver needs `unsafe` for nothing of it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const C: [&str; 2] = ["rust/include/reeve/bo.h", "rust/uapi/reeve.h"];
const RUST: &str = "rust/include/reeve/bo.rs";
const TESTS: [&str; 2] = [
    "selftests/modules/bo_rust/reeve_bo_rust.rs",
    "selftests/samples/gpu-rust/reeve_gpu_rust.rs",
];

fn text_of(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The C text without comments and preprocessor lines.
fn c_code(text: &str) -> String {
    let mut kept = String::new();
    for (index, part) in text.split("/*").enumerate() {
        kept.push_str(match (index, part.split_once("*/")) {
            (0, _) => part,
            (_, Some((_, after))) => after,
            (_, None) => "",
        });
    }
    let lines = kept.lines().filter(|line| !line.starts_with('#'));
    lines.collect::<Vec<_>>().join("\n")
}

/// The Rust text without its comments and attributes.
fn rust_code(text: &str) -> String {
    let code = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or(""));
    let code = code.filter(|line| !line.trim_start().starts_with("#["));
    code.collect::<Vec<_>>().join("\n")
}

/// `reeve_bo_desc` is `BoDesc`.
fn camel(name: &str) -> String {
    let words = name.trim_start_matches("reeve_").split('_');
    words
        .map(|word| word[..1].to_uppercase() + &word[1..])
        .collect()
}

/// What a C type is in Rust.
fn type_of(c: &str) -> String {
    let words: Vec<&str> = c.split_whitespace().collect();
    let c = words.join(" ").replace(" *", "*");
    if let Some(pointee) = c.strip_suffix('*') {
        let (word, pointee) = match pointee.strip_prefix("const ") {
            Some(pointee) => ("const", pointee),
            None => ("mut", pointee),
        };
        return format!("*{word} {}", type_of(pointee));
    }
    match c.as_str() {
        "int" => "c_int".into(),
        "long" => "c_long".into(),
        "unsigned int" => "c_uint".into(),
        "char" => "c_char".into(),
        "void" => "c_void".into(),
        "size_t" => "usize".into(),
        "bool" | "u32" | "u64" => c,
        "pgprot_t" => "bindings::pgprot_t".into(),
        _ => match c.strip_prefix("struct ") {
            Some(name) if name.starts_with("reeve_") => camel(name),
            Some(name) => format!("bindings::{name}"),
            None => panic!("'{c}' is not known here"),
        },
    }
}

/// A C declaration in two: its type and its name.
fn parts(declaration: &str) -> (String, String) {
    let declaration = declaration.trim();
    let at = declaration
        .rfind(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or_else(|| panic!("no type: {declaration}"));
    let (of, name) = declaration.split_at(at + 1);
    (type_of(of), name.to_owned())
}

/// The functions of the header: name, types of arguments, result.
fn c_functions(code: &str) -> BTreeMap<String, (Vec<String>, String)> {
    let mut found = BTreeMap::new();
    for statement in code.split(';') {
        let statement = statement.rsplit('}').next().unwrap_or("").trim();
        let Some((before, arguments)) = statement.split_once('(') else {
            continue;
        };
        let Some(arguments) = arguments.strip_suffix(')') else {
            continue;
        };
        if statement.contains('{') || arguments.contains('(') {
            continue;
        }
        let (result, name) = parts(before);
        let arguments = match arguments.trim() {
            "void" => Vec::new(),
            arguments => arguments
                .split(',')
                .map(|argument| parts(argument).0)
                .collect(),
        };
        found.insert(name, (arguments, result));
    }
    found
}

fn rust_functions(code: &str) -> BTreeMap<String, (Vec<String>, String)> {
    let start = code.find("extern \"C\" {").expect("no extern block");
    let code = &code[start..start + code[start..].find("\n    }").expect("it ends")];
    let mut found = BTreeMap::new();
    for statement in code.split("pub(crate) fn ").skip(1) {
        let (name, rest) = statement.split_once('(').expect("arguments");
        let (arguments, result) = rest.split_once(')').expect("arguments end");
        let arguments = arguments.split(',').map(str::trim);
        let arguments = arguments.filter(|argument| !argument.is_empty());
        let of = |argument: &str| argument.split_once(": ").expect("a type").1.to_owned();
        let result = result.trim().trim_start_matches("-> ");
        let result = result.split(';').next().unwrap_or("").to_owned();
        found.insert(name.to_owned(), (arguments.map(of).collect(), result));
    }
    found
}

/// The structs that have fields, in Rust's words.
fn c_structs(code: &str) -> BTreeMap<String, Vec<(String, String)>> {
    let mut found = BTreeMap::new();
    for part in code.split("struct reeve_").skip(1) {
        let Some((name, body)) = part.split_once('{') else {
            continue;
        };
        if !name.trim().chars().all(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        // The members of one may be of another, so the text was cut there.
        let whole = &code[code.find(&format!("struct reeve_{name}{{")).unwrap()..];
        let body = match whole.split_once("};") {
            Some((body, _)) => body.split_once('{').unwrap().1,
            None => body,
        };
        let mut fields = Vec::new();
        for field in body.split(';').map(str::trim).filter(|f| !f.is_empty()) {
            if let Some((result, rest)) = field.split_once("(*") {
                let (name, arguments) = rest.split_once(")(").unwrap();
                let arguments: Vec<String> = arguments
                    .trim_end_matches(')')
                    .split(',')
                    .map(|argument| parts(argument).0)
                    .collect();
                let result = match result.trim() {
                    "void" => String::new(),
                    result => format!(" -> {}", type_of(result)),
                };
                let arguments = arguments.join(", ");
                let of = format!("Option<unsafe extern \"C\" fn({arguments}){result}>");
                fields.push((name.to_owned(), of));
            } else if let Some((before, count)) = field.split_once('[') {
                let (of, name) = parts(before);
                fields.push((name, format!("[{of}; {}]", count.trim_end_matches(']'))));
            } else {
                let (of, name) = parts(field);
                fields.push((name, of));
            }
        }
        found.insert(camel(name.trim()), fields);
    }
    found
}

fn rust_structs(code: &str) -> BTreeMap<String, Vec<(String, String)>> {
    let mut found = BTreeMap::new();
    for part in code.split("    pub(crate) struct ").skip(1) {
        let Some((name, body)) = part.split_once(" {") else {
            continue;
        };
        if name.contains('(') {
            continue;
        }
        let body = body.split("\n    }").next().unwrap_or("");
        let fields = body.split("pub(crate) ").skip(1).map(|field| {
            let (name, of) = field.split_once(':').expect("a type");
            // What is a word of Rust's has a line behind it.
            let name = name.trim().trim_end_matches('_').to_owned();
            let of: Vec<&str> = of.split_whitespace().collect();
            (name, of.join(" ").trim_end_matches(',').to_owned())
        });
        found.insert(name.to_owned(), fields.collect());
    }
    found
}

/// The part of bo.rs that declares the C side.
fn sys() -> String {
    let code = rust_code(&text_of(RUST));
    let start = code.find("mod sys {").expect("no mod sys");
    code[start..start + code[start..].find("\n}").expect("it ends")].to_owned()
}

#[test]
fn functions_are_those_of_the_header() {
    let there = c_functions(&c_code(&text_of(C[0])));
    assert!(there.len() >= 35, "{there:#?}");
    assert_eq!(rust_functions(&sys()), there);
}

#[test]
fn structs_are_those_of_the_header() {
    let there = c_structs(&c_code(&text_of(C[0])));
    assert_eq!(there.len(), 5, "{there:#?}");
    assert_eq!(rust_structs(&sys()), there);
}

#[test]
fn constants_are_those_of_the_headers() {
    let headers = C.map(text_of).concat();
    let code = sys();
    let mut count = 0;
    for constant in code.split("pub(crate) const ").skip(1) {
        let (name, value) = constant.split_once(": u32 = ").expect("a number");
        let value = value.split(';').next().unwrap_or("");
        let mut there = headers.lines().filter_map(|line| {
            let rest = line.strip_prefix(&format!("#define {name}"))?;
            let rest = rest.strip_prefix([' ', '\t'])?.trim();
            let rest = rest.split("/*").next().unwrap_or("").trim();
            Some(
                rest.trim_matches(['(', ')'])
                    .replace("1U", "1")
                    .trim()
                    .to_owned(),
            )
        });
        assert_eq!(there.next().as_deref(), Some(value), "{name}");
        count += 1;
    }
    assert!(count >= 20, "{count}");
}

/// The header's flags that say how an object is to be are all there.
#[test]
fn every_flag_of_the_header_is_there() {
    let code = sys();
    for line in text_of(C[0]).lines() {
        if let Some(name) = line.strip_prefix("#define REEVE_") {
            let name = name.split_whitespace().next().unwrap_or("");
            assert!(code.contains(&format!("REEVE_{name}:")), "REEVE_{name}");
        }
    }
}

#[test]
fn every_function_of_c_is_called() {
    let code = rust_code(&text_of(RUST));
    // References are counted by an `Arc`.
    let elsewhere = ["reeve_bo_get"];
    let called = |name: &str| code.contains(&format!("sys::{name}("));
    for name in c_functions(&c_code(&text_of(C[0]))).keys() {
        assert!(
            called(name) || elsewhere.contains(&name.as_str()),
            "{name} is not called"
        );
    }
}

/// The functions and types that drivers may use, without the declarations of C.
fn offered(code: &str, kind: &str) -> BTreeSet<String> {
    let sys = sys();
    let code = code.replace(&sys, "");
    let before = format!("pub(crate) {kind} ");
    let names = code.split(&before).skip(1);
    names
        .map(|rest| {
            let end = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(0);
            rest[..end].to_owned()
        })
        .collect()
}

#[test]
fn every_function_of_rust_is_called_by_a_test() {
    let code = rust_code(&text_of(RUST));
    let mut functions = offered(&code, "fn");
    functions.extend(offered(&code, "const fn"));
    assert!(functions.len() >= 50, "{functions:?}");
    let tests: String = TESTS.map(|path| rust_code(&text_of(path))).concat();
    // `mmap_from_zero` calls it.
    functions.remove("mmap");
    for name in functions {
        let called = [format!(".{name}("), format!("::{name}(")]
            .iter()
            .any(|call| tests.contains(call));
        assert!(called, "{name} is called by no test");
    }
}

/// Each function says what it does, and names the function of C that it is.
#[test]
fn every_function_is_documented() {
    let text = text_of(RUST);
    let (_, text) = text.split_once("\n}\n").expect("mod sys ends");
    let lines: Vec<&str> = text.lines().collect();
    let mut count = 0;
    for (at, line) in lines.iter().enumerate() {
        let line = line.trim_start();
        if !line.starts_with("pub(crate) fn ") && !line.starts_with("pub(crate) const fn ") {
            continue;
        }
        let before = lines[..at]
            .iter()
            .rev()
            .find(|line| !line.trim_start().starts_with("#["));
        let documented = before.is_some_and(|line| line.trim_start().starts_with("///"));
        assert!(documented, "{line} has no comment");
        count += 1;
    }
    assert!(count >= 50, "{count}");
    for name in c_functions(&c_code(&text_of(C[0]))).keys() {
        // What happens by dropping a value has no function.
        let dropped = ["_put", "_get", "_unlock", "_unregister", "_vunmap"];
        assert!(
            text.contains(&format!("See `{name}()`"))
                || dropped.iter().any(|end| name.ends_with(end)),
            "{name} is not named"
        );
    }
}

/// The driver itself: its hardware is a file apart, and a static that holds the device is the kernel's way.
#[test]
fn the_sample_driver_is_safe() {
    let code = rust_code(&text_of(TESTS[1]));
    let unsafe_: Vec<&str> = code.lines().filter(|l| l.contains("unsafe")).collect();
    assert_eq!(
        unsafe_.iter().map(|line| line.trim()).collect::<Vec<_>>(),
        [
            "unsafe(uninit) static GPU: Mutex<Option<Device<Gpu>>> = None;",
            "unsafe { GPU.init() };"
        ]
    );
}

#[test]
fn differences_are_found() {
    let c = "int reeve_a(struct reeve_b *b, const struct reeve_bo_desc *d, unsigned int x);\nvoid *reeve_c(void);";
    let found = c_functions(&c_code(c));
    assert_eq!(
        found["reeve_a"],
        (
            vec!["*mut B".into(), "*const BoDesc".into(), "c_uint".into()],
            "c_int".into()
        )
    );
    assert_eq!(found["reeve_c"], (vec![], "*mut c_void".into()));
    let c = "struct reeve_x {\n\tu64 a;\n\tvoid (*f)(struct reeve_y *y);\n\tu32 r[2];\n};";
    assert_eq!(
        c_structs(c)["X"],
        [
            ("a".into(), "u64".into()),
            (
                "f".into(),
                "Option<unsafe extern \"C\" fn(*mut Y)>".to_owned()
            ),
            ("r".into(), "[u32; 2]".into()),
        ]
    );
}
