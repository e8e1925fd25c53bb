//! Faults of the database at the start, during and at the end of a run: the trainer starts in time and receives its signals at
//! once, runwrap ends in time, and there is one true record once the fault is over.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;
use serde_json::json;

use crate::support::postgres::{Postgres, connect};
use crate::support::proxy::{Mode, Proxy};
use crate::support::site::{Running, Site, kill, output, start};
use crate::support::wait::wait_until;

/// How long a run may wait for the database, at the start and at the end.
const WAIT: &str = "300ms";
/// [`WAIT`] with room for a busy machine.
const WAIT_MAX: Duration = Duration::from_secs(4);
/// How long a signal and its answer may take: less than any wait for the database.
const RELAY_MAX: Duration = Duration::from_secs(2);

/// When the fault begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    Start,
    Middle,
    End,
}

const SINCE: [Since; 3] = [Since::Start, Since::Middle, Since::End];

/// One run with a fault from `ill` at `since` to `well`, after the end of the supervisor.
fn check(site: &Site, since: Since, ill: impl FnOnce(), well: impl FnOnce()) {
    let mut ill = Some(ill);
    let mut fall_ill = |moment: Since| {
        if moment == since {
            ill.take().unwrap()();
        }
    };
    // The fault hits only the run, not the migration.
    assert!(output(&mut site.runwrap(&["migrate"])).status.success());
    fall_ill(Since::Start);
    let script = "trap 'echo heard' USR1; echo ready; while ! [ -e go ]; do sleep 0.02; done; exit 3";
    // At the end the fault hits the finalize, and no heartbeat.
    let heartbeat = if since == Since::End { "1m" } else { "100ms" };
    let options = ["--start-timeout", WAIT, "--finish-timeout", WAIT, "--heartbeat", heartbeat];
    let began = Instant::now();
    let mut running = start(site.shell(&options, script).stdout(Stdio::piped()).stderr(Stdio::null()));
    assert_eq!(running.line(), "ready");
    assert!(began.elapsed() < WAIT_MAX, "started after {:?}", began.elapsed());
    if since != Since::Start {
        // The record is inserted, and heartbeats follow.
        wait_until("the record", || site.records().first().is_some_and(|record| record["pid"].is_i64()));
    }
    fall_ill(Since::Middle);
    if since == Since::Middle {
        wait_until("an attempt is under way", || site.log().matches("event=attempt ").count() > 2);
    }
    relay(&mut running);
    fall_ill(Since::End);
    std::fs::write(site.path().join("go"), "").unwrap();
    let ending = Instant::now();
    assert_eq!(running.end().code(), Some(3));
    assert!(ending.elapsed() < WAIT_MAX, "ended after {:?}", ending.elapsed());
    well();
    wait_until("delivery", || site.run_directories().is_empty());
    site.quiet();
    let record = site.record();
    assert_eq!((&record["status"], &record["reason"]), (&json!("failed"), &json!("exit")));
    assert_eq!((&record["exit_code"], &record["presumed"]), (&json!(3), &json!(false)));
}

fn relay(running: &mut Running) {
    let sent = Instant::now();
    running.signal("USR1");
    assert_eq!(running.line(), "heard");
    assert!(sent.elapsed() < RELAY_MAX, "the signal took {:?}", sent.elapsed());
}

/// A site that reaches `server` through a proxy.
fn behind_proxy(server: &Postgres) -> (Site, Proxy) {
    let proxy = Proxy::before(server.port());
    let name = server.new_database();
    let url = format!("postgres://admin@127.0.0.1:{}/{name}?sslmode=disable", proxy.port());
    (Site::with_url(&url), proxy)
}

