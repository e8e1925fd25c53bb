//! A record before and after its recovery, as a line and as JSON. Must not change a record.

use serde_json::{Value, json};

use crate::output;
use crate::store::{Decided, RecordView};

impl Decided {
    pub(super) fn as_json(&self) -> Value {
        let columns = |entry: &Option<RecordView>| json!(entry.as_ref().map(|entry| &entry.0));
        json!({
            "record_id": column(self.after.as_ref(), "id"),
            "before": columns(&self.before),
            "after": columns(&self.after),
        })
    }

    /// `record 30 (cifar v12): training -> failed (lost), ended 2025-11-27 01:20:52 after 7h 20m 52s`
    pub(super) fn as_line(&self) -> String {
        let after = self.after.as_ref();
        let text = |name: &str| shown(&column(after, name));
        let before =
            self.before.as_ref().map_or("no record".to_owned(), |before| shown(&column(Some(before), "status")));
        let ended = output::utc(&text("train_end_time"));
        let duration = column(after, "train_duration").as_u64().map_or_else(|| "-".to_owned(), output::duration);
        let [id, name, version, status, reason] = ["id", "name", "version", "status", "reason"].map(text);
        let called = [name, version].into_iter().filter(|word| word != "-").collect::<Vec<_>>().join(" ");
        let called = if called.is_empty() { called } else { format!(" ({called})") };
        let line = format!("record {id}{called}: {before} -> {status} ({reason}), ended {ended} after {duration}");
        format!("{}\n", output::printable(&line))
    }
}

/// The value of a record's column.
pub(super) fn column(entry: Option<&RecordView>, name: &str) -> Value {
    entry.and_then(|entry| entry.0.get(name)).cloned().unwrap_or_default()
}

/// A value as a word; a dash for null.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
