//! The table of options: one row an option. The flags, the environment variables, the keys of the file, the
//! defaults and the help text all come from here, so none of them can forget another. Data only: `values` reads
//! what a user gave for a row, `cli` turns rows into flags.

/// One option, in all the places where it can be given.
#[derive(Debug)]
pub struct OptionRow {
    /// The key in the configuration file, and the name of the option everywhere inside. `-` may stand for `_`.
    pub key: &'static str,
    /// The flag without its dashes; `None` where there is no flag.
    pub long: Option<&'static str>,
    pub short: Option<char>,
    /// The environment variable; `None` where a variable would make no sense.
    pub variable: Option<&'static str>,
    /// Whether the configuration file may have it.
    pub in_file: bool,
    pub kind: Kind,
    /// What stands for the value in the help. Empty for a switch.
    pub value_name: &'static str,
    pub fallback: Fallback,
    pub verbs: Verbs,
    pub heading: &'static str,
    pub help: &'static str,
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
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
    long: None,
    short: None,
    variable: None,
    in_file: true,
    kind: Kind::Text,
    value_name: "",
    fallback: Fallback::Nothing,
    verbs: Verbs::Run,
    heading: RECORD,
    help: "",
};

pub const NAME: OptionRow = OptionRow {
    key: "name",
    long: Some("name"),
    short: Some('n'),
    variable: Some("RUNWRAP_NAME"),
    value_name: "NAME",
    fallback: Fallback::Described("the script's or program's name"),
    help: "What this run trains",
    ..ROW
};

pub const MODEL_VERSION: OptionRow = OptionRow {
    key: "model_version",
    long: Some("model-version"),
    variable: Some("RUNWRAP_MODEL_VERSION"),
    value_name: "V",
    fallback: Fallback::Described("the next vN of the name"),
    help: "The version column of the record",
    ..ROW
};

pub const RECORD_ID: OptionRow = OptionRow {
    key: "record_id",
    long: Some("record-id"),
    in_file: false,
    value_name: "ID",
    help: "Adopt a row that the application has already inserted, instead of inserting one",
    ..ROW
};

pub const SET: OptionRow = OptionRow {
    key: "set",
    long: Some("set"),
    in_file: false,
    kind: Kind::Repeated,
    value_name: "COLUMN=VALUE",
    help: "A further column of the inserted row; may be repeated",
    ..ROW
};

pub const METRICS_FILE: OptionRow = OptionRow {
    key: "metrics_file",
    long: Some("metrics-file"),
    variable: Some("RUNWRAP_METRICS_FILE"),
    kind: Kind::Path,
    value_name: "PATH",
    help: "A JSON object that the trainer writes; read at each heartbeat and at the end",
    ..ROW
};

pub const MODEL_PATH: OptionRow = OptionRow {
    key: "model_path",
    long: Some("model-path"),
    variable: Some("RUNWRAP_MODEL_PATH"),
    kind: Kind::Path,
    value_name: "PATH",
    help: "Where the trainer saves its model; recorded as an absolute path",
    ..ROW
};

pub const STDERR_TAIL: OptionRow = OptionRow {
    key: "stderr_tail",
    long: Some("stderr-tail"),
    variable: Some("RUNWRAP_STDERR_TAIL"),
    kind: Kind::Bytes,
    value_name: "BYTES",
    fallback: Fallback::Text("4096"),
    help: "How much of the end of stderr a failed run keeps in error_message, where stderr is a regular file",
    ..ROW
};

pub const DATABASE_URL: OptionRow = OptionRow {
    key: "database_url",
    long: Some("database-url"),
    variable: Some("RUNWRAP_DATABASE_URL"),
    kind: Kind::Secret,
    value_name: "URL",
    fallback: Fallback::Described("sqlite:$XDG_DATA_HOME/runwrap/runwrap.db"),
    verbs: Verbs::Every,
    heading: DATABASE,
    help: "postgres://…, postgresql://…, postgresql+driver://…, key=value pairs as for libpq, or sqlite:PATH",
    ..ROW
};

pub const DATABASE_URL_FILE: OptionRow = OptionRow {
    key: "database_url_file",
    variable: Some("RUNWRAP_DATABASE_URL_FILE"),
    kind: Kind::Path,
    verbs: Verbs::Every,
    heading: DATABASE,
    ..ROW
};

pub const TABLE: OptionRow = OptionRow {
    key: "table",
    long: Some("table"),
    variable: Some("RUNWRAP_TABLE"),
    value_name: "NAME",
    fallback: Fallback::Text("training_records"),
    verbs: Verbs::Every,
    heading: DATABASE,
    help: "The table of the records; SCHEMA.NAME to name its schema",
    ..ROW
};

pub const NO_MIGRATE: OptionRow = OptionRow {
    key: "no_migrate",
    long: Some("no-migrate"),
    variable: Some("RUNWRAP_NO_MIGRATE"),
    kind: Kind::Switch,
    verbs: Verbs::Every,
    heading: DATABASE,
    help: "Never make or upgrade a table",
    ..ROW
};

pub const REQUIRE_DATABASE: OptionRow = OptionRow {
    key: "require_database",
    long: Some("require-database"),
    variable: Some("RUNWRAP_REQUIRE_DATABASE"),
    kind: Kind::Switch,
    heading: DATABASE,
    help: "Do not start the command if its record cannot be inserted: exit 125",
    ..ROW
};

