//! The properties of the protocol: in every state, in every step, and after the last fault.
//!
//! "Eventually" is checked in each state by letting the run [settle](settle): from there on no fault occurs, each process takes
//! its possible steps, and at the end `recover` runs. A run that ends only by luck violates the property.
//! Must not list actions: `protocol` does.

use runwrap::record::Status;
use stateright::{Model, Property};

use crate::database::Statement;
use crate::protocol::{Action, Protocol, candidates};
use crate::situations::{deliveries, is_training, presumptions, truth};
use crate::state::{Process, State, Supervisor, Trainer};

pub(crate) const TRUTH_STAYS: &str = "a true end is never overwritten";
pub(crate) const COMPLETED_IS_PROVEN: &str = "completed only if the trainer exited 0";
pub(crate) const ONE_RECORD: &str = "a run has one record at most";
pub(crate) const END_AFTER_TRAINER: &str = "the journal has no end while the trainer runs";
pub(crate) const TRAINER_IS_WATCHED: &str = "no trainer outlives supervisor and keeper";
pub(crate) const JOURNAL_ARRIVES: &str = "a journaled end reaches the record";
pub(crate) const RECORD_ENDS: &str = "every record ends";
pub(crate) const RECORD_ENDS_ELSEWHERE: &str = "every record ends, also if its host never comes back";
pub(crate) const REMOVED_AFTER_DELIVERY: &str = "a journal is removed only after the delivery of its end";

/// More steps than an undisturbed run needs.
const SETTLED_STEPS_MAX: usize = 64;

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::first()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.extend(candidates(state));
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        self.step(state, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let always = Property::<Self>::always;
        let mut properties = vec![
            always(TRUTH_STAYS, |model, state| truth_stays(*model, state)),
            always(COMPLETED_IS_PROVEN, |_, state| completed_is_proven(state)),
            always(ONE_RECORD, |_, state| state.database.records <= 1),
            always(END_AFTER_TRAINER, |_, state| state.journal.ended.is_none() || state.trainer != Trainer::Running),
            always(TRAINER_IS_WATCHED, |model, state| trainer_is_watched(*model, state)),
            always(JOURNAL_ARRIVES, |model, state| journal_arrives(*model, state)),
            always(RECORD_ENDS, |model, state| {
                let settled = settle(*model, state);
                settled.journal.removed && !is_training(&settled)
            }),
            always(RECORD_ENDS_ELSEWHERE, |model, state| !is_training(&settle_elsewhere(*model, state))),
            always(REMOVED_AFTER_DELIVERY, |_, state| {
                !state.journal.removed || state.journal.ended.is_none() || truth(state).is_some()
            }),
        ];
        properties.extend(presumptions());
        properties.extend(deliveries());
        properties
    }
}

fn truth_stays(model: Protocol, state: &State) -> bool {
    let before = truth(state);
    before.is_none() || model.steps(state).all(|(_, next)| truth(&next) == before)
}

fn completed_is_proven(state: &State) -> bool {
    let completed = state.database.record.is_some_and(|record| record.status == Status::Completed);
    !completed || state.trainer == Trainer::Exited { code: 0 }
}

/// The supervisor lives, or a keeper will stop the trainer, or the kernel is about to kill it.
fn trainer_is_watched(model: Protocol, state: &State) -> bool {
    state.trainer != Trainer::Running
        || state.supervisor_lives()
        || state.keeper.is_some()
        || model.step(state, Action::ParentDeathSignal).is_some()
}

fn journal_arrives(model: Protocol, state: &State) -> bool {
    let settled = settle(model, state);
    settled.journal.ended.is_none_or(|outcome| settled.database.record.is_some_and(|record| record.shows(outcome)))
}

/// The state after the last fault: all steps that the protocol takes by itself, then `recover`.
fn settle(model: Protocol, state: &State) -> State {
    let mut settled = state.clone();
    for _ in 0..SETTLED_STEPS_MAX {
        let Some(next) = TURNS.into_iter().find_map(|action| model.step(&settled, action)) else { break };
        settled = next;
    }
    settled
}

/// The same if the host is lost for ever, with the journal and all processes on it.
fn settle_elsewhere(model: Protocol, state: &State) -> State {
    let mut lost = state.clone();
    lost.supervisor = Supervisor::Killed;
    lost.trainer = Trainer::Killed;
    lost.keeper = None;
    lost.recoverer = None;
    lost.journal.removed = true;
    settle(model, &lost)
}

/// The steps without a fault; the first possible one is taken. Statements in flight stay in flight: the execution of one leads to
/// another state, which must settle too.
const TURNS: [Action; 17] = [
    Action::ParentDeathSignal,
    Action::SpawnTrainer,
    Action::TrainerExits { code: 0 },
    Action::JournalEnd,
    Action::TakeOver,
    Action::StartKeeper,
    Action::StartRecover,
    Action::Answer(Process::Keeper),
    Action::Answer(Process::Recoverer),
    Action::Remove(Process::Keeper),
    Action::Remove(Process::Recoverer),
    Action::Attempt(Process::Keeper),
    Action::Attempt(Process::Recoverer),
    Action::SupervisorExits,
    Action::LeasePasses,
    Action::PresumeOverdue,
    Action::Execute(Statement::PresumeOverdue),
];
