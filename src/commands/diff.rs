//! `runwrap diff A B`: the values in which two records differ. The comparison is `record`'s.

use serde_json::{Value, json};

use super::ask::ask;
use super::error::CommandError;
use super::repaired::{column, shown};
use crate::config::Settings;
use crate::output;
use crate::record::{Difference, differences, extremes};
use crate::store::{RecordView, Store, StoreError};

/// A value has at most so many characters in the table.
const CHARACTERS_MAX: usize = 60;

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
    let all = differences(&[&first.0, &second.0]);
    let text = if json { as_json(&all) } else { as_table(&all, ids) };
    Ok(output::print(&text)?)
}

/// A record, with the extremes of its metrics.
fn with_extremes(store: &mut Store, id: &str) -> Result<Option<RecordView>, StoreError> {
    let Some(mut record) = store.show(id)? else { return Ok(None) };
    let run_id = column(Some(&record), "run_id");
    let series = run_id.as_str().map(|run_id| store.readable_series(run_id)).transpose()?.unwrap_or_default();
    record.0.extend(extremes(&series));
    Ok(Some(record))
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
        std::iter::once(key.clone()).chain(values.iter().map(|value| cut(&shown(value)))).collect()
    };
    output::table(&["", first, second], &all.iter().map(row).collect::<Vec<_>>())
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
