//! Starts processes. The trainer: fork and exec, with everything restored that runwrap changed. The keeper: this binary
//! again, in its own session. Both only while the process has one thread.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sched::{CloneFlags, clone};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::{ForkResult, Pid, chdir, execve, execvpe, fork, getpid, getppid, pipe2, setsid, write};

use super::{failpoint, inherited, signals};

/// This binary, even after the file was replaced on disk.
const SELF_EXE: &CStr = c"/proc/self/exe";

/// Enough for a few system calls.
const KEEPER_STACK_BYTES: usize = 64 * 1024;

/// A forked trainer. [`Trainer::exec_result`] reports whether the exec succeeded.
#[derive(Debug)]
pub struct Trainer {
    pub pid: i32,
    exec_result: File,
}

impl Trainer {
    /// Readable once the exec has succeeded or failed.
    #[must_use]
    pub fn exec_result_fd(&self) -> BorrowedFd<'_> {
        self.exec_result.as_fd()
    }

    /// The error of the exec; `None` if the command runs. Call it when the descriptor is readable.
    pub fn exec_result(&mut self) -> io::Result<Option<io::Error>> {
        let mut errno = [0; 4];
        match self.exec_result.read(&mut errno)? {
            4 => Ok(Some(io::Error::from_raw_os_error(i32::from_ne_bytes(errno)))),
            _ => Ok(None),
        }
    }
}

/// Forks and executes `command`, looked up in PATH, with `added` on top of this process's environment and
/// `inherited_mask` as signal mask. The trainer gets parent-death signal SIGKILL.
///
/// Also returns the signals that were pending before the fork: only those did not reach the trainer. From the fork on,
/// a signal to the process group reaches the trainer too.
pub fn spawn_trainer(
    command: &[OsString],
    added: &[(&str, OsString)],
    inherited_mask: &SigSet,
) -> io::Result<(Trainer, signals::PendingSignals)> {
    // 1. Allocate before the fork.
    let argv = command.iter().map(|argument| c_string(argument)).collect::<io::Result<Vec<CString>>>()?;
    let program = argv.first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let environment = environment(added)?;
    let (exec_result, reporter) = pipe2(OFlag::O_CLOEXEC)?;
    let own_pid = getpid();
    // 2. Read the pending signals and fork at once, with all signals blocked. A signal between the two calls would be
    // counted as delivered to the trainer.
    let pending_before = signals::pending()?;
    // SAFETY: the process has one thread (the supervisor opens no store before its trainer has ended), and the child
    // makes only system calls before it executes or exits.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            Ok((Trainer { pid: child.as_raw(), exec_result: File::from(exec_result) }, pending_before))
        }
        ForkResult::Child => {
            let errno = become_trainer(program, &argv, &environment, inherited_mask, own_pid);
            let _written = write(&reporter, &(errno as i32).to_ne_bytes());
            exit_child()
        }
    }
}

/// Runs in the child. Returns only on failure.
fn become_trainer(program: &CStr, argv: &[CString], env: &[CString], mask: &SigSet, parent: Pid) -> Errno {
    // 3. Die with the supervisor, even if it died before prctl.
    if let Err(errno) = set_pdeathsig(Signal::SIGKILL) {
        return errno;
    }
    if getppid() != parent {
        exit_child()
    }
    // 4. Restore the dispositions and descriptors that Rust's runtime and `Signals` changed.
    for signal in [Signal::SIGPIPE, Signal::SIGCHLD] {
        let is_ignored = inherited::ignored().contains(signal as i32);
        if let Err(errno) = set_handler(signal, if is_ignored { SigHandler::SigIgn } else { SigHandler::SigDfl }) {
            return errno;
        }
    }
    for fd in inherited::closed_descriptors() {
        // SAFETY: closes a standard descriptor of the child; nothing uses it any more.
        unsafe { libc::close(fd) };
    }
    // 5. Restore the mask last: a signal that arrived meanwhile acts as in the bare command.
    if let Err(errno) = signals::set_mask(mask) {
        return errno;
    }
    failpoint::reached("before-exec");
    match execvpe(program, argv, env) {
        Ok(never) => match never {},
        Err(errno) => errno,
    }
}

