//! Columns of types that only PostgreSQL has.

use runwrap::record::{Applied, Change, Run};
use serde_json::json;

use crate::store::place::{Place, at, bad_input, begin, progress, run, success};

#[test]
fn enum_domain_and_numeric_columns_are_cast() {
    let place = Place::postgres();
    place.sql(
        "CREATE TYPE state AS ENUM ('training', 'completed', 'failed');
         CREATE DOMAIN label AS VARCHAR(20) CHECK (VALUE <> '');
         CREATE DOMAIN document AS jsonb;
         CREATE TABLE training_records (
            id NUMERIC PRIMARY KEY DEFAULT 7, version label, status state NOT NULL, train_start_time DATE,
            train_end_time TIMESTAMP(0), train_duration INTERVAL, train_metrics document, model_path CHAR(20),
            tags TEXT[], area BOX)",
    );
    let set = vec![("tags".into(), "{a,\"b c\"}".into()), ("area".into(), "(1,1),(0,0)".into())];
    let run = Run { set, ..run("cifar") };
    begin(&place, &run);
    let mut store = place.open();
    for metrics in [r#"{"a": 1}"#, r#"{"b": 2}"#] {
        let heartbeat = Change::Heartbeat(progress(metrics));
        assert_eq!(store.apply(run.run_id, &heartbeat).unwrap(), Applied::Written);
    }
    assert_eq!(store.apply(run.run_id, &Change::Finalize(progress("{}"), success())).unwrap(), Applied::Written);
    let shown = place.show("7");
    assert_eq!((&shown["status"], &shown["version"]), (&json!("completed"), &json!("v1")));
    assert_eq!((&shown["train_metrics"], &shown["tags"]), (&json!({"a": 1, "b": 2}), &json!(["a", "b c"])));
    assert_eq!(
        (&shown["train_end_time"], &shown["train_duration"]),
        (&json!("2026-01-02T03:05:47Z"), &json!("00:01:40"))
    );
}

#[test]
fn value_of_the_wrong_type_is_bad_input() {
    let place = Place::postgres();
    place.open().migrate().unwrap();
    place.sql("ALTER TABLE training_records ADD COLUMN epochs integer, ADD COLUMN code varchar(3)");
    for (column, value) in [("epochs", "many"), ("epochs", "99999999999"), ("code", "toolong")] {
        let wrong = Run { set: vec![(column.into(), value.into())], ..run("cifar") };
        let message = bad_input(place.open().begin(&wrong, None));
        assert!(message.contains(&format!("--set {column}")), "{message}");
    }
    assert_eq!(place.count("runwrap_runs"), 0);
}

/// A role's `TimeZone` and `DateStyle` change neither stored nor shown values.
#[test]
fn session_settings_do_not_change_stored_times() {
    let place = Place::postgres();
    let dbname = &place.postgres_target().dbname;
    place.sql(&format!(
        "ALTER ROLE admin IN DATABASE {dbname} SET TimeZone = 'Asia/Kolkata';
         ALTER ROLE admin IN DATABASE {dbname} SET DateStyle = 'SQL, DMY';
         CREATE TABLE training_records (
            id SERIAL PRIMARY KEY, status TEXT, train_start_time TIMESTAMP, train_end_time TIMESTAMPTZ, train_duration INTEGER)"
    ));
    let run = run("cifar");
    begin(&place, &run);
    let mut store = place.open();
    assert_eq!(store.apply(run.run_id, &Change::Heartbeat(progress("{}"))).unwrap(), Applied::Written);
    assert!(store.renew(run.run_id, Some(at(70))).unwrap());
    assert_eq!(place.show("1")["last_seen_at"], json!(at(70)));
    let presumed = crate::store::place::presumption(runwrap::record::Proof::DeadJournal);
    assert_eq!(store.apply(run.run_id, &Change::Presume(presumed)).unwrap(), Applied::Written);
    let shown = place.show("1");
    let values = ["train_start_time", "train_end_time", "train_duration"].map(|name| shown[name].clone());
    assert_eq!(json!(values), json!(["2026-01-02T03:04:06.678901Z", "2026-01-02T03:05:15.678901Z", 69]));
    let stored = place.text("SELECT to_char(train_start_time, 'HH24:MI:SS') AS x FROM training_records");
    assert_eq!(stored.unwrap(), "03:04:06");
}

/// A row that was inserted again under its old id can be ahead of the sequence.
#[test]
fn taken_id_is_skipped() {
    let place = Place::postgres();
    let known = runwrap::record::Begun { record_id: runwrap::record::RecordId("1".into()), version: None, table: None };
    let mut store = place.open();
    store.migrate().unwrap();
    assert_eq!(store.begin(&run("old"), Some(&known)).unwrap().record_id, known.record_id);
    crate::store::place::transient(store.begin(&run("new"), None));
    assert_eq!(store.begin(&run("new"), None).unwrap().record_id.0, "2");
}
