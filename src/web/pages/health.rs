//! The page about the state of the service and of its database.

use askama::Template;

use super::fields::Fact;
use super::frame::{Frame, Notice};
use super::labels::{Labels, filled};
use super::message::rendered;
use super::time::{Moment, ago, span};
use crate::web::look::{Check, Health, Recovery, WaitingJournal};

#[derive(Template)]
#[template(path = "health.html", config = "src/web/pages/askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    l: &'static Labels,
    title: &'static str,
    away: Option<Notice>,
    figures: Vec<Figure>,
    facts: Vec<Fact>,
    journals: &'a [WaitingJournal],
    journals_unread: Option<&'a str>,
    recovery: Vec<Fact>,
    errors: Vec<Failure<'a>>,
    checks: Vec<Judged<'a>>,
}

/// A number that a person looks at first.
struct Figure {
    label: &'static str,
    /// A dash if it is unknown.
    number: String,
    note: String,
    is_bad: bool,
}

struct Failure<'a> {
    at: Moment,
    class: &'static str,
    message: &'a str,
    count: u64,
}

struct Judged<'a> {
    class: &'static str,
    sign: &'static str,
    word: &'a str,
    check: &'a Check,
}

/// The page of `health`.
pub(crate) fn health(frame: &Frame, health: &Health) -> String {
    let labels = frame.labels();
    let (_, away) = frame.seen(&health.pulse);
    let journals = health.journals.as_ref();
    let errors = health.errors.iter().map(|error| Failure {
        at: frame.moment(error.at),
        class: error.class.as_str(),
        message: &error.message,
        count: error.count,
    });
    let checks = health.checks.iter().flat_map(|seen| seen.value.iter());
    rendered(&Page {
        frame,
        l: labels,
        title: labels.health,
        away,
        figures: figures(frame, health),
        facts: vec![
            Fact::code(labels.database, health.database.clone()),
            Fact::code(labels.table, health.table.clone()),
            Fact::moment(labels.service_since, frame.moment(health.started_at)),
        ],
        journals: journals.map(Vec::as_slice).unwrap_or_default(),
        journals_unread: journals.err().map(String::as_str),
        recovery: recovery(frame, health.recovery.as_ref()),
        errors: errors.collect(),
        checks: checks.map(|check| judged(labels, check)).collect(),
    })
}

fn figures(frame: &Frame, health: &Health) -> Vec<Figure> {
    let labels = frame.labels();
    let pulse = health.pulse.as_ref().ok().map(|seen| &seen.value);
    let stuck = health.stuck.as_ref().ok().map(|seen| *seen.value);
    let journals = health.journals.as_ref().ok().map(|journals| journals.len() as u64);
    let figure = |label, number: Option<u64>, note: String, is_expected: bool| Figure {
        label,
        number: number.map_or_else(|| "–".to_owned(), |number| number.to_string()),
        note,
        is_bad: !is_expected && number.is_some_and(|number| number > 0),
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; saturates")]
    let whole = |seconds: f64| seconds.max(0.0) as u64;
    let oldest = pulse.and_then(|pulse| pulse.oldest_heartbeat_seconds);
    let oldest = oldest.map(|seconds| filled(labels.oldest_heartbeat, &[&ago(labels, whole(seconds))]));
    let waited = span(labels, health.stuck_after_seconds, 2);
    vec![
        figure(labels.living, pulse.map(|pulse| pulse.live), oldest.unwrap_or_default(), true),
        figure(labels.overdue, pulse.map(|pulse| pulse.overdue), labels.overdue_run.to_owned(), false),
        figure(labels.stuck, stuck, filled(labels.stuck_after, &[&waited]), false),
        figure(labels.undelivered, journals, labels.on_this_host.to_owned(), false),
    ]
}

fn recovery(frame: &Frame, recovery: Option<&Recovery>) -> Vec<Fact> {
    let labels = frame.labels();
    let Some(recovery) = recovery else {
        return vec![Fact::text(labels.recovery, labels.recovery_off.to_owned())];
    };
    let every = filled(labels.every, &[&span(labels, recovery.every_seconds, 2)]);
    let last = recovery.last_round.map(|at| Fact::moment(labels.last_recovery, frame.moment(at)));
    let ended: Vec<String> = recovery.ended.iter().map(|(reason, count)| format!("{reason}: {count}")).collect();
    let ended = if ended.is_empty() { labels.none.to_owned() } else { ended.join(", ") };
    let error = recovery.error.as_ref().map(|error| Fact::text(labels.recovery_error, error.clone()));
    let facts = [Some(Fact::text(labels.recovery, every)), last, Some(Fact::text(labels.recovered, ended)), error];
    facts.into_iter().flatten().collect()
}

fn judged<'a>(labels: &Labels, check: &'a Check) -> Judged<'a> {
    let (class, sign, word) = match check.state.as_str() {
        "ok" => ("completed", "✓", labels.ok),
        "warning" => ("overdue", "!", labels.warning),
        "failure" => ("failed", "✕", labels.fault),
        other => ("unknown", "?", other),
    };
    Judged { class, sign, word, check }
}
