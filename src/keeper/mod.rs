//! The keeper: the process that speaks to the database for a run, and that ends the run if its supervisor cannot.
//!
//! It starts with a link to the supervisor, a brief and the journal (see `link`). It delivers the beginning, then a
//! heartbeat now and then, then the end, each from the journal, each in an attempt with a deadline. An attempt that hangs is
//! abandoned by replacing the whole image: all that is needed is in the journal. When the supervisor goes away the keeper
//! makes sure that the journal has an end (`takeover`) and delivers it; where the database does not
//! answer it leaves the journal to the one process that lingers for this state directory (`linger`).
//!
//! `machine` decides, `reactor` waits and does. Must never write to the journal while the supervisor lives.
//! Called by the hidden command `keeper`.

mod linger;
mod machine;
mod reactor;
mod takeover;

use std::time::Duration;

use crate::link::Brief;
pub use reactor::KeeperError;

/// What this process is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// How often an earlier image of this process has failed in a row.
    pub failures: u32,
    /// Deliver what was left, until this boot time at the latest (`None` within: as long as the brief says).
    pub linger: Option<Option<Duration>>,
}

/// Keeps the run whose descriptors this process was given, or what was left. `prepare` is called with the brief before
/// anything else is done.
///
/// # Errors
/// Only where it was not started as a keeper is, or the kernel refuses what cannot be done without.
pub fn run(role: Role, prepare: impl FnOnce(&Brief)) -> Result<(), KeeperError> {
    match role.linger {
        None => reactor::run(role.failures, prepare),
        Some(until) => linger::linger(until, role.failures, prepare),
    }
}
