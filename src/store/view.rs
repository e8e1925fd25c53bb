//! One record as programs read it: a flat object, times in UTC, JSON as JSON. Owns the order of its keys; must not ask a database.

use chrono::SecondsFormat;
use serde_json::{Map, Value, json};

use super::RecordView;
use super::run_row::{Kind, RunRow, SHOWN_COLUMNS};
use super::session::Column;
use super::shape::Columns;
use crate::record::{DatabaseClock, read_instant};

/// Keys whose values are ages: they grow without any change of the record.
pub(super) const AGES: [&str; 2] = ["elapsed_seconds", "last_seen_seconds_ago"];

/// Whether two views show the same record in the same state.
pub(super) fn is_same(one: &RecordView, other: &RecordView) -> bool {
    let lasting = |view: &RecordView| {
        let lasting = view.0.clone().into_iter().filter(|(key, _)| !AGES.contains(&key.as_str()));
        lasting.collect::<Map<String, Value>>()
    };
    lasting(one) == lasting(other)
}

/// Columns of the user's table that hold an instant whatever their declared type is.
const TIMES: [&str; 3] = ["train_start_time", "train_end_time", "created_at"];

/// A flat object of a row of the user's table (`values`, in the order of `columns`) and of the run that describes it.
pub(super) fn view(columns: &Columns, values: Vec<Value>, run: Option<&RunRow>, clock: DatabaseClock) -> RecordView {
    let mut view = Map::new();
    for (column, value) in columns.0.iter().zip(values) {
        let shown = match column {
            column if is_time(column) => in_utc(value),
            column if is_json(column) => parsed(value),
            _ => value,
        };
        view.insert(column.name.clone(), shown);
    }
    let is_training = view.get("status").is_some_and(|status| status == "training");
    for (name, kind) in SHOWN_COLUMNS {
        let shown = run.map_or(Value::Null, |run| run.shown(name, kind));
        let shown = if kind == Kind::Time { in_utc(shown) } else { shown };
        // A column of the user's of the same name keeps its value, unless that is NULL.
        let known = view.entry(name).or_insert(Value::Null);
        if known.is_null() {
            *known = shown;
        }
    }
    if is_training && let Some(start) = view.get("train_start_time").and_then(Value::as_str).and_then(read_instant) {
        view.insert("elapsed_seconds".into(), json!((clock.now - start).num_seconds().max(0)));
    }
    if let Some(watch) = run.and_then(RunRow::watch).filter(|_| is_training) {
        view.insert("last_seen_seconds_ago".into(), json!((clock.now - watch.heartbeat_at).num_seconds().max(0)));
    }
    RecordView(view)
}

fn is_time(column: &Column) -> bool {
    TIMES.contains(&column.name.as_str())
        || column.base_type.starts_with("timestamp")
        || column.base_type.starts_with("datetime")
}

fn is_json(column: &Column) -> bool {
    column.name == "train_metrics" || column.base_type.starts_with("json")
}

/// JSON kept as text becomes JSON; any other text stays a text.
fn parsed(value: Value) -> Value {
    match &value {
        Value::String(text) => serde_json::from_str(text).unwrap_or(value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value,
    }
}

fn in_utc(value: Value) -> Value {
    let instant = value.as_str().and_then(read_instant);
    instant.map_or(value, |instant| json!(instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form_that_is_written() {
        let shown = |text: &str| in_utc(json!(text));
        for text in [
            "2026-01-02T03:04:05.6+00:00",
            "2026-01-02T03:04:05.600Z",
            "2026-01-02T04:04:05.6+01:00",
            "2026-01-02T03:04:05.6",
            "2026-01-02 03:04:05.600000",
            "2026-01-02 03:04:05.6+00",
            "2026-01-02 04:04:05.6+0100",
        ] {
            assert_eq!(shown(text), "2026-01-02T03:04:05.600Z", "{text}");
        }
        assert_eq!(shown("2026-01-02"), "2026-01-02T00:00:00Z");
        assert_eq!(shown("yesterday"), "yesterday");
        assert_eq!(in_utc(Value::Null), Value::Null);
    }
}
