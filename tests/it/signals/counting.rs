//! Counts how often a signal arrives, for each signal and each way to send it, bare and under runwrap.

use std::process::Command;

use super::probe::{Conversation, Counts, LAST, Subject, count};
use crate::support::procfs;
use crate::support::site::{Running, Site, start};
use crate::support::wait::wait_until;

/// How a signal is sent to runwrap.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// `kill PID`
    Process,
    /// `kill -PGID`, from another process group.
    GroupFromOutside,
    /// `kill 0`, by the trainer.
    GroupFromInside,
    /// Python's `os.killpg` after `start_new_session=True`.
    Killpg,
    /// `kill %1` in a shell with job control.
    Job,
}

const WAYS: [Way; 5] = [Way::Process, Way::GroupFromOutside, Way::GroupFromInside, Way::Killpg, Way::Job];

const PYTHON: &str = "import os, subprocess, sys
trainer = subprocess.Popen(sys.argv[1:], start_new_session=True, stdin=subprocess.DEVNULL)
for line in sys.stdin:
    os.killpg(trainer.pid, int(line))
trainer.wait()";

const SHELL: &str = r#"set -m; "$@" </dev/null & while read -r number; do kill -"$number" %1; done; wait %1"#;

/// A probe and the sender of its signals.
struct Pair {
    subject: Subject,
    sender: Conversation,
    way: Way,
}

impl Pair {
    #[track_caller]
    fn start(site: &Site, way: Way, wrapped: bool) -> Self {
        let subject = match way {
            Way::Process | Way::GroupFromOutside | Way::GroupFromInside => Subject::alone(site, wrapped),
            Way::Killpg => Subject::start(arguments(site.program("python3"), &["-c", PYTHON]), wrapped),
            Way::Job => Subject::start(arguments(site.program("bash"), &["-c", SHELL, "bash"]), wrapped),
        };
        Self { subject, sender: Conversation::sender(), way }
    }

    fn send(&mut self, number: i32) {
        let Subject { talk, pid, group, .. } = &mut self.subject;
        match self.way {
            Way::Process => self.sender.ask(&format!("kill {pid} {number}")),
            Way::GroupFromOutside => self.sender.ask(&format!("kill -{group} {number}")),
            Way::GroupFromInside => talk.send(&format!("kill 0 {number}")),
            Way::Killpg | Way::Job => talk.send(&number.to_string()),
        }
    }

    /// Sends each of `numbers`, waits each time until it has arrived, and counts all arrivals.
    #[track_caller]
    fn send_each(mut self, numbers: impl Iterator<Item = i32>) -> Counts {
        let mut received = Counts::new();
        for number in numbers {
            self.send(number);
            self.subject.receives(number);
            *received.entry(number).or_default() += 1;
        }
        for (number, times) in count(&self.subject.rest()) {
            *received.entry(number).or_default() += times;
        }
        assert!(self.subject.talk.end().success());
        received
    }
}

fn arguments(mut command: Command, words: &[&str]) -> Command {
    command.args(words);
    command
}

/// Without [`LAST`], the two that cannot be caught, and the two that the C library reserves.
pub(super) fn all_signals() -> impl Iterator<Item = i32> {
    (1..LAST).filter(|number| ![9, 19, 32, 33].contains(number))
}

/// Keeps all cores busy until it is dropped.
pub(super) fn load() -> Vec<Running> {
    let cores = std::thread::available_parallelism().unwrap().get();
    (0..cores).map(|_| start(Command::new("sh").args(["-c", "while :; do :; done"]))).collect()
}

/// Bare and under runwrap, sent in each of the [`WAYS`].
// Holds: signals/stop-to-runwrap, signals/stop-to-group, signals/suspend-to-runwrap, signals/suspend-to-group
// Holds: signals/resume-to-runwrap, signals/child, signals/fault-sent, signals/other-to-runwrap
// Holds: signals/other-to-group
#[test]
fn every_signal_arrives_as_often_as_without_runwrap() {
    let site = Site::sqlite();
    for way in WAYS {
        let twice = || all_signals().flat_map(|number| [number, number]);
        let bare = Pair::start(&site, way, false).send_each(twice());
        assert!(bare.len() == all_signals().count() && bare.values().all(|times| *times == 2), "{way:?}: {bare:?}");
        let wrapped = Pair::start(&site, way, true).send_each(twice());
        assert_eq!(wrapped, bare, "{way:?}");
    }
}

