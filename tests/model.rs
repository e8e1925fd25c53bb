//! The protocol of supervisor, keeper, recoverer and database as a model, checked in every reachable state. `protocol` lists the
//! actions, `state` applies them, `database` executes the statements, `properties` holds the invariants, `situations` the states
//! that must be reachable. The checker reports a violated property with the actions that lead to it.
//!
//! The broken models keep the check honest: each makes one plausible mistake, and the checker must find the violated property.
//! A change of the protocol in the crate needs the same change in `protocol` and `state`; a change of the merge rules needs none,
//! since `database` calls them.

#[path = "model/database.rs"]
mod database;
#[path = "model/properties.rs"]
mod properties;
#[path = "model/protocol.rs"]
mod protocol;
#[path = "model/situations.rs"]
mod situations;
#[path = "model/state.rs"]
mod state;

use stateright::{Checker, HasDiscoveries, Model};

use database::Statements;
use properties::{JOURNAL_ARRIVES, ONE_RECORD, TRAINER_IS_WATCHED, TRUTH_STAYS};
use protocol::Protocol;

/// A larger state space is too slow to check. It usually means that a new field counts something.
const STATES_MAX: usize = 500_000;

#[test]
fn protocol_holds_in_every_state() {
    let checked = Protocol::real().checker().spawn_bfs().join();
    checked.assert_properties();
    let states = checked.unique_state_count();
    assert!(states < STATES_MAX, "{states} states");
}

/// Asserts that `broken` violates `property`.
#[track_caller]
fn check_violation(broken: Protocol, property: &'static str) {
    let found = HasDiscoveries::AnyOf([property].into());
    let checked = broken.checker().finish_when(found).spawn_bfs().join();
    checked.assert_any_discovery(property);
}

fn with(statements: Statements) -> Protocol {
    Protocol { statements, ..Protocol::real() }
}

#[test]
fn update_by_id_alone_overwrites_a_true_end() {
    check_violation(with(Statements::ByIdAlone), TRUTH_STAYS);
}

#[test]
fn recover_that_reads_then_writes_overwrites_a_true_end() {
    check_violation(with(Statements::ReadThenWrite), TRUTH_STAYS);
}

#[test]
fn end_that_requires_training_is_lost_after_a_presumption() {
    check_violation(with(Statements::GuardedByTraining), JOURNAL_ARRIVES);
}

#[test]
fn insert_without_a_key_duplicates_the_record() {
    check_violation(with(Statements::WithoutKey), ONE_RECORD);
}

#[test]
fn trainer_without_parent_death_signal_runs_unwatched() {
    check_violation(Protocol { parent_death_signal: false, ..Protocol::real() }, TRAINER_IS_WATCHED);
}

#[test]
fn recover_without_locks_loses_the_end_of_a_living_run() {
    check_violation(Protocol { locks: false, ..Protocol::real() }, JOURNAL_ARRIVES);
}
