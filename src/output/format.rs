//! The same rows as a table, as JSON, as a JSON object per line or as CSV. Pure.

use serde_json::{Map, Value};

use super::printable::printable_json;
use super::{json, table};

/// How a verb prints its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// One array.
    Json,
    /// An object a line.
    JsonLines,
    /// A heading and a line a row (RFC 4180), the columns named by `keys`.
    Csv,
}

impl Format {
    /// By its name.
    pub const ALL: [(&str, Self); 4] =
        [("table", Self::Table), ("json", Self::Json), ("jsonl", Self::JsonLines), ("csv", Self::Csv)];
}

/// Objects for a program, or for a person as a plain table. CSV has a column for each of `keys`, and for each further key of an
/// object. A value in CSV is text without quotes, empty for null, JSON for an array or an object.
pub(crate) fn formatted(format: Format, keys: &[&str], objects: Vec<Map<String, Value>>) -> String {
    match format {
        Format::Table => {
            let header: Vec<String> = keys.iter().map(|key| key.to_uppercase()).collect();
            let header: Vec<&str> = header.iter().map(String::as_str).collect();
            let cell = |object: &Map<String, Value>, key: &&str| object.get(*key).map(text).unwrap_or_default();
            let row = |object| keys.iter().map(|key| cell(object, key)).collect();
            table(&header, &objects.iter().map(row).collect::<Vec<_>>())
        }
        Format::Json => json(&Value::Array(objects.into_iter().map(Value::Object).collect())),
        Format::JsonLines => objects
            .into_iter()
            .fold(String::new(), |lines, object| lines + &printable_json(&Value::Object(object).to_string()) + "\n"),
        Format::Csv => csv(keys, &objects),
    }
}

fn csv(keys: &[&str], objects: &[Map<String, Value>]) -> String {
    let mut keys: Vec<&str> = keys.to_vec();
    for key in objects.iter().flat_map(Map::keys) {
        if !keys.contains(&key.as_str()) {
            keys.push(key);
        }
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    let heading = keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
    let rows =
        objects.iter().map(|object| keys.iter().map(|key| object.get(*key).map(text).unwrap_or_default()).collect());
    for row in std::iter::once(heading).chain(rows) {
        if let Err(error) = writer.write_record(&row) {
            // Rows of the same length are written into memory.
            log::error!(event = "csv", error:%; "the records cannot be written as CSV: {error}");
        }
    }
    writer.into_inner().ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
