//! `runwrap recover`: delivers what is left in the state directory, then ends the records of runs whose lease has run out,
//! and on demand those that nothing watches. Prints each record before and after. Called by `commands`.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use serde_json::Value;

use super::ask::ask;
use super::repaired::Repaired;
use super::service::{Service, recover_every};
use crate::commands::{CommandError, RecoverArgs};
use crate::config::Settings;
use crate::delivery::{DeadRun, Leftover, inspect, look, recoverer};
use crate::journal::Home;
use crate::output;
use crate::record::{Applied, Change, Decision, Doubt, Presumption, Proof, RunId};
use crate::store::{Store, StoreError, Suspect};

/// One look at everything that may need recovery.
struct Round<'a> {
    settings: &'a Settings,
    args: &'a RecoverArgs,
    service: Option<&'a Service>,
    done: Vec<Repaired>,
    /// The runs that have a journal here, dead or alive: its lock and its end know more than a lease.
    journaled: HashSet<OsString>,
    /// How many could not be delivered.
    left: usize,
    /// How many records the database refused to have ended, and what it said.
    refused: usize,
    refusals: HashSet<String>,
}

/// Recovers, and prints what was done; with `--every` until SIGTERM.
///
/// # Errors
/// The state directory or the database cannot be used, or something could not be delivered; the rest was.
pub(super) fn recover(settings: &Settings, args: &RecoverArgs) -> Result<(), CommandError> {
    if let Some(pause) = args.every {
        return recover_every(settings, args, pause);
    }
    // What was done is said, also where something else then failed.
    let (done, went) = once(settings, args, None);
    print(&done, args.json)?;
    went
}

/// One round: what was done, and whether it all went well.
pub(super) fn once(
    settings: &Settings,
    args: &RecoverArgs,
    service: Option<&Service>,
) -> (Vec<Repaired>, Result<(), CommandError>) {
    let mut round = Round {
        settings,
        args,
        service,
        done: Vec::new(),
        journaled: HashSet::new(),
        left: 0,
        refused: 0,
        refusals: HashSet::new(),
    };
    let went = round.go().and_then(|()| match (round.left, round.refused) {
        (0, 0) => Ok(()),
        (0, records) => Err(CommandError::Refused { records }),
        (left, _) => Err(CommandError::Left { left, path: settings.state_dir.clone() }),
    });
    (round.done, went)
}

/// Prints each record before and after.
pub(super) fn print(done: &[Repaired], json: bool) -> Result<(), CommandError> {
    let text = if json {
        output::json(&Value::Array(done.iter().map(Repaired::as_json).collect()))
    } else {
        done.iter().map(Repaired::as_line).collect()
    };
    Ok(output::print(&text)?)
}

/// Delivers `run`, or finds out what that would do.
fn deliver_dead(
    settings: &Settings,
    home: &Home,
    name: &OsStr,
    run: &DeadRun,
    rehearse: bool,
) -> Result<Repaired, CommandError> {
    let delivery = run.delivery().map_err(|cause| unusable(settings, name, cause))?;
    let run_id = run.state.begin.run.run_id;
    // The journal names its table, which need not be the one that is configured now.
    let settings = Settings { table: run.state.begin.table.clone(), ..settings.clone() };
    let repaired = ask(&settings, "deliver a run", move |store| {
        if rehearse {
            store.rehearse();
        }
        let before = store.show(&run_id.to_string())?;
        delivery.deliver(store)?;
        Ok(Repaired { before, after: store.show(&run_id.to_string())? })
    })?;
    if !rehearse {
        home.remove_run(&run.directory).map_err(|cause| unusable(&settings, name, cause))?;
        log::info!(event = "recovered", run_id:%; "");
    }
    Ok(repaired)
}

fn unusable(settings: &Settings, name: &OsStr, cause: std::io::Error) -> CommandError {
    CommandError::StateDirectory { path: settings.state_dir.join("runs").join(name), cause }
}

