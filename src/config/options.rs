//! The table of options, one row an option. Flags, environment variables, keys of the file, defaults and help texts all
//! come from here and cannot disagree. Data only: `values` reads the values, `cli` turns rows into flags.

/// One option.
#[derive(Debug, PartialEq, Eq)]
pub struct OptionRow {
    /// The key in the configuration file, and the option's name in the code. The file may have `-` for `_`.
    pub key: &'static str,
    /// With its dashes.
    pub flag: Option<&'static str>,
    pub short: Option<char>,
    /// The environment variable.
    pub variable: Option<&'static str>,
    /// Whether the configuration file may have it.
    pub in_file: bool,
    pub kind: OptionKind,
    /// The value's placeholder in the help. Empty for a switch.
    pub value_name: &'static str,
    /// The default, read as if the user had given this text.
    pub default: Option<&'static str>,
    /// The help's description of a default that is computed at run time.
    pub computed_default: Option<&'static str>,
    /// Whether the verbs that open a database take it too, before and after the verb.
    pub in_verbs: bool,
    pub heading: &'static str,
    pub help: &'static str,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionKind {
    Text,
    Path,
    /// A number and a unit: `30s`.
    Duration,
    Bytes,
    /// A whole number.
    Count,
    /// On or off; the flag has no value.
    Switch,
    /// A word; the flag may stand without it.
    Choice,
    /// Text that must not appear in a message.
    Secret,
    /// Text that may be given more than once.
    Repeated,
}

const ROW: OptionRow = OptionRow {
    key: "",
    flag: None,
    short: None,
    variable: None,
    in_file: true,
    kind: OptionKind::Text,
    value_name: "",
    default: None,
    computed_default: None,
    in_verbs: false,
    heading: "The record",
    help: "",
};

const DATABASE_ROW: OptionRow = OptionRow { in_verbs: true, heading: "The database", ..ROW };
const TIME_ROW: OptionRow = OptionRow { kind: OptionKind::Duration, value_name: "DUR", heading: "Time limits", ..ROW };
const PLACES_ROW: OptionRow =
    OptionRow { in_verbs: true, heading: "Files and messages", kind: OptionKind::Path, ..ROW };

/// A constant for each row, and the list of all.
macro_rules! rows {
    ($($name:ident = $row:expr),* $(,)?) => {
        $(pub const $name: OptionRow = $row;)*

        /// Every row, in the order of the help.
        pub const OPTIONS: [&OptionRow; [$(stringify!($name)),*].len()] = [$(&$name),*];
    };
}

