//! The error of the configuration, one shape for every option and layer: the value and its origin, the cause and a hint.
//! Must not hold a password.

use thiserror::Error;

/// A value that cannot be used. Nothing has been started when it arises.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("cannot use {subject}: {cause}")]
pub struct ConfigError {
    /// The option with its origin: `RUNWRAP_HEARTBEAT=30`, `--table`, `lease = 5 in /etc/x.toml`.
    subject: String,
    cause: String,
    /// What to do next.
    pub hint: String,
}

impl ConfigError {
    pub fn new(subject: impl Into<String>, cause: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { subject: subject.into(), cause: cause.into(), hint: hint.into() }
    }
}
