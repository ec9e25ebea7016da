// SPDX-License-Identifier: GPL-2.0-or-later

//! The command line, and the help texts.

#[cfg(test)]
mod documents;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use clap::Parser;
use clap::Subcommand;
use clap::ValueEnum;

use reeve_precopy::Address;
use reeve_uapi::BoType;
use reeve_uapi::Caching;
use reeve_uapi::Handle;
use reeve_uapi::DEFAULT_PATH;

use crate::limits::Setting;
use crate::size;
use crate::size::Amount;
use crate::style::Color;
use crate::watch;

const FD_HELP: &str = "\
Buffer objects live as long as the file they were made on is open, so what one
reevectl makes is gone when it ends. To keep objects between commands, let the
shell hold the file:

    exec 3<>/dev/reeve
    reevectl --fd 3 bo create --size 1M
    reevectl --fd 3 bo list

or put several commands into one `reevectl batch`.

Exit codes: 0 success; 1 an operation or a check failed; 2 wrong usage.
`reevectl migrate --help` has more of them. With --json an error is JSON, too,
in a line on standard error.";

const MIGRATE_HELP: &str = "\
Exit codes: 0 moved; 1 this side could not do its part; 2 wrong usage;
3 cancelled, or not done within the time limit; 4 the other side refused;
5 the connection was lost; 6 only the acknowledgement was lost: the source
stays stopped and whole, and the receiver may have the objects.";

/// Heading of the options that all commands share.
const WHERE: &str = "Which device";

/// Heading of the option on colours.
const LOOK: &str = "Output";

/// Drive the Reeve kernel module.
#[derive(Debug, Parser)]
#[command(name = "reevectl", version, after_long_help = FD_HELP)]
pub(crate) struct Args {
    /// Device node to open.
    #[arg(long, value_name = "PATH", default_value = DEFAULT_PATH, global = true, help_heading = WHERE)]
    pub(crate) node: PathBuf,

    /// Use the file that is already open under this number instead of opening the node.
    #[arg(long, value_name = "N", env = "REEVE_FD", global = true, help_heading = WHERE)]
    pub(crate) fd: Option<i32>,

    /// When to use colours; auto: on a terminal, unless NO_COLOR is set.
    #[arg(long, value_name = "WHEN", value_enum, default_value = "auto", global = true, help_heading = LOOK)]
    pub(crate) color: Color,

    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Action(Action),
    /// Run commands from a file or standard input on one open file
    Batch(BatchArgs),
    /// Run the lock sanity suite and a shrink demonstration, with a verdict
    Report(ReportArgs),
    /// Show lock hierarchies, held locks and lock violations
    Locks(LocksArgs),
    /// Watch counters, limits, rates, latencies of operations and who holds memory
    Top(TopArgs),
    /// Show which processes hold memory, in Reeve and in other drivers
    Ps(PsArgs),
    /// Show or set the module's limits, in sizes
    Limits(LimitsArgs),
    /// Move objects to another open file while they are written to
    #[command(subcommand, after_long_help = MIGRATE_HELP)]
    Migrate(MigrateCommand),
}

/// The two sides of a migration.
#[derive(Debug, Subcommand)]
pub(crate) enum MigrateCommand {
    /// Move objects of this open file to a receiver, and free them here once it has them
    Send(SendArgs),
    /// Wait for a sender, and take its objects into this open file
    Receive(ReceiveArgs),
    /// Measure how much is written to objects, and say what moving them would take
    Estimate(EstimateArgs),
}

