//! A run whose table cannot take every end of it.

use std::process::Stdio;

use crate::support::site::{Site, start};

/// The begin was accepted, and each end would have been refused.
// Holds: failures/table-unfit
#[test]
fn run_reports_a_table_that_cannot_take_its_end_once_and_goes_on() {
    for site in [Site::sqlite(), Site::postgres()] {
        let id = if site.url().starts_with("sqlite") { "INTEGER PRIMARY KEY" } else { "serial PRIMARY KEY" };
        site.sql(&format!(
            "CREATE TABLE training_records (id {id}, status text CHECK (status <> 'completed'), owner text NOT NULL)"
        ));
        let mut command = site.shell(&["--set", "owner=me", "--heartbeat", "1s"], "read line; exit 3");
        let mut run = start(command.stdin(Stdio::piped()).stderr(Stdio::piped()));
        let line = run.line_of_errors();
        assert!(line.starts_with("runwrap: column status: ") && line.contains("refuses completed"), "{line}");
        let hint = run.line_of_errors();
        assert!(hint.starts_with("runwrap: hint: "), "{hint}");
        run.close_stdin();
        assert_eq!(run.end().code(), Some(3));
        // The SQL may have a second line.
        assert!(run.errors().lines().all(|line| line.starts_with("runwrap: hint: ALTER TABLE ")));
        assert_eq!(site.record()["status"], "failed");
    }
}

// Holds: failures/table-unfit
#[test]
fn required_database_with_an_unfit_table_starts_no_trainer() {
    for site in [Site::sqlite(), Site::postgres()] {
        let id = if site.url().starts_with("sqlite") { "INTEGER PRIMARY KEY" } else { "serial PRIMARY KEY" };
        site.sql(&format!(
            "CREATE TABLE training_records (id {id}, status text CHECK (status <> 'completed'), owner text NOT NULL)"
        ));
        let refused = site.run(&["--require-database", "--set", "owner=me"], "touch started");
        assert_eq!(refused.status.code(), Some(125));
        let stderr = String::from_utf8(refused.stderr).unwrap();
        assert!(stderr.contains("column status: ") && stderr.contains("refuses completed"), "{stderr}");
        assert!(!site.path().join("started").exists());
        site.quiet();
        assert_eq!(site.sql("SELECT count(*) FROM training_records").trim(), "0");
        site.sql("DROP TABLE training_records");
        site.sql(&format!("CREATE TABLE training_records (id {id}, status text, owner text NOT NULL)"));
        assert_eq!(site.run(&["--require-database", "--set", "owner=me"], "true").status.code(), Some(0));
    }
}
