//! One record for a person: a headline, then its values in groups. Pure. Programs read JSON instead.

use anstyle::Style;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::repaired::{column, shown};
use crate::output;
use crate::record::{number_of, read_instant};
use crate::store::RecordView;

/// How a value is shown.
#[derive(Clone, Copy)]
enum Kind {
    Plain,
    Time,
    Seconds,
    Bytes,
    Words,
    /// Only if it is true.
    Truth,
    /// A line for each of its keys.
    Object,
}

type Group = (&'static str, &'static [(&'static str, &'static str, Kind)]);

/// The groups, each with the keys of its values and their labels. A key that no group has is of the user's own table.
const GROUPS: [Group; 4] = [
    (
        "Result",
        &[
            ("train_start_time", "started", Kind::Time),
            ("train_end_time", "ended", Kind::Time),
            ("exit_code", "exit code", Kind::Plain),
            ("signal", "signal", Kind::Plain),
            ("stop_signal", "asked to stop by", Kind::Plain),
            ("presumed", "presumed", Kind::Truth),
            ("error_message", "error", Kind::Plain),
            ("model_path", "model", Kind::Plain),
            ("model_bytes", "size of the model", Kind::Bytes),
            ("train_metrics", "", Kind::Object),
        ],
    ),
    (
        "Process",
        &[
            ("command", "command", Kind::Words),
            ("cwd", "directory", Kind::Plain),
            ("host", "host", Kind::Plain),
            ("username", "user", Kind::Plain),
            ("pid", "pid", Kind::Plain),
            ("stdout_path", "stdout", Kind::Plain),
            ("stderr_path", "stderr", Kind::Plain),
        ],
    ),
    (
        "Resources",
        &[
            ("cpu_user_seconds", "CPU time, user", Kind::Seconds),
            ("cpu_system_seconds", "CPU time, system", Kind::Seconds),
            ("max_rss_bytes", "most memory", Kind::Bytes),
        ],
    ),
    (
        "Circumstances",
        &[
            ("job", "job", Kind::Plain),
            ("attempt", "attempt", Kind::Plain),
            ("parent_run_id", "started by run", Kind::Plain),
            ("tags", "tag ", Kind::Object),
            ("context", "", Kind::Object),
            ("heartbeat_at", "last heard by the database", Kind::Time),
            ("last_seen_at", "last sign of life", Kind::Time),
            ("lease_seconds", "lease", Kind::Seconds),
            ("run_id", "run", Kind::Plain),
            ("runwrap_version", "runwrap", Kind::Plain),
        ],
    ),
];

/// Keys that the headline or a part of its own has, and one that repeats the id.
const ELSEWHERE: [&str; 13] = [
    "id",
    "record_id",
    "name",
    "version",
    "status",
    "reason",
    "train_duration",
    "elapsed_seconds",
    "last_seen_seconds_ago",
    "attempts",
    "children",
    "recovered_at",
    "recovered_by",
];

/// Keys of the context that have a part of their own.
const NOTES: &str = "notes";
const DECISIONS: &str = "finalized";

/// The record at `now`, with `curves` below its result. With styles.
pub(super) fn portrait(entry: &RecordView, curves: &str, now: DateTime<Utc>) -> String {
    let bold = Style::new().bold();
    let mut text = format!("{bold}{}{bold:#}\n", output::printable(&headline(entry, now)));
    let mut add = |heading: &str, body: String| {
        if !body.is_empty() {
            text = format!("{text}\n{bold}{heading}{bold:#}\n{body}");
        }
    };
    for (heading, keys) in GROUPS {
        add(heading, output::key_values(&keys.iter().flat_map(|key| lines(entry, key, now)).collect::<Vec<_>>()));
        if heading == "Result" {
            add("Curves", curves.to_owned());
        }
    }
    let own = entry.0.iter().filter(|(key, value)| !value.is_null() && is_own(key));
    let own: Vec<_> = own.map(|(key, value)| (key.clone(), shown(value))).collect();
    add("Further columns of the table", output::key_values(&own));
    for (heading, key) in [("Attempts of the job", "attempts"), ("Runs inside this run", "children")] {
        let runs = entry.0.get(key).and_then(Value::as_array).into_iter().flatten();
        add(heading, runs.map(|run| related(run, now)).collect());
    }
    let context = column(Some(entry), "context");
    let list = |key: &str| context.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    add("Notes", list(NOTES).iter().map(|note| remark(note, now)).collect());
    add(
        "Decisions",
        recovery(entry, now) + &list(DECISIONS).iter().map(|made| decision(made, now)).collect::<String>(),
    );
    text
}

