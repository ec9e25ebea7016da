// SPDX-License-Identifier: GPL-2.0-or-later
//! Finds out which file of a crate uses what of which other one, from the `use` trees and the paths in the code.

use std::collections::{BTreeMap, HashMap};

use super::tokens::{tokens, Token};

/// A module's path below the crate, or that of an item in it.
pub(super) type ModulePath = Vec<String>;

/// The files of a crate, and the source of each.
#[derive(Debug, Default)]
pub(super) struct Sources {
    files: BTreeMap<String, Vec<Token>>,
    modules: HashMap<ModulePath, String>,
    /// Where each macro is that `macro_rules` makes.
    macros: HashMap<String, String>,
}

/// One file uses something of another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Import {
    /// The file that uses it.
    pub(super) from: String,
    /// The file it is of.
    pub(super) to: String,
    /// Where, in `from`.
    pub(super) line: usize,
}

/// The module that is in this file, whose path is relative to the crate root's.
pub(super) fn module_of(file: &str) -> ModulePath {
    let path = file.strip_suffix(".rs").unwrap_or(file);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    match path == super::ROOT {
        true => Vec::new(),
        false => path.split('/').map(str::to_owned).collect(),
    }
}

impl Sources {
    /// Adds a file.
    pub(super) fn add(&mut self, file: &str, source: &str) {
        let tokens = tokens(source);
        for window in tokens.windows(3) {
            let [word, bang, name] = [0, 1, 2].map(|index: usize| window[index].text.as_str());
            if word == "macro_rules" && bang == "!" {
                self.macros.insert(name.to_owned(), file.to_owned());
            }
        }
        self.files.insert(file.to_owned(), tokens);
        self.modules.insert(module_of(file), file.to_owned());
    }

    /// The files and their tokens.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &[Token])> {
        let files = self.files.iter();
        files.map(|(file, tokens)| (file.as_str(), tokens.as_slice()))
    }

    /// What this file uses of others, each of them once.
    pub(super) fn imports(&self, file: &str) -> Vec<Import> {
        let Some(tokens) = self.files.get(file) else {
            return Vec::new();
        };
        let mut reader = Reader {
            sources: self,
            tokens,
            at: 0,
            module: module_of(file),
            braces: Vec::new(),
            bindings: HashMap::new(),
            found: Vec::new(),
        };
        // Once for the modules that `use` gives a name, wherever that is, and once for all.
        reader.read();
        reader.at = 0;
        reader.found.clear();
        reader.read();

        let mut first = BTreeMap::new();
        for (path, line) in reader.found {
            let to = self.file_of(&path);
            if to.is_some_and(|to| to != file) {
                first.entry(to).or_insert(line);
            }
        }
        let import = |(to, line): (Option<&str>, usize)| {
            Some(Import {
                from: file.to_owned(),
                to: to?.to_owned(),
                line,
            })
        };
        first.into_iter().filter_map(import).collect()
    }

    /// The file with the innermost module of that path that has one. An exported macro is at the crate's root,
    /// wherever it is made.
    fn file_of(&self, path: &[String]) -> Option<&str> {
        if let [name] = path {
            if !self.modules.contains_key(path) && self.macros.contains_key(name) {
                return self.macros.get(name).map(String::as_str);
            }
        }
        let prefixes = (0..=path.len()).rev().map(|end| &path[..end]);
        prefixes
            .filter_map(|prefix| self.modules.get(prefix))
            .map(String::as_str)
            .next()
    }
}

/// Goes through the tokens of a file.
struct Reader<'a> {
    sources: &'a Sources,
    tokens: &'a [Token],
    at: usize,
    /// The innermost module here, also one within the file.
    module: ModulePath,
    /// For each open brace: does a module within the file begin there?
    braces: Vec<bool>,
    /// Modules that `use` has given a name.
    bindings: HashMap<String, ModulePath>,
    found: Vec<(ModulePath, usize)>,
}

