//! What the supervisor does next. Pure: knows no descriptor, no clock, no process. Called by `reactor` alone.

use std::time::Duration;

use super::deadlines::{Deadlines, take_due};
use super::relay::{Meaning, Reach, meaning};
use crate::journal;
use crate::link::ToSupervisor;
use crate::record::{Reason, TrainerExit};
use crate::sys::process::EndAs;
use crate::sys::signals::{self, Received, Sender};

/// `--timeout` ran out.
pub const EXIT_TIMEOUT: u8 = 124;
/// runwrap itself failed, or was misused.
pub const EXIT_RUNWRAP: u8 = 125;
/// The command is not executable.
pub const EXIT_NOT_EXECUTABLE: u8 = 126;
/// There is no such command.
pub const EXIT_NOT_FOUND: u8 = 127;

/// Signals held for a trainer that is about to start; more than anybody sends in those milliseconds.
const HELD_MAX: usize = 64;
/// After this long a stop signal ends the wait for the database. Sooner, it is the one that ended the trainer.
const FINISH_PATIENCE: Duration = Duration::from_secs(1);
/// How often in a row a keeper may die, or not even start, while the end waits to be delivered.
const RESTARTS_AT_THE_END_MAX: u32 = 4;
const RESTART_FIRST: Duration = Duration::from_millis(100);
const RESTART_MAX: Duration = Duration::from_secs(30);

/// The waits of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub start_timeout: Duration,
    pub finish_timeout: Duration,
    /// `--timeout`
    pub timeout: Option<Duration>,
    /// `--kill-after`
    pub kill_after: Duration,
    /// `--kill-after` was given: it bounds the wait after a relayed stop, too.
    pub kill_after_stop: bool,
    /// `--require-database`
    pub require_database: bool,
    /// A closing terminal signals the leader of the session alone.
    pub leads_session: bool,
}

/// What happens to a supervisor.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Keeper(ToSupervisor),
    /// The link is at its end, or a keeper could not be started.
    KeeperGone,
    Signal {
        signal: Received,
        reach: Reach,
    },
    /// The command could not be executed, or not even forked.
    SpawnFailed {
        not_found: bool,
        message: String,
    },
    /// The command runs.
    Executed {
        pid: i32,
    },
    TrainerEnded(TrainerExit),
    TrainerStopped {
        signal: i32,
    },
    TrainerContinued,
    /// A moment that [`Machine::wake_at`] asked for, or any other.
    Time,
}

/// What a supervisor is to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    StartKeeper,
    Spawn,
    /// Write an event down; durably before the next action, if so.
    Write {
        event: journal::Event,
        durable: bool,
    },
    Send {
        signal: i32,
        value: Option<usize>,
    },
    /// Let the guard write the end.
    Finish(TrainerExit),
    /// The job is stopped: stop with it.
    StopSelf,
    Warn {
        message: String,
        hint: String,
    },
    /// The run never began: stop the keeper and remove the journal.
    Abandon,
    End(EndAs),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waiting for the record.
    Opening,
    /// The trainer was forked, or runs.
    Running,
    /// The end is written; waiting for the database to have it.
    Finishing {
        since: Duration,
        end: EndAs,
    },
    Over,
}

#[derive(Debug)]
pub(super) struct Machine {
    limits: Limits,
    phase: Phase,
    recorded: bool,
    held: Vec<Received>,
    stopped: bool,
    timed_out: bool,
    /// Of the wait for the record, of `--timeout`, of the wait for the end's delivery.
    deadlines: Deadlines,
    restarts: u32,
    restart_at: Option<Duration>,
}

impl Machine {
    pub(super) fn new(limits: Limits, now: Duration) -> Self {
        Self {
            limits,
            phase: Phase::Opening,
            recorded: false,
            held: Vec::new(),
            stopped: false,
            timed_out: false,
            deadlines: Deadlines::new(now + limits.start_timeout),
            restarts: 0,
            restart_at: None,
        }
    }

