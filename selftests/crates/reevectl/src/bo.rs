// SPDX-License-Identifier: GPL-2.0-or-later

//! `reevectl bo`: buffer objects one call at a time.

mod content;
mod dma;
mod log;

use std::io::Write;

use serde::Serialize;

use reeve_uapi::sys;
use reeve_uapi::sys::reeve_bo_info;
use reeve_uapi::BoCall;
use reeve_uapi::BoType;
use reeve_uapi::Caching;
use reeve_uapi::Create;

use crate::cli::BackupArgs;
use crate::cli::BoCommand;
use crate::cli::CreateArgs;
use crate::cli::InfoArgs;
use crate::cli::JsonArgs;
use crate::cli::Target;
use crate::error::Ask;
use crate::error::Asked;
use crate::error::Result;
use crate::session::Session;
use crate::size;
use crate::stat::print_json;
use crate::table::Align;
use crate::table::Table;

pub(crate) use content::check;
pub(crate) use content::fill;

/// One command on buffer objects.
pub(crate) fn run(session: &mut Session, command: &BoCommand, out: &mut dyn Write) -> Result<()> {
    match command {
        BoCommand::Create(args) => create(session, args, out),
        BoCommand::List(args) => list(session, args, out),
        BoCommand::Info(args) => info(session, args, out),
        BoCommand::Fill(args) => content::fill_command(session, args, out),
        BoCommand::Check(args) => content::check_command(session, args, out),
        BoCommand::Read(args) => content::read_command(session, args, out),
        BoCommand::Write(args) => content::write_command(session, args, out),
        BoCommand::Populate(target) => plain(session, BoCall::Populate, *target, out),
        BoCommand::Unpopulate(target) => plain(session, BoCall::Unpopulate, *target, out),
        BoCommand::Pin(target) => plain(session, BoCall::Pin, *target, out),
        BoCommand::Unpin(target) => plain(session, BoCall::Unpin, *target, out),
        BoCommand::Swapout(target) => plain(session, BoCall::Swapout, *target, out),
        BoCommand::Backup(args) => backup(session, args, out),
        BoCommand::Restore(target) => plain(session, BoCall::Restore, *target, out),
        BoCommand::DmaAddresses(args) => dma::show(session, args, out),
        BoCommand::Log(command) => log::run(session, command, out),
        BoCommand::Destroy(target) => plain(session, BoCall::Destroy, *target, out),
    }
}

fn create(session: &mut Session, args: &CreateArgs, out: &mut dyn Write) -> Result<()> {
    let what = Create {
        size: args.size,
        kind: args.kind.into(),
        zero: args.zero,
        caching: args.caching.into(),
        dma32: args.dma32,
        mappable: args.mappable,
        shmem: args.shmem,
        dma_addresses: args.dma_addresses,
        device: args.device,
        extra_pages: args.extra_pages,
    };
    let handle = session.device.create(what).asked(Asked::Create)?;
    session.last = Some(handle);
    writeln!(out, "{handle}")?;
    if !session.inherited && !session.in_batch {
        eprintln!("note: the object ends with this command; `reevectl --help` says how to keep it");
    }
    Ok(())
}

fn plain(session: &Session, call: BoCall, target: Target, out: &mut dyn Write) -> Result<()> {
    let handle = session.handle(target)?;
    let pages = session
        .device
        .bo(call, handle)
        .asked(Asked::Bo(call, handle))?;
    Ok(match call {
        BoCall::Populate | BoCall::Restore => writeln!(out, "object {handle} gained {pages} pages"),
        BoCall::Unpopulate => writeln!(out, "object {handle} lost {pages} pages"),
        BoCall::Swapout | BoCall::Backup => writeln!(out, "object {handle} gave {pages} pages"),
        BoCall::Pin => writeln!(out, "object {handle} is pinned"),
        BoCall::Unpin => writeln!(out, "object {handle} has a pin less"),
        BoCall::LogStart => writeln!(out, "object {handle} logs writes to {pages} pages"),
        BoCall::LogStop => writeln!(out, "object {handle} has no log of {pages} pages any more"),
        BoCall::Destroy => writeln!(out, "object {handle} is gone"),
    }?)
}

fn backup(session: &Session, args: &BackupArgs, out: &mut dyn Write) -> Result<()> {
    let handle = session.handle(args.target)?;
    let mut flags = 0;
    if args.purge {
        flags |= sys::REEVE_BO_BACKUP_PURGE;
    }
    if args.writeback {
        flags |= sys::REEVE_BO_BACKUP_WRITEBACK;
    }
    let pages = session
        .device
        .backup_with(handle, flags)
        .asked(Asked::Bo(BoCall::Backup, handle))?;
    let did = if args.purge { "lost" } else { "gave" };
    writeln!(out, "object {handle} {did} {pages} pages")?;
    Ok(())
}

