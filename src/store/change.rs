//! A change of a record: lock the run's row, read, apply the rules of `record`, write the columns that changed. The one path of
//! heartbeat, finalize, presume, close, give up and derive, except for `renew`. Knows no rule, and writes the user's row only
//! by compare-and-swap: an application that holds its row keeps no heartbeat out of `runwrap_runs`, and its own writes are never
//! overwritten unknowingly.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::fitting::{fitted, fitted_decision};
use super::locked_run::{LockedRun, RunToLock};
use super::origin::{Mark, Origin};
use super::record_row::{RULE_COLUMNS, RecordRow, clean};
use super::reduction::Reduction;
use super::run_row::{self, RunRow};
use super::session::{Access, Class, Column, Failure};
use super::shape::without_nul;
use super::statement::{assignments, list, places};
use super::table::quote;
use super::transaction::Transaction;
use super::view::{AGES, is_same};
use super::{Assignment, Decided, RecordView, Store, StoreError};
use crate::record::{Applied, Change, Decision, RecordId, Row, RunId, Status, decide, merge};
use crate::sys::failpoint;

/// An application may write its row between the read and the write; so often it is read again.
const SWAPS_MAX: usize = 10;

/// The key in a run's `context` under which an operator's decisions are kept, the oldest first.
pub(super) const AUDIT: &str = "finalized";

/// A rule: the row after, and the result.
type Rule<'a> = &'a dyn Fn(Row) -> (Option<Row>, Applied);

/// What a rule made of a record.
struct Outcome {
    applied: Applied,
    before: Row,
    after: Row,
    /// Of the row before.
    origin: Origin,
    /// The table drops the write to the user's row: a trigger, a rule or a policy.
    is_dropped: bool,
}

impl Outcome {
    fn origin_after(&self) -> Origin {
        let start = self.after.train_start_time;
        let written = start.filter(|_| start != self.before.train_start_time && !self.is_dropped);
        let started_at =
            written.map_or_else(|| self.origin.started_at.clone(), |at| Mark::Text(run_row::instant_text(at)));
        Origin { started_at, ..self.origin.clone() }
    }
}

impl Store {
    /// Applies `change` by the rules of [`crate::record::merge`].
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn apply(&mut self, run_id: RunId, change: &Change) -> Result<Applied, StoreError> {
        if let Change::Begin(run) = change {
            return self.begin(run, None).map(|_begun| Applied::Written);
        }
        let record_id = self.options.cache.record_of(run_id);
        let run_id = run_id.to_string();
        let record_id = record_id.as_ref().map(|id| id.0.as_str());
        // An end compares no timeline and writes none.
        let needs_timeline = !matches!(change, Change::Finalize(..));
        let run = RunToLock { run_id: &run_id, record_id, needs_timeline };
        let is_heartbeat = matches!(change, Change::Heartbeat(_));
        let mut is_whole = true;
        let mut apply = |store: &mut Self| {
            is_whole = store.reduction == Reduction::NONE;
            store.apply_once(run, change)
        };
        let applied = match self.reduced(&mut apply) {
            // The application holds its row.
            Err(Failure { class: Class::Locked, .. }) if is_heartbeat => self.with(Reduction::RUN_ONLY, apply),
            applied => applied,
        };
        match applied {
            Err(Failure { class: Class::Empty, .. }) => Ok(Applied::Missing),
            Ok(Applied::Written) if is_heartbeat && !is_whole => Ok(Applied::InPart),
            other => Ok(other?),
        }
    }

    fn apply_once(&mut self, run: RunToLock<'_>, change: &Change) -> Result<Applied, Failure> {
        let is_end = matches!(change, Change::Finalize(..));
        // The application may have renamed a column for a while: an end is not written without it by an old reading.
        if is_end && self.options.cache.shape().is_some_and(|shape| !shape.columns.has_all()) {
            self.options.cache.set_shape(None);
        }
        let (mut dropped, mut timeline, run_id) = (None, None, run.run_id);
        let applied = self.transaction(Access::Write, Some(run), |transaction, locked| {
            let Some(mut locked) = locked else { return Ok(Applied::Missing) };
            timeline = locked.clock.timeline;
            let Some(begun) = locked.run.begun().filter(|_| locked.run.is_in(&transaction.shape.record_table)) else {
                return Ok(Applied::Missing);
            };
            if !locked.owns_record {
                return transaction.apply_without_record(run_id, &locked, change);
            }
            let change = fitted(change, &transaction.shape.columns);
            let rule = |row: Row| merge(Some(row), &change, locked.clock);
            let known = locked.record.take();
            let Some(made) = transaction.change(&begun.record_id.0, Some(&locked.run), known, &rule)? else {
                return transaction.apply_without_record(run_id, &locked, &change);
            };
            let mut values = run_row::changes(&made.before, &made.after);
            if made.applied == Applied::Written && !locked.run.has_moved() {
                values.extend(made.origin_after().changes(&locked.run.origin()));
            }
            transaction.update_run(run_id, &values)?;
            if is_end {
                failpoint::reached("committing");
            }
            dropped = made.is_dropped.then(|| begun.record_id.0.clone());
            let is_part = made.is_dropped && matches!(*change, Change::Heartbeat(_));
            Ok(if is_part { Applied::InPart } else { made.applied })
        });
        // A presumption is about another run.
        if let (Change::Heartbeat(_), Ok(_)) = (change, &applied) {
            self.options.cache.set_timeline(timeline);
        }
        if let (Some(id), true, Ok(_)) = (dropped, is_end, &applied) {
            let cause = "a trigger, a rule or a policy of the table drops runwrap's update";
            let message = format!("{}: record {id} stays as it is: {cause}", self.session.name());
            log::warn!(event = "update_dropped"; "{message}");
            self.notice = Some(message);
        }
        applied
    }

