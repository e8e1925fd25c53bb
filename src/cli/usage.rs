//! Misuse of the command line, in words that say what to write instead. Owns the translation of clap's errors.
//! Must not show what may hold a password: a URL, or a connection string.

use std::ffi::{OsStr, OsString};

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::config::nearest;

/// What was wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misuse {
    pub message: String,
    pub hint: String,
}

impl Misuse {
    pub(super) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

const SEE_HELP: &str = "see runwrap --help";

pub(super) fn no_command() -> Misuse {
    Misuse::new("there is no command to run", "write runwrap -- COMMAND [ARG]..., or see runwrap --help")
}

/// What clap's `error` on `arguments` means. `verbs` are the words that are no command of the user's.
pub(super) fn explain(error: &Error, arguments: &[OsString], verbs: &[&str]) -> Misuse {
    let kind = error.kind();
    let argument = text_of(error, ContextKind::InvalidArg);
    let value = text_of(error, ContextKind::InvalidValue);
    if kind == ErrorKind::InvalidSubcommand || kind == ErrorKind::UnknownArgument {
        let word = text_of(error, ContextKind::InvalidSubcommand).or(argument).unwrap_or_default();
        return unknown_word(&word, arguments, verbs);
    }
    let verb = verb_before(arguments, arguments.len(), verbs);
    let argument = argument.map(|argument| first_line(&argument));
    match (kind, argument, value) {
        (ErrorKind::MissingRequiredArgument | ErrorKind::MissingSubcommand, _, _) if verb.is_none() => no_command(),
        (ErrorKind::MissingRequiredArgument, Some(argument), _) => {
            let verb = verb.unwrap_or_default();
            Misuse::new(format!("{verb} needs {argument}"), format!("see runwrap {verb} --help"))
        }
        (ErrorKind::InvalidValue, Some(argument), None) => {
            Misuse::new(format!("{argument} needs a value"), format!("write one behind it; {SEE_HELP}"))
        }
        (ErrorKind::InvalidValue, Some(argument), Some(value)) if value.is_empty() => {
            Misuse::new(format!("{argument} needs a value"), format!("write one behind it; {SEE_HELP}"))
        }
        (ErrorKind::InvalidValue, Some(argument), Some(value)) => {
            let valid = text_of(error, ContextKind::ValidValue).unwrap_or_default();
            Misuse::new(
                format!("cannot use {argument}: there is no {}", shown(&value)),
                format!("it is one of {valid}"),
            )
        }
        (ErrorKind::ValueValidation, Some(argument), Some(value)) => {
            let cause = format!("{} is no whole number from 1 to {}", shown(&value), u32::MAX);
            Misuse::new(format!("cannot use {argument}: {cause}"), "write a number, as 20")
        }
        (ErrorKind::TooManyValues, Some(argument), _) => {
            Misuse::new(format!("{argument} takes no value"), "leave out the = and what follows")
        }
        (ErrorKind::ArgumentConflict, Some(argument), _) => {
            Misuse::new(format!("{argument} was given twice"), "give it once")
        }
        // The kind's own words name no value.
        _ => Misuse::new(kind.as_str().unwrap_or("the command line cannot be read").to_owned(), SEE_HELP),
    }
}

/// A word that is neither an option nor a verb: most often a command without `--` before it.
fn unknown_word(word: &str, arguments: &[OsString], verbs: &[&str]) -> Misuse {
    let typed = |argument: &OsString| {
        let argument = argument.to_string_lossy();
        argument == word || argument.split_once('=').is_some_and(|(flag, _)| flag == word)
    };
    let index = arguments.iter().skip(1).position(typed).map_or(arguments.len(), |index| index + 1);
    if let Some(verb) = verb_before(arguments, index, verbs) {
        return Misuse::new(format!("{verb} does not take {}", shown(word)), format!("see runwrap {verb} --help"));
    }
    if word.trim().is_empty() {
        return no_command();
    }
    let hint = forgotten_separator(arguments, index);
    if word.starts_with('-') {
        let option = word.split('=').next().unwrap_or(word);
        let message = format!("there is no option {}", shown(option));
        let known = crate::config::options::OPTIONS.into_iter().filter_map(|row| row.flag);
        return match nearest(option, known) {
            Some(meant) => Misuse::new(message, format!("did you mean {meant}?")),
            None => {
                Misuse::new(message, "options of the command itself stand behind --: runwrap -- COMMAND --ITS-OPTION")
            }
        };
    }
    if let Some(hint) = verb_of_other_programs(word, arguments, index, verbs) {
        return Misuse::new(format!("there is no verb {word}"), hint);
    }
    match nearest(word, verbs.iter().copied()) {
        Some(verb) => {
            Misuse::new(format!("there is no verb {}", shown(word)), format!("did you mean {verb}? Else {hint}"))
        }
        None => Misuse::new(format!("there is no -- before {}", shown(word)), hint),
    }
}

/// What was meant by a word at `index` that is a verb of most programs and none of runwrap's: here the absence of a verb runs
/// a command, and help is an option.
fn verb_of_other_programs(word: &str, arguments: &[OsString], index: usize, verbs: &[&str]) -> Option<String> {
    let next = arguments.get(index + 1).map(|next| next.to_string_lossy());
    match (word, next.as_deref()) {
        ("run" | "exec" | "start", None | Some("--")) if arguments.len() <= index + 2 => Some(no_command().hint),
        ("run" | "exec" | "start", _) => {
            let (before, after) = (arguments.get(..index)?, arguments.get(index + 1..)?);
            let without = [before, after].concat();
            Some(forgotten_separator(&without, index))
        }
        ("help", Some(verb)) if verbs.contains(&verb) => Some(format!("see runwrap {verb} --help")),
        ("help", _) => Some(SEE_HELP.to_owned()),
        ("version", _) => Some("see runwrap --version".to_owned()),
        _ => None,
    }
}

/// The verb that stands before `index`.
fn verb_before(arguments: &[OsString], index: usize, verbs: &[&str]) -> Option<String> {
    let before = arguments.get(1..index).unwrap_or(&[]);
    let is_verb = |word: &&OsString| verbs.iter().any(|verb| word.as_os_str() == OsStr::new(verb));
    before.iter().take_while(|word| *word != "--").find(is_verb).map(|verb| verb.to_string_lossy().into_owned())
}

/// The command line as it was probably meant: with a `--` at `index`.
fn forgotten_separator(arguments: &[OsString], index: usize) -> String {
    let mut meant = vec!["write runwrap".to_owned()];
    for (at, word) in arguments.iter().enumerate().skip(1) {
        let word = word.to_string_lossy();
        if at == index {
            meant.push("--".to_owned());
        }
        if at == index && at + 1 == arguments.len() {
            // A whole command line in one word, most often: as several words it is what was meant.
            meant.extend(word.split_whitespace().map(shown));
        } else if word != "--" {
            meant.push(shown(&word));
        }
    }
    meant.join(" ")
}

/// A word of the user's as a message may repeat it.
fn shown(word: &str) -> String {
    if word.contains("://") || word.to_ascii_lowercase().contains("password") {
        return "…".to_owned();
    }
    let plain = !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "-_=./:,+@%".contains(c));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn text_of(error: &Error, kind: ContextKind) -> Option<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
        _ => None,
    }
}
