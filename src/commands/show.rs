//! `runwrap show`: everything known of one record.

use serde_json::Value;

use super::ask::ask;
use super::error::CommandError;
use super::repaired::shown;
use crate::config::Settings;
use crate::output;
use crate::record::RunId;
use crate::store::{Filter, RecordView};

/// So many attempts and children are shown, the newest.
const RELATED_MAX: u32 = 100;

/// The columns of a related record that are shown.
const BRIEF: [&str; 9] =
    ["id", "run_id", "attempt", "name", "status", "reason", "exit_code", "train_start_time", "train_duration"];

/// Prints the record that `id` names: its own id, or its run's.
///
/// # Errors
/// There is no such record, the database did not answer, or stdout cannot be written.
pub(super) fn show(settings: &Settings, id: &str, json: bool) -> Result<(), CommandError> {
    let wanted = id.to_owned();
    let found = ask(settings, "show the record", move |store| {
        let Some(mut entry) = store.show(&wanted)? else { return Ok(None) };
        for (key, related) in [("attempts", attempts_of(&entry)), ("children", children_of(&entry))] {
            let Some(filter) = related else { continue };
            let runs: Vec<Value> = store.list(&filter)?.iter().rev().map(brief).collect();
            if !runs.is_empty() {
                entry.0.insert(key.to_owned(), Value::Array(runs));
            }
        }
        Ok(Some(entry))
    })?;
    let missing = || CommandError::NoSuchRecord { id: id.to_owned(), database: settings.database.identity() };
    let entry = found.ok_or_else(missing)?;
    let text = if json { output::json(&Value::Object(entry.0)) } else { as_list(&entry) };
    Ok(output::print(&text)?)
}

/// The newest runs of the record's job.
fn attempts_of(entry: &RecordView) -> Option<Filter> {
    let job = entry.0.get("job")?.as_str()?.to_owned();
    Some(Filter { job: Some(job), limit: RELATED_MAX, summary: true, ..Filter::default() })
}

/// The newest runs that the record's trainer has started.
fn children_of(entry: &RecordView) -> Option<Filter> {
    let run_id = uuid::Uuid::try_parse(entry.0.get("run_id")?.as_str()?).ok()?;
    Some(Filter { parent: Some(RunId(run_id)), limit: RELATED_MAX, summary: true, ..Filter::default() })
}

/// The facts of a related record that a person compares.
fn brief(entry: &RecordView) -> Value {
    let part = |key: &&str| Some(((*key).to_owned(), entry.0.get(*key)?.clone()));
    Value::Object(BRIEF.iter().filter_map(part).collect())
}

/// One `key: value` a line, without unknown values.
fn as_list(entry: &RecordView) -> String {
    let known = entry.0.iter().filter(|(_, value)| !value.is_null());
    let notes = entry.0.get("context").and_then(|context| context.get("notes")?.as_array().map(|notes| remarks(notes)));
    let mut pairs: Vec<(String, String)> = known
        .map(|(key, value)| match (key.as_str(), value) {
            ("attempts" | "children", Value::Array(runs)) => (key.clone(), lines(runs)),
            _ => (key.clone(), with_unit(key, value)),
        })
        .collect();
    pairs.extend(notes.map(|notes| ("notes".to_owned(), notes)));
    output::key_values(&pairs)
}

/// One note a line, or more if it has more.
fn remarks(notes: &[Value]) -> String {
    let part = |note: &Value, key: &str| note.get(key).map(shown).unwrap_or_default();
    let line =
        |note: &Value| format!("{} {}: {}", output::utc(&part(note, "at")), part(note, "by"), part(note, "text"));
    notes.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// One related run a line.
fn lines(runs: &[Value]) -> String {
    let line = |run: &Value| {
        let part = |key: &str| run.get(key).filter(|value| !value.is_null()).map(shown);
        let attempt = part("attempt").map(|number| format!("attempt {number}:"));
        let record = part("id").map(|id| format!("record {id}"));
        let reason = part("reason").map(|reason| format!("({reason})"));
        let duration = run.get("train_duration").and_then(Value::as_u64).map(output::duration);
        let parts = [attempt, record, part("name"), part("status"), reason, part("train_start_time"), duration];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    runs.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn with_unit(key: &str, value: &Value) -> String {
    match (key, value.as_u64()) {
        ("train_duration" | "lease_seconds", Some(seconds)) if seconds >= 60 => {
            format!("{seconds} ({})", output::duration(seconds))
        }
        _ => shown(value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn known_values_are_aligned_and_escaped() {
        let object = json!({
            "id": 30, "status": "failed", "train_duration": 26452, "train_metrics": {"loss": 0.5, "x": "\u{9b}"},
            "model_path": null, "error_message": "exit code 1\nTraceback:\n  boom \u{1b}[31m", "command": ["a", "b c"],
            "lease_seconds": 30, "presumed": false,
        });
        let expected = "\
id:              30
status:          failed
train_duration:  26452 (7h 20m 52s)
train_metrics:   {\"loss\":0.5,\"x\":\"\\u{9b}\"}
error_message:   exit code 1
                 Traceback:
                   boom \\u{1b}[31m
command:         [\"a\",\"b c\"]
lease_seconds:   30
presumed:        false
";
        assert_eq!(as_list(&RecordView(object.as_object().unwrap().clone())), expected);
    }
}
