// SPDX-License-Identifier: GPL-2.0-or-later

//! The content of all files joined, as JSON shows it.

use std::fs;
use std::path::PathBuf;

use serde::Serialize;

use reeve_uapi::knobs;

use crate::error::Ask;
use crate::error::Asked;
use crate::error::Error;
use crate::error::Result;

use super::graph;
use super::graph::Graph;
use super::held;
use super::held::Held;
use super::hierarchies;
use super::hierarchies::Hierarchy;
use super::hierarchies::Rule;
use super::violations;
use super::violations::Violations;
use super::View;
use crate::line::Name;
use crate::line::Parsed;
use crate::stat::SCHEMA;

/// The parts that a view shows; the others are left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Facts {
    schema: u32,
    /// The parameter `lock_tracking`; null when it cannot be read.
    pub(super) tracking: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hierarchies: Option<Vec<Overview>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) held: Option<Held>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) violations: Option<Violations>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) graph: Option<Graph>,
}

/// A hierarchy, with what the other files say of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Overview {
    pub(super) name: Name,
    /// Null when it was registered while the files were being read.
    pub(super) violations: Option<u64>,
    pub(super) orders: Vec<OrderOverview>,
    pub(super) rules: Vec<Rule>,
}

/// An order, and whether it was ever taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct OrderOverview {
    pub(super) order: u32,
    pub(super) name: Name,
    pub(super) nestable: bool,
    /// Null when the hierarchy was registered while the files were being read.
    pub(super) taken: Option<bool>,
}

/// The directory of the files.
#[derive(Clone, Debug)]
pub(super) struct Source {
    dir: PathBuf,
}

impl Source {
    /// Returns the module's directory in debugfs.
    pub(super) fn debugfs() -> Self {
        Self {
            dir: knobs::debugfs_path("lock_order"),
        }
    }

    /// Reads the file `graph`.
    pub(super) fn graph(&self) -> Result<String> {
        self.text("graph")
    }

    fn text(&self, name: &str) -> Result<String> {
        let path = self.dir.join(name);
        fs::read_to_string(&path).asked(Asked::Debugfs(path))
    }

    fn read<T>(&self, name: &str, parse: fn(&str) -> Parsed<T>) -> Result<T> {
        parse(&self.text(name)?).map_err(|fault| Error::Malformed {
            path: self.dir.join(name),
            fault,
        })
    }
}

impl Facts {
    /// Reads the files that `view` needs.
    pub(super) fn read(source: &Source, view: View) -> Result<Self> {
        let all = view == View::All;
        let overview = all || view == View::Hierarchies;
        let mut facts = Self {
            schema: SCHEMA,
            tracking: tracking(),
            hierarchies: None,
            held: None,
            violations: None,
            graph: None,
        };
        if overview || view == View::Violations {
            facts.violations = Some(source.read("violations", violations::parse)?);
        }
        if overview || view == View::Graph {
            facts.graph = Some(source.read("graph", graph::parse)?);
        }
        if all || view == View::Held {
            facts.held = Some(source.read("held", held::parse)?);
        }
        if let (true, Some(violations), Some(graph)) = (overview, &facts.violations, &facts.graph) {
            let hierarchies = source.read("hierarchies", hierarchies::parse)?;
            facts.hierarchies = Some(join(hierarchies, violations, graph));
        }
        if view == View::Hierarchies {
            (facts.violations, facts.graph) = (None, None);
        }
        Ok(facts)
    }
}

fn tracking() -> Option<bool> {
    let text = knobs::parameter("lock_tracking").ok()?;
    match text.as_str() {
        "1" => Some(true),
        "0" => Some(false),
        _ => None,
    }
}

