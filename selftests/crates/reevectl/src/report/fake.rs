// SPDX-License-Identifier: GPL-2.0-or-later

//! A module made of a few vectors, good or with one fault, and the report run on it.

use std::cell::RefCell;

use reeve_uapi::sys::reeve_stats;
use reeve_uapi::Handle;
use reeve_uapi::LOCK_SANITY_NAMES;

use crate::error::Error;
use crate::error::Result;
use crate::sanity::Case;
use crate::sanity::Status;
use crate::sanity::Suite;
use crate::stat::Stats;

use super::demo;
use super::demo::Plan;
use super::facts::Facts;
use super::facts::Kernel;
use super::facts::Module;
use super::subject::Subject;
use super::text::Text;

const PAGE: u64 = 4096;

/// What the fake gets wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    FailedCase,
    RefusedSuite,
    IgnoredLimit,
    LostByte,
    LeakedPages,
    WrongCount,
    Violation,
    StuckLimit,
    FailedSelfCheck,
    BrokenRead,
}

struct Bo {
    data: Vec<u8>,
    resident: bool,
    swapped: bool,
}

struct State {
    stats: reeve_stats,
    limit: String,
    /// By handle - 1, in the order of use as nothing is used twice.
    bos: Vec<Option<Bo>>,
}

struct Fake {
    fault: Fault,
    state: RefCell<State>,
}

impl Fake {
    fn new(fault: Fault) -> Self {
        let stats = reeve_stats {
            pages_limit: 1000,
            ..Default::default()
        };
        let state = State {
            stats,
            limit: "0".to_owned(),
            bos: Vec::new(),
        };
        Self {
            fault,
            state: RefCell::new(state),
        }
    }
}

impl State {
    fn swap_out_one(&mut self) -> u64 {
        let Some(bo) = self.bos.iter_mut().flatten().find(|bo| bo.resident) else {
            return 0;
        };
        bo.resident = false;
        bo.swapped = true;
        let pages = bo.data.len() as u64 / PAGE;
        self.stats.pages_allocated -= pages;
        self.stats.swapouts += 1;
        self.stats.swapped_pages += pages;
        pages
    }

    fn populate(&mut self, handle: Handle, fault: Fault) {
        let index = handle.get() as usize - 1;
        let bo = self.bos[index].as_ref().unwrap();
        if bo.resident {
            return;
        }
        let pages = bo.data.len() as u64 / PAGE;
        if fault != Fault::IgnoredLimit {
            while self.stats.pages_allocated + pages > self.stats.pages_limit {
                if self.swap_out_one() == 0 {
                    self.stats.overcommits += 1;
                    break;
                }
            }
        }
        let bo = self.bos[index].as_mut().unwrap();
        bo.resident = true;
        if bo.swapped {
            bo.swapped = false;
            self.stats.swapins += 1;
            if fault == Fault::LostByte && index == 1 {
                bo.data[5000] ^= 1;
            }
        }
        self.stats.pages_allocated += pages;
        self.stats.populates += 1;
    }
}

impl Subject for Fake {
    fn kernel(&self) -> Kernel {
        Kernel {
            release: "7.3.0".to_owned(),
            machine: "x86_64".to_owned(),
        }
    }

    fn module(&self) -> Module {
        Module {
            release: "0.1.0".to_owned(),
            abi: "1.0".to_owned(),
            features: vec!["lock_order"],
            page_size: PAGE as u32,
            devices: 1,
        }
    }

    fn lock_sanity(&self) -> Result<Suite> {
        if self.fault == Fault::RefusedSuite {
            return Err(Error::Check("no permission".to_owned()));
        }
        let mut cases: Vec<Case> = LOCK_SANITY_NAMES
            .iter()
            .map(|name| Case {
                name: (*name).to_owned(),
                status: Status::Passed,
                line: 0,
            })
            .collect();
        let failed = usize::from(self.fault == Fault::FailedCase);
        if failed == 1 {
            cases[7].status = Status::Failed;
            cases[7].line = 77;
        }
        Ok(Suite {
            passed: 20 - failed,
            failed,
            duration_ns: 1000,
            cases,
        })
    }

    fn stats(&self) -> Result<Stats> {
        Ok(Stats(self.state.borrow().stats))
    }

    fn self_check(&self) -> Option<String> {
        let text = if self.fault == Fault::FailedSelfCheck {
            "wrong"
        } else {
            "ok"
        };
        Some(text.to_owned())
    }

    fn pages_limit(&self) -> Result<String> {
        Ok(self.state.borrow().limit.clone())
    }

    fn set_pages_limit(&self, text: &str) -> Result<()> {
        if self.fault == Fault::StuckLimit && text == "0" {
            return Err(Error::Check("stuck".to_owned()));
        }
        let mut state = self.state.borrow_mut();
        state.limit = text.to_owned();
        state.stats.pages_limit = match text.parse().unwrap() {
            0 => 1000,
            pages => pages,
        };
        Ok(())
    }

    fn tt_shrink(&self) -> Result<i64> {
        let pages = self.state.borrow_mut().swap_out_one() as i64;
        let wrong = i64::from(self.fault == Fault::WrongCount && pages > 0);
        Ok(pages + wrong)
    }

