//! Waits, makes one event of each input, and performs the actions of `machine`. Decides nothing.

mod beside;

use std::collections::VecDeque;
use std::fs::File;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use super::family::Family;
use super::kept_journal::{KeptJournal, Place, place};
use super::machine::{Healed, KeeperAction, KeeperEvent, KeeperMachine};
use super::reporting::Reporting;
use super::{KeeperError, Role, inherit, introduce, linger, options, read_config};
use crate::config::{DatabaseTarget, reread_database, user_account};
use crate::delivery::{Backlog, Delivered, Delivery, Settled};
use crate::journal::{RunState, discard_temporary_report, read_run_state};
use crate::link::{self, KeeperConfig, Link, Message, ToKeeper, ToSupervisor};
use crate::store::attempt::Attempts;
use crate::store::{Store, StoreCache, StoreError};
use crate::sys::fs::read_small;
use crate::sys::leftovers::ProcessId;
use crate::sys::poll::{Waker, readable};
use crate::sys::{clock, failpoint, process, random, spawn};

/// The directories of the backlog that a run's keeper inspects at most; the lingering keeper inspects all.
const INSPECTED_MAX: usize = 1000;
/// How long an ended run waits for the delivery of the backlog, and at most half of `--finish-timeout`.
const BACKLOG_WAIT_MAX: Duration = Duration::from_secs(1);

struct Keeper {
    config: KeeperConfig,
    machine: KeeperMachine,
    /// Events to handle before the next wait.
    pending: VecDeque<KeeperEvent>,
    /// Never closed, not even after the supervisor's end: an image that replaces this one finds it under its number.
    link: Link,
    alone: bool,
    journal: KeptJournal,
    /// The trainer and its descendants.
    family: Family,
    /// The state directory and the run's own, if there is one. Open to the end, also once it was removed: the last process
    /// to close it waits for the disk, and that must not be the supervisor.
    place: Option<Place>,
    reporting: Reporting,
    waker: Waker,
    attempts: Attempts,
    /// What earlier attempts have found.
    cache: StoreCache,
    attempt: Option<Receiver<Result<Delivered, StoreError>>>,
    /// What the database has once the running attempt, or else the last one, is acknowledged.
    settled: Option<Settled>,
    /// The look at overdue runs, on the connection of the heartbeat before it.
    healing: Option<Receiver<Result<Healed, StoreError>>>,
    /// The command of `--on-finish`.
    command: Option<Receiver<()>>,
    terminate: process::SignalPipe,
    /// The runs that earlier processes left, once this run has begun.
    backlog: Option<Backlog>,
    /// The process that delivers them.
    lingering: Option<linger::Lingering>,
    /// The commands for the ends of other runs.
    healed: Vec<Receiver<()>>,
}

/// Keeps the run of the inherited descriptors until its end is delivered or given up.
///
/// # Errors
/// The process was not started as a keeper is, or the kernel refuses something indispensable.
pub(super) fn run(role: Role) -> Result<(), KeeperError> {
    // Before anything else is opened, which could get one of their numbers.
    let link = Link(inherit(link::LINK_FD)?);
    let journal = File::from(inherit(link::JOURNAL_FD)?);
    let (_open, config) = read_config()?;
    // Held while open: it marks the run as alive.
    let _lock = if config.has_directory { Some(inherit(link::LOCK_FD)?) } else { None };
    introduce(role, &config);
    let (mut attempts, cache) = (Attempts::on(config.target.clone()), StoreCache::default());
    // A first image will begin the run soon: it opens the file while it reads the rest.
    if role.failures == 0
        && let Err(error) = attempts.prepare(options(&config, &config.table, 0, &cache))
    {
        log::info!(event = "not_prepared", error:%; "");
    }
    let (waker, terminate) = (Waker::new()?, process::SignalPipe::new(&process::TERMINATION)?.admit()?);
    // A first image waits for the first message: it was started before the run had a beginning.
    let told = role.failures > 0 || is_told(&link)?;
    let (state, place) = (read_run_state(&journal), place(&config));
    if !told && (state.is_err() || place.is_some() != config.has_directory) {
        log::info!(event = "never_began"; "");
        attempts.close();
        discard_report(&config);
        return Ok(());
    }
    let state = state?;
    let mut keeper = Keeper {
        machine: machine(&config, &state, role),
        pending: VecDeque::new(),
        link,
        alone: !told,
        place,
        family: Family::new(config.run_id.to_string()),
        reporting: Reporting::new(&config, &state),
        journal: KeptJournal::new(Arc::new(journal), state, config.journal_number.is_some()),
        waker,
        attempts,
        cache,
        attempt: None,
        settled: None,
        healing: None,
        command: None,
        terminate,
        backlog: None,
        lingering: None,
        healed: Vec::new(),
        config,
    };
    log::info!(event = "keeper_started", failures = role.failures; "");
    keeper.keep()
}

