//! A table that cannot take the record of a run: each finding names the column, and the printed repair removes it.

mod postgres;

use runwrap::config::PostgresTarget;
use runwrap::record::{Change, Progress, Run};
use runwrap::store::Unfit;

use super::conformance;
use super::place::{Place, begin, run, success};

conformance!(
    own_table_is_fit_and_nothing_is_printed_for_it,
    check_of_the_status_is_evaluated,
    column_that_stays_empty_must_not_be_not_null,
    settable_column_is_fit_once_runs_fill_it,
    missing_status_is_named,
    id_is_judged_as_a_run_fills_it,
    check_is_evaluated_as_the_table_does,
    dropped_series_are_named_and_made_again,
);

/// The findings, each as one line.
fn findings(place: &Place) -> Vec<String> {
    let unfit = place.open().unfit().unwrap();
    unfit.into_iter().map(|Unfit { detail, repair, .. }| format!("{detail} | {repair}")).collect()
}

fn printed(place: &Place) -> String {
    place.open().missing_sql().unwrap()
}

/// Asserts that the findings of `seen` contain each of `parts`, and that the owner's repair, applied twice, leaves none.
#[track_caller]
fn assert_repaired(seen: &Place, owner: &Place, parts: &[&str]) {
    let found = findings(seen);
    assert_eq!(found.len(), parts.len(), "{found:#?}");
    for part in parts {
        assert!(found.iter().any(|line| line.contains(part)), "{part}: {found:#?}");
    }
    let repair = printed(seen);
    owner.sql(&repair);
    owner.sql(&repair);
    assert_eq!(findings(seen), Vec::<String>::new(), "{repair}");
    let left = printed(seen);
    assert!(left.lines().all(|line| ["BEGIN;", "COMMIT;", ""].contains(&line)), "{left}");
}

fn own_table_is_fit_and_nothing_is_printed_for_it(place: &Place) {
    assert_eq!(findings(place), Vec::<String>::new());
    place.open().migrate().unwrap();
    assert_eq!(findings(place), Vec::<String>::new());
    let script = if place.is_postgres() { "BEGIN;\n\nCOMMIT;\n" } else { "BEGIN IMMEDIATE;\n\nCOMMIT;\n" };
    assert_eq!(printed(place), script);
}

/// The first record was written as `training`, and its end refused hours later.
fn check_of_the_status_is_evaluated(place: &Place) {
    for (check, refused) in [
        ("CHECK (status IN ('training', 'success', 'failed'))", Some("refuses completed")),
        ("CONSTRAINT \"it's\" CHECK (upper(status) = status)", Some("refuses training, completed, failed")),
        ("CHECK (length(status) < 9)", Some("refuses completed")),
        ("CHECK (status <> '')", None),
        ("CHECK (status <> 'completed' OR note IS NOT NULL)", None),
    ] {
        place.sql("DROP TABLE IF EXISTS training_records");
        place.sql(&format!("CREATE TABLE training_records (id INTEGER PRIMARY KEY, status TEXT {check}, note TEXT)"));
        let found: Vec<String> = findings(place).into_iter().filter(|line| line.contains("column status: ")).collect();
        match refused {
            None => assert_eq!(found, Vec::<String>::new(), "{check}"),
            Some(refused) => assert!(found.len() == 1 && found[0].contains(refused), "{check}: {found:?}"),
        }
    }
}

fn column_that_stays_empty_must_not_be_not_null(place: &Place) {
    let id = if place.is_postgres() { "SERIAL PRIMARY KEY" } else { "INTEGER PRIMARY KEY" };
    place.sql(&format!(
        "CREATE TABLE training_records (id {id}, version TEXT NOT NULL, status TEXT NOT NULL, created_at TEXT NOT NULL,
            train_start_time TEXT NOT NULL, error_message TEXT NOT NULL DEFAULT '', train_duration INTEGER NOT NULL)"
    ));
    let found = findings(place);
    assert!(found.len() == 1 && found[0].starts_with("column train_duration: it is NOT NULL"), "{found:?}");
}

