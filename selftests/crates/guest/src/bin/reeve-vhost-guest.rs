// SPDX-License-Identifier: GPL-2.0-or-later

//! The guest's side of the vhost-user flows with Reeve: makes objects, says where their pages are, and checks them
//! when it is told to.
//!
//! A line for each fact on standard output. A word in the object `mail`, which only the back end outside writes, tells
//! it to go on: so the back end's writes are seen, wherever the guest runs by then.

use std::io::Error;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use reeve_uapi::knobs;
use reeve_uapi::pattern::Pattern;
use reeve_uapi::sys;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;
use reeve_uapi::Mapping;

const PAGE: usize = 4096;

/// What the word in `mail` says.
const SHOW: u64 = 1;
const CHECK: u64 = 2;

/// Pages that a thread keeps writing, so that a migration has rounds. None is zero.
const BUSY_PAGES: usize = 512;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// An object, filled and mapped; the pattern's seed is its place in the list.
struct Object {
    name: &'static str,
    handle: Handle,
    mapping: Mapping,
    pages: usize,
}

/// What is mapped: small pages, a block of 2 MiB, pages in a shmem file, and those that the back end writes.
const OBJECTS: [(&str, usize); 5] = [
    ("small", 5),
    ("huge", 512),
    ("shmem", 4),
    ("strong", 4),
    ("mail", 1),
];

/// The seed and the pages of the object that is swapped out meanwhile.
const SWAPPED: (u64, usize) = (100, 70);

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("error {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool> {
    let device = Device::open(reeve_uapi::DEFAULT_PATH)?;
    let mut objects = Vec::new();
    for (seed, (name, pages)) in OBJECTS.into_iter().enumerate() {
        let create = Create::new((pages * PAGE) as u64).dma_addresses();
        let create = if name == "shmem" {
            create.shmem()
        } else {
            create
        };
        let handle = device.create(create)?;
        device.write(handle, 0, &Pattern::new(seed as u64).bytes(pages * PAGE))?;
        // What is swapped out has no place that could be told.
        device.pin(handle)?;
        let mapping = device.map(handle)?;
        mapping.touch();
        objects.push(Object {
            name,
            handle,
            mapping,
            pages,
        });
    }
    let find = |name: &str| {
        let object = objects.iter().find(|object| object.name == name);
        object.ok_or_else(|| Error::other(format!("no object {name}")))
    };
    let (strong, mail) = (find("strong")?, find("mail")?);
    for page in 0..strong.pages {
        strong.mapping.write(page * PAGE, &[9; PAGE]);
    }
    mail.mapping.write(0, &0_u64.to_ne_bytes());

    let (seed, pages) = SWAPPED;
    let swapped = device.create(Create::new((pages * PAGE) as u64))?;
    device.write(swapped, 0, &Pattern::new(seed).bytes(pages * PAGE))?;
    if device.swapout(swapped)? != pages as u64 {
        return Err("the object to swap out was not swapped out".into());
    }

    let logged = Logged::new(&device)?;
    for object in &objects {
        for page in 0..object.pages {
            // Without an IOMMU, the address for the device is the guest-physical one. (/proc/self/pagemap shows
            // nothing of mappings without struct pages.)
            let (place, _) = device.dma_address(object.handle, page as u64)?;
            println!("page {} {page} {place:#x}", object.name);
        }
    }
    thread::spawn(keep_busy);
    println!("ready");

    loop {
        let mut word = [0; 8];
        mail.mapping.read(0, &mut word);
        match u64::from_ne_bytes(word) {
            SHOW => {
                show(strong);
                mail.mapping.write(0, &0_u64.to_ne_bytes());
                println!("shown");
            }
            CHECK => break,
            _ => thread::sleep(Duration::from_millis(5)),
        }
    }
    show(strong);
    let mut good = true;
    for (name, result) in [
        ("objects", contents(&device, &objects)),
        ("swapped-out object", holds(&device, swapped, seed, pages)),
        ("accounting", accounting()),
        ("lock sanity suite", sanity(&device)),
        ("module", module(&device)),
        ("dirty log", logged.goes_on(&device)),
    ] {
        match result {
            Ok(()) => println!("check ok {name}"),
            Err(why) => {
                good = false;
                println!("check FAILED {name}: {why}");
            }
        }
    }
    println!("done");
    Ok(good)
}

/// Writes pages of ordinary memory for ever.
fn keep_busy() {
    let mut memory = vec![1_u32; BUSY_PAGES * PAGE / 4];
    loop {
        for page in memory.chunks_mut(PAGE / 4) {
            page[0] = page[0].wrapping_add(2);
        }
        std::hint::black_box(&mut memory);
    }
}

