//! A record as `examine.sql` tells of it, from either database. Must not judge: `record::findings` does. Called by both
//! stores.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::columns::Columns;
use super::{Page, Scope, Suspicious};
use crate::record::{Cell, Examined, Reason, RecordId, Watched, read_instant};

/// The flags of `examine.sql`.
pub(super) fn flags(scope: Scope, after: Option<&RecordId>) -> Vec<&'static str> {
    let scope = match scope {
        Scope::All => "examine.all",
        Scope::LiveRuns => "examine.live",
    };
    after.map(|_id| "examine.after").into_iter().chain([scope]).collect()
}

/// A page of the rows of `examine.sql`. Times are texts; all else may be.
pub(super) fn page(columns: &Columns, rows: &[Vec<Value>]) -> Page {
    let first = rows.first().map_or(&[][..], Vec::as_slice);
    Page {
        read: number(first.first()).map_or(0, whole),
        last: text(first.get(1)).map(RecordId),
        suspicious: rows.iter().filter_map(|row| suspicious(columns, row.get(2..)?)).collect(),
    }
}

/// `None` of the row that stands for a page without any.
fn suspicious(columns: &Columns, row: &[Value]) -> Option<Suspicious> {
    let [
        id,
        status,
        started,
        start_null,
        ended,
        end_null,
        seconds,
        duration_null,
        run_id,
        reason,
        presumed,
        overdue,
        silent,
    ] = row
    else {
        return None;
    };
    if id.is_null() {
        return None;
    }
    let is_null = |flag: &Value| truth(flag);
    let time = |name: &str, value: &Value, null: &Value| -> Cell<DateTime<Utc>> {
        let known = || text(Some(value)).as_deref().and_then(read_instant);
        cell(columns, name, is_null(null), known)
    };
    let watch = match (text(Some(run_id)), text(Some(reason))) {
        (None, _) => Watched::Never,
        (Some(_), None) => Watched::Living { overdue: truth(overdue) },
        // A later runwrap may have given a reason that this one has no word for.
        (Some(_), Some(word)) => Watched::Ended { reason: Reason::parse(&word).unwrap_or(Reason::Manual) },
    };
    Some(Suspicious {
        record_id: id.clone(),
        examined: Examined {
            status: text(Some(status)),
            started_at: time("train_start_time", started, start_null),
            ended_at: time("train_end_time", ended, end_null),
            duration_seconds: cell(columns, "train_duration", is_null(duration_null), || number(Some(seconds))),
            watch,
            presumed: truth(presumed),
            silent_seconds: number(Some(silent)),
        },
    })
}

fn cell<T>(columns: &Columns, name: &str, is_null: bool, known: impl FnOnce() -> Option<T>) -> Cell<T> {
    match (columns.has(name), is_null) {
        (false, _) => Cell::Absent,
        (true, true) => Cell::Null,
        (true, false) => known().map_or(Cell::Unreadable, Cell::Is),
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => Some(other.to_string()),
    }
}

fn number(value: Option<&Value>) -> Option<f64> {
    let value = value?;
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|number: &f64| number.is_finite())
}

fn truth(value: &Value) -> bool {
    matches!(value, Value::Bool(true)) || value.as_i64() == Some(1) || value == "true"
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of rows, clamped by the cast")]
fn whole(number: f64) -> u64 {
    number as u64
}
