//! Tries on a real file whether a lock of one process keeps another one away, and whether the kernel frees it when its holder is
//! killed: on some file systems it does neither. Must not touch a lock of a run.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::fcntl::{OFlag, open};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::{ForkResult, fork, read, write};

use super::clock::boot_time;
use super::lock::try_lock;
use super::poll::{pause, readable_within};
use super::wait;

const BYTE: Range<i64> = 0..1;
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// The message of the child once it has the lock.
const LOCKED: u8 = 0;

/// The result of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockTrial {
    /// A lock of another process keeps this one away.
    pub is_exclusive: bool,
    /// The lock was free after its holder was killed.
    pub is_freed: bool,
}

/// Locks `file` in a second process, and kills that. Each of its waits ends after `limit`.
///
/// # Errors
/// No process can be started, it cannot lock the file, or it does not answer.
pub fn between_processes(file: &File, limit: Duration) -> io::Result<LockTrial> {
    // An opening of its own, by the path under /proc: the file need not have a name.
    let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let (mut ours, theirs) = UnixStream::pair()?;
    // SAFETY: the child makes only system calls, allocates nothing and ends without returning.
    let holder = match unsafe { fork() }? {
        ForkResult::Child => hold(&path, theirs.as_fd()),
        ForkResult::Parent { child } => child.as_raw(),
    };
    drop(theirs);
    let mut message = [0];
    let locked = match readable_within(&ours, limit) {
        Ok(true) => ours.read_exact(&mut message),
        Ok(false) => Err(io::ErrorKind::TimedOut.into()),
        Err(error) => Err(error),
    };
    let locked = locked.and_then(|()| match message {
        [LOCKED] => Ok(()),
        [errno] => Err(io::Error::from_raw_os_error(errno.into())),
    });
    let is_exclusive = locked.and_then(|()| Ok(!try_lock(file, &BYTE)?));
    wait::kill(holder, limit)?;
    wait::reap(holder)?;
    let is_exclusive = is_exclusive?;
    let deadline = boot_time() + limit;
    let mut is_freed = try_lock(file, &BYTE)?;
    // The kernel may free the lock of a killed process late.
    while !is_freed && boot_time() < deadline {
        pause(POLL_INTERVAL)?;
        is_freed = try_lock(file, &BYTE)?;
    }
    Ok(LockTrial { is_exclusive, is_freed })
}

/// Runs in the child: locks the file, reports it, and waits to be killed.
fn hold(path: &CString, socket: BorrowedFd<'_>) -> ! {
    let locked = || -> Result<bool, i32> {
        set_pdeathsig(Signal::SIGKILL).map_err(|errno| errno as i32)?;
        let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
        let file = File::from(open(path.as_c_str(), flags, Mode::empty()).map_err(|errno| errno as i32)?);
        let is_locked = try_lock(&file, &BYTE).map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))?;
        // Held until this process ends.
        std::mem::forget(file);
        Ok(is_locked)
    };
    let message = match locked() {
        Ok(true) => LOCKED,
        Ok(false) => u8::try_from(libc::EAGAIN).unwrap_or(u8::MAX),
        Err(errno) => u8::try_from(errno).unwrap_or(u8::MAX),
    };
    if write(socket, &[message]).is_ok() && message == LOCKED {
        // Until the parent kills this process, or ends.
        let _closed = read(socket, &mut [0]).is_ok();
    }
    // SAFETY: ends the forked child without running the parent's destructors.
    unsafe { libc::_exit(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_of_another_process_is_exclusive_and_freed_by_its_death() {
        let file = tempfile::tempfile().unwrap();
        let trial = between_processes(&file, Duration::from_secs(30)).unwrap();
        assert_eq!(trial, LockTrial { is_exclusive: true, is_freed: true });
    }

    #[test]
    fn file_that_another_opening_holds_cannot_be_locked() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let held = File::options().read(true).write(true).open(path.path()).unwrap();
        assert!(try_lock(&held, &BYTE).unwrap());
        assert!(between_processes(path.as_file(), Duration::from_secs(30)).is_err());
    }
}
