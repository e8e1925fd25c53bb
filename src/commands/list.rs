//! `runwrap list`: the newest records as a table, as JSON or as CSV.

use std::cmp::Ordering;
use std::collections::HashMap;

use anstyle::{AnsiColor, Style};
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::ask::ask;
use super::error::CommandError;
use super::repaired::{column, shown};
use super::watch::watch;
use super::{ListArgs, Since};
use crate::config::Settings;
use crate::output::{self, Column, Format, formatted};
use crate::record::{number_of, version_number};
use crate::store::{Filter, RecordView, Store, StoreError};
use crate::sys::clock::wall_time;

/// A column of the table.
struct Shown {
    heading: &'static str,
    /// The key of its values, by which they are sorted.
    key: &'static str,
    /// The least one is left out first where the terminal is too narrow.
    importance: u8,
    cell: fn(&RecordView) -> String,
}

const METRIC_IMPORTANCE: u8 = 7;

const LINES_OF_HEADER: u32 = 1;

const COLUMNS: [Shown; 9] = [
    Shown { heading: "ID", key: "id", importance: 10, cell: |entry| text(entry, "id") },
    Shown { heading: "NAME", key: "name", importance: 8, cell: name },
    Shown { heading: "VERSION", key: "version", importance: 3, cell: |entry| text(entry, "version") },
    Shown { heading: "STATUS", key: "status", importance: 9, cell: |entry| text(entry, "status") },
    Shown { heading: "REASON", key: "reason", importance: 5, cell: |entry| text(entry, "reason") },
    Shown { heading: "DURATION", key: "train_duration", importance: 6, cell: duration },
    Shown { heading: "START", key: "train_start_time", importance: 4, cell: |entry| time(entry, "train_start_time") },
    Shown { heading: "END", key: "train_end_time", importance: 1, cell: |entry| time(entry, "train_end_time") },
    Shown { heading: "LAST SEEN", key: "last_seen_seconds_ago", importance: 2, cell: last_seen },
];

/// The key of a metric in JSON and CSV begins with this, and its name follows.
const METRIC_KEY: &str = "train_metrics/";

/// Prints the records that match `args.filter`, newest first unless they are sorted.
///
/// # Errors
/// The database did not answer, or stdout cannot be written.
pub(super) fn list(settings: &Settings, args: ListArgs) -> Result<(), CommandError> {
    if args.watch {
        let settings = settings.clone();
        return watch(move |size| {
            let mut args = args.clone();
            args.filter.limit = args.filter.limit.min(size.lines.saturating_sub(LINES_OF_HEADER).max(1));
            let (table, _count) = listed(&settings, &args, Some(size.columns))?;
            Ok(output::styled(table, args.color))
        });
    }
    let columns = output::terminal_columns();
    let (text, count) = listed(settings, &args, columns)?;
    if args.format != Format::Table {
        return Ok(output::print_data(&text)?);
    }
    let advice = if columns.is_some() { advice(count, args.filter.limit) } else { String::new() };
    Ok(output::print(&output::styled(text + &advice, args.color))?)
}

/// The key by which `name` sorts: a heading, a metric that is listed or, in any other format than the table, any key. `None` if there
/// is none.
pub fn sort_key(name: &str, metrics: &[String], format: Format) -> Option<String> {
    let slug = |heading: &str| heading.to_lowercase().replace(' ', "-");
    let is_named = |column: &&Shown| slug(column.heading) == slug(name) || column.key == name;
    let metric = metrics.iter().find(|metric| *metric == name).map(|metric| format!("{METRIC_KEY}{metric}"));
    let column = || COLUMNS.iter().find(is_named).map(|column| column.key.to_owned());
    metric.or_else(column).or_else(|| (format != Format::Table).then(|| name.to_owned()))
}

