//! Bounds the answers of a server: the client library reads a message whole before it looks at it, and all rows of a query. Parses
//! only the frames of the protocol; must not look at their content.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The bytes of a message before its content: its kind, and its length without the kind.
const HEADER_BYTES: usize = 5;
/// The memory that the client library needs for each message besides its bytes: a row of one small column takes so much.
const MESSAGE_WEIGHT: usize = 160;
/// The message that ends an answer.
const READY_FOR_QUERY: u8 = b'Z';

/// Counts the bytes of each message and of each answer.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    /// The most bytes of one answer, and so of one message.
    limit: usize,
    header: [u8; HEADER_BYTES],
    header_filled: usize,
    /// The bytes that are left of the present message.
    left: usize,
    /// The bytes since the last answer ended, with the weight of each message.
    answer: usize,
}

impl Meter {
    pub(super) const fn new(limit: usize) -> Self {
        Self { limit, header: [0; HEADER_BYTES], header_filled: 0, left: 0, answer: 0 }
    }

    /// Counts bytes that were received.
    ///
    /// # Errors
    /// A message or an answer is longer than the limit.
    pub(super) fn count(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.answer = self.answer.saturating_add(bytes.len());
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                self.left -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (HEADER_BYTES - self.header_filled).min(bytes.len());
            self.header[self.header_filled..][..taken].copy_from_slice(&bytes[..taken]);
            self.header_filled += taken;
            bytes = &bytes[taken..];
            if self.header_filled == HEADER_BYTES {
                self.header_filled = 0;
                self.answer = self.answer.saturating_add(MESSAGE_WEIGHT);
                let [kind, length @ ..] = self.header;
                let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                if length > self.limit {
                    return Err(self.refused("message", length));
                }
                self.left = length.saturating_sub(HEADER_BYTES - 1);
                if kind == READY_FOR_QUERY {
                    self.answer = self.left + bytes.len();
                }
            }
        }
        if self.answer > self.limit { Err(self.refused("answer", self.answer)) } else { Ok(()) }
    }

    fn refused(&self, what: &str, bytes: usize) -> io::Error {
        io::Error::other(format!(
            "the server sends {bytes} bytes or more in one {what}; runwrap reads at most {}",
            self.limit
        ))
    }
}

/// Whether a stream is metered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metering {
    Always,
    /// The first byte answers the request for TLS: after `S` the stream is encrypted, and metered above.
    UnlessEncrypted,
    Never,
}

/// A stream whose reads are counted.
pub(super) struct Metered<S> {
    stream: S,
    meter: Meter,
    metering: Metering,
}

impl<S> Metered<S> {
    pub(super) const fn new(stream: S, meter: Meter, metering: Metering) -> Self {
        Self { stream, meter, metering }
    }

    pub(super) const fn inner(&self) -> &S {
        &self.stream
    }

    fn count(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if self.metering == Metering::UnlessEncrypted
            && let Some((answer, rest)) = bytes.split_first()
        {
            self.metering = if *answer == b'S' { Metering::Never } else { Metering::Always };
            bytes = rest;
        }
        if self.metering == Metering::Always { self.meter.count(bytes) } else { Ok(()) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        match read {
            Poll::Ready(Ok(())) => Poll::Ready(self.count(&buffer.filled()[before..])),
            Poll::Ready(Err(_)) | Poll::Pending => read,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend(u32::try_from(length + 4).unwrap().to_be_bytes());
        bytes.resize(length + HEADER_BYTES, 0);
        bytes
    }

    /// In chunks of every size.
    #[track_caller]
    fn check(bytes: &[u8], expected: Option<&str>) {
        for size in 1..=bytes.len() {
            let mut meter = Meter::new(500);
            let counted = bytes.chunks(size).try_for_each(|chunk| meter.count(chunk));
            match expected {
                None => counted.unwrap(),
                Some(what) => assert!(counted.unwrap_err().to_string().contains(what), "chunks of {size}"),
            }
        }
    }

    #[test]
    fn long_message_is_refused_by_its_header() {
        check(&message(b'D', 90), None);
        check(&message(b'E', 600)[..HEADER_BYTES], Some("604 bytes or more in one message"));
        check(&[b'E', 255, 255, 255, 255], Some("in one message"));
        check(&[b'E', 0, 0, 0, 0].repeat(2), None);
    }

    #[test]
    fn long_answer_is_refused_and_the_next_one_begins_anew() {
        let answer = [message(b'D', 60), message(b'Z', 1)].concat();
        check(&answer.repeat(20), None);
        check(&message(b'D', 100).repeat(2), Some("in one answer"));
        check(&message(b'N', 0).repeat(4), Some("in one answer"));
    }

    #[test]
    fn answer_to_the_request_for_tls_is_no_message() {
        let counted = |bytes: &[u8], metering| Metered::new((), Meter::new(100), metering).count(bytes);
        let long = [b'E', 255, 255, 255, 255];
        assert!(counted(&[&b"S"[..], &long].concat(), Metering::UnlessEncrypted).is_ok());
        assert!(counted(&[&b"N"[..], &long].concat(), Metering::UnlessEncrypted).is_err());
        assert!(counted(&long, Metering::Always).is_err());
        assert!(counted(&long, Metering::Never).is_ok());
    }
}
