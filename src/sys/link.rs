//! The pair of sockets between two of our processes: datagrams in order, with an end-of-file when the other side has gone.
//! Knows bytes only; what they mean is `crate::link`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockType, socketpair};

/// The longest message, in bytes.
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

    /// Sends one message. False where the other side has gone or does not read: it will see the journal when it does.
    pub fn send(&self, message: &[u8]) -> io::Result<bool> {
        match socket::send(self.0.as_raw_fd(), message, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT) {
            Ok(_) => Ok(true),
            Err(Errno::EPIPE | Errno::ECONNRESET | Errno::EAGAIN | Errno::ENOBUFS) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Takes the next message.
    pub fn recv(&self) -> io::Result<Message<Vec<u8>>> {
        let mut buffer = vec![0; MESSAGE_BYTES_MAX];
        let mut take = || socket::recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT);
        // That the other side has not read all before it went is said once, and before what it said itself.
        let taken = take().or_else(|errno| if errno == Errno::ECONNRESET { take() } else { Err(errno) });
        match taken {
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

    /// The last that a keeper says is that all is delivered, and it does not wait for what it may yet be told.
    #[test]
    fn what_the_other_side_said_last_is_heard_also_where_it_has_not_read_all() {
        let (own, other) = Socket::pair().unwrap();
        assert!(own.send(b"unread").unwrap());
        assert!(other.send(b"last").unwrap());
        drop(other);
        assert_eq!(own.recv().unwrap(), Message::Received(b"last".to_vec()));
        assert_eq!(own.recv().unwrap(), Message::Closed);
        assert!(!own.send(b"more").unwrap());
    }
}
