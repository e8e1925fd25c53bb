//! Numbers of many runs for metrics and health, each from an index or a bounded number of rows: their cost does not grow with the
//! records that have ended. Reads only.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::read::first_run_id;
use super::session::Failure;
use super::shape::Columns;
use super::transaction::Transaction;
use super::{Store, StoreError};
use crate::record::{Reason, Status, curve_rank, number_of, read_instant};

/// Ended runs are counted if they began within this time, by the database's clock.
pub(crate) const RECENT: TimeDelta = TimeDelta::hours(24);

/// And if they are among so many newest runs of all tables.
pub(crate) const RECENT_MAX: u32 = 10_000;

/// So many names have a last success, the first ones by the alphabet.
pub(crate) const NAMES_MAX: u32 = 3000;

/// The last success of a name is looked for among so many of its newest runs.
pub(crate) const NEWEST_MAX: u32 = 200;

/// Records are read in groups of so many.
const PAGE: usize = 500;

/// The runs without an end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pulse {
    /// Watched runs.
    pub live: u64,
    /// Those of them whose lease has run out.
    pub overdue: u64,
    /// The age of the oldest last heartbeat among them, by the database's clock.
    pub oldest_heartbeat_seconds: Option<f64>,
}

/// The numbers behind the metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gauges {
    pub pulse: Pulse,
    /// Recent ends, by status and reason.
    pub ended: BTreeMap<(&'static str, String), u64>,
    pub last_successes: Vec<LastSuccess>,
}

/// The last run of a name that completed.
#[derive(Clone, Debug, PartialEq)]
pub struct LastSuccess {
    pub name: String,
    pub ended_at: Option<DateTime<Utc>>,
    pub duration_seconds: Option<f64>,
}

/// The values of a run's first metric, without their positions.
#[derive(Clone, Debug, PartialEq)]
pub struct FirstCurve {
    pub run_id: String,
    /// The metric.
    pub name: String,
    /// Of each bucket the last number; `None` if it has none.
    pub values: Vec<Option<f64>>,
}

impl Store {
    /// The runs without an end.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn pulse(&mut self) -> Result<Pulse, StoreError> {
        let read = |transaction: &mut Transaction<'_>| transaction.pulse();
        self.read(read)
    }

    /// The numbers behind the metrics.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn gauges(&mut self) -> Result<Gauges, StoreError> {
        self.read(|transaction| {
            let pulse = transaction.pulse()?;
            let ended = transaction.ended()?;
            Ok(Gauges { pulse, ended, last_successes: transaction.last_successes()? })
        })
    }

    /// Of each run the values of its first metric, in the order of `curve_rank`. Without the right to read the
    /// series there are none.
    ///
    /// # Errors
    /// Those that have nothing to do with the series.
    pub fn first_curves(&mut self, run_ids: &[String]) -> Result<Vec<FirstCurve>, StoreError> {
        if run_ids.is_empty() {
            return Ok(Vec::new());
        }
        match self.read(|transaction| transaction.first_curves(run_ids)) {
            Err(StoreError::Permanent { .. } | StoreError::BadInput { .. }) => Ok(Vec::new()),
            curves => curves,
        }
    }
}