fn settable_column_is_fit_once_runs_fill_it(place: &Place) {
    let id = if place.is_postgres() { "SERIAL PRIMARY KEY" } else { "INTEGER PRIMARY KEY" };
    place.sql(&format!("CREATE TABLE training_records (id {id}, status TEXT, owner TEXT NOT NULL)"));
    let found = findings(place);
    assert!(found.len() == 1 && found[0].starts_with("column owner: it is NOT NULL"), "{found:?}");
    begin(place, &runwrap::record::Run { set: vec![("owner".into(), "ann".into())], ..run("cifar") });
    assert_eq!(findings(place), Vec::<String>::new());
}

/// `migrate` reported that everything was up to date.
fn dropped_series_are_named_and_made_again(place: &Place) {
    for makes in [true, false] {
        place.open().migrate().unwrap();
        place.sql("DROP VIEW runwrap_points");
        place.sql("DROP TABLE runwrap_series");
        let found = findings(place);
        assert!(found.len() == 1 && found[0].starts_with("the table runwrap_series was dropped"), "{found:?}");
        // A run has its record.
        assert_eq!(place.open().unfit_for(&[]).unwrap(), Vec::new());
        if makes {
            assert_eq!(place.open().migrate().unwrap(), 1);
            assert_eq!(place.open().migrate().unwrap(), 0);
        } else {
            let script = printed(place);
            place.sql(&script);
            place.sql(&script);
        }
        assert_eq!(findings(place), Vec::<String>::new());
        assert_eq!((place.count("runwrap_series"), place.count("runwrap_points")), (0, 0));
    }
}

fn missing_status_is_named(place: &Place) {
    place.sql("CREATE TABLE training_records (id INTEGER PRIMARY KEY, state TEXT)");
    let found = findings(place);
    assert!(found.iter().any(|line| line.starts_with("column status: ")), "{found:?}");
}

/// Asserts that a run begins and ends in `table` exactly if there is no finding about it.
#[track_caller]
fn assert_agrees(place: &Place, table: &str, is_fit: bool) {
    place.open().migrate().unwrap();
    place.sql("DROP TABLE training_records");
    place.sql("DELETE FROM runwrap_runs");
    place.sql(&format!("CREATE TABLE training_records {table}"));
    assert_verdict(place, table, is_fit);
}

#[track_caller]
fn assert_verdict(place: &Place, case: &str, is_fit: bool) {
    assert_verdict_of(place, &run("cifar"), case, is_fit);
}

#[track_caller]
fn assert_verdict_of(place: &Place, run: &Run, case: &str, is_fit: bool) {
    let found = findings(place);
    assert_eq!(found.is_empty(), is_fit, "{case}: {found:?}");
    let end = Change::Finalize(Progress::default(), success());
    let ended = place.open().begin(run, None).and_then(|_begun| place.open().apply(run.run_id, &end));
    assert_eq!(ended.is_ok(), is_fit, "{case}: {ended:?}");
}

/// `check` was wrong about ids in capital letters, and about ids that may be NULL.
fn id_is_judged_as_a_run_fills_it(place: &Place) {
    for (id, is_fit) in [
        ("TEXT NOT NULL PRIMARY KEY", true),
        ("VARCHAR(36) NOT NULL", true),
        ("VARCHAR(32)", true),
        ("CHAR(36) PRIMARY KEY", true),
        ("CHARACTER(32) NOT NULL", true),
        ("VARCHAR(20) NOT NULL", false),
        ("VARCHAR(20)", false),
        ("INTEGER", false),
        ("INT PRIMARY KEY", false),
        ("INTEGER DEFAULT 7", true),
    ] {
        assert_agrees(place, &format!("(id {id}, status TEXT)"), is_fit);
    }
    let only_in_sqlite = [
        ("(id INTEGER PRIMARY KEY DESC, status TEXT)", false),
        ("(id INTEGER PRIMARY KEY, status TEXT) WITHOUT ROWID", false),
        ("(id INTEGER, status TEXT, PRIMARY KEY (id, status))", false),
        ("(id INTEGER, status TEXT, PRIMARY KEY (id))", true),
        ("(id TEXT DEFAULT NULL, status TEXT)", false),
    ];
    for (table, is_fit) in only_in_sqlite.into_iter().filter(|_| !place.is_postgres()) {
        assert_agrees(place, table, is_fit);
    }
}

