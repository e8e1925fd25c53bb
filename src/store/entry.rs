//! One record as programs read it: a flat object, times in UTC, JSON as JSON. Owns the order of its keys and the
//! reading of times as applications write them; must not ask a database. Called by both stores.

use chrono::SecondsFormat;
use serde_json::{Map, Value, json};

use super::RecordView;
use super::columns::{Column, Columns};
use crate::record::read_instant;

/// The columns of `runwrap_runs` that an entry shows, in this order.
pub(super) const RUN_COLUMNS: [&str; 23] = [
    "run_id",
    "record_id",
    "name",
    "command",
    "cwd",
    "host",
    "username",
    "pid",
    "context",
    "reason",
    "exit_code",
    "signal",
    "stop_signal",
    "heartbeat_at",
    "last_seen_at",
    "lease_seconds",
    "presumed",
    "cpu_user_seconds",
    "cpu_system_seconds",
    "max_rss_bytes",
    "recovered_at",
    "recovered_by",
    "runwrap_version",
];

const RUN_TIMES: [&str; 3] = ["heartbeat_at", "last_seen_at", "recovered_at"];

/// The user's columns that keep an instant whatever their declared type is.
const RECORD_TIMES: [&str; 3] = ["train_start_time", "train_end_time", "created_at"];

/// A flat object of a row of the user's table and of the run that describes it, which is empty where none does.
/// `heartbeat_age_seconds` is by the database's clock.
pub(super) fn entry(
    columns: &Columns,
    record: Map<String, Value>,
    run: &Map<String, Value>,
    heartbeat_age_seconds: Option<f64>,
) -> RecordView {
    let mut entry = Map::new();
    for (name, value) in record {
        let shown = match columns.get(&name) {
            Some(column) if is_time(column) => in_utc(value),
            Some(column) if is_json(column) => parsed(value),
            Some(_) | None => value,
        };
        entry.insert(name, shown);
    }
    let live = entry.get("status").is_some_and(|status| status == "training");
    for name in RUN_COLUMNS {
        let value = run.get(name).cloned().unwrap_or(Value::Null);
        let shown = if RUN_TIMES.contains(&name) { in_utc(value) } else { value };
        // A column of the user's that has the same name keeps what it says, unless it says nothing.
        let known = entry.entry(name).or_insert(Value::Null);
        if known.is_null() {
            *known = shown;
        }
    }
    let watched = run.get("run_id").is_some_and(|run_id| !run_id.is_null());
    if let Some(age) = heartbeat_age_seconds.filter(|_| live && watched) {
        #[expect(clippy::cast_possible_truncation, reason = "seconds between two times of one database, made whole")]
        let seconds = age.max(0.0).trunc() as i64;
        entry.insert("last_seen_seconds_ago".into(), json!(seconds));
    }
    RecordView(entry)
}

/// An object from JSON text; empty for anything else.
pub(super) fn json_object(text: &str) -> Map<String, Value> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => object,
        Ok(_) | Err(_) => Map::new(),
    }
}

fn is_time(column: &Column) -> bool {
    let declared = column.base_type.to_ascii_lowercase();
    RECORD_TIMES.contains(&column.name.as_str())
        || declared.starts_with("timestamp")
        || declared.starts_with("datetime")
}

fn is_json(column: &Column) -> bool {
    column.name == "train_metrics" || column.base_type.to_ascii_lowercase().starts_with("json")
}

/// JSON kept as text becomes JSON; a text that is none stays a text.
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
