//! What must hold of the protocol: in every state, in every step, and once nothing breaks any more.
//!
//! "Eventually" is asked in each state by letting the run [settle](settle): from here on nothing breaks, whoever can do
//! something does it, and at the end somebody runs `recover`. An ending that depended on luck would be missing from there.
//! Must not change what may happen: that is `protocol`. Called by the checker.

use runwrap::record::Status;
use stateright::{Model, Property};

use crate::database::Statement;
use crate::protocol::{Action, Protocol, candidates};
use crate::situations::{deliveries, is_training, presumptions, truth};
use crate::state::{Process, State, Supervisor, Trainer};

pub(crate) const TRUTH_STAYS: &str = "truth is never overwritten";
pub(crate) const COMPLETED_IS_PROVEN: &str = "completed only if the trainer exited 0";
pub(crate) const ONE_RECORD: &str = "a run has one record at most";
pub(crate) const END_AFTER_TRAINER: &str = "the journal has no end while the trainer runs";
pub(crate) const TRAINER_IS_WATCHED: &str = "no trainer outlives those who watch it";
pub(crate) const JOURNAL_ARRIVES: &str = "what was journaled arrives";
pub(crate) const RECORD_ENDS: &str = "every record ends";
pub(crate) const RECORD_ENDS_ELSEWHERE: &str = "every record ends, also if its host never comes back";
pub(crate) const REMOVED_AFTER_DELIVERY: &str = "a journal is removed only once its end was delivered";

/// More steps than any run needs that nothing disturbs.
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

/// By its supervisor, by the keeper that will stop it, or by the kernel that is about to.
fn trainer_is_watched(model: Protocol, state: &State) -> bool {
    state.trainer != Trainer::Running
        || state.supervisor_lives()
        || state.keeper.is_some()
        || model.step(state, Action::ParentDeathSignal).is_some()
}

fn journal_arrives(model: Protocol, state: &State) -> bool {
    let settled = settle(model, state);
    settled.journal.ended.is_none_or(|outcome| settled.database.record.is_some_and(|record| record.says(outcome)))
}

/// The state once nothing breaks any more: all that the protocol does by itself, then a `recover`.
fn settle(model: Protocol, state: &State) -> State {
    let mut settled = state.clone();
    for _ in 0..SETTLED_STEPS_MAX {
        let Some(next) = TURNS.into_iter().find_map(|action| model.step(&settled, action)) else { break };
        settled = next;
    }
    settled
}

/// The same where the host with the journal, and everything on it, is gone for ever.
fn settle_elsewhere(model: Protocol, state: &State) -> State {
    let mut lost = state.clone();
    lost.supervisor = Supervisor::Killed;
    lost.trainer = Trainer::Killed;
    lost.keeper = None;
    lost.recoverer = None;
    lost.journal.removed = true;
    settle(model, &lost)
}

/// What happens while nothing breaks, the first that can. Statements still in flight stay there: once one is executed that
/// is a state of its own, which has to settle too.
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
