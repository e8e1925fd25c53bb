//! This process's place on the machine: host name, boot, process id, session.

use nix::unistd::{Pid, getpid, getsid};

/// The host's name, or `unknown`.
pub fn host_name() -> String {
    nix::unistd::gethostname().map_or_else(|_| "unknown".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The kernel's id of this boot; `None` if it cannot be read.
pub fn boot_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty())
}

pub fn own_pid() -> i32 {
    getpid().as_raw()
}

/// Whether this process is PID 1 of its PID namespace (the entry point of a container).
pub fn is_first_process() -> bool {
    getpid() == Pid::from_raw(1)
}

/// Whether this process leads its session. If so, a closing terminal sends SIGHUP to this process alone.
pub fn leads_session() -> bool {
    getsid(None).is_ok_and(|session| session == getpid())
}
