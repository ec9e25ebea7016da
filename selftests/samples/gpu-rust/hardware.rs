// SPDX-License-Identifier: GPL-2.0

//! The hardware of the sample, which is no part of a driver: a card that can reach all memory, and its
//! engine, a kernel thread that reads a page table of bus addresses after a delay.

use kernel::{
    bindings,
    device,
    error::{
        from_err_ptr,
        to_result, //
    },
    faux,
    ffi::{
        c_int,
        c_void, //
    },
    new_condvar,
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc,
        Completion,
        CondVar,
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// Entries that the engine found empty: each would be a fault of a real one.
pub(crate) static FAULTS: Atomic<u64> = Atomic::new(0);

/// An entry of a page table that leads nowhere.
const NOTHING: u64 = u64::MAX;

/// The card's place in the machine.
pub(crate) struct Card(faux::Registration);

impl Card {
    /// Plugs it in.
    pub(crate) fn new(name: &CStr) -> Result<Self> {
        let card = Self(faux::Registration::new(name, None)?);
        // `Device` is a transparent wrapper of the C struct in an `Opaque`.
        let dev = core::ptr::from_ref(card.device())
            .cast_mut()
            .cast::<bindings::device>();
        // SAFETY: It was registered just now, so only this knows it, and nothing is mapped for it. Its
        // mask stays where it is.
        to_result(unsafe {
            (*dev).dma_mask = &raw mut (*dev).coherent_dma_mask;
            bindings::dma_set_mask_and_coherent(dev, u64::MAX)
        })?;
        Ok(card)
    }

    /// Returns its device.
    pub(crate) fn device(&self) -> &device::Device<device::Bound> {
        let faux: &faux::Device<device::Bound> = self.0.as_ref();
        faux.as_ref()
    }
}

/// A page table.
pub(crate) struct PageTable(KVVec<Atomic<u64>>);

impl PageTable {
    /// Makes one of so many pages, all of which lead nowhere.
    pub(crate) fn new(pages: usize) -> Result<Self> {
        let mut entries = KVVec::with_capacity(pages, GFP_KERNEL)?;
        for _ in 0..pages {
            entries.push(Atomic::new(NOTHING), GFP_KERNEL)?;
        }
        Ok(Self(entries))
    }

    /// Lets a page lead to this bus address.
    pub(crate) fn set(&self, page: u64, address: u64) -> Result {
        let entry = self.0.get(usize::try_from(page)?).ok_or(EINVAL)?;
        entry.store(address, Relaxed);
        Ok(())
    }

    /// Lets all pages lead nowhere.
    pub(crate) fn clear(&self) {
        for entry in &self.0 {
            entry.store(NOTHING, Relaxed);
        }
    }
}

/// A job of the engine: to sum up the bytes that a page table leads to.
#[pin_data]
pub(crate) struct Job {
    table: Arc<PageTable>,
    /// How long it takes, in ms.
    delay: u64,
    sum: Atomic<u64>,
    has_ended: Atomic<u64>,
    #[pin]
    end: Completion,
}

impl Job {
    /// Makes one that takes `delay` ms.
    pub(crate) fn new(table: Arc<PageTable>, delay: u64) -> Result<Arc<Self>> {
        let job = pin_init!(Self {
            table,
            delay,
            sum: Atomic::new(0),
            has_ended: Atomic::new(0),
            end <- Completion::new(),
        });
        Arc::pin_init(job, GFP_KERNEL)
    }

    /// Returns whether it has ended: whether its fence is signalled.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Acquire) != 0
    }

    /// Waits until it has ended, and returns the sum.
    pub(crate) fn wait(&self) -> u64 {
        self.end.wait_for_completion();
        self.sum.load(Relaxed)
    }

    fn run(&self) {
        if let Ok(delay) = i64::try_from(self.delay) {
            fsleep(Delta::from_millis(delay));
        }
        let mut sum = 0u64;
        for entry in &self.table.0 {
            match entry.load(Relaxed) {
                NOTHING => FAULTS.add(1u64, Relaxed),
                address => sum = sum.wrapping_add(sum_of_page(address)),
            }
        }
        self.sum.store(sum, Relaxed);
        self.has_ended.store(1, Release);
        self.end.complete_all();
    }
}

