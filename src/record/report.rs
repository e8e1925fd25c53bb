//! What a trainer reports: metrics, a model path, an error. Accepts the JSON that training programs write (Python's
//! `NaN`, stray NULs, lone surrogates) and converts it to JSON that every database accepts. Pure; `journal::report`
//! reads the files.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::instant::read_instant;
use super::series::{Position, number};
use super::size::{METRICS_VALUES_MAX, Size, values_in};

/// The size limit of one reported line, and of all metrics of a run together, as JSON, in bytes.
pub const METRICS_BYTES_MAX: usize = 1024 * 1024;

/// The nesting limit. serde_json stops at 128, and journal and record nest the metrics in further objects: deeper
/// metrics could be written but not read back.
const DEPTH_MAX: usize = 100;

/// Everything that a trainer has reported. `None` means not reported, and never erases an earlier value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub metrics: Option<Map<String, Value>>,
    pub model_path: Option<String>,
    pub error: Option<String>,
}

/// Why a reported line was refused. Earlier values stay.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LineError {
    #[error("{bytes} bytes are too many: the limit of a line, and of all metrics together, is {METRICS_BYTES_MAX}")]
    TooLong { bytes: usize },
    #[error("{values} values are too many: the limit of a line, and of all metrics together, is {METRICS_VALUES_MAX}")]
    TooMany { values: usize },
    #[error("not JSON: {cause}")]
    NotJson { cause: String },
    #[error("not a JSON object")]
    NotAnObject,
    #[error("objects and arrays are nested more than {DEPTH_MAX} deep")]
    TooDeep,
    #[error("\"{field}\" must be {expected}")]
    WrongType { field: &'static str, expected: &'static str },
    #[error("none of the keys \"metrics\", \"model_path\" and \"error\"")]
    Empty,
}

impl Report {
    /// Merges a later report into this one.
    ///
    /// # Errors
    /// The metrics together would exceed a limit; `self` is then unchanged.
    pub fn absorb(&mut self, later: Self) -> Result<(), LineError> {
        let known = self.metrics.as_ref().map_or(Size::default(), Size::of_all);
        self.size_with(&later, known).map(|_size| self.take(later))
    }

    /// The size of all metrics once `later` is merged, at the cost of its size: `known` is the size of the known metrics.
    ///
    /// # Errors
    /// See [`Report::absorb`].
    pub(crate) fn size_with(&self, later: &Self, known: Size) -> Result<Size, LineError> {
        let Some(metrics) = &later.metrics else { return Ok(known) };
        let replaced = |key: &String| Some(Size::of(key, self.metrics.as_ref()?.get(key)?));
        let replaced = metrics.keys().filter_map(replaced).fold(Size::default(), Size::and);
        let added = Size::of_all(metrics);
        let bytes = known.bytes + added.bytes - replaced.bytes;
        let values = known.values + added.values - replaced.values;
        if bytes > METRICS_BYTES_MAX {
            return Err(LineError::TooLong { bytes });
        }
        if values > METRICS_VALUES_MAX {
            return Err(LineError::TooMany { values });
        }
        Ok(Size { bytes, values })
    }

    /// Merges a later report whose size was accepted.
    pub(crate) fn take(&mut self, later: Self) {
        if let Some(metrics) = later.metrics {
            self.metrics.get_or_insert_default().extend(metrics);
        }
        self.model_path = later.model_path.or(self.model_path.take());
        self.error = later.error.or(self.error.take());
    }
}

