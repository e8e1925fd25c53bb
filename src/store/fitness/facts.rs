//! The facts of the catalog about the tables, as the statement `fitness` returns them. Owns their reading; judges none of them.

use super::super::session::{Dialect, Rows};
use super::super::shape::{Columns, known_name};
use super::source::{checks_of_source, collation_of_source, columns_of, instead_of};
use super::triggers::Trigger;

/// The rights that a run needs on each table.
pub(in crate::store) const RIGHTS: [&str; 3] = ["SELECT", "INSERT", "UPDATE"];

/// The columns whose values follow from the status.
pub(super) const TIMES: [&str; 3] = ["train_start_time", "train_end_time", "train_duration"];

#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Facts {
    /// The user's table, its name without the schema.
    pub(in crate::store) table: String,
    /// Empty if there is none.
    pub(in crate::store) schema: String,
    pub(in crate::store) role: String,
    /// The role may use the names of the schema.
    pub(in crate::store) has_usage: bool,
    /// It may make tables in the schema.
    pub(super) may_create: bool,
    /// Every migration is applied.
    pub(in crate::store) is_migrated: bool,
    pub(super) relations: Vec<Relation>,
    pub(in crate::store) columns: Vec<FactColumn>,
    /// The constraints on `status`, alone or with columns whose values follow from it.
    pub(in crate::store) checks: Vec<Check>,
    /// How the rows of a partitioned table are divided.
    pub(in crate::store) partition: Option<Partition>,
    /// The foreign keys of `status` alone.
    pub(in crate::store) references: Vec<Reference>,
    obstacles: Vec<Obstacle>,
    pub(super) sequences: Vec<Sequence>,
    pub(super) triggers: Vec<Trigger>,
}

/// The user's table, or one of runwrap's.
#[derive(Clone, Debug)]
pub(in crate::store) struct Relation {
    pub(super) name: String,
    /// As PostgreSQL has it: `v` is a view, `r` a table.
    pub(super) kind: String,
    pub(in crate::store) rights: Vec<String>,
    /// 8: it takes INSERT, 4: UPDATE.
    pub(super) updatable: u32,
    /// Its rules may replace an INSERT.
    has_rules: bool,
    /// SQLite enforces the types of its columns.
    pub(super) is_strict: bool,
    /// Row-level security refuses these of each row.
    pub(super) without_policy: Vec<String>,
}

#[derive(Clone, Debug)]
pub(in crate::store) struct FactColumn {
    pub(in crate::store) name: String,
    /// The type as a statement names it, with its length.
    pub(in crate::store) kind: String,
    /// The type below a domain, without a length.
    pub(super) base_type: String,
    /// The quoted name of the type, if it is an enum.
    pub(super) enum_name: Option<String>,
    pub(super) is_not_null: bool,
    /// The database fills it if an INSERT leaves it out.
    pub(super) is_filled: bool,
    /// A run gives it its own id.
    pub(super) takes_run_id: bool,
    pub(super) is_computed: bool,
    /// It is a view's own, and takes no value.
    pub(super) is_fixed: bool,
    pub(super) rights: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Check {
    /// Empty if it has none.
    pub(in crate::store) name: String,
    pub(in crate::store) expression: String,
    /// The columns that it names: `status`, and some of [`TIMES`].
    pub(super) columns: Vec<String>,
    pub(super) is_validated: bool,
    /// The collation of the column, quoted, if it is not that of its type.
    pub(in crate::store) collation: Option<String>,
    pub(super) is_inherited: bool,
}

#[derive(Clone, Debug)]
pub(in crate::store) struct Partition {
    /// The column of the key; empty if the key is more than a column.
    pub(in crate::store) column: String,
    /// True if a partition takes the row.
    pub(in crate::store) expression: String,
    /// The column's default.
    pub(in crate::store) default: String,
}

#[derive(Clone, Debug)]
pub(in crate::store) struct Reference {
    pub(in crate::store) constraint: String,
    /// The table and its column, quoted.
    pub(in crate::store) parent: String,
    pub(in crate::store) column: String,
}

/// Why a repair fails.
#[derive(Clone, Debug)]
struct Obstacle {
    /// Empty for a new column.
    column: String,
    /// Of its `type`, of a change between NULL and NOT NULL, `null`, or of any change, `column`.
    change: String,
    cause: String,
}

/// A sequence that fills a column.
#[derive(Clone, Debug)]
pub(super) struct Sequence {
    pub(super) column: String,
    /// Quoted.
    pub(super) name: String,
    pub(super) has_usage: bool,
}

impl Facts {
    /// Reads the rows of `fitness`: a topic and seven texts.
    pub(in crate::store) fn new(dialect: &Dialect, table: &str, rows: &Rows) -> Self {
        let mut facts = Self { table: table.to_owned(), ..Self::default() };
        for row in rows {
            facts.add(dialect, &Row(row));
        }
        // SQLite reads a name in double quotes that is no column as a text.
        let names: Vec<String> = facts.columns.iter().map(|column| column.name.to_lowercase()).collect();
        for check in facts.checks.iter_mut().filter(|check| check.name.is_empty()) {
            check.columns = columns_of(&check.expression, &names);
        }
        facts.checks.retain(|check| {
            let is_known = |name: &String| name == "status" || TIMES.contains(&name.as_str());
            check.columns.iter().any(|name| name == "status") && check.columns.iter().all(is_known)
        });
        facts
    }

