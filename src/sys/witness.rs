//! The witness: a small forked process in the supervisor's process group that records the signals it receives. If the
//! witness received the same signal from the same sender, the signal was sent to the group, so the trainer has it too
//! and the supervisor does not relay it.
//!
//! The witness reads its signals only on request, so that they merge in its queue exactly as in the supervisor's.
//!
//! While supervisor and trainer are stopped, the witness also polls the trainer. If only the trainer is continued or
//! killed, the kernel notifies just its (stopped) parent; the witness then sends SIGCONT to the supervisor.
//!
//! The witness is never executed: it costs only the pages that differ. It must not outlive the supervisor (parent-death
//! signal, closed socket), must hold none of the user's descriptors, and must hide name and command line: otherwise
//! `killall runwrap` or `pkill -f train.py` would look like a signal to the group.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::prctl::{set_name, set_pdeathsig};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use nix::sys::stat::Mode;
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid, read};

use super::clock::boot_time;
use super::descriptors::{close_from, open_descriptors};
use super::poll::readable_within;
use super::signals::{RECORD_BYTES, SIGCONT, SIGKILL, SignalInfo, Signals};
use super::spawn::duplicate;
use super::{arguments, process, wait};

/// The limit for an answer. A stopped witness delays each relayed signal by this much.
const ANSWER_WAIT: Duration = Duration::from_millis(500);
/// The limit for a killed witness to end.
const DEATH_WAIT: Duration = Duration::from_secs(1);
/// Signal records per message. A shorter message is the last of an answer.
const MESSAGE_RECORDS: usize = 16;
const NUMBER_BYTES: usize = size_of::<u32>();
/// The poll interval of [`watch_process`].
const POLL_INTERVAL_MS: u8 = 100;
/// More than [`NUMBER_BYTES`], so that the length tells a path from a query. The shortest path is `/proc/1/stat` and a
/// NUL.
const PATH_BYTES_MAX: usize = 32;
/// Enough for the process id, name and state.
const STAT_BYTES: usize = 128;
const SEND_FLAGS: MsgFlags = MsgFlags::MSG_DONTWAIT.union(MsgFlags::MSG_NOSIGNAL);
const MESSAGE_BYTES: usize = NUMBER_BYTES + MESSAGE_RECORDS * RECORD_BYTES;

/// The witness of a supervisor that has blocked all signals.
pub struct Witness {
    pub pid: i32,
    socket: OwnedFd,
    queries: u32,
}

impl Witness {
    /// Forks the witness. Call it while the process has one thread.
    pub fn start(signals: &Signals) -> io::Result<Self> {
        // Before the fork: the child makes only system calls. Without /proc no process reads its command line either.
        let [start, _, _, end] = arguments::addresses().unwrap_or_default();
        let open = open_descriptors();
        let signals = signals.fd.as_ref().ok_or(io::ErrorKind::Unsupported)?.as_raw_fd();
        let (socket, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        let parent = getpid();
        // SAFETY: the process has one thread, and the child makes only system calls and ends without returning.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => {
                drop(theirs);
                Ok(Self { pid: child.as_raw(), socket, queries: 0 })
            }
            ForkResult::Child => {
                if hide_identity((start, end), parent).is_ok() && keep_only(theirs.as_raw_fd(), signals, &open).is_ok()
                {
                    serve_queries();
                }
                // SAFETY: ends the forked child without running the parent's destructors.
                unsafe { libc::_exit(0) }
            }
        }
    }

    /// The signals that the witness has received since the last query.
    ///
    /// # Errors
    /// `TimedOut` if the witness does not answer in time; a later query may succeed. Any other error: the witness has
    /// ended.
    pub fn query(&mut self) -> io::Result<Vec<SignalInfo>> {
        self.queries = self.queries.wrapping_add(1);
        let number = self.queries.to_ne_bytes();
        match send(self.socket.as_raw_fd(), &number, SEND_FLAGS) {
            Ok(_) => {}
            // The witness has about a hundred unread queries: it is stopped.
            Err(Errno::EAGAIN) => return Err(io::ErrorKind::TimedOut.into()),
            Err(errno) => return Err(errno.into()),
        }
        let deadline = boot_time() + ANSWER_WAIT;
        let mut received = Vec::new();
        loop {
            if !readable_within(&self.socket, deadline.saturating_sub(boot_time()))? {
                // A late answer carries an old query number and is discarded by the next query.
                return Err(io::ErrorKind::TimedOut.into());
            }
            let mut message = [0; MESSAGE_BYTES];
            let length = recv(self.socket.as_raw_fd(), &mut message, MsgFlags::MSG_DONTWAIT)?;
            let Some((answered, records)) = message.get(..length).and_then(<[u8]>::split_first_chunk) else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            if *answered == number {
                received.extend(SignalInfo::from_records(records));
                if length < MESSAGE_BYTES {
                    return Ok(received);
                }
            }
        }
    }

    /// Makes the witness poll the stopped child `pid` and send SIGCONT to this process once the child is not stopped
    /// any more. The next query ends the polling.
    pub fn watch(&self, pid: i32) -> io::Result<()> {
        let path = CString::new(format!("/proc/{pid}/stat"))?;
        Ok(send(self.socket.as_raw_fd(), path.as_bytes_with_nul(), SEND_FLAGS).map(drop)?)
    }

    /// Continues a stopped witness.
    pub fn wake(&self) -> io::Result<()> {
        self.send(SIGCONT)
    }

    /// Kills the witness without waiting. Its end is reaped like any other child's.
    pub fn kill_process(&self) -> io::Result<()> {
        self.send(SIGKILL)
    }

    /// Does nothing once the witness was reaped: its id may be another process's then.
    fn send(&self, signal: i32) -> io::Result<()> {
        if wait::is_child(self.pid) { process::send(self.pid, signal, None) } else { Ok(()) }
    }
}

