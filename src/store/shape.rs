//! The tables as they are: which columns the user's table has, what a new row of it holds, and whether runwrap's own tables are there.
//! Owns the rules about columns that are missing, unknown or too short; must not ask a database.

use super::StoreError;
use super::reduction::shortened;
use super::session::{Column, Dialect, Rows, is_true};
use super::table::TableName;
use crate::record::{RecordId, Run, version_number};

/// The columns of the user's table that `--set` may not name, and the hint of that.
const RESERVED_COLUMNS: [(&str, &str); 6] = [
    ("version", "use --model-version"),
    ("status", "runwrap writes it itself"),
    ("train_start_time", "runwrap writes it itself"),
    ("train_end_time", "runwrap writes it itself"),
    ("train_duration", "runwrap writes it itself"),
    ("model_path", "use --model-path"),
];

/// The columns that the end of a run writes.
const WRITTEN: [&str; 6] =
    ["train_start_time", "train_end_time", "train_duration", "train_metrics", "model_path", "error_message"];

/// The columns that runwrap reads or writes by their names.
const KNOWN: [&str; 10] = [
    "id",
    "version",
    "status",
    "train_start_time",
    "train_end_time",
    "train_duration",
    "train_metrics",
    "model_path",
    "error_message",
    "created_at",
];

/// The types of an id, in either dialect, that are integers.
pub(super) const INTEGERS: [&str; 9] =
    ["int", "integer", "bigint", "smallint", "tinyint", "mediumint", "int2", "int4", "int8"];

/// All columns of the user's table, in its order.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns(pub(super) Vec<Column>);

/// The tables as one transaction found them.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) columns: Columns,
    /// The user's table in statements and messages, quoted.
    pub(super) table: String,
    /// The schema of runwrap's tables, beside the user's, quoted.
    pub(super) schema: String,
    /// The user's table in `runwrap_runs.record_table`.
    pub(super) record_table: String,
    /// Whether `runwrap_migrations` exists, and may be read.
    pub(super) migrations: Migrations,
    /// Whether the newest migration's table exists.
    pub(super) has_versions: bool,
}

/// The state of `runwrap_migrations`, by the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Migrations {
    Missing,
    /// The role may not read them.
    Unreadable,
    Readable,
}

impl Shape {
    /// Whether a row of `catalog_columns` has a type that may be a domain.
    pub(super) fn may_have_domains(rows: &Rows) -> bool {
        rows.iter().any(|row| text(row, 5) == Some("true"))
    }

    /// Replaces the types of domains in the rows of `catalog_columns` by those of `domains`: name, type, length.
    pub(super) fn resolve(rows: &mut Rows, domains: &Rows) {
        for row in rows.split_last_mut().map_or(&mut [][..], |(_, columns)| columns) {
            let name = text(row, 0).map(str::to_owned);
            let resolved = domains.iter().find(|domain| text(domain, 0) == name.as_deref());
            if let (Some([_, kind, length]), Some(typed)) = (resolved.map(Vec::as_slice), row.get_mut(1..3)) {
                typed.clone_from_slice(&[kind.clone(), length.clone()]);
            }
        }
    }

    /// Reads the rows of `catalog_columns` and that of `catalog` behind them.
    pub(super) fn new(dialect: &Dialect, table: &TableName, rows: &Rows) -> Result<Self, StoreError> {
        let (last, columns) =
            rows.split_last().map_or((&[][..], &[][..]), |(last, columns)| (last.as_slice(), columns));
        let Some(schema) = text(last, 0) else {
            return Err(StoreError::Permanent {
                message: format!("there is no schema for table {}", table.quoted()),
                hint: "set search_path for this user, or name the schema: --table SCHEMA.NAME".into(),
            });
        };
        let column = |row: &Vec<Option<String>>| {
            let name = known_name(dialect, text(row, 0)?);
            let (base_type, length) = (dialect.base_type)(text(row, 1).unwrap_or_default(), text(row, 2));
            // The length of an id shows the form in which a UUID is meant, also if the database does not enforce it.
            let length = length.filter(|_| dialect.enforces_lengths || name == "id");
            let is = |at: usize| text(row, at) == Some("true");
            Some(Column { name, base_type, length, has_default: is(3), is_computed: is(4) })
        };
        let mut columns: Vec<_> = columns.iter().collect();
        columns.sort_by_key(|row| text(row, 6).and_then(|number| number.parse::<u32>().ok()));
        let (quoted, schema) = (dialect.place)(table, Some(schema));
        Ok(Self {
            columns: Columns(columns.into_iter().filter_map(column).collect()),
            table: quoted,
            schema,
            record_table: table.name.clone(),
            migrations: match text(last, 1) {
                None => Migrations::Missing,
                Some(is_readable) if is_true(is_readable) => Migrations::Readable,
                Some(_) => Migrations::Unreadable,
            },
            has_versions: text(last, 2).is_some(),
        })
    }

