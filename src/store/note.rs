//! Notes and tags that a person adds to a record, whether a run watches it or not. Changes only rows of `runwrap_runs`.

use serde_json::{Map, Value, json};

use super::change::AUDIT;
use super::record_row::clean;
use super::run_row::RunRow;
use super::session::Failure;
use super::transaction::Transaction;
use super::{Assignment, Decided, Note, Store, StoreError};
use crate::record::{Applied, RecordId};

/// The key in a run's `context` under which its notes are kept, the oldest first.
const NOTES: &str = "notes";

/// The limits of all notes and of all tags of a record. Every keeper that looks at the record reads them.
const CONTEXT_BYTES_MAX: usize = 1 << 20;
const TAGS_BYTES_MAX: usize = 1 << 18;

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
        let values = noted(note, run.as_ref());
        for (name, limit) in [("context", CONTEXT_BYTES_MAX), ("tags", TAGS_BYTES_MAX)] {
            let length =
                values.iter().find(|(column, _)| *column == name).and_then(|(_, text)| Some(text.as_ref()?.len()));
            if length.is_some_and(|bytes| bytes > limit) {
                let message = format!(
                    "record {id}: its {} are longer than {limit} bytes together",
                    if name == "tags" { "tags" } else { "notes" }
                );
                let hint = "write less, or keep it in a file and note its name".to_owned();
                return Err(StoreError::BadInput { message, hint }.into());
            }
        }
        self.write_of_run(id, run.as_ref(), values)?;
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

/// Adds the notes, the decisions and the tags of a row that no run watched to `values`, the columns of the run that adopts the record.
pub(super) fn inherit(values: &mut Vec<Assignment>, earlier: &RunRow) {
    let object = |text: Option<&str>| -> Map<String, Value> {
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    };
    for (name, is_kept) in [("context", (|key| [NOTES, AUDIT].contains(&key)) as fn(&str) -> bool), ("tags", |_| true)]
    {
        let mut merged = object(earlier.get(name));
        merged.retain(|key, _| is_kept(key));
        if merged.is_empty() {
            continue;
        }
        let own = values.iter().position(|(column, _)| *column == name);
        merged.extend(object(own.and_then(|at| values[at].1.as_deref())));
        values.retain(|(column, _)| *column != name);
        values.push((name, Some(Value::Object(merged).to_string())));
    }
}
