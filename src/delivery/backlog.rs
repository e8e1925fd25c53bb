//! The backlog: the runs that earlier processes left in the state directory for one database, and the one loop that delivers
//! them. The lingering keeper, `recover` and `recover --every` each give it an [`Operator`]; `policy` decides.
//! Must not print, open a database or wait by itself.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::inspection::{Claim, DeadRun, claim};
use super::policy::{NextRound, Outcome, RoundEnd, Schedule, Sorted, ends_round, next_round, sort_out};
use crate::journal::{Home, is_hidden, may_be_for, tag};
use crate::sys::{clock, random};

/// The held directories that [`Backlog::has_dead_again`] inspects at most: each delays the end of a run by about 10 µs.
const HELD_MAX: usize = 256;

/// The part of the loop that differs from process to process.
pub trait Operator {
    type Error;

    /// Delivers `run` in one bounded attempt, after `failures` failed rounds in a row, and logs an error.
    fn deliver(&mut self, name: &OsStr, run: &DeadRun, failures: u32) -> Outcome;

    /// Reports a run directory that cannot be read or removed.
    fn unusable(&mut self, name: &OsStr, error: io::Error);

    /// Whether the round goes on with the next run.
    fn goes_on(&mut self) -> bool;

    /// Completes a round. An error ends the loop.
    ///
    /// # Errors
    /// The operator's own.
    fn complete(&mut self, round: io::Result<RoundEnd>) -> Result<RoundEnd, Self::Error>;

    /// The rhythm, asked for after each round.
    fn schedule(&self) -> Schedule;

    /// Lets `pause` pass after a round that ended with `end`. False ends the loop.
    ///
    /// # Errors
    /// The operator's own.
    fn wait(&mut self, pause: Duration, end: RoundEnd, failures: u32) -> Result<bool, Self::Error>;
}

/// The runs that earlier processes left for one database.
#[derive(Debug)]
pub struct Backlog {
    state_dir: PathBuf,
    identity: String,
    tag: String,
    dry_run: bool,
    /// Failed rounds in a row.
    failures: u32,
    /// Runs that need a person: no second attempt before the next round of a service.
    set_aside: HashSet<OsString>,
    /// Directories whose lock was held at the last scan.
    held: Vec<OsString>,
}

impl Backlog {
    /// The backlog for the database `identity`, after `failures` failed rounds of an earlier image. A dry run changes nothing.
    pub fn new(state_dir: PathBuf, identity: String, dry_run: bool, failures: u32) -> Self {
        let tag = tag(&identity);
        Self { state_dir, identity, tag, dry_run, failures, set_aside: HashSet::new(), held: Vec::new() }
    }

    /// Works on the backlog by the operator's schedule. False if it gave up or was stopped with runs left.
    ///
    /// # Errors
    /// The operator's.
    pub fn work<O: Operator>(&mut self, operator: &mut O) -> Result<bool, O::Error> {
        loop {
            let round = self.round(operator);
            let end = operator.complete(round)?;
            if end == RoundEnd::Unavailable || end == RoundEnd::Hung {
                self.failures = self.failures.saturating_add(1);
            }
            let schedule = operator.schedule();
            match next_round(schedule, end, self.failures, clock::boot_time(), random::fraction()) {
                NextRound::Done => return Ok(true),
                NextRound::GiveUp => return Ok(false),
                NextRound::After(pause) => {
                    if !operator.wait(pause, end, self.failures)? {
                        return Ok(false);
                    }
                }
            }
            if matches!(schedule, Schedule::Every(_)) {
                self.set_aside.clear();
            }
        }
    }

    /// Scans the directory once and gives each dead run one attempt.
    fn round<O: Operator>(&mut self, operator: &mut O) -> io::Result<RoundEnd> {
        let Some((home, sorted)) = self.scan()? else { return Ok(RoundEnd::Finished) };
        let mut foreign = sorted.foreign;
        let mut end = RoundEnd::Finished;
        for name in sorted.candidates {
            if !operator.goes_on() {
                end = RoundEnd::Stopped;
                break;
            }
            match claim(&home, &name, &self.identity, self.dry_run) {
                Ok(Claim::Dead(run)) => {
                    if let Some(ended) = self.deliver(&home, name, &run, operator) {
                        end = ended;
                        break;
                    }
                }
                Ok(Claim::Held) => self.held.push(name),
                Ok(Claim::Foreign) => foreign += 1,
                Ok(Claim::Nothing) => {}
                Err(error) => self.set_aside(name, error, operator),
            }
        }
        self.log_foreign(foreign);
        Ok(end)
    }

