//! The verbs that read, with the real binary: what they print, their exit status, and that no database makes them wait.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A home of its own, with an empty default database.
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
fn an_empty_database_lists_nothing_and_has_no_record() {
    let home = Home::new();
    assert_eq!(home.prints(&["list"]).lines().count(), 1);
    assert_eq!(home.prints(&["list", "--json"]), "[]\n");
    let (status, said) = home.fails(&["show", "30"]);
    assert_eq!(status, 1);
    assert!(said.starts_with("runwrap: there is no record 30 in sqlite:/"), "{said}");
    assert_eq!(home.fails(&["show", "0198f3c1-0000-7000-8000-000000000000", "--json"]).0, 1);
}

#[test]
fn a_run_is_listed_and_shown_by_either_id() {
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
    assert_eq!(home.prints(&["show", "1"]), home.prints(&["show", run_id]));
    let shown: Value = serde_json::from_str(&home.prints(&["show", "1", "--json"])).unwrap();
    assert_eq!(shown, listed[0]);
    let table = home.prints(&["list", "--status", "completed"]);
    assert!(table.lines().nth(1).unwrap().starts_with("1   demo  v1       completed  success  0s"), "{table}");
    assert_eq!(home.prints(&["list", "--status", "failed"]).lines().count(), 1);
    assert_eq!(home.prints(&["list", "--name", "other", "--json"]), "[]\n");
}

#[test]
fn migrating_says_how_much_was_done_and_print_does_nothing() {
    let home = Home::new();
    let database = home.path().join("records.db");
    let url = format!("sqlite:{}", database.display());
    let sql = home.prints(&["migrate", "--print", "--database-url", &url]);
    assert!(sql.contains("CREATE TABLE") && sql.contains("runwrap_runs") && !database.exists(), "{sql}");
    assert_eq!(
        home.prints(&["migrate", "--database-url", &url]),
        format!("1 migration applied to sqlite:{}.\n", database.display())
    );
    assert_eq!(
        home.prints(&["migrate", "--database-url", &url]),
        format!("sqlite:{} is up to date.\n", database.display())
    );
}

#[test]
fn a_database_that_does_not_answer_is_given_up_in_time() {
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
fn a_closed_pipe_is_success() {
    let home = Home::new();
    let mut child =
        home.command(&["migrate", "--print"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_full_disk_under_stdout_is_an_error() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = Home::new().command(&["list"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("runwrap: cannot write to stdout: "));
}

#[test]
fn reporting_outside_of_a_run_says_so() {
    let (status, said) = Home::new().fails(&["report", "--metric", "loss=0.1"]);
    assert_eq!(status, 125);
    assert!(said.starts_with("runwrap: cannot report: RUNWRAP_REPORT is not set\n"), "{said}");
}

#[test]
fn what_a_trainer_reports_by_the_verb_is_in_its_record() {
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
fn a_report_that_is_too_large_is_refused() {
    // One argument of a program ends at 128 KiB; many of them pass the limit of a line together.
    let script = format!(
        "metric=$(head -c 100000 /dev/zero | tr '\\0' x); set --; \
         for i in 1 2 3 4 5 6 7 8 9 10 11; do set -- \"$@\" --metric \"m$i=$metric\"; done; {} report \"$@\"",
        env!("CARGO_BIN_EXE_runwrap")
    );
    let refused = Home::new().call(&["--", "sh", "-c", &script]);
    assert_eq!(refused.status.code(), Some(125));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("are too many"));
}
