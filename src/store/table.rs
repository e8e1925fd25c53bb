//! The name of the user's table as typed for `--table`, and the identifiers that go into statements.
//! Owns quoting; must not ask a database. Called by both stores.

use super::StoreError;

/// PostgreSQL cuts longer names silently, and then two names mean one table.
const NAME_BYTES_MAX: usize = 63;

/// Names that `--table` must not take: they are runwrap's own.
const OWN: [&str; 2] = ["runwrap_runs", "runwrap_migrations"];

/// `schema.name` or `name`, unquoted. Case is kept as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableName {
    pub(super) schema: Option<String>,
    pub(super) name: String,
}

impl TableName {
    /// Reads `name`, `schema.name`, and either part in double quotes, within which any character may stand.
    pub(super) fn parse(typed: &str) -> Result<Self, StoreError> {
        let refused = |why: &str| StoreError::BadInput {
            message: format!("--table {typed:?} is no name of a table: {why}"),
            hint: "give a name such as training_records, ml.training_records or ml.\"Training Records\"".into(),
        };
        let mut parts = split(typed).map_err(refused)?;
        let name = parts.pop().unwrap_or_default();
        let schema = parts.pop();
        if !parts.is_empty() {
            return Err(refused("it has more than a schema and a name"));
        }
        for part in schema.iter().chain([&name]) {
            if part.is_empty() {
                return Err(refused("a part of it is empty"));
            }
            if part.len() > NAME_BYTES_MAX {
                return Err(refused("a part of it is longer than 63 bytes"));
            }
            if part.chars().any(char::is_control) {
                return Err(refused("it has a control character in it"));
            }
        }
        if OWN.contains(&name.as_str()) {
            return Err(refused("that table is runwrap's own"));
        }
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

fn split(typed: &str) -> Result<Vec<String>, &'static str> {
    let mut parts = Vec::new();
    let mut rest = typed;
    loop {
        let (part, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_part(quoted)?,
            None => plain_part(rest)?,
        };
        parts.push(part);
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(parts),
            None => return Err("something stands after the closing quote"),
        }
    }
}

fn quoted_part(text: &str) -> Result<(String, &str), &'static str> {
    let mut part = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"').ok_or("a double quote is not closed")?;
        part.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                part.push('"');
                rest = more;
            }
            None => return Ok((part, after)),
        }
    }
}

fn plain_part(text: &str) -> Result<(String, &str), &'static str> {
    let end = text.find('.').unwrap_or(text.len());
    let (part, after) = text.split_at(end);
    let plain = |character: char| character.is_alphanumeric() || "_$-".contains(character);
    if part.chars().all(plain) { Ok((part.to_owned(), after)) } else { Err("a part of it needs double quotes") }
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
