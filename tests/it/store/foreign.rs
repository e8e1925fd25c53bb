//! The user's table as applications create it: other types, fewer columns, more columns. runwrap uses it unchanged.

use runwrap::record::{Applied, Change, Ending, Progress, Proof, Reason, RecordId, Report, Run, Status};
use runwrap::store::StoreError;
use serde_json::{Value, json};

use super::conformance;
use super::place::{Place, at, begin, permanent, presumption, progress, run, success};

conformance!(
    sqlalchemy_table_is_used_as_it_is,
    incident_table_continues_its_versions,
    zoned_times_and_jsonb_are_written,
    text_columns_hold_every_value,
    table_with_only_id_and_status_suffices,
    uuid_id_without_default_becomes_the_run_id,
    short_columns_never_prevent_an_end,
    table_without_status_is_refused,
    error_names_the_column_that_must_not_be_null,
    columns_may_have_the_names_of_runwraps_own,
    generated_column_is_read_and_never_written,
    presumed_run_comes_back_although_a_column_must_not_be_null,
);

/// One presumed and one completed run in a table of any shape. Returns the id of the completed record.
fn live(place: &Place) -> String {
    let lost = run("cifar");
    begin(place, &lost);
    let mut store = place.open();
    assert_eq!(
        store.apply(lost.run_id, &Change::Heartbeat(progress(r#"{"a": 1, "b": 1}"#))).unwrap(),
        Applied::Written
    );
    let presumed = Change::Presume(presumption(Proof::DeadJournal));
    assert_eq!(store.apply(lost.run_id, &presumed).unwrap(), Applied::Written);
    let run = run("cifar");
    let id = begin(place, &run).record_id.0;
    for metrics in [r#"{"a": 1, "b": 1}"#, r#"{"a": 1, "b": 2}"#] {
        assert_eq!(store.apply(run.run_id, &Change::Heartbeat(progress(metrics))).unwrap(), Applied::Written);
    }
    let report = Report { model_path: Some("/m/1.pt".into()), ..Report::default() };
    let ended = Change::Finalize(Progress { report, ..progress("{}") }, success());
    assert_eq!(store.apply(run.run_id, &ended).unwrap(), Applied::Written);
    id
}

/// Asserts the values of a record that `live` has made, in the columns that runwrap knows.
#[track_caller]
fn assert_every_column(place: &Place, id: &str) {
    let shown = place.show(id);
    let expected = [
        ("status", json!("completed")),
        ("train_start_time", json!("2026-01-02T03:04:06.678901Z")),
        ("train_end_time", json!("2026-01-02T03:05:46.678901Z")),
        ("train_metrics", json!({"a": 1, "b": 2})),
        ("model_path", json!("/m/1.pt")),
        ("error_message", Value::Null),
    ];
    for (name, value) in expected {
        assert_eq!(shown[name], value, "{name}");
    }
    assert_eq!(shown["train_duration"].to_string().trim_matches('"'), "100");
}

fn sqlalchemy_table_is_used_as_it_is(place: &Place) {
    let id = if place.is_postgres() { "SERIAL PRIMARY KEY" } else { "INTEGER NOT NULL PRIMARY KEY" };
    let time = if place.is_postgres() { "TIMESTAMP WITHOUT TIME ZONE" } else { "DATETIME" };
    place.sql(&format!(
        "CREATE TABLE training_records (
            id {id}, version VARCHAR(32) NOT NULL, status VARCHAR(16) NOT NULL, train_start_time {time},
            train_end_time {time}, train_duration INTEGER, train_metrics JSON, model_path VARCHAR(512),
            error_message TEXT, created_at {time} NOT NULL, note TEXT)"
    ));
    let id = live(place);
    assert_every_column(place, &id);
    let shown = place.show(&id);
    assert_eq!((&shown["created_at"], &shown["note"]), (&json!("2026-01-02T03:04:05.678901Z"), &Value::Null));
    let lost = place.show("1");
    let values = ["status", "train_duration", "train_end_time"].map(|name| lost[name].clone());
    assert_eq!(json!(values), json!(["failed", 60, "2026-01-02T03:05:06.678901Z"]));
}

/// The table of a nightly training: v9 and v11 completed, v12 is stuck.
fn incident_table_continues_its_versions(place: &Place) {
    let (id, time) =
        if place.is_postgres() { ("SERIAL", "TIMESTAMP WITHOUT TIME ZONE") } else { ("INTEGER", "TIMESTAMP") };
    place.sql(&format!(
        "CREATE TABLE training_records (
            id {id} PRIMARY KEY, version VARCHAR(32) NOT NULL, status VARCHAR(16) NOT NULL DEFAULT 'training',
            train_start_time {time}, train_end_time {time}, train_duration INTEGER, train_metrics JSON,
            model_path VARCHAR(512), error_message TEXT, created_at {time} NOT NULL DEFAULT CURRENT_TIMESTAMP);
         INSERT INTO training_records (version, status, train_start_time, train_metrics) VALUES
            ('v9', 'completed', '2025-11-24 06:17:32', NULL), ('v11', 'completed', '2025-11-25 18:00:00.900000', NULL),
            ('v12', 'training', '2025-11-26 18:00:00', '{{\"loss\": 0.027}}')"
    ));
    assert_eq!(begin(place, &run("nightly")).version.unwrap(), "v13");
    assert_eq!(begin(place, &run("other")).version.unwrap(), "v13");
    assert_eq!(place.show("3")["train_metrics"], json!({"loss": 0.027}));
}

fn zoned_times_and_jsonb_are_written(place: &Place) {
    let (id, time, json) = if place.is_postgres() {
        ("BIGINT GENERATED ALWAYS AS IDENTITY", "TIMESTAMPTZ", "JSONB")
    } else {
        ("INTEGER", "TIMESTAMP WITH TIME ZONE", "JSONB")
    };
    place.sql(&format!(
        "CREATE TABLE training_records (
            id {id} PRIMARY KEY, version TEXT, status TEXT, train_start_time {time}, train_end_time {time},
            train_duration DOUBLE PRECISION, train_metrics {json}, model_path TEXT, error_message TEXT)"
    ));
    let run = run("deleted");
    let begun = begin(place, &run);
    place.sql("DELETE FROM training_records");
    assert_eq!(place.open().begin(&run, Some(&begun)).unwrap(), begun);
    live(place);
    let shown = place.show("3");
    assert_eq!((&shown["status"], shown["train_duration"].as_f64()), (&json!("completed"), Some(100.0)));
    assert_eq!((&shown["train_metrics"], &shown["version"]), (&json!({"a": 1, "b": 2}), &json!("v2")));
}