/// An object as it appears in JSON.
#[derive(Debug, Serialize)]
struct Object {
    handle: u32,
    r#type: String,
    size: u64,
    num_pages: u64,
    pages_resident: u64,
    pages_charged: u64,
    caching: String,
    flags: Vec<&'static str>,
    pin_count: u32,
    device: u32,
}

impl From<&reeve_bo_info> for Object {
    fn from(raw: &reeve_bo_info) -> Self {
        Self {
            handle: raw.handle,
            r#type: BoType::from_raw(raw.type_)
                .map_or_else(|| raw.type_.to_string(), |kind| kind.name().to_owned()),
            size: raw.size,
            num_pages: raw.num_pages,
            pages_resident: raw.pages_resident,
            pages_charged: raw.pages_charged,
            caching: Caching::from_raw(raw.caching)
                .map_or_else(|| raw.caching.to_string(), |mode| mode.name().to_owned()),
            flags: flags(raw),
            pin_count: raw.pin_count,
            device: raw.device,
        }
    }
}

/// The object's flags by name.
fn flags(info: &reeve_bo_info) -> Vec<&'static str> {
    [
        (sys::REEVE_BO_POPULATED, "populated"),
        (sys::REEVE_BO_SWAPPED, "swapped"),
        (sys::REEVE_BO_BACKED_UP, "backed_up"),
        (sys::REEVE_BO_ZERO_ALLOC, "zero_alloc"),
        (sys::REEVE_BO_EXTERNAL, "external"),
        (sys::REEVE_BO_EXTERNAL_MAPPABLE, "external_mappable"),
        (sys::REEVE_BO_DECRYPTED, "decrypted"),
        (sys::REEVE_BO_ON_LRU, "on_lru"),
        (sys::REEVE_BO_DMA32, "dma32"),
        (sys::REEVE_BO_SHMEM, "shmem"),
        (sys::REEVE_BO_DMA_ADDRESSES, "dma_addresses"),
        (sys::REEVE_BO_LOGGING, "logging"),
    ]
    .into_iter()
    .filter(|(bit, _)| info.is(*bit))
    .map(|(_, name)| name)
    .collect()
}

/// The objects of an open file, as they appear in JSON.
#[derive(Debug, Serialize)]
struct Objects {
    objects: Vec<Object>,
}

fn list(session: &Session, args: &JsonArgs, out: &mut dyn Write) -> Result<()> {
    let all = session.device.list().asked(Asked::List)?;
    let objects: Vec<Object> = all.iter().map(Object::from).collect();
    if args.json {
        return print_json(&Objects { objects }, out);
    }
    let mut table = Table::new(&[
        ("handle", Align::Right),
        ("type", Align::Left),
        ("size", Align::Right),
        ("pages", Align::Right),
        ("resident", Align::Right),
        ("pins", Align::Right),
        ("device", Align::Right),
        ("flags", Align::Left),
    ]);
    for object in &objects {
        table.row([
            object.handle.to_string(),
            object.r#type.clone(),
            size::human(object.size),
            object.num_pages.to_string(),
            object.pages_resident.to_string(),
            object.pin_count.to_string(),
            object.device.to_string(),
            object.flags.join(" "),
        ]);
    }
    Ok(table.print("", out)?)
}

fn info(session: &Session, args: &InfoArgs, out: &mut dyn Write) -> Result<()> {
    let handle = session.handle(args.target)?;
    let raw = session.device.info(handle).asked(Asked::Info(handle))?;
    let object = Object::from(&raw);
    if args.json.json {
        return print_json(&object, out);
    }
    writeln!(out, "handle          {}", object.handle)?;
    writeln!(out, "type            {}", object.r#type)?;
    writeln!(
        out,
        "size            {} ({})",
        object.size,
        size::human(object.size)
    )?;
    writeln!(out, "num_pages       {}", object.num_pages)?;
    writeln!(out, "pages_resident  {}", object.pages_resident)?;
    writeln!(out, "pages_charged   {}", object.pages_charged)?;
    writeln!(out, "caching         {}", object.caching)?;
    writeln!(out, "flags           {}", object.flags.join(" "))?;
    writeln!(out, "pin_count       {}", object.pin_count)?;
    writeln!(out, "device          {}", object.device)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_names() {
        let mut info = reeve_bo_info::default();
        assert!(flags(&info).is_empty());
        info.flags = sys::REEVE_BO_POPULATED | sys::REEVE_BO_ON_LRU;
        assert_eq!(flags(&info), ["populated", "on_lru"]);
        info.flags = 0x7ff;
        assert_eq!(flags(&info).len(), 11);
    }

    #[test]
    fn unknown_types_are_shown_as_numbers() {
        let info = reeve_bo_info {
            type_: 9,
            ..Default::default()
        };
        assert_eq!(Object::from(&info).r#type, "9");
    }
}
