//! The pages for a browser: which address is which page. Rendering is the pages' own.

use hyper::header::HeaderMap;

use super::answer::{Answer, TEXT};
use super::site::{Asked, Refusal, Site};

/// The answer to a request for a page.
///
/// # Errors
/// There is no such page, or its address is wrong.
#[expect(clippy::unused_async, reason = "a page looks at the database")]
pub(super) async fn answer(_site: &Site, _asked: &Asked<'_>) -> Result<Answer, Refusal> {
    Err(Refusal::not_found("There is no such page."))
}

/// The refusal as a page.
pub(super) fn refusal(refusal: &Refusal, _headers: &HeaderMap) -> Answer {
    Answer::new(refusal.status, TEXT, format!("{}\n", refusal.sentence))
}
