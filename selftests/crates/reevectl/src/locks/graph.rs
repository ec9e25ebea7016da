// SPDX-License-Identifier: GPL-2.0-or-later

//! The file `graph`: which order was taken while which was held, in graphviz's language.
//!
//! The module writes one statement per line; only those that it writes are understood.

mod token;

use serde::Serialize;

use crate::line::ended;
use crate::line::Line;
use crate::line::Name;
use crate::line::Parsed;

use token::tokens;
use token::Token;

/// The graph, by hierarchy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Graph {
    pub(super) hierarchies: Vec<Cluster>,
    pub(super) across: Vec<Across>,
}

/// `from` of one hierarchy, and what is before it there, comes before `to` of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Across {
    pub(super) from: End,
    pub(super) to: End,
}

/// An order of a hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct End {
    pub(super) hierarchy: Name,
    pub(super) order: u32,
    pub(super) name: Name,
}

/// A hierarchy's part of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Cluster {
    pub(super) name: Name,
    pub(super) orders: Vec<Node>,
    pub(super) edges: Vec<Edge>,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Node {
    pub(super) order: u32,
    pub(super) name: Name,
    /// Whether it was ever taken since the module was loaded.
    pub(super) taken: bool,
    #[serde(skip)]
    id: String,
}

/// `to` may be, or was, taken while `from` is held; both are orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Edge {
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) kind: Kind,
}

/// Why an edge is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// The declaration allows it; it was not recorded yet.
    Declared,
    /// It was recorded.
    Observed,
    /// It was recorded, and the declaration does not allow it.
    Against,
}

impl Cluster {
    /// Returns the node of an order.
    pub(super) fn node(&self, order: u32) -> Option<&Node> {
        self.orders.iter().find(|node| node.order == order)
    }
}

const LINE: &str = "a node, an edge, a label or } of the graph";

/// Parses the file.
pub(super) fn parse(text: &str) -> Parsed<Graph> {
    let mut graph = Graph::default();
    let mut reader = Reader::Before;
    for line in Line::all(text) {
        reader = reader.step(line.like(LINE), &mut graph)?;
    }
    match reader {
        Reader::After => Ok(graph),
        Reader::Before => Err(ended(text, "digraph lock_order {")),
        Reader::Top | Reader::Cluster(_) => Err(ended(text, "}")),
    }
}

/// The state of the parser.
enum Reader {
    Before,
    Top,
    Cluster(Cluster),
    After,
}

impl Reader {
    fn step(self, line: Line<'_>, graph: &mut Graph) -> Parsed<Self> {
        let tokens = tokens(line.text()).ok_or_else(|| line.malformed())?;
        if tokens.is_empty() {
            return Ok(self);
        }
        match (self, tokens.as_slice()) {
            (Self::Before, [Token::Word("digraph"), Token::Word(_), Token::Mark('{')]) => {
                Ok(Self::Top)
            }
            (Self::Top, [Token::Mark('}')]) => Ok(Self::After),
            (Self::Top, [Token::Word("subgraph"), Token::Word(_), Token::Mark('{')]) => {
                Ok(Self::Cluster(Cluster {
                    name: Name::new("-"),
                    orders: Vec::new(),
                    edges: Vec::new(),
                }))
            }
            (Self::Cluster(cluster), [Token::Mark('}')]) => {
                graph.hierarchies.push(cluster);
                Ok(Self::Top)
            }
            (reader @ (Self::Top | Self::Cluster(_)), tokens) if is_setting(tokens) => Ok(reader),
            (Self::Top, tokens) => {
                graph.take(tokens).ok_or_else(|| line.malformed())?;
                Ok(Self::Top)
            }
            (Self::Cluster(mut cluster), tokens) => {
                cluster.take(tokens).ok_or_else(|| line.malformed())?;
                Ok(Self::Cluster(cluster))
            }
            _ => Err(line.malformed()),
        }
    }
}

