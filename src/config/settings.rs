//! Merges the layers into typed settings. Owns the precedence, the defaults and the rules between options.
//! Pure: the environment comes in as [`Env`].

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::database::{DatabaseTarget, parse_database};
use super::layers::{ConfigError, Layers, Origin, RawValue, Reader};
use super::options::{self, OPTIONS, OptionRow};
use super::values::{self, UnlessRunning};
use crate::libpq::{Env, InvalidValue, refuse};

const STDERR_TAIL_BYTES_MAX: u64 = 1024 * 1024;
/// A keeper holds about 20 KiB of each series.
const CURVES_MAX: u64 = 256;

const MILLISECOND: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_hours(24);
/// Below the overflow of any clock.
const TRAINER_MAX: Duration = DAY.saturating_mul(3650);

/// The values of all options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `None` for [`super::default_name()`].
    pub name: Option<String>,
    pub model_version: Option<String>,
    pub database: DatabaseTarget,
    /// The file that the database's URL was read from. Absolute.
    pub database_url_file: Option<PathBuf>,
    /// `NAME` or `SCHEMA.NAME`.
    pub table: String,
    pub record_id: Option<String>,
    pub set: Vec<(String, String)>,
    pub tags: BTreeMap<String, String>,
    pub job: Option<String>,
    /// Only this rank of a launcher is recorded.
    pub only_rank: Option<u32>,
    pub unless_running: Option<UnlessRunning>,
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
    pub curves: u64,
    /// Absolute.
    pub state_dir: PathBuf,
    /// Absolute.
    pub log_file: PathBuf,
    /// The state directory and the file of SQLite, if they are below `/tmp` because there is no home directory.
    pub homeless: Vec<PathBuf>,
    /// Whether runwrap may create missing tables and upgrade old ones.
    pub migrate: bool,
    pub verbosity: Verbosity,
    /// The origin of each option's value, by its key.
    pub origins: BTreeMap<&'static str, Origin>,
    /// The values that the user gave, as `RUNWRAP_HEARTBEAT=10s`, each with its key. None of them is a secret.
    pub given: Vec<(&'static str, String)>,
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
pub(super) fn resolve(layers: &Layers, env: &Env<'_>) -> Result<Settings, ConfigError> {
    let path = |text: &OsStr| values::path(text, env);
    let origin =
        |row: &OptionRow| (row.key, layers.strongest(&[row]).first().map_or(Origin::Default, |raw| raw.origin.clone()));
    let heartbeat = layers.duration(&options::HEARTBEAT, Duration::from_millis(100)..=DAY)?;
    let require_database = layers.switch(&options::REQUIRE_DATABASE)?;
    let state_dir =
        layers.optional(&options::STATE_DIR, &path)?.unwrap_or_else(|| env.xdg("XDG_STATE_HOME", ".local/state"));
    let database = layers.database(env)?;
    let homeless = [Some(&state_dir), database.file()].into_iter().flatten().filter(|path| env.lacks_home_for(path));
    Ok(Settings {
        homeless: homeless.cloned().collect(),
        name: layers.optional(&options::NAME, &values::label)?,
        model_version: layers.optional(&options::MODEL_VERSION, &values::label)?,
        database,
        database_url_file: layers.url_file(env)?,
        table: layers.read(&options::TABLE, &values::table)?,
        record_id: layers.optional(&options::RECORD_ID, &values::label)?,
        set: layers.set()?,
        tags: layers.tags()?,
        job: layers.optional(&options::JOB, &values::label)?,
        only_rank: layers.optional(&options::ONLY_RANK, &values::rank)?,
        unless_running: layers.optional(&options::UNLESS_RUNNING, &values::unless_running)?.flatten(),
        metrics_file: layers.optional(&options::METRICS_FILE, &|text| values::text_path(text, env))?,
        model_path: layers.optional(&options::MODEL_PATH, &|text| values::path_or_url(text, env))?,
        timeout: layers.optional(&options::TIMEOUT, &|text| values::duration(text, &(MILLISECOND..=TRAINER_MAX)))?,
        kill_after: layers.duration(&options::KILL_AFTER, MILLISECOND..=TRAINER_MAX)?,
        kill_after_given: layers.value(&options::KILL_AFTER)?.is_some(),
        heartbeat,
        lease: layers.lease(heartbeat)?,
        start_timeout: layers.duration(&options::START_TIMEOUT, MILLISECOND..=DAY)?,
        // 0 does not wait: the keeper or the next run delivers.
        finish_timeout: layers.duration(&options::FINISH_TIMEOUT, Duration::ZERO..=DAY)?,
        linger: layers.duration(&options::LINGER, Duration::ZERO..=DAY.saturating_mul(365))?,
        require_database,
        stderr_tail_bytes: layers.read(&options::STDERR_TAIL, &|text| values::bytes(text, STDERR_TAIL_BYTES_MAX))?,
        curves: layers.read(&options::CURVES, &|text| values::count(text, CURVES_MAX))?,
        log_file: layers.optional(&options::LOG_FILE, &path)?.unwrap_or_else(|| state_dir.join("runwrap.log")),
        state_dir,
        migrate: !layers.switch(&options::NO_MIGRATE)?,
        verbosity: layers.verbosity()?,
        origins: OPTIONS.into_iter().map(origin).collect(),
        given: layers.given(),
    })
}

impl Layers {
    /// The values that count, in the order of the help. Of the two options that name a database, one does.
    fn given(&self) -> Vec<(&'static str, String)> {
        let database = [&options::DATABASE_URL, &options::DATABASE_URL_FILE];
        let of = |row: &'static OptionRow| {
            let rows = if database.contains(&row) { &database[..] } else { std::slice::from_ref(&row) };
            let values = self.strongest(rows).into_iter().filter(|raw| raw.row.key == row.key);
            values.map(|raw| (row.key, raw.subject())).collect::<Vec<_>>()
        };
        OPTIONS.into_iter().flat_map(of).collect()
    }

    fn optional<T>(&self, row: &'static OptionRow, read: Reader<'_, T>) -> Result<Option<T>, ConfigError> {
        let default = row.default.map(|text| RawValue { row, text: text.into(), origin: Origin::Default });
        self.value(row)?.or(default.as_ref()).map(|raw| raw.read(read)).transpose()
    }

    /// The value of a row that has a default.
    fn read<T>(&self, row: &'static OptionRow, read: Reader<'_, T>) -> Result<T, ConfigError> {
        self.optional(row, read)?.ok_or_else(|| ConfigError::new(row.key, "it has no value", "set it"))
    }

    fn duration(&self, row: &'static OptionRow, range: RangeInclusive<Duration>) -> Result<Duration, ConfigError> {
        self.read(row, &|text| values::duration(text, &range))
    }

    fn switch(&self, row: &'static OptionRow) -> Result<bool, ConfigError> {
        Ok(self.optional(row, &values::switch)?.unwrap_or(false))
    }

    /// The file that the strongest layer names for the URL.
    fn url_file(&self, env: &Env<'_>) -> Result<Option<PathBuf>, ConfigError> {
        let named = self.strongest(&[&options::DATABASE_URL, &options::DATABASE_URL_FILE]).pop();
        let file = named.filter(|raw| raw.row.key == options::DATABASE_URL_FILE.key);
        file.map(|raw| raw.read(&|text| values::path(text, env))).transpose()
    }

    /// The database that the strongest layer names.
    fn database(&self, env: &Env<'_>) -> Result<DatabaseTarget, ConfigError> {
        match self.strongest(&[&options::DATABASE_URL, &options::DATABASE_URL_FILE])[..] {
            [] => default_database(env)
                .map_err(|InvalidValue { cause, hint }| ConfigError::new("the default database", cause, hint)),
            [raw] if raw.row.key == options::DATABASE_URL.key => {
                raw.read(&|text| parse_database(values::utf8(text)?, env))
            }
            [raw] => raw.read(&|text| database_in_file(&values::path(text, env)?, env)),
            [one, other, ..] => {
                let both = format!("{} and {}", one.subject(), other.subject());
                Err(ConfigError::new(both, "they name two databases at once", "keep one of them"))
            }
        }
    }

    /// The strongest layer that has either option decides.
    fn verbosity(&self) -> Result<Verbosity, ConfigError> {
        let mut on = Vec::new();
        for raw in self.strongest(&[&options::VERBOSE, &options::QUIET]) {
            if raw.read(&values::switch)? {
                on.push(raw);
            }
        }
        match on[..] {
            [] => Ok(Verbosity::Normal),
            [raw] if raw.row.key == options::VERBOSE.key => Ok(Verbosity::Verbose),
            [_quiet] => Ok(Verbosity::Quiet),
            [_, quiet, ..] => {
                Err(ConfigError::new(quiet.subject(), "verbose is on in the same layer", "keep one of them"))
            }
        }
    }

    fn lease(&self, heartbeat: Duration) -> Result<Duration, ConfigError> {
        let lease = self.duration(&options::LEASE, Duration::from_secs(1)..=DAY.saturating_mul(30))?;
        if lease > heartbeat {
            return Ok(Duration::from_secs(lease.as_secs() + u64::from(lease.subsec_nanos() > 0)));
        }
        let [heartbeat, lease] = [heartbeat, lease].map(humantime::format_duration);
        let cause = format!("a lease of {lease} runs out before the next heartbeat, after {heartbeat}");
        let given = [&options::LEASE, &options::HEARTBEAT].into_iter().find_map(|row| self.strongest(&[row]).pop());
        let subject = given.map_or_else(|| options::LEASE.key.to_owned(), RawValue::subject);
        Err(ConfigError::new(subject, cause, "set a lease several times as long as the heartbeat"))
    }

    fn tags(&self) -> Result<BTreeMap<String, String>, ConfigError> {
        let mut tags = BTreeMap::new();
        for raw in self.strongest(&[&options::TAG]) {
            // A flag may hold a comma: it can be repeated.
            let is_list = !matches!(raw.origin, Origin::Flag(_));
            for (key, value) in raw.read(&|text| values::read_tags(text, is_list))? {
                if tags.insert(key, value).is_some() {
                    return Err(ConfigError::new(raw.subject(), "the tag is given twice", "keep one of them"));
                }
            }
        }
        Ok(tags)
    }

    fn set(&self) -> Result<Vec<(String, String)>, ConfigError> {
        let mut columns = Vec::new();
        for raw in self.strongest(&[&options::SET]) {
            columns.push(raw.read(&|text| further_column(text, &columns))?);
        }
        Ok(columns)
    }
}

