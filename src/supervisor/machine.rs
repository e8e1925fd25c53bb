//! The supervisor's decisions: events in, actions out. Pure: no descriptors, clocks or processes.

use std::time::Duration;

use super::deadlines::{Deadlines, take_due};
use super::events::{SupervisorAction, SupervisorEvent};
use super::relay::{InheritedSignals, SignalClass, SignalScope, classify};
use crate::journal;
use crate::link::ToSupervisor;
use crate::record::{Reason, TrainerExit};
use crate::sys::process::EndAs;
use crate::sys::signals::{self, Sender, SignalInfo};

/// `--timeout` ran out.
pub const EXIT_TIMEOUT: u8 = 124;
/// runwrap itself failed, or was misused.
pub const EXIT_RUNWRAP: u8 = 125;
/// The command is not executable.
pub const EXIT_NOT_EXECUTABLE: u8 = 126;
/// The command was not found.
pub const EXIT_NOT_FOUND: u8 = 127;

/// Signals held for a trainer that has not started. More than arrive in those milliseconds.
const HELD_MAX: usize = 64;
/// Only the first stop request decides the outcome. A trainer that ignores stop requests may receive one per second for
/// a year; the limit bounds the journal.
const STOPS_WRITTEN_MAX: u32 = 100;
/// From this age of the end on, a stop signal ends the wait for its delivery. An earlier one may be the signal that
/// ended the trainer.
const FINISH_STOP_GRACE: Duration = Duration::from_secs(1);
/// Keeper failures in a row after which the supervisor stops waiting for the end's delivery.
const FINISH_RESTARTS_MAX: u32 = 4;
const RESTART_FIRST: Duration = Duration::from_millis(100);
const RESTART_MAX: Duration = Duration::from_secs(30);

/// The time limits of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunLimits {
    pub start_timeout: Duration,
    pub finish_timeout: Duration,
    /// `--timeout`
    pub timeout: Option<Duration>,
    /// `--kill-after`
    pub kill_after: Duration,
    /// `--kill-after` was given explicitly: it also bounds the wait after a relayed stop.
    pub kill_after_stop: bool,
    /// `--require-database`
    pub require_database: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waiting for the record. The trainer has not been forked.
    Starting,
    /// The trainer was forked.
    Running,
    /// The end is in the journal. Waiting for its delivery.
    Finishing {
        since: Duration,
        end: EndAs,
    },
    Done,
}

#[derive(Debug)]
pub(super) struct SupervisorMachine {
    limits: RunLimits,
    inherited: InheritedSignals,
    phase: Phase,
    recorded: bool,
    held_signals: Vec<SignalInfo>,
    /// Stop requests written since the start of the trainer.
    stops_written: u32,
    /// The signal that has stopped the trainer.
    stopped: Option<i32>,
    /// The whole job was asked to stop, not only the trainer, and has not been continued since.
    suspended: bool,
    timed_out: bool,
    /// Deadlines of the present phase and of a stop request.
    deadlines: Deadlines,
    restarts: u32,
    restart_at: Option<Duration>,
}

impl SupervisorMachine {
    pub(super) fn new(limits: RunLimits, inherited: InheritedSignals, now: Duration) -> Self {
        Self {
            limits,
            inherited,
            phase: Phase::Starting,
            recorded: false,
            held_signals: Vec::new(),
            stops_written: 0,
            stopped: None,
            suspended: false,
            timed_out: false,
            deadlines: Deadlines::new(now + limits.start_timeout),
            restarts: 0,
            restart_at: None,
        }
    }

    /// The latest time for the next [`SupervisorEvent::Tick`].
    pub(super) fn wake_at(&self) -> Option<Duration> {
        [self.deadlines.next(), self.restart_at].into_iter().flatten().min()
    }

