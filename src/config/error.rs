//! What is wrong with what the user asked for. One shape for every option and every layer: which value of which
//! origin, why it cannot be used, and what to write instead. Never holds a password.

use thiserror::Error;

pub use crate::libpq::nearest;

/// A value that cannot be used. Nothing has been started when it arises.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("cannot use {subject}: {cause}")]
pub struct ConfigError {
    /// The option with its origin: `RUNWRAP_HEARTBEAT=30`, `--table`, `lease = 5 in /etc/x.toml`.
    subject: String,
    cause: String,
    hint: String,
}

impl ConfigError {
    #[must_use]
    pub fn new(subject: impl Into<String>, cause: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { subject: subject.into(), cause: cause.into(), hint: hint.into() }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }
}
