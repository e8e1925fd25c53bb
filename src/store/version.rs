//! The next version of a name, by a counter that the transaction of the beginning raises. Owns the seeding of a counter.

use super::session::Failure;
use super::transaction::Transaction;
use crate::record::{version_key, version_label};

/// A counter is seeded from so many of the newest rows at most: a beginning must end in time.
const SEEDED_ROWS_MAX: &str = "100000";

/// The name of a table's base.
const BASE: &str = "";

/// Behind every run id.
const LAST_RUN_ID: &str = "ffffffff-ffff-ffff-ffff-ffffffffffff";

impl Transaction<'_> {
    /// Takes the next version of `name`.
    pub(super) fn next_version(&mut self, name: &str) -> Result<String, Failure> {
        let name = &*self.reduction.encoded(name, "");
        let (table, key) = (&self.shape.record_table, version_key(name));
        let next = self.sql("next_version", &[]);
        if let Some(number) = self.number(&next, &[Some(table), Some(&key)])? {
            return Ok(version_label(number));
        }
        let first = self.seed(name)? + 1;
        let taken = self.raise(&key, first, "1")?;
        Ok(version_label(taken.unwrap_or(first)))
    }

    /// Makes the counter of `name` continue above `label`, if that is a `vN`.
    pub(super) fn raise_version(&mut self, name: &str, label: Option<&str>) -> Result<(), Failure> {
        let Some(number) = label.and_then(|label| self.shape.columns.number_of_version(label)) else { return Ok(()) };
        let name = &*self.reduction.encoded(name, "");
        let (table, key) = (&self.shape.record_table, version_key(name));
        let counter = self.sql("version_counter", &[]);
        let seed = match self.text(&counter, &[Some(table), Some(&key)])? {
            Some(_) => 0,
            None => self.seed(name)?,
        };
        self.raise(&key, number.max(seed), "0").map(|_number| ())
    }

    fn raise(&mut self, key: &str, number: u64, step: &str) -> Result<Option<u64>, Failure> {
        let raise = self.sql("raise_version", &[]);
        let texts = [self.shape.record_table.as_str(), key, &number.to_string(), step];
        self.number(&raise, &texts.map(Some))
    }

    /// The highest number that a new counter of `name` must stay above: the table's base, and the versions of earlier runs.
    fn seed(&mut self, name: &str) -> Result<u64, Failure> {
        let table = &self.shape.record_table;
        let counter = self.sql("version_counter", &[]);
        let base = if let Some(base) = self.number(&counter, &[Some(table), Some(BASE)])? {
            base
        } else {
            let version = self.shape.columns.label_of_version();
            let highest = self.sql("highest_version", &[("{limit}", SEEDED_ROWS_MAX), ("{version}", version)]);
            let base = self.number(&highest, &[Some(table)])?.unwrap_or(0);
            self.raise(BASE, base, "0")?.unwrap_or(base)
        };
        let condition = self.session.dialect().has_name.replace("{}", "$3");
        let lists =
            [("{condition}", condition.as_str()), ("{limit}", SEEDED_ROWS_MAX), ("{table_column}", "record_table")];
        let runs = self.sql("list_runs", &lists);
        let name = super::shape::without_nul(name);
        let rows = self.rows(&runs, &[Some(table), Some(LAST_RUN_ID), Some(&name)])?;
        let labels = rows.iter().filter_map(|row| row.get(2)?.as_deref());
        Ok(labels.filter_map(|label| self.shape.columns.number_of_version(label)).max().unwrap_or(0).max(base))
    }
}
