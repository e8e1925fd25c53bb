//! Writes to a stderr that may block: after Ctrl-S, or a pipe whose reader does not read. Must not wait long: the
//! supervisor has signals to relay. Held by `stuck_reader_of_stderr_delays_nothing`.

use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use super::own_lines;
use crate::sys::poll::writable_within;

/// The wait for a blocked reader. After one such wait, lines are dropped at once until the reader reads again.
const WAIT_MAX: Duration = Duration::from_millis(200);
/// A pipe that polls writable takes this many bytes (PIPE_BUF) without blocking.
const PIECE_BYTES_MAX: usize = 4096;

/// Drops a line that `inner` does not take in time.
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
        let written = self.inner.write(bytes.get(..PIECE_BYTES_MAX).unwrap_or(bytes))?;
        own_lines::keep(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
