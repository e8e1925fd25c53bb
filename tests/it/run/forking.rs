//! A keeper is a fork of its supervisor, and has nothing of it but the memory.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::fcntl::OFlag;
use serde_json::json;
use tempfile::TempDir;

use crate::support::building::compile;
use crate::support::procfs::children;
use crate::support::site::{Site, kill, output, start};
use crate::support::wait::wait_until;

/// Most keepers are forked and share the supervisor's memory. Below another run, and where their words have no room or too much, they
/// are executed, and /proc shows no difference, but for the length of the command line.
#[test]
fn every_keeper_is_seen_as_one_and_has_no_trait_of_its_supervisor() {
    let traits = |words: &[&str], outer: Option<&str>, is_forked: bool| {
        let site = Site::sqlite();
        let script = "trap '' HUP USR1; exec 5<>held; exec \"$@\"";
        let mut shell = site.program("bash");
        shell.args(["-c", script, "bash", "bash", "-c", "exec -a r \"$@\"", "bash", env!("CARGO_BIN_EXE_runwrap")]);
        shell.args(words).envs(outer.map(|run_id| ("RUNWRAP_RUN_ID", run_id)));
        let mut running = start(shell.stdin(Stdio::piped()).stdout(Stdio::piped()));
        running.say("echo ready; read -r line; exit 0");
        assert_eq!(running.line(), "ready");
        site.record_that_is("training");
        let keeper = site.keeper_after(None);
        let read = |of: &str| std::fs::read_to_string(format!("/proc/{keeper}/{of}")).unwrap();
        let line = read("cmdline");
        assert_eq!(line.trim_end_matches('\0'), "runwrap\0keeper");
        assert_eq!(line.len() > "runwrap keeper ".len(), is_forked, "{words:?}");
        assert_eq!(read("comm"), "runwrap-keeper\n");
        let mut environment: Vec<String> = read("environ").split('\0').map(str::to_owned).collect();
        environment
            .retain(|entry| !["SITE", "HOME", "PWD", "RUNWRAP_DATABASE_URL"].iter().any(|own| entry.starts_with(own)));
        let mut signals: Vec<String> = read("status").lines().map(str::to_owned).collect();
        signals.retain(|line| line.starts_with("SigBlk") || line.starts_with("SigIgn"));
        let limits = read("limits");
        running.close_stdin();
        assert_eq!(running.end().code(), Some(0));
        assert_eq!(site.record()["status"], "completed");
        assert!(!site.log().contains("keeper_gone"), "{}", site.log());
        site.quiet();
        (environment, signals, limits)
    };
    let words = ["--name", "long enough", "--", "sh"];
    let forked = traits(&words, None, true);
    assert_eq!(forked, traits(&words, Some("01a22e31-6821-7532-9557-1b638c044fc8"), false), "below another run");
    assert_eq!(forked, traits(&words[2..], None, false), "no room");
    let long = "x".repeat(5000);
    assert_eq!(forked, traits(&[&words[..], &["-s", long.as_str()]].concat(), None, false), "a long command line");
}

/// It ran the supervisor's drop guard on its way out.
// Holds: failures/keeper-panic
#[test]
fn panic_of_a_keeper_ends_the_keeper_alone() {
    let site = Site::sqlite();
    let output = output(site.shell(&[], "exit 3").env("RUNWRAP_FAILPOINTS", "removed=panic"));
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(3), &b""[..]));
    let (record, log) = (site.record(), site.log());
    assert_eq!((&record["reason"], &record["exit_code"]), (&json!("exit"), &json!(3)));
    assert!(log.contains("failpoint removed=panic") && !log.contains("guard_fired"), "{log}");
    site.quiet();
}

/// `runwrap -- sh -c SCRIPT` with forking.c preloaded and `variable` set, and the directory of the library.
fn preloaded(site: &Site, variable: &str, script: &str) -> (TempDir, Command) {
    let (directory, library) = compile("run/forking.c", &["-shared", "-fPIC", "-pthread"]);
    let mut command = site.shell(&["--finish-timeout", "5s"], &format!("unset LD_PRELOAD; {script}"));
    command.env("LD_PRELOAD", library).env(variable, "1");
    (directory, command)
}

/// A fork of the thread that starts keepers finds the lock of the other taken, and waits for it for ever.
// Holds: failures/late-thread
#[test]
fn keeper_beside_a_late_thread_of_a_preloaded_library_is_executed() {
    let site = Site::sqlite();
    let (_kept, mut command) = preloaded(&site, "LATE_THREAD", "exit 3");
    let output = output(&mut command);
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(3), &b""[..]));
    assert_eq!(site.record()["exit_code"], 3);
    site.quiet();
}

/// The supervisor went on while the forked keeper was still in its group.
// Holds: failures/group-sigkill
#[test]
fn sigkill_of_the_group_as_soon_as_the_run_has_begun_leaves_a_keeper() {
    let site = Site::sqlite();
    let (_kept, mut command) = preloaded(&site, "SLOW_SESSION", "exec sleep 61");
    let mut running = start(command.process_group(0));
    wait_until("the run is published", || {
        site.run_directories().iter().any(|path| !path.file_name().unwrap().to_str().unwrap().starts_with('.'))
    });
    kill(-running.pid(), "KILL");
    running.end();
    assert_eq!(site.record_that_is("failed")["reason"], "supervisor_killed");
    site.quiet();
}

/// The supervisor waited for the session of a keeper that had ended.
// Holds: failures/keeper-sigkill
#[test]
fn keeper_killed_before_it_has_a_session_delays_nothing() {
    let site = Site::sqlite();
    let (_kept, mut command) = preloaded(&site, "SLOW_SESSION", "exit 3");
    let mut running = start(&mut command);
    let mut keeper = None;
    wait_until("a keeper", || {
        keeper = children(running.pid()).first().copied();
        keeper.is_some()
    });
    kill(keeper.unwrap(), "KILL");
    assert_eq!(running.end().code(), Some(3));
    assert_eq!(site.record()["exit_code"], 3);
    assert!(!site.log().contains("keeper_without_session"), "{}", site.log());
    site.quiet();
}

/// The log was closed before the fork, and the reader of a pipe saw its end.
// Holds: failures/log-pipe
#[test]
fn log_in_a_named_pipe_has_one_writer_until_the_end() {
    let site = Site::sqlite();
    let pipe = site.path().join("log");
    assert!(site.program("mkfifo").arg(&pipe).status().unwrap().success());
    let mut reader = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&pipe).unwrap();
    let mut running = start(&mut site.shell(&["--log-file", pipe.to_str().unwrap()], "exit 3"));
    let mut seen = Vec::new();
    // The first end-of-file behind a line: a reader leaves then.
    wait_until("the end of the log", || reader.read_to_end(&mut seen).is_ok() && !seen.is_empty());
    assert_eq!(running.end().code(), Some(3));
    let seen = String::from_utf8(seen).unwrap();
    assert!(seen.contains("event=keeper_forked") && seen.contains("event=keeper_ended"), "{seen}");
    site.quiet();
}