/// Prints the first byte of each page of the object that the back end writes.
fn show(strong: &Object) {
    let bytes: Vec<String> = (0..strong.pages)
        .map(|page| {
            let mut bytes = [0; 8];
            strong.mapping.read(page * PAGE, &mut bytes);
            bytes[0].to_string()
        })
        .collect();
    println!("strong {}", bytes.join(" "));
}

fn contents(device: &Device, objects: &[Object]) -> Result<()> {
    for (seed, object) in objects.iter().enumerate() {
        if ["strong", "mail"].contains(&object.name) {
            continue;
        }
        let pattern = Pattern::new(seed as u64);
        if let Some(at) = pattern.mismatch(0, &object.mapping.bytes()) {
            return Err(format!("{} differs at {at} in its mapping", object.name).into());
        }
        holds(device, object.handle, seed as u64, object.pages)?;
    }
    Ok(())
}

fn holds(device: &Device, handle: Handle, seed: u64, pages: usize) -> Result<()> {
    let mut found = vec![0; pages * PAGE];
    device.read(handle, 0, &mut found)?;
    match Pattern::new(seed).mismatch(0, &found) {
        None => Ok(()),
        Some(at) => Err(format!("the object of seed {seed} differs at {at}").into()),
    }
}

/// An object with a dirty log that is on while the machine moves, and a mapping of it.
struct Logged {
    handle: Handle,
    mapping: Mapping,
}

impl Logged {
    const PAGES: u64 = 70;
    /// What is written before the machine moves.
    const BEFORE: [u64; 3] = [1, 64, 69];

    fn new(device: &Device) -> Result<Self> {
        let handle = device.create(Create::new(Self::PAGES * PAGE as u64))?;
        device.write(
            handle,
            0,
            &Pattern::new(200).bytes(Self::PAGES as usize * PAGE),
        )?;
        let mapping = device.map(handle)?;
        mapping.touch();
        device.set_log_mode(sys::REEVE_LOG_MANUAL)?;
        device.log_start(handle)?;
        let logged = Self { handle, mapping };
        logged.write(&Self::BEFORE);
        logged.is_exactly(device, &Self::BEFORE)?;
        Ok(logged)
    }

    fn write(&self, pages: &[u64]) {
        for page in pages {
            self.mapping.write(*page as usize * PAGE, &[1; 8]);
        }
    }

    fn is_exactly(&self, device: &Device, pages: &[u64]) -> Result<()> {
        let mut bits = [0; 2];
        device.log_get(self.handle, Self::PAGES, &mut bits)?;
        let is_set = |page: &u64| bits[(page / 64) as usize] >> (page % 64) & 1 != 0;
        let dirty: Vec<u64> = (0..Self::PAGES).filter(is_set).collect();
        if dirty == pages {
            return Ok(());
        }
        Err(format!("pages {dirty:?} are dirty and not {pages:?}").into())
    }

    /// What was dirty is, nothing else is; what is written shows; what is cleared does not, until it is written again.
    fn goes_on(&self, device: &Device) -> Result<()> {
        self.is_exactly(device, &Self::BEFORE)?;
        self.write(&[2]);
        device.write(self.handle, 3 * PAGE as u64, &[5; 8])?;
        self.is_exactly(device, &[1, 2, 3, 64, 69])?;
        device.log_clear(self.handle, 0, 64, &[1 << 1 | 1 << 2])?;
        self.is_exactly(device, &[3, 64, 69])?;
        self.write(&[1, 64]);
        self.is_exactly(device, &[1, 3, 64, 69])
    }
}

fn accounting() -> Result<()> {
    let lines = knobs::accounting()?;
    match lines.iter().find(|(name, _)| name == "self_check") {
        Some((_, said)) if said == "ok" => Ok(()),
        found => Err(format!("self_check is {found:?}").into()),
    }
}

fn sanity(device: &Device) -> Result<()> {
    let suite = device.lock_sanity()?;
    if suite.results().is_empty() {
        return Err("it ran no case".into());
    }
    match suite.results().iter().find(|case| !case.passed()) {
        None => Ok(()),
        Some(case) => Err(format!("{} failed", case.name_text()).into()),
    }
}

fn module(device: &Device) -> Result<()> {
    if !knobs::loaded() {
        return Err("it is not loaded".into());
    }
    match device.stats()?.lock_violations {
        0 => Ok(()),
        violations => Err(format!("{violations} lock violations").into()),
    }
}