/// The fault at each moment of a run, all runs at once.
fn check_proxied(fault: Mode) {
    thread::scope(|scope| {
        for since in SINCE {
            let cell = thread::Builder::new().name(format!("{fault:?} since {since:?}"));
            let checking = move || {
                let (site, proxy) = behind_proxy(Postgres::shared());
                let well = || {
                    let hits_once = matches!(fault, Mode::CutRequest(_) | Mode::CutReply(_));
                    assert_eq!(proxy.mode(), if hits_once { Mode::Forward } else { fault }, "nothing was hit");
                    proxy.set(Mode::Forward);
                };
                check(&site, since, || proxy.set(fault), well);
                if fault == Mode::Refuse {
                    attempts_are_in_the_log(&site.log());
                }
            };
            let _joined_by_the_scope = cell.spawn_scoped(scope, checking).unwrap();
        }
    });
}

/// Asserts that each failed attempt is logged with its cause and its number, which counts consecutive failures from 0.
fn attempts_are_in_the_log(log: &str) {
    let failed: Vec<&str> = log.lines().filter(|line| line.contains("event=attempt_failed")).collect();
    assert!(!failed.is_empty(), "{log}");
    for line in &failed {
        // The proxy cuts the attempt that is under way, seen as ECONNRESET or end of file, and refuses all later ones.
        assert!(["refused", "reset", "connection closed"].iter().any(|cause| line.contains(cause)), "{line}");
    }
    assert!(failed[0].contains(" attempt=0 "), "{}", failed[0]);
    assert!(failed.len() < 2 || failed[1].contains(" attempt=1 "), "{failed:?}");
}

// Holds: failures/database-refuses
#[test]
fn refused_connections_delay_and_lose_nothing() {
    check_proxied(Mode::Refuse);
}

// Holds: failures/database-slow
#[test]
fn hung_connections_delay_and_lose_nothing() {
    check_proxied(Mode::Hang);
}

// Holds: failures/database-commit
#[test]
fn lost_commit_reply_neither_loses_nor_doubles_the_record() {
    check_proxied(Mode::CutReply("COMMIT"));
}

// Holds: failures/database-commit
#[test]
fn commit_that_never_arrived_is_sent_again() {
    check_proxied(Mode::CutRequest("COMMIT"));
}

// Holds: failures/database-slow
#[test]
fn slow_connections_delay_and_lose_nothing() {
    check_proxied(Mode::Delay(Duration::from_millis(50)));
}

// Holds: failures/database-freeze
#[test]
fn server_frozen_during_a_run_delays_and_loses_nothing() {
    let server = Postgres::private();
    check(&Site::on(&server), Since::Middle, || server.freeze(), || server.thaw());
}

// Holds: failures/database-crash
#[test]
fn server_crash_delays_and_loses_nothing() {
    let server = Postgres::private();
    for since in SINCE {
        check(&Site::on(&server), since, || server.stop(), || server.start());
    }
}

// Holds: failures/database-crash
#[test]
fn heartbeats_resume_after_a_server_crash() {
    let server = Postgres::private();
    let site = Site::on(&server);
    let mut command = site.shell(&["--heartbeat", "100ms"], "echo ready; read -r line; exit 3");
    let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    wait_until("the record", || site.records().first().is_some_and(|record| record["pid"].is_i64()));
    server.stop();
    wait_until("a heartbeat has failed", || site.log().contains("event=attempt_failed"));
    server.start();
    let seen = site.record()["heartbeat_at"].clone();
    wait_until("a heartbeat", || site.record()["heartbeat_at"] != seen);
    running.close_stdin();
    assert_eq!(running.end().code(), Some(3));
    assert_eq!(site.record()["exit_code"], 3);
    site.quiet();
}

/// A site in the shared server, a client of its superuser, and the name of its database.
fn with_superuser() -> (Site, Client, String) {
    let server = Postgres::shared();
    let name = server.new_database();
    let site = Site::with_url(&format!("postgres://admin@127.0.0.1:{}/{name}?sslmode=disable", server.port()));
    (site, connect(&server.target(&name)), name)
}

// Holds: failures/database-read-only
#[test]
fn read_only_database_delays_and_loses_nothing() {
    for since in SINCE {
        let (site, mut superuser, name) = with_superuser();
        let mut other = connect(&Postgres::shared().target("postgres"));
        let mut set = |value: &str| {
            superuser
                .batch_execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = {value}"))
                .unwrap();
        };
        let well = || {
            let reset = format!("BEGIN READ WRITE; ALTER DATABASE {name} RESET default_transaction_read_only; COMMIT");
            other.batch_execute(&reset).unwrap();
        };
        check(&site, since, || set("on"), well);
    }
}

