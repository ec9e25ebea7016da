// SPDX-License-Identifier: GPL-2.0-or-later

//! Shows a text repeatedly, for `--watch` and `top`.

use std::fmt::Write as _;
use std::io;
use std::io::IsTerminal;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::poll;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SfdFlags;
use nix::sys::signalfd::SignalFd;
use rustix::termios::tcgetattr;
use rustix::termios::tcsetattr;
use rustix::termios::LocalModes;
use rustix::termios::OptionalActions;
use rustix::termios::Termios;

use crate::error::Error;
use crate::error::Result;
use crate::style::first_columns;

/// The longest time between two texts.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Parses a pause as it is typed: seconds, with an optional fraction.
pub(crate) fn parse_pause(text: &str) -> std::result::Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds")?;
    let pause = Duration::try_from_secs_f64(seconds).map_err(|err| err.to_string())?;
    if pause < Duration::from_millis(1) || pause > LONGEST {
        return Err("from 0.001 to 86400 seconds".to_owned());
    }
    Ok(pause)
}

/// Shows what `draw` returns, `count` times or until SIGINT, SIGTERM or, typed on a terminal, `q`.
///
/// On a terminal each text replaces the last, on the alternate screen if there is no count; elsewhere an empty line is
/// between them.
pub(crate) fn run(
    pause: Duration,
    count: Option<u64>,
    out: &mut dyn Write,
    draw: impl FnMut() -> Result<String>,
) -> Result<()> {
    if !io::stdout().is_terminal() {
        return repeat(pause, count, out, block, None, draw);
    }
    let keys = match io::stdin().is_terminal() {
        true => Some(Keys::of(io::stdin().as_fd().try_clone_to_owned()?)?),
        false => None,
    };
    if count.is_some() {
        return repeat(pause, count, out, screen_of_its_size, keys, draw);
    }
    out.write_all(ENTER.as_bytes())?;
    let result = repeat(pause, count, out, screen_of_its_size, keys, draw);
    out.write_all(LEAVE.as_bytes())?;
    out.flush()?;
    result
}

/// Shows what `draw` returns unchanged, `count` times or until SIGINT: for programs.
pub(crate) fn run_plain(
    pause: Duration,
    count: Option<u64>,
    out: &mut dyn Write,
    draw: impl FnMut() -> Result<String>,
) -> Result<()> {
    repeat(pause, count, out, |text, _| text.to_owned(), None, draw)
}

fn repeat(
    pause: Duration,
    count: Option<u64>,
    out: &mut dyn Write,
    frame: fn(&str, bool) -> String,
    mut keys: Option<Keys>,
    mut draw: impl FnMut() -> Result<String>,
) -> Result<()> {
    let interrupt = Interrupt::new()?;
    let mut shown = 0;
    loop {
        let text = frame(&draw()?, shown == 0);
        // In one write, so that no half-drawn screen is visible.
        out.write_all(text.as_bytes())?;
        out.flush()?;
        shown += 1;
        if count.is_some_and(|count| shown >= count) || interrupt.within(pause, &mut keys)? {
            return Ok(());
        }
    }
}

fn block(text: &str, first: bool) -> String {
    let gap = if first { "" } else { "\n" };
    format!("{gap}{text}")
}

fn screen_of_its_size(text: &str, first: bool) -> String {
    screen(text, first, size())
}

/// Goes to the alternate screen, where nothing of the scrollback is lost, and hides the cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// Returns the text with the control sequences that draw it over the last one. Clearing first would flicker.
fn screen(text: &str, first: bool, size: Option<(usize, usize)>) -> String {
    let (rows, columns) = size.unwrap_or((usize::MAX, usize::MAX));
    // The cursor ends on a line of its own. What does not fit would make the screen scroll.
    let room = rows.saturating_sub(1).max(1);
    let all = text.lines().count();
    let fit = if all <= room { all } else { room - 1 };

    let mut frame = HOME.to_owned();
    if first {
        frame.push_str(CLEAR_BELOW);
    }
    for line in text.lines().take(fit) {
        frame.push_str(&first_columns(line, columns));
        frame.push_str(CLEAR_LINE);
        frame.push('\n');
    }
    if fit < all {
        // Writing to a String cannot fail.
        let _ = writeln!(frame, "({} more lines){CLEAR_LINE}", all - fit);
    }
    frame.push_str(CLEAR_BELOW);
    frame
}

/// Returns the rows and columns of the terminal, if known.
fn size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    let known = size.ws_row > 0 && size.ws_col > 0;
    known.then_some((size.ws_row.into(), size.ws_col.into()))
}

/// The keys of a terminal, one by one and without an echo, until dropped.
struct Keys {
    terminal: OwnedFd,
    before: Termios,
}

