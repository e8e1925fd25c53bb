//! `runwrap recover`: delivers the backlog of the state directory, then ends the records of runs whose lease has run out and,
//! on demand, of rows that nothing watches. Prints each record before and after. The loop and its policy are `delivery`'s.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::time::Duration;

use serde_json::Value;

use super::ask::Database;
use super::left::left;
use super::repaired::column;
use super::service::Service;
use crate::commands::{CommandError, RecoverArgs};
use crate::config::Settings;
use crate::delivery::{
    Backlog, DeadRun, Delivery, Destination, ON_FINISH_LIMIT, Operator, Outcome, RoundEnd, Schedule, Silent, doubt,
    journaled, run_on_finish,
};
use crate::output;
use crate::record::{Applied, RunId};
use crate::store::attempt::Keep;
use crate::store::{Decided, RecordView, Store, StoreError};
use crate::sys::replace::replace_file;
use crate::web::{self, Events, MetricsFormat, render, waiting_journals};

/// The number of messages about journals that a service remembers, so that none is repeated at every round.
const NAMED_MAX: usize = 1000;

/// The verb at work: its round, and between the rounds its service.
struct Recovery<'a> {
    settings: &'a Settings,
    args: &'a RecoverArgs,
    database: Database<'a>,
    /// With `--every`, and beside the pages of `serve`.
    service: Option<Service>,
    /// For metrics, and for the pages.
    events: Events,
    /// Beside pages, which show the result, nothing is printed.
    is_beside: bool,
    is_first: bool,
    round: Round,
    destination: Destination,
    /// The messages about the journals that are left, each reported once.
    named: HashSet<String>,
}

/// The results of one round.
#[derive(Default)]
struct Round {
    done: Vec<Decided>,
    /// The error that ended the deliveries.
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
    let events = Events::new(Some(args.every.unwrap_or_default()));
    work(settings, args, service, events, false)?;
    if args.every.is_some() {
        log::info!(event = "recover_ended"; "recover ends");
    }
    Ok(())
}

/// Recovers beside the pages of `serve` until a signal ends both, and reports each round to `events`.
///
/// # Errors
/// Those of the first round, as of a service.
pub(super) fn recover_beside(settings: &Settings, args: &RecoverArgs, events: Events) -> Result<(), CommandError> {
    let service = Service::beside().map_err(CommandError::Service)?;
    work(settings, args, Some(service), events, true)
}

fn work(
    settings: &Settings,
    args: &RecoverArgs,
    service: Option<Service>,
    events: Events,
    is_beside: bool,
) -> Result<(), CommandError> {
    let (database, round) = (Database::of(settings), Round::default());
    let destination = Destination::of(&settings.database).and_from(args.from.as_deref());
    let mut backlog = Backlog::new(settings.state_dir.clone(), destination.clone(), args.dry_run, 0);
    let named = HashSet::new();
    let mut recovery =
        Recovery { settings, args, database, service, events, is_beside, is_first: true, round, destination, named };
    backlog.work(&mut recovery).map(drop)
}

