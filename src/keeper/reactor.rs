//! Waits, makes one event of what came, and does what `machine` says. Decides nothing.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use thiserror::Error;

use super::machine::{Action, Event, Facts, Machine};
use super::takeover::take_over;
use super::{Role, earlier};
use crate::delivery::{Delivered, Parcel, STATEMENT_TIMEOUT};
use crate::journal::{Account, Home, ReportReader, RunDirectory, discard_temporary_report, read_account};
use crate::link::{self, Brief, Heard, Link, ToKeeper};
use crate::record::Report;
use crate::store::{OpenOptions, StoreError, attempt};
use crate::sys::pidfd::PidFd;
use crate::sys::poll::{Waker, readable, readable_within};
use crate::sys::{clock, failpoint, inherited, leftovers, process, random, spawn};

/// Why a keeper could not work at all.
#[derive(Debug, Error)]
pub enum KeeperError {
    #[error("cannot use descriptor {fd}: {cause}; the keeper is started by runwrap itself, never by hand")]
    Descriptor { fd: i32, cause: io::Error },
    #[error("cannot go on: {0}")]
    System(#[from] io::Error),
}

/// A run that is over waits no longer than this until they are delivered, nor than half of `--finish-timeout`.
const LEFTOVERS_WAIT_MAX: Duration = Duration::from_secs(1);

struct Keeper {
    brief: Brief,
    machine: Machine,
    /// Events that are known already, before any that is waited for.
    pending: VecDeque<Event>,
    /// Never closed, also when the other side has gone: an image that replaces this one finds it under its number.
    link: Link,
    alone: bool,
    journal: File,
    account: Account,
    /// Held while it lives, so that the kernel can tell how it ended if nobody else can.
    trainer: Option<PidFd>,
    /// The state directory and the run's in it, if it has one. Open to the end, also once it was removed: whoever closes
    /// it last waits for the disk, and that is not to be the supervisor.
    place: Option<(Home, RunDirectory)>,
    reader: ReportReader,
    waker: Waker,
    worker: attempt::Worker,
    attempt: Option<Receiver<Result<Delivered, StoreError>>>,
    terminate: process::Termination,
    /// Delivers what earlier runs have left.
    lingerer: Option<PidFd>,
}

/// Keeps the run whose descriptors this process was given, until its end is delivered or given up. `prepare` is called with
/// the brief before anything else is done.
///
/// # Errors
/// Only where it was not started as a keeper is, or the kernel refuses what cannot be done without.
pub(super) fn run(role: Role, prepare: impl FnOnce(&Brief)) -> Result<(), KeeperError> {
    // All of them before anything else is opened, which could get one of their numbers.
    let link = Link::of(crate::sys::link::Socket::from_fd(inherit(link::LINK_FD)?));
    let brief_file = File::from(inherit(link::BRIEF_FD)?);
    let journal = File::from(inherit(link::JOURNAL_FD)?);
    let brief = Brief::read(&brief_file)?;
    // While this is open the world knows that the run has a keeper.
    let lock = if brief.has_directory { Some(inherit(link::LOCK_FD)?) } else { None };
    prepare(&brief);
    let mut worker = attempt::Worker::default();
    // A first image is about to begin the run, and has the file opened while it looks at the rest.
    if role.failures == 0
        && let Err(error) = worker.prepare(brief.target.clone(), options(&brief, 0))
    {
        log::info!(event = "not_prepared", run_id:% = brief.run_id, error:%; "");
    }
    let (waker, terminate) = (Waker::new()?, process::Termination::on_sigterm()?);
    // A first image waits to be told: it was started before the run had a beginning.
    let told = role.failures > 0 || is_told(&link)?;
    let (account, place) = (read_account(&journal), place(&brief));
    if !told && (account.is_err() || place.is_some() != brief.has_directory) {
        log::info!(event = "never_began", run_id:% = brief.run_id; "");
        worker.close();
        discard_report(&brief);
        return Ok(());
    }
    let mut keeper = Keeper {
        machine: Machine::new(
            brief.heartbeat,
            brief.linger,
            brief.journal_number.is_some(),
            role.failures,
            role.until(),
        ),
        pending: VecDeque::new(),
        link,
        alone: !told,
        place,
        account: account?,
        trainer: None,
        journal,
        reader: ReportReader::default(),
        waker,
        worker,
        attempt: None,
        terminate,
        lingerer: None,
        brief,
    };
    log::info!(event = "keeper_started", run_id:% = keeper.brief.run_id, failures = role.failures; "");
    let result = keeper.keep();
    // Open till here: an image that replaces this one finds both under their numbers.
    drop((brief_file, lock));
    result
}

fn options(brief: &Brief, failures: u32) -> OpenOptions {
    OpenOptions {
        table: brief.table.clone(),
        migrate: brief.migrate,
        attempt: usize::try_from(failures).unwrap_or_default(),
        statement_timeout: STATEMENT_TIMEOUT,
    }
}

fn inherit(fd: i32) -> Result<OwnedFd, KeeperError> {
    inherited::descriptor(fd).map_err(|cause| KeeperError::Descriptor { fd, cause })
}

/// Waits for the supervisor to say that the beginning is durable; false if it has died before. Bounded by its life.
fn is_told(link: &Link) -> Result<bool, KeeperError> {
    loop {
        let [_] = readable([Some(link.as_fd())], None)?;
        match link.hear::<ToKeeper>()? {
            Heard::News(ToKeeper::Look) => return Ok(true),
            Heard::Nothing => {}
            Heard::Gone => return Ok(false),
        }
    }
}

/// A run whose directory is gone was delivered: the journal's descriptor still tells it. One that does not have its name yet
/// has not begun.
fn place(brief: &Brief) -> Option<(Home, RunDirectory)> {
    if !brief.has_directory {
        return None;
    }
    let opened = Home::open(&brief.state_dir)
        .and_then(|home| home.open_run(brief.run_id.to_string().as_ref()).map(|run| (home, run)));
    opened.inspect_err(|error| log::info!(event = "run_directory_gone", run_id:% = brief.run_id, error:%; "")).ok()
}

impl Keeper {
    fn keep(&mut self) -> Result<(), KeeperError> {
        let first = self.looked();
        self.pending.push_back(first);
        if self.alone {
            self.pending.push_back(Event::SupervisorGone);
        }
        loop {
            let event = match self.pending.pop_front() {
                Some(event) => event,
                None => self.next_event()?,
            };
            for action in self.machine.step(event, clock::boot_time(), random::fraction()) {
                if self.perform(action)?.is_break() {
                    return Ok(());
                }
            }
        }
    }

