// SPDX-License-Identifier: GPL-2.0

//! A Rust driver that leaves its pages to Reeve: a sample to copy from.
//!
//! `/dev/reeve_gpu_rust` has one buffer for each open file: writing to it fills it, reading from it lets
//! the "GPU" of `hardware.rs` sum its bytes up, `mmap` maps it. The GPU must never see a page that the
//! buffer does not have any more: that is what `evict_begin` is for.

use kernel::{
    debugfs::Scope,
    device,
    fs::{
        File,
        Kiocb, //
    },
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    miscdevice::{
        MiscDevice,
        MiscDeviceOptions,
        MiscDeviceRegistration, //
    },
    mm::virt::VmaNew,
    new_mutex,
    new_spinlock,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex,
        SpinLock, //
    }, //
};

mod bo {
    include!(concat!(env!("REEVE_INCLUDE"), "/reeve/bo.rs"));
}
mod hardware;

use bo::{
    Bo,
    Client,
    Desc,
    Device,
    Driver,
    Eviction, //
};
use hardware::{
    Card,
    Engine,
    Job,
    PageTable, //
};

module! {
    type: Module,
    name: "reeve_gpu_rust",
    authors: ["The Reeve developers"],
    description: "Sample Rust driver with its pages accounted by Reeve",
    license: "GPL",
}

// What the tests set: bytes of a buffer from its first write on, how long a job takes in ms, whether every
// second eviction is refused, and whether buffers may lose their content.
static SIZE: Atomic<u64> = Atomic::new(64 << 10);
static DELAY: Atomic<u64> = Atomic::new(1);
static REFUSE: Atomic<u64> = Atomic::new(0);
static PURGEABLE: Atomic<u64> = Atomic::new(0);

// What they look at.
static ASKED: Atomic<u64> = Atomic::new(0);
static EVICTIONS: Atomic<u64> = Atomic::new(0);
static REFUSALS: Atomic<u64> = Atomic::new(0);
static ABORTS: Atomic<u64> = Atomic::new(0);

/// The page of the device file at which the next buffer can be mapped.
static NEXT_PAGE: Atomic<u64> = Atomic::new(0);

/// What the driver has for the device.
struct Gpu {
    engine: Engine,
    card: Card,
}

/// What the driver has for each buffer object.
#[pin_data]
struct Buffer {
    bytes: usize,
    first: u64,
    table: Arc<PageTable>,
    is_bound: Atomic<u64>,
    /// The last job, whose end is the fence.
    #[pin]
    job: SpinLock<Option<Arc<Job>>>,
}

impl Buffer {
    fn new(bytes: usize) -> Result<Arc<Self>> {
        let pages = bytes.div_ceil(PAGE_SIZE);
        let table = Arc::new(PageTable::new(pages)?, GFP_KERNEL)?;
        let buffer = pin_init!(Self {
            bytes,
            first: NEXT_PAGE.fetch_add(pages as u64, Relaxed),
            table,
            is_bound: Atomic::new(0),
            job <- new_spinlock!(None, "reeve_gpu_rust"),
        });
        Arc::pin_init(buffer, GFP_KERNEL)
    }
}

impl Driver for Gpu {
    type Object = Arc<Buffer>;

    fn parent(&self) -> Option<&device::Device<device::Bound>> {
        Some(self.card.device())
    }

    /// The driver is asked for the pages.
    fn evict_begin(&self, buffer: &Arc<Buffer>, eviction: Eviction) -> Result {
        let refuses = REFUSE.load(Relaxed) != 0 && !eviction.is_final();
        if refuses && ASKED.fetch_add(1u64, Relaxed) % 2 == 0 {
            REFUSALS.add(1u64, Relaxed);
            return Err(EBUSY);
        }
        let job = buffer.job.lock().clone();
        if let Some(job) = job {
            // Reclaim waits for no GPU.
            if !job.has_ended() && !eviction.may_wait() {
                REFUSALS.add(1u64, Relaxed);
                return Err(EBUSY);
            }
            job.wait();
        }
        buffer.table.clear();
        buffer.is_bound.store(0, Relaxed);
        EVICTIONS.add(1u64, Relaxed);
        Ok(())
    }

    /// They stay after all; the page table is filled when it is needed again.
    fn evict_abort(&self, _buffer: &Arc<Buffer>) {
        ABORTS.add(1u64, Relaxed);
    }
}

/// Fills the page table of a buffer that is populated.
fn bind(buffer: &bo::Guard<'_, Gpu>) -> Result {
    if buffer.is_bound.load(Relaxed) != 0 {
        return Ok(());
    }
    for run in buffer.dma_runs() {
        let run = run?;
        for at in 0..run.pages {
            buffer
                .table
                .set(run.first + at, run.address + (at << PAGE_SHIFT))?;
        }
    }
    buffer.is_bound.store(1, Relaxed);
    Ok(())
}

/// Has the GPU sum a buffer up, and waits for that.
fn submit(gpu: &Device<Gpu>, buffer: &Bo<Gpu>) -> Result<u64> {
    let job = Job::new(buffer.table.clone(), DELAY.load(Relaxed))?;
    let mut locked = buffer.lock()?;
    locked.populate()?;
    bind(&locked)?;
    locked.sync_for_device(0..locked.state()?.pages)?;
    gpu.engine.submit(job.clone())?;
    let last = locked.job.lock().replace(job.clone());
    // From here on the fence keeps the pages.
    drop(locked);
    drop(last);
    Ok(job.wait())
}

