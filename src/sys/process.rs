//! Signalling processes, their groups and the foreground group of the terminal, and ending this process. Must not read
//! from the terminal or write to it.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal, raise};
use nix::unistd::{Pid, getpgid, getpgrp, getppid, getsid, tcgetpgrp, tcsetpgrp};

use super::poll::readable_within;
use super::signals::set_action;
use super::{failpoint, host, signals};

/// How runwrap ends: as the trainer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndAs {
    Code(u8),
    Signal(i32),
}

/// The signals that end a service.
pub const TERMINATION: [i32; 1] = [signal_hook::consts::SIGTERM];

/// The signals that end a program on a terminal.
pub const ENDING: [i32; 4] = [
    signal_hook::consts::SIGINT,
    signal_hook::consts::SIGTERM,
    signal_hook::consts::SIGHUP,
    signal_hook::consts::SIGQUIT,
];

/// The signal of a window whose size has changed.
pub const RESIZED: [i32; 1] = [signal_hook::consts::SIGWINCH];

/// Signals as a readable descriptor, for a process without a trainer to relay them to.
#[derive(Debug)]
pub struct SignalPipe(UnixStream);

impl SignalPipe {
    pub fn new(signals: &[i32]) -> io::Result<Self> {
        let (readable, written) = UnixStream::pair()?;
        readable.set_nonblocking(true)?;
        for signal in signals {
            signal_hook::low_level::pipe::register(*signal, written.try_clone()?)?;
        }
        Ok(Self(readable))
    }

    /// The descriptor alone, for a loop that waits for it in its own way.
    pub fn into_stream(self) -> UnixStream {
        self.0
    }

    /// Keeps SIGTERM for the image that is about to replace this one, also one that is unread: it stays pending until
    /// [`Self::admit`]. Without that, one that arrives before the new image has its pipe ends it.
    pub fn hold(&self) -> io::Result<()> {
        SigSet::from(Signal::SIGTERM).thread_block()?;
        if readable_within(self.as_fd(), Duration::ZERO)? {
            raise(Signal::SIGTERM)?;
        }
        Ok(())
    }

    /// Receives a SIGTERM that an earlier image has held.
    pub fn admit(self) -> io::Result<Self> {
        SigSet::from(Signal::SIGTERM).thread_unblock()?;
        Ok(self)
    }

    /// Discards the signals received so far. Call it when the descriptor is readable.
    pub fn clear(&self) -> io::Result<()> {
        (&self.0).read(&mut [0; 16]).map(drop)
    }
}

impl AsFd for SignalPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Ignores SIGXFSZ: a write beyond `ulimit -f` fails with EFBIG, as on a full disk, instead of ending this process. The
/// trainer gets the inherited action.
pub fn survive_file_size_limit() {
    // The number is valid, so the call cannot fail.
    set_action(libc::SIGXFSZ, libc::SIG_IGN).ok();
}

/// How many descriptors this process may still open, at most `enough`.
pub fn free_descriptors(enough: usize) -> usize {
    let Ok(first) = EventFd::from_flags(EfdFlags::EFD_CLOEXEC) else { return 0 };
    let others = (1..enough).map_while(|_| first.as_fd().try_clone_to_owned().ok());
    1 + others.collect::<Vec<_>>().len()
}

/// Sets the process name that `ps` and `top` show.
pub fn set_name(name: &CStr) -> io::Result<()> {
    Ok(nix::sys::prctl::set_name(name)?)
}

/// Limits malloc to one arena. By default glibc maps an arena for each thread, grows it page by page and unmaps it,
/// which costs more than the work of a thread that makes one attempt. Call it while the process has one thread.
pub fn share_one_heap() {
    // SAFETY: sets an option of the allocator while no other thread uses it.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1)
    };
}

