//! Starts the trainer: fork and exec, with everything restored that runwrap changed, while the process has one thread. Replaces this
//! process's image.

use std::convert::Infallible;
use std::ffi::{CStr, CString, OsStr, OsString, c_char};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sched::{CloneFlags, clone};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{ForkResult, Pid, execv, fork, getpid, getppid, pipe2, write};

use super::descriptors::close_on_exec_from;
use super::shared_number::SharedNumber;
use super::{failpoint, inherited, signals};

/// This binary, even after the file was replaced on disk.
pub(super) const SELF_EXE: &CStr = c"/proc/self/exe";

/// systemd writes the id of the process that it executes into these.
const NAMED_BY_PID: [&str; 3] = ["WATCHDOG_PID", "LISTEN_PID", "SYSTEMD_EXEC_PID"];

/// Names the process of `LISTEN_PID` by the number of its pidfd. Optional, and unknown for the trainer before it runs.
const NAMED_BY_PIDFD: &str = "LISTEN_PIDFDID";

/// The digits of a process id.
const PID_LEN_MAX: usize = 10;

/// The exit status of a forked child whose exec or preparation has failed.
pub(super) const FAILED: u8 = 127;

/// Enough for a few system calls and the search of PATH.
const TRAINER_STACK_BYTES: usize = 64 * 1024;

/// A forked trainer.
pub struct Trainer {
    pub pid: i32,
    pub exec_result: ExecResult,
    /// The signals that were pending before the fork: only those did not reach the trainer. From the fork on, a signal
    /// to the process group reaches the trainer too.
    pub pending_before: signals::SignalSet,
}

/// The result of the exec.
pub enum ExecResult {
    /// Readable once the exec has succeeded or failed.
    Pending(File),
    /// The error's number; 0 if the command runs.
    Known(i32),
}

impl ExecResult {
    /// Readable once [`ExecResult::error`] may be called; `None` if it may be called now.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Pending(file) => Some(file.as_fd()),
            Self::Known(_) => None,
        }
    }

    /// The error of the exec; `None` if the command runs.
    pub fn error(self) -> io::Result<Option<io::Error>> {
        let errno = match self {
            Self::Known(errno) => errno,
            Self::Pending(mut file) => {
                let mut errno = [0; 4];
                let length = file.read(&mut errno)?;
                if length == 4 { i32::from_ne_bytes(errno) } else { 0 }
            }
        };
        Ok((errno != 0).then(|| io::Error::from_raw_os_error(errno)))
    }
}

/// A variable of the trainer's environment, `None` for one that it must not inherit.
pub type Variable = (&'static str, Option<OsString>);

/// Forks and executes `command`, looked up in PATH, with `variables` in place of those in this process's environment and
/// `inherited_mask` as signal mask. The trainer gets parent-death signal SIGKILL.
pub fn spawn_trainer(command: &[OsString], variables: &[Variable], inherited_mask: &SigSet) -> io::Result<Trainer> {
    // 1. Allocate before the fork.
    let own_pid = getpid();
    let mut image = Image::new(command, variables, own_pid)?;
    let (exec_result, reporter) = match pipe2(OFlag::O_CLOEXEC) {
        Ok(both) => both,
        Err(Errno::EMFILE | Errno::ENFILE) => return spawn_suspended(&mut image, inherited_mask, own_pid),
        Err(errno) => return Err(errno.into()),
    };
    // 2. Read the pending signals and fork at once, with all signals blocked. A signal between the two calls would be
    // counted as delivered to the trainer.
    let pending_before = signals::pending()?;
    // SAFETY: the process has one thread (the supervisor opens no store before its trainer has ended), and the child
    // makes only system calls before it executes or exits.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            let exec_result = ExecResult::Pending(File::from(exec_result));
            Ok(Trainer { pid: child.as_raw(), exec_result, pending_before })
        }
        ForkResult::Child => {
            let Err(errno) = become_trainer(&mut image, inherited_mask, own_pid);
            let _written = write(&reporter, &(errno as i32).to_ne_bytes());
            exit_child(FAILED)
        }
    }
}

