//! A keeper's decisions. Pure: knows no descriptor, no clock, no store.

use std::time::Duration;

use crate::delivery::{ATTEMPT_DEADLINE, Delivered, backoff};
use crate::link::ToSupervisor;
use crate::store::StoreError;
use crate::store::attempt::KEPT_MAX;

/// The delay of the first heartbeat, which brings the pid. A shorter run saves the database one write.
const FIRST_HEARTBEAT: Duration = Duration::from_secs(1);

/// The part of the journal that decisions depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct JournalFacts {
    pub(super) started: bool,
    pub(super) ended: bool,
}

/// The inputs of a keeper.
#[derive(Clone, Debug)]
pub(super) enum KeeperEvent {
    /// The journal was read (again).
    Looked(JournalFacts),
    SupervisorGone,
    /// The journal is ours, and has an end now.
    TookOver,
    /// Another process owns the journal now, or it cannot be written.
    NotOurs,
    Delivered(Delivered),
    Failed(StoreError),
    /// SIGTERM.
    Terminated,
    /// A moment that [`KeeperMachine::wake_at`] asked for, or any other.
    Time,
}

/// The outputs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeeperAction {
    Attempt,
    Send(ToSupervisor),
    TakeOver,
    /// The database has everything: remove the run's directory.
    Remove,
    /// The attempt hangs: continue in a new image.
    ReplaceImage,
    /// The run has ended, its journal is on disk and the database does not answer: become the lingering keeper.
    Linger,
    /// The database answers: start a lingering keeper if earlier runs left something.
    DeliverBacklog,
    /// Give the lingering keeper a moment.
    AwaitBacklog,
    Exit,
}

#[derive(Debug)]
pub(super) struct KeeperMachine {
    heartbeat: Duration,
    linger: Duration,
    /// Another process can deliver the journal.
    on_disk: bool,
    facts: JournalFacts,
    /// The database has acknowledged the beginning to this process.
    begun: bool,
    /// The running attempt: its deadline, and the facts that it delivers.
    attempt: Option<(Duration, JournalFacts)>,
    /// In a row.
    failures: u32,
    /// When the next attempt is due. None: nothing to deliver, or a person must act first.
    due: Option<Duration>,
    /// The supervisor has gone.
    alone: bool,
    /// The time at which a keeper without its supervisor gives up: `linger` after the supervisor's end, or at SIGTERM.
    until: Option<Duration>,
}

impl KeeperMachine {
    /// `failures` and `until` come from an earlier image of this process, if there was one.
    pub(super) const fn new(
        heartbeat: Duration,
        linger: Duration,
        on_disk: bool,
        failures: u32,
        until: Option<Duration>,
    ) -> Self {
        let facts = JournalFacts { started: false, ended: false };
        Self {
            heartbeat,
            linger,
            on_disk,
            facts,
            begun: false,
            attempt: None,
            failures,
            due: None,
            alone: false,
            until,
        }
    }

    /// Whether the database has acknowledged the beginning to this process.
    pub(super) const fn begun(&self) -> bool {
        self.begun
    }

    /// The number of failures in a row.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// The boot time at which a keeper without its supervisor gives up, once known.
    pub(super) const fn until(&self) -> Option<Duration> {
        self.until
    }

    /// Whether the store stays open for the next attempt: the next heartbeat is near, or the run may end at once. Otherwise
    /// closing the store would be a wake-up more.
    pub(super) fn keeps_open(&self) -> bool {
        !self.facts.ended && (!self.begun || self.heartbeat <= KEPT_MAX)
    }

