//! Looks for the highest version of a name, in steps so small that SQLite compiles them quickly: as one statement they took half
//! of the beginning of a short run. Within the transaction of the beginning, its only caller.

use serde_json::{Value, json};

use super::Session;
use super::rows::facts;
use crate::record::next_version;
use crate::store::StoreError;
use crate::store::change::without_nul;
use crate::store::columns::{SETTLED_ROWS, UNSETTLED_ROWS};

const COUNTED: &str = include_str!("../../../sql/sqlite/version_counted.sql");
const OWN: &str = include_str!("../../../sql/sqlite/version_own.sql");
const RECENT: &str = include_str!("../../../sql/sqlite/version_recent.sql");
const ALL: &str = include_str!("../../../sql/sqlite/version_all.sql");

/// What a search saw of the rows that no run describes, to be written down for the next one; nothing where that is not
/// worth it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// Up to which id they are counted.
    pub(super) until: Option<i64>,
    /// The highest number among them.
    pub(super) number: Option<i64>,
    /// The row that has it.
    pub(super) id: Option<i64>,
}

/// The highest number among some rows, and the row that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Highest {
    number: i64,
    id: Option<i64>,
}

/// The version after the highest of `name`.
pub(super) fn next(session: &Session<'_>, name: &str) -> Result<(String, Counted), StoreError> {
    let name = json!(without_nul(name));
    if !session.layout.words.flags.contains("id.counted") {
        let rows = session.query(ALL, &facts([("name", name)]))?;
        return Ok((after(integer(rows.first(), 0).unwrap_or(0)), Counted::default()));
    }
    let counted = session.query(COUNTED, &facts([]))?;
    let newest_id = integer(counted.first(), 0).unwrap_or(0);
    let before = Counted {
        until: integer(counted.first(), 1),
        number: integer(counted.first(), 2),
        id: integer(counted.first(), 3),
    };
    let own = integer(session.query(OWN, &facts([("name", name.clone())]))?.first(), 0).unwrap_or(0);
    let settled_until = settled_until(before, newest_id);
    let known = facts([
        ("name", name),
        ("counted_until", json!(before.until.unwrap_or(i64::MIN))),
        ("counted_number", json!(before.number.unwrap_or(0))),
        ("own_number", json!(own)),
        ("settled_until", json!(settled_until)),
    ]);
    let (mut settled, mut others) = (None, None);
    for row in session.query(RECENT, &known)? {
        let highest = integer(Some(&row), 1).map(|number| Highest { number, id: integer(Some(&row), 2) });
        match integer(Some(&row), 0) {
            Some(1) => settled = highest,
            _ => others = highest,
        }
    }
    let number =
        [Some(own), before.number, settled.map(|highest| highest.number), others.map(|highest| highest.number)];
    Ok((after(number.into_iter().flatten().max().unwrap_or(0)), counted_now(before, settled_until, settled)))
}

fn after(number: i64) -> String {
    next_version(Some(format!("v{number}").as_str()))
}

/// Up to which id the rows count as settled: the very newest are read each time, since the application may still be
/// writing them.
fn settled_until(before: Counted, newest_id: i64) -> i64 {
    before.until.unwrap_or(i64::MIN).max(newest_id.saturating_sub(i64::from(UNSETTLED_ROWS)))
}

/// What is worth writing down: where enough rows have settled since the last time.
fn counted_now(before: Counted, settled_until: i64, settled: Option<Highest>) -> Counted {
    let enough = before.until.is_none_or(|until| settled_until >= until.saturating_add(i64::from(SETTLED_ROWS)));
    if !enough {
        return Counted::default();
    }
    // What is found is higher than what was counted before.
    let highest = settled.unwrap_or(Highest { number: before.number.unwrap_or(0), id: before.id });
    Counted { until: Some(settled_until), number: Some(highest.number), id: highest.id }
}

fn integer(row: Option<&Vec<Value>>, at: usize) -> Option<i64> {
    row?.get(at)?.as_i64()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Counted = Counted { until: Some(1000), number: Some(7), id: Some(30) };

    #[test]
    fn the_newest_rows_are_not_settled_and_what_was_counted_stays_so() {
        assert_eq!(settled_until(Counted::default(), 50), -50);
        assert_eq!(settled_until(Counted::default(), i64::MIN), i64::MIN);
        assert_eq!(settled_until(BEFORE, 1050), 1000);
        assert_eq!(settled_until(BEFORE, 1350), 1250);
    }

    #[test]
    fn a_count_is_written_down_the_first_time_and_then_once_enough_rows_have_settled() {
        let first = Counted { until: Some(-50), number: Some(0), id: None };
        assert_eq!(counted_now(Counted::default(), -50, None), first);
        assert_eq!(counted_now(BEFORE, 1009, Some(Highest { number: 9, id: Some(1005) })), Counted::default());
        assert_eq!(counted_now(BEFORE, 1010, None), Counted { until: Some(1010), ..BEFORE });
        let higher = Counted { until: Some(1010), number: Some(9), id: Some(1005) };
        assert_eq!(counted_now(BEFORE, 1010, Some(Highest { number: 9, id: Some(1005) })), higher);
    }
}