pub const TIMEOUT: OptionRow = OptionRow {
    key: "timeout",
    long: Some("timeout"),
    variable: Some("RUNWRAP_TIMEOUT"),
    kind: Kind::Duration,
    value_name: "DUR",
    fallback: Fallback::Described("none"),
    heading: TIME,
    help: "Send SIGTERM to the command after this time, and exit 124",
    ..ROW
};

pub const KILL_AFTER: OptionRow = OptionRow {
    key: "kill_after",
    long: Some("kill-after"),
    variable: Some("RUNWRAP_KILL_AFTER"),
    kind: Kind::Duration,
    value_name: "DUR",
    fallback: Fallback::Text("30s"),
    heading: TIME,
    help: "Send SIGKILL this long after the SIGTERM of --timeout; when given, also this long after a relayed stop signal",
    ..ROW
};

pub const HEARTBEAT: OptionRow = OptionRow {
    key: "heartbeat",
    long: Some("heartbeat"),
    variable: Some("RUNWRAP_HEARTBEAT"),
    kind: Kind::Duration,
    value_name: "DUR",
    fallback: Fallback::Text("30s"),
    heading: TIME,
    help: "How often the record shows a sign of life and what the command has reported",
    ..ROW
};

pub const LEASE: OptionRow = OptionRow {
    key: "lease",
    long: Some("lease"),
    variable: Some("RUNWRAP_LEASE"),
    kind: Kind::Duration,
    value_name: "DUR",
    fallback: Fallback::Text("5m"),
    heading: TIME,
    help: "How long after its last heartbeat a run of a vanished host may be presumed lost",
    ..ROW
};

pub const START_TIMEOUT: OptionRow = OptionRow {
    key: "start_timeout",
    long: Some("start-timeout"),
    variable: Some("RUNWRAP_START_TIMEOUT"),
    kind: Kind::Duration,
    value_name: "DUR",
    fallback: Fallback::Text("5s"),
    verbs: Verbs::Every,
    heading: TIME,
    help: "How long the start, or a verb that reads, may wait for the database",
    ..ROW
};

pub const FINISH_TIMEOUT: OptionRow = OptionRow {
    key: "finish_timeout",
    long: Some("finish-timeout"),
    variable: Some("RUNWRAP_FINISH_TIMEOUT"),
    kind: Kind::Duration,
    value_name: "DUR",
    fallback: Fallback::Text("30s"),
    heading: TIME,
    help: "How long the exit may wait for the database",
    ..ROW
};

pub const LINGER: OptionRow = OptionRow {
    key: "linger",
    long: Some("linger"),
    variable: Some("RUNWRAP_LINGER"),
    kind: Kind::Duration,
    value_name: "DUR",
    fallback: Fallback::Text("24h"),
    heading: TIME,
    help: "How long delivery goes on in the background when the database did not answer in time",
    ..ROW
};

pub const STATE_DIR: OptionRow = OptionRow {
    key: "state_dir",
    long: Some("state-dir"),
    variable: Some("RUNWRAP_STATE_DIR"),
    kind: Kind::Path,
    value_name: "DIR",
    fallback: Fallback::Described("$XDG_STATE_HOME/runwrap, ~/.local/state/runwrap"),
    verbs: Verbs::Every,
    heading: PLACES,
    help: "Where the journals are kept until the database has them",
    ..ROW
};

pub const CONFIG: OptionRow = OptionRow {
    key: "config",
    long: Some("config"),
    variable: Some("RUNWRAP_CONFIG"),
    in_file: false,
    kind: Kind::Path,
    value_name: "FILE",
    fallback: Fallback::Described("$XDG_CONFIG_HOME/runwrap/config.toml"),
    verbs: Verbs::Every,
    heading: PLACES,
    help: "The configuration file; one that is named must exist",
    ..ROW
};

pub const LOG_FILE: OptionRow = OptionRow {
    key: "log_file",
    long: Some("log-file"),
    variable: Some("RUNWRAP_LOG_FILE"),
    kind: Kind::Path,
    value_name: "FILE",
    fallback: Fallback::Described("runwrap.log in the state directory"),
    verbs: Verbs::Every,
    heading: PLACES,
    help: "Where each attempt on the database and each recovery is logged",
    ..ROW
};

pub const VERBOSE: OptionRow = OptionRow {
    key: "verbose",
    long: Some("verbose"),
    short: Some('v'),
    variable: Some("RUNWRAP_VERBOSE"),
    kind: Kind::Switch,
    verbs: Verbs::Every,
    heading: PLACES,
    help: "Say on stderr what happens, not only what goes wrong",
    ..ROW
};

pub const QUIET: OptionRow = OptionRow {
    key: "quiet",
    long: Some("quiet"),
    short: Some('q'),
    variable: Some("RUNWRAP_QUIET"),
    kind: Kind::Switch,
    verbs: Verbs::Every,
    heading: PLACES,
    help: "Keep warnings out of stderr; they are in the log",
    ..ROW
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
            if let Some(long) = row.long {
                assert_eq!(long, row.key.replace('_', "-"));
                assert!(!row.help.is_empty(), "{}", row.key);
            }
            if let Some(variable) = row.variable {
                assert_eq!(variable, format!("RUNWRAP_{}", row.key.to_uppercase()));
            }
            assert_eq!(row.value_name.is_empty(), row.kind == Kind::Switch || row.long.is_none(), "{}", row.key);
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
