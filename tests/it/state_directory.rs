//! Unusual state directories: of another user, with planted links, with journals of a newer runwrap, on a full disk. runwrap
//! follows no link, changes no foreign file, and records the run.

use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use runwrap::sys::lock::try_lock;
use serde_json::json;

use crate::support::postgres::{is_root, server_user};
use crate::support::procfs;
use crate::support::site::{Site, kill, output, start};
use crate::support::skipped;
use crate::support::tmpfs::SmallDisk;
use crate::support::wait::wait_until;

/// Asserts that a run is recorded and its trainer undisturbed. Returns runwrap's messages.
#[track_caller]
fn recorded(site: &Site) -> String {
    let output = site.run(&[], "echo '{\"metrics\": {\"a\": 1}}' >> $RUNWRAP_REPORT; echo ran; exit 3");
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(3), &b"ran\n"[..]));
    let record = site.record();
    assert_eq!((&record["exit_code"], &record["train_metrics"]), (&json!(3), &json!({"a": 1})));
    String::from_utf8(output.stderr).unwrap()
}

fn names(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

// Holds: failures/state-foreign
#[test]
fn state_directory_of_another_user_is_not_used() {
    let site = Site::sqlite();
    let state_dir = if is_root() {
        let state_dir = site.state_dir();
        fs::create_dir_all(&state_dir).unwrap();
        assert!(Command::new("chown").arg(server_user()).arg(&state_dir).status().unwrap().success());
        state_dir
    } else {
        PathBuf::from("/var")
    };
    let before = names(&state_dir);
    let output = site.run(&["--state-dir", state_dir.to_str().unwrap()], "exit 3");
    let messages = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(messages.matches("belongs to user").count(), 1, "{messages}");
    assert_eq!(site.record()["exit_code"], 3);
    let made: Vec<PathBuf> = names(&state_dir).into_iter().filter(|path| !before.contains(path)).collect();
    assert!(made.iter().all(|path| path.ends_with("runwrap.log")), "{made:?}");
}

/// A run whose paths were not UTF-8 once had no keeper: its configuration was sent as text.
#[test]
fn paths_that_are_not_utf8_work() {
    let name = |text: &[u8]| std::ffi::OsStr::from_bytes(text).to_owned();
    for variable in ["RUNWRAP_STATE_DIR", "RUNWRAP_LOG_FILE", "XDG_DATA_HOME", "XDG_STATE_HOME", "HOME"] {
        let site = Site::sqlite();
        let path = site.path().join(name(b"caf\xe9"));
        let with = |mut command: Command| {
            command.env(variable, &path).env_remove("RUNWRAP_DATABASE_URL");
            command
        };
        let mut running = start(with(site.shell(&[], "echo ready; exec sleep 60")).stdout(Stdio::piped()));
        assert_eq!(running.line(), "ready");
        running.signal("KILL");
        site.quiet();
        let list = output(&mut with(site.runwrap(&["list", "--json"])));
        let printed = String::from_utf8(list.stdout).unwrap();
        assert!(printed.contains("supervisor_killed"), "{variable}: {printed}");
    }
}

// Holds: failures/state-open
#[test]
fn state_directory_writable_by_others_is_not_used() {
    let site = Site::sqlite();
    fs::create_dir_all(site.state_dir()).unwrap();
    fs::set_permissions(site.state_dir(), Permissions::from_mode(0o777)).unwrap();
    let messages = recorded(&site);
    assert_eq!(messages.matches("may be written by others (chmod go-w").count(), 1, "{messages}");
    assert!(!site.state_dir().join("runs").exists());
}

/// Kubernetes adds the right of the group to all of a volume at each mount: the second pod refused the directory of the first.
// Holds: failures/state-group
#[test]
fn state_directory_of_a_remounted_volume_is_used() {
    let site = Site::sqlite();
    let mut running = start(site.shell(&[], "echo ready; exec sleep 60").stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    site.lose();
    running.end();
    let chmod = site.program("chmod").args(["-R", "g+rwX", ".local/state/runwrap"]).status();
    assert!(chmod.unwrap().success());
    let check = output(&mut site.runwrap(&["check", "--json"]));
    assert_eq!(check.status.code(), Some(1), "{}", String::from_utf8_lossy(&check.stderr));
    // The next pod records its own run, and delivers the journal of the first.
    assert_eq!(site.run(&[], "exit 3").stderr, b"");
    site.quiet();
    let reasons: Vec<_> = site.records().iter().map(|record| record["reason"].clone()).collect();
    assert_eq!(reasons, [json!("exit"), json!("lost")]);
    for directory in [site.state_dir(), site.state_dir().join("runs")] {
        assert_eq!(fs::metadata(directory).unwrap().permissions().mode() & 0o077, 0);
    }
}

/// A file that another user planted while the directory was open is not read.
#[test]
fn journal_of_another_user_is_not_delivered() {
    if !is_root() {
        return skipped("only root can give a file away");
    }
    let site = Site::sqlite();
    let mut running = start(site.shell(&[], "echo ready; exec sleep 60").stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    site.lose();
    running.end();
    let journal = site.run_directories()[0].join("journal-1.jsonl");
    assert!(Command::new("chown").arg(server_user()).arg(&journal).status().unwrap().success());
    let recover = output(&mut site.runwrap(&["recover"]));
    let messages = String::from_utf8_lossy(&recover.stderr).into_owned();
    assert!(!recover.status.success() && messages.contains("belongs to user"), "{messages}");
    assert_eq!(site.record()["status"], "training");
}

// Holds: failures/state-link
#[test]
fn link_in_place_of_the_runs_is_not_followed() {
    let site = Site::sqlite();
    let target = site.path().join("target");
    fs::create_dir(&target).unwrap();
    fs::create_dir_all(site.state_dir()).unwrap();
    symlink(&target, site.state_dir().join("runs")).unwrap();
    let messages = recorded(&site);
    assert_eq!(messages.matches("cannot keep a journal").count(), 1, "{messages}");
    assert_eq!(names(&target), Vec::<PathBuf>::new());
}

// Holds: failures/state-link
#[test]
fn link_in_place_of_the_log_is_not_followed() {
    let site = Site::sqlite();
    let target = site.path().join("target");
    fs::write(&target, "mine\n").unwrap();
    fs::create_dir_all(site.state_dir()).unwrap();
    symlink(&target, site.state_dir().join("runwrap.log")).unwrap();
    recorded(&site);
    assert_eq!(fs::read_to_string(&target).unwrap(), "mine\n");
    assert!(site.run_directories().is_empty());
}

/// Kills all processes of a run after its `begin`. Returns its directory.
fn dead_run(site: &Site) -> PathBuf {
    let mut command = site.shell(&["--name", "dead"], "exit 0");
    command.env("RUNWRAP_FAILPOINTS", "journal-begun=stop").stderr(Stdio::null());
    let mut supervisor = start(&mut command);
    let keeper = site.keeper_after(None);
    let stopped = || procfs::state(supervisor.pid()) == Some('T');
    wait_until("the supervisor has published the run", stopped);
    kill(keeper, "KILL");
    supervisor.signal("KILL");
    supervisor.end();
    site.quiet();
    site.run_directories().into_iter().max().unwrap()
}

/// The kernel may free the locks of a killed process late. A later run once saw such a lock as held, took the dead run for alive,
/// and left its journal, since no process scanned again.
// Holds: failures/locks-late
#[test]
fn locks_freed_after_the_first_scan_are_seen_at_the_end() {
    let site = Site::sqlite();
    let dead = dead_run(&site);
    let unborn = dead.with_file_name(".01900000-0000-7000-8000-000000000000");
    fs::create_dir(&unborn).unwrap();
    fs::write(unborn.join("lock"), "").unwrap();
    assert!(Command::new("touch").args(["-d", "1 hour ago"]).arg(&unborn).status().unwrap().success());
    let held = [&dead, &unborn].map(|path| {
        let lock = fs::OpenOptions::new().read(true).write(true).open(path.join("lock")).unwrap();
        assert!(try_lock(&lock, &(0..2)).unwrap());
        lock
    });
    let mut command = site.shell(&["--name", "later", "--heartbeat", "200ms"], "read -r line");
    let mut later = start(command.stdin(Stdio::piped()));
    wait_until("the first heartbeat, after the scan", || site.log().matches("event=attempt_done").count() >= 2);
    assert!(dead.exists() && unborn.exists());
    drop(held);
    later.close_stdin();
    later.end();
    wait_until("delivery", || site.run_directories().is_empty());
    site.quiet();
    assert_eq!(site.records().len(), 2);
}

// Holds: failures/journal-link
#[test]
fn link_among_the_runs_is_left_and_stops_no_other_run() {
    let site = Site::sqlite();
    let dead = dead_run(&site);
    let target = site.path().join("target");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("journal-1.jsonl"), "mine\n").unwrap();
    fs::write(target.join("lock"), "").unwrap();
    symlink(&target, dead.with_file_name("01900000-0000-7000-8000-000000000000")).unwrap();
    let recovered = output(&mut site.runwrap(&["recover", "--json"]));
    assert_eq!(recovered.status.code(), Some(125), "{recovered:?}");
    assert_eq!(site.record()["reason"], "lost");
    assert!(!dead.exists());
    assert_eq!(fs::read_to_string(target.join("journal-1.jsonl")).unwrap(), "mine\n");
    assert_eq!(names(&target).len(), 2);
}

// Holds: failures/journal-link
#[test]
fn link_in_place_of_a_journal_is_not_followed() {
    let site = Site::sqlite();
    let dead = dead_run(&site);
    let target = site.path().join("target");
    fs::rename(dead.join("journal-1.jsonl"), &target).unwrap();
    let before = fs::read(&target).unwrap();
    symlink(&target, dead.join("journal-1.jsonl")).unwrap();
    let recovered = output(&mut site.runwrap(&["recover", "--json"]));
    assert_eq!(recovered.status.code(), Some(125), "{recovered:?}");
    assert!(site.records().is_empty());
    assert!(dead.exists());
    assert_eq!(fs::read(&target).unwrap(), before);
}

// Holds: failures/journal-newer
#[test]
fn journal_of_a_newer_format_is_left_and_stops_no_other_run() {
    let site = Site::sqlite();
    let newer = dead_run(&site);
    let journal = newer.join("journal-1.jsonl");
    let mut line = b"{\"format\":999,\"unknown\":\"value\"".to_vec();
    let crc = crc32fast::hash(&line);
    line.extend(format!(",\"crc\":\"{crc:08x}\"}}\n").into_bytes());
    fs::write(&journal, &line).unwrap();
    let dead = dead_run(&site);
    assert!(site.run(&["--name", "later"], "exit 3").stderr.is_empty());
    wait_until("the other was delivered", || site.run_directories() == [newer.clone()]);
    site.quiet();
    let recovered = output(&mut site.runwrap(&["recover", "--json"]));
    assert_eq!((recovered.status.code(), &recovered.stdout[..]), (Some(0), &b"[]\n"[..]));
    assert_eq!(fs::read(&journal).unwrap(), line);
    assert!(!dead.exists() && !site.state_dir().join("quarantine").exists());
    let log = site.log();
    assert!(log.contains("newer runwrap (journal format 999"), "{log}");
    assert_eq!(site.records().len(), 2);
}

// Holds: failures/journal-disk-full
#[test]
fn full_disk_under_the_journal_costs_one_warning() {
    let site = Site::sqlite();
    let Some(disk) = SmallDisk::mount(&site.state_dir()) else { return };
    disk.fill();
    let output = site.run(&[], "echo ran; exit 3");
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(3), &b"ran\n"[..]));
    let messages = String::from_utf8(output.stderr).unwrap();
    assert_eq!(messages.matches("cannot keep").count(), 1, "{messages}");
    assert_eq!(site.record()["exit_code"], 3);
}

