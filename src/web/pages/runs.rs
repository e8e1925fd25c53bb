//! The list of runs.

use askama::Template;

use super::drawing::{SPARK, sparkline};
use super::fields::{Fact, LastSeen, Outcome, duration, id, last_seen, moment, name, outcome, page_of, tags, text};
use super::frame::{Frame, Notice};
use super::labels::{Labels, filled};
use super::message::rendered;
use super::time::Moment;
use crate::output;
use crate::web::look::{BadQuery, ListedRun, Looked, RunsPage, RunsQuery, Sparkline};

#[derive(Template)]
#[template(path = "runs.html", config = "src/web/pages/askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    l: &'static Labels,
    title: &'static str,
    filter: &'a RunsQuery,
    statuses: [(&'static str, &'static str, bool); 3],
    tags: Vec<String>,
    has_filter: bool,
    away: Option<Notice>,
    was_read: bool,
    rows: Vec<Row>,
    older: Option<String>,
    newest: Option<String>,
    all: String,
}

struct Row {
    id: String,
    href: String,
    name: String,
    version: Option<String>,
    status: Outcome,
    tags: Vec<Fact>,
    is_inner: bool,
    started: Option<Moment>,
    duration: Option<(String, bool)>,
    seen: Option<LastSeen>,
    curve: Option<Curve>,
}

struct Curve {
    name: String,
    last: String,
    about: String,
    path: String,
}

/// The page of `looked`, the runs that fit `query`. A query without such a page has a page of its own.
pub(crate) fn runs(frame: &Frame, query: &RunsQuery, looked: &Looked<Result<RunsPage, BadQuery>>) -> String {
    let labels = frame.labels();
    let (page, away) = frame.seen(looked);
    let page = page.and_then(|page| page.as_ref().ok());
    let filter = RunsQuery { before: None, ..query.clone() };
    let unfiltered = RunsQuery { limit: query.limit, ..RunsQuery::default() };
    let next = page.and_then(|page| page.next.as_ref());
    let older = next.map(|key| frame.link("/", &RunsQuery { before: Some(key.clone()), ..filter.clone() }.to_query()));
    let tag = |(key, value): &(String, Option<String>)| match value {
        Some(value) => format!("{key}={value}"),
        None => key.clone(),
    };
    let has_status = |word: &str| query.statuses.iter().any(|status| status == word);
    let status = |word: &'static str, label: &'static str| (word, label, has_status(word));
    rendered(&Page {
        frame,
        l: labels,
        title: labels.runs,
        statuses: [
            status("training", labels.training),
            status("completed", labels.completed),
            status("failed", labels.failed),
        ],
        tags: if query.tags.is_empty() { vec![String::new()] } else { query.tags.iter().map(tag).collect() },
        has_filter: filter != unfiltered,
        away,
        was_read: page.is_some(),
        rows: page.iter().flat_map(|page| &page.runs).map(|run| row(frame, run)).collect(),
        older,
        newest: query.before.as_ref().map(|_| frame.link("/", &filter.to_query())),
        all: frame.link("/", &unfiltered.to_query()),
        filter: query,
    })
}

fn row(frame: &Frame, run: &ListedRun) -> Row {
    let (labels, record) = (frame.labels(), &run.record);
    let id = id(record);
    Row {
        href: page_of(frame, &id),
        name: name(record, "name").unwrap_or_else(|| format!("{} {id}", labels.record)),
        version: name(record, "version"),
        status: outcome(labels, record),
        tags: tags(frame, record),
        is_inner: text(record, "parent_run_id").is_some(),
        started: moment(frame, record, "train_start_time"),
        duration: duration(labels, record, 2),
        seen: last_seen(labels, record),
        curve: run.curve.as_ref().and_then(|curve| drawn(labels, curve)),
        id,
    }
}

/// `None` of a curve without a number.
fn drawn(labels: &Labels, curve: &Sparkline) -> Option<Curve> {
    let values = || curve.values.iter().copied().flatten();
    let last = output::number(values().next_back()?);
    let [low, high] = [f64::min, f64::max].map(|pick| values().reduce(pick).map(output::number).unwrap_or_default());
    let about = filled(labels.range, &[&low, &high]);
    Some(Curve { name: curve.name.clone(), last, about, path: sparkline(&curve.values) })
}
