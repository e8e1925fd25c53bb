//! The history of reported metrics, from the trainer to the view: through the death of keepers and of everything, and at its limits.

use std::fs;
use std::process::Stdio;

use crate::support::site::{Site, kill, output, start};
use crate::support::wait::wait_until;

const POINTS: &str = "SELECT name, x, seconds, value, low, high FROM runwrap_points";
const SUMMARY: &str = "SELECT name, count(*), min(low), max(high) FROM runwrap_points GROUP BY name ORDER BY name";

/// Appends `count` lines whose loss falls from `count` to 1.
fn lines(count: u32) -> String {
    format!(
        "seq {count} | awk '{{printf \"{{\\\"metrics\\\": {{\\\"loss\\\": %d, \\\"at\\\": {{\\\"b\\\": %d}}}}, \\\"step\\\": %d}}\\n\", \
         {count} + 1 - $1, $1 % 7, $1}}' >> $RUNWRAP_REPORT"
    )
}

#[test]
fn curve_of_a_run_has_its_exact_extremes() {
    for site in [Site::sqlite(), Site::postgres()] {
        let verb = format!("{} report --metric loss=0.5 --step 2000", env!("CARGO_BIN_EXE_runwrap"));
        assert!(site.run(&[], &format!("{}; {verb}", lines(1000))).status.success());
        assert_eq!(site.sql(SUMMARY), "at/b|250|0|6\nloss|251|0.5|1000\n");
        let last = format!("{POINTS} WHERE name = 'loss' ORDER BY x DESC LIMIT 1");
        let last = site.sql(&last);
        assert!(last.starts_with("loss|2000|") && last.ends_with("|0.5|0.5|0.5\n"), "{last}");
    }
}

#[test]
fn run_without_numbers_and_run_without_curves_have_no_rows() {
    for site in [Site::sqlite(), Site::postgres()] {
        let text = "echo '{\"metrics\": {\"note\": \"fine\", \"ok\": true}}' >> $RUNWRAP_REPORT";
        assert!(site.run(&[], text).status.success());
        assert!(site.run(&["--curves", "0"], &lines(10)).status.success());
        assert_eq!(site.sql("SELECT count(*) FROM runwrap_series"), "0\n");
        assert!(site.run(&["--curves", "1"], &lines(10)).status.success());
        assert_eq!(site.sql("SELECT name, total FROM runwrap_series"), "loss|10\n");
        let nan = "echo '{\"metrics\": {\"loss\": NaN}}' >> $RUNWRAP_REPORT";
        assert!(site.run(&[], nan).status.success());
        assert_eq!(site.sql("SELECT total, nan FROM runwrap_series ORDER BY run_id DESC LIMIT 1"), "1|1\n");
        assert_eq!(site.sql("SELECT count(*) FROM runwrap_points"), "10\n");
    }
}

/// Lines without a time keep the moment at which the first keeper saw them.
// Holds: failures/curve-keeper-killed
#[test]
fn replaced_keeper_delivers_the_same_curve() {
    for site in [Site::sqlite(), Site::postgres()] {
        let script = format!("{}; echo ready; read -r line; {}", lines(300), lines(5));
        let mut command = site.shell(&["--heartbeat", "100ms"], &script);
        let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        running.line();
        wait_until("the first curve", || site.sql(SUMMARY).contains("loss|150|1|300"));
        let before = site.sql(POINTS);
        let keeper = site.keeper_after(None);
        kill(keeper, "KILL");
        site.keeper_after(Some(keeper));
        running.say("go on");
        assert!(running.end().success());
        // Pairs of the first 300 values, and three buckets of the last five.
        assert_eq!(site.sql(SUMMARY), "at/b|153|0|6\nloss|153|1|300\n");
        let after = site.sql(POINTS);
        let known = |all: &str| {
            all.lines().filter(|line| line.starts_with("loss")).take(150).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(known(&before), known(&after));
    }
}

/// Also those that no keeper has seen.
// Holds: failures/curve-lost
#[test]
fn recovery_delivers_the_curve_of_a_lost_run() {
    for site in [Site::sqlite(), Site::postgres()] {
        let script = format!("{}; echo ready; read -r line; {}; echo again; read -r line", lines(10), lines(5));
        let mut command = site.shell(&["--heartbeat", "1h", "--lease", "2h"], &script);
        let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        running.line();
        wait_until("the first curve", || site.sql(SUMMARY).contains("loss|10|1|10"));
        let before = site.sql(POINTS);
        running.say("go on");
        running.line();
        site.lose();
        drop(running);
        assert!(output(&mut site.runwrap(&["recover"])).status.success());
        assert_eq!(site.record()["reason"], "lost");
        assert_eq!(site.sql(SUMMARY), "at/b|15|0|6\nloss|15|1|10\n");
        let after = site.sql(POINTS);
        assert!(before.lines().all(|line| after.lines().any(|other| other == line)), "{before}\n{after}");
        assert!(site.run_directories().is_empty());
    }
}

// Holds: failures/curve-refused
#[test]
fn refused_curve_costs_the_run_one_message_and_nothing_else() {
    for site in [Site::sqlite(), Site::postgres()] {
        assert!(site.run(&[], "true").status.success());
        site.sql("DROP VIEW runwrap_points; DROP TABLE runwrap_series");
        let script = format!("{}; sleep 1", lines(3));
        let ended = site.run(&["--heartbeat", "100ms"], &script);
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.success(), "{said}");
        assert_eq!(said.matches("curves").count(), 2, "one message names curves and --curves: {said}");
        assert_eq!(
            (&site.records()[0]["status"], &site.records()[0]["train_metrics"]["loss"]),
            (&"completed".into(), &1.into())
        );
        assert!(site.run_directories().is_empty());
    }
}

