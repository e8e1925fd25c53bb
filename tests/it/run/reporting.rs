//! Reports of the trainer by file, verb and `--metrics-file`: recorded at heartbeats, and kept at every kind of end.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::site::{Site, kill, output, start};
use crate::support::wait::wait_until;

fn runwrap() -> &'static str {
    env!("CARGO_BIN_EXE_runwrap")
}

#[test]
fn report_is_in_the_record_of_a_failed_run() {
    for site in [Site::sqlite(), Site::postgres()] {
        let script = format!(
            "echo '{{\"metrics\": {{\"loss\": 0.5, \"gone\": NaN}}}}' >> $RUNWRAP_REPORT
             echo 'no json' >> $RUNWRAP_REPORT
             {} report --metric loss=0.25 --metric note=fine --model-path out/model.pt --error 'out of luck'
             printf '{{\"metrics\": {{\"last\": -Infinity}}}}' >> $RUNWRAP_REPORT
             exit 3",
            runwrap()
        );
        let output = site.run(&[], &script);
        assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
        let record = site.record();
        let expected = json!({"loss": 0.25, "gone": "NaN", "note": "fine", "last": "-Infinity"});
        assert_eq!(record["train_metrics"], expected);
        assert_eq!(record["model_path"], site.path().join("out/model.pt").to_str().unwrap());
        assert_eq!(record["error_message"], "exited with code 3\nout of luck");
        assert!(site.log().contains("report_line_skipped"));
    }
}

#[test]
fn report_reaches_the_record_at_the_next_heartbeat() {
    for site in [Site::sqlite(), Site::postgres()] {
        let script = "echo '{\"metrics\": {\"epoch\": 1}}' >> $RUNWRAP_REPORT; echo ready; read -r line";
        let mut command = site.shell(&["--heartbeat", "200ms"], script);
        let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        assert_eq!(running.line(), "ready");
        wait_until("the metric of a running record", || site.record()["train_metrics"] == json!({"epoch": 1}));
        let record = site.record();
        assert_eq!((&record["status"], &record["train_end_time"]), (&json!("training"), &Value::Null));
        assert!(record["pid"].is_i64() && record["last_seen_seconds_ago"].is_number());
        running.signal("KILL");
        assert_eq!(site.record_that_is("failed")["train_metrics"], json!({"epoch": 1}));
    }
}

#[test]
fn metrics_file_is_read_unless_an_earlier_run_wrote_it() {
    let site = Site::sqlite();
    let options = ["--metrics-file", "metrics.json"];
    assert!(site.run(&options, "echo '{\"loss\": 0.5}' > metrics.json").status.success());
    assert!(site.run(&options, "true").status.success());
    assert_eq!(site.run(&options, "echo '{\"loss\": 0.25}' > metrics.json; exit 1").status.code(), Some(1));
    let metrics: Vec<Value> = site.records().into_iter().map(|mut record| record["train_metrics"].take()).collect();
    assert_eq!(json!(metrics), json!([{"loss": 0.25}, null, {"loss": 0.5}]));
}

#[test]
fn model_path_is_recorded_as_an_absolute_path() {
    let site = Site::sqlite();
    assert!(site.run(&["--model-path", "model.pt"], "true").status.success());
    assert_eq!(site.record()["model_path"], site.path().join("model.pt").to_str().unwrap());
}

#[test]
fn report_line_over_the_metrics_limit_is_skipped() {
    let site = Site::sqlite();
    let script = "echo '{\"metrics\": {\"loss\": 1}}' >> $RUNWRAP_REPORT
                  python3 -c 'import json; print(json.dumps({\"metrics\": {\"big\": \"x\" * 1100000}}))' >> $RUNWRAP_REPORT
                  echo '{\"metrics\": {\"acc\": 2}}' >> $RUNWRAP_REPORT";
    assert!(site.run(&[], script).status.success());
    assert_eq!(site.record()["train_metrics"], json!({"loss": 1, "acc": 2}));
}

