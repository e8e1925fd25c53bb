//! The query string of a request: strict decoding, and the filter of a list. Every error is a sentence for the person who typed
//! the address. Pure.

use std::fmt::Write;

use thiserror::Error;

use crate::record::Status;
use crate::store::Filter;

/// The parameters that only pages read: language, axis and scale of the curves. The list, the comparison and a run take them.
const OF_PAGES: [&str; 3] = ["lang", "axis", "scale"];

/// A list has so many rows, unless the query asks for fewer or more.
const LIMIT: u32 = 50;
const LIMIT_MAX: u32 = 200;

/// So many records are compared.
const COMPARED_MAX: usize = 8;

/// No parameter is longer, in bytes after decoding.
const VALUE_BYTES_MAX: usize = 1000;

/// The fault of a query string, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct BadQuery(pub String);

/// The parameters of a query string, decoded, in their order. Those without a value, as a form sends its empty fields, are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes the text behind the `?`.
    ///
    /// # Errors
    /// An escape is not `%` and two digits, or a value is no UTF-8, has control characters or is too long.
    pub fn parse(text: &str) -> Result<Self, BadQuery> {
        let pairs = text.split('&').filter(|part| !part.is_empty());
        let pairs = pairs.map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let decoded = |text: &str| decoded(&text.replace('+', " "));
            Ok((decoded(key)?, decoded(value)?))
        });
        let mut pairs = pairs.collect::<Result<Vec<_>, _>>()?;
        pairs.retain(|(_, value)| !value.is_empty());
        Ok(Self(pairs))
    }

    /// The first value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.all(key).next()
    }

    /// Every value of `key`.
    pub fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// Refuses parameters that are neither `single` nor `repeated` nor a page's, and single ones that occur twice.
    ///
    /// # Errors
    /// The first such parameter.
    pub fn check(&self, single: &[&str], repeated: &[&str]) -> Result<(), BadQuery> {
        let is_single = |key: &&str| single.contains(key) || OF_PAGES.contains(key);
        for (key, _) in &self.0 {
            if !is_single(&key.as_str()) && !repeated.contains(&key.as_str()) {
                let known = single.iter().chain(repeated).copied().collect::<Vec<_>>().join(", ");
                let known = if known.is_empty() { "none".to_owned() } else { known };
                return Err(BadQuery(format!("There is no parameter {key:?} here; there is {known}.")));
            }
            if is_single(&key.as_str()) && self.all(key).count() > 1 {
                return Err(BadQuery(format!("The parameter {key:?} occurs twice.")));
            }
        }
        Ok(())
    }

    fn text(&self, key: &str) -> Option<String> {
        self.get(key).map(str::to_owned)
    }
}

/// The filter of a list of runs, from its address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RunsQuery {
    /// Any of these; all if there is none. `?status=failed&status=completed`
    pub statuses: Vec<String>,
    /// With `*` for any text.
    pub name: Option<String>,
    /// Each with its value, or with any: `?tag=team=vision&tag=nightly`
    pub tags: Vec<(String, Option<String>)>,
    pub host: Option<String>,
    pub job: Option<String>,
    /// Only the records behind this key: [`super::RunsPage::next`] of the page before. It fits the same filter alone.
    pub before: Option<String>,
    /// So many rows, if the query has a number.
    pub limit: Option<u32>,
}

impl RunsQuery {
    /// # Errors
    /// A parameter is unknown or wrong.
    pub fn parse(query: &Query) -> Result<Self, BadQuery> {
        query.check(&["name", "host", "job", "before", "limit"], &["status", "tag"])?;
        let status = |word: &str| {
            let unknown =
                || BadQuery(format!("There is no status {word:?}; there are training, completed and failed."));
            Status::parse(word).map(|status| status.as_str().to_owned()).ok_or_else(unknown)
        };
        let limit = |text: &str| {
            let number = text.parse().ok().filter(|number| (1..=LIMIT_MAX).contains(number));
            number.ok_or_else(|| BadQuery(format!("The limit {text:?} is no number from 1 to {LIMIT_MAX}.")))
        };
        Ok(Self {
            statuses: query.all("status").map(status).collect::<Result<_, _>>()?,
            name: query.text("name"),
            tags: query.all("tag").map(tag).collect::<Result<_, _>>()?,
            host: query.text("host"),
            job: query.text("job"),
            before: query.text("before"),
            limit: query.get("limit").map(limit).transpose()?,
        })
    }

    /// The same filter as a query string, without a `?`; empty if nothing is filtered. For links: set [`Self::before`] first.
    pub fn to_query(&self) -> String {
        let mut text = String::new();
        let mut add = |key: &str, value: &str| {
            let separator = if text.is_empty() { "" } else { "&" };
            text = format!("{text}{separator}{key}={}", encoded(value));
        };
        for status in &self.statuses {
            add("status", status);
        }
        for (key, value) in &self.tags {
            add("tag", &value.as_ref().map_or_else(|| key.clone(), |value| format!("{key}={value}")));
        }
        let limit = self.limit.map(|limit| limit.to_string());
        let texts = [
            ("name", &self.name),
            ("host", &self.host),
            ("job", &self.job),
            ("before", &self.before),
            ("limit", &limit),
        ];
        for (key, value) in texts {
            if let Some(value) = value {
                add(key, value);
            }
        }
        text
    }

    /// Whether it filters by values that only runs have.
    pub fn is_by_runs(&self) -> bool {
        let Self { statuses: _, name, tags, host, job, before: _, limit: _ } = self;
        !tags.is_empty() || [name, host, job].iter().any(|text| text.is_some())
    }