fn machine(config: &KeeperConfig, state: &RunState, role: Role) -> KeeperMachine {
    let lease = Duration::from_secs(u64::from(state.begin.run.lease_seconds));
    let on_disk = config.journal_number.is_some();
    let mut machine = KeeperMachine::new(config.heartbeat, lease, config.linger, on_disk, role);
    machine.is_file = matches!(config.target, DatabaseTarget::Sqlite(_));
    machine
}

/// Waits for the supervisor's message that the beginning is durable; false if it died before. Bounded by its life.
fn is_told(link: &Link) -> Result<bool, KeeperError> {
    loop {
        let [_] = readable([Some(link.as_fd())], None)?;
        match link.recv::<ToKeeper>()? {
            Message::Received(ToKeeper::Look) => return Ok(true),
            Message::Nothing => {}
            Message::Closed => return Ok(false),
        }
    }
}

impl Keeper {
    fn keep(&mut self) -> Result<(), KeeperError> {
        self.note_family();
        let mut event = if self.alone { KeeperEvent::SupervisorGone } else { KeeperEvent::Time };
        loop {
            for action in self.machine.step(event, clock::boot_time(), random::fraction()) {
                if self.perform(action)?.is_break() {
                    return Ok(());
                }
            }
            event = match self.pending.pop_front() {
                Some(event) => event,
                None => self.next_event()?,
            };
        }
    }

    /// Reads the journal again.
    fn look(&mut self) -> Result<(), KeeperError> {
        self.journal.read()?;
        self.note_family();
        Ok(())
    }

    fn note_family(&mut self) {
        if let RunState { started: Some(started), ended: None, .. } = self.journal.written()
            && let Some(start_ticks) = started.start_ticks
        {
            self.family.hold(ProcessId { pid: started.pid, start_ticks });
            self.family.note();
        }
    }

    fn sync_if_due(&mut self) {
        if self.journal.sync_at().is_some_and(|moment| moment <= clock::boot_time()) {
            self.journal.start_sync(self.place.clone(), self.waker.clone());
        }
    }

    /// The event of a sync.
    fn synced(&mut self) -> Result<Option<KeeperEvent>, KeeperError> {
        let directory = self.place.as_ref().map(|place| &place.1);
        Ok(match self.journal.synced(directory) {
            None => None,
            Some(Ok(facts)) => Some(KeeperEvent::Looked(facts)),
            Some(Err(error)) => {
                self.link.send(&ToSupervisor::NotSynced { message: error.to_string() })?;
                None
            }
        })
    }

    fn next_event(&mut self) -> Result<KeeperEvent, KeeperError> {
        self.lingering.take_if(|lingering| lingering.has_ended());
        self.sync_if_due();
        let fds = [(!self.alone).then(|| self.link.as_fd()), Some(self.waker.as_fd()), Some(self.terminate.as_fd())];
        let wake_at = [self.machine.wake_at(), self.journal.sync_at()].into_iter().flatten().min();
        let [link, woken, terminate] = readable(fds, wake_at)?;
        if woken {
            self.waker.clear()?;
            let synced = self.synced()?;
            self.pending.extend(synced);
            if let Some(result) = received(&mut self.healing) {
                let mut healed = result.unwrap_or_else(|error| {
                    log::warn!(event = "heal_failed", error:%; "");
                    Healed::default()
                });
                self.on_finish(std::mem::take(&mut healed.finished), false)?;
                self.pending.push_back(KeeperEvent::Healed(healed));
            }
            let has_ended = |command: &Receiver<()>| !matches!(command.try_recv(), Err(TryRecvError::Empty));
            if self.command.as_ref().is_some_and(has_ended) {
                self.command = None;
                self.pending.push_back(KeeperEvent::OnFinishEnded);
            }
            if let Some(result) = received(&mut self.attempt) {
                self.log_attempt(&result);
                let is_settled = result.as_ref().is_ok_and(|delivered| delivered.is_settled);
                self.settled.take_if(|_| !is_settled);
                return Ok(result.map_or_else(KeeperEvent::Failed, KeeperEvent::Delivered));
            }
        }
        if terminate {
            self.terminate.clear()?;
            return Ok(KeeperEvent::Terminated);
        }
        if link {
            return Ok(match self.link.recv::<ToKeeper>()? {
                Message::Received(ToKeeper::Look) => {
                    self.look()?;
                    KeeperEvent::Time
                }
                Message::Nothing => KeeperEvent::Time,
                Message::Closed => {
                    self.alone = true;
                    // The supervisor may have written events without a message.
                    self.look()?;
                    KeeperEvent::SupervisorGone
                }
            });
        }
        Ok(KeeperEvent::Time)
    }

