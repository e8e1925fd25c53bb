//! State inherited at exec, captured before Rust's runtime changes it: ignored signals, closed standard descriptors,
//! the raw environment. The trainer is started with the same state.

use std::ffi::{CStr, CString, c_char};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use nix::errno::Errno;

use super::signals::{SignalSet, set_action};

unsafe extern "C" {
    // Defined by the C library.
    static environ: *const *const c_char;
}

static IGNORED: AtomicU64 = AtomicU64::new(0);
static CLOSED: AtomicU8 = AtomicU8::new(0);

// Rust's runtime ignores SIGPIPE and opens /dev/null over closed descriptors before `main`. The C library runs
// `.init_array` before that, so the function must not use anything of std that needs the runtime.
#[used]
#[unsafe(link_section = ".init_array")]
static CAPTURE: extern "C" fn() = capture;

extern "C" fn capture() {
    let mut ignored = 0;
    for number in 1..=64_i32 {
        // SAFETY: all-zero bytes are a valid `sigaction`: a null handler, an empty mask, no flags.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: the new action is null, so the call only writes the present action to a valid, owned struct.
        let is_valid = unsafe { libc::sigaction(number, std::ptr::null(), &raw mut action) } == 0;
        if is_valid && action.sa_sigaction == libc::SIG_IGN {
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

/// The signals that were ignored when this process was started (`nohup`).
pub fn ignored() -> SignalSet {
    SignalSet(IGNORED.load(Ordering::Relaxed))
}

/// The variable in which an image of this process carries its signal mask to the next one (see `threads`).
pub(super) const CARRIED_MASK: &str = "_RUNWRAP_MASK";

/// The actions that this process changes before it starts the trainer: Rust's runtime the first, `Signals` and `process` the others.
const CHANGED: [i32; 3] = [libc::SIGPIPE, libc::SIGCHLD, libc::SIGXFSZ];

/// Restores the actions of signals and closes, at the exec that follows, the standard descriptors that were closed. Async-signal-safe.
pub(super) fn restore() -> nix::Result<()> {
    for signal in CHANGED {
        set_action(signal, if ignored().contains(signal) { libc::SIG_IGN } else { libc::SIG_DFL })?;
    }
    for fd in closed_descriptors() {
        // SAFETY: sets a flag of a descriptor number and touches no memory.
        Errno::result(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    }
    Ok(())
}

/// Ignores SIGPIPE again, as Rust's runtime does: after [`restore`], if the exec has failed, and in a forked keeper.
pub(super) fn ignore_again() -> nix::Result<()> {
    set_action(libc::SIGPIPE, libc::SIG_IGN)
}

/// The environment byte for byte, including entries without `=`, which std hides. Without the carried mask.
pub fn environment() -> Vec<CString> {
    let mut entries = Vec::new();
    // SAFETY: reads a pointer that never changes: runwrap sets no environment variable.
    let mut next = unsafe { environ };
    // SAFETY: `next` is null or points into the array, which ends with a null pointer, and is not past that.
    while let Some(entry) = unsafe { next.as_ref() }.filter(|entry| !entry.is_null()) {
        // SAFETY: an entry is a NUL-terminated string.
        entries.push(unsafe { CStr::from_ptr(*entry) }.to_owned());
        // SAFETY: this entry is not the terminating null.
        next = unsafe { next.add(1) };
    }
    let carried = format!("{CARRIED_MASK}=");
    entries.retain(|entry| !entry.as_bytes().starts_with(carried.as_bytes()));
    entries
}

/// The standard descriptors that were closed when this process was started.
pub fn closed_descriptors() -> impl Iterator<Item = RawFd> {
    (0..3).filter(|fd| CLOSED.load(Ordering::Relaxed) & (1 << fd) != 0)
}

/// Takes ownership of the inherited descriptor `number`. It stays open across an exec.
pub fn descriptor(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD reads a flag of a descriptor number and touches no memory; a closed one is an error code.
    Errno::result(unsafe { libc::fcntl(number, libc::F_GETFD) })?;
    // SAFETY: the descriptor is open, and each number is taken only once (see `link`).
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
