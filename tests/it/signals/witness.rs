//! The witness in the process group: its cost, its look in /proc, and that no signal depends on it.

use std::fs;
use std::os::unix::process::CommandExt;

use super::probe::{Conversation, Counts, Subject, count};
use crate::support::procfs;
use crate::support::site::{Site, kill, start};
use crate::support::wait::wait_until;

const PRIVATE_KIB_MAX: u64 = 200;

/// The witness of the supervisor `pid`.
#[track_caller]
pub(super) fn witness_of(pid: i32) -> i32 {
    let mut found = None;
    wait_until("a witness", || {
        let name = |child: &i32| procfs::name(*child).is_some_and(|name| name == "rw-witness");
        found = procfs::children(pid).into_iter().find(name);
        found.is_some()
    });
    found.unwrap()
}

fn private_kib(pid: i32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let lines = rollup.lines().filter(|line| line.starts_with("Private_"));
    lines.map(|line| line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()).sum()
}

/// How often the kernel has let the process run.
fn switches(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
    lines.map(|line| line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn witness_is_small_idle_and_holds_no_user_descriptor() {
    let site = Site::sqlite();
    let mut subject = Subject::alone(&site, true);
    let witness = witness_of(subject.pid);
    let mut sender = Conversation::sender();
    for _ in 0..100 {
        sender.ask(&format!("kill {} 10", subject.pid));
        subject.receives(10);
    }
    let private = private_kib(witness);
    assert!(private < PRIVATE_KIB_MAX, "{private} KiB");
    let descriptors: Vec<String> = fs::read_dir(format!("/proc/{witness}/fd"))
        .unwrap()
        .map(|entry| fs::read_link(entry.unwrap().path()).unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(descriptors.len(), 2, "{descriptors:?}");
    assert!(descriptors.iter().any(|target| target.starts_with("socket:")), "{descriptors:?}");
    assert!(descriptors.iter().any(|target| target.contains("signalfd")), "{descriptors:?}");
    // The idle witness does not run: signals do not wake it.
    let before = switches(witness);
    for _ in 0..10 {
        sender.ask(&format!("kill {} 28", subject.probe));
        subject.receives(28);
    }
    assert_eq!(switches(witness), before);
    assert_eq!(subject.rest(), Vec::<String>::new());
}

#[test]
fn witness_does_not_look_like_runwrap() {
    let site = Site::sqlite();
    let mut subject = Subject::alone(&site, true);
    let witness = witness_of(subject.pid);
    let bytes = |name: &str| fs::read(format!("/proc/{witness}/{name}")).unwrap();
    assert!(bytes("cmdline").iter().all(|byte| *byte == 0));
    assert!(bytes("environ").iter().all(|byte| *byte == 0));
    // A signal to each process that is called runwrap goes to the supervisor and not to the witness.
    let place = site.path().to_str().unwrap();
    let ours = site.processes().into_iter().filter(|process| process.command.contains(env!("CARGO_BIN_EXE_runwrap")));
    let pids: Vec<i32> = ours.map(|process| process.pid).collect();
    assert_eq!(pids, [subject.pid], "{place}");
    Conversation::sender().ask(&format!("kill {} 15", subject.pid));
    subject.receives(15);
    assert_eq!(subject.rest(), Vec::<String>::new());
}

/// At a normal end and at SIGKILL.
#[test]
fn witness_ends_with_the_supervisor() {
    let site = Site::sqlite();
    let mut subject = Subject::alone(&site, true);
    witness_of(subject.pid);
    subject.rest();
    assert!(subject.talk.end().success());
    // At once: kill fails for a group without members.
    let status =
        std::process::Command::new("kill").args(["-0", "--", &format!("-{}", subject.group)]).output().unwrap();
    assert!(!status.status.success(), "the process group is not empty");

    let mut running = start(site.shell(&[], "exec sleep 60").process_group(0));
    let witness = witness_of(running.pid());
    running.signal("KILL");
    running.end();
    wait_until("the witness is gone", || procfs::name(witness).is_none());
    site.quiet();
}

// Holds: signals/no-witness
#[test]
fn no_signal_is_lost_without_a_witness() {
    let site = Site::sqlite();
    let mut subject = Subject::alone(&site, true);
    kill(witness_of(subject.pid), "KILL");
    let mut sender = Conversation::sender();
    for number in [10, 15, 40].into_iter().cycle().take(30) {
        sender.ask(&format!("kill {} {number}", subject.pid));
        subject.receives(number);
    }
    assert_eq!(subject.rest(), Vec::<String>::new());
    // Without a witness, a signal to the group cannot be told from one to runwrap alone, and is relayed as well.
    let mut subject = Subject::alone(&site, true);
    kill(witness_of(subject.pid), "KILL");
    sender.ask(&format!("kill -{} 40", subject.group));
    assert_eq!(count(&subject.rest()), Counts::from([(40, 2)]));
}

// Holds: signals/slow-witness
#[test]
fn stopped_witness_loses_no_signal() {
    let site = Site::sqlite();
    let mut subject = Subject::alone(&site, true);
    let witness = witness_of(subject.pid);
    let mut sender = Conversation::sender();
    for (times, number) in [10, 15, 40].into_iter().enumerate() {
        kill(witness, "STOP");
        wait_until("the witness is stopped", || procfs::state(witness) == Some('T'));
        sender.ask(&format!("kill {} {number}", subject.pid));
        subject.receives(number);
        // The supervisor has continued the witness, which works again.
        sender.ask(&format!("kill -{} {number}", subject.group));
        subject.receives(number);
        wait_until("the supervisor has received it too", || site.log().matches("scope=Group").count() == times + 1);
    }
    assert_eq!(subject.rest(), Vec::<String>::new());
}

// Holds: signals/resume-to-group
#[test]
fn job_receives_each_signal_once_after_a_stop() {
    let site = Site::sqlite();
    let mut subject = Subject::alone(&site, true);
    let mut sender = Conversation::sender();
    for target in ["-", "", "-"] {
        sender.ask(&format!("kill -{} 19", subject.group));
        wait_until("the job is stopped", || procfs::state(subject.pid) == Some('T'));
        // SIGCONT to the whole group, or to the supervisor alone, which continues the trainer.
        sender.ask(&format!("kill {target}{} 18", subject.group));
        subject.receives(18);
        for number in [10, 15] {
            sender.ask(&format!("kill -{} {number}", subject.group));
            subject.receives(number);
            // Another number: the kernel would merge two equal signals.
            sender.ask(&format!("kill {} {}", subject.pid, number + 2));
            subject.receives(number + 2);
        }
    }
    assert_eq!(subject.rest(), Vec::<String>::new());
}
