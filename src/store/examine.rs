//! Finds records that may not be well: overdue runs, stuck rows, pages of the table for `check`. Each statement may return too many;
//! the rules of `record` decide. A repair repeats the decision under the row's lock.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::origin::Origin;
use super::record_row::{self, RecordRow, seconds};
use super::run_row::RunRow;
use super::session::{Class, Failure};
use super::statement::{list, places};
use super::transaction::{Nesting, Transaction, sql};
use super::{Page, Scope, Store, StoreError, Suspect, Suspicious};
use crate::record::{
    Cell, DatabaseClock, Examined, RecordId, Row, RunId, Status, Watched, findings, is_overdue, may_be_stuck,
    read_instant,
};

/// Records that are looked at together.
const PAGE: u32 = 500;

/// The columns that `check` and `recover --stuck-after` read, if they exist.
const EXAMINED_COLUMNS: [&str; 6] =
    ["status", "train_start_time", "train_end_time", "train_duration", "created_at", "updated_at"];

impl Store {
    /// Returns at most `limit` runs whose lease has expired by the database's clock, the oldest first. If this process knows the
    /// tables it is one statement without a transaction: every keeper asks once per lease.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn overdue(&mut self, limit: u32) -> Result<Vec<RunId>, StoreError> {
        let limit = limit.to_string();
        let known = self.options.cache.shape().filter(|_| self.nesting == Nesting::None);
        let glance = known.map(|shape| {
            let select = sql(self.session.as_ref(), &shape, "overdue", &[("{limit}", &limit)]);
            self.session.rows(&select, &[Some(&shape.record_table)])
        });
        let rows = match glance {
            Some(Err(Failure { class: Class::Schema, .. })) | None => self.read(|transaction| {
                let select = transaction.sql("overdue", &[("{limit}", &limit)]);
                transaction.rows(&select, &[Some(&transaction.shape.record_table)])
            })?,
            Some(rows) => rows?,
        };
        Ok(rows.into_iter().flatten().flatten().filter_map(|id| id.parse().ok().map(RunId)).collect())
    }

    /// Returns the records in training that no run watches, without a sign of life for so long by the database's clock.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn stuck(&mut self, silent_seconds: u32) -> Result<Vec<Suspect>, StoreError> {
        self.read(|transaction| transaction.stuck(silent_seconds))
    }

    /// Returns the next `limit` records of `scope`, in the order of their ids, and those of them that may not be well.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn examine(&mut self, scope: Scope, after: Option<&RecordId>, limit: u32) -> Result<Page, StoreError> {
        self.read(|transaction| {
            let clock = transaction.clock()?;
            match scope {
                Scope::All => transaction.examine_all(after, limit, clock),
                Scope::LiveRuns => transaction.examine_live(after, limit, clock),
            }
        })
    }

    /// Returns about how many records there are; `None` if the database does not know without counting.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn estimate(&mut self) -> Result<Option<u64>, StoreError> {
        self.read(|transaction| {
            let select = transaction.sql("estimate", &[]);
            transaction.number(&select, &[Some(&transaction.shape.table)])
        })
    }
}

/// A row of the user's table, with its id as the database writes it.
struct Found {
    id: String,
    row: RecordRow,
}

