//! The table of options: one row an option. The flags, the environment variables, the keys of the file, the
//! defaults and the help text all come from here, so none of them can forget another. Data only: `values` reads
//! what a user gave for a row, `cli` turns rows into flags.

/// One option, in all the places where it can be given.
#[derive(Debug)]
pub struct OptionRow {
    /// The key in the configuration file, and the name of the option everywhere inside. `-` may stand for `_`.
    pub key: &'static str,
    /// With its dashes; `None` where there is no flag.
    pub flag: Option<&'static str>,
    pub short: Option<char>,
    /// The environment variable; `None` where a variable would make no sense.
    pub variable: Option<&'static str>,
    /// Whether the configuration file may have it.
    pub in_file: bool,
    pub kind: OptionKind,
    /// What stands for the value in the help. Empty for a switch.
    pub value_name: &'static str,
    pub fallback: Fallback,
    pub verbs: Verbs,
    pub heading: &'static str,
    pub help: &'static str,
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionKind {
    Text,
    Path,
    /// A number and a unit: `30s`.
    Duration,
    Bytes,
    /// On or off. As a flag it has no value.
    Switch,
    /// Text that no message may show.
    Secret,
    /// Text that may be given more than once.
    Repeated,
}

/// What holds where nobody gave a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Nothing, and nothing to show.
    Nothing,
    /// This text, read as if a user had given it.
    Text(&'static str),
    /// Something found out at the time; the help describes it so.
    Described(&'static str),
}

/// Which verbs take an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbs {
    /// Only a run: `runwrap [OPTIONS] -- COMMAND`.
    Run,
    /// Also the verbs that read a database, before and after the verb.
    Every,
}

pub const RECORD: &str = "The record";
pub const DATABASE: &str = "The database";
pub const TIME: &str = "Time limits";
pub const PLACES: &str = "Files and messages";

const ROW: OptionRow = OptionRow {
    key: "",
    flag: None,
    short: None,
    variable: None,
    in_file: true,
    kind: OptionKind::Text,
    value_name: "",
    fallback: Fallback::Nothing,
    verbs: Verbs::Run,
    heading: RECORD,
    help: "",
};

const DATABASE_ROW: OptionRow = OptionRow { verbs: Verbs::Every, heading: DATABASE, ..ROW };
const TIME_ROW: OptionRow = OptionRow { kind: OptionKind::Duration, value_name: "DUR", heading: TIME, ..ROW };
const PLACES_ROW: OptionRow = OptionRow { verbs: Verbs::Every, heading: PLACES, kind: OptionKind::Path, ..ROW };

pub const NAME: OptionRow = OptionRow {
    key: "name",
    flag: Some("--name"),
    short: Some('n'),
    variable: Some("RUNWRAP_NAME"),
    value_name: "NAME",
    fallback: Fallback::Described("the script's or program's name"),
    help: "What this run trains",
    ..ROW
};

pub const MODEL_VERSION: OptionRow = OptionRow {
    key: "model_version",
    flag: Some("--model-version"),
    variable: Some("RUNWRAP_MODEL_VERSION"),
    value_name: "V",
    fallback: Fallback::Described("the next vN of the name"),
    help: "The version column of the record",
    ..ROW
};

pub const RECORD_ID: OptionRow = OptionRow {
    key: "record_id",
    flag: Some("--record-id"),
    in_file: false,
    value_name: "ID",
    help: "Adopt a row that the application has already inserted, instead of inserting one",
    ..ROW
};

pub const SET: OptionRow = OptionRow {
    key: "set",
    flag: Some("--set"),
    in_file: false,
    kind: OptionKind::Repeated,
    value_name: "COLUMN=VALUE",
    help: "A further column of the inserted row; may be repeated",
    ..ROW
};

pub const METRICS_FILE: OptionRow = OptionRow {
    key: "metrics_file",
    flag: Some("--metrics-file"),
    variable: Some("RUNWRAP_METRICS_FILE"),
    kind: OptionKind::Path,
    value_name: "PATH",
    help: "A JSON object that the trainer writes; read at each heartbeat and at the end",
    ..ROW
};

pub const MODEL_PATH: OptionRow = OptionRow {
    key: "model_path",
    flag: Some("--model-path"),
    variable: Some("RUNWRAP_MODEL_PATH"),
    kind: OptionKind::Path,
    value_name: "PATH",
    help: "Where the trainer saves its model; recorded as an absolute path",
    ..ROW
};

pub const STDERR_TAIL: OptionRow = OptionRow {
    key: "stderr_tail",
    flag: Some("--stderr-tail"),
    variable: Some("RUNWRAP_STDERR_TAIL"),
    kind: OptionKind::Bytes,
    value_name: "BYTES",
    fallback: Fallback::Text("4096"),
    help: "How much of the end of stderr a failed run keeps in error_message, where stderr is a regular file",
    ..ROW
};

pub const DATABASE_URL: OptionRow = OptionRow {
    key: "database_url",
    flag: Some("--database-url"),
    variable: Some("RUNWRAP_DATABASE_URL"),
    kind: OptionKind::Secret,
    value_name: "URL",
    fallback: Fallback::Described("sqlite:$XDG_DATA_HOME/runwrap/runwrap.db"),
    help: "postgres://…, postgresql://…, postgresql+driver://…, key=value pairs as for libpq, or sqlite:PATH",
    ..DATABASE_ROW
};

pub const DATABASE_URL_FILE: OptionRow = OptionRow {
    key: "database_url_file",
    variable: Some("RUNWRAP_DATABASE_URL_FILE"),
    kind: OptionKind::Path,
    ..DATABASE_ROW
};

pub const TABLE: OptionRow = OptionRow {
    key: "table",
    flag: Some("--table"),
    variable: Some("RUNWRAP_TABLE"),
    value_name: "NAME",
    fallback: Fallback::Text("training_records"),
    help: "The table of the records; SCHEMA.NAME to name its schema",
    ..DATABASE_ROW
};

pub const NO_MIGRATE: OptionRow = OptionRow {
    key: "no_migrate",
    flag: Some("--no-migrate"),
    variable: Some("RUNWRAP_NO_MIGRATE"),
    kind: OptionKind::Switch,
    help: "Never make or upgrade a table",
    ..DATABASE_ROW
};

pub const REQUIRE_DATABASE: OptionRow = OptionRow {
    key: "require_database",
    flag: Some("--require-database"),
    variable: Some("RUNWRAP_REQUIRE_DATABASE"),
    kind: OptionKind::Switch,
    heading: DATABASE,
    help: "Do not start the command if its record cannot be inserted: exit 125",
    ..ROW
};

pub const TIMEOUT: OptionRow = OptionRow {
    key: "timeout",
    flag: Some("--timeout"),
    variable: Some("RUNWRAP_TIMEOUT"),
    fallback: Fallback::Described("none"),
    help: "Send SIGTERM to the command after this time, and exit 124",
    ..TIME_ROW
};

pub const KILL_AFTER: OptionRow = OptionRow {
    key: "kill_after",
    flag: Some("--kill-after"),
    variable: Some("RUNWRAP_KILL_AFTER"),
    fallback: Fallback::Text("30s"),
    help: "Send SIGKILL this long after the SIGTERM of --timeout; when given, also this long after a relayed stop signal",
    ..TIME_ROW
};

pub const HEARTBEAT: OptionRow = OptionRow {
    key: "heartbeat",
    flag: Some("--heartbeat"),
    variable: Some("RUNWRAP_HEARTBEAT"),
    fallback: Fallback::Text("30s"),
    help: "How often the record shows a sign of life and what the command has reported",
    ..TIME_ROW
};

pub const LEASE: OptionRow = OptionRow {
    key: "lease",
    flag: Some("--lease"),
    variable: Some("RUNWRAP_LEASE"),
    fallback: Fallback::Text("5m"),
    help: "How long after its last heartbeat a run of a vanished host may be presumed lost",
    ..TIME_ROW
};

pub const START_TIMEOUT: OptionRow = OptionRow {
    key: "start_timeout",
    flag: Some("--start-timeout"),
    variable: Some("RUNWRAP_START_TIMEOUT"),
    fallback: Fallback::Text("5s"),
    verbs: Verbs::Every,
    help: "How long the start, or a verb that reads, may wait for the database",
    ..TIME_ROW
};

pub const FINISH_TIMEOUT: OptionRow = OptionRow {
    key: "finish_timeout",
    flag: Some("--finish-timeout"),
    variable: Some("RUNWRAP_FINISH_TIMEOUT"),
    fallback: Fallback::Text("30s"),
    help: "How long the exit may wait for the database",
    ..TIME_ROW
};

pub const LINGER: OptionRow = OptionRow {
    key: "linger",
    flag: Some("--linger"),
    variable: Some("RUNWRAP_LINGER"),
    fallback: Fallback::Text("24h"),
    help: "How long delivery goes on in the background when the database did not answer in time",
    ..TIME_ROW
};

pub const STATE_DIR: OptionRow = OptionRow {
    key: "state_dir",
    flag: Some("--state-dir"),
    variable: Some("RUNWRAP_STATE_DIR"),
    value_name: "DIR",
    fallback: Fallback::Described("$XDG_STATE_HOME/runwrap, ~/.local/state/runwrap"),
    help: "Where the journals are kept until the database has them",
    ..PLACES_ROW
};

pub const CONFIG: OptionRow = OptionRow {
    key: "config",
    flag: Some("--config"),
    variable: Some("RUNWRAP_CONFIG"),
    in_file: false,
    value_name: "FILE",
    fallback: Fallback::Described("$XDG_CONFIG_HOME/runwrap/config.toml"),
    help: "The configuration file; one that is named must exist",
    ..PLACES_ROW
};

pub const LOG_FILE: OptionRow = OptionRow {
    key: "log_file",
    flag: Some("--log-file"),
    variable: Some("RUNWRAP_LOG_FILE"),
    value_name: "FILE",
    fallback: Fallback::Described("runwrap.log in the state directory"),
    help: "Where each attempt on the database and each recovery is logged",
    ..PLACES_ROW
};

pub const VERBOSE: OptionRow = OptionRow {
    key: "verbose",
    flag: Some("--verbose"),
    short: Some('v'),
    variable: Some("RUNWRAP_VERBOSE"),
    kind: OptionKind::Switch,
    help: "Say on stderr what happens, not only what goes wrong",
    ..PLACES_ROW
};

pub const QUIET: OptionRow = OptionRow {
    key: "quiet",
    flag: Some("--quiet"),
    short: Some('q'),
    variable: Some("RUNWRAP_QUIET"),
    kind: OptionKind::Switch,
    help: "Keep warnings out of stderr; they are in the log",
    ..PLACES_ROW
};

/// Every row, in the order of the help.
pub const OPTIONS: [&OptionRow; 24] = [
    &NAME,
    &MODEL_VERSION,
    &RECORD_ID,
    &SET,
    &METRICS_FILE,
    &MODEL_PATH,
    &STDERR_TAIL,
    &DATABASE_URL,
    &DATABASE_URL_FILE,
    &TABLE,
    &NO_MIGRATE,
    &REQUIRE_DATABASE,
    &TIMEOUT,
    &KILL_AFTER,
    &HEARTBEAT,
    &LEASE,
    &START_TIMEOUT,
    &FINISH_TIMEOUT,
    &LINGER,
    &STATE_DIR,
    &CONFIG,
    &LOG_FILE,
    &VERBOSE,
    &QUIET,
];

impl Fallback {
    /// The default as the help shows it; `None` where there is none to show.
    #[must_use]
    pub const fn shown(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Text(text) | Self::Described(text) => Some(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flag_and_variable_are_the_key_in_other_letters() {
        for row in OPTIONS {
            if let Some(flag) = row.flag {
                assert_eq!(flag, format!("--{}", row.key.replace('_', "-")));
                assert!(!row.help.is_empty(), "{}", row.key);
            }
            if let Some(variable) = row.variable {
                assert_eq!(variable, format!("RUNWRAP_{}", row.key.to_uppercase()));
            }
            assert_eq!(row.value_name.is_empty(), row.kind == OptionKind::Switch || row.flag.is_none(), "{}", row.key);
        }
    }

    #[test]
    fn no_two_rows_share_a_key_or_a_letter() {
        for (index, row) in OPTIONS.iter().enumerate() {
            for other in &OPTIONS[..index] {
                assert_ne!(row.key, other.key);
                assert!(row.short.is_none() || row.short != other.short);
            }
        }
    }
}
