//! Features of SQLite alone: a file, and processes that share it without a server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use runwrap::config::DatabaseTarget;
use runwrap::record::{Applied, Change, Report};
use runwrap::store::{OpenOptions, StoreError, open};

use crate::support::postgres::is_root;
use crate::support::site::Site;

use super::place::{Place, bad_input, begin, permanent, progress, run, success, transient};

fn at(path: &Path) -> Place {
    Place::at(DatabaseTarget::Sqlite(path.to_owned()))
}

fn refused(path: &Path) -> Result<usize, StoreError> {
    let place = at(path);
    open(&place.target, &place.options()).and_then(|mut store| store.migrate())
}

/// A backup copied into the file, which keeps its identity: the open connection wrote another run's row through the removed log.
// Holds: failures/database-restored
#[test]
fn backup_copied_into_an_open_file_is_not_written_by_the_old_log() {
    let site = Site::sqlite();
    let path = site.path().join("runs.db");
    let place = at(&path);
    begin(&place, &run("before"));
    let backup = fs::read(&path).unwrap();
    let first = run("first");
    let mut store = place.open();
    let known = store.begin(&first, None).unwrap();
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(site.path().join(format!("runs.db{suffix}"))).unwrap();
    }
    fs::write(&path, backup).unwrap();
    assert!(site.run(&["--name", "second"], "true").status.success());
    let heartbeat = Change::Heartbeat(progress("{}"));
    assert!(transient(store.apply(first.run_id, &heartbeat)).contains("replaced"));
    drop(store);
    let moved = place.open().begin(&first, Some(&known)).unwrap();
    assert_ne!(moved.record_id, known.record_id);
    let shown = place.show(&known.record_id.0);
    assert_eq!((shown["status"].as_str(), shown["name"].as_str()), (Some("completed"), Some("second")));
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

/// A switch to WAL broke the application's read-only readers.
#[test]
fn journal_mode_of_an_existing_database_stays() {
    let place = Place::sqlite();
    for mode in ["delete", "truncate", "wal"] {
        let DatabaseTarget::Sqlite(path) = &place.target else { unreachable!() };
        fs::remove_file(path).ok();
        let application = rusqlite::Connection::open(path).unwrap();
        let set: String =
            application.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |row| row.get(0)).unwrap();
        application.execute_batch("CREATE TABLE training_records (id INTEGER PRIMARY KEY, status TEXT)").unwrap();
        drop(application);
        begin(&place, &run("cifar"));
        let persistent = |mode: &str| if mode == "wal" { "wal" } else { "delete" };
        let application = rusqlite::Connection::open(path).unwrap();
        let kept: String = application.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
        assert_eq!(kept, persistent(&set), "{mode}");
    }
    let made = Place::sqlite();
    begin(&made, &run("cifar"));
    assert_eq!(made.text("SELECT journal_mode AS x FROM pragma_journal_mode").unwrap(), "wal");
}

/// One failed run of a user who may only read the file left -wal and -shm that broke all runs of its owner.
// Holds: failures/sqlite-read-only
#[test]
fn read_only_database_is_refused_before_it_is_opened() {
    let site = Site::sqlite();
    assert!(site.run(&[], "true").status.success());
    let database = Path::new(site.url().strip_prefix("sqlite:").unwrap()).to_owned();
    let directory = database.parent().unwrap();
    let change = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    // Root may write everything; another user may not even reach the binary.
    let binary = directory.join("runwrap-copy");
    fs::copy(env!("CARGO_BIN_EXE_runwrap"), &binary).unwrap();
    let (others, own) = if is_root() { (0o644, 0o755) } else { (0o444, 0o555) };
    for (file, its_own) in [(others, 0o777), (0o666, own)] {
        change(&database, file);
        change(directory, its_own);
        let mut command = Command::new(if is_root() { "setpriv" } else { "env" });
        if is_root() {
            command.args(["--reuid=65534", "--clear-groups"]);
        }
        let url = format!("sqlite:{}", database.display());
        command.arg(&binary).args(["list", "--database-url", &url]).env("HOME", "/nonexistent");
        let output = command.output().unwrap();
        change(directory, 0o755);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(125) && message.contains("may not be written"), "{message}");
        let beside: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!beside.iter().any(|name| name.to_string_lossy().contains("-wal")), "{beside:?}");
    }
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
    let answer = place.within(Duration::from_secs(30), options, move |store| store.apply(run_id, &ended));
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
