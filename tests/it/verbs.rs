//! The verbs that read, with the real binary: output, exit status, and a bound on every wait for the database.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::checking::most_memory;
use crate::support::postgres::Postgres;
use crate::support::site::{Site, output};

/// A home with an empty default database.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runwrap"));
        command.args(arguments).env_clear().env("HOME", self.path()).env("PATH", "/usr/bin:/bin");
        command.current_dir(self.path()).stdin(Stdio::null());
        command
    }

    fn call(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    #[track_caller]
    fn prints(&self, arguments: &[&str]) -> String {
        let output = self.call(arguments);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The exit status and stderr of a call that fails.
    #[track_caller]
    fn fails(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.call(arguments);
        assert!(output.stdout.is_empty(), "{output:?}");
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }
}

#[test]
fn empty_database_lists_nothing_and_has_no_record() {
    let home = Home::new();
    assert_eq!(home.prints(&["list"]).lines().count(), 1);
    assert_eq!(home.prints(&["list", "--json"]), "[]\n");
    let (status, said) = home.fails(&["show", "30"]);
    assert_eq!(status, 1);
    assert!(said.starts_with("runwrap: there is no record 30 in sqlite:/"), "{said}");
    assert_eq!(home.fails(&["show", "0198f3c1-0000-7000-8000-000000000000", "--json"]).0, 1);
}

#[test]
fn run_is_listed_and_shown_by_either_id() {
    let home = Home::new();
    let ran = home.call(&["--name", "demo", "--", "true"]);
    assert!(ran.status.success(), "{ran:?}");
    let listed: Value = serde_json::from_str(&home.prints(&["list", "--json"])).unwrap();
    assert_eq!(
        (&listed[0]["id"], &listed[0]["status"], &listed[0]["name"]),
        (&json!(1), &json!("completed"), &json!("demo"))
    );
    assert_eq!(listed[0].get("last_seen_seconds_ago"), None);
    let run_id = listed[0]["run_id"].as_str().unwrap();
    assert_eq!(home.prints(&["show", "1", "--json"]), home.prints(&["show", run_id, "--json"]));
    let shown: Value = serde_json::from_str(&home.prints(&["show", "1", "--json"])).unwrap();
    assert_eq!(shown, listed[0]);
    let table = home.prints(&["list", "--status", "completed"]);
    assert!(table.lines().nth(1).unwrap().starts_with("1   demo  v1       completed  success  "), "{table}");
    assert_eq!(home.prints(&["list", "--status", "failed"]).lines().count(), 1);
    assert_eq!(home.prints(&["list", "--name", "other", "--json"]), "[]\n");
}

#[test]
fn migrate_counts_its_migrations_and_print_applies_none() {
    let home = Home::new();
    let database = home.path().join("records.db");
    let url = format!("sqlite:{}", database.display());
    let sql = home.prints(&["migrate", "--print", "--database-url", &url]);
    assert!(sql.contains("CREATE TABLE") && sql.contains("runwrap_runs") && !database.exists(), "{sql}");
    assert_eq!(
        home.prints(&["migrate", "--database-url", &url]),
        format!("8 migrations applied to sqlite:{}.\n", database.display())
    );
    assert_eq!(
        home.prints(&["migrate", "--database-url", &url]),
        format!("sqlite:{} is up to date.\n", database.display())
    );
}

#[test]
fn silent_database_is_given_up_after_start_timeout() {
    let home = Home::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u:secret@127.0.0.1:{}/d", silent.local_addr().unwrap().port());
    for verb in [&["list"][..], &["show", "1"], &["migrate"]] {
        let began = Instant::now();
        let (status, said) = home.fails(&[verb, &["--database-url", &url, "--start-timeout", "300ms"]].concat());
        assert_eq!(status, 125);
        assert!(said.contains("did not answer within 300ms") && said.contains("--start-timeout"), "{said}");
        assert!(!said.contains("secret"), "{said}");
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn closed_pipe_is_success() {
    let home = Home::new();
    let mut child =
        home.command(&["migrate", "--print"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn full_disk_under_stdout_is_an_error() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = Home::new().command(&["list"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("runwrap: cannot write to stdout: "));
}

#[test]
fn report_outside_of_a_run_is_an_error() {
    let (status, said) = Home::new().fails(&["report", "--metric", "loss=0.1"]);
    assert_eq!(status, 125);
    assert!(said.starts_with("runwrap: cannot report: RUNWRAP_REPORT is not set\n"), "{said}");
}

#[test]
fn metrics_of_the_report_verb_are_in_the_record() {
    let home = Home::new();
    let script = format!(
        "{0} report --metric loss=0.5 --metric name=x && {0} report --metric loss=nan --model-path out/m.pt",
        env!("CARGO_BIN_EXE_runwrap")
    );
    let ran = home.call(&["--name", "demo", "--", "sh", "-c", &script]);
    assert!(ran.status.success(), "{ran:?}");
    let shown: Value = serde_json::from_str(&home.prints(&["show", "1", "--json"])).unwrap();
    assert_eq!(shown["train_metrics"], json!({"loss": "NaN", "name": "x"}));
    assert_eq!(shown["model_path"], json!(home.path().join("out/m.pt")));
}

#[test]
fn report_that_is_too_large_is_refused() {
    // One argument is limited to 128 KiB; together they exceed the limit of a line.
    let script = format!(
        "metric=$(head -c 100000 /dev/zero | tr '\\0' x); set --; \
         for i in 1 2 3 4 5 6 7 8 9 10 11; do set -- \"$@\" --metric \"m$i=$metric\"; done; {} report \"$@\"",
        env!("CARGO_BIN_EXE_runwrap")
    );
    let refused = Home::new().call(&["--", "sh", "-c", &script]);
    assert_eq!(refused.status.code(), Some(125));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("are too many"));
}

#[test]
fn running_record_shows_how_long_ago_it_was_seen() {
    let home = Home::new();
    // The trainer ends with its stdin, which this test holds open.
    let mut run = home.command(&["--name", "demo", "--", "cat"]).stdin(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let listed = loop {
        let listed: Value = serde_json::from_str(&home.prints(&["list", "--json", "--status", "training"])).unwrap();
        if listed[0]["last_seen_seconds_ago"].is_u64() {
            break listed;
        }
        assert!(Instant::now() < deadline, "{listed}");
    };
    assert!(listed[0]["last_seen_seconds_ago"].as_u64().unwrap() < 20);
    let table = home.prints(&["list"]);
    let row = table.lines().nth(1).unwrap();
    assert!(row.contains("  training  -       ") && row.ends_with("s ago"), "{table}");
    drop(run.stdin.take());
    assert!(run.wait().unwrap().success());
    assert!(home.prints(&["list"]).lines().nth(1).unwrap().ends_with("  -"));
}

#[test]
fn verbs_use_the_host_that_answers() {
    let home = Home::new();
    let server = Postgres::shared();
    let target = server.tcp_target(&server.new_database(), "127.0.0.1");
    let url = format!("postgres://{}@127.0.0.1:1,127.0.0.1:{}/{}", target.user, server.port(), target.dbname);
    let at = ["--database-url", &url];
    assert!(
        home.prints(&[&["migrate"], &at[..]].concat()).starts_with("8 migrations applied to postgres://127.0.0.1:1,")
    );
    assert!(home.prints(&[&["migrate"], &at[..]].concat()).ends_with(" is up to date.\n"));
    assert_eq!(home.prints(&[&["list", "--json"], &at[..]].concat()), "[]\n");
    assert_eq!(home.fails(&[&["show", "30"], &at[..]].concat()).0, 1);
}

#[test]
fn log_lines_name_their_event_and_no_password() {
    let home = Home::new();
    let url = "postgres://u:secret@127.0.0.1:1/d";
    let limits = ["--start-timeout", "100ms", "--finish-timeout", "100ms", "--linger", "0s"];
    assert!(home.call(&[&limits[..], &["--database-url", url, "--", "true"]].concat()).status.success());
    assert!(home.call(&["--", "true"]).status.success());
    let log = fs::read_to_string(home.path().join(".local/state/runwrap/runwrap.log")).unwrap();
    assert!(!log.contains("secret"), "{log}");
    for line in log.lines() {
        let mut words = line.split(' ');
        assert!(words.next().unwrap().ends_with('Z') && words.next().unwrap().starts_with('['), "{line}");
        assert!(words.next().unwrap().starts_with("pid=") && words.next().unwrap().starts_with("event="), "{line}");
    }
    let listed: Value = serde_json::from_str(&home.prints(&["list", "--json"])).unwrap();
    let run_id = format!("run_id={}", listed[0]["run_id"].as_str().unwrap());
    let story: Vec<&str> = log.lines().filter(|line| line.contains(&run_id)).collect();
    assert!(story.len() >= 4 && story.iter().any(|line| line.contains(" record_id=1 ")), "{log}");
    // The other run never reached its database, and the log has the cause.
    assert!(log.contains("event=attempt_failed ") && log.contains("refused"), "{log}");
}

#[test]
fn every_verb_works_on_any_table_name_and_columns() {
    let table = r#"Training "" records; it's, 100% .x"#;
    let typed = format!("\"{table}\"");
    for site in [Site::sqlite(), Site::postgres()] {
        let id = if site.url().starts_with("sqlite") { "INTEGER" } else { "SERIAL" };
        let time = if site.url().starts_with("sqlite") { "DATETIME" } else { "TIMESTAMP" };
        let statement = format!(
            "CREATE TABLE {typed} (id {id} PRIMARY KEY, status TEXT, version TEXT, train_start_time {time}, train_end_time {time},
                \"select\" TEXT, \"a\"\"b\" TEXT, name TEXT, reason TEXT, run_id TEXT, record_id TEXT, number TEXT, model_path TEXT)"
        );
        let insert = format!(
            "INSERT INTO {typed} (status, train_start_time, name, record_id, number) VALUES ('training', '2025-11-26 18:00:00', 'mine', 'zz', '3')"
        );
        if let Some(path) = site.url().strip_prefix("sqlite:") {
            rusqlite::Connection::open(path).unwrap().execute_batch(&format!("{statement}; {insert}")).unwrap();
        } else {
            site.sql(&format!("{statement}; {insert}"));
        }
        let said = |arguments: &[&str], status: i32| {
            let output = output(&mut site.runwrap(&[arguments, &["--table", &typed]].concat()));
            assert_eq!(
                output.status.code(),
                Some(status),
                "{arguments:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            String::from_utf8(output.stdout).unwrap()
        };
        assert!(said(&["check"], 1).contains("record 1: stuck"));
        let rehearsed = said(&["recover", "--stuck-after", "24h", "--dry-run"], 0);
        assert_eq!(said(&["recover", "--stuck-after", "24h"], 0), rehearsed);
        assert!(rehearsed.starts_with("record 1 (mine): training -> failed (stuck)"), "{rehearsed}");
        said(&["finalize", "1", "--status", "completed", "--ended-at", "2025-11-27T01:20:52Z"], 0);
        assert!(site.run(&["--table", &typed, "-n", "demo", "--set", "a\"b=c"], "true").status.success());
        let listed: Value = serde_json::from_str(&said(&["list", "--json", "--name", "demo"], 0)).unwrap();
        assert_eq!((&listed[0]["status"], &listed[0]["a\"b"]), (&json!("completed"), &json!("c")));
        assert_eq!(said(&["list"], 0).lines().count(), 3);
        said(&["check", "--live"], 0);
    }
}

/// One row with 183 MB of binary data took 1 GB of memory.
#[test]
fn memory_of_list_and_show_does_not_grow_with_binary_data() {
    for site in [Site::sqlite(), Site::postgres()] {
        assert!(site.run(&[], "true").status.success());
        let (column, value) = if site.url().starts_with("sqlite") {
            ("blob", "zeroblob(60000000)")
        } else {
            ("bytea", "decode(repeat('ab', 60000000), 'hex')")
        };
        site.sql(&format!("ALTER TABLE training_records ADD COLUMN weights {column}"));
        let verbs: [&[&str]; 4] = [&["list"], &["list", "--json"], &["list", "--name", "sh"], &["show", "1"]];
        let before = verbs.map(|verb| most_memory(&site, verb));
        site.sql(&format!("UPDATE training_records SET weights = {value}"));
        let after = verbs.map(|verb| most_memory(&site, verb));
        for (verb, (before, after)) in verbs.iter().zip(before.iter().zip(after)) {
            assert!(after < before + 8_000, "{verb:?}: {before} kB without binary data, {after} kB with 60 MB of it");
        }
        assert_eq!(site.record()["weights"], "60000000 bytes of binary data");
    }
}
