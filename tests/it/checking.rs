//! `runwrap check`: every class of finding and nothing else, in tables of every kind, with the real binary.

mod tables;

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::site::{Site, output, start};

/// The exit status and the findings.
#[track_caller]
fn check(site: &Site, arguments: &[&str]) -> (i32, Vec<Value>) {
    let output = output(&mut site.runwrap(&[&["check", "--json"], arguments].concat()));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap())
}

/// `id kind` of each finding.
fn kinds(found: &[Value]) -> Vec<String> {
    found.iter().map(|finding| format!("{} {}", finding["record_id"], finding["kind"].as_str().unwrap())).collect()
}

/// Tables as applications make them: with naive and with zoned times, and everything as text.
fn tables(site: &Site) -> Vec<String> {
    let (naive, zoned, id) = if site.url().starts_with("sqlite") {
        ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "INTEGER")
    } else {
        ("TIMESTAMP WITHOUT TIME ZONE", "TIMESTAMP WITH TIME ZONE", "SERIAL")
    };
    let table = |start: &str, end: &str, duration: &str| {
        format!(
            "DROP TABLE IF EXISTS training_records;
             CREATE TABLE training_records (id {id} PRIMARY KEY, status VARCHAR(16), train_start_time {start},
                train_end_time {end}, train_duration {duration})"
        )
    };
    vec![table(naive, naive, "INTEGER"), table(zoned, naive, "DOUBLE PRECISION"), table("TEXT", "TEXT", "TEXT")]
}

const SOUND: &str = "
    INSERT INTO training_records VALUES
        (1, 'completed', '2025-11-25 18:00:00.900000', '2025-11-26 01:53:45.100000', 28424),
        (2, 'completed', '2025-11-25 18:00:00.900000', '2025-11-26 01:53:45.100000', 28425),
        (3, 'failed', NULL, '2025-11-26 01:53:45', NULL),
        (4, 'failed', NULL, NULL, NULL),
        (5, 'completed', NULL, '2025-11-26 01:53:45', 12),
        (6, 'training', '2525-11-25 18:00:00', NULL, NULL),
        (7, 'training', NULL, NULL, NULL),
        (8, 'completed', '2025-11-25 18:00:00', '2025-11-25 18:00:00', 0)";

const UNSOUND: &str = "
    INSERT INTO training_records VALUES
        (11, 'training', '2025-11-25 18:00:00', NULL, NULL),
        (12, 'completed', '2025-11-25 18:00:00', NULL, 60),
        (13, 'completed', '2025-11-25 18:00:00', NULL, NULL),
        (14, 'failed', '2025-11-25 18:00:00', '2025-11-25 18:02:00.5', NULL),
        (15, 'failed', '2025-11-25 18:00:00', '2025-11-25 18:02:00', 118),
        (16, 'completed', '2025-11-25 18:00:00', '2025-11-25 17:00:00', 3600),
        (17, 'running', '2025-11-25 18:00:00', NULL, NULL),
        (18, NULL, NULL, NULL, NULL)";

/// No end follows from these times: only a person can repair them.
const ABSURD: &str = "
    INSERT INTO training_records VALUES
        (21, 'completed', '2025-11-25 18:00:00', NULL, -7),
        (22, 'completed', '2025-11-25 18:00:00', NULL, 1e12),
        (23, 'failed', '9999-12-31 00:00:00', NULL, 864000),
        (24, 'failed', '2025-11-25 18:00:00', '9999-12-31 23:59:59', NULL)";

/// `check` named repairs that changed nothing for absurd times and durations.
#[test]
fn every_named_repair_repairs() {
    for site in [Site::sqlite(), Site::postgres()] {
        // As numbers, and as texts.
        for table in [&tables(&site)[1], &tables(&site)[2]] {
            site.sql(table);
            site.sql(ABSURD);
            let (status, found) = check(&site, &["--fix"]);
            let repairs: Vec<&str> = found.iter().map(|finding| finding["repair"].as_str().unwrap()).collect();
            let by_hand =
                |id: u32, said: &str| format!("runwrap finalize {id} --status {said} --ended-at TIME --force");
            let expected =
                [by_hand(21, "completed"), by_hand(22, "completed"), by_hand(23, "failed"), "done".to_owned()];
            assert_eq!((status, repairs), (1, expected.iter().map(String::as_str).collect()), "{table}");
            assert_eq!(kinds(&check(&site, &["--fix"]).1), ["21 missing-end", "22 missing-end", "23 missing-end"]);
        }
    }
}

