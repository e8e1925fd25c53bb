//! The exit statuses that are runwrap's own, and which error gives which. Called by the verbs.

use std::process::ExitCode;

use thiserror::Error;

use crate::config::ConfigError;

/// `--timeout` ran out, as in `timeout`.
pub const TIMED_OUT: u8 = 124;
/// runwrap itself failed or was misused; nothing was started.
pub const FAILED: u8 = 125;
/// The command was found and could not be executed.
pub const NOT_EXECUTABLE: u8 = 126;
/// The command was not found.
pub const NOT_FOUND: u8 = 127;

/// Why a verb could not do its work.
#[derive(Debug, Error)]
pub enum CommandError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("cannot write to stdout: {0}")]
    Output(#[from] std::io::Error),
}

impl CommandError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Config(error) => Some(error.hint()),
            Self::Output(_) => None,
        }
    }

    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Config(_) | Self::Output(_) => FAILED,
        })
    }
}
