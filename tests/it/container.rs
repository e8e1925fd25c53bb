//! runwrap as the first process of a real container, with the state directory on a volume that outlives it.

use serde_json::{Value, json};

use crate::support::container::Container;
use crate::support::site::{Site, output};
use crate::support::wait::wait_until;

/// Prints a line when it runs and at each SIGTERM, which it survives.
const STUBBORN: &str = "trap 'echo asked' TERM; echo ready; while :; do sleep 0.02; done";

/// Prints a line when it runs, and exits at SIGTERM.
const OBEDIENT: &str = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.02; done";

/// The end in the record.
fn end(record: &serde_json::Map<String, Value>) -> [&Value; 4] {
    ["status", "reason", "stop_signal", "presumed"].map(|key| &record[key])
}

// Holds: failures/container-exit
#[test]
fn container_exits_as_its_command() {
    let site = Site::sqlite();
    let Some(container) = Container::of(&site, "(sleep 1000 >/dev/null 2>&1 &); echo out; echo err >&2; exit 7") else {
        return;
    };
    let ended = container.run();
    assert_eq!((ended.status.code(), &ended.stdout[..], &ended.stderr[..]), (Some(7), &b"out\n"[..], &b"err\n"[..]));
    assert_eq!(end(&site.record()), [&json!("failed"), &json!("exit"), &json!(null), &json!(false)]);
    for (script, code) in [("exit 0", 0), ("exit 255", 255), ("kill -9 $$", 137), ("kill -15 $$", 143)] {
        assert_eq!(Container::of(&site, script).unwrap().run().status.code(), Some(code), "{script}");
    }
    let reasons: Vec<Value> = site.records().iter().map(|record| record["reason"].clone()).collect();
    assert_eq!(json!(reasons), json!(["signal", "signal", "exit", "success", "exit"]));
    site.quiet();
}

// Holds: failures/container-stop
#[test]
fn container_stop_is_relayed_and_recorded_as_cancelled() {
    let site = Site::sqlite();
    let Some(container) = Container::of(&site, "echo ready; exec sleep 1000") else { return };
    let mut running = container.start();
    assert_eq!(running.line(), "ready");
    container.signal("TERM");
    assert_eq!(running.end().code(), Some(143));
    let record = site.record();
    assert_eq!(end(&record), [&json!("failed"), &json!("cancelled"), &json!("SIGTERM"), &json!(false)]);
    assert_eq!(record["signal"], "SIGTERM");
    site.quiet();
}

/// An engine stops a container by SIGTERM, a grace period, and SIGKILL to all that is left. The record keeps the stop request.
// Holds: failures/container-grace
#[test]
fn next_container_records_one_killed_after_its_grace() {
    let site = Site::sqlite();
    let Some(container) = Container::of(&site, STUBBORN) else { return };
    let mut running = container.start();
    assert_eq!(running.line(), "ready");
    container.signal("TERM");
    assert_eq!(running.line(), "asked");
    container.signal("KILL");
    assert_eq!(running.end().code(), Some(137));
    site.quiet();
    assert_eq!(end(&site.record())[0], "training", "no process was left to write its end");
    let next = Container::of(&site, OBEDIENT).unwrap();
    let mut running = next.start();
    assert_eq!(running.line(), "ready");
    wait_until("the next run has recorded it", || site.records()[1]["status"] != "training");
    let records = site.records();
    assert_eq!((records.len(), &records[0]["status"]), (2, &json!("training")));
    assert_eq!(end(&records[1])[..3], [&json!("failed"), &json!("lost"), &json!("SIGTERM")], "{:?}", records[1]);
    next.signal("TERM");
    assert_eq!(running.end().code(), Some(0));
    assert_eq!(site.run_directories(), Vec::<std::path::PathBuf>::new());
}

