//! The keeper: the process that speaks to the database for a run, and that ends the run if its supervisor cannot.
//!
//! It starts with a link to the supervisor, a config and the journal (see `link`). It delivers the beginning, then a
//! heartbeat now and then, then the end, each from the journal, each in an attempt with a deadline. An attempt that hangs is
//! abandoned by replacing the whole image: all that is needed is in the journal. When the supervisor goes away the keeper
//! makes sure that the journal has an end (`takeover`) and delivers it; where the database does not
//! answer it leaves the journal to the one process that lingers for this state directory (`linger`).
//!
//! `machine` decides, `reactor` waits and does. Must never write to the journal while the supervisor lives.
//! Called by the hidden command `keeper`.

mod earlier;
mod linger;
mod machine;
mod reactor;
mod takeover;

use std::time::Duration;

use crate::link::KeeperConfig;
pub use reactor::KeeperError;

/// What this process is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// Deliver what was left, and look after no run.
    pub lingers: bool,
    /// How often an earlier image of this process has failed in a row.
    pub failures: u32,
    /// The boot time at which it gives up once its supervisor has gone, if an earlier image knew: in milliseconds, as
    /// command lines have it.
    pub until_ms: Option<u64>,
}

impl Role {
    /// The command line of an image with this role.
    fn words(self) -> Vec<String> {
        let mut words = vec!["runwrap".to_owned(), "keeper".to_owned()];
        words.extend(self.lingers.then(|| "--linger".to_owned()));
        words.extend(["--failures".to_owned(), self.failures.to_string()]);
        words.extend(self.until_ms.into_iter().flat_map(|until_ms| ["--until-ms".to_owned(), until_ms.to_string()]));
        words
    }

    fn until(self) -> Option<Duration> {
        self.until_ms.map(Duration::from_millis)
    }
}

/// Keeps the run whose descriptors this process was given, or what was left. `prepare` is called with the config before
/// anything else is done.
///
/// # Errors
/// Only where it was not started as a keeper is, or the kernel refuses what cannot be done without.
pub fn run(role: Role, prepare: impl FnOnce(&KeeperConfig)) -> Result<(), KeeperError> {
    if role.lingers { linger::linger(role, prepare) } else { reactor::run(role, prepare) }
}
