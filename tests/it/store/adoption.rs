//! `--record-id`: a row that the application has inserted becomes the record of a run.

use runwrap::record::{Applied, Change, RecordId, Run};
use serde_json::json;

use super::conformance;
use super::place::{Place, at, bad_input, begin, progress, run, success};

conformance!(
    inserted_row_becomes_the_runs_record,
    given_values_are_written_into_the_adopted_row,
    adopting_a_missing_row_is_refused,
    adopting_an_ended_row_is_refused,
    row_that_waits_for_its_run_is_adopted,
    adopting_a_watched_row_is_refused,
    second_adoption_changes_nothing,
);

fn adopter(id: &str) -> Run {
    Run { adopt: Some(RecordId(id.into())), ..run("cifar") }
}

fn inserted(place: &Place) {
    place.open().migrate().unwrap();
    place.sql(
        "INSERT INTO training_records (id, version, status, train_start_time, train_metrics, model_path)
         VALUES (30, 'v12', 'training', '2025-11-26 18:00:00', '{\"loss\": 0.027}', '/m/old.pt')",
    );
}

fn inserted_row_becomes_the_runs_record(place: &Place) {
    inserted(place);
    let run = adopter("30");
    let begun = begin(place, &run);
    assert_eq!((begun.record_id.0.as_str(), begun.version.as_deref()), ("30", Some("v12")));
    let shown = place.show("30");
    assert_eq!(shown["train_start_time"], "2026-01-02T03:04:05.678901Z");
    assert_eq!((&shown["train_metrics"], &shown["model_path"]), (&json!({"loss": 0.027}), &json!("/m/old.pt")));
    let ended = Change::Finalize(progress(r#"{"accuracy": 0.9}"#), success());
    assert_eq!(place.open().apply(run.run_id, &ended).unwrap(), Applied::Written);
    let shown = place.show("30");
    assert_eq!(shown["train_metrics"], json!({"loss": 0.027, "accuracy": 0.9}));
    assert_eq!((&shown["status"], &shown["train_duration"]), (&json!("completed"), &json!(100)));
    assert_eq!(place.count("training_records"), 1);
}

fn given_values_are_written_into_the_adopted_row(place: &Place) {
    inserted(place);
    let set = vec![("train_metrics".into(), r#"{"b": 2}"#.into()), ("id".into(), "99".into())];
    let given = Run { version: Some("v40".into()), model_path: Some("/m/new.pt".into()), set, ..adopter("30") };
    assert_eq!(begin(place, &given).version.unwrap(), "v40");
    let shown = place.show("30");
    assert_eq!((&shown["version"], &shown["model_path"]), (&json!("v40"), &json!("/m/new.pt")));
    assert_eq!(shown["train_metrics"], json!({"b": 2}));
}

fn adopting_a_missing_row_is_refused(place: &Place) {
    inserted(place);
    for id in ["31", "abc", "", "99999999999999999999999", "30 OR 1=1"] {
        let message = bad_input(place.open().begin(&adopter(id), None));
        assert!(message.starts_with(&format!("--record-id {id}: ")), "{message}");
    }
    assert_eq!(place.count("runwrap_runs"), 0);
}

fn adopting_an_ended_row_is_refused(place: &Place) {
    inserted(place);
    place.sql("UPDATE training_records SET status = 'failed'");
    let message = bad_input(place.open().begin(&adopter("30"), None));
    assert!(message.contains("\"failed\""), "{message}");
}

fn row_that_waits_for_its_run_is_adopted(place: &Place) {
    place.sql(
        "CREATE TABLE training_records (id INTEGER PRIMARY KEY, status VARCHAR(20), train_start_time TIMESTAMP,
            train_end_time TIMESTAMP, train_duration INTEGER);
         INSERT INTO training_records (id, status) VALUES (30, 'pending')",
    );
    for status in ["'pending'", "'queued'", "''", "NULL"] {
        place.sql(&format!("UPDATE training_records SET status = {status}, train_end_time = NULL"));
        let run = adopter("30");
        begin(place, &run);
        assert_eq!(place.show("30")["status"], "training", "{status}");
        let ended = Change::Finalize(progress("{}"), success());
        assert_eq!(place.open().apply(run.run_id, &ended).unwrap(), Applied::Written);
        assert_eq!(place.show("30")["status"], "completed", "{status}");
    }
    place.sql("UPDATE training_records SET status = 'archived'");
    let message = bad_input(place.open().begin(&adopter("30"), None));
    assert!(message.contains("\"archived\"") && message.contains("end time"), "{message}");
}

fn adopting_a_watched_row_is_refused(place: &Place) {
    let first = run("cifar");
    begin(place, &first);
    let message = bad_input(place.open().begin(&adopter("1"), None));
    assert!(message.contains(&first.run_id.to_string()), "{message}");
}

fn second_adoption_changes_nothing(place: &Place) {
    inserted(place);
    let run = Run { begun_at: at(9), ..adopter("30") };
    let first = begin(place, &run);
    assert_eq!(begin(place, &run), first);
    assert_eq!(place.count("runwrap_runs"), 1);
}
