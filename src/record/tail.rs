//! The end of a log as an error message: readable text from what a program wrote for a terminal. Pure.

/// The readable lines of `written`, the end of a log: without control characters, each progress bar as it was last drawn.
/// `cut` says that more came before: then the first line is not whole and is left out. `None` where nothing is left.
#[must_use]
pub fn readable_tail(written: &[u8], cut: bool) -> Option<String> {
    let text = String::from_utf8_lossy(written);
    let lines = text.split('\n').skip(usize::from(cut && text.contains('\n')));
    let lines: Vec<String> = lines.map(last_drawn).map(|line| without_control(&line)).collect();
    let text = lines.join("\n");
    let text = text.trim_matches('\n').trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}

/// What a line looks like after all its carriage returns.
fn last_drawn(line: &str) -> String {
    line.rsplit('\r').find(|drawn| !drawn.trim().is_empty()).unwrap_or_default().to_owned()
}

/// Without escape sequences (`ESC [ … letter`, `ESC ] … BEL` or `… ESC \`, `ESC` and one more) and other control characters,
/// tabs aside.
fn without_control(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(character) = rest.next() {
        if character != '\u{1b}' {
            kept.extend(Some(character).filter(|character| *character == '\t' || !character.is_control()));
            continue;
        }
        match rest.next() {
            Some('[') => drop(rest.find(|character| ('@'..='~').contains(character))),
            Some(']') => {
                if rest.find(|character| matches!(character, '\u{7}' | '\u{1b}')) == Some('\u{1b}') {
                    rest.next();
                }
            }
            Some(_) | None => {}
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::readable_tail;

    #[test]
    fn a_log_for_a_terminal_becomes_plain_text() {
        let written = b"rt of a line\n 10%|#   \r 50%|##  \r100%|####\n\x1b[31mTraceback\x1b[0m:\n\tboom\x07 \xff\x1b]0;title\x07!\r\n\n";
        assert_eq!(readable_tail(written, true).unwrap(), "100%|####\nTraceback:\n\tboom \u{FFFD}!");
        let link = b"see \x1b]8;;file:///a\x1b\\line 3\x1b]8;;\x1b\\, please";
        assert_eq!(readable_tail(link, false).unwrap(), "see line 3, please");
        assert_eq!(readable_tail(b"only one line", true).unwrap(), "only one line");
        assert_eq!(readable_tail(b"first\nsecond\n", false).unwrap(), "first\nsecond");
        assert_eq!(readable_tail(b"\r\n\x1b[2K\n", false), None);
        assert_eq!(readable_tail(b"", false), None);
    }
}