impl Operator for Recovery<'_> {
    type Error = CommandError;

    fn deliver(&mut self, name: &OsStr, run: &DeadRun, delivery: Delivery, _failures: u32) -> Outcome {
        let run_id = run.state.begin.run.run_id;
        let delivery = delivery.claiming(self.claims());
        // The journal names its table, which need not be the one of the settings.
        let ended = self.ask(run.state.table(), "deliver a run", move |store| {
            let before = store.show(&run_id.to_string())?;
            let delivered = delivery.deliver(store)?;
            if delivered.lacks_series {
                let message = "its end is in the database, and its curves could not be written".to_owned();
                return Err(StoreError::BadInput {
                    message,
                    hint: "recover again: another program locks runwrap_series".to_owned(),
                });
            }
            let applied = if delivered.ended { Applied::Written } else { Applied::Kept };
            // The end is claimed: its command must run whatever follows.
            let after = store.show(&run_id.to_string()).unwrap_or_else(|_| delivered.finished.clone());
            Ok((Decided { applied, before, after }, delivered.finished))
        });
        match ended {
            Ok((Decided { applied: Applied::Kept, .. }, _)) => Outcome::Alive,
            Ok((repaired, finished)) => {
                self.on_finish(finished);
                if !self.args.dry_run {
                    log::info!(event = "recovered", run_id:%; "run {run_id} is delivered");
                }
                self.round.done.push(repaired);
                Outcome::Delivered
            }
            Err(error) if error.is_transient() => {
                self.round.failure = Some(error);
                Outcome::Ends(RoundEnd::Unavailable)
            }
            Err(error) => {
                self.leave(name, &error);
                Outcome::Refused
            }
        }
    }

    fn unusable(&mut self, name: &OsStr, cause: io::Error) {
        let path = self.settings.state_dir.join("runs").join(name);
        self.leave(name, &CommandError::StateDirectory { path, cause });
    }

    fn goes_on(&mut self) -> bool {
        self.service.as_ref().is_none_or(Service::goes_on)
    }

    fn complete(&mut self, round: io::Result<RoundEnd>) -> Result<RoundEnd, CommandError> {
        let end = *round.as_ref().unwrap_or(&RoundEnd::Unavailable);
        let mut result = self.complete_round(round);
        let done = std::mem::take(&mut self.round).done;
        if let Err(error) = self.report(&done, result.as_ref().err()) {
            result = result.and(Err(error));
        }
        self.database.close();
        // The records are printed even if another part of the round failed.
        if !self.is_beside && (self.service.is_none() || !done.is_empty()) {
            output::print(&if self.args.json {
                output::json(&Value::Array(done.iter().map(Decided::as_json).collect()))
            } else {
                done.iter().map(Decided::as_line).collect()
            })?;
        }
        self.name_left();
        let is_first = std::mem::replace(&mut self.is_first, false);
        match (result, &mut self.service) {
            (Ok(()), None) => {}
            (Ok(()), Some(service)) => service.forget_errors(),
            // It has never worked: more likely a mistake in its configuration.
            (Err(error), Some(service)) if !(is_first && error.needs_a_person()) => {
                let message = error.to_string();
                if service.is_new(&message) {
                    log::error!(event = "round_failed", hint = error.hint(); "{message}");
                } else {
                    log::info!(event = "round_failed", error = message; "this round failed: {message}");
                }
            }
            (Err(error), _) => return Err(error),
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
    /// Reports a round to the pages and writes the metrics.
    fn report(&mut self, done: &[Decided], error: Option<&CommandError>) -> Result<(), CommandError> {
        if !self.is_beside && self.args.textfile.is_none() {
            return Ok(());
        }
        let reason = |decided: &Decided| column(decided.after.as_ref(), "reason").as_str().map(str::to_owned);
        let journals = waiting_journals(&self.settings.state_dir, &self.settings.database);
        let ended = done.iter().filter_map(reason).collect();
        self.events.recovered(web::Round { ended, error: error.map(ToString::to_string), journals: Some(journals) });
        let Some(path) = self.args.textfile.clone() else { return Ok(()) };
        let gauges = self.ask(&self.settings.table, "read the numbers of the metrics", Store::gauges);
        // The file shows it by a metric of its own.
        let gauges = gauges.inspect_err(|error| log::info!(event = "gauges_unread"; "{error}")).ok();
        let text = render(&self.events.figures(gauges), MetricsFormat::Prometheus);
        let written = text.map_err(io::Error::other).and_then(|text| replace_file(&path, text.as_bytes()));
        written.map_err(|cause| CommandError::Textfile { path, cause })
    }

    /// Names the journals that are left to other processes and databases; a service names each once.
    fn name_left(&mut self) {
        // If the directory cannot be read, the round has reported it.
        let left = left(&self.settings.state_dir, &self.settings.log_file, &self.destination).unwrap_or_default();
        if self.named.len() >= NAMED_MAX {
            self.named.clear();
        }
        for left in left.into_iter().filter(|left| self.named.insert(left.message.clone())) {
            // Not hidden by --quiet: their ends are not in the database.
            let level = if left.is_normal { log::Level::Info } else { log::Level::Error };
            log::log!(level, event = "runs_left", hint = left.hint; "{}", left.message);
        }
    }

    /// Reports a run that stays.
    fn leave(&mut self, name: &OsStr, error: &CommandError) {
        let level = self.level(&format!("{}: {error}", name.display()));
        log::log!(level, event = "recover_failed", run:? = name, hint = error.hint(); "{error}");
        self.round.left += 1;
    }

    /// Whether this recovery runs a command for each end.
    fn claims(&self) -> bool {
        self.settings.on_finish.is_some() && !self.args.dry_run
    }

    fn on_finish(&self, finished: Option<RecordView>) {
        if let (Some(command), Some(record)) = (&self.settings.on_finish, finished) {
            let directory = std::env::current_dir().unwrap_or_default();
            run_on_finish(command, &directory, &record, ON_FINISH_LIMIT);
        }
    }

    /// The log level of an error: a service reports each one once.
    fn level(&mut self, error: &str) -> log::Level {
        let is_new = self.service.as_mut().is_none_or(|service| service.is_new(error));
        if is_new { log::Level::Error } else { log::Level::Debug }
    }

    /// Ends the records without a journal, and sums up the round.
    fn complete_round(&mut self, round: io::Result<RoundEnd>) -> Result<(), CommandError> {
        let unusable = |cause| CommandError::StateDirectory { path: self.settings.state_dir.clone(), cause };
        let end = round.map_err(unusable)?;
        if let Some(error) = self.round.failure.take() {
            return Err(error);
        }
        if end == RoundEnd::Finished {
            self.end_silent()?;
        }
        match (self.round.left, self.round.refused) {
            (0, 0) => Ok(()),
            (0, records) => Err(CommandError::Refused { records }),
            (left, _) => Err(CommandError::Left { left, path: self.settings.state_dir.clone() }),
        }
    }

    /// Presumes runs lost whose lease has run out, and gives up rows that nothing watches and that have been silent for so long.
    fn end_silent(&mut self) -> Result<(), CommandError> {
        let table = &self.settings.table;
        let overdue = self.ask(table, "look for lost runs", |store| store.overdue(u32::MAX))?;
        let unusable = |cause| CommandError::StateDirectory { path: self.settings.state_dir.clone(), cause };
        let journaled = journaled(&self.settings.state_dir, &self.destination, &overdue).map_err(unusable)?;
        let lost = overdue.into_iter().filter(|run_id| !journaled.contains(run_id));
        self.end_each("end the record of a lost run", lost.map(Silent::Overdue))?;
        let Some(silent) = self.args.stuck_after else { return Ok(()) };
        let doubt = doubt(silent, self.args.assume_now);
        let seconds = doubt.silent_seconds;
        let suspects = self.ask(table, "look for stuck records", move |store| store.stuck(seconds))?;
        self.end_each("end a stuck record", suspects.into_iter().map(|suspect| Silent::Stuck(suspect, doubt.clone())))
    }

    /// Ends one record after the other. One that the database refuses to change, by a constraint or a trigger, stops no other.
    fn end_each(&mut self, purpose: &'static str, records: impl Iterator<Item = Silent>) -> Result<(), CommandError> {
        for record in records {
            if !self.goes_on() {
                break;
            }
            let (event, what) = record.describe();
            let claims = self.claims();
            let ended = self.ask(&self.settings.table, purpose, move |store| {
                let ended = record.end(store)?;
                let run_id =
                    ended.after.as_ref().filter(|_| claims && ended.applied == Applied::Written).and_then(run_id_of);
                let finished = run_id.and_then(|run_id| store.claim_end(run_id, true));
                Ok((ended, finished))
            });
            match ended {
                Ok((ended, finished)) if ended.applied == Applied::Written => {
                    self.on_finish(finished);
                    if !self.args.dry_run {
                        log::info!(event, what; "{what} is {}", event.replace('_', " "));
                    }
                    self.round.done.push(ended);
                }
                Ok(_changed_meanwhile) => {}
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => {
                    self.round.refused += 1;
                    // One error for all records, such as a missing right, is reported once.
                    let is_new = self.round.refusals.insert(error.to_string());
                    let level = if is_new { self.level(&format!("{what}: {error}")) } else { log::Level::Debug };
                    log::log!(level, event = "refused", what, hint = error.hint(); "{what}: {error}");
                }
            }
        }
        Ok(())
    }

    /// Runs `work` in the database. A dry run rolls it back, so that no rehearsal depends on another.
    fn ask<T: Send + 'static>(
        &mut self,
        table: &str,
        purpose: &'static str,
        work: impl Fn(&mut Store) -> Result<T, StoreError> + Clone + Send + 'static,
    ) -> Result<T, CommandError> {
        let rehearses = self.args.dry_run;
        let keep = if rehearses { Keep::Closed } else { Keep::Open };
        let answer = self.database.ask(table, keep, purpose, move |store| {
            if rehearses {
                store.rehearse();
            }
            work(store)
        });
        if let Err(CommandError::Database { source, .. }) = &answer {
            self.events.count(source);
        }
        answer
    }
}

/// The run that describes a record.
fn run_id_of(record: &RecordView) -> Option<RunId> {
    uuid::Uuid::try_parse(record.0.get("run_id")?.as_str()?).ok().map(RunId)
}
