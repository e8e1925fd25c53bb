//! Findings that only PostgreSQL has.

use runwrap::record::{Change, Progress, Run};

use super::{assert_verdict, assert_verdict_of, findings, printed, stranger};
use crate::store::place::{Place, begin, run, success};

/// The server names the type `bpchar`, which was no type that takes a UUID.
#[test]
fn run_records_itself_under_a_padded_id() {
    for kind in ["char(36)", "char(32)", "char(40)", "varchar(36)"] {
        let place = Place::postgres();
        place.sql(&format!("CREATE TABLE training_records (id {kind} PRIMARY KEY, status text)"));
        assert_eq!(findings(&place), Vec::<String>::new(), "{kind}");
        let run = run("cifar");
        let begun = begin(&place, &run);
        let id = begun.record_id.0.clone();
        assert_eq!(id.replace('-', ""), run.run_id.0.simple().to_string(), "{kind}");
        place.open().apply(run.run_id, &Change::Finalize(Progress::default(), success())).unwrap();
        assert_eq!(place.show(&id)["status"], "completed", "{kind}");
    }
}

/// A domain is judged by the type below it, and a trigger may fill or change a column that it names.
#[test]
fn column_that_the_database_fills_or_changes_is_no_finding() {
    for (table, is_fit) in [
        ("CREATE DOMAIN uid AS uuid; {t} (id uid NOT NULL, status text)", true),
        ("CREATE DOMAIN num AS integer; {t} (id num NOT NULL, status text)", false),
        (
            "CREATE SEQUENCE ids; {t} (id bigint NOT NULL, status text, owner text NOT NULL);
             CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN NEW.id := nextval(''ids''); NEW.owner := ''me''; RETURN NEW; END';
             CREATE TRIGGER fills BEFORE INSERT ON training_records FOR EACH ROW EXECUTE FUNCTION fill()",
            true,
        ),
        (
            "CREATE TABLE jobs (id serial PRIMARY KEY, status text); {t} (id bigint, status text);
             CREATE RULE routes AS ON INSERT TO training_records DO INSTEAD
                INSERT INTO jobs (status) VALUES (NEW.status) RETURNING CAST(id AS bigint), status",
            true,
        ),
        (
            "{t} (id serial PRIMARY KEY, status text CHECK (status IN ('TRAINING', 'COMPLETED', 'FAILED')));
             CREATE FUNCTION fold() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN NEW.status := upper(NEW.status); RETURN NEW; END';
             CREATE TRIGGER folds BEFORE INSERT OR UPDATE ON training_records FOR EACH ROW EXECUTE FUNCTION fold()",
            true,
        ),
        (
            "{t} (id serial PRIMARY KEY, status text CHECK (status <> 'completed'), changed_at timestamptz);
             CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN NEW.changed_at := now(); RETURN NEW; END';
             CREATE TRIGGER stamps BEFORE UPDATE ON training_records FOR EACH ROW EXECUTE FUNCTION stamp()",
            false,
        ),
        (
            "CREATE TABLE jobs (id serial PRIMARY KEY, status text); CREATE VIEW training_records AS SELECT * FROM jobs",
            true,
        ),
    ] {
        let place = Place::postgres();
        place.sql(&table.replace("{t}", "CREATE TABLE training_records"));
        assert_verdict(&place, table, is_fit);
    }
}

/// Each was found only when the run began or ended.
#[test]
fn partition_and_foreign_key_without_a_row_are_named() {
    const LIST: &str =
        "{t} (id serial, status text) PARTITION BY LIST (status); CREATE TABLE part PARTITION OF training_records";
    const RANGE: &str =
        "{t} (id serial, status text, train_start_time timestamptz) PARTITION BY RANGE (train_start_time);
        CREATE TABLE part PARTITION OF training_records";
    const WORDS: &str =
        "CREATE TABLE words (word varchar(20) PRIMARY KEY); {t} (id serial, status text REFERENCES words)";
    for (table, found) in [
        (
            "{t} (id serial, status text) PARTITION BY LIST (status)".to_owned(),
            Some("takes training, completed, failed"),
        ),
        (format!("{LIST} FOR VALUES IN ('training')"), Some("no partition of the table takes completed, failed")),
        (format!("{LIST} FOR VALUES IN ('training', 'completed', 'failed')"), None),
        (format!("{LIST} DEFAULT"), None),
        (format!("{LIST} FOR VALUES IN ('training'); CREATE TABLE rest PARTITION OF training_records DEFAULT"), None),
        (format!("{RANGE} FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')"), Some("takes the time of the start")),
        (format!("{RANGE} FOR VALUES FROM ('2020-01-01') TO (MAXVALUE)"), None),
        (
            "{t} (id serial, status text, created_at timestamp DEFAULT now()) PARTITION BY RANGE (created_at);
             CREATE TABLE part PARTITION OF training_records FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')"
                .to_owned(),
            Some("column created_at: no partition of the table takes the time of the start"),
        ),
        (format!("{WORDS}; INSERT INTO words VALUES ('training'), ('done')"), Some("public.words has no such row")),
        (format!("{WORDS}; INSERT INTO words VALUES ('training'), ('completed'), ('failed')"), None),
    ] {
        let place = Place::postgres();
        place.sql(&table.replace("{t}", "CREATE TABLE training_records"));
        let lines = findings(&place);
        assert!(found.is_none_or(|part| lines.iter().any(|line| line.contains(part))), "{table}: {lines:?}");
        // The begin is late enough for the range.
        let run = Run { begun_at: chrono::Utc::now(), ..run("cifar") };
        assert_verdict_of(&place, &run, &table, found.is_none());
    }
}

