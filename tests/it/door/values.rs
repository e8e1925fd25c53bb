//! Unusable values of options, from every layer.

use std::process::Command;

use super::Door;

#[test]
fn duration_without_a_unit_is_refused_with_its_source() {
    Door::new().refuses(&["--heartbeat", "30"], &["cannot use --heartbeat 30: a duration needs a unit", "write 30s"]);
    Door::new()
        .with("RUNWRAP_HEARTBEAT", "30")
        .refuses(&[], &["cannot use RUNWRAP_HEARTBEAT=30: a duration needs a unit"]);
    let door = Door::new().with_config("heartbeat = \"30\"\n");
    let file = door.path(".config/runwrap/config.toml");
    door.refuses(&[], &[&format!("cannot use heartbeat = 30 in {}: a duration needs a unit", file.display())]);
    Door::new().with_config("heartbeat = 30\n").refuses(&[], &["heartbeat in ", "integer", "\"30s\""]);
}

#[test]
fn unknown_configuration_key_gets_a_suggestion() {
    let door = Door::new().with_config("heartbeet = \"30s\"\n");
    let file = door.path(".config/runwrap/config.toml");
    door.refuses(&[], &[&format!("cannot use heartbeet in {}", file.display()), "did you mean heartbeat?"]);
}

#[test]
fn named_configuration_file_must_exist() {
    Door::new().refuses(&["--config", "none.toml"], &["--config none.toml", "cannot read the configuration file"]);
    Door::new().with("RUNWRAP_CONFIG", "none.toml").refuses(&[], &["RUNWRAP_CONFIG=none.toml"]);
}

#[test]
fn contradictory_options_are_refused() {
    Door::new().refuses(&["--lease", "30s"], &["--lease 30s", "before the next heartbeat"]);
    Door::new().refuses(&["--heartbeat", "10m"], &["--heartbeat 10m", "before the next heartbeat"]);
    Door::new().refuses(&["-v", "-q"], &["verbose is on"]);
    Door::new().refuses(&["--name", "a", "--name", "b"], &["--name b", "given twice"]);
}

#[test]
fn senseless_values_are_refused() {
    for (options, part) in [
        (["--heartbeat", "0s"], "too short"),
        (["--timeout", "0s"], "too short"),
        (["--timeout", "5 parsecs"], "unknown time unit"),
        (["--timeout", "99999999999years"], "too l"),
        (["--stderr-tail", "4K"], "whole number"),
        (["--table", "a.b.c"], "not the name of a table"),
        (["--table", "training records"], "double quotes"),
        (["--table", "\"training records"], "double quote is not closed"),
        (["--table", ""], "empty"),
        (["--name", ""], "empty"),
        (["--set", "status=completed"], "runwrap itself writes status"),
        (["--set", "team"], "not COLUMN=VALUE"),
    ] {
        Door::new().refuses(&options, &[options[0], part]);
    }
    Door::new().refuses_call(
        &["check", "--stuck-after", "30"],
        &["invalid value '30' for '--stuck-after <DUR>': a duration needs a unit"],
    );
    Door::new()
        .refuses_call(&["recover", "--every=-1s"], &["invalid value '-1s' for '--every <DUR>': it is not a duration"]);
    Door::new().refuses(&["--timeout=-5s"], &["--timeout -5s", "not a duration"]);
    Door::new().with("RUNWRAP_NO_MIGRATE", "maybe").refuses(&[], &["RUNWRAP_NO_MIGRATE=maybe", "neither yes nor no"]);
}

#[test]
fn non_utf_8_values_are_refused_except_in_paths() {
    use std::os::unix::ffi::OsStrExt;
    let value = std::ffi::OsStr::from_bytes(b"caf\xe9");
    for row in runwrap::config::options::OPTIONS.into_iter().filter(|row| row.variable.is_some()) {
        let fits = ["model_path", "state_dir", "log_file", "config", "database_url_file"].contains(&row.key);
        let door = Door::new();
        let variable = row.variable.unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_runwrap"));
        command.args(["--", "touch", "mark"]).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", door.home.path());
        let output = command.env(variable, value).current_dir(door.home.path()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        if fits {
            assert!(!said.contains("UTF-8"), "{variable}: {said}");
        } else {
            assert_eq!(output.status.code(), Some(125), "{variable}: {said}");
            assert!(said.contains(variable) && said.contains("UTF-8") && !door.path("mark").exists(), "{said}");
        }
    }
}
