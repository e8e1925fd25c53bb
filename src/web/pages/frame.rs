//! What all pages share: the language, the clock, the address, its links, and the notice of a database that is away. Pure.

use chrono::{DateTime, Utc};

use super::drawing::View;
use super::labels::{Labels, Language, filled};
use super::time::Moment;
use crate::web::look::{Away, Looked, Query};

/// The circumstances of one answer.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) language: Language,
    /// Whether the address names the language: links then keep it.
    has_language: bool,
    pub(crate) now: DateTime<Utc>,
    /// As the browser sent it, without the query.
    pub(crate) path: String,
    /// The query without the language, still encoded.
    query: String,
    pub(super) view: View,
}

/// A notice about a database that does not answer.
pub(super) struct Notice {
    pub(super) since: String,
    pub(super) shown: String,
    /// How long ago it began: apart, since it changes while the text does not.
    pub(super) age: String,
    pub(super) error: String,
    pub(super) hint: Option<String>,
}

impl Frame {
    /// `query` is the text behind the `?` of the address, `accepted` the header `Accept-Language`. A `lang`, `axis` or `scale`
    /// that no page has is ignored.
    pub(crate) fn new(path: &str, query: &str, accepted: &str, now: DateTime<Utc>) -> Self {
        let parsed = Query::parse(query).unwrap_or_default();
        let chosen = parsed.get("lang").and_then(Language::parse);
        let others: Vec<&str> =
            query.split('&').filter(|part| !part.is_empty() && !part.starts_with("lang=")).collect();
        Self {
            language: chosen.unwrap_or_else(|| Language::accepted(accepted)),
            has_language: chosen.is_some(),
            now,
            path: path.to_owned(),
            query: others.join("&"),
            view: View { by_time: parsed.get("axis") == Some("time"), logarithmic: parsed.get("scale") == Some("log") },
        }
    }

    pub(super) fn labels(&self) -> &'static Labels {
        self.language.labels()
    }

    /// The address of a page in the language of this one. `query` is encoded.
    pub(super) fn link(&self, path: &str, query: &str) -> String {
        let language = if self.has_language { format!("lang={}", self.language.code()) } else { String::new() };
        address(path, &[query, &language])
    }

    /// This page.
    pub(super) fn here(&self) -> String {
        self.link(&self.path, &self.query)
    }

    pub(super) fn other_language(&self) -> String {
        address(&self.path, &[&self.query, &format!("lang={}", self.language.other().code())])
    }

    /// This page with a parameter set, or without it. `value` is encoded.
    pub(super) fn with(&self, key: &str, value: Option<&str>) -> String {
        let prefix = format!("{key}=");
        let mut parts: Vec<&str> =
            self.query.split('&').filter(|part| !part.is_empty() && !part.starts_with(&prefix)).collect();
        let part = value.map(|value| format!("{prefix}{value}"));
        parts.extend(part.as_deref());
        self.link(&self.path, &parts.join("&"))
    }

    /// The hidden field of a form that keeps the language.
    pub(super) fn language_field(&self) -> Option<&'static str> {
        self.has_language.then(|| self.language.code())
    }

    pub(super) fn moment(&self, instant: DateTime<Utc>) -> Moment {
        Moment::at(self.labels(), instant, self.now)
    }

    /// The value to show, and the notice if the database is away.
    pub(super) fn seen<'a, T>(&self, looked: &'a Looked<T>) -> (Option<&'a T>, Option<Notice>) {
        let labels = self.labels();
        match looked {
            Ok(seen) => {
                let shown = filled(labels.away_old, &[&self.in_words(seen.at)]);
                (Some(&seen.value), seen.away.as_ref().map(|away| self.notice(away, shown)))
            }
            Err(away) => (None, Some(self.notice(away, labels.away_empty.to_owned()))),
        }
    }

    fn notice(&self, away: &Away, shown: String) -> Notice {
        let since = filled(self.labels().away, &[&self.in_words(away.since)]);
        let age = self.moment(away.since).relative.unwrap_or_default();
        Notice { since, shown, age, error: away.error.clone(), hint: away.hint.clone() }
    }

    fn in_words(&self, instant: DateTime<Utc>) -> String {
        format!("{} UTC", self.moment(instant).absolute)
    }
}

fn address(path: &str, queries: &[&str]) -> String {
    let query = queries.iter().filter(|query| !query.is_empty()).copied().collect::<Vec<_>>().join("&");
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_keep_a_chosen_language_and_the_state() {
        let frame = |query: &str, accepted: &str| Frame::new("/runs/1", query, accepted, DateTime::UNIX_EPOCH);
        let chosen = frame("axis=time&lang=zh&curve=a%26b", "en");
        assert_eq!((chosen.language, chosen.view.by_time, chosen.view.logarithmic), (Language::Chinese, true, false));
        assert_eq!(chosen.link("/", ""), "/?lang=zh");
        assert_eq!(chosen.here(), "/runs/1?axis=time&curve=a%26b&lang=zh");
        assert_eq!(chosen.with("axis", None), "/runs/1?curve=a%26b&lang=zh");
        assert_eq!(chosen.with("scale", Some("log")), "/runs/1?axis=time&curve=a%26b&scale=log&lang=zh");
        assert_eq!(chosen.other_language(), "/runs/1?axis=time&curve=a%26b&lang=en");
        let accepted = frame("scale=log", "zh-CN,en;q=0.5");
        assert_eq!((accepted.language, accepted.view.logarithmic), (Language::Chinese, true));
        assert_eq!(accepted.link("/health", ""), "/health");
        assert_eq!(frame("lang=fr&%zz", "de").language, Language::English);
    }
}
