//! `runwrap report`: appends one line to the file that `RUNWRAP_REPORT` names, for trainers that cannot append to a file.
//! Must not open anything else.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::invocation::ReportArgs;
use crate::config;
use crate::record::{LineError, parse_line};
use crate::sys::clock;
use crate::sys::fs::append_to_plain;

/// The report file of the run.
const VARIABLE: &str = "RUNWRAP_REPORT";

#[derive(Debug, Error)]
pub enum ReportError {
    #[error("{VARIABLE} is not set")]
    NotInARun,
    #[error("the line was refused: {0}")]
    Refused(#[from] LineError),
    #[error("the current directory is unknown: {0}")]
    NoDirectory(io::Error),
    #[error("there is no home directory for ~")]
    NoHome,
    #[error("{}: {cause}", path.display())]
    Unwritable { path: PathBuf, cause: io::Error },
}

impl ReportError {
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotInARun => Some("call runwrap report inside a run: runwrap -- COMMAND"),
            Self::Refused(LineError::TooLong { .. } | LineError::TooMany { .. }) => {
                Some("save large results to a file and report its path as a metric")
            }
            Self::Refused(LineError::Empty) => {
                Some("give at least one of --metric NAME=VALUE, --model-path and --error")
            }
            Self::Refused(LineError::TooDeep) => Some("report its parts as separate metrics, or report it as text"),
            Self::Refused(LineError::NotJson { .. } | LineError::NotAnObject | LineError::WrongType { .. }) => None,
            Self::NoDirectory(_) | Self::NoHome => Some("write --model-path as an absolute path"),
            Self::Unwritable { .. } => Some("check that the run has not ended: it removes the file"),
        }
    }
}

/// Appends a line to the report file of the run that this process belongs to.
///
/// # Errors
/// There is no run, the report is too large, or the file cannot be written.
pub(super) fn report(args: &ReportArgs) -> Result<(), ReportError> {
    let path = env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let line = line(args, env::current_dir, clock::wall_time())?;
    append(&path.ok_or(ReportError::NotInARun)?, &line)
}

/// The line without its line feed, checked by the parser of the run.
fn line(
    args: &ReportArgs,
    directory: impl FnOnce() -> io::Result<PathBuf>,
    now: DateTime<Utc>,
) -> Result<String, ReportError> {
    let metrics: Map<_, _> = args.metrics.iter().map(|(name, text)| (name.clone(), metric(text))).collect();
    let model_path = args.model_path.as_ref().map(|typed| absolute_path(typed, directory)).transpose()?;
    // Seconds since 1970, with which the curve has this value.
    let time = || {
        Some(json!(f64::from(u32::try_from(now.timestamp()).ok()?) + f64::from(now.timestamp_subsec_millis()) / 1e3))
    };
    let has_metrics = !args.metrics.is_empty();
    let given = [
        ("metrics", Some(Value::Object(metrics)).filter(|_| has_metrics)),
        ("step", args.step.clone().map(Value::Number)),
        ("time", time().filter(|_| has_metrics)),
        ("model_path", model_path.map(Value::String)),
        ("error", args.error.clone().map(Value::String)),
    ];
    let line: Map<_, _> = given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
    let line = Value::Object(line).to_string();
    parse_line(line.as_bytes())?;
    Ok(line)
}

/// An absolute path; a URL stays as it is. `~/` at its start is the home directory.
pub(super) fn absolute_path(typed: &str, cwd: impl FnOnce() -> io::Result<PathBuf>) -> Result<String, ReportError> {
    if Path::new(typed).is_absolute() || typed.contains("://") {
        return Ok(typed.to_owned());
    }
    let path = match Path::new(typed).strip_prefix("~") {
        Ok(below_home) => config::home().ok_or(ReportError::NoHome)?.join(below_home),
        Err(_) => cwd().map_err(ReportError::NoDirectory)?.join(typed),
    };
    Ok(path.to_string_lossy().into_owned())
}

/// A number in the syntax of JSON or of a programming language, or other JSON; any other text as it is.
fn metric(text: &str) -> Value {
    let number = || {
        text.parse::<f64>().ok().map(|number| match number {
            f64::INFINITY => json!("Infinity"),
            f64::NEG_INFINITY => json!("-Infinity"),
            number if number.is_nan() => json!("NaN"),
            number => json!(number),
        })
    };
    serde_json::from_str(text).ok().or_else(number).unwrap_or_else(|| json!(text))
}

fn append(path: &Path, line: &str) -> Result<(), ReportError> {
    let unwritable = |cause| ReportError::Unwritable { path: path.to_owned(), cause };
    let mut file = append_to_plain(path).map_err(unwritable)?;
    let bytes = format!("{line}\n");
    // One write: other writers append to the same file.
    let written = file.write(bytes.as_bytes()).map_err(unwritable)?;
    if written == bytes.len() { Ok(()) } else { Err(unwritable(io::ErrorKind::StorageFull.into())) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::Number;

    use super::*;
    use crate::record::{METRICS_BYTES_MAX, same_json};

    fn line_of(metrics: &[(&str, &str)], model_path: Option<&str>, error: Option<&str>) -> Result<String, ReportError> {
        let metrics = metrics.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let step = error.map(|_| Number::from(120));
        let args = ReportArgs { metrics, step, model_path: owned(model_path), error: owned(error) };
        line(&args, || Ok(PathBuf::from("/here dir")), "2025-11-26T18:00:02.25Z".parse().unwrap())
    }

    #[test]
    fn a_report_is_one_line_of_json() {
        let line = line_of(&[("loss", "0.12"), ("epoch", "3")], Some("out/m.pt"), Some("two\nlines")).unwrap();
        assert_eq!(
            line,
            r#"{"metrics":{"loss":0.12,"epoch":3},"step":120,"time":1764180002.25,"model_path":"/here dir/out/m.pt","error":"two\nlines"}"#
        );
        assert_eq!(line_of(&[], Some("s3://b/m"), None).unwrap(), r#"{"model_path":"s3://b/m"}"#);
        assert_eq!(line_of(&[], Some("/m"), None).unwrap(), r#"{"model_path":"/m"}"#);
    }

    #[test]
    fn values_are_numbers_json_or_text() {
        for (text, value) in [
            ("1e-3", serde_json::from_str("1e-3").unwrap()),
            (".5", json!(0.5)),
            ("nan", json!("NaN")),
            ("-inf", json!("-Infinity")),
            ("Infinity", json!("Infinity")),
            ("true", json!(true)),
            ("[1, 2]", json!([1, 2])),
            ("adam", json!("adam")),
            ("", json!("")),
        ] {
            assert!(same_json(&metric(text), &value), "{text}");
        }
    }

    #[test]
    fn empty_and_oversized_reports_are_refused() {
        assert!(matches!(line_of(&[], None, None), Err(ReportError::Refused(LineError::Empty))));
        let large = "x".repeat(METRICS_BYTES_MAX);
        assert!(matches!(line_of(&[("a", &large)], None, None), Err(ReportError::Refused(LineError::TooLong { .. }))));
    }

    #[test]
    fn lines_are_appended_only_to_an_existing_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report");
        assert!(matches!(append(&path, "{}"), Err(ReportError::Unwritable { .. })));
        assert!(!path.exists());
        fs::File::create(&path).unwrap();
        append(&path, "{\"a\":1}").unwrap();
        append(&path, "{\"a\":2}").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"a\":2}\n");
    }
}
