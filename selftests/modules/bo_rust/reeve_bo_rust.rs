// SPDX-License-Identifier: GPL-2.0

//! Calls every function of `bo.rs`, as documented and not. It loads only if each returns as documented.

use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Completion,
        Mutex, //
    },
    workqueue, //
};

mod bo {
    include!(concat!(env!("REEVE_INCLUDE"), "/reeve/bo.rs"));
}

use bo::{
    Bo,
    Caching,
    Client,
    Desc,
    Device,
    Driver,
    Eviction,
    OwnLock, //
};

module! {
    type: Module,
    name: "reeve_bo_rust",
    authors: ["The Reeve developers"],
    description: "Test of the Rust API of page accounting",
    license: "GPL",
}

const PAGE: usize = kernel::page::PAGE_SIZE;

/// What the driver was asked, and what it is to answer.
struct Asked {
    begun: Atomic<u64>,
    aborted: Atomic<u64>,
    dropped: Atomic<u64>,
    finals: Atomic<u64>,
    drops: Atomic<u64>,
    /// 1: an error that is not EBUSY.
    refuses: Atomic<u64>,
    /// The error of what must not be called.
    called: Atomic<i64>,
}

impl Asked {
    fn new() -> Result<Arc<Self>> {
        let this = Self {
            begun: Atomic::new(0),
            aborted: Atomic::new(0),
            dropped: Atomic::new(0),
            finals: Atomic::new(0),
            drops: Atomic::new(0),
            refuses: Atomic::new(0),
            called: Atomic::new(0),
        };
        Ok(Arc::new(this, GFP_KERNEL)?)
    }
}

/// Counts where it is dropped.
struct Counted(Arc<Asked>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dropped.add(1u64, Relaxed);
    }
}

/// What the driver has for each object.
#[pin_data]
struct Part {
    asked: Counted,
    /// The object that it is of, to call what must not be called.
    #[pin]
    this: Mutex<Option<Bo<Test>>>,
}

struct Test;

struct Module;

impl Driver for Test {
    type Object = Arc<Part>;

    fn evict_begin(&self, part: &Arc<Part>, eviction: Eviction) -> Result {
        let asked = &part.asked.0;
        asked.begun.add(1u64, Relaxed);
        asked.finals.add(u64::from(eviction.is_final()), Relaxed);
        asked
            .drops
            .add(u64::from(eviction.drops_content()), Relaxed);
        let this = part.this.lock().clone();
        if let Some(this) = this {
            let error = this.lock().map_or_else(|e| e.to_errno(), |_| 0);
            asked.called.store(error.into(), Relaxed);
        }
        match asked.refuses.load(Relaxed) {
            0 => Ok(()),
            _ => Err(EINVAL),
        }
    }

    fn evict_abort(&self, part: &Arc<Part>) {
        part.asked.0.aborted.add(1u64, Relaxed);
    }
}

/// Returns an error, and logs where, unless the condition holds.
macro_rules! expect {
    ($condition:expr) => {
        if !$condition {
            pr_err!("line {}: expected {}\n", line!(), stringify!($condition));
            return Err(EINVAL);
        }
    };
}

/// The error that something ended with, of whichever type its value is.
fn error<T>(result: Result<T>) -> Option<Error> {
    result.err()
}

fn part(asked: &Arc<Asked>) -> Result<Arc<Part>> {
    let part = pin_init!(Part {
        asked: Counted(asked.clone()),
        this <- new_mutex!(None, "bo_rust_part"),
    });
    Arc::pin_init(part, GFP_KERNEL)
}

fn object(
    device: &Device<Test>,
    client: Option<&Client>,
    desc: Desc,
    asked: &Arc<Asked>,
) -> Result<Bo<Test>> {
    Bo::new(device, client, &desc, part(asked)?)
}

fn pages(count: usize) -> Desc {
    Desc::new((count * PAGE) as u64).dma_addresses()
}

