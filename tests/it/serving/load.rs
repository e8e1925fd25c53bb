//! Viewers that behave badly delay neither other viewers nor the recovery.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::scope;
use std::time::{Duration, Instant};

use super::client::{Reply, Served};
use crate::support::site::{Site, output};
use crate::support::wait::wait_until;

const STUCK: &str = "INSERT INTO training_records (status, train_start_time, created_at)
    VALUES ('training', '2025-11-26 18:00:00', '2025-11-26 18:00:00')";

/// A slow machine answers within this; a viewer that waits for others' timeouts does not.
const PROMPT: Duration = Duration::from_secs(3);

const MEMORY_KIB_MAX: u64 = 30 << 10;

fn served(arguments: &[&str]) -> (Site, Served) {
    let site = Site::sqlite();
    assert!(output(&mut site.runwrap(&["migrate"])).status.success());
    let served = Served::start(&site, arguments);
    (site, served)
}

#[track_caller]
fn answers_promptly(served: &Served) {
    let start = Instant::now();
    assert_eq!(served.get("/api/runs").status, 200);
    assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
}

/// The resident memory of its own: the pages of the program are shared, and those of a test build are many.
fn memory_kib(served: &Served) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.running.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

// Holds: failures/serve-flood
#[test]
fn half_open_connections_delay_no_viewer_and_are_closed() {
    let (site, served) = served(&["--recover", "1s", "--stuck-after", "24h"]);
    let half_open = |text: &str| {
        let mut stream = served.connect();
        // A connection that made room for another is closed already.
        stream.write_all(text.as_bytes()).ok();
        stream
    };
    let held: Vec<TcpStream> = (0..200).map(|_| half_open("GET / HTTP/1.1\r\nHost: loc")).collect();
    for _ in 0..5 {
        answers_promptly(&served);
    }
    site.sql(STUCK);
    wait_until("the recovery", || site.sql("SELECT status FROM training_records") == "failed\n");
    let start = Instant::now();
    for mut stream in held {
        let mut rest = Vec::new();
        // The end or a reset: both close it.
        stream.read_to_end(&mut rest).ok();
    }
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    served.end("TERM");
}

/// The bug: connections that arrived after a viewer's, and before its request was read, closed it to make room.
// Holds: failures/serve-flood
#[test]
fn burst_of_connections_closes_no_viewer_that_asks() {
    let (_site, served) = served(&[]);
    answers_promptly(&served);
    served.running.signal("STOP");
    let mut first = served.connect();
    first.write_all(format!("GET /api/runs HTTP/1.1\r\nHost: {}\r\n\r\n", served.address).as_bytes()).unwrap();
    let _held: Vec<TcpStream> = (0..100).map(|_| served.connect()).collect();
    served.running.signal("CONT");
    assert_eq!(Reply::read(&mut BufReader::new(first), true).status, 200);
    served.end("TERM");
}

/// The bug: idle connections kept the last descriptors, and the log got five lines a second.
// Holds: failures/serve-flood
#[test]
fn idle_connections_make_room_for_a_viewer_without_descriptors() {
    let site = Site::sqlite();
    let mut command = site.program("sh");
    let served = Served::of(command.args([
        "-c",
        "ulimit -n 30; exec \"$0\" serve --listen 127.0.0.1:0",
        env!("CARGO_BIN_EXE_runwrap"),
    ]));
    let _held: Vec<TcpStream> = (0..60).map(|_| served.connect()).collect();
    for _ in 0..3 {
        let start = Instant::now();
        assert_eq!(served.get("/healthz").status, 200);
        assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
    }
    assert!(site.log().matches("event=not_accepted").count() <= 1, "{}", site.log());
    served.end("TERM");
}

// Holds: failures/serve-slow-viewer
#[test]
fn viewer_that_reads_nothing_is_cut_off() {
    let (site, served) = served(&[]);
    for _ in 0..50 {
        site.sql("INSERT INTO training_records (status, error_message) VALUES ('failed', 'a message of some length')");
    }
    let mut slow = served.connect();
    let request = format!("GET /api/runs?limit=50 HTTP/1.1\r\nHost: {}\r\n\r\n", served.address).repeat(20);
    // Until neither its requests nor their answers find room.
    slow.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    while slow.write_all(request.as_bytes()).is_ok() {}
    answers_promptly(&served);
    assert!(memory_kib(&served) < MEMORY_KIB_MAX, "{}", memory_kib(&served));
    let count = || std::fs::read_dir(format!("/proc/{}/fd", served.running.pid())).unwrap().count();
    let before = count();
    wait_until("the end of the slow connection", || count() < before);
    answers_promptly(&served);
    served.end("TERM");
}

/// Also: SIGTERM ends it while viewers ask.
#[test]
fn many_viewers_at_once_share_the_looks() {
    let (site, served) = served(&["--recover", "1s", "--stuck-after", "24h"]);
    for _ in 0..50 {
        site.sql("INSERT INTO training_records (status) VALUES ('failed')");
    }
    answers_promptly(&served);
    let answered = AtomicUsize::new(0);
    let end = Instant::now() + Duration::from_secs(3);
    scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let mut reader = BufReader::new(served.connect());
                while Instant::now() < end {
                    let request = format!("GET /api/runs HTTP/1.1\r\nHost: {}\r\n\r\n", served.address);
                    reader.get_mut().write_all(request.as_bytes()).unwrap();
                    assert_eq!(Reply::read(&mut reader, true).status, 200);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        site.sql(STUCK);
        wait_until("the recovery", || {
            site.sql("SELECT count(*) FROM training_records WHERE status = 'training'") == "0\n"
        });
        answers_promptly(&served);
    });
    // A test build on a busy machine; a look for each request would reach some hundreds.
    assert!(answered.load(Ordering::Relaxed) > 1000, "{answered:?}");
    assert!(memory_kib(&served) < MEMORY_KIB_MAX, "{}", memory_kib(&served));
    let _asking = served.connect();
    served.end("TERM");
}

#[test]
fn idle_connection_is_closed() {
    let (_site, served) = served(&[]);
    let mut reader = BufReader::new(served.connect());
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", served.address);
    reader.get_mut().write_all(request.as_bytes()).unwrap();
    assert_eq!(Reply::read(&mut reader, true).status, 200);
    let start = Instant::now();
    assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0);
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    served.end("TERM");
}
