//! The closed lists of states and reasons of a record, with the words that the database keeps.
//! Must not know how a state is reached: that is `ending` and `merge`.

use serde::{Deserialize, Serialize};

/// The `status` column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The run has begun and no end is known.
    Training,
    /// The trainer exited 0, or an operator said so.
    Completed,
    /// Everything else.
    Failed,
}

impl Status {
    /// The word in the `status` column.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Training => "training",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// The status that a word of the `status` column stands for; `None` for a word of somebody else's.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Training, Self::Completed, Self::Failed].into_iter().find(|status| status.as_str() == word)
    }
}

/// The `reason` column: why a record ended as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Exit code 0.
    Success,
    /// Another exit code.
    Exit,
    /// Ended by a signal that nobody sent through runwrap.
    Signal,
    /// Ended, other than by exit 0, after runwrap was asked to stop.
    Cancelled,
    /// SIGKILL, and the kernel counted an out-of-memory kill in the trainer's cgroup.
    Oom,
    /// `--timeout` ran out, and the trainer did not then exit 0.
    Timeout,
    /// The command could not be executed.
    Spawn,
    /// The supervisor vanished while the trainer ran.
    SupervisorKilled,
    /// The supervisor itself failed.
    SupervisorError,
    /// Presumed: the lease ran out, or a dead journal was found without an end.
    Lost,
    /// Presumed: a row that nothing watches was too old.
    Stuck,
    /// An operator ended it.
    Manual,
}

impl Reason {
    /// Every reason, in the order of the contract.
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

    /// The word in the `reason` column.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Exit => "exit",
            Self::Signal => "signal",
            Self::Cancelled => "cancelled",
            Self::Oom => "oom",
            Self::Timeout => "timeout",
            Self::Spawn => "spawn",
            Self::SupervisorKilled => "supervisor_killed",
            Self::SupervisorError => "supervisor_error",
            Self::Lost => "lost",
            Self::Stuck => "stuck",
            Self::Manual => "manual",
        }
    }

    /// The reason that a word of the `reason` column stands for.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_as_itself() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
        for status in [Status::Training, Status::Completed, Status::Failed] {
            assert_eq!(Status::parse(status.as_str()), Some(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        assert_eq!(Status::parse("running"), None);
    }
}