fn devices() -> Result {
    expect!(error(Device::register(c"", Test)) == Some(EINVAL));
    expect!(error(Device::register(c"a name of thirty-two bytes ......", Test)) == Some(EINVAL));
    // One is gone when its last reference is, so this may be done many times.
    for _ in 0..3 {
        let device = Device::register(c"bo_rust_other", Test)?;
        let other = device.clone();
        drop(device);
        let asked = Asked::new()?;
        let bo = object(&other, None, pages(1), &asked)?;
        drop(other);
        bo.lock()?.populate()?;
        drop(bo);
        expect!(asked.dropped.load(Relaxed) == 1);
    }
    Ok(())
}

fn descriptors(device: &Device<Test>, asked: &Arc<Asked>) -> Result {
    let base = asked.dropped.load(Relaxed);
    expect!(error(object(device, None, Desc::new(0), asked)) == Some(EINVAL));
    let contradictory = pages(1).shmem().caching(Caching::Uncached);
    expect!(error(object(device, None, contradictory, asked)) == Some(EINVAL));
    // What the driver had for them is gone, too.
    expect!(asked.dropped.load(Relaxed) == base + 2);
    for desc in [
        pages(2).kernel(),
        pages(2).extra_pages(1),
        pages(2).caching(Caching::WriteCombined),
        pages(2).caching(Caching::Uncached),
        pages(2).caching(Caching::Cached).shmem(),
        pages(2).dma32(),
        pages(2).zero_alloc(),
        pages(2).uncleared(),
        Desc::new(PAGE as u64).external_mappable(),
    ] {
        let bo = object(device, None, desc, asked)?;
        let mut locked = bo.lock()?;
        expect!(locked.populate()? == locked.state()?.pages);
        let pgprot = bo.pgprot(kernel::bindings::pgprot_t { pgprot: 0 }).pgprot;
        expect!(pgprot != 0 || locked.state()?.pages != 0);
    }
    let external = object(device, None, Desc::new(PAGE as u64).external(), asked)?;
    let mut locked = external.lock()?;
    expect!(locked.populate()? == 0);
    expect!(error(locked.page(0)) == Some(EINVAL));
    expect!(error(locked.vmap()) == Some(EINVAL));
    expect!(error(locked.swap_out()) == Some(EINVAL));
    Ok(())
}

fn clients(device: &Device<Test>, asked: &Arc<Asked>) -> Result {
    let client = Client::new()?;
    client.set_limit(1000)?;
    let bo = object(device, Some(&client), pages(3), asked)?;
    bo.lock()?.populate()?;
    let stats = client.stats()?;
    expect!(stats.objects == 1 && stats.resident == 3 && stats.charged == 3);
    expect!(stats.limit == 1000);
    // Its objects outlive it.
    drop(client);
    expect!(bo.lock()?.state()?.resident == 3);
    Ok(())
}

/// Tries to lock the object in another thread.
fn tried_elsewhere(bo: &Bo<Test>) -> Result<Option<Error>> {
    #[pin_data]
    struct Tried {
        error: Atomic<i64>,
        #[pin]
        done: Completion,
    }
    let tried = Arc::pin_init(
        pin_init!(Tried {
            error: Atomic::new(0),
            done <- Completion::new(),
        }),
        GFP_KERNEL,
    )?;
    let (there, bo) = (tried.clone(), bo.clone());
    workqueue::system_unbound().try_spawn(GFP_KERNEL, move || {
        let error = bo.try_lock().map_or_else(|e| e.to_errno(), |_| 0);
        there.error.store(error.into(), Relaxed);
        drop(bo);
        there.done.complete_all();
    })?;
    tried.done.wait_for_completion();
    let error = tried.error.load(Relaxed);
    Ok((error != 0).then(|| Error::from_errno(error as i32)))
}

fn locks(device: &Device<Test>, asked: &Arc<Asked>) -> Result {
    let bo = object(device, None, pages(1), asked)?;
    let locked = bo.lock()?;
    expect!(error(bo.lock()) == Some(EDEADLK));
    expect!(error(bo.try_lock()) == Some(EDEADLK));
    expect!(tried_elsewhere(&bo)? == Some(EBUSY));
    drop(locked);
    expect!(tried_elsewhere(&bo)?.is_none());
    expect!(bo.try_lock().is_ok());
    // Leaving early unlocks.
    let early = || -> Result {
        let mut locked = bo.lock()?;
        locked.unpin()
    };
    expect!(early() == Err(EINVAL));
    expect!(bo.try_lock().is_ok());
    Ok(())
}

