//! A connected pair of SOCK_SEQPACKET sockets: ordered JSON messages, with end-of-file when the peer closes.
//! `crate::link` defines the messages. Must not block.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockType, socketpair};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The maximum size of a message, in bytes.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// One end.
pub struct Link(pub OwnedFd);

/// The result of one read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<T> {
    Received(T),
    /// Nothing is queued.
    Nothing,
    /// The peer has closed its end, and everything it sent has been read.
    Closed,
}

impl Link {
    /// Two connected ends, close-on-exec.
    pub fn pair() -> io::Result<(Self, Self)> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (one, other) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        Ok((Self(one), Self(other)))
    }

    /// Sends `message`. Returns false if it is too long, the peer has closed or its queue is full: the message is
    /// dropped, and the peer reads the same fact from the journal later.
    pub fn send(&self, message: &impl Serialize) -> io::Result<bool> {
        let bytes = serde_json::to_vec(message)?;
        if bytes.len() > MESSAGE_BYTES_MAX {
            log::warn!(event = "message_too_long", bytes = bytes.len();
                "a message of {} bytes is too long for the link", bytes.len());
            return Ok(false);
        }
        match socket::send(self.0.as_raw_fd(), &bytes, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT) {
            Ok(_) => Ok(true),
            Err(Errno::EPIPE | Errno::ECONNRESET | Errno::EAGAIN | Errno::ENOBUFS) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Receives the next message.
    pub fn recv<T: DeserializeOwned>(&self) -> io::Result<Message<T>> {
        let mut buffer = vec![0; MESSAGE_BYTES_MAX];
        let mut receive = || socket::recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT);
        // If the peer closed with unread input, recv returns ECONNRESET once before queued data; retry.
        let received = receive().or_else(|errno| if errno == Errno::ECONNRESET { receive() } else { Err(errno) });
        match received {
            Ok(0) | Err(Errno::ECONNRESET) => Ok(Message::Closed),
            Ok(length) => Ok(Message::Received(serde_json::from_slice(&buffer[..length])?)),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(Message::Nothing),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Link {
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
        let (own, peer) = Link::pair().unwrap();
        assert!(own.send(&"unread").unwrap());
        assert!(peer.send(&"last").unwrap());
        drop(peer);
        assert_eq!(own.recv().unwrap(), Message::Received("last".to_owned()));
        assert_eq!(own.recv::<String>().unwrap(), Message::Closed);
        assert!(!own.send(&"more").unwrap());
    }
}
