//! `list` and `show`: order, filters, ids and the keys of an entry.

use runwrap::record::{Applied, Change, Decision, RecordId, Run, Status};
use runwrap::store::{Filter, RecordView};
use serde_json::{Value, json};

use super::conformance;
use super::place::{Place, begin, progress, run, success};

conformance!(
    list_is_filtered_and_newest_first,
    name_may_be_a_pattern,
    records_since_a_time_are_listed,
    unwatched_row_is_listed,
    show_accepts_record_id_and_run_id,
    unknown_id_is_not_found,
    unknown_id_does_not_end_a_rehearsal,
    empty_database_lists_nothing,
    large_value_is_shown_by_its_size,
    summary_has_only_the_columns_of_the_table,
);

fn listed(place: &Place, filter: &Filter) -> Vec<String> {
    let entries = place.open().list(filter).unwrap();
    entries.iter().map(|RecordView(entry)| entry["id"].to_string()).collect()
}

fn list_is_filtered_and_newest_first(place: &Place) {
    let first = run("a");
    begin(place, &first);
    begin(place, &run("b"));
    begin(place, &run("a"));
    place.open().apply(first.run_id, &Change::Finalize(progress("{}"), success())).unwrap();
    let all = Filter { limit: 100, ..Filter::default() };
    assert_eq!(listed(place, &all), ["3", "2", "1"]);
    assert_eq!(listed(place, &Filter { limit: 2, ..Filter::default() }), ["3", "2"]);
    assert_eq!(listed(place, &Filter { name: Some("a".into()), ..all.clone() }), ["3", "1"]);
    assert_eq!(listed(place, &Filter { statuses: vec![Status::Completed], ..all.clone() }), ["1"]);
    assert_eq!(listed(place, &Filter { name: Some("a' OR ''='".into()), ..all }), [""; 0]);
}

fn name_may_be_a_pattern(place: &Place) {
    for name in ["cifar-a", "cifar_b", "mnist", "50%", "a\\b", "[x]?", "中文-a"] {
        begin(place, &run(name));
    }
    let named = |name: &str| listed(place, &Filter { limit: 100, name: Some(name.into()), ..Filter::default() });
    assert_eq!(named("cifar*"), ["2", "1"]);
    assert_eq!(named("*-a"), ["7", "1"]);
    assert_eq!(named("c*r_*"), ["2"]);
    assert_eq!(named("*%"), ["4"]);
    assert_eq!(named("a\\*"), ["5"]);
    assert_eq!(named("[x]?*"), ["6"]);
    assert_eq!(named("CIFAR*"), [""; 0]);
    assert_eq!(named("*").len(), 7);
}

fn records_since_a_time_are_listed(place: &Place) {
    place.open().migrate().unwrap();
    for (day, status) in [("02", "completed"), ("01", "failed"), ("03", "failed"), ("04", "training")] {
        place.sql(&format!(
            "INSERT INTO training_records (status, train_start_time) VALUES ('{status}', '2026-01-{day} 00:00:00')"
        ));
    }
    place.sql("INSERT INTO training_records (status) VALUES ('training')");
    let begun = Run { begun_at: "2026-01-05T00:00:00Z".parse().unwrap(), ..run("a") };
    begin(place, &begun);
    let since = |time: &str, limit, name: Option<&str>| {
        let since = Some(time.parse::<chrono::DateTime<chrono::Utc>>().unwrap());
        listed(place, &Filter { limit, since, name: name.map(str::to_owned), ..Filter::default() })
    };
    assert_eq!(since("2026-01-02T00:00:00Z", 100, None), ["6", "4", "3", "1"]);
    assert_eq!(since("2026-01-02T00:00:00Z", 2, None), ["6", "4"]);
    assert_eq!(since("2026-01-03T00:00:01Z", 1, None), ["6"]);
    let start = begun.begun_at;
    let around = [start - chrono::TimeDelta::seconds(1), start + chrono::TimeDelta::hours(2)];
    let [before, after] = around.map(|time| time.to_rfc3339());
    assert_eq!(since(&before, 9, Some("a")), ["6"]);
    assert_eq!(since(&after, 9, Some("a")), [""; 0]);
    let ended = vec![Status::Completed, Status::Failed];
    assert_eq!(listed(place, &Filter { limit: 9, statuses: ended, ..Filter::default() }), ["3", "2", "1"]);
}

fn unwatched_row_is_listed(place: &Place) {
    place.open().migrate().unwrap();
    place.sql("INSERT INTO training_records (status, train_start_time) VALUES ('training', '2026-01-02 03:04:05.5')");
    let RecordView(entry) = place.open().list(&Filter { limit: 1, ..Filter::default() }).unwrap().remove(0);
    assert_eq!((&entry["train_start_time"], &entry["run_id"]), (&json!("2026-01-02T03:04:05.500Z"), &Value::Null));
    assert!(!entry.contains_key("last_seen_seconds_ago"));
    let keys: Vec<&String> = entry.keys().collect();
    assert_eq!((keys[0].as_str(), keys[10].as_str()), ("id", "run_id"));
}