/// Copies bytes into a buffer. User memory is not touched while a buffer object is locked.
fn fill(buffer: &Bo<Gpu>, at: usize, bytes: &[u8]) -> Result {
    let mut locked = buffer.lock()?;
    locked.populate()?;
    let result = locked.vmap()?.write(at, bytes);
    result
}

/// An open file.
#[pin_data]
struct OpenFile {
    gpu: Device<Gpu>,
    client: Client,
    #[pin]
    buffer: Mutex<Option<Bo<Gpu>>>,
}

impl OpenFile {
    /// Returns its buffer, which the first write makes.
    fn buffer(&self) -> Result<Bo<Gpu>> {
        let mut buffer = self.buffer.lock();
        if let Some(buffer) = &*buffer {
            return Ok(buffer.clone());
        }
        let bytes = SIZE.load(Relaxed);
        let mut desc = Desc::new(bytes).dma_addresses();
        if PURGEABLE.load(Relaxed) != 0 {
            desc = desc.purgeable();
        }
        let object = Buffer::new(usize::try_from(bytes)?)?;
        let made = Bo::new(&self.gpu, Some(&self.client), &desc, object)?;
        *buffer = Some(made.clone());
        Ok(made)
    }

    /// Returns its buffer if there is one.
    fn known(&self) -> Result<Bo<Gpu>> {
        self.buffer.lock().clone().ok_or(ENODATA)
    }
}

#[vtable]
impl MiscDevice for OpenFile {
    type Ptr = Pin<KBox<Self>>;

    fn open(_file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result<Pin<KBox<Self>>> {
        let gpu = GPU.lock().clone().ok_or(ENODEV)?;
        let open = try_pin_init!(Self {
            gpu,
            client: Client::new()?,
            buffer <- new_mutex!(None, "reeve_gpu_rust"),
        });
        KBox::try_pin_init(open, GFP_KERNEL)
    }

    fn write_iter(mut kiocb: Kiocb<'_, Self::Ptr>, iov: &mut IovIterSource<'_>) -> Result<usize> {
        let buffer = kiocb.file().buffer()?;
        let at = usize::try_from(kiocb.ki_pos())?;
        let left = buffer.bytes.saturating_sub(at);
        if left == 0 {
            return Err(ENOSPC);
        }
        let mut bytes = KVVec::from_elem(0, iov.len().min(left), GFP_KERNEL)?;
        let count = iov.copy_from_iter(&mut bytes);
        if count == 0 {
            return Err(EFAULT);
        }
        fill(&buffer, at, &bytes[..count])?;
        *kiocb.ki_pos_mut() += count as i64;
        Ok(count)
    }

    fn read_iter(kiocb: Kiocb<'_, Self::Ptr>, iov: &mut IovIterDest<'_>) -> Result<usize> {
        let me = kiocb.file();
        let sum = submit(&me.gpu, &me.known()?)?;
        let text = CString::try_from_fmt(fmt!("{sum}\n"))?;
        let text = text.to_bytes();
        if iov.len() < text.len() {
            return Err(EINVAL);
        }
        match iov.copy_to_iter(text) {
            count if count == text.len() => Ok(count),
            _ => Err(EFAULT),
        }
    }

    fn mmap(me: Pin<&Self>, _file: &File, vma: &VmaNew) -> Result {
        let buffer = me.known()?;
        // Each buffer has offsets of its own; users say 0, as for one file.
        buffer.mmap_from_zero(vma, buffer.first)
    }

    fn show_fdinfo(me: Pin<&Self>, m: &SeqFile, _file: &File) {
        seq_print!(m, "drm-driver:\treeve_gpu_rust\n");
        // A client that is there has something to show.
        let _ = me.client.show_fdinfo(m);
    }
}

kernel::sync::global_lock! {
    // SAFETY: `Plugged::new` initialises it before anything else uses it.
    unsafe(uninit) static GPU: Mutex<Option<Device<Gpu>>> = None;
}

/// The GPU, as long as the module is loaded.
struct Plugged;

impl Plugged {
    fn new() -> Result<Self> {
        // SAFETY: This is called once for each load of the module, before its file can be opened.
        unsafe { GPU.init() };
        let gpu = Gpu {
            engine: Engine::start()?,
            card: Card::new(c"reeve_gpu_rust")?,
        };
        *GPU.lock() = Some(Device::register(c"reeve_gpu_rust", gpu)?);
        Ok(Self)
    }
}

impl Drop for Plugged {
    fn drop(&mut self) {
        // No file is open, nothing is mapped: so it has no objects, and is unregistered.
        let gpu = GPU.lock().take();
        drop(gpu);
    }
}

#[pin_data]
struct Module {
    #[pin]
    _knobs: Scope<()>,
    #[pin]
    _misc: MiscDeviceRegistration<OpenFile>,
    // After the file is gone.
    _plugged: Plugged,
}

impl kernel::InPlaceModule for Module {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let options = MiscDeviceOptions {
            name: c"reeve_gpu_rust",
        };
        try_pin_init!(Self {
            _plugged: Plugged::new()?,
            _misc <- MiscDeviceRegistration::register(options),
            _knobs <- Scope::dir((), c"reeve_gpu_rust", |_, dir| {
                for (name, knob) in [
                    (c"size", &SIZE),
                    (c"delay", &DELAY),
                    (c"refuse", &REFUSE),
                    (c"purgeable", &PURGEABLE),
                ] {
                    dir.read_write_file(name, knob);
                }
                for (name, counter) in [
                    (c"evictions", &EVICTIONS),
                    (c"refusals", &REFUSALS),
                    (c"aborts", &ABORTS),
                    (c"gpu_faults", &hardware::FAULTS),
                ] {
                    dir.read_only_file(name, counter);
                }
            }),
        })
    }
}
