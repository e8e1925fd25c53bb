//! What the process was started with, before Rust's runtime changes it: which signals were ignored, which of the
//! three standard descriptors were closed, which signals were blocked. The trainer gets all of it back.

use std::ffi::{CStr, CString, c_char};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use nix::errno::Errno;

use super::signals::SignalSet;

unsafe extern "C" {
    // The C library's.
    static environ: *const *const c_char;
}

static IGNORED: AtomicU64 = AtomicU64::new(0);
static CLOSED: AtomicU8 = AtomicU8::new(0);

// Rust's runtime ignores SIGPIPE and opens /dev/null over closed descriptors before `main`. The C library calls
// this before that; it must not use anything of std that needs the runtime.
#[used]
#[unsafe(link_section = ".init_array")]
static REMEMBER: extern "C" fn() = remember;

extern "C" fn remember() {
    let mut ignored = 0;
    for number in 1..=64_i32 {
        // SAFETY: all-zero bytes are a valid `sigaction`: a null handler, an empty mask, no flags.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: asks for the present action (the new one is null) into a valid, owned struct.
        let known = unsafe { libc::sigaction(number, std::ptr::null(), &raw mut action) } == 0;
        if known && action.sa_sigaction == libc::SIG_IGN {
            ignored |= 1 << (number - 1);
        }
    }
    IGNORED.store(ignored, Ordering::Relaxed);
    let mut closed = 0;
    for fd in 0..3 {
        // SAFETY: F_GETFD reads a flag of a descriptor number and touches no memory; a closed one is an error code.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
            closed |= 1 << fd;
        }
    }
    CLOSED.store(closed, Ordering::Relaxed);
}

/// The signals that were ignored when the process was started (`nohup`).
#[must_use]
pub fn ignored() -> SignalSet {
    SignalSet(IGNORED.load(Ordering::Relaxed))
}

/// The environment to the byte, also what std hides: an entry without a value.
#[must_use]
pub fn environment() -> Vec<CString> {
    let mut entries = Vec::new();
    // SAFETY: reads a pointer that nobody changes: runwrap sets no variable.
    let mut place = unsafe { environ };
    if place.is_null() {
        return entries;
    }
    loop {
        // SAFETY: the array ends with a null, and this is not beyond it.
        let entry = unsafe { *place };
        if entry.is_null() {
            return entries;
        }
        // SAFETY: an entry is a string that ends with a NUL.
        entries.push(unsafe { CStr::from_ptr(entry) }.to_owned());
        // SAFETY: this entry is not the last.
        place = unsafe { place.add(1) };
    }
}

/// Those of the standard descriptors that were closed when the process was started.
pub fn closed_descriptors() -> impl Iterator<Item = RawFd> {
    (0..3).filter(|fd| CLOSED.load(Ordering::Relaxed) & (1 << fd) != 0)
}

/// The inherited descriptor `number`, which is the caller's from now on. It stays open over an exec.
pub fn descriptor(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD reads a flag of a descriptor number and touches no memory; a closed one is an error code.
    Errno::result(unsafe { libc::fcntl(number, libc::F_GETFD) })?;
    // SAFETY: it is open, and the caller is the one place that takes this number (see `link`).
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
