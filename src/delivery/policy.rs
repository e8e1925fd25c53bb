//! The policy of the loop over the backlog: which runs in which order, when a round stops, and when the next begins. Pure.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::time::Duration;

const BACKOFF_FIRST: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// The result of one run's attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Delivered,
    /// The run of another host lives.
    Alive,
    /// A person must act on this run. The next run may still be delivered.
    Refused,
    /// The database does not answer, and will not answer the next run either.
    Ends(RoundEnd),
}

/// The reason why a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoundEnd {
    /// Every run had its attempt.
    Finished,
    /// The process was asked to stop between two runs.
    Stopped,
    Unavailable,
    /// The database did not answer in time, and a thread still waits for it.
    Hung,
}

/// The rhythm of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// One round.
    Once,
    /// A round after each pause, for ever.
    Every(Duration),
    /// Rounds until one finishes, or until this boot time.
    Until(Duration),
}

/// The step after a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextRound {
    /// The loop is done.
    Done,
    /// The time is up, and runs are left.
    GiveUp,
    /// After this pause.
    After(Duration),
}

/// The candidates among `names`, which are sorted by age: the oldest first. After each failed round another one is first,
/// so that a run on which the database hangs does not block the others. `set_aside` has had its attempt. Also returns the number
/// of those whose name excludes this database.
pub(super) fn sort_out(
    names: Vec<OsString>,
    may_be_ours: impl Fn(&OsStr) -> bool,
    set_aside: &HashSet<OsString>,
    failures: u32,
) -> (Vec<OsString>, usize) {
    let (mut candidates, foreign): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| may_be_ours(name));
    candidates.retain(|name| !set_aside.contains(name));
    let first = usize::try_from(failures).unwrap_or_default() % candidates.len().max(1);
    candidates.rotate_left(first);
    (candidates, foreign.len())
}

/// The step after a round that ended with `end` at the boot time `now`; it is the `failures`-th failed round in a row.
pub(super) fn next_round(schedule: Schedule, end: RoundEnd, failures: u32, now: Duration, random: f64) -> NextRound {
    match (schedule, end) {
        (Schedule::Once, _) | (Schedule::Until(_), RoundEnd::Finished) => NextRound::Done,
        (Schedule::Every(pause), _) => NextRound::After(pause),
        (Schedule::Until(until), RoundEnd::Stopped | RoundEnd::Unavailable | RoundEnd::Hung) if now >= until => {
            NextRound::GiveUp
        }
        // An attempt that hung has waited long enough.
        (Schedule::Until(_), RoundEnd::Hung) => NextRound::After(Duration::ZERO),
        (Schedule::Until(_), RoundEnd::Stopped | RoundEnd::Unavailable) => NextRound::After(backoff(failures, random)),
    }
}

/// The pause after the `failures`-th failure in a row (from 1): exponential, capped, full jitter. `random` is from 0 to 1.
pub fn backoff(failures: u32, random: f64) -> Duration {
    let doubled = BACKOFF_FIRST.saturating_mul(1 << failures.clamp(1, 16) >> 1);
    doubled.min(BACKOFF_MAX).mul_f64(random.clamp(0.0, 1.0))
}

/// The part of the time elapsed between two deliveries of the series: a run has at most about 400 in the first year.
const SERIES_PART: u32 = 50;

/// Whether a living run delivers its series with the heartbeat at `elapsed` since its beginning, `last` being that of the delivery
/// before. An end always does.
pub fn series_are_due(elapsed: Duration, last: Option<Duration>) -> bool {
    last.is_none_or(|last| elapsed.saturating_sub(last) >= elapsed / SERIES_PART)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_delivered_at_growing_distances() {
        let due =
            |elapsed, last: Option<u64>| series_are_due(Duration::from_secs(elapsed), last.map(Duration::from_secs));
        assert!(due(0, None) && due(1000, None));
        assert!(due(90, Some(60)) && due(1500, Some(1470)));
        assert!(!due(100_000, Some(98_001)) && due(100_000, Some(98_000)));
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn names(names: &[&str]) -> Vec<OsString> {
        names.iter().map(OsString::from).collect()
    }

    fn candidates(failures: u32, set_aside: &[&str]) -> Vec<OsString> {
        let set_aside = names(set_aside).into_iter().collect();
        let may_be_ours = |name: &OsStr| !name.as_encoded_bytes().ends_with(b".other");
        let (candidates, foreign) =
            sort_out(names(&["1", "2.ours", "3.other", "4.ours"]), may_be_ours, &set_aside, failures);
        assert_eq!(foreign, 1);
        candidates
    }

    #[test]
    fn candidates_come_oldest_first_without_foreign_ones() {
        assert_eq!(candidates(0, &[]), names(&["1", "2.ours", "4.ours"]));
        assert_eq!(candidates(0, &["2.ours"]), names(&["1", "4.ours"]));
    }

    #[test]
    fn each_failed_round_begins_with_another_run() {
        assert_eq!(candidates(1, &[]), names(&["2.ours", "4.ours", "1"]));
        assert_eq!(candidates(4, &[]), names(&["2.ours", "4.ours", "1"]));
        assert_eq!(candidates(u32::MAX, &["1", "2.ours", "4.ours"]), names(&[]));
    }

    #[test]
    fn a_loop_with_a_deadline_ends_when_a_round_finishes_or_the_time_is_up() {
        let next = |end, now| next_round(Schedule::Until(10 * SECOND), end, 3, now, 1.0);
        assert_eq!(next(RoundEnd::Finished, SECOND), NextRound::Done);
        assert_eq!(next(RoundEnd::Finished, 10 * SECOND), NextRound::Done);
        assert_eq!(next(RoundEnd::Unavailable, SECOND), NextRound::After(backoff(3, 1.0)));
        assert_eq!(next(RoundEnd::Hung, SECOND), NextRound::After(Duration::ZERO));
        for end in [RoundEnd::Unavailable, RoundEnd::Hung] {
            assert_eq!(next(end, 10 * SECOND), NextRound::GiveUp);
        }
    }

    #[test]
    fn a_single_round_is_the_last_and_a_service_never_stops_by_itself() {
        for end in [RoundEnd::Finished, RoundEnd::Stopped, RoundEnd::Unavailable, RoundEnd::Hung] {
            assert_eq!(next_round(Schedule::Once, end, 1, SECOND, 0.5), NextRound::Done);
            assert_eq!(next_round(Schedule::Every(SECOND), end, 9, SECOND, 0.5), NextRound::After(SECOND));
        }
    }

    #[test]
    fn the_backoff_doubles_up_to_its_cap_and_jitters_over_all_of_it() {
        let full: Vec<u128> = (1..=9).map(|failures| backoff(failures, 1.0).as_millis()).collect();
        assert_eq!(full, [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000]);
        assert_eq!(backoff(u32::MAX, 1.0), BACKOFF_MAX);
        assert_eq!(backoff(5, 0.0), Duration::ZERO);
        assert_eq!(backoff(1, 0.5), Duration::from_millis(100));
    }
}
