//! `runwrap recover` names the journals that it leaves: to a keeper, to another recovery, to another database.

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::postgres::Postgres;
use crate::support::procfs;
use crate::support::site::{Running, Site, kill, output, start};
use crate::support::wait::wait_until;

const IMPATIENT: [&str; 4] = ["--start-timeout", "50ms", "--finish-timeout", "50ms"];

/// The repairs of a `recover --json` that succeeded, and its messages.
#[track_caller]
fn recovered(output: &Output) -> (Vec<Value>, String) {
    let messages = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{messages}");
    (serde_json::from_slice(&output.stdout).unwrap(), messages)
}

fn recover(site: &Site) -> (Vec<Value>, String) {
    recovered(&output(&mut site.runwrap(&["recover", "--json"])))
}

/// Starts `command`, which stops itself at the failpoint, and waits for that.
fn stopped(command: &mut Command, failpoint: &str) -> Running {
    let running = start(command.env("RUNWRAP_FAILPOINTS", format!("{failpoint}=stop")).stdout(Stdio::null()));
    wait_until("the process has stopped", || procfs::state(running.pid()) == Some('T'));
    running
}

/// Leaves the journals of `count` ended runs, and no process.
fn leave(site: &Site, count: usize) {
    let before = site.run_directories().len();
    for _ in 0..count {
        let options = [&IMPATIENT[..], &["--linger", "0s"]].concat();
        let mut command = site.shell(&options, "exit 3");
        assert_eq!(command.env("RUNWRAP_FAILPOINTS", "finalizing=stop").status().unwrap().code(), Some(3));
        // Its keeper may start a lingering one for the run before.
        wait_until("every keeper is killed", || {
            site.keepers().into_iter().for_each(|keeper| kill(keeper, "KILL"));
            site.processes().is_empty()
        });
        site.quiet();
    }
    assert_eq!(site.run_directories().len(), before + count);
}

/// `recover` printed nothing about a run whose keeper had not delivered the end.
// Holds: failures/recover-held
#[test]
fn run_that_its_keeper_delivers_is_named() {
    for site in [Site::sqlite(), Site::postgres()] {
        let mut command = site.shell(&["--finish-timeout", "50ms"], "exit 3");
        let ended = output(command.env("RUNWRAP_FAILPOINTS", "finalizing=stop"));
        assert_eq!(ended.status.code(), Some(3));
        let (repaired, messages) = recover(&site);
        assert_eq!(repaired, Vec::<Value>::new());
        assert!(messages.contains("to the run's own keeper, which delivers it\n"), "{messages}");
        assert!(messages.contains("runwrap.log"), "{messages}");
        kill(site.keeper_after(None), "KILL");
        site.quiet();
        let (repaired, messages) = recover(&site);
        assert_eq!((repaired.len(), messages.as_str()), (1, ""));
    }
}

/// While it waits in an attempt, a lingering keeper holds all locks of the run, as a living supervisor and keeper do together.
// Holds: failures/recover-held
#[test]
fn run_that_a_lingering_keeper_delivers_is_named() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let site = Site::with_url(&format!("postgres://ann@127.0.0.1:{}/none", listener.local_addr().unwrap().port()));
    assert_eq!(site.run(&IMPATIENT, "exit 3").status.code(), Some(3));
    wait_until("an attempt of the lingering keeper", || {
        let log = site.log();
        log.rfind("event=linger ").is_some_and(|at| log[at..].contains("event=attempt "))
    });
    let failed = output(&mut site.runwrap(&["recover", "--json", "--start-timeout", "200ms"]));
    assert_eq!(failed.status.code(), Some(125));
    let messages = String::from_utf8(failed.stderr).unwrap();
    assert!(messages.contains("to a lingering keeper or another recovery, which delivers it\n"), "{messages}");
    let checked = output(&mut site.runwrap(&["check", "--json", "--start-timeout", "200ms"]));
    let found = String::from_utf8(checked.stdout).unwrap();
    assert!(found.contains("is being delivered"), "{found}");
}

// Holds: failures/recover-held
#[test]
fn runs_that_another_recovery_delivers_are_named() {
    for site in [Site::sqlite(), Site::postgres()] {
        leave(&site, 1);
        let first = stopped(&mut site.runwrap(&["recover"]), "finalizing");
        if site.url().starts_with("postgres") {
            let (repaired, messages) = recover(&site);
            assert_eq!(repaired, Vec::<Value>::new());
            assert!(messages.contains("left run ") && messages.contains("another recovery"), "{messages}");
        }
        first.signal("KILL");
        drop(first);
        site.quiet();
        assert_eq!(recover(&site).0.len(), 1);
    }
}