    fn deliver<O: Operator>(
        &mut self,
        home: &Home,
        name: OsString,
        run: &DeadRun,
        operator: &mut O,
    ) -> Option<RoundEnd> {
        let outcome = operator.deliver(&name, run, self.failures);
        match outcome {
            Outcome::Delivered => {
                self.failures = 0;
                let removed = if self.dry_run { Ok(()) } else { home.remove_run(&run.directory) };
                // A run that stays is delivered again later, without effect.
                removed.unwrap_or_else(|error| self.set_aside(name, error, operator));
            }
            Outcome::Refused => {
                self.set_aside.insert(name);
            }
            Outcome::Unavailable | Outcome::Hung => {}
        }
        ends_round(outcome)
    }

    fn set_aside(&mut self, name: OsString, error: io::Error, operator: &mut impl Operator) {
        operator.unusable(&name, error);
        self.set_aside.insert(name);
    }

    /// Reads the directory of runs and clears away dead unborn runs; `None` without a state directory.
    fn scan(&mut self) -> io::Result<Option<(Home, Sorted)>> {
        self.held.clear();
        if !self.state_dir.exists() {
            return Ok(None);
        }
        let home = Home::open(&self.state_dir)?;
        let names = home.names()?;
        for name in names.unborn {
            if !self.dry_run && !is_removed(&home, &name) {
                self.held.push(name);
            }
        }
        let sorted = sort_out(names.runs, |name| may_be_for(name, &self.tag), &self.set_aside, self.failures);
        Ok(Some((home, sorted)))
    }

    fn log_foreign(&self, foreign: usize) {
        if foreign > 0 {
            log::info!(event = "foreign_runs_left", runs = foreign, database = self.identity; "");
        }
    }

    /// Scans for a dead run, for a process that then starts or ends a loop. Inspects at most `limit` directories.
    pub fn has_dead(&mut self, limit: usize) -> bool {
        let (home, sorted) = match self.scan() {
            Ok(Some(scanned)) => scanned,
            Ok(None) => return false,
            Err(error) => {
                log::warn!(event = "state_directory_unreadable", path:? = self.state_dir, error:%; "");
                return false;
            }
        };
        let mut foreign = sorted.foreign;
        let is_found = sorted.candidates.into_iter().take(limit).any(|name| {
            match self.claim_or_log(&home, &name) {
                Claim::Dead(_) => return true,
                Claim::Held => self.held.push(name),
                Claim::Foreign => foreign += 1,
                Claim::Nothing => {}
            }
            false
        });
        self.log_foreign(foreign);
        is_found
    }

    /// Inspects the directories again whose locks were held at the last scan: the kernel may have been closing the files of
    /// a killed process then. Held by `locks_freed_after_the_first_scan_are_seen_at_the_end`.
    pub fn has_dead_again(&mut self) -> bool {
        let held = std::mem::take(&mut self.held);
        let Ok(home) = Home::open(&self.state_dir) else { return false };
        let (unborn, runs): (Vec<_>, Vec<_>) = held.iter().take(HELD_MAX).partition(|name| is_hidden(name));
        for name in unborn {
            is_removed(&home, name);
        }
        runs.into_iter().any(|name| matches!(self.claim_or_log(&home, name), Claim::Dead(_)))
    }

    fn claim_or_log(&self, home: &Home, name: &OsStr) -> Claim {
        claim(home, name, &self.identity, self.dry_run).unwrap_or_else(|error| {
            log::warn!(event = "run_unreadable", run:? = name, error:%; "");
            Claim::Nothing
        })
    }
}

/// Removes a dead unborn run. One that stays is logged and stops no other.
fn is_removed(home: &Home, name: &OsStr) -> bool {
    home.remove_unborn(name).unwrap_or_else(|error| {
        log::info!(event = "remains_left", run:? = name, error:%; "");
        true
    })
}

#[cfg(test)]
mod tests;
