// SPDX-License-Identifier: GPL-2.0-or-later

//! Finds clients in `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::fdinfo::FdInfo;

/// An open file of a driver, with every process that has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Client {
    pub(crate) driver: String,
    /// The device, where the driver says so.
    pub(crate) pdev: Option<String>,
    pub(crate) client: u64,
    pub(crate) total_bytes: u64,
    pub(crate) resident_bytes: u64,
    pub(crate) swapped_bytes: u64,
    /// Null for drivers that do not say.
    pub(crate) objects: Option<u64>,
    /// Bytes as the driver calls them.
    pub(crate) sizes: BTreeMap<String, u64>,
    /// By process id.
    pub(crate) processes: Vec<Process>,
}

/// A process that has a client open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) comm: String,
    /// Its path in the hierarchy of version 2; null without one.
    pub(crate) cgroup: Option<String>,
    /// Its descriptors of the client.
    pub(crate) fds: Vec<u32>,
}

/// What there is.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    /// Those that hold the most first.
    pub(crate) clients: Vec<Client>,
    /// The number of processes whose files could not be looked at.
    pub(crate) unreadable: usize,
}

/// Returns the clients of all processes in `proc`. A process that ends meanwhile is left out.
///
/// A client is counted once, however many descriptors of it there are, and in however many processes: the driver's name
/// and the number that it gives are what tells clients apart, with the device for drivers that number by device.
pub(crate) fn scan(proc: &Path) -> io::Result<Clients> {
    let mut pids: Vec<u32> = fs::read_dir(proc)?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    let mut found = Clients::default();
    let mut index: BTreeMap<(String, Option<String>, u64), usize> = BTreeMap::new();
    for pid in pids {
        let dir = proc.join(pid.to_string());
        let files = match open_files(&dir) {
            Ok(files) => files,
            Err(err) if err.kind() == io::ErrorKind::PermissionDenied => {
                found.unreadable += 1;
                continue;
            }
            // It has ended.
            Err(_) => continue,
        };
        for (fd, info) in files {
            let key = (info.driver.clone(), info.pdev.clone(), info.client);
            let at = *index.entry(key).or_insert_with(|| {
                found.clients.push(client(info));
                found.clients.len() - 1
            });
            let processes = &mut found.clients[at].processes;
            match processes.last_mut() {
                Some(last) if last.pid == pid => last.fds.push(fd),
                _ => processes.push(process(&dir, pid, fd)),
            }
        }
    }
    found.clients.sort_by_key(|client| {
        (
            u64::MAX - client.resident_bytes,
            u64::MAX - client.total_bytes,
        )
    });
    Ok(found)
}

/// Returns the descriptors of a process that are clients.
fn open_files(dir: &Path) -> io::Result<Vec<(u32, FdInfo)>> {
    let mut files: Vec<(u32, FdInfo)> = fs::read_dir(dir.join("fdinfo"))?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let fd = entry.file_name().to_str()?.parse().ok()?;
            Some((fd, FdInfo::parse(&fs::read_to_string(entry.path()).ok()?)?))
        })
        .collect();
    files.sort_unstable_by_key(|(fd, _)| *fd);
    Ok(files)
}

fn client(info: FdInfo) -> Client {
    // Older drivers call it so.
    let resident = if info.has("resident") {
        "resident"
    } else {
        "memory"
    };
    let resident_bytes = info.sum(resident);
    Client {
        total_bytes: info.sum("total").max(resident_bytes),
        resident_bytes,
        swapped_bytes: info.sum("swapped").saturating_add(info.sum("backed-up")),
        objects: info.objects,
        driver: info.driver,
        pdev: info.pdev,
        client: info.client,
        sizes: info.sizes,
        processes: Vec::new(),
    }
}

