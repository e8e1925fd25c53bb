//! The ends of a run: its own, on request, at its deadline; and the record of each.

use std::process::Stdio;

use serde_json::{Map, Value, json};

use crate::support::site::{Site, output, shell_status, start};

/// The row stays `training` for ever, which nothing reported.
// Holds: failures/update-dropped
#[test]
fn end_that_the_table_drops_is_reported() {
    let [file, server] = [Site::sqlite(), Site::postgres()];
    for site in [&file, &server] {
        assert!(output(&mut site.runwrap(&["migrate"])).status.success());
    }
    let connection = rusqlite::Connection::open(file.url().strip_prefix("sqlite:").unwrap()).unwrap();
    let trigger = "CREATE TRIGGER drops BEFORE UPDATE ON training_records BEGIN SELECT RAISE(IGNORE); END";
    connection.execute_batch(trigger).unwrap();
    server.sql("CREATE RULE drops AS ON UPDATE TO training_records DO INSTEAD NOTHING");
    for site in [&file, &server] {
        let messages = String::from_utf8(site.run(&[], "exit 3").stderr).unwrap();
        assert_eq!(messages.matches("record 1 stays as it is: a trigger, a rule or a policy").count(), 1, "{messages}");
    }
}

/// A typo in `--table` made a table without a message.
#[test]
fn table_made_in_a_database_in_use_is_reported_once() {
    let [used, fresh] = [Site::sqlite(), Site::sqlite()];
    used.sql("CREATE TABLE accounts (id INTEGER)");
    let messages = |site: &Site, table: &str| String::from_utf8(site.run(&["--table", table], "true").stderr).unwrap();
    for site in [&used, &Site::postgres()] {
        for table in ["training_records", "trainig_records"] {
            let first = messages(site, table);
            assert!(first.starts_with("runwrap: made table ") && first.contains(table), "{first}");
            assert_eq!((first.lines().count(), messages(site, table)), (1, String::new()));
        }
    }
    assert_eq!(messages(&fresh, "training_records"), "");
    assert_eq!(messages(&fresh, "trainig_records").lines().count(), 1);
}

// Holds: failures/trainer-exit
#[test]
fn exit_0_is_recorded_as_completed() {
    for site in [Site::sqlite(), Site::postgres()] {
        assert!(output(&mut site.runwrap(&["migrate"])).status.success());
        let output = site.run(&["--name", "cifar"], "echo out; echo err >&2");
        assert_eq!(
            (output.status.code(), &output.stdout[..], &output.stderr[..]),
            (Some(0), &b"out\n"[..], &b"err\n"[..])
        );
        let record = site.record();
        for (key, expected) in [
            ("status", json!("completed")),
            ("reason", json!("success")),
            ("name", json!("cifar")),
            ("version", json!("v1")),
            ("exit_code", json!(0)),
            ("signal", json!(null)),
            ("error_message", json!(null)),
            ("train_duration", json!(0)),
            ("command", json!(["sh", "-c", "echo out; echo err >&2"])),
            ("presumed", json!(false)),
        ] {
            assert_eq!(record[key], expected, "{key}");
        }
        assert!(record["pid"].as_i64().unwrap() > 0);
        assert!(record["max_rss_bytes"].as_i64().unwrap() > 0);
        assert!(record["cpu_user_seconds"].is_number() && record["cpu_system_seconds"].is_number());
        assert_eq!(site.run_directories(), Vec::<std::path::PathBuf>::new());
    }
}

