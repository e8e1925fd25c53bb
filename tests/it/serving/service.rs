//! The service beside a service manager, and its recovery.

use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::Duration;

use super::client::Served;
use crate::support::site::{Site, output, start};
use crate::support::wait::wait_until;

const STUCK: &str = "INSERT INTO training_records (status, train_start_time, created_at)
    VALUES ('training', '2025-11-26 18:00:00', '2025-11-26 18:00:00')";

#[track_caller]
fn next_message(manager: &UnixDatagram) -> String {
    let mut bytes = [0; 64];
    let length = manager.recv(&mut bytes).unwrap();
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

// Holds: failures/serve-sigterm
#[test]
fn service_reports_ready_once_it_answers_and_ends_at_a_signal() {
    for signal in ["TERM", "INT"] {
        let site = Site::sqlite();
        let socket = site.path().join("notify");
        let manager = UnixDatagram::bind(&socket).unwrap();
        manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut command = site.runwrap(&["serve", "--listen", "127.0.0.1:0", "--recover", "1h"]);
        let served = Served::of(command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "100000"));
        assert_eq!(next_message(&manager), "READY=1");
        assert_eq!(served.get("/healthz").status, 200);
        assert_eq!(next_message(&manager), "WATCHDOG=1");
        served.end(signal);
        wait_until("the last message", || next_message(&manager) == "STOPPING=1");
    }
}

#[test]
fn recovery_beside_the_pages_delivers_and_ends() {
    for site in [Site::sqlite(), Site::postgres()] {
        assert!(output(&mut site.runwrap(&["migrate"])).status.success());
        // A journal that its run could not deliver: the host was lost.
        let mut lost = start(site.shell(&["--heartbeat", "1s"], "sleep 1000").stdin(Stdio::null()));
        site.record_that_trains();
        site.lose();
        lost.end();
        let served =
            Served::start(&site, &["--recover", "1s", "--stuck-after", "24h", "--on-finish", "echo x >> $SITE/done"]);
        wait_until("the end of the lost run", || site.records()[0]["status"] == "failed");
        site.sql(STUCK);
        wait_until("the end of the stuck record", || site.records()[0]["reason"] == "stuck");
        wait_until("both commands", || {
            std::fs::read_to_string(site.path().join("done")).is_ok_and(|text| text == "x\nx\n")
        });
        let recovery = served.get("/health").body;
        assert!(recovery.contains("lost") && recovery.contains("stuck"), "{recovery}");
        served.end("TERM");
    }
}

// Holds: failures/serve-misconfigured
#[test]
fn error_for_an_operator_ends_a_recovering_service() {
    let site = Site::sqlite();
    std::fs::create_dir(site.path().join("runs.db")).unwrap();
    let output = output(&mut site.runwrap(&["serve", "--listen", "127.0.0.1:0", "--recover", "1h"]));
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8(output.stderr).unwrap().contains("it is a directory"));
}
