//! The beginning of a run in PostgreSQL: exactly one row of the user's table and one of `runwrap_runs`, however often
//! and by however many it is asked for. Owns the order of the steps, which is what makes it safe. Called by the store.

use super::catalog::Layout;
use super::{Session, errors};
use crate::record::{Begun, RecordId, Run, next_version};
use crate::store::change::{instant_text, run_facts, without_nul};
use crate::store::columns::begun;
use crate::store::table::{literal, quote};
use crate::store::template::Words;
use crate::store::{StoreError, adoption};

const CLAIM: &str = include_str!("../../../sql/postgres/begin_claim.sql");
const KNOWN: &str = include_str!("../../../sql/postgres/begin_known.sql");
const ROW: &str = include_str!("../../../sql/postgres/begin_row.sql");
const ADOPT: &str = include_str!("../../../sql/postgres/begin_adopt.sql");
const WATCHED: &str = include_str!("../../../sql/postgres/begin_watched.sql");
const UPDATE: &str = include_str!("../../../sql/postgres/begin_update.sql");
const LOCK: &str = include_str!("../../../sql/postgres/begin_lock.sql");
const VERSIONS: &str = include_str!("../../../sql/postgres/begin_versions.sql");
const VERSIONS_ALL: &str = include_str!("../../../sql/postgres/begin_versions_all.sql");
const INSERT: &str = include_str!("../../../sql/postgres/begin_insert.sql");
const RESET: &str = include_str!("../../../sql/postgres/begin_reset.sql");
const DONE: &str = include_str!("../../../sql/postgres/begin_done.sql");

/// A beginning under way.
struct Beginning<'a, 'b> {
    session: &'a mut Session<'b>,
    layout: &'a Layout,
    run: &'a Run,
    counted: Counted,
}

/// What a search for the version saw of the rows that no run describes; nothing where there was none.
#[derive(Default)]
struct Counted {
    until: Option<String>,
    number: Option<String>,
    id: Option<String>,
}

pub(super) fn begin(
    session: &mut Session<'_>,
    layout: &Layout,
    run: &Run,
    known: Option<&Begun>,
) -> Result<Begun, StoreError> {
    layout.columns.check_set(&run.set, &layout.table)?;
    let mut beginning = Beginning { session, layout, run, counted: Counted::default() };
    let remembered = beginning.claim()?.or_else(|| known.cloned());
    let begun = match (remembered, &run.adopt) {
        (Some(remembered), _) => beginning.again(remembered)?,
        (None, Some(record_id)) => beginning.adopt(record_id)?,
        (None, None) => beginning.insert_new()?,
    };
    beginning.done(&begun)?;
    Ok(begun)
}

impl Beginning<'_, '_> {
    /// Makes the run's own row, or finds it. Returns what the database remembers of a beginning.
    fn claim(&mut self) -> Result<Option<Begun>, StoreError> {
        let facts = serde_json::Value::Object(run_facts(self.run, instant_text)).to_string();
        self.session.rows(&self.layout.words.fill(CLAIM), &[Some(&facts)])?;
        let run_id = self.run.run_id.to_string();
        let Some(row) = self.session.row(&self.layout.words.fill(KNOWN), &[Some(&run_id)])? else { return Ok(None) };
        let version = self.session.text(&row, 1)?;
        Ok(self.session.text(&row, 0)?.map(|record_id| begun(record_id, version)))
    }

    /// A run that has begun before: its row as it is, or put back if somebody deleted it.
    fn again(&mut self, remembered: Begun) -> Result<Begun, StoreError> {
        if let Some(row) = self.session.row(&self.layout.words.fill(ROW), &[Some(&remembered.record_id.0)])? {
            return Ok(Begun { version: self.session.text(&row, 0)?, ..remembered });
        }
        let record_id = self.insert(Some(&remembered.record_id), remembered.version.as_deref())?;
        let (run_id, begun_at) = (self.run.run_id.to_string(), instant_text(self.run.begun_at));
        self.session.rows(&self.layout.words.fill(RESET), &[Some(&run_id), Some(&begun_at)])?;
        Ok(begun(record_id, remembered.version))
    }

    fn adopt(&mut self, record_id: &RecordId) -> Result<Begun, StoreError> {
        let typed = without_nul(&record_id.0);
        let rows = self.session.rows_by_id(&self.layout.words.fill(ADOPT), &[Some(&typed)])?;
        let Some(row) = rows.first() else { return Err(adoption::no_row(record_id, &self.layout.table)) };
        let id = self.session.text(row, 0)?.unwrap_or_default();
        let status = self.session.text(row, 1)?.unwrap_or_default();
        if status != "training" {
            return Err(adoption::not_training(record_id, &status));
        }
        let run_id = self.run.run_id.to_string();
        let watched = self.session.row(&self.layout.words.fill(WATCHED), &[Some(&id), Some(&run_id)])?;
        if let Some(other) = watched {
            return Err(adoption::watched(record_id, &self.session.text(&other, 0)?.unwrap_or_default()));
        }
        let version = self.run.version.clone().or(self.session.text(row, 2)?);
        self.update(&id)?;
        Ok(begun(id, version.filter(|_| self.layout.columns.has("version"))))
    }

