//! `list` and `show`: records with the runs that describe them. Reads only.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::origin::{Mark, Origin};
use super::run_row;
use super::session::{Class, Column, Dialect, Failure};
use super::shape::{Columns, without_nul};
use super::statement::{list, places};
use super::transaction::Transaction;
use super::view::view;
use super::{Filter, RecordView, Store, StoreError};
use crate::record::{DatabaseClock, RecordId, read_instant};

/// So many runs are read together: the limit of the list, within these bounds.
const RUNS_PAGE: std::ops::RangeInclusive<u32> = 20..=500;
const RUNS_PAGES_MAX: usize = 100_000;

/// A run's trainer starts later than its run, whose id has the time of its beginning: by the wait for the database.
const START_DELAY_MAX: TimeDelta = TimeDelta::hours(1);

/// Behind every run id.
const LAST_RUN_ID: &str = "ffffffff-ffff-ffff-ffff-ffffffffffff";

/// The columns of [`Filter::summary`]; `created_at` proves which run describes a row.
const SUMMARY: [&str; 9] =
    ["id", "name", "version", "status", "reason", "train_start_time", "train_end_time", "train_duration", "created_at"];

impl Store {
    /// Returns the newest records that fit `filter`, newest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn list(&mut self, filter: &Filter) -> Result<Vec<RecordView>, StoreError> {
        let listed = self.read(|transaction| transaction.list(filter))?;
        Ok(listed.into_iter().map(|described| described.view).collect())
    }

    /// Returns one page of [`Store::list`], and the key of the next one: [`Filter::before`] of the same filter.
    ///
    /// # Errors
    /// See [`StoreError`]; [`StoreError::BadInput`] if the key is no key of this filter.
    pub fn list_page(&mut self, filter: &Filter) -> Result<(Vec<RecordView>, Option<String>), StoreError> {
        let limit = filter.limit as usize;
        // One more shows whether there is a next page.
        let wanted = Filter { limit: filter.limit.saturating_add(1), ..filter.clone() };
        let (is_by_runs, mut listed) = self.read(|transaction| {
            let is_by_runs = !RunConditions::of(filter, transaction.session.dialect()).parts.is_empty();
            Ok((is_by_runs, transaction.list(&wanted)?))
        })?;
        let is_last = listed.len() <= limit;
        listed.truncate(limit);
        let key =
            |described: &Described| if is_by_runs { described.run_id.clone() } else { Some(described.id.clone()) };
        let next = listed.last().filter(|_| !is_last).and_then(key);
        Ok((listed.into_iter().map(|described| described.view).collect(), next))
    }

    /// Returns everything known of one record, by its `id` or by its run's id; `None` if neither exists.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn show(&mut self, id: &str) -> Result<Option<RecordView>, StoreError> {
        let id = without_nul(id);
        self.read(|transaction| {
            // Also in upper case, or without dashes.
            if let Ok(run_id) = uuid::Uuid::try_parse(&id)
                && let Some(found) = transaction.view_of_run(&run_id.to_string())?
            {
                return Ok(Some(found));
            }
            match transaction.find(&RecordId(id.clone()))? {
                Some(id) => transaction.view(&id),
                None => Ok(None),
            }
        })
    }
}

/// A record, its id as the database writes it, and the last run that describes it: the user's table may have a `run_id` of its own.
struct Described {
    id: String,
    run_id: Option<String>,
    view: RecordView,
}

/// The conditions of a filter on a run, as SQL.
#[derive(Default)]
struct RunConditions {
    parts: Vec<String>,
    /// The parameters from `$3` on.
    texts: Vec<String>,
}

