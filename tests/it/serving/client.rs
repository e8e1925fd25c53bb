//! A service under test, and a client that sends exactly the bytes it is given. Must not assert anything about a record.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::site::{Running, Site, start};

/// No answer takes this long unless the service hangs.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// A running `serve` on a free port of loopback.
pub(crate) struct Served {
    pub(crate) running: Running,
    /// `127.0.0.1:8080`
    pub(crate) address: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// The names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Served {
    #[track_caller]
    pub(crate) fn start(site: &Site, arguments: &[&str]) -> Self {
        Self::of(&mut site.runwrap(&[&["serve", "--listen", "127.0.0.1:0"], arguments].concat()))
    }

    #[track_caller]
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut running = start(command.stdout(Stdio::piped()));
        let line = running.line();
        let address = line.strip_prefix("http://").and_then(|rest| rest.strip_suffix('/'));
        Self { address: address.unwrap_or_else(|| panic!("{line}")).to_owned(), running }
    }

    #[track_caller]
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(ANSWER_LIMIT)).unwrap();
        stream.set_write_timeout(Some(ANSWER_LIMIT)).unwrap();
        stream
    }

    /// Sends the bytes on a connection of their own.
    #[track_caller]
    pub(crate) fn send(&self, request: &[u8]) -> Reply {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        stream.shutdown(Shutdown::Write).ok();
        Reply::read(&mut BufReader::new(stream), !request.starts_with(b"HEAD"))
    }

    /// GET with further headers, each with its line end.
    #[track_caller]
    pub(crate) fn get_with(&self, target: &str, headers: &str) -> Reply {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", self.address).as_bytes())
    }

    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Reply {
        self.get_with(target, "")
    }

    /// The JSON of an answer with status 200.
    #[track_caller]
    pub(crate) fn json(&self, target: &str) -> Value {
        let reply = self.get(target);
        assert_eq!(reply.status, 200, "{target}: {reply:?}");
        serde_json::from_str(&reply.body).unwrap()
    }

    /// Ends it by `signal`; it ends cleanly.
    #[track_caller]
    pub(crate) fn end(mut self, signal: &str) {
        self.running.signal(signal);
        assert_eq!(self.running.end().code(), Some(0));
    }
}

impl Reply {
    #[track_caller]
    pub(crate) fn read(reader: &mut impl BufRead, has_body: bool) -> Self {
        let first = line(reader);
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no answer: {first:?}"));
        let mut headers = Vec::new();
        loop {
            let header = line(reader);
            let Some((name, value)) = header.split_once(':') else { break };
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        let mut reply = Self { status, headers, body: String::new() };
        let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; if has_body && status != 304 { length } else { 0 }];
        reader.read_exact(&mut body).unwrap();
        reply.body = String::from_utf8(body).unwrap();
        reply
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The next line without its end; empty after the last one.
fn line(reader: &mut impl BufRead) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    line.trim_end_matches(['\r', '\n']).to_owned()
}
