//! The rows that a statement reads of a large table, by the server's own statistics.

use runwrap::record::{Change, Decision, Doubt, RecordId, Status};
use runwrap::store::{Filter, Scope};

use crate::store::place::{Place, at, begin, progress, run, success};
use crate::support::postgres::Postgres;
use crate::support::wait::wait_until;

/// More rows than `everything` should read, and far fewer than one of the tables has.
const READ_MAX: u64 = 3_000;

/// Finished records, of a hundred names.
pub(crate) const FILL: &str = "
    INSERT INTO training_records (version, status, train_start_time, train_end_time, train_duration, model_path)
    SELECT 'v' || (n / 100 + 1), 'completed', timestamptz '2026-01-01' + make_interval(secs => n),
        timestamptz '2026-01-01' + make_interval(secs => n + 60), 60, '/m/' || n
    FROM generate_series(1, 20000) AS n;
    INSERT INTO runwrap_runs (run_id, record_table, record_id, record_version, name, reason, heartbeat_at, last_seen_at,
        lease_seconds, runwrap_version)
    SELECT CAST(md5(CAST(random() AS text)) AS uuid), 'training_records', n, 'v' || (n / 100 + 1), 'model-' || (n % 100), 'success', now(), now(), 300, '0'
    FROM generate_series(1, 20000) AS n";

/// Waits until every other session has ended: a session reports its statistics at its end.
fn quiet(place: &Place) {
    let others =
        "SELECT count(*) AS x FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    wait_until("the other sessions end", || place.text(others).unwrap() == "0");
}

/// The rows that were read since the last reset, table by table and index by index.
fn rows_read(place: &Place) -> Vec<(String, u64)> {
    quiet(place);
    let read = "SELECT relname || ' ' || seq_tup_read AS x FROM pg_stat_user_tables
        UNION ALL SELECT indexrelname || ' ' || idx_tup_read FROM pg_stat_user_indexes";
    let lines = place.texts(read).into_iter().flatten();
    lines
        .map(|line| line.split_once(' ').map(|(name, read)| (name.to_owned(), read.parse().unwrap())).unwrap())
        .collect()
}

/// Two runs from begin to end, and every regular query.
fn everything(place: &Place) {
    let (first, second) = (run("model-7"), run("a new name"));
    let mut store = place.open();
    store.begin(&first, None).unwrap();
    store.begin(&second, None).unwrap();
    store.apply(first.run_id, &Change::Heartbeat(progress(r#"{"a": 1}"#))).unwrap();
    let all = Filter { limit: 20, ..Filter::default() };
    let named = Filter { name: Some("model-7".into()), ..all.clone() };
    for filter in [
        Filter { statuses: vec![Status::Training], ..all.clone() },
        Filter { statuses: vec![Status::Failed], ..named.clone() },
        Filter { name: Some("unknown".into()), ..all.clone() },
        named,
        all,
    ] {
        store.list(&filter).unwrap();
    }
    assert_eq!(store.overdue(9).unwrap(), []);
    assert_eq!(store.examine(Scope::LiveRuns, None, 10_000).unwrap().read, 2);
    assert!(store.stuck(86_400).unwrap().is_empty());
    store.estimate().unwrap();
    store.show("17").unwrap();
    store.show(&first.run_id.to_string()).unwrap();
    let doubt = Doubt {
        silent_seconds: 1,
        model_written_at: Some(at(0)),
        assume_now: false,
        by: "eve".into(),
        message: "stuck".into(),
    };
    store.decide(&RecordId("18".into()), &Decision::GiveUp(doubt)).unwrap();
    store.decide(&RecordId("19".into()), &Decision::Derive).unwrap();
    for run in [first, second] {
        store.apply(run.run_id, &Change::Finalize(progress("{}"), success())).unwrap();
    }
}

#[test]
fn no_statement_reads_the_whole_table() {
    let place = Place::postgres();
    place.open().migrate().unwrap();
    place.sql(FILL);
    // The first run after so many inserted rows seeds the counters from them.
    let first = run("first");
    begin(&place, &first);
    place.open().apply(first.run_id, &Change::Finalize(progress("{}"), success())).unwrap();
    // From PostgreSQL 17 on `list --name` reads much of an index until the table is analysed.
    let version = place.text("SELECT current_setting('server_version_num') AS x").unwrap();
    let unprepared = (version.as_str() < "170000").then_some("SELECT 1");
    for prepare in unprepared.into_iter().chain(["VACUUM ANALYZE"]) {
        place.sql(prepare);
        quiet(&place);
        place.sql("SELECT pg_stat_reset()");
        everything(&place);
        let read = rows_read(&place);
        let sum: u64 = read.iter().map(|(_, rows)| rows).sum();
        assert!(sum < READ_MAX, "after {prepare}: {read:?}");
    }
}

/// Also if the server takes workers for cheap. On a table that was never analysed, starting workers once took longer than the
/// statement.
#[test]
fn no_statement_plans_parallel_workers() {
    let place = Place::postgres();
    place.open().migrate().unwrap();
    place.sql(FILL);
    let name = &place.postgres_target().dbname;
    for setting in [
        "session_preload_libraries = auto_explain",
        "auto_explain.log_min_duration = 0",
        "parallel_setup_cost = 0",
        "parallel_tuple_cost = 0",
        "min_parallel_table_scan_size = 0",
        "min_parallel_index_scan_size = 0",
    ] {
        place.sql(&format!("ALTER DATABASE {name} SET {setting}"));
    }
    everything(&place);
    // The server logs a plan before it answers the statement, and only the sessions of this database log plans.
    let log = std::fs::read_to_string(Postgres::shared().directory().join("log")).unwrap();
    for part in ["ORDER BY id DESC", "runwrap_versions"] {
        assert!(log.lines().any(|line| line.contains(part)), "{part}");
    }
    let workers: Vec<&str> = log.lines().filter(|line| line.contains("Workers Planned")).collect();
    assert!(workers.is_empty(), "{workers:?}");
}
