//! Tags, jobs, runs in runs, ranks, and runs that must be the only one of their name.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::procfs;
use crate::support::site::{Site, kill, output, start};
use crate::support::wait::wait_until;

#[test]
fn tags_files_and_the_size_of_the_model_are_recorded() {
    for site in [Site::sqlite(), Site::postgres()] {
        let (out, error) = (site.path().join("out.log"), site.path().join("err.log"));
        let options = ["--tag", "team=fraud", "--tag", "gpu", "--model-path", "model.pt"];
        let mut command = site.shell(&options, "printf 12345 > model.pt");
        command.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&error).unwrap());
        assert!(command.status().unwrap().success());
        let record = site.record();
        assert_eq!(record["tags"], json!({"team": "fraud", "gpu": ""}));
        assert_eq!(record["stdout_path"], out.to_str().unwrap());
        assert_eq!(record["stderr_path"], error.to_str().unwrap());
        assert_eq!(record["model_bytes"], 5);
        assert!(site.run(&[], "true").status.success());
        let plain = &site.records()[0];
        // Pipes.
        assert_eq!((&plain["stdout_path"], &plain["stderr_path"]), (&Value::Null, &Value::Null));
        assert_eq!((&plain["tags"], &plain["model_bytes"]), (&Value::Null, &Value::Null));
        let list = |arguments: &[&str]| {
            let output = output(&mut site.runwrap(&[&["list", "--json"], arguments].concat()));
            serde_json::from_slice::<Vec<Value>>(&output.stdout).unwrap().len()
        };
        assert_eq!([list(&["--tag", "gpu"]), list(&["--tag", "team=x"]), list(&["--reason", "success"])], [1, 0, 2]);
    }
}

#[test]
fn runs_of_a_job_are_its_attempts() {
    let site = Site::sqlite();
    for attempt in 1..=2 {
        let mut command = site.shell(&[], "exit 3");
        command.env("SLURM_JOB_ID", "9").env("SLURM_ARRAY_JOB_ID", "7").env("SLURM_ARRAY_TASK_ID", "2");
        assert_eq!(output(&mut command).status.code(), Some(3));
        let record = &site.records()[0];
        assert_eq!((&record["job"], &record["attempt"]), (&json!("7_2"), &json!(attempt)));
    }
    assert!(site.run(&["--job", "mine"], "true").status.success());
    assert_eq!((&site.records()[0]["job"], &site.records()[0]["attempt"]), (&json!("mine"), &json!(1)));
    let shown = output(&mut site.runwrap(&["show", "1", "--json"]));
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let attempts: Vec<_> =
        shown["attempts"].as_array().unwrap().iter().map(|run| (&run["id"], &run["attempt"])).collect();
    assert_eq!(attempts, [(&json!(1), &json!(1)), (&json!(2), &json!(2))]);
    let text = String::from_utf8(output(&mut site.runwrap(&["show", "2"])).stdout).unwrap();
    assert!(
        text.contains("attempt 1: record 1 exit 3 failed (exit)") || text.contains("attempt 1: record 1"),
        "{text}"
    );
}

#[test]
fn run_in_a_run_is_its_child() {
    let site = Site::sqlite();
    let runwrap = env!("CARGO_BIN_EXE_runwrap");
    let script = format!("{runwrap} -n inner -- true; {runwrap} -n inner -- sh -c 'exit 4'; true");
    let mut command = site.shell(&["-n", "sweep"], &script);
    command.env("SLURM_JOB_ID", "9");
    assert!(output(&mut command).status.success());
    let records = site.records();
    let outer = records.iter().find(|record| record["name"] == "sweep").unwrap();
    let inner: Vec<_> = records.iter().filter(|record| record["name"] == "inner").collect();
    assert_eq!(inner.len(), 2);
    for record in inner {
        assert_eq!(record["parent_run_id"], outer["run_id"]);
        assert_eq!(record["job"], Value::Null, "a run in a run is no attempt of the outer run's job");
    }
    assert_eq!((&outer["parent_run_id"], &outer["job"]), (&Value::Null, &json!("9")));
    let id = outer["id"].to_string();
    let shown: Value = serde_json::from_slice(&output(&mut site.runwrap(&["show", &id, "--json"])).stdout).unwrap();
    let ends: Vec<_> = shown["children"].as_array().unwrap().iter().map(|run| &run["reason"]).collect();
    assert_eq!(ends, ["success", "exit"]);
    let list = String::from_utf8(output(&mut site.runwrap(&["list"])).stdout).unwrap();
    assert_eq!(list.matches("└ inner").count(), 2, "{list}");
}

