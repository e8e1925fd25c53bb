//! A file in memory (memfd), for secrets that must not reach a disk. By the system call: the C library has the function only since
//! glibc 2.27, and a binary that names it does not start on an older one.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::errno::Errno;

/// A file in memory with `content`, close-on-exec.
pub fn memory_file(name: &CStr, content: &[u8]) -> io::Result<File> {
    // SAFETY: a terminated string, which the kernel only reads, and an integer; the result is a new descriptor or an error.
    let result = unsafe { libc::syscall(libc::SYS_memfd_create, name.as_ptr(), libc::MFD_CLOEXEC) };
    let fd = i32::try_from(Errno::result(result)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just created the descriptor, and no other code uses it.
    let file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    file.write_all_at(content, 0)?;
    Ok(file)
}
