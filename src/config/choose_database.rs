//! The source of the database's name: `--database-url`, `RUNWRAP_DATABASE_URL`, `RUNWRAP_DATABASE_URL_FILE`, their keys
//! in the configuration file, or the default. Pure: the file with a URL is read by a function.

use super::database::{DatabaseTarget, parse_database};
use super::env::Env;
use super::error::ConfigError;
use super::layers::{Layer, Layers, RawValue};
use super::options::{self, OptionRow};
use super::values;

/// The database that the strongest layer names.
pub(super) fn choose(layers: &Layers, env: &Env<'_>) -> Result<DatabaseTarget, ConfigError> {
    for layer in layers.strongest_first() {
        if let Some((row, raw)) = only_one(layer)? {
            let text = if row.key == options::DATABASE_URL_FILE.key {
                read_url(row, raw, env)?
            } else {
                values::text(row, raw)?.to_owned()
            };
            return parse_database(&text, env).map_err(|error| raw.refused(row, error.cause, error.hint));
        }
    }
    parse_database("sqlite:", env).map_err(|error| ConfigError::new("the default database", error.cause, error.hint))
}

/// The only value that names a database in `layer`, with its row.
fn only_one(layer: &Layer) -> Result<Option<(&'static OptionRow, &RawValue)>, ConfigError> {
    let rows: [&OptionRow; 2] = [&options::DATABASE_URL, &options::DATABASE_URL_FILE];
    let mut given = rows.into_iter().flat_map(|row| layer.all(row).iter().map(move |raw| (row, raw)));
    let first = given.next();
    if let (Some((row, raw)), Some((other_row, other))) = (first, given.next()) {
        let both = format!("{} and {}", raw.subject(row), other.subject(other_row));
        return Err(ConfigError::new(both, "they name two databases at once", "keep one of them"));
    }
    Ok(first)
}

/// The URL in a file, without the newlines at its end.
fn read_url(row: &OptionRow, raw: &RawValue, env: &Env<'_>) -> Result<String, ConfigError> {
    let path = values::path(row, raw, env.cwd)?;
    let content = (env.read)(&path).map_err(|error| {
        raw.refused(row, format!("cannot read the file: {error}"), "name a readable file that holds the database URL")
    })?;
    // Some editors begin a file with a byte order mark.
    let text = content.trim_start_matches('\u{FEFF}').trim_end_matches(['\r', '\n']);
    if text.contains('\n') {
        return Err(raw.refused(row, "the file has more than one line", "keep only the database URL in it"));
    }
    Ok(text.to_owned())
}