/// A collation, a comment and the name of the table changed the verdict, or hid it.
fn check_is_evaluated_as_the_table_does(place: &Place) {
    let id = if place.is_postgres() { "serial PRIMARY KEY" } else { "INTEGER PRIMARY KEY" };
    for (status, is_fit) in [
        ("text CHECK (training_records.status IN ('done') -- words\n)", false),
        ("text CHECK (status <> 'it''s -- no comment')", true),
        ("text CHECK (status IN ('training') /* only */)", false),
    ] {
        assert_agrees(place, &format!("(id {id}, status {status})"), is_fit);
    }
    for (check, is_fit) in [
        ("(train_end_time IS NULL) = (status = 'training')", true),
        ("(train_end_time IS NULL) = (status = 'running')", false),
        ("status <> 'completed' OR train_duration > 1000", true),
        ("status IN ('training', 'done') AND train_start_time IS NOT NULL", false),
        ("status = 'training' OR train_duration >= 0", true),
        // A run leaves out the time that is refused.
        ("train_start_time IS NULL OR status <> 'training'", true),
        ("note IS NULL OR status <> 'training'", true),
    ] {
        let times = "train_start_time TIMESTAMP, train_end_time TIMESTAMP, train_duration INTEGER, note TEXT";
        assert_agrees(place, &format!("(id {id}, status text, {times}, CHECK ({check}))"), is_fit);
    }
    let of_sqlite = [
        ("TEXT COLLATE NOCASE CHECK (status IN ('TRAINING', 'COMPLETED', 'FAILED'))", true),
        ("TEXT CHECK (status IN ('TRAINING', 'COMPLETED', 'FAILED')) COLLATE NOCASE", true),
        ("TEXT COLLATE NOCASE CHECK (status IN ('TRAINING', 'DONE'))", false),
        ("TEXT CHECK ([training_records].[status] <> 'completed')", false),
        ("INT", true),
        ("TEXT, train_duration REAL CHECK (status = 'training' OR typeof(train_duration) = 'real')", true),
        ("TEXT, train_duration TEXT CHECK (status = 'training' OR typeof(train_duration) = 'text')", true),
    ];
    let of_postgres = [
        ("text COLLATE folded CHECK (status IN ('TRAINING', 'COMPLETED', 'FAILED'))", true),
        ("text COLLATE folded CHECK (status IN ('TRAINING', 'DONE', 'FAILED'))", false),
        ("text COLLATE \"C\" CHECK (status < 'U')", false),
    ];
    if place.is_postgres() {
        place.sql("CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)");
    }
    for (status, is_fit) in if place.is_postgres() { &of_postgres[..] } else { &of_sqlite[..] } {
        assert_agrees(place, &format!("(id {id}, status {status})"), *is_fit);
    }
}

/// Its types refused each word, and its views each row.
#[test]
fn strict_table_and_view_of_sqlite_are_judged_as_a_run_meets_them() {
    let place = Place::sqlite();
    assert_agrees(&place, "(id INTEGER PRIMARY KEY, status INT) STRICT", false);
    assert_agrees(&place, "(id INTEGER PRIMARY KEY, status TEXT, version INT, train_duration REAL) STRICT", true);
    assert_agrees(&place, "(id INTEGER PRIMARY KEY, status ANY, model_path ANY) STRICT", true);

    let instead = |event: &str, action: &str| {
        format!("CREATE TRIGGER i{event} INSTEAD OF {event} ON training_records BEGIN {action}; END")
    };
    assert_agrees(&place, "(ID INTEGER PRIMARY KEY, Status TEXT, Created_At TEXT NOT NULL)", true);
    assert_eq!(place.text("SELECT status AS x FROM training_records").as_deref(), Some("completed"));
    assert_agrees(&place, "(ID INTEGER PRIMARY KEY, Status TEXT CHECK (STATUS <> 'completed'))", false);
    place.sql("CREATE TABLE words (word TEXT PRIMARY KEY); INSERT INTO words VALUES ('training')");
    let references =
        ["words (word)", "words"].map(|parent| format!("(id INTEGER PRIMARY KEY, status TEXT REFERENCES {parent})"));
    for is_fit in [false, true] {
        for table in &references {
            assert_agrees(&place, table, is_fit);
        }
        place.sql("INSERT OR IGNORE INTO words VALUES ('completed'), ('failed')");
    }
    for raise in ["RAISE(ABORT, 'no')", "RAISE(IGNORE)"] {
        let place = Place::sqlite();
        place.sql("CREATE TABLE training_records (id INTEGER PRIMARY KEY, status TEXT)");
        place.sql(&format!("CREATE TRIGGER raises BEFORE INSERT ON training_records BEGIN SELECT {raise}; END"));
        assert_verdict(&place, raise, false);
        assert!(findings(&place)[0].starts_with("the trigger raises refuses each"), "{:?}", findings(&place));
    }

    let insert = instead("INSERT", "INSERT INTO jobs VALUES (NEW.id, NEW.status)");
    let update = instead("UPDATE", "UPDATE jobs SET status = NEW.status WHERE id = NEW.id");
    for (kind, triggers, is_fit) in [
        ("TEXT PRIMARY KEY", &[][..], false),
        ("TEXT PRIMARY KEY", &[&insert], false),
        ("TEXT PRIMARY KEY", &[&insert, &update], true),
        ("INTEGER PRIMARY KEY", &[&insert, &update], false),
    ] {
        let place = Place::sqlite();
        place.sql(&format!("CREATE TABLE jobs (id {kind}, status TEXT)"));
        place.sql("CREATE VIEW training_records AS SELECT id, status FROM jobs");
        for trigger in triggers {
            place.sql(trigger);
        }
        assert_verdict(&place, &format!("{kind} {triggers:?}"), is_fit);
    }
}

