//! A keeper's decisions. Pure: knows no descriptor, no clock, no store.

use std::time::Duration;

use super::Role;
use crate::delivery::{ATTEMPT_DEADLINE, Delivered, backoff};
use crate::link::ToSupervisor;
use crate::store::attempt::{KEPT_MAX, Keep};
use crate::store::{RecordView, StoreError, Unfit};

/// So many causes of failures are reported together.
const CAUSES_MAX: usize = 4;
/// The delay of the first heartbeat, which brings the pid. A shorter run saves the database one write.
const FIRST_HEARTBEAT: Duration = Duration::from_secs(1);

/// The least part of a lease between two looks at overdue runs. With the jitter 1,000 runs look 4 times a second at the default lease.
const HEALS_AFTER: f64 = 0.7;

/// The part of the journal that decisions depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct JournalFacts {
    pub(super) started: bool,
    /// The run was asked to stop: a SIGKILL of every process may follow.
    pub(super) stopping: bool,
    pub(super) ended: bool,
}

/// The inputs of a keeper.
#[derive(Clone, Debug)]
pub(super) enum KeeperEvent {
    /// So much of the journal is durable now.
    Looked(JournalFacts),
    SupervisorGone,
    /// Another process owns the journal now, or it cannot be written.
    NotOurs,
    Delivered(Delivered),
    Failed(StoreError),
    /// Overdue runs of other hosts were ended.
    Healed(Healed),
    /// The command of `--on-finish` has ended.
    OnFinishEnded,
    /// SIGTERM.
    Terminated,
    /// A moment that [`KeeperMachine::wake_at`] asked for, or any other.
    Time,
}

/// The result of a look at overdue runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Healed {
    /// Overdue runs have a journal in the state directory.
    pub(super) has_journals: bool,
    /// Why the table cannot take every end of this run.
    pub(super) unfit: Vec<Unfit>,
    /// The ended records, if `--on-finish` claims them.
    pub(super) finished: Vec<RecordView>,
}

/// The outputs.
#[derive(Debug, PartialEq)]
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
    /// End overdue runs, beside the attempts; before it, examine the table if `examines`.
    Heal {
        examines: bool,
    },
    /// The database answers: start a lingering keeper if earlier runs left something.
    DeliverBacklog,
    /// Give the lingering keeper a moment.
    AwaitBacklog,
    /// Run the command of `--on-finish` for the run's record.
    OnFinish(RecordView),
    /// Close the database.
    Close,
    Exit,
}

#[derive(Debug, Default)]
pub(super) struct KeeperMachine {
    heartbeat: Duration,
    lease: Duration,
    linger: Duration,
    /// Another process can deliver the journal.
    on_disk: bool,
    /// The database is a file.
    pub(super) is_file: bool,
    facts: JournalFacts,
    /// The database has acknowledged the beginning to this process.
    pub(super) begun: bool,
    /// The running attempt: its deadline, and the facts that it delivers.
    attempt: Option<(Duration, JournalFacts)>,
    /// The failures in a row, and the time at which a keeper without its supervisor gives up: `linger` after the supervisor's end,
    /// or at SIGTERM.
    pub(super) role: Role,
    /// When the next attempt is due. None: nothing to deliver, or a person must act before the end can be delivered.
    due: Option<Duration>,
    /// The hint of the last error that was reported to the supervisor: it stands for the cause, the message may vary.
    reported: Option<String>,
    /// The number of the host that answered last: after a failover the first one stays dead.
    host: u32,
    /// The supervisor has gone.
    alone: bool,
    /// The causes of the failures since the last success, each once: each of several hosts has its own.
    causes: Vec<String>,
    /// The backlog was delivered before a refused begin was tried again.
    has_cleared: bool,
    /// When the next look at overdue runs is due. None: at the first heartbeat, so that a short run does without.
    heals_at: Option<Duration>,
    /// This process began the run, and the table was not examined yet.
    examines: bool,
    /// How often only the series of an ended run could not be written.
    series_failures: u32,
    /// The command of `--on-finish` runs. The end is in the database.
    has_command: bool,
    /// The last look has not ended. A database that hangs costs one thread.
    is_healing: bool,
}

