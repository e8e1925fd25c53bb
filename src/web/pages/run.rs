//! The page of one record.

use askama::Template;
use serde_json::{Map, Value};

use super::chart::Chart;
use super::fields::{
    Fact, Outcome, brief, duration, flat, id, last_seen, moment, outcome, page_of, shown, tags, text, title,
};
use super::frame::{Frame, Notice};
use super::groups::groups;
use super::labels::{Labels, filled};
use super::message::rendered;
use super::time::Moment;
use crate::output;
use crate::record::{Series, number_of};
use crate::store::RecordView;
use crate::web::look::{Looked, RunPage, encoded, value};

/// So many curves are drawn, unless one is chosen.
const CURVES_MAX: usize = 4;

/// So many metrics, and entries of any other list, are shown. The API has them all.
const METRICS_MAX: usize = 500;
const ENTRIES_MAX: usize = 100;

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
    let json = format!("/api/runs/{}", encoded(&id(record)));
    let chart = |(number, series): (usize, &&Series)| Chart {
        json: Some(format!("{json}/points?metric={}", encoded(&series.name))),
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
        charts: charts.iter().enumerate().map(chart).collect(),
        json,
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
    let value = value(record, "train_metrics");
    match value.as_object() {
        Some(object) => flat("", object).into_iter().take(METRICS_MAX).map(metric).collect(),
        None if value.is_null() => Vec::new(),
        None => vec![metric((String::new(), value))],
    }
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
    entries.take(ENTRIES_MAX).map(remark).collect()
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
