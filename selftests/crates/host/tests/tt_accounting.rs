// SPDX-License-Identifier: GPL-2.0-or-later

//! The counters against a reference model, the limits, and the self-check under interleavings.

use proptest::prelude::*;
use reeve_host::bo::rules::limits::*;
use reeve_host::bo::rules::sequence::move_to_tail;
use std::collections::VecDeque;

#[test]
fn a_limit_is_exceeded_by_one_page_more() {
    let limit = Amount {
        pages: 100,
        dma32: 10,
    };
    for (pages, dma32, over) in [
        (0, 0, false),
        (100, 10, false),
        (101, 10, true),
        (100, 11, true),
        (u64::MAX, u64::MAX, true),
    ] {
        assert_eq!(over_limit(Amount { pages, dma32 }, limit), over);
    }
}

#[test]
fn half_of_memory_and_at_most_two_gib_below_4_gib() {
    for (total, low, pages, dma32) in [
        (0, 0, 0, 0),
        (262_144, 262_144, 131_072, 262_144),
        (8 << 18, 8 << 18, 4 << 18, 2 << 18),
        (8 << 18, 1 << 17, 4 << 18, 1 << 17),
    ] {
        assert_eq!(
            default_limits(total, low, 12),
            Amount { pages, dma32 },
            "{total} {low}"
        );
    }
}

#[test]
fn zero_means_the_default_for_each_limit_by_itself() {
    let default = Amount { pages: 7, dma32: 3 };
    for (pages, dma32, expected) in [
        (0, 0, (7, 3)),
        (1, 0, (1, 3)),
        (0, 2, (7, 2)),
        (1, 2, (1, 2)),
    ] {
        let limits = effective_limits(Amount { pages, dma32 }, default);
        assert_eq!((limits.pages, limits.dma32), expected);
    }
}

#[test]
fn amounts_neither_wrap_nor_go_below_zero() {
    let one = Amount::of(1, true);
    let most = Amount {
        pages: u64::MAX,
        dma32: 5,
    };
    assert_eq!(most.plus(one), None);
    assert_eq!(Amount::default().minus(one), None);
    assert_eq!(Amount::of(1, false).minus(one), None);
    assert_eq!(most.minus(one).and_then(|a| a.plus(one)), Some(most));
}

fn quiet(counted: u64, in_flight: u64) -> Sample {
    Sample {
        begun: 5,
        finished: 5,
        counted,
        in_flight,
    }
}

#[test]
fn counters_that_agree_agree_with_charges_in_flight() {
    assert_eq!(verdict(quiet(0, 0), 0, quiet(0, 0)), Verdict::Ok);
    assert_eq!(verdict(quiet(12, 4), 8, quiet(12, 4)), Verdict::Ok);
}

#[test]
fn drift_is_told_in_both_directions() {
    for listed in [7, 9] {
        assert_eq!(
            verdict(quiet(12, 4), listed, quiet(12, 4)),
            Verdict::Drift {
                counted: 12,
                summed: listed + 4
            }
        );
    }
    let huge = verdict(quiet(0, u64::MAX), 1, quiet(0, u64::MAX));
    assert!(matches!(huge, Verdict::Drift { .. }));
}

#[test]
fn a_change_meanwhile_is_no_verdict() {
    let mut moving = quiet(12, 4);
    moving.begun += 1;
    let mut moved = moving;
    moved.finished += 1;
    for (before, after) in [
        (moving, moving),
        (quiet(12, 4), moving),
        (quiet(12, 4), moved),
        (moving, moved),
    ] {
        assert_eq!(verdict(before, 8, after), Verdict::Retry);
    }
}

/// What a thread does to one TT: a charge, its way into a list and out of it, and its end. Each is
/// several steps, between which others run.
#[derive(Clone, Copy, Debug)]
enum Step {
    Begin,
    Count(i64),
    Fly(i64),
    List(i64),
    Finish,
}

fn life(pages: i64) -> Vec<Step> {
    use Step::*;
    let change = |steps: &[Step]| [&[Begin], steps, &[Finish]].concat();
    [
        change(&[Fly(pages), Count(pages)]),
        change(&[List(pages), Fly(-pages)]),
        change(&[List(-pages), Fly(pages)]),
        change(&[Count(-pages), Fly(-pages)]),
    ]
    .concat()
}