fn content(device: &Device<Test>, asked: &Arc<Asked>) -> Result {
    let bo = object(device, None, pages(5), asked)?;
    let mut locked = bo.lock()?;
    expect!(error(locked.page(0)) == Some(EINVAL));
    expect!(error(locked.vmap()) == Some(EINVAL));
    expect!(error(locked.dma_run(0)) == Some(EINVAL));
    expect!(locked.dma_runs().next().is_some_and(|run| run.is_err()));
    expect!(locked.populate()? == 5);
    expect!(locked.populate_nowait()? == 0);
    expect!(locked.page(4).is_ok());
    expect!(error(locked.page(5)) == Some(EINVAL));
    let mut next = 0;
    for run in locked.dma_runs() {
        let run = run?;
        expect!(run.first == next && run.pages > 0 && run.address != 0);
        next += run.pages;
    }
    expect!(next == 5);
    locked.sync_for_device(0..5)?;
    locked.sync_for_cpu(4..5)?;
    expect!(locked.sync_for_cpu(4..6) == Err(EINVAL));
    expect!(locked.sync_for_device(u64::MAX..u64::MAX) == Err(EINVAL));

    let mut there = KVec::from_elem(0u8, 5 * PAGE, GFP_KERNEL)?;
    let mut here = KVec::from_elem(0u8, 5 * PAGE, GFP_KERNEL)?;
    for (at, byte) in here.iter_mut().enumerate() {
        *byte = (at * 7 + at / 251) as u8;
    }
    {
        let mapped = locked.vmap()?;
        expect!(mapped.bytes() == 5 * PAGE);
        mapped.read(0, &mut there)?;
        expect!(there.iter().all(|byte| *byte == 0));
        // Of each alignment, each to and fro.
        let mut at = 0;
        let mut len = 1;
        while at < here.len() {
            let end = here.len().min(at + len);
            mapped.write(at, &here[at..end])?;
            (at, len) = (end, len % 37 + 1);
        }
        for from in 0..9 {
            there[from..].fill(0);
            mapped.read(from, &mut there[from..])?;
            expect!(there[from..] == here[from..]);
        }
        expect!(mapped.read(5 * PAGE, &mut []).is_ok());
        expect!(mapped.write(5 * PAGE, &[0]) == Err(EINVAL));
        expect!(mapped.read(usize::MAX, &mut [0, 0]) == Err(EINVAL));
    }
    for round in 0..3 {
        let freed = match round {
            0 => locked.swap_out()?,
            1 => locked.back_up(false)?,
            _ => locked.back_up(true)?,
        };
        expect!(freed == 5);
        expect!(locked.state()?.resident == 0);
        expect!(error(locked.page(0)) == Some(EINVAL));
        let gained = match round {
            0 => locked.populate()?,
            _ => locked.restore()?,
        };
        expect!(gained == 5);
        there.fill(0);
        locked.vmap()?.read(0, &mut there)?;
        expect!(there[..] == here[..]);
    }
    expect!(locked.restore()? == 0);
    locked.touch()?;
    locked.unmap_users()?;
    expect!(locked.set_purgeable(true)?);
    expect!(locked.purge()? == 5);
    expect!(!locked.set_purgeable(false)?);
    expect!(locked.populate_interruptible()? == 5);
    expect!(locked.unpopulate()? == 5);
    Ok(())
}

fn pins(device: &Device<Test>, asked: &Arc<Asked>) -> Result {
    let bo = object(device, None, pages(2), asked)?;
    let mut locked = bo.lock()?;
    expect!(locked.pin() == Err(EINVAL));
    locked.populate()?;
    locked.pin()?;
    locked.pin()?;
    expect!(locked.state()?.pins == 2);
    expect!(error(locked.unpopulate()) == Some(EBUSY));
    expect!(error(locked.swap_out()) == Some(EBUSY));
    locked.unpin()?;
    locked.unpin()?;
    expect!(locked.unpin() == Err(EINVAL));

    // An exported table pins as long as it is there.
    let exported = locked.export()?;
    expect!(!exported.as_ptr().is_null());
    expect!(locked.state()?.pins == 1);
    // SAFETY: It is a table of pages, as long as `exported` is there.
    let table = unsafe { kernel::scatterlist::SGTable::from_raw(exported.as_ptr()) };
    expect!(table.iter().next().is_some());
    let external = object(device, None, Desc::new(PAGE as u64).external(), asked)?;
    expect!(external.try_lock()?.set_sg_table(table) == Err(EINVAL));
    drop(locked);
    drop(exported);
    imported(device, asked)?;
    let mut locked = bo.lock()?;
    expect!(locked.state()?.pins == 0);
    expect!(locked.swap_out()? == 2);
    expect!(error(locked.export()) == Some(EINVAL));
    Ok(())
}

