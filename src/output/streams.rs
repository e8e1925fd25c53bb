//! The only writers to stdout and stderr.

use std::io::{self, ErrorKind, IsTerminal, Write};

use anstream::adapter::strip_str;
use anstream::{AutoStream, ColorChoice};

use super::printable::{printable, printable_lines, shortened};

/// The columns and lines of a terminal of unknown size.
const SIZE_DEFAULT: (u32, u32) = (80, 24);

/// Writes `text` to stdout. A closed pipe is success: the reader of `runwrap list | head -1` needs no more.
///
/// # Errors
/// Any other error of stdout, such as a full disk.
pub(crate) fn print(text: &str) -> io::Result<()> {
    write_until_closed(&mut io::stdout().lock(), text)
}

/// As [`print()`]; on a terminal without characters that would control it.
///
/// # Errors
/// As there.
pub(crate) fn print_data(text: &str) -> io::Result<()> {
    if io::stdout().is_terminal() { print(&printable_lines(text)) } else { print(text) }
}

/// `text` with its styles if `choice`, or else stdout and the environment (NO_COLOR, CLICOLOR, TERM) permit them.
pub(crate) fn styled(text: String, choice: ColorChoice) -> String {
    let choice = if choice == ColorChoice::Auto { AutoStream::choice(&io::stdout()) } else { choice };
    if choice == ColorChoice::Never { strip_str(&text).to_string() } else { text }
}

/// The columns and lines of the terminal that stdout is; `None` if it is none.
pub(crate) fn terminal_size() -> Option<(u32, u32)> {
    let is_terminal = io::stdout().is_terminal();
    let size = terminal_size::terminal_size_of(io::stdout()).map(|(width, height)| (width.0.into(), height.0.into()));
    is_terminal.then(|| size.unwrap_or(SIZE_DEFAULT))
}

/// The width of the terminal that stdout is; `None` if it is none.
pub(crate) fn terminal_columns() -> Option<u32> {
    terminal_size().map(|(columns, _)| columns)
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
