//! Delivery after a run: the lingering keeper, and the backlog, which a later run delivers.

use std::net::TcpListener;
use std::process::Command;

use serde_json::json;

use crate::support::postgres::Postgres;
use crate::support::site::{Site, kill, output};
use crate::support::wait::wait_until;

const IMPATIENT: [&str; 4] = ["--start-timeout", "50ms", "--finish-timeout", "50ms"];

// Holds: failures/linger-many
#[test]
fn one_lingering_keeper_delivers_many_ended_runs() {
    let server = Postgres::private();
    let site = Site::on(&server);
    server.stop();
    for code in 1..=5 {
        assert_eq!(site.run(&IMPATIENT, &format!("exit {code}")).status.code(), Some(code));
    }
    wait_until("a single keeper is left", || site.keepers().len() == 1);
    assert_eq!(site.run_directories().len(), 5);
    server.start();
    wait_until("delivery", || site.run_directories().is_empty());
    let mut codes: Vec<i64> = site.records().iter().map(|record| record["exit_code"].as_i64().unwrap()).collect();
    codes.sort_unstable();
    assert_eq!(codes, [1, 2, 3, 4, 5]);
    site.quiet();
}

// Holds: failures/linger-sigterm
#[test]
fn sigterm_ends_lingering_after_one_last_attempt() {
    let site = Site::with_url("postgres://ann@127.0.0.1:1/none");
    assert_eq!(site.run(&IMPATIENT, "exit 3").status.code(), Some(3));
    wait_until("the keeper lingers", || site.log().contains("event=linger "));
    kill(site.keeper_after(None), "TERM");
    site.quiet();
    assert!(site.log().contains("event=linger_gave_up"));
    assert_eq!(site.run_directories().len(), 1);
}

// Holds: failures/linger-over
#[test]
fn lingering_ends_after_the_linger_time() {
    let site = Site::with_url("postgres://ann@127.0.0.1:1/none");
    let options = [&IMPATIENT[..], &["--linger", "300ms"]].concat();
    assert_eq!(site.run(&options, "exit 3").status.code(), Some(3));
    site.quiet();
    assert_eq!(site.run_directories().len(), 1);
}

/// A site with a database that accepts every connection and never answers.
fn hanging() -> (TcpListener, Site) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("postgres://ann@127.0.0.1:{}/none", listener.local_addr().unwrap().port());
    (listener, Site::with_url(&url))
}

/// An attempt that hangs makes the keeper execute itself again. The new image once started the time of `--linger` anew.
// Holds: failures/linger-over
#[test]
fn lingering_ends_in_time_if_every_attempt_hangs() {
    let (_listener, site) = hanging();
    let options = [&IMPATIENT[..], &["--linger", "300ms"]].concat();
    assert_eq!(site.run(&options, "exit 3").status.code(), Some(3));
    site.quiet();
    assert!(site.log().contains("event=linger_gave_up"));
    assert_eq!(site.run_directories().len(), 1);
}

/// The keeper's new image once did not know of a SIGTERM that the old one had received.
// Holds: failures/linger-sigterm
#[test]
fn sigterm_during_a_hanging_attempt_ends_lingering() {
    let (_listener, site) = hanging();
    assert_eq!(site.run(&IMPATIENT, "exit 3").status.code(), Some(3));
    wait_until("the attempt begins", || site.log().contains("event=attempt "));
    kill(site.keeper_after(None), "TERM");
    site.quiet();
    assert!(site.log().contains("event=linger_gave_up"));
    assert_eq!(site.run_directories().len(), 1);
}

/// The signal ended the new image before it could receive any.
// Holds: failures/linger-sigterm
#[test]
fn sigterm_while_the_keeper_replaces_its_image_ends_lingering() {
    let site = Site::with_url("postgres://ann@127.0.0.1:1/none");
    let mut command = site.shell(&IMPATIENT, "exit 3");
    assert_eq!(command.env("RUNWRAP_FAILPOINTS", "linger-image=stop").status().unwrap().code(), Some(3));
    let keeper = site.keeper_after(None);
    wait_until("the new image stops", || crate::support::procfs::state(keeper) == Some('T'));
    kill(keeper, "TERM");
    kill(keeper, "CONT");
    site.quiet();
    assert!(site.log().contains("event=linger_gave_up"), "{}", site.log());
    assert_eq!(site.run_directories().len(), 1);
}

