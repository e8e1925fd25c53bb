//! `runwrap doctor` on accounts and databases that are well and that are not, with the real binary. Whatever it finds, it leaves nothing
//! behind.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::postgres::{Postgres, is_root};
use crate::support::site::{Site, output, start};
use crate::support::skipped;
use crate::support::tmpfs::SmallDisk;

/// A user that has no other process, so that `ulimit -u` counts only those of the test.
const USER: u32 = 54_397;

/// A line of the output.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    check: String,
    state: String,
    detail: String,
    repair: Option<String>,
}

/// The exit status and the lines of a call that could examine.
#[track_caller]
fn examined(output: &Output) -> (i32, Vec<Line>) {
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let text = |line: &Value, key: &str| line[key].as_str().map(str::to_owned);
    let lines: Vec<Line> = lines
        .iter()
        .map(|line| {
            assert_eq!(line.as_object().unwrap().len(), 4, "{line}");
            let [check, state, detail] = ["check", "state", "detail"].map(|key| text(line, key).unwrap());
            Line { check, state, detail, repair: text(line, "repair") }
        })
        .collect();
    for line in &lines {
        assert_eq!(line.state == "ok", line.repair.is_none(), "{line:?}");
    }
    let fails = lines.iter().any(|line| line.state == "failure");
    assert_eq!(output.status.code(), Some(i32::from(fails)), "{lines:#?}");
    (i32::from(fails), lines)
}

#[track_caller]
fn doctor(site: &Site, arguments: &[&str]) -> (i32, Vec<Line>) {
    let before = everything(site);
    let examined = examined(&output(&mut site.runwrap(&[&["doctor", "--json"], arguments].concat())));
    assert_eq!(everything(site), before);
    assert!(site.processes().is_empty());
    examined
}

/// The failures, each as one line.
fn failures(lines: &[Line]) -> Vec<String> {
    of_state(lines, "failure")
}

fn of_state(lines: &[Line], state: &str) -> Vec<String> {
    let found = lines.iter().filter(|line| line.state == state);
    found
        .map(|line| format!("{}: {} | {}", line.check, line.detail, line.repair.as_deref().unwrap_or_default()))
        .collect()
}

/// Asserts that there is one failure, which contains each of `parts`.
#[track_caller]
fn assert_fails(lines: &[Line], parts: &[&str]) {
    let found = failures(lines);
    assert_eq!(found.len(), 1, "{lines:#?}");
    assert!(parts.iter().all(|part| found[0].contains(part)), "{parts:?}: {found:?}");
}

/// The detail of the only line about `check`.
#[track_caller]
fn detail<'a>(lines: &'a [Line], check: &str) -> &'a str {
    let found: Vec<&Line> = lines.iter().filter(|line| line.check == check).collect();
    assert_eq!(found.len(), 1, "{lines:#?}");
    &found[0].detail
}

/// Every file of the site and every table of a server, each with a checksum of its content.
fn everything(site: &Site) -> BTreeMap<PathBuf, u32> {
    let mut found = BTreeMap::new();
    if site.url().contains("%2F") {
        found.insert("database".into(), crc32fast::hash(rows(site).as_bytes()));
    } else if site.path().join("runs.db").exists() {
        // Whichever process opens it first moves the log of a killed one into it.
        site.sql("SELECT count(*) FROM sqlite_schema");
    }
    add_files(site.path(), &mut found);
    found
}

fn add_files(directory: &Path, found: &mut BTreeMap<PathBuf, u32>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.insert(entry.path(), 0);
            add_files(&entry.path(), found);
        } else {
            found.insert(entry.path(), crc32fast::hash(&fs::read(entry.path()).unwrap()));
        }
    }
}

/// Every table and view of the schema `public`, with all rows.
fn rows(site: &Site) -> String {
    site.sql(
        "SELECT relname, query_to_xml(format('SELECT * FROM %s', CAST(oid AS regclass)), TRUE, FALSE, '') FROM pg_class
         WHERE relkind IN ('r', 'v') AND relnamespace = CAST('public' AS regnamespace) ORDER BY relname",
    )
}

