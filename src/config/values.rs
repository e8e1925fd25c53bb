//! Reads one raw value into a typed one. The only place where a duration, a size, a switch or a name is parsed,
//! whichever layer it came from. Pure. Called by `settings`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::ConfigError;
use super::layers::Raw;
use super::options::OptionRow;
use super::table_name::{TABLE_NAME_HINT, parse_table_name};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);

/// Which durations make sense for an option.
#[derive(Clone, Copy, Debug)]
pub(super) struct DurationBounds {
    pub min: Duration,
    pub max: Duration,
}

impl DurationBounds {
    /// A limit on the trainer: long, but so short that no clock overflows.
    pub(super) const TRAINER: Self = Self { min: Duration::from_millis(1), max: DAY.saturating_mul(3650) };
    pub(super) const HEARTBEAT: Self = Self { min: Duration::from_millis(100), max: DAY };
    pub(super) const LEASE: Self = Self { min: SECOND, max: DAY.saturating_mul(30) };
    pub(super) const START: Self = Self { min: Duration::from_millis(1), max: DAY };
    /// Nought is "do not wait": the delivery is left to the keeper, or to the next run.
    pub(super) const FINISH: Self = Self { min: Duration::ZERO, max: DAY };
    pub(super) const LINGER: Self = Self { min: Duration::ZERO, max: DAY.saturating_mul(365) };
}

const HOW: &str = "write 30s, 5m or 1h30m";

/// A duration as people write it.
///
/// # Errors
/// Why it is none, and what to write.
pub fn read_duration(text: &str) -> Result<Duration, (String, &'static str)> {
    let text = text.trim();
    let refused = |cause: &str| Err((cause.to_owned(), HOW));
    if text.starts_with('-') {
        return refused("a duration cannot be negative");
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return refused("a duration needs a unit");
    }
    match humantime::parse_duration(text) {
        Ok(duration) => Ok(duration),
        Err(humantime::DurationError::NumberOverflow) => refused("it is too large or too fine"),
        Err(humantime::DurationError::UnknownUnit { unit, .. }) if unit.is_empty() => {
            refused("a number in it has no unit")
        }
        Err(humantime::DurationError::UnknownUnit { unit, .. }) => Err((
            format!("\"{unit}\" is not a unit of time"),
            "units are ms, s, m, h, days, weeks, months and years: write 30s, 5m or 1h30m",
        )),
        Err(
            humantime::DurationError::InvalidCharacter(_)
            | humantime::DurationError::NumberExpected(_)
            | humantime::DurationError::Empty,
        ) => refused("it is not a duration"),
    }
}

/// # Errors
/// Where the value is not a duration with a unit, or not within `limits`.
pub(super) fn duration(row: &OptionRow, raw: &Raw, limits: DurationBounds) -> Result<Duration, ConfigError> {
    let duration = read_duration(text(row, raw)?).map_err(|(cause, hint)| raw.refused(row, cause, hint))?;
    if duration < limits.min {
        let least = humantime::format_duration(limits.min);
        return Err(raw.refused(row, "it is too short to make sense", format!("the least is {least}")));
    }
    if duration > limits.max {
        let hours = limits.max.as_secs() / 3600;
        let most = if hours > 24 { format!("{} days", hours / 24) } else { format!("{hours} hours") };
        return Err(raw.refused(row, "it is too long to make sense", format!("the most is {most}")));
    }
    Ok(duration)
}

/// # Errors
/// Where the value is not a whole number of bytes up to `max`.
pub(super) fn bytes(row: &OptionRow, raw: &Raw, max: u64) -> Result<u64, ConfigError> {
    let hint = format!("write a whole number of bytes from 0 to {max}, as 4096");
    let number = text(row, raw)?.trim();
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(raw.refused(row, "it is not a whole number of bytes", hint));
    }
    match number.parse::<u64>() {
        Ok(bytes) if bytes <= max => Ok(bytes),
        Ok(_) | Err(_) => Err(raw.refused(row, "it is too many bytes", hint)),
    }
}

/// # Errors
/// Where the value is neither yes nor no.
pub(super) fn switch(row: &OptionRow, raw: &Raw) -> Result<bool, ConfigError> {
    match text(row, raw)?.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" => Ok(false),
        _ => Err(raw.refused(row, "it is neither yes nor no", "write 1, true or yes; or 0, false or no")),
    }
}

/// Text for a column of the record: something, on one line.
///
/// # Errors
/// Where it is empty, too long, holds a control character or is not UTF-8.
pub(super) fn label(row: &OptionRow, raw: &Raw) -> Result<String, ConfigError> {
    const CHARACTERS_MAX: usize = 255;
    let text = text(row, raw)?;
    let cause = if text.trim().is_empty() {
        "it is empty"
    } else if text.chars().any(char::is_control) {
        "it holds a control character"
    } else if text.chars().count() > CHARACTERS_MAX {
        "it is longer than 255 characters"
    } else {
        return Ok(text.to_owned());
    };
    Err(raw.refused(row, cause, "write a short text on one line"))
}

/// The name of a table: `NAME` or `SCHEMA.NAME`, either in double quotes if need be. The store reads it, and knows more.
///
/// # Errors
/// Where it cannot be one.
pub(super) fn table(row: &OptionRow, raw: &Raw) -> Result<String, ConfigError> {
    let name = label(row, raw)?;
    match parse_table_name(&name) {
        Ok(_) => Ok(name),
        Err(why) => Err(raw.refused(row, format!("it is not the name of a table: {why}"), TABLE_NAME_HINT)),
    }
}

/// An absolute path, as seen from `cwd`. Not resolved: it may not exist yet.
///
/// # Errors
/// Where it is empty.
pub(super) fn path(row: &OptionRow, raw: &Raw, cwd: &Path) -> Result<PathBuf, ConfigError> {
    if raw.text.is_empty() {
        return Err(raw.refused(row, "it is empty", "write a path"));
    }
    if raw.text.as_encoded_bytes().contains(&0) {
        return Err(raw.refused(row, "it holds a NUL", "write a path"));
    }
    Ok(absolute(cwd, Path::new(&raw.text)))
}

/// `path` seen from `cwd`, without `.` in it. `..` stays: what it means depends on symbolic links.
#[must_use]
pub(super) fn absolute(cwd: &Path, path: &Path) -> PathBuf {
    cwd.join(path).components().collect()
}

/// # Errors
/// Where the value is not UTF-8.
pub(super) fn text<'a>(row: &OptionRow, raw: &'a Raw) -> Result<&'a str, ConfigError> {
    raw.text.to_str().ok_or_else(|| raw.refused(row, "it is not valid UTF-8", "write it in UTF-8"))
}
