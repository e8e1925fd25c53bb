//! Usage errors: clap's message with a hint. Owns the hint for a forgotten `--`, which clap cannot give.
//! Must not show a word that may hold a password: a URL, or a connection string.

use std::error::Error as _;
use std::ffi::OsString;

use clap::Error;
use clap::error::{ContextKind, ErrorKind};

use super::{EarlyExit, definition};
use crate::config::{InvalidValue, nearest};

const NO_COMMAND_HINT: &str = "write runwrap -- COMMAND [ARG]..., or see runwrap --help";

pub(super) fn no_command() -> EarlyExit {
    EarlyExit::usage("there is no command to run", NO_COMMAND_HINT)
}

/// clap's `error` on `arguments`.
pub(super) fn explain(error: &Error, arguments: &[OsString]) -> EarlyExit {
    let verb = verb(error, arguments);
    let word = text(error, ContextKind::InvalidSubcommand).or_else(|| text(error, ContextKind::InvalidArg));
    match (error.kind(), word) {
        (ErrorKind::MissingRequiredArgument | ErrorKind::MissingSubcommand, _) if verb.is_none() => no_command(),
        (ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument, Some(word))
            if verb.is_none() && !word.starts_with('-') =>
        {
            unknown_verb(&word, arguments)
        }
        _ => EarlyExit::usage(message(error), hint(error, verb)),
    }
}

/// The first paragraph that clap renders, on one line.
fn message(error: &Error) -> String {
    let text = error.render().to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    let words = paragraph.split_whitespace().map(|word| if may_be_secret(word) { "…" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

fn hint(error: &Error, verb: Option<String>) -> String {
    if let Some(InvalidValue { hint, .. }) = error.source().and_then(|source| source.downcast_ref()) {
        return hint.clone();
    }
    let suggested = text(error, ContextKind::SuggestedArg).or_else(|| text(error, ContextKind::SuggestedValue));
    match (suggested, verb) {
        (Some(suggested), _) => format!("did you mean {suggested}?"),
        (None, Some(verb)) => format!("see runwrap {verb} --help"),
        (None, None) if error.kind() == ErrorKind::UnknownArgument => {
            "write options of the command itself behind --: runwrap -- COMMAND --ITS-OPTION".to_owned()
        }
        (None, None) => "see runwrap --help".to_owned(),
    }
}

/// A word that is no verb: most often a command without `--` before it.
fn unknown_verb(word: &str, arguments: &[OsString]) -> EarlyExit {
    if word.trim().is_empty() {
        return no_command();
    }
    let index = arguments.iter().skip(1).position(|argument| argument == word).map_or(arguments.len(), |at| at + 1);
    let mut meant = arguments.to_vec();
    // Other programs have a verb for it: runwrap run -- COMMAND.
    if matches!(word, "run" | "exec" | "start") && index < meant.len() {
        meant.remove(index);
    }
    let verbs = verbs();
    let similar = nearest(word, verbs.iter().map(String::as_str));
    let question = similar.map(|verb| format!("did you mean {verb}? Else ")).unwrap_or_default();
    let hint = question + &with_separator(&meant, index);
    EarlyExit::usage(format!("there is no verb {}", quoted(word)), hint)
}

/// The command line with a `--` at `index`.
fn with_separator(arguments: &[OsString], index: usize) -> String {
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    let (options, command) = words.split_at(index.min(words.len()));
    let mut command: Vec<&str> = command.iter().map(AsRef::as_ref).filter(|word| *word != "--").collect();
    // Most often a whole command line in quotes.
    if let [line] = command[..] {
        command = line.split_whitespace().collect();
    }
    if command.is_empty() {
        return NO_COMMAND_HINT.to_owned();
    }
    let options = options.iter().skip(1).map(|word| quoted(word));
    let words = options.chain(["--".to_owned()]).chain(command.into_iter().map(quoted));
    format!("write runwrap {}", words.collect::<Vec<_>>().join(" "))
}

/// A word of the command line as a shell would read it back.
fn quoted(word: &str) -> String {
    let plain = !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "-_=./:,+@%".contains(c));
    match word {
        word if may_be_secret(word) => "…".to_owned(),
        word if plain => word.to_owned(),
        word => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

fn may_be_secret(word: &str) -> bool {
    word.contains("://") || word.to_ascii_lowercase().contains("password")
}

/// The verb whose arguments clap was reading: from the usage line, `Usage: runwrap list [OPTIONS]`, which errors about values lack.
fn verb(error: &Error, arguments: &[OsString]) -> Option<String> {
    let usage = text(error, ContextKind::Usage);
    verbs().into_iter().find(|verb| match &usage {
        Some(usage) => usage.split_whitespace().nth(2) == Some(verb),
        None => arguments.iter().any(|argument| argument == verb.as_str()),
    })
}

fn verbs() -> Vec<String> {
    definition::command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect()
}

fn text(error: &Error, kind: ContextKind) -> Option<String> {
    error.get(kind).map(ToString::to_string)
}