fn is_own(key: &str) -> bool {
    !ELSEWHERE.contains(&key) && GROUPS.iter().all(|(_, keys)| keys.iter().all(|(known, _, _)| *known != key))
}

/// `record 30, resnet v3: failed (lost) after 7h 20m 52s, ended 2025-11-27 01:20:52 UTC, 3d ago`
fn headline(entry: &RecordView, now: DateTime<Utc>) -> String {
    let known = |key: &str| Some(column(Some(entry), key)).filter(|value| !value.is_null());
    let word = |key: &str| known(key).map(|value| shown(&value));
    let seconds = |key: &str| known(key).and_then(|value| value.as_u64()).map(output::duration);
    let called: Vec<String> = [word("name"), word("version")].into_iter().flatten().collect();
    let called = if called.is_empty() { String::new() } else { format!(", {}", called.join(" ")) };
    let mut line = format!("record {}{called}: ", word("id").unwrap_or_default());
    line += &word("status").unwrap_or_else(|| "no status".to_owned());
    line.extend(word("reason").map(|reason| format!(" ({reason})")));
    line.extend(seconds("train_duration").map(|duration| format!(" after {duration}")));
    line.extend(word("train_end_time").map(|end| format!(", ended {}", time(&end, now))));
    line.extend(seconds("elapsed_seconds").map(|elapsed| format!(" for {elapsed}")));
    let seen = known("last_seen_seconds_ago").and_then(|seconds| seconds.as_i64());
    line.extend(seen.map(|seconds| format!(", last sign of life {}", output::ago(seconds))));
    line
}

fn lines(entry: &RecordView, (key, label, kind): &(&str, &str, Kind), now: DateTime<Utc>) -> Vec<(String, String)> {
    let value = column(Some(entry), key);
    let line = |text: String| vec![((*label).to_owned(), text)];
    match (kind, &value) {
        (_, Value::Null) => Vec::new(),
        (Kind::Time, value) => line(time(&shown(value), now)),
        (Kind::Seconds, value) => line(value.as_f64().map_or_else(|| shown(value), seconds)),
        (Kind::Bytes, value) => line(value.as_u64().map_or_else(|| shown(value), output::bytes)),
        (Kind::Words, Value::Array(words)) => {
            line(words.iter().map(|word| output::shell_word(&shown(word))).collect::<Vec<_>>().join(" "))
        }
        (Kind::Truth, value) => {
            if *value == true {
                line("yes".to_owned())
            } else {
                Vec::new()
            }
        }
        (Kind::Object, Value::Object(object)) => members(label, object),
        (Kind::Plain | Kind::Words | Kind::Object, value) => line(shown(value)),
    }
}

fn members(prefix: &str, object: &Map<String, Value>) -> Vec<(String, String)> {
    let shown = |value: &Value| match value {
        Value::Number(_) => number_of(value).map_or_else(|| shown(value), output::number),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => shown(value),
    };
    let members = object.iter().filter(|(key, _)| ![NOTES, DECISIONS].contains(&key.as_str()));
    members.map(|(key, value)| (format!("{prefix}{}", key.replace('_', " ")), shown(value))).collect()
}

/// Absolute and relative.
fn time(text: &str, now: DateTime<Utc>) -> String {
    let Some(instant) = read_instant(text) else { return text.to_owned() };
    let seconds = (now - instant).num_seconds();
    let relative = if seconds < 0 { String::new() } else { format!(", {}", output::ago(seconds)) };
    format!("{} UTC{relative}", instant.format("%F %T"))
}

fn seconds(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time that a process has used")]
    let whole = seconds.max(0.0) as u64;
    if whole < 60 { format!("{}s", output::number(seconds)) } else { output::duration(whole) }
}

/// A run of the same job, or one that this run has started.
fn related(run: &Value, now: DateTime<Utc>) -> String {
    let part = |key: &str| run.get(key).filter(|value| !value.is_null()).map(shown);
    let attempt = part("attempt").map(|number| format!("attempt {number}:"));
    let record = part("id").map(|id| format!("record {id}"));
    let reason = part("reason").map(|reason| format!("({reason})"));
    let duration = run.get("train_duration").and_then(Value::as_u64).map(output::duration);
    let start = part("train_start_time").map(|start| format!("started {}", time(&start, now)));
    let parts = [attempt, record, part("name"), part("status"), reason, duration, start];
    line(&parts.into_iter().flatten().collect::<Vec<_>>().join(" "))
}

fn remark(note: &Value, now: DateTime<Utc>) -> String {
    let part = |key: &str| note.get(key).map(shown).unwrap_or_default();
    line(&format!("{}, {}: {}", time(&part("at"), now), part("by"), part("text")))
}

