//! The name of the user's table, and the identifiers that go into statements. Owns quoting; must not ask a database.
//! Called by both stores.

use super::StoreError;
use crate::config::{TABLE_NAME_HINT, parse_table_name};

/// `schema.name` or `name`, unquoted. Case is kept as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableName {
    pub(super) schema: Option<String>,
    pub(super) name: String,
}

impl TableName {
    /// Reads a name as typed.
    pub(super) fn parse(typed: &str) -> Result<Self, StoreError> {
        let (schema, name) = parse_table_name(typed).map_err(|why| StoreError::BadInput {
            message: format!("--table {typed:?} is no name of a table: {why}"),
            hint: TABLE_NAME_HINT.into(),
        })?;
        Ok(Self { schema, name })
    }

    /// As it goes into a statement.
    pub(super) fn quoted(&self) -> String {
        match &self.schema {
            None => quote(&self.name),
            Some(schema) => format!("{}.{}", quote(schema), quote(&self.name)),
        }
    }
}

/// `identifier` in double quotes.
pub(super) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// `text` as a string literal of either dialect. PostgreSQL reads a backslash in a plain literal as itself only
/// under `standard_conforming_strings`, so a text with one takes the form that always means the same there.
pub(super) fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') { format!(" E'{}'", doubled.replace('\\', "\\\\")) } else { format!("'{doubled}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_quoted() {
        let quoted = |typed: &str| TableName::parse(typed).unwrap().quoted();
        assert_eq!(quoted("training_records"), "\"training_records\"");
        assert_eq!(quoted("ml.training_records"), "\"ml\".\"training_records\"");
        assert_eq!(quoted("ml.\"Training Records\""), "\"ml\".\"Training Records\"");
        assert_eq!(quoted("\"a.b\".\"c\"\"d; DROP TABLE x\""), "\"a.b\".\"c\"\"d; DROP TABLE x\"");
        assert_eq!(quoted("Läufe-2026"), "\"Läufe-2026\"");
    }

    #[test]
    fn nonsense_is_refused() {
        let long = "x".repeat(64);
        for typed in ["", ".", "a.", ".a", "a.b.c", "a b", "a;b", "\"a", "\"a\"b", "\"\"", "a\0", "runwrap_runs", &long]
        {
            let error = TableName::parse(typed).unwrap_err();
            assert!(matches!(&error, StoreError::BadInput { .. }), "{typed:?}: {error}");
        }
    }

    #[test]
    fn a_literal_means_its_text() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\'b"), r" E'a\\''b'");
    }
}