// Holds: failures/journal-disk-full
#[test]
fn disk_that_fills_up_during_the_run_loses_nothing() {
    let site = Site::sqlite();
    let Some(disk) = SmallDisk::mount(&site.state_dir()) else { return };
    // The trainer's last report does not fit any more.
    let script = format!("{}; head -c 4000 /dev/zero | tr '\\0' x >&2; echo >&2; exit 3", disk.fill_command());
    let log = site.path().join("stderr");
    let mut command = site.shell(&[], &script);
    let status = command.stderr(fs::File::create(&log).unwrap()).status().unwrap();
    assert_eq!(status.code(), Some(3));
    let record = site.record();
    assert_eq!((&record["reason"], &record["exit_code"]), (&json!("exit"), &json!(3)));
    assert!(record["error_message"].as_str().unwrap().contains("xxxx"), "{record:?}");
    assert!(fs::read_to_string(&log).unwrap().contains("cannot keep the journal on disk"));
}

// Holds: failures/database-disk-full
#[test]
fn record_is_written_once_the_database_disk_has_room() {
    let site = Site::sqlite();
    let place = site.path().join("database");
    let Some(disk) = SmallDisk::mount(&place) else { return };
    let url = format!("sqlite:{}", place.join("runs.db").display());
    disk.fill();
    let mut command = site.shell(&["--start-timeout", "100ms", "--finish-timeout", "100ms"], "echo ran; exit 3");
    let ran = output(command.env("RUNWRAP_DATABASE_URL", &url));
    assert_eq!((ran.status.code(), &ran.stdout[..]), (Some(3), &b"ran\n"[..]));
    assert_eq!(site.run_directories().len(), 1);
    disk.make_room();
    wait_until("delivery", || site.run_directories().is_empty());
    let listed = output(site.runwrap(&["list", "--json"]).env("RUNWRAP_DATABASE_URL", &url));
    let records: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!((records.as_array().unwrap().len(), &records[0]["exit_code"]), (1, &json!(3)));
    site.quiet();
}
