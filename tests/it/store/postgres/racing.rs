//! Concurrent writers of one run, at the worst moment.

use std::thread;

use runwrap::record::{Applied, Begun, Change, Proof, Run};
use runwrap::store::Store;
use serde_json::json;
use uuid::Uuid;

use crate::store::place::{Place, begin, presumption, progress, run, success};
use crate::support::postgres::connect;
use crate::support::wait::wait_until;

/// The connections that wait for a lock.
pub(super) const WAITING: &str = "SELECT count(*) AS x FROM pg_locks WHERE NOT granted
                       AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())";

/// The end waits for the row's lock while a heartbeat revokes a presumption. The end was once decided by the values from before
/// the wait: `failed` and not presumed looked like an end by the application, and the record stayed in `training`.
#[test]
fn end_that_waited_for_a_heartbeat_is_written() {
    let place = Place::postgres();
    let run = run("cifar");
    begin(&place, &run);
    let mut store = place.open();
    let presumed = Change::Presume(presumption(Proof::DeadJournal));
    assert_eq!(store.apply(run.run_id, &presumed).unwrap(), Applied::Written);

    let mut client = connect(place.postgres_target());
    let mut heartbeat = client.transaction().unwrap();
    heartbeat
        .batch_execute(
            "UPDATE runwrap_runs SET reason = NULL, presumed = FALSE;
             UPDATE training_records SET status = 'training', train_end_time = NULL",
        )
        .unwrap();
    let ended = Change::Finalize(progress("{}"), success());
    thread::scope(|scope| {
        let end = scope.spawn(|| place.open().apply(run.run_id, &ended).unwrap());
        wait_until("the end waits for the lock", || place.text(WAITING).unwrap() == "1");
        heartbeat.commit().unwrap();
        assert_eq!(end.join().unwrap(), Applied::Written);
    });
    let shown = place.show("1");
    assert_eq!((&shown["status"], &shown["reason"]), (&json!("completed"), &json!("success")));
}

const DELETED: &str = "DELETE FROM training_records";
const RESTORED: &str = "DELETE FROM training_records; DELETE FROM runwrap_runs";

fn begin_again(store: &mut Store, run: &Run, old: &Begun) -> Begun {
    store.begin(run, Some(old)).unwrap()
}

/// `lost` takes the row away. `begin_again` then waits until another run has taken its number.
#[track_caller]
fn check_number_taken_meanwhile(lost: &str, begin_again: impl Fn(&mut Store, &Run, &Begun) -> Begun + Sync) {
    let place = Place::postgres();
    let run = run("cifar");
    let old = begin(&place, &run);
    let table = place.text("SELECT record_table AS x FROM runwrap_runs").unwrap();
    place.sql(lost);
    let mut client = connect(place.postgres_target());
    let mut other = client.transaction().unwrap();
    other
        .batch_execute(&format!(
            "SELECT pg_advisory_xact_lock(7);
             INSERT INTO training_records (id, status) VALUES (1, 'training');
             INSERT INTO runwrap_runs (run_id, record_table, record_id, runwrap_version) VALUES ('{}', '{table}', '1', '0')",
            Uuid::now_v7()
        ))
        .unwrap();
    thread::scope(|scope| {
        let again = scope.spawn(|| begin_again(&mut place.open(), &run, &old));
        wait_until("the run waits for the other's row", || place.text(WAITING).unwrap() == "1");
        other.commit().unwrap();
        assert_ne!(again.join().unwrap().record_id, old.record_id);
    });
    assert_eq!((place.count("training_records"), place.count("runwrap_runs")), (2, 2));
}

/// A run that is begun again takes its old number if that is free. If another run took the number at that moment, the database's
/// refusal was reported as an error that a person must act on.
#[test]
fn number_that_another_run_takes_meanwhile_is_given_up() {
    check_number_taken_meanwhile(RESTORED, begin_again);
    // An application deleted the row.
    check_number_taken_meanwhile(DELETED, begin_again);
    // The end is delivered together with the beginning.
    check_number_taken_meanwhile(RESTORED, |store, run, old| {
        store.together(false, |store| store.begin(run, Some(old))).unwrap()
    });
}

/// The number was free at the first look and another run's at the second: the run took the other's row, and overwrote its end.
// Holds: failures/database-restored
#[test]
fn row_that_another_run_inserts_meanwhile_is_not_taken() {
    // Each look at the table waits for the other run after its snapshot.
    let waits = "ALTER TABLE training_records RENAME TO base;
                 CREATE FUNCTION waits() RETURNS boolean LANGUAGE plpgsql STABLE AS
                    'BEGIN PERFORM pg_advisory_xact_lock(7); RETURN TRUE; END';
                 CREATE VIEW training_records AS SELECT * FROM base WHERE waits()";
    check_number_taken_meanwhile(&format!("{RESTORED}; {waits}"), begin_again);
    check_number_taken_meanwhile(&format!("{DELETED}; {waits}"), begin_again);
}
