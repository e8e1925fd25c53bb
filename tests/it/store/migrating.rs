//! Migrations: applied once, also by concurrent runs, and only if the options permit them.

use std::thread;

use runwrap::record::{Applied, Change, Run};
use runwrap::store::{OpenOptions, open};

use super::conformance;
use super::place::{Place, bad_input, begin, permanent, progress, run, success};

conformance!(
    migrations_are_applied_once,
    hundred_concurrent_runs_begin_on_an_empty_database,
    no_migrate_error_names_the_migrate_verb,
    hundred_concurrent_runs_upgrade_an_older_schema,
    printed_migrations_are_sufficient,
    newer_schema_is_used_unless_it_is_breaking,
    several_tables_share_runwraps_tables,
    table_name_is_quoted,
    invalid_table_name_is_refused,
);

/// The number of migrations.
const ALL: usize = 9;

fn migrations_are_applied_once(place: &Place) {
    let mut store = place.open();
    assert_eq!((store.migrate().unwrap(), store.migrate().unwrap()), (ALL, 0));
    assert_eq!(place.open().migrate().unwrap(), 0);
    assert_eq!(
        place.texts("SELECT number AS x FROM runwrap_migrations"),
        (1..=ALL).map(|number| Some(number.to_string())).collect::<Vec<_>>()
    );
}

fn hundred_concurrent_runs_begin_on_an_empty_database(place: &Place) {
    thread::scope(|scope| {
        for number in 0..100 {
            scope.spawn(move || begin(place, &run(&format!("run {number}"))));
        }
    });
    assert_eq!((place.count("training_records"), place.count("runwrap_migrations")), (100, ALL));
}

fn no_migrate_error_names_the_migrate_verb(place: &Place) {
    let options = OpenOptions { migrate: false, ..place.options() };
    let mut store = open(&place.target, &options).unwrap();
    let message = permanent(store.begin(&run("cifar"), None));
    assert!(message.contains("`runwrap migrate`") && message.contains("`runwrap migrate --print`"), "{message}");
    assert_eq!(store.migrate().unwrap(), ALL);
    store.begin(&run("cifar"), None).unwrap();
}

/// Reverts the newest migrations, as an earlier runwrap left the schema.
fn downgrade(place: &Place) {
    place.sql("DROP INDEX runwrap_runs_job; DROP INDEX runwrap_runs_parent");
    for column in
        ["parent_run_id", "job", "attempt", "tags", "stdout_path", "stderr_path", "model_bytes", "notified_at"]
    {
        place.sql(&format!("ALTER TABLE runwrap_runs DROP COLUMN {column}"));
    }
    place.sql(
        "DROP VIEW runwrap_points; DROP TABLE runwrap_series;
         ALTER TABLE runwrap_runs DROP COLUMN row_created_at; ALTER TABLE runwrap_runs DROP COLUMN row_started_at;
         ALTER TABLE runwrap_runs DROP COLUMN timeline; DELETE FROM runwrap_migrations WHERE number >= 5",
    );
    if place.is_postgres() {
        place.sql("DROP FUNCTION runwrap_timeline");
    }
    place.sql(
        "DROP TABLE runwrap_versions; DROP INDEX runwrap_runs_named; ALTER TABLE runwrap_runs DROP COLUMN tied_at;
         ALTER TABLE runwrap_runs ADD COLUMN counted_until bigint; ALTER TABLE runwrap_runs ADD COLUMN counted_number bigint;
         ALTER TABLE runwrap_runs ADD COLUMN counted_id bigint;
         CREATE INDEX runwrap_runs_counted ON runwrap_runs (record_table, counted_until) WHERE counted_until IS NOT NULL;
         CREATE INDEX runwrap_runs_version ON runwrap_runs (record_table, name, record_version);
         CREATE INDEX runwrap_runs_named ON runwrap_runs (record_table, name, record_id);
         DELETE FROM runwrap_migrations WHERE number = 4",
    );
}

fn hundred_concurrent_runs_upgrade_an_older_schema(place: &Place) {
    let old = run("cifar");
    begin(place, &old);
    begin(place, &run("other"));
    downgrade(place);
    let options = OpenOptions { migrate: false, ..place.options() };
    let message = permanent(open(&place.target, &options).unwrap().begin(&run("cifar"), None));
    assert!(message.contains("out of date") && message.contains("`runwrap migrate`"), "{message}");
    let mut versions: Vec<u32> = thread::scope(|scope| {
        let runs: Vec<_> = (0..100).map(|_| scope.spawn(|| begin(place, &run("cifar")))).collect();
        runs.into_iter().map(|run| run.join().unwrap().version.unwrap()[1..].parse().unwrap()).collect()
    });
    versions.sort_unstable();
    assert_eq!(versions, (2..=101).collect::<Vec<u32>>());
    let ended = Change::Finalize(progress("{}"), success());
    assert_eq!(place.open().apply(old.run_id, &ended).unwrap(), Applied::Written);
    assert_eq!((place.show("1")["status"].as_str(), place.count("runwrap_runs")), (Some("completed"), 102));
}

fn printed_migrations_are_sufficient(place: &Place) {
    place.sql(&place.open().missing_sql().unwrap());
    let options = OpenOptions { migrate: false, ..place.options() };
    let mut store = open(&place.target, &options).unwrap();
    store.begin(&run("cifar"), None).unwrap();
    assert_eq!(store.migrate().unwrap(), 0);
}

fn newer_schema_is_used_unless_it_is_breaking(place: &Place) {
    begin(place, &run("cifar"));
    let harmless = if place.is_postgres() { "FALSE" } else { "0" };
    place.sql(&format!("INSERT INTO runwrap_migrations (number, breaking) VALUES (98, {harmless})"));
    begin(place, &run("cifar"));
    let breaking = if place.is_postgres() { "TRUE" } else { "1" };
    place.sql(&format!("INSERT INTO runwrap_migrations (number, breaking) VALUES (99, {breaking})"));
    let message = permanent(place.open().begin(&run("cifar"), None));
    assert!(message.contains("migration 99") && message.contains("later"), "{message}");
}

fn several_tables_share_runwraps_tables(place: &Place) {
    let other = |table: &str, run: &Run| {
        let options = OpenOptions { table: table.into(), ..place.options() };
        open(&place.target, &options).unwrap().begin(run, None).unwrap()
    };
    begin(place, &run("cifar"));
    assert_eq!(other("second", &run("cifar")).version.unwrap(), "v1");
    assert_eq!(other("second", &run("cifar")).version.unwrap(), "v2");
    assert_eq!(begin(place, &run("cifar")).version.unwrap(), "v2");
    assert_eq!((place.count("second"), place.count("runwrap_runs")), (2, 4));
    assert_eq!(place.show("1")["name"], "cifar");
}

fn table_name_is_quoted(place: &Place) {
    let odd = r#""Training; ""Records"" it's""#;
    let options = OpenOptions { table: odd.into(), ..place.options() };
    let begun = open(&place.target, &options).unwrap().begin(&run("cifar"), None).unwrap();
    assert!(open(&place.target, &options).unwrap().show(&begun.record_id.0).unwrap().is_some());
    assert_eq!(place.count(odd), 1);
}

fn invalid_table_name_is_refused(place: &Place) {
    for table in ["", "a;b", "runwrap_runs"] {
        let options = OpenOptions { table: table.into(), ..place.options() };
        let refused = open(&place.target, &options).and_then(|mut store| store.begin(&run("x"), None));
        assert!(bad_input(refused).contains("--table"));
    }
}