/// Parses one line of the report file: `{"metrics": {…}, "step": 1, "model_path": "…", "error": "…"}`, each key optional. A step, an
/// epoch or a time that is no number is as good as none.
///
/// # Errors
/// See [`LineError`].
pub(crate) fn parse_line(line: &[u8]) -> Result<(Report, Position), LineError> {
    let mut object = parse_metrics(line)?;
    let report = Report {
        metrics: field(&mut object, "metrics", "an object")?,
        model_path: field(&mut object, "model_path", "a string")?,
        error: field(&mut object, "error", "a string")?,
    };
    if report == Report::default() {
        return Err(LineError::Empty);
    }
    let finite = |name: &str| object.get(name).and_then(number).filter(|number| number.is_finite());
    // A text is RFC 3339, as `date --iso-8601=seconds` writes it.
    let written = || read_instant(object.get("time")?.as_str()?);
    let written = || written().and_then(|instant| number(&json!(instant.timestamp_micros()))).map(|us| us / 1e6);
    let time = finite("time").or_else(written);
    Ok((report, Position { step: finite("step"), epoch: finite("epoch"), time }))
}

/// As [`parse_line`], without the position.
#[cfg(test)]
fn parse_report(line: &[u8]) -> Result<Report, LineError> {
    parse_line(line).map(|(report, _)| report)
}

/// Takes a field out of a report; null counts as absent.
fn field<T: DeserializeOwned>(
    object: &mut Map<String, Value>,
    field: &'static str,
    expected: &'static str,
) -> Result<Option<T>, LineError> {
    let value = object.remove(field).unwrap_or_default();
    serde_json::from_value(value).map_err(|_| LineError::WrongType { field, expected })
}

/// Parses a JSON object as a trainer writes it, within [`METRICS_BYTES_MAX`].
///
/// # Errors
/// See [`LineError`].
pub(crate) fn parse_metrics(text: &[u8]) -> Result<Map<String, Value>, LineError> {
    if text.len() > METRICS_BYTES_MAX {
        return Err(LineError::TooLong { bytes: text.len() });
    }
    if text.len() > METRICS_VALUES_MAX {
        let values = values_in(text);
        if values > METRICS_VALUES_MAX {
            return Err(LineError::TooMany { values });
        }
    }
    // A report may be a million lines of something else.
    if !text.contains(&b'{') {
        return Err(LineError::NotAnObject);
    }
    if is_plain(text)
        && let Ok(Value::Object(object)) = serde_json::from_slice(text)
    {
        return Ok(object);
    }
    // Some programs start a file with a byte order mark.
    let (strict, depth) = strict_json(String::from_utf8_lossy(text).trim_start_matches('\u{FEFF}'));
    if depth > DEPTH_MAX {
        return Err(LineError::TooDeep);
    }
    let value = serde_json::from_str(&strict).map_err(|error| LineError::NotJson { cause: error.to_string() })?;
    if let Value::Object(object) = value { Ok(object) } else { Err(LineError::NotAnObject) }
}

/// Whether text that is JSON needs no conversion: no NUL, no escape, which may be one or half a character, and too few brackets to
/// nest deeply. A million lines are read at the end of a run, within seconds.
fn is_plain(text: &[u8]) -> bool {
    let brackets = text.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
    brackets <= DEPTH_MAX && !text.contains(&0) && !text.contains(&b'\\')
}

/// Converts Python's `NaN`, `Infinity` and `-Infinity` to strings, and lone surrogate escapes and NULs in strings to
/// U+FFFD. NULs elsewhere become blanks: a file that was truncated while being written starts with them. Also returns how
/// deep objects and arrays are nested.
fn strict_json(text: &str) -> (String, usize) {
    const WORDS: [&str; 3] = ["NaN", "-Infinity", "Infinity"];
    let mut strict = String::with_capacity(text.len());
    let mut rest = text;
    let (mut in_string, mut depth, mut deepest) = (false, 0_usize, 0);
    while let Some(character) = rest.chars().next() {
        let length = if in_string && character == '\\' {
            escape(rest, &mut strict)
        } else if let Some(word) = WORDS.iter().find(|word| !in_string && rest.starts_with(**word)) {
            strict.extend(["\"", *word, "\""]);
            word.len()
        } else {
            match character {
                '"' => in_string = !in_string,
                '[' | '{' if !in_string => depth += 1,
                ']' | '}' if !in_string => depth = depth.saturating_sub(1),
                _ => {}
            }
            deepest = deepest.max(depth);
            strict.push(match character {
                '\0' if in_string => '\u{FFFD}',
                '\0' => ' ',
                other => other,
            });
            character.len_utf8()
        };
        rest = &rest[length..];
    }
    (strict, deepest)
}

