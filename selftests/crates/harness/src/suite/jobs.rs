// SPDX-License-Identifier: GPL-2.0-or-later
//! Runs jobs that need each other, a few at a time, and tells how it goes.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::job_context::JobContext;
use super::record::{Record, Tier};

/// How often the running jobs are listed.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// How many failures of a job are named at once; all of them come at the end.
const SHOWN: usize = 8;

type Work = Box<dyn FnOnce(&JobContext) -> Result<Vec<Record>> + Send>;

/// A piece of work.
pub struct Job {
    /// Its name.
    pub name: &'static str,
    /// Where its failure counts if it cannot even run.
    pub tier: Tier,
    /// Jobs that must have succeeded before.
    pub needs: Vec<&'static str>,
    /// Jobs that must have ended before, however they did: they would only be in each other's way.
    pub after: Vec<&'static str>,
    /// It takes its time whatever it gets of the processors, so others need not wait for it.
    pub beside: bool,
    work: Work,
}

impl Job {
    /// A job that gives records. Its own error is one failed record.
    pub fn new(
        name: &'static str,
        tier: Tier,
        needs: &[&'static str],
        work: impl FnOnce(&JobContext) -> Result<Vec<Record>> + Send + 'static,
    ) -> Self {
        Self {
            name,
            tier,
            needs: needs.to_vec(),
            after: Vec::new(),
            beside: false,
            work: Box::new(work),
        }
    }

    /// The same, but not at the same time as `others` nor before them.
    pub fn after(mut self, others: &[&'static str]) -> Self {
        self.after = others.to_vec();
        self
    }

    /// The same, but beside as many others as may run at a time.
    pub fn beside_others(mut self) -> Self {
        self.beside = true;
        self
    }

    fn broken(&self, why: impl Into<String>) -> Vec<Record> {
        vec![Record::failed(self.tier, self.name, why)]
    }
}

/// What has become of a job. One that gave records, though failed ones, has done its part for the others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Done,
    Broken,
}

struct Message {
    name: &'static str,
    tier: Tier,
    result: Result<Vec<Record>>,
}

/// Runs all jobs, at most `slots` at a time (but for those that run beside others), earlier ones first. Gives all
/// their records.
pub fn run_all(ctx: &JobContext, jobs: Vec<Job>, slots: usize) -> Result<Vec<Record>> {
    let begin = Instant::now();
    let mut waiting = jobs;
    // No job waits for one that is not part of this run.
    let known: Vec<&'static str> = waiting.iter().map(|job| job.name).collect();
    for job in &mut waiting {
        job.after.retain(|other| known.contains(other));
    }
    let mut states: HashMap<&'static str, State> = HashMap::new();
    let mut running: HashMap<&'static str, (Instant, PathBuf)> = HashMap::new();
    let mut beside: HashSet<&'static str> = HashSet::new();
    let mut records = Vec::new();
    let (sender, receiver) = mpsc::channel::<Message>();
    let mut report = |name: &str, took: Duration, new: Vec<Record>| {
        show_job(begin.elapsed(), name, took, &new);
        records.extend(new);
    };

    while !waiting.is_empty() || !running.is_empty() {
        // What can no longer run, fails.
        while let Some(index) = waiting
            .iter()
            .position(|job| missing(job, &states).is_some())
        {
            let job = waiting.remove(index);
            let why =
                missing(&job, &states).map(|need| format!("not run, because '{need}' failed"));
            states.insert(job.name, State::Broken);
            report(
                job.name,
                Duration::ZERO,
                job.broken(why.unwrap_or_default()),
            );
        }
        let ready = |job: &Job| {
            let mut awaited = job.needs.iter().chain(&job.after);
            awaited.all(|other| states.contains_key(other))
        };
        loop {
            let full = running.len() - beside.len() >= slots;
            let may_start = |job: &Job| ready(job) && (job.beside || !full);
            let Some(index) = waiting.iter().position(may_start) else {
                break;
            };
            let job = waiting.remove(index);
            if job.beside {
                beside.insert(job.name);
            }
            let own = own_context(ctx, job.name)?;
            running.insert(job.name, (Instant::now(), own.log()));
            start(job, own, sender.clone());
        }
        if running.is_empty() {
            assert!(
                waiting.is_empty(),
                "jobs need each other in a circle or name none"
            );
            break;
        }
        match receiver.recv_timeout(HEARTBEAT) {
            Ok(message) => {
                let started = running.remove(message.name);
                beside.remove(message.name);
                let took = started.map_or(Duration::ZERO, |(when, _)| when.elapsed());
                let (state, new) = match message.result {
                    Ok(new) => (State::Done, new),
                    Err(error) => {
                        let why = format!("{error:#}");
                        (
                            State::Broken,
                            vec![Record::failed(message.tier, message.name, why)],
                        )
                    }
                };
                states.insert(message.name, state);
                report(message.name, took, new);
            }
            Err(RecvTimeoutError::Timeout) => show_running(begin.elapsed(), &running),
            Err(RecvTimeoutError::Disconnected) => unreachable!("we hold a sender"),
        }
    }
    Ok(records)
}

fn missing(job: &Job, states: &HashMap<&'static str, State>) -> Option<&'static str> {
    let broken = |need: &&&'static str| states.get(**need) == Some(&State::Broken);
    job.needs.iter().find(broken).copied()
}

fn own_context(ctx: &JobContext, name: &str) -> Result<JobContext> {
    let dir = ctx.dir.join(name.replace(' ', "-"));
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    let ctx = JobContext { dir, ..ctx.clone() };
    fs::write(ctx.log(), [])?;
    Ok(ctx)
}

fn start(job: Job, ctx: JobContext, sender: mpsc::Sender<Message>) {
    let Job {
        name, tier, work, ..
    } = job;
    thread::spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(|| work(&ctx)))
            .unwrap_or_else(|_| Err(anyhow::anyhow!("the harness itself failed, see above")));
        // The receiver is only gone when the whole run is.
        let _ = sender.send(Message { name, tier, result });
    });
}

