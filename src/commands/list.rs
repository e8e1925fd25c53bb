//! `runwrap list`: the newest records as a table or as JSON.

use serde_json::Value;

use super::ask::ask;
use super::error::CommandError;
use super::repaired::{column, shown};
use crate::config::Settings;
use crate::output;
use crate::store::{Filter, RecordView};

const HEADER: [&str; 9] = ["ID", "NAME", "VERSION", "STATUS", "REASON", "DURATION", "START", "END", "LAST SEEN"];

/// Prints the records that match `filter`, newest first.
///
/// # Errors
/// The database did not answer, or stdout cannot be written.
pub(super) fn list(settings: &Settings, filter: Filter, json: bool) -> Result<(), CommandError> {
    let filter = Filter { summary: !json, ..filter };
    let entries = ask(settings, "list the records", move |store| store.list(&filter))?;
    let text = if json { as_json(entries) } else { as_table(&entries) };
    Ok(output::print(&text)?)
}

fn as_json(entries: Vec<RecordView>) -> String {
    output::json(&Value::Array(entries.into_iter().map(|RecordView(columns)| Value::Object(columns)).collect()))
}

/// Times are UTC; a dash is an unknown value.
fn as_table(entries: &[RecordView]) -> String {
    let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
    output::table(&HEADER, &rows)
}

fn row(entry: &RecordView) -> Vec<String> {
    let column = |key: &str| column(Some(entry), key);
    let text = |key: &str| Some(shown(&column(key))).filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned());
    vec![
        text("id"),
        // A run in a run.
        if column("parent_run_id").is_null() { text("name") } else { format!("└ {}", text("name")) },
        text("version"),
        text("status"),
        text("reason"),
        column("train_duration").as_u64().map_or_else(|| text("train_duration"), output::duration),
        output::utc(&text("train_start_time")),
        output::utc(&text("train_end_time")),
        column("last_seen_seconds_ago").as_i64().map_or_else(|| "-".to_owned(), output::ago),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entries() -> Vec<RecordView> {
        let objects = [
            json!({
                "id": 31, "version": "v2", "status": "training", "train_start_time": "2026-08-02T09:00:00.5Z",
                "train_end_time": null, "train_duration": null, "name": "resnet", "reason": null,
                "last_seen_seconds_ago": 12,
            }),
            json!({
                "id": "30", "version": "v1", "status": "completed", "train_start_time": "2026-08-01T10:00:00Z",
                "train_end_time": "2026-08-01T17:20:52Z", "train_duration": 26452, "name": "res\u{1b}[2Jnet",
                "reason": "success",
            }),
            json!({"id": 2, "status": "training", "train_duration": "01:00:00"}),
        ];
        objects.iter().map(|object| RecordView(object.as_object().unwrap().clone())).collect()
    }

    #[test]
    fn a_table_has_aligned_and_escaped_cells() {
        let expected = "\
ID  NAME             VERSION  STATUS     REASON   DURATION    START                END                  LAST SEEN
31  resnet           v2       training   -        -           2026-08-02 09:00:00  -                    12s ago
30  res\\u{1b}[2Jnet  v1       completed  success  7h 20m 52s  2026-08-01 10:00:00  2026-08-01 17:20:52  -
2   -                -        training   -        01:00:00    -                    -                    -
";
        assert_eq!(as_table(&entries()), expected);
    }

    #[test]
    fn json_has_flat_objects() {
        let text = as_json(entries());
        assert!(!text.contains('\u{1b}'));
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read[1]["name"], "res\u{1b}[2Jnet");
        assert_eq!(read[0]["train_end_time"], Value::Null);
        assert_eq!(as_json(Vec::new()), "[]\n");
    }
}
