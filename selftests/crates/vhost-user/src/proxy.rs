// SPDX-License-Identifier: GPL-2.0-or-later
//! Stands between a front end and a back end of others: passes on what they say, prints it, and says which rule is
//! broken.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{anyhow, Result};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use vhost::vhost_user::message::FrontendReq;

use crate::features::{self, Features};
use crate::server::{Control, Server};
use crate::trace::{describe, now};
use crate::wire::{self, long, word, Message, LIMIT, NEED_REPLY, REPLY};

/// How long it is before a back end that is not there is tried again.
const AGAIN: Duration = Duration::from_millis(5);

/// What is known of a connection that is only listened to.
#[derive(Debug, Default)]
pub struct Rules {
    offered: Features,
    acked: Features,
    /// Requests that wait for their reply, with the ring where there is one.
    waiting: VecDeque<(u32, u32)>,
}

impl Rules {
    /// Takes note of a request; returns the rules that it breaks.
    pub fn request(&mut self, message: &Message) -> Vec<String> {
        let mut broken = Vec::new();
        let mut rule = |is_broken: bool, what: &str| {
            if is_broken {
                broken.push(what.to_string());
            }
        };
        let asks = message.flags & NEED_REPLY != 0;
        let bits = long(&message.body, 0);
        let acks = self.acked.has(features::REPLY_ACK);
        rule(message.flags & REPLY != 0, "a request has the reply bit");
        let request = FrontendReq::try_from(message.code);
        rule(request.is_err(), "a request has a number that is not known");
        match request {
            Ok(FrontendReq::SET_FEATURES) => {
                let more = self.offered.virtio != 0 && bits & !self.offered.virtio != 0;
                rule(more, "SET_FEATURES has bits that were not offered");
                self.acked.virtio = bits;
            }
            Ok(FrontendReq::SET_PROTOCOL_FEATURES) => {
                let more = self.offered.protocol != 0 && bits & !self.offered.protocol != 0;
                rule(more, "SET_PROTOCOL_FEATURES has bits that were not offered");
                self.acked.protocol = bits;
            }
            Ok(FrontendReq::SET_LOG_BASE) => {
                let bare = !self.acked.has(features::LOG_SHMFD) || message.fds.len() != 1;
                rule(
                    bare,
                    "SET_LOG_BASE without LOG_SHMFD or without its one file descriptor",
                );
            }
            Ok(FrontendReq::SET_MEM_TABLE) => {
                let count = word(&message.body, 0) as usize;
                rule(
                    count != message.fds.len(),
                    "SET_MEM_TABLE with another number of file descriptors",
                );
            }
            _ => {}
        }
        let now_acks = self.acked.has(features::REPLY_ACK);
        rule(asks && !acks && !now_acks, "need_reply without REPLY_ACK");
        if self.has_reply(request) || asks && now_acks {
            self.waiting
                .push_back((message.code, word(&message.body, 0)));
        }
        broken
    }

    /// Tells whether a request has a reply of its own.
    fn has_reply(&self, request: std::result::Result<FrontendReq, ()>) -> bool {
        use FrontendReq as R;
        let Ok(request) = request else {
            return false;
        };
        match request {
            R::SET_LOG_BASE => self.acked.has(features::LOG_SHMFD),
            R::GET_FEATURES | R::GET_PROTOCOL_FEATURES | R::GET_QUEUE_NUM | R::GET_VRING_BASE => {
                true
            }
            R::GET_CONFIG | R::GET_MAX_MEM_SLOTS | R::GET_INFLIGHT_FD | R::GET_STATUS => true,
            R::POSTCOPY_ADVISE | R::CREATE_CRYPTO_SESSION => true,
            R::SET_DEVICE_STATE_FD | R::CHECK_DEVICE_STATE | R::GET_SHARED_OBJECT => true,
            _ => false,
        }
    }

    /// Takes note of a reply; returns the rules that it breaks.
    pub fn reply(&mut self, message: &Message) -> Vec<String> {
        let mut broken = Vec::new();
        if message.flags & REPLY == 0 {
            broken.push("a reply lacks the reply bit".into());
        }
        let Some((code, ring)) = self.waiting.pop_front() else {
            broken.push(format!(
                "{} is replied to though no reply was due",
                message.name()
            ));
            return broken;
        };
        if code != message.code {
            broken.push(format!(
                "request {code} is replied to with {}",
                message.name()
            ));
        }
        match FrontendReq::try_from(message.code) {
            Ok(FrontendReq::GET_FEATURES) => self.offered.virtio = long(&message.body, 0),
            Ok(FrontendReq::GET_PROTOCOL_FEATURES) => {
                self.offered.protocol = long(&message.body, 0)
            }
            Ok(FrontendReq::GET_VRING_BASE) if word(&message.body, 0) != ring => {
                broken.push(format!(
                    "GET_VRING_BASE of ring {ring} is replied to for another"
                ));
            }
            _ => {}
        }
        broken
    }

    /// Returns the rule that is broken if the back end hangs up now.
    pub fn hung_up(&self) -> Option<String> {
        let (code, _) = self.waiting.front()?;
        Some(format!(
            "the back end hangs up and owes a reply to request {code}"
        ))
    }
}

/// The back end's side of the proxy.
struct BackEnd<'a> {
    path: &'a Path,
    stop: &'a OwnedFd,
    /// A connection that no client has used yet.
    spare: Option<UnixStream>,
}

