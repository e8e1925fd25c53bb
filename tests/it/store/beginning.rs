//! `begin`: one row per run, one version per run. Must not test how a record changes afterwards: `merging` does.

use std::thread;

use runwrap::record::{Applied, Begun, Change, RecordId, Run};
use runwrap::store::{OpenOptions, StoreError, open};
use serde_json::{Value, json};

use super::conformance;
use super::place::{Place, at, bad_input, begin, progress, run, success};

conformance!(
    run_begins_with_one_complete_row,
    second_begin_of_a_run_changes_nothing,
    concurrent_runs_get_versions_without_gaps_or_duplicates,
    concurrent_deliveries_of_one_run_insert_one_row,
    each_name_has_its_own_counter,
    counters_start_above_existing_rows,
    counters_start_above_existing_rows_with_text_ids,
    version_numbers_are_never_reused,
    adopted_version_raises_the_counter,
    restored_version_raises_the_counter,
    given_version_is_kept_and_raises_the_counter,
    run_begins_though_its_version_is_refused,
    shortened_version_of_an_adopted_row_raises_the_counter,
    versions_in_a_column_of_numbers_are_never_reused,
    deleted_row_returns_with_its_id_and_version,
    journaled_record_is_reused_if_runwrap_runs_lost_it,
    journaled_record_is_inserted_into_a_new_database,
    run_sent_to_another_table_is_recorded_there,
    refused_begin_leaves_no_row_and_no_version_gap,
    set_writes_columns_of_every_type,
    set_of_an_unknown_column_names_it,
    set_refuses_columns_that_runwrap_writes,
    nul_is_replaced_and_other_characters_survive,
);

fn run_begins_with_one_complete_row(place: &Place) {
    let run = Run { model_path: Some("/models/a.pt".into()), ..run("cifar") };
    let begun = begin(place, &run);
    assert_eq!((begun.record_id.0.as_str(), begun.version.as_deref()), ("1", Some("v1")));
    let mut shown = place.show("1");
    for name in ["created_at", "heartbeat_at"] {
        assert!(shown.remove(name).unwrap().as_str().unwrap().ends_with('Z'), "{name}");
    }
    assert!(shown.remove("last_seen_seconds_ago").unwrap().as_i64().unwrap() < 60);
    assert!(shown.remove("elapsed_seconds").unwrap().as_i64().unwrap() > 0);
    let expected = json!({
        "id": 1, "version": "v1", "status": "training",
        "train_start_time": "2026-01-02T03:04:05.678901Z", "train_end_time": null, "train_duration": null,
        "train_metrics": null, "model_path": "/models/a.pt", "error_message": null,
        "run_id": run.run_id, "record_id": "1", "name": "cifar", "command": run.command, "cwd": "/home/ann",
        "host": "gpu-7", "username": "ann", "pid": null, "context": run.context, "reason": null, "exit_code": null,
        "signal": null, "stop_signal": null, "last_seen_at": "2026-01-02T03:04:05.678901Z", "lease_seconds": 300,
        "presumed": false, "cpu_user_seconds": null, "cpu_system_seconds": null, "max_rss_bytes": null,
        "recovered_at": null, "recovered_by": null, "runwrap_version": env!("CARGO_PKG_VERSION"),
        "parent_run_id": null, "job": null, "attempt": null, "tags": null, "stdout_path": null, "stderr_path": null,
        "model_bytes": null,
    });
    assert_eq!(Value::Object(shown), expected);
}

fn second_begin_of_a_run_changes_nothing(place: &Place) {
    let run = run("cifar");
    let first = begin(place, &run);
    assert_eq!(begin(place, &run), first);
    let mut store = place.open();
    assert_eq!(store.begin(&run, Some(&first)).unwrap(), first);
    assert_eq!(store.begin(&run, None).unwrap(), first);
    assert_eq!((place.count("training_records"), place.count("runwrap_runs")), (1, 1));
}