/// The test sets the connection limit of the role to 0.
// Holds: failures/database-connections
#[test]
fn exhausted_connections_delay_and_lose_nothing() {
    for since in SINCE {
        let (_, mut superuser, name) = with_superuser();
        superuser.batch_execute(&format!("CREATE ROLE {name} LOGIN; ALTER DATABASE {name} OWNER TO {name}")).unwrap();
        let url = format!("postgres://{name}@127.0.0.1:{}/{name}?sslmode=disable", Postgres::shared().port());
        let mut limit = |count: i32| {
            superuser.batch_execute(&format!("ALTER ROLE {name} CONNECTION LIMIT {count}")).unwrap();
        };
        let mut second = connect(&Postgres::shared().target("postgres"));
        let well = || second.batch_execute(&format!("ALTER ROLE {name} CONNECTION LIMIT -1")).unwrap();
        check(&Site::with_url(&url), since, || limit(0), well);
    }
}

// Holds: failures/database-row-lock
#[test]
fn row_locked_past_the_exit_gets_its_end_afterwards() {
    let (site, mut superuser, _) = with_superuser();
    let superuser = std::cell::RefCell::new(&mut superuser);
    let hold = || {
        let statements = "BEGIN; SELECT * FROM training_records FOR UPDATE; SELECT * FROM runwrap_runs FOR UPDATE";
        superuser.borrow_mut().batch_execute(statements).unwrap();
    };
    check(&site, Since::End, hold, || superuser.borrow_mut().batch_execute("ROLLBACK").unwrap());
}

/// Only the absence of an answer was reported, not its cause.
// Holds: failures/database-late
#[test]
fn a_late_database_is_reported_with_the_last_error() {
    let server = Postgres::shared();
    let name = server.new_database();
    let mut admin = connect(&server.target("postgres"));
    let limits = ["--start-timeout", "1s", "--finish-timeout", "1s", "--linger", "0s"];
    let url = |port: u16| format!("postgres://admin@127.0.0.1:{port}/{name}?sslmode=disable");
    let late = |url: &str, part: &str| {
        let site = Site::with_url(url);
        let output = site.run(&limits, "true");
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{printed}");
        for (line, start) in printed.lines().zip(["has not answered yet: ", "does not have the end of the run yet: "]) {
            assert!(line.contains(start) && line.contains(part), "{printed}");
        }
        assert_eq!(printed.lines().count(), 2, "{printed}");
        site.quiet();
    };
    // Nothing listens on these ports.
    late(&url(1), "Connection refused");
    let both = format!("postgres://admin@127.0.0.1:1,127.0.0.1:2/{name}?sslmode=disable");
    for host in ["127.0.0.1:1/", "127.0.0.1:2/"] {
        late(&both, host);
    }
    admin.batch_execute(&format!("ALTER DATABASE {name} CONNECTION LIMIT 0; CREATE ROLE late_{name} LOGIN")).unwrap();
    late(&url(server.port()).replace("admin@", &format!("late_{name}@")), "too many connections");
}

// Holds: failures/database-hosts
#[test]
fn second_host_is_used_if_the_first_refuses_or_hangs() {
    let server = Postgres::shared();
    for fault in [Mode::Refuse, Mode::Hang] {
        let proxy = Proxy::before(server.port());
        let name = server.new_database();
        let hosts = format!("127.0.0.1:{},127.0.0.1:{}", proxy.port(), server.port());
        let site = Site::with_url(&format!("postgres://admin@{hosts}/{name}?sslmode=disable&connect_timeout=2"));
        let well = || {
            // Delivered through the second host while the fault of the first lasts.
            wait_until("delivery", || site.run_directories().is_empty());
            proxy.set(Mode::Forward);
        };
        check(&site, Since::Middle, || proxy.set(fault), well);
    }
}

