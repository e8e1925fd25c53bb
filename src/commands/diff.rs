//! `runwrap diff A B`: the values in which two records differ. The comparison is pure.

use serde_json::{Map, Value, json};

use super::ask::ask;
use super::curves::series_of;
use super::error::CommandError;
use super::repaired::{column, shown};
use crate::config::Settings;
use crate::output;
use crate::record::{Series, number_of};
use crate::store::{RecordView, Store, StoreError};

/// Columns that differ between any two runs, and explain nothing.
const OF_ONE_RUN: [&str; 14] = [
    "id",
    "run_id",
    "record_id",
    "created_at",
    "updated_at",
    "train_start_time",
    "train_end_time",
    "heartbeat_at",
    "last_seen_at",
    "last_seen_seconds_ago",
    "elapsed_seconds",
    "pid",
    "recovered_at",
    "recovered_by",
];

/// A value has at most so many characters in the table.
const CHARACTERS_MAX: usize = 60;

/// One value in which two records differ. Null: the record does not have it.
#[derive(Debug, PartialEq)]
struct Difference {
    /// The column, or `lowest` and `highest` for the metrics with a history; within JSON with a path behind it: `train_metrics.loss`.
    key: String,
    values: [Value; 2],
}

/// Prints the values in which the records that `ids` name differ, each by its own id or by its run's.
///
/// # Errors
/// One of them does not exist, the database did not answer, or stdout cannot be written.
pub(super) fn diff(settings: &Settings, ids: &[String; 2], json: bool) -> Result<(), CommandError> {
    let wanted = ids.clone();
    let [first, second] = ask(settings, "compare the records", move |store| {
        let [first, second] = &wanted;
        Ok([with_extremes(store, first)?, with_extremes(store, second)?])
    })?;
    let found = |entry: Option<RecordView>, id: &String| {
        let missing = || CommandError::NoSuchRecord { id: id.clone(), database: settings.database.identity() };
        entry.ok_or_else(missing)
    };
    let [first_id, second_id] = ids;
    let (first, second) = (found(first, first_id)?, found(second, second_id)?);
    let all = differences(&first.0, &second.0);
    let text = if json { as_json(&all) } else { as_table(&all, ids) };
    Ok(output::print(&text)?)
}

/// A record, with the extremes of its metrics.
fn with_extremes(store: &mut Store, id: &str) -> Result<Option<RecordView>, StoreError> {
    let Some(mut record) = store.show(id)? else { return Ok(None) };
    let run_id = column(Some(&record), "run_id");
    let series = run_id.as_str().map(|run_id| series_of(store, run_id)).transpose()?.unwrap_or_default();
    record.0.extend(extremes(&series));
    Ok(Some(record))
}

fn differences(first: &Map<String, Value>, second: &Map<String, Value>) -> Vec<Difference> {
    let mut all = Vec::new();
    let further = second.iter().filter(|(key, _)| !first.contains_key(*key));
    for (key, _) in first.iter().chain(further).filter(|(key, _)| !OF_ONE_RUN.contains(&key.as_str())) {
        let value = |record: &Map<String, Value>| record.get(key).cloned().unwrap_or_default();
        compare(key.clone(), [value(first), value(second)], &mut all);
    }
    all
}

/// Adds the differences of two values. Objects are compared key by key.
fn compare(key: String, values: [Value; 2], all: &mut Vec<Difference>) {
    let [first, second] = &values;
    let is_same_number = || number_of(first).is_some_and(|number| Some(number) == number_of(second));
    if first == second || is_same_number() {
        return;
    }
    let empty = Map::new();
    let (first, second) = match (first, second) {
        (Value::Object(first), Value::Object(second)) => (first, second),
        (Value::Object(first), Value::Null) => (first, &empty),
        (Value::Null, Value::Object(second)) => (&empty, second),
        _ => return all.push(Difference { key, values }),
    };
    for name in first.keys().chain(second.keys().filter(|name| !first.contains_key(*name))) {
        let value = |object: &Map<String, Value>| object.get(name).cloned().unwrap_or_default();
        compare(format!("{key}.{name}"), [value(first), value(second)], all);
    }
}

/// The best values of the metrics, whichever is better.
fn extremes(all: &[Series]) -> Map<String, Value> {
    let [mut lowest, mut highest] = [Map::new(), Map::new()];
    for Series { name, buckets, .. } in all {
        let (low, high) = (buckets.low.iter().copied().flatten(), buckets.high.iter().copied().flatten());
        lowest.extend(low.reduce(f64::min).map(|value| (name.clone(), json!(value))));
        highest.extend(high.reduce(f64::max).map(|value| (name.clone(), json!(value))));
    }
    [("lowest", lowest), ("highest", highest)]
        .map(|(key, values)| (key.to_owned(), Value::Object(values)))
        .into_iter()
        .collect()
}

fn as_json(all: &[Difference]) -> String {
    let object = |Difference { key, values }: &Difference| json!({"key": key, "values": values});
    output::json(&Value::Array(all.iter().map(object).collect()))
}

fn as_table(all: &[Difference], ids: &[String; 2]) -> String {
    let [first, second] = ids;
    if all.is_empty() {
        return output::printable(&format!("records {first} and {second} do not differ")) + "\n";
    }
    let row = |Difference { key, values }: &Difference| {
        let [first, second] = values.each_ref().map(|value| cut(&shown(value)));
        vec![key.clone(), first, second]
    };
    output::table(&["", first, second], &all.iter().map(row).collect::<Vec<_>>())
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_listed_with_its_path() {
        let record = |value: Value| value.as_object().unwrap().clone();
        let first = record(json!({
            "id": 1, "train_metrics": {"loss": 0.5, "same": 1, "deep": {"a": [1, 2]}}, "tags": null, "host": "a",
            "train_duration": 60, "owner": "ann", "cost": 1,
        }));
        let second = record(json!({
            "id": 2, "train_metrics": {"loss": 0.25, "same": 1, "deep": {"a": [1, 3]}, "f1": 0.9},
            "tags": {"team": "x"}, "host": "a", "train_duration": 61, "extra": true, "cost": 1.0,
        }));
        let found = differences(&first, &second);
        let lines: Vec<String> =
            found.iter().map(|Difference { key, values: [first, second] }| format!("{key} {first} {second}")).collect();
        let mut expected = [
            "train_metrics.loss 0.5 0.25",
            "train_metrics.deep.a [1,2] [1,3]",
            "train_metrics.f1 null 0.9",
            "tags.team null \"x\"",
            "train_duration 60 61",
            "owner \"ann\" null",
            "extra null true",
        ];
        let mut lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        lines.sort_unstable();
        expected.sort_unstable();
        assert_eq!(lines, expected);
        assert_eq!(differences(&first, &first), []);
    }
}