/// The records as text, with styles, and how many there are. `columns` is the width of the terminal.
fn listed(settings: &Settings, args: &ListArgs, columns: Option<u32>) -> Result<(String, usize), CommandError> {
    let is_table = args.format == Format::Table;
    let since = args.since.map(|since| match since {
        Since::Time(time) => time,
        Since::Ago(ago) => wall_time().checked_sub_signed(ago).unwrap_or(DateTime::<Utc>::MIN_UTC),
    });
    let filter = Filter { since, summary: is_table, metrics: !args.metrics.is_empty(), ..args.filter.clone() };
    let drawn = if columns.is_some() && is_table { args.metrics.clone() } else { Vec::new() };
    let (mut entries, curves) = ask(settings, "list the records", move |store| {
        let entries = store.list(&filter)?;
        let curves = curves(store, &entries, &drawn)?;
        Ok((entries, curves))
    })?;
    for entry in &mut entries {
        for name in &args.metrics {
            let value = metric(&column(Some(entry), "train_metrics"), name);
            entry.0.insert(format!("{METRIC_KEY}{name}"), value);
        }
    }
    if let Some((key, descending)) = &args.sort {
        // A record that has ended lacks the age of its last sign of life.
        let is_heading = COLUMNS.iter().any(|column| column.key == key);
        if !is_heading && !entries.is_empty() && !entries.iter().any(|entry| entry.0.contains_key(key)) {
            return Err(CommandError::NoSuchColumn { name: key.clone() });
        }
        sort(&mut entries, key, *descending);
    }
    let count = entries.len();
    if !is_table {
        let keys: Vec<&str> = COLUMNS.iter().map(|column| column.key).collect();
        let objects = entries.into_iter().map(|RecordView(object)| object).collect();
        return Ok((formatted(args.format, &keys, objects), count));
    }
    Ok((table(&entries, &args.metrics, &curves, columns), count))
}

/// The sparkline of each run and metric. Without the right to read the series there is none.
fn curves(
    store: &mut Store,
    entries: &[RecordView],
    metrics: &[String],
) -> Result<HashMap<(String, String), String>, StoreError> {
    let run_ids: Vec<String> =
        entries.iter().filter_map(|entry| column(Some(entry), "run_id").as_str().map(str::to_owned)).collect();
    if metrics.is_empty() || run_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let series = match store.series(&run_ids, metrics) {
        Err(StoreError::Permanent { .. } | StoreError::BadInput { .. }) => return Ok(HashMap::new()),
        series => series?,
    };
    Ok(series
        .into_iter()
        .map(|(run_id, series)| ((run_id, series.name), output::sparkline(&series.buckets.value)))
        .collect())
}

/// The value of a metric; nested names are joined by `/`.
fn metric(metrics: &Value, name: &str) -> Value {
    let Some(object) = metrics.as_object() else { return Value::Null };
    if let Some(value) = object.get(name) {
        return value.clone();
    }
    let splits = name.match_indices('/').map(|(at, _)| (&name[..at], &name[at + 1..]));
    splits
        .map(|(first, rest)| metric(object.get(first).unwrap_or(&Value::Null), rest))
        .find(|value| !value.is_null())
        .unwrap_or_default()
}

/// Numbers before texts, unknown values last in both directions.
fn sort(entries: &mut [RecordView], key: &str, descending: bool) {
    let value = |entry: &RecordView| match key {
        "train_duration" => Some(column(Some(entry), key))
            .filter(|value| !value.is_null())
            .unwrap_or_else(|| column(Some(entry), "elapsed_seconds")),
        _ => column(Some(entry), key),
    };
    entries.sort_by(|one, other| {
        let (one, other) = (value(one), value(other));
        match (one.is_null(), other.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) if descending => compared(&other, &one),
            (false, false) => compared(&one, &other),
        }
    });
}

fn compared(one: &Value, other: &Value) -> Ordering {
    let number = |value: &Value| {
        #[expect(clippy::cast_precision_loss, reason = "no version is so large")]
        let version = |text: &str| version_number(text).map(|number| number as f64);
        let text = value.as_str().map(|text| text.parse().ok().or_else(|| version(text)));
        text.unwrap_or_else(|| number_of(value).filter(|number| !number.is_nan()))
    };
    match (number(one), number(other)) {
        (Some(one), Some(other)) => one.total_cmp(&other),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => shown(one).cmp(&shown(other)),
    }
}

