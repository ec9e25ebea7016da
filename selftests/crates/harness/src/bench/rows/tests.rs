// SPDX-License-Identifier: GPL-2.0-or-later

use super::*;
use std::collections::BTreeSet;

fn measured(text: &str) -> BTreeMap<Kernel, Samples> {
    let mut samples = Samples::default();
    samples.read(text.lines()).unwrap();
    BTreeMap::from([(Kernel::Bench, samples)])
}

#[test]
fn the_ratio_is_to_the_reference() {
    let all = measured("section on\nbench lock.pair 14300 250\nend\n");
    let row = Row::of(&LOCK_ORDER[0], &all).unwrap();
    assert_eq!(row.ours, 57.2);
    assert_eq!((row.reference, row.ratio), (Some(286.0), Some(0.2)));
    assert_eq!(row.verdict, Some(Verdict::Met));
}

#[test]
fn a_target_is_the_most_that_is_allowed() {
    for (ticks, verdict) in [(6000, Verdict::Met), (6001, Verdict::Missed)] {
        let all = measured(&format!("section on\nbench lock.pair {ticks} 100\nend\n"));
        let row = Row::of(&LOCK_ORDER[0], &all).unwrap();
        assert_eq!(row.verdict, Some(verdict));
    }
}

#[test]
fn a_target_of_page_accounting_is_a_part_of_the_reference() {
    let targets = [
        ("tt.life.cached.1", "ttm.life.cached.1", 0.85),
        ("tt.life.cached.16", "ttm.life.cached.16", 0.8),
        ("tt.life.cached.512", "ttm.life.cached.512", 0.65),
        ("tt.life.cached.16384", "ttm.life.cached.16384", 0.65),
        ("tt.accounting", "ttm.accounting", 0.75),
    ];
    for (name, reference, most) in targets {
        // However much that is: only the ratio counts.
        for scale in [1.0, 20.0] {
            for (over, verdict) in [(0.0, Verdict::Met), (0.002, Verdict::Missed)] {
                let (ours, theirs) = ((most + over) * 1000.0 * scale, 1000.0 * scale);
                let all = measured(&format!(
                    "section on\nbench {name} {ours:.0} 1\nbench {reference} {theirs:.0} 1\nend\n"
                ));
                let row = Row::of(spec(name), &all).unwrap();
                assert_eq!(row.target, Some(Bound::Ratio(most)), "{name}");
                assert_eq!(row.verdict, Some(verdict), "{name} {ours}");
            }
        }
    }
}

#[test]
fn a_cost_that_grows_misses_its_target() {
    for (ticks, verdict) in [(4400, Verdict::Met), (4401, Verdict::Missed)] {
        let all = measured(&format!(
            "section on\nbench tt.growth.swapout.1 4000 1\nbench tt.growth.swapout.1000 {ticks} 1\n\
             bench ttm.growth.swapout.1000 9000 1\nend\n"
        ));
        let row = Row::of(spec("tt.growth.swapout.1000"), &all).unwrap();
        assert_eq!(row.target, Some(Bound::Ours(4400.0)));
        assert_eq!(row.verdict, Some(verdict));
    }
}

#[test]
fn a_reference_is_measured_on_its_own_kernel() {
    let mut all = measured("section on\nbench lock.pair 50 1\nend\n");
    let spec = spec("lock.pair/lockdep");
    assert!(Row::of(spec, &all).is_err());
    let mut reference = Samples::default();
    let text = "section off\nbench lockdep.pair 1000 1\nend\n";
    reference.read(text.lines()).unwrap();
    all.insert(Kernel::Lockdep, reference);
    let row = Row::of(spec, &all).unwrap();
    assert_eq!((row.reference, row.ratio), (Some(1000.0), Some(0.05)));
    assert_eq!((row.target, row.verdict), (None, None));
}

#[test]
fn rows_of_a_kernel_that_was_left_out_are_left_out() {
    let all = measured("end\n");
    let left_out = super::all().filter(|spec| !spec.is_measured(&all));
    for spec in left_out.filter(|spec| spec.ours.0 != Kernel::Log) {
        assert_eq!(spec.reference.unwrap().1, LOCKDEP, "{}", spec.name);
    }
    assert!(spec("lock.pair").is_measured(&all));
    assert!(spec("lock.stack").is_measured(&all));
    assert!(!spec("lock.pair/lockdep").is_measured(&all));
    assert!(!spec("log.bytes").is_measured(&all));
    assert!(!spec("lock.pair").is_measured(&BTreeMap::new()));
}

#[test]
fn names_are_unique() {
    let names: BTreeSet<_> = all().map(|spec| spec.name).collect();
    assert_eq!(names.len(), all().count());
}

#[test]
fn programs_read_eight_fields() {
    let all = measured(
        "section on\nbench lock.pair 50 1\nbench tt.accounting 80 1\nbench ttm.accounting 100 1\n\
         bench mutex.recorded 20 1\nbench mutex.pair 10 1\nend\n",
    );
    let json = |name| serde_json::to_value(Row::of(spec(name), &all).unwrap()).unwrap();
    assert_eq!(
        json("lock.pair"),
        serde_json::json!({
            "name": "lock.pair", "unit": "instructions", "ours": 50.0,
            "reference": 286.0, "reference_name": "UVM (constant)", "ratio": 0.175,
            "target": {"ours": 60.0}, "verdict": "met",
        })
    );
    assert_eq!(
        json("tt.accounting"),
        serde_json::json!({
            "name": "tt.accounting", "unit": "instructions", "ours": 80.0,
            "reference": 100.0, "reference_name": "C TTM", "ratio": 0.8,
            "target": {"ratio": 0.75}, "verdict": "missed",
        })
    );
    assert_eq!(
        json("lock.c_mutex/bare"),
        serde_json::json!({
            "name": "lock.c_mutex/bare", "unit": "instructions", "ours": 20.0,
            "reference": 10.0, "reference_name": "bare lock", "ratio": 2.0,
            "target": null, "verdict": null,
        })
    );
}

#[test]
fn a_row_without_a_reference_has_a_verdict_all_the_same() {
    for (bytes, verdict) in [(256, "met"), (257, "missed")] {
        let all = measured(&format!("section on\nbench lock.stack {bytes} 1\nend\n"));
        let row = Row::of(spec("lock.stack"), &all).unwrap();
        assert_eq!(
            serde_json::to_value(&row).unwrap(),
            serde_json::json!({
                "name": "lock.stack", "unit": "bytes", "ours": f64::from(bytes),
                "reference": null, "reference_name": null, "ratio": null,
                "target": {"ours": 256.0}, "verdict": verdict,
            })
        );
    }
}

fn spec(name: &str) -> &'static Spec {
    all().find(|spec| spec.name == name).unwrap()
}