/// What to move, where to, and how.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct SendArgs {
    /// Where the receiver listens: unix:PATH, tcp:PORT on this machine, or tcp:IP:PORT.
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: Address,
    /// Objects to move [default: all of this open file].
    #[arg(value_name = "HANDLE")]
    pub(crate) handles: Vec<u32>,
    /// Process that writes to them; it is stopped by SIGSTOP. Can be given several times.
    #[arg(long, value_name = "PID", conflicts_with = "cgroup")]
    pub(crate) writer: Vec<u32>,
    /// Directory of a cgroup whose processes write to them; it is frozen.
    #[arg(long, value_name = "DIR")]
    pub(crate) cgroup: Option<PathBuf>,
    /// At the end have only writes to the objects wait; --writer and --cgroup are slowed, and not stopped.
    #[arg(long)]
    pub(crate) fence: bool,
    /// Longest time in milliseconds to send what is left with the writers stopped.
    #[arg(long, value_name = "MS", default_value_t = 300)]
    pub(crate) downtime: u64,
    /// Longest time in seconds until the writers are stopped [default: none].
    #[arg(long, value_name = "SECONDS")]
    pub(crate) time_limit: Option<u64>,
    /// What to do when it is reached.
    #[arg(long, value_enum, default_value = "cancel", requires = "time_limit")]
    pub(crate) at_limit: AtLimit,
    /// Most bytes a second, with a suffix K, M, G [default: no limit].
    #[arg(long, value_name = "SIZE", value_parser = size::parse_rate)]
    pub(crate) bandwidth: Option<u64>,
    /// Whether to get the log before the first page is sent.
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) first_sync: FirstSync,
    /// The log is cleared in chunks of 2^N pages, N from 6 to 31.
    #[arg(long, value_name = "N", default_value_t = 15)]
    pub(crate) clear_shift: u32,
    /// Seconds of silence after which the other side counts as dead.
    #[arg(long, value_name = "SECONDS", default_value_t = 8, value_parser = clap::value_parser!(u64).range(2..=3600))]
    pub(crate) silence: u64,
    /// Take up a lost connection: connect again for so long [default: not at all].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub(crate) resume: Option<u64>,
    /// Show how far it is, on standard error.
    #[arg(long)]
    pub(crate) progress: bool,
    /// Draw pages left and rates over time into a file, also of a migration that failed.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Print the statistics as JSON, also of a migration that failed.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to measure, and what to assume.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct EstimateArgs {
    /// Objects to move [default: all of this open file].
    #[arg(value_name = "HANDLE")]
    pub(crate) handles: Vec<u32>,
    /// How long to measure.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
    /// Bytes a second that the connection carries, with a suffix K, M, G.
    #[arg(long, value_name = "SIZE", default_value = "100M", value_parser = size::parse_rate)]
    pub(crate) bandwidth: u64,
    /// Longest time in milliseconds to send what is left with the writers stopped.
    #[arg(long, value_name = "MS", default_value_t = 300)]
    pub(crate) downtime: u64,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where to listen, and what to take.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct ReceiveArgs {
    /// Where to listen: unix:PATH, tcp:PORT on the loopback address, or tcp:IP:PORT.
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: Address,
    /// Most objects to take.
    #[arg(long, value_name = "N", default_value_t = 1024)]
    pub(crate) max_objects: u32,
    /// Most bytes to take, all objects together.
    #[arg(long, value_name = "SIZE", default_value = "64G", value_parser = size::parse)]
    pub(crate) max_size: u64,
    /// Seconds of silence after which the other side counts as dead.
    #[arg(long, value_name = "SECONDS", default_value_t = 8, value_parser = clap::value_parser!(u64).range(2..=3600))]
    pub(crate) silence: u64,
    /// Keep what came for so long when the connection is lost, for a sender that takes it up [default: not at all].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub(crate) resume: Option<u64>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Whether to sync first, on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FirstSync {
    /// Not if the log begins with all bits set
    Auto,
    /// Not at all: every page is sent anyway
    Never,
    /// In any case
    Always,
}

/// What to do at the time limit, on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AtLimit {
    /// Give up; the writers run on
    Cancel,
    /// Stop the writers, however much is left
    Force,
}

/// One line of a batch.
#[derive(Debug, Parser)]
#[command(name = "batch", no_binary_name = true, disable_version_flag = true)]
pub(crate) struct Line {
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: Action,
}

/// The commands that work alone and in a batch.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Run the 20 cases of the lock sanity suite (needs enable_builtin_tests=1)
    LockSanity(JsonArgs),
    /// Create, inspect and use buffer objects
    #[command(subcommand)]
    Bo(BoCommand),
    /// Swap out one buffer object per round through debugfs tt_shrink
    Shrink(ShrinkArgs),
    /// Show or set the limit on pages charged to this open file's objects
    Limit(LimitArgs),
    /// Show the module's counters and limits
    Stat(StatArgs),
    /// Show the module's version, ABI and features
    Version(JsonArgs),
}

