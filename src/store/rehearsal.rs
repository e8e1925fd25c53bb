//! Runs that begin and end in one transaction, which is rolled back: their statements meet every right, type, constraint and trigger
//! that those of a real run meet. Must leave nothing, whatever happens.

use super::statement::section;
use super::transaction::Nesting;
use super::{RecordView, Store, StoreError};
use crate::record::{Applied, Change, Run, RunId};

/// A run, and the changes of its record in order.
#[derive(Clone, Debug, PartialEq)]
pub struct RehearsedRun {
    pub run: Run,
    pub changes: Vec<Change>,
}

/// The result of runs that were recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rehearsal {
    /// Columns that have no value in a record, although the run had one.
    pub left_out: Vec<&'static str>,
    /// A message about the series.
    pub notice: Option<String>,
}

impl Store {
    /// Records `runs`, and rolls everything back.
    ///
    /// # Errors
    /// The first one of a run. If the rollback fails, it is done by the end of the connection, and not reported.
    pub fn rehearse_runs(&mut self, runs: &[RehearsedRun]) -> Result<Rehearsal, StoreError> {
        self.rehearse();
        let recorded = self.record(runs);
        let has_begun = std::mem::replace(&mut self.nesting, Nesting::None) == Nesting::Rehearsal;
        // The tables that it made are gone.
        self.options.cache.set_shape(None);
        if has_begun && let Err(failure) = self.session.script("ROLLBACK") {
            log::info!(event = "rollback_failed", error:% = failure.error;
                "the rehearsal cannot be rolled back: {}", failure.error);
        }
        recorded
    }

    fn record(&mut self, runs: &[RehearsedRun]) -> Result<Rehearsal, StoreError> {
        let mut rehearsal = Rehearsal::default();
        for RehearsedRun { run, changes } in runs {
            self.begin(run, None)?;
            for change in changes {
                if !matches!(self.apply(run.run_id, change)?, Applied::Written | Applied::InPart) {
                    return Err(self.odd(run.run_id, "it vanished as soon as it was inserted"));
                }
            }
            if !self.write_series(run.run_id, 1, "[]") {
                log::info!(event = "series_not_rehearsed"; "the curves are not rehearsed");
            }
            let record = self.show(&run.run_id.to_string())?;
            let record = record.ok_or_else(|| self.odd(run.run_id, "it cannot be read"))?;
            for change in changes {
                self.compare(run, change, &record, &mut rehearsal.left_out)?;
            }
        }
        rehearsal.left_out.sort_unstable();
        rehearsal.left_out.dedup();
        rehearsal.notice = self.take_notice();
        let settle = section(self.session.dialect(), "settle");
        if !settle.is_empty() {
            self.session.script(settle)?;
        }
        Ok(rehearsal)
    }

    /// Compares the record of `run` with its end.
    fn compare(
        &self,
        run: &Run,
        change: &Change,
        record: &RecordView,
        left_out: &mut Vec<&'static str>,
    ) -> Result<(), StoreError> {
        let Change::Finalize(progress, ending) = change else { return Ok(()) };
        let status = record.0.get("status").and_then(|status| status.as_str()).unwrap_or_default().trim_end();
        let ended = ending.status.as_str();
        if status != ended {
            return Err(self.odd(run.run_id, &format!("it was ended as {ended}, and is {status:?}")));
        }
        let has_values = [
            ("train_start_time", progress.started_at.is_some()),
            ("train_end_time", true),
            ("train_duration", true),
            ("train_metrics", progress.report.metrics.is_some()),
            ("model_path", progress.report.model_path.is_some()),
            ("error_message", ending.error_message.is_some()),
        ];
        let is_empty = |name: &str| record.0.get(name).is_some_and(serde_json::Value::is_null);
        left_out.extend(
            has_values.into_iter().filter(|(name, has_value)| *has_value && is_empty(name)).map(|(name, _)| name),
        );
        Ok(())
    }

    fn odd(&self, run_id: RunId, why: &str) -> StoreError {
        StoreError::Permanent {
            message: format!("{}: the record of the rehearsed run {run_id}: {why}", self.session.name()),
            hint: "check the triggers, rules and policies of the table".into(),
        }
    }
}