/// Every other rank is the bare command: the same process, the same dispositions, and no trace.
#[test]
fn only_one_rank_is_recorded() {
    let site = Site::sqlite();
    let probe = "echo $$; grep -E 'SigIgn|SigBlk' /proc/self/status; ls /proc/self/fd; env | grep -c RUNWRAP_RUN_ID";
    let ranked = |variable: &str, rank: &str, wrapped: bool| {
        let words = ["--only-rank", "0", "--", "/bin/sh", "-c", probe];
        let mut command = if wrapped { site.runwrap(&words) } else { site.program("/bin/sh") };
        if !wrapped {
            command.args(["-c", probe]);
        }
        command.env(variable, rank);
        let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = running.id();
        let output = running.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.stderr, b"", "{}", String::from_utf8_lossy(&output.stderr));
        text.replacen(&pid.to_string(), "the started process", 1)
    };
    for variable in ["SLURM_PROCID", "RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK"] {
        assert_eq!(ranked(variable, "1", true), ranked(variable, "1", false), "{variable}");
    }
    assert!(!site.state_dir().exists() && !site.path().join("runs.db").exists());
    assert!(ranked("RANK", "0", true).ends_with("1\n"));
    assert_eq!(site.records().len(), 1);
    // Without a launcher the run is recorded.
    assert!(site.run(&["--only-rank", "0"], "true").status.success());
    assert_eq!(site.records().len(), 2);
    for (command, status) in [("/nonexistent", 127), ("/etc/passwd", 126)] {
        let mut bare = site.runwrap(&["--only-rank", "0", "--", command]);
        let output = output(bare.env("RANK", "1"));
        assert_eq!(output.status.code(), Some(status));
        assert!(String::from_utf8_lossy(&output.stderr).contains(command));
    }
    assert_eq!(site.records().len(), 2);
}

// Holds: failures/overlap-refused
#[test]
fn run_does_not_start_beside_its_namesake() {
    for site in [Site::sqlite(), Site::postgres()] {
        let mut first =
            start(site.shell(&["-n", "a"], "echo ready; read -r line").stdin(Stdio::piped()).stdout(Stdio::piped()));
        assert_eq!(first.line(), "ready");
        for (option, status) in [("--unless-running", 75), ("--unless-running=fail", 75), ("--unless-running=skip", 0)]
        {
            let refused = site.run(&["-n", "a", option], "echo started");
            assert_eq!((refused.status.code(), &refused.stdout[..]), (Some(status), &b""[..]), "{option}");
            let message = String::from_utf8(refused.stderr).unwrap();
            assert!(message.contains("another run of \"a\"") && message.contains("record 1"), "{message}");
        }
        for options in [&["-n", "a"][..], &["-n", "b", "--unless-running"], &["-n", "a", "--unless-running=off"]] {
            assert!(site.run(options, "true").status.success(), "{options:?}");
        }
        assert_eq!(site.records().len(), 4);
        first.say("go on");
        assert!(first.end().success());
        assert!(site.run(&["-n", "a", "--unless-running"], "true").status.success());
        // Nothing arrives later.
        site.quiet();
        assert_eq!((site.records().len(), site.run_directories().len()), (5, 0));
    }
}

/// Everything of the first run was killed: its journal proves its death before the lease does.
// Holds: failures/overlap-dead
#[test]
fn dead_namesake_of_this_host_is_ended_first() {
    let site = Site::postgres();
    let mut first = start(site.shell(&["-n", "a"], "echo ready; exec sleep 60").stdout(Stdio::piped()));
    assert_eq!(first.line(), "ready");
    wait_until("the record", || site.records().len() == 1);
    site.lose();
    let second = site.run(&["-n", "a", "--unless-running"], "echo started");
    assert_eq!((second.status.code(), &second.stdout[..]), (Some(0), &b"started\n"[..]));
    let reasons: Vec<_> = site.records().iter().map(|record| record["reason"].clone()).collect();
    assert_eq!(reasons, ["success", "lost"]);
}