/// Options of commands that have a form for programs.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct JsonArgs {
    /// Print JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How often to shrink.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct ShrinkArgs {
    /// Rounds; stops early when nothing is left to swap out.
    #[arg(
        short = 'n',
        long,
        alias = "times",
        value_name = "N",
        default_value_t = 1,
        conflicts_with = "all",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub(crate) count: u64,
    /// Continue until nothing is left.
    #[arg(long)]
    pub(crate) all: bool,
}

/// What the open file's limit is to be.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct LimitArgs {
    /// Limit: a size with K, M, G or T behind it, or a number of pages; 0: that of the module parameter
    /// file_pages_limit. Without it, nothing is set.
    #[arg(value_name = "SIZE", value_parser = Amount::parse)]
    pub(crate) limit: Option<Amount>,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What the module's limits are to be.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct LimitsArgs {
    /// Set limits: pages, dma32, pool, file, pinned to a size (48G) or a number of pages, objects to a number, or
    /// any to `default`.
    #[arg(long, value_name = "NAME=SIZE", num_args = 1.., value_parser = Setting::parse)]
    pub(crate) set: Vec<Setting>,
    /// Keep what is set for the next time that modprobe loads the module.
    #[arg(long, requires = "set")]
    pub(crate) persist: bool,
    /// File to keep it in.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/modprobe.d/reeve.conf",
        requires = "persist"
    )]
    pub(crate) modprobe_conf: PathBuf,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How to show the counters.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct StatArgs {
    /// Print JSON instead of a table.
    #[arg(long, group = "form")]
    pub(crate) json: bool,
    /// Print Prometheus' text format instead of a table.
    #[arg(long, group = "form")]
    pub(crate) prometheus: bool,
}

/// Whose memory to show, and how.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct PsArgs {
    /// Only clients of this driver [default: of all drivers].
    #[arg(long, value_name = "NAME")]
    pub(crate) driver: Option<String>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where a batch comes from.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct BatchArgs {
    /// One command per line, `#` starts a comment; `-` is standard input.
    #[arg(default_value = "-")]
    pub(crate) file: PathBuf,
    /// Continue after a failed line; the exit code is still that of the first failure.
    #[arg(long)]
    pub(crate) keep_going: bool,
}

/// What the report does.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct ReportArgs {
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
    /// File to write the same as JSON, too.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Run although there are buffer objects, which it may swap out.
    #[arg(long)]
    pub(crate) force: bool,
    /// Number of buffer objects to create.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub(crate) objects: u32,
    /// Size of each.
    #[arg(long, value_name = "SIZE", default_value = "1M", value_parser = size::parse)]
    pub(crate) size: u64,
    /// Limit to set during the report [default: half of what the objects need].
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) limit: Option<u64>,
}

/// What to show of the lock-order tracker, and how.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct LocksArgs {
    /// Only the registered hierarchies, with their rules.
    #[arg(long, group = "view")]
    pub(crate) hierarchies: bool,
    /// Only the locks held now, and the tasks and interrupts that hold them.
    #[arg(long, group = "view")]
    pub(crate) held: bool,
    /// Only the violations, with the locks that were held.
    #[arg(long, group = "view")]
    pub(crate) violations: bool,
    /// Which orders may be, and were, taken while which are held.
    #[arg(long, group = "view")]
    pub(crate) graph: bool,
    /// Print JSON instead of tables.
    #[arg(long, group = "form")]
    pub(crate) json: bool,
    /// Print the graph in graphviz's language.
    #[arg(long, group = "form", conflicts_with_all = ["hierarchies", "held", "violations"])]
    pub(crate) dot: bool,
    /// Draw the graph into a file, - for standard output (needs graphviz).
    #[arg(long, value_name = "FILE", group = "form", conflicts_with_all = ["hierarchies", "held", "violations"])]
    pub(crate) svg: Option<PathBuf>,
    /// Show it again every SECONDS, until interrupted.
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        default_missing_value = "1",
        value_parser = watch::parse_pause,
        conflicts_with_all = ["dot", "svg"]
    )]
    pub(crate) watch: Option<Duration>,
    /// Exit code 1 if there are violations.
    #[arg(long, requires = "violations", conflicts_with = "watch")]
    pub(crate) exit_code: bool,
    /// Exit after showing it this many times.
    #[arg(short = 'n', long, value_name = "N", requires = "watch", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
}

