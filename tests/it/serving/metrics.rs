//! The metrics: what they count, and that Prometheus' own tool reads them.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use super::client::Served;
use crate::support::site::{Site, output, start};
use crate::support::wait::wait_until;

const STUCK: &str = "INSERT INTO training_records (status, train_start_time, created_at)
    VALUES ('training', '2025-11-26 18:00:00', '2025-11-26 18:00:00')";

/// The metrics in the table of docs/metrics.md.
pub(crate) fn documented() -> BTreeSet<String> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `runwrap_")?.split('`').next());
    rows.map(|name| format!("runwrap_{name}")).collect()
}

/// Lets promtool check a text in Prometheus' format.
#[track_caller]
fn checked(text: &str) {
    let mut promtool = Command::new("promtool");
    let mut checking =
        promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    checking.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = checking.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
}

#[track_caller]
fn has(text: &str, line: &str) {
    assert!(text.lines().any(|known| known == line), "{line}\n{text}");
}

fn some_runs(site: &Site) {
    assert!(site.run(&["-n", "cifar"], "true").status.success());
    assert!(!site.run(&["-n", "cifar"], "exit 3").status.success());
    assert!(!site.run(&["-n", "never"], "kill -9 $$").status.success());
    assert!(site.run(&["-n", "a\"b\\c\u{202e}<script>"], "true").status.success());
    assert!(output(&mut site.runwrap(&["finalize", "2", "--status", "completed", "--force"])).status.success());
}

#[test]
fn metrics_count_runs_and_are_valid() {
    for site in [Site::sqlite(), Site::postgres()] {
        some_runs(&site);
        let mut running = start(site.shell(&["-n", "cifar", "--heartbeat", "1s"], "read line").stdin(Stdio::piped()));
        site.record_that_trains();
        let served = Served::start(&site, &[]);
        let open = served.get("/metrics");
        assert_eq!(
            open.header("content-type"),
            Some("application/openmetrics-text; version=1.0.0; charset=utf-8"),
            "{open:?}"
        );
        let text = &open.body;
        for line in [
            "runwrap_runs{status=\"training\",reason=\"\"} 1.0",
            "runwrap_runs{status=\"completed\",reason=\"success\"} 2.0",
            "runwrap_runs{status=\"completed\",reason=\"manual\"} 1.0",
            "runwrap_runs{status=\"failed\",reason=\"signal\"} 1.0",
            "runwrap_overdue_runs 0.0",
            "runwrap_last_duration_seconds{name=\"cifar\"} 0.0",
            "runwrap_last_duration_seconds{name=\"a\\\"b\\\\c\u{202e}<script>\"} 0.0",
            "runwrap_undelivered_journals 0.0",
            "runwrap_database_up 1.0",
            "runwrap_database_errors_total{class=\"permanent\"} 0",
            "# EOF",
        ] {
            has(text, line);
        }
        assert!(!text.contains("name=\"never\""), "{text}");
        let names = text.lines().filter_map(|line| line.split(['{', ' ']).next()).filter(|name| *name != "#");
        assert_eq!(names.collect::<BTreeSet<_>>(), documented().iter().map(String::as_str).collect());
        let age = text.lines().find_map(|line| line.strip_prefix("runwrap_oldest_heartbeat_age_seconds "));
        assert!(age.unwrap().parse::<f64>().unwrap() < 60.0, "{text}");
        let plain = served.get_with("/metrics", "Accept: text/plain\r\n");
        assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        checked(&plain.body);
        running.say("end");
        assert!(running.end().success());
        served.end("TERM");
    }
}

#[test]
fn recovery_counts_what_it_ends_and_what_is_left() {
    let site = Site::sqlite();
    assert!(output(&mut site.runwrap(&["migrate"])).status.success());
    site.sql(STUCK);
    let served = Served::start(&site, &["--recover", "1s", "--stuck-after", "24h"]);
    let has_line = |line: &str| served.get("/metrics").body.lines().any(|known| known == line);
    wait_until("a recovered record", || has_line("runwrap_recovered_total{reason=\"stuck\"} 1"));
    wait_until("the journals", || has_line("runwrap_undelivered_journals 0.0"));
    std::fs::create_dir(site.state_dir().join("quarantine")).ok();
    std::fs::create_dir_all(site.state_dir().join("quarantine/x")).unwrap();
    wait_until("a journal that was put aside", || has_line("runwrap_undelivered_journals 1.0"));
    served.end("TERM");
}