#[test]
fn printed_repair_makes_each_table_fit() {
    const COLUMNS: &str = "id SERIAL PRIMARY KEY, version TEXT, train_end_time TIMESTAMPTZ";
    for (table, parts) in [
        (
            "CREATE TYPE state AS ENUM ('TRAINING', 'COMPLETED', 'FAILED'); {t} (id SERIAL PRIMARY KEY, status state)",
            &["column status: its type state does not take training, completed, failed"][..],
        ),
        (
            "CREATE TYPE \"St\" AS ENUM ('training', 'success', 'failed');
          {t} ({c}, status \"St\" NOT NULL DEFAULT 'training')",
            &["does not take completed"],
        ),
        ("{t} ({c}, status TEXT NOT NULL CHECK (status IN ('training', 'success', 'failed')))", &["refuses completed"]),
        (
            "{t} ({c}, status VARCHAR(16) CONSTRAINT \"a b\" CHECK (status IN ('TRAINING')))",
            &["the constraint a b refuses training, completed, failed"],
        ),
        ("{t} ({c}, status VARCHAR(8))", &["column status: its type character varying(8) does not take completed"]),
        (
            "{t} ({c}, status CHAR(7) CHECK (status <> 'failed'))",
            &["does not take training, completed", "refuses failed"],
        ),
        ("CREATE DOMAIN word AS VARCHAR(8); {t} ({c}, status word)", &["its type word does not take completed"]),
        (
            "CREATE DOMAIN word AS TEXT CHECK (VALUE IN ('on', 'off')); {t} ({c}, status word)",
            &["its type word does not take training, completed, failed"],
        ),
        (
            "CREATE TYPE st AS ENUM ('TRAINING', 'DONE');
             {t} (id SERIAL PRIMARY KEY, status st CHECK (status IN ('TRAINING', 'DONE')))",
            &["its type st does not take training, completed, failed", "refuses training, completed, failed"],
        ),
        (
            "CREATE TYPE st AS ENUM ('training', 'failed'); {t} (id SERIAL PRIMARY KEY, status st CHECK (status <> 'failed'))",
            &["its type st does not take completed", "refuses failed"],
        ),
        (
            "{t} ({c}, status VARCHAR(8) CHECK (status IN ('training', 'complete', 'failed')))",
            &["character varying(8) does not take completed", "refuses completed"],
        ),
        ("{t} ({c}, status INTEGER DEFAULT 0)", &["column status: its type integer does not take training"]),
        ("{t} ({c}, status TEXT, train_duration SMALLINT)", &["column train_duration: its type smallint"]),
        ("{t} (id SERIAL PRIMARY KEY, status TEXT, version UUID NOT NULL)", &["column version: its type uuid"]),
        (
            "{t} (id SERIAL PRIMARY KEY, status TEXT, train_end_time INTEGER, error_message JSONB)",
            &["column train_end_time: ", "column error_message: "],
        ),
        (
            "{t} ({c}, status TEXT, owner TEXT NOT NULL, train_duration BIGINT NOT NULL)",
            &["column owner: it is NOT NULL", "column train_duration: it is NOT NULL"],
        ),
        (
            "{t} (id INTEGER PRIMARY KEY, status TEXT); INSERT INTO training_records VALUES (7, 'failed')",
            &["column id: it is NOT NULL without a default"],
        ),
        ("{t} (id SERIAL PRIMARY KEY, state TEXT)", &["column status: the table"]),
        ("{t} (status TEXT); INSERT INTO training_records VALUES ('failed')", &["column id: the table"]),
        (
            "{t} (id INTEGER, status TEXT); INSERT INTO training_records VALUES (7, 'failed')",
            &["column id: it has no default"],
        ),
    ] {
        let place = Place::postgres();
        place.open().migrate().unwrap();
        let statements = table.replace("{t}", "CREATE TABLE training_records").replace("{c}", COLUMNS);
        place.sql(&format!("DROP TABLE training_records; {statements}"));
        assert_repaired(&place, &place, parts);
        begin(&place, &run("cifar"));
    }
}

/// A role that may connect and nothing else, in a database whose tables are in the schema `ml`.
fn stranger(place: &Place, role: &str) -> Place {
    place.sql(&format!("CREATE ROLE {role} LOGIN; CREATE SCHEMA ml"));
    let target = PostgresTarget { user: role.into(), ..place.postgres_target().clone() };
    Place { table: "ml.training_records".into(), ..Place::at_postgres(target) }
}

#[test]
fn missing_rights_are_named_and_granted() {
    let owner = Place::postgres();
    let seen = stranger(&owner, "right_less");
    // Schema, tables and rights at once.
    let repair = printed(&seen);
    owner.sql(&repair);
    owner.sql(&repair);
    begin(&seen, &run("cifar"));

    owner.sql("REVOKE USAGE ON SCHEMA ml FROM right_less");
    assert_repaired(
        &seen,
        &owner,
        &["no right USAGE on the schema ml | GRANT USAGE ON SCHEMA \"ml\" TO \"right_less\""],
    );
    owner.sql("REVOKE UPDATE ON ml.training_records FROM right_less");
    assert_repaired(&seen, &owner, &["no right UPDATE on \"ml\".\"training_records\" | GRANT UPDATE ON"]);
    owner.sql(
        "REVOKE UPDATE ON ml.training_records FROM right_less;
         GRANT UPDATE (status, train_start_time, train_end_time, train_duration, train_metrics, model_path)
            ON ml.training_records TO right_less",
    );
    assert_repaired(&seen, &owner, &["no right UPDATE (\"error_message\") on column error_message of"]);
    owner.sql("REVOKE ALL ON ml.runwrap_runs FROM right_less; REVOKE SELECT ON ml.runwrap_versions FROM right_less");
    assert_repaired(&seen, &owner, &["SELECT, INSERT, UPDATE on runwrap_runs", "no right SELECT on runwrap_versions"]);
    owner.sql("REVOKE INSERT ON ml.runwrap_series FROM right_less");
    // A run has its record, and no curves.
    assert_eq!(seen.open().unfit_for(&[]).unwrap(), Vec::new());
    assert_repaired(&seen, &owner, &["no right INSERT on runwrap_series"]);
    owner.sql("DROP TABLE ml.training_records; CREATE TABLE ml.training_records (id SERIAL PRIMARY KEY, status TEXT)");
    owner.sql("GRANT SELECT, INSERT, UPDATE ON ml.training_records TO right_less");
    assert_repaired(&seen, &owner, &["column id: the role right_less has no right USAGE on its sequence"]);
    begin(&seen, &run("cifar"));
}

#[test]
fn schema_that_is_missing_is_printed() {
    let place = Place::postgres();
    let seen = Place { table: "ml.\"Training Records\"".into(), ..Place::at(place.target.clone()) };
    let repair = printed(&seen);
    place.sql(&repair);
    place.sql(&repair);
    begin(&seen, &run("cifar"));
    assert_eq!(printed(&seen), "BEGIN;\n\nCOMMIT;\n");
}
