//! `runwrap recover`: what is left in the state directory, and runs whose host never came back.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::site::{Running, Site, kill, output, start};
use crate::support::wait::wait_until;

const SHORT_LEASE: [&str; 4] = ["--heartbeat", "200ms", "--lease", "1s"];

/// Starts a run and kills all of it so fast that nobody can write its end.
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

#[test]
fn recover_ends_a_dead_run_of_this_host_without_waiting_for_its_lease() {
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

#[test]
fn recover_ends_the_record_of_a_host_that_never_came_back_once_its_lease_has_run_out() {
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

#[test]
fn ten_recovers_at_once_repair_each_record_once() {
    for site in [Site::sqlite(), Site::postgres()] {
        vanish(&site, &[]);
        let mut running: Vec<Running> =
            (0..10).map(|_| start(site.runwrap(&["recover"]).stdout(Stdio::piped()))).collect();
        let said: Vec<String> = running.iter_mut().map(Running::line).filter(|line| !line.is_empty()).collect();
        assert!(running.iter_mut().all(|recover| recover.end().success()));
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains(": training -> failed (lost)"), "{said:?}");
    }
}

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

#[test]
fn a_supervisor_that_can_start_no_keeper_delivers_by_itself_at_the_end() {
    for site in [Site::sqlite(), Site::postgres()] {
        let mut command = site.shell(&["--start-timeout", "50ms"], "exit 3");
        let output = output(command.env("RUNWRAP_FAILPOINTS", "keeper-start=error"));
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(site.record()["exit_code"], 3);
        assert!(site.run_directories().is_empty());
    }
}

#[test]
fn a_damaged_journal_is_put_aside_and_stops_no_other() {
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
