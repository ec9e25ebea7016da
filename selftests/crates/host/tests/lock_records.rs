// SPDX-License-Identifier: GPL-2.0-or-later

//! What a report says: which held locks conflict, and that packing keeps everything.

use proptest::prelude::*;
use reeve_host::lock_order::rules::{
    conflict::{first_slot, not_barred, order_bit, Attributes, Rules},
    flags::*,
    held::{HeldLocks, LockUse},
    operation::Operation,
    violation::{
        kind_name, kind_text,
        record::{Record, Shown, Who, COMM, MAX_SHOWN},
        Violation, KINDS,
    },
};
use std::collections::BTreeSet;

const RULES: Rules<'static> = Rules {
    token: 0x200,
    count: 20,
    nestable: order_bit(3),
    conflicts: &[],
    attributes: Attributes::NONE,
    is_barred: false,
    barred_from: not_barred,
    slot_of: first_slot,
};

const WHO: Who = Who {
    time: 12_345_678_901,
    pid: 51,
    cpu: 3,
    level: 0,
    comm: *b"insmod\0\0\0\0\0\0\0\0\0\0",
};

/// Records the locks, each with its order as site, and returns the record of the last report.
fn report(locks: &[(usize, u32, u32)], last: (usize, u32, u32), unlock: bool) -> Record {
    let mut held = HeldLocks::new();
    for &(instance, order, flags) in locks {
        let u = LockUse::new(instance, order, flags, order);
        held.record_lock(&RULES, u, &mut |_, _| {});
    }
    let u = LockUse::new(last.0, last.1, last.2, 99);
    let mut record = None;
    let mut take = |held: &HeldLocks, v: Violation| {
        record = Some(Record::new(
            WHO,
            Operation::Locking as u8,
            v,
            u,
            &RULES,
            held,
        ));
    };
    if unlock {
        held.record_unlock(&RULES, u, &mut take);
    } else {
        held.record_lock(&RULES, u, &mut take);
    }
    record.expect("a violation")
}

fn orders(record: &Record, conflicts: bool) -> Vec<u8> {
    let held = record.held().iter();
    held.filter(|held| held.conflicts == conflicts)
        .map(|held| held.order)
        .collect()
}

#[test]
fn every_equal_or_deeper_lock_conflicts_with_taking_one() {
    let locks = [
        (1, 2, SHARED),
        (2, 4, EXCLUSIVE),
        (3, 6, SHARED),
        (4, 7, SHARED),
    ];
    let record = report(&locks, (9, 4, EXCLUSIVE), false);
    assert_eq!(orders(&record, true), [4, 6, 7]);
    assert_eq!(orders(&record, false), [2]);
    assert_eq!(record.against(), 4);
    assert_eq!((record.order, record.lock, record.site), (4, 9, 99));
    let first = record.held()[0];
    assert_eq!((first.site, first.instance, first.exclusive), (4, 2, true));
}

#[test]
fn only_deeper_locks_conflict_with_releasing_one() {
    let locks = [(1, 2, SHARED), (2, 4, EXCLUSIVE), (3, 6, SHARED)];
    let record = report(&locks, (2, 4, EXCLUSIVE), true);
    assert_eq!(orders(&record, true), [6]);
    assert_eq!(orders(&record, false), [2, 4]);
}

#[test]
fn of_a_nestable_order_the_higher_keys_conflict() {
    let locks = [(10, 3, SHARED), (20, 3, SHARED), (30, 3, SHARED)];
    let record = report(&locks, (25, 3, SHARED), false);
    assert_eq!(record.held()[0].instance, 30);
    assert_eq!(orders(&record, true), [3]);
}

#[test]
fn locks_of_other_hierarchies_are_not_shown() {
    let mut held = HeldLocks::new();
    let other = Rules {
        token: 0x700,
        ..RULES
    };
    held.record_lock(&other, LockUse::new(1, 9, SHARED, 0), &mut |_, _| {});
    held.record_lock(&RULES, LockUse::new(1, 5, SHARED, 0), &mut |_, _| {});
    let u = LockUse::new(2, 5, SHARED, 0);
    let mut seen = 0;
    held.record_lock(&RULES, u, &mut |held, v| {
        let record = Record::new(WHO, 0, v, u, &RULES, held);
        assert_eq!(record.held().len(), 1);
        seen += 1;
    });
    assert_eq!(seen, 1);
}

