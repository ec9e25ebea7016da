// SPDX-License-Identifier: GPL-2.0-or-later
//! A vhost-user back end: a network card or a disk, one client after the other, until SIGTERM.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use reeve_vhost_user::backend::Backend;
use reeve_vhost_user::broken::Broken;
use reeve_vhost_user::device::{Device, Kind};
use reeve_vhost_user::features::{Feature, ALL};
use reeve_vhost_user::server::{terminated, Control, Observer, Server, Silent};
use reeve_vhost_user::trace::Trace;

/// A vhost-user back end: a network card or a disk, one client after the other, until SIGTERM.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Listen on this socket.
    #[arg(long)]
    socket: PathBuf,
    /// Be this device.
    #[arg(long, value_enum)]
    device: Kind,
    /// Do not offer a feature, by its name in the protocol; may be repeated.
    #[arg(long, value_name = "FEATURE", value_parser = feature)]
    without: Vec<Feature>,
    /// Print each message with its file descriptors and the time.
    #[arg(long)]
    trace: bool,
    /// net: send back what is sent.
    #[arg(long)]
    echo: bool,
    /// blk: use this file's content as the image, in memory; the file is not written.
    #[arg(long, value_name = "FILE", conflicts_with = "mib")]
    image: Option<PathBuf>,
    /// blk: the size of an image that is a pattern, in MiB.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    mib: u32,
    /// Make a mistake, for tests of the tests.
    #[arg(long, value_enum, hide = true)]
    broken: Option<Broken>,
}

fn feature(name: &str) -> Result<Feature, String> {
    let names = || ALL.iter().map(|f| f.name).collect::<Vec<_>>().join(", ");
    Feature::by_name(name).ok_or_else(|| format!("choose one of {}", names()))
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("reeve-vhost-peer: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    let stop = terminated()?;
    let device = match cli.device {
        Kind::Net => Device::net(cli.echo),
        Kind::Blk => Device::blk(image(cli)?),
    };
    let offer = cli
        .without
        .iter()
        .fold(device.features(), |set, f| set.without(*f));
    let server = Server::new(&cli.socket)?;
    let control = Control {
        stop,
        actions: None,
    };
    let mut observer: Box<dyn Observer> = match cli.trace {
        true => Box::new(Trace),
        false => Box::new(Silent),
    };
    let backend = Backend::new(device, offer, cli.broken);
    Ok(server.run(backend, &control, observer.as_mut())?)
}

fn image(cli: &Cli) -> Result<Vec<u8>> {
    if let Some(file) = &cli.image {
        let shown = file.display();
        let mut image = std::fs::read(file).with_context(|| format!("cannot read {shown}"))?;
        image.resize(image.len().next_multiple_of(512), 0);
        return Ok(image);
    }
    Ok(Device::pattern(cli.mib as usize))
}
