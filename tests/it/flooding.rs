//! A server that sends without end, at each moment of a connection: the keeper's memory stays bounded, and the trainer is not affected.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::site::{Site, start};
use crate::support::wait::wait_until;

/// The most memory of a keeper, in kilobytes.
const MEMORY_KB_MAX: u64 = 64 * 1024;
/// The server gives up after so much.
const FLOOD_BYTES: usize = 1 << 30;
const CHUNK_BYTES: usize = 1 << 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flood {
    ErrorBeforeLogin,
    NoticesBeforeLogin,
    ErrorAfterLogin,
    Row,
    Rows,
}

/// The header of a message.
fn header(kind: u8, length: u32) -> Vec<u8> {
    [&[kind][..], &length.to_be_bytes()].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [header(kind, u32::try_from(body.len() + 4).unwrap()), body.to_vec()].concat()
}

fn receive(stream: &mut TcpStream) -> std::io::Result<()> {
    match stream.read(&mut [0; 4096])? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// One connection of the server, until the client closes it.
fn serve(stream: &mut TcpStream, flood: Flood) -> std::io::Result<()> {
    const HUGE: u32 = i32::MAX as u32;
    receive(stream)?;
    let row_description = message(b'T', b"\0\x01x\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
    let mut chunk = vec![b'x'; CHUNK_BYTES];
    if !matches!(flood, Flood::ErrorBeforeLogin | Flood::NoticesBeforeLogin) {
        stream.write_all(&message(b'R', &[0; 4]))?;
        stream.write_all(&message(b'Z', b"I"))?;
        receive(stream)?;
    }
    let first = match flood {
        Flood::ErrorBeforeLogin | Flood::ErrorAfterLogin => header(b'E', HUGE),
        Flood::NoticesBeforeLogin => {
            chunk = message(b'N', b"SNOTICE\0C00000\0Mhello\0\0").repeat(2000);
            message(b'R', &[0; 4])
        }
        Flood::Row => [row_description, header(b'D', HUGE), b"\0\x01\x7f\xff\xff\0".to_vec()].concat(),
        Flood::Rows => {
            chunk = message(b'D', b"\0\x01\0\0\0\x05hello").repeat(3000);
            row_description
        }
    };
    stream.write_all(&first)?;
    for _ in 0..FLOOD_BYTES / chunk.len() {
        stream.write_all(&chunk)?;
    }
    receive(stream)
}

/// The peak memory of a process, in kilobytes; 0 once it is gone.
fn peak(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// The keeper read a message of 2 GB before it looked at it.
// Holds: failures/database-floods
#[test]
fn keeper_stays_small_whatever_a_server_sends() {
    for flood in [Flood::ErrorBeforeLogin, Flood::NoticesBeforeLogin, Flood::ErrorAfterLogin, Flood::Row, Flood::Rows] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&served);
        // Ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let counter = Arc::clone(&counter);
                let mut stream = stream;
                std::thread::spawn(move || {
                    let _closed_by_the_client = serve(&mut stream, flood).is_err();
                    counter.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        let site = Site::with_url(&format!("postgres://ann@127.0.0.1:{port}/none?sslmode=disable"));
        let options = ["--start-timeout", "100ms", "--finish-timeout", "100ms", "--linger", "1ms"];
        let mut command = site.shell(&options, "echo ready; read -r line; exit 3");
        let mut running = start(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()));
        assert_eq!(running.line(), "ready");
        let mut most = 0;
        wait_until("two connections have ended", || {
            most = site.keepers().into_iter().map(peak).max().unwrap_or(0).max(most);
            served.load(Ordering::SeqCst) >= 2
        });
        assert!(most > 0 && most < MEMORY_KB_MAX, "{flood:?}: {most} kB");
        running.close_stdin();
        assert_eq!(running.end().code(), Some(3));
        site.quiet();
        let log = site.log();
        assert!(log.contains("in one answer") || log.contains("in one message"), "{flood:?}: {log}");
    }
}
