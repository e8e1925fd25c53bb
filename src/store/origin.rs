//! Whether a row of the user's table is still the one that a run got: the number alone proves nothing once the application has deleted
//! the row. Pure; must not ask a database.

use chrono::TimeDelta;

use super::Assignment;
use crate::record::read_instant;

/// Time zones are whole multiples of this apart.
const ZONE_STEP: TimeDelta = TimeDelta::minutes(15);
/// No two of them are so far apart.
const ZONES: TimeDelta = TimeDelta::hours(27);

/// What proves that a row of the user's table is still the one that a run got: its `created_at` and `train_start_time`, as texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) created_at: Option<String>,
    pub(super) started_at: Option<String>,
}

impl Origin {
    /// The columns of the user's table.
    pub(super) const COLUMNS: [&str; 2] = ["created_at", "train_start_time"];

    /// Whether the row with this origin is another one than the row that a run got with `known`. A trainer may rewrite its start, but
    /// only a new row has both another start and another creation.
    pub(super) fn is_other_than(&self, known: &Self) -> bool {
        let created = self.created_at.as_deref().zip(known.created_at.as_deref());
        created.is_some_and(|(now, then)| !is_same_moment(now, then))
            && known
                .started_at
                .as_deref()
                .is_some_and(|then| self.started_at.as_deref().is_none_or(|now| !is_same_moment(now, then)))
    }

    pub(super) fn values(&self) -> [Assignment; 2] {
        [("row_created_at", self.created_at.clone()), ("row_started_at", self.started_at.clone())]
    }
}

/// The column's precision may have been reduced since, or all local times moved to UTC.
fn is_same_moment(one: &str, other: &str) -> bool {
    let (Some(one), Some(other)) = (read_instant(one), read_instant(other)) else { return one == other };
    let apart_ms = (one - other).abs().num_milliseconds();
    let beyond_a_zone_ms = (apart_ms + 999) % ZONE_STEP.num_milliseconds();
    apart_ms < ZONES.num_milliseconds() && beyond_a_zone_ms < 2 * 999
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(created_at: Option<&str>, started_at: Option<&str>) -> Origin {
        Origin { created_at: created_at.map(str::to_owned), started_at: started_at.map(str::to_owned) }
    }

    #[test]
    fn a_row_is_another_only_if_creation_and_start_differ() {
        let known = origin(Some("2026-01-02 03:04:05.678901+00"), Some("2026-01-02 03:04:05"));
        let same = [
            known.clone(),
            origin(None, Some("2027-01-01 00:00:00")),
            origin(Some("2026-01-02 03:04:05.678901"), None),
            origin(Some("2027-01-01 00:00:00"), Some("2026-01-02 03:04:05.9")),
            // timestamp(0) rounds.
            origin(Some("2026-01-02 03:04:06"), Some("2026-01-02 03:04:05")),
            // From Asia/Shanghai and Asia/Kathmandu to UTC.
            origin(Some("2026-01-01 19:04:05.678901"), Some("2026-01-01 19:04:05")),
            origin(Some("2026-01-01 21:19:05.678901"), Some("2026-01-01 21:19:05")),
        ];
        for row in same {
            assert!(!row.is_other_than(&known), "{row:?}");
        }
        let other = [
            origin(Some("2026-01-02 03:04:08"), Some("2026-01-02 03:04:08")),
            origin(Some("2026-01-02 03:20:00"), None),
            origin(Some("2026-01-04 03:04:05.678901"), Some("2026-01-04 03:04:05")),
            origin(Some("unknown"), Some("unknown")),
        ];
        for row in other {
            assert!(row.is_other_than(&known), "{row:?}");
        }
    }

    #[test]
    fn without_a_known_creation_and_start_every_row_is_the_runs() {
        let row = origin(Some("2026-01-02 03:04:05"), Some("2026-01-02 03:04:05"));
        for known in [origin(None, None), origin(Some("2020-01-01"), None), origin(None, Some("2020-01-01"))] {
            assert!(!row.is_other_than(&known), "{known:?}");
        }
    }
}