impl Keys {
    fn of(terminal: OwnedFd) -> Result<Self> {
        let before = tcgetattr(&terminal).map_err(io::Error::from)?;
        let mut modes = before.clone();
        modes
            .local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Now, &modes).map_err(io::Error::from)?;
        Ok(Self { terminal, before })
    }

    /// Takes the keys that were pressed. None: there will be no more.
    fn pressed(&self) -> Option<Vec<u8>> {
        let mut keys = [0; 64];
        match rustix::io::read(&self.terminal, &mut keys) {
            Ok(0) | Err(_) => None,
            Ok(count) => keys.get(..count).map(<[u8]>::to_vec),
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // There is nothing else to try.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

/// SIGINT and SIGTERM as a file descriptor, so that they end the program between two redraws and with success.
struct Interrupt(SignalFd);

impl Interrupt {
    fn new() -> Result<Self> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGINT);
        signals.add(Signal::SIGTERM);
        signals.thread_block().map_err(cannot_wait)?;
        SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)
            .map(Self)
            .map_err(cannot_wait)
    }

    /// Waits for `pause`, or a key. Returns whether a signal came meanwhile, or `q`.
    fn within(&self, pause: Duration, keys: &mut Option<Keys>) -> Result<bool> {
        let timeout = PollTimeout::try_from(pause).unwrap_or(PollTimeout::MAX);
        let mut fds = vec![PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let terminal = keys.as_ref().map(|keys| keys.terminal.as_fd());
        fds.extend(terminal.map(|terminal| PollFd::new(terminal, PollFlags::POLLIN)));
        match poll(&mut fds, timeout) {
            Ok(0) => Ok(false),
            Ok(_) if fds.first().and_then(PollFd::any) == Some(true) => Ok(true),
            Ok(_) => match keys.as_ref().and_then(Keys::pressed) {
                Some(pressed) => Ok(pressed.iter().any(|key| matches!(key, b'q' | b'Q'))),
                None => {
                    *keys = None;
                    Ok(false)
                }
            },
            // Stopped and continued: time to draw again.
            Err(Errno::EINTR) => Ok(false),
            Err(errno) => Err(cannot_wait(errno)),
        }
    }
}

fn cannot_wait(errno: Errno) -> Error {
    Error::Check(format!(
        "could not wait for the next redraw: {}",
        errno.desc()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_seconds() {
        assert_eq!(parse_pause("1"), Ok(Duration::from_secs(1)));
        assert_eq!(parse_pause("0.25"), Ok(Duration::from_millis(250)));
        for wrong in [
            "", "0", "-1", "inf", "nan", "1s", "0.0001", "86401", "1e300",
        ] {
            assert!(parse_pause(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn blocks_are_an_empty_line_apart() {
        let mut out = Vec::new();
        let mut round = 0;
        repeat(
            Duration::from_millis(1),
            Some(3),
            &mut out,
            block,
            None,
            || {
                round += 1;
                Ok(format!("{round}\n"))
            },
        )
        .unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "1\n\n2\n\n3\n");
    }

    #[test]
    fn failures_end_it() {
        let mut out = Vec::new();
        let mut round = 0;
        let err = repeat(
            Duration::from_millis(1),
            None,
            &mut out,
            block,
            None,
            || {
                round += 1;
                match round {
                    1 => Ok("1\n".to_owned()),
                    _ => Err(Error::Check("gone".to_owned())),
                }
            },
        );
        assert_eq!(err.unwrap_err().to_string(), "gone");
        assert_eq!(out, b"1\n");
    }

    /// A terminal of our own: what is typed at one end is read at the other.
    fn terminal() -> (OwnedFd, OwnedFd) {
        use rustix::pty;
        let ours = pty::openpt(pty::OpenptFlags::RDWR | pty::OpenptFlags::NOCTTY).unwrap();
        pty::grantpt(&ours).unwrap();
        pty::unlockpt(&ours).unwrap();
        let name = pty::ptsname(&ours, Vec::new()).unwrap();
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
        let theirs = rustix::fs::open(name.as_c_str(), flags, rustix::fs::Mode::empty()).unwrap();
        (ours, theirs)
    }

    #[test]
    fn q_ends_it_and_the_terminal_is_as_before() {
        let (ours, theirs) = terminal();
        let local = |fd: &OwnedFd| tcgetattr(fd).unwrap().local_modes;
        let before = local(&theirs);
        assert!(before.contains(LocalModes::ICANON | LocalModes::ECHO));
        let keys = Keys::of(theirs.try_clone().unwrap()).unwrap();
        assert!(!local(&theirs).intersects(LocalModes::ICANON | LocalModes::ECHO));
        // Another key first, which has it drawn again; no line end.
        rustix::io::write(&ours, b"x").unwrap();
        let (mut out, mut round) = (Vec::new(), 0);
        repeat(LONGEST, None, &mut out, block, Some(keys), || {
            round += 1;
            if round == 2 {
                rustix::io::write(&ours, b"q").unwrap();
            }
            Ok(format!("{round}\n"))
        })
        .unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "1\n\n2\n");
        assert_eq!(local(&theirs), before);
    }

    #[test]
    fn a_screen_is_drawn_over_the_last() {
        assert_eq!(
            screen("a\nb\n", true, None),
            "\x1b[H\x1b[Ja\x1b[K\nb\x1b[K\n\x1b[J"
        );
        assert_eq!(
            screen("a\nb\n", false, None),
            "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J"
        );
    }

    #[test]
    fn a_screen_never_scrolls() {
        let text = "a\nb\nc\nd\ne\n";
        for rows in 1..10 {
            let frame = screen(text, false, Some((rows, 80)));
            assert!(
                frame.matches('\n').count() < rows.max(2),
                "{rows} rows: {frame:?}"
            );
        }
        assert!(screen(text, false, Some((4, 80))).contains("\n(3 more lines)\x1b[K\n"));
        assert!(screen(text, false, Some((6, 80))).contains("e\x1b[K\n"));
        assert_eq!(
            screen("abcdef\n", false, Some((9, 4))),
            "\x1b[Habcd\x1b[K\n\x1b[J"
        );
    }
}
