//! The command line: from words to an [`Invocation`]. `definition` describes it to clap, `usage` explains errors, `man`
//! renders the manual pages, `completions` makes the scripts for shells. Must not touch the system; `config` reads the
//! values of options.

mod completions;
mod definition;
mod help;
mod man;
mod usage;
mod values;

use std::ffi::OsString;

use clap::ArgMatches;

use crate::commands::{
    Action, CheckArgs, FinalizeArgs, Invocation, ListArgs, NoteArgs, RecoverArgs, ReportArgs, ServeArgs, ShowArgs,
    sort_key,
};
use crate::commands::{ColorChoice, Format};
use crate::config::options::{OPTIONS, OptionKind, OptionRow};
use crate::config::{Layer, Origin};
use crate::record::Status;
use crate::store::Filter;
use crate::web::Listen;

/// The program ends without an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EarlyExit {
    /// Help, the version, a manual page or a completion script, for stdout.
    Output(String),
    /// An error of the command line.
    Usage { message: String, hint: String },
}

impl EarlyExit {
    fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: hint.into() }
    }
}

/// Parses a command line, the program's name first.
///
/// # Errors
/// An [`EarlyExit`] if there is nothing to execute.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, EarlyExit> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    // Only runwrap itself executes a keeper, and a run waits for it: no need to describe a command line to clap.
    if let [_program, verb, own @ ..] = arguments.as_slice()
        && verb == "keeper"
    {
        return Ok(Invocation { flags: Layer::default(), action: Action::Keeper(own.to_vec()) });
    }
    // `help [VERB]` without a verb of that name, which every run would have to describe to clap.
    if arguments.get(1).is_some_and(|word| word == "help") && arguments.len() <= 3 {
        arguments.remove(1);
        arguments.push(OsString::from("--help"));
    }
    // `man [VERB]` prints a manual page, for packages. No verb, for the same reason.
    if let [_program, man, verb @ ..] = arguments.as_slice()
        && man == "man"
        && verb.len() <= 1
    {
        return Err(match man::page(verb.first().map(|verb| verb.to_string_lossy()).as_deref()) {
            Ok(page) => EarlyExit::Output(page),
            Err(error) => error,
        });
    }
    let matches = definition::command().try_get_matches_from(&arguments).map_err(|error| {
        if error.use_stderr() {
            usage::explain(&error, &arguments)
        } else {
            EarlyExit::Output(error.render().to_string())
        }
    })?;
    let mut flags = Layer::default();
    collect(&matches, |_| true, &mut flags);
    let Some((verb, own)) = matches.subcommand() else {
        let command: Vec<OsString> = matches.get_many("command").into_iter().flatten().cloned().collect();
        return match command.first() {
            Some(program) if !program.is_empty() => Ok(Invocation { flags, action: Action::Run(command) }),
            Some(_) | None => Err(usage::no_command()),
        };
    };
    refuse_misplaced(&flags, verb)?;
    collect(own, |row| definition::takes(verb, row), &mut flags);
    Ok(Invocation { flags, action: action(verb, own)? })
}

/// Adds the values in `matches` of the rows that are taken.
fn collect(matches: &ArgMatches, is_taken: impl Fn(&OptionRow) -> bool, flags: &mut Layer) {
    for row in OPTIONS.into_iter().filter(|row| is_taken(row)) {
        let Some(flag) = row.flag else { continue };
        for text in matches.get_many::<OsString>(row.key).into_iter().flatten() {
            if row.kind != OptionKind::Switch || !flags.has(row) {
                flags.add(row, text.clone(), Origin::Flag(flag));
            }
        }
    }
}

fn list(own: &ArgMatches) -> Result<ListArgs, EarlyExit> {
    let text = |id: &str| own.get_one::<String>(id).cloned();
    let limit = own.get_one("limit").copied().unwrap_or(u32::MAX);
    let filter = Filter {
        statuses: own.get_many::<Option<Status>>("status").into_iter().flatten().copied().flatten().collect(),
        name: text("name"),
        job: text("job"),
        host: text("host"),
        reason: own.get_one("reason").copied(),
        tags: own.get_many("tag").into_iter().flatten().cloned().collect(),
        limit,
        ..Filter::default()
    };
    let metrics: Vec<String> = own.get_many("metric").into_iter().flatten().cloned().collect();
    let format = if own.get_flag("json") { Some(Format::Json) } else { own.get_one("format").copied() };
    Ok(ListArgs {
        filter,
        since: own.get_one("since").copied(),
        format: format.unwrap_or_default(),
        sort: sort(text("sort"), &metrics, format.unwrap_or_default())?,
        metrics,
        watch: own.get_flag("watch"),
        color: color(own),
    })
}

