//! Signals as readable events with their senders, and signal names. Signals are blocked and taken from the kernel's own
//! queue, so none is lost or merged that the kernel would not merge for a bare process. Must not decide what a signal
//! causes.

use std::io;
use std::mem::size_of;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::clock::boot_time;

/// How often pending signals are looked for without a signalfd.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

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
    /// A process, by `kill` or `sigqueue`; its real user.
    Process { pid: i32, uid: u32 },
}

/// All signals that can be blocked, blocked and readable. A fault of this process (SIGSEGV, …) kills it in spite of the
/// mask, so a fault signal that is read here was sent by a process.
pub struct Signals {
    /// Readable while a signal is pending. `None` if this process may open no further descriptor: see [`Signals::wake_at`].
    pub fd: Option<SignalFd>,
    /// The mask before [`Signals::block_all`]. The trainer inherits it.
    pub inherited: SigSet,
}

impl Signals {
    /// Blocks every signal. `inherited` is the mask at the start, if it is not the present one.
    pub fn block_all(inherited: Option<SigSet>) -> io::Result<Self> {
        let inherited = inherited.or_else(|| SigSet::thread_get_mask().ok()).unwrap_or_else(SigSet::empty);
        let blocked = SigSet::all();
        blocked.thread_set_mask()?;
        // Some parents leave SIGCHLD ignored. Then the kernel reaps children itself and sends no SIGCHLD.
        set_action(SIGCHLD, libc::SIG_DFL)?;
        let fd = SignalFd::with_flags(&blocked, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK);
        Ok(Self { fd: fd.ok(), inherited })
    }

    /// The end of a wait for signals: `deadline`, or sooner if no descriptor shows a pending signal.
    pub fn wake_at(&self, deadline: Option<Duration>) -> Option<Duration> {
        if self.fd.is_some() {
            return deadline;
        }
        let next_look = boot_time() + LOOK_INTERVAL;
        Some(deadline.map_or(next_look, |deadline| deadline.min(next_look)))
    }

    /// Runs `work` under the inherited mask: pending and new signals act as in the bare command. PID 1 of a container
    /// keeps them blocked: unblocked, the kernel would discard every signal without a handler.
    pub fn with_inherited_mask<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        if super::host::is_first_process() {
            return Ok(work());
        }
        self.inherited.thread_set_mask()?;
        let done = work();
        SigSet::all().thread_set_mask()?;
        Ok(done)
    }
}

/// The signals of `mask`, signal N as bit N - 1.
pub(super) fn mask_bits(mask: &SigSet) -> u64 {
    // SAFETY: reads an owned, initialized set. Numbers that the C library reserves are no members.
    let is_member = |number: &i32| unsafe { libc::sigismember(mask.as_ref(), *number) } == 1;
    (1..=64).filter(is_member).fold(0, |bits, number| bits | 1 << (number - 1))
}

/// The reverse of [`mask_bits`].
pub(super) fn mask_of_bits(bits: u64) -> SigSet {
    let mut set = *SigSet::empty().as_ref();
    for number in (1..=64).filter(|number| bits & (1 << (number - 1)) != 0) {
        // SAFETY: changes an owned, initialized set. The C library refuses the numbers that it reserves.
        unsafe { libc::sigaddset(&raw mut set, number) };
    }
    // SAFETY: the set was initialized as an empty one.
    unsafe { SigSet::from_sigset_t_unchecked(set) }
}

/// The signals that are pending for this process now.
pub fn pending() -> io::Result<SignalSet> {
    let mut set = SignalSet::default();
    // SAFETY: fills one owned word, the kernel's set of the signals 1 to 64.
    Errno::result(unsafe { libc::syscall(libc::SYS_rt_sigpending, &raw mut set.0, size_of::<u64>()) })?;
    Ok(set)
}

/// Takes the next pending signal of `set`. The signals of the set are blocked.
pub fn take(set: SignalSet) -> io::Result<Option<SignalInfo>> {
    // SAFETY: all-zero bytes are a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let (set, at_once) = (&raw const set.0, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: the kernel's set of one word, a struct to fill and a timeout, all owned.
    let taken =
        unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, set, &raw mut info, &raw const at_once, size_of::<u64>()) };
    match Errno::result(taken) {
        Ok(_) => {
            // SAFETY: the kernel fills the field for every signal that a process sent; `new` ignores it for others.
            let pid = unsafe { info.si_pid() };
            // SAFETY: as above.
            let uid = unsafe { info.si_uid() };
            // SAFETY: as above; any bytes are a valid word.
            let value = unsafe { info.si_value() }.sival_ptr.addr();
            Ok(Some(SignalInfo::new(info.si_signo, info.si_code, (pid, uid), value)))
        }
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

impl SignalInfo {
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

/// A set of signal numbers, as the kernel has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSet(pub(super) u64);

impl SignalSet {
    pub const fn contains(self, number: i32) -> bool {
        matches!(number, 1..=64) && self.0 & (1 << (number - 1)) != 0
    }

    #[must_use]
    pub const fn without(self, number: i32) -> Self {
        if self.contains(number) { Self(self.0 & !(1 << (number - 1))) } else { self }
    }
}

/// Whether equal signals of this number merge while one of them is pending: all but the kernel's real-time signals.
pub const fn merges(number: i32) -> bool {
    number < 32
}

impl FromIterator<i32> for SignalSet {
    /// Numbers outside 1..=64 are skipped.
    fn from_iter<I: IntoIterator<Item = i32>>(numbers: I) -> Self {
        let bits = numbers.into_iter().filter(|number| matches!(number, 1..=64)).map(|number| 1 << (number - 1));
        Self(bits.fold(0, std::ops::BitOr::bitor))
    }
}

/// `SIGTERM`, `SIGRTMIN+3`, or `SIG99` for a number without a name.
pub fn name(number: i32) -> String {
    let first = libc::SIGRTMIN();
    match Signal::try_from(number) {
        Ok(signal) => signal.as_str().to_owned(),
        Err(_) if number == first => "SIGRTMIN".to_owned(),
        Err(_) if (first..=libc::SIGRTMAX()).contains(&number) => format!("SIGRTMIN+{}", number - first),
        Err(_) => format!("SIG{number}"),
    }
}

/// Sets the action of signal `number` to SIG_DFL or SIG_IGN. Async-signal-safe: used between fork and exec.
pub(super) fn set_action(number: i32, action: libc::sighandler_t) -> nix::Result<()> {
    // SAFETY: installs no function.
    Errno::result(unsafe { libc::signal(number, action) }).map(drop)
}

pub use libc::{
    SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGPROF, SIGQUIT, SIGSTOP, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU,
    SIGVTALRM, SIGWINCH,
};
