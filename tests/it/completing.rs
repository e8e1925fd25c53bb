//! The completion script in a real, interactive bash.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::site::Site;
use crate::support::terminal::{PROMPT, Terminal};

const CLEAR_LINE: &str = "\x15";
/// Bound to a command that prints the line.
const SHOW_LINE: &str = "\x14";

/// A bash that completes `runwrap`, with a single program on its PATH, `zz-trainer`, and a file `zz-data.csv`.
fn bash(site: &Site) -> Terminal {
    let bin = site.path().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("zz-trainer"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(bin.join("zz-trainer"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(site.path().join("zz-data.csv"), "").unwrap();
    let mut command = site.program("bash");
    command.args(["--norc", "--noprofile", "-i"]).env("PS1", PROMPT).env("TERM", "dumb");
    command.env("RUNWRAP", env!("CARGO_BIN_EXE_runwrap")).env("INPUTRC", "/dev/null");
    let mut terminal = Terminal::start(&mut command);
    terminal.prompt();
    for line in [
        "bind 'set enable-bracketed-paste off'; bind 'set bell-style none'; bind 'set show-all-if-ambiguous on'",
        "bind 'set completion-query-items 0'; bind 'set page-completions off'",
        r#"bind -x '"\C-t": printf "<%s>" "$READLINE_LINE"'"#,
        "source <(\"$RUNWRAP\" completions bash); PATH=$PWD/bin",
    ] {
        terminal.answer(line);
    }
    terminal
}

/// Types `line` and a tab. Returns the line after it, and the words that were offered.
#[track_caller]
fn complete(terminal: &mut Terminal, line: &str) -> (String, BTreeSet<String>) {
    terminal.press(&format!("{line}\t{SHOW_LINE}"));
    let shown = terminal.sees("<");
    let completed = terminal.sees(">");
    terminal.press(CLEAR_LINE);
    let offered = shown.split_once('\n').map(|(_, below)| below).unwrap_or_default();
    let words = offered.split_whitespace().filter(|word| !line.contains(word));
    (completed.trim_end().to_owned(), words.map(str::to_owned).collect())
}

#[test]
fn bash_completes_verbs_options_and_values() {
    let site = Site::sqlite();
    let mut terminal = bash(&site);
    for (line, expected) in [
        ("runwrap li", "runwrap list"),
        ("runwrap -v li", "runwrap -v list"),
        ("runwrap --req", "runwrap --require-database"),
        ("runwrap list --status f", "runwrap list --status failed"),
        ("runwrap recover --stu", "runwrap recover --stuck-after"),
        ("runwrap completions z", "runwrap completions zsh"),
        ("runwrap --config zz", "runwrap --config zz-data.csv"),
        ("runwrap list --req", "runwrap list --req"),
    ] {
        assert_eq!(complete(&mut terminal, line).0, expected);
    }
    let (line, offered) = complete(&mut terminal, "runwrap --sta");
    assert_eq!(line, "runwrap --sta");
    assert!(["--start-timeout", "--state-dir"].iter().all(|option| offered.contains(*option)), "{offered:?}");
    let (_, offered) = complete(&mut terminal, "runwrap list --sta");
    assert!(offered.contains("--status"), "{offered:?}");
}

#[test]
fn bash_completes_the_command_after_the_separator() {
    let site = Site::sqlite();
    let mut terminal = bash(&site);
    for (line, expected) in [
        ("runwrap -- zz", "runwrap -- zz-trainer"),
        ("runwrap -n x -- zz", "runwrap -n x -- zz-trainer"),
        ("runwrap -- zz-trainer zz", "runwrap -- zz-trainer zz-data.csv"),
        // Neither a verb nor an option of runwrap.
        ("runwrap -- fina", "runwrap -- fina"),
        ("runwrap -- zz-trainer --hear", "runwrap -- zz-trainer --hear"),
    ] {
        assert_eq!(complete(&mut terminal, line).0, expected);
    }
}
