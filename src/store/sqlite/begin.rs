//! The beginning of a run in SQLite: the steps of `postgres::begin`, within one immediate transaction, which lets no
//! two of them mix. Called by the store.

use serde_json::{Value, json};

use super::Session;
use super::errors::sort;
use super::rows::{facts, instant_text, query};
use super::version::{self, Counted};
use crate::record::{Begun, RecordId, Run};
use crate::store::change::{run_facts, without_nul};
use crate::store::columns::begun;
use crate::store::table::quote;
use crate::store::template::Words;
use crate::store::{StoreError, adoption};

const KNOWN: &str = include_str!("../../../sql/sqlite/begin_known.sql");
const ROW: &str = include_str!("../../../sql/sqlite/begin_row.sql");
const WATCHED: &str = include_str!("../../../sql/sqlite/begin_watched.sql");
const UPDATE: &str = include_str!("../../../sql/sqlite/begin_update.sql");
const NEXT_ID: &str = include_str!("../../../sql/sqlite/begin_next_id.sql");
const INSERT: &str = include_str!("../../../sql/sqlite/begin_insert.sql");
const RESET: &str = include_str!("../../../sql/sqlite/begin_reset.sql");
const TIE: &str = include_str!("../../../sql/sqlite/begin_tie.sql");

/// A beginning under way.
struct Beginning<'a, 'b> {
    session: &'a Session<'b>,
    run: &'a Run,
    counted: Counted,
}

/// A row of the user's table.
struct Found {
    id: String,
    status: String,
    version: Option<String>,
}

pub(super) fn begin(session: &Session<'_>, run: &Run, known: Option<&Begun>) -> Result<Begun, StoreError> {
    session.layout.columns.check_set(&run.set, &session.layout.table)?;
    let mut beginning = Beginning { session, run, counted: Counted::default() };
    let remembered = beginning.known()?.or_else(|| known.cloned());
    let begun = match (remembered, &run.adopt) {
        (Some(remembered), _) => beginning.again(remembered)?,
        (None, Some(record_id)) => beginning.adopt(record_id)?,
        (None, None) => beginning.insert_new()?,
    };
    beginning.tie(&begun)?;
    Ok(begun)
}

impl Beginning<'_, '_> {
    /// What the database remembers of a beginning.
    fn known(&self) -> Result<Option<Begun>, StoreError> {
        let rows = self.session.query(KNOWN, &facts([("run_id", json!(self.run.run_id))]))?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(text(row, 0).map(|record_id| begun(record_id, text(row, 1))))
    }

    /// A run that has begun before: its row as it is, or put back if somebody deleted it.
    fn again(&self, remembered: Begun) -> Result<Begun, StoreError> {
        if let Some(found) = self.find(&remembered.record_id)? {
            return Ok(begun(found.id, found.version));
        }
        let record_id = self.insert(Some(&remembered.record_id), remembered.version.as_deref())?;
        self.session.execute(RESET, &run_facts(self.run, instant_text))?;
        Ok(begun(record_id, remembered.version))
    }

    fn adopt(&self, record_id: &RecordId) -> Result<Begun, StoreError> {
        let Some(found) = self.find(record_id)? else {
            return Err(adoption::no_row(record_id, &self.session.layout.table));
        };
        if found.status != "training" {
            return Err(adoption::not_training(record_id, &found.status));
        }
        let wanted = facts([("record_id", json!(found.id)), ("run_id", json!(self.run.run_id))]);
        if let Some(other) = self.session.query(WATCHED, &wanted)?.first() {
            return Err(adoption::watched(record_id, &text(other, 0).unwrap_or_default()));
        }
        let version = self.run.version.clone().or(found.version);
        self.update(&found.id)?;
        Ok(begun(found.id, version.filter(|_| self.session.layout.columns.has("version"))))
    }

    fn find(&self, record_id: &RecordId) -> Result<Option<Found>, StoreError> {
        let rows = self.session.query(ROW, &facts([("record_id", json!(without_nul(&record_id.0)))]))?;
        Ok(rows.first().map(|row| Found {
            id: text(row, 0).unwrap_or_default(),
            status: text(row, 1).unwrap_or_default(),
            version: text(row, 2),
        }))
    }

