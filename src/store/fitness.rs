//! Whether the user's table can take the record of a run, by the facts of the catalog: each finding names the column and the repair.
//! Pure: must not ask a database.

mod facts;
mod source;
mod triggers;

use super::session::Dialect;
use super::shape::INTEGERS;
use super::statement::{fill, section};
use super::table::{literal, quote};

pub(super) use self::facts::{Check, FactColumn, Facts, RIGHTS};

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
const NOT_SETTABLE: [&str; 3] = ["train_end_time", "train_duration", "model_path"];

/// A reason why the table cannot take the record of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Names the column.
    pub detail: String,
    /// SQL for the owner of the table, or an advice.
    pub repair: String,
    pub(super) is_sql: bool,
    /// The column that a run can give a value by `--set`: it is no reason for a run that does.
    pub(super) settable: Option<String>,
}

/// A value that a column does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) column: String,
    pub(super) value: &'static str,
    /// The constraint that refuses it; `None` for the type.
    pub(super) check: Option<Check>,
}

/// A value to try, by an expression that is true if the column's type takes it.
pub(super) struct Probe {
    pub(super) column: String,
    pub(super) value: &'static str,
    pub(super) expression: String,
}

/// The columns that a run writes, with the values to try.
fn written(facts: &Facts) -> impl Iterator<Item = (&FactColumn, &'static str)> {
    let words = WORDS.into_iter().map(|word| ("status", word));
    words.chain(SAMPLES).filter_map(|(name, value)| {
        let column = facts.column(name).filter(|column| !column.is_computed)?;
        let is_left_out = name == "created_at" && column.is_filled;
        let value = if name == "version" && column.is_integer() { "1" } else { value };
        (!is_left_out).then_some((column, value))
    })
}

/// The values to try on the types of the columns that a run writes.
pub(super) fn probes(facts: &Facts) -> Vec<Probe> {
    let probe = |(column, value): (&FactColumn, &'static str)| {
        let typed = format!("CAST({} AS {})", literal(value), column.kind);
        // An explicit cast shortens a text without an error.
        let expression = if column.name == "status" {
            format!("CAST({typed} AS text) = {}", literal(value))
        } else {
            format!("{typed} IS NOT NULL")
        };
        Probe { column: column.name.clone(), value, expression }
    };
    written(facts).map(probe).collect()
}

