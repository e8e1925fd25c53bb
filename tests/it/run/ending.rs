//! How a run ends: exit statuses, signals, commands that cannot be executed, deadlines; and what the record says of each.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use serde_json::json;

use crate::support::site::{Site, output, shell_status, start};
use crate::support::skipped;

#[test]
fn exit_0_is_recorded_as_completed() {
    for site in [Site::sqlite(), Site::postgres()] {
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
fn every_exit_code_is_mirrored_and_recorded() {
    let site = Site::sqlite();
    for code in [1, 2, 42, 124, 125, 126, 127, 128, 137, 254, 255] {
        let output = site.run(&[], &format!("exit {code}"));
        assert_eq!(output.status.code(), Some(code));
        assert!(output.stderr.is_empty(), "{output:?}");
        let newest = &site.records()[0];
        assert_eq!((&newest["reason"], &newest["exit_code"]), (&json!("exit"), &json!(code)));
        assert_eq!(newest["error_message"], format!("exited with code {code}"));
    }
}

#[test]
fn death_by_a_signal_is_mirrored_and_recorded() {
    let site = Site::sqlite();
    for (name, number) in [("KILL", 9), ("SEGV", 11), ("TERM", 15), ("ABRT", 6), ("USR1", 10)] {
        let output = site.run(&[], &format!("kill -{name} $$"));
        assert_eq!((output.status.signal(), output.status.core_dumped()), (Some(number), false), "{name}");
        let newest = &site.records()[0];
        assert_eq!((&newest["status"], &newest["reason"]), (&json!("failed"), &json!("signal")), "{name}");
        assert_eq!((&newest["signal"], &newest["exit_code"]), (&json!(format!("SIG{name}")), &json!(null)));
    }
}

#[test]
fn a_command_that_cannot_be_executed_is_127_or_126_and_recorded() {
    let site = Site::sqlite();
    for (command, code, message) in [
        ("no-such-command", 127, "cannot run no-such-command: No such file or directory"),
        ("/etc/passwd", 126, "cannot run /etc/passwd: Permission denied"),
    ] {
        let output = output(&mut site.runwrap(&["--", command]));
        assert_eq!(output.status.code(), Some(code));
        assert_eq!(String::from_utf8(output.stderr).unwrap(), format!("runwrap: {message}\n"));
        let newest = &site.records()[0];
        assert_eq!((&newest["status"], &newest["reason"]), (&json!("failed"), &json!("spawn")));
        assert_eq!((&newest["error_message"], &newest["pid"]), (&json!(message), &json!(null)));
    }
}

#[test]
fn a_signal_to_runwrap_is_relayed_once_and_recorded_as_cancelled() {
    let site = Site::sqlite();
    let script = "n=0; trap 'n=$((n+1))' USR1; trap 'echo stopped $n; exit 3' TERM INT HUP QUIT; echo ready; while :; do sleep 0.02; done";
    for name in ["TERM", "INT", "HUP", "QUIT"] {
        let mut running = start(site.shell(&[], script).stdout(Stdio::piped()));
        assert_eq!(running.line(), "ready");
        running.signal("USR1");
        // The shell notes one signal before it hears of the next.
        running.signal(name);
        let stopped = running.line();
        assert!(stopped == "stopped 1" || (stopped == "stopped 0" && name != "TERM"), "{name}: {stopped}");
        assert_eq!(running.end().code(), Some(3));
        let newest = &site.records()[0];
        assert_eq!((&newest["status"], &newest["reason"]), (&json!("failed"), &json!("cancelled")));
        assert_eq!((&newest["stop_signal"], &newest["exit_code"]), (&json!(format!("SIG{name}")), &json!(3)));
    }
}

#[test]
fn a_trainer_that_is_stopped_and_exits_0_has_completed() {
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

#[test]
fn timeout_terminates_and_is_124() {
    let site = Site::sqlite();
    let output = site.run(&["--timeout", "100ms"], "exec sleep 60");
    assert_eq!(output.status.code(), Some(124));
    let record = site.record();
    assert_eq!((&record["reason"], &record["signal"]), (&json!("timeout"), &json!("SIGTERM")));
    assert_eq!(record["stop_signal"], "SIGTERM");
}

#[test]
fn a_trainer_that_ignores_the_timeout_is_killed() {
    let site = Site::sqlite();
    let output =
        site.run(&["--timeout", "100ms", "--kill-after", "100ms"], "trap '' TERM; while :; do sleep 0.02; done");
    assert_eq!(output.status.code(), Some(124));
    let record = site.record();
    assert_eq!((&record["reason"], &record["signal"]), (&json!("timeout"), &json!("SIGKILL")));
}

#[test]
fn a_trainer_that_finishes_well_at_its_timeout_has_completed_and_runwrap_says_124() {
    let site = Site::sqlite();
    let output = site.run(&["--timeout", "200ms"], "trap 'exit 0' TERM; while :; do sleep 0.02; done");
    assert_eq!(output.status.code(), Some(124));
    let record = site.record();
    assert_eq!((&record["status"], &record["reason"]), (&json!("completed"), &json!("success")));
    assert_eq!(record["stop_signal"], "SIGTERM");
}

#[test]
fn the_trainer_s_environment_names_its_run() {
    let site = Site::sqlite();
    let script = "echo \"$RUNWRAP_RUN_ID $RUNWRAP_RECORD_ID $RUNWRAP_NAME $RUNWRAP_REPORT\"";
    let output = site.run(&["--name", "cifar"], script);
    let said = String::from_utf8(output.stdout).unwrap();
    let words: Vec<&str> = said.split_whitespace().collect();
    let record = site.record();
    let run_id = record["run_id"].as_str().unwrap();
    let report = site.state_dir().join(format!("runs/{run_id}/report.jsonl"));
    assert_eq!(words, [run_id, record["id"].to_string().trim_matches('"'), "cifar", report.to_str().unwrap()]);
}

#[test]
fn the_trainer_gets_no_descriptor_of_ours_and_all_of_the_user_s() {
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
fn versions_have_no_gaps_and_no_twins_when_twenty_runs_start_at_once() {
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

#[test]
fn a_sigkill_for_want_of_memory_is_recorded_as_oom() {
    let group = std::path::Path::new("/sys/fs/cgroup/memory").join(format!("runwrap-test-{}", std::process::id()));
    if std::fs::create_dir(&group).is_err() {
        // The kernel's own texts are tried on every machine: `sys::cgroup`.
        skipped("no control group may be made here");
        return;
    }
    std::fs::write(group.join("memory.limit_in_bytes"), "50M").unwrap();
    let site = Site::sqlite();
    let python = "x = bytearray(200 << 20)";
    let script = format!(
        "echo $$ > {}/cgroup.procs && exec {} -- python3 -c '{python}'",
        group.display(),
        env!("CARGO_BIN_EXE_runwrap")
    );
    let mut command = site.runwrap(&[]);
    let environment: Vec<_> =
        command.get_envs().map(|(key, value)| (key.to_owned(), value.unwrap().to_owned())).collect();
    command = std::process::Command::new("sh");
    command.args(["-c", &script]).env_clear().envs(environment).current_dir(site.path());
    let output = output(&mut command);
    assert_eq!(output.status.signal(), Some(9));
    let record = site.record();
    assert_eq!((&record["reason"], &record["signal"]), (&json!("oom"), &json!("SIGKILL")));
    site.quiet();
    std::fs::remove_dir(&group).unwrap();
}

#[test]
fn what_a_run_wrote_is_in_the_database_file_itself_when_its_keeper_has_gone() {
    let site = Site::sqlite();
    for _ in 0..5 {
        assert!(site.run(&[], "true").status.success());
        site.quiet();
        assert!(
            !site.path().join("runs.db-wal").exists(),
            "the next to open the file reads what is left there, run by run"
        );
    }
}
