//! The command line: from the words that were typed to an [`Invocation`]. Must not touch the system, and reads no
//! value: `config` does, with those of the other layers. `definition` describes the command line, `usage` words what
//! is wrong with one. Called by `main`.

mod definition;
mod help;
mod usage;

use std::ffi::OsString;
use std::time::Duration;

use clap::ArgMatches;
use clap::error::ErrorKind;

use crate::commands::{
    CheckArgs, Command, FinalizeArgs, Invocation, ListArgs, MigrateArgs, RecoverArgs, ReportArgs, ShowArgs,
};
use crate::config::options::{OPTIONS, OptionKind, Verbs};
use crate::config::{Layer, Origin, read_duration};
use crate::record::{Status, parse_metrics, read_instant};

pub use usage::Misuse;

/// The shortest pause between two rounds of `recover --every`.
const EVERY_MIN: Duration = Duration::from_secs(1);

/// What is to be said instead of doing anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// What was asked for: help, the version, a completion script. For stdout.
    Text(String),
    Misuse(Misuse),
}

/// Reads the words of a command line, the program's name first.
///
/// # Errors
/// A [`Reply`], where there is nothing to perform.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, Reply> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // The verb that only runwrap itself gives: no user's to mistype, and the keeper of every run starts with it.
    if let [_program, verb, own @ ..] = arguments.as_slice()
        && verb == "keeper"
    {
        return Ok(Invocation { flags: Layer::default(), action: Command::Keeper { arguments: own.to_vec() } });
    }
    let mut definition = definition::command();
    let verbs: Vec<String> = definition.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    let verbs: Vec<&str> = verbs.iter().map(String::as_str).collect();
    let matches = definition.try_get_matches_from_mut(&arguments).map_err(|error| {
        if error.kind() == ErrorKind::DisplayHelp || error.kind() == ErrorKind::DisplayVersion {
            Reply::Text(error.render().to_string())
        } else {
            Reply::Misuse(usage::explain(&error, &arguments, &verbs))
        }
    })?;
    let mut flags = Layer::default();
    collect(&matches, &mut flags);
    let Some((verb, own)) = matches.subcommand() else {
        let command: Vec<OsString> = matches.get_many("command").into_iter().flatten().cloned().collect();
        return match command.first() {
            Some(program) if !program.is_empty() => Ok(Invocation { flags, action: Command::Run { command } }),
            Some(_) | None => Err(Reply::Misuse(usage::no_command())),
        };
    };
    refuse_misplaced(&flags, verb).map_err(Reply::Misuse)?;
    if verb == "completions" {
        return Err(Reply::Text(completions(own)));
    }
    collect(own, &mut flags);
    Ok(Invocation { flags, action: action(verb, own).map_err(Reply::Misuse)? })
}

/// Adds what `matches` has for the rows of the table.
fn collect(matches: &ArgMatches, flags: &mut Layer) {
    for row in OPTIONS {
        let (Some(flag), Ok(true)) = (row.flag, matches.try_contains_id(row.key)) else { continue };
        if row.kind == OptionKind::Switch {
            if matches.get_flag(row.key) && !flags.has(row) {
                flags.add(row, OsString::from("true"), Origin::Flag(flag));
            }
            continue;
        }
        for text in matches.get_many::<OsString>(row.key).into_iter().flatten() {
            flags.add(row, text.clone(), Origin::Flag(flag));
        }
    }
}

/// Before a verb stand only options that it takes; clap would drop the others in silence.
fn refuse_misplaced(flags: &Layer, verb: &str) -> Result<(), Misuse> {
    let takes_shared = definition::READING_VERBS.contains(&verb);
    let misplaced = OPTIONS.into_iter().find(|row| flags.has(row) && !(takes_shared && row.verbs == Verbs::Every));
    match misplaced.and_then(|row| row.flag) {
        None => Ok(()),
        Some(flag) => {
            let hint = format!("leave it out; to run a program named {verb}, write -- before it");
            Err(Misuse::new(format!("{verb} does not take {flag}"), hint))
        }
    }
}

