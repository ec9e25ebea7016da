// SPDX-License-Identifier: GPL-2.0-or-later

//! The states of a TT and the rules of buffer objects, exhaustively.

use reeve_host::bo::rules::object::{flags, flags_of, BoFlags, BoType};
use reeve_host::bo::rules::page_kind::PageKind;
use reeve_host::bo::rules::state::*;

#[test]
fn the_table_has_every_transition_once() {
    for state in State::ALL {
        for event in Event::ALL {
            let mut rows = TRANSITIONS
                .iter()
                .filter(|row| row.0 == state && row.1 == event);
            let row = rows.next().expect("a row");
            assert_eq!(step(state, event), row.2, "{state:?} {event:?}");
            assert!(rows.next().is_none());
        }
    }
}

#[test]
fn an_event_that_changes_nothing_is_refused() {
    for (state, event, after) in TRANSITIONS {
        if after == Some(state) {
            // Going on with a partial backup may leave it partial; ending nothing is no error.
            assert!(
                matches!(
                    (state, event),
                    (State::PartlyBackedUp, Event::BackUpInPart) | (State::Empty, Event::Fini)
                ),
                "{state:?} {event:?}"
            );
        }
    }
}

#[test]
fn only_populating_fills_and_every_state_can_be_populated_or_is() {
    for (state, event, after) in TRANSITIONS {
        if after == Some(State::Populated) {
            assert_eq!(event, Event::Populate);
        }
        if event == Event::Populate {
            assert_eq!(after.is_none(), state.is_populated());
        }
    }
}

#[test]
fn content_is_only_lost_on_purpose() {
    for (state, event, after) in TRANSITIONS {
        if after == Some(State::Empty) && state != State::Empty {
            assert!(matches!(
                event,
                Event::Unpopulate | Event::Purge | Event::Fini
            ));
        }
    }
}

#[test]
fn every_state_can_be_left_for_the_end() {
    for state in State::ALL {
        assert_eq!(step(state, Event::Fini), Some(State::Empty));
    }
}

#[test]
fn pages_are_held_in_two_states() {
    let holding: Vec<_> = State::ALL.into_iter().filter(|s| s.holds_pages()).collect();
    assert_eq!(holding, [State::Populated, State::PartlyBackedUp]);
}

#[test]
fn the_shared_cases_hold() {
    for (view, request, decision) in CASES {
        assert_eq!(decide(view, request), decision, "{view:?} {request:?}");
    }
}

#[test]
fn a_request_that_is_done_is_a_transition_that_exists() {
    for_every_view(|view| {
        for (request, event) in [
            (Request::Populate, Event::Populate),
            (Request::Unpopulate, Event::Unpopulate),
            (Request::SwapOut, Event::SwapOut),
            (Request::BackUp, Event::BackUp),
            (Request::BackUp, Event::BackUpInPart),
            (Request::Purge, Event::Purge),
        ] {
            match decide(view, request) {
                Decision::Do => assert!(step(view.state, event).is_some(), "{view:?} {request:?}"),
                Decision::Nothing => assert!(step(view.state, event).is_none()),
                Decision::Refuse(_) => {}
            }
        }
    });
}

#[test]
fn nothing_pinned_ever_loses_its_pages() {
    for_every_view(|view| {
        if view.pins != 0 && view.state.is_populated() {
            for request in [
                Request::Unpopulate,
                Request::SwapOut,
                Request::BackUp,
                Request::Purge,
            ] {
                assert!(matches!(decide(view, request), Decision::Refuse(_)));
            }
        }
    });
}

#[test]
fn pins_and_unpins_never_wrap() {
    for_every_view(|view| {
        if decide(view, Request::Pin) == Decision::Do {
            assert!(view.pins.checked_add(1).is_some());
        }
        if decide(view, Request::Unpin) == Decision::Do {
            assert!(view.pins.checked_sub(1).is_some());
        }
    });
}

#[test]
fn external_objects_are_neither_swapped_nor_copied() {
    for_every_view(|view| {
        let refused = |request| decide(view, request) == Decision::Refuse(Refusal::External);
        assert_eq!(refused(Request::SwapOut), view.external);
        // What is here can be copied and backed up, counted or not.
        for request in [
            Request::Copy,
            Request::BackUp,
            Request::Restore,
            Request::Purge,
        ] {
            assert_eq!(refused(request), !view.owns_pages);
        }
    });
}

#[test]
fn creation_by_type() {
    for zero_alloc in [false, true] {
        for ty in [BoType::Device, BoType::Kernel, BoType::Sg] {
            let made = BoFlags::of(ty, zero_alloc);
            assert_eq!(made.zero_alloc(), zero_alloc && ty == BoType::Device);
            assert_eq!(made.is_external(), ty == BoType::Sg);
            assert_eq!(made.kind(), PageKind::CACHED);
            let else_ = [
                made.is_mappable(),
                made.is_shmem(),
                made.has_dma(),
                made.is_decrypted(),
            ];
            assert_eq!(else_, [false; 4]);
        }
    }
}

#[test]
fn only_external_objects_are_mappable_without_being_counted() {
    for ty in [BoType::Device, BoType::Kernel, BoType::Sg] {
        let made = BoFlags::of(ty, false);
        assert_eq!(made.mappable().is_some(), ty == BoType::Sg);
        assert_eq!(made.owns_pages(), ty != BoType::Sg);
        if let Some(made) = made.mappable() {
            assert!(made.owns_pages() && made.is_external());
            let flags = flags_of(made, State::Empty);
            assert_eq!(flags, flags::EXTERNAL | flags::EXTERNAL_MAPPABLE);
        }
    }
}

