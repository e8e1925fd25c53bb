//! Heartbeats: they go on after a refusal, and a request to stop is one at once.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::postgres::Postgres;
use crate::support::site::{Running, Site, output, start};
use crate::support::wait::wait_until;

/// The end of a short run connected again, milliseconds after its begin.
#[test]
fn short_run_makes_one_connection_and_a_long_one_holds_none() {
    let site = Site::postgres();
    assert!(output(&mut site.runwrap(&["migrate"])).status.success());
    site.sql(
        "CREATE TABLE backends (record text, pid integer);
         CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN INSERT INTO backends VALUES (NEW.id, pg_backend_pid()); RETURN NEW; END $$;
         CREATE TRIGGER seen BEFORE INSERT OR UPDATE ON training_records FOR EACH ROW EXECUTE FUNCTION seen()",
    );
    // A busy machine may take longer than the connection waits.
    wait_until("a run with one connection", || {
        assert!(site.run(&[], "true").status.success());
        site.sql("SELECT count(*), count(DISTINCT pid) FROM backends GROUP BY record").lines().any(|line| line == "2|1")
    });
    let mut running =
        start(site.shell(&["--heartbeat", "1m"], "echo ready; read -r _").stdin(Stdio::piped()).stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    let held =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'runwrap'";
    wait_until("no connection is held", || site.sql(held) == "0\n");
    running.say("");
    assert!(running.end().success());
}

/// A run whose heartbeat was refused once fell silent for good, and another host presumed it lost.
// Holds: failures/database-right-revoked
#[test]
fn heartbeats_go_on_after_a_refusal() {
    let site = Site::postgres();
    assert!(output(&mut site.runwrap(&["migrate"])).status.success());
    let role = format!("worker_{}", site.url().rsplit('/').next().unwrap());
    site.sql(&format!(
        "CREATE ROLE {role} LOGIN; GRANT SELECT, INSERT, UPDATE ON training_records, runwrap_runs, runwrap_versions TO {role}"
    ));
    let url = site.url().replace("admin@", &format!("{role}@"));
    check_refused(
        &site,
        |command| _ = command.env("RUNWRAP_DATABASE_URL", &url),
        || _ = site.sql(&format!("REVOKE UPDATE ON runwrap_runs FROM {role}")),
        || _ = site.sql(&format!("GRANT UPDATE ON runwrap_runs TO {role}")),
    );
}

// Holds: failures/database-right-revoked
#[test]
fn heartbeats_go_on_once_the_passfile_has_the_new_password() {
    let server = Postgres::private();
    let site = Site::on(&server);
    assert!(output(&mut site.runwrap(&["migrate"])).status.success());
    let name = site.url().rsplit('/').next().unwrap();
    let passfile = |password: &str| {
        let path = site.path().join(".pgpass");
        std::fs::write(&path, format!("*:*:*:*:{password}\n")).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    };
    site.sql("CREATE ROLE walled LOGIN SUPERUSER PASSWORD 'first'");
    passfile("first");
    let url = format!("postgres://walled@127.0.0.1:{}/{name}?sslmode=disable", server.port());
    let give = |command: &mut Command| _ = command.env("RUNWRAP_DATABASE_URL", &url);
    check_refused(&site, give, || _ = site.sql("ALTER ROLE walled PASSWORD 'second'"), || passfile("second"));
}

/// A secret of Kubernetes is a file, which changes during a run.
// Holds: failures/database-right-revoked
#[test]
fn heartbeats_go_on_once_the_url_file_has_the_new_password() {
    let server = Postgres::private();
    let site = Site::on(&server);
    assert!(output(&mut site.runwrap(&["migrate"])).status.success());
    let name = site.url().rsplit('/').next().unwrap();
    let url = |password: &str| {
        let place = format!("127.0.0.1:{}/{name}?sslmode=disable", server.port());
        std::fs::write(site.path().join("url"), format!("postgres://walled:{password}@{place}\n")).unwrap();
    };
    site.sql("CREATE ROLE walled LOGIN SUPERUSER PASSWORD 'first'");
    url("first");
    let give = |command: &mut Command| {
        command.env_remove("RUNWRAP_DATABASE_URL").env("RUNWRAP_DATABASE_URL_FILE", "url");
    };
    check_refused(&site, give, || _ = site.sql("ALTER ROLE walled PASSWORD 'second'"), || url("second"));
}

/// One run whose heartbeats are refused between `refuse` and `permit`.
fn check_refused(site: &Site, give: impl Fn(&mut Command), refuse: impl FnOnce(), permit: impl FnOnce()) {
    let mut command = site.shell(&["--heartbeat", "100ms"], "echo ready; read -r line; true");
    give(&mut command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = start(&mut command);
    assert_eq!(running.line(), "ready");
    wait_until("the first heartbeat", || site.record()["pid"].is_i64());
    // Afterwards a missing right is no finding about the table.
    wait_until("the look at the table", || site.log().contains("event=table_examined"));
    refuse();
    wait_until("several refusals", || site.log().matches("event=attempt_failed").count() > 2);
    let before = site.record()["heartbeat_at"].clone();
    permit();
    wait_until("the next heartbeat", || site.record()["heartbeat_at"] != before);
    // The supervisor may have it only after the record shows the heartbeat.
    wait_until("the message", || site.log().contains("the database accepts the record of the run now"));
    running.close_stdin();
    assert!(running.end().success());
    site.quiet();
    assert_eq!(site.record()["reason"], "success");
    let messages = running.errors();
    assert_eq!(messages.matches("hint: ").count(), 1, "{messages}");
    assert_eq!(messages.matches("the database accepts the record of the run now").count(), 1, "{messages}");
}

/// Two runs with heartbeats every 100 ms, one on each store. Their keepers need only the runs' rows from here on, for a lease.
fn silent_runs(lease: &str) -> [(Site, Running); 2] {
    [Site::sqlite(), Site::postgres()].map(|site| {
        let script = "echo '{\"metrics\": {\"loss\": 1}}' >> $RUNWRAP_REPORT; echo ready; read -r line; true";
        let mut command = site.shell(&["--heartbeat", "100ms", "--lease", lease], script);
        let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        assert_eq!(running.line(), "ready");
        wait_until("the first metrics", || site.record()["train_metrics"] == json!({"loss": 1}));
        wait_until("the look at the table", || site.log().contains("event=table_examined"));
        (site, running)
    })
}

/// Waits for the second heartbeat from now.
fn await_heartbeats(site: &Site) {
    for _ in 0..2 {
        let beat = || site.sql("SELECT heartbeat_at FROM runwrap_runs");
        let before = beat();
        wait_until("a heartbeat", || beat() != before);
    }
}

fn end(site: &Site, mut running: Running) {
    running.close_stdin();
    assert!(running.end().success());
    site.quiet();
    let record = site.record();
    assert_eq!((&record["reason"], &record["train_metrics"]), (&json!("success"), &json!({"loss": 1})));
    assert_eq!(site.sql("SELECT count(*) FROM runwrap_runs"), "1\n");
}

#[test]
fn silent_heartbeats_renew_the_lease_without_the_users_table() {
    for (site, running) in silent_runs("1h") {
        site.sql("ALTER TABLE training_records RENAME TO elsewhere");
        await_heartbeats(&site);
        site.sql("ALTER TABLE elsewhere RENAME TO training_records");
        assert_eq!(site.log().matches("event=attempt_failed").count(), 0);
        end(&site, running);
    }
}

// Holds: failures/row-deleted
#[test]
fn silent_run_whose_row_was_deleted_ends_with_one_row() {
    for (site, running) in silent_runs("1h") {
        site.sql("DELETE FROM training_records");
        await_heartbeats(&site);
        assert_eq!(site.sql("SELECT count(*) FROM training_records"), "0\n");
        end(&site, running);
    }
}

// Holds: failures/row-deleted
#[test]
fn silent_run_gets_a_deleted_row_back_within_a_lease() {
    for (site, running) in silent_runs("1s") {
        site.sql("DELETE FROM training_records");
        wait_until("the row", || site.sql("SELECT count(*) FROM training_records") == "1\n");
        end(&site, running);
    }
}

#[test]
fn silent_run_that_was_presumed_lost_comes_back() {
    for (site, running) in silent_runs("1h") {
        // Both rows as a presumption leaves them. A keeper that is stopped for a real one may hold a lock.
        site.sql(
            "UPDATE training_records SET status = 'failed', train_end_time = train_start_time;
             UPDATE runwrap_runs SET reason = 'lost', presumed = TRUE",
        );
        let record = site.record_that_is("training");
        assert_eq!((&record["reason"], &record["train_end_time"]), (&Value::Null, &Value::Null));
        end(&site, running);
    }
}

/// A pod without a volume: SIGTERM, a grace period, SIGKILL of every process.
// Holds: failures/stop-then-sigkill
#[test]
fn stop_request_is_in_the_record_before_the_end() {
    for site in [Site::sqlite(), Site::postgres()] {
        let script = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
        let mut running = start(site.shell(&["--heartbeat", "1h", "--lease", "2h"], script).stdout(Stdio::piped()));
        assert_eq!(running.line(), "ready");
        wait_until("the first heartbeat", || site.record()["pid"].is_i64());
        std::fs::write(site.run_directories()[0].join("report.jsonl"), "{\"metrics\": {\"loss\": 3}}\n").unwrap();
        running.signal("TERM");
        wait_until("the request in the record", || site.record()["stop_signal"] == "SIGTERM");
        let record = site.record();
        assert_eq!((&record["status"], &record["train_metrics"]), (&json!("training"), &json!({"loss": 3})));
        site.lose();
        running.end();
    }
}
