//! The tables of docs/signals.md and docs/failures.md, and the marks by which tests hold their rows: above each such
//! test a comment `// Holds: failures/NAME`. Must not look at what a test does.

use std::collections::BTreeSet;

use crate::source::{Source, is_rust};

const MARK: &str = "// Holds: ";

/// Characters of a row, so that a table can be read in a terminal.
const ROW_LEN_MAX: usize = 200;

/// A claim that a test holds a row.
struct Mark {
    /// `failures/NAME`.
    row: String,
    /// The function below the mark; `None` if something else stands there.
    function: Option<String>,
    has_test_attribute: bool,
}

/// The names of the rows of `table`, such as `failures/NAME`, and what is wrong with them.
fn rows(table: &str, text: &str) -> (BTreeSet<String>, Vec<String>) {
    let mut names = BTreeSet::new();
    let mut wrong = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('|')) {
        if line.chars().count() > ROW_LEN_MAX {
            wrong.push(format!("docs/{table}.md: a row is longer than {ROW_LEN_MAX} characters: {line}"));
        }
        let cell = line.split('|').nth(1).unwrap_or_default().trim();
        if cell == "row" || cell.starts_with("---") {
            continue;
        }
        let name = cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`'));
        match name.filter(|name| is_kebab_case(name)) {
            None => wrong.push(format!("docs/{table}.md: a row does not begin with a name in kebab-case: {line}")),
            Some(name) if !names.insert(format!("{table}/{name}")) => {
                wrong.push(format!("docs/{table}.md: two rows are called `{name}`"));
            }
            Some(_) => {}
        }
    }
    (names, wrong)
}

fn is_kebab_case(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part.chars().all(|character| character.is_ascii_lowercase() || character.is_ascii_digit())
    };
    name.split('-').all(is_part)
}

/// The marks of a file.
fn marks(source: &Source) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut open: Vec<String> = Vec::new();
    let mut has_test_attribute = false;
    for line in source.text.lines().map(str::trim).filter(|_| is_rust(&source.path)) {
        if let Some(rows) = line.strip_prefix(MARK) {
            open.extend(rows.split(", ").map(str::to_owned));
        } else if line.starts_with("#[") {
            has_test_attribute |= line == "#[test]";
        } else {
            let function = function_of(line);
            marks.extend(open.drain(..).map(|row| Mark { row, function: function.clone(), has_test_attribute }));
            has_test_attribute = false;
        }
    }
    marks
}

/// The name of the function whose definition begins with `line`.
fn function_of(line: &str) -> Option<String> {
    let definition = line.strip_prefix("pub(crate) ").unwrap_or(line).strip_prefix("fn ")?;
    definition.split(['(', '<']).next().map(str::to_owned)
}

/// The cases that a file lists in `conformance!`, which makes tests of them.
fn conformance_cases(source: &Source) -> BTreeSet<String> {
    let lists = source.code.split("\nconformance!(").skip(1).filter_map(|rest| rest.split(')').next());
    lists.flat_map(|list| list.split(',')).map(|case| case.trim().to_owned()).collect()
}

/// What is wrong between `tables`, each a name and its text, and the marks in `sources`.
pub(crate) fn unheld(tables: &[(&str, &str)], sources: &[Source]) -> Vec<String> {
    let mut names = BTreeSet::new();
    let mut wrong = Vec::new();
    for (table, text) in tables {
        let (of_table, wrong_rows) = rows(table, text);
        names.extend(of_table);
        wrong.extend(wrong_rows);
    }
    let mut held = BTreeSet::new();
    for source in sources {
        let cases = conformance_cases(source);
        for mark in marks(source) {
            let is_test = |name: &String| mark.has_test_attribute || cases.contains(name);
            if !mark.function.as_ref().is_some_and(is_test) {
                wrong.push(format!("{}: `{}` is held by no test: place the mark above one", source.path, mark.row));
            }
            if !names.contains(&mark.row) {
                wrong.push(format!("{}: `{}` is no row of a table in docs/", source.path, mark.row));
            }
            held.insert(mark.row);
        }
    }
    wrong.extend(names.difference(&held).map(|name| format!("no test holds `{name}`: mark one by `{MARK}{name}`")));
    wrong
}

#[test]
fn a_row_without_its_test_and_a_mark_without_its_row_are_found() {
    #[track_caller]
    fn check(table: &str, test: &str, expected: &[&str]) {
        let found = unheld(&[("failures", table)], &[Source::new("tests/it/x.rs", test)]);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}");
        }
    }
    let table = "# Failures\n\n| row | failure |\n|---|---|\n| `disk-full` | no room |\n";
    let held = "// Holds: failures/disk-full\n#[test]\nfn full() {}\n";
    check(table, held, &[]);
    check(table, "    // Holds: failures/disk-full\n    #[test]\n    #[ignore]\n    fn full() {}", &[]);
    check(
        table,
        "conformance!(a,);\n\nconformance!(\n    full,\n);\n// Holds: failures/disk-full\nfn full(place: &Place) {}",
        &[],
    );

    check(table, "#[test]\nfn full() {}", &["no test holds `failures/disk-full`"]);
    check(table, "// Holds: failures/disk-full\nfn full() {}", &["is held by no test"]);
    check(table, "// Holds: failures/disk-full\n#[test]\n\nfn full() {}", &["is held by no test"]);
    check(table, "#[test]\n\n// Holds: failures/disk-full\nfn full() {}", &["is held by no test"]);
    check(table, "conformance!(\n    other,\n);\n// Holds: failures/disk-full\nfn full() {}", &["is held by no test"]);
    let two = held.replace("full\n", "full, failures/disk-gone\n");
    check(table, &two, &["`failures/disk-gone` is no row"]);
    check(table, &held.replace("failures/", "signals/"), &["is no row", "no test holds"]);
    check(&format!("{table}| `disk-full` | again |\n"), held, &["two rows are called"]);
    check(&format!("{table}| Disk | again |\n"), held, &["kebab-case"]);
    check(&format!("{table}| `disk--full` | again |\n"), held, &["kebab-case"]);
    let long = format!("{table}| `disk-full` | {} |\n", "x".repeat(ROW_LEN_MAX)).replacen(
        "| `disk-full` | no room |\n",
        "",
        1,
    );
    check(&long, held, &["longer than"]);
}
