//! Making processes: the trainer, by fork and exec with everything restored that it would have without runwrap, and
//! the keeper, our own binary again in a session of its own. Only ever called while the process has one thread.

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

/// Our own binary, also after it was replaced on disk.
const OWN_IMAGE: &CStr = c"/proc/self/exe";

/// Enough for a few system calls.
const KEEPER_STACK_BYTES: usize = 64 * 1024;

/// A trainer that was forked. Whether it was also executed comes through [`Trainer::exec_result`].
#[derive(Debug)]
pub struct Trainer {
    pub pid: i32,
    exec_result: File,
}

impl Trainer {
    /// Readable once it is known whether the command could be executed.
    #[must_use]
    pub fn exec_result_fd(&self) -> BorrowedFd<'_> {
        self.exec_result.as_fd()
    }

    /// The error of the exec, or `None` once the command runs. Call it when the descriptor is readable.
    pub fn exec_result(&mut self) -> io::Result<Option<io::Error>> {
        let mut errno = [0; 4];
        match self.exec_result.read(&mut errno)? {
            4 => Ok(Some(io::Error::from_raw_os_error(i32::from_ne_bytes(errno)))),
            _ => Ok(None),
        }
    }
}

/// Forks and executes `command`, looked up in PATH, with `added` on top of our own environment. `inherited_mask` is the
/// signal mask to restore. It dies with us: parent-death signal SIGKILL. Also returns which signals were pending before there
/// was a trainer: what the group gets from the fork on, the trainer gets as well, also while it is being made.
pub fn spawn_trainer(
    command: &[OsString],
    added: &[(&str, OsString)],
    inherited_mask: &SigSet,
) -> io::Result<(Trainer, signals::PendingSignals)> {
    // 1. Everything that allocates, before the fork.
    let argv = command.iter().map(|word| c_string(word)).collect::<io::Result<Vec<CString>>>()?;
    let program = argv.first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let environment = environment(added)?;
    let (exec_result, reporter) = pipe2(OFlag::O_CLOEXEC)?;
    let own_pid = getpid();
    // 2. Fork, with all signals blocked: none can be lost between here and the exec. With nothing in between: what came
    // there would be taken for one that the trainer has got.
    let earlier = signals::pending()?;
    // SAFETY: the process has one thread (no store is ever opened in the supervisor before its trainer has ended),
    // and the child calls nothing but system calls before it executes or exits.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            Ok((Trainer { pid: child.as_raw(), exec_result: File::from(exec_result) }, earlier))
        }
        ForkResult::Child => {
            let errno = become_trainer(program, &argv, &environment, inherited_mask, own_pid);
            let _written = write(&reporter, &(errno as i32).to_ne_bytes());
            exit_child()
        }
    }
}

/// In the child. Returns only if something failed.
fn become_trainer(program: &CStr, argv: &[CString], env: &[CString], mask: &SigSet, parent: Pid) -> Errno {
    // 3. Die with the supervisor, also if it has died already.
    if let Err(errno) = set_pdeathsig(Signal::SIGKILL) {
        return errno;
    }
    if getppid() != parent {
        exit_child()
    }
    // 4. What Rust's runtime and we have changed: SIGPIPE, SIGCHLD, and standard descriptors that were closed.
    for signal in [Signal::SIGPIPE, Signal::SIGCHLD] {
        let is_ignored = inherited::ignored().contains(signal as i32);
        if let Err(errno) = set_handler(signal, if is_ignored { SigHandler::SigIgn } else { SigHandler::SigDfl }) {
            return errno;
        }
    }
    for fd in inherited::closed_descriptors() {
        // SAFETY: closes a descriptor number of our own; nothing in this process uses it any more.
        unsafe { libc::close(fd) };
    }
    // 5. The mask last: a signal that came meanwhile acts as it would have in the bare command.
    if let Err(errno) = signals::set_mask(mask) {
        return errno;
    }
    failpoint::reached("before-exec");
    match execvpe(program, argv, env) {
        Ok(never) => match never {},
        Err(errno) => errno,
    }
}

/// Starts our own binary again with the words `arguments`, in a session of its own, with `/` as its directory, its standard
/// descriptors on /dev/null, `environment` and nothing else of ours but `fds`, as 3, 4, 5, … in that order. Our memory is
/// lent to it instead of copied: half a millisecond less. The trainer's is copied: its exec may hang on a dead file
/// server, and we must not hang with it.
pub fn spawn_keeper(
    arguments: &[impl AsRef<OsStr>],
    environment: &[(OsString, OsString)],
    fds: &[BorrowedFd<'_>],
) -> io::Result<i32> {
    let argv = arguments.iter().map(|word| c_string(word.as_ref())).collect::<io::Result<Vec<CString>>>()?;
    let env = environment.iter().map(|(key, value)| pair(key, value)).collect::<io::Result<Vec<CString>>>()?;
    let null = OwnedFd::from(File::options().read(true).write(true).open("/dev/null")?);
    // Copied above all targets first: a descriptor that already has one of the low numbers must not be overwritten.
    // No higher than that: the limit may be low.
    let first_free = 3 + RawFd::try_from(fds.len()).unwrap_or(RawFd::MAX);
    let high = fds.iter().map(|fd| duplicate_above(*fd, first_free)).collect::<Result<Vec<OwnedFd>, Errno>>()?;
    let mut stack = vec![0; KEEPER_STACK_BYTES];
    let child = || {
        let _errno = become_keeper(&argv, &env, &null, &high);
        127
    };
    // SAFETY: until the child executes or exits we are suspended, and it runs on a stack of its own; all that it shares with
    // us is memory, in which it writes no more than a system call's error and what `execve` allocates.
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
    match execve(OWN_IMAGE, argv, env)? {}
}

/// Executes our own binary again in this very process, keeping its descriptors up to `last_fd`; threads that hang in a
/// database's client end with the old image. Returns only if it failed.
#[must_use]
pub fn replace_image(arguments: &[String], last_fd: RawFd) -> io::Error {
    let argv = match arguments.iter().map(|word| c_string(OsStr::new(word))).collect::<io::Result<Vec<CString>>>() {
        Ok(argv) => argv,
        Err(error) => return error,
    };
    close_from(last_fd + 1);
    match nix::unistd::execv(OWN_IMAGE, &argv) {
        Ok(never) => match never {},
        Err(errno) => errno.into(),
    }
}

/// A copy of `fd` with the lowest free number that is not below `first`; close-on-exec.
fn duplicate_above(fd: BorrowedFd<'_>, first: RawFd) -> Result<OwnedFd, Errno> {
    let copy = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(first))?;
    // SAFETY: the kernel has just made it for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

fn duplicate(from: RawFd, to: RawFd) -> Result<(), Errno> {
    // SAFETY: in a child that is about to exec: what the number `to` stood for is not used again.
    Errno::result(unsafe { libc::dup2(from, to) }).map(drop)
}

fn close_from(first: RawFd) {
    // SAFETY: marks descriptors close-on-exec, touches no memory; without the call they are close-on-exec already, save
    // those that the user passed in, which the keeper then closes when it starts.
    unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

/// `handler` is the default or none.
fn set_handler(signal: Signal, handler: SigHandler) -> Result<(), Errno> {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: installs no function of ours.
    unsafe { sigaction(signal, &action) }.map(drop)
}

fn exit_child() -> ! {
    // SAFETY: ends the forked child without running anything of the parent's: no destructor, no buffer.
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
    io::Error::new(io::ErrorKind::InvalidInput, "a word contains a NUL byte")
}
