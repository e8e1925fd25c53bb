//! Escapes text of databases, servers and trainers, so that it cannot control the reader's terminal. Pure.

/// `text` with an escape for every control character, and for those that hide or reorder text.
pub(crate) fn printable(text: &str) -> String {
    escaped(text, |character| character.escape_default().collect())
}

/// As [`printable`]; line feeds and tabs stay.
pub(crate) fn printable_lines(text: &str) -> String {
    escaped(text, |character| match character {
        '\n' | '\t' => character.to_string(),
        _ => character.escape_default().collect(),
    })
}

/// Rendered JSON with its unsafe characters as `\uXXXX`; JSON itself escapes only those below U+0020. Line feeds stay.
pub(super) fn printable_json(json: &str) -> String {
    // All unsafe characters have at most four hexadecimal digits.
    escaped(json, |character| if character == '\n' { "\n".into() } else { format!("\\u{:04x}", u32::from(character)) })
}

fn escaped(text: &str, escape: impl Fn(char) -> String) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unsafe(character) {
            shown.push_str(&escape(character));
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Limit on a value in the log, and on a line of a message. An error of a server may have megabytes.
const CHARACTERS_MAX: usize = 2048;

/// The beginning of `text` up to the limit, and `…` if it was cut.
pub(crate) fn shortened(text: &str) -> (&str, &'static str) {
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => (&text[..end], "…"),
        None => (text, ""),
    }
}

/// Control characters (C0, DEL, C1), line and paragraph separators, and marks of text direction.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_the_rest_is_kept() {
        assert_eq!(printable("naïve 😀 \\ \""), "naïve 😀 \\ \"");
        assert_eq!(printable("a\u{1b}[31mb\r\n"), "a\\u{1b}[31mb\\r\\n");
        assert_eq!(printable("\u{9b}2J\u{7f}\u{202e}x"), "\\u{9b}2J\\u{7f}\\u{202e}x");
    }

    #[test]
    fn long_text_is_cut_between_characters_and_marked() {
        let fits = "€".repeat(CHARACTERS_MAX);
        assert_eq!(shortened(&fits), (fits.as_str(), ""));
        assert_eq!(shortened(&format!("{fits}€")), (fits.as_str(), "…"));
    }

    #[test]
    fn escaped_json_parses_to_the_same_value() {
        let value = serde_json::json!({"a\u{9b}": "\u{7f}\u{202e}\u{2028} plain \n \u{1b}"});
        let shown = printable_json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(shown.contains("\\u009b") && !shown.contains('\u{9b}') && !shown.contains('\u{202e}'));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
