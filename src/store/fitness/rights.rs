//! The rights of the role: on the schema, on the tables and their columns and sequences, by policies, and to make missing tables.

use super::super::table::quote;
use super::facts::Relation;
use super::{Concern, FILLED, FactColumn, Finder, Mending, RIGHTS, SAMPLES, Unfit, borrowed};

/// The tables of runwrap that a record needs. Without the last one a run has its record, and no curves.
const OWN_TABLES: [(&str, Concern); 3] =
    [("runwrap_runs", Concern::EveryRun), ("runwrap_versions", Concern::EveryRun), ("runwrap_series", Concern::Curves)];

impl Finder<'_> {
    /// The schema, and the missing tables in it.
    pub(super) fn place(&self) -> Vec<Unfit> {
        let facts = self.facts;
        let made = |detail: String| {
            let repair = "run `runwrap migrate`, or apply `runwrap migrate --print`, as a role that may".to_owned();
            Unfit { mending: Mending::Migration, ..Unfit::by_hand(detail, repair) }
        };
        if facts.schema.is_empty() {
            let missing = made(format!("the schema of the table {} is missing", self.table));
            return if facts.role.is_empty() { Vec::new() } else { vec![missing] };
        }
        if !facts.has_usage {
            return vec![self.usage()];
        }
        let tables = std::iter::once((facts.table.as_str(), Concern::EveryRun)).chain(OWN_TABLES);
        let found = tables.filter(|(name, _)| facts.relation(name).is_none()).filter_map(|(name, concern)| {
            let (role, schema) = (&facts.role, &facts.schema);
            let unfit = if facts.is_migrated && concern == Concern::Curves {
                made(format!("the table {name} was dropped, and runs have no curves"))
            } else if facts.may_create {
                // A run makes it.
                return None;
            } else {
                made(format!("the table {name} is missing, and the role {role} may not make it in the schema {schema}"))
            };
            Some(Unfit { concern, ..unfit })
        });
        found.collect()
    }

    fn usage(&self) -> Unfit {
        let (schema, role) = (&self.facts.schema, &self.facts.role);
        let detail = format!("the role {role} has no right USAGE on the schema {schema}");
        let tokens = [("{schema}", quote(schema)), ("{role}", quote(role))];
        self.repaired(detail, "grant_usage", &borrowed(&tokens), "")
    }

    pub(super) fn rights_on_own_tables(&self) -> Vec<Unfit> {
        let own = OWN_TABLES.into_iter().filter_map(|(name, concern)| Some((self.facts.relation(name)?, concern)));
        let lacking = own.flat_map(|(relation, concern)| {
            let missing: Vec<&str> =
                RIGHTS.into_iter().filter(|right| !relation.rights.iter().any(|held| held == right)).collect();
            let object = format!("{}.{}", quote(&self.facts.schema), relation.name);
            let right = (!missing.is_empty()).then(|| self.right(&missing.join(", "), &object, &relation.name));
            let found = right.into_iter().chain(self.policies(relation));
            found.map(move |unfit| Unfit { concern: concern.clone(), ..unfit })
        });
        lacking.collect()
    }

    /// Row-level security that admits no row of the role.
    pub(super) fn policies(&self, relation: &Relation) -> Option<Unfit> {
        let (name, role, refused) = (&relation.name, &self.facts.role, relation.without_policy.join(", "));
        (!refused.is_empty()).then(|| {
            let detail = format!("row-level security of {name} has no policy that admits {refused} of the role {role}");
            Unfit::by_hand(detail, format!("create policies on {name} for {refused} TO {}", quote(role)))
        })
    }

    fn right(&self, rights: &str, object: &str, name: &str) -> Unfit {
        let detail = format!("the role {} has no right {rights} on {name}", self.facts.role);
        let tokens =
            [("{rights}", rights.to_owned()), ("{object}", object.to_owned()), ("{role}", quote(&self.facts.role))];
        self.repaired(detail, "grant", &borrowed(&tokens), "")
    }

    /// Rights on the columns that a run reads and writes: a grant on the table, if no column has the right.
    pub(super) fn rights_on_columns(&self) -> Vec<Unfit> {
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
            let unfit = self.right(&format!("{right} ({names})"), self.table, &name);
            // A run without a path writes none when it begins.
            let is_of_path = right == "INSERT" && missing == ["model_path"];
            Some(if is_of_path { Unfit { concern: Concern::Without("model_path".into()), ..unfit } } else { unfit })
        });
        lacking.collect()
    }

    pub(super) fn sequences(&self) -> Vec<Unfit> {
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
