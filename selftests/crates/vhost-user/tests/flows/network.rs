// SPDX-License-Identifier: GPL-2.0-or-later
//! Flow A: a network card, driven by the option ROM that every QEMU has.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use reeve_vhost_user::device::Device;
use reeve_vhost_user::features::{self, Feature};

use super::common::{command, until, within, Dir, Running, LIMIT};
use super::qemu::{Qemu, BOOT};
use super::qmp::Stop;
use super::watch::{becomes, is_driven, read, Guest};
use super::Test;

/// Memory that is removed with the test.
struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Returns the arguments for a card behind this socket, which the option ROM drives.
fn card(socket: &Path, reconnect: bool, queues: u32) -> Vec<String> {
    card_with(socket, reconnect, queues, "")
}

/// The same with more options of the device: none, or what begins with a comma.
pub(super) fn card_with(socket: &Path, reconnect: bool, queues: u32, options: &str) -> Vec<String> {
    let again = if reconnect { ",reconnect=1" } else { "" };
    let mq = if queues > 1 { ",mq=on" } else { "" };
    [
        "-chardev".into(),
        format!("socket,id=c0,path={}{again}", socket.display()),
        "-netdev".into(),
        format!("vhost-user,id=net0,chardev=c0,vhostforce=on,queues={queues}"),
        "-device".into(),
        format!("virtio-net-pci,netdev=net0{mq}{options}"),
    ]
    .into()
}

/// Compares what the back end and QEMU's own monitor read at address 0.
fn read_guest_mem(memory: &str, mib: u64, without: &[Feature]) -> Option<String> {
    let (dir, guest) = (Dir::new(), Guest::default());
    let (socket, file) = (dir.join("s"), dir.join("memory"));
    let shm = format!("/dev/shm/reeve-vhost-{}", std::process::id());
    let _shm = File(shm.clone().into());
    let object = match memory {
        "memfd" => "memory-backend-memfd".into(),
        "shm" => format!("memory-backend-file,mem-path={shm}"),
        "hugetlb" => {
            let free = fs::read_to_string("/proc/sys/vm/nr_hugepages").unwrap_or_default();
            let pages: u64 = free.trim().parse().unwrap_or(0);
            if pages * 2 < mib {
                return Some(format!(
                    "{pages} huge pages are set aside, {} are needed",
                    mib / 2
                ));
            }
            "memory-backend-memfd,hugetlb=on,hugetlbsize=2M".into()
        }
        _ => format!("memory-backend-file,mem-path={}", file.display()),
    };
    let host = guest.host(&socket, Device::net(false), without, None);
    let mut more = card(&socket, false, 1);
    more.push("-qtest".into());
    let mut qemu = Qemu::start(&dir, "qemu", &object, mib << 10, &more);
    becomes(&host, BOOT, "the option ROM drives the card", is_driven);
    // Nothing changes it while it is compared.
    qemu.ask(&Stop {}).unwrap();
    let expected = qemu.words(256);
    let got: Vec<u32> = read(&host, 0, 1024)
        .chunks_exact(4)
        .map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap()))
        .collect();
    assert!(
        expected.iter().any(|word| *word != 0),
        "memory at 0 has nothing in it"
    );
    assert_eq!(got, expected);
    let above = host.with(|b| b.memory().regions().filter(|r| r.guest >= 1 << 32).count());
    assert_eq!(
        above.unwrap(),
        usize::from(mib >= 4096),
        "regions above 4 GiB"
    );
    None
}

/// The back end goes and comes again under a running guest.
fn reconnect() -> Option<String> {
    let (dir, guest) = (Dir::new(), Guest::default());
    let socket = dir.join("s");
    let host = guest.host(&socket, Device::net(false), &[], None);
    let _qemu = Qemu::start(
        &dir,
        "qemu",
        "memory-backend-memfd",
        16 << 10,
        &card(&socket, true, 1),
    );
    becomes(&host, BOOT, "the option ROM drives the card", is_driven);
    drop(host);
    let host = guest.host(&socket, Device::net(false), &[], None);
    becomes(&host, BOOT, "the card is driven again", is_driven);
    guest.no_overlap();
    None
}

