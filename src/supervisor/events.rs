//! The events and actions exchanged between `machine` and `reactor`. Plain data.

use super::relay::SignalScope;
use crate::journal;
use crate::link::ToSupervisor;
use crate::record::TrainerExit;
use crate::sys::process::EndAs;
use crate::sys::signals::SignalInfo;

#[derive(Clone, Debug)]
pub(super) enum SupervisorEvent {
    Keeper(ToSupervisor),
    /// The link is at end-of-file, or no keeper could be started.
    KeeperGone,
    Signal {
        signal: SignalInfo,
        scope: SignalScope,
    },
    /// The fork or the exec failed.
    SpawnFailed {
        not_found: bool,
        message: String,
    },
    /// The exec succeeded.
    Executed {
        pid: i32,
    },
    TrainerEnded(TrainerExit),
    TrainerStopped {
        signal: i32,
        /// A job-control shell waits for the terminal.
        in_foreground: bool,
    },
    TrainerContinued,
    /// This process was stopped and has been continued.
    Resumed,
    /// Time has passed, at the latest by `SupervisorMachine::wake_at`.
    Tick,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum SupervisorAction {
    StartKeeper,
    Spawn,
    /// Write a journal event; if `durable`, sync it before the next action.
    Write {
        event: journal::RunEvent,
        durable: bool,
    },
    SignalTrainer {
        signal: i32,
        value: Option<usize>,
    },
    /// Let the guard write the end of the run.
    WriteEnd(TrainerExit),
    /// Stop this process by the signal that stopped the trainer.
    StopSelf {
        signal: i32,
    },
    Warn {
        message: String,
        hint: String,
    },
    /// The run never began: kill the keeper and remove the journal.
    Abandon,
    Exit(EndAs),
}
