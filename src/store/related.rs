//! A record with the runs around it: the attempts of its job, and the runs that its trainer started. Reads only.

use serde_json::Value;

use super::{Filter, RecordView, Store, StoreError};
use crate::record::{RunId, Series};

/// So many attempts and children are shown, the newest.
const RELATED_MAX: u32 = 100;

/// The columns of a related record that are shown.
const BRIEF: [&str; 9] =
    ["id", "run_id", "attempt", "name", "status", "reason", "exit_code", "train_start_time", "train_duration"];

impl Store {
    /// As [`Store::show`], with the related records under `attempts` and `children`, if there are any.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn show_with_related(&mut self, id: &str) -> Result<Option<RecordView>, StoreError> {
        let Some(mut entry) = self.show(id)? else { return Ok(None) };
        for (key, related) in [("attempts", attempts_of(&entry)), ("children", children_of(&entry))] {
            let Some(filter) = related else { continue };
            let runs: Vec<Value> = self.list(&filter)?.iter().rev().map(brief).collect();
            if !runs.is_empty() {
                entry.0.insert(key.to_owned(), Value::Array(runs));
            }
        }
        Ok(Some(entry))
    }

    /// The series of one run. Without the right to read them, or without their table, a record has none.
    ///
    /// # Errors
    /// Those that have nothing to do with the series.
    pub fn readable_series(&mut self, run_id: &str) -> Result<Vec<Series>, StoreError> {
        let refused = |error| match error {
            StoreError::Permanent { .. } | StoreError::BadInput { .. } => Ok(Vec::new()),
            StoreError::Transient { .. } | StoreError::Running { .. } => Err(error),
        };
        let found = self.series(&[run_id.to_owned()], &[]).or_else(refused)?;
        Ok(found.into_iter().map(|(_, series)| series).collect())
    }
}

/// The newest runs of the record's job.
fn attempts_of(entry: &RecordView) -> Option<Filter> {
    let job = entry.0.get("job")?.as_str()?.to_owned();
    Some(Filter { job: Some(job), limit: RELATED_MAX, summary: true, ..Filter::default() })
}

/// The newest runs that the record's trainer has started.
fn children_of(entry: &RecordView) -> Option<Filter> {
    let run_id = uuid::Uuid::try_parse(entry.0.get("run_id")?.as_str()?).ok()?;
    Some(Filter { parent: Some(RunId(run_id)), limit: RELATED_MAX, summary: true, ..Filter::default() })
}

/// The facts of a related record that a person compares.
fn brief(entry: &RecordView) -> Value {
    let part = |key: &&str| Some(((*key).to_owned(), entry.0.get(*key)?.clone()));
    Value::Object(BRIEF.iter().filter_map(part).collect())
}