#[test]
fn twenty_concurrent_reports_arrive_whole() {
    for site in [Site::sqlite(), Site::postgres()] {
        let script = format!(
            "for number in $(seq 20); do {} report --metric m$number=$number --metric=text=$(seq -s, 2000) & done; wait",
            runwrap()
        );
        assert!(site.run(&[], &script).status.success());
        let mut expected: serde_json::Map<String, Value> =
            (1..=20).map(|number| (format!("m{number}"), json!(number))).collect();
        let text = (1..=2000).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
        expected.insert("text".to_owned(), json!(text));
        assert_eq!(site.record()["train_metrics"], Value::Object(expected));
        assert!(!site.log().contains("skipped"));
    }
}

/// As in a container whose file system is read-only except for `/tmp`.
#[test]
fn report_works_without_a_journal_place() {
    let site = Site::sqlite();
    let script = format!("{} report --metric loss=0.5 --model-path m.pt", runwrap());
    assert!(site.run(&["--state-dir", "/proc/none"], &script).status.success());
    let record = site.record();
    assert_eq!(record["train_metrics"], json!({"loss": 0.5}));
    assert_eq!(record["model_path"], site.path().join("m.pt").to_str().unwrap());
}

#[test]
fn failing_report_names_the_cause() {
    let site = Site::sqlite();
    for (variable, part) in [
        ("", "RUNWRAP_REPORT is not set"),
        ("none", "No such file"),
        ("/dev/full", "not a regular file"),
        ("/etc", "directory"),
        ("pipe", "hint: "),
    ] {
        let mut command = site.runwrap(&["report", "--metric", "a=1"]);
        if variable == "pipe" {
            assert!(std::process::Command::new("mkfifo").arg(site.path().join("pipe")).status().unwrap().success());
        }
        let output = output(command.env("RUNWRAP_REPORT", variable));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(125), "{said}");
        assert!(said.starts_with("runwrap: cannot report: ") && said.contains(part), "{said}");
    }
    let within = |words: &str| site.run(&[], &format!("{} report {words}", runwrap()));
    for (words, part) in [
        ("--metric loss", "'loss' for '--metric <KEY=VALUE>': it is not KEY=VALUE"),
        ("--metric =1", "'=1' for '--metric <KEY=VALUE>': it is not KEY=VALUE"),
        ("loss=1", "unexpected argument 'loss=1' found"),
        ("", "required arguments were not provided"),
    ] {
        let output = within(words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(125), "{said}");
        assert!(said.contains(part) && said.contains("hint: "), "{said}");
    }
    assert!(site.records().iter().all(|record| record["train_metrics"].is_null()));
}

/// A trainer that opens the file with `>` at each epoch truncates it; runwrap read on at the old offset.
#[test]
fn rewritten_report_file_reports_the_latest() {
    let site = Site::sqlite();
    let script = "for epoch in 1 2 3; do echo \"{\\\"metrics\\\": {\\\"epoch\\\": $epoch}}\" > $RUNWRAP_REPORT; echo; read -r line; done";
    let mut command = site.shell(&["--heartbeat", "100ms"], script);
    let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    for epoch in 1..=3 {
        running.line();
        wait_until("the metric of the epoch", || site.record()["train_metrics"] == json!({"epoch": epoch}));
        running.say("");
    }
    assert_eq!(running.end().code(), Some(0));
}

/// Each bad line was logged, which took minutes and left nothing else in the log.
// Holds: failures/report-nonsense
#[test]
fn million_bad_lines_neither_fill_the_log_nor_delay_the_end() {
    let site = Site::sqlite();
    let script =
        "echo '{\"metrics\": {\"loss\": 1}}' >> $RUNWRAP_REPORT; yes nonsense | head -n 1000000 >> $RUNWRAP_REPORT";
    assert!(site.run(&[], script).status.success());
    assert_eq!(site.record()["train_metrics"], json!({"loss": 1}));
    let log = site.log();
    assert!(
        log.contains("event=report_line_skipped line=2 ") && log.contains("event=report_lines_skipped lines=1000000")
    );
    assert!(log.lines().count() < 100, "{}", log.lines().count());
}