// Holds: failures/check-findings
#[test]
fn check_finds_every_class_and_nothing_else() {
    for site in [Site::sqlite(), Site::postgres()] {
        for table in tables(&site) {
            site.sql(&table);
            site.sql(SOUND);
            assert_eq!(check(&site, &[]), (0, Vec::new()), "{table}");
            site.sql(UNSOUND);
            let (status, found) = check(&site, &[]);
            let expected = [
                "11 stuck",
                "12 missing-end",
                "13 missing-end",
                "13 missing-duration",
                "14 missing-duration",
                "15 duration-mismatch",
                "16 end-before-start",
                "17 unknown-status",
                "18 unknown-status",
            ];
            assert_eq!((status, kinds(&found)), (1, expected.map(str::to_owned).to_vec()), "{table}");
            assert_eq!(found[0]["repair"], "runwrap recover --stuck-after 24h");
            assert!(found.iter().all(|finding| finding.as_object().unwrap().len() == 4), "{found:?}");
            assert_eq!(kinds(&check(&site, &["--stuck-after", "36500d"]).1)[0], "12 missing-end");

            // `--fix` repairs what follows from the record itself, and names the rest again.
            let (status, fixed) = check(&site, &["--fix"]);
            let done: Vec<&str> = fixed
                .iter()
                .filter(|finding| finding["repair"] == "done")
                .map(|fixed| fixed["kind"].as_str().unwrap())
                .collect();
            assert_eq!((status, done), (1, vec!["missing-end", "missing-duration", "duration-mismatch"]), "{table}");
            let (status, left) = check(&site, &["--fix"]);
            let left = kinds(&left);
            let expected = [
                "11 stuck",
                "13 missing-end",
                "13 missing-duration",
                "16 end-before-start",
                "17 unknown-status",
                "18 unknown-status",
            ];
            assert_eq!((status, left), (1, expected.map(str::to_owned).to_vec()), "{table}");
            let times = site.sql("SELECT train_duration FROM training_records WHERE id IN (12, 14, 15) ORDER BY id");
            assert_eq!(times, "60\n120\n120\n");
        }
    }
}

#[test]
fn repaired_records_are_found_no_more() {
    for site in [Site::sqlite(), Site::postgres()] {
        site.sql(&tables(&site)[0]);
        site.sql("INSERT INTO training_records VALUES (30, 'training', '2025-11-26 18:00:00', NULL, NULL), (31, 'done', NULL, NULL, NULL)");
        assert_eq!(kinds(&check(&site, &[]).1), ["30 stuck", "31 unknown-status"]);
        for arguments in
            [&["recover", "--stuck-after", "24h"][..], &["finalize", "31", "--status", "completed", "--force"]]
        {
            assert!(output(&mut site.runwrap(arguments)).status.success());
        }
        // A presumed record without an end is no finding.
        assert_eq!(check(&site, &[]), (0, Vec::new()));
        let finalize = ["finalize", "30", "--status", "completed", "--ended-at", "2025-11-27T01:20:52Z"];
        assert!(output(&mut site.runwrap(&finalize)).status.success());
        assert_eq!(check(&site, &[]), (0, Vec::new()));
    }
}

// Holds: failures/check-findings
#[test]
fn run_is_stuck_only_after_its_lease() {
    for site in [Site::sqlite(), Site::postgres()] {
        let mut command = site.shell(&["--lease", "30d"], "echo ready; read -r line");
        let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        assert_eq!(running.line(), "ready");
        // The row looks old, and the run is alive.
        site.sql(
            "UPDATE training_records SET train_start_time = '2025-11-26 18:00:00', created_at = '2025-11-26 18:00:00'",
        );
        site.sql("UPDATE runwrap_runs SET row_created_at = '2025-11-26 18:00:00'");
        assert_eq!(check(&site, &[]), (0, Vec::new()));
        site.sql("UPDATE runwrap_runs SET heartbeat_at = '2025-11-26 18:00:00', lease_seconds = 0");
        let (status, found) = check(&site, &[]);
        assert_eq!(
            (status, found[0]["kind"].as_str(), found[0]["repair"].as_str()),
            (1, Some("stuck"), Some("runwrap recover"))
        );
        running.close_stdin();
        running.end();
    }
}

