//! The keeper: the process that owns all database I/O of a run, and that ends the run if its supervisor cannot.
//!
//! It starts with a link to the supervisor, a config and the journal (see `link`). It delivers the beginning, heartbeats and
//! the end, each from the journal, each in an attempt with a deadline. An attempt that hangs is abandoned by replacing the
//! whole image: the journal has all of its state. If the supervisor vanishes, the keeper makes sure that the journal has an
//! end (`takeover`) and delivers it. If the database does not answer by then, it becomes the lingering keeper (`linger`).
//!
//! `machine` decides, `reactor` waits and performs. Must never write to the journal while the supervisor lives.

mod linger;
mod machine;
mod reactor;
mod takeover;

use std::time::Duration;

use crate::link::KeeperConfig;
pub use reactor::KeeperError;

/// The role of a keeper's image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// It delivers the backlog and keeps no run.
    pub lingers: bool,
    /// The failures in a row of earlier images.
    pub failures: u32,
    /// The boot time at which it gives up, in milliseconds, if an earlier image has set it.
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

/// Keeps the run of the inherited descriptors, or delivers the backlog. Calls `prepare` with the config first.
///
/// # Errors
/// The process was not started as a keeper is, or the kernel refuses something indispensable.
pub fn run(role: Role, prepare: impl FnOnce(&KeeperConfig)) -> Result<(), KeeperError> {
    if role.lingers { linger::linger(role, prepare) } else { reactor::run(role, prepare) }
}
