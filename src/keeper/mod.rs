//! The keeper: the process that owns all database I/O of a run, and that ends the run if its supervisor cannot.
//!
//! It starts with a link to the supervisor, a config and the journal (see `link`). It syncs the journal (`kept_journal`) and
//! delivers the beginning, heartbeats and the end from it, each in an attempt with a deadline. An attempt that hangs is abandoned
//! by replacing the whole image: the journal has all of its state. If the supervisor vanishes, the keeper makes sure that the
//! journal has an end (`takeover`) and delivers it. If the database does not answer by then, it becomes the lingering keeper (`linger`).
//!
//! `machine` decides, `reactor` waits and performs. Must never write to the journal while the supervisor lives.

mod family;
mod kept_journal;
mod linger;
mod machine;
mod membership;
mod reactor;
mod reporting;
mod takeover;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::time::Duration;

use thiserror::Error;

use crate::config::Verbosity;
use crate::delivery::STATEMENT_TIMEOUT;
use crate::link::{CONFIG_FD, KeeperConfig};
use crate::logging;
use crate::store::{OpenOptions, StoreCache};
use crate::sys::{core_dump, inherited, process};

/// The most bytes that a server may send a keeper as one answer. The keeper then takes less than 64 MiB.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// The errors that end a keeper.
#[derive(Debug, Error)]
pub enum KeeperError {
    #[error("cannot use descriptor {fd}: {cause}; the keeper is started by runwrap itself, never by hand")]
    Descriptor { fd: RawFd, cause: io::Error },
    #[error("cannot go on: {0}")]
    System(#[from] io::Error),
}

/// The role of a keeper's image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Role {
    /// It delivers the backlog and keeps no run.
    lingers: bool,
    /// The failures in a row of earlier images.
    failures: u32,
    /// The boot time at which it gives up, if an earlier image has set it.
    until: Option<Duration>,
}

impl Role {
    /// The command line of an image with this role.
    fn words(self) -> Vec<String> {
        let mut words = vec!["runwrap".to_owned(), "keeper".to_owned()];
        words.extend(self.lingers.then(|| "--linger".to_owned()));
        words.extend(["--failures".to_owned(), self.failures.to_string()]);
        words.extend(self.until.into_iter().flat_map(|until| ["--until-ms".to_owned(), until.as_millis().to_string()]));
        words
    }

    /// The role in the arguments of a command line.
    fn parse(arguments: &[OsString]) -> Self {
        let number = |flag: &str| {
            let at = arguments.iter().position(|word| word == flag)?;
            arguments.get(at + 1).and_then(|word| word.to_str()?.parse::<u64>().ok())
        };
        Self {
            lingers: arguments.iter().any(|word| word == "--linger"),
            failures: number("--failures").and_then(|failures| u32::try_from(failures).ok()).unwrap_or(0),
            until: number("--until-ms").map(Duration::from_millis),
        }
    }
}

/// Keeps the run of the inherited descriptors, or delivers the backlog: `[--linger] [--failures N] [--until-ms MS]`.
///
/// # Errors
/// The process was not started as a keeper is, or the kernel refuses something indispensable.
pub fn run(arguments: &[OsString]) -> Result<(), KeeperError> {
    let role = Role::parse(arguments);
    // First: the environment may have the password of the database.
    core_dump::forbid()?;
    process::share_one_heap();
    let kept = if role.lingers { linger::linger(role) } else { reactor::run(role) };
    kept.inspect_err(|error| log::error!(event = "keeper_failed", error:%; ""))
}

fn inherit(fd: RawFd) -> Result<OwnedFd, KeeperError> {
    inherited::descriptor(fd).map_err(|cause| KeeperError::Descriptor { fd, cause })
}

/// Reads the config. The file stays open: an image that replaces this one finds it under its number.
fn read_config() -> Result<(File, KeeperConfig), KeeperError> {
    let file = File::from(inherit(CONFIG_FD)?);
    let config = KeeperConfig::read(&file)?;
    Ok((file, config))
}

/// Names the process and opens its log. The keeper works without both.
fn introduce(role: Role, config: &KeeperConfig) {
    process::set_name(c"runwrap-keeper").ok();
    if !role.lingers {
        logging::set_run_id(&config.run_id);
    }
    logging::init(Some(&config.log_file), Verbosity::Quiet, false).ok();
}

fn options(config: &KeeperConfig, table: &str, failures: u32, cache: &StoreCache) -> OpenOptions {
    OpenOptions {
        table: table.to_owned(),
        migrate: config.migrate,
        attempt: usize::try_from(failures).unwrap_or_default(),
        statement_timeout: STATEMENT_TIMEOUT,
        answer_bytes_max: ANSWER_BYTES_MAX,
        cache: cache.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_survives_the_command_line() {
        let full = Role { lingers: true, failures: 7, until: Some(Duration::from_millis(1_234)) };
        for role in [Role::default(), full] {
            let words: Vec<OsString> = role.words().into_iter().skip(2).map(OsString::from).collect();
            assert_eq!(Role::parse(&words), role);
        }
    }
}
