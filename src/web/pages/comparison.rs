//! The page of a comparison.

use askama::Template;
use serde_json::Value;

use super::chart::{CLASSES, Chart, Entry};
use super::fields::{Outcome, brief, cut, duration, id, outcome, page_of, shell_words, title};
use super::frame::{Frame, Notice};
use super::labels::{Labels, filled};
use super::message::rendered;
use super::run::Choices;
use crate::record::Series;
use crate::web::look::{BadQuery, Comparison, Difference, Looked, RunPage};

/// So many charts are drawn.
const CHARTS_MAX: usize = 8;

/// So many differences are shown.
const DIFFERENCES_MAX: usize = 300;

/// A value in the table has at most so many characters.
const CHARACTERS_MAX: usize = 200;

#[derive(Template)]
#[template(path = "comparison.html", config = "src/web/pages/askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    l: &'static Labels,
    title: &'static str,
    away: Option<Notice>,
    was_read: bool,
    missing: Vec<String>,
    runs: Vec<Compared>,
    choices: Choices,
    charts: Vec<Chart>,
    differences: Vec<(String, Vec<String>)>,
}

struct Compared {
    class: &'static str,
    id: String,
    href: String,
    title: String,
    outcome: Outcome,
    duration: String,
}

/// The page of `looked`. Records that are too large have a page of their own.
pub(crate) fn comparison(frame: &Frame, looked: &Looked<Result<Comparison, BadQuery>>) -> String {
    let labels = frame.labels();
    let (found, away) = frame.seen(looked);
    let found = found.and_then(|found| found.as_ref().ok());
    let runs: Vec<Compared> = found.into_iter().flat_map(|found| compared(frame, &found.runs)).collect();
    let differences = found.into_iter().flat_map(|found| &found.differences);
    let cell = |key: &str, value: &Value| match value {
        Value::Null => "–".to_owned(),
        Value::Array(words) if key == "command" => cut(&shell_words(words), CHARACTERS_MAX),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            cut(&brief(value), CHARACTERS_MAX)
        }
    };
    let row = |difference: &Difference| {
        let cells = difference.values.iter().map(|value| cell(&difference.key, value));
        (difference.key.clone(), cells.collect())
    };
    rendered(&Page {
        frame,
        l: labels,
        title: labels.comparison,
        away,
        was_read: found.is_some(),
        missing: found.into_iter().flat_map(|found| &found.missing).map(|id| filled(labels.missing, &[id])).collect(),
        choices: Choices::of(frame),
        charts: found.map(|found| charts(frame, &found.runs, &runs)).unwrap_or_default(),
        differences: differences.take(DIFFERENCES_MAX).map(row).collect(),
        runs,
    })
}

fn compared(frame: &Frame, runs: &[RunPage]) -> Vec<Compared> {
    let labels = frame.labels();
    let compared = |(run, class): (&RunPage, &&'static str)| {
        let id = id(&run.record);
        Compared {
            class,
            href: page_of(frame, &id),
            title: title(labels, &run.record),
            outcome: outcome(labels, &run.record),
            duration: duration(labels, &run.record, 2).map(|(text, _)| text).unwrap_or_default(),
            id,
        }
    };
    runs.iter().zip(CLASSES.iter().cycle()).map(compared).collect()
}

/// A chart for each metric that two runs have, then for the others.
fn charts(frame: &Frame, pages: &[RunPage], runs: &[Compared]) -> Vec<Chart> {
    let mut names: Vec<(&str, usize)> = Vec::new();
    for series in pages.iter().flat_map(|page| &page.series) {
        match names.iter_mut().find(|(name, _)| *name == series.name) {
            Some((_, count)) => *count += 1,
            None => names.push((&series.name, 1)),
        }
    }
    names.sort_by_key(|(_, count)| *count < 2);
    names.truncate(CHARTS_MAX);
    let entry = |run: &Compared| Entry {
        class: run.class,
        name: format!("{} #{}", run.title, run.id),
        href: run.href.clone(),
        summary: String::new(),
    };
    let chart = |(number, (name, _)): (usize, &(&str, usize))| {
        let all = pages.iter().zip(runs).filter_map(|(page, run)| Some((entry(run), find(page, name)?)));
        Chart::overlay(frame, number, name, all.collect())
    };
    names.iter().enumerate().map(chart).collect()
}

fn find<'a>(page: &'a RunPage, name: &str) -> Option<&'a Series> {
    page.series.iter().find(|series| series.name == name)
}
