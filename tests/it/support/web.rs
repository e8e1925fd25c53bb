//! A web server and a mail server on loopback that take one message at a time. Must not assert anything about runwrap.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::wait::wait_until;

/// No client pauses for this long unless it hangs.
const READ_LIMIT: Duration = Duration::from_secs(30);

pub(crate) struct Web {
    listener: TcpListener,
}

/// A request that waits for its reply.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    /// As sent, with their names in lower case.
    headers: Vec<(String, String)>,
    pub(crate) body: String,
    stream: TcpStream,
}

/// A mail, as its client has sent it.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    /// Of AUTH PLAIN, in base64.
    pub(crate) credentials: String,
    pub(crate) commands: Vec<String>,
    pub(crate) lines: Vec<String>,
}

impl Web {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { listener }
    }

    /// The address, as in `127.0.0.1:8080`.
    pub(crate) fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    /// Whether a client has connected and was not accepted yet. Drops its connection.
    pub(crate) fn was_called(&self) -> bool {
        self.listener.accept().is_ok()
    }

    #[track_caller]
    fn accept(&self) -> TcpStream {
        let mut accepted = None;
        wait_until("a connection", || {
            accepted = self.listener.accept().ok();
            accepted.is_some()
        });
        let (stream, _) = accepted.unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(READ_LIMIT)).unwrap();
        stream
    }

    /// Waits for the next request.
    #[track_caller]
    pub(crate) fn request(&self) -> Request {
        let stream = self.accept();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let first = line(&mut reader);
        let mut words = first.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let mut headers = Vec::new();
        loop {
            let header = line(&mut reader);
            let Some((name, value)) = header.split_once(':') else { break };
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        let mut request = Request { method, path, headers, body: String::new(), stream };
        if request.header("expect").is_some() {
            request.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        }
        let mut body = vec![0; request.header("content-length").map_or(0, |length| length.parse().unwrap())];
        reader.read_exact(&mut body).unwrap();
        request.body = String::from_utf8(body).unwrap();
        request
    }

    /// Takes one mail by SMTP, without TLS.
    #[track_caller]
    pub(crate) fn mail(&self) -> Mail {
        let mut stream = self.accept();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut mail = Mail::default();
        let mut reply = |text: &str| stream.write_all(format!("{text}\r\n").as_bytes()).unwrap();
        reply("220 localhost");
        loop {
            let command = line(&mut reader);
            match command.split(' ').next().unwrap() {
                "EHLO" => reply("250-localhost\r\n250 AUTH PLAIN"),
                "AUTH" => {
                    reply("334 ");
                    mail.credentials = line(&mut reader);
                    reply("235 accepted");
                }
                "DATA" => {
                    reply("354 go on");
                    mail.lines = std::iter::from_fn(|| Some(line(&mut reader)).filter(|line| line != ".")).collect();
                    reply("250 taken");
                }
                "QUIT" | "" => {
                    reply("221 closing");
                    return mail;
                }
                _ => reply("250 ok"),
            }
            mail.commands.push(command);
        }
    }
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Answers 200 with JSON.
    pub(crate) fn reply(&mut self, json: &str) {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length";
        self.stream.write_all(format!("{head}: {}\r\n\r\n{json}", json.len()).as_bytes()).unwrap();
    }
}

/// The next line without its end; empty after the last one.
fn line(reader: &mut impl BufRead) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    line.trim_end_matches(['\r', '\n']).to_owned()
}
