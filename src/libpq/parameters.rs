//! The values of libpq's parameters, and the precedence of their sources. Pure.

use std::collections::BTreeMap;

use serde::de::value::Error as ValueError;
use serde::de::{DeserializeOwned, IntoDeserializer};

use super::env::ClientEnv;
use super::error::ConninfoError;
use super::keywords;

/// Values by keyword. An empty value counts as unset, as in libpq's URLs and environment.
#[derive(Debug, Default)]
pub(super) struct Parameters(BTreeMap<&'static str, Parameter>);

#[derive(Debug)]
struct Parameter {
    text: String,
    /// The environment variable that set it, if one did.
    variable: Option<&'static str>,
}

impl Parameters {
    /// The values of the `PG*` variables.
    pub(super) fn from_environment(env: &ClientEnv<'_>) -> Result<Self, ConninfoError> {
        if let Some(variable) = keywords::unsupported_variables().find(|variable| env.text(variable).is_some()) {
            let hint = format!("unset {variable} for runwrap");
            return Err(ConninfoError::new(format!("runwrap cannot honour {variable}, which is set"), hint));
        }
        let values = keywords::SUPPORTED.iter().filter_map(|(keyword, variable)| {
            env.text(variable).map(|text| (*keyword, Parameter { text, variable: Some(variable) }))
        });
        Ok(Self(values.collect()))
    }

    /// A later value replaces an earlier one.
    pub(super) fn set(&mut self, keyword: &'static str, text: String) {
        if !text.is_empty() {
            self.0.insert(keyword, Parameter { text, variable: None });
        }
    }

    /// Adds the values of `weaker` for the keywords that are unset here.
    pub(super) fn complete(&mut self, weaker: Self) {
        for (keyword, value) in weaker.0 {
            self.0.entry(keyword).or_insert(value);
        }
    }

    pub(super) fn get(&self, keyword: &str) -> Option<&str> {
        self.0.get(keyword).map(|parameter| parameter.text.as_str())
    }

    pub(super) fn text(&self, keyword: &str) -> Option<String> {
        self.get(keyword).map(str::to_owned)
    }

    /// The comma-separated values of `keyword`.
    pub(super) fn list(&self, keyword: &str) -> Vec<&str> {
        self.get(keyword).map_or_else(Vec::new, |text| text.split(',').map(str::trim).collect())
    }

    /// The value of `keyword`, one of `words`: the serde names of `T`.
    pub(super) fn choice<T: DeserializeOwned>(&self, keyword: &str, words: &str) -> Result<Option<T>, ConninfoError> {
        let Some(text) = self.get(keyword) else { return Ok(None) };
        let value = T::deserialize(IntoDeserializer::<ValueError>::into_deserializer(text));
        value.map(Some).map_err(|_| self.refused(keyword, "is unknown", format!("write one of {words}")))
    }

    /// The error for the value of `keyword`. Names the variable if the value comes from the environment.
    pub(super) fn refused(&self, keyword: &str, cause: &str, hint: impl Into<String>) -> ConninfoError {
        let subject = match self.0.get(keyword).and_then(|parameter| parameter.variable) {
            Some(variable) => format!("the value of {variable}"),
            None => format!("its {keyword}"),
        };
        ConninfoError::new(format!("{subject} {cause}"), hint)
    }
}
