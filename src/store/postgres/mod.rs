//! The session with a PostgreSQL server: one transaction at a time, bounded on the server; unnamed statements only, since a transaction
//! pooler gives the next statement to another server. Knows no rule.

mod client;
mod connect;
mod errors;
mod metered;
mod tls;

use std::time::Duration;

use postgres::types::{Format, IsNull, ToSql, Type, private::BytesMut, to_sql_checked};
use postgres::{Row, SimpleQueryMessage, SimpleQueryRow};
use serde_json::Value;

use self::client::Client;
use self::errors::Server;
use super::StoreError;
use super::session::{
    Access, BINARY_BYTES_MAX, COMMIT, Column, Dialect, Failure, Fields, LONG_COLUMNS, Migration, Rows, SERIES_WAIT_MAX,
    Session, TOO_LONG, Texts, VALUE_BYTES_MAX,
};
use super::statement::{Statements, fill, section};
use super::table::{TableName, literal, quote};
use crate::config::PostgresTarget;

static STATEMENTS: Statements = Statements::of(&[
    include_str!("../../../sql/postgres/transaction.sql"),
    include_str!("../../../sql/postgres/change.sql"),
    include_str!("../../../sql/postgres/read.sql"),
    include_str!("../../../sql/postgres/migrate.sql"),
    include_str!("../../../sql/postgres/series.sql"),
    include_str!("../../../sql/postgres/fitness.sql"),
    include_str!("../../../sql/postgres/doctor.sql"),
    include_str!("../../../sql/postgres/repair.sql"),
]);

pub(super) const DIALECT: Dialect = Dialect {
    sections: || STATEMENTS.sections(),
    migrations: &[
        migration(1, true, include_str!("../../../sql/postgres/0001_runs.sql")),
        migration(2, false, include_str!("../../../sql/postgres/0002_decided.sql")),
        migration(3, false, include_str!("../../../sql/postgres/0003_scale.sql")),
        migration(4, true, include_str!("../../../sql/postgres/0004_versions.sql")),
        migration(5, false, include_str!("../../../sql/postgres/0005_timeline.sql")),
        migration(6, false, include_str!("../../../sql/postgres/0006_origin.sql")),
        migration(7, false, include_str!("../../../sql/postgres/0007_circumstances.sql")),
        migration(8, false, include_str!("../../../sql/postgres/0008_series.sql")),
        migration(9, false, include_str!("../../../sql/postgres/0009_notified.sql")),
    ],
    begin_script: "BEGIN",
    reuses_ids: false,
    is_exclusive: false,
    enforces_lengths: true,
    catalog_texts: |table| [Some(table.quoted()), table.schema.clone()],
    holds_id,
    place: |table, schema| {
        let named = TableName { schema: schema.map(str::to_owned), name: table.name.clone() };
        (named.quoted(), schema.map(quote).unwrap_or_default())
    },
    catalog_column,
    base_type: |declared, length| (declared.to_ascii_lowercase(), length.and_then(|length| length.parse().ok())),
    as_text,
    read,
    shown,
    has_status: "CAST(status AS text) = {}",
    has_name: "left(name, 200) = left({}, 200) AND name = {}",
    has_name_like: "name LIKE {}",
    pattern: like_pattern,
    has_tag: "tags ? {}",
    has_tag_value: "tags @> jsonb_build_object(CAST({} AS text), CAST({} AS text))",
    // Every type that keeps an instant reads it.
    instant: |instant| instant.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
};

const fn migration(number: u32, is_breaking: bool, statements: &'static str) -> Migration {
    Migration { number, is_breaking, statements }
}

/// The first id of a type that the server does not bring: it may be a domain.
const FIRST_TYPE_ID: u32 = 16384;
/// The ids of bpchar and varchar, which keep their length in the modifier.
const TYPES_WITH_LENGTH: [u32; 2] = [1042, 1043];
/// What the modifier holds beside the length.
const MODIFIER_EXTRA: u32 = 4;