fn text_columns_hold_every_value(place: &Place) {
    place.sql(
        "CREATE TABLE training_records (
            id TEXT PRIMARY KEY, version TEXT, status VARCHAR(9), train_start_time TEXT, train_end_time TEXT,
            train_duration TEXT, train_metrics TEXT, model_path TEXT, error_message TEXT)",
    );
    let id = live(place);
    assert_every_column(place, &id);
    assert_eq!(place.show(&id)["run_id"], id.as_str());
}

fn table_with_only_id_and_status_suffices(place: &Place) {
    let id = if place.is_postgres() { "SERIAL" } else { "INTEGER" };
    place.sql(&format!("CREATE TABLE training_records (id {id} PRIMARY KEY, status TEXT NOT NULL)"));
    let id = live(place);
    let shown = place.show(&id);
    assert_eq!((&shown["status"], &shown["reason"]), (&json!("completed"), &json!("success")));
    let watched = run("x");
    let begun = begin(place, &watched);
    assert_eq!((&begun.version, begin(place, &watched)), (&None, begun.clone()));
    place.sql("INSERT INTO training_records (id, status) VALUES (40, 'training')");
    let adopted = begin(place, &Run { adopt: Some(RecordId("40".into())), ..run("x") });
    assert_eq!((adopted.record_id.0.as_str(), adopted.version), ("40", None));
}

fn uuid_id_without_default_becomes_the_run_id(place: &Place) {
    let id = if place.is_postgres() { "UUID" } else { "CHAR(32)" };
    place.sql(&format!("CREATE TABLE training_records (id {id} PRIMARY KEY, version TEXT, status TEXT)"));
    let run = run("cifar");
    let begun = begin(place, &run);
    assert_eq!(begun.record_id.0.replace('-', ""), run.run_id.0.simple().to_string());
    assert_eq!(place.show(&begun.record_id.0)["version"], "v1");
    assert_eq!(begin(place, &Run { adopt: Some(begun.record_id.clone()), ..run.clone() }), begun);
}

fn short_columns_never_prevent_an_end(place: &Place) {
    let id = if place.is_postgres() { "SERIAL" } else { "INTEGER" };
    place.sql(&format!(
        "CREATE TABLE training_records (
            id {id} PRIMARY KEY, status VARCHAR(16), model_path VARCHAR(8), error_message VARCHAR(30))"
    ));
    let run = run("cifar");
    begin(place, &run);
    let report = Report { model_path: Some("/a/very/long/path.pt".into()), ..Report::default() };
    let reported = Progress { report, ..Progress::default() };
    let ending =
        Ending { status: Status::Failed, reason: Reason::Exit, error_message: Some("ä".repeat(40)), ..success() };
    let mut store = place.open();
    assert_eq!(store.apply(run.run_id, &Change::Heartbeat(reported.clone())).unwrap(), Applied::Written);
    assert_eq!(store.apply(run.run_id, &Change::Presume(presumption(Proof::DeadJournal))).unwrap(), Applied::Written);
    assert_eq!(store.apply(run.run_id, &Change::Finalize(reported, ending)).unwrap(), Applied::Written);
    let shown = place.show("1");
    assert_eq!(shown["status"], "failed");
    if place.is_postgres() {
        assert_eq!(
            (&shown["model_path"], &shown["error_message"]),
            (&Value::Null, &json!(format!("{}…{}", "ä".repeat(15), "ä".repeat(14))))
        );
    } else {
        // SQLite does not enforce a declared length, so runwrap does not cut the text.
        assert_eq!(shown["model_path"], "/a/very/long/path.pt");
    }
}

