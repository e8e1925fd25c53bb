//! Byte-range locks of an open file description (F_OFD_SETLK). The kernel releases them when the last descriptor of
//! that description is closed, so also when the holder is killed. They survive fork and exec.

use std::fs::File;
use std::io;
use std::ops::Range;

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
