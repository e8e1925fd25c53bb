//! The connections: accepts them, bounds their number and their times, and ends them. A viewer who only holds a connection makes room
//! for one who asks. Must not answer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use std::{convert, io};

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, spawn_local, yield_now};
use tokio::time::timeout;

use super::answer::Pieces;
use super::guard::Guard;
use super::listen::{Bound, Stream};
use super::state::LOG_PAUSE;
use crate::sys::clock::boot_time;

/// So many connections are served at once.
const CONNECTIONS_MAX: usize = 64;

/// The head of a request must arrive within this time; also of the next request on a connection.
const HEAD_MAX: Duration = Duration::from_secs(5);

/// The head of a request has at most so many bytes.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// No connection lives longer. A browser opens another one.
const LIFE_MAX: Duration = Duration::from_mins(5);

/// The pause after an error of accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// At the end, answers under way get so long.
const END_MAX: Duration = Duration::from_secs(2);

/// Answers one request.
pub(super) type Handler = Rc<dyn Fn(Request<Incoming>) -> Pin<Box<dyn Future<Output = Response<Pieces>>>>>;

struct Connection {
    task: AbortHandle,
    /// The boot time since when no request is being answered.
    idle_since: Option<Duration>,
}

#[derive(Default)]
struct Table {
    connections: BTreeMap<u64, Connection>,
    last: u64,
}

#[derive(Clone, Default)]
struct Connections {
    table: Rc<RefCell<Table>>,
    /// A connection has ended, or has become idle.
    changed: Rc<Notify>,
}

/// Serves until `stop` is ready, and returns its result.
pub(super) async fn serve<T>(bound: &Bound, handler: Handler, stop: impl Future<Output = T>) -> T {
    let connections = Connections::default();
    let accepting = spawn_local(accept(bound.clone(), handler, connections.clone()));
    let result = stop.await;
    accepting.abort();
    // The listening socket is closed by its owner.
    timeout(END_MAX, connections.end()).await.ok();
    result
}

async fn accept(bound: Bound, handler: Handler, connections: Connections) {
    let mut logged_at: Option<Duration> = None;
    loop {
        connections.make_room().await;
        match bound.accept().await {
            Ok(Stream::Tcp(stream)) => connections.start(stream, &handler),
            Ok(Stream::Unix(stream)) => connections.start(stream, &handler),
            Err(error) => {
                let now = boot_time();
                if logged_at.is_none_or(|logged| now.saturating_sub(logged) >= LOG_PAUSE) {
                    logged_at = Some(now);
                    log::warn!(event = "not_accepted", error:%; "a connection cannot be accepted: {error}");
                }
                // Too many open files: an idle connection makes room.
                if !connections.drop_oldest_idle() {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        // A burst would drop the connections before it as idle ones before their requests are read.
        yield_now().await;
    }
}

impl Connections {
    /// Waits until there is room. The connection that was idle for the longest time makes it.
    async fn make_room(&self) {
        loop {
            let changed = self.changed.notified();
            if self.table.borrow().connections.len() < CONNECTIONS_MAX || self.drop_oldest_idle() {
                return;
            }
            // Each is being answered, within a bound.
            changed.await;
        }
    }

    fn drop_oldest_idle(&self) -> bool {
        let mut table = self.table.borrow_mut();
        let idle = table.connections.iter().filter_map(|(number, one)| Some((one.idle_since?, *number)));
        let oldest = idle.min().and_then(|(_, number)| table.connections.remove(&number));
        oldest.map(|one| one.task.abort()).is_some()
    }

    fn start<S: AsyncRead + AsyncWrite + Unpin + 'static>(&self, stream: S, handler: &Handler) {
        let mut table = self.table.borrow_mut();
        table.last += 1;
        let number = table.last;
        let (own, handler) = (self.clone(), Rc::clone(handler));
        let task = spawn_local(async move {
            own.serve(number, stream, handler).await;
            own.table.borrow_mut().connections.remove(&number);
            own.changed.notify_waiters();
        });
        table.connections.insert(number, Connection { task: task.abort_handle(), idle_since: Some(boot_time()) });
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(&self, number: u64, stream: S, handler: Handler) {
        let service = service_fn(|request| {
            let (own, answer) = (self.clone(), handler(request));
            own.set_idle(number, None);
            async move {
                let response = answer.await;
                own.set_idle(number, Some(boot_time()));
                Ok::<_, convert::Infallible>(response)
            }
        });
        let mut connection = std::pin::pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_MAX)
                .max_buf_size(HEAD_BYTES_MAX)
                .max_headers(64)
                // A script that has sent its request may close its side.
                .half_close(true)
                .serve_connection(TokioIo::new(Guard::new(stream)), service)
        );
        let ended = match timeout(LIFE_MAX, connection.as_mut()).await {
            Ok(ended) => ended,
            Err(_late) => {
                connection.as_mut().graceful_shutdown();
                timeout(END_MAX, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            // A viewer that has gone, or that sends no request.
            log::debug!(event = "connection_ended", error:%; "");
        }
    }

    fn set_idle(&self, number: u64, idle_since: Option<Duration>) {
        if let Some(connection) = self.table.borrow_mut().connections.get_mut(&number) {
            connection.idle_since = idle_since;
        }
        if idle_since.is_some() {
            self.changed.notify_waiters();
        }
    }

    /// Ends idle connections, and waits for the answers under way.
    async fn end(&self) {
        loop {
            let changed = self.changed.notified();
            while self.drop_oldest_idle() {}
            if self.table.borrow().connections.is_empty() {
                return;
            }
            changed.await;
        }
    }
}

/// The runtime of the service: one thread.
///
/// # Errors
/// The system refuses its descriptors.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(tokio::task::LocalSet::new().block_on(&runtime, work))
}
