//! The layers of raw values, each value with its origin. Must not interpret a value: `values` does.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::error::ConfigError;
use super::options::{OPTIONS, OptionKind, OptionRow};

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
    pub text: OsString,
    pub origin: Origin,
}

/// All values of one layer, by the key of their row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layer(BTreeMap<&'static str, Vec<RawValue>>);

/// The layers in which a user can give a value, in order of precedence.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    pub flags: Layer,
    pub environment: Layer,
    pub file: Layer,
}

impl Layer {
    /// The options in the environment. An empty variable counts as unset.
    #[must_use]
    pub fn of_environment(variable: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let mut layer = Self::default();
        for row in OPTIONS {
            let Some(name) = row.variable else { continue };
            if let Some(text) = variable(name).filter(|text| !text.is_empty()) {
                layer.add(row, text, Origin::Environment(name));
            }
        }
        layer
    }

    pub fn add(&mut self, row: &OptionRow, text: OsString, origin: Origin) {
        self.0.entry(row.key).or_default().push(RawValue { text, origin });
    }

    /// All values of `row` in this layer, in order.
    #[must_use]
    pub fn all(&self, row: &OptionRow) -> &[RawValue] {
        self.0.get(row.key).map_or(&[], Vec::as_slice)
    }

    #[must_use]
    pub fn has(&self, row: &OptionRow) -> bool {
        !self.all(row).is_empty()
    }
}

impl Layers {
    #[must_use]
    pub const fn strongest_first(&self) -> [&Layer; 3] {
        [&self.flags, &self.environment, &self.file]
    }

    /// The value of `row` in the strongest layer that has one.
    ///
    /// # Errors
    /// That layer has more than one.
    pub fn value(&self, row: &OptionRow) -> Result<Option<&RawValue>, ConfigError> {
        let given = self.strongest_first().into_iter().map(|layer| layer.all(row)).find(|all| !all.is_empty());
        match given {
            None | Some([]) => Ok(None),
            Some([one]) => Ok(Some(one)),
            Some([_, second, ..]) => Err(second.refused(row, "it is given twice", "give it once")),
        }
    }
}

impl RawValue {
    /// Option, origin and value for a message, without a secret's value.
    #[must_use]
    pub fn subject(&self, row: &OptionRow) -> String {
        let show = row.kind != OptionKind::Secret;
        let text = shortened(&self.text);
        match &self.origin {
            Origin::Flag(flag) if show && row.kind != OptionKind::Switch => format!("{flag} {text}"),
            Origin::Flag(flag) => (*flag).to_owned(),
            Origin::Environment(name) if show => format!("{name}={text}"),
            Origin::Environment(name) => (*name).to_owned(),
            Origin::File { path, key } if show => format!("{key} = {text} in {}", path.display()),
            Origin::File { path, key } => format!("{key} in {}", path.display()),
            Origin::Default => format!("the default of {}", row.key),
        }
    }

    /// The error about this value.
    #[must_use]
    pub fn refused(&self, row: &OptionRow, cause: impl Into<String>, hint: impl Into<String>) -> ConfigError {
        ConfigError::new(self.subject(row), cause, hint)
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