// Holds: failures/check-undelivered
#[test]
fn waiting_journals_are_found_whatever_their_database() {
    let site = Site::sqlite();
    let away = format!("sqlite:{}/no/such/directory", site.path().join("runs.db").display());
    let options = ["--start-timeout", "50ms", "--finish-timeout", "50ms", "--linger", "0s"];
    // One journal for this database, which is a directory for now; one for another.
    std::fs::create_dir(site.path().join("runs.db")).unwrap();
    assert!(site.run(&options, "true").status.success());
    // The last attempt of its keeper must not find the database that is made now.
    site.quiet();
    std::fs::remove_dir(site.path().join("runs.db")).unwrap();
    assert!(output(&mut site.runwrap(&["migrate"])).status.success());
    assert!(site.run(&[&options[..], &["--database-url", &away]].concat(), "true").status.success());
    site.quiet();
    let (status, found) = check(&site, &[]);
    assert_eq!((status, kinds(&found)), (1, vec!["null undelivered".to_owned(), "null undelivered".to_owned()]));
    assert_eq!(found[0]["repair"], "runwrap recover");
    assert!(found[1]["detail"].as_str().unwrap().contains("meant for another database"), "{found:?}");
    assert_eq!(site.run_directories().len(), 2);
    assert!(output(&mut site.runwrap(&["recover"])).status.success());
    assert_eq!(kinds(&check(&site, &[]).1).len(), 1);
}

#[test]
fn damaged_journal_is_found_before_and_after_quarantine() {
    let site = Site::sqlite();
    assert!(site.run(&[], "true").status.success());
    let run = site.state_dir().join("runs/0198f3c1-0000-7000-8000-000000000000");
    std::fs::create_dir(&run).unwrap();
    std::fs::write(run.join("lock"), "").unwrap();
    std::fs::write(run.join("journal-1.jsonl"), "nonsense\n").unwrap();
    let (status, found) = check(&site, &[]);
    assert_eq!((status, kinds(&found)), (1, vec!["null undelivered".to_owned()]));
    assert!(found[0]["detail"].as_str().unwrap().contains("is damaged") && run.exists(), "{found:?}");
    output(&mut site.runwrap(&["recover"]));
    let (status, found) = check(&site, &[]);
    assert!(status == 1 && found[0]["detail"].as_str().unwrap().contains("put aside"), "{found:?}");
}

#[test]
fn failing_check_exits_125_with_whole_json() {
    let site = Site::with_url("postgres://u@127.0.0.1:1/d");
    let output = output(&mut site.runwrap(&["check", "--json", "--start-timeout", "1s"]));
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(125), &b"[]\n"[..]));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("runwrap: cannot check the table: "));
}