impl Transaction<'_> {
    /// The rows of a statement that selects `{columns}`: the id and `names`.
    fn found(
        &mut self,
        name: &str,
        names: &[&'static str],
        lists: &[(&str, &str)],
        texts: &[Option<&str>],
    ) -> Result<Vec<Found>, Failure> {
        let (names, reads) = record_row::reads(self.session.dialect(), &self.shape.columns, names);
        // The alias keeps PostgreSQL from ordering by the text.
        let columns = list(std::iter::once("CAST(id AS text) AS id_text".to_owned()).chain(reads));
        let select = self.sql(name, &[&[("{columns}", columns.as_str())], lists].concat());
        let rows = self.rows(&select, texts)?;
        let found = rows.into_iter().filter_map(|mut texts| {
            let id = texts.first_mut()?.take()?;
            texts.remove(0);
            Some(Found { id, row: RecordRow::new(names.clone(), texts) })
        });
        Ok(found.collect())
    }

    /// The last run that describes each record, by the record's id.
    pub(super) fn last_runs(&mut self, records: &HashMap<String, Origin>) -> Result<HashMap<String, RunRow>, Failure> {
        let ids: Vec<String> = records.keys().cloned().collect();
        let mut last = HashMap::new();
        for ids in ids.chunks(PAGE as usize) {
            for run in self.runs_of(ids)? {
                let described = run.get("record_id").and_then(|id| records.get_key_value(id));
                if let Some((id, _)) = described.filter(|(_, origin)| run.describes(origin)) {
                    last.insert(id.clone(), run);
                }
            }
        }
        Ok(last)
    }

    fn origins<'f>(&self, found: impl Iterator<Item = &'f Found>) -> HashMap<String, Origin> {
        found.map(|found| (found.id.clone(), found.row.origin(&self.shape.columns))).collect()
    }

    fn examine_all(&mut self, after: Option<&RecordId>, limit: u32, clock: DatabaseClock) -> Result<Page, Failure> {
        // SQLite's keys may be NULL, and come first.
        let condition = if after.is_some() { "id > $1" } else { "id IS NOT NULL" };
        let lists = [("{condition}", condition), ("{limit}", &limit.to_string())];
        let texts: Vec<Option<&str>> = after.map(|id| Some(id.0.as_str())).into_iter().collect();
        let found = self.found("page", &EXAMINED_COLUMNS, &lists, &texts)?;
        let last = found.last().map(|found| RecordId(found.id.clone()));
        self.page(found, last, clock)
    }

    fn examine_live(&mut self, after: Option<&RecordId>, limit: u32, clock: DatabaseClock) -> Result<Page, Failure> {
        let select = self.sql("live_page", &[("{limit}", &limit.to_string())]);
        let after = after.map_or("", |id| id.0.as_str());
        let rows = self.rows(&select, &[Some(&self.shape.record_table), Some(after)])?;
        let ids: Vec<String> = rows.into_iter().flatten().flatten().collect();
        let last = ids.last().cloned().map(RecordId);
        let ids = self.held(&ids);
        let mut found = Vec::new();
        for ids in ids.chunks(PAGE as usize) {
            let texts: Vec<Option<&str>> = ids.iter().map(|id| Some(id.as_str())).collect();
            let values = places(1, ids.len());
            found.extend(self.found("records_by_id", &EXAMINED_COLUMNS, &[("{values}", &values)], &texts)?);
        }
        self.page(found, last, clock)
    }

    fn page(&mut self, found: Vec<Found>, last: Option<RecordId>, clock: DatabaseClock) -> Result<Page, Failure> {
        let read = u64::try_from(found.len()).unwrap_or(u64::MAX);
        let examined = found.into_iter().map(|found| (self.examined(&found.row, clock), found));
        let unsound: Vec<(Examined, Found)> = examined.filter(|(examined, _)| !is_sound(examined)).collect();
        let runs = self.last_runs(&self.origins(unsound.iter().map(|(_, found)| found)))?;
        let is_integer = self.shape.columns.id_is_integer();
        let suspicious = unsound.into_iter().map(|(mut examined, Found { id, .. })| {
            if let Some(run) = runs.get(&id) {
                let run = run.row();
                examined.watch = match (run.reason, run.watch) {
                    (Some(reason), _) => Watched::Ended { reason },
                    (None, Some(watch)) => Watched::Living { overdue: is_overdue(watch, clock) },
                    // It only holds a note.
                    (None, None) => Watched::Never,
                };
                examined.presumed = run.presumed;
            }
            let number = id.parse::<i64>().ok().filter(|_| is_integer);
            let record_id = number.map_or_else(|| serde_json::json!(id), |number| serde_json::json!(number));
            Suspicious { record_id, examined }
        });
        Ok(Page { read, last, suspicious: suspicious.collect() })
    }

    /// A record, by the values of its own row.
    fn examined(&self, row: &RecordRow, clock: DatabaseClock) -> Examined {
        let times = ["train_start_time", "created_at", "updated_at"];
        let seen_at = times.into_iter().filter_map(|name| row.get(name).and_then(read_instant)).max();
        let micros = seen_at.and_then(|seen_at| (clock.now - seen_at).num_microseconds());
        #[expect(clippy::cast_precision_loss, reason = "a fraction of a second may be lost")]
        let silent_seconds = micros.map(|micros| micros as f64 / 1e6);
        Examined {
            status: row.get("status").map(str::to_owned),
            started_at: self.cell(row, "train_start_time", read_instant),
            ended_at: self.cell(row, "train_end_time", read_instant),
            duration_seconds: self.cell(row, "train_duration", seconds),
            watch: Watched::Never,
            presumed: false,
            silent_seconds,
        }
    }

    fn cell<T>(&self, row: &RecordRow, name: &str, read: impl Fn(&str) -> Option<T>) -> Cell<T> {
        match (self.shape.columns.has(name), row.get(name)) {
            (false, _) => Cell::Absent,
            (true, None) => Cell::Null,
            (true, Some(text)) => read(text).map_or(Cell::Unreadable, Cell::Is),
        }
    }

    fn stuck(&mut self, silent_seconds: u32) -> Result<Vec<Suspect>, Failure> {
        let clock = self.clock()?;
        let names = [&EXAMINED_COLUMNS[..], &["model_path"]].concat();
        let most = u32::MAX.to_string();
        let has_status = self.session.dialect().has_status.replace("{}", "$1");
        let lists = [("{condition}", has_status.as_str()), ("{limit}", most.as_str())];
        let training = self.found("page", &names, &lists, &[Some("training")])?;
        let runs = self.last_runs(&self.origins(training.iter()))?;
        let mut silent = Vec::new();
        for Found { id, row } in training {
            let mut row = row.row();
            if let Some(run) = runs.get(&id) {
                run.describe(&mut row);
            }
            if may_be_stuck(&row, silent_seconds, clock) {
                silent.push((id, row));
            }
        }
        let models: Vec<String> = silent.iter().filter_map(|(_, row)| row.model_path.clone()).collect();
        let latest = self.latest_starts(&models)?;
        let suspect = |(id, row): (String, Row)| {
            let later = |path: &String| latest.get(path).copied().flatten() > row.train_start_time;
            // Written by a later record too, the file proves nothing of this one.
            let is_own = |path: &String| row.train_start_time.is_none() || !later(path);
            Suspect { record_id: RecordId(id), model_path: row.model_path.clone().filter(is_own) }
        };
        Ok(silent.into_iter().map(suspect).collect())
    }

    /// The latest start among the records that write each of `models`.
    fn latest_starts(&mut self, models: &[String]) -> Result<HashMap<String, Option<DateTime<Utc>>>, Failure> {
        let mut latest = HashMap::new();
        for models in models.chunks(PAGE as usize) {
            let texts: Vec<Option<&str>> = models.iter().map(|path| Some(path.as_str())).collect();
            let values = places(1, models.len());
            let columns = ["model_path", "train_start_time"];
            for found in self.found("later_models", &columns, &[("{values}", &values)], &texts)? {
                let Row { model_path, train_start_time, .. } = found.row.row();
                let known = latest.entry(model_path.unwrap_or_default()).or_insert(train_start_time);
                *known = (*known).max(train_start_time);
            }
        }
        Ok(latest)
    }
}

/// Whether a record has ended and its own row has no finding. The run's row is not considered.
fn is_sound(examined: &Examined) -> bool {
    let status = examined.status.as_deref().map(str::trim_end).and_then(Status::parse);
    let has_ended = matches!(status, Some(Status::Completed | Status::Failed));
    has_ended && findings("", examined, f64::INFINITY, "").is_empty()
}
