// SPDX-License-Identifier: GPL-2.0-or-later

//! The module's buffer objects as source and as sink.

use std::io;
use std::os::fd::OwnedFd;

use reeve_uapi::sys;
use reeve_uapi::sys::reeve_bo_info;
use reeve_uapi::BoType;
use reeve_uapi::Caching;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;
use reeve_uapi::Mapping;
use reeve_uapi::Protection;

use crate::Bitmap;
use crate::LogMode;
use crate::Region;
use crate::Sink;
use crate::Source;
use crate::Writers;

/// The modes of a log, as the ABI numbers them.
const LEGACY: u32 = 0;
const MANUAL: u32 = sys::REEVE_LOG_MANUAL;
const INITIALLY_SET: u32 = sys::REEVE_LOG_MANUAL | sys::REEVE_LOG_INITIALLY_SET;

/// The flags of an object that its copy has to have, too: what they are in its state, and at its creation.
const FLAGS: [(u32, u32); 4] = [
    (sys::REEVE_BO_ZERO_ALLOC, sys::REEVE_BO_CREATE_ZERO_ALLOC),
    (sys::REEVE_BO_DMA32, sys::REEVE_BO_CREATE_DMA32),
    (sys::REEVE_BO_SHMEM, sys::REEVE_BO_CREATE_SHMEM),
    (
        sys::REEVE_BO_DMA_ADDRESSES,
        sys::REEVE_BO_CREATE_DMA_ADDRESSES,
    ),
];

/// An object, and the way to its last page if the object ends inside of it.
#[derive(Debug)]
struct Object {
    handle: Handle,
    size: u64,
    /// The calls that copy end with the object; what a mapping has behind it is content, too.
    tail: Option<Mapping>,
}

impl Object {
    fn new(handle: Handle, size: u64) -> Self {
        Self {
            handle,
            size,
            tail: None,
        }
    }

    /// Calls `whole` with the offset and the part of `length` bytes from page `first` on that the calls reach, and
    /// `tail` with the mapping of the page behind it, if that is among them.
    fn parts(
        &mut self,
        device: &Device,
        page_size: u32,
        first: u64,
        length: usize,
    ) -> io::Result<(u64, usize, Option<&Mapping>)> {
        let page = u64::from(page_size);
        let offset = first * page;
        let whole = self.size / page * page;
        let length = length as u64;
        if offset + length <= whole {
            return Ok((offset, length as usize, None));
        }
        if self.tail.is_none() {
            let place = device.map_place(self.handle)?;
            let protection = Protection::ReadWrite;
            let start = place.offset + whole;
            let mapping = Mapping::new(device, start, page_size as usize, protection)?;
            self.tail = Some(mapping);
        }
        Ok((offset, (whole - offset) as usize, self.tail.as_ref()))
    }

    fn read(
        &mut self,
        device: &Device,
        page_size: u32,
        first: u64,
        to: &mut [u8],
    ) -> io::Result<()> {
        let handle = self.handle;
        let (offset, length, tail) = self.parts(device, page_size, first, to.len())?;
        let (whole, rest) = to.split_at_mut(length);
        if !whole.is_empty() {
            device.read(handle, offset, whole)?;
        }
        if let Some(tail) = tail {
            tail.read(0, rest);
        }
        Ok(())
    }

    fn write(
        &mut self,
        device: &Device,
        page_size: u32,
        first: u64,
        bytes: &[u8],
    ) -> io::Result<()> {
        let handle = self.handle;
        let (offset, length, tail) = self.parts(device, page_size, first, bytes.len())?;
        let (whole, rest) = bytes.split_at(length);
        if !whole.is_empty() {
            device.write(handle, offset, whole)?;
        }
        if let Some(tail) = tail {
            // Gives the object its pages, or says why not, which a store to a mapping cannot.
            device.populate(handle)?;
            tail.write(0, rest);
        }
        Ok(())
    }

    fn has_content(&self, device: &Device) -> io::Result<bool> {
        let info = device.info(self.handle)?;
        Ok(info.is(sys::REEVE_BO_POPULATED | sys::REEVE_BO_SWAPPED | sys::REEVE_BO_BACKED_UP))
    }
}

/// Buffer objects of an open file that are to be moved.
#[derive(Debug)]
pub struct ReeveSource<'d> {
    device: &'d Device,
    page_size: u32,
    objects: Vec<Object>,
    regions: Vec<Region>,
}

impl<'d> ReeveSource<'d> {
    /// Takes these objects of the open file. Fails if the module has no dirty log, or if an object cannot be moved:
    /// pages of another driver, or a log that another one has switched on.
    pub fn new(device: &'d Device, handles: &[Handle]) -> io::Result<Self> {
        let version = device.version()?;
        if version.features & u64::from(sys::REEVE_FEATURE_DIRTY_LOG) == 0 {
            return Err(io::Error::other("the module has no dirty log"));
        }
        let mut source = Self {
            device,
            page_size: version.page_size,
            objects: Vec::new(),
            regions: Vec::new(),
        };
        for handle in handles {
            let info = device.info(*handle)?;
            source.regions.push(region(&info, version.page_size)?);
            source.objects.push(Object::new(*handle, info.size));
        }
        Ok(source)
    }
}

