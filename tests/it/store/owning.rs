//! A run owns its row by its run id, never by the row's number: after a restore, a failover to a lagging standby, or in a table that
//! was made again, the number is another run's, or no run's.

use runwrap::record::{Applied, Begun, Change, Ending, Proof, Reason, RecordId, Run, Status};
use runwrap::store::{Filter, RecordView};
use serde_json::{Value, json};

use super::conformance;
use super::place::{Place, begin, presumption, progress, run, success, transient};

conformance!(
    runs_keep_apart_after_a_restore,
    runs_keep_apart_in_a_table_made_again,
    a_row_of_no_run_is_left_alone,
    an_adopted_row_of_another_run_is_left_alone,
    a_row_that_the_application_put_in_its_place_is_left_alone,
    a_row_whose_start_the_trainer_rewrites_stays_the_runs,
    a_run_whose_row_was_deleted_is_presumed_lost_once,
    a_row_that_triggers_rewrite_stays_the_runs,
    an_adopted_row_that_was_replaced_is_left_alone,
    an_ended_row_that_leaves_the_table_is_not_inserted_again,
    a_free_number_is_taken_again,
    a_renamed_table_is_waited_for,
    a_run_makes_no_table_after_its_begin,
    reading_an_empty_database_makes_no_table,
    text_metrics_of_an_adopted_row_are_kept,
    every_digit_of_a_number_is_kept,
    metrics_that_cannot_be_read_hide_no_record,
);

