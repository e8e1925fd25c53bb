//! Decisions of an operator and of `recover --stuck-after`, as the databases apply them. `model` drives the rules at random.

use std::thread;

use chrono::{DateTime, Utc};
use runwrap::record::{Applied, Change, Decision, Doubt, Proof, RecordId, Run, Status, Verdict};
use serde_json::{Value, json};

use super::conformance;
use super::place::{Place, at, begin, object, presumption, progress, run, success};

conformance!(
    operator_ends_an_unwatched_record,
    operators_end_is_a_true_end,
    each_forced_end_is_kept_with_the_previous_values,
    one_of_ten_concurrent_operators_ends_the_record,
    record_in_any_table_is_ended_by_hand,
    unknown_record_id_is_missing,
    silent_record_ends_at_its_last_sign_of_life,
    unproven_end_stays_empty_unless_now_is_assumed,
    watched_ended_and_young_records_are_not_stuck,
    model_path_of_a_later_record_proves_nothing,
    stuck_record_in_any_table_is_given_up,
    rehearsal_sees_its_own_changes_and_leaves_none,
);

/// An operator ends the record as completed.
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
fn assert_shows(place: &Place, id: &str, expected: &[(&str, Value)]) {
    let shown = place.show(id);
    for (name, value) in expected {
        assert_eq!(&shown[*name], value, "{name}");
    }
}

