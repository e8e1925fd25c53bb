//! What a change says, as the one JSON object that the PostgreSQL statements and the named values that the SQLite
//! ones take. Owns the fitting to the user's table and the form of an instant; must not decide what a change does:
//! the statements do, by the rules of `record::merge`. Called by both stores.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::columns::Columns;
use crate::record::{Change, Progress, Proof};

/// RFC 3339 in UTC with microseconds: every PostgreSQL type that keeps an instant reads it.
pub(super) fn instant_text(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// NUL is in no text of PostgreSQL, and ends one early in SQLite's own tools.
pub(super) fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

/// The facts of `change`, each under the name that the statements use. `Begin` has none here.
pub(super) fn change_facts(
    change: &Change,
    columns: &Columns,
    instant: fn(DateTime<Utc>) -> String,
) -> Map<String, Value> {
    let mut facts = Map::new();
    match change {
        Change::Begin(_) => {}
        Change::Heartbeat(progress) => {
            let (model_path, error) =
                columns.fit(progress.report.model_path.as_deref(), progress.report.error.as_deref());
            add_progress(&mut facts, progress, model_path.as_deref(), instant);
            facts.insert("error".into(), json!(error));
        }
        Change::Finalize(progress, ending) => {
            let (model_path, error_message) =
                columns.fit(progress.report.model_path.as_deref(), ending.error_message.as_deref());
            add_progress(&mut facts, progress, model_path.as_deref(), instant);
            facts.extend([
                ("status".into(), json!(ending.status.as_str())),
                ("reason".into(), json!(ending.reason.as_str())),
                ("ended_at".into(), json!(instant(ending.ended_at))),
                ("duration_seconds".into(), json!(ending.duration_seconds)),
                ("exit_code".into(), json!(ending.exit_code)),
                ("signal".into(), json!(ending.signal)),
                ("error_message".into(), json!(error_message)),
                ("cpu_user_seconds".into(), json!(ending.usage.map(|usage| usage.cpu_user_seconds))),
                ("cpu_system_seconds".into(), json!(ending.usage.map(|usage| usage.cpu_system_seconds))),
                ("max_rss_bytes".into(), json!(ending.usage.map(|usage| usage.max_rss_bytes))),
            ]);
        }
        Change::Presume(presumption) => facts.extend([
            ("proven".into(), json!(presumption.proof == Proof::DeadJournal)),
            ("seen_at".into(), json!(presumption.seen_at.map(instant))),
            ("recovered_by".into(), json!(presumption.recovered_by)),
            ("message".into(), json!(presumption.message)),
        ]),
    }
    for value in facts.values_mut() {
        if let Value::String(text) = value
            && text.contains('\0')
        {
            *text = without_nul(text);
        }
    }
    facts
}

/// The facts of `change` as JSON text.
pub(super) fn change_json(change: &Change, columns: &Columns) -> String {
    Value::Object(change_facts(change, columns, instant_text)).to_string()
}

fn add_progress(
    facts: &mut Map<String, Value>,
    progress: &Progress,
    model_path: Option<&str>,
    instant: fn(DateTime<Utc>) -> String,
) {
    facts.extend([
        ("started_at".into(), json!(progress.started_at.map(instant))),
        ("seen_at".into(), json!(progress.seen_at.map(instant))),
        ("pid".into(), json!(progress.pid)),
        ("stop_signal".into(), json!(progress.stop_signal)),
        (
            "metrics".into(),
            progress.report.metrics.clone().map_or(Value::Null, |metrics| clean(Value::Object(metrics))),
        ),
        ("model_path".into(), json!(model_path)),
    ]);
}

/// `value` without NUL in any text or key. Reported metrics have none; those of a journal written by hand might.
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

/// The facts of a run that `runwrap_runs` keeps from its beginning, as JSON text without NUL.
pub(super) fn run_facts(run: &crate::record::Run, instant: fn(DateTime<Utc>) -> String) -> Map<String, Value> {
    let facts = json!({
        "run_id": run.run_id,
        "name": run.name,
        "command": run.command,
        "cwd": run.cwd,
        "host": run.host,
        "username": run.username,
        "context": run.context,
        "last_seen_at": instant(run.begun_at),
        "lease_seconds": run.lease_seconds,
        "runwrap_version": env!("CARGO_PKG_VERSION"),
    });
    match clean(facts) {
        Value::Object(facts) => facts,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}
