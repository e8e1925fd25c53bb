//! A pidfd refers to one process, even after its id was reused. From Linux 6.15 on it also reports the exit status to
//! processes other than the parent.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::errno::Errno;

/// `PIDFD_INFO_EXIT`, since Linux 6.15.
const INFO_EXIT: u64 = libc::PIDFD_INFO_EXIT as u64;

/// `PIDFD_SIGNAL_PROCESS_GROUP`, since Linux 6.9.
const PROCESS_GROUP: libc::c_uint = 1 << 2;

#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// Opens the process that has the id `pid` now; `None` if there is none.
    pub fn open(pid: i32) -> io::Result<Option<Self>> {
        // SAFETY: two integers; the result is a new descriptor or an error.
        let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        match Errno::result(result).map(i32::try_from) {
            // SAFETY: the kernel has just created the descriptor, and no other code uses it.
            Ok(Ok(fd)) => Ok(Some(Self(unsafe { OwnedFd::from_raw_fd(fd) }))),
            Ok(Err(error)) => Err(io::Error::other(error)),
            Err(Errno::ESRCH | Errno::EINVAL) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Sends a signal to the process.
    pub fn signal(&self, number: i32) -> nix::Result<()> {
        self.send(number, 0)
    }

    /// Whether the process group that this process made has a member, even if this process itself was reaped: its id then
    /// still refers to the same group. False before Linux 6.9, which cannot answer.
    pub fn has_group(&self) -> bool {
        self.send(0, PROCESS_GROUP).is_ok()
    }

    fn send(&self, number: i32, flags: libc::c_uint) -> nix::Result<()> {
        let none = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: an open pidfd, a number, no siginfo: the kernel fills in the sender.
        let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.0.as_raw_fd(), number, none, flags) };
        Errno::result(result).map(drop)
    }

    /// The exit status; `None` before the process is reaped and on kernels older than 6.15.
    pub fn ended(&self) -> Option<ExitStatus> {
        // SAFETY: all-zero bytes are valid for a struct of integers.
        let mut info: libc::pidfd_info = unsafe { std::mem::zeroed() };
        info.mask = INFO_EXIT;
        // SAFETY: an open descriptor and an owned struct of the size encoded in the request.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), libc::PIDFD_GET_INFO, &raw mut info) };
        (result != -1 && info.mask & INFO_EXIT != 0).then(|| ExitStatus::from_raw(info.exit_code))
    }
}

/// Readable once the process has ended.
impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn reaped_process_has_its_exit_status_or_none() {
        for (script, expected) in [("exit 7", (Some(7), None)), ("kill -TERM $$", (None, Some(15)))] {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("read -r line; {script}")]).stdin(std::process::Stdio::piped());
            let mut child = command.spawn().unwrap();
            let pidfd = PidFd::open(i32::try_from(child.id()).unwrap()).unwrap().unwrap();
            assert_eq!(pidfd.ended(), None);
            drop(child.stdin.take());
            child.wait().unwrap();
            let ended = pidfd.ended().map(|status| (status.code(), status.signal()));
            assert!(ended == Some(expected) || ended.is_none(), "{ended:?}");
        }
    }
}