/// As [`spawn_trainer`], without a descriptor: suspends this process until the exec, and reads its error from memory that
/// both processes share. An exec that hangs suspends this process too, so it is the second choice.
fn spawn_suspended(image: &mut Image, mask: &SigSet, own_pid: Pid) -> io::Result<Trainer> {
    let shared = SharedNumber::new()?;
    let mut stack = vec![0; TRAINER_STACK_BYTES];
    let pending_before = signals::pending()?;
    let child = || {
        let Err(errno) = become_trainer(image, mask, own_pid);
        shared.set(errno as i32);
        FAILED.into()
    };
    // SAFETY: the process has one thread. The child has a copy of its memory, runs on the copy of `stack`, and makes only
    // system calls before it executes or exits.
    let spawned = unsafe { clone(Box::new(child), &mut stack, CloneFlags::CLONE_VFORK, Some(libc::SIGCHLD)) };
    Ok(Trainer { pid: spawned?.as_raw(), exec_result: ExecResult::Known(shared.get()), pending_before })
}

/// Executes `command`, looked up in PATH, in place of this process, which had started nothing and opened nothing. The command gets
/// the actions and the descriptors that this process was started with, and `mask` unless this process has it. Returns the error.
pub fn execute(command: &[OsString], mask: Option<SigSet>) -> io::Error {
    let attempt = || -> io::Result<Infallible> {
        let own_pid = getpid();
        let mut image = Image::new(command, &[], own_pid)?;
        inherited::restore()?;
        if let Some(mask) = mask {
            mask.thread_set_mask()?;
        }
        Ok(image.execute(own_pid)?)
    };
    let Err(error) = attempt();
    // For the message about it. A failure would leave a write to a closed pipe to end this process.
    inherited::ignore_again().ok();
    error
}

/// Runs in the child. Returns only on failure.
fn become_trainer(image: &mut Image, mask: &SigSet, parent: Pid) -> nix::Result<Infallible> {
    // 3. Die with the supervisor, even if it died before prctl.
    set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != parent {
        exit_child(FAILED)
    }
    // 4. Restore the actions and descriptors that this process has changed.
    inherited::restore()?;
    // 5. Restore the mask last: a signal that arrived meanwhile acts as in the bare command.
    mask.thread_set_mask()?;
    failpoint::reached("before-exec");
    image.execute(getpid())
}

/// The arguments of the trainer's exec, allocated before the fork.
struct Image {
    argv: Vec<CString>,
    env: Vec<CString>,
    /// The entries of `env` that name the trainer, each with room for its id.
    named: Vec<(usize, Vec<u8>)>,
    pointers: [Vec<*const c_char>; 2],
}

impl Image {
    /// The environment is this process's, with `variables`. Those that name this process by its id will name the trainer.
    fn new(command: &[OsString], variables: &[Variable], own_pid: Pid) -> io::Result<Self> {
        let argv = c_strings(command)?;
        if argv.is_empty() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut replaced: Vec<&str> = variables.iter().map(|(name, _)| *name).collect();
        let names_us = |name: &str, entry: &CString| entry.as_bytes() == format!("{name}={own_pid}").as_bytes();
        let inherited = inherited::environment();
        replaced.extend(inherited.iter().any(|entry| names_us("LISTEN_PID", entry)).then_some(NAMED_BY_PIDFD));
        let mut env = without(inherited, &replaced);
        for (name, value) in variables.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            env.push(CString::new([name.as_bytes(), b"=", value.as_bytes()].concat())?);
        }
        let mut named = Vec::new();
        for (index, entry) in env.iter().enumerate() {
            if let Some(name) = NAMED_BY_PID.iter().find(|name| names_us(name, entry)) {
                let mut buffer = Vec::with_capacity(name.len() + 1 + PID_LEN_MAX + 1);
                buffer.extend([name.as_bytes(), b"="].concat());
                named.push((index, buffer));
            }
        }
        let pointers = [&argv, &env].map(|strings| Vec::with_capacity(strings.len() + 1));
        Ok(Self { argv, env, named, pointers })
    }

    /// Runs in the child: writes `pid` into the variables that name the trainer, and executes. Returns only on failure.
    fn execute(&mut self, pid: Pid) -> nix::Result<Infallible> {
        let [argv, env] = &mut self.pointers;
        argv.extend(self.argv.iter().map(|word| word.as_ptr()));
        env.extend(self.env.iter().map(|entry| entry.as_ptr()));
        for (index, buffer) in &mut self.named {
            write!(buffer, "{pid}\0").map_err(|_| Errno::ENOMEM)?;
            if let Some(entry) = env.get_mut(*index) {
                *entry = buffer.as_ptr().cast();
            }
        }
        argv.push(std::ptr::null());
        env.push(std::ptr::null());
        let program = argv.first().copied().unwrap_or(std::ptr::null());
        // SAFETY: both arrays end with a null pointer, `argv` has a first word, and their NUL-terminated strings live in `self`.
        unsafe { libc::execvpe(program, argv.as_ptr(), env.as_ptr()) };
        Err(Errno::last())
    }
}

