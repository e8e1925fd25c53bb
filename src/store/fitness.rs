//! Whether the user's table can take the record of a run, by the facts of the catalog: each finding names the column and the repair.
//! Pure: must not ask a database.

mod facts;
mod refused;
mod rights;
mod source;
mod triggers;

use super::session::Dialect;
use super::shape::INTEGERS;
use super::statement::{fill, section};
use super::table::{literal, quote};

pub(super) use self::facts::{Check, FactColumn, Facts, RIGHTS};
pub(super) use self::refused::{Cause, Probe, Refusal, probes, refused_by_strict_types, rows_of};

/// The words that a run writes into `status`.
pub(super) const WORDS: [&str; 3] = ["training", "completed", "failed"];

/// The other columns that a run writes, each with a value that a run can have. A year of training fits a duration.
const SAMPLES: [(&str, &str); 8] = [
    ("version", "v1"),
    ("train_start_time", "2026-01-02T03:04:05.678901Z"),
    ("train_end_time", "2026-01-02T03:04:05.678901Z"),
    ("train_duration", "31536000"),
    ("train_metrics", r#"{"loss": 0.5}"#),
    ("model_path", "/models/1.pt"),
    ("error_message", "exited with code 1"),
    ("created_at", "2026-01-02T03:04:05.678901Z"),
];

/// The columns that get a value when the row is inserted, beside `id`.
const FILLED: [&str; 4] = ["version", "status", "train_start_time", "created_at"];

/// The columns that `--set` may not name, of those that the insertion leaves out.
const NOT_SETTABLE: [&str; 2] = ["train_end_time", "train_duration"];

/// A reason why the table cannot take the record of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Names the column.
    pub detail: String,
    /// SQL for the owner of the table, or an advice.
    pub repair: String,
    pub(super) mending: Mending,
    pub(super) concern: Concern,
}

/// How a finding is repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mending {
    Statements,
    ByHand,
    /// By the migrations and grants that the printed script has in any case.
    Migration,
}

/// The runs that a finding concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Concern {
    EveryRun,
    /// Those that give the column no value: by `--set`, or `model_path` by `--model-path`.
    Without(String),
    /// Those with a value that others lack or have smaller. Their records do without it.
    SomeRuns,
    /// Each has its record, and no curves.
    Curves,
}

impl Unfit {
    /// Whether the role lacks a right.
    pub fn is_right(&self) -> bool {
        self.mending == Mending::Statements && self.repair.starts_with("GRANT ")
    }

    fn by_hand(detail: String, repair: String) -> Self {
        Self { detail, repair, mending: Mending::ByHand, concern: Concern::EveryRun }
    }

    /// The statements would fail: a person must first remove the obstacle.
    fn hindered(self, obstacle: Option<&str>) -> Self {
        match obstacle.filter(|_| self.mending == Mending::Statements) {
            Some(obstacle) => Self::by_hand(self.detail, format!("by hand, since {obstacle}: {}", self.repair)),
            None => self,
        }
    }

    /// Whether it keeps the record of a run away that gives the columns of `set` their values, as far as that is certain.
    pub(super) fn concerns(&self, set: &[(String, String)]) -> bool {
        match &self.concern {
            Concern::EveryRun => true,
            Concern::Without(column) => column != "model_path" && !set.iter().any(|(name, _)| name == column),
            Concern::SomeRuns | Concern::Curves => false,
        }
    }
}

/// The columns that each run must fill with `--set`, save those in `set`. If there are any, [`findings`] depends on whether runs use
/// the table: such a column is none then.
pub(super) fn left_to_set(facts: &Facts, set: &[String]) -> Vec<String> {
    let needed = facts.columns.iter().filter(|column| !column.is_filled_by_runs() && is_settable(column));
    let needed = needed.filter(|column| facts.is_as_given(&column.name, false));
    needed.map(|column| column.name.clone()).filter(|name| !set.contains(name)).collect()
}

/// The findings about the tables of `facts`, whose user's table is `table` in statements. `in_use`: runs have their records in it.
pub(super) fn findings(
    dialect: &'static Dialect,
    table: &str,
    facts: &Facts,
    refusals: &[Refusal],
    in_use: bool,
) -> Vec<Unfit> {
    let finder = Finder { dialect, table, facts };
    let mut found = finder.place();
    found.extend(finder.rights_on_own_tables());
    if facts.has_table() {
        found.extend(finder.required());
        found.extend(finder.refused(refusals));
        found.extend(finder.left_empty(in_use));
        found.extend(finder.rights_on_columns());
        found.extend(facts.relation(&facts.table).and_then(|table| finder.policies(table)));
        found.extend(finder.sequences());
        found.extend(finder.view());
        found.extend(finder.computed_by_view());
        found.extend(finder.triggers());
    }
    found
}

fn is_settable(column: &FactColumn) -> bool {
    !NOT_SETTABLE.contains(&column.name.as_str())
}

impl FactColumn {
    /// Whether a new row has a value here, or needs none. A row without an id is no record.
    fn is_filled_by_runs(&self) -> bool {
        let needs_value = self.is_not_null || self.name == "id";
        let is_given = self.takes_run_id || FILLED.contains(&self.name.as_str());
        !needs_value || is_given || self.is_filled || self.is_computed
    }

    fn is_integer(&self) -> bool {
        INTEGERS.contains(&self.base_type.as_str())
    }
}

struct Finder<'a> {
    dialect: &'static Dialect,
    table: &'a str,
    facts: &'a Facts,
}

