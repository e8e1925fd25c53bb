//! Decisions about a record from outside, as the databases keep them. `model` drives the rules at random.

use std::thread;

use runwrap::record::{Applied, Change, Decision, RecordId, Run, Status, Verdict};
use serde_json::{Value, json};

use super::conformance;
use super::place::{Place, at, begin, object, progress, run, success};

conformance!(
    an_operator_ends_a_record_that_nothing_watched,
    an_operator_s_word_is_truth,
    every_word_of_an_operator_is_kept_with_what_was_before,
    of_ten_operators_at_once_one_is_heard,
    a_record_in_any_table_is_ended_by_hand,
    a_record_that_is_not_there_is_missing,
);

/// Says that it ended well.
pub(crate) fn verdict() -> Verdict {
    Verdict {
        status: Status::Completed,
        ended_at: Some(at(101)),
        explanation: None,
        metrics: None,
        model_path: None,
        force: false,
        by: "eve@desk".into(),
        at: at(0),
        message: "ended by hand".into(),
    }
}

fn close(place: &Place, id: &str, verdict: Verdict) -> Applied {
    place.open().decide(&RecordId(id.into()), &Decision::Close(verdict)).unwrap().applied
}

#[track_caller]
fn says(place: &Place, id: &str, expected: &[(&str, Value)]) {
    let shown = place.show(id);
    for (name, value) in expected {
        assert_eq!(&shown[*name], value, "{name}");
    }
}

