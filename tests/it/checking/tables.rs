//! Tables that cannot take the record of a run: `check`, `migrate` and a run name the column, with the real binary.

use std::process::Stdio;

use serde_json::Value;

use super::{check, kinds};
use crate::support::site::{Site, output, start};

/// Each was found only when the end of a run was refused.
// Holds: failures/table-unfit
#[test]
fn table_that_cannot_work_is_found_and_repaired() {
    for (table, column) in [
        ("status varchar(8)", "column status: "),
        ("status text CHECK (status IN ('training', 'success', 'failed'))", "column status: "),
        ("status text, train_duration bigint NOT NULL", "column train_duration: "),
    ] {
        let site = Site::postgres();
        let migrated = || output(&mut site.runwrap(&["migrate"]));
        site.sql(&format!("CREATE TABLE training_records (id serial PRIMARY KEY, {table})"));
        let stderr = String::from_utf8(migrated().stderr).unwrap();
        assert!(stderr.starts_with(&format!("runwrap: {column}")) && stderr.contains("hint: ALTER TABLE "), "{stderr}");
        let (status, found) = check(&site, &[]);
        assert_eq!((status, kinds(&found)), (1, vec!["null table".to_owned()]));
        let [detail, repair] = ["detail", "repair"].map(|key| found[0][key].as_str().unwrap());
        assert!(
            detail.starts_with(column) && repair.starts_with("ALTER TABLE \"public\".\"training_records\" "),
            "{found:?}"
        );
        let printed = output(&mut site.runwrap(&["migrate", "--print"])).stdout;
        site.sql(&String::from_utf8(printed).unwrap());
        assert_eq!(check(&site, &[]), (0, Vec::new()));
        assert_eq!(output(&mut site.runwrap(&["migrate", "--print"])).stdout, b"BEGIN;\n\nCOMMIT;\n");
        assert!(migrated().stderr.is_empty());
    }
}

/// The records could not be read, which was the exit status 125.
#[test]
fn table_without_a_right_to_read_is_a_finding() {
    let site = Site::postgres();
    site.sql(
        "DROP ROLE IF EXISTS reads_nothing; CREATE ROLE reads_nothing LOGIN; CREATE SCHEMA ml;
         CREATE TABLE ml.training_records (id serial PRIMARY KEY, status text)",
    );
    let url = site.url().replace("admin@", "reads_nothing@");
    for grant in ["SELECT 1", "GRANT USAGE ON SCHEMA ml TO reads_nothing"] {
        site.sql(grant);
        let options = ["check", "--json", "--database-url", &url, "--table", "ml.training_records"];
        let output = output(&mut site.runwrap(&options));
        let found: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(found.iter().any(|finding| finding["repair"].as_str().unwrap().starts_with("GRANT ")), "{found:?}");
    }
}

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

/// One repair that failed undid the whole script.
#[test]
fn failing_repair_keeps_the_migrations_and_the_other_repairs() {
    let site = Site::postgres();
    site.sql(
        "CREATE TABLE training_records (
            id serial PRIMARY KEY, status integer CHECK (status > 0), owner text NOT NULL, train_duration smallint)",
    );
    assert_eq!(check(&site, &[]).1.len(), 3);
    let printed = output(&mut site.runwrap(&["migrate", "--print"])).stdout;
    let mut psql = site.program("psql").args(["-Xq", site.url()]).stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut psql.stdin.take().unwrap(), &printed).unwrap();
    assert!(psql.wait().unwrap().success());
    let (_, found) = check(&site, &[]);
    assert!(found.len() == 1 && found[0]["detail"].as_str().unwrap().contains("its type integer"), "{found:?}");
    assert_eq!(site.sql("SELECT max(number) FROM runwrap_migrations").trim(), "9");
}
