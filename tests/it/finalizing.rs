//! `runwrap finalize`, with the real binary in both databases.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::site::{Site, output, start};

#[track_caller]
fn finalize(site: &Site, arguments: &[&str]) -> (i32, String) {
    let output = output(&mut site.runwrap(&[&["finalize"], arguments].concat()));
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), said)
}

// Holds: failures/operator-ends
#[test]
fn only_force_overrides_an_end_and_the_audit_names_the_user() {
    for site in [Site::sqlite(), Site::postgres()] {
        assert_eq!(site.run(&["-n", "demo"], "exit 3").status.code(), Some(3));
        let (status, said) = finalize(&site, &["1", "--status", "completed"]);
        assert_eq!(status, 1);
        assert!(said.starts_with("runwrap: cannot finalize record 1: it has ended already: failed (exit)"), "{said}");
        assert!(said.contains("hint: use --force"), "{said}");
        let before = site.record();

        let by_run = before["run_id"].as_str().unwrap();
        let (status, said) = finalize(&site, &[by_run, "--status", "completed", "--force", "--model-path", "out/m.pt"]);
        assert_eq!(status, 0, "{said}");
        assert!(said.starts_with("record 1 (demo v1): failed -> completed (manual), ended 20"), "{said}");
        let record = site.record();
        let said = ["status", "reason", "error_message", "exit_code"].map(|name| record[name].clone());
        assert_eq!(json!(said), json!(["completed", "manual", null, 3]));
        assert_eq!(record["train_end_time"], before["train_end_time"]);
        assert_eq!(record["model_path"], json!(site.path().join("out/m.pt")));
        let audit = &record["context"]["finalized"][0];
        assert_eq!((&audit["before"]["status"], &audit["reason"]), (&json!("failed"), &json!("exit")));
        assert_eq!((&audit["by"], &audit["after"]["status"]), (&record["recovered_by"], &json!("completed")));
        assert!(site.log().contains("event=finalized"), "{}", site.log());
    }
}

#[test]
fn impossible_values_are_refused() {
    let site = Site::sqlite();
    assert!(site.run(&[], "true").status.success());
    let force = |at: &'static str| finalize(&site, &["1", "--status", "failed", "--force", "--ended-at", at]);
    let (status, said) = force("2025-11-27 01:20:52");
    assert!(status == 1 && said.contains("after the given end"), "{said}");
    let (status, said) = force("2125-11-27T01:20:52+01:00");
    assert!(status == 1 && said.contains("in the future"), "{said}");
    let (status, said) = force("yesterday");
    assert!(status == 125 && said.contains("'yesterday' for '--ended-at <TIME>': it is not a time"), "{said}");
    let (status, said) = finalize(&site, &["1", "--status", "failed", "--metrics", "[1]"]);
    assert!(status == 125 && said.contains("'[1]' for '--metrics <JSON>'"), "{said}");
    assert_eq!(finalize(&site, &["1", "--status", "training"]).0, 125);
    assert_eq!(finalize(&site, &["1"]).0, 125);
    let (status, said) = finalize(&site, &["2", "--status", "failed"]);
    assert!(status == 1 && said.contains("there is no record 2"), "{said}");
    assert_eq!(site.record()["reason"], "success");
}

/// The message was "it has ended already", with the hint to use --force.
#[test]
fn end_in_the_future_of_a_presumed_record_is_named() {
    for site in [Site::sqlite(), Site::postgres()] {
        assert!(output(&mut site.runwrap(&["migrate"])).status.success());
        site.sql("INSERT INTO training_records (status, train_start_time) VALUES ('training', '2025-11-26 18:00:00')");
        let given_up = output(&mut site.runwrap(&["recover", "--stuck-after", "1h"]));
        assert!(given_up.status.success(), "{given_up:?}");
        assert!(site.run(&[], "exit 0").status.success());
        site.sql("UPDATE runwrap_runs SET presumed = TRUE, reason = 'lost' WHERE record_id = '2'");
        site.sql("UPDATE training_records SET status = 'failed' WHERE id = 2");
        for id in ["1", "2"] {
            let end = |at: &str| finalize(&site, &[id, "--status", "failed", "--ended-at", at]);
            let (status, said) = end("2125-11-27T01:20:52+01:00");
            assert!(status == 1 && said.contains("the given end is in the future"), "{said}");
            let (status, said) = end("2025-11-20T01:20:52+01:00");
            assert!(status == 1 && said.contains("after the given end"), "{said}");
        }
        assert_eq!(finalize(&site, &["1", "--status", "failed", "--ended-at", "2025-11-27T01:20:52Z"]).0, 0);
        assert!(finalize(&site, &["1", "--status", "failed"]).1.contains("it has ended already: failed (manual)"));
    }
}

/// `-3` was taken for an option.
#[test]
fn negative_id_is_an_id() {
    let site = Site::sqlite();
    assert!(output(&mut site.runwrap(&["migrate"])).status.success());
    site.sql("INSERT INTO training_records (id, status) VALUES (-3, 'training')");
    assert!(output(&mut site.runwrap(&["show", "-3"])).status.success());
    assert_eq!(finalize(&site, &["-3", "--status", "failed"]).0, 0);
    assert_eq!(finalize(&site, &["--status", "failed", "--force", "-3"]).0, 0);
}

// Holds: failures/operator-living
#[test]
fn finalize_of_a_live_run_warns_and_its_record_stays() {
    let site = Site::sqlite();
    let mut command = site.shell(&["--heartbeat", "100ms"], "echo ready; read -r line; exit 3");
    let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    let (status, said) = finalize(&site, &["1", "--status", "failed", "--reason", "gave it up"]);
    assert!(status == 0 && said.contains("may still be alive"), "{said}");
    running.close_stdin();
    assert_eq!(running.end().code(), Some(3));
    site.quiet();
    let record = site.record();
    let said = ["status", "reason", "error_message", "exit_code"].map(|name| record[name].clone());
    assert_eq!(json!(said), json!(["failed", "manual", "gave it up", Value::Null]));
    assert!(site.run_directories().is_empty());
}
