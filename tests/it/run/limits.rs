//! `ulimit` of the user: the trainer runs as it would without runwrap, and runwrap does without the refused parts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::postgres::is_root;
use crate::support::site::{Site, kill, output, shell_status, start};
use crate::support::skipped;
use crate::support::wait::wait_until;

/// A user that has no other process, so that `ulimit -u` counts only those of the test.
const USER: u32 = 54_398;

/// Shows the dispositions that it has inherited, and ends with a status of its own.
const PROBE: &str = "echo out; grep SigIgn /proc/self/status; exit 3";

/// Closes the descriptors that the caller of the tests has left open: they would count.
const CLOSE_OTHERS: &str =
    "for fd in /proc/self/fd/*; do fd=${fd##*/}; if [ $fd -gt 2 ]; then eval \"exec $fd>&-\"; fi; done";

/// `words`, bare or under runwrap with short timeouts, after `ulimit LIMIT`.
fn limited(site: &Site, limit: &str, wrapped: bool, words: &[&str]) -> Command {
    let mut command = site.program("bash");
    command.args(["-c", &format!("{CLOSE_OTHERS}; ulimit {limit} && exec \"$@\""), "bash"]);
    if wrapped {
        let runwrap = env!("CARGO_BIN_EXE_runwrap");
        command.args([runwrap, "--start-timeout", "2s", "--finish-timeout", "2s", "--name", "limited", "--"]);
    }
    command.args(words);
    command
}