// Holds: failures/container-sigkill
#[test]
fn recover_outside_records_a_killed_container() {
    let site = Site::sqlite();
    let Some(container) = Container::of(&site, STUBBORN) else { return };
    let mut running = container.start();
    assert_eq!(running.line(), "ready");
    container.kill_all();
    assert_eq!(running.end().code(), Some(137));
    site.quiet();
    let recovered = output(&mut site.runwrap(&["recover", "--json"]));
    assert!(recovered.status.success(), "{recovered:?}");
    let record = site.record();
    assert_eq!(end(&record)[..3], [&json!("failed"), &json!("lost"), &json!(null)], "{record:?}");
    assert!(record["train_end_time"].is_string() && record["train_duration"].is_number(), "{record:?}");
    assert_eq!(output(&mut site.runwrap(&["recover", "--json"])).stdout, b"[]\n", "once");
    assert_eq!(output(&mut site.runwrap(&["check", "--json"])).stdout, b"[]\n");
    assert_eq!(site.run_directories(), Vec::<std::path::PathBuf>::new());
}

/// A keeper that would linger ends with its container.
// Holds: failures/container-no-database
#[test]
fn recover_outside_delivers_for_a_container_without_database() {
    let site = Site::postgres();
    // The socket of the server is not in the container.
    let options = ["--start-timeout", "50ms", "--finish-timeout", "50ms"];
    let Some(container) = Container::with(&site, &options, "exit 3", &json!({})) else { return };
    assert_eq!(container.run().status.code(), Some(3));
    site.quiet();
    assert_eq!(site.run_directories().len(), 1);
    assert!(output(&mut site.runwrap(&["recover"])).status.success());
    assert_eq!(end(&site.record()), [&json!("failed"), &json!("exit"), &json!(null), &json!(false)]);
    assert_eq!(site.run_directories(), Vec::<std::path::PathBuf>::new());
}

/// All processes of a container end with its first one: a run that was over at once ended the delivery of an earlier run's
/// journal.
// Holds: failures/container-sigkill
#[test]
fn short_run_delivers_what_a_killed_container_left() {
    let site = Site::sqlite();
    let Some(container) = Container::of(&site, STUBBORN) else { return };
    let mut running = container.start();
    assert_eq!(running.line(), "ready");
    container.kill_all();
    running.end();
    site.quiet();
    assert_eq!(Container::of(&site, "exit 0").unwrap().run().status.code(), Some(0));
    let reasons: Vec<Value> = site.records().iter().map(|record| record["reason"].clone()).collect();
    assert_eq!(json!(reasons), json!(["success", "lost"]));
    assert_eq!(site.run_directories(), Vec::<std::path::PathBuf>::new());
}

/// Inside, both runs have the same process ids; only the kernel's lock distinguishes a live run from a dead one.
// Holds: failures/container-shared-volume
#[test]
fn live_run_in_another_container_is_left_alone() {
    let site = Site::sqlite();
    let Some(container) = Container::of(&site, OBEDIENT) else { return };
    let mut running = container.start();
    assert_eq!(running.line(), "ready");
    assert_eq!(Container::of(&site, "exit 3").unwrap().run().status.code(), Some(3));
    assert_eq!(output(&mut site.runwrap(&["recover", "--json"])).stdout, b"[]\n");
    let records = site.records();
    assert_eq!((&records[0]["status"], &records[1]["status"]), (&json!("failed"), &json!("training")));
    container.signal("TERM");
    assert_eq!(running.end().code(), Some(0));
    assert_eq!(site.records()[1]["status"], "completed");
}

// Holds: failures/container-oom
#[test]
fn oom_kill_by_the_container_s_limit_is_recorded_as_oom() {
    let site = Site::sqlite();
    let memory = json!({"memory": {"limit": 50 << 20}});
    // `tail` keeps the whole endless line in memory; `ulimit` protects a machine without the limit.
    let Some(container) = Container::with(&site, &[], "ulimit -v 1000000; exec tail /dev/zero", &memory) else {
        return;
    };
    assert_eq!(container.run().status.code(), Some(137));
    let record = site.record();
    assert_eq!((&record["reason"], &record["signal"]), (&json!("oom"), &json!("SIGKILL")), "{record:?}");
    site.quiet();
}
