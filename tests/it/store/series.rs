//! The history of metrics: one upsert, never over a later one, and an error that costs the curves alone.

use std::time::{Duration, Instant};

use runwrap::record::{Change, RunId};
use runwrap::store::{OpenOptions, Store, open};
use serde_json::{Value, json};

use super::conformance;
use super::place::{Place, begin, progress, run};

conformance!(
    points_of_a_series_are_rows_of_the_view,
    series_are_read_as_written,
    earlier_reading_never_replaces_a_later_one,
    rewritten_report_leaves_only_its_own_names,
    odd_names_and_numbers_survive,
    missing_table_switches_series_off_with_one_message,
    older_schema_without_the_right_to_upgrade_still_takes_records,
    locked_table_delays_series_only_shortly,
);

/// A series as `record` writes it, of `value`s at x 1, 2, ….
fn series(name: &str, values: &[Value]) -> Value {
    let count = values.len();
    let x: Vec<usize> = (1..=count).collect();
    json!({
        "name": name, "per_bucket": 1, "total": count, "nan": 0, "infinite": 0, "negative_infinite": 0, "x": x, "seconds": x,
        "value": values, "low": values, "high": values, "others": [], "segment": [],
    })
}

fn write(store: &mut Store, run_id: RunId, revision: i64, all: &[Value]) {
    assert!(store.write_series(run_id, revision, &Value::from(all).to_string()));
    assert_eq!(store.take_notice(), None);
}

/// The points as `NAME X SECONDS VALUE LOW HIGH`.
fn points(place: &Place) -> Vec<String> {
    let columns = ["name", "x", "seconds", "value", "low", "high"].map(|name| format!("CAST({name} AS text)"));
    let rows = place.texts(&format!("SELECT {} AS x FROM runwrap_points", columns.join(" || ' ' || ")));
    rows.into_iter().map(|row| row.unwrap().replace(".0", "")).collect()
}

fn points_of_a_series_are_rows_of_the_view(place: &Place) {
    let run = run("cifar");
    begin(place, &run);
    let mut store = place.open();
    let summary = json!({
        "name": "loss", "per_bucket": 2, "total": 5, "nan": 1, "infinite": 0, "negative_infinite": 0, "x": [2, 4, 5],
        "seconds": [1.5, 2.5, 3], "value": [0.5, null, 0.25], "low": [0.5, null, 0.25], "high": [3, null, 0.25],
        "others": [0, 2, 0], "segment": [0, 0, 1],
    });
    write(&mut store, run.run_id, 7, &[summary, series("nan", &[Value::Null]), series("acc", &[json!(1)])]);
    assert_eq!(points(place), ["loss 2 1.5 0.5 0.5 3", "loss 5 3 0.25 0.25 0.25", "acc 1 1 1 1 1"]);
    let run_id = place.text("SELECT DISTINCT run_id AS x FROM runwrap_points");
    assert_eq!(run_id, Some(run.run_id.to_string()));
    assert_eq!(place.text("SELECT nan AS x FROM runwrap_series WHERE name = 'loss'").as_deref(), Some("1"));
}

fn series_are_read_as_written(place: &Place) {
    let (run, other) = (run("cifar"), run("other"));
    begin(place, &run);
    begin(place, &other);
    let mut store = place.open();
    assert_eq!(store.series(&[run.run_id.to_string()], &[]).unwrap(), []);
    let loss = json!({
        "name": "loss", "per_bucket": 2, "total": 5, "nan": 1, "infinite": 2, "negative_infinite": 3, "x": [2, 1e300, 0.1],
        "seconds": [1.5, 2.5, 3], "value": [0.1, null, 1e-300], "low": [0.1, null, 0.25], "high": [3, null, 0.25],
        "others": [0, 2, 0], "segment": [0, 0, 1],
    });
    write(&mut store, run.run_id, 6, &[series("gone", &[json!(1)]), series("gone too", &[json!(1)]), loss.clone()]);
    write(&mut store, run.run_id, 7, &[loss, series("it's \"odd\"", &[json!(1), Value::Null])]);
    write(&mut store, other.run_id, 1, &[series("loss", &[json!(2)])]);
    let found = store.series(&[run.run_id.to_string()], &[]).unwrap();
    let names: Vec<&str> = found.iter().map(|(_, series)| series.name.as_str()).collect();
    assert_eq!(names, ["loss", "it's \"odd\""]);
    let (run_id, loss) = &found[0];
    assert_eq!(*run_id, run.run_id.to_string());
    assert_eq!((loss.per_bucket, loss.total, loss.nan, loss.infinite, loss.negative_infinite), (2, 5, 1, 2, 3));
    assert_eq!(loss.buckets.x, [2.0, 1e300, 0.1]);
    assert_eq!(loss.buckets.value, [Some(0.1), None, Some(1e-300)]);
    assert_eq!((&loss.buckets.others[..], &loss.buckets.segment[..]), (&[0, 2, 0][..], &[0, 0, 1][..]));
    assert_eq!(found[1].1.buckets.segment, [0, 0]);
    let both = [run.run_id.to_string(), other.run_id.to_string()];
    assert_eq!(store.series(&both, &["loss".to_owned()]).unwrap().len(), 2);
}

