//! Processes that a run left behind, found by the run's id in their environment: daemonised ones too.
//! Acts through pidfds, so that a reused process id is never hit.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::host;

/// What to do with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Only count them.
    Count,
    /// SIGTERM, and SIGCONT so that a stopped one hears it.
    Ask,
    /// SIGKILL.
    Kill,
}

/// Signals every process that has `RUNWRAP_RUN_ID=run_id` in its environment, save this one. Returns how many there are.
/// One that may not be looked at (another user's) is not ours to stop.
pub fn signal_all(run_id: &str, stop: Stop) -> io::Result<usize> {
    let marker = format!("RUNWRAP_RUN_ID={run_id}");
    let mut found = 0;
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if pid == host::own_pid() {
            continue;
        }
        let Some(pidfd) = open(pid)? else { continue };
        // Looked at after the pidfd is open: what it refers to cannot be another process any more.
        if !marked(pid, marker.as_bytes()) {
            continue;
        }
        found += 1;
        match stop {
            Stop::Count => {}
            Stop::Ask => {
                signal(&pidfd, libc::SIGTERM)?;
                signal(&pidfd, libc::SIGCONT)?;
            }
            Stop::Kill => signal(&pidfd, libc::SIGKILL)?,
        }
    }
    Ok(found)
}

fn marked(pid: i32, marker: &[u8]) -> bool {
    // A zombie has no environment, and one that cannot be read is another user's.
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable == marker)
}

fn open(pid: i32) -> io::Result<Option<OwnedFd>> {
    // SAFETY: two integers; the result is a new descriptor or an error.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    match Errno::result(result).map(i32::try_from) {
        // SAFETY: the kernel has just made it for us, and nobody else knows it.
        Ok(Ok(fd)) => Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) })),
        Ok(Err(error)) => Err(io::Error::other(error)),
        Err(Errno::ESRCH | Errno::EINVAL) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn signal(pidfd: &OwnedFd, number: i32) -> io::Result<()> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: an open pidfd, a number, no siginfo: the kernel fills in our own identity.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), number, none, 0) };
    match Errno::result(result) {
        Ok(_) | Err(Errno::ESRCH | Errno::EPERM) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
