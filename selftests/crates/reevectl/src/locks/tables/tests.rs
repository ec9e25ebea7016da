// SPDX-License-Identifier: GPL-2.0-or-later

use super::super::facts::tests::Files;
use super::*;

fn shown(files: &Files, view: View) -> String {
    let mut out = Vec::new();
    print(&files.read(view).unwrap(), view, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn empty() -> Files {
    Files::new([
        ("hierarchies", ""),
        ("held", ""),
        ("violations", "total 0\n"),
        ("graph", "digraph lock_order {\n}\n"),
    ])
}

#[test]
fn the_whole() {
    assert_eq!(
        shown(&Files::samples(), View::All),
        r"Hierarchies
  hierarchy     order  name           nestable  taken  rules  violations
  reeve             1  FileHandles              yes        1           0
                    2  BoReservation  yes       yes
                    3  DeviceList               never
  reeve_sample      1  device                   yes        1           4
                    2  queue                    yes
                    3  irq\x20lock              never

Held now
  held by            lock                 mode       address
  insmod[123]        reeve_sample.queue   exclusive  e6e41813
        taken at sample_lock_queue+0x1d/0x50 [reeve_sample]
                     reeve.BoReservation  shared     e6e41815
        taken at g+0x1/0x2, key 17
  hard irq on cpu 0  reeve_sample.irq     shared     00000000
        taken at f+0x1/0x2
  ... and 3 more threads

Violations
  count  lock                 against  kind        last by              seconds
      3  reeve_sample.device  queue    order_held  insmod[51]         12.345678
        record_lock exclusive at sample_wrong_order+0x37/0x170 [reeve_sample]
        against queue exclusive, taken at sample_lock_queue+0x1d/0x50 [reeve_sample]
        against irq shared, taken at h+0x1/0x2 [reeve_sample]
      1  -                    -        no_context  soft irq on cpu 1  13.000001
        check_locked at g+0x1/0x2
      1  reeve_sample.queue   -        not_held    ?                          ?
  9 violations since the module was loaded
  5 of them in pairs that there was no room to remember
"
    );
}

#[test]
fn a_view_says_more() {
    let files = Files::samples();
    let text = shown(&files, View::Hierarchies);
    for words in [
        "  Rules of reeve\n    no A while B is held exclusive, unless C is held\n",
        "  Rules of reeve_sample\n    no device while queue is held\n",
    ] {
        assert!(text.contains(words), "{text}");
    }
    let text = shown(&files, View::Violations);
    for words in [
        "      holding other shared, taken at f+0x1/0x2 [reeve_sample]\n",
        "      holding 2 more\n",
    ] {
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn places_stand_beside_when_there_is_room() {
    let held = "task 51 insmod\n  reeve_sample queue order 2 exclusive lock 00000000e6e41813 \
                taken at sample_lock_queue+0x1d/0x50 [reeve_sample]\n";
    let mut files = [
        ("hierarchies", ""),
        ("held", held),
        ("violations", "total 0\n"),
        ("graph", ""),
    ];
    assert_eq!(
        shown(&Files::new(files), View::Held),
        "\
Held now
  held by     lock                mode       address   taken at
  insmod[51]  reeve_sample.queue  exclusive  e6e41813  sample_lock_queue+0x1d/0x50 [reeve_sample]
"
    );
    // Released while it was being read.
    files[1].1 = "task 51 insmod\n";
    assert!(shown(&Files::new(files), View::Held).ends_with("\n  insmod[51]\n"));
}

#[test]
fn edges_are_a_table() {
    assert_eq!(
        shown(&Files::samples(), View::Graph),
        "\
Taken while holding
  hierarchy     from           to                        edge
  reeve         1 FileHandles  2 BoReservation           declared
  reeve         1 FileHandles  3 DeviceList              observed
  reeve         3 DeviceList   1 FileHandles             against the order
  reeve_sample  1 device       2 queue                   observed
  reeve_sample  3 irq\\x20lock  2 BoReservation of reeve  declared
"
    );
}

#[test]
fn nothing_is_said_in_a_sentence() {
    for (view, sentence) in [
        (View::Hierarchies, "None is registered."),
        (View::Held, "Nothing: no thread and no interrupt holds"),
        (View::Violations, "None: every recorded use"),
        (View::Graph, "Nothing: no order stands before another."),
    ] {
        let text = shown(&empty(), view);
        assert!(text.contains(sentence), "{text}");
        assert_eq!(text.lines().count(), 2, "{text}");
    }
    let text = shown(&empty(), View::All);
    assert_eq!(text.matches("\n\n").count(), 2, "{text}");
}

#[test]
fn switched_off_is_said() {
    let mut facts = empty().read(View::Held).unwrap();
    for (tracking, said) in [(Some(false), true), (Some(true), false), (None, false)] {
        facts.tracking = tracking;
        let mut out = Vec::new();
        print(&facts, View::Held, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.contains("lock_tracking is 0"), said, "{text}");
    }
}

/// Names as long as the module takes them, every byte escaped, and symbols without end.
#[test]
fn no_line_is_longer_than_100() {
    let name = r"\x20".repeat(63);
    let symbol = format!("_RNv{}+0x1d/0x50 [{}]", "Nt".repeat(200), "m".repeat(55));
    let lock = format!(
        "order 64 exclusive lock ffff888012345678 taken at {symbol} key {}",
        u64::MAX
    );
    let files = Files::new([
        (
            "hierarchies",
            &format!(
                "hierarchy {name}\n  64 {name} nestable\n  \
                 rule: not {name} while {name} is held shared unless {name} is held\n"
            ),
        ),
        ("held", &format!("task 4194304 {name}\n  {name} {name} {lock}\nmore 100\n")),
        (
            "violations",
            &format!(
                "total 18446744073709551615\n{name} 18446744073709551615\n\
                 violation {name} {name} order 64 against {name} order 64 count 18446744073709551615\n  \
                 kind {name}\n  last 1234567890.123456 cpu 8191 task 4194304 {name}\n  \
                 doing {name} exclusive lock ffff888012345678 at {symbol}\n  \
                 conflicts {name} {lock}\n  holds {name} {lock}\n  more 64\n"
            ),
        ),
        (
            "graph",
            &format!(
                "digraph g {{\n  subgraph c {{\n    label=\"{name}\";\n    \
                 \"0.64\" [label=\"64 {name}\"];\n    \"0.64\" -> \"0.64\" [color=red];\n  }}\n}}\n"
            ),
        ),
    ]);
    for view in [
        View::All,
        View::Hierarchies,
        View::Held,
        View::Violations,
        View::Graph,
    ] {
        let text = shown(&files, view);
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        assert!(text.contains("..."), "{view:?}");
    }
    let text = shown(&files, View::Held);
    assert!(text.contains("\n        taken at _RNvNt"), "{text}");
}