/// Starts this binary with `arguments` in a new session: directory `/`, standard descriptors on /dev/null,
/// `environment`, and `fds` as 3, 4, 5, … in that order; no other descriptor.
///
/// CLONE_VM | CLONE_VFORK shares the memory instead of copying page tables and saves 0.5 ms. It suspends this process
/// until the exec. The trainer is forked instead: its exec may hang on a dead file server, and the supervisor must not
/// hang with it.
pub fn spawn_keeper(
    arguments: &[impl AsRef<OsStr>],
    environment: &[(OsString, OsString)],
    fds: &[BorrowedFd<'_>],
) -> io::Result<i32> {
    let argv = arguments.iter().map(|argument| c_string(argument.as_ref())).collect::<io::Result<Vec<CString>>>()?;
    let env = environment.iter().map(|(key, value)| pair(key, value)).collect::<io::Result<Vec<CString>>>()?;
    let null = OwnedFd::from(File::options().read(true).write(true).open("/dev/null")?);
    // Duplicated above all targets first: dup2 must not overwrite a descriptor that already has a low number. The
    // lowest such number: RLIMIT_NOFILE may be small.
    let first_free = 3 + RawFd::try_from(fds.len()).unwrap_or(RawFd::MAX);
    let high = fds.iter().map(|fd| duplicate_above(*fd, first_free)).collect::<Result<Vec<OwnedFd>, Errno>>()?;
    let mut stack = vec![0; KEEPER_STACK_BYTES];
    let child = || {
        let _errno = become_keeper(&argv, &env, &null, &high);
        127
    };
    // SAFETY: this process is suspended until the child executes or exits, and the child runs on its own stack. In the
    // shared memory it writes only errno and what `execve` allocates.
    let spawned = unsafe {
        clone(Box::new(child), &mut stack, CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK, Some(libc::SIGCHLD))
    };
    Ok(spawned?.as_raw())
}

fn become_keeper(argv: &[CString], env: &[CString], null: &OwnedFd, high: &[OwnedFd]) -> Result<(), Errno> {
    setsid()?;
    chdir(c"/")?;
    for target in 0..3 {
        duplicate(null.as_raw_fd(), target)?;
    }
    let mut next = 3;
    for fd in high {
        duplicate(fd.as_raw_fd(), next)?;
        next += 1;
    }
    close_from(next);
    for number in 1..=31 {
        if let Ok(signal) = Signal::try_from(number)
            && !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP)
        {
            set_handler(signal, SigHandler::SigDfl)?;
        }
    }
    signals::set_mask(&SigSet::empty())?;
    match execve(SELF_EXE, argv, env)? {}
}

/// Executes this binary in this process and keeps the descriptors up to `last_fd`. Threads that hang in a database
/// client end with the old image. Returns only on failure.
#[must_use]
pub fn replace_image(arguments: &[String], last_fd: RawFd) -> io::Error {
    let argv =
        match arguments.iter().map(|argument| c_string(OsStr::new(argument))).collect::<io::Result<Vec<CString>>>() {
            Ok(argv) => argv,
            Err(error) => return error,
        };
    close_from(last_fd + 1);
    match nix::unistd::execv(SELF_EXE, &argv) {
        Ok(never) => match never {},
        Err(errno) => errno.into(),
    }
}

/// Duplicates `fd` to the lowest free number that is not below `first`; close-on-exec.
fn duplicate_above(fd: BorrowedFd<'_>, first: RawFd) -> Result<OwnedFd, Errno> {
    let copy = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(first))?;
    // SAFETY: the kernel has just created the descriptor, and no other code uses it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

fn duplicate(from: RawFd, to: RawFd) -> Result<(), Errno> {
    // SAFETY: runs in a child that is about to exec; the previous descriptor `to` is not used again.
    Errno::result(unsafe { libc::dup2(from, to) }).map(drop)
}

fn close_from(first: RawFd) {
    // SAFETY: marks descriptors close-on-exec, touches no memory. If the call fails, only descriptors that the user
    // passed in stay open, and the keeper closes those when it starts.
    unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

/// `handler` is SIG_DFL or SIG_IGN.
fn set_handler(signal: Signal, handler: SigHandler) -> Result<(), Errno> {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: installs no function.
    unsafe { sigaction(signal, &action) }.map(drop)
}

fn exit_child() -> ! {
    // SAFETY: ends the forked child without running the parent's destructors or flushing its buffers.
    unsafe { libc::_exit(127) }
}

fn environment(added: &[(&str, OsString)]) -> io::Result<Vec<CString>> {
    let is_replaced = |entry: &CString| {
        let key = entry.as_bytes().split(|byte| *byte == b'=').next();
        added.iter().any(|(name, _)| key == Some(name.as_bytes()))
    };
    let kept = inherited::environment().into_iter().filter(|entry| !is_replaced(entry)).map(Ok);
    kept.chain(added.iter().map(|(name, value)| pair(OsStr::new(name), value))).collect()
}

fn pair(key: &OsStr, value: &OsStr) -> io::Result<CString> {
    let mut pair = Vec::with_capacity(key.len() + value.len() + 2);
    pair.extend_from_slice(key.as_bytes());
    pair.push(b'=');
    pair.extend_from_slice(value.as_bytes());
    CString::new(pair).map_err(|_| nul_byte())
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| nul_byte())
}

fn nul_byte() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "an argument or variable contains a NUL byte")
}
