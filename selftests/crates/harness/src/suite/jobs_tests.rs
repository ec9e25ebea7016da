// SPDX-License-Identifier: GPL-2.0-or-later

use std::sync::{Arc, Mutex};

use super::*;

fn ctx() -> JobContext {
    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("reeve-jobs-{}-{count}", std::process::id()));
    JobContext {
        root: dir.clone(),
        build: dir.clone(),
        dir,
        jobs: 1,
        again: Arc::default(),
    }
}

fn names(records: &[Record], failed: bool) -> Vec<&str> {
    let wanted = |record: &&Record| record.is_failure() == failed;
    records
        .iter()
        .filter(wanted)
        .map(|record| record.name.as_str())
        .collect()
}

fn passing(name: &'static str, needs: &[&'static str]) -> Job {
    Job::new(name, Tier::Host, needs, move |_| {
        Ok(vec![Record::passed(Tier::Host, name)])
    })
}

#[test]
fn a_job_waits_for_what_it_needs() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let noting = |name: &'static str, needs: &[&'static str]| {
        let order = Arc::clone(&order);
        Job::new(name, Tier::Host, needs, move |_| {
            order.lock().unwrap().push(name);
            Ok(Vec::new())
        })
    };
    let jobs = vec![
        noting("last", &["first", "second"]),
        noting("second", &["first"]),
        noting("first", &[]),
    ];
    run_all(&ctx(), jobs, 4).unwrap();
    assert_eq!(*order.lock().unwrap(), ["first", "second", "last"]);
}

#[test]
fn a_broken_job_breaks_those_that_need_it() {
    let jobs = vec![
        Job::new("bad", Tier::Host, &[], |_| anyhow::bail!("no luck")),
        passing("child", &["bad"]),
        passing("grandchild", &["child"]),
        passing("stranger", &[]),
    ];
    let records = run_all(&ctx(), jobs, 2).unwrap();
    assert_eq!(names(&records, false), ["stranger"]);
    let mut failed = names(&records, true);
    failed.sort();
    assert_eq!(failed, ["bad", "child", "grandchild"]);
}

#[test]
fn to_come_after_a_broken_job_is_no_failure() {
    let jobs = vec![
        passing("patient", &[]).after(&["bad"]),
        Job::new("bad", Tier::Host, &[], |_| anyhow::bail!("no luck")),
    ];
    let records = run_all(&ctx(), jobs, 2).unwrap();
    assert_eq!(names(&records, false), ["patient"]);
}

#[test]
fn failed_records_do_not_stop_the_others() {
    let jobs = vec![
        Job::new("red", Tier::Host, &[], |_| {
            Ok(vec![Record::failed(Tier::Host, "case", "x")])
        }),
        passing("child", &["red"]),
    ];
    let records = run_all(&ctx(), jobs, 1).unwrap();
    assert_eq!(names(&records, false), ["child"]);
    assert_eq!(names(&records, true), ["case"]);
}

#[test]
fn a_panic_is_a_failure() {
    let jobs = vec![Job::new("mad", Tier::Host, &[], |_| panic!("deliberate"))];
    let records = run_all(&ctx(), jobs, 1).unwrap();
    assert_eq!(names(&records, true), ["mad"]);
}

#[test]
fn some_run_beside_the_others() {
    // Each waits for the other, so with one slot this only ends when both run.
    let both = Arc::new(std::sync::Barrier::new(2));
    let meeting = |name: &'static str| {
        let both = Arc::clone(&both);
        Job::new(name, Tier::Host, &[], move |_| {
            both.wait();
            Ok(vec![Record::passed(Tier::Host, name)])
        })
    };
    let jobs = vec![
        meeting("a"),
        passing("first", &["a"]),
        meeting("b").beside_others(),
    ];
    let records = run_all(&ctx(), jobs, 1).unwrap();
    assert_eq!(records.len(), 3);
}

#[test]
fn no_more_than_may_run_at_a_time() {
    let running = Arc::new(Mutex::new((0, 0)));
    let counting = |name: &'static str| {
        let running = Arc::clone(&running);
        Job::new(name, Tier::Host, &[], move |_| {
            let mut count = running.lock().unwrap();
            count.0 += 1;
            count.1 = count.0.max(count.1);
            drop(count);
            thread::yield_now();
            running.lock().unwrap().0 -= 1;
            Ok(Vec::new())
        })
    };
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    run_all(&ctx(), names.map(counting).into(), 2).unwrap();
    assert!(running.lock().unwrap().1 <= 2);
}