fn action(verb: &str, own: &ArgMatches) -> Result<Command, Misuse> {
    let text = |id: &str| own.get_one::<String>(id).cloned();
    Ok(match verb {
        "list" => Command::List(ListArgs {
            status: text("status").and_then(|word| Status::parse(&word)),
            name: text("of_name"),
            limit: own.get_one("limit").copied().unwrap_or(u32::MAX),
            json: own.get_flag("json"),
        }),
        "show" => Command::Show(ShowArgs { id: text("id").unwrap_or_default(), json: own.get_flag("json") }),
        "check" => Command::Check(check(own)?),
        "recover" => Command::Recover(recover(own)?),
        "finalize" => Command::Finalize(finalize(own)?),
        "migrate" => Command::Migrate(MigrateArgs { print: own.get_flag("print") }),
        "report" => Command::Report(report(own)?),
        other => return Err(Misuse::new(format!("there is no verb {other}"), "see runwrap --help")),
    })
}

fn recover(own: &ArgMatches) -> Result<RecoverArgs, Misuse> {
    Ok(RecoverArgs {
        json: own.get_flag("json"),
        dry_run: own.get_flag("dry_run"),
        stuck_after: duration(own, "stuck_after", "--stuck-after")?,
        assume_now: own.get_one::<String>("assume_end").is_some_and(|word| word == "now"),
        every: match duration(own, "every", "--every")? {
            Some(pause) if pause < EVERY_MIN => {
                return Err(Misuse::new("--every is too short to make sense", "the least is 1s; write 1m or more"));
            }
            pause => pause,
        },
    })
}

fn check(own: &ArgMatches) -> Result<CheckArgs, Misuse> {
    let stuck_after = duration(own, "stuck_after", "--stuck-after")?.unwrap_or_default();
    Ok(CheckArgs { json: own.get_flag("json"), fix: own.get_flag("fix"), live: own.get_flag("live"), stuck_after })
}

fn duration(own: &ArgMatches, id: &str, flag: &str) -> Result<Option<Duration>, Misuse> {
    let Some(text) = own.get_one::<OsString>(id).map(|text| text.to_string_lossy()) else { return Ok(None) };
    let refused = |(cause, hint)| Misuse::new(format!("cannot use {flag} {text}: {cause}"), hint);
    read_duration(&text).map(Some).map_err(refused)
}

fn finalize(own: &ArgMatches) -> Result<FinalizeArgs, Misuse> {
    let lossy = |id: &str| own.get_one::<OsString>(id).map(|text| text.to_string_lossy().into_owned());
    let ended_at = lossy("ended_at").map(|text| {
        read_instant(&text).ok_or_else(|| {
            let hint = "write it as 2025-11-27T01:20:52Z or \"2025-11-27 01:20:52\"; without a zone it is UTC";
            Misuse::new(format!("--ended-at {text} is no time"), hint)
        })
    });
    let metrics = lossy("said_metrics").map(|text| {
        parse_metrics(text.as_bytes()).map_err(|error| {
            Misuse::new(format!("--metrics cannot be used: {error}"), "write a JSON object, as '{\"loss\": 0.12}'")
        })
    });
    Ok(FinalizeArgs {
        id: own.get_one("id").cloned().unwrap_or_default(),
        completed: own.get_one::<String>("status").is_some_and(|word| word == Status::Completed.as_str()),
        ended_at: ended_at.transpose()?,
        explanation: lossy("explanation"),
        metrics: metrics.transpose()?,
        model_path: lossy("reported_model_path"),
        force: own.get_flag("force"),
    })
}

fn report(own: &ArgMatches) -> Result<ReportArgs, Misuse> {
    let lossy = |text: &OsString| text.to_string_lossy().into_owned();
    let one = |id: &str| own.get_one::<OsString>(id).map(lossy);
    let mut args = ReportArgs { metrics: Vec::new(), model_path: one("reported_model_path"), error: one("error") };
    for metric in own.get_many::<OsString>("metric").into_iter().flatten().map(lossy) {
        match metric.split_once('=') {
            Some((key, value)) if !key.is_empty() => args.metrics.push((key.to_owned(), value.to_owned())),
            Some(_) | None => {
                return Err(Misuse::new(format!("--metric {metric} is not KEY=VALUE"), "write --metric loss=0.12"));
            }
        }
    }
    if args == ReportArgs::default() {
        return Err(Misuse::new("there is nothing to report", "write runwrap report --metric loss=0.12"));
    }
    Ok(args)
}

fn completions(own: &ArgMatches) -> String {
    let mut script = Vec::new();
    if let Some(shell) = own.get_one::<clap_complete::Shell>("shell") {
        clap_complete::generate(*shell, &mut definition::command(), "runwrap", &mut script);
    }
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests;
