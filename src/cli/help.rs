//! The texts of `--help` and of the manual page that are not in the table of options.

pub(super) const USAGE: &str = "runwrap [OPTIONS] -- COMMAND [ARG]...\n       runwrap VERB [OPTIONS]";

/// Rows of two columns; the second may have several lines.
pub(super) type Rows = &'static [(&'static str, &'static str)];

/// How options get their values. Paragraphs, their lines wrapped.
pub(super) const VALUES: [&str; 2] = [
    "\
Each option with a variable is also a key of the configuration file (start_timeout = \"5s\").
A flag overrides a variable, a variable the file, the file the default.
A duration is a number and a unit: 500ms, 30s, 5m, 1h30m, 2days.",
    "\
To keep the database URL secret, set RUNWRAP_DATABASE_URL_FILE, or database_url_file in the
configuration file, to the path of a file with it. PostgreSQL follows libpq: PGHOST, PGUSER,
PGPASSWORD, PGSSLMODE and the other variables, ~/.pgpass and pg_service.conf. SQLite also accepts
SQLAlchemy's sqlite:///RELATIVE and sqlite:////ABSOLUTE.",
];

pub(super) const TRAINER_VARIABLES: Rows = &[
    ("RUNWRAP_RUN_ID", "the id of this run"),
    ("RUNWRAP_RECORD_ID", "the id of its record, if known before the start"),
    ("RUNWRAP_NAME", "the name of this run"),
    (
        "RUNWRAP_REPORT",
        "a file; each line appended to it reaches the record at the next heartbeat:\n\
         {\"metrics\": {\"loss\": 0.12}, \"model_path\": \"out.pt\", \"error\": \"…\"}\n\
         (or call `runwrap report`)",
    ),
];

pub(super) const STATUSES: Rows = &[
    ("75", "--unless-running: another run of the name has no end; the command was not started"),
    ("124", "--timeout ran out"),
    ("125", "runwrap itself failed, or its usage was wrong; the command was not started"),
    ("126", "the command could not be executed"),
    ("127", "the command was not found"),
];

pub(super) const EXAMPLES: Rows = &[
    ("runwrap -- python train.py", "run it, recorded in SQLite"),
    ("runwrap -n churn --timeout 8h -- python train.py --epochs 3", ""),
    ("RUNWRAP_DATABASE_URL=postgres://ml@db/training runwrap -- torchrun train.py", ""),
    ("runwrap list", "show the newest records"),
];

/// The end of `runwrap --help`.
pub(super) fn after() -> String {
    let [sources, secrets] = VALUES;
    let (variables, statuses, examples) = (table(TRAINER_VARIABLES, 17), table(STATUSES, 3), table(EXAMPLES, 46));
    format!(
        "{sources}\n\n{secrets}\n\nThe environment of the command:{variables}\n\n\
         Exit status: that of the command; if a signal ended it, the same signal. Else{statuses}\n\nExamples:{examples}"
    )
}

/// `rows` below each other, the second column after `width` characters.
fn table(rows: Rows, width: usize) -> String {
    let indent = format!("\n{}", " ".repeat(width + 4));
    let lines = rows.iter().map(|(left, right)| format!("  {left:<width$}  {}", right.replace('\n', &indent)));
    lines.fold(String::new(), |table, line| table + "\n" + line.trim_end())
}
