//! The command line for clap: the verbs, and one flag for each row of the table of options. Reads the values of the verbs'
//! own arguments; `config` reads those of options. Must not touch the system.

use std::ffi::OsString;

use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgAction, ArgGroup, Command, ValueHint, value_parser};

use crate::commands::{ColorChoice, Format};
use crate::config::options::{self, OPTIONS, OptionKind, OptionRow};
use crate::config::read_duration;
use crate::libpq::InvalidValue;
use crate::record::Status;

use super::help;
use super::values::{
    allowed_host, former_database, instant, listen, metric, metrics, new_tag, note_text, pause, reason, since, step,
    tag,
};

const DATABASE_VERBS: [&str; 9] = ["list", "show", "diff", "note", "check", "recover", "serve", "finalize", "migrate"];

/// For `--version`; `-V` prints the first line.
const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit: ",
    env!("RUNWRAP_BUILD_COMMIT"),
    "\ntarget: ",
    env!("RUNWRAP_BUILD_TARGET"),
    "\nlibc: ",
    env!("RUNWRAP_BUILD_LIBC"),
);

/// `doctor` takes every option: it examines what a run with these options would meet.
pub(super) fn takes(verb: &str, row: &OptionRow) -> bool {
    let ends = ["recover", "serve"].contains(&verb) && row.key == options::ON_FINISH.key;
    verb == "doctor" || ends || (row.in_verbs && DATABASE_VERBS.contains(&verb))
}

pub(super) fn command() -> Command {
    let trainer = Arg::new("command")
        .value_name("COMMAND")
        .last(true)
        .required(true)
        .num_args(1..)
        .value_parser(value_parser!(OsString))
        .help("The command to run, with its arguments");
    without_trainer().arg(trainer)
}

/// Without the trainer's command: clap_complete's script for zsh offers no verb where there is a positional argument.
/// Describes the arguments of a verb only once it was typed, or its help is asked for: a run must not pay for them.
pub(super) fn without_trainer() -> Command {
    let verb = |name, about, arguments: fn(Command) -> Command| Command::new(name).about(about).defer(arguments);
    Command::new("runwrap")
        .version(env!("CARGO_PKG_VERSION"))
        .long_version(VERSION)
        .about("Runs a training command and keeps one database record of it, whatever ends the run")
        .override_usage(help::USAGE)
        .after_help(help::after())
        .subcommand_negates_reqs(true)
        .disable_help_subcommand(true)
        .args(OPTIONS.into_iter().filter_map(flag))
        .subcommands([
            verb("list", "List the records, newest first", list),
            verb("show", "Show everything known of one record", show),
            verb("diff", "Show the values in which two records differ", |verb| {
                let other = id_named("other").help("The id of another record, or of its run");
                database(verb).args([id(), other, json()])
            }),
            verb("note", "Add a text or tags to a record, whether a run watches it or not", note),
            verb("check", "Report inconsistent records and how to repair them; exit 1 if there are any", check),
            verb("doctor", "Examine what a run depends on, and rehearse one; exit 1 if it would fail", |verb| {
                database(verb).arg(json())
            }),
            verb("recover", "Deliver the journals in the state directory, and end the records of lost runs", recover),
            verb("serve", "Show the records in a browser, with an API and metrics; with --recover also recover", serve),
            verb("finalize", "End a record by hand, and keep who did it, when, and its previous values", finalize),
            verb("report", "Inside a run: append a line to the file $RUNWRAP_REPORT", report),
            verb("migrate", "Create or upgrade the tables", |verb| {
                database(verb).arg(switch("print", "Print the SQL that is missing, and change nothing"))
            }),
            verb("completions", "Print a completion script for a shell", completions),
        ])
}

fn list(verb: Command) -> Command {
    let status = value("status", "STATUS", "Only records with this status; may be repeated")
        .action(ArgAction::Append)
        .value_parser(PossibleValuesParser::new(["training", "completed", "failed"]).map(|word| Status::parse(&word)));
    let limit = value("limit", "N", "At most this many records")
        .value_parser(value_parser!(u32).range(1..))
        .default_value("50");
    let reason = value("reason", "REASON", "Only runs that ended for this reason").value_parser(parsed(reason));
    let tag = value("tag", "KEY[=VALUE]", "Only runs with this tag; may be repeated")
        .action(ArgAction::Append)
        .value_parser(parsed(tag));
    let job = value("job", "KEY", "Only the attempts of this job");
    let host = value("host", "HOST", "Only runs on this host");
    let name = value("name", "NAME", "Only records with this name; * stands for any text");
    let since = value("since", "WHEN", "Only records that started since then: 24h, 2025-11-27 or 2025-11-27T01:20:52Z")
        .value_parser(parsed(since));
    let metric =
        value("metric", "NAME", "Add a column with this metric, with its curve on a terminal; may be repeated")
            .action(ArgAction::Append);
    let sort = value("sort", "COLUMN", "Sort the listed records by this column; -COLUMN for the greatest first")
        .allow_hyphen_values(true);
    let watch = switch("watch", "Draw the table every two seconds until Ctrl-C").conflicts_with_all(["format", "json"]);
    let format = format("How to print them [default: table]");
    database(verb)
        .args([status, reason, name, tag, job, host, since, limit, metric, sort, watch, format, color()])
        .arg(json().conflicts_with("format"))
}

