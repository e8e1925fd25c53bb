//! The protocol of supervisor, keeper, recoverer and database as a model, checked in every state that it can reach.
//! `protocol` says what may happen, `state` what it changes, `database` what a statement does, `properties` what must
//! hold, `situations` what must be reachable. A property that fails is reported with the actions that lead there.
//!
//! The models that must fail keep the check honest: each makes one plausible mistake, and the checker has to find the
//! property that it breaks. A change of the protocol in the crate is a change of `protocol` and `state` here; a change
//! of the merge rules needs none, since `database` calls them.

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

/// A state space beyond this is no longer checked in a moment: something that is counted has crept in.
const STATES_MAX: usize = 500_000;

#[test]
fn the_protocol_keeps_its_promises_in_every_state() {
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
fn an_update_by_id_alone_overwrites_the_truth() {
    check_violation(with(Statements::ByIdAlone), TRUTH_STAYS);
}

#[test]
fn a_recover_that_reads_and_then_writes_overwrites_the_truth() {
    check_violation(with(Statements::ReadThenWrite), TRUTH_STAYS);
}

#[test]
fn a_truth_that_needs_a_training_row_gets_lost_after_a_presumption() {
    check_violation(with(Statements::GuardedByTraining), JOURNAL_ARRIVES);
}

#[test]
fn a_record_that_is_inserted_without_a_key_is_doubled() {
    check_violation(with(Statements::WithoutKey), ONE_RECORD);
}

#[test]
fn a_trainer_without_a_parent_death_signal_trains_on_unseen() {
    check_violation(Protocol { parent_death_signal: false, ..Protocol::real() }, TRAINER_IS_WATCHED);
}

#[test]
fn a_recover_that_asks_for_no_lock_loses_what_a_living_run_journals() {
    check_violation(Protocol { locks: false, ..Protocol::real() }, JOURNAL_ARRIVES);
}