#[test]
fn record_has_host_user_directory_context_and_usage() {
    for site in [Site::sqlite(), Site::postgres()] {
        let script = "git init -q . && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x
                      git rev-parse HEAD; hostname; id -un; mkdir deep; cd deep
                      exec \"$RUNWRAP\" -- sh -c 'echo $$; n=0; while [ $n -lt 20000 ]; do n=$((n + 1)); done'";
        let mut command = site.program("sh");
        command.args(["-ec", script]).env("RUNWRAP", env!("CARGO_BIN_EXE_runwrap"));
        let output = output(command.env("SLURM_JOB_ID", "4711").env("SECRET_TOKEN", "hunter2"));
        let said = String::from_utf8(output.stdout).unwrap();
        let [commit, host, user, pid] = said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
        let record = site.record();
        assert_eq!((&record["host"], &record["username"]), (&json!(host), &json!(user)));
        assert_eq!(record["cwd"], site.path().join("deep").to_str().unwrap());
        assert_eq!(record["pid"].to_string(), pid);
        assert_eq!(
            (&record["context"]["git_commit"], &record["context"]["slurm_job_id"]),
            (&json!(commit), &json!("4711"))
        );
        assert!(!format!("{record:?}").contains("hunter2"));
        assert!(record["cpu_user_seconds"].as_f64().unwrap() > 0.0, "{record:?}");
        let start = record["train_start_time"].as_str().unwrap();
        assert!(start.ends_with('Z') && record["train_end_time"].as_str().unwrap() > start);
    }
}

// Holds: failures/trainer-cancelled
#[test]
fn stop_signal_is_relayed_once_and_recorded_as_cancelled() {
    let site = Site::sqlite();
    let script = "n=0; trap 'n=$((n+1))' USR1; trap 'echo stopped $n; exit 3' TERM INT HUP QUIT; echo ready; while :; do sleep 0.02; done";
    for name in ["TERM", "INT", "HUP", "QUIT"] {
        let mut running = start(site.shell(&[], script).stdout(Stdio::piped()));
        assert_eq!(running.line(), "ready");
        running.signal("USR1");
        // The shell handles one signal before the next.
        running.signal(name);
        let stopped = running.line();
        assert!(stopped == "stopped 1" || (stopped == "stopped 0" && name != "TERM"), "{name}: {stopped}");
        assert_eq!(running.end().code(), Some(3));
        let newest = &site.records()[0];
        assert_eq!((&newest["status"], &newest["reason"]), (&json!("failed"), &json!("cancelled")));
        assert_eq!((&newest["stop_signal"], &newest["exit_code"]), (&json!(format!("SIG{name}")), &json!(3)));
    }
}

