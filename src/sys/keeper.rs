//! Starts keepers: this binary in a session of its own, with no descriptor and no action of a signal but its own.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::panic::catch_unwind;

use nix::errno::Errno;
use nix::sched::{CloneFlags, clone};
use nix::sys::signal::SigSet;
use nix::unistd::{ForkResult, chdir, execve, fork, setsid};

use super::descriptors::{close_from, open_descriptors};
use super::leftovers::RUN_ID;
use super::spawn::{
    FAILED, SELF_EXE, c_strings, duplicate, duplicate_above, environment_without, exit_child, own_path,
};
use super::{arguments, inherited, process, signals, threads};

/// The command line of a forked keeper.
const LINE: &[u8] = b"runwrap\0keeper\0";

/// The keeper has a copy of a longer command line for nothing, and /proc shows it as a line of that length.
const LINE_BYTES_MAX: usize = 4096;

/// Enough for a few system calls.
const STACK_BYTES: usize = 16 * 1024;

/// The code of a forked keeper.
#[derive(Clone, Copy)]
pub struct Keep {
    /// Closes what this process has open that is no keeper's: the numbers of those descriptors will be other descriptors.
    pub release: fn(),
    /// Keeps the run of the keeper's descriptors, and returns the exit status.
    pub run: fn() -> u8,
}

/// Starts the keeper of a run as [`spawn`] does, with the command line `runwrap keeper`, by a fork of this process without an exec,
/// which would cost a run 0.7 ms of the processor.
///
/// The exec is left where a fork would show: below another run, whose id is in the environment; beside a thread of a preloaded
/// library, whose locks the child would find taken; and where the command line is too short for the keeper's, or too long to be kept.
pub fn start(fds: &[BorrowedFd<'_>], keep: Keep) -> io::Result<i32> {
    let line = arguments::addresses().map_or((0, 0), |[start, end, ..]| (start, end));
    let has_room = (LINE.len()..LINE_BYTES_MAX).contains(&line.1.saturating_sub(line.0));
    if !has_room || std::env::var_os(RUN_ID).is_some() || threads::has_foreign() {
        return spawn(&["runwrap", "keeper"], fds);
    }
    let place = Place::new(fds)?;
    // SAFETY: the process has one thread, so the child finds no lock taken. It ends here, on no way through its parent's frames: it
    // neither drops nor uses what they own.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child.as_raw()),
        ForkResult::Child => {
            let kept = catch_unwind(|| {
                (keep.release)();
                place.take()?;
                // As at the start of `main`.
                inherited::ignore_again()?;
                process::survive_file_size_limit();
                arguments::overwrite(line, LINE);
                Ok::<u8, Errno>((keep.run)())
            });
            exit_child(kept.map_or(FAILED, |kept| kept.unwrap_or(FAILED)))
        }
    }
}

/// Starts this binary with `arguments` in a new session: directory `/`, standard descriptors on /dev/null, `fds`
/// as 3, 4, 5, … in that order and no other descriptor. The environment lacks the id of an outer run: its keeper would
/// kill this one as a leftover.
///
/// CLONE_VM | CLONE_VFORK shares the memory instead of copying page tables and saves 0.5 ms. It suspends this process
/// until the exec. The trainer is forked instead: its exec may hang on a dead file server, and the supervisor must not
/// hang with it.
pub fn spawn(arguments: &[impl AsRef<OsStr>], fds: &[BorrowedFd<'_>]) -> io::Result<i32> {
    let (argv, env) = (c_strings(arguments)?, environment_without(&[RUN_ID]));
    let place = Place::new(fds)?;
    let mut stack = vec![0; STACK_BYTES];
    let path = own_path();
    let child = || {
        let executed = place.take().and_then(|()| execve(SELF_EXE, &argv, &env));
        let _errno = executed.map_err(|errno| match (errno, &path) {
            (Errno::ENOENT, Some(path)) => execve(path, &argv, &env).map_or_else(|errno| errno, |never| match never {}),
            _ => errno,
        });
        FAILED.into()
    };
    // SAFETY: this process is suspended until the child executes or exits, and the child runs on its own stack. In the
    // shared memory it writes only errno and what `execve` allocates.
    let spawned = unsafe {
        clone(Box::new(child), &mut stack, CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK, Some(libc::SIGCHLD))
    };
    Ok(spawned?.as_raw())
}

/// What a new keeper needs of its parent, allocated before the fork.
struct Place {
    null: OwnedFd,
    /// Its descriptors, above all targets: dup2 must not overwrite one that already has a low number.
    high: Vec<OwnedFd>,
    open: Vec<RawFd>,
}

impl Place {
    fn new(fds: &[BorrowedFd<'_>]) -> io::Result<Self> {
        let null = OwnedFd::from(File::options().read(true).write(true).open("/dev/null")?);
        // The lowest such number: RLIMIT_NOFILE may be small.
        let first_free = 3 + RawFd::try_from(fds.len()).unwrap_or(RawFd::MAX);
        let high = fds.iter().map(|fd| duplicate_above(*fd, first_free)).collect::<Result<_, Errno>>()?;
        Ok(Self { null, high, open: open_descriptors() })
    }

    /// Runs in the child.
    fn take(&self) -> nix::Result<()> {
        setsid()?;
        chdir(c"/")?;
        for target in 0..3 {
            duplicate(self.null.as_raw_fd(), target)?;
        }
        let mut next = 3;
        for fd in &self.high {
            duplicate(fd.as_raw_fd(), next)?;
            next += 1;
        }
        close_from(next, &self.open);
        for number in (1..=31).filter(|number| ![libc::SIGKILL, libc::SIGSTOP].contains(number)) {
            signals::set_action(number, libc::SIG_DFL)?;
        }
        SigSet::empty().thread_set_mask()
    }
}
