//! A row of the user's table: which of its columns the rules read, how each reads, and which of them a rule changed. The one table of
//! conversions between the database's texts and the rules' values; knows no rule.

use serde_json::{Map, Value};

use super::Assignment;
use super::origin::{Mark, Origin};
use super::session::{Dialect, TOO_LONG, VALUE_BYTES_MAX};
use super::shape::{Columns, without_nul};
use crate::record::{Row, Status, parse_metrics, read_instant, same_json};

/// The columns that a rule looks at, if they exist.
pub(super) const RULE_COLUMNS: [&str; 9] = [
    "status",
    "train_start_time",
    "train_end_time",
    "train_duration",
    "train_metrics",
    "model_path",
    "error_message",
    "created_at",
    "updated_at",
];

/// One row, as texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RecordRow {
    columns: Vec<&'static str>,
    texts: Vec<Option<String>>,
}

/// Those of `names` that the table has, and the expression that selects each as text.
pub(super) fn reads(dialect: &Dialect, columns: &Columns, names: &[&'static str]) -> (Vec<&'static str>, Vec<String>) {
    names.iter().filter_map(|name| Some((*name, (dialect.read)(columns.get(name)?)))).unzip()
}

impl RecordRow {
    pub(super) const fn new(columns: Vec<&'static str>, texts: Vec<Option<String>>) -> Self {
        Self { columns, texts }
    }

    /// A row of `read_record`, whose first column is the id.
    pub(super) fn read(columns: Vec<&'static str>, texts: Vec<Option<String>>) -> Self {
        Self::new(columns, texts.into_iter().skip(1).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let at = self.columns.iter().position(|known| *known == name)?;
        self.texts.get(at)?.as_deref()
    }

    /// Each column that was read, and its text: the comparison of the swap.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&'static str, Option<&str>)> {
        self.columns.iter().copied().zip(self.texts.iter().map(Option::as_deref))
    }

    pub(super) fn origin(&self, columns: &Columns) -> Origin {
        let mark = |name: &str| if columns.has(name) { Mark::of(self.get(name)) } else { Mark::Absent };
        let [created_at, started_at] = Origin::COLUMNS.map(mark);
        Origin { created_at, started_at }
    }

    /// The row for the rules, without a run.
    pub(super) fn row(&self) -> Row {
        let time = |name: &str| self.get(name).and_then(read_instant);
        let train_duration = self.get("train_duration").and_then(seconds);
        let is_read = |name: &str, is_read: bool| self.get(name).is_none() || is_read;
        let times = ["train_start_time", "train_end_time"];
        let is_legible = times.into_iter().all(|name| is_read(name, time(name).is_some()))
            && is_read("train_duration", train_duration.is_some());
        Row {
            status: self.get("status").and_then(Status::parse),
            train_start_time: time("train_start_time"),
            train_end_time: time("train_end_time"),
            train_duration,
            train_metrics: self.get("train_metrics").and_then(object),
            model_path: self.get("model_path").map(str::to_owned),
            error_message: self.get("error_message").map(str::to_owned),
            created_at: time("created_at"),
            updated_at: time("updated_at"),
            is_legible,
            ..Row::default()
        }
    }

    /// Whether there are metrics that cannot be read, such as JSON that is too deep.
    fn has_illegible_metrics(&self) -> bool {
        self.get("train_metrics").is_some_and(|text| text.trim_start().starts_with('{') && object(text).is_none())
    }

    /// The columns of the user's row that differ between two states of its record, as far as the table has them.
    pub(super) fn changes(&self, dialect: &Dialect, columns: &Columns, before: &Row, after: &Row) -> Vec<Assignment> {
        let texts = |row: &Row| -> [Assignment; 6] {
            let text = |name: &str, text: Option<&String>| text.map(|text| columns.cut(name, &without_nul(text)));
            [
                ("status", row.status.map(|status| status.as_str().to_owned())),
                ("train_start_time", row.train_start_time.map(dialect.instant)),
                ("train_end_time", row.train_end_time.map(dialect.instant)),
                ("train_duration", row.train_duration.map(|seconds| seconds.to_string())),
                ("model_path", text("model_path", row.model_path.as_ref())),
                ("error_message", text("error_message", row.error_message.as_ref())),
            ]
        };
        let unchanged = texts(before);
        let changed = texts(after).into_iter().filter(|text| !unchanged.contains(text));
        let [known, merged] = [before, after].map(|row| Value::from(row.train_metrics.clone()));
        // Metrics that cannot be merged stay as the application wrote them.
        let is_kept = same_json(&known, &merged) || (known.is_null() && self.has_illegible_metrics());
        let metrics = (!is_kept).then(|| ("train_metrics", after.train_metrics.as_ref().map(|_| merged.to_string())));
        // A longer value could not be read again.
        let is_readable = |text: &str| text.len() <= VALUE_BYTES_MAX && !text.ends_with(TOO_LONG);
        let fits = |(name, text): &Assignment| {
            let fits = self.get(name).is_none_or(is_readable) && text.as_deref().is_none_or(is_readable);
            if !fits {
                log::info!(event = "too_long", column = *name; "the value in the row stays as it is");
            }
            fits
        };
        changed.chain(metrics).filter(|(name, _)| columns.has(name)).filter(fits).collect()
    }
}

/// A finite number of seconds.
pub(super) fn seconds(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|seconds: &f64| seconds.is_finite())
}

/// A JSON object, with the NaN and infinities that Python writes; a column that holds anything else holds no metrics.
fn object(text: &str) -> Option<Map<String, Value>> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Some(object),
        Ok(_) => None,
        Err(_) => parse_metrics(text.as_bytes()).ok(),
    }
}

/// `value` without NUL in any text or key.
pub(super) fn clean(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(without_nul(&text)),
        Value::Array(items) => Value::Array(items.into_iter().map(clean).collect()),
        Value::Object(object) => {
            Value::Object(object.into_iter().map(|(key, value)| (without_nul(&key), clean(value))).collect())
        }
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => plain,
    }
}