#[test]
fn row_level_security_without_a_policy_is_named() {
    let owner = Place::postgres();
    let seen = stranger(&owner, "policy_less");
    owner.sql(&printed(&seen));
    owner.sql("ALTER TABLE ml.training_records ENABLE ROW LEVEL SECURITY");
    let found = findings(&seen);
    assert!(found.len() == 1 && found[0].contains("no policy that admits SELECT, INSERT, UPDATE of"), "{found:?}");
    assert_verdict(&seen, "no policy", false);
    owner.sql("CREATE POLICY reads ON ml.training_records FOR SELECT USING (TRUE)");
    owner.sql("CREATE POLICY of_others ON ml.training_records FOR ALL TO admin USING (TRUE)");
    assert!(findings(&seen)[0].contains("admits INSERT, UPDATE of"), "{:?}", findings(&seen));
    owner.sql("CREATE POLICY writes ON ml.training_records FOR ALL TO policy_less USING (TRUE)");
    assert_verdict(&seen, "policies", true);
    assert_eq!(findings(&owner), Vec::<String>::new());
}

#[test]
fn table_that_may_not_be_made_is_named() {
    let owner = Place::postgres();
    let seen = stranger(&owner, "make_less");
    owner.sql("GRANT USAGE ON SCHEMA ml TO make_less");
    let found = findings(&seen);
    assert!(found[0].starts_with("the table training_records is missing, and the role make_less may not"), "{found:?}");
    assert_verdict(&seen, "no right CREATE", false);
    let repair = printed(&seen);
    assert!(!repair.contains("By hand"), "{repair}");
    owner.sql(&repair);
    assert_verdict(&seen, "made", true);

    let nowhere = Place { table: "nowhere.records".into(), ..Place::at(seen.target.clone()) };
    assert!(findings(&nowhere)[0].starts_with("the schema of the table"), "{:?}", findings(&nowhere));
}

/// `check` exited 125.
#[test]
fn check_that_takes_long_is_no_finding() {
    let place = Place::postgres();
    place.sql(
        "CREATE TABLE training_records (
            id serial PRIMARY KEY, status text CHECK (pg_sleep(600) IS NOT NULL AND status <> '') CHECK (status <> 'failed'))",
    );
    let found = findings(&place);
    assert!(found.len() == 1 && found[0].contains("refuses failed"), "{found:?}");
}

/// No rehearsal proves it: a trigger may act outside of the transaction.
#[test]
fn trigger_that_returns_no_row_is_named() {
    let place = Place::postgres();
    place.sql(
        "CREATE TABLE training_records (id SERIAL PRIMARY KEY, status TEXT); CREATE TABLE part (LIKE training_records);
         CREATE FUNCTION route() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO part VALUES (NEW.*); RETURN NULL; END';
         CREATE TRIGGER routes BEFORE INSERT ON training_records FOR EACH ROW EXECUTE FUNCTION route()",
    );
    let found = findings(&place);
    assert!(found.len() == 1 && found[0].contains("the trigger routes returns no row"), "{found:?}");
    assert!(found[0].ends_with("let the function public.route return NEW") && printed(&place).contains("-- By hand: "));
    place.sql("ALTER TABLE training_records DISABLE TRIGGER routes");
    assert_eq!(findings(&place), Vec::<String>::new());
    place.sql("CREATE TRIGGER drops BEFORE UPDATE ON training_records FOR EACH ROW EXECUTE FUNCTION route()");
    let found = findings(&place);
    assert!(
        found.len() == 1 && found[0].contains("the trigger drops returns no row, and drops each change"),
        "{found:?}"
    );
    place.sql(
        "DROP TRIGGER drops ON training_records; CREATE TRIGGER drops BEFORE UPDATE OF id ON training_records FOR EACH ROW EXECUTE FUNCTION route()",
    );
    assert_eq!(findings(&place), Vec::<String>::new());
}