#[test]
fn fresh_account_is_well_and_stays_empty() {
    let site = Site::sqlite();
    let mut command = site.runwrap(&["doctor", "--json"]);
    command.env_remove("RUNWRAP_DATABASE_URL");
    let (status, lines) = examined(&output(&mut command));
    assert_eq!((status, failures(&lines)), (0, Vec::new()));
    assert_eq!(fs::read_dir(site.path()).unwrap().count(), 0);
    assert!(lines.iter().any(|line| line.check == "database" && line.detail.contains("does not exist yet")));
    assert_eq!(detail(&lines, "journals"), "none waits for its delivery");
}

#[test]
fn text_has_a_line_for_each_check() {
    let site = Site::sqlite();
    let printed = output(&mut site.runwrap(&["doctor"]));
    let text = String::from_utf8(printed.stdout).unwrap();
    let (_, lines) = doctor(&site, &[]);
    assert_eq!(text.lines().count(), lines.len(), "{text}");
    for (printed, line) in text.lines().zip(&lines) {
        assert!(printed.starts_with(&format!("{:<8} {}: ", line.state, line.check)), "{printed}");
    }
}

// Also: the rehearsed runs take no version number, and a run that goes on is left alone.
#[test]
fn well_database_with_a_live_run_is_left_as_it_is() {
    for site in [Site::sqlite(), Site::postgres()] {
        for script in ["exit 0", "exit 3"] {
            site.run(&["--name", "demo"], script);
        }
        site.quiet();
        let (status, lines) = doctor(&site, &["--name", "demo", "--model-path", "/m.pt"]);
        assert_eq!((status, failures(&lines)), (0, Vec::new()));
        assert!(detail(&lines, "rehearsal").contains("rolled back"), "{lines:#?}");
        assert!(detail(&lines, "schema").starts_with("migration 8 of 8"), "{lines:#?}");
        assert!(detail(&lines, "clock").contains("within"), "{lines:#?}");

        let mut command = site.shell(&["--name", "demo"], "echo ready; read -r line; exit 4");
        let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        assert_eq!(running.line(), "ready");
        let (status, lines) = examined(&output(&mut site.runwrap(&["doctor", "--json", "--name", "demo"])));
        assert_eq!((status, detail(&lines, "journals")), (0, "none waits for its delivery"));
        running.close_stdin();
        assert_eq!(running.end().code(), Some(4));
        let versions: Vec<Value> = site.records().iter().map(|record| record["version"].clone()).collect();
        assert_eq!(versions, [json!("v3"), json!("v2"), json!("v1")]);
    }
}

#[test]
fn database_without_tables_gets_none() {
    for site in [Site::sqlite(), Site::postgres()] {
        site.sql("CREATE TABLE other (id INTEGER PRIMARY KEY)");
        let (status, lines) = doctor(&site, &[]);
        assert_eq!((status, failures(&lines)), (0, Vec::new()));
        assert!(detail(&lines, "schema").contains("the next run makes what is missing"), "{lines:#?}");
        let (status, lines) = doctor(&site, &["--no-migrate"]);
        assert_eq!(status, 1);
        assert_fails(&lines, &["schema: migration 0 of 8", "--no-migrate", "runwrap migrate --print"]);
    }
}

/// runwrap's own tables are there, and the user's was dropped: the rehearsal once would have announced a new one.
#[test]
fn dropped_table_is_not_announced_as_made() {
    for site in [Site::sqlite(), Site::postgres()] {
        assert!(site.run(&[], "true").status.success());
        site.quiet();
        site.sql("DROP TABLE training_records");
        let (status, lines) = doctor(&site, &[]);
        assert_eq!((status, failures(&lines)), (0, Vec::new()));
        assert!(detail(&lines, "schema").contains("the table of the records is missing"), "{lines:#?}");
    }
}

#[test]
fn database_that_is_away_or_silent_is_a_failure() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    for (port, part) in [(1, "onnection refused"), (silent_port, "did not answer within 300ms")] {
        let site = Site::with_url(&format!("postgres://u:hunter2@127.0.0.1:{port}/d"));
        let began = Instant::now();
        let (status, lines) = doctor(&site, &["--start-timeout", "300ms"]);
        assert!(began.elapsed() < Duration::from_secs(20));
        assert_eq!(status, 1);
        assert_fails(&lines, &["database: ", part]);
        assert!(!format!("{lines:?}").contains("hunter2"), "{lines:#?}");
        // The other checks are made all the same.
        assert!(detail(&lines, "locks").contains("is freed") && detail(&lines, "kernel").starts_with("Linux "));
    }
}

