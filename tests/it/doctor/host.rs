//! `doctor` on hosts: a state directory that keeps no journal, journals that wait, and small limits.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{assert_fails, detail, doctor, examined, failures, of_state};
use crate::support::building::compile;
use crate::support::postgres::is_root;
use crate::support::site::{Site, output, start};
use crate::support::skipped;
use crate::support::tmpfs::SmallDisk;

/// A user that has no other process, so that `ulimit -u` counts only those of the test.
const USER: u32 = 54_397;

#[test]
fn state_directory_that_others_may_write_is_a_failure() {
    let site = Site::sqlite();
    fs::create_dir_all(site.state_dir()).unwrap();
    fs::set_permissions(site.state_dir(), Permissions::from_mode(0o777)).unwrap();
    let (status, lines) = doctor(&site, &[]);
    assert_eq!(status, 1);
    assert_fails(&lines, &["state-directory: ", "chmod go-w"]);
    fs::remove_dir(site.state_dir()).unwrap();
    fs::write(site.state_dir(), "a file").unwrap();
    let (status, lines) = doctor(&site, &[]);
    assert_eq!(status, 1);
    assert_fails(&lines, &["state-directory: ", "ot a directory"]);
}

#[test]
fn full_or_read_only_state_directory_is_a_failure() {
    let site = Site::sqlite();
    let Some(disk) = SmallDisk::mount(&site.state_dir()) else { return };
    let (status, lines) = doctor(&site, &[]);
    // It has 256 KiB.
    assert_eq!(status, 1);
    assert_fails(&lines, &["state-directory: ", "KiB", "free for journals, on tmpfs"]);
    assert!(of_state(&lines, "warning").iter().any(|line| line.contains("a reboot loses")), "{lines:#?}");
    disk.fill();
    let (_, lines) = doctor(&site, &[]);
    assert!(
        failures(&lines).iter().any(|line| line.contains("no journal can be written: No space left")),
        "{lines:#?}"
    );
    disk.make_room();
    let remount = Command::new("mount").args(["-o", "remount,ro"]).arg(site.state_dir()).status();
    assert!(remount.unwrap().success());
    let (status, lines) = doctor(&site, &[]);
    assert_eq!(status, 1);
    assert_fails(&lines, &["state-directory: ", "Read-only file system"]);
}

#[test]
fn file_system_without_locks_is_a_failure() {
    let (_kept, refuse) = compile("run/refuse.c", &[]);
    let site = Site::postgres();
    let mut command = site.program(&refuse);
    let errno = libc::ENOLCK.to_string();
    command.args(["all-locks", &errno, env!("CARGO_BIN_EXE_runwrap"), "doctor", "--json"]);
    let (status, lines) = examined(&output(&mut command));
    assert_eq!(status, 1);
    assert_fails(&lines, &["locks: ", "supports no locks"]);
    assert_eq!(fs::read_dir(site.path()).unwrap().count(), 0);
}

/// The file `stalled` is never removed: the disk does not answer before `doctor` has ended.
#[test]
fn disk_that_stalls_is_a_failure_within_start_timeout() {
    let (_kept, library) = compile("run/stalling.c", &["-shared", "-fPIC", "-ldl"]);
    let site = Site::sqlite();
    let stalled = site.path().join("stalled");
    fs::File::create(&stalled).unwrap();
    let mut command = site.runwrap(&["doctor", "--json", "--start-timeout", "300ms"]);
    command.env("LD_PRELOAD", &library).env("DISK", site.path()).env("STALLED", &stalled);
    let began = Instant::now();
    let (status, lines) = examined(&output(&mut command));
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(status, 1);
    assert_fails(&lines, &["state-directory: ", "did not answer within 300ms"]);
    assert_eq!(fs::read_dir(site.path()).unwrap().count(), 1);
}

#[test]
fn waiting_journal_is_a_warning_and_a_damaged_one_a_failure() {
    let site = Site::sqlite();
    let mut running = start(site.shell(&[], "echo ready; exec sleep 60").stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    site.lose();
    running.end();
    let (status, lines) = doctor(&site, &[]);
    assert_eq!((status, failures(&lines)), (0, Vec::new()));
    assert!(detail(&lines, "journals").contains("waits for its delivery"), "{lines:#?}");
    let (_, lines) = doctor(&site, &["--database-url", "sqlite:other.db"]);
    assert!(detail(&lines, "journals").contains("is meant for another database"), "{lines:#?}");
    fs::write(site.run_directories()[0].join("journal-1.jsonl"), "nonsense\n").unwrap();
    let (status, lines) = doctor(&site, &[]);
    assert_eq!(status, 1);
    assert_fails(&lines, &["journals: ", "is damaged"]);
}

#[test]
fn small_limits_are_failures() {
    for (limit, part) in [("-f 8", "a file may have "), ("-n 14", "more files may be open")] {
        let site = Site::postgres();
        let mut command = site.program("bash");
        let script = format!("ulimit {limit} && exec \"$@\"");
        command.args(["-c", &script, "bash", env!("CARGO_BIN_EXE_runwrap"), "doctor", "--json"]);
        let (status, lines) = examined(&output(&mut command));
        assert_eq!(status, 1, "{limit}");
        let found = failures(&lines);
        assert!(found.iter().any(|line| line.starts_with("limits: ") && line.contains(part)), "{limit}: {found:#?}");
    }
}

/// A run of this user needs seven processes and threads besides runwrap itself.
#[test]
fn limit_of_processes_fails_where_a_run_has_no_keeper() {
    if !is_root() {
        return skipped("only root can become a user without other processes");
    }
    for (number, fails) in [(1, true), (4, true), (8, false)] {
        let site = Site::sqlite();
        assert!(Command::new("chown").arg(USER.to_string()).arg(site.path()).status().unwrap().success());
        let binary = site.path().join("runwrap");
        fs::copy(env!("CARGO_BIN_EXE_runwrap"), &binary).unwrap();
        let mut command = site.program("setpriv");
        command.args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--clear-groups", "bash", "-c"]);
        command.args([&format!("ulimit -u {number} && exec \"$@\""), "bash"]).arg(&binary).args(["doctor", "--json"]);
        let (_, lines) = examined(&output(&mut command));
        let found = failures(&lines);
        let is_named = found.iter().any(|line| line.starts_with("limits: ") && line.contains("processes and threads"));
        assert_eq!(is_named, fails, "{number}: {lines:#?}");
        assert!(fails || found.is_empty(), "{found:#?}");
    }
}
