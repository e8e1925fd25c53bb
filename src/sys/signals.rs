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
pub struct SignalInfo {
    pub number: i32,
    pub sender: Sender,
    /// The value that came with `sigqueue`, an int or a pointer as a word, for the signals that were sent so.
    pub value: Option<usize>,
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
        let found = SigSet::thread_get_mask().unwrap_or_else(|_| SigSet::empty());
        let blocked = SigSet::all();
        blocked.thread_set_mask()?;
        // Where it is ignored, as some parents leave it, the kernel reaps our children and tells nobody of their end.
        set_default(SIGCHLD)?;
        let fd = SignalFd::with_flags(&blocked, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { fd, found })
    }

    /// Does `work` with the mask that was found: a signal, also one that has been waiting, acts as it would without us.
    /// In the first process of a container it would not act at all, and goes on waiting.
    pub fn with_inherited_mask<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        if super::host::is_first_process() {
            return Ok(work());
        }
        set_mask(&self.found)?;
        let done = work();
        SigSet::all().thread_set_mask()?;
        Ok(done)
    }

    /// The signals that were blocked before [`Signals::block_all`].
    #[must_use]
    pub fn inherited_blocked(&self) -> SignalSet {
        self.found.iter().map(|signal| signal as i32).collect()
    }

    /// The mask as it was before [`Signals::block_all`].
    #[must_use]
    pub const fn inherited_mask(&self) -> &SigSet {
        &self.found
    }

    /// The next pending signal of `those`, if there is one.
    pub fn next(&self, those: &PendingSignals) -> io::Result<Option<SignalInfo>> {
        Ok(take(&those.0)?.map(|info| SignalInfo::from_info(&info)))
    }
}

/// Those that are pending for this process now, which has blocked them.
pub fn pending() -> io::Result<PendingSignals> {
    // SAFETY: all-zero bytes are a valid, empty set.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: fills a valid, owned set.
    Errno::result(unsafe { libc::sigpending(&raw mut set) })?;
    Ok(PendingSignals(set))
}

/// Takes a pending signal `number` back.
pub(super) fn discard(number: Signal) -> io::Result<()> {
    take(SigSet::from(number).as_ref()).map(drop)
}

/// The next pending signal of `those`, which are blocked.
fn take(those: &libc::sigset_t) -> io::Result<Option<libc::siginfo_t>> {
    // SAFETY: all-zero bytes are a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid set, a struct to fill and a time, all owned.
    match Errno::result(unsafe { libc::sigtimedwait(those, &raw mut info, &raw const at_once) }) {
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
        // SAFETY: the kernel has filled it for every signal that a process has sent; see `new` for the others.
        let pid = unsafe { info.si_pid() };
        // SAFETY: as above.
        let uid = unsafe { info.si_uid() };
        // SAFETY: as above; any bytes are a valid word.
        let value = unsafe { info.si_value() }.sival_ptr.addr();
        Self::new(info.si_signo, info.si_code, (pid, uid), value)
    }

    /// `sender` and `value` mean something only for the codes that have them.
    fn new(number: i32, code: i32, sender: (i32, u32), value: usize) -> Self {
        let (pid, uid) = sender;
        let is_sent = [libc::SI_USER, libc::SI_QUEUE, libc::SI_TKILL].contains(&code);
        let sender = if is_sent { Sender::Process { pid, uid } } else { Sender::Kernel };
        Self { number, sender, value: (code == libc::SI_QUEUE).then_some(value) }
    }

    /// What another process has read from its signalfd: whole records of [`RECORD_BYTES`].
    pub(super) fn from_records(bytes: &[u8]) -> impl Iterator<Item = Self> {
        bytes.chunks_exact(RECORD_BYTES).map(|record| {
            // SAFETY: the chunk is as long as the struct, which is plain integers: any bytes are one, at any address.
            let info = unsafe { record.as_ptr().cast::<libc::signalfd_siginfo>().read_unaligned() };
            let number = i32::try_from(info.ssi_signo).unwrap_or_default();
            let pid = i32::try_from(info.ssi_pid).unwrap_or_default();
            let value = usize::try_from(info.ssi_ptr).unwrap_or_default();
            Self::new(number, info.ssi_code, (pid, info.ssi_uid), value)
        })
    }
}

/// Some signals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSet(pub(super) u64);

impl SignalSet {
    #[must_use]
    pub const fn contains(self, number: i32) -> bool {
        matches!(number, 1..=64) && self.0 & (1 << (number - 1)) != 0
    }
}

impl FromIterator<i32> for SignalSet {
    /// What is not from 1 to 64 is no signal.
    fn from_iter<I: IntoIterator<Item = i32>>(numbers: I) -> Self {
        let bits = numbers.into_iter().filter(|number| matches!(number, 1..=64)).map(|number| 1 << (number - 1));
        Self(bits.fold(0, std::ops::BitOr::bitor))
    }
}

/// The numbers of the signals that wait to be taken.
#[derive(Clone, Copy)]
pub struct PendingSignals(libc::sigset_t);

impl PendingSignals {
    #[must_use]
    pub fn contains(&self, number: i32) -> bool {
        // SAFETY: reads a valid set; a number that is none is an error code.
        unsafe { libc::sigismember(&raw const self.0, number) == 1 }
    }

    /// Whether there is one that is more than news of a child.
    #[must_use]
    pub fn has_other_than_sigchld(&self) -> bool {
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

/// Sets the default action of signal `number`.
pub(super) fn set_default(number: i32) -> io::Result<()> {
    // SAFETY: installs no handler, only the default.
    if unsafe { libc::signal(number, libc::SIG_DFL) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Sets the thread's mask. For a child between fork and exec.
pub(super) fn set_mask(mask: &SigSet) -> nix::Result<()> {
    nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(mask), None)
}

pub use libc::{
    SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGPROF, SIGQUIT, SIGSTOP, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU,
    SIGURG, SIGVTALRM, SIGWINCH,
};