/// How to watch.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct TopArgs {
    /// Time between two samples, up to a day.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "1",
        value_parser = watch::parse_pause
    )]
    pub(crate) interval: Duration,
    /// Exit after this many samples instead of running until interrupted; rates need two.
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Print a line of JSON for each sample.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to do with buffer objects.
#[derive(Debug, Subcommand)]
pub(crate) enum BoCommand {
    /// Create an object without pages and print its handle
    Create(CreateArgs),
    /// List the objects of this open file
    List(JsonArgs),
    /// Show one object
    Info(InfoArgs),
    /// Give an object its pages, and its content back if it was swapped out
    Populate(Target),
    /// Drop pages and content
    Unpopulate(Target),
    /// Keep a populated object in memory; pins nest
    Pin(Target),
    /// Undo one pin
    Unpin(Target),
    /// Swap an object out: move its content to shmem and free its pages
    Swapout(Target),
    /// Move the content to the object's backup, as far as memory goes
    Backup(BackupArgs),
    /// Give an object its pages and content back from its backup
    Restore(Target),
    /// Show the DMA addresses of an object's pages
    DmaAddresses(InfoArgs),
    /// Destroy an object
    Destroy(Target),
    /// Fill an object with the pattern of a number
    Fill(PatternArgs),
    /// Compare an object with the pattern of a number; exit code 1 when it differs
    Check(PatternArgs),
    /// Copy an object's bytes to a file or standard output
    Read(ReadArgs),
    /// Copy a file or standard input into an object
    Write(WriteArgs),
    /// Have the module log which pages of an object are written to
    #[command(subcommand)]
    Log(LogCommand),
}

/// What to do with an object's dirty log.
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Give an object a log
    Start(LogStartArgs),
    /// Free its log
    Stop(Target),
    /// Show which pages were written to
    Get(InfoArgs),
    /// Forget writes to pages, so that the next one is logged again
    Clear(LogClearArgs),
    /// Show the state of its log
    Info(InfoArgs),
    /// Have writes to the object wait until this command is ended by SIGINT, SIGTERM or SIGHUP
    Fence(Target),
}

/// Which object to log, and how.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct LogStartArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// How the log works.
    #[arg(long, value_enum, default_value = "manual")]
    pub(crate) mode: LogMode,
}

/// A log's mode on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogMode {
    /// A get clears what it shows
    Legacy,
    /// Get and clear are apart
    Manual,
    /// The same, and all pages count as written to at first
    InitiallySet,
}

/// Which pages of which log.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct LogClearArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// First page, a multiple of 64.
    #[arg(long, value_name = "PAGE", default_value_t = 0)]
    pub(crate) first: u64,
    /// How many, a multiple of 64 unless they are the last ones [default: to the end].
    #[arg(long, value_name = "N")]
    pub(crate) pages: Option<u64>,
}

/// What to make.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct CreateArgs {
    /// Bytes, or with a suffix K, M, G; rounded up to whole pages.
    #[arg(long, value_parser = size::parse)]
    pub(crate) size: u64,
    /// What it is for.
    #[arg(long = "type", value_enum, default_value = "device")]
    pub(crate) kind: Kind,
    /// Clear the pages first (type device only).
    #[arg(long)]
    pub(crate) zero: bool,
    /// How its pages are cached.
    #[arg(long, value_enum, default_value = "cached")]
    pub(crate) caching: Cache,
    /// Take pages below 4 GiB (not for type sg).
    #[arg(long)]
    pub(crate) dma32: bool,
    /// Have its pages in a shmem file (caching cached only).
    #[arg(long)]
    pub(crate) shmem: bool,
    /// Have its pages mapped for the device.
    #[arg(long)]
    pub(crate) dma_addresses: bool,
    /// Have pages that can be mapped but are not counted (type sg only).
    #[arg(long)]
    pub(crate) mappable: bool,
    /// Index of the device it belongs to.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) device: u32,
    /// Pages behind the object's own.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) extra_pages: u32,
}