    /// Handles `event` at the boot time `now`.
    pub(super) fn step(&mut self, event: SupervisorEvent, now: Duration) -> Vec<SupervisorAction> {
        if self.phase == Phase::Done {
            return Vec::new();
        }
        match event {
            SupervisorEvent::Keeper(message) => self.keeper_message(message),
            SupervisorEvent::KeeperGone => self.keeper_gone(now),
            SupervisorEvent::Signal { signal, scope } => self.signal(signal, scope, now),
            SupervisorEvent::SpawnFailed { not_found, message } => {
                let code = if not_found { EXIT_NOT_FOUND } else { EXIT_NOT_EXECUTABLE };
                let exit = TrainerExit::NotExecuted { message: message.clone() };
                warn_then(message, String::new(), self.finish(exit, EndAs::Code(code), now))
            }
            SupervisorEvent::Executed { pid } => {
                vec![SupervisorAction::Write { event: journal::RunEvent::Started { pid }, durable: false }]
            }
            SupervisorEvent::TrainerEnded(exit) => {
                let end = self.end_of(&exit);
                self.finish(exit, end, now)
            }
            SupervisorEvent::TrainerStopped { signal, in_foreground } => {
                self.stopped = Some(signal);
                self.suspended |= in_foreground;
                self.stop_with_trainer(now)
            }
            SupervisorEvent::TrainerContinued => {
                self.stopped = None;
                self.suspended = false;
                self.deadlines.resume(now);
                Vec::new()
            }
            SupervisorEvent::Resumed => {
                self.suspended = false;
                // If the trainer is still stopped, its deadlines resume when it is continued.
                if self.stopped.is_none() {
                    self.deadlines.resume(now);
                }
                Vec::new()
            }
            SupervisorEvent::Tick => self.tick(now),
        }
    }

    fn keeper_message(&mut self, message: ToSupervisor) -> Vec<SupervisorAction> {
        match message {
            ToSupervisor::Recorded(begun) => {
                self.restarts = 0;
                let was_recorded = std::mem::replace(&mut self.recorded, true);
                // Nothing may follow the end in a journal.
                if was_recorded || matches!(self.phase, Phase::Finishing { .. }) {
                    return Vec::new();
                }
                let mut actions =
                    vec![SupervisorAction::Write { event: journal::RunEvent::Recorded(begun), durable: false }];
                if self.phase == Phase::Starting {
                    actions.extend(self.start());
                }
                actions
            }
            ToSupervisor::Refused { message, hint } if self.phase == Phase::Starting => self.refuse(message, hint),
            ToSupervisor::Refused { message, hint } | ToSupervisor::Failed { message, hint } => match self.phase {
                Phase::Starting if self.limits.require_database => self.refuse(message, hint),
                Phase::Starting => {
                    warn_then(format!("the run is not in the database yet: {message}"), hint, self.start())
                }
                Phase::Running => vec![SupervisorAction::Warn { message, hint }],
                Phase::Finishing { end, .. } => {
                    let message = format!("the database does not have the end of the run: {message}");
                    warn_then(message, hint, self.exit(end))
                }
                Phase::Done => Vec::new(),
            },
            ToSupervisor::Final => match self.phase {
                Phase::Finishing { end, .. } => self.exit(end),
                Phase::Starting | Phase::Running | Phase::Done => Vec::new(),
            },
        }
    }

    fn keeper_gone(&mut self, now: Duration) -> Vec<SupervisorAction> {
        match self.phase {
            Phase::Done => return Vec::new(),
            // The caller delivers the end without a keeper.
            Phase::Finishing { end, .. } if self.restarts >= FINISH_RESTARTS_MAX => return self.exit(end),
            Phase::Starting | Phase::Running | Phase::Finishing { .. } => {}
        }
        let wait = RESTART_FIRST.saturating_mul(1 << self.restarts.min(16)).min(RESTART_MAX);
        self.restart_at = Some(if self.restarts == 0 { now } else { now + wait });
        self.restarts = self.restarts.saturating_add(1);
        self.tick(now)
    }

