//! The series of a run on their way to the database: which reading of the report file they are, as the store keeps them. Must not
//! read a file or use a store.

use crate::record::Series;

/// The revision after the run's end: every process that reads the file then delivers the same.
const FINAL: i64 = i64::MAX;

/// Every series of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// A later reading has a higher one.
    pub revision: i64,
    /// A JSON array of the series: a string, since it may be large and is needed once.
    pub series: String,
}

impl History {
    /// The series as read at `seen_us` after the beginning of a living run, or after its end. `None` if there are none.
    pub(crate) fn of(series: Option<&[Series]>, seen_us: u64, ended: bool) -> Option<Self> {
        let series = series.filter(|series| !series.is_empty())?;
        let text = serde_json::to_string(series);
        let text = text
            .inspect_err(
                |error| log::warn!(event = "series_not_written", error:%; "the curves are not written: {error}"),
            )
            .ok()?;
        let revision = i64::try_from(seen_us).unwrap_or(FINAL).min(FINAL - 1);
        Some(Self { revision: if ended { FINAL } else { revision }, series: text })
    }
}
