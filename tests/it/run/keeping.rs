//! Supervisor and keeper watch each other: if either is killed, the record is finalized, and no process is left.

use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::postgres::is_root;
use crate::support::site::{Site, kill, output, shell_status, start};
use crate::support::skipped;
use crate::support::wait::wait_until;

const SLEEPER: &str = "setsid sh -c 'sleep 61' > /dev/null 2>&1 & echo ready; sleep 62";

// Holds: signals/kill, signals/fault-own, failures/supervisor-sigkill
#[test]
fn keeper_finalizes_within_2_s_of_sigkill_of_supervisor() {
    for site in [Site::sqlite(), Site::postgres()] {
        let mut running = start(site.shell(&[], SLEEPER).stdout(Stdio::piped()));
        assert_eq!(running.line(), "ready");
        running.signal("KILL");
        let killed = Instant::now();
        let record = site.record_that_is("failed");
        assert!(killed.elapsed() < Duration::from_secs(2), "{:?}", killed.elapsed());
        assert_eq!(record["reason"], "supervisor_killed");
        assert!(!record["train_end_time"].is_null());
        site.quiet();
    }
}

/// An error while leftover processes were stopped kept the end out of the record.
// Holds: failures/leftover-unstoppable
#[test]
fn run_is_finalized_although_leftovers_cannot_be_stopped() {
    let site = Site::sqlite();
    let mut command = site.shell(&[], "echo ready; exec sleep 62");
    let mut running = start(command.env("RUNWRAP_FAILPOINTS", "leftovers=error").stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    running.signal("KILL");
    assert_eq!(site.record_that_is("failed")["reason"], "supervisor_killed");
    assert!(site.log().contains("leftovers_not_stopped"), "{}", site.log());
    site.quiet();
}

// Holds: signals/kill-group, failures/group-sigkill
#[test]
fn keeper_finalizes_after_sigkill_of_the_group() {
    let site = Site::sqlite();
    let mut running = start(site.shell(&[], SLEEPER).stdout(Stdio::piped()).process_group(0));
    assert_eq!(running.line(), "ready");
    kill(-running.pid(), "KILL");
    assert_eq!(site.record_that_is("failed")["reason"], "supervisor_killed");
    site.quiet();
}

/// As `pkill -f train_it.py` kills every process whose command line names the script.
// Holds: failures/pkill-sigkill
#[test]
fn sigkill_by_command_line_ends_the_trainer_alone() {
    let site = Site::sqlite();
    std::fs::write(site.path().join("train_it.py"), "import time; print('ready', flush=True); time.sleep(60)").unwrap();
    let mut running = start(site.runwrap(&["--", "python3", "train_it.py"]).stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    let mut found = Vec::new();
    wait_until("runwrap hides the command", || {
        found = site.processes();
        found.retain(|process| process.command.contains("train_it.py"));
        found.len() == 1
    });
    kill(found[0].pid, "KILL");
    assert_eq!(shell_status(running.end()), 128 + 9);
    let record = site.record();
    assert_eq!((&record["reason"], &record["signal"]), (&json!("signal"), &json!("SIGKILL")));
    site.quiet();
}

// Holds: failures/keeper-sigkill
#[test]
fn killed_keeper_is_replaced_each_time() {
    let site = Site::postgres();
    let mut running =
        start(site.shell(&[], "echo ready; read -r line; exit 4").stdin(Stdio::piped()).stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    let mut keeper = site.keeper_after(None);
    for _ in 0..3 {
        kill(keeper, "KILL");
        keeper = site.keeper_after(Some(keeper));
    }
    running.close_stdin();
    assert_eq!(running.end().code(), Some(4));
    let record = site.record();
    assert_eq!((&record["status"], &record["exit_code"]), (&json!("failed"), &json!(4)));
    assert!(site.run_directories().is_empty());
    site.quiet();
}

/// The lingering keeper holds no end of the user's pipe.
#[test]
fn pipe_or_substitution_ends_with_the_supervisor() {
    // No server listens there, so the keeper lingers.
    let site = Site::with_url("postgres://ann@127.0.0.1:1/none");
    let output = site.run(&["--start-timeout", "100ms", "--finish-timeout", "100ms"], "echo hi");
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"hi\n"[..]));
    wait_until("one keeper lingers", || site.keepers().len() == 1);
}

/// And the supervisor has one thread.
#[test]
fn keeper_holds_nothing_of_the_user_s() {
    let site = Site::sqlite();
    let mut shell = site.program("sh");
    let script = format!("exec 7>held 8<.; exec {} -- sh -c 'echo ready; read -r line'", env!("CARGO_BIN_EXE_runwrap"));
    let mut running = start(shell.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    site.record_that_is("training");
    let keeper = site.keeper_after(None);
    let link = |of: &str| std::fs::read_link(format!("/proc/{keeper}/{of}")).unwrap();
    for fd in 0..3 {
        assert_eq!(link(&format!("fd/{fd}")), std::path::Path::new("/dev/null"));
    }
    let own = [site.state_dir(), site.path().join("runs.db")];
    for entry in std::fs::read_dir(format!("/proc/{keeper}/fd")).unwrap() {
        // A descriptor that the keeper has closed meanwhile was its own.
        let Ok(target) = std::fs::read_link(entry.unwrap().path()) else { continue };
        let name = target.to_str().unwrap();
        let is_own = ["anon_inode:", "socket:", "/memfd:", "/dev/null"].iter().any(|kind| name.starts_with(kind))
            || own.iter().any(|own| name.starts_with(own.to_str().unwrap()));
        assert!(is_own, "{name}");
    }
    assert_eq!(link("cwd"), std::path::Path::new("/"));
    let stat = std::fs::read_to_string(format!("/proc/{keeper}/stat")).unwrap();
    let session = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(3).unwrap();
    assert_eq!(session, keeper.to_string());
    assert_eq!(std::fs::read_dir(format!("/proc/{}/task", running.pid())).unwrap().count(), 1);
    running.close_stdin();
    running.end();
    site.quiet();
}

/// Although it has dropped the environment by which the keeper finds leftovers.
#[test]
fn process_in_the_trainer_s_own_group_is_stopped() {
    let site = Site::sqlite();
    // The trainer leads a group of its own; its child has no variable but SITE.
    let child = format!("env -i SITE={} sleep 61", site.path().display());
    let program = format!(
        "import os, subprocess, time; os.setpgid(0, 0); subprocess.Popen('{child}'.split()); \
                           print('ready', flush=True); time.sleep(62)"
    );
    let mut running = start(site.runwrap(&["--", "python3", "-c", &program]).stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    wait_until("the child has its new environment", || {
        site.processes().iter().any(|process| process.command.starts_with("sleep"))
    });
    running.signal("KILL");
    assert_eq!(site.record_that_is("failed")["reason"], "supervisor_killed");
    site.quiet();
}

// Holds: failures/leftover-foreign
#[test]
fn unsignalable_leftover_does_not_spare_the_others() {
    if !is_root() {
        skipped("only root can start a process that it may not signal");
        return;
    }
    let site = Site::sqlite();
    // The unsignalable process has the lowest id, so it comes first.
    let script = "setpriv --reuid=65534 --clear-groups sleep 61 & sleep 62 & sleep 63 & echo ready; wait";
    let mut running = start(site.powerless_shell(script).stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    let sleepers =
        || site.processes().into_iter().map(|process| process.command).filter(|words| words.starts_with("sleep"));
    wait_until("all sleep", || sleepers().count() == 3);
    running.signal("KILL");
    assert_eq!(site.record_that_is("failed")["reason"], "supervisor_killed");
    wait_until("the others have gone", || sleepers().map(|words| words.trim().to_owned()).eq(["sleep 61".to_owned()]));
}

// Holds: failures/leftover-deaf
#[test]
fn leftovers_get_sigterm_and_then_sigkill() {
    let site = Site::sqlite();
    let polite = "setsid sh -c 'trap \"echo asked > asked; exit\" TERM; echo; while :; do sleep 0.01; done'";
    let deaf = "setsid sh -c 'trap \"\" TERM; echo; while :; do sleep 0.01; done'";
    let script = format!("({polite} & {deaf} &) | (read -r one; read -r other; echo ready; exec sleep 62)");
    let mut running = start(site.shell(&[], &script).stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    running.signal("KILL");
    let killed = Instant::now();
    assert_eq!(site.record_that_is("failed")["reason"], "supervisor_killed");
    assert!(killed.elapsed() < Duration::from_secs(2), "{:?}", killed.elapsed());
    assert_eq!(std::fs::read_to_string(site.path().join("asked")).unwrap(), "asked\n");
    site.quiet();
}

/// The supervisor waited for a keeper that had delivered and removed the journal, but died before it could report so.
// Holds: failures/kill-removed
#[test]
fn keeper_death_after_the_removal_costs_no_wait() {
    let site = Site::sqlite();
    let started = Instant::now();
    let output = output(site.shell(&[], "exit 3").env("RUNWRAP_FAILPOINTS", "removed=kill"));
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(3), &b""[..]));
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(site.record()["exit_code"], 3);
}