    /// Makes an adopted row this run's: its start, and what the user gives; the rest stays as the application wrote it.
    fn update(&self, id: &str) -> Result<(), StoreError> {
        let begun_at = instant_text(self.run.begun_at);
        let values = self.session.layout.columns.first_values(self.run, None, self.run.version.as_deref(), &begun_at);
        let values: Vec<_> = values.into_iter().filter(|(name, _)| name != "id" && name != "created_at").collect();
        let assignments: Vec<String> =
            values.iter().enumerate().map(|(at, (name, _))| format!("{} = ?{}", quote(name), at + 2)).collect();
        let words = self.session.layout.words.with("assignments", assignments.join(",\n    "));
        self.write(UPDATE, &words, Some(id), &values).map(|_id| ())
    }

    fn insert_new(&mut self) -> Result<Begun, StoreError> {
        let version = match &self.run.version {
            _ if !self.session.layout.columns.has("version") => None,
            Some(version) => Some(without_nul(version)),
            None => {
                let (version, counted) = version::next(self.session, &self.run.name)?;
                self.counted = counted;
                Some(version)
            }
        };
        Ok(begun(self.insert(None, version.as_deref())?, version))
    }

    fn insert(&self, again: Option<&RecordId>, version: Option<&str>) -> Result<String, StoreError> {
        let begun_at = instant_text(self.run.begun_at);
        let unused = if again.is_none() { self.unused_id()? } else { None };
        let values = self.session.layout.columns.first_values(self.run, again.or(unused.as_ref()), version, &begun_at);
        let columns: Vec<String> = values.iter().map(|(name, _)| quote(name)).collect();
        let places: Vec<String> = (1..=values.len()).map(|at| format!("?{at}")).collect();
        let words =
            self.session.layout.words.with("columns", columns.join(",\n    ")).with("values", places.join(",\n    "));
        let id = self.write(INSERT, &words, None, &values)?;
        // SQLite takes NULL as a primary key of any type but INTEGER.
        id.ok_or_else(|| StoreError::Permanent {
            message: format!("table {} gives a new row no id", self.session.layout.table),
            hint: "give it one with --set id=VALUE, or a default in the table".into(),
        })
    }

    /// An id that no run has had, where the table would give one away twice.
    fn unused_id(&self) -> Result<Option<RecordId>, StoreError> {
        let is_set = self.run.set.iter().any(|(name, _)| name == "id");
        if is_set || !self.session.layout.words.flags.contains("id.integer") {
            return Ok(None);
        }
        let rows = self.session.query(NEXT_ID, &facts([]))?;
        Ok(rows.first().and_then(|row| text(row, 0)).map(RecordId))
    }

    /// Runs a statement that writes `values` into the user's table. Returns the id that it answers, if it does.
    fn write(
        &self,
        statement: &str,
        words: &Words,
        id: Option<&str>,
        values: &[(String, String)],
    ) -> Result<Option<String>, StoreError> {
        let parameters = id.into_iter().chain(values.iter().map(|(_, value)| value.as_str()));
        let numbered =
            parameters.enumerate().map(|(at, value)| ((at + 1).to_string(), json!(without_nul(value)))).collect();
        let rows = query(self.session.connection, &words.fill(statement), &numbered)
            .map_err(|error| sort(self.session.path, &error))?;
        Ok(rows.first().and_then(|row| text(row, 0)))
    }

    /// Writes the run's own row, which ties it to the user's.
    fn tie(&self, begun: &Begun) -> Result<(), StoreError> {
        let mut tie = run_facts(self.run, instant_text);
        tie.extend(facts([
            ("record_id", json!(begun.record_id)),
            ("record_version", json!(begun.version)),
            ("counted_until", json!(self.counted.until)),
            ("counted_number", json!(self.counted.number)),
            ("counted_id", json!(self.counted.id)),
        ]));
        self.session.execute(TIE, &tie).map(|_one| ())
    }
}

fn text(row: &[Value], at: usize) -> Option<String> {
    row.get(at)?.as_str().map(str::to_owned)
}
