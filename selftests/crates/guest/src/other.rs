// SPDX-License-Identifier: GPL-2.0-or-later

//! The other guest: does what the cases of the suite `two-guests` ask for over TCP, on a module of its own.
//!
//! A request is a line of JSON, and so is its answer. What a request leaves (an open file, a reevectl that runs) is there
//! for the next one, also when that comes over another connection.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::process::Command;
use std::process::ExitCode;
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use serde_json::Value;

use reeve_uapi::knobs;
use reeve_uapi::pattern::Checksum;
use reeve_uapi::Device;
use reeve_uapi::Handle;

use crate::beside::keep;
use crate::beside::Beside;
use crate::seen::open;
use crate::seen::until;
use crate::seen::PAGE;
use crate::test::check;
use crate::test::Outcome;
use crate::test::Stop;

/// First argument that makes this program the other guest.
pub(crate) const FLAG: &str = "--other";

/// The network device of the guests.
pub(crate) const LINK: &str = "eth0";

/// How long one guest waits for the other: their kernels may boot at different times.
const PATIENCE: Duration = Duration::from_secs(100);

/// `--other IP:PORT`: serves there until it is told that it is over.
pub(crate) fn main(args: &[String]) -> ExitCode {
    match args {
        [address] => match serve(address) {
            Ok(()) => ExitCode::SUCCESS,
            Err(stop) => {
                eprintln!("the other guest: {stop:?}");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!("usage: {FLAG} IP:PORT");
            ExitCode::from(2)
        }
    }
}

/// What is there between two requests.
struct Served {
    device: Device,
    running: Option<Beside>,
}

fn serve(address: &str) -> Outcome {
    let listener = TcpListener::bind(address)?;
    let mut served = Served {
        device: open()?,
        running: None,
    };
    loop {
        let (connection, _) = listener.accept()?;
        // A caller whose link is dead comes again.
        if served.talk(connection).unwrap_or(false) {
            return Ok(());
        }
    }
}

impl Served {
    /// Serves a connection to its end. Returns whether that was all.
    fn talk(&mut self, connection: TcpStream) -> Outcome<bool> {
        connection.set_nodelay(true)?;
        let mut answers = connection.try_clone()?;
        for line in BufReader::new(connection).lines() {
            let line = line?;
            println!("# {line}");
            let request: Value = parsed(&line)?;
            let answer = self
                .answer(&request)
                .unwrap_or_else(|stop| json!({ "stopped": format!("{stop:?}") }));
            writeln!(answers, "{answer}")?;
            if request["do"] == "leave" {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn answer(&mut self, request: &Value) -> Outcome<Value> {
        let text = |field: &str| request[field].as_str().unwrap_or_default();
        match text("do") {
            // A new open file, without any object.
            "open" => {
                self.device = open()?;
                Ok(Value::Null)
            }
            "gauges" => gauges(&self.device),
            "objects" => objects(&self.device),
            "word" => {
                let field = |name: &str| request[name].as_u64().unwrap_or_default();
                let mut word = [0; 8];
                let handle = Handle::new(field("handle") as u32);
                self.device.read(handle, field("offset"), &mut word)?;
                Ok(json!(u64::from_le_bytes(word)))
            }
            "limit" => {
                let pages = request["pages"].as_u64().unwrap_or_default();
                self.device.set_file_limit(pages)?;
                Ok(Value::Null)
            }
            "receive" => {
                let receiver = Beside::receiver(&self.device, text("address"), text("args"))?;
                keep(&self.device)?;
                self.running = Some(receiver);
                Ok(Value::Null)
            }
            "send" => {
                let args = format!("migrate send {} {}", text("address"), text("args"));
                let sender = Beside::start(&self.device, &args)?;
                keep(&self.device)?;
                self.running = Some(sender);
                Ok(Value::Null)
            }
            "kill" => {
                self.running()?.signal(Signal::SIGKILL)?;
                Ok(Value::Null)
            }
            // How the reevectl ended.
            "end" => {
                let running = self.running.take();
                let run = running.ok_or_else(|| Stop::failed("nothing runs"))?.end()?;
                Ok(json!({ "code": run.code, "out": run.out, "err": run.err }))
            }
            // The link is dead from the answer on, for so many seconds.
            "link down" => {
                let seconds = request["seconds"].as_u64().unwrap_or_default();
                thread::spawn(move || {
                    // The answer is on its way.
                    thread::sleep(Duration::from_millis(200));
                    let _ = link("down");
                    thread::sleep(Duration::from_secs(seconds));
                    let _ = link("up");
                });
                Ok(Value::Null)
            }
            "leave" => Ok(Value::Null),
            other => Err(Stop::failed(format!("no request {other:?}"))),
        }
    }

    fn running(&self) -> Outcome<&Beside> {
        self.running
            .as_ref()
            .ok_or_else(|| Stop::failed("nothing runs"))
    }
}

/// Switches this guest's side of the link up or down.
fn link(state: &str) -> Outcome {
    let status = Command::new("ip")
        .args(["link", "set", LINK, state])
        .status()?;
    check!(status.success(), "ip link set {LINK} {state}: {status}");
    Ok(())
}

fn parsed(line: &str) -> Outcome<Value> {
    serde_json::from_str(line).map_err(|err| Stop::failed(format!("{err} in {line}")))
}

/// What has to be as before once everything is over.
pub(crate) fn gauges(device: &Device) -> Outcome<Value> {
    let stats = device.stats()?;
    let accounting = knobs::accounting()?;
    let check = accounting.iter().find(|(name, _)| name == "self_check");
    Ok(json!({
        "pages_allocated": stats.pages_allocated,
        "dma32_pages_allocated": stats.dma32_pages_allocated,
        "buffer_objects": stats.buffer_objects,
        "lock_violations": stats.lock_violations,
        "self_check": check.map(|(_, text)| text),
        "dirty_logs": knobs::debugfs("dirty_logs")?.lines().skip(1).count(),
    }))
}

/// Every object of the open file: what it is, and a checksum of each of its pages.
pub(crate) fn objects(device: &Device) -> Outcome<Value> {
    let mut all = Vec::new();
    for info in device.list()? {
        let bytes = device.map(info.handle())?.bytes();
        all.push(json!({
            "handle": info.handle,
            "size": info.size,
            "type": info.type_,
            "caching": info.caching,
            "shmem": info.is(reeve_uapi::sys::REEVE_BO_SHMEM),
            "logging": info.is(reeve_uapi::sys::REEVE_BO_LOGGING),
            "sums": sums(&bytes),
        }));
    }
    Ok(Value::Array(all))
}

/// A checksum for each page.
pub(crate) fn sums(bytes: &[u8]) -> Vec<u64> {
    let sum = |page: &[u8]| {
        let mut sum = Checksum::new();
        sum.add(page);
        sum.get()
    };
    bytes.chunks(PAGE as usize).map(sum).collect()
}

/// The connection of a case to the other guest.
pub(crate) struct Other {
    address: SocketAddr,
    requests: TcpStream,
    answers: BufReader<TcpStream>,
}

impl Other {
    /// Calls it where `REEVE_OTHER` says. The case is skipped if that says nothing.
    pub(crate) fn call() -> Outcome<Self> {
        let text = std::env::var("REEVE_OTHER")
            .map_err(|_| Stop::skipped("REEVE_OTHER=IP:PORT of another guest is not given"))?;
        let address =
            SocketAddr::from_str(&text).map_err(|err| Stop::failed(format!("{err}: {text}")))?;
        Self::at(address)
    }

    fn at(address: SocketAddr) -> Outcome<Self> {
        let mut requests = None;
        until(PATIENCE, || {
            requests = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok();
            Ok(requests.is_some())
        })?;
        let requests = requests.ok_or_else(|| Stop::failed("the other guest does not answer"))?;
        requests.set_nodelay(true)?;
        requests.set_read_timeout(Some(PATIENCE))?;
        let answers = BufReader::new(requests.try_clone()?);
        Ok(Self {
            address,
            requests,
            answers,
        })
    }

    /// Calls it again: the link was dead.
    pub(crate) fn call_again(&mut self) -> Outcome {
        let before = std::mem::replace(self, Self::at(self.address)?);
        // Children may have inherited it, and the other guest serves one connection at a time.
        before.requests.shutdown(Shutdown::Both)?;
        Ok(())
    }

    /// Returns its address with another port.
    pub(crate) fn port(&self, port: u16) -> String {
        format!("tcp:{}", SocketAddr::new(self.address.ip(), port))
    }

    /// Asks for something. Returns the answer.
    pub(crate) fn ask(&mut self, request: Value) -> Outcome<Value> {
        writeln!(self.requests, "{request}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let answer = parsed(&line)?;
        match answer.get("stopped") {
            Some(stop) => Err(Stop::failed(format!("the other guest, {request}: {stop}"))),
            None => Ok(answer),
        }
    }
}