fn operator_ends_an_unwatched_record(place: &Place) {
    place.open().migrate().unwrap();
    place.sql(
        "INSERT INTO training_records (status, train_start_time, train_metrics, version)
         VALUES ('training', '2026-01-02 03:04:05.678901', '{\"loss\": 1, \"lr\": 2}', 'v7')",
    );
    let given = Verdict {
        metrics: Some(object(r#"{"loss": 0.5}"#)),
        model_path: Some("/m/1.pt".into()),
        explanation: Some("it had ended by its log".into()),
        ..verdict()
    };
    assert_eq!(close(place, "1", given), Applied::Written);
    assert_shows(
        place,
        "1",
        &[
            ("status", json!("completed")),
            ("reason", json!("manual")),
            ("train_end_time", json!("2026-01-02T03:05:46.678901Z")),
            ("train_duration", json!(101)),
            ("train_metrics", json!({"loss": 0.5, "lr": 2})),
            ("model_path", json!("/m/1.pt")),
            ("error_message", json!("it had ended by its log")),
            ("recovered_by", json!("eve@desk")),
            ("presumed", json!(false)),
            ("name", Value::Null),
            ("heartbeat_at", Value::Null),
        ],
    );
    // The row still has no name, so it seeds the counter of every name.
    assert_eq!(begin(place, &run("other")).version.unwrap(), "v8");
    assert_eq!(place.count("runwrap_runs"), 2);
}

// Holds: failures/operator-ends
fn operators_end_is_a_true_end(place: &Place) {
    let run = run("cifar");
    begin(place, &run);
    assert_eq!(close(place, "1", verdict()), Applied::Written);
    let failed = Verdict { status: Status::Failed, ..verdict() };
    assert_eq!(close(place, "1", failed.clone()), Applied::Kept);
    let mut store = place.open();
    assert_eq!(store.apply(run.run_id, &Change::Heartbeat(progress("{}"))).unwrap(), Applied::Kept);
    assert_eq!(store.apply(run.run_id, &Change::Finalize(progress("{}"), success())).unwrap(), Applied::Kept);
    assert_shows(place, "1", &[("status", json!("completed")), ("reason", json!("manual"))]);
    assert_eq!(close(place, "1", Verdict { force: true, ended_at: None, ..failed }), Applied::Written);
    let end = json!("2026-01-02T03:05:46.678901Z");
    assert_shows(
        place,
        "1",
        &[("status", json!("failed")), ("train_end_time", end), ("error_message", json!("ended by hand"))],
    );
    // An end before the start, or in the future, is refused also with `force`.
    for ended_at in [at(-1), at(1 << 32)] {
        let given = Verdict { force: true, ended_at: Some(ended_at), ..verdict() };
        assert_eq!(close(place, "1", given), Applied::Kept);
    }
}

fn each_forced_end_is_kept_with_the_previous_values(place: &Place) {
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

// Holds: failures/operator-race
fn one_of_ten_concurrent_operators_ends_the_record(place: &Place) {
    place.open().migrate().unwrap();
    place.sql("INSERT INTO training_records (status) VALUES ('training')");
    let written = thread::scope(|scope| {
        let close = || close(place, "1", verdict()) == Applied::Written;
        let operators: Vec<_> = (0..10).map(|_| scope.spawn(close)).collect();
        operators.into_iter().map(|operator| operator.join().unwrap()).filter(|written| *written).count()
    });
    assert_eq!((written, place.count("runwrap_runs")), (1, 1));
}

fn record_in_any_table_is_ended_by_hand(place: &Place) {
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
        let given = Verdict {
            metrics: Some(object(r#"{"b": 2}"#)),
            explanation: Some("a long explanation".into()),
            force: true,
            ..verdict()
        };
        assert_eq!(close(place, "10", given), Applied::Written, "{columns}");
        let shown = place.show("10");
        assert_eq!(shown["status"], "completed");
        if columns.contains("train_start_time") {
            assert_eq!(shown["train_duration"].to_string().trim_matches('"'), "101", "{columns}");
            assert_eq!(shown["train_metrics"], json!({"a": 1, "b": 2}));
        }
    }
}

fn unknown_record_id_is_missing(place: &Place) {
    begin(place, &Run { version: Some("v1".into()), ..run("cifar") });
    for id in ["2", "", "x", "99999999999999999999", "1; DROP TABLE training_records"] {
        assert_eq!(close(place, id, verdict()), Applied::Missing, "{id:?}");
    }
    assert_eq!(close(place, "1", verdict()), Applied::Written);
}

fn doubt() -> Doubt {
    Doubt {
        silent_seconds: 3600,
        model_written_at: None,
        assume_now: false,
        by: "eve@desk".into(),
        message: "stuck".into(),
    }
}

fn give_up(place: &Place, id: &str, doubt: Doubt) -> Applied {
    place.open().decide(&RecordId(id.into()), &Decision::GiveUp(doubt)).unwrap().applied
}

/// The ids of the stuck records, each with its model's path.
fn stuck(place: &Place, silent_seconds: u32) -> Vec<(String, Option<String>)> {
    let suspects = place.open().stuck(silent_seconds).unwrap();
    suspects.into_iter().map(|suspect| (suspect.record_id.0, suspect.model_path)).collect()
}

// Holds: failures/recover-stuck
fn silent_record_ends_at_its_last_sign_of_life(place: &Place) {
    place.open().migrate().unwrap();
    place.sql("ALTER TABLE training_records ADD COLUMN updated_at TIMESTAMP");
    place.sql(
        "INSERT INTO training_records (status, train_start_time, created_at, updated_at, train_metrics, error_message)
         VALUES ('training', '2026-01-02 03:04:05.5', '2026-01-02 03:04:05', '2026-01-02 03:14:05.4', '{\"a\": 1}', 'slow')",
    );
    assert_eq!(stuck(place, 3600), [("1".to_owned(), None)]);
    // A sign of life that is earlier than `updated_at`, or in the future, changes nothing.
    for seconds in [60, 1 << 32] {
        let doubt = Doubt { model_written_at: Some(at(seconds)), ..doubt() };
        assert_eq!(give_up(place, "1", doubt.clone()), Applied::Written);
        assert_eq!(give_up(place, "1", doubt), Applied::Kept);
        let message = "slow; stuck; its end is its last sign of life, how it ended is unknown";
        assert_shows(
            place,
            "1",
            &[
                ("status", json!("failed")),
                ("reason", json!("stuck")),
                ("presumed", json!(true)),
                ("train_end_time", json!("2026-01-02T03:14:05.400Z")),
                ("train_duration", json!(599)),
                ("train_metrics", json!({"a": 1})),
                ("error_message", json!(message)),
                ("recovered_by", json!("eve@desk")),
            ],
        );
        // The application was alive: its record can get stuck again, and the row in `runwrap_runs` is reused.
        place.sql("UPDATE training_records SET status = 'training', train_end_time = NULL, error_message = 'slow'");
        assert_eq!(place.count("runwrap_runs"), 1);
    }
    assert_eq!(give_up(place, "1", Doubt { model_written_at: Some(at(3600)), ..doubt() }), Applied::Written);
    assert_shows(
        place,
        "1",
        &[("train_end_time", json!("2026-01-02T04:04:05.678901Z")), ("train_duration", json!(3600))],
    );
}

// Holds: failures/recover-stuck
fn unproven_end_stays_empty_unless_now_is_assumed(place: &Place) {
    place.open().migrate().unwrap();
    place.sql(
        "INSERT INTO training_records (status, train_start_time, created_at) VALUES
            ('training', '2026-01-02 03:04:05', '2026-01-02 03:04:05'), ('training', NULL, '2026-01-02 03:04:05'),
            ('training', '2026-01-02 03:04:05', '2026-01-02 03:04:05')",
    );
    // The model is as old as the row: an earlier training wrote it.
    assert_eq!(give_up(place, "1", Doubt { model_written_at: Some(at(0)), ..doubt() }), Applied::Written);
    let unknown = json!("stuck; when and how it ended is unknown");
    let expected = [("train_end_time", Value::Null), ("train_duration", Value::Null), ("error_message", unknown)];
    assert_shows(place, "1", &expected);
    for id in ["2", "3"] {
        assert_eq!(give_up(place, id, Doubt { assume_now: true, ..doubt() }), Applied::Written);
        let shown = place.show(id);
        let [ended_at, recovered_at] = ["train_end_time", "recovered_at"]
            .map(|name| shown[name].as_str().unwrap().parse::<DateTime<Utc>>().unwrap());
        assert!((recovered_at - ended_at).num_seconds().abs() < 60);
        assert_eq!((shown["train_duration"].is_i64(), &shown["status"]), (id == "3", &json!("failed")));
        assert!(shown["error_message"].as_str().unwrap().ends_with("its end is the time of the recovery"));
    }
}

fn watched_ended_and_young_records_are_not_stuck(place: &Place) {
    let watched = run("watched");
    begin(place, &watched);
    let ended = run("ended");
    begin(place, &ended);
    place.open().apply(ended.run_id, &Change::Finalize(progress("{}"), success())).unwrap();
    let lost = run("lost");
    begin(place, &lost);
    place.open().apply(lost.run_id, &Change::Presume(presumption(Proof::DeadJournal))).unwrap();
    // The times in the user's rows are old, but the heartbeats, by the database's clock, are new.
    place.sql(
        "UPDATE training_records SET created_at = '2020-01-01', train_start_time = '2020-01-01';
         UPDATE runwrap_runs SET row_created_at = '2020-01-01';
         UPDATE training_records SET status = 'training' WHERE id = 2;
         INSERT INTO training_records (status, created_at) VALUES ('completed', '2020-01-01'), ('failed', '2020-01-01')",
    );
    place.sql("INSERT INTO training_records (status) VALUES ('training')");
    place.sql("INSERT INTO training_records (status, train_start_time) VALUES ('training', '2525-01-01')");
    assert_eq!(stuck(place, 3600), []);
    for id in ["1", "2", "3", "4", "5", "6", "7"] {
        assert_eq!(give_up(place, id, doubt()), Applied::Kept, "{id}");
    }
    assert_eq!(give_up(place, "8", doubt()), Applied::Missing);
}

fn model_path_of_a_later_record_proves_nothing(place: &Place) {
    place.open().migrate().unwrap();
    place.sql(
        "INSERT INTO training_records (status, train_start_time, created_at, model_path) VALUES
            ('training', '2026-01-02 03:04:05', '2026-01-02', '/m/latest.pt'),
            ('training', '2026-01-02 04:04:05', '2026-01-02', '/m/2.pt'),
            ('completed', '2026-01-03 03:04:05', '2026-01-02', '/m/latest.pt'),
            ('training', '2026-01-04 03:04:05', '2026-01-02', '/m/latest.pt')",
    );
    let paths = [None, Some("/m/2.pt"), Some("/m/latest.pt")].map(|path| path.map(str::to_owned));
    let ids = ["1", "2", "4"].map(str::to_owned);
    assert_eq!(stuck(place, 3600), ids.into_iter().zip(paths).collect::<Vec<_>>());
}

fn stuck_record_in_any_table_is_given_up(place: &Place) {
    let tables = [
        "id TEXT PRIMARY KEY, status VARCHAR(9), train_start_time TEXT, train_end_time TEXT, train_duration TEXT,
         error_message VARCHAR(8), updated_at VARCHAR(40), model_path VARCHAR(10)",
        "id CHAR(2) PRIMARY KEY, status CHAR(16), created_at DATE",
        "id INTEGER PRIMARY KEY, status TEXT, train_start_time TIMESTAMP, train_end_time TIMESTAMP,
         train_duration NUMERIC, run TEXT, found TEXT, given TEXT, ended_at TEXT, updated_at TIMESTAMP, known TEXT",
    ];
    for columns in tables {
        place.sql(&format!("DROP TABLE IF EXISTS training_records; CREATE TABLE training_records ({columns})"));
        place.sql("INSERT INTO training_records (id, status) VALUES ('10', 'training'), ('20', 'training')");
        assert_eq!(stuck(place, 0), [], "a record of unknown age is not stuck");
        if columns.contains("created_at") {
            place.sql("UPDATE training_records SET created_at = '2026-01-02' WHERE id = '10'");
        } else {
            place.sql(
                "UPDATE training_records SET train_start_time = '2026-01-02 03:04:05', updated_at = '2026-01-02 04:04:05'
                 WHERE id = '10'",
            );
        }
        assert_eq!(stuck(place, 3600), [("10".to_owned(), None)], "{columns}");
        assert_eq!(give_up(place, "10", doubt()), Applied::Written, "{columns}");
        let shown = place.show("10");
        assert_eq!((shown["status"].as_str().unwrap().trim(), &shown["reason"]), ("failed", &json!("stuck")));
        if columns.contains("train_end_time") {
            assert_eq!(shown["train_end_time"], "2026-01-02T04:04:05Z");
            assert_eq!(shown["train_duration"].to_string().trim_matches('"'), "3600", "{columns}");
        }
    }
}

fn rehearsal_sees_its_own_changes_and_leaves_none(place: &Place) {
    // Only the user's table exists. The rehearsal creates runwrap's tables too, and rolls them back.
    place.sql("CREATE TABLE training_records (id INTEGER PRIMARY KEY, status TEXT, train_start_time TIMESTAMP)");
    place.sql("INSERT INTO training_records VALUES (1, 'training', '2026-01-02 03:04:05')");
    let mut store = place.open();
    store.rehearse();
    assert_eq!(store.stuck(3600).unwrap().len(), 1);
    let id = RecordId("1".into());
    assert_eq!(store.decide(&id, &Decision::GiveUp(doubt())).unwrap().applied, Applied::Written);
    assert_eq!(store.show("1").unwrap().unwrap().0["status"], "failed");
    assert!(store.begin(&Run { adopt: Some(id), ..run("refused") }, None).is_err());
    assert_eq!((store.stuck(3600).unwrap(), store.show("2").unwrap()), (Vec::new(), None));
    drop(store);
    let tables = if place.is_postgres() {
        "SELECT count(*) AS x FROM pg_tables WHERE tablename LIKE 'runwrap%'"
    } else {
        "SELECT count(*) AS x FROM sqlite_master WHERE name LIKE 'runwrap%'"
    };
    assert_eq!(place.text(tables).unwrap(), "0");
    assert_eq!(place.text("SELECT status AS x FROM training_records").unwrap(), "training");
}
