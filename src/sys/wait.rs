//! Child status. Read an end, write it to the journal, then reap: the child stays a zombie until its end is written.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, waitid};

use super::clock::boot_time;
use super::pidfd::PidFd;
use super::poll::{pause, readable_within};
use super::{process, signals};

const POLL_INTERVAL: Duration = Duration::from_millis(1);

#[derive(Clone, Debug, PartialEq)]
pub enum ChildChange {
    Ended { status: ExitStatus, used: Rusage },
    Stopped { signal: i32 },
    Continued,
}

/// The resource use of a child and of the descendants that it waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rusage {
    pub cpu_user_seconds: f64,
    pub cpu_system_seconds: f64,
    pub max_rss_bytes: i64,
}

/// The next change of the child `pid`. An ended child stays a zombie until [`reap`].
pub fn next_change(pid: i32) -> io::Result<Option<ChildChange>> {
    let change = match wait_id(libc::P_PID, pid, libc::WEXITED | libc::WNOWAIT)? {
        Some(end) => Some(end),
        None => wait_id(libc::P_PID, pid, libc::WSTOPPED | libc::WCONTINUED)?,
    };
    Ok(change.map(|(_, change)| change))
}

/// Whether the child `pid` has ended or was reaped.
pub fn has_ended(pid: i32) -> io::Result<bool> {
    if wait_id(libc::P_PID, pid, libc::WEXITED | libc::WNOWAIT)?.is_some() {
        return Ok(true);
    }
    let pid = nix::unistd::Pid::from_raw(pid);
    Ok(nix::sys::signal::kill(pid, None) == Err(Errno::ESRCH))
}

/// Whether `pid` is a child of this process that was not reaped: the id is still its own.
pub fn is_child(pid: i32) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    // Any other error concerns the state of a child, such as a death by a real-time signal.
    waitid(Id::Pid(nix::unistd::Pid::from_raw(pid)), flags) != Err(Errno::ECHILD)
}

/// Kills the child `pid` and waits for its end, at most `limit`: it may be in uninterruptible sleep.
pub fn kill(pid: i32, limit: Duration) -> io::Result<()> {
    process::send(pid, signals::SIGKILL, None)?;
    ends_within(pid, limit).map(drop)
}

/// Waits for the end of the child `pid`. Returns false after `limit`.
pub fn ends_within(pid: i32, limit: Duration) -> io::Result<bool> {
    let deadline = boot_time() + limit;
    // Before Linux 5.3, and where a seccomp profile refuses pidfds, the child is polled.
    if let Ok(Some(process)) = PidFd::open(pid) {
        readable_within(&process, limit)?;
    }
    while !has_ended(pid)? {
        if boot_time() >= deadline {
            return Ok(false);
        }
        pause(POLL_INTERVAL)?;
    }
    Ok(true)
}

/// Whether the stopped child `pid` was continued or has ended.
pub fn has_resumed_or_ended(pid: i32) -> io::Result<bool> {
    Ok(wait_id(libc::P_PID, pid, libc::WEXITED | libc::WCONTINUED | libc::WNOWAIT)?.is_some())
}

/// Whether the child `pid` is stopped, if nothing has waited for its stop.
pub fn is_stopped(pid: i32) -> io::Result<bool> {
    Ok(wait_id(libc::P_PID, pid, libc::WSTOPPED | libc::WNOWAIT)?.is_some())
}

/// Whether any child has changed state.
pub fn any_child_changed() -> io::Result<bool> {
    let all = libc::WEXITED | libc::WSTOPPED | libc::WCONTINUED | libc::WNOWAIT;
    Ok(wait_id(libc::P_ALL, 0, all)?.is_some())
}

/// Whether the child has ended, and reaps it then. False while it runs.
pub fn reap_ended(pid: i32) -> io::Result<bool> {
    let ended = has_ended(pid)?;
    if ended { reap(pid).map(|()| true) } else { Ok(false) }
}

/// Reaps the ended child `pid`.
pub fn reap(pid: i32) -> io::Result<()> {
    // Not `nix::sys::wait`: it returns an error for a death by a real-time signal.
    wait_id(libc::P_PID, pid, libc::WEXITED).map(drop)
}

/// Reaps every ended child except `except`: keepers, and orphans adopted by PID 1 of a container.
pub fn reap_others(except: Option<i32>) -> io::Result<()> {
    // Each turn reaps a child, so the loop ends. If waitid returns the excepted zombie first, the loop stops; the other
    // zombies are reaped after the next SIGCHLD.
    while let Some((pid, _)) = wait_id(libc::P_ALL, 0, libc::WEXITED | libc::WNOWAIT)?
        && Some(pid) != except
    {
        reap(pid)?;
    }
    Ok(())
}

/// The raw `waitid` system call: it also returns the rusage, which the C library's wrapper hides.
fn wait_id(kind: libc::idtype_t, pid: i32, options: i32) -> io::Result<Option<(i32, ChildChange)>> {
    // SAFETY: all-zero bytes are a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: all-zero bytes are a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let flags = options | libc::WNOHANG;
    // SAFETY: both pointers refer to owned structs of the kernel's types that outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_waitid, kind, pid, &raw mut info, flags, &raw mut usage) };
    match Errno::result(result) {
        Ok(_) => {}
        Err(Errno::ECHILD | Errno::EINTR) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    }
    let used = Rusage {
        cpu_user_seconds: seconds(usage.ru_utime),
        cpu_system_seconds: seconds(usage.ru_stime),
        max_rss_bytes: usage.ru_maxrss * 1024,
    };
    // SAFETY: waitid fills the child's fields in every successful call; they stay zero if no child has changed.
    let pid = unsafe { info.si_pid() };
    // SAFETY: as above.
    let status = unsafe { info.si_status() };
    let change = match info.si_code {
        libc::CLD_EXITED => ChildChange::Ended { status: ExitStatus::from_raw(status << 8), used },
        libc::CLD_STOPPED | libc::CLD_TRAPPED => ChildChange::Stopped { signal: status },
        libc::CLD_CONTINUED => ChildChange::Continued,
        _ => ChildChange::Ended { status: ExitStatus::from_raw(status), used },
    };
    Ok((pid != 0).then_some((pid, change)))
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of CPU time are far below 2^52")]
fn seconds(time: libc::timeval) -> f64 {
    time.tv_sec as f64 + time.tv_usec as f64 / 1e6
}

impl ChildChange {
    /// `exit 3` or `SIGKILL`, for the log.
    pub fn describe(&self) -> String {
        match self {
            Self::Ended { status, .. } => status
                .code()
                .map_or_else(|| signals::name(status.signal().unwrap_or_default()), |code| format!("exit {code}")),
            Self::Stopped { signal } => signals::name(*signal),
            Self::Continued => "continued".to_owned(),
        }
    }
}
