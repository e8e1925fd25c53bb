//! A database or a disk that fails never harms the training: it starts in time, ends in time, and the record arrives later.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::postgres::{Postgres, is_root};
use crate::support::site::{Site, output, start};
use crate::support::skipped;
use crate::support::wait::wait_until;

/// The record arrives once the database answers again.
// Holds: failures/database-hangs-start
#[test]
fn hung_database_delays_neither_start_nor_end() {
    let server = Postgres::private();
    let site = Site::on(&server);
    assert!(site.run(&[], "true").status.success());
    server.freeze();
    let started = Instant::now();
    let output = site.run(&["--start-timeout", "300ms", "--finish-timeout", "300ms"], "echo ran; exit 3");
    let elapsed = started.elapsed();
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(3), &b"ran\n"[..]));
    assert!(elapsed >= Duration::from_millis(600) && elapsed < Duration::from_secs(3), "{elapsed:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.len() == 2 && lines.iter().all(|line| line.starts_with("runwrap: ")), "{said}");
    assert_eq!(site.run_directories().len(), 1);
    server.thaw();
    wait_until("delivery", || site.run_directories().is_empty());
    let records = site.records();
    assert_eq!(records.len(), 2, "{records:?}");
    assert_eq!((&records[0]["reason"], &records[0]["exit_code"]), (&json!("exit"), &json!(3)));
    site.quiet();
}

// Holds: failures/database-down-start
#[test]
fn record_arrives_when_a_database_that_was_down_is_up() {
    let server = Postgres::private();
    let site = Site::on(&server);
    server.stop();
    let output = site.run(&["--start-timeout", "100ms", "--finish-timeout", "100ms"], "exit 3");
    assert_eq!(output.status.code(), Some(3));
    server.start();
    wait_until("delivery", || site.run_directories().is_empty());
    assert_eq!(site.record()["exit_code"], 3);
}

// Holds: failures/database-down-end
#[test]
fn end_arrives_after_an_outage_that_began_during_the_run() {
    let server = Postgres::private();
    let site = Site::on(&server);
    let mut command = site.shell(&["--finish-timeout", "100ms"], "echo ready; read -r line; exit 3");
    let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    server.stop();
    running.close_stdin();
    assert_eq!(running.end().code(), Some(3));
    server.start();
    wait_until("delivery", || site.run_directories().is_empty());
    let record = site.record();
    assert_eq!((&record["status"], &record["exit_code"]), (&json!("failed"), &json!(3)));
}

// Holds: failures/refused-database
#[test]
fn require_database_starts_no_trainer_and_leaves_nothing() {
    let site = Site::with_url("postgres://ann@127.0.0.1:1/none");
    let output = site.run(&["--require-database", "--start-timeout", "200ms"], "touch started");
    assert_eq!(output.status.code(), Some(125));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("runwrap: cannot insert the record: ") && said.lines().count() == 2, "{said}");
    assert!(!site.path().join("started").exists());
    assert!(site.run_directories().is_empty());
    site.quiet();
}

/// The refused run was taken for one that had ended, and recorded once the database answered.
// Holds: failures/refused-database
#[test]
fn refused_run_is_not_recorded_by_a_late_database() {
    let server = Postgres::private();
    let site = Site::on(&server);
    assert!(site.run(&[], "true").status.success());
    server.freeze();
    let mut command = site.shell(&["--require-database", "--start-timeout", "200ms"], "touch started");
    let log = site.path().join("log");
    let mut refused = start(command.stderr(std::fs::File::create(&log).unwrap()));
    let said = || std::fs::read_to_string(&log).unwrap();
    wait_until("the refusal", || said().contains("cannot insert the record"));
    server.thaw();
    assert_eq!(refused.end().code(), Some(125));
    assert_eq!(said().lines().count(), 2, "a message and its hint: {}", said());
    site.quiet();
    assert_eq!(site.records().len(), 1);
    assert!(site.run_directories().is_empty() && !site.path().join("started").exists());
}

// Holds: failures/refused-options
#[test]
fn unknown_column_or_record_is_refused_before_the_start() {
    for site in [Site::sqlite(), Site::postgres()] {
        assert!(site.run(&[], "true").status.success());
        for (options, told) in [(["--set", "colour=red"], "colour"), (["--record-id", "4711"], "4711")] {
            let output = site.run(&options, "touch started");
            assert_eq!(output.status.code(), Some(125));
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(
                said.starts_with("runwrap: ") && said.contains(told) && said.contains("\nrunwrap: hint: "),
                "{said}"
            );
            assert_eq!(said.matches("runwrap: ").count(), 2, "it is said once: {said}");
        }
        assert!(!site.path().join("started").exists());
        assert_eq!(site.records().len(), 1);
        assert!(site.run_directories().is_empty());
    }
}

// Holds: failures/journal-no-place
#[test]
fn run_without_a_journal_place_warns_once_and_is_recorded() {
    let site = Site::sqlite();
    std::fs::write(site.path().join("file"), "").unwrap();
    std::fs::create_dir(site.path().join("tmp")).unwrap();
    let mut command = site
        .shell(&["--state-dir", "file/state"], "echo '{\"metrics\": {\"a\": 1}}' >> $RUNWRAP_REPORT; ls tmp; exit 3");
    let output = output(command.env("TMPDIR", site.path().join("tmp")));
    assert_eq!(output.status.code(), Some(3));
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(report.starts_with("runwrap-"), "{report}");
    wait_until("what the trainer reported to is removed", || !site.path().join("tmp").join(report.trim()).exists());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.matches("cannot keep").count(), 1, "{said}");
    let record = site.record();
    assert_eq!((&record["exit_code"], &record["train_metrics"]), (&json!(3), &json!({"a": 1})));
}

