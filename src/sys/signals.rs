//! Signals as readable events, each with its sender, and their names. Signals are taken from a signalfd: the kernel's own
//! queue, so nothing is lost or merged that the kernel would not merge for a bare process. Must not decide what to do.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// One signal as a signalfd has it, in bytes.
pub(super) const RECORD_BYTES: usize = size_of::<libc::signalfd_siginfo>();

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

/// All signals that can be blocked, blocked and readable here. Also those that an error of our own raises: the kernel
/// forces such a one on us all the same, so what can be read here was sent by somebody.
pub struct Signals {
    fd: SignalFd,
    found: SigSet,
}

impl Signals {
    /// Blocks every signal. The mask that was found is kept for the trainer.
    pub fn block_all() -> io::Result<Self> {
        let found = super::inherited::blocked();
        let blocked = SigSet::all();
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
        Ok(self.fd.read_signal()?.map(|info| Received::from_info(&info)))
    }

    /// Those that [`Signals::next`] would give now.
    pub fn pending(&self) -> io::Result<Pending> {
        // SAFETY: all-zero bytes are a valid, empty set.
        let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: fills a valid, owned set.
        Errno::result(unsafe { libc::sigpending(&raw mut set) })?;
        Ok(Pending(set))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Received {
    fn from_info(info: &libc::signalfd_siginfo) -> Self {
        let number = i32::try_from(info.ssi_signo).unwrap_or_default();
        let sender = match info.ssi_code {
            libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL => {
                Sender::Process { pid: i32::try_from(info.ssi_pid).unwrap_or_default(), uid: info.ssi_uid }
            }
            _ => Sender::Kernel,
        };
        let value = (info.ssi_code == libc::SI_QUEUE).then_some(info.ssi_int);
        Self { number, sender, value }
    }

    /// What another process has read from its signalfd: whole records of [`RECORD_BYTES`].
    pub(super) fn from_records(bytes: &[u8]) -> impl Iterator<Item = Self> {
        bytes.chunks_exact(RECORD_BYTES).map(|record| {
            // SAFETY: the chunk is as long as the struct, which is plain integers: any bytes are one, at any address.
            let info = unsafe { record.as_ptr().cast::<libc::signalfd_siginfo>().read_unaligned() };
            Self::from_info(&info)
        })
    }
}

/// The numbers of the signals that wait to be taken.
#[derive(Clone, Copy)]
pub struct Pending(libc::sigset_t);

impl Pending {
    #[must_use]
    pub fn contains(&self, number: i32) -> bool {
        // SAFETY: reads a valid set; a number that is none is an error code.
        unsafe { libc::sigismember(&raw const self.0, number) == 1 }
    }

    /// Whether there is one that is more than news of a child.
    #[must_use]
    pub fn more_than_children(&self) -> bool {
        (1..=libc::SIGRTMAX()).any(|number| number != SIGCHLD && self.contains(number))
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
    SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGPROF, SIGQUIT, SIGSTOP, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU,
    SIGURG, SIGVTALRM, SIGWINCH,
};