/// The heartbeat clears the presumed duration: the refused NULL kept a living run `failed` to its end.
fn presumed_run_comes_back_although_a_column_must_not_be_null(place: &Place) {
    let id = if place.is_postgres() { "SERIAL" } else { "INTEGER" };
    for column in [
        "train_duration BIGINT NOT NULL DEFAULT 0",
        "train_duration BIGINT DEFAULT 0 CHECK (train_duration >= 0 AND train_duration IS NOT NULL)",
    ] {
        place.sql(&format!("DROP TABLE IF EXISTS training_records; CREATE TABLE training_records (id {id} PRIMARY KEY, status TEXT, {column})"));
        let run = run("cifar");
        let record = begin(place, &run).record_id.0;
        let mut store = place.open();
        let presumed = Change::Presume(presumption(Proof::DeadJournal));
        assert_eq!(store.apply(run.run_id, &presumed).unwrap(), Applied::Written);
        assert_eq!(store.apply(run.run_id, &Change::Heartbeat(progress("{}"))).unwrap(), Applied::InPart);
        let shown = place.show(&record);
        assert_eq!(
            (&shown["status"], &shown["reason"], &shown["presumed"]),
            (&json!("training"), &Value::Null, &json!(false))
        );
        assert_eq!(store.apply(run.run_id, &Change::Finalize(progress("{}"), success())).unwrap(), Applied::Written);
        assert_eq!(
            (&place.show(&record)["status"], &place.show(&record)["train_duration"]),
            (&json!("completed"), &json!(100))
        );
    }
}

fn table_without_status_is_refused(place: &Place) {
    place.sql("CREATE TABLE training_records (id INTEGER PRIMARY KEY, state TEXT)");
    let message = permanent(place.open().begin(&run("cifar"), None));
    assert!(message.contains("\"status\"") && message.contains("id, state"), "{message}");
}

fn error_names_the_column_that_must_not_be_null(place: &Place) {
    let id = if place.is_postgres() { "SERIAL" } else { "INTEGER" };
    place.sql(&format!("CREATE TABLE training_records (id {id} PRIMARY KEY, status TEXT, owner TEXT NOT NULL)"));
    let message = permanent(place.open().begin(&run("cifar"), None));
    assert!(message.contains("owner") && message.contains("--set"), "{message}");
    begin(place, &Run { set: vec![("owner".into(), "ann".into())], begun_at: at(3), ..run("cifar") });
}

fn columns_may_have_the_names_of_runwraps_own(place: &Place) {
    let id = if place.is_postgres() { "SERIAL" } else { "INTEGER" };
    place.sql(&format!(
        "CREATE TABLE training_records (
            id {id} PRIMARY KEY, status TEXT, name TEXT, host TEXT, record TEXT, run TEXT, given TEXT, record_id TEXT)"
    ));
    let run = Run { set: vec![("host".into(), "set by hand".into()), ("record".into(), "r".into())], ..run("cifar") };
    begin(place, &run);
    let mut store = place.open();
    let wrong = store.apply(run.run_id, &Change::Heartbeat(progress("{}")));
    assert!(!matches!(wrong, Err(StoreError::BadInput { .. })));
    assert_eq!(wrong.unwrap(), Applied::Written);
    assert_eq!(store.apply(run.run_id, &Change::Finalize(progress("{}"), success())).unwrap(), Applied::Written);
    let shown = place.show("1");
    assert_eq!(
        (&shown["name"], &shown["host"], &shown["record"]),
        (&json!("cifar"), &json!("set by hand"), &json!("r"))
    );
}

/// An end once failed on a generated `train_duration`, since runwrap tried to write it.
fn generated_column_is_read_and_never_written(place: &Place) {
    let (id, time, json, seconds) = if place.is_postgres() {
        ("SERIAL", "TIMESTAMP", "JSONB", "EXTRACT(EPOCH FROM train_end_time - train_start_time)")
    } else {
        ("INTEGER", "TIMESTAMP", "JSON", "(julianday(train_end_time) - julianday(train_start_time)) * 86400")
    };
    place.sql(&format!(
        "CREATE TABLE training_records (
            id {id} PRIMARY KEY, status TEXT NOT NULL, train_start_time {time}, train_end_time {time},
            train_duration INTEGER GENERATED ALWAYS AS (CAST(round({seconds}) AS INTEGER)) STORED, version TEXT,
            train_metrics {json}, model_path TEXT, error_message TEXT)"
    ));
    let id = live(place);
    assert_every_column(place, &id);
    let set = Run { set: vec![("train_duration".into(), "1".into())], ..run("x") };
    assert!(super::place::bad_input(place.open().begin(&set, None)).contains("--set train_duration"));
}
