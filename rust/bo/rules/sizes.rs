// SPDX-License-Identifier: GPL-2.0-or-later

//! How many pages an object of so many bytes has, and where its bytes are.
#![deny(unsafe_code)]

/// Why a size is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeError {
    /// An object of no bytes.
    Zero,
    /// More pages than a file offset can name; nothing wraps instead.
    TooBig,
}

/// The most pages an object can have: their bytes still fit a signed 64-bit file offset, because
/// its content may have to go to a file.
pub const fn max_pages(page_shift: u32) -> u64 {
    (i64::MAX as u64) >> page_shift
}

/// Returns the number of pages of an object of `size` bytes with `extra` pages behind it.
///
/// C original: the `PAGE_ALIGN` in `ttm_tt_init_fields()`, which wraps.
pub const fn pages_for(size: u64, extra: u64, page_shift: u32) -> Result<u64, SizeError> {
    if size == 0 {
        return Err(SizeError::Zero);
    }
    let mask = (1u64 << page_shift) - 1;
    let Some(rounded) = size.checked_add(mask) else {
        return Err(SizeError::TooBig);
    };
    let Some(pages) = (rounded >> page_shift).checked_add(extra) else {
        return Err(SizeError::TooBig);
    };
    if pages > max_pages(page_shift) {
        return Err(SizeError::TooBig);
    }
    Ok(pages)
}

/// Returns whether the bytes `offset .. offset + length` are all inside an object of `size` bytes.
pub const fn contains(size: u64, offset: u64, length: u64) -> bool {
    match offset.checked_add(length) {
        Some(end) => end <= size,
        None => false,
    }
}

/// A part of a byte range that lies in one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Index of the page.
    pub page: u64,
    /// First byte in the page.
    pub offset: usize,
    /// Bytes; at least 1.
    pub length: usize,
}

/// Cuts the byte range `offset .. offset + length` at page boundaries.
///
/// The range must not wrap; see [`contains`].
pub fn pieces(offset: u64, length: u64, page_shift: u32) -> impl Iterator<Item = Piece> {
    let page_size = 1u64 << page_shift;
    let mut offset = offset;
    let mut left = length;

    core::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let inside = offset & (page_size - 1);
        let n = left.min(page_size - inside);
        let piece = Piece {
            page: offset >> page_shift,
            offset: inside as usize,
            length: n as usize,
        };
        left -= n;
        offset = offset.wrapping_add(n);
        Some(piece)
    })
}
