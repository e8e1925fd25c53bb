//! The command line for clap: the verbs, and one flag for each row of the table of options. Every value is taken as
//! it is; `config` reads it. Must not touch the system.

use std::ffi::OsString;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, value_parser};

use crate::config::options::{OPTIONS, OptionKind, OptionRow, Verbs};
use crate::record::Status;

use super::help;

/// The verbs that open a database, and so take the options of [`Verbs::Every`].
pub(super) const READING_VERBS: [&str; 6] = ["list", "show", "check", "recover", "finalize", "migrate"];

pub(super) const LIMIT_DEFAULT: &str = "50";

/// Only the verb that was typed is described to its last argument: a run is not to wait for the others.
pub(super) fn command() -> Command {
    let trainer = Arg::new("command")
        .value_name("COMMAND")
        .last(true)
        .required(true)
        .num_args(1..)
        .value_parser(value_parser!(OsString))
        .help("The command to run, with its arguments");
    Command::new("runwrap")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Runs a training command and keeps one database record of it, whatever ends the run")
        .override_usage(help::USAGE)
        .after_help(help::AFTER)
        .subcommand_negates_reqs(true)
        .disable_help_subcommand(true)
        .args(OPTIONS.into_iter().filter_map(flag))
        .arg(trainer)
        .subcommands([
            verb("list", "Lists the records, newest first", list),
            verb("show", "Shows everything known of one record", show),
            verb(
                "check",
                "Says what is wrong with the records, and what would repair it; exit status 1 if anything is",
                check,
            ),
            verb(
                "recover",
                "Delivers what is left in the state directory, and ends the records of runs that are lost",
                recover,
            ),
            verb("finalize", "Ends a record by hand; keeps who did it, when, and what it said before", finalize),
            verb("report", "Reports from inside a running command: appends a line to the file $RUNWRAP_REPORT", report),
            verb("migrate", "Makes or upgrades the tables", migrate),
            verb("completions", "Prints a completion script for a shell", completions),
        ])
}

/// `arguments` adds the verb's own, once it was typed or its help is asked for.
fn verb(name: &'static str, about: &'static str, arguments: fn(Command) -> Command) -> Command {
    Command::new(name).about(about).defer(arguments)
}

fn list(verb: Command) -> Command {
    let status = Arg::new("status")
        .long("status")
        .value_name("STATUS")
        .value_parser(PossibleValuesParser::new(
            [Status::Training, Status::Completed, Status::Failed].map(Status::as_str),
        ))
        .help("Only records with this status");
    let name = Arg::new("of_name").long("name").value_name("NAME").help("Only records of this name");
    let limit = Arg::new("limit")
        .long("limit")
        .value_name("N")
        .value_parser(value_parser!(u32).range(1..))
        .default_value(LIMIT_DEFAULT)
        .help("At most this many");
    reading(verb).args([status, name, limit, json()])
}

fn show(verb: Command) -> Command {
    let id = Arg::new("id")
        .value_name("ID")
        .required(true)
        .allow_negative_numbers(true)
        .help("A record's id, or a run's id");
    reading(verb).args([id, json()])
}

fn check(verb: Command) -> Command {
    let stuck_after = Arg::new("stuck_after")
        .long("stuck-after")
        .value_name("DUR")
        .value_parser(value_parser!(OsString))
        .default_value("24h")
        .help("How long nothing may be heard of a record in training that nothing watches");
    let fix = Arg::new("fix").long("fix").action(ArgAction::SetTrue).help("Repair what follows from the record itself");
    let live = Arg::new("live").long("live").action(ArgAction::SetTrue).help(
        "Only runs that have no end yet, and the state directory: takes the same time however large the table is",
    );
    reading(verb).args([stuck_after, fix, live, json()])
}

