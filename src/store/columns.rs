//! The user's table as it is: which columns it has, and what goes into them when a run begins. Owns the rules
//! about columns that are missing, unknown or too short; must not speak to a database. Called by both stores.

use serde::Deserialize;

use super::StoreError;
use crate::record::{Begun, RecordId, Run};

/// The columns of the user's table that runwrap writes where they exist. `id` and `status` must.
pub(super) const OWN_COLUMNS: [&str; 10] = [
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

/// So many of the newest rows are read again each time that a version is looked for: the application may still commit
/// them, or give them a version late.
pub(super) const UNSETTLED_ROWS: u32 = 100;

/// What was counted is written down again once so many more rows have settled.
pub(super) const SETTLED_ROWS: u32 = 10;

/// At most so many rows are read for it: a beginning must end in time however many rows came at once.
pub(super) const COUNTED_ROWS: u32 = 100_000;

/// Columns that have an option of their own, or none because runwrap alone knows them.
const NOT_TO_BE_SET: [(&str, &str); 6] = [
    ("version", "use --model-version"),
    ("model_path", "use --model-path"),
    ("status", "runwrap writes it itself"),
    ("train_start_time", "runwrap writes it itself"),
    ("train_end_time", "runwrap writes it itself"),
    ("train_duration", "runwrap writes it itself"),
];

/// A column of the user's table, as its database's catalog describes it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Column {
    pub(super) name: String,
    /// As it stands in a cast, without a modifier: `timestamp without time zone`, `character varying`.
    pub(super) type_name: String,
    /// The type under a domain; the same as `type_name` elsewhere.
    pub(super) base_type: String,
    /// The most characters that it takes, where it has a limit.
    pub(super) length: Option<usize>,
    /// The database fills it when an INSERT leaves it out.
    pub(super) has_default: bool,
    /// The database computes it from the others: nobody can write it.
    pub(super) computed: bool,
}

/// All columns of the user's table, in its order.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Columns(pub(super) Vec<Column>);

impl Columns {
    pub(super) fn get(&self, name: &str) -> Option<&Column> {
        self.0.iter().find(|column| column.name == name)
    }

    /// Whether there is such a column to be written.
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some_and(|column| !column.computed)
    }

    /// The most characters that a column takes; `None` where nothing limits it, or it does not exist.
    pub(super) fn length(&self, name: &str) -> Option<usize> {
        self.get(name)?.length
    }

    fn names(&self) -> String {
        self.0.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// What the statements may rely on: which of runwrap's columns there are, which are not, and which go together.
    pub(super) fn flags(&self) -> Vec<String> {
        let present = |name: &&str| self.has(name);
        let mut flags: Vec<String> = OWN_COLUMNS.iter().filter(|name| present(name)).map(ToString::to_string).collect();
        flags.extend(OWN_COLUMNS.iter().filter(|name| !present(name)).map(|name| format!("{name}.absent")));
        for (flag, needed) in [
            ("times.known", &["train_start_time", "train_end_time"][..]),
            ("train_duration.known", &["train_start_time", "train_duration"]),
            ("duration.known", &["train_start_time", "train_end_time", "train_duration"]),
        ] {
            if needed.iter().all(|name| self.has(name)) {
                flags.push(flag.to_owned());
            }
        }
        if let Some(id) = self.get("id").filter(|id| is_integer(id)) {
            flags.push("id.integer".to_owned());
            if id.has_default {
                // The database counts them up itself: a newer row has a higher one.
                flags.push("id.counted".to_owned());
            }
        } else {
            flags.push("id.other".to_owned());
        }
        flags
    }

    /// A table without these two cannot keep a record.
    pub(super) fn require(&self, table: &str) -> Result<(), StoreError> {
        for name in ["id", "status"] {
            if !self.has(name) {
                return Err(StoreError::Permanent {
                    message: format!("table {table} has no column {name:?}; it has {}", self.names()),
                    hint: "name another table with --table, or add the column".into(),
                });
            }
        }
        Ok(())
    }

    /// Every `--set` must name a column that the user may write.
    pub(super) fn check_set(&self, set: &[(String, String)], table: &str) -> Result<(), StoreError> {
        for (at, (name, _)) in set.iter().enumerate() {
            let refused = |why: String, hint: &str| {
                Err(StoreError::BadInput { message: format!("--set {name}: {why}"), hint: hint.into() })
            };
            if self.get(name).is_some_and(|column| column.computed) {
                return refused("the database computes this column".into(), "leave it out");
            }
            if !self.has(name) {
                let why = format!("table {table} has no such column; it has {}", self.names());
                return refused(why, "correct the name, or add the column to the table");
            }
            if let Some((_, hint)) = NOT_TO_BE_SET.iter().find(|(own, _)| own == name) {
                return refused("this column is not to be set".into(), hint);
            }
            if set[..at].iter().any(|(earlier, _)| earlier == name) {
                return refused("the column is set twice".into(), "give each column once");
            }
        }
        Ok(())
    }

    /// What a new row of the user's table says, column by column. `again` is the id and version under which a row
    /// that was deleted comes back; `version` what a new one is called. `time` writes an instant as the database reads it.
    pub(super) fn first_values(
        &self,
        run: &Run,
        again: Option<&RecordId>,
        version: Option<&str>,
        begun_at: &str,
    ) -> Vec<(String, String)> {
        let (model_path, error_message) = self.fit(run.model_path.as_deref(), None);
        let created_at = self.get("created_at").is_some_and(|column| !column.has_default).then(|| begun_at.to_owned());
        let own = [
            ("id", self.first_id(run, again)),
            ("version", version.map(str::to_owned)),
            ("status", Some("training".to_owned())),
            ("train_start_time", Some(begun_at.to_owned())),
            ("model_path", model_path),
            ("error_message", error_message),
            ("created_at", created_at),
        ];
        let set = run.set.iter().map(|(name, value)| (name.as_str(), Some(value.clone())));
        let mut values: Vec<(String, String)> = Vec::new();
        for (name, value) in own.into_iter().chain(set) {
            let Some(value) = value.filter(|_| self.has(name)) else { continue };
            match values.iter_mut().find(|(known, _)| known == name) {
                // What the user sets stands above what runwrap would have written, save under which id a row comes back.
                Some((_, known)) if !(name == "id" && again.is_some()) => *known = value,
                Some(_) => {}
                None => values.push((name.to_owned(), value)),
            }
        }
        values
    }

    /// The id of a new row is the table's to give. Where it gives none and would take a uuid, the run's serves.
    fn first_id(&self, run: &Run, again: Option<&RecordId>) -> Option<String> {
        if let Some(id) = again {
            return Some(id.0.clone());
        }
        let column = self.get("id").filter(|column| !column.has_default)?;
        let takes_uuid = ["uuid", "text", "character varying", "varchar", "character", "char"];
        match column.length {
            _ if !takes_uuid.contains(&column.base_type.as_str()) => None,
            Some(32) => Some(run.run_id.0.simple().to_string()),
            Some(length) if length < 32 => None,
            Some(_) | None => Some(run.run_id.to_string()),
        }
    }

    /// `model_path` and `error_message` as the table can take them. A path that does not fit is left out and named
    /// in the message, and the message is cut: nothing that a trainer says may prevent the end of its record.
    pub(super) fn fit(
        &self,
        model_path: Option<&str>,
        error_message: Option<&str>,
    ) -> (Option<String>, Option<String>) {
        fit(model_path, error_message, self.length("model_path"), self.length("error_message"))
    }
}

