//! Closes the descriptors that a new process must not have, also on kernels without `close_range` (Linux before 5.9) or its flag
//! (before 5.11), and under a seccomp profile that refuses it.

use std::os::fd::RawFd;

use libc::c_uint;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};

/// Without a list of the open descriptors, those below this number are closed.
const UNLISTED_MAX: u64 = 65_536;

/// The open descriptors, for [`close_from`]. Empty if the kernel closes a range at once.
pub(super) fn open_descriptors() -> Vec<RawFd> {
    // No descriptor has the highest number.
    if close_range(c_uint::MAX, 0).is_ok() { Vec::new() } else { list() }
}

/// Closes every descriptor from `first` on. `open` is the result of [`open_descriptors`]. Async-signal-safe.
pub(super) fn close_from(first: RawFd, open: &[RawFd]) {
    if close_range(c_uint::try_from(first).unwrap_or(0), 0).is_ok() {
        return;
    }
    for fd in open.iter().filter(|fd| **fd >= first) {
        // SAFETY: called in a child that uses no descriptor from `first` on again.
        unsafe { libc::close(*fd) };
    }
}

/// The open descriptors, for [`close_on_exec_in_child`]. Empty if the kernel marks a range at once.
pub(super) fn unmarked_descriptors() -> Vec<RawFd> {
    // No descriptor has the highest number.
    if close_range(c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC).is_ok() { Vec::new() } else { list() }
}

/// Marks every descriptor from `first` on close-on-exec.
pub(super) fn close_on_exec_from(first: RawFd) {
    close_on_exec_in_child(first, &unmarked_descriptors());
}

/// The same. `open` is the result of [`unmarked_descriptors`]. Async-signal-safe.
pub(super) fn close_on_exec_in_child(first: RawFd, open: &[RawFd]) {
    if close_range(c_uint::try_from(first).unwrap_or(0), libc::CLOSE_RANGE_CLOEXEC).is_ok() {
        return;
    }
    for fd in open.iter().filter(|fd| **fd >= first) {
        // SAFETY: sets a flag of a descriptor number and touches no memory.
        unsafe { libc::fcntl(*fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

fn list() -> Vec<RawFd> {
    let names = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten().map(|entry| entry.file_name());
    let listed: Vec<RawFd> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
    if !listed.is_empty() {
        return listed;
    }
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(UNLISTED_MAX, |(soft, _)| soft.min(UNLISTED_MAX));
    (0..RawFd::try_from(limit).unwrap_or(RawFd::MAX)).collect()
}

/// From `first` to the highest number.
fn close_range(first: c_uint, flags: c_uint) -> nix::Result<()> {
    // SAFETY: numbers only. The callers close descriptors of a child, or mark them.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, c_uint::MAX, flags) };
    Errno::result(result).map(drop)
}
