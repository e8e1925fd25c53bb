//! The statements of `sql/`: named sections of its files, and the tokens in them. Owns that notation: `{schema}` and `{table}` name
//! the tables, the others are lists of columns, places and conditions that depend on the user's table.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::session::Dialect;
use super::table::quote;

/// Begins a section.
const NAME: &str = "-- name: ";

/// Statements that are equal in both dialects.
const SHARED: [&str; 5] = [
    include_str!("../../sql/shared/change.sql"),
    include_str!("../../sql/shared/read.sql"),
    include_str!("../../sql/shared/version.sql"),
    include_str!("../../sql/shared/migrate.sql"),
    include_str!("../../sql/shared/fitness.sql"),
];

/// The sections of some files and of the shared ones, read once.
pub(super) struct Statements {
    files: &'static [&'static str],
    sections: OnceLock<HashMap<&'static str, &'static str>>,
}

impl Statements {
    pub(super) const fn of(files: &'static [&'static str]) -> Self {
        Self { files, sections: OnceLock::new() }
    }

    pub(super) fn sections(&self) -> &HashMap<&'static str, &'static str> {
        self.sections.get_or_init(|| self.read())
    }

    fn read(&self) -> HashMap<&'static str, &'static str> {
        let files = self.files.iter().chain(&SHARED);
        let sections = files.flat_map(|file| file.split(NAME).skip(1));
        sections.filter_map(|section| section.split_once('\n')).map(|(name, text)| (name, text.trim_end())).collect()
    }
}

/// The section `name` of a dialect, or of the shared files; empty if there is none.
pub(super) fn section(dialect: &Dialect, name: &str) -> &'static str {
    (dialect.sections)().get(name).copied().unwrap_or_default()
}

/// `text` with each token, `{name}`, replaced once: a token within a name that is put in stays.
pub(super) fn fill(text: &str, tokens: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        filled.push_str(&rest[..at]);
        let token = tokens.iter().find(|(token, _)| rest[at..].starts_with(token));
        let (value, length) = token.map_or(("{", 1), |(token, value)| (*value, token.len()));
        filled.push_str(value);
        rest = &rest[at + length..];
    }
    filled + rest
}

/// Items of a list in a statement, a line each.
pub(super) fn list<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> String {
    items.into_iter().map(|item| item.as_ref().to_owned()).collect::<Vec<_>>().join(",\n    ")
}

/// The places of `count` parameters, from `$first`.
pub(super) fn places(first: usize, count: usize) -> String {
    list((first..first + count).map(|number| format!("${number}")))
}

/// `"name" = $n` for each name, from `$first`.
pub(super) fn assignments<S: AsRef<str>>(first: usize, names: impl IntoIterator<Item = S>) -> String {
    list(names.into_iter().zip(first..).map(|(name, number)| format!("{} = ${number}", quote(name.as_ref()))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{postgres, sqlite};

    /// Every name in the sources is a section of both dialects, or of the shared files.
    #[test]
    fn every_statement_named_in_the_sources_exists() {
        let sources = [
            include_str!("begin.rs"),
            include_str!("change.rs"),
            include_str!("examine.rs"),
            include_str!("migrate.rs"),
            include_str!("read.rs"),
            include_str!("series.rs"),
            include_str!("transaction.rs"),
            include_str!("version.rs"),
        ];
        let names = sources.iter().flat_map(|source| source.split("sql(\"").skip(1)).map(|rest| rest.split('"').next());
        let names: Vec<&str> = names.flatten().collect();
        assert!(names.len() > 15, "{names:?}");
        for name in names.into_iter().filter(|name| *name != "next_id") {
            for dialect in [&postgres::DIALECT, &sqlite::DIALECT] {
                assert_ne!(section(dialect, name), "", "{name}");
            }
        }
        assert_ne!(section(&sqlite::DIALECT, "next_id"), "");
    }

    #[test]
    fn tokens_are_replaced_and_other_braces_stay() {
        let filled = fill(
            "FROM {table} WHERE v ~ '{1,9}' AND x IN ({values})",
            &[("{table}", "\"t\""), ("{values}", &places(2, 2))],
        );
        assert_eq!(filled, "FROM \"t\" WHERE v ~ '{1,9}' AND x IN ($2,\n    $3)");
        assert_eq!(assignments(3, ["a", "b\"c"]), "\"a\" = $3,\n    \"b\"\"c\" = $4");
    }
}
