//! The values of a record as a page shows them: status, times, durations, and one fact a line. Pure.

use serde_json::{Map, Value};

use super::frame::Frame;
use super::labels::Labels;
use super::time::{Moment, ago, span};
use crate::output;
use crate::record::{Reason, Status, number_of};
use crate::store::RecordView;
use crate::web::look::{encoded, value};

/// So many tags of a record are shown, each with so many characters. Its JSON has them all.
const TAGS_MAX: usize = 8;
const TAG_CHARACTERS_MAX: usize = 80;

/// The bytes of a value to filter by at most, as a query may have them.
const FILTER_BYTES_MAX: usize = 1000;

/// The characters of a name or a version at most.
const NAME_CHARACTERS_MAX: usize = 160;

/// A status as a word and a sign.
pub(super) struct Outcome {
    /// The class of the style sheet.
    pub(super) class: &'static str,
    pub(super) sign: &'static str,
    pub(super) word: String,
    pub(super) reason: Option<String>,
}

/// The time since the last sign of life of a run that goes on.
pub(super) struct LastSeen {
    pub(super) ago: String,
    /// Its lease has run out.
    pub(super) is_overdue: bool,
}

/// A labelled value.
#[derive(Default)]
pub(super) struct Fact {
    pub(super) label: String,
    pub(super) text: String,
    pub(super) moment: Option<Moment>,
    pub(super) href: Option<String>,
    pub(super) is_code: bool,
}

impl Fact {
    pub(super) fn text(label: &str, text: String) -> Self {
        Self { label: label.to_owned(), text, ..Self::default() }
    }

    pub(super) fn code(label: &str, text: String) -> Self {
        Self { is_code: true, ..Self::text(label, text) }
    }

    pub(super) fn moment(label: &str, moment: Moment) -> Self {
        Self { moment: Some(moment), ..Self::text(label, String::new()) }
    }

    pub(super) fn link(label: &str, text: String, href: String) -> Self {
        Self { href: Some(href), ..Self::text(label, text) }
    }
}

/// A value as text; null is an empty text.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// As [`shown`], a number with five significant digits.
pub(super) fn brief(value: &Value) -> String {
    match value {
        Value::Number(_) => {
            number_of(value).filter(|number| number.is_finite()).map_or_else(|| shown(value), output::number)
        }
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => shown(value),
    }
}

/// The text of a column; `None` if it is null or empty.
pub(super) fn text(record: &RecordView, key: &str) -> Option<String> {
    Some(shown(value(record, key))).filter(|text| !text.is_empty())
}

/// The name of the page of a record: its id, or its run's id if it has none.
pub(super) fn id(record: &RecordView) -> String {
    text(record, "id").or_else(|| text(record, "run_id")).unwrap_or_default()
}

/// A name or a version.
pub(super) fn name(record: &RecordView, key: &str) -> Option<String> {
    text(record, key).map(|text| cut(&text, NAME_CHARACTERS_MAX))
}

/// Name and version, or the number of the record.
pub(super) fn title(labels: &Labels, record: &RecordView) -> String {
    let called: Vec<String> = ["name", "version"].into_iter().filter_map(|key| name(record, key)).collect();
    if called.is_empty() { format!("{} {}", labels.record, id(record)) } else { called.join(" ") }
}

pub(super) fn page_of(frame: &Frame, id: &str) -> String {
    frame.link(&format!("/runs/{}", encoded(id)), "")
}

pub(super) fn outcome(labels: &Labels, record: &RecordView) -> Outcome {
    let word = text(record, "status");
    let (class, sign, label) = match word.as_deref().and_then(Status::parse) {
        Some(Status::Training) => ("training", "●", labels.training),
        Some(Status::Completed) => ("completed", "✓", labels.completed),
        Some(Status::Failed) => ("failed", "✕", labels.failed),
        None => ("unknown", "?", labels.unknown),
    };
    let is_known = class != "unknown";
    let word = if is_known { label.to_owned() } else { word.unwrap_or_else(|| label.to_owned()) };
    Outcome { class, sign, word, reason: reason(labels, record) }
}