/// Describes an object. Fails if it cannot be moved.
fn region(info: &reeve_bo_info, page_size: u32) -> io::Result<Region> {
    let refuse = |why| Err(io::Error::other(format!("object {} {why}", info.handle)));
    if info.is(sys::REEVE_BO_EXTERNAL) {
        return refuse("has pages of another driver, which cannot be moved");
    }
    if info.is(sys::REEVE_BO_LOGGING) {
        return refuse("is being logged already; `reevectl bo log stop` ends that");
    }
    let own = info.size.div_ceil(u64::from(page_size));
    let extra = info.num_pages.saturating_sub(own);
    let flags = FLAGS
        .iter()
        .filter(|(state, _)| info.is(*state))
        .fold(0, |flags, (_, create)| flags | create);
    Ok(Region {
        id: info.handle,
        size: info.size,
        kind: info.type_,
        caching: info.caching,
        flags,
        device: info.device,
        extra_pages: u32::try_from(extra).map_err(io::Error::other)?,
    })
}

impl Source for ReeveSource<'_> {
    fn page_size(&self) -> u32 {
        self.page_size
    }

    fn regions(&self) -> &[Region] {
        &self.regions
    }

    fn start(&mut self, region: usize) -> io::Result<LogMode> {
        let handle = self.objects[region].handle;
        // A log that is on already would be kept, with whatever its user has cleared.
        if self.device.info(handle)?.is(sys::REEVE_BO_LOGGING) {
            return Err(io::Error::other("it is being logged already"));
        }
        let (before, _) = self.device.log_mode()?;
        let best = [INITIALLY_SET, MANUAL]
            .into_iter()
            .find(|mode| self.device.set_log_mode(*mode).is_ok());
        let started = self.device.log_start(handle);
        if best.is_some() {
            // A log keeps the mode it was started in.
            self.device.set_log_mode(before)?;
        }
        started?;
        let mode = self.device.log_info(handle).and_then(|info| {
            Ok(match info.mode {
                LEGACY => LogMode::Legacy,
                MANUAL => LogMode::Manual,
                INITIALLY_SET => LogMode::InitiallySet,
                other => return Err(io::Error::other(format!("it has the unknown mode {other}"))),
            })
        });
        if mode.is_err() {
            let _ = self.device.log_stop(handle);
        }
        mode
    }

    fn stop(&mut self, region: usize) -> io::Result<()> {
        self.device.log_stop(self.objects[region].handle).map(drop)
    }

    fn get(&mut self, region: usize, bitmap: &mut Bitmap) -> io::Result<()> {
        let (device, handle) = (self.device, self.objects[region].handle);
        let pages = bitmap.len();
        bitmap.fill_with(|words| device.log_get(handle, pages, words))?;
        Ok(())
    }

    fn clear(&mut self, region: usize, first: u64, pages: u64, mask: &[u64]) -> io::Result<()> {
        let handle = self.objects[region].handle;
        self.device.log_clear(handle, first, pages, mask).map(drop)
    }

    fn read(&mut self, region: usize, first: u64, to: &mut [u8]) -> io::Result<()> {
        self.objects[region].read(self.device, self.page_size, first, to)
    }

    fn has_content(&mut self, region: usize) -> io::Result<bool> {
        self.objects[region].has_content(self.device)
    }

    fn release(&mut self) -> io::Result<()> {
        let mut result = Ok(());
        for mut object in self.objects.drain(..) {
            drop(object.tail.take());
            result = result.and(self.device.destroy(object.handle));
        }
        result
    }
}

/// Writers that are held back by fences: they run, and wait when they write to one of the objects; readers do not. They
/// wait as long as this is there and the logs are on.
#[derive(Debug)]
pub struct Fenced<'d, W> {
    device: &'d Device,
    handles: Vec<Handle>,
    fences: Vec<OwnedFd>,
    writers: W,
}

impl<'d, W: Writers> Fenced<'d, W> {
    /// Takes these objects of the open file, and `writers` to be slowed until then. Fails if the module has no fences.
    pub fn new(device: &'d Device, handles: &[Handle], writers: W) -> io::Result<Self> {
        if device.version()?.features & u64::from(sys::REEVE_FEATURE_LOG_FENCE) == 0 {
            return Err(io::Error::other("the module has no fences"));
        }
        Ok(Self {
            device,
            handles: handles.to_vec(),
            fences: Vec::new(),
            writers,
        })
    }
}

impl<W: Writers> Writers for Fenced<'_, W> {
    fn stop(&mut self) -> io::Result<()> {
        for handle in &self.handles {
            self.fences.push(self.device.log_fence(*handle)?);
        }
        // They may read.
        self.writers.slow(0)
    }

    fn resume(&mut self) -> io::Result<()> {
        self.fences.clear();
        Ok(())
    }

    fn slow(&mut self, percent: u8) -> io::Result<()> {
        self.writers.slow(percent)
    }

    fn need_logs(&self) -> bool {
        true
    }
}

