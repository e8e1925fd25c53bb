//! The questions of the pages, the API and the metrics to the database and to this host, each read by one attempt. Must not render.

use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::cache::Question;
use super::look::{
    BadQuery, Check, CompareQuery, Comparison, ListedRun, Pulse, RunPage, RunsPage, RunsQuery, Sparkline,
    WaitingJournal, value,
};
use crate::config::DatabaseTarget;
use crate::delivery::{Destination, undelivered};
use crate::record::{Series, curve_rank, differences, extremes};
use crate::store::attempt::Keep;
use crate::store::{FirstCurve, Gauges, Hosts, RecordView, Store, StoreError};

/// A page of whole records ends early at so much memory. A record may have some megabytes.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// Whole records are read in groups of so many, since a page may end after any of them. By their runs they are read in larger ones.
const GROUP: u32 = 3;
const GROUP_BY_RUNS: u32 = 19;

/// Records with more memory together are not compared: two with the largest metrics have less.
const COMPARED_BYTES_MAX: usize = 12 << 20;

/// So many differences of a comparison are kept.
const DIFFERENCES_MAX: usize = 1000;

/// One page of the list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RunsLook {
    pub(super) query: RunsQuery,
    /// For the API: all columns, and no curves.
    pub(super) is_whole: bool,
}

impl Question for RunsLook {
    /// An error: the address names a page that does not exist.
    type Answer = Result<RunsPage, BadQuery>;

    fn ask(&self, hosts: &mut Hosts, table: &str) -> Result<Self::Answer, StoreError> {
        let look = self.clone();
        let page = hosts.ask(table, Keep::Polled, move |store| look.page(store));
        match page {
            Err(StoreError::BadInput { message, hint }) if self.query.before.is_some() => {
                Ok(Err(BadQuery(format!("{}; {hint}.", capitalized(&message)))))
            }
            page => page.map(Ok),
        }
    }

    fn weight(answer: &Self::Answer) -> usize {
        let listed = |run: &ListedRun| {
            weight_of(&run.record) + run.curve.as_ref().map_or(0, |curve| 16 * curve.values.len() + curve.name.len())
        };
        answer.as_ref().map_or(100, |page| page.runs.iter().map(listed).sum())
    }

    fn is_slow(&self) -> bool {
        !self.query.statuses.is_empty() || self.query.is_by_runs()
    }
}

impl RunsLook {
    fn page(&self, store: &mut Store) -> Result<RunsPage, StoreError> {
        if self.is_whole {
            return self.whole_page(store);
        }
        let (records, next) = store.list_page(&self.query.filter(true))?;
        let run_ids = records.iter().filter_map(run_id).collect::<Vec<_>>();
        let mut curves = store.first_curves(&run_ids)?;
        let runs = records.into_iter().map(|record| {
            let own = run_id(&record).and_then(|own| curves.iter().position(|curve| curve.run_id == own));
            let curve =
                own.map(|at| curves.swap_remove(at)).map(|FirstCurve { name, values, .. }| Sparkline { name, values });
            ListedRun { record, curve }
        });
        Ok(RunsPage { runs: runs.collect(), next })
    }

    /// As many rows as the query asks for, or as many as fit: then it has a next page.
    fn whole_page(&self, store: &mut Store) -> Result<RunsPage, StoreError> {
        let mut filter = self.query.filter(false);
        let group = if self.query.is_by_runs() { GROUP_BY_RUNS } else { GROUP };
        let (mut left, mut weight) = (filter.limit, 0);
        let mut page = RunsPage::default();
        loop {
            filter.limit = left.min(group);
            let (records, next) = store.list_page(&filter)?;
            weight += records.iter().map(weight_of).sum::<usize>();
            page.runs.extend(records.into_iter().map(|record| ListedRun { record, curve: None }));
            page.next.clone_from(&next);
            left -= filter.limit;
            filter.before = next;
            if left == 0 || filter.before.is_none() || weight >= PAGE_BYTES_MAX {
                return Ok(page);
            }
        }
    }
}

