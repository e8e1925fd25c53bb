//! The verbs, one file each, and what they share: how settings are made, how an error is told and which exit status
//! it gives. Called by `main`; `cli` fills the [`Invocation`].

pub mod exit;
mod invocation;

use std::process::ExitCode;

use crate::config::{self, Account, Layer, Settings};
use crate::{output, sys};

pub use exit::CommandError;
pub use invocation::{Action, Invocation, ListArgs, MigrateArgs, ReportArgs, ShowArgs};

/// Does what was typed, and says what went wrong with it.
#[must_use]
pub fn perform(invocation: Invocation) -> ExitCode {
    dispatch(invocation).unwrap_or_else(|error| {
        output::complain(&error.to_string(), error.hint());
        error.exit_code()
    })
}

/// A text that was asked for, to stdout.
#[must_use]
pub fn print(text: &str) -> ExitCode {
    match output::print(text).map_err(CommandError::Output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error.to_string(), error.hint());
            error.exit_code()
        }
    }
}

/// A misuse of the command line, to stderr.
#[must_use]
pub fn refuse(message: &str, hint: &str) -> ExitCode {
    output::complain(message, Some(hint));
    ExitCode::from(exit::FAILED)
}

fn dispatch(invocation: Invocation) -> Result<ExitCode, CommandError> {
    let Invocation { flags, action } = invocation;
    match action {
        // These two must work inside a run whose configuration has been broken meanwhile.
        Action::Report(_) | Action::Keeper { .. } => Ok(ExitCode::from(exit::FAILED)),
        Action::Run { .. } | Action::List(_) | Action::Show(_) | Action::Migrate(_) => {
            settings(flags)?;
            Ok(ExitCode::from(exit::FAILED))
        }
    }
}

fn settings(flags: Layer) -> Result<Settings, CommandError> {
    let (uid, entry) = sys::account::account();
    let (name, home) = entry.unzip();
    Ok(config::load(flags, &Account { uid, name, home })?)
}