fn concurrent_runs_get_versions_without_gaps_or_duplicates(place: &Place) {
    begin(place, &run("other"));
    let mut versions: Vec<u32> = thread::scope(|scope| {
        let runs: Vec<_> = (0..20).map(|_| scope.spawn(|| begin(place, &run("cifar")))).collect();
        let version = |begun: Begun| begun.version.unwrap().trim_start_matches('v').parse().unwrap();
        runs.into_iter().map(|run| version(run.join().unwrap())).collect()
    });
    versions.sort_unstable();
    assert_eq!(versions, (1..=20).collect::<Vec<u32>>());
}

fn concurrent_deliveries_of_one_run_insert_one_row(place: &Place) {
    let run = run("cifar");
    let begun: Vec<Begun> = thread::scope(|scope| {
        let deliveries: Vec<_> = (0..20).map(|_| scope.spawn(|| begin(place, &run))).collect();
        deliveries.into_iter().map(|delivery| delivery.join().unwrap()).collect()
    });
    assert!(begun.iter().all(|other| *other == begun[0]), "{begun:?}");
    assert_eq!((place.count("training_records"), place.count("runwrap_runs")), (1, 1));
}

fn each_name_has_its_own_counter(place: &Place) {
    let version = |name: &str| begin(place, &run(name)).version.unwrap();
    assert_eq!([version("a"), version("a"), version("b"), version("a")], ["v1", "v2", "v1", "v3"]);
    let long = "é".repeat(4000);
    assert_eq!([version(&long), version(&format!("{long}x")), version(&long)], ["v1", "v1", "v2"]);
}

/// A row that no run describes has no name, and counts for every name.
fn counters_start_above_existing_rows(place: &Place) {
    let version = |name: &str| begin(place, &run(name)).version.unwrap();
    place.open().migrate().unwrap();
    for odd in ["v9", "v11", "v12", "best", "v99x", "v12345678901", "V50", "v"] {
        place.sql(&format!("INSERT INTO training_records (version, status) VALUES ('{odd}', 'completed')"));
    }
    assert_eq!([version("a"), version("b"), version("a")], ["v13", "v13", "v14"]);
    // The existing rows seed the counter once. A row that the application inserts later does not raise it.
    place.sql("INSERT INTO training_records (version, status) VALUES ('v40', 'completed')");
    assert_eq!([version("a"), version("new")], ["v15", "v13"]);
}

/// Text ids have no order that a version follows.
fn counters_start_above_existing_rows_with_text_ids(place: &Place) {
    place.sql("CREATE TABLE training_records (id TEXT PRIMARY KEY, version TEXT, status TEXT)");
    place.sql(
        "INSERT INTO training_records VALUES ('z', 'v3', 'completed'), ('a', 'v12', 'failed'), ('m', 'best', NULL)",
    );
    let version = |name: &str| begin(place, &run(name)).version.unwrap();
    assert_eq!([version("a"), version("a"), version("b")], ["v13", "v14", "v13"]);
}

fn version_numbers_are_never_reused(place: &Place) {
    let version = |name: &str| begin(place, &run(name)).version.unwrap();
    assert_eq!([version("a"), version("a"), version("b")], ["v1", "v2", "v1"]);
    place.sql("DELETE FROM training_records; DELETE FROM runwrap_runs");
    assert_eq!([version("a"), version("b"), version("c")], ["v3", "v2", "v1"]);
    let mut store = place.open();
    store.rehearse();
    assert_eq!(store.begin(&run("a"), None).unwrap().version.unwrap(), "v4");
    drop(store);
    assert_eq!(version("a"), "v4");
}

fn adopted_version_raises_the_counter(place: &Place) {
    let version = |name: &str| begin(place, &run(name)).version.unwrap();
    assert_eq!(version("a"), "v1");
    for (number, label, next) in [(70, "v7", "v8"), (80, "v3", "v9"), (90, "best", "v10")] {
        place.sql(&format!(
            "INSERT INTO training_records (id, version, status) VALUES ({number}, '{label}', 'training')"
        ));
        let adopter = Run { adopt: Some(RecordId(number.to_string())), ..run("a") };
        assert_eq!(begin(place, &adopter).version.unwrap(), label);
        assert_eq!(version("a"), next);
    }
}

