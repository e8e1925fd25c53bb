//! What a decision about a record says, for the statements, and what is kept of it for whoever asks later who changed
//! what. Must not decide: the statements do, by the rules of `record::decide`. Called by both stores.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::RecordView;
use super::change::{clean, without_nul};
use super::columns::Columns;
use crate::record::{Decision, Doubt, Reason, Verdict, merge_metrics};

/// The key in the `context` of a run under which an operator's decisions are kept, the oldest first.
const AUDIT: &str = "finalized";

/// The facts of `decision` about the record that says `before`, each under the name that the statements use.
pub(super) fn decision_facts(
    decision: &Decision,
    before: &RecordView,
    columns: &Columns,
    instant: fn(DateTime<Utc>) -> String,
) -> Map<String, Value> {
    match decision {
        Decision::Close(verdict) => verdict_facts(verdict, before, columns, instant),
        Decision::GiveUp(doubt) => doubt_facts(doubt, instant),
        Decision::Derive => Map::new(),
    }
}

fn doubt_facts(doubt: &Doubt, instant: fn(DateTime<Utc>) -> String) -> Map<String, Value> {
    let [known, assumed, unknown] = doubt.messages().map(|message| json!(without_nul(&message)));
    named([
        ("silent_seconds", json!(doubt.silent_seconds)),
        ("model_written_at", json!(doubt.model_written_at.map(instant))),
        ("assume_now", json!(doubt.assume_now)),
        ("known", known),
        ("assumed", assumed),
        ("unknown", unknown),
    ])
}

fn named<const N: usize>(facts: [(&str, Value); N]) -> Map<String, Value> {
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn verdict_facts(
    verdict: &Verdict,
    before: &RecordView,
    columns: &Columns,
    instant: fn(DateTime<Utc>) -> String,
) -> Map<String, Value> {
    let (model_path, explanation) = columns.fit(verdict.model_path.as_deref(), verdict.explanation.as_deref());
    let (_, message) = columns.fit(None, Some(&verdict.message));
    // Merged here, since a column that keeps JSON as text cannot do it. The row is locked: nobody changes it meanwhile.
    let known = before.0.get("train_metrics").and_then(Value::as_object);
    let metrics = verdict.metrics.as_ref().map(|metrics| clean(Value::Object(merge_metrics(known, metrics))));
    let text = |text: Option<String>| json!(text.as_deref().map(without_nul));
    named([
        ("status", json!(verdict.status.as_str())),
        ("ended_at", json!(verdict.ended_at.map(instant))),
        ("explanation", text(explanation)),
        ("message", text(message)),
        ("metrics", json!(metrics)),
        ("model_path", text(model_path)),
        ("forced", json!(verdict.force)),
    ])
}

/// What the run that describes the record says of the decision, once it has been applied; `None` where it says nothing of it.
pub(super) fn settlement(decision: &Decision, before: &RecordView, after: &RecordView) -> Option<Map<String, Value>> {
    let (reason, presumed, by, context) = match decision {
        Decision::Close(verdict) => (Reason::Manual, false, &verdict.by, audited(verdict, before, after)),
        Decision::GiveUp(doubt) => (Reason::Stuck, true, &doubt.by, Value::Null),
        Decision::Derive => return None,
    };
    Some(named([
        // Of a record that no run describes yet.
        ("run_id", json!(Uuid::now_v7())),
        ("reason", json!(reason.as_str())),
        ("presumed", json!(presumed)),
        ("recovered_by", json!(without_nul(by))),
        ("context", context),
        ("runwrap_version", json!(env!("CARGO_PKG_VERSION"))),
    ]))
}

/// The context of the run, with what an operator changed at its end: who, when, before and after.
fn audited(verdict: &Verdict, before: &RecordView, after: &RecordView) -> Value {
    let changed = |of: &RecordView, other: &RecordView| -> Map<String, Value> {
        let differs = |(key, value): &(&String, &Value)| other.0.get(*key) != Some(*value);
        of.0.iter().filter(differs).map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let mut context = before.0.get("context").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut decisions = context.get(AUDIT).and_then(Value::as_array).cloned().unwrap_or_default();
    decisions.push(clean(json!({
        "by": verdict.by,
        "at": verdict.at,
        "reason": before.0.get("reason"),
        "before": changed(before, after),
        "after": changed(after, before),
    })));
    context.insert(AUDIT.into(), Value::Array(decisions));
    Value::Object(context)
}
