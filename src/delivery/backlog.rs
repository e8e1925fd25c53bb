//! The backlog: the runs that earlier processes left in the state directory for one database, and the one loop that delivers
//! them. The lingering keeper, `recover` and `recover --every` each give it an [`Operator`]; `policy` decides.
//! Must not print, open a database or wait by itself.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::inspection::{DeadRun, Inspection, inspect};
use super::policy::{NextRound, Outcome, RoundEnd, Schedule, next_round, sort_out};
use super::{Delivery, Destination};
use crate::journal::{Home, is_hidden};
use crate::sys::{clock, random};

/// The held directories that [`Backlog::has_dead_again`] inspects at most: each delays the end of a run by about 10 µs.
const HELD_MAX: usize = 256;

/// The part of the loop that differs from process to process.
pub trait Operator {
    type Error;

    /// Makes one bounded attempt at `delivery`, after `failures` failed rounds in a row, and logs an error.
    fn deliver(&mut self, name: &OsStr, run: &DeadRun, delivery: Delivery, failures: u32) -> Outcome;

    /// Reports a run directory that cannot be read or removed.
    fn unusable(&mut self, name: &OsStr, error: io::Error);

    /// Whether the round goes on with the next run.
    fn goes_on(&mut self) -> bool {
        true
    }

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
#[derive(Debug, Default)]
pub struct Backlog {
    state_dir: PathBuf,
    destination: Destination,
    dry_run: bool,
    /// Failed rounds in a row.
    failures: u32,
    /// Runs that need a person: no second attempt before the next round of a service. And the run of this process.
    set_aside: HashSet<OsString>,
    /// Directories whose lock was held at the last scan.
    held: Vec<OsString>,
    /// The runs of other databases at the last scan.
    foreign: usize,
}

impl Backlog {
    /// The backlog for `destination`, after `failures` failed rounds of an earlier image. A dry run changes nothing.
    pub fn new(state_dir: PathBuf, destination: Destination, dry_run: bool, failures: u32) -> Self {
        Self { state_dir, destination, dry_run, failures, ..Self::default() }
    }

    /// Leaves out the run in the directory `name`, which this process keeps.
    #[must_use]
    pub fn without(mut self, name: &OsStr) -> Self {
        self.set_aside.insert(name.to_owned());
        self
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
        let end = self.claim_each(usize::MAX, |backlog, home, name, claimed| {
            if !operator.goes_on() {
                return Some(RoundEnd::Stopped);
            }
            let outcome = claimed.and_then(|run| {
                let outcome = operator.deliver(&name, &run, run.delivery()?, backlog.failures);
                if outcome == Outcome::Delivered {
                    backlog.failures = 0;
                    // A run that stays is delivered again later, without effect.
                    if !backlog.dry_run {
                        home.remove_run(&run.directory)?;
                    }
                }
                Ok(outcome)
            });
            match outcome {
                Ok(Outcome::Delivered) => return None,
                Ok(Outcome::Ends(end)) => return Some(end),
                Ok(Outcome::Refused | Outcome::Alive) => {}
                Err(error) => operator.unusable(&name, error),
            }
            backlog.set_aside.insert(name);
            None
        })?;
        Ok(end.unwrap_or(RoundEnd::Finished))
    }

    /// Reads the directory of runs and clears away dead unborn runs; `None` without a state directory.
    fn scan(&mut self) -> io::Result<Option<(Home, Vec<OsString>)>> {
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
        let may_be_ours = |name: &OsStr| self.destination.may_be_named(name);
        let (candidates, foreign) = sort_out(names.runs, may_be_ours, &self.set_aside, self.failures);
        self.foreign = foreign;
        Ok(Some((home, candidates)))
    }

    /// Scans the directory and inspects at most `limit` runs. Gives each dead or unreadable one to `work` until that returns an end.
    fn claim_each<E>(
        &mut self,
        limit: usize,
        mut work: impl FnMut(&mut Self, &Home, OsString, io::Result<Box<DeadRun>>) -> Option<E>,
    ) -> io::Result<Option<E>> {
        let Some((home, candidates)) = self.scan()? else { return Ok(None) };
        let end = candidates.into_iter().take(limit).find_map(|name| {
            let claimed = self.claim(&home, &name).transpose()?;
            work(self, &home, name, claimed)
        });
        if self.foreign > 0 {
            log::info!(event = "foreign_runs_left", runs = self.foreign, database = self.destination.place();
                "{} journals in the state directory are of other databases", self.foreign);
        }
        Ok(end)
    }

