//! The next version of a name, by a counter that the transaction of the beginning raises. Owns the seeding of a counter.

use super::session::Failure;
use super::transaction::Transaction;
use crate::record::{version_key, version_label, version_number};

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
        let (table, key) = (self.shape.record_table.clone(), version_key(name));
        let next = self.sql("next_version", &[]);
        if let Some(number) = self.text(&next, &[Some(&table), Some(&key)])? {
            return Ok(format!("v{number}"));
        }
        let first = self.seed(name)? + 1;
        let taken = self.raise(&table, &key, first, "1")?;
        Ok(version_label(taken.unwrap_or(first)))
    }

    /// Makes the counter of `name` continue above `label`, if that is a `vN`.
    pub(super) fn raise_version(&mut self, name: &str, label: &str) -> Result<(), Failure> {
        let Some(number) = version_number(label) else { return Ok(()) };
        let name = &*self.reduction.encoded(name, "");
        let (table, key) = (self.shape.record_table.clone(), version_key(name));
        let counter = self.sql("version_counter", &[]);
        let seed = match self.text(&counter, &[Some(&table), Some(&key)])? {
            Some(_) => 0,
            None => self.seed(name)?,
        };
        self.raise(&table, &key, number.max(seed), "0").map(|_number| ())
    }

    fn raise(&mut self, table: &str, key: &str, number: u64, step: &str) -> Result<Option<u64>, Failure> {
        let raise = self.sql("raise_version", &[]);
        let raised = self.text(&raise, &[Some(table), Some(key), Some(&number.to_string()), Some(step)])?;
        Ok(raised.and_then(|number| number.parse().ok()))
    }

    /// The highest number that a new counter of `name` must stay above: the table's base, and the versions of earlier runs.
    fn seed(&mut self, name: &str) -> Result<u64, Failure> {
        let table = self.shape.record_table.clone();
        let counter = self.sql("version_counter", &[]);
        let known = self.text(&counter, &[Some(&table), Some(BASE)])?;
        let base = if let Some(base) = known.and_then(|number| number.parse().ok()) {
            base
        } else {
            let highest = self.sql("highest_version", &[("{limit}", SEEDED_ROWS_MAX)]);
            let highest = self.text(&highest, &[Some(&table)])?;
            let base = highest.and_then(|number| number.parse().ok()).unwrap_or(0);
            self.raise(&table, BASE, base, "0")?.unwrap_or(base)
        };
        let runs = self.sql("list_named", &[("{limit}", SEEDED_ROWS_MAX)]);
        let name = super::shape::without_nul(name);
        let rows = self.rows(&runs, &[Some(&table), Some(&name), Some(LAST_RUN_ID)])?;
        let labels = rows.iter().filter_map(|row| row.get(2)?.as_deref());
        Ok(labels.filter_map(version_number).max().unwrap_or(0).max(base))
    }
}
