//! A run owns its row by its run id, never by the row's number: after a restore, a failover to a lagging standby, or in a table that
//! was made again, the number is another run's, or no run's.

use runwrap::record::{Applied, Begun, Change, Ending, Proof, Reason, RecordId, Run, Status};
use runwrap::store::{Filter, RecordView, open};
use serde_json::{Value, json};

use super::conformance;
use super::place::{Place, begin, presumption, progress, run, success, transient};

conformance!(
    runs_keep_apart_after_a_restore,
    runs_keep_apart_in_a_table_made_again,
    a_row_of_no_run_is_left_alone,
    an_adopted_row_of_another_run_is_left_alone,
    a_free_number_is_taken_again,
    a_run_that_moved_since_its_begin_ends_in_its_record,
    a_renamed_table_is_waited_for,
    a_run_makes_no_table_after_its_begin,
    reading_an_empty_database_makes_no_table,
    text_metrics_of_an_adopted_row_are_kept,
    every_digit_of_a_number_is_kept,
    metrics_that_cannot_be_read_hide_no_record,
);

/// Delivers an end as `delivery` does: a run that the database does not know is begun again.
pub(crate) fn end(place: &Place, run: &Run, known: &Begun, ending: Ending) -> Begun {
    let mut store = place.open();
    let change = Change::Finalize(progress(r#"{"of": "it"}"#), ending);
    if store.apply(run.run_id, &change).unwrap() != Applied::Missing {
        return known.clone();
    }
    // A row that has taken the table's next id costs another attempt.
    let begun = (0..3).find_map(|_| store.begin(run, Some(known)).ok()).unwrap();
    assert_eq!(store.apply(run.run_id, &change).unwrap(), Applied::Written);
    begun
}

pub(crate) fn failure() -> Ending {
    Ending { status: Status::Failed, reason: Reason::Exit, exit_code: Some(3), ..success() }
}

pub(crate) fn status(place: &Place, id: &RecordId) -> Value {
    place.show(&id.0)["status"].clone()
}

/// The record is read with the lock of the run's row, before the row shows which record is the run's.
fn a_run_that_moved_since_its_begin_ends_in_its_record(place: &Place) {
    let (run, options) = (run("first"), place.options());
    let mut store = open(&place.target, &options).unwrap();
    let begun = store.begin(&run, None).unwrap();
    place.sql(
        "INSERT INTO training_records (id, status) VALUES (7, 'training'); UPDATE runwrap_runs SET record_id = '7'",
    );
    let ended = Change::Finalize(progress("{}"), success());
    assert_eq!(store.apply(run.run_id, &ended).unwrap(), Applied::Written);
    let there = RecordId("7".into());
    assert_eq!([&begun.record_id, &there].map(|id| status(place, id)), [json!("training"), json!("completed")]);
    // The record alone is no run.
    place.sql("DELETE FROM runwrap_runs");
    assert_eq!(store.apply(run.run_id, &ended).unwrap(), Applied::Missing);
    assert_eq!(status(place, &begun.record_id), json!("training"));
}

/// Both runs wrote the same row, and one of them read `failed` though it exited 0.
// Holds: failures/database-restored
fn runs_keep_apart_after_a_restore(place: &Place) {
    begin(place, &run("before"));
    let (first, second) = (run("first"), run("second"));
    let lost = begin(place, &first);
    // Last night's backup has neither the row nor the run.
    place.sql(&format!(
        "DELETE FROM runwrap_runs WHERE run_id = '{}'; DELETE FROM training_records WHERE id = 2",
        first.run_id
    ));
    if place.is_postgres() {
        place.sql("ALTER TABLE training_records ALTER COLUMN id RESTART WITH 2");
    }
    let taken = begin(place, &second);
    assert_eq!(taken.record_id, lost.record_id);
    let moved = end(place, &first, &lost, failure());
    assert_ne!(moved.record_id, lost.record_id);
    assert_eq!(
        (status(place, &taken.record_id), status(place, &moved.record_id)),
        (json!("training"), json!("failed"))
    );
    assert_eq!(end(place, &second, &taken, success()), taken);
    assert_eq!(
        (status(place, &taken.record_id), status(place, &moved.record_id)),
        (json!("completed"), json!("failed"))
    );
    assert_eq!((place.count("training_records"), place.count("runwrap_runs")), (3, 3));
}

// Holds: failures/table-made-again
fn runs_keep_apart_in_a_table_made_again(place: &Place) {
    let (first, lost_run, second) = (run("first"), run("lost"), run("second"));
    let old = begin(place, &first);
    let lost = begin(place, &lost_run);
    place.sql("DROP TABLE training_records");
    let set = |id: &RecordId| vec![("id".to_owned(), id.0.clone())];
    let taken = begin(place, &Run { set: set(&old.record_id), ..second.clone() });
    let third = begin(place, &Run { set: set(&lost.record_id), ..run("third") });
    assert_eq!((&taken.record_id, &third.record_id), (&old.record_id, &lost.record_id));
    let moved = end(place, &first, &old, success());
    assert_eq!(
        (status(place, &taken.record_id), status(place, &moved.record_id)),
        (json!("training"), json!("completed"))
    );
    // Without a journal at hand the run can be presumed lost, and the row is still another's.
    place.set_heartbeat(lost_run.run_id, -3600);
    let presumed = Change::Presume(presumption(Proof::DeadJournal));
    assert_eq!(place.open().apply(lost_run.run_id, &presumed).unwrap(), Applied::Written);
    assert_eq!(status(place, &third.record_id), json!("training"));
    assert_eq!(place.open().apply(lost_run.run_id, &presumed).unwrap(), Applied::Kept);
}

// Holds: failures/row-without-run
fn a_row_of_no_run_is_left_alone(place: &Place) {
    let first = run("first");
    let old = begin(place, &first);
    place.sql("DELETE FROM runwrap_runs; UPDATE training_records SET error_message = 'the application''s'");
    let moved = end(place, &first, &old, failure());
    assert_ne!(moved.record_id, old.record_id);
    let row = place.show(&old.record_id.0);
    assert_eq!((&row["status"], &row["error_message"]), (&json!("training"), &json!("the application's")));
    assert_eq!(status(place, &moved.record_id), json!("failed"));
    // Repeating the delivery changes nothing more.
    assert_eq!(end(place, &first, &old, failure()), old);
    assert_eq!(place.count("training_records"), 2);
}

/// The application starts again with its row while the first run's end still waits in a journal.
// Holds: failures/row-adopted-again
fn an_adopted_row_of_another_run_is_left_alone(place: &Place) {
    place.open().migrate().unwrap();
    place.sql("INSERT INTO training_records (id, status) VALUES (30, 'training')");
    let adopter = |name: &str| Run { adopt: Some(RecordId("30".into())), ..run(name) };
    let (first, second) = (adopter("first"), adopter("second"));
    let old = begin(place, &first);
    assert_eq!(
        place.open().apply(first.run_id, &Change::Presume(presumption(Proof::DeadJournal))).unwrap(),
        Applied::Written
    );
    place.sql("UPDATE training_records SET status = 'training'");
    let taken = begin(place, &second);
    let moved = end(place, &first, &old, failure());
    assert_ne!(moved.record_id, taken.record_id);
    assert_eq!(end(place, &second, &taken, success()), taken);
    assert_eq!(
        (status(place, &taken.record_id), status(place, &moved.record_id)),
        (json!("completed"), json!("failed"))
    );
}

fn a_free_number_is_taken_again(place: &Place) {
    let first = run("first");
    let old = begin(place, &first);
    place.sql("DELETE FROM runwrap_runs; DELETE FROM training_records");
    assert_eq!(end(place, &first, &old, success()), old);
    assert_eq!(status(place, &old.record_id), json!("completed"));
}

/// A heartbeat made a table of the name, the run continued there, and the original row stayed in training.
// Holds: failures/table-renamed
fn a_renamed_table_is_waited_for(place: &Place) {
    let first = run("first");
    let begun = begin(place, &first);
    place.sql("ALTER TABLE training_records RENAME TO elsewhere");
    let heartbeat = Change::Heartbeat(progress(r#"{"a": 1}"#));
    let message = transient(place.open().apply(first.run_id, &heartbeat));
    assert!(message.contains("training_records") && message.contains("missing"), "{message}");
    assert!(transient(place.open().begin(&first, Some(&begun))).contains("missing"));
    place.sql("ALTER TABLE elsewhere RENAME TO training_records");
    assert_eq!(place.open().apply(first.run_id, &heartbeat).unwrap(), Applied::Written);
    assert_eq!(place.show("1")["train_metrics"], json!({"a": 1}));
}

fn reading_an_empty_database_makes_no_table(place: &Place) {
    let mut store = place.open();
    assert_eq!(store.list(&Filter { limit: 9, ..Filter::default() }).unwrap(), [] as [RecordView; 0]);
    assert_eq!((store.show("1").unwrap(), store.overdue(9).unwrap(), store.stuck(0).unwrap()), (None, vec![], vec![]));
    assert_eq!(store.examine(runwrap::store::Scope::All, None, 10).unwrap().read, 0);
    let tables = if place.is_postgres() {
        "SELECT count(*) AS x FROM pg_tables WHERE schemaname = 'public'"
    } else {
        "SELECT count(*) AS x FROM sqlite_schema"
    };
    assert_eq!(place.text(tables).unwrap(), "0");
}

/// A report replaced the metrics of a text column instead of merging into them.
fn text_metrics_of_an_adopted_row_are_kept(place: &Place) {
    for json in ["TEXT", "VARCHAR(500)", "JSON"] {
        let id = if place.is_postgres() { "SERIAL" } else { "INTEGER" };
        place.sql(&format!(
            "DROP TABLE IF EXISTS training_records;
             CREATE TABLE training_records (id {id} PRIMARY KEY, status TEXT, train_metrics {json});
             INSERT INTO training_records (id, status, train_metrics) VALUES (7, 'training', '{{\"lr\":0.10}}')"
        ));
        let adopter = Run { adopt: Some(RecordId("7".into())), ..run("cifar") };
        begin(place, &adopter);
        let heartbeat = Change::Heartbeat(progress(r#"{"loss": 1}"#));
        assert_eq!(place.open().apply(adopter.run_id, &heartbeat).unwrap(), Applied::Written);
        let kept = place.text("SELECT train_metrics AS x FROM training_records").unwrap();
        assert_eq!(kept.replace(' ', ""), r#"{"lr":0.10,"loss":1}"#, "{json}");
        place.sql("UPDATE runwrap_runs SET reason = 'success'");
    }
}

fn every_digit_of_a_number_is_kept(place: &Place) {
    let first = run("cifar");
    begin(place, &first);
    let digits = r#"{"id": 12345678901234567890123, "rate": 0.1000000000000000055511151231257827, "huge": 1e400}"#;
    let heartbeat = Change::Heartbeat(progress(digits));
    assert_eq!(place.open().apply(first.run_id, &heartbeat).unwrap(), Applied::Written);
    let shown = place.show("1")["train_metrics"].to_string();
    assert!(
        shown.contains("12345678901234567890123") && shown.contains("0.1000000000000000055511151231257827"),
        "{shown}"
    );
    // And the next report merges into all of it.
    assert_eq!(
        place.open().apply(first.run_id, &Change::Heartbeat(progress(r#"{"rate": 2}"#))).unwrap(),
        Applied::Written
    );
    assert!(place.show("1")["train_metrics"].to_string().contains("12345678901234567890123"));
}

/// `list` and `show` lost the whole record.
fn metrics_that_cannot_be_read_hide_no_record(place: &Place) {
    let first = run("cifar");
    begin(place, &first);
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    for metrics in [r#"{"a": 1e400}"#, deep.as_str()] {
        place.sql(&format!("UPDATE training_records SET train_metrics = '{metrics}'"));
        let shown = place.show("1");
        assert_eq!((&shown["id"], &shown["name"], &shown["status"]), (&json!(1), &json!("cifar"), &json!("training")));
        assert!(!shown["train_metrics"].is_null());
        let listed = place.open().list(&Filter { limit: 9, ..Filter::default() }).unwrap();
        assert_eq!((listed.len(), &listed[0].0["id"]), (1, &json!(1)));
    }
}

/// A heartbeat made the tables while a backup was being restored, and the restore failed.
// Holds: failures/table-made-again
fn a_run_makes_no_table_after_its_begin(place: &Place) {
    let first = run("first");
    let begun = begin(place, &first);
    let heartbeat = Change::Heartbeat(progress(r#"{"a": 1}"#));
    let own = ["runwrap_runs", "runwrap_versions", "runwrap_migrations"].map(|table| format!("DROP TABLE {table}"));
    place.sql(&own.join(";"));
    if place.is_postgres() {
        place.sql("DROP FUNCTION runwrap_timeline");
    }
    for _emptied_further in 0..2 {
        assert_eq!(place.open().apply(first.run_id, &heartbeat).unwrap(), Applied::Missing);
        let message = transient(place.open().begin(&first, Some(&begun)));
        assert!(message.contains("missing") && message.contains("runwrap migrate"), "{message}");
        place.sql("DROP TABLE IF EXISTS training_records");
    }
    place.open().migrate().unwrap();
    assert_eq!(place.count("training_records"), 0);
    place.open().begin(&first, Some(&begun)).unwrap();
    assert_eq!(place.open().apply(first.run_id, &heartbeat).unwrap(), Applied::Written);
}