proptest! {
    /// Random charges and returns: the counters are the model's sum after every step, the same
    /// operations are possible, and nothing ever goes below 0.
    #[test]
    fn counters_are_the_sum_of_what_is_charged(
        ops in prop::collection::vec((any::<bool>(), prop_oneof![0u64..1000, any::<u64>()], any::<bool>(), any::<prop::sample::Index>()), 1..200),
    ) {
        let mut counted = Amount::default();
        let mut charges: Vec<(u64, bool)> = Vec::new();
        for (charge, pages, dma32, pick) in ops {
            if charge {
                let sum: u128 = charges.iter().map(|c| u128::from(c.0)).sum();
                let fits = sum + u128::from(pages) <= u128::from(u64::MAX);
                match counted.plus(Amount::of(pages, dma32)) {
                    Some(more) => {
                        prop_assert!(fits);
                        counted = more;
                        charges.push((pages, dma32));
                    }
                    None => prop_assert!(!fits),
                }
            } else if !charges.is_empty() {
                let (pages, dma32) = charges.swap_remove(pick.index(charges.len()));
                let less = counted.minus(Amount::of(pages, dma32));
                prop_assert!(less.is_some());
                counted = less.unwrap_or_default();
            }
            prop_assert_eq!(counted.pages, charges.iter().map(|c| c.0).sum::<u64>());
            prop_assert_eq!(
                counted.dma32,
                charges.iter().filter(|c| c.1).map(|c| c.0).sum::<u64>()
            );
        }
        for (pages, dma32) in charges {
            counted = counted.minus(Amount::of(pages, dma32)).unwrap_or_default();
        }
        prop_assert_eq!(counted, Amount::default());
    }

    /// Three threads' TTs live while a fourth checks: it never says that correct counters are wrong, and
    /// when it finds a page that was not counted, it says so.
    #[test]
    fn the_self_check_is_exact_under_interleavings(
        schedule in prop::collection::vec(0usize..4, 0..120),
        lost in 0i64..2,
    ) {
        let mut lives = [life(3), life(3), life(5)].map(VecDeque::from);
        let (mut begun, mut finished, mut counted, mut flying, mut listed) = (0, 0, 0i64, 0i64, 0i64);
        let mut seen = None;
        for thread in schedule {
            if let Some(life) = lives.get_mut(thread) {
                match life.pop_front() {
                    Some(Step::Begin) => begun += 1,
                    Some(Step::Count(n)) => counted += n,
                    Some(Step::Fly(n)) => flying += n,
                    Some(Step::List(n)) => listed += n,
                    Some(Step::Finish) => finished += 1,
                    None => {}
                }
                continue;
            }
            let sample = Sample {
                begun,
                finished,
                counted: counted as u64,
                in_flight: flying as u64,
            };
            // The sum is made somewhere between two samples; here, at the first.
            if let Some((before, sum)) = seen.take() {
                let verdict = verdict(before, sum, sample);
                if lost == 0 {
                    prop_assert!(!matches!(verdict, Verdict::Drift { .. }), "{:?}", verdict);
                } else {
                    prop_assert_ne!(verdict, Verdict::Ok);
                }
            }
            // A sample taken in the middle of a change may see any mix of values, but it is
            // recognised by `begun` and `finished`.
            seen = Some((sample, (listed + lost) as u64));
        }
    }

    #[test]
    fn devices_are_evicted_from_alternately(
        devices in 0usize..40,
        moves in prop::collection::vec(0usize..42, 0..50),
    ) {
        let mut order: Vec<usize> = (0..devices).collect();
        let mut model: VecDeque<usize> = (0..devices).collect();
        for device in moves {
            move_to_tail(&mut order, |&d| d == device);
            if let Some(at) = model.iter().position(|&d| d == device) {
                model.remove(at);
                model.push_back(device);
            }
            prop_assert_eq!(order.iter().copied().collect::<VecDeque<_>>(), model.clone());
        }
    }
}
