//! The manual pages: the options by clap_mangen from the definition, the other sections from `help` and `verbs`. Must not
//! write a file.

mod verbs;

use std::io;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::help::{self, Rows};
use super::{EarlyExit, definition};
use crate::config::options::{DATABASE_URL_FILE, OPTIONS, OptionRow};
use verbs::VERBS;

const PROGRAM: &str = "runwrap";

const DESCRIPTION: [&str; 3] = [
    "runwrap starts COMMAND and keeps exactly one database row of the run. The row's status is training while the command \
     runs, and completed or failed afterwards, with the end time, the duration and the reason. This holds if the command is \
     killed, if runwrap is killed, and if the database is down at the end.",
    "The command's output, exit status and signals are the same as without runwrap. Everything after -- is the command. \
     Options of runwrap come before it.",
    "runwrap writes each event of the run to a journal in the state directory first. A second process, the keeper, delivers \
     the journal to the database. If the database does not answer within --start-timeout, the command starts without it.",
];

const STATUS: &str = "The exit status is that of the command. If a signal ended the command, runwrap ends by the same signal. \
                      Otherwise:";

/// The variables that are not options.
const VARIABLES: Rows = &[
    ("PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD, PGSSLMODE, ...", "PostgreSQL's variables, as for psql(1)."),
    ("XDG_DATA_HOME, XDG_STATE_HOME, XDG_CONFIG_HOME", "Replace ~/.local/share, ~/.local/state and ~/.config below."),
];

const FILES: Rows = &[
    ("~/.config/runwrap/config.toml", "The configuration file. Its keys are the options with underscores."),
    ("~/.local/state/runwrap/", "The state directory. It has the journals that are not delivered yet."),
    ("~/.local/state/runwrap/runwrap.log", "The log. At 4 MiB it is renamed to runwrap.log.1."),
    ("~/.local/share/runwrap/runwrap.db", "The SQLite database that is used if no other is chosen."),
    ("~/.pgpass, ~/.pg_service.conf, ~/.postgresql/", "Passwords, services and certificates, as for psql(1)."),
];

/// The page of `verb`, or that of the program.
///
/// # Errors
/// There is no such verb.
pub(super) fn page(verb: Option<&str>) -> Result<String, EarlyExit> {
    let mut program = definition::command();
    program.build();
    let page = match verb {
        None => page_of_program(program),
        Some(name) => match program.find_subcommand(name).cloned() {
            Some(verb) => page_of_verb(verb),
            None => return Err(EarlyExit::usage(format!("there is no verb {name}"), "see runwrap help")),
        },
    };
    page.map(|page| finish(&page)).map_err(|error| EarlyExit::usage(error.to_string(), "see runwrap help"))
}

fn page_of_program(program: Command) -> io::Result<String> {
    let verbs: Vec<(String, String)> = visible(&program)
        .map(|verb| (page_name(verb.get_name()), verb.get_about().map(ToString::to_string).unwrap_or_default()))
        .collect();
    let see_also: Vec<String> = verbs.iter().map(|(page, _)| page.clone()).collect();
    let mut page = head(program, &[&DESCRIPTION[..], &help::VALUES].concat())?;
    page += &rows("VERBS", &verbs);
    page += &rows("ENVIRONMENT", &variables(|_| true));
    page += &subsection("The environment of the command", help::TRAINER_VARIABLES);
    page += &section("EXIT STATUS", &[STATUS]);
    page += &list(&owned(help::STATUSES));
    page += &rows("FILES", &owned(FILES));
    page += &examples(help::EXAMPLES);
    page += &see(&see_also);
    Ok(page)
}

fn page_of_verb(verb: Command) -> io::Result<String> {
    let name = verb.get_name().to_owned();
    let about = verb.get_about().map(|about| format!("{about}.")).unwrap_or_default();
    let manual = VERBS.iter().find(|manual| manual.verb == name).unwrap_or(&verbs::UNKNOWN);
    let takes_options = OPTIONS.into_iter().any(|row| definition::takes(&name, row));
    let mut page = head(verb, &[&[about.as_str()], manual.description].concat())?;
    let mut environment = owned(manual.variables);
    if takes_options {
        environment.extend(variables(|row| definition::takes(&name, row)));
    }
    page += &rows("ENVIRONMENT", &environment);
    page += &rows("EXIT STATUS", &owned(manual.statuses));
    page += &rows("FILES", &owned(if takes_options { FILES } else { manual.files }));
    page += &examples(manual.examples);
    let others = manual.see_also.iter().map(|verb| page_name(verb));
    page += &see(&[format!("{PROGRAM}(1)")].into_iter().chain(others).collect::<Vec<_>>());
    Ok(page)
}

fn visible(program: &Command) -> impl Iterator<Item = &Command> {
    program.get_subcommands().filter(|verb| !verb.is_hide_set())
}

fn page_name(verb: &str) -> String {
    format!("{PROGRAM}-{verb}(1)")
}

