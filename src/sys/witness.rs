//! A tiny process in our process group that tells which signals the group has got: a signal that it has from the same
//! sender as we was sent to the group, so the trainer has it already. It reads its signals only when it is asked, so that
//! they merge in its queue as they do in ours. While we are stopped together with the trainer it looks after that: one
//! that somebody continues or kills alone tells only its parent, which cannot hear then. It is a fork of us that was never
//! executed: it costs the pages that differ. Must not outlive us (parent-death signal; a closed socket), must hold no
//! descriptor of the user's, and must not look like us: what is sent to all that are called runwrap must not seem to be
//! sent to the group. Called by `supervisor`.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::prctl::{set_name, set_pdeathsig};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use nix::sys::stat::Mode;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid, read};

use super::arguments;
use super::clock::boot_time;
use super::pidfd::PidFd;
use super::poll::readable_within;
use super::signals::{RECORD_BYTES, SIGCONT, SIGKILL, Sender, SignalInfo, Signals};

/// How long an answer may take. A signal waits for it, so this bounds what a witness that is stopped costs.
const ANSWER_WAIT: Duration = Duration::from_millis(500);
/// How long a killed witness may take to die.
const DEATH_WAIT: Duration = Duration::from_secs(1);
/// How many signals fit in one message. A shorter message is an answer's last.
const MESSAGE_RECORDS: usize = 16;
const NUMBER_BYTES: usize = size_of::<u32>();
/// How often it looks at a process that it watches.
const LOOK_EVERY_MS: u8 = 100;
/// Longer than a question: this tells them apart. `/proc/1/stat` and a NUL are as short as a path gets.
const PATH_BYTES_MAX: usize = 32;
/// A process's number, name and state.
const STAT_BYTES: usize = 128;
const MESSAGE_BYTES: usize = NUMBER_BYTES + MESSAGE_RECORDS * RECORD_BYTES;

/// The witness of a supervisor that has blocked all signals.
pub struct Witness {
    process: PidFd,
    pid: i32,
    socket: OwnedFd,
    queries: u32,
}

impl Witness {
    /// Forks one. Only to be called while this process has one thread.
    pub fn start(signals: &Signals) -> io::Result<Self> {
        // Found before the fork: the child calls nothing but system calls.
        let Some(arguments_range) = arguments::address_range_with_environment() else {
            return Err(io::Error::other("/proc/self/stat does not tell where the command line is"));
        };
        let (socket, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        let parent = getpid();
        // SAFETY: the process has one thread, and the child calls nothing but system calls and ends without returning.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => {
                drop(theirs);
                // Nobody has reaped it: the number is still its own.
                let process = PidFd::open(child.as_raw())?.ok_or_else(|| io::Error::from(Errno::ESRCH))?;
                Ok(Self { process, pid: child.as_raw(), socket, queries: 0 })
            }
            ForkResult::Child => {
                if hide_identity(arguments_range, parent).is_ok()
                    && keep_only(theirs.as_raw_fd(), signals.as_fd().as_raw_fd()).is_ok()
                {
                    serve_queries();
                }
                // SAFETY: ends the forked child without running anything of the parent's.
                unsafe { libc::_exit(0) }
            }
        }
    }

    /// The signals that it has got since it was last asked.
    ///
    /// # Errors
    /// `TimedOut` if it does not answer in time; it may be asked again. Any other: it has gone.
    pub fn query(&mut self) -> io::Result<Vec<SignalInfo>> {
        self.queries = self.queries.wrapping_add(1);
        let number = self.queries.to_ne_bytes();
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match send(self.socket.as_raw_fd(), &number, flags) {
            Ok(_) => {}
            // It has not read a hundred queries.
            Err(Errno::EAGAIN) => return Err(io::ErrorKind::TimedOut.into()),
            Err(errno) => return Err(errno.into()),
        }
        let deadline = boot_time() + ANSWER_WAIT;
        let mut known = Vec::new();
        loop {
            if !readable_within(&self.socket, deadline.saturating_sub(boot_time()))? {
                // What it may yet say is the answer to an old question, and is thrown away.
                return Err(io::ErrorKind::TimedOut.into());
            }
            let mut message = [0; MESSAGE_BYTES];
            let length = recv(self.socket.as_raw_fd(), &mut message, MsgFlags::MSG_DONTWAIT)?;
            let Some((answers, records)) = message.get(..length).and_then(<[u8]>::split_first_chunk) else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            if *answers == number {
                known.extend(SignalInfo::from_records(records));
                if length < MESSAGE_BYTES {
                    return Ok(known);
                }
            }
        }
    }

    /// We are about to stop, as the child `pid` has: continues us as soon as that is not stopped any more. The next
    /// question ends it.
    pub fn watch(&self, pid: i32) -> io::Result<()> {
        let path = CString::new(format!("/proc/{pid}/stat"))?;
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        Ok(send(self.socket.as_raw_fd(), path.as_bytes_with_nul(), flags).map(drop)?)
    }

    /// Whether a signal is from it.
    #[must_use]
    pub const fn sent(&self, signal: &SignalInfo) -> bool {
        matches!(signal.sender, Sender::Process { pid, .. } if pid == self.pid)
    }

    /// Lets it go on if somebody has stopped it.
    pub fn wake(&self) -> io::Result<()> {
        self.process.signal(SIGCONT)
    }

    /// Kills it, and does not wait for its death: that is a child's end like any other.
    pub fn kill_process(&self) -> io::Result<()> {
        self.process.signal(SIGKILL)
    }

    /// Without it the process group is as empty as it would be without runwrap.
    fn end(&self) -> io::Result<()> {
        self.kill_process()?;
        readable_within(&self.process, DEATH_WAIT)?;
        match waitid(Id::PIDFd(self.process.as_fd()), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG) {
            Ok(_) | Err(Errno::ECHILD) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            log::warn!(event = "witness_left", error:%; "");
        }
    }
}

