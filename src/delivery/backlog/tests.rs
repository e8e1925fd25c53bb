//! The loop over real directories, with an operator that only counts.

use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::config::DatabaseTarget;
use crate::journal::{Begin, JournalFile, RunDirectory, Writer};
use crate::record::RunId;

const OURS: &str = "sqlite:/ours";
const OTHER: &str = "sqlite:/other";

/// Answers with `outcomes` in turn, then with `Delivered`.
#[derive(Default)]
struct Counter {
    outcomes: Vec<Outcome>,
    attempts: Vec<OsString>,
    unusable: usize,
    ends: Vec<RoundEnd>,
    rounds: usize,
}

impl Operator for Counter {
    type Error = io::Error;

    fn deliver(&mut self, name: &OsStr, _run: &DeadRun, _delivery: Delivery, _failures: u32) -> Outcome {
        self.attempts.push(name.to_owned());
        if self.outcomes.is_empty() { Outcome::Delivered } else { self.outcomes.remove(0) }
    }

    fn unusable(&mut self, _name: &OsStr, _error: io::Error) {
        self.unusable += 1;
    }

    fn complete(&mut self, round: io::Result<RoundEnd>) -> io::Result<RoundEnd> {
        self.ends.push(*round.as_ref().unwrap());
        round
    }

    fn schedule(&self) -> Schedule {
        Schedule::Every(Duration::ZERO)
    }

    fn wait(&mut self, _pause: Duration, _end: RoundEnd, _failures: u32) -> io::Result<bool> {
        self.rounds = self.rounds.saturating_sub(1);
        Ok(self.rounds > 0)
    }
}

/// A state directory with runs for two databases. The test is their supervisor: dropping a run kills it.
struct Place {
    directory: TempDir,
    home: Home,
}

impl Place {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let home = Home::open(directory.path()).unwrap();
        Self { directory, home }
    }

    /// Publishes a run for `identity` whose journal is meant for `database`.
    fn run(&self, identity: &str, database: &str) -> RunDirectory {
        let run_id = RunId(Uuid::now_v7());
        let directory = self.home.make_run(run_id, identity, Duration::from_mins(5)).unwrap();
        let begin: Begin = serde_json::from_value(json!({
            "format": crate::journal::FORMAT, "database": database, "table": "training_records", "metrics_file": null,
            "metrics_file_before": null, "begun_boot_us": 0,
            "run": {
                "run_id": run_id, "name": "n", "version": null, "adopt": null, "set": [], "begun_at": "2026-11-29T18:00:00Z",
                "command": [], "cwd": "/", "host": "h", "username": "u", "context": {}, "model_path": null,
                "lease_seconds": 300,
            },
        }))
        .unwrap();
        let (journal, error) = JournalFile::create(Some(&directory));
        assert!(error.is_none());
        Writer::begin(journal, Some(&directory), begin).unwrap();
        self.home.publish(&directory).unwrap();
        directory
    }

    fn backlog(&self, dry_run: bool) -> Backlog {
        let target = DatabaseTarget::Sqlite(OURS.trim_start_matches("sqlite:").into());
        Backlog::new(self.directory.path().to_owned(), Destination::of(&target), dry_run, 0)
    }

    fn left(&self) -> usize {
        self.home.names().unwrap().runs.len()
    }
}

fn work(backlog: &mut Backlog, outcomes: &[Outcome], rounds: usize) -> Counter {
    let mut operator = Counter { outcomes: outcomes.to_vec(), rounds, ..Counter::default() };
    assert!(!backlog.work(&mut operator).unwrap());
    operator
}

#[test]
fn a_round_delivers_each_dead_run_of_its_database_once() {
    let place = Place::new();
    for _ in 0..3 {
        drop(place.run(OURS, OURS));
    }
    drop(place.run(OTHER, OTHER));
    let living = place.run(OURS, OURS);
    let operator = work(&mut place.backlog(false), &[], 2);
    assert_eq!((operator.attempts.len(), operator.unusable), (3, 0));
    assert_eq!(operator.ends, [RoundEnd::Finished; 2]);
    assert_eq!(place.left(), 2);
    assert!(living.path().exists());
}

/// The tag only excludes: two identities may share one, and the journal decides.
#[test]
fn a_matching_name_does_not_deliver_a_foreign_journal() {
    let place = Place::new();
    drop(place.run(OURS, OTHER));
    let operator = work(&mut place.backlog(false), &[], 1);
    assert_eq!((operator.attempts.len(), place.left()), (0, 1));
}

#[test]
fn outage_ends_the_round_and_the_next_begins_with_another_run() {
    let place = Place::new();
    let names = [(); 3].map(|()| place.run(OURS, OURS).path().file_name().unwrap().to_owned());
    let operator =
        work(&mut place.backlog(false), &[Outcome::Ends(RoundEnd::Unavailable), Outcome::Ends(RoundEnd::Hung)], 3);
    assert_eq!(operator.ends, [RoundEnd::Unavailable, RoundEnd::Hung, RoundEnd::Finished]);
    let order = [0, 1, 2, 0, 1].map(|index: usize| names[index].clone());
    assert_eq!(operator.attempts, order);
    assert_eq!(place.left(), 0);
}

#[test]
fn a_refused_run_stays_and_stops_no_other() {
    let place = Place::new();
    drop((place.run(OURS, OURS), place.run(OURS, OURS)));
    let mut backlog = place.backlog(false);
    let operator = work(&mut backlog, &[Outcome::Refused], 1);
    assert_eq!((operator.attempts.len(), place.left()), (2, 1));
    // A service tries again at its next round.
    assert_eq!(work(&mut place.backlog(false), &[Outcome::Refused], 2).attempts.len(), 2);
    assert_eq!(place.left(), 0);
}

#[test]
fn a_dry_run_removes_nothing() {
    let place = Place::new();
    drop(place.run(OURS, OURS));
    assert_eq!(work(&mut place.backlog(true), &[], 1).attempts.len(), 1);
    assert_eq!(place.left(), 1);
}

#[test]
fn a_run_that_was_held_at_the_scan_is_found_dead_later() {
    let place = Place::new();
    let held = place.run(OURS, OURS);
    let mut backlog = place.backlog(false);
    assert!(!backlog.has_dead(10));
    drop(held);
    assert!(backlog.has_dead_again());
    // Inspected again only once.
    assert!(!backlog.has_dead_again());
}