/// An open file in which copies of the objects are made.
#[derive(Debug)]
pub struct ReeveSink<'d> {
    device: &'d Device,
    page_size: u32,
    objects: Vec<Object>,
    names: Vec<u32>,
}

impl<'d> ReeveSink<'d> {
    /// Makes copies on this open file.
    pub fn new(device: &'d Device) -> io::Result<Self> {
        Ok(Self {
            device,
            page_size: device.version()?.page_size,
            objects: Vec::new(),
            names: Vec::new(),
        })
    }

    /// Returns the objects' names at the source, and their handles here.
    pub fn handles(&self) -> impl Iterator<Item = (u32, Handle)> + '_ {
        let handles = self.objects.iter().map(|object| object.handle);
        self.names.iter().copied().zip(handles)
    }
}

/// Returns how to make a copy of the region.
fn creation(region: &Region) -> io::Result<Create> {
    let unknown = |what| io::Error::new(io::ErrorKind::InvalidInput, format!("unknown {what}"));
    let known = FLAGS.iter().fold(0, |flags, (_, create)| flags | create);
    if region.flags & !known != 0 {
        return Err(unknown("flags"));
    }
    let is = |flag| region.flags & flag != 0;
    Ok(Create {
        size: region.size,
        kind: BoType::from_raw(region.kind).ok_or_else(|| unknown("type"))?,
        zero: is(sys::REEVE_BO_CREATE_ZERO_ALLOC),
        caching: Caching::from_raw(region.caching).ok_or_else(|| unknown("caching"))?,
        dma32: is(sys::REEVE_BO_CREATE_DMA32),
        mappable: false,
        shmem: is(sys::REEVE_BO_CREATE_SHMEM),
        dma_addresses: is(sys::REEVE_BO_CREATE_DMA_ADDRESSES),
        device: region.device,
        extra_pages: region.extra_pages,
    })
}

impl Sink for ReeveSink<'_> {
    fn page_size(&self) -> u32 {
        self.page_size
    }

    fn create(&mut self, region: &Region) -> io::Result<()> {
        let handle = self.device.create(creation(region)?)?;
        self.objects.push(Object::new(handle, region.size));
        self.names.push(region.id);
        Ok(())
    }

    fn write(&mut self, region: usize, first: u64, bytes: &[u8]) -> io::Result<()> {
        self.objects[region].write(self.device, self.page_size, first, bytes)
    }

    fn empty(&mut self, region: usize) -> io::Result<()> {
        let object = &mut self.objects[region];
        self.device.unpopulate(object.handle).map(drop)
    }

    fn has_content(&mut self, region: usize) -> io::Result<bool> {
        self.objects[region].has_content(self.device)
    }

    fn read(&mut self, region: usize, first: u64, to: &mut [u8]) -> io::Result<()> {
        self.objects[region].read(self.device, self.page_size, first, to)
    }

    fn keep(&mut self) -> io::Result<()> {
        // They belong to the open file. A mapping of them would keep it open.
        for object in &mut self.objects {
            object.tail = None;
        }
        Ok(())
    }

    fn discard(&mut self) {
        self.names.clear();
        for mut object in self.objects.drain(..) {
            drop(object.tail.take());
            // It fails only for a handle that is not there.
            let _ = self.device.destroy(object.handle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> reeve_bo_info {
        reeve_bo_info {
            handle: 3,
            size: 3 * 4096 - 100,
            num_pages: 5,
            flags: sys::REEVE_BO_POPULATED | sys::REEVE_BO_SHMEM,
            caching: sys::REEVE_CACHING_CACHED,
            ..Default::default()
        }
    }

    #[test]
    fn objects_become_regions_and_objects_again() {
        let region = region(&info(), 4096).unwrap();
        assert_eq!(
            (region.id, region.pages(4096), region.extra_pages),
            (3, 3, 2)
        );
        let create = creation(&region).unwrap();
        assert_eq!(
            (create.size, create.shmem, create.zero, create.extra_pages),
            (3 * 4096 - 100, true, false, 2)
        );
        for wrong in [
            Region {
                flags: 1 << 31,
                ..region.clone()
            },
            Region {
                kind: 99,
                ..region.clone()
            },
            Region {
                caching: 99,
                ..region
            },
        ] {
            assert_eq!(
                creation(&wrong).unwrap_err().kind(),
                io::ErrorKind::InvalidInput
            );
        }
    }

    #[test]
    fn what_cannot_be_moved_is_said() {
        for (flag, word) in [
            (sys::REEVE_BO_EXTERNAL, "another driver"),
            (sys::REEVE_BO_LOGGING, "logged already"),
        ] {
            let mut info = info();
            info.flags |= flag;
            let error = region(&info, 4096).unwrap_err().to_string();
            assert!(
                error.starts_with("object 3 ") && error.contains(word),
                "{error}"
            );
        }
    }
}
