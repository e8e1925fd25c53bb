//! What this kernel offers: its version, and the facilities that a run uses if they are there. Must not change anything.

use std::path::Path;

use nix::sys::prctl::get_pdeathsig;
use nix::sys::utsname::uname;

use super::cgroup::OomKills;
use super::host;
use super::pidfd::PidFd;

/// The facilities of the kernel and of this container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// `6.12.1`.
    pub release: String,
    /// A process can be referred to by a descriptor, not only by its number.
    pub has_pidfds: bool,
    /// A process can request a signal at the death of its parent.
    pub has_death_signal: bool,
    /// /proc shows the processes.
    pub has_proc: bool,
    /// The out-of-memory kills in this cgroup are counted.
    pub counts_oom_kills: bool,
}

impl Kernel {
    pub fn here() -> Self {
        let release =
            uname().map_or_else(|_| "unknown".to_owned(), |name| name.release().to_string_lossy().into_owned());
        Self {
            release,
            has_pidfds: matches!(PidFd::open(host::own_pid()), Ok(Some(_))),
            has_death_signal: get_pdeathsig().is_ok(),
            has_proc: Path::new("/proc/self/environ").exists(),
            counts_oom_kills: OomKills::start().can_increase(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_has_a_release_and_death_signals() {
        let kernel = Kernel::here();
        assert!(kernel.release.contains('.') && kernel.has_death_signal && kernel.has_proc, "{kernel:?}");
    }
}
