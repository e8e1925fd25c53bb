//! Reads one raw value into a typed one, whichever layer it came from. Owns the syntax of durations, sizes, switches,
//! names and paths. Pure.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{ConfigError, InvalidValue};
use super::layers::RawValue;
use super::options::OptionRow;
use super::table_name::{TABLE_NAME_HINT, parse_table_name};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);

/// The range of an option.
#[derive(Clone, Copy, Debug)]
pub(super) struct DurationBounds {
    pub min: Duration,
    pub max: Duration,
}

impl DurationBounds {
    /// Below the overflow of any clock.
    pub(super) const TRAINER: Self = Self { min: Duration::from_millis(1), max: DAY.saturating_mul(3650) };
    pub(super) const HEARTBEAT: Self = Self { min: Duration::from_millis(100), max: DAY };
    pub(super) const LEASE: Self = Self { min: SECOND, max: DAY.saturating_mul(30) };
    pub(super) const START: Self = Self { min: Duration::from_millis(1), max: DAY };
    /// 0 does not wait: the keeper or the next run delivers.
    pub(super) const FINISH: Self = Self { min: Duration::ZERO, max: DAY };
    pub(super) const LINGER: Self = Self { min: Duration::ZERO, max: DAY.saturating_mul(365) };
}

/// A duration in humantime's syntax, always with a unit.
///
/// # Errors
/// Why `text` is not one.
pub fn read_duration(text: &str) -> Result<Duration, InvalidValue> {
    let text = text.trim();
    let refused = |cause: String| InvalidValue::new(cause, "write 30s, 5m or 1h30m");
    // humantime accepts 0 without a unit.
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(refused("a duration needs a unit".to_owned()));
    }
    humantime::parse_duration(text).map_err(|error| refused(format!("it is not a duration: {error}")))
}

/// # Errors
/// The value is not a duration with a unit, or not within `bounds`.
pub(super) fn duration(row: &OptionRow, raw: &RawValue, bounds: DurationBounds) -> Result<Duration, ConfigError> {
    let duration =
        read_duration(text(row, raw)?).map_err(|InvalidValue { cause, hint }| raw.refused(row, cause, hint))?;
    let cause = match duration {
        _ if duration < bounds.min => "it is too short",
        _ if duration > bounds.max => "it is too long",
        _ => return Ok(duration),
    };
    let [min, max] = [bounds.min, bounds.max].map(humantime::format_duration);
    Err(raw.refused(row, cause, format!("write a duration from {min} to {max}")))
}

/// # Errors
/// The value is not a whole number of bytes up to `max`.
pub(super) fn bytes(row: &OptionRow, raw: &RawValue, max: u64) -> Result<u64, ConfigError> {
    let hint = format!("write a whole number of bytes from 0 to {max}, as 4096");
    let number = text(row, raw)?.trim();
    match number.parse::<u64>() {
        Ok(bytes) if bytes <= max => Ok(bytes),
        Ok(_) => Err(raw.refused(row, "it is too large", hint)),
        Err(error) => Err(raw.refused(row, format!("it is not a whole number of bytes: {error}"), hint)),
    }
}

/// # Errors
/// The value is neither yes nor no.
pub(super) fn switch(row: &OptionRow, raw: &RawValue) -> Result<bool, ConfigError> {
    match text(row, raw)?.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" => Ok(false),
        _ => Err(raw.refused(row, "it is neither yes nor no", "write 1, true or yes; or write 0, false or no")),
    }
}

/// Text for a column of the record, on one line.
///
/// # Errors
/// It is empty, too long, contains a control character or is not UTF-8.
pub(super) fn label(row: &OptionRow, raw: &RawValue) -> Result<String, ConfigError> {
    const CHARACTERS_MAX: usize = 255;
    let text = text(row, raw)?;
    let cause = if text.trim().is_empty() {
        "it is empty"
    } else if text.chars().any(char::is_control) {
        "it contains a control character"
    } else if text.chars().count() > CHARACTERS_MAX {
        "it is longer than 255 characters"
    } else {
        return Ok(text.to_owned());
    };
    Err(raw.refused(row, cause, "write a short text on one line"))
}

/// The name of a table: `NAME` or `SCHEMA.NAME`, each with or without double quotes.
///
/// # Errors
/// It is not one.
pub(super) fn table(row: &OptionRow, raw: &RawValue) -> Result<String, ConfigError> {
    let name = label(row, raw)?;
    match parse_table_name(&name) {
        Ok(_) => Ok(name),
        Err(why) => Err(raw.refused(row, format!("it is not the name of a table: {why}"), TABLE_NAME_HINT)),
    }
}

/// An absolute path, relative to `cwd`. Not resolved: it need not exist yet.
///
/// # Errors
/// It is empty, or contains a NUL.
pub(super) fn path(row: &OptionRow, raw: &RawValue, cwd: &Path) -> Result<PathBuf, ConfigError> {
    if raw.text.is_empty() {
        return Err(raw.refused(row, "it is empty", "write a path"));
    }
    if raw.text.as_encoded_bytes().contains(&0) {
        return Err(raw.refused(row, "it contains a NUL", "write a path"));
    }
    Ok(absolute(cwd, Path::new(&raw.text)))
}

/// `path` relative to `cwd`, without `.`. `..` stays: its target depends on symbolic links.
#[must_use]
pub(super) fn absolute(cwd: &Path, path: &Path) -> PathBuf {
    cwd.join(path).components().collect()
}

/// # Errors
/// The value is not UTF-8.
pub(super) fn text<'a>(row: &OptionRow, raw: &'a RawValue) -> Result<&'a str, ConfigError> {
    raw.text.to_str().ok_or_else(|| raw.refused(row, "it is not valid UTF-8", "write it in UTF-8"))
}
