//! Byte-range locks of an open file description (F_OFD_SETLK). The kernel releases them when the last descriptor of
//! that description is closed, so also when the holder is killed. They survive fork and exec.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

/// Locks the bytes `range` of `file`. Returns false if another open file description holds a lock on any of them.
pub fn try_lock(file: &File, range: &Range<i64>) -> io::Result<bool> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&write_lock(range))) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether another open file description holds a lock on any of the bytes `range` of `file`. Locks nothing.
pub fn is_held(file: &File, range: &Range<i64>) -> io::Result<bool> {
    let mut answer = write_lock(range);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut answer))?;
    Ok(i32::from(answer.l_type) != libc::F_UNLCK)
}

/// Whether the kernel has a lock of this open file description on exactly the bytes `range`. False if that cannot be read.
pub fn is_own(file: &File, range: &Range<i64>) -> bool {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).unwrap_or_default();
    // `lock: 1: OFDLCK ADVISORY WRITE -1 00:2a:1234 0 1`, with the last byte included.
    let bytes = format!(" {} {}", range.start, range.end - 1);
    text.lines().any(|line| line.starts_with("lock:") && line.contains("OFDLCK") && line.ends_with(&bytes))
}

#[expect(clippy::cast_possible_truncation, reason = "the constants of fcntl.h are small ints in a struct of shorts")]
fn write_lock(range: &Range<i64>) -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: range.start,
        l_len: range.end - range.start,
        // Required to be 0 for OFD locks.
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_confirms_a_lock_of_this_description_alone() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let open = || File::options().read(true).write(true).open(path.path()).unwrap();
        let (ours, other) = (open(), open());
        assert!(!is_own(&ours, &(0..2)));
        assert!(try_lock(&ours, &(0..2)).unwrap());
        assert!(is_own(&ours, &(0..2)) && !is_own(&ours, &(0..1)) && !is_own(&other, &(0..2)));
    }
}
