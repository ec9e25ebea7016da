// SPDX-License-Identifier: GPL-2.0-or-later
//! The rows of the dirty log and of migrations, whose program runs in the guest.

use super::{at_most, of_reference, Kernel, Measured, Reference, Spec, INSTRUCTIONS, PER_PAGE};

/// A row of the dirty log and of migrations.
const fn logged(
    name: &'static str,
    unit: &'static str,
    reference: (Reference, &'static str),
    target: f64,
) -> Spec {
    Spec {
        name,
        unit,
        ours: Measured(Kernel::Log, "log", name),
        reference: Some(reference),
        target: of_reference(target),
    }
}

/// A peer of the dirty log, in the same boot.
const fn peer(name: &'static str) -> Reference {
    Reference::Now(Measured(Kernel::Log, "log", name))
}

const SCAN: &str = "PAGEMAP_SCAN, async uffd";
const SYNCED: &str = "with the first sync";

pub(super) const ROWS: [Spec; 15] = [
    logged(
        "log.write.clean",
        INSTRUCTIONS,
        (peer("peer.write.clean"), SCAN),
        1.2,
    ),
    logged(
        "log.write.dirty",
        INSTRUCTIONS,
        (peer("peer.write.dirty"), "any memory"),
        1.05,
    ),
    logged(
        "log.fault.off",
        INSTRUCTIONS,
        (
            Reference::Constant(FAULT_BEFORE_LOGS),
            "before logs (constant)",
        ),
        1.02,
    ),
    logged(
        "log.get.4g",
        INSTRUCTIONS,
        (peer("peer.memcpy.128k"), "memcpy of 128 KiB"),
        2.0,
    ),
    logged(
        "log.cycle.1000",
        PER_PAGE,
        (peer("peer.cycle.1000"), SCAN),
        1.0,
    ),
    logged(
        "log.clear.dense",
        PER_PAGE,
        (peer("peer.clear.dense"), SCAN),
        1.0,
    ),
    Spec {
        target: at_most(0.13),
        ..logged(
            "log.bytes",
            "bytes/page",
            (Reference::Constant(0.25), "KVM's two bitmaps (constant)"),
            1.0,
        )
    },
    Spec {
        target: None,
        ..start("migrate.start.64m", "peer.start.64m")
    },
    Spec {
        target: None,
        ..start("migrate.start.256m", "peer.start.256m")
    },
    Spec {
        target: None,
        ..start("migrate.start.1g", "peer.start.1g")
    },
    start("migrate.start.4g", "peer.start.4g"),
    logged(
        "migrate.first_page.4g",
        INSTRUCTIONS,
        (peer("peer.first_page.4g"), "mode 1 with its sync"),
        0.1,
    ),
    logged(
        "migrate.idle",
        "bytes/byte",
        (Reference::Constant(1.0), "content (constant)"),
        1.002,
    ),
    busy("migrate.busy.10", "peer.busy.10"),
    busy("migrate.busy.50", "peer.busy.50"),
];

/// A fault of an object when there were no logs, measured by `reeve-log-bench --faults`.
const FAULT_BEFORE_LOGS: f64 = 12287.87;

/// A row of the start of a migration.
const fn start(name: &'static str, reference: &'static str) -> Spec {
    logged(name, INSTRUCTIONS, (peer(reference), SYNCED), 0.05)
}

/// A row of a migration under writes.
const fn busy(name: &'static str, reference: &'static str) -> Spec {
    logged(
        name,
        "pages",
        (peer(reference), "pages that were stale"),
        1.05,
    )
}