    /// For the store. `summary`: only the columns that a list shows.
    pub fn filter(&self, summary: bool) -> Filter {
        Filter {
            statuses: self.statuses.iter().filter_map(|word| Status::parse(word)).collect(),
            name: self.name.clone(),
            job: self.job.clone(),
            host: self.host.clone(),
            tags: self.tags.clone(),
            before: self.before.clone(),
            limit: self.limit.unwrap_or(LIMIT),
            summary,
            ..Filter::default()
        }
    }
}

/// The records to compare: `?ids=1,2,3`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CompareQuery {
    /// Each a record's id or a run's, none twice; at least one.
    pub ids: Vec<String>,
}

impl CompareQuery {
    /// # Errors
    /// There is no id, there are too many, or a parameter is unknown. The parameter may be repeated, as a form does.
    pub fn parse(query: &Query) -> Result<Self, BadQuery> {
        query.check(&[], &["ids"])?;
        let mut ids: Vec<String> = Vec::new();
        for id in query.all("ids").flat_map(|ids| ids.split(',')).map(str::trim).filter(|id| !id.is_empty()) {
            if ids.iter().all(|known| known != id) {
                ids.push(id.to_owned());
            }
        }
        match ids.len() {
            0 => Err(BadQuery("Name the records to compare: ?ids=1,2".to_owned())),
            count if count > COMPARED_MAX => {
                Err(BadQuery(format!("{count} records are too many to compare; the limit is {COMPARED_MAX}.")))
            }
            _ => Ok(Self { ids }),
        }
    }
}

fn tag(text: &str) -> Result<(String, Option<String>), BadQuery> {
    match text.split_once('=') {
        Some(("", _)) => Err(BadQuery(format!("The tag {text:?} has no key; write KEY or KEY=VALUE."))),
        Some((key, value)) => Ok((key.to_owned(), Some(value.to_owned()))),
        None => Ok((text.to_owned(), None)),
    }
}

/// A part of an address, decoded: a segment of a path or a part of a query.
///
/// # Errors
/// An escape is wrong, or the text is no UTF-8, has control characters or is too long.
pub(crate) fn decoded(text: &str) -> Result<String, BadQuery> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next(), rest.next()].map(|digit| char::from(digit.unwrap_or(b'?')).to_digit(16));
                let [Some(high), Some(low)] = digits else {
                    return Err(BadQuery("A % in the address is not followed by two hexadecimal digits.".to_owned()));
                };
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
            }
            _ => bytes.push(byte),
        }
    }
    let text = String::from_utf8(bytes).map_err(|_| BadQuery("The address is no valid UTF-8.".to_owned()))?;
    if text.chars().any(char::is_control) {
        return Err(BadQuery("The address has a control character.".to_owned()));
    }
    if text.len() > VALUE_BYTES_MAX {
        return Err(BadQuery(format!("A part of the address is longer than {VALUE_BYTES_MAX} bytes.")));
    }
    Ok(text)
}

/// A text as a part of an address: letters, digits and `-._~` stay.
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            write!(encoded, "%{byte:02X}").ok();
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(text: &str) -> Result<RunsQuery, BadQuery> {
        RunsQuery::parse(&Query::parse(text)?)
    }

    #[test]
    fn filter_is_read_and_written_again() {
        let text = "status=failed&status=training&tag=a%3Db%26c&tag=nightly&name=r%20%2A&host=%E4%B8%80&job=j&before=9";
        let query = runs(text).unwrap();
        assert_eq!(query.statuses, ["failed", "training"]);
        assert_eq!(query.tags, [("a".to_owned(), Some("b&c".to_owned())), ("nightly".to_owned(), None)]);
        assert_eq!((query.name.as_deref(), query.host.as_deref()), (Some("r *"), Some("一")));
        assert_eq!(query.to_query(), text);
        assert_eq!(runs(&query.to_query()).unwrap(), query);
        // A form sends its empty fields.
        assert_eq!(runs("name=&host=&status=&lang=zh"), Ok(RunsQuery::default()));
        assert_eq!(RunsQuery::default().to_query(), "");
        assert_eq!(runs("limit=200").unwrap().limit, Some(200));
    }

    #[test]
    fn every_mistake_is_a_sentence() {
        for (text, part) in [
            ("status=running", "no status \"running\""),
            ("colour=red", "no parameter \"colour\""),
            ("name=a&name=b", "occurs twice"),
            ("tag==x", "has no key"),
            ("limit=0", "from 1 to 200"),
            ("limit=201", "from 1 to 200"),
            ("name=%", "two hexadecimal digits"),
            ("name=%4", "two hexadecimal digits"),
            ("name=%zz", "two hexadecimal digits"),
            ("name=%C3", "no valid UTF-8"),
            ("name=%00", "control character"),
            ("name=a%0ab", "control character"),
            ("%1b=1", "control character"),
        ] {
            let error = runs(text).unwrap_err().0;
            assert!(error.contains(part) && error.ends_with('.'), "{text}: {error}");
        }
        assert!(runs(&format!("name={}", "x".repeat(1001))).is_err());
    }

    #[test]
    fn compared_ids_may_be_listed_or_repeated() {
        let ids = |text: &str| CompareQuery::parse(&Query::parse(text).unwrap()).map(|query| query.ids);
        assert_eq!(ids("ids=1,2&ids=3&ids=2").unwrap(), ["1", "2", "3"]);
        assert!(ids("").is_err() && ids("ids=,").is_err());
        assert!(ids("ids=1,2,3,4,5,6,7,8").is_ok() && ids("ids=1,2,3,4,5,6,7,8,9").is_err());
    }
}
