//! Owns a TCP proxy in front of a server of the tests, with faults on demand for new and for open connections. Ends with its
//! value. Must not know the protocol, except for the word that it waits for.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How the proxy treats connections and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Forward,
    /// New connections are refused, and open ones are cut.
    Refuse,
    /// Connections are accepted, and no byte is passed on in either direction.
    Hang,
    /// The connection is cut before the first request with this word; then the proxy forwards.
    CutRequest(&'static str),
    /// The first request with this word reaches the server, and its reply is lost; then the proxy forwards.
    CutReply(&'static str),
    /// Each request is delayed for so long.
    Delay(Duration),
    /// The proxy is gone.
    Over,
}

pub(crate) struct Proxy {
    port: u16,
    mode: Arc<Mutex<Mode>>,
    round_trips: Arc<AtomicUsize>,
}

/// How often the mode is looked at.
const TICK: Duration = Duration::from_millis(2);

impl Proxy {
    /// Before the TCP port `server_port` of this host.
    pub(crate) fn before(server_port: u16) -> Self {
        let listener = listen(0);
        let port = listener.local_addr().unwrap().port();
        let mode = Arc::new(Mutex::new(Mode::Forward));
        let round_trips = Arc::default();
        let shared = (Arc::clone(&mode), Arc::clone(&round_trips));
        let accepting = move || accept(Some(listener), port, server_port, &shared.0, &shared.1);
        let _ends_with_the_value = thread::Builder::new().name("proxy".to_owned()).spawn(accepting).unwrap();
        Self { port, mode, round_trips }
    }

    /// How often a client of any connection has sent something after the server's last reply.
    pub(crate) fn round_trips(&self) -> usize {
        self.round_trips.load(Ordering::SeqCst)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn mode(&self) -> Mode {
        *self.mode.lock().unwrap()
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Mode::Over);
    }
}

fn listen(port: u16) -> TcpListener {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

fn accept(
    mut listener: Option<TcpListener>,
    port: u16,
    server_port: u16,
    mode: &Arc<Mutex<Mode>>,
    round_trips: &Arc<AtomicUsize>,
) {
    loop {
        let now = *mode.lock().unwrap();
        match now {
            Mode::Over => return,
            Mode::Refuse => listener = None,
            Mode::Forward | Mode::Hang | Mode::CutRequest(_) | Mode::CutReply(_) | Mode::Delay(_) => {
                let listening = listener.get_or_insert_with(|| listen(port));
                while let Ok((client, _)) = listening.accept() {
                    connect(client, server_port, mode, round_trips);
                }
            }
        }
        thread::park_timeout(TICK);
    }
}

/// Two threads a connection, one a direction. They end with either side.
fn connect(client: TcpStream, server_port: u16, mode: &Arc<Mutex<Mode>>, round_trips: &Arc<AtomicUsize>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", server_port)) else { return };
    for stream in [&client, &server] {
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(TICK)).unwrap();
        stream.set_nodelay(true).unwrap();
    }
    let ends = [(client.try_clone().unwrap(), server.try_clone().unwrap(), true), (server, client, false)];
    // Once the reply to a request is to be lost, neither direction passes anything on.
    let swallow = Arc::new(Mutex::new(false));
    let is_waiting = Arc::new(AtomicBool::new(false));
    for (from, to, is_request) in ends {
        let (mode, swallow) = (Arc::clone(mode), Arc::clone(&swallow));
        let (is_waiting, round_trips) = (Arc::clone(&is_waiting), Arc::clone(round_trips));
        let counted = move || {
            let was_waiting = is_waiting.swap(is_request, Ordering::SeqCst);
            round_trips.fetch_add(usize::from(is_request && !was_waiting), Ordering::SeqCst);
        };
        let pumping = move || pump(from, to, is_request, &mode, &swallow, &counted);
        let _ends_with_its_connection = thread::Builder::new().name("proxied".to_owned()).spawn(pumping).unwrap();
    }
}

fn pump(
    mut from: TcpStream,
    mut to: TcpStream,
    is_request: bool,
    mode: &Mutex<Mode>,
    swallow: &Mutex<bool>,
    counted: &impl Fn(),
) {
    let mut chunk = [0; 16 * 1024];
    loop {
        match *mode.lock().unwrap() {
            Mode::Over | Mode::Refuse => break,
            Mode::Forward | Mode::Hang | Mode::CutRequest(_) | Mode::CutReply(_) | Mode::Delay(_) => {}
        }
        let length = match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(_) => break,
        };
        if !is_request && *swallow.lock().unwrap() {
            // The server has committed, and its reply is dropped.
            break;
        }
        counted();
        if !pass(&chunk[..length], is_request, mode, swallow) || to.write_all(&chunk[..length]).is_err() {
            break;
        }
    }
    for stream in [&from, &to] {
        let _closed_already = stream.shutdown(Shutdown::Both).is_err();
    }
}

/// Waits until `bytes` may go on; false if the connection is to be cut.
fn pass(bytes: &[u8], is_request: bool, mode: &Mutex<Mode>, swallow: &Mutex<bool>) -> bool {
    let has = |word: &str| is_request && bytes.windows(word.len()).any(|window| window == word.as_bytes());
    loop {
        let mut now = mode.lock().unwrap();
        match *now {
            Mode::Forward => return true,
            Mode::Over | Mode::Refuse => return false,
            Mode::Hang => {}
            Mode::Delay(delay) => {
                drop(now);
                if is_request {
                    thread::park_timeout(delay);
                }
                return true;
            }
            Mode::CutRequest(word) if has(word) => {
                *now = Mode::Forward;
                return false;
            }
            Mode::CutReply(word) if has(word) => {
                *now = Mode::Forward;
                *swallow.lock().unwrap() = true;
                return true;
            }
            Mode::CutRequest(_) | Mode::CutReply(_) => return true,
        }
        drop(now);
        thread::park_timeout(TICK);
    }
}