/// Sums up the bytes of a page, by its bus address. On the machines of the tests that is the physical one.
fn sum_of_page(address: u64) -> u64 {
    // SAFETY: This finds the kernel's mapping of memory, or returns null.
    let page = unsafe {
        bindings::memremap(address, PAGE_SIZE, bindings::MEMREMAP_WB as usize).cast::<u8>()
    };
    if page.is_null() {
        FAULTS.add(1u64, Relaxed);
        return 0;
    }
    let mut sum = 0;
    for at in 0..PAGE_SIZE {
        // SAFETY: It is the kernel's mapping of a page of memory; that this page is the buffer's still is
        // what the sample is to show.
        sum += u64::from(unsafe { page.add(at).read_volatile() });
    }
    // SAFETY: It was mapped above.
    unsafe { bindings::memunmap(page.cast()) };
    sum
}

/// The engine.
///
/// # Invariants
///
/// `thread` runs `run` with `queue`, and ends no earlier than `kthread_stop()` is called.
pub(crate) struct Engine {
    thread: *mut bindings::task_struct,
    queue: Arc<Queue>,
}

// SAFETY: A thread may be stopped by any other.
unsafe impl Send for Engine {}
// SAFETY: Only `drop` uses the thread.
unsafe impl Sync for Engine {}

#[pin_data]
struct Queue {
    #[pin]
    state: Mutex<QueueState>,
    #[pin]
    changed: CondVar,
}

struct QueueState {
    jobs: KVec<Arc<Job>>,
    ends: bool,
}

impl Engine {
    /// Starts it.
    pub(crate) fn start() -> Result<Self> {
        let queue = pin_init!(Queue {
            state <- new_mutex!(QueueState {
                jobs: KVec::new(),
                ends: false,
            }),
            changed <- new_condvar!(),
        });
        let queue = Arc::pin_init(queue, GFP_KERNEL)?;
        let data = Arc::as_ptr(&queue).cast_mut().cast::<c_void>();
        // SAFETY: The thread uses the queue only until it has been stopped, and it is dropped after that.
        let thread = unsafe {
            bindings::kthread_create_on_node(
                Some(run),
                data,
                bindings::NUMA_NO_NODE,
                c"reeve_gpu_rust".as_char_ptr(),
            )
        };
        let thread = from_err_ptr(thread)?;
        // SAFETY: The thread was created just now, and nothing stops it.
        unsafe { bindings::wake_up_process(thread) };
        // INVARIANT: It runs now.
        Ok(Self { thread, queue })
    }

    /// Gives it a job.
    pub(crate) fn submit(&self, job: Arc<Job>) -> Result {
        self.queue.state.lock().jobs.push(job, GFP_KERNEL)?;
        self.queue.changed.notify_one();
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.queue.state.lock().ends = true;
        self.queue.changed.notify_all();
        // SAFETY: By the type invariant the thread is there until this.
        unsafe { bindings::kthread_stop(self.thread) };
    }
}

/// # Safety
///
/// `queue` is a `Queue`, until the thread that runs this is stopped.
unsafe extern "C" fn run(queue: *mut c_void) -> c_int {
    // SAFETY: By the contract.
    let queue = unsafe { &*queue.cast::<Queue>() };
    let mut state = queue.state.lock();
    loop {
        if let Ok(job) = state.jobs.remove(0) {
            drop(state);
            job.run();
            drop(job);
            state = queue.state.lock();
        } else if state.ends {
            break;
        } else {
            // No signal reaches a kernel thread.
            let _ = queue.changed.wait_interruptible(&mut state);
        }
    }
    drop(state);
    // SAFETY: This is a kernel thread.
    while !unsafe { bindings::kthread_should_stop() } {
        fsleep(Delta::from_millis(1));
    }
    0
}
