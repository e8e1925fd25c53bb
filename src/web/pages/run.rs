//! The page of one record.

use askama::Template;
use serde_json::{Map, Value};

use super::chart::Chart;
use super::fields::{
    Fact, Outcome, brief, duration, flat, id, last_seen, moment, outcome, page_of, shown, tags, text, title,
};
use super::frame::{Frame, Notice, encoded};
use super::labels::{Labels, filled};
use super::message::rendered;
use super::time::{Moment, span};
use crate::output;
use crate::record::{Series, number_of};
use crate::store::RecordView;
use crate::web::look::{Looked, RunPage, value};

/// So many curves are drawn, unless one is chosen.
const CURVES_MAX: usize = 6;

#[derive(Template)]
#[template(path = "run.html", config = "src/web/pages/askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    l: &'static Labels,
    title: String,
    away: Option<Notice>,
    was_read: bool,
    shown: Option<Shown>,
}

/// A record, or `None` of it: the database was never read.
struct Shown {
    outcome: Outcome,
    headline: Vec<Fact>,
    overdue: Option<String>,
    tags: Vec<Fact>,
    error: Option<String>,
    charts: Vec<Chart>,
    choices: Choices,
    further: Vec<Fact>,
    all_curves: Option<String>,
    metrics: Vec<Metric>,
    groups: Vec<(&'static str, Vec<Fact>)>,
    related: Vec<(&'static str, Vec<Related>)>,
    remarks: Vec<(&'static str, Vec<Remark>)>,
    json: String,
}

/// The links that choose the axes.
pub(super) struct Choices {
    pub(super) axis: [(&'static str, String, bool); 2],
    pub(super) scale: [(&'static str, String, bool); 2],
}

struct Metric {
    name: String,
    last: String,
    lowest: String,
    highest: String,
}

/// An attempt of the same job, or a run inside this one.
struct Related {
    href: String,
    id: String,
    name: String,
    attempt: String,
    outcome: Outcome,
    started: Option<Moment>,
    duration: String,
    is_this: bool,
}

struct Remark {
    at: Moment,
    by: String,
    text: String,
}

/// The page of `looked`: the record that `asked` names, if there is one. Only the curve `chosen`, if one is chosen.
pub(crate) fn run(frame: &Frame, asked: &str, chosen: Option<&str>, looked: &Looked<Option<RunPage>>) -> String {
    let labels = frame.labels();
    let (found, away) = frame.seen(looked);
    let was_read = found.is_some();
    let found = found.and_then(Option::as_ref);
    let title = match found {
        Some(page) => title(labels, &page.record),
        None if was_read => filled(labels.not_found_record, &[asked]),
        None => format!("{} {asked}", labels.record),
    };
    let shown = found.map(|page| shown_page(frame, page, chosen));
    rendered(&Page { frame, l: labels, title, away, was_read, shown })
}

fn shown_page(frame: &Frame, page: &RunPage, chosen: Option<&str>) -> Shown {
    let (labels, record) = (frame.labels(), &page.record);
    let charts = drawn(page, chosen);
    let others = page.series.iter().filter(|series| charts.iter().all(|drawn| drawn.name != series.name));
    let link = |series: &Series| Fact::link("", series.name.clone(), frame.with("curve", Some(&encoded(&series.name))));
    let is_alone = chosen.is_some();
    let chart = |(number, series): (usize, &&Series)| Chart {
        href: Some(frame.with("curve", Some(&encoded(&series.name)))).filter(|_| !is_alone),
        ..Chart::single(frame, number, series, is_alone)
    };
    let lease = last_seen(labels, record).filter(|seen| seen.is_overdue).map(|_| labels.overdue_run.to_owned());
    Shown {
        outcome: outcome(labels, record),
        headline: headline(frame, record),
        overdue: lease,
        tags: tags(frame, record),
        error: text(record, "error_message"),
        further: others.map(link).collect(),
        all_curves: chosen.map(|_| frame.with("curve", None)),
        choices: Choices::of(frame),
        metrics: metrics(record, &page.series),
        groups: groups(frame, record),
        related: [(labels.attempts, "attempts"), (labels.children, "children")]
            .map(|(heading, key)| (heading, related(frame, record, key)))
            .into_iter()
            .filter(|(_, runs)| !runs.is_empty())
            .collect(),
        remarks: [
            (labels.notes, remarks(frame, record, "notes", |note| part(note, "text"))),
            (labels.decisions, decisions(frame, record)),
        ]
        .into_iter()
        .filter(|(_, remarks)| !remarks.is_empty())
        .collect(),
        json: format!("/api/runs/{}", encoded(&id(record))),
        charts: charts.iter().enumerate().map(chart).collect(),
    }
}

/// The chosen curve, or the first ones.
fn drawn<'a>(page: &'a RunPage, chosen: Option<&str>) -> Vec<&'a Series> {
    let is_chosen = |series: &&Series| chosen.is_none_or(|name| series.name == name);
    page.series.iter().filter(is_chosen).take(CURVES_MAX).collect()
}

impl Choices {
    pub(super) fn of(frame: &Frame) -> Self {
        let (labels, view) = (frame.labels(), frame.view);
        Self {
            axis: [
                (labels.by_step, frame.with("axis", None), !view.by_time),
                (labels.by_time, frame.with("axis", Some("time")), view.by_time),
            ],
            scale: [
                (labels.linear, frame.with("scale", None), !view.logarithmic),
                (labels.logarithmic, frame.with("scale", Some("log")), view.logarithmic),
            ],
        }
    }
}

fn headline(frame: &Frame, record: &RecordView) -> Vec<Fact> {
    let labels = frame.labels();
    let length = duration(labels, record, 4);
    let length =
        length.map(|(text, is_elapsed)| Fact::text(if is_elapsed { labels.elapsed } else { labels.duration }, text));
    let time = |label: &str, key: &str| moment(frame, record, key).map(|moment| Fact::moment(label, moment));
    let seen = last_seen(labels, record).map(|seen| Fact::text(labels.last_seen, seen.ago));
    let facts = [
        length,
        time(labels.started, "train_start_time"),
        time(labels.ended, "train_end_time"),
        seen,
        Some(Fact::text(labels.record, id(record))),
    ];
    facts.into_iter().flatten().collect()
}

/// The last values, with the extremes of those that have a history.
fn metrics(record: &RecordView, all: &[Series]) -> Vec<Metric> {
    let metric = |(name, value): (String, &Value)| {
        let series = all.iter().find(|series| series.name == name);
        let extreme = |pick: fn(f64, f64) -> f64, column: fn(&Series) -> &Vec<Option<f64>>| {
            let values = series.map(column).into_iter().flatten().copied().flatten();
            values.reduce(pick).map(output::number).unwrap_or_default()
        };
        Metric {
            last: if number_of(value).is_some() { brief(value) } else { shown(value) },
            lowest: extreme(f64::min, |series| &series.buckets.low),
            highest: extreme(f64::max, |series| &series.buckets.high),
            name,
        }
    };
    match value(record, "train_metrics") {
        Value::Object(object) => flat("", object).into_iter().map(metric).collect(),
        Value::Null => Vec::new(),
        other => vec![metric((String::new(), other))],
    }
}

/// How a value is shown.
#[derive(Clone, Copy)]
enum Kind {
    Plain,
    Code,
    Time,
    Seconds,
    Bytes,
    Words,
    /// Only if it is true.
    Truth,
    /// A line for each of its keys.
    Object,
    /// The runs of the list that have the same value.
    Filter,
    /// The page of another run.
    Run,
}

type Group = (&'static str, Vec<(&'static str, &'static str, Kind)>);

fn all_groups(l: &'static Labels) -> [Group; 4] {
    use Kind::{Bytes, Code, Filter, Object, Plain, Run, Seconds, Time, Truth, Words};
    [
        (
            l.result,
            vec![
                ("exit_code", l.exit_code, Plain),
                ("signal", l.signal, Plain),
                ("stop_signal", l.stop_signal, Plain),
                ("presumed", l.presumed, Truth),
                ("model_path", l.model, Code),
                ("model_bytes", l.model_bytes, Bytes),
            ],
        ),
        (
            l.process,
            vec![
                ("command", l.command, Words),
                ("cwd", l.directory, Code),
                ("host", l.host, Filter),
                ("username", l.user, Plain),
                ("pid", l.pid, Plain),
                ("stdout_path", l.stdout, Code),
                ("stderr_path", l.stderr, Code),
            ],
        ),
        (
            l.resources,
            vec![
                ("cpu_user_seconds", l.cpu_user, Seconds),
                ("cpu_system_seconds", l.cpu_system, Seconds),
                ("max_rss_bytes", l.memory, Bytes),
            ],
        ),
        (
            l.circumstances,
            vec![
                ("job", l.job, Filter),
                ("attempt", l.attempt, Plain),
                ("parent_run_id", l.parent, Run),
                ("context", "", Object),
                ("created_at", l.created, Time),
                ("heartbeat_at", l.heartbeat, Time),
                ("last_seen_at", l.last_seen_at, Time),
                ("lease_seconds", l.lease, Seconds),
                ("run_id", l.run_id, Code),
                ("runwrap_version", "runwrap", Plain),
            ],
        ),
    ]
}

/// Keys that another part of the page has, and one that repeats the id.
const ELSEWHERE: [&str; 18] = [
    "id",
    "record_id",
    "name",
    "version",
    "status",
    "reason",
    "tags",
    "error_message",
    "train_metrics",
    "train_start_time",
    "train_end_time",
    "train_duration",
    "elapsed_seconds",
    "last_seen_seconds_ago",
    "attempts",
    "children",
    "recovered_at",
    "recovered_by",
];

/// The groups with a value. A key that none of them has is of the user's own table.
fn groups(frame: &Frame, record: &RecordView) -> Vec<(&'static str, Vec<Fact>)> {
    let all = all_groups(frame.labels());
    let is_own = |key: &str| {
        !ELSEWHERE.contains(&key) && all.iter().all(|(_, keys)| keys.iter().all(|(known, ..)| *known != key))
    };
    let own = record.0.iter().filter(|(key, value)| !value.is_null() && is_own(key));
    let own = own.map(|(key, value)| Fact::text(key, shown(value))).collect();
    let groups = all.iter().map(|(heading, keys)| {
        let facts = keys.iter().flat_map(|(key, label, kind)| facts(frame, label, *kind, value(record, key), key));
        (*heading, facts.collect::<Vec<_>>())
    });
    let further = std::iter::once((frame.labels().further, own));
    groups.chain(further).filter(|(_, facts)| !facts.is_empty()).collect()
}

fn facts(frame: &Frame, label: &str, kind: Kind, value: &Value, key: &str) -> Vec<Fact> {
    let labels = frame.labels();
    let plain = || Fact::text(label, shown(value));
    let fact = match (kind, value) {
        (_, Value::Null) => return Vec::new(),
        (Kind::Object, Value::Object(object)) => return members(object),
        (Kind::Truth, Value::Bool(false)) => return Vec::new(),
        (Kind::Truth, Value::Bool(true)) => Fact::text(label, labels.yes.to_owned()),
        (Kind::Code, value) => Fact::code(label, shown(value)),
        (Kind::Words, Value::Array(words)) => Fact::code(label, words.iter().map(word).collect::<Vec<_>>().join(" ")),
        (Kind::Time, value) => Fact::moment(label, Moment::of(labels, &shown(value), frame.now)),
        (Kind::Seconds, value) => {
            value.as_f64().map_or_else(plain, |number| Fact::text(label, seconds(labels, number)))
        }
        (Kind::Bytes, value) => value.as_u64().map_or_else(plain, |size| Fact::text(label, output::bytes(size))),
        (Kind::Filter, value) => {
            let text = shown(value);
            Fact::link(label, text.clone(), frame.link("/", &format!("{key}={}", encoded(&text))))
        }
        (Kind::Run, value) => Fact::link(label, shown(value), page_of(frame, &shown(value))),
        (Kind::Plain | Kind::Truth | Kind::Words | Kind::Object, _) => plain(),
    };
    vec![fact]
}

/// The context without the parts that have a place of their own.
fn members(object: &Map<String, Value>) -> Vec<Fact> {
    let members = flat("", object).into_iter();
    let members = members.filter(|(key, _)| key != "notes" && key != "finalized");
    members.map(|(key, value)| Fact::text(&key.replace('_', " "), brief(value))).collect()
}

fn seconds(labels: &Labels, seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; saturates")]
    let whole = seconds.max(0.0) as u64;
    if whole < 60 { format!("{}{}", output::number(seconds), labels.seconds) } else { span(labels, whole, 4) }
}

/// A word as a shell reads it.
fn word(word: &Value) -> String {
    let text = shown(word);
    let is_safe = |character: char| character.is_alphanumeric() || "-_./=:,@%+".contains(character);
    if !text.is_empty() && text.chars().all(is_safe) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn related(frame: &Frame, record: &RecordView, key: &str) -> Vec<Related> {
    let labels = frame.labels();
    let objects = value(record, key).as_array().into_iter().flatten().filter_map(Value::as_object);
    let related = |object: &Map<String, Value>| {
        let run = RecordView(object.clone());
        let id = id(&run);
        Related {
            href: page_of(frame, &id),
            name: text(&run, "name").unwrap_or_default(),
            attempt: text(&run, "attempt").unwrap_or_default(),
            outcome: outcome(labels, &run),
            started: moment(frame, &run, "train_start_time"),
            duration: duration(labels, &run, 2).map(|(text, _)| text).unwrap_or_default(),
            is_this: value(&run, "run_id") == value(record, "run_id"),
            id,
        }
    };
    objects.map(related).collect()
}

fn part(object: &Value, key: &str) -> String {
    object.get(key).map(shown).unwrap_or_default()
}

/// The entries of a list of the context, each as `text` has it.
fn remarks(frame: &Frame, record: &RecordView, key: &str, text: fn(&Value) -> String) -> Vec<Remark> {
    let entries = value(record, "context").get(key).and_then(Value::as_array).into_iter().flatten();
    let remark = |entry: &Value| Remark {
        at: Moment::of(frame.labels(), &part(entry, "at"), frame.now),
        by: part(entry, "by"),
        text: text(entry),
    };
    entries.map(remark).collect()
}

/// What ended the record in place of its run, and the changes of operators.
fn decisions(frame: &Frame, record: &RecordView) -> Vec<Remark> {
    let recovery = moment(frame, record, "recovered_at").map(|at| {
        let by = text(record, "recovered_by").unwrap_or_default();
        Remark { at, by: String::new(), text: filled(frame.labels().ended_by, &[&by]) }
    });
    recovery.into_iter().chain(remarks(frame, record, "finalized", changes)).collect()
}

/// Each column before and after.
fn changes(made: &Value) -> String {
    let columns = |key: &str| made.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
    let (before, after) = (columns("before"), columns("after"));
    let dash =
        |value: Option<&Value>| value.map(shown).filter(|text| !text.is_empty()).unwrap_or_else(|| "–".to_owned());
    let change = |(key, value): (&String, &Value)| format!("{key}: {} → {}", dash(before.get(key)), dash(Some(value)));
    let changes = after.iter().map(change).collect::<Vec<_>>().join(", ");
    let explanation = part(made, "explanation");
    if explanation.is_empty() { changes } else { format!("{changes} ({explanation})") }
}
