//! The place where the service listens: an address, or a socket in the file system. Owns the file of the socket, which it removes at
//! the end; must not replace a file that is no socket, nor a socket on which a process listens.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::libpq::{InvalidValue, refuse};
use crate::sys::socket::{bind_private, connect_now};

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Default for Listen {
    fn default() -> Self {
        Self::Tcp(SocketAddr::from(([127, 0, 0, 1], 8477)))
    }
}

const FORMS: &str = "write 127.0.0.1:8477, [::1]:8477, localhost:8477 or unix:/run/user/1000/runwrap.sock";

impl Listen {
    /// # Errors
    /// The text is no address.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { refuse("it names no file", FORMS) } else { Ok(Self::Unix(path.into())) };
        }
        let literal =
            text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
        literal.parse().map(Self::Tcp).or_else(|_| refuse("it is no address with a port", FORMS))
    }

    /// Whether only processes of this host reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// The host as a URL has it; `None` for a socket in the file system.
    pub(super) fn host(&self) -> Option<String> {
        match self {
            Self::Tcp(SocketAddr::V4(address)) => Some(address.ip().to_string()),
            Self::Tcp(SocketAddr::V6(address)) => Some(format!("[{}]", address.ip())),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Listen {
    /// As `--listen` takes it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(out, "{address}"),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

/// A socket that listens, before the loop that serves it runs.
#[derive(Debug)]
pub struct Opened {
    socket: Socket,
    file: Option<SocketFile>,
    listen: Listen,
}

#[derive(Debug)]
enum Socket {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

/// The file of a socket, removed when this value is dropped.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode: another process may have put its own there.
    id: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if id_at(&self.path).is_some_and(|id| id == self.id)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            log::info!(event = "socket_left", error:%; "the socket is not removed: {error}");
        }
    }
}

fn id_at(path: &Path) -> Option<(u64, u64)> {
    path.symlink_metadata().ok().map(|file| (file.dev(), file.ino()))
}

impl Opened {
    /// Listens. Call it while the process has one thread.
    ///
    /// # Errors
    /// The address is used or not this host's, or the path has a file that must not be replaced.
    pub fn at(listen: &Listen) -> io::Result<Self> {
        let (socket, file) = match listen {
            Listen::Tcp(address) => (Socket::Tcp(std::net::TcpListener::bind(address)?), None),
            Listen::Unix(path) => {
                remove_stale(path)?;
                let socket = bind_private(path)?;
                let file = id_at(path).map(|id| SocketFile { path: path.clone(), id });
                (Socket::Unix(socket), file)
            }
        };
        let listen = match &socket {
            // The kernel has chosen a port if none was given.
            Socket::Tcp(socket) => Listen::Tcp(socket.local_addr()?),
            Socket::Unix(_) => listen.clone(),
        };
        match &socket {
            Socket::Tcp(socket) => socket.set_nonblocking(true)?,
            Socket::Unix(socket) => socket.set_nonblocking(true)?,
        }
        Ok(Self { socket, file, listen })
    }

    /// Where it listens.
    pub fn listen(&self) -> &Listen {
        &self.listen
    }

    /// For the loop, which must run.
    pub(super) fn bound(self) -> io::Result<(Bound, impl Drop)> {
        let bound = match self.socket {
            Socket::Tcp(socket) => Bound::Tcp(Rc::new(TcpListener::from_std(socket)?)),
            Socket::Unix(socket) => Bound::Unix(Rc::new(UnixListener::from_std(socket)?)),
        };
        Ok((bound, Removed(self.file)))
    }
}

/// The file of a socket until the end of the service.
struct Removed(Option<SocketFile>);

impl Drop for Removed {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

/// Removes a socket on which no process listens.
fn remove_stale(path: &Path) -> io::Result<()> {
    let file = match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    if !file.file_type().is_socket() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "there is a file that is no socket"));
    }
    match connect_now(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Ok(_) | Err(_) => Err(io::Error::new(ErrorKind::AddrInUse, "another process listens there")),
    }
}

/// A socket that is served.
#[derive(Clone, Debug)]
pub(super) enum Bound {
    Tcp(Rc<TcpListener>),
    Unix(Rc<UnixListener>),
}

pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Bound {
    pub(super) async fn accept(&self) -> io::Result<Stream> {
        Ok(match self {
            Self::Tcp(socket) => {
                let (stream, _) = socket.accept().await?;
                stream.set_nodelay(true).ok();
                Stream::Tcp(stream)
            }
            Self::Unix(socket) => Stream::Unix(socket.accept().await?.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_names_are_not() {
        let read = |text: &str| Listen::parse(text).map(|listen| listen.to_string()).ok();
        assert_eq!(read("127.0.0.1:0").as_deref(), Some("127.0.0.1:0"));
        assert_eq!(read("localhost:80").as_deref(), Some("127.0.0.1:80"));
        assert_eq!(read("[::1]:8477").as_deref(), Some("[::1]:8477"));
        assert_eq!(read("unix:/run/x").as_deref(), Some("unix:/run/x"));
        for text in ["", "8477", ":8477", "127.0.0.1", "example.org:80", "::1:80", "127.0.0.1:65536", "unix:"] {
            assert_eq!(read(text), None, "{text}");
        }
        let listen = |text| Listen::parse(text).unwrap();
        assert!(listen("127.9.9.9:1").is_local() && listen("[::1]:1").is_local() && listen("unix:x").is_local());
        assert!(!listen("0.0.0.0:1").is_local() && !listen("[::]:1").is_local() && !listen("10.0.0.1:1").is_local());
        assert_eq!(listen("[::1]:8477").host().as_deref(), Some("[::1]"));
    }
}
