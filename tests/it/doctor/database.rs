//! `doctor` on databases: away, silent, a standby, without a right, and with tables that take no record or only a part of one.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{assert_fails, detail, doctor, examined, failures, of_state};
use crate::support::pgbouncer::PgBouncer;
use crate::support::postgres::Postgres;
use crate::support::site::{Site, output, start};

// Also: the rehearsed runs take no version number, and a run that goes on is left alone.
#[test]
fn well_database_with_a_live_run_is_left_as_it_is() {
    for site in [Site::sqlite(), Site::postgres()] {
        for script in ["exit 0", "exit 3"] {
            site.run(&["--name", "demo"], script);
        }
        site.quiet();
        let (status, lines) = doctor(&site, &["--name", "demo", "--model-path", "/m.pt"]);
        assert_eq!((status, failures(&lines)), (0, Vec::new()));
        assert!(detail(&lines, "rehearsal").contains("rolled back"), "{lines:#?}");
        assert!(detail(&lines, "schema").starts_with("migration 9 of 9"), "{lines:#?}");
        assert!(detail(&lines, "clock").contains("within"), "{lines:#?}");

        let mut command = site.shell(&["--name", "demo"], "echo ready; read -r line; exit 4");
        let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        assert_eq!(running.line(), "ready");
        let (status, lines) = examined(&output(&mut site.runwrap(&["doctor", "--json", "--name", "demo"])));
        assert_eq!((status, detail(&lines, "journals")), (0, "none waits for its delivery"));
        running.close_stdin();
        assert_eq!(running.end().code(), Some(4));
        let versions: Vec<Value> = site.records().iter().map(|record| record["version"].clone()).collect();
        assert_eq!(versions, [json!("v3"), json!("v2"), json!("v1")]);
    }
}

#[test]
fn database_without_tables_gets_none() {
    for site in [Site::sqlite(), Site::postgres()] {
        site.sql("CREATE TABLE other (id INTEGER PRIMARY KEY)");
        let (status, lines) = doctor(&site, &[]);
        assert_eq!((status, failures(&lines)), (0, Vec::new()));
        assert!(detail(&lines, "schema").contains("the next run makes the missing tables"), "{lines:#?}");
        let (status, lines) = doctor(&site, &["--no-migrate"]);
        assert_eq!(status, 1);
        assert_fails(&lines, &["schema: migration 0 of 9", "--no-migrate", "runwrap migrate --print"]);
    }
}

/// runwrap's own tables are there, and the user's was dropped: the rehearsal once would have announced a new one.
#[test]
fn dropped_table_is_not_announced_as_made() {
    for site in [Site::sqlite(), Site::postgres()] {
        assert!(site.run(&[], "true").status.success());
        site.quiet();
        site.sql("DROP TABLE training_records");
        let (status, lines) = doctor(&site, &[]);
        assert_eq!((status, failures(&lines)), (0, Vec::new()));
        assert!(detail(&lines, "schema").contains("the table of the records is missing"), "{lines:#?}");
        assert!(detail(&lines, "rehearsal").contains("rolled back"), "{lines:#?}");
    }
}

#[test]
fn database_that_is_away_or_silent_is_a_failure() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    for (port, part) in [(1, "onnection refused"), (silent_port, "did not answer within 300ms")] {
        let site = Site::with_url(&format!("postgres://u:hunter2@127.0.0.1:{port}/d"));
        let began = Instant::now();
        let (status, lines) = doctor(&site, &["--start-timeout", "300ms"]);
        assert!(began.elapsed() < Duration::from_secs(20));
        assert_eq!(status, 1);
        assert_fails(&lines, &["database: ", part]);
        assert!(!format!("{lines:?}").contains("hunter2"), "{lines:#?}");
        // The other checks are made all the same.
        assert!(detail(&lines, "locks").contains("is freed") && detail(&lines, "kernel").starts_with("Linux "));
    }
}

