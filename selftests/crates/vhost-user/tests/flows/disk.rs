// SPDX-License-Identifier: GPL-2.0-or-later
//! Flow C: a disk, whose boot sector is the guest.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;

use reeve_vhost_user::device::Device;
use reeve_vhost_user::features;

use super::common::{command, limit_fds, until, within, Dir, Running, PEER};
use super::docs;
use super::qemu::{Qemu, BOOT};
use super::qmp::SystemReset;
use super::watch::{becomes, is_driven, read, Guest};
use super::Test;

/// Where the guest's busy pages begin.
pub(super) const BUSY: u64 = 0x20_0000;
/// How many of them there are.
pub(super) const BUSY_PAGES: u64 = 512;
/// 64 MiB and 8 KiB: with whole multiples of 256 KiB, QEMU before 9.0 under TCG loses dirty pages.
pub(super) const KIB: u64 = 65_544;

/// Switches to 32 bits, then adds 1 to the first word of each busy page, round and round:
///
/// ```text
///     cli; xor ax, ax; mov ds, ax
///     in al, 0x92; or al, 2; out 0x92, al        the 21st address line
///     lgdt [0x7c58]; mov eax, cr0; or al, 1; mov cr0, eax
///     ljmp 8:0x7c20
///     mov ax, 16; mov ds, ax
/// 1:  mov edi, 0x200000
/// 2:  inc dword [edi]; add edi, 4096; cmp edi, 0x400000; jne 2b
///     jmp 1b
///     the descriptors of code and data, flat, as accessed, so that the processor need not say so
/// ```
const BOOT_SECTOR: [u8; 94] = [
    0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0xe4, 0x92, 0x0c, 0x02, 0xe6, 0x92, 0x0f, 0x01, 0x16, 0x58, 0x7c,
    0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0, 0x66, 0xea, 0x20, 0x7c, 0x00, 0x00, 0x08, 0x00,
    0x66, 0xb8, 0x10, 0x00, 0x8e, 0xd8, 0xbf, 0x00, 0x00, 0x20, 0x00, 0xff, 0x07, 0x81, 0xc7, 0x00,
    0x10, 0x00, 0x00, 0x81, 0xff, 0x00, 0x00, 0x40, 0x00, 0x75, 0xf0, 0xeb, 0xe9, 0x8d, 0x76, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0x00, 0x00, 0x00, 0x9a, 0xcf, 0x00,
    0xff, 0xff, 0x00, 0x00, 0x00, 0x93, 0xcf, 0x00, 0x17, 0x00, 0x40, 0x7c, 0x00, 0x00,
];

/// Returns a disk from which the guest boots.
pub(super) fn disk() -> Device {
    Device::blk(image_to_boot())
}

fn image_to_boot() -> Vec<u8> {
    let mut image = Device::pattern(1);
    image[..BOOT_SECTOR.len()].copy_from_slice(&BOOT_SECTOR);
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
    image
}

/// Returns the arguments for a machine that boots from the disk.
pub(super) fn drive(socket: &Path) -> Vec<String> {
    [
        "-chardev".into(),
        format!("socket,id=c0,path={},reconnect=1", socket.display()),
        "-device".into(),
        "vhost-user-blk-pci,chardev=c0,num-queues=1,bootindex=1".into(),
    ]
    .into()
}

/// Waits until every busy page was written.
pub(super) fn is_busy(host: &reeve_vhost_user::local::Local) {
    let last = BUSY + (BUSY_PAGES - 1) * 4096;
    within(BOOT, "the guest runs", || {
        (read(host, last, 4) != [0; 4]).then_some(())
    });
}

/// Looks whether the guest goes on.
pub(super) fn goes_on(host: &reeve_vhost_user::local::Local) {
    let before = read(host, BUSY, 4);
    within(BOOT, "the guest goes on", || {
        (read(host, BUSY, 4) != before).then_some(())
    });
}

/// The firmware reads the boot sector through the ring, and it runs. `options` are more of the device.
fn boot(options: &str, is_legacy: bool) -> Option<String> {
    let (dir, guest) = (Dir::new(), Guest::default());
    let socket = dir.join("s");
    let host = guest.host(&socket, disk(), &[], None);
    let mut drive = drive(&socket);
    if let Some(device) = drive.last_mut() {
        device.push_str(options);
    }
    let _qemu = Qemu::start(&dir, "qemu", "memory-backend-memfd", KIB, &drive);
    becomes(&host, BOOT, "the firmware drives the disk", is_driven);
    is_busy(&host);
    assert_eq!(read(&host, 0x7c00, BOOT_SECTOR.len()), BOOT_SECTOR);
    goes_on(&host);
    let version_1 = host.with(|b| b.acked().has(features::VERSION_1)).unwrap();
    assert_eq!(version_1, !is_legacy, "what the driver has negotiated");
    None
}

/// The guest is reset: the used index starts at 0 again, and it boots again.
fn reboot() -> Option<String> {
    let (dir, guest) = (Dir::new(), Guest::default());
    let socket = dir.join("s");
    let host = guest.host(&socket, disk(), &[], None);
    let mut qemu = Qemu::start(&dir, "qemu", "memory-backend-memfd", KIB, &drive(&socket));
    is_driven_and_busy(&host);
    for _ in 0..2 {
        host.with(|b| b.memory().write(BUSY + (BUSY_PAGES - 1) * 4096, &[0; 4]))
            .unwrap()
            .unwrap();
        let seen = guest.log().len();
        qemu.ask(&SystemReset {}).unwrap();
        within(BOOT, "the rings stop and start", || {
            let log = guest.log();
            let stop = log[seen..]
                .iter()
                .position(|line| line.contains("GET_VRING_BASE"))?;
            log[seen + stop..]
                .iter()
                .any(|line| line.contains("rings started"))
                .then_some(())
        });
        is_driven_and_busy(&host);
    }
    None
}

