//! Signals as readable events, each with its sender, and their names. Signals are taken from a signalfd: the kernel's own
//! queue, so nothing is lost or merged that the kernel would not merge for a bare process. Must not decide what to do.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The signals that a thread raises in itself by an error of its own: never blocked, never relayed.
const SYNCHRONOUS: [Signal; 7] =
    [Signal::SIGSEGV, Signal::SIGFPE, Signal::SIGILL, Signal::SIGBUS, Signal::SIGABRT, Signal::SIGTRAP, Signal::SIGSYS];

/// One signal, as the kernel handed it over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    pub number: i32,
    pub sender: Sender,
    /// The value that came with `sigqueue`, for the signals that were sent so.
    pub value: Option<i32>,
}

/// Who sent a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The terminal, a child's end, an alarm: nobody's `kill`.
    Kernel,
    Process {
        pid: i32,
        uid: u32,
    },
}

/// All signals that can be blocked, blocked and readable here.
pub struct Signals {
    fd: SignalFd,
    found: SigSet,
}

impl Signals {
    /// Blocks every signal but the synchronous ones. The mask that was found is kept for the trainer.
    pub fn block_all() -> io::Result<Self> {
        let found = super::inherited::blocked();
        let mut blocked = SigSet::all();
        for signal in SYNCHRONOUS {
            blocked.remove(signal);
        }
        blocked.thread_set_mask()?;
        let fd = SignalFd::with_flags(&blocked, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { fd, found })
    }

    /// The mask as it was before [`Signals::block_all`].
    #[must_use]
    pub const fn found_mask(&self) -> &SigSet {
        &self.found
    }

    /// The next pending signal, if there is one.
    pub fn next(&self) -> io::Result<Option<Received>> {
        let Some(info) = self.fd.read_signal()? else { return Ok(None) };
        let number = i32::try_from(info.ssi_signo).unwrap_or_default();
        let sender = match info.ssi_code {
            libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL => {
                Sender::Process { pid: i32::try_from(info.ssi_pid).unwrap_or_default(), uid: info.ssi_uid }
            }
            _ => Sender::Kernel,
        };
        let value = (info.ssi_code == libc::SI_QUEUE).then_some(info.ssi_int);
        Ok(Some(Received { number, sender, value }))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// `SIGTERM`, `SIGRTMIN+3`, or `SIG99` for a number without a name.
#[must_use]
pub fn name(number: i32) -> String {
    let (first, last) = (libc::SIGRTMIN(), libc::SIGRTMAX());
    match signal_hook::low_level::signal_name(number) {
        Some(name) => name.to_owned(),
        None if number == first => "SIGRTMIN".to_owned(),
        None if (first..=last).contains(&number) => format!("SIGRTMIN+{}", number - first),
        None => Signal::try_from(number).map_or_else(|_| format!("SIG{number}"), |signal| signal.as_str().to_owned()),
    }
}

/// Sets the thread's mask. For a child between fork and exec.
pub(super) fn set_mask(mask: &SigSet) -> nix::Result<()> {
    nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(mask), None)
}

pub use libc::{
    SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGSTOP, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH,
};
