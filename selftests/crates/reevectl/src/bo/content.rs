// SPDX-License-Identifier: GPL-2.0-or-later

//! Filling, checking, reading and writing an object's bytes.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::path::Path;

use reeve_uapi::pattern::Pattern;
use reeve_uapi::Handle;

use crate::cli::PatternArgs;
use crate::cli::ReadArgs;
use crate::cli::WriteArgs;
use crate::error::Ask;
use crate::error::Asked;
use crate::error::Error;
use crate::error::Result;
use crate::session::Session;

/// Bytes copied by one call.
const CHUNK: usize = 256 << 10;

/// Writes the pattern over `size` bytes, a chunk per call of `write`.
pub(crate) fn fill(
    pattern: Pattern,
    size: u64,
    mut write: impl FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut buf = vec![0; CHUNK];
    each_chunk(0, size, |offset, len| {
        pattern.fill(offset, &mut buf[..len]);
        write(offset, &buf[..len])
    })
}

/// Position of the first of `size` bytes that is not the pattern's; reads a chunk per call.
pub(crate) fn check(
    pattern: Pattern,
    size: u64,
    mut read: impl FnMut(u64, &mut [u8]) -> Result<()>,
) -> Result<Option<u64>> {
    let mut buf = vec![0; CHUNK];
    let mut wrong = None;
    each_chunk(0, size, |offset, len| {
        read(offset, &mut buf[..len])?;
        wrong = wrong.or_else(|| pattern.mismatch(offset, &buf[..len]));
        Ok(())
    })?;
    Ok(wrong)
}

/// Calls `f(offset, length)` for each chunk of a range.
fn each_chunk(start: u64, end: u64, mut f: impl FnMut(u64, usize) -> Result<()>) -> Result<()> {
    let mut offset = start;
    while offset < end {
        let len = usize::try_from(end - offset).map_or(CHUNK, |rest| rest.min(CHUNK));
        f(offset, len)?;
        offset += len as u64;
    }
    Ok(())
}

fn size_of(session: &Session, handle: Handle) -> Result<u64> {
    Ok(session.device.info(handle).asked(Asked::Info(handle))?.size)
}

pub(super) fn fill_command(
    session: &Session,
    args: &PatternArgs,
    out: &mut dyn Write,
) -> Result<()> {
    let handle = session.handle(args.target)?;
    let size = size_of(session, handle)?;
    fill(Pattern::new(args.pattern), size, |offset, buf| {
        session
            .device
            .write(handle, offset, buf)
            .asked(Asked::Write(handle))
    })?;
    writeln!(
        out,
        "object {handle}: {size} bytes filled with pattern {}",
        args.pattern
    )?;
    Ok(())
}

pub(super) fn check_command(
    session: &Session,
    args: &PatternArgs,
    out: &mut dyn Write,
) -> Result<()> {
    let handle = session.handle(args.target)?;
    let size = size_of(session, handle)?;
    let wrong = check(Pattern::new(args.pattern), size, |offset, buf| {
        session
            .device
            .read(handle, offset, buf)
            .asked(Asked::Read(handle))
    })?;
    if let Some(at) = wrong {
        return Err(Error::Check(format!(
            "object {handle} does not hold pattern {}: the first other byte is at offset {at}",
            args.pattern
        )));
    }
    writeln!(
        out,
        "object {handle}: all {size} bytes are those of pattern {}",
        args.pattern
    )?;
    Ok(())
}

pub(super) fn read_command(session: &Session, args: &ReadArgs, out: &mut dyn Write) -> Result<()> {
    let handle = session.handle(args.target)?;
    let length = match args.length {
        Some(length) => length,
        None => size_of(session, handle)?.saturating_sub(args.offset),
    };
    let end = args.offset.checked_add(length).ok_or_else(|| {
        Error::Usage("offset and length together are more than 2^64 bytes".to_owned())
    })?;

    let path = args.output.as_path();
    let mut file = None;
    if path != Path::new("-") {
        file = Some(File::create(path).asked(Asked::File(path.to_owned()))?);
    }
    let mut buf = vec![0; CHUNK];
    each_chunk(args.offset, end, |offset, len| {
        let buf = &mut buf[..len];
        session
            .device
            .read(handle, offset, buf)
            .asked(Asked::Read(handle))?;
        match &mut file {
            Some(file) => file.write_all(buf).asked(Asked::File(path.to_owned())),
            None => Ok(out.write_all(buf)?),
        }
    })
}

pub(super) fn write_command(
    session: &Session,
    args: &WriteArgs,
    out: &mut dyn Write,
) -> Result<()> {
    let handle = session.handle(args.target)?;
    let path = args.input.as_path();
    let mut input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).asked(Asked::File(path.to_owned()))?)
    };
    let mut buf = vec![0; CHUNK];
    let mut offset = args.offset;
    loop {
        let len = input.read(&mut buf).asked(Asked::File(path.to_owned()))?;
        if len == 0 {
            break;
        }
        let part = &buf[..len];
        session
            .device
            .write(handle, offset, part)
            .asked(Asked::Write(handle))?;
        offset += len as u64;
    }
    let written = offset - args.offset;
    writeln!(
        out,
        "object {handle}: {written} bytes written at offset {}",
        args.offset
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_filled_checks_out_across_chunks() {
        let size = CHUNK as u64 * 2 + 5;
        let mut memory = vec![0; size as usize];
        fill(Pattern::new(3), size, |offset, buf| {
            let offset = offset as usize;
            memory[offset..offset + buf.len()].copy_from_slice(buf);
            Ok(())
        })
        .unwrap();
        let look = |memory: &[u8]| {
            check(Pattern::new(3), size, |offset, buf| {
                let offset = offset as usize;
                buf.copy_from_slice(&memory[offset..offset + buf.len()]);
                Ok(())
            })
            .unwrap()
        };
        assert_eq!(look(&memory), None);
        memory[CHUNK + 9] ^= 1;
        memory[CHUNK * 2 + 1] ^= 1;
        assert_eq!(look(&memory), Some(CHUNK as u64 + 9));
    }

    #[test]
    fn nothing_is_asked_for_an_empty_range() {
        each_chunk(5, 5, |_, _| panic!("called")).unwrap();
    }
}