/// Everything of one record, by its own id or its run's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RunLook(pub(super) String);

impl Question for RunLook {
    type Answer = Option<RunPage>;

    fn ask(&self, hosts: &mut Hosts, table: &str) -> Result<Self::Answer, StoreError> {
        let id = self.0.clone();
        hosts.ask(table, Keep::Polled, move |store| run_page(store, &id))
    }

    fn weight(answer: &Self::Answer) -> usize {
        answer.as_ref().map_or(100, weight_of_run)
    }
}

/// Some records side by side.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct CompareLook(pub(super) CompareQuery);

impl Question for CompareLook {
    /// An error: the records are too large.
    type Answer = Result<Comparison, BadQuery>;

    fn ask(&self, hosts: &mut Hosts, table: &str) -> Result<Self::Answer, StoreError> {
        let ids = self.0.ids.clone();
        hosts.ask(table, Keep::Polled, move |store| comparison(store, &ids))
    }

    fn weight(answer: &Self::Answer) -> usize {
        let Ok(answer) = answer else { return 100 };
        let differences = answer.differences.iter().flat_map(|difference| &difference.values).map(weight_of_value);
        answer.runs.iter().map(weight_of_run).sum::<usize>() + differences.sum::<usize>()
    }
}

/// The runs without an end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PulseLook;

impl Question for PulseLook {
    type Answer = Pulse;

    fn ask(&self, hosts: &mut Hosts, table: &str) -> Result<Self::Answer, StoreError> {
        hosts.ask(table, Keep::Polled, Store::pulse)
    }

    fn weight(_answer: &Self::Answer) -> usize {
        100
    }
}

/// The number of stuck records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct StuckLook {
    pub(super) silent_seconds: u32,
}

impl Question for StuckLook {
    type Answer = u64;
    const FRESH: Duration = Duration::from_mins(1);

    fn ask(&self, hosts: &mut Hosts, table: &str) -> Result<Self::Answer, StoreError> {
        let silent = self.silent_seconds;
        let stuck = hosts.ask(table, Keep::Closed, move |store| store.stuck(silent))?;
        Ok(u64::try_from(stuck.len()).unwrap_or(u64::MAX))
    }

    fn weight(_answer: &Self::Answer) -> usize {
        100
    }

    fn is_slow(&self) -> bool {
        true
    }
}

/// The numbers behind the metrics.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct GaugesLook;

impl Question for GaugesLook {
    type Answer = Gauges;

    fn ask(&self, hosts: &mut Hosts, table: &str) -> Result<Self::Answer, StoreError> {
        hosts.ask(table, Keep::Open, Store::gauges)
    }

    fn weight(answer: &Self::Answer) -> usize {
        answer.last_successes.iter().map(|last| last.name.len() + 60).sum::<usize>() + 1000
    }
}

/// What `doctor` reports of the database.
#[derive(Clone)]
pub(super) struct ChecksLook(pub(super) Arc<dyn Fn() -> Vec<Check> + Send + Sync>);

impl PartialEq for ChecksLook {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for ChecksLook {}

impl Hash for ChecksLook {
    fn hash<H: Hasher>(&self, _state: &mut H) {}
}

impl Question for ChecksLook {
    type Answer = Vec<Check>;
    const FRESH: Duration = Duration::from_mins(1);
    const IS_OF_DATABASE: bool = false;

    fn ask(&self, _hosts: &mut Hosts, _table: &str) -> Result<Self::Answer, StoreError> {
        Ok((self.0)())
    }

    fn weight(_answer: &Self::Answer) -> usize {
        10_000
    }
}

/// The journals of this host that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JournalsLook {
    pub(super) state_dir: PathBuf,
    pub(super) database: DatabaseTarget,
}

