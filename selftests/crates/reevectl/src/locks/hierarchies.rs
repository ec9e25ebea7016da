// SPDX-License-Identifier: GPL-2.0-or-later

//! The file `hierarchies`: the declared hierarchies.

use serde::Serialize;

use super::record::Mode;
use crate::line::Line;
use crate::line::Name;
use crate::line::Parsed;

/// A registered hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hierarchy {
    pub(super) name: Name,
    /// Outermost first.
    pub(super) orders: Vec<Declared>,
    pub(super) rules: Vec<Rule>,
}

/// An order of a hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) order: u32,
    pub(super) name: Name,
    pub(super) nestable: bool,
}

/// `order` may not be taken while `while_held` is held in that mode, unless `unless_held` is too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Rule {
    pub(super) order: Name,
    pub(super) while_held: Name,
    pub(super) mode: Option<Mode>,
    pub(super) unless_held: Option<Name>,
}

/// Parses the file.
pub(super) fn parse(text: &str) -> Parsed<Vec<Hierarchy>> {
    let mut hierarchies: Vec<Hierarchy> = Vec::new();
    for line in Line::all(text) {
        match hierarchies.last_mut().filter(|_| line.is_indented()) {
            None => hierarchies.push(head(line)?),
            Some(hierarchy) if line.peek() == Some("rule:") => hierarchy.rules.push(rule(line)?),
            Some(_) if line.peek() == Some("before:") => before(line)?,
            Some(hierarchy) => hierarchy.orders.push(order(line)?),
        }
    }
    Ok(hierarchies)
}

fn head(line: Line<'_>) -> Parsed<Hierarchy> {
    let mut line = line.like("hierarchy NAME");
    if line.is_indented() {
        return Err(line.malformed());
    }
    line.literal("hierarchy")?;
    let name = line.name()?;
    line.end()?;
    Ok(Hierarchy {
        name,
        orders: Vec::new(),
        rules: Vec::new(),
    })
}

fn order(line: Line<'_>) -> Parsed<Declared> {
    let mut line = line.like("  N NAME [nestable]");
    let order = line.number()?;
    let name = line.name()?;
    let nestable = line.accept("nestable");
    line.end()?;
    Ok(Declared {
        order,
        name,
        nestable,
    })
}

fn rule(line: Line<'_>) -> Parsed<Rule> {
    let mut line = line.like("  rule: not A while B is held MODE [unless C is held]");
    line.literal("rule: not")?;
    let order = line.name()?;
    line.literal("while")?;
    let while_held = line.name()?;
    line.literal("is held")?;
    let mode = Mode::parse(&mut line)?;
    let mut unless_held = None;
    if line.accept("unless") {
        unless_held = Some(line.name()?);
        line.literal("is held")?;
    }
    line.end()?;
    Ok(Rule {
        order,
        while_held,
        mode,
        unless_held,
    })
}

/// All of the hierarchy comes before that order of another; not shown.
fn before(line: Line<'_>) -> Parsed<()> {
    let mut line = line.like("  before: HIERARCHY.ORDER");
    line.literal("before:")?;
    line.name()?;
    line.end()
}

#[cfg(test)]
mod tests {
    use super::super::samples::HIERARCHIES;
    use super::*;

    #[test]
    fn the_sample() {
        let all = parse(HIERARCHIES).unwrap();
        let names: Vec<_> = all.iter().map(|h| h.name.to_string()).collect();
        assert_eq!(names, ["reeve", "reeve_sample"]);
        let reeve = &all[0];
        let orders: Vec<_> = reeve
            .orders
            .iter()
            .map(|o| (o.order, o.name.to_string(), o.nestable))
            .collect();
        assert_eq!(
            orders,
            [
                (1, "FileHandles".to_owned(), false),
                (2, "BoReservation".to_owned(), true),
                (3, "DeviceList".to_owned(), false)
            ]
        );
        assert_eq!(
            reeve.rules,
            [Rule {
                order: Name::new("A"),
                while_held: Name::new("B"),
                mode: Some(Mode::Exclusive),
                unless_held: Some(Name::new("C")),
            }]
        );
        assert_eq!(all[1].rules[0].mode, Some(Mode::Any));
        assert_eq!(all[1].rules[0].unless_held, None);
    }

    #[test]
    fn words_of_the_file_may_be_names() {
        let all = parse("hierarchy hierarchy\n  1 nestable\n  2 rule: nestable\n").unwrap();
        assert!(!all[0].orders[0].nestable);
        assert_eq!(all[0].orders[1].name.to_string(), "rule:");
        assert_eq!(parse(""), Ok(Vec::new()));
    }

    #[test]
    fn damaged_lines_are_named() {
        for (text, line) in [
            ("hierarchy\n", 1),
            ("  1 a\n", 1),
            ("hierarchy a b\n", 1),
            ("hierarchy a\n  x b\n", 2),
            ("hierarchy a\n  1\n", 2),
            ("hierarchy a\n  1 b nested\n", 2),
            ("hierarchy a\n  1 b\n\n", 3),
            ("hierarchy a\n  rule: not b while c is held\n", 2),
            (
                "hierarchy a\n  rule: not b while c is held shared unless d\n",
                2,
            ),
            ("hierarchy a\n  rule: never b\n", 2),
        ] {
            assert_eq!(parse(text).unwrap_err().line, line, "{text:?}");
        }
    }
}