#[test]
fn shmem_is_plain_memory_of_ours() {
    for ty in [BoType::Device, BoType::Kernel, BoType::Sg] {
        for kind in PageKind::ALL {
            let Some(made) = BoFlags::of(ty, false).of_kind(kind) else {
                continue;
            };
            let plain = ty != BoType::Sg && kind == PageKind::CACHED;
            assert_eq!(made.on_shmem().is_some(), plain);
            assert!(!made.is_shmem());
        }
    }
    let mappable = BoFlags::of(BoType::Sg, false).mappable();
    let made = mappable.and_then(BoFlags::on_shmem).expect("its own pages");
    assert_eq!(flags_of(made, State::Empty) & flags::SHMEM, flags::SHMEM);
}

#[test]
fn every_object_can_have_addresses_for_the_device() {
    for ty in [BoType::Device, BoType::Kernel, BoType::Sg] {
        for kind in PageKind::ALL {
            let Some(made) = BoFlags::of(ty, false).of_kind(kind) else {
                continue;
            };
            let with = made.with_dma();
            for state in State::ALL {
                let (plain, dma) = (flags_of(made, state), flags_of(with, state));
                assert_eq!(dma, plain | flags::DMA_ADDRESSES);
                assert_eq!(plain & flags::DMA_ADDRESSES, 0);
            }
            // It is a decision of its own.
            assert_eq!(with.owns_pages(), made.owns_pages());
            assert_eq!(with.on_shmem().is_some(), made.on_shmem().is_some());
            assert_eq!(with.mappable().is_some(), made.mappable().is_some());
        }
    }
}

#[test]
fn pages_for_a_device_are_decrypted_in_an_encrypted_guest_only() {
    for ty in [BoType::Device, BoType::Kernel, BoType::Sg] {
        let plain = BoFlags::of(ty, false);
        assert_eq!(plain.in_guest(true), plain, "no device looks at it");
        let dma = plain.with_dma();
        assert_eq!(dma.in_guest(false), dma);
        let there = dma.in_guest(true);
        // Imported pages are as their exporter made them.
        assert_eq!(there.is_decrypted(), ty != BoType::Sg);
        let flags = flags_of(there, State::Swapped);
        assert_eq!(flags & flags::DECRYPTED != 0, there.is_decrypted());
        // Decided once.
        assert_eq!(there.in_guest(false), there);
        if let Some(mappable) = dma.mappable() {
            assert!(mappable.in_guest(true).is_decrypted());
        }
        if let Some(shmem) = dma.on_shmem() {
            assert_eq!(shmem.in_guest(true), shmem);
        }
    }
}

#[test]
fn restoring_is_populating_what_is_backed_up() {
    for_every_view(|view| {
        if decide(view, Request::Restore) == Decision::Do {
            assert_eq!(decide(view, Request::Populate), Decision::Do);
            assert_eq!(step(view.state, Event::Populate), Some(State::Populated));
        }
    });
}

#[test]
fn somebody_elses_pages_are_from_no_particular_memory() {
    for ty in [BoType::Device, BoType::Kernel, BoType::Sg] {
        for kind in PageKind::ALL {
            let made = BoFlags::of(ty, false).of_kind(kind);
            assert_eq!(made.is_none(), ty == BoType::Sg && kind.dma32);
            if let Some(made) = made {
                assert_eq!(made.kind(), kind);
                let flags = flags_of(made, State::Empty);
                assert_eq!(flags & flags::DMA32 != 0, kind.dma32);
            }
        }
    }
}

#[test]
fn flags_tell_states_and_creations_apart() {
    let mut seen = Vec::new();
    for ty in [BoType::Device, BoType::Sg] {
        for zero_alloc in [false, true] {
            if ty == BoType::Sg && zero_alloc {
                continue;
            }
            for state in [
                State::Empty,
                State::Populated,
                State::Swapped,
                State::BackedUp,
            ] {
                let flags = flags_of(BoFlags::of(ty, zero_alloc), state);
                assert!(!seen.contains(&flags));
                assert_eq!(flags & flags::ON_LRU, 0);
                seen.push(flags);
            }
        }
    }
}

fn for_every_view(f: impl Fn(Info)) {
    for state in State::ALL {
        for external in [false, true] {
            for pins in [0, 1, 2, u32::MAX - 1, u32::MAX] {
                f(Info {
                    state,
                    external,
                    owns_pages: !external,
                    pins,
                });
                f(Info {
                    state,
                    external,
                    owns_pages: true,
                    pins,
                });
            }
        }
    }
}

#[test]
fn every_request_is_decided_in_every_state() {
    let mut decided = 0;
    for state in State::ALL {
        for request in Request::ALL {
            let view = Info {
                state,
                external: false,
                owns_pages: true,
                pins: 0,
            };
            // Of an object that is not pinned, only pins of what is not populated and unpins are refused.
            if let Decision::Refuse(why) = decide(view, request) {
                assert!(matches!(
                    (request, why),
                    (Request::Pin, Refusal::NotPopulated) | (Request::Unpin, Refusal::NotPinned)
                ));
            }
            decided += 1;
        }
    }
    assert_eq!(decided, State::ALL.len() * Request::ALL.len());
}