impl Round<'_> {
    fn go(&mut self) -> Result<(), CommandError> {
        self.deliver_journals()?;
        self.presume_overdue()?;
        match self.args.stuck_after {
            Some(silent) => self.give_up_silent(silent),
            None => Ok(()),
        }
    }

    /// Delivers the runs that nobody looks after.
    fn deliver_journals(&mut self) -> Result<(), CommandError> {
        let state_dir = &self.settings.state_dir;
        if !state_dir.exists() {
            return Ok(());
        }
        let unusable = |cause| CommandError::StateDirectory { path: state_dir.clone(), cause };
        let home = Home::open(state_dir).map_err(unusable)?;
        if !self.args.dry_run {
            home.remove_remains().map_err(unusable)?;
        }
        for name in home.run_names().map_err(unusable)? {
            if !self.goes_on() {
                break;
            }
            match self.deliver_journal(&home, &name) {
                Ok(repaired) => self.done.extend(repaired),
                // A database that does not answer will not answer for the next one either.
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => {
                    let is_new =
                        self.service.is_none_or(|service| service.is_new(&format!("{}: {error}", name.display())));
                    let level = if is_new { log::Level::Error } else { log::Level::Debug };
                    log::log!(level, event = "recover_failed", run:? = name, hint = error.hint(); "{error}");
                    self.left += 1;
                }
            }
        }
        Ok(())
    }

    fn deliver_journal(&mut self, home: &Home, name: &OsStr) -> Result<Option<Repaired>, CommandError> {
        let identity = self.settings.database.identity();
        let left = if self.args.dry_run { look(home, name, &identity) } else { inspect(home, name, &identity) };
        let left = left.map_err(|cause| unusable(self.settings, name, cause))?;
        if matches!(left, Leftover::Dead(_) | Leftover::Alive) {
            self.journaled.insert(name.to_owned());
        }
        let Some(run) = left.dead(name) else { return Ok(None) };
        deliver_dead(self.settings, home, name, &run, self.args.dry_run).map(Some)
    }

    /// Presumes lost what is overdue.
    fn presume_overdue(&mut self) -> Result<(), CommandError> {
        let overdue = self.ask("look for lost runs", |store| store.overdue())?;
        for run_id in overdue {
            if !self.goes_on() {
                break;
            }
            if self.journaled.contains(&OsString::from(run_id.to_string())) {
                continue;
            }
            let presumption = lease_ran_out();
            let repaired =
                self.ask("end the record of a lost run", move |store| presume(store, run_id, presumption.clone()));
            let repaired = self.unless_refused(&format!("run {run_id}"), repaired)?;
            if repaired.is_some() && !self.args.dry_run {
                log::info!(event = "presumed_lost", run_id:%; "");
            }
            self.done.extend(repaired);
        }
        Ok(())
    }

    /// Gives up what nothing watches and nothing was heard of.
    fn give_up_silent(&mut self, silent: Duration) -> Result<(), CommandError> {
        let silent_seconds = u32::try_from(silent.as_secs()).unwrap_or(u32::MAX);
        let suspects = self.ask("look for stuck records", move |store| store.stuck(silent_seconds))?;
        let (by, when) = recoverer();
        let doubt = Doubt {
            silent_seconds,
            model_written_at: None,
            assume_now: self.args.assume_now,
            message: format!(
                "stuck: in training without a sign of life for {} and nothing watched it; recovered by {by} at {when}",
                humantime::format_duration(silent)
            ),
            by,
        };
        for suspect in suspects {
            if !self.goes_on() {
                break;
            }
            let doubt = doubt.clone();
            let record_id = suspect.record_id.clone();
            let repaired = self.ask("end a stuck record", move |store| give_up(store, &suspect, doubt.clone()));
            let repaired = self.unless_refused(&format!("record {record_id}"), repaired)?;
            if repaired.is_some() && !self.args.dry_run {
                log::info!(event = "given_up", record_id:%; "");
            }
            self.done.extend(repaired);
        }
        Ok(())
    }

    /// A record that the database refuses to have changed, by a constraint or a trigger of the table, stops no other.
    fn unless_refused(
        &mut self,
        what: &str,
        repaired: Result<Option<Repaired>, CommandError>,
    ) -> Result<Option<Repaired>, CommandError> {
        let error = match repaired {
            Err(error) if !error.is_transient() => error,
            other => return other,
        };
        self.refused += 1;
        // What is refused to all of them, such as a right that is missing, is said once.
        let is_new = self.refusals.insert(error.to_string())
            && self.service.is_none_or(|service| service.is_new(&format!("{what}: {error}")));
        let level = if is_new { log::Level::Error } else { log::Level::Debug };
        log::log!(level, event = "refused", what, hint = error.hint(); "{what}: {error}");
        Ok(None)
    }

    /// False once a service was asked to end. One look finishes what it has begun.
    fn goes_on(&self) -> bool {
        self.service.is_none_or(Service::goes_on)
    }

    /// As [`ask`], and in a dry run nothing of it lasts.
    fn ask<T: Send + 'static>(
        &self,
        purpose: &'static str,
        work: impl Fn(&mut Store) -> Result<T, StoreError> + Clone + Send + 'static,
    ) -> Result<T, CommandError> {
        let rehearse = self.args.dry_run;
        ask(self.settings, purpose, move |store| {
            if rehearse {
                store.rehearse();
            }
            work(store)
        })
    }
}

fn presume(store: &mut Store, run_id: RunId, presumption: Presumption) -> Result<Option<Repaired>, StoreError> {
    let before = store.show(&run_id.to_string())?;
    // Judged again in the statement: a heartbeat may have come meanwhile, or another recover.
    if store.apply(run_id, &Change::Presume(presumption))? != Applied::Written {
        return Ok(None);
    }
    Ok(Some(Repaired { before, after: store.show(&run_id.to_string())? }))
}

fn lease_ran_out() -> Presumption {
    let (by, when) = recoverer();
    Presumption {
        proof: Proof::Lease,
        seen_at: None,
        message: format!("lost: no sign of life within its lease; recovered by {by} at {when}"),
        recovered_by: by,
    }
}

fn give_up(store: &mut Store, suspect: &Suspect, doubt: Doubt) -> Result<Option<Repaired>, StoreError> {
    // Looked at within the attempt, which is bounded: the file may be on a disk that does not answer.
    let model_written_at = suspect.model_path.as_deref().and_then(written_at);
    let decided = store.decide(&suspect.record_id, &Decision::GiveUp(Doubt { model_written_at, ..doubt }))?;
    let repaired = Repaired { before: decided.before, after: decided.after };
    Ok((decided.applied == Applied::Written).then_some(repaired))
}

/// When the file of a model was last written, if it is on this host.
fn written_at(model_path: &str) -> Option<DateTime<Utc>> {
    let path = Path::new(model_path);
    let file = fs::metadata(path).ok().filter(|file| file.is_file() && path.is_absolute())?;
    file.modified().ok().map(|written_at| DateTime::<Utc>::from(written_at).trunc_subsecs(6))
}