    fn perform(&mut self, action: KeeperAction) -> Result<ControlFlow<()>, KeeperError> {
        match action {
            KeeperAction::Attempt => self.start_attempt(),
            KeeperAction::Send(news) => {
                // A dropped message repeats the journal or the database.
                self.link.send(&news)?;
                log::info!(event = "keeper_sends", news:?; "");
            }
            KeeperAction::TakeOver => self.take_over(),
            KeeperAction::Remove => self.remove(),
            KeeperAction::ReplaceImage => {
                log::warn!(event = "attempt_hung", failures = self.machine.role.failures; "");
                self.terminate.hold()?;
                match spawn::replace_image(&self.machine.role.words(), link::LOCK_FD)? {}
            }
            KeeperAction::Linger => {
                log::info!(event = "left_to_linger"; "");
                // Closes journal and lock: any lingering keeper may deliver the run then.
                let role = Role { lingers: true, ..self.machine.role };
                self.terminate.hold()?;
                match spawn::replace_image(&role.words(), link::CONFIG_FD)? {}
            }
            KeeperAction::Heal { examines } => self.heal(examines),
            KeeperAction::OnFinish(record) => self.on_finish(vec![record], true)?,
            KeeperAction::DeliverBacklog => self.deliver_backlog(),
            KeeperAction::AwaitBacklog => self.await_backlog()?,
            KeeperAction::Close => self.attempts.close(),
            KeeperAction::Exit => {
                self.attempts.close();
                self.await_healed();
                discard_report(&self.config);
                log::info!(event = "keeper_ended"; "");
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn start_attempt(&mut self) {
        if self.journal.written().ended.is_none() {
            self.family.note();
        }
        if let Some(place) = &self.place {
            place.1.show_life();
        }
        let state = self.journal.durable();
        let seen_us = state.begin.elapsed_us(clock::boot_time());
        let (report, history) = self.reporting.read(state, seen_us, self.alone);
        let delivery = Delivery::of(state, seen_us, report, self.machine.begun).with(history);
        let delivery = if self.config.require_database { delivery.on_fit_table() } else { delivery };
        let delivery = delivery.claiming(self.config.on_finish.is_some()).lacking(self.reporting.is_cut());
        let (delivery, settled) = delivery.after(self.settled.take(), clock::boot_time());
        self.settled = settled;
        let number = self.machine.role.failures;
        log::info!(event = "attempt", attempt = number, what = delivery.describe(); "");
        let heals_next = self.machine.heals_next(clock::boot_time());
        self.attempt = Some(self.start(heals_next, move |store| delivery.deliver(store)));
    }

    /// Starts `work` on the store. `is_followed`: another attempt follows it at once.
    fn start<T: Send + 'static>(
        &mut self,
        is_followed: bool,
        work: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Receiver<Result<T, StoreError>> {
        self.reread_password();
        let options = options(&self.config, self.journal.durable().table(), self.machine.host(), &self.cache);
        let keep = self.machine.keep(is_followed);
        let waker = self.waker.clone();
        self.attempts.start(options, keep, work, move || {
            if let Err(error) = waker.wake() {
                log::error!(event = "wake_failed", error:%; "");
            }
        })
    }

    /// After a refusal: the password may have been changed in the file of the URL.
    fn reread_password(&mut self) {
        let Some(file) = self.config.url_file.as_deref().filter(|_| self.machine.is_refused()) else { return };
        if let Some(target) = reread_database(file, &self.config.target, &user_account, &read_small) {
            log::info!(event = "password_reread"; "");
            self.config.target = target;
            self.attempts = Attempts::on(self.config.target.clone());
        }
    }

    /// On this thread: an attempt can fail before it has a store.
    fn log_attempt(&self, result: &Result<Delivered, StoreError>) {
        let attempt = self.machine.role.failures;
        match result {
            Ok(delivered) => {
                let begun = delivered.begun.as_ref().or(self.journal.durable().recorded.as_ref());
                let record_id = begun.map_or_else(String::new, |begun| begun.record_id.to_string());
                log::info!(event = "attempt_done", attempt, record_id, ended = delivered.ended; "");
            }
            Err(error) => log::warn!(event = "attempt_failed", attempt, error:%; ""),
        }
    }

    /// The sync of the run's end is the next event.
    fn take_over(&mut self) {
        failpoint::reached("takeover");
        let directory = self.place.as_ref().map(|place| &place.1);
        if let Err(error) = self.journal.take_over(directory, self.config.journal_number, &mut self.family) {
            log::error!(event = "takeover_failed", error:%; "");
            self.pending.push_back(KeeperEvent::NotOurs);
        }
    }

    fn remove(&self) {
        discard_report(&self.config);
        if let Some((home, run)) = self.place.as_deref()
            && let Err(error) = home.remove_run(run)
        {
            // It is delivered again later, without effect, and removed then.
            log::warn!(event = "remove_failed", error:%; "");
        }
        failpoint::reached("removed");
    }
}

/// The result of an attempt, if it is there; a thread that ended without one is forgotten.
fn received<T>(receiver: &mut Option<Receiver<T>>) -> Option<T> {
    match receiver.as_ref()?.try_recv() {
        Err(TryRecvError::Empty) => None,
        result => {
            *receiver = None;
            result.ok()
        }
    }
}

/// Removes the report file of a run without a directory, once the run is delivered or given up.
fn discard_report(config: &KeeperConfig) {
    if let Some(path) = config.report_path.as_deref().filter(|_| !config.has_directory) {
        discard_temporary_report(path);
    }
}