#[test]
fn what_has_no_room_is_counted() {
    let locks: Vec<_> = (1..=20).map(|order| (1, order, SHARED)).collect();
    let record = report(&locks, (2, 1, SHARED), false);
    assert_eq!(record.held().len(), MAX_SHOWN);
    assert_eq!(usize::from(record.left_out), 20 - MAX_SHOWN);
}

/// Programs read them: new ones come at the end, none changes.
#[test]
fn words_of_kinds_and_operations_stay() {
    let kinds: Vec<_> = (0..KINDS as u8).map(kind_name).collect();
    assert_eq!(
        kinds.join(" "),
        "invalid_order invalid_flags invalid_hierarchy order_held rule_broken too_deep not_held wrong_instance \
         wrong_mode deeper_held unexpectedly_held still_held not_disabled no_context bad_context table_full \
         leave_forgotten ended_inside still_disabled sleeps_under_spinlock sleeps_in_atomic interrupts_on in_handler \
         freed_held not_handed_over other_held"
    );
    let operations: Vec<_> = (0..=Operation::Adopting as u8)
        .map(Operation::name_of)
        .collect();
    assert_eq!(
        operations.join(" "),
        "record_lock record_unlock record_downgrade check_locked check_lockable_order check_unlocked_order \
         check_all_unlocked thread_context_enter thread_context_leave thread_context_save thread_context_restore \
         tracking_disable tracking_enable hierarchy_unregister record_acquired record_wait check_no_locks_freed \
         record_handover record_adopt"
    );
}

#[test]
fn kinds_and_operations_have_names_of_their_own() {
    let kinds: BTreeSet<_> = (0..KINDS as u8).map(kind_name).collect();
    let texts: BTreeSet<_> = (0..KINDS as u8).map(kind_text).collect();
    assert_eq!((kinds.len(), texts.len()), (KINDS, KINDS));
    assert_eq!(
        kind_name(Violation::OrderHeld(0).kind() as u8),
        "order_held"
    );
    assert_eq!(kind_name(Violation::TableFull.kind() as u8), "table_full");
    assert_eq!(kind_name(KINDS as u8), "?");
    let last = Operation::Adopting as u8;
    let names: BTreeSet<_> = (0..=last).map(Operation::name_of).collect();
    assert_eq!(names.len(), usize::from(last) + 1);
    assert_eq!(
        Operation::name_of(Operation::Unlocking as u8),
        "record_unlock"
    );
    assert_eq!(Operation::text_of(last + 1), "?");
}

fn shown() -> impl Strategy<Value = Shown> {
    (
        any::<u8>(),
        any::<bool>(),
        any::<bool>(),
        any::<u8>(),
        any::<u32>(),
        any::<usize>(),
    )
        .prop_map(
            |(order, exclusive, conflicts, other, site, instance)| Shown {
                order,
                exclusive,
                conflicts,
                other,
                site,
                instance,
            },
        )
}

proptest! {
    #[test]
    fn packing_keeps_everything(
        who in (any::<u64>(), any::<u32>(), any::<u32>(), any::<[u8; COMM]>()),
        small in any::<[u8; 5]>(),
        lock: usize,
        site: u32,
        left_out: u8,
        held in prop::collection::vec(shown(), 0..=MAX_SHOWN),
    ) {
        let mut record = Record {
            who: Who { time: who.0, pid: who.1, cpu: who.2, level: small[4], comm: who.3 },
            doing: small[0],
            kind: small[1],
            order: small[2],
            flags: small[3],
            lock,
            site,
            shown: held.len() as u8,
            left_out,
            held: [Shown::default(); MAX_SHOWN],
        };
        record.held[..held.len()].copy_from_slice(&held);
        prop_assert_eq!(Record::unpack(&record.pack()), record);
        prop_assert_eq!(record.held(), &held[..]);
    }
}
