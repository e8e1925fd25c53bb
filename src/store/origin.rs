//! Whether a row of the user's table is still the run's: the number alone proves nothing once the application has deleted the row.
//! Pure; must not ask a database.

use chrono::TimeDelta;

use super::Assignment;
use crate::record::read_instant;

/// Time zones are whole multiples of this apart, in milliseconds. The date functions of SQLite keep milliseconds.
const ZONE_STEP_MS: i64 = 15 * 60 * 1000;
/// No two of them are so far apart.
const ZONES: TimeDelta = TimeDelta::hours(27);

/// A column as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Mark {
    /// The column is missing or computed, or no value was noted: it proves nothing.
    #[default]
    Absent,
    Null,
    Text(String),
}

/// The proof that a row of the user's table is still the run's: its `created_at` and `train_start_time`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) created_at: Mark,
    pub(super) started_at: Mark,
}

impl Mark {
    pub(super) fn of(text: Option<&str>) -> Self {
        text.map_or(Self::Null, |text| Self::Text(text.to_owned()))
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Absent | Self::Null => None,
        }
    }
}

impl Origin {
    /// The columns of the user's table.
    pub(super) const COLUMNS: [&str; 2] = ["created_at", "train_start_time"];
    /// In place of `row_created_at`: the run has moved to another row once. A table whose rows look like others at each change must
    /// not get a row at each.
    pub(super) const MOVED: &str = "moved";

    /// Whether the row with this origin is another one than the row that a run saw with `known`. A trainer may rewrite its start, but
    /// only a new row has both another start and another creation. All local times may have been moved to UTC since.
    pub(super) fn is_other_than(&self, known: &Self) -> bool {
        let (Some(created), Some(started)) = (known.created_at.text(), known.started_at.text()) else { return false };
        let (created, started) = (moved(&self.created_at, created), moved(&self.started_at, started));
        let have_moved_alike = matches!(created, Moved::By(_)) && created == started;
        created != Moved::Not && started != Moved::Not && !have_moved_alike
    }

    pub(super) fn values(&self) -> [Assignment; 2] {
        let text = |mark: &Mark| mark.text().map(str::to_owned);
        [("row_created_at", text(&self.created_at)), ("row_started_at", text(&self.started_at))]
    }

    /// The columns of the run's row that differ from `known`.
    pub(super) fn changes(&self, known: &Self) -> impl Iterator<Item = Assignment> {
        let known = known.values();
        self.values().into_iter().filter(move |value| !known.contains(value))
    }
}

/// How the time in a column differs from the one known before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moved {
    Not,
    /// By the distance of two time zones: so many quarters of an hour.
    By(i64),
    Otherwise,
}

fn moved(now: &Mark, then: &str) -> Moved {
    let now = match now {
        Mark::Absent => return Moved::Not,
        Mark::Null => return Moved::Otherwise,
        Mark::Text(now) => now,
    };
    let (one, other) = match (read_instant(now), read_instant(then)) {
        (Some(one), Some(other)) => (one, other),
        (None, None) if now != then => return Moved::Otherwise,
        // The column's type has been altered.
        _ => return Moved::Not,
    };
    let apart = one - other;
    // The column's precision may have been reduced since.
    if apart.abs() < TimeDelta::seconds(1) {
        return Moved::Not;
    }
    let quarters = (apart.num_milliseconds() + apart.num_milliseconds().signum()) / ZONE_STEP_MS;
    let is_whole = (apart - TimeDelta::milliseconds(quarters * ZONE_STEP_MS)).abs() <= TimeDelta::milliseconds(1);
    if is_whole && apart.abs() < ZONES { Moved::By(quarters) } else { Moved::Otherwise }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(created_at: Option<&str>, started_at: Option<&str>) -> Origin {
        Origin { created_at: Mark::of(created_at), started_at: Mark::of(started_at) }
    }

    #[test]
    fn a_row_is_another_only_if_creation_and_start_differ() {
        let known = origin(Some("2026-01-02 03:04:05.678901+00"), Some("2026-01-02 03:04:05"));
        let same = [
            known.clone(),
            // Altered, renamed or computed columns prove nothing.
            origin(Some("unknown"), Some("unknown")),
            Origin { created_at: Mark::Absent, ..origin(None, Some("2027-01-01 00:00:00")) },
            Origin { started_at: Mark::Absent, ..origin(Some("2027-01-01 00:00:00"), None) },
            origin(None, Some("2026-01-02 03:04:05")),
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
            origin(None, Some("2026-01-02 04:04:05")),
            // The next night's row: a day later, but not both to the microsecond.
            origin(Some("2026-01-03 03:04:05.678901"), Some("2026-01-03 03:04:05.2")),
            origin(Some("2026-01-02 03:19:05.678901"), Some("2026-01-02 03:34:05")),
            origin(Some("2026-01-04 03:04:05.678901"), Some("2026-01-04 03:04:05")),
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
