//! Merges the layers into typed settings. Owns the precedence, the defaults and the rules between options.
//! Pure: the environment comes in as [`Env`].

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::choose_database;
use super::database::DatabaseTarget;
use super::env::Env;
use super::error::ConfigError;
use super::layers::{Layers, Origin, RawValue};
use super::options::{self, DefaultValue, OPTIONS, OptionRow};
use super::values::{self, DurationBounds};

const STDERR_TAIL_BYTES_MAX: u64 = 1024 * 1024;

/// Columns of the user's table that runwrap writes; `--set` must not change them.
const WRITTEN_COLUMNS: [&str; 8] = [
    "version",
    "status",
    "train_start_time",
    "train_end_time",
    "train_duration",
    "train_metrics",
    "model_path",
    "error_message",
];

/// The values of all options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `None` for [`super::default_name()`].
    pub name: Option<String>,
    pub model_version: Option<String>,
    pub database: DatabaseTarget,
    /// `NAME` or `SCHEMA.NAME`.
    pub table: String,
    pub record_id: Option<String>,
    pub set: Vec<(String, String)>,
    /// Absolute.
    pub metrics_file: Option<PathBuf>,
    /// Absolute, or a URL as typed.
    pub model_path: Option<PathBuf>,
    pub timeout: Option<Duration>,
    pub kill_after: Duration,
    /// Given explicitly, `kill_after` also bounds the wait after a relayed stop signal.
    pub kill_after_given: bool,
    pub heartbeat: Duration,
    /// Whole seconds, more than `heartbeat`.
    pub lease: Duration,
    pub start_timeout: Duration,
    pub finish_timeout: Duration,
    pub linger: Duration,
    pub require_database: bool,
    /// 0 for none.
    pub stderr_tail_bytes: u64,
    /// Absolute.
    pub state_dir: PathBuf,
    /// Absolute.
    pub log_file: PathBuf,
    /// Whether runwrap may create missing tables and upgrade old ones.
    pub migrate: bool,
    pub verbosity: Verbosity,
    /// The origin of each option's value, by its key.
    pub origins: BTreeMap<&'static str, Origin>,
}

/// What runwrap writes to stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// Errors.
    Quiet,
    /// Errors and warnings.
    Normal,
    /// Also progress.
    Verbose,
}

/// Merges `layers` and reads every value.
///
/// # Errors
/// The first value that cannot be used.
pub fn resolve(layers: &Layers, env: &Env<'_>) -> Result<Settings, ConfigError> {
    let resolver = Resolver { layers, env };
    let heartbeat = resolver.duration(&options::HEARTBEAT, DurationBounds::HEARTBEAT)?;
    let require_database = resolver.switch(&options::REQUIRE_DATABASE)?;
    let state_dir = resolver.path(&options::STATE_DIR)?.unwrap_or_else(|| env.state_dir());
    Ok(Settings {
        name: resolver.label(&options::NAME)?,
        model_version: resolver.label(&options::MODEL_VERSION)?,
        database: choose_database::choose(layers, env)?,
        table: resolver.read(&options::TABLE, values::table)?,
        record_id: resolver.label(&options::RECORD_ID)?,
        set: resolver.set()?,
        metrics_file: resolver.text_path(&options::METRICS_FILE)?,
        model_path: resolver.path_or_url(&options::MODEL_PATH)?,
        timeout: resolver
            .optional(&options::TIMEOUT, |row, raw| values::duration(row, raw, DurationBounds::TRAINER))?,
        kill_after: resolver.duration(&options::KILL_AFTER, DurationBounds::TRAINER)?,
        kill_after_given: layers.value(&options::KILL_AFTER)?.is_some(),
        heartbeat,
        lease: resolver.lease(heartbeat)?,
        start_timeout: resolver.duration(&options::START_TIMEOUT, DurationBounds::START)?,
        finish_timeout: resolver.duration(&options::FINISH_TIMEOUT, DurationBounds::FINISH)?,
        linger: resolver.duration(&options::LINGER, DurationBounds::LINGER)?,
        require_database,
        stderr_tail_bytes: resolver
            .read(&options::STDERR_TAIL, |row, raw| values::bytes(row, raw, STDERR_TAIL_BYTES_MAX))?,
        log_file: resolver.path(&options::LOG_FILE)?.unwrap_or_else(|| state_dir.join("runwrap.log")),
        state_dir,
        migrate: !resolver.switch(&options::NO_MIGRATE)?,
        verbosity: resolver.verbosity()?,
        origins: resolver.origins(),
    })
}

struct Resolver<'a> {
    layers: &'a Layers,
    env: &'a Env<'a>,
}

