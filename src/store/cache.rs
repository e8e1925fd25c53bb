//! What the attempts of a process on one database have found, for those that follow. Owns no decision.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use super::shape::Shape;
use crate::record::{RecordId, RunId};

/// For every attempt of a process on one table of a database: what need not be asked again. The shape of the tables is read once, and
/// again after an error that contradicts it.
#[derive(Clone, Debug, Default)]
pub struct StoreCache(Arc<Found>);

#[derive(Debug, Default)]
struct Found {
    shape: Mutex<Option<Arc<Shape>>>,
    has_no_series: AtomicBool,
    timeline: Mutex<Option<i64>>,
    begun: Mutex<Option<(RunId, RecordId)>>,
}

impl StoreCache {
    pub(super) fn shape(&self) -> Option<Arc<Shape>> {
        self.0.shape.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_shape(&self, shape: Option<Arc<Shape>>) {
        *self.0.shape.lock().unwrap_or_else(PoisonError::into_inner) = shape;
    }

    /// Whether the database refuses series until a person acts.
    pub(super) fn has_no_series(&self) -> &AtomicBool {
        &self.0.has_no_series
    }

    /// The record of a run that was begun. Another process may have begun the run again since.
    pub(super) fn record_of(&self, run_id: RunId) -> Option<RecordId> {
        let begun = self.0.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.as_ref().filter(|(begun, _)| *begun == run_id).map(|(_, record_id)| record_id.clone())
    }

    pub(super) fn set_record_of(&self, run_id: RunId, record_id: RecordId) {
        *self.0.begun.lock().unwrap_or_else(PoisonError::into_inner) = Some((run_id, record_id));
    }

    /// The database's timeline at the last whole heartbeat.
    pub(super) fn timeline(&self) -> Option<i64> {
        *self.0.timeline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_timeline(&self, timeline: Option<i64>) {
        *self.0.timeline.lock().unwrap_or_else(PoisonError::into_inner) = timeline;
    }
}
