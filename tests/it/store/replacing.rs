//! The application, a trigger or an administrator changes the run's row, deletes it, or puts another in its place.

use runwrap::record::{Applied, Change, Proof, RecordId, Run};
use runwrap::store::{Filter, open};
use serde_json::{Value, json};

use super::conformance;
use super::owning::{end, failure, status};
use super::place::{Place, begin, presumption, progress, run, success};

conformance!(
    a_row_that_the_application_put_in_its_place_is_left_alone,
    a_row_whose_start_the_trainer_rewrites_stays_the_runs,
    a_run_whose_row_was_deleted_is_presumed_lost_once,
    a_row_that_triggers_rewrite_stays_the_runs,
    an_adopted_row_that_was_replaced_is_left_alone,
    a_table_that_stamps_every_update_gets_one_more_row_at_most,
    a_column_that_is_renamed_during_a_run_loses_no_end,
    a_version_that_the_application_changes_resets_no_run,
    an_ended_row_that_leaves_the_table_is_not_inserted_again,
);

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
    let row = place.show_ageless("1");
    assert_eq!((&row["run_id"], &row["error_message"]), (&Value::Null, &json!("the application's")));
    let listed = place.open().list(&Filter { limit: 9, summary: true, ..Filter::default() }).unwrap();
    assert_eq!((listed.len(), &listed[0].0["name"]), (1, &Value::Null));
    assert_eq!(place.open().stuck(86_400).unwrap().len(), 1);
    assert!(place.open().show(&first.run_id.to_string()).unwrap().is_none());
    let moved = end(place, &first, &old, failure());
    assert_ne!(moved.record_id, old.record_id);
    assert_eq!(place.show_ageless("1"), row);
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

/// A table that stamps both times at each update got a row at every second heartbeat.
fn a_table_that_stamps_every_update_gets_one_more_row_at_most(place: &Place) {
    place.open().migrate().unwrap();
    place.sql(if place.is_postgres() {
        "CREATE SEQUENCE stamp;
         CREATE FUNCTION stamped() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
            NEW.created_at := now() + nextval(''stamp'') * interval ''7 s''; NEW.train_start_time := NEW.created_at + interval ''1 s'';
            RETURN NEW; END';
         CREATE TRIGGER stamped BEFORE UPDATE ON training_records FOR EACH ROW EXECUTE FUNCTION stamped()"
    } else {
        "CREATE TABLE stamp (number INTEGER); INSERT INTO stamp VALUES (0);
         CREATE TRIGGER stamped AFTER UPDATE OF train_metrics ON training_records BEGIN
            UPDATE stamp SET number = number + 1;
            UPDATE training_records SET created_at = '2027-01-02 03:04:' || (10 + (SELECT number FROM stamp) * 3),
                train_start_time = '2028-01-02 03:04:' || (10 + (SELECT number FROM stamp) * 3) WHERE id = NEW.id; END"
    });
    let first = run("first");
    let mut known = begin(place, &first);
    for number in 0..8 {
        let change = Change::Heartbeat(progress(&format!("{{\"step\": {number}}}")));
        let mut store = place.open();
        if store.apply(first.run_id, &change).unwrap() == Applied::Missing {
            known = store.begin(&first, Some(&known)).unwrap();
            assert_eq!(store.apply(first.run_id, &change).unwrap(), Applied::Written);
        }
    }
    assert_eq!(end(place, &first, &known, success()), known);
    assert!(place.count("training_records") <= 2, "{}", place.count("training_records"));
}

/// SQLite's error about a missing column was no reason to read the table again: no heartbeat and no end came through.
// Holds: failures/value-refused
fn a_column_that_is_renamed_during_a_run_loses_no_end(place: &Place) {
    for column in ["created_at", "train_start_time", "train_end_time", "model_path"] {
        let run = run("cifar");
        let options = place.options();
        let mut store = open(&place.target, &options).unwrap();
        let begun = store.begin(&run, None).unwrap();
        let heartbeat = Change::Heartbeat(progress("{}"));
        assert_eq!(store.apply(run.run_id, &heartbeat).unwrap(), Applied::Written);
        place.sql(&format!("ALTER TABLE training_records RENAME COLUMN {column} TO away"));
        assert_eq!(store.apply(run.run_id, &heartbeat).unwrap(), Applied::Written, "{column}");
        let ended = Change::Finalize(progress("{}"), success());
        assert_eq!(store.apply(run.run_id, &ended).unwrap(), Applied::Written, "{column}");
        assert_eq!(status(place, &begun.record_id), json!("completed"), "{column}");
        place.sql(&format!("ALTER TABLE training_records RENAME COLUMN away TO {column}"));
    }
    assert_eq!(place.count("training_records"), 4);
}

/// The run was begun anew in `runwrap_runs`, and its last sign of life was gone.
fn a_version_that_the_application_changes_resets_no_run(place: &Place) {
    let first = run("first");
    let old = begin(place, &first);
    beat(place, &first);
    let seen = place.show("1")["last_seen_at"].clone();
    place.sql("UPDATE training_records SET version = 'prod'");
    let again = place.open().begin(&first, Some(&old)).unwrap();
    assert_eq!((again.record_id, again.version.as_deref()), (old.record_id, Some("prod")));
    let row = place.show("1");
    assert_eq!((&row["last_seen_at"], &row["version"], row["pid"].is_null()), (&seen, &json!("prod"), false));
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
