//! Reads the values of the verbs' own arguments, as clap's value parsers. Pure: no default, no system call.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::builder::{OsStringValueParser, TypedValueParser};
use serde_json::{Map, Value};

use crate::config::{InvalidValue, read_duration};
use crate::record::{parse_metrics, read_instant};

/// A parser that reads a value with `read`; invalid UTF-8 is replaced.
pub(super) fn parsed<T: Clone + Send + Sync + 'static>(
    read: fn(&str) -> Result<T, InvalidValue>,
) -> impl TypedValueParser<Value = T> {
    OsStringValueParser::new().try_map(move |text| read(&text.to_string_lossy()))
}

/// The pause of `recover --every`.
pub(super) fn pause(text: &str) -> Result<Duration, InvalidValue> {
    let pause = read_duration(text)?;
    if pause < Duration::from_secs(1) {
        Err(InvalidValue::new("it is too short", "write at least 1s"))
    } else {
        Ok(pause)
    }
}

pub(super) fn instant(text: &str) -> Result<DateTime<Utc>, InvalidValue> {
    let hint = "write 2025-11-27T01:20:52Z or \"2025-11-27 01:20:52\"; without a zone it is UTC";
    read_instant(text).ok_or_else(|| InvalidValue::new("it is not a time", hint))
}

pub(super) fn metrics(text: &str) -> Result<Map<String, Value>, InvalidValue> {
    parse_metrics(text.as_bytes())
        .map_err(|error| InvalidValue::new(error.to_string(), "write a JSON object: '{\"loss\": 0.12}'"))
}

pub(super) fn metric(text: &str) -> Result<(String, String), InvalidValue> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err(InvalidValue::new("it is not KEY=VALUE", "write --metric loss=0.12")),
    }
}
