// SPDX-License-Identifier: GPL-2.0-or-later

//! Every C example in README.md and Documentation/ compiles: whole programs as they are, parts of a program or of a
//! driver with the declarations around them that a reader has to think of.

mod compiler;
// Only the pages themselves are needed.
#[allow(dead_code)]
#[path = "../../host/tests/pages/mod.rs"]
mod pages;

use compiler::complaints;
use compiler::file;
use pages::pages;
use pages::Page;

/// What is around a part of a program.
const PROGRAM: &str = r#"
#include <err.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include "reeve.h"

extern int fd;
extern void *p;
extern struct reeve_bo_create create;
extern struct reeve_bo_info info;
"#;

/// What is around a part of a driver, and what the kernel's headers would give.
const DRIVER: &str = r#"
#include <stdbool.h>
#include <stddef.h>
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
#define __always_inline inline __attribute__((__always_inline__))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
struct mutex { int opaque; };
void mutex_lock(struct mutex *lock);
void mutex_unlock(struct mutex *lock);

#include <reeve/lock_order.h>

extern struct { struct mutex lock; } *dev;
extern struct reeve_hierarchy *h;
enum { MY_DEVICE = 1, MY_QUEUE };
"#;

/// The C examples of a page.
fn examples(text: &str) -> Vec<&str> {
    let parts = text.split("```c\n").skip(1);
    parts
        .map(|rest| rest.split("```").next().unwrap_or(rest))
        .collect()
}

/// The example as a file to compile.
fn program(example: &str) -> String {
    if example.contains("int main(") {
        return example.to_owned();
    }
    let around = match example.contains("REEVE_IOC_") {
        true => PROGRAM,
        false => DRIVER,
    };
    let lines = example.lines().filter(|line| line.trim() != "...");
    let lines: Vec<&str> = lines.collect();
    format!(
        "{around}\nvoid example(void);\nvoid example(void)\n{{\n{}\n}}\n",
        lines.join("\n")
    )
}

/// The examples that do not compile, and why.
fn wrong_examples(pages: &[Page]) -> Vec<String> {
    let mut complaints_of_all = Vec::new();
    for (name, text) in pages {
        for (number, example) in examples(text).into_iter().enumerate() {
            let name = format!("{}-{number}.c", name.replace('/', "-"));
            let source = file(&name, &program(example));
            complaints_of_all.extend(complaints(&["-m64"], &source).err());
        }
    }
    complaints_of_all
}

#[test]
fn examples_compile() {
    let pages = pages();
    let count: usize = pages.iter().map(|(_, text)| examples(text).len()).sum();
    assert!(count >= 5, "{count} examples");
    let wrong = wrong_examples(&pages);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn wrong_examples_are_found() {
    let wrong = [
        "int main(void)\n{\n\treturn x;\n}\n",
        "struct reeve_bo_dma_address at = { .hand = create.handle };\n\nioctl(fd, REEVE_IOC_BO_DMA_ADDRESS, &at);\n",
        "reeve_record_lock(h, &dev->lock, MY_DEVICE);\n",
    ];
    for (number, example) in wrong.into_iter().enumerate() {
        let page = (format!("wrong-{number}"), format!("```c\n{example}```\n"));
        assert_eq!(wrong_examples(&[page]).len(), 1, "{example}");
    }
    let right = "reeve_record_lock(h, &dev->lock, MY_DEVICE, REEVE_LOCK_SHARED);\n...\n";
    let page = ("right".to_owned(), format!("```c\n{right}```\n"));
    assert!(wrong_examples(&[page]).is_empty());
}
