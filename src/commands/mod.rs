//! The verbs, one file each, and what they share: how settings are made, how an error is told and which exit status
//! it gives. A verb takes values that are read already, does one thing and says so on stdout.
//! Called by `main`; `cli` fills the [`Invocation`].

mod ask;
mod check;
mod context;
mod error;
mod finalize;
mod invocation;
mod keeper;
mod list;
mod migrate;
mod recover;
mod repaired;
mod report;
mod run;
mod service;
mod show;
mod undelivered;

use std::process::ExitCode;

use crate::config::{self, Layer, Settings, UserAccount};
use crate::store::Filter;
use crate::supervisor::EXIT_RUNWRAP;
use crate::{logging, output, sys};

pub use error::CommandError;
pub use invocation::{
    CheckArgs, Command, FinalizeArgs, Invocation, ListArgs, MigrateArgs, RecoverArgs, ReportArgs, ShowArgs,
};

/// Does what was typed, and says what went wrong with it.
#[must_use]
pub fn perform(invocation: Invocation) -> ExitCode {
    dispatch(invocation).unwrap_or_else(|error| fail(&error))
}

/// A text that was asked for, to stdout.
#[must_use]
pub fn print(text: &str) -> ExitCode {
    match output::print(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&CommandError::Stdout(error)),
    }
}

/// A misuse of the command line, to stderr.
#[must_use]
pub fn refuse(message: &str, hint: &str) -> ExitCode {
    output::complain(message, Some(hint));
    ExitCode::from(EXIT_RUNWRAP)
}

fn fail(error: &CommandError) -> ExitCode {
    output::complain(&error.to_string(), error.hint());
    ExitCode::from(error.exit_status())
}

fn dispatch(invocation: Invocation) -> Result<ExitCode, CommandError> {
    let Invocation { flags, action } = invocation;
    match action {
        // These two read no configuration: they must work inside a run whose configuration was broken meanwhile.
        Command::Keeper { arguments } => keeper::keep(&arguments)?,
        Command::Report(args) => report::report(&args)?,
        Command::Run { command } => return Ok(sys::process::end_as(run::run(&settings(flags)?, &command))),
        Command::List(ListArgs { status, name, limit, json }) => {
            list::list(&settings(flags)?, &Filter { status, name, limit }, json)?;
        }
        Command::Check(args) => return check::check(&settings(flags)?, &args),
        Command::Recover(args) => recover::recover(&settings(flags)?, &args)?,
        Command::Finalize(args) => finalize::finalize(&settings(flags)?, &args)?,
        Command::Show(ShowArgs { id, json }) => show::show(&settings(flags)?, &id, json)?,
        Command::Migrate(MigrateArgs { print }) => migrate::migrate(&settings(flags)?, print)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The settings of this call, and the log turned on as they say.
fn settings(flags: Layer) -> Result<Settings, CommandError> {
    let account = || {
        let (uid, entry) = sys::account::account();
        let (name, home) = entry.clone().unzip();
        UserAccount { uid: *uid, name, home }
    };
    let typed: Vec<_> = flags.all(&config::options::DATABASE_URL).iter().map(|raw| raw.text.clone()).collect();
    // Before anything else: a run may go on for days, and `ps` shows its command line to everybody.
    let covered = if typed.is_empty() { Ok(()) } else { sys::arguments::redact(&typed) };
    let settings = config::load(flags, &account, &sys::fs::read_small)?;
    if let Err(error) = logging::init(Some(&settings.log_file), settings.verbosity, true) {
        let path = settings.log_file.display();
        if settings.origins.get(config::options::LOG_FILE.key).is_none_or(|origin| *origin == config::Origin::Default) {
            // What is wrong with the state directory is said with the journal, if anything is.
            log::info!(event = "no_log_file"; "cannot write the log file {path}: {error}");
        } else {
            let hint = "name a file of your own with --log-file, or leave it out; nothing else depends on it";
            log::warn!(event = "no_log_file", hint; "cannot write the log file {path}: {error}");
        }
    }
    if let Err(error) = covered {
        log::warn!(event = "url_not_covered", hint = "give it as RUNWRAP_DATABASE_URL_FILE instead";
            "`ps` shows the value of --database-url: {error}");
    }
    Ok(settings)
}