/// Name, type, length, whether the server fills it, whether it computes it, whether its type may be a domain, and number. Computed
/// here, since each operator in `catalog_columns` costs a new connection a search in the server's catalog.
fn catalog_column(row: Fields) -> Option<Fields> {
    let Ok([name, base_type, number, type_id, modifier, has_default, identity, generated, is_dropped]) =
        <[Option<String>; 9]>::try_from(row)
    else {
        return None;
    };
    let is = |flag: &Option<String>| flag.as_deref() == Some("t");
    let is_marked = |mark: &Option<String>| mark.as_deref().is_some_and(|mark| !mark.is_empty());
    // The server's own columns have numbers below 1.
    if is(&is_dropped) || number.as_ref()?.starts_with('-') {
        return None;
    }
    let type_id: u32 = type_id?.parse().ok()?;
    let modifier = modifier?.parse().ok().filter(|_| TYPES_WITH_LENGTH.contains(&type_id));
    let length = modifier.and_then(|modifier: u32| modifier.checked_sub(MODIFIER_EXTRA)).filter(|length| *length > 0);
    let flag = |is: bool| Some(is.to_string());
    Some(vec![
        name,
        base_type,
        length.map(|length| length.to_string()),
        flag(is(&has_default) || is_marked(&identity)),
        flag(is_marked(&generated)),
        flag(type_id >= FIRST_TYPE_ID),
        number,
    ])
}

/// For LIKE.
fn like_pattern(name: &str) -> String {
    let escaped = name.chars().map(|character| match character {
        '*' => "%".to_owned(),
        '%' | '_' | '\\' => format!("\\{character}"),
        _ => character.to_string(),
    });
    escaped.collect()
}

/// An interval as seconds.
fn as_text(column: &Column) -> String {
    let name = quote(&column.name);
    if column.base_type == "interval" {
        return format!("CAST(EXTRACT(EPOCH FROM {name}) AS text)");
    }
    format!("CAST({name} AS text)")
}

fn read(column: &Column) -> String {
    let text = as_text(column);
    if !LONG_COLUMNS.contains(&column.name.as_str()) {
        return text;
    }
    let size = format!("octet_length({text})");
    format!("CASE WHEN {size} > {VALUE_BYTES_MAX} THEN concat({size}, '{TOO_LONG}') ELSE {text} END")
}

/// Selects a column as JSON. An id that is no number becomes text, which is equal to `record_id` in `runwrap_runs`.
fn shown(column: &Column) -> String {
    let name = quote(&column.name);
    let numbers = ["smallint", "integer", "bigint", "numeric", "real", "double precision"];
    if column.name == "id" && !numbers.contains(&column.base_type.as_str()) {
        return format!("CAST(to_json(CAST({name} AS text)) AS text)");
    }
    if column.base_type == "bytea" {
        return sized(&format!("octet_length({name})"), BINARY_BYTES_MAX, " bytes of binary data", &name);
    }
    if numbers.contains(&column.base_type.as_str()) || column.base_type.starts_with("timestamp") {
        return format!("CAST(to_json({name}) AS text)");
    }
    sized(&format!("octet_length(CAST({name} AS text))"), VALUE_BYTES_MAX, " bytes, too long to show", &name)
}

/// The JSON of a value, or its size if that is above `most` bytes.
fn sized(size: &str, most: usize, what: &str, name: &str) -> String {
    format!(
        "CASE WHEN {size} > {most} THEN CAST(to_json(concat({size}, '{what}')) AS text) \
         ELSE CAST(to_json({name}) AS text) END"
    )
}

/// A value that its type cannot hold aborts the transaction, and the server logs an error.
fn holds_id(id: &Column, text: &str) -> bool {
    match id.base_type.as_str() {
        "smallint" => text.parse::<i16>().is_ok(),
        "integer" => text.parse::<i32>().is_ok(),
        "bigint" => text.parse::<i64>().is_ok(),
        "numeric" | "real" | "double precision" => text.parse::<f64>().is_ok(),
        "uuid" => uuid::Uuid::try_parse(text).is_ok(),
        _ => true,
    }
}

/// One connection.
pub(super) struct PostgresSession {
    client: Client,
    server: Server,
    timeout_ms: u128,
    /// Statements for the next script, each with a semicolon behind it.
    deferred: String,
    /// The protocol and the cipher of TLS.
    encryption: Option<String>,
}

