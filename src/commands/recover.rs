//! `runwrap recover`: delivers the backlog of the state directory, then ends the records of runs whose lease has run out and,
//! on demand, of rows that nothing watches. Prints each record before and after. The loop and its policy are `delivery`'s.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::time::Duration;

use serde_json::Value;

use super::ask::Database;
use super::repaired::Repaired;
use super::service::Service;
use crate::commands::{CommandError, RecoverArgs};
use crate::config::Settings;
use crate::delivery::{
    Backlog, DeadRun, Inspection, Operator, Outcome, RoundEnd, Schedule, doubt, give_up, inspect, lease_ran_out,
    presume,
};
use crate::journal::{Home, run_id_of};
use crate::output;
use crate::record::RunId;
use crate::store::attempt::Keep;
use crate::store::{Store, StoreError};

/// The verb at work: its round, and between the rounds its service.
struct Recovery<'a> {
    settings: &'a Settings,
    args: &'a RecoverArgs,
    database: Database<'a>,
    /// With `--every`.
    service: Option<Service>,
    is_first: bool,
    done: Vec<Repaired>,
    /// The error that ended the deliveries of this round.
    failure: Option<CommandError>,
    /// Runs that could not be delivered.
    left: usize,
    /// Records that the database refused to end.
    refused: usize,
    refusals: HashSet<String>,
}

/// Recovers and prints; with `--every` until SIGTERM.
///
/// # Errors
/// The state directory or the database cannot be used, or something could not be delivered; the rest was. A service ends
/// with the error of its first round only, if retrying would not help.
pub(super) fn recover(settings: &Settings, args: &RecoverArgs) -> Result<(), CommandError> {
    let service = args.every.map(|_pause| Service::start()).transpose().map_err(CommandError::Service)?;
    let mut recovery = Recovery {
        settings,
        args,
        database: Database::of(settings),
        service,
        is_first: true,
        done: Vec::new(),
        failure: None,
        left: 0,
        refused: 0,
        refusals: HashSet::new(),
    };
    let identity = settings.database.identity();
    Backlog::new(settings.state_dir.clone(), identity, args.dry_run, 0).work(&mut recovery)?;
    if args.every.is_some() {
        log::info!(event = "recover_ended"; "");
    }
    Ok(())
}

impl Operator for Recovery<'_> {
    type Error = CommandError;

    fn deliver(&mut self, name: &OsStr, run: &DeadRun, _failures: u32) -> Outcome {
        match self.deliver_run(name, run) {
            Ok(repaired) => {
                self.done.push(repaired);
                Outcome::Delivered
            }
            Err(error) if error.is_transient() => {
                self.failure = Some(error);
                Outcome::Unavailable
            }
            Err(error) => {
                self.leave(name, &error);
                Outcome::Refused
            }
        }
    }

    fn unusable(&mut self, name: &OsStr, error: io::Error) {
        let error = self.unusable_run(name, error);
        self.leave(name, &error);
    }

    fn goes_on(&mut self) -> bool {
        self.service.as_ref().is_none_or(Service::goes_on)
    }

    fn complete(&mut self, round: io::Result<RoundEnd>) -> Result<RoundEnd, CommandError> {
        let end = *round.as_ref().unwrap_or(&RoundEnd::Unavailable);
        let result = self.complete_round(round);
        self.database.close();
        // The records are printed even if another part of the round failed.
        if self.service.is_none() || !self.done.is_empty() {
            print(&self.done, self.args.json)?;
        }
        self.done.clear();
        (self.left, self.refused) = (0, 0);
        self.refusals.clear();
        let is_first = std::mem::replace(&mut self.is_first, false);
        match (result, &mut self.service) {
            (Ok(()), None) => {}
            (Ok(()), Some(service)) => service.forget_errors(),
            (Err(error), None) => return Err(error),
            // It has never worked: more likely a mistake in its configuration.
            (Err(error), Some(_)) if is_first && error.needs_a_person() => return Err(error),
            (Err(error), Some(service)) => {
                let message = error.to_string();
                if service.is_new(&message) {
                    log::error!(event = "round_failed", hint = error.hint(); "{message}");
                } else {
                    log::info!(event = "round_failed", error = message; "");
                }
            }
        }
        Ok(end)
    }

    fn schedule(&self) -> Schedule {
        self.args.every.map_or(Schedule::Once, Schedule::Every)
    }

    fn wait(&mut self, pause: Duration, _end: RoundEnd, _failures: u32) -> Result<bool, CommandError> {
        Ok(self.service.as_ref().is_some_and(|service| service.wait(pause)))
    }
}

