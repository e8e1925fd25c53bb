//! Tables, applications and clocks that work against the store: what a run wrote must stay true all the same.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use runwrap::record::{Applied, Change, Decision, Ending, Progress, RecordId, Report, Run, RunId, Status, Verdict};
use runwrap::store::{Filter, OpenOptions, Scope, open};
use serde_json::{Value, json};
use uuid::Uuid;

use super::conformance;
use super::place::{Place, at, begin, progress, run, success};
use crate::support::postgres::{Postgres, connect};

conformance!(
    heartbeat_without_news_does_not_write_the_row,
    metrics_that_cannot_be_merged_stay,
    column_renamed_during_a_run_loses_no_end,
    application_that_writes_all_the_time_loses_no_end,
    list_by_name_works_beside_a_run_id_of_the_application,
    decision_keeps_contexts_apart,
    run_begins_though_its_path_is_refused,
);

fn failure(message: &str) -> Change {
    let ending = Ending { status: Status::Failed, error_message: Some(message.into()), ..success() };
    Change::Finalize(progress("{}"), ending)
}

fn adopter(id: &str) -> Run {
    Run { adopt: Some(RecordId(id.into())), ..run("cifar") }
}

fn id_column(place: &Place) -> &'static str {
    if place.is_postgres() { "SERIAL" } else { "INTEGER" }
}

/// A column that keeps less than a microsecond, or a number in another form, made each heartbeat write the user's row.
fn heartbeat_without_news_does_not_write_the_row(place: &Place) {
    let times: &[&str] = if place.is_postgres() {
        &["TIMESTAMPTZ", "TIMESTAMP(0)", "TIMESTAMP(3)", "DATE", "TEXT", "TIMESTAMPTZ(0)"]
    } else {
        &["TEXT"]
    };
    for time in times {
        place.sql(&format!(
            "DROP TABLE IF EXISTS training_records; DROP TABLE IF EXISTS written; CREATE TABLE written (n INTEGER);
             CREATE TABLE training_records (id {} PRIMARY KEY, status TEXT, train_start_time {time}, train_metrics TEXT,
                model_path VARCHAR(9), error_message VARCHAR(9))",
            id_column(place)
        ));
        place.sql(if place.is_postgres() {
            "CREATE OR REPLACE FUNCTION count_it() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN INSERT INTO written VALUES (1); RETURN NEW; END';
             CREATE TRIGGER count_it AFTER UPDATE ON training_records FOR EACH ROW EXECUTE FUNCTION count_it()"
        } else {
            "CREATE TRIGGER count_it AFTER UPDATE ON training_records BEGIN INSERT INTO written VALUES (1); END"
        });
        let run = run("cifar");
        let mut store = place.open();
        store.begin(&run, None).unwrap();
        let metrics = r#"{"a": 1E+2, "b": -0, "c": 1.10, "d": 1e400, "e": "x\u00e9", "f": [1.0, {"g": 1e-7}]}"#;
        let mut told = progress(metrics);
        told.report.model_path = Some("/a/long/path/indeed".into());
        told.report.error = Some("a long message indeed".into());
        for _ in 0..4 {
            assert_eq!(store.apply(run.run_id, &Change::Heartbeat(told.clone())).unwrap(), Applied::Written);
        }
        assert_eq!(place.count("written"), 1, "{time}");
    }
}