/// The primary dies for good, and its standby is promoted.
// Holds: failures/database-failover
#[test]
fn failover_to_the_standby_keeps_the_run() {
    let primary = Postgres::private();
    let standby = primary.standby();
    let name = primary.new_database();
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", primary.port(), standby.port());
    let url = format!("postgres://admin@{hosts}/{name}?sslmode=disable&target_session_attrs=read-write");
    let site = Site::with_url(&url);
    let mut command =
        site.shell(&["--heartbeat", "200ms", "--start-timeout", "30s"], "echo ready; read -r line; exit 3");
    let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    assert_eq!(running.line(), "ready");
    let followed = || {
        let found = connect(&standby.target(&name)).query("SELECT 1 FROM training_records", &[]);
        found.is_ok_and(|rows| rows.len() == 1)
    };
    wait_until("the standby has the record", || {
        let exists =
            connect(&standby.target("postgres")).query("SELECT 1 FROM pg_database WHERE datname = $1", &[&name]);
        exists.is_ok_and(|rows| rows.len() == 1) && followed()
    });
    primary.stop();
    standby.promote();
    running.close_stdin();
    assert_eq!(running.end().code(), Some(3));
    wait_until("delivery", || site.run_directories().is_empty());
    let record = site.record();
    assert_eq!((&record["reason"], &record["exit_code"]), (&json!("exit"), &json!(3)));
    site.quiet();
}

/// The verbs that read records by ids, with ids of a table that had another type of id. `known` are the ids of a record and its run.
fn foreign_id_verbs(known: &[String; 2]) -> Vec<Vec<&str>> {
    let [id, run_id] = known;
    vec![
        vec!["check"],
        vec!["check", "--live"],
        vec!["list"],
        vec!["list", "--name", "killed"],
        vec!["show", id],
        vec!["show", run_id],
        vec!["finalize", id, "--status", "failed"],
        vec!["recover", "--dry-run"],
        vec!["recover"],
        vec!["recover", "--stuck-after", "1s"],
        vec!["check"],
    ]
}

/// `check --live` failed for good, and other statements left an error in the server's log.
#[test]
fn ids_of_another_type_leave_no_error_in_the_servers_log() {
    let server = Postgres::private();
    let (uuid, text) = ("uuid DEFAULT gen_random_uuid()", "text DEFAULT 'run ' || clock_timestamp()");
    let (big, small) = ("bigserial", "smallserial");
    for (before, after) in [(uuid, text), (text, big), (uuid, big), (big, small), (small, uuid)] {
        let site = Site::on(&server);
        let make = |id: &str| {
            site.sql(&format!(
                "DROP TABLE IF EXISTS training_records; CREATE TABLE training_records (id {id} PRIMARY KEY, \
                 status text, version text, train_start_time timestamptz, train_end_time timestamptz, \
                 train_duration bigint, train_metrics jsonb, model_path text, error_message text)"
            ));
        };
        make(before);
        assert!(site.run(&["--name", "ended"], "true").status.success());
        let mut running = start(site.shell(&["--name", "killed"], "echo ready; sleep 60").stdout(Stdio::piped()));
        assert_eq!(running.line(), "ready");
        let keeper = site.keeper_after(None);
        let known = site.records()[0].clone();
        let known = ["id", "run_id"].map(|name| known[name].to_string().trim_matches('"').to_owned());
        kill(keeper, "KILL");
        running.signal("KILL");
        running.end();
        // A keeper that the supervisor started meanwhile.
        site.processes().iter().for_each(|process| kill(process.pid, "KILL"));
        site.quiet();
        make(after);
        for verb in foreign_id_verbs(&known) {
            let output = output(&mut site.runwrap(&verb));
            assert!(output.status.code().is_some_and(|code| code < 2), "{verb:?}: {output:?}");
        }
    }
    let log = std::fs::read_to_string(server.directory().join("log")).unwrap();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR:")).collect();
    assert_eq!(errors, [""; 0]);
}
