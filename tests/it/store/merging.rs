//! The merge rules, one by one, as the databases apply them. `model` drives all of them at random.

use std::thread;
use std::time::Duration;

use runwrap::record::{
    Applied, Change, Ending, Presumption, Progress, Proof, Reason, Report, Run, RunId, Status, Usage,
};
use runwrap::store::{OpenOptions, open};
use serde_json::json;
use uuid::Uuid;

use super::conformance;
use super::place::{Place, at, begin, object, presumption, progress, run, success, transient};

conformance!(
    heartbeat_writes_the_report,
    end_writes_every_column_of_the_ending,
    true_end_is_never_overwritten,
    true_end_overrides_a_presumption,
    only_an_overdue_run_is_presumed_lost,
    dead_journal_is_presumed_lost_within_its_lease,
    heartbeat_revokes_a_presumption,
    row_closed_by_the_application_is_kept,
    unknown_run_is_missing,
    heartbeat_without_news_does_not_write_the_users_row,
    heartbeat_that_the_table_drops_is_applied_in_part,
    renewed_heartbeat_keeps_a_run_from_being_lost,
    only_a_run_without_an_end_is_renewed,
    renewal_that_meets_a_lock_is_an_error_of_its_attempt,
    true_end_wins_a_race_of_ends_presumptions_and_heartbeats,
    unusual_metrics_survive,
);

fn apply(place: &Place, run: &Run, change: &Change) -> Applied {
    place.open().apply(run.run_id, change).unwrap()
}

fn begun(place: &Place) -> Run {
    let run = run("cifar");
    begin(place, &run);
    run
}