    /// When to come back with [`Event::Time`] at the latest.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        [self.deadlines.next(), self.restart_at].into_iter().flatten().min()
    }

    /// Takes `event` at the boot time `now`.
    pub(super) fn step(&mut self, event: Event, now: Duration) -> Vec<Action> {
        if self.phase == Phase::Over {
            return Vec::new();
        }
        match event {
            Event::Keeper(news) => self.keeper_says(news),
            Event::KeeperGone => self.keeper_gone(now),
            Event::Signal { signal, reach } => self.signal(signal, reach, now),
            Event::SpawnFailed { not_found, message } => {
                let code = if not_found { EXIT_NOT_FOUND } else { EXIT_NOT_EXECUTABLE };
                let warning = Action::Warn { message: message.clone(), hint: String::new() };
                let mut actions = vec![warning];
                actions.extend(self.finish(TrainerExit::NotExecuted { message }, EndAs::Code(code), now));
                actions
            }
            Event::Executed { pid } => vec![Action::Write { event: journal::Event::Started { pid }, durable: false }],
            Event::TrainerEnded(exit) => {
                let end = self.end_of(&exit);
                self.finish(exit, end, now)
            }
            Event::TrainerStopped { signal } => {
                self.stopped = true;
                // The terminal stops a job as a whole; a SIGSTOP is somebody's business with the trainer alone.
                if ![signals::SIGTSTP, signals::SIGTTIN, signals::SIGTTOU].contains(&signal) {
                    return Vec::new();
                }
                self.deadlines.stop(now);
                vec![Action::StopSelf]
            }
            Event::TrainerContinued => {
                self.stopped = false;
                self.deadlines.go_on(now);
                Vec::new()
            }
            Event::Time => self.time(now),
        }
    }

    fn keeper_says(&mut self, news: ToSupervisor) -> Vec<Action> {
        match news {
            ToSupervisor::Recorded(begun) => {
                self.restarts = 0;
                let known = std::mem::replace(&mut self.recorded, true);
                // The end is the last event of a journal.
                if known || matches!(self.phase, Phase::Finishing { .. }) {
                    return Vec::new();
                }
                let mut actions = vec![Action::Write { event: journal::Event::Recorded(begun), durable: false }];
                if self.phase == Phase::Opening {
                    actions.extend(self.start());
                }
                actions
            }
            ToSupervisor::Refused { message, hint } if self.phase == Phase::Opening => self.refuse(message, hint),
            ToSupervisor::Refused { message, hint } | ToSupervisor::Failed { message, hint } => match self.phase {
                Phase::Opening if self.limits.require_database => self.refuse(message, hint),
                Phase::Opening => {
                    let mut actions =
                        vec![Action::Warn { message: format!("the run is not in the database yet: {message}"), hint }];
                    actions.extend(self.start());
                    actions
                }
                Phase::Running => vec![Action::Warn { message, hint }],
                Phase::Finishing { end, .. } => {
                    let message = format!("the database does not have the end of the run: {message}");
                    let mut actions = vec![Action::Warn { message, hint }];
                    actions.extend(self.over(end));
                    actions
                }
                Phase::Over => Vec::new(),
            },
            ToSupervisor::Final => match self.phase {
                Phase::Finishing { end, .. } => self.over(end),
                Phase::Opening | Phase::Running | Phase::Over => Vec::new(),
            },
        }
    }

    fn keeper_gone(&mut self, now: Duration) -> Vec<Action> {
        match self.phase {
            Phase::Over => return Vec::new(),
            // Whoever started us delivers the end itself then.
            Phase::Finishing { end, .. } if self.restarts >= RESTARTS_AT_THE_END_MAX => return self.over(end),
            Phase::Opening | Phase::Running | Phase::Finishing { .. } => {}
        }
        let wait = RESTART_FIRST.saturating_mul(1 << self.restarts.min(16)).min(RESTART_MAX);
        self.restart_at = Some(if self.restarts == 0 { now } else { now + wait });
        self.restarts = self.restarts.saturating_add(1);
        self.time(now)
    }

    fn start(&mut self) -> Vec<Action> {
        self.phase = Phase::Running;
        self.deadlines.begin_phase(None);
        let held = std::mem::take(&mut self.held);
        let sends = held.into_iter().map(|signal| Action::Send { signal: signal.number, value: signal.value });
        std::iter::once(Action::Spawn).chain(sends).collect()
    }

    /// The trainer was forked: `--timeout` runs from now on.
    pub(super) fn spawned(&mut self, now: Duration) {
        self.deadlines.begin_phase(self.limits.timeout.map(|timeout| now + timeout));
    }

    fn refuse(&mut self, message: String, hint: String) -> Vec<Action> {
        self.phase = Phase::Over;
        vec![Action::Warn { message, hint }, Action::Abandon, Action::End(EndAs::Code(EXIT_RUNWRAP))]
    }

    fn signal(&mut self, signal: Received, reach: Reach, now: Duration) -> Vec<Action> {
        let send = Action::Send { signal: signal.number, value: signal.value };
        match (self.phase, meaning(signal, reach, self.limits.leads_session)) {
            (Phase::Opening, Meaning::Stop { .. }) => {
                let name = signals::name(signal.number);
                let mut actions = vec![stop_requested(signal)];
                let message = format!("asked to stop by {name} before the trainer was started");
                let exit = TrainerExit::Unknown { reason: Reason::Cancelled, message };
                actions.extend(self.finish(exit, EndAs::Signal(signal.number), now));
                actions
            }
            // Whomever it has reached, the trainer was not there yet.
            (Phase::Opening, Meaning::Other { .. }) => {
                if self.held.len() < HELD_MAX {
                    self.held.push(signal);
                }
                Vec::new()
            }
            (Phase::Running, Meaning::Stop { relay }) => {
                let mut actions = vec![stop_requested(signal)];
                if relay {
                    actions.push(send);
                    if self.limits.kill_after_stop {
                        self.deadlines.kill_at_the_latest(now + self.limits.kill_after);
                    }
                }
                if self.stopped {
                    actions.push(Action::Send { signal: signals::SIGCONT, value: None });
                }
                actions
            }
            (Phase::Running, Meaning::Other { relay }) => {
                if relay {
                    vec![send]
                } else {
                    Vec::new()
                }
            }
            (Phase::Finishing { since, end }, Meaning::Stop { .. }) if now >= since + FINISH_PATIENCE => self.over(end),
            (Phase::Finishing { .. } | Phase::Over, Meaning::Stop { .. } | Meaning::Other { .. }) => Vec::new(),
        }
    }

    fn time(&mut self, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        if take_due(&mut self.restart_at, now) {
            actions.push(Action::StartKeeper);
        }
        if self.deadlines.take_kill(now) {
            actions.push(Action::Send { signal: signals::SIGKILL, value: None });
        }
        if self.deadlines.take_phase(now) {
            actions.extend(self.deadline_passed(now));
        }
        actions
    }

    fn deadline_passed(&mut self, now: Duration) -> Vec<Action> {
        match self.phase {
            Phase::Opening if self.limits.require_database => {
                let limit = humantime::format_duration(self.limits.start_timeout);
                let hint = "the trainer was not started (--require-database); see the log for each attempt".to_owned();
                self.refuse(format!("cannot insert the record: the database did not answer within {limit}"), hint)
            }
            Phase::Opening => {
                let message = "the database has not answered yet; the run starts, and is recorded as soon as it does";
                let mut actions = vec![Action::Warn { message: message.to_owned(), hint: String::new() }];
                actions.extend(self.start());
                actions
            }
            Phase::Running => {
                self.timed_out = true;
                self.deadlines.kill_at(now + self.limits.kill_after);
                let event = journal::Event::TimedOut { signal: signals::name(signals::SIGTERM) };
                vec![
                    Action::Write { event, durable: true },
                    Action::Send { signal: signals::SIGTERM, value: None },
                    Action::Send { signal: signals::SIGCONT, value: None },
                ]
            }
            Phase::Finishing { end, .. } => {
                let message = "the database does not have the end of the run yet; it gets it as soon as it answers";
                let mut actions = vec![Action::Warn { message: message.to_owned(), hint: String::new() }];
                actions.extend(self.over(end));
                actions
            }
            Phase::Over => Vec::new(),
        }
    }

    fn finish(&mut self, exit: TrainerExit, end: EndAs, now: Duration) -> Vec<Action> {
        self.phase = Phase::Finishing { since: now, end };
        self.deadlines.begin_phase(Some(now + self.limits.finish_timeout));
        vec![Action::Finish(exit)]
    }

    fn over(&mut self, end: EndAs) -> Vec<Action> {
        self.phase = Phase::Over;
        self.deadlines.begin_phase(None);
        vec![Action::End(end)]
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

fn stop_requested(signal: Received) -> Action {
    let (pid, uid) = match signal.sender {
        Sender::Kernel => (None, None),
        Sender::Process { pid, uid } => (Some(pid), Some(uid)),
    };
    let event =
        journal::Event::StopRequested { signal: signals::name(signal.number), sender_pid: pid, sender_uid: uid };
    Action::Write { event, durable: true }
}

#[cfg(test)]
mod tests;