    /// Makes an adopted row this run's: its start, and what the user gives; the rest stays as the application wrote it.
    fn update(&mut self, id: &str) -> Result<(), StoreError> {
        let columns = &self.layout.columns;
        let values =
            columns.first_values(self.run, None, self.run.version.as_deref(), &instant_text(self.run.begun_at));
        let values: Vec<_> = values.into_iter().filter(|(name, _)| name != "id" && name != "created_at").collect();
        let assignments: Vec<String> = values
            .iter()
            .enumerate()
            .map(|(at, (name, _))| format!("{} = {}", quote(name), self.cast(at + 2, name)))
            .collect();
        let words = self.layout.words.with("assignments", assignments.join(",\n    "));
        self.write(UPDATE, &words, Some(id), &values).map(|_id| ())
    }

    fn insert_new(&mut self) -> Result<Begun, StoreError> {
        let version = match &self.run.version {
            _ if !self.layout.columns.has("version") => None,
            Some(version) => Some(without_nul(version)),
            None => Some(self.next_version()?),
        };
        Ok(begun(self.insert(None, version.as_deref())?, version))
    }

    fn next_version(&mut self) -> Result<String, StoreError> {
        let name = without_nul(&self.run.name);
        let key = literal(&format!("runwrap version {} {name}", self.layout.table));
        self.session.rows(&self.layout.words.with("lock", key).fill(LOCK), &[])?;
        // A statement of its own: its snapshot must be younger than the lock.
        let counts = self.layout.words.flags.contains("id.counted");
        let statement = if counts { VERSIONS } else { VERSIONS_ALL };
        let Some(row) = self.session.row(&self.layout.words.fill(statement), &[Some(&name)])? else {
            return Ok(next_version([]));
        };
        if let Some(until) = if counts { self.session.text(&row, 1)? } else { None } {
            let (number, id) = (self.session.text(&row, 2)?, self.session.text(&row, 3)?);
            self.counted = Counted { until: Some(until), number, id };
        }
        let highest = self.session.text(&row, 0)?;
        Ok(next_version(highest.map(|number| format!("v{number}")).as_deref()))
    }

    fn insert(&mut self, again: Option<&RecordId>, version: Option<&str>) -> Result<String, StoreError> {
        let begun_at = instant_text(self.run.begun_at);
        let values = self.layout.columns.first_values(self.run, again, version, &begun_at);
        let columns: Vec<String> = values.iter().map(|(name, _)| quote(name)).collect();
        let casts: Vec<String> = values.iter().enumerate().map(|(at, (name, _))| self.cast(at + 1, name)).collect();
        let words = self.layout.words.with("columns", columns.join(",\n    ")).with("values", casts.join(",\n    "));
        self.write(INSERT, &words, None, &values)
    }

    /// Runs a statement that writes `values` into the user's table. Returns the id that it answers, if it does.
    fn write(
        &mut self,
        statement: &str,
        words: &Words,
        id: Option<&str>,
        values: &[(String, String)],
    ) -> Result<String, StoreError> {
        let clean: Vec<String> = values.iter().map(|(_, value)| without_nul(value)).collect();
        let parameters: Vec<Option<&str>> =
            id.into_iter().map(Some).chain(clean.iter().map(|value| Some(value.as_str()))).collect();
        let rows = match self.session.query(&words.fill(statement), &parameters) {
            Err(error) if !self.run.set.is_empty() && errors::is_data_exception(&error) => {
                return Err(self.session.server.bad_set(&error, &self.run.set));
            }
            // A row that came back under its old id can be ahead of the table's own counting, which the failure moves on.
            Err(error) if errors::is_id_taken(&error) && !values.iter().any(|(name, _)| name == "id") => {
                return Err(self.session.server.transient("the next id of the table is taken already"));
            }
            other => other.map_err(|error| self.session.server.sort(&error))?,
        };
        rows.first().map(|row| self.session.text(row, 0)).transpose().map(|id| id.flatten().unwrap_or_default())
    }

    /// Ties the run to its row.
    fn done(&mut self, begun: &Begun) -> Result<(), StoreError> {
        let run_id = self.run.run_id.to_string();
        let parameters = [
            Some(run_id.as_str()),
            Some(begun.record_id.0.as_str()),
            begun.version.as_deref(),
            self.counted.until.as_deref(),
            self.counted.number.as_deref(),
            self.counted.id.as_deref(),
        ];
        self.session.rows(&self.layout.words.fill(DONE), &parameters).map(|_none| ())
    }

    /// Parameter number `parameter`, a text, as the type of the column `name`.
    fn cast(&self, parameter: usize, name: &str) -> String {
        let type_name = self.layout.columns.get(name).map_or("text", |column| column.type_name.as_str());
        format!("CAST(${parameter} AS {type_name})")
    }
}
