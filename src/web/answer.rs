//! One answer: its headers, which are the same for every answer, and its body in pieces. Owns the bound of all bytes that wait for
//! slow viewers.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use hyper::body::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue,
    IF_NONE_MATCH, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const JSON: &str = "application/json";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// Nothing is loaded from elsewhere, no script or style stands in a page, and no page frames this one.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The headers of every answer, refusals included.
const SECURITY: [(HeaderName, &str); 5] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The bodies that wait for their viewers have so many bytes together.
const WAITING_BYTES_MAX: usize = 8 << 20;

/// A body is given to the connection in pieces of so many bytes.
const PIECE_BYTES: usize = 16 << 10;

/// A shorter body needs no permit: the kernel takes it at once.
const SMALL_BYTES: usize = 32 << 10;

/// An answer before it is sent.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self { status, headers, body: body.into() }.secured()
    }

    fn secured(mut self) -> Self {
        for (name, value) in SECURITY {
            self.headers.insert(name, HeaderValue::from_static(value));
        }
        self
    }

    /// Adds a header whose value may not be one: then it is left out.
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// For a method that is neither GET nor HEAD.
    pub(super) fn allowing_reads(self) -> Self {
        self.with(ALLOW, "GET, HEAD")
    }

    /// Closes the connection: a body of the request is not read.
    pub(super) fn closing(self) -> Self {
        self.with(CONNECTION, "close")
    }

    pub(super) fn retrying(self) -> Self {
        self.with(RETRY_AFTER, "5")
    }

    /// Adds an ETag, and leaves the body out if the viewer has it.
    pub(super) fn tagged(self, request: &HeaderMap) -> Self {
        let tag = format!("\"{:08x}-{:x}\"", crc32fast::hash(&self.body), self.body.len());
        let known = request.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        let is_known =
            known.is_some_and(|known| known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag));
        let answer = self.with(ETAG, &tag);
        if is_known { Self { status: StatusCode::NOT_MODIFIED, body: Bytes::new(), ..answer } } else { answer }
    }

    /// As hyper sends it. If too many bytes wait for slow viewers, a short refusal instead.
    pub(super) fn into_response(self, budget: &Budget) -> Response<Pieces> {
        let permit = match budget.permit(self.body.len()) {
            Ok(permit) => permit,
            Err(Busy) => return Self::busy().into_response(budget),
        };
        let mut response = Response::new(Pieces { rest: self.body, _permit: permit });
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }

    fn busy() -> Self {
        let body = "Too many large answers are being sent. Try again in a few seconds.\n";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, TEXT, body).retrying()
    }

    /// The bytes of a refusal that hyper would send by itself, with its headers: the head of the request was wrong or too long.
    pub(super) fn of_bad_head(status: StatusCode) -> Vec<u8> {
        let body = "The request is no valid HTTP request, or its head is longer than 8 KB.\n";
        let answer = Self::new(status, TEXT, body).closing();
        let mut text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in &answer.headers {
            text = format!("{text}{name}: {}\r\n", value.to_str().unwrap_or_default());
        }
        format!("{text}\r\n{body}").into_bytes()
    }
}

/// The bytes that may wait for slow viewers.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<Semaphore>);

struct Busy;

impl Budget {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(WAITING_BYTES_MAX)))
    }

    /// Room for a body; one that is larger than all room gets the whole of it.
    fn permit(&self, bytes: usize) -> Result<Option<OwnedSemaphorePermit>, Busy> {
        if bytes <= SMALL_BYTES {
            return Ok(None);
        }
        let wanted = u32::try_from(bytes.min(WAITING_BYTES_MAX)).unwrap_or(u32::MAX);
        Arc::clone(&self.0).try_acquire_many_owned(wanted).map(Some).map_err(|_none| Busy)
    }
}

/// A body.
#[derive(Debug)]
pub(super) struct Pieces {
    rest: Bytes,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(length);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.rest.len()).unwrap_or(u64::MAX))
    }
}