/// Times are UTC; a dash is an unknown value.
fn table(
    entries: &[RecordView],
    metrics: &[String],
    curves: &HashMap<(String, String), String>,
    columns: Option<u32>,
) -> String {
    let mut shown: Vec<(Column, Vec<String>)> = Vec::new();
    for column in &COLUMNS {
        let cells: Vec<String> = entries.iter().map(column.cell).collect();
        // A column that is empty is left out before any other.
        let is_empty = cells.iter().all(|cell| cell == "-");
        let styles = if column.key == "status" { entries.iter().map(style).collect() } else { Vec::new() };
        let importance = if is_empty { 0 } else { column.importance };
        shown.push((
            Column { heading: column.heading.to_owned(), importance, may_be_cut: column.key == "name", styles },
            cells,
        ));
        if column.key == "train_duration" {
            for name in metrics {
                let cells = entries.iter().map(|entry| metric_cell(entry, name, curves)).collect();
                shown.push((
                    Column { heading: name.clone(), importance: METRIC_IMPORTANCE, ..Column::default() },
                    cells,
                ));
            }
        }
    }
    let rows = (0..entries.len()).map(|row| shown.iter().map(|(_, cells)| cells[row].clone()).collect());
    let rows: Vec<Vec<String>> = rows.collect();
    let shown: Vec<Column> = shown.into_iter().map(|(column, _)| column).collect();
    output::fitted(&shown, &rows, columns.map(|columns| columns as usize))
}

fn metric_cell(entry: &RecordView, name: &str, curves: &HashMap<(String, String), String>) -> String {
    let value = column(Some(entry), &format!("{METRIC_KEY}{name}"));
    let value = match value {
        Value::Number(_) => number_of(&value).map_or_else(|| shown(&value), output::number),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => shown(&value),
    };
    let run_id = column(Some(entry), "run_id");
    let curve = run_id.as_str().and_then(|run_id| curves.get(&(run_id.to_owned(), name.to_owned())));
    curve.map_or_else(|| value.clone(), |curve| format!("{value} {curve}"))
}

fn style(entry: &RecordView) -> Style {
    let color = match column(Some(entry), "status").as_str() {
        Some("completed") => AnsiColor::Green,
        Some("failed") => AnsiColor::Red,
        Some("training") => AnsiColor::Cyan,
        Some(_) | None => return Style::new(),
    };
    color.on_default()
}

fn text(entry: &RecordView, key: &str) -> String {
    Some(shown(&column(Some(entry), key))).filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned())
}

fn time(entry: &RecordView, key: &str) -> String {
    output::utc(&text(entry, key))
}

/// A run in a run is marked.
fn name(entry: &RecordView) -> String {
    let is_inner = !column(Some(entry), "parent_run_id").is_null();
    if is_inner { format!("└ {}", text(entry, "name")) } else { text(entry, "name") }
}

/// Of a record in training: the time that has elapsed.
fn duration(entry: &RecordView) -> String {
    let column = |key: &str| column(Some(entry), key);
    let known = column("train_duration");
    let seconds = if known.is_null() { column("elapsed_seconds").as_u64() } else { known.as_u64() };
    seconds.map_or_else(|| text(entry, "train_duration"), output::duration)
}

fn last_seen(entry: &RecordView) -> String {
    column(Some(entry), "last_seen_seconds_ago").as_i64().map_or_else(|| "-".to_owned(), output::ago)
}

/// How to see more.
fn advice(count: usize, limit: u32) -> String {
    let style = Style::new().dimmed();
    let advice = match count {
        0 => "no record fits; `runwrap -- COMMAND` makes one".to_owned(),
        _ if count < limit as usize => "`runwrap show ID` shows everything known of one record".to_owned(),
        _ => format!(
            "these are the newest {limit}; --limit {} shows more, `runwrap show ID` one whole",
            limit.saturating_mul(2)
        ),
    };
    format!("{style}{advice}{style:#}\n")
}