    /// A table without an id and a status cannot hold a record.
    pub(super) fn require(&self) -> Result<(), StoreError> {
        if self.has_table() { self.columns.require(&self.table) } else { Ok(()) }
    }

    pub(super) fn has_table(&self) -> bool {
        !self.columns.0.is_empty()
    }
}

/// The name of a column. SQLite, which enforces no lengths, ignores the case of names.
pub(super) fn known_name(dialect: &Dialect, name: &str) -> String {
    let known = KNOWN.into_iter().find(|known| !dialect.enforces_lengths && known.eq_ignore_ascii_case(name));
    known.unwrap_or(name).to_owned()
}

fn text(row: &[Option<String>], at: usize) -> Option<&str> {
    row.get(at)?.as_deref()
}

impl Columns {
    pub(super) fn get(&self, name: &str) -> Option<&Column> {
        self.0.iter().find(|column| column.name == name)
    }

    /// Whether every column exists that runwrap writes.
    pub(super) fn has_all(&self) -> bool {
        WRITTEN.iter().all(|name| self.get(name).is_some())
    }

    /// Whether the column exists and can be written.
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some_and(|column| !column.is_computed)
    }

    pub(super) fn id_is_integer(&self) -> bool {
        self.get("id").is_some_and(|id| INTEGERS.contains(&id.base_type.as_str()))
    }

    fn names(&self) -> String {
        self.0.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn require(&self, table: &str) -> Result<(), StoreError> {
        let missing = ["id", "status"].into_iter().find(|name| !self.has(name));
        missing.map_or(Ok(()), |name| {
            Err(StoreError::Permanent {
                message: format!("table {table} has no column {name:?}; it has {}", self.names()),
                hint: "name another table with --table, or add the column".into(),
            })
        })
    }

    /// Every `--set` must name a column that the user may write.
    pub(super) fn check_set(&self, set: &[(String, String)], table: &str) -> Result<(), StoreError> {
        for (at, (name, _)) in set.iter().enumerate() {
            let refused = |why: String, hint: &str| {
                Err(StoreError::BadInput { message: format!("--set {name}: {why}"), hint: hint.into() })
            };
            if self.get(name).is_some_and(|column| column.is_computed) {
                return refused("the database computes this column".into(), "leave it out");
            }
            if !self.has(name) {
                let why = format!("table {table} has no such column; it has {}", self.names());
                return refused(why, "correct the name, or add the column to the table");
            }
            if let Some((_, hint)) = RESERVED_COLUMNS.iter().find(|(reserved, _)| reserved == name) {
                return refused("this column cannot be set".into(), hint);
            }
            if set[..at].iter().any(|(earlier, _)| earlier == name) {
                return refused("the column is set twice".into(), "give each column once");
            }
        }
        Ok(())
    }

    /// The columns and values of a new row. `id` is one that must be taken; `version` its label; `begun_at` the beginning, as the
    /// database reads it.
    pub(super) fn first_values(
        &self,
        run: &Run,
        id: Option<&RecordId>,
        version: Option<&str>,
        begun_at: &str,
    ) -> Vec<(String, String)> {
        let (model_path, _no_message) = self.fit(run.model_path.as_deref(), None);
        let created_at = self.get("created_at").is_some_and(|column| !column.has_default).then(|| begun_at.to_owned());
        let own = [
            ("id", id.map_or_else(|| self.first_id(run), |id| Some(id.0.clone()))),
            ("version", version.map(str::to_owned)),
            ("status", Some("training".to_owned())),
            ("train_start_time", Some(begun_at.to_owned())),
            ("model_path", model_path),
            ("created_at", created_at),
        ];
        let set = run.set.iter().map(|(name, value)| (name.as_str(), Some(value.clone())));
        let mut values: Vec<(String, String)> = Vec::new();
        for (name, value) in own.into_iter().chain(set) {
            let Some(value) = value.filter(|_| self.has(name)) else { continue };
            match values.iter_mut().find(|(known, _)| known == name) {
                // --set overrides the defaults of runwrap, save an id that must be taken.
                Some((_, known)) if !(name == "id" && id.is_some()) => *known = without_nul(&value),
                Some(_) => {}
                None => values.push((name.to_owned(), without_nul(&value))),
            }
        }
        values
    }

    /// The table gives a new row its id. If it gives none and takes a UUID, the run's id serves.
    fn first_id(&self, run: &Run) -> Option<String> {
        let digits = run.run_id.0.simple().to_string();
        Some(if self.length_of_run_id()? == digits.len() { digits } else { run.run_id.to_string() })
    }

    /// Whether the run's id serves as the id of a new row.
    pub(super) fn takes_run_id(&self) -> bool {
        self.length_of_run_id().is_some()
    }

    /// The characters of a run's id as the column `id` takes it, with hyphens if they fit.
    fn length_of_run_id(&self) -> Option<usize> {
        const KINDS: [&str; 7] = ["uuid", "text", "character varying", "varchar", "character", "char", "bpchar"];
        let column = self.get("id").filter(|column| !column.has_default)?;
        let takes_uuid = KINDS.contains(&column.base_type.as_str());
        let lengths = [36, 32].into_iter().filter(|_| takes_uuid);
        lengths.into_iter().find(|length| column.length.is_none_or(|most| *length <= most))
    }

    /// `model_path` and `error_message` as the table takes them. A path that does not fit is left out, and noted in the message of a
    /// failure if there is room.
    pub(super) fn fit(
        &self,
        model_path: Option<&str>,
        error_message: Option<&str>,
    ) -> (Option<String>, Option<String>) {
        let most = self.get("model_path").and_then(|column| column.length);
        let Some((path, most)) = model_path.zip(most).filter(|(path, most)| path.chars().count() > *most) else {
            return (model_path.map(str::to_owned), error_message.map(|message| self.cut("error_message", message)));
        };
        let note = format!("the model path is longer than the {most} characters of its column: {path}");
        log::info!(event = "path_too_long"; "{note}");
        let message = error_message.map(|message| {
            let noted = format!("{message}; {note}");
            if self.cut("error_message", &noted) == noted { noted } else { self.cut("error_message", message) }
        });
        (None, message)
    }

    /// Makes both as the table takes them.
    pub(super) fn fit_both(&self, model_path: &mut Option<String>, error_message: &mut Option<String>) {
        (*model_path, *error_message) = self.fit(model_path.as_deref(), error_message.as_deref());
    }

    /// `version` as the column takes it; `None` for a word in a column of numbers.
    pub(super) fn version(&self, version: &str) -> Option<String> {
        let column = self.get("version")?;
        if INTEGERS.contains(&column.base_type.as_str()) {
            let number = version.strip_prefix('v').unwrap_or(version).parse::<i64>();
            return number.ok().map(|number| number.to_string());
        }
        let cut = self.cut("version", version);
        // A cut label would be that of another number.
        if cut != version && version_number(version).is_some() {
            let (digits, most) = (version.trim_start_matches('v'), cut.chars().count());
            let tail = digits.len().saturating_sub(most.saturating_sub(1));
            return Some(if digits.len() <= most { digits.to_owned() } else { format!("~{}", &digits[tail..]) });
        }
        // Every encoding has this mark.
        Some(if cut == version { cut } else { cut.replace('…', "~") })
    }

    /// The version of a row as a label, in SQL.
    pub(super) fn label_of_version(&self) -> &'static str {
        let counts = self.get("version").is_some_and(|column| INTEGERS.contains(&column.base_type.as_str()));
        if counts { "'v' || CAST(version AS text)" } else { "CAST(version AS text)" }
    }

    /// The number of a version in the column, if it counts.
    pub(super) fn number_of_version(&self, version: &str) -> Option<u64> {
        let counts = self.get("version").is_some_and(|column| INTEGERS.contains(&column.base_type.as_str()));
        version_number(version).or_else(|| version.parse().ok().filter(|_| counts))
    }

    /// `text` as long as the column takes.
    pub(super) fn cut(&self, name: &str, text: &str) -> String {
        shortened(text, self.get(name).and_then(|column| column.length).unwrap_or(usize::MAX))
    }
}

