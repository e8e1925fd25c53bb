//! The values of libpq's parameters, the precedence of their sources, and the format of one source, `pg_service.conf`: named
//! sets of parameters. Pure.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use serde::de::value::Error as ValueError;
use serde::de::{DeserializeOwned, IntoDeserializer};

use super::env::Env;
use super::error::{InvalidValue, refuse};
use super::{defaults, keywords};

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
        let variable = self.0.get(keyword).and_then(|(_, variable)| *variable);
        let subject = variable.map_or_else(|| format!("its {keyword}"), |variable| format!("the value of {variable}"));
        InvalidValue::new(format!("{subject} {cause}"), hint)
    }
}

/// The parameters of `service` in the first service file that defines it.
pub(super) fn of_service(service: &str, env: &Env<'_>) -> Result<Parameters, InvalidValue> {
    let files = defaults::service_files(env);
    for file in &files {
        let content = match (env.read)(file) {
            Ok(content) => content,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
            Err(error) => {
                return refuse(format!("cannot read {}: {error}", file.display()), "make the service file readable");
            }
        };
        let in_file = |error| InvalidValue { cause: format!("{}: {error}", file.display()), ..error };
        if let Some(parameters) = section(&content, service).map_err(in_file)? {
            return Ok(parameters);
        }
    }
    let searched: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let hint = format!("define [{service}] in one of {}", searched.join(" and "));
    refuse(format!("there is no service \"{service}\""), hint)
}

/// The parameters of the first section `service`; `None` if there is none. The first value of a parameter counts.
fn section(content: &str, service: &str) -> Result<Option<Parameters>, InvalidValue> {
    let lines = content.lines().map(str::trim).enumerate().map(|(index, line)| (index + 1, line));
    let mut lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    if !lines.any(|(_, line)| line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) == Some(service)) {
        return Ok(None);
    }
    let mut parameters = Parameters::default();
    for (number, line) in lines.take_while(|(_, line)| !line.starts_with('[')) {
        let Some((name, value)) = line.split_once('=') else {
            return refuse(format!("line {number} has no ="), format!("correct line {number}: name=value"));
        };
        if name == "service" {
            return refuse(format!("line {number} names another service"), "leave this line out: services do not nest");
        }
        if let Some(keyword) = keywords::find(name, number, false)?.filter(|keyword| parameters.get(keyword).is_none())
        {
            parameters.set(keyword, value.to_owned());
        }
    }
    Ok(Some(parameters))
}