impl RunConditions {
    fn of(filter: &Filter, dialect: &Dialect) -> Self {
        let mut all = Self::default();
        let parent = filter.parent.map(|run_id| run_id.to_string());
        let reason = filter.reason.map(|reason| reason.to_string());
        let pattern = filter.name.as_deref().filter(|name| name.contains('*')).map(dialect.pattern);
        let name = filter.name.as_deref().filter(|_| pattern.is_none());
        for (condition, wanted) in [
            (dialect.has_name, name),
            (dialect.has_name_like, pattern.as_deref()),
            ("job = {}", filter.job.as_deref()),
            ("host = {}", filter.host.as_deref()),
            ("reason = {}", reason.as_deref()),
            ("parent_run_id = {}", parent.as_deref()),
        ] {
            if let Some(wanted) = wanted {
                let place = all.place(wanted);
                all.parts.push(condition.replace("{}", &place));
            }
        }
        for (key, value) in &filter.tags {
            let places = [Some(key), value.as_ref()].into_iter().flatten().map(|text| all.place(text));
            let places: Vec<String> = places.collect();
            let condition = if value.is_some() { dialect.has_tag_value } else { dialect.has_tag };
            all.parts.push(places.iter().fold(condition.to_owned(), |text, place| text.replacen("{}", place, 1)));
        }
        all
    }

    fn place(&mut self, text: &str) -> String {
        self.texts.push(without_nul(text));
        format!("${}", self.texts.len() + 2)
    }
}

/// Whether an index has the runs of one table that fit.
fn is_indexed(filter: &Filter) -> bool {
    filter.job.is_some() || filter.name.as_ref().is_some_and(|name| !name.starts_with('*'))
}

/// The key of a page does not fit its filter: an address that a person has changed.
fn no_such_page(key: &str) -> Failure {
    StoreError::BadInput {
        message: format!("there is no page behind {key:?}"),
        hint: "begin with the first page".to_owned(),
    }
    .into()
}