/// Each of them bound a buffer, an index or a statement.
// Holds: failures/curve-names
#[test]
fn many_and_odd_names_are_harmless() {
    for site in [Site::sqlite(), Site::postgres()] {
        let script = site.path().join("names.py");
        let names = "import json, os
names = [\"it's\", 'a\"b', 'two\\nlines', '$1', 'n' * 500_000]
with open(os.environ['RUNWRAP_REPORT'], 'a') as file:
    for name in names:
        file.write(json.dumps({'metrics': {name: 1}}) + '\\n')
    file.write(json.dumps({'metrics': {f'm{number}': number for number in range(10_000)}}) + '\\n')
";
        fs::write(&script, names).unwrap();
        let ended = site.run(&[], &format!("python3 {}", script.display()));
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        assert_eq!(site.sql("SELECT count(*), max(length(name)) FROM runwrap_series"), "64|9\n");
        assert_eq!(site.sql("SELECT name FROM runwrap_series WHERE number = 5"), "m0\n");
    }
}

/// The keeper read pieces of 16 MiB, and then held 39 MB.
// Holds: failures/curve-large
#[test]
fn large_report_keeps_the_keeper_small() {
    let site = Site::sqlite();
    let script = format!(
        "note=$(printf '%1000s' x); {}; echo ready; read -r line",
        lines(40_000).replace("\\\"loss", "\\\"note\\\": \\\"'\"$note\"'\\\", \\\"loss")
    );
    let mut command = site.shell(&["--heartbeat", "200ms"], &script);
    let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    running.line();
    wait_until("the whole curve", || {
        site.sql("SELECT max(high) - min(low) FROM runwrap_points WHERE name = 'loss'") == "39999\n"
    });
    let status = fs::read_to_string(format!("/proc/{}/status", site.keeper_after(None))).unwrap();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    assert!(peak.unwrap() < 32 * 1024, "{peak:?} kB");
    running.say("end");
    assert!(running.end().success());
    assert!(site.sql(SUMMARY).ends_with("loss|157|1|40000\n"), "{}", site.sql(SUMMARY));
}

/// The run's directory was removed, and the curve with it.
// Holds: failures/curve-locked
#[test]
fn curve_that_is_locked_at_the_end_is_delivered_later() {
    let site = Site::postgres();
    assert!(site.run(&[], "true").status.success());
    let mut psql = std::process::Command::new("psql");
    let mut other = start(psql.args(["-XqAt", site.url()]).stdin(Stdio::piped()).stdout(Stdio::piped()));
    other.say("BEGIN; LOCK TABLE runwrap_series IN SHARE MODE; SELECT 'locked';");
    assert_eq!(other.line(), "locked");
    let ended = site.run(&[], &lines(3));
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    assert_eq!(site.records()[0]["status"], "completed");
    assert_eq!(site.sql("SELECT count(*) FROM runwrap_series"), "0\n");
    other.say("COMMIT;");
    wait_until("the curve", || site.sql(SUMMARY).contains("loss|3|1|3"));
    site.quiet();
    assert!(site.run_directories().is_empty());
}

/// A new keeper reads the report from its start, and the values of its first lines replaced newer ones in the record.
// Holds: failures/curve-lost
#[test]
fn values_never_go_back_when_a_keeper_is_replaced() {
    let site = Site::sqlite();
    let script = site.path().join("many.py");
    let text = "import os
with open(os.environ['RUNWRAP_REPORT'], 'a') as file:
    for number in range(60_000):
        file.write('{\"metrics\": {\"loss\": %d, \"text\": \"%s\"}}\\n' % (number, 'x' * 100))
print('ready', flush=True)
input()
";
    fs::write(&script, text).unwrap();
    let mut command = site.shell(&["--heartbeat", "1s"], &format!("exec python3 {}", script.display()));
    let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    let loss = || site.sql("SELECT json_extract(train_metrics, '$.loss') FROM training_records").trim().to_owned();
    wait_until("the last value", || loss() == "59999");
    let keeper = site.keeper_after(None);
    kill(keeper, "KILL");
    site.keeper_after(Some(keeper));
    let before = site.record()["heartbeat_at"].clone();
    wait_until("a heartbeat of the new keeper", || {
        let record = site.record();
        assert_eq!(record["train_metrics"]["loss"], 59_999);
        record["heartbeat_at"] != before
    });
    running.say("end");
    assert!(running.end().success());
    assert_eq!(site.record()["train_metrics"]["loss"], 59_999);
}

/// The values that were not read within the limit of the end had no place in the curve, and nothing showed that.
// Holds: failures/curve-large
#[test]
fn curve_of_a_report_that_is_too_long_for_the_end_is_completed_later() {
    let site = Site::sqlite();
    let script = site.path().join("burst.py");
    // A debug build reads some 30,000 lines a second.
    let text = "import os
lines = ''.join('{\"metrics\": {\"loss\": %d, \"text\": \"%s\"}}\\n' % (number, 'x' * 90) for number in range(1000))
with open(os.environ['RUNWRAP_REPORT'], 'a') as file:
    for _ in range(250):
        file.write(lines)
    file.write('{\"metrics\": {\"loss\": -1}}\\n')
";
    fs::write(&script, text).unwrap();
    let ended = site.run(&["--heartbeat", "1h", "--lease", "2h"], &format!("exec python3 {}", script.display()));
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    assert_eq!(site.record()["train_metrics"]["loss"], -1);
    assert!(site.log().contains("event=report_cut"), "the report was too short for this test");
    wait_until("the whole curve", || {
        site.sql("SELECT (SELECT total FROM runwrap_series), min(low) FROM runwrap_points") == "250001|-1\n"
    });
    site.quiet();
    assert!(site.run_directories().is_empty());
}
