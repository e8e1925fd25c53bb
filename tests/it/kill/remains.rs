//! Run directories without a journal: the run died while the directory was being made or removed. There is nothing to deliver,
//! and the next run removes it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::procfs;
use crate::support::site::{Running, Site, output, start};
use crate::support::wait::wait_until;

fn make_old(path: &Path) {
    assert!(Command::new("touch").args(["-d", "1 hour ago"]).arg(path).status().unwrap().success());
}

/// Directories without a journal. `young` may still be in the making.
struct Remains {
    runs: PathBuf,
    young: PathBuf,
}

impl Remains {
    fn of(site: &Site) -> Self {
        let runs = site.state_dir().join("runs");
        assert!(site.run(&[], "true").status.success());
        let young = runs.join(".01900000-0000-7000-8000-000000000004");
        let remains = Self { runs, young };
        remains.directory("01900000-0000-7000-8000-000000000001", &[]);
        make_old(&remains.directory(".01900000-0000-7000-8000-000000000002", &[]));
        let files = ["lock", "report.jsonl", "journal-1.jsonl"];
        make_old(&remains.directory(".01900000-0000-7000-8000-000000000003", &files));
        remains.directory(".01900000-0000-7000-8000-000000000004", &["lock"]);
        remains
    }

    fn directory(&self, name: &str, files: &[&str]) -> PathBuf {
        let path = self.runs.join(name);
        fs::create_dir(&path).unwrap();
        for file in files {
            fs::write(path.join(file), "").unwrap();
        }
        path
    }
}

/// A run that was killed between making and publishing its directory, or between removing its lock and its directory, left the
/// directory for ever.
// Holds: failures/kill-remains
#[test]
fn next_run_removes_directories_without_a_journal() {
    let site = Site::sqlite();
    let remains = Remains::of(&site);
    assert!(site.run(&[], "true").status.success());
    wait_until("everything but the young one is gone", || site.run_directories() == [remains.young.clone()]);
    assert_eq!(site.records().len(), 2);
}

// Holds: failures/kill-remains
#[test]
fn recover_removes_directories_without_a_journal() {
    let site = Site::sqlite();
    let remains = Remains::of(&site);
    let recovered = output(&mut site.runwrap(&["recover", "--json"]));
    assert_eq!((recovered.status.code(), &recovered.stdout[..]), (Some(0), &b"[]\n"[..]));
    assert_eq!(site.run_directories(), [remains.young]);
}

/// Its keeper runs already and must not take over a run that never began.
// Holds: failures/kill-unnamed
#[test]
fn run_killed_before_it_is_named_leaves_nothing() {
    for point in ["blank=stop", "unsettled=stop"] {
        killed_unborn(point);
    }
}

fn killed_unborn(point: &str) {
    let site = Site::sqlite();
    let mut command = site.runwrap(&["--", "touch", "proof"]);
    kill(stopped_at(point, &site, &mut command), &site);
    let unborn = site.run_directories();
    assert_eq!(unborn.len(), 1);
    make_old(&unborn[0]);
    let recovered = output(&mut site.runwrap(&["recover", "--json"]));
    assert_eq!((recovered.status.code(), &recovered.stdout[..]), (Some(0), &b"[]\n"[..]));
    assert_eq!(site.run_directories(), Vec::<PathBuf>::new());
    assert!(!site.path().join("proof").exists());
    assert!(site.records().is_empty());
}

// Holds: failures/kill-unnamed
#[test]
fn run_killed_before_its_journal_in_memory_leaves_nothing() {
    let site = Site::sqlite();
    let temporary = site.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let reports = || fs::read_dir(&temporary).unwrap().count();
    let mut command = site.runwrap(&["--state-dir", "/proc/none", "--", "touch", "proof"]);
    let supervisor = stopped_at("blank=stop", &site, command.env("TMPDIR", &temporary));
    assert_eq!(reports(), 1);
    kill(supervisor, &site);
    assert_eq!(reports(), 0);
    assert!(!site.path().join("proof").exists());
    assert!(site.records().is_empty());
}

/// A supervisor that has stopped at `point` after it started its keeper.
fn stopped_at(point: &str, site: &Site, command: &mut Command) -> Running {
    let supervisor = start(command.env("RUNWRAP_FAILPOINTS", point).stderr(Stdio::null()));
    wait_until("supervisor and keeper are there", || {
        procfs::state(supervisor.pid()) == Some('T') && site.keepers().len() == 1
    });
    supervisor
}

/// Kills the supervisor, and waits for the end of its keeper.
fn kill(mut supervisor: Running, site: &Site) {
    supervisor.signal("KILL");
    supervisor.end();
    site.quiet();
}

/// The keeper, started for a file that could not be written, took the named run for one that never began.
// Holds: failures/kill-unwritten
#[test]
fn run_killed_after_a_failed_journal_write_has_one_record() {
    let site = Site::sqlite();
    let mut command = site.runwrap(&["--", "true"]);
    command.env("RUNWRAP_FAILPOINTS", "journal-write=error,journal-begun=kill").stderr(Stdio::null());
    start(&mut command).end();
    site.quiet();
    assert_eq!(site.record_that_is("failed")["reason"], "supervisor_killed");
}