    fn with<T>(&mut self, reduction: Reduction, work: impl FnOnce(&mut Self) -> T) -> T {
        self.reduction = reduction;
        let result = work(self);
        self.reduction = Reduction::NONE;
        result
    }

    /// Repeats what the database refuses with less and less of it: an end is never lost over a value. The first error counts if
    /// nothing helps.
    pub(super) fn reduced<T>(&mut self, mut work: impl FnMut(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        let first = match work(self) {
            Err(failure) => failure,
            done => return done,
        };
        for reduction in Reduction::after(first.class) {
            let result = self.with(reduction, &mut work);
            match &result {
                Ok(_) => {
                    log::warn!(event = "reduced", cause:% = first.error, left_out = reduction.describe();
                        "the database refuses a part of the record, which is left out ({}): {}",
                        reduction.describe(), first.error);
                }
                // The values are taken now, and the run is refused for another reason.
                Err(Failure { error: StoreError::Running { .. } | StoreError::BadInput { .. }, .. }) => {}
                Err(_) => continue,
            }
            return result;
        }
        Err(first)
    }

    /// Decides about a record by the rules of [`crate::record::decide`].
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn decide(&mut self, record_id: &RecordId, decision: &Decision) -> Result<Decided, StoreError> {
        self.on_record(record_id, |transaction, id| transaction.decide(id, decision))
    }

    /// Runs `work` in a transaction on the record that a person named.
    pub(super) fn on_record(
        &mut self,
        record_id: &RecordId,
        mut work: impl FnMut(&mut Transaction<'_>, &str) -> Result<Decided, Failure>,
    ) -> Result<Decided, StoreError> {
        let decided = self.reduced(|store| {
            store.transaction(Access::Write, None, |transaction, _none| {
                let Some(id) = transaction.find(record_id)? else { return Ok(Decided::MISSING) };
                work(transaction, &id)
            })
        });
        match decided {
            Err(Failure { class: Class::NoSuchId | Class::Empty, .. }) => Ok(Decided::MISSING),
            other => Ok(other?),
        }
    }
}

impl Transaction<'_> {
    /// Applies `rule` to the record `id`, as it was `read` under the lock, and writes the changed columns of the user's row. `None` if the row is
    /// missing, or another one than the run's.
    fn change(
        &mut self,
        id: &str,
        run: Option<&RunRow>,
        mut read: Option<RecordRow>,
        rule: Rule<'_>,
    ) -> Result<Option<Outcome>, Failure> {
        let mut dropped: Option<(RecordRow, Outcome)> = None;
        for attempt in 0..SWAPS_MAX {
            let read = read.take().map_or_else(|| self.read_columns(id, &RULE_COLUMNS), |read| Ok(Some(read)))?;
            let Some(known) = read else { return Ok(None) };
            let mut before = known.row();
            let origin = known.origin(&self.shape.columns);
            if let Some(run) = run {
                if !run.describes(&origin) {
                    return Ok(None);
                }
                run.describe(&mut before);
            }
            let (Some(after), applied) = rule(before.clone()) else { return Ok(None) };
            let made = Outcome { applied, before, after, origin, is_dropped: false };
            if made.applied != Applied::Written {
                return Ok(Some(made));
            }
            // A presumption is revoked in both rows or in none.
            if self.reduction.run_only && !made.before.presumed {
                return Ok(Some(made));
            }
            let changes = known.changes(self.session.dialect(), &self.shape.columns, &made.before, &made.after);
            let texts: String = known.texts().filter_map(|(_, text)| text).collect();
            let changes = self.reduction.of_record(&texts, changes);
            if changes.is_empty() || self.swap(id, &known, &changes)? {
                return Ok(Some(made));
            }
            // In an exclusive transaction only a trigger can have dropped the write, or removed the row.
            if self.session.dialect().is_exclusive {
                return Ok(Some(Outcome { is_dropped: true, ..made }));
            }
            let is_same = attempt == 0 || dropped.as_ref().is_some_and(|(earlier, _)| *earlier == known);
            dropped = is_same.then_some((known, made));
        }
        // A row that is as it was at every reading has a trigger that drops the write: the run ends all the same.
        if let Some((_, made)) = dropped {
            return Ok(Some(Outcome { is_dropped: true, ..made }));
        }
        let name = self.session.name();
        Err(StoreError::Transient { message: format!("{name}: the application keeps writing record {id}") }.into())
    }

    /// Writes `changes` if the row still is as it was read.
    fn swap(&mut self, id: &str, known: &RecordRow, changes: &[Assignment]) -> Result<bool, Failure> {
        let assigned = assignments(2, changes.iter().map(|(name, _)| name));
        let known = known.texts().filter(|_| !self.session.dialect().is_exclusive);
        let compared: Vec<(&Column, Option<&str>)> =
            known.filter_map(|(name, text)| Some((self.shape.columns.get(name)?, text))).collect();
        let reads = compared.iter().map(|(column, text)| self.session.dialect().compared(column, *text));
        let conditions = reads.zip(2 + changes.len()..).map(|(read, at)| format!("{read} IS NOT DISTINCT FROM ${at}"));
        let condition = std::iter::once("TRUE".to_owned()).chain(conditions).collect::<Vec<_>>().join("\n    AND ");
        let update = self.sql("update_record", &[("{assignments}", &assigned), ("{condition}", &condition)]);
        let texts = changes.iter().map(|(_, text)| text.as_deref()).chain(compared.iter().map(|(_, text)| *text));
        let texts: Vec<Option<&str>> = std::iter::once(Some(id)).chain(texts).collect();
        Ok(self.session.execute(&update, &texts)? > 0)
    }

    /// The record is missing, or another's now. A run that has truly ended has had its record: the application may have archived
    /// it. Any other can be presumed lost, and is begun again by any other change.
    fn apply_without_record(&mut self, run_id: &str, locked: &LockedRun, change: &Change) -> Result<Applied, Failure> {
        let is_presumption = matches!(change, Change::Presume(_));
        if locked.run.has_truly_ended() || (is_presumption && locked.run.get("reason").is_some()) {
            return Ok(Applied::Kept);
        }
        if !is_presumption {
            return Ok(Applied::Missing);
        }
        let before = Row { status: Some(Status::Training), ..locked.run.row() };
        let (after, applied) = merge(Some(before.clone()), change, locked.clock);
        let Some(after) = after else { return Ok(Applied::Missing) };
        self.update_run(run_id, &run_row::changes(&before, &after))?;
        Ok(applied)
    }

    /// Writes columns of a run's row.
    pub(super) fn update_run(&mut self, run_id: &str, values: &[Assignment]) -> Result<(), Failure> {
        if values.is_empty() {
            return Ok(());
        }
        let assigned = assignments(2, values.iter().map(|(name, _)| name));
        let update = self.sql("update_run", &[("{assignments}", &assigned)]);
        let clean = self.run_texts(values);
        let texts: Vec<Option<&str>> =
            std::iter::once(Some(run_id)).chain(clean.iter().map(Option::as_deref)).collect();
        self.session.defer(&update, &texts)
    }

    /// Inserts a run's row. If there is one, the transaction fails with [`Class::Raced`].
    pub(super) fn insert_run(&mut self, values: &[Assignment]) -> Result<(), Failure> {
        let names = list(values.iter().map(|(name, _)| quote(name)));
        let insert = self.sql("insert_run", &[("{columns}", &names), ("{values}", &places(1, values.len()))]);
        let clean = self.run_texts(values);
        let texts: Vec<Option<&str>> = clean.iter().map(Option::as_deref).collect();
        self.session.defer(&insert, &texts)
    }

    /// Texts of `runwrap_runs` without NUL, which in JSON is an escape.
    fn run_texts(&self, values: &[Assignment]) -> Vec<Option<String>> {
        let run_text = |(name, text): &Assignment| {
            let text = match serde_json::from_str(text.as_ref()?) {
                Ok(json) if matches!(*name, "command" | "context" | "tags") => clean(json).to_string(),
                _ => without_nul(text.as_ref()?),
            };
            // These name a table and a row of the database.
            let is_known = matches!(*name, "record_table" | "record_id");
            Some(if is_known { text } else { self.reduction.encoded(&text, "").into_owned() })
        };
        values.iter().map(run_text).collect()
    }

    fn decide(&mut self, id: &str, decision: &Decision) -> Result<Decided, Failure> {
        let run = self.lock_run_of(id)?;
        let clock = self.clock()?;
        let Some(before) = self.view(id)? else { return Ok(Decided::MISSING) };
        let fitted = fitted_decision(decision, &self.shape.columns);
        let rule = |row: Row| decide(Some(row), &fitted, clock);
        let Some(made) = self.change(id, run.as_ref(), None, &rule)? else { return Ok(Decided::MISSING) };
        let is_derived = matches!(decision, Decision::Derive);
        let mut after = self.view(id)?;
        if made.applied != Applied::Written
            || (is_derived && after.as_ref().is_some_and(|after| is_same(after, &before)))
        {
            return Ok(Decided { applied: Applied::Kept, after: Some(before.clone()), before: Some(before) });
        }
        if !is_derived {
            let audit = after.as_ref().and_then(|after| audited(decision, run.as_ref(), &before, after));
            self.settle(id, run.as_ref(), &made, audit)?;
            after = self.view(id)?;
        }
        Ok(Decided { applied: Applied::Written, before: Some(before), after })
    }

    /// The last run that describes a record. All runs with its number are locked.
    pub(super) fn lock_run_of(&mut self, id: &str) -> Result<Option<RunRow>, Failure> {
        // Without a run there is no row to lock.
        self.lock_record(id)?;
        let lock = self.sql("lock_runs_of", &[("{columns}", &run_row::select_list())]);
        let runs = run_row::runs(self.rows(&lock, &[Some(&self.shape.record_table), Some(id)])?);
        let origin =
            self.read_columns(id, &Origin::COLUMNS)?.map(|row| row.origin(&self.shape.columns)).unwrap_or_default();
        Ok(runs.into_iter().rfind(|run| run.describes(&origin)))
    }

    /// Writes who decided and why: into the last run that describes the record, or into a row of its own.
    fn settle(&mut self, id: &str, run: Option<&RunRow>, made: &Outcome, audit: Option<Value>) -> Result<(), Failure> {
        let mut values = run_row::changes(&made.before, &made.after);
        values.extend(audit.map(|audit| ("context", Some(audit.to_string()))));
        self.write_of_run(id, run, values)
    }

    /// Writes columns of the run that describes the record `id`, or of a row of its own.
    pub(super) fn write_of_run(
        &mut self,
        id: &str,
        run: Option<&RunRow>,
        mut values: Vec<Assignment>,
    ) -> Result<(), Failure> {
        if let Some(run_id) = run.and_then(|run| run.get("run_id")) {
            return self.update_run(run_id, &values);
        }
        values.extend([
            ("run_id", Some(Uuid::now_v7().to_string())),
            ("record_table", Some(self.shape.record_table.clone())),
            ("record_id", Some(id.to_owned())),
            ("runwrap_version", Some(env!("CARGO_PKG_VERSION").to_owned())),
        ]);
        // Another row may get the number.
        let row = self.read_columns(id, &Origin::COLUMNS)?;
        values.extend(row.map(|row| row.origin(&self.shape.columns)).unwrap_or_default().values());
        if !values.iter().any(|(name, _)| *name == "heartbeat_at") {
            values.push(("heartbeat_at", None));
        }
        self.insert_run(&values)
    }
}

/// The context of the run, with what an operator changed at its end: who, when, before and after.
fn audited(decision: &Decision, run: Option<&RunRow>, before: &RecordView, after: &RecordView) -> Option<Value> {
    let Decision::Close(verdict) = decision else { return None };
    let changed = |of: &RecordView, other: &RecordView| -> Map<String, Value> {
        let lasts = |(key, _): &(&String, &Value)| !AGES.contains(&key.as_str());
        let differs = |(key, value): &(&String, &Value)| other.0.get(*key) != Some(*value);
        of.0.iter().filter(lasts).filter(differs).map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let known = run.and_then(|run| serde_json::from_str(run.get("context")?).ok());
    let mut context: Map<String, Value> = known.unwrap_or_default();
    let mut decisions = context.get(AUDIT).and_then(Value::as_array).cloned().unwrap_or_default();
    decisions.push(clean(json!({
        "by": verdict.by,
        "at": verdict.at,
        "reason": run.and_then(|run| run.get("reason")),
        "explanation": verdict.explanation,
        "before": changed(before, after),
        "after": changed(after, before),
    })));
    context.insert(AUDIT.into(), Value::Array(decisions));
    Some(Value::Object(context))
}
