// SPDX-License-Identifier: GPL-2.0-or-later

//! One open file in several hands: fork, exec, passing, threads.

use std::io::IoSlice;
use std::io::IoSliceMut;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::process::Command;

use nix::cmsg_space;
use nix::fcntl::fcntl;
use nix::fcntl::FcntlArg;
use nix::fcntl::FdFlag;
use nix::sys::socket::recvmsg;
use nix::sys::socket::sendmsg;
use nix::sys::socket::ControlMessage;
use nix::sys::socket::ControlMessageOwned;
use nix::sys::socket::MsgFlags;

use reeve_uapi::pattern::Pattern;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::content::filled;
use crate::content::holds;
use crate::helper;
use crate::process::Child;
use crate::seen::open;
use crate::seen::populated;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::Outcome;
use crate::test::Stop;

cases!("sharing";
    child_uses_what_its_parent_made,
    child_exits_and_parent_goes_on,
    last_holder_keeps_objects_alive,
    duplicates_are_one_open_file,
    exec_with_an_inherited_file,
    close_on_exec_is_obeyed,
    passed_over_a_socket,
    swapped_objects_can_be_shared,
);

const SIZE: usize = 5 * PAGE as usize + 3;

fn fill(device: &Device, seed: u64) -> Outcome<Handle> {
    filled(device, Create::new(SIZE as u64), seed)
}

fn child_uses_what_its_parent_made() -> Outcome {
    let device = open()?;
    let handle = fill(&device, 1)?;
    Child::run(|_| {
        holds(&device, handle, 1)?;
        device.swapout(handle)?;
        device.write(handle, 0, &Pattern::new(2).bytes(SIZE))?;
        populated(&device, 3)?;
        Ok(())
    })?
    .join()?;
    holds(&device, handle, 2)?;
    check_eq!(device.list()?.len(), 2);
    Ok(())
}

fn child_exits_and_parent_goes_on() -> Outcome {
    let device = open()?;
    let handle = fill(&device, 3)?;
    let before = device.stats()?;
    for _ in 0..3 {
        Child::run(|_| Ok(()))?.join()?;
    }
    let child = Child::run(|line| line.hear().map(drop))?;
    child.kill()?;
    check_eq!(device.stats()?, before);
    holds(&device, handle, 3)
}

fn last_holder_keeps_objects_alive() -> Outcome {
    let watcher = open()?;
    let before = watcher.stats()?.pages_allocated;
    let device = open()?;
    let handle = fill(&device, 4)?;
    let mut child = Child::run(|line| {
        line.hear()?;
        holds(&device, handle, 4)
    })?;
    drop(device);
    check_eq!(watcher.stats()?.pages_allocated, before + 6);
    child.line.say(1)?;
    child.join()?;
    check_eq!(watcher.stats()?.pages_allocated, before);
    Ok(())
}

fn duplicates_are_one_open_file() -> Outcome {
    let device = open()?;
    let again = Device::inherited(device.as_fd().as_raw_fd())?;
    let handle = fill(&device, 5)?;
    holds(&again, handle, 5)?;
    drop(device);
    holds(&again, handle, 5)?;
    check_eq!(again.list()?.len(), 1);
    Ok(())
}

/// Starts this program anew as [`helper`], which checks an object of descriptor `fd`.
fn helper_finds(fd: i32, handle: Handle, seed: u64) -> Outcome<Option<i32>> {
    let status = Command::new("/proc/self/exe")
        .arg(helper::FLAG)
        .args([
            fd.to_string(),
            handle.to_string(),
            SIZE.to_string(),
            seed.to_string(),
        ])
        .stderr(std::process::Stdio::null())
        .status()?;
    Ok(status.code())
}

fn exec_with_an_inherited_file() -> Outcome {
    let device = open()?;
    let handle = fill(&device, 6)?;
    fcntl(device.as_fd(), FcntlArg::F_SETFD(FdFlag::empty()))?;
    let fd = device.as_fd().as_raw_fd();
    check_eq!(helper_finds(fd, handle, 6)?, Some(0));
    check_eq!(helper_finds(fd, handle, 7)?, Some(3), "another pattern");
    device.swapout(handle)?;
    check_eq!(helper_finds(fd, handle, 6)?, Some(0));
    holds(&device, handle, 6)
}

fn close_on_exec_is_obeyed() -> Outcome {
    let device = open()?;
    let handle = fill(&device, 6)?;
    check_eq!(
        helper_finds(device.as_fd().as_raw_fd(), handle, 6)?,
        Some(2)
    );
    holds(&device, handle, 6)
}

fn passed_over_a_socket() -> Outcome {
    let device = open()?;
    let handle = fill(&device, 7)?;
    let mut child = Child::run(|line| {
        let socket = line.socket().as_raw_fd();
        let mut number = [0; 4];
        let mut parts = [IoSliceMut::new(&mut number)];
        let mut space = cmsg_space!([i32; 1]);
        let message = recvmsg::<()>(
            socket,
            &mut parts,
            Some(&mut space),
            MsgFlags::MSG_CMSG_CLOEXEC,
        )?;
        let passed = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
            _ => None,
        });
        let passed = passed.ok_or_else(|| Stop::failed("no file came"))?;
        let device = Device::inherited(passed)?;
        let handle = Handle::new(u32::from_le_bytes(number));
        holds(&device, handle, 7)?;
        device.write(handle, 0, &Pattern::new(8).bytes(SIZE))?;
        line.say(1)?;
        // The sender has closed its side by now.
        line.hear()?;
        holds(&device, handle, 8)
    })?;
    let fds = [device.as_fd().as_raw_fd()];
    let number = handle.get().to_le_bytes();
    sendmsg::<()>(
        child.line.socket().as_raw_fd(),
        &[IoSlice::new(&number)],
        &[ControlMessage::ScmRights(&fds)],
        MsgFlags::empty(),
        None,
    )?;
    child.line.hear()?;
    holds(&device, handle, 8)?;
    drop(device);
    child.line.say(1)?;
    child.join()
}

fn swapped_objects_can_be_shared() -> Outcome {
    let device = open()?;
    let handle = fill(&device, 9)?;
    check!(device.swapout(handle)? > 0);
    Child::run(|_| holds(&device, handle, 9))?.join()?;
    check!(device.swapout(handle)? > 0);
    Child::run(|_| Ok(()))?.join()?;
    holds(&device, handle, 9)
}