impl Transaction<'_> {
    fn pulse(&mut self) -> Result<Pulse, Failure> {
        let (select, table) = (self.sql("pulse", &[]), self.shape.record_table.clone());
        let rows = self.rows(&select, &[Some(&table)])?;
        let text = |at: usize| rows.first().and_then(|row| row.get(at)?.clone());
        let number = |at: usize| text(at).and_then(|text| text.parse().ok()).unwrap_or_default();
        let age = text(2).and_then(|text| text.parse::<f64>().ok()).filter(|age| age.is_finite());
        Ok(Pulse { live: number(0), overdue: number(1), oldest_heartbeat_seconds: age.map(|age| age.max(0.0)) })
    }

    fn ended(&mut self) -> Result<BTreeMap<(&'static str, String), u64>, Failure> {
        let since = first_run_id(self.clock()?.now - RECENT);
        let table = self.shape.record_table.clone();
        let (limit, texts) = (RECENT_MAX.to_string(), [Some(table.as_str()), Some(since.as_str())]);
        let select = self.sql("recent_ends", &[("{limit}", &limit)]);
        let mut ended = BTreeMap::new();
        for row in self.rows(&select, &texts)? {
            let [Some(reason), Some(count)] = row.as_slice() else { continue };
            let count: u64 = count.parse().unwrap_or_default();
            // An operator's decision may be either; any other reason has one status.
            if Reason::parse(reason) != Some(Reason::Manual) {
                let is_success = Reason::parse(reason) == Some(Reason::Success);
                let status = if is_success { Status::Completed } else { Status::Failed };
                ended.insert((status.as_str(), reason.clone()), count);
                continue;
            }
            let select = self.sql("recent_manual", &[("{limit}", &limit)]);
            let ids: Vec<String> = self.rows(&select, &texts)?.into_iter().flatten().flatten().collect();
            for values in self.values_of(&["status"], &ids)? {
                let status = values.get("status").and_then(Value::as_str).map(str::trim_end).and_then(Status::parse);
                if let Some(status) = status {
                    *ended.entry((status.as_str(), reason.clone())).or_default() += 1;
                }
            }
        }
        Ok(ended)
    }

    fn last_successes(&mut self) -> Result<Vec<LastSuccess>, Failure> {
        let (limit, newest) = (NAMES_MAX.to_string(), NEWEST_MAX.to_string());
        let select = self.sql("last_successes", &[("{limit}", &limit), ("{newest}", &newest)]);
        let table = self.shape.record_table.clone();
        let rows = self.rows(&select, &[Some(&table)])?;
        let named: Vec<(String, String)> = rows
            .into_iter()
            .filter_map(|row| <[_; 2]>::try_from(row).ok())
            .filter_map(|[name, id]| name.zip(id))
            .collect();
        let ids: Vec<String> = named.iter().map(|(_, id)| id.clone()).collect();
        let columns = ["status", "train_end_time", "train_duration"];
        let by_id = self
            .values_of(&columns, &ids)?
            .into_iter()
            .filter_map(|values| Some((values.get("id")?.as_str()?.to_owned(), values)));
        let by_id: BTreeMap<String, serde_json::Map<String, Value>> = by_id.collect();
        let success = |(name, id): (String, String)| {
            let values = by_id.get(&id)?;
            // The row may be another run's: its table was emptied.
            let is_completed =
                values.get("status").and_then(Value::as_str).map(str::trim_end) == Some(Status::Completed.as_str());
            let ended_at = values.get("train_end_time").and_then(Value::as_str).and_then(read_instant);
            let duration_seconds = values.get("train_duration").and_then(number_of);
            is_completed.then_some(LastSuccess { name, ended_at, duration_seconds })
        };
        Ok(named.into_iter().filter_map(success).collect())
    }

    /// Of the user's rows `ids` those columns of `names` that the table has, and the id as a text.
    fn values_of(&mut self, names: &[&str], ids: &[String]) -> Result<Vec<serde_json::Map<String, Value>>, Failure> {
        let is_wanted = |name: &str| name == "id" || names.contains(&name);
        let columns = self.shape.columns.0.iter().filter(|column| is_wanted(&column.name)).cloned();
        let columns = Columns(columns.collect());
        let mut all = Vec::new();
        for ids in ids.chunks(PAGE) {
            for row in self.records(&columns, ids)? {
                let values = columns.0.iter().zip(row).map(|(column, value)| {
                    let value = if column.name == "id" { Value::String(super::read::id_of(&value)) } else { value };
                    (column.name.clone(), value)
                });
                all.push(values.collect());
            }
        }
        Ok(all)
    }

    fn first_curves(&mut self, run_ids: &[String]) -> Result<Vec<FirstCurve>, Failure> {
        let places = super::statement::places(1, run_ids.len());
        let select = self.sql("series_names", &[("{values}", &places)]);
        let texts: Vec<Option<&str>> = run_ids.iter().map(|run_id| Some(run_id.as_str())).collect();
        // By run: rank and number of the best one, and its name.
        let mut first: BTreeMap<String, (u8, u32, String)> = BTreeMap::new();
        for row in self.rows(&select, &texts)? {
            let Ok([Some(run_id), Some(number), Some(name)]) = <[_; 3]>::try_from(row) else { continue };
            let Ok(number) = number.parse::<u32>() else { continue };
            let candidate = (curve_rank(&name), number, name);
            let best = first.entry(run_id).or_insert_with(|| candidate.clone());
            if candidate < *best {
                *best = candidate;
            }
        }
        let select = self.sql("series_value", &[]);
        let mut curves = Vec::new();
        for (run_id, (_, number, name)) in first {
            let number = number.to_string();
            let values = self.text(&select, &[Some(&run_id), Some(&number)])?;
            let values = values.and_then(|values| serde_json::from_str(&values).ok());
            curves.extend(values.map(|values| FirstCurve { run_id, name, values }));
        }
        Ok(curves)
    }
}