impl Reader<'_> {
    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }

    fn read(&mut self) {
        while let Some(token) = self.tokens.get(self.at) {
            let before = |back: usize| {
                let at = self.at.checked_sub(back);
                at.map_or("", |at| self.text(at))
            };
            match token.text.as_str() {
                "{" => {
                    let of_module = before(2) == "mod";
                    if of_module {
                        let name = before(1).to_owned();
                        self.module.push(name);
                    }
                    self.braces.push(of_module);
                    self.at += 1;
                }
                "}" => {
                    if self.braces.pop() == Some(true) {
                        self.module.pop();
                    }
                    self.at += 1;
                }
                // `use<'a>` is a list of lifetimes.
                "use" if self.text(self.at + 1) != "<" => {
                    self.at += 1;
                    self.tree(Vec::new());
                }
                _ if !token.is_name() => self.at += 1,
                _ => {
                    // Who may see something is no import, nor is the middle of a path or a method.
                    let path = matches!(before(1), "::" | ".");
                    let counts = !(path || before(1) == "in" && before(2) == "(");
                    self.path(counts);
                }
            }
        }
    }

    /// Reads a path in the code. Where a name stands alone it is none.
    fn path(&mut self, counts: bool) {
        let line = self.tokens[self.at].line;
        let mut path = vec![self.text(self.at).to_owned()];
        self.at += 1;
        while self.text(self.at) == "::" && self.tokens.get(self.at + 1).is_some_and(Token::is_name)
        {
            path.push(self.text(self.at + 1).to_owned());
            self.at += 2;
        }
        // `a::<B>`, `a::{` and `a::*` go on after this name.
        let is_path = path.len() > 1 || self.text(self.at) == "::";
        if counts && is_path {
            if let Some(path) = self.absolute(&path) {
                self.found.push((path, line));
            }
        }
    }

    /// Reads a tree of `use` that begins with `prefix`.
    fn tree(&mut self, prefix: Vec<String>) {
        let mut path = prefix;
        // The first `::` of `::core::fmt` makes it a path that is not ours.
        if self.text(self.at) == "::" && path.is_empty() {
            path.push(String::new());
        }
        loop {
            match self.text(self.at) {
                "::" => self.at += 1,
                "{" => {
                    self.at += 1;
                    while !matches!(self.text(self.at), "}" | "") {
                        self.tree(path.clone());
                        if self.text(self.at) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "*" => {
                    self.at += 1;
                    self.leaf(&path, None);
                    return;
                }
                name if self.tokens.get(self.at).is_some_and(Token::is_name) => {
                    // `a::{self}` is `a`.
                    if name != "self" || path.is_empty() {
                        path.push(name.to_owned());
                    }
                    self.at += 1;
                    if self.text(self.at) == "::" {
                        continue;
                    }
                    let mut name = path.last().cloned();
                    if self.text(self.at) == "as" {
                        name = Some(self.text(self.at + 1).to_owned());
                        self.at += 2;
                    }
                    self.leaf(&path, name);
                    return;
                }
                _ => {
                    // No tree at all; the reader goes on behind it.
                    self.at += 1;
                    return;
                }
            }
        }
    }

    fn leaf(&mut self, path: &[String], name: Option<String>) {
        let line = self.tokens[self.at.min(self.tokens.len()) - 1].line;
        let Some(path) = self.absolute(path) else {
            return;
        };
        if let Some(name) = name.filter(|_| self.sources.modules.contains_key(&path)) {
            self.bindings.insert(name, path.clone());
        }
        self.found.push((path, line));
    }

    /// The path from the crate on, if it is one of this crate.
    fn absolute(&self, path: &[String]) -> Option<ModulePath> {
        let (first, mut rest) = path.split_first()?;
        let mut absolute = match first.as_str() {
            "crate" => Vec::new(),
            "self" => self.module.clone(),
            "super" => self.module[..self.module.len().checked_sub(1)?].to_vec(),
            _ => {
                let mut child = self.module.clone();
                child.push(first.clone());
                match self.sources.modules.contains_key(&child) {
                    true => child,
                    false => self.bindings.get(first)?.clone(),
                }
            }
        };
        while let Some((_, after)) = rest.split_first().filter(|(name, _)| *name == "super") {
            absolute.pop();
            rest = after;
        }
        absolute.extend_from_slice(rest);
        Some(absolute)
    }
}