/// `COLUMN=VALUE`, a column that is not in `earlier`, and that runwrap does not write.
fn further_column(text: &OsStr, earlier: &[(String, String)]) -> Result<(String, String), InvalidValue> {
    let Some((column, value)) = values::utf8(text)?.split_once('=').filter(|(column, _)| !column.is_empty()) else {
        return refuse("it is not COLUMN=VALUE", "write --set team=fraud");
    };
    if earlier.iter().any(|(other, _)| other == column) {
        return refuse(format!("{column} is set twice"), "keep one of them");
    }
    let hint = match column {
        "version" => "use --model-version",
        "model_path" => "use --model-path",
        "train_metrics" => "use --metrics-file, or runwrap report",
        "status" | "train_start_time" | "train_end_time" | "train_duration" | "error_message" => "leave it out",
        _ => return Ok((column.to_owned(), value.to_owned())),
    };
    refuse(format!("runwrap itself writes {column}"), hint)
}

/// PostgreSQL if a variable of libpq names a server or a database, as for psql; else SQLite. A user, a port or a password alone may be
/// meant for other programs.
fn default_database(env: &Env<'_>) -> Result<DatabaseTarget, InvalidValue> {
    let is_set = |name: &&str| (env.variable)(name).is_some_and(|value| !value.is_empty());
    let names_server = ["PGHOST", "PGHOSTADDR", "PGDATABASE", "PGSERVICE"].iter().any(is_set);
    parse_database(if names_server { "postgres://" } else { "sqlite:" }, env)
}

/// The database whose URL is in the file `path`, with or without newlines at its end.
pub(super) fn database_in_file(path: &Path, env: &Env<'_>) -> Result<DatabaseTarget, InvalidValue> {
    let content = (env.read)(path).or_else(|error| {
        refuse(format!("cannot read the file: {error}"), "name a readable file that holds the database URL")
    })?;
    // Some editors begin a file with a byte order mark.
    let text = content.trim_start_matches('\u{FEFF}').trim_end_matches(['\r', '\n']);
    if text.contains('\n') {
        return refuse("the file has more than one line", "keep only the database URL in it");
    }
    parse_database(text, env)
}

#[cfg(test)]
mod tests;
