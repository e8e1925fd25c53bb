//! The supervisor's decisions: events in, actions out. Pure: no descriptors, clocks or processes.

use std::time::Duration;

use super::deadlines::{Deadlines, RunLimits, take_due};
use super::events::{SupervisorAction, SupervisorEvent};
use super::relay::{InheritedSignals, Relay, SignalClass, SignalScope, classify};
use crate::journal;
use crate::link::ToSupervisor;
use crate::record::{Reason, RecordId, TrainerExit};
use crate::sys::process::EndAs;
use crate::sys::signals::{self, Sender, SignalInfo};

/// `--timeout` ran out.
const EXIT_TIMEOUT: u8 = 124;
/// runwrap itself failed, or was misused.
pub const EXIT_RUNWRAP: u8 = 125;
/// The command is not executable.
pub(super) const EXIT_NOT_EXECUTABLE: u8 = 126;
/// The command was not found.
pub(super) const EXIT_NOT_FOUND: u8 = 127;

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

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Waiting for the record. The trainer has not been forked.
    #[default]
    Starting,
    /// The trainer was forked.
    Running,
    /// The end is in the journal. Waiting for its delivery.
    Finishing { since: Duration, end: EndAs },
    /// The supervisor must exit.
    Done,
}

#[derive(Debug, Default)]
pub(super) struct SupervisorMachine {
    limits: RunLimits,
    inherited: InheritedSignals,
    phase: Phase,
    /// The record, as the keeper reported it last.
    record_id: Option<RecordId>,
    held_signals: Vec<SignalInfo>,
    /// Signals whose scope is not settled yet.
    unproven: Vec<SignalInfo>,
    /// Stop requests written since the start of the trainer.
    stops_written: u32,
    /// The signal that has stopped the trainer.
    stopped: Option<i32>,
    /// The whole job was asked to stop, not only the trainer, and has not been continued since.
    suspended: bool,
    timed_out: bool,
    /// Deadlines of the present phase and of a stop request.
    deadlines: Deadlines,
    /// Why the keeper's last attempt failed.
    last_error: Option<String>,
    restarts: u32,
    restart_at: Option<Duration>,
    /// The result of the present step.
    actions: Vec<SupervisorAction>,
}

impl SupervisorMachine {
    pub(super) fn new(limits: RunLimits, inherited: InheritedSignals, now: Duration) -> Self {
        let wait = if limits.has_keeper { limits.start_timeout } else { Duration::ZERO };
        let deadlines = Deadlines::of_phase(Some(now + wait));
        Self { limits, inherited, deadlines, ..Self::default() }
    }

    /// The latest time for the next [`SupervisorEvent::Tick`].
    pub(super) fn wake_at(&self) -> Option<Duration> {
        [self.deadlines.next(), self.restart_at].into_iter().flatten().min()
    }

    /// Handles `event` at the boot time `now`.
    pub(super) fn step(&mut self, event: SupervisorEvent, now: Duration) -> Vec<SupervisorAction> {
        if self.phase != Phase::Done {
            self.handle(event, now);
        }
        std::mem::take(&mut self.actions)
    }

    fn handle(&mut self, event: SupervisorEvent, now: Duration) {
        match event {
            SupervisorEvent::Keeper(message) => self.keeper_message(message),
            SupervisorEvent::KeeperGone => self.keeper_gone(now),
            SupervisorEvent::Signal { signal, scope } => self.signal(signal, scope, now),
            SupervisorEvent::Settled { signal, scope } => {
                if let Some(place) = self.unproven.iter().position(|other| *other == signal) {
                    self.unproven.remove(place);
                    let (class, relay) = classify(signal, scope, self.inherited);
                    self.relay(signal, class, relay, now);
                }
            }
            SupervisorEvent::SpawnFailed { not_found, message } => {
                self.warn(&message, String::new());
                let code = if not_found { EXIT_NOT_FOUND } else { EXIT_NOT_EXECUTABLE };
                self.finish(TrainerExit::NotExecuted { message }, EndAs::Code(code), now);
            }
            SupervisorEvent::Executed { pid, start_ticks } => {
                self.write(journal::RunEvent::Started { pid, start_ticks });
            }
            SupervisorEvent::TrainerEnded(exit) => {
                let end = self.end_of(&exit);
                self.finish(exit, end, now);
            }
            SupervisorEvent::TrainerStopped { signal, in_foreground } => {
                self.stopped = Some(signal);
                self.suspended |= in_foreground;
                self.stop_with_trainer(now);
            }
            SupervisorEvent::TrainerContinued => {
                self.stopped = None;
                self.resume(now);
            }
            SupervisorEvent::Resumed => self.resume(now),
            SupervisorEvent::Tick => self.tick(now),
        }
    }

