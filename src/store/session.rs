//! The narrow view of a database that the store needs, and what the two dialects differ in. Owns the trait; a session knows how to
//! connect, run a statement and classify an error, and no rule.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::StoreError;
use super::table::TableName;

/// The end of a transaction.
pub(super) const COMMIT: &str = "COMMIT";

/// The last migration that a record needs. Without a later one a run has its record, and no curves.
pub(super) const NEEDED_MIGRATION: u32 = 7;

/// How long series wait for the database at most: the record is there, and the end of its run waits for this too.
pub(super) const SERIES_WAIT_MAX: Duration = Duration::from_secs(1);

/// Rows of texts; every column is cast to text by its statement, or converted by the session, as in a batch.
pub(super) type Rows = Vec<Fields>;
pub(super) type Fields = Vec<Option<String>>;

/// A statement's parameters, `$1` first. The database converts each text by the type that its context asks for.
pub(super) type Texts<'a> = &'a [Option<&'a str>];

/// What a transaction may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
    /// Write, and make the user's table if it is missing: a run begins.
    Begin,
    /// Write what no record needs, series and claims, within [`SERIES_WAIT_MAX`].
    Series,
    /// Write the statement `renew` alone, and commit in the same round trip.
    Renew,
    /// Write, and roll back at the end.
    Rehearse,
}

/// A statement that failed. The transaction can only be rolled back.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) class: Class,
    pub(super) error: StoreError,
}

/// The kind of a failure, as far as the store acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A value does not fit its column: SQLSTATE class 22.
    BadValue,
    /// The encoding of the database has no such character: SQLSTATE 22P05, 22021.
    BadText,
    /// A constraint, a limit or a trigger refuses the row: SQLSTATE classes 23, 54 and P0.
    Refused,
    /// No row can have such an id: the type of the column cannot hold it.
    NoSuchId,
    /// A row with the id that the table itself gave exists.
    IdTaken,
    /// Another process did the same at the same time.
    Raced,
    /// Another process holds a lock: SQLSTATE 55P03.
    Locked,
    /// A table or column is not as it was read: SQLSTATE class 42.
    Schema,
    /// The user's table is missing beside runwrap's own.
    NoTable,
    /// There are no tables at all.
    Empty,
    Other,
}

/// Binary data longer than this is shown by its size.
pub(super) const BINARY_BYTES_MAX: usize = 4096;
/// Any other value longer than this is shown by its size. The metrics of a run fit: 1 MiB, and the spaces that the database adds.
pub(super) const VALUE_BYTES_MAX: usize = 2 << 20;
/// How a change reads a value longer than that, behind its size. The column stays as it is. No text of an application ends so.
pub(super) const TOO_LONG: &str = " bytes, too long to read\u{1}";
/// The columns whose values may be so long.
pub(super) const LONG_COLUMNS: [&str; 3] = ["train_metrics", "model_path", "error_message"];

/// One connection.
pub(super) trait Session: Send {
    fn dialect(&self) -> &'static Dialect;

    /// The database in messages, such as `sqlite:/data/runs.db`. Never a password.
    fn name(&self) -> &str;

    /// The protocol and the cipher of an encrypted connection.
    fn encryption(&self) -> Option<&str> {
        None
    }