fn an_operator_ends_a_record_that_nothing_watched(place: &Place) {
    place.open().migrate().unwrap();
    place.sql(
        "INSERT INTO training_records (status, train_start_time, train_metrics, version)
         VALUES ('training', '2026-01-02 03:04:05.678901', '{\"loss\": 1, \"lr\": 2}', 'v7')",
    );
    let said = Verdict {
        metrics: Some(object(r#"{"loss": 0.5}"#)),
        model_path: Some("/m/1.pt".into()),
        explanation: Some("it had ended, says its log".into()),
        ..verdict()
    };
    assert_eq!(close(place, "1", said), Applied::Written);
    says(
        place,
        "1",
        &[
            ("status", json!("completed")),
            ("reason", json!("manual")),
            ("train_end_time", json!("2026-01-02T03:05:46.678901Z")),
            ("train_duration", json!(101)),
            ("train_metrics", json!({"loss": 0.5, "lr": 2})),
            ("model_path", json!("/m/1.pt")),
            ("error_message", json!("it had ended, says its log")),
            ("recovered_by", json!("eve@desk")),
            ("presumed", json!(false)),
            ("name", Value::Null),
            ("heartbeat_at", Value::Null),
        ],
    );
    // The row still has no name, and so it counts for every name.
    assert_eq!(begin(place, &run("other")).version.unwrap(), "v8");
    assert_eq!(place.count("runwrap_runs"), 2);
}

fn an_operator_s_word_is_truth(place: &Place) {
    let run = run("cifar");
    begin(place, &run);
    assert_eq!(close(place, "1", verdict()), Applied::Written);
    let failed = Verdict { status: Status::Failed, ..verdict() };
    assert_eq!(close(place, "1", failed.clone()), Applied::Kept);
    let mut store = place.open();
    assert_eq!(store.apply(run.run_id, &Change::Heartbeat(progress("{}"))).unwrap(), Applied::Kept);
    assert_eq!(store.apply(run.run_id, &Change::Finalize(progress("{}"), success())).unwrap(), Applied::Kept);
    says(place, "1", &[("status", json!("completed")), ("reason", json!("manual"))]);
    assert_eq!(close(place, "1", Verdict { force: true, ended_at: None, ..failed }), Applied::Written);
    let end = json!("2026-01-02T03:05:46.678901Z");
    says(
        place,
        "1",
        &[("status", json!("failed")), ("train_end_time", end), ("error_message", json!("ended by hand"))],
    );
    // Neither of these can be, whoever says so.
    for ended_at in [at(-1), at(1 << 32)] {
        let said = Verdict { force: true, ended_at: Some(ended_at), ..verdict() };
        assert_eq!(close(place, "1", said), Applied::Kept);
    }
}

fn every_word_of_an_operator_is_kept_with_what_was_before(place: &Place) {
    let run = run("cifar");
    begin(place, &run);
    place.open().apply(run.run_id, &Change::Finalize(progress("{}"), success())).unwrap();
    for status in [Status::Failed, Status::Completed] {
        assert_eq!(close(place, "1", Verdict { status, force: true, ..verdict() }), Applied::Written);
    }
    let context = &place.show("1")["context"];
    assert_eq!((&context["git_commit"], context["finalized"].as_array().unwrap().len()), (&json!("abc"), 2));
    let first = &context["finalized"][0];
    assert_eq!((&first["by"], &first["at"]), (&json!("eve@desk"), &json!("2026-01-02T03:04:05.678901Z")));
    assert_eq!(first["before"]["status"], "completed");
    assert_eq!((&first["after"]["status"], &first["reason"]), (&json!("failed"), &json!("success")));
    assert_eq!(context["finalized"][1]["before"]["error_message"], "ended by hand");
}

fn of_ten_operators_at_once_one_is_heard(place: &Place) {
    place.open().migrate().unwrap();
    place.sql("INSERT INTO training_records (status) VALUES ('training')");
    let heard = thread::scope(|scope| {
        let close = || close(place, "1", verdict()) == Applied::Written;
        let operators: Vec<_> = (0..10).map(|_| scope.spawn(close)).collect();
        operators.into_iter().map(|operator| operator.join().unwrap()).filter(|heard| *heard).count()
    });
    assert_eq!((heard, place.count("runwrap_runs")), (1, 1));
}

fn a_record_in_any_table_is_ended_by_hand(place: &Place) {
    let tables = [
        "id TEXT PRIMARY KEY, version TEXT, status VARCHAR(9), train_start_time TEXT, train_end_time TEXT,
         train_duration TEXT, train_metrics TEXT, model_path VARCHAR(8), error_message VARCHAR(8)",
        "id CHAR(2) PRIMARY KEY, status VARCHAR(16)",
        "id INTEGER PRIMARY KEY, status TEXT, train_start_time TIMESTAMP, train_end_time DATE, train_duration NUMERIC,
         train_metrics JSON, model_path TEXT, error_message TEXT, run TEXT, found TEXT, given TEXT, ended_at TEXT, presumed TEXT",
    ];
    for columns in tables {
        place.sql(&format!("DROP TABLE IF EXISTS training_records; CREATE TABLE training_records ({columns})"));
        place.sql("INSERT INTO training_records (id, status) VALUES ('10', 'training')");
        if columns.contains("train_start_time") {
            place.sql(
                "UPDATE training_records SET train_start_time = '2026-01-02 03:04:05', train_metrics = '{\"a\": 1}'",
            );
        }
        let said = Verdict {
            metrics: Some(object(r#"{"b": 2}"#)),
            explanation: Some("a long explanation".into()),
            force: true,
            ..verdict()
        };
        assert_eq!(close(place, "10", said), Applied::Written, "{columns}");
        let shown = place.show("10");
        assert_eq!(shown["status"], "completed");
        if columns.contains("train_start_time") {
            assert_eq!(shown["train_duration"].to_string().trim_matches('"'), "101", "{columns}");
            assert_eq!(shown["train_metrics"], json!({"a": 1, "b": 2}));
        }
    }
}

fn a_record_that_is_not_there_is_missing(place: &Place) {
    begin(place, &Run { version: Some("v1".into()), ..run("cifar") });
    for id in ["2", "", "x", "99999999999999999999", "1; DROP TABLE training_records"] {
        assert_eq!(close(place, id, verdict()), Applied::Missing, "{id:?}");
    }
    assert_eq!(close(place, "1", verdict()), Applied::Written);
}
