//! `--watch`: draws a text again and again on a screen of its own, until a signal ends it. Must leave the terminal as it was.

use std::io;
use std::os::fd::AsFd;
use std::sync::mpsc::{self, TryRecvError};
use std::time::Duration;

use super::error::CommandError;
use crate::output;
use crate::sys::clock::{boot_time, wall_time};
use crate::sys::poll::{Waker, readable};
use crate::sys::process::{ENDING, RESIZED, SignalPipe};

const INTERVAL: Duration = Duration::from_secs(2);

/// Around the text: a line above it.
const LINES_OF_TITLE: u32 = 1;

/// The room for a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: u32,
    pub(super) lines: u32,
}

/// The alternate screen, without a cursor, until it is dropped.
struct Screen;

impl Screen {
    fn open() -> io::Result<Self> {
        output::print("\x1b[?1049h\x1b[?25l").map(|()| Self)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that has gone needs no repair.
        let _gone = output::print("\x1b[?25h\x1b[?1049l").is_err();
    }
}

/// Draws `text` every two seconds and when the window's size changes, until SIGINT, SIGTERM, SIGHUP or SIGQUIT.
///
/// # Errors
/// stdout is no terminal, an error of the text that a person must repair, or one of the terminal.
pub(super) fn watch(
    text: impl Fn(Size) -> Result<String, CommandError> + Clone + Send + 'static,
) -> Result<(), CommandError> {
    if output::terminal_size().is_none() {
        return Err(CommandError::NoTerminal);
    }
    let (ending, resized, waker) = (SignalPipe::new(&ENDING)?, SignalPipe::new(&RESIZED)?, Waker::new()?);
    let _screen = Screen::open()?;
    let mut last = String::new();
    loop {
        let (columns, lines) = output::terminal_size().ok_or(CommandError::NoTerminal)?;
        let size = Size { columns, lines: lines.saturating_sub(LINES_OF_TITLE) };
        // A database that does not answer must not delay the end.
        let (sender, receiver) = mpsc::channel();
        let (draw, wake) = (text.clone(), waker.clone());
        std::thread::Builder::new().name("watch".to_owned()).spawn(move || {
            let _nobody_waits = sender.send(draw(size)).is_err();
            let _nobody_waits = wake.wake().is_err();
        })?;
        let answer = loop {
            match receiver.try_recv() {
                Ok(answer) => break answer,
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return Err(io::Error::other("the drawing failed").into()),
            }
            // A thread that panicked does not wake this one.
            let deadline = boot_time() + INTERVAL;
            if readable([Some(ending.as_fd()), Some(waker.as_fd())], Some(deadline))?[0] {
                return Ok(());
            }
        };
        waker.clear().or_else(ignore_empty)?;
        let problem = match answer {
            Ok(text) => {
                last = text;
                None
            }
            Err(error) if error.is_transient() => Some(error.to_string()),
            Err(error) => return Err(error),
        };
        output::print(&screen(&last, problem.as_deref(), size))?;
        let deadline = boot_time() + INTERVAL;
        loop {
            let [is_over, has_new_size] = readable([Some(ending.as_fd()), Some(resized.as_fd())], Some(deadline))?;
            if is_over {
                return Ok(());
            }
            if has_new_size {
                resized.clear()?;
                break;
            }
            if boot_time() >= deadline {
                break;
            }
        }
    }
}

fn ignore_empty(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::WouldBlock { Ok(()) } else { Err(error) }
}

/// The whole screen: each line is written over the former one, so that nothing flickers.
fn screen(text: &str, problem: Option<&str>, size: Size) -> String {
    let columns = size.columns as usize;
    let title = format!("{} UTC, every {}s until Ctrl-C", wall_time().format("%F %T"), INTERVAL.as_secs());
    let title = problem.map_or(title.clone(), |problem| format!("{title}: {}", output::printable(problem)));
    let lines = text.lines().take(size.lines as usize);
    let whole: Vec<String> = std::iter::once(output::cut(&title, columns)).chain(lines.map(str::to_owned)).collect();
    format!("\x1b[H{}\x1b[K\x1b[J", whole.join("\x1b[K\r\n"))
}
