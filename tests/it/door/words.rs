//! The command line: missing and unknown commands, verbs and options, and the calls that work with any settings.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::Door;

#[test]
fn missing_command_is_refused() {
    for arguments in [&[][..], &["--"], &["--", ""], &[""], &["-v"], &["--timeout", "5m", "--"]] {
        Door::new().refuses_call(arguments, &["there is no command to run", "write runwrap -- COMMAND"]);
    }
}

#[test]
fn missing_separator_gets_a_suggestion() {
    Door::new().refuses_call(&["touch", "mark"], &["there is no verb touch", "write runwrap -- touch mark"]);
    Door::new().refuses_call(&["-n", "x", "touch", "mark", "-a"], &["write runwrap -n x -- touch mark -a"]);
    Door::new().refuses_call(
        &["--database-url", "postgres://u:hunter2@h/db", "touch", "mark"],
        &["write runwrap --database-url … -- touch mark"],
    );
    Door::new().refuses_call(&["lst"], &["there is no verb lst", "did you mean list?"]);
    for verb in ["run", "exec", "start"] {
        Door::new().refuses_call(
            &["-n", "x", verb, "--", "touch", "mark"],
            &[&format!("there is no verb {verb}"), "write runwrap -n x -- touch mark"],
        );
        Door::new().refuses_call(&[verb, "touch", "mark"], &["write runwrap -- touch mark"]);
        Door::new().refuses_call(&[verb], &["there is no verb", "write runwrap -- COMMAND"]);
    }
    Door::new().refuses_call(&["touch mark"], &["write runwrap -- touch mark"]);
}

#[test]
fn former_database_must_be_one_that_recover_names() {
    for text in ["nonsense", "postgresql://h/db", "runs.db"] {
        Door::new()
            .refuses_call(&["recover", "--from", text], &["--from", "copy it from the output of `runwrap recover`"]);
    }
}

#[test]
fn unknown_option_gets_a_suggestion() {
    Door::new().refuses(&["--heartbeet", "5s"], &["unexpected argument '--heartbeet'", "did you mean --heartbeat?"]);
    Door::new().refuses(&["--epochs=3"], &["unexpected argument '--epochs'", "behind --"]);
    Door::new().refuses(&["--database-urll=postgres://u:hunter2@h/db"], &["did you mean --database-url?"]);
    Door::new().refuses(&["--name"], &["a value is required for '--name <NAME>'"]);
    Door::new().refuses(&["--quiet=1"], &["no more were expected"]);
}

#[test]
fn option_of_a_run_before_a_verb_is_refused() {
    Door::new().refuses_call(&["--timeout", "5m", "list"], &["list does not take --timeout"]);
    Door::new().refuses_call(&["-v", "report", "--metric", "a=1"], &["report does not take --verbose"]);
    Door::new().refuses_call(&["list", "--timeout", "5m"], &["unexpected argument '--timeout'"]);
}

/// runwrap refused to start there; a bare command starts.
#[test]
fn run_starts_in_a_removed_current_directory() {
    let door = Door::new();
    let script = "mkdir gone && cd gone && rmdir ../gone && exec \"$RUNWRAP_BINARY\" -- touch \"$HOME/mark\"";
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", door.home.path())
        .env("RUNWRAP_BINARY", env!("CARGO_BIN_EXE_runwrap"));
    let output = shell.current_dir(door.home.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(door.path("mark").exists());
}

#[test]
fn help_and_version_work_with_broken_settings() {
    let door = Door::new().with_config("not TOML").with("RUNWRAP_HEARTBEAT", "x").with("PGSSLMODE", "x");
    for arguments in [
        &["--help"][..],
        &["-h"],
        &["--version"],
        &["help"],
        &["help", "list"],
        &["list", "--help"],
        &["completions", "bash"],
    ] {
        let output = door.call(arguments);
        assert!(output.status.success(), "{arguments:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn help_names_every_option_and_no_environment_value() {
    let door = Door::new().with("RUNWRAP_DATABASE_URL", "postgres://u:hunter2@h/db");
    let help = String::from_utf8(door.call(&["--help"]).stdout).unwrap();
    for row in runwrap::config::options::OPTIONS {
        for name in [row.flag, row.variable].into_iter().flatten() {
            assert!(help.contains(name), "{name} is not in the help");
        }
    }
    assert!(!help.contains("hunter2"));
}

#[test]
fn help_to_a_closed_pipe_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = Command::new(env!("CARGO_BIN_EXE_runwrap")).arg("--help").stdout(writer).status().unwrap();
    assert!(status.success());
    let full = fs::OpenOptions::new().write(true).open(Path::new("/dev/full")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_runwrap")).arg("--help").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
}