/// The end is delivered, by the keeper that takes over or by its own: the run is over, and beside no other run.
// Holds: failures/overlap-killed
#[test]
fn ended_run_beside_its_namesake_leaves_no_keeper() {
    for (signal, reason) in [("KILL", "supervisor_killed"), ("TERM", "cancelled")] {
        let site = Site::postgres();
        let mut first =
            start(site.shell(&["-n", "a"], "echo ready; read -r line").stdin(Stdio::piped()).stdout(Stdio::piped()));
        assert_eq!(first.line(), "ready");
        let own = site.keepers();
        let others = || site.keepers().into_iter().filter(|keeper| !own.contains(keeper));
        let mut command = site.shell(&["-n", "a", "--unless-running"], "true");
        let mut second = start(command.env("RUNWRAP_FAILPOINTS", "inserting=stop"));
        wait_until("the second keeper begins its run", || others().any(|keeper| procfs::state(keeper) == Some('T')));
        second.signal(signal);
        wait_until("the second keeper has ended", || {
            // Each of its attempts stops.
            others().for_each(|keeper| kill(keeper, "CONT"));
            others().next().is_none()
        });
        assert!(!second.end().success());
        let records = site.records();
        let reasons: Vec<_> = records.iter().map(|record| record["reason"].clone()).collect();
        assert_eq!(reasons, [json!(reason), Value::Null]);
        first.say("go on");
        assert!(first.end().success());
    }
}

/// Without an answer no run can be the only one for certain.
#[test]
fn exclusive_run_needs_its_database() {
    let site = Site::with_url("postgres://u@127.0.0.1:1/none");
    let refused = site.run(&["--unless-running=skip", "--start-timeout", "300ms"], "echo started");
    assert_eq!((refused.status.code(), &refused.stdout[..]), (Some(125), &b""[..]));
    site.quiet();
    assert_eq!(site.run_directories().len(), 0);
}

#[test]
fn diff_shows_the_values_in_which_two_records_differ() {
    let site = Site::sqlite();
    let runwrap = env!("CARGO_BIN_EXE_runwrap");
    for (tag, loss) in [("lr=1", "0.5"), ("lr=2", "0.25")] {
        let script =
            format!("{runwrap} report --metric loss=0.125; {runwrap} report --metric loss={loss} --metric same=1");
        assert!(site.run(&["-n", "a", "--tag", tag], &script).status.success());
    }
    let run_id = site.records()[0]["run_id"].as_str().unwrap().to_owned();
    let compared = output(&mut site.runwrap(&["diff", "1", &run_id, "--json"]));
    assert_eq!(compared.status.code(), Some(0));
    let found: Vec<Value> = serde_json::from_slice(&compared.stdout).unwrap();
    let value = |key: &str| found.iter().find(|found| found["key"] == key).map(|found| found["values"].clone());
    assert_eq!(value("tags.lr"), Some(json!(["1", "2"])));
    assert_eq!(value("train_metrics.loss"), Some(json!([0.5, 0.25])));
    assert_eq!((value("lowest.loss"), value("highest.loss")), (None, Some(json!([0.5, 0.25]))));
    assert_eq!(
        (value("train_metrics.same"), value("name"), value("id"), value("train_start_time")),
        (None, None, None, None)
    );
    let text = String::from_utf8(output(&mut site.runwrap(&["diff", "1", "2"])).stdout).unwrap();
    assert!(text.contains("train_metrics.loss") && text.contains("0.25"), "{text}");
    let same = output(&mut site.runwrap(&["diff", "1", "1"]));
    assert_eq!(String::from_utf8(same.stdout).unwrap(), "records 1 and 1 do not differ\n");
    assert_eq!(output(&mut site.runwrap(&["diff", "1", "77"])).status.code(), Some(1));
}

#[test]
fn note_adds_to_any_record() {
    let site = Site::sqlite();
    assert!(site.run(&["--tag", "todo"], "true").status.success());
    let note = |arguments: &[&str]| output(&mut site.runwrap(&[&["note"], arguments].concat()));
    assert_eq!(note(&["1", "lr too high", "--tag", "seen=yes", "--untag", "todo"]).status.code(), Some(0));
    assert_eq!(site.record()["tags"], json!({"seen": "yes"}));
    let shown = String::from_utf8(output(&mut site.runwrap(&["show", "1"])).stdout).unwrap();
    assert!(shown.split_once("\nNotes\n").is_some_and(|(_, notes)| notes.contains(": lr too high\n")), "{shown}");
    assert_eq!(note(&["77", "x"]).status.code(), Some(1));
    for wrong in [&["1"][..], &["1", ""], &["1", "--tag", "=x"]] {
        assert_eq!(note(wrong).status.code(), Some(125), "{wrong:?}");
    }
}