fn process(dir: &Path, pid: u32, fd: u32) -> Process {
    let text = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
    let cgroups = text("cgroup");
    let cgroup = cgroups.lines().find_map(|line| line.strip_prefix("0::"));
    Process {
        pid,
        // A command may be called anything; a table has lines.
        comm: text("comm")
            .trim_end_matches('\n')
            .escape_debug()
            .to_string(),
        cgroup: cgroup.map(str::to_owned),
        fds: vec![fd],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A `/proc` of a few files, removed when dropped.
    struct Proc(PathBuf);

    impl Proc {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("reevectl-ps-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn process(&self, pid: u32, comm: &str, fds: &[(u32, &str)]) {
            let dir = self.0.join(pid.to_string());
            fs::create_dir_all(dir.join("fdinfo")).unwrap();
            fs::write(dir.join("comm"), format!("{comm}\n")).unwrap();
            fs::write(dir.join("cgroup"), format!("1:cpu:/\n0::/user/{comm}\n")).unwrap();
            for (fd, text) in fds {
                fs::write(dir.join("fdinfo").join(fd.to_string()), text).unwrap();
            }
        }
    }

    impl Drop for Proc {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn reeve(client: u64, kib: u64) -> String {
        format!(
            "drm-driver:\treeve\ndrm-client-id:\t{client}\ndrm-total-system:\t{kib} KiB\n\
             drm-resident-system:\t{kib} KiB\nreeve-swapped-system:\t4 KiB\nreeve-backed-up-system:\t8 KiB\n\
             reeve-objects:\t1\n"
        )
    }

    #[test]
    fn a_client_counts_once() {
        let proc = Proc::new("once");
        let (one, two) = (reeve(1, 100), reeve(2, 300));
        proc.process(30, "passed", &[(9, &one)]);
        proc.process(
            4,
            "maker",
            &[(3, &one), (0, "pos:\t0\n"), (10, &one), (11, &two)],
        );
        proc.process(5, "other", &[(0, "pos:\t0\n")]);
        fs::create_dir_all(proc.0.join("self")).unwrap();
        let found = scan(&proc.0).unwrap();
        assert_eq!((found.clients.len(), found.unreadable), (2, 0));
        let [two, one] = &found.clients[..] else {
            panic!()
        };
        assert_eq!((two.client, two.resident_bytes), (2, 300 << 10));
        assert_eq!(
            (one.client, one.resident_bytes, one.swapped_bytes),
            (1, 100 << 10, 12 << 10)
        );
        let holders: Vec<_> = one
            .processes
            .iter()
            .map(|p| (p.pid, p.comm.as_str(), &p.fds[..]))
            .collect();
        assert_eq!(
            holders,
            [(4, "maker", &[3, 10][..]), (30, "passed", &[9][..])]
        );
        assert_eq!(one.processes[0].cgroup.as_deref(), Some("/user/maker"));
    }

    #[test]
    fn clients_of_other_drivers_are_told_apart() {
        let proc = Proc::new("drivers");
        let amd = |pdev: &str| {
            format!("drm-driver:\tamdgpu\ndrm-pdev:\t{pdev}\ndrm-client-id:\t1\ndrm-memory-vram:\t1 MiB\n")
        };
        let (first, second) = (amd("0000:03:00.0"), amd("0000:04:00.0"));
        proc.process(1, "a", &[(3, &first), (4, &second), (5, &reeve(1, 1))]);
        let found = scan(&proc.0).unwrap();
        assert_eq!(found.clients.len(), 3);
        assert_eq!(
            (
                found.clients[0].resident_bytes,
                found.clients[0].total_bytes
            ),
            (1 << 20, 1 << 20)
        );
    }

    #[test]
    fn a_comm_stays_in_its_line() {
        let proc = Proc::new("comm");
        proc.process(1, "a\nb\x1b[2J", &[(3, &reeve(1, 1))]);
        let found = scan(&proc.0).unwrap();
        assert_eq!(found.clients[0].processes[0].comm, r"a\nb\u{1b}[2J");
    }
}
