//! `runwrap recover`: the backlog of the state directory, runs with an expired lease, and stuck rows.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::postgres::{Postgres, connect};
use crate::support::site::{Running, Site, kill, output, start};
use crate::support::wait::wait_until;

const SHORT_LEASE: [&str; 4] = ["--heartbeat", "200ms", "--lease", "1s"];

/// Starts a run and kills all its processes before one can write the end.
fn vanish(site: &Site, options: &[&str]) {
    let mut command =
        site.shell(options, "echo '{\"metrics\": {\"a\": 1}}' >> $RUNWRAP_REPORT; echo ready; exec sleep 60");
    let mut running = start(command.stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    wait_until("the first heartbeat", || site.record()["train_metrics"] == json!({"a": 1}));
    for process in [site.keeper_after(None), running.pid()] {
        kill(process, "STOP");
    }
    kill(site.keeper_after(None), "KILL");
    running.signal("KILL");
    running.end();
    site.quiet();
}

#[track_caller]
fn recover(site: &Site) -> Vec<Value> {
    let output = output(&mut site.runwrap(&["recover", "--json"]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

// Holds: failures/both-sigkill
#[test]
fn recover_ends_a_dead_run_of_this_host_within_its_lease() {
    for site in [Site::sqlite(), Site::postgres()] {
        vanish(&site, &["--heartbeat", "200ms"]);
        let recovered = recover(&site);
        assert_eq!(recovered.len(), 1);
        assert_eq!(
            (&recovered[0]["before"]["status"], &recovered[0]["after"]["reason"]),
            (&json!("training"), &json!("lost"))
        );
        let record = site.record();
        assert_eq!(recovered[0]["after"], Value::Object(record.clone()));
        assert_eq!((&record["presumed"], &record["train_metrics"]), (&json!(true), &json!({"a": 1})));
        assert!(site.run_directories().is_empty());
        assert_eq!(recover(&site), Vec::<Value>::new());
    }
}

/// A service that restarts with the same `--record-id` was refused again and again, and the dead run's row stayed in training.
// Holds: failures/row-adopted-dead
#[test]
fn dead_run_is_delivered_before_its_row_is_refused() {
    for site in [Site::sqlite(), Site::postgres()] {
        assert!(output(&mut site.runwrap(&["migrate"])).status.success());
        site.sql("INSERT INTO training_records (id, status) VALUES (1, 'training')");
        vanish(&site, &["--heartbeat", "200ms", "--record-id", "1"]);
        let again = site.run(&["--record-id", "1"], "touch started");
        let message = String::from_utf8(again.stderr).unwrap();
        assert_eq!(again.status.code(), Some(125), "{message}");
        assert!(message.contains("the row is \"failed\"") && message.matches("runwrap: ").count() == 2, "{message}");
        let record = site.record();
        assert_eq!((&record["status"], &record["reason"]), (&json!("failed"), &json!("lost")));
        assert!(site.run_directories().is_empty() && !site.path().join("started").exists());
        site.quiet();
    }
}

/// The wait for a dead run whose row is locked outlasted `--start-timeout`, and the refused trainer started.
// Holds: failures/row-adopted-dead
#[test]
fn refused_run_does_not_start_while_a_dead_run_s_row_is_locked() {
    let server = Postgres::shared();
    let name = server.new_database();
    let site = Site::with_url(&format!("postgres://admin@127.0.0.1:{}/{name}?sslmode=disable", server.port()));
    assert!(output(&mut site.runwrap(&["migrate"])).status.success());
    vanish(&site, &["--heartbeat", "200ms"]);
    site.sql("INSERT INTO training_records (id, status) VALUES (77, 'completed')");
    let mut application = connect(&server.target(&name));
    application.batch_execute("BEGIN; SELECT FROM training_records WHERE id = 1 FOR UPDATE").unwrap();
    let again = site.run(&["--record-id", "77", "--start-timeout", "950ms", "--linger", "0s"], "touch started");
    let message = String::from_utf8(again.stderr).unwrap();
    assert_eq!(again.status.code(), Some(125), "{message}");
    assert!(message.contains("the row is \"completed\"") && !site.path().join("started").exists(), "{message}");
    application.batch_execute("ROLLBACK").unwrap();
    assert!(output(&mut site.runwrap(&["recover"])).status.success());
    site.quiet();
}

// Holds: failures/database-permanent
#[test]
fn refused_end_is_reported_once_and_delivered_after_the_fix() {
    let site = Site::postgres();
    assert!(site.run(&[], "true").status.success());
    site.sql("ALTER TABLE training_records ADD CONSTRAINT no_failures CHECK (status <> 'failed')");
    let ended = site.run(&[], "exit 3");
    assert_eq!(ended.status.code(), Some(3));
    let messages = String::from_utf8(ended.stderr).unwrap();
    assert!(messages.contains("no_failures") && messages.contains("runwrap: hint: "), "{messages}");
    site.quiet();
    assert_eq!(site.log().matches("event=attempt_failed").count(), 1);
    let checked = output(&mut site.runwrap(&["check", "--json"]));
    assert_eq!(checked.status.code(), Some(1));
    let found: Vec<Value> = serde_json::from_slice(&checked.stdout).unwrap();
    let kinds: Vec<&Value> = found.iter().map(|found| &found["kind"]).collect();
    assert_eq!(kinds, ["undelivered", "table"]);
    assert!(found[1]["detail"].as_str().unwrap().contains("no_failures"), "{found:?}");
    let refused = output(&mut site.runwrap(&["recover"]));
    assert_eq!(refused.status.code(), Some(125));
    assert_eq!(site.run_directories().len(), 1);
    site.sql("ALTER TABLE training_records DROP CONSTRAINT no_failures");
    assert_eq!(recover(&site).len(), 1);
    let records = site.records();
    assert_eq!((&records[0]["reason"], &records[0]["exit_code"]), (&json!("exit"), &json!(3)));
    assert!(site.run_directories().is_empty());
}

// Holds: failures/host-lost
#[test]
fn recover_ends_the_record_of_a_lost_host_after_its_lease() {
    for site in [Site::sqlite(), Site::postgres()] {
        vanish(&site, &SHORT_LEASE);
        std::fs::remove_dir_all(site.state_dir()).unwrap();
        let mut recovered = Vec::new();
        wait_until("the lease has run out", || {
            recovered = recover(&site);
            !recovered.is_empty()
        });
        let record = site.record();
        assert_eq!((&record["reason"], &record["presumed"]), (&json!("lost"), &json!(true)));
        assert_eq!(record["train_end_time"], record["last_seen_at"]);
        assert!(record["error_message"].as_str().unwrap().starts_with("lost: no sign of life"));
    }
}

// Holds: failures/recover-race
#[test]
fn ten_concurrent_recovers_repair_each_record_once() {
    for site in [Site::sqlite(), Site::postgres()] {
        vanish(&site, &[]);
        let mut running: Vec<Running> =
            (0..10).map(|_| start(site.runwrap(&["recover"]).stdout(Stdio::piped()))).collect();
        let printed: Vec<String> = running.iter_mut().map(Running::line).filter(|line| !line.is_empty()).collect();
        assert!(running.iter_mut().all(|recover| recover.end().success()));
        assert_eq!(printed.len(), 1, "{printed:?}");
        assert!(printed[0].contains(": training -> failed (lost)"), "{printed:?}");
    }
}

// Holds: failures/recover-living
#[test]
fn recover_never_touches_a_living_run() {
    let site = Site::sqlite();
    let mut command = site.shell(&[], "echo ready; read -r line; exit 3");
    let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    assert_eq!(recover(&site), Vec::<Value>::new());
    assert_eq!(site.record()["status"], "training");
    running.close_stdin();
    assert_eq!(running.end().code(), Some(3));
    assert_eq!(site.record()["exit_code"], 3);
}

// Holds: failures/no-keeper
#[test]
fn supervisor_without_a_keeper_delivers_at_the_end() {
    for site in [Site::sqlite(), Site::postgres()] {
        let mut command = site.shell(&["--start-timeout", "50ms"], "exit 3");
        let output = output(command.env("RUNWRAP_FAILPOINTS", "keeper-start=error"));
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(site.record()["exit_code"], 3);
        assert!(site.run_directories().is_empty());
    }
}

// Holds: failures/journal-damage
#[test]
fn damaged_journal_is_quarantined_and_stops_no_other_run() {
    let site = Site::sqlite();
    vanish(&site, &[]);
    let damaged = site.run_directories().pop().unwrap();
    let journal = damaged.join("journal-1.jsonl");
    let mut bytes = std::fs::read(&journal).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&journal, bytes).unwrap();
    assert_eq!(site.run(&["--start-timeout", "1s"], "exit 3").status.code(), Some(3));
    recover(&site);
    assert!(site.run_directories().is_empty());
    assert!(site.state_dir().join("quarantine").join(damaged.file_name().unwrap()).is_dir());
    assert_eq!(site.records()[0]["exit_code"], 3);
    assert!(site.log().contains("run_quarantined"));
}

/// Makes a run of a lost host, a run on this host whose processes were all killed, and a row without a run.
fn everything_to_recover(site: &Site) {
    vanish(site, &SHORT_LEASE);
    std::fs::remove_dir_all(site.state_dir()).unwrap();
    let mut dead = site.shell(&[], "echo ready; exec sleep 60");
    let mut dead = start(dead.stdout(Stdio::piped()));
    assert_eq!(dead.line(), "ready");
    kill(site.keeper_after(None), "STOP");
    kill(dead.pid(), "STOP");
    kill(site.keeper_after(None), "KILL");
    dead.signal("KILL");
    dead.end();
    site.quiet();
    site.sql("INSERT INTO training_records (status, train_start_time) VALUES ('training', '2025-11-26 18:00:00')");
    site.sql("UPDATE training_records SET created_at = '2025-11-26 18:00:00' WHERE version IS NULL");
}

#[test]
fn dry_run_prints_the_repairs_and_changes_nothing() {
    for site in [Site::sqlite(), Site::postgres()] {
        everything_to_recover(&site);
        let arguments = ["recover", "--stuck-after", "24h", "--dry-run"];
        let printed = |arguments: &[&str]| String::from_utf8(output(&mut site.runwrap(arguments)).stdout).unwrap();
        let mut rehearsed = String::new();
        wait_until("the lease has run out", || {
            rehearsed = printed(&arguments);
            rehearsed.lines().count() == 3
        });
        assert!(rehearsed.contains("record 3: training -> failed (stuck), ended - after -\n"), "{rehearsed}");
        let records = site.records();
        assert_eq!(printed(&arguments), rehearsed);
        assert!(records.iter().all(|record| record["status"] == "training"), "{records:?}");
        assert_eq!(site.sql("SELECT count(*) FROM runwrap_runs WHERE reason IS NULL"), "2\n");
        assert_eq!(site.run_directories().len(), 1);

        assert_eq!(printed(&arguments[..3]), rehearsed);
        assert!(site.records().iter().all(|record| record["presumed"] == json!(true)));
        assert!(site.run_directories().is_empty());
        assert_eq!(printed(&arguments[..3]), "");
    }
}

#[test]
fn dry_run_does_not_quarantine_a_damaged_journal() {
    let site = Site::sqlite();
    vanish(&site, &[]);
    let journal = site.run_directories()[0].join("journal-1.jsonl");
    let mut bytes = std::fs::read(&journal).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&journal, bytes).unwrap();
    assert!(output(&mut site.runwrap(&["recover", "--dry-run"])).status.success());
    assert!(journal.exists());
}

// Holds: failures/recover-stuck
#[test]
fn ten_concurrent_recovers_give_up_each_stuck_record_once() {
    for site in [Site::sqlite(), Site::postgres()] {
        assert!(site.runwrap(&["migrate"]).stdout(Stdio::null()).status().unwrap().success());
        site.sql(
            "INSERT INTO training_records (status, train_start_time, created_at) VALUES
                ('training', '2025-11-26 18:00:00', '2025-11-26 18:00:00'),
                ('training', '2025-11-26 18:00:00', '2025-11-26 18:00:00')",
        );
        let arguments = ["recover", "--stuck-after", "1d"];
        let mut running: Vec<Running> =
            (0..10).map(|_| start(site.runwrap(&arguments).stdout(Stdio::piped()))).collect();
        let printed: Vec<String> = running
            .iter_mut()
            .flat_map(|recover| [recover.line(), recover.line()])
            .filter(|line| !line.is_empty())
            .collect();
        assert!(running.iter_mut().all(|recover| recover.end().success()));
        assert_eq!(printed.len(), 2, "{printed:?}");
        assert_eq!(site.sql("SELECT count(*) FROM runwrap_runs"), "2\n");
    }
}

#[test]
fn model_file_on_this_host_is_a_sign_of_life() {
    for site in [Site::sqlite(), Site::postgres()] {
        assert!(site.runwrap(&["migrate"]).stdout(Stdio::null()).status().unwrap().success());
        let model = site.path().join("m.pt");
        let written_at = std::time::SystemTime::now() - std::time::Duration::from_hours(30);
        std::fs::File::create(&model).unwrap().set_modified(written_at).unwrap();
        site.sql(&format!(
            "INSERT INTO training_records (status, train_start_time, created_at, model_path) VALUES
                ('training', '2025-11-26 18:00:00', '2025-11-26 18:00:00', '{}')",
            model.display()
        ));
        let output = output(&mut site.runwrap(&["recover", "--json", "--stuck-after", "24h", "--assume-end", "now"]));
        let recovered: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let after = &recovered[0]["after"];
        let ended_at = after["train_end_time"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
        assert_eq!(ended_at.timestamp_micros(), chrono::DateTime::<chrono::Utc>::from(written_at).timestamp_micros());
        assert!(after["error_message"].as_str().unwrap().contains("its end is its last sign of life"), "{after}");
    }
}
