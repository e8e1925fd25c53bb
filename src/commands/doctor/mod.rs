//! `runwrap doctor`: examines everything that a run depends on, and names what would lose a promise. Gathers facts, judges them and
//! prints a line for each. Must not leave a row, a file or a used number behind.

mod bounded;
mod database;
mod facts;
mod host;
mod judge;

use std::process::ExitCode;

use serde_json::{Value, json};

use self::facts::{Configuration, Facts, Place};
use self::judge::{Line, State, judge};
use super::error::{CommandError, EXIT_NEGATIVE};
use crate::config::{DatabaseTarget, Origin, Settings, options};
use crate::output;
use crate::web::look::Check;

/// Examines and prints. The exit status is that of a failure.
///
/// # Errors
/// Those of stdout.
pub(super) fn doctor(settings: &Settings, as_json: bool) -> Result<ExitCode, CommandError> {
    let system = host::system(settings);
    // Before the database: the trial of the locks forks.
    let state = host::state(settings);
    let facts =
        Facts { configuration: configuration(settings), database: database::database(settings, true), state, system };
    let lines = judge(&facts);
    output::print(&if as_json {
        output::json(&Value::Array(lines.iter().map(as_object).collect()))
    } else {
        lines.iter().map(as_text).collect()
    })?;
    let fails = lines.iter().any(|line| line.state == State::Failure);
    Ok(if fails { ExitCode::from(EXIT_NEGATIVE) } else { ExitCode::SUCCESS })
}

fn configuration(settings: &Settings) -> Configuration {
    let [url, url_file, table, state_dir, log_file] =
        [&options::DATABASE_URL, &options::DATABASE_URL_FILE, &options::TABLE, &options::STATE_DIR, &options::LOG_FILE]
            .map(|row| row.key);
    let origin = |key: &str| settings.origins.get(key).map_or_else(String::new, Origin::to_string);
    let is_given = |key: &str| settings.given.iter().any(|(given, _)| *given == key);
    let database = match &settings.database {
        _ if is_given(url_file) => origin(url_file),
        DatabaseTarget::Postgres(_) if !is_given(url) => "the PG* variables".to_owned(),
        DatabaseTarget::Postgres(_) | DatabaseTarget::Sqlite(_) => origin(url),
    };
    let place = |name, value: String, origin| Place { name, value, origin };
    let places = vec![
        place("database", settings.database.identity(), database),
        place("table", settings.table.clone(), origin(table)),
        place("state directory", settings.state_dir.display().to_string(), origin(state_dir)),
        place("log file", settings.log_file.display().to_string(), origin(log_file)),
    ];
    let is_place = |key: &str| [url, url_file, table, state_dir, log_file].contains(&key);
    let others = settings.given.iter().filter(|(key, _)| !is_place(key));
    Configuration {
        places,
        given: others.map(|(_, value)| value.clone()).collect(),
        homeless: settings.homeless.clone(),
    }
}

/// The lines about the database alone, without a rehearsal. Without `writes` the rights of a run are not judged: a role that may only
/// read is enough.
pub(super) fn database_lines(settings: &Settings, writes: bool) -> Vec<Check> {
    let mut lines = judge::judge_database(&database::database(settings, false));
    lines.retain(|line| writes || line.check != judge::RIGHTS);
    let line = |Line { check, state, detail, repair }: Line| Check {
        check: check.to_owned(),
        state: state.as_str().to_owned(),
        detail,
        repair,
    };
    lines.into_iter().map(line).collect()
}

fn as_object(line: &Line) -> Value {
    json!({"check": line.check, "state": line.state.as_str(), "detail": line.detail, "repair": line.repair})
}

/// `warning  log: /x cannot be written (repair: …)`
fn as_text(line: &Line) -> String {
    let Line { check, state, detail, repair } = line;
    let repair = repair.as_ref().map_or_else(String::new, |repair| format!(" (repair: {repair})"));
    let text = format!("{:<8} {check}: {detail}{repair}", state.as_str());
    format!("{}\n", output::printable(&text))
}
