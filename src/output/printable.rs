//! Text that is safe to show: no byte of a database, a server or a trainer drives the reader's terminal.
//! Pure. Called by the rest of `output` and by `logging`.

use std::borrow::Cow;
use std::fmt::Write;

/// `text` with every character that a terminal might obey, or that hides or reorders its neighbours, as an escape.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_unsafe(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// What one value in a log, or one line of a message, may take, in characters. The longest are errors of a server, which
/// may say megabytes.
const CHARACTERS_MAX: usize = 2048;

/// As much of `text` as is shown, and the mark of a cut where that is not all of it.
#[must_use]
pub fn shortened(text: &str) -> (&str, &'static str) {
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => (&text[..end], "…"),
        None => (text, ""),
    }
}

/// Rendered JSON with its unsafe characters as `\uXXXX`. JSON itself escapes only those below U+0020; line feeds
/// between its parts stay.
#[must_use]
pub fn printable_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for character in json.chars() {
        if is_unsafe(character) && character != '\n' {
            // All unsafe characters lie in the basic plane, so one unit of four digits is enough.
            let escaped = write!(shown, "\\u{:04x}", u32::from(character));
            debug_assert!(escaped.is_ok(), "a String takes every write");
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Control characters (C0, DEL, C1), line and paragraph separators, and the marks that change the direction of text.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped_and_the_rest_is_kept() {
        assert_eq!(printable("naïve 😀 \\ \""), "naïve 😀 \\ \"");
        assert_eq!(printable("a\u{1b}[31mb\r\n"), "a\\u{1b}[31mb\\r\\n");
        assert_eq!(printable("\u{9b}2J\u{7f}\u{202e}x"), "\\u{9b}2J\\u{7f}\\u{202e}x");
    }

    #[test]
    fn what_is_longer_than_is_shown_is_cut_between_two_characters_and_marked() {
        let fits = "€".repeat(CHARACTERS_MAX);
        assert_eq!(shortened(&fits), (fits.as_str(), ""));
        assert_eq!(shortened(&format!("{fits}€")), (fits.as_str(), "…"));
    }

    #[test]
    fn escaped_json_reads_back_as_itself() {
        let value = serde_json::json!({"a\u{9b}": "\u{7f}\u{202e}\u{2028} plain \n \u{1b}"});
        let shown = printable_json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(shown.contains("\\u009b") && !shown.contains('\u{9b}') && !shown.contains('\u{202e}'));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
