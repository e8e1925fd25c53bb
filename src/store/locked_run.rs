//! The row of a run under its lock, and the record that was read behind it in the same round trip. Knows no rule.

use super::StoreError;
use super::record_row::RecordRow;
use super::run_row::RunRow;
use super::session::{Failure, Rows, is_true};
use crate::record::{DatabaseClock, read_instant};

/// The columns of `lock_run` before those of the run: the clock, and whether the run owns its record.
const FIRST_COLUMNS: usize = 4;

/// The run that a transaction locks first.
#[derive(Clone, Copy)]
pub(super) struct RunToLock<'a> {
    pub(super) run_id: &'a str,
    /// The record that is read with the lock, because the run probably describes it.
    pub(super) record_id: Option<&'a str>,
    /// Whether the clock must have the timeline.
    pub(super) needs_timeline: bool,
}

/// A row of `lock_run`.
pub(super) struct LockedRun {
    pub(super) run: RunRow,
    pub(super) clock: DatabaseClock,
    /// No later run describes the same record.
    pub(super) owns_record: bool,
    /// The record that the run describes, if it was read with the lock: by a later statement, so as the lock's last holder left it.
    pub(super) record: Option<RecordRow>,
}

impl LockedRun {
    /// From the rows of `lock_run` and, behind them, those of `read_record` with the columns `names`.
    pub(super) fn new(
        name: &str,
        wanted: RunToLock<'_>,
        rows: Rows,
        names: Vec<&'static str>,
    ) -> Result<Option<Self>, Failure> {
        let mut rows = rows.into_iter();
        // Without the run's row, the first one is the record's, which is shorter.
        let Some(mut row) = rows.next().filter(|row| row.len() > 1 + names.len()) else { return Ok(None) };
        let clock = clock_of(name, &row)?;
        let owns_record = row.get(3).and_then(Option::as_deref).is_some_and(is_true);
        row.drain(..FIRST_COLUMNS);
        let run = RunRow(row);
        let is_its_record = wanted.record_id.is_some() && run.get("record_id") == wanted.record_id;
        // A second row of the run, in a table that lost its key, is longer.
        let record = rows.next().filter(|texts| is_its_record && texts.len() == 1 + names.len());
        let record = record.map(|texts| RecordRow::read(names, texts));
        Ok(Some(Self { run, clock, owns_record, record }))
    }
}

/// The clock in the first three columns of a row.
pub(super) fn clock_of(name: &str, row: &[Option<String>]) -> Result<DatabaseClock, Failure> {
    let time = |at: usize| row.get(at).and_then(Option::as_deref).and_then(read_instant);
    let timeline = row.get(2).and_then(Option::as_deref).and_then(|number| number.parse().ok());
    match (time(0), time(1)) {
        (Some(now), Some(up_since)) => Ok(DatabaseClock { now, up_since, timeline }),
        _ => Err(StoreError::Transient { message: format!("{name}: its clock cannot be read: {row:?}") }.into()),
    }
}