    fn start(&mut self) -> Vec<SupervisorAction> {
        self.phase = Phase::Running;
        self.deadlines.begin_phase(None);
        let mut actions = vec![SupervisorAction::Spawn];
        for signal in std::mem::take(&mut self.held_signals) {
            if matches!(classify(signal, SignalScope::SupervisorOnly, self.inherited), SignalClass::Stop { .. }) {
                actions.push(stop_requested(signal));
            }
            actions.push(SupervisorAction::SignalTrainer { signal: signal.number, value: signal.value });
        }
        actions
    }

    fn hold(&mut self, signal: SignalInfo) -> Vec<SupervisorAction> {
        if self.held_signals.len() < HELD_MAX {
            self.held_signals.push(signal);
        }
        Vec::new()
    }

    /// The trainer was forked: `--timeout` starts.
    pub(super) fn spawned(&mut self, now: Duration) {
        self.deadlines.begin_phase(self.limits.timeout.map(|timeout| now + timeout));
    }

    fn refuse(&mut self, message: String, hint: String) -> Vec<SupervisorAction> {
        self.phase = Phase::Done;
        let next = vec![SupervisorAction::Abandon, SupervisorAction::Exit(EndAs::Code(EXIT_RUNWRAP))];
        warn_then(message, hint, next)
    }

    /// Stops this process only if the whole job was asked to stop. After a stop of the trainer alone, a SIGCONT to the
    /// trainer would not continue this process.
    fn stop_with_trainer(&mut self, now: Duration) -> Vec<SupervisorAction> {
        let Some(signal) = self.stopped.filter(|_| self.suspended) else { return Vec::new() };
        self.deadlines.pause(now);
        vec![SupervisorAction::StopSelf { signal }]
    }

    fn signal(&mut self, signal: SignalInfo, scope: SignalScope, now: Duration) -> Vec<SupervisorAction> {
        let send = SupervisorAction::SignalTrainer { signal: signal.number, value: signal.value };
        match (self.phase, classify(signal, scope, self.inherited)) {
            (Phase::Starting, SignalClass::Stop { .. } | SignalClass::Suspend { .. })
                if self.inherited.blocked.contains(signal.number) =>
            {
                // A blocked signal stays pending for the trainer, as in the bare command.
                self.hold(signal)
            }
            (Phase::Starting, SignalClass::Stop { .. }) => {
                let name = signals::name(signal.number);
                let mut actions = vec![stop_requested(signal)];
                let message = format!("asked to stop by {name} before the trainer was started");
                let exit = TrainerExit::Unknown { reason: Reason::Cancelled, message };
                actions.extend(self.finish(exit, EndAs::Signal(signal.number), now));
                actions
            }
            // Held whatever its scope: the trainer was not forked yet.
            (Phase::Starting, SignalClass::Other { .. }) => self.hold(signal),
            // There is no trainer to stop.
            (Phase::Starting | Phase::Finishing { .. }, SignalClass::Suspend { .. }) => {
                self.deadlines.pause(now);
                vec![SupervisorAction::StopSelf { signal: signal.number }]
            }
            (Phase::Running, SignalClass::Stop { relay }) => {
                let mut actions = Vec::new();
                if self.stops_written < STOPS_WRITTEN_MAX {
                    self.stops_written += 1;
                    actions.push(stop_requested(signal));
                }
                if relay {
                    actions.push(send);
                    if self.limits.kill_after_stop {
                        self.deadlines.kill_at_the_latest(now + self.limits.kill_after);
                    }
                }
                if self.stopped.is_some() {
                    actions.push(SupervisorAction::SignalTrainer { signal: signals::SIGCONT, value: None });
                }
                actions
            }
            (Phase::Running, SignalClass::Suspend { relay }) => {
                self.suspended = true;
                let mut actions = if relay { vec![send] } else { Vec::new() };
                actions.extend(self.stop_with_trainer(now));
                actions
            }
            (Phase::Running, SignalClass::Other { relay: true }) => vec![send],
            (Phase::Running, SignalClass::Other { relay: false }) => Vec::new(),
            (Phase::Finishing { since, end }, SignalClass::Stop { .. }) if now >= since + FINISH_STOP_GRACE => {
                self.exit(end)
            }
            (Phase::Finishing { .. }, SignalClass::Stop { .. } | SignalClass::Other { .. })
            | (Phase::Done, SignalClass::Stop { .. } | SignalClass::Suspend { .. } | SignalClass::Other { .. }) => {
                Vec::new()
            }
        }
    }

