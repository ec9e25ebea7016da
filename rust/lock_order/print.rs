// SPDX-License-Identifier: GPL-2.0

//! Reports as C sees them: printk's symbol names and rate limits, and tracepoints.

use super::{
    hierarchy::{
        self,
        Names, //
    },
    rules::{
        held::LockUse,
        operation::Operation,
        violation::{
            self,
            record::{
                Record,
                Who, //
            }, //
        }, //
    }, //
};
use crate::{
    abstractions::bindings,
    lock_order::rules::held::surroundings, //
};
use kernel::fmt;

const _: () = {
    assert!(surroundings::INTERRUPT == bindings::REEVE_IN_INTERRUPT);
    assert!(surroundings::HARD_INTERRUPT == bindings::REEVE_IN_HARD_INTERRUPT);
    assert!(surroundings::ATOMIC == bindings::REEVE_IS_ATOMIC);
    assert!(surroundings::INTERRUPTS_OFF == bindings::REEVE_INTERRUPTS_OFF);
};

/// Who is running now, and when. Any context.
pub(crate) fn who() -> Who {
    let mut raw = bindings::reeve_who::default();
    // SAFETY: The pointer is valid for writes.
    unsafe { bindings::reeve_helper_who(&mut raw) };
    from_c(&raw)
}

/// The name and pid of the task at this address, which may be gone: then they are wrong, or `None`.
pub(crate) fn task(address: usize) -> Option<Who> {
    let mut raw = bindings::reeve_who::default();
    // SAFETY: The pointer is valid for writes; the task is read in a way that may fault.
    unsafe { bindings::reeve_helper_task_who(address, &mut raw) }.then(|| from_c(&raw))
}

fn from_c(raw: &bindings::reeve_who) -> Who {
    Who {
        time: raw.time,
        pid: raw.pid,
        cpu: raw.cpu,
        level: raw.level as u8,
        comm: raw.comm,
    }
}

fn to_c(who: &Who) -> bindings::reeve_who {
    bindings::reeve_who {
        time: who.time,
        pid: who.pid,
        cpu: who.cpu,
        level: who.level.into(),
        comm: who.comm,
    }
}

/// Tells modules that are gone from what is loaded in their place; dropping it ends that.
pub(crate) struct ModuleWatch(());

impl ModuleWatch {
    /// Begins. Once per load, when the module's own hierarchy is registered. May sleep.
    pub(crate) fn new() -> Self {
        // SAFETY: Called once per load, and undone when the value is dropped.
        unsafe { bindings::reeve_helper_watch_modules() };
        Self(())
    }
}

impl Drop for ModuleWatch {
    fn drop(&mut self) {
        // SAFETY: `new` began it.
        unsafe { bindings::reeve_helper_unwatch_modules() };
    }
}

/// A lock that is held was taken at `site`, in the module that is just going.
pub(crate) fn left_behind(instance: usize, site: u32) {
    // SAFETY: The helper only notes the numbers; it is called where a module goes, not in an interrupt.
    unsafe { bindings::reeve_helper_left_behind(instance, site) };
}

/// A piece of text as C gets it; valid as long as the text is.
fn text(text: &[u8]) -> bindings::reeve_text {
    bindings::reeve_text {
        start: text.as_ptr(),
        len: text.len() as u32,
    }
}

fn hierarchy_name<'a>(names: Option<&'a Names>) -> &'a [u8] {
    names.map_or(b"-", Names::name)
}

fn order_name(names: Option<&Names>, order: u32) -> &[u8] {
    match names {
        Some(names) if order != 0 => names.order(order),
        _ => b"-",
    }
}

/// Where the caller runs, as [`mod@surroundings`] has it.
pub(crate) fn surroundings() -> u32 {
    // SAFETY: The helper looks at the state of this CPU; it may be called anywhere.
    unsafe { bindings::reeve_helper_surroundings() }
}

/// Whether all contexts may be looked at here.
pub(crate) fn may_look() -> bool {
    // SAFETY: The helper looks at the state of this CPU; it may be called anywhere.
    unsafe { bindings::reeve_helper_may_look() }
}

/// Whether one more report may be logged: a repeat of a pair, or one of a pair without a place of its
/// own. Any context.
pub(crate) fn report_allowed(repeat: bool) -> bool {
    // SAFETY: The helper takes rate limits that are static, in any context; one `true` is one report.
    unsafe { bindings::reeve_helper_report_allowed(repeat) }
}

/// Panics if the parameter `panic_on_violation` is set. Called last, when everything was said. Any context.
pub(crate) fn panic_if_asked() {
    // SAFETY: The helper reads a variable with `READ_ONCE()`; `panic()` may be called in any context.
    unsafe { bindings::reeve_helper_panic_if_asked() }
}

