//! The layers of raw values, each value with its origin, and the error that names both, one shape for every option and
//! layer. Must not interpret a value: `values` does. No error may hold a password.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use super::options::{self, OPTIONS, OptionKind, OptionRow};
use crate::libpq::InvalidValue;

/// Set in the environment of a trainer: a runwrap in it is an inner run.
const RUN_ID: &str = "RUNWRAP_RUN_ID";

/// The options whose variables describe one run. Inside a run they describe the outer one.
const OF_ONE_RUN: [&OptionRow; 4] =
    [&options::NAME, &options::MODEL_VERSION, &options::MODEL_PATH, &options::METRICS_FILE];

/// Reads the text of a value into its type.
pub(super) type Reader<'a, T> = &'a dyn Fn(&OsStr) -> Result<T, InvalidValue>;

/// A value that cannot be used. Nothing has been started when it arises.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("cannot use {subject}: {cause}")]
pub struct ConfigError {
    /// The option with its origin: `RUNWRAP_HEARTBEAT=30`, `--table`, `lease = 5 in /etc/x.toml`.
    subject: String,
    cause: String,
    /// What to do next.
    pub hint: String,
}

impl ConfigError {
    pub fn new(subject: impl Into<String>, cause: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { subject: subject.into(), cause: cause.into(), hint: hint.into() }
    }
}

/// The source of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The flag with its dashes.
    Flag(&'static str),
    Environment(&'static str),
    /// The configuration file, and the key as spelled there.
    File {
        path: PathBuf,
        key: String,
    },
    Default,
}

/// A value as the user gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawValue {
    pub row: &'static OptionRow,
    pub text: OsString,
    pub origin: Origin,
}

/// All values of one layer, in the order given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layer(Vec<RawValue>);

/// The layers in which a user can give a value, the strongest first.
pub(super) struct Layers(pub(super) Vec<Layer>);

impl Layer {
    /// The options in the environment. An empty variable counts as unset.
    pub(super) fn of_environment(variable: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let set = |name: &str| variable(name).filter(|text| !text.is_empty());
        let is_inner = set(RUN_ID).is_some();
        let given = |row: &'static OptionRow| {
            let name = row.variable?;
            Some(RawValue { row, text: set(name)?, origin: Origin::Environment(name) })
        };
        let is_ours = |row: &&OptionRow| !(is_inner && OF_ONE_RUN.contains(row));
        Self(OPTIONS.into_iter().filter(is_ours).filter_map(given).collect())
    }

    pub fn add(&mut self, row: &'static OptionRow, text: OsString, origin: Origin) {
        self.0.push(RawValue { row, text, origin });
    }

    /// All values of `row` in this layer, in order.
    pub fn all(&self, row: &OptionRow) -> Vec<&RawValue> {
        self.0.iter().filter(|raw| raw.row.key == row.key).collect()
    }

    pub fn has(&self, row: &OptionRow) -> bool {
        !self.all(row).is_empty()
    }
}

impl Layers {
    /// The values of `rows` in the strongest layer that has any.
    pub(super) fn strongest(&self, rows: &[&OptionRow]) -> Vec<&RawValue> {
        let values = |layer| rows.iter().flat_map(|row| Layer::all(layer, row)).collect::<Vec<_>>();
        self.0.iter().map(values).find(|all| !all.is_empty()).unwrap_or_default()
    }

    /// The value of `row` in the strongest layer that has one.
    ///
    /// # Errors
    /// That layer has more than one.
    pub(super) fn value(&self, row: &OptionRow) -> Result<Option<&RawValue>, ConfigError> {
        match self.strongest(&[row])[..] {
            [_, second, ..] => Err(ConfigError::new(second.subject(), "it is given twice", "give it once")),
            [one] => Ok(Some(one)),
            [] => Ok(None),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Environment(name) => out.write_str(name),
            Self::File { path, key } => write!(out, "{key} in {}", path.display()),
            Self::Default => out.write_str("default"),
        }
    }
}

impl RawValue {
    /// Option, origin and value for a message, without a secret's value.
    pub(super) fn subject(&self) -> String {
        let show = self.row.kind != OptionKind::Secret;
        let text = shortened(&self.text);
        match &self.origin {
            Origin::Flag(flag) if show && self.row.kind != OptionKind::Switch => format!("{flag} {text}"),
            Origin::Environment(name) if show => format!("{name}={text}"),
            Origin::Flag(name) | Origin::Environment(name) => (*name).to_owned(),
            Origin::File { path, key } if show => format!("{key} = {text} in {}", path.display()),
            Origin::File { path, key } => format!("{key} in {}", path.display()),
            Origin::Default => format!("the default of {}", self.row.key),
        }
    }

    /// The typed value.
    pub(super) fn read<T>(&self, read: Reader<'_, T>) -> Result<T, ConfigError> {
        read(&self.text).map_err(|InvalidValue { cause, hint }| ConfigError::new(self.subject(), cause, hint))
    }
}

/// A value for a message: on one line, and not longer than a line.
fn shortened(text: &OsStr) -> String {
    const SHOWN_CHARACTERS_MAX: usize = 80;
    let text = text.to_string_lossy();
    let plain = |character: char| if character.is_control() { '\u{fffd}' } else { character };
    let mut shown: String = text.chars().take(SHOWN_CHARACTERS_MAX).map(plain).collect();
    if text.chars().count() > SHOWN_CHARACTERS_MAX {
        shown.push('…');
    }
    if shown.is_empty() { "\"\"".to_owned() } else { shown }
}