#[test]
fn role_without_a_right_is_a_failure_with_its_grant() {
    let site = Site::postgres();
    assert!(site.run(&[], "true").status.success());
    site.quiet();
    site.sql(
        "DROP ROLE IF EXISTS reads_only; CREATE ROLE reads_only LOGIN;
         GRANT SELECT, INSERT, UPDATE ON runwrap_runs, runwrap_versions, runwrap_series TO reads_only;
         GRANT SELECT ON runwrap_migrations TO reads_only;
         GRANT SELECT, UPDATE ON training_records TO reads_only",
    );
    let url = site.url().replace("admin@", "reads_only@");
    let (status, lines) = doctor(&site, &["--database-url", &url]);
    let found = failures(&lines);
    assert_eq!((status, found.len()), (1, 2), "{found:#?}");
    assert!(
        found[0].contains("rights: the role reads_only has no right INSERT") && found[0].contains("| GRANT INSERT")
    );
    assert!(found[1].starts_with("rehearsal: "), "{found:#?}");
    // The printed repair is enough.
    let grants: Vec<&str> =
        lines.iter().filter(|line| line.check == "rights").filter_map(|line| line.repair.as_deref()).collect();
    site.sql(grants[0]);
    let (status, lines) = doctor(&site, &["--database-url", &url]);
    assert_eq!((status, failures(&lines)), (0, Vec::new()));
    assert_eq!(detail(&lines, "rights"), "the role reads_only may read and write the tables");
}

#[test]
fn enum_without_a_word_is_a_failure_with_its_repair() {
    let site = Site::postgres();
    site.sql(
        "CREATE TYPE state AS ENUM ('training', 'completed');
         CREATE TABLE training_records (id SERIAL PRIMARY KEY, status state)",
    );
    let (status, lines) = doctor(&site, &[]);
    let found = failures(&lines);
    assert_eq!((status, found.len()), (1, 2), "{found:#?}");
    assert!(found[0].contains("table: column status: ") && found[0].contains("ALTER TYPE"), "{found:#?}");
    assert!(found[1].starts_with("rehearsal: "), "{found:#?}");
}

/// Only the rehearsal shows these: no catalog has them.
#[test]
fn trigger_that_refuses_an_end_fails_the_rehearsal() {
    let [sqlite, postgres, deferred] = [Site::sqlite(), Site::postgres(), Site::postgres()];
    for site in [&sqlite, &postgres, &deferred] {
        assert!(output(&mut site.runwrap(&["migrate"])).status.success());
    }
    let connection = rusqlite::Connection::open(sqlite.url().strip_prefix("sqlite:").unwrap()).unwrap();
    let guard = "CREATE TRIGGER guard BEFORE UPDATE ON training_records WHEN NEW.status = 'failed'
                 BEGIN SELECT RAISE(ABORT, 'no failures here'); END";
    connection.execute_batch(guard).unwrap();
    drop(connection);
    for (site, kind) in [
        (&postgres, "TRIGGER guard BEFORE UPDATE ON training_records"),
        (&deferred, "CONSTRAINT TRIGGER guard AFTER UPDATE ON training_records DEFERRABLE INITIALLY DEFERRED"),
    ] {
        site.sql(&format!(
            "CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN IF NEW.status = 'failed' THEN RAISE EXCEPTION 'no failures here'; END IF; RETURN NEW; END $$;
             CREATE {kind} FOR EACH ROW EXECUTE FUNCTION guard()"
        ));
    }
    for site in [&sqlite, &postgres, &deferred] {
        let (status, lines) = doctor(site, &[]);
        assert_eq!(status, 1);
        assert_fails(&lines, &["rehearsal: ", "no failures here"]);
    }
}