impl KeeperMachine {
    /// `role` comes from the command line: an earlier image of this process may have failed already.
    pub(super) fn new(heartbeat: Duration, lease: Duration, linger: Duration, on_disk: bool, role: Role) -> Self {
        Self { heartbeat, lease, linger, on_disk, role, ..Self::default() }
    }

    /// The number of the host for the next attempt: the one that answered last, then each next one.
    pub(super) fn host(&self) -> u32 {
        self.host.wrapping_add(self.role.failures)
    }

    /// Whether the database refuses the record until a person acts.
    pub(super) const fn is_refused(&self) -> bool {
        self.reported.is_some()
    }

    /// Whether a look at overdue runs follows the next heartbeat, on its connection.
    pub(super) fn heals_next(&self, now: Duration) -> bool {
        let is_due = self.heals_at.is_none_or(|due| due <= now);
        is_due && !self.is_healing && self.begun && self.facts.started && !self.facts.ended
    }

    /// Whether the store of an attempt stays open. A look at overdue runs follows at once (`is_followed`), the next heartbeat may be
    /// near, or the run may end at once. A file stays open for longer: closing it would be a wake-up more. Thousands of runs share a
    /// server's hundred connections.
    pub(super) fn keep(&self, is_followed: bool) -> Keep {
        let begins = !self.begun && !self.facts.ended;
        match () {
            () if is_followed => Keep::Open,
            () if self.is_file && !self.facts.ended && (begins || self.heartbeat <= KEPT_MAX) => Keep::Open,
            () if begins => Keep::Briefly,
            () => Keep::Closed,
        }
    }