// Holds: failures/trainer-cancelled
#[test]
fn trainer_that_exits_0_on_a_stop_request_has_completed() {
    let site = Site::sqlite();
    let script = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.02; done";
    let mut running = start(site.shell(&[], script).stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    running.signal("TERM");
    assert_eq!(running.end().code(), Some(0));
    let record = site.record();
    assert_eq!((&record["status"], &record["reason"]), (&json!("completed"), &json!("success")));
    assert_eq!(record["stop_signal"], "SIGTERM");
}

// Holds: failures/trainer-timeout
#[test]
fn timeout_sends_sigterm_and_exits_124() {
    let site = Site::sqlite();
    let output = site.run(&["--timeout", "100ms"], "exec sleep 60");
    assert_eq!(output.status.code(), Some(124));
    let record = site.record();
    assert_eq!((&record["reason"], &record["signal"]), (&json!("timeout"), &json!("SIGTERM")));
    assert_eq!(record["stop_signal"], "SIGTERM");
}

// Holds: failures/trainer-timeout
#[test]
fn trainer_that_ignores_the_timeout_is_killed() {
    let site = Site::sqlite();
    let output =
        site.run(&["--timeout", "100ms", "--kill-after", "100ms"], "trap '' TERM; while :; do sleep 0.02; done");
    assert_eq!(output.status.code(), Some(124));
    let record = site.record();
    assert_eq!((&record["reason"], &record["signal"]), (&json!("timeout"), &json!("SIGKILL")));
}

/// runwrap exits with 124 all the same.
// Holds: failures/trainer-timeout
#[test]
fn trainer_that_exits_0_at_its_timeout_has_completed() {
    let site = Site::sqlite();
    let output = site.run(&["--timeout", "200ms"], "trap 'exit 0' TERM; while :; do sleep 0.02; done");
    assert_eq!(output.status.code(), Some(124));
    let record = site.record();
    assert_eq!((&record["status"], &record["reason"]), (&json!("completed"), &json!("success")));
    assert_eq!(record["stop_signal"], "SIGTERM");
}

#[test]
fn trainer_environment_names_its_run() {
    let site = Site::sqlite();
    let script = "echo \"$RUNWRAP_RUN_ID $RUNWRAP_RECORD_ID $RUNWRAP_NAME $RUNWRAP_REPORT\"";
    let output = site.run(&["--name", "cifar"], script);
    let said = String::from_utf8(output.stdout).unwrap();
    let words: Vec<&str> = said.split_whitespace().collect();
    let record = site.record();
    let run_id = record["run_id"].as_str().unwrap();
    let report = words[3].strip_prefix(&format!("{}/runs/{run_id}.", site.state_dir().display()));
    assert!(report.is_some_and(|rest| rest.ends_with("/report.jsonl")), "{words:?}");
    assert_eq!(words[..3], [run_id, record["id"].to_string().trim_matches('"'), "cifar"]);
}

/// Two runs called outer were recorded, v1 and v2. Without a database the inner trainer had the number of the outer record.
#[test]
fn run_inside_a_run_is_described_by_its_own_options() {
    let runwrap = env!("CARGO_BIN_EXE_runwrap");
    let site = Site::sqlite();
    let options = ["--name", "outer", "--model-version", "v7", "--model-path", "outer.pt"];
    assert!(site.run(&options, &format!("{runwrap} -- true; {runwrap} -n third -- true")).status.success());
    let described = |record: &Map<String, Value>| json!([record["name"], record["version"], record["model_path"]]);
    let outer = site.path().join("outer.pt");
    let expected = json!([["third", "v1", null], ["true", "v1", null], ["outer", "v7", outer]]);
    assert_eq!(json!(site.records().iter().map(described).collect::<Vec<_>>()), expected);

    let inner = "RUNWRAP_DATABASE_URL=postgres://127.0.0.1:1/db";
    let options = "--start-timeout 50ms --finish-timeout 0s --linger 0s";
    let show = "sh -c 'echo ${RUNWRAP_RECORD_ID-none}'";
    let script = |more: &str| format!("{inner} {runwrap} {options} {more} -- {show} 2>/dev/null");
    for (more, said) in [("", "none\n"), ("--record-id 5", "5\n")] {
        assert_eq!(String::from_utf8(site.run(&[], &script(more)).stdout).unwrap(), said);
    }
}

#[test]
fn trainer_gets_exactly_the_user_s_descriptors() {
    let site = Site::sqlite();
    let bare = std::process::Command::new("sh").args(["-c", "exec 7</dev/null; ls /proc/self/fd"]).output().unwrap();
    let mut wrapped = std::process::Command::new("sh");
    let runwrap = env!("CARGO_BIN_EXE_runwrap");
    wrapped.args(["-c", &format!("exec 7</dev/null; {runwrap} -- ls /proc/self/fd")]);
    wrapped.env("HOME", site.path()).env("RUNWRAP_DATABASE_URL", site.url()).env("SITE", site.path());
    let wrapped = output(wrapped.stdin(Stdio::inherit()));
    assert_eq!(String::from_utf8(wrapped.stdout), String::from_utf8(bare.stdout));
}

#[test]
fn twenty_concurrent_runs_get_versions_1_to_20() {
    for site in [Site::sqlite(), Site::postgres()] {
        let mut running: Vec<_> = (0..20).map(|_| start(&mut site.shell(&["--name", "cifar"], "exit 0"))).collect();
        for run in &mut running {
            assert_eq!(shell_status(run.end()), 0);
        }
        let mut versions: Vec<String> =
            site.records().iter().map(|record| record["version"].as_str().unwrap().to_owned()).collect();
        versions.sort_by_key(|version| version[1..].parse::<u32>().unwrap());
        assert_eq!(versions, (1..=20).map(|number| format!("v{number}")).collect::<Vec<_>>());
    }
}

/// The keeper ended while its thread was still checkpointing. Every later opening then read the whole write-ahead log: 28
/// frames after four runs, up to a thousand.
// Holds: failures/sqlite-no-log
#[test]
fn sqlite_file_is_closed_without_a_log_when_runwrap_exits() {
    let site = Site::sqlite();
    for _ in 0..5 {
        assert!(site.run(&[], "true").status.success());
        assert!(
            !site.path().join("runs.db-wal").exists(),
            "the next to open the file reads what is left there, run by run"
        );
    }
}