impl PostgresSession {
    /// Connects to the host that `attempt` is for.
    pub(super) fn open(
        target: &PostgresTarget,
        attempt: usize,
        statement_timeout: Duration,
        answer_bytes_max: usize,
    ) -> Result<Self, StoreError> {
        let (client, server, encryption) = connect::connect(target, attempt, answer_bytes_max)?;
        let timeout_ms = statement_timeout.as_millis().clamp(2, i32::MAX as u128);
        Ok(Self { client, server, timeout_ms, deferred: String::new(), encryption })
    }

    fn failure(&self, error: &postgres::Error) -> Failure {
        Failure { class: errors::class(error), error: self.server.sort(error) }
    }

    /// Runs the deferred statements now: another one may depend on them.
    fn catch_up(&mut self) -> Result<(), Failure> {
        if self.deferred.is_empty() { Ok(()) } else { self.script("") }
    }

    fn query(&mut self, statement: &str, texts: Texts<'_>) -> Result<Vec<Row>, Failure> {
        self.catch_up()?;
        let texts: Vec<Text<'_>> = texts.iter().copied().map(Text).collect();
        let bound: Vec<(&(dyn ToSql + Sync), Type)> =
            texts.iter().map(|text| (text as &(dyn ToSql + Sync), Type::UNKNOWN)).collect();
        self.client.query(statement, &bound).map_err(|error| self.failure(&error))
    }
}

/// A parameter as text, of the type that its context asks for.
#[derive(Debug)]
struct Text<'a>(Option<&'a str>);

