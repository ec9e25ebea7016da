// SPDX-License-Identifier: GPL-2.0-or-later

//! The counters, checked against a model in user space.

use nix::errno::Errno;

use reeve_uapi::pattern::Pattern;
use reeve_uapi::sys;
use reeve_uapi::sys::reeve_stats;
use reeve_uapi::BoType;
use reeve_uapi::Create;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::random::Random;
use crate::seen::open;
use crate::seen::populated;
use crate::seen::PAGE;
use crate::test::cases;
use crate::test::check;
use crate::test::check_eq;
use crate::test::refused;
use crate::test::Outcome;

cases!("counters";
    start_at_nothing,
    default_limit_is_half_of_memory,
    dma32_limit_is_at_most_two_gib,
    sum_over_open_files,
    random_steps_match_a_model,
);

fn start_at_nothing() -> Outcome {
    let stats = open()?.stats()?;
    check_eq!(stats.pages_allocated, 0);
    check_eq!(stats.dma32_pages_allocated, 0);
    check_eq!(stats.buffer_objects, 0);
    check_eq!(stats.reserved, [0; 4]);
    Ok(())
}

/// Pages of memory that the kernel can use.
fn memory() -> Outcome<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.map_or(0, |kib| kib * 1024 / PAGE))
}

fn default_limit_is_half_of_memory() -> Outcome {
    let (limit, half) = (open()?.stats()?.pages_limit, memory()? / 2);
    // Memory that was given back after boot may be counted differently.
    check!(
        limit.abs_diff(half) <= half / 8,
        "{limit} pages, half of memory is {half}"
    );
    Ok(())
}

fn dma32_limit_is_at_most_two_gib() -> Outcome {
    let limit = open()?.stats()?.dma32_pages_limit;
    check!(limit > 0 && limit <= (2 << 30) / PAGE, "{limit} pages");
    Ok(())
}

fn sum_over_open_files() -> Outcome {
    let (one, two) = (open()?, open()?);
    populated(&one, 10)?;
    populated(&two, 20)?;
    for device in [&one, &two] {
        let stats = device.stats()?;
        check_eq!(stats.pages_allocated, 30);
        check_eq!(stats.buffer_objects, 2);
    }
    drop(one);
    check_eq!(two.stats()?.pages_allocated, 20);
    Ok(())
}

/// What the model knows of an object.
struct Model {
    handle: Handle,
    kind: BoType,
    size: u64,
    pages: u64,
    resident: bool,
    swapped: bool,
    pins: u32,
    /// Seed of its content; it is zero without one.
    seed: Option<u64>,
}

impl Model {
    fn owns(&self) -> bool {
        self.kind != BoType::Sg
    }

    fn charged(&self) -> u64 {
        if self.resident && self.owns() {
            self.pages
        } else {
            0
        }
    }
}

/// The module and the model side by side.
struct Pair {
    device: Device,
    objects: Vec<Model>,
    expected: reeve_stats,
}

impl Pair {
    fn create(&mut self, random: &mut Random) -> Outcome {
        let kind = *random.pick(&[BoType::Device, BoType::Device, BoType::Kernel, BoType::Sg]);
        let size = 1 + random.below(8 * PAGE);
        let extra = random.below(3) as u32;
        let mut create = Create::new(size).kind(kind).extra(extra);
        create.zero = kind == BoType::Device && random.below(2) == 0;
        self.objects.push(Model {
            handle: self.device.create(create)?,
            kind,
            size,
            pages: size.div_ceil(PAGE) + u64::from(extra),
            resident: false,
            swapped: false,
            pins: 0,
            seed: None,
        });
        self.expected.buffer_objects += 1;
        Ok(())
    }

    fn destroy(&mut self, index: usize) -> Outcome {
        let object = self.objects.swap_remove(index);
        self.device.destroy(object.handle)?;
        self.expected.buffer_objects -= 1;
        self.expected.unpopulates += u64::from(object.charged() > 0);
        Ok(())
    }

    /// The object becomes resident; says whether it was not before.
    fn gains(&mut self, index: usize) -> bool {
        let object = &mut self.objects[index];
        if object.resident {
            return false;
        }
        self.expected.populates += u64::from(object.owns());
        self.expected.swapins += u64::from(object.swapped);
        object.resident = true;
        object.swapped = false;
        true
    }

    fn populate(&mut self, index: usize) -> Outcome {
        let gained = self.gains(index);
        let object = &self.objects[index];
        let pages = self.device.populate(object.handle)?;
        check_eq!(pages, if gained { object.charged() } else { 0 });
        Ok(())
    }

