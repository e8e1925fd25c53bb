//! The hidden verb of a keeper's process, which a supervisor or another keeper starts.

use std::ffi::OsString;

use crate::keeper::{self, KeeperError, Role};
use crate::logging;
use crate::sys::process;

/// Keeps a run or delivers the backlog: `[--linger] [--failures N] [--until-ms MS]`, as [`Role`] writes it.
///
/// # Errors
/// The process was not started as a keeper is.
pub(super) fn keep(arguments: &[OsString]) -> Result<(), KeeperError> {
    let number = |flag: &str| {
        let at = arguments.iter().position(|word| word == flag)?;
        arguments.get(at + 1).and_then(|word| word.to_str()?.parse::<u64>().ok())
    };
    let role = Role {
        lingers: arguments.iter().any(|word| word == "--linger"),
        failures: number("--failures").and_then(|failures| u32::try_from(failures).ok()).unwrap_or(0),
        until_ms: number("--until-ms"),
    };
    process::share_one_heap();
    let lingers = role.lingers;
    let kept = keeper::run(role, |config| {
        // The keeper works without its name and its log.
        process::set_name(c"runwrap-keeper").ok();
        if !lingers {
            logging::set_run_id(&config.run_id);
        }
        logging::init(Some(&config.log_file), crate::config::Verbosity::Quiet, false).ok();
    });
    kept.inspect_err(|error| log::error!(event = "keeper_failed", error:%; ""))
}