/// The same a hundred times each, while all cores are busy.
// Holds: signals/stop-to-runwrap, signals/stop-to-group, signals/other-to-runwrap, signals/other-to-group
#[test]
#[ignore = "takes many minutes: scripts/test --test it -- --ignored a_hundred_times"]
fn every_signal_arrives_a_hundred_times_each_way_under_load() {
    let site = Site::sqlite();
    let _load = load();
    for way in WAYS {
        let all = || all_signals().flat_map(|number| std::iter::repeat_n(number, 100));
        let bare = Pair::start(&site, way, false).send_each(all());
        assert!(bare.len() == all_signals().count() && bare.values().all(|times| *times == 100), "{way:?}: {bare:?}");
        let wrapped = Pair::start(&site, way, true).send_each(all());
        assert_eq!(wrapped, bare, "{way:?}");
    }
}

/// Such a signal arrived twice before there was a witness: from the kernel and from the supervisor.
// Holds: signals/stop-to-group, signals/other-to-group
#[test]
fn a_signal_to_the_group_arrives_once() {
    let site = Site::sqlite();
    let _load = load();
    for way in WAYS {
        // One signal that is only relayed, one that is journaled first, and one that is queued.
        for number in [10, 15, 40] {
            let received = Pair::start(&site, way, true).send_each(std::iter::repeat_n(number, 50));
            assert_eq!(received, Counts::from([(number, 50)]), "{way:?}");
        }
    }
}

// Holds: signals/real-time
#[test]
fn real_time_signals_keep_order_and_values() {
    let site = Site::sqlite();
    let mut subject = Subject::alone(&site, true);
    let mut sender = Conversation::sender();
    for value in 0..300 {
        sender.ask(&format!("queue {} 40 {value}", subject.pid));
    }
    let expected: Vec<String> = (0..300).map(|value| format!("40 {value}")).collect();
    assert_eq!(subject.rest(), expected);
}

#[test]
fn flood_of_real_time_signals_to_the_group_arrives_whole() {
    let site = Site::sqlite();
    let _load = load();
    let mut subject = Subject::alone(&site, true);
    let mut sender = Conversation::sender();
    for _ in 0..300 {
        sender.send(&format!("kill -{} 40", subject.group));
    }
    (0..300).for_each(|_| assert_eq!(sender.recv(), "sent"));
    assert_eq!(count(&subject.rest()), Counts::from([(40, 300)]));
}

/// The kernel merges a standard signal with a pending one, so fewer than 100 may arrive, but at least one.
#[test]
fn flood_of_one_signal_is_never_multiplied() {
    let site = Site::sqlite();
    for target in ["", "-"] {
        let mut subject = Subject::alone(&site, true);
        let mut sender = Conversation::sender();
        for _ in 0..100 {
            sender.send(&format!("kill {target}{} 10", subject.pid));
        }
        (0..100).for_each(|_| assert_eq!(sender.recv(), "sent"));
        let times = count(&subject.rest())[&10];
        assert!((1..=100).contains(&times), "{times}");
    }
}

/// A probe under GNU timeout, bare or under runwrap. At SIGALRM timeout sends SIGUSR1 to its child and then to the whole
/// group.
fn under_timeout(site: &Site, wrapped: bool) -> Subject {
    Subject::start(arguments(site.program("timeout"), &["-s", "USR1", "1h"]), wrapped)
}

/// How often SIGUSR1 arrives once the time of `subject` runs out.
#[track_caller]
fn time_out(mut subject: Subject, sender: &mut Conversation) -> usize {
    let timeout = subject.talk.pid();
    // Before it waits, timeout may not have its child yet and would just exit.
    wait_until("timeout waits", || procfs::state(timeout) == Some('S'));
    sender.ask(&format!("kill {timeout} 14"));
    subject.receives(10);
    1 + count(&subject.rest()).get(&10).copied().unwrap_or(0)
}

/// If the first signal is still pending when the second comes, the kernel merges both.
// Holds: signals/timeout-command
#[test]
fn merged_signals_of_gnu_timeout_arrive_once() {
    let site = Site::sqlite();
    let mut sender = Conversation::sender();
    for wrapped in [false, true] {
        for _ in 0..10 {
            let subject = under_timeout(&site, wrapped);
            // The SIGCONT that timeout sends after the two signals continues it.
            sender.ask(&format!("kill {} 19", subject.pid));
            wait_until("the process is stopped", || procfs::state(subject.pid) == Some('T'));
            assert_eq!(time_out(subject, &mut sender), 1, "wrapped: {wrapped}");
        }
    }
}

// Holds: signals/timeout-command
#[test]
fn signal_of_gnu_timeout_is_never_multiplied() {
    let site = Site::sqlite();
    let mut sender = Conversation::sender();
    let subjects: Vec<Subject> = (0..20).map(|_| under_timeout(&site, true)).collect();
    for subject in subjects {
        let times = time_out(subject, &mut sender);
        assert!((1..=2).contains(&times), "{times}");
    }
}
