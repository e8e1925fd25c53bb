//! Waiting with a deadline: for a descriptor to become readable, or for time to pass. No other file of the crate
//! sleeps.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::clock::boot_time;

/// The longest single poll. The caller loops until a later deadline.
const WAIT_MAX: Duration = Duration::from_hours(1);

/// Waits until one of `fds` is readable or hung up, or until the boot time `deadline`, at most an hour. Returns
/// the readiness in the order of `fds`; all false means that time has passed or a signal interrupted the poll.
pub fn readable<const N: usize>(fds: [Option<BorrowedFd<'_>>; N], deadline: Option<Duration>) -> io::Result<[bool; N]> {
    let mut polled: Vec<PollFd<'_>> = fds.iter().flatten().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    poll_until(&mut polled, deadline)?;
    let mut answers = polled.iter().map(|fd| fd.any().unwrap_or(true));
    Ok(fds.map(|fd| fd.is_some() && answers.next().unwrap_or(false)))
}

/// Waits until `fd` is readable. Returns false after `limit`.
pub fn readable_within(fd: impl AsFd, limit: Duration) -> io::Result<bool> {
    within(fd.as_fd(), PollFlags::POLLIN, limit)
}

/// Waits until `fd` is writable or has an error. Returns false after `limit`.
pub fn writable_within(fd: impl AsFd, limit: Duration) -> io::Result<bool> {
    within(fd.as_fd(), PollFlags::POLLOUT, limit)
}

fn within(fd: BorrowedFd<'_>, flags: PollFlags, limit: Duration) -> io::Result<bool> {
    let deadline = boot_time() + limit;
    loop {
        let mut polled = [PollFd::new(fd, flags)];
        poll_until(&mut polled, Some(deadline))?;
        let ready = polled[0].any().unwrap_or(true);
        if ready || boot_time() >= deadline {
            return Ok(ready);
        }
    }
}

/// Sleeps for `pause`, for waits without a descriptor (a lock, another process's end). Callers bound their loops.
pub fn pause(pause: Duration) -> io::Result<()> {
    readable([], Some(boot_time() + pause)).map(|[]| ())
}

/// Wakes a poll from another thread (eventfd).
#[derive(Clone, Debug)]
pub struct Waker(Arc<EventFd>);

impl Waker {
    pub fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?)))
    }

    pub fn wake(&self) -> io::Result<()> {
        Ok(self.0.write(1).map(drop)?)
    }

    /// Makes the descriptor unreadable again. Call it when the descriptor is readable.
    pub fn clear(&self) -> io::Result<()> {
        Ok(self.0.read().map(drop)?)
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Polls once. After a signal no descriptor is ready.
fn poll_until(fds: &mut [PollFd<'_>], deadline: Option<Duration>) -> io::Result<()> {
    let left = deadline.map_or(WAIT_MAX, |deadline| deadline.saturating_sub(boot_time()).min(WAIT_MAX));
    // Rounded up: waking early would spin through the last millisecond.
    let milliseconds = left.as_nanos().div_ceil(1_000_000);
    match nix::poll::poll(fds, PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
