//! An SQLite file on a file system without locks is refused at once, with a hint, and nothing lingers.

use std::time::{Duration, Instant};

use crate::support::building::compile;
use crate::support::site::{Site, output};

/// The run waited 35 s for the database, and each run left a lingering keeper.
// Holds: failures/sqlite-no-locks
#[test]
fn file_system_without_locks_is_reported_at_once() {
    let (_kept, refuse) = compile("run/refuse.c", &[]);
    for errno in [libc::ENOLCK, libc::ENOSYS, libc::EOPNOTSUPP] {
        for calls in ["locks", "all-locks"] {
            let site = Site::sqlite();
            let run = |words: &[&str]| {
                let mut command = site.program(&refuse);
                command.args([calls, &errno.to_string(), env!("CARGO_BIN_EXE_runwrap")]).args(words);
                let started = Instant::now();
                let output = output(&mut command);
                assert!(started.elapsed() < Duration::from_secs(5), "{words:?}: {:?}", started.elapsed());
                (output.status.code(), String::from_utf8(output.stderr).unwrap())
            };
            let (code, printed) = run(&["--", "sh", "-c", "exit 3"]);
            assert_eq!(code, Some(3), "the trainer is not affected");
            assert!(printed.contains("does not support locks") && printed.contains("local disk"), "{printed}");
            assert!(!printed.contains("has not answered yet"), "{printed}");
            // No keeper lingers.
            site.quiet();
            let (code, printed) = run(&["list"]);
            assert!(code == Some(125) && printed.contains("does not support locks"), "{printed}");
            if calls == "locks" {
                // The journal stays. On another file system, or mounted with locks, it is delivered.
                assert!(output(&mut site.runwrap(&["recover"])).status.success());
                assert_eq!(site.record()["exit_code"], 3);
            }
        }
    }
}

/// A lock that another process holds is no missing support.
#[test]
fn held_lock_is_waited_for() {
    let site = Site::sqlite();
    assert!(site.run(&[], "true").status.success());
    let path = site.url().strip_prefix("sqlite:").unwrap();
    let holder = rusqlite::Connection::open(path).unwrap();
    holder.execute_batch("PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE").unwrap();
    let options = ["--start-timeout", "100ms", "--finish-timeout", "100ms"];
    let output = site.run(&options, "true");
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(!printed.contains("support locks"), "{printed}");
    drop(holder);
    site.quiet();
    assert_eq!(site.records().len(), 2);
}
