//! The heartbeats with nothing new: when it is enough to write the run's row. Pure.

use std::time::Duration;

use crate::record::{Change, Progress};

/// So long after a whole heartbeat, and at most a lease, the user's row is not looked at, if the run has nothing new for it. Then the
/// heartbeat is a whole one again: the row may be missing.
const WHOLE_AFTER_MAX: Duration = Duration::from_mins(5);

/// What the database has after a whole heartbeat.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    progress: Progress,
    /// The boot time at which the next whole heartbeat is due.
    until: Duration,
}

impl Settled {
    /// What the database has once it has acknowledged `changes` of a run. None unless they are a heartbeat.
    pub(super) fn of(changes: &[Change], now: Duration, lease: Duration) -> Option<Self> {
        let [Change::Heartbeat(progress)] = changes else { return None };
        Some(Self { progress: progress.clone(), until: now + lease.min(WHOLE_AFTER_MAX) })
    }

    /// Whether `changes` are a heartbeat that brings a later sign of life and nothing else.
    pub(super) fn covers(&self, changes: &[Change], now: Duration) -> bool {
        let [Change::Heartbeat(progress)] = changes else { return false };
        let known = Progress { seen_at: progress.seen_at, ..self.progress.clone() };
        progress.seen_at >= self.progress.seen_at && *progress == known && now < self.until
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::record::Report;

    const MINUTE: Duration = Duration::from_mins(1);

    /// A heartbeat so many seconds after the epoch, of a run that has reported a model's path.
    fn heartbeat(seconds: i64, model_path: Option<&str>) -> [Change; 1] {
        let report = Report { model_path: model_path.map(str::to_owned), ..Report::default() };
        let seen_at = Some(DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds));
        [Change::Heartbeat(Progress { seen_at, report, pid: Some(7), ..Progress::default() })]
    }

    #[test]
    fn a_heartbeat_that_brings_only_time_needs_the_run_row_alone() {
        let settled = Settled::of(&heartbeat(10, Some("m.pt")), MINUTE, 9 * MINUTE).unwrap();
        assert!(settled.covers(&heartbeat(40, Some("m.pt")), 2 * MINUTE));
        assert!(!settled.covers(&heartbeat(40, Some("n.pt")), 2 * MINUTE));
        assert!(!settled.covers(&heartbeat(40, None), 2 * MINUTE));
        assert!(!settled.covers(&heartbeat(9, Some("m.pt")), 2 * MINUTE));
    }

    #[test]
    fn a_heartbeat_is_whole_again_after_five_minutes() {
        let settled = Settled::of(&heartbeat(10, None), MINUTE, 9 * MINUTE).unwrap();
        assert!(settled.covers(&heartbeat(40, None), Duration::from_secs(359)));
        assert!(!settled.covers(&heartbeat(40, None), 6 * MINUTE));
    }

    #[test]
    fn a_heartbeat_is_whole_again_after_a_short_lease() {
        let settled = Settled::of(&heartbeat(10, None), MINUTE, Duration::from_secs(30)).unwrap();
        assert!(settled.covers(&heartbeat(40, None), Duration::from_secs(89)));
        assert!(!settled.covers(&heartbeat(40, None), Duration::from_secs(90)));
    }

    #[test]
    fn a_request_to_stop_and_the_end_are_written_whole() {
        let settled = Settled::of(&heartbeat(10, None), MINUTE, 9 * MINUTE).unwrap();
        let [Change::Heartbeat(progress)] = heartbeat(11, None) else { unreachable!() };
        let stopping = Progress { stop_signal: Some("SIGTERM".into()), ..progress };
        assert!(!settled.covers(&[Change::Heartbeat(stopping)], MINUTE));
        assert!(!settled.covers(&[], MINUTE));
        assert_eq!(Settled::of(&[], MINUTE, MINUTE), None);
    }
}