/// The back end has no file descriptor left: it can take neither QEMU's memory nor, when that has hung up, QEMU. It goes
/// on when there are some again.
fn few_fds() -> Option<String> {
    let dir = Dir::new();
    let (socket, image, log) = (dir.join("s"), dir.join("image"), dir.join("log"));
    fs::write(&image, image_to_boot()).unwrap();
    let mut program = command(PEER);
    program.arg("--socket").arg(&socket);
    program
        .args(["--device", "blk", "--trace", "--image"])
        .arg(&image);
    program
        .stdout(fs::File::create(&log).unwrap())
        .stderr(Stdio::null());
    let back = Running(program.spawn().unwrap());
    until("a listener", || UnixStream::connect(&socket).ok());
    let mut more = drive(&socket);
    more.push("-qtest".into());
    let mut qemu = Qemu::start(&dir, "qemu", "memory-backend-memfd", KIB, &more);
    let last = BUSY + (BUSY_PAGES - 1) * 4096;
    let runs = |qemu: &Qemu| {
        qemu.qtest(&[format!("writel {last:#x} 0")]);
        within(BOOT, "the guest runs", || {
            (qemu.word(last) != 0).then_some(())
        });
    };
    runs(&qemu);
    let said = || fs::read_to_string(&log).unwrap();
    let lost = || said().matches("could not be received").count();
    limit_fds(back.pid(), 3);
    qemu.ask(&SystemReset {}).unwrap();
    within(BOOT, "a message whose file descriptors are lost", || {
        (lost() > 0).then_some(())
    });
    let clients = said().matches("connected").count();
    limit_fds(back.pid(), 256);
    within(BOOT, "QEMU comes again", || {
        (said().matches("connected").count() > clients).then_some(())
    });
    qemu.ask(&SystemReset {}).unwrap();
    runs(&qemu);
    None
}

fn is_driven_and_busy(host: &reeve_vhost_user::local::Local) {
    becomes(host, BOOT, "the firmware drives the disk", is_driven);
    is_busy(host);
}

/// The back end is killed and comes again under a running guest, in the middle of whatever it did.
fn restart() -> Option<String> {
    let (dir, guest) = (Dir::new(), Guest::default());
    let socket = dir.join("s");
    let host = guest.host(&socket, disk(), &[], None);
    let mut qemu = Qemu::start(&dir, "qemu", "memory-backend-memfd", KIB, &drive(&socket));
    is_driven_and_busy(&host);
    drop(host);
    let host = guest.host(&socket, disk(), &[], None);
    becomes(&host, BOOT, "the disk is driven again", is_driven);
    goes_on(&host);
    qemu.ask(&SystemReset {}).unwrap();
    goes_on(&host);
    guest.no_overlap();
    None
}

/// The command lines of the documentation, as they are: the back end says what comes, and the guest boots from it.
fn documented() -> Option<String> {
    let dir = Dir::new();
    let (socket, image, log) = (dir.join("s"), dir.join("image"), dir.join("log"));
    fs::write(&image, image_to_boot()).unwrap();
    let (path, file) = (socket.to_str().unwrap(), image.to_str().unwrap());
    let page = "vhost-user.md";
    let peer = docs::words(page, "reeve-vhost-peer ");
    let peer = docs::with(&peer, &[("/tmp/s", path), ("IMAGE", file)]);
    let mut program = command(PEER);
    program.args(&peer[1..]).stdin(Stdio::null());
    program.stdout(fs::File::create(&log).unwrap());
    let mut back = Running(program.spawn().unwrap());
    until("a listener", || UnixStream::connect(&socket).ok());
    let qemu = docs::words(page, "qemu-system-x86_64 ");
    let qemu = docs::with(&qemu, &[("/tmp/s", path)]);
    let mut program = command(&qemu[0]);
    let qtest = dir.join("qtest");
    program.args(&qemu[1..]).stdin(Stdio::null());
    program.args([
        "-qtest",
        &format!("unix:{},server=on,wait=off", qtest.display()),
    ]);
    program.args(["-qtest-log", "/dev/null"]);
    let qemu = Running(program.spawn().unwrap());
    let last = format!("readl {:#x}", BUSY + (BUSY_PAGES - 1) * 4096);
    within(BOOT, "the guest runs", || {
        let word = super::qemu::qtest(&qtest, std::slice::from_ref(&last)).pop()?;
        (word != "0x0000000000000000").then_some(())
    });
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains("> SET_VRING_KICK"), "{said}");
    drop(qemu);
    back.terminate();
    assert_eq!(back.end(), Some(0));
    None
}

pub(super) fn tests() -> Vec<Test> {
    vec![
        ("documented".into(), true, Box::new(documented)),
        ("boot".into(), true, Box::new(|| boot("", false))),
        (
            "boot/legacy".into(),
            true,
            Box::new(|| boot(",disable-modern=on", true)),
        ),
        ("reboot".into(), true, Box::new(reboot)),
        ("restart".into(), true, Box::new(restart)),
        ("few-fds".into(), true, Box::new(few_fds)),
    ]
}
