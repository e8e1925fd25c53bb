//! The file of an SQLite database is replaced, removed or moved during a run: the end reaches the file that is at the path, or the
//! journal stays.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use crate::support::procfs;
use crate::support::site::{Running, Site, kill, output, start};
use crate::support::wait::wait_until;

/// Short enough for the keeper to keep the file open.
const OFTEN: [&str; 2] = ["--heartbeat", "100ms"];

fn file_of(site: &Site) -> PathBuf {
    PathBuf::from(site.url().strip_prefix("sqlite:").unwrap())
}

/// A run that has begun and waits for a line, and the id of its keeper.
#[track_caller]
fn begun(site: &Site, failpoints: &str) -> (Running, i32) {
    let mut command = site.shell(&OFTEN, "echo ready; read -r line");
    command.env("RUNWRAP_FAILPOINTS", failpoints).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = start(&mut command);
    assert_eq!(running.line(), "ready");
    let beats = || site.log().matches("event=attempt_done").count();
    wait_until("a heartbeat", || beats() >= 2);
    (running, site.keeper_after(None))
}

/// A consistent copy, as a backup makes one.
fn back_up(from: &Path, to: &Path) {
    rusqlite::Connection::open(from).unwrap().execute("VACUUM INTO ?1", [to.to_str().unwrap()]).unwrap();
}

#[track_caller]
fn recover(site: &Site) -> Output {
    let recovered = output(&mut site.runwrap(&["recover"]));
    assert!(recovered.status.success(), "{recovered:?}");
    recovered
}

/// The keeper had the file open: the end went into the file that was moved away, and the journal was removed.
// Holds: failures/sqlite-replaced
#[test]
fn end_reaches_the_file_that_replaced_the_open_one() {
    type Replace = fn(&Path);
    let replacements: [(&str, Replace); 3] = [
        ("the file", |file| {
            let copy = file.with_extension("copy");
            back_up(file, &copy);
            fs::rename(&copy, file).unwrap();
        }),
        ("the directory", |file| {
            let (directory, copy) = (file.parent().unwrap(), file.parent().unwrap().with_extension("copy"));
            fs::create_dir(&copy).unwrap();
            back_up(file, &copy.join(file.file_name().unwrap()));
            fs::rename(directory, directory.with_extension("old")).unwrap();
            fs::rename(copy, directory).unwrap();
        }),
        ("the target of a symbolic link", |file| {
            let (copy, link) = (file.with_extension("copy"), file.with_extension("link"));
            back_up(file, &copy);
            symlink(copy, &link).unwrap();
            fs::rename(link, file).unwrap();
        }),
    ];
    // Between two attempts, and between the last statement of the end and its commit.
    for failpoints in ["", "committing=stop"] {
        for (name, replace) in replacements {
            let place = tempfile::tempdir().unwrap();
            let directory = place.path().join("data");
            fs::create_dir(&directory).unwrap();
            let file = directory.join("runs.db");
            if name == "the target of a symbolic link" {
                symlink(directory.join("first.db"), &file).unwrap();
            }
            let site = Site::with_url(&format!("sqlite:{}", file.display()));
            let (mut running, keeper) = begun(&site, failpoints);
            if failpoints.is_empty() {
                replace(&file);
            }
            running.close_stdin();
            if !failpoints.is_empty() {
                wait_until("the keeper stops before the commit", || procfs::state(keeper) == Some('T'));
                replace(&file);
                kill(keeper, "CONT");
                // It stops again in the next attempt.
                wait_until("the keeper continues", || {
                    kill(keeper, "CONT");
                    procfs::state(keeper).is_none_or(|state| state == 'Z')
                });
            }
            assert_eq!(running.end().code(), Some(1), "{name}");
            site.quiet();
            assert_eq!(site.record()["reason"], "exit", "{name}, {failpoints}");
            assert!(site.run_directories().is_empty(), "{name}, {failpoints}");
        }
    }
}

/// The next heartbeat made a new file, and the end went there.
// Holds: failures/sqlite-removed
#[test]
fn removed_file_is_not_made_again_and_the_journal_stays() {
    for back in [true, false] {
        let site = Site::sqlite();
        let file = file_of(&site);
        let away = file.with_extension("away");
        let (mut running, _) = begun(&site, "");
        back_up(&file, &away);
        fs::remove_file(&file).unwrap();
        let failures = || site.log().matches("event=attempt_failed").count();
        wait_until("a heartbeat fails", || failures() >= 1);
        running.close_stdin();
        assert_eq!(running.end().code(), Some(1));
        let printed = running.errors();
        assert!(printed.contains("runs.db: the file is missing") && printed.contains("`runwrap migrate`"), "{printed}");
        site.quiet();
        assert!(!file.exists(), "the file was made again");
        assert_eq!(site.run_directories().len(), 1);
        // Nor by the verbs.
        let refused = output(&mut site.runwrap(&["recover"]));
        assert_eq!(refused.status.code(), Some(125), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("the file is missing"), "{refused:?}");
        assert_eq!(output(&mut site.runwrap(&["list", "--json"])).stdout, b"[]\n");
        assert!(!file.exists() && site.run_directories().len() == 1);
        if back {
            fs::rename(&away, &file).unwrap();
        } else {
            assert!(output(&mut site.runwrap(&["migrate"])).status.success());
        }
        recover(&site);
        let record = site.record();
        assert_eq!((&record["reason"], &record["id"]), (&"exit".into(), &1.into()));
        assert!(site.run_directories().is_empty());
    }
}

#[test]
fn first_run_makes_the_file_also_at_its_end() {
    let site = Site::with_url("sqlite:later/runs.db");
    let away = site.path().join("later");
    // The directory cannot be made while a file has its name.
    fs::write(&away, "").unwrap();
    let options = ["--start-timeout", "100ms", "--finish-timeout", "100ms"];
    assert!(site.run(&options, "rm later; exit 0").status.success());
    wait_until("the run is delivered", || site.run_directories().is_empty());
    assert_eq!(site.record()["reason"], "success");
}
