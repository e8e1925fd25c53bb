//! The facts of the catalog about the tables, as the statement `fitness` returns them. Owns their reading; judges none of them.

use super::super::session::Rows;
use super::super::shape::Columns;

/// The rights that a run needs on each table.
pub(in crate::store) const RIGHTS: [&str; 3] = ["SELECT", "INSERT", "UPDATE"];

#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Facts {
    /// The user's table, its name without the schema.
    pub(in crate::store) table: String,
    /// Empty if there is none.
    pub(in crate::store) schema: String,
    pub(in crate::store) role: String,
    /// The role may use the names of the schema.
    pub(in crate::store) has_usage: bool,
    pub(super) relations: Vec<Relation>,
    pub(in crate::store) columns: Vec<FactColumn>,
    /// The constraints on `status` alone.
    pub(in crate::store) checks: Vec<Check>,
    pub(super) sequences: Vec<Sequence>,
    pub(super) triggers: Vec<Trigger>,
}

/// The user's table, or one of runwrap's.
#[derive(Clone, Debug)]
pub(in crate::store) struct Relation {
    pub(super) name: String,
    /// As PostgreSQL has it: `v` is a view, `r` a table.
    kind: String,
    pub(in crate::store) rights: Vec<String>,
    /// 8: it takes INSERT, 4: UPDATE.
    pub(super) updatable: u32,
    /// Its rules may replace an INSERT.
    has_rules: bool,
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
    pub(super) rights: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Check {
    /// Empty if it has none.
    pub(in crate::store) name: String,
    pub(in crate::store) expression: String,
    pub(super) is_validated: bool,
}

/// A sequence that fills a column.
#[derive(Clone, Debug)]
pub(super) struct Sequence {
    pub(super) column: String,
    /// Quoted.
    pub(super) name: String,
    pub(super) has_usage: bool,
}

/// A trigger for each new row, before or instead of its insertion.
#[derive(Clone, Debug)]
pub(super) struct Trigger {
    pub(super) name: String,
    pub(super) function: String,
    source: String,
}

impl Facts {
    /// Reads the rows of `fitness`: a topic and seven texts.
    pub(in crate::store) fn new(table: &str, rows: &Rows) -> Self {
        let mut facts = Self { table: table.to_owned(), ..Self::default() };
        for row in rows {
            let text = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
            let is = |at: usize| text(at) == "true";
            let rights = |at: usize| text(at).split(',').map(str::to_owned).collect();
            match text(0).as_str() {
                "schema" => (facts.schema, facts.role, facts.has_usage) = (text(1), text(2), is(3)),
                "relation" => facts.relations.push(Relation {
                    name: text(1),
                    kind: text(2),
                    rights: rights(3),
                    updatable: text(4).parse().unwrap_or(0),
                    has_rules: is(5),
                }),
                "column" => facts.columns.push(FactColumn {
                    name: text(1),
                    kind: text(2),
                    base_type: text(2),
                    enum_name: row.get(3).cloned().flatten(),
                    is_not_null: is(4),
                    is_filled: is(5),
                    takes_run_id: false,
                    is_computed: is(6),
                    rights: rights(7),
                }),
                "check" => {
                    facts.checks.push(Check { name: text(1), expression: text(2), is_validated: is(3) });
                }
                "source" => facts.checks.extend(checks_of_source(&text(1)).into_iter().map(unnamed)),
                "sequence" => {
                    facts.sequences.push(Sequence { column: text(1), name: text(2), has_usage: is(3) });
                }
                "trigger" => facts.triggers.push(Trigger { name: text(1), function: text(2), source: text(3) }),
                _ => {}
            }
        }
        // SQLite reads a name in double quotes that is no column as a text.
        let others: Vec<String> = facts.columns.iter().map(|column| column.name.to_lowercase()).collect();
        facts.checks.retain(|check| !check.name.is_empty() || names_only_status(&check.expression, &others));
        facts
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

    /// Whether an INSERT writes the row as given: no trigger, rule, view or other server may fill a column.
    pub(super) fn is_row_as_given(&self) -> bool {
        let is_plain = |table: &Relation| ["r", "p"].contains(&table.kind.as_str()) && !table.has_rules;
        self.triggers.is_empty() && self.relation(&self.table).is_some_and(is_plain)
    }
}

impl Trigger {
    /// Its source returns nothing but NULL.
    pub(super) fn returns_no_row(&self) -> bool {
        let source = self.source.to_lowercase();
        let words: Vec<&str> = source.split(|end: char| !end.is_alphanumeric() && end != '_').collect();
        let returned: Vec<&str> = words.windows(2).filter(|pair| pair[0] == "return").map(|pair| pair[1]).collect();
        !returned.is_empty() && returned.iter().all(|word| *word == "null")
    }
}

fn unnamed(expression: String) -> Check {
    Check { name: String::new(), expression, is_validated: true }
}

/// Whether an expression names `status` and no other of the columns.
fn names_only_status(expression: &str, columns: &[String]) -> bool {
    let lower = expression.to_lowercase();
    let words: Vec<&str> = lower.split(|end: char| !end.is_alphanumeric() && end != '_').collect();
    words.contains(&"status") && !columns.iter().any(|name| name != "status" && words.contains(&name.as_str()))
}

/// The expressions of `CHECK (…)` in the source of a table, by the tokens of SQL.
fn checks_of_source(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut rest, mut after_check, mut depth, mut open) = (source, false, 0_usize, None);
    while let Some(first) = rest.chars().next() {
        let at = source.len() - rest.len();
        let length = token_length(rest, first);
        let token = &rest[..length];
        match token {
            "(" => {
                depth += 1;
                open = open.or((after_check).then_some((depth, at + 1)));
            }
            ")" => {
                if let Some((of, from)) = open.filter(|(of, _)| *of == depth) {
                    debug_assert_eq!(of, depth);
                    found.push(source[from..at].trim().to_owned());
                    open = None;
                }
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
        if !first.is_whitespace() && !token.starts_with("--") && !token.starts_with("/*") {
            after_check = token.eq_ignore_ascii_case("check");
        }
        rest = &rest[length..];
    }
    found
}

/// The length of the token at the begin of `rest`: a word, a text, a quoted name, a comment, or one character.
fn token_length(rest: &str, first: char) -> usize {
    let until = |from: usize, end: &str| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    match first {
        '\'' | '"' | '`' => until(1, first.encode_utf8(&mut [0; 4])),
        '[' => until(1, "]"),
        '-' if rest.starts_with("--") => until(2, "\n"),
        '/' if rest.starts_with("/*") => until(2, "*/"),
        _ if first.is_alphanumeric() || first == '_' => {
            rest.find(|end: char| !end.is_alphanumeric() && end != '_').unwrap_or(rest.len())
        }
        _ => first.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_found_in_the_source_of_a_table() {
        let source = "CREATE TABLE t (status TEXT check (status IN ('a)', \"b\")), -- CHECK (no)\n
            note TEXT DEFAULT 'check (x)', CONSTRAINT c CHECK /* ( */ ((length(status)) > 2))";
        assert_eq!(checks_of_source(source), ["status IN ('a)', \"b\")", "(length(status)) > 2"]);
        assert!(names_only_status("\"status\" <> 'x'", &["id".into(), "status".into()]));
        assert!(!names_only_status("\"status\" <> \"note\"", &["note".into()]));
    }

    #[test]
    fn trigger_that_returns_only_null_returns_no_row() {
        let returns_no_row = |source: &str| {
            Trigger { name: String::new(), function: String::new(), source: source.into() }.returns_no_row()
        };
        assert!(returns_no_row("BEGIN INSERT INTO part VALUES (NEW.*); RETURN NULL; END"));
        assert!(!returns_no_row("BEGIN IF x THEN RETURN NULL; END IF; RETURN NEW; END"));
        assert!(!returns_no_row("runwrap_c_function"));
    }
}