/// In the child: it dies with its parent, and has a name, a command line and an environment of its own.
fn hide_identity((start, end): (u64, u64), parent: Pid) -> Result<(), Errno> {
    set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != parent {
        return Err(Errno::ESRCH);
    }
    set_name(c"rw-witness")?;
    let (Ok(start), Ok(length)) = (usize::try_from(start), usize::try_from(end.saturating_sub(start))) else {
        return Err(Errno::EFAULT);
    };
    // SAFETY: the kernel has put the arguments_range there, at the end of the stack; this copy of them is the child's own, and it
    // looks at neither its arguments nor its environment.
    unsafe { std::ptr::write_bytes(std::ptr::with_exposed_provenance_mut::<u8>(start), 0, length) };
    Ok(())
}

/// In the child: the socket becomes descriptor 0, the signals become 1, and all others are closed.
fn keep_only(socket: RawFd, signals: RawFd) -> Result<(), Errno> {
    // Neither is one of the first three: Rust's runtime has opened those that were closed.
    for (from, to) in [(socket, 0), (signals, 1)] {
        // SAFETY: two numbers; what stood at the second is not used in this process.
        Errno::result(unsafe { libc::dup2(from, to) })?;
    }
    // SAFETY: numbers only; nothing in this process uses what it closes.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, 2, libc::c_uint::MAX, 0) }).map(drop)
}

/// In the child: until the other end is closed.
fn serve_queries() {
    let mut message = [0_u8; MESSAGE_BYTES];
    while let Ok(length @ 1..) = recv(0, &mut message[..PATH_BYTES_MAX], MsgFlags::empty()) {
        if length != NUMBER_BYTES {
            watch_process(&message[..length]);
            continue;
        }
        loop {
            let room = &mut message[NUMBER_BYTES..];
            // SAFETY: fills at most the owned bytes that it is given. A signalfd gives the signals of whoever reads it.
            let read = unsafe { libc::read(1, room.as_mut_ptr().cast(), room.len()) };
            // An error is the end of what is pending.
            let length = NUMBER_BYTES + usize::try_from(read).unwrap_or(0);
            if send(0, &message[..length], MsgFlags::MSG_NOSIGNAL) != Ok(length) {
                return;
            }
            if length < MESSAGE_BYTES {
                break;
            }
        }
    }
}

/// In the child: until the next message, or until the process of this `/proc/PID/stat` is not stopped any more.
fn watch_process(path: &[u8]) {
    let Ok(path) = CStr::from_bytes_until_nul(path) else { return };
    // SAFETY: the child's own descriptor 0, which stays open.
    let socket = unsafe { BorrowedFd::borrow_raw(0) };
    while poll(&mut [PollFd::new(socket, PollFlags::POLLIN)], LOOK_EVERY_MS) == Ok(0) {
        if !is_stopped(path) {
            // Nothing is to be done where that fails: the parent has gone, and so do we.
            let _sent = kill(getppid(), Signal::SIGCONT).is_ok();
            return;
        }
    }
}

/// In the child.
fn is_stopped(path: &CStr) -> bool {
    // Its parent is stopped and cannot reap it: one that cannot be seen has not gone.
    let Ok(file) = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()) else { return true };
    let mut stat = [0; STAT_BYTES];
    let length = read(&file, &mut stat).unwrap_or(0);
    // The name, in parentheses, may hold anything; no other parenthesis follows it.
    let state = stat[..length].rsplit(|byte| *byte == b')').next().and_then(|rest| rest.get(1));
    state.is_none_or(|state| matches!(state, b'T' | b't'))
}