impl Transaction<'_> {
    fn list(&mut self, filter: &Filter) -> Result<Vec<Described>, Failure> {
        let conditions = RunConditions::of(filter, self.session.dialect());
        match conditions.parts[..] {
            [] => self.list_all(filter),
            _ => self.list_by_runs(filter, &conditions),
        }
    }

    /// The condition of the rows behind the one that `key` names, in the order of the list. The place of the key is `$number`.
    fn behind(&mut self, key: &str, is_ordered: bool, number: usize) -> Result<String, Failure> {
        let key = RecordId(key.to_owned());
        let is_found = match self.find(&key) {
            Err(Failure { class: Class::NoSuchId, .. }) => false,
            found => found?.is_some(),
        };
        if !is_found {
            return Err(no_such_page(&key.0));
        }
        let section = if is_ordered { "behind_id" } else { "behind_start" };
        Ok(self.sql(section, &[("{key}", &format!("${number}"))]))
    }

    fn list_all(&mut self, filter: &Filter) -> Result<Vec<Described>, Failure> {
        let columns = self.columns(filter);
        let has_status = self.session.dialect().has_status;
        let mut texts = filter.statuses.iter().map(|status| Some(status.as_str())).collect::<Vec<_>>();
        let conditions = (1..=texts.len()).map(|number| has_status.replace("{}", &format!("${number}")));
        let conditions: Vec<String> = conditions.collect();
        let mut condition =
            if conditions.is_empty() { "TRUE".to_owned() } else { format!("({})", conditions.join(" OR ")) };
        let is_ordered = self.shape.columns.id_is_integer() || !self.shape.columns.has("train_start_time");
        let order = if is_ordered { "id DESC" } else { "train_start_time DESC NULLS LAST, id DESC" };
        if let Some(key) = &filter.before {
            texts.push(Some(key));
            condition = format!("{condition} AND ({})", self.behind(key, is_ordered, texts.len())?);
        }
        let limit = filter.limit as usize;
        // Among the newest rows one may have started earlier.
        let page_rows = if filter.since.is_some() { limit.max(*RUNS_PAGE.end() as usize) } else { limit };
        let mut listed = Vec::new();
        for page in 0..RUNS_PAGES_MAX {
            let lists = [
                ("{columns}", self.select_list(&columns)),
                ("{condition}", condition.clone()),
                ("{order}", order.to_owned()),
                ("{limit}", format!("{page_rows} OFFSET {}", page * page_rows)),
            ];
            let lists = lists.each_ref().map(|(token, text)| (*token, text.as_str()));
            let select = self.sql("list", &lists);
            let rows = self.values(&select, &texts)?;
            let is_last = rows.len() < page_rows || filter.since.is_none();
            let views = self.views(&columns, rows)?;
            // The next rows are older still.
            let mut starts = views.iter().filter_map(|described| started_at(&described.view));
            let all_are_older = starts.all(|start| filter.since.is_some_and(|since| start < since));
            listed.extend(views.into_iter().filter(|described| is_since(&described.view, filter.since)));
            if is_last || all_are_older || listed.len() >= limit {
                break;
            }
        }
        listed.truncate(limit);
        Ok(listed)
    }

    /// By the runs that fit, the newest first, until there are enough records that they describe last.
    fn list_by_runs(&mut self, filter: &Filter, conditions: &RunConditions) -> Result<Vec<Described>, Failure> {
        let columns = self.columns(filter);
        let oldest = filter.since.and_then(|since| since.checked_sub_signed(START_DELAY_MAX)).map(first_run_id);
        let page = filter.limit.clamp(*RUNS_PAGE.start(), *RUNS_PAGE.end());
        let condition = conditions.parts.join("\n    AND ");
        let column = if is_indexed(filter) { "record_table" } else { "+record_table" };
        let lists = [("{condition}", condition.as_str()), ("{limit}", &page.to_string()), ("{table_column}", column)];
        let select = self.sql("list_runs", &lists);
        let table = self.shape.record_table.clone();
        let most = usize::try_from(filter.limit).unwrap_or(usize::MAX);
        let first = filter.before.clone().map(|key| match uuid::Uuid::try_parse(&key) {
            Ok(run_id) => Ok(run_id.to_string()),
            Err(_) => Err(no_such_page(&key)),
        });
        let (mut listed, mut before) = (Vec::new(), first.transpose()?.unwrap_or_else(|| LAST_RUN_ID.to_owned()));
        for _ in 0..RUNS_PAGES_MAX {
            let texts = [&table, &before].into_iter().chain(&conditions.texts).map(|text| Some(text.as_str()));
            // A value that the encoding of the database lacks: no run has it.
            let unknown = |failure: Failure| match failure {
                Failure { class: Class::BadText, error } => Failure { class: Class::NoSuchId, error },
                other => other,
            };
            let runs = self.rows(&select, &texts.collect::<Vec<_>>()).map_err(unknown)?;
            let pair = |row: &Vec<Option<String>>| Some((row.first()?.clone()?, row.get(1)?.clone()?));
            let runs: Vec<(String, String)> = runs.iter().filter_map(pair).collect();
            let Some((last, _)) = runs.last() else { break };
            before.clone_from(last);
            let ids: Vec<String> = runs.iter().map(|(_, id)| id.clone()).collect();
            let mut views: HashMap<String, Described> = self.views_by_id(&columns, &ids)?;
            let fits = |run_id: &String, described: &Described| {
                let is = |word: &str| described.view.0.get("status").is_some_and(|value| value == word);
                let has_status = filter.statuses.is_empty() || filter.statuses.iter().any(|status| is(status.as_str()));
                described.run_id.as_ref() == Some(run_id) && has_status && is_since(&described.view, filter.since)
            };
            let found =
                runs.iter().filter_map(|(run_id, id)| views.remove(id).filter(|described| fits(run_id, described)));
            listed.extend(found.take(most - listed.len()));
            let rest_is_older = oldest.as_ref().is_some_and(|oldest| before < *oldest);
            if listed.len() >= most || runs.len() < page as usize || rest_is_older {
                break;
            }
        }
        Ok(listed)
    }

    /// One record with the last run that described it.
    pub(super) fn view(&mut self, id: &str) -> Result<Option<RecordView>, Failure> {
        let columns = self.columns(&Filter::default());
        Ok(self.views_by_id(&columns, &[id.to_owned()])?.into_values().next().map(|described| described.view))
    }

    fn view_of_run(&mut self, run_id: &str) -> Result<Option<RecordView>, Failure> {
        let select = self.sql("run_by_id", &[("{columns}", &run_row::select_list())]);
        let table = self.shape.record_table.clone();
        let run = run_row::runs(self.rows(&select, &[Some(&table), Some(run_id)])?).pop();
        let Some((run, begun)) = run.and_then(|run| run.begun().map(|begun| (run, begun))) else { return Ok(None) };
        let clock = self.clock()?;
        let columns = self.columns(&Filter::default());
        let rows = self.records(&columns, &[begun.record_id.0])?;
        let row = rows.into_iter().next().filter(|row| run.describes(&origin(&columns, row)));
        Ok(row.map(|values| view(&columns, values, Some(&run), clock)))
    }

    /// The columns of the user's table, or those of a summary.
    fn columns(&self, filter: &Filter) -> Columns {
        let is_short = |name: &str| SUMMARY.contains(&name) || (filter.metrics && name == "train_metrics");
        let shown = |column: &&Column| !filter.summary || is_short(&column.name);
        Columns(self.shape.columns.0.iter().filter(shown).cloned().collect())
    }

    fn select_list(&self, columns: &Columns) -> String {
        list(columns.0.iter().map(self.session.dialect().shown))
    }

    pub(super) fn records(&mut self, columns: &Columns, ids: &[String]) -> Result<Vec<Vec<Value>>, Failure> {
        let ids = self.held(ids);
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let lists = [("{columns}", self.select_list(columns)), ("{values}", places(1, ids.len()))];
        let select = self.sql("records_by_id", &lists.each_ref().map(|(token, text)| (*token, text.as_str())));
        let texts: Vec<Option<&str>> = ids.iter().map(|id| Some(id.as_str())).collect();
        self.values(&select, &texts)
    }

    /// Records by their ids as the database writes them.
    fn views_by_id(&mut self, columns: &Columns, ids: &[String]) -> Result<HashMap<String, Described>, Failure> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = self.records(columns, ids)?;
        let views = self.views(columns, rows)?;
        Ok(views.into_iter().map(|described| (described.id.clone(), described)).collect())
    }

    /// Rows of the user's table, each with the last run that described it.
    fn views(&mut self, columns: &Columns, rows: Vec<Vec<Value>>) -> Result<Vec<Described>, Failure> {
        let at = columns.0.iter().position(|column| column.name == "id").unwrap_or_default();
        let ids: Vec<String> = rows.iter().filter_map(|row| row.get(at)).map(id_of).collect();
        let clock: DatabaseClock = self.clock()?;
        let origins = ids.iter().cloned().zip(rows.iter().map(|row| origin(columns, row))).collect();
        let runs = self.last_runs(&origins)?;
        let described = rows.into_iter().zip(&ids);
        let views = described.map(|(values, id)| {
            let run = runs.get(id);
            let run_id = run.and_then(|run| run.get("run_id")).map(str::to_owned);
            Described { id: id.clone(), run_id, view: view(columns, values, run, clock) }
        });
        Ok(views.collect())
    }
}

