//! What became of a child. The end is looked at first and reaped later, so that it is never known to nobody:
//! look, write it down, then reap.

use std::io;

use nix::errno::Errno;

use crate::sys::signals;

/// What happened to a child since it was last looked at.
#[derive(Clone, Debug, PartialEq)]
pub enum ChildChange {
    Exited { code: i32, used: Rusage },
    Signaled { signal: i32, used: Rusage },
    Stopped { signal: i32 },
    Continued,
}

/// What a child and the children that it waited for have used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rusage {
    pub cpu_user_seconds: f64,
    pub cpu_system_seconds: f64,
    pub max_rss_bytes: i64,
}

/// The next change of the child `pid`, if there is one. An end stays a zombie until [`reap`].
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

/// Whether the child `pid` has ended, or was reaped already.
pub fn has_ended(pid: i32) -> io::Result<bool> {
    if wait_id(libc::P_PID, pid, libc::WEXITED | libc::WNOWAIT)?.is_some() {
        return Ok(true);
    }
    let pid = nix::unistd::Pid::from_raw(pid);
    Ok(nix::sys::signal::kill(pid, None) == Err(Errno::ESRCH))
}

/// Whether the child `pid`, which was seen stopped, is so no more: it was continued, or has ended.
pub fn has_resumed_or_ended(pid: i32) -> io::Result<bool> {
    Ok(wait_id(libc::P_PID, pid, libc::WEXITED | libc::WCONTINUED | libc::WNOWAIT)?.is_some())
}

/// Whether there is a change of any child to look at.
pub fn any_child_changed() -> io::Result<bool> {
    let all = libc::WEXITED | libc::WSTOPPED | libc::WCONTINUED | libc::WNOWAIT;
    Ok(wait_id(libc::P_ALL, 0, all)?.is_some())
}

/// Reaps the ended child `pid`.
pub fn reap(pid: i32) -> io::Result<()> {
    // Not by `nix`, to which a death by a real-time signal is an error.
    wait_id(libc::P_PID, pid, libc::WEXITED).map(drop)
}

/// Reaps every ended child but `except`: keepers, and the orphans that the first process of a container inherits.
pub fn reap_others(except: Option<i32>) -> io::Result<()> {
    // An ended child is reaped in each turn, so this ends; a except zombie ends it too, and its change comes again.
    while let Some((info, _)) = wait_id(libc::P_ALL, 0, libc::WEXITED | libc::WNOWAIT)? {
        // SAFETY: the kernel filled the child's fields, as waitid says it does for every answer.
        let pid = unsafe { info.si_pid() };
        if Some(pid) == except {
            break;
        }
        reap(pid)?;
    }
    Ok(())
}

/// `waitid` with the resource use that the kernel gives and the C library's wrapper hides.
fn wait_id(kind: libc::idtype_t, pid: i32, options: i32) -> io::Result<Option<(libc::siginfo_t, libc::rusage)>> {
    // SAFETY: all-zero bytes are a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: all-zero bytes are a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let flags = options | libc::WNOHANG;
    // SAFETY: both pointers are to owned structs of the kernel's types that live through the call.
    let result = unsafe { libc::syscall(libc::SYS_waitid, kind, pid, &raw mut info, flags, &raw mut usage) };
    match Errno::result(result) {
        // SAFETY: reads a field that is zero where the kernel had nothing to say.
        Ok(_) if unsafe { info.si_pid() } == 0 => Ok(None),
        Ok(_) => Ok(Some((info, usage))),
        Err(Errno::ECHILD | Errno::EINTR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn split((info, usage): (libc::siginfo_t, libc::rusage)) -> (i32, i32, Rusage) {
    // SAFETY: the kernel filled the child's fields, as waitid says it does for every answer.
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
    /// For the log: `exit 3`, `SIGKILL`.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Exited { code, .. } => format!("exit {code}"),
            Self::Signaled { signal, .. } | Self::Stopped { signal } => signals::name(*signal),
            Self::Continued => "continued".to_owned(),
        }
    }
}
