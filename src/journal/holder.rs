//! The host that holds a run's locks, and the meaning of a free lock on this one. Locks may be local to a host (NFS with nolock,
//! Lustre with localflock): elsewhere only the lease decides. Pure, except that it asks for this host's name and boot.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::record::Run;
use crate::sys::host;

/// The content of a run's lock file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    pub(crate) host: String,
    /// The kernel's id of the boot. `None`: the journal of an earlier runwrap.
    pub(crate) boot: Option<String>,
    pub(crate) lease_seconds: u32,
}

/// The meaning of a free lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FreeLock {
    /// Every process of the run is dead.
    ProvesDeath,
    /// Nothing: the run of the host may live until it has been silent for its lease.
    LeaseDecides { host: String, lease: Duration },
}

impl Holder {
    /// This host, for a run with this lease.
    pub(crate) fn here(lease: Duration) -> Self {
        let lease_seconds = u32::try_from(lease.as_secs()).unwrap_or(u32::MAX);
        Self { host: host::host_name(), boot: host::boot_id(), lease_seconds }
    }

    /// The host in a journal, if the lock file names none.
    pub(crate) fn of_run(run: &Run) -> Self {
        Self { host: run.host.clone(), boot: None, lease_seconds: run.lease_seconds }
    }

    /// The meaning of this holder's lock, which this process has taken on the host `here`. `is_real`: the kernel has the taken lock.
    /// `is_shared`: other hosts may have mounted the file system.
    pub(crate) fn free_lock(&self, here: &Self, is_real: bool, is_shared: bool) -> FreeLock {
        // One boot is one kernel, with one table of locks for all of its containers.
        let same_kernel = self.boot.is_some() && self.boot == here.boot;
        // This host before a reboot. On a shared file system, another host may have the same name.
        let same_host = self.host == here.host && (self.boot.is_none() || !is_shared);
        if is_real && (same_kernel || same_host) {
            return FreeLock::ProvesDeath;
        }
        FreeLock::LeaseDecides { host: self.host.clone(), lease: Duration::from_secs(self.lease_seconds.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_lock_proves_death_only_on_the_host_and_boot_of_its_holder() {
        let holder = |host: &str, boot: Option<&str>| Holder {
            host: host.into(),
            boot: boot.map(str::to_owned),
            lease_seconds: 300,
        };
        let here = holder("gpu1", Some("b"));
        for (host, boot, is_shared, proves) in [
            ("gpu1", Some("b"), true, true),
            ("gpu1", Some("b"), false, true),
            // A container.
            ("gpu2", Some("b"), true, true),
            // After a reboot.
            ("gpu1", Some("a"), false, true),
            ("gpu1", Some("a"), true, false),
            // A node.
            ("gpu2", Some("a"), false, false),
            ("gpu2", Some("a"), true, false),
            // The journal of an earlier runwrap.
            ("gpu1", None, true, true),
            ("gpu2", None, false, false),
        ] {
            let lease = || FreeLock::LeaseDecides { host: host.into(), lease: Duration::from_mins(5) };
            let expected = if proves { FreeLock::ProvesDeath } else { lease() };
            let meaning = |is_real| holder(host, boot).free_lock(&here, is_real, is_shared);
            assert_eq!(meaning(true), expected, "{host} {boot:?} {is_shared}");
            assert_eq!(meaning(false), lease(), "a lock that the kernel does not have");
        }
    }
}
