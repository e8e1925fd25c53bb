//! Bad input at the door, with the real binary: each misuse gives exit 125, a message that names the option and where
//! it came from, and starts nothing. Help and version work whatever else is broken.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A home of its own for one call, and the file that the trainer would make.
struct Door {
    home: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Door {
    fn new() -> Self {
        Self { home: TempDir::new().unwrap(), variables: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    fn with_config(self, content: &str) -> Self {
        fs::create_dir_all(self.path(".config/runwrap")).unwrap();
        self.with_file(".config/runwrap/config.toml", content)
    }

    fn with_file(self, name: &str, content: &str) -> Self {
        fs::write(self.path(name), content).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn call(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_runwrap"))
            .args(arguments)
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", "/usr/bin:/bin")
            .envs(self.variables.iter().map(|(name, value)| (*name, value.as_str())))
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// `options` before a trainer that would leave a mark are refused with a message that has all of `parts` in it.
    #[track_caller]
    fn refuses(&self, options: &[&str], parts: &[&str]) {
        let arguments = [options, &["--", "touch", "mark"]].concat();
        self.refuses_call(&arguments, parts);
    }

    #[track_caller]
    fn refuses_call(&self, arguments: &[&str], parts: &[&str]) {
        self.refuses_after_asking(arguments, parts);
        assert!(!self.path(".local").exists(), "something was begun");
    }

    /// The same, where only the database can tell what is wrong.
    #[track_caller]
    fn refuses_after_asking(&self, arguments: &[&str], parts: &[&str]) {
        let output = self.call(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(125), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        for part in parts {
            assert!(said.contains(part), "{arguments:?}: no \"{part}\" in: {said}");
        }
        assert!(said.lines().all(|line| line.starts_with("runwrap: ")), "{said}");
        assert!(said.contains("hint: "), "no hint in: {said}");
        assert!(!said.contains("hunter2"), "a password is shown: {said}");
        assert!(!self.path("mark").exists(), "the trainer was started");
    }
}

#[test]
fn a_duration_without_a_unit_is_refused_and_names_its_source() {
    Door::new().refuses(&["--heartbeat", "30"], &["cannot use --heartbeat 30: a duration needs a unit", "write 30s"]);
    Door::new()
        .with("RUNWRAP_HEARTBEAT", "30")
        .refuses(&[], &["cannot use RUNWRAP_HEARTBEAT=30: a duration needs a unit"]);
    let door = Door::new().with_config("heartbeat = \"30\"\n");
    let file = door.path(".config/runwrap/config.toml");
    door.refuses(&[], &[&format!("cannot use heartbeat = 30 in {}: a duration needs a unit", file.display())]);
    Door::new().with_config("heartbeat = 30\n").refuses(&[], &["heartbeat in ", "a number without a unit", "\"30s\""]);
}

#[test]
fn a_malformed_url_is_refused_without_its_password() {
    for url in [
        "postgres://ml:hunter2@host:port/db",
        "postgres://ml:hunter2/@host/db",
        "postgres://ml:hunter2@@host/db",
        "postgres://ml:hunter2%zz@host/db",
        "postgres://ml:hunter2@[::1/db",
        "postgres://ml:hunter2@host/db?sslmode=maybe",
        "postgres:ml:hunter2@host/db",
        "mysql://ml:hunter2@host/db",
        "password=hunter2 host",
        "host=h password=my hunter2",
        "password='hunter2",
        "hunter2",
        "hunter2:hunter2",
        "sqlite://hunter2",
    ] {
        Door::new().refuses(&["--database-url", url], &["cannot use --database-url: "]);
        Door::new().with("RUNWRAP_DATABASE_URL", url).refuses(&[], &["cannot use RUNWRAP_DATABASE_URL: "]);
        Door::new().with_config(&format!("database_url = \"{url}\"\n")).refuses(&[], &["cannot use database_url in "]);
    }
    Door::new().with_config("database_url = postgres://ml:hunter2@host/db\n").refuses(&[], &["line 1 is not TOML"]);
}

#[test]
fn a_variable_of_libpq_that_cannot_be_used_is_named() {
    for (variable, value, cause) in [
        ("PGSSLMODE", "maybe", "the value of PGSSLMODE is unknown"),
        ("PGPORT", "http", "the value of PGPORT is not a number"),
        ("PGHOSTADDR", "localhost", "the value of PGHOSTADDR is not an IP address"),
        ("PGCONNECT_TIMEOUT", "10s", "the value of PGCONNECT_TIMEOUT is not a number of seconds"),
        ("PGCHANNELBINDING", "maybe", "the value of PGCHANNELBINDING is unknown"),
        ("PGTARGETSESSIONATTRS", "slave", "the value of PGTARGETSESSIONATTRS is unknown"),
        ("PGSSLCRL", "x", "cannot honour PGSSLCRL"),
        ("PGSERVICE", "none", "there is no service \"none\""),
    ] {
        let door = Door::new().with(variable, value).with("RUNWRAP_DATABASE_URL", "postgres://ml:hunter2@/db");
        door.refuses(&[], &["cannot use RUNWRAP_DATABASE_URL: ", cause]);
    }
    Door::new()
        .with("PGSSLMODE", "require")
        .refuses(&["--database-url", "postgres:///x?sslmode=maybe"], &["its sslmode is unknown"]);
}

#[test]
fn a_file_with_the_url_must_be_readable_and_say_what_is_meant() {
    let door = Door::new().with("RUNWRAP_DATABASE_URL_FILE", "/nowhere/url");
    door.refuses(&[], &["RUNWRAP_DATABASE_URL_FILE=/nowhere/url", "cannot read the file"]);
    let door = Door::new().with_file("url", "").with("RUNWRAP_DATABASE_URL_FILE", "url");
    door.refuses(&[], &["RUNWRAP_DATABASE_URL_FILE=url", "it is empty"]);
    let door = Door::new().with_file("url", "postgres://ml:hunter2@h:x/db\n").with("RUNWRAP_DATABASE_URL_FILE", "url");
    door.refuses(&[], &["RUNWRAP_DATABASE_URL_FILE=url", "port"]);
    Door::new().with_config("database_url_file = \"/nowhere/url\"").refuses(&[], &["database_url_file", "cannot read"]);
}

/// Whatever stands where a small file should: it is not waited for, and not read to its end.
#[test]
fn what_is_no_small_file_is_refused_and_never_waited_for() {
    let door = Door::new();
    fs::write(door.path("latin"), b"name = \"\xe9\"").unwrap();
    fs::create_dir(door.path("folder")).unwrap();
    fs::File::create(door.path("sparse")).unwrap().set_len(1 << 33).unwrap();
    std::os::unix::fs::symlink("loop", door.path("loop")).unwrap();
    assert!(Command::new("mkfifo").arg(door.path("pipe")).status().unwrap().success());
    let cases = [
        ("folder", "directory"),
        ("sparse", "larger than 1048576 bytes"),
        ("/dev/zero", "larger than 1048576 bytes"),
        ("latin", "not UTF-8"),
        ("loop", "symbolic links"),
        ("pipe", "no end of it came within 5s"),
    ];
    let refuses = &|name: &str, part: &str| {
        door.refuses(&["--config", name], &[&format!("cannot use --config {name}: "), part]);
        let path = door.path(name);
        let with = |variable| Door::new().with(variable, path.to_str().unwrap());
        with("RUNWRAP_DATABASE_URL_FILE").refuses(&[], &["cannot use RUNWRAP_DATABASE_URL_FILE=", part]);
        with("PGSERVICEFILE")
            .refuses(&["--database-url", "service=training"], &["cannot use --database-url: cannot read ", part]);
    };
    std::thread::scope(|scope| {
        for (name, part) in cases {
            scope.spawn(move || refuses(name, part));
        }
    });
}

#[test]
fn a_file_with_the_url_may_be_a_pipe_of_the_shell_and_have_what_editors_add() {
    for content in [r"sqlite:a.db", r"sqlite:a.db\r\n", r"\357\273\277sqlite:a.db\n\n"] {
        let door = Door::new();
        let call = format!(
            "RUNWRAP_DATABASE_URL_FILE=<(printf '{content}') \"$RUNWRAP\" --config <(echo 'name = \"x\"') -- true"
        );
        let mut shell = Command::new("bash");
        shell.args(["-c", &call]).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", door.home.path());
        shell.env("RUNWRAP", env!("CARGO_BIN_EXE_runwrap")).current_dir(door.home.path());
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(door.path("a.db").exists());
    }
}

#[test]
fn two_databases_at_once_are_refused() {
    Door::new()
        .with("RUNWRAP_DATABASE_URL", "sqlite:a.db")
        .with("RUNWRAP_DATABASE_URL_FILE", "url")
        .refuses(&[], &["RUNWRAP_DATABASE_URL and RUNWRAP_DATABASE_URL_FILE=url", "two databases at once"]);
    Door::new()
        .refuses(&["--database-url", "sqlite:a.db", "--database-url", "sqlite:b.db"], &["two databases at once"]);
    Door::new()
        .with_config("database_url = \"sqlite:a.db\"\ndatabase_url_file = \"url\"")
        .refuses(&[], &["database_url in ", "database_url_file = url in ", "two databases at once"]);
    Door::new().refuses_call(
        &["--database-url", "sqlite:a.db", "list", "--database-url", "sqlite:b.db"],
        &["two databases at once"],
    );
}

#[test]
fn an_unknown_key_of_the_file_is_named_with_the_nearest_known_one() {
    let door = Door::new().with_config("heartbeet = \"30s\"\n");
    let file = door.path(".config/runwrap/config.toml");
    door.refuses(&[], &[&format!("cannot use heartbeet in {}", file.display()), "did you mean heartbeat?"]);
}

#[test]
fn a_file_that_is_named_must_exist() {
    Door::new().refuses(&["--config", "none.toml"], &["--config none.toml", "cannot read the configuration file"]);
    Door::new().with("RUNWRAP_CONFIG", "none.toml").refuses(&[], &["RUNWRAP_CONFIG=none.toml"]);
}

#[test]
fn no_command_is_refused() {
    for arguments in [&[][..], &["--"], &["--", ""], &[""], &["-v"], &["--timeout", "5m", "--"]] {
        Door::new().refuses_call(arguments, &["there is no command to run", "write runwrap -- COMMAND"]);
    }
}

#[test]
fn a_forgotten_separator_is_put_where_it_belongs() {
    Door::new().refuses_call(&["touch", "mark"], &["there is no -- before touch", "write runwrap -- touch mark"]);
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
    Door::new().refuses_call(&["help"], &["there is no verb help", "see runwrap --help"]);
    Door::new().refuses_call(&["help", "list"], &["see runwrap list --help"]);
    Door::new().refuses_call(&["version"], &["see runwrap --version"]);
    Door::new().refuses_call(&["touch mark"], &["write runwrap -- touch mark"]);
}

#[test]
fn an_unknown_option_is_named() {
    Door::new().refuses(&["--heartbeet", "5s"], &["there is no option --heartbeet", "did you mean --heartbeat?"]);
    Door::new().refuses(&["--epochs=3"], &["there is no option --epochs", "behind --"]);
    Door::new().refuses(&["--database-urll=postgres://u:hunter2@h/db"], &["did you mean --database-url?"]);
    Door::new().refuses(&["--name"], &["--name <NAME> needs a value"]);
    Door::new().refuses(&["--quiet=1"], &["takes no value"]);
}

#[test]
fn an_option_of_a_run_before_a_verb_is_refused() {
    Door::new().refuses_call(&["--timeout", "5m", "list"], &["list does not take --timeout"]);
    Door::new().refuses_call(&["-v", "report", "--metric", "a=1"], &["report does not take --verbose"]);
    Door::new().refuses_call(&["list", "--timeout", "5m"], &["list does not take --timeout"]);
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    Door::new().refuses(&["--lease", "30s"], &["--lease 30s", "before the next heartbeat"]);
    Door::new().refuses(&["--heartbeat", "10m"], &["--heartbeat 10m", "before the next heartbeat"]);
    Door::new().refuses(&["-v", "-q"], &["verbose is on"]);
    Door::new().refuses(&["--name", "a", "--name", "b"], &["--name b", "given twice"]);
}

#[test]
fn values_that_make_no_sense_are_refused() {
    for (options, part) in [
        (["--heartbeat", "0s"], "too short"),
        (["--timeout", "0s"], "too short"),
        (["--timeout", "5 parsecs"], "not a unit"),
        (["--timeout", "99999999999years"], "too l"),
        (["--stderr-tail", "4K"], "whole number"),
        (["--table", "a.b.c"], "not the name of a table"),
        (["--table", "training records"], "double quotes"),
        (["--table", "\"training records"], "double quotes"),
        (["--table", ""], "empty"),
        (["--name", ""], "empty"),
        (["--set", "status=completed"], "runwrap itself writes status"),
        (["--set", "team"], "not COLUMN=VALUE"),
    ] {
        Door::new().refuses(&options, &[options[0], part]);
    }
    Door::new()
        .refuses_call(&["check", "--stuck-after", "30"], &["cannot use --stuck-after 30: a duration needs a unit"]);
    Door::new().refuses_call(&["recover", "--every=-1s"], &["cannot use --every -1s: a duration cannot be negative"]);
    Door::new().refuses(&["--timeout=-5s"], &["--timeout -5s", "cannot be negative"]);
    Door::new().with("RUNWRAP_NO_MIGRATE", "maybe").refuses(&[], &["RUNWRAP_NO_MIGRATE=maybe", "neither yes nor no"]);
}

#[test]
fn what_only_the_database_knows_is_refused_before_the_start_too() {
    Door::new()
        .refuses_after_asking(&["--set", "colour=red", "--", "touch", "mark"], &["--set colour", "no such column"]);
    Door::new().refuses_after_asking(&["--record-id", "999", "--", "touch", "mark"], &["--record-id 999"]);
}

#[test]
fn a_name_of_a_table_with_blanks_stands_in_quotes() {
    let table = ["--table", "\"training records, 2.0\""];
    let door = Door::new();
    let output = door.call(&[&table[..], &["--", "true"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list = door.call(&[&table[..], &["list", "--json"]].concat());
    assert!(String::from_utf8_lossy(&list.stdout).contains("\"completed\""), "{list:?}");
}

#[test]
fn what_is_not_utf_8_is_refused_where_it_would_be_lost() {
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

/// The answer names every column that there is; too long for a message, it ended one keeper after the other.
#[test]
fn an_answer_of_many_words_refuses_too() {
    let door = Door::new();
    let columns: String = (0..1500).map(|number| format!(", column_{number}_{}", "x".repeat(40))).collect();
    let database = rusqlite::Connection::open(door.path("a.db")).unwrap();
    let own = "id INTEGER PRIMARY KEY, version, status, train_start_time, train_end_time, train_duration, train_metrics, \
               model_path, error_message, created_at";
    database.execute_batch(&format!("CREATE TABLE training_records ({own}{columns})")).unwrap();
    let call = ["--database-url", "sqlite:a.db", "--set", "colour=red", "--", "touch", "mark"];
    door.refuses_after_asking(&call, &["--set colour", "no such column"]);
}

/// The run lasts for days, and its command line can be read by everybody on the host.
#[test]
fn the_url_of_a_run_is_not_in_its_command_line() {
    let door = Door::new();
    let show = ["--", "sh", "-c", "tr '\\0' '\\n' < /proc/$PPID/cmdline"];
    let url = "postgres://ml:hunter2@127.0.0.1:1/db";
    let start = ["--start-timeout", "1ms", "--finish-timeout", "1ms", "--linger", "0s", "-n", "secret"];
    let output = door.call(&[&["--database-url", url][..], &start, &show].concat());
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("--database-url\n****") && shown.contains("-n\nsecret"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_current_directory_that_was_removed_does_not_keep_a_run_from_starting() {
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
fn help_and_version_work_when_nothing_else_does() {
    let door = Door::new().with_config("not TOML").with("RUNWRAP_HEARTBEAT", "x").with("PGSSLMODE", "x");
    for arguments in [&["--help"][..], &["-h"], &["--version"], &["list", "--help"], &["completions", "bash"]] {
        let output = door.call(arguments);
        assert!(output.status.success(), "{arguments:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn help_shows_every_option_with_its_variable_and_no_value_of_the_environment() {
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
fn a_reader_that_goes_away_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = Command::new(env!("CARGO_BIN_EXE_runwrap")).arg("--help").stdout(writer).status().unwrap();
    assert!(status.success());
    let full = fs::OpenOptions::new().write(true).open(Path::new("/dev/full")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_runwrap")).arg("--help").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
}
