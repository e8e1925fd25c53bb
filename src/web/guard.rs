//! One connection's stream: bounds how long a viewer may take to read an answer, and replaces the refusals that hyper writes by itself,
//! which would lack the security headers. Must not look into a body.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::answer::Answer;

/// So long a viewer may take for one answer, and longer for each byte that it reads.
const WRITE_MAX: Duration = Duration::from_secs(10);
const TIME_PER_BYTE: Duration = Duration::from_micros(30);

/// hyper's own refusals are a head without a body, shorter than this. Ours have a policy.
const REFUSAL_BYTES_MAX: usize = 256;

pub(super) struct Guard<S> {
    stream: S,
    /// While an answer could not be written at once: its deadline.
    deadline: Option<Pin<Box<Sleep>>>,
    /// The rest of a refusal that replaces hyper's, and the length of that.
    refusal: Option<(Vec<u8>, usize)>,
}

impl<S> Guard<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, deadline: None, refusal: None }
    }

    /// Fails if the answer is not read in time; else the task is woken at the deadline.
    fn poll_deadline<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + WRITE_MAX)));
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the viewer does not read its answer")))
    }
}

impl<S> Guard<S> {
    fn extend_deadline(&mut self, written: usize) {
        if let Some(deadline) = &mut self.deadline {
            let later = TIME_PER_BYTE.saturating_mul(u32::try_from(written).unwrap_or(u32::MAX));
            let at = deadline.deadline() + later;
            deadline.as_mut().reset(at);
        }
    }
}

/// The status of a refusal that hyper has made itself.
fn own_refusal(bytes: &[u8]) -> Option<StatusCode> {
    let is_short = bytes.len() <= REFUSAL_BYTES_MAX && bytes.ends_with(b"\r\n\r\n");
    let text = bytes.strip_prefix(b"HTTP/1.1 4").filter(|_| is_short)?;
    let code = [b'4', *text.first()?, *text.get(1)?];
    let has_policy = bytes.windows(7).any(|window| window == b"nosniff");
    StatusCode::from_bytes(&code).ok().filter(|_| !has_policy)
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.refusal.is_none() {
            self.refusal = own_refusal(bytes).map(|status| (Answer::of_bad_head(status), bytes.len()));
        }
        let Some((mut rest, length)) = self.refusal.take() else {
            return match Pin::new(&mut self.stream).poll_write(context, bytes) {
                Poll::Pending => self.poll_deadline(context),
                done @ Poll::Ready(_) => {
                    self.extend_deadline(if let Poll::Ready(Ok(written)) = done { written } else { 0 });
                    done
                }
            };
        };
        while !rest.is_empty() {
            match Pin::new(&mut self.stream).poll_write(context, &rest) {
                Poll::Ready(Ok(written)) => drop(rest.drain(..written)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.refusal = Some((rest, length));
                    return self.poll_deadline(context);
                }
            }
        }
        Poll::Ready(Ok(length))
    }

    /// hyper flushes when it has written all it has.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_ready() {
            self.deadline = None;
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_without_our_headers_is_replaced() {
        let head = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(own_refusal(head.as_bytes()), Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
        let ours = Answer::of_bad_head(StatusCode::BAD_REQUEST);
        assert_eq!(own_refusal(&ours), None);
        assert!(String::from_utf8(ours).unwrap().contains("content-security-policy: default-src 'none'"));
        assert_eq!(own_refusal(b"HTTP/1.1 200 OK\r\n\r\n"), None);
        assert_eq!(own_refusal(format!("{head}<p>").as_bytes()), None);
    }
}