rows!(
    NAME = OptionRow {
        short: Some('n'),
        value_name: "NAME",
        computed_default: Some("the script's or program's name"),
        help: "What this run trains",
        ..ROW.named("name", "--name", "RUNWRAP_NAME")
    },
    MODEL_VERSION = OptionRow {
        value_name: "V",
        computed_default: Some("the next vN of the name"),
        help: "The version column of the record",
        ..ROW.named("model_version", "--model-version", "RUNWRAP_MODEL_VERSION")
    },
    RECORD_ID = OptionRow {
        key: "record_id",
        flag: Some("--record-id"),
        in_file: false,
        value_name: "ID",
        help: "Adopt a row that the application has already inserted, instead of inserting one",
        ..ROW
    },
    SET = OptionRow {
        key: "set",
        flag: Some("--set"),
        in_file: false,
        kind: OptionKind::Repeated,
        value_name: "COLUMN=VALUE",
        help: "A further column of the inserted row; may be repeated",
        ..ROW
    },
    TAG = OptionRow {
        kind: OptionKind::Repeated,
        value_name: "KEY[=VALUE]",
        help: "A label of the run; may be repeated. In the variable, separated by commas",
        ..ROW.named("tag", "--tag", "RUNWRAP_TAG")
    },
    JOB = OptionRow {
        value_name: "KEY",
        computed_default: Some("the Slurm job, with its array task"),
        help: "The job that the run is an attempt of: the runs of a job are numbered from 1",
        ..ROW.named("job", "--job", "RUNWRAP_JOB")
    },
    ONLY_RANK = OptionRow {
        value_name: "N",
        help: "Under srun, torchrun or mpirun, record only this rank: every other one becomes the bare command",
        ..ROW.named("only_rank", "--only-rank", "RUNWRAP_ONLY_RANK")
    },
    UNLESS_RUNNING = OptionRow {
        kind: OptionKind::Choice,
        value_name: "MODE",
        help: "Do not start while another run of this name has no end: exit 75, or with skip exit 0. MODE is fail, skip or \
               off. The database must answer",
        ..ROW.named("unless_running", "--unless-running", "RUNWRAP_UNLESS_RUNNING")
    },
    METRICS_FILE = OptionRow {
        kind: OptionKind::Path,
        value_name: "PATH",
        help: "A file to which the command writes a JSON object; read at each heartbeat and at the end",
        ..ROW.named("metrics_file", "--metrics-file", "RUNWRAP_METRICS_FILE")
    },
    MODEL_PATH = OptionRow {
        kind: OptionKind::Path,
        value_name: "PATH",
        help: "Path of the model that the command saves; recorded as an absolute path",
        ..ROW.named("model_path", "--model-path", "RUNWRAP_MODEL_PATH")
    },
    STDERR_TAIL = OptionRow {
        kind: OptionKind::Bytes,
        value_name: "BYTES",
        default: Some("4096"),
        help: "Bytes of the end of stderr that a failed run keeps in error_message, if stderr is a regular file",
        ..ROW.named("stderr_tail", "--stderr-tail", "RUNWRAP_STDERR_TAIL")
    },
    CURVES = OptionRow {
        kind: OptionKind::Count,
        value_name: "N",
        default: Some("64"),
        help: "How many of the reported metrics keep their history, the first ones; 0 keeps none",
        ..ROW.named("curves", "--curves", "RUNWRAP_CURVES")
    },
    DATABASE_URL = OptionRow {
        kind: OptionKind::Secret,
        value_name: "URL",
        computed_default: Some("sqlite:$XDG_DATA_HOME/runwrap/runwrap.db"),
        help: "postgres://…, postgresql://…, postgresql+driver://…, key=value pairs as for libpq, or sqlite:PATH",
        ..DATABASE_ROW.named("database_url", "--database-url", "RUNWRAP_DATABASE_URL")
    },
    DATABASE_URL_FILE = OptionRow {
        key: "database_url_file",
        variable: Some("RUNWRAP_DATABASE_URL_FILE"),
        kind: OptionKind::Path,
        ..DATABASE_ROW
    },
    TABLE = OptionRow {
        value_name: "NAME",
        default: Some("training_records"),
        help: "The table of the records: NAME or SCHEMA.NAME",
        ..DATABASE_ROW.named("table", "--table", "RUNWRAP_TABLE")
    },
    NO_MIGRATE = OptionRow {
        kind: OptionKind::Switch,
        help: "Never create or upgrade a table",
        ..DATABASE_ROW.named("no_migrate", "--no-migrate", "RUNWRAP_NO_MIGRATE")
    },
    REQUIRE_DATABASE = OptionRow {
        kind: OptionKind::Switch,
        in_verbs: false,
        help: "Exit 125 without starting the command if its record cannot be inserted, or not be ended in each way",
        ..DATABASE_ROW.named("require_database", "--require-database", "RUNWRAP_REQUIRE_DATABASE")
    },
    TIMEOUT = OptionRow {
        computed_default: Some("none"),
        help: "Send SIGTERM to the command after this time, and exit 124",
        ..TIME_ROW.named("timeout", "--timeout", "RUNWRAP_TIMEOUT")
    },
    KILL_AFTER = OptionRow {
        default: Some("30s"),
        help: "Send SIGKILL this long after the SIGTERM of --timeout; when given, also this long after a relayed \
               stop signal",
        ..TIME_ROW.named("kill_after", "--kill-after", "RUNWRAP_KILL_AFTER")
    },
    HEARTBEAT = OptionRow {
        default: Some("30s"),
        help: "Interval at which the record receives a sign of life and the reported metrics",
        ..TIME_ROW.named("heartbeat", "--heartbeat", "RUNWRAP_HEARTBEAT")
    },
    LEASE = OptionRow {
        default: Some("5m"),
        help: "Time after its last heartbeat at which a run may be presumed lost",
        ..TIME_ROW.named("lease", "--lease", "RUNWRAP_LEASE")
    },
    START_TIMEOUT = OptionRow {
        default: Some("5s"),
        in_verbs: true,
        help: "How long the start, or a verb, may wait for the database",
        ..TIME_ROW.named("start_timeout", "--start-timeout", "RUNWRAP_START_TIMEOUT")
    },
    FINISH_TIMEOUT = OptionRow {
        default: Some("30s"),
        help: "How long the exit may wait for the database",
        ..TIME_ROW.named("finish_timeout", "--finish-timeout", "RUNWRAP_FINISH_TIMEOUT")
    },
    LINGER = OptionRow {
        default: Some("24h"),
        help: "How long delivery goes on in the background after the exit if the database does not answer",
        ..TIME_ROW.named("linger", "--linger", "RUNWRAP_LINGER")
    },
    STATE_DIR = OptionRow {
        value_name: "DIR",
        computed_default: Some("$XDG_STATE_HOME/runwrap, ~/.local/state/runwrap"),
        help: "Directory of the journals, kept until the database has acknowledged them",
        ..PLACES_ROW.named("state_dir", "--state-dir", "RUNWRAP_STATE_DIR")
    },
    CONFIG = OptionRow {
        in_file: false,
        value_name: "FILE",
        computed_default: Some("$XDG_CONFIG_HOME/runwrap/config.toml"),
        help: "The configuration file; it must exist if this option names it",
        ..PLACES_ROW.named("config", "--config", "RUNWRAP_CONFIG")
    },
    LOG_FILE = OptionRow {
        value_name: "FILE",
        computed_default: Some("runwrap.log in the state directory"),
        help: "The log of each attempt on the database and of each recovery",
        ..PLACES_ROW.named("log_file", "--log-file", "RUNWRAP_LOG_FILE")
    },
    VERBOSE = OptionRow {
        short: Some('v'),
        kind: OptionKind::Switch,
        help: "Report progress on stderr, not only problems",
        ..PLACES_ROW.named("verbose", "--verbose", "RUNWRAP_VERBOSE")
    },
    QUIET = OptionRow {
        short: Some('q'),
        kind: OptionKind::Switch,
        help: "Report only errors on stderr; the log keeps the warnings",
        ..PLACES_ROW.named("quiet", "--quiet", "RUNWRAP_QUIET")
    },
);

impl OptionRow {
    const fn named(self, key: &'static str, flag: &'static str, variable: &'static str) -> Self {
        Self { key, flag: Some(flag), variable: Some(variable), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flag_and_variable_are_spelled_like_the_key() {
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
    fn rows_share_no_key_and_no_letter() {
        for (index, row) in OPTIONS.iter().enumerate() {
            for other in &OPTIONS[..index] {
                assert_ne!(row.key, other.key);
                assert!(row.short.is_none() || row.short != other.short);
            }
        }
    }
}