    /// Reads what the supervisor has written.
    fn look(&mut self) -> Result<Event, KeeperError> {
        self.account = read_account(&self.journal)?;
        Ok(self.looked())
    }

    fn looked(&mut self) -> Event {
        self.hold_trainer();
        Event::Looked(self.facts())
    }

    fn hold_trainer(&mut self) {
        let Some(started) = self.account.started.filter(|_| self.trainer.is_none() && self.account.ended.is_none())
        else {
            return;
        };
        // Without it a takeover knows less of the trainer's end; it is no reason to stop.
        let held = leftovers::hold_trainer(&self.brief.run_id.to_string(), started.pid);
        self.trainer = held.unwrap_or_else(|error| {
            log::info!(event = "trainer_not_held", run_id:% = self.brief.run_id, error:%; "");
            None
        });
    }

    fn facts(&self) -> Facts {
        Facts { started: self.account.started.is_some(), ended: self.account.ended.is_some() }
    }

    fn next_event(&mut self) -> Result<Event, KeeperError> {
        let fds = [(!self.alone).then(|| self.link.as_fd()), Some(self.waker.as_fd()), Some(self.terminate.as_fd())];
        let [link, attempt, terminate] = readable(fds, self.machine.wake_at())?;
        if attempt {
            self.waker.clear()?;
            if let Some(result) = self.attempt.take().and_then(|receiver| receiver.try_recv().ok()) {
                self.log_attempt(&result);
                return Ok(result.map_or_else(Event::Failed, Event::Delivered));
            }
        }
        if terminate {
            self.terminate.clear()?;
            return Ok(Event::Terminated);
        }
        if link {
            return Ok(match self.link.hear::<ToKeeper>()? {
                Heard::News(ToKeeper::Look) => self.look()?,
                Heard::Nothing => Event::Time,
                Heard::Gone => {
                    self.alone = true;
                    let looked = self.look()?;
                    // First what the supervisor wrote and had no time to say.
                    self.pending.push_back(Event::SupervisorGone);
                    looked
                }
            });
        }
        Ok(Event::Time)
    }

