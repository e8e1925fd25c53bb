//! From a journal to a database: makes the database agree with the journal. The keeper, the loop over the backlog and a
//! supervisor without a keeper share this path. Idempotent, so it may be repeated, interrupted and raced.
//! Must not wait, retry a delivery by itself or write to a journal.

mod backlog;
mod destination;
mod history;
mod inspection;
mod leases;
mod on_finish;
mod policy;
mod settled;
mod undelivered;

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use crate::journal::{ReportReader, RunState};
use crate::record::{Applied, Begun, Change, Presumption, Progress, Report, Run};
use crate::store::{RecordView, Store, StoreError, Unfit};
use crate::sys::fs::file_bytes_within;
use crate::sys::{failpoint, host};

pub use backlog::{Backlog, Operator};
pub use destination::Destination;
pub use history::History;
pub use inspection::{DeadRun, Inspection, inspect, recoverer};
pub use leases::{Silent, doubt, heal, journaled};
pub use on_finish::{IN_ON_FINISH, ON_FINISH_LIMIT, run_on_finish};
pub use policy::{Outcome, RoundEnd, Schedule, backoff, series_are_due};
pub use settled::Settled;
pub(crate) use undelivered::{Deliverer, deliverer, label};
pub use undelivered::{Waiting, undelivered};

/// How long a keeper's attempt may take before it is abandoned.
pub const ATTEMPT_DEADLINE: Duration = Duration::from_secs(10);
/// How long the report file is read at most before the attempt that delivers the end, which waits for it; before the end of a run that
/// its keeper took over; and before a heartbeat, which goes on where the last one ended.
pub const REPORT_WAIT_MAX: Duration = Duration::from_millis(2500);
pub const REPORT_WAIT_ALONE_MAX: Duration = Duration::from_secs(1);
pub const REPORT_WAIT_LIVING_MAX: Duration = Duration::from_millis(600);
/// How long the server may take for one statement of it: less, so that a living server answers first.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(8);

/// More runs of one name are not ended before a run that must be the only one.
const NAMESAKES_MAX: usize = 100;
/// A file system that hangs must not delay an end.
const MODEL_WAIT_MAX: Duration = Duration::from_millis(500);

/// The changes that one attempt brings to the database for one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    run: Run,
    /// The record, if the journal knows it.
    recorded: Option<Begun>,
    /// The database has acknowledged the beginning to this process already.
    begun: bool,
    /// The changes after the beginning, in order.
    changes: Vec<Change>,
    /// The changes end the run.
    last: bool,
    /// The database has all of it but the time: the run's row is enough.
    is_brief: bool,
    /// Nothing is delivered while the database has a heartbeat within the run's lease.
    lease_decides: bool,
    /// The table must be able to take every end of the run.
    demands_fitness: bool,
    /// The end is claimed for `--on-finish`.
    claims: bool,
    /// The series lack the rest of the report.
    is_cut: bool,
    /// The history of the metrics, delivered after the record.
    history: Option<History>,
}

/// The state of the database after a delivery.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delivered {
    /// The record, if this attempt began it.
    pub begun: Option<Begun>,
    /// The end is in the database too. False for a dead run if the database shows that it lives.
    pub ended: bool,
    /// The record has everything that the delivery brought.
    pub is_settled: bool,
    /// The series could not be written, and a later attempt may succeed.
    pub lacks_series: bool,
    /// The record of an end that this process has claimed, for `--on-finish`.
    pub finished: Option<RecordView>,
    /// A message for the user.
    pub notice: Option<String>,
}