#[test]
fn column_that_runs_fill_wants_the_same_option() {
    for site in [Site::sqlite(), Site::postgres()] {
        let id = if site.url().starts_with("sqlite") { "INTEGER PRIMARY KEY" } else { "SERIAL PRIMARY KEY" };
        site.sql(&format!("CREATE TABLE training_records (id {id}, status TEXT, owner TEXT NOT NULL)"));
        let (status, lines) = doctor(&site, &[]);
        assert_eq!(status, 1);
        assert_fails(&lines, &["table: column owner: it is NOT NULL"]);
        let (status, lines) = doctor(&site, &["--set", "owner=ann"]);
        assert_eq!((status, failures(&lines)), (0, Vec::new()));
        assert!(site.run(&["--set", "owner=ann"], "true").status.success());
        site.quiet();
        let (status, lines) = doctor(&site, &[]);
        assert_eq!((status, failures(&lines)), (0, Vec::new()));
        let warnings = of_state(&lines, "warning");
        assert!(warnings.iter().any(|line| line.contains("runwrap doctor --set owner=VALUE")), "{warnings:#?}");
    }
}

#[test]
fn standby_takes_no_record() {
    let primary = Postgres::private();
    let standby = primary.standby();
    let url = format!("postgres://admin@127.0.0.1:{}/postgres", standby.port());
    let (status, lines) = examined(&output(&mut Site::with_url(&url).runwrap(&["doctor", "--json"])));
    assert_eq!(status, 1);
    assert_fails(&lines, &["database: ", "a standby", "target_session_attrs"]);
    // `prefer`, on a server with a certificate.
    assert!(detail(&lines, "tls").contains("by TLSv1.3"), "{lines:#?}");
}

#[test]
fn each_value_is_named_with_its_origin_and_no_secret() {
    let site = Site::sqlite();
    fs::create_dir_all(site.path().join(".config/runwrap")).unwrap();
    fs::write(site.path().join(".config/runwrap/config.toml"), "linger = \"2h\"\n").unwrap();
    fs::write(site.path().join("url"), "postgres://u:hunter2@127.0.0.1:1/d\n").unwrap();
    let mut command = site.runwrap(&["doctor", "--json", "--table", "ml.runs"]);
    command.env_remove("RUNWRAP_DATABASE_URL").env("RUNWRAP_DATABASE_URL_FILE", "url").env("RUNWRAP_HEARTBEAT", "7s");
    let (_, lines) = examined(&output(&mut command));
    let found: Vec<&str> =
        lines.iter().filter(|line| line.check == "configuration").map(|line| line.detail.as_str()).collect();
    let home = site.path().display();
    let expected = [
        "database: postgres://127.0.0.1:1/d (RUNWRAP_DATABASE_URL_FILE)".to_owned(),
        "table: ml.runs (--table)".to_owned(),
        format!("state directory: {home}/.local/state/runwrap (default)"),
        format!("log file: {home}/.local/state/runwrap/runwrap.log (default)"),
        "RUNWRAP_HEARTBEAT=7s".to_owned(),
        format!("linger = 2h in {home}/.config/runwrap/config.toml"),
    ];
    assert_eq!(found, expected);
    assert!(!format!("{lines:?}").contains("hunter2"));
}

#[test]
fn configuration_that_cannot_be_used_exits_125() {
    let site = Site::sqlite();
    let output = output(&mut site.runwrap(&["doctor", "--json", "--heartbeat", "soon"]));
    assert_eq!((output.status.code(), output.stdout.len()), (Some(125), 0));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("runwrap: cannot use --heartbeat soon"));
    assert_eq!(fs::read_dir(site.path()).unwrap().count(), 0);
}

#[test]
fn state_directory_that_others_may_write_is_a_failure() {
    let site = Site::sqlite();
    fs::create_dir_all(site.state_dir()).unwrap();
    fs::set_permissions(site.state_dir(), Permissions::from_mode(0o777)).unwrap();
    let (status, lines) = doctor(&site, &[]);
    assert_eq!(status, 1);
    assert_fails(&lines, &["state-directory: ", "chmod go-w"]);
    fs::remove_dir(site.state_dir()).unwrap();
    fs::write(site.state_dir(), "a file").unwrap();
    let (status, lines) = doctor(&site, &[]);
    assert_eq!(status, 1);
    assert_fails(&lines, &["state-directory: ", "ot a directory"]);
}