#[test]
fn large_table_is_checked_by_pages_with_a_progress_bar() {
    for site in [Site::sqlite(), Site::postgres()] {
        site.sql(&tables(&site)[0]);
        let numbers = if site.url().starts_with("sqlite") {
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 25000)"
        } else {
            "WITH n AS (SELECT generate_series(1, 25000) AS n)"
        };
        site.sql(&format!(
            "INSERT INTO training_records {numbers}
             SELECT n, 'completed', '2025-11-25 18:00:00', '2025-11-25 18:01:00', CASE WHEN n % 8000 = 0 THEN 7 ELSE 60 END FROM n"
        ));
        let (status, found) = check(&site, &[]);
        let expected = [8000, 16000, 24000].map(|id| format!("{id} duration-mismatch"));
        assert_eq!((status, kinds(&found)), (1, expected.to_vec()));
        assert_eq!(found[0]["record_id"], json!(8000));
        // PostgreSQL estimates the number of records only after ANALYZE.
        site.sql("ANALYZE");
        let seen = on_terminal(&site, "check");
        assert!(seen.contains("\r\x1b[K[") && seen.contains("% of "), "{seen:?}");
        assert!(seen.contains("record 16000: duration-mismatch: its duration is 7 s"), "{seen:?}");
        assert!(seen.ends_with("\r\x1b[K"), "{seen:?}");
        // JSON into a file has a bar as well; `-q` has none.
        let seen = on_terminal(&site, "check --json > found.json");
        assert!(seen.contains("% of "), "{seen:?}");
        let found: Vec<Value> =
            serde_json::from_slice(&std::fs::read(site.path().join("found.json")).unwrap()).unwrap();
        assert_eq!(kinds(&found), expected.to_vec());
        assert!(!on_terminal(&site, "check -q").contains('\x1b'));
    }
}

/// The output of `runwrap ARGUMENTS` on a terminal.
fn on_terminal(site: &Site, arguments: &str) -> String {
    let typed = format!("{} {arguments}", env!("CARGO_BIN_EXE_runwrap"));
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &typed, "/dev/null"]).current_dir(site.path());
    terminal.envs(site.runwrap(&[]).get_envs().filter_map(|(key, value)| Some((key, value?))));
    String::from_utf8(output(terminal.stdin(Stdio::null())).stdout).unwrap()
}

/// The peak memory of `runwrap ARGUMENTS`, in kilobytes.
pub(crate) fn most_memory(site: &Site, arguments: &[&str]) -> u64 {
    let script = "import resource, subprocess, sys\nsubprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)\n\
                  print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
    let mut python = site.program("python3");
    python.args(["-c", script, env!("CARGO_BIN_EXE_runwrap")]).args(arguments);
    String::from_utf8(output(&mut python).stdout).unwrap().trim().parse().unwrap()
}

#[test]
fn memory_of_check_does_not_grow_with_the_table() {
    for site in [Site::sqlite(), Site::postgres()] {
        site.sql(&tables(&site)[0]);
        let mut first = 1;
        let memory = [20_000, 100_000].map(|last| {
            let numbers = if site.url().starts_with("sqlite") {
                format!("WITH RECURSIVE n(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM n WHERE n < {last})")
            } else {
                format!("WITH n AS (SELECT generate_series({first}, {last}) AS n)")
            };
            // Each of them is a finding.
            site.sql(&format!("INSERT INTO training_records {numbers} SELECT n, 'done', NULL, NULL, NULL FROM n"));
            first = last + 1;
            most_memory(&site, &["check", "--json"])
        });
        assert!(memory[1] < memory[0] + 8_000, "{memory:?} kB for 20 000 records and 100 000");
    }
}

#[test]
fn check_live_reads_only_live_runs_and_journals() {
    for site in [Site::sqlite(), Site::postgres()] {
        site.sql(&tables(&site)[0]);
        site.sql(UNSOUND);
        let mut command = site.shell(&["--name", "demo"], "echo ready; read -r line");
        let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        assert_eq!(running.line(), "ready");
        assert_eq!(check(&site, &["--live"]), (0, Vec::new()));
        site.sql("UPDATE runwrap_runs SET heartbeat_at = '2025-11-26 18:00:00', lease_seconds = 0");
        let (status, found) = check(&site, &["--live"]);
        let of_this_run = &site.records().into_iter().find(|record| record["name"] == "demo").unwrap()["id"];
        assert_eq!((status, kinds(&found)), (1, vec![format!("{of_this_run} stuck")]));
        running.close_stdin();
        running.end();
        assert_eq!(check(&site, &["--live"]), (0, Vec::new()));
        assert_eq!(check(&site, &[]).1.len(), 9);
    }
}

#[test]
fn print_without_an_answer_exits_125() {
    let site = Site::with_url("postgres://u@127.0.0.1:1/d");
    let printed = output(&mut site.runwrap(&["migrate", "--print"]));
    assert_eq!((printed.status.code(), printed.stdout.len()), (Some(125), 0));
}