/// The parts up to the options. The synopsis is that of the help: the derived one lists each option.
fn head(mut command: Command, description: &[&str]) -> io::Result<String> {
    let name = command.get_display_name().unwrap_or(PROGRAM).to_owned();
    let usage = command.render_usage().to_string();
    let command = command.override_usage(usage.trim_start_matches("Usage: ").to_owned());
    let man = Man::new(command);
    let render = |part: fn(&Man, &mut dyn io::Write) -> io::Result<()>| {
        let mut text = Vec::new();
        part(&man, &mut text)?;
        Ok::<_, io::Error>(String::from_utf8_lossy(&text).into_owned())
    };
    // Without a date, so that the same source makes the same page; clap_mangen omits an empty argument.
    let title = format!(".TH {name} 1 \"\" \"{PROGRAM} {}\" \"User Commands\"\n", env!("CARGO_PKG_VERSION"));
    let start = title + &render(Man::render_name_section)? + &render(Man::render_synopsis_section)?;
    // The other headings are parts of this section.
    let options =
        render(Man::render_options_section)?.replace("\n.SH ", "\n.SS ").replace(".SS OPTIONS", ".SH OPTIONS");
    Ok(start + &section("DESCRIPTION", description) + &options)
}

/// A heading and paragraphs.
fn section(heading: &str, paragraphs: &[&str]) -> String {
    let mut roff = Roff::new();
    roff.control("SH", [heading]);
    for (index, paragraph) in paragraphs.iter().enumerate() {
        if index > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(*paragraph)]);
    }
    roff.render()
}

/// A heading and a list; empty without rows.
fn rows(heading: &str, rows: &[(String, String)]) -> String {
    if rows.is_empty() { String::new() } else { section(heading, &[]) + &list(rows) }
}

fn subsection(heading: &str, rows: Rows) -> String {
    Roff::new().control("SS", [heading]).render() + &list(&owned(rows))
}

fn list(rows: &[(String, String)]) -> String {
    let mut roff = Roff::new();
    for (term, text) in rows {
        roff.control("TP", []).text([bold(term)]).text([roman(sentence(text))]);
    }
    roff.render()
}

/// Each example on a line of its own, its explanation below.
fn examples(rows: Rows) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]);
    for (line, text) in rows {
        roff.control("TP", []).text([bold(*line)]);
        // Without a text the next example would be taken for it.
        roff.text([roman(if text.is_empty() { "\u{a0}".to_owned() } else { sentence(text) })]);
    }
    roff.render()
}

fn see(pages: &[String]) -> String {
    section("SEE ALSO", &[&pages.join(", ")])
}

/// The environment variables of the options that are taken.
fn variables(is_taken: impl Fn(&OptionRow) -> bool) -> Vec<(String, String)> {
    let taken = OPTIONS.into_iter().filter(|row| is_taken(row));
    let named = taken.filter_map(|row| Some((row.variable?.to_owned(), meaning(row))));
    named.chain(owned(VARIABLES)).collect()
}

fn meaning(row: &OptionRow) -> String {
    match row.flag {
        Some(flag) => format!("The option {flag}."),
        None if row.key == DATABASE_URL_FILE.key => "The path of a file with the URL of the database.".to_owned(),
        None => String::new(),
    }
}

fn owned(rows: Rows) -> Vec<(String, String)> {
    rows.iter().map(|(term, text)| ((*term).to_owned(), (*text).to_owned())).collect()
}

/// A text of the help, which begins with a small letter and has no period, as a sentence.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first: String = characters.next().into_iter().flat_map(char::to_uppercase).collect();
    let period = if text.ends_with(['.', ')', ':']) || text.is_empty() { "" } else { "." };
    let is_word = text.starts_with(|character: char| character.is_ascii_lowercase()) && !text.starts_with(PROGRAM);
    if is_word { format!("{first}{}{period}", characters.as_str()) } else { format!("{text}{period}") }
}

/// One preamble instead of one for each part, one line break where clap_mangen makes two, and ASCII alone: a page does not
/// state its encoding.
fn finish(page: &str) -> String {
    let preamble = Roff::new().render();
    let body = page.replace(&preamble, "").replace("\n.br\n\n.br\n", "\n.br\n").replace('…', "...");
    let ascii = body.chars().map(|character| match character {
        '\u{a0}' => "\\ ".to_owned(),
        character if character.is_ascii() => character.to_string(),
        character => format!("\\[u{:04X}]", u32::from(character)),
    });
    preamble + &ascii.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If it fails for a new verb: add its description and its exit statuses to `VERBS`.
    #[test]
    fn each_verb_has_its_texts_and_no_other() {
        let program = definition::command();
        let verbs: Vec<&str> = visible(&program).map(Command::get_name).collect();
        let described: Vec<&str> = VERBS.iter().map(|manual| manual.verb).collect();
        assert_eq!(described, verbs);
        for manual in VERBS {
            assert!(manual.statuses.first().is_some_and(|(status, _)| *status == "0"), "{}", manual.verb);
            assert!(manual.see_also.iter().all(|verb| verbs.contains(verb)), "{}", manual.verb);
        }
    }

    #[test]
    fn an_unknown_verb_has_no_page() {
        let error = EarlyExit::usage("there is no verb lists", "see runwrap help");
        assert_eq!(page(Some("lists")), Err(error));
    }

    #[test]
    fn a_help_text_becomes_a_sentence() {
        for (text, expected) in [
            ("the id of this run", "The id of this run."),
            ("runwrap itself failed", "runwrap itself failed."),
            ("--timeout ran out", "--timeout ran out."),
            ("Success.", "Success."),
            ("", ""),
        ] {
            assert_eq!(sentence(text), expected);
        }
    }
}