    fn keeper_message(&mut self, message: ToSupervisor) {
        match message {
            ToSupervisor::Recorded(begun) => {
                self.restarts = 0;
                let known = self.record_id.replace(begun.record_id.clone());
                if let Some(known) = known.as_ref().filter(|known| **known != begun.record_id) {
                    let present = &begun.record_id;
                    let message = format!("record {known} is not this run's any more: it goes on as record {present}");
                    self.warn(&message, String::new());
                }
                // Nothing may follow the end in a journal.
                if known.is_some() || matches!(self.phase, Phase::Finishing { .. }) {
                    return;
                }
                self.write(journal::RunEvent::Recorded(begun));
                if self.phase == Phase::Starting {
                    self.start();
                }
            }
            ToSupervisor::Failed { refused, message, hint } => match self.phase {
                Phase::Starting if refused || self.limits.require_database => self.refuse(&message, hint, EXIT_RUNWRAP),
                Phase::Starting => {
                    self.warn(&format!("the run is not in the database yet: {message}"), hint);
                    self.start();
                }
                Phase::Running => self.warn(&message, hint),
                Phase::Finishing { end, .. } => {
                    self.warn(&format!("the database does not have the end of the run: {message}"), hint);
                    self.exit_after_keeper(end);
                }
                Phase::Done => {}
            },
            ToSupervisor::Running { message } if self.phase == Phase::Starting => {
                let hint = "the trainer was not started (--unless-running)".to_owned();
                self.refuse(&message, hint, self.limits.exit_if_running);
            }
            ToSupervisor::Running { .. } => {}
            ToSupervisor::Notice { message, hint } => self.warn(&message, hint),
            ToSupervisor::Retrying { message } => self.last_error = Some(message),
            ToSupervisor::Answered => self.last_error = None,
            ToSupervisor::Restored => {
                if self.phase == Phase::Running {
                    self.warn("the database accepts the record of the run now", String::new());
                }
            }
            ToSupervisor::NotSynced { message } => self.actions.push(SupervisorAction::MoveJournal { message }),
            ToSupervisor::Final => {
                if let Phase::Finishing { end, .. } = self.phase {
                    self.exit_after_keeper(end);
                }
            }
        }
    }

    fn keeper_gone(&mut self, now: Duration) {
        if let Phase::Finishing { end, .. } = self.phase
            && self.restarts >= FINISH_RESTARTS_MAX
        {
            // The caller delivers the end without a keeper.
            return self.exit(end);
        }
        let wait = RESTART_FIRST.saturating_mul(1 << self.restarts.min(16)).min(RESTART_MAX);
        self.restart_at = Some(if self.restarts == 0 { now } else { now + wait });
        self.restarts = self.restarts.saturating_add(1);
        self.tick(now);
    }

    fn start(&mut self) {
        self.phase = Phase::Running;
        self.deadlines = Deadlines::default();
        self.actions.push(SupervisorAction::Spawn);
        for signal in std::mem::take(&mut self.held_signals) {
            if classify(signal, SignalScope::SupervisorOnly, self.inherited).0 == SignalClass::Stop {
                self.write_stop_request(signal);
            }
            self.send(signal.number, signal.value);
        }
    }

    /// The trainer was forked: `--timeout` starts.
    pub(super) fn spawned(&mut self, now: Duration) {
        self.deadlines = Deadlines::of_phase(self.limits.timeout.map(|timeout| now + timeout));
    }

    /// The keeper was ended to make room for the trainer, for good.
    pub(super) const fn keeper_gave_way(&mut self) {
        self.limits.has_keeper = false;
    }

    fn refuse(&mut self, message: &str, hint: String, exit_status: u8) {
        self.phase = Phase::Done;
        self.warn(message, hint);
        self.actions.extend([SupervisorAction::Abandon, SupervisorAction::Exit(EndAs::Code(exit_status))]);
    }

    /// Stops this process only if the whole job was asked to stop. After a stop of the trainer alone, a SIGCONT to the
    /// trainer would not continue this process.
    fn stop_with_trainer(&mut self, now: Duration) {
        if let Some(signal) = self.stopped.filter(|_| self.suspended) {
            self.stop_self(signal, now);
        }
    }

    fn stop_self(&mut self, signal: i32, now: Duration) {
        // A SIGCONT among them must not wait until this process is continued.
        for signal in std::mem::take(&mut self.unproven) {
            let (class, relay) = classify(signal, SignalScope::SupervisorOnly, self.inherited);
            self.relay(signal, class, relay, now);
        }
        self.deadlines.pause(now);
        self.actions.push(SupervisorAction::StopSelf { signal });
    }

    /// If the trainer is still stopped, its deadlines resume when it is continued.
    fn resume(&mut self, now: Duration) {
        self.suspended = false;
        if self.stopped.is_none() {
            self.deadlines.resume(now);
        }
    }