#[test]
fn view_that_takes_no_row_is_named() {
    let place = Place::postgres();
    place.sql(
        "CREATE TABLE jobs (id SERIAL PRIMARY KEY, status VARCHAR(4));
         CREATE VIEW training_records AS SELECT id, status FROM jobs GROUP BY id, status",
    );
    let found = findings(&place);
    assert!(found.iter().any(|line| line.contains("takes no INSERT")), "{found:?}");
    assert!(found.iter().any(|line| line.contains("column status") && line.contains("below the view")), "{found:?}");
}

/// One such repair undid all others, and the migrations.
#[test]
fn repair_that_would_fail_is_left_to_a_person() {
    for (table, obstacle) in [
        ("{t} (id serial, status varchar(8)); CREATE VIEW v AS SELECT status FROM training_records", "view v uses it"),
        (
            "{t} (id serial, status varchar(8), shown text GENERATED ALWAYS AS (upper(status)) STORED)",
            "column shown of",
        ),
        (
            "{t} (id serial, status varchar(8));
             CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
             CREATE TRIGGER keeps BEFORE UPDATE OF status ON training_records FOR EACH ROW EXECUTE FUNCTION keep()",
            "trigger keeps on",
        ),
        (
            "{t} (id serial, status varchar(8)) PARTITION BY LIST (status);
             CREATE TABLE part PARTITION OF training_records DEFAULT",
            "the partition key may use it",
        ),
        (
            "CREATE TABLE jobs (id serial, status varchar(8)) PARTITION BY RANGE (id);
             {t} PARTITION OF jobs FOR VALUES FROM (1) TO (MAXVALUE)",
            "it is inherited",
        ),
        (
            "CREATE TABLE jobs (id serial, status text CHECK (status <> 'completed')); {t} () INHERITS (jobs)",
            "the constraint is inherited",
        ),
        (
            "{t} (id serial, status text, train_duration bigint, PRIMARY KEY (id, train_duration))",
            "the primary key has it",
        ),
        (
            "{t} (id serial, status varchar(8)); ALTER TABLE training_records ENABLE ROW LEVEL SECURITY;
             CREATE POLICY p ON training_records USING (status <> '')",
            "policy p on",
        ),
    ] {
        let place = Place::postgres();
        place.sql(&table.replace("{t}", "CREATE TABLE training_records"));
        let script = printed(&place);
        let lines: Vec<&str> = script.lines().filter(|line| line.starts_with("-- By hand: ")).collect();
        assert!(lines.len() == 1 && lines[0].contains(obstacle), "{table}: {script}");
        assert!(lines[0].contains("ALTER TABLE"), "{script}");
        place.sql(&script);
        assert_eq!(findings(&place).len(), 1, "{script}");
    }
}

#[test]
fn column_that_a_view_computes_is_named() {
    const JOBS: &str = "CREATE TABLE jobs (id serial PRIMARY KEY, state text);";
    for (view, column) in [
        (
            "CREATE VIEW training_records AS SELECT id, upper(state) AS status FROM jobs",
            Some("column status: the view"),
        ),
        (
            "CREATE VIEW training_records AS SELECT id, state AS status, 'v' AS version FROM jobs",
            Some("column version: the view"),
        ),
        ("CREATE VIEW training_records AS SELECT id, state AS status, '{}' AS train_metrics FROM jobs", None),
        (
            "CREATE VIEW training_records AS SELECT id, upper(state) AS status FROM jobs;
             CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN IF TG_OP = ''UPDATE'' THEN UPDATE jobs SET state = NEW.status WHERE id = NEW.id;
                 ELSE INSERT INTO jobs (state) VALUES (NEW.status) RETURNING id INTO NEW.id; END IF; RETURN NEW; END';
             CREATE TRIGGER t INSTEAD OF INSERT OR UPDATE ON training_records FOR EACH ROW EXECUTE FUNCTION f()",
            None,
        ),
        ("CREATE MATERIALIZED VIEW training_records AS SELECT id, state AS status FROM jobs", Some("takes no INSERT")),
    ] {
        let place = Place::postgres();
        place.sql(&format!("{JOBS} {view}"));
        let found = findings(&place);
        assert!(column.is_none_or(|part| found.iter().any(|line| line.contains(part))), "{view}: {found:?}");
        assert_verdict(&place, view, column.is_none());
    }
}
