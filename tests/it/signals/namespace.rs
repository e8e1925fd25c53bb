//! runwrap as the first process of a PID namespace, as in a container. `unshare` makes real ones.

use std::process::{Command, Stdio};

use super::probe::{Conversation, Counts, Subject, count, program};
use crate::support::building::compile;
use crate::support::procfs;
use crate::support::site::{Site, output, start};
use crate::support::wait::wait_until;

const UNSHARE: [&str; 3] = ["-pf", "--kill-child", "--mount-proc"];

/// `runwrap OPTIONS -- sh -c SCRIPT` as the first process.
fn first(site: &Site, script: &str) -> Command {
    let mut command = site.program("unshare");
    command.args(UNSHARE).args([env!("CARGO_BIN_EXE_runwrap"), "--", "sh", "-c", script]);
    command
}

#[test]
fn as_pid_1_a_fatal_signal_becomes_exit_128_plus_its_number() {
    let site = Site::sqlite();
    for number in [1, 2, 3, 6, 9, 10, 11, 13, 14, 15, 31, 34, 64] {
        let output = output(&mut first(&site, &format!("ulimit -c 0; kill -{number} $$")));
        assert_eq!(output.status.code(), Some(128 + number));
        let newest = &site.records()[0];
        assert_eq!((&newest["status"], &newest["reason"]), (&"failed".into(), &"signal".into()));
    }
    assert_eq!(output(&mut first(&site, "exit 9")).status.code(), Some(9));
}

// Holds: failures/container-exit
#[test]
fn as_pid_1_it_reaps_orphans() {
    let site = Site::sqlite();
    // Twenty children whose parents are gone; none of them may stay a zombie.
    let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do (sh -c 'exit 0' &); done
        for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
            grep -q '^State:.Z' /proc/[0-9]*/status 2>/dev/null || exit 0
            sleep 0.1
        done
        exit 1";
    assert_eq!(output(&mut first(&site, script)).status.code(), Some(0));
}

/// A first process that waits only for its own children, as a job server or `sleep infinity` in a pod. Prints the zombies that
/// the runs have left.
const NO_REAPER: &str = "import os, subprocess, sys
for _ in range(int(sys.argv[1])):
    subprocess.run(sys.argv[2:], stderr=subprocess.DEVNULL)
names = {pid: open(f'/proc/{pid}/stat').read() for pid in os.listdir('/proc') if pid.isdigit()}
print([stat for stat in names.values() if stat.rsplit(')', 1)[1].split()[0] == 'Z'])";

/// Each run left its keeper as a zombie.
// Holds: failures/container-no-reaper
#[test]
fn no_run_leaves_a_zombie_to_a_first_process_that_reaps_none() {
    let refusing = Site::sqlite();
    assert!(output(&mut refusing.runwrap(&["migrate"])).status.success());
    let connection = rusqlite::Connection::open(refusing.url().strip_prefix("sqlite:").unwrap()).unwrap();
    let refusal = "BEFORE UPDATE ON runwrap_runs BEGIN SELECT RAISE(ABORT, 'no'); END";
    connection.execute_batch(&format!("CREATE TRIGGER refuses {refusal}")).unwrap();
    // A lingering keeper of the second refused run would outlive it.
    for (site, failpoints, runs) in [(Site::sqlite(), "", 5), (Site::sqlite(), "running=panic", 5), (refusing, "", 1)] {
        let mut command = site.program("unshare");
        command.args(UNSHARE).args(["python3", "-c", NO_REAPER, &runs.to_string()]);
        command.args([env!("CARGO_BIN_EXE_runwrap"), "--", "true"]).env("RUNWRAP_FAILPOINTS", failpoints);
        assert_eq!(String::from_utf8(output(&mut command).stdout).unwrap(), "[]\n", "{failpoints}");
        assert_eq!(site.records().len(), runs);
    }
}

// Holds: failures/container-exit
#[test]
fn as_pid_1_it_ends_with_the_trainer_despite_orphans() {
    let site = Site::sqlite();
    let output = output(&mut first(&site, "(sleep 1000 </dev/null >/dev/null 2>&1 &); echo done; exit 4"));
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(4), &b"done\n"[..]));
    site.quiet();
}

// Holds: signals/pid1-stop
#[test]
fn as_pid_1_a_stop_signal_ends_trainer_and_runwrap() {
    let site = Site::sqlite();
    for (name, number) in [("TERM", 15), ("INT", 2), ("HUP", 1), ("QUIT", 3)] {
        let mut running = start(first(&site, "ulimit -c 0; echo ready; exec sleep 1000").stdout(Stdio::piped()));
        assert_eq!(running.line(), "ready");
        crate::support::site::kill(child_of(running.pid()), name);
        assert_eq!(running.end().code(), Some(128 + number));
        assert_eq!(site.records()[0]["reason"], "cancelled");
    }
}

/// A stop was lost while runwrap waited for the password database: the kernel discards a signal that a first process has no
/// handler for, unless it is blocked.
// Holds: signals/before-description-pid1, signals/before-fork-stop
#[test]
fn as_pid_1_a_stop_before_the_trainer_is_not_lost() {
    let (_kept, library) = compile("signals/account.c", &["-shared", "-fPIC"]);
    let site = Site::sqlite();
    let mut talk = Conversation::start(first(&site, "echo ran").env("LD_PRELOAD", &library));
    assert_eq!(talk.recv(), "asked");
    crate::support::site::kill(child_of(talk.pid()), "TERM");
    talk.send("");
    assert_eq!(talk.end().code(), Some(128 + 15));
    assert_eq!(site.record()["reason"], "cancelled");
}

/// Includes signals that the kernel discards for a first process without a handler.
// Holds: signals/pid1
#[test]
fn as_pid_1_it_relays_every_signal_once() {
    let site = Site::sqlite();
    let mut command = site.program("unshare");
    // In a session of its own, like the first process of a container.
    command.args(UNSHARE).args(["setsid", env!("CARGO_BIN_EXE_runwrap"), "--", program()]);
    let talk = Conversation::start(&mut command);
    let runwrap = child_of(talk.pid());
    let mut subject = Subject::of(talk, true);
    // Inside, each process has another id.
    assert_eq!(subject.pid, 1);
    subject.pid = runwrap;
    let mut sender = Conversation::sender();
    let mut sent = Counts::new();
    for number in (1..64).filter(|number| ![9, 19, 32, 33].contains(number)) {
        sender.ask(&format!("kill {runwrap} {number}"));
        subject.receives(number);
        subject.talk.send(&format!("kill 0 {number}"));
        subject.receives(number);
        sent.insert(number, 2);
    }
    assert_eq!(count(&subject.rest()), Counts::new(), "{sent:?}");
    assert!(subject.talk.end().success());
}

/// The only child of `unshare`.
#[track_caller]
fn child_of(unshare: i32) -> i32 {
    let mut found = None;
    wait_until("the first process", || {
        found = procfs::children(unshare).first().copied();
        found.is_some()
    });
    found.unwrap()
}