impl Resolver<'_> {
    fn optional<T>(
        &self,
        row: &'static OptionRow,
        read: impl Fn(&OptionRow, &RawValue) -> Result<T, ConfigError>,
    ) -> Result<Option<T>, ConfigError> {
        let default = match row.default {
            DefaultValue::Text(text) => Some(RawValue { text: OsString::from(text), origin: Origin::Default }),
            DefaultValue::None | DefaultValue::Described(_) => None,
        };
        self.layers.value(row)?.or(default.as_ref()).map(|raw| read(row, raw)).transpose()
    }

    /// The value of a row that has a default.
    fn read<T>(
        &self,
        row: &'static OptionRow,
        read: impl Fn(&OptionRow, &RawValue) -> Result<T, ConfigError>,
    ) -> Result<T, ConfigError> {
        let missing = || ConfigError::new(row.key, "it has no value", "set it");
        self.optional(row, read)?.ok_or_else(missing)
    }

    fn duration(&self, row: &'static OptionRow, bounds: DurationBounds) -> Result<Duration, ConfigError> {
        self.read(row, |row, raw| values::duration(row, raw, bounds))
    }

    fn label(&self, row: &'static OptionRow) -> Result<Option<String>, ConfigError> {
        self.optional(row, values::label)
    }

    fn path(&self, row: &'static OptionRow) -> Result<Option<PathBuf>, ConfigError> {
        self.optional(row, |row, raw| values::path(row, raw, self.env.cwd))
    }

    /// A path that the journal keeps as text: invalid UTF-8 would name another file.
    fn text_path(&self, row: &'static OptionRow) -> Result<Option<PathBuf>, ConfigError> {
        self.optional(row, |row, raw| {
            let path = values::path(row, raw, self.env.cwd)?;
            let hint = "choose a path in UTF-8";
            if path.to_str().is_some() { Ok(path) } else { Err(raw.refused(row, "its path is not valid UTF-8", hint)) }
        })
    }

    /// A URL such as `s3://bucket/model.pt` stays as it is.
    fn path_or_url(&self, row: &'static OptionRow) -> Result<Option<PathBuf>, ConfigError> {
        self.optional(row, |row, raw| match raw.text.to_str() {
            Some(text) if text.contains("://") => Ok(PathBuf::from(text)),
            Some(_) | None => values::path(row, raw, self.env.cwd),
        })
    }

    fn switch(&self, row: &'static OptionRow) -> Result<bool, ConfigError> {
        Ok(self.optional(row, values::switch)?.unwrap_or(false))
    }

    /// The strongest layer that has either option decides.
    fn verbosity(&self) -> Result<Verbosity, ConfigError> {
        for layer in self.layers.strongest_first() {
            let on = |row: &OptionRow| layer.all(row).last().map(|raw| values::switch(row, raw)).transpose();
            match (on(&options::VERBOSE)?, on(&options::QUIET)?) {
                (None, None) => {}
                (Some(true), Some(true)) => {
                    let quiet =
                        layer.all(&options::QUIET).iter().map(|raw| raw.subject(&options::QUIET)).collect::<String>();
                    return Err(ConfigError::new(quiet, "verbose is on in the same layer", "keep one of them"));
                }
                (Some(true), _) => return Ok(Verbosity::Verbose),
                (_, Some(true)) => return Ok(Verbosity::Quiet),
                (_, Some(false)) | (Some(false), None) => return Ok(Verbosity::Normal),
            }
        }
        Ok(Verbosity::Normal)
    }

    fn lease(&self, heartbeat: Duration) -> Result<Duration, ConfigError> {
        let lease = self.duration(&options::LEASE, DurationBounds::LEASE)?;
        let whole_seconds = Duration::from_secs(lease.as_secs() + u64::from(lease.subsec_nanos() > 0));
        if lease > heartbeat {
            return Ok(whole_seconds);
        }
        let (heartbeat_text, lease_text) = (humantime::format_duration(heartbeat), humantime::format_duration(lease));
        let cause = format!("a lease of {lease_text} runs out before the next heartbeat, after {heartbeat_text}");
        let subject = match (self.layers.value(&options::LEASE)?, self.layers.value(&options::HEARTBEAT)?) {
            (Some(raw), _) => raw.subject(&options::LEASE),
            (None, Some(raw)) => raw.subject(&options::HEARTBEAT),
            (None, None) => options::LEASE.key.to_owned(),
        };
        Err(ConfigError::new(subject, cause, "set a lease several times as long as the heartbeat"))
    }

    fn set(&self) -> Result<Vec<(String, String)>, ConfigError> {
        let row = &options::SET;
        let mut columns: Vec<(String, String)> = Vec::new();
        for raw in self.layers.flags.all(row) {
            let Some((column, value)) =
                values::text(row, raw)?.split_once('=').filter(|(column, _)| !column.is_empty())
            else {
                return Err(raw.refused(row, "it is not COLUMN=VALUE", "write --set team=fraud"));
            };
            if WRITTEN_COLUMNS.contains(&column) {
                let hint = match column {
                    "version" => "use --model-version",
                    "model_path" => "use --model-path",
                    "train_metrics" => "use --metrics-file, or runwrap report",
                    _ => "leave it out",
                };
                return Err(raw.refused(row, format!("runwrap itself writes {column}"), hint));
            }
            if columns.iter().any(|(other, _)| other == column) {
                return Err(raw.refused(row, format!("{column} is set twice"), "keep one of them"));
            }
            columns.push((column.to_owned(), value.to_owned()));
        }
        Ok(columns)
    }

    fn origins(&self) -> BTreeMap<&'static str, Origin> {
        let origin = |row: &'static OptionRow| {
            let given = self.layers.strongest_first().into_iter().find_map(|layer| layer.all(row).first());
            (row.key, given.map_or(Origin::Default, |raw| raw.origin.clone()))
        };
        OPTIONS.into_iter().map(origin).collect()
    }
}

#[cfg(test)]
mod tests;