    fn create(&self, size: u64) -> Result<Handle> {
        let mut state = self.state.borrow_mut();
        state.bos.push(Some(Bo {
            data: vec![0; size as usize],
            resident: false,
            swapped: false,
        }));
        state.stats.buffer_objects += 1;
        Ok(Handle::new(state.bos.len() as u32))
    }

    fn destroy(&self, handle: Handle) -> Result<()> {
        let mut state = self.state.borrow_mut();
        let bo = state.bos[handle.get() as usize - 1].take().unwrap();
        state.stats.buffer_objects -= 1;
        if bo.resident && self.fault != Fault::LeakedPages {
            state.stats.pages_allocated -= bo.data.len() as u64 / PAGE;
        }
        if self.fault == Fault::Violation {
            state.stats.lock_violations += 1;
        }
        Ok(())
    }

    fn write(&self, handle: Handle, offset: u64, from: &[u8]) -> Result<()> {
        let mut state = self.state.borrow_mut();
        state.populate(handle, self.fault);
        let bo = state.bos[handle.get() as usize - 1].as_mut().unwrap();
        bo.data[offset as usize..][..from.len()].copy_from_slice(from);
        Ok(())
    }

    fn read(&self, handle: Handle, offset: u64, to: &mut [u8]) -> Result<()> {
        if self.fault == Fault::BrokenRead {
            return Err(Error::Check("cannot read".to_owned()));
        }
        let mut state = self.state.borrow_mut();
        state.populate(handle, self.fault);
        let bo = state.bos[handle.get() as usize - 1].as_ref().unwrap();
        to.copy_from_slice(&bo.data[offset as usize..][..to.len()]);
        Ok(())
    }

    fn is_swapped(&self, handle: Handle) -> Result<bool> {
        let state = self.state.borrow();
        Ok(state.bos[handle.get() as usize - 1]
            .as_ref()
            .unwrap()
            .swapped)
    }

    fn num_pages(&self, handle: Handle) -> Result<u64> {
        let state = self.state.borrow();
        let bo = state.bos[handle.get() as usize - 1].as_ref().unwrap();
        Ok(bo.data.len() as u64 / PAGE)
    }
}

fn report(fault: Fault) -> (Result<Facts>, String, String) {
    let fake = Fake::new(fault);
    let plan = Plan {
        objects: 4,
        size: 4 * PAGE,
        page_size: PAGE,
        limit: 8,
    };
    let mut out = Vec::new();
    let facts = demo::run(&fake, &plan, &mut Text::new(&mut out));
    let limit = fake.state.borrow().limit.clone();
    (facts, String::from_utf8(out).unwrap(), limit)
}

#[test]
fn a_good_module_passes() {
    let (facts, text, limit) = report(Fault::None);
    let facts = facts.unwrap();
    assert!(facts.passed, "{text}");
    assert_eq!(limit, "0");
    assert!(text.contains("verdict: PASS (11 of 11 checks"), "{text}");
    assert_eq!(facts.shrink.objects.len(), 4);
    // 4 fills, 2 shrinks and the empty one, 4 reads, 1 destroy.
    assert_eq!(facts.shrink.steps.len(), 12);
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

#[test]
fn every_fault_fails_its_check() {
    for (fault, name) in [
        (Fault::FailedCase, "lock_sanity"),
        (Fault::RefusedSuite, "lock_sanity"),
        (Fault::IgnoredLimit, "limit_kept"),
        (Fault::LostByte, "content_came_back"),
        (Fault::LeakedPages, "counters_returned"),
        (Fault::WrongCount, "shrink_adds_up"),
        (Fault::Violation, "no_lock_violations"),
        (Fault::StuckLimit, "limit_restored"),
        (Fault::FailedSelfCheck, "counters_agree"),
    ] {
        let (facts, text, _) = report(fault);
        let facts = facts.unwrap();
        assert!(!facts.passed, "{fault:?}");
        let check = facts
            .checks
            .iter()
            .find(|check| check.name == name)
            .unwrap();
        assert!(!check.passed, "{fault:?}: {text}");
        assert!(text.contains("verdict: FAIL"), "{text}");
    }
}

#[test]
fn the_limit_is_restored_when_the_report_breaks_off() {
    let (facts, _, limit) = report(Fault::BrokenRead);
    assert!(facts.is_err());
    assert_eq!(limit, "0");
}

#[test]
fn json_has_the_same_facts() {
    let (facts, ..) = report(Fault::LostByte);
    let json = serde_json::to_value(facts.unwrap()).unwrap();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["passed"], false);
    assert_eq!(json["kernel"]["release"], "7.3.0");
    assert_eq!(json["lock_sanity"]["cases"][0]["status"], "passed");
    assert_eq!(json["shrink"]["objects"][1]["first_mismatch"], 5000);
    assert_eq!(json["shrink"]["steps"][0]["kind"], "fill");
    assert_eq!(json["shrink"]["steps"][4]["tt_shrink"], 4);
    assert_eq!(json["shrink"]["stats_after"]["buffer_objects"], 0);
    let (facts, ..) = report(Fault::RefusedSuite);
    let json = serde_json::to_value(facts.unwrap()).unwrap();
    assert_eq!(json["lock_sanity"]["error"], "no permission");
}