/// PostgreSQL's texts hold no NUL, and SQLite's own tools end a text there.
pub(super) fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn fits(lengths: [Option<usize>; 2], given: [Option<&str>; 2], expected: [Option<&str>; 2]) {
        let column = |(name, length): (&str, Option<usize>)| Column {
            name: name.into(),
            base_type: "text".into(),
            length,
            has_default: false,
            is_computed: false,
        };
        let columns = Columns(["model_path", "error_message"].into_iter().zip(lengths).map(column).collect());
        let (path, message) = columns.fit(given[0], given[1]);
        assert_eq!([path.as_deref(), message.as_deref()], expected);
    }

    #[test]
    fn path_that_fits_is_kept() {
        fits([Some(2), Some(1)], [Some("/m"), Some("e")], [Some("/m"), Some("e")]);
        fits([None, None], [Some("/m"), None], [Some("/m"), None]);
        fits([Some(1), Some(1)], [None, None], [None, None]);
    }

    #[test]
    fn path_that_does_not_fit_is_noted_in_the_message() {
        let note = "the model path is longer than the 4 characters of its column: /long";
        let noted = format!("exited; {note}");
        fits([Some(4), None], [Some("/long"), Some("exited")], [None, Some(&noted)]);
        let both = [Some("/long"), Some("exited with code 1")];
        fits([Some(4), Some(20)], both, [None, Some("exited with code 1")]);
        // A completed run has no message.
        fits([Some(4), None], [Some("/long"), None], [None, None]);
    }

    #[test]
    fn message_is_cut_between_characters() {
        fits([None, Some(2)], [None, Some("äöü")], [None, Some("äö")]);
    }
}
