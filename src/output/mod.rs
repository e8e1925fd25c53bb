//! How runwrap speaks to people and programs: tables, JSON, and the only two places that write to stdout and stderr.
//! Must not know where the data comes from, and must not be called while a trainer runs, save for [`complain`].
//! Called by `logging`, the commands and `main`.

mod array;
mod human;
mod printable;
mod progress;
mod table;

use std::io::{self, ErrorKind, Write};

use serde_json::Value;

pub use array::Array;
pub use human::{ago, duration, utc};
pub use printable::{printable, printable_json, shortened};
pub use progress::ProgressBar;
pub use table::{key_values, table};

/// Writes `text` to stdout. A reader that went away (`runwrap list | head -1`) has had enough: that is success.
///
/// # Errors
/// Any other failure of stdout, such as a full disk.
pub fn print(text: &str) -> io::Result<()> {
    write_until_closed(&mut io::stdout().lock(), text)
}

/// Says on stderr what went wrong and what to do about it, each line prefixed `runwrap: `.
/// Where stderr itself fails there is nobody left to tell.
pub fn complain(message: &str, hint: Option<&str>) {
    let text = complaint(message, hint);
    io::stderr().lock().write_all(text.as_bytes()).ok();
}

/// The text of [`complain`]; one string, so that it reaches stderr in one write.
#[must_use]
pub fn complaint(message: &str, hint: Option<&str>) -> String {
    let mut text = String::new();
    for line in message.lines() {
        let (line, ellipsis) = shortened(line);
        text.extend(["runwrap: ", &printable(line), ellipsis, "\n"]);
    }
    for line in hint.unwrap_or_default().lines() {
        text.extend(["runwrap: hint: ", &printable(line), "\n"]);
    }
    text
}

/// `value` as indented JSON that is safe on a terminal, with a line feed at its end.
#[must_use]
pub fn json(value: &Value) -> String {
    format!("{}\n", printable_json(&format!("{value:#}")))
}

fn write_until_closed(out: &mut impl Write, text: &str) -> io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Refusing(ErrorKind);

    impl Write for Refusing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_success_and_a_full_disk_is_not() {
        assert!(write_until_closed(&mut Refusing(ErrorKind::BrokenPipe), "x").is_ok());
        assert!(write_until_closed(&mut Refusing(ErrorKind::StorageFull), "x").is_err());
    }

    #[test]
    fn a_complaint_is_prefixed_line_by_line_and_harmless() {
        assert_eq!(
            complaint("cannot do it:\nno \u{1b}[2J", Some("try again")),
            "runwrap: cannot do it:\nrunwrap: no \\u{1b}[2J\nrunwrap: hint: try again\n"
        );
    }

    #[test]
    fn json_is_indented_and_harmless() {
        assert_eq!(json(&json!([{"a": "\u{9b}"}])), "[\n  {\n    \"a\": \"\\u009b\"\n  }\n]\n");
        assert_eq!(json(&json!([])), "[]\n");
    }
}
