//! A file as the rules see it: its text, its code without comments and literals, its imports and its tests. A small lexer
//! is enough for the rules.

use std::collections::BTreeSet;
use std::path::Path;

/// A file of the tree.
pub(crate) struct Source {
    /// From the root of the package.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text with comments and the insides of literals blanked out, as long as the text.
    pub(crate) code: String,
    /// The insides of the string literals before the tests of the file.
    pub(crate) strings: Vec<String>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let (code, strings) = if is_rust(path) { split(text) } else { (text.to_owned(), Vec::new()) };
        let tests_at = code.find("#[cfg(test)]").unwrap_or(code.len());
        let strings = strings.into_iter().filter(|(at, _)| *at < tests_at).map(|(_, literal)| literal).collect();
        Self { path: path.to_owned(), text: text.to_owned(), code, strings }
    }

    /// The module of the crate that the file belongs to; `None` outside `src`, and for `lib.rs`, which is only the map.
    pub(crate) fn module(&self) -> Option<&str> {
        let path = self.path.strip_prefix("src/")?.strip_suffix(".rs")?;
        let module = path.split('/').next()?;
        (module != "lib").then_some(module)
    }

    pub(crate) fn is_in(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }
}

/// Whether the file at `path` is Rust.
pub(crate) fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

/// Blanks out comments and literals; returns the string literals with their places.
fn split(text: &str) -> (String, Vec<(usize, String)>) {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut strings = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let is_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let (inside, end) = if rest.starts_with("//") {
            (0, rest.find('\n').unwrap_or(rest.len()))
        } else if let Some((open, hashes)) = raw_string(rest).filter(|_| !is_word) {
            let close = format!("\"{}", "#".repeat(hashes));
            (open, rest[open..].find(&close).map_or(rest.len(), |length| open + length))
        } else if rest.starts_with('"') {
            (1, closing(rest, b'"'))
        } else if rest.starts_with("'\\") || (rest.starts_with('\'') && rest.chars().nth(2) == Some('\'')) {
            (1, closing(rest, b'\''))
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        };
        if inside > 0 && !rest.starts_with('\'') {
            strings.push((at, rest[inside..end].to_owned()));
        }
        for byte in &mut code[at + inside..at + end] {
            *byte = if *byte == b'\n' { b'\n' } else { b' ' };
        }
        at += (end + usize::from(inside > 0)).max(1);
        while !text.is_char_boundary(at.min(text.len())) {
            at += 1;
        }
    }
    (String::from_utf8_lossy(&code).into_owned(), strings)
}

/// The length of `r##"` at the start of `rest`, and its number of hashes.
fn raw_string(rest: &str) -> Option<(usize, usize)> {
    let after = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then(|| (rest.len() - after.len() + hashes + 1, hashes))
}

/// The place of the quote that closes the literal at the start of `rest`.
fn closing(rest: &str, quote: u8) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len())
}

/// Whether `word` stands in `code` as a whole word; `::` belongs to no word.
pub(crate) fn names(code: &str, word: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(word).any(|(at, _)| {
        !code[..at].chars().next_back().is_some_and(is_part)
            && !code[at + word.len()..].chars().next().is_some_and(is_part)
    })
}

/// The modules of this crate that `code` names by `crate::…` or, as `main.rs` does, by `runwrap::…`.
pub(crate) fn imports(code: &str) -> BTreeSet<String> {
    let mut modules = BTreeSet::new();
    for root in ["crate::", "runwrap::"] {
        for (at, _) in code.match_indices(root) {
            let rest = &code[at + root.len()..];
            let mut depth = 0_usize;
            let mut expects_name = true;
            let mut name = String::new();
            for character in rest.chars().chain([' ']) {
                if expects_name && (character.is_alphanumeric() || character == '_') {
                    name.push(character);
                    continue;
                }
                if !name.is_empty() {
                    modules.insert(std::mem::take(&mut name));
                    expects_name = false;
                }
                match character {
                    '{' => depth += 1,
                    '}' => depth = depth.saturating_sub(1),
                    ',' if depth == 1 => expects_name = true,
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
        }
    }
    modules
}

/// The tests of a file: functions with `#[test]`, and the cases that `conformance!` lists.
pub(crate) fn tests(source: &Source) -> BTreeSet<String> {
    let lists = source.code.split("conformance!(").skip(1).filter_map(|rest| rest.split(')').next());
    let mut tests: BTreeSet<String> =
        lists.flat_map(|list| list.split(',')).map(|case| case.trim().to_owned()).collect();
    let mut is_test = false;
    for line in source.code.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with("#[") {
            is_test |= line == "#[test]";
        } else {
            tests.extend(function_of(line).filter(|_| is_test).map(str::to_owned));
            is_test = false;
        }
    }
    tests.remove("");
    tests
}

/// The name of the function whose definition begins with `line`.
pub(crate) fn function_of(line: &str) -> Option<&str> {
    let definition = line.strip_prefix("pub(crate) ").unwrap_or(line).strip_prefix("fn ")?;
    definition.split(['(', '<']).next()
}

#[test]
fn comments_and_literals_are_no_code() {
    let (code, strings) = split("a(\"b\\\"c\", 'd', '\\'', b\"e\"); // f\nlet g: &'static str = r#\"h\"i\"#; \"ü\"");
    let words: Vec<&str> =
        code.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    assert_eq!(words, ["a", "b", "let", "g", "static", "str", "r"]);
    let literals: Vec<&str> = strings.iter().map(|(_, literal)| literal.as_str()).collect();
    assert_eq!(literals, ["b\\\"c", "e", "h\"i", "ü"]);
}
