//! The protocol as a transition system: the steps of each process, and the faults, which may occur at any moment. One run on one
//! host, the database, and a `recover` on this host and on another. Nothing is counted: crashes, retries, heartbeats, outages and
//! leases may occur any number of times, and the state space is finite because none of them leaves a trace of its own.
//!
//! | in the model | in the crate |
//! |---|---|
//! | [`Supervisor`](crate::state::Supervisor), [`Action::StartKeeper`] … [`Action::SupervisorExits`] | `supervisor::machine`, `supervisor::guard` |
//! | [`Delivery`](crate::state::Delivery), [`Action::Attempt`], [`Action::Answer`] | `delivery::Delivery::deliver`, `keeper::machine` |
//! | [`Action::TakeOver`] | `keeper::takeover` |
//! | [`Journal`](crate::state::Journal), [`Locks`](crate::state::Locks) | `journal` |
//! | [`Database`](crate::database::Database) | `record::merge`, the same function |
//!
//! A partition is any number of statements that stay in flight while leases pass. The trainer's exec and its event in the journal
//! are one step; `--start-timeout`, `--finish-timeout` and `--linger` may run out at any moment.
//! Left out: journals in memory, failing disks, permanent errors of the database, errors of the supervisor itself,
//! `--require-database`.
//! Must not hold an invariant: `properties` does.

use crate::database::{Statement, Statements};
use crate::state::{Process, State};

/// The checked protocol: the real one, or a broken one that differs in one point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    pub(crate) statements: Statements,
    /// The kernel kills the trainer when the supervisor dies.
    pub(crate) parent_death_signal: bool,
    /// A process locks a journal before it takes it over.
    pub(crate) locks: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    // The supervisor.
    StartKeeper,
    SpawnTrainer,
    SpawnFails,
    JournalEnd,
    SupervisorExits,
    // The trainer, and the kernel on its behalf.
    TrainerExits {
        code: i32,
    },
    ParentDeathSignal,
    // The keeper or the recoverer, from the journal to the database.
    Attempt(Process),
    /// The database executes the statement, and the answer arrives.
    Answer(Process),
    /// The database executes the statement, and the answer is lost.
    AnswerLost(Process),
    /// The deadline passes. The statement stays in flight.
    Abandon(Process),
    Remove(Process),
    TakeOver,
    StartRecover,
    /// `recover` on any host has read that the lease has run out, and sends its statement.
    PresumeOverdue,
    // Faults, and the database itself.
    Execute(Statement),
    KillSupervisor,
    /// Killed, or it has lingered long enough.
    KillKeeper,
    KillRecoverer,
    /// The database is up, and receives no heartbeat for a lease.
    LeasePasses,
    /// The database is down for a lease. A shorter outage only keeps statements in flight.
    Outage,
    DeleteRow,
}

impl Protocol {
    pub(crate) const fn real() -> Self {
        Self { statements: Statements::AsMerged, parent_death_signal: true, locks: true }
    }

    /// The state after `action`; `None` if it is impossible.
    pub(crate) fn step(self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        let possible = match action {
            Action::StartKeeper => next.start_keeper(),
            Action::SpawnTrainer => next.spawn_trainer(),
            Action::SpawnFails => next.spawn_fails(),
            Action::JournalEnd => next.journal_end(),
            Action::SupervisorExits => next.supervisor_exits(),
            Action::TrainerExits { code } => next.trainer_exits(code),
            Action::ParentDeathSignal => self.parent_death_signal && next.parent_death_signal(),
            Action::Attempt(process) => next.attempt(process),
            Action::Answer(process) => next.answer(process, self.statements),
            Action::AnswerLost(process) => next.answer_lost(process, self.statements),
            Action::Abandon(process) => next.abandon(process),
            Action::Remove(process) => next.remove(process),
            Action::TakeOver => next.take_over(),
            Action::StartRecover => next.start_recover(self.locks),
            Action::PresumeOverdue => next.presume_overdue(),
            Action::Execute(statement) => next.execute(statement, self.statements),
            Action::KillSupervisor => next.kill_supervisor(),
            Action::KillKeeper => next.kill(Process::Keeper),
            Action::KillRecoverer => next.kill(Process::Recoverer),
            Action::LeasePasses => next.lease_passes(true),
            Action::Outage => next.lease_passes(false),
            Action::DeleteRow => next.delete_row(),
        };
        possible.then_some(next)
    }

    /// All possible steps from `state`.
    pub(crate) fn steps(self, state: &State) -> impl Iterator<Item = (Action, State)> {
        candidates(state).filter_map(move |action| self.step(state, action).map(|next| (action, next)))
    }
}

/// Every action but [`Action::Execute`].
const ACTIONS: [Action; 27] = [
    Action::StartKeeper,
    Action::SpawnTrainer,
    Action::SpawnFails,
    Action::JournalEnd,
    Action::SupervisorExits,
    Action::TrainerExits { code: 0 },
    Action::TrainerExits { code: 1 },
    Action::ParentDeathSignal,
    Action::Attempt(Process::Keeper),
    Action::Attempt(Process::Recoverer),
    Action::Answer(Process::Keeper),
    Action::Answer(Process::Recoverer),
    Action::AnswerLost(Process::Keeper),
    Action::AnswerLost(Process::Recoverer),
    Action::Abandon(Process::Keeper),
    Action::Abandon(Process::Recoverer),
    Action::Remove(Process::Keeper),
    Action::Remove(Process::Recoverer),
    Action::TakeOver,
    Action::StartRecover,
    Action::PresumeOverdue,
    Action::KillSupervisor,
    Action::KillKeeper,
    Action::KillRecoverer,
    Action::LeasePasses,
    Action::Outage,
    Action::DeleteRow,
];

/// All actions, possible or not; [`Protocol::step`] decides.
pub(crate) fn candidates(state: &State) -> impl Iterator<Item = Action> {
    ACTIONS.into_iter().chain(state.in_flight.iter().copied().map(Action::Execute))
}