#[test]
fn living_runs_are_not_named() {
    let site = Site::sqlite();
    let mut command = site.shell(&[], "echo ready; read -r line");
    let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    assert_eq!(recover(&site), (Vec::new(), String::new()));
    running.close_stdin();
    running.end();
}

/// `site` with another database.
fn on(url: &str, mut command: Command) -> Command {
    command.env("RUNWRAP_DATABASE_URL", url);
    command
}

// Holds: failures/database-other
#[test]
fn journals_for_other_databases_are_named_and_counted() {
    let site = Site::sqlite();
    leave(&site, 2);
    let server = Postgres::private();
    let name = server.new_database();
    let directory = server.directory().to_str().unwrap().replace('/', "%2F");
    let second = format!("postgres://ann:hunter2@{directory}:1/{name}");
    let options = [&IMPATIENT[..], &["--linger", "0s"]].concat();
    assert_eq!(output(&mut on(&second, site.shell(&options, "exit 3"))).status.code(), Some(3));
    site.quiet();
    let third = format!("sqlite:{}", site.path().join("third.db").display());
    for arguments in [&["recover", "--json"][..], &["recover", "--json", "--dry-run"]] {
        let (repaired, messages) = recovered(&output(&mut on(&third, site.runwrap(arguments))));
        assert_eq!(repaired, Vec::<Value>::new());
        assert!(messages.contains(&format!("left 2 runs for the database {}\n", site.url())), "{messages}");
        let named = format!(" for the database postgres://ann@{}:1/{name}\n", server.directory().display());
        assert!(messages.contains("left run ") && messages.contains(&named), "{messages}");
        assert!(messages.contains("--from '") && !messages.contains("hunter2"), "{messages}");
    }
    assert_eq!(site.run_directories().len(), 3);
    assert_eq!(recover(&site).0.len(), 2);
}

/// The address in the journals is not that of the database any more.
// Holds: failures/database-moved
#[test]
fn recover_from_delivers_the_journals_of_a_database_that_moved() {
    let server = Postgres::private();
    let site = Site::on(&server);
    assert!(site.run(&[], "true").status.success());
    leave(&site, 2);
    // Over TCP it is the same database at another address.
    let (_, name) = site.url().rsplit_once('/').unwrap();
    let moved = format!("postgres://admin@127.0.0.1:{}/{name}", server.port());
    let (repaired, messages) = recovered(&output(&mut on(&moved, site.runwrap(&["recover", "--json"]))));
    assert_eq!((repaired.len(), site.run_directories().len()), (0, 2), "{messages}");
    let (_, from) = messages.split_once("--from '").unwrap();
    let (from, _) = from.split_once('\'').unwrap();
    let recover =
        |from: &str| recovered(&output(&mut on(&moved, site.runwrap(&["recover", "--json", "--from", from]))));
    assert_eq!(recover("postgres://admin@other:5432/none").0.len(), 0);
    assert_eq!(recover(from).0.len(), 2);
    let records = site.records();
    assert_eq!(records.len(), 3, "each run kept its record");
    assert_eq!(records.iter().filter(|record| record["exit_code"] == json!(3)).count(), 2);
    assert_eq!(recover(from), (Vec::new(), String::new()));
}

/// A file of SQLite that was moved with its records.
// Holds: failures/database-moved
#[test]
fn recover_from_delivers_to_a_file_that_moved() {
    let site = Site::sqlite();
    leave(&site, 1);
    let moved = site.path().join("moved.db");
    // The killed keeper has left its part of the file in the log beside it.
    site.sql("PRAGMA wal_checkpoint(TRUNCATE)");
    std::fs::rename(site.path().join("runs.db"), &moved).unwrap();
    let moved = format!("sqlite:{}", moved.display());
    let mut command = site.runwrap(&["recover", "--json", "--from", site.url()]);
    assert_eq!(recovered(&output(command.env("RUNWRAP_DATABASE_URL", &moved))).0.len(), 1);
    let listed = output(&mut on(&moved, site.runwrap(&["list", "--json"])));
    let records: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!((records.as_array().unwrap().len(), &records[0]["exit_code"]), (1, &json!(3)));
    assert!(!site.path().join("runs.db").exists());
}
