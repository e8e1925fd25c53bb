//! `runwrap doctor` on accounts and databases that are well and that are not, with the real binary. Whatever it finds, it leaves nothing
//! behind.

mod database;
mod host;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::support::site::{Site, output};

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
