//! The messages of docs/troubleshooting.md are those of the sources: each quoted one exists, and each warning and error that a
//! user can see is quoted. Must not judge the explanations.

use crate::source::Source;

/// Fragments that are shorter prove nothing.
const FRAGMENT_LEN_MIN: usize = 4;

/// Files whose errors are shown as they are.
const SHOWN_ERRORS: [&str; 3] = ["src/commands/error.rs", "src/commands/report.rs", "src/supervisor/reactor.rs"];

/// A message is quoted with `…` for each varying part.
const VARYING: char = '…';

/// The first cells of the tables of messages.
fn quoted(page: &str) -> Vec<&str> {
    let mut messages = Vec::new();
    let mut is_table = false;
    for line in page.lines() {
        if !line.starts_with('|') {
            is_table = false;
        } else if line.starts_with("| message |") {
            is_table = true;
        } else if is_table && !line.starts_with("|---") {
            let cell = line.split(" | ").next().unwrap_or_default();
            messages.push(cell.trim_start_matches("| ").trim_matches(['`', ' ']));
        }
    }
    messages
}

/// The constant parts of the literal of a format.
fn fragments(literal: &str) -> Vec<String> {
    let mut text = String::new();
    for (index, part) in literal.split("\\\n").enumerate() {
        text += if index == 0 { part } else { part.trim_start() };
    }
    let text = text.replace("\\\"", "\"");
    let mut parts = vec![String::new()];
    let mut depth = 0_usize;
    for character in text.chars() {
        match character {
            '{' if depth == 0 => {
                depth = 1;
                parts.push(String::new());
            }
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ if depth == 0 => parts.last_mut().unwrap().push(character),
            _ => {}
        }
    }
    parts
}

fn trimmed(part: &str) -> &str {
    part.trim_matches([' ', ':', ';', ',', '.', '(', ')', '`', '='])
}

/// Whether each constant part of a quoted message stands in a literal.
fn exists(message: &str, known: &[String]) -> bool {
    let is_known = |part: &str| part.len() < FRAGMENT_LEN_MIN || known.iter().any(|fragment| fragment.contains(part));
    // `cannot {purpose}`, and `{VARIABLE} is not set`.
    let is_composed = |part: &str| {
        let (first, rest) = part.split_once(' ').unwrap_or((part, ""));
        is_known(part)
            || ((first == "cannot" || !first.contains(|letter: char| letter.is_lowercase()))
                && is_known(first)
                && is_known(rest))
    };
    message
        .split(VARYING)
        .map(trimmed)
        .all(|part| is_composed(part) || part.split([':', ';']).map(trimmed).all(is_composed))
}

/// The end of the parenthesis that is open at `start`.
fn closing(code: &str, start: usize) -> usize {
    let mut depth = 1_usize;
    let end = code[start..].char_indices().find(|(_, character)| {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    end.map_or(code.len(), |(at, _)| start + at)
}

/// The first literal of `source` between two places.
fn literal(source: &Source, start: usize, end: usize) -> Option<&str> {
    let open = start + source.code[start..end].find('"')? + 1;
    let close = open + source.code[open..end].find('"')?;
    source.text.get(open..close)
}

/// The code without the tests at the end of the file.
fn program(source: &Source) -> &str {
    let ends = ["#[cfg(test)]\nmod tests {", "#[cfg(test)] fn"]
        .map(|start| source.code.find(start).unwrap_or(source.code.len()));
    &source.code[..ends.into_iter().min().unwrap_or_default()]
}

/// All literals of the program.
fn literals(source: &Source) -> Vec<&str> {
    let quotes: Vec<usize> = program(source).match_indices('"').map(|(at, _)| at).collect();
    quotes.chunks_exact(2).filter_map(|pair| source.text.get(pair[0] + 1..pair[1])).collect()
}

/// The messages that the code of a file can show, as they stand in it.
fn shown(source: &Source) -> Vec<&str> {
    let code = program(source);
    let mut messages = Vec::new();
    for call in ["log::warn!(", "log::error!(", "self.warn(", "#[error("] {
        if call == "#[error(" && !SHOWN_ERRORS.contains(&source.path.as_str()) {
            continue;
        }
        for (at, _) in code.match_indices(call) {
            let start = at + call.len();
            let end = closing(code, start);
            // The message of a record stands behind its fields.
            let start = if call.starts_with("log::") {
                code[start..end].rfind(';').map_or(end, |at| start + at)
            } else {
                start
            };
            messages.extend(literal(source, start, end));
        }
    }
    messages
}

/// Messages of the page that no source has, and messages of the sources that the page lacks.
pub(crate) fn untrue(page: &str, sources: &[Source]) -> Vec<String> {
    let sources: Vec<&Source> = sources.iter().filter(|source| source.is_in("src/")).collect();
    let known: Vec<String> = sources.iter().flat_map(|source| literals(source)).flat_map(fragments).collect();
    let quoted = quoted(page);
    let missing = quoted.iter().filter(|message| !exists(message, &known));
    let mut wrong: Vec<String> = missing.map(|message| format!("no source has the message `{message}`")).collect();
    for source in sources {
        for message in shown(source) {
            let fragments = fragments(message);
            let longest = fragments.iter().map(|part| trimmed(part)).max_by_key(|part| part.len()).unwrap_or_default();
            if longest.len() >= FRAGMENT_LEN_MIN && !quoted.iter().any(|quoted| quoted.contains(longest)) {
                wrong.push(format!("{}: the page does not have the message `{message}`", source.path));
            }
        }
    }
    wrong
}

#[test]
fn a_message_without_its_source_and_a_warning_without_its_row_are_found() {
    #[track_caller]
    fn check(page: &str, path: &str, code: &str, expected: &[&str]) {
        let found = untrue(&format!("| message | meaning |\n|---|---|\n{page}"), &[Source::new(path, code)]);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        assert!(found.iter().zip(expected).all(|(found, expected)| found.contains(expected)), "{found:?}");
    }
    let warning = "log::warn!(event = \"full\", hint = f(\"a (b\"); \"the disk {} is full: \\\n   {error}\", path);";
    check("| `the disk … is full: …` | x |\n", "src/x.rs", warning, &[]);
    check(
        "| `the disk … is full: …` | x |\n",
        "src/x.rs",
        &warning.replace("full:", "empty:"),
        &["no source", "does not have"],
    );
    check("", "src/x.rs", warning, &["src/x.rs: the page does not have"]);
    check("", "src/x.rs", &warning.replace("warn", "info"), &[]);
    check("", "src/x.rs", &format!("#[cfg(test)] fn f() {{ {warning} }}"), &[]);
    check("", "tests/x.rs", warning, &[]);
    check(
        "| `gone: …` | x |\n",
        "src/x.rs",
        "log::warn!(event = \"a\", error:%; \"\");",
        &["no source has the message `gone: …`"],
    );
    let error = "#[error(\"cannot {purpose}: {0}\")]\nA,\n#[error(\"no record {id}\")]\nB";
    check("| `cannot eat it: …` | x |\n", "src/commands/error.rs", error, &["no source", "no record"]);
    check("", "src/store/error.rs", error, &[]);
    let purpose = format!("{error}\nlet purpose = \"list them\";");
    check("| `cannot list them: …` | x |\n| `no record …` | x |\n", "src/commands/error.rs", &purpose, &[]);
}
