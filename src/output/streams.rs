//! The only writers to stdout and stderr.

use std::io::{self, ErrorKind, Write};

use super::printable::{printable, shortened};

/// Writes `text` to stdout. A closed pipe is success: the reader of `runwrap list | head -1` needs no more.
///
/// # Errors
/// Any other error of stdout, such as a full disk.
pub(crate) fn print(text: &str) -> io::Result<()> {
    write_until_closed(&mut io::stdout().lock(), text)
}

/// Writes an error and its hint to stderr. Ignores errors of stderr: no other channel is left.
pub(crate) fn report_error(message: &str, hint: Option<&str>) {
    let text = format_message(message, hint);
    io::stderr().lock().write_all(text.as_bytes()).ok();
}

/// `message` and `hint`, each line prefixed `runwrap: `; one string for one write to stderr.
pub(crate) fn format_message(message: &str, hint: Option<&str>) -> String {
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

fn write_until_closed(out: &mut impl Write, text: &str) -> io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct FailingWriter(ErrorKind);

    impl Write for FailingWriter {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_success_and_a_full_disk_is_not() {
        assert!(write_until_closed(&mut FailingWriter(ErrorKind::BrokenPipe), "x").is_ok());
        assert!(write_until_closed(&mut FailingWriter(ErrorKind::StorageFull), "x").is_err());
    }

    #[test]
    fn each_line_of_a_message_is_prefixed_and_escaped() {
        assert_eq!(
            format_message("cannot do it:\nno \u{1b}[2J", Some("try again")),
            "runwrap: cannot do it:\nrunwrap: no \\u{1b}[2J\nrunwrap: hint: try again\n"
        );
    }
}
