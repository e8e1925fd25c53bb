//! The verbs, one file each, and their common parts: settings, the database, errors and exit statuses. A verb takes parsed
//! arguments and prints its result to stdout. Must not parse a command line: `cli` fills the [`Invocation`].

mod ask;
mod check;
mod context;
mod curves;
mod diff;
mod doctor;
mod error;
mod finalize;
mod invocation;
mod left;
mod list;
mod migrate;
mod note;
mod portrait;
mod recover;
mod repaired;
mod report;
mod run;
mod serve;
mod service;
mod show;
mod watch;

use std::io;
use std::process::ExitCode;

use crate::config::{self, Layer, Settings, Verbosity};
use crate::delivery::IN_ON_FINISH;
use crate::supervisor::EXIT_RUNWRAP;
use crate::{keeper, logging, output, sys};

pub use error::CommandError;
pub use invocation::{
    Action, CheckArgs, FinalizeArgs, Invocation, ListArgs, NoteArgs, RecoverArgs, ReportArgs, ServeArgs, ShowArgs,
    Since,
};
pub use list::sort_key;

pub use crate::output::{ColorChoice, Format};

/// With fewer free descriptors, no log is written: the signals, the witness and the trainer's exec need the others.
const LOG_DESCRIPTORS: usize = 6;

const UNCOVERED_HINT: &str = "use RUNWRAP_DATABASE_URL_FILE instead";

/// Executes `invocation`, and reports its error on stderr.
pub fn execute(invocation: Invocation) -> ExitCode {
    if matches!(invocation.action, Action::Run(_)) {
        sys::threads::restart_with_blocked_signals();
    }
    // Before the log is written.
    sys::process::survive_file_size_limit();
    dispatch(invocation).unwrap_or_else(|error| fail(&error))
}

/// Prints `text` to stdout.
pub fn print(text: &str) -> ExitCode {
    output::print(text).map_or_else(|error| fail(&CommandError::Stdout(error)), |()| ExitCode::SUCCESS)
}

/// Reports an error of the command line on stderr.
pub fn fail_usage(message: &str, hint: &str) -> ExitCode {
    output::report_error(message, Some(hint));
    ExitCode::from(EXIT_RUNWRAP)
}

fn fail(error: &CommandError) -> ExitCode {
    output::report_error(&error.to_string(), error.hint());
    ExitCode::from(error.exit_status())
}

fn dispatch(invocation: Invocation) -> Result<ExitCode, CommandError> {
    let Invocation { flags, action } = invocation;
    match action {
        // These two must work even if the configuration has become invalid during the run: they do not read it.
        Action::Keeper(arguments) => keeper::run(&arguments)?,
        Action::Report(args) => report::report(&args)?,
        Action::Run(command) => {
            let (settings, covered) = load(flags)?;
            if run::is_other_rank(&settings) {
                return Ok(sys::process::end_as(run::become_bare(&command)));
            }
            open_log(&settings, covered);
            return Ok(sys::process::end_as(run::run(&settings, &command)));
        }
        Action::List(args) => list::list(&settings(flags)?, args)?,
        Action::Check(args) => return check::check(&settings(flags)?, &args),
        Action::Doctor { json } => return doctor::doctor(&settings_without_log(flags)?, json),
        Action::Recover(args) => recover::recover(&settings(flags)?, &args)?,
        Action::Serve(args) => serve::serve(&settings(flags)?, &args)?,
        Action::Finalize(args) => finalize::finalize(&settings(flags)?, &args)?,
        Action::Diff { ids, json } => diff::diff(&settings(flags)?, &ids, json)?,
        Action::Show(args) => show::show(&settings(flags)?, &args)?,
        Action::Note(args) => note::note(&settings(flags)?, &args)?,
        Action::Migrate { print } => migrate::migrate(&settings(flags)?, print)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Loads the settings, and opens the log.
fn settings(flags: Layer) -> Result<Settings, CommandError> {
    let (settings, covered) = load(flags)?;
    open_log(&settings, covered);
    Ok(settings)
}

/// As [`settings`], for a verb whose output has the warnings. The log file may be in the state directory, which stays as it is.
fn settings_without_log(flags: Layer) -> Result<Settings, CommandError> {
    let (settings, covered) = load(flags)?;
    let verbosity = if settings.verbosity == Verbosity::Normal { Verbosity::Quiet } else { settings.verbosity };
    // It fails only for a file.
    logging::init(None, verbosity, true).ok();
    if let Err(error) = covered {
        output::report_error(&uncovered(&error), Some(UNCOVERED_HINT));
    }
    Ok(settings)
}

/// Loads the settings. The second result is that of covering the URL of the database in the command line.
fn load(flags: Layer) -> Result<(Settings, io::Result<()>), CommandError> {
    let typed: Vec<_> = flags.all(&config::options::DATABASE_URL).iter().map(|raw| raw.text.clone()).collect();
    // Before anything else: a run may go on for days, and `ps` shows its command line to everybody.
    let covered = if typed.is_empty() { Ok(()) } else { sys::arguments::redact(&typed) };
    let mut settings = config::load(flags, &config::user_account, &sys::fs::read_small)?;
    if std::env::var_os(IN_ON_FINISH).is_some() {
        settings.on_finish = None;
    }
    Ok((settings, covered))
}

fn open_log(settings: &Settings, covered: io::Result<()>) {
    // Otherwise the log would take the last descriptor.
    let has_room = sys::process::free_descriptors(LOG_DESCRIPTORS) >= LOG_DESCRIPTORS;
    let log_file = Some(settings.log_file.as_path()).filter(|_| has_room);
    if let Err(error) = logging::init(log_file, settings.verbosity, true) {
        let path = settings.log_file.display();
        if settings.origins.get(config::options::LOG_FILE.key).is_none_or(|origin| *origin == config::Origin::Default) {
            // The journal reports a problem of the state directory.
            log::info!(event = "no_log_file"; "cannot write the log file {path}: {error}");
        } else {
            let hint = "name another file with --log-file, or leave it out; the run goes on without a log";
            log::warn!(event = "no_log_file", hint; "cannot write the log file {path}: {error}");
        }
    }
    if let Err(error) = covered {
        log::warn!(event = "url_not_covered", hint = UNCOVERED_HINT; "{}", uncovered(&error));
    }
}

fn uncovered(error: &io::Error) -> String {
    format!("`ps` shows the value of --database-url: {error}")
}
