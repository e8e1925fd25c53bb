//! The words of the prose: comments, messages and documents name their subject and use the field's verbs. Must not
//! judge code.

use crate::source::{Source, is_rust, names};

/// Words that hide the subject, and verbs that fit no process: a process sends, receives and reports.
const WORDS: [&str; 9] =
    ["somebody", "nobody", "anybody", "whoever", "tells", "hears", "is told", "are told", "was told"];

/// The files and folders that are checked, sorted. Add the other parts of `src` as they pass.
const HELD: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "docs/",
    "sql/",
    "src/cli/",
    "src/commands/",
    "src/config/",
    "src/delivery/",
    "src/journal/",
    "src/keeper/",
    "src/libpq/",
    "src/link.rs",
    "src/logging/",
    "src/main.rs",
    "src/output/",
    "src/record/",
    "src/supervisor/",
    "src/web/",
    "tests/",
];

/// Not checked: the list itself, and a literal that is the name of a Unix user.
const EXEMPT: [&str; 2] = ["tests/it/support/postgres.rs", "tests/tidy/words.rs"];

pub(crate) fn prose_names_its_subject(source: &Source) -> Vec<String> {
    let is_held = HELD.iter().any(|place| source.path.starts_with(place)) && !EXEMPT.contains(&source.path.as_str());
    if is_held { banned_words(source) } else { Vec::new() }
}

fn banned_words(source: &Source) -> Vec<String> {
    let prose = prose(source).to_lowercase();
    let found = WORDS.iter().filter(|word| names(&prose, word));
    found.map(|word| format!("`{word}`: name the subject and use the field's verb")).collect()
}

/// The comments and literals of a Rust file, the whole text of another, in one line.
fn prose(source: &Source) -> String {
    let hidden =
        |(byte, code): (u8, u8)| if is_rust(&source.path) && byte == code && byte != b'\n' { b' ' } else { byte };
    let bytes = source.text.bytes().zip(source.code.bytes()).map(hidden).collect::<Vec<_>>();
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().map(|line| line.trim_start().trim_start_matches(['/', '!', '-', ' ']));
    lines.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_banned_word_is_found_in_prose_and_not_in_code() {
    let check =
        |path: &str, text: &str, count| assert_eq!(banned_words(&Source::new(path, text)).len(), count, "{text}");
    check("docs/x.md", "The keeper sends a message. A storyteller.", 0);
    check("docs/x.md", "Nobody reads it.", 1);
    check("docs/x.md", "The trainer is\ntold of it, and it tells whoever asks.", 3);
    check("src/x.rs", "fn nobody_tells() { tells(whoever) }", 0);
    check("src/x.rs", "// Somebody holds it.\nlock();", 1);
    check("src/x.rs", "/// The supervisor is\n/// told.\nwarn(\"it tells\");", 2);
    check("sql/x.sql", "-- Nobody has it.\nSELECT 1;", 1);

    let bad = |path| prose_names_its_subject(&Source::new(path, "// Nobody.")).len();
    assert_eq!([bad("README.md"), bad("docs/signals.md"), bad("tests/it/x.rs"), bad("scripts/x")], [1, 1, 1, 0]);
    assert!(EXEMPT.iter().all(|path| bad(path) == 0));
    assert!(HELD.is_sorted());
}