/// The addresses of another driver's pages, which that has mapped for the device.
fn imported(device: &Device<Test>, asked: &Arc<Asked>) -> Result {
    const ADDRESS: u64 = 0x1000;

    let theirs = object(device, None, pages(1), asked)?;
    let mut locked = theirs.lock()?;
    locked.populate()?;
    let exported = locked.export()?;
    drop(locked);
    // SAFETY: It is a table of one page, which only this uses. Its address is not used by any device.
    let table = unsafe {
        let entry = (*exported.as_ptr()).sgl;
        (*entry).dma_address = ADDRESS;
        (*entry).dma_length = PAGE as u32;
        kernel::scatterlist::SGTable::from_raw(exported.as_ptr())
    };
    let ours = object(device, None, pages(1).external(), asked)?;
    let mut locked = ours.lock()?;
    expect!(locked.set_sg_table(table) == Err(EINVAL));
    locked.populate()?;
    locked.set_sg_table(table)?;
    let run = locked.dma_run(0)?;
    expect!((run.first, run.address, run.pages) == (0, ADDRESS, 1));
    Ok(())
}

fn kept_mappings(device: &Device<Test>, asked: &Arc<Asked>) -> Result {
    let bo = object(device, None, pages(2), asked)?;
    let other = object(device, None, pages(1), asked)?;
    let mut locked = bo.lock()?;
    locked.populate()?;
    let mapping = locked.vmap_kept()?;
    let again = locked.vmap_kept()?;
    expect!(error(locked.unpopulate()) == Some(EBUSY));
    drop(locked);
    mapping.write(PAGE - 1, b"kept")?;
    let mut found = [0; 4];
    again.read(PAGE - 1, &mut found)?;
    expect!(&found == b"kept" && mapping.bytes() == 2 * PAGE);
    let guard = other.lock()?;
    let Err((EINVAL, mapping)) = mapping.unmap(&guard) else {
        pr_err!("it was unmapped by another's guard\n");
        return Err(EINVAL);
    };
    drop(guard);
    drop(again);
    let mut locked = bo.lock()?;
    expect!(error(locked.unpopulate()) == Some(EBUSY));
    expect!(mapping.unmap(&locked).is_ok());
    expect!(locked.unpopulate()? == 2);
    // One that is left when the last of the others is gone keeps the object.
    locked.populate()?;
    let last = locked.vmap_kept()?;
    drop(locked);
    drop(bo);
    last.write(0, b"x")?;
    Ok(())
}

fn evictions(device: &Device<Test>) -> Result {
    let asked = Asked::new()?;
    let part = part(&asked)?;
    let bo = Bo::new(device, None, &pages(1), part.clone())?;
    expect!(Arc::ptr_eq(&bo, &part));
    let mut locked = bo.lock()?;
    expect!(Arc::ptr_eq(&locked, &part));
    locked.populate()?;
    asked.refuses.store(1, Relaxed);
    // Whichever error it is.
    expect!(error(locked.unpopulate()) == Some(EBUSY));
    expect!(error(locked.swap_out()) == Some(EBUSY));
    expect!(asked.begun.load(Relaxed) == 2 && asked.drops.load(Relaxed) == 1);
    asked.refuses.store(0, Relaxed);
    expect!(locked.unpopulate()? == 1);
    expect!(asked.begun.load(Relaxed) == 3);
    // A mapping of the kernel's keeps the pages after the driver gave them up.
    locked.populate()?;
    let mapping = locked.vmap_kept()?;
    expect!(error(locked.unpopulate()) == Some(EBUSY));
    expect!(asked.aborted.load(Relaxed) == 1);
    expect!(mapping.unmap(&locked).is_ok());
    drop(locked);
    drop(part);
    drop(bo);
    expect!(asked.finals.load(Relaxed) == 1 && asked.dropped.load(Relaxed) == 1);
    Ok(())
}