impl BackEnd<'_> {
    /// Connects within the limit; `None` when it is time to stop.
    ///
    /// A back end may be away between its clients, or take one at a time.
    fn connect(&mut self) -> Result<Option<UnixStream>> {
        if let Some(spare) = self.spare.take() {
            // What is to be read before anything was asked is the end.
            if !wire::readable(spare.as_fd(), Duration::ZERO)? {
                return Ok(Some(spare));
            }
        }
        let shown = self.path.display();
        let end = Instant::now() + LIMIT;
        loop {
            let again = match wire::connect_now(self.path) {
                Ok(back) => return Ok(Some(back)),
                Err(error) => error,
            };
            let waits = [Errno::AGAIN, Errno::CONNREFUSED, Errno::NOENT].contains(&again);
            if !waits || Instant::now() > end {
                let seconds = LIMIT.as_secs();
                return Err(match again {
                    Errno::AGAIN => anyhow!(
                        "the back end at {shown} takes no client for {seconds} s, so many wait already; \
                         end its other front ends, or start it again"
                    ),
                    error => anyhow!(
                        "no back end listens on {shown} for {seconds} s ({error}); start it, or give its socket"
                    ),
                });
            }
            if wire::readable(self.stop.as_fd(), AGAIN)? {
                return Ok(None);
            }
        }
    }
}

/// Passes clients through, one after the other, until it is told to stop; returns how often rules were broken.
///
/// Returns an error if there is no back end at the beginning. If there is none later, the client is hung up on, and
/// standard error says what to do.
pub fn run(listen: &Path, connect: &Path, control: &Control) -> Result<u32> {
    let mut back_end = BackEnd {
        path: connect,
        stop: &control.stop,
        spare: None,
    };
    // A back end may serve one client in its life, so the one that looks whether it is there is not wasted.
    back_end.spare = back_end.connect()?;
    if back_end.spare.is_none() {
        return Ok(0);
    }
    let server = Server::new(listen)?;
    let mut broken = 0;
    while let Some(front) = server.client_or_stop(control)? {
        let back = match back_end.connect() {
            Ok(Some(back)) => back,
            Ok(None) => break,
            Err(error) => {
                eprintln!("reeve-vhost-check: a client is hung up on: {error}");
                continue;
            }
        };
        println!("{} connected", now());
        let mut pass = Pass {
            front,
            back,
            back_end: &mut back_end,
            rules: Rules::default(),
            hello: None,
            control,
        };
        let stopped = pass.run(&mut broken)?;
        println!("{} closed", now());
        if stopped {
            break;
        }
    }
    Ok(broken)
}

/// A client that is passed through.
struct Pass<'a, 'b> {
    front: UnixStream,
    back: UnixStream,
    back_end: &'a mut BackEnd<'b>,
    rules: Rules,
    /// The first request, as long as nothing else was said.
    hello: Option<Message>,
    control: &'a Control,
}

impl Pass<'_, '_> {
    /// Passes on what is said, to its end; returns whether it is time to stop.
    fn run(&mut self, broken: &mut u32) -> Result<bool> {
        let mut said = 0_u32;
        let end = Instant::now() + LIMIT;
        loop {
            let mut fds = [
                PollFd::new(&self.control.stop, PollFlags::IN),
                PollFd::new(&self.front, PollFlags::IN),
                PollFd::new(&self.back, PollFlags::IN),
            ];
            wire::wait(&mut fds, None)?;
            let ready = fds.map(|fd| !fd.revents().is_empty());
            if ready[0] {
                return Ok(true);
            }
            // Replies first: what was asked before them was asked before.
            let is_reply = ready[2];
            let from = if is_reply { &self.back } else { &self.front };
            let message = match wire::receive(from) {
                Ok(Some(message)) => message,
                Ok(None) => {
                    if is_reply && Instant::now() < end && self.greets_again()? {
                        continue;
                    }
                    let owed = self.rules.hung_up().filter(|_| is_reply);
                    tell(owed.into_iter().collect(), broken);
                    return Ok(false);
                }
                Err(error) => {
                    tell(vec![error.to_string()], broken);
                    return Ok(false);
                }
            };
            said += 1;
            let arrow = if is_reply { "<" } else { ">" };
            println!("{} {arrow} {}", now(), describe(&message));
            let found = match is_reply {
                true => self.rules.reply(&message),
                false => self.rules.request(&message),
            };
            let to = if is_reply { &self.front } else { &self.back };
            let sent = wire::send(to.as_fd(), &message);
            let is_hello = said == 1 && !is_reply && message.fds.is_empty();
            self.hello = Some(message).filter(|_| is_hello);
            tell(found, broken);
            // Where it was not sent because the back end hangs up, that is read next.
            if sent.is_err() && !is_hello {
                return Ok(false);
            }
        }
    }

    /// Connects again if the back end has hung up on the first request: one that begins anew after each client hangs up
    /// on those that have come meanwhile.
    fn greets_again(&mut self) -> Result<bool> {
        let Some(hello) = &self.hello else {
            return Ok(false);
        };
        wire::readable(self.control.stop.as_fd(), AGAIN)?;
        match self.back_end.connect() {
            Ok(Some(back)) => self.back = back,
            Ok(None) => return Ok(true),
            Err(error) => {
                eprintln!("reeve-vhost-check: a client is hung up on: {error}");
                return Ok(false);
            }
        }
        println!("{} connected again", now());
        // If that fails, there is another end to be read.
        let _ = wire::send(self.back.as_fd(), hello);
        Ok(true)
    }
}

fn tell(found: Vec<String>, broken: &mut u32) {
    for rule in found {
        println!("{} RULE: {rule}", now());
        *broken += 1;
    }
}