    fn add(&mut self, dialect: &Dialect, row: &Row<'_>) {
        let (text, is) = (|at| row.text(at), |at| row.is(at));
        match text(0).as_str() {
            "schema" => (self.schema, self.role, self.has_usage, self.may_create) = (text(1), text(2), is(3), is(4)),
            "relation" => self.relations.push(Relation::read(row)),
            "column" => self.columns.push(FactColumn::read(dialect, row)),
            "check" => self.checks.push(Check {
                name: text(1),
                expression: text(2),
                columns: row.list(6),
                is_validated: is(3),
                collation: row.given(4),
                is_inherited: is(5),
            }),
            "source" => self.checks.extend(checks_in(&text(1))),
            "partition" => {
                self.partition = Some(Partition { column: text(1), expression: text(2), default: text(3) });
            }
            "reference" => {
                self.references.push(Reference { constraint: text(1), parent: text(2), column: text(3) });
            }
            "obstacle" => self.obstacles.push(Obstacle { column: text(1), change: text(2), cause: text(3) }),
            "sequence" => self.sequences.push(Sequence { column: text(1), name: text(2), has_usage: is(3) }),
            "source_of_trigger" => {
                self.admit(&text(1));
                self.triggers.push(Trigger { name: text(2), source: text(1), ..Trigger::default() });
            }
            "trigger" => self.triggers.push(Trigger {
                name: text(1),
                function: text(2),
                source: text(3),
                is_on_insert: is(4),
                is_readable: is(5),
                is_conditional: is(6),
                is_on_update: is(7),
            }),
            _ => {}
        }
    }

    /// Why a change of a column fails, if that is certain.
    pub(super) fn obstacle(&self, column: &str, change: &str) -> Option<&str> {
        let mut of_column = self.obstacles.iter().filter(|obstacle| obstacle.column == column);
        let found = of_column.find(|obstacle| [change, "column"].contains(&obstacle.change.as_str()));
        found.map(|obstacle| obstacle.cause.as_str())
    }

    /// Adds the change that a trigger of an SQLite view stands for.
    fn admit(&mut self, source: &str) {
        let bit = match instead_of(source).as_deref() {
            Some("insert") => 8,
            Some("update") => 4,
            _ => 0,
        };
        let table = self.relations.iter_mut().find(|relation| relation.name == self.table);
        if let Some(view) = table {
            view.updatable |= bit;
        }
    }

    pub(in crate::store) fn relation(&self, name: &str) -> Option<&Relation> {
        self.relations.iter().find(|relation| relation.name == name)
    }

    pub(in crate::store) fn column(&self, name: &str) -> Option<&FactColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    pub(in crate::store) fn has_table(&self) -> bool {
        self.relation(&self.table).is_some()
    }

    pub(super) fn is_view(&self) -> bool {
        self.relation(&self.table).is_some_and(|relation| relation.kind == "v")
    }

    /// Adds how a run fills the columns.
    pub(in crate::store) fn fill_in(&mut self, columns: &Columns) {
        for fact in &mut self.columns {
            let Some(column) = columns.get(&fact.name) else { continue };
            fact.base_type.clone_from(&column.base_type);
            fact.takes_run_id = column.name == "id" && columns.takes_run_id();
        }
    }

    /// Whether the table writes `column` as it is given: no trigger, rule, view or other server may fill or change it.
    /// `on_update`: also after the insertion.
    pub(in crate::store) fn is_as_given(&self, column: &str, on_update: bool) -> bool {
        let is_plain = |table: &Relation| ["r", "p"].contains(&table.kind.as_str()) && !table.has_rules;
        let changing = self.triggers.iter().filter(|trigger| !trigger.function.is_empty());
        let mut triggers = changing.filter(|trigger| on_update || trigger.is_on_insert);
        self.relation(&self.table).is_some_and(is_plain) && !triggers.any(|trigger| trigger.may_change(column))
    }
}

/// A row of `fitness`.
struct Row<'a>(&'a [Option<String>]);

impl Row<'_> {
    fn given(&self, at: usize) -> Option<String> {
        self.0.get(at).cloned().flatten()
    }

    fn text(&self, at: usize) -> String {
        self.given(at).unwrap_or_default()
    }

    fn is(&self, at: usize) -> bool {
        self.text(at) == "true"
    }

    /// The items between commas.
    fn list(&self, at: usize) -> Vec<String> {
        self.text(at).split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }
}

impl Relation {
    fn read(row: &Row<'_>) -> Self {
        Self {
            name: row.text(1),
            kind: row.text(2),
            rights: row.list(3),
            updatable: row.text(4).parse().unwrap_or(0),
            has_rules: row.is(5),
            is_strict: row.is(6),
            without_policy: row.list(7),
        }
    }
}

impl FactColumn {
    fn read(dialect: &Dialect, row: &Row<'_>) -> Self {
        Self {
            name: known_name(dialect, &row.text(1)),
            kind: row.text(2),
            base_type: row.text(2),
            enum_name: row.given(3),
            is_not_null: row.is(4),
            is_filled: row.is(5),
            takes_run_id: false,
            is_computed: row.is(6),
            is_fixed: row.text(6) == "fixed",
            rights: row.list(7),
        }
    }
}

/// The constraints in the source of a table. None has a name.
fn checks_in(source: &str) -> Vec<Check> {
    let collation = collation_of_source(source, "status");
    let check = |expression| Check { expression, is_validated: true, collation: collation.clone(), ..Check::default() };
    checks_of_source(source).into_iter().map(check).collect()
}
