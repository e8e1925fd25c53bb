//! The heartbeat that brings a later sign of life and nothing else, into the run's row alone. Must not decide when that is enough.

use chrono::{DateTime, Utc};

use super::session::{Access, Class, Failure};
use super::transaction::{Nesting, sql};
use super::{Store, StoreError};
use crate::record::RunId;

impl Store {
    /// Renews the heartbeat of a run. False if the run has an end or is missing, if a standby was promoted since the last whole heartbeat
    /// (it may lack what the run had written), or if the tables are not as they were: [`Self::apply`] finds out.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn renew(&mut self, run_id: RunId, seen_at: Option<DateTime<Utc>>) -> Result<bool, StoreError> {
        let (Some(shape), Some(seen_at)) = (self.options.cache.shape(), seen_at) else { return Ok(false) };
        let Some(timeline) = wal_prefix(self.options.cache.timeline()) else { return Ok(false) };
        // With a zone where the column has one: the transaction sets none.
        let (run_id, seen_at) = (run_id.to_string(), (self.session.dialect().instant)(seen_at));
        let renew = sql(self.session.as_ref(), &shape, "renew", &[]);
        let texts = [&run_id, &seen_at, &timeline].map(|text| Some(text.as_str()));
        let mut renewed = self.begin_with(Access::Renew, &[(&renew, &texts)]);
        // A success is committed already, unless it is a step of an outer transaction.
        if renewed.is_err() || self.nesting != Nesting::None {
            renewed = self.end_transaction(renewed);
        }
        match renewed {
            Err(Failure { class: Class::Schema | Class::Refused | Class::BadValue | Class::BadText, .. }) => Ok(false),
            rows => Ok(!rows?.is_empty()),
        }
    }
}

/// The beginning of the names of PostgreSQL's WAL files on a timeline; nothing for a database without timelines. `None` if the database
/// refuses the names: the start of the server stands for the timeline then, as a negative number.
fn wal_prefix(timeline: Option<i64>) -> Option<String> {
    match timeline {
        None => Some(String::new()),
        Some(timeline) if timeline >= 0 => Some(format!("{timeline:08X}")),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wal_prefix_is_the_timeline_in_eight_hexadecimal_digits() {
        assert_eq!(wal_prefix(Some(1)).as_deref(), Some("00000001"));
        assert_eq!(wal_prefix(Some(0x1AB)).as_deref(), Some("000001AB"));
        assert_eq!(wal_prefix(None).as_deref(), Some(""));
        assert_eq!(wal_prefix(Some(-1_780_000_000)), None);
    }
}
