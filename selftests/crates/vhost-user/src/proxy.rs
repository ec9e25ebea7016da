// SPDX-License-Identifier: GPL-2.0-or-later
//! Stands between a front end and a back end of others: passes on what they say, prints it, and says which rule is
//! broken.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags};
use vhost::vhost_user::message::FrontendReq;

use crate::features::{self, Features};
use crate::server::{Control, Server};
use crate::trace::{describe, now};
use crate::wire::{self, long, word, Message, NEED_REPLY, REPLY};

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

/// Passes clients through, one after the other, until it is told to stop; returns how often rules were broken.
pub fn run(listen: &Path, connect: &Path, control: &Control) -> Result<u32> {
    let server = Server::new(listen)?;
    let mut broken = 0;
    while let Some(front) = server.client_or_stop(control)? {
        let back = UnixStream::connect(connect);
        let back = back.with_context(|| format!("cannot connect to {}", connect.display()))?;
        println!("{} connected", now());
        let mut rules = Rules::default();
        let stopped = pass(&front, &back, control, &mut rules, &mut broken)?;
        println!("{} closed", now());
        if stopped {
            break;
        }
    }
    Ok(broken)
}

/// Passes one client through to its end; returns whether it is time to stop.
fn pass(
    front: &UnixStream,
    back: &UnixStream,
    control: &Control,
    rules: &mut Rules,
    broken: &mut u32,
) -> Result<bool> {
    loop {
        let mut fds = [
            PollFd::new(&control.stop, PollFlags::IN),
            PollFd::new(front, PollFlags::IN),
            PollFd::new(back, PollFlags::IN),
        ];
        wire::wait(&mut fds, None)?;
        let ready = fds.map(|fd| !fd.revents().is_empty());
        if ready[0] {
            return Ok(true);
        }
        // Replies first: what was asked before them was asked before.
        let (from, to, is_reply) = match ready[2] {
            true => (back, front, true),
            false => (front, back, false),
        };
        let found = match wire::receive(from) {
            Ok(Some(message)) => {
                let arrow = if is_reply { "<" } else { ">" };
                println!("{} {arrow} {}", now(), describe(&message));
                let found = match is_reply {
                    true => rules.reply(&message),
                    false => rules.request(&message),
                };
                if wire::send(to.as_fd(), &message).is_err() {
                    return Ok(false);
                }
                found
            }
            Ok(None) => {
                let owed = rules.hung_up().filter(|_| is_reply);
                tell(owed.into_iter().collect(), broken);
                return Ok(false);
            }
            Err(error) => {
                tell(vec![error.to_string()], broken);
                return Ok(false);
            }
        };
        tell(found, broken);
    }
}

fn tell(found: Vec<String>, broken: &mut u32) {
    for rule in found {
        println!("{} RULE: {rule}", now());
        *broken += 1;
    }
}