/// The integers of either dialect, under the names that they have in a catalog.
fn is_integer(column: &Column) -> bool {
    ["int", "integer", "bigint", "smallint", "tinyint", "mediumint", "int2", "int4", "int8"]
        .contains(&column.base_type.as_str())
}

fn fit(
    model_path: Option<&str>,
    error_message: Option<&str>,
    path_length: Option<usize>,
    message_length: Option<usize>,
) -> (Option<String>, Option<String>) {
    let too_long = model_path.zip(path_length).filter(|(path, most)| path.chars().count() > *most);
    let note = too_long
        .map(|(path, most)| format!("the model path is longer than the {most} characters of its column: {path}"));
    let message = match (error_message, note) {
        (Some(message), Some(note)) => Some(format!("{message}; {note}")),
        (message, note) => message.map(str::to_owned).or(note),
    };
    let path = if too_long.is_some() { None } else { model_path.map(str::to_owned) };
    (path, message.map(|message| cut(&message, message_length)))
}

/// The first `most` characters of `text`.
fn cut(text: &str, most: Option<usize>) -> String {
    most.map_or_else(|| text.to_owned(), |most| text.chars().take(most).collect())
}

/// What a run begins with when neither the journal nor the database remembers more.
pub(super) fn begun(record_id: String, version: Option<String>) -> Begun {
    Begun { record_id: RecordId(record_id), version }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_fits_is_left_alone() {
        assert_eq!(fit(Some("/m"), Some("e"), Some(2), Some(1)), (Some("/m".into()), Some("e".into())));
        assert_eq!(fit(Some("/m"), None, None, None), (Some("/m".into()), None));
        assert_eq!(fit(None, None, Some(1), Some(1)), (None, None));
    }

    #[test]
    fn a_path_that_does_not_fit_is_named_in_the_message() {
        let (path, message) = fit(Some("/long"), None, Some(4), None);
        assert_eq!((path, message.unwrap().ends_with(": /long")), (None, true));
        let (path, message) = fit(Some("/long"), Some("exited with code 1"), Some(4), Some(20));
        assert_eq!((path, message.unwrap().as_str()), (None, "exited with code 1; "));
    }

    #[test]
    fn a_message_is_cut_between_characters() {
        assert_eq!(fit(None, Some("äöü"), None, Some(2)).1.unwrap(), "äö");
    }
}
