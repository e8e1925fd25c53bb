//! The functions that runwrap gives to SQLite, so that its statements can follow the rules of `record` where SQL
//! has no words for them. Must be free of side effects. Called by `connect`.

use chrono::{DateTime, Utc};
use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};

use super::rows::instant_text;
use crate::record::{derived_end, elapsed_seconds, is_off, merge_metrics, read_instant};
use crate::store::entry::json_object;

pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("runwrap_merge_metrics", 2, flags, merged_metrics)?;
    connection.create_scalar_function("runwrap_elapsed_seconds", 2, flags, |context| Ok(elapsed(context)))?;
    connection.create_scalar_function("runwrap_instant", 1, flags, |context| Ok(instant(context)))?;
    connection.create_scalar_function("runwrap_latest", -1, flags, latest)?;
    connection.create_scalar_function("runwrap_is_off", 3, flags, |context| Ok(off(context)))?;
    connection.create_scalar_function("runwrap_after", 2, flags, |context| Ok(after(context)))
}

/// `(known, later)`: both JSON texts or NULL. Without `later` what is known stays as it is, to the byte.
fn merged_metrics(context: &mut Context<'_>) -> rusqlite::Result<Value> {
    // Applications keep what they like in a column of SQLite's, and what is no JSON object holds no metrics.
    let known: Value = context.get(0)?;
    let Some(later) = context.get::<Option<String>>(1)? else { return Ok(known) };
    let later = json_object(&later);
    let known_object = match &known {
        Value::Null => None,
        Value::Text(text) => Some(json_object(text)),
        Value::Blob(bytes) => Some(json_object(&String::from_utf8_lossy(bytes))),
        Value::Integer(_) | Value::Real(_) => Some(serde_json::Map::new()),
    };
    let merged = merge_metrics(known_object.as_ref(), &later);
    // An equal value tells the statement that there is nothing new to write.
    if known_object.as_ref() == Some(&merged) {
        return Ok(known);
    }
    Ok(Value::Text(serde_json::Value::Object(merged).to_string()))
}

/// `(started_at, ended_at)`: whole seconds, or NULL where one of them is no time.
fn elapsed(context: &Context<'_>) -> Option<i64> {
    let instants = read(context, 0).zip(read(context, 1));
    instants.map(|(started_at, ended_at)| elapsed_seconds(ended_at - started_at))
}

/// `(time)`: in the one form in which times compare as they stand, or NULL where it is none.
fn instant(context: &Context<'_>) -> Option<String> {
    read(context, 0).map(instant_text)
}

/// Of any number of times as `runwrap_instant` gives them, the latest; NULL where all are.
fn latest(context: &mut Context<'_>) -> rusqlite::Result<Option<String>> {
    let times = (0..context.len()).map(|argument| context.get::<Option<String>>(argument));
    times.collect::<Result<Vec<_>, _>>().map(|times| times.into_iter().flatten().max())
}

/// `(started_at, ended_at, seconds)`: whether the duration does not fit, or NULL where one of them is none.
fn off(context: &Context<'_>) -> Option<bool> {
    let elapsed = read(context, 1)? - read(context, 0)?;
    Some(is_off(elapsed, number(context, 2)?))
}

/// `(started_at, seconds)`: the time so long after, or NULL where one of them is none.
fn after(context: &Context<'_>) -> Option<String> {
    derived_end(read(context, 0)?, number(context, 1)?).map(instant_text)
}

/// A number, also one that is kept as text.
fn number(context: &Context<'_>, argument: usize) -> Option<f64> {
    match context.get_raw(argument) {
        #[expect(clippy::cast_precision_loss, reason = "no run lasts for so many seconds that a float loses one")]
        ValueRef::Integer(number) => Some(number as f64),
        ValueRef::Real(number) => Some(number),
        ValueRef::Text(text) => std::str::from_utf8(text).ok()?.trim().parse().ok(),
        ValueRef::Null | ValueRef::Blob(_) => None,
    }
}

/// A time as applications write it. A number is none: nobody can tell seconds from milliseconds or days.
fn read(context: &Context<'_>, argument: usize) -> Option<DateTime<Utc>> {
    context.get_raw(argument).as_str().ok().and_then(read_instant)
}
