//! Rights and schemas: SELECT, INSERT and UPDATE on three tables suffice, in any schema.

use runwrap::config::PostgresTarget;
use runwrap::record::{Applied, Change};
use runwrap::store::{OpenOptions, Store, open};

use crate::store::place::{Place, begin, permanent, progress, run, success};

/// Creates a role that may only connect, and returns the place with this role as its user.
fn seen_by(place: &Place, role: &str) -> Place {
    let target = PostgresTarget { user: role.into(), ..place.postgres_target().clone() };
    let dbname = &target.dbname;
    place.sql(&format!("CREATE ROLE {role} LOGIN; GRANT CONNECT ON DATABASE {dbname} TO {role}"));
    Place::at_postgres(target)
}

fn live(store: &mut Store) {
    let run = run("cifar");
    store.begin(&run, None).unwrap();
    assert_eq!(store.apply(run.run_id, &Change::Heartbeat(progress("{}"))).unwrap(), Applied::Written);
    assert_eq!(store.apply(run.run_id, &Change::Finalize(progress("{}"), success())).unwrap(), Applied::Written);
    assert!(store.show(&run.run_id.to_string()).unwrap().is_some());
}

#[test]
fn three_rights_on_three_tables_are_enough() {
    let place = Place::postgres();
    place.open().migrate().unwrap();
    let worker = seen_by(&place, "worker");
    place.sql("GRANT SELECT, INSERT, UPDATE ON training_records, runwrap_runs, runwrap_versions TO worker");
    live(&mut worker.open());
    // Also without the right to read the applied migrations.
    place.sql("REVOKE SELECT ON runwrap_migrations FROM PUBLIC");
    live(&mut worker.open());
}

#[test]
fn error_names_the_missing_grant() {
    let place = Place::postgres();
    // As from PostgreSQL 15 on.
    place.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let stranger = seen_by(&place, "stranger");
    let message = permanent(stranger.open().begin(&run("cifar"), None));
    assert!(message.contains("42501") && message.contains("GRANT CREATE ON SCHEMA"), "{message}");
    place.open().migrate().unwrap();
    let message = permanent(stranger.open().begin(&run("cifar"), None));
    assert!(message.contains("grant stranger SELECT, INSERT and UPDATE"), "{message}");
}

/// The message was PostgreSQL's own, about an identifier, with the hint to widen a column.
#[test]
fn error_names_a_missing_schema() {
    let place = Place::postgres();
    let stranger = seen_by(&place, "lost");
    for schema in ["nowhere", "hidden"] {
        place.sql(&format!("CREATE SCHEMA IF NOT EXISTS hidden; ALTER ROLE lost SET search_path = {schema}"));
        let message = permanent(stranger.open().begin(&run("cifar"), None));
        assert!(message.contains("there is no schema for table"), "{message}");
    }
}

#[test]
fn both_tables_are_created_in_the_named_schema() {
    let place = Place::postgres();
    let options = OpenOptions { table: "ml.\"Training Records\"".into(), ..place.options() };
    let message = permanent(open(&place.target, &options).unwrap().begin(&run("cifar"), None));
    assert!(message.contains("create the schema"), "{message}");
    place.sql("CREATE SCHEMA ml");
    live(&mut open(&place.target, &options).unwrap());
    assert_eq!((place.count("ml.\"Training Records\""), place.count("ml.runwrap_runs")), (1, 1));
}

/// runwrap's tables are created beside the user's table, not in the first schema of the path.
#[test]
fn table_is_found_along_the_search_path() {
    let place = Place::postgres();
    place.sql(
        "CREATE SCHEMA first; CREATE SCHEMA second;
         CREATE TABLE second.training_records (id SERIAL PRIMARY KEY, version TEXT, status TEXT);
         ALTER ROLE admin IN DATABASE current_db SET search_path = first, second"
            .replace("current_db", &place.postgres_target().dbname)
            .as_str(),
    );
    begin(&place, &run("cifar"));
    assert_eq!((place.count("second.training_records"), place.count("second.runwrap_runs")), (1, 1));
}

/// PostgreSQL counts them as HOT updates: no index changes.
#[test]
fn heartbeats_update_in_place() {
    let place = Place::postgres();
    let run = run("cifar");
    begin(&place, &run);
    let heartbeat = Change::Heartbeat(progress(r#"{"a": 1}"#));
    let mut store = place.open();
    for _ in 0..20 {
        assert_eq!(store.apply(run.run_id, &heartbeat).unwrap(), Applied::Written);
    }
    // The server writes its statistics when a session ends.
    drop(store);
    let updates =
        "SELECT n_tup_upd || ' ' || n_tup_hot_upd AS x FROM pg_stat_user_tables WHERE relname = 'runwrap_runs'";
    let all = |text: Option<String>| text.is_some_and(|text| text == "20 20");
    crate::support::wait::wait_until("all heartbeats are HOT", || all(place.text(updates)));
}

/// A refused right on the series costs the curves alone, with one message.
#[test]
fn refused_right_on_series_costs_only_the_curves() {
    let place = Place::postgres();
    place.open().migrate().unwrap();
    let worker = seen_by(&place, "curveless");
    place.sql("GRANT SELECT, INSERT, UPDATE ON training_records, runwrap_runs, runwrap_versions TO curveless");
    let mut store = worker.open();
    let run = run("cifar");
    store.begin(&run, None).unwrap();
    let notices: Vec<String> = (1..4)
        .filter_map(|revision| {
            assert!(store.write_series(run.run_id, revision, "[]"));
            store.take_notice()
        })
        .collect();
    assert!(notices.len() == 1 && notices[0].contains("UPDATE on runwrap_series"), "{notices:?}");
    live(&mut store);
}
