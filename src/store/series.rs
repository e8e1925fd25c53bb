//! The history of a run's metrics, beside its record. Written after the record and for its own sake: whatever refuses it costs the
//! curves alone. Must not fail a delivery or wait for long.

use std::sync::atomic::Ordering::SeqCst;

use super::session::{Access, Class, Failure};
use super::statement::places;
use super::{Store, StoreError};
use crate::record::{Buckets, RunId, Series};

/// The series of so many runs are read by one statement.
const RUNS_MAX: usize = 500;

impl Store {
    /// Writes the series of a run, a JSON array, unless a later `revision` is there. An error is logged. If a person must act, the
    /// history is switched off for this process, with one message for the user. False if a later attempt may succeed.
    #[must_use]
    pub fn write_series(&mut self, run_id: RunId, revision: i64, series: &str) -> bool {
        if self.options.cache.has_no_series().load(SeqCst) {
            return true;
        }
        let (run_id, revision) = (run_id.to_string(), revision.to_string());
        let written = match self.upsert_series(&run_id, &revision, series) {
            // The encoding of the database lacks a character of a name.
            Err(Failure { class: Class::BadText, .. }) => {
                self.upsert_series(&run_id, &revision, &series.replace(|character: char| !character.is_ascii(), "?"))
            }
            written => written,
        };
        let Err(Failure { error, .. }) = written else { return true };
        log::warn!(event = "series_not_written", run_id, error:%;
            "the curves of run {run_id} are not written: {error}");
        let (StoreError::Permanent { message, .. } | StoreError::BadInput { message, .. }) = error else {
            return false;
        };
        self.options.cache.has_no_series().store(true, SeqCst);
        let advice = "run `runwrap migrate`, grant SELECT, INSERT and UPDATE on runwrap_series, or set --curves 0";
        self.notice = Some(format!("the curves of the metrics are not kept ({advice}): {message}"));
        true
    }

    /// The series of each run, in the order of its report; only those named `names`, unless that is empty.
    ///
    /// # Errors
    /// See [`StoreError`]: also if the table of the series is missing.
    pub fn series(&mut self, run_ids: &[String], names: &[String]) -> Result<Vec<(String, Series)>, StoreError> {
        let mut all = Vec::new();
        for run_ids in run_ids.chunks(RUNS_MAX) {
            let rows = self.read(|transaction| {
                let name_is = format!("name IN ({})", places(run_ids.len() + 1, names.len()));
                let condition = if names.is_empty() { "TRUE" } else { &name_is };
                let lists = [("{values}", places(1, run_ids.len())), ("{condition}", condition.to_owned())];
                let lists = lists.each_ref().map(|(token, text)| (*token, text.as_str()));
                let select = transaction.sql("series_of_runs", &lists);
                let texts: Vec<Option<&str>> = run_ids.iter().chain(names).map(|text| Some(text.as_str())).collect();
                transaction.rows(&select, &texts)
            })?;
            all.extend(rows.into_iter().filter_map(series_of));
        }
        Ok(all)
    }

    fn upsert_series(&mut self, run_id: &str, revision: &str, series: &str) -> Result<(), Failure> {
        self.transaction(Access::Series, None, |transaction, _none| {
            let upsert = transaction.sql("upsert_series", &[]);
            transaction.session.execute(&upsert, &[Some(run_id), Some(revision), Some(series)]).map(|_count| ())
        })
    }
}

/// A row of `series_of_runs`; `None` if it is damaged.
fn series_of(row: Vec<Option<String>>) -> Option<(String, Series)> {
    let row: Vec<String> = row.into_iter().collect::<Option<_>>()?;
    let [run_id, name, numbers @ .., buckets] = row.as_slice() else { return None };
    let numbers: Vec<u64> = numbers.iter().map(|number| number.parse().ok()).collect::<Option<_>>()?;
    let [per_bucket, total, nan, infinite, negative_infinite] = numbers[..] else { return None };
    let buckets: Buckets = serde_json::from_str(buckets).ok()?;
    let name = name.clone();
    Some((run_id.clone(), Series::stored(name, per_bucket, total, (nan, infinite, negative_infinite), buckets)?))
}