fn earlier_reading_never_replaces_a_later_one(place: &Place) {
    let run = run("cifar");
    begin(place, &run);
    let mut store = place.open();
    for (revision, value) in [(5, 1), (9, 2), (7, 3), (i64::MAX, 4), (8, 5), (i64::MAX, 4)] {
        write(&mut store, run.run_id, revision, &[series("a", &[json!(value)])]);
    }
    assert_eq!(points(place), ["a 1 1 4 4 4"]);
    assert_eq!(place.count("runwrap_series"), 1);
}

fn rewritten_report_leaves_only_its_own_names(place: &Place) {
    let run = run("cifar");
    begin(place, &run);
    let mut store = place.open();
    write(&mut store, run.run_id, 1, &["a", "b", "c"].map(|name| series(name, &[json!(1)])));
    write(&mut store, run.run_id, 2, &[series("b", &[json!(2), json!(3)])]);
    assert_eq!(points(place), ["b 1 1 2 2 2", "b 2 2 3 3 3"]);
}

fn odd_names_and_numbers_survive(place: &Place) {
    let run = run("cifar");
    begin(place, &run);
    let mut store = place.open();
    let names = ["it's", "a\"b\\", "two\nlines", "$1 {schema}", "", "损失 😀", &"n".repeat(512)];
    let all: Vec<Value> = names.iter().map(|name| series(name, &[json!(1.25)])).collect();
    write(&mut store, run.run_id, 1, &all);
    let kept = place.texts("SELECT name AS x FROM runwrap_series ORDER BY number");
    assert_eq!(kept, names.map(|name| Some(name.to_owned())));
    let extremes = [f64::MAX, f64::MIN, f64::MIN_POSITIVE, 0.1 + 0.2].map(|number| json!(number));
    write(&mut store, run.run_id, 2, &[series("a", &extremes)]);
    for value in extremes {
        let value = value.as_f64().unwrap();
        let same = format!("SELECT count(*) AS x FROM runwrap_points WHERE value = {value:e}");
        assert_eq!(place.text(&same).as_deref(), Some("1"), "{value:e}");
    }
}

fn missing_table_switches_series_off_with_one_message(place: &Place) {
    let run = run("cifar");
    begin(place, &run);
    place.sql("DROP VIEW runwrap_points; DROP TABLE runwrap_series");
    let options = place.options();
    let mut notices = Vec::new();
    for revision in 1..4 {
        // As a keeper: a store for each attempt, one cache for all.
        let mut store = open(&place.target, &options).unwrap();
        store.apply(run.run_id, &Change::Heartbeat(progress("{}"))).unwrap();
        assert!(store.write_series(run.run_id, revision, &json!([series("a", &[json!(1)])]).to_string()));
        notices.extend(store.take_notice());
    }
    let [notice] = &notices[..] else { panic!("{notices:?}") };
    assert!(notice.contains("runwrap_series") && notice.contains("runwrap migrate"), "{notice}");
}

/// A program that was upgraded before its tables.
fn older_schema_without_the_right_to_upgrade_still_takes_records(place: &Place) {
    let first = run("cifar");
    begin(place, &first);
    place.sql(
        "DROP VIEW runwrap_points; DROP TABLE runwrap_series; ALTER TABLE runwrap_runs DROP COLUMN notified_at;
         DELETE FROM runwrap_migrations WHERE number >= 8",
    );
    let options = OpenOptions { migrate: false, ..place.options() };
    let mut store = open(&place.target, &options).unwrap();
    assert_eq!(store.begin(&run("cifar"), None).unwrap().version.as_deref(), Some("v2"));
    assert!(store.write_series(first.run_id, 1, &json!([series("a", &[json!(1)])]).to_string()));
    assert!(store.take_notice().unwrap().contains("runwrap migrate"));
    // One that may upgrade does.
    begin(place, &run("cifar"));
    write(&mut place.open(), first.run_id, 1, &[series("a", &[json!(1)])]);
    assert_eq!(points(place).len(), 1);
}

fn locked_table_delays_series_only_shortly(place: &Place) {
    let run = run("cifar");
    begin(place, &run);
    let mut store = place.open();
    store.apply(run.run_id, &Change::Heartbeat(progress("{}"))).unwrap();
    let text = json!([series("a", &[json!(1)])]).to_string();
    let lock = if place.is_postgres() { "BEGIN; LOCK TABLE runwrap_series" } else { "BEGIN IMMEDIATE" };
    place.holding(lock, || {
        let before = Instant::now();
        assert!(!store.write_series(run.run_id, 1, &text));
        assert!(before.elapsed() < Duration::from_secs(3), "{:?}", before.elapsed());
        assert_eq!(store.take_notice(), None);
    });
    // Not switched off.
    write(&mut store, run.run_id, 1, &[series("a", &[json!(1)])]);
    assert_eq!(points(place).len(), 1);
}
