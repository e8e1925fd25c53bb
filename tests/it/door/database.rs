//! The choice of the database: URLs, URL files, variables of libpq, and errors that only the database finds.

use std::fs;
use std::process::Command;

use super::Door;

#[test]
fn malformed_url_is_refused_without_its_password() {
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
fn unusable_variable_of_libpq_is_named() {
    for (variable, value, cause) in [
        ("PGSSLMODE", "maybe", "the value of PGSSLMODE is unknown"),
        ("PGPORT", "http", "the value of PGPORT is not a number"),
        ("PGHOSTADDR", "localhost", "the value of PGHOSTADDR is not an IP address"),
        ("PGCONNECT_TIMEOUT", "10s", "the value of PGCONNECT_TIMEOUT is not a number of seconds"),
        ("PGCHANNELBINDING", "maybe", "the value of PGCHANNELBINDING is unknown"),
        ("PGTARGETSESSIONATTRS", "slave", "the value of PGTARGETSESSIONATTRS is unknown"),
        ("PGREQUIREPEER", "postgres", "cannot honour PGREQUIREPEER"),
        ("PGREQUIREAUTH", "scram-sha-256", "cannot honour PGREQUIREAUTH"),
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
fn url_file_must_be_readable_and_valid() {
    let door = Door::new().with("RUNWRAP_DATABASE_URL_FILE", "/nowhere/url");
    door.refuses(&[], &["RUNWRAP_DATABASE_URL_FILE=/nowhere/url", "cannot read the file"]);
    let door = Door::new().with_file("url", "").with("RUNWRAP_DATABASE_URL_FILE", "url");
    door.refuses(&[], &["RUNWRAP_DATABASE_URL_FILE=url", "it is empty"]);
    let door = Door::new().with_file("url", "postgres://ml:hunter2@h:x/db\n").with("RUNWRAP_DATABASE_URL_FILE", "url");
    door.refuses(&[], &["RUNWRAP_DATABASE_URL_FILE=url", "port"]);
    Door::new().with_config("database_url_file = \"/nowhere/url\"").refuses(&[], &["database_url_file", "cannot read"]);
}

/// A FIFO in place of a configuration, URL or service file blocked runwrap.
#[test]
fn input_that_is_no_small_file_is_refused_in_time() {
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
        ("pipe", "it did not end within 5s"),
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

/// Also with what editors add: a byte-order mark, CRLF, blank lines.
#[test]
fn url_file_may_be_a_process_substitution() {
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
fn errors_that_only_the_database_finds_prevent_the_start() {
    Door::new()
        .refuses_after_asking(&["--set", "colour=red", "--", "touch", "mark"], &["--set colour", "no such column"]);
    Door::new().refuses_after_asking(&["--record-id", "999", "--", "touch", "mark"], &["--record-id 999"]);
}

#[test]
fn quoted_table_name_may_have_blanks() {
    let table = ["--table", "\"training records, 2.0\""];
    let door = Door::new();
    let output = door.call(&[&table[..], &["--", "true"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list = door.call(&[&table[..], &["list", "--json"]].concat());
    assert!(String::from_utf8_lossy(&list.stdout).contains("\"completed\""), "{list:?}");
}

/// The answer names every column. Too long for a message, it ended one keeper after the other.
#[test]
fn long_answer_of_the_database_is_still_a_refusal() {
    let door = Door::new();
    let columns: Vec<String> = (0..1500).map(|number| format!("column_{number}_{}", "x".repeat(40))).collect();
    let database = rusqlite::Connection::open(door.path("a.db")).unwrap();
    let own = "id INTEGER PRIMARY KEY, version, status, train_start_time, train_end_time, train_duration, train_metrics, \
               model_path, error_message, created_at";
    database.execute_batch(&format!("CREATE TABLE training_records ({own}, {})", columns.join(", "))).unwrap();
    let call = ["--database-url", "sqlite:a.db", "--set", "colour=red", "--", "touch", "mark"];
    door.refuses_after_asking(&call, &["--set colour", "no such column"]);
}

/// The switch to a write-ahead log was tried for longer than the run waits, and the message had no cause.
#[test]
fn cause_is_named_while_a_new_sqlite_file_is_locked() {
    let door = Door::new();
    let other = rusqlite::Connection::open(door.path("a.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let bounds = ["--start-timeout", "3s", "--finish-timeout", "100ms", "--linger", "0s"];
    let output = door.call(&[&["--database-url", "sqlite:a.db"], &bounds[..], &["--", "true"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert!(errors.contains("has not answered yet: sqlite:") && errors.contains("database is locked"), "{errors}");
}

/// A run lasts for days, and every user of the host can read its command line.
#[test]
fn run_hides_the_url_in_its_command_line() {
    let door = Door::new();
    let show = ["--", "sh", "-c", "tr '\\0' '\\n' < /proc/$PPID/cmdline"];
    let url = "postgres://ml:hunter2@127.0.0.1:1/db";
    let start = ["--start-timeout", "1ms", "--finish-timeout", "1ms", "--linger", "0s", "-n", "secret"];
    let output = door.call(&[&["--database-url", url][..], &start, &show].concat());
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("--database-url\n****") && shown.contains("-n\nsecret"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}
