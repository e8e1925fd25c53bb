//! stderr that may be stuck: behind Ctrl-S, or a pipe into a program that does not read. Must not wait for long: the
//! supervisor that says something has signals to relay. Called by `logging` alone. Held by
//! `stuck_reader_of_stderr_delays_nothing`.

use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use crate::sys::poll::writable_within;

/// How long one line may wait for a reader; the next ones do not, until he reads again.
const WAIT_MAX: Duration = Duration::from_millis(200);
/// A pipe that takes any byte takes so many without a wait.
const PIECE_BYTES_MAX: usize = 4096;

/// Drops what `inner` does not take soon.
pub(super) struct NonBlockingWriter<W> {
    inner: W,
    is_stuck: bool,
}

impl<W> NonBlockingWriter<W> {
    pub(super) const fn new(inner: W) -> Self {
        Self { inner, is_stuck: false }
    }
}

impl<W: Write + AsFd> Write for NonBlockingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let limit = if self.is_stuck { Duration::ZERO } else { WAIT_MAX };
        self.is_stuck = !writable_within(&self.inner, limit)?;
        if self.is_stuck {
            return Err(ErrorKind::TimedOut.into());
        }
        self.inner.write(bytes.get(..PIECE_BYTES_MAX).unwrap_or(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