    fn unpopulate(&mut self, index: usize) -> Outcome {
        let object = &mut self.objects[index];
        let result = self.device.unpopulate(object.handle);
        if object.pins > 0 {
            return refused(result, Errno::EBUSY);
        }
        check_eq!(result?, object.charged());
        if object.resident {
            object.resident = false;
            object.seed = None;
            self.expected.unpopulates += u64::from(object.owns());
        }
        Ok(())
    }

    fn swapout(&mut self, index: usize) -> Outcome {
        let object = &mut self.objects[index];
        let result = self.device.swapout(object.handle);
        if !object.owns() {
            return refused(result, Errno::EINVAL);
        }
        if object.pins > 0 {
            return refused(result, Errno::EBUSY);
        }
        check_eq!(result?, object.charged());
        if object.resident {
            self.expected.swapouts += 1;
            self.expected.swapped_pages += object.pages;
            object.resident = false;
            object.swapped = true;
        }
        Ok(())
    }

    fn pin(&mut self, index: usize) -> Outcome {
        let object = &mut self.objects[index];
        let result = self.device.pin(object.handle);
        if !object.resident {
            return refused(result, Errno::EINVAL);
        }
        object.pins += 1;
        Ok(result?)
    }

    fn unpin(&mut self, index: usize) -> Outcome {
        let object = &mut self.objects[index];
        let result = self.device.unpin(object.handle);
        if object.pins == 0 {
            return refused(result, Errno::EINVAL);
        }
        object.pins -= 1;
        Ok(result?)
    }

    fn write(&mut self, index: usize, seed: u64) -> Outcome {
        let object = &mut self.objects[index];
        let bytes = Pattern::new(seed).bytes(object.size as usize);
        let result = self.device.write(object.handle, 0, &bytes);
        if !object.owns() {
            return refused(result, Errno::EINVAL);
        }
        result?;
        object.seed = Some(seed);
        self.gains(index);
        Ok(())
    }

    fn read(&mut self, index: usize) -> Outcome {
        let object = &self.objects[index];
        let mut found = vec![1; object.size as usize];
        let result = self.device.read(object.handle, 0, &mut found);
        if !object.owns() {
            return refused(result, Errno::EINVAL);
        }
        result?;
        match object.seed {
            Some(seed) => check_eq!(Pattern::new(seed).mismatch(0, &found), None),
            None => check!(found.iter().all(|byte| *byte == 0)),
        }
        self.gains(index);
        Ok(())
    }

    /// Everything that can be seen is what the model says.
    fn compare(&self) -> Outcome {
        let expected = reeve_stats {
            pages_allocated: self.objects.iter().map(Model::charged).sum(),
            ..self.expected
        };
        let found = self.device.stats()?;
        // What the pool keeps belongs to no object; how much that is depends on what was there before.
        let expected = reeve_stats {
            pool_pages: found.pool_pages,
            ..expected
        };
        check_eq!(found, expected);
        for object in &self.objects {
            let info = self.device.info(object.handle)?;
            check_eq!(info.num_pages, object.pages);
            check_eq!(info.pages_charged, object.charged(), "{info:?}");
            check_eq!(info.pin_count, object.pins, "{info:?}");
            check_eq!(
                info.is(sys::REEVE_BO_POPULATED),
                object.resident,
                "{info:?}"
            );
            check_eq!(info.is(sys::REEVE_BO_SWAPPED), object.swapped, "{info:?}");
            let on_lru = object.charged() > 0 && object.pins == 0;
            check_eq!(info.is(sys::REEVE_BO_ON_LRU), on_lru, "{info:?}");
        }
        Ok(())
    }

    fn step(&mut self, random: &mut Random) -> Outcome {
        let count = self.objects.len() as u64;
        if count == 0 || (count < 8 && random.below(8) == 0) {
            return self.create(random);
        }
        let index = random.below(count) as usize;
        match random.below(16) {
            0 => self.destroy(index),
            1..=3 => self.populate(index),
            4 | 5 => self.unpopulate(index),
            6 | 7 => self.swapout(index),
            8 => self.pin(index),
            9 | 10 => self.unpin(index),
            11 | 12 => self.write(index, random.next()),
            _ => self.read(index),
        }
    }
}

fn random_steps_match_a_model() -> Outcome {
    for seed in 1..=4 {
        let device = open()?;
        let mut random = Random::new(seed);
        let expected = device.stats()?;
        let mut pair = Pair {
            device,
            objects: Vec::new(),
            expected,
        };
        for step in 0..200 {
            pair.step(&mut random)
                .and_then(|()| pair.compare())
                .map_err(|stop| stop.during(format!("seed {seed}, step {step}")))?;
        }
    }
    Ok(())
}
