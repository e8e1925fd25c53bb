//! The events and actions exchanged between `machine` and `reactor`. Plain data, and the level of its warnings.

use super::relay::SignalScope;
use crate::journal;
use crate::link::ToSupervisor;
use crate::record::TrainerExit;
use crate::sys::process::EndAs;
use crate::sys::signals::SignalInfo;

#[derive(Clone, Debug)]
pub(super) enum SupervisorEvent {
    /// A message arrived on the link.
    Keeper(ToSupervisor),
    /// The link is at end-of-file, or no keeper could be started.
    KeeperGone,
    /// This process received a signal other than a child's SIGCHLD.
    Signal { signal: SignalInfo, scope: SignalScope },
    /// The scope of an earlier signal, which was not proven then.
    Settled { signal: SignalInfo, scope: SignalScope },
    /// The fork or the exec failed.
    SpawnFailed { not_found: bool, message: String },
    /// The exec succeeded. `start_ticks` identifies the process (see `sys::leftovers`).
    Executed { pid: i32, start_ticks: Option<u64> },
    /// The trainer is a zombie.
    TrainerEnded(TrainerExit),
    /// The trainer was stopped by `signal`; `in_foreground`: a job-control shell waits for the terminal.
    TrainerStopped { signal: i32, in_foreground: bool },
    /// The stopped trainer received SIGCONT.
    TrainerContinued,
    /// This process was stopped and has been continued.
    Resumed,
    /// Time has passed, at the latest by `SupervisorMachine::wake_at`.
    Tick,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum SupervisorAction {
    /// Start a keeper in place of the one that has gone.
    StartKeeper,
    /// Fork and execute the trainer.
    Spawn,
    /// Write a journal event before the next action.
    Write(journal::RunEvent),
    /// The keeper could not sync the journal: continue it in another file.
    MoveJournal { message: String },
    /// Send a signal, with the value that it came with.
    SignalTrainer { signal: i32, value: Option<usize> },
    /// Let the guard write the end of the run.
    WriteEnd(TrainerExit),
    /// Stop this process by the signal that stopped the trainer.
    StopSelf { signal: i32 },
    /// Warn the user; an empty hint is left out.
    Warn { message: String, hint: String },
    /// The keeper has sent its last message: wait for its end, and reap it.
    ReapKeeper,
    /// The run never began: kill the keeper and remove the journal.
    Abandon,
    /// End this process.
    Exit(EndAs),
}

/// The level of the warnings among `actions`. An error, which `--quiet` shows, if the trainer cannot be started or the
/// supervisor exits without the end in the database.
pub(super) fn level_of_warnings(actions: &[SupervisorAction]) -> log::Level {
    let is_failure = |action: &SupervisorAction| {
        matches!(
            action,
            SupervisorAction::Abandon
                | SupervisorAction::Exit(_)
                | SupervisorAction::WriteEnd(TrainerExit::NotExecuted { .. })
        )
    };
    if actions.iter().any(is_failure) { log::Level::Error } else { log::Level::Warn }
}