/// A run whose row was deleted returns with its version, also in a database that has lost its counter.
fn restored_version_raises_the_counter(place: &Place) {
    let known = Begun { record_id: RecordId("30".into()), version: Some("v12".into()), table: None };
    assert_eq!(begin(place, &run("cifar")).version.unwrap(), "v1");
    let begun = place.open().begin(&run("cifar"), Some(&known)).unwrap();
    assert_eq!(Begun { table: None, ..begun }, known);
    assert_eq!(begin(place, &run("cifar")).version.unwrap(), "v13");
}

fn given_version_is_kept_and_raises_the_counter(place: &Place) {
    let given = |version: &str| Run { version: Some(version.into()), ..run("cifar") };
    assert_eq!(begin(place, &given("2026-01-final")).version.unwrap(), "2026-01-final");
    assert_eq!(begin(place, &given("v7")).version.unwrap(), "v7");
    assert_eq!(begin(place, &run("cifar")).version.unwrap(), "v8");
    assert_eq!(begin(place, &given("v2")).version.unwrap(), "v2");
    assert_eq!(begin(place, &run("cifar")).version.unwrap(), "v9");
    assert_eq!(begin(place, &Run { version: Some("v3".into()), ..run("new") }).version.unwrap(), "v3");
    assert_eq!(begin(place, &run("new")).version.unwrap(), "v4");
}

/// Numbers in a column of numbers were given twice.
fn versions_in_a_column_of_numbers_are_never_reused(place: &Place) {
    let id = if place.is_postgres() { "SERIAL" } else { "INTEGER" };
    place.sql(&format!(
        "CREATE TABLE training_records (id {id} PRIMARY KEY, status TEXT, version INTEGER UNIQUE);
         INSERT INTO training_records (status, version) VALUES ('completed', 2)"
    ));
    let given = |version: Option<&str>| {
        begin(place, &Run { version: version.map(str::to_owned), ..run("cifar") }).version.unwrap()
    };
    assert_eq!([None, Some("5"), None, Some("v9"), None].map(given), ["3", "5", "6", "9", "10"]);
}

/// The shortened label did not count, and the counter gave its number again.
fn shortened_version_of_an_adopted_row_raises_the_counter(place: &Place) {
    place.sql(
        "CREATE TABLE training_records (id INTEGER PRIMARY KEY, status TEXT, version VARCHAR(2));
         INSERT INTO training_records (id, status) VALUES (30, 'training'), (31, 'training')",
    );
    let adopt = |id: &str, version: Option<&str>| {
        let adopted = Run { adopt: Some(RecordId(id.into())), version: version.map(str::to_owned), ..run("cifar") };
        begin(place, &adopted)
    };
    adopt("30", Some("v12"));
    let counter = "SELECT CAST(number AS text) AS x FROM runwrap_versions WHERE name = 'cifar'";
    assert_eq!(place.text(counter).as_deref(), Some("12"));
    assert_eq!(adopt("31", None).version, None);
}

