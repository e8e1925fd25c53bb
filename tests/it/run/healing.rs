//! Every keeper ends runs whose lease has run out, while its own run goes on. A site stands for a host: its processes share a
//! state directory, the sites share the database.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::site::{Running, Site, kill, start};
use crate::support::wait::wait_until;

const LEASE: Duration = Duration::from_secs(2);
const OPTIONS: [&str; 4] = ["--heartbeat", "200ms", "--lease", "2s"];

/// A run that goes on until its stdin ends.
fn live(site: &Site, name: &str) -> Running {
    let options = [&OPTIONS[..], &["--name", name]].concat();
    let mut command = site.shell(&options, "echo ready; read -r line; true");
    let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    running
}

fn value(site: &Site, name: &str, column: &str) -> serde_json::Value {
    let records = site.records();
    records
        .iter()
        .find(|record| record["name"] == name)
        .map_or(serde_json::Value::Null, |record| record[column].clone())
}

// Holds: failures/host-vanished
#[test]
fn run_of_a_vanished_host_is_ended_by_runs_of_others() {
    for lost in [Site::sqlite(), Site::postgres()] {
        let others = [Site::with_url(lost.url()), Site::with_url(lost.url())];
        let mut running = live(&lost, "lost");
        let mut living: Vec<Running> = others.iter().map(|site| live(site, "living")).collect();
        wait_until("the first heartbeat", || value(&lost, "lost", "pid").is_i64());
        lost.lose();
        let lost_at = Instant::now();
        running.end();
        wait_until("the end of the lost run", || value(&others[0], "lost", "status") == "failed");
        assert!(lost_at.elapsed() < LEASE * 2 + Duration::from_secs(2), "{:?}", lost_at.elapsed());
        assert_eq!(value(&others[0], "lost", "reason"), "lost");
        let by_the_others = others.iter().map(|site| site.log().matches("event=presumed_lost").count());
        assert_eq!(by_the_others.sum::<usize>(), 1, "ended twice");
        for (site, running) in others.iter().zip(&mut living) {
            running.close_stdin();
            assert!(running.end().success());
            site.quiet();
        }
        let statuses: Vec<_> = lost.records().iter().map(|record| record["reason"].clone()).collect();
        assert_eq!(statuses, [json!("success"), json!("success"), json!("lost")]);
    }
}

/// A run whose processes were all killed stayed in training until the next run of its state directory.
// Holds: failures/both-sigkill-beside-a-run
#[test]
fn journal_of_a_killed_run_is_delivered_by_a_living_one() {
    let site = Site::sqlite();
    let mut living = live(&site, "living");
    let before: Vec<i32> = site.processes().iter().map(|process| process.pid).collect();
    let mut killed = live(&site, "killed");
    wait_until("the first heartbeat", || value(&site, "killed", "pid").is_i64());
    let processes: Vec<i32> =
        site.processes().iter().map(|process| process.pid).filter(|pid| !before.contains(pid)).collect();
    for signal in ["STOP", "KILL"] {
        for pid in &processes {
            kill(*pid, signal);
        }
    }
    killed.end();
    wait_until("the end of the killed run", || value(&site, "killed", "status") == "failed");
    let message = value(&site, "killed", "error_message");
    assert!(message.as_str().is_some_and(|message| message.contains("its journal has no end")), "{message}");
    living.close_stdin();
    assert!(living.end().success());
    site.quiet();
    assert_eq!(site.run_directories().len(), 0);
}

/// A look at other runs must never delay the end of the keeper's own run.
// Holds: failures/heal-hangs
#[test]
fn look_that_waits_for_a_lock_delays_no_end() {
    let lost = Site::postgres();
    let site = Site::with_url(lost.url());
    let mut vanished = live(&lost, "lost");
    wait_until("the first heartbeat", || value(&lost, "lost", "pid").is_i64());
    lost.lose();
    vanished.end();
    // An application holds the rows that the look would change.
    let lock = "BEGIN; SELECT FROM runwrap_runs FOR UPDATE; SELECT pg_sleep(60)";
    let mut holder = std::process::Command::new("psql");
    let mut holder = start(holder.args(["-XqAt", lost.url(), "-c", lock]).stdout(Stdio::null()));
    let held = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND wait_event = 'PgSleep'";
    wait_until("the lock", || lost.sql(held).trim() == "1");
    let mut running = live(&site, "living");
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'runwrap'";
    wait_until("the look waits", || lost.sql(waits).trim() != "0");
    let began = Instant::now();
    running.close_stdin();
    assert!(running.end().success());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(value(&site, "living", "status"), "completed");
    kill(holder.pid(), "KILL");
    holder.end();
}