/// The values that the types of a STRICT table of SQLite refuse. Other tables of SQLite take every value.
pub(super) fn refused_by_strict_types(facts: &Facts) -> Vec<Refusal> {
    let is_strict = facts.relation(&facts.table).is_some_and(|table| table.is_strict);
    let refused = written(facts).filter(|(column, value)| match column.base_type.as_str() {
        "int" | "integer" => value.parse::<i64>().is_err(),
        "real" => value.parse::<f64>().is_err(),
        "blob" => true,
        _ => false,
    });
    let refusal =
        |(column, value): (&FactColumn, &'static str)| Refusal { column: column.name.clone(), value, check: None };
    refused.filter(|_| is_strict).map(refusal).collect()
}

/// Whether [`findings`] depends on whether runs use the table: a column that each run may fill with `--set` is none then.
pub(super) fn depends_on_use(facts: &Facts) -> bool {
    facts.columns.iter().any(|column| !column.is_filled_by_runs() && is_settable(column))
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
    let mut found = finder.usage();
    found.extend(finder.rights_on_own_tables());
    if facts.has_table() {
        found.extend(finder.required());
        found.extend(finder.refused(refusals));
        found.extend(finder.left_empty(in_use));
        found.extend(finder.rights_on_columns());
        found.extend(finder.sequences());
        found.extend(finder.view());
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
        Unfit { detail, repair: if is_sql { sql } else { advice.to_owned() }, is_sql, settable: None }
    }

    fn usage(&self) -> Vec<Unfit> {
        let schema = &self.facts.schema;
        if schema.is_empty() || self.facts.has_usage {
            return Vec::new();
        }
        let detail = format!("the role {} has no right USAGE on the schema {schema}", self.facts.role);
        let tokens = [("{schema}", quote(schema)), ("{role}", quote(&self.facts.role))];
        vec![self.repaired(detail, "grant_usage", &borrowed(&tokens), "")]
    }

    fn rights_on_own_tables(&self) -> Vec<Unfit> {
        let own = ["runwrap_runs", "runwrap_versions"].into_iter().filter_map(|name| self.facts.relation(name));
        let lacking = own.filter_map(|relation| {
            let missing: Vec<&str> =
                RIGHTS.into_iter().filter(|right| !relation.rights.iter().any(|held| held == right)).collect();
            let object = format!("{}.{}", quote(&self.facts.schema), relation.name);
            (!missing.is_empty()).then(|| self.right(&missing.join(", "), &object, &relation.name))
        });
        lacking.collect()
    }

    fn right(&self, rights: &str, object: &str, name: &str) -> Unfit {
        let detail = format!("the role {} has no right {rights} on {name}", self.facts.role);
        let tokens =
            [("{rights}", rights.to_owned()), ("{object}", object.to_owned()), ("{role}", quote(&self.facts.role))];
        self.repaired(detail, "grant", &borrowed(&tokens), "")
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
                    Some(Unfit { detail, repair: advice.to_owned(), is_sql: false, settable: None })
                }
                Some(_) => None,
                None => {
                    let tokens = [("{column}", quote(name)), ("{type}", kind.to_owned())];
                    Some(self.repaired(detail, "add_column", &borrowed(&tokens), advice))
                }
            }
        });
        missing.collect()
    }

    /// Values that a type or a constraint refuses, in one finding per column and cause.
    fn refused(&self, refusals: &[Refusal]) -> Vec<Unfit> {
        let mut found = Vec::new();
        let mut rest = refusals.to_vec();
        while let Some(Refusal { column, check, .. }) = rest.first().cloned() {
            let is_same = |refusal: &Refusal| refusal.column == column && refusal.check == check;
            let values: Vec<&str> =
                rest.iter().filter(|refusal| is_same(refusal)).map(|refusal| refusal.value).collect();
            rest.retain(|refusal| !is_same(refusal));
            let Some(column) = self.facts.column(&column) else { continue };
            found.push(match check {
                Some(check) => self.refused_by_check(column, &check, &values),
                None => self.refused_by_type(column, &values),
            });
        }
        found
    }

    fn refused_by_type(&self, column: &FactColumn, values: &[&str]) -> Unfit {
        let FactColumn { name, kind, .. } = column;
        let detail = format!("column {name}: its type {kind} does not take {}", values.join(", "));
        let advice = if self.facts.is_view() {
            "let the column of the table below the view take it"
        } else {
            "make the table again with a type that takes it"
        };
        if let Some(label) = &column.enum_name {
            let statements = values.iter().map(|word| {
                fill(section(self.dialect, "add_label"), &[("{enum}", label.as_str()), ("{word}", &literal(word))])
            });
            let sql = statements.collect::<Vec<_>>().join("\n");
            return Unfit { detail, is_sql: !sql.is_empty(), repair: sql, settable: None };
        }
        let counts = name == "train_duration" && (column.is_integer() || column.base_type == "numeric");
        let kind = if counts { "bigint" } else { "text" };
        let tokens = [("{column}", quote(name)), ("{type}", kind.to_owned())];
        self.repaired(detail, "change_type", &borrowed(&tokens), advice)
    }

    fn refused_by_check(&self, column: &FactColumn, check: &Check, values: &[&str]) -> Unfit {
        let constraint = if check.name.is_empty() { check.expression.clone() } else { check.name.clone() };
        let detail = format!("column {}: the constraint {constraint} refuses {}", column.name, values.join(", "));
        let words = values.iter().map(|word| literal(word)).collect::<Vec<_>>().join(", ");
        let tokens = [
            ("{constraint}", quote(&check.name)),
            ("{expression}", check.expression.clone()),
            ("{column}", quote(&column.name)),
            ("{words}", words),
            ("{validity}", if check.is_validated { String::new() } else { " NOT VALID".to_owned() }),
        ];
        let advice = format!("make the table again with a constraint that admits {}", values.join(", "));
        self.repaired(detail, "admit_words", &borrowed(&tokens), &advice)
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
        let settable = is_settable(column).then(|| name.clone());
        let advice = match name.as_str() {
            "id" => "give the column a default, or each run --set id=VALUE".to_owned(),
            _ if settable.is_none() => "let the column be NULL, or give it a default".to_owned(),
            _ => format!("give each run --set {name}=VALUE, or let the column be NULL or have a default"),
        };
        if name == "id" && !column.is_integer() {
            return Unfit { detail, repair: advice, is_sql: false, settable };
        }
        let section = if name == "id" { "number_ids" } else { "drop_not_null" };
        Unfit { settable, ..self.repaired(detail, section, &borrowed(&tokens), &advice) }
    }

    /// Rights on the columns that a run reads and writes: a grant on the table, if no column has the right.
    fn rights_on_columns(&self) -> Vec<Unfit> {
        let Some(relation) = self.facts.relation(&self.facts.table) else { return Vec::new() };
        let lacking = RIGHTS.into_iter().filter_map(|right| {
            let used: Vec<&FactColumn> = self.facts.columns.iter().filter(|column| uses(right, column)).collect();
            let missing: Vec<&str> = used
                .iter()
                .filter(|column| !column.rights.iter().any(|held| held == right))
                .map(|column| column.name.as_str())
                .collect();
            if missing.is_empty() || relation.rights.iter().any(|held| held == right) {
                return None;
            }
            if missing.len() == used.len() {
                return Some(self.right(right, self.table, self.table));
            }
            let names = missing.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ");
            let name = format!("column {} of {}", missing.join(", "), self.table);
            Some(self.right(&format!("{right} ({names})"), self.table, &name))
        });
        lacking.collect()
    }

    fn sequences(&self) -> Vec<Unfit> {
        let refused = self.facts.sequences.iter().filter(|sequence| !sequence.has_usage);
        let found = refused.map(|sequence| {
            let detail = format!(
                "column {}: the role {} has no right USAGE on its sequence {}",
                sequence.column, self.facts.role, sequence.name
            );
            let tokens = [("{sequence}", sequence.name.clone()), ("{role}", quote(&self.facts.role))];
            self.repaired(detail, "grant_sequence", &borrowed(&tokens), "")
        });
        found.collect()
    }

    fn view(&self) -> Vec<Unfit> {
        let relation = self.facts.relation(&self.facts.table);
        let refused = [(8, "INSERT"), (4, "UPDATE")]
            .into_iter()
            .filter(|(bit, _)| relation.is_some_and(|relation| relation.updatable & bit == 0));
        // A view of PostgreSQL passes a change on to its only table.
        let or = if self.dialect.enforces_lengths { ", or make it a view of one table" } else { "" };
        let found = refused.map(|(_, verb)| Unfit {
            detail: format!("the view {} takes no {verb}", self.table),
            repair: format!("give the view an INSTEAD OF {verb} trigger{or}"),
            is_sql: false,
            settable: None,
        });
        found.collect()
    }

    /// A trigger that can only refuse the row. Others show their result only when they run.
    fn triggers(&self) -> Vec<Unfit> {
        let refusing = self.facts.triggers.iter().filter(|trigger| trigger.returns_no_row());
        let found = refusing.map(|trigger| Unfit {
            detail: format!("column id: the trigger {} returns no row, and a new record gets no id", trigger.name),
            repair: format!("let the function {} return NEW", trigger.function),
            is_sql: false,
            settable: None,
        });
        found.collect()
    }
}

/// Whether a run needs `right` on `column`.
fn uses(right: &str, column: &FactColumn) -> bool {
    let name = column.name.as_str();
    let is_sample = SAMPLES.iter().any(|(sample, _)| *sample == name);
    let is_own = is_sample || name == "id" || name == "status";
    match right {
        "SELECT" => is_own,
        "INSERT" => {
            let is_given = FILLED.contains(&name) || name == "model_path" || name == "id";
            is_given && !column.is_computed && !(column.is_filled && (name == "id" || name == "created_at"))
        }
        _ => (is_sample || name == "status") && !column.is_computed && name != "created_at" && name != "version",
    }
}

fn borrowed<'a>(tokens: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
    tokens.iter().map(|(token, value)| (*token, value.as_str())).collect()
}
