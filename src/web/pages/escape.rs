//! The one way of a value into a page: `askama.toml` names this escaper for all templates. Must not be bypassed.

use std::fmt::{self, Write};

use askama::filters::Escaper;

use crate::output::printable_lines;

/// The characters of one value at most. A record may hold megabytes; the API has them.
const CHARACTERS_MAX: usize = 20_000;

/// HTML's special characters as references; control characters and those that hide or reorder text as visible escapes.
#[derive(Clone, Copy)]
pub(crate) struct Visible;

impl Escaper for Visible {
    fn write_escaped_str<W: Write>(&self, dest: W, text: &str) -> fmt::Result {
        let (text, rest) = match text.char_indices().nth(CHARACTERS_MAX) {
            Some((end, _)) => (&text[..end], "…"),
            None => (text, ""),
        };
        askama::filters::Html.write_escaped_str(dest, &(printable_lines(text) + rest))
    }
}

#[cfg(test)]
mod tests {
    use askama::Template;

    #[derive(Template)]
    #[template(source = "<p title=\"{{ text }}\">{{ text }}</p>", ext = "html", config = "src/web/pages/askama.toml")]
    struct Page<'a> {
        text: &'a str,
    }

    #[test]
    fn markup_and_control_characters_are_visible_text() {
        let text = "<script>\"'&\u{202e}\u{0}\u{1b}[31m\r\n\tx\u{2028}";
        let shown = "&#60;script&#62;&#34;&#39;&#38;\\u{202e}\\u{0}\\u{1b}[31m\\r\n\tx\\u{2028}";
        assert_eq!(Page { text }.render().unwrap(), format!("<p title=\"{shown}\">{shown}</p>"));
        let long = Page { text: &"€".repeat(100_000) }.render().unwrap();
        assert!(long.ends_with("€…</p>") && long.matches('€').count() == 2 * super::CHARACTERS_MAX);
    }
}