/// A version that its column does not take kept the whole record out.
fn run_begins_though_its_version_is_refused(place: &Place) {
    let id = if place.is_postgres() { "SERIAL" } else { "INTEGER" };
    for (column, given, expected) in [
        (
            "VARCHAR(8) NOT NULL",
            Some("2026-11-30-rc1"),
            if place.is_postgres() { "2026~rc1" } else { "2026-11-30-rc1" },
        ),
        ("TEXT NOT NULL CHECK (length(version) < 4)", Some("2026-11-30-rc1"), "v1"),
        ("TEXT CHECK (version <> 'v1')", None, ""),
        ("TEXT CHECK (version LIKE '%.%')", Some("release-2026"), ""),
        ("VARCHAR(2) NOT NULL", Some("v123"), if place.is_postgres() { "~3" } else { "v123" }),
        ("VARCHAR(3) NOT NULL", Some("v123"), if place.is_postgres() { "123" } else { "v123" }),
        ("VARCHAR(1) NOT NULL", None, if place.is_postgres() { "1" } else { "v1" }),
        ("INTEGER NOT NULL", None, "1"),
        ("INTEGER NOT NULL", Some("v7"), "7"),
        ("BIGINT NOT NULL", Some("release-9"), "1"),
    ] {
        place.sql(&format!(
            "DROP TABLE IF EXISTS training_records;
             CREATE TABLE training_records (id {id} PRIMARY KEY, status TEXT, version {column})"
        ));
        let run = Run { version: given.map(str::to_owned), ..run("cifar") };
        let begun = begin(place, &run);
        assert_eq!(begun.version.clone().unwrap_or_default(), expected, "{column}");
        let shown = place.show(&begun.record_id.0)["version"].clone();
        let shown = shown.as_str().map_or_else(|| shown.to_string(), str::to_owned).replace("null", "");
        assert_eq!(shown, expected, "{column}");
        assert_eq!(place.open().begin(&run, Some(&begun)).unwrap().record_id, begun.record_id);
        let ended = Change::Finalize(progress("{}"), success());
        assert_eq!(place.open().apply(run.run_id, &ended).unwrap(), Applied::Written);
        assert_eq!(
            (place.show(&begun.record_id.0)["status"].clone(), place.count("training_records")),
            (json!("completed"), 1)
        );
        place.sql("DELETE FROM runwrap_runs; DELETE FROM runwrap_versions");
    }
}

fn deleted_row_returns_with_its_id_and_version(place: &Place) {
    begin(place, &run("cifar"));
    let second = run("cifar");
    let begun = begin(place, &second);
    place.sql("DELETE FROM training_records WHERE version = 'v2'");
    let mut store = place.open();
    assert_eq!(store.apply(second.run_id, &Change::Heartbeat(progress("{}"))).unwrap(), Applied::Missing);
    // No other run gets its version meanwhile.
    assert_eq!(begin(place, &run("cifar")).version.unwrap(), "v3");
    assert_eq!(store.begin(&second, None).unwrap(), begun);
    assert_eq!(store.apply(second.run_id, &Change::Finalize(progress("{}"), success())).unwrap(), Applied::Written);
    assert_eq!(place.show(&begun.record_id.0)["status"], "completed");
    assert_eq!(place.count("training_records"), 3);
}

/// The journal holds the record's id and version, which `begin` receives.
fn journaled_record_is_reused_if_runwrap_runs_lost_it(place: &Place) {
    let run = run("cifar");
    let begun = begin(place, &run);
    place.sql("DELETE FROM runwrap_runs; DELETE FROM training_records");
    assert_eq!(place.open().begin(&run, Some(&begun)).unwrap(), begun);
    assert_eq!((place.count("training_records"), place.count("runwrap_runs")), (1, 1));
}

fn journaled_record_is_inserted_into_a_new_database(place: &Place) {
    place.open().migrate().unwrap();
    let known = Begun { record_id: RecordId("30".into()), version: Some("v12".into()), table: None };
    let begun = place.open().begin(&run("cifar"), Some(&known)).unwrap();
    assert_eq!(Begun { table: None, ..begun }, known);
    assert_eq!(place.show("30")["version"], "v12");
    assert_eq!(begin(place, &run("cifar")).version.unwrap(), "v13");
}

fn run_sent_to_another_table_is_recorded_there(place: &Place) {
    let run = run("cifar");
    begin(place, &run);
    let options = OpenOptions { table: "second".into(), ..place.options() };
    let mut store = open(&place.target, &options).unwrap();
    store.begin(&run, None).unwrap();
    assert_eq!(store.apply(run.run_id, &Change::Finalize(progress("{}"), success())).unwrap(), Applied::Written);
    assert_eq!((place.count("second"), place.count("runwrap_runs")), (1, 1));
}

