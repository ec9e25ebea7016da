// SPDX-License-Identifier: GPL-2.0-or-later
//! Reads KTAP, the format of KUnit and of the guest's own tests.
//!
//! Every `ok`/`not ok` line that is not the sum of a subtest is one case. A plan that promises more than came is a
//! failure of its own, so that a crash in the middle cannot pass for success.

/// How one case went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It passed.
    Passed,
    /// It was not run, and why.
    Skipped(String),
    /// It failed; the diagnostic lines that came with it.
    Failed(String),
}

/// One test case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Its name, with the names of the suites it is in: `suite.case`.
    pub name: String,
    /// How it went.
    pub verdict: Verdict,
}

/// A level of nesting: the top, or a subtest.
#[derive(Default)]
struct Level {
    indent: usize,
    name: Option<String>,
    plan: Option<usize>,
    results: usize,
    failures: usize,
    diagnostics: Vec<String>,
}

/// Takes lines, gives cases.
#[derive(Default)]
pub struct Parser {
    levels: Vec<Level>,
    /// The subtest that ended and whose own result line comes next.
    closed: Option<Level>,
    cases: Vec<Case>,
    seen: bool,
}

impl Parser {
    /// Reads a whole text.
    pub fn parse(text: &str) -> Vec<Case> {
        let mut parser = Self::default();
        for line in text.lines() {
            parser.line(line);
        }
        parser.finish()
    }

    /// Takes one line; what is not KTAP is passed over.
    pub fn line(&mut self, line: &str) {
        let text = line.trim_start_matches(' ');
        let indent = line.len() - text.len();
        let text = text.trim_end();
        if text.starts_with("KTAP version") || text.starts_with("TAP version") {
            self.enter(indent);
        } else if let Some(name) = text.strip_prefix("# Subtest:") {
            self.leave_deeper_than(indent);
            if self.levels.last().is_none_or(|level| level.indent < indent) {
                self.enter(indent);
            }
            self.level().name = Some(name.trim().to_owned());
        } else if let Some(count) = text.strip_prefix("1..").and_then(plan) {
            self.leave_deeper_than(indent);
            self.level().plan = Some(count);
        } else if let Some(rest) = text.strip_prefix("not ok ") {
            self.result(indent, rest, false);
        } else if let Some(rest) = text.strip_prefix("ok ") {
            self.result(indent, rest, true);
        } else if let Some(reason) = text.strip_prefix("Bail out!") {
            let name = self.qualified("bail out");
            let reason = reason.trim().to_owned();
            self.push(name, Verdict::Failed(reason));
        } else if !text.is_empty() {
            let text = text.trim_start_matches("# ").to_owned();
            self.level().diagnostics.push(text);
        }
    }

    /// The cases, when no more lines will come.
    pub fn finish(mut self) -> Vec<Case> {
        self.leave_deeper_than(0);
        if let Some(level) = self.levels.pop() {
            self.close(level);
        }
        if !self.seen {
            let reason = "no test output at all".to_owned();
            self.push("plan".to_owned(), Verdict::Failed(reason));
        }
        self.cases
    }

    fn level(&mut self) -> &mut Level {
        if self.levels.is_empty() {
            self.levels.push(Level::default());
        }
        self.levels.last_mut().expect("just made sure")
    }

    fn enter(&mut self, indent: usize) {
        self.leave_deeper_than(indent);
        // A second document at the same depth (one file per suite, say) is a new level.
        if self
            .levels
            .last()
            .is_some_and(|level| level.indent == indent)
        {
            let level = self.levels.pop().expect("just looked");
            self.close(level);
        }
        self.seen = true;
        self.levels.push(Level {
            indent,
            ..Level::default()
        });
    }

    fn leave_deeper_than(&mut self, indent: usize) {
        while self
            .levels
            .last()
            .is_some_and(|level| level.indent > indent)
        {
            let level = self.levels.pop().expect("just looked");
            self.close(level);
        }
    }

    /// A level has ended: did it keep its promise?
    fn close(&mut self, level: Level) {
        if let Some(plan) = level.plan.filter(|&plan| plan != level.results) {
            let suite = level.name.clone();
            let name = self.qualified_in(suite.as_deref(), "plan");
            let reason = format!("{plan} results were promised, {} came", level.results);
            self.push(name, Verdict::Failed(reason));
        }
        self.closed = Some(level);
    }

    fn result(&mut self, indent: usize, rest: &str, ok: bool) {
        self.seen = true;
        self.leave_deeper_than(indent);
        let (name, directive) = split_result(rest);
        let subtest = self.closed.take().filter(|level| level.indent > indent);
        let level = self.level();
        level.results += 1;
        let diagnostics = std::mem::take(&mut level.diagnostics);
        if let Some(subtest) = subtest.filter(|subtest| subtest.results > 0) {
            // The sum of a subtest is no case of its own, unless it failed while all its cases passed.
            if !ok && subtest.failures == 0 {
                let name = self.qualified(&name);
                let reason = [subtest.diagnostics, diagnostics].concat().join("\n");
                self.push(name, Verdict::Failed(reason));
            } else if !ok {
                self.level().failures += 1;
            }
            return;
        }
        let verdict = match directive {
            Some(reason) => Verdict::Skipped(reason),
            None if ok => Verdict::Passed,
            None => Verdict::Failed(diagnostics.join("\n")),
        };
        let name = self.qualified(&name);
        self.push(name, verdict);
    }

    fn push(&mut self, name: String, verdict: Verdict) {
        if matches!(verdict, Verdict::Failed(_)) {
            if let Some(level) = self.levels.last_mut() {
                level.failures += 1;
            }
        }
        self.cases.push(Case { name, verdict });
    }

    fn qualified(&self, name: &str) -> String {
        self.qualified_in(None, name)
    }

    fn qualified_in(&self, inner: Option<&str>, name: &str) -> String {
        let mut parts: Vec<&str> = self
            .levels
            .iter()
            .filter_map(|level| level.name.as_deref())
            .collect();
        parts.extend(inner);
        parts.push(name);
        parts.join(".")
    }
}

fn plan(text: &str) -> Option<usize> {
    text.split_whitespace().next()?.parse().ok()
}

/// `3 - name # SKIP why` -> (name, Some(why)).
fn split_result(rest: &str) -> (String, Option<String>) {
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = rest.trim_start_matches([' ', '-']);
    match rest.split_once(" # ") {
        Some((name, directive)) => {
            let skip = directive.trim_start().strip_prefix("SKIP");
            (
                name.trim().to_owned(),
                skip.map(|why| why.trim().to_owned()),
            )
        }
        None => (rest.trim().to_owned(), None),
    }
}

#[cfg(test)]
#[path = "ktap_tests.rs"]
mod tests;