    /// When to come back with [`KeeperEvent::Time`] at the latest.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        let end = self.role.until.filter(|_| self.alone && !self.facts.ended);
        self.attempt.map(|(deadline, _)| deadline).or(self.due).or(end)
    }

    /// Takes `event` at the boot time `now`; `random`, from 0 to 1, jitters the retries.
    pub(super) fn step(&mut self, event: KeeperEvent, now: Duration, random: f64) -> Vec<KeeperAction> {
        let mut actions = Vec::new();
        match event {
            KeeperEvent::Looked(facts) => self.looked(facts, now),
            KeeperEvent::SupervisorGone => actions = self.supervisor_gone(now),
            KeeperEvent::NotOurs => actions.push(KeeperAction::Exit),
            KeeperEvent::Delivered(delivered) => actions = self.delivered(delivered, now, random),
            KeeperEvent::Healed(healed) => {
                self.is_healing = false;
                let notice = |unfit: Unfit| ToSupervisor::Notice { message: unfit.detail, hint: unfit.repair };
                actions.extend(healed.unfit.into_iter().map(|unfit| KeeperAction::Send(notice(unfit))));
                actions.extend(healed.has_journals.then_some(KeeperAction::DeliverBacklog));
            }
            KeeperEvent::OnFinishEnded => {
                self.has_command = false;
                actions.push(KeeperAction::Send(ToSupervisor::Final));
                if self.attempt.is_none() && self.due.is_none() {
                    actions.push(KeeperAction::Exit);
                }
            }
            KeeperEvent::Failed(error) => actions = self.failed(error, now, random),
            KeeperEvent::Terminated => {
                self.role.until = Some(now);
                // While the supervisor lives the run's end is still to come: a stop of the whole service must not lose it.
                if self.alone && !self.has_command {
                    self.due = Some(now);
                    actions.extend(self.no_end(now));
                }
            }
            KeeperEvent::Time => actions.extend(self.overrun(now).or_else(|| self.no_end(now))),
        }
        if self.alone && !self.facts.ended {
            // The run is over, and its end is not durable yet.
            self.due = None;
        }
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
        let idle = self.attempt.is_none();
        let first_look = idle && !self.begun && self.role.failures == 0;
        // The first read by an image that replaced another.
        let replaced = idle && self.role.failures > 0 && self.due.is_none() && before == JournalFacts::default();
        let stops = self.begun && facts.stopping && !before.stopping;
        if first_look || replaced || (facts.ended && !before.ended) {
            self.due = Some(now);
        } else if stops {
            self.plan(now);
        } else if self.begun && facts.started && !before.started {
            self.plan(now + FIRST_HEARTBEAT.min(self.heartbeat));
        }
    }

    fn supervisor_gone(&mut self, now: Duration) -> Vec<KeeperAction> {
        self.alone = true;
        self.role.until.get_or_insert(now.saturating_add(self.linger));
        if !self.facts.ended {
            return vec![KeeperAction::TakeOver];
        }
        if self.has_command {
            return Vec::new();
        }
        match (self.attempt, self.due) {
            // No attempt runs and none is due: a person must act, and the journal stays.
            (None, None) => vec![KeeperAction::Exit],
            (None, Some(_)) if (self.role.failures > 0 || self.series_failures > 0) && self.on_disk => {
                vec![KeeperAction::Linger]
            }
            (Some(_), _) | (None, Some(_)) => Vec::new(),
        }
    }

    fn delivered(&mut self, delivered: Delivered, now: Duration, random: f64) -> Vec<KeeperAction> {
        let attempted = self.attempt.take().map_or(self.facts, |(_, facts)| facts);
        let first = !std::mem::replace(&mut self.begun, true);
        self.host = self.host();
        self.role.failures = 0;
        let answered = (!std::mem::take(&mut self.causes).is_empty()).then_some(ToSupervisor::Answered);
        let notice = delivered.notice.map(|message| ToSupervisor::Notice { message, hint: String::new() });
        self.examines |= delivered.begun.is_some();
        let recorded = delivered.begun.map(ToSupervisor::Recorded);
        let messages = answered.into_iter().chain(notice).chain(recorded);
        let mut actions: Vec<KeeperAction> = messages.map(KeeperAction::Send).collect();
        if first {
            actions.push(KeeperAction::DeliverBacklog);
        }
        if self.reported.take().is_some() && !delivered.ended {
            actions.push(KeeperAction::Send(ToSupervisor::Restored));
        }
        if delivered.ended {
            actions.extend(self.ended(delivered.lacks_series, delivered.finished, now, random));
        } else if self.facts.ended || self.facts.stopping != attempted.stopping {
            self.plan(now);
        } else if self.facts.started {
            let first = if attempted.started { self.heartbeat } else { FIRST_HEARTBEAT };
            self.plan(now + first.min(self.heartbeat));
            if attempted.started && self.heals_next(now) {
                self.heals_at = Some(now + self.lease.mul_f64(HEALS_AFTER + (1.0 - HEALS_AFTER) * random));
                self.is_healing = true;
                actions.push(KeeperAction::Heal { examines: std::mem::take(&mut self.examines) });
            }
        }
        actions
    }

    /// The database has the end.
    fn ended(
        &mut self,
        lacks_series: bool,
        finished: Option<RecordView>,
        now: Duration,
        random: f64,
    ) -> Vec<KeeperAction> {
        let mut actions = Vec::new();
        if lacks_series {
            // The supervisor does not wait for them.
            self.series_failures = self.series_failures.saturating_add(1);
            self.plan(now + backoff(self.series_failures, random));
        } else {
            actions.push(KeeperAction::Remove);
        }
        actions.push(KeeperAction::AwaitBacklog);
        self.has_command |= finished.is_some();
        if self.has_command {
            actions.push(KeeperAction::Close);
            let command = |record| [KeeperAction::Send(ToSupervisor::Ended), KeeperAction::OnFinish(record)];
            actions.extend(finished.into_iter().flat_map(command));
            return actions;
        }
        // A file is closed before `Final`: in a container every process ends with the supervisor, and no lock on a file outlives
        // runwrap. The supervisor need not wait for the close of a server's connection, which has begun.
        let (send, close) = (KeeperAction::Send(ToSupervisor::Final), KeeperAction::Close);
        actions.extend(if self.is_file { [close, send] } else { [send, close] });
        actions.extend(if lacks_series { self.left_alone(now) } else { Some(KeeperAction::Exit) });
        actions
    }

    fn failed(&mut self, error: StoreError, now: Duration, random: f64) -> Vec<KeeperAction> {
        let attempted = self.attempt.take().map_or(self.facts, |(_, facts)| facts);
        self.role.failures = self.role.failures.saturating_add(1);
        let (refused, message, hint) = match error {
            StoreError::Transient { message } => {
                self.plan(now + backoff(self.role.failures, random));
                let cause = self.cause(message).filter(|_| !self.alone);
                return cause.into_iter().chain(self.left_alone(now)).collect();
            }
            // A dead run of this state directory may hold the row that `--record-id` names, or the name.
            StoreError::BadInput { .. } | StoreError::Running { .. }
                if !self.begun && !std::mem::replace(&mut self.has_cleared, true) =>
            {
                // The host has answered.
                self.role.failures = self.role.failures.saturating_sub(1);
                self.due = Some(now);
                return vec![KeeperAction::DeliverBacklog, KeeperAction::AwaitBacklog];
            }
            StoreError::Running { message, .. } => return vec![KeeperAction::Send(ToSupervisor::Running { message })],
            StoreError::BadInput { message, hint } => (true, message, hint),
            StoreError::Permanent { message, hint } => (false, message, hint),
        };
        // A person may act at any time: each heartbeat and the end try again. After a refused end only a later process tries.
        self.due = match (self.facts.ended, attempted.ended) {
            (true, true) => None,
            (true, false) => Some(now),
            (false, _) => Some(now + self.heartbeat),
        };
        let mut actions = Vec::new();
        // The supervisor waits for the answer to the end. Before it, an error is reported once.
        let is_new = self.reported.replace(hint.clone()).as_ref() != Some(&hint);
        if is_new || self.facts.ended {
            actions.push(KeeperAction::Send(ToSupervisor::Failed { refused, message, hint }));
        }
        if self.due.is_none() {
            actions.push(KeeperAction::Exit);
        }
        actions
    }

    /// The message to the supervisor about a new cause, the latest last.
    fn cause(&mut self, message: String) -> Option<KeeperAction> {
        if self.causes.last() == Some(&message) {
            return None;
        }
        let count = self.causes.len();
        self.causes.retain(|known| *known != message);
        let is_known = self.causes.len() < count;
        self.causes.push(message);
        let surplus = self.causes.len().saturating_sub(CAUSES_MAX);
        self.causes.drain(..surplus);
        let message = self.causes.join("; ");
        (!is_known).then_some(KeeperAction::Send(ToSupervisor::Retrying { message }))
    }

    fn overrun(&mut self, now: Duration) -> Option<KeeperAction> {
        self.attempt.filter(|(deadline, _)| now >= *deadline)?;
        self.role.failures = self.role.failures.saturating_add(1);
        self.left_alone(now).or(Some(KeeperAction::ReplaceImage))
    }

    /// Leaves the journal to a later process if its end was not durable in time: the disk stalls.
    fn no_end(&self, now: Duration) -> Option<KeeperAction> {
        let is_over = self.role.until.is_some_and(|until| now >= until);
        (self.alone && !self.facts.ended && is_over).then_some(KeeperAction::Exit)
    }

    /// The next step of a keeper without its supervisor, if the database does not answer.
    fn left_alone(&self, now: Duration) -> Option<KeeperAction> {
        let is_over = self.role.until.is_some_and(|until| now >= until);
        match (self.alone, self.on_disk) {
            (true, true) => Some(KeeperAction::Linger),
            (true, false) if is_over => Some(KeeperAction::Exit),
            (true | false, _) => None,
        }
    }

    /// The next attempt, no later than `moment`.
    fn plan(&mut self, moment: Duration) {
        self.due = Some(self.due.map_or(moment, |due| due.min(moment)));
    }
}

#[cfg(test)]
mod tests;
