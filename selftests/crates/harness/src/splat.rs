// SPDX-License-Identifier: GPL-2.0-or-later
//! Finds the kernel's complaints on its console.
//!
//! Only what the kernel itself prints counts, told by its time stamp: a script may write `WARNING:` as it likes.

/// A complaint of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splat {
    /// The line that made us look, without its time stamp.
    pub headline: String,
}

/// What a complaint's message begins with.
const BEGINNINGS: &[&str] = &[
    "BUG:",
    "BUG ",
    "WARNING:",
    "Oops:",
    "Oops ",
    "UBSAN:",
    "KASAN:",
    "KCSAN:",
    "Kernel panic",
    "kernel BUG at",
    "general protection fault",
    "invalid opcode:",
    "divide error:",
    "double fault:",
    "stack segment:",
    "traps: PANIC",
    "Unable to handle kernel",
    "DEBUG_LOCKS_WARN_ON",
    "INFO: possible recursive locking",
    "INFO: inconsistent lock state",
    "INFO: suspicious RCU usage",
    "INFO: trying to register non-static key",
    "INFO: rcu_",
    "NMI watchdog: Watchdog detected hard LOCKUP",
    "unregister_netdevice: waiting for",
];

/// What gives a complaint away anywhere in its message.
const SIGNS: &[&str] = &[
    "possible circular locking dependency",
    "possible recursive locking",
    "possible irq lock inversion",
    "possible deadlock",
    "suspicious RCU usage",
    "inconsistent lock state",
    "sleeping function called from invalid context",
    "scheduling while atomic",
    "blocked for more than",
    "detected stalls on CPUs",
    "self-detected stall on CPU",
    "BUG: soft lockup",
    "Bad page state",
    "Bad page map",
    "list_add corruption",
    "list_del corruption",
    "slab-out-of-bounds",
    "pagealloc: memory corruption",
    "new suspected memory leaks",
    "panicked at",
    "bad: scheduling from the idle thread",
    "still has locks held",
    "Corrupted page table",
];

/// The message of a kernel console line: what follows its time stamp (and caller id), wherever that is.
///
/// The time stamp need not be first: a program that wrote no newline shares its line with the kernel.
pub fn kernel_message(line: &str) -> Option<&str> {
    let mut rest = line;
    while let Some(open) = rest.find('[') {
        rest = &rest[open + 1..];
        let (stamp, after) = rest.split_once(']')?;
        if is_time_stamp(stamp) {
            return Some(without_caller(after.trim_start_matches(' ')));
        }
    }
    None
}

fn is_time_stamp(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match text.trim_start_matches(' ').split_once('.') {
        Some((seconds, micros)) => digits(seconds) && digits(micros) && micros.len() == 6,
        None => false,
    }
}

/// Drops the `[   T12]` or `[   C0]` that CONFIG_PRINTK_CALLER adds.
fn without_caller(message: &str) -> &str {
    let caller = || {
        let (inside, after) = message.strip_prefix('[')?.split_once(']')?;
        let number = inside.trim_start_matches(' ').strip_prefix(['T', 'C'])?;
        number
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| after.trim_start_matches(' '))
    };
    caller().unwrap_or(message)
}

/// Is this console line the beginning of a complaint?
pub fn find(line: &str) -> Option<Splat> {
    let message = kernel_message(line)?;
    let hit = BEGINNINGS.iter().any(|begin| message.starts_with(begin))
        || SIGNS.iter().any(|sign| message.contains(sign));
    hit.then(|| Splat {
        headline: message.to_owned(),
    })
}

/// Does this console line say that the kernel is up and runs the first process? What it complained about before
/// that is not of the module's or the script's making.
pub fn begins_init(line: &str) -> bool {
    kernel_message(line).is_some_and(|message| message.starts_with("Run /init as init process"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Complaints as kernels print them.
    const COMPLAINTS: &[&str] = &[
        "[   12.345678] WARNING: CPU: 1 PID: 77 at drivers/x.c:12 f+0x1/0x2 [m]",
        "[   12.345678] WARNING: drivers/x.c:12 at f+0x1/0x2, CPU#1: insmod/77",
        "[   12.345678] WARNING: possible circular locking dependency detected",
        "[   12.345678] WARNING: possible recursive locking detected",
        "[   12.345678] WARNING: inconsistent lock state",
        "[   12.345678] WARNING: suspicious RCU usage",
        "[   12.345678] WARNING: lock held when returning to user space!",
        "[   12.345678] BUG: sleeping function called from invalid context at mm/x.c:3",
        "[   12.345678] BUG: KASAN: slab-use-after-free in f+0x1/0x2",
        "[   12.345678] BUG: kernel NULL pointer dereference, address: 0000000000000000",
        "[   12.345678] BUG: scheduling while atomic: sh/1/0x00000002",
        "[   12.345678] BUG: Bad page state in process sh  pfn:01234",
        "[   12.345678] BUG kmalloc-64 (Not tainted): Poison overwritten",
        "[   12.345678] Oops: Oops: 0000 [#1] SMP KASAN PTI",
        "[   12.345678] Oops: general protection fault, probably for non-canonical address",
        "[   12.345678] general protection fault, probably for non-canonical address",
        "[   12.345678] UBSAN: array-index-out-of-bounds in x.c:1:2",
        "[   12.345678] INFO: task sh:12 blocked for more than 120 seconds.",
        "[   12.345678] rcu: INFO: rcu_preempt self-detected stall on CPU",
        "[   12.345678] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
        "[   12.345678] watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [sh:1]",
        "[   12.345678] list_add corruption. next->prev should be prev (0), but was 1.",
        "[   12.345678] Kernel panic - not syncing: Fatal exception",
        "[   12.345678] kmemleak: 2 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
        "[   12.345678] rust_kernel: panicked at rust/x.rs:1:2:",
        "[   12.345678][   T77] WARNING: CPU: 1 PID: 77 at x.c:12 f+0x1/0x2",
        "# half a line[   12.345678] BUG: unable to handle page fault",
        "[12345.345678] kernel BUG at mm/x.c:1!",
    ];

    /// Lines that only look like it.
    const HARMLESS: &[&str] = &[
        "WARNING: this comes from a script",
        "BUG: so does this",
        "[WARNING] BUG: not a time stamp",
        "[  1.5] BUG: no time stamp either",
        "[    0.733827] mtrr: your CPUs had inconsistent fixed MTRR settings",
        "[    0.733827] clocksource: Watchdog remote CPU 1 read timed out",
        "[    2.000000] FAULT_INJECTION: forcing a failure.",
        "[    2.000000] sh: page allocation failure: order:0, mode:0xcc0",
        "[    2.000000] # case: a message that mentions a WARNING: here",
        "[    2.000000] reeve: hello",
        "",
        "[",
    ];

    #[test]
    fn complaints_are_found() {
        for line in COMPLAINTS {
            assert!(find(line).is_some(), "missed: {line}");
        }
    }

    #[test]
    fn harmless_lines_are_left_alone() {
        for line in HARMLESS {
            assert_eq!(find(line), None, "false alarm: {line}");
        }
    }

    #[test]
    fn the_first_process_is_noticed() {
        assert!(begins_init("[    1.234567] Run /init as init process"));
        assert!(begins_init(
            "[    1.234567][    T1] Run /init as init process"
        ));
        assert!(!begins_init("Run /init as init process"));
        assert!(!begins_init("[    1.234567] Unpacking initramfs..."));
    }

    #[test]
    fn the_headline_has_no_time_stamp() {
        let splat = find("[    1.000000][    C0] BUG: x").unwrap();
        assert_eq!(splat.headline, "BUG: x");
    }
}
