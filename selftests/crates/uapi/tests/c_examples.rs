// SPDX-License-Identifier: GPL-2.0-or-later

//! Every C example of a program in README.md and Documentation/ compiles: whole programs as they are, parts with the
//! declarations around them that a reader has to think of. (Those of a driver are parts of the sample drivers.)

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
#include <unistd.h>
#include "reeve.h"

extern int fd;
extern void *p;
extern struct reeve_bo_create create;
extern struct reeve_bo_info info;
"#;

/// The C examples of programs in a page.
fn examples(text: &str) -> Vec<&str> {
    let parts = text.split("```c\n").skip(1);
    let blocks = parts.map(|rest| rest.split("```").next().unwrap_or(rest));
    blocks
        .filter(|block| block.contains("int main(") || block.contains("REEVE_IOC_"))
        .collect()
}

/// The example as a file to compile.
fn program(example: &str) -> String {
    if example.contains("int main(") {
        return example.to_owned();
    }
    let lines = example.lines().filter(|line| line.trim() != "...");
    let lines: Vec<&str> = lines.collect();
    format!(
        "{PROGRAM}\nvoid example(void);\nvoid example(void)\n{{\n{}\n}}\n",
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
    assert!(count >= 3, "{count} examples");
    let wrong = wrong_examples(&pages);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn wrong_examples_are_found() {
    let wrong = [
        "int main(void)\n{\n\treturn x;\n}\n",
        "struct reeve_bo_dma_address at = { .hand = create.handle };\n\nioctl(fd, REEVE_IOC_BO_DMA_ADDRESS, &at);\n",
        "ioctl(fd, REEVE_IOC_BO_NOTHING, &create);\n",
    ];
    for (number, example) in wrong.into_iter().enumerate() {
        let page = (format!("wrong-{number}"), format!("```c\n{example}```\n"));
        assert_eq!(wrong_examples(&[page]).len(), 1, "{example}");
    }
    let right = "reeve_record_lock(h, &dev->lock, MY_DEVICE, REEVE_LOCK_SHARED);\n...\n";
    let page = ("right".to_owned(), format!("```c\n{right}```\n"));
    assert!(wrong_examples(&[page]).is_empty());
}
