//! The values of the verbs' own arguments. Must not touch the system.

use std::ffi::OsStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Number, Value};

use crate::commands::Since;
use crate::config::{read_duration, read_tags};
use crate::libpq::{InvalidValue, refuse};
use crate::record::{Reason, parse_metrics, read_instant};
use crate::web::{Listen, without_port};

/// The pause of `recover --every`.
pub(super) fn pause(text: &str) -> Result<Duration, InvalidValue> {
    let pause = read_duration(text)?;
    if pause < Duration::from_secs(1) { refuse("it is too short", "write at least 1s") } else { Ok(pause) }
}

/// A database as `recover` names it: it is compared with the names in the journals.
pub(super) fn former_database(text: &str) -> Result<String, InvalidValue> {
    if text.starts_with("sqlite:/") || text.starts_with("postgres://") {
        return Ok(text.to_owned());
    }
    refuse("it is no database as recover names it", "copy it from the output of `runwrap recover`")
}

/// The time of `--since`: a duration ago, or a time.
pub(super) fn since(text: &str) -> Result<Since, InvalidValue> {
    let ago = read_duration(text).ok().and_then(|ago| Some(Since::Ago(TimeDelta::from_std(ago).ok()?)));
    let hint = "write a duration (24h, 7days), a date (2025-11-27) or a time (2025-11-27T01:20:52Z)";
    let time = || instant(text).or_else(|_| instant(&format!("{text}T00:00:00Z"))).ok().map(Since::Time);
    ago.or_else(time).ok_or_else(|| InvalidValue::new("it is neither a duration nor a time", hint))
}

pub(super) fn instant(text: &str) -> Result<DateTime<Utc>, InvalidValue> {
    let hint = "write 2025-11-27T01:20:52Z, \"2025-11-27 02:20:52 +0100\" or 1764206452; without a zone it is UTC";
    read_instant(text).or_else(|| epoch(text)).ok_or_else(|| InvalidValue::new("it is not a time", hint))
}

/// Seconds since 1970, as `date +%s` prints them. At least nine digits (1973): `2025` may be a year.
fn epoch(text: &str) -> Option<DateTime<Utc>> {
    let seconds = text.strip_prefix('@').unwrap_or(text);
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !(9..=11).contains(&whole.len()) || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let nanoseconds = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    DateTime::from_timestamp(whole.parse().ok()?, nanoseconds)
}

pub(super) fn reason(text: &str) -> Result<Reason, InvalidValue> {
    Reason::parse(text).ok_or_else(|| {
        let known = Reason::ALL.map(|reason| reason.to_string()).join(", ");
        InvalidValue::new("it is not a reason", format!("write one of {known}"))
    })
}

/// A tag to find: with any value if none is given.
pub(super) fn tag(text: &str) -> Result<(String, Option<String>), InvalidValue> {
    match text.split_once('=') {
        Some(("", _)) => refuse("the tag has no key", "write KEY or KEY=VALUE"),
        Some((key, value)) => Ok((key.to_owned(), Some(value.to_owned()))),
        None => Ok((text.to_owned(), None)),
    }
}

pub(super) fn new_tag(text: &str) -> Result<(String, String), InvalidValue> {
    read_tags(OsStr::new(text), false)?.pop().ok_or_else(|| InvalidValue::new("it is empty", "write KEY or KEY=VALUE"))
}

pub(super) fn note_text(text: &str) -> Result<String, InvalidValue> {
    const CHARACTERS_MAX: usize = 10_000;
    match text.chars().count() {
        0 => refuse("it is empty", "write a remark"),
        count if count > CHARACTERS_MAX => refuse("it is longer than 10,000 characters", "write a shorter remark"),
        _ => Ok(text.to_owned()),
    }
}

pub(super) fn metrics(text: &str) -> Result<Map<String, Value>, InvalidValue> {
    parse_metrics(text.as_bytes()).or_else(|error| refuse(error.to_string(), "write a JSON object: '{\"loss\": 0.12}'"))
}

pub(super) fn metric(text: &str) -> Result<(String, String), InvalidValue> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => refuse("it is not KEY=VALUE", "write --metric loss=0.12"),
    }
}

pub(super) fn step(text: &str) -> Result<Number, InvalidValue> {
    let finite = text.trim().parse::<Number>().ok().filter(|number| number.as_f64().is_some_and(f64::is_finite));
    finite.map_or_else(|| refuse("it is no number", "write --step 120"), Ok)
}

/// Where `serve` listens.
pub(super) fn listen(text: &str) -> Result<Listen, InvalidValue> {
    Listen::parse(text)
}

/// A name that a Host header may have.
pub(super) fn allowed_host(text: &str) -> Result<String, InvalidValue> {
    if without_port(text) == Some(text) {
        return Ok(text.to_owned());
    }
    refuse("it is no host name", "write the name alone, as in --allow-host runs.example.org: any port is allowed")
}

#[cfg(test)]
mod tests {
    #[test]
    fn time_may_be_in_seconds_since_1970() {
        let read = |text: &str| super::instant(text).ok().map(|time| time.timestamp_micros());
        for text in ["1764206452", "@1764206452", "1764206452.0", "2025-11-27T02:20:52+0100"] {
            assert_eq!(read(text), Some(1_764_206_452_000_000), "{text}");
        }
        assert_eq!(read("1764206452.5000001"), Some(1_764_206_452_500_000));
        for text in ["2025", "20251127", "1764206452000", "-1764206452", "1764206452.x", "1e9", ""] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn allowed_host_is_a_name_without_a_port() {
        for text in ["runs.example.org", "10.0.0.1", "[fe80::1]", "node-7"] {
            assert_eq!(super::allowed_host(text).as_deref(), Ok(text));
        }
        for text in ["", "runs.example.org:80", "https://runs.example.org", "a b", "*"] {
            assert!(super::allowed_host(text).is_err(), "{text}");
        }
    }
}