    /// Takes a dead run. Quarantines a damaged journal and removes a run without a beginning; a dry run leaves both. Logs every
    /// directory that stays, except a foreign one.
    fn claim(&mut self, home: &Home, name: &OsStr) -> io::Result<Option<Box<DeadRun>>> {
        match inspect(home, name, &self.destination)? {
            Inspection::Dead(run) => return Ok(Some(run)),
            Inspection::Held(_) => self.held.push(name.to_owned()),
            Inspection::Foreign(_) => self.foreign += 1,
            Inspection::Unprotected(demanded) => {
                log::info!(event = "run_left", run:? = name, demanded:%;
                    "the journal of run {} demands {demanded}, which the connection is not", name.display());
            }
            Inspection::Elsewhere(host) => {
                log::info!(event = "run_left", run:? = name, host;
                    "the journal of run {} is of host {host}", name.display());
            }
            Inspection::NeverBegun(directory) if !self.dry_run => home.remove_run(&directory)?,
            Inspection::Emptied if !self.dry_run => home.remove_emptied(name)?,
            Inspection::Gone | Inspection::NeverBegun(_) | Inspection::Emptied => {}
            Inspection::Damaged(damage, _) if self.dry_run => {
                let run = name.display();
                log::error!(event = "run_damaged", run:%; "the journal of run {run} is damaged: {damage}");
            }
            Inspection::Damaged(damage, directory) => {
                let path = home.quarantine(&directory)?.display().to_string();
                let hint = "read it, end its record with runwrap finalize, then remove it";
                log::error!(event = "run_quarantined", run:% = name.display(), hint;
                    "a damaged journal ({damage}) was moved to {path}");
            }
            Inspection::Newer(damage) => {
                log::info!(event = "run_left", run:? = name, cause:% = damage;
                    "the journal of run {} is of a newer runwrap: {damage}", name.display());
            }
        }
        Ok(None)
    }

    /// Scans for a dead run, for a process that then starts or ends a loop. Inspects at most `limit` directories.
    pub fn has_dead(&mut self, limit: usize) -> bool {
        let scanned = self.claim_each(limit, |_backlog, _home, name, claimed| readable(&name, claimed));
        let unreadable = |error: &io::Error| {
            log::warn!(event = "state_directory_unreadable", path:? = self.state_dir, error:%;
            "the state directory cannot be read: {error}");
        };
        scanned.inspect_err(unreadable).is_ok_and(|found| found.is_some())
    }

    /// Inspects the directories again whose locks were held at the last scan: the kernel may have been closing the files of
    /// a killed process then. Held by `locks_freed_after_the_first_scan_are_seen_at_the_end`.
    pub fn has_dead_again(&mut self) -> bool {
        let held = std::mem::take(&mut self.held);
        if held.is_empty() {
            return false;
        }
        let Ok(home) = Home::open(&self.state_dir) else { return false };
        let (unborn, runs): (Vec<_>, Vec<_>) = held.iter().take(HELD_MAX).partition(|name| is_hidden(name));
        for name in unborn {
            is_removed(&home, name);
        }
        runs.into_iter().any(|name| readable(name, self.claim(&home, name)).flatten().is_some())
    }
}

/// The claim on a run directory, unless it cannot be read: then a later run inspects it again.
fn readable<T>(name: &OsStr, claimed: io::Result<T>) -> Option<T> {
    claimed
        .inspect_err(|error| {
            log::warn!(event = "run_unreadable", run:? = name, error:%;
        "the journal of run {} cannot be read: {error}", name.display());
        })
        .ok()
}

/// Removes a dead unborn run. One that stays is logged and stops no other.
fn is_removed(home: &Home, name: &OsStr) -> bool {
    home.remove_unborn(name).unwrap_or_else(|error| {
        log::info!(event = "remains_left", run:? = name, error:%;
            "the remains of run {} cannot be removed: {error}", name.display());
        true
    })
}

#[cfg(test)]
mod tests;
