//! Features of SQLite alone: a file, and processes that share it without a server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use runwrap::config::DatabaseTarget;
use runwrap::record::{Applied, Change, Report};
use runwrap::store::{OpenOptions, StoreError, attempt, open};

use super::place::{Place, bad_input, begin, permanent, progress, run, success, transient};

fn at(path: &Path) -> Place {
    Place::at(DatabaseTarget::Sqlite(path.to_owned()))
}

fn refused(path: &Path) -> Result<usize, StoreError> {
    let place = at(path);
    open(&place.target, &place.options()).and_then(|mut store| store.migrate())
}

#[test]
fn database_directory_is_private() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/runs.db");
    begin(&at(&path), &run("cifar"));
    let mode = fs::metadata(directory.path().join("a/b")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn error_names_a_path_that_cannot_hold_a_database() {
    let directory = tempfile::tempdir().unwrap();
    assert!(permanent(refused(directory.path())).contains("is a directory"));
    let file = directory.path().join("file");
    fs::write(&file, "no database, but long enough for SQLite to read its header; ".repeat(40)).unwrap();
    assert!(permanent(refused(&file)).contains("not a database"));
    assert!(permanent(refused(&file.join("runs.db"))).contains("cannot make the directory"));
}

#[test]
fn schema_is_refused_except_main() {
    let place = Place::sqlite();
    let named = |table: &str| {
        let options = OpenOptions { table: table.into(), ..place.options() };
        open(&place.target, &options).and_then(|mut store| store.begin(&run("cifar"), None))
    };
    assert!(bad_input(named("ml.training_records")).contains("\"ml\""));
    named("main.training_records").unwrap();
}

/// Another connection holds the write lock for longer than the statement timeout.
#[test]
fn busy_file_is_a_transient_error() {
    let place = Place::sqlite();
    let run = run("cifar");
    begin(&place, &run);
    let DatabaseTarget::Sqlite(path) = &place.target else { unreachable!() };
    let holder = rusqlite::Connection::open(path).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let options = OpenOptions { statement_timeout: Duration::from_millis(50), ..place.options() };
    let (run_id, ended) = (run.run_id, Change::Finalize(progress("{}"), success()));
    let mut store = open(&place.target, &options).unwrap();
    transient(store.apply(run_id, &ended));
    // Readers do not wait for the write lock.
    assert!(store.show("1").unwrap().is_some());
    holder.execute_batch("ROLLBACK").unwrap();
    let answer = attempt::within(Duration::from_secs(30), place.target.clone(), options, move |store| {
        store.apply(run_id, &ended)
    });
    assert_eq!(answer.unwrap(), Applied::Written);
}

#[test]
fn two_hundred_concurrent_writers_succeed() {
    let place = Place::sqlite();
    place.open().migrate().unwrap();
    std::thread::scope(|scope| {
        for number in 0..200 {
            let place = &place;
            scope.spawn(move || {
                let run = run(&format!("name {}", number % 7));
                begin(place, &run);
                let ended = Change::Finalize(progress("{}"), success());
                assert_eq!(place.open().apply(run.run_id, &ended).unwrap(), Applied::Written);
            });
        }
    });
    assert_eq!(place.count("training_records WHERE status = 'completed'"), 200);
}

/// This form also compares correctly as text.
#[test]
fn times_are_stored_as_sqlalchemy_stores_them() {
    let place = Place::sqlite();
    begin(&place, &run("cifar"));
    let kept = place.text("SELECT train_start_time AS x FROM training_records");
    assert_eq!(kept.unwrap(), "2026-01-02 03:04:05.678901");
}

/// SQLite stores any type in any column, also JSON in its own binary form. An end once failed on metrics that were no JSON
/// object.
#[test]
fn metrics_of_another_type_never_prevent_an_end() {
    let place = Place::sqlite();
    for known in ["13", "1.5", "X'80FF'", "'[1]'", "'no JSON'"] {
        let run = run("cifar");
        let id = begin(&place, &run).record_id.0;
        place.sql(&format!("UPDATE training_records SET train_metrics = {known} WHERE id = {id}"));
        let mut store = place.open();
        let silent = Change::Heartbeat(runwrap::record::Progress { report: Report::default(), ..progress("{}") });
        assert_eq!(store.apply(run.run_id, &silent).unwrap(), Applied::Written);
        let kept = format!("SELECT train_metrics IS {known} AS x FROM training_records WHERE id = {id}");
        assert_eq!(place.text(&kept).unwrap(), "1", "{known}");
        let ended = Change::Finalize(progress(r#"{"a": 1}"#), success());
        assert_eq!(store.apply(run.run_id, &ended).unwrap(), Applied::Written);
        assert_eq!(place.show(&id)["train_metrics"], serde_json::json!({"a": 1}), "{known}");
    }
}

/// An UPDATE can change no row although the row existed. The run was once begun again then, and so had two records.
// Holds: failures/sqlite-row-removed
#[test]
fn row_removed_by_a_trigger_has_ended_once() {
    let archive = "CREATE TABLE archive AS SELECT * FROM training_records WHERE FALSE;
        CREATE TRIGGER archives BEFORE UPDATE ON training_records WHEN NEW.status <> 'training' BEGIN
            INSERT INTO archive SELECT * FROM training_records WHERE id = OLD.id;
            UPDATE archive SET status = NEW.status WHERE id = OLD.id;
            DELETE FROM training_records WHERE id = OLD.id;
        END";
    let view = "ALTER TABLE training_records RENAME TO archive;
        CREATE VIEW training_records AS SELECT * FROM archive WHERE status = 'training';
        CREATE TRIGGER changes INSTEAD OF UPDATE ON training_records BEGIN
            UPDATE archive SET status = NEW.status WHERE id = OLD.id;
        END";
    for shape in [archive, view] {
        let place = Place::sqlite();
        let run = run("cifar");
        begin(&place, &run);
        place.sql(shape);
        let ended = Change::Finalize(progress("{}"), success());
        assert_eq!(place.open().apply(run.run_id, &ended).unwrap(), Applied::Written, "{shape}");
        assert_eq!(place.texts("SELECT status AS x FROM archive"), [Some("completed".to_owned())], "{shape}");
        assert_eq!(place.texts("SELECT reason AS x FROM runwrap_runs"), [Some("success".to_owned())], "{shape}");
    }
}
