//! A row of `runwrap_runs`: its columns, how each reads, and which of them a rule changed. Owns the list of columns; knows no rule.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::Assignment;
use super::origin::{Mark, Origin};
use super::record_row::RecordRow;
use super::session::{Rows, is_true};
use super::statement::list;
use crate::record::{Begun, Reason, RecordId, Row, Run, Usage, Watch, read_instant};

/// How a column reads, for a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Truth,
    Json,
    Time,
}

/// The columns that a record shows, in this order.
pub(super) const SHOWN_COLUMNS: [(&str, Kind); 30] = [
    ("run_id", Kind::Text),
    ("record_id", Kind::Text),
    ("name", Kind::Text),
    ("command", Kind::Json),
    ("cwd", Kind::Text),
    ("host", Kind::Text),
    ("username", Kind::Text),
    ("pid", Kind::Number),
    ("context", Kind::Json),
    ("reason", Kind::Text),
    ("exit_code", Kind::Number),
    ("signal", Kind::Text),
    ("stop_signal", Kind::Text),
    ("heartbeat_at", Kind::Time),
    ("last_seen_at", Kind::Time),
    ("lease_seconds", Kind::Number),
    ("presumed", Kind::Truth),
    ("cpu_user_seconds", Kind::Number),
    ("cpu_system_seconds", Kind::Number),
    ("max_rss_bytes", Kind::Number),
    ("recovered_at", Kind::Time),
    ("recovered_by", Kind::Text),
    ("runwrap_version", Kind::Text),
    ("parent_run_id", Kind::Text),
    ("job", Kind::Text),
    ("attempt", Kind::Number),
    ("tags", Kind::Json),
    ("stdout_path", Kind::Text),
    ("stderr_path", Kind::Text),
    ("model_bytes", Kind::Number),
];

/// The columns that only the store needs: the table of `record_id`, the version under which a deleted row comes back, the timeline of
/// the last heartbeat, and the row's [`Origin`].
const INTERNAL_COLUMNS: [&str; 5] = ["record_table", "record_version", "timeline", "row_created_at", "row_started_at"];

/// One run, as texts.
#[derive(Clone, Debug)]
pub(super) struct RunRow(pub(super) Vec<Option<String>>);

fn names() -> impl Iterator<Item = &'static str> {
    SHOWN_COLUMNS.iter().map(|(name, _)| *name).chain(INTERNAL_COLUMNS)
}

/// The select list of a run.
pub(super) fn select_list() -> String {
    list(names().map(|name| format!("CAST({name} AS text)")))
}

/// The select list of a run for the rules, in a batch: without the columns that no rule reads and that may be large.
pub(super) fn rules_list() -> String {
    let is_read = |name: &str| !["command", "cwd", "context", "tags", "stdout_path", "stderr_path"].contains(&name);
    list(names().map(|name| if is_read(name) { name } else { "NULL" }))
}

/// `rows` of `select_list`.
pub(super) fn runs(rows: Rows) -> Vec<RunRow> {
    rows.into_iter().map(RunRow).collect()
}

impl RunRow {
    /// The run for the rules, without the user's row.
    pub(super) fn row(&self) -> Row {
        let mut row = RecordRow::new(Vec::new(), Vec::new()).row();
        self.describe(&mut row);
        row
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let at = names().position(|known| known == name)?;
        self.0.get(at)?.as_deref()
    }

    pub(super) fn is_in(&self, record_table: &str) -> bool {
        self.get("record_table") == Some(record_table)
    }

    /// The row of the user's table that it describes.
    pub(super) fn begun(&self) -> Option<Begun> {
        let record_id = RecordId(self.get("record_id")?.to_owned());
        Some(Begun { record_id, version: self.get("record_version").map(str::to_owned), table: None })
    }

    /// Whether its own end was written, not a presumption.
    pub(super) fn has_truly_ended(&self) -> bool {
        self.get("reason").is_some() && !self.get("presumed").is_some_and(is_true)
    }

    /// Whether a row with the run's number is the run's.
    pub(super) fn describes(&self, row: &Origin) -> bool {
        self.has_moved() || !row.is_other_than(&self.origin())
    }

    /// The origin of the run's row at the last change; nothing before the first.
    pub(super) fn origin(&self) -> Origin {
        let known = |name: &str| self.get(name).map_or(Mark::Absent, |text| Mark::Text(text.to_owned()));
        Origin { created_at: known("row_created_at"), started_at: known("row_started_at") }
    }

    /// Whether the run has moved to another row once: it keeps that whatever it looks like.
    pub(super) fn has_moved(&self) -> bool {
        self.get("row_created_at") == Some(Origin::MOVED)
    }

    /// A column as a program reads it.
    pub(super) fn shown(&self, name: &str, kind: Kind) -> Value {
        let Some(text) = self.get(name) else { return Value::Null };
        match kind {
            Kind::Text | Kind::Time => json!(text),
            Kind::Number | Kind::Json => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
            Kind::Truth => json!(is_true(text)),
        }
    }

