//! Formats log records, `key=value` for the file and sentences for stderr, and writes each in one write.

use std::io::{self, Write};
use std::process;

use log::Record;
use log::kv::{Error, Key, Value, VisitSource};

use crate::output::{format_message, printable, shortened};

/// `pid=7 event=… key=value … message="…"` on one line, without control characters. `run_id` is added to records
/// without one.
pub(super) fn for_file(record: &Record<'_>, run_id: Option<&str>) -> String {
    let mut fields = fields(record);
    if let Some(run_id) = run_id.filter(|_| fields.iter().all(|(key, _)| key != "run_id")) {
        fields.push(("run_id".to_owned(), run_id.to_owned()));
    }
    let message = Some(record.args().to_string()).filter(|message| !message.is_empty());
    fields.extend(message.map(|message| ("message".to_owned(), message)));
    format!("pid={} {}", process::id(), pairs(&fields))
}

/// `runwrap: ` and the message, then the hint. No trailing newline. `None` for a record without a message.
pub(super) fn for_stderr(record: &Record<'_>) -> Option<String> {
    let message = Some(record.args().to_string()).filter(|message| !message.is_empty())?;
    let hint = fields(record).into_iter().find(|(key, _)| key == "hint").map(|(_, value)| value);
    let mut text = format_message(&message, hint.as_deref());
    text.pop();
    Some(text)
}

fn fields(record: &Record<'_>) -> Vec<(String, String)> {
    struct Fields(Vec<(String, String)>);

    impl<'kvs> VisitSource<'kvs> for Fields {
        fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
            self.0.push((key.to_string(), value.to_string()));
            Ok(())
        }
    }

    let mut fields = Fields(Vec::new());
    // `Fields` never fails; an unreadable value drops one field.
    record.key_values().visit(&mut fields).ok();
    fields.0
}

fn pairs(fields: &[(String, String)]) -> String {
    fields.iter().map(|(key, value)| format!("{key}={}", quoted(value))).collect::<Vec<_>>().join(" ")
}

/// A plain word unquoted, anything else in double quotes, shortened if too long.
fn quoted(value: &str) -> String {
    let (shortened, ellipsis) = shortened(value);
    let is_plain = |character: char| !character.is_whitespace() && !matches!(character, '"' | '\\' | '=');
    let shown = printable(shortened);
    if ellipsis.is_empty() && !value.is_empty() && shown == value && value.chars().all(is_plain) {
        return value.to_owned();
    }
    // Escape the value's own backslashes and quotes first: the ones added by `printable` must stay single.
    let escaped = shortened.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}{ellipsis}\"", printable(&escaped))
}

/// Buffers a line and writes it in one write: simplelog writes a record in several pieces, and another process could
/// write in between.
pub(super) struct WholeLineWriter<W> {
    inner: W,
    pending: Vec<u8>,
}

impl<W: Write> WholeLineWriter<W> {
    pub(super) const fn new(inner: W) -> Self {
        Self { inner, pending: Vec::new() }
    }
}

impl<W: Write> Write for WholeLineWriter<W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(piece);
        if self.pending.ends_with(b"\n") {
            // Not retried: a log must not wait.
            let result = self.inner.write_all(&self.pending);
            self.pending.clear();
            result?;
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use log::Level;

    use super::*;

    #[test]
    fn ambiguous_values_are_quoted() {
        for (value, text) in [
            ("plain", "plain"),
            ("12.5", "12.5"),
            ("", r#""""#),
            ("two words", r#""two words""#),
            ("a=b", r#""a=b""#),
            ("say \"hi\"\\", r#""say \"hi\"\\""#),
            ("line\nfeed\u{1b}", r#""line\nfeed\u{1b}""#),
        ] {
            assert_eq!(quoted(value), text);
        }
        let long = "x".repeat(2049);
        assert_eq!(quoted(&long), format!("\"{}…\"", "x".repeat(2048)));
    }

    #[test]
    fn file_gets_the_fields_and_stderr_the_message() {
        let pairs =
            [("event", Value::from("deliver_failed")), ("attempt", Value::from(3)), ("hint", Value::from("wait"))];
        let mut builder = Record::builder();
        builder.level(Level::Warn).key_values(&pairs);
        let record = builder.args(format_args!("cannot deliver: no\nroute")).build();
        assert_eq!(
            for_file(&record, None),
            format!(
                r#"pid={} event=deliver_failed attempt=3 hint=wait message="cannot deliver: no\nroute""#,
                process::id()
            )
        );
        assert_eq!(for_stderr(&record).unwrap(), "runwrap: cannot deliver: no\nrunwrap: route\nrunwrap: hint: wait");
    }

    #[test]
    fn record_without_a_message_is_for_the_file_only() {
        let pairs = [("event", "heartbeat"), ("table", "a b")];
        let mut builder = Record::builder();
        builder.level(Level::Info).key_values(&pairs);
        let record = builder.args(format_args!("")).build();
        assert_eq!(for_file(&record, None), format!(r#"pid={} event=heartbeat table="a b""#, process::id()));
        assert_eq!(
            for_file(&record, Some("7")),
            format!(r#"pid={} event=heartbeat table="a b" run_id=7"#, process::id())
        );
        assert_eq!(for_stderr(&record), None);
    }

    #[test]
    fn pieces_of_a_line_become_one_write() {
        struct Writes(Vec<Vec<u8>>);

        impl Write for Writes {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.push(bytes.to_vec());
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let mut writer = WholeLineWriter::new(Writes(Vec::new()));
        for piece in ["time ", "[INFO] ", "a", "\n", "b\n"] {
            writer.write_all(piece.as_bytes()).unwrap();
        }
        assert_eq!(writer.inner.0, [b"time [INFO] a\n".to_vec(), b"b\n".to_vec()]);
    }
}
