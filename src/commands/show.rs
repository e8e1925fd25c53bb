//! `runwrap show`: everything known of one record.

use serde_json::Value;

use super::ask::ask;
use super::error::CommandError;
use super::repaired::shown;
use crate::config::Settings;
use crate::output;
use crate::store::RecordView;

/// Prints the record that `id` names: its own id, or its run's.
///
/// # Errors
/// There is no such record, the database did not answer, or stdout cannot be written.
pub(super) fn show(settings: &Settings, id: &str, json: bool) -> Result<(), CommandError> {
    let wanted = id.to_owned();
    let found = ask(settings, "show the record", move |store| store.show(&wanted))?;
    let missing = || CommandError::NoSuchRecord { id: id.to_owned(), database: settings.database.identity() };
    let entry = found.ok_or_else(missing)?;
    let text = if json { output::json(&Value::Object(entry.0)) } else { as_list(&entry) };
    Ok(output::print(&text)?)
}

/// One `key: value` a line, without unknown values.
fn as_list(entry: &RecordView) -> String {
    let known = entry.0.iter().filter(|(_, value)| !value.is_null());
    let pairs: Vec<(String, String)> = known.map(|(key, value)| (key.clone(), with_unit(key, value))).collect();
    output::key_values(&pairs)
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