#[test]
fn role_without_a_right_is_a_failure_with_its_grant() {
    let site = Site::postgres();
    assert!(site.run(&[], "true").status.success());
    site.quiet();
    site.sql(
        "DROP ROLE IF EXISTS reads_only; CREATE ROLE reads_only LOGIN;
         GRANT SELECT, INSERT, UPDATE ON runwrap_runs, runwrap_versions, runwrap_series TO reads_only;
         GRANT SELECT ON runwrap_migrations TO reads_only;
         GRANT SELECT, UPDATE ON training_records TO reads_only",
    );
    let url = site.url().replace("admin@", "reads_only@");
    let (status, lines) = doctor(&site, &["--database-url", &url]);
    let found = failures(&lines);
    assert_eq!((status, found.len()), (1, 2), "{found:#?}");
    assert!(
        found[0].contains("rights: the role reads_only has no right INSERT") && found[0].contains("| GRANT INSERT")
    );
    assert!(found[1].starts_with("rehearsal: "), "{found:#?}");
    // The printed repair is enough.
    let grants: Vec<&str> =
        lines.iter().filter(|line| line.check == "rights").filter_map(|line| line.repair.as_deref()).collect();
    site.sql(grants[0]);
    let (status, lines) = doctor(&site, &["--database-url", &url]);
    assert_eq!((status, failures(&lines)), (0, Vec::new()));
    assert_eq!(detail(&lines, "rights"), "the role reads_only may read and write the tables");
}

#[test]
fn enum_without_a_word_is_a_failure_with_its_repair() {
    let site = Site::postgres();
    site.sql(
        "CREATE TYPE state AS ENUM ('training', 'completed');
         CREATE TABLE training_records (id SERIAL PRIMARY KEY, status state)",
    );
    let (status, lines) = doctor(&site, &[]);
    let found = failures(&lines);
    assert_eq!((status, found.len()), (1, 2), "{found:#?}");
    assert!(found[0].contains("table: column status: ") && found[0].contains("ALTER TYPE"), "{found:#?}");
    assert!(found[1].starts_with("rehearsal: "), "{found:#?}");
}

/// Only the rehearsal shows these: no catalog has them.
#[test]
fn trigger_that_refuses_an_end_fails_the_rehearsal() {
    let [sqlite, postgres, deferred] = [Site::sqlite(), Site::postgres(), Site::postgres()];
    for site in [&sqlite, &postgres, &deferred] {
        assert!(output(&mut site.runwrap(&["migrate"])).status.success());
    }
    let connection = rusqlite::Connection::open(sqlite.url().strip_prefix("sqlite:").unwrap()).unwrap();
    let guard = "CREATE TRIGGER guard BEFORE UPDATE ON training_records WHEN NEW.status = 'failed'
                 BEGIN SELECT RAISE(ABORT, 'no failures here'); END";
    connection.execute_batch(guard).unwrap();
    drop(connection);
    for (site, kind) in [
        (&postgres, "TRIGGER guard BEFORE UPDATE ON training_records"),
        (&deferred, "CONSTRAINT TRIGGER guard AFTER UPDATE ON training_records DEFERRABLE INITIALLY DEFERRED"),
    ] {
        site.sql(&format!(
            "CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN IF NEW.status = 'failed' THEN RAISE EXCEPTION 'no failures here'; END IF; RETURN NEW; END $$;
             CREATE {kind} FOR EACH ROW EXECUTE FUNCTION guard()"
        ));
    }
    for site in [&sqlite, &postgres, &deferred] {
        let (status, lines) = doctor(site, &[]);
        assert_eq!(status, 1);
        assert_fails(&lines, &["rehearsal: ", "no failures here"]);
    }
}