    fn tick(&mut self, now: Duration) -> Vec<SupervisorAction> {
        let mut actions = Vec::new();
        if take_due(&mut self.restart_at, now) {
            actions.push(SupervisorAction::StartKeeper);
        }
        if self.deadlines.kill_due(now) {
            actions.push(SupervisorAction::SignalTrainer { signal: signals::SIGKILL, value: None });
        }
        if self.deadlines.phase_expired(now) {
            actions.extend(self.deadline_passed(now));
        }
        actions
    }

    fn deadline_passed(&mut self, now: Duration) -> Vec<SupervisorAction> {
        match self.phase {
            Phase::Starting if self.limits.require_database => {
                let limit = humantime::format_duration(self.limits.start_timeout);
                let hint = "see the log for each attempt; the trainer was not started (--require-database)".to_owned();
                self.refuse(format!("cannot insert the record: the database did not answer within {limit}"), hint)
            }
            Phase::Starting => {
                let message =
                    "the database has not answered yet; the run starts and is recorded as soon as the database answers";
                warn_then(message.to_owned(), String::new(), self.start())
            }
            Phase::Running => {
                self.timed_out = true;
                self.deadlines.kill_at(now + self.limits.kill_after);
                let event = journal::RunEvent::TimedOut { signal: signals::name(signals::SIGTERM) };
                vec![
                    SupervisorAction::Write { event, durable: true },
                    SupervisorAction::SignalTrainer { signal: signals::SIGTERM, value: None },
                    SupervisorAction::SignalTrainer { signal: signals::SIGCONT, value: None },
                ]
            }
            Phase::Finishing { end, .. } => {
                let message = "the database does not have the end of the run yet; it is delivered as soon as the database answers";
                warn_then(message.to_owned(), String::new(), self.exit(end))
            }
            Phase::Done => Vec::new(),
        }
    }

    fn finish(&mut self, exit: TrainerExit, end: EndAs, now: Duration) -> Vec<SupervisorAction> {
        self.phase = Phase::Finishing { since: now, end };
        // The trainer is gone: a later stop concerns only this process.
        (self.stopped, self.suspended) = (None, false);
        self.deadlines.begin_phase(Some(now + self.limits.finish_timeout));
        vec![SupervisorAction::WriteEnd(exit)]
    }

    fn exit(&mut self, end: EndAs) -> Vec<SupervisorAction> {
        self.phase = Phase::Done;
        self.deadlines.begin_phase(None);
        vec![SupervisorAction::Exit(end)]
    }

    fn end_of(&self, exit: &TrainerExit) -> EndAs {
        match exit {
            _ if self.timed_out => EndAs::Code(EXIT_TIMEOUT),
            TrainerExit::Exited { code } => EndAs::Code(u8::try_from(*code).unwrap_or(EXIT_RUNWRAP)),
            TrainerExit::Signaled { signal, .. } => EndAs::Signal(*signal),
            TrainerExit::NotExecuted { .. } | TrainerExit::Unknown { .. } => EndAs::Code(EXIT_RUNWRAP),
        }
    }
}

fn warn_then(message: String, hint: String, next: Vec<SupervisorAction>) -> Vec<SupervisorAction> {
    let mut actions = vec![SupervisorAction::Warn { message, hint }];
    actions.extend(next);
    actions
}

fn stop_requested(signal: SignalInfo) -> SupervisorAction {
    let (pid, uid) = match signal.sender {
        Sender::Kernel => (None, None),
        Sender::Process { pid, uid } => (Some(pid), Some(uid)),
    };
    let event =
        journal::RunEvent::StopRequested { signal: signals::name(signal.number), sender_pid: pid, sender_uid: uid };
    SupervisorAction::Write { event, durable: true }
}

#[cfg(test)]
mod tests;