/// Delivers an end as `delivery` does: a run that the database does not know is begun again.
fn end(place: &Place, run: &Run, known: &Begun, ending: Ending) -> Begun {
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

fn failure() -> Ending {
    Ending { status: Status::Failed, reason: Reason::Exit, exit_code: Some(3), ..success() }
}

fn status(place: &Place, id: &RecordId) -> Value {
    place.show(&id.0)["status"].clone()
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

/// The application deleted the run's row and inserted one of its own under the same number; the end was written into that.
// Holds: failures/row-put-in-its-place
fn a_row_that_the_application_put_in_its_place_is_left_alone(place: &Place) {
    let again = "INSERT INTO training_records (id, status, train_start_time, created_at, error_message)
        VALUES (1, 'training', '2019-05-06 07:08:09', '2019-05-06 07:08:09', 'the application''s')";
    let emptied =
        if place.is_postgres() { "TRUNCATE training_records RESTART IDENTITY" } else { "DELETE FROM training_records" };
    let first = run("first");
    let old = begin(place, &first);
    assert_eq!(old.record_id.0, "1");
    beat(place, &first);
    place.sql(&format!("{emptied}; {again}"));
    // No run describes the new row, also in `list`, `show` and `stuck`.
    let row = place.show("1");
    assert_eq!((&row["run_id"], &row["error_message"]), (&Value::Null, &json!("the application's")));
    let listed = place.open().list(&Filter { limit: 9, summary: true, ..Filter::default() }).unwrap();
    assert_eq!((listed.len(), &listed[0].0["name"]), (1, &Value::Null));
    assert_eq!(place.open().stuck(86_400).unwrap().len(), 1);
    assert!(place.open().show(&first.run_id.to_string()).unwrap().is_none());
    let moved = end(place, &first, &old, failure());
    assert_ne!(moved.record_id, old.record_id);
    assert_eq!(place.show("1"), row);
    let own = place.show(&moved.record_id.0);
    assert_eq!((&own["status"], &own["run_id"]), (&json!("failed"), &json!(first.run_id.to_string())));
    // A repeated delivery changes nothing.
    assert_eq!(end(place, &first, &moved, failure()), moved);
    assert_eq!(place.count("training_records"), 2);
}

/// A run sees its row at each change.
fn beat(place: &Place, run: &Run) {
    assert_eq!(place.open().apply(run.run_id, &Change::Heartbeat(progress("{}"))).unwrap(), Applied::Written);
}

/// The row that RETURNING showed was never the row in the table: each heartbeat inserted another.
// Holds: failures/row-rewritten
fn a_row_that_triggers_rewrite_stays_the_runs(place: &Place) {
    place.open().migrate().unwrap();
    place.sql(if place.is_postgres() {
        "CREATE FUNCTION own_times() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN UPDATE training_records SET created_at = now() + interval ''7 s'', train_start_time = now() + interval ''9 s''
                WHERE id = NEW.id; RETURN NULL; END';
         CREATE TRIGGER own_times AFTER INSERT ON training_records FOR EACH ROW EXECUTE FUNCTION own_times()"
    } else {
        "CREATE TRIGGER own_times AFTER INSERT ON training_records BEGIN
            UPDATE training_records SET created_at = unixepoch(), train_start_time = unixepoch() WHERE id = NEW.id; END"
    });
    let first = run("first");
    let old = begin(place, &first);
    beat(place, &first);
    assert_eq!(place.open().begin(&first, Some(&old)).unwrap(), old);
    beat(place, &first);
    assert_eq!(end(place, &first, &old, success()), old);
    assert_eq!((status(place, &old.record_id), place.count("training_records")), (json!("completed"), 1));
}

/// The run adopted the number again, and the other row got its end.
fn an_adopted_row_that_was_replaced_is_left_alone(place: &Place) {
    place.open().migrate().unwrap();
    place.sql("INSERT INTO training_records (id, status) VALUES (30, 'training')");
    let first = Run { adopt: Some(RecordId("30".into())), ..run("first") };
    let old = begin(place, &first);
    beat(place, &first);
    place.sql(
        "DELETE FROM training_records;
         INSERT INTO training_records (id, status, created_at, train_start_time)
         VALUES (30, 'training', '2019-05-06 07:08:09', '2019-05-06 07:08:09')",
    );
    let moved = end(place, &first, &old, failure());
    assert_ne!(moved.record_id, old.record_id);
    assert_eq!((status(place, &old.record_id), status(place, &moved.record_id)), (json!("training"), json!("failed")));
}

/// A trigger had moved the ended row to an archive, and the delivery, repeated, put it there twice.
// Holds: failures/row-archived
fn an_ended_row_that_leaves_the_table_is_not_inserted_again(place: &Place) {
    let first = run("first");
    let old = begin(place, &first);
    assert_eq!(end(place, &first, &old, success()), old);
    place.sql("DELETE FROM training_records");
    assert_eq!(place.open().begin(&first, Some(&old)).unwrap(), old);
    assert_eq!(end(place, &first, &old, success()), old);
    assert_eq!(place.count("training_records"), 0);
}

fn a_row_whose_start_the_trainer_rewrites_stays_the_runs(place: &Place) {
    let first = run("first");
    let old = begin(place, &first);
    for rewritten in ["train_start_time = '2020-01-01 00:00:00'", "train_start_time = NULL"] {
        place.sql(&format!("UPDATE training_records SET {rewritten}"));
        let heartbeat = Change::Heartbeat(progress("{}"));
        assert_eq!(place.open().apply(first.run_id, &heartbeat).unwrap(), Applied::Written);
        assert_eq!(place.show("1")["run_id"], json!(first.run_id.to_string()));
    }
    // All times moved from a time zone to UTC.
    let moved = |name: &str| {
        if place.is_postgres() {
            return format!("{name} = {name} - make_interval(hours => 8)");
        }
        format!("{name} = strftime('%Y-%m-%d %H:%M:%f', {name}, '-8 hours')")
    };
    place.sql(&format!("UPDATE training_records SET {}, {}", moved("created_at"), moved("train_start_time")));
    assert_eq!(place.show("1")["run_id"], json!(first.run_id.to_string()));
    assert_eq!(end(place, &first, &old, success()), old);
    assert_eq!((status(place, &old.record_id), place.count("training_records")), (json!("completed"), 1));
}

/// Every recovery looked at it again, for ever.
fn a_run_whose_row_was_deleted_is_presumed_lost_once(place: &Place) {
    let first = Run { lease_seconds: 1, ..run("first") };
    let old = begin(place, &first);
    place.sql("DELETE FROM training_records");
    place.wait_until_up_for_a_second();
    place.set_heartbeat(first.run_id, -3600);
    assert_eq!(place.open().overdue(9).unwrap(), [first.run_id]);
    let presumed = Change::Presume(presumption(Proof::Lease));
    assert_eq!(place.open().apply(first.run_id, &presumed).unwrap(), Applied::Written);
    assert_eq!((place.open().overdue(9).unwrap(), place.count("training_records")), (vec![], 0));
    // Its own journal still brings the record back.
    assert_eq!(end(place, &first, &old, success()), old);
    assert_eq!(status(place, &old.record_id), json!("completed"));
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