/// With the exit code or the signal. A success needs no word.
fn reason(labels: &Labels, record: &RecordView) -> Option<String> {
    let word = text(record, "reason")?;
    let with = |label: &str, key: &str| match text(record, key) {
        Some(value) => format!("{label} {value}"),
        None => label.to_owned(),
    };
    Some(match Reason::parse(&word) {
        Some(Reason::Success) => return None,
        Some(Reason::Exit) => with(labels.exit, "exit_code"),
        Some(Reason::Signal) => with(labels.by_signal, "signal"),
        Some(Reason::Cancelled) => labels.cancelled.to_owned(),
        Some(Reason::Oom) => labels.oom.to_owned(),
        Some(Reason::Timeout) => labels.timeout.to_owned(),
        Some(Reason::Spawn) => labels.spawn.to_owned(),
        Some(Reason::SupervisorKilled) => labels.supervisor_killed.to_owned(),
        Some(Reason::SupervisorError) => labels.supervisor_error.to_owned(),
        Some(Reason::Lost) => labels.lost.to_owned(),
        Some(Reason::Stuck) => labels.stuck_record.to_owned(),
        Some(Reason::Manual) => labels.manual.to_owned(),
        None => word,
    })
}

pub(super) fn moment(frame: &Frame, record: &RecordView, key: &str) -> Option<Moment> {
    text(record, key).map(|text| Moment::of(frame.labels(), &text, frame.now))
}

/// The duration, and whether it is the time elapsed of a run that goes on.
pub(super) fn duration(labels: &Labels, record: &RecordView, parts: usize) -> Option<(String, bool)> {
    let of = |key: &str| match value(record, key).as_u64() {
        Some(seconds) => Some(span(labels, seconds, parts)),
        None => text(record, key),
    };
    let known = of("train_duration").map(|text| (text, false));
    known.or_else(|| of("elapsed_seconds").map(|text| (text, true)))
}

pub(super) fn last_seen(labels: &Labels, record: &RecordView) -> Option<LastSeen> {
    let seconds = value(record, "last_seen_seconds_ago").as_f64()?.max(0.0);
    let lease = value(record, "lease_seconds").as_f64();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; saturates")]
    let whole = seconds as u64;
    Some(LastSeen { ago: ago(labels, whole), is_overdue: lease.is_some_and(|lease| seconds > lease) })
}

/// A tag as text, and the address of the runs that have it.
pub(super) fn tags(frame: &Frame, record: &RecordView) -> Vec<Fact> {
    let tags = value(record, "tags").as_object().into_iter().flatten();
    let fact = |(key, value): (&String, &Value)| {
        let text = if value.is_null() || value == "" { key.clone() } else { format!("{key}={}", shown(value)) };
        Fact { text: cut(&text, TAG_CHARACTERS_MAX), ..runs_with(frame, "", "tag", text) }
    };
    tags.take(TAGS_MAX).map(fact).collect()
}

/// A value, and the address of the runs that have it. An address has no room for a long one.
pub(super) fn runs_with(frame: &Frame, label: &str, key: &str, text: String) -> Fact {
    if text.len() > FILTER_BYTES_MAX {
        return Fact::text(label, text);
    }
    let href = frame.link("/", &format!("{key}={}", encoded(&text)));
    Fact::link(label, text, href)
}

/// The values of nested objects, their names joined by `/`.
pub(super) fn flat<'a>(prefix: &str, object: &'a Map<String, Value>) -> Vec<(String, &'a Value)> {
    let mut all = Vec::new();
    for (key, value) in object {
        match value.as_object().filter(|nested| !nested.is_empty()) {
            Some(nested) => all.extend(flat(&format!("{prefix}{key}/"), nested)),
            None => all.push((format!("{prefix}{key}"), value)),
        }
    }
    all
}

/// A command as a person types it.
pub(super) fn shell_words(words: &[Value]) -> String {
    words.iter().map(|word| output::shell_word(&shown(word))).collect::<Vec<_>>().join(" ")
}

/// The beginning of a text.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