fn show_job(at: Duration, name: &str, took: Duration, records: &[Record]) {
    let failed = records.iter().filter(|record| record.is_failure()).count();
    let passed = records.len() - failed;
    let word = if failed == 0 { "ok  " } else { "FAIL" };
    let count = match (passed, failed) {
        (0, 0) => String::new(),
        (_, 0) => format!(": {passed} passed"),
        _ => format!(": {passed} passed, {failed} failed"),
    };
    println!(
        "[{:5} s] {word} {name}{count} ({} s)",
        at.as_secs(),
        took.as_secs()
    );
    for record in records
        .iter()
        .filter(|record| record.is_failure())
        .take(SHOWN)
    {
        println!("               {}", record.name);
    }
    if failed > SHOWN {
        println!("               and {} more", failed - SHOWN);
    }
}

fn show_running(at: Duration, running: &HashMap<&'static str, (Instant, PathBuf)>) {
    let mut lines: Vec<String> = running
        .iter()
        .map(|(name, (since, log))| match last_words(log) {
            Some(words) => format!("{name} ({} s: {words})", since.elapsed().as_secs()),
            None => format!("{name} ({} s)", since.elapsed().as_secs()),
        })
        .collect();
    lines.sort();
    println!("[{:5} s] ...  {}", at.as_secs(), lines.join(", "));
}

/// What a job's log says last, without the time it begins with.
fn last_words(log: &PathBuf) -> Option<String> {
    let bytes = fs::read(log).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    let line = line.rsplit_once("s] ").map_or(line, |(_, words)| words);
    Some(line.trim().chars().take(70).collect())
}

#[cfg(test)]
#[path = "jobs_tests.rs"]
mod tests;
