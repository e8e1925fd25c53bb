//! A signal sent to every process of the job, one after the other, arrives once: as systemd, Slurm, supervisord and `killall`
//! send it. And a pattern of the trainer's command line finds the trainer alone, as `pkill -f` looks for it.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use super::counting::{all_signals, load};
use super::probe::{Conversation, Counts, Subject, count, program};
use super::witness::witness_of;
use crate::support::procfs;
use crate::support::site::{Site, kill};
use crate::support::wait::wait_until;

/// Microseconds between two processes.
const GAPS: [u32; 3] = [50, 1_000, 10_000];
const RELAY_MAX: Duration = Duration::from_millis(100);

/// A probe whose processes are signalled in turn.
struct Job {
    site: Site,
    subject: Subject,
    witness: i32,
    sender: Conversation,
    sent: usize,
}

impl Job {
    #[track_caller]
    fn start() -> Self {
        let site = Site::sqlite();
        let subject = Subject::alone(&site, true);
        let witness = witness_of(subject.pid);
        wait_until("a keeper", || !site.keepers().is_empty());
        Self { site, subject, witness, sender: Conversation::sender(), sent: 0 }
    }

    /// Sends `number` to all processes, in the order with this index, and waits until it has arrived. Many signals end the keeper.
    #[track_caller]
    fn send(&mut self, number: i32, order: usize, gap: u32) {
        let keeper = self.site.keepers().first().copied().unwrap_or(self.subject.pid);
        let mut pids = vec![self.subject.pid, keeper, self.witness, self.subject.probe];
        pids.dedup();
        let mut rest = order;
        let mut line = format!("turn {gap} {number}");
        while !pids.is_empty() {
            let pid = pids.remove(rest % pids.len());
            rest /= pids.len() + 1;
            line = format!("{line} {pid}");
        }
        self.sender.ask(&line);
        self.subject.receives(number);
        // Equal signals that follow each other merge, in the queue of a bare trainer too.
        self.sent += 1;
        wait_until("runwrap knows that the trainer has it", || {
            let log = self.site.log();
            log.matches("scope=Group").count() == self.sent
        });
    }

    /// Sends each of `signals` in so many `orders`, each time in others, and compares the received signals with the sent ones.
    #[track_caller]
    fn check(mut self, signals: &[i32], orders: usize, gaps: &[u32]) {
        let mut sent = Counts::new();
        for (place, number) in signals.iter().copied().enumerate() {
            for order in 0..orders {
                for gap in gaps {
                    self.send(number, place * orders + order, *gap);
                    *sent.entry(number).or_default() += 1;
                }
            }
        }
        assert_eq!(count(&self.subject.rest()), Counts::new(), "arrived twice; {sent:?} were sent");
        assert!(self.subject.talk.end().success());
    }
}

/// Such a signal arrived twice: the witness received it too late.
// Holds: signals/stop-in-turn, signals/other-in-turn
#[test]
fn signal_to_each_process_in_turn_arrives_once() {
    Job::start().check(&all_signals().collect::<Vec<_>>(), 1, &GAPS);
}

/// In each order, while all cores are busy.
// Holds: signals/stop-in-turn, signals/other-in-turn
#[test]
fn signal_in_turn_arrives_once_under_load() {
    let _load = load();
    for gap in GAPS {
        Job::start().check(&[10, 15, 40], 8, &[gap]);
    }
}

/// Each signal in 34 orders with each gap, while all cores are busy.
// Holds: signals/stop-in-turn, signals/other-in-turn
#[test]
#[ignore = "takes many minutes: scripts/test --test it -- --ignored a_hundred_times"]
fn every_signal_in_turn_arrives_a_hundred_times_under_load() {
    let _load = load();
    for number in all_signals() {
        Job::start().check(&[number], 34, &GAPS);
    }
}

// Holds: signals/stop-to-runwrap
#[test]
fn signal_to_runwrap_alone_arrives_within_100_ms() {
    let site = Site::sqlite();
    let mut subject = Subject::alone(&site, true);
    let mut sender = Conversation::sender();
    let mut latencies: Vec<Duration> = Vec::new();
    for number in [10, 15, 40].into_iter().cycle().take(15) {
        let sent = Instant::now();
        sender.ask(&format!("kill {} {number}", subject.pid));
        subject.receives(number);
        latencies.push(sent.elapsed());
    }
    latencies.sort_unstable();
    assert!(latencies[latencies.len() / 2] < RELAY_MAX, "{latencies:?}");
    assert_eq!(subject.rest(), Vec::<String>::new());
}

/// The processes of `site` whose command line contains `pattern`, as `pkill -f` sees it.
fn found(site: &Site, pattern: &str) -> Vec<i32> {
    site.processes()
        .into_iter()
        .filter(|process| process.command.contains(pattern))
        .map(|process| process.pid)
        .collect()
}

/// A run named x whose trainer is a probe, with the pids of runwrap and the trainer.
fn named(site: &Site) -> Subject {
    let talk = Conversation::start(site.program(env!("CARGO_BIN_EXE_runwrap")).args([
        "--name",
        "x",
        "--",
        program(),
        "train.py",
    ]));
    let subject = Subject::of(talk, true);
    wait_until("runwrap hides the command", || found(site, "train.py") == [subject.probe]);
    subject
}

/// The supervisor showed the trainer's command line too, so that a pattern matched both.
// Holds: signals/pattern-of-trainer
#[test]
fn pattern_of_the_command_finds_the_trainer_alone() {
    let site = Site::sqlite();
    let mut subject = named(&site);
    let line = fs::read_to_string(format!("/proc/{}/cmdline", subject.pid)).unwrap();
    let shown = format!("{}\0--name\0x\0--\0{}\0", env!("CARGO_BIN_EXE_runwrap"), subject.probe);
    assert_eq!(line.trim_end_matches('\0'), shown.trim_end_matches('\0'));
    assert_eq!(found(&site, program()), [subject.probe]);
    for number in [10, 15] {
        for pid in found(&site, "train.py") {
            Conversation::sender().ask(&format!("kill {pid} {number}"));
        }
        subject.receives(number);
    }
    assert_eq!(subject.rest(), Vec::<String>::new());

    let site = Site::sqlite();
    let mut subject = named(&site);
    for pid in found(&site, "train.py") {
        kill(pid, "KILL");
    }
    subject.talk.end();
    let record = site.record();
    assert_eq!(
        (&record["reason"], &record["signal"], &record["command"][1]),
        (&json!("signal"), &json!("SIGKILL"), &json!("train.py"))
    );
}

// Holds: signals/pattern-of-runwrap
#[test]
fn pattern_of_runwrap_stops_the_run() {
    let site = Site::sqlite();
    let mut subject = named(&site);
    let options = format!("{} --name x", env!("CARGO_BIN_EXE_runwrap"));
    assert_eq!(found(&site, &options), [subject.pid]);
    // `pkill runwrap` also finds the keeper, by its name.
    let names = site.processes().into_iter().map(|process| process.pid);
    let by_name: Vec<i32> =
        names.filter(|pid| procfs::name(*pid).is_some_and(|name| name.contains("runwrap"))).collect();
    assert_eq!(by_name.len(), 2);
    let pids: Vec<String> = by_name.iter().map(i32::to_string).collect();
    assert!(Command::new("kill").arg("-TERM").args(pids).status().unwrap().success());
    subject.receives(15);
    assert_eq!(subject.rest(), Vec::<String>::new());
}