impl Recovery<'_> {
    fn deliver_run(&mut self, name: &OsStr, run: &DeadRun) -> Result<Repaired, CommandError> {
        let delivery = run.delivery().map_err(|cause| self.unusable_run(name, cause))?;
        let run_id = run.state.begin.run.run_id;
        // The journal names its table, which need not be the one of the settings.
        let ended = self.ask(&run.state.begin.table, "deliver a run", move |store| {
            let before = store.show(&run_id.to_string())?;
            delivery.deliver(store)?;
            Ok(Repaired { before, after: store.show(&run_id.to_string())? })
        })?;
        if !self.args.dry_run {
            log::info!(event = "recovered", run_id:%; "");
        }
        Ok(ended)
    }

    /// Reports a run that stays.
    fn leave(&mut self, name: &OsStr, error: &CommandError) {
        let level = self.level(&format!("{}: {error}", name.display()));
        log::log!(level, event = "recover_failed", run:? = name, hint = error.hint(); "{error}");
        self.left += 1;
    }

    /// The log level of an error: a service reports each one once.
    fn level(&mut self, error: &str) -> log::Level {
        let is_new = self.service.as_mut().is_none_or(|service| service.is_new(error));
        if is_new { log::Level::Error } else { log::Level::Debug }
    }

    fn unusable_run(&self, name: &OsStr, cause: io::Error) -> CommandError {
        CommandError::StateDirectory { path: self.settings.state_dir.join("runs").join(name), cause }
    }

    /// Ends the records without a journal, and sums up the round.
    fn complete_round(&mut self, round: io::Result<RoundEnd>) -> Result<(), CommandError> {
        let end = round.map_err(|cause| self.unusable_directory(cause))?;
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        if end == RoundEnd::Finished {
            self.presume_overdue()?;
            if let Some(silent) = self.args.stuck_after {
                self.give_up_silent(silent)?;
            }
        }
        match (self.left, self.refused) {
            (0, 0) => Ok(()),
            (0, records) => Err(CommandError::Refused { records }),
            (left, _) => Err(CommandError::Left { left, path: self.settings.state_dir.clone() }),
        }
    }

    fn unusable_directory(&self, cause: io::Error) -> CommandError {
        CommandError::StateDirectory { path: self.settings.state_dir.clone(), cause }
    }

    /// Presumes runs lost whose lease has run out.
    fn presume_overdue(&mut self) -> Result<(), CommandError> {
        let table = &self.settings.table;
        let overdue = self.ask(table, "look for lost runs", Store::overdue)?;
        let journaled = self.journaled(&overdue).map_err(|cause| self.unusable_directory(cause))?;
        for run_id in overdue {
            if !self.goes_on() {
                break;
            }
            if journaled.contains(&run_id) {
                continue;
            }
            let presumption = lease_ran_out();
            let work = move |store: &mut Store| presume(store, run_id, presumption.clone());
            let ended = self.ask(table, "end the record of a lost run", work);
            if self.record(&format!("run {run_id}"), ended)? {
                log::info!(event = "presumed_lost", run_id:%; "");
            }
        }
        Ok(())
    }

    /// The runs among `overdue` with a journal here that is alive or ours: its lock and its end know more than a lease.
    fn journaled(&self, overdue: &[RunId]) -> io::Result<HashSet<RunId>> {
        if overdue.is_empty() || !self.settings.state_dir.exists() {
            return Ok(HashSet::new());
        }
        let home = Home::open(&self.settings.state_dir)?;
        let identity = self.settings.database.identity();
        let is_journaled =
            |name: &OsString| matches!(inspect(&home, name, &identity), Ok(Inspection::Dead(_) | Inspection::Held));
        let named = home.names()?.runs.into_iter().filter_map(|name| Some((run_id_of(&name)?, name)));
        let known = named.filter(|(run_id, name)| overdue.contains(run_id) && is_journaled(name));
        Ok(known.map(|(run_id, _name)| run_id).collect())
    }

    /// Gives up rows that nothing watches and that have been silent for so long.
    fn give_up_silent(&mut self, silent: Duration) -> Result<(), CommandError> {
        let table = &self.settings.table;
        let doubt = doubt(silent, self.args.assume_now);
        let silent_seconds = doubt.silent_seconds;
        let suspects = self.ask(table, "look for stuck records", move |store| store.stuck(silent_seconds))?;
        for suspect in suspects {
            if !self.goes_on() {
                break;
            }
            let (record_id, doubt) = (suspect.record_id.clone(), doubt.clone());
            let work = move |store: &mut Store| give_up(store, &suspect, doubt.clone());
            let ended = self.ask(table, "end a stuck record", work);
            if self.record(&format!("record {record_id}"), ended)? {
                log::info!(event = "given_up", record_id:%; "");
            }
        }
        Ok(())
    }

    /// Takes the result for one record; true if it was ended for good. A record that the database refuses to change, by a
    /// constraint or a trigger, stops no other.
    fn record(&mut self, what: &str, ended: Result<Option<Repaired>, CommandError>) -> Result<bool, CommandError> {
        match ended {
            Ok(ended) => {
                let is_ended = ended.is_some();
                self.done.extend(ended);
                Ok(is_ended && !self.args.dry_run)
            }
            Err(error) if error.is_transient() => Err(error),
            Err(error) => {
                self.refused += 1;
                // One error for all records, such as a missing right, is reported once.
                let is_new = self.refusals.insert(error.to_string());
                let level = if is_new { self.level(&format!("{what}: {error}")) } else { log::Level::Debug };
                log::log!(level, event = "refused", what, hint = error.hint(); "{what}: {error}");
                Ok(false)
            }
        }
    }

    /// Asks the database; in a dry run nothing of it lasts, and no rehearsal sees another.
    fn ask<T: Send + 'static>(
        &mut self,
        table: &str,
        purpose: &'static str,
        work: impl Fn(&mut Store) -> Result<T, StoreError> + Clone + Send + 'static,
    ) -> Result<T, CommandError> {
        let rehearses = self.args.dry_run;
        let keep = if rehearses { Keep::Closed } else { Keep::Open };
        self.database.ask(table, keep, purpose, move |store| {
            if rehearses {
                store.rehearse();
            }
            work(store)
        })
    }
}

fn print(done: &[Repaired], json: bool) -> Result<(), CommandError> {
    let text = if json {
        output::json(&Value::Array(done.iter().map(Repaired::as_json).collect()))
    } else {
        done.iter().map(Repaired::as_line).collect()
    };
    Ok(output::print(&text)?)
}
