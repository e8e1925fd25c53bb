//! A decision about a record in PostgreSQL: the locks in the order in which a run's own changes take them, then the one
//! statement that decides, then who did it. Called by the store.

use serde_json::Value;

use super::catalog::Layout;
use super::{Session, sql};
use crate::record::{Applied, Decision, RecordId};
use crate::store::change::{instant_text, without_nul};
use crate::store::decision::{decision_facts, settlement};
use crate::store::{Decided, RecordView, StoreError};

const FIND: &str = include_str!("../../../sql/postgres/decide_find.sql");
const LOCK_RUNS: &str = include_str!("../../../sql/postgres/decide_lock_runs.sql");
const LOCK_RECORD: &str = include_str!("../../../sql/postgres/decide_lock_record.sql");
const CLOSE: &str = include_str!("../../../sql/postgres/decide_close.sql");
const GIVE_UP: &str = include_str!("../../../sql/postgres/decide_give_up.sql");
const DERIVE: &str = include_str!("../../../sql/postgres/decide_derive.sql");
const SETTLE: &str = include_str!("../../../sql/postgres/decide_settle.sql");

pub(super) fn decide(
    session: &mut Session<'_>,
    layout: &Layout,
    record_id: &RecordId,
    decision: &Decision,
) -> Result<Decided, StoreError> {
    let typed = without_nul(&record_id.0);
    let found = session.rows_by_id(&layout.words.fill(FIND), &[Some(&typed)])?;
    let Some(id) = found.first().map(|row| session.text(row, 0)).transpose()?.flatten() else {
        return Ok(Decided::MISSING);
    };
    for lock in [LOCK_RUNS, LOCK_RECORD] {
        session.rows(&layout.words.fill(lock), &[Some(&id)])?;
    }
    let Some(before) = shown(session, layout, &id)? else { return Ok(Decided::MISSING) };
    let statement = match decision {
        Decision::Close(_) => CLOSE,
        Decision::GiveUp(_) => GIVE_UP,
        Decision::Derive => DERIVE,
    };
    let facts = Value::Object(decision_facts(decision, &before, &layout.columns, instant_text)).to_string();
    let kept = Decided { applied: Applied::Kept, after: Some(before.clone()), before: Some(before.clone()) };
    if session.row(&layout.words.fill(statement), &[Some(&id), Some(&facts)])?.is_none() {
        return Ok(kept);
    }
    let Some(after) = shown(session, layout, &id)? else { return Ok(Decided::MISSING) };
    if let Some(settled) = settlement(decision, &before, &after) {
        let settled = Value::Object(settled).to_string();
        session.rows(&layout.words.fill(SETTLE), &[Some(&id), Some(&settled)])?;
    }
    Ok(Decided { applied: Applied::Written, before: Some(before), after: shown(session, layout, &id)? })
}

/// The record as it is within this transaction.
fn shown(session: &mut Session<'_>, layout: &Layout, id: &str) -> Result<Option<RecordView>, StoreError> {
    let row = session.row(&layout.words.fill(sql::SHOW_RECORD), &[Some(id)])?;
    row.map(|row| session.entry(layout, &row)).transpose()
}
