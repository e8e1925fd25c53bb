//! The events that pages and metrics show beside the records: errors of the database, rounds of the recovery. Shared by the threads
//! of the service. Must not ask a database.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::look::{Away, DatabaseError, ErrorClass, Recovery, WaitingJournal};
use super::metrics::Figures;
use crate::store::{Gauges, StoreError};
use crate::sys::clock::{boot_time, wall_time};

/// So many different errors are remembered.
const ERRORS_MAX: usize = 20;

/// An error of a server may have megabytes.
const MESSAGE_CHARACTERS_MAX: usize = 1000;

/// A failure in the log is followed by no other for so long.
pub(super) const LOG_PAUSE: Duration = Duration::from_mins(1);

/// The events so far.
#[derive(Clone, Debug, Default)]
pub struct Events(Arc<Mutex<State>>);

#[derive(Clone, Debug, Default)]
struct State {
    /// Whether the last question was answered; `None` before the first.
    is_up: Option<bool>,
    away_since: Option<DateTime<Utc>>,
    counts: BTreeMap<ErrorClass, u64>,
    /// The newest last.
    errors: Vec<DatabaseError>,
    recovery: Option<Recovery>,
    journals: Option<Result<Vec<WaitingJournal>, String>>,
    /// The boot time of the last failure in the log.
    logged_at: Option<Duration>,
}

/// The result of one round of the recovery.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// The reasons of the records that it has ended.
    pub ended: Vec<String>,
    pub error: Option<String>,
    /// The journals that are left.
    pub journals: Option<Result<Vec<WaitingJournal>, String>>,
}

impl Events {
    /// `recovery`: the pause of a recovery beside the service.
    pub fn new(recovery: Option<Duration>) -> Self {
        let events = Self::default();
        let recovery = recovery.map(|every| Recovery { every_seconds: every.as_secs(), ..Recovery::default() });
        events.state().recovery = recovery;
        events
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The database has answered a question.
    pub(super) fn answered(&self) {
        let mut state = self.state();
        state.is_up = Some(true);
        state.away_since = None;
    }

    /// The database has not answered a question of a viewer, or refused it.
    pub(super) fn failed(&self, error: &StoreError) -> Away {
        let message = self.count(error);
        let mut state = self.state();
        state.is_up = Some(false);
        // Viewers decide how often it fails.
        let now = boot_time();
        if state.logged_at.is_none_or(|logged| now.saturating_sub(logged) >= LOG_PAUSE) {
            state.logged_at = Some(now);
            log::warn!(event = "look_failed", error = message; "the database does not answer: {message}");
        }
        let since = *state.away_since.get_or_insert(wall_time());
        drop(state);
        let hint = match error {
            StoreError::Transient { .. } | StoreError::Running { .. } => None,
            StoreError::Permanent { hint, .. } | StoreError::BadInput { hint, .. } => Some(hint.clone()),
        };
        Away { since, error: message, hint }
    }

    /// Counts and remembers an error, and returns its message.
    pub fn count(&self, error: &StoreError) -> String {
        let class = match error {
            StoreError::Transient { .. } | StoreError::Running { .. } => ErrorClass::Transient,
            StoreError::Permanent { .. } | StoreError::BadInput { .. } => ErrorClass::Permanent,
        };
        let message: String = error.to_string().chars().take(MESSAGE_CHARACTERS_MAX).collect();
        let mut state = self.state();
        *state.counts.entry(class).or_default() += 1;
        let known = state.errors.iter().position(|known| known.message == message);
        let count = known.map_or(0, |at| state.errors.remove(at).count);
        if state.errors.len() >= ERRORS_MAX {
            state.errors.remove(0);
        }
        state.errors.push(DatabaseError { at: wall_time(), class, message: message.clone(), count: count + 1 });
        message
    }

    /// The recovery has completed a round.
    pub fn recovered(&self, round: Round) {
        let mut state = self.state();
        if let Some(recovery) = &mut state.recovery {
            recovery.last_round = Some(wall_time());
            recovery.error = round.error;
            for reason in round.ended {
                *recovery.ended.entry(reason).or_default() += 1;
            }
        }
        state.journals = round.journals.or_else(|| state.journals.take());
    }

    /// Whether the last question was answered; `None` before the first.
    pub(super) fn is_up(&self) -> Option<bool> {
        self.state().is_up
    }

    /// The errors, the newest first.
    pub(super) fn errors(&self) -> Vec<DatabaseError> {
        self.state().errors.iter().rev().cloned().collect()
    }

    /// The numbers of the metrics, with those of the database.
    pub fn figures(&self, gauges: Option<Gauges>) -> Figures {
        let state = self.state();
        let journals = state.journals.as_ref().and_then(|journals| journals.as_ref().ok());
        let recovered = state.recovery.as_ref().map(|recovery| recovery.ended.clone()).unwrap_or_default();
        Figures { gauges, undelivered: journals.map(Vec::len), recovered, errors: state.counts.clone() }
    }

    pub(super) fn recovery(&self) -> Option<Recovery> {
        self.state().recovery.clone()
    }

    /// The journals that the last round of the recovery has left.
    pub(super) fn journals(&self) -> Option<Result<Vec<WaitingJournal>, String>> {
        self.state().journals.clone()
    }
}