/// A buffer object's type on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// For user space and the device
    Device,
    /// For the driver itself
    Kernel,
    /// Pages of another driver: not counted
    Sg,
}

impl From<Kind> for BoType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Device => Self::Device,
            Kind::Kernel => Self::Kernel,
            Kind::Sg => Self::Sg,
        }
    }
}

/// How to back up what.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct BackupArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Drop the content instead
    #[arg(long, conflicts_with = "writeback")]
    pub(crate) purge: bool,
    /// Send the content on to swap at once
    #[arg(long)]
    pub(crate) writeback: bool,
}

/// Caching on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Cache {
    /// Write-back cached
    Cached,
    /// Write-combined
    Wc,
    /// Uncached
    Uc,
}

impl From<Cache> for Caching {
    fn from(cache: Cache) -> Self {
        match cache {
            Cache::Cached => Self::Cached,
            Cache::Wc => Self::WriteCombined,
            Cache::Uc => Self::Uncached,
        }
    }
}

/// Which object.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct Target {
    /// Handle as `bo create` printed it, or `last` for the newest of this batch.
    #[arg(value_name = "HANDLE", value_parser = parse_name)]
    pub(crate) name: Name,
}

/// A handle as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// The newest object of this run.
    Last,
    /// By its number.
    Handle(Handle),
}

fn parse_name(text: &str) -> Result<Name, String> {
    if text == "last" {
        return Ok(Name::Last);
    }
    match text.parse() {
        Ok(number) => Ok(Name::Handle(Handle::new(number))),
        Err(_) => Err("a handle is a number, or `last`".to_owned()),
    }
}

/// Which object to show, and how.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

/// Which object and which pattern.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct PatternArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Number of the pattern.
    #[arg(long, value_name = "N")]
    pub(crate) pattern: u64,
}

/// What to read.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct ReadArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// First byte.
    #[arg(long, value_parser = size::parse, default_value = "0")]
    pub(crate) offset: u64,
    /// Bytes [default: to the end].
    #[arg(long, value_parser = size::parse)]
    pub(crate) length: Option<u64>,
    /// File to write; `-` is standard output.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(crate) output: PathBuf,
}

