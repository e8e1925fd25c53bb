//! Messages on stderr and in the log, also if stderr or the log is full, stuck, read-only or missing.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use serde_json::json;

use crate::support::postgres::{Postgres, connect};
use crate::support::site::{Site, output, start};
use crate::support::wait::wait_until;

/// A full pipe, with its unread end.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let set = |flags| fcntl(&writer, FcntlArg::F_SETFL(flags)).unwrap();
    set(OFlag::O_NONBLOCK);
    for bytes in [&[b'x'; 4096][..], b"x"] {
        while writer.write(bytes).inspect_err(|error| assert_eq!(error.kind(), ErrorKind::WouldBlock)).is_ok() {}
    }
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    (reader, writer)
}

/// A blocked write to stderr kept the supervisor from its signals, as behind Ctrl-S or a pager that is not scrolled.
// Holds: failures/stderr-blocked
#[test]
fn stuck_reader_of_stderr_delays_nothing() {
    let site = Site::sqlite();
    let (_unread, stderr) = full_pipe();
    let mut command = site
        .shell(&["-v", "--state-dir", "/proc/none"], "trap 'exit 7' TERM; echo ready; while :; do read -r line; done");
    let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr));
    assert_eq!(running.line(), "ready");
    running.signal("TERM");
    assert_eq!(running.end().code(), Some(7));
    assert_eq!((&site.record()["exit_code"], &site.record()["stop_signal"]), (&json!(7), &json!("SIGTERM")));
}

#[test]
fn unwritable_log_file_warns_once_and_stops_nothing() {
    let site = Site::sqlite();
    fs::create_dir(site.path().join("folder")).unwrap();
    symlink("elsewhere", site.path().join("link")).unwrap();
    assert!(Command::new("mkfifo").arg(site.path().join("pipe")).status().unwrap().success());
    for name in ["folder", "link", "pipe", "/proc/none/log"] {
        let output = site.run(&["--log-file", name], "echo ran");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"ran\n"[..]), "{said}");
        assert_eq!(said.matches("cannot write the log file").count(), 1, "{name}: {said}");
        assert!(said.contains("hint: "), "{said}");
    }
    // Devices are opened; a failing write is no message.
    for name in ["/dev/null", "/dev/full"] {
        let output = site.run(&["--log-file", name], "echo ran");
        assert_eq!((output.status.code(), &output.stdout[..], &output.stderr[..]), (Some(0), &b"ran\n"[..], &b""[..]));
    }
    assert!(!site.path().join("elsewhere").exists());
    assert_eq!(site.records().len(), 6);
}

/// Its lines are dropped.
// Holds: failures/log-blocked
#[test]
fn log_that_is_a_full_pipe_delays_nothing() {
    let site = Site::sqlite();
    let pipe = site.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut filled = File::options().read(true).write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&pipe).unwrap();
    while filled.write(&[b'x'; 4096]).is_ok() {}
    let output = output(&mut site.shell(&["--log-file", "pipe"], "exit 3"));
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(3), &b""[..]));
    assert_eq!(site.record()["exit_code"], 3);
}

