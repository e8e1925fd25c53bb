//! Signals as readable events with their senders, and signal names. Signals are blocked and taken from the kernel's own
//! queue, so none is lost or merged that the kernel would not merge for a bare process. Must not decide what a signal
//! causes.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The size of a signalfd record, in bytes.
pub(super) const RECORD_BYTES: usize = size_of::<libc::signalfd_siginfo>();

/// One signal, as the kernel delivered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalInfo {
    pub number: i32,
    pub sender: Sender,
    /// The value passed to `sigqueue`, an int or a pointer as a word. Only for signals sent by `sigqueue`.
    pub value: Option<usize>,
}

/// The sender of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The terminal, a child's end, a timer: no process sent it.
    Kernel,
    Process {
        pid: i32,
        uid: u32,
    },
}

/// All signals that can be blocked, blocked and readable. A fault of this process (SIGSEGV, …) kills it in spite of the
/// mask, so a fault signal that is read here was sent by a process.
pub struct Signals {
    fd: SignalFd,
    inherited: SigSet,
}

impl Signals {
    /// Blocks every signal. Keeps the inherited mask for the trainer.
    pub fn block_all() -> io::Result<Self> {
        let inherited = SigSet::thread_get_mask().unwrap_or_else(|_| SigSet::empty());
        let blocked = SigSet::all();
        blocked.thread_set_mask()?;
        // Some parents leave SIGCHLD ignored. Then the kernel reaps children itself and sends no SIGCHLD.
        set_default(SIGCHLD)?;
        let fd = SignalFd::with_flags(&blocked, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { fd, inherited })
    }

    /// Runs `work` under the inherited mask: pending and new signals act as in the bare command. PID 1 of a container
    /// keeps them blocked: unblocked, the kernel would discard every signal without a handler.
    pub fn with_inherited_mask<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        if super::host::is_first_process() {
            return Ok(work());
        }
        set_mask(&self.inherited)?;
        let done = work();
        SigSet::all().thread_set_mask()?;
        Ok(done)
    }

    /// The signals that were blocked before [`Signals::block_all`].
    #[must_use]
    pub fn inherited_blocked(&self) -> SignalSet {
        self.inherited.iter().map(|signal| signal as i32).collect()
    }

    /// The mask before [`Signals::block_all`].
    #[must_use]
    pub const fn inherited_mask(&self) -> &SigSet {
        &self.inherited
    }

    /// Takes the next pending signal of the set `pending`.
    pub fn take_next(&self, pending: &PendingSignals) -> io::Result<Option<SignalInfo>> {
        Ok(take(&pending.0)?.map(|info| SignalInfo::from_info(&info)))
    }
}

/// The signals that are pending for this process now.
pub fn pending() -> io::Result<PendingSignals> {
    // SAFETY: all-zero bytes are a valid, empty set.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: fills a valid, owned set.
    Errno::result(unsafe { libc::sigpending(&raw mut set) })?;
    Ok(PendingSignals(set))
}

/// Discards a pending signal.
pub(super) fn discard(number: Signal) -> io::Result<()> {
    take(SigSet::from(number).as_ref()).map(drop)
}

