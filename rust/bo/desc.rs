// SPDX-License-Identifier: GPL-2.0

//! What a buffer object is to be like, as users and drivers say it: by the constants of the ABI.
#![deny(unsafe_code)]

use super::rules::{
    object::{
        BoFlags,
        BoType, //
    },
    page_kind::{
        Caching,
        PageKind, //
    }, //
};
use crate::abstractions::bindings::{
    REEVE_BO_CREATE_DMA32,
    REEVE_BO_CREATE_DMA_ADDRESSES,
    REEVE_BO_CREATE_EXTERNAL_MAPPABLE,
    REEVE_BO_CREATE_SHMEM,
    REEVE_BO_CREATE_ZERO_ALLOC,
    REEVE_BO_TYPE_DEVICE,
    REEVE_BO_TYPE_KERNEL,
    REEVE_BO_TYPE_SG,
    REEVE_CACHING_CACHED,
    REEVE_CACHING_UNCACHED,
    REEVE_CACHING_WRITE_COMBINED, //
};
use kernel::prelude::*;

/// Returns the type and the flags of an object. Returns `EINVAL` if a value is unknown, or they do not go
/// together.
#[inline]
pub(crate) fn flags_of(ty: u32, caching: u32, flags: u32) -> Result<(BoType, BoFlags)> {
    let ty = match ty {
        REEVE_BO_TYPE_DEVICE => BoType::Device,
        REEVE_BO_TYPE_KERNEL => BoType::Kernel,
        REEVE_BO_TYPE_SG => BoType::Sg,
        _ => return Err(EINVAL),
    };
    let caching = match caching {
        REEVE_CACHING_CACHED => Caching::Cached,
        REEVE_CACHING_WRITE_COMBINED => Caching::WriteCombined,
        REEVE_CACHING_UNCACHED => Caching::Uncached,
        _ => return Err(EINVAL),
    };
    const FLAGS: u32 = REEVE_BO_CREATE_ZERO_ALLOC
        | REEVE_BO_CREATE_DMA32
        | REEVE_BO_CREATE_EXTERNAL_MAPPABLE
        | REEVE_BO_CREATE_SHMEM
        | REEVE_BO_CREATE_DMA_ADDRESSES;
    if flags & !FLAGS != 0 {
        return Err(EINVAL);
    }
    let zero_alloc = flags & REEVE_BO_CREATE_ZERO_ALLOC != 0;
    if zero_alloc && ty != BoType::Device {
        return Err(EINVAL);
    }
    let kind = PageKind {
        caching,
        dma32: flags & REEVE_BO_CREATE_DMA32 != 0,
    };
    let mut wanted = BoFlags::of(ty, zero_alloc);
    if flags & REEVE_BO_CREATE_EXTERNAL_MAPPABLE != 0 {
        wanted = wanted.mappable().ok_or(EINVAL)?;
    }
    wanted = wanted.of_kind(kind).ok_or(EINVAL)?;
    if flags & REEVE_BO_CREATE_SHMEM != 0 {
        wanted = wanted.on_shmem().ok_or(EINVAL)?;
    }
    if flags & REEVE_BO_CREATE_DMA_ADDRESSES != 0 {
        wanted = wanted.with_dma();
    }
    Ok((ty, wanted))
}