/// Adds to each hierarchy what the other files have under its name. Names may repeat: all files list
/// the hierarchies in one order, so the second of a name is the second everywhere.
fn join(hierarchies: Vec<Hierarchy>, violations: &Violations, graph: &Graph) -> Vec<Overview> {
    let mut overviews: Vec<Overview> = Vec::new();
    for hierarchy in hierarchies {
        let name = &hierarchy.name;
        let before = overviews.iter().filter(|other| other.name == *name).count();
        let mut clusters = graph.hierarchies.iter().filter(|other| other.name == *name);
        let cluster = clusters.nth(before);
        let mut counts = violations
            .hierarchies
            .iter()
            .filter(|other| other.name == *name);
        let orders = hierarchy.orders.into_iter();
        overviews.push(Overview {
            violations: counts.nth(before).map(|count| count.violations),
            orders: orders
                .map(|declared| OrderOverview {
                    order: declared.order,
                    name: declared.name,
                    nestable: declared.nestable,
                    taken: cluster
                        .and_then(|cluster| cluster.node(declared.order))
                        .map(|node| node.taken),
                })
                .collect(),
            rules: hierarchy.rules,
            name: hierarchy.name,
        });
    }
    overviews
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::samples::GRAPH;
    use super::super::samples::HELD;
    use super::super::samples::HIERARCHIES;
    use super::super::samples::VIOLATIONS;
    use super::*;
    use std::path::Path;
    use std::sync::atomic::AtomicU32;
    use std::sync::atomic::Ordering;

    /// Writes files for a test into a directory of its own.
    pub(in super::super) struct Files(PathBuf);

    impl Files {
        pub(in super::super) fn new(files: [(&str, &str); 4]) -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("reevectl-locks-{}-{number}", std::process::id());
            let dir = std::env::temp_dir().join(name);
            fs::create_dir_all(&dir).unwrap();
            for (name, text) in files {
                fs::write(dir.join(name), text).unwrap();
            }
            Self(dir)
        }

        pub(in super::super) fn samples() -> Self {
            Self::new([
                ("hierarchies", HIERARCHIES),
                ("held", HELD),
                ("violations", VIOLATIONS),
                ("graph", GRAPH),
            ])
        }

        pub(in super::super) fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        pub(in super::super) fn read(&self, view: View) -> Result<Facts> {
            Facts::read(
                &Source {
                    dir: self.0.clone(),
                },
                view,
            )
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn json_has_what_the_files_say() {
        let facts = Files::samples().read(View::All).unwrap();
        let json = serde_json::to_value(facts).unwrap();
        assert_eq!(json["schema"], 1);
        let reeve = &json["hierarchies"][0];
        assert_eq!(reeve["name"], "reeve");
        assert_eq!(reeve["violations"], 0);
        assert_eq!(reeve["orders"][1]["nestable"], true);
        assert_eq!(reeve["orders"][2]["name"], "DeviceList");
        assert_eq!(reeve["orders"][2]["taken"], false);
        assert_eq!(reeve["rules"][0]["mode"], "exclusive");
        assert_eq!(reeve["rules"][0]["unless_held"], "C");

        let task = &json["held"]["holders"][0];
        assert_eq!(
            (&task["context"], &task["pid"]),
            (&"task".into(), &123.into())
        );
        assert_eq!(task["locks"][0]["hierarchy"], "reeve_sample");
        assert_eq!(task["locks"][0]["name"], "queue");
        assert_eq!(task["locks"][1]["key"], 17);
        assert_eq!(json["held"]["holders"][1]["level"], "hard");
        assert_eq!(json["held"]["more"], 3);

        let pair = &json["violations"]["pairs"][0];
        assert_eq!(pair["hierarchy"], "reeve_sample");
        assert_eq!(
            (&pair["name"], &pair["order"]),
            (&"device".into(), &1.into())
        );
        assert_eq!(pair["against"]["name"], "queue");
        assert_eq!(pair["last"]["comm"], "insmod");
        assert_eq!(pair["last"]["seconds"], 12.345678);
        assert_eq!(
            pair["conflicts"][0]["taken_at"],
            "sample_lock_queue+0x1d/0x50 [reeve_sample]"
        );
        assert!(json["violations"]["pairs"][1]["against"].is_null());
        assert!(json["violations"]["pairs"][2]["last"].is_null());

        let edges = &json["graph"]["hierarchies"][0]["edges"];
        assert_eq!(edges[2]["kind"], "against");
        assert_eq!((&edges[2]["from"], &edges[2]["to"]), (&3.into(), &1.into()));
        let across = &json["graph"]["across"][0];
        assert_eq!(across["from"]["hierarchy"], "reeve_sample");
        assert_eq!(across["to"]["hierarchy"], "reeve");
        assert_eq!(
            (&across["from"]["order"], &across["to"]["name"]),
            (&3.into(), &"BoReservation".into())
        );
    }

    #[test]
    fn a_view_has_its_own_key_only() {
        let files = Files::samples();
        for (view, key) in [
            (View::Hierarchies, "hierarchies"),
            (View::Held, "held"),
            (View::Violations, "violations"),
            (View::Graph, "graph"),
        ] {
            let json = serde_json::to_value(files.read(view).unwrap()).unwrap();
            let mut keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
            keys.sort();
            let mut expected = vec![key.to_owned(), "schema".to_owned(), "tracking".to_owned()];
            expected.sort();
            assert_eq!(keys, expected);
        }
    }

    #[test]
    fn hierarchies_that_came_meanwhile_are_unknown() {
        let files = Files::new([
            ("hierarchies", "hierarchy a\n  1 x\nhierarchy a\n  1 y\n"),
            ("held", ""),
            ("violations", "total 7\na 7\n"),
            ("graph", "digraph lock_order {\n}\n"),
        ]);
        let facts = files.read(View::Hierarchies).unwrap();
        let hierarchies = facts.hierarchies.unwrap();
        let counts: Vec<_> = hierarchies.iter().map(|h| h.violations).collect();
        assert_eq!(counts, [Some(7), None]);
        assert_eq!(hierarchies[0].orders[0].taken, None);
    }

    #[test]
    fn errors_name_file_and_line() {
        let files = Files::samples();
        fs::write(files.path("held"), "task 1 a\nnonsense\n").unwrap();
        let err = files.read(View::All).unwrap_err();
        assert_eq!(err.exit_code(), 1);
        let text = err.to_string();
        assert!(
            text.starts_with(&files.path("held").display().to_string()),
            "{text}"
        );
        assert!(text.contains("line 2: expected `task PID"), "{text}");
        assert!(files.read(View::Violations).is_ok());

        fs::remove_file(files.path("graph")).unwrap();
        let text = files.read(View::Graph).unwrap_err().to_string();
        assert!(text.contains("(ENOENT)\n  Load the module"), "{text}");
    }

    #[test]
    fn debugfs_is_where_the_module_puts_it() {
        let dir = Source::debugfs().dir;
        assert_eq!(dir, Path::new("/sys/kernel/debug/reeve/lock_order"));
    }
}