/// Copies the escape at the start of `rest` and returns its length in bytes. A NUL and a surrogate without its pair
/// become U+FFFD.
fn escape(rest: &str, strict: &mut String) -> usize {
    let unit = |at: usize| {
        let digits = rest.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let length = match (unit(0), unit(6)) {
        (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
        (Some(0 | 0xD800..=0xDFFF), _) => {
            strict.push('\u{FFFD}');
            return 6;
        }
        (Some(_), _) => 6,
        (None, _) => 1 + rest.chars().nth(1).map_or(0, char::len_utf8),
    };
    strict.push_str(&rest[..length]);
    length
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn reads(line: &str, metrics: &Value) {
        assert_eq!(Value::Object(parse_report(line.as_bytes()).unwrap().metrics.unwrap()), *metrics);
    }

    #[test]
    fn nan_and_infinity_become_strings() {
        reads(
            r#"{"metrics": {"a": NaN, "b": [Infinity, -Infinity, -1], "c": "NaN \" Infinity"}}"#,
            &json!({"a": "NaN", "b": ["Infinity", "-Infinity", -1], "c": "NaN \" Infinity"}),
        );
    }

    #[test]
    fn nul_and_invalid_text_are_replaced() {
        reads(r#"{"metrics": {"a\u0000": "x\u0000y"}}"#, &json!({"a\u{FFFD}": "x\u{FFFD}y"}));
        reads(
            r#"{"metrics": {"a": "\udcff", "b": "\ud83d\ude00", "c": "\ud83dx", "d": "\\ud800"}}"#,
            &json!({"a": "\u{FFFD}", "b": "😀", "c": "\u{FFFD}x", "d": "\\ud800"}),
        );
        let report = parse_report(b"{\"model_path\": \"a\xffb\"}").unwrap();
        assert_eq!(report.model_path.unwrap(), "a\u{FFFD}b");
        reads("\0\0{\"metrics\": {\"a\0\": \"x\0\\\\\0\"}}\0", &json!({"a\u{FFFD}": "x\u{FFFD}\\\u{FFFD}"}));
    }

    #[test]
    fn byte_order_mark_and_carriage_return_are_stripped() {
        reads("\u{FEFF}{\"metrics\": {\"a\": 1}}\r", &json!({"a": 1}));
    }

    #[test]
    fn accepted_metrics_can_be_read_back_when_nested() {
        let nested = |levels: usize| format!("{{\"a\": {}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        let metrics = parse_metrics(nested(DEPTH_MAX).as_bytes()).unwrap();
        let mut within = Value::Object(metrics);
        for _ in 0..20 {
            within = json!([within]);
        }
        assert_eq!(serde_json::from_str::<Value>(&within.to_string()).unwrap(), within);
        for levels in [DEPTH_MAX + 1, METRICS_VALUES_MAX] {
            assert_eq!(parse_metrics(nested(levels).as_bytes()), Err(LineError::TooDeep));
        }
        assert!(parse_metrics(nested(METRICS_BYTES_MAX / 4).as_bytes()).is_err());
        parse_metrics(format!("{{\"a\": \"\\\"{}\"}}", "[".repeat(1000)).as_bytes()).unwrap();
    }

    #[test]
    fn invalid_line_names_its_error() {
        let refused = |line: &str| parse_report(line.as_bytes()).unwrap_err().to_string();
        assert!(refused("{\"metrics\": {").starts_with("not JSON: "));
        assert_eq!(refused("[1]"), "not a JSON object");
        assert_eq!(refused(r#"{"metrics": 3}"#), "\"metrics\" must be an object");
        assert_eq!(refused(r#"{"error": {}}"#), "\"error\" must be a string");
        assert!(refused(r#"{"loss": 0.1}"#).starts_with("none of"));
        assert!(refused(&format!("{{\"error\": \"{}\"}}", "x".repeat(METRICS_BYTES_MAX))).contains("too many"));
    }

    #[test]
    fn later_report_wins_key_by_key_and_erases_nothing() {
        let mut known = parse_report(br#"{"metrics": {"a": 1, "b": {"c": 2}}, "model_path": "m"}"#).unwrap();
        known.absorb(parse_report(br#"{"metrics": {"b": 3}, "error": "e"}"#).unwrap()).unwrap();
        known.absorb(Report::default()).unwrap();
        assert_eq!(Value::Object(known.metrics.unwrap()), json!({"a": 1, "b": 3}));
        assert_eq!((known.model_path.as_deref(), known.error.as_deref()), (Some("m"), Some("e")));
    }

    #[test]
    fn replacing_lines_stay_within_the_limit() {
        let (mut known, mut size) = (Report::default(), Size::default());
        let large = Value::String("x".repeat(METRICS_BYTES_MAX / 2));
        let mut absorb = |key: &str, value: &Value| {
            let later = Report { metrics: json!({key: value}).as_object().cloned(), ..Report::default() };
            size = known.size_with(&later, size)?;
            known.take(later);
            Ok::<(), LineError>(())
        };
        absorb("large", &large).unwrap();
        for step in 0..100_000 {
            absorb("step", &json!(step)).unwrap();
        }
        for _ in 0..10 {
            absorb("large", &large).unwrap();
        }
        assert!(matches!(absorb("larger", &large), Err(LineError::TooLong { .. })));
        let metrics = known.metrics.unwrap();
        assert_eq!((&metrics["step"], Size::of_all(&metrics)), (&json!(99_999), size));
    }

    /// A line of less than 1 MiB took 437 MB of the keeper.
    #[test]
    fn values_over_the_limit_are_refused_and_punctuation_in_texts_is_none() {
        let many = |opening: &str, closing: &str, item: &str, count: usize| {
            let items = vec![item; count].join(",");
            parse_report(format!("{{\"metrics\": {{\"a\": {opening}{items}{closing}}}}}").as_bytes())
        };
        assert!(many("[", "]", "1", METRICS_VALUES_MAX - 10).is_ok());
        for item in ["1", "\"\"", "{}", "[]", "[[1]]"] {
            assert!(matches!(many("[", "]", item, 2 * METRICS_VALUES_MAX), Err(LineError::TooMany { .. })), "{item}");
        }
        assert!(many("\"", "\"", "[{\\\"", 3 * METRICS_VALUES_MAX).is_ok());
        let half = |key: &str| {
            many("[", "]", "1", METRICS_VALUES_MAX / 2).map(|report| Report {
                metrics: report
                    .metrics
                    .map(|metrics| metrics.into_iter().map(|(_, value)| (key.to_owned(), value)).collect()),
                ..report
            })
        };
        let mut known = half("a").unwrap();
        assert!(matches!(known.absorb(half("b").unwrap()), Err(LineError::TooMany { .. })));
        known.absorb(half("a").unwrap()).unwrap();
    }

    #[test]
    fn metrics_over_the_limit_are_refused_and_earlier_ones_kept() {
        let half = |key: &str| Report {
            metrics: json!({key: "x".repeat(METRICS_BYTES_MAX / 2)}).as_object().cloned(),
            ..Report::default()
        };
        let mut known = half("a");
        assert!(matches!(known.absorb(half("b")), Err(LineError::TooLong { .. })));
        assert_eq!(known, half("a"));
        known.absorb(half("a")).unwrap();
    }

    proptest! {
        #[test]
        fn no_line_panics_and_valid_json_is_kept(text in any::<String>(), number in any::<f64>()) {
            let _ignored_error = parse_report(text.as_bytes()).err();
            let line = json!({"metrics": {text.replace('\0', ""): number}});
            let (strict, _) = strict_json(&line.to_string());
            prop_assert_eq!(serde_json::from_str::<Value>(&strict).unwrap(), line);
        }
    }
}
