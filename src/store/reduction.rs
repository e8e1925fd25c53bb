//! What is left out of a change that the database refuses: less and less, until it takes the end. Pure.

use std::borrow::Cow;

use super::Assignment;
use super::session::Class;

/// What of a change is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reduction {
    /// Characters from this one on are replaced.
    replaced_from: Option<char>,
    /// `error_message` has at most so many characters; its middle is cut.
    message_chars_max: usize,
    /// `error_message` is its first line alone.
    first_line: bool,
    /// Columns of the user's row that are not written.
    omitted: &'static [&'static str],
    /// The user's row is not written at all.
    pub(super) run_only: bool,
}

/// Characters of a message that a constraint on its length is likely to take.
const SHORT_CHARS: usize = 200;

/// In place of a column: the next number in place of a refused version.
pub(super) const NEXT_VERSION: &str = "the next version";

/// In this order: what is worth least is left out first.
const STEPS: [(usize, bool, &[&str]); 14] = [
    (usize::MAX, false, &[]),
    (SHORT_CHARS, false, &[]),
    (SHORT_CHARS, true, &[]),
    // One value alone: the others are not refused.
    (usize::MAX, false, &["model_path"]),
    (usize::MAX, false, &["train_metrics"]),
    (usize::MAX, false, &["train_duration"]),
    (usize::MAX, false, &["error_message"]),
    (usize::MAX, false, &["train_end_time"]),
    (usize::MAX, false, &["train_start_time"]),
    (usize::MAX, false, &["version"]),
    (usize::MAX, false, &["version", NEXT_VERSION]),
    (SHORT_CHARS, true, &["model_path", "train_metrics", "train_duration"]),
    (SHORT_CHARS, true, &["model_path", "train_metrics", "train_duration", "error_message"]),
    (
        SHORT_CHARS,
        true,
        &["model_path", "train_metrics", "train_duration", "error_message", "train_start_time", "train_end_time"],
    ),
];

impl Reduction {
    /// Everything is written.
    pub(super) const NONE: Self =
        Self { replaced_from: None, message_chars_max: usize::MAX, first_line: false, omitted: &[], run_only: false };

    /// A heartbeat while the application holds its row.
    pub(super) const RUN_ONLY: Self = Self { run_only: true, ..Self::NONE };

    /// The reductions to be tried after a failure of `class`; none if less would not help.
    pub(super) fn after(class: Class) -> impl Iterator<Item = Self> {
        let helps = matches!(class, Class::BadText | Class::BadValue | Class::Refused);
        let is_text = class == Class::BadText;
        // Many encodings have the characters of Latin 1, every one has those of ASCII.
        let latin = is_text.then_some(Self { replaced_from: Some('\u{100}'), ..Self::NONE });
        // Only a refused character makes the first step differ from the change as it was.
        let steps = STEPS.into_iter().skip(usize::from(!is_text)).filter(move |_| helps);
        latin.into_iter().chain(steps.map(move |(message_chars_max, first_line, omitted)| Self {
            replaced_from: is_text.then_some('\u{80}'),
            message_chars_max,
            first_line,
            omitted,
            run_only: false,
        }))
    }

    /// `changes` of the user's row, whose texts are `known`, as far as they are written.
    pub(super) fn of_record(&self, known: &str, changes: Vec<Assignment>) -> Vec<Assignment> {
        let kept = changes.into_iter().filter(|(name, _)| !self.omits(name));
        kept.map(|(name, text)| (name, text.map(|text| self.text(name, &text, known)))).collect()
    }

    /// Whether a column of the user's row is not written.
    pub(super) fn omits(&self, name: &str) -> bool {
        self.omitted.contains(&name)
    }

    fn text(&self, name: &str, text: &str, known: &str) -> String {
        let text =
            if self.first_line && name == "error_message" { text.lines().next().unwrap_or_default() } else { text };
        let text = self.encoded(text, known);
        if name == "error_message" { shortened(&text, self.message_chars_max) } else { text.into_owned() }
    }

    /// A new value in characters that every encoding has, if one was refused. The characters of `known`, a text from the database, stay.
    pub(super) fn encoded<'a>(&self, text: &'a str, known: &str) -> Cow<'a, str> {
        self.replaced_from.map_or(Cow::Borrowed(text), |first| Cow::Owned(replaced(text, known, first)))
    }

    /// What is left out, for the log; empty if the whole change is written.
    pub(super) fn describe(&self) -> String {
        let texts = [
            (self.replaced_from.is_some(), "characters replaced"),
            (self.message_chars_max < usize::MAX, "message shortened"),
        ];
        let texts = texts.into_iter().filter(|(is_so, _)| *is_so).map(|(_, text)| text.to_owned());
        let omitted = self.omitted.iter().map(|name| format!("without {name}"));
        texts.chain(omitted).collect::<Vec<_>>().join(", ")
    }
}

/// `text` with at most `most` characters: the first line, `…`, and the end, where the error itself is.
pub(super) fn shortened(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    if most < 3 {
        return text.chars().take(most).collect();
    }
    let first_line = text.lines().next().unwrap_or_default().chars().count();
    let head = first_line.min(most / 2);
    let tail = most - head - 1;
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(count - tail).collect();
    format!("{start}…{end}")
}

fn replaced(text: &str, known: &str, first: char) -> String {
    let replaced = text.chars().map(|character| match character {
        plain if plain < first || known.contains(plain) => plain.to_string(),
        '…' => "...".to_owned(),
        // No double quote: the text may be JSON.
        '“' | '”' | '„' | '‘' | '’' => "'".to_owned(),
        '–' | '—' => "-".to_owned(),
        _ => "?".to_owned(),
    });
    replaced.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortened_text_keeps_its_first_line_and_its_end() {
        assert_eq!(shortened("exited with code 1\nTraceback\nValueError: x", 30), "exited with cod…\nValueError: x");
        assert_eq!(shortened("abc", 3), "abc");
        assert_eq!(shortened("one\ntwo three four", 9), "one… four");
        assert_eq!(shortened("äöüß", 2), "äö");
        for most in 0..40 {
            assert!(shortened("first line\nsecond line, which is longer", most).chars().count() <= most);
        }
    }

    #[test]
    fn less_and_less_is_written_until_the_status_alone_is() {
        let all = ["status", "train_end_time", "train_duration", "train_metrics", "model_path", "error_message"];
        let changes = || all.map(|name| (name, Some("é\nx".to_owned()))).to_vec();
        let counts: Vec<usize> =
            Reduction::after(Class::Refused).map(|reduction| reduction.of_record("", changes()).len()).collect();
        // One value less at a time, then all of them.
        assert_eq!(counts, [6, 6, 5, 5, 5, 5, 5, 6, 6, 6, 3, 2, 1]);
        let [latin, ascii] = [0, 1].map(|at| Reduction::after(Class::BadText).nth(at).unwrap());
        assert_eq!(latin.encoded("é…“损”", ""), "é...'?'");
        assert_eq!(ascii.of_record("", changes())[0].1.as_deref(), Some("?\nx"));
        assert_eq!(ascii.encoded("é…“x”", ""), "?...'x'");
        assert_eq!(ascii.encoded("é损", "né"), "é?");
        assert_eq!(Reduction::after(Class::Schema).count(), 0);
        assert_eq!(Reduction::NONE.of_record("", changes()), changes());
        assert_eq!(Reduction::NONE.describe(), "");
    }
}