/// What must not be called from `evict_begin` says so.
fn calls_from_ops(device: &Device<Test>) -> Result {
    let asked = Asked::new()?;
    let part = part(&asked)?;
    let bo = Bo::new(device, None, &pages(1), part.clone())?;
    *part.this.lock() = Some(bo.clone());
    let mut locked = bo.lock()?;
    locked.populate()?;
    let freed = locked.unpopulate();
    drop(locked);
    // It would stay otherwise, with its part.
    let this = part.this.lock().take();
    drop(this);
    expect!(freed == Ok(1));
    expect!(asked.called.load(Relaxed) == i64::from(EDEADLK.to_errno()));
    Ok(())
}

/// What a driver has for each object that has a lock of its own for it.
#[pin_data]
struct Guarded {
    #[pin]
    lock: Mutex<()>,
    /// The task that has it.
    holder: Atomic<usize>,
    /// How often it was tried, and taken by that.
    tried: Atomic<u64>,
}

impl Guarded {
    fn new() -> Result<Arc<Self>> {
        let this = pin_init!(Self {
            lock <- new_mutex!((), "bo_rust_own"),
            holder: Atomic::new(0),
            tried: Atomic::new(0),
        });
        Arc::pin_init(this, GFP_KERNEL)
    }

    fn current() -> usize {
        kernel::task::Task::current_raw().addr()
    }

    fn take(object: &Arc<Self>) -> Result {
        core::mem::forget(object.lock.lock());
        object.holder.store(Self::current(), Relaxed);
        Ok(())
    }

    fn try_take(object: &Arc<Self>) -> bool {
        let Some(guard) = object.lock.try_lock() else {
            return false;
        };
        core::mem::forget(guard);
        object.holder.store(Self::current(), Relaxed);
        object.tried.add(1u64, Relaxed);
        true
    }

    fn release(object: &Arc<Self>) {
        object.holder.store(0, Relaxed);
        // SAFETY: The caller has taken it, by one of the two, which left it locked.
        drop(unsafe { kernel::sync::lock::Guard::new(&object.lock, ()) });
    }

    fn is_held(object: &Arc<Self>) -> bool {
        object.holder.load(Relaxed) == Self::current()
    }
}

struct Owning;

impl Driver for Owning {
    type Object = Arc<Guarded>;

    // SAFETY: The mutex is left locked by those that take it, and unlocked by the one that releases it.
    const OWN_LOCK: Option<OwnLock<Arc<Guarded>>> = Some(unsafe {
        OwnLock::new(
            Guarded::take,
            Guarded::try_take,
            Guarded::release,
            Guarded::is_held,
        )
    });

    fn evict_begin(&self, object: &Arc<Guarded>, _: Eviction) -> Result {
        // Also in eviction.
        match Guarded::is_held(object) || object.holder.load(Relaxed) == 0 {
            true => Ok(()),
            false => Err(EBUSY),
        }
    }
}

/// The same, and it is said to be a `dma_resv`, which makes a difference to lockdep only.
struct Reserving;

impl Driver for Reserving {
    type Object = Arc<Guarded>;

    const OWN_LOCK: Option<OwnLock<Arc<Guarded>>> = match Owning::OWN_LOCK {
        Some(own) => Some(own.dma_resv()),
        None => None,
    };

    fn evict_begin(&self, object: &Arc<Guarded>, eviction: Eviction) -> Result {
        Owning.evict_begin(object, eviction)
    }
}

