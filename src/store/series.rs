//! The history of a run's metrics, beside its record. Written after the record and for its own sake: whatever refuses it costs the
//! curves alone. Must not fail a delivery or wait for long.

use std::sync::atomic::Ordering::SeqCst;

use super::session::{Access, Class, Failure};
use super::{Store, StoreError};
use crate::record::RunId;

impl Store {
    /// Writes the series of a run, a JSON array, unless a later `revision` is there. An error is logged. If a person must act, the
    /// history is switched off for this process, with one message for the user.
    pub fn write_series(&mut self, run_id: RunId, revision: i64, series: &str) {
        if self.options.shape.has_no_series().load(SeqCst) {
            return;
        }
        let (run_id, revision) = (run_id.to_string(), revision.to_string());
        let written = match self.upsert_series(&run_id, &revision, series) {
            // The encoding of the database lacks a character of a name.
            Err(Failure { class: Class::BadText, .. }) => {
                self.upsert_series(&run_id, &revision, &series.replace(|character: char| !character.is_ascii(), "?"))
            }
            written => written,
        };
        let Err(Failure { error, .. }) = written else { return };
        log::warn!(event = "series_not_written", run_id, error:%; "");
        let (StoreError::Permanent { message, .. } | StoreError::BadInput { message, .. }) = error else { return };
        self.options.shape.has_no_series().store(true, SeqCst);
        let advice = "run `runwrap migrate`, grant SELECT, INSERT and UPDATE on runwrap_series, or set --curves 0";
        self.notice = Some(format!("the curves of the metrics are not kept ({advice}): {message}"));
    }

    fn upsert_series(&mut self, run_id: &str, revision: &str, series: &str) -> Result<(), Failure> {
        self.transaction(Access::Series, None, |transaction, _none| {
            let upsert = transaction.sql("upsert_series", &[]);
            transaction.session.execute(&upsert, &[Some(run_id), Some(revision), Some(series)]).map(|_count| ())
        })
    }
}