/// Takes the next pending signal of a set of blocked signals.
fn take(set: &libc::sigset_t) -> io::Result<Option<libc::siginfo_t>> {
    // SAFETY: all-zero bytes are a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid set, a struct to fill and a timeout, all owned.
    match Errno::result(unsafe { libc::sigtimedwait(set, &raw mut info, &raw const at_once) }) {
        Ok(_) => Ok(Some(info)),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl SignalInfo {
    fn from_info(info: &libc::siginfo_t) -> Self {
        // SAFETY: the kernel fills the field for every signal that a process sent; `new` ignores it for other signals.
        let pid = unsafe { info.si_pid() };
        // SAFETY: as above.
        let uid = unsafe { info.si_uid() };
        // SAFETY: as above; any bytes are a valid word.
        let value = unsafe { info.si_value() }.sival_ptr.addr();
        Self::new(info.si_signo, info.si_code, (pid, uid), value)
    }

    /// `sender` and `value` are valid only for the codes checked here.
    fn new(number: i32, code: i32, sender: (i32, u32), value: usize) -> Self {
        let (pid, uid) = sender;
        let is_sent = [libc::SI_USER, libc::SI_QUEUE, libc::SI_TKILL].contains(&code);
        let sender = if is_sent { Sender::Process { pid, uid } } else { Sender::Kernel };
        Self { number, sender, value: (code == libc::SI_QUEUE).then_some(value) }
    }

    /// Parses records of [`RECORD_BYTES`] that another process has read from its signalfd.
    pub(super) fn from_records(bytes: &[u8]) -> impl Iterator<Item = Self> {
        bytes.chunks_exact(RECORD_BYTES).map(|record| {
            // SAFETY: the chunk is as long as the struct, which consists of integers: any bytes are valid, at any
            // alignment.
            let info = unsafe { record.as_ptr().cast::<libc::signalfd_siginfo>().read_unaligned() };
            let number = i32::try_from(info.ssi_signo).unwrap_or_default();
            let pid = i32::try_from(info.ssi_pid).unwrap_or_default();
            let value = usize::try_from(info.ssi_ptr).unwrap_or_default();
            Self::new(number, info.ssi_code, (pid, info.ssi_uid), value)
        })
    }
}

/// A set of signal numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSet(pub(super) u64);

impl SignalSet {
    #[must_use]
    pub const fn contains(self, number: i32) -> bool {
        matches!(number, 1..=64) && self.0 & (1 << (number - 1)) != 0
    }
}

impl FromIterator<i32> for SignalSet {
    /// Numbers outside 1..=64 are skipped.
    fn from_iter<I: IntoIterator<Item = i32>>(numbers: I) -> Self {
        let bits = numbers.into_iter().filter(|number| matches!(number, 1..=64)).map(|number| 1 << (number - 1));
        Self(bits.fold(0, std::ops::BitOr::bitor))
    }
}

/// A set of pending signals.
#[derive(Clone, Copy)]
pub struct PendingSignals(libc::sigset_t);

impl PendingSignals {
    #[must_use]
    pub fn contains(&self, number: i32) -> bool {
        // SAFETY: reads a valid set; an invalid number returns an error.
        unsafe { libc::sigismember(&raw const self.0, number) == 1 }
    }

    /// Whether any signal other than SIGCHLD is pending.
    #[must_use]
    pub fn has_other_than_sigchld(&self) -> bool {
        (1..=libc::SIGRTMAX()).any(|number| number != SIGCHLD && self.contains(number))
    }
}

/// `SIGTERM`, `SIGRTMIN+3`, or `SIG99` for a number without a name.
#[must_use]
pub fn name(number: i32) -> String {
    let first = libc::SIGRTMIN();
    match Signal::try_from(number) {
        Ok(signal) => signal.as_str().to_owned(),
        Err(_) if number == first => "SIGRTMIN".to_owned(),
        Err(_) if (first..=libc::SIGRTMAX()).contains(&number) => format!("SIGRTMIN+{}", number - first),
        Err(_) => format!("SIG{number}"),
    }
}

/// Sets the default action of signal `number`.
pub(super) fn set_default(number: i32) -> io::Result<()> {
    // SAFETY: installs the default action, no handler.
    if unsafe { libc::signal(number, libc::SIG_DFL) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Sets the thread's signal mask. Async-signal-safe: used between fork and exec.
pub(super) fn set_mask(mask: &SigSet) -> nix::Result<()> {
    nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(mask), None)
}

pub use libc::{
    SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGPROF, SIGQUIT, SIGSTOP, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU,
    SIGURG, SIGVTALRM, SIGWINCH,
};
