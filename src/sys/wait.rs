//! Child status. Read an end, write it to the journal, then reap: the child stays a zombie until its end is on disk.

use std::io;
use std::time::Duration;

use nix::errno::Errno;

use super::clock::boot_time;
use super::poll::pause;
use super::{process, signals};

const KILL_POLL_INTERVAL: Duration = Duration::from_millis(5);

#[derive(Clone, Debug, PartialEq)]
pub enum ChildChange {
    Exited { code: i32, used: Rusage },
    Signaled { signal: i32, used: Rusage },
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
    if let Some((code, status, used)) = wait_id(libc::P_PID, pid, libc::WEXITED | libc::WNOWAIT)?.map(split) {
        return Ok(Some(match code {
            libc::CLD_EXITED => ChildChange::Exited { code: status, used },
            _ => ChildChange::Signaled { signal: status, used },
        }));
    }
    Ok(wait_id(libc::P_PID, pid, libc::WSTOPPED | libc::WCONTINUED)?.map(split).map(|(code, status, _)| match code {
        libc::CLD_CONTINUED => ChildChange::Continued,
        _ => ChildChange::Stopped { signal: status },
    }))
}

/// Whether the child `pid` has ended or was reaped.
pub fn has_ended(pid: i32) -> io::Result<bool> {
    if wait_id(libc::P_PID, pid, libc::WEXITED | libc::WNOWAIT)?.is_some() {
        return Ok(true);
    }
    let pid = nix::unistd::Pid::from_raw(pid);
    Ok(nix::sys::signal::kill(pid, None) == Err(Errno::ESRCH))
}

/// Kills the child `pid` and waits for its end, at most `limit`: it may be in uninterruptible sleep.
pub fn kill(pid: i32, limit: Duration) -> io::Result<()> {
    process::send(pid, signals::SIGKILL, None)?;
    let deadline = boot_time() + limit;
    while !has_ended(pid)? && boot_time() < deadline {
        pause(KILL_POLL_INTERVAL)?;
    }
    Ok(())
}

/// Whether the stopped child `pid` was continued or has ended.
pub fn has_resumed_or_ended(pid: i32) -> io::Result<bool> {
    Ok(wait_id(libc::P_PID, pid, libc::WEXITED | libc::WCONTINUED | libc::WNOWAIT)?.is_some())
}

/// Whether any child has changed state.
pub fn any_child_changed() -> io::Result<bool> {
    let all = libc::WEXITED | libc::WSTOPPED | libc::WCONTINUED | libc::WNOWAIT;
    Ok(wait_id(libc::P_ALL, 0, all)?.is_some())
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
    while let Some((info, _)) = wait_id(libc::P_ALL, 0, libc::WEXITED | libc::WNOWAIT)? {
        // SAFETY: waitid fills the child's fields in every successful call.
        let pid = unsafe { info.si_pid() };
        if Some(pid) == except {
            break;
        }
        reap(pid)?;
    }
    Ok(())
}

/// The raw `waitid` system call: it also returns the rusage, which the C library's wrapper hides.
fn wait_id(kind: libc::idtype_t, pid: i32, options: i32) -> io::Result<Option<(libc::siginfo_t, libc::rusage)>> {
    // SAFETY: all-zero bytes are a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: all-zero bytes are a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let flags = options | libc::WNOHANG;
    // SAFETY: both pointers refer to owned structs of the kernel's types that outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_waitid, kind, pid, &raw mut info, flags, &raw mut usage) };
    match Errno::result(result) {
        // SAFETY: the field stays zero if no child has changed.
        Ok(_) if unsafe { info.si_pid() } == 0 => Ok(None),
        Ok(_) => Ok(Some((info, usage))),
        Err(Errno::ECHILD | Errno::EINTR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn split((info, usage): (libc::siginfo_t, libc::rusage)) -> (i32, i32, Rusage) {
    // SAFETY: waitid fills the child's fields in every successful call.
    let status = unsafe { info.si_status() };
    let used = Rusage {
        cpu_user_seconds: seconds(usage.ru_utime),
        cpu_system_seconds: seconds(usage.ru_stime),
        max_rss_bytes: usage.ru_maxrss * 1024,
    };
    (info.si_code, status, used)
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of CPU time are far below 2^52")]
fn seconds(time: libc::timeval) -> f64 {
    time.tv_sec as f64 + time.tv_usec as f64 / 1e6
}

impl ChildChange {
    /// `exit 3` or `SIGKILL`, for the log.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Exited { code, .. } => format!("exit {code}"),
            Self::Signaled { signal, .. } | Self::Stopped { signal } => signals::name(*signal),
            Self::Continued => "continued".to_owned(),
        }
    }
}