fn refused_begin_leaves_no_row_and_no_version_gap(place: &Place) {
    let mut store = place.open();
    store.migrate().unwrap();
    place.sql("ALTER TABLE training_records ADD COLUMN epochs integer CHECK (epochs > 0)");
    let refused = Run { set: vec![("epochs".into(), "-1".into())], ..run("cifar") };
    assert!(matches!(store.begin(&refused, None), Err(StoreError::Permanent { .. })));
    assert_eq!((place.count("training_records"), place.count("runwrap_runs")), (0, 0));
    // The connection is still usable, and no number was skipped.
    assert_eq!(store.begin(&run("cifar"), None).unwrap().version.unwrap(), "v1");
}

fn set_writes_columns_of_every_type(place: &Place) {
    place.open().migrate().unwrap();
    let (boolean, json) = if place.is_postgres() { ("boolean", "jsonb") } else { ("integer", "json") };
    place.sql(&format!(
        "ALTER TABLE training_records ADD COLUMN epochs integer;
         ALTER TABLE training_records ADD COLUMN rate double precision;
         ALTER TABLE training_records ADD COLUMN \"Mixed Case\" varchar(20);
         ALTER TABLE training_records ADD COLUMN tuned {boolean};
         ALTER TABLE training_records ADD COLUMN params {json}"
    ));
    let set = [
        ("epochs", "30"),
        ("rate", "0.25"),
        ("Mixed Case", "it's; DROP TABLE x"),
        ("tuned", "1"),
        ("params", r#"{"a": [1, null]}"#),
        ("created_at", "2025-12-31 23:59:59"),
        ("id", "70"),
    ];
    let set = set.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let begun = begin(place, &Run { set, ..run("cifar") });
    let shown = place.show(&begun.record_id.0);
    assert_eq!((&shown["epochs"], &shown["rate"], &shown["id"]), (&json!(30), &json!(0.25), &json!(70)));
    assert_eq!((&shown["Mixed Case"], &shown["params"]), (&json!("it's; DROP TABLE x"), &json!({"a": [1, null]})));
    assert_eq!(shown["created_at"], "2025-12-31T23:59:59Z");
    assert!([json!(true), json!(1)].contains(&shown["tuned"]));
}

fn set_of_an_unknown_column_names_it(place: &Place) {
    let wrong = Run { set: vec![("epocs".into(), "1".into())], ..run("cifar") };
    let message = bad_input(place.open().begin(&wrong, None));
    assert!(message.contains("--set epocs") && message.contains("train_metrics"), "{message}");
    assert_eq!(place.count("runwrap_runs"), 0);
}

fn set_refuses_columns_that_runwrap_writes(place: &Place) {
    for (column, hint) in [("version", "--model-version"), ("model_path", "--model-path"), ("status", "itself")] {
        let wrong = Run { set: vec![(column.into(), "x".into())], ..run("cifar") };
        let message = bad_input(place.open().begin(&wrong, None));
        assert!(message.contains(hint), "{message}");
    }
    let twice = Run { set: vec![("created_at".into(), "1".into()), ("created_at".into(), "2".into())], ..run("x") };
    bad_input(place.open().begin(&twice, None));
}

fn nul_is_replaced_and_other_characters_survive(place: &Place) {
    let odd = "a\0b'\"\\;--{table}$1%s\n\t\u{7f}é😀";
    let run = Run {
        name: odd.into(),
        command: vec![odd.into()],
        cwd: odd.into(),
        model_path: Some(odd.into()),
        version: Some(odd.into()),
        set: vec![("train_metrics".into(), r#"{"a": 1}"#.into())],
        begun_at: at(5),
        ..run("x")
    };
    let begun = begin(place, &run);
    let shown = place.show(&begun.record_id.0);
    let clean = odd.replace('\0', "\u{FFFD}");
    assert_eq!(shown["name"], clean.as_str());
    assert_eq!(shown["command"], json!([clean]));
    assert_eq!((&shown["version"], &shown["model_path"]), (&json!(clean), &json!(clean)));
    assert_eq!(shown["train_metrics"], json!({"a": 1}));
}