/// Who or what ended the record in place of its run.
fn recovery(entry: &RecordView, now: DateTime<Utc>) -> String {
    let part = |key: &str| Some(column(Some(entry), key)).filter(|value| !value.is_null()).map(|value| shown(&value));
    let Some(at) = part("recovered_at") else { return String::new() };
    line(&format!("{}: ended by {}", time(&at, now), part("recovered_by").unwrap_or_default()))
}

/// An operator's change: each column before and after.
fn decision(made: &Value, now: DateTime<Utc>) -> String {
    let part = |key: &str| made.get(key).filter(|value| !value.is_null()).map(shown);
    let columns = |key: &str| made.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
    let (before, after) = (columns("before"), columns("after"));
    let change = |(key, value): (&String, &Value)| {
        format!("{key} {} -> {}", before.get(key).map_or_else(|| "-".to_owned(), shown), shown(value))
    };
    let changes = after.iter().map(change).collect::<Vec<_>>().join(", ");
    let explanation = part("explanation").map(|text| format!(" ({text})")).unwrap_or_default();
    let (at, by) = (part("at").unwrap_or_default(), part("by").unwrap_or_default());
    line(&format!("{}, {by}: {changes}{explanation}", time(&at, now)))
}

fn line(text: &str) -> String {
    format!("{}\n", output::printable(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        read_instant(text).unwrap()
    }

    fn shown_at(object: &Value, now: &str) -> String {
        let entry = RecordView(object.as_object().unwrap().clone());
        anstream::adapter::strip_str(&portrait(&entry, "loss: last 0.5\n", at(now))).to_string()
    }

    #[test]
    fn record_is_shown_in_groups() {
        let object = json!({
            "id": 30, "status": "failed", "reason": "exit", "name": "resnet", "version": "v3",
            "train_start_time": "2026-01-01T00:00:00Z", "train_end_time": "2026-01-01T07:20:52Z", "train_duration": 26452,
            "train_metrics": {"val_loss": 0.123_456_789, "x": "\u{9b}"}, "model_path": null,
            "error_message": "exit code 1\nTraceback:\n  boom \u{1b}[31m", "command": ["python", "it's", "-x=1"],
            "lease_seconds": 300, "presumed": false, "max_rss_bytes": 13_250_560, "cpu_user_seconds": 0.5, "owner": "me",
            "tags": {"team": "a"}, "recovered_at": null,
            "context": {
                "git_commit": "abc", "notes": [{"at": "2026-01-02T00:00:00Z", "by": "me", "text": "lr"}],
                "finalized": [{
                    "by": "me", "at": "2026-01-02T00:00:00Z", "explanation": "its log", "before": {"status": "training"},
                    "after": {"status": "failed", "train_end_time": "2026-01-01T07:20:52Z"},
                }],
            },
        });
        let expected = "\
record 30, resnet v3: failed (exit) after 7h 20m 52s, ended 2026-01-01 07:20:52 UTC, 1d ago

Result
started:   2026-01-01 00:00:00 UTC, 2d ago
ended:     2026-01-01 07:20:52 UTC, 1d ago
error:     exit code 1
           Traceback:
             boom \\u{1b}[31m
val loss:  0.12346
x:         \\u{9b}

Curves
loss: last 0.5

Process
command:  python 'it'\\''s' -x=1

Resources
CPU time, user:  0.5s
most memory:     12.6 MiB

Circumstances
tag team:    a
git commit:  abc
lease:       5m

Further columns of the table
owner:  me

Notes
2026-01-02 00:00:00 UTC, 1d ago, me: lr

Decisions
2026-01-02 00:00:00 UTC, 1d ago, me: status training -> failed, train_end_time - -> 2026-01-01T07:20:52Z (its log)
";
        assert_eq!(shown_at(&object, "2026-01-03T01:00:00Z"), expected);
    }

    #[test]
    fn headline_of_a_record_in_training_has_its_age() {
        let object = json!({
            "id": 31, "status": "training", "name": "resnet", "train_start_time": "2026-01-01T00:00:00Z",
            "elapsed_seconds": 303, "last_seen_seconds_ago": 12,
        });
        let text = shown_at(&object, "2026-01-01T00:05:03Z");
        assert!(text.starts_with("record 31, resnet: training for 5m 3s, last sign of life 12s ago\n"), "{text}");
        assert!(
            shown_at(&json!({"id": "x", "status": null}), "2026-01-01T00:05:03Z").starts_with("record x: no status\n")
        );
    }
}