    fn perform(&mut self, action: Action) -> Result<ControlFlow<()>, KeeperError> {
        match action {
            Action::Attempt => self.start_attempt()?,
            Action::Tell(news) => {
                // Dropped news is found in the journal or the database.
                self.link.say(&news)?;
                log::info!(event = "keeper_says", run_id:% = self.brief.run_id, news:?; "");
            }
            Action::TakeOver => {
                let event = self.take_over();
                self.pending.push_back(event);
            }
            Action::Remove => self.remove(),
            Action::ReplaceImage => {
                let failures = self.machine.failures();
                log::warn!(event = "attempt_hung", run_id:% = self.brief.run_id, failures; "");
                return Err(spawn::replace_image(&self.role(false).words(), link::LOCK_FD).into());
            }
            Action::Linger => {
                log::info!(event = "left_to_linger", run_id:% = self.brief.run_id; "");
                // Journal and lock are closed by it: the run is nobody's then, and whoever lingers may have it.
                return Err(spawn::replace_image(&self.role(true).words(), link::BRIEF_FD).into());
            }
            Action::LookForLeftovers => {
                self.lingerer = self.place.as_ref().and_then(|(home, _)| earlier::look(home, &self.brief));
            }
            Action::AwaitLeftovers => self.await_leftovers()?,
            Action::Exit => {
                self.worker.close();
                if self.alone {
                    discard_report(&self.brief);
                }
                log::info!(event = "keeper_ended", run_id:% = self.brief.run_id; "");
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// What an image that replaces this one is to do.
    fn role(&self, lingers: bool) -> Role {
        let until_ms = self.machine.until().and_then(|until| u64::try_from(until.as_millis()).ok());
        Role { lingers, failures: self.machine.failures(), until_ms }
    }

    fn start_attempt(&mut self) -> Result<(), KeeperError> {
        let report = self.report();
        let seen_us = self.account.begin.elapsed_us(clock::boot_time());
        let parcel = Parcel::of(&self.account, seen_us, report, self.machine.begun());
        let number = self.machine.failures();
        log::info!(event = "attempt", run_id:% = self.brief.run_id, attempt = number, what = parcel.describe(); "");
        let options = options(&self.brief, number);
        let waker = self.waker.clone();
        let run_id = self.brief.run_id;
        let work = move |store: &mut dyn crate::store::Store| parcel.deliver(store);
        let done = move || {
            if let Err(error) = waker.wake() {
                log::error!(event = "wake_failed", run_id:%, error:%; "");
            }
        };
        let keep = self.machine.keeps_open();
        match attempt::start(self.brief.target.clone(), options, &mut self.worker, keep, work, done) {
            Ok(receiver) => self.attempt = Some(receiver),
            Err(error) => {
                // Heard of like any other failure: at the next turn.
                let (sender, receiver) = std::sync::mpsc::channel();
                let _sent = sender.send(Err(error)).is_ok();
                self.attempt = Some(receiver);
                self.waker.wake()?;
            }
        }
        Ok(())
    }

    /// Here, and not where the work is done: an attempt can fail before it has a store to work with.
    fn log_attempt(&self, result: &Result<Delivered, StoreError>) {
        let (run_id, attempt) = (self.brief.run_id, self.machine.failures());
        match result {
            Ok(delivered) => {
                let begun = delivered.begun.as_ref().or(self.account.recorded.as_ref());
                let record_id = begun.map_or_else(String::new, |begun| begun.record_id.to_string());
                log::info!(event = "attempt_done", run_id:%, attempt, record_id, ended = delivered.ended; "");
            }
            Err(error) => log::warn!(event = "attempt_failed", run_id:%, attempt, error:%; ""),
        }
    }

    fn await_leftovers(&self) -> io::Result<()> {
        let limit = LEFTOVERS_WAIT_MAX.min(self.brief.finish_timeout / 2);
        self.lingerer.as_ref().map_or(Ok(()), |lingerer| readable_within(lingerer, limit).map(drop))
    }

    /// All that the trainer has reported by now.
    fn report(&mut self) -> Report {
        let finished = self.account.ended.is_some();
        if let Some(path) = &self.brief.report_path
            && let Err(error) = self.reader.read_on(path, finished)
        {
            log::warn!(event = "report_unreadable", run_id:% = self.brief.run_id, path:?, error:%; "");
        }
        let mut report = self.reader.report().clone();
        if !finished
            && let Some(metrics) = self.account.metrics_file()
            && let Err(error) = report.absorb(Report { metrics: Some(metrics), ..Report::default() })
        {
            log::warn!(event = "metrics_refused", run_id:% = self.brief.run_id, error:%; "");
        }
        report
    }

    fn take_over(&mut self) -> Event {
        failpoint::reached("takeover");
        let directory = self.place.as_ref().map(|(_, run)| run);
        let taken = take_over(directory, &self.journal, self.brief.journal_number, self.trainer.as_ref());
        let taken = taken.and_then(|writer| Ok((writer.account().clone(), writer.place().file().try_clone()?)));
        match taken {
            Ok((account, journal)) => {
                self.account = account;
                self.journal = journal;
                Event::TookOver
            }
            Err(error) => {
                log::error!(event = "takeover_failed", run_id:% = self.brief.run_id, error:%; "");
                Event::NotOurs
            }
        }
    }

    fn remove(&self) {
        discard_report(&self.brief);
        if let Some((home, run)) = &self.place
            && let Err(error) = home.remove_run(run)
        {
            // It will be delivered once more, to no effect, and removed then.
            log::warn!(event = "remove_failed", run_id:% = self.brief.run_id, error:%; "");
        }
        failpoint::reached("removed");
    }
}

/// Where there is no directory the report is in a file of its own, of no use once the run is delivered or given up.
fn discard_report(brief: &Brief) {
    if let Some(path) = brief.report_path.as_deref().filter(|_| !brief.has_directory) {
        discard_temporary_report(path);
    }
}