#[test]
fn full_or_read_only_state_directory_is_a_failure() {
    let site = Site::sqlite();
    let Some(disk) = SmallDisk::mount(&site.state_dir()) else { return };
    let (status, lines) = doctor(&site, &[]);
    // It has 256 KiB.
    assert_eq!(status, 1);
    assert_fails(&lines, &["state-directory: ", "KiB", "free for journals, on tmpfs"]);
    assert!(of_state(&lines, "warning").iter().any(|line| line.contains("a reboot loses")), "{lines:#?}");
    disk.fill();
    let (_, lines) = doctor(&site, &[]);
    assert!(
        failures(&lines).iter().any(|line| line.contains("no journal can be written: No space left")),
        "{lines:#?}"
    );
    disk.make_room();
    let remount = Command::new("mount").args(["-o", "remount,ro"]).arg(site.state_dir()).status();
    assert!(remount.unwrap().success());
    let (status, lines) = doctor(&site, &[]);
    assert_eq!(status, 1);
    assert_fails(&lines, &["state-directory: ", "Read-only file system"]);
}

#[test]
fn waiting_journal_is_a_warning_and_a_damaged_one_a_failure() {
    let site = Site::sqlite();
    let mut running = start(site.shell(&[], "echo ready; exec sleep 60").stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    site.lose();
    running.end();
    let (status, lines) = doctor(&site, &[]);
    assert_eq!((status, failures(&lines)), (0, Vec::new()));
    assert!(detail(&lines, "journals").contains("waits for its delivery"), "{lines:#?}");
    let (_, lines) = doctor(&site, &["--database-url", "sqlite:other.db"]);
    assert!(detail(&lines, "journals").contains("is meant for another database"), "{lines:#?}");
    fs::write(site.run_directories()[0].join("journal-1.jsonl"), "nonsense\n").unwrap();
    let (status, lines) = doctor(&site, &[]);
    assert_eq!(status, 1);
    assert_fails(&lines, &["journals: ", "is damaged"]);
}

#[test]
fn small_limits_are_failures() {
    for (limit, part) in [("-f 8", "a file may have "), ("-n 14", "more files may be open")] {
        let site = Site::postgres();
        let mut command = site.program("bash");
        let script = format!("ulimit {limit} && exec \"$@\"");
        command.args(["-c", &script, "bash", env!("CARGO_BIN_EXE_runwrap"), "doctor", "--json"]);
        let (status, lines) = examined(&output(&mut command));
        assert_eq!(status, 1, "{limit}");
        let found = failures(&lines);
        assert!(found.iter().any(|line| line.starts_with("limits: ") && line.contains(part)), "{limit}: {found:#?}");
    }
}

/// A run of this user needs seven processes and threads besides runwrap itself.
#[test]
fn limit_of_processes_fails_where_a_run_has_no_keeper() {
    if !is_root() {
        return skipped("only root can become a user without other processes");
    }
    for (number, fails) in [(1, true), (4, true), (8, false)] {
        let site = Site::sqlite();
        assert!(Command::new("chown").arg(USER.to_string()).arg(site.path()).status().unwrap().success());
        let binary = site.path().join("runwrap");
        fs::copy(env!("CARGO_BIN_EXE_runwrap"), &binary).unwrap();
        let mut command = site.program("setpriv");
        command.args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--clear-groups", "bash", "-c"]);
        command.args([&format!("ulimit -u {number} && exec \"$@\""), "bash"]).arg(&binary).args(["doctor", "--json"]);
        let (_, lines) = examined(&output(&mut command));
        let found = failures(&lines);
        let is_named = found.iter().any(|line| line.starts_with("limits: ") && line.contains("processes and threads"));
        assert_eq!(is_named, fails, "{number}: {lines:#?}");
        assert!(fails || found.is_empty(), "{found:#?}");
    }
}

#[test]
fn server_that_forgets_commits_is_named() {
    // The shared server runs without fsync.
    let site = Site::postgres();
    let (status, lines) = doctor(&site, &[]);
    assert_eq!((status, failures(&lines)), (0, Vec::new()));
    let warnings = of_state(&lines, "warning");
    assert!(warnings.iter().any(|line| line.starts_with("database: ") && line.contains("fsync")), "{warnings:#?}");
}
