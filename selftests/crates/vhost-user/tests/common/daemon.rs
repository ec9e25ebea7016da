// SPDX-License-Identifier: GPL-2.0-or-later
//! A disk on the rust-vmm crates as they are.

#![allow(dead_code, reason = "each test uses its part")]

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use reeve_vhost_user::device::Device;
use vhost::vhost_user::message::VhostUserProtocolFeatures;
use vhost::vhost_user::Listener;
use vhost_user_backend::bitmap::BitmapMmapRegion;
use vhost_user_backend::{VhostUserBackendMut, VhostUserDaemon, VringRwLock, VringT};
use virtio_queue::QueueT;
use vm_memory::{Bytes, GuestAddressSpace, GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{
    new_event_consumer_and_notifier, EventConsumer, EventFlag, EventNotifier,
};

/// The guest's memory of the crates, with their own log.
pub(crate) type Memory = GuestMemoryAtomic<GuestMemoryMmap<BitmapMmapRegion>>;

/// A disk on the crates as they are: reads are served.
struct Bare {
    image: Vec<u8>,
    memory: Memory,
}

impl VhostUserBackendMut for Bare {
    type Bitmap = BitmapMmapRegion;
    type Vring = VringRwLock<Memory>;

    fn num_queues(&self) -> usize {
        1
    }

    fn max_queue_size(&self) -> usize {
        256
    }

    fn features(&self) -> u64 {
        1 << 26 | 1 << 30 | 1 << 32
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::REPLY_ACK
            | VhostUserProtocolFeatures::LOG_SHMFD
            | VhostUserProtocolFeatures::CONFIG
            | VhostUserProtocolFeatures::CONFIGURE_MEM_SLOTS
    }

    fn set_event_idx(&mut self, _enabled: bool) {}

    // Without it a daemon's thread waits for ever for its end.
    fn exit_event(&self, _thread: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::empty()).ok()
    }

    fn get_config(&self, _offset: u32, size: u32) -> Vec<u8> {
        vec![0; size as usize]
    }

    fn update_memory(&mut self, memory: Memory) -> io::Result<()> {
        self.memory = memory;
        Ok(())
    }

    fn handle_event(
        &mut self,
        _event: u16,
        _events: EventSet,
        vrings: &[Self::Vring],
        _thread: usize,
    ) -> io::Result<()> {
        let vring = &vrings[0];
        let memory = self.memory.memory();
        loop {
            let chain = vring
                .get_mut()
                .get_queue_mut()
                .pop_descriptor_chain(memory.clone());
            let Some(chain) = chain else {
                break;
            };
            let head = chain.head_index();
            let parts: Vec<_> = chain.filter(|part| part.is_write_only()).collect();
            let mut written = 0;
            for (number, part) in parts.iter().enumerate() {
                let size = part.len() as usize;
                let status = number + 1 == parts.len();
                let data = if status { &[0] } else { &self.image[..size] };
                memory
                    .write_slice(data, part.addr())
                    .map_err(io::Error::other)?;
                written += part.len();
            }
            vring.add_used(head, written).map_err(io::Error::other)?;
            vring.signal_used_queue()?;
        }
        Ok(())
    }
}

/// Serves one client after the other as the published daemons do: each with a daemon and a socket of its own, so that the
/// socket is gone as long as there is a client, and those that came while it ended are hung up on.
pub(crate) fn serve_as_published(path: &Path) {
    let path = path.to_path_buf();
    thread::spawn(move || loop {
        let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
        let image = Device::pattern(1);
        let bare = Bare {
            image,
            memory: memory.clone(),
        };
        let bare = Arc::new(Mutex::new(bare));
        let mut daemon = VhostUserDaemon::new("bare".into(), bare, memory).unwrap();
        // A client that is wrong is no reason to end.
        let _ = daemon.serve(&path);
    });
}

/// Serves one client after the other, each with a daemon of its own, until the process ends. `told` gets the memory of each.
pub(crate) fn serve(path: &Path, told: impl Fn(Memory) + Send + 'static) {
    let mut listener = Listener::new(path, true).unwrap();
    thread::spawn(move || loop {
        let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
        told(memory.clone());
        let image = Device::pattern(1);
        let bare = Bare {
            image,
            memory: memory.clone(),
        };
        let bare = Arc::new(Mutex::new(bare));
        let mut daemon = VhostUserDaemon::new("bare".into(), bare, memory).unwrap();
        if daemon.start(&mut listener).is_err() {
            break;
        }
        let _ = daemon.wait();
    });
}