    /// Begins a transaction with its bounds, and runs its first statements in the same round trip. The rows of all of them.
    /// [`Access::Renew`] also commits; after an error the transaction may be open.
    fn begin(&mut self, access: Access, first: &[(&str, Texts<'_>)]) -> Result<Rows, Failure>;

    /// Runs statements without parameters and without rows.
    fn script(&mut self, statements: &str) -> Result<(), Failure>;

    /// Runs statements in one round trip, if there are round trips. The rows of all of them, whose columns may have any type.
    fn batch(&mut self, statements: &[(&str, Texts<'_>)]) -> Result<Rows, Failure>;

    /// Runs one statement and returns its rows.
    fn rows(&mut self, statement: &str, texts: Texts<'_>) -> Result<Rows, Failure>;

    /// As `rows`, for columns selected by [`Dialect::shown`]: each as JSON.
    fn values(&mut self, statement: &str, texts: Texts<'_>) -> Result<Vec<Vec<Value>>, Failure>;

    /// Runs one statement and returns the number of rows that it changed.
    fn execute(&mut self, statement: &str, texts: Texts<'_>) -> Result<u64, Failure>;

    /// Runs one statement, at the latest with the end of the transaction: there it costs no round trip of its own, and the end has its
    /// failure.
    fn defer(&mut self, statement: &str, texts: Texts<'_>) -> Result<(), Failure> {
        self.execute(statement, texts).map(drop)
    }

    /// Drops the statements that are deferred: the transaction is about to be rolled back.
    fn forget_deferred(&mut self) {}
}

/// A truth of either database, also as the simple protocol sends it.
pub(super) fn is_true(text: &str) -> bool {
    matches!(text, "1" | "true" | "t")
}

/// A column of the user's table, from the database's catalog.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// Lower case, without a modifier, and the type under a domain: `timestamp without time zone`.
    pub(super) base_type: String,
    /// The most characters that it takes, if it has a limit.
    pub(super) length: Option<usize>,
    /// The database fills it if an INSERT leaves it out.
    pub(super) has_default: bool,
    /// The database computes it from other columns: it cannot be written.
    pub(super) is_computed: bool,
}

/// The constant differences between the databases.
pub(super) struct Dialect {
    /// The statements of `sql/DIALECT` and of `sql/shared`, by their names.
    pub(super) sections: fn() -> &'static HashMap<&'static str, &'static str>,
    pub(super) migrations: &'static [Migration],
    /// Begins a script that a person runs.
    pub(super) begin_script: &'static str,
    /// The database gives the id of a deleted last row to the next one: `next_id` prevents that.
    pub(super) reuses_ids: bool,
    /// No other connection can write during a transaction that writes: the swap needs no comparison.
    pub(super) is_exclusive: bool,
    /// The database enforces the declared length of a text.
    pub(super) enforces_lengths: bool,
    /// The parameters of `catalog`. The first is that of `catalog_columns`.
    pub(super) catalog_texts: fn(&TableName) -> [Option<String>; 2],
    /// Whether an id column can hold a text at all.
    pub(super) holds_id: fn(&Column, &str) -> bool,
    /// The user's table and the schema of runwrap's tables, quoted for statements. Without a schema the search path decides.
    pub(super) place: fn(&TableName, Option<&str>) -> (String, String),
    /// A row of `catalog_columns` as [`super::shape::Shape`] reads it. `None` if the statement selects more than the columns of the table.
    pub(super) catalog_column: fn(Fields) -> Option<Fields>,
    /// The base type and length of a declared type.
    pub(super) base_type: fn(&str, Option<&str>) -> (String, Option<usize>),
    /// Selects a column as text.
    pub(super) as_text: fn(&Column) -> String,
    /// As `as_text`, for the rules: a value that is too long is not sent, its size is, with [`TOO_LONG`] behind it.
    pub(super) read: fn(&Column) -> String,
    /// Selects a column for a person or a program. A value that is too long to show is not sent: its size is.
    pub(super) shown: fn(&Column) -> String,
    /// Compares the status with the text at the place `{}`, so that an index on it serves.
    pub(super) has_status: &'static str,
    /// Conditions on a run, with `{}` for the place of each text: its name; a tag; a tag with its value.
    pub(super) has_name: &'static str,
    /// A condition on a run, its name like the pattern at the place `{}`, and a pattern with `*` as the database writes it.
    pub(super) has_name_like: &'static str,
    pub(super) pattern: fn(&str) -> String,
    pub(super) has_tag: &'static str,
    pub(super) has_tag_value: &'static str,
    /// An instant as the user's table keeps it.
    pub(super) instant: fn(DateTime<Utc>) -> String,
}

/// A numbered migration. A program that does not know a breaking one stops.
pub(super) struct Migration {
    pub(super) number: u32,
    pub(super) is_breaking: bool,
    pub(super) statements: &'static str,
}

impl Dialect {
    /// Selects a column to compare it with a text of `read`. A text that is no size differs from that of a longer value, so the value
    /// itself is compared, which costs the server less.
    pub(super) fn compared(&self, column: &Column, text: Option<&str>) -> String {
        let is_size = text.is_some_and(|text| text.ends_with(TOO_LONG));
        if is_size { (self.read)(column) } else { (self.as_text)(column) }
    }

    pub(super) fn newest_migration(&self) -> u32 {
        self.migrations.iter().map(|migration| migration.number).max().unwrap_or(0)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self { class: Class::Other, error }
    }
}
