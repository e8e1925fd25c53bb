//! The configuration file: TOML, one key an option. Owns its checks and its layer. Pure: `gather` reads the file.

use std::ffi::OsString;
use std::path::Path;

use toml::{Table, Value};

use super::layers::{ConfigError, Layer, Origin};
use super::options::{OPTIONS, OptionKind, OptionRow};
use crate::libpq::{InvalidValue, nearest, refuse};

/// The layer in `content`, the text of the file at `path`.
///
/// # Errors
/// It is not TOML, or has an unknown key, a key twice, or a value of the wrong type.
pub(super) fn parse(path: &Path, content: &str) -> Result<Layer, ConfigError> {
    let file = path.display();
    // The text of the line may hold a password: show only its number.
    let table: Table = content.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| content.get(..span.start).unwrap_or("").matches('\n').count() + 1);
        let hint = format!("correct line {line}; write text in quotes: name = \"churn\"");
        ConfigError::new(format!("{file}"), format!("line {line} is not TOML"), hint)
    })?;
    let mut layer = Layer::default();
    for (key, value) in &table {
        let (row, text) = entry(key, value, &layer)
            .map_err(|InvalidValue { cause, hint }| ConfigError::new(format!("{key} in {file}"), cause, hint))?;
        layer.add(row, text, Origin::File { path: path.to_owned(), key: key.clone() });
    }
    Ok(layer)
}

/// The row of `key`, and its value as text, as in the other layers. `earlier` holds the entries above it.
fn entry(key: &str, value: &Value, earlier: &Layer) -> Result<(&'static OptionRow, OsString), InvalidValue> {
    let row = row_of(key)?;
    if earlier.has(row) {
        return refuse("it is given twice", format!("keep one of {} and {}", row.key, row.key.replace('_', "-")));
    }
    let text = || value.as_str().map(str::to_owned);
    let (text, expected) = match row.kind {
        OptionKind::Switch => (value.as_bool().map(|on| on.to_string()), "true or false, without quotes"),
        OptionKind::Count => (value.as_integer().map(|count| count.to_string()), "a whole number: 64"),
        OptionKind::Bytes => (value.as_integer().map(|bytes| bytes.to_string()), "a whole number of bytes: 4096"),
        OptionKind::Duration => (text(), "a text with a unit: \"30s\""),
        OptionKind::Text | OptionKind::Path | OptionKind::Secret | OptionKind::Choice | OptionKind::Repeated => {
            (text(), "a text in quotes")
        }
    };
    match text {
        Some(text) => Ok((row, text.into())),
        None => refuse(format!("its type is {}", value.type_str()), format!("write {expected}")),
    }
}

fn row_of(key: &str) -> Result<&'static OptionRow, InvalidValue> {
    let wanted = key.replace('-', "_");
    let in_file = || OPTIONS.into_iter().filter(|row| row.in_file).map(|row| row.key);
    match OPTIONS.into_iter().find(|row| row.key == wanted) {
        Some(row) if row.in_file => Ok(row),
        Some(_) => {
            let hint = format!("give it as --{wanted}").replace('_', "-");
            refuse("it belongs to one run and cannot be in the file", hint)
        }
        None => {
            let hint = match nearest(&wanted, in_file()) {
                Some(known) => format!("did you mean {known}?"),
                None => format!("the keys are {}", in_file().collect::<Vec<_>>().join(", ")),
            };
            refuse("it is not an option", hint)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options;

    #[track_caller]
    fn refused(content: &str, wanted: &[&str]) {
        let error = parse(Path::new("/c.toml"), content).unwrap_err();
        let message = format!("{error}\n{}", error.hint);
        assert!(wanted.iter().all(|part| message.contains(part)), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }

    #[test]
    fn keys_are_the_options_with_either_dash() {
        let layer = parse(Path::new("/c.toml"), "start-timeout = \"5s\"\nno_migrate = true\nstderr_tail = 10").unwrap();
        assert_eq!(layer.all(&options::START_TIMEOUT)[0].text, "5s");
        assert_eq!(layer.all(&options::NO_MIGRATE)[0].text, "true");
        assert_eq!(layer.all(&options::STDERR_TAIL)[0].text, "10");
    }

    #[test]
    fn errors_name_the_key_and_the_file() {
        refused("heartbeet = \"30s\"", &["heartbeet in /c.toml", "did you mean heartbeat?"]);
        refused("colour = 1", &["colour in /c.toml", "the keys are name,"]);
        refused("[training]\nname = \"x\"", &["training in /c.toml"]);
        refused("heartbeat = 30", &["heartbeat in /c.toml", "integer", "\"30s\""]);
        refused("name = 5", &["name in /c.toml", "quotes"]);
        refused("no_migrate = \"true\"", &["no_migrate in /c.toml", "without quotes"]);
        refused("stderr_tail = -1.5", &["stderr_tail in /c.toml", "float"]);
        refused("record_id = \"5\"", &["belongs to one run", "--record-id"]);
        refused("state-dir = \"/a\"\nstate_dir = \"/b\"", &["given twice"]);
    }

    #[test]
    fn a_syntax_error_shows_the_line_number_and_not_the_line() {
        refused("name = \"x\"\ndatabase_url = postgres://u:hunter2@h/db\n", &["/c.toml: line 2 is not TOML"]);
        refused("database_url = \"postgres://u:hunter2@h/db", &["line 1 is not TOML"]);
        refused("database_url = \"hunter2\"\ndatabase_url = \"hunter2\"", &["line 2 is not TOML"]);
    }
}