impl Hash for JournalsLook {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.state_dir.hash(state);
    }
}

impl Question for JournalsLook {
    type Answer = Result<Vec<WaitingJournal>, String>;
    const FRESH: Duration = Duration::from_secs(10);
    const IS_OF_DATABASE: bool = false;

    fn ask(&self, _hosts: &mut Hosts, _table: &str) -> Result<Self::Answer, StoreError> {
        Ok(waiting_journals(&self.state_dir, &self.database))
    }

    fn weight(answer: &Self::Answer) -> usize {
        answer.as_ref().map_or(100, |all| all.iter().map(|one| one.detail.len() + one.repair.len() + 60).sum())
    }
}

/// The journals in `state_dir` that wait for their delivery to `database`, or why that is unknown.
pub fn waiting_journals(state_dir: &std::path::Path, database: &DatabaseTarget) -> Result<Vec<WaitingJournal>, String> {
    let waiting = undelivered(state_dir, &Destination::of(database));
    let waiting =
        waiting.map_err(|error| format!("cannot use the state directory {}: {error}", state_dir.display()))?;
    Ok(waiting.into_iter().map(|one| WaitingJournal { detail: one.detail, repair: one.repair }).collect())
}

fn run_page(store: &mut Store, id: &str) -> Result<Option<RunPage>, StoreError> {
    let Some(record) = store.show_with_related(id)? else { return Ok(None) };
    let series = run_id(&record).map(|run_id| store.readable_series(&run_id)).transpose()?;
    let mut series = series.unwrap_or_default();
    series.sort_by_key(|series| curve_rank(&series.name));
    Ok(Some(RunPage { record, series }))
}

fn comparison(store: &mut Store, ids: &[String]) -> Result<Result<Comparison, BadQuery>, StoreError> {
    let mut compared = Comparison::default();
    let mut weight = 0;
    for id in ids {
        let Some(run) = run_page(store, id)? else {
            compared.missing.push(id.clone());
            continue;
        };
        weight += weight_of_run(&run);
        compared.runs.push(run);
        if weight > COMPARED_BYTES_MAX && compared.runs.len() > 1 {
            let sentence = format!("The records up to {id} are too large to compare at once. Compare fewer.");
            return Ok(Err(BadQuery(sentence)));
        }
    }
    let records: Vec<_> = compared.runs.iter_mut().map(compared_values).collect();
    compared.differences = differences(&records.iter().collect::<Vec<_>>());
    compared.differences.truncate(DIFFERENCES_MAX);
    Ok(Ok(compared))
}

/// The values to compare. Takes the large ones out of the record: no other part of a comparison shows them.
fn compared_values(run: &mut RunPage) -> Map<String, Value> {
    let large = ["train_metrics", "context"].map(|key| run.record.0.remove_entry(key));
    let mut record = run.record.0.clone();
    record.retain(|key, _| !["attempts", "children"].contains(&key.as_str()));
    record.extend(large.into_iter().flatten());
    record.extend(extremes(&run.series));
    record
}

fn run_id(record: &RecordView) -> Option<String> {
    value(record, "run_id").as_str().map(str::to_owned)
}

fn weight_of_run(run: &RunPage) -> usize {
    let series = |series: &Series| 100 + series.name.len() + 80 * series.buckets.x.len();
    weight_of(&run.record) + run.series.iter().map(series).sum::<usize>()
}

fn weight_of(record: &RecordView) -> usize {
    record.0.iter().map(|(key, value)| 100 + key.len() + weight_of_value(value)).sum()
}

fn weight_of_value(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 32,
        Value::Number(_) => 64,
        Value::String(text) => 56 + text.len(),
        Value::Array(values) => 56 + values.iter().map(weight_of_value).sum::<usize>(),
        Value::Object(object) => {
            56 + object.iter().map(|(key, value)| 100 + key.len() + weight_of_value(value)).sum::<usize>()
        }
    }
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}
