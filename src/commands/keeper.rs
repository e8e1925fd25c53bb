//! The hidden verb that a keeper runs, in a process that a supervisor started. Called by `commands`.

use std::ffi::OsString;

use crate::config::Verbosity;
use crate::keeper::{self, KeeperError};
use crate::logging;
use crate::sys::process;

/// Keeps a run. `arguments` is empty, or `--failures N`: how often an earlier image of this process has failed in a row.
///
/// # Errors
/// Where it was not started as a keeper is.
pub(super) fn keep(arguments: &[OsString]) -> Result<(), KeeperError> {
    let failures = arguments.get(1).and_then(|number| number.to_str()?.parse().ok()).unwrap_or(0);
    let kept = keeper::run(failures, |brief| {
        // Nobody hears of these two: without them the keeper still does what it is for.
        process::set_name(c"runwrap-keeper").ok();
        logging::init(Some(&brief.log_file), Verbosity::Quiet, false).ok();
    });
    kept.inspect_err(|error| log::error!(event = "keeper_failed", error:%; ""))
}