fn heartbeat_writes_the_report(place: &Place) {
    let run = begun(place);
    assert_eq!(apply(place, &run, &Change::Heartbeat(progress(r#"{"loss": 0.5, "lr": 1}"#))), Applied::Written);
    let report = Report {
        metrics: Some(object(r#"{"loss": 0.25, "nested": {"a": [1.5, "NaN", null]}}"#)),
        model_path: Some("/m/1.pt".into()),
        error: Some("warming up".into()),
    };
    let later = Progress { stop_signal: Some("SIGTERM".into()), report, ..Progress::default() };
    assert_eq!(apply(place, &run, &Change::Heartbeat(later)), Applied::Written);
    let shown = place.show("1");
    assert_eq!(shown["train_metrics"], json!({"loss": 0.25, "lr": 1, "nested": {"a": [1.5, "NaN", null]}}));
    assert_eq!((&shown["model_path"], &shown["error_message"]), (&json!("/m/1.pt"), &json!("warming up")));
    assert_eq!(shown["train_start_time"], "2026-01-02T03:04:06.678901Z");
    assert_eq!((&shown["pid"], &shown["stop_signal"]), (&json!(4711), &json!("SIGTERM")));
    assert_eq!((&shown["status"], &shown["last_seen_at"]), (&json!("training"), &json!("2026-01-02T03:05:06.678901Z")));
}

fn end_writes_every_column_of_the_ending(place: &Place) {
    let run = begun(place);
    let ending = Ending {
        status: Status::Failed,
        reason: Reason::Cancelled,
        exit_code: None,
        signal: Some("SIGKILL".into()),
        error_message: Some("asked to stop by SIGTERM: killed by SIGKILL".into()),
        usage: Some(Usage { cpu_user_seconds: 1.25, cpu_system_seconds: 0.5, max_rss_bytes: 1 << 40 }),
        ..success()
    };
    assert_eq!(apply(place, &run, &Change::Finalize(progress(r#"{"loss": 0.5}"#), ending)), Applied::Written);
    let shown = place.show("1");
    let values = ["status", "reason", "exit_code", "signal", "train_end_time", "train_duration", "error_message"];
    let values = values.map(|name| shown[name].clone());
    let message = "asked to stop by SIGTERM: killed by SIGKILL";
    assert_eq!(
        json!(values),
        json!(["failed", "cancelled", null, "SIGKILL", "2026-01-02T03:05:46.678901Z", 100, message])
    );
    let used = ["cpu_user_seconds", "cpu_system_seconds", "max_rss_bytes"].map(|name| shown[name].clone());
    assert_eq!(json!(used), json!([1.25, 0.5, 1_099_511_627_776_i64]));
    assert!(!shown.contains_key("last_seen_seconds_ago"));
}

fn true_end_is_never_overwritten(place: &Place) {
    let run = begun(place);
    assert_eq!(apply(place, &run, &Change::Finalize(progress("{}"), success())), Applied::Written);
    let before = place.show("1");
    let failed = Ending { status: Status::Failed, reason: Reason::Exit, exit_code: Some(1), ..success() };
    place.set_heartbeat(run.run_id, -3600);
    for late in [
        Change::Heartbeat(progress(r#"{"late": 1}"#)),
        Change::Finalize(progress("{}"), failed),
        Change::Presume(presumption(Proof::DeadJournal)),
    ] {
        assert_eq!(apply(place, &run, &late), Applied::Kept);
    }
    let mut after = place.show("1");
    after["heartbeat_at"] = before["heartbeat_at"].clone();
    assert_eq!(after, before);
}

fn true_end_overrides_a_presumption(place: &Place) {
    let run = begun(place);
    assert_eq!(apply(place, &run, &Change::Heartbeat(progress(r#"{"loss": 0.5}"#))), Applied::Written);
    assert_eq!(apply(place, &run, &Change::Presume(presumption(Proof::DeadJournal))), Applied::Written);
    assert_eq!(place.show("1")["presumed"], true);
    assert_eq!(apply(place, &run, &Change::Finalize(progress("{}"), success())), Applied::Written);
    let shown = place.show("1");
    let values = ["status", "reason", "presumed", "error_message", "recovered_at", "recovered_by", "train_duration"];
    let values = values.map(|name| shown[name].clone());
    assert_eq!(json!(values), json!(["completed", "success", false, null, null, null, 100]));
    assert_eq!(shown["train_metrics"], json!({"loss": 0.5}));
}

fn only_an_overdue_run_is_presumed_lost(place: &Place) {
    let run = Run { lease_seconds: 1, ..run("cifar") };
    begin(place, &run);
    assert_eq!(apply(place, &run, &Change::Heartbeat(progress(r#"{"loss": 0.5}"#))), Applied::Written);
    let presumed = Change::Presume(presumption(Proof::Lease));
    place.set_heartbeat(run.run_id, 60);
    assert_eq!(apply(place, &run, &presumed), Applied::Kept);
    place.wait_until_up_for_a_second();
    place.set_heartbeat(run.run_id, -60);
    assert_eq!(apply(place, &run, &presumed), Applied::Written);
    let shown = place.show("1");
    let values = ["status", "reason", "train_end_time", "train_duration", "error_message", "recovered_by"];
    let values = values.map(|name| shown[name].clone());
    let message = "presumed lost by ann@gpu-7";
    assert_eq!(json!(values), json!(["failed", "lost", "2026-01-02T03:05:06.678901Z", 60, message, "ann@gpu-7"]));
    assert_eq!(shown["train_metrics"], json!({"loss": 0.5}));
    assert!(shown["recovered_at"].is_string());
    assert_eq!(apply(place, &run, &presumed), Applied::Kept);
}

fn dead_journal_is_presumed_lost_within_its_lease(place: &Place) {
    let run = begun(place);
    let seen = Presumption { seen_at: Some(at(90)), ..presumption(Proof::DeadJournal) };
    let report = Report { error: Some("out of disk".into()), ..Report::default() };
    assert_eq!(apply(place, &run, &Change::Heartbeat(Progress { report, ..progress("{}") })), Applied::Written);
    assert_eq!(apply(place, &run, &Change::Presume(seen)), Applied::Written);
    let shown = place.show("1");
    assert_eq!((&shown["train_duration"], &shown["last_seen_at"]), (&json!(89), &shown["train_end_time"]));
    assert_eq!(shown["error_message"], "out of disk; presumed lost by ann@gpu-7");
}

fn heartbeat_revokes_a_presumption(place: &Place) {
    let run = begun(place);
    assert_eq!(apply(place, &run, &Change::Presume(presumption(Proof::DeadJournal))), Applied::Written);
    assert_eq!(apply(place, &run, &Change::Heartbeat(Progress::default())), Applied::Written);
    let shown = place.show("1");
    let cleared = ["reason", "train_end_time", "train_duration", "error_message", "recovered_at", "recovered_by"];
    assert!(cleared.iter().all(|name| shown[*name].is_null()), "{shown:?}");
    assert_eq!((&shown["status"], &shown["presumed"]), (&json!("training"), &json!(false)));
}

fn row_closed_by_the_application_is_kept(place: &Place) {
    let run = begun(place);
    place.sql("UPDATE training_records SET status = 'completed', train_duration = 7");
    assert_eq!(apply(place, &run, &Change::Presume(presumption(Proof::DeadJournal))), Applied::Kept);
    assert_eq!(apply(place, &run, &Change::Heartbeat(progress(r#"{"a": 1}"#))), Applied::Written);
    let failed = Ending { status: Status::Failed, reason: Reason::Exit, exit_code: Some(3), ..success() };
    assert_eq!(apply(place, &run, &Change::Finalize(progress("{}"), failed)), Applied::Written);
    let shown = place.show("1");
    let values = ["status", "train_duration", "train_metrics", "reason", "exit_code"].map(|name| shown[name].clone());
    assert_eq!(json!(values), json!(["completed", 7, null, "exit", 3]));
}

fn unknown_run_is_missing(place: &Place) {
    // Makes an empty SQLite file: only a begin makes a missing one.
    place.sql("");
    let unknown = RunId(Uuid::now_v7());
    for change in [
        Change::Heartbeat(progress("{}")),
        Change::Finalize(progress("{}"), success()),
        Change::Presume(presumption(Proof::DeadJournal)),
    ] {
        assert_eq!(place.open().apply(unknown, &change).unwrap(), Applied::Missing);
    }
}

fn heartbeat_without_news_does_not_write_the_users_row(place: &Place) {
    let run = begun(place);
    let heartbeat = Change::Heartbeat(progress(r#"{"b": 1.0, "a": {"d": 1, "c": 2}}"#));
    assert_eq!(apply(place, &run, &heartbeat), Applied::Written);
    // From here on every UPDATE of the user's row fails.
    place.sql(if place.is_postgres() {
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''written''; END';
         CREATE TRIGGER refuse BEFORE UPDATE ON training_records FOR EACH ROW EXECUTE FUNCTION refuse()"
    } else {
        "CREATE TRIGGER refuse BEFORE UPDATE ON training_records BEGIN SELECT RAISE(ABORT, 'written'); END"
    });
    assert_eq!(apply(place, &run, &heartbeat), Applied::Written);
    let news = Change::Heartbeat(progress(r#"{"b": 2}"#));
    // What the table refuses of it is left out, and the run stays alive.
    assert_eq!(apply(place, &run, &news), Applied::InPart);
    assert_eq!(place.show("1")["train_metrics"]["b"], json!(1.0));
    let ended = Change::Finalize(progress("{}"), success());
    assert!(place.open().apply(run.run_id, &ended).is_err());
}

/// The run would not try again before it has other news.
fn heartbeat_that_the_table_drops_is_applied_in_part(place: &Place) {
    let run = begun(place);
    let [drops, permits] = if place.is_postgres() {
        ["CREATE RULE drops AS ON UPDATE TO training_records DO INSTEAD NOTHING", "DROP RULE drops ON training_records"]
    } else {
        ["CREATE TRIGGER drops BEFORE UPDATE ON training_records BEGIN SELECT RAISE(IGNORE); END", "DROP TRIGGER drops"]
    };
    place.sql(drops);
    let news = Change::Heartbeat(progress(r#"{"loss": 0.5}"#));
    assert_eq!(apply(place, &run, &news), Applied::InPart);
    place.sql(permits);
    assert_eq!(apply(place, &run, &news), Applied::Written);
    assert_eq!(place.show("1")["train_metrics"], json!({"loss": 0.5}));
}

fn renewed_heartbeat_keeps_a_run_from_being_lost(place: &Place) {
    let run = Run { lease_seconds: 1, ..run("cifar") };
    let mut store = place.open();
    store.begin(&run, None).unwrap();
    let heartbeat = progress(r#"{"loss": 0.5}"#);
    store.apply(run.run_id, &Change::Heartbeat(heartbeat.clone())).unwrap();
    place.wait_until_up_for_a_second();
    place.set_heartbeat(run.run_id, -60);
    assert_eq!(store.overdue(9).unwrap(), [run.run_id]);
    assert!(store.renew(run.run_id, Some(at(100))).unwrap());
    assert_eq!(store.overdue(9).unwrap(), []);
    // A look at an earlier moment takes nothing back.
    assert!(store.renew(run.run_id, heartbeat.seen_at).unwrap());
    let shown = place.show("1");
    assert_eq!(shown["last_seen_at"], json!(at(100)));
    assert_eq!((&shown["status"], &shown["train_metrics"]), (&json!("training"), &json!({"loss": 0.5})));
}

fn only_a_run_without_an_end_is_renewed(place: &Place) {
    let (lost, ended, unknown) = (run("lost"), run("ended"), run("unknown"));
    let mut store = place.open();
    let mut renew = |run: &Run, change: &Change| {
        store.begin(run, None).unwrap();
        assert_eq!(store.apply(run.run_id, change).unwrap(), Applied::Written);
        store.renew(run.run_id, Some(at(100))).unwrap()
    };
    assert!(!renew(&lost, &Change::Presume(presumption(Proof::DeadJournal))));
    assert!(!renew(&ended, &Change::Finalize(progress("{}"), success())));
    assert!(!store.renew(unknown.run_id, Some(at(100))).unwrap());
    let before = [place.show("1"), place.show("2")];
    assert_eq!(before.map(|record| record["last_seen_at"].clone()), [json!(at(0)), json!(at(61))]);
    // Without its table nothing is known of a run.
    place.sql("ALTER TABLE runwrap_runs RENAME TO elsewhere");
    assert!(!store.renew(ended.run_id, Some(at(100))).unwrap());
    // The whole heartbeat that follows has the same connection.
    place.sql("ALTER TABLE elsewhere RENAME TO runwrap_runs");
    assert_eq!(store.apply(lost.run_id, &Change::Heartbeat(progress("{}"))).unwrap(), Applied::Written);
}

/// A whole heartbeat after it would wait again, and overrun the deadline of the attempt.
fn renewal_that_meets_a_lock_is_an_error_of_its_attempt(place: &Place) {
    let run = begun(place);
    let options = place.options();
    let mut store = open(&place.target, &options).unwrap();
    store.apply(run.run_id, &Change::Heartbeat(progress("{}"))).unwrap();
    let brief = OpenOptions { statement_timeout: Duration::from_millis(500), ..options };
    let lock = if place.is_postgres() { "BEGIN; SELECT FROM runwrap_runs FOR UPDATE" } else { "BEGIN IMMEDIATE" };
    place.holding(lock, || {
        transient(open(&place.target, &brief).unwrap().renew(run.run_id, Some(at(100))));
    });
    assert!(store.renew(run.run_id, Some(at(100))).unwrap());
}

// Holds: failures/end-race
fn true_end_wins_a_race_of_ends_presumptions_and_heartbeats(place: &Place) {
    for _ in 0..5 {
        let run = run("cifar");
        let id = begin(place, &run).record_id.0;
        thread::scope(|scope| {
            for number in 0..12 {
                let change = match number % 3 {
                    0 => Change::Finalize(progress(r#"{"end": 1}"#), success()),
                    1 => Change::Presume(presumption(Proof::DeadJournal)),
                    _ => Change::Heartbeat(progress(r#"{"beat": 1}"#)),
                };
                let run = &run;
                scope.spawn(move || apply(place, run, &change));
            }
        });
        let shown = place.show(&id);
        let values =
            ["status", "reason", "presumed", "error_message", "train_duration"].map(|name| shown[name].clone());
        assert_eq!(json!(values), json!(["completed", "success", false, null, 100]));
        assert_eq!(shown["train_metrics"]["end"], 1);
    }
}

fn unusual_metrics_survive(place: &Place) {
    let run = begun(place);
    let odd = r#"{"": 1, "a.b": -0.0, "big": 1e308, "tiny": 5e-324, "int": 9007199254740993, "text": "it's \\ \"\n", "é😀": [[]]}"#;
    assert_eq!(apply(place, &run, &Change::Heartbeat(progress(odd))), Applied::Written);
    let shown = place.show("1");
    assert_eq!(shown["train_metrics"]["int"], 9_007_199_254_740_993_i64);
    assert_eq!(shown["train_metrics"]["text"], "it's \\ \"\n");
    assert_eq!(shown["train_metrics"]["é😀"], json!([[]]));
    assert_eq!(shown["train_metrics"].as_object().unwrap().len(), 7);
}