/// The lowest id of a run that began then.
pub(super) fn first_run_id(begun: DateTime<Utc>) -> String {
    let milliseconds = u64::try_from(begun.timestamp_millis()).unwrap_or_default();
    let digits = format!("{milliseconds:012x}");
    let (high, low) = digits.split_at(8);
    format!("{high}-{low}-0000-0000-000000000000")
}

fn started_at(view: &RecordView) -> Option<DateTime<Utc>> {
    read_instant(view.0.get("train_start_time")?.as_str()?)
}

/// Whether a record started then or later.
fn is_since(view: &RecordView, since: Option<DateTime<Utc>>) -> bool {
    since.is_none_or(|since| started_at(view).is_some_and(|start| start >= since))
}

/// The origin of a row of `columns`.
fn origin(columns: &Columns, row: &[Value]) -> Origin {
    let [created_at, started_at] = Origin::COLUMNS.map(|name| {
        let value =
            columns.0.iter().position(|column| column.name == name && !column.is_computed).map(|at| row.get(at));
        value.map_or(Mark::Absent, |value| Mark::of(value.filter(|value| !value.is_null()).map(id_of).as_deref()))
    });
    Origin { created_at, started_at }
}

/// An id as `runwrap_runs` keeps it.
pub(super) fn id_of(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}