impl Delivery {
    /// The delivery of a living run. `seen_us` is the moment of the sign of life, `report` everything that the trainer has
    /// reported, `begun` whether the database has acknowledged the beginning to this process.
    pub fn of(state: &RunState, seen_us: u64, report: Report, begun: bool) -> Self {
        let ending = state.ending(report.error.as_deref());
        let last = ending.is_some();
        let progress = state.progress(seen_us, report);
        let changes = match ending {
            Some(ending) => vec![Change::Finalize(progress, ending)],
            None if state.started.is_some() => vec![Change::Heartbeat(progress)],
            None => Vec::new(),
        };
        let (mut run, recorded) = (state.begin.run.clone(), state.recorded.clone());
        // A run that is over is beside no other run: nothing may keep its end away.
        run.is_exclusive &= !last;
        Self {
            run,
            recorded,
            begun,
            changes,
            last,
            is_brief: false,
            lease_decides: false,
            demands_fitness: false,
            claims: false,
            is_cut: false,
            history: None,
        }
    }

    /// The delivery of an ended run by its supervisor, which could start no keeper. `report_path` is the trainer's report file.
    pub fn of_ended(state: &RunState, report_path: Option<&Path>) -> Self {
        let mut reader = ReportReader::new(report_path.unwrap_or(Path::new("")), &state.begin);
        if let Err(error) = reader.read_on(state.finished(), REPORT_WAIT_MAX) {
            log::warn!(event = "report_unreadable", run_id:% = state.begin.run.run_id, error:%;
                "the report file of the run cannot be read: {error}");
        }
        let history = History::of(reader.series(), 0, true);
        Self::of(state, state.last_elapsed_us, reader.report().cloned().unwrap_or_default(), false).with(history)
    }

    /// The same; if it begins a run whose trainer has not started, a table that cannot take every end of it is an error.
    #[must_use]
    pub fn on_fit_table(self) -> Self {
        let demands_fitness = !self.begun && self.changes.is_empty();
        Self { demands_fitness, ..self }
    }

    /// The same, with a claim to the end if `claims`.
    #[must_use]
    pub fn claiming(self, claims: bool) -> Self {
        Self { claims, ..self }
    }

    /// The same; if `is_cut`, its series lack the rest of the report.
    #[must_use]
    pub fn lacking(self, is_cut: bool) -> Self {
        Self { is_cut, ..self }
    }

    /// The same with the series.
    #[must_use]
    pub fn with(self, history: Option<History>) -> Self {
        Self { history, ..self }
    }

    /// The same; a heartbeat that brings no more than `settled` needs only the run's row. And what the database has afterwards.
    pub fn after(self, settled: Option<Settled>, now: Duration) -> (Self, Option<Settled>) {
        let known = settled.filter(|settled| self.begun && settled.covers(&self.changes, now));
        let is_brief = known.is_some();
        let lease = Duration::from_secs(u64::from(self.run.lease_seconds));
        let settled = known.or_else(|| Settled::of(&self.changes, now, lease));
        (Self { is_brief, ..self }, settled)
    }

    /// The delivery of a run whose processes are all dead: its end or, without one, `presumption`. If `lease_decides`, a heartbeat
    /// in the database proves that it lives.
    pub fn of_dead(state: &RunState, report: Report, presumption: Presumption, lease_decides: bool) -> Self {
        let mut delivery = Self::of(state, state.last_elapsed_us, report.clone(), false);
        if !delivery.last {
            delivery.run.is_exclusive = false;
            let progress = state.progress(state.last_elapsed_us, report);
            delivery.changes = vec![Change::Heartbeat(progress), Change::Presume(presumption)];
            delivery.last = true;
            delivery.lease_decides = lease_decides;
        }
        delivery
    }

    /// The kind of delivery, for the log.
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
    /// The store's. Repeating the delivery is safe.
    pub fn deliver(&self, store: &mut Store) -> Result<Delivered, StoreError> {
        if let Some(unfit) = self.unfit(store)? {
            return Err(StoreError::Permanent { message: unfit.detail, hint: unfit.repair });
        }
        let (delivered, is_new) = if self.last && !self.begun {
            store.together(self.recorded.is_none(), |store| self.deliver_steps(store))
        } else {
            self.deliver_steps(store)
        }?;
        let finished = if self.claims && delivered.ended { store.claim_end(self.run.run_id, is_new) } else { None };
        let mut lacks_series = self.is_cut && delivered.ended;
        // After the commit of the record: series that cannot be written are none of its errors.
        if let Some(history) = self.history.as_ref().filter(|_| delivered.ended == self.last) {
            failpoint::reached("series");
            lacks_series |= !store.write_series(self.run.run_id, history.revision, &history.series);
        }
        Ok(Delivered { notice: delivered.notice.or_else(|| store.take_notice()), lacks_series, finished, ..delivered })
    }

