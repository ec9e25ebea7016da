// SPDX-License-Identifier: GPL-2.0-or-later

//! Files as the module writes them, for tests.

pub(super) const HIERARCHIES: &str = r"hierarchy reeve
  1 FileHandles
  2 BoReservation nestable
  3 DeviceList
  rule: not A while B is held exclusive unless C is held
hierarchy reeve_sample
  1 device
  2 queue
  3 irq\x20lock
  rule: not device while queue is held in any mode
";

pub(super) const HELD: &str = "\
task 123 insmod
  reeve_sample queue order 2 exclusive lock 00000000e6e41813 taken at sample_lock_queue+0x1d/0x50 [reeve_sample]
  reeve BoReservation order 2 shared lock 00000000e6e41815 taken at g+0x1/0x2 key 17
irq 0 hard
  reeve_sample irq order 3 shared lock 0000000000000000 taken at f+0x1/0x2
more 3
";

pub(super) const VIOLATIONS: &str = "\
total 9
reeve 0
reeve_sample 4
violation reeve_sample device order 1 against queue order 2 count 3
  kind order_held
  last 12.345678 cpu 0 task 51 insmod
  doing record_lock exclusive lock 00000000df091b9c at sample_wrong_order+0x37/0x170 [reeve_sample]
  conflicts queue order 2 exclusive lock 00000000e6e41813 taken at sample_lock_queue+0x1d/0x50 [reeve_sample]
  conflicts irq order 3 shared lock 00000000e6e41815 taken at h+0x1/0x2 [reeve_sample]
  holds other order 4 shared lock 00000000e6e41814 taken at f+0x1/0x2 [reeve_sample]
  more 2
violation - - order 0 against - order 0 count 1
  kind no_context
  last 13.000001 cpu 1 irq 1 soft
  doing check_locked - lock 0000000000000000 at g+0x1/0x2
violation reeve_sample queue order 2 against - order 0 count 1
  kind not_held
more 5
";

pub(super) const GRAPH: &str = r#"digraph lock_order {
  rankdir=TB;
  node [shape=box];
  subgraph cluster_0 {
    label="reeve";
    "0.1" [label="1 FileHandles"];
    "0.2" [label="2 BoReservation (nestable)"];
    "0.3" [label="3 DeviceList", style=dashed, color=gray]; // never taken
    "0.1" -> "0.2" [style=dashed, color=gray]; // declared
    "0.1" -> "0.3" [color=black]; // observed
    "0.3" -> "0.1" [color=red]; // against the order
  }
  subgraph cluster_7 {
    label="reeve_sample";
    "7.1" [label="1 device"];
    "7.2" [label="2 queue"];
    "7.3" [label="3 irq\x20lock", style=dashed, color=gray];
    "7.1" -> "7.2" [color=black];
  }
  "7.3" -> "0.2" [style=dashed, color=gray]; // declared, of two hierarchies
}
"#;
