//! How a run ended: from the trainer's exit to status, reason and duration. Pure; every decision about an outcome is
//! made here.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{Reason, Status};

/// The trainer's resource use, from `wait4`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    pub cpu_user_seconds: f64,
    pub cpu_system_seconds: f64,
    pub max_rss_bytes: i64,
}

/// The end of a run according to its own journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ending {
    pub status: Status,
    pub reason: Reason,
    /// `train_end_time`, UTC: the start plus the elapsed boot time.
    pub ended_at: DateTime<Utc>,
    /// `train_duration`: whole seconds, truncated.
    pub duration_seconds: i64,
    pub exit_code: Option<i32>,
    /// The name of the signal that ended the trainer (`SIGTERM`).
    pub signal: Option<String>,
    pub error_message: Option<String>,
    pub usage: Option<Usage>,
}

/// How the trainer ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainerExit {
    /// It exited by itself.
    Exited { code: i32 },
    /// `name` is the signal's name (`SIGKILL`). `oom`: the kernel counted an out-of-memory kill during the run.
    Signaled { signal: i32, name: String, oom: bool },
    /// The exec failed; `message` names the command and the error.
    NotExecuted { message: String },
    /// The supervisor was killed or failed; `reason` has the cause. The exit status is unknown.
    Unknown { reason: Reason, message: String },
}

/// Status, reason and message of a run. `stop_signal` is the first stop request, `timed_out` whether `--timeout` ran
/// out. A trainer that exits 0 has completed, whatever was requested before.
pub fn ending_of(exit: &TrainerExit, stop_signal: Option<&str>, timed_out: bool) -> (Status, Reason, Option<String>) {
    let (default_reason, outcome) = match exit {
        TrainerExit::Exited { code: 0 } => return (Status::Completed, Reason::Success, None),
        TrainerExit::NotExecuted { message } => return (Status::Failed, Reason::Spawn, Some(message.clone())),
        TrainerExit::Unknown { reason, message } => return (Status::Failed, *reason, Some(message.clone())),
        TrainerExit::Signaled { name, oom: true, .. } => {
            let message = format!("killed by {name}: the kernel ran out of memory in the trainer's cgroup");
            return (Status::Failed, Reason::Oom, Some(message));
        }
        TrainerExit::Exited { code } => (Reason::Exit, format!("exited with code {code}")),
        TrainerExit::Signaled { name, .. } => (Reason::Signal, format!("killed by {name}")),
    };
    let (reason, message) = match (timed_out, stop_signal) {
        (true, _) => (Reason::Timeout, format!("ran out of time (--timeout): {outcome}")),
        (false, Some(stop)) => (Reason::Cancelled, format!("asked to stop by {stop}: {outcome}")),
        (false, None) => (default_reason, outcome),
    };
    (Status::Failed, reason, Some(message))
}

/// Whole seconds, truncated, never negative.
pub(crate) fn elapsed_seconds(elapsed: TimeDelta) -> i64 {
    elapsed.num_seconds().max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signaled(oom: bool) -> TrainerExit {
        TrainerExit::Signaled { signal: 9, name: "SIGKILL".into(), oom }
    }

    #[track_caller]
    fn check(exit: &TrainerExit, stop: Option<&str>, timed_out: bool, status: Status, reason: Reason) {
        let (got_status, got_reason, message) = ending_of(exit, stop, timed_out);
        assert_eq!((got_status, got_reason), (status, reason));
        assert_eq!(message.is_none(), status == Status::Completed);
    }

    #[test]
    fn exit_0_is_completed_despite_stop_requests() {
        for stop in [None, Some("SIGTERM")] {
            for timed_out in [false, true] {
                check(&TrainerExit::Exited { code: 0 }, stop, timed_out, Status::Completed, Reason::Success);
            }
        }
    }

    #[test]
    fn other_exit_codes_are_failed() {
        for code in 1..=255 {
            check(&TrainerExit::Exited { code }, None, false, Status::Failed, Reason::Exit);
            check(&TrainerExit::Exited { code }, Some("SIGINT"), false, Status::Failed, Reason::Cancelled);
            check(&TrainerExit::Exited { code }, Some("SIGINT"), true, Status::Failed, Reason::Timeout);
        }
    }

    #[test]
    fn signal_is_oom_cancelled_timeout_or_signal() {
        check(&signaled(false), None, false, Status::Failed, Reason::Signal);
        check(&signaled(false), Some("SIGTERM"), false, Status::Failed, Reason::Cancelled);
        check(&signaled(false), None, true, Status::Failed, Reason::Timeout);
        check(&signaled(true), None, false, Status::Failed, Reason::Oom);
        check(&signaled(true), Some("SIGTERM"), true, Status::Failed, Reason::Oom);
    }

    #[test]
    fn duration_is_truncated_and_never_negative() {
        assert_eq!(elapsed_seconds(TimeDelta::milliseconds(28_424_200)), 28_424);
        assert_eq!(elapsed_seconds(TimeDelta::milliseconds(28_424_999)), 28_424);
        assert_eq!(elapsed_seconds(TimeDelta::milliseconds(-1)), 0);
    }
}