// Holds: failures/linger-over
#[test]
fn journal_in_memory_is_given_up_if_every_attempt_hangs() {
    let (_listener, site) = hanging();
    std::fs::write(site.path().join("file"), "").unwrap();
    std::fs::create_dir(site.path().join("tmp")).unwrap();
    let options = [&IMPATIENT[..], &["--linger", "300ms", "--state-dir", "file/state"]].concat();
    let mut command = site.shell(&options, "exit 3");
    assert_eq!(command.env("TMPDIR", site.path().join("tmp")).status().unwrap().code(), Some(3));
    site.quiet();
    assert!(std::fs::read_dir(site.path().join("tmp")).unwrap().next().is_none());
}

/// Leaves the journal of a run that exited with 3, and no process.
fn leave_one(site: &Site, server: &Postgres) {
    server.stop();
    assert_eq!(site.run(&IMPATIENT, "exit 3").status.code(), Some(3));
    for keeper in site.keepers() {
        kill(keeper, "KILL");
    }
    site.quiet();
    server.start();
    assert_eq!(site.run_directories().len(), 1);
}

// Holds: failures/linger-over
#[test]
fn next_run_delivers_the_journals_of_earlier_runs() {
    let server = Postgres::private();
    let site = Site::on(&server);
    leave_one(&site, &server);
    assert!(site.run(&[], "exit 0").status.success());
    wait_until("delivery", || site.run_directories().is_empty());
    let mut codes: Vec<i64> = site.records().iter().map(|record| record["exit_code"].as_i64().unwrap()).collect();
    codes.sort_unstable();
    assert_eq!(codes, [0, 3]);
    site.quiet();
}

/// A container kills its keeper when the run ends, so the run waits for the delivery, for up to 1 s. A short run once
/// ended before the delivery.
// Holds: failures/container-next-run
#[test]
fn next_run_waits_for_the_backlog_within_a_bound() {
    let server = Postgres::private();
    let site = Site::on(&server);
    assert!(output(&mut site.runwrap(&["migrate"])).status.success());
    leave_one(&site, &server);
    let mut stopped = site.shell(&[], "exit 0");
    let stopped = output(stopped.env("RUNWRAP_FAILPOINTS", "lingering=stop"));
    assert_eq!((stopped.status.code(), &stopped.stderr[..]), (Some(0), &b""[..]), "long before --finish-timeout");
    assert_eq!(site.run_directories().len(), 1);
    kill(site.keeper_after(None), "KILL");
    site.quiet();
    assert!(site.run(&[], "exit 0").status.success());
    assert_eq!(site.run_directories(), Vec::<std::path::PathBuf>::new());
    site.quiet();
}

// Holds: failures/database-other
#[test]
fn journal_is_never_delivered_to_another_database() {
    let server = Postgres::private();
    let site = Site::on(&server);
    leave_one(&site, &server);
    let other = format!("sqlite:{}", site.path().join("other.db").display());
    let run = |command: &mut Command| output(command.env("RUNWRAP_DATABASE_URL", &other));
    assert!(run(&mut site.shell(&[], "exit 0")).status.success());
    site.quiet();
    assert_eq!(site.run_directories().len(), 1);
    let listed = run(&mut site.runwrap(&["list", "--json"]));
    let records: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!((records.as_array().unwrap().len(), &records[0]["exit_code"]), (1, &json!(0)));
}

// Holds: failures/both-sigkill
#[test]
fn run_without_a_process_is_lost_and_keeps_its_metrics() {
    let site = Site::sqlite();
    let script = "echo '{\"metrics\": {\"epoch\": 1}}' >> $RUNWRAP_REPORT; for pid in $PPID $(pgrep -f '^runwrap keeper'); do \
                  tr '\\0' '\\n' < /proc/$pid/environ | grep -qx SITE=$SITE && kill -STOP $pid; done; kill -STOP $$";
    let mut running = crate::support::site::start(&mut site.shell(&[], script));
    wait_until("the trainer has stopped every process", || {
        let stopped =
            |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") T "));
        site.keepers().into_iter().all(stopped) && stopped(running.pid()) && !site.keepers().is_empty()
    });
    kill(site.keeper_after(None), "KILL");
    running.signal("KILL");
    running.end();
    site.quiet();
    assert!(site.run(&[], "true").status.success());
    wait_until("delivery", || site.run_directories().is_empty());
    let lost = site.records().into_iter().find(|record| record["reason"] == "lost").unwrap();
    assert_eq!((&lost["status"], &lost["presumed"]), (&json!("failed"), &json!(true)));
    assert_eq!(lost["train_metrics"], json!({"epoch": 1}));
    assert!(!lost["train_end_time"].is_null() && lost["error_message"].as_str().unwrap().starts_with("lost: "));
    site.quiet();
}