    /// When to come back with [`KeeperEvent::Time`] at the latest.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        self.attempt.map(|(deadline, _)| deadline).or(self.due)
    }

    /// Takes `event` at the boot time `now`; `random`, from 0 to 1, jitters the retries.
    pub(super) fn step(&mut self, event: KeeperEvent, now: Duration, random: f64) -> Vec<KeeperAction> {
        let mut actions = match event {
            KeeperEvent::Looked(facts) => {
                self.looked(facts, now);
                Vec::new()
            }
            KeeperEvent::SupervisorGone => self.supervisor_gone(now),
            KeeperEvent::TookOver => {
                self.looked(JournalFacts { ended: true, ..self.facts }, now);
                Vec::new()
            }
            KeeperEvent::NotOurs => vec![KeeperAction::Exit],
            KeeperEvent::Delivered(delivered) => self.delivered(delivered, now),
            KeeperEvent::Failed(error) => self.failed(error, now, random),
            KeeperEvent::Terminated => {
                self.until = Some(now);
                // While the supervisor lives the run's end is still to come: a stop of the whole service must not lose it.
                if self.alone {
                    self.due = Some(now);
                }
                Vec::new()
            }
            KeeperEvent::Time => self.overrun(now),
        };
        let due = self.due.is_some_and(|due| due <= now);
        if due && self.attempt.is_none() && actions.is_empty() {
            self.due = None;
            self.attempt = Some((now + ATTEMPT_DEADLINE, self.facts));
            actions.push(KeeperAction::Attempt);
        }
        actions
    }

    fn looked(&mut self, facts: JournalFacts, now: Duration) {
        let before = std::mem::replace(&mut self.facts, facts);
        // An end gets an attempt at once, also while a retry or a person is waited for.
        let first_look = !self.begun && self.failures == 0 && self.attempt.is_none();
        if first_look || (facts.ended && !before.ended) {
            self.due = Some(now);
        } else if self.begun && facts.started && !before.started {
            self.plan(now + FIRST_HEARTBEAT.min(self.heartbeat));
        } else if self.failures > 0 && self.attempt.is_none() && self.due.is_none() && before == JournalFacts::default()
        {
            // The first read by an image that replaced another.
            self.due = Some(now);
        }
    }

    fn supervisor_gone(&mut self, now: Duration) -> Vec<KeeperAction> {
        self.alone = true;
        self.until.get_or_insert(now.saturating_add(self.linger));
        if !self.facts.ended {
            return vec![KeeperAction::TakeOver];
        }
        match (self.attempt, self.due) {
            // No attempt runs and none is due: a person must act, and the journal stays.
            (None, None) => vec![KeeperAction::Exit],
            (None, Some(_)) if self.failures > 0 && self.on_disk => vec![KeeperAction::Linger],
            (Some(_), _) | (None, Some(_)) => Vec::new(),
        }
    }

    fn delivered(&mut self, delivered: Delivered, now: Duration) -> Vec<KeeperAction> {
        let attempted = self.attempt.take().map_or(self.facts, |(_, facts)| facts);
        let first = !std::mem::replace(&mut self.begun, true);
        self.failures = 0;
        let mut actions: Vec<KeeperAction> =
            delivered.begun.map(|begun| KeeperAction::Send(ToSupervisor::Recorded(begun))).into_iter().collect();
        if first {
            actions.push(KeeperAction::DeliverBacklog);
        }
        if delivered.ended {
            // Before `Final`: in a container every process ends with the supervisor.
            let last = [
                KeeperAction::Remove,
                KeeperAction::AwaitBacklog,
                KeeperAction::Send(ToSupervisor::Final),
                KeeperAction::Exit,
            ];
            actions.extend(last);
        } else if self.facts.ended {
            self.plan(now);
        } else if self.facts.started && !attempted.started {
            self.plan(now + FIRST_HEARTBEAT.min(self.heartbeat));
        } else if self.facts.started {
            self.plan(now + self.heartbeat);
        }
        actions
    }

    fn failed(&mut self, error: StoreError, now: Duration, random: f64) -> Vec<KeeperAction> {
        let attempted = self.attempt.take().map_or(self.facts, |(_, facts)| facts);
        self.failures = self.failures.saturating_add(1);
        let news = match error {
            StoreError::Transient { .. } => {
                self.plan(now + backoff(self.failures, random));
                return match (self.alone, self.on_disk) {
                    (true, true) => vec![KeeperAction::Linger],
                    (true, false) if self.is_over(now) => vec![KeeperAction::Exit],
                    (true | false, _) => Vec::new(),
                };
            }
            StoreError::BadInput { message, hint } => ToSupervisor::Failed { refused: true, message, hint },
            StoreError::Permanent { message, hint } => ToSupervisor::Failed { refused: false, message, hint },
        };
        // If the end came meanwhile it gets one attempt. Otherwise a person must act first.
        self.due = (self.facts.ended && !attempted.ended).then_some(now);
        let mut actions = vec![KeeperAction::Send(news)];
        if self.alone && self.facts.ended && self.due.is_none() {
            actions.push(KeeperAction::Exit);
        }
        actions
    }

    fn overrun(&mut self, now: Duration) -> Vec<KeeperAction> {
        if self.attempt.is_none_or(|(deadline, _)| now < deadline) {
            return Vec::new();
        }
        self.failures = self.failures.saturating_add(1);
        match (self.alone, self.on_disk) {
            (true, true) => vec![KeeperAction::Linger],
            (true, false) if self.is_over(now) => vec![KeeperAction::Exit],
            (true | false, _) => vec![KeeperAction::ReplaceImage],
        }
    }

    fn is_over(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| now >= until)
    }

    /// The next attempt, no later than `moment`.
    fn plan(&mut self, moment: Duration) {
        self.due = Some(self.due.map_or(moment, |due| due.min(moment)));
    }
}

#[cfg(test)]
mod tests;
