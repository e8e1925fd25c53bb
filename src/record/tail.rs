//! Converts the end of a terminal log to a readable error message. Pure.

/// Marks text that was cut off before the first line.
const CUT: char = '…';

/// The readable lines of `written`: without control characters, each progress bar as last drawn; `None` if nothing is
/// left. `cut` means that earlier output was cut off. The first line may then be incomplete; it is kept because the
/// error is often at its end.
pub(crate) fn readable_tail(written: &[u8], cut: bool) -> Option<String> {
    // The rest of a UTF-8 character that was cut in two.
    let partial = written.iter().take_while(|byte| cut && (0x80..0xC0).contains(*byte)).count();
    let mut text = String::from_utf8_lossy(&written[partial..]).into_owned();
    if cut {
        text.insert(0, CUT);
    }
    let text = text.split('\n').map(last_drawn).collect::<Vec<_>>().join("\n");
    let text = text.trim_matches('\n').trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A line after all its carriage returns: the last drawing that is not blank.
fn last_drawn(line: &str) -> String {
    let mut drawings = line.rsplit('\r').map(without_control);
    drawings.find(|drawn| !drawn.trim_start_matches(CUT).trim().is_empty()).unwrap_or_default()
}

/// Removes escape sequences (`ESC [ … letter`, `ESC ] … BEL` or `… ESC \`, `ESC` and one more, with intermediate bytes)
/// and control characters except tabs.
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
            // Selects a character set: `ESC ( B`, as `tput sgr0` writes it.
            Some(' '..='/') => drop(rest.find(|character| !(' '..='/').contains(character))),
            Some(_) | None => {}
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::readable_tail;

    #[test]
    fn terminal_log_becomes_plain_text() {
        let written = b"rt of a line\n 10%|#   \r 50%|##  \r100%|####\n\x1b[31mTraceback\x1b(B\x1b[m:\n\tboom\x07 \xff\x1b]0;title\x07!\r\n\n";
        assert_eq!(readable_tail(written, true).unwrap(), "…rt of a line\n100%|####\nTraceback:\n\tboom \u{FFFD}!");
        let link = b"see \x1b]8;;file:///a\x1b\\line 3\x1b]8;;\x1b\\, please";
        assert_eq!(readable_tail(link, false).unwrap(), "see line 3, please");
        assert_eq!(readable_tail(b"first\nsecond\n", false).unwrap(), "first\nsecond");
        assert_eq!(readable_tail(b"boom\r\x1b[0m\n", false).unwrap(), "boom");
        for (nothing, cut) in
            [(&b"\r\n\x1b[2K\n"[..], false), (b"", false), (b"", true), (b"\x82\xac\x1b[m\n\r \n", true)]
        {
            assert_eq!(readable_tail(nothing, cut), None);
        }
    }

    #[test]
    fn cut_line_is_kept_and_marked() {
        assert_eq!(readable_tail(b"only one line", true).unwrap(), "…only one line");
        assert_eq!(readable_tail(b"and a newline\n", true).unwrap(), "…and a newline");
        assert_eq!(readable_tail(b"\nwhole\n", true).unwrap(), "whole");
        assert_eq!(readable_tail(b"##  \r 50%\n", true).unwrap(), " 50%");
        assert_eq!(readable_tail("€ 5".as_bytes().get(1..).unwrap(), true).unwrap(), "… 5");
    }
}