// Holds: failures/journal-disk-error
#[test]
fn journal_disk_error_during_a_run_loses_nothing() {
    for point in ["journal-write=error", "journal-sync=error"] {
        let site = Site::sqlite();
        let output = output(site.shell(&[], "exit 3").env("RUNWRAP_FAILPOINTS", point));
        assert_eq!(output.status.code(), Some(3), "{point}");
        assert!(String::from_utf8(output.stderr).unwrap().contains("cannot keep the journal on disk"), "{point}");
        assert_eq!(site.record()["exit_code"], 3, "{point}");
    }
}

// Holds: failures/no-keeper-no-disk
#[test]
fn failing_journal_without_a_keeper_still_records_the_run() {
    for point in ["journal-write=error", "journal-sync=error"] {
        let site = Site::sqlite();
        let points = format!("{point},keeper-start=error");
        let script = "echo '{\"metrics\": {\"a\": 1}}' >> $RUNWRAP_REPORT; echo ran; exit 3";
        let output = output(site.shell(&["--start-timeout", "50ms"], script).env("RUNWRAP_FAILPOINTS", points));
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(3), &b"ran\n"[..]), "{point}");
        let record = site.record();
        assert_eq!((&record["exit_code"], &record["train_metrics"]), (&json!(3), &json!({"a": 1})), "{point}");
        assert!(site.run_directories().is_empty(), "{point}");
    }
}

/// Without a keeper and a database, runwrap promised delivery by `runwrap recover` also of a journal in memory.
// Holds: failures/no-keeper-no-database
#[test]
fn delivery_is_promised_only_of_a_journal_on_disk() {
    for (points, is_on_disk) in [("keeper-start=error", true), ("keeper-start=error,journal-write=error", false)] {
        let site = Site::with_url("postgres://ann@127.0.0.1:1/none");
        let mut command = site.shell(&["--start-timeout", "50ms", "--finish-timeout", "50ms"], "exit 3");
        let output = output(command.env("RUNWRAP_FAILPOINTS", points));
        assert_eq!(output.status.code(), Some(3), "{points}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.contains("hint: run `runwrap recover` to deliver it"), is_on_disk, "{said}");
        assert_eq!(said.contains("its end is lost"), !is_on_disk, "{said}");
    }
}

// Holds: failures/refused-no-directory
#[test]
fn refused_run_without_a_directory_leaves_no_report_file() {
    let site = Site::with_url("postgres://ann@127.0.0.1:1/none");
    std::fs::write(site.path().join("file"), "").unwrap();
    std::fs::create_dir(site.path().join("tmp")).unwrap();
    let options = ["--require-database", "--start-timeout", "50ms", "--state-dir", "file/state"];
    let mut command = site.shell(&options, "touch started");
    let output = output(command.env("TMPDIR", site.path().join("tmp")));
    assert_eq!(output.status.code(), Some(125));
    assert!(!site.path().join("started").exists());
    assert!(std::fs::read_dir(site.path().join("tmp")).unwrap().next().is_none());
}

/// A long error did not fit into a message of the keeper and ended one keeper after the other.
// Holds: failures/database-long-error
#[test]
fn long_database_error_is_cut_and_ends_no_keeper() {
    let site = Site::postgres();
    assert!(site.run(&[], "true").status.success());
    site.sql(
        "CREATE FUNCTION complain() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no: %', repeat('x', 1000000); END $$",
    );
    site.sql("CREATE TRIGGER complain BEFORE UPDATE ON training_records FOR EACH ROW EXECUTE FUNCTION complain()");
    let output = site.run(&["--finish-timeout", "20s"], "exit 3");
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("does not have the end of the run: ") && said.contains("no: xxx"), "{said:.1000}");
    assert!(said.len() < 4096, "{}", said.len());
    assert_eq!(site.log().matches("event=keeper_started").count(), 2);
    assert_eq!(site.run_directories().len(), 1);
}

/// If kill fails with EPERM, runwrap keeps waiting for the trainer.
// Holds: failures/trainer-privileged
#[test]
fn unsignalable_trainer_runs_on_and_its_end_is_recorded() {
    if !is_root() {
        skipped("only root can start a trainer that it may not signal");
        return;
    }
    for (options, deed, code, reason) in [
        (&["-v"][..], Some("TERM"), 3, "cancelled"),
        (&["--timeout", "50ms", "--kill-after", "50ms", "-v"], None, 124, "timeout"),
    ] {
        let site = Site::sqlite();
        let mut command = site.program("setpriv");
        command.args(["--bounding-set=-kill", "--inh-caps=-all", env!("CARGO_BIN_EXE_runwrap")]).args(options);
        command.args(["--", "setpriv", "--reuid=65534", "--clear-groups"]);
        command.args(["sh", "-c", "echo ready; read -r line; exit 3"]);
        let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        assert_eq!(running.line(), "ready");
        if let Some(name) = deed {
            running.signal(name);
        }
        // Within a session the kernel permits SIGCONT.
        let refused = if deed.is_some() { 1 } else { 2 };
        wait_until("the kernel has refused", || site.log().matches("event=not_signalled").count() == refused);
        running.close_stdin();
        assert_eq!(running.end().code(), Some(code));
        let record = site.record();
        assert_eq!((&record["reason"], &record["exit_code"]), (&json!(reason), &json!(3)));
    }
}