/// Compares exit status and output with those of the bare command, and returns runwrap's messages.
#[track_caller]
fn same(site: &Site, limit: &str, words: &[&str]) -> String {
    let [bare, wrapped] = [false, true].map(|wrapped| output(&mut limited(site, limit, wrapped, words)));
    let shown = |output: &std::process::Output| {
        (shell_status(output.status), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let messages = String::from_utf8(wrapped.stderr.clone()).unwrap();
    assert_eq!(shown(&wrapped), shown(&bare), "{limit}: {messages}");
    messages
}

fn ended(site: &Site) {
    let record = site.record();
    assert_eq!((&record["status"], &record["exit_code"]), (&json!("failed"), &json!(3)));
}

/// SIGXFSZ killed runwrap before the trainer started, and then one keeper after the other.
// Holds: failures/limit-file-size
#[test]
fn limit_of_file_sizes_counts_as_a_full_disk() {
    for limit in ["-f 0", "-f 1", "-f 2", "-f 8", "-f 64"] {
        let site = Site::postgres();
        // A log beyond the limit, of earlier runs.
        fs::create_dir_all(site.state_dir()).unwrap();
        fs::write(site.state_dir().join("runwrap.log"), "x".repeat(70_000)).unwrap();
        let messages = same(&site, limit, &["sh", "-c", PROBE]);
        let warnings = messages.matches("cannot keep").count();
        assert!(warnings <= 1 && (limit != "-f 0" || warnings == 1), "{limit}: {messages}");
        ended(&site);
        site.quiet();
        same(&site, &format!("{limit}; trap '' XFSZ"), &["sh", "-c", PROBE]);
        site.quiet();
    }
}

/// The keeper died at its first write to the journal, and the end with it.
// Holds: failures/limit-file-size
#[test]
fn keeper_takes_over_although_the_journal_cannot_grow() {
    let site = Site::postgres();
    let mut padding = 100;
    // The first run measures the journal, so that in the second one only the end of the run exceeds the limit.
    for limit in ["-f unlimited", "-f 3"] {
        let script = format!("echo ready; exec sleep 62 # {}", "x".repeat(padding));
        let mut running = start(limited(&site, limit, true, &["sh", "-c", &script]).stdout(Stdio::piped()));
        assert_eq!(running.line(), "ready");
        let [run] = &site.run_directories()[..] else { panic!("{:?}", site.run_directories()) };
        let journal = run.join("journal-1.jsonl");
        let text = || fs::read_to_string(&journal).unwrap();
        wait_until("the start is in the journal", || text().contains("started") && text().ends_with('\n'));
        let room = 3 * 1024 - text().len();
        assert!(limit != "-f 3" || room < 80, "{room}");
        padding += room - 40;
        running.signal("KILL");
        wait_until("the end of the run", || site.records()[0]["status"] == "failed");
        assert_eq!(site.records()[0]["reason"], "supervisor_killed");
        assert!(!site.log().contains("event=no_memory_file") && !site.log().contains("takeover_failed"));
        site.quiet();
    }
    assert_eq!(site.records().len(), 2);
}

/// SQLite's file meets the limit too: its record arrives once there is room.
#[test]
fn limit_of_file_sizes_leaves_the_journal_for_the_next_run() {
    let site = Site::sqlite();
    same(&site, "-f 8", &["sh", "-c", PROBE]);
    assert!(site.keepers().len() <= 1);
    for pid in site.keepers() {
        kill(pid, "KILL");
    }
    site.quiet();
    assert!(output(&mut site.runwrap(&["recover"])).status.success());
    ended(&site);
}

/// The exit status was 126, although the bare command ran.
// Holds: failures/limit-descriptors
#[test]
fn trainer_runs_with_few_descriptors() {
    for number in [4, 5, 6, 7, 8, 9, 10, 12, 14, 15, 17, 18, 19, 20, 24, 32] {
        let site = Site::sqlite();
        let limit = format!("-n {number}");
        let messages = same(&site, &limit, &["sh", "-c", PROBE]);
        // Fifteen, beside stdin, stdout, stderr and the log.
        let is_warned = number < 19;
        assert_eq!(
            messages.matches("too few files may be open").count(),
            usize::from(is_warned),
            "{limit}: {messages}"
        );
        // SQLite itself needs some.
        if number >= 8 {
            assert_eq!(messages.lines().count(), 2 * usize::from(is_warned), "{limit}: {messages}");
            ended(&site);
        }
        site.quiet();
    }
}

// Holds: failures/limit-descriptors
#[test]
fn few_descriptors_change_no_signal_and_no_failed_exec() {
    for number in [4, 5, 6, 7, 10, 16] {
        let site = Site::sqlite();
        let limit = format!("-n {number}");
        for (script, status) in
            [("echo ready; exec sleep 60", 143), ("trap 'exit 7' TERM; echo ready; while :; do read -r x; done", 7)]
        {
            let mut command = limited(&site, &limit, true, &["sh", "-c", script]);
            let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()));
            assert_eq!(running.line(), "ready");
            running.signal("TERM");
            if status == 7 {
                running.close_stdin();
            }
            assert_eq!(shell_status(running.end()), status, "{limit}");
        }
        for (words, status) in [(["/nonexistent"], 127), (["/etc/passwd"], 126)] {
            let wrapped = output(&mut limited(&site, &limit, true, &words));
            assert_eq!(shell_status(wrapped.status), status, "{limit}");
        }
        let refused = format!("{limit}; set -- \"$1\" --require-database \"${{@:2}}\"");
        let refused = output(&mut limited(&site, &refused, true, &["sh", "-c", "echo started"]));
        assert_eq!((refused.status.code(), &refused.stdout[..]), (Some(125), &b""[..]), "{limit}");
        site.quiet();
    }
}

/// Witness and keeper took the place of the trainer.
// Holds: failures/limit-processes
#[test]
fn trainer_comes_first_where_few_processes_are_allowed() {
    if !is_root() {
        return skipped("only root can become a user without other processes");
    }
    for number in 2..=8 {
        let site = Site::sqlite();
        assert!(Command::new("chown").arg(USER.to_string()).arg(site.path()).status().unwrap().success());
        let binary = site.path().join("runwrap");
        fs::copy(env!("CARGO_BIN_EXE_runwrap"), &binary).unwrap();
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = site.program("setpriv");
        command.args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--clear-groups", "bash", "-c"]);
        command.args([&format!("ulimit -u {number} && exec \"$@\""), "bash"]).arg(&binary);
        command.args(["--start-timeout", "300ms", "--", "sh", "-c", "echo out; exit 3"]);
        let ran = output(&mut command);
        let messages = String::from_utf8(ran.stderr).unwrap();
        assert_eq!((ran.status.code(), &ran.stdout[..]), (Some(3), &b"out\n"[..]), "{number}: {messages}");
        site.quiet();
        ended(&site);
        // With some more, it depends on the keeper's thread.
        let gave_way = messages.matches("too few processes").count();
        assert!(
            gave_way <= 1 && (number > 2 || gave_way == 1) && (number < 8 || gave_way == 0),
            "{number}: {messages}"
        );
    }
}