fn color(own: &ArgMatches) -> ColorChoice {
    own.get_one("color").copied().unwrap_or(ColorChoice::Auto)
}

/// What to sort by, and whether the greatest comes first.
fn sort(typed: Option<String>, metrics: &[String], format: Format) -> Result<Option<(String, bool)>, EarlyExit> {
    let Some(typed) = typed else { return Ok(None) };
    let (name, descending) = typed.strip_prefix('-').map_or((typed.as_str(), false), |name| (name, true));
    let unknown = || {
        let hint = "write a heading of the table (duration, last-seen), or a metric named with --metric; \
                    --format csv, json and jsonl sort by any column";
        EarlyExit::usage(format!("--sort: there is no column {name}"), hint.to_owned())
    };
    sort_key(name, metrics, format).map(|key| Some((key, descending))).ok_or_else(unknown)
}

/// Refuses an option before a verb that does not take it; clap would ignore it.
fn refuse_misplaced(flags: &Layer, verb: &str) -> Result<(), EarlyExit> {
    let misplaced = OPTIONS.into_iter().find(|row| flags.has(row) && !definition::takes(verb, row));
    let Some(flag) = misplaced.and_then(|row| row.flag) else { return Ok(()) };
    let hint = format!("leave it out; to run a program named {verb}, write -- before it");
    Err(EarlyExit::usage(format!("{verb} does not take {flag}"), hint))
}

fn action(verb: &str, own: &ArgMatches) -> Result<Action, EarlyExit> {
    let text = |id: &str| own.get_one::<String>(id).cloned();
    let id = || text("id").unwrap_or_default();
    Ok(match verb {
        "list" => Action::List(list(own)?),
        "show" => Action::Show(ShowArgs {
            id: id(),
            json: own.get_flag("json"),
            curves: own.get_many("curve").into_iter().flatten().cloned().collect(),
            points: text("points"),
            format: own.get_one("format").copied().unwrap_or_default(),
            color: color(own),
        }),
        "diff" => Action::Diff { ids: [id(), text("other").unwrap_or_default()], json: own.get_flag("json") },
        "check" => Action::Check(CheckArgs {
            json: own.get_flag("json"),
            fix: own.get_flag("fix"),
            live: own.get_flag("live"),
            stuck_after: own.get_one("stuck-after").copied().unwrap_or_default(),
        }),
        "doctor" => Action::Doctor { json: own.get_flag("json") },
        "recover" => Action::Recover(RecoverArgs {
            json: own.get_flag("json"),
            dry_run: own.get_flag("dry-run"),
            stuck_after: own.get_one("stuck-after").copied(),
            assume_now: own.get_one("assume-end").copied().unwrap_or(false),
            from: text("from"),
            every: own.get_one("every").copied(),
            textfile: own.get_one("textfile").cloned(),
        }),
        "serve" => Action::Serve(ServeArgs {
            listen: own.get_one::<Listen>("listen").cloned().unwrap_or_default(),
            allowed_hosts: own.get_many("allow-host").into_iter().flatten().cloned().collect(),
            recover: own.get_one("recover").copied(),
            stuck_after: own.get_one("stuck-after").copied(),
        }),
        "finalize" => Action::Finalize(FinalizeArgs {
            id: id(),
            completed: own.get_one("status").copied().unwrap_or(false),
            ended_at: own.get_one("ended-at").copied(),
            explanation: text("reason"),
            metrics: own.get_one("metrics").cloned(),
            model_path: text("model-path"),
            force: own.get_flag("force"),
        }),
        "note" => Action::Note(NoteArgs {
            id: id(),
            text: text("text"),
            tags: own.get_many("tag").into_iter().flatten().cloned().collect(),
            untagged: own.get_many("untag").into_iter().flatten().cloned().collect(),
        }),
        "migrate" => Action::Migrate { print: own.get_flag("print") },
        "report" => Action::Report(ReportArgs {
            metrics: own.get_many("metric").into_iter().flatten().cloned().collect(),
            step: own.get_one("step").cloned(),
            model_path: text("model-path"),
            error: text("error"),
        }),
        _ => {
            let shell = own.get_one("shell").copied();
            return Err(EarlyExit::Output(shell.map(completions::script).unwrap_or_default()));
        }
    })
}

#[cfg(test)]
mod tests;