    /// The first reason why the table cannot take the record, if that is an error.
    fn unfit(&self, store: &mut Store) -> Result<Option<Unfit>, StoreError> {
        let unfit = if self.demands_fitness { store.unfit_for(&self.run.set)? } else { Vec::new() };
        Ok(unfit.into_iter().next())
    }

    /// Begins the run. Other runs of its name whose lease has run out are ended before, if it must not run beside them.
    fn begin(&self, store: &mut Store) -> Result<Begun, StoreError> {
        for _ in 0..NAMESAKES_MAX {
            match store.begin(&self.run, self.recorded.as_ref()) {
                Err(StoreError::Running { run_id, .. }) if leases::presume(store, run_id)? == Applied::Written => {}
                result => return result,
            }
        }
        store.begin(&self.run, self.recorded.as_ref())
    }

    /// The result, and whether this delivery has written the last change.
    fn deliver_steps(&self, store: &mut Store) -> Result<(Delivered, bool), StoreError> {
        if self.lease_decides && is_alive(store.show(&self.run.run_id.to_string())?.as_ref()) {
            return Ok((Delivered::default(), false));
        }
        if self.is_brief
            && let [Change::Heartbeat(progress)] = &self.changes[..]
            && store.renew(self.run.run_id, progress.seen_at)?
        {
            return Ok((Delivered { is_settled: true, ..Delivered::default() }, true));
        }
        let mut begun = None;
        if !self.begun {
            failpoint::reached("inserting");
            begun = Some(self.begin(store)?);
            failpoint::reached("inserted");
        }
        if self.last {
            failpoint::reached("finalizing");
        }
        let (mut is_new, mut is_settled) = (false, true);
        for change in &self.changes {
            let change = measured(change, &self.run);
            let mut applied = store.apply(self.run.run_id, &change)?;
            if applied == Applied::Missing {
                // An application deleted the row: insert it again, once.
                begun = Some(store.begin(&self.run, begun.as_ref().or(self.recorded.as_ref()))?);
                applied = store.apply(self.run.run_id, &change)?;
                if applied == Applied::Missing {
                    let message = format!("the rows of run {} vanish as soon as they are inserted", self.run.run_id);
                    return Err(StoreError::Transient { message });
                }
            }
            is_new = applied == Applied::Written;
            is_settled &= is_new;
        }
        if self.last {
            failpoint::reached("finalized");
        }
        let notice = store.take_notice();
        let delivered = Delivered { begun, ended: self.last, is_settled, notice, ..Delivered::default() };
        Ok((delivered, is_new))
    }
}

/// `change` with the size of the model's file, if it is the end of a run of this host.
fn measured<'a>(change: &'a Change, run: &Run) -> Cow<'a, Change> {
    if let Change::Finalize(progress, ending) = change
        && let Some(path) = &progress.report.model_path
        && run.host == host::host_name()
    {
        let model_bytes = file_bytes_within(Path::new(path), MODEL_WAIT_MAX).and_then(|bytes| bytes.try_into().ok());
        return Cow::Owned(Change::Finalize(Progress { model_bytes, ..progress.clone() }, ending.clone()));
    }
    Cow::Borrowed(change)
}

/// Whether the last heartbeat of a run is within its lease, by the database's clock.
fn is_alive(record: Option<&RecordView>) -> bool {
    let seconds = |name: &str| record.and_then(|record| record.0.get(name)?.as_u64());
    seconds("last_seen_seconds_ago").zip(seconds("lease_seconds")).is_some_and(|(silent, lease)| silent <= lease)
}