/// A report replaced an object that it could not read: deep JSON, JSON with NaN, which Python writes, JSON that was cut.
fn metrics_that_cannot_be_merged_stay(place: &Place) {
    let deep = format!(r#"{{"deep": {}1{}}}"#, "[".repeat(200), "]".repeat(200));
    for known in [deep.as_str(), r#"{"lr": 0.1, "loss": NaN, "f1": NaN}"#, r#"{"lr": 0.1"#] {
        place.sql(&format!(
            "DROP TABLE IF EXISTS training_records;
             CREATE TABLE training_records (id {} PRIMARY KEY, status TEXT, train_metrics TEXT);
             INSERT INTO training_records (id, status, train_metrics) VALUES (7, 'training', '{known}')",
            id_column(place)
        ));
        let adopter = adopter("7");
        begin(place, &adopter);
        for change in [Change::Heartbeat(progress(r#"{"loss": 1}"#)), failure("x")] {
            assert_eq!(place.open().apply(adopter.run_id, &change).unwrap(), Applied::Written);
        }
        let kept = place.text("SELECT train_metrics AS x FROM training_records").unwrap();
        let merged = r#"{"lr":0.1,"loss":1,"f1":"NaN"}"#;
        assert!(kept == known || (known.contains("NaN") && kept == merged), "{known} became {kept}");
    }
}

/// In SQLite a quoted name without a column is a text, so that the status of a renamed column read `status`.
fn column_renamed_during_a_run_loses_no_end(place: &Place) {
    let run = run("cifar");
    let options = place.options();
    open(&place.target, &options).unwrap().begin(&run, None).unwrap();
    for (from, to) in [("status", "state"), ("state", "status")] {
        place.sql(&format!("ALTER TABLE training_records RENAME COLUMN {from} TO {to}"));
        let applied = open(&place.target, &options).unwrap().apply(run.run_id, &failure("x"));
        assert_eq!(applied.is_ok(), to == "status", "{applied:?}");
    }
    assert_eq!(place.show("1")["status"], "failed");
}

/// The newest run of a row is the one with the greatest id, which another host's clock made.
#[test]
fn run_of_a_lagging_clock_owns_the_row_it_adopts() {
    let place = &Place::sqlite();
    place.open().migrate().unwrap();
    place.sql("INSERT INTO training_records (id, status) VALUES (30, 'training')");
    let first = Run { run_id: RunId(Uuid::max()), ..adopter("30") };
    begin(place, &first);
    assert_eq!(place.open().apply(first.run_id, &failure("x")).unwrap(), Applied::Written);
    place.sql("UPDATE training_records SET status = 'training' WHERE id = 30");
    let second = adopter("30");
    begin(place, &second);
    assert_eq!(place.open().apply(second.run_id, &Change::Heartbeat(progress("{}"))).unwrap(), Applied::Written);
    assert_eq!(
        place.open().apply(second.run_id, &Change::Finalize(progress("{}"), success())).unwrap(),
        Applied::Written
    );
    assert_eq!(place.show("30")["status"], "completed");
}

/// A row that changed and changed back between two reads was taken for one whose writes a trigger drops.
fn application_that_writes_all_the_time_loses_no_end(place: &Place) {
    let done = AtomicBool::new(false);
    let runs: Vec<Run> = (0..60).map(|_| run("cifar")).collect();
    let begun: Vec<String> = runs.iter().map(|run| begin(place, run).record_id.0).collect();
    thread::scope(|scope| {
        for offset in 0..2 {
            let done = &done;
            scope.spawn(move || {
                let mut client = place.is_postgres().then(|| connect(place.postgres_target()));
                for path in ["/a", "/b"].iter().cycle().skip(offset).take_while(|_| !done.load(Ordering::Relaxed)) {
                    let update = format!("UPDATE training_records SET model_path = '{path}' WHERE id % 2 = {offset}");
                    match &mut client {
                        Some(client) => client.batch_execute(&update).unwrap(),
                        None => place.sql(&update),
                    }
                }
            });
        }
        let mut store = place.open();
        let mut wrong = Vec::new();
        for (run, id) in runs.iter().zip(&begun) {
            let ended = (0..50).find_map(|_| store.apply(run.run_id, &failure("x")).ok());
            if ended.is_none() || place.show(id)["status"] != "failed" {
                wrong.push((id, ended));
            }
        }
        done.store(true, Ordering::Relaxed);
        assert!(wrong.is_empty(), "{wrong:?}");
    });
}

/// The run was sought under the application's own `run_id`.
fn list_by_name_works_beside_a_run_id_of_the_application(place: &Place) {
    place.sql(&format!(
        "CREATE TABLE training_records (id {} PRIMARY KEY, status TEXT, run_id TEXT DEFAULT 'mlflow-1')",
        id_column(place)
    ));
    begin(place, &run("cifar"));
    let filter = Filter { name: Some("cifar".into()), limit: 9, ..Filter::default() };
    assert_eq!(place.open().list(&filter).unwrap().len(), 1);
}

/// The application's column of that name went into the run's.
fn decision_keeps_contexts_apart(place: &Place) {
    place.sql(&format!(
        "CREATE TABLE training_records (id {} PRIMARY KEY, status TEXT, context TEXT DEFAULT '{{\"own\": 1}}')",
        id_column(place)
    ));
    begin(place, &run("cifar"));
    let verdict = Verdict {
        status: Status::Failed,
        ended_at: None,
        explanation: None,
        metrics: None,
        model_path: None,
        force: false,
        by: "ann".into(),
        at: at(200),
        message: "ended by ann".into(),
    };
    let decided = place.open().decide(&RecordId("1".into()), &Decision::Close(verdict)).unwrap();
    assert_eq!(decided.applied, Applied::Written);
    let context = place.text("SELECT context AS x FROM runwrap_runs").unwrap();
    assert!(context.contains("git_commit") && context.contains("finalized") && !context.contains("own"), "{context}");
}

/// A constraint on the path kept the whole record out.
fn run_begins_though_its_path_is_refused(place: &Place) {
    place.sql(&format!(
        "CREATE TABLE training_records (id {} PRIMARY KEY, status TEXT, model_path TEXT CHECK (length(model_path) < 9))",
        id_column(place)
    ));
    let run = Run { model_path: Some("/a/path/of/many".into()), ..run("cifar") };
    let id = begin(place, &run).record_id.0;
    let mut told = progress("{}");
    told.report = Report { model_path: Some("/a/path/of/many".into()), ..Report::default() };
    assert_eq!(place.open().apply(run.run_id, &Change::Finalize(told, success())).unwrap(), Applied::Written);
    assert_eq!(place.show(&id)["status"], "completed");
}

/// The comparison of the swap was written in ASCII too, so that the end was never written and counted as written.
#[test]
fn replaced_characters_lose_no_end_of_an_adopted_row() {
    let server = Postgres::private();
    let admin = server.target("postgres");
    connect(&admin)
        .batch_execute("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
        .unwrap();
    let place = Place::at_postgres(server.target("latin"));
    place.open().migrate().unwrap();
    place.sql(
        r#"INSERT INTO training_records (id, status, model_path, error_message, train_metrics)
           VALUES (30, 'training', '/m/é.pt', 'naïf', '{"é": 1}')"#,
    );
    let run = Run { name: "训练".into(), ..adopter("30") };
    begin(&place, &run);
    let told = Change::Finalize(
        progress(r#"{"损": 2}"#),
        Ending { status: Status::Failed, error_message: Some("exited…\n错误".into()), ..success() },
    );
    assert_eq!(place.open().apply(run.run_id, &told).unwrap(), Applied::Written);
    let shown = place.show("30");
    assert_eq!((&shown["status"], &shown["model_path"]), (&json!("failed"), &json!("/m/é.pt")));
    assert_eq!(shown["train_metrics"], json!({"é": 1, "?": 2}));
}

/// The names of the tables were replaced in `record_table`, so that the run never found its row again.
#[test]
fn replaced_characters_leave_table_and_id_alone() {
    let server = Postgres::private();
    let admin = server.target("postgres");
    connect(&admin)
        .batch_execute("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
        .unwrap();
    let mut place = Place::at_postgres(server.target("latin"));
    place.table = "Läufe".into();
    place.sql(r#"CREATE TABLE "Läufe" (id text PRIMARY KEY, status text, error_message text, version text)"#);
    let run = Run { name: "训练".into(), set: vec![("id".into(), "é-1".into())], ..run("x") };
    begin(&place, &run);
    assert_eq!(place.open().apply(run.run_id, &failure("错误")).unwrap(), Applied::Written);
    assert_eq!(place.show("é-1")["status"], "failed");
}

/// An id that the new type cannot hold failed each delivery.
#[test]
fn run_gets_a_row_in_a_table_with_ids_of_another_type() {
    for (old, new) in [
        ("BIGSERIAL", "UUID DEFAULT CAST(md5(CAST(random() AS text)) AS uuid)"),
        ("UUID DEFAULT CAST(md5(CAST(random() AS text)) AS uuid)", "BIGSERIAL"),
    ] {
        let place = Place::postgres();
        place.sql(&format!("CREATE TABLE training_records (id {old} PRIMARY KEY, status TEXT)"));
        let run = run("cifar");
        let options = place.options();
        let known = open(&place.target, &options).unwrap().begin(&run, None).unwrap();
        place.sql(&format!(
            "DROP TABLE training_records; CREATE TABLE training_records (id {new} PRIMARY KEY, status TEXT)"
        ));
        let mut store = open(&place.target, &options).unwrap();
        assert_eq!(store.apply(run.run_id, &failure("x")).unwrap(), Applied::Missing);
        store.begin(&run, Some(&known)).unwrap();
        assert_eq!(store.apply(run.run_id, &failure("x")).unwrap(), Applied::Written);
        assert_eq!(place.text("SELECT status AS x FROM training_records").unwrap(), "failed");
    }
}

/// The record was shown without its run: an id came as JSON, padded or in the form of JSON.
#[test]
fn ids_of_any_type_find_their_run() {
    for (id_type, id) in [
        ("CHAR(10)", "ab"),
        ("VARCHAR(10)", "007"),
        ("NUMERIC(10,2)", "7.10"),
        ("TIMESTAMP", "2026-01-02 03:04:05"),
        ("DATE", "2026-01-02"),
        ("BYTEA", "\\x0102"),
        ("DOUBLE PRECISION", "1e+21"),
        ("INTERVAL", "1 day"),
    ] {
        let place = Place::postgres();
        place.sql(&format!("CREATE TABLE training_records (id {id_type} PRIMARY KEY, status TEXT)"));
        let run = Run { set: vec![("id".into(), id.into())], ..run("cifar") };
        let begun = begin(&place, &run);
        let shown = place.show(&begun.record_id.0);
        assert_eq!(shown["name"], "cifar", "{id_type}");
        let listed = place.open().list(&Filter { limit: 9, ..Filter::default() }).unwrap();
        assert_eq!(listed[0].0["name"], "cifar", "{id_type}");
        let named = Filter { name: Some("cifar".into()), limit: 9, ..Filter::default() };
        assert_eq!(place.open().list(&named).unwrap().len(), 1, "{id_type}");
        assert_eq!(place.open().apply(run.run_id, &failure("x")).unwrap(), Applied::Written, "{id_type}");
        let page = place.open().examine(Scope::All, None, 10).unwrap();
        assert_eq!(page.read, 1, "{id_type}");
    }
}

/// Only the classes of the standard errors were taken for a refusal.
#[test]
fn trigger_with_a_code_of_its_own_loses_no_end() {
    for (code, view) in
        [("ML001", false), ("check_violation", false), ("triggered_action_exception", false), ("", true)]
    {
        let place = Place::postgres();
        place.sql("CREATE TABLE base (id SERIAL PRIMARY KEY, status TEXT, model_path TEXT)");
        place.sql(&if view {
            "CREATE VIEW training_records AS SELECT * FROM base WHERE model_path IS NULL WITH CHECK OPTION;
             ALTER VIEW training_records ALTER COLUMN id SET DEFAULT nextval('base_id_seq')".to_owned()
        } else {
            format!(
                "ALTER TABLE base RENAME TO training_records;
                 CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    IF NEW.model_path IS NOT NULL THEN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END IF; RETURN NEW; END $$;
                 CREATE TRIGGER refuse BEFORE UPDATE ON training_records FOR EACH ROW EXECUTE FUNCTION refuse()"
            )
        });
        let run = run("cifar");
        begin(&place, &run);
        let report = Report { model_path: Some("/m".into()), ..Report::default() };
        let told = Change::Finalize(Progress { report, ..progress("{}") }, success());
        assert_eq!(place.open().apply(run.run_id, &told).unwrap(), Applied::Written, "{code}");
        assert_eq!(place.show("1")["status"], "completed", "{code}");
    }
}

/// A parameter was put into names and comments too.
#[test]
fn names_like_parameters_and_comments_are_names() {
    for (schema, table) in [("a$1", "t$2"), ("$2", "$1"), ("s--", "t$1--"), ("q\"'\\", "{schema}.{table}")] {
        let mut place = Place::postgres();
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        place.sql(&format!("CREATE SCHEMA {}", quoted(schema)));
        place.table = format!("{}.{}", quoted(schema), quoted(table));
        let run = run("cifar");
        let mut store = place.open();
        store.begin(&run, None).unwrap();
        assert_eq!(store.apply(run.run_id, &failure("it's $1")).unwrap(), Applied::Written);
        assert_eq!(place.show("1")["error_message"], "it's $1");
    }
}

/// The length that was known before the change was used.
#[test]
fn column_shortened_during_a_run_keeps_the_end_of_the_message() {
    let place = Place::postgres();
    place.sql("CREATE TABLE training_records (id SERIAL PRIMARY KEY, status TEXT, error_message TEXT)");
    let run = run("cifar");
    let options = place.options();
    open(&place.target, &options).unwrap().begin(&run, None).unwrap();
    place.sql("ALTER TABLE training_records ALTER COLUMN error_message TYPE VARCHAR(40)");
    let message = format!("exited with code 1\n{}ValueError: x", "x\n".repeat(300));
    let mut store = open(&place.target, &options).unwrap();
    assert_eq!(store.apply(run.run_id, &failure(&message)).unwrap(), Applied::Written);
    let kept = place.show("1")["error_message"].clone();
    assert!(kept.as_str().is_some_and(|kept| kept.ends_with("ValueError: x")), "{kept}");
}

/// An application that does not commit its own write kept the heartbeat out, and in the end the run was lost.
#[test]
fn heartbeat_passes_an_application_that_holds_its_row() {
    let place = Place::postgres();
    let run = run("cifar");
    begin(&place, &run);
    place.set_heartbeat(run.run_id, -100);
    let mut client = connect(place.postgres_target());
    let mut held = client.transaction().unwrap();
    held.execute("UPDATE training_records SET model_path = 'mine'", &[]).unwrap();
    let options = OpenOptions { statement_timeout: Duration::from_secs(2), ..place.options() };
    let applied =
        open(&place.target, &options).unwrap().apply(run.run_id, &Change::Heartbeat(progress(r#"{"loss": 1}"#)));
    let age = place
        .text("SELECT CAST(extract(epoch FROM clock_timestamp() - heartbeat_at) AS integer) AS x FROM runwrap_runs")
        .unwrap();
    assert!(age.parse::<i64>().unwrap() < 60, "{applied:?} {age}");
    held.commit().unwrap();
    // The next one reports the rest.
    place.open().apply(run.run_id, &Change::Heartbeat(progress(r#"{"loss": 1}"#))).unwrap();
    let shown = place.show("1");
    assert_eq!((&shown["model_path"], &shown["train_metrics"]), (&json!("mine"), &json!({"loss": 1})));
}

/// NULL comes first in SQLite's order, and a page of nothing ended the check.
#[test]
fn rows_without_an_id_hide_no_other_from_check() {
    let place = Place::sqlite();
    place.sql("CREATE TABLE training_records (id TEXT PRIMARY KEY, status TEXT)");
    place.open().migrate().unwrap();
    place.sql("INSERT INTO training_records VALUES (NULL, 'training'), (NULL, 'training'), ('x', 'nonsense')");
    let page = place.open().examine(Scope::All, None, 2).unwrap();
    assert_eq!(page.suspicious.iter().map(|found| found.record_id.clone()).collect::<Vec<Value>>(), [json!("x")]);
}