    pub(super) fn watch(&self) -> Option<Watch> {
        Some(Watch {
            heartbeat_at: self.time("heartbeat_at")?,
            last_seen_at: self.time("last_seen_at")?,
            lease_seconds: self.number("lease_seconds")?,
            timeline: self.number("timeline"),
        })
    }

    /// Adds the run's reason, exit code, signal and context to the user's row.
    pub(super) fn describe(&self, row: &mut Row) {
        let text = |name: &str| self.get(name).map(str::to_owned);
        // A later version may have a reason that this one has no word for: an end, and not presumed.
        row.reason = self.get("reason").map(|word| Reason::parse(word).unwrap_or(Reason::Manual));
        row.exit_code = self.number("exit_code");
        row.signal = text("signal");
        row.stop_signal = text("stop_signal");
        row.pid = self.number("pid");
        row.usage = self.number("cpu_user_seconds").map(|cpu_user_seconds| Usage {
            cpu_user_seconds,
            cpu_system_seconds: self.number("cpu_system_seconds").unwrap_or_default(),
            max_rss_bytes: self.number("max_rss_bytes").unwrap_or_default(),
        });
        row.model_bytes = self.number("model_bytes");
        row.presumed = self.get("presumed").is_some_and(is_true);
        row.watch = self.watch();
        row.recovered_at = self.time("recovered_at");
        row.recovered_by = text("recovered_by");
    }

    fn time(&self, name: &str) -> Option<DateTime<Utc>> {
        read_instant(self.get(name)?)
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }
}

/// The run's columns that differ between two states of its record.
pub(super) fn changes(before: &Row, after: &Row) -> Vec<Assignment> {
    let known = texts(before);
    texts(after).into_iter().filter(|text| !known.contains(text)).collect()
}

fn texts(row: &Row) -> [Assignment; 15] {
    [
        ("reason", row.reason.map(|reason| reason.to_string())),
        ("exit_code", row.exit_code.map(|code| code.to_string())),
        ("signal", row.signal.clone()),
        ("stop_signal", row.stop_signal.clone()),
        ("pid", row.pid.map(|pid| pid.to_string())),
        ("cpu_user_seconds", row.usage.map(|usage| usage.cpu_user_seconds.to_string())),
        ("cpu_system_seconds", row.usage.map(|usage| usage.cpu_system_seconds.to_string())),
        ("max_rss_bytes", row.usage.map(|usage| usage.max_rss_bytes.to_string())),
        ("model_bytes", row.model_bytes.map(|bytes| bytes.to_string())),
        // Both databases read 0 and 1 as a boolean.
        ("presumed", Some(u8::from(row.presumed).to_string())),
        ("heartbeat_at", row.watch.map(|watch| instant_text(watch.heartbeat_at))),
        ("last_seen_at", row.watch.map(|watch| instant_text(watch.last_seen_at))),
        ("timeline", row.watch.and_then(|watch| watch.timeline).map(|timeline| timeline.to_string())),
        ("recovered_at", row.recovered_at.map(instant_text)),
        ("recovered_by", row.recovered_by.clone()),
    ]
}

/// A new run's columns. `attempt` counts the runs of its job.
pub(super) fn first_values(run: &Run, record_table: &str, begun: &Begun, attempt: Option<u64>) -> Vec<Assignment> {
    let text = |text: &str| Some(text.to_owned());
    let around = &run.circumstances;
    let tags = Some(&around.tags).filter(|tags| !tags.is_empty());
    let mut values = vec![
        ("run_id", Some(run.run_id.to_string())),
        ("record_table", text(record_table)),
        ("record_id", text(&begun.record_id.0)),
        ("record_version", begun.version.clone()),
        ("name", text(&run.name)),
        ("command", Some(json!(run.command).to_string())),
        ("cwd", text(&run.cwd)),
        ("host", text(&run.host)),
        ("username", text(&run.username)),
        ("context", Some(json!(run.context).to_string())),
        ("last_seen_at", Some(instant_text(run.begun_at))),
        ("lease_seconds", Some(run.lease_seconds.to_string())),
        ("runwrap_version", text(env!("CARGO_PKG_VERSION"))),
        ("parent_run_id", around.parent_run_id.map(|run_id| run_id.to_string())),
        ("job", around.job.clone()),
        ("attempt", attempt.map(|number| number.to_string())),
        ("tags", tags.map(|tags| json!(tags).to_string())),
        ("stdout_path", around.stdout_path.clone()),
        ("stderr_path", around.stderr_path.clone()),
    ];
    // A statement without them costs less.
    values.retain(|(_, value)| value.is_some());
    values
}

/// An instant in `runwrap_runs`: it compares as text, and both databases read it as UTC.
pub(super) fn instant_text(instant: DateTime<Utc>) -> String {
    instant.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
}