impl Finder<'_> {
    /// A finding whose repair is the section `name`, or `advice` where the dialect has none or the table is a view.
    fn repaired(&self, detail: String, name: &str, tokens: &[(&str, &str)], advice: &str) -> Unfit {
        let table = [("{table}", self.table)];
        let sql = fill(section(self.dialect, name), &[&table, tokens].concat());
        let is_grant = name.starts_with("grant");
        let is_sql = !sql.is_empty() && (is_grant || !self.facts.is_view());
        if is_sql {
            return Unfit { mending: Mending::Statements, ..Unfit::by_hand(detail, sql) };
        }
        Unfit::by_hand(detail, advice.to_owned())
    }

    fn required(&self) -> Vec<Unfit> {
        let kinds = [("id", "bigint GENERATED BY DEFAULT AS IDENTITY"), ("status", "text")];
        let missing = kinds.into_iter().filter_map(|(name, kind)| {
            let column = self.facts.column(name);
            let advice = "name another table with --table, or add the column";
            let detail = format!("column {name}: the table {} has no such column", self.table);
            match column {
                Some(column) if column.is_computed => {
                    let detail = format!("column {name}: the database computes it, and a run cannot write it");
                    Some(Unfit::by_hand(detail, advice.to_owned()))
                }
                Some(_) => None,
                None => {
                    let tokens = [("{column}", quote(name)), ("{type}", kind.to_owned())];
                    let unfit = self.repaired(detail, "add_column", &borrowed(&tokens), advice);
                    Some(unfit.hindered(self.facts.obstacle("", "column")))
                }
            }
        });
        missing.collect()
    }

    fn left_empty(&self, in_use: bool) -> Vec<Unfit> {
        let empty = self.facts.columns.iter().filter(|column| !column.is_filled_by_runs());
        let empty = empty.filter(|column| self.facts.is_as_given(&column.name, false));
        let empty = empty.filter(|column| !(in_use && is_settable(column)));
        empty.map(|column| self.empty_column(column)).collect()
    }

    fn empty_column(&self, column: &FactColumn) -> Unfit {
        let name = &column.name;
        let cause = if column.is_not_null { "it is NOT NULL without a default" } else { "it has no default" };
        let detail = format!("column {name}: {cause}, and a new record has no value for it");
        let tokens =
            [("{column}", quote(name)), ("{table_text}", literal(self.table)), ("{column_text}", literal(name))];
        let concern = if is_settable(column) { Concern::Without(name.clone()) } else { Concern::EveryRun };
        let advice = match name.as_str() {
            "id" => "give the column a default, or each run --set id=VALUE".to_owned(),
            "model_path" => "give each run --model-path PATH, or let the column be NULL or have a default".to_owned(),
            _ if is_settable(column) => {
                format!("give each run --set {name}=VALUE, or let the column be NULL or have a default")
            }
            _ => "let the column be NULL, or give it a default".to_owned(),
        };
        if name == "id" && !column.is_integer() {
            return Unfit { concern, ..Unfit::by_hand(detail, advice) };
        }
        let (section, obstacle) = if name == "id" { ("number_ids", "column") } else { ("drop_not_null", "null") };
        let unfit = self.repaired(detail, section, &borrowed(&tokens), &advice);
        Unfit { concern, ..unfit.hindered(self.facts.obstacle(name, obstacle)) }
    }

    fn view(&self) -> Vec<Unfit> {
        let relation = self.facts.relation(&self.facts.table);
        let refused = [(8, "INSERT"), (4, "UPDATE")]
            .into_iter()
            .filter(|(bit, _)| relation.is_some_and(|relation| relation.updatable & bit == 0));
        let is_materialized = relation.is_some_and(|relation| relation.kind == "m");
        // A view of PostgreSQL passes a change on to its only table.
        let or = if self.dialect.enforces_lengths { ", or make it a view of one table" } else { "" };
        let found = refused.map(|(_, verb)| {
            let detail = format!("the view {} takes no {verb}", self.table);
            let repair = format!("give the view an INSTEAD OF {verb} trigger{or}");
            Unfit::by_hand(detail, if is_materialized { "name a table with --table".into() } else { repair })
        });
        found.collect()
    }

    /// Columns that a view computes, and that a run writes.
    fn computed_by_view(&self) -> Vec<Unfit> {
        const NOT_OF_EACH_RUN: [&str; 3] = ["train_metrics", "model_path", "error_message"];
        let written = |name: &str| name == "status" || SAMPLES.iter().any(|(sample, _)| *sample == name);
        let fixed = self.facts.columns.iter().filter(|column| {
            let name = column.name.as_str();
            column.is_fixed && (written(name) || column.takes_run_id) && !NOT_OF_EACH_RUN.contains(&name)
        });
        let found = fixed.map(|FactColumn { name, .. }| {
            let detail = format!("column {name}: the view computes it, and takes no value for it");
            Unfit::by_hand(detail, format!("let the view have a column of its table as {name}, or leave it out"))
        });
        found.collect()
    }

    /// A trigger that can only refuse the row. Others show their result only when they run.
    fn triggers(&self) -> Vec<Unfit> {
        let refusing = self.facts.triggers.iter().filter(|trigger| trigger.refuses_rows());
        let found = refusing.map(|trigger| {
            let name = &trigger.name;
            let detail = if trigger.is_on_insert {
                format!("column id: the trigger {name} returns no row, and a new record gets no id")
            } else {
                format!("the trigger {name} returns no row, and drops each change of a record")
            };
            if trigger.function.is_empty() {
                let detail = format!("the trigger {name} refuses each new or changed row");
                return Unfit::by_hand(detail, format!("let the trigger {name} admit the rows of runs"));
            }
            Unfit::by_hand(detail, format!("let the function {} return NEW", trigger.function))
        });
        found.collect()
    }
}

fn borrowed<'a>(tokens: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
    tokens.iter().map(|(token, value)| (*token, value.as_str())).collect()
}
