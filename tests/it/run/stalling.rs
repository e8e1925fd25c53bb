//! A disk under the state directory whose syncs stall or fail: it delays no signal, no start and no exit beyond its limit, and
//! the record arrives once the disk answers.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::building::compile;
use crate::support::procfs;
use crate::support::site::{Site, output, start};
use crate::support::wait::wait_until;

/// Far below the time for which the disk stalls, which is until the test ends that.
const SOON: Duration = Duration::from_secs(3);

const LIMITS: [&str; 4] = ["--start-timeout", "300ms", "--finish-timeout", "300ms"];

/// A site on a disk of its own.
struct Disk {
    site: Site,
}

impl Disk {
    fn new() -> Self {
        let site = Site::sqlite();
        assert!(output(&mut site.runwrap(&["migrate"])).status.success());
        Self { site }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.site.path().join(name)
    }

    fn stall(&self) {
        File::create(self.path("stalled")).unwrap();
    }

    fn answer(&self) {
        fs::remove_file(self.path("stalled")).unwrap();
    }

    /// `runwrap OPTIONS -- sh -c SCRIPT` on the disk.
    fn shell(&self, options: &[&str], script: &str) -> Command {
        static BUILT: OnceLock<(tempfile::TempDir, String)> = OnceLock::new();
        let (_kept, library) = BUILT.get_or_init(|| compile("run/stalling.c", &["-shared", "-fPIC", "-ldl"]));
        let mut command = self.site.shell(options, script);
        command.env("LD_PRELOAD", library).env("DISK", self.site.state_dir());
        command
            .env("STALLED", self.path("stalled"))
            .env("FAILING", self.path("failing"))
            .env("SYNCS", self.path("syncs"));
        command.stdout(Stdio::piped());
        command
    }

    /// The last part of each path that was synced.
    fn syncs(&self) -> Vec<String> {
        let lines = fs::read_to_string(self.path("syncs")).unwrap_or_default();
        lines.lines().map(|line| line.rsplit('/').next().unwrap().to_owned()).collect()
    }
}

/// Three syncs in a row delayed the start, and each further one the signal or the exit.
// Holds: failures/journal-disk-stalls
#[test]
fn stalled_disk_delays_neither_start_nor_signal_nor_exit() {
    let disk = Disk::new();
    disk.stall();
    let begun = Instant::now();
    let script = "trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.01; done";
    let mut running = start(&mut disk.shell(&LIMITS, script));
    assert_eq!(running.line(), "ready");
    running.signal("TERM");
    assert_eq!(running.line(), "got");
    assert_eq!(running.end().code(), Some(3));
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    // No event is in the database before it is synced.
    assert_eq!((disk.site.records().len(), disk.site.run_directories().len()), (0, 1));
    disk.answer();
    let record = disk.site.record_that_is("failed");
    assert_eq!(
        (&record["reason"], &record["stop_signal"], &record["exit_code"]),
        (&json!("cancelled"), &json!("SIGTERM"), &json!(3))
    );
    disk.site.quiet();
    assert!(disk.site.run_directories().is_empty());
}

/// `--timeout 1s` ended after eleven.
// Holds: failures/journal-disk-stalls
#[test]
fn stalled_disk_delays_no_timeout() {
    let disk = Disk::new();
    let options = [&LIMITS[..], &["--timeout", "300ms", "--kill-after", "300ms"]].concat();
    let mut running = start(&mut disk.shell(&options, "trap '' TERM; echo ready; while :; do sleep 0.01; done"));
    assert_eq!(running.line(), "ready");
    disk.stall();
    let stalled = Instant::now();
    assert_eq!(running.end().code(), Some(124));
    assert!(stalled.elapsed() < SOON, "{:?}", stalled.elapsed());
    disk.answer();
    assert_eq!(disk.site.record_that_is("failed")["reason"], "timeout");
    disk.site.quiet();
}