/// Returns whether a line is of layout only, such as `rankdir=TB;` or `node [shape=box];`.
fn is_setting(tokens: &[Token<'_>]) -> bool {
    match tokens {
        [Token::Word("label"), ..] => false,
        [Token::Word(_), Token::Mark('='), _, Token::Mark(';')] => true,
        [Token::Word("node" | "edge" | "graph"), rest @ ..] => attributes(rest).is_some(),
        _ => false,
    }
}

impl Graph {
    /// Adds what a line between the clusters says. Returns `None` if it cannot be at this place.
    fn take(&mut self, tokens: &[Token<'_>]) -> Option<()> {
        let [Token::Quoted(from), Token::Arrow, Token::Quoted(to), rest @ ..] = tokens else {
            return None;
        };
        if kind(&attributes(rest)?)? != Kind::Declared {
            return None;
        }
        let (from, to) = (self.end(from)?, self.end(to)?);
        self.across.push(Across { from, to });
        Some(())
    }

    /// The order that this is the node of.
    fn end(&self, id: &str) -> Option<End> {
        self.hierarchies.iter().find_map(|cluster| {
            let node = cluster.orders.iter().find(|node| node.id == id)?;
            Some(End {
                hierarchy: cluster.name.clone(),
                order: node.order,
                name: node.name.clone(),
            })
        })
    }
}

impl Cluster {
    /// Adds what a line says. Returns `None` if it cannot be at this place.
    fn take(&mut self, tokens: &[Token<'_>]) -> Option<()> {
        match tokens {
            [Token::Word("label"), Token::Mark('='), Token::Quoted(name), Token::Mark(';')] => {
                self.name = Name::new(name);
            }
            [Token::Quoted(from), Token::Arrow, Token::Quoted(to), rest @ ..] => {
                let order = |id: &str| self.orders.iter().find(|node| node.id == id);
                self.edges.push(Edge {
                    from: order(from)?.order,
                    to: order(to)?.order,
                    kind: kind(&attributes(rest)?)?,
                });
            }
            [Token::Quoted(id), rest @ ..] => self.orders.push(node(id, &attributes(rest)?)?),
            _ => return None,
        }
        Some(())
    }
}

/// Parses a node: its label is its number, its name, and perhaps more; it is dashed until it was taken.
fn node(id: &str, attributes: &[(&str, &str)]) -> Option<Node> {
    let mut label = value(attributes, "label")?.split(' ');
    let order = label.next()?.parse().ok()?;
    Some(Node {
        order,
        name: Name::new(label.next()?),
        taken: value(attributes, "style") != Some("dashed"),
        id: id.to_owned(),
    })
}

fn kind(attributes: &[(&str, &str)]) -> Option<Kind> {
    match (value(attributes, "color"), value(attributes, "style")) {
        (Some("red"), _) => Some(Kind::Against),
        (_, Some("dashed")) => Some(Kind::Declared),
        (None | Some("black"), _) => Some(Kind::Observed),
        _ => None,
    }
}

fn value<'t>(attributes: &[(&str, &'t str)], name: &str) -> Option<&'t str> {
    let found = attributes.iter().find(|(found, _)| *found == name);
    found.map(|(_, value)| *value)
}