    fn signal(&mut self, signal: SignalInfo, scope: SignalScope, now: Duration) {
        let (class, relay) = classify(signal, scope, self.inherited);
        let is_blocked = self.inherited.blocked.contains(signal.number);
        match (self.phase, class) {
            // A blocked signal stays pending for the trainer, as in the bare command.
            (Phase::Starting, SignalClass::Stop | SignalClass::Suspend) if is_blocked => self.hold(signal),
            (Phase::Starting, SignalClass::Stop) => {
                self.write_stop_request(signal);
                let message =
                    format!("asked to stop by {} before the trainer was started", signals::name(signal.number));
                let exit = TrainerExit::Unknown { reason: Reason::Cancelled, message };
                self.finish(exit, EndAs::Signal(signal.number), now);
            }
            // Held whatever its scope: the trainer was not forked yet.
            (Phase::Starting, SignalClass::Other) => self.hold(signal),
            // There is no trainer to stop.
            (Phase::Starting | Phase::Finishing { .. }, SignalClass::Suspend) => self.stop_self(signal.number, now),
            (Phase::Running, SignalClass::Stop | SignalClass::Suspend | SignalClass::Other) => {
                self.running_signal(signal, class, relay, now);
            }
            (Phase::Finishing { since, end }, SignalClass::Stop) if now >= since + FINISH_STOP_GRACE => self.exit(end),
            (Phase::Finishing { .. } | Phase::Done, SignalClass::Stop | SignalClass::Other)
            | (Phase::Done, SignalClass::Suspend) => {}
        }
    }

    fn running_signal(&mut self, signal: SignalInfo, class: SignalClass, relay: Relay, now: Duration) {
        if class == SignalClass::Stop && self.stops_written < STOPS_WRITTEN_MAX {
            self.stops_written += 1;
            self.write_stop_request(signal);
        }
        self.relay(signal, class, relay, now);
        if class == SignalClass::Suspend {
            self.suspended = true;
            self.stop_with_trainer(now);
        }
    }

    fn relay(&mut self, signal: SignalInfo, class: SignalClass, relay: Relay, now: Duration) {
        match relay {
            Relay::Later => return self.unproven.push(signal),
            Relay::Now => self.send(signal.number, signal.value),
            Relay::Never => {}
        }
        if class == SignalClass::Stop && relay == Relay::Now && self.limits.kill_after_stop {
            self.deadlines.kill_at_the_latest(now + self.limits.kill_after);
        }
        // A stopped trainer could not react.
        if class == SignalClass::Stop && self.stopped.is_some() {
            self.send(signals::SIGCONT, None);
        }
    }

    fn hold(&mut self, signal: SignalInfo) {
        if self.held_signals.len() < HELD_MAX {
            self.held_signals.push(signal);
        }
    }

    fn tick(&mut self, now: Duration) {
        if take_due(&mut self.restart_at, now) {
            self.actions.push(SupervisorAction::StartKeeper);
        }
        if self.deadlines.kill_due(now) {
            self.send(signals::SIGKILL, None);
        }
        if self.deadlines.phase_expired(now) {
            self.deadline_passed(now);
        }
    }

    fn deadline_passed(&mut self, now: Duration) {
        // Why the keeper's last attempt failed, if one did.
        let cause = self.last_error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
        match self.phase {
            Phase::Starting if self.limits.require_database && !self.limits.has_keeper => {
                let hint =
                    "leave out --require-database and --unless-running to start the trainer nonetheless".to_owned();
                self.refuse("cannot insert the record without a keeper", hint, EXIT_RUNWRAP);
            }
            Phase::Starting if !self.limits.has_keeper => self.start(),
            Phase::Starting if self.limits.require_database => {
                let limit = humantime::format_duration(self.limits.start_timeout);
                let hint =
                    "see the log for each attempt; --require-database and --unless-running need an answer".to_owned();
                let message = format!("cannot insert the record: the database did not answer within {limit}{cause}");
                self.refuse(&message, hint, EXIT_RUNWRAP);
            }
            Phase::Starting => {
                let then = "the run starts and is recorded as soon as the database answers";
                self.warn(&format!("the database has not answered yet{cause}; {then}"), String::new());
                self.start();
            }
            Phase::Running => {
                self.timed_out = true;
                self.deadlines.kill_at(now + self.limits.kill_after);
                self.write(journal::RunEvent::TimedOut { signal: signals::name(signals::SIGTERM) });
                self.send(signals::SIGTERM, None);
                self.send(signals::SIGCONT, None);
            }
            Phase::Finishing { end, .. } => {
                let then = "it is delivered as soon as the database answers";
                self.warn(&format!("the database does not have the end of the run yet{cause}; {then}"), String::new());
                self.exit(end);
            }
            Phase::Done => {}
        }
    }

    fn finish(&mut self, exit: TrainerExit, end: EndAs, now: Duration) {
        self.phase = Phase::Finishing { since: now, end };
        // The trainer is gone: a later stop concerns only this process.
        (self.stopped, self.suspended) = (None, false);
        self.unproven.clear();
        self.deadlines = Deadlines::of_phase(Some(now + self.limits.finish_timeout));
        self.actions.push(SupervisorAction::WriteEnd(exit));
        if !self.limits.has_keeper {
            self.exit(end);
        }
    }

    /// The keeper has sent its last message.
    fn exit_after_keeper(&mut self, end: EndAs) {
        self.actions.push(SupervisorAction::ReapKeeper);
        self.exit(end);
    }

    fn exit(&mut self, end: EndAs) {
        self.phase = Phase::Done;
        self.deadlines = Deadlines::default();
        self.actions.push(SupervisorAction::Exit(end));
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

mod actions;
#[cfg(test)]
mod tests;
