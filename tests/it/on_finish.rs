//! `--on-finish`: one command for each end, by whichever process delivers it, and never at the cost of the run.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;

use serde_json::Value;

use crate::support::site::{Site, kill, output, start};
use crate::support::wait::wait_until;

/// Appends the record to a file.
const COMMAND: &str = "cat >> ended.jsonl; echo >> ended.jsonl";

/// The records that commands have had.
fn ended(site: &Site) -> Vec<Value> {
    let text = fs::read_to_string(site.path().join("ended.jsonl")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn reasons(site: &Site) -> Vec<String> {
    ended(site).iter().map(|record| record["reason"].as_str().unwrap().to_owned()).collect()
}

// Holds: failures/on-finish
#[test]
fn command_has_the_record_of_each_end_once() {
    for site in [Site::sqlite(), Site::postgres()] {
        assert!(output(&mut site.runwrap(&["migrate"])).status.success());
        let command = format!(
            "{COMMAND}; echo \"$RUNWRAP_STATUS $RUNWRAP_REASON $RUNWRAP_EXIT_CODE $RUNWRAP_NAME $RUNWRAP_RECORD_ID\" > words; pwd -P > place"
        );
        let ran = site.run(&["-n", "demo", "--on-finish", &command], "exit 3");
        assert_eq!(ran.status.code(), Some(3));
        assert!(ran.stderr.is_empty() && ran.stdout.is_empty(), "{ran:?}");
        let records = ended(&site);
        assert_eq!(records.len(), 1);
        assert_eq!((&records[0]["status"], &records[0]["exit_code"]), (&"failed".into(), &3.into()));
        assert!(records[0]["train_end_time"].is_string() && records[0]["command"].is_array());
        let read = |name: &str| fs::read_to_string(site.path().join(name)).unwrap();
        assert_eq!(read("words"), "failed exit 3 demo 1\n");
        assert_eq!(read("place").trim(), fs::canonicalize(site.path()).unwrap().to_str().unwrap());
        assert!(output(&mut site.runwrap(&["recover", "--on-finish", COMMAND])).status.success());
        assert_eq!(ended(&site).len(), 1);
        assert!(site.run_directories().is_empty());
    }
}

// Holds: failures/on-finish
#[test]
fn failing_command_is_in_the_log_and_nowhere_else() {
    let site = Site::sqlite();
    let ran = site.run(&["--on-finish", "echo no such hook >&2; exit 9"], "true");
    assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
    let log = site.log();
    let line = log.lines().find(|line| line.contains("event=on_finish_ended")).unwrap();
    assert!(line.contains("[WARN]") && line.contains("exit status: 9") && line.contains("no such hook"), "{line}");
    assert_eq!(site.record()["status"], "completed");
    let refused = site.run(&["--on-finish", " "], "touch started");
    assert_eq!(refused.status.code(), Some(125));
    assert!(!site.path().join("started").exists());
}

// Holds: failures/on-finish
#[test]
fn keeper_runs_the_command_after_the_supervisor_was_killed() {
    for site in [Site::sqlite(), Site::postgres()] {
        let mut command = site.shell(&["--on-finish", COMMAND], "echo ready; read -r line");
        let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        assert_eq!(running.line(), "ready");
        kill(running.pid(), "KILL");
        wait_until("the command", || reasons(&site) == ["supervisor_killed"]);
        site.quiet();
        assert_eq!(ended(&site).len(), 1);
    }
}

/// Many commands may run at once, and a server takes few connections.
#[test]
fn keeper_holds_no_connection_while_the_command_runs() {
    let site = Site::postgres();
    assert!(site.run(&["--on-finish", "ls -l /proc/$PPID/fd > descriptors"], "true").status.success());
    let descriptors = fs::read_to_string(site.path().join("descriptors")).unwrap();
    assert!(descriptors.contains("runwrap-config"), "not the keeper's: {descriptors}");
    // Each connection has an epoll instance.
    assert!(!descriptors.contains("eventpoll"), "{descriptors}");
}

/// A daemon of the command held the run's lock, and the dead run counted as alive.
// Holds: failures/on-finish
#[test]
fn daemon_of_the_command_holds_nothing_of_the_run() {
    let site = Site::sqlite();
    let command = "ls -l /proc/self/fd > descriptors; setsid sleep 600 > /dev/null 2>&1 < /dev/null & echo $! > daemon";
    assert!(site.run(&["--on-finish", command], "true").status.success());
    let descriptors = fs::read_to_string(site.path().join("descriptors")).unwrap();
    for kept in ["socket:", "memfd:runwrap-config", "journal", "lock"] {
        assert!(!descriptors.contains(kept), "{descriptors}");
    }
    let daemon = fs::read_to_string(site.path().join("daemon")).unwrap();
    kill(daemon.trim().parse().unwrap(), "KILL");
}

/// The keeper ended with its own run, and the commands of the other ends were never run.
// Holds: failures/on-finish
#[test]
fn every_claimed_end_gets_its_command() {
    let site = Site::sqlite();
    for name in ["g1", "g2", "g3"] {
        assert!(site.run(&["-n", name], "true").status.success());
    }
    site.sql(
        "UPDATE runwrap_runs SET reason = NULL, exit_code = NULL, host = 'elsewhere', heartbeat_at = '2025-01-01 00:00:00';
         UPDATE training_records SET status = 'training', train_end_time = NULL, train_duration = NULL",
    );
    // Each command waits for a line.
    let fifo = site.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let options = [
        "--heartbeat",
        "200ms",
        "--finish-timeout",
        "300ms",
        "--on-finish",
        "read -r line < fifo; echo > got-$RUNWRAP_RECORD_ID",
    ];
    let mut command = site.shell(&options, "read -r line");
    let mut running = start(command.stdin(Stdio::piped()));
    wait_until("the claims", || site.sql("SELECT count(*) FROM runwrap_runs WHERE notified_at IS NOT NULL") == "3\n");
    running.close_stdin();
    running.end();
    wait_until("the command for each end", || {
        // Without a reader there is nothing to open.
        let opened = fs::OpenOptions::new().write(true).custom_flags(nix::libc::O_NONBLOCK).open(&fifo);
        drop(opened);
        (1..=4).all(|id| site.path().join(format!("got-{id}")).exists())
    });
    site.quiet();
}

/// The keeper dies after the claim: the next keeper delivers the end again, and does not run the command again.
// Holds: failures/on-finish
#[test]
fn command_does_not_run_again_after_the_death_of_its_keeper() {
    for site in [Site::sqlite(), Site::postgres()] {
        assert!(output(&mut site.runwrap(&["migrate"])).status.success());
        let ran = site.run(&["--on-finish", &format!("{COMMAND}; kill -9 $PPID")], "exit 3");
        assert_eq!(ran.status.code(), Some(3));
        assert!(ran.stderr.is_empty(), "{ran:?}");
        site.quiet();
        assert!(output(&mut site.runwrap(&["recover", "--on-finish", COMMAND])).status.success());
        assert_eq!((ended(&site).len(), site.record()["exit_code"].as_i64()), (1, Some(3)));
        assert!(site.run_directories().is_empty());
    }
}

// Holds: failures/on-finish
#[test]
fn run_inside_the_command_has_none_itself() {
    let site = Site::sqlite();
    let nested = format!("{COMMAND}; {} -n inner -- true", env!("CARGO_BIN_EXE_runwrap"));
    let mut command = site.shell(&["-n", "outer"], "true");
    assert!(output(command.env("RUNWRAP_ON_FINISH", &nested)).status.success());
    site.quiet();
    assert_eq!(site.records().len(), 2);
    assert_eq!(ended(&site).len(), 1);
}

/// A run was over after 1 s, and the command takes longer: its end must not be reported as missing.
// Holds: failures/on-finish
#[test]
fn slow_command_goes_on_after_the_exit_without_a_message() {
    let site = Site::sqlite();
    // It waits until this test opens the other end.
    let fifo = site.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let ran =
        site.run(&["--finish-timeout", "300ms", "--on-finish", &format!("read -r line < fifo; {COMMAND}")], "true");
    assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
    assert_eq!(site.record()["status"], "completed");
    assert!(ended(&site).is_empty());
    fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    wait_until("the command", || ended(&site).len() == 1);
    site.quiet();
}

// Holds: failures/on-finish
#[test]
fn recover_runs_its_own_command_and_a_rehearsal_none() {
    for site in [Site::sqlite(), Site::postgres()] {
        let mut command = site
            .shell(&["--heartbeat", "1h", "--lease", "2h", "--on-finish", "touch other"], "echo ready; read -r line");
        let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        assert_eq!(running.line(), "ready");
        site.lose();
        drop(running);
        site.sql("INSERT INTO training_records (status, train_start_time, created_at) VALUES ('training', '2025-01-01 00:00:00', '2025-01-01 00:00:00')");
        let recover = |further: &[&str]| {
            let arguments = [&["recover", "--on-finish", COMMAND, "--stuck-after", "24h"], further].concat();
            assert!(output(&mut site.runwrap(&arguments)).status.success());
        };
        recover(&["--dry-run"]);
        assert!(ended(&site).is_empty());
        recover(&[]);
        recover(&[]);
        let mut found = reasons(&site);
        found.sort();
        assert_eq!(found, ["lost", "stuck"]);
        assert!(!site.path().join("other").exists());
    }
}

/// The end that was presumed is one, the true end is another.
// Holds: failures/on-finish
#[test]
fn presumed_end_and_true_end_are_two_ends() {
    // PostgreSQL presumes nothing before it has been up for a lease.
    let site = Site::sqlite();
    let options = ["--heartbeat", "1h", "--lease", "2h", "--on-finish", COMMAND];
    let mut command = site.shell(&options, "echo ready; read -r line");
    let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    site.record_that_is("training");
    site.sql("UPDATE runwrap_runs SET heartbeat_at = '2025-01-01 00:00:00'");
    // On a host without the journal.
    let elsewhere = site.path().join("elsewhere");
    let mut recovery = site.runwrap(&["recover", "--on-finish", COMMAND]);
    assert!(output(recovery.env("RUNWRAP_STATE_DIR", &elsewhere)).status.success());
    assert_eq!(reasons(&site), ["lost"]);
    running.close_stdin();
    running.end();
    assert_eq!(reasons(&site), ["lost", "exit"]);
}

/// Each end of another host's run, by the keeper of a run that goes on.
// Holds: failures/on-finish
#[test]
fn healing_keeper_runs_the_command() {
    let site = Site::sqlite();
    assert!(site.run(&["-n", "gone"], "true").status.success());
    site.sql(
        "UPDATE runwrap_runs SET reason = NULL, exit_code = NULL, host = 'elsewhere', heartbeat_at = '2025-01-01 00:00:00';
         UPDATE training_records SET status = 'training', train_end_time = NULL, train_duration = NULL",
    );
    let options = ["--heartbeat", "200ms", "--on-finish", COMMAND];
    let mut command = site.shell(&options, "read -r line");
    let mut running = start(command.stdin(Stdio::piped()));
    wait_until("the command for the lost run", || reasons(&site) == ["lost"]);
    running.close_stdin();
    running.end();
    assert_eq!(reasons(&site), ["lost", "exit"]);
}

// Holds: failures/on-finish
#[test]
fn table_without_the_column_costs_only_the_command() {
    let site = Site::postgres();
    assert!(site.run(&[], "true").status.success());
    site.sql("ALTER TABLE runwrap_runs DROP COLUMN notified_at");
    let ran = site.run(&["--on-finish", COMMAND], "exit 3");
    assert_eq!(ran.status.code(), Some(3));
    let stderr = String::from_utf8(ran.stderr).unwrap();
    assert!(stderr.starts_with("runwrap: the command of --on-finish does not run (run `runwrap migrate`"), "{stderr}");
    assert_eq!((site.records()[0]["status"].as_str(), ended(&site).len()), (Some("failed"), 0));
}
