//! The statuses and reasons of a record, and their names in the database. Must not decide when one applies: that is
//! `ending` and `merge`.

use std::fmt;

use serde::de::value::{BorrowedStrDeserializer, Error};
use serde::{Deserialize, Serialize};

/// The `status` column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The run has begun and not ended.
    Training,
    /// The trainer exited 0, or an operator set it.
    Completed,
    /// Any other end.
    Failed,
}

impl Status {
    /// The value in the `status` column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Training => "training",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// Parses the value of a `status` column; `None` for a value that is not runwrap's.
    pub fn parse(name: &str) -> Option<Self> {
        Self::deserialize(BorrowedStrDeserializer::<Error>::new(name)).ok()
    }
}

/// The `reason` column: why a record has its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Exit code 0.
    Success,
    /// Any other exit code.
    Exit,
    /// A signal that runwrap did not relay.
    Signal,
    /// runwrap was asked to stop, and the trainer did not exit 0.
    Cancelled,
    /// SIGKILL, and the kernel counted an out-of-memory kill in the trainer's cgroup.
    Oom,
    /// `--timeout` ran out, and the trainer did not exit 0.
    Timeout,
    /// The command could not be executed.
    Spawn,
    /// The supervisor was killed while the trainer ran.
    SupervisorKilled,
    /// The supervisor failed.
    SupervisorError,
    /// Presumed: the lease ran out, or a dead run's journal has no end.
    Lost,
    /// Presumed: an unwatched row is older than `--stuck-after`.
    Stuck,
    /// Set by an operator.
    Manual,
}

impl fmt::Display for Reason {
    /// The value in the `reason` column.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(out)
    }
}

impl Reason {
    pub const ALL: [Self; 12] = [
        Self::Success,
        Self::Exit,
        Self::Signal,
        Self::Cancelled,
        Self::Oom,
        Self::Timeout,
        Self::Spawn,
        Self::SupervisorKilled,
        Self::SupervisorError,
        Self::Lost,
        Self::Stuck,
        Self::Manual,
    ];

    /// Parses the value of a `reason` column.
    pub fn parse(name: &str) -> Option<Self> {
        Self::deserialize(BorrowedStrDeserializer::<Error>::new(name)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_to_its_value() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(&reason.to_string()), Some(reason));
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.to_string());
        }
        for status in [Status::Training, Status::Completed, Status::Failed] {
            assert_eq!(Status::parse(status.as_str()), Some(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        assert_eq!(Status::parse("running"), None);
    }
}
