//! The texts of `--help` that are not in the table of options.

pub(super) const USAGE: &str = "runwrap [OPTIONS] -- COMMAND [ARG]...\n       runwrap VERB [OPTIONS]";

pub(super) const AFTER: &str = "\
Each option with a variable is also a key of the configuration file (start_timeout = \"5s\").
A flag overrides a variable, a variable the file, the file the default.
A duration is a number and a unit: 500ms, 30s, 5m, 1h30m, 2days.

To keep the database URL secret, set RUNWRAP_DATABASE_URL_FILE, or database_url_file in the
configuration file, to the path of a file with it. PostgreSQL follows libpq: PGHOST, PGUSER,
PGPASSWORD, PGSSLMODE and the other variables, ~/.pgpass and pg_service.conf. SQLite also accepts
SQLAlchemy's sqlite:///RELATIVE and sqlite:////ABSOLUTE.

The environment of the command:
  RUNWRAP_RUN_ID     the id of this run
  RUNWRAP_RECORD_ID  the id of its record, if known before the start
  RUNWRAP_NAME       the name of this run
  RUNWRAP_REPORT     a file; each line appended to it reaches the record at the next heartbeat:
                     {\"metrics\": {\"loss\": 0.12}, \"model_path\": \"out.pt\", \"error\": \"…\"}
                     (or call `runwrap report`)

Exit status: that of the command; if a signal ended it, the same signal. Else
  124  --timeout ran out
  125  runwrap itself failed, or its usage was wrong; the command was not started
  126  the command could not be executed
  127  the command was not found

Examples:
  runwrap -- python train.py                      run it, recorded in SQLite
  runwrap -n churn --timeout 8h -- python train.py --epochs 3
  RUNWRAP_DATABASE_URL=postgres://ml@db/training runwrap -- torchrun train.py
  runwrap list                                    show the newest records";