/// Runs `f` with interrupts of this CPU off. Any context.
pub(crate) fn without_interrupts<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: The helper may be called anywhere; what it returns goes to its counterpart below, on the
    // same CPU, for nothing can move this there meanwhile.
    let flags = unsafe { bindings::reeve_helper_irq_save() };
    let result = f();
    // SAFETY: `flags` is what the call above returned.
    unsafe { bindings::reeve_helper_irq_restore(flags) };
    result
}

/// Fires `reeve:lock_violation`, and logs the violation if it is to be. Any context.
pub(crate) fn violation(names: Option<&Names>, record: &Record, logged: bool) {
    let other = record.against_other();
    let against = record.held().first().filter(|held| held.conflicts);
    let (against, against_lock, against_site) = against.map_or((0, 0, 0), |held| {
        (held.order.into(), held.instance, held.site)
    });
    let mut buffer = [0; _];
    let against_name = match other {
        0 => order_name(names, against),
        _ => hierarchy::joined(&mut buffer, other, against),
    };
    let told = bindings::reeve_violation {
        who: to_c(&record.who),
        hierarchy: text(hierarchy_name(names)),
        name: text(order_name(names, record.order.into())),
        against_name: text(against_name),
        operation: text(Operation::name_of(record.doing).as_bytes()),
        doing: text(Operation::text_of(record.doing).as_bytes()),
        kind: text(violation::kind_name(record.kind).as_bytes()),
        fault: text(violation::kind_text(record.kind).as_bytes()),
        lock: record.lock,
        has_lock: Operation::has_lock(record.doing),
        against_lock,
        order: record.order.into(),
        against,
        flags: record.flags.into(),
        site: record.site,
        against_site,
    };
    // SAFETY: The texts are valid for the call, and the tracepoint copies them.
    unsafe { bindings::reeve_helper_trace_violation(&told) };
    if !logged {
        return;
    }
    // SAFETY: The texts are valid for the call.
    unsafe { bindings::reeve_helper_report_head(&told) };
    for held in record.held() {
        let mut buffer = [0; _];
        let name = text(match held.other {
            0 => order_name(names, held.order.into()),
            other => hierarchy::joined(&mut buffer, other, held.order.into()),
        });
        // SAFETY: The text is valid for the call.
        unsafe {
            bindings::reeve_helper_report_held(
                name,
                held.order.into(),
                held.instance,
                held.exclusive,
                held.conflicts,
                held.site,
            )
        };
    }
    if record.left_out != 0 {
        // SAFETY: The helper prints a number; it may be called in any context.
        unsafe { bindings::reeve_helper_report_more(record.left_out.into()) };
    }
    // SAFETY: The pointer is valid, and the helper looks at the stack of the thread that runs; it may be
    // called in any context.
    unsafe { bindings::reeve_helper_report_stack(&told.who, record.site) };
}

/// Fires `reeve:lock_record`, or `reeve:lock_unrecord`. Any context.
pub(crate) fn recorded(names: Option<&Names>, u: LockUse, unlock: bool) {
    let event = bindings::reeve_record {
        hierarchy: text(hierarchy_name(names)),
        name: text(order_name(names, u.order)),
        lock: u.instance,
        order: u.order,
        flags: u.flags,
        site: u.site,
    };
    // SAFETY: The texts are valid for the call, and the tracepoint copies them.
    unsafe { bindings::reeve_helper_trace_record(&event, unlock) };
}

/// A call site, shown as symbol+offset; of a module that is gone as the module's name and an offset.
pub(crate) struct Site {
    /// Where.
    pub(crate) site: u32,
    /// The lock that was taken there; 0: none was.
    pub(crate) lock: usize,
    /// When it was seen to be there, in nanoseconds of the log's clock; 0: that is not known.
    pub(crate) time: u64,
}

/// A lock's address, shown hashed.
pub(crate) struct Hashed(pub(crate) usize);

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [0u8; bindings::REEVE_SITE_TEXT as usize];
        // SAFETY: The buffer is as large as the function is told.
        let len = unsafe {
            bindings::reeve_helper_site_text(
                buffer.as_mut_ptr(),
                buffer.len(),
                self.site,
                self.lock,
                self.time,
            )
        } as usize;
        show(f, buffer.get(..len))
    }
}

impl fmt::Display for Hashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [0u8; 24];
        // SAFETY: The buffer is as large as the function is told.
        let len = unsafe {
            bindings::reeve_helper_lock_text(buffer.as_mut_ptr(), buffer.len(), self.0) as usize
        };
        show(f, buffer.get(..len))
    }
}

fn show(f: &mut fmt::Formatter<'_>, text: Option<&[u8]>) -> fmt::Result {
    match text.map(core::str::from_utf8) {
        Some(Ok(text)) => f.write_str(text),
        _ => f.write_str("?"),
    }
}