/// Parses attributes: `[a=b, c="d"];`, or `;` alone.
fn attributes<'t>(tokens: &[Token<'t>]) -> Option<Vec<(&'t str, &'t str)>> {
    let inner = match tokens {
        [Token::Mark(';')] => &[],
        [Token::Mark('['), inner @ .., Token::Mark(']'), Token::Mark(';')] => inner,
        _ => return None,
    };
    let attributes = inner.split(|token| *token == Token::Mark(','));
    attributes
        .filter(|attribute| !attribute.is_empty())
        .map(|attribute| match attribute {
            [Token::Word(name), Token::Mark('='), Token::Word(value) | Token::Quoted(value)] => {
                Some((*name, *value))
            }
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::samples::GRAPH;
    use super::*;

    fn edges(cluster: &Cluster) -> Vec<(u32, u32, Kind)> {
        let edges = cluster.edges.iter();
        edges.map(|edge| (edge.from, edge.to, edge.kind)).collect()
    }

    #[test]
    fn the_sample() {
        let graph = parse(GRAPH).unwrap();
        let [reeve, sample] = graph.hierarchies.as_slice() else {
            panic!("{graph:?}");
        };
        assert_eq!(reeve.name.get(), Some("reeve"));
        let taken: Vec<_> = reeve
            .orders
            .iter()
            .map(|node| (node.order, node.name.to_string(), node.taken))
            .collect();
        assert_eq!(
            taken,
            [
                (1, "FileHandles".to_owned(), true),
                (2, "BoReservation".to_owned(), true),
                (3, "DeviceList".to_owned(), false)
            ]
        );
        assert_eq!(
            edges(reeve),
            [
                (1, 2, Kind::Declared),
                (1, 3, Kind::Observed),
                (3, 1, Kind::Against)
            ]
        );
        assert_eq!(sample.name.get(), Some("reeve_sample"));
        assert_eq!(edges(sample), [(1, 2, Kind::Observed)]);
        assert!(reeve.node(3).is_some() && reeve.node(4).is_none());
        let end = |hierarchy, order, name| End {
            hierarchy: Name::new(hierarchy),
            order,
            name: Name::new(name),
        };
        let across = Across {
            from: end("reeve_sample", 3, "irq\\x20lock"),
            to: end("reeve", 2, "BoReservation"),
        };
        assert_eq!(graph.across, [across]);
    }

    #[test]
    fn no_hierarchy_at_all() {
        let graph = parse("digraph lock_order {\n  rankdir=TB;\n}\n");
        assert_eq!(graph, Ok(Graph::default()));
    }

    #[test]
    fn damaged_lines_are_named() {
        let open = "digraph lock_order {\n  subgraph cluster_0 {\n";
        let nodes = "    \"0.1\" [label=\"1 a\"];\n    \"0.2\" [label=\"2 b\"];\n";
        for (text, line) in [
            (String::new(), 1),
            ("graph g {\n}\n".to_owned(), 1),
            (open.to_owned(), 3),
            (format!("{open}  }}\n"), 4),
            (format!("{open}  }}\n}}\n}}\n"), 5),
            (format!("{open}    label=\"a;\n"), 3),
            (format!("{open}    \"0.1\" [label=\"a\"];\n"), 3),
            (format!("{open}    \"0.1\" [label=\"1\"];\n"), 3),
            (format!("{open}    \"0.1\" [label=\"1 a\"]\n"), 3),
            (format!("{open}{nodes}    \"0.1\" -> \"0.3\";\n"), 5),
            (
                format!("{open}{nodes}    \"0.1\" -> \"0.2\" [color=blue];\n"),
                5,
            ),
            (format!("{open}{nodes}    \"0.1\" -> \"0.2\"\n"), 5),
            (format!("{open}{nodes}    subgraph cluster_1 {{\n"), 5),
            ("digraph g {\n  \"0.1\" [label=\"1 a\"];\n}\n".to_owned(), 2),
            // Between hierarchies: of what there is not, or in another way.
            (
                format!("{open}{nodes}  }}\n  \"0.1\" -> \"1.1\" [style=dashed];\n"),
                6,
            ),
            (
                format!("{open}{nodes}  }}\n  \"0.1\" -> \"0.2\" [color=red];\n"),
                6,
            ),
            (format!("{open}{nodes}  }}\n  \"0.1\" -> \"0.2\"\n"), 6),
            (
                "digraph g {\n  \"0.1\" -> \"0.2\" [style=dashed];\n}\n".to_owned(),
                2,
            ),
        ] {
            assert_eq!(parse(&text).unwrap_err().line, line, "{text}");
        }
    }
}
