//! Signals to processes, and how this one ends.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal, raise};
use nix::unistd::Pid;

use super::signals::set_default;
use super::{failpoint, host, signals};

/// How runwrap ends: as the trainer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndAs {
    Code(u8),
    Signal(i32),
}

/// SIGTERM as something to wait for, in a process that has no trainer to relay it to.
#[derive(Debug)]
pub struct SigtermPipe(UnixStream);

impl SigtermPipe {
    pub fn new() -> io::Result<Self> {
        let (readable, written) = UnixStream::pair()?;
        readable.set_nonblocking(true)?;
        signal_hook::low_level::pipe::register(signal_hook::consts::SIGTERM, written)?;
        Ok(Self(readable))
    }

    /// Forgets the signals that came so far.
    pub fn clear(&self) -> io::Result<()> {
        let mut bytes = [0; 16];
        match io::Read::read(&mut &self.0, &mut bytes) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for SigtermPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Lets the kernel reap the children of this process, whose end nobody here waits for.
pub fn autoreap_children() -> io::Result<()> {
    // SAFETY: installs no handler.
    if unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Names this process, for `ps` and `top`.
pub fn set_name(name: &CStr) -> io::Result<()> {
    Ok(nix::sys::prctl::set_name(name)?)
}

/// Lets all threads allocate from one heap. The C library gives each its own, to be mapped, grown a page at a time and
/// given back: more than the work itself for a thread that lives for one attempt. To be called before there is a second.
pub fn share_one_heap() {
    // SAFETY: sets a number of the allocator, while no other thread uses it.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1)
    };
}

/// Sends `signal` to the child `pid`, with its value if it came with one. A process that has gone is no error.
pub fn send(pid: i32, signal: i32, value: Option<usize>) -> io::Result<()> {
    let result = match value {
        // SAFETY: the number is an int and the union is a plain word, which is handed on and never followed.
        Some(value) => unsafe {
            libc::sigqueue(pid, signal, libc::sigval { sival_ptr: std::ptr::without_provenance_mut(value) })
        },
        // SAFETY: two integers, both checked by the kernel.
        None => unsafe { libc::kill(pid, signal) },
    };
    match Errno::result(result) {
        Ok(_) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// The process group of this process.
#[must_use]
pub fn own_group() -> i32 {
    nix::unistd::getpgrp().as_raw()
}

/// The process group of `pid`, unless that has gone.
#[must_use]
pub fn group(pid: i32) -> Option<i32> {
    nix::unistd::getpgid(Some(Pid::from_raw(pid))).ok().map(Pid::as_raw)
}

/// Whether `pid` is in this process's group. One that has gone has not left it.
#[must_use]
pub fn is_in_our_group(pid: i32) -> bool {
    group(pid).is_none_or(|group| group == own_group())
}

/// Stops this process by `number`, as the terminal or the trainer itself has stopped the trainer, unless that `is_due` no
/// more. To be called with all signals blocked. Returns when it is continued, or at once where nobody could continue it
/// (the kernel stops no orphaned process group).
///
/// Whoever continues us meanwhile must not find us stopped afterwards. A SIGCONT that comes after our own signal discards
/// it; of one that came before it the trainer knows, or we have not taken it yet. Held by
/// `a_job_that_is_continued_while_it_stops_goes_on`.
pub fn stop_self(number: i32, is_due: impl Fn() -> io::Result<bool>) -> io::Result<()> {
    let signal = Signal::try_from(number)?;
    if signals::pending()?.contains(libc::SIGCONT) || !is_due()? {
        return Ok(());
    }
    if signal == Signal::SIGSTOP {
        // Which cannot be blocked.
        return Ok(raise(signal)?);
    }
    // The trainer may have had a handler where we were started with none.
    set_default(number)?;
    failpoint::reached("before-stop");
    raise(signal)?;
    if is_due()? {
        let set = SigSet::from(signal);
        set.thread_unblock()?;
        set.thread_block()?;
    } else {
        signals::discard(signal)?;
    }
    Ok(())
}

/// Ends this process by `signal`, without a second core dump; as the first process of a container, or where the signal
/// does not kill, returns 128 + the number instead.
#[must_use]
pub fn end_as(end: EndAs) -> ExitCode {
    match end {
        EndAs::Code(code) => ExitCode::from(code),
        EndAs::Signal(number) => {
            if !host::is_first_process() {
                let died = die_by(number);
                log::warn!(event = "signal_end_failed", signal = signals::name(number), died:?; "");
            }
            ExitCode::from(u8::try_from(128 + number).unwrap_or(u8::MAX))
        }
    }
}

/// What an error of the system says, without its number.
#[must_use]
pub fn error_text(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |number| Errno::from_raw(number).desc().to_owned())
}

/// Returns only if the signal did not kill.
fn die_by(number: i32) -> io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    // A core pattern that is a pipe ignores the limit; a process that is not dumpable it does not.
    nix::sys::prctl::set_dumpable(false)?;
    // Nobody can change these: SIGKILL, and the two that the C library keeps for itself.
    if ![libc::SIGKILL, 32, 33].contains(&number) {
        set_default(number)?;
    }
    nix::sys::signal::sigprocmask(nix::sys::signal::SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    // SAFETY: two integers, both checked by the kernel.
    if unsafe { libc::kill(Pid::this().as_raw(), number) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