/// A FIFO, a device or a huge file in place of the report file kept its run from being delivered.
// Holds: failures/report-replaced
#[test]
fn replaced_report_file_blocks_no_delivery() {
    for other in [
        "mkfifo $RUNWRAP_REPORT",
        "mkfifo $RUNWRAP_REPORT.1; ln -s $RUNWRAP_REPORT.1 $RUNWRAP_REPORT",
        "ln -s /dev/zero $RUNWRAP_REPORT",
        "ln -s /dev/tty $RUNWRAP_REPORT",
        "truncate -s 80M $RUNWRAP_REPORT",
    ] {
        let site = Site::sqlite();
        let script = format!(
            "echo '{{\"metrics\": {{\"loss\": 1}}}}' >> $RUNWRAP_REPORT; echo; read -r line; rm $RUNWRAP_REPORT; {other}; echo; read -r line"
        );
        let mut command = site.shell(&["--heartbeat", "100ms"], &script);
        let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        running.line();
        wait_until("the metric", || site.record()["train_metrics"] == json!({"loss": 1}));
        running.say("");
        running.line();
        let seen = site.record()["last_seen_at"].clone();
        wait_until("another heartbeat", || site.record()["last_seen_at"] != seen);
        // Stopped first, so that none reacts to the death of another.
        for signal in ["STOP", "KILL"] {
            site.processes().into_iter().for_each(|process| kill(process.pid, signal));
        }
        site.quiet();
        assert!(output(&mut site.runwrap(&["recover"])).status.success(), "{other}");
        let record = site.record();
        assert_eq!((&record["reason"], &record["train_metrics"]), (&json!("lost"), &json!({"loss": 1})), "{other}");
        assert!(site.run_directories().is_empty(), "{other}");
    }
}

// Holds: failures/metrics-replaced
#[test]
fn metrics_file_that_is_no_file_blocks_nothing() {
    for other in ["mkfifo m", "mkdir m", "ln -s /dev/zero m", "ln -s /dev/tty m", "ln -s m m", "truncate -s 8G m"] {
        let site = Site::sqlite();
        assert!(site.run(&["--metrics-file", "m"], other).status.success(), "{other}");
        assert!(site.run(&["--metrics-file", "m"], "true").status.success(), "{other}");
        for record in site.records() {
            assert_eq!((&record["status"], &record["train_metrics"]), (&json!("completed"), &Value::Null), "{other}");
        }
    }
}

/// runwrap opened and closed the FIFO to find out its type, which ended the writer with SIGPIPE.
#[test]
fn writer_to_a_fifo_as_metrics_file_gets_no_sigpipe() {
    let site = Site::sqlite();
    let script = "mkfifo pipe; (echo '{\"a\": 1}' > pipe; echo released) & echo ready; read -r line; cat pipe; wait";
    let mut command = site.shell(&["--heartbeat", "100ms", "--metrics-file", "pipe"], script);
    let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    let seen = site.record()["last_seen_at"].clone();
    wait_until("another heartbeat", || site.record()["last_seen_at"] != seen);
    running.say("");
    let mut said = [running.line(), running.line()];
    said.sort();
    assert_eq!(said, ["released", "{\"a\": 1}"]);
    assert_eq!(running.end().code(), Some(0));
}

/// Files that the trainer made there kept the run's directory from being removed.
#[test]
fn files_beside_the_report_are_removed_with_the_run() {
    let site = Site::sqlite();
    let script = "cd \"${RUNWRAP_REPORT%/*}\" && mkdir -p deep/er && touch deep/er/file note && ln -s / deep/link";
    assert!(site.run(&[], script).status.success());
    site.quiet();
    assert!(site.run_directories().is_empty());
}

/// The journal nests metrics in objects of its own. One level more than its reader takes made the whole journal damaged, and
/// the record stayed `training` for ever.
// Holds: failures/report-depth
#[test]
fn metrics_of_any_depth_leave_the_journal_readable() {
    for site in [Site::sqlite(), Site::postgres()] {
        for levels in [100, 101, 120, 126, 127, 128, 100_000] {
            let script = format!(
                "python3 -c 'print(\"{{\\\"deep\\\":\" + \"[\" * {0} + \"]\" * {0} + \"}}\")' > metrics.json
                 echo \"{{\\\"metrics\\\":$(cat metrics.json)}}\" >> $RUNWRAP_REPORT",
                levels - 1
            );
            assert!(site.run(&["--metrics-file", "metrics.json"], &script).status.success());
            let record = site.records().swap_remove(0);
            assert_eq!((&record["status"], record["train_metrics"].is_null()), (&json!("completed"), levels > 100));
        }
    }
}