/// The keeper waits for the disk beside its other work.
// Holds: failures/journal-disk-stalls
#[test]
fn heartbeats_go_on_while_the_disk_stalls() {
    let disk = Disk::new();
    let script = "trap '' TERM; echo ready; read -r line; exit 3";
    let mut command = disk.shell(&["--heartbeat", "100ms"], script);
    let mut running = start(command.stdin(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    let heartbeat = || disk.site.record()["heartbeat_at"].clone();
    wait_until("the pid, by the first heartbeat", || !disk.site.record()["pid"].is_null());
    disk.stall();
    running.signal("TERM");
    wait_until("the request", || disk.site.log().contains("event=signal"));
    for _ in 0..3 {
        let before = heartbeat();
        wait_until("a heartbeat", || heartbeat() != before);
    }
    assert!(disk.site.record()["stop_signal"].is_null());
    disk.answer();
    wait_until("the request in the record", || disk.site.record()["stop_signal"] == "SIGTERM");
    running.close_stdin();
    assert_eq!(running.end().code(), Some(3));
    disk.site.quiet();
}

/// The keeper stops the remaining processes at once and writes the end; it delivers that once the disk answers.
// Holds: failures/journal-disk-stalls
#[test]
fn takeover_during_a_stall_stops_the_run_at_once() {
    let disk = Disk::new();
    let script = "trap '' TERM; setsid sleep 600 & echo $!; wait; sleep 600";
    let mut running = start(&mut disk.shell(&[], script));
    let left: i32 = running.line().parse().unwrap();
    wait_until("the beginning", || disk.site.records().len() == 1);
    disk.stall();
    running.signal("TERM");
    wait_until("the request", || disk.site.log().contains("event=signal"));
    let killed = Instant::now();
    running.signal("KILL");
    running.end();
    wait_until("the process that was left has ended", || matches!(procfs::state(left), None | Some('Z')));
    assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
    assert_eq!(disk.site.record()["status"], "training");
    disk.answer();
    let record = disk.site.record_that_is("failed");
    assert_eq!((&record["reason"], &record["stop_signal"]), (&json!("supervisor_killed"), &json!("SIGTERM")));
    disk.site.quiet();
}

/// A keeper without its supervisor waits for the disk no longer than it lingers; the journal stays.
// Holds: failures/journal-disk-stalls
#[test]
fn lone_keeper_gives_up_on_a_stalled_disk() {
    let disk = Disk::new();
    let mut running =
        start(&mut disk.shell(&[&LIMITS[..], &["--linger", "200ms"]].concat(), "echo ready; read -r line"));
    assert_eq!(running.line(), "ready");
    running.end();
    disk.stall();
    let mut running = start(&mut disk.shell(&[&LIMITS[..], &["--linger", "200ms"]].concat(), "exit 3"));
    assert_eq!(running.end().code(), Some(3));
    disk.site.quiet();
    assert_eq!(disk.site.run_directories().len(), 1);
    disk.answer();
    assert!(output(&mut disk.site.runwrap(&["recover"])).status.success());
    assert_eq!(disk.site.records()[0]["exit_code"], 3);
}

/// The supervisor syncs and delivers the end itself, on a thread.
// Holds: failures/journal-disk-stalls
#[test]
fn stalled_disk_without_a_keeper_delays_no_exit() {
    let disk = Disk::new();
    disk.stall();
    let begun = Instant::now();
    let mut command = disk.shell(&LIMITS, "exit 3");
    let mut running = start(command.env("RUNWRAP_FAILPOINTS", "keeper-start=error").stderr(Stdio::piped()));
    assert_eq!(running.end().code(), Some(3));
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let messages = running.errors();
    assert!(messages.contains("run `runwrap recover` to deliver it"), "{messages}");
    assert_eq!(disk.site.records().len(), 0);
    disk.answer();
    assert!(output(&mut disk.site.runwrap(&["recover"])).status.success());
    assert_eq!(disk.site.record()["exit_code"], 3);
}

/// The supervisor only writes.
// Holds: failures/journal-disk-error
#[test]
fn failed_sync_moves_the_journal_to_a_new_file_and_is_not_repeated() {
    let disk = Disk::new();
    let script = "trap '' TERM; echo ready; read -r line; exit 3";
    let mut running = start(disk.shell(&[], script).stdin(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    wait_until("the beginning", || disk.syncs().len() >= 3);
    wait_until("the start", || !disk.site.record()["pid"].is_null());
    File::create(disk.path("failing")).unwrap();
    let before = disk.syncs().len();
    running.signal("TERM");
    wait_until("the record has the request", || disk.site.record()["stop_signal"] == "SIGTERM");
    running.close_stdin();
    assert_eq!(running.end().code(), Some(3));
    assert_eq!(disk.site.record()["exit_code"], 3);
    let after = &disk.syncs()[before..];
    assert_eq!(after.iter().filter(|name| *name == "journal-1.jsonl").count(), 1, "{after:?}");
    assert!(after.iter().any(|name| name == "journal-2.jsonl"), "{after:?}");
    assert!(disk.site.log().contains("event=journal_moved"));
    disk.site.quiet();
}