fn show(verb: Command) -> Command {
    let curve = value("curve", "NAME", "On a terminal, draw the curve of this metric; may be repeated")
        .action(ArgAction::Append)
        .conflicts_with("points");
    let points = value("points", "NAME", "Print the points of the curve of this metric, and nothing else");
    let format = format("Print the points in this format [default: table]").requires("points");
    database(verb).args([id(), curve, points, format, color(), json().conflicts_with("points")])
}

fn check(verb: Command) -> Command {
    let stuck_after = stuck_after("Report an unwatched record in training after this time without a sign of life")
        .default_value("24h");
    let fix = switch("fix", "Repair what follows from the record itself");
    let live = switch(
        "live",
        "Check only runs without an end, and the state directory; as fast in a large table as in a small one",
    );
    database(verb).args([stuck_after, fix, live, json()])
}

fn recover(verb: Command) -> Command {
    let dry_run = switch("dry-run", "Print what would be done, and do nothing");
    let stuck_after = stuck_after("Also end unwatched records in training after this time without a sign of life: 24h");
    let assume_end = value("assume-end", "END", "The end of such a record if nothing proves it [default: unknown]")
        .value_parser(PossibleValuesParser::new(["unknown", "now"]).map(|word| word == "now"))
        .requires("stuck-after");
    let every = value("every", "DUR", "Repeat with this pause until SIGTERM, and notify systemd's watchdog")
        .value_parser(parsed(pause))
        .conflicts_with("dry-run");
    let textfile = value("textfile", "PATH", "After each round write metrics to this file, for node_exporter")
        .value_parser(value_parser!(std::path::PathBuf));
    let from =
        value("from", "DATABASE", "Also deliver the journals for this database, as recover names it: its new address")
            .value_parser(parsed(former_database));
    database(verb).args([dry_run, stuck_after, assume_end, from, every, textfile.conflicts_with("dry-run"), json()])
}

fn serve(verb: Command) -> Command {
    let listen = value("listen", "ADDRESS", "Where to listen: an address with a port, or unix:PATH")
        .default_value("127.0.0.1:8477")
        .value_parser(parsed(listen));
    let allow_host = value("allow-host", "NAME", "Answer to this host name too; may be repeated")
        .action(ArgAction::Append)
        .value_parser(parsed(allowed_host));
    let recover = value("recover", "DUR", "Also recover with this pause, as `runwrap recover --every` does")
        .value_parser(parsed(pause));
    let stuck_after = stuck_after("Also end unwatched records in training after this time without a sign of life: 24h")
        .requires("recover");
    database(verb).args([listen, allow_host, recover, stuck_after])
}

fn finalize(verb: Command) -> Command {
    let status = value("status", "STATUS", "How the run ended")
        .required(true)
        .value_parser(PossibleValuesParser::new(["completed", "failed"]).map(|word| word == "completed"));
    let ended_at = value("ended-at", "TIME", "When it ended: 2025-11-27T01:20:52Z; UTC unless it has a zone")
        .value_parser(parsed(instant));
    let metrics = value("metrics", "JSON", "Metrics to merge into the known ones").value_parser(parsed(metrics));
    let reason = value("reason", "TEXT", "Why; kept as error_message");
    let model_path = value("model-path", "PATH", "Path of the model");
    let force = switch("force", "Override an end that is already known");
    database(verb).args([id(), status, ended_at, reason, metrics, model_path, force])
}

fn note(verb: Command) -> Command {
    let text =
        Arg::new("text").value_name("TEXT").value_parser(parsed(note_text)).help("A remark, kept in the context");
    let tag = value("tag", "KEY[=VALUE]", "Add or change a tag; may be repeated")
        .action(ArgAction::Append)
        .value_parser(parsed(new_tag));
    let untag = value("untag", "KEY", "Take a tag away; may be repeated").action(ArgAction::Append);
    let something = ArgGroup::new("something").args(["text", "tag", "untag"]).required(true).multiple(true);
    database(verb).args([id(), text, tag, untag]).group(something)
}

