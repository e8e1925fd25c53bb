//! A connected pair of SOCK_SEQPACKET sockets: ordered datagrams, with end-of-file when the peer closes. Transports
//! bytes; `crate::link` defines the messages.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockType, socketpair};

/// The maximum size of a message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// One end. Never blocks.
pub struct Socket(OwnedFd);

/// The result of one read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<T> {
    Received(T),
    /// Nothing is queued.
    Nothing,
    /// The peer has closed its end, and everything it sent has been read.
    Closed,
}

impl Socket {
    /// Two connected ends, close-on-exec.
    pub fn pair() -> io::Result<(Self, Self)> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (one, other) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        Ok((Self(one), Self(other)))
    }

    #[must_use]
    pub const fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Sends one message. Returns false if the peer has closed or its queue is full: the message is dropped, and the
    /// peer reads the same fact from the journal later.
    pub fn send(&self, message: &[u8]) -> io::Result<bool> {
        match socket::send(self.0.as_raw_fd(), message, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT) {
            Ok(_) => Ok(true),
            Err(Errno::EPIPE | Errno::ECONNRESET | Errno::EAGAIN | Errno::ENOBUFS) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Receives the next message.
    pub fn recv(&self) -> io::Result<Message<Vec<u8>>> {
        let mut buffer = vec![0; MESSAGE_BYTES_MAX];
        let mut receive = || socket::recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT);
        // If the peer closed with unread input, recv returns ECONNRESET once before queued data; retry.
        let received = receive().or_else(|errno| if errno == Errno::ECONNRESET { receive() } else { Err(errno) });
        match received {
            Ok(0) | Err(Errno::ECONNRESET) => Ok(Message::Closed),
            Ok(length) => {
                buffer.truncate(length);
                Ok(Message::Received(buffer))
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(Message::Nothing),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A keeper reports the delivered end as its last message and exits without reading its own queue. The supervisor
    /// lost that message to ECONNRESET.
    #[test]
    fn last_message_arrives_even_if_the_peer_left_input_unread() {
        let (own, peer) = Socket::pair().unwrap();
        assert!(own.send(b"unread").unwrap());
        assert!(peer.send(b"last").unwrap());
        drop(peer);
        assert_eq!(own.recv().unwrap(), Message::Received(b"last".to_vec()));
        assert_eq!(own.recv().unwrap(), Message::Closed);
        assert!(!own.send(b"more").unwrap());
    }
}