/// The first connection is closed at its first message; QEMU tries again.
fn connect_fail() -> Option<String> {
    let (dir, guest) = (Dir::new(), Guest::default());
    let socket = dir.join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    listener.set_nonblocking(true).unwrap();
    let (name, again) = (socket.clone(), guest.clone());
    // QEMU says no word on its monitor until it has a back end, so that is beside.
    let back = std::thread::spawn(move || {
        let (client, _) = within(BOOT, "QEMU connects", || listener.accept().ok());
        client.set_nonblocking(false).unwrap();
        client.set_read_timeout(Some(LIMIT)).unwrap();
        let mut header = [0; 12];
        (&client)
            .read_exact(&mut header)
            .expect("QEMU asks for features");
        fs::remove_file(&name).unwrap();
        drop((client, listener));
        again.host(&name, Device::net(false), &[], None)
    });
    let more = card(&socket, true, 1);
    let _qemu = Qemu::start(&dir, "qemu", "memory-backend-memfd", 16 << 10, &more);
    let host = back.join().unwrap();
    becomes(&host, BOOT, "the card is driven", is_driven);
    None
}

/// The back end comes again with fewer features than the guest has, then with all of them.
fn flags_mismatch() -> Option<String> {
    let (dir, guest) = (Dir::new(), Guest::default());
    let socket = dir.join("s");
    let host = guest.host(&socket, Device::net(false), &[], None);
    let _qemu = Qemu::start(
        &dir,
        "qemu",
        "memory-backend-memfd",
        16 << 10,
        &card(&socket, true, 1),
    );
    becomes(&host, BOOT, "the option ROM drives the card", is_driven);
    drop(host);
    let seen = guest.log().len();
    let less = guest.host(&socket, Device::net(false), features::ALL, None);
    within(BOOT, "QEMU hangs up on the lesser back end", || {
        let log = guest.log();
        log[seen..]
            .iter()
            .any(|line| line.contains("closed"))
            .then_some(())
    });
    assert!(
        !less.with(is_driven).unwrap(),
        "the lesser back end is driven"
    );
    drop(less);
    let host = guest.host(&socket, Device::net(false), &[], None);
    becomes(&host, BOOT, "the card is driven again", is_driven);
    None
}

/// Two pairs of rings are set up, and refused where there is but one.
fn multiqueue() -> Option<String> {
    let (dir, guest) = (Dir::new(), Guest::default());
    let socket = dir.join("s");
    let calls = std::sync::Arc::new(std::sync::Mutex::new(0));
    let count = calls.clone();
    let hook = Box::new(move |_: &mut _, name: &str| {
        *count.lock().unwrap() += u32::from(name == "SET_VRING_CALL");
    });
    let host = guest.host(&socket, Device::net(false), &[], Some(hook));
    let mut qemu = Qemu::start(
        &dir,
        "qemu",
        "memory-backend-memfd",
        16 << 10,
        &card(&socket, false, 2),
    );
    becomes(&host, BOOT, "the option ROM drives the card", is_driven);
    assert!(*calls.lock().unwrap() >= 4, "four rings are set up");
    qemu.kill();
    drop(host);

    let host = guest.host(&socket, Device::net(false), &[features::MQ], None);
    // It says so, and tries again for ever.
    let errors = dir.join("errors");
    let mut refused = command("qemu-system-x86_64");
    refused.args(["-nodefaults", "-display", "none", "-S"]);
    refused.args(["-machine", "pc,accel=tcg,memory-backend=mem", "-m", "16M"]);
    refused.args(["-object", "memory-backend-memfd,id=mem,size=16M,share=on"]);
    refused.args(card(&socket, false, 2)).stdin(Stdio::null());
    refused.stderr(fs::File::create(&errors).unwrap());
    let refused = Running(refused.spawn().unwrap());
    until("QEMU's refusal", || {
        let said = fs::read_to_string(&errors).ok()?;
        said.contains("more queues than supported").then_some(())
    });
    drop(refused);
    drop(host);
    None
}

pub(super) fn tests() -> Vec<Test> {
    let mut tests: Vec<Test> = Vec::new();
    for memory in ["memfile", "shm", "memfd", "hugetlb"] {
        for mib in [2_u64, 16, 512, 5120] {
            for slots in [true, false] {
                let everyday = mib == 16 && slots;
                let plain = mib == 16 && slots;
                let name = match plain {
                    true => format!("read-guest-mem/{memory}"),
                    false => format!(
                        "read-guest-mem/{memory}/{mib}{}",
                        if slots { "/slots" } else { "/table" }
                    ),
                };
                let without: &'static [Feature] = if slots {
                    &[]
                } else {
                    &[features::CONFIGURE_MEM_SLOTS]
                };
                let run = move || read_guest_mem(memory, mib, without);
                tests.push((name, everyday, Box::new(run)));
            }
        }
    }
    tests.push(("reconnect".into(), true, Box::new(reconnect)));
    tests.push(("connect-fail".into(), true, Box::new(connect_fail)));
    tests.push(("flags-mismatch".into(), true, Box::new(flags_mismatch)));
    tests.push(("multiqueue".into(), true, Box::new(multiqueue)));
    tests
}