fn show_accepts_record_id_and_run_id(place: &Place) {
    let run = run("a");
    let id = begin(place, &run).record_id.0;
    place.set_heartbeat(run.run_id, -90);
    let shown = place.show(&id);
    assert_eq!(place.show(&run.run_id.to_string())["run_id"], shown["run_id"]);
    assert!((90..150).contains(&shown["last_seen_seconds_ago"].as_i64().unwrap()));
}

fn unknown_id_is_not_found(place: &Place) {
    begin(place, &run("a"));
    let mut store = place.open();
    for id in ["2", "", "x", "1 OR 1=1", "99999999999999999999", "a\0", "01234567-89ab-7def-8123-456789abcdef"] {
        assert_eq!(store.show(id).unwrap(), None, "{id:?}");
    }
    assert!(store.show("1").unwrap().is_some());
}

/// A value that is no id of the table's type makes a statement fail. This once aborted the transaction of the whole rehearsal.
fn unknown_id_does_not_end_a_rehearsal(place: &Place) {
    begin(place, &run("a"));
    let mut store = place.open();
    store.rehearse();
    for id in ["01234567-89ab-7def-8123-456789abcdef", "x", "99999999999999999999"] {
        assert_eq!(store.show(id).unwrap(), None, "{id:?}");
        let undecided = store.decide(&RecordId(id.into()), &Decision::Derive).unwrap();
        assert_eq!(undecided.applied, Applied::Missing, "{id:?}");
    }
    assert_eq!(store.begin(&run("a"), None).unwrap().version.unwrap(), "v2");
    assert!(store.show("2").unwrap().is_some());
    drop(store);
    assert_eq!(listed(place, &Filter { limit: 9, ..Filter::default() }), ["1"]);
}

fn empty_database_lists_nothing(place: &Place) {
    assert_eq!(listed(place, &Filter { limit: 9, ..Filter::default() }), [""; 0]);
}

/// One row with 183 MB of binary data took 1 GB of memory.
fn large_value_is_shown_by_its_size(place: &Place) {
    place.open().migrate().unwrap();
    let (binary, metrics) = if place.is_postgres() { ("bytea", "jsonb") } else { ("blob", "text") };
    place.sql(&format!("ALTER TABLE training_records ADD COLUMN weights {binary}"));
    place.sql("ALTER TABLE training_records ADD COLUMN note text");
    place.sql(&format!("ALTER TABLE training_records ADD COLUMN more {metrics}"));
    place.sql("INSERT INTO training_records (status, train_start_time) VALUES ('training', '2026-01-02 03:04:05')");
    let bytes = |hex: &str, count: usize| {
        let digits = hex.repeat(count);
        if place.is_postgres() { format!("'\\x{digits}'") } else { format!("X'{digits}'") }
    };
    let set = |weights: &str, note: &str, more: &str| {
        place.sql(&format!("UPDATE training_records SET weights = {weights}, note = '{note}', more = '{more}'"));
        ["weights", "note", "more"].map(|name| place.show("1")[name].clone())
    };
    let small = set(&bytes("41", 3), "short", "[1]");
    assert_eq!(small[1..], [json!("short"), if place.is_postgres() { json!([1]) } else { json!("[1]") }]);
    assert_eq!(small[0], if place.is_postgres() { json!("\\x414141") } else { json!("AAA") });
    let (mebibyte, three) = (1 << 20, 3 << 20);
    let kept = set(&bytes("41", 10), &"x".repeat(mebibyte), "[]");
    assert_eq!(kept[1], json!("x".repeat(mebibyte)));
    let large = set(&bytes("41", 5000), &"x".repeat(three), &format!("[\"{}\"]", "y".repeat(three)));
    assert_eq!(large[0], "5000 bytes of binary data");
    assert_eq!(large[1], "3145728 bytes, too long to show");
    assert_eq!(large[2], "3145732 bytes, too long to show");
    assert_eq!(place.show("1")["status"], "training");
}

/// `list` read every column for a table of nine.
fn summary_has_only_the_columns_of_the_table(place: &Place) {
    let run = run("a");
    begin(place, &run);
    place.sql("ALTER TABLE training_records ADD COLUMN note text");
    for name in [None, Some("a".to_owned())] {
        let filter = Filter { limit: 9, name, summary: true, ..Filter::default() };
        let RecordView(entry) = place.open().list(&filter).unwrap().remove(0);
        assert_eq!(
            (&entry["name"], &entry["status"], &entry["version"]),
            (&json!("a"), &json!("training"), &json!("v1"))
        );
        assert!(entry.contains_key("last_seen_seconds_ago"));
        for other in ["note", "train_metrics", "error_message", "model_path"] {
            assert!(!entry.contains_key(other), "{other}");
        }
    }
}
