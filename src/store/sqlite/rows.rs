//! Values between JSON and SQLite: named parameters in, rows out. Must not know a statement. Called by everything in
//! `sqlite`.

use chrono::{DateTime, Utc};
use rusqlite::types::{Value as SqlValue, ValueRef};
use rusqlite::{Connection, Statement};
use serde_json::{Map, Value, json};

/// What the named parameters of a statement stand for. One that is not here is NULL.
pub(super) type Facts = Map<String, Value>;

pub(super) fn facts<const N: usize>(pairs: [(&str, Value); N]) -> Facts {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// UTC, as SQLAlchemy writes an instant and SQLite's own date functions read it.
pub(super) fn instant_text(instant: DateTime<Utc>) -> String {
    instant.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
}

pub(super) fn execute(connection: &Connection, statement: &str, facts: &Facts) -> rusqlite::Result<usize> {
    let mut prepared = connection.prepare(statement)?;
    bind(&mut prepared, facts)?;
    let changed = prepared.raw_execute()?;
    count_steps(&prepared);
    Ok(changed)
}

pub(super) fn query(connection: &Connection, statement: &str, facts: &Facts) -> rusqlite::Result<Vec<Vec<Value>>> {
    let mut prepared = connection.prepare(statement)?;
    bind(&mut prepared, facts)?;
    let width = prepared.column_count();
    let mut found = Vec::new();
    let mut rows = prepared.raw_query();
    while let Some(row) = rows.next()? {
        found.push((0..width).map(|at| row.get_ref(at).map(json_value)).collect::<rusqlite::Result<Vec<_>>>()?);
    }
    drop(rows);
    count_steps(&prepared);
    Ok(found)
}

#[cfg(test)]
thread_local! {
    /// How many steps SQLite's machine has made for the statements of this thread.
    pub(super) static STEPS: std::cell::Cell<i64> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
fn count_steps(prepared: &Statement<'_>) {
    let steps = prepared.get_status(rusqlite::StatementStatus::VmStep);
    STEPS.set(STEPS.get() + i64::from(steps));
}

#[cfg(not(test))]
const fn count_steps(_: &Statement<'_>) {}

/// A column of `runwrap_runs` as JSON: texts that hold JSON become it, and 0 and 1 become a boolean.
pub(super) fn run_value(name: &str, value: Value) -> Value {
    match (name, &value) {
        ("command" | "context", Value::String(text)) => serde_json::from_str(text).unwrap_or(value),
        ("presumed", Value::Number(number)) => json!(number.as_i64() != Some(0)),
        _ => value,
    }
}

fn bind(prepared: &mut Statement<'_>, facts: &Facts) -> rusqlite::Result<()> {
    for at in 1..=prepared.parameter_count() {
        let name = prepared.parameter_name(at).unwrap_or_default().trim_start_matches([':', '?']).to_owned();
        prepared.raw_bind_parameter(at, sql_value(facts.get(&name)))?;
    }
    Ok(())
}

fn sql_value(value: Option<&Value>) -> SqlValue {
    match value {
        None | Some(Value::Null) => SqlValue::Null,
        Some(Value::Bool(truth)) => SqlValue::Integer(i64::from(*truth)),
        Some(Value::Number(number)) => {
            number.as_i64().map_or_else(|| number.as_f64().map_or(SqlValue::Null, SqlValue::Real), SqlValue::Integer)
        }
        Some(Value::String(text)) => SqlValue::Text(text.clone()),
        Some(json @ (Value::Array(_) | Value::Object(_))) => SqlValue::Text(json.to_string()),
    }
}

fn json_value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => json!(number),
        ValueRef::Real(number) => json!(number),
        ValueRef::Text(text) | ValueRef::Blob(text) => json!(String::from_utf8_lossy(text)),
    }
}