/// From the id of a record to its run_id, as with `grep`.
#[test]
fn log_tells_the_whole_story_of_a_record() {
    let site = Site::postgres();
    assert!(site.run(&[], "true").status.success());
    let script = "trap 'exit 7' TERM; echo nonsense >> $RUNWRAP_REPORT; echo ready; while :; do read -r line; done";
    let mut running = start(site.shell(&[], script).stdin(Stdio::piped()).stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    running.signal("TERM");
    assert_eq!(running.end().code(), Some(7));
    site.quiet();
    let log = site.log();
    let named = log.lines().find(|line| line.contains(" record_id=2 ")).unwrap();
    let run_id = named.split(' ').find(|word| word.starts_with("run_id=")).unwrap();
    let story: Vec<&str> = log.lines().filter(|line| line.contains(run_id)).collect();
    let mut rest = story.iter();
    for part in [
        "event=run ",
        "event=attempt ",
        "event=attempt_done ",
        "event=signal name=SIGTERM ",
        "change=\"exit 7\" ",
        "what=finalize",
        "ended=true",
    ] {
        assert!(rest.any(|line| line.contains(part)), "no {part} in its place: {story:#?}");
    }
    // Read at the request to stop, or at the end.
    assert!(story.iter().any(|line| line.contains("event=report_line_skipped line=1 ")), "{story:#?}");
    let others = log.lines().filter(|line| !line.contains("run_id=")).collect::<Vec<_>>();
    assert!(others.is_empty(), "{others:#?}");
}

/// Each run that had found no table claimed to have made it.
#[test]
fn only_the_run_that_made_the_table_reports_it() {
    let site = Site::postgres();
    let mut client = connect(&Postgres::shared().target(site.url().rsplit('/').next().unwrap()));
    let mut maker = client.transaction().unwrap();
    // The lock of migrations.
    maker.batch_execute("SELECT pg_advisory_xact_lock(32217264655851888)").unwrap();
    let runs = [(); 3].map(|()| start(site.shell(&["--start-timeout", "30s"], "true").stdin(Stdio::null())));
    let waiting = "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
                   WHERE NOT granted AND locktype = 'advisory' AND datname = current_database()";
    wait_until("all runs wait for the lock", || site.sql(waiting) == "3\n");
    maker.commit().unwrap();
    for mut run in runs {
        assert!(run.end().success());
    }
    site.quiet();
    assert_eq!(site.log().matches("event=table_made").count(), 1, "{}", site.log());
}

#[test]
fn quiet_and_verbose_set_what_stderr_shows() {
    let site = Site::sqlite();
    let said = |options: &[&str]| {
        let output = site.run(&[options, &["--state-dir", "/proc/none"]].concat(), "true");
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(said(&["-q"]), "");
    // A failure is shown: the end that is not in the database, the command that was not started.
    let unreachable = ["--database-url", "postgres://127.0.0.1:1/db", "--linger", "0s", "--start-timeout", "50ms"];
    for (options, command, message) in [
        (&["--finish-timeout", "0s"][..], "true", "the database does not have the end of the run yet"),
        (&["--finish-timeout", "50ms"], "/no/such/command", "the database does not have the end of the run yet"),
        (&["--finish-timeout", "0s"], "/no/such/command", "cannot run /no/such/command: No such file"),
        (&["--require-database"], "true", "cannot insert the record: "),
    ] {
        let words = [&["-q"], &unreachable[..], options, &["--", command]].concat();
        let messages = String::from_utf8(output(&mut site.runwrap(&words)).stderr).unwrap();
        assert_eq!(messages.matches(message).count(), 1, "{messages}");
        assert!(!messages.contains("the run starts and is recorded"), "{messages}");
    }
    let normal = said(&[]);
    assert!(normal.lines().all(|line| line.starts_with("runwrap: ")) && normal.contains("cannot keep a journal"));
    assert!(!normal.contains("event="), "{normal}");
    let verbose = said(&["-v"]);
    for sentence in ["of \"sh\" begins", "cannot keep a journal", "the keeper is process ", ": exit 0\n"] {
        assert!(verbose.contains(sentence) && !verbose.contains("event="), "{verbose}");
    }
}

#[test]
fn failing_verb_names_its_cause_once_with_verbose() {
    let site = Site::sqlite();
    let unreachable = ["-v", "--database-url", "postgres://127.0.0.1:1/db", "--start-timeout", "50ms"];
    for verb in [&["list"][..], &["show", "1"], &["finalize", "1", "--status", "failed"], &["recover"]] {
        let failed = output(&mut site.runwrap(&[&unreachable[..], verb].concat()));
        let messages = String::from_utf8(failed.stderr).unwrap();
        assert!(!failed.status.success() && messages.matches("onnection refused").count() == 1, "{verb:?}: {messages}");
    }
}
