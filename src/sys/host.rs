//! This process's place on the machine: host name, boot, user, process id, session.

use std::path::PathBuf;
use std::sync::LazyLock;

use nix::unistd::{Pid, Uid, User, getpid, getsid};

/// The user id, with name and home directory if the password database has the user. Looked up once: the lookup may
/// query a directory server (LDAP).
pub static ACCOUNT: LazyLock<(u32, Option<(String, PathBuf)>)> = LazyLock::new(|| {
    let uid = Uid::effective();
    let entry = User::from_uid(uid).ok().flatten();
    (uid.as_raw(), entry.map(|user| (user.name, user.dir)))
});

/// The user's name, or the user id if the password database has no such user.
pub fn user_name() -> String {
    let (uid, entry) = &*ACCOUNT;
    entry.as_ref().map_or_else(|| uid.to_string(), |(name, _)| name.clone())
}

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
