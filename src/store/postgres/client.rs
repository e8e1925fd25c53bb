//! A blocking client over the asynchronous engine of the `postgres` crate, on a stream of its own: the crate's blocking client opens
//! the socket itself, and so the bytes of the server cannot be counted. Must not choose a host or a channel, or retry.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use postgres::tls::{MakeTlsConnect, TlsConnect};
use postgres::types::{ToSql, Type};
use postgres::{Error, Row, SimpleQueryMessage};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::runtime::Runtime;
use tokio_postgres::Config;

use super::metered::{Meter, Metered, Metering};

/// How long closing may take: the server reads one message, and the kernel has room for it.
const CLOSE_MAX: Duration = Duration::from_millis(100);

pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// The stream to a server, counted.
pub(super) type Stream = Metered<Box<dyn Socket>>;

/// Where a server listens.
pub(super) struct Endpoint<'a> {
    /// A name, an address, or the directory of a socket.
    pub(super) host: &'a str,
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
    /// The limit of the whole connection to each address of the host, with TLS and login.
    pub(super) timeout: Option<Duration>,
}

/// Why no connection was made.
#[derive(Debug)]
pub(super) enum ConnectError {
    Socket(io::Error),
    Postgres(Error),
}

impl From<Error> for ConnectError {
    fn from(error: Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

type Connection = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// One connection.
pub(super) struct Client {
    // Dropped first: the end of the driver then sends the last message.
    client: tokio_postgres::Client,
    driver: Driver,
}

/// Moves the bytes of a connection.
struct Driver {
    runtime: Runtime,
    connection: Connection,
    /// The connection has ended, and must not be polled again.
    is_over: bool,
}

impl Client {
    /// Connects to `endpoint`. The server may send as much as `meter` permits.
    pub(super) fn connect<T>(
        endpoint: &Endpoint<'_>,
        config: &Config,
        mut tls: T,
        (meter, metering): (Meter, Metering),
    ) -> Result<Self, ConnectError>
    where
        T: MakeTlsConnect<Stream>,
        T::Stream: Send + 'static,
        T::TlsConnect: TlsConnect<Stream, Stream = T::Stream>,
        T::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let name = if is_socket(endpoint.host) { "" } else { endpoint.host };
        let (client, connection) = runtime.block_on(async {
            let mut failure = io::Error::new(io::ErrorKind::InvalidInput, "could not resolve any addresses");
            for place in endpoint.places().await? {
                let tls = tls.make_tls_connect(name).map_err(|error| io::Error::other(error.into()))?;
                let connected = async {
                    let stream = Metered::new(place.open().await?, meter.clone(), metering);
                    Ok(config.connect_raw(stream, tls).await?)
                };
                match endpoint.within(connected).await {
                    Err(ConnectError::Socket(error)) => failure = error,
                    other => return other,
                }
            }
            Err(ConnectError::Socket(failure))
        })?;
        let driver = Driver { runtime, connection: Box::pin(connection), is_over: false };
        Ok(Self { client, driver })
    }

    pub(super) fn query(&mut self, statement: &str, texts: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>, Error> {
        self.block_on(async |client| client.query_typed(statement, texts).await)
    }

    pub(super) fn execute(&mut self, statement: &str, texts: &[(&(dyn ToSql + Sync), Type)]) -> Result<u64, Error> {
        self.block_on(async |client| client.execute_typed(statement, texts).await)
    }

    pub(super) fn script(&mut self, statements: &str) -> Result<Vec<SimpleQueryMessage>, Error> {
        self.block_on(async |client| client.simple_query(statements).await)
    }

    /// Also drives the connection. Its error comes before that of `work`, which it causes, but not before an answer of the server: a
    /// pooler sends its reason and closes the connection.
    fn block_on<T>(&mut self, work: impl AsyncFnOnce(&tokio_postgres::Client) -> Result<T, Error>) -> Result<T, Error> {
        let Driver { runtime, connection, is_over } = &mut self.driver;
        runtime.block_on(async {
            let mut work = pin!(work(&self.client));
            poll_fn(|cx| {
                let ended = (!*is_over).then(|| connection.as_mut().poll(cx));
                let done = work.as_mut().poll(cx);
                let Some(Poll::Ready(ended)) = ended else { return done };
                *is_over = true;
                match done {
                    Poll::Ready(Err(error)) if error.as_db_error().is_none() => {
                        Poll::Ready(Err(ended.err().unwrap_or(error)))
                    }
                    Poll::Ready(done) => Poll::Ready(done),
                    Poll::Pending => ended.map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending),
                }
            })
            .await
        })
    }
}

/// Sends the last message: without it the server logs a lost connection.
impl Drop for Driver {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let connection = self.connection.as_mut();
        if let Ok(Err(error)) = self.runtime.block_on(async { tokio::time::timeout(CLOSE_MAX, connection).await }) {
            log::debug!(event = "not_closed", error:%; "");
        }
    }
}

/// One address of an endpoint.
enum Place {
    Socket(String),
    Tcp(SocketAddr),
}

impl Place {
    async fn open(&self) -> io::Result<Box<dyn Socket>> {
        match self {
            Self::Socket(path) => Ok(Box::new(UnixStream::connect(path).await?)),
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
        }
    }
}

impl Endpoint<'_> {
    async fn places(&self) -> io::Result<Vec<Place>> {
        if is_socket(self.host) && self.address.is_none() {
            return Ok(vec![Place::Socket(format!("{}/.s.PGSQL.{}", self.host, self.port))]);
        }
        let host = self.address.map_or_else(|| self.host.to_owned(), |address| address.to_string());
        Ok(lookup_host((host.as_str(), self.port)).await?.map(Place::Tcp).collect())
    }

    async fn within<S>(&self, connected: impl Future<Output = Result<S, ConnectError>>) -> Result<S, ConnectError> {
        let Some(timeout) = self.timeout else { return connected.await };
        let late = |_elapsed| {
            let message = format!("no connection within connect_timeout={}", timeout.as_secs());
            ConnectError::Socket(io::Error::new(io::ErrorKind::TimedOut, message))
        };
        tokio::time::timeout(timeout, connected).await.map_err(late)?
    }
}

/// Whether a host is the directory of a socket, as libpq decides.
fn is_socket(host: &str) -> bool {
    host.starts_with('/')
}
