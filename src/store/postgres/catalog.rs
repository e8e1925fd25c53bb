//! What the tables in a PostgreSQL database look like, and the words that the statements are filled with for them.
//! Owns the reading of the catalog's answer; must not change anything. Called by `schema`.

use serde::Deserialize;

use crate::record::AHEAD_SECONDS_MAX;
use crate::store::StoreError;
use crate::store::columns::{COUNTED_ROWS, Columns, OWN_COLUMNS, SETTLED_ROWS, UNSETTLED_ROWS};
use crate::store::table::{TableName, literal, quote};
use crate::store::template::Words;

const RECORD_NUMBER: &str = include_str!("../../../sql/postgres/record_number.sql");
const METRICS_JSON: &str = include_str!("../../../sql/postgres/metrics_json.sql");
const INSTANT_TIME: &str = include_str!("../../../sql/postgres/instant_time.sql");
const INSTANT_TEXT: &str = include_str!("../../../sql/postgres/instant_text.sql");
const INSTANT_NONE: &str = include_str!("../../../sql/postgres/instant_none.sql");
const SECONDS_NUMBER: &str = include_str!("../../../sql/postgres/seconds_number.sql");
const SECONDS_INTERVAL: &str = include_str!("../../../sql/postgres/seconds_interval.sql");
const SECONDS_TEXT: &str = include_str!("../../../sql/postgres/seconds_text.sql");
const SECONDS_NONE: &str = include_str!("../../../sql/postgres/seconds_none.sql");
const ENDED_AT: &str = include_str!("../../../sql/postgres/ended_at.sql");
const ELAPSED: &str = include_str!("../../../sql/postgres/elapsed.sql");
const METRICS_TEXT: &str = include_str!("../../../sql/postgres/metrics_text.sql");

/// PostgreSQL's longest text, in characters, and more than any column declares.
const UNLIMITED: usize = 1_000_000_000;

/// The answer to `catalog.sql`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Catalog {
    /// Where the tables are, or would be made; nothing where the search path names no schema that exists.
    pub(super) schema: Option<String>,
    pub(super) table_exists: bool,
    pub(super) runs_exists: bool,
    pub(super) migrations_exists: bool,
    pub(super) migrations_readable: bool,
    pub(super) columns: Columns,
}

/// The tables as they are.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) columns: Columns,
    pub(super) words: Words,
    /// The user's table, for messages.
    pub(super) table: String,
    /// A number of the last migration that was applied; nothing where it may not be read.
    pub(super) migrated: Option<u32>,
    pub(super) table_exists: bool,
    pub(super) runs_exists: bool,
}

impl Layout {
    pub(super) fn new(catalog: Catalog, typed: &TableName, migrated: Option<u32>) -> Result<Self, StoreError> {
        let Some(schema) = catalog.schema else {
            return Err(StoreError::Permanent {
                message: format!("there is no schema for table {}", typed.quoted()),
                hint: "set search_path for this user, or name the schema: --table SCHEMA.NAME".into(),
            });
        };
        let table = TableName { schema: Some(schema), name: typed.name.clone() };
        if catalog.table_exists {
            catalog.columns.require(&table.quoted())?;
        }
        Ok(Self {
            words: words(&table, &catalog.columns),
            columns: catalog.columns,
            table: table.quoted(),
            migrated,
            table_exists: catalog.table_exists,
            runs_exists: catalog.runs_exists,
        })
    }
}

/// The names alone: all that the migrations need.
pub(super) fn names(table: &TableName) -> Words {
    let beside = |name: &str| TableName { schema: table.schema.clone(), name: name.into() }.quoted();
    Words::default()
        .with("table", table.quoted())
        .with("runs", beside("runwrap_runs"))
        .with("migrations", beside("runwrap_migrations"))
        .with("record_table", literal(&table.name))
        .with("ahead_seconds", AHEAD_SECONDS_MAX.to_string())
        .with("runs_name", beside("runwrap_runs_name"))
        .with("record_number", RECORD_NUMBER.trim_end().to_owned())
        .with("unsettled_rows", UNSETTLED_ROWS.to_string())
        .with("settled_rows", SETTLED_ROWS.to_string())
        .with("counted_rows", COUNTED_ROWS.to_string())
}

fn words(table: &TableName, columns: &Columns) -> Words {
    let mut words = names(table);
    for name in OWN_COLUMNS {
        let Some(column) = columns.get(name) else { continue };
        words.tokens.insert(format!("{name}.type"), column.type_name.clone());
        words.tokens.insert(format!("{name}.length"), column.length.unwrap_or(UNLIMITED).to_string());
    }
    words.flags.extend(columns.flags());
    words.tokens.insert("train_duration.seconds".into(), seconds(columns, "train_duration"));
    for name in ["train_start_time", "train_end_time", "created_at", "updated_at"] {
        words.tokens.insert(format!("{name}.instant"), instant(columns, name));
    }
    for (token, expression) in [("ended_at", ENDED_AT), ("elapsed", ELAPSED)] {
        words.tokens.insert(token.into(), words.fill(expression).trim_end().to_owned());
    }
    if let Some(metrics) = columns.get("train_metrics") {
        let json = ["json", "jsonb"].contains(&metrics.base_type.as_str());
        let merged = words.fill(if json { METRICS_JSON } else { METRICS_TEXT });
        words.tokens.insert("train_metrics.merged".into(), merged.trim_end().to_owned());
        words.tokens.insert("train_metrics.compared".into(), if json { "jsonb" } else { "text" }.into());
    }
    if columns
        .get("id")
        .is_some_and(|id| !["bigint", "integer", "smallint", "numeric"].contains(&id.base_type.as_str()))
    {
        words.flags.insert("id.unordered".into());
    }
    // Only together: an order by a column that the table lacks is no order.
    if !columns.has("train_start_time") {
        words.flags.remove("id.unordered");
    }
    words
}

/// The column `name` of a row `record` as an instant; NULL where there is none in it.
fn instant(columns: &Columns, name: &str) -> String {
    let base_type = columns.get(name).map_or("", |column| column.base_type.as_str());
    let expression = match base_type {
        "date" => INSTANT_TIME,
        time if time.starts_with("timestamp") => INSTANT_TIME,
        "text" | "character varying" | "character" => INSTANT_TEXT,
        _ => INSTANT_NONE,
    };
    Words::default().with("column", quote(name)).fill(expression).trim_end().to_owned()
}

/// The column `name` of a row `record` as a number of seconds; NULL where there is none in it.
fn seconds(columns: &Columns, name: &str) -> String {
    let expression = match columns.get(name).map_or("", |column| column.base_type.as_str()) {
        "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision" => SECONDS_NUMBER,
        "interval" => SECONDS_INTERVAL,
        "text" | "character varying" | "character" => SECONDS_TEXT,
        _ => SECONDS_NONE,
    };
    Words::default().with("column", quote(name)).fill(expression).trim_end().to_owned()
}