fn recover(verb: Command) -> Command {
    let dry_run =
        Arg::new("dry_run").long("dry-run").action(ArgAction::SetTrue).help("Say what would be done, and do nothing");
    let stuck_after = Arg::new("stuck_after")
        .long("stuck-after")
        .value_name("DUR")
        .value_parser(value_parser!(OsString))
        .help("Also records in training that nothing watches and nothing was heard of for so long, as 24h");
    let assume_end = Arg::new("assume_end")
        .long("assume-end")
        .value_name("END")
        .value_parser(PossibleValuesParser::new(["unknown", "now"]))
        .requires("stuck_after")
        .help("What to write where nothing proves when such a record ended [default: unknown]");
    let every = Arg::new("every")
        .long("every")
        .value_name("DUR")
        .value_parser(value_parser!(OsString))
        .conflicts_with("dry_run")
        .help("Keep doing it, with this pause, until SIGTERM; tells systemd that it is alive");
    reading(verb).args([dry_run, stuck_after, assume_end, every, json()])
}

fn finalize(verb: Command) -> Command {
    let text = |id: &'static str, long: &'static str, value: &'static str, help: &'static str| {
        Arg::new(id).long(long).value_name(value).value_parser(value_parser!(OsString)).help(help)
    };
    let id = Arg::new("id")
        .value_name("ID")
        .required(true)
        .allow_negative_numbers(true)
        .help("A record's id, or a run's id");
    let status = Arg::new("status")
        .long("status")
        .value_name("STATUS")
        .required(true)
        .value_parser(PossibleValuesParser::new([Status::Completed, Status::Failed].map(Status::as_str)))
        .help("How it ended");
    let ended_at =
        text("ended_at", "ended-at", "TIME", "When it ended, 2025-11-27T01:20:52Z; UTC where no zone is given");
    let reason = text("explanation", "reason", "TEXT", "Why; kept as error_message");
    let metrics = text("said_metrics", "metrics", "JSON", "Metrics, added to those that are known");
    let model_path = text("reported_model_path", "model-path", "PATH", "Where the model is");
    let force = Arg::new("force")
        .long("force")
        .action(ArgAction::SetTrue)
        .help("Also where it has ended already, and not by presumption");
    reading(verb).args([id, status, ended_at, reason, metrics, model_path, force])
}

fn migrate(verb: Command) -> Command {
    let print = Arg::new("print").long("print").action(ArgAction::SetTrue).help("Print the statements, change nothing");
    reading(verb).arg(print)
}

fn report(verb: Command) -> Command {
    let metric = Arg::new("metric")
        .long("metric")
        .value_name("KEY=VALUE")
        .action(ArgAction::Append)
        .value_parser(value_parser!(OsString))
        .help("A metric; may be repeated. A number, true, false, null or NaN is taken as such, all else as text");
    let model_path = Arg::new("reported_model_path")
        .long("model-path")
        .value_name("PATH")
        .value_parser(value_parser!(OsString))
        .help("Where the model was saved");
    let error = Arg::new("error")
        .long("error")
        .value_name("TEXT")
        .value_parser(value_parser!(OsString))
        .help("What went wrong");
    verb.args([metric, model_path, error])
}

fn completions(verb: Command) -> Command {
    let shell = Arg::new("shell").value_name("SHELL").required(true).value_parser(value_parser!(clap_complete::Shell));
    verb.arg(shell)
}

/// A verb that opens a database.
fn reading(verb: Command) -> Command {
    verb.args(OPTIONS.into_iter().filter(|row| row.verbs == Verbs::Every).filter_map(flag))
}

fn json() -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON, keys named as the columns")
}

/// The flag of `row`; `None` where it has none. Repeated ones are all kept: `config` says what is wrong with two.
fn flag(row: &'static OptionRow) -> Option<Arg> {
    let arg =
        Arg::new(row.key).long(row.flag?.trim_start_matches('-')).help_heading(row.heading).help(help::of_row(row));
    let arg = match row.short {
        Some(letter) => arg.short(letter),
        None => arg,
    };
    Some(match row.kind {
        OptionKind::Switch => arg.action(ArgAction::SetTrue).overrides_with(row.key),
        OptionKind::Text
        | OptionKind::Path
        | OptionKind::Duration
        | OptionKind::Bytes
        | OptionKind::Secret
        | OptionKind::Repeated => {
            arg.value_name(row.value_name).action(ArgAction::Append).value_parser(value_parser!(OsString))
        }
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn clap_finds_nothing_wrong_with_the_definition() {
        super::command().debug_assert();
    }
}
