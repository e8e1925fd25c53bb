//! `runwrap recover --every`: it survives outages of the database and ends at SIGTERM.

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::Duration;

use crate::support::postgres::Postgres;
use crate::support::site::{Site, output, start};
use crate::support::wait::wait_until;

const STUCK: &str = "INSERT INTO training_records (status, train_start_time, created_at)
    VALUES ('training', '2025-11-26 18:00:00', '2025-11-26 18:00:00')";

fn migrated(site: &Site) {
    assert!(output(&mut site.runwrap(&["migrate"])).status.success());
}

/// The next message to the service manager.
#[track_caller]
fn next_message(manager: &UnixDatagram) -> String {
    let mut bytes = [0; 64];
    let length = manager.recv(&mut bytes).unwrap();
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

// Holds: failures/service-sigterm
#[test]
fn service_repeats_notifies_the_watchdog_and_ends_at_sigterm() {
    let site = Site::sqlite();
    migrated(&site);
    let socket = site.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut command = site.runwrap(&["recover", "--every", "1s", "--stuck-after", "24h"]);
    command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "100000").stdout(Stdio::piped());
    let mut service = start(&mut command);
    assert_eq!(next_message(&manager), "READY=1");
    for number in 1..3 {
        site.sql(STUCK);
        assert!(service.line().starts_with(&format!("record {number}: training -> failed (stuck)")));
        assert_eq!(next_message(&manager), "WATCHDOG=1");
    }
    service.signal("TERM");
    assert_eq!(service.end().code(), Some(0));
    wait_until("the last message", || next_message(&manager) == "STOPPING=1");
}

// Holds: failures/service-outage
#[test]
fn service_survives_an_outage_and_reports_it_once() {
    let server = Postgres::private();
    let site = Site::on(&server);
    migrated(&site);
    let mut command = site.runwrap(&["recover", "--every", "1s", "--stuck-after", "24h", "--start-timeout", "2s"]);
    let errors = std::fs::File::create(site.path().join("errors")).unwrap();
    let mut service = start(command.stdout(Stdio::piped()).stderr(errors));
    site.sql(STUCK);
    assert!(service.line().starts_with("record 1: training -> failed (stuck)"));
    server.stop();
    wait_until("two rounds that failed", || site.log().matches("event=round_failed").count() >= 2);
    server.start();
    site.sql(STUCK);
    // A sequence skips numbers after a crash of the server.
    assert!(service.line().contains(": training -> failed (stuck)"));
    service.signal("TERM");
    assert_eq!(service.end().code(), Some(0));
    let messages = std::fs::read_to_string(site.path().join("errors")).unwrap();
    assert!(messages.starts_with("runwrap: cannot "), "{messages}");
    let complaints: Vec<&str> = messages.lines().filter(|line| !line.contains("hint: ")).collect();
    assert_eq!(complaints.len(), std::collections::BTreeSet::from_iter(&complaints).len(), "{messages}");
}

/// Each round of a service left a hung thread and four descriptors behind.
// Holds: failures/service-silent
#[test]
fn service_accumulates_nothing_while_its_database_is_silent() {
    let server = Postgres::private();
    let site = Site::on(&server);
    migrated(&site);
    let mut command = site.runwrap(&["recover", "--every", "1s", "--stuck-after", "24h", "--start-timeout", "2s"]);
    let mut service = start(command.stdout(Stdio::piped()));
    site.sql(STUCK);
    let line = service.line();
    assert!(line.starts_with("record 1: training -> failed (stuck)"), "{line}");
    let rounds = |least: usize| {
        wait_until("rounds that failed", || site.log().matches("event=round_failed").count() >= least);
    };
    let count = |what: &str| std::fs::read_dir(format!("/proc/{}/{what}", service.pid())).unwrap().count();
    server.freeze();
    rounds(1);
    let before = ["fd", "task"].map(count);
    rounds(5);
    assert_eq!(["fd", "task"].map(count), before);
    server.thaw();
    site.sql(STUCK);
    assert!(service.line().starts_with("record 2: training -> failed (stuck)"));
    service.signal("TERM");
    assert_eq!(service.end().code(), Some(0));
}

/// A connection to a server that has gone without notice hangs for ever. The service once waited for its end.
// Holds: failures/service-silent
#[test]
fn service_reaches_a_server_that_returns_while_an_attempt_hangs() {
    let server = Postgres::private();
    let name = server.new_database();
    let site = Site::with_url(&format!("postgres://admin@127.0.0.1:{}/{name}", server.port()));
    migrated(&site);
    site.sql(STUCK);
    server.stop();
    let silent = TcpListener::bind(("127.0.0.1", server.port())).unwrap();
    let mut command = site.runwrap(&["recover", "--every", "1s", "--stuck-after", "24h", "--start-timeout", "500ms"]);
    let mut service = start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    let (_hanging, _) = silent.accept().unwrap();
    wait_until("a round that failed", || site.log().contains("event=round_failed"));
    drop(silent);
    server.start();
    assert!(service.line().starts_with("record 1: training -> failed (stuck)"));
    service.signal("TERM");
    assert_eq!(service.end().code(), Some(0));
}

// Holds: failures/service-misconfigured
#[test]
fn service_exits_at_once_on_an_error_for_an_operator() {
    let site = Site::sqlite();
    std::fs::create_dir(site.path().join("runs.db")).unwrap();
    let output = output(&mut site.runwrap(&["recover", "--every", "1h"]));
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8(output.stderr).unwrap().contains("it is a directory"));
}
