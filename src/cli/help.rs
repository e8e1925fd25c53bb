//! The words of `--help` that do not stand in the table of options. Text only.

use std::fmt::Write;

use crate::config::options::OptionRow;

pub(super) const USAGE: &str = "runwrap [OPTIONS] -- COMMAND [ARG]...\n       runwrap VERB [OPTIONS]";

pub(super) const AFTER: &str = "\
Each option with a variable is also a key of the configuration file (start_timeout = \"5s\").
A flag counts before a variable, a variable before the file, the file before the default.
A duration is a number and a unit: 500ms, 30s, 5m, 1h30m, 2days.

The database URL of a secret: RUNWRAP_DATABASE_URL_FILE, or database_url_file in the configuration
file, names a file that holds it. libpq's variables (PGHOST, PGUSER, PGPASSWORD, PGSSLMODE, …),
~/.pgpass and pg_service.conf are honoured. SQLAlchemy's sqlite:///RELATIVE and sqlite:////ABSOLUTE
are understood, too.

The command finds in its environment:
  RUNWRAP_RUN_ID     the id of this run
  RUNWRAP_RECORD_ID  the id of its record, where it is known before the start
  RUNWRAP_NAME       what this run trains
  RUNWRAP_REPORT     a file; each line appended to it reaches the record at the next heartbeat:
                     {\"metrics\": {\"loss\": 0.12}, \"model_path\": \"out.pt\", \"error\": \"…\"}
                     (or call `runwrap report`)

Exit status: the command's own; ended by a signal, the same signal. Else
  124  the time limit ran out
  125  runwrap itself failed or was misused; the command was not started
  126  the command could not be executed
  127  the command was not found

Examples:
  runwrap -- python train.py                      run it, recorded in SQLite
  runwrap -n churn --timeout 8h -- python train.py --epochs 3
  RUNWRAP_DATABASE_URL=postgres://ml@db/training runwrap -- torchrun train.py
  runwrap list                                    what ran, and how it ended";

/// What an option does, its default and its variable.
pub(super) fn of_row(row: &OptionRow) -> String {
    let mut text = row.help.to_owned();
    let default = row.default.shown().map(|default| format!("default: {default}"));
    let variable = row.variable.map(|variable| format!("env:{variable}"));
    for note in [default, variable].into_iter().flatten() {
        // Writing to a String cannot fail.
        write!(text, " [{note}]").ok();
    }
    text
}
