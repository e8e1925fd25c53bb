//! A decision about a record in SQLite: the steps of `postgres::decide`, within one immediate transaction, which is lock
//! enough. Called by the store.

use serde_json::{Value, json};

use super::rows::{Facts, facts, instant_text};
use super::{Session, sql};
use crate::record::{Applied, Decision, RecordId};
use crate::store::change::without_nul;
use crate::store::decision::{decision_facts, settlement};
use crate::store::{Decided, RecordView, StoreError};

const FIND: &str = include_str!("../../../sql/sqlite/decide_find.sql");
const CLOSE: &str = include_str!("../../../sql/sqlite/decide_close.sql");
const GIVE_UP: &str = include_str!("../../../sql/sqlite/decide_give_up.sql");
const DERIVE: &str = include_str!("../../../sql/sqlite/decide_derive.sql");
const SETTLE: &str = include_str!("../../../sql/sqlite/decide_settle.sql");

pub(super) fn decide(session: &Session<'_>, record_id: &RecordId, decision: &Decision) -> Result<Decided, StoreError> {
    let typed = facts([("record_id", json!(without_nul(&record_id.0)))]);
    let found = session.query(FIND, &typed)?;
    let Some(id) = found.first().and_then(|row| row.first()?.as_str()) else { return Ok(Decided::MISSING) };
    let Some(before) = shown(session, id)? else { return Ok(Decided::MISSING) };
    let statement = match decision {
        Decision::Close(_) => CLOSE,
        Decision::GiveUp(_) => GIVE_UP,
        Decision::Derive => DERIVE,
    };
    let about = |mut facts: Facts| {
        facts.insert("record_id".into(), json!(id));
        facts
    };
    let given = about(decision_facts(decision, &before, &session.layout.columns, instant_text));
    if session.execute(statement, &given)? == 0 {
        return Ok(Decided { applied: Applied::Kept, after: Some(before.clone()), before: Some(before) });
    }
    let Some(after) = shown(session, id)? else { return Ok(Decided::MISSING) };
    if let Some(settled) = settlement(decision, &before, &after) {
        session.execute(SETTLE, &about(settled))?;
    }
    Ok(Decided { applied: Applied::Written, before: Some(before), after: shown(session, id)? })
}

/// The record as it is within this transaction.
fn shown(session: &Session<'_>, id: &str) -> Result<Option<RecordView>, StoreError> {
    let wanted = facts([("id", Value::String(id.to_owned()))]);
    Ok(session.entries(sql::SHOW_RECORD, &wanted)?.into_iter().next())
}