/// Without `--verbose` only the file shows it.
#[test]
fn verbose_recover_names_why_the_file_lacks_its_figures() {
    let site = Site::sqlite();
    some_runs(&site);
    site.sql("DROP INDEX runwrap_runs_named");
    let path = site.path().join("runwrap.prom");
    let recovered = output(&mut site.runwrap(&["-v", "recover", "--textfile", path.to_str().unwrap()]));
    let messages = String::from_utf8(recovered.stderr).unwrap();
    assert!(recovered.status.success(), "{messages}");
    assert_eq!(messages.matches("cannot read the numbers of the metrics: ").count(), 1, "{messages}");
    has(&std::fs::read_to_string(&path).unwrap(), "runwrap_database_up 0.0");
}

#[test]
fn textfile_is_for_node_exporter() {
    for site in [Site::sqlite(), Site::postgres()] {
        some_runs(&site);
        let path = site.path().join("runwrap.prom");
        let textfile = ["recover", "--textfile", path.to_str().unwrap()];
        assert!(output(&mut site.runwrap(&textfile)).status.success());
        let text = std::fs::read_to_string(&path).unwrap();
        checked(&text);
        has(&text, "runwrap_database_up 1.0");
        has(&text, "runwrap_last_duration_seconds{name=\"cifar\"} 0.0");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o644);
        let before = text.len();
        site.sql(STUCK);
        let mut service = start(
            site.runwrap(&[&textfile[..], &["--every", "1s", "--stuck-after", "24h"]].concat()).stdout(Stdio::null()),
        );
        wait_until("the next round", || {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.len() > before / 2, "a reader never sees a part: {text}");
            text.contains("runwrap_recovered_total{reason=\"stuck\"} 1")
        });
        service.signal("TERM");
        assert!(service.end().success());
        let output = output(&mut site.runwrap(&["recover", "--textfile", "/nowhere/x.prom"]));
        assert_eq!(output.status.code(), Some(125));
        assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write the metrics to /nowhere/x.prom"));
    }
}

/// Inserts ended runs of names, each with its record.
fn insert(site: &Site, runs: &[(usize, String, &str)]) {
    for runs in runs.chunks(500) {
        let list = |row: &dyn Fn(&(usize, String, &str)) -> String| runs.iter().map(row).collect::<Vec<_>>().join(",");
        let records = list(&|(id, _, reason)| {
            let status = if *reason == "success" { "completed" } else { "failed" };
            format!("({id},'{status}','2026-01-01 00:00:00','2026-01-01 00:00:05',5)")
        });
        let of_runs = list(&|(id, name, reason)| {
            format!("('00000000-0000-7000-8000-{id:012}','training_records','{id}','{name}','{reason}','0')")
        });
        site.sql(&format!(
            "INSERT INTO training_records (id,status,train_start_time,train_end_time,train_duration) VALUES {records};
            INSERT INTO runwrap_runs (run_id,record_table,record_id,name,reason,runwrap_version) VALUES {of_runs}"
        ));
    }
}

#[test]
fn names_and_the_search_for_a_success_are_bounded() {
    for site in [Site::sqlite(), Site::postgres()] {
        assert!(output(&mut site.runwrap(&["migrate"])).status.success());
        let names: Vec<(usize, String, &str)> =
            (1..=3100).map(|number| (number, format!("n{number:04}"), "success")).collect();
        insert(&site, &names);
        site.sql("INSERT INTO runwrap_versions SELECT 'training_records', name, 1 FROM runwrap_runs");
        let failures: Vec<(usize, String, &str)> =
            (4000..4400).map(|id| (id, if id < 4200 { "n0001" } else { "n0002" }.to_owned(), "exit")).collect();
        insert(&site, &failures[..399]);
        let served = Served::start(&site, &[]);
        let text = served.get("/metrics").body;
        let has_name =
            |name: &str| text.contains(&format!("runwrap_last_success_timestamp_seconds{{name=\"{name}\"}} 17672256"));
        // 200 failures in a row hide the success before them, 199 do not.
        assert_eq!(["n0001", "n0002", "n0003", "n3000", "n3001"].map(has_name), [false, true, true, true, false]);
        assert_eq!(text.matches("runwrap_last_duration_seconds{").count(), 2999);
        served.end("TERM");
    }
}

/// The rules of the documentation, by Prometheus' own tool.
#[test]
fn documented_rules_are_valid() {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let blocks: Vec<&str> = document.split("```yaml\n").skip(1).filter_map(|block| block.split("```").next()).collect();
    let directory = tempfile::tempdir().unwrap();
    for (what, block) in ["config", "rules"].into_iter().zip(&blocks) {
        let path = directory.path().join(what);
        std::fs::write(&path, block).unwrap();
        let output = output(Command::new("promtool").args(["check", what]).arg(&path));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    assert_eq!(blocks.len(), 2);
}
