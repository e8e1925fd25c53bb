//! Notes and tags that a person adds to a record, whether a run watches it or not. Changes only rows of `runwrap_runs`.

use serde_json::{Map, Value, json};

use super::record_row::clean;
use super::run_row::RunRow;
use super::session::Failure;
use super::transaction::Transaction;
use super::{Assignment, Decided, Note, Store, StoreError};
use crate::record::{Applied, RecordId};

/// The key in a run's `context` under which its notes are kept, the oldest first.
const NOTES: &str = "notes";

impl Store {
    /// Adds `note` to a record.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn note(&mut self, record_id: &RecordId, note: &Note) -> Result<Decided, StoreError> {
        self.on_record(record_id, |transaction, id| transaction.note(id, note))
    }
}

impl Transaction<'_> {
    fn note(&mut self, id: &str, note: &Note) -> Result<Decided, Failure> {
        let run = self.lock_run_of(id)?;
        let Some(before) = self.view(id)? else { return Ok(Decided::MISSING) };
        self.write_of_run(id, run.as_ref(), noted(note, run.as_ref()))?;
        Ok(Decided { applied: Applied::Written, before: Some(before), after: self.view(id)? })
    }
}

/// The columns of a run with `note` in them.
fn noted(note: &Note, run: Option<&RunRow>) -> Vec<Assignment> {
    let object = |name: &str| -> Map<String, Value> {
        run.and_then(|run| serde_json::from_str(run.get(name)?).ok()).unwrap_or_default()
    };
    let mut values = Vec::new();
    if let Some(text) = &note.text {
        let mut context = object("context");
        let mut notes = context.get(NOTES).and_then(Value::as_array).cloned().unwrap_or_default();
        notes.push(clean(json!({"by": note.by, "at": note.at, "text": text})));
        context.insert(NOTES.into(), Value::Array(notes));
        values.push(("context", Some(Value::Object(context).to_string())));
    }
    if !note.tags.is_empty() || !note.untagged.is_empty() {
        let mut tags = object("tags");
        tags.retain(|key, _| !note.untagged.contains(key));
        tags.extend(note.tags.iter().map(|(key, value)| (key.clone(), json!(value))));
        values.push(("tags", (!tags.is_empty()).then(|| Value::Object(tags).to_string())));
    }
    values
}
