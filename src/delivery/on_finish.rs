//! The command of `--on-finish`: runs after the database has acknowledged an end, once per end. Its failure is logged and nothing else.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::store::RecordView;
use crate::sys::clock::boot_time;
use crate::sys::command::run_shell;

/// How long the command may take.
pub const ON_FINISH_LIMIT: Duration = Duration::from_mins(1);

/// The variables of the command, each with the key of its value in the record.
const VARIABLES: [(&str, &str); 15] = [
    ("RUNWRAP_RECORD_ID", "id"),
    ("RUNWRAP_RUN_ID", "run_id"),
    ("RUNWRAP_NAME", "name"),
    ("RUNWRAP_MODEL_VERSION", "version"),
    ("RUNWRAP_STATUS", "status"),
    ("RUNWRAP_REASON", "reason"),
    ("RUNWRAP_EXIT_CODE", "exit_code"),
    ("RUNWRAP_SIGNAL", "signal"),
    ("RUNWRAP_STARTED_AT", "train_start_time"),
    ("RUNWRAP_ENDED_AT", "train_end_time"),
    ("RUNWRAP_DURATION_SECONDS", "train_duration"),
    ("RUNWRAP_MODEL_PATH", "model_path"),
    ("RUNWRAP_ERROR", "error_message"),
    ("RUNWRAP_HOST", "host"),
    ("RUNWRAP_JOB", "job"),
];

/// Set for the command: a run inside it has no command of its own, which might begin a run again.
pub const IN_ON_FINISH: &str = "RUNWRAP_IN_ON_FINISH";

/// The longest value of a variable, in bytes: the kernel takes 128 KiB.
const VALUE_BYTES_MAX: usize = 32 * 1024;

/// Runs `command` in `directory` with the record: as JSON on its stdin, and in variables. Waits for its end, at most for `limit`.
pub fn run_on_finish(command: &str, directory: &Path, record: &RecordView, limit: Duration) {
    let mut variables = variables(record);
    variables.push((IN_ON_FINISH, "1".to_owned()));
    let input = Value::Object(record.0.clone()).to_string();
    let record_id = record.0.get("id").map(text).unwrap_or_default();
    log::info!(event = "on_finish", record_id; "the command of --on-finish starts for record {record_id}");
    let begun = boot_time();
    match run_shell(OsStr::new(command), directory, &variables, input.as_bytes(), limit) {
        Ok(end) => {
            let status = end.status.map_or_else(|| format!("killed after {limit:?}"), |status| status.to_string());
            let (took_ms, output) = (boot_time().saturating_sub(begun).as_millis(), end.output);
            let level =
                if end.status.is_some_and(|status| status.success()) { log::Level::Info } else { log::Level::Warn };
            log::log!(level, event = "on_finish_ended", record_id, status, took_ms, output;
                "the command of --on-finish ended for record {record_id}: {status}");
        }
        Err(error) => {
            log::warn!(event = "on_finish_failed", record_id, error:%;
                "the command of --on-finish could not run for record {record_id}: {error}");
        }
    }
}

/// A value that is unknown is an empty text.
fn variables(record: &RecordView) -> Vec<(&'static str, String)> {
    let value = |key: &str| record.0.get(key).map(text).unwrap_or_default();
    VARIABLES.iter().map(|(name, key)| (*name, value(key))).collect()
}

fn text(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.replace('\0', "\u{fffd}"),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    let end = text.floor_char_boundary(VALUE_BYTES_MAX);
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_are_texts_of_bounded_length() {
        let record = json!({"id": 30, "status": "failed", "exit_code": null, "error_message": "é".repeat(50_000), "name": "a\0b"});
        let found = variables(&RecordView(record.as_object().unwrap().clone()));
        let value = |name: &str| found.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        assert_eq!((value("RUNWRAP_RECORD_ID"), value("RUNWRAP_STATUS")), (Some("30"), Some("failed")));
        assert_eq!((value("RUNWRAP_EXIT_CODE"), value("RUNWRAP_JOB")), (Some(""), Some("")));
        assert_eq!(value("RUNWRAP_NAME"), Some("a\u{fffd}b"));
        assert_eq!(value("RUNWRAP_ERROR").map(str::len), Some(VALUE_BYTES_MAX));
    }
}
