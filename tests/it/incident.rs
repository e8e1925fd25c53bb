//! The incident that runwrap is for: the nightly trainer of an application without runwrap left a row in `training`. runwrap
//! uses the table as it is (naive times in UTC, JSON as text, its own ids, no column of runwrap) and repairs the row; other
//! rows stay untouched, and existing queries go on working. See `stuck_records.sql`.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::support::site::{Site, output};

/// A query that the application has for its table.
const LOOK: &str =
    "SELECT id, version, status, train_start_time, train_end_time, train_duration, train_metrics, error_message
    FROM training_records ORDER BY id DESC";
const UNTOUCHED: &str = "29|v11|completed|2025-11-25 18:00:00.9|2025-11-26 01:53:45.1|28424|{\"loss\": 0.029}|\n\
    27|v9|completed|2025-11-24 06:17:32|2025-11-24 06:50:23|1971|{\"loss\": 0.031}|\n";

fn incidents() -> [Site; 2] {
    let made = include_str!("stuck_records.sql");
    let sites = [Site::sqlite(), Site::postgres()];
    sites[1].sql(made);
    let words = [
        ("SERIAL", "INTEGER"),
        ("TIMESTAMP WITHOUT TIME ZONE", "DATETIME"),
        ("(now() AT TIME ZONE 'utc')", "CURRENT_TIMESTAMP"),
        (".900000", ".9"),
        (".100000", ".1"),
    ];
    let made = words.iter().fold(made.to_owned(), |made, (theirs, ours)| made.replace(theirs, ours));
    let statements = made.lines().filter(|line| !line.starts_with("--") && !line.starts_with("SELECT setval"));
    sites[0].sql(&statements.collect::<Vec<_>>().join("\n"));
    sites
}

#[track_caller]
fn said(site: &Site, arguments: &[&str]) -> String {
    let output = output(&mut site.runwrap(arguments));
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The table, with SQLite's six digits of a second shown as by PostgreSQL.
fn looked_at(site: &Site) -> String {
    site.sql(LOOK).replace(".000000", "")
}

const FINALIZE: [&str; 6] = ["finalize", "30", "--status", "completed", "--ended-at", "2025-11-27T01:20:52Z"];
const REPAIRED: &str = "30|v12|completed|2025-11-26 18:00:00|2025-11-27 01:20:52|26452|{\"loss\": 0.027}|\n";

#[test]
fn finalize_repairs_the_record_with_the_known_end() {
    for site in incidents() {
        let line = "record 30 (v12): training -> completed (manual), ended 2025-11-27 01:20:52 after 7h 20m 52s\n";
        assert_eq!(said(&site, &FINALIZE), line);
        assert_eq!(looked_at(&site), format!("{REPAIRED}{UNTOUCHED}"));
    }
}

// Holds: failures/recover-stuck
#[test]
fn recover_invents_no_end_and_finalize_overrides_it() {
    for site in incidents() {
        // No run watches the row, and `--stuck-after` is not given.
        assert_eq!(said(&site, &["recover"]), "");
        assert_eq!(said(&site, &["recover", "--stuck-after", "36500d"]), "");
        let recovered: Vec<Value> =
            serde_json::from_str(&said(&site, &["recover", "--stuck-after", "24h", "--json"])).unwrap();
        assert_eq!(recovered.len(), 1);
        assert_eq!((&recovered[0]["record_id"], &recovered[0]["before"]["status"]), (&json!(30), &json!("training")));
        let record = &recovered[0]["after"];
        let columns = ["status", "reason", "presumed", "train_end_time", "train_duration", "train_metrics"];
        let columns = columns.map(|name| record[name].clone());
        assert_eq!(json!(columns), json!(["failed", "stuck", true, null, null, {"loss": 0.027}]));
        let message = record["error_message"].as_str().unwrap();
        let why = "stuck: in training without a sign of life for 1day and nothing watched it; recovered by ";
        assert!(message.starts_with(why) && message.ends_with("when and how it ended is unknown"), "{message}");
        assert!(looked_at(&site).ends_with(UNTOUCHED));
        assert_eq!(said(&site, &["recover", "--stuck-after", "24h"]), "");

        // `finalize` overrides a presumption without `--force`.
        said(&site, &FINALIZE);
        assert_eq!(looked_at(&site), format!("{REPAIRED}{UNTOUCHED}"));
        // The run of the next night, under runwrap, in the same table.
        assert!(site.run(&["--name", "nightly"], "true").status.success());
        assert!(looked_at(&site).starts_with("31|v13|completed|20"), "{}", looked_at(&site));
        assert!(looked_at(&site).ends_with(&format!("{REPAIRED}{UNTOUCHED}")));
    }
}

#[test]
fn assume_end_now_ends_the_record_at_the_recovery() {
    for site in incidents() {
        let text = said(&site, &["recover", "--stuck-after", "24h", "--assume-end", "now"]);
        assert!(text.starts_with("record 30 (v12): training -> failed (stuck), ended 20"), "{text}");
        let record = &site.records()[0];
        let [ended_at, recovered_at] = ["train_end_time", "recovered_at"]
            .map(|name| record[name].as_str().unwrap().parse::<DateTime<Utc>>().unwrap());
        assert!((recovered_at - ended_at).num_seconds().abs() < 60);
        assert!(looked_at(&site).ends_with(UNTOUCHED));
    }
}