#[test]
fn column_that_runs_fill_needs_the_same_option() {
    for site in [Site::sqlite(), Site::postgres()] {
        let id = if site.url().starts_with("sqlite") { "INTEGER PRIMARY KEY" } else { "SERIAL PRIMARY KEY" };
        site.sql(&format!("CREATE TABLE training_records (id {id}, status TEXT, owner TEXT NOT NULL)"));
        let (status, lines) = doctor(&site, &[]);
        assert_eq!(status, 1);
        assert_fails(&lines, &["table: column owner: it is NOT NULL"]);
        let (status, lines) = doctor(&site, &["--set", "owner=ann"]);
        assert_eq!((status, failures(&lines)), (0, Vec::new()));
        assert!(site.run(&["--set", "owner=ann"], "true").status.success());
        site.quiet();
        let (status, lines) = doctor(&site, &[]);
        assert_eq!((status, failures(&lines)), (0, Vec::new()));
        let warnings = of_state(&lines, "warning");
        assert!(warnings.iter().any(|line| line.contains("runwrap doctor --set owner=VALUE")), "{warnings:#?}");
    }
}

#[test]
fn standby_takes_no_record() {
    let primary = Postgres::private();
    let standby = primary.standby();
    let url = format!("postgres://admin@127.0.0.1:{}/postgres", standby.port());
    let (status, lines) = examined(&output(&mut Site::with_url(&url).runwrap(&["doctor", "--json"])));
    assert_eq!(status, 1);
    assert_fails(&lines, &["database: ", "a standby", "target_session_attrs"]);
    // `prefer`, on a server with a certificate.
    assert!(detail(&lines, "tls").contains("by TLSv1.3"), "{lines:#?}");
}

#[test]
fn server_without_fsync_is_named() {
    // The shared server runs without fsync.
    let site = Site::postgres();
    let (status, lines) = doctor(&site, &[]);
    assert_eq!((status, failures(&lines)), (0, Vec::new()));
    let warnings = of_state(&lines, "warning");
    assert!(warnings.iter().any(|line| line.starts_with("database: ") && line.contains("fsync")), "{warnings:#?}");
}

/// The rehearsal ends with a rollback, and not with the end of its connection: that is the pooler's.
#[test]
fn pooler_gets_its_connection_back() {
    let (server, site) = (Postgres::shared(), Site::postgres());
    let name = site.url().rsplit('/').next().unwrap();
    let pooler = PgBouncer::before(server, 1);
    let port = pooler.target(&server.target(name)).hosts[0].port;
    let url = format!("postgres://admin@127.0.0.1:{port}/{name}?sslmode=disable");
    let (status, lines) = doctor(&site, &["--database-url", &url]);
    assert_eq!((status, failures(&lines)), (0, Vec::new()));
    // The only connection of the pool.
    assert!(site.run(&["--database-url", &url, "--require-database"], "true").status.success());
    let idle = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    assert_eq!(site.sql(idle), "0\n");
}

/// `127.1` is another name of this host, which `doctor` takes for one of the network.
#[test]
fn connection_without_tls_over_a_network_is_a_warning() {
    let (server, site) = (Postgres::shared(), Site::postgres());
    let name = site.url().rsplit('/').next().unwrap();
    for (sslmode, state, part) in [
        ("disable", "warning", "is not encrypted"),
        ("prefer", "warning", "a connection without TLS is permitted"),
        ("require", "ok", "certificate of the server not verified"),
    ] {
        let url = format!("postgres://admin@127.1:{}/{name}?sslmode={sslmode}", server.port());
        let (status, lines) = doctor(&site, &["--database-url", &url]);
        assert_eq!((status, failures(&lines)), (0, Vec::new()));
        let found = of_state(&lines, state);
        assert!(found.iter().any(|line| line.starts_with("tls: ") && line.contains(part)), "{sslmode}: {lines:#?}");
    }
}

#[test]
fn refused_value_that_a_record_does_without_is_a_warning() {
    for site in [Site::sqlite(), Site::postgres()] {
        let id = if site.url().starts_with("sqlite") { "INTEGER PRIMARY KEY" } else { "SERIAL PRIMARY KEY" };
        let metrics = "train_metrics TEXT CHECK (train_metrics IS NULL)";
        site.sql(&format!("CREATE TABLE training_records (id {id}, status TEXT, {metrics})"));
        let (status, lines) = doctor(&site, &[]);
        assert_eq!((status, failures(&lines)), (0, Vec::new()));
        assert!(detail(&lines, "rehearsal").contains("refused the values of train_metrics"), "{lines:#?}");
    }
}
