//! The words between `machine` and `reactor`: what happens to a supervisor, and what it is to do. Must not decide anything.

use super::relay::SignalScope;
use crate::journal;
use crate::link::ToSupervisor;
use crate::record::TrainerExit;
use crate::sys::process::EndAs;
use crate::sys::signals::SignalInfo;

/// What happens to a supervisor.
#[derive(Clone, Debug)]
pub(super) enum SupervisorEvent {
    Keeper(ToSupervisor),
    /// The link is at its end, or a keeper could not be started.
    KeeperGone,
    Signal {
        signal: SignalInfo,
        scope: SignalScope,
    },
    /// The command could not be executed, or not even forked.
    SpawnFailed {
        not_found: bool,
        message: String,
    },
    /// The command runs.
    Executed {
        pid: i32,
    },
    TrainerEnded(TrainerExit),
    TrainerStopped {
        signal: i32,
        /// A shell waits for it to give the terminal back.
        in_foreground: bool,
    },
    TrainerContinued,
    /// We were stopped, and go on.
    Resumed,
    /// A moment that `SupervisorMachine::wake_at` asked for, or any other.
    Tick,
}

/// What a supervisor is to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum SupervisorAction {
    StartKeeper,
    Spawn,
    /// Write an event down; durably before the next action, if so.
    Write {
        event: journal::RunEvent,
        durable: bool,
    },
    SignalTrainer {
        signal: i32,
        value: Option<usize>,
    },
    /// Let the guard write the end.
    WriteEnd(TrainerExit),
    /// The job stops: stop with it, by the same signal.
    StopSelf {
        signal: i32,
    },
    Warn {
        message: String,
        hint: String,
    },
    /// The run never began: stop the keeper and remove the journal.
    Abandon,
    Exit(EndAs),
}
