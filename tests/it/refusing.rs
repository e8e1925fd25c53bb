//! A table that refuses to change one record, by a trigger or a constraint: the other records are changed, and the refusal is
//! reported.

use serde_json::Value;

use crate::support::site::{Site, output};

/// Three records, of which a trigger protects the second.
fn guarded(rows: &str) -> [Site; 2] {
    let sites = [Site::sqlite(), Site::postgres()];
    for site in &sites {
        assert!(output(&mut site.runwrap(&["migrate"])).status.success());
        site.sql(rows);
    }
    let connection = rusqlite::Connection::open(sites[0].url().strip_prefix("sqlite:").unwrap()).unwrap();
    let guard = "CREATE TRIGGER guard BEFORE UPDATE ON training_records WHEN OLD.id = 2
                 BEGIN SELECT RAISE(ABORT, 'not this one'); END";
    connection.execute_batch(guard).unwrap();
    sites[1].sql(
        "CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF OLD.id = 2 THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END $$;
         CREATE TRIGGER guard BEFORE UPDATE ON training_records FOR EACH ROW EXECUTE FUNCTION guard()",
    );
    sites
}

fn statuses(site: &Site) -> String {
    site.sql("SELECT status FROM training_records ORDER BY id").replace('\n', " ")
}

/// One record that its table refused to change kept `recover` from ending the others.
// Holds: failures/repair-refused
#[test]
fn record_that_cannot_be_ended_blocks_no_other() {
    let rows = "INSERT INTO training_records (status, train_start_time, created_at) VALUES
        ('training', '2025-11-25 18:00:00', '2025-11-25 18:00:00'), ('training', '2025-11-25 18:00:00', '2025-11-25 18:00:00'),
        ('training', '2025-11-25 18:00:00', '2025-11-25 18:00:00')";
    for site in guarded(rows) {
        for arguments in [&["recover", "--stuck-after", "24h", "--dry-run"][..], &["recover", "--stuck-after", "24h"]] {
            let recovered = output(&mut site.runwrap(arguments));
            let (out, err) =
                (String::from_utf8(recovered.stdout).unwrap(), String::from_utf8(recovered.stderr).unwrap());
            assert_eq!((recovered.status.code(), out.lines().count()), (Some(125), 2), "{out}{err}");
            assert!(err.contains("record 2: ") && err.contains("not this one"), "{err}");
            assert!(err.contains("1 record could not be ended"), "{err}");
        }
        assert_eq!(statuses(&site), "failed training failed ");
    }
}

// Holds: failures/repair-refused
#[test]
fn lost_run_that_cannot_be_ended_blocks_no_other() {
    for site in guarded("SELECT 1") {
        for _ in 0..3 {
            assert!(site.run(&[], "true").status.success());
        }
        site.quiet();
        // As a host that was lost leaves them.
        let guard = "training_records ENABLE TRIGGER guard";
        if site.url().starts_with("sqlite") {
            site.sql("DROP TRIGGER guard; UPDATE training_records SET status = 'training'");
            let connection = rusqlite::Connection::open(site.url().strip_prefix("sqlite:").unwrap()).unwrap();
            let guard = "CREATE TRIGGER guard BEFORE UPDATE ON training_records WHEN OLD.id = 2
                         BEGIN SELECT RAISE(ABORT, 'not this one'); END";
            connection.execute_batch(guard).unwrap();
        } else {
            site.sql(&format!(
                "ALTER TABLE training_records DISABLE TRIGGER guard; UPDATE training_records SET status = 'training'; ALTER TABLE {guard}"
            ));
        }
        site.sql(
            "UPDATE runwrap_runs SET reason = NULL, exit_code = NULL, heartbeat_at = '2025-11-26 18:00:00', lease_seconds = 0",
        );
        let recovered = output(&mut site.runwrap(&["recover"]));
        assert_eq!(recovered.status.code(), Some(125));
        assert_eq!(statuses(&site), "failed training failed ");
    }
}

// Holds: failures/repair-refused
#[test]
fn record_that_cannot_be_fixed_blocks_no_other() {
    let rows = "INSERT INTO training_records (status, train_start_time, train_end_time) VALUES
        ('completed', '2025-11-25 18:00:00', '2025-11-25 18:01:00'), ('completed', '2025-11-25 18:00:00', '2025-11-25 18:01:00'),
        ('completed', '2025-11-25 18:00:00', '2025-11-25 18:01:00')";
    for site in guarded(rows) {
        let checked = output(&mut site.runwrap(&["check", "--fix", "--json"]));
        let found: Vec<Value> = serde_json::from_slice(&checked.stdout).unwrap();
        let repairs: Vec<&str> = found.iter().map(|finding| finding["repair"].as_str().unwrap()).collect();
        assert_eq!((checked.status.code(), repairs), (Some(1), vec!["done", "runwrap check --fix", "done"]));
        assert!(String::from_utf8(checked.stderr).unwrap().contains("not this one"));
    }
}
