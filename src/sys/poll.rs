//! Waiting, always with a deadline: for descriptors to become readable, or for time to pass.
//! The only place in the crate that sleeps.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::clock::boot_time;

/// The longest single wait; a later deadline is waited for in several.
const WAIT_MAX: Duration = Duration::from_hours(1);

/// Waits until one of `fds` is readable or hung up, or until the boot time `deadline` (at most an hour).
/// Returns which are ready, in the same order; all false is "time passed" or "a signal came".
pub fn readable<const N: usize>(fds: [Option<BorrowedFd<'_>>; N], deadline: Option<Duration>) -> io::Result<[bool; N]> {
    let mut ready = [false; N];
    let mut polled: Vec<PollFd<'_>> = fds.iter().flatten().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    match nix::poll::poll(&mut polled, timeout_until(deadline)) {
        Ok(_) => {}
        Err(Errno::EINTR) => return Ok(ready),
        Err(errno) => return Err(errno.into()),
    }
    let mut answers = polled.iter().map(|fd| fd.any().unwrap_or(true));
    for (index, fd) in fds.iter().enumerate() {
        ready[index] = fd.is_some() && answers.next().unwrap_or(false);
    }
    Ok(ready)
}

/// Waits until `fd` is readable; false if `limit` passes first.
pub fn readable_within(fd: impl AsFd, limit: Duration) -> io::Result<bool> {
    let deadline = boot_time() + limit;
    loop {
        let [ready] = readable([Some(fd.as_fd())], Some(deadline))?;
        if ready || boot_time() >= deadline {
            return Ok(ready);
        }
    }
}

/// Waits until `fd` takes bytes, or can only fail; false if `limit` passes first.
pub fn writable_within(fd: impl AsFd, limit: Duration) -> io::Result<bool> {
    let deadline = boot_time() + limit;
    loop {
        match nix::poll::poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)], timeout_until(Some(deadline))) {
            Ok(0) | Err(Errno::EINTR) if boot_time() < deadline => {}
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::EINTR) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Lets `pause` pass, for the few waits that have no descriptor (a lock, another process's end). Callers bound their loops.
pub fn pause(pause: Duration) -> io::Result<()> {
    readable([], Some(boot_time() + pause)).map(|[]| ())
}

/// Wakes a wait from another thread.
#[derive(Clone, Debug)]
pub struct Waker(Arc<EventFd>);

impl Waker {
    pub fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?)))
    }

    /// Makes the descriptor readable.
    pub fn wake(&self) -> io::Result<()> {
        Ok(self.0.write(1).map(drop)?)
    }

    /// Makes it unreadable again.
    pub fn clear(&self) -> io::Result<()> {
        match self.0.read() {
            Ok(_) | Err(Errno::EAGAIN) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn timeout_until(deadline: Option<Duration>) -> PollTimeout {
    let left = deadline.map_or(WAIT_MAX, |deadline| deadline.saturating_sub(boot_time()).min(WAIT_MAX));
    // Rounded up: a poll that wakes early would spin through the last millisecond.
    let milliseconds = left.as_nanos().div_ceil(1_000_000);
    PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)
}