/// Executes this binary in this process and keeps the descriptors up to `last_fd`. Threads that hang in a database
/// client end with the old image. Returns only on failure.
pub fn replace_image(arguments: &[String], last_fd: RawFd) -> io::Result<Infallible> {
    let argv = c_strings(arguments)?;
    close_on_exec_from(last_fd + 1);
    let path = own_path();
    match (execv(SELF_EXE, &argv), path) {
        (Err(Errno::ENOENT), Some(path)) => Ok(execv(&path, &argv)?),
        (executed, _) => Ok(executed?),
    }
}

/// Duplicates `fd` to the lowest free number that is not below `first`; close-on-exec.
pub(super) fn duplicate_above(fd: BorrowedFd<'_>, first: RawFd) -> Result<OwnedFd, Errno> {
    let copy = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(first))?;
    // SAFETY: the kernel has just created the descriptor, and no other code uses it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Call it in a child.
pub(super) fn duplicate(from: RawFd, to: RawFd) -> nix::Result<()> {
    // SAFETY: two numbers; the child does not use the previous descriptor `to` again.
    Errno::result(unsafe { libc::dup2(from, to) }).map(drop)
}

/// The path that this binary was executed by, for a system without /proc. It may be another file by now.
pub(super) fn own_path() -> Option<CString> {
    // SAFETY: reads a number that the kernel passed to this process.
    let address = unsafe { libc::getauxval(libc::AT_EXECFN) };
    let address = usize::try_from(address).ok().filter(|address| *address != 0)?;
    // SAFETY: the kernel placed a NUL-terminated string there, which nothing changes.
    let path = unsafe { CStr::from_ptr(std::ptr::with_exposed_provenance(address)) };
    let path = std::path::absolute(OsStr::from_bytes(path.to_bytes())).ok()?;
    CString::new(path.into_os_string().into_encoded_bytes()).ok()
}

pub(super) fn exit_child(status: u8) -> ! {
    // SAFETY: ends the forked child without running the parent's destructors or flushing its buffers.
    unsafe { libc::_exit(status.into()) }
}

/// This process's environment without the variables `names`.
pub(super) fn environment_without(names: &[&str]) -> Vec<CString> {
    without(inherited::environment(), names)
}

fn without(mut entries: Vec<CString>, names: &[&str]) -> Vec<CString> {
    entries.retain(|entry| {
        let key = entry.as_bytes().split(|byte| *byte == b'=').next();
        names.iter().all(|name| key != Some(name.as_bytes()))
    });
    entries
}

pub(super) fn c_strings(words: &[impl AsRef<OsStr>]) -> io::Result<Vec<CString>> {
    Ok(words.iter().map(|word| CString::new(word.as_ref().as_bytes())).collect::<Result<_, _>>()?)
}
