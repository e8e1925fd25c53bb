//! What earlier runs have left: whether there is something for this run's database, and a process of its own that delivers it.
//! Must not deliver anything itself: that one might hang. Called by `reactor`.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use super::Role;
use crate::delivery::{Leftover, inspect};
use crate::journal::Home;
use crate::link::KeeperConfig;
use crate::sys::pidfd::PidFd;
use crate::sys::{process, spawn};

/// More directories than this are not looked at at the start of a run; `recover` looks at all.
const LOOKED_AT_MAX: usize = 1000;

/// Starts a process that delivers what earlier runs have left, if they have.
pub(super) fn look(home: &Home, config: &KeeperConfig) -> Option<PidFd> {
    if let Err(error) = home.remove_remains() {
        log::info!(event = "remains_left", error:%; "");
    }
    let identity = config.target.identity();
    let dead = |name: &OsString| match inspect(home, name, &identity) {
        Ok(Leftover::Dead(_)) => true,
        Ok(left) => {
            left.log(name);
            false
        }
        Err(error) => {
            log::warn!(event = "run_unreadable", run:? = name, error:%; "");
            false
        }
    };
    if !home.run_names().is_ok_and(|names| names.iter().take(LOOKED_AT_MAX).any(dead)) {
        return None;
    }
    start_lingering(config).unwrap_or_else(|error| {
        // The next run will try again.
        log::warn!(event = "linger_not_started", run_id:% = config.run_id, error:%; "");
        None
    })
}

/// `None` if it has ended already.
fn start_lingering(config: &KeeperConfig) -> io::Result<Option<PidFd>> {
    process::autoreap_children()?;
    let written = config.write()?;
    let nothing = File::open("/dev/null")?;
    let environment: Vec<_> = std::env::vars_os().collect();
    let words = Role { lingers: true, ..Role::default() }.words();
    let pid = spawn::spawn_keeper(&words, &environment, &[nothing.as_fd(), written.as_fd()])?;
    log::info!(event = "linger_started", run_id:% = config.run_id, linger_pid = pid; "");
    PidFd::open(pid)
}