impl Drop for Witness {
    /// Waits for the end, so that the process group is as empty as without runwrap.
    fn drop(&mut self) {
        let killed = if wait::is_child(self.pid) { wait::kill(self.pid, DEATH_WAIT) } else { Ok(()) };
        if let Err(error) = killed.and_then(|()| wait::reap(self.pid)) {
            log::warn!(event = "witness_not_reaped", error:%; "the witness is not reaped: {error}");
        }
    }
}

/// Runs in the child: parent-death signal, own name, empty command line and environment.
fn hide_identity(memory: (usize, usize), parent: Pid) -> Result<(), Errno> {
    set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != parent {
        return Err(Errno::ESRCH);
    }
    set_name(c"rw-witness")?;
    arguments::overwrite(memory, b"");
    Ok(())
}

/// Runs in the child: moves the socket to descriptor 0 and the signalfd to 1, and closes all others.
fn keep_only(socket: RawFd, signals: RawFd, open: &[RawFd]) -> Result<(), Errno> {
    // Neither descriptor is below 3: Rust's runtime has opened the standard descriptors that were closed.
    for (from, to) in [(socket, 0), (signals, 1)] {
        duplicate(from, to)?;
    }
    close_from(2, open);
    Ok(())
}

/// Runs in the child until the supervisor closes its end.
fn serve_queries() {
    let mut message = [0_u8; MESSAGE_BYTES];
    while let Ok(length @ 1..) = recv(0, &mut message[..PATH_BYTES_MAX], MsgFlags::empty()) {
        if length != NUMBER_BYTES {
            watch_process(&message[..length]);
            continue;
        }
        loop {
            let room = &mut message[NUMBER_BYTES..];
            // SAFETY: fills at most the owned bytes given. A signalfd returns the signals of the process that reads it.
            let read = unsafe { libc::read(1, room.as_mut_ptr().cast(), room.len()) };
            // EAGAIN: no more pending signals.
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

/// Runs in the child until the next message, or until the process of `/proc/PID/stat` is not stopped any more.
fn watch_process(path: &[u8]) {
    let Ok(path) = CStr::from_bytes_until_nul(path) else { return };
    // SAFETY: descriptor 0 stays open as long as the child runs.
    let socket = unsafe { BorrowedFd::borrow_raw(0) };
    while poll(&mut [PollFd::new(socket, PollFlags::POLLIN)], POLL_INTERVAL_MS) == Ok(0) {
        if !is_stopped(path) {
            // On failure the parent has ended, and the parent-death signal ends this process.
            let _sent = kill(getppid(), Signal::SIGCONT).is_ok();
            return;
        }
    }
}

/// Runs in the child.
fn is_stopped(path: &CStr) -> bool {
    // The stopped parent cannot reap it, so a process that cannot be read still exists.
    let Ok(file) = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()) else { return true };
    let mut stat = [0; STAT_BYTES];
    let length = read(&file, &mut stat).unwrap_or(0);
    // The state follows the name, which is in parentheses and may contain any character.
    let state = stat[..length].rsplit(|byte| *byte == b')').next().and_then(|rest| rest.get(1));
    state.is_none_or(|state| matches!(state, b'T' | b't'))
}