/// What to write.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct WriteArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// First byte.
    #[arg(long, value_parser = size::parse, default_value = "0")]
    pub(crate) offset: u64,
    /// File to read; `-` is standard input.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(crate) input: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn definitions_are_sound() {
        Args::command().debug_assert();
        Line::command().debug_assert();
    }

    #[test]
    fn create_knows_its_options() {
        let line =
            "reevectl --fd 3 bo create --size 4M --type kernel --device 2 --extra-pages 1 --zero";
        let args = parse(line).unwrap();
        assert_eq!(args.fd, Some(3));
        let Command::Action(Action::Bo(BoCommand::Create(create))) = args.command else {
            panic!("{args:?}");
        };
        assert_eq!(
            (create.size, create.kind, create.device),
            (4 << 20, Kind::Kernel, 2)
        );
        assert_eq!((create.extra_pages, create.zero), (1, true));
    }

    /// What an option is: its value's name, and its short form.
    type Meaning = (String, Option<char>);

    fn collect(command: &clap::Command, path: &str, all: &mut Vec<(String, String, Meaning)>) {
        for argument in command
            .get_arguments()
            .filter(|argument| !argument.is_global_set())
        {
            let Some(long) = argument.get_long() else {
                assert!(argument.is_positional(), "{path}: {argument}");
                continue;
            };
            let value = match argument.get_action().takes_values() {
                true => format!("{:?}", argument.get_value_names()),
                false => "flag".to_owned(),
            };
            all.push((
                long.to_owned(),
                path.to_owned(),
                (value, argument.get_short()),
            ));
        }
        for below in command.get_subcommands() {
            collect(below, &format!("{path} {}", below.get_name()), all);
        }
    }

    /// An option takes the same in all commands, and has the same letter; a letter is one option.
    #[test]
    fn flags_mean_the_same_everywhere() {
        let mut command = Args::command();
        command.build();
        let mut all = Vec::new();
        collect(&command, "reevectl", &mut all);
        let mut longs = std::collections::BTreeMap::new();
        let mut shorts = std::collections::BTreeMap::new();
        for (long, path, (value, short)) in all {
            let (first, before) = longs
                .entry(long.clone())
                .or_insert_with(|| (path.clone(), (value.clone(), short)));
            assert_eq!(before, &(value, short), "--{long} of {first} and of {path}");
            if let Some(short) = short {
                let (first, before) = shorts
                    .entry(short)
                    .or_insert_with(|| (path.clone(), long.clone()));
                assert_eq!(before, &long, "-{short} of {first} and of {path}");
            }
        }
        assert!(longs.contains_key("json") && shorts.contains_key(&'n'));
    }

    #[test]
    fn limits_are_settings() {
        let args =
            parse("reevectl limits --set pages=48G file=2G --persist --modprobe-conf /x").unwrap();
        let Command::Limits(limits) = args.command else {
            panic!("{args:?}");
        };
        assert_eq!((limits.set.len(), limits.persist), (2, true));
    }

    #[test]
    fn handles_are_numbers_or_last() {
        assert_eq!(parse_name("last"), Ok(Name::Last));
        assert_eq!(parse_name("7"), Ok(Name::Handle(Handle::new(7))));
        for wrong in ["", "-1", "first", "4294967296"] {
            assert!(parse_name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn locks_know_what_goes_together() {
        let locks = |line: &str| match parse(&format!("reevectl locks {line}"))?.command {
            Command::Locks(locks) => Ok::<_, clap::Error>(locks),
            other => panic!("{other:?}"),
        };
        let seconds = |line: &str| locks(line).unwrap().watch.map(|pause| pause.as_secs_f64());
        assert_eq!(seconds(""), None);
        assert_eq!(seconds("--watch"), Some(1.0));
        assert_eq!(seconds("--held --watch 0.5 --json"), Some(0.5));
        assert_eq!(locks("--watch --count 2").unwrap().count, Some(2));
        assert_eq!(locks("--graph --svg f").unwrap().svg, Some("f".into()));
        for wrong in [
            "--held --graph",
            "--json --dot",
            "--dot --svg f",
            "--held --dot",
            "--watch --svg f",
            "--watch 0",
            "--count 2",
            "--watch --count 0",
            "all",
        ] {
            assert_eq!(locks(wrong).unwrap_err().exit_code(), 2, "{wrong}");
        }
    }

    #[test]
    fn top_goes_on_by_itself() {
        let top = |line: &str| match parse(&format!("reevectl top {line}"))?.command {
            Command::Top(top) => Ok::<_, clap::Error>(top),
            other => panic!("{other:?}"),
        };
        let args = top("").unwrap();
        assert_eq!((args.interval, args.count), (Duration::from_secs(1), None));
        let args = top("-n 3 --interval 0.5 --json").unwrap();
        assert_eq!(
            (args.interval, args.count, args.json),
            (Duration::from_millis(500), Some(3), true)
        );
        for wrong in ["--count 0", "--interval 0", "--interval", "1"] {
            assert_eq!(top(wrong).unwrap_err().exit_code(), 2, "{wrong}");
        }
    }

    #[test]
    fn wrong_usage_has_exit_code_2() {
        for line in [
            "reevectl",
            "reevectl bo",
            "reevectl bo create",
            "reevectl bo create --size 0x",
            "reevectl bo info",
            "reevectl shrink -n 3 --all",
            "reevectl shrink -n 0",
            "reevectl limits --persist",
            "reevectl limits --set pages",
            "reevectl locks --exit-code",
            "reevectl locks --violations --exit-code --watch",
            "reevectl stat --json --prometheus",
            "reevectl report --objects 1",
            "reevectl unheard-of",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
        assert_eq!(parse("reevectl --help").unwrap_err().exit_code(), 0);
    }
}