impl ToSql for Text<'_> {
    fn to_sql(&self, _type: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let Some(text) = self.0 else { return Ok(IsNull::Yes) };
        out.extend_from_slice(text.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_type: &Type) -> bool {
        true
    }

    fn encode_format(&self, _type: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

impl Session for PostgresSession {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    fn name(&self) -> &str {
        self.server.name()
    }

    fn encryption(&self) -> Option<&str> {
        self.encryption.as_deref()
    }

    fn begin(&mut self, access: Access, first: &[(&str, Texts<'_>)]) -> Result<Rows, Failure> {
        let series_ms = if access == Access::Series { SERIES_WAIT_MAX.as_millis() } else { u128::MAX };
        let timeout_ms = self.timeout_ms.min(series_ms);
        let [whole, half] = [timeout_ms, timeout_ms / 2].map(|timeout| timeout.to_string());
        let (begin, end) = if access == Access::Renew { ("begin_renew", Some(COMMIT)) } else { ("begin", None) };
        let begin = fill(section(&DIALECT, begin), &[("{timeout_ms}", &whole), ("{lock_timeout_ms}", &half)]);
        let begin = std::iter::once((begin.as_str(), &[][..]));
        let end = end.map(|end| (end, &[][..]));
        self.batch(&begin.chain(first.iter().copied()).chain(end).collect::<Vec<_>>())
    }

    fn script(&mut self, statements: &str) -> Result<(), Failure> {
        let statements = std::mem::take(&mut self.deferred) + statements;
        self.client.script(&statements).map(drop).map_err(|error| self.failure(&error))
    }

    /// By the simple protocol, which runs several statements in one round trip, has no parameters, and sends every type as text.
    fn batch(&mut self, statements: &[(&str, Texts<'_>)]) -> Result<Rows, Failure> {
        let statements = statements.iter().map(|(statement, texts)| inlined(statement, texts));
        let script = std::mem::take(&mut self.deferred) + &statements.collect::<Vec<_>>().join(";\n");
        if script.is_empty() {
            return Ok(Rows::new());
        }
        let messages = self.client.script(&script).map_err(|error| self.failure(&error))?;
        let read = |row: &SimpleQueryRow| (0..row.len()).map(|at| Ok(row.try_get(at)?.map(str::to_owned))).collect();
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(read(row)),
            SimpleQueryMessage::CommandComplete(_) | SimpleQueryMessage::RowDescription(_) | _ => None,
        });
        rows.collect::<Result<_, _>>().map_err(|error| self.failure(&error))
    }

    fn rows(&mut self, statement: &str, texts: Texts<'_>) -> Result<Rows, Failure> {
        let rows = self.query(statement, texts)?;
        let read = |row: &Row| (0..row.len()).map(|at| row.try_get(at)).collect::<Result<_, _>>();
        rows.iter().map(read).collect::<Result<_, _>>().map_err(|error| self.failure(&error))
    }

    fn values(&mut self, statement: &str, texts: Texts<'_>) -> Result<Vec<Vec<Value>>, Failure> {
        let rows = self.rows(statement, texts)?;
        let value = |text: Option<String>| match text {
            None => Value::Null,
            Some(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        };
        Ok(rows.into_iter().map(|row| row.into_iter().map(value).collect()).collect())
    }

    fn execute(&mut self, statement: &str, texts: Texts<'_>) -> Result<u64, Failure> {
        self.catch_up()?;
        let texts: Vec<Text<'_>> = texts.iter().copied().map(Text).collect();
        let bound: Vec<(&(dyn ToSql + Sync), Type)> =
            texts.iter().map(|text| (text as &(dyn ToSql + Sync), Type::UNKNOWN)).collect();
        self.client.execute(statement, &bound).map_err(|error| self.failure(&error))
    }

    fn defer(&mut self, statement: &str, texts: Texts<'_>) -> Result<(), Failure> {
        self.deferred += &inlined(statement, texts);
        self.deferred += ";\n";
        Ok(())
    }

    fn forget_deferred(&mut self) {
        self.deferred.clear();
    }
}

/// `statement` with each `$n` as a literal, except in comments and quoted names.
fn inlined(statement: &str, texts: Texts<'_>) -> String {
    let mut inlined = String::with_capacity(statement.len());
    let mut rest = statement;
    while let Some(at) = rest.find(['$', '"', '\'', '-']) {
        inlined.push_str(&rest[..at]);
        rest = &rest[at..];
        let skipped = |end: &str| rest[1..].find(end).map_or(rest.len(), |at| at + 1 + end.len());
        let length = match &rest[..1] {
            "-" if rest.starts_with("--") => skipped("\n"),
            "-" => 1,
            "$" => {
                let digits = rest[1..].bytes().take_while(u8::is_ascii_digit).count();
                let text = rest[1..=digits].parse::<usize>().ok().and_then(|number| texts.get(number.checked_sub(1)?));
                if let Some(text) = text {
                    inlined.push_str(&text.map_or_else(|| "NULL".to_owned(), literal));
                    rest = &rest[1 + digits..];
                    continue;
                }
                1
            }
            quote => skipped(quote),
        };
        inlined.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    inlined + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `raw` is a row of `catalog_columns`, and `expected` length, default, computed, and domain.
    #[track_caller]
    fn reads(raw: [&str; 8], expected: [Option<&str>; 4]) {
        let row = std::iter::once("c").chain(raw).map(|text| Some(text.to_owned())).collect();
        let [length, has_default, is_computed, is_domain] = expected;
        let expected = [Some("c"), Some(raw[0]), length, has_default, is_computed, is_domain, Some(raw[1])];
        assert_eq!(catalog_column(row).unwrap(), expected.map(|text| text.map(str::to_owned)));
    }

    #[test]
    fn column_of_the_catalog_is_read_as_the_server_sends_it() {
        let (yes, no) = (Some("true"), Some("false"));
        reads(["bigint", "1", "20", "-1", "f", "d", "", "f"], [None, yes, no, no]);
        reads(["text", "2", "25", "-1", "t", "", "", "f"], [None, yes, no, no]);
        reads(["integer", "3", "23", "-1", "t", "", "s", "f"], [None, yes, yes, no]);
        reads(["character varying", "4", "1043", "20", "f", "", "", "f"], [Some("16"), no, no, no]);
        reads(["bpchar", "5", "1042", "40", "f", "", "", "f"], [Some("36"), no, no, no]);
        reads(["bpchar", "5", "1042", "-1", "f", "", "", "f"], [None, no, no, no]);
        // The modifier of another type is no length.
        reads(["timestamp with time zone", "6", "1184", "9", "f", "", "", "f"], [None, no, no, no]);
        reads(["ml.status", "7", "16384", "-1", "f", "", "", "f"], [None, no, no, yes]);
    }

    #[test]
    fn dropped_column_and_those_of_the_server_are_left_out() {
        let row = |raw: [&str; 9]| catalog_column(raw.map(|text| Some(text.to_owned())).to_vec());
        assert_eq!(row(["........pg.dropped.2........", "-", "2", "0", "-1", "f", "", "", "t"]), None);
        assert_eq!(row(["ctid", "tid", "-1", "27", "-1", "f", "", "", "f"]), None);
    }
}
