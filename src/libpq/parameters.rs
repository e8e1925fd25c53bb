//! The values of libpq's parameters, and the precedence of their sources. Pure.

use std::collections::BTreeMap;

use serde::de::value::Error as ValueError;
use serde::de::{DeserializeOwned, IntoDeserializer};

use super::env::Env;
use super::error::{InvalidValue, refuse};
use super::keywords;

/// By keyword each value, and the environment variable that set it, if one did. An empty value counts as unset, as in
/// libpq's URLs and environment.
#[derive(Debug, Default)]
pub(super) struct Parameters(BTreeMap<&'static str, (String, Option<&'static str>)>);

impl Parameters {
    /// The values of the `PG*` variables.
    pub(super) fn from_environment(env: &Env<'_>) -> Result<Self, InvalidValue> {
        if let Some(variable) = keywords::unsupported_variables().find(|variable| env.text(variable).is_some()) {
            let hint = format!("unset {variable} for runwrap");
            return refuse(format!("runwrap cannot honour {variable}, which is set"), hint);
        }
        let value = |(keyword, variable)| Some((keyword, (env.text(variable)?, Some(variable))));
        Ok(Self(keywords::SUPPORTED.into_iter().filter_map(value).collect()))
    }

    /// A later value replaces an earlier one.
    pub(super) fn set(&mut self, keyword: &'static str, text: String) {
        if !text.is_empty() {
            self.0.insert(keyword, (text, None));
        }
    }

    /// Adds the values of `weaker` for the keywords that are unset here.
    pub(super) fn complete(&mut self, weaker: Self) {
        for (keyword, value) in weaker.0 {
            self.0.entry(keyword).or_insert(value);
        }
    }

    pub(super) fn get(&self, keyword: &str) -> Option<&str> {
        self.0.get(keyword).map(|(text, _)| text.as_str())
    }

    pub(super) fn text(&self, keyword: &str) -> Option<String> {
        self.get(keyword).map(str::to_owned)
    }

    /// The comma-separated values of `keyword`; one empty value if it is unset.
    pub(super) fn list(&self, keyword: &str) -> Vec<&str> {
        self.get(keyword).unwrap_or("").split(',').map(str::trim).collect()
    }

    /// The value of `keyword`, one of `words`: the serde names of `T`.
    pub(super) fn choice<T: DeserializeOwned>(&self, keyword: &str, words: &str) -> Result<Option<T>, InvalidValue> {
        let Some(text) = self.get(keyword) else { return Ok(None) };
        let value = T::deserialize(IntoDeserializer::<ValueError>::into_deserializer(text));
        value.map(Some).map_err(|_| self.refused(keyword, "is unknown", format!("write one of {words}")))
    }

    /// The error for the value of `keyword`. Names the variable if the value comes from the environment.
    pub(super) fn refused(&self, keyword: &str, cause: &str, hint: impl Into<String>) -> InvalidValue {
        let subject = match self.0.get(keyword).and_then(|(_, variable)| *variable) {
            Some(variable) => format!("the value of {variable}"),
            None => format!("its {keyword}"),
        };
        InvalidValue::new(format!("{subject} {cause}"), hint)
    }
}