fn report(verb: Command) -> Command {
    let metric = value(
        "metric",
        "KEY=VALUE",
        "A metric: a number, true, false, null, NaN, other JSON or else text; may be repeated",
    )
    .action(ArgAction::Append)
    .value_parser(parsed(metric));
    let step = value("step", "N", "The step or epoch of the metrics: where their curves have these values")
        .value_parser(parsed(step))
        .allow_negative_numbers(true)
        .requires("metric");
    let model_path = value("model-path", "PATH", "Path of the saved model");
    let error = value("error", "TEXT", "What went wrong");
    let something = ArgGroup::new("something").args(["metric", "model-path", "error"]).required(true).multiple(true);
    verb.args([metric, step, model_path, error]).group(something)
}

fn completions(verb: Command) -> Command {
    let shell = Arg::new("shell").value_name("SHELL").required(true).value_parser(value_parser!(clap_complete::Shell));
    verb.arg(shell.help("The shell that reads the script"))
}

/// Adds the options that `verb` takes from the table.
fn database(verb: Command) -> Command {
    let rows: Vec<_> = OPTIONS.into_iter().filter(|row| takes(verb.get_name(), row)).collect();
    verb.args(rows.into_iter().filter_map(flag))
}

fn value(long: &'static str, value_name: &'static str, help: &'static str) -> Arg {
    let lossy = OsStringValueParser::new().map(|text| text.to_string_lossy().into_owned());
    let hint = if value_name == "PATH" { ValueHint::AnyPath } else { ValueHint::Other };
    Arg::new(long).long(long).value_name(value_name).value_hint(hint).value_parser(lossy).help(help)
}

fn format(help: &'static str) -> Arg {
    let formats = PossibleValuesParser::new(Format::ALL.map(|(name, _)| name));
    let find = |name: String| Format::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, format)| format);
    value("format", "FORMAT", help).value_parser(formats.map(move |name| find(name).unwrap_or_default()))
}

fn color() -> Arg {
    let choices = [("auto", ColorChoice::Auto), ("always", ColorChoice::Always), ("never", ColorChoice::Never)];
    let find = move |word: String| choices.into_iter().find(|(known, _)| *known == word).map(|(_, choice)| choice);
    let words = PossibleValuesParser::new(choices.map(|(word, _)| word));
    value("color", "WHEN", "Color the output [default: auto]")
        .value_parser(words.map(move |word| find(word).unwrap_or(ColorChoice::Auto)))
}

fn stuck_after(help: &'static str) -> Arg {
    value("stuck-after", "DUR", help).value_parser(parsed(read_duration))
}

fn switch(long: &'static str, help: &'static str) -> Arg {
    Arg::new(long).long(long).action(ArgAction::SetTrue).help(help)
}

fn id() -> Arg {
    id_named("id").help("A record's id, or a run's id")
}

fn id_named(name: &'static str) -> Arg {
    Arg::new(name).value_name("ID").value_hint(ValueHint::Other).required(true).allow_negative_numbers(true)
}

fn json() -> Arg {
    switch("json", "Print JSON, keys named as the columns")
}

/// The flag of `row`; `None` if it has none. Keeps repeated values: `config` reports a second one.
fn flag(row: &'static OptionRow) -> Option<Arg> {
    let long = row.flag?.trim_start_matches('-');
    let default = row.default.or(row.computed_default).map(|default| format!(" [default: {default}]"));
    let variable = row.variable.map(|variable| format!(" [env:{variable}]"));
    let help: String = [Some(row.help.to_owned()), default, variable].into_iter().flatten().collect();
    let arg = Arg::new(row.key).long(long).short(row.short).help_heading(row.heading).help(help);
    let hint = match (row.kind, row.value_name) {
        (OptionKind::Path, "DIR") => ValueHint::DirPath,
        (OptionKind::Path, _) => ValueHint::AnyPath,
        _ => ValueHint::Other,
    };
    let arg = arg.value_parser(value_parser!(OsString));
    Some(match row.kind {
        OptionKind::Switch => {
            arg.action(ArgAction::Set).num_args(0).default_missing_value("true").overrides_with(row.key)
        }
        OptionKind::Choice => {
            let arg = arg.value_name(row.value_name).value_hint(hint).action(ArgAction::Append);
            arg.num_args(0..=1).require_equals(true).default_missing_value("true")
        }
        OptionKind::Text
        | OptionKind::Path
        | OptionKind::Duration
        | OptionKind::Bytes
        | OptionKind::Count
        | OptionKind::Secret
        | OptionKind::Repeated => arg.value_name(row.value_name).value_hint(hint).action(ArgAction::Append),
    })
}

/// A parser that reads a value with `read`; invalid UTF-8 is replaced.
fn parsed<T: Clone + Send + Sync + 'static>(
    read: fn(&str) -> Result<T, InvalidValue>,
) -> impl TypedValueParser<Value = T> {
    OsStringValueParser::new().try_map(move |text| read(&text.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn clap_accepts_the_definition() {
        super::command().debug_assert();
    }
}
