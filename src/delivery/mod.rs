//! From a journal to a database: makes the database agree with what the journal tells. The one path: the keeper's, the next
//! run's and `recover`'s. Idempotent, so it may be repeated, interrupted and raced. Owns the retry schedule.
//! Must not wait, retry by itself or write to the journal.

mod leftovers;

use std::path::Path;
use std::time::Duration;

use crate::journal::{ReportReader, RunState};
use crate::record::{Applied, Begun, Change, Presumption, Report, Run};
use crate::store::{Store, StoreError};
use crate::sys::failpoint;

pub use leftovers::{DeadRun, Leftover, inspect, look, recoverer};

/// How long one attempt may take before it is abandoned.
pub const ATTEMPT_DEADLINE: Duration = Duration::from_secs(10);
/// How long the server may take for one statement of it: less, so that a server that lives answers first.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(8);

const BACKOFF_FIRST: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// What is to be delivered of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    run: Run,
    /// What the journal remembers of the record.
    recorded: Option<Begun>,
    /// The database has acknowledged the beginning to this process already.
    begun: bool,
    /// What there is to say beyond the beginning, in order.
    changes: Vec<Change>,
    /// The changes tell how the run ended, or that nobody knows.
    last: bool,
}

/// What the database has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// News only where the record was begun in this attempt.
    pub begun: Option<Begun>,
    /// The end is in the database too.
    pub ended: bool,
}

impl Delivery {
    /// What a living run has to say. `seen_us` is the moment of the sign of life, `report` all that the trainer has reported,
    /// `begun` whether the database has acknowledged the beginning to this process.
    #[must_use]
    pub fn of(state: &RunState, seen_us: u64, report: Report, begun: bool) -> Self {
        let ending = state.ending(report.error.as_deref());
        let last = ending.is_some();
        let progress = state.progress(seen_us, report);
        let changes = match ending {
            Some(ending) => vec![Change::Finalize(progress, ending)],
            None if state.started.is_some() => vec![Change::Heartbeat(progress)],
            None => Vec::new(),
        };
        Self { run: state.begin.run.clone(), recorded: state.recorded.clone(), begun, changes, last }
    }

    /// What a run has to say that has ended, to the process that has written its end and has no keeper.
    /// `report_path` is what its trainer reported to.
    #[must_use]
    pub fn of_ended(state: &RunState, report_path: Option<&Path>) -> Self {
        let mut reader = ReportReader::default();
        if let Some(path) = report_path
            && let Err(error) = reader.read_on(path, true)
        {
            log::warn!(event = "report_unreadable", run_id:% = state.begin.run.run_id, path:?, error:%; "");
        }
        Self::of(state, state.last_elapsed_us, reader.report().clone(), false)
    }

    /// What a run has to say that nobody looks after any more: its end or, without one, that it is lost.
    #[must_use]
    pub fn of_dead(state: &RunState, report: Report, presumption: Presumption) -> Self {
        let mut delivery = Self::of(state, state.last_elapsed_us, report.clone(), false);
        if !delivery.last {
            let progress = state.progress(state.last_elapsed_us, report);
            delivery.changes = vec![Change::Heartbeat(progress), Change::Presume(presumption)];
            delivery.last = true;
        }
        delivery
    }

    /// What it is about, for the log.
    #[must_use]
    pub const fn describe(&self) -> &'static str {
        match (self.last, self.begun) {
            (true, _) => "finalize",
            (false, true) => "heartbeat",
            (false, false) => "begin",
        }
    }

    /// Makes the database agree.
    ///
    /// # Errors
    /// The store's. Whatever was done is done; repeating it is safe.
    pub fn deliver(&self, store: &mut Store) -> Result<Delivered, StoreError> {
        let mut begun = None;
        if !self.begun {
            failpoint::reached("inserting");
            begun = Some(store.begin(&self.run, self.recorded.as_ref())?);
            failpoint::reached("inserted");
        }
        if self.last {
            failpoint::reached("finalizing");
        }
        for change in &self.changes {
            if store.apply(self.run.run_id, change)? == Applied::Missing {
                // Somebody deleted a row: begin it again whole, once.
                begun = Some(store.begin(&self.run, begun.as_ref().or(self.recorded.as_ref()))?);
                if store.apply(self.run.run_id, change)? == Applied::Missing {
                    let message = format!("the rows of run {} vanish as soon as they are inserted", self.run.run_id);
                    return Err(StoreError::Transient { message });
                }
            }
        }
        if self.last {
            failpoint::reached("finalized");
        }
        Ok(Delivered { begun, ended: self.last })
    }
}

/// How long to wait after the `failures`-th failure in a row (from 1): exponential, capped, full jitter.
/// `random` is from 0 to 1.
#[must_use]
pub fn backoff(failures: u32, random: f64) -> Duration {
    let doubled = BACKOFF_FIRST.saturating_mul(1 << failures.clamp(1, 16) >> 1);
    doubled.min(BACKOFF_MAX).mul_f64(random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_doubles_up_to_its_cap_and_jitters_over_all_of_it() {
        let full: Vec<u128> = (1..=9).map(|failures| backoff(failures, 1.0).as_millis()).collect();
        assert_eq!(full, [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000]);
        assert_eq!(backoff(u32::MAX, 1.0), BACKOFF_MAX);
        assert_eq!(backoff(5, 0.0), Duration::ZERO);
        assert_eq!(backoff(1, 0.5), Duration::from_millis(100));
    }
}
