// SPDX-License-Identifier: GPL-2.0-or-later
//! What a back end sees, on the clock of this process, with all that runs in it.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reeve_vhost_user::backend::Backend;
use reeve_vhost_user::broken::Broken;
use reeve_vhost_user::device::Device;
use reeve_vhost_user::error::Error;
use reeve_vhost_user::features::Feature;
use reeve_vhost_user::local::Local;
use reeve_vhost_user::server::Observer;
use reeve_vhost_user::trace::now;
use reeve_vhost_user::wire::Message;

use super::common::within;

/// Looks into the back end when a message has come that was not handled yet.
pub(crate) type Hook = Box<dyn FnMut(&mut Backend, &str) + Send>;

/// The back ends of one guest: at no time have two of them rings that are started.
#[derive(Clone, Default)]
pub(crate) struct Guest(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    started: Vec<bool>,
    overlapped: bool,
    log: Vec<String>,
    events: Vec<Event>,
}

/// Something that happened at a host, or to the migration.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// When.
    pub(crate) at: Instant,
    /// Which host.
    pub(crate) host: usize,
    /// What.
    pub(crate) what: What,
}

/// What happened.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// A message was handled; whether a ring is started since.
    Message(String, bool),
    /// The back end marked a page, with this name.
    Mark(&'static str),
    /// QEMU took the dirty bitmap; how often it has by now.
    Round(u64),
}

impl Guest {
    /// Fails if two back ends had rings that were started at once, or if none ever had.
    pub(crate) fn no_overlap(&self) {
        let state = self.0.lock().unwrap();
        assert!(
            !state.overlapped,
            "rings at two places:\n{}",
            state.log.join("\n")
        );
        assert!(!state.log.is_empty(), "nothing was seen");
    }

    /// Notes what else happened.
    pub(crate) fn note(&self, host: usize, what: What) {
        let at = Instant::now();
        self.0.lock().unwrap().events.push(Event { at, host, what });
    }

    /// Returns everything that happened, in order.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().events.clone()
    }

    fn set(&self, number: usize, started: bool, what: &str) {
        self.note(number, What::Message(what.into(), started));
        let mut state = self.0.lock().unwrap();
        state.started[number] = started;
        state.overlapped |= state.started.iter().filter(|started| **started).count() > 1;
        let rings = if started { "started" } else { "stopped" };
        state
            .log
            .push(format!("{} host {number}: {what}, rings {rings}", now()));
    }

    /// Returns what was seen so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.0.lock().unwrap().log.clone()
    }

    /// Starts a back end for this guest.
    pub(crate) fn host(
        &self,
        path: &Path,
        device: Device,
        without: &[Feature],
        hook: Option<Hook>,
    ) -> Local {
        self.host_with(path, device, without, hook, None)
    }

    /// Starts a back end that makes a mistake, or none.
    pub(crate) fn host_with(
        &self,
        path: &Path,
        device: Device,
        without: &[Feature],
        hook: Option<Hook>,
        broken: Option<Broken>,
    ) -> Local {
        let number = {
            let mut state = self.0.lock().unwrap();
            state.started.push(false);
            state.started.len() - 1
        };
        let offer = without
            .iter()
            .fold(device.features(), |set, f| set.without(*f));
        let watch = Watch {
            guest: self.clone(),
            number,
            hook,
        };
        Local::start(path, Backend::new(device, offer, broken), Box::new(watch)).unwrap()
    }
}

struct Watch {
    guest: Guest,
    number: usize,
    hook: Option<Hook>,
}

impl Observer for Watch {
    fn connected(&mut self) {
        self.guest.set(self.number, false, "connected");
    }

    fn before(&mut self, backend: &mut Backend, message: &Message) {
        if let Some(hook) = &mut self.hook {
            hook(backend, &message.name());
        }
    }

    fn after(&mut self, backend: &mut Backend, name: &str, _replies: &[Message]) {
        let started = backend.rings().iter().any(|ring| ring.is_started());
        self.guest.set(self.number, started, name);
    }

    fn closed(&mut self, error: Option<&Error>) {
        let why = error.map(|error| format!("closed: {error}"));
        self.guest
            .set(self.number, false, &why.unwrap_or_else(|| "closed".into()));
    }
}

/// Waits until a back end is as it should be.
pub(crate) fn becomes(host: &Local, limit: Duration, what: &str, is: fn(&mut Backend) -> bool) {
    within(limit, what, || host.with(is).unwrap().then_some(()));
}

/// Tells whether a ring is started and a memory region begins at 0.
pub(crate) fn is_driven(backend: &mut Backend) -> bool {
    let memory = backend.memory().regions().any(|region| region.guest == 0);
    memory && backend.rings().iter().any(|ring| ring.is_started())
}

/// Reads the guest's memory.
pub(crate) fn read(host: &Local, guest: u64, size: usize) -> Vec<u8> {
    host.with(move |backend| {
        let mut data = vec![0; size];
        backend.memory().read(guest, &mut data).map(|()| data)
    })
    .unwrap()
    .unwrap()
}
