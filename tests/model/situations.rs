//! Situations that the model must reach, so that no property holds for want of a case. Must not hold an invariant: `properties`
//! does.

use runwrap::record::{Reason, Status};
use stateright::Property;

use crate::database::Statement;
use crate::protocol::{Action, Protocol};
use crate::state::{Process, State, Supervisor, Trainer};

/// A run is presumed lost, rightly or not.
pub(crate) fn presumptions() -> Vec<Property<Protocol>> {
    let sometimes = Property::<Protocol>::sometimes;
    vec![
        sometimes("a living run is presumed lost", |model, state| {
            some_step(*model, state, |action, next| {
                action == Action::Execute(Statement::PresumeOverdue)
                    && is_presumed(next)
                    && next.trainer == Trainer::Running
            })
        }),
        sometimes("a heartbeat revokes a presumption", |model, state| {
            is_presumed(state)
                && some_step(*model, state, |action, next| {
                    action == Action::Answer(Process::Keeper) && is_training(next)
                })
        }),
        sometimes("a true end overrides a presumption", |model, state| {
            is_presumed(state) && some_step(*model, state, |_, next| truth(next).is_some())
        }),
        sometimes("a presumption comes too late", |model, state| {
            truth(state).is_some() && {
                some_step(*model, state, |action, _| action == Action::Execute(Statement::PresumeOverdue))
            }
        }),
        sometimes("a dead journal without an end is presumed lost", |model, state| {
            is_training(state)
                && some_step(*model, state, |action, next| {
                    action == Action::Answer(Process::Recoverer) && is_presumed(next)
                })
        }),
        sometimes("a database that was down for a lease presumes nothing", |model, state| {
            !state.database.up_for_a_lease
                && state.database.record.is_some_and(|record| record.overdue && record.status == Status::Training)
                && some_step(*model, state, |action, next| {
                    action == Action::Execute(Statement::PresumeOverdue) && is_training(next)
                })
        }),
        sometimes("a late heartbeat revives a run whose journal is removed", |model, state| {
            is_presumed(state)
                && state.journal.removed
                && some_step(*model, state, |action, next| {
                    action == Action::Execute(Statement::Heartbeat) && is_training(next)
                })
        }),
    ]
}

/// A keeper or a recoverer delivers the journal.
pub(crate) fn deliveries() -> Vec<Property<Protocol>> {
    let sometimes = Property::<Protocol>::sometimes;
    vec![
        sometimes("a run completes and leaves nothing behind", |_, state| {
            state.database.record.is_some_and(|record| record.status == Status::Completed) && state.journal.removed
        }),
        sometimes("the answer to a finalize is lost", |model, state| {
            is_training(state)
                && some_step(*model, state, |action, next| {
                    action == Action::AnswerLost(Process::Keeper) && truth(next).is_some()
                })
        }),
        sometimes("a finalize is repeated to no effect", |model, state| {
            truth(state).is_some()
                && some_step(*model, state, |action, next| {
                    action == Action::Answer(Process::Keeper) && next.keeper.as_ref().is_some_and(|keeper| keeper.done)
                })
        }),
        sometimes("a keeper is replaced in mid-run", |model, state| {
            state.supervisor == Supervisor::Running
                && state.database.record.is_some()
                && some_step(*model, state, |action, _| action == Action::StartKeeper)
        }),
        sometimes("a keeper takes over", |model, state| {
            state.supervisor == Supervisor::Killed && some_step(*model, state, |action, _| action == Action::TakeOver)
        }),
        sometimes("recover delivers an end", |model, state| {
            is_training(state)
                && some_step(*model, state, |action, next| {
                    action == Action::Answer(Process::Recoverer) && truth(next).is_some()
                })
        }),
        sometimes("a deleted row is inserted again", |model, state| {
            state.row_deleted
                && state.database.record.is_none()
                && some_step(*model, state, |_, next| is_training(next))
        }),
    ]
}

fn some_step(model: Protocol, state: &State, is: impl Fn(Action, &State) -> bool) -> bool {
    model.steps(state).any(|(action, next)| is(action, &next))
}

pub(crate) fn is_training(state: &State) -> bool {
    state.database.record.is_some_and(|record| record.status == Status::Training)
}

fn is_presumed(state: &State) -> bool {
    state.database.record.is_some_and(|record| record.presumed)
}

/// The status and reason in the database, if they come from the run's own journal.
pub(crate) fn truth(state: &State) -> Option<(Status, Option<Reason>)> {
    state.database.record.filter(|record| record.is_truth()).map(|record| (record.status, record.reason))
}