/// Sends `signal` to the child `pid`, with `value` if it came with one. ESRCH counts as success.
pub fn send(pid: i32, signal: i32, value: Option<usize>) -> io::Result<()> {
    let result = match value {
        // SAFETY: the number is an int; the union is a plain word that is passed on and never dereferenced.
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

/// This process's group.
pub fn own_group() -> i32 {
    getpgrp().as_raw()
}

/// The process group of `pid`; `None` if the process is gone.
pub fn group(pid: i32) -> Option<i32> {
    getpgid(Some(Pid::from_raw(pid))).ok().map(Pid::as_raw)
}

/// Whether `pid` leads a session of its own. True if the process is gone.
pub fn leads_session(pid: i32) -> bool {
    let pid = Pid::from_raw(pid);
    getsid(Some(pid)).map_or(true, |session| session == pid)
}

/// Whether `pid` is in this process's group. True if the process is gone.
pub fn is_in_our_group(pid: i32) -> bool {
    group(pid).is_none_or(|group| group == own_group())
}

/// The terminal's foreground process group; `None` without a controlling terminal.
pub fn foreground_group() -> Option<i32> {
    Some(tcgetpgrp(open_terminal().ok()?).ok()?.as_raw())
}

/// Whether `group` is in the foreground and the parent is a job-control shell, which takes the terminal back when its
/// job stops.
pub fn is_foreground_job(group: i32) -> bool {
    let parent = getppid();
    // If the parent is in another PID namespace, getppid returns 0.
    let is_shell = parent.as_raw() > 0 && getsid(Some(parent)) == getsid(None) && !is_in_our_group(parent.as_raw());
    is_shell && foreground_group() == Some(group)
}

/// Makes `group` the foreground group. Call it with SIGTTOU blocked; unblocked, SIGTTOU would stop this process.
pub fn set_foreground_group(group: i32) -> io::Result<()> {
    Ok(tcsetpgrp(open_terminal()?, Pid::from_raw(group))?)
}

/// Stops this process by signal `number`, which has stopped the trainer, unless `is_due` returns false. Call it with
/// all signals blocked. Returns after SIGCONT; returns at once in an orphaned process group, which the kernel does not
/// stop by SIGTSTP, SIGTTIN or SIGTTOU.
///
/// A SIGCONT that arrives while this runs must not leave this process stopped. After raise(), SIGCONT discards the
/// pending stop signal. Before raise(), either SIGCONT is pending here or the trainer has been continued; both are
/// checked. Held by `job_continued_while_it_stops_goes_on`.
pub fn stop_self(number: i32, is_due: impl Fn() -> io::Result<bool>) -> io::Result<()> {
    let signal = Signal::try_from(number)?;
    if signals::pending()?.contains(libc::SIGCONT) || !is_due()? {
        return Ok(());
    }
    if signal == Signal::SIGSTOP {
        // SIGSTOP cannot be blocked, so there is no window to check.
        return Ok(raise(signal)?);
    }
    // The signal may have been ignored at exec; then it would not stop this process.
    set_action(number, libc::SIG_DFL)?;
    failpoint::reached("before-stop");
    raise(signal)?;
    if is_due()? {
        let set = SigSet::from(signal);
        set.thread_unblock()?;
        set.thread_block()?;
    } else {
        signals::take([number].into_iter().collect())?;
    }
    Ok(())
}

/// Ends this process by `signal`, without a second core dump. As PID 1 of a container, or if the signal does not kill,
/// returns 128 + the signal number.
pub fn end_as(end: EndAs) -> ExitCode {
    match end {
        EndAs::Code(code) => ExitCode::from(code),
        EndAs::Signal(number) => {
            if !host::is_first_process() {
                let result = kill_self(number);
                log::warn!(event = "signal_end_failed", signal = signals::name(number), result:?;
                    "runwrap cannot end by {}: {result:?}", signals::name(number));
            }
            ExitCode::from(u8::try_from(128 + number).unwrap_or(u8::MAX))
        }
    }
}

/// The description of the errno, without its number.
pub fn error_text(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |number| Errno::from_raw(number).desc().to_owned())
}

fn open_terminal() -> io::Result<File> {
    File::open("/dev/tty")
}

/// Returns only if the signal did not kill.
fn kill_self(number: i32) -> io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    // A core pattern that is a pipe ignores RLIMIT_CORE; a non-dumpable process never dumps.
    nix::sys::prctl::set_dumpable(false)?;
    // SIGKILL has no changeable action; glibc reserves 32 and 33.
    if ![libc::SIGKILL, 32, 33].contains(&number) {
        set_action(number, libc::SIG_DFL)?;
    }
    SigSet::empty().thread_set_mask()?;
    send(host::own_pid(), number, None)
}