fn own_locks<T: Driver<Object = Arc<Guarded>>>(driver: T) -> Result {
    let device = Device::register(c"bo_rust_own", driver)?;
    let client = Client::new()?;
    let make = || Bo::new(&device, Some(&client), &pages(2), Guarded::new()?);
    let (first, second) = (make()?, make()?);
    let mut locked = first.lock()?;
    expect!(Guarded::is_held(&first));
    expect!(error(first.try_lock()) == Some(EBUSY));
    expect!(locked.populate()? == 2);
    drop(locked);
    expect!(!Guarded::is_held(&first));
    drop(first.try_lock()?);
    expect!(first.tried.load(Relaxed) == 1);

    // What makes room tries the lock of the other one, and has it while that goes.
    client.set_limit(2)?;
    expect!(second.lock()?.populate()? == 2);
    expect!(first.tried.load(Relaxed) == 2);
    let state = first.lock()?.state()?;
    expect!(state.resident == 0);

    // One that is locked is passed over.
    let mut locked = second.lock()?;
    expect!(locked.state()?.resident == 2);
    // Waiting for one lock with another one held would be no order.
    expect!(first.try_lock()?.populate()? == 2);
    expect!(locked.state()?.resident == 2);
    expect!(second.tried.load(Relaxed) == 0);
    expect!(locked.unpopulate()? == 2);
    Ok(())
}

/// Each allocation of each call fails once: nothing is left, and nothing is dropped twice.
#[cfg(CONFIG_FAULT_INJECTION)]
fn sweep(device: &Device<Test>) -> Result {
    let asked = Asked::new()?;
    let fail_nth = |nth: Option<u32>| -> u32 {
        let current = kernel::task::Task::current_raw();
        // SAFETY: Only the current task uses the field, unless it is asked for in /proc.
        unsafe {
            let left = (*current).fail_nth;
            (*current).fail_nth = nth.unwrap_or(0);
            left
        }
    };
    let client = Client::new()?;
    let bo = object(device, Some(&client), pages(3), &asked)?;
    let acts: [(&str, &dyn Fn() -> Result); 8] = [
        ("register", &|| {
            Device::register(c"bo_rust_sweep", Test).map(drop)
        }),
        ("client", &|| Client::new().map(drop)),
        ("create", &|| {
            object(device, Some(&client), pages(1), &asked).map(drop)
        }),
        ("populate", &|| bo.lock()?.populate().map(drop)),
        ("swap", &|| {
            let mut locked = bo.lock()?;
            locked.populate()?;
            locked.swap_out()?;
            locked.populate().map(drop)
        }),
        ("vmap", &|| {
            let locked = bo.lock()?;
            locked.vmap()?.write(1, &[1])?;
            locked.vmap().map(drop)
        }),
        ("export", &|| {
            let exported = bo.lock()?.export()?;
            drop(exported);
            Ok(())
        }),
        ("unpopulate", &|| bo.lock()?.unpopulate().map(drop)),
    ];
    for (name, act) in acts {
        let mut failures = 0;
        for nth in 1.. {
            let held = asked.dropped.load(Relaxed);
            fail_nth(Some(nth));
            let result = act();
            let left = fail_nth(None);
            if result.is_err() && (left != 0 || result != Err(ENOMEM)) {
                pr_err!("{name} returned {result:?} at allocation {nth}\n");
                return Err(EINVAL);
            }
            failures += u32::from(result.is_err());
            if name == "create" {
                // No part was made if its own allocation failed; no part is dropped twice.
                expect!(asked.dropped.load(Relaxed) - held <= 1);
            }
            if left != 0 {
                break;
            }
        }
        pr_info!("{name}: {failures} failures\n");
    }
    expect!(bo.lock()?.state()?.pins == 0);
    drop(bo);
    expect!(client.stats()?.objects == 0);
    Ok(())
}

impl kernel::Module for Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        devices()?;
        let device = Device::register(c"bo_rust", Test)?;
        let asked = Asked::new()?;
        descriptors(&device, &asked)?;
        clients(&device, &asked)?;
        locks(&device, &asked)?;
        content(&device, &asked)?;
        pins(&device, &asked)?;
        kept_mappings(&device, &asked)?;
        evictions(&device)?;
        calls_from_ops(&device)?;
        own_locks(Owning)?;
        own_locks(Reserving)?;
        #[cfg(CONFIG_FAULT_INJECTION)]
        sweep(&device)?;
        pr_info!("all calls returned as documented\n");
        Ok(Self)
    }
}
